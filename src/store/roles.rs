//! Which rows do roles have, who has them, and who may create what?
//!
//! Each function is a part of one transaction and notes which parts of the state it touches.

use super::changes::By;
use super::engine::{Tx, sql};
use super::fault::StoreFault;
use super::holdings::{pattern_columns, subject_columns, subject_of};
use super::news::{Part, number};
use crate::access::grant::{Pattern, RoleId, Subject};
use crate::mlflow::ids::{RoleName, WorkspaceName};
use crate::mlflow::resource::Kind;

pub(super) async fn create(
    t: &mut Tx<'_>,
    workspace: &WorkspaceName,
    name: &RoleName,
    description: &str,
    by: &By,
    now: i64,
) -> Result<u64, StoreFault> {
    free(t, workspace, name, None).await?;
    let id = number(t, "roles").await?;
    t.touch(Part::Role(RoleId(id)));
    let insert = sql("INSERT INTO roles (id, workspace, name, description, owner_kind, owner, created, created_by) \
                      VALUES ($1, $2, $3, $4, NULL, NULL, $5, $6)");
    let insert = insert.bind(id).bind(workspace.as_str()).bind(name.as_str()).bind(description);
    t.run(insert.bind(now).bind(by.to_string())).await?;
    Ok(id)
}

pub(super) async fn update(
    t: &mut Tx<'_>,
    role: RoleId,
    name: Option<&RoleName>,
    description: Option<&str>,
) -> Result<u64, StoreFault> {
    let workspace = given_away(t, role).await?;
    let mut rows = 0;
    if let Some(name) = name {
        free(t, &workspace, name, Some(role)).await?;
        rows += t
            .run(sql("UPDATE roles SET name = $2 WHERE id = $1 AND name <> $2").bind(role.0).bind(name.as_str()))
            .await?;
    }
    if let Some(text) = description {
        rows += t
            .run(sql("UPDATE roles SET description = $2 WHERE id = $1 AND description <> $2").bind(role.0).bind(text))
            .await?;
    }
    t.touch(Part::Role(role));
    Ok(rows)
}

/// With all that it holds, and from all who have it.
pub(super) async fn delete(t: &mut Tx<'_>, role: RoleId) -> Result<u64, StoreFault> {
    given_away(t, role).await?;
    drop_role(t, role).await
}

async fn drop_role(t: &mut Tx<'_>, role: RoleId) -> Result<u64, StoreFault> {
    let had = sql("DELETE FROM assignments WHERE role_id = $1 RETURNING subject_kind, subject").bind(role.0);
    let had: Vec<(String, String)> = t.all(had).await?;
    for (kind, name) in &had {
        t.touch(Part::Holder(subject_of(kind, name)?));
    }
    let text = role.to_string();
    t.run(sql("DELETE FROM grants WHERE subject_kind = 'role' AND subject = $1").bind(&*text)).await?;
    t.run(sql("DELETE FROM create_rules WHERE subject_kind = 'role' AND subject = $1").bind(&*text)).await?;
    t.touch(Part::Holder(Subject::Role(role)));
    t.touch(Part::Role(role));
    t.run(sql("DELETE FROM roles WHERE id = $1").bind(role.0)).await
}

/// Every role of a workspace that is no more.
pub(super) async fn drop_all_in(t: &mut Tx<'_>, workspace: &str) -> Result<u64, StoreFault> {
    let roles: Vec<(i64,)> = t.all(sql("SELECT id FROM roles WHERE workspace = $1").bind(workspace)).await?;
    for (id,) in &roles {
        drop_role(t, RoleId(id.unsigned_abs())).await?;
    }
    let gone = sql("DELETE FROM create_rules WHERE workspace = $1 RETURNING subject_kind, subject").bind(workspace);
    let rules: Vec<(String, String)> = t.all(gone).await?;
    for (kind, name) in &rules {
        t.touch(Part::Holder(subject_of(kind, name)?));
    }
    Ok((roles.len() + rules.len()) as u64)
}

pub(super) async fn assign(
    t: &mut Tx<'_>,
    role: RoleId,
    to: &Subject,
    expires: Option<u64>,
    by: &By,
    now: i64,
) -> Result<u64, StoreFault> {
    given_away(t, role).await?;
    if let Subject::Role(_) = to {
        return Err(StoreFault::RoleOfRole);
    }
    ahead(expires, now)?;
    let (kind, name) = subject_columns(to);
    let old = sql("DELETE FROM assignments WHERE role_id = $1 AND subject_kind = $2 AND subject = $3 \
                   AND expires IS NOT NULL AND expires <= $4");
    t.run(old.bind(role.0).bind(kind).bind(&*name).bind(now)).await?;
    let id = number(t, "assignments").await?;
    t.touch(Part::Holder(to.clone()));
    let insert = sql("INSERT INTO assignments (id, role_id, subject_kind, subject, expires, created, created_by) \
                      VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (role_id, subject_kind, subject) DO NOTHING");
    let insert = insert.bind(id).bind(role.0).bind(kind).bind(&*name).bind(expires).bind(now).bind(by.to_string());
    if t.run(insert).await? == 0 {
        return Err(StoreFault::Exists { what: "assignment", name: format!("{to} to role {role}") });
    }
    Ok(id)
}

