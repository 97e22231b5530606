//! What can be changed, and which rows does each change touch?
//!
//! Each change is one transaction, with its line in the table `changes`. Doing one twice is doing it once.

use std::sync::Arc;

use sqlx::{Connection, Sqlite, SqliteConnection, Transaction};
use uuid::Uuid;

use super::fault::StoreFault;
use super::session::{NewSession, SessionKey};
use super::snapshot::EVERYBODY;
use crate::access::grant::{Grant, Pattern, Subject};
use crate::mlflow::ids::{GroupName, UserName};
use crate::mlflow::resource::Kind;

/// Who makes a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum By {
    /// Somebody whose request had it as an effect.
    User(UserName),
    /// The operator at the command line, by the name of the host's account.
    Operator(String),
    /// Trackgate itself.
    Trackgate,
}

impl std::fmt::Display for By {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::User(name) => write!(f, "user {name}"),
            Self::Operator(name) => write!(f, "operator {name}"),
            Self::Trackgate => f.write_str("trackgate"),
        }
    }
}

/// One change.
#[derive(Debug, Clone)]
pub(super) enum Change {
    Recognise { user: UserName, issuer: Arc<str>, subject: Arc<str> },
    AddUser(UserName),
    RemoveUser(UserName),
    SetAdmin(UserName, bool),
    SetDisabled(UserName, bool),
    Relink(UserName),
    AddGroup(GroupName),
    RemoveGroup(GroupName),
    AddMember(GroupName, UserName),
    RemoveMember(GroupName, UserName),
    Grant(Grant),
    Revoke { subject: Subject, kind: Kind, pattern: Pattern },
    Own { kind: Kind, id: Arc<str>, user: UserName },
    Rename { kind: Kind, old: Arc<str>, new: Arc<str> },
    Forget { kind: Kind, id: Arc<str> },
    OpenSession(NewSession),
    EndSession(SessionKey),
    EndSessionsOf(UserName),
    EndAllSessions,
    SeenSessions(Vec<(SessionKey, u64)>),
    SweepSessions { used_before: u64 },
}

/// Whether a change was one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Changed {
    /// So many rows.
    Rows(u64),
    /// It was so already.
    Nothing,
}

impl Changed {
    /// Whether anything changed.
    #[must_use]
    pub fn anything(self) -> bool {
        self != Self::Nothing
    }

    fn rows(count: u64) -> Self {
        if count == 0 { Self::Nothing } else { Self::Rows(count) }
    }
}

/// What must be read anew after a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Touches {
    Grants,
    Sessions,
    Both,
    /// `last_seen` alone: memory is ahead of the table.
    Nothing,
}

impl Change {
    pub(super) fn touches(&self) -> Touches {
        match self {
            Self::Recognise { .. }
            | Self::AddUser(_)
            | Self::SetAdmin(..)
            | Self::AddGroup(_)
            | Self::RemoveGroup(_)
            | Self::AddMember(..)
            | Self::RemoveMember(..)
            | Self::Grant(_)
            | Self::Revoke { .. }
            | Self::Own { .. }
            | Self::Rename { .. }
            | Self::Forget { .. } => Touches::Grants,
            Self::RemoveUser(_) | Self::SetDisabled(..) | Self::Relink(_) => Touches::Both,
            Self::OpenSession(_)
            | Self::EndSession(_)
            | Self::EndSessionsOf(_)
            | Self::EndAllSessions
            | Self::SweepSessions { .. } => Touches::Sessions,
            Self::SeenSessions(_) => Touches::Nothing,
        }
    }

    /// Makes the change and its line in the log, or nothing.
    pub(super) async fn make(
        &self,
        connection: &mut SqliteConnection,
        by: &By,
        now: u64,
    ) -> Result<Changed, StoreFault> {
        // A deferred transaction that reads before it writes fails at once when another process writes, whatever the
        // busy timeout.
        let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
        let now = i64::try_from(now).unwrap_or(i64::MAX);
        let changed = self.rows(&mut transaction, by, now).await?;
        if changed.anything()
            && let Some((verb, object, detail)) = self.entry()
        {
            sqlx::query("INSERT INTO changes (id, at, actor, verb, object, detail) VALUES ($1, $2, $3, $4, $5, $6)")
                .bind(Uuid::now_v7().to_string())
                .bind(now)
                .bind(by.to_string())
                .bind(verb)
                .bind(object)
                .bind(detail)
                .execute(&mut *transaction)
                .await?;
        }
        transaction.commit().await?;
        Ok(changed)
    }

