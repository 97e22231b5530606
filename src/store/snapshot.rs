//! Who is who and who holds what, at one moment, in memory?

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::fault::PrincipalFault;
use crate::access::grant::{Grant, GrantSet, Pattern, Subject};
use crate::access::identity::{Identity, Principal};
use crate::mlflow::ids::{GroupName, UserName, WorkspaceName};
use crate::mlflow::permission::Permission;
use crate::mlflow::resource::{Kind, Resource};

/// The group that everybody who signs in belongs to.
pub const EVERYBODY: &str = "everybody";

/// A user, as `user list` shows it.
#[derive(Debug, Clone)]
pub struct User {
    /// Name.
    pub name: UserName,
    /// Whether the store calls the user an administrator (the settings may do so besides).
    pub admin: bool,
    /// Whether the user is refused.
    pub disabled: bool,
    /// Milliseconds since the epoch.
    pub created: u64,
    /// Which subjects of which issuers the user was seen as.
    pub identities: Vec<Binding>,
}

/// A user's subject at one issuer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binding {
    /// The issuer.
    pub issuer: Arc<str>,
    /// Its `sub`.
    pub subject: Arc<str>,
}

/// A group of the store, as `group list` shows it.
#[derive(Debug, Clone)]
pub struct Group {
    /// Name.
    pub name: GroupName,
    /// Members, in order.
    pub members: Vec<UserName>,
    /// Milliseconds since the epoch.
    pub created: u64,
}

/// A grant, as `grant list` shows it.
#[derive(Debug, Clone)]
pub struct GrantRecord {
    /// In which workspace.
    pub workspace: WorkspaceName,
    /// What is granted.
    pub grant: Grant,
    /// Milliseconds since the epoch.
    pub created: u64,
    /// Who gave it.
    pub by: String,
}

/// Everything but sessions, read in one transaction.
#[derive(Debug, Default)]
pub(super) struct Snapshot {
    pub(super) users: Vec<User>,
    pub(super) groups: Vec<Group>,
    pub(super) grants: Vec<GrantRecord>,
    people: HashMap<UserName, Person>,
    admins: HashSet<UserName>,
    /// What groups hold in the workspace `default`.
    group_sets: HashMap<GroupName, Arc<GrantSet>>,
    /// What everybody holds there.
    everybody: Vec<Arc<GrantSet>>,
    /// What is held in the other workspaces.
    elsewhere: HashMap<WorkspaceName, Holders>,
}

/// Who holds what in one workspace.
#[derive(Debug, Default)]
struct Holders {
    users: HashMap<UserName, Arc<GrantSet>>,
    groups: HashMap<GroupName, Arc<GrantSet>>,
}

impl Holders {
    fn of<'a>(grants: impl Iterator<Item = &'a Grant>) -> Self {
        let mut users: HashMap<&UserName, GrantSet> = HashMap::new();
        let mut groups: HashMap<&GroupName, GrantSet> = HashMap::new();
        for grant in grants {
            let new = || GrantSet::new(grant.subject.clone());
            let set = match &grant.subject {
                Subject::User(name) => users.entry(name).or_insert_with(new),
                Subject::Group(name) => groups.entry(name).or_insert_with(new),
            };
            set.insert(grant.kind, grant.pattern.clone(), grant.permission);
        }
        Self {
            users: users.into_iter().map(|(name, set)| (name.clone(), Arc::new(set))).collect(),
            groups: groups.into_iter().map(|(name, set)| (name.clone(), Arc::new(set))).collect(),
        }
    }

    /// Everything that reaches somebody of this name, in these groups of the store and these of the issuer.
    fn reach(&self, user: &UserName, groups: &[GroupName], vouched: &[GroupName]) -> Vec<Arc<GrantSet>> {
        let everybody = self.groups.iter().filter(|(name, _)| name.as_str() == EVERYBODY).map(|(_, set)| set);
        let named = groups.iter().chain(vouched.iter().filter(|name| !groups.contains(name)));
        let of_groups =
            named.filter(|name| name.as_str() != EVERYBODY).filter_map(|name| self.groups.get(name)).chain(everybody);
        self.users.get(user).into_iter().chain(of_groups).cloned().collect()
    }
}

/// What a decision needs to know of one user.
#[derive(Debug)]
struct Person {
    admin: bool,
    disabled: bool,
    identities: Vec<Binding>,
    groups: Vec<GroupName>,
    /// In the workspace `default`: the user's own, those of the store's groups, everybody's.
    sets: Vec<Arc<GrantSet>>,
}

