//! What must the caller hold?
//!
//! Said by a row of the table, with the real objects in it; judged by [`decide`](super::decide::decide).

use std::sync::Arc;

use super::identity::Principal;
use crate::mlflow::permission::Action;
use crate::mlflow::resource::{Kind, Resource};

/// One thing that the caller must hold, with the real object in it. Made in `resolve`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Requirement {
    /// Nothing: strangers may too.
    Nothing,
    /// To be somebody.
    SignedIn,
    /// To be an administrator, and why.
    Admin(&'static str),
    /// What the request names does not exist, or not there. Administrators pass, and hear of it from MLflow itself; to
    /// everybody else it is a denial like any other.
    Absent(&'static str),
    /// There is no registered model and no prompt of this name that the caller may do this with: either there is none,
    /// or it is of the kind that is hidden from them. The two must look alike.
    NoName(Arc<str>),
    /// Refused to everybody, and why.
    Nobody(&'static str),
    /// `action` on `resource`.
    Holds {
        /// What is wanted.
        action: Action,
        /// On what.
        resource: Resource,
    },
    /// CREATE on `workspace`, or a rule by which things of `kind` may be made under `name` there.
    Creates {
        /// What is made.
        kind: Kind,
        /// Under which name.
        name: Arc<str>,
        /// Where.
        workspace: Resource,
    },
    /// `action` on `resource`; for those who are named, less is enough. Without an `action` only they may.
    Among {
        /// What is wanted of everybody else.
        action: Option<Action>,
        /// On what.
        resource: Resource,
        /// Who is named, and what they must hold on it all the same.
        named: Vec<Named>,
    },
    /// No level of `resource` is denied to the caller.
    NotDenied(Resource),
    /// Nothing of this kind is denied to the caller: what the answer leaves out or counts would tell of it.
    NoneDenied(Kind),
    /// MANAGE on the workspace, and nothing less on any thing of this kind or on what it lies in.
    Whole(Kind),
    /// The same requirement, met by what the caller holds for as long as what they give.
    Lastingly {
        /// The caller with that alone; `None` where nobody has looked.
        lasting: Option<Arc<Principal>>,
        /// Until when it is given, in milliseconds since the epoch; `None`: for good.
        until: Option<u64>,
        /// What is asked.
        of: Box<Requirement>,
    },
    /// To be the person of this name; with `managers`, or to manage the workspace.
    Oneself {
        /// The name.
        name: Arc<str>,
        /// Whether MANAGE on the workspace is enough.
        managers: bool,
    },
    /// To be another than the person of this name.
    Another(Arc<str>),
    /// To be the one whose tokens these are, or to look after that service account, and to come without a token. Unless one
    /// is made for a person, administrators may too.
    Tokens {
        /// Whose they are.
        of: Arc<str>,
        /// Whether that is a service account.
        service: bool,
        /// Whether the caller looks after it.
        looks_after: bool,
        /// Whether one is made.
        making: bool,
    },
    /// To have the role of this number, or to manage the workspace.
    Bears {
        /// The number.
        role: u64,
        /// `role:NAME`, or whose hidden role it is (`user:NAME`, `group:NAME`).
        whose: Arc<str>,
        /// Whether the caller has it.
        has: bool,
    },
    /// To have some business in each of these workspaces.
    Belongs {
        /// Their names.
        to: Vec<Arc<str>>,
        /// Whether the caller has.
        does: bool,
    },
}

impl Requirement {
    /// The object that it is about, if it is about one.
    #[must_use]
    pub fn resource(&self) -> Option<&Resource> {
        match self {
            Self::Holds { resource, .. } | Self::Among { resource, .. } | Self::NotDenied(resource) => Some(resource),
            Self::Lastingly { of, .. } => of.resource(),
            Self::Nothing
            | Self::SignedIn
            | Self::Admin(_)
            | Self::Absent(_)
            | Self::NoName(_)
            | Self::Nobody(_)
            | Self::Creates { .. }
            | Self::NoneDenied(_)
            | Self::Whole(_)
            | Self::Oneself { .. }
            | Self::Another(_)
            | Self::Bears { .. }
            | Self::Belongs { .. }
            | Self::Tokens { .. } => None,
        }
    }
}

/// People whom an object names: reviewers of a queue, its owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// Their names as MLflow keeps them. Compared as they are: names in two cases may be two people.
    pub users: Vec<Arc<str>>,
    /// What being named does not replace.
    pub least: Action,
}
