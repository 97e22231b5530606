//! Did Google Identity-Aware Proxy vouch for this request?
//!
//! Google, "Securing your app with signed headers": ES256, `iss` exactly [`ISSUER`], `aud` the literal path of the
//! backend service or app, times with 30 s skew, at most 10 minutes of life (and twice the skew). The unsigned
//! `x-goog-authenticated-user-*` fields are never read.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use url::Url;

use super::fault::AuthFault;
use super::issuer::check_domain;
use super::jwks::{Keeper, Source};
use super::millis_of;
use super::token::{Algorithm, BadToken, Claims, Compact, Rules};
use super::unfit::{Unfit, Why};
use super::verdicts::{Fingerprint, Verdict, Verdicts};
use crate::access::identity::{Identity, Proof};
use crate::clock::Clock;
use crate::fetch::{self, BadTrust, Fetcher};
use crate::message::Door;
use crate::mlflow::ids::UserName;

/// IAP's `iss`.
pub const ISSUER: &str = "https://cloud.google.com/iap";
const SKEW: Duration = Duration::from_secs(30);
const LIFE: Duration = Duration::from_mins(10);

/// `[iap]`.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `/projects/NUMBER/global/backendServices/ID` or `/projects/NUMBER/apps/PROJECT`, literally.
    pub audiences: Vec<String>,
    /// The listener that accepts nothing else.
    pub listener: Door,
    /// Where IAP's keys are.
    pub keys_url: Url,
    /// Google Workspace domains; empty: all.
    pub hosted_domains: Vec<String>,
    /// How the keys are fetched.
    pub fetch: fetch::Settings,
}

impl Settings {
    /// Google's own key address.
    pub const KEYS_URL: &str = "https://www.gstatic.com/iap/verify/public_key-jwk";
}

/// IAP's guard of one listener.
pub(super) struct Iap {
    listener: Door,
    audiences: Vec<String>,
    hosted_domains: Vec<String>,
    issuers: Vec<String>,
    issuer: Arc<str>,
    pub(super) keys: Arc<Keeper>,
    verdicts: Verdicts,
    clock: Clock,
}

impl Iap {
    pub(super) fn new(settings: Settings, clock: Clock) -> Result<Self, BadTrust> {
        let fetcher = Fetcher::new(&settings.fetch)?;
        let day = Duration::from_hours(24);
        Ok(Self {
            listener: settings.listener,
            audiences: settings.audiences,
            hosted_domains: settings.hosted_domains,
            issuers: vec![ISSUER.to_owned()],
            issuer: Arc::from(ISSUER),
            keys: Keeper::new("iap", Source::Fixed(settings.keys_url), fetcher, day, clock.clone()),
            verdicts: Verdicts::new(10_000),
            clock,
        })
    }

    /// How often an assertion was judged before, and how often it was not.
    pub(super) fn lookups(&self) -> (u64, u64) {
        self.verdicts.lookups()
    }

    pub(super) fn guards(&self, door: Door) -> bool {
        self.listener == door
    }

    pub(super) async fn judge(&self, assertion: &[u8]) -> Result<Arc<Identity>, AuthFault> {
        let print = Fingerprint::of(assertion);
        if let Some(identity) = self.verdicts.find(&print, self.clock.millis(), |_| self.keys.version(), None) {
            return Ok(identity);
        }
        let text = std::str::from_utf8(assertion).map_err(|_| AuthFault::Assertion(BadToken::NotCompact))?;
        let token = Compact::parse(text).map_err(AuthFault::Assertion)?;
        if token.issuer() != Some(ISSUER) {
            return Err(AuthFault::Assertion(BadToken::UnknownIssuer));
        }
        let version = self.keys.verify(&token, &[Algorithm::Es256]).await.map_err(|fault| match fault {
            AuthFault::Token(bad) => AuthFault::Assertion(bad),
            other => other,
        })?;
        // From here on its holder may know what is wrong.
        let identity = Arc::new(
            self.known(token)
                .map_err(|why| AuthFault::Unfit(Box::new(Unfit { by: "iap".to_owned(), assertion: true, why })))?,
        );
        let ends = millis_of(identity.until) + 1000 * SKEW.as_secs();
        let verdict = Verdict { identity: Arc::clone(&identity), issuer: 0, version, ends, bindings: None };
        self.verdicts.keep(print, verdict);
        Ok(identity)
    }

    /// Who it is, by an assertion whose signature is good.
    pub(super) fn known(&self, token: Compact<'_>) -> Result<Identity, Why> {
        let rules = Rules {
            issuers: &self.issuers,
            audiences: &self.audiences,
            only_for_us: false,
            nonce: None,
            most_life: Some(LIFE + 2 * SKEW),
            most_age: None,
            skew: SKEW,
            now: self.clock.now(),
        };
        let claims = Claims::timely(token, &rules)?;
        if !claims.is_for(&self.audiences) {
            let shown = claims.audiences().into_iter().map(str::to_owned).collect();
            return Err(Why::Audience { shown, wanted: self.audiences.clone() });
        }
        Ok(self.identify(&claims)?)
    }

    fn identify(&self, claims: &Claims) -> Result<Identity, BadToken> {
        if !matches!(claims.get("aud"), Some(Value::String(_))) {
            return Err(BadToken::IllFormed("aud"));
        }
        if claims.get("email").is_none() {
            return Err(BadToken::Lacks("email"));
        }
        // Google has verified the address of whoever it lets in; the assertion has no `email_verified`.
        let email = claims.email(true).ok_or(BadToken::IllFormed("email"))?;
        check_domain(&self.hosted_domains, true, claims, Some(&email))?;
        Ok(Identity {
            user: UserName::parse(&email).map_err(|_| BadToken::IllFormed("email"))?,
            issuer: Arc::clone(&self.issuer),
            subject: Arc::from(claims.subject.as_str()),
            groups: Vec::new(),
            proof: Proof::Iap,
            until: claims.expires,
            token: None,
        })
    }
}
