//! How does a permitted request reach MLflow, and its answer the client?
//!
//! Headers are written anew in both directions, bodies stream with back-pressure, framing is never copied: hyper frames
//! each side by what the body is.

mod headers;
mod limit;
mod tunnel;

use std::time::Duration;

use http::header::{CONNECTION, CONTENT_LENGTH, HeaderValue, UPGRADE};
use http::{Method, Request as HttpRequest, Response, StatusCode, Uri};
use http_body::Body as _;
use hyper::upgrade::OnUpgrade;

pub use tunnel::Tunnels;

use crate::access::decide::Permitted;
use crate::message::{Body, BodyError, Payload, Request};
use crate::policy::path::Path;
use crate::policy::route::Verb;
use crate::upstream::{Upstream, UpstreamError};

/// How requests are passed on. A clone is cheap; the gate keeps one for ordinary calls and one for artifacts.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The public name, for `X-Forwarded-Host`.
    pub public_host: HeaderValue,
    /// Cookies whose names begin so are ours; MLflow may not set them.
    pub own_cookies: Vec<String>,
    /// How long MLflow may take from the request's last byte to the answer's first.
    pub first_byte: Duration,
    /// The largest streamed body; 0: any.
    pub most_body: u64,
    /// After how long without a byte in either direction a tunnel is closed.
    pub tunnel_idle: Duration,
    /// Who knows the tunnels, to close them in the end.
    pub tunnels: Tunnels,
}

impl Settings {
    /// The defaults of `config/example.toml`, for the gate at `public_host`.
    #[must_use]
    pub fn new(public_host: HeaderValue) -> Self {
        let upstream = crate::upstream::Settings::default();
        Self {
            public_host,
            own_cookies: vec!["__Host-trackgate".to_owned(), "trackgate".to_owned()],
            first_byte: upstream.first_byte_timeout,
            most_body: 0,
            tunnel_idle: upstream.idle_timeout,
            tunnels: Tunnels::default(),
        }
    }
}

/// Why a request was not answered by MLflow.
#[derive(Debug, thiserror::Error)]
pub enum ForwardError {
    /// MLflow is away, slow or broken, or the client's body broke off: see [`UpstreamError::is_clients_fault`].
    #[error(transparent)]
    Upstream(#[from] UpstreamError),
    /// The path and query make no request target.
    #[error("the path and query make no request target")]
    Target,
    /// MLflow changed the protocol without being asked.
    #[error("MLflow changed the protocol without being asked")]
    UnaskedUpgrade,
}

impl ForwardError {
    /// What the client is told: 4xx if its own body is at fault, 502 or 504 otherwise.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Upstream(UpstreamError::Body(fault)) => match fault {
                BodyError::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
                BodyError::Stalled | BodyError::TooSlow => StatusCode::REQUEST_TIMEOUT,
                BodyError::Broken(_) => StatusCode::BAD_REQUEST,
            },
            Self::Upstream(error) if error.is_timeout() => StatusCode::GATEWAY_TIMEOUT,
            Self::Upstream(_) | Self::UnaskedUpgrade => StatusCode::BAD_GATEWAY,
            Self::Target => StatusCode::BAD_REQUEST,
        }
    }
}

/// Sends a permitted request to MLflow and gives back its answer, whose body streams.
///
/// `upgrade` is the client's wish for a WebSocket, if its row allows one: the tunnel is opened only after MLflow's own
/// 101 (RUSTSEC-2026-0033).
///
/// # Errors
/// See [`ForwardError`].
pub async fn forward(
    permitted: Permitted<Request>,
    upgrade: Option<OnUpgrade>,
    upstream: &Upstream,
    settings: &Settings,
) -> Result<Response<Body>, ForwardError> {
    let (request, _, _) = permitted.into_parts();
    let head_only = request.head_only;
    let method = method(request.verb, head_only && request.query.is_none() && !request.looked_over);
    let target = target(&request.path, request.query.as_deref())?;
    let mut headers = headers::outward(request.headers, &request.peer, &request.id, upstream.authority(), settings);
    if upgrade.is_some() {
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    }
    let body = match request.payload {
        Payload::Judged(bytes) if bytes.is_empty() => Body::Empty,
        Payload::Judged(bytes) => Body::Full(bytes),
        Payload::Stream(body) if body.is_end_stream() => Body::Empty,
        Payload::Stream(body) => limit::at_most(body, settings.most_body).map_err(UpstreamError::Body)?,
    };
    if matches!(body, Body::Empty) && matches!(request.verb, Verb::Post | Verb::Put | Verb::Patch) {
        // hyper says nothing of a body that is not there; these methods should (RFC 9110 section 8.6).
        headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
    }
    let mut outward = HttpRequest::new(body);
    *outward.method_mut() = method;
    *outward.uri_mut() = target;
    *outward.headers_mut() = headers;

    let mut answer = upstream.send(outward, settings.first_byte).await?;
    if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
        let client = upgrade.ok_or(ForwardError::UnaskedUpgrade)?;
        let server = hyper::upgrade::on(&mut answer);
        headers::inward(answer.headers_mut(), head_only, &settings.own_cookies);
        answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("upgrade"));
        answer.headers_mut().insert(UPGRADE, HeaderValue::from_static("websocket"));
        settings.tunnels.open(client, server, settings.tunnel_idle);
        return Ok(answer);
    }
    headers::inward(answer.headers_mut(), head_only, &settings.own_cookies);
    Ok(answer)
}

/// MLflow reads no query when the method is HEAD (3.17.2, `_get_request_message`), so it would answer of something else
/// than what was judged; and a HEAD brings nothing that could be looked over. Both are asked with GET; the gate lets no body
/// of that through.
fn method(verb: Verb, head_only: bool) -> Method {
    match verb {
        Verb::Get if head_only => Method::HEAD,
        Verb::Get => Method::GET,
        Verb::Post => Method::POST,
        Verb::Put => Method::PUT,
        Verb::Patch => Method::PATCH,
        Verb::Delete => Method::DELETE,
    }
}

/// The request target: the path written anew from what was judged, the query as it was judged.
fn target(path: &Path, query: Option<&str>) -> Result<Uri, ForwardError> {
    let path = path.encoded();
    match query {
        None => Uri::try_from(path.as_ref()),
        Some(query) => Uri::try_from(format!("{path}?{query}")),
    }
    .map_err(|_| ForwardError::Target)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_written_anew_from_what_was_judged() {
        let cases = [
            ("/api/2.0/mlflow/runs/get", Some("run_id=a"), "/api/2.0/mlflow/runs/get?run_id=a"),
            ("/a%20b/%c3%bc", None, "/a%20b/%C3%BC"),
            ("/m/model:1@x", Some(""), "/m/model:1@x?"),
        ];
        for (path, query, wanted) in cases {
            assert_eq!(target(&Path::parse(path).unwrap(), query).unwrap().to_string(), wanted);
        }
    }

    #[test]
    fn the_client_hears_whose_fault_it_was() {
        let status = |error: UpstreamError| ForwardError::Upstream(error).status().as_u16();
        assert_eq!(status(UpstreamError::Down(std::io::ErrorKind::ConnectionRefused.into())), 502);
        assert_eq!(status(UpstreamError::ConnectTimeout), 504);
        assert_eq!(status(UpstreamError::FirstByteTimeout), 504);
        assert_eq!(status(UpstreamError::Body(BodyError::TooLarge { most: 1 })), 413);
        assert_eq!(status(UpstreamError::Body(BodyError::Stalled)), 408);
        assert_eq!(status(UpstreamError::Body(BodyError::TooSlow)), 408);
    }
}
