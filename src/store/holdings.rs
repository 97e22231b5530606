//! Which rows do grants have, and how do they follow what they are on?
//!
//! Each function is a part of one transaction, notes whose grants it touches, and returns how many rows.

use std::borrow::Cow;
use std::sync::Arc;

use super::changes::By;
use super::engine::{Sql, Tx, sql};
use super::fault::StoreFault;
use super::news::{Part, number};
use super::roles;
use crate::access::grant::{Grant, Pattern, Subject};
use crate::mlflow::ids::{GroupName, UserName, WorkspaceName};
use crate::mlflow::permission::Permission;
use crate::mlflow::resource::Kind;

/// What a new grant may replace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Over {
    Anything,
    AllButDeny,
    Nothing,
}

/// How many rows it changed, and which number the grant has.
pub(super) async fn put(
    t: &mut Tx<'_>,
    workspace: &WorkspaceName,
    grant: &Grant,
    expires: Option<u64>,
    by: &By,
    now: i64,
    over: Over,
) -> Result<(u64, u64), StoreFault> {
    roles::ahead(expires, now)?;
    if let Subject::Role(role) = grant.subject {
        roles::in_its_workspace(t, role, workspace).await?;
    }
    let key = Key::new(workspace, &grant.subject, grant.kind, &grant.pattern);
    // One that has ended is none.
    t.run(key.bind("DELETE FROM grants WHERE workspace = $1 AND subject_kind = $2 AND subject = $3 AND kind = $4 AND form = $5 \
             AND pattern = $6 AND expires IS NOT NULL AND expires <= $7").bind(now)).await?;
    let old = key.bind("SELECT id, permission, expires FROM grants WHERE workspace = $1 AND subject_kind = $2 AND subject = $3 AND kind = $4 AND form = $5 \
             AND pattern = $6");
    let old: Option<(i64, String, Option<i64>)> = t.one(old).await?;
    roles::stand_for(t, &grant.subject, workspace, now).await?;
    if let Some((id, permission, until)) = old {
        let id = id.unsigned_abs();
        let same = permission == grant.permission.as_str() && until.map(i64::unsigned_abs) == expires;
        match over {
            Over::Nothing => {
                let name = format!("{}: {} {} in workspace {workspace}", grant.subject, grant.kind, grant.pattern);
                return Err(StoreFault::Exists { what: "grant", name });
            }
            Over::AllButDeny if permission == Permission::Deny.as_str() => return Ok((0, id)),
            Over::AllButDeny | Over::Anything if same => return Ok((0, id)),
            Over::AllButDeny | Over::Anything => {}
        }
        t.touch(Part::Holder(grant.subject.clone()));
        let update =
            sql("UPDATE grants SET permission = $2, expires = $3, created = $4, created_by = $5 WHERE id = $1");
        let update = update.bind(id).bind(grant.permission.as_str()).bind(expires).bind(now).bind(by.to_string());
        return Ok((t.run(update).await?, id));
    }
    let id = number(t, "grants").await?;
    t.touch(Part::Holder(grant.subject.clone()));
    let insert = key.bind(
        "INSERT INTO grants \
         (workspace, subject_kind, subject, kind, form, pattern, id, permission, expires, created, created_by) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
    );
    let insert = insert.bind(id).bind(grant.permission.as_str()).bind(expires).bind(now).bind(by.to_string());
    Ok((t.run(insert).await?, id))
}

/// Gives a grant another permission and another end.
pub(super) async fn change(
    t: &mut Tx<'_>,
    id: u64,
    permission: Permission,
    expires: Option<u64>,
    by: &By,
    now: i64,
) -> Result<u64, StoreFault> {
    roles::ahead(expires, now)?;
    let object = found(t, id, now).await?;
    let update = sql("UPDATE grants SET permission = $2, expires = $3, created = $4, created_by = $5 \
                      WHERE id = $1 AND (permission <> $2 OR COALESCE(expires, -1) <> COALESCE($3, -1))");
    let rows = t.run(update.bind(id).bind(permission.as_str()).bind(expires).bind(now).bind(by.to_string())).await?;
    if rows > 0 {
        t.log("grant", object.0, format!("{} {permission}{}", object.1, until(expires)));
    }
    Ok(rows)
}

/// Takes a grant back by its number.
pub(super) async fn remove(t: &mut Tx<'_>, id: u64, now: i64) -> Result<u64, StoreFault> {
    let (object, subject) = found(t, id, now).await?;
    t.log("revoke", object, subject.to_string());
    t.run(sql("DELETE FROM grants WHERE id = $1").bind(id)).await
}