impl Snapshot {
    /// Indexes what was read. `admins` and `everybody` come from the settings.
    pub(super) fn new(
        users: Vec<User>,
        groups: Vec<Group>,
        grants: Vec<GrantRecord>,
        admins: &HashSet<UserName>,
        everybody: &[Arc<GrantSet>],
    ) -> Self {
        let mut places: HashMap<&WorkspaceName, Vec<&Grant>> = HashMap::new();
        for GrantRecord { workspace, grant, .. } in &grants {
            places.entry(workspace).or_default().push(grant);
        }
        let mut elsewhere: HashMap<WorkspaceName, Holders> = places
            .into_iter()
            .map(|(workspace, grants)| (workspace.clone(), Holders::of(grants.into_iter())))
            .collect();
        let Holders { users: mut by_user, groups: group_sets } =
            elsewhere.remove(&WorkspaceName::default()).unwrap_or_default();
        let mut memberships: HashMap<&UserName, Vec<GroupName>> = HashMap::new();
        for group in &groups {
            for member in &group.members {
                memberships.entry(member).or_default().push(group.name.clone());
            }
        }
        let everybody: Vec<Arc<GrantSet>> = group_sets
            .iter()
            .filter(|(name, _)| name.as_str() == EVERYBODY)
            .map(|(_, set)| Arc::clone(set))
            .chain(everybody.iter().cloned())
            .collect();
        let people = users
            .iter()
            .map(|user| {
                let groups = memberships.remove(&user.name).unwrap_or_default();
                let own = by_user.remove(&user.name);
                let sets = own
                    .into_iter()
                    .chain(groups.iter().filter_map(|name| group_sets.get(name).cloned()))
                    .chain(everybody.iter().cloned())
                    .collect();
                let person = Person {
                    admin: user.admin || admins.contains(&user.name),
                    disabled: user.disabled,
                    identities: user.identities.clone(),
                    groups,
                    sets,
                };
                (user.name.clone(), person)
            })
            .collect();
        Self { users, groups, grants, people, admins: admins.clone(), group_sets, everybody, elsewhere }
    }

    /// The identity with all that it holds in `workspace`.
    pub(super) fn principal(
        &self,
        identity: Arc<Identity>,
        workspace: &WorkspaceName,
    ) -> Result<Arc<Principal>, PrincipalFault> {
        let person = self.person(&identity)?;
        Ok(self.with_grants(person, identity, workspace))
    }

    /// What somebody of this name would hold in `workspace`.
    pub(super) fn suppose(
        &self,
        identity: Arc<Identity>,
        workspace: &WorkspaceName,
    ) -> Result<Arc<Principal>, PrincipalFault> {
        match self.people.get(&identity.user) {
            Some(person) if person.disabled => Err(PrincipalFault::Disabled),
            Some(person) => Ok(self.with_grants(person, identity, workspace)),
            None => Ok(self.with_grants(&self.nobody_yet(&identity.user), identity, workspace)),
        }
    }

    /// Somebody who was never seen, with what was given in advance.
    fn nobody_yet(&self, user: &UserName) -> Person {
        let default = self.grants.iter().filter(|record| record.workspace.is_default()).map(|record| &record.grant);
        let own = Holders::of(default.filter(|grant| grant.subject == Subject::User(user.clone())));
        Person {
            admin: self.admins.contains(user),
            disabled: false,
            identities: Vec::new(),
            groups: Vec::new(),
            sets: own.users.into_values().chain(self.everybody.iter().cloned()).collect(),
        }
    }

    fn with_grants(&self, person: &Person, identity: Arc<Identity>, workspace: &WorkspaceName) -> Arc<Principal> {
        let grants = self.reach(person, &identity, workspace);
        Arc::new(Principal { admin: person.admin, workspace: workspace.clone(), grants, identity })
    }

    fn reach(&self, person: &Person, identity: &Identity, workspace: &WorkspaceName) -> Vec<Arc<GrantSet>> {
        if !workspace.is_default() {
            let holders = self.elsewhere.get(workspace);
            return holders
                .map_or_else(Vec::new, |holders| holders.reach(&identity.user, &person.groups, &identity.groups));
        }
        let mut grants = Vec::with_capacity(person.sets.len() + identity.groups.len());
        grants.extend_from_slice(&person.sets);
        for name in &identity.groups {
            // The store's groups and `everybody` are in already.
            if name.as_str() != EVERYBODY
                && !person.groups.contains(name)
                && let Some(set) = self.group_sets.get(name)
            {
                grants.push(Arc::clone(set));
            }
        }
        grants
    }

