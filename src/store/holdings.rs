//! Which rows do grants have, and how do they follow what they are on?
//!
//! Each function is a part of one transaction and returns how many rows it touched.

use std::sync::Arc;

use sqlx::{Sqlite, Transaction};

use super::changes::By;
use super::fault::StoreFault;
use crate::access::grant::{Grant, Pattern, Subject};
use crate::mlflow::ids::{UserName, WorkspaceName};
use crate::mlflow::permission::Permission;
use crate::mlflow::resource::Kind;

/// What a new grant may replace.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Over {
    Anything,
    AllButDeny,
}

pub(super) async fn put(
    t: &mut Transaction<'_, Sqlite>,
    workspace: &WorkspaceName,
    grant: &Grant,
    by: &By,
    now: i64,
    over: Over,
) -> Result<u64, StoreFault> {
    let (subject_kind, subject) = subject_columns(&grant.subject);
    let (form, pattern) = pattern_columns(&grant.pattern);
    Ok(sqlx::query(
        "INSERT INTO grants (workspace, subject_kind, subject, kind, form, pattern, permission, created, created_by) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) \
         ON CONFLICT (workspace, subject_kind, subject, kind, form, pattern) DO UPDATE \
         SET permission = excluded.permission, created = excluded.created, created_by = excluded.created_by \
         WHERE grants.permission <> excluded.permission AND (grants.permission <> 'DENY' OR $10 = 1)",
    )
    .bind(workspace.as_str())
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

pub(super) async fn revoke(
    t: &mut Transaction<'_, Sqlite>,
    workspace: &WorkspaceName,
    subject: &Subject,
    kind: Kind,
    pattern: &Pattern,
) -> Result<u64, StoreFault> {
    let (subject_kind, name) = subject_columns(subject);
    let (form, text) = pattern_columns(pattern);
    Ok(sqlx::query(
        "DELETE FROM grants WHERE workspace = $1 AND subject_kind = $2 AND subject = $3 AND kind = $4 AND form = $5 \
         AND pattern = $6",
    )
    .bind(workspace.as_str())
    .bind(subject_kind)
    .bind(name)
    .bind(kind.as_str())
    .bind(form)
    .bind(text)
    .execute(&mut **t)
    .await?
    .rows_affected())
}

/// Everything that a subject holds, in whatever workspace.
pub(super) async fn drop_all_of(t: &mut Transaction<'_, Sqlite>, subject: &Subject) -> Result<u64, StoreFault> {
    let (subject_kind, name) = subject_columns(subject);
    Ok(sqlx::query("DELETE FROM grants WHERE subject_kind = $1 AND subject = $2")
        .bind(subject_kind)
        .bind(name)
        .execute(&mut **t)
        .await?
        .rows_affected())
}

/// Everything on exactly this object and on what is named after it; with a workspace, everything in it.
pub(super) async fn forget(
    t: &mut Transaction<'_, Sqlite>,
    workspace: &WorkspaceName,
    kind: Kind,
    id: &str,
) -> Result<u64, StoreFault> {
    if kind == Kind::Workspace {
        return Ok(sqlx::query("DELETE FROM grants WHERE workspace = $1")
            .bind(id)
            .execute(&mut **t)
            .await?
            .rows_affected());
    }
    let inside = clear_inside(t, workspace, kind, id, Denials::Go).await?;
    Ok(inside + clear(t, workspace, kind, id, Denials::Go).await?)
}

/// Gives MANAGE on a new object. Grants that lie on its very name are of an older object: they go, so that nobody
/// comes by a right on the new one by accident. A DENY stays: it takes nothing from anybody who should have it.
pub(super) async fn own(
    t: &mut Transaction<'_, Sqlite>,
    workspace: &WorkspaceName,
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
        permission: Permission::Manage,
    };
    let inside = clear_inside(t, workspace, kind, id, Denials::Stay).await?;
    let before = clear(t, workspace, kind, id, Denials::Stay).await?;
    Ok(inside + before + put(t, workspace, &grant, by, now, Over::AllButDeny).await?)
}

/// Moves grants from the old name to the new one, those on things inside with them. What lay on the new name before
/// goes; where somebody is denied on either name, the DENY is what remains.
pub(super) async fn rename(
    t: &mut Transaction<'_, Sqlite>,
    workspace: &WorkspaceName,
    kind: Kind,
    old: &str,
    new: &str,
) -> Result<u64, StoreFault> {
    if old == new {
        return Ok(0);
    }
    let moving: i64 = sqlx::query_scalar(
        "SELECT COUNT(*) FROM grants WHERE workspace = $3 AND kind = $1 AND form = 'exact' AND pattern = $2",
    )
    .bind(kind.as_str())
    .bind(old)
    .bind(workspace.as_str())
    .fetch_one(&mut **t)
    .await?;
    // The same once more (an answer that came too late, asked for again) must not clear what has just been moved.
    if moving == 0 && last_entry(t, workspace, kind, new).await? == Some(("rename".to_owned(), old.to_owned())) {
        return Ok(0);
    }
    let mut rows = clear_inside(t, workspace, kind, new, Denials::Stay).await?;
    rows += clear(t, workspace, kind, new, Denials::Stay).await?;
    rows += sqlx::query(
        "DELETE FROM grants WHERE workspace = $4 AND kind = $1 AND form = 'exact' AND pattern = $2 AND EXISTS \
         (SELECT 1 FROM grants AS denied WHERE denied.workspace = $4 AND denied.subject_kind = grants.subject_kind \
         AND denied.subject = grants.subject AND denied.kind = $1 AND denied.form = 'exact' AND denied.pattern = $3)",
    )
    .bind(kind.as_str())
    .bind(old)
    .bind(new)
    .bind(workspace.as_str())
    .execute(&mut **t)
    .await?
    .rows_affected();
    rows += sqlx::query(
        "UPDATE grants SET pattern = $3 WHERE workspace = $4 AND kind = $1 AND form = 'exact' AND pattern = $2",
    )
    .bind(kind.as_str())
    .bind(old)
    .bind(new)
    .bind(workspace.as_str())
    .execute(&mut **t)
    .await?
    .rows_affected();
    let Some(inner) = Kind::versions(kind) else { return Ok(rows) };
    rows += sqlx::query(
        "DELETE FROM grants WHERE workspace = $4 AND kind = $1 AND form = 'exact' \
         AND substr(pattern, 1, length($2)) = $2 AND EXISTS \
         (SELECT 1 FROM grants AS denied WHERE denied.workspace = $4 AND denied.subject_kind = grants.subject_kind \
         AND denied.subject = grants.subject AND denied.kind = $1 AND denied.form = 'exact' \
         AND denied.pattern = $3 || substr(grants.pattern, length($2) + 1))",
    )
    .bind(inner.as_str())
    .bind(format!("{old}/"))
    .bind(format!("{new}/"))
    .bind(workspace.as_str())
    .execute(&mut **t)
    .await?
    .rows_affected();
    rows += sqlx::query(
        "UPDATE grants SET pattern = $3 || substr(pattern, length($2) + 1) \
         WHERE workspace = $4 AND kind = $1 AND form = 'exact' AND substr(pattern, 1, length($2)) = $2",
    )
    .bind(inner.as_str())
    .bind(format!("{old}/"))
    .bind(format!("{new}/"))
    .bind(workspace.as_str())
    .execute(&mut **t)
    .await?
    .rows_affected();
    Ok(rows)
}

/// Whether somebody else has come to own an object of this name since then.
pub(super) async fn made_by_another(
    t: &mut Transaction<'_, Sqlite>,
    workspace: &WorkspaceName,
    kind: Kind,
    id: &str,
    user: &UserName,
    since: u64,
) -> Result<bool, StoreFault> {
    let since = i64::try_from(since).unwrap_or(i64::MAX);
    Ok(sqlx::query_scalar(
        "SELECT EXISTS (SELECT 1 FROM changes WHERE object = $1 AND at >= $2 \
         AND (verb = 'rename' OR (verb = 'own' AND detail <> $3)) AND NOT EXISTS (SELECT 1 FROM changes AS gone \
         WHERE gone.object = $1 AND gone.verb = 'forget' AND gone.id > changes.id))",
    )
    .bind(named(workspace, kind, id))
    .bind(since)
    .bind(user.to_string())
    .fetch_one(&mut **t)
    .await?)
}

/// How the log of changes names an object: by its workspace too, but for the `default` one.
pub(super) fn named(workspace: &WorkspaceName, kind: Kind, id: &str) -> String {
    // No kind begins with a bracket, so that nothing in one workspace is called like something in another.
    if workspace.is_default() { format!("{kind} {id}") } else { format!("[{workspace}] {kind} {id}") }
}

/// Verb and detail of the newest line in the log about this object.
async fn last_entry(
    t: &mut Transaction<'_, Sqlite>,
    workspace: &WorkspaceName,
    kind: Kind,
    id: &str,
) -> Result<Option<(String, String)>, StoreFault> {
    Ok(sqlx::query_as(
        "SELECT verb, detail FROM changes WHERE object = $1 AND verb IN ('own', 'rename', 'forget') \
         ORDER BY id DESC LIMIT 1",
    )
    .bind(named(workspace, kind, id))
    .fetch_optional(&mut **t)
    .await?)
}

/// What becomes of a DENY when grants are cleared.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Denials {
    Stay,
    Go,
}

