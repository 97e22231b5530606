//! Who signs the demo's people in?
//!
//! A small identity provider with fixed accounts and no passwords: discovery, the authorization code flow with
//! enforced PKCE (S256), a token endpoint, keys, RP-initiated logout. It is meant for a demo on loopback, where the
//! question is not who sits at the keyboard but what Trackgate does with the answer.

/// The fixed accounts.
pub mod accounts;
/// The sign-in page.
mod page;
/// Keys, and what they sign.
mod token;

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use url::Url;

use self::accounts::{ACCOUNTS, Account};
use self::token::Keys;
use super::Fault;
use super::authority::Pair;

/// How long a code may be used.
const CODE_LIFE: Duration = Duration::from_mins(1);
/// How long a started sign-in may take.
const TICKET_LIFE: Duration = Duration::from_mins(10);
/// How many started sign-ins are remembered.
const TICKETS: usize = 1000;

/// What the provider is told at its start.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Its port on loopback; 0: any.
    pub port: u16,
    /// The client that may sign people in.
    pub client_id: String,
    /// Its secret; service accounts share it in this demo.
    pub client_secret: String,
    /// Where codes may be sent.
    pub redirect_uri: String,
    /// Where people may be sent after signing out; anything below.
    pub after_logout: String,
}

/// A running identity provider.
#[derive(Debug)]
pub struct Provider {
    desk: Arc<Desk>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

#[derive(Debug)]
struct Desk {
    issuer: String,
    settings: Settings,
    keys: Keys,
    open: Mutex<Open>,
}

/// Sign-ins under way.
#[derive(Debug, Default)]
struct Open {
    tickets: HashMap<String, (Instant, Asked)>,
    codes: HashMap<String, (Instant, Asked, &'static Account)>,
}

/// What an authorization request asked for.
#[derive(Debug, Clone)]
struct Asked {
    redirect_uri: String,
    state: String,
    nonce: Option<String>,
    challenge: String,
}

impl Provider {
    /// Starts it on `https://localhost:PORT`, on a thread of its own.
    ///
    /// # Errors
    /// When the port or the certificate cannot be used.
    pub fn start(settings: Settings, pair: &Pair) -> Result<Self, Fault> {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, settings.port))
            .and_then(|listener| listener.set_nonblocking(true).map(|()| listener))
            .map_err(Fault::io(format!("listening on port {}", settings.port)))?;
        let port = listener.local_addr().map_err(Fault::io("asking for the port"))?.port();
        let tls = tokio_rustls::TlsAcceptor::from(Arc::new(server_config(pair)?));
        let desk = Arc::new(Desk {
            issuer: format!("https://localhost:{port}"),
            settings,
            keys: Keys::new()?,
            open: Mutex::default(),
        });
        let (stop, stopped) = oneshot::channel();
        let at_desk = Arc::clone(&desk);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(Fault::io("starting a runtime"))?;
        let thread = std::thread::spawn(move || {
            runtime.block_on(async {
                let Ok(listener) = TcpListener::from_std(listener) else { return };
                tokio::select! {
                    () = serve(&listener, &tls, &at_desk) => {}
                    _ = stopped => {}
                }
            });
        });
        Ok(Self { desk, stop: Some(stop), thread: Some(thread) })
    }

    /// Its issuer: where discovery starts.
    pub fn issuer(&self) -> &str {
        &self.desk.issuer
    }

    /// An ID token for an account, as a script would get it.
    ///
    /// # Errors
    /// When signing fails.
    pub fn mint(&self, account: &Account, audience: &str, life: Duration) -> Result<String, Fault> {
        self.desk.keys.id_token(&self.desk.issuer, account, audience, None, life)
    }

