//! How much of what its owner may do may a token be used for?
//!
//! A ceiling takes away and never gives: what it admits must still be held by the owner.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use super::decide::Reason;
use super::grant::{BadPattern, Pattern};
use super::identity::Principal;
use crate::mlflow::ids::WorkspaceName;
use crate::mlflow::permission::{Action, Permission};
use crate::mlflow::resource::{Kind, Object, Resource};

/// What a token can be used for at most.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ceiling {
    /// No more than this level allows; `None`: as much as the owner holds.
    pub most: Option<Permission>,
    /// On these things, what lies in them, and nothing else; `None`: on all that the owner can reach.
    pub only: Option<Arc<[Scope]>>,
    /// In this workspace and in no other.
    pub workspace: Option<WorkspaceName>,
}

/// Things that a token reaches.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Scope {
    /// Of which kind they are.
    pub kind: Kind,
    /// Which ones.
    pub pattern: Pattern,
}

/// What names nothing that a token could reach.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadScope {
    /// No word for a kind before the colon.
    #[error("write KIND:ID, such as experiment:7 or registered_model:team-*")]
    NoKind,
    /// A whole workspace.
    #[error("a token is bound to a workspace by itself, not as one of the things that it reaches")]
    Workspace,
    /// Nothing behind it that such things are called.
    #[error(transparent)]
    Pattern(#[from] BadPattern),
}

impl FromStr for Scope {
    type Err = BadScope;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (kind, pattern) = text.split_once(':').ok_or(BadScope::NoKind)?;
        let kind: Kind = kind.parse().map_err(|_| BadScope::NoKind)?;
        if kind == Kind::Workspace {
            return Err(BadScope::Workspace);
        }
        Ok(Self { kind, pattern: Pattern::parse(kind, pattern)? })
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind, self.pattern)
    }
}

impl fmt::Display for Ceiling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.most {
            Some(most) => write!(f, "{most} at most")?,
            None => f.write_str("all that its owner may")?,
        }
        for (at, scope) in self.only.iter().flat_map(|only| only.iter()).enumerate() {
            write!(f, "{} {scope}", if at == 0 { ", on" } else { "," })?;
        }
        match &self.workspace {
            Some(workspace) => write!(f, ", in workspace {workspace}"),
            None => Ok(()),
        }
    }
}

impl Scope {
    fn covers(&self, object: &Object) -> bool {
        self.kind == object.kind && self.pattern.matches(&object.id)
    }
}

impl Ceiling {
    /// Whether it takes away anything at all.
    #[must_use]
    pub fn narrows(&self) -> bool {
        self.most.is_some() || self.only.is_some() || self.workspace.is_some()
    }

    /// Whether what experiments are called matters to what it reaches.
    #[must_use]
    pub fn speaks_of_names(&self) -> bool {
        self.only.iter().flat_map(|only| only.iter()).any(|scope| scope.kind == Kind::ExperimentName)
    }

    /// Whether `action` on `resource` is below it.
    pub(super) fn admits(&self, principal: &Principal, action: Action, resource: &Resource) -> Result<(), Reason> {
        self.reaches(principal, resource)?;
        self.allows(action)
    }

    /// Whether things of `kind` may be made under `name`.
    pub(super) fn admits_new(&self, principal: &Principal, kind: Kind, name: &str) -> Result<(), Reason> {
        self.is_here(principal, &Object { kind, id: Arc::from(name) })?;
        self.allows(Action::Create)?;
        let Some(only) = &self.only else { return Ok(()) };
        let within = only.iter().any(|scope| {
            let all = scope.pattern.is_everything();
            if scope.kind == Kind::ExperimentName && kind == Kind::Experiment {
                return scope.pattern.matches(name);
            }
            // Scopes on experiments speak of ids: a name that looks like one is none.
            scope.kind == kind && (all || (kind != Kind::Experiment && scope.pattern.matches(name)))
        });
        if within { Ok(()) } else { Err(Reason::OutsideScope(Object { kind, id: Arc::from(name) })) }
    }

    /// Whether `resource`, or what it lies in, is among the things that it reaches.
    pub(super) fn reaches(&self, principal: &Principal, resource: &Resource) -> Result<(), Reason> {
        self.is_here(principal, &resource.object)?;
        let Some(only) = &self.only else { return Ok(()) };
        let covered = |object: &Object| only.iter().any(|scope| scope.covers(object));
        let within =
            resource.levels().any(|object| covered(object) || principal.named(object).is_some_and(|o| covered(&o)));
        if within { Ok(()) } else { Err(Reason::OutsideScope(resource.object.clone())) }
    }

    /// Whether it reaches whatever there is, wherever it is asked.
    pub(super) fn reaches_all(&self, principal: &Principal) -> Result<(), Reason> {
        let workspace = principal.workspace.object();
        self.is_here(principal, &workspace)?;
        if self.only.is_none() { Ok(()) } else { Err(Reason::OutsideScope(workspace)) }
    }

    /// Whether it is for another workspace.
    pub(super) fn is_elsewhere(&self, principal: &Principal) -> bool {
        self.workspace.as_ref().is_some_and(|own| *own != principal.workspace)
    }

    fn is_here(&self, principal: &Principal, object: &Object) -> Result<(), Reason> {
        if self.is_elsewhere(principal) { Err(Reason::OutsideScope(object.clone())) } else { Ok(()) }
    }

    fn allows(&self, action: Action) -> Result<(), Reason> {
        let Some(most) = self.most else { return Ok(()) };
        // USE on a workspace is the right to make things in it: who may not change anything makes nothing either.
        let wanted = if action == Action::Create { Action::Edit } else { action };
        if most.allows(wanted) { Ok(()) } else { Err(Reason::AboveCeiling { most, action }) }
    }
}
