//! Which rows do tokens of our own have, who may be recognised by one, and what becomes of them?
//!
//! Verifying one reads memory alone. A revocation is news like any other: every process has it within a second. Uses are
//! noted in memory and written now and then, as those of sessions are.

use std::net::IpAddr;
use std::sync::Arc;

use super::changes::{By, Change, Changed};
use super::engine::{Tx, signed, sql};
use super::fault::{PrincipalFault, StoreFault};
use super::news::Part;
use super::token::{
    NewToken, Standing, Token, TokenDigest, TokenId, TokenKind, Use, merged, read_uses, write_scopes, write_uses,
};
use super::{Memory, Store};
use crate::access::identity::Identity;
use crate::mlflow::ids::UserName;

/// How many tokens one owner may have that count.
pub const MOST_TOKENS: u64 = 100;

/// What a token turned out to be.
#[derive(Debug, Clone)]
pub enum TokenShown {
    /// There is none of this name, or it is another.
    Unknown,
    /// It counted until then, in milliseconds since the epoch.
    Expired(u64),
    /// It was revoked then.
    Revoked(u64),
    /// It counts.
    Good {
        /// Who comes with it. Whether they still may is for [`Store::principal`] to say.
        identity: Arc<Identity>,
        /// Whether it was used before, and never from this network.
        moved: bool,
    },
}

impl Store {
    /// Judges a token, and notes its use from `address` if it counts. Memory only.
    ///
    /// # Errors
    /// [`PrincipalFault::NotCurrent`] when memory may be old: the token may have been revoked elsewhere.
    pub fn token(&self, id: &str, digest: &TokenDigest, address: IpAddr) -> Result<TokenShown, PrincipalFault> {
        if !self.current() {
            return Err(PrincipalFault::NotCurrent);
        }
        let shown = self.look_at_token(id, digest)?;
        let TokenShown::Good { identity, .. } = shown else { return Ok(shown) };
        let now = self.clock.millis();
        let moved = self.memory.tokens.load().get(id).is_some_and(|token| token.touch(now, address));
        Ok(TokenShown::Good { identity, moved })
    }

    /// Judges a token without noting a use. Memory only.
    ///
    /// # Errors
    /// As [`Store::token`].
    pub fn look_at_token(&self, id: &str, digest: &TokenDigest) -> Result<TokenShown, PrincipalFault> {
        if !self.current() {
            return Err(PrincipalFault::NotCurrent);
        }
        let tokens = self.memory.tokens.load();
        let found = tokens.get(id).and_then(|token| Some((token, token.key(digest)?)));
        let Some((token, key)) = found else { return Ok(TokenShown::Unknown) };
        let now = self.clock.millis();
        match token.standing_by(key, now) {
            Standing::Expired(at) => return Ok(TokenShown::Expired(at)),
            Standing::Revoked(at) => return Ok(TokenShown::Revoked(at)),
            Standing::Good => {}
        }
        let snapshot = self.memory.snapshot.load();
        let Some(owner) = snapshot.user(&token.owner) else { return Ok(TokenShown::Unknown) };
        Ok(TokenShown::Good { identity: token.identity(key, owner), moved: false })
    }

    /// The token of this name, whether it counts or not.
    #[must_use]
    pub fn token_by_id(&self, id: &TokenId) -> Option<Arc<Token>> {
        self.memory.tokens.load().get(id).cloned()
    }

    /// All tokens, or those of one owner, the newest first. Walks over all.
    #[must_use]
    pub fn tokens(&self, owner: Option<&UserName>) -> Vec<Arc<Token>> {
        let tokens = self.memory.tokens.load();
        let wanted = tokens.values().filter(|token| owner.is_none_or(|owner| token.owner == *owner));
        let mut found: Vec<_> = wanted.cloned().collect();
        found.sort_by(|one, other| (other.created, &other.id).cmp(&(one.created, &one.id)));
        found
    }

