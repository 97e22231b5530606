//! Which rows do users, groups and sessions have?
//!
//! Each function is a part of one transaction, notes which parts of the state it touches, and returns how many rows.

use std::sync::Arc;

use super::engine::{Tx, signed, sql};
use super::fault::StoreFault;
use super::news::{Part, number};
use super::records::EVERYBODY;
use super::roles;
use super::session::{NewSession, SessionKey};
use super::token::write_groups;
use crate::access::grant::Subject;
use crate::mlflow::ids::{GroupName, UserName};

pub(super) async fn recognise(
    t: &mut Tx<'_>,
    user: &UserName,
    issuer: &Arc<str>,
    subject: &Arc<str>,
    now: i64,
) -> Result<u64, StoreFault> {
    add_user(t, user, now).await?;
    t.touch(Part::User(user.clone()));
    // The first one to come is bound; a second one finds the row and is refused by whoever reads it.
    let bind = sql("INSERT INTO identities (issuer, user_name, subject, first_seen) VALUES ($1, $2, $3, $4) \
                    ON CONFLICT (issuer, user_name) DO NOTHING");
    t.run(bind.bind(&**issuer).bind(user.as_str()).bind(&**subject).bind(now)).await
}

/// Keeps the groups that an issuer names.
pub(super) async fn vouch(
    t: &mut Tx<'_>,
    user: &UserName,
    issuer: &Arc<str>,
    groups: &[GroupName],
) -> Result<u64, StoreFault> {
    let update = sql("UPDATE identities SET vouched = $3 WHERE issuer = $1 AND user_name = $2 AND vouched <> $3");
    let rows = t.run(update.bind(&**issuer).bind(user.as_str()).bind(write_groups(groups))).await?;
    if rows > 0 {
        t.touch(Part::User(user.clone()));
    }
    Ok(rows)
}

pub(super) async fn add_user(t: &mut Tx<'_>, user: &UserName, now: i64) -> Result<u64, StoreFault> {
    if exists(t, sql("SELECT id FROM users WHERE name = $1").bind(user.as_str())).await? {
        return Ok(0);
    }
    let id = number(t, "users").await?;
    t.touch(Part::User(user.clone()));
    let rows = t
        .run(sql("INSERT INTO users (id, name, created) VALUES ($1, $2, $3)").bind(id).bind(user.as_str()).bind(now))
        .await?;
    // What was given in advance now has somebody whose number MLflow's API can name.
    roles::stand_for_all(t, &Subject::User(user.clone()), now).await?;
    Ok(rows)
}

pub(super) async fn remove_user(t: &mut Tx<'_>, user: &UserName) -> Result<u64, StoreFault> {
    end_sessions_of(t, user).await?;
    t.touch(Part::User(user.clone()));
    t.run(sql("DELETE FROM users WHERE name = $1").bind(user.as_str())).await
}

pub(super) async fn set_admin(t: &mut Tx<'_>, user: &UserName, on: bool) -> Result<u64, StoreFault> {
    known_user(t, user).await?;
    t.touch(Part::User(user.clone()));
    t.run(sql("UPDATE users SET admin = $2 WHERE name = $1 AND admin <> $2").bind(user.as_str()).bind(on)).await
}

pub(super) async fn set_disabled(t: &mut Tx<'_>, user: &UserName, on: bool) -> Result<u64, StoreFault> {
    known_user(t, user).await?;
    if on {
        end_sessions_of(t, user).await?;
    }
    t.touch(Part::User(user.clone()));
    t.run(sql("UPDATE users SET disabled = $2 WHERE name = $1 AND disabled <> $2").bind(user.as_str()).bind(on)).await
}

pub(super) async fn relink(t: &mut Tx<'_>, user: &UserName) -> Result<u64, StoreFault> {
    known_user(t, user).await?;
    end_sessions_of(t, user).await?;
    t.touch(Part::User(user.clone()));
    t.run(sql("DELETE FROM identities WHERE user_name = $1").bind(user.as_str())).await
}

pub(super) async fn add_group(t: &mut Tx<'_>, group: &GroupName, now: i64) -> Result<u64, StoreFault> {
    own_word(group)?;
    if exists(t, sql("SELECT id FROM user_groups WHERE name = $1").bind(group.as_str())).await? {
        return Ok(0);
    }
    let id = number(t, "groups").await?;
    t.touch(Part::Group(group.clone()));
    let insert = sql("INSERT INTO user_groups (id, name, created) VALUES ($1, $2, $3)");
    let rows = t.run(insert.bind(id).bind(group.as_str()).bind(now)).await?;
    roles::stand_for_all(t, &Subject::Group(group.clone()), now).await?;
    Ok(rows)
}

pub(super) async fn remove_group(t: &mut Tx<'_>, group: &GroupName) -> Result<u64, StoreFault> {
    let gone = sql("DELETE FROM memberships WHERE group_name = $1 RETURNING user_name").bind(group.as_str());
    let members: Vec<(String,)> = t.all(gone).await?;
    for (name,) in &members {
        t.touch(Part::User(user_name(name)?));
    }
    t.touch(Part::Group(group.clone()));
    t.run(sql("DELETE FROM user_groups WHERE name = $1").bind(group.as_str())).await
}