    /// Verb, object and detail of the line in the log; sessions opened and used have their place in the audit log.
    fn entry(&self) -> Option<(&'static str, String, String)> {
        let none = String::new;
        Some(match self {
            Self::Recognise { user, issuer, .. } => ("recognise", format!("user {user}"), issuer.to_string()),
            Self::AddUser(user) => ("add", format!("user {user}"), none()),
            Self::RemoveUser(user) => ("remove", format!("user {user}"), none()),
            Self::SetAdmin(user, on) => ("admin", format!("user {user}"), on.to_string()),
            Self::SetDisabled(user, on) => ("disable", format!("user {user}"), on.to_string()),
            Self::Relink(user) => ("relink", format!("user {user}"), none()),
            Self::AddGroup(group) => ("add", format!("group {group}"), none()),
            Self::RemoveGroup(group) => ("remove", format!("group {group}"), none()),
            Self::AddMember(group, user) => ("add-member", format!("group {group}"), user.to_string()),
            Self::RemoveMember(group, user) => ("remove-member", format!("group {group}"), user.to_string()),
            Self::Grant(grant) => {
                let object = format!("{} {}", grant.kind, grant.pattern);
                ("grant", object, format!("{} {}", grant.subject, grant.permission))
            }
            Self::Revoke { subject, kind, pattern } => ("revoke", format!("{kind} {pattern}"), subject.to_string()),
            Self::Own { kind, id, user } => ("own", format!("{kind} {id}"), user.to_string()),
            Self::Rename { kind, old, new } => ("rename", format!("{kind} {new}"), old.to_string()),
            Self::Forget { kind, id } => ("forget", format!("{kind} {id}"), none()),
            Self::EndSessionsOf(user) => ("end-sessions", format!("user {user}"), none()),
            Self::EndAllSessions => ("end-sessions", "everybody".to_owned(), none()),
            Self::OpenSession(_) | Self::EndSession(_) | Self::SeenSessions(_) | Self::SweepSessions { .. } => {
                return None;
            }
        })
    }

