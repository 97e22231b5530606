//! `trackgate connect`: the agent before a server that looks at what it is shown.

mod command;
mod guarded;
mod logins;
mod refused;
mod sources;
mod training;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use serde_json::{Value, json};
use trackgate::clock::Clock;
use trackgate::connect::source::{Asking, Credential, Source, SourceFault};
use trackgate::connect::{Agent, Settings};
use zeroize::Zeroizing;

use crate::harness::client::{Client, Payload, payload};
use crate::harness::server::{Answer, Server, full};
use crate::harness::soon;

pub(crate) const HOUR: Duration = Duration::from_hours(1);

/// A JWT that ends; nobody signed it.
pub(crate) fn token(number: u64, made: u64, life: u64) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let claims = json!({"iat": made, "exp": made + life, "jti": number});
    format!("{}.{}.{}", part(&json!({"alg": "RS256"})), part(&claims), URL_SAFE_NO_PAD.encode([7; 256]))
}

/// What a token says of itself.
pub(crate) fn claims(field: Option<&http::HeaderValue>) -> Option<Value> {
    let token = field?.to_str().ok()?.strip_prefix("Bearer ")?;
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?).ok()
}

/// A source that gives tokens of an hour by a clock of the test's, and does what the test says.
#[derive(Clone)]
pub(crate) struct Mint(Arc<Minting>);

pub(crate) struct Minting {
    clock: Clock,
    pub(crate) life: AtomicU64,
    pub(crate) made: AtomicU64,
    pub(crate) asked: AtomicU64,
    pub(crate) fails: AtomicBool,
    pub(crate) lasting: AtomicBool,
    pub(crate) hangs: AtomicBool,
    /// The same token again and again.
    pub(crate) repeats: AtomicBool,
}

impl std::ops::Deref for Mint {
    type Target = Minting;

    fn deref(&self) -> &Minting {
        &self.0
    }
}

impl Mint {
    pub(crate) fn by(clock: &Clock) -> Self {
        Self(Arc::new(Minting {
            clock: clock.clone(),
            life: AtomicU64::new(3600),
            made: AtomicU64::new(0),
            asked: AtomicU64::new(0),
            fails: AtomicBool::new(false),
            lasting: AtomicBool::new(false),
            hangs: AtomicBool::new(false),
            repeats: AtomicBool::new(false),
        }))
    }

    pub(crate) fn asked(&self) -> u64 {
        self.asked.load(Ordering::SeqCst)
    }

    pub(crate) fn made(&self) -> u64 {
        self.made.load(Ordering::SeqCst)
    }

    async fn mint(&self) -> Result<Credential, SourceFault> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        if self.hangs.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        if self.fails.load(Ordering::SeqCst) {
            return Err(SourceFault::passing("the source is away".to_owned()));
        }
        if self.lasting.load(Ordering::SeqCst) {
            return Err(SourceFault::lasting("the login has ended".to_owned(), "run `trackgate login`"));
        }
        let number = if self.repeats.load(Ordering::SeqCst) {
            self.made().max(1)
        } else {
            self.made.fetch_add(1, Ordering::SeqCst) + 1
        };
        let made = if self.repeats.load(Ordering::SeqCst) { 1_790_000_000 } else { self.clock.seconds() };
        Ok(Credential::read(Zeroizing::new(token(number, made, self.life.load(Ordering::SeqCst)))).unwrap())
    }
}

impl Source for Mint {
    fn describe(&self) -> String {
        "the test's mint".to_owned()
    }

    fn fresh<'a>(&'a self, _: Option<&'a Credential>) -> Asking<'a> {
        Box::pin(self.mint())
    }
}

/// What the server was told: target, fields, size of the body.
#[derive(Debug, Clone)]
pub(crate) struct Heard {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) headers: HeaderMap,
    pub(crate) size: usize,
}

/// A server that refuses tokens that have ended by its own clock, or that it was told to refuse.
pub(crate) struct Gatekeeper {
    pub(crate) server: Server,
    pub(crate) heard: Arc<Mutex<Vec<Heard>>>,
    pub(crate) refused: Arc<AtomicU64>,
    /// Tokens up to this number are refused.
    pub(crate) revoked: Arc<AtomicU64>,
}

/// A moment as HTTP writes it (RFC 9110 section 5.6.7).
fn date(seconds: u64) -> String {
    let time = time::OffsetDateTime::from(UNIX_EPOCH + Duration::from_secs(seconds));
    let text = time.format(&time::format_description::well_known::Rfc2822).unwrap();
    text.replace("+0000", "GMT")
}

