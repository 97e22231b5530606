//! What ways are there to say no, and how do they look to a browser, to a client, and in the audit log?
//!
//! Every fault of every room becomes a [`Refusal`] here and nowhere else: its status, MLflow's error code, the sentence
//! that the caller may read, and the reason that the audit log keeps. What a caller reads never names an object that
//! they may not see, a token, or an address of ours (ASVS 16.5.1).

use std::borrow::Cow;

use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, Method, Response, StatusCode};

use crate::access::decide::Reason;
use crate::audit::{Outcome, Record};
use crate::message::Body;
use crate::metrics::Verdict;
use crate::mlflow::error::{self, ErrorCode};

/// One no.
#[derive(Debug)]
pub struct Refusal {
    /// The status.
    pub status: StatusCode,
    /// MLflow's code for it.
    pub code: ErrorCode,
    /// Stable word for the audit log.
    pub reason: &'static str,
    /// What the caller may read.
    pub message: Cow<'static, str>,
    /// What the audit log keeps besides.
    pub detail: Option<String>,
    /// The grant, or the want of one, that decided.
    pub grant: Option<Box<Reason>>,
    /// `WWW-Authenticate`.
    pub challenge: Option<&'static str>,
    /// `Retry-After`, in seconds.
    pub retry_after: Option<u32>,
    /// A browser that asked for a page is sent to the login.
    pub login: bool,
    /// The message is MLflow's own, to the letter: nothing is added to it.
    pub verbatim: bool,
}

/// In which form the caller understands a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A top-level navigation of a browser: a page.
    Page,
    /// Everything else: MLflow's JSON.
    Json,
    /// The words of RFC 6749: the caller signs in for a program.
    OAuth,
    /// A GraphQL document that a page of MLflow's asked: the pages ask five times over some ten seconds when the status is
    /// an error, and never show its words (3.17.2, Apollo's `RetryLink`). They show the message of an answer's `errors`.
    Graph,
}

impl Form {
    /// The same for a request to `path`: a form of one of our own pages is sent by a navigation too.
    #[must_use]
    pub fn of_request(method: &Method, path: &str, headers: &HeaderMap) -> Self {
        let ours = *method == Method::POST && path.starts_with("/trackgate/");
        Self::of(if ours { &Method::GET } else { method }, headers)
    }

    /// Reads the form from what the client says of itself.
    ///
    /// A navigation is what `Sec-Fetch-Mode` calls one; where that is absent, a GET that accepts `text/html` (ASVS
    /// 7.6.2). The MLflow client and the UI's background calls are neither.
    #[must_use]
    pub fn of(method: &Method, headers: &HeaderMap) -> Self {
        if *method != Method::GET && *method != Method::HEAD {
            return Self::Json;
        }
        let navigation = match headers.get("sec-fetch-mode") {
            Some(mode) => mode == "navigate",
            None => headers
                .get(http::header::ACCEPT)
                .and_then(|accept| accept.to_str().ok())
                .is_some_and(|accept| accept.contains("text/html")),
        };
        if navigation { Self::Page } else { Self::Json }
    }

    /// The same, where a page's script asked what is no navigation, and may not have it.
    #[must_use]
    pub fn of_call(self, name: Option<&str>, scripted: bool, refusal: &Refusal) -> Self {
        match self {
            _ if name.is_some_and(crate::pages::oauth::speaks) => Self::OAuth,
            Self::Json if scripted && name == Some("Graphql") && refusal.status == StatusCode::FORBIDDEN => Self::Graph,
            form => form,
        }
    }

    /// Whether a page's script asks: browsers say so, and scripts cannot (Fetch Metadata).
    #[must_use]
    pub fn is_scripted(headers: &HeaderMap) -> bool {
        headers.get("sec-fetch-mode").is_some_and(|mode| mode != "navigate")
    }
}

impl Refusal {
    /// What is counted of it where no record can be written.
    pub(super) fn verdict(&self) -> Verdict {
        let outcome = self.outcome().as_str();
        Verdict { call: None, outcome, status: self.status.as_u16(), reason: self.reason }
    }

    /// A refusal by rule.
    #[must_use]
    pub fn new(
        status: StatusCode,
        code: ErrorCode,
        reason: &'static str,
        message: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self {
            status,
            code,
            reason,
            message: message.into(),
            detail: None,
            grant: None,
            challenge: None,
            retry_after: None,
            login: false,
            verbatim: false,
        }
    }