/// What the grant of a number is on, and whose it is, which is touched thereby.
async fn found(t: &mut Tx<'_>, id: u64, now: i64) -> Result<(String, Subject), StoreFault> {
    let query = sql("SELECT workspace, subject_kind, subject, kind, form, pattern FROM grants \
                     WHERE id = $1 AND (expires IS NULL OR expires > $2)");
    let row: Option<(String, String, String, String, String, String)> = t.one(query.bind(id).bind(now)).await?;
    let Some((workspace, subject_kind, subject, kind, form, pattern)) = row else {
        return Err(StoreFault::NoSuch { what: "grant", name: id.to_string() });
    };
    let subject = subject_of(&subject_kind, &subject)?;
    t.touch(Part::Holder(subject.clone()));
    let corrupt = || StoreFault::Corrupt(format!("grant {id} cannot be read"));
    let workspace = WorkspaceName::parse(&workspace).map_err(|_| corrupt())?;
    let kind: Kind = kind.parse().map_err(|_| corrupt())?;
    let pattern = pattern_of(&form, &pattern).ok_or_else(corrupt)?;
    Ok((named(&workspace, kind, &pattern.to_string()), subject))
}

pub(super) async fn revoke(
    t: &mut Tx<'_>,
    workspace: &WorkspaceName,
    subject: &Subject,
    kind: Kind,
    pattern: &Pattern,
) -> Result<u64, StoreFault> {
    t.touch(Part::Holder(subject.clone()));
    t.run(Key::new(workspace, subject, kind, pattern).bind(
        "DELETE FROM grants WHERE workspace = $1 AND subject_kind = $2 AND subject = $3 AND kind = $4 AND form = $5 \
             AND pattern = $6",
    ))
    .await
}

/// Everything that a subject holds, in whatever workspace.
pub(super) async fn drop_all_of(t: &mut Tx<'_>, subject: &Subject) -> Result<u64, StoreFault> {
    let (subject_kind, name) = subject_columns(subject);
    t.touch(Part::Holder(subject.clone()));
    t.run(sql("DELETE FROM grants WHERE subject_kind = $1 AND subject = $2").bind(subject_kind).bind(&*name)).await
}

/// Everything whose end lies before `before`: it counts for nothing already. Each leaves its line.
pub(super) async fn sweep(t: &mut Tx<'_>, before: i64) -> Result<u64, StoreFault> {
    let gone = sql("DELETE FROM grants WHERE expires <= $1 \
                    RETURNING workspace, subject_kind, subject, kind, pattern, permission");
    let gone: Vec<(String, String, String, String, String, String)> = t.all(gone.bind(before)).await?;
    let mut rows = gone.len() as u64;
    for (workspace, subject_kind, subject, kind, pattern, permission) in gone {
        let subject = subject_of(&subject_kind, &subject)?;
        let place = if workspace == "default" { String::new() } else { format!("[{workspace}] ") };
        t.log("expire", format!("{place}{kind} {pattern}"), format!("{subject} {permission}"));
        t.touch(Part::Holder(subject));
    }
    let gone = sql("DELETE FROM assignments WHERE expires <= $1 RETURNING role_id, subject_kind, subject");
    let gone: Vec<(i64, String, String)> = t.all(gone.bind(before)).await?;
    rows += gone.len() as u64;
    for (role, subject_kind, subject) in gone {
        let subject = subject_of(&subject_kind, &subject)?;
        t.log("expire", format!("role {role}"), subject.to_string());
        t.touch(Part::Holder(subject));
    }
    let gone = sql("DELETE FROM create_rules WHERE expires <= $1 RETURNING subject_kind, subject, kind, pattern");
    let gone: Vec<(String, String, String, String)> = t.all(gone.bind(before)).await?;
    rows += gone.len() as u64;
    for (subject_kind, subject, kind, pattern) in gone {
        let subject = subject_of(&subject_kind, &subject)?;
        t.log("expire", format!("create {kind} {pattern}"), subject.to_string());
        t.touch(Part::Holder(subject));
    }
    Ok(rows)
}

/// Everything on exactly this object and on what is named after it; with a workspace, everything in it.
pub(super) async fn forget(t: &mut Tx<'_>, workspace: &WorkspaceName, kind: Kind, id: &str) -> Result<u64, StoreFault> {
    if kind == Kind::Workspace {
        let gone = sql("DELETE FROM grants WHERE workspace = $1 RETURNING subject_kind, subject").bind(id);
        return Ok(holders(t, gone).await? + roles::drop_all_in(t, id).await?);
    }
    let inside = clear_inside(t, workspace, kind, id, Denials::Go).await?;
    Ok(inside + clear(t, workspace, kind, id, Denials::Go).await?)
}

