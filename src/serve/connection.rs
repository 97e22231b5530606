//! What happens on one connection?

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::FutureExt as _;
use http::header::{CONNECTION, HeaderValue, STRICT_TRANSPORT_SECURITY};
use http::{Request, Response, StatusCode, Version};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite};
use tokio::net::TcpStream;

use super::body::{Answered, guarded};
use super::drain::Phase;
use super::front::Caller;
use super::listener::Ticket;
use super::misdeed::plain_answer;
use super::settings::{Limits, Settings};
use super::tls::Tls;
use super::wire::{InFlight, MISDEED_METHOD, Shared, Wire};
use super::{Handler, Misdeed};
use crate::message::Door;
use crate::mlflow::error::ErrorCode;

/// The first bytes of an HTTP/2 connection (RFC 9113 section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// The most that hyper reads ahead of a client, and the most it keeps for an HTTP/2 stream that is not taken.
const READ_AHEAD: usize = 128 * 1024;
const SEND_AHEAD: usize = 64 * 1024;
/// How long an HTTP/2 client may take to leave after GOAWAY, once it has no request left.
const FAREWELL: Duration = Duration::from_secs(5);

/// What all connections of a worker share.
pub(super) struct Worker<H> {
    pub(super) handler: H,
    pub(super) settings: Arc<Settings>,
    pub(super) hsts: Option<HeaderValue>,
    pub(super) phase: Arc<Phase>,
    pub(super) tls: Option<Tls>,
}

/// Serves one connection until its end.
pub(super) async fn serve<H: Handler>(
    worker: Arc<Worker<H>>,
    tcp: TcpStream,
    caller: Caller,
    door: Door,
    ticket: Ticket,
) {
    let limits = &worker.settings.limits;
    match (door, &worker.tls) {
        (Door::Plain, _) => {
            let mut tcp = tcp;
            let Some(Some((early, http2))) = within(limits.head_timeout, &worker, preface(&mut tcp)).await else {
                return;
            };
            speak(worker, tcp, early, http2, caller, ticket).await;
        }
        (Door::Https, Some(tls)) => match within(limits.tls_handshake, &worker, tls.accept(tcp)).await {
            Some(Ok(None)) => tracing::debug!(client = %caller.address(), "a challenge was looked at"),
            Some(Ok(Some(stream))) => {
                let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                speak(worker, stream, Bytes::new(), http2, caller, ticket).await;
            }
            Some(Err(error)) => {
                worker.settings.counts.no_handshake();
                tracing::debug!(%error, client = %caller.address(), "a TLS handshake failed");
            }
            None => {
                worker.settings.counts.no_handshake();
                tracing::debug!(client = %caller.address(), "a TLS handshake took too long");
            }
        },
        (Door::Https, None) => tracing::error!("there is a TLS listener without a certificate"),
    }
}

/// What must be done before the first request: within its limit, and in a drain no longer than new connections are
/// accepted, so that a client that says nothing does not hold the house open.
async fn within<T, H>(limit: Duration, worker: &Worker<H>, first: impl Future<Output = T>) -> Option<T> {
    let closing = async {
        worker.phase.begun().await;
        tokio::time::sleep(worker.settings.limits.drain_accept).await;
    };
    tokio::select! {
        done = first => Some(done),
        () = tokio::time::sleep(limit) => None,
        () = closing => None,
    }
}

/// Reads as far as is needed to tell HTTP/2 from HTTP/1. `None`: the client left.
async fn preface(tcp: &mut TcpStream) -> Option<(Bytes, bool)> {
    let mut early = BytesMut::with_capacity(1024);
    loop {
        if early.len() >= PREFACE.len() || !PREFACE.starts_with(&early) {
            let http2 = early.starts_with(PREFACE);
            return Some((early.freeze(), http2));
        }
        if tcp.read_buf(&mut early).await.ok()? == 0 {
            return None;
        }
    }
}

async fn speak<H: Handler, S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    worker: Arc<Worker<H>>,
    io: S,
    early: Bytes,
    http2: bool,
    caller: Caller,
    ticket: Ticket,
) {
    let crowded = ticket.is_crowded();
    let shared = Arc::new(Shared::new());
    let phase = Arc::clone(&worker.phase);
    let limits = worker.settings.limits.clone();
    let wire = Wire::new(io, &early, http2, Arc::clone(&shared), Arc::clone(&phase), &limits, ticket);
    let desk = Arc::new(Desk { worker, shared: Arc::clone(&shared), caller, http2, crowded });
    // The request counts from here on, not from when its future is first polled: the wire must not find the connection
    // idle in between.
    let service = service_fn(move |request| answer(Arc::clone(&desk), desk.shared.begin(), request));
    let result = if http2 {
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder
            .max_concurrent_streams(limits.h2_streams)
            .initial_stream_window_size(limits.h2_stream_window)
            .initial_connection_window_size(limits.h2_connection_window)
            .max_pending_accept_reset_streams(limits.h2_pending_resets)
            .max_local_error_reset_streams(limits.h2_own_resets)
            .max_header_list_size(limits.h2_header_list)
            .max_send_buf_size(SEND_AHEAD);
        drive_http2(builder.serve_connection(TokioIo::new(wire), service), &shared, &phase, &limits).await
    } else {
        let mut builder = http1::Builder::new();
        // The wire counts, too, and says so in a better way; here it must only not be less.
        builder.max_buf_size(READ_AHEAD.max(limits.head_size * 2)).keep_alive(!crowded);
        if limits.head_fields > 100 {
            builder.max_headers(limits.head_fields);
        }
        let connection = builder.serve_connection(TokioIo::new(wire), service).with_upgrades();
        drive_http1(connection, &phase).await
    };
    if let Err(error) = result {
        tracing::debug!(%error, client = %caller.address(), "a connection ended early");
    }
}