async fn clear(
    t: &mut Transaction<'_, Sqlite>,
    workspace: &WorkspaceName,
    kind: Kind,
    id: &str,
    denials: Denials,
) -> Result<u64, StoreFault> {
    Ok(sqlx::query(
        "DELETE FROM grants WHERE workspace = $4 AND kind = $1 AND form = 'exact' AND pattern = $2 \
         AND (permission <> 'DENY' OR $3 = 1)",
    )
    .bind(kind.as_str())
    .bind(id)
    .bind(i64::from(denials == Denials::Go))
    .bind(workspace.as_str())
    .execute(&mut **t)
    .await?
    .rows_affected())
}

/// The same for what is named after the object it lies in.
async fn clear_inside(
    t: &mut Transaction<'_, Sqlite>,
    workspace: &WorkspaceName,
    kind: Kind,
    id: &str,
    denials: Denials,
) -> Result<u64, StoreFault> {
    let Some(inner) = Kind::versions(kind) else { return Ok(0) };
    Ok(sqlx::query(
        "DELETE FROM grants WHERE workspace = $4 AND kind = $1 AND form = 'exact' \
         AND substr(pattern, 1, length($2)) = $2 AND (permission <> 'DENY' OR $3 = 1)",
    )
    .bind(inner.as_str())
    .bind(format!("{id}/"))
    .bind(i64::from(denials == Denials::Go))
    .bind(workspace.as_str())
    .execute(&mut **t)
    .await?
    .rows_affected())
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
