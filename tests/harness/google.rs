//! Cloud Identity, a metadata server and a token endpoint, on a loopback address.
//!
//! It speaks the documented protocol of `groups.memberships.searchTransitiveGroups` (v1) strictly: the query is read as the
//! CEL that it is, tokens are its own, pages hang together, refusals are Google's error JSON. Groups hold people and
//! groups. It can lie: [`Google::lie`]. For the tests of `directory` and of the running proxy.

#![allow(dead_code, reason = "each test program uses its own part")]
#![allow(clippy::unwrap_used, clippy::missing_panics_doc, reason = "a test may panic")]

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_2048_8192_SHA256, RsaKeyPair, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};

/// The scope that the search needs.
const SCOPE: &str = "https://www.googleapis.com/auth/cloud-identity.groups.readonly";
const FORUM: &str = "cloudidentity.googleapis.com/groups.discussion_forum";
const SECURITY: &str = "cloudidentity.googleapis.com/groups.security";
/// The organization whose groups these are.
pub(crate) const CUSTOMER: &str = "C046psxkn";
/// The service account of the key file.
pub(crate) const ACCOUNT: &str = "trackgate@demo-project.iam.gserviceaccount.com";

/// The endpoints that can lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Endpoint {
    Metadata,
    Token,
    Search,
    Elsewhere,
}

