//! What does a policy say?

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use crate::access::binding::{Binding, BindingName};
use crate::access::grant::Subject;
use crate::mlflow::ids::{GroupName, RoleName, UserName, WorkspaceName};
use crate::store::{Held, Spot};

/// Groups, roles, who has them, who holds what and who may create what: each once, in the order of its name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct State {
    /// Groups; who is in them, where that is said.
    pub groups: BTreeMap<GroupName, Entry<Option<BTreeSet<UserName>>>>,
    /// Roles and what they are for.
    pub roles: BTreeMap<RoleKey, Entry<Arc<str>>>,
    /// Who has which role, until when.
    pub assignments: BTreeMap<Assigned, Entry<Option<u64>>>,
    /// Who holds what.
    pub grants: BTreeMap<Spot, Entry<Held>>,
    /// Who may create what, until when.
    pub rules: BTreeMap<Spot, Entry<Option<u64>>>,
    /// Which outside identities act as which service accounts.
    pub bindings: BTreeMap<BindingName, Entry<Arc<Binding>>>,
}

/// A role by its name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RoleKey {
    /// In which workspace.
    pub workspace: WorkspaceName,
    /// Which.
    pub name: RoleName,
}

/// That somebody has a role.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Assigned {
    /// Which.
    pub role: RoleKey,
    /// A user or a group.
    pub to: Subject,
}

/// Something said, and where it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry<V> {
    /// What.
    pub value: V,
    /// From where.
    pub origin: Origin,
}

/// Where something comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A line of a file, from 1.
    File(Arc<str>, usize),
    /// The store, and who put it there.
    Store(Arc<str>),
}

impl Origin {
    /// Whether files put it into the store: then files take it out again.
    #[must_use]
    pub fn by_files(&self) -> bool {
        matches!(self, Self::Store(by) if by.starts_with("policy-files "))
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(file, line) => write!(f, "{file}:{line}"),
            Self::Store(by) if by.is_empty() => f.write_str("nobody"),
            Self::Store(by) => f.write_str(by),
        }
    }
}

impl fmt::Display for RoleKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.name, place(&self.workspace))
    }
}

/// Who has no workspaces need not hear of them.
pub(super) fn place(workspace: &WorkspaceName) -> String {
    if workspace.is_default() { String::new() } else { format!(" in workspace {workspace}") }
}

impl State {
    /// How many things it says.
    #[must_use]
    pub fn len(&self) -> usize {
        let Self { groups, roles, assignments, grants, rules, bindings } = self;
        groups.len() + roles.len() + assignments.len() + grants.len() + rules.len() + bindings.len()
    }

    /// Whether it says nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