/// Gives MANAGE on a new object. Grants that lie on its very name are of an older object: they go, so that nobody
/// comes by a right on the new one by accident. A DENY stays: it takes nothing from anybody who should have it.
pub(super) async fn own(
    t: &mut Tx<'_>,
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
    Ok(inside + before + put(t, workspace, &grant, None, by, now, Over::AllButDeny).await?.0)
}

/// Moves grants from the old name to the new one, those on things inside with them. What lay on the new name before
/// goes; where somebody is denied on either name, the DENY is what remains.
pub(super) async fn rename(
    t: &mut Tx<'_>,
    workspace: &WorkspaceName,
    kind: Kind,
    old: &str,
    new: &str,
) -> Result<u64, StoreFault> {
    if old == new {
        return Ok(0);
    }
    let moving =
        sql("SELECT COUNT(*) FROM grants WHERE workspace = $3 AND kind = $1 AND form = 'exact' AND pattern = $2");
    let moving: Option<(i64,)> = t.one(moving.bind(kind.as_str()).bind(old).bind(workspace.as_str())).await?;
    // The same once more (an answer that came too late, asked for again) must not clear what has just been moved.
    if moving == Some((0,)) && last_entry(t, workspace, kind, new).await? == Some(("rename".to_owned(), old.to_owned()))
    {
        return Ok(0);
    }
    let mut rows = clear_inside(t, workspace, kind, new, Denials::Stay).await?;
    rows += clear(t, workspace, kind, new, Denials::Stay).await?;
    let place = |text, kind: Kind, old: &str, new: &str| {
        sql(text).bind(kind.as_str()).bind(old).bind(new).bind(workspace.as_str())
    };
    let denied = "DELETE FROM grants WHERE workspace = $4 AND kind = $1 AND form = 'exact' AND pattern = $2 AND EXISTS \
         (SELECT 1 FROM grants AS denied WHERE denied.workspace = $4 AND denied.subject_kind = grants.subject_kind \
         AND denied.subject = grants.subject AND denied.kind = $1 AND denied.form = 'exact' AND denied.pattern = $3) \
         RETURNING subject_kind, subject";
    rows += holders(t, place(denied, kind, old, new)).await?;
    let moved = "UPDATE grants SET pattern = $3 WHERE workspace = $4 AND kind = $1 AND form = 'exact' AND pattern = $2 \
         RETURNING subject_kind, subject";
    rows += holders(t, place(moved, kind, old, new)).await?;
    let Some(inner) = Kind::versions(kind) else { return Ok(rows) };
    let (old, new) = (format!("{old}/"), format!("{new}/"));
    let denied = "DELETE FROM grants WHERE workspace = $4 AND kind = $1 AND form = 'exact' \
         AND substr(pattern, 1, length($2)) = $2 AND EXISTS \
         (SELECT 1 FROM grants AS denied WHERE denied.workspace = $4 AND denied.subject_kind = grants.subject_kind \
         AND denied.subject = grants.subject AND denied.kind = $1 AND denied.form = 'exact' \
         AND denied.pattern = $3 || substr(grants.pattern, length($2) + 1)) RETURNING subject_kind, subject";
    rows += holders(t, place(denied, inner, &old, &new)).await?;
    let moved = "UPDATE grants SET pattern = $3 || substr(pattern, length($2) + 1) \
         WHERE workspace = $4 AND kind = $1 AND form = 'exact' AND substr(pattern, 1, length($2)) = $2 \
         RETURNING subject_kind, subject";
    rows += holders(t, place(moved, inner, &old, &new)).await?;
    Ok(rows)
}

/// Whether somebody else has come to own an object of this name since then.
pub(super) async fn made_by_another(
    t: &mut Tx<'_>,
    workspace: &WorkspaceName,
    kind: Kind,
    id: &str,
    user: &UserName,
    after: u64,
) -> Result<bool, StoreFault> {
    let made = sql("SELECT seq FROM changes WHERE object = $1 AND seq > $2 \
                    AND (verb = 'rename' OR (verb = 'own' AND detail <> $3)) AND NOT EXISTS (SELECT 1 FROM changes AS gone \
                    WHERE gone.object = $1 AND gone.verb = 'forget' AND gone.seq > changes.seq) LIMIT 1");
    let made = made.bind(named(workspace, kind, id)).bind(after).bind(user.to_string());
    Ok(t.one::<(i64,)>(made).await?.is_some())
}

/// How the log of changes names an object: by its workspace too, but for the `default` one.
pub(super) fn named(workspace: &WorkspaceName, kind: Kind, id: &str) -> String {
    // No kind begins with a bracket, so that nothing in one workspace is called like something in another.
    if workspace.is_default() { format!("{kind} {id}") } else { format!("[{workspace}] {kind} {id}") }
}

/// How the log of changes tells of an end.
pub(super) fn until(expires: Option<u64>) -> String {
    expires.map_or_else(String::new, |end| format!(" until {end}"))
}