    async fn rows(&self, t: &mut Transaction<'_, Sqlite>, by: &By, now: i64) -> Result<Changed, StoreFault> {
        let rows = match self {
            Self::Recognise { user, issuer, subject } => {
                add_user(t, user, now).await?;
                sqlx::query(
                    "INSERT INTO identities (issuer, user_name, subject, first_seen) VALUES ($1, $2, $3, $4) \
                     ON CONFLICT (issuer, user_name) DO NOTHING",
                )
                .bind(&**issuer)
                .bind(user.as_str())
                .bind(&**subject)
                .bind(now)
                .execute(&mut **t)
                .await?
                .rows_affected()
            }
            Self::AddUser(user) => add_user(t, user, now).await?,
            Self::RemoveUser(user) => {
                let grants = sqlx::query("DELETE FROM grants WHERE subject_kind = 'user' AND subject = $1")
                    .bind(user.as_str())
                    .execute(&mut **t)
                    .await?
                    .rows_affected();
                let users = sqlx::query("DELETE FROM users WHERE name = $1")
                    .bind(user.as_str())
                    .execute(&mut **t)
                    .await?
                    .rows_affected();
                grants + users
            }
            Self::SetAdmin(user, on) => {
                known_user(t, user).await?;
                sqlx::query("UPDATE users SET admin = $2 WHERE name = $1 AND admin <> $2")
                    .bind(user.as_str())
                    .bind(i64::from(*on))
                    .execute(&mut **t)
                    .await?
                    .rows_affected()
            }
            Self::SetDisabled(user, on) => {
                known_user(t, user).await?;
                if *on {
                    end_sessions_of(t, user).await?;
                }
                sqlx::query("UPDATE users SET disabled = $2 WHERE name = $1 AND disabled <> $2")
                    .bind(user.as_str())
                    .bind(i64::from(*on))
                    .execute(&mut **t)
                    .await?
                    .rows_affected()
            }
            Self::Relink(user) => {
                known_user(t, user).await?;
                end_sessions_of(t, user).await?;
                sqlx::query("DELETE FROM identities WHERE user_name = $1")
                    .bind(user.as_str())
                    .execute(&mut **t)
                    .await?
                    .rows_affected()
            }
            Self::AddGroup(group) => {
                own_word(group)?;
                sqlx::query("INSERT INTO user_groups (name, created) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING")
                    .bind(group.as_str())
                    .bind(now)
                    .execute(&mut **t)
                    .await?
                    .rows_affected()
            }
            Self::RemoveGroup(group) => {
                let grants = sqlx::query("DELETE FROM grants WHERE subject_kind = 'group' AND subject = $1")
                    .bind(group.as_str())
                    .execute(&mut **t)
                    .await?
                    .rows_affected();
                let groups = sqlx::query("DELETE FROM user_groups WHERE name = $1")
                    .bind(group.as_str())
                    .execute(&mut **t)
                    .await?
                    .rows_affected();
                grants + groups
            }
            Self::AddMember(group, user) => {
                own_word(group)?;
                known_group(t, group).await?;
                known_user(t, user).await?;
                sqlx::query(
                    "INSERT INTO memberships (group_name, user_name, created) VALUES ($1, $2, $3) \
                     ON CONFLICT (group_name, user_name) DO NOTHING",
                )
                .bind(group.as_str())
                .bind(user.as_str())
                .bind(now)
                .execute(&mut **t)
                .await?
                .rows_affected()
            }
            Self::RemoveMember(group, user) => {
                own_word(group)?;
                known_group(t, group).await?;
                sqlx::query("DELETE FROM memberships WHERE group_name = $1 AND user_name = $2")
                    .bind(group.as_str())
                    .bind(user.as_str())
                    .execute(&mut **t)
                    .await?
                    .rows_affected()
            }
            Self::Grant(grant) => put(t, grant, by, now, Over::Anything).await?,
            Self::Revoke { subject, kind, pattern } => {
                let (subject_kind, name) = subject_columns(subject);
                let (form, text) = pattern_columns(pattern);
                sqlx::query(
                    "DELETE FROM grants WHERE subject_kind = $1 AND subject = $2 AND kind = $3 AND form = $4 \
                     AND pattern = $5",
                )
                .bind(subject_kind)
                .bind(name)
                .bind(kind.as_str())
                .bind(form)
                .bind(text)
                .execute(&mut **t)
                .await?
                .rows_affected()
            }
            Self::Own { kind, id, user } => own(t, *kind, id, user, by, now).await?,
            Self::Rename { kind, old, new } => rename(t, *kind, old, new).await?,
            Self::Forget { kind, id } => {
                let inside = clear_inside(t, *kind, id, Denials::Go).await?;
                inside + clear(t, *kind, id, Denials::Go).await?
            }
            Self::OpenSession(new) => open_session(t, new, now).await?,
            Self::EndSession(key) => sqlx::query("DELETE FROM sessions WHERE id = $1")
                .bind(key.to_hex())
                .execute(&mut **t)
                .await?
                .rows_affected(),
            Self::EndSessionsOf(user) => end_sessions_of(t, user).await?,
            Self::EndAllSessions => sqlx::query("DELETE FROM sessions").execute(&mut **t).await?.rows_affected(),
            Self::SeenSessions(seen) => {
                for (key, at) in seen {
                    sqlx::query("UPDATE sessions SET last_seen = $2 WHERE id = $1 AND last_seen < $2")
                        .bind(key.to_hex())
                        .bind(i64::try_from(*at).unwrap_or(i64::MAX))
                        .execute(&mut **t)
                        .await?;
                }
                seen.len() as u64
            }
            Self::SweepSessions { used_before } => {
                sqlx::query("DELETE FROM sessions WHERE ends <= $1 OR last_seen < $2")
                    .bind(now)
                    .bind(i64::try_from(*used_before).unwrap_or(i64::MAX))
                    .execute(&mut **t)
                    .await?
                    .rows_affected()
            }
        };
        Ok(Changed::rows(rows))
    }
}

