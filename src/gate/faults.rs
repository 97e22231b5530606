//! Which no does each room's fault become?
//!
//! One `match` for each kind of fault, and no `_` arm: a new fault does not compile until somebody has said what the
//! caller reads.

use http::{HeaderMap, StatusCode};

use super::body::ReadFault;
use super::clean::Unclean;
use super::limits::TooMuch;
use super::refusal::Refusal;
use crate::answer::{AnswerFault, BadAnswer};
use crate::audit::Unwritable;
use crate::authenticate::help::Help;
use crate::authenticate::{AuthFault, STRANGER_CHALLENGE};
use crate::forward::ForwardError;
use crate::message::BodyError;
use crate::mlflow::error::ErrorCode;
use crate::mlflow::ids::WorkspaceName;
use crate::policy::fields::FieldFault;
use crate::resolve::ResolveFault;
use crate::store::{PrincipalFault, RecogniseFault};

/// Nobody is signed in, and the call is not for strangers. Browsers name the way they fetch (Fetch Metadata): then the
/// sentence is read on a page of MLflow's that was open while the session ended, and the page shows nothing else.
pub(super) fn stranger(headers: &HeaderMap, help: Help<'_>) -> Refusal {
    let message = if headers.contains_key("sec-fetch-mode") {
        "You are not signed in any more. Reload the page to sign in.".to_owned()
    } else {
        format!(
            "You are not authenticated: no credential was sent. Run {} (once, {}), or set an access token of {} as \
             MLFLOW_TRACKING_TOKEN.",
            help.fresh(),
            help.login(),
            help.page()
        )
    };
    let mut refusal = Refusal::new(StatusCode::UNAUTHORIZED, ErrorCode::Unauthenticated, "no-credential", message);
    refusal.challenge = Some(STRANGER_CHALLENGE);
    refusal.login = true;
    refusal
}

/// The caller has no business in the workspace. In MLflow's own words for one that does not exist (3.17.2,
/// `SqlAlchemyStore._get_workspace`): the two look alike.
pub(super) fn no_such_workspace(workspace: &WorkspaceName) -> Refusal {
    let message = format!("Workspace '{workspace}' not found");
    let mut refusal =
        Refusal::new(StatusCode::NOT_FOUND, ErrorCode::ResourceDoesNotExist, "no-such-workspace", message);
    refusal.verbatim = true;
    refusal
}

/// No row speaks of the call.
pub(super) fn unknown_call() -> Refusal {
    Refusal::new(
        StatusCode::NOT_FOUND,
        ErrorCode::EndpointNotFound,
        "unknown-route",
        "Trackgate does not know this address, so it is not passed on.",
    )
}

/// The path has rows, but none of this method.
pub(super) fn wrong_method() -> Refusal {
    Refusal::new(
        StatusCode::METHOD_NOT_ALLOWED,
        ErrorCode::EndpointNotFound,
        "wrong-method",
        "This address does not take this method.",
    )
}

/// A bug of ours ended the request.
pub(super) fn panicked() -> Refusal {
    Refusal::new(
        StatusCode::INTERNAL_SERVER_ERROR,
        ErrorCode::InternalError,
        "panic",
        "Something went wrong inside Trackgate; the request was not let through.",
    )
}

impl From<TooMuch> for Refusal {
    fn from(fault: TooMuch) -> Self {
        let (status, code) = (StatusCode::TOO_MANY_REQUESTS, ErrorCode::RequestLimitExceeded);
        let (mut refusal, come_back) = match fault {
            TooMuch::OfAddress { most, come_back } => {
                let message =
                    format!("Your address sends more than {} requests a second; send them slower.", most.per_second);
                (Self::new(status, code, "address-rate", message), come_back)
            }
            TooMuch::OfPerson { most, come_back } => {
                let message = format!("You send more than {} requests a second; send them slower.", most.per_second);
                (Self::new(status, code, "person-rate", message), come_back)
            }
            TooMuch::AtOnceOfPerson { most, come_back } => {
                let message = format!(
                    "{most} of your requests are being answered already, and none was done in time; send fewer at once."
                );
                (Self::new(status, code, "person-at-once", message), come_back)
            }
            TooMuch::AtOnce { come_back, .. } => {
                (Self::unavailable("at-once", "MLflow has too much to do; try again later."), come_back)
            }
        };
        refusal.retry_after = Some(come_back);
        refusal.because(fault)
    }
}

