//! Who is asking, and how was that proven?

use std::sync::Arc;
use std::time::SystemTime;

use super::ceiling::Ceiling;
use super::grant::GrantSet;
use crate::mlflow::ids::{GroupName, UserName, WorkspaceName};
use crate::mlflow::permission::Permission;

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
    /// The token of our own that proved it, if one did.
    pub token: Option<Arc<ByToken>>,
}

/// The token of our own by which a caller was recognised.
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
}

impl Principal {
    /// Whether the caller has any business in the workspace: an administrator, or somebody who holds something there and
    /// is not denied the whole of it. To everybody else the workspace is one that does not exist.
    #[must_use]
    pub fn belongs(&self) -> bool {
        let workspace = self.workspace.object();
        let denied = || self.grants.iter().flat_map(|set| set.on(&workspace)).any(|(_, held)| held == Permission::Deny);
        self.admin || (self.grants.iter().any(|set| set.gives_something()) && !denied())
    }
}
