//! How are many changes made together, all of them or none?
//!
//! For policy files and imports. Each step says what it found when it was planned: where that is no longer so, somebody
//! else was faster, and nothing at all is changed. Roles go by their names here, as they may be made by the same batch.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use super::Store;
use super::bindings;
use super::changes::{By, Change, Changed};
use super::engine::{Sql, Tx, sql};
use super::fault::StoreFault;
use super::holdings::{named, pattern_columns, subject_columns, until};
use super::news::{Part, number, numbers};
use super::{people, roles};
use crate::access::binding::Binding;
use crate::access::grant::{Pattern, RoleId, Subject};
use crate::mlflow::ids::{GroupName, RoleName, UserName, WorkspaceName};
use crate::mlflow::permission::Permission;
use crate::mlflow::resource::Kind;

/// Who holds something, a role by its name in the workspace that the thing is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Named {
    /// One person or service account.
    User(UserName),
    /// Everybody in a group.
    Group(GroupName),
    /// Everybody who has the role.
    Role(RoleName),
}

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(name) => write!(f, "user:{name}"),
            Self::Group(name) => write!(f, "group:{name}"),
            Self::Role(name) => write!(f, "role:{name}"),
        }
    }
}

/// Which grant, or which rule of what may be created: there is one at most for each.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Spot {
    /// In which workspace.
    pub workspace: WorkspaceName,
    /// Whose.
    pub to: Named,
    /// On what kind of thing.
    pub kind: Kind,
    /// On which ones.
    pub pattern: Pattern,
}

/// Until when, in milliseconds since the epoch; `None`: for good.
pub type End = Option<u64>;

/// How much, and until when.
pub type Held = (Permission, End);

/// One change of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Adds a user; nothing where there is one.
    AddUser(UserName),
    /// Makes a user an administrator, or no longer one.
    SetAdmin(UserName, bool),
    /// Adds a group; nothing where there is one.
    AddGroup(GroupName),
    /// Removes a group with all that it holds.
    RemoveGroup(GroupName),
    /// Puts a user into a group.
    AddMember(GroupName, UserName),
    /// Takes a user out of a group.
    RemoveMember(GroupName, UserName),
    /// Makes a role.
    CreateRole {
        /// In which workspace.
        workspace: WorkspaceName,
        /// Under which name.
        name: RoleName,
        /// What it is for.
        description: Arc<str>,
    },
    /// Gives a role another description.
    DescribeRole {
        /// In which workspace.
        workspace: WorkspaceName,
        /// Which.
        name: RoleName,
        /// What it is for.
        description: Arc<str>,
    },
    /// Removes a role with all that it holds, from all who have it.
    DeleteRole {
        /// In which workspace.
        workspace: WorkspaceName,
        /// Which.
        name: RoleName,
    },
    /// Gives a role, or gives it another end.
    Assign {
        /// In which workspace.
        workspace: WorkspaceName,
        /// Which.
        role: RoleName,
        /// A user or a group.
        to: Subject,
        /// The end it had, if it was assigned.
        was: Option<End>,
        /// The end it gets.
        expires: Option<u64>,
    },
    /// Takes a role back.
    Unassign {
        /// In which workspace.
        workspace: WorkspaceName,
        /// Which.
        role: RoleName,
        /// From a user or a group.
        to: Subject,
    },
    /// Gives a grant, or changes it.
    Grant {
        /// Which.
        at: Spot,
        /// What it was.
        was: Option<Held>,
        /// What it becomes.
        held: Held,
    },
    /// Takes a grant back.
    Revoke {
        /// Which.
        at: Spot,
        /// What it was.
        was: Held,
    },
    /// Lets somebody create things, or gives that another end.
    Allow {
        /// Which rule.
        at: Spot,
        /// The end it had, if there was one like it.
        was: Option<End>,
        /// The end it gets.
        expires: Option<u64>,
    },
    /// Takes such a rule back.
    Disallow {
        /// Which rule.
        at: Spot,
    },
    /// Lets an outside identity act as a service account, or changes how.
    Bind {
        /// What it was.
        was: Option<Arc<Binding>>,
        /// What it becomes.
        new: Arc<Binding>,
    },
    /// Takes that back.
    Unbind {
        /// What it was.
        was: Arc<Binding>,
    },
}

