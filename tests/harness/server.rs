//! A server that plays MLflow: by a script for well-formed answers, or with bare sockets for broken ones.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};

pub type Answer = Response<BoxBody<Bytes, std::io::Error>>;

/// An answer with a body.
pub fn full(status: u16, body: impl Into<Bytes>) -> Answer {
    Response::builder().status(status).body(Full::new(body.into()).map_err(|never| match never {}).boxed()).unwrap()
}

/// What the server saw of a request's head.
#[derive(Debug, Clone)]
pub struct Seen {
    pub method: String,
    pub target: String,
    pub headers: http::HeaderMap,
}

/// A running server with a thread of its own; it ends when it is dropped.
pub struct Server {
    pub address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    connections: Arc<AtomicUsize>,
    stop: tokio_util::sync::CancellationToken,
    thread: Option<std::thread::JoinHandle<()>>,
}

type Script = Arc<dyn Fn(Request<Incoming>) -> Pin<Box<dyn Future<Output = Answer> + Send>> + Send + Sync>;
type Play = Arc<dyn Fn(TcpStream) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

impl Server {
    /// Answers each request with what `script` says.
    pub fn scripted<F>(script: impl Fn(Request<Incoming>) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Answer> + Send + 'static,
    {
        Self::listening(script, None)
    }

    /// The same with TLS.
    pub fn with_tls<F>(
        acceptor: tokio_rustls::TlsAcceptor,
        script: impl Fn(Request<Incoming>) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Answer> + Send + 'static,
    {
        Self::listening(script, Some(acceptor))
    }

    fn listening<F>(
        script: impl Fn(Request<Incoming>) -> F + Send + Sync + 'static,
        tls: Option<tokio_rustls::TlsAcceptor>,
    ) -> Self
    where
        F: Future<Output = Answer> + Send + 'static,
    {
        let script: Script = Arc::new(move |request| Box::pin(script(request)));
        let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let told = Arc::clone(&seen);
        Self::new(seen, move |tcp| {
            let (script, seen, tls) = (Arc::clone(&script), Arc::clone(&told), tls.clone());
            async move {
                match tls {
                    None => speak(TokioIo::new(tcp), script, seen).await,
                    Some(tls) => {
                        if let Ok(stream) = tls.accept(tcp).await {
                            speak(TokioIo::new(stream), script, seen).await;
                        }
                    }
                }
            }
        })
    }

    /// Answers everything with 200 and `ok`.
    pub fn ok() -> Self {
        Self::scripted(|_| async { full(200, "ok") })
    }

    /// Does with each connection what `play` says.
    pub fn raw<F>(play: impl Fn(TcpStream) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        Self::new(Arc::default(), play)
    }

    fn new<F>(seen: Arc<Mutex<Vec<Seen>>>, play: impl Fn(TcpStream) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let play: Play = Arc::new(move |tcp| Box::pin(play(tcp)));
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let stop = tokio_util::sync::CancellationToken::new();
        let connections: Arc<AtomicUsize> = Arc::default();
        let (stopped, counted) = (stop.clone(), Arc::clone(&connections));
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let listener = TcpListener::from_std(listener).unwrap();
                loop {
                    tokio::select! {
                        accepted = listener.accept() => {
                            counted.fetch_add(1, Ordering::SeqCst);
                            tokio::spawn(play(accepted.unwrap().0));
                        }
                        () = stopped.cancelled() => break,
                    }
                }
            });
        });
        Self { address, seen, connections, stop, thread: Some(thread) }
    }

    /// The requests so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// How many connections were made to it so far.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

impl Server {
    /// Is gone, with all its connections.
    pub fn stop(&mut self) {
        self.stop.cancel();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

async fn speak<I>(io: I, script: Script, seen: Arc<Mutex<Vec<Seen>>>)
where
    I: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
{
    let service = service_fn(move |request: Request<Incoming>| {
        seen.lock().unwrap().push(Seen {
            method: request.method().to_string(),
            target: request.uri().to_string(),
            headers: request.headers().clone(),
        });
        let answer = script(request);
        async move { Ok::<_, std::convert::Infallible>(answer.await) }
    });
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(io, service).with_upgrades().await;
}
