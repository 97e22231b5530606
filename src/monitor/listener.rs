//! Who is let in to the monitor?
//!
//! Few at once and each for one short request. When there are too many, the oldest must go: whoever holds connections open
//! keeps no probe out.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;

use super::{Told, answer};

/// The most connections at once.
const AT_ONCE: usize = 128;
/// How long all of a connection may take.
const WHOLE: Duration = Duration::from_secs(5);
/// Bytes of a request's head; hyper takes no less.
const HEAD_SIZE: usize = 8 * 1024;
/// How long the accept loop rests after a fault (no file descriptor, no memory).
const REST: Duration = Duration::from_millis(50);

/// Answers for ever.
pub(super) async fn listen(bound: std::net::TcpListener, told: Arc<Told>) {
    let listener = match TcpListener::from_std(bound) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::error!(%error, "the monitor's listener cannot be used");
            return;
        }
    };
    let mut inside: VecDeque<AbortHandle> = VecDeque::with_capacity(AT_ONCE);
    loop {
        let tcp = match listener.accept().await {
            Ok((tcp, _)) => tcp,
            Err(error) => {
                tracing::debug!(%error, "the monitor cannot accept a connection; trying again");
                tokio::time::sleep(REST).await;
                continue;
            }
        };
        inside.retain(|one| !one.is_finished());
        if inside.len() >= AT_ONCE
            && let Some(oldest) = inside.pop_front()
        {
            oldest.abort();
        }
        let told = Arc::clone(&told);
        let one = tokio::spawn(async move {
            let _ = tokio::time::timeout(WHOLE, serve(tcp, told)).await;
        });
        inside.push_back(one.abort_handle());
    }
}

async fn serve(tcp: TcpStream, told: Arc<Told>) {
    let service = service_fn(move |request: Request<Incoming>| {
        let answer = answer::answer(request.method(), request.uri(), request.headers(), &told);
        async move { Ok::<_, Infallible>(answer) }
    });
    let served = http1::Builder::new()
        // All of it has one limit.
        .header_read_timeout(None)
        .keep_alive(false)
        .max_buf_size(HEAD_SIZE)
        .serve_connection(TokioIo::new(tcp), service)
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "a connection to the monitor ended early");
    }
}
