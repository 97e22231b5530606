//! Why can the groups of a person not be told?
//!
//! Nothing here holds a token or a key. What Google says is kept short and printable: it goes to the log and to `check`.

use std::time::Duration;

use crate::fetch::{BadTrust, FetchFault};
use crate::google::{BadKey, NoToken};

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DirectoryFault {
    /// The name is no address that could be asked for.
    #[error("the address is not plain ASCII")]
    BadAddress,
    /// Our own credentials brought no access token.
    #[error("no access token: {0}")]
    NoToken(#[from] NoToken),
    /// No complete answer.
    #[error(transparent)]
    Fetch(#[from] FetchFault),
    /// The whole look-up took too long.
    #[error("no complete answer in time")]
    TimedOut,
    /// Google does not know our access token, a new one included.
    #[error("the access token is not accepted: {0}")]
    Unauthenticated(String),
    /// Our service account may not read groups, the API is off, or the edition has no such search.
    #[error("permission denied: {0}")]
    Denied(String),
    /// Too many questions.
    #[error("Google asks for patience")]
    Throttled {
        /// When to come back.
        retry_after: Duration,
    },
    /// Any other status than 200.
    #[error("the answer has status {status}: {says}")]
    Status {
        /// Which.
        status: u16,
        /// Google's own words.
        says: String,
    },
    /// No JSON object of the documented shape.
    #[error("the answer is not of the documented shape")]
    Unreadable,
    /// More groups, or more pages, than are taken. A part of the groups could be the part without the one that is denied.
    #[error("there are more groups than Trackgate takes")]
    TooMany,
    /// The look-up ended without an answer: the server is closing.
    #[error("the look-up was broken off")]
    BrokenOff,
}

impl DirectoryFault {
    /// The kind of fault; an outage is told once for each.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::BadAddress => "bad-address",
            Self::NoToken(_) => "no-token",
            Self::Fetch(_) => "not-reached",
            Self::TimedOut => "timed-out",
            Self::Unauthenticated(_) => "unauthenticated",
            Self::Denied(_) => "permission-denied",
            Self::Throttled { .. } => "throttled",
            Self::Status { .. } => "status",
            Self::Unreadable => "unreadable",
            Self::TooMany => "too-many",
            Self::BrokenOff => "broken-off",
        }
    }
}

/// Why the room cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum SetupFault {
    /// Trust in Google's certificate cannot be set up.
    #[error("google_groups: {0}")]
    Trust(#[from] BadTrust),
    /// The key file is of no use.
    #[error("google_groups: {0}")]
    Key(#[from] BadKey),
    /// An address that could be listened to on the way.
    #[error("google_groups: `{0}` is not an address that may be asked")]
    BadAddress(String),
}
