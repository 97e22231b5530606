//! Who is who and who holds what, at one moment, in memory?
//!
//! A snapshot is never changed: a change makes another one, which shares with it all that the change did not touch.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use super::bindings::Bindings;
use super::fault::PrincipalFault;
use super::holder::Holder;
use super::records::{Assignment, EVERYBODY, GrantRecord, Group, Role, User, counts};
use super::shards::Shards;
use crate::access::grant::{GrantSet, Pattern, RoleId, Subject};
use crate::access::identity::{Identity, Names, Principal, Proof};
use crate::mlflow::ids::{GroupName, RoleName, UserName, WorkspaceName};
use crate::mlflow::look::look;
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

    // --- how it comes to be ---

    /// Puts a user in the place of the one of that name; or takes them out.
    pub(super) fn put_user(&mut self, name: &UserName, user: Option<User>) {
        let old = self.users.get(name).cloned();
        if let Some(old) = &old {
            self.user_ids.set(old.id, None);
        }
        let none: &[GroupName] = &[];
        let before = old.as_ref().map_or(none, |user| &user.groups);
        let after = user.as_ref().map_or(none, |user| &user.groups);
        for group in before.iter().filter(|group| !after.contains(group)) {
            self.edit_group(group, |entry| {
                entry.members.remove(name);
            });
        }
        for group in after.iter().filter(|group| !before.contains(group)) {
            self.edit_group(group, |entry| {
                entry.members.insert(name.clone());
            });
        }
        if let Some(user) = &user {
            self.user_ids.set(user.id, Some(name.clone()));
        }
        if old.is_some() != user.is_some() {
            self.looks.edit(Arc::from(look(name.as_str())), |same| {
                let mut same = same.unwrap_or_default();
                let names = Arc::make_mut(&mut same);
                names.retain(|other| other != name);
                if user.is_some() {
                    names.push(name.clone());
                }
                (!same.is_empty()).then_some(same)
            });
        }
        self.users.set(name.clone(), user.map(Arc::new));
    }

    /// Puts a group, given by number and time, in the place of the one of that name; or takes it out.
    pub(super) fn put_group(&mut self, name: &GroupName, known: Option<(u64, u64)>) {
        self.edit_group(name, |entry| entry.known = known);
    }

    fn edit_group(&mut self, name: &GroupName, edit: impl FnOnce(&mut GroupEntry)) {
        self.groups.edit(name.clone(), |entry| {
            let mut entry = entry.unwrap_or_default();
            edit(Arc::make_mut(&mut entry));
            (entry.known.is_some() || !entry.members.is_empty()).then_some(entry)
        });
    }

    /// Puts a role in the place of the one of that number; or takes it out.
    pub(super) fn put_role(&mut self, id: RoleId, role: Option<Role>) {
        if let Some(old) = self.role(id).cloned() {
            self.role_names.set((old.workspace.clone(), old.name.clone()), None);
            if let Some(owner) = &old.owner {
                self.hidden.set((owner.clone(), old.workspace.clone()), None);
            }
        }
        let role = role.map(Arc::new);
        if let Some(role) = &role {
            self.role_names.set((role.workspace.clone(), role.name.clone()), Some(id));
            if let Some(owner) = &role.owner {
                self.hidden.set((owner.clone(), role.workspace.clone()), Some(id));
            }
        }
        // Reasons name the role.
        let name = role.as_ref().map(|role| role.name.to_shared());
        if let Some(holder) = self.of_roles.get(&id) {
            let holder = holder.renamed(name);
            self.of_roles.set(id, Some(Arc::new(holder)));
        }
        self.edit_role(id, |entry| entry.role = role);
    }

    /// Puts these bindings in the place of those from before. Where they say the same, nothing changes.
    pub(super) fn put_bindings(&mut self, bindings: Bindings) {
        if self.bindings != bindings {
            self.bindings = bindings;
        }
    }

    /// The very bindings of an older snapshot, where they say the same.
    pub(super) fn keep_bindings(&mut self, older: &Self) {
        if self.bindings == older.bindings {
            self.bindings = Bindings::clone(&older.bindings);
        }
    }

    pub(super) fn bindings(&self) -> Bindings {
        Bindings::clone(&self.bindings)
    }

    fn edit_role(&mut self, id: RoleId, edit: impl FnOnce(&mut RoleEntry)) {
        self.roles.edit(id, |entry| {
            let mut entry = entry.unwrap_or_default();
            edit(Arc::make_mut(&mut entry));
            (entry.role.is_some() || !entry.assigned.is_empty()).then_some(entry)
        });
    }

    /// Puts what a subject holds in the place of what it held. Only what differs is listed anew.
    pub(super) fn put_holder(&mut self, holder: Holder) {
        let old = self.holder(&holder.subject).cloned();
        let before: HashMap<u64, Key<'_>> = old.iter().flat_map(|old| old.keys()).collect();
        let after: HashMap<u64, Key<'_>> = if old.is_some() { holder.keys().collect() } else { HashMap::new() };
        for (id, key) in &before {
            if after.get(id) != Some(key) {
                self.unlist(*id, *key);
            }
        }
        for (id, key) in holder.keys() {
            if before.get(&id) != Some(&key) {
                self.list(&holder.subject, id, key);
            }
        }
        let had = old.as_ref().map_or(&[][..], |old| &old.assigned);
        let same = |one: &Assignment, other: &Assignment| one.id == other.id && one.role == other.role;
        for gone in had.iter().filter(|one| !holder.assigned.iter().any(|other| same(one, other))) {
            self.edit_role(gone.role, |entry| entry.assigned.retain(|(id, _)| *id != gone.id));
        }
        for new in holder.assigned.iter().filter(|one| !had.iter().any(|other| same(one, other))) {
            self.edit_role(new.role, |entry| {
                let at = entry.assigned.partition_point(|(known, _)| *known < new.id);
                entry.assigned.insert(at, (new.id, new.to.clone()));
            });
        }
        drop((before, after));
        let subject = holder.subject.clone();
        let holder = (!holder.is_empty()).then(|| Arc::new(holder));
        match subject {
            Subject::User(name) => self.of_users.set(name, holder),
            Subject::Group(name) => self.of_groups.set(name, holder),
            Subject::Role(id) => self.of_roles.set(id, holder),
        }
    }

    fn list(&mut self, subject: &Subject, id: u64, (workspace, kind, pattern): Key<'_>) {
        self.grant_ids.set(id, Some(subject.clone()));
        self.by_name += usize::from(kind == Kind::ExperimentName);
        match pattern {
            Pattern::Exactly(object) => {
                self.on_objects.edit((workspace.clone(), kind, Arc::clone(object)), |ids| {
                    let mut ids = ids.unwrap_or_default();
                    Arc::make_mut(&mut ids).push(id);
                    Some(ids)
                });
            }
            Pattern::Prefix(_) | Pattern::Glob(_) => {
                self.on_patterns.edit((workspace.clone(), kind), |ids| {
                    let mut ids = ids.unwrap_or_default();
                    Arc::make_mut(&mut ids).push((pattern.clone(), id));
                    Some(ids)
                });
            }
        }
    }

    fn unlist(&mut self, id: u64, (workspace, kind, pattern): Key<'_>) {
        self.grant_ids.set(id, None);
        self.by_name -= usize::from(kind == Kind::ExperimentName);
        match pattern {
            Pattern::Exactly(object) => {
                self.on_objects.edit((workspace.clone(), kind, Arc::clone(object)), |ids| {
                    let mut ids = ids?;
                    Arc::make_mut(&mut ids).retain(|known| *known != id);
                    (!ids.is_empty()).then_some(ids)
                });
            }
            Pattern::Prefix(_) | Pattern::Glob(_) => {
                self.on_patterns.edit((workspace.clone(), kind), |ids| {
                    let mut ids = ids?;
                    Arc::make_mut(&mut ids).retain(|(_, known)| *known != id);
                    (!ids.is_empty()).then_some(ids)
                });
            }
        }
    }

    // --- who asks ---

    /// The identity with all that it holds in `workspace` at `now`.
    pub(super) fn principal(
        &self,
        identity: Arc<Identity>,
        workspace: &WorkspaceName,
        now: u64,
    ) -> Result<Arc<Principal>, PrincipalFault> {
        let user = self.person(&identity)?;
        Ok(self.with_grants(Some(user), identity, workspace, now))
    }

    /// What somebody of this name would hold in `workspace`.
    pub(super) fn suppose(
        &self,
        identity: Arc<Identity>,
        workspace: &WorkspaceName,
        now: u64,
    ) -> Result<Arc<Principal>, PrincipalFault> {
        match self.users.get(&identity.user) {
            Some(user) if user.disabled => Err(PrincipalFault::Disabled),
            user => Ok(self.with_grants(user.map(|user| &**user), identity, workspace, now)),
        }
    }

    /// The identity with READ on each workspace that it belongs to, and with nothing else.
    pub(super) fn tenant(
        &self,
        identity: Arc<Identity>,
        workspace: &WorkspaceName,
        now: u64,
    ) -> Result<Arc<Principal>, PrincipalFault> {
        let user = self.person(&identity)?;
        let holders = self.reaching(Some(user), &identity, now);
        let mut places: BTreeSet<&WorkspaceName> = holders.iter().flat_map(|holder| holder.workspaces()).collect();
        let default = WorkspaceName::default();
        places.insert(&default);
        let mut homes = GrantSet::new(Subject::User(identity.user.clone()));
        let (admin, instead) = self.pass(Some(user), &identity);
        for name in places {
            let mut grants = self.sets(&holders, name, now);
            grants.extend(instead.clone());
            let (identity, names) = (Arc::clone(&identity), Names::default());
            let here = Principal { admin, workspace: name.clone(), grants, identity, names };
            if here.belongs() {
                homes.insert(Kind::Workspace, Pattern::Exactly(name.to_shared()), Permission::Read);
            }
        }
        let grants = vec![Arc::new(homes)];
        Ok(Arc::new(Principal { admin, workspace: workspace.clone(), grants, identity, names: Names::default() }))
    }

    /// Whether the identity is known, is who it was before, and is not disabled.
    pub(super) fn recognises(&self, identity: &Identity) -> Result<(), PrincipalFault> {
        self.person(identity).map(drop)
    }

    fn person(&self, identity: &Identity) -> Result<&User, PrincipalFault> {
        let user = self.users.get(&identity.user);
        // By its number, which is never given twice: nobody inherits the tokens of another of that name, and nobody comes
        // to be known by one.
        if identity.proof == Proof::Token && user.is_none_or(|user| identity.subject.parse() != Ok(user.id)) {
            return Err(PrincipalFault::OwnerGone);
        }
        // A binding speaks of the account by its name, and of no person.
        if identity.proof == Proof::Bound && user.is_none_or(|user| !user.service) {
            return Err(if user.is_some() { PrincipalFault::BoundToPerson } else { PrincipalFault::AccountGone });
        }
        let user = user.ok_or(PrincipalFault::Unrecognised)?;
        if user.disabled {
            return Err(PrincipalFault::Disabled);
        }
        if matches!(identity.proof, Proof::Token | Proof::Bound) {
            return Ok(user);
        }
        if user.service {
            return Err(PrincipalFault::ServiceAccount);
        }
        match user.identities.iter().find(|known| known.issuer == identity.issuer) {
            None => Err(PrincipalFault::Unrecognised),
            Some(known) if known.subject != identity.subject => Err(PrincipalFault::SubjectChanged),
            Some(_) => Ok(user),
        }
    }

    /// Whether the caller has an administrator's pass, by this credential; and in its place, where it was narrowed, MANAGE
    /// on the workspace, which a ceiling lies over.
    fn pass(&self, user: Option<&User>, identity: &Identity) -> (bool, Option<Arc<GrantSet>>) {
        let admin = user.map_or_else(|| self.given.admins.contains(&identity.user), |user| self.admin(user));
        if !admin || identity.ceiling().is_none() {
            return (admin, None);
        }
        let mut set = GrantSet::new(Subject::User(identity.user.clone()));
        set.insert(Kind::Workspace, Pattern::Prefix(Arc::from("")), Permission::Manage);
        (false, Some(Arc::new(set)))
    }

    fn admin(&self, user: &User) -> bool {
        user.admin || self.given.admins.contains(&user.name)
    }

    fn with_grants(
        &self,
        user: Option<&User>,
        identity: Arc<Identity>,
        workspace: &WorkspaceName,
        now: u64,
    ) -> Arc<Principal> {
        let mut grants = self.sets(&self.reaching(user, &identity, now), workspace, now);
        let (admin, instead) = self.pass(user, &identity);
        grants.extend(instead);
        Arc::new(Principal { admin, workspace: workspace.clone(), grants, identity, names: Names::default() })
    }

    fn sets(&self, holders: &[&Holder], workspace: &WorkspaceName, now: u64) -> Vec<Arc<GrantSet>> {
        let everybody = self.given.everybody.iter().filter(|_| workspace.is_default());
        holders.iter().filter_map(|holder| holder.set(workspace, now)).chain(everybody.cloned()).collect()
    }

    /// The identity with what of it still counts at `at`, which may lie ahead.
    pub(super) fn lasting(
        &self,
        identity: Arc<Identity>,
        workspace: &WorkspaceName,
        at: u64,
    ) -> Result<Arc<Principal>, PrincipalFault> {
        let user = self.person(&identity)?;
        let holders = self.reaching(Some(user), &identity, at);
        let everybody = self.given.everybody.iter().filter(|_| workspace.is_default());
        let sets = holders.iter().filter_map(|holder| holder.set_at(workspace, at)).chain(everybody.cloned());
        let (admin, instead) = self.pass(Some(user), &identity);
        let grants = sets.chain(instead).collect();
        Ok(Arc::new(Principal { admin, workspace: workspace.clone(), grants, identity, names: Names::default() }))
    }

    /// Whether somebody is an administrator, by the store or by the settings.
    pub(super) fn is_admin(&self, name: &UserName) -> bool {
        self.is_admin_by_settings(name) || self.users.get(name).is_some_and(|user| user.admin)
    }

    /// Whether the settings make somebody an administrator.
    pub(super) fn is_admin_by_settings(&self, name: &UserName) -> bool {
        self.given.admins.contains(name)
    }

    /// Whatever reaches somebody: their own, that of their groups (the store's and the issuer's), everybody's, and that of
    /// the roles which they or these groups have at `now`. Each once.
    fn reaching(&self, user: Option<&User>, identity: &Identity, now: u64) -> Vec<&Holder> {
        let mut holders = self.direct(user, &identity.user, &identity.groups);
        let roles = having(&holders, now);
        holders.extend(roles.iter().filter_map(|id| self.of_roles.get(id)).map(|holder| &**holder));
        holders
    }

    /// The same without roles.
    fn direct(&self, user: Option<&User>, name: &UserName, vouched: &[GroupName]) -> Vec<&Holder> {
        let own = user.map_or(&[][..], |user| &user.groups);
        let vouched = vouched.iter().filter(|name| !own.contains(name));
        let mut holders: Vec<&Holder> = self.of_users.get(name).map(|holder| &**holder).into_iter().collect();
        // `everybody` comes once, whoever else names it.
        let named = own.iter().chain(vouched).filter(|name| name.as_str() != EVERYBODY);
        holders.extend(named.filter_map(|name| self.of_groups.get(name)).map(|holder| &**holder));
        holders.extend(self.of_groups.get(EVERYBODY).map(|holder| &**holder));
        holders
    }

    // --- what there is ---

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

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use proptest::prelude::*;

    use super::*;
    use crate::access::grant::Grant;
    use crate::access::identity::Proof;
    use crate::store::records::Binding;

    const WORKSPACES: [&str; 3] = ["default", "team-a", "team-b"];

    fn workspace(name: &str) -> WorkspaceName {
        WorkspaceName::parse(name).unwrap()
    }

    fn alice() -> Arc<Identity> {
        Arc::new(Identity {
            user: UserName::parse("alice").unwrap(),
            issuer: Arc::from("https://idp.test"),
            subject: Arc::from("1"),
            groups: vec![GroupName::parse("idp").unwrap(), GroupName::parse("ml").unwrap()],
            proof: Proof::Bearer,
            until: SystemTime::UNIX_EPOCH,
            token: None,
        })
    }

    fn snapshot(grants: &[GrantRecord]) -> Snapshot {
        let name = UserName::parse("alice").unwrap();
        let group = GroupName::parse("ml").unwrap();
        let identities = vec![Binding { issuer: Arc::from("https://idp.test"), subject: Arc::from("1") }];
        let groups = vec![group.clone()];
        let user = User {
            id: 1,
            name: name.clone(),
            admin: false,
            disabled: false,
            created: 0,
            identities,
            groups,
            vouched: Vec::new(),
            service: false,
            owners: Vec::new(),
        };
        let mut snapshot = Snapshot::new(Given::default());
        snapshot.put_user(&name, Some(user));
        snapshot.put_group(&group, Some((1, 0)));
        let mut holders: HashMap<Subject, Holder> = HashMap::new();
        for (id, record) in (1..).zip(grants) {
            let subject = &record.grant.subject;
            let holder = holders.entry(subject.clone()).or_insert_with(|| Holder::new(subject.clone(), None));
            holder.add(GrantRecord { id, ..record.clone() });
        }
        for mut holder in holders.into_values() {
            holder.finish();
            snapshot.put_holder(holder);
        }
        snapshot
    }

    fn a_grant() -> impl Strategy<Value = GrantRecord> {
        let subject = prop_oneof![
            Just("user:alice"),
            Just("user:bob"),
            Just("group:ml"),
            Just("group:idp"),
            Just("group:everybody")
        ];
        let on = prop_oneof![
            Just((Kind::Experiment, "1")),
            Just((Kind::Experiment, "*")),
            Just((Kind::RegisteredModel, "a*")),
            Just((Kind::Workspace, "*")),
        ];
        let permission = prop_oneof![Just(Permission::Read), Just(Permission::Manage), Just(Permission::Deny)];
        (prop::sample::select(&WORKSPACES[..]), subject, on, permission).prop_map(
            |(name, subject, (kind, pattern), permission)| GrantRecord {
                workspace: workspace(name),
                grant: Grant {
                    subject: subject.parse().unwrap(),
                    kind,
                    pattern: Pattern::parse(kind, pattern).unwrap(),
                    permission,
                },
                id: 0,
                expires: None,
                created: 0,
                by: Arc::from(""),
            },
        )
    }

    proptest! {
        #[test]
        fn what_is_held_in_a_workspace_comes_from_no_other(grants in prop::collection::vec(a_grant(), 0..12)) {
            let whole = snapshot(&grants);
            for name in WORKSPACES {
                let own: Vec<GrantRecord> =
                    grants.iter().filter(|record| record.workspace.as_str() == name).cloned().collect();
                let here = workspace(name);
                let held = whole.principal(alice(), &here, 0).unwrap();
                let alone = snapshot(&own).principal(alice(), &here, 0).unwrap();
                prop_assert_eq!(sorted(&held.grants), sorted(&alone.grants));
                prop_assert_eq!(&held.workspace, &here);
                prop_assert!(!own.is_empty() || held.grants.is_empty());
                // The same grants hold alike in whatever workspace they are given.
                for other in WORKSPACES {
                    let moved: Vec<GrantRecord> =
                        own.iter().map(|record| GrantRecord { workspace: workspace(other), ..record.clone() }).collect();
                    let there = snapshot(&moved).principal(alice(), &workspace(other), 0).unwrap();
                    prop_assert_eq!(sorted(&there.grants), sorted(&held.grants));
                }
            }
        }

        #[test]
        fn one_is_a_tenant_where_one_belongs(grants in prop::collection::vec(a_grant(), 0..12)) {
            let whole = snapshot(&grants);
            let tenant = whole.tenant(alice(), &WorkspaceName::default(), 0).unwrap();
            let mut homes: Vec<String> =
                tenant.grants[0].exact(Kind::Workspace).map(|(name, _)| name.to_string()).collect();
            homes.sort();
            let belongs = |name: &&str| whole.principal(alice(), &workspace(name), 0).unwrap().belongs();
            prop_assert_eq!(homes, WORKSPACES.iter().copied().filter(belongs).collect::<Vec<_>>());
        }
    }

    fn sorted(sets: &[Arc<GrantSet>]) -> Vec<String> {
        let mut held: Vec<String> = sets
            .iter()
            .flat_map(|set| {
                let kinds = [Kind::Experiment, Kind::RegisteredModel, Kind::Workspace];
                kinds.into_iter().flat_map(move |kind| {
                    let exact = set.exact(kind).map(|(id, held)| (id.to_string(), held));
                    let patterns = set.patterns(kind).map(|(pattern, held)| (pattern.to_string(), held));
                    exact
                        .chain(patterns)
                        .map(move |(on, held)| format!("{} {kind} {on} {held}", set.subject()))
                        .collect::<Vec<_>>()
                })
            })
            .collect();
        held.sort();
        held
    }
}
