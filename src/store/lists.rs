//! What is there, and who holds what?
//!
//! Answered from memory. What has ended is not there. Of everything that stands on the way of a request nothing walks
//! over all there is; what does says so.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::Store;
use super::records::{Assignment, CreateRule, GrantRecord, Group, Role, User, counts};
use crate::access::grant::{RoleId, Subject};
use crate::mlflow::ids::{GroupName, RoleName, UserName, WorkspaceName};
use crate::mlflow::resource::{Kind, Resource};

impl Store {
    // --- people ---

    /// The user of this name.
    #[must_use]
    pub fn user(&self, name: &UserName) -> Option<Arc<User>> {
        self.memory.snapshot.load().user(name).cloned()
    }

    /// The user of this number.
    #[must_use]
    pub fn user_by_id(&self, id: u64) -> Option<Arc<User>> {
        self.memory.snapshot.load().user_by_id(id).cloned()
    }

    /// Everybody the store knows, by name. Walks over all.
    #[must_use]
    pub fn users(&self) -> Vec<Arc<User>> {
        let mut all: Vec<_> = self.memory.snapshot.load().users().cloned().collect();
        all.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        all
    }

    /// Whom the store knows by a name that looks so ([`crate::mlflow::look`]).
    #[must_use]
    pub fn looking(&self, look: &str) -> Vec<UserName> {
        self.memory.snapshot.load().looking(look).to_vec()
    }

    /// Who is in which group by the word of an identity provider, as far as open sessions tell. Walks over all of them.
    #[must_use]
    pub fn vouched(&self) -> BTreeMap<GroupName, BTreeSet<UserName>> {
        let mut vouched: BTreeMap<GroupName, BTreeSet<UserName>> = BTreeMap::new();
        let now = self.clock.now();
        for session in self.memory.sessions.load().values().filter(|session| now < session.identity.until) {
            for group in &session.identity.groups {
                vouched.entry(group.clone()).or_default().insert(session.identity.user.clone());
            }
        }
        vouched
    }

    /// The group of this name, if the store has it.
    #[must_use]
    pub fn group(&self, name: &GroupName) -> Option<Group> {
        self.memory.snapshot.load().group(name)
    }

    /// The store's groups, by name. Walks over all.
    #[must_use]
    pub fn groups(&self) -> Vec<Group> {
        let mut all: Vec<_> = self.memory.snapshot.load().groups().collect();
        all.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        all
    }

    // --- grants ---

    /// Every grant: those in `default` first, then by workspace, subject and what they are on. Walks over all.
    #[must_use]
    pub fn grants(&self) -> Vec<GrantRecord> {
        let now = self.clock.millis();
        let snapshot = self.memory.snapshot.load();
        let mut all = Vec::with_capacity(snapshot.size());
        all.extend(snapshot.holders().flat_map(|holder| holder.grants()).filter(|record| counts(record.expires, now)));
        all.sort_by_cached_key(|record| {
            let GrantRecord { workspace, grant, .. } = record;
            let (kind, pattern) = (grant.kind.as_str(), grant.pattern.clone());
            (!workspace.is_default(), workspace.clone(), word(&grant.subject), grant.subject.clone(), kind, pattern)
        });
        all
    }

    /// The grant of this number.
    #[must_use]
    pub fn grant_by_id(&self, id: u64) -> Option<GrantRecord> {
        let found = self.memory.snapshot.load().grant(id);
        found.filter(|record| counts(record.expires, self.clock.millis()))
    }

    /// What a subject holds by itself, in one workspace or in all, by number.
    #[must_use]
    pub fn grants_of(&self, subject: &Subject, workspace: Option<&WorkspaceName>) -> Vec<GrantRecord> {
        let now = self.clock.millis();
        let snapshot = self.memory.snapshot.load();
        let Some(holder) = snapshot.holder(subject) else { return Vec::new() };
        let here = |record: &GrantRecord| workspace.is_none_or(|workspace| record.workspace == *workspace);
        let mut found: Vec<_> = holder.grants().filter(|record| here(record) && counts(record.expires, now)).collect();
        found.sort_unstable_by_key(|record| record.id);
        found
    }

    /// Every grant that speaks of this object itself, be it on its id or on a pattern that it matches, by number. Grants
    /// on what it lies in are not among them.
    #[must_use]
    pub fn grants_on(&self, workspace: &WorkspaceName, kind: Kind, id: &str) -> Vec<GrantRecord> {
        let now = self.clock.millis();
        let mut found = self.memory.snapshot.load().grants_on(workspace, kind, &Arc::from(id));
        found.retain(|record| counts(record.expires, now));
        found
    }

    /// Who holds MANAGE on the resource or on what it lies in, the nearest first, `most` of them at most: those whom one
    /// asks for a permission on it. In the place of a role stand those who have it. With `called`, what its experiment is
    /// called, those who hold it by that name are among them.
    #[must_use]
    pub fn managers(
        &self,
        workspace: &WorkspaceName,
        resource: &Resource,
        called: Option<&Arc<str>>,
        most: usize,
    ) -> Vec<Subject> {
        self.memory.snapshot.load().managers(workspace, resource, called, most, self.clock.millis())
    }

    /// Whether anybody holds anything, in whatever workspace, by what experiments are called.
    #[must_use]
    pub fn speaks_of_names(&self) -> bool {
        self.memory.snapshot.load().speaks_of_names()
    }

