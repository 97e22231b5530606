//! What must change so that there is what files say?
//!
//! The rule: what stands in the files is made so, whoever made it otherwise. What files once made and no longer say is
//! taken away. What people made and files do not speak of is kept, unless it is to be pruned. A group has the members
//! that its file names, and keeps those it has where the file names none; a group that no file speaks of is kept, unless
//! pruned, as it may be people's. Users are added where a group needs them, and never removed.

mod said;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::Serialize;
use serde::ser::Serializer;

use super::lookalike;
use super::read::{Policy, shown};
use super::state::{Assigned, Entry, Origin, RoleKey, State};
use crate::access::grant::{Pattern, Subject};
use crate::mlflow::ids::{GroupName, UserName};
use crate::mlflow::permission::Permission;
use crate::store::{End, Held, Named, Spot, Step};

/// What becomes of what people made and files do not speak of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Prune {
    /// It is kept.
    #[default]
    Nothing,
    /// It is taken away, but for what people own: MANAGE on exactly one thing that they made.
    Given,
    /// It is taken away, all of it.
    Everything,
}

/// The difference.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Plan {
    /// What changes, in the order in which it is made.
    pub changes: Vec<Item>,
    /// What people made, files do not speak of, and is kept.
    pub kept: Vec<Kept>,
    /// What somebody should look at: names that look alike, ends that have passed.
    pub notes: Vec<String>,
}

/// One change.
#[derive(Debug, Clone, Serialize)]
pub struct Item {
    /// Added, changed or removed.
    pub verb: Verb,
    /// What, in words.
    pub what: String,
    /// Who says so: a line of a file, or for what is removed, who had put it there.
    #[serde(serialize_with = "in_words")]
    pub from: Origin,
    /// The change itself.
    #[serde(skip)]
    pub step: Step,
}

/// Something that stays.
#[derive(Debug, Clone, Serialize)]
pub struct Kept {
    /// What, in words.
    pub what: String,
    /// Who put it there.
    #[serde(serialize_with = "in_words")]
    pub from: Origin,
}

/// What happens to a thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verb {
    /// It is new.
    Add,
    /// It is another one.
    Change,
    /// It goes.
    Remove,
}

impl Verb {
    /// As a difference has it at the beginning of a line.
    #[must_use]
    pub fn sign(self) -> char {
        match self {
            Self::Add => '+',
            Self::Change => '~',
            Self::Remove => '-',
        }
    }
}

fn in_words<S: Serializer>(origin: &Origin, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(origin)
}

impl Plan {
    /// The changes, for one transaction.
    #[must_use]
    pub fn into_steps(self) -> Vec<Step> {
        self.changes.into_iter().map(|item| item.step).collect()
    }
}

/// Compares what files say with what there is; `users` are those whom the store knows.
#[must_use]
pub fn plan(policy: &Policy, present: &State, users: &BTreeSet<UserName>, prune: Prune) -> Plan {
    let mut work = Work { prune, ..Work::new(&policy.state, present) };
    work.groups(users);
    work.roles();
    work.held();
    work.bindings();
    let Work { people, roles, removed, added, last, kept, .. } = work;
    let changes = [people, roles, removed, added, last].into_iter().flatten().collect();
    let mut notes = policy.ended.clone();
    notes.extend(lookalike::warnings(&policy.state, present, users));
    Plan { changes, kept, notes }
}

/// A plan in the making, in the order in which it must be made.
struct Work<'a> {
    wanted: &'a State,
    present: &'a State,
    prune: Prune,
    gone_roles: BTreeSet<RoleKey>,
    gone_groups: BTreeSet<GroupName>,
    people: Vec<Item>,
    roles: Vec<Item>,
    removed: Vec<Item>,
    added: Vec<Item>,
    last: Vec<Item>,
    kept: Vec<Kept>,
}

impl<'a> Work<'a> {
    fn new(wanted: &'a State, present: &'a State) -> Self {
        Self {
            wanted,
            present,
            prune: Prune::Nothing,
            gone_roles: BTreeSet::new(),
            gone_groups: BTreeSet::new(),
            people: Vec::new(),
            roles: Vec::new(),
            removed: Vec::new(),
            added: Vec::new(),
            last: Vec::new(),
            kept: Vec::new(),
        }
    }

