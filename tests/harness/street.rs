//! The street door with a handler of a test's own, and no gate behind it.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::header::{HeaderValue, UPGRADE};
use http::{Method, Request, Response, StatusCode};
use hyper::upgrade::OnUpgrade;
use trackgate::access::decide::{Requirement, decide};
use trackgate::forward::{self, Tunnels, forward};
use trackgate::message::{self, Body, Payload, Peer};
use trackgate::policy::path::Path;
use trackgate::policy::route::Verb;
use trackgate::serve::{self, Addresses, Handler, Limits, Running, Settings};
use trackgate::upstream::{self, Target, Upstream};

/// A running street; it is closed when it is dropped.
pub struct Street {
    pub tunnels: Tunnels,
    handled: Arc<AtomicUsize>,
    running: Option<Running>,
}

impl Street {
    /// Opens the doors before `handler`.
    pub fn open<F>(
        settings: Settings,
        handler: impl Fn(Peer, Request<Body>) -> F + Clone + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Response<Body>> + Send + 'static,
    {
        let handled: Arc<AtomicUsize> = Arc::default();
        let count = Arc::clone(&handled);
        let tunnels = Tunnels::default();
        let make = move || Scripted {
            script: {
                let handler = handler.clone();
                Box::new(move |peer, request| Box::pin(handler(peer, request)))
            },
            handled: Arc::clone(&count),
        };
        let running = serve::start(settings, &tunnels, make).unwrap();
        Self { tunnels, handled, running: Some(running) }
    }

    /// Everything is forwarded to `target`, unjudged.
    pub fn before(target: SocketAddr, limits: Limits) -> Self {
        let upstream = upstream::Settings { target: http(target), ..upstream::Settings::default() };
        Self::passing(Settings { limits, ..plain() }, &upstream, |_| {})
    }

    /// Everything is forwarded, with these settings.
    pub fn passing(
        settings: Settings,
        upstream: &upstream::Settings,
        adjust: impl FnOnce(&mut forward::Settings),
    ) -> Self {
        let handled: Arc<AtomicUsize> = Arc::default();
        let count = Arc::clone(&handled);
        let tunnels = Tunnels::default();
        let mut forward = forward::Settings::new(HeaderValue::from_static("mlflow.example.com"));
        forward.tunnels = tunnels.clone();
        forward.first_byte = upstream.first_byte_timeout;
        adjust(&mut forward);
        let upstream = Upstream::new(upstream).unwrap();
        let make =
            move || Passer { upstream: upstream.for_worker(), settings: forward.clone(), handled: Arc::clone(&count) };
        let running = serve::start(settings, &tunnels, make).unwrap();
        Self { tunnels, handled, running: Some(running) }
    }

    pub fn running(&self) -> &Running {
        self.running.as_ref().unwrap()
    }

    pub fn addresses(&self) -> &Addresses {
        self.running().addresses()
    }

    pub fn plain(&self) -> SocketAddr {
        self.addresses().plain.unwrap()
    }

    pub fn https(&self) -> SocketAddr {
        self.addresses().https.unwrap()
    }

    /// How many requests the handler saw.
    pub fn handled(&self) -> usize {
        self.handled.load(Ordering::SeqCst)
    }

    /// Waits for the end of a drain; says whether all exchanges ended by themselves.
    pub async fn closed(mut self) -> bool {
        let running = self.running.take().unwrap();
        super::soon("the end of the drain", tokio::task::spawn_blocking(move || running.wait())).await.unwrap().unwrap()
    }
}

impl Drop for Street {
    fn drop(&mut self) {
        if let Some(running) = &self.running {
            running.drain();
        }
    }
}

/// A plain listener and one worker.
pub fn plain() -> Settings {
    Settings { plain: Some("127.0.0.1:0".parse().unwrap()), workers: 1, ..Settings::default() }
}

pub fn http(address: SocketAddr) -> Target {
    Target::Http { host: address.ip().to_string(), port: address.port() }
}

pub fn text(status: u16, text: &str) -> Response<Body> {
    Response::builder().status(status).body(Body::from(text.as_bytes().to_vec())).unwrap()
}

type Script = Box<dyn Fn(Peer, Request<Body>) -> Pin<Box<dyn Future<Output = Response<Body>> + Send>> + Send + Sync>;

struct Scripted {
    script: Script,
    handled: Arc<AtomicUsize>,
}

impl Handler for Scripted {
    async fn handle(&self, peer: Peer, request: Request<Body>) -> Response<Body> {
        self.handled.fetch_add(1, Ordering::SeqCst);
        (self.script)(peer, request).await
    }
}

struct Passer {
    upstream: Upstream,
    settings: forward::Settings,
    handled: Arc<AtomicUsize>,
}

impl Handler for Passer {
    async fn handle(&self, peer: Peer, request: Request<Body>) -> Response<Body> {
        self.handled.fetch_add(1, Ordering::SeqCst);
        let (mut parts, body) = request.into_parts();
        let wished = parts.headers.get(UPGRADE).is_some_and(|wish| wish == "websocket");
        let upgrade = parts.extensions.remove::<OnUpgrade>().filter(|_| wished);
        let verb = match parts.method {
            Method::GET | Method::HEAD => Verb::Get,
            Method::POST => Verb::Post,
            Method::PUT => Verb::Put,
            Method::DELETE => Verb::Delete,
            _ => Verb::Patch,
        };
        let request = message::Request {
            workspace: None,
            id: Arc::from("test-request"),
            verb,
            head_only: parts.method == Method::HEAD,
            looked_over: false,
            path: Path::parse(parts.uri.path()).unwrap(),
            query: parts.uri.query().map(str::to_owned),
            headers: parts.headers,
            payload: Payload::Stream(body),
            peer,
        };
        let permitted = decide(None, &[Requirement::Nothing], request).unwrap();
        match forward(permitted, upgrade, &self.upstream, &self.settings).await {
            Ok(answer) => answer,
            Err(error) => {
                let status: StatusCode = error.status();
                text(status.as_u16(), &error.to_string())
            }
        }
    }
}