impl Store {
    /// Makes all these changes in one transaction, in this order, or none of them.
    ///
    /// # Errors
    /// [`StoreFault::Moved`] where something is no longer as a step says, what each change by itself may meet, and what
    /// else can befall a database; then nothing is changed.
    pub async fn apply(&self, steps: Vec<Step>, by: By) -> Result<Changed, StoreFault> {
        if steps.is_empty() {
            return Ok(Changed::Nothing);
        }
        self.make(Change::Batch(steps.into()), by).await
    }
}

/// How much longer than a single change so many steps may take.
pub(super) fn longer(steps: &[Step]) -> Duration {
    Duration::from_millis(5).saturating_mul(u32::try_from(steps.len()).unwrap_or(u32::MAX))
}

/// What a batch has found out on its way.
#[derive(Default)]
struct Known {
    roles: HashMap<(WorkspaceName, RoleName), RoleId>,
    stood_for: HashSet<(Subject, WorkspaceName)>,
    /// Numbers for new grants, taken together.
    numbers: Range<u64>,
}

/// Makes every step; how many rows.
pub(super) async fn run(t: &mut Tx<'_>, steps: &[Step], by: &By, now: i64) -> Result<u64, StoreFault> {
    let mut known = Known::default();
    let new = steps.iter().filter(|step| matches!(step, Step::Grant { was: None, .. })).count();
    if new > 1 {
        known.numbers = numbers(t, "grants", new as u64).await?;
    }
    let mut rows = 0;
    for step in steps {
        rows += known.make(t, step, by, now).await?;
    }
    Ok(rows)
}

impl Known {
    async fn make(&mut self, t: &mut Tx<'_>, step: &Step, by: &By, now: i64) -> Result<u64, StoreFault> {
        match step {
            Step::AddUser(_)
            | Step::SetAdmin(..)
            | Step::AddGroup(_)
            | Step::RemoveGroup(_)
            | Step::AddMember(..)
            | Step::RemoveMember(..) => of_people(t, step, now).await,
            Step::CreateRole { workspace, name, description } => {
                let id = roles::create(t, workspace, name, description, by, now).await?;
                self.roles.insert((workspace.clone(), name.clone()), RoleId(id));
                t.log("add", format!("role {id}"), format!("{name} in {workspace}"));
                Ok(1)
            }
            Step::DescribeRole { workspace, name, description } => {
                let id = self.role(t, workspace, name).await?;
                let rows = roles::update(t, id, None, Some(description)).await?;
                t.log("rename", format!("role {id}"), name.to_string());
                Ok(rows)
            }
            Step::DeleteRole { workspace, name } => {
                let id = self.role(t, workspace, name).await?;
                self.roles.remove(&(workspace.clone(), name.clone()));
                t.log("remove", format!("role {id}"), name.to_string());
                roles::delete(t, id).await
            }
            Step::Assign { workspace, role, to, was, expires } => {
                let id = self.role(t, workspace, role).await?;
                assigned(t, id, to, *was, now).await?;
                if was.is_some() {
                    roles::unassign(t, id, to).await?;
                }
                roles::assign(t, id, to, *expires, by, now).await?;
                t.log("assign", format!("role {id}"), format!("{to}{}", until(*expires)));
                Ok(1)
            }
            Step::Unassign { workspace, role, to } => {
                let id = self.role(t, workspace, role).await?;
                t.log("unassign", format!("role {id}"), to.to_string());
                roles::unassign(t, id, to).await
            }
            Step::Grant { at, was, held } => self.grant(t, at, *was, *held, by, now).await,
            Step::Revoke { at, was } => self.revoke(t, at, *was, now).await,
            Step::Allow { at, was, expires } => self.allow(t, at, *was, *expires, by, now).await,
            Step::Bind { was, new } => bindings::bind(t, new, was.as_deref(), by, now).await,
            Step::Unbind { was } => bindings::unbind(t, was).await,
            Step::Disallow { at } => {
                let subject = self.subject(t, at).await?;
                let delete = key(
                    at,
                    &subject,
                    "DELETE FROM create_rules WHERE workspace = $1 AND subject_kind = $2 AND subject = $3 \
                     AND kind = $4 AND form = $5 AND pattern = $6",
                );
                if t.run(delete).await? == 0 {
                    return Err(moved(at));
                }
                t.log("remove-rule", named(&at.workspace, at.kind, &at.pattern.to_string()), subject.to_string());
                t.touch(Part::Holder(subject));
                Ok(1)
            }
        }
    }

