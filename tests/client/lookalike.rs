//! A server that speaks the protocol of `trackgate login` as a Trackgate does, and can be told to misbehave.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::Request;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use serde_json::{Value, json};
use url::form_urlencoded;

use crate::harness::server::{Answer, Server, full};

/// How it behaves.
pub struct Manner {
    /// How long an access token lasts.
    pub expires_in: u64,
    /// Whether it gives refresh tokens.
    pub renews: bool,
    /// Whether it accepts a refresh token that was used a moment ago.
    pub grace: bool,
    /// How many more times it refuses whoever asks who they are.
    pub refusals: usize,
    /// What it answers at the token endpoint instead.
    pub broken: Option<(u16, &'static str, String)>,
    /// What it answers to whoever looks for its metadata instead.
    pub metadata: Option<(u16, &'static str, String)>,
    /// How many times somebody who polls is told to wait.
    pub pending: usize,
    /// Whether the person says no.
    pub declines: bool,
    /// How long a renewal takes.
    pub slow: std::time::Duration,
}

impl Default for Manner {
    fn default() -> Self {
        let slow = std::time::Duration::ZERO;
        let (broken, metadata) = (None, None);
        Self {
            expires_in: 3600,
            renews: true,
            grace: true,
            refusals: 0,
            broken,
            metadata,
            pending: 1,
            declines: false,
            slow,
        }
    }
}

#[derive(Default)]
pub struct State {
    pub manner: Manner,
    /// What it calls itself.
    pub issuer: String,
    made: usize,
    /// Access tokens that count, and the login that each is of.
    access: HashMap<String, usize>,
    logins: Vec<Login>,
    /// Codes of browsers: the challenge and where each was sent.
    codes: HashMap<String, (String, String)>,
    /// How often each device has asked.
    devices: HashMap<String, usize>,
    /// What was asked at the token endpoint, and at others.
    pub forms: Vec<(String, HashMap<String, String>)>,
}

#[derive(Default)]
struct Login {
    current: String,
    before: Option<String>,
    ended: bool,
}

impl State {
    /// How many times this was asked for.
    pub fn count(&self, grant: &str) -> usize {
        self.forms.iter().filter(|(_, form)| form.get("grant_type").is_some_and(|given| given == grant)).count()
    }

    /// What was revoked.
    pub fn revoked(&self) -> Vec<String> {
        let revoked = self.forms.iter().filter(|(path, _)| path.ends_with("/revoke"));
        revoked.map(|(_, form)| form["token"].clone()).collect()
    }

    /// Lets no token in that was given so far; they can be renewed.
    pub fn forget_access(&mut self) {
        self.access.clear();
    }

    fn secret(&mut self, beginning: &'static str) -> String {
        self.made += 1;
        if beginning.starts_with("tg") {
            return trackgate::token_form::make(beginning).unwrap().to_string();
        }
        format!("{beginning}{:032}", self.made)
    }

    fn give(&mut self, login: usize) -> Answer {
        let access = self.secret("tgl_");
        self.access.insert(access.clone(), login);
        let mut tokens = json!({
            "access_token": access, "token_type": "Bearer", "expires_in": self.manner.expires_in,
            "user": "alice@example.com",
        });
        if self.manner.renews {
            tokens["refresh_token"] = json!(self.logins[login].current);
            tokens["refresh_expires_in"] = json!(7_776_000);
        }
        full(200, tokens.to_string())
    }

    fn begin(&mut self) -> Answer {
        let current = self.secret("tgr_");
        self.logins.push(Login { current, ..Login::default() });
        self.give(self.logins.len() - 1)
    }

    fn renew(&mut self, token: &str) -> Answer {
        let gone = || no("invalid_grant");
        let grace = self.manner.grace;
        let found =
            self.logins.iter().position(|login| login.current == token || login.before.as_deref() == Some(token));
        let Some(login) = found.filter(|login| !self.logins[*login].ended) else { return gone() };
        if self.logins[login].current == token {
            let next = self.secret("tgr_");
            let before = std::mem::replace(&mut self.logins[login].current, next);
            self.logins[login].before = Some(before);
        } else if !grace {
            // RFC 9700 section 4.14.2: used twice, stolen once.
            self.logins[login].ended = true;
            self.access.retain(|_, of| *of != login);
            return gone();
        }
        self.give(login)
    }

    fn revoke(&mut self, token: &str) {
        let of = self.access.get(token).copied();
        let found =
            self.logins.iter().position(|login| login.current == token || login.before.as_deref() == Some(token));
        if let Some(login) = of.or(found) {
            self.logins[login].ended = true;
            self.access.retain(|_, of| *of != login);
        }
    }
}

/// The server. It ends when it is dropped.
pub struct Lookalike {
    pub server: Server,
    state: Arc<Mutex<State>>,
    /// Its address.
    pub url: String,
}

impl Lookalike {
    pub fn new() -> Self {
        Self::with(Server::scripted, "http")
    }

    pub fn with_tls(acceptor: tokio_rustls::TlsAcceptor) -> Self {
        let state: Arc<Mutex<State>> = Arc::default();
        let told = Arc::clone(&state);
        let server = Server::with_tls(acceptor, move |request| answer(request, Arc::clone(&told)));
        Self::named(server, state, "https")
    }

    fn with<F>(make: F, scheme: &str) -> Self
    where
        F: FnOnce(Script) -> Server,
    {
        let state: Arc<Mutex<State>> = Arc::default();
        let told = Arc::clone(&state);
        let server = make(Box::new(move |request| Box::pin(answer(request, Arc::clone(&told)))));
        Self::named(server, state, scheme)
    }

    fn named(server: Server, state: Arc<Mutex<State>>, scheme: &str) -> Self {
        let host = if scheme == "https" { "localhost".to_owned() } else { server.address.ip().to_string() };
        let url = format!("{scheme}://{host}:{}", server.address.port());
        state.lock().unwrap().issuer.clone_from(&url);
        Self { server, state, url }
    }

    /// The same under another name.
    pub fn called(mut self, name: &str) -> Self {
        self.url = self.url.replacen("localhost", name, 1);
        self.state().issuer.clone_from(&self.url);
        self
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

type Script = Box<dyn Fn(Request<Incoming>) -> std::pin::Pin<Box<dyn Future<Output = Answer> + Send>> + Send + Sync>;

fn no(error: &str) -> Answer {
    full(400, json!({ "error": error, "error_description": format!("the look-alike says {error}") }).to_string())
}

fn leading(status: u16, to: &str) -> Answer {
    let mut answer = full(status, "");
    answer.headers_mut().insert("location", to.parse().unwrap());
    answer
}

async fn answer(request: Request<Incoming>, state: Arc<Mutex<State>>) -> Answer {
    let (head, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let bearer = head.headers.get("authorization").and_then(|field| field.to_str().ok()?.strip_prefix("Bearer "));
    let read = |text: &[u8]| form_urlencoded::parse(text).into_owned().collect::<HashMap<_, _>>();
    let (query, form) = (read(head.uri.query().unwrap_or_default().as_bytes()), read(&body));
    let path = head.uri.path().to_owned();
    let slow = {
        let mut state = state.lock().unwrap();
        if !form.is_empty() {
            assert_eq!(form["client_id"], "trackgate-cli");
            state.forms.push((path.clone(), form.clone()));
        }
        state.manner.slow
    };
    if path.ends_with("/token") {
        tokio::time::sleep(slow).await;
    }
    let mut state = state.lock().unwrap();
    let issuer = state.issuer.clone();
    match path.as_str() {
        "/.well-known/oauth-authorization-server" => match &state.manner.metadata {
            Some((status @ 300..400, _, to)) => leading(*status, to),
            Some((status, _, text)) => full(*status, text.clone()),
            None => full(200, metadata(&issuer).to_string()),
        },
        "/trackgate/oauth/authorize" => {
            assert_eq!((&*query["response_type"], &*query["code_challenge_method"]), ("code", "S256"));
            assert!(query["redirect_uri"].starts_with("http://127.0.0.1:"));
            let code = state.secret("code_");
            state.codes.insert(code.clone(), (query["code_challenge"].clone(), query["redirect_uri"].clone()));
            let mut to = url::Url::parse(&query["redirect_uri"]).unwrap();
            to.query_pairs_mut()
                .append_pair("code", &code)
                .append_pair("state", &query["state"])
                .append_pair("iss", &issuer);
            leading(302, to.as_str())
        }
        "/trackgate/oauth/device_authorization" => {
            let device = state.secret("device_");
            state.devices.insert(device.clone(), 0);
            let page = format!("{issuer}/trackgate/device");
            full(
                200,
                json!({
                    "device_code": device, "user_code": "BCDF-GHJK", "verification_uri": page,
                    "verification_uri_complete": format!("{page}?user_code=BCDF-GHJK"), "expires_in": 600, "interval": 0,
                })
                .to_string(),
            )
        }
        "/trackgate/oauth/token" => match &state.manner.broken {
            Some((status @ 300..400, _, to)) => leading(*status, to),
            Some((status, _, text)) => full(*status, text.clone()),
            None => tokens(&mut state, &form),
        },
        "/trackgate/oauth/revoke" => {
            state.revoke(&form["token"]);
            full(200, "")
        }
        "/trackgate/whoami" => {
            let counts = bearer.is_some_and(|token| state.access.contains_key(token));
            if state.manner.refusals > 0 || !counts {
                state.manner.refusals = state.manner.refusals.saturating_sub(1);
                return full(
                    401,
                    json!({"error_code": "UNAUTHENTICATED", "message": "the token does not count"}).to_string(),
                );
            }
            full(
                200,
                json!({"user": "alice@example.com", "proof": "token", "issuer": "store", "admin": false,
                    "groups": ["ml"], "until": "2026-11-22T00:00:00Z"})
                .to_string(),
            )
        }
        _ => full(404, "{}"),
    }
}

pub fn metadata(issuer: &str) -> Value {
    json!({
        "issuer": issuer,
        "authorization_endpoint": format!("{issuer}/trackgate/oauth/authorize"),
        "token_endpoint": format!("{issuer}/trackgate/oauth/token"),
        "device_authorization_endpoint": format!("{issuer}/trackgate/oauth/device_authorization"),
        "revocation_endpoint": format!("{issuer}/trackgate/oauth/revoke"),
        "response_types_supported": ["code"],
        "code_challenge_methods_supported": ["S256"],
        "authorization_response_iss_parameter_supported": true,
    })
}

fn tokens(state: &mut State, form: &HashMap<String, String>) -> Answer {
    match form["grant_type"].as_str() {
        "authorization_code" => {
            let Some((challenge, redirect)) = state.codes.remove(&form["code"]) else { return no("invalid_grant") };
            let shown = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, form["code_verifier"].as_bytes());
            if URL_SAFE_NO_PAD.encode(shown) != challenge || form["redirect_uri"] != redirect {
                return no("invalid_grant");
            }
            state.begin()
        }
        "urn:ietf:params:oauth:grant-type:device_code" => {
            let pending = state.manner.pending;
            let Some(asked) = state.devices.get_mut(&form["device_code"]) else { return no("invalid_grant") };
            *asked += 1;
            match *asked {
                asked if asked <= pending => no("authorization_pending"),
                _ if state.manner.declines => no("access_denied"),
                _ => state.begin(),
            }
        }
        "refresh_token" => state.renew(&form["refresh_token"]),
        _ => no("unsupported_grant_type"),
    }
}
