//! Why does a program get no token, and what may it be told of that?
//!
//! The words of RFC 6749 section 5.2, RFC 8628 section 3.5 and RFC 7009 section 2.2.1, which programs go by, and a sentence
//! for people beside each. Nothing here holds a part of a secret.

use std::borrow::Cow;
use std::time::Duration;

use http::StatusCode;

use crate::authenticate::help::moment;
use crate::authenticate::session::NoRandomness;
use crate::store::{StoreFault, TokenId};

/// Why a program gets no token.
#[derive(Debug, thiserror::Error)]
pub enum OAuthFault {
    /// The settings allow no logins.
    #[error("logins are switched off")]
    Off,
    /// Something is missing or not of its form.
    #[error("{0}")]
    Invalid(&'static str),
    /// A page of another site sent it.
    #[error("the request comes from a page of another site")]
    ForeignOrigin,
    /// Not our client, or one that shows a credential, which ours has none.
    #[error("the client is not the command line, or shows a credential")]
    UnknownClient,
    /// A grant type that this server does not go along with.
    #[error("an unknown grant type")]
    UnknownGrantType,
    /// No token of a login.
    #[error("a token that is none of a login")]
    UnknownTokenType,
    /// There is no such code, or refresh token.
    #[error("there is no such {0}")]
    Unknown(&'static str),
    /// It counted until some time ago.
    #[error("the {0} has expired")]
    Expired(&'static str),
    /// The code was given to another address, or for another secret (RFC 9700 section 4.5).
    #[error("the code is for another program")]
    Elsewhere,
    /// The code or the refresh token was used before: what it gave is ended.
    #[error("the {what} was used before{}", ended(login.as_ref()))]
    Replayed {
        /// Which.
        what: &'static str,
        /// The login that ended by it.
        login: Option<TokenId>,
    },
    /// The login was ended.
    #[error("login {id} was ended")]
    Ended {
        /// Which.
        id: TokenId,
        /// When, in milliseconds since the epoch.
        at: u64,
    },
    /// Whoever agreed is disabled.
    #[error("the account is disabled")]
    Disabled,
    /// Nobody typed the device's code yet.
    #[error("nobody typed the code yet")]
    Pending,
    /// The device polls too fast.
    #[error("the device polls too fast")]
    SlowDown,
    /// The device's code ended before somebody typed it.
    #[error("nobody typed the code in time")]
    DeviceExpired,
    /// The person said no.
    #[error("the person refused")]
    Refused,
    /// Too many wrong ones, or too many at all, from this address.
    #[error("too many from this address")]
    Throttled {
        /// When to come back.
        retry_after: Duration,
    },
    /// The system has none.
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
    /// The store does not answer.
    #[error(transparent)]
    Store(#[from] StoreFault),
}

fn ended(login: Option<&TokenId>) -> String {
    login.map_or_else(String::new, |id| format!(", login {id} is ended"))
}

impl OAuthFault {
    /// The word that programs go by.
    #[must_use]
    pub fn error(&self) -> &'static str {
        match self {
            Self::Off => "unauthorized_client",
            Self::Invalid(_) | Self::ForeignOrigin => "invalid_request",
            Self::UnknownClient => "invalid_client",
            Self::UnknownGrantType => "unsupported_grant_type",
            Self::UnknownTokenType => "unsupported_token_type",
            Self::Unknown(_)
            | Self::Expired(_)
            | Self::Elsewhere
            | Self::Replayed { .. }
            | Self::Ended { .. }
            | Self::Disabled => "invalid_grant",
            Self::Pending => "authorization_pending",
            Self::SlowDown => "slow_down",
            Self::DeviceExpired => "expired_token",
            Self::Refused => "access_denied",
            Self::Throttled { .. } | Self::Store(_) | Self::NoRandomness(_) => "temporarily_unavailable",
        }
    }

    /// The HTTP status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self {
            Self::ForeignOrigin => StatusCode::FORBIDDEN,
            Self::UnknownClient => StatusCode::UNAUTHORIZED,
            Self::Throttled { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::Store(_) | Self::NoRandomness(_) => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::BAD_REQUEST,
        }
    }

    /// The reason in the audit log.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Off => "logins-off",
            Self::Invalid(_) => "oauth-invalid-request",
            Self::ForeignOrigin => "foreign-origin",
            Self::UnknownClient => "oauth-unknown-client",
            Self::UnknownGrantType => "oauth-unknown-grant-type",
            Self::UnknownTokenType => "oauth-unknown-token-type",
            Self::Unknown(_) => "oauth-grant-unknown",
            Self::Expired(_) => "oauth-grant-expired",
            Self::Elsewhere => "oauth-code-elsewhere",
            Self::Replayed { .. } => "oauth-grant-replayed",
            Self::Ended { .. } => "oauth-login-ended",
            Self::Disabled => "user-disabled",
            Self::Pending => "authorization_pending",
            Self::SlowDown => "slow_down",
            Self::DeviceExpired => "oauth-device-expired",
            Self::Refused => "oauth-refused",
            Self::Throttled { .. } => "too-many-wrong-credentials",
            Self::NoRandomness(_) => "no-randomness",
            Self::Store(_) => "store-unavailable",
        }
    }