pub(super) async fn unassign(t: &mut Tx<'_>, role: RoleId, to: &Subject) -> Result<u64, StoreFault> {
    given_away(t, role).await?;
    let (kind, name) = subject_columns(to);
    t.touch(Part::Holder(to.clone()));
    let delete = sql("DELETE FROM assignments WHERE role_id = $1 AND subject_kind = $2 AND subject = $3");
    let rows = t.run(delete.bind(role.0).bind(kind).bind(&*name)).await?;
    if rows == 0 {
        return Err(StoreFault::NoSuch { what: "assignment", name: format!("{to} to role {role}") });
    }
    Ok(rows)
}

/// What a subject has of others: its roles, and its rules; and the roles that stand for it.
pub(super) async fn drop_all_of(t: &mut Tx<'_>, subject: &Subject) -> Result<u64, StoreFault> {
    let (kind, name) = subject_columns(subject);
    t.touch(Part::Holder(subject.clone()));
    let hidden = sql("DELETE FROM roles WHERE owner_kind = $1 AND owner = $2 RETURNING id").bind(kind).bind(&*name);
    let hidden: Vec<(i64,)> = t.all(hidden).await?;
    for (id,) in &hidden {
        t.touch(Part::Role(RoleId(id.unsigned_abs())));
    }
    let delete = sql("DELETE FROM create_rules WHERE subject_kind = $1 AND subject = $2");
    let rules = t.run(delete.bind(kind).bind(&*name)).await?;
    let delete = sql("DELETE FROM assignments WHERE subject_kind = $1 AND subject = $2");
    Ok(rules + t.run(delete.bind(kind).bind(&*name)).await?)
}

/// Makes the role that stands for what a known subject holds in a workspace, where there is none yet.
pub(super) async fn stand_for(
    t: &mut Tx<'_>,
    subject: &Subject,
    workspace: &WorkspaceName,
    now: i64,
) -> Result<(), StoreFault> {
    let (kind, name) = subject_columns(subject);
    let there = sql("SELECT id FROM roles WHERE owner_kind = $1 AND owner = $2 AND workspace = $3");
    if t.one::<(i64,)>(there.bind(kind).bind(&*name).bind(workspace.as_str())).await?.is_some() {
        return Ok(());
    }
    let known = match subject {
        Subject::User(_) => sql("SELECT id FROM users WHERE name = $1"),
        Subject::Group(_) => sql("SELECT id FROM user_groups WHERE name = $1"),
        Subject::Role(_) => return Ok(()),
    };
    let Some((owner,)) = t.one::<(i64,)>(known.bind(&*name)).await? else { return Ok(()) };
    let id = number(t, "roles").await?;
    t.touch(Part::Role(RoleId(id)));
    let insert = sql("INSERT INTO roles (id, workspace, name, description, owner_kind, owner, created, created_by) \
                      VALUES ($1, $2, $3, '', $4, $5, $6, 'trackgate')");
    let insert = insert.bind(id).bind(workspace.as_str()).bind(format!("__{kind}_{owner}__"));
    t.run(insert.bind(kind).bind(&*name).bind(now)).await?;
    Ok(())
}

/// The same in every workspace where somebody who has become known was given something in advance.
pub(super) async fn stand_for_all(t: &mut Tx<'_>, subject: &Subject, now: i64) -> Result<(), StoreFault> {
    let (kind, name) = subject_columns(subject);
    let places = sql("SELECT DISTINCT workspace FROM grants WHERE subject_kind = $1 AND subject = $2");
    let places: Vec<(String,)> = t.all(places.bind(kind).bind(&*name)).await?;
    for (workspace,) in places {
        let workspace = WorkspaceName::parse(&workspace).map_err(|error| StoreFault::Corrupt(error.to_string()))?;
        stand_for(t, subject, &workspace, now).await?;
    }
    Ok(())
}

