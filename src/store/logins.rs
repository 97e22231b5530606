//! Which rows do logins have, how are they renewed, and how do they end?
//!
//! Codes and refresh tokens are judged in the transaction that uses them up, so that of all gates of the database one alone
//! gives something for a code, and an old refresh token is seen for what it is wherever it is shown. Access tokens are
//! judged from memory, as all tokens are ([`super::tokens`]).

use super::Store;
use super::changes::{By, Change, Changed};
use super::engine::{Link, Tx, signed, sql};
use super::fault::StoreFault;
use super::keeper::Order;
use super::login::{Fresh, GRACE, Issued, MOST_LOGINS, NewCode, NewDevice, Redeemed, Sought, Waiting};
use super::news::Part;
use super::token::{TokenDigest, TokenId};
use crate::mlflow::ids::UserName;

/// So many devices may wait at a time.
const MOST_WAITING: i64 = 10_000;
/// So many from one address.
const MOST_WAITING_HERE: i64 = 50;
/// An access token that ended is still known for so long, in milliseconds: whoever shows it reads that it ended.
const KNOWN: i64 = 24 * 60 * 60 * 1000;
/// So many access tokens of one login count.
const MOST_ACCESS: i64 = 256;
/// So many used refresh tokens of one login are known.
const MOST_USED: i64 = 5000;

impl Store {
    /// Keeps a code.
    ///
    /// # Errors
    /// [`StoreFault`]; then there is none.
    pub async fn offer_code(&self, new: NewCode) -> Result<(), StoreFault> {
        let by = By::User(new.owner.clone());
        self.make(Change::OfferCode(Box::new(new)), by).await.map(drop)
    }

    /// Uses a code up. Of a code that comes a second time, what it gave is ended.
    ///
    /// # Errors
    /// [`StoreFault`]; then it still counts.
    pub async fn redeem_code(
        &self,
        code: TokenDigest,
        redirect: &str,
        challenge: &str,
        fresh: Fresh,
    ) -> Result<Redeemed, StoreFault> {
        let (redirect, challenge) = (redirect.into(), challenge.into());
        let sought = Sought::Code(code);
        self.redeem(sought, Change::RedeemCode { code, redirect, challenge, fresh: Box::new(fresh) }).await
    }

    /// Keeps the codes of a device that waits.
    ///
    /// # Errors
    /// [`StoreFault::Exists`] where the code to be typed is taken, [`StoreFault::TooManyOpen`] where too many wait, and what
    /// else can befall a database; then there is none.
    pub async fn await_device(&self, new: NewDevice) -> Result<(), StoreFault> {
        self.make(Change::AwaitDevice(Box::new(new)), By::Trackgate).await.map(drop)
    }

    /// The device that waits for this code.
    ///
    /// # Errors
    /// What can befall a database.
    pub async fn waiting(&self, user_code: &str) -> Result<Option<Waiting>, StoreFault> {
        self.look_up(|reply| Order::Waiting { user_code: user_code.into(), reply }).await
    }

    /// Says yes or no to the device that waits for this code. Nothing, where none waits any more.
    ///
    /// # Errors
    /// [`StoreFault`]; then it still waits.
    pub async fn decide_device(&self, user_code: &str, owner: &UserName, approve: bool) -> Result<Changed, StoreFault> {
        let change = Change::DecideDevice { user_code: user_code.into(), owner: owner.clone(), approve };
        self.make(change, By::User(owner.clone())).await
    }

    /// What became of the code that a device polls with; it is used up where somebody said yes.
    ///
    /// # Errors
    /// [`StoreFault`]; then it is as it was.
    pub async fn poll_device(&self, code: TokenDigest, fresh: Fresh) -> Result<Redeemed, StoreFault> {
        self.redeem(Sought::Device(code), Change::PollDevice { code, fresh: Box::new(fresh) }).await
    }