pub(super) async fn add_member(
    t: &mut Tx<'_>,
    group: &GroupName,
    user: &UserName,
    now: i64,
) -> Result<u64, StoreFault> {
    own_word(group)?;
    known_group(t, group).await?;
    known_user(t, user).await?;
    t.touch(Part::User(user.clone()));
    let insert = sql("INSERT INTO memberships (group_name, user_name, created) VALUES ($1, $2, $3) \
                      ON CONFLICT (group_name, user_name) DO NOTHING");
    t.run(insert.bind(group.as_str()).bind(user.as_str()).bind(now)).await
}

pub(super) async fn remove_member(t: &mut Tx<'_>, group: &GroupName, user: &UserName) -> Result<u64, StoreFault> {
    own_word(group)?;
    known_group(t, group).await?;
    t.touch(Part::User(user.clone()));
    let delete = sql("DELETE FROM memberships WHERE group_name = $1 AND user_name = $2");
    t.run(delete.bind(group.as_str()).bind(user.as_str())).await
}

// --- sessions ---

pub(super) async fn open_session(t: &mut Tx<'_>, new: &NewSession, now: i64) -> Result<u64, StoreFault> {
    let identity = &new.identity;
    known_user(t, &identity.user).await?;
    vouch(t, &identity.user, &identity.issuer, &identity.groups).await?;
    let groups = write_groups(&identity.groups);
    let ends = identity.until.duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_millis();
    t.touch(Part::Session(new.key));
    let insert = sql("INSERT INTO sessions (id, user_name, issuer, subject, provider, user_groups, logout_hint, \
                      created, last_seen, ends) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8, $9)");
    let insert = insert.bind(new.key.to_hex()).bind(identity.user.as_str()).bind(&*identity.issuer);
    let insert = insert.bind(&*identity.subject).bind(&*new.provider).bind(groups).bind(new.logout_hint.as_deref());
    t.run(insert.bind(now).bind(i64::try_from(ends).unwrap_or(i64::MAX))).await
}

pub(super) async fn end_session(t: &mut Tx<'_>, key: SessionKey) -> Result<u64, StoreFault> {
    t.touch(Part::Session(key));
    t.run(sql("DELETE FROM sessions WHERE id = $1").bind(key.to_hex())).await
}

pub(super) async fn end_sessions_of(t: &mut Tx<'_>, user: &UserName) -> Result<u64, StoreFault> {
    let ended = sql("DELETE FROM sessions WHERE user_name = $1 RETURNING id").bind(user.as_str());
    let ended = t.all(ended).await?;
    Ok(sessions_touched(t, ended))
}

pub(super) async fn end_all_sessions(t: &mut Tx<'_>) -> Result<u64, StoreFault> {
    let ended = t.all(sql("DELETE FROM sessions RETURNING id")).await?;
    Ok(sessions_touched(t, ended))
}

pub(super) async fn seen_sessions(t: &mut Tx<'_>, seen: &[(SessionKey, u64)]) -> Result<u64, StoreFault> {
    for (key, at) in seen {
        let update = sql("UPDATE sessions SET last_seen = $2 WHERE id = $1 AND last_seen < $2");
        t.run(update.bind(key.to_hex()).bind(*at)).await?;
    }
    Ok(seen.len() as u64)
}

pub(super) async fn sweep_sessions(t: &mut Tx<'_>, now: i64, used_before: u64) -> Result<u64, StoreFault> {
    let sweep = sql("DELETE FROM sessions WHERE ends <= $1 OR last_seen < $2 RETURNING id");
    let ended = t.all(sweep.bind(now).bind(signed(used_before))).await?;
    Ok(sessions_touched(t, ended))
}

fn sessions_touched(t: &mut Tx<'_>, ended: Vec<(String,)>) -> u64 {
    let count = ended.len() as u64;
    for (id,) in ended {
        // A row that is no session is in nobody's memory.
        if let Some(key) = SessionKey::from_hex(&id) {
            t.touch(Part::Session(key));
        }
    }
    count
}

// --- what there must be ---

pub(super) async fn exists(t: &mut Tx<'_>, query: super::engine::Sql) -> Result<bool, StoreFault> {
    Ok(t.one::<(i64,)>(query).await?.is_some())
}

pub(super) async fn known_user(t: &mut Tx<'_>, user: &UserName) -> Result<(), StoreFault> {
    let found = exists(t, sql("SELECT id FROM users WHERE name = $1").bind(user.as_str())).await?;
    if found { Ok(()) } else { Err(StoreFault::NoSuch { what: "user", name: user.to_string() }) }
}

pub(super) async fn known_group(t: &mut Tx<'_>, group: &GroupName) -> Result<(), StoreFault> {
    let found = exists(t, sql("SELECT id FROM user_groups WHERE name = $1").bind(group.as_str())).await?;
    if found { Ok(()) } else { Err(StoreFault::NoSuch { what: "group", name: group.to_string() }) }
}

fn own_word(group: &GroupName) -> Result<(), StoreFault> {
    if group.as_str() == EVERYBODY { Err(StoreFault::Everybody) } else { Ok(()) }
}

fn user_name(text: &str) -> Result<UserName, StoreFault> {
    UserName::parse(text).map_err(|error| StoreFault::Corrupt(error.to_string()))
}