/// The workspace of a role that can be given away: those that stand for their owners cannot.
pub(super) async fn given_away(t: &mut Tx<'_>, role: RoleId) -> Result<WorkspaceName, StoreFault> {
    let found: Option<(String, Option<String>)> =
        t.one(sql("SELECT workspace, owner FROM roles WHERE id = $1").bind(role.0)).await?;
    match found {
        None => Err(StoreFault::NoSuch { what: "role", name: role.to_string() }),
        Some((_, Some(_))) => Err(StoreFault::OwnRole(role)),
        Some((workspace, None)) => {
            WorkspaceName::parse(&workspace).map_err(|error| StoreFault::Corrupt(error.to_string()))
        }
    }
}

async fn free(
    t: &mut Tx<'_>,
    workspace: &WorkspaceName,
    name: &RoleName,
    but: Option<RoleId>,
) -> Result<(), StoreFault> {
    if name.as_str().starts_with("__") {
        return Err(StoreFault::OwnName(name.clone()));
    }
    let taken = sql("SELECT id FROM roles WHERE workspace = $1 AND name = $2 AND id <> $3");
    let taken = taken.bind(workspace.as_str()).bind(name.as_str()).bind(but.map_or(0, |role| role.0));
    if t.one::<(i64,)>(taken).await?.is_some() {
        return Err(StoreFault::Exists { what: "role", name: format!("{name} in workspace {workspace}") });
    }
    Ok(())
}

/// What has an end must have it ahead.
pub(super) fn ahead(expires: Option<u64>, now: i64) -> Result<(), StoreFault> {
    match expires {
        Some(end) if i64::try_from(end).is_err() || end <= now.unsigned_abs() => Err(StoreFault::EndPassed),
        _ => Ok(()),
    }
}

// --- who may create what ---

/// A rule that is to be.
#[derive(Debug, Clone)]
pub(super) struct NewRule {
    pub(super) workspace: WorkspaceName,
    pub(super) subject: Subject,
    pub(super) kind: Kind,
    pub(super) pattern: Pattern,
    pub(super) expires: Option<u64>,
}

pub(super) async fn add_rule(t: &mut Tx<'_>, rule: &NewRule, by: &By, now: i64) -> Result<u64, StoreFault> {
    ahead(rule.expires, now)?;
    if let Subject::Role(role) = rule.subject {
        in_its_workspace(t, role, &rule.workspace).await?;
    }
    let (subject_kind, subject) = subject_columns(&rule.subject);
    let (form, pattern) = pattern_columns(&rule.pattern);
    let key = |text| {
        let key = sql(text).bind(rule.workspace.as_str()).bind(subject_kind).bind(&*subject);
        key.bind(rule.kind.as_str()).bind(form).bind(pattern)
    };
    let old =
        key("DELETE FROM create_rules WHERE workspace = $1 AND subject_kind = $2 AND subject = $3 AND kind = $4 \
         AND form = $5 AND pattern = $6 AND expires IS NOT NULL AND expires <= $7");
    t.run(old.bind(now)).await?;
    let id = number(t, "create_rules").await?;
    t.touch(Part::Holder(rule.subject.clone()));
    let insert = key("INSERT INTO create_rules \
         (workspace, subject_kind, subject, kind, form, pattern, id, expires, created, created_by) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) \
         ON CONFLICT (workspace, subject_kind, subject, kind, form, pattern) DO NOTHING");
    if t.run(insert.bind(id).bind(rule.expires).bind(now).bind(by.to_string())).await? == 0 {
        return Err(StoreFault::Exists {
            what: "rule",
            name: format!("{} may create {} {}", rule.subject, rule.kind, rule.pattern),
        });
    }
    Ok(id)
}

pub(super) async fn remove_rule(t: &mut Tx<'_>, id: u64) -> Result<u64, StoreFault> {
    let gone = sql("DELETE FROM create_rules WHERE id = $1 RETURNING subject_kind, subject, kind, pattern").bind(id);
    let gone: Option<(String, String, String, String)> = t.one(gone).await?;
    let Some((subject_kind, subject, kind, pattern)) = gone else {
        return Err(StoreFault::NoSuch { what: "rule", name: id.to_string() });
    };
    let subject = subject_of(&subject_kind, &subject)?;
    t.log("remove-rule", format!("{kind} {pattern}"), subject.to_string());
    t.touch(Part::Holder(subject));
    Ok(1)
}

/// A role holds things in its own workspace alone.
pub(super) async fn in_its_workspace(
    t: &mut Tx<'_>,
    role: RoleId,
    workspace: &WorkspaceName,
) -> Result<(), StoreFault> {
    let own = given_away(t, role).await?;
    if own == *workspace { Ok(()) } else { Err(StoreFault::Elsewhere { role, workspace: own }) }
}