/// Drives an HTTP/1 connection. In a drain it is woken once; the wire then ends it between two requests, and each answer
/// says `connection: close`.
async fn drive_http1(connection: impl Future<Output = hyper::Result<()>>, phase: &Phase) -> hyper::Result<()> {
    let mut connection = pin!(connection);
    let mut begun = pin!(phase.begun());
    let mut asked = false;
    poll_fn(|cx| {
        // Once is enough to be woken: a task's waker stays the same. Asking at each poll would cost two locks.
        if !asked {
            asked = true;
            let _ = begun.as_mut().poll(cx);
        }
        connection.as_mut().poll(cx)
    })
    .await
}

async fn drive_http2<I, S, E>(
    connection: http2::Connection<I, S, E>,
    shared: &Shared,
    phase: &Phase,
    limits: &Limits,
) -> hyper::Result<()>
where
    http2::Connection<I, S, E>: Future<Output = hyper::Result<()>> + GracefulEnd,
    S: hyper::service::HttpService<Incoming>,
{
    let mut connection = pin!(connection);
    let mut begun = pin!(phase.begun());
    let mut asked = false;
    let mut told = false;
    let mut farewell = None;
    poll_fn(|cx| {
        if !asked {
            asked = true;
            let _ = begun.as_mut().poll(cx);
        }
        loop {
            if !told && (phase.is_draining() || shared.is_idle_out()) {
                told = true;
                connection.as_mut().say_goodbye();
            }
            if let Poll::Ready(result) = connection.as_mut().poll(cx) {
                return Poll::Ready(result);
            }
            if told && shared.is_idle_out() {
                // A request may have crossed our GOAWAY; it is answered first.
                if shared.quiet().is_none() {
                    farewell = None;
                    return Poll::Pending;
                }
                let sleep =
                    farewell.get_or_insert_with(|| Box::pin(tokio::time::sleep(FAREWELL.min(limits.keep_alive))));
                if sleep.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(Ok(()));
                }
            }
            if told || !shared.is_idle_out() {
                return Poll::Pending;
            }
        }
    })
    .await
}

/// A connection that can be ended without cutting what runs.
trait GracefulEnd {
    fn say_goodbye(self: Pin<&mut Self>);
}

impl<I, S, B, E> GracefulEnd for http2::Connection<I, S, E>
where
    S: hyper::service::HttpService<Incoming, ResBody = B>,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    I: hyper::rt::Read + hyper::rt::Write + Unpin,
    B: http_body::Body + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    E: hyper::rt::bounds::Http2ServerConnExec<S::Future, B>,
{
    fn say_goodbye(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

/// What the requests of one connection share.
struct Desk<H> {
    worker: Arc<Worker<H>>,
    shared: Arc<Shared>,
    caller: Caller,
    http2: bool,
    crowded: bool,
}

async fn answer<H: Handler>(
    desk: Arc<Desk<H>>,
    in_flight: InFlight,
    request: Request<Incoming>,
) -> Result<Response<Answered>, Infallible> {
    let worker = &desk.worker;
    let settings = &worker.settings;
    let peer = desk.caller.peer(request.headers(), &settings.trusted_proxies);
    let secure = peer.secure;
    let version = request.version();
    let mut answer = if let Some(misdeed) = desk.misdeed(&request) {
        drop(request.map(|incoming| guarded(incoming, &settings.limits, &desk.shared, desk.http2)));
        worker.handler.refuse(peer, misdeed)
    } else {
        let request = request.map(|incoming| guarded(incoming, &settings.limits, &desk.shared, desk.http2));
        // A panic ends one request, not the worker.
        AssertUnwindSafe(pin!(worker.handler.handle(peer, request))).catch_unwind().await.unwrap_or_else(|_| {
            tracing::error!("a panic ended a request");
            plain_answer(StatusCode::INTERNAL_SERVER_ERROR, ErrorCode::InternalError, "internal error")
        })
    };
    if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
        desk.shared.become_tunnel();
    }
    let headers = answer.headers_mut();
    // Over an insecure connection it has no meaning (RFC 6797 section 7.2).
    if let (Some(hsts), true) = (&worker.hsts, secure) {
        headers.insert(STRICT_TRANSPORT_SECURITY, hsts.clone());
    }
    let last = worker.phase.is_draining() || desk.shared.is_body_left();
    if last && version <= Version::HTTP_11 && answer.status() != StatusCode::SWITCHING_PROTOCOLS {
        answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(answer.map(|body| Answered::new(body, in_flight, desk.http2)))
}

impl<H> Desk<H> {
    /// What is wrong with a request before anybody looks at it.
    fn misdeed(&self, request: &Request<Incoming>) -> Option<Misdeed> {
        if self.crowded {
            return Some(Misdeed::Crowded);
        }
        if !self.http2 {
            // The wire put it in the place of what the client sent.
            let misdeed = self.shared.misdeed()?;
            return (request.method().as_str() == MISDEED_METHOD).then_some(misdeed);
        }
        let limits = &self.worker.settings.limits;
        if request.uri().path_and_query().is_some_and(|target| target.as_str().len() > limits.url_length) {
            return Some(Misdeed::UrlTooLong);
        }
        (request.headers().len() > limits.head_fields).then_some(Misdeed::TooManyFields)
    }
}
