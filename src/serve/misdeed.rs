//! What can a client do wrong before its request is one?

use http::StatusCode;
use http::header::{CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HeaderValue, RETRY_AFTER};

use crate::message::Body;
use crate::mlflow::error::{self, ErrorCode};

/// Why bytes are not a request that anybody looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Misdeed {
    /// The request line is not `METHOD target HTTP/1.x`.
    #[error("the request line cannot be read")]
    BadRequestLine,
    /// A line ends without a carriage return (RFC 9112 section 2.2).
    #[error("a line ends with a bare line feed")]
    BareLineFeed,
    /// A field goes on in the next line (RFC 9112 section 5.2).
    #[error("a header field is folded")]
    FoldedLine,
    /// RFC 9112 section 5.1.
    #[error("there is a space before a colon")]
    SpaceBeforeColon,
    /// A line without a name or a colon.
    #[error("a header field cannot be read")]
    BadField,
    /// NUL, a bare carriage return, ... (RFC 9110 section 5.5).
    #[error("a header field holds a control character")]
    ControlCharacter,
    /// Both a length and a transfer coding (RFC 9112 section 6.1).
    #[error("Content-Length and Transfer-Encoding stand together")]
    LengthAndCoding,
    /// More than one length (RFC 9112 section 6.3).
    #[error("Content-Length stands twice")]
    TwoLengths,
    /// Not a number.
    #[error("Content-Length is no number")]
    BadLength,
    /// Anything but one `chunked`, or any on HTTP/1.0 (RFC 9112 section 6.1).
    #[error("Transfer-Encoding is not `chunked` alone")]
    BadCoding,
    /// RFC 9112 section 7.1.
    #[error("a chunk cannot be read")]
    BadChunk,
    /// More bytes of head than allowed.
    #[error("the head is too large")]
    HeadTooLarge,
    /// More fields than allowed.
    #[error("there are too many header fields")]
    TooManyFields,
    /// A target longer than allowed.
    #[error("the URL is too long")]
    UrlTooLong,
    /// The head did not come in time.
    #[error("the head did not come in time")]
    HeadTimeout,
    /// Too many connections, from everywhere or from this address.
    #[error("there are too many connections")]
    Crowded,
}

impl Misdeed {
    /// The status of the refusal.
    #[must_use]
    pub fn status(self) -> StatusCode {
        match self {
            Self::BadRequestLine
            | Self::BareLineFeed
            | Self::FoldedLine
            | Self::SpaceBeforeColon
            | Self::BadField
            | Self::ControlCharacter
            | Self::LengthAndCoding
            | Self::TwoLengths
            | Self::BadLength
            | Self::BadCoding
            | Self::BadChunk => StatusCode::BAD_REQUEST,
            Self::HeadTooLarge | Self::TooManyFields => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::UrlTooLong => StatusCode::URI_TOO_LONG,
            Self::HeadTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::Crowded => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// A stable word for the audit log and metrics.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::BadRequestLine => "bad-request-line",
            Self::BareLineFeed => "bare-line-feed",
            Self::FoldedLine => "folded-line",
            Self::SpaceBeforeColon => "space-before-colon",
            Self::BadField => "bad-field",
            Self::ControlCharacter => "control-character",
            Self::LengthAndCoding => "length-and-coding",
            Self::TwoLengths => "two-lengths",
            Self::BadLength => "bad-length",
            Self::BadCoding => "bad-coding",
            Self::BadChunk => "bad-chunk",
            Self::HeadTooLarge => "head-too-large",
            Self::TooManyFields => "too-many-fields",
            Self::UrlTooLong => "url-too-long",
            Self::HeadTimeout => "head-timeout",
            Self::Crowded => "crowded",
        }
    }

    /// The refusal as MLflow would spell it.
    #[must_use]
    pub fn answer(self) -> http::Response<Body> {
        let code = match self.status() {
            StatusCode::SERVICE_UNAVAILABLE => ErrorCode::RequestLimitExceeded,
            _ => ErrorCode::BadRequest,
        };
        let mut answer = plain_answer(self.status(), code, &self.to_string());
        answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        if self == Self::Crowded {
            answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("5"));
        }
        answer
    }
}

/// An error answer in MLflow's form.
pub(super) fn plain_answer(status: StatusCode, code: ErrorCode, message: &str) -> http::Response<Body> {
    let mut answer = http::Response::new(Body::from(error::body(code, message)));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}
