//! What of another program's permissions maps to ours, what changes on the way, and what does not map?
//!
//! Whoever reads the database hands in its tables ([`Dump`]). Nothing maps to more than it was without being told
//! (`wider`).

mod basic;
mod oidc;
mod regex;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::Serialize;

use super::plan::{Plan, Prune, plan};
use super::read::{Policy, shown};
use super::state::{Entry, Origin, RoleKey, State};
use crate::access::grant::Pattern;
use crate::mlflow::ids::{GatewayEndpointId, GatewayModelDefinitionId, GatewaySecretId, GroupName, UserName};
use crate::mlflow::permission::Permission;
use crate::mlflow::resource::{Grantable, Kind};
use crate::store::{Named, Spot, Step};

pub use basic::{TABLES as BASIC_TABLES, read as read_basic};
pub use oidc::{read as read_oidc, tables as oidc_tables};

/// The rows of a database: for each table, each row's columns in the order in which they were asked for. A column that the
/// database does not have is `None`, a table that it does not have is missing.
pub type Dump = BTreeMap<String, Vec<Vec<Option<String>>>>;

/// What others' names are here.
#[derive(Debug, Clone, Default)]
pub struct Names {
    /// Users under another name here.
    pub users: BTreeMap<String, String>,
    /// Groups under another name here.
    pub groups: BTreeMap<String, String>,
    /// What is added, behind an `@`, to users' names that have none.
    pub domain: Option<String>,
}

/// What was found.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Import {
    /// What maps.
    #[serde(skip)]
    pub state: State,
    /// Everybody who maps.
    #[serde(skip)]
    pub users: BTreeSet<UserName>,
    /// Of these, who was an administrator.
    #[serde(skip)]
    pub admins: BTreeSet<UserName>,
    /// What maps to something else than it was, and never to more.
    pub changed: Vec<String>,
    /// What does not map, and why.
    pub lost: Vec<String>,
    /// What gives somebody more here than it did there, because of how grants are added up.
    pub wider: Vec<String>,
    /// What else should be known.
    pub notes: Vec<String>,
}

impl Import {
    fn lose(&mut self, what: impl AsRef<str>) {
        self.lost.push(shown(what.as_ref()));
    }

    fn change(&mut self, what: impl AsRef<str>) {
        self.changed.push(shown(what.as_ref()));
    }

    /// Adds a grant. The higher one stays where there are two, a DENY in any case.
    fn grant(&mut self, at: Spot, permission: Permission) {
        let entry = self.state.grants.entry(at).or_insert_with(|| entry((permission, None)));
        let old = entry.value.0;
        if permission == Permission::Deny || (old != Permission::Deny && permission.strength() > old.strength()) {
            entry.value.0 = permission;
        }
    }

    /// Users by their number there. Those who cannot be named here are lost; two who would be one are both.
    fn people(&mut self, rows: &[(String, String, bool)], names: &Names) -> BTreeMap<String, UserName> {
        let mut found: BTreeMap<UserName, Vec<&(String, String, bool)>> = BTreeMap::new();
        for row in rows {
            let (_, name, _) = row;
            match user_name(name, names) {
                Ok(user) => found.entry(user).or_default().push(row),
                Err(why) => self.lose(format!("user `{name}` with all that they hold: {why}; name them in --names")),
            }
        }
        let mut ids = BTreeMap::new();
        for (user, rows) in found {
            let [(id, name, admin)] = rows.as_slice() else {
                let all: Vec<_> = rows.iter().map(|(_, name, _)| format!("`{name}`")).collect();
                self.lose(format!("users {} with all that they hold: all would be {user}", all.join(", ")));
                continue;
            };
            if user.as_str() != name {
                self.change(format!("user `{name}` is {user} here"));
            }
            if *admin {
                self.admins.insert(user.clone());
            }
            self.users.insert(user.clone());
            ids.insert(id.clone(), user);
        }
        ids
    }

    /// Groups by their number there.
    fn groups(&mut self, rows: &[(String, String)], names: &Names) -> BTreeMap<String, GroupName> {
        let mut ids: BTreeMap<String, GroupName> = BTreeMap::new();
        for (id, name) in rows {
            let here = names.groups.get(name).unwrap_or(name);
            match GroupName::parse(here) {
                Ok(group) if ids.values().any(|known| *known == group) || group.as_str() == "everybody" => {
                    self.lose(format!("group `{name}` with all that it holds: there is another {group}"));
                }
                Ok(group) => {
                    if group.as_str() != name {
                        self.change(format!("group `{name}` is {group} here"));
                    }
                    self.state.groups.insert(group.clone(), entry(Some(BTreeSet::new())));
                    ids.insert(id.clone(), group);
                }
                Err(why) => self.lose(format!("group `{name}` with all that it holds: {why}; name it in --names")),
            }
        }
        ids
    }
}

