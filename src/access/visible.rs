//! Which things of one kind may the caller see?
//!
//! The same fold as for single reads, asked of all at once: so that a request can be narrowed before it is sent, and an
//! answer left unfiltered where nothing would be taken out.

use std::sync::Arc;

use super::ceiling::{Ceiling, Scope};
use super::decide::{holds, strongest};
use super::grant::{GrantSet, Pattern};
use super::identity::Principal;
use crate::mlflow::permission::{Action, Permission};
use crate::mlflow::resource::{Kind, Resource};

/// Whether `principal` may see `resource`: the fold of single reads, for lists.
#[must_use]
pub fn visible(principal: &Principal, resource: &Resource) -> bool {
    holds(principal, Action::Read, resource).is_ok()
}

/// What part of the things of one kind a principal may see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Visible {
    /// Every one: nothing needs to be filtered.
    All,
    /// These and no others: the request can be narrowed to them.
    Only(Vec<Arc<str>>),
    /// It depends on each one's name: the answer must be filtered.
    Some,
}

/// Which things of `kind` (an experiment or a registered model) `principal` may see.
#[must_use]
pub fn visible_of(principal: &Principal, kind: Kind) -> Visible {
    match principal.identity.ceiling() {
        Some(ceiling) => visible_below(principal, ceiling, kind),
        None => owner_sees(principal, kind),
    }
}

/// The same under a ceiling: nothing but what it reaches.
fn visible_below(principal: &Principal, ceiling: &Ceiling, kind: Kind) -> Visible {
    let owner = owner_sees(principal, kind);
    let reached: Vec<&Scope> = match &ceiling.only {
        _ if ceiling.is_elsewhere(principal) => return Visible::Only(Vec::new()),
        None => return owner,
        Some(only) => only.iter().filter(|scope| scope.kind == kind).collect(),
    };
    let by_name = kind == Kind::Experiment && ceiling.speaks_of_names();
    let mut exact: Vec<Arc<str>> = Vec::new();
    for scope in reached {
        match &scope.pattern {
            Pattern::Exactly(id) => exact.push(Arc::clone(id)),
            Pattern::Prefix(prefix) if prefix.is_empty() => return owner,
            Pattern::Prefix(_) | Pattern::Glob(_) => return Visible::Some,
        }
    }
    if by_name || (kind == Kind::Experiment && !exact.is_empty() && principal.speaks_of_names()) {
        // Which experiments are called so, MLflow alone knows.
        return if owner == Visible::Only(Vec::new()) { owner } else { Visible::Some };
    }
    exact.retain(|id| visible(principal, &Resource::top(kind, Arc::clone(id))));
    exact.sort_unstable();
    exact.dedup();
    Visible::Only(exact)
}

/// The same, whatever the credential is for.
fn owner_sees(principal: &Principal, kind: Kind) -> Visible {
    if principal.admin {
        return Visible::All;
    }
    let everything = match strongest(principal, Action::Read, &principal.workspace.object(), |_| true) {
        Some((_, Permission::Deny)) => return Visible::Only(Vec::new()),
        Some((_, Permission::Manage)) => true,
        _ => false,
    };
    let mut exact: Vec<Arc<str>> = Vec::new();
    let mut denied = false;
    let mut patterns = false;
    let mut all = everything;
    for set in &principal.grants {
        for (id, permission) in set.exact(kind) {
            if permission == Permission::Deny {
                denied = true;
            }
            exact.push(Arc::clone(id));
        }
        for (pattern, permission) in set.patterns(kind) {
            match (pattern.is_everything(), permission) {
                (true, Permission::Deny) => return Visible::Only(Vec::new()),
                (false, Permission::Deny) => denied = true,
                (true, _) => all = true,
                (false, _) => patterns = true,
            }
        }
    }
    if kind == Kind::Experiment && principal.speaks_of_names() {
        // Which experiments are called so, MLflow alone knows.
        let gives = |set: &&Arc<GrantSet>| {
            let named = Kind::ExperimentName;
            let exact = set.exact(named).map(|(_, permission)| permission);
            exact.chain(set.patterns(named).map(|(_, permission)| permission)).any(|held| held != Permission::Deny)
        };
        patterns |= principal.grants.iter().any(|set| gives(&set));
        denied |= principal.denies_names();
        // One that is granted by its id may be denied by its name.
        patterns |= denied && !exact.is_empty();
    }
    match (all, denied, patterns) {
        (true, false, _) => Visible::All,
        (true, true, _) | (false, _, true) => Visible::Some,
        (false, _, false) => {
            exact.retain(|id| visible(principal, &Resource::top(kind, Arc::clone(id))));
            exact.sort_unstable();
            exact.dedup();
            Visible::Only(exact)
        }
    }
}
