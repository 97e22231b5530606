//! An OpenID Connect issuer that can lie.
//!
//! It answers on a loopback address, from a thread of its own. It is honest until a test tells it otherwise: [`Issuer::lie`]
//! changes one endpoint, [`Issuer::change_claims`] the ID tokens, [`Issuer::rotate`] the keys. It counts what it is
//! asked. For the tests of `authenticate` and of the running proxy.

#![allow(dead_code, reason = "each test program uses its own part")]
#![allow(clippy::unwrap_used, clippy::missing_panics_doc, reason = "a test may panic")]

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, LOCATION};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use url::{Url, form_urlencoded};

use super::forge::{Forge, merge};

/// Our name at this issuer, and our secret.
pub(crate) const CLIENT: &str = "trackgate-test";
pub(crate) const SECRET: &str = "se:cret %+";

/// The endpoints that can lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Endpoint {
    Discovery,
    Keys,
    Authorize,
    Token,
    EndSession,
    Elsewhere,
}

/// What an endpoint does instead of its work.
#[derive(Debug, Clone)]
pub(crate) enum Lie {
    /// A status and a body.
    Says(u16, String),
    /// A redirect.
    SendsTo(String),
    /// Nothing, for so long; then the truth.
    Waits(Duration),
    /// So many bytes of a JSON document that never ends.
    Floods(usize),
}

struct Pending {
    client: String,
    redirect: String,
    challenge: String,
    nonce: Option<String>,
}

struct State {
    forges: Vec<Arc<Forge>>,
    discovery: Value,
    claims: Value,
    header: Value,
    /// Members of the answer of the token endpoint, laid over the honest ones.
    token_answer: Value,
    lies: HashMap<Endpoint, Lie>,
    asked: HashMap<Endpoint, usize>,
    codes: HashMap<String, Pending>,
    /// Whether `iss` stands in the authorization response, and which.
    names_itself: Option<String>,
    now: Option<u64>,
    /// What must be shown to see the keys.
    guard: Option<String>,
}

/// A running issuer; it ends when it is dropped.
pub(crate) struct Issuer {
    /// Its identifier.
    pub(crate) url: String,
    state: Arc<Mutex<State>>,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
}

impl Issuer {
    /// Starts one with one RSA key, or the given keys.
    pub(crate) fn start(forges: Vec<Arc<Forge>>) -> Self {
        let socket = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        socket.set_nonblocking(true).unwrap();
        let url = format!("http://{}", socket.local_addr().unwrap());
        let state = Arc::new(Mutex::new(State {
            forges,
            discovery: discovery(&url),
            claims: json!({"sub": "248289761001", "email": "alice@example.com", "email_verified": true}),
            header: json!({}),
            token_answer: json!({}),
            lies: HashMap::new(),
            asked: HashMap::new(),
            codes: HashMap::new(),
            names_itself: Some(url.clone()),
            now: None,
            guard: None,
        }));
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let own = (url.clone(), Arc::clone(&state));
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(serve(socket, own.0, own.1, stopped));
        });
        Self { url, state, stop: Some(stop) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Makes an endpoint lie.
    pub(crate) fn lie(&self, at: Endpoint, lie: Lie) {
        self.state().lies.insert(at, lie);
    }

    /// Makes it honest again.
    pub(crate) fn repent(&self, at: Endpoint) {
        self.state().lies.remove(&at);
    }

    /// How often an endpoint was asked.
    pub(crate) fn asked(&self, at: Endpoint) -> usize {
        self.state().asked.get(&at).copied().unwrap_or_default()
    }

    /// Replaces the keys.
    pub(crate) fn rotate(&self, forges: Vec<Arc<Forge>>) {
        self.state().forges = forges;
    }

    /// Lays members over the discovery document; `null` takes one away.
    pub(crate) fn change_discovery(&self, change: &Value) {
        merge(&mut self.state().discovery, change);
    }

    /// Lays members over the claims of ID tokens; `null` takes one away.
    pub(crate) fn change_claims(&self, change: &Value) {
        for (name, value) in change.as_object().unwrap() {
            self.state().claims[name] = value.clone();
        }
    }

    /// Lays members over the header of ID tokens.
    pub(crate) fn change_header(&self, change: &Value) {
        self.state().header = change.clone();
    }

    /// Lays members over the answer of the token endpoint; `null` takes one away.
    pub(crate) fn change_token_answer(&self, change: &Value) {
        self.state().token_answer = change.clone();
    }

    /// What it calls itself in the authorization response (RFC 9207); `None`: nothing.
    pub(crate) fn call_itself(&self, name: Option<&str>) {
        self.state().names_itself = name.map(str::to_owned);
    }

    /// Shows its keys to nobody but who shows this bearer token.
    pub(crate) fn guard_keys(&self, token: &str) {
        self.state().guard = Some(format!("Bearer {token}"));
    }

    /// Stands its clock still.
    pub(crate) fn set_clock(&self, seconds: u64) {
        self.state().now = Some(seconds);
    }

    /// An ID token for a bearer audience, with members laid over the usual ones.
    pub(crate) fn bearer(&self, audience: &str, change: &Value) -> String {
        let state = self.state();
        let mut claims = state.claims_for(&self.url, audience, None);
        merge(&mut claims, change);
        state.forges[0].sign_with(&state.header, &claims)
    }

    /// What a browser does that is sent to the authorization endpoint and whose user agrees: gives the address that it
    /// is sent back to.
    pub(crate) fn agree(&self, address: &str) -> String {
        let address = Url::parse(address).unwrap();
        self.state().authorize(address.query().unwrap_or_default()).unwrap()
    }
}