impl From<Unwritable> for Refusal {
    fn from(fault: Unwritable) -> Self {
        let reason = match fault {
            Unwritable::Failing => "audit-unwritable",
            Unwritable::Full => "audit-queue-full",
        };
        Self::unavailable(reason, "The audit log cannot be written, so nothing is let through; try again later.")
    }
}

/// Somebody showed what does not count, or what cannot be checked now.
pub(super) fn unrecognised(fault: AuthFault, help: Help<'_>) -> Refusal {
    let mut refusal = Refusal::new(fault.status(), fault.error_code(), fault.code(), fault.says(help));
    refusal.challenge = fault.challenge();
    refusal.retry_after = fault.retry_after().map(|after| u32::try_from(after.as_secs()).unwrap_or(u32::MAX).max(1));
    refusal.login = fault.cured_by_login();
    refusal.because(fault)
}

/// Somebody showed what is good, and is nobody here: a program is told what helps.
pub(super) fn nobody(fault: impl Into<Refusal>, help: Help<'_>) -> Refusal {
    let mut refusal: Refusal = fault.into();
    if refusal.status == StatusCode::UNAUTHORIZED {
        refusal.challenge = Some(STRANGER_CHALLENGE);
        refusal.message = format!("{} To come as yourself, run {}.", refusal.message, help.fresh()).into();
    }
    refusal
}

impl From<PrincipalFault> for Refusal {
    fn from(fault: PrincipalFault) -> Self {
        match fault {
            PrincipalFault::Disabled => Self::new(
                StatusCode::FORBIDDEN,
                ErrorCode::PermissionDenied,
                "user-disabled",
                "This account was disabled by an administrator.",
            ),
            PrincipalFault::SubjectChanged => Self::new(
                StatusCode::FORBIDDEN,
                ErrorCode::PermissionDenied,
                "subject-changed",
                "The identity provider now gives this user name to another account; an administrator must relink it.",
            ),
            PrincipalFault::OwnerGone => Self::new(
                StatusCode::UNAUTHORIZED,
                ErrorCode::Unauthenticated,
                "token-owner-gone",
                "Whoever this access token was made for is not known here any more.",
            ),
            PrincipalFault::AccountGone => Self::new(
                StatusCode::UNAUTHORIZED,
                ErrorCode::Unauthenticated,
                "binding-account-gone",
                "The token is good, and the service account that a binding leads it to does not exist here.",
            ),
            PrincipalFault::BoundToPerson => Self::new(
                StatusCode::UNAUTHORIZED,
                ErrorCode::Unauthenticated,
                "binding-to-person",
                "The token is good, and a binding leads it to a person's account: bindings are for service accounts.",
            ),
            PrincipalFault::ServiceAccount => Self::new(
                StatusCode::FORBIDDEN,
                ErrorCode::PermissionDenied,
                "service-account",
                "This user name is that of a service account: it is used with access tokens and by bindings, and nobody signs in as it.",
            ),
            PrincipalFault::NotCurrent | PrincipalFault::Unrecognised => {
                Self::unavailable("store-not-current", "Permissions cannot be looked up now; try again later.")
            }
        }
        .because(fault)
    }
}

impl From<RecogniseFault> for Refusal {
    fn from(fault: RecogniseFault) -> Self {
        match fault {
            RecogniseFault::Refused(fault) => fault.into(),
            RecogniseFault::Store(fault) => {
                Self::unavailable("store-unavailable", "Permissions cannot be looked up now; try again later.")
                    .because(fault)
            }
        }
    }
}