    /// The identity with READ on each workspace that it belongs to, and with nothing else.
    pub(super) fn tenant(
        &self,
        identity: Arc<Identity>,
        workspace: &WorkspaceName,
    ) -> Result<Arc<Principal>, PrincipalFault> {
        let person = self.person(&identity)?;
        let mut homes = GrantSet::new(Subject::User(identity.user.clone()));
        for name in self.elsewhere.keys().chain([&WorkspaceName::default()]) {
            if self.with_grants(person, Arc::clone(&identity), name).belongs() {
                homes.insert(Kind::Workspace, Pattern::Exactly(name.to_shared()), Permission::Read);
            }
        }
        let grants = vec![Arc::new(homes)];
        Ok(Arc::new(Principal { admin: person.admin, workspace: workspace.clone(), grants, identity }))
    }

    /// Who holds MANAGE on one of the levels, nearest first. One walk over the grants, for people who are refused alone.
    pub(super) fn managers(&self, workspace: &WorkspaceName, resource: &Resource, most: usize) -> Vec<Subject> {
        let mut found: Vec<Subject> = Vec::new();
        for object in resource.levels() {
            let here = self.grants.iter().filter(|record| record.workspace == *workspace).map(|record| &record.grant);
            let holders = here.filter(|grant| {
                grant.permission == Permission::Manage && grant.kind == object.kind && grant.pattern.matches(&object.id)
            });
            for Grant { subject, .. } in holders {
                let gone = match subject {
                    Subject::User(name) => self.people.get(name).is_none_or(|person| person.disabled),
                    Subject::Group(_) => false,
                };
                if found.len() == most {
                    return found;
                }
                if !gone && !found.contains(subject) {
                    found.push(subject.clone());
                }
            }
        }
        found
    }

    /// Whether the identity is known, is who it was before, and is not disabled.
    pub(super) fn recognises(&self, identity: &Identity) -> Result<(), PrincipalFault> {
        self.person(identity).map(drop)
    }

    fn person(&self, identity: &Identity) -> Result<&Person, PrincipalFault> {
        let person = self.people.get(&identity.user).ok_or(PrincipalFault::Unrecognised)?;
        if person.disabled {
            return Err(PrincipalFault::Disabled);
        }
        match person.identities.iter().find(|known| known.issuer == identity.issuer) {
            None => Err(PrincipalFault::Unrecognised),
            Some(known) if known.subject != identity.subject => Err(PrincipalFault::SubjectChanged),
            Some(_) => Ok(person),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use proptest::prelude::*;

    use super::*;
    use crate::access::identity::Proof;

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
        })
    }

    fn snapshot(grants: &[GrantRecord]) -> Snapshot {
        let name = UserName::parse("alice").unwrap();
        let binding = Binding { issuer: Arc::from("https://idp.test"), subject: Arc::from("1") };
        let user = User { name: name.clone(), admin: false, disabled: false, created: 0, identities: vec![binding] };
        let group = Group { name: GroupName::parse("ml").unwrap(), members: vec![name], created: 0 };
        Snapshot::new(vec![user], vec![group], grants.to_vec(), &HashSet::new(), &[])
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
                created: 0,
                by: String::new(),
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
                let held = whole.principal(alice(), &here).unwrap();
                let alone = snapshot(&own).principal(alice(), &here).unwrap();
                prop_assert_eq!(&held.grants, &alone.grants);
                prop_assert_eq!(&held.workspace, &here);
                prop_assert!(!own.is_empty() || held.grants.is_empty());
                // The same grants hold alike in whatever workspace they are given.
                for other in WORKSPACES {
                    let moved: Vec<GrantRecord> =
                        own.iter().map(|record| GrantRecord { workspace: workspace(other), ..record.clone() }).collect();
                    let there = snapshot(&moved).principal(alice(), &workspace(other)).unwrap();
                    prop_assert_eq!(sorted(&there.grants), sorted(&held.grants));
                }
            }
        }

        #[test]
        fn one_is_a_tenant_where_one_belongs(grants in prop::collection::vec(a_grant(), 0..12)) {
            let whole = snapshot(&grants);
            let tenant = whole.tenant(alice(), &WorkspaceName::default()).unwrap();
            let mut homes: Vec<String> =
                tenant.grants[0].exact(Kind::Workspace).map(|(name, _)| name.to_string()).collect();
            homes.sort();
            let belongs = |name: &&str| whole.principal(alice(), &workspace(name)).unwrap().belongs();
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