    /// The experiments that grants in the workspace speak of by their ids, themselves or by things that lie in them. Walks
    /// over all.
    #[must_use]
    pub fn experiments_granted(&self, workspace: &WorkspaceName) -> BTreeSet<Arc<str>> {
        self.memory.snapshot.load().experiments_granted(workspace)
    }

    /// Everybody who holds grants or rules, or has roles: users, groups, then roles, each by name or number. Walks over
    /// all, but takes none of what they hold along.
    #[must_use]
    pub fn holders(&self) -> Vec<Subject> {
        let mut all: Vec<_> = self.memory.snapshot.load().holders().map(|holder| holder.subject.clone()).collect();
        all.sort_unstable();
        all
    }

    // --- roles ---

    /// The role of this number.
    #[must_use]
    pub fn role(&self, id: RoleId) -> Option<Arc<Role>> {
        self.memory.snapshot.load().role(id).cloned()
    }

    /// The role of this name in a workspace.
    #[must_use]
    pub fn role_named(&self, workspace: &WorkspaceName, name: &RoleName) -> Option<Arc<Role>> {
        self.memory.snapshot.load().role_named(workspace, name).cloned()
    }

    /// The role that stands for what a user or a group holds in a workspace. There is one from their first grant on; none
    /// for people who never signed in and are in no list, nor for groups that an issuer alone knows.
    #[must_use]
    pub fn hidden_role(&self, owner: &Subject, workspace: &WorkspaceName) -> Option<Arc<Role>> {
        self.memory.snapshot.load().hidden_role(owner, workspace).cloned()
    }

    /// The roles of one workspace or of all, by number, those too that stand for their owners. Walks over all.
    #[must_use]
    pub fn roles(&self, workspace: Option<&WorkspaceName>) -> Vec<Arc<Role>> {
        let snapshot = self.memory.snapshot.load();
        let here = |role: &&Arc<Role>| workspace.is_none_or(|workspace| role.workspace == *workspace);
        let mut all: Vec<_> = snapshot.roles().filter(here).cloned().collect();
        all.sort_unstable_by_key(|role| role.id);
        all
    }

    /// Who has a role, by the assignments' numbers.
    #[must_use]
    pub fn assignments_of_role(&self, role: RoleId) -> Vec<Assignment> {
        let now = self.clock.millis();
        let snapshot = self.memory.snapshot.load();
        let of = |(id, to): &(u64, Subject)| {
            let assigned = &snapshot.holder(to)?.assigned;
            assigned.iter().find(|assignment| assignment.id == *id && counts(assignment.expires, now)).cloned()
        };
        snapshot.having(role).iter().filter_map(of).collect()
    }

    /// Which roles a user or a group was given, by the assignments' numbers.
    #[must_use]
    pub fn assignments_to(&self, to: &Subject) -> Vec<Assignment> {
        let now = self.clock.millis();
        let snapshot = self.memory.snapshot.load();
        let Some(holder) = snapshot.holder(to) else { return Vec::new() };
        holder.assigned.iter().filter(|assignment| counts(assignment.expires, now)).cloned().collect()
    }

    /// Which roles a user has: those given to them, to the store's groups they are in, to groups in `vouched` (which their
    /// issuer names), and to everybody. Each role once, by number; not the one that stands for them.
    #[must_use]
    pub fn roles_of(&self, user: &UserName, vouched: &[GroupName]) -> Vec<Arc<Role>> {
        self.memory.snapshot.load().roles_of(user, vouched, self.clock.millis())
    }

    // --- who may create what ---

    /// The rules of one workspace or of all, by number. Walks over all who hold anything.
    #[must_use]
    pub fn create_rules(&self, workspace: Option<&WorkspaceName>) -> Vec<CreateRule> {
        let now = self.clock.millis();
        let snapshot = self.memory.snapshot.load();
        let here = |rule: &&CreateRule| workspace.is_none_or(|workspace| rule.workspace == *workspace);
        let rules = snapshot.holders().flat_map(|holder| holder.rules());
        let mut all: Vec<_> = rules.filter(here).filter(|rule| counts(rule.expires, now)).cloned().collect();
        all.sort_unstable_by_key(|rule| rule.id);
        all
    }

    /// What a subject itself may create, by number.
    #[must_use]
    pub fn create_rules_of(&self, subject: &Subject) -> Vec<CreateRule> {
        let now = self.clock.millis();
        let snapshot = self.memory.snapshot.load();
        let Some(holder) = snapshot.holder(subject) else { return Vec::new() };
        let mut found: Vec<_> = holder.rules().filter(|rule| counts(rule.expires, now)).cloned().collect();
        found.sort_unstable_by_key(|rule| rule.id);
        found
    }

    /// Every session in the table, also those whose limits have passed but which are not swept out yet.
    #[must_use]
    pub fn sessions(&self) -> Vec<Arc<super::Session>> {
        let mut all: Vec<_> = self.memory.sessions.load().values().cloned().collect();
        all.sort_by_key(|session| Reverse(session.last_seen()));
        all
    }
}

fn word(subject: &Subject) -> &'static str {
    match subject {
        Subject::Group(_) => "group",
        Subject::Role(_) => "role",
        Subject::User(_) => "user",
    }
}