/// Verb and detail of the newest line in the log about this object.
async fn last_entry(
    t: &mut Tx<'_>,
    workspace: &WorkspaceName,
    kind: Kind,
    id: &str,
) -> Result<Option<(String, String)>, StoreFault> {
    let last = sql("SELECT verb, detail FROM changes WHERE object = $1 AND verb IN ('own', 'rename', 'forget') \
                    ORDER BY seq DESC LIMIT 1");
    t.one(last.bind(named(workspace, kind, id))).await
}

/// What becomes of a DENY when grants are cleared.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Denials {
    Stay,
    Go,
}

async fn clear(
    t: &mut Tx<'_>,
    workspace: &WorkspaceName,
    kind: Kind,
    id: &str,
    denials: Denials,
) -> Result<u64, StoreFault> {
    let gone = sql("DELETE FROM grants WHERE workspace = $4 AND kind = $1 AND form = 'exact' AND pattern = $2 \
                    AND (permission <> 'DENY' OR $3 = 1) RETURNING subject_kind, subject");
    holders(t, gone.bind(kind.as_str()).bind(id).bind(denials == Denials::Go).bind(workspace.as_str())).await
}

/// The same for what is named after the object it lies in.
async fn clear_inside(
    t: &mut Tx<'_>,
    workspace: &WorkspaceName,
    kind: Kind,
    id: &str,
    denials: Denials,
) -> Result<u64, StoreFault> {
    let Some(inner) = Kind::versions(kind) else { return Ok(0) };
    let gone = sql("DELETE FROM grants WHERE workspace = $4 AND kind = $1 AND form = 'exact' \
                    AND substr(pattern, 1, length($2)) = $2 AND (permission <> 'DENY' OR $3 = 1) \
                    RETURNING subject_kind, subject");
    let gone = gone.bind(inner.as_str()).bind(format!("{id}/")).bind(denials == Denials::Go);
    holders(t, gone.bind(workspace.as_str())).await
}

/// Runs a statement that returns whose grants it changed, and notes them.
async fn holders(t: &mut Tx<'_>, statement: Sql) -> Result<u64, StoreFault> {
    let changed: Vec<(String, String)> = t.all(statement).await?;
    for (kind, name) in &changed {
        t.touch(Part::Holder(subject_of(kind, name)?));
    }
    Ok(changed.len() as u64)
}

/// What makes a grant the only one of its kind.
struct Key<'a> {
    workspace: &'a WorkspaceName,
    subject: (&'static str, Cow<'a, str>),
    kind: Kind,
    pattern: (&'static str, &'a str),
}

impl<'a> Key<'a> {
    fn new(workspace: &'a WorkspaceName, subject: &'a Subject, kind: Kind, pattern: &'a Pattern) -> Self {
        Self { workspace, subject: subject_columns(subject), kind, pattern: pattern_columns(pattern) }
    }

    /// The statement with the key as its first six values.
    fn bind(&self, text: &'static str) -> Sql {
        let statement = sql(text).bind(self.workspace.as_str()).bind(self.subject.0).bind(&*self.subject.1);
        statement.bind(self.kind.as_str()).bind(self.pattern.0).bind(self.pattern.1)
    }
}

pub(super) fn subject_columns(subject: &Subject) -> (&'static str, Cow<'_, str>) {
    match subject {
        Subject::User(name) => ("user", Cow::Borrowed(name.as_str())),
        Subject::Group(name) => ("group", Cow::Borrowed(name.as_str())),
        Subject::Role(id) => ("role", Cow::Owned(id.to_string())),
    }
}

pub(super) fn subject_of(kind: &str, name: &str) -> Result<Subject, StoreFault> {
    let subject = match kind {
        "user" => UserName::parse(name).ok().map(Subject::User),
        "group" => GroupName::parse(name).ok().map(Subject::Group),
        "role" => name.parse().ok().map(Subject::Role),
        _ => None,
    };
    // What cannot be read must not be left out: it could hold a DENY.
    subject.ok_or_else(|| StoreFault::Corrupt(format!("{kind} `{name}` cannot be read")))
}

pub(super) fn pattern_columns(pattern: &Pattern) -> (&'static str, &str) {
    match pattern {
        Pattern::Exactly(id) => ("exact", id),
        Pattern::Prefix(prefix) => ("prefix", prefix),
        Pattern::Glob(text) => ("glob", text),
    }
}

pub(super) fn pattern_of(form: &str, text: &str) -> Option<Pattern> {
    match form {
        "exact" => Some(Pattern::Exactly(Arc::from(text))),
        "prefix" => Some(Pattern::Prefix(Arc::from(text))),
        "glob" => Some(Pattern::Glob(Arc::from(text))),
        _ => None,
    }
}
