//! How is the SQLite file opened, brought to the newest schema, and read?
//!
//! One connection for everything: its `PRAGMA data_version` changes exactly when somebody else has committed
//! (<https://www.sqlite.org/pragma.html#pragma_data_version>).

use std::borrow::Cow;
use std::collections::HashMap;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, SqlStr, SqliteConnection};

use super::fault::StoreFault;
use super::session::{Row, Session, Sessions};
use super::snapshot::{Binding, GrantRecord, Group, User};
use crate::access::grant::{Grant, Pattern, Subject};
use crate::mlflow::ids::{GroupName, UserName, WorkspaceName};
use crate::mlflow::permission::Permission;
use crate::mlflow::resource::Kind;

/// Opens the file and brings it to the newest schema.
pub(super) async fn open(file: &Path, wait: Duration, most_pages: Option<u32>) -> Result<SqliteConnection, StoreFault> {
    let mut options = SqliteConnectOptions::new()
        .filename(file)
        .create_if_missing(false)
        .journal_mode(SqliteJournalMode::Wal)
        // INVARIANT: acknowledged is on the disk. WAL with NORMAL may lose the last commits with the power.
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(wait)
        .thread_name(|_| "trackgate-store".to_owned());
    if let Some(most) = most_pages {
        options = options.pragma("max_page_count", most.to_string());
    }
    let mut connection = options.connect().await?;
    migrator().run_direct(None, &mut connection, false).await?;
    Ok(connection)
}

fn migrator() -> Migrator {
    Migrator::with_migrations(migrations())
}

/// Every step of the schema, in order. What has once been released is never changed.
pub(super) fn migrations() -> Vec<Migration> {
    let migrations = [
        (
            1,
            "users, groups, grants, sessions",
            include_str!("../../migrations/sqlite/0001_users_groups_grants_sessions.sql"),
        ),
        (2, "workspaces", include_str!("../../migrations/sqlite/0002_workspaces.sql")),
    ];
    migrations
        .into_iter()
        .map(|(version, what, sql)| {
            let sql = SqlStr::from_static(sql);
            Migration::new(version, Cow::Borrowed(what), MigrationType::Simple, sql, false)
        })
        .collect()
}

/// Changes when another connection has committed.
pub(super) async fn data_version(connection: &mut SqliteConnection) -> Result<i64, StoreFault> {
    Ok(sqlx::query_scalar("PRAGMA data_version").fetch_one(connection).await?)
}

/// All that the snapshot is made of, from one transaction.
#[derive(Debug)]
pub(super) struct Everything {
    pub(super) users: Vec<User>,
    pub(super) groups: Vec<Group>,
    pub(super) grants: Vec<GrantRecord>,
}

/// Reads users, groups and grants.
pub(super) async fn load(connection: &mut SqliteConnection) -> Result<Everything, StoreFault> {
    let mut transaction = connection.begin().await?;
    let identities: Vec<(String, String, String)> =
        sqlx::query_as("SELECT user_name, issuer, subject FROM identities ORDER BY user_name, issuer")
            .fetch_all(&mut *transaction)
            .await?;
    let users: Vec<(String, i64, i64, i64)> =
        sqlx::query_as("SELECT name, admin, disabled, created FROM users ORDER BY name")
            .fetch_all(&mut *transaction)
            .await?;
    let memberships: Vec<(String, String)> =
        sqlx::query_as("SELECT group_name, user_name FROM memberships ORDER BY group_name, user_name")
            .fetch_all(&mut *transaction)
            .await?;
    let groups: Vec<(String, i64)> =
        sqlx::query_as("SELECT name, created FROM user_groups ORDER BY name").fetch_all(&mut *transaction).await?;
    let grants: Vec<GrantRow> = sqlx::query_as(
        "SELECT workspace, subject_kind, subject, kind, form, pattern, permission, created, created_by FROM grants \
         ORDER BY workspace <> 'default', workspace, subject_kind, subject, kind, form, pattern",
    )
    .fetch_all(&mut *transaction)
    .await?;
    transaction.commit().await?;

    let mut known: HashMap<String, Vec<Binding>> = HashMap::new();
    for (user, issuer, subject) in identities {
        known.entry(user).or_default().push(Binding { issuer: Arc::from(issuer), subject: Arc::from(subject) });
    }
    let mut members: HashMap<String, Vec<UserName>> = HashMap::new();
    for (group, user) in memberships {
        members.entry(group).or_default().push(user_name(&user)?);
    }
    let users = users
        .into_iter()
        .map(|(name, admin, disabled, created)| {
            let identities = known.remove(&name).unwrap_or_default();
            let created = created.unsigned_abs();
            Ok(User { name: user_name(&name)?, admin: admin != 0, disabled: disabled != 0, created, identities })
        })
        .collect::<Result<_, StoreFault>>()?;
    let groups = groups
        .into_iter()
        .map(|(name, created)| {
            let members = members.remove(&name).unwrap_or_default();
            Ok(Group { name: group_name(&name)?, members, created: created.unsigned_abs() })
        })
        .collect::<Result<_, StoreFault>>()?;
    let grants = grants.into_iter().map(grant).collect::<Result<_, _>>()?;
    Ok(Everything { users, groups, grants })
}

/// Reads the sessions.
pub(super) async fn load_sessions(connection: &mut SqliteConnection) -> Result<Sessions, StoreFault> {
    let rows: Vec<SessionRow> = sqlx::query_as(
        "SELECT id, user_name, issuer, subject, provider, user_groups, logout_hint, created, last_seen, ends \
         FROM sessions",
    )
    .fetch_all(connection)
    .await?;
    let sessions = rows.into_iter().filter_map(
        |(id, user, issuer, subject, provider, groups, logout_hint, created, last_seen, ends)| {
            // A row that cannot be read opens no session.
            Session::loaded(Row { id, user, issuer, subject, provider, groups, logout_hint, created, last_seen, ends })
        },
    );
    Ok(sessions.map(|session| (session.key, Arc::new(session))).collect())
}

type GrantRow = (String, String, String, String, String, String, String, i64, String);
type SessionRow = (String, String, String, String, String, String, Option<String>, i64, i64, i64);

// What cannot be read must not be left out: it could be a DENY.
fn grant(row: GrantRow) -> Result<GrantRecord, StoreFault> {
    let (workspace, subject_kind, subject, kind, form, pattern, permission, created, by) = row;
    let unreadable = || StoreFault::Corrupt(format!("a grant of {subject_kind} `{subject}` cannot be read"));
    let workspace = WorkspaceName::parse(&workspace).map_err(|_| unreadable())?;
    let subject = match subject_kind.as_str() {
        "user" => Subject::User(user_name(&subject)?),
        "group" => Subject::Group(group_name(&subject)?),
        _ => return Err(unreadable()),
    };
    let kind = Kind::from_str(&kind).map_err(|_| unreadable())?;
    let permission = Permission::from_str(&permission).map_err(|_| unreadable())?;
    let pattern = match form.as_str() {
        "exact" => Pattern::Exactly(Arc::from(pattern)),
        "prefix" => Pattern::Prefix(Arc::from(pattern)),
        _ => return Err(unreadable()),
    };
    let grant = Grant { subject, kind, pattern, permission };
    Ok(GrantRecord { workspace, grant, created: created.unsigned_abs(), by })
}

fn user_name(text: &str) -> Result<UserName, StoreFault> {
    UserName::parse(text).map_err(|error| StoreFault::Corrupt(error.to_string()))
}

fn group_name(text: &str) -> Result<GroupName, StoreFault> {
    GroupName::parse(text).map_err(|error| StoreFault::Corrupt(error.to_string()))
}