    /// Makes a token.
    ///
    /// # Errors
    /// [`StoreFault::Exists`] where the name is taken, [`StoreFault::NoSuch`] where its owner is not there or is not what
    /// the token is for, [`StoreFault::TooManyTokens`], [`StoreFault::EndPassed`], and what else can befall a database;
    /// then there is none.
    pub async fn create_token(&self, new: NewToken, by: By) -> Result<(), StoreFault> {
        self.make(Change::CreateToken(Box::new(new)), by).await.map(drop)
    }

    /// Revokes a token, everywhere and for good.
    ///
    /// # Errors
    /// [`StoreFault::NoSuch`], and what else can befall a database; then it still counts.
    pub async fn revoke_token(&self, id: &TokenId, by: By) -> Result<Changed, StoreFault> {
        self.make(Change::RevokeToken(id.clone()), by).await
    }

    /// Revokes all tokens of one owner.
    ///
    /// # Errors
    /// [`StoreFault`]; then they still count.
    pub async fn revoke_tokens_of(&self, owner: &UserName, by: By) -> Result<Changed, StoreFault> {
        self.make(Change::RevokeTokensOf(owner.clone()), by).await
    }

    /// Keeps the groups that an issuer names with somebody who has tokens, where they are others than before: whoever comes
    /// with a token is in them too.
    ///
    /// # Errors
    /// [`StoreFault`]; then they are those from before.
    pub async fn vouch(&self, identity: &Identity) -> Result<(), StoreFault> {
        let known = self.memory.snapshot.load().user(&identity.user).cloned();
        let Some(user) = known.filter(|user| user.is_bound_to(&identity.issuer)) else { return Ok(()) };
        // With one issuer, which is how it mostly is, nothing need be asked.
        if user.identities.len() == 1 && user.vouched == identity.groups {
            return Ok(());
        }
        let (user, issuer) = (identity.user.clone(), Arc::clone(&identity.issuer));
        let change = Change::Vouch { user, issuer, groups: identity.groups.clone() };
        self.make(change, By::Trackgate).await.map(drop)
    }
}

/// Where all tokens are that have uses to be written.
pub(super) fn used(memory: &Memory) -> Vec<(TokenId, Vec<Use>)> {
    let tokens = memory.tokens.load();
    tokens.values().filter_map(|token| Some((token.id.clone(), token.take_dirty()?))).collect()
}

pub(super) async fn create(t: &mut Tx<'_>, new: &NewToken, by: &By, now: i64) -> Result<u64, StoreFault> {
    if signed(new.expires) <= now {
        return Err(StoreFault::EndPassed);
    }
    let what = match new.kind {
        TokenKind::Personal | TokenKind::Login => "person",
        TokenKind::Service => "service",
    };
    let owner = sql("SELECT id FROM users WHERE name = $1 AND kind = $2").bind(new.owner.as_str()).bind(what);
    if t.one::<(i64,)>(owner).await?.is_none() {
        let what = if new.kind == TokenKind::Service { "service account" } else { "user" };
        return Err(StoreFault::NoSuch { what, name: new.owner.to_string() });
    }
    let live = sql("SELECT COUNT(*) FROM tokens WHERE owner = $1 AND kind <> 'access' AND revoked IS NULL \
                    AND expires > $2");
    let live: Option<(i64,)> = t.one(live.bind(new.owner.as_str()).bind(now)).await?;
    if live.is_some_and(|(live,)| live.unsigned_abs() >= MOST_TOKENS) {
        return Err(StoreFault::TooManyTokens);
    }
    let insert =
        sql("INSERT INTO tokens (id, digest, kind, owner, name, workspace, ceiling, scopes, created, created_by, \
                      expires) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) ON CONFLICT (id) DO NOTHING");
    let ceiling = &new.ceiling;
    let insert = insert.bind(new.id.as_str()).bind(new.digest.to_hex()).bind(new.kind.column());
    let insert = insert.bind(new.owner.as_str()).bind(&*new.name);
    let insert = insert.bind(ceiling.workspace.as_ref().map(crate::mlflow::ids::WorkspaceName::as_str));
    let insert = insert.bind(ceiling.most.map(crate::mlflow::permission::Permission::as_str));
    let scopes = ceiling.only.as_deref().map(write_scopes);
    let insert = insert.bind(scopes.as_deref()).bind(now).bind(by.to_string()).bind(new.expires);
    t.touch(Part::Token(new.id.clone()));
    match t.run(insert).await? {
        0 => Err(StoreFault::Exists { what: "token", name: new.id.to_string() }),
        rows => Ok(rows),
    }
}