    /// Uses a refresh token: the login has fresh secrets. One that was used before ends the login, but for a short time in
    /// which it is answered once more.
    ///
    /// # Errors
    /// [`StoreFault`]; then it still counts.
    pub async fn renew_login(&self, refresh: TokenDigest, fresh: Fresh) -> Result<Redeemed, StoreFault> {
        let sought = Sought::Secret(fresh.id.clone(), refresh);
        self.redeem(sought, Change::RenewLogin { refresh, fresh: Box::new(fresh) }).await
    }

    /// Ends the login that this access or refresh token is of.
    ///
    /// # Errors
    /// [`StoreFault`]; then it still counts.
    pub async fn end_login(&self, id: &TokenId, secret: TokenDigest) -> Result<Redeemed, StoreFault> {
        self.redeem(Sought::Secret(id.clone(), secret), Change::EndLogin { id: id.clone(), secret }).await
    }

    /// Anybody may show anything: it is looked for first. A change stands in line with all who write, at every gate of the
    /// database, and is begun only for what there is and what somebody has decided.
    async fn redeem(&self, sought: Sought, change: Change) -> Result<Redeemed, StoreFault> {
        if let Some(answer) = self.look_up(|reply| Order::Seek { sought, reply }).await? {
            return Ok(answer);
        }
        let done = self.done(change, By::Trackgate).await?;
        done.redeemed.ok_or_else(|| StoreFault::Corrupt("nothing is known of a code".to_owned()))
    }
}

pub(super) async fn offer(t: &mut Tx<'_>, new: &NewCode, now: i64) -> Result<u64, StoreFault> {
    let insert = sql("INSERT INTO login_codes (digest, owner, redirect, challenge, device, created, expires) \
                      VALUES ($1, $2, $3, $4, $5, $6, $7)");
    let insert = insert.bind(new.digest.to_hex()).bind(new.owner.as_str()).bind(&*new.redirect);
    t.run(insert.bind(&*new.challenge).bind(&*new.device).bind(now).bind(new.expires)).await
}

type CodeRow = (String, String, String, String, i64, Option<i64>, Option<String>);

pub(super) async fn redeem(
    t: &mut Tx<'_>,
    code: &TokenDigest,
    redirect: &str,
    challenge: &str,
    fresh: &Fresh,
    now: i64,
) -> Result<u64, StoreFault> {
    let row = sql("SELECT owner, redirect, challenge, device, expires, used, login FROM login_codes WHERE digest = $1");
    let row: Option<CodeRow> = t.one(row.bind(code.to_hex())).await?;
    let Some((owner, own_redirect, own_challenge, device, expires, used, login)) = row else {
        return Ok(answer(t, Redeemed::Unknown, 0));
    };
    if used.is_some() {
        return replayed(t, login.as_deref(), "its code was used twice", now).await;
    }
    if expires <= now {
        return Ok(answer(t, Redeemed::Expired, 0));
    }
    // Whatever comes of it: it is used up.
    let used = sql("UPDATE login_codes SET used = $2, login = $3 WHERE digest = $1").bind(code.to_hex()).bind(now);
    if own_redirect != redirect || own_challenge != challenge {
        let rows = t.run(used.bind(None::<&str>)).await?;
        return Ok(answer(t, Redeemed::Elsewhere, rows));
    }
    let rows = t.run(used.bind(fresh.id.as_str())).await?;
    Ok(rows + make(t, &owner, &device, fresh, now).await?)
}

pub(super) async fn wait(t: &mut Tx<'_>, new: &NewDevice, now: i64) -> Result<u64, StoreFault> {
    let address = new.address.to_canonical().to_string();
    let count = sql("SELECT COUNT(*), COALESCE(SUM(CASE WHEN address = $2 THEN 1 ELSE 0 END), 0) FROM device_codes \
                     WHERE state = 'pending' AND expires > $1");
    let count: Option<(i64, i64)> = t.one(count.bind(now).bind(address.as_str())).await?;
    if count.is_some_and(|(all, here)| all >= MOST_WAITING || here >= MOST_WAITING_HERE) {
        return Err(StoreFault::TooManyOpen);
    }
    let insert = sql("INSERT INTO device_codes (digest, user_code, device, address, created, expires, state) \
                      VALUES ($1, $2, $3, $4, $5, $6, 'pending') ON CONFLICT DO NOTHING");
    let insert = insert.bind(new.digest.to_hex()).bind(&*new.user_code).bind(&*new.device).bind(address);
    match t.run(insert.bind(now).bind(new.expires)).await? {
        0 => Err(StoreFault::Exists { what: "code", name: new.user_code.to_string() }),
        rows => Ok(rows),
    }
}

