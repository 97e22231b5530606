//! How does the agent itself say no?
//!
//! In MLflow's JSON, so that its client shows the sentence, or tries again where it can help.

use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use http::{Response, StatusCode};

use crate::message::Body;
use crate::mlflow::error::{self, ErrorCode};

/// An answer that nobody else gives.
pub(super) fn refusal(status: StatusCode, code: ErrorCode, why: &str) -> Response<Body> {
    let mut answer = Response::new(Body::from(error::body(code, &format!("trackgate connect: {why}"))));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

/// 503, or 502 where the request may have reached the server; the client comes again after so many seconds.
pub(super) fn later(status: StatusCode, seconds: u64, why: &str) -> Response<Body> {
    let mut answer = refusal(status, ErrorCode::TemporarilyUnavailable, why);
    answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    answer
}