pub(super) async fn revoke(t: &mut Tx<'_>, id: &TokenId, by: &By, now: i64) -> Result<u64, StoreFault> {
    let owner: Option<(String,)> = t.one(sql("SELECT owner FROM tokens WHERE id = $1").bind(id.as_str())).await?;
    let Some((owner,)) = owner else { return Err(StoreFault::NoSuch { what: "token", name: id.to_string() }) };
    t.touch(Part::Token(id.clone()));
    let update = sql("UPDATE tokens SET revoked = $2, revoked_by = $3 WHERE id = $1 AND revoked IS NULL");
    let rows = t.run(update.bind(id.as_str()).bind(now).bind(by.to_string())).await?;
    if rows > 0 {
        t.log("revoke", format!("token {id}"), owner);
    }
    Ok(rows)
}

pub(super) async fn revoke_all_of(t: &mut Tx<'_>, owner: &UserName, by: &By, now: i64) -> Result<u64, StoreFault> {
    let update = sql("UPDATE tokens SET revoked = $2, revoked_by = $3 WHERE owner = $1 AND revoked IS NULL \
                      AND expires > $2 RETURNING id");
    let revoked: Vec<(String,)> = t.all(update.bind(owner.as_str()).bind(now).bind(by.to_string())).await?;
    for (id,) in &revoked {
        t.log("revoke", format!("token {id}"), owner.to_string());
    }
    Ok(touched(t, &revoked))
}

/// Forgets all tokens of somebody who goes.
pub(super) async fn drop_all_of(t: &mut Tx<'_>, owner: &UserName) -> Result<u64, StoreFault> {
    let gone = t.all(sql("DELETE FROM tokens WHERE owner = $1 RETURNING id").bind(owner.as_str())).await?;
    Ok(touched(t, &gone))
}

/// Forgets those that have counted for nothing since `before`.
pub(super) async fn sweep(t: &mut Tx<'_>, before: u64) -> Result<u64, StoreFault> {
    let gone = sql("DELETE FROM tokens WHERE expires <= $1 OR revoked <= $1 RETURNING id");
    let gone = t.all(gone.bind(before)).await?;
    Ok(touched(t, &gone))
}

/// Writes uses down, beside those that others wrote.
pub(super) async fn seen(t: &mut Tx<'_>, seen: &[(TokenId, Vec<Use>)]) -> Result<u64, StoreFault> {
    for (id, uses) in seen {
        let row: Option<(String,)> = t.one(sql("SELECT addresses FROM tokens WHERE id = $1").bind(id.as_str())).await?;
        let Some((known,)) = row else { continue };
        let uses = merged(read_uses(&known), uses);
        let last = uses.iter().map(|one| one.last).max().unwrap_or_default();
        let update = sql("UPDATE tokens SET last_used = $2, addresses = $3 WHERE id = $1");
        t.run(update.bind(id.as_str()).bind(last).bind(write_uses(&uses))).await?;
    }
    Ok(seen.len() as u64)
}

pub(super) fn touched(t: &mut Tx<'_>, rows: &[(String,)]) -> u64 {
    for id in rows.iter().filter_map(|(id,)| TokenId::parse(id)) {
        t.touch(Part::Token(id));
    }
    rows.len() as u64
}