async fn add_user(t: &mut Transaction<'_, Sqlite>, user: &UserName, now: i64) -> Result<u64, StoreFault> {
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

async fn end_sessions_of(t: &mut Transaction<'_, Sqlite>, user: &UserName) -> Result<u64, StoreFault> {
    Ok(sqlx::query("DELETE FROM sessions WHERE user_name = $1")
        .bind(user.as_str())
        .execute(&mut **t)
        .await?
        .rows_affected())
}

async fn open_session(t: &mut Transaction<'_, Sqlite>, new: &NewSession, now: i64) -> Result<u64, StoreFault> {
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

/// What a new grant may replace.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Over {
    Anything,
    AllButDeny,
}

async fn put(t: &mut Transaction<'_, Sqlite>, grant: &Grant, by: &By, now: i64, over: Over) -> Result<u64, StoreFault> {
    let (subject_kind, subject) = subject_columns(&grant.subject);
    let (form, pattern) = pattern_columns(&grant.pattern);
    Ok(sqlx::query(
        "INSERT INTO grants (subject_kind, subject, kind, form, pattern, permission, created, created_by) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8) \
         ON CONFLICT (subject_kind, subject, kind, form, pattern) DO UPDATE \
         SET permission = excluded.permission, created = excluded.created, created_by = excluded.created_by \
         WHERE grants.permission <> excluded.permission AND (grants.permission <> 'DENY' OR $9 = 1)",
    )
    .bind(subject_kind)
    .bind(subject)
    .bind(grant.kind.as_str())
    .bind(form)
    .bind(pattern)
    .bind(grant.permission.as_str())
    .bind(now)
    .bind(by.to_string())
    .bind(i64::from(over == Over::Anything))
    .execute(&mut **t)
    .await?
    .rows_affected())
}

/// Gives MANAGE on a new object. Grants that lie on its very name are of an older object: they go, so that nobody
/// comes by a right on the new one by accident. A DENY stays: it takes nothing from anybody who should have it.
async fn own(
    t: &mut Transaction<'_, Sqlite>,
    kind: Kind,
    id: &Arc<str>,
    user: &UserName,
    by: &By,
    now: i64,
) -> Result<u64, StoreFault> {
    let grant = Grant {
        subject: Subject::User(user.clone()),
        kind,
        pattern: Pattern::Exactly(Arc::clone(id)),
        permission: crate::mlflow::permission::Permission::Manage,
    };
    let inside = clear_inside(t, kind, id, Denials::Stay).await?;
    let before = clear(t, kind, id, Denials::Stay).await?;
    Ok(inside + before + put(t, &grant, by, now, Over::AllButDeny).await?)
}

/// Moves grants from the old name to the new one, those on things inside with them. What lay on the new name before
/// goes; where somebody is denied on either name, the DENY is what remains.
async fn rename(t: &mut Transaction<'_, Sqlite>, kind: Kind, old: &str, new: &str) -> Result<u64, StoreFault> {
    if old == new {
        return Ok(0);
    }
    let moving: i64 =
        sqlx::query_scalar("SELECT COUNT(*) FROM grants WHERE kind = $1 AND form = 'exact' AND pattern = $2")
            .bind(kind.as_str())
            .bind(old)
            .fetch_one(&mut **t)
            .await?;
    // The same once more (an answer that came too late, asked for again) must not clear what has just been moved.
    if moving == 0 && last_entry(t, kind, new).await? == Some(("rename".to_owned(), old.to_owned())) {
        return Ok(0);
    }
    let mut rows = clear_inside(t, kind, new, Denials::Stay).await?;
    rows += clear(t, kind, new, Denials::Stay).await?;
    rows += sqlx::query(
        "DELETE FROM grants WHERE kind = $1 AND form = 'exact' AND pattern = $2 AND EXISTS (SELECT 1 FROM grants AS \
         denied WHERE denied.subject_kind = grants.subject_kind AND denied.subject = grants.subject \
         AND denied.kind = $1 AND denied.form = 'exact' AND denied.pattern = $3)",
    )
    .bind(kind.as_str())
    .bind(old)
    .bind(new)
    .execute(&mut **t)
    .await?
    .rows_affected();
    rows += sqlx::query("UPDATE grants SET pattern = $3 WHERE kind = $1 AND form = 'exact' AND pattern = $2")
        .bind(kind.as_str())
        .bind(old)
        .bind(new)
        .execute(&mut **t)
        .await?
        .rows_affected();
    let Some(inner) = named_inside(kind) else { return Ok(rows) };
    rows += sqlx::query(
        "DELETE FROM grants WHERE kind = $1 AND form = 'exact' AND substr(pattern, 1, length($2)) = $2 AND EXISTS \
         (SELECT 1 FROM grants AS denied WHERE denied.subject_kind = grants.subject_kind \
         AND denied.subject = grants.subject AND denied.kind = $1 AND denied.form = 'exact' \
         AND denied.pattern = $3 || substr(grants.pattern, length($2) + 1))",
    )
    .bind(inner.as_str())
    .bind(format!("{old}/"))
    .bind(format!("{new}/"))
    .execute(&mut **t)
    .await?
    .rows_affected();
    rows += sqlx::query(
        "UPDATE grants SET pattern = $3 || substr(pattern, length($2) + 1) \
         WHERE kind = $1 AND form = 'exact' AND substr(pattern, 1, length($2)) = $2",
    )
    .bind(inner.as_str())
    .bind(format!("{old}/"))
    .bind(format!("{new}/"))
    .execute(&mut **t)
    .await?
    .rows_affected();
    Ok(rows)
}

/// Verb and detail of the newest line in the log about this object.
async fn last_entry(
    t: &mut Transaction<'_, Sqlite>,
    kind: Kind,
    id: &str,
) -> Result<Option<(String, String)>, StoreFault> {
    Ok(sqlx::query_as(
        "SELECT verb, detail FROM changes WHERE object = $1 AND verb IN ('own', 'rename', 'forget') \
         ORDER BY id DESC LIMIT 1",
    )
    .bind(format!("{kind} {id}"))
    .fetch_optional(&mut **t)
    .await?)
}

/// What becomes of a DENY when grants are cleared.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Denials {
    Stay,
    Go,
}

