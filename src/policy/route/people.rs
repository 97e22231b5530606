//! With which words does a row speak of people, roles and permissions?

use crate::mlflow::granting::Calls;
use crate::mlflow::resource::Kind;

/// What a permission is given on, or taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// Whatever two fields name together, by MLflow's word for its type and by its id or a pattern.
    Named {
        /// Where the type stands.
        kind: &'static str,
        /// Where the id stands.
        id: &'static str,
        /// Where the level stands, if one is given.
        level: Option<&'static str>,
        /// In which calls it stands.
        calls: Calls,
    },
    /// The object of this kind that the field names.
    One {
        /// Which kind.
        kind: Kind,
        /// Where its id stands.
        field: &'static str,
        /// Where the level stands, if one is given.
        level: Option<&'static str>,
    },
    /// The whole workspace.
    Workspace {
        /// Where the level stands, if one is given.
        level: Option<&'static str>,
    },
    /// All that the named role holds permissions on, or the one of them that is named.
    OfRole {
        /// Where the level stands, if one is given.
        level: Option<&'static str>,
    },
}

impl What {
    /// Where the level stands, if one is given.
    #[must_use]
    pub const fn level(self) -> Option<&'static str> {
        match self {
            Self::Named { level, .. }
            | Self::One { level, .. }
            | Self::Workspace { level }
            | Self::OfRole { level } => level,
        }
    }
}

/// What somebody may do with a role.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RoleRight {
    /// See it: to have it, or MANAGE on its workspace.
    See,
    /// Change it: MANAGE on its workspace.
    Change,
}

/// A field of a request that Trackgate answers itself, besides those that the row's needs name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Take {
    /// A text that must be there.
    Text(&'static str),
    /// A text, which may be empty, if it is there.
    TextOpt(&'static str),
    /// Any number of texts.
    Texts(&'static str),
    /// The name of a person, or `group:NAME`.
    Holder(&'static str),
    /// Yes or no.
    Flag(&'static str),
    /// A time: milliseconds since the epoch, or RFC 3339, if it is there.
    TimeOpt(&'static str),
    /// The type and the id of a thing: nothing is demanded on it, and it need not be there.
    Thing {
        /// Where the type stands.
        kind: &'static str,
        /// Where the id stands.
        id: &'static str,
    },
}
