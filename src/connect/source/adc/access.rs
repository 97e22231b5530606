//! How does a credential of Google's bring an access token, to speak for a service account?

use std::path::PathBuf;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderName, HeaderValue, Request, Response, StatusCode};
use http_body_util::Full;
use serde::Deserialize;
use serde_json::Value;
use url::{Url, form_urlencoded};
use zeroize::Zeroizing;

use super::file::Person;
use super::{FORM, LOG_IN, SourceFault, read};
use crate::clock::Clock;
use crate::fetch::{Fetcher, harmless, is_metadata};
use crate::google::{Key, Wanted};

/// What `generateIdToken` needs.
const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";
/// The largest file of a subject token.
const MOST: u64 = 64 * 1024;

/// Whose access token it is.
pub(super) enum Access {
    Person(Person),
    Key(Box<Key>),
    Federated(Federated),
}

/// `external_account`: an identity of another cloud or cluster.
pub(super) struct Federated {
    pub(super) audience: String,
    pub(super) subject_token_type: String,
    pub(super) token_url: Url,
    pub(super) subject: Subject,
}

/// Where the other cloud's token is; `field` is where in a JSON object.
pub(super) enum Subject {
    File { path: PathBuf, field: Option<String> },
    Url { url: Url, headers: Vec<(String, String)>, field: Option<String> },
}

#[derive(Deserialize)]
struct Answer {
    access_token: Zeroizing<String>,
}

impl Access {
    pub(super) async fn token(&self, fetcher: &Fetcher, clock: &Clock) -> Result<Zeroizing<String>, SourceFault> {
        let answer = match self {
            Self::Person(person) => refresh(person, fetcher).await?,
            Self::Key(key) => {
                let body = key
                    .request(Wanted::Access(SCOPE), clock.seconds())
                    .map_err(|why| SourceFault::lasting(why.to_owned(), "make another key"))?;
                let answer = post(fetcher, key.endpoint(), FORM, &body, None).await?;
                refused(answer, |_| "is the key still one of the account's?".to_owned())?
            }
            Self::Federated(federated) => federated.exchange(fetcher).await?,
        };
        Ok(read::<Answer>(&answer)?.access_token)
    }
}

impl Federated {
    /// RFC 8693 section 2.1; Google, "Security Token Service API".
    async fn exchange(&self, fetcher: &Fetcher) -> Result<Bytes, SourceFault> {
        let subject = self.subject.token(fetcher).await?;
        let body = form(&[
            ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
            ("requested_token_type", "urn:ietf:params:oauth:token-type:access_token"),
            ("audience", &self.audience),
            ("scope", SCOPE),
            ("subject_token_type", &self.subject_token_type),
            ("subject_token", &subject),
        ]);
        let answer = post(fetcher, &self.token_url, FORM, &body, None).await?;
        refused(answer, |_| "does the workload identity pool know this issuer, audience and subject?".to_owned())
    }
}

impl Subject {
    async fn token(&self, fetcher: &Fetcher) -> Result<Zeroizing<String>, SourceFault> {
        let (text, field) = match self {
            Self::File { path, field } => (read_file(path.clone()).await?, field),
            Self::Url { url, headers, field } => (ask(url, headers, fetcher).await?, field),
        };
        let fault =
            || SourceFault::passing("the token for workload identity federation is not where it should be".to_owned());
        let token = match field {
            None => Zeroizing::new(text.trim().to_owned()),
            Some(field) => {
                let object: Value = serde_json::from_str(&text).map_err(|_| fault())?;
                Zeroizing::new(object[field].as_str().unwrap_or_default().to_owned())
            }
        };
        if token.is_empty() { Err(fault()) } else { Ok(token) }
    }
}

async fn read_file(path: PathBuf) -> Result<Zeroizing<String>, SourceFault> {
    use std::io::Read as _;
    let shown = path.display().to_string();
    let read = tokio::task::spawn_blocking(move || {
        let mut text = Zeroizing::new(String::new());
        std::fs::File::open(path)?.take(MOST).read_to_string(&mut text)?;
        Ok::<_, std::io::Error>(text)
    });
    let fault = |why: String| SourceFault::passing(format!("{shown} cannot be read: {why}"));
    read.await.map_err(|why| fault(why.to_string()))?.map_err(|why| fault(why.to_string()))
}