    fn groups(&mut self, users: &BTreeSet<UserName>) {
        let mut known = users.clone();
        let none = BTreeSet::new();
        for (name, entry) in &self.wanted.groups {
            let from = &entry.origin;
            let there = self.present.groups.get(name);
            if there.is_none() {
                self.people.push(item(Verb::Add, format!("group {name}"), from, Step::AddGroup(name.clone())));
            }
            let Some(members) = &entry.value else { continue };
            let had = there.and_then(|entry| entry.value.as_ref()).unwrap_or(&none);
            for user in members.difference(had) {
                if known.insert(user.clone()) {
                    self.people.push(item(Verb::Add, format!("user {user}"), from, Step::AddUser(user.clone())));
                }
                let step = Step::AddMember(name.clone(), user.clone());
                self.people.push(item(Verb::Add, format!("user {user} to group {name}"), from, step));
            }
            for user in had.difference(members) {
                let step = Step::RemoveMember(name.clone(), user.clone());
                self.people.push(item(Verb::Remove, format!("user {user} from group {name}"), from, step));
            }
        }
        let named = groups_spoken_of(self.wanted);
        for (name, entry) in &self.present.groups {
            if self.wanted.groups.contains_key(name) {
                continue;
            }
            if self.prune == Prune::Nothing || named.contains(name) {
                self.kept.push(Kept { what: format!("group {name}"), from: entry.origin.clone() });
                continue;
            }
            self.gone_groups.insert(name.clone());
            let members = entry.value.as_ref().map_or(0, BTreeSet::len);
            let what = format!("group {name} with {members} members");
            self.last.push(item(Verb::Remove, what, &entry.origin, Step::RemoveGroup(name.clone())));
        }
    }

    fn roles(&mut self) {
        for (key, entry) in &self.wanted.roles {
            let RoleKey { workspace, name } = key.clone();
            let description = entry.value.clone();
            match self.present.roles.get(key) {
                None => {
                    let step = Step::CreateRole { workspace, name, description };
                    self.roles.push(item(Verb::Add, format!("role {key}"), &entry.origin, step));
                }
                Some(there) if there.value != entry.value => {
                    let step = Step::DescribeRole { workspace, name, description };
                    self.roles.push(item(Verb::Change, format!("role {key}: its description"), &entry.origin, step));
                }
                Some(_) => {}
            }
        }
        for (key, entry) in &self.present.roles {
            if self.wanted.roles.contains_key(key) {
                continue;
            }
            if self.prune == Prune::Nothing && !entry.origin.by_files() {
                self.kept.push(Kept { what: format!("role {key}"), from: entry.origin.clone() });
                continue;
            }
            self.gone_roles.insert(key.clone());
            let step = Step::DeleteRole { workspace: key.workspace.clone(), name: key.name.clone() };
            self.last.push(item(Verb::Remove, format!("role {key}"), &entry.origin, step));
        }
    }

    fn held(&mut self) {
        for (key, new, old) in both(&self.wanted.assignments, &self.present.assignments) {
            self.one(
                said::assignment(key, new.map(value), old.map(value)),
                new,
                old,
                |work, entry| {
                    work.stays(&entry.origin, false, work.role_goes(&key.role) || work.group_goes_of(&key.to))
                },
                |was, becomes| Some(assign(key, was, becomes)),
            );
        }
        for (at, new, old) in both(&self.wanted.grants, &self.present.grants) {
            self.one(
                said::grant(at, new.map(value), old.map(value)),
                new,
                old,
                |work, entry| work.stays(&entry.origin, owns(at, entry), work.goes(at)),
                |was, becomes| grant(at, was, becomes),
            );
        }
        for (at, new, old) in both(&self.wanted.rules, &self.present.rules) {
            self.one(
                said::rule(at, new.map(value), old.map(value)),
                new,
                old,
                |work, entry| work.stays(&entry.origin, false, work.goes(at)),
                |was, becomes| Some(rule(at, was, becomes)),
            );
        }
    }

    fn bindings(&mut self) {
        for (_, new, old) in both(&self.wanted.bindings, &self.present.bindings) {
            let was = old.map(|entry| Arc::clone(&entry.value));
            match (new, old) {
                (Some(new), old) if old.is_none_or(|old| old.value != new.value) => {
                    let verb = if old.is_some() { Verb::Change } else { Verb::Add };
                    let step = Step::Bind { was, new: Arc::clone(&new.value) };
                    self.added.push(item(verb, said::binding(&new.value), &new.origin, step));
                }
                (None, Some(old)) if self.stays(&old.origin, false, false) => {
                    self.kept.push(Kept { what: said::binding(&old.value), from: old.origin.clone() });
                }
                (None, Some(old)) => {
                    let step = Step::Unbind { was: Arc::clone(&old.value) };
                    self.removed.push(item(Verb::Remove, said::binding(&old.value), &old.origin, step));
                }
                (Some(_), _) | (None, None) => {}
            }
        }
    }

