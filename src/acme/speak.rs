//! How are an authority's addresses asked?
//!
//! By the client for what identity providers say: bounded in time and size, no redirect followed, certificate verified, every
//! address that the authority names is https. What the protocol's library does not look at is noted here: when it may be asked
//! again.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::{RETRY_AFTER, USER_AGENT};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use url::Url;

use super::fault::printable;
use crate::fetch::Fetcher;

/// RFC 8555 section 6.1 wants both names.
const AGENT: HeaderValue = HeaderValue::from_static(concat!("trackgate/", env!("CARGO_PKG_VERSION"), " instant-acme"));
/// Longer than any limit of theirs.
const LONGEST_WAIT: Duration = Duration::from_hours(8 * 24);

/// Asks, and remembers when it may ask again.
#[derive(Clone)]
pub(super) struct Speaker {
    fetcher: Fetcher,
    not_before: Arc<Mutex<Option<Duration>>>,
}

/// An answer that no authority gives.
#[derive(Debug, thiserror::Error)]
#[error("`{host}` answers {status}: {body}")]
struct NoProblem {
    host: String,
    status: StatusCode,
    body: String,
}

impl Speaker {
    pub(super) fn new(fetcher: Fetcher) -> Self {
        Self { fetcher, not_before: Arc::default() }
    }

    /// How long the last refusal asked us to wait, if it did. It is told once.
    pub(super) fn asked_to_wait(&self) -> Option<Duration> {
        self.not_before.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    async fn exchange(self, request: Request<BodyWrapper<Bytes>>) -> Result<BytesResponse, Error> {
        let other = |error: &dyn std::error::Error| Error::Other(printable(&error.to_string()).into());
        let (mut head, body) = request.into_parts();
        head.headers.insert(USER_AGENT, AGENT);
        let url = Url::parse(&head.uri.to_string()).map_err(|error| other(&error))?;
        let Ok(body) = body.collect().await;
        let request = Request::from_parts(head, Full::new(body.to_bytes()));
        let answer = self.fetcher.send(&url, request).await.map_err(|fault| {
            Error::Other(format!("`{}` cannot be asked: {fault}", url.host_str().unwrap_or_default()).into())
        })?;
        if !answer.status().is_success() {
            let wait = retry_after(answer.headers(), SystemTime::now());
            *self.not_before.lock().unwrap_or_else(PoisonError::into_inner) = wait;
        }
        read(&url, answer)
    }
}

/// Refusals are problem documents; all else is of somebody in between, or of no authority at all.
fn read(url: &Url, answer: Response<Bytes>) -> Result<BytesResponse, Error> {
    let status = answer.status();
    let is_problem = serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(answer.body()).is_ok();
    // Redirects are not followed: the library would take one for a success.
    if status.is_success() || (is_problem && !status.is_redirection()) {
        let (head, body) = answer.into_parts();
        return Ok(BytesResponse::from(Response::from_parts(head, Full::new(body))));
    }
    let body = String::from_utf8_lossy(answer.body()).chars().take(100).collect::<String>();
    let host = url.host_str().unwrap_or_default().to_owned();
    Err(Error::Other(Box::new(NoProblem { host, status, body: printable(&body) })))
}

/// RFC 9110 section 10.2.3: seconds, or a date.
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let written = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = match written.parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => httpdate::parse_http_date(written).ok()?.duration_since(now).ok()?,
    };
    Some(wait.min(LONGEST_WAIT))
}

impl HttpClient for Speaker {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        Box::pin(self.clone().exchange(request))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wait(written: &str) -> Option<Duration> {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, written.parse().unwrap());
        let now = httpdate::parse_http_date("Sun, 22 Nov 2026 10:00:00 GMT").unwrap();
        retry_after(&headers, now)
    }

    #[test]
    fn retry_after_is_seconds_or_a_date_and_never_for_ever() {
        assert_eq!(wait("90"), Some(Duration::from_secs(90)));
        assert_eq!(wait("Sun, 22 Nov 2026 12:00:00 GMT"), Some(Duration::from_hours(2)));
        assert_eq!(wait("99999999999"), Some(LONGEST_WAIT));
        assert_eq!(wait("Fri, 22 Nov 2126 12:00:00 GMT"), Some(LONGEST_WAIT));
        for written in ["", "-1", "soon", "Sun, 22 Nov 2020 12:00:00 GMT", "99999999999999999999999"] {
            assert_eq!(wait(written), None, "{written}");
        }
    }

    #[test]
    fn what_is_no_problem_document_is_told_as_it_is() {
        let url = Url::parse("https://acme.example/x").unwrap();
        let told = |status: u16, body: &'static str| {
            let answer = Response::builder().status(status).body(Bytes::from_static(body.as_bytes())).unwrap();
            read(&url, answer).map(|_| ()).map_err(|error| error.to_string())
        };
        assert_eq!(told(200, "PEM"), Ok(()));
        assert_eq!(told(403, r#"{"type":"x"}"#), Ok(()));
        assert_eq!(
            told(502, "<h1>Bad Gateway"),
            Err("`acme.example` answers 502 Bad Gateway: <h1>Bad Gateway".to_owned())
        );
        assert!(told(302, "{}").is_err(), "a redirect is no success");
    }
}