async fn clear(t: &mut Transaction<'_, Sqlite>, kind: Kind, id: &str, denials: Denials) -> Result<u64, StoreFault> {
    Ok(sqlx::query(
        "DELETE FROM grants WHERE kind = $1 AND form = 'exact' AND pattern = $2 AND (permission <> 'DENY' OR $3 = 1)",
    )
    .bind(kind.as_str())
    .bind(id)
    .bind(i64::from(denials == Denials::Go))
    .execute(&mut **t)
    .await?
    .rows_affected())
}

/// The same for what is named after the object it lies in.
async fn clear_inside(
    t: &mut Transaction<'_, Sqlite>,
    kind: Kind,
    id: &str,
    denials: Denials,
) -> Result<u64, StoreFault> {
    let Some(inner) = named_inside(kind) else { return Ok(0) };
    Ok(sqlx::query(
        "DELETE FROM grants WHERE kind = $1 AND form = 'exact' AND substr(pattern, 1, length($2)) = $2 \
         AND (permission <> 'DENY' OR $3 = 1)",
    )
    .bind(inner.as_str())
    .bind(format!("{id}/"))
    .bind(i64::from(denials == Denials::Go))
    .execute(&mut **t)
    .await?
    .rows_affected())
}

/// Which kind of thing carries the name of the object it lies in; model names hold no `/`.
fn named_inside(kind: Kind) -> Option<Kind> {
    match kind {
        Kind::RegisteredModel => Some(Kind::ModelVersion),
        Kind::Workspace | Kind::Experiment | Kind::Run | Kind::LoggedModel | Kind::Trace | Kind::ModelVersion => None,
    }
}

fn subject_columns(subject: &Subject) -> (&'static str, &str) {
    match subject {
        Subject::User(name) => ("user", name.as_str()),
        Subject::Group(name) => ("group", name.as_str()),
    }
}

fn pattern_columns(pattern: &Pattern) -> (&'static str, &str) {
    match pattern {
        Pattern::Exactly(id) => ("exact", id),
        Pattern::Prefix(prefix) => ("prefix", prefix),
    }
}
