//! What will there be once a plan is made, and what does each person then hold?

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::state::{Assigned, Entry, Origin, RoleKey, State};
use crate::access::grant::{GrantSet, Pattern, RoleId, Subject};
use crate::access::identity::{Identity, Names, Principal};
use crate::mlflow::ids::{GroupName, RoleName, UserName, WorkspaceName};
use crate::mlflow::permission::Permission;
use crate::mlflow::resource::Kind;
use crate::store::{EVERYBODY, Held, Named, Spot, Step};

/// The state with these steps made.
#[must_use]
pub fn after(mut state: State, steps: &[Step]) -> State {
    let origin = || Origin::Store(Arc::from("policy-files"));
    for step in steps {
        match step.clone() {
            Step::AddUser(_) | Step::SetAdmin(..) => {}
            Step::AddGroup(name) => {
                state.groups.entry(name).or_insert_with(|| Entry { value: Some(BTreeSet::new()), origin: origin() });
            }
            Step::RemoveGroup(name) => drop(state.groups.remove(&name)),
            Step::AddMember(group, user) => members(&mut state, &group, |members| members.insert(user)),
            Step::RemoveMember(group, user) => members(&mut state, &group, |members| members.remove(&user)),
            Step::CreateRole { workspace, name, description } | Step::DescribeRole { workspace, name, description } => {
                let key = RoleKey { workspace, name };
                state.roles.insert(key, Entry { value: description, origin: origin() });
            }
            Step::DeleteRole { workspace, name } => drop(state.roles.remove(&RoleKey { workspace, name })),
            Step::Assign { workspace, role, to, expires, .. } => {
                let key = Assigned { role: RoleKey { workspace, name: role }, to };
                state.assignments.insert(key, Entry { value: expires, origin: origin() });
            }
            Step::Unassign { workspace, role, to } => {
                drop(state.assignments.remove(&Assigned { role: RoleKey { workspace, name: role }, to }));
            }
            Step::Grant { at, held, .. } => drop(state.grants.insert(at, Entry { value: held, origin: origin() })),
            Step::Revoke { at, .. } => drop(state.grants.remove(&at)),
            Step::Allow { at, expires, .. } => drop(state.rules.insert(at, Entry { value: expires, origin: origin() })),
            Step::Disallow { at } => drop(state.rules.remove(&at)),
            Step::Bind { new, .. } => {
                drop(state.bindings.insert(new.name.clone(), Entry { value: new, origin: origin() }));
            }
            Step::Unbind { was } => drop(state.bindings.remove(&was.name)),
        }
    }
    state
}

fn members(state: &mut State, group: &GroupName, change: impl FnOnce(&mut BTreeSet<UserName>) -> bool) {
    if let Some(entry) = state.groups.get_mut(group) {
        change(entry.value.get_or_insert_with(BTreeSet::new));
    }
}

/// Who holds something, and where.
type Holder = (Subject, WorkspaceName);

/// What everybody holds under a state, ready to be judged.
#[derive(Debug)]
pub struct Holdings {
    groups_of: HashMap<UserName, Vec<GroupName>>,
    roles_of: HashMap<Holder, Vec<(RoleId, Option<u64>)>>,
    sets: HashMap<Holder, Arc<GrantSet>>,
    /// The grants of those sets of which some end, with their ends.
    ending: HashMap<Holder, Vec<(Spot, Held)>>,
    roles: BTreeMap<RoleKey, RoleId>,
}

impl Holdings {
    /// Of a state. `everybody` is what the settings let everybody hold on the workspace `default`.
    #[must_use]
    pub fn new(state: &State, everybody: Option<Permission>) -> Self {
        let ids: BTreeMap<&RoleKey, RoleId> = state.roles.keys().zip(1..).map(|(key, id)| (key, RoleId(id))).collect();
        let mut groups_of: HashMap<UserName, Vec<GroupName>> = HashMap::new();
        for (group, entry) in &state.groups {
            for user in entry.value.iter().flatten() {
                groups_of.entry(user.clone()).or_default().push(group.clone());
            }
        }
        let mut roles_of: HashMap<_, Vec<_>> = HashMap::new();
        for (key, entry) in &state.assignments {
            if let Some(id) = ids.get(&key.role) {
                roles_of.entry((key.to.clone(), key.role.workspace.clone())).or_default().push((*id, entry.value));
            }
        }
        let mut sets: HashMap<(Subject, WorkspaceName), GrantSet> = HashMap::new();
        let subject_of = |at: &Spot| {
            Some(match &at.to {
                Named::User(name) => Subject::User(name.clone()),
                Named::Group(name) => Subject::Group(name.clone()),
                Named::Role(name) => {
                    Subject::Role(*ids.get(&RoleKey { workspace: at.workspace.clone(), name: name.clone() })?)
                }
            })
        };
        let mut set_of = |at: &Spot, fill: &mut dyn FnMut(&mut GrantSet)| {
            let Some(subject) = subject_of(at) else { return };
            let set = sets.entry((subject, at.workspace.clone())).or_insert_with_key(|(subject, _)| {
                match (subject, &at.to) {
                    (Subject::Role(id), Named::Role(name)) => GrantSet::of_role(*id, name.to_shared()),
                    _ => GrantSet::new(subject.clone()),
                }
            });
            fill(set);
        };
        for (at, entry) in &state.grants {
            set_of(at, &mut |set| set.insert(at.kind, at.pattern.clone(), entry.value.0));
        }
        for at in state.rules.keys() {
            set_of(at, &mut |set| set.insert_rule(at.kind, at.pattern.clone()));
        }
        if let (Some(permission), Ok(name)) = (everybody, GroupName::parse(EVERYBODY)) {
            let key = (Subject::Group(name), WorkspaceName::default());
            let set = sets.entry(key).or_insert_with_key(|(subject, _)| GrantSet::new(subject.clone()));
            set.insert(Kind::Workspace, Pattern::Prefix(Arc::from("")), permission);
        }
        let sets = sets.into_iter().map(|(key, set)| (key, Arc::new(set))).collect();
        let key_of = |at: &Spot| Some((subject_of(at)?, at.workspace.clone()));
        let ends = state.grants.iter().filter(|(_, entry)| entry.value.1.is_some());
        let mut ending: HashMap<_, Vec<_>> = ends.filter_map(|(at, _)| Some((key_of(at)?, Vec::new()))).collect();
        for (at, entry) in &state.grants {
            if !ending.is_empty()
                && let Some(those) = key_of(at).and_then(|key| ending.get_mut(&key))
            {
                those.push((at.clone(), entry.value));
            }
        }
        let roles = ids.into_iter().map(|(key, id)| (key.clone(), id)).collect();
        Self { groups_of, roles_of, sets, ending, roles }
    }