/// What an endpoint does instead of its work.
#[derive(Debug, Clone)]
pub(crate) enum Lie {
    /// Google's error JSON with this status and its word.
    Refuses(u16, &'static str),
    /// 429 with `Retry-After`.
    Throttles(&'static str),
    /// A status, a content type and a body.
    Says(u16, &'static str, String),
    /// Nothing, until it is told otherwise.
    Silent,
    /// Page after page.
    Endless,
}

struct State {
    /// Each group's direct members, by address.
    groups: BTreeMap<String, BTreeSet<String>>,
    security: BTreeSet<String>,
    /// Groups of another directory that hold everybody.
    mapped: Vec<String>,
    page_size: usize,
    tokens: BTreeSet<String>,
    made: usize,
    /// Seconds that tokens live.
    life: u64,
    lies: HashMap<Endpoint, Lie>,
    asked: HashMap<Endpoint, usize>,
    /// Everybody who was looked up, in order.
    members: Vec<String>,
    /// The service account's key.
    key: Option<RsaKeyPair>,
    url: String,
}

/// A running Google; it ends when it is dropped.
pub(crate) struct Google {
    /// Where it is.
    pub(crate) url: String,
    state: Arc<Mutex<State>>,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
}

impl Google {
    pub(crate) fn start() -> Self {
        let socket = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        socket.set_nonblocking(true).unwrap();
        let url = format!("http://{}", socket.local_addr().unwrap());
        let state = Arc::new(Mutex::new(State {
            groups: BTreeMap::new(),
            security: BTreeSet::new(),
            mapped: Vec::new(),
            page_size: 1000,
            tokens: BTreeSet::new(),
            made: 0,
            life: 3599,
            lies: HashMap::new(),
            asked: HashMap::new(),
            members: Vec::new(),
            key: None,
            url: url.clone(),
        }));
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let own = Arc::clone(&state);
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(serve(socket, own, stopped));
        });
        Self { url, state, stop: Some(stop) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Puts a person or a group into a group.
    pub(crate) fn add(&self, group: &str, member: &str) {
        self.state().groups.entry(group.to_owned()).or_default().insert(member.to_owned());
    }

    /// Takes a person or a group out of a group.
    pub(crate) fn remove(&self, group: &str, member: &str) {
        self.state().groups.get_mut(group).unwrap().remove(member);
    }

    /// Labels a group as a security group.
    pub(crate) fn secure(&self, group: &str) {
        self.state().security.insert(group.to_owned());
    }

    /// A group that is mapped from another directory, with everybody in it.
    pub(crate) fn map(&self, id: &str) {
        self.state().mapped.push(id.to_owned());
    }

    /// At most so many groups on a page.
    pub(crate) fn page_by(&self, size: usize) {
        self.state().page_size = size;
    }

    pub(crate) fn lie(&self, at: Endpoint, lie: Lie) {
        self.state().lies.insert(at, lie);
    }

    pub(crate) fn repent(&self, at: Endpoint) {
        self.state().lies.remove(&at);
    }

    /// How often an endpoint was asked.
    pub(crate) fn asked(&self, at: Endpoint) -> usize {
        self.state().asked.get(&at).copied().unwrap_or_default()
    }

    /// Whom it was asked for, in order.
    pub(crate) fn members(&self) -> Vec<String> {
        self.state().members.clone()
    }

    /// No token from before counts any more.
    pub(crate) fn withdraw_tokens(&self) {
        self.state().tokens.clear();
    }

    /// How long tokens live from now on, in seconds.
    pub(crate) fn tokens_live(&self, seconds: u64) {
        self.state().life = seconds;
    }

    /// A new key file of the service account, as the console gives it out. The one from before counts no more.
    pub(crate) fn key_file(&self) -> Value {
        let key = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
        let der: Pkcs8V1Der<'_> = key.as_der().unwrap();
        let text = STANDARD.encode(der.as_ref());
        let lines: Vec<&str> = text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
        let pem = format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", lines.join("\n"));
        self.state().key = Some(key);
        json!({
            "type": "service_account",
            "project_id": "demo-project",
            "private_key_id": "key-1",
            "private_key": pem,
            "client_email": ACCOUNT,
            "client_id": "110000000000000000001",
            "token_uri": format!("{}/token", self.url),
        })
    }
}

impl Drop for Google {
    fn drop(&mut self) {
        drop(self.stop.take());
    }
}

impl State {
    fn token(&mut self) -> Value {
        self.made += 1;
        let token = format!("ya29.token-{}", self.made);
        self.tokens.insert(token.clone());
        json!({"access_token": token, "expires_in": self.life, "token_type": "Bearer"})
    }

    /// An ID token that nobody signed: it is the programs' part to carry it, not to judge it.
    fn identity(&mut self, audience: &str) -> String {
        self.made += 1;
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let claims = json!({
            "iss": "https://accounts.google.com", "aud": audience, "email": ACCOUNT, "iat": now, "exp": now + self.life,
            "jti": self.made,
        });
        format!("{}.{}.{}", part(&json!({"alg": "RS256"})), part(&claims), URL_SAFE_NO_PAD.encode([7; 256]))
    }

    /// RFC 7523 section 3, as Google checks it.
    fn exchange(&mut self, body: &[u8]) -> Result<Value, &'static str> {
        let form: HashMap<String, String> = url::form_urlencoded::parse(body).into_owned().collect();
        if form.get("grant_type").map(String::as_str) != Some("urn:ietf:params:oauth:grant-type:jwt-bearer") {
            return Err("unsupported_grant_type");
        }
        let assertion = form.get("assertion").ok_or("invalid_request")?;
        let (signed, signature) = assertion.rsplit_once('.').ok_or("invalid_grant")?;
        let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| "invalid_grant")?;
        let key = self.key.as_ref().ok_or("invalid_grant")?.public_key().as_ref();
        UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key)
            .verify(signed.as_bytes(), &signature)
            .map_err(|_| "invalid_grant")?;
        let part = |text: &str| -> Option<Value> { serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).ok()?).ok() };
        let (header, claims) = signed.split_once('.').ok_or("invalid_grant")?;
        let (header, claims) = (part(header).ok_or("invalid_grant")?, part(claims).ok_or("invalid_grant")?);
        let number = |name: &str| claims[name].as_u64().unwrap_or_default();
        let good = header["alg"] == "RS256"
            && header["kid"] == "key-1"
            && claims["iss"] == ACCOUNT
            && claims["aud"] == format!("{}/token", self.url)
            && claims.get("sub").is_none()
            && number("exp") > number("iat")
            && number("exp") - number("iat") <= 3600;
        // "Create a self-signed JWT to get an OIDC token".
        if let (true, Some(audience), None) = (good, claims["target_audience"].as_str(), claims.get("scope")) {
            return Ok(json!({"id_token": self.identity(audience)}));
        }
        match (good, claims["scope"] == SCOPE) {
            (true, true) => Ok(self.token()),
            (true, false) => Err("invalid_scope"),
            (false, _) => Err("invalid_grant"),
        }
    }

    fn search(&mut self, query: &str) -> Result<Value, (u16, &'static str)> {
        let invalid = (400, "INVALID_ARGUMENT");
        let parameters: HashMap<String, String> = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        let asked = Asked::read(parameters.get("query").ok_or(invalid)?).ok_or(invalid)?;
        self.members.push(asked.member.clone());
        if asked.parent.is_some_and(|parent| parent != format!("customers/{CUSTOMER}")) {
            return Err((403, "PERMISSION_DENIED"));
        }
        let wanted: usize = parameters.get("pageSize").map_or(Ok(200), |size| size.parse()).map_err(|_| invalid)?;
        let start = match parameters.get("pageToken") {
            None => 0,
            // A token is for the query that it came from.
            Some(token) => token
                .split_once(' ')
                .filter(|(_, member)| *member == asked.member)
                .and_then(|(start, _)| start.parse().ok())
                .ok_or(invalid)?,
        };
        let size = wanted.min(1000).min(self.page_size);
        if let Some(Lie::Endless) = self.lies.get(&Endpoint::Search) {
            return Ok(json!({"memberships": [], "nextPageToken": format!("{} {}", start + 1, asked.member)}));
        }
        let all: Vec<Value> = self
            .transitive(&asked.member)
            .into_iter()
            .filter(|(group, _)| asked.label == FORUM || self.security.contains(group))
            .map(|(group, direct)| {
                let mut labels = json!({FORUM: ""});
                if self.security.contains(&group) {
                    labels[SECURITY] = "".into();
                }
                json!({
                    "groupKey": {"id": group},
                    "group": format!("groups/{:x}", group.len()),
                    "displayName": group,
                    "roles": [{"role": "MEMBER"}],
                    "relationType": if direct { "DIRECT" } else { "INDIRECT" },
                    "labels": labels,
                })
            })
            .chain(self.mapped.iter().map(|id| json!({"groupKey": {"id": id, "namespace": "identitysources/1"}})))
            .collect();
        let mut answer = json!({});
        let page: Vec<&Value> = all.iter().skip(start).take(size).collect();
        if !page.is_empty() {
            answer["memberships"] = json!(page);
        }
        if start + size < all.len() {
            answer["nextPageToken"] = format!("{} {}", start + size, asked.member).into();
        }
        Ok(answer)
    }

    /// Every group that the member is in, and whether directly.
    fn transitive(&self, member: &str) -> BTreeMap<String, bool> {
        let mut found = BTreeMap::new();
        let mut open = vec![(member.to_owned(), true)];
        while let Some((member, direct)) = open.pop() {
            for (group, members) in &self.groups {
                if members.contains(&member) && !found.contains_key(group) {
                    found.insert(group.clone(), direct);
                    open.push((group.clone(), false));
                }
            }
        }
        found
    }
}

