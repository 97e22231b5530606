//! How does a machine speak OAuth with a Trackgate server?
//!
//! Metadata (RFC 8414), the token endpoint (RFC 6749, RFC 7636, RFC 8628) and revocation (RFC 7009), as a public client: there is
//! no secret of the program's own. What a server says of itself sends nobody elsewhere: every endpoint lies on the server that
//! was asked. No redirect is followed.

use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, LOCATION, PROXY_AUTHORIZATION};
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::Full;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use url::{Url, form_urlencoded};
use zeroize::Zeroizing;

use super::beside::Beside;
use super::fault::{ClientFault, harmless};
use super::server::Server;
use crate::fetch::{FetchFault, Fetcher};

/// By what name this program is known to servers.
pub(super) const CLIENT: &str = "trackgate-cli";
const METADATA: &str = ".well-known/oauth-authorization-server";
/// Where a server says nothing of how long a token lasts (RFC 6749 section 5.1 only recommends that it does).
pub(super) const SHORT: u64 = 300;
/// A token that lasts longer is taken to last this long: ten years.
pub(super) const LONG: u64 = 10 * 366 * 86_400;

/// Where a server is asked for what.
#[derive(Debug, Clone)]
pub(super) struct Endpoints {
    /// Under what a login is kept.
    pub place: Server,
    /// How it calls itself.
    pub issuer: String,
    /// Where a browser signs in.
    pub authorization: Option<Url>,
    /// Where codes become tokens.
    pub token: Url,
    /// Where a login without a browser begins.
    pub device: Option<Url>,
    /// Where tokens are revoked.
    pub revocation: Option<Url>,
    /// Whether it names itself in its answers to a browser (RFC 9207).
    pub names_itself: bool,
}

/// RFC 8414 section 2.
#[derive(Deserialize)]
struct Metadata {
    issuer: String,
    token_endpoint: Option<String>,
    authorization_endpoint: Option<String>,
    device_authorization_endpoint: Option<String>,
    revocation_endpoint: Option<String>,
    #[serde(default)]
    authorization_response_iss_parameter_supported: bool,
}

/// What the token endpoint gave (RFC 6749 section 5.1).
#[derive(Deserialize)]
pub(super) struct Tokens {
    /// What is shown to the server.
    pub access_token: SecretString,
    token_type: String,
    pub(super) expires_in: Option<u64>,
    /// What renews it.
    pub refresh_token: Option<SecretString>,
    /// How long that lasts, in seconds. Ours; RFC 6749 has no word for it.
    pub refresh_expires_in: Option<u64>,
    /// Who signed in. Ours.
    pub user: Option<String>,
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tokens").field("expires_in", &self.expires_in).finish_non_exhaustive()
    }
}

/// What a login without a browser begins with (RFC 8628 section 3.2).
#[derive(Deserialize)]
pub(super) struct Device {
    #[serde(rename = "device_code")]
    secret: SecretString,
    /// What a person types elsewhere.
    pub user_code: String,
    /// Where.
    pub verification_uri: String,
    /// The same with the code in it.
    pub verification_uri_complete: Option<String>,
    /// For how long, in seconds.
    pub expires_in: u64,
    /// How often one may ask, in seconds.
    pub interval: Option<u64>,
}

impl std::fmt::Debug for Device {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Device").field("verification_uri", &self.verification_uri).finish_non_exhaustive()
    }
}

/// Who one is to a server: its answer at `/trackgate/whoami`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, serde::Serialize)]
pub struct Who {
    /// How it names the caller.
    pub user: String,
    /// By what that was proven.
    pub proof: String,
    /// Who vouches for it.
    #[serde(default)]
    pub issuer: String,
    /// Whether the caller passes every check.
    #[serde(default)]
    pub admin: bool,
    /// The groups that count.
    #[serde(default)]
    pub groups: Vec<String>,
    /// When the proof ends.
    #[serde(default)]
    pub until: Option<String>,
}

