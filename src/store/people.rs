//! Which rows do users, groups and sessions have?
//!
//! Each function is a part of one transaction and returns how many rows it touched.

use std::sync::Arc;

use sqlx::{Sqlite, Transaction};

use super::fault::StoreFault;
use super::session::{NewSession, SessionKey};
use super::snapshot::EVERYBODY;
use crate::mlflow::ids::{GroupName, UserName};

pub(super) async fn recognise(
    t: &mut Transaction<'_, Sqlite>,
    user: &UserName,
    issuer: &Arc<str>,
    subject: &Arc<str>,
    now: i64,
) -> Result<u64, StoreFault> {
    add_user(t, user, now).await?;
    // The first one to come is bound; a second one finds the row and is refused by whoever reads it.
    Ok(sqlx::query(
        "INSERT INTO identities (issuer, user_name, subject, first_seen) VALUES ($1, $2, $3, $4) \
         ON CONFLICT (issuer, user_name) DO NOTHING",
    )
    .bind(&**issuer)
    .bind(user.as_str())
    .bind(&**subject)
    .bind(now)
    .execute(&mut **t)
    .await?
    .rows_affected())
}

pub(super) async fn remove_user(t: &mut Transaction<'_, Sqlite>, user: &UserName) -> Result<u64, StoreFault> {
    Ok(sqlx::query("DELETE FROM users WHERE name = $1").bind(user.as_str()).execute(&mut **t).await?.rows_affected())
}

pub(super) async fn set_admin(t: &mut Transaction<'_, Sqlite>, user: &UserName, on: bool) -> Result<u64, StoreFault> {
    known_user(t, user).await?;
    Ok(sqlx::query("UPDATE users SET admin = $2 WHERE name = $1 AND admin <> $2")
        .bind(user.as_str())
        .bind(i64::from(on))
        .execute(&mut **t)
        .await?
        .rows_affected())
}

pub(super) async fn set_disabled(
    t: &mut Transaction<'_, Sqlite>,
    user: &UserName,
    on: bool,
) -> Result<u64, StoreFault> {
    known_user(t, user).await?;
    if on {
        end_sessions_of(t, user).await?;
    }
    Ok(sqlx::query("UPDATE users SET disabled = $2 WHERE name = $1 AND disabled <> $2")
        .bind(user.as_str())
        .bind(i64::from(on))
        .execute(&mut **t)
        .await?
        .rows_affected())
}

pub(super) async fn relink(t: &mut Transaction<'_, Sqlite>, user: &UserName) -> Result<u64, StoreFault> {
    known_user(t, user).await?;
    end_sessions_of(t, user).await?;
    Ok(sqlx::query("DELETE FROM identities WHERE user_name = $1")
        .bind(user.as_str())
        .execute(&mut **t)
        .await?
        .rows_affected())
}

pub(super) async fn add_group(t: &mut Transaction<'_, Sqlite>, group: &GroupName, now: i64) -> Result<u64, StoreFault> {
    own_word(group)?;
    Ok(sqlx::query("INSERT INTO user_groups (name, created) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING")
        .bind(group.as_str())
        .bind(now)
        .execute(&mut **t)
        .await?
        .rows_affected())
}

pub(super) async fn remove_group(t: &mut Transaction<'_, Sqlite>, group: &GroupName) -> Result<u64, StoreFault> {
    Ok(sqlx::query("DELETE FROM user_groups WHERE name = $1")
        .bind(group.as_str())
        .execute(&mut **t)
        .await?
        .rows_affected())
}

pub(super) async fn add_member(
    t: &mut Transaction<'_, Sqlite>,
    group: &GroupName,
    user: &UserName,
    now: i64,
) -> Result<u64, StoreFault> {
    own_word(group)?;
    known_group(t, group).await?;
    known_user(t, user).await?;
    Ok(sqlx::query(
        "INSERT INTO memberships (group_name, user_name, created) VALUES ($1, $2, $3) \
         ON CONFLICT (group_name, user_name) DO NOTHING",
    )
    .bind(group.as_str())
    .bind(user.as_str())
    .bind(now)
    .execute(&mut **t)
    .await?
    .rows_affected())
}

pub(super) async fn remove_member(
    t: &mut Transaction<'_, Sqlite>,
    group: &GroupName,
    user: &UserName,
) -> Result<u64, StoreFault> {
    own_word(group)?;
    known_group(t, group).await?;
    Ok(sqlx::query("DELETE FROM memberships WHERE group_name = $1 AND user_name = $2")
        .bind(group.as_str())
        .bind(user.as_str())
        .execute(&mut **t)
        .await?
        .rows_affected())
}

