//! What does the http port answer?
//!
//! One thing: a redirect to the same path at the public URL. The `Host` that the client sends is not looked at, so that
//! nobody can be sent elsewhere. It knows nothing of MLflow and has no secrets; its limits are tower's.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use http::header::{CONNECTION, HeaderValue, LOCATION};
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tower::{ServiceBuilder, ServiceExt as _, service_fn};

use super::drain::Phase;
use super::listener::next;
use super::settings::Limits;
use crate::message::Body;

/// The most redirects at once.
const AT_ONCE: usize = 256;
/// How long the answer may take to be taken.
const ANSWER: Duration = Duration::from_secs(5);

/// Answers until the drain.
pub(super) async fn redirect(mut listener: TcpListener, to: Arc<str>, limits: Limits, phase: Arc<Phase>) {
    let begun = phase.begun();
    tokio::pin!(begun);
    let (head, size) = (limits.head_timeout, limits.head_size);
    // Head and answer together, one request for each connection; who is too many is let go.
    let service = ServiceBuilder::new()
        .load_shed()
        .concurrency_limit(AT_ONCE)
        .timeout(head + ANSWER)
        .service(service_fn(move |tcp: TcpStream| one(tcp, Arc::clone(&to), head, size)));
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            (tcp, _) = next(&mut listener) => drop(connections.spawn(service.clone().oneshot(tcp))),
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

async fn one(tcp: TcpStream, to: Arc<str>, head: Duration, size: usize) -> hyper::Result<()> {
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(head)
        .keep_alive(false)
        .max_buf_size(size.max(8192))
        .serve_connection(
            TokioIo::new(tcp),
            hyper::service::service_fn(move |request: Request<Incoming>| {
                let answer = answer(&request, &to);
                async move { Ok::<_, Infallible>(answer) }
            }),
        )
        .await
}

fn answer(request: &Request<Incoming>, to: &str) -> Response<Body> {
    let target = request.uri().path_and_query().map_or("/", |target| target.as_str());
    located(target, to).unwrap_or_else(|| {
        let mut answer = Response::new(Body::Empty);
        *answer.status_mut() = StatusCode::BAD_REQUEST;
        answer
    })
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
