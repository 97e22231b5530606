//! What will there be once a plan is made, and what does each person then hold?

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::state::{Assigned, Entry, Origin, RoleKey, State};
use crate::access::grant::{GrantSet, RoleId, Subject};
use crate::access::identity::{Identity, Principal};
use crate::mlflow::ids::{GroupName, UserName, WorkspaceName};
use crate::mlflow::permission::Permission;
use crate::mlflow::resource::Kind;
use crate::store::{EVERYBODY, Named, Spot, Step};

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
        }
    }
    state
}

fn members(state: &mut State, group: &GroupName, change: impl FnOnce(&mut BTreeSet<UserName>) -> bool) {
    if let Some(entry) = state.groups.get_mut(group) {
        change(entry.value.get_or_insert_with(BTreeSet::new));
    }
}

/// What everybody holds under a state, ready to be judged.
#[derive(Debug)]
pub struct Holdings {
    groups_of: HashMap<UserName, Vec<GroupName>>,
    roles_of: HashMap<(Subject, WorkspaceName), Vec<RoleId>>,
    sets: HashMap<(Subject, WorkspaceName), Arc<GrantSet>>,
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
        let mut roles_of: HashMap<_, Vec<RoleId>> = HashMap::new();
        for key in state.assignments.keys() {
            if let Some(id) = ids.get(&key.role) {
                roles_of.entry((key.to.clone(), key.role.workspace.clone())).or_default().push(*id);
            }
        }
        let mut sets: HashMap<(Subject, WorkspaceName), GrantSet> = HashMap::new();
        let mut set_of = |at: &Spot, fill: &mut dyn FnMut(&mut GrantSet)| {
            let subject = match &at.to {
                Named::User(name) => Subject::User(name.clone()),
                Named::Group(name) => Subject::Group(name.clone()),
                Named::Role(name) => {
                    let key = RoleKey { workspace: at.workspace.clone(), name: name.clone() };
                    let Some(id) = ids.get(&key) else { return };
                    Subject::Role(*id)
                }
            };
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
            set.insert(Kind::Workspace, crate::access::grant::Pattern::Prefix(Arc::from("")), permission);
        }
        let sets = sets.into_iter().map(|(key, set)| (key, Arc::new(set))).collect();
        Self { groups_of, roles_of, sets }
    }

    /// Somebody with all that they hold in a workspace: their own, that of their groups here and at their issuer, of the
    /// roles of all these, and of everybody.
    #[must_use]
    pub fn principal(&self, identity: Arc<Identity>, workspace: &WorkspaceName, admin: bool) -> Arc<Principal> {
        let mut subjects = vec![Subject::User(identity.user.clone())];
        let own = self.groups_of.get(&identity.user).into_iter().flatten();
        let groups: BTreeSet<&GroupName> = own.chain(&identity.groups).collect();
        subjects.extend(groups.into_iter().filter(|name| name.as_str() != EVERYBODY).cloned().map(Subject::Group));
        subjects.extend(GroupName::parse(EVERYBODY).ok().map(Subject::Group));
        let roles: BTreeSet<RoleId> = subjects
            .iter()
            .filter_map(|subject| self.roles_of.get(&(subject.clone(), workspace.clone())))
            .flatten()
            .copied()
            .collect();
        subjects.extend(roles.into_iter().map(Subject::Role));
        let sets = subjects.into_iter().filter_map(|subject| self.sets.get(&(subject, workspace.clone())).cloned());
        Arc::new(Principal { identity, admin, workspace: workspace.clone(), grants: sets.collect() })
    }
}