impl From<FieldFault> for Refusal {
    fn from(fault: FieldFault) -> Self {
        let reason = match &fault {
            FieldFault::QueryBesideBody => "query-beside-body",
            FieldFault::BadQuery => "bad-query",
            FieldFault::NotUtf8 => "body-not-utf8",
            FieldFault::NotJson(_) => "body-not-json",
            FieldFault::NotAnObject => "body-not-object",
            FieldFault::TooDeep { .. } => "body-too-deep",
            FieldFault::Repeated(_) => "field-repeated",
            FieldFault::OtherSpelling { .. } => "field-spelling",
            FieldFault::WrongType { .. } => "field-type",
            FieldFault::Missing(_) => "field-missing",
            FieldFault::Empty(_) => "field-empty",
            FieldFault::Differ(_) => "fields-differ",
            FieldFault::Reserved(_) => "field-reserved",
            FieldFault::GraphQl(_) => "graphql",
            FieldFault::Otlp(_) => "otlp",
            FieldFault::BadId { .. } => "bad-id",
            FieldFault::BadPath { .. } => "bad-artifact-path",
            FieldFault::Target(_) => "bad-grant",
        };
        if let FieldFault::Target(fault) = &fault {
            // MLflow's own sentences.
            return Self::bad(reason, fault.to_string());
        }
        if let FieldFault::BadPath { field, fault } = &fault {
            // MLflow's words for it (3.17.2, `validate_path_is_safe`).
            return Self::bad(reason, format!("Invalid path in `{field}`: {fault}."));
        }
        if fault.is_plain() {
            return Self::bad(reason, format!("The request is not valid: {fault}."));
        }
        if matches!(fault, FieldFault::Reserved(_) | FieldFault::Otlp(_)) {
            return Self::bad(reason, format!("The request is refused: {fault}."));
        }
        Self::bad(reason, format!("Refused because it could be read in more than one way: {fault}."))
    }
}

impl From<ReadFault> for Refusal {
    fn from(fault: ReadFault) -> Self {
        match fault {
            ReadFault::Body(fault) => fault.into(),
            ReadFault::Packed(_) => Self::bad("body-packed", format!("The request is refused: {fault}.")),
            ReadFault::Crowded(fault) => {
                let mut refusal = Self::new(
                    StatusCode::TOO_MANY_REQUESTS,
                    ErrorCode::RequestLimitExceeded,
                    "bodies-at-once",
                    "You are sending too many large requests at once; send one after the other.",
                );
                refusal.retry_after = Some(1);
                refusal.because(fault)
            }
        }
    }
}

impl From<BodyError> for Refusal {
    fn from(fault: BodyError) -> Self {
        match &fault {
            BodyError::TooLarge { most } => Self::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                ErrorCode::InvalidParameterValue,
                "body-too-large",
                format!("The body is larger than the {most} bytes that this call may have."),
            ),
            BodyError::Stalled => Self::new(
                StatusCode::REQUEST_TIMEOUT,
                ErrorCode::BadRequest,
                "body-stalled",
                "The body stopped coming.",
            ),
            BodyError::TooSlow => Self::new(
                StatusCode::REQUEST_TIMEOUT,
                ErrorCode::BadRequest,
                "body-too-slow",
                "The body comes too slowly.",
            ),
            BodyError::Broken(_) => Self::bad("body-broken", "The body broke off or is not framed as it says."),
        }
        .because(fault)
    }
}

