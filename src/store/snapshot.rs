//! Who is who and who holds what, at one moment, in memory?

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::fault::PrincipalFault;
use crate::access::grant::{Grant, GrantSet, Subject};
use crate::access::identity::{Identity, Principal};
use crate::mlflow::ids::{GroupName, UserName};

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
    group_sets: HashMap<GroupName, Arc<GrantSet>>,
    admins: HashSet<UserName>,
    everybody: Vec<Arc<GrantSet>>,
}

/// What a decision needs to know of one user.
#[derive(Debug)]
struct Person {
    admin: bool,
    disabled: bool,
    identities: Vec<Binding>,
    groups: Vec<GroupName>,
    /// The user's own, those of the store's groups, everybody's.
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
        let mut by_user: HashMap<UserName, GrantSet> = HashMap::new();
        let mut by_group: HashMap<GroupName, GrantSet> = HashMap::new();
        for GrantRecord { grant, .. } in &grants {
            let set = match &grant.subject {
                Subject::User(name) => {
                    by_user.entry(name.clone()).or_insert_with(|| GrantSet::new(grant.subject.clone()))
                }
                Subject::Group(name) => {
                    by_group.entry(name.clone()).or_insert_with(|| GrantSet::new(grant.subject.clone()))
                }
            };
            set.insert(grant.kind, grant.pattern.clone(), grant.permission);
        }
        let group_sets: HashMap<GroupName, Arc<GrantSet>> =
            by_group.into_iter().map(|(name, set)| (name, Arc::new(set))).collect();
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
                let own = by_user.remove(&user.name).map(Arc::new);
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
        Self { users, groups, grants, people, group_sets, admins: admins.clone(), everybody }
    }

    /// The identity with all that it holds.
    pub(super) fn principal(&self, identity: Arc<Identity>) -> Result<Arc<Principal>, PrincipalFault> {
        let person = self.person(&identity)?;
        Ok(self.with_grants(person, identity))
    }

    /// What somebody of this name would hold.
    pub(super) fn suppose(&self, identity: Arc<Identity>) -> Result<Arc<Principal>, PrincipalFault> {
        match self.people.get(&identity.user) {
            Some(person) if person.disabled => Err(PrincipalFault::Disabled),
            Some(person) => Ok(self.with_grants(person, identity)),
            None => {
                let own =
                    self.grants.iter().filter(|record| record.grant.subject == Subject::User(identity.user.clone()));
                let mut set = GrantSet::new(Subject::User(identity.user.clone()));
                for GrantRecord { grant, .. } in own {
                    set.insert(grant.kind, grant.pattern.clone(), grant.permission);
                }
                let person = Person {
                    admin: self.admins.contains(&identity.user),
                    disabled: false,
                    identities: Vec::new(),
                    groups: Vec::new(),
                    sets: std::iter::once(Arc::new(set)).chain(self.everybody.iter().cloned()).collect(),
                };
                Ok(self.with_grants(&person, identity))
            }
        }
    }

    fn with_grants(&self, person: &Person, identity: Arc<Identity>) -> Arc<Principal> {
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
        Arc::new(Principal { admin: person.admin, grants, identity })
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
