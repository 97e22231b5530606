//! What can be changed, and which rows does each change touch?
//!
//! Each change is one transaction, with its line in the table `changes`. Doing one twice is doing it once.

use std::sync::Arc;

use sqlx::{Connection, Sqlite, SqliteConnection, Transaction};
use uuid::Uuid;

use super::fault::StoreFault;
use super::holdings::{self, Over, named};
use super::people;
use super::session::{NewSession, SessionKey};
use crate::access::grant::{Grant, Pattern, Subject};
use crate::mlflow::ids::{GroupName, UserName, WorkspaceName};
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
    Grant(WorkspaceName, Grant),
    Revoke { workspace: WorkspaceName, subject: Subject, kind: Kind, pattern: Pattern },
    Own { workspace: WorkspaceName, kind: Kind, id: Arc<str>, user: UserName, unless_since: Option<u64> },
    Rename { workspace: WorkspaceName, kind: Kind, old: Arc<str>, new: Arc<str> },
    Forget { workspace: WorkspaceName, kind: Kind, id: Arc<str> },
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
            | Self::Grant(..)
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
            Self::Grant(workspace, grant) => {
                let object = named(workspace, grant.kind, &grant.pattern.to_string());
                ("grant", object, format!("{} {}", grant.subject, grant.permission))
            }
            Self::Revoke { workspace, subject, kind, pattern } => {
                ("revoke", named(workspace, *kind, &pattern.to_string()), subject.to_string())
            }
            Self::Own { workspace, kind, id, user, .. } => ("own", named(workspace, *kind, id), user.to_string()),
            Self::Rename { workspace, kind, old, new } => ("rename", named(workspace, *kind, new), old.to_string()),
            Self::Forget { workspace, kind, id } => ("forget", named(workspace, *kind, id), none()),
            Self::EndSessionsOf(user) => ("end-sessions", format!("user {user}"), none()),
            Self::EndAllSessions => ("end-sessions", "everybody".to_owned(), none()),
            Self::OpenSession(_) | Self::EndSession(_) | Self::SeenSessions(_) | Self::SweepSessions { .. } => {
                return None;
            }
        })
    }

    async fn rows(&self, t: &mut Transaction<'_, Sqlite>, by: &By, now: i64) -> Result<Changed, StoreFault> {
        let rows = match self {
            Self::Recognise { user, issuer, subject } => people::recognise(t, user, issuer, subject, now).await?,
            Self::AddUser(user) => people::add_user(t, user, now).await?,
            Self::RemoveUser(user) => {
                let grants = holdings::drop_all_of(t, &Subject::User(user.clone())).await?;
                grants + people::remove_user(t, user).await?
            }
            Self::SetAdmin(user, on) => people::set_admin(t, user, *on).await?,
            Self::SetDisabled(user, on) => people::set_disabled(t, user, *on).await?,
            Self::Relink(user) => people::relink(t, user).await?,
            Self::AddGroup(group) => people::add_group(t, group, now).await?,
            Self::RemoveGroup(group) => {
                let grants = holdings::drop_all_of(t, &Subject::Group(group.clone())).await?;
                grants + people::remove_group(t, group).await?
            }
            Self::AddMember(group, user) => people::add_member(t, group, user, now).await?,
            Self::RemoveMember(group, user) => people::remove_member(t, group, user).await?,
            Self::Grant(workspace, grant) => holdings::put(t, workspace, grant, by, now, Over::Anything).await?,
            Self::Revoke { workspace, subject, kind, pattern } => {
                holdings::revoke(t, workspace, subject, *kind, pattern).await?
            }
            Self::Own { workspace, kind, id, user, unless_since } => match unless_since {
                Some(since) if holdings::made_by_another(t, workspace, *kind, id, user, *since).await? => 0,
                _ => holdings::own(t, workspace, *kind, id, user, by, now).await?,
            },
            Self::Rename { workspace, kind, old, new } => holdings::rename(t, workspace, *kind, old, new).await?,
            Self::Forget { workspace, kind, id } => holdings::forget(t, workspace, *kind, id).await?,
            Self::OpenSession(new) => people::open_session(t, new, now).await?,
            Self::EndSession(key) => people::end_session(t, *key).await?,
            Self::EndSessionsOf(user) => people::end_sessions_of(t, user).await?,
            Self::EndAllSessions => people::end_all_sessions(t).await?,
            Self::SeenSessions(seen) => people::seen_sessions(t, seen).await?,
            Self::SweepSessions { used_before } => people::sweep_sessions(t, now, *used_before).await?,
        };
        Ok(Changed::rows(rows))
    }
}