impl From<ForwardError> for Refusal {
    fn from(fault: ForwardError) -> Self {
        use crate::upstream::UpstreamError as Up;
        if let ForwardError::Upstream(Up::Body(body)) = fault {
            return body.into();
        }
        let reason = match &fault {
            ForwardError::Upstream(up) => match up {
                Up::Settings(_) => "upstream-settings",
                Up::Down(_) => "upstream-down",
                Up::ConnectTimeout => "upstream-connect-timeout",
                Up::FirstByteTimeout => "upstream-timeout",
                Up::UploadStalled => "upstream-upload-stalled",
                Up::Broken(_) => "upstream-broken",
                Up::Unframed => "upstream-unframed",
                Up::Body(_) => "body-broken",
                Up::AnswerTooLarge => "upstream-answer-too-large",
                Up::AnswerBroken(_) => "upstream-answer-broken",
            },
            ForwardError::Target => "bad-target",
            ForwardError::UnaskedUpgrade => "upstream-unasked-upgrade",
        };
        let status = fault.status();
        let message = match status {
            StatusCode::GATEWAY_TIMEOUT => "The MLflow server did not answer in time.",
            StatusCode::BAD_GATEWAY => "The MLflow server cannot be reached, or broke off.",
            _ => "The request cannot be passed on.",
        };
        let code = if status.is_server_error() { ErrorCode::TemporarilyUnavailable } else { ErrorCode::BadRequest };
        Self::new(status, code, reason, message).because(fault)
    }
}

impl From<Unclean> for Refusal {
    fn from(fault: Unclean) -> Self {
        let code = match fault {
            Unclean::ForeignOrigin => ErrorCode::PermissionDenied,
            _ => ErrorCode::BadRequest,
        };
        Self::new(fault.status(), code, fault.code(), format!("The request is refused: {fault}."))
    }
}

impl From<ResolveFault> for Refusal {
    fn from(fault: ResolveFault) -> Self {
        match &fault {
            ResolveFault::TooMany { .. } => Self::bad("too-many-objects", format!("The request is refused: {fault}.")),
            ResolveFault::NoWorkspaces => Self::unavailable(
                "no-workspaces",
                "The MLflow server has no workspaces, though Trackgate is set up for them; tell its operators.",
            ),
            ResolveFault::Upstream(_) | ResolveFault::Status(_) | ResolveFault::Unreadable(_) => Self::unavailable(
                "look-up-failed",
                "The MLflow server cannot be asked what this request is about; try again later.",
            ),
        }
        .because(fault)
    }
}

impl From<AnswerFault> for Refusal {
    fn from(fault: AnswerFault) -> Self {
        match fault {
            AnswerFault::Forward(fault) => fault.into(),
            AnswerFault::Names(fault) => fault.into(),
            AnswerFault::Crowded(_) => {
                Self::unavailable("answers-at-once", "Too many large lists are being read at once; try again later.")
                    .because(fault)
            }
            AnswerFault::Query(_) => Self::bad("bad-query", format!("The request is refused: {fault}.")),
            AnswerFault::BadIds(_) => Self::bad("bad-id", format!("The request is refused: {fault}.")),
            AnswerFault::BadToken => Self::bad("bad-page-token", format!("Invalid page token: {fault}.")),
            AnswerFault::BadRows => Self::bad("bad-max-results", format!("Invalid value for max_results: {fault}.")),
            AnswerFault::Unreadable(BadAnswer::Hidden) => Self::new(
                StatusCode::FORBIDDEN,
                ErrorCode::PermissionDenied,
                "answer-hidden",
                "Permission denied: this call needs a permission that you do not have.",
            )
            .because(fault),
            AnswerFault::Unreadable(_) => Self::new(
                StatusCode::BAD_GATEWAY,
                ErrorCode::InternalError,
                "answer-unreadable",
                "The MLflow server's answer cannot be read, so it is not passed on.",
            )
            .because(fault),
            AnswerFault::NotWhatWasJudged => Self::new(
                StatusCode::CONFLICT,
                ErrorCode::TemporarilyUnavailable,
                "answer-not-what-was-judged",
                "The object changed its name while it was looked up; try again.",
            ),
            AnswerFault::Effect { ref object, .. } => Self::new(
                // MLflow's client repeats a call after 500, 502, 503 and 504: this one has been done.
                StatusCode::INSUFFICIENT_STORAGE,
                ErrorCode::InternalError,
                "effect-failed",
                format!(
                    "MLflow has done this, but the permissions on {object} could not be written. Ask an administrator \
                     to grant them; do not repeat the call."
                ),
            )
            .because(fault),
            AnswerFault::Seal(_) => {
                Self::unavailable("seal-failed", "No page token could be made; try again.").because(fault)
            }
        }
    }
}
