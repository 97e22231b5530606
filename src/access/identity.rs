//! Who is asking, and how was that proven?

use std::collections::HashMap;
use std::sync::Arc;
use std::time::SystemTime;

use super::ceiling::Ceiling;
use super::grant::GrantSet;
use crate::mlflow::ids::{GroupName, UserName, WorkspaceName};
use crate::mlflow::permission::Permission;
use crate::mlflow::resource::{Kind, Object};

/// A caller who proved who they are. Made only in `authenticate`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// How Trackgate names the caller; grants are given to this name.
    pub user: UserName,
    /// The issuer that vouches for the caller, e.g. `https://accounts.google.com`, or `store` for our own.
    pub issuer: Arc<str>,
    /// The issuer's own, never reused name for the caller (OIDC Core section 2, `sub`).
    pub subject: Arc<str>,
    /// Groups that the issuer vouches for, already filtered by the issuer's settings.
    pub groups: Vec<GroupName>,
    /// How the caller proved it.
    pub proof: Proof,
    /// When the proof ends.
    pub until: SystemTime,
    /// The token of our own that proved it, or the binding by which it counts, if one did.
    pub token: Option<Arc<ByToken>>,
}

/// The token of our own, or the binding, by which a caller was recognised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ByToken {
    /// What it is called in lists and in the audit log; no secret.
    pub id: Arc<str>,
    /// What it can be used for at most, where it was narrowed.
    pub ceiling: Option<Ceiling>,
}

impl Identity {
    /// What the caller's credential can be used for at most, where it was narrowed.
    #[must_use]
    pub fn ceiling(&self) -> Option<&Ceiling> {
        self.token.as_ref()?.ceiling.as_ref()
    }
}

/// How an identity was proven.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Proof {
    /// A session cookie, after a login with the code flow.
    Session,
    /// A bearer token.
    Bearer,
    /// Google IAP's signed header.
    Iap,
    /// A token of our own.
    Token,
    /// A bearer token that is bound to a service account.
    Bound,
}

impl Proof {
    /// The word in the audit log.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::Bearer => "bearer",
            Self::Iap => "iap",
            Self::Token => "token",
            Self::Bound => "binding",
        }
    }
}

/// An identity with all that it holds, from one snapshot of the store. Made only in `store`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// Who.
    pub identity: Arc<Identity>,
    /// Administrators pass every check but `Nobody`. Nobody is one by a token that was narrowed.
    pub admin: bool,
    /// The workspace that the request acts in. The grants below are those of this workspace and of no other.
    pub workspace: WorkspaceName,
    /// The person's own grants and those of each of their groups.
    pub grants: Vec<Arc<GrantSet>>,
    /// What experiments are called, as far as that was looked up for this request.
    pub names: Names,
}

/// What experiments are called. Gathered only for whom a grant on names speaks to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names(HashMap<Arc<str>, Option<Arc<str>>>);

impl Names {
    /// Adds what the experiment of this id is called; `None`: there is no such one, and no name of it speaks.
    pub fn learn(&mut self, id: Arc<str>, name: Option<Arc<str>>) {
        self.0.insert(id, name);
    }

    /// Whether the experiment was looked up.
    #[must_use]
    pub fn knows(&self, id: &str) -> bool {
        self.0.contains_key(id)
    }

    /// What it is called.
    #[must_use]
    pub fn of(&self, id: &str) -> Option<&Arc<str>> {
        self.0.get(id)?.as_ref()
    }

    /// Each id with its name, in order.
    pub fn all(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        let mut all: Vec<_> = self.0.iter().map(|(id, name)| (&**id, name.as_deref())).collect();
        all.sort_unstable();
        all.into_iter()
    }

    /// Whether nothing was looked up.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<(Arc<str>, Option<Arc<str>>)> for Names {
    fn from_iter<I: IntoIterator<Item = (Arc<str>, Option<Arc<str>>)>>(names: I) -> Self {
        Self(names.into_iter().collect())
    }
}

impl Extend<(Arc<str>, Option<Arc<str>>)> for Names {
    fn extend<I: IntoIterator<Item = (Arc<str>, Option<Arc<str>>)>>(&mut self, names: I) {
        self.0.extend(names);
    }
}

impl Principal {
    /// Whether what an experiment is called matters to what the caller may do with it.
    #[must_use]
    pub fn speaks_of_names(&self) -> bool {
        let reached = || self.identity.ceiling().is_some_and(Ceiling::speaks_of_names);
        !self.admin && (self.grants.iter().any(|set| set.speaks_of_names()) || reached())
    }

    /// Whether a DENY of theirs is on names of experiments.
    #[must_use]
    pub fn denies_names(&self) -> bool {
        let kind = Kind::ExperimentName;
        let denied = |set: &Arc<GrantSet>| {
            let exact = set.exact(kind).map(|(_, permission)| permission);
            exact.chain(set.patterns(kind).map(|(_, permission)| permission)).any(|held| held == Permission::Deny)
        };
        self.grants.iter().filter(|set| set.speaks_of_names()).any(denied)
    }

    /// Whether the object is an experiment whose name matters and was not looked up.
    #[must_use]
    pub fn lacks_name_of(&self, object: &Object) -> bool {
        object.kind == Kind::Experiment
            && !object.is_nameless()
            && *object.id != *"*"
            && self.speaks_of_names()
            && !self.names.knows(&object.id)
    }

    /// The name of the object as one that grants speak of, where it is an experiment whose name was looked up.
    #[must_use]
    pub fn named(&self, object: &Object) -> Option<Object> {
        if object.kind != Kind::Experiment || self.names.is_empty() {
            return None;
        }
        Some(Object { kind: Kind::ExperimentName, id: Arc::clone(self.names.of(&object.id)?) })
    }

    /// The same caller, who knows what these experiments are called.
    #[must_use]
    pub fn knowing(&self, names: impl IntoIterator<Item = (Arc<str>, Option<Arc<str>>)>) -> Self {
        let mut knowing = self.clone();
        knowing.names.extend(names);
        knowing
    }

    /// Whether the caller has any business in the workspace: an administrator, or somebody who holds something there and
    /// is not denied the whole of it. To everybody else the workspace is one that does not exist.
    #[must_use]
    pub fn belongs(&self) -> bool {
        let workspace = self.workspace.object();
        let denied = || self.grants.iter().flat_map(|set| set.on(&workspace)).any(|(_, held)| held == Permission::Deny);
        self.admin || (self.grants.iter().any(|set| set.gives_something()) && !denied())
    }
}