    /// The same, with something for the audit log.
    #[must_use]
    pub fn because(mut self, detail: impl std::fmt::Display) -> Self {
        self.detail = Some(detail.to_string());
        self
    }

    /// 400: the request is wrong.
    #[must_use]
    pub fn bad(reason: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, ErrorCode::InvalidParameterValue, reason, message)
    }

    /// 503: something that we need is away.
    #[must_use]
    pub fn unavailable(reason: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        let mut refusal =
            Self::new(StatusCode::SERVICE_UNAVAILABLE, ErrorCode::TemporarilyUnavailable, reason, message);
        refusal.retry_after = Some(1);
        refusal
    }

    /// Whose fault it is: ours and the upstream's are errors, the caller's are denials. What a setting keeps closed (501)
    /// is nobody's fault.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        let error = self.status.is_server_error() && self.status != StatusCode::NOT_IMPLEMENTED;
        if error { Outcome::Error } else { Outcome::Deny }
    }

    /// Writes it into the audit record.
    pub fn tell(&self, record: &mut Record) {
        record.refused(self.outcome(), self.reason, self.detail.clone(), self.grant.as_deref().cloned());
    }

    /// MLflow's JSON.
    #[must_use]
    pub fn to_json(&self, request_id: &str) -> Response<Body> {
        let mut answer = json(error::body(self.code, &self.told(request_id)));
        self.dress(&mut answer);
        answer
    }

    /// The errors of a GraphQL answer without data, as the specification spells them (GraphQL, October 2021, section 7.1).
    #[must_use]
    pub fn to_graph(&self, request_id: &str) -> Response<Body> {
        let mut answer = json(error::graph(self.code, &self.told(request_id)));
        self.dress(&mut answer);
        *answer.status_mut() = StatusCode::OK;
        answer
    }

    /// RFC 6749 section 5.2.
    #[must_use]
    pub fn to_oauth(&self, request_id: &str) -> Response<Body> {
        let word = match self.status {
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => "temporarily_unavailable",
            status if status.is_server_error() => "server_error",
            StatusCode::UNAUTHORIZED => "invalid_client",
            _ => "invalid_request",
        };
        let told = serde_json::json!({ "error": word, "error_description": self.told(request_id) });
        let mut answer = json(told.to_string().into_bytes());
        self.dress(&mut answer);
        answer
    }

    /// The message, with our name for the request.
    fn told(&self, request_id: &str) -> Cow<'_, str> {
        if self.verbatim || request_id.is_empty() {
            Cow::Borrowed(&self.message)
        } else {
            Cow::Owned(format!("{} (request {request_id})", self.message))
        }
    }

    /// The status and the headers that both forms share.
    pub fn dress(&self, answer: &mut Response<Body>) {
        *answer.status_mut() = self.status;
        let headers = answer.headers_mut();
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(challenge) = self.challenge {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        if let Some(seconds) = self.retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
    }
}

fn json(body: Vec<u8>) -> Response<Body> {
    let mut answer = Response::new(Body::from(body));
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (http::HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect()
    }

    #[test]
    fn only_top_level_navigations_get_a_page() {
        let html = ("accept", "text/html,application/xhtml+xml");
        let cases = [
            (Method::GET, headers(&[("sec-fetch-mode", "navigate"), html]), Form::Page),
            (Method::GET, headers(&[("sec-fetch-mode", "cors"), html]), Form::Json),
            (Method::GET, headers(&[("sec-fetch-mode", "same-origin")]), Form::Json),
            (Method::GET, headers(&[html]), Form::Page),
            (Method::GET, headers(&[("accept", "*/*")]), Form::Json),
            (Method::GET, headers(&[]), Form::Json),
            (Method::POST, headers(&[("sec-fetch-mode", "navigate"), html]), Form::Json),
            (Method::PUT, headers(&[html]), Form::Json),
        ];
        for (method, headers, form) in cases {
            assert_eq!(Form::of(&method, &headers), form, "{method} {headers:?}");
        }
    }

    #[test]
    fn a_form_of_our_own_pages_gets_a_page() {
        let navigation = headers(&[("sec-fetch-mode", "navigate")]);
        assert_eq!(Form::of_request(&Method::POST, "/trackgate/share/give", &navigation), Form::Page);
        assert_eq!(Form::of_request(&Method::POST, "/trackgate/share/give", &headers(&[])), Form::Json);
        assert_eq!(Form::of_request(&Method::POST, "/api/2.0/mlflow/runs/create", &navigation), Form::Json);
    }
}