    /// One thing that is in the files, or there, or both.
    fn one<V: Copy + PartialEq>(
        &mut self,
        what: String,
        new: Option<&Entry<V>>,
        old: Option<&Entry<V>>,
        stays: impl FnOnce(&Self, &Entry<V>) -> bool,
        step: impl FnOnce(Option<V>, Option<V>) -> Option<Step>,
    ) {
        let (verb, from) = match (new, old) {
            (Some(new), None) => (Verb::Add, &new.origin),
            (Some(new), Some(old)) if new.value != old.value => (Verb::Change, &new.origin),
            (None, Some(old)) => {
                if stays(self, old) {
                    self.kept.push(Kept { what, from: old.origin.clone() });
                    return;
                }
                (Verb::Remove, &old.origin)
            }
            _ => return,
        };
        let Some(step) = step(old.map(|entry| entry.value), new.map(|entry| entry.value)) else { return };
        let place = if verb == Verb::Remove { &mut self.removed } else { &mut self.added };
        place.push(item(verb, what, from, step));
    }

    /// Whether what no file speaks of stays.
    fn stays(&self, origin: &Origin, owned: bool, holder_goes: bool) -> bool {
        if holder_goes || origin.by_files() {
            return false;
        }
        match self.prune {
            Prune::Nothing => true,
            Prune::Given => owned,
            Prune::Everything => false,
        }
    }

    fn role_goes(&self, key: &RoleKey) -> bool {
        self.gone_roles.contains(key)
    }

    fn group_goes_of(&self, to: &Subject) -> bool {
        matches!(to, Subject::Group(name) if self.gone_groups.contains(name))
    }

    fn goes(&self, at: &Spot) -> bool {
        match &at.to {
            Named::User(_) => false,
            Named::Group(name) => self.gone_groups.contains(name),
            Named::Role(name) => self.role_goes(&RoleKey { workspace: at.workspace.clone(), name: name.clone() }),
        }
    }
}

fn value<V: Copy>(entry: &Entry<V>) -> V {
    entry.value
}

/// MANAGE on exactly one thing, held by whoever had made it.
fn owns(at: &Spot, entry: &Entry<Held>) -> bool {
    let Named::User(name) = &at.to else { return false };
    let own = matches!(&entry.origin, Origin::Store(by) if by.strip_prefix("user ") == Some(name.as_str()));
    own && matches!(at.pattern, Pattern::Exactly(_)) && entry.value == (Permission::Manage, None)
}

fn item(verb: Verb, what: impl AsRef<str>, from: &Origin, step: Step) -> Item {
    Item { verb, what: shown(what.as_ref()), from: from.clone(), step }
}

fn assign(key: &Assigned, was: Option<End>, becomes: Option<End>) -> Step {
    let RoleKey { workspace, name: role } = key.role.clone();
    let to = key.to.clone();
    match becomes {
        Some(expires) => Step::Assign { workspace, role, to, was, expires },
        None => Step::Unassign { workspace, role, to },
    }
}

fn grant(at: &Spot, was: Option<Held>, becomes: Option<Held>) -> Option<Step> {
    Some(match (was, becomes) {
        (was, Some(held)) => Step::Grant { at: at.clone(), was, held },
        (Some(was), None) => Step::Revoke { at: at.clone(), was },
        (None, None) => return None,
    })
}

fn rule(at: &Spot, was: Option<End>, becomes: Option<End>) -> Step {
    match becomes {
        Some(expires) => Step::Allow { at: at.clone(), was, expires },
        None => Step::Disallow { at: at.clone() },
    }
}

/// Every key of either, in order.
fn both<'a, K: Ord, V>(
    new: &'a BTreeMap<K, V>,
    old: &'a BTreeMap<K, V>,
) -> impl Iterator<Item = (&'a K, Option<&'a V>, Option<&'a V>)> {
    let said = new.iter().map(|(key, value)| (key, Some(value), old.get(key)));
    let unsaid = old.iter().filter(|(key, _)| !new.contains_key(key)).map(|(key, value)| (key, None, Some(value)));
    said.chain(unsaid)
}

fn groups_spoken_of(state: &State) -> BTreeSet<GroupName> {
    let assigned = state.assignments.keys().filter_map(|key| match &key.to {
        Subject::Group(name) => Some(name.clone()),
        Subject::User(_) | Subject::Role(_) => None,
    });
    let held = state.grants.keys().chain(state.rules.keys()).filter_map(|at| match &at.to {
        Named::Group(name) => Some(name.clone()),
        Named::User(_) | Named::Role(_) => None,
    });
    assigned.chain(held).collect()
}

#[cfg(test)]
mod tests;