pub(super) async fn read(link: &mut Link, user_code: &str, now: u64) -> Result<Option<Waiting>, StoreFault> {
    let mut t = link.read().await?;
    let row = sql("SELECT device, address, created FROM device_codes WHERE user_code = $1 AND state = 'pending' \
                   AND expires > $2");
    let row: Option<(String, String, i64)> = t.one(row.bind(user_code).bind(now)).await?;
    t.commit().await?;
    Ok(row.map(|(device, address, created)| Waiting {
        device,
        address: address.parse().ok(),
        created: created.unsigned_abs(),
    }))
}

/// What is answered without a change; `None`: the change says it.
pub(super) async fn seek(link: &mut Link, sought: &Sought, now: u64) -> Result<Option<Redeemed>, StoreFault> {
    let mut t = link.read().await?;
    let answer = match sought {
        Sought::Code(code) => {
            let row = sql("SELECT expires FROM login_codes WHERE digest = $1").bind(code.to_hex());
            t.one::<(i64,)>(row).await?.is_none().then_some(Redeemed::Unknown)
        }
        Sought::Device(code) => {
            let row = sql("SELECT state, expires FROM device_codes WHERE digest = $1").bind(code.to_hex());
            match t.one::<(String, i64)>(row).await? {
                None => Some(Redeemed::Unknown),
                Some((state, expires)) if state == "pending" && expires.unsigned_abs() > now => Some(Redeemed::Pending),
                Some(_) => None,
            }
        }
        Sought::Secret(id, secret) => {
            let row = sql("SELECT expires FROM login_secrets WHERE digest = $1 AND login = $2").bind(secret.to_hex());
            t.one::<(i64,)>(row.bind(id.as_str())).await?.is_none().then_some(Redeemed::Unknown)
        }
    };
    t.commit().await?;
    Ok(answer)
}

pub(super) async fn decide(
    t: &mut Tx<'_>,
    user_code: &str,
    owner: &UserName,
    approve: bool,
    now: i64,
) -> Result<u64, StoreFault> {
    let update = sql("UPDATE device_codes SET state = $3, owner = $4, decided = $2 WHERE user_code = $1 \
                      AND state = 'pending' AND expires > $2");
    let state = if approve { "approved" } else { "refused" };
    t.run(update.bind(user_code).bind(now).bind(state).bind(owner.as_str())).await
}

type DeviceRow = (String, i64, String, Option<String>, Option<String>);

pub(super) async fn poll(t: &mut Tx<'_>, code: &TokenDigest, fresh: &Fresh, now: i64) -> Result<u64, StoreFault> {
    let row = sql("SELECT device, expires, state, owner, login FROM device_codes WHERE digest = $1");
    let row: Option<DeviceRow> = t.one(row.bind(code.to_hex())).await?;
    let Some((device, expires, state, owner, login)) = row else { return Ok(answer(t, Redeemed::Unknown, 0)) };
    match (state.as_str(), owner) {
        ("used", _) => replayed(t, login.as_deref(), "its code was used twice", now).await,
        _ if expires <= now => Ok(answer(t, Redeemed::Expired, 0)),
        ("refused", _) => Ok(answer(t, Redeemed::Refused, 0)),
        ("approved", Some(owner)) => {
            let used = sql("UPDATE device_codes SET state = 'used', login = $2 WHERE digest = $1");
            let rows = t.run(used.bind(code.to_hex()).bind(fresh.id.as_str())).await?;
            Ok(rows + make(t, &owner, &device, fresh, now).await?)
        }
        _ => Ok(answer(t, Redeemed::Pending, 0)),
    }
}