pub(super) async fn end_session(t: &mut Transaction<'_, Sqlite>, key: SessionKey) -> Result<u64, StoreFault> {
    Ok(sqlx::query("DELETE FROM sessions WHERE id = $1").bind(key.to_hex()).execute(&mut **t).await?.rows_affected())
}

pub(super) async fn end_all_sessions(t: &mut Transaction<'_, Sqlite>) -> Result<u64, StoreFault> {
    Ok(sqlx::query("DELETE FROM sessions").execute(&mut **t).await?.rows_affected())
}

pub(super) async fn seen_sessions(
    t: &mut Transaction<'_, Sqlite>,
    seen: &[(SessionKey, u64)],
) -> Result<u64, StoreFault> {
    for (key, at) in seen {
        sqlx::query("UPDATE sessions SET last_seen = $2 WHERE id = $1 AND last_seen < $2")
            .bind(key.to_hex())
            .bind(i64::try_from(*at).unwrap_or(i64::MAX))
            .execute(&mut **t)
            .await?;
    }
    Ok(seen.len() as u64)
}

pub(super) async fn sweep_sessions(
    t: &mut Transaction<'_, Sqlite>,
    now: i64,
    used_before: u64,
) -> Result<u64, StoreFault> {
    Ok(sqlx::query("DELETE FROM sessions WHERE ends <= $1 OR last_seen < $2")
        .bind(now)
        .bind(i64::try_from(used_before).unwrap_or(i64::MAX))
        .execute(&mut **t)
        .await?
        .rows_affected())
}

pub(super) async fn add_user(t: &mut Transaction<'_, Sqlite>, user: &UserName, now: i64) -> Result<u64, StoreFault> {
    Ok(sqlx::query("INSERT INTO users (name, created) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING")
        .bind(user.as_str())
        .bind(now)
        .execute(&mut **t)
        .await?
        .rows_affected())
}

async fn known_user(t: &mut Transaction<'_, Sqlite>, user: &UserName) -> Result<(), StoreFault> {
    let found: Option<i64> = sqlx::query_scalar("SELECT created FROM users WHERE name = $1")
        .bind(user.as_str())
        .fetch_optional(&mut **t)
        .await?;
    found.map(drop).ok_or_else(|| StoreFault::NoSuch { what: "user", name: user.to_string() })
}

async fn known_group(t: &mut Transaction<'_, Sqlite>, group: &GroupName) -> Result<(), StoreFault> {
    let found: Option<i64> = sqlx::query_scalar("SELECT created FROM user_groups WHERE name = $1")
        .bind(group.as_str())
        .fetch_optional(&mut **t)
        .await?;
    found.map(drop).ok_or_else(|| StoreFault::NoSuch { what: "group", name: group.to_string() })
}

fn own_word(group: &GroupName) -> Result<(), StoreFault> {
    if group.as_str() == EVERYBODY { Err(StoreFault::Everybody) } else { Ok(()) }
}

pub(super) async fn end_sessions_of(t: &mut Transaction<'_, Sqlite>, user: &UserName) -> Result<u64, StoreFault> {
    Ok(sqlx::query("DELETE FROM sessions WHERE user_name = $1")
        .bind(user.as_str())
        .execute(&mut **t)
        .await?
        .rows_affected())
}

pub(super) async fn open_session(
    t: &mut Transaction<'_, Sqlite>,
    new: &NewSession,
    now: i64,
) -> Result<u64, StoreFault> {
    let identity = &new.identity;
    known_user(t, &identity.user).await?;
    let groups: Vec<&str> = identity.groups.iter().map(GroupName::as_str).collect();
    let groups =
        serde_json::to_string(&groups).map_err(|error| StoreFault::Broken(sqlx::Error::Encode(error.into())))?;
    let ends = identity.until.duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_millis();
    Ok(sqlx::query(
        "INSERT INTO sessions (id, user_name, issuer, subject, provider, user_groups, logout_hint, created, \
         last_seen, ends) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8, $9)",
    )
    .bind(new.key.to_hex())
    .bind(identity.user.as_str())
    .bind(&*identity.issuer)
    .bind(&*identity.subject)
    .bind(&*new.provider)
    .bind(groups)
    .bind(new.logout_hint.as_deref())
    .bind(now)
    .bind(i64::try_from(ends).unwrap_or(i64::MAX))
    .execute(&mut **t)
    .await?
    .rows_affected())
}