    /// What people may read.
    #[must_use]
    pub fn says(&self) -> Cow<'static, str> {
        let again = "run `trackgate login` again";
        Cow::Owned(match self {
            Self::Off => {
                "this server gives no logins to programs: make a token on its page /trackgate/tokens".to_owned()
            }
            Self::Invalid(what) => (*what).to_owned(),
            Self::ForeignOrigin => "pages of other sites may not ask this".to_owned(),
            Self::UnknownClient => {
                format!("the one client of this server is `{}`, which has no secret", super::CLIENT)
            }
            Self::UnknownGrantType => {
                "`grant_type` is `authorization_code`, `refresh_token` or that of a device code".to_owned()
            }
            Self::UnknownTokenType => {
                "tokens that begin with tgl_ or tgr_ are ended here, others on the page /trackgate/tokens".to_owned()
            }
            Self::Unknown(what) => format!("there is no such {what}: {again}"),
            Self::Expired(what) => format!("the {what} has expired: {again}"),
            Self::Elsewhere => format!("the code is for another program: {again}"),
            Self::Replayed { what, login: Some(_) } => {
                format!("this {what} was used before, so that somebody else may have it: the login is ended; {again}")
            }
            Self::Replayed { what, login: None } => format!("this {what} was used before: {again}"),
            Self::Ended { id, at } => format!("login {id} was ended at {}: {again}", moment(at / 1000)),
            Self::Disabled => "this account was disabled by an administrator".to_owned(),
            Self::Pending => "nobody has typed the code yet".to_owned(),
            Self::SlowDown => "ask less often".to_owned(),
            Self::DeviceExpired => format!("nobody typed the code in time: {again}"),
            Self::Refused => "the person who typed the code refused".to_owned(),
            Self::Throttled { .. } => "too many attempts from this address, try again later".to_owned(),
            Self::Store(_) | Self::NoRandomness(_) => "logins cannot be looked up now, try again later".to_owned(),
        })
    }

    /// When to come back, in seconds, where that is known.
    #[must_use]
    pub fn retry_after(&self) -> Option<u32> {
        match self {
            Self::Throttled { retry_after } => Some(u32::try_from(retry_after.as_secs()).unwrap_or(u32::MAX).max(1)),
            Self::Store(_) | Self::NoRandomness(_) => Some(1),
            _ => None,
        }
    }

    /// Whether nothing is wrong: the device is to ask again.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        matches!(self, Self::Pending | Self::SlowDown)
    }

    /// Whether somebody showed something that is none, which counts against their address.
    pub(super) fn counts(&self) -> bool {
        matches!(self, Self::Unknown(_) | Self::Elsewhere | Self::Replayed { .. })
    }
}