type LoginRow = (String, Option<i64>, i64, Option<i64>, i64);

pub(super) async fn renew(t: &mut Tx<'_>, refresh: &TokenDigest, fresh: &Fresh, now: i64) -> Result<u64, StoreFault> {
    let id = fresh.id.as_str();
    let row = sql("SELECT tokens.owner, tokens.revoked, tokens.expires, tokens.ends, CAST(users.disabled AS BIGINT) \
                   FROM tokens JOIN users ON users.name = tokens.owner WHERE tokens.id = $1 AND tokens.kind = 'access'");
    let row: Option<LoginRow> = t.one(row.bind(id)).await?;
    let secret = sql("SELECT generation, expires, rotated FROM login_secrets WHERE digest = $1 AND login = $2 \
                      AND kind = 'refresh'");
    let secret: Option<(i64, i64, Option<i64>)> = t.one(secret.bind(refresh.to_hex()).bind(id)).await?;
    let (Some((owner, revoked, expires, ends, disabled)), Some((generation, own_end, rotated))) = (row, secret) else {
        return Ok(answer(t, Redeemed::Unknown, 0));
    };
    if let Some(at) = revoked {
        return Ok(answer(t, Redeemed::Ended(fresh.id.clone(), at.unsigned_abs()), 0));
    }
    // INVARIANT: before anything else of it counts. Whoever shows it late is not the one who used it, or is.
    if rotated.is_some_and(|at| now.saturating_sub(at) > signed(GRACE)) {
        return replayed(t, Some(id), "a refresh token was used twice", now).await;
    }
    let ends = ends.unwrap_or(expires);
    if own_end <= now || expires <= now || ends <= now {
        return Ok(answer(t, Redeemed::Expired, 0));
    }
    if disabled != 0 {
        return Ok(answer(t, Redeemed::Disabled, 0));
    }
    let front = if rotated.is_some() {
        // Another process was faster: this one stands beside it.
        let newest = sql("SELECT MAX(generation) FROM login_secrets WHERE login = $1 AND kind = 'refresh'");
        t.one::<(Option<i64>,)>(newest.bind(id)).await?.and_then(|(newest,)| newest).unwrap_or(generation)
    } else {
        let used = sql("UPDATE login_secrets SET rotated = $3 WHERE login = $1 AND kind = 'refresh' \
                        AND generation <= $2 AND rotated IS NULL");
        t.run(used.bind(id).bind(generation).bind(now)).await?;
        generation + 1
    };
    let given = put(t, fresh, front, ends, now).await?;
    tidy(t, id, now).await?;
    let given = Issued { id: fresh.id.clone(), owner: parsed(&owner)?, access: given.0, refresh: given.1 };
    Ok(answer(t, Redeemed::Given(given), 1))
}

pub(super) async fn end(t: &mut Tx<'_>, id: &TokenId, secret: &TokenDigest, now: i64) -> Result<u64, StoreFault> {
    let row =
        sql("SELECT tokens.owner, tokens.revoked FROM tokens JOIN login_secrets ON login_secrets.login = tokens.id \
                   WHERE tokens.id = $1 AND login_secrets.digest = $2");
    let row: Option<(String, Option<i64>)> = t.one(row.bind(id.as_str()).bind(secret.to_hex())).await?;
    let Some((owner, revoked)) = row else { return Ok(answer(t, Redeemed::Unknown, 0)) };
    if let Some(at) = revoked {
        return Ok(answer(t, Redeemed::Ended(id.clone(), at.unsigned_abs()), 0));
    }
    let rows = revoke(t, id, &format!("user {owner}"), owner.clone(), now).await?;
    Ok(answer(t, Redeemed::Ended(id.clone(), now.unsigned_abs()), rows))
}