    /// Somebody with all that they hold in a workspace: their own, that of their groups here and at their issuer, of the
    /// roles of all these, and of everybody.
    #[must_use]
    pub fn principal(&self, identity: Arc<Identity>, workspace: &WorkspaceName, admin: bool) -> Arc<Principal> {
        let subjects = self.reaching(&identity, workspace, None);
        let sets = subjects.into_iter().filter_map(|subject| self.sets.get(&(subject, workspace.clone())).cloned());
        Arc::new(Principal {
            identity,
            admin,
            workspace: workspace.clone(),
            grants: sets.collect(),
            names: Names::default(),
        })
    }

    /// The same with what counts until `until` at least, or for good (`store::Store::lasting`).
    #[must_use]
    pub fn lasting(
        &self,
        identity: Arc<Identity>,
        workspace: &WorkspaceName,
        admin: bool,
        until: Option<u64>,
    ) -> Arc<Principal> {
        let last = until.map_or(u64::MAX, |end| end.saturating_sub(1));
        let sets = self.reaching(&identity, workspace, Some(last)).into_iter().filter_map(|subject| {
            let key = (subject, workspace.clone());
            let Some(those) = self.ending.get(&key) else { return self.sets.get(&key).cloned() };
            let mut set = GrantSet::new(key.0);
            for (at, (permission, expires)) in those {
                if expires.is_none_or(|end| last < end) {
                    set.insert(at.kind, at.pattern.clone(), *permission);
                }
            }
            Some(Arc::new(set))
        });
        let grants = sets.collect();
        Arc::new(Principal { identity, admin, workspace: workspace.clone(), grants, names: Names::default() })
    }

    /// Somebody with READ on each of these workspaces that they belong to, and with nothing else (`store::Store::tenant`).
    #[must_use]
    pub fn tenant<'a>(
        &self,
        identity: &Arc<Identity>,
        workspace: &WorkspaceName,
        admin: bool,
        named: impl Iterator<Item = &'a WorkspaceName>,
    ) -> Arc<Principal> {
        let mut homes = GrantSet::new(Subject::User(identity.user.clone()));
        for name in named {
            if self.principal(Arc::clone(identity), name, admin).belongs() {
                homes.insert(Kind::Workspace, Pattern::Exactly(name.to_shared()), Permission::Read);
            }
        }
        let (identity, grants) = (Arc::clone(identity), vec![Arc::new(homes)]);
        Arc::new(Principal { identity, admin, workspace: workspace.clone(), grants, names: Names::default() })
    }

    /// Whether somebody has a role: `role:NAME`, or the hidden one of `user:NAME` or `group:NAME`.
    #[must_use]
    pub fn bears(&self, identity: &Identity, workspace: &WorkspaceName, whose: &str) -> bool {
        let subjects = self.reaching(identity, workspace, None);
        let subject = match whose.split_once(':') {
            Some(("role", name)) => RoleName::parse(name).ok().and_then(|name| {
                let id = self.roles.get(&RoleKey { workspace: workspace.clone(), name })?;
                Some(Subject::Role(*id))
            }),
            _ => whose.parse().ok(),
        };
        subject.is_some_and(|subject| subjects.contains(&subject))
    }

    /// Whatever reaches somebody: themselves, their groups, everybody, and the roles of all these that count at `at`.
    fn reaching(&self, identity: &Identity, workspace: &WorkspaceName, at: Option<u64>) -> Vec<Subject> {
        let mut subjects = vec![Subject::User(identity.user.clone())];
        let own = self.groups_of.get(&identity.user).into_iter().flatten();
        let groups: BTreeSet<&GroupName> = own.chain(&identity.groups).collect();
        subjects.extend(groups.into_iter().filter(|name| name.as_str() != EVERYBODY).cloned().map(Subject::Group));
        subjects.extend(GroupName::parse(EVERYBODY).ok().map(Subject::Group));
        let roles: BTreeSet<RoleId> = subjects
            .iter()
            .filter_map(|subject| self.roles_of.get(&(subject.clone(), workspace.clone())))
            .flatten()
            .filter(|(_, expires)| at.is_none_or(|at| expires.is_none_or(|end| at < end)))
            .map(|(id, _)| *id)
            .collect();
        subjects.extend(roles.into_iter().map(Subject::Role));
        subjects
    }
}