impl Drop for Issuer {
    fn drop(&mut self) {
        drop(self.stop.take());
    }
}

impl State {
    fn now(&self) -> u64 {
        self.now.unwrap_or_else(|| SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs())
    }

    fn claims_for(&self, issuer: &str, audience: &str, nonce: Option<&str>) -> Value {
        let now = self.now();
        let mut claims = json!({"iss": issuer, "aud": audience, "iat": now, "exp": now + 3600});
        if let Some(nonce) = nonce {
            claims["nonce"] = nonce.into();
        }
        merge(&mut claims, &self.claims);
        claims
    }

    fn authorize(&mut self, query: &str) -> Result<String, String> {
        let parameters: HashMap<String, String> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        let need = |name: &str| parameters.get(name).cloned().ok_or_else(|| format!("{name} is missing"));
        if need("response_type")? != "code" || need("code_challenge_method")? != "S256" {
            return Err("only code with S256".to_owned());
        }
        if !need("scope")?.split(' ').any(|scope| scope == "openid") {
            return Err("no openid scope".to_owned());
        }
        let mut random = [0; 16];
        aws_lc_rs::rand::fill(&mut random).unwrap();
        let code = URL_SAFE_NO_PAD.encode(random);
        let redirect = need("redirect_uri")?;
        let mut back = Url::parse(&redirect).map_err(|fault| fault.to_string())?;
        back.query_pairs_mut().append_pair("code", &code).append_pair("state", &need("state")?);
        if let Some(name) = &self.names_itself {
            back.query_pairs_mut().append_pair("iss", name);
        }
        let pending = Pending {
            client: need("client_id")?,
            redirect,
            challenge: need("code_challenge")?,
            nonce: parameters.get("nonce").cloned(),
        };
        self.codes.insert(code, pending);
        Ok(back.into())
    }

    /// RFC 6749 section 4.1.3, RFC 7636 section 4.6: each code once, for who asked for it.
    fn token(&mut self, issuer: &str, authorization: Option<&str>, body: &[u8]) -> (StatusCode, Value) {
        let parameters: HashMap<String, String> = form_urlencoded::parse(body).into_owned().collect();
        let get = |name: &str| parameters.get(name).map(String::as_str).unwrap_or_default();
        let refused = |why: &str| (StatusCode::BAD_REQUEST, json!({ "error": why }));
        if authorization != Some(&basic()) {
            return (StatusCode::UNAUTHORIZED, json!({"error": "invalid_client"}));
        }
        let Some(pending) = self.codes.remove(get("code")) else { return refused("invalid_grant") };
        let challenge = URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, get("code_verifier").as_bytes()));
        if get("grant_type") != "authorization_code"
            || get("redirect_uri") != pending.redirect
            || challenge != pending.challenge
            || pending.client != CLIENT
        {
            return refused("invalid_grant");
        }
        let claims = self.claims_for(issuer, CLIENT, pending.nonce.as_deref());
        let token = self.forges[0].sign_with(&self.header, &claims);
        let mut answer =
            json!({"access_token": "opaque", "token_type": "Bearer", "expires_in": 3600, "id_token": token});
        merge(&mut answer, &self.token_answer);
        (StatusCode::OK, answer)
    }
}

/// RFC 6749 section 2.3.1: both parts are form-encoded before they become Basic credentials.
fn basic() -> String {
    let encode = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    format!("Basic {}", STANDARD.encode(format!("{}:{}", encode(CLIENT), encode(SECRET))))
}