/// Ends all logins of one person, or of everybody, with the codes that would become some.
pub(super) async fn end_all(t: &mut Tx<'_>, owner: Option<&UserName>, by: &By, now: i64) -> Result<u64, StoreFault> {
    let whose = owner.map(UserName::as_str);
    for codes in [
        sql("DELETE FROM login_codes WHERE ($1 IS NULL OR owner = $1) AND used IS NULL"),
        sql("DELETE FROM device_codes WHERE ($1 IS NULL OR owner = $1) AND state = 'approved'"),
    ] {
        t.run(codes.bind(whose)).await?;
    }
    let ended = sql("UPDATE tokens SET revoked = $2, revoked_by = $3 WHERE kind = 'access' \
                     AND ($1 IS NULL OR owner = $1) AND revoked IS NULL AND expires > $2 RETURNING id");
    let ended: Vec<(String,)> = t.all(ended.bind(whose).bind(now).bind(by.to_string())).await?;
    Ok(super::tokens::touched(t, &ended))
}

/// Forgets codes and access tokens that have counted for nothing since `before`.
pub(super) async fn sweep(t: &mut Tx<'_>, before: u64) -> Result<u64, StoreFault> {
    let mut rows = 0;
    for gone in [
        "DELETE FROM login_codes WHERE expires <= $1",
        "DELETE FROM device_codes WHERE expires <= $1",
        "DELETE FROM login_secrets WHERE kind = 'access' AND expires <= $1",
    ] {
        rows += t.run(sql(gone).bind(before)).await?;
    }
    Ok(rows)
}

/// Whether [`sweep`] would find something.
pub(super) async fn has_old(mut t: Tx<'_>, before: u64) -> Result<bool, StoreFault> {
    let mut found = false;
    for old in [
        "SELECT expires FROM login_codes WHERE expires <= $1 LIMIT 1",
        "SELECT expires FROM device_codes WHERE expires <= $1 LIMIT 1",
        "SELECT expires FROM login_secrets WHERE kind = 'access' AND expires <= $1 LIMIT 1",
    ] {
        found = found || t.one::<(i64,)>(sql(old).bind(before)).await?.is_some();
    }
    t.commit().await?;
    Ok(found)
}

/// Makes a login of somebody who agreed.
async fn make(t: &mut Tx<'_>, owner: &str, device: &str, fresh: &Fresh, now: i64) -> Result<u64, StoreFault> {
    let user = sql("SELECT CAST(disabled AS BIGINT) FROM users WHERE name = $1 AND kind = 'person'");
    match t.one::<(i64,)>(user.bind(owner)).await? {
        Some((0,)) => {}
        Some(_) | None => return Ok(answer(t, Redeemed::Disabled, 0)),
    }
    make_room(t, owner, now).await?;
    let ends = now.saturating_add(signed(fresh.whole));
    let insert = sql("INSERT INTO tokens (id, digest, kind, owner, name, created, created_by, expires, ends) \
                      VALUES ($1, '', 'access', $2, $3, $4, $5, $6, $6) ON CONFLICT (id) DO NOTHING");
    let insert = insert.bind(fresh.id.as_str()).bind(owner).bind(device).bind(now);
    if t.run(insert.bind(format!("user {owner}")).bind(ends)).await? == 0 {
        return Err(StoreFault::Exists { what: "token", name: fresh.id.to_string() });
    }
    let (access, refresh) = put(t, fresh, 1, ends, now).await?;
    t.log("login", format!("token {}", fresh.id), owner.to_owned());
    let given = Issued { id: fresh.id.clone(), owner: parsed(owner)?, access, refresh };
    Ok(answer(t, Redeemed::Given(given), 1))
}

