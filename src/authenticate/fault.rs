//! Why was a caller not recognised, and what may they be told of it?
//!
//! The client reads the same sentence for every unusable token (RFC 6750 section 3); the cause is a reason code for
//! the audit log. Nothing here holds a part of a credential.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;

use super::own::BadOwn;
use super::token::BadToken;
use crate::directory::DirectoryFault;
use crate::mlflow::error::ErrorCode;

/// Why a request has no identity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuthFault {
    /// More than one `Authorization` field (RFC 9110 section 5.3: it is no list).
    #[error("more than one `Authorization` field")]
    TwoAuthorizations,
    /// Two different kinds of credential in one request.
    #[error("two kinds of credential in one request")]
    TwoCredentials,
    /// More than one cookie of our name, or more than one IAP assertion (CVE-2024-24814 is of this family).
    #[error("more than one `{0}`")]
    Repeated(&'static str),
    /// `Authorization` with a scheme that we do not speak.
    #[error("an `Authorization` scheme other than `Bearer` and `Basic`")]
    UnknownScheme,
    /// `Basic`, whose password is no token of ours.
    #[error("a password, and no access token in its place")]
    BasicWithoutToken,
    /// A token of our own that does not count.
    #[error(transparent)]
    Own(#[from] BadOwn),
    /// A bearer token or IAP assertion that proves nothing.
    #[error("an unusable token: {0}")]
    Token(#[from] BadToken),
    /// A session cookie that names no session of ours.
    #[error("no such session")]
    UnknownSession,
    /// A session that has ended by its own limits.
    #[error("the session has ended")]
    SessionEnded,
    /// The listener is for IAP alone, and there is no assertion.
    #[error("no IAP assertion on a listener that demands one")]
    AssertionMissing,
    /// Too many wrong credentials from this address.
    #[error("too many wrong credentials from this address")]
    Throttled {
        /// When to come back.
        retry_after: Duration,
    },
    /// The issuer's keys never arrived, or are too old to be trusted.
    #[error("the keys of issuer `{0}` are not available")]
    KeysUnavailable(String),
    /// The store cannot say whether the token was revoked.
    #[error("the tokens cannot be looked up")]
    TokensUnavailable,
    /// The store cannot say whether the session is alive.
    #[error("the session store is not available")]
    StoreUnavailable,
    /// Google does not say in which groups the caller is, and did not lately. One of them could be denied something.
    #[error("the groups of the caller cannot be looked up at Google: {0}")]
    GroupsUnavailable(#[from] DirectoryFault),
}

impl AuthFault {
    /// The reason in the audit log.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::TwoAuthorizations => "two-authorizations",
            Self::TwoCredentials => "two-credentials",
            Self::Repeated(_) => "repeated-credential",
            Self::UnknownScheme => "unknown-scheme",
            Self::BasicWithoutToken => "basic-without-token",
            Self::Own(bad) => bad.code(),
            Self::Token(bad) => bad.code(),
            Self::UnknownSession => "unknown-session",
            Self::SessionEnded => "session-ended",
            Self::AssertionMissing => "assertion-missing",
            Self::Throttled { .. } => "too-many-wrong-credentials",
            Self::KeysUnavailable(_) => "issuer-keys-unavailable",
            Self::StoreUnavailable | Self::TokensUnavailable => "store-unavailable",
            Self::GroupsUnavailable(_) => "google-groups-unavailable",
        }
    }

    /// The HTTP status of the refusal.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self {
            Self::TwoAuthorizations | Self::TwoCredentials | Self::Repeated(_) => StatusCode::BAD_REQUEST,
            Self::UnknownScheme
            | Self::BasicWithoutToken
            | Self::Own(_)
            | Self::Token(_)
            | Self::UnknownSession
            | Self::SessionEnded
            | Self::AssertionMissing => StatusCode::UNAUTHORIZED,
            Self::Throttled { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::KeysUnavailable(_)
            | Self::TokensUnavailable
            | Self::StoreUnavailable
            | Self::GroupsUnavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// MLflow's word for the refusal.
    #[must_use]
    pub fn error_code(&self) -> ErrorCode {
        match self {
            Self::TwoAuthorizations | Self::TwoCredentials | Self::Repeated(_) => ErrorCode::BadRequest,
            Self::UnknownScheme
            | Self::BasicWithoutToken
            | Self::Own(_)
            | Self::Token(_)
            | Self::UnknownSession
            | Self::SessionEnded
            | Self::AssertionMissing => ErrorCode::Unauthenticated,
            Self::Throttled { .. } => ErrorCode::RequestLimitExceeded,
            Self::KeysUnavailable(_)
            | Self::TokensUnavailable
            | Self::StoreUnavailable
            | Self::GroupsUnavailable(_) => ErrorCode::TemporarilyUnavailable,
        }
    }

    /// What the client may read.
    #[must_use]
    pub fn says(&self) -> Cow<'static, str> {
        Cow::Borrowed(match self {
            Self::Own(bad) => return bad.says(),
            Self::TwoAuthorizations => "send one `Authorization` field, not several",
            Self::TwoCredentials => "send one credential, not several",
            Self::Repeated(_) => "send each credential once",
            Self::UnknownScheme => {
                "send an access token of this server, or an OpenID Connect ID token, as `Authorization: Bearer` \
                 (MLFLOW_TRACKING_TOKEN)"
            }
            Self::BasicWithoutToken => {
                "there are no passwords here: make an access token on this server's page /trackgate/tokens and set it as \
                 MLFLOW_TRACKING_TOKEN, or as MLFLOW_TRACKING_PASSWORD"
            }
            Self::Token(_) => "the token is not accepted",
            Self::UnknownSession | Self::SessionEnded => "the session has ended: reload the page to sign in again",
            Self::AssertionMissing => "requests must come through Identity-Aware Proxy",
            Self::Throttled { .. } => "too many wrong credentials, try again later",
            Self::KeysUnavailable(_) => "the identity provider cannot be reached, try again later",
            Self::TokensUnavailable => "access tokens cannot be looked up, try again later",
            Self::StoreUnavailable => "sessions cannot be looked up, try again later",
            Self::GroupsUnavailable(_) => {
                "your groups cannot be looked up at Google, and what you may do depends on them: try again later"
            }
        })
    }

    /// The name of the token that was shown, if it was one of ours by its form.
    #[must_use]
    pub fn token(&self) -> Option<&Arc<str>> {
        match self {
            Self::Own(BadOwn::Unknown(id) | BadOwn::Expired { id, .. } | BadOwn::Revoked { id, .. }) => Some(id),
            _ => None,
        }
    }

    /// The challenge of a 401 (RFC 9110 section 11.6.1, RFC 6750 section 3).
    #[must_use]
    pub fn challenge(&self) -> Option<&'static str> {
        match self {
            Self::Token(_) | Self::Own(_) => Some("Bearer realm=\"mlflow\", error=\"invalid_token\""),
            Self::UnknownScheme
            | Self::BasicWithoutToken
            | Self::UnknownSession
            | Self::SessionEnded
            | Self::AssertionMissing => Some(STRANGER_CHALLENGE),
            Self::TwoAuthorizations | Self::TwoCredentials | Self::Repeated(_) => {
                Some("Bearer realm=\"mlflow\", error=\"invalid_request\"")
            }
            Self::Throttled { .. }
            | Self::KeysUnavailable(_)
            | Self::TokensUnavailable
            | Self::StoreUnavailable
            | Self::GroupsUnavailable(_) => None,
        }
    }

    /// When the client may try again, where that is known.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Throttled { retry_after } | Self::GroupsUnavailable(DirectoryFault::Throttled { retry_after }) => {
                Some(*retry_after)
            }
            Self::KeysUnavailable(_) => Some(Duration::from_secs(10)),
            Self::TokensUnavailable | Self::StoreUnavailable => Some(Duration::from_secs(1)),
            Self::GroupsUnavailable(_) => Some(Duration::from_secs(5)),
            Self::TwoAuthorizations
            | Self::TwoCredentials
            | Self::Repeated(_)
            | Self::UnknownScheme
            | Self::BasicWithoutToken
            | Self::Own(_)
            | Self::Token(_)
            | Self::UnknownSession
            | Self::SessionEnded
            | Self::AssertionMissing => None,
        }
    }

    /// Whether the caller showed something wrong, which counts against their address.
    ///
    /// An ended session does not: a browser tab that is left open would lock its whole office out.
    #[must_use]
    pub fn counts(&self) -> bool {
        match self {
            Self::UnknownScheme | Self::BasicWithoutToken | Self::UnknownSession => true,
            Self::Token(bad) => bad.counts(),
            Self::Own(bad) => bad.counts(),
            Self::TwoAuthorizations
            | Self::TwoCredentials
            | Self::Repeated(_)
            | Self::SessionEnded
            | Self::AssertionMissing
            | Self::Throttled { .. }
            | Self::KeysUnavailable(_)
            | Self::TokensUnavailable
            | Self::StoreUnavailable
            | Self::GroupsUnavailable(_) => false,
        }
    }

    /// Whether a browser that asked for a page is better served with the sign-in page than with an error.
    #[must_use]
    pub fn cured_by_login(&self) -> bool {
        match self {
            Self::UnknownSession | Self::SessionEnded => true,
            Self::TwoAuthorizations
            | Self::TwoCredentials
            | Self::Repeated(_)
            | Self::UnknownScheme
            | Self::BasicWithoutToken
            | Self::Own(_)
            | Self::Token(_)
            | Self::AssertionMissing
            | Self::Throttled { .. }
            | Self::KeysUnavailable(_)
            | Self::TokensUnavailable
            | Self::StoreUnavailable
            | Self::GroupsUnavailable(_) => false,
        }
    }
}

/// The challenge for somebody who showed nothing: no `error`, as RFC 6750 section 3.1 asks.
pub const STRANGER_CHALLENGE: &str = "Bearer realm=\"mlflow\"";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_unusable_token_reads_the_same_to_the_client() {
        let expired = AuthFault::Token(BadToken::Expired);
        let forged = AuthFault::Token(BadToken::WrongSignature);
        assert_eq!(expired.says(), forged.says());
        assert_eq!(expired.challenge(), forged.challenge());
        assert_eq!(expired.status(), forged.status());
        assert_ne!(expired.code(), forged.code());
    }

    #[test]
    fn what_we_lack_is_503_and_never_counts_against_the_caller() {
        for fault in [
            AuthFault::KeysUnavailable("google".into()),
            AuthFault::StoreUnavailable,
            AuthFault::GroupsUnavailable(DirectoryFault::TimedOut),
        ] {
            assert_eq!(fault.status(), StatusCode::SERVICE_UNAVAILABLE);
            assert!(!fault.counts());
            assert!(fault.retry_after().is_some());
        }
    }
}
