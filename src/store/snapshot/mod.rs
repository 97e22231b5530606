//! Who is who and who holds what, at one moment, in memory?
//!
//! A snapshot is never changed: a change makes another one, which shares with it all that the change did not touch.

mod change;
mod principal;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use super::bindings::Bindings;
use super::holder::Holder;
use super::records::{GrantRecord, Group, Role, User, counts};
use super::shards::Shards;
use crate::access::grant::{GrantSet, Pattern, RoleId, Subject};
use crate::mlflow::ids::{GroupName, RoleName, UserName, WorkspaceName};
use crate::mlflow::permission::Permission;
use crate::mlflow::resource::{Kind, Resource};

/// What the settings say of people.
#[derive(Debug, Clone, Default)]
pub(super) struct Given {
    /// Administrators besides those in the store.
    pub(super) admins: Arc<HashSet<UserName>>,
    /// What everybody holds in the workspace `default`.
    pub(super) everybody: Option<Arc<GrantSet>>,
}

/// Everything but sessions, as it was after one change and before the next.
#[derive(Debug, Clone, Default)]
pub(super) struct Snapshot {
    given: Given,
    users: Shards<UserName, Arc<User>>,
    user_ids: Shards<u64, UserName>,
    /// Whose names look so.
    looks: Shards<Arc<str>, Arc<Vec<UserName>>>,
    groups: Shards<GroupName, Arc<GroupEntry>>,
    roles: Shards<RoleId, Arc<RoleEntry>>,
    role_names: Shards<(WorkspaceName, RoleName), RoleId>,
    hidden: Shards<(Subject, WorkspaceName), RoleId>,
    of_users: Shards<UserName, Arc<Holder>>,
    of_groups: Shards<GroupName, Arc<Holder>>,
    of_roles: Shards<RoleId, Arc<Holder>>,
    /// Who holds the grant of a number.
    grant_ids: Shards<u64, Subject>,
    /// Which grants there are on exactly this object.
    on_objects: Shards<(WorkspaceName, Kind, Arc<str>), Arc<Vec<u64>>>,
    /// Which grants there are on patterns.
    on_patterns: Shards<(WorkspaceName, Kind), Numbered>,
    /// Which outside identities act as which service accounts.
    bindings: Bindings,
    /// How many grants there are on what experiments are called.
    by_name: usize,
}

/// Patterns with the numbers of the grants on them.
type Numbered = Arc<Vec<(Pattern, u64)>>;

/// Where a grant is found: workspace, kind and pattern.
type Key<'a> = (&'a WorkspaceName, Kind, &'a Pattern);

/// A group and who is in it.
#[derive(Debug, Clone, Default)]
struct GroupEntry {
    /// `None`: users are said to be in it, but it was not read yet.
    known: Option<(u64, u64)>,
    members: BTreeSet<UserName>,
}

/// A role and who has it.
#[derive(Debug, Clone, Default)]
struct RoleEntry {
    /// `None`: it is assigned, but it was not read yet.
    role: Option<Arc<Role>>,
    /// By the assignment's number.
    assigned: Vec<(u64, Subject)>,
}

impl Snapshot {
    /// Nothing but what the settings say.
    pub(super) fn new(given: Given) -> Self {
        Self { given, ..Self::default() }
    }

    pub(super) fn user(&self, name: &UserName) -> Option<&Arc<User>> {
        self.users.get(name)
    }

    pub(super) fn user_by_id(&self, id: u64) -> Option<&Arc<User>> {
        self.users.get(self.user_ids.get(&id)?)
    }

    /// Whose names look so ([`look`]).
    pub(super) fn looking(&self, look: &str) -> &[UserName] {
        self.looks.get(look).map_or(&[], |same| same)
    }

    pub(super) fn users(&self) -> impl Iterator<Item = &Arc<User>> {
        self.users.values()
    }

    pub(super) fn group(&self, name: &GroupName) -> Option<Group> {
        let entry = self.groups.get(name)?;
        let (id, created) = entry.known?;
        Some(Group { id, name: name.clone(), members: entry.members.iter().cloned().collect(), created })
    }

    pub(super) fn groups(&self) -> impl Iterator<Item = Group> {
        self.groups.iter().filter_map(|(name, _)| self.group(name))
    }

    pub(super) fn role(&self, id: RoleId) -> Option<&Arc<Role>> {
        self.roles.get(&id)?.role.as_ref()
    }

    pub(super) fn role_named(&self, workspace: &WorkspaceName, name: &RoleName) -> Option<&Arc<Role>> {
        self.role(*self.role_names.get(&(workspace.clone(), name.clone()))?)
    }

    pub(super) fn hidden_role(&self, owner: &Subject, workspace: &WorkspaceName) -> Option<&Arc<Role>> {
        self.role(*self.hidden.get(&(owner.clone(), workspace.clone()))?)
    }

    pub(super) fn roles(&self) -> impl Iterator<Item = &Arc<Role>> {
        self.roles.values().filter_map(|entry| entry.role.as_ref())
    }