impl Gatekeeper {
    pub(crate) fn by(clock: &Clock) -> Self {
        let (heard, refused, revoked): (Arc<Mutex<Vec<Heard>>>, Arc<AtomicU64>, Arc<AtomicU64>) = Default::default();
        let (hears, refuses, revokes, clock) =
            (Arc::clone(&heard), Arc::clone(&refused), Arc::clone(&revoked), clock.clone());
        let server = Server::scripted(move |request: Request<Incoming>| {
            let (hears, refuses, revokes, clock) =
                (Arc::clone(&hears), Arc::clone(&refuses), Arc::clone(&revokes), clock.clone());
            async move {
                let now = clock.seconds();
                let good = claims(request.headers().get("authorization")).is_some_and(|claims| {
                    claims["exp"].as_u64().unwrap() > now
                        && claims["jti"].as_u64().unwrap() > revokes.load(Ordering::SeqCst)
                });
                let (head, body) = request.into_parts();
                let size = body.collect().await.map_or(0, |body| body.to_bytes().len());
                hears.lock().unwrap().push(Heard {
                    method: head.method.to_string(),
                    target: head.uri.to_string(),
                    headers: head.headers,
                    size,
                });
                let mut answer = if good {
                    full(200, "{\"ok\":true}")
                } else {
                    refuses.fetch_add(1, Ordering::SeqCst);
                    full(401, "{\"error_code\":\"UNAUTHENTICATED\",\"message\":\"the token has ended\"}")
                };
                answer.headers_mut().insert("date", date(now).parse().unwrap());
                answer
            }
        });
        Self { server, heard, refused, revoked }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.server.address)
    }

    pub(crate) fn refused(&self) -> u64 {
        self.refused.load(Ordering::SeqCst)
    }

    pub(crate) fn heard(&self) -> Vec<Heard> {
        self.heard.lock().unwrap().clone()
    }
}

/// A running agent; it ends when it is dropped.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) uri: String,
    pub(crate) said: Arc<Mutex<Vec<String>>>,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
}

impl Running {
    pub(crate) async fn before(url: &str, change: impl FnOnce(&mut Settings)) -> Self {
        trackgate::cli::install_crypto();
        let said: Arc<Mutex<Vec<String>>> = Arc::default();
        let says = Arc::clone(&said);
        let say = Arc::new(move |text: &str| says.lock().unwrap().push(text.to_owned()));
        let mut settings = Settings::new(url.parse().unwrap(), "127.0.0.1:0".parse().unwrap(), say);
        settings.patience = Duration::ZERO;
        change(&mut settings);
        let agent = Agent::open(settings).await.unwrap();
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let (address, uri) = (agent.address(), agent.uri());
        tokio::spawn(agent.run(async {
            let _ = stopped.await;
        }));
        Self { address, uri, said, stop: Some(stop) }
    }

    pub(crate) async fn client(&self) -> Client {
        Client::http1(self.address).await
    }

    pub(crate) fn request(&self, method: &str, target: &str, body: Payload) -> Request<Payload> {
        Request::builder().method(method).uri(target).header("host", self.address.to_string()).body(body).unwrap()
    }

    pub(crate) async fn send(&self, request: Request<Payload>) -> Told {
        Told::of(self.client().await.send(request).await).await
    }

    pub(crate) async fn get(&self, target: &str) -> Told {
        self.send(self.request("GET", target, payload(""))).await
    }

    pub(crate) fn said(&self) -> String {
        self.said.lock().unwrap().join("\n")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.stop.take());
    }
}

/// An answer, read whole.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Told {
    pub(crate) async fn of(answer: Response<Incoming>) -> Self {
        let (head, body) = answer.into_parts();
        let body = soon("a body", body.collect()).await.unwrap().to_bytes();
        Self { status: head.status.as_u16(), headers: head.headers, body }
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// MLflow's error code.
    pub(crate) fn code(&self) -> String {
        let value: Value = serde_json::from_slice(&self.body).unwrap_or_default();
        value["error_code"].as_str().unwrap_or_default().to_owned()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

/// A clock that stands at a time of day like any other.
pub(crate) fn clock() -> Clock {
    Clock::set_to(UNIX_EPOCH + Duration::from_secs(1_790_000_000))
}

pub(crate) fn boxed(source: &Mint) -> Box<dyn Source> {
    Box::new(source.clone())
}

pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// A form, read.
pub(crate) fn form(body: &[u8]) -> HashMap<String, String> {
    url::form_urlencoded::parse(body).into_owned().collect()
}

pub(crate) fn json_answer(status: u16, value: &Value) -> Answer {
    full(status, value.to_string())
}
