//! What does the store hold, as a policy?

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use super::state::{Assigned, Entry, Origin, RoleKey, State};
use super::write;
use crate::access::grant::{RoleId, Subject};
use crate::mlflow::ids::UserName;
use crate::store::{CreateRule, GrantRecord, Named, Spot, Store};

/// All of it. What has ended is not there.
#[must_use]
pub fn state(store: &Store) -> State {
    let mut state = State::default();
    for group in store.groups() {
        let members = group.members.iter().cloned().collect();
        state.groups.insert(group.name, Entry { value: Some(members), origin: Origin::Store(Arc::from("")) });
    }
    let roles = roles(store);
    for (key, entry) in roles.values() {
        state.roles.insert(key.clone(), entry.clone());
    }
    for subject in store.holders() {
        for assignment in store.assignments_to(&subject) {
            if let Some((role, _)) = roles.get(&assignment.role) {
                let key = Assigned { role: role.clone(), to: assignment.to };
                state
                    .assignments
                    .insert(key, Entry { value: assignment.expires, origin: Origin::Store(assignment.by) });
            }
        }
        let Some(to) = named(&subject, &roles) else { continue };
        for record in store.grants_of(&subject, None) {
            let value = (record.grant.permission, record.expires);
            let origin = Origin::Store(Arc::clone(&record.by));
            state.grants.insert(spot_of_grant(record, to.clone()), Entry { value, origin });
        }
        for rule in store.create_rules_of(&subject) {
            let (value, origin) = (rule.expires, Origin::Store(Arc::clone(&rule.by)));
            state.rules.insert(spot_of_rule(rule, to.clone()), Entry { value, origin });
        }
    }
    for record in store.bindings().iter() {
        let origin = Origin::Store(Arc::clone(&record.by));
        state.bindings.insert(record.binding.name.clone(), Entry { value: Arc::clone(&record.binding), origin });
    }
    state
}

/// Everybody the store knows.
#[must_use]
pub fn users(store: &Store) -> BTreeSet<UserName> {
    store.users().iter().map(|user| user.name.clone()).collect()
}

/// Writes all of it, as files say it, piece by piece: no more of it is held at once than what one subject holds.
///
/// # Errors
/// What `take` says.
pub fn export<E: From<fmt::Error>>(store: &Store, mut take: impl FnMut(&str) -> Result<(), E>) -> Result<(), E> {
    let mut piece = String::new();
    let mut give = |piece: &mut String| {
        let given = take(piece);
        piece.clear();
        given
    };
    for group in store.groups() {
        write::group(&mut piece, &group.name, Some(&group.members))?;
        give(&mut piece)?;
    }
    let roles = roles(store);
    let in_order: BTreeMap<_, _> = roles.values().map(|(key, entry)| (key, entry)).collect();
    for (key, entry) in in_order {
        write::role(&mut piece, key, &entry.value)?;
        give(&mut piece)?;
    }
    for subject in store.holders() {
        for assignment in store.assignments_to(&subject) {
            if let Some((role, _)) = roles.get(&assignment.role) {
                let key = Assigned { role: role.clone(), to: assignment.to };
                write::assignment(&mut piece, &key, assignment.expires)?;
                give(&mut piece)?;
            }
        }
        let Some(to) = named(&subject, &roles) else { continue };
        let grants = store.grants_of(&subject, None).into_iter().map(|record| {
            let held = (record.grant.permission, record.expires);
            (spot_of_grant(record, to.clone()), held)
        });
        for (at, held) in grants.collect::<BTreeMap<_, _>>() {
            write::grant(&mut piece, &at, held)?;
            give(&mut piece)?;
        }
        let rules = store.create_rules_of(&subject).into_iter().map(|rule| {
            let expires = rule.expires;
            (spot_of_rule(rule, to.clone()), expires)
        });
        for (at, expires) in rules.collect::<BTreeMap<_, _>>() {
            write::rule(&mut piece, &at, expires)?;
            give(&mut piece)?;
        }
    }
    for record in store.bindings().iter() {
        write::binding(&mut piece, &record.binding)?;
        give(&mut piece)?;
    }
    Ok(())
}

type Roles = BTreeMap<RoleId, (RoleKey, Entry<Arc<str>>)>;

/// Those that can be given away: the others are another way to speak of what their owners hold.
fn roles(store: &Store) -> Roles {
    let given = store.roles(None).into_iter().filter(|role| role.owner.is_none());
    let keyed = given.map(|role| {
        let key = RoleKey { workspace: role.workspace.clone(), name: role.name.clone() };
        let origin = Origin::Store(Arc::clone(&role.by));
        (role.id, (key, Entry { value: Arc::clone(&role.description), origin }))
    });
    keyed.collect()
}

fn named(subject: &Subject, roles: &Roles) -> Option<Named> {
    Some(match subject {
        Subject::User(name) => Named::User(name.clone()),
        Subject::Group(name) => Named::Group(name.clone()),
        Subject::Role(id) => Named::Role(roles.get(id)?.0.name.clone()),
    })
}

fn spot_of_grant(record: GrantRecord, to: Named) -> Spot {
    Spot { workspace: record.workspace, to, kind: record.grant.kind, pattern: record.grant.pattern }
}

fn spot_of_rule(rule: CreateRule, to: Named) -> Spot {
    Spot { workspace: rule.workspace, to, kind: rule.kind, pattern: rule.pattern }
}
