//! Why did a sign-in fail, and what does the person read?

use http::StatusCode;

use crate::authenticate::fault::AuthFault;
use crate::authenticate::session::NoRandomness;
use crate::store::{PrincipalFault, RecogniseFault, StoreFault};

/// Why a sign-in was not begun or not finished.
#[derive(Debug, thiserror::Error)]
pub enum LoginFault {
    /// No provider of that name, or none for browsers.
    #[error("there is no such identity provider")]
    NoSuchProvider,
    /// The provider's documents cannot be had now.
    #[error("the identity provider cannot be reached")]
    ProviderAway,
    /// The provider has no endpoint for logins.
    #[error("the identity provider offers no sign-in")]
    NoLoginThere,
    /// The answer lacks `state` or `code`, or has one of them twice.
    #[error("the identity provider's answer is malformed")]
    Malformed,
    /// No login with this state was started in this browser, or it was finished already.
    #[error("no login with this state was started in this browser, or it is finished")]
    NoSuchLogin,
    /// The login was started too long ago.
    #[error("the login was started too long ago")]
    TooLate,
    /// The answer is not from the provider that was asked (RFC 9207 section 2.4, a mix-up attack).
    #[error("the answer names another issuer than the one that was asked")]
    OtherIssuer,
    /// The provider says no.
    #[error("the identity provider refused: {0}")]
    Refused(String),
    /// The code was not taken.
    #[error("the code could not be exchanged: {0}")]
    Exchange(String),
    /// The provider gave no ID token, or one that proves nothing.
    #[error("the ID token is not accepted: {0}")]
    Token(#[from] AuthFault),
    /// The store refuses the person.
    #[error(transparent)]
    Person(PrincipalFault),
    /// The store cannot open a session.
    #[error("the store cannot open a session: {0}")]
    Store(#[from] StoreFault),
    /// Nothing secret can be made.
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
}

impl From<RecogniseFault> for LoginFault {
    fn from(fault: RecogniseFault) -> Self {
        match fault {
            RecogniseFault::Refused(fault) => Self::Person(fault),
            RecogniseFault::Store(fault) => Self::Store(fault),
        }
    }
}

impl LoginFault {
    /// The reason in the audit log.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoSuchProvider => "login-no-such-provider",
            Self::ProviderAway => "login-provider-away",
            Self::NoLoginThere => "login-not-offered",
            Self::Malformed => "login-malformed-answer",
            Self::NoSuchLogin => "login-not-started-here",
            Self::TooLate => "login-too-late",
            Self::OtherIssuer => "login-other-issuer",
            Self::Refused(_) => "login-refused-by-provider",
            Self::Exchange(_) => "login-code-not-exchanged",
            Self::Token(fault) => fault.code(),
            Self::Person(PrincipalFault::Disabled) => "user-disabled",
            Self::Person(PrincipalFault::SubjectChanged | PrincipalFault::OwnerGone) => "subject-changed",
            Self::Person(
                PrincipalFault::ServiceAccount | PrincipalFault::AccountGone | PrincipalFault::BoundToPerson,
            ) => "service-account",
            Self::Person(PrincipalFault::Unrecognised | PrincipalFault::NotCurrent) | Self::Store(_) => {
                "store-unavailable"
            }
            Self::NoRandomness(_) => "no-randomness",
        }
    }

    /// The HTTP status of the page.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Token(fault) if fault.status().is_server_error() => fault.status(),
            Self::NoSuchProvider | Self::NoLoginThere => StatusCode::NOT_FOUND,
            Self::Malformed | Self::NoSuchLogin | Self::TooLate | Self::OtherIssuer => StatusCode::BAD_REQUEST,
            Self::Refused(_)
            | Self::Person(
                PrincipalFault::Disabled
                | PrincipalFault::SubjectChanged
                | PrincipalFault::OwnerGone
                | PrincipalFault::ServiceAccount
                | PrincipalFault::AccountGone
                | PrincipalFault::BoundToPerson,
            )
            | Self::Token(_) => StatusCode::FORBIDDEN,
            Self::Exchange(_) => StatusCode::BAD_GATEWAY,
            Self::ProviderAway
            | Self::Person(PrincipalFault::Unrecognised | PrincipalFault::NotCurrent)
            | Self::Store(_)
            | Self::NoRandomness(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// What the person reads.
    #[must_use]
    pub fn says(&self) -> String {
        match self {
            Self::NoSuchProvider | Self::NoLoginThere => "This way of signing in does not exist.".to_owned(),
            Self::ProviderAway => "The identity provider cannot be reached at the moment.".to_owned(),
            Self::Malformed => "The identity provider sent an answer that cannot be read.".to_owned(),
            Self::NoSuchLogin => "This sign-in was not started in this browser, or it is already finished.".to_owned(),
            Self::TooLate => "Signing in took too long.".to_owned(),
            Self::OtherIssuer => "The answer does not come from the identity provider that was asked.".to_owned(),
            Self::Refused(why) => format!("The identity provider did not let you sign in ({why})."),
            Self::Exchange(_) => "The identity provider did not confirm the sign-in.".to_owned(),
            Self::Token(fault) if fault.code() == "domain-not-allowed" => {
                "Your account does not belong to a domain that may use this server.".to_owned()
            }
            Self::Token(_) => "The identity provider's confirmation is not accepted here.".to_owned(),
            Self::Person(PrincipalFault::Disabled) => "Your account is disabled on this server.".to_owned(),
            Self::Person(
                PrincipalFault::ServiceAccount | PrincipalFault::AccountGone | PrincipalFault::BoundToPerson,
            ) => "Your user name is that of a service account here; an administrator must give one of you another."
                .to_owned(),
            Self::Person(PrincipalFault::SubjectChanged | PrincipalFault::OwnerGone) => {
                "Your account has changed at the identity provider; an administrator must confirm it.".to_owned()
            }
            Self::Person(PrincipalFault::Unrecognised | PrincipalFault::NotCurrent)
            | Self::Store(_)
            | Self::NoRandomness(_) => "This server cannot sign anybody in at the moment.".to_owned(),
        }
    }
}
