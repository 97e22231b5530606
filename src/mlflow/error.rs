//! How does MLflow spell an error?
//!
//! `{"error_code": "...", "message": "..."}`: the stock client turns it into a `RestException`, the web UI shows
//! the message (MLflow 3.17.2, `mlflow/exceptions.py`, `mlflow/utils/rest_utils.py`).

use serde::Serialize;

/// MLflow's error codes that we answer with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorCode {
    /// The request is wrong.
    InvalidParameterValue,
    /// The request cannot be read.
    BadRequest,
    /// Nobody is signed in.
    Unauthenticated,
    /// Somebody is, and may not.
    PermissionDenied,
    /// No such object, or not for this caller.
    ResourceDoesNotExist,
    /// There is one already.
    ResourceAlreadyExists,
    /// No such route.
    EndpointNotFound,
    /// Not here, though it can be elsewhere.
    NotImplemented,
    /// Something we need is away; try again.
    TemporarilyUnavailable,
    /// Too much at once.
    RequestLimitExceeded,
    /// Our own fault.
    InternalError,
}

impl ErrorCode {
    /// MLflow's word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvalidParameterValue => "INVALID_PARAMETER_VALUE",
            Self::BadRequest => "BAD_REQUEST",
            Self::Unauthenticated => "UNAUTHENTICATED",
            Self::PermissionDenied => "PERMISSION_DENIED",
            Self::ResourceDoesNotExist => "RESOURCE_DOES_NOT_EXIST",
            Self::ResourceAlreadyExists => "RESOURCE_ALREADY_EXISTS",
            Self::EndpointNotFound => "ENDPOINT_NOT_FOUND",
            Self::NotImplemented => "NOT_IMPLEMENTED",
            Self::TemporarilyUnavailable => "TEMPORARILY_UNAVAILABLE",
            Self::RequestLimitExceeded => "REQUEST_LIMIT_EXCEEDED",
            Self::InternalError => "INTERNAL_ERROR",
        }
    }
}

#[derive(Serialize)]
struct Body<'a> {
    error_code: &'a str,
    message: &'a str,
}

#[derive(Serialize)]
struct Graph<'a> {
    data: Option<()>,
    errors: [GraphError<'a>; 1],
}

#[derive(Serialize)]
struct GraphError<'a> {
    message: &'a str,
    extensions: Extensions<'a>,
}

#[derive(Serialize)]
struct Extensions<'a> {
    code: &'a str,
}

/// The body of a GraphQL answer that holds nothing but an error.
#[must_use]
pub fn graph(code: ErrorCode, message: &str) -> Vec<u8> {
    let error = GraphError { message, extensions: Extensions { code: code.as_str() } };
    serde_json::to_vec(&Graph { data: None, errors: [error] }).unwrap_or_default()
}

/// The body of an error answer.
#[must_use]
pub fn body(code: ErrorCode, message: &str) -> Vec<u8> {
    // A struct of two strings always serialises.
    serde_json::to_vec(&Body { error_code: code.as_str(), message }).unwrap_or_default()
}