/// A query: `member_key_id == LITERAL && LITERAL in labels`, perhaps `&& parent == LITERAL`, and nothing else.
struct Asked {
    member: String,
    label: String,
    parent: Option<String>,
}

impl Asked {
    fn read(query: &str) -> Option<Self> {
        let rest = query.strip_prefix("member_key_id == ")?;
        let (member, rest) = literal(rest)?;
        let rest = rest.strip_prefix(" && ")?;
        let (label, rest) = literal(rest)?;
        let rest = rest.strip_prefix(" in labels")?;
        let (parent, rest) = match rest.strip_prefix(" && parent == ") {
            Some(rest) => literal(rest).map(|(parent, rest)| (Some(parent), rest))?,
            None => (None, rest),
        };
        (rest.is_empty() && [FORUM, SECURITY].contains(&label.as_str())).then_some(Self { member, label, parent })
    }
}

/// A CEL string literal in single quotes, and what follows it.
fn literal(text: &str) -> Option<(String, &str)> {
    let inside = text.strip_prefix('\'')?;
    let mut said = String::new();
    let mut letters = inside.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '\'' => return Some((said, &inside[at + 1..])),
            '\\' => match letters.next()?.1 {
                escaped @ ('\'' | '"' | '\\' | '`' | '?') => said.push(escaped),
                _ => return None,
            },
            letter => said.push(letter),
        }
    }
    None
}

