//! Who is asking, and how was that proven?

use std::sync::Arc;
use std::time::SystemTime;

use super::grant::GrantSet;
use crate::mlflow::ids::{GroupName, UserName};

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
}

impl Proof {
    /// The word in the audit log.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::Bearer => "bearer",
            Self::Iap => "iap",
        }
    }
}

/// An identity with all that it holds, from one snapshot of the store. Made only in `store`.
#[derive(Debug, Clone)]
pub struct Principal {
    /// Who.
    pub identity: Arc<Identity>,
    /// Administrators pass every check but `Nobody`.
    pub admin: bool,
    /// The person's own grants and those of each of their groups.
    pub grants: Vec<Arc<GrantSet>>,
}