/// RFC 6749 section 5.2.
#[derive(Deserialize)]
struct Refusal {
    error: String,
    error_description: Option<String>,
}

/// What the token endpoint said.
pub(super) enum Said {
    /// Tokens.
    Given(Tokens),
    /// No, with its word.
    Refused {
        /// A word of RFC 6749 section 5.2 or RFC 8628 section 3.5.
        error: String,
        /// In words.
        words: String,
    },
}

/// One server, and the way to it.
#[derive(Clone)]
pub(super) struct OAuth<'a> {
    pub(super) server: &'a Server,
    pub(super) fetcher: &'a Fetcher,
    pub(super) beside: Option<&'a dyn Beside>,
}

impl OAuth<'_> {
    /// Finds out where the server is asked for what.
    pub(super) async fn discover(&self) -> Result<Endpoints, ClientFault> {
        let mut absent = String::new();
        // Trackgate's own pages lie at the root, whatever prefix MLflow's lie under.
        for place in self.server.names() {
            let request = Request::get(place.join(METADATA)?.as_str()).header(ACCEPT, "application/json");
            let answer = self.send(&place.join(METADATA)?, request, Vec::new()).await?;
            match answer.status() {
                StatusCode::OK => match serde_json::from_slice::<Metadata>(answer.body()) {
                    Ok(metadata) => return self.endpoints(&place, &metadata),
                    Err(_) => absent = format!(": what it says at /{METADATA} is something else"),
                },
                status if status.is_redirection() => {
                    let to = answer.headers().get(LOCATION).and_then(|to| to.to_str().ok());
                    let to = to.and_then(|to| Url::parse(to).ok()).and_then(|to| to.host_str().map(harmless));
                    let to = to.map(|to| format!(" to {to}")).unwrap_or_default();
                    absent = format!(": it leads elsewhere{to}; is there another sign-in before it?");
                }
                status if status.is_server_error() => return Err(self.broken(status)),
                status => absent = format!(": it answers {} to /{METADATA}", status.as_u16()),
            }
        }
        Err(ClientFault::NotTrackgate(self.server.clone(), absent))
    }

    fn endpoints(&self, asked: &Server, metadata: &Metadata) -> Result<Endpoints, ClientFault> {
        // RFC 8414 section 3.3: it must be the one that was asked, or another server's endpoints could be slipped in.
        if Server::parse(&metadata.issuer).ok().as_ref() != Some(asked) {
            let what = format!("calls itself {}; use that address", harmless(&metadata.issuer));
            return Err(self.strange(what));
        }
        let here = |endpoint: Option<&String>| -> Result<Option<Url>, ClientFault> {
            let Some(endpoint) = endpoint else { return Ok(None) };
            let url = Url::parse(endpoint).ok().filter(|url| asked.has(url) && url.fragment().is_none());
            url.map(Some).ok_or_else(|| self.strange(format!("names an address elsewhere: {}", harmless(endpoint))))
        };
        Ok(Endpoints {
            place: asked.clone(),
            issuer: metadata.issuer.clone(),
            authorization: here(metadata.authorization_endpoint.as_ref())?,
            token: here(metadata.token_endpoint.as_ref())?
                .ok_or_else(|| ClientFault::NotTrackgate(self.server.clone(), ": it gives no tokens".to_owned()))?,
            device: here(metadata.device_authorization_endpoint.as_ref())?,
            revocation: here(metadata.revocation_endpoint.as_ref())?,
            names_itself: metadata.authorization_response_iss_parameter_supported,
        })
    }

    /// Gives a code away (RFC 6749 section 4.1.3, RFC 7636 section 4.5).
    pub(super) async fn exchange(
        &self,
        endpoint: &Url,
        code: &SecretString,
        verifier: &SecretString,
        redirect: &str,
    ) -> Result<Tokens, ClientFault> {
        let form = [
            ("grant_type", "authorization_code"),
            ("code", code.expose_secret()),
            ("code_verifier", verifier.expose_secret()),
            ("redirect_uri", redirect),
            ("client_id", CLIENT),
        ];
        match self.tokens(endpoint, &form).await? {
            Said::Given(tokens) => Ok(tokens),
            Said::Refused { words, .. } => Err(self.refused(words)),
        }
    }

    /// Begins a login without a browser (RFC 8628 section 3.1).
    pub(super) async fn begin_device(&self, endpoint: &Url, name: Option<&str>) -> Result<Device, ClientFault> {
        let mut form = vec![("client_id", CLIENT)];
        form.extend(name.map(|name| ("device_name", name)));
        let answer = self.post(endpoint, &form).await?;
        if answer.status() != StatusCode::OK {
            return Err(self.refused(self.refusal(&answer)?.1));
        }
        let device: Device = self.read(&answer)?;
        let plain = |code: &str| {
            code.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') && (1..=32).contains(&code.len())
        };
        let here = |address: &str| Url::parse(address).is_ok_and(|url| self.server.has(&url));
        let complete = device.verification_uri_complete.as_deref().is_none_or(here);
        // It is shown on a terminal, and people go there to sign in.
        if !plain(&device.user_code) || !here(&device.verification_uri) || !complete {
            return Err(self.strange("gives a code or an address that cannot be used".to_owned()));
        }
        Ok(device)
    }

    /// Asks whether somebody has typed the code (RFC 8628 section 3.4).
    pub(super) async fn ask_device(&self, endpoint: &Url, device: &Device) -> Result<Said, ClientFault> {
        let form = [
            ("grant_type", "urn:ietf:params:oauth:grant-type:device_code"),
            ("device_code", device.secret.expose_secret()),
            ("client_id", CLIENT),
        ];
        self.tokens(endpoint, &form).await
    }

    /// Renews a credential (RFC 6749 section 6). Tried twice where the way is broken: the answer may have been lost, and the
    /// server takes the same refresh token again for a minute.
    pub(super) async fn refresh(&self, endpoint: &Url, token: &SecretString) -> Result<Said, ClientFault> {
        let form = [("grant_type", "refresh_token"), ("refresh_token", token.expose_secret()), ("client_id", CLIENT)];
        match self.tokens(endpoint, &form).await {
            Err(ClientFault::Unreachable { .. }) => self.tokens(endpoint, &form).await,
            said => said,
        }
    }

    /// Ends a login (RFC 7009): what is revoked takes its whole family along.
    pub(super) async fn revoke(&self, endpoint: &Url, token: &SecretString) -> Result<(), ClientFault> {
        let form = [("token", token.expose_secret()), ("client_id", CLIENT)];
        let answer = self.post(endpoint, &form).await?;
        if answer.status() == StatusCode::OK { Ok(()) } else { Err(self.refused(self.refusal(&answer)?.1)) }
    }

    /// Asks who one is.
    pub(super) async fn who(&self, secret: &SecretString) -> Result<Who, ClientFault> {
        let url = self.server.origin().join("trackgate/whoami")?;
        let bad = || ClientFault::BadToken("the token holds signs that no header field can hold".to_owned());
        let field = Zeroizing::new(format!("Bearer {}", secret.expose_secret()));
        let mut field = HeaderValue::from_str(&field).map_err(|_| bad())?;
        field.set_sensitive(true);
        let request = Request::get(url.as_str()).header(ACCEPT, "application/json").header(AUTHORIZATION, field);
        let answer = self.send(&url, request, Vec::new()).await?;
        match answer.status() {
            StatusCode::OK => self.read(&answer),
            StatusCode::UNAUTHORIZED => {
                Err(ClientFault::Unaccepted { server: self.server.clone(), words: message(answer.body()) })
            }
            StatusCode::NOT_FOUND => Err(ClientFault::NotTrackgate(self.server.clone(), String::new())),
            status if status.is_server_error() => Err(self.broken(status)),
            status => Err(self.strange(format!("answers {}: {}", status.as_u16(), message(answer.body())))),
        }
    }

    async fn tokens(&self, endpoint: &Url, form: &[(&str, &str)]) -> Result<Said, ClientFault> {
        let answer = self.post(endpoint, form).await?;
        if answer.status() != StatusCode::OK {
            let (error, words) = self.refusal(&answer)?;
            return Ok(Said::Refused { error, words });
        }
        let tokens: Tokens = self.read(&answer)?;
        let plain = |secret: &SecretString| {
            let text = secret.expose_secret();
            (1..=8192).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
        };
        if !tokens.token_type.eq_ignore_ascii_case("bearer") {
            return Err(self.strange("gives tokens of another kind".to_owned()));
        }
        if !plain(&tokens.access_token) || !tokens.refresh_token.as_ref().is_none_or(plain) {
            return Err(self.strange("gives tokens that cannot be shown to it".to_owned()));
        }
        Ok(Said::Given(tokens))
    }

    async fn post(&self, endpoint: &Url, form: &[(&str, &str)]) -> Result<Response<Bytes>, ClientFault> {
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let request = Request::post(endpoint.as_str())
            .header(ACCEPT, "application/json")
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        self.send(endpoint, request, body.into_bytes()).await
    }

    async fn send(
        &self,
        url: &Url,
        mut request: http::request::Builder,
        body: Vec<u8>,
    ) -> Result<Response<Bytes>, ClientFault> {
        let away = |fault: FetchFault| ClientFault::Unreachable { server: self.server.clone(), fault };
        if let Some(beside) = self.beside {
            request = request.header(PROXY_AUTHORIZATION, beside.show().await?);
        }
        let request = request.body(Full::new(Bytes::from(body)));
        let request = request.map_err(|fault| away(FetchFault::Connection(fault.to_string())))?;
        self.fetcher.send(url, request).await.map_err(away)
    }

    /// INVARIANT: what cannot be read is not quoted: it may hold half a token.
    fn read<T: DeserializeOwned>(&self, answer: &Response<Bytes>) -> Result<T, ClientFault> {
        let read = serde_json::from_slice(answer.body());
        read.map_err(|_| self.strange("gives an answer that cannot be understood".to_owned()))
    }

    fn refusal(&self, answer: &Response<Bytes>) -> Result<(String, String), ClientFault> {
        let status = answer.status();
        if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
            return Err(self.broken(status));
        }
        let Ok(refusal) = serde_json::from_slice::<Refusal>(answer.body()) else {
            return Err(self.strange(format!("answers {}: {}", status.as_u16(), message(answer.body()))));
        };
        let error = harmless(&refusal.error);
        let words = refusal.error_description.map(|words| harmless(&words));
        let words = words.map_or_else(|| error.clone(), |words| format!("{words} ({error})"));
        Ok((error, words))
    }

    fn broken(&self, status: StatusCode) -> ClientFault {
        ClientFault::Unreachable { server: self.server.clone(), fault: FetchFault::Status(status.as_u16()) }
    }

    fn strange(&self, what: String) -> ClientFault {
        ClientFault::Strange { server: self.server.clone(), what }
    }

    fn refused(&self, word: String) -> ClientFault {
        ClientFault::Refused { server: self.server.clone(), word }
    }
}

/// How a person's machine asks: patiently, over networks that are not a data centre's.
pub(super) fn patience() -> crate::fetch::Settings {
    crate::fetch::Settings {
        ca_file: None,
        way_out: crate::way_out::WayOut::Environment,
        resting: 0,
        total: Duration::from_secs(20),
        connect: Duration::from_secs(10),
        most: 256 * 1024,
    }
}

/// MLflow's form of an error, which refusals have; else nothing of what may be a page.
fn message(body: &[u8]) -> String {
    let value: Option<serde_json::Value> = serde_json::from_slice(body).ok();
    let text = value.as_ref().and_then(|value| value.get("message")?.as_str());
    harmless(text.unwrap_or("no reason was given"))
}