    async fn role(&mut self, t: &mut Tx<'_>, workspace: &WorkspaceName, name: &RoleName) -> Result<RoleId, StoreFault> {
        let key = (workspace.clone(), name.clone());
        if let Some(id) = self.roles.get(&key) {
            return Ok(*id);
        }
        let found = sql("SELECT id FROM roles WHERE workspace = $1 AND name = $2 AND owner IS NULL");
        let found: Option<(i64,)> = t.one(found.bind(workspace.as_str()).bind(name.as_str())).await?;
        let id = found.ok_or_else(|| StoreFault::NoSuch { what: "role", name: format!("{name} in {workspace}") })?;
        let id = RoleId(id.0.unsigned_abs());
        self.roles.insert(key, id);
        Ok(id)
    }

    async fn subject(&mut self, t: &mut Tx<'_>, at: &Spot) -> Result<Subject, StoreFault> {
        Ok(match &at.to {
            Named::User(name) => Subject::User(name.clone()),
            Named::Group(name) => Subject::Group(name.clone()),
            Named::Role(name) => Subject::Role(self.role(t, &at.workspace, name).await?),
        })
    }

    async fn grant(
        &mut self,
        t: &mut Tx<'_>,
        at: &Spot,
        was: Option<Held>,
        (permission, expires): Held,
        by: &By,
        now: i64,
    ) -> Result<u64, StoreFault> {
        roles::ahead(expires, now)?;
        let subject = self.subject(t, at).await?;
        let old = found(t, at, &subject).await?;
        if counted(old.as_ref(), now) != was {
            return Err(moved(at));
        }
        if self.stood_for.insert((subject.clone(), at.workspace.clone())) {
            roles::stand_for(t, &subject, &at.workspace, now).await?;
        }
        let statement = if let Some(old) = old {
            sql("UPDATE grants SET permission = $2, expires = $3, created = $4, created_by = $5 WHERE id = $1")
                .bind(old.id)
        } else {
            let id = match self.numbers.next() {
                Some(id) => id,
                None => number(t, "grants").await?,
            };
            let insert = key(
                at,
                &subject,
                "INSERT INTO grants (workspace, subject_kind, subject, kind, form, pattern, id, permission, expires, \
                     created, created_by) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
            );
            insert.bind(id)
        };
        let statement = statement.bind(permission.as_str()).bind(expires).bind(now).bind(by.to_string());
        let rows = t.run(statement).await?;
        let object = named(&at.workspace, at.kind, &at.pattern.to_string());
        t.log("grant", object, format!("{subject} {permission}{}", until(expires)));
        t.touch(Part::Holder(subject));
        Ok(rows)
    }

    async fn revoke(&mut self, t: &mut Tx<'_>, at: &Spot, was: Held, now: i64) -> Result<u64, StoreFault> {
        let subject = self.subject(t, at).await?;
        let old = found(t, at, &subject).await?;
        if counted(old.as_ref(), now) != Some(was) {
            return Err(moved(at));
        }
        let id = old.map(|old| old.id).unwrap_or_default();
        t.log("revoke", named(&at.workspace, at.kind, &at.pattern.to_string()), subject.to_string());
        t.touch(Part::Holder(subject));
        t.run(sql("DELETE FROM grants WHERE id = $1").bind(id)).await
    }