fn discovery(url: &str) -> Value {
    json!({
        "issuer": url,
        "jwks_uri": format!("{url}/keys"),
        "authorization_endpoint": format!("{url}/authorize"),
        "token_endpoint": format!("{url}/token"),
        "end_session_endpoint": format!("{url}/end-session"),
        "authorization_response_iss_parameter_supported": true,
        "response_types_supported": ["code"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256", "ES256"],
    })
}

async fn serve(
    socket: std::net::TcpListener,
    url: String,
    state: Arc<Mutex<State>>,
    mut stopped: tokio::sync::oneshot::Receiver<()>,
) {
    let socket = tokio::net::TcpListener::from_std(socket).unwrap();
    loop {
        let stream = tokio::select! {
            accepted = socket.accept() => accepted.unwrap().0,
            _ = &mut stopped => return,
        };
        let (url, state) = (url.clone(), Arc::clone(&state));
        tokio::spawn(async move {
            let service = hyper::service::service_fn(move |request| {
                let (url, state) = (url.clone(), Arc::clone(&state));
                async move { Ok::<_, Infallible>(answer(&url, &state, request).await) }
            });
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn answer(url: &str, state: &Mutex<State>, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let at = match request.uri().path() {
        "/.well-known/openid-configuration" => Endpoint::Discovery,
        "/keys" => Endpoint::Keys,
        "/authorize" => Endpoint::Authorize,
        "/token" => Endpoint::Token,
        "/end-session" => Endpoint::EndSession,
        _ => Endpoint::Elsewhere,
    };
    let lie = {
        let mut state = state.lock().unwrap();
        *state.asked.entry(at).or_default() += 1;
        state.lies.get(&at).cloned()
    };
    match lie {
        None => {}
        Some(Lie::Waits(time)) => tokio::time::sleep(time).await,
        Some(Lie::Says(status, body)) => return reply(StatusCode::from_u16(status).unwrap(), body.into()),
        Some(Lie::SendsTo(place)) => return redirect(&place),
        Some(Lie::Floods(bytes)) => {
            let mut body = b"{\"keys\":[\"".to_vec();
            body.resize(bytes, b'x');
            return reply(StatusCode::OK, body.into());
        }
    }
    let query = request.uri().query().unwrap_or_default().to_owned();
    let authorization = request.headers().get(AUTHORIZATION).and_then(|v| v.to_str().ok()).map(str::to_owned);
    let accept = request.headers().get(ACCEPT).and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned();
    let body = request.into_body().collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let mut state = state.lock().unwrap();
    match at {
        Endpoint::Discovery => reply(StatusCode::OK, state.discovery.to_string().into()),
        Endpoint::Keys if state.guard.is_some() && state.guard != authorization => {
            reply(StatusCode::UNAUTHORIZED, Bytes::new())
        }
        // As Kubernetes' API server does.
        Endpoint::Keys if !accept.split(',').any(|one| one.trim() == "application/jwk-set+json") => {
            reply(StatusCode::NOT_ACCEPTABLE, Bytes::new())
        }
        Endpoint::Keys => {
            let keys: Vec<Value> = state.forges.iter().map(|forge| forge.jwk()).collect();
            reply(StatusCode::OK, json!({ "keys": keys }).to_string().into())
        }
        Endpoint::Authorize => match state.authorize(&query) {
            Ok(back) => redirect(&back),
            Err(why) => reply(StatusCode::BAD_REQUEST, why.into()),
        },
        Endpoint::Token => {
            let (status, answer) = state.token(url, authorization.as_deref(), &body);
            reply(status, answer.to_string().into())
        }
        Endpoint::EndSession => {
            let back = form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "post_logout_redirect_uri");
            back.map_or_else(|| reply(StatusCode::OK, Bytes::new()), |(_, back)| redirect(&back))
        }
        Endpoint::Elsewhere => reply(StatusCode::NOT_FOUND, Bytes::new()),
    }
}

fn reply(status: StatusCode, body: Bytes) -> Response<Full<Bytes>> {
    Response::builder().status(status).header(CONTENT_TYPE, "application/json").body(Full::new(body)).unwrap()
}

fn redirect(to: &str) -> Response<Full<Bytes>> {
    Response::builder().status(StatusCode::FOUND).header(LOCATION, to).body(Full::default()).unwrap()
}

/// Where an issuer listened that is gone: nothing answers there.
pub(crate) fn nobody() -> SocketAddr {
    let socket = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    socket.local_addr().unwrap()
}
