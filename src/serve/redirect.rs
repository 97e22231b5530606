//! What does the http port answer?
//!
//! A redirect to the same path at the public URL. The `Host` that the client sends is not looked at, so that nobody can be sent
//! elsewhere. Where an authority looks for answers to its challenges here (RFC 8555 section 8.3), those that lie on the desk, and
//! nothing else below their path. It knows nothing of MLflow and has no secrets; its limits are tower's.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use http::header::{CONNECTION, CONTENT_TYPE, HOST, HeaderValue, LOCATION, X_CONTENT_TYPE_OPTIONS};
use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use ipnet::IpNet;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tower::{ServiceBuilder, ServiceExt as _, service_fn};

use super::counts::Counts;
use super::drain::Phase;
use super::front::Caller;
use super::listener::{Crowd, next};
use super::settings::Limits;
use crate::acme::Desk;
use crate::message::{Body, Door};

/// The most redirects at once.
const AT_ONCE: usize = 256;
/// And those of one address, fronts excepted: whoever holds connections open keeps nobody else from being redirected, nor an
/// authority from looking at a challenge.
const EACH: usize = 32;
/// How long the answer may take to be taken.
const ANSWER: Duration = Duration::from_secs(5);

/// Where the documents of challenges are.
const CHALLENGES: &str = "/.well-known/acme-challenge/";

/// What there is to answer.
#[derive(Clone)]
pub(super) struct Answers {
    /// The public URL without its path.
    pub(super) to: Arc<str>,
    /// Where answers to challenges lie.
    pub(super) desk: Option<Arc<Desk>>,
}

/// Answers until the drain. `fronts` are those that many clients come through.
pub(super) async fn redirect(
    mut listener: TcpListener,
    answers: Answers,
    limits: Limits,
    fronts: &[IpNet],
    phase: Arc<Phase>,
) {
    let begun = phase.begun();
    tokio::pin!(begun);
    let (head, size) = (limits.head_timeout, limits.head_size);
    // Counted by themselves: what happens here takes no place from the doors.
    let most = Limits { connections: AT_ONCE, connections_per_address: EACH, ..limits.clone() };
    let crowd = Crowd::new(&most, &Counts::default());
    // Head and answer together, one request for each connection; who is too many is let go.
    let service = ServiceBuilder::new()
        .load_shed()
        .concurrency_limit(AT_ONCE)
        .timeout(head + ANSWER)
        .service(service_fn(move |tcp: TcpStream| one(tcp, answers.clone(), head, size)));
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            (tcp, address) = next(&mut listener) => {
                let ticket = crowd.enter(&Caller::new(address, fronts, Door::Plain));
                if let Some(ticket) = ticket.filter(|ticket| !ticket.is_crowded()) {
                    let one = service.clone().oneshot(tcp);
                    connections.spawn(async move {
                        let _counted = ticket;
                        one.await
                    });
                }
            }
            Some(ended) = connections.join_next(), if !connections.is_empty() => {
                if let Ok(Err(error)) = ended {
                    tracing::debug!(%error, "a redirect was not given");
                }
            }
            () = &mut begun => break,
        }
    }
    let _ = tokio::time::timeout(limits.drain, async { while connections.join_next().await.is_some() {} }).await;
}

async fn one(tcp: TcpStream, answers: Answers, head: Duration, size: usize) -> hyper::Result<()> {
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(head)
        .keep_alive(false)
        .max_buf_size(size.max(8192))
        .serve_connection(
            TokioIo::new(tcp),
            hyper::service::service_fn(move |request: Request<Incoming>| {
                let answer = answer(&request, &answers);
                async move { Ok::<_, Infallible>(answer) }
            }),
        )
        .await
}

fn answer<B>(request: &Request<B>, answers: &Answers) -> Response<Body> {
    if let Some(desk) = &answers.desk
        && let Some(token) = request.uri().path().strip_prefix(CHALLENGES)
    {
        return document(request, desk, token);
    }
    let target = request.uri().path_and_query().map_or("/", |target| target.as_str());
    located(target, &answers.to).unwrap_or_else(|| empty(StatusCode::BAD_REQUEST))
}

/// The token is looked up as it was sent: nothing is decoded, no path is made of it.
fn document<B>(request: &Request<B>, desk: &Desk, token: &str) -> Response<Body> {
    let mut hosts = request.headers().get_all(HOST).iter();
    let host = hosts.next().and_then(|host| host.to_str().ok()).unwrap_or_default();
    // An authority connects to port 80, and says no port.
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    let wanted = request.method() == Method::GET && request.uri().query().is_none() && hosts.next().is_none();
    match desk.document(name, token).filter(|_| wanted) {
        None => empty(StatusCode::NOT_FOUND),
        Some(text) => {
            let mut answer = Response::new(Body::Full(text));
            answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
            answer.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
            answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            answer
        }
    }
}

fn empty(status: StatusCode) -> Response<Body> {
    let mut answer = Response::new(Body::Empty);
    *answer.status_mut() = status;
    answer
}

/// 308 keeps the method and the body, so that a script that posts to http finds out nothing worse than a detour.
fn located(target: &str, to: &str) -> Option<Response<Body>> {
    // `*`, or an authority: nothing to redirect to.
    if !target.starts_with('/') {
        return None;
    }
    let location = HeaderValue::from_str(&format!("{to}{target}")).ok()?;
    let mut answer = Response::new(Body::Empty);
    *answer.status_mut() = StatusCode::PERMANENT_REDIRECT;
    answer.headers_mut().insert(LOCATION, location);
    answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    Some(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redirect_leads_to_the_public_url_and_nowhere_else() {
        let to = "https://mlflow.example.com";
        let location =
            |target| located(target, to).map(|answer| answer.headers()[LOCATION].to_str().unwrap().to_owned());
        assert_eq!(location("/a/b?c=d").unwrap(), "https://mlflow.example.com/a/b?c=d");
        // The authority is finished before the path begins; what looks like another host stays a path.
        assert_eq!(location("//evil.example").unwrap(), "https://mlflow.example.com//evil.example");
        assert_eq!(location("/@evil.example").unwrap(), "https://mlflow.example.com/@evil.example");
        assert!(location("*").is_none());
        assert!(location("@evil.example").is_none());
    }
}