async fn serve(
    socket: std::net::TcpListener,
    state: Arc<Mutex<State>>,
    mut stopped: tokio::sync::oneshot::Receiver<()>,
) {
    let socket = tokio::net::TcpListener::from_std(socket).unwrap();
    loop {
        let stream = tokio::select! {
            accepted = socket.accept() => accepted.unwrap().0,
            _ = &mut stopped => return,
        };
        let state = Arc::clone(&state);
        tokio::spawn(async move {
            let service = hyper::service::service_fn(move |request| {
                let state = Arc::clone(&state);
                async move { Ok::<_, Infallible>(answer(&state, request).await) }
            });
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn answer(state: &Mutex<State>, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let at = match (request.method().as_str(), request.uri().path()) {
        (
            "GET",
            "/computeMetadata/v1/instance/service-accounts/default/token"
            | "/computeMetadata/v1/instance/service-accounts/default/identity",
        ) => Endpoint::Metadata,
        ("POST", "/token") => Endpoint::Token,
        ("GET", "/v1/groups/-/memberships:searchTransitiveGroups") => Endpoint::Search,
        _ => Endpoint::Elsewhere,
    };
    *state.lock().unwrap().asked.entry(at).or_default() += 1;
    loop {
        let lie = state.lock().unwrap().lies.get(&at).cloned();
        match lie {
            None | Some(Lie::Endless) => break,
            Some(Lie::Silent) => tokio::time::sleep(Duration::from_millis(5)).await,
            Some(Lie::Refuses(status, word)) => return refuse(status, word),
            Some(Lie::Throttles(after)) => {
                let mut answer = refuse(429, "RESOURCE_EXHAUSTED");
                answer.headers_mut().insert(RETRY_AFTER, after.parse().unwrap());
                return answer;
            }
            Some(Lie::Says(status, kind, body)) => return reply(status, kind, body),
        }
    }
    let (head, body) = request.into_parts();
    let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let field = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let mut state = state.lock().unwrap();
    match at {
        Endpoint::Metadata => {
            let query: HashMap<String, String> =
                url::form_urlencoded::parse(head.uri.query().unwrap_or_default().as_bytes()).into_owned().collect();
            let scoped = query.get("scopes").is_some_and(|scope| scope == SCOPE);
            let full = query.get("format").is_some_and(|format| format == "full");
            let mut answer = match (field("metadata-flavor"), scoped, query.get("audience")) {
                ("Google", true, None) => reply(200, "application/json", state.token().to_string()),
                ("Google", false, Some(audience)) if full => reply(200, "text/html", state.identity(audience)),
                _ => reply(403, "text/html", "Missing Metadata-Flavor:Google header.".to_owned()),
            };
            answer.headers_mut().insert("metadata-flavor", "Google".parse().unwrap());
            answer
        }
        Endpoint::Token => match state.exchange(&body) {
            Ok(token) => reply(200, "application/json", token.to_string()),
            Err(error) => {
                let body = json!({"error": error, "error_description": "Invalid JWT Signature."});
                reply(400, "application/json", body.to_string())
            }
        },
        Endpoint::Search => {
            let token = head.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
            if !token.strip_prefix("Bearer ").is_some_and(|token| state.tokens.contains(token)) {
                return refuse(401, "UNAUTHENTICATED");
            }
            match state.search(head.uri.query().unwrap_or_default()) {
                Ok(page) => reply(200, "application/json; charset=UTF-8", page.to_string()),
                Err((status, word)) => refuse(status, word),
            }
        }
        Endpoint::Elsewhere => refuse(404, "NOT_FOUND"),
    }
}

/// Google's error model.
fn refuse(status: u16, word: &str) -> Response<Full<Bytes>> {
    let body = json!({"error": {"code": status, "message": "Error(2028): as the test says", "status": word}});
    reply(status, "application/json; charset=UTF-8", body.to_string())
}

fn reply(status: u16, kind: &str, body: String) -> Response<Full<Bytes>> {
    Response::builder()
        .status(StatusCode::from_u16(status).unwrap())
        .header(CONTENT_TYPE, kind)
        .body(Full::new(body.into()))
        .unwrap()
}