fn entry<V>(value: V) -> Entry<V> {
    Entry { value, origin: Origin::File(Arc::from("import"), 1) }
}

fn user_name(name: &str, names: &Names) -> Result<UserName, String> {
    let here = match (names.users.get(name), &names.domain) {
        (Some(here), _) => here.clone(),
        (None, Some(domain)) if !name.contains('@') => format!("{name}@{domain}"),
        (None, _) => name.to_owned(),
    };
    // Mail addresses are compared in lower case.
    let here = if here.contains('@') { here.to_lowercase() } else { here };
    UserName::parse(&here).map_err(|error| error.to_string())
}

/// What exactly one thing of a kind is called here. In those programs `*` alone stands for all, and nothing for a part.
fn pattern(kind: Kind, text: &str) -> Result<Pattern, String> {
    if text == "*" {
        return Pattern::parse(kind, "*").map_err(|error| error.to_string());
    }
    match kind {
        Kind::GatewaySecret => drop(GatewaySecretId::parse(text).map_err(|error| error.to_string())?),
        Kind::GatewayEndpoint => drop(GatewayEndpointId::parse(text).map_err(|error| error.to_string())?),
        Kind::GatewayModelDefinition => {
            drop(GatewayModelDefinitionId::parse(text).map_err(|error| error.to_string())?);
        }
        _ => {}
    }
    if kind.grantable() == Grantable::ByName && text.contains(['*', '?']) {
        let plain = text.len() <= 300 && !text.chars().any(char::is_control);
        return plain.then(|| Pattern::Exactly(Arc::from(text))).ok_or_else(|| "it is no name".to_owned());
    }
    Pattern::parse(kind, text).map_err(|error| error.to_string())
}

/// What an import would add, and nothing else: what is there already stays, and is told where it differs. `admins` says
/// whether administrators become some here.
#[must_use]
pub fn additions(import: &mut Import, present: &State, users: &BTreeSet<UserName>, admins: bool) -> (Plan, Vec<Step>) {
    let mut wanted = std::mem::take(&mut import.state);
    foreign_roles(import, &mut wanted, present);
    let mut there = State::default();
    for (name, new) in &wanted.groups {
        if let Some(old) = present.groups.get(name) {
            let had = old.value.iter().flatten().filter(|user| new.value.iter().flatten().any(|new| new == *user));
            there.groups.insert(name.clone(), entry(Some(had.cloned().collect())));
        }
    }
    let mut differing = Vec::new();
    wanted.roles.retain(|key, _| match present.roles.get(key) {
        Some(old) => {
            there.roles.insert(key.clone(), old.clone());
            false
        }
        None => true,
    });
    // A role that is there stays what it is; it must not look as if it had to go.
    for (key, old) in &there.roles {
        wanted.roles.insert(key.clone(), old.clone());
    }
    wanted.assignments.retain(|key, _| !present.assignments.contains_key(key));
    wanted.grants.retain(|at, new| match present.grants.get(at) {
        Some(old) if old.value != new.value => {
            differing.push(format!(
                "{} {} on {} {}: there is {} already, which stays",
                at.to, new.value.0, at.kind, at.pattern, old.value.0
            ));
            false
        }
        Some(_) => false,
        None => true,
    });
    for what in differing {
        import.lose(what);
    }
    let policy = Policy { state: wanted, ended: Vec::new() };
    let known: BTreeSet<UserName> = users.union(&import.users).cloned().collect();
    let plan = plan(&policy, &there, &known, Prune::Nothing);
    let mut steps: Vec<Step> =
        import.users.iter().filter(|user| !users.contains(*user)).cloned().map(Step::AddUser).collect();
    if admins {
        steps.extend(import.admins.iter().cloned().map(|user| Step::SetAdmin(user, true)));
    }
    steps.extend(plan.changes.iter().map(|item| item.step.clone()));
    import.state = policy.state;
    (plan, steps)
}

/// A role of the same name that somebody else made here may be another's: nobody who has it gets more by an import.
fn foreign_roles(import: &mut Import, wanted: &mut State, present: &State) {
    let foreign = |key: &RoleKey| {
        present
            .roles
            .get(key)
            .is_some_and(|role| !matches!(&role.origin, Origin::Store(by) if by.starts_with("import ")))
    };
    let taken: Vec<RoleKey> = wanted.roles.keys().filter(|key| foreign(key)).cloned().collect();
    for key in taken {
        import.lose(format!("role {key} with all that it holds: there is a role of this name here"));
        wanted.roles.remove(&key);
        wanted.assignments.retain(|assigned, _| assigned.role != key);
        wanted.grants.retain(|at, _| !(at.workspace == key.workspace && at.to == Named::Role(key.name.clone())));
    }
}