    /// A token that was good until an hour ago.
    ///
    /// # Errors
    /// When signing fails.
    pub fn mint_expired(&self, account: &Account, audience: &str) -> Result<String, Fault> {
        self.desk.keys.expired_id_token(&self.desk.issuer, account, audience)
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn server_config(pair: &Pair) -> Result<rustls::ServerConfig, Fault> {
    let unusable = |why: String| Fault::Unexpected(format!("the identity provider's certificate: {why}"));
    let chain = CertificateDer::from_pem_file(&pair.certificate).map_err(|fault| unusable(fault.to_string()))?;
    let key = PrivateKeyDer::from_pem_file(&pair.key).map_err(|fault| unusable(fault.to_string()))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|fault| unusable(fault.to_string()))?
        .with_no_client_auth()
        .with_single_cert(vec![chain], key)
        .map_err(|fault| unusable(fault.to_string()))
}

async fn serve(listener: &TcpListener, tls: &tokio_rustls::TlsAcceptor, desk: &Arc<Desk>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let (tls, desk) = (tls.clone(), Arc::clone(desk));
        tokio::spawn(async move {
            let Ok(stream) = tls.accept(stream).await else { return };
            let service = service_fn(|request| {
                let desk = Arc::clone(&desk);
                async move { Ok::<_, Infallible>(desk.answer(request).await) }
            });
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

impl Desk {
    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (head, body) = request.into_parts();
        let query: HashMap<String, String> =
            url::form_urlencoded::parse(head.uri.query().unwrap_or_default().as_bytes()).into_owned().collect();
        let form: HashMap<String, String> = match Limited::new(body, 64 * 1024).collect().await {
            Ok(body) => url::form_urlencoded::parse(&body.to_bytes()).into_owned().collect(),
            Err(_) => return page::fault(StatusCode::PAYLOAD_TOO_LARGE, "That was more than a form."),
        };
        match (&head.method, head.uri.path()) {
            (&Method::GET, "/.well-known/openid-configuration") => self.discovery(),
            (&Method::GET, "/jwks") => page::json(StatusCode::OK, &self.keys.published()),
            (&Method::GET, "/authorize") => self.authorize(query),
            (&Method::POST, "/authorize") => self.choose(&form),
            (&Method::POST, "/token") => self.token(&head.headers, &form),
            (&Method::GET, "/logout") => self.logout(&query),
            (&Method::POST, "/logout") => self.logout(&form),
            _ => page::fault(StatusCode::NOT_FOUND, "There is no such page here."),
        }
    }

    /// OpenID Connect Discovery 1.0, section 3.
    fn discovery(&self) -> Response<Full<Bytes>> {
        let at = |path: &str| format!("{}{path}", self.issuer);
        page::json(
            StatusCode::OK,
            &json!({
                "issuer": self.issuer,
                "authorization_endpoint": at("/authorize"),
                "token_endpoint": at("/token"),
                "jwks_uri": at("/jwks"),
                "end_session_endpoint": at("/logout"),
                "response_types_supported": ["code"],
                "response_modes_supported": ["query"],
                "grant_types_supported": ["authorization_code", "client_credentials"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": ["RS256"],
                "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
                "scopes_supported": ["openid", "email", "profile"],
                "claims_supported": ["sub", "email", "email_verified", "name", "groups"],
                "code_challenge_methods_supported": ["S256"],
                "authorization_response_iss_parameter_supported": true,
            }),
        )
    }

    /// OpenID Connect Core 1.0, section 3.1.2: the request is checked, then the person chooses an account.
    fn authorize(&self, mut query: HashMap<String, String>) -> Response<Full<Bytes>> {
        let is = |name: &str, wanted: &str| query.get(name).is_some_and(|found| found == wanted);
        // Until these two are right, nothing may be sent to the address that the request names (RFC 6749, 4.1.2.1).
        if !is("client_id", &self.settings.client_id) || !is("redirect_uri", &self.settings.redirect_uri) {
            return page::fault(StatusCode::BAD_REQUEST, "No such client, or not its address.");
        }
        let refusal = if !is("response_type", "code") {
            Some("unsupported_response_type")
        } else if !query.get("scope").is_some_and(|scope| scope.split(' ').any(|word| word == "openid")) {
            Some("invalid_scope")
        } else if !is("code_challenge_method", "S256") || !query.contains_key("code_challenge") {
            Some("invalid_request")
        } else {
            None
        };
        let asked = Asked {
            redirect_uri: query.remove("redirect_uri").unwrap_or_default(),
            state: query.remove("state").unwrap_or_default(),
            nonce: query.remove("nonce"),
            challenge: query.remove("code_challenge").unwrap_or_default(),
        };
        if let Some(refusal) = refusal {
            return self.send_back(&asked, &[("error", refusal)]);
        }
        let Ok(ticket) = token::secret() else {
            return page::fault(StatusCode::INTERNAL_SERVER_ERROR, "No randomness.");
        };
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.tickets.retain(|_, (since, _)| since.elapsed() < TICKET_LIFE);
        if open.tickets.len() >= TICKETS {
            return page::fault(StatusCode::SERVICE_UNAVAILABLE, "Too many sign-ins are under way.");
        }
        open.tickets.insert(ticket.clone(), (Instant::now(), asked));
        drop(open);
        page::sign_in(&ticket)
    }

    /// The person chose.
    fn choose(&self, form: &HashMap<String, String>) -> Response<Full<Bytes>> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((since, asked)) = form.get("ticket").and_then(|ticket| open.tickets.remove(ticket)) else {
            return page::fault(StatusCode::BAD_REQUEST, "This sign-in is over. Start again.");
        };
        if since.elapsed() >= TICKET_LIFE {
            return page::fault(StatusCode::BAD_REQUEST, "This sign-in took too long. Start again.");
        }
        let chosen = form.get("account").map(String::as_str).unwrap_or_default();
        let Some(account) = ACCOUNTS.iter().find(|account| account.person && account.key == chosen) else {
            return self.send_back(&asked, &[("error", "access_denied")]);
        };
        let Ok(code) = token::secret() else { return page::fault(StatusCode::INTERNAL_SERVER_ERROR, "No randomness.") };
        open.codes.retain(|_, (since, ..)| since.elapsed() < CODE_LIFE);
        open.codes.insert(code.clone(), (Instant::now(), asked.clone(), account));
        drop(open);
        self.send_back(&asked, &[("code", &code)])
    }

    /// The authorization response, with `iss` (RFC 9207).
    fn send_back(&self, asked: &Asked, said: &[(&str, &str)]) -> Response<Full<Bytes>> {
        let Ok(mut back) = Url::parse(&asked.redirect_uri) else {
            return page::fault(StatusCode::BAD_REQUEST, "That is no address.");
        };
        back.query_pairs_mut().extend_pairs(said).append_pair("state", &asked.state).append_pair("iss", &self.issuer);
        page::go(back.as_str())
    }

    /// RFC 6749, sections 4.1.3 and 4.4; RFC 7636, section 4.6.
    fn token(&self, headers: &HeaderMap, form: &HashMap<String, String>) -> Response<Full<Bytes>> {
        let refuse = |status, error: &str| page::json(status, &json!({ "error": error }));
        let field = |name: &str| form.get(name).map(String::as_str).unwrap_or_default();
        let (client, secret) =
            basic(headers).unwrap_or_else(|| (field("client_id").to_owned(), field("client_secret").to_owned()));
        if secret != self.settings.client_secret {
            return refuse(StatusCode::UNAUTHORIZED, "invalid_client");
        }
        let (account, audience, nonce) = match field("grant_type") {
            "authorization_code" => {
                let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
                let Some((since, asked, account)) = open.codes.remove(field("code")) else {
                    return refuse(StatusCode::BAD_REQUEST, "invalid_grant");
                };
                let fits = client == self.settings.client_id
                    && since.elapsed() < CODE_LIFE
                    && field("redirect_uri") == asked.redirect_uri
                    && token::challenge(field("code_verifier")) == asked.challenge;
                if !fits {
                    return refuse(StatusCode::BAD_REQUEST, "invalid_grant");
                }
                (account, client, asked.nonce)
            }
            "client_credentials" => {
                let Some(account) = ACCOUNTS.iter().find(|account| !account.person && account.key == client) else {
                    return refuse(StatusCode::UNAUTHORIZED, "invalid_client");
                };
                (account, field("audience").to_owned(), None)
            }
            _ => return refuse(StatusCode::BAD_REQUEST, "unsupported_grant_type"),
        };
        let life = Duration::from_hours(1);
        let token = self.keys.id_token(&self.issuer, account, &audience, nonce.as_deref(), life);
        match (token, token::secret()) {
            (Ok(id_token), Ok(access_token)) => page::json(
                StatusCode::OK,
                &json!({
                    "access_token": access_token,
                    "token_type": "Bearer",
                    "expires_in": life.as_secs(),
                    "id_token": id_token,
                }),
            ),
            _ => refuse(StatusCode::INTERNAL_SERVER_ERROR, "server_error"),
        }
    }

    /// OpenID Connect RP-Initiated Logout 1.0. Nobody is remembered here, so there is nothing to end but the visit.
    fn logout(&self, said: &HashMap<String, String>) -> Response<Full<Bytes>> {
        let back = said.get("post_logout_redirect_uri").filter(|back| back.starts_with(&self.settings.after_logout));
        match back.and_then(|back| Url::parse(back).ok()) {
            Some(mut back) => {
                if let Some(state) = said.get("state") {
                    back.query_pairs_mut().append_pair("state", state);
                }
                page::go(back.as_str())
            }
            None => page::signed_out(),
        }
    }
}

/// A client's name and secret in `Authorization: Basic`, each form-encoded (RFC 6749, section 2.3.1).
fn basic(headers: &HeaderMap) -> Option<(String, String)> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?.strip_prefix("Basic ")?;
    let text = String::from_utf8(STANDARD.decode(value).ok()?).ok()?;
    let (client, secret) = text.split_once(':')?;
    let decode = |text: &str| {
        url::form_urlencoded::parse(format!("x={text}").as_bytes()).next().map(|(_, value)| value.into_owned())
    };
    Some((decode(client)?, decode(secret)?))
}

/// Base64 as tokens use it.
fn base64url(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}
