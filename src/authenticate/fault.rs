//! Why was a caller not recognised, and what may they be told of it?
//!
//! Until a signature was checked the client reads the same sentence whatever is wrong; the cause is a reason code for the
//! audit log. Afterwards its holder is told. Nothing here holds a part of a credential.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;

use super::help::Help;
use super::own::BadOwn;
use super::token::BadToken;
use super::unfit::Unfit;
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
    /// A bearer token that proves nothing: its signature is not good, or nobody asked for it.
    #[error("an unusable token: {0}")]
    Token(#[from] BadToken),
    /// The same of an assertion of IAP.
    #[error("an unusable assertion: {0}")]
    Assertion(BadToken),
    /// A bearer token or IAP assertion whose signature is good, and which does not count.
    #[error(transparent)]
    Unfit(#[from] Box<Unfit>),
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
            Self::Token(bad) | Self::Assertion(bad) => bad.code(),
            Self::Unfit(unfit) => unfit.code(),
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
            | Self::Assertion(_)
            | Self::Unfit(_)
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
            | Self::Assertion(_)
            | Self::Unfit(_)
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

    /// What the client may read: which kind of credential was seen; why it does not count, where its signature was good or
    /// its secret right, and else that it is invalid; and what helps.
    #[must_use]
    pub fn says(&self, help: Help<'_>) -> Cow<'static, str> {
        let (fresh, page) = (help.fresh(), help.page());
        Cow::Borrowed(match self {
            Self::Own(bad) => return Cow::Owned(bad.says(help)),
            Self::Unfit(unfit) => return Cow::Owned(unfit.says(help)),
            Self::TwoAuthorizations => "send one `Authorization` field, not several",
            Self::TwoCredentials => "send one credential, not several",
            Self::Repeated(_) => "send each credential once",
            Self::UnknownScheme => {
                return Cow::Owned(format!(
                    "`Authorization` was sent with another scheme than `Bearer`: run {fresh}, or make an access token on \
                     {page} and set it as MLFLOW_TRACKING_TOKEN"
                ));
            }
            Self::BasicWithoutToken => {
                return Cow::Owned(format!(
                    "a user name and a password were sent, and there are no passwords here: run {fresh}, or make an \
                     access token on {page} and set it as MLFLOW_TRACKING_TOKEN, or as MLFLOW_TRACKING_PASSWORD"
                ));
            }
            // Whoever cannot sign learns nothing else, whatever is wrong.
            Self::Token(_) => {
                return Cow::Owned(format!(
                    "the bearer token is invalid: it is neither an access token of this server nor an ID token that it \
                     accepts; for another one run {fresh}"
                ));
            }
            Self::Assertion(_) => {
                return Cow::Owned(format!(
                    "the assertion of Identity-Aware Proxy is invalid: programs come by {}",
                    help.connect()
                ));
            }
            Self::UnknownSession | Self::SessionEnded => {
                return Cow::Owned(format!(
                    "the session has ended: reload the page to sign in again; programs send no cookie, but a token: {fresh}"
                ));
            }
            Self::AssertionMissing => {
                return Cow::Owned(format!(
                    "requests must come through Identity-Aware Proxy, and its assertion was not sent: programs come by {}",
                    help.connect()
                ));
            }
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
            Self::Token(_) | Self::Unfit(_) | Self::Own(_) => Some("Bearer realm=\"mlflow\", error=\"invalid_token\""),
            Self::UnknownScheme
            | Self::BasicWithoutToken
            | Self::UnknownSession
            | Self::SessionEnded
            | Self::Assertion(_)
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
            | Self::Assertion(_)
            | Self::Unfit(_)
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
            Self::Token(bad) | Self::Assertion(bad) => bad.counts(),
            Self::Unfit(unfit) => unfit.counts(),
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
            | Self::Assertion(_)
            | Self::Unfit(_)
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
    use crate::authenticate::unfit::Why;

    #[test]
    fn every_token_without_a_good_signature_reads_the_same_to_the_client() {
        let url = url::Url::parse("https://mlflow.example.com/").unwrap();
        let help = Help::at(&url);
        let forged = AuthFault::Token(BadToken::WrongSignature);
        for bad in [BadToken::NotCompact, BadToken::UnknownKey, BadToken::UnknownIssuer, BadToken::WrongAlgorithm] {
            let other = AuthFault::Token(bad);
            assert_eq!(other.says(help), forged.says(help));
            assert_eq!(other.challenge(), forged.challenge());
            assert_eq!(other.status(), forged.status());
            assert_ne!(other.code(), forged.code());
        }
    }

    #[test]
    fn every_401_for_a_program_names_the_credential_and_one_line_that_helps() {
        let url = url::Url::parse("https://mlflow.example.com/").unwrap();
        let help = Help::at(&url);
        let unfit = |assertion, why| AuthFault::Unfit(Box::new(Unfit { by: "google".to_owned(), assertion, why }));
        let fresh = "`export MLFLOW_TRACKING_TOKEN=$(trackgate token print https://mlflow.example.com)`";
        let connect = "`trackgate connect https://mlflow.example.com`";
        let audience =
            || Why::Audience { shown: vec!["https://other".to_owned()], wanted: vec!["https://ours".to_owned()] };
        for (fault, words, helps) in [
            (AuthFault::UnknownScheme, "another scheme than `Bearer`", fresh),
            (AuthFault::BasicWithoutToken, "a user name and a password were sent", fresh),
            (AuthFault::Token(BadToken::WrongSignature), "the bearer token is invalid", fresh),
            (AuthFault::Assertion(BadToken::WrongSignature), "Identity-Aware Proxy is invalid", connect),
            (AuthFault::AssertionMissing, "its assertion was not sent", connect),
            (AuthFault::UnknownSession, "the session has ended", fresh),
            (unfit(false, BadToken::Expired(0).into()), "of `google` expired at 1970-01-01T00:00:00Z", fresh),
            (
                unfit(false, BadToken::NotYet { from: 60, now: 0 }.into()),
                "not valid before 1970-01-01T00:01:00Z",
                fresh,
            ),
            (unfit(false, BadToken::WrongDomain.into()), "of a domain that is not allowed", fresh),
            (unfit(false, BadToken::Lacks("sub").into()), "lacks the claim `sub`", fresh),
            (unfit(false, audience()), "it is for `https://other`, not for `https://ours`", fresh),
            (unfit(false, Why::NoBinding("repo:org/x".to_owned())), "no binding of this server matches it", fresh),
            (unfit(false, Why::Apart(vec!["a".to_owned()])), "to different accounts", fresh),
            (unfit(true, BadToken::Expired(0).into()), "Identity-Aware Proxy expired at", connect),
            (unfit(true, audience()), "Identity-Aware Proxy is for another audience", connect),
            (AuthFault::Own(BadOwn::Malformed), "access token", fresh),
            (AuthFault::Own(BadOwn::Unknown(Arc::from("abcdefgh"))), "not one of this server's", fresh),
            (
                AuthFault::Own(BadOwn::Expired { id: Arc::from("abcdefgh"), at: 0, login: false }),
                "abcdefgh expired at 1970",
                fresh,
            ),
            (
                AuthFault::Own(BadOwn::Revoked { id: Arc::from("abcdefgh"), at: 0, login: false }),
                "abcdefgh was revoked at 1970",
                fresh,
            ),
            (AuthFault::Own(BadOwn::SwitchedOff), "takes no access tokens", fresh),
            (AuthFault::Own(BadOwn::Refresh), "this is a refresh token", fresh),
            (
                AuthFault::Own(BadOwn::Expired { id: Arc::from("abcdefgh"), at: 0, login: true }),
                "of login abcdefgh",
                fresh,
            ),
            (
                AuthFault::Own(BadOwn::Revoked { id: Arc::from("abcdefgh"), at: 0, login: true }),
                "login abcdefgh was ended at 1970",
                "`trackgate login https://mlflow.example.com`",
            ),
        ] {
            assert_eq!(fault.status(), StatusCode::UNAUTHORIZED, "{fault}");
            let said = fault.says(help);
            assert!(said.contains(words) && said.contains(helps), "{fault}: {said}");
        }
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
