//! Which access token do we show to Google?
//!
//! Kept until shortly before it ends, and renewed ahead of that: whoever finds it old asks for the next one, the others go on
//! with the one there is.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderValue, Request, StatusCode};
use http_body_util::Full;
use serde::Deserialize;
use url::Url;
use zeroize::Zeroizing;

use super::{Key, Wanted, metadata};
use crate::clock::Clock;
use crate::fetch::Fetcher;
use crate::fetch::harmless;

/// The metadata server gives out the same token until some minutes before its end (Google, "Authenticate workloads"), so
/// there is no newer one to be had earlier.
const AHEAD: Duration = Duration::from_secs(225);
/// A token that claims to live longer is asked for anew all the same.
const LONGEST: u64 = 12 * 3600;
/// There is no token, in words that repeat no secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NoToken(pub String);

/// Where tokens come from.
pub enum Source {
    /// The metadata server of Compute Engine, GKE and Cloud Run: the workload's own service account.
    Metadata(Url),
    /// A key file.
    Key(Box<Key>),
}

/// The token, and the one who fetches it.
pub struct Tokens {
    scope: &'static str,
    source: Source,
    fetcher: Fetcher,
    clock: Clock,
    held: ArcSwapOption<Token>,
    flight: tokio::sync::Mutex<()>,
}

/// An access token. It has no `Debug` on purpose.
pub struct Token {
    /// `Bearer ...`, marked as sensitive.
    pub field: HeaderValue,
    /// Milliseconds since the epoch.
    renew: u64,
    ends: u64,
}

#[derive(Deserialize)]
struct Answer {
    access_token: Zeroizing<String>,
    expires_in: u64,
    token_type: String,
}

#[derive(Deserialize)]
struct Refusal {
    error: String,
    error_description: Option<String>,
}

impl Tokens {
    /// Tokens of this scope.
    #[must_use]
    pub fn new(scope: &'static str, source: Source, fetcher: Fetcher, clock: Clock) -> Self {
        Self { scope, source, fetcher, clock, held: ArcSwapOption::empty(), flight: tokio::sync::Mutex::default() }
    }

    /// A token that counts now.
    ///
    /// # Errors
    /// [`NoToken`] when none is held that counts, and none can be had.
    pub async fn get(&self) -> Result<Arc<Token>, NoToken> {
        let now = self.clock.millis();
        let held = self.held.load_full().filter(|token| now < token.ends);
        if let Some(token) = held.as_ref().filter(|token| now < token.renew) {
            return Ok(Arc::clone(token));
        }
        let _flight = match (self.flight.try_lock(), &held) {
            (Ok(flight), _) => flight,
            (Err(_), Some(token)) => return Ok(Arc::clone(token)),
            (Err(_), None) => self.flight.lock().await,
        };
        // Somebody else may have been faster.
        if let Some(token) = self.held.load_full().filter(|token| now < token.renew) {
            return Ok(token);
        }
        match (self.fetch().await, held) {
            (Ok(token), _) => {
                let token = Arc::new(token);
                self.held.store(Some(Arc::clone(&token)));
                Ok(token)
            }
            (Err(fault), Some(token)) => {
                tracing::debug!(%fault, "the access token for Google is not renewed yet");
                Ok(token)
            }
            (Err(fault), None) => Err(fault),
        }
    }

    /// Google does not know this token: it is not used again.
    pub fn forget(&self, token: &Arc<Token>) {
        let held = self.held.load();
        if held.as_ref().is_some_and(|held| Arc::ptr_eq(held, token)) {
            self.held.compare_and_swap(&held, None);
        }
    }

    async fn fetch(&self) -> Result<Token, NoToken> {
        let asked = self.clock.millis();
        let answer = match &self.source {
            Source::Metadata(base) => self.ask_metadata(base).await?,
            Source::Key(key) => self.exchange(key).await?,
        };
        Token::read(&answer, asked)
    }

    async fn ask_metadata(&self, base: &Url) -> Result<Bytes, NoToken> {
        let asked = metadata::ask(&self.fetcher, base, "token", &[("scopes", self.scope)]).await;
        asked.map_err(|why| NoToken(format!("the metadata server: {why}")))
    }

    async fn exchange(&self, key: &Key) -> Result<Bytes, NoToken> {
        let failed = |why: String| NoToken(format!("the token endpoint: {why}"));
        let body =
            key.request(Wanted::Access(self.scope), self.clock.seconds()).map_err(|why| failed(why.to_owned()))?;
        let request = Request::post(key.endpoint().as_str())
            .header(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"))
            .header(ACCEPT, HeaderValue::from_static("application/json"))
            .body(Full::new(Bytes::copy_from_slice(body.as_bytes())))
            .map_err(|fault| failed(fault.to_string()))?;
        let answer = self.fetcher.send(key.endpoint(), request).await.map_err(|fault| failed(fault.to_string()))?;
        if answer.status() == StatusCode::OK {
            return Ok(answer.into_body());
        }
        // RFC 6749 section 5.2.
        let says = serde_json::from_slice::<Refusal>(answer.body()).map_or_else(
            |_| String::new(),
            |refusal| format!(": {} {}", refusal.error, refusal.error_description.unwrap_or_default()),
        );
        Err(failed(harmless(&format!("status {}{says}", answer.status().as_u16()))))
    }
}

impl Token {
    /// RFC 6749 section 5.1.
    fn read(answer: &Bytes, asked: u64) -> Result<Self, NoToken> {
        let broken = || NoToken("the answer is no token".to_owned());
        let answer: Answer = serde_json::from_slice(answer).map_err(|_| broken())?;
        if !answer.token_type.eq_ignore_ascii_case("bearer") || answer.access_token.is_empty() || answer.expires_in == 0
        {
            return Err(broken());
        }
        let field = Zeroizing::new(format!("Bearer {}", answer.access_token.as_str()));
        let mut field = HeaderValue::from_str(&field).map_err(|_| broken())?;
        field.set_sensitive(true);
        let life = 1000 * answer.expires_in.min(LONGEST);
        let ahead = u64::try_from(AHEAD.as_millis()).unwrap_or_default().min(life / 2);
        Ok(Self { field, renew: asked + life - ahead, ends: asked + life })
    }
}
