//! Why is a request not taken in?

use http::StatusCode;

use crate::mlflow::ids::BadId;
use crate::policy::path::BadPath;

/// A request that could be read in two ways, or is nothing that MLflow's clients send.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unclean {
    /// OPTIONS, CONNECT, TRACE, `get`: no row has them.
    #[error("this method is not served")]
    Method,
    /// Longer than allowed.
    #[error("the path and query are longer than {most} bytes")]
    UrlTooLong {
        /// How long they may be.
        most: usize,
    },
    /// Not the canonical spelling.
    #[error(transparent)]
    Path(#[from] BadPath),
    /// No `Host` (RFC 9112 section 3.2).
    #[error("the request names no host")]
    NoHost,
    /// Two `Host` fields, or one that is no host.
    #[error("the request has no one well-formed host")]
    BadHost,
    /// `Host` and the request target (HTTP/2: `:authority`) differ (RFC 9113 section 8.3.1).
    #[error("the request names two different hosts")]
    HostsDiffer,
    /// Somebody else's name (RFC 9110 section 15.5.20).
    #[error("this host is not served here")]
    UnknownHost,
    /// A field name with `_`, which some servers take for `-` (CVE-2025-64484).
    #[error("a header field's name has a `_`")]
    Underscore,
    /// `Content-Length` beside `Transfer-Encoding`, or more than one of either (RFC 9112 section 6.3).
    #[error("the length of the body is told in two ways")]
    Framing,
    /// Another transfer coding than `chunked`, or one in HTTP/1.0 (RFC 9112 section 6.1).
    #[error("this transfer coding is not served")]
    TransferCoding,
    /// A field of one connection in HTTP/2 (RFC 9113 section 8.2.2).
    #[error("HTTP/2 has no such header field")]
    ConnectionField,
    /// `Connection` names a field that must not vanish (RFC 9110 section 7.6.1).
    #[error("`Connection` names a field that is not of the connection")]
    ConnectionNames,
    /// Another expectation than `100-continue` (RFC 9110 section 10.1.1).
    #[error("this expectation cannot be met")]
    Expectation,
    /// A GET or HEAD with a body.
    #[error("a GET request has no body here")]
    BodyOnGet,
    /// Two workspaces, or a name that is none.
    #[error("`X-MLFLOW-WORKSPACE` does not name one workspace{}", .0.as_ref().map(|bad| format!(": {bad}")).unwrap_or_default())]
    Workspace(Option<BadId>),
    /// `Content-Encoding` where MLflow does not decode: it would read no body at all.
    #[error("an encoded body is not served here")]
    EncodedBody,
    /// MLflow takes nothing but `application/json` here.
    #[error("the body must be `application/json`")]
    NotJson,
    /// Something else than what a form sends, at one of our own pages.
    #[error("send what a form sends: `Content-Type: application/x-www-form-urlencoded`")]
    NotForm,
    /// A credential in the address (RFC 6750 section 5.3: addresses are kept in logs and histories).
    #[error(
        "an access token does not belong into an address, where it is kept in logs: revoke it, and send another as `Authorization: Bearer` (MLFLOW_TRACKING_TOKEN)"
    )]
    TokenInUrl,
    /// Another site may have sent it with the person's cookie (ASVS 3.5.1).
    #[error("the request may come from another site")]
    ForeignOrigin,
}

impl Unclean {
    /// What the client is told.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::UrlTooLong { .. } => StatusCode::URI_TOO_LONG,
            Self::UnknownHost => StatusCode::MISDIRECTED_REQUEST,
            Self::TransferCoding => StatusCode::NOT_IMPLEMENTED,
            Self::Expectation => StatusCode::EXPECTATION_FAILED,
            Self::EncodedBody | Self::NotJson | Self::NotForm => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::ForeignOrigin => StatusCode::FORBIDDEN,
            Self::Path(_)
            | Self::NoHost
            | Self::BadHost
            | Self::HostsDiffer
            | Self::Underscore
            | Self::Framing
            | Self::ConnectionField
            | Self::ConnectionNames
            | Self::BodyOnGet
            | Self::TokenInUrl
            | Self::Workspace(_) => StatusCode::BAD_REQUEST,
        }
    }

    /// A stable word for the audit log and metrics.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Method => "method-not-served",
            Self::UrlTooLong { .. } => "url-too-long",
            Self::Path(_) => "bad-path",
            Self::TokenInUrl => "token-in-url",
            Self::NoHost => "no-host",
            Self::BadHost => "bad-host",
            Self::HostsDiffer => "hosts-differ",
            Self::UnknownHost => "unknown-host",
            Self::Underscore => "underscore-in-field-name",
            Self::Framing => "ambiguous-framing",
            Self::TransferCoding => "transfer-coding",
            Self::ConnectionField => "connection-field-in-http2",
            Self::ConnectionNames => "connection-names-field",
            Self::Expectation => "expectation",
            Self::BodyOnGet => "body-on-get",
            Self::Workspace(_) => "bad-workspace",
            Self::EncodedBody => "encoded-body",
            Self::NotJson => "not-json",
            Self::NotForm => "not-a-form",
            Self::ForeignOrigin => "foreign-origin",
        }
    }
}