/// Of as many logins as count at most, the one that was used least lately ends.
async fn make_room(t: &mut Tx<'_>, owner: &str, now: i64) -> Result<(), StoreFault> {
    let all = sql("SELECT id FROM tokens WHERE owner = $1 AND kind = 'access' AND revoked IS NULL AND expires > $2 \
                   ORDER BY CASE WHEN last_used > created THEN last_used ELSE created END DESC");
    let all: Vec<(String,)> = t.all(all.bind(owner).bind(now)).await?;
    for id in all.iter().skip(MOST_LOGINS - 1).filter_map(|(id,)| TokenId::parse(id)) {
        revoke(t, &id, &By::Trackgate.to_string(), format!("{owner}: made room for another"), now).await?;
    }
    Ok(())
}

/// Adds the secrets. Tells when they end.
async fn put(t: &mut Tx<'_>, fresh: &Fresh, generation: i64, ends: i64, now: i64) -> Result<(u64, u64), StoreFault> {
    let id = fresh.id.as_str();
    let access = now.saturating_add(signed(fresh.lasts)).min(ends);
    let refresh = now.saturating_add(signed(fresh.idle)).min(ends);
    for (digest, kind, expires) in [(&fresh.access, "access", access), (&fresh.refresh, "refresh", refresh)] {
        let insert = sql("INSERT INTO login_secrets (digest, login, kind, generation, created, expires) \
                          VALUES ($1, $2, $3, $4, $5, $6)");
        let insert = insert.bind(digest.to_hex()).bind(id).bind(kind).bind(generation);
        t.run(insert.bind(now).bind(expires)).await?;
    }
    t.run(sql("UPDATE tokens SET expires = $2 WHERE id = $1").bind(id).bind(refresh)).await?;
    t.touch(Part::Token(fresh.id.clone()));
    Ok((access.unsigned_abs(), refresh.unsigned_abs()))
}

/// Forgets what ended long ago, and the oldest of too many.
async fn tidy(t: &mut Tx<'_>, id: &str, now: i64) -> Result<(), StoreFault> {
    let old = sql("DELETE FROM login_secrets WHERE login = $1 AND kind = 'access' AND expires <= $2");
    t.run(old.bind(id).bind(now - KNOWN)).await?;
    for (kind, most) in [("access", MOST_ACCESS), ("refresh", MOST_USED)] {
        let more = sql("SELECT created FROM login_secrets WHERE login = $1 AND kind = $2 ORDER BY created DESC \
                        LIMIT 1 OFFSET $3");
        let more: Option<(i64,)> = t.one(more.bind(id).bind(kind).bind(most)).await?;
        if let Some((created,)) = more {
            let gone = sql("DELETE FROM login_secrets WHERE login = $1 AND kind = $2 AND created <= $3");
            t.run(gone.bind(id).bind(kind).bind(created)).await?;
        }
    }
    Ok(())
}

async fn replayed(t: &mut Tx<'_>, login: Option<&str>, why: &str, now: i64) -> Result<u64, StoreFault> {
    let Some(id) = login.and_then(TokenId::parse) else { return Ok(answer(t, Redeemed::Replayed(None), 0)) };
    let rows = revoke(t, &id, &By::Trackgate.to_string(), why.to_owned(), now).await?;
    Ok(answer(t, Redeemed::Replayed(Some(id)), rows))
}

async fn revoke(t: &mut Tx<'_>, id: &TokenId, by: &str, why: String, now: i64) -> Result<u64, StoreFault> {
    let update = sql("UPDATE tokens SET revoked = $2, revoked_by = $3 WHERE id = $1 AND revoked IS NULL");
    let rows = t.run(update.bind(id.as_str()).bind(now).bind(by)).await?;
    if rows > 0 {
        t.touch(Part::Token(id.clone()));
        t.log("revoke", format!("token {id}"), why);
    }
    Ok(rows)
}

fn answer(t: &mut Tx<'_>, redeemed: Redeemed, rows: u64) -> u64 {
    t.redeemed = Some(redeemed);
    rows
}

fn parsed(owner: &str) -> Result<UserName, StoreFault> {
    UserName::parse(owner).map_err(|error| StoreFault::Corrupt(error.to_string()))
}
