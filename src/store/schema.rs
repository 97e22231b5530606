//! Which tables are there, and how did they come to be?

use std::borrow::Cow;

use sqlx::SqlStr;
use sqlx::migrate::{Migration, MigrationType, Migrator};

/// What brings a database to the newest schema.
pub(super) fn migrator() -> Migrator {
    Migrator::with_migrations(migrations())
}

/// The number of the last step.
pub(super) fn newest() -> i64 {
    migrations().iter().map(|migration| migration.version).max().unwrap_or_default()
}

/// Every step of the schema, in order. What has once been released is never changed.
pub(super) fn migrations() -> Vec<Migration> {
    let migrations = [
        (1, "users, groups, grants, sessions", include_str!("../../migrations/0001_users_groups_grants_sessions.sql")),
        (2, "workspaces", include_str!("../../migrations/0002_workspaces.sql")),
        (3, "roles, ends of grants, numbers", include_str!("../../migrations/0003_roles_expiries_ids.sql")),
        (4, "requests for access", include_str!("../../migrations/0004_access_requests.sql")),
        (5, "marks of changes, keys", include_str!("../../migrations/0005_marks_of_changes_and_keys.sql")),
        (6, "service accounts, tokens", include_str!("../../migrations/0006_tokens.sql")),
        (7, "bindings", include_str!("../../migrations/0007_bindings.sql")),
        (8, "logins", include_str!("../../migrations/0008_logins.sql")),
    ];
    migrations
        .into_iter()
        .map(|(version, what, sql)| {
            let sql = SqlStr::from_static(sql);
            Migration::new(version, Cow::Borrowed(what), MigrationType::Simple, sql, false)
        })
        .collect()
}
