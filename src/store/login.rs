//! What is a login of `trackgate login`, while it comes to be and while it is renewed?
//!
//! The store sees hashes alone: who makes the secrets is `authenticate/oauth`.

use std::net::IpAddr;
use std::sync::Arc;

use super::token::{TokenDigest, TokenId};
use crate::mlflow::ids::UserName;

/// How long an old refresh token is answered once more, in milliseconds: processes that raced have all a working answer.
/// Whoever shows one later has it from somewhere else, or the one who used it has (RFC 9700 section 4.14.2).
pub const GRACE: u64 = 60_000;
/// How many logins of one person count at a time: the one that was used least lately makes room.
pub const MOST_LOGINS: usize = 100;

/// A code for the program that asked, which a person agreed to (RFC 6749 section 4.1.2).
#[derive(Debug, Clone)]
pub struct NewCode {
    /// Hash of the code.
    pub digest: TokenDigest,
    /// Who agreed.
    pub owner: UserName,
    /// Where it is sent.
    pub redirect: Arc<str>,
    /// Hash of what the program will show (RFC 7636 section 4.2).
    pub challenge: Arc<str>,
    /// What the program calls the device.
    pub device: Arc<str>,
    /// From when on it counts for nothing, in milliseconds since the epoch.
    pub expires: u64,
}

/// A code that a program polls with, while somebody types another elsewhere (RFC 8628 section 3.2).
#[derive(Debug, Clone)]
pub struct NewDevice {
    /// Hash of the code that it polls with.
    pub digest: TokenDigest,
    /// What somebody types: eight letters, without the hyphen.
    pub user_code: Arc<str>,
    /// What the program calls the device.
    pub device: Arc<str>,
    /// Where it asked from.
    pub address: IpAddr,
    /// From when on it counts for nothing, in milliseconds since the epoch.
    pub expires: u64,
}

/// A device that waits for somebody to type its code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// What the program calls the device.
    pub device: String,
    /// Where it asked from.
    pub address: Option<IpAddr>,
    /// When, in milliseconds since the epoch.
    pub created: u64,
}

/// What a program shows, as it is looked for before anything is changed.
#[derive(Debug, Clone)]
pub(super) enum Sought {
    /// A code that a browser carried.
    Code(TokenDigest),
    /// The code that a device polls with.
    Device(TokenDigest),
    /// A token of this login.
    Secret(TokenId, TokenDigest),
}

/// The secrets that a login gets next, and how long they last in milliseconds.
#[derive(Debug, Clone)]
pub struct Fresh {
    /// What is shown of the login.
    pub id: TokenId,
    /// Hash of the access token.
    pub access: TokenDigest,
    /// Hash of the refresh token.
    pub refresh: TokenDigest,
    /// How long the access token lets in.
    pub lasts: u64,
    /// A refresh token that is not used for so long counts no more.
    pub idle: u64,
    /// How long the login lasts, however often it is renewed. Counts when it is made.
    pub whole: u64,
}

/// What became of a code or of a refresh token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Redeemed {
    /// The fresh secrets count.
    Given(Issued),
    /// There is none, or it is another.
    Unknown,
    /// It counted until some time ago.
    Expired,
    /// Its login was ended then, in milliseconds since the epoch.
    Ended(TokenId, u64),
    /// It was used before. What it gave is ended now, if it gave something.
    Replayed(Option<TokenId>),
    /// It was given to another address, or to a program that showed another hash. It counts no more.
    Elsewhere,
    /// Whoever agreed is disabled.
    Disabled,
    /// Nobody typed the code yet.
    Pending,
    /// Somebody typed the code and said no.
    Refused,
}

/// A login that has fresh secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issued {
    /// Which.
    pub id: TokenId,
    /// Whose.
    pub owner: UserName,
    /// When the access token ends, in milliseconds since the epoch.
    pub access: u64,
    /// When the refresh token ends, in milliseconds since the epoch.
    pub refresh: u64,
}