    async fn allow(
        &mut self,
        t: &mut Tx<'_>,
        at: &Spot,
        was: Option<End>,
        expires: Option<u64>,
        by: &By,
        now: i64,
    ) -> Result<u64, StoreFault> {
        let subject = self.subject(t, at).await?;
        let found = key(
            at,
            &subject,
            "SELECT id, expires FROM create_rules WHERE workspace = $1 AND subject_kind = $2 AND subject = $3 \
             AND kind = $4 AND form = $5 AND pattern = $6",
        );
        let found: Option<(i64, Option<i64>)> = t.one(found).await?;
        let old = found.map(|(_, end)| end.map(i64::unsigned_abs)).filter(|end| lives(*end, now));
        if old != was {
            return Err(moved(at));
        }
        if let Some((id, _)) = found {
            t.run(sql("DELETE FROM create_rules WHERE id = $1").bind(id)).await?;
        }
        let Spot { workspace, kind, pattern, .. } = at.clone();
        let rule = roles::NewRule { workspace, subject: subject.clone(), kind, pattern, expires };
        roles::add_rule(t, &rule, by, now).await?;
        let object = named(&at.workspace, at.kind, &at.pattern.to_string());
        t.log("add-rule", object, format!("{subject}{}", until(expires)));
        Ok(1)
    }
}

async fn of_people(t: &mut Tx<'_>, step: &Step, now: i64) -> Result<u64, StoreFault> {
    Ok(match step {
        Step::AddUser(user) => {
            t.log("add", format!("user {user}"), String::new());
            people::add_user(t, user, now).await?
        }
        Step::SetAdmin(user, on) => {
            t.log("admin", format!("user {user}"), on.to_string());
            people::set_admin(t, user, *on).await?
        }
        Step::AddGroup(group) => {
            t.log("add", format!("group {group}"), String::new());
            people::add_group(t, group, now).await?
        }
        Step::RemoveGroup(group) => {
            t.log("remove", format!("group {group}"), String::new());
            let held = super::changes::drop_all_of(t, &Subject::Group(group.clone())).await?;
            held + people::remove_group(t, group).await?
        }
        Step::AddMember(group, user) => {
            t.log("add-member", format!("group {group}"), user.to_string());
            people::add_member(t, group, user, now).await?
        }
        Step::RemoveMember(group, user) => {
            t.log("remove-member", format!("group {group}"), user.to_string());
            people::remove_member(t, group, user).await?
        }
        _ => 0,
    })
}

/// A grant as its row has it.
struct Old {
    id: i64,
    permission: String,
    expires: Option<u64>,
}

async fn found(t: &mut Tx<'_>, at: &Spot, subject: &Subject) -> Result<Option<Old>, StoreFault> {
    let query = key(
        at,
        subject,
        "SELECT id, permission, expires FROM grants WHERE workspace = $1 AND subject_kind = $2 AND subject = $3 \
         AND kind = $4 AND form = $5 AND pattern = $6",
    );
    let row: Option<(i64, String, Option<i64>)> = t.one(query).await?;
    Ok(row.map(|(id, permission, end)| Old { id, permission, expires: end.map(i64::unsigned_abs) }))
}

/// What a row counts for now. One that has ended is none.
fn counted(old: Option<&Old>, now: i64) -> Option<Held> {
    let old = old.filter(|old| lives(old.expires, now))?;
    Some((old.permission.parse().ok()?, old.expires))
}

fn lives(expires: Option<u64>, now: i64) -> bool {
    super::records::counts(expires, now.unsigned_abs())
}

/// Whether a role is assigned as the plan found it.
async fn assigned(t: &mut Tx<'_>, role: RoleId, to: &Subject, was: Option<End>, now: i64) -> Result<(), StoreFault> {
    let (kind, name) = subject_columns(to);
    let query = sql("SELECT expires FROM assignments WHERE role_id = $1 AND subject_kind = $2 AND subject = $3");
    let row: Option<(Option<i64>,)> = t.one(query.bind(role.0).bind(kind).bind(&*name)).await?;
    let old = row.map(|(end,)| end.map(i64::unsigned_abs)).filter(|end| lives(*end, now));
    if old == was { Ok(()) } else { Err(StoreFault::Moved(format!("role {role} of {to}"))) }
}

fn moved(at: &Spot) -> StoreFault {
    StoreFault::Moved(format!("what {} holds on {} {} in workspace {}", at.to, at.kind, at.pattern, at.workspace))
}

fn key(at: &Spot, subject: &Subject, text: &'static str) -> Sql {
    let (subject_kind, name) = subject_columns(subject);
    let (form, pattern) = pattern_columns(&at.pattern);
    let statement = sql(text).bind(at.workspace.as_str()).bind(subject_kind).bind(&*name);
    statement.bind(at.kind.as_str()).bind(form).bind(pattern)
}