    /// Who has a role, by the assignment's number.
    pub(super) fn having(&self, role: RoleId) -> &[(u64, Subject)] {
        self.roles.get(&role).map_or(&[], |entry| &entry.assigned)
    }

    pub(super) fn holder(&self, subject: &Subject) -> Option<&Arc<Holder>> {
        match subject {
            Subject::User(name) => self.of_users.get(name),
            Subject::Group(name) => self.of_groups.get(name),
            Subject::Role(id) => self.of_roles.get(id),
        }
    }

    pub(super) fn holders(&self) -> impl Iterator<Item = &Arc<Holder>> {
        self.of_users.values().chain(self.of_groups.values()).chain(self.of_roles.values())
    }

    pub(super) fn grant(&self, id: u64) -> Option<GrantRecord> {
        self.holder(self.grant_ids.get(&id)?)?.grant(id)
    }

    /// Every grant that speaks of the object, by number, those that have ended too.
    pub(super) fn grants_on(&self, workspace: &WorkspaceName, kind: Kind, id: &Arc<str>) -> Vec<GrantRecord> {
        let exact = self.on_objects.get(&(workspace.clone(), kind, Arc::clone(id)));
        let mut ids: Vec<u64> = exact.map_or_else(Vec::new, |ids| ids.to_vec());
        if let Some(patterns) = self.on_patterns.get(&(workspace.clone(), kind)) {
            ids.extend(patterns.iter().filter(|(pattern, _)| pattern.matches(id)).map(|(_, id)| *id));
        }
        ids.sort_unstable();
        ids.into_iter().filter_map(|id| self.grant(id)).collect()
    }

    /// The experiments that grants speak of by their ids, or that things lie in which grants speak of so.
    pub(super) fn experiments_granted(&self, workspace: &WorkspaceName) -> BTreeSet<Arc<str>> {
        let here = self.on_objects.iter().filter(|((place, ..), _)| place == workspace);
        let things = here.map(|((_, kind, id), _)| {
            Resource::named(*kind, id).unwrap_or_else(|| Resource::top(*kind, Arc::clone(id)))
        });
        things.filter_map(|thing| thing.experiment().cloned()).collect()
    }

    /// Whether anybody holds anything, anywhere, by what experiments are called.
    pub(super) fn speaks_of_names(&self) -> bool {
        self.by_name > 0
    }

    /// Who holds MANAGE on one of the levels at `now`, nearest first; in a role's place those who have it. With `called`,
    /// what the experiment is called, grants on names count too.
    pub(super) fn managers(
        &self,
        workspace: &WorkspaceName,
        resource: &Resource,
        called: Option<&Arc<str>>,
        most: usize,
        now: u64,
    ) -> Vec<Subject> {
        let mut found: Vec<Subject> = Vec::new();
        for object in resource.levels() {
            let by_name = called
                .filter(|_| object.kind == Kind::Experiment)
                .map_or_else(Vec::new, |name| self.grants_on(workspace, Kind::ExperimentName, name));
            for record in self.grants_on(workspace, object.kind, &object.id).into_iter().chain(by_name) {
                if record.grant.permission != Permission::Manage || !counts(record.expires, now) {
                    continue;
                }
                let subjects = match record.grant.subject {
                    Subject::Role(id) => self.has_now(id, now),
                    subject => vec![subject],
                };
                for subject in subjects {
                    let gone = match &subject {
                        Subject::User(name) => self.users.get(name).is_none_or(|user| user.disabled),
                        Subject::Group(_) | Subject::Role(_) => false,
                    };
                    if found.len() == most {
                        return found;
                    }
                    if !gone && !found.contains(&subject) {
                        found.push(subject);
                    }
                }
            }
        }
        found
    }

    /// Which roles somebody has at `now`, be it by a group, by number.
    pub(super) fn roles_of(&self, user: &UserName, vouched: &[GroupName], now: u64) -> Vec<Arc<Role>> {
        let holders = self.direct(self.users.get(user).map(|user| &**user), user, vouched);
        let mut ids = having(&holders, now);
        ids.sort_unstable();
        ids.into_iter().filter_map(|id| self.role(id).cloned()).collect()
    }

    fn has_now(&self, role: RoleId, now: u64) -> Vec<Subject> {
        let still = |id: u64, to: &Subject| {
            self.holder(to).is_some_and(|holder| {
                holder.assigned.iter().any(|assignment| assignment.id == id && counts(assignment.expires, now))
            })
        };
        self.having(role).iter().filter(|(id, to)| still(*id, to)).map(|(_, to)| to.clone()).collect()
    }

    /// How many grants there are.
    pub(super) fn size(&self) -> usize {
        self.grant_ids.len()
    }
}

/// Which roles these have at `now`, each once.
fn having(holders: &[&Holder], now: u64) -> Vec<RoleId> {
    let mut roles: Vec<RoleId> = Vec::new();
    for assignment in holders.iter().flat_map(|holder| &holder.assigned) {
        if counts(assignment.expires, now) && !roles.contains(&assignment.role) {
            roles.push(assignment.role);
        }
    }
    roles
}
