//! What does each permission level allow?
//!
//! The levels and what they allow are MLflow 3.17.2's (`mlflow/server/auth/permissions.py`). MLflow's
//! `NO_PERMISSIONS` is the absence of a grant here, not a value.

use std::fmt;
use std::str::FromStr;

/// A level that a grant can give. Ordered from weak to strong; `Deny` is not a level but a veto.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Permission {
    /// See it.
    Read,
    /// See it and use it (call an endpoint, create inside a workspace).
    Use,
    /// Also change it.
    Edit,
    /// Also delete it, and give others permission on it.
    Manage,
    /// Nothing at all, whatever else is granted on the same object.
    Deny,
}

/// What a request wants to do with an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// See it.
    Read,
    /// Use it.
    Use,
    /// Change it.
    Edit,
    /// Delete or restore it.
    Delete,
    /// Give or take permissions on it.
    Manage,
    /// Make a new object in the workspace.
    Create,
}

impl Permission {
    /// Whether this level allows `action`.
    #[must_use]
    pub fn allows(self, action: Action) -> bool {
        let least = match action {
            Action::Read => 1,
            // MLflow: USE on a workspace is the right to create in it.
            Action::Use | Action::Create => 2,
            Action::Edit => 3,
            Action::Delete | Action::Manage => 4,
        };
        self.strength() >= least
    }

    /// 0 for `Deny`, then 1 to 4.
    #[must_use]
    pub fn strength(self) -> u8 {
        match self {
            Self::Deny => 0,
            Self::Read => 1,
            Self::Use => 2,
            Self::Edit => 3,
            Self::Manage => 4,
        }
    }

    /// The word that MLflow's API, the command line and the audit log use.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "READ",
            Self::Use => "USE",
            Self::Edit => "EDIT",
            Self::Manage => "MANAGE",
            Self::Deny => "DENY",
        }
    }
}

impl Action {
    /// The word in the table, the audit log and `explain`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Use => "use",
            Self::Edit => "edit",
            Self::Delete => "delete",
            Self::Manage => "manage",
            Self::Create => "create",
        }
    }
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A word that is not a permission level.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a permission: use READ, USE, EDIT, MANAGE or DENY")]
pub struct UnknownPermission;

impl FromStr for Permission {
    type Err = UnknownPermission;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        match word {
            "READ" => Ok(Self::Read),
            "USE" => Ok(Self::Use),
            "EDIT" => Ok(Self::Edit),
            "MANAGE" => Ok(Self::Manage),
            "DENY" => Ok(Self::Deny),
            _ => Err(UnknownPermission),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_manage_deletes_and_deny_allows_nothing() {
        use Action::{Create, Delete, Edit, Manage, Read, Use};
        let cases = [
            (Permission::Read, [true, false, false, false, false, false]),
            (Permission::Use, [true, true, false, false, false, true]),
            (Permission::Edit, [true, true, true, false, false, true]),
            (Permission::Manage, [true, true, true, true, true, true]),
            (Permission::Deny, [false; 6]),
        ];
        for (permission, expected) in cases {
            let allowed = [Read, Use, Edit, Delete, Manage, Create].map(|action| permission.allows(action));
            assert_eq!(allowed, expected, "{permission}");
        }
    }
}