async fn ask(url: &Url, headers: &[(String, String)], fetcher: &Fetcher) -> Result<Zeroizing<String>, SourceFault> {
    let fault = |why: String| SourceFault::passing(format!("no token for workload identity federation: {why}"));
    let mut request =
        Request::get(url.as_str()).body(Full::<Bytes>::default()).map_err(|why| fault(why.to_string()))?;
    for (name, value) in headers {
        let bad = |_| fault("a header of `credential_source` cannot be sent".to_owned());
        let name = HeaderName::try_from(name.as_str()).map_err(|why| bad(http::Error::from(why)))?;
        let mut value = HeaderValue::from_str(value).map_err(|why| bad(http::Error::from(why)))?;
        value.set_sensitive(true);
        request.headers_mut().insert(name, value);
    }
    let answer =
        if is_metadata(url) { fetcher.send_to_machine(url, request).await } else { fetcher.send(url, request).await };
    let answer = answer.map_err(|why| fault(why.to_string()))?;
    if answer.status() != StatusCode::OK {
        return Err(fault(format!("status {}", answer.status().as_u16())));
    }
    let text = String::from_utf8(answer.into_body().to_vec());
    text.map(Zeroizing::new).map_err(|_| fault("it is no text".to_owned()))
}

/// RFC 6749 section 6.
pub(super) async fn refresh(person: &Person, fetcher: &Fetcher) -> Result<Bytes, SourceFault> {
    let body = form(&[
        ("grant_type", "refresh_token"),
        ("client_id", &person.client_id),
        ("client_secret", &person.client_secret),
        ("refresh_token", &person.refresh_token),
    ]);
    let answer = post(fetcher, &person.token_uri, FORM, &body, None).await?;
    // An organization may let sign-ins end after some hours (Google Workspace, "session control").
    refused(answer, |_| format!("this sign-in at Google has ended or was revoked; {LOG_IN}"))
}

fn form(pairs: &[(&str, &str)]) -> Zeroizing<String> {
    Zeroizing::new(form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish())
}

pub(super) async fn post(
    fetcher: &Fetcher,
    url: &Url,
    kind: &'static str,
    body: &str,
    token: Option<&str>,
) -> Result<Response<Bytes>, SourceFault> {
    let fault = |why: String| {
        SourceFault::passing(format!("Google ({}) cannot be asked: {why}", url.host_str().unwrap_or_default()))
    };
    let mut request = Request::post(url.as_str())
        .header(CONTENT_TYPE, HeaderValue::from_static(kind))
        .header(ACCEPT, HeaderValue::from_static("application/json"))
        .body(Full::new(Bytes::copy_from_slice(body.as_bytes())))
        .map_err(|why| fault(why.to_string()))?;
    if let Some(token) = token {
        let field = Zeroizing::new(format!("Bearer {token}"));
        let mut field = HeaderValue::from_str(&field).map_err(|why| fault(why.to_string()))?;
        field.set_sensitive(true);
        request.headers_mut().insert(AUTHORIZATION, field);
    }
    fetcher.send(url, request).await.map_err(|why| fault(why.to_string()))
}

/// The body of a good answer. A refusal (RFC 6749 section 5.2, or Google's error JSON) lasts until somebody does what helps;
/// anything else may pass.
pub(super) fn refused(answer: Response<Bytes>, help: impl FnOnce(&str) -> String) -> Result<Bytes, SourceFault> {
    let status = answer.status();
    if status == StatusCode::OK {
        return Ok(answer.into_body());
    }
    let says: Value = serde_json::from_slice(answer.body()).unwrap_or_default();
    let says = match (&says["error"], &says["error_description"]) {
        (Value::String(code), Value::String(why)) => format!("{code}: {why}"),
        (Value::String(code), _) => code.clone(),
        (error, _) => error["message"].as_str().unwrap_or_default().to_owned(),
    };
    let what = harmless(&format!("Google refused with status {} {says}", status.as_u16())).trim_end().to_owned();
    let lasting =
        status.is_client_error() && status != StatusCode::TOO_MANY_REQUESTS && status != StatusCode::REQUEST_TIMEOUT;
    Err(if lasting { SourceFault::lasting(what, help(&says)) } else { SourceFault::passing(what) })
}
