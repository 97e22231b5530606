//! Is this token meant for us, and is it its time?
//!
//! A claim of the wrong JSON type is a refusal, never "absent" (CVE-2026-25537).

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value};
use subtle::ConstantTimeEq as _;

use super::{BadToken, Compact};

/// What a token must say to be taken.
#[derive(Debug, Clone, Copy)]
pub struct Rules<'a> {
    /// The spellings of `iss` that are this issuer's.
    pub issuers: &'a [String],
    /// One of these must be in `aud`.
    pub audiences: &'a [String],
    /// Whether that audience must be the only one, or `azp` name it (OIDC Core section 3.1.3.7, for a login).
    pub only_for_us: bool,
    /// The nonce of this login.
    pub nonce: Option<&'a str>,
    /// The longest time from `iat` to `exp`.
    pub most_life: Option<Duration>,
    /// The longest time since `iat`.
    pub most_age: Option<Duration>,
    /// How far clocks may differ.
    pub skew: Duration,
    /// What time it is.
    pub now: SystemTime,
}

/// The claims of a token that keeps the rules and whose signature was good.
pub struct Claims {
    /// `sub`: 1 to 255 bytes.
    pub subject: String,
    /// `exp`.
    pub expires: SystemTime,
    /// Everything else.
    all: Map<String, Value>,
}

impl Claims {
    /// Judges the claims of a token. The signature must have been checked.
    ///
    /// # Errors
    /// [`BadToken`], naming the first rule that is broken.
    pub fn judge(token: Compact<'_>, rules: &Rules<'_>) -> Result<Self, BadToken> {
        issued(&token.claims, rules)?;
        audience(&token.claims, rules)?;
        Self::rest(token, rules)
    }

    /// The same without its audience, which whoever asks must look at: [`Claims::is_for`].
    ///
    /// # Errors
    /// [`BadToken`], naming the first rule that is broken.
    pub fn timely(token: Compact<'_>, rules: &Rules<'_>) -> Result<Self, BadToken> {
        issued(&token.claims, rules)?;
        match token.claims.get("aud") {
            None => return Err(BadToken::Lacks("aud")),
            Some(Value::String(_)) => {}
            Some(Value::Array(list)) if list.iter().all(Value::is_string) => {}
            Some(_) => return Err(BadToken::IllFormed("aud")),
        }
        Self::rest(token, rules)
    }

    /// For whom the token is.
    #[must_use]
    pub fn audiences(&self) -> Vec<&str> {
        match self.all.get("aud") {
            Some(Value::String(audience)) => vec![audience],
            Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        }
    }

    /// Whether it is for one of these.
    #[must_use]
    pub fn is_for(&self, audiences: &[impl AsRef<str>]) -> bool {
        self.audiences().into_iter().any(|shown| audiences.iter().any(|wanted| wanted.as_ref() == shown))
    }

    /// Every claim.
    #[must_use]
    pub fn all(&self) -> &Map<String, Value> {
        &self.all
    }

    fn rest(token: Compact<'_>, rules: &Rules<'_>) -> Result<Self, BadToken> {
        let all = token.claims;
        if all.contains_key("cnf") {
            return Err(BadToken::Bound);
        }
        let subject = match all.get("sub") {
            None => return Err(BadToken::Lacks("sub")),
            Some(Value::String(subject)) if !subject.is_empty() && subject.len() <= 255 => subject.clone(),
            Some(_) => return Err(BadToken::IllFormed("sub")),
        };
        let expires = times(&all, rules)?;
        if let Some(nonce) = rules.nonce {
            match all.get("nonce") {
                Some(Value::String(own)) if bool::from(own.as_bytes().ct_eq(nonce.as_bytes())) => {}
                _ => return Err(BadToken::WrongNonce),
            }
        }
        Ok(Self { subject, expires: UNIX_EPOCH + Duration::from_secs_f64(expires), all })
    }

    /// A claim of any type.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.all.get(name)
    }

    /// The mail address, when it has the shape of one and the issuer calls it verified (OIDC Core section 5.7: a mail
    /// address is no key by itself). `"true"` as a string is not true.
    #[must_use]
    pub fn email(&self, unverified_too: bool) -> Option<String> {
        let address = self.all.get("email")?.as_str()?;
        let verified = matches!(self.all.get("email_verified"), Some(Value::Bool(true)));
        if !verified && !unverified_too {
            return None;
        }
        let (local, domain) = address.split_once('@')?;
        let shaped = !local.is_empty()
            && !domain.is_empty()
            && !domain.contains('@')
            && address.len() <= 255
            && address.bytes().all(|byte| byte.is_ascii_graphic());
        shaped.then(|| address.to_ascii_lowercase())
    }
}

fn issued(all: &Map<String, Value>, rules: &Rules<'_>) -> Result<(), BadToken> {
    match all.get("iss") {
        Some(Value::String(issuer)) if rules.issuers.contains(issuer) => Ok(()),
        _ => Err(BadToken::UnknownIssuer),
    }
}

fn audience(all: &Map<String, Value>, rules: &Rules<'_>) -> Result<(), BadToken> {
    let ours = |audience: &str| rules.audiences.iter().any(|own| own == audience);
    let (named, others) = match all.get("aud") {
        None => return Err(BadToken::Lacks("aud")),
        Some(Value::String(audience)) => (ours(audience), false),
        Some(Value::Array(list)) if list.iter().all(Value::is_string) => {
            let mut texts = list.iter().filter_map(Value::as_str);
            (texts.clone().any(ours), !texts.all(ours))
        }
        Some(_) => return Err(BadToken::IllFormed("aud")),
    };
    if !named {
        return Err(BadToken::WrongAudience);
    }
    if rules.only_for_us {
        match all.get("azp") {
            None if others => return Err(BadToken::WrongParty),
            None => {}
            Some(Value::String(party)) if ours(party) => {}
            Some(_) => return Err(BadToken::WrongParty),
        }
    }
    Ok(())
}

fn times(all: &Map<String, Value>, rules: &Rules<'_>) -> Result<f64, BadToken> {
    let now = rules.now.duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64());
    let skew = rules.skew.as_secs_f64();
    let expires = number(all, "exp")?.ok_or(BadToken::Lacks("exp"))?;
    // An ID token has `iat` (OIDC Core section 2), and only ID tokens are taken.
    let issued = number(all, "iat")?.ok_or(BadToken::Lacks("iat"))?;
    if expires + skew <= now {
        return Err(BadToken::Expired(whole(expires)));
    }
    let begins = number(all, "nbf")?.map_or(issued, |begins| begins.max(issued));
    if begins > now + skew {
        return Err(BadToken::NotYet { from: whole(begins), now: whole(now) });
    }
    if rules.most_life.is_some_and(|most| expires - issued > most.as_secs_f64()) {
        return Err(BadToken::LivesTooLong);
    }
    if rules.most_age.is_some_and(|most| now - issued > most.as_secs_f64() + skew) {
        return Err(BadToken::LivesTooLong);
    }
    Ok(expires)
}

/// Whole seconds of a date that is one.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is between 0 and the year 5138")]
fn whole(seconds: f64) -> u64 {
    seconds as u64
}

/// RFC 7519 section 2, `NumericDate`: a JSON number, fractions allowed.
fn number(all: &Map<String, Value>, name: &'static str) -> Result<Option<f64>, BadToken> {
    // Later than the year 5138 is no date; it also keeps `SystemTime` from overflowing.
    const LATEST: f64 = 1e11;
    match all.get(name) {
        None => Ok(None),
        Some(Value::Number(number)) => match number.as_f64() {
            Some(seconds) if (0.0..=LATEST).contains(&seconds) => Ok(Some(seconds)),
            _ => Err(BadToken::IllFormed(name)),
        },
        Some(_) => Err(BadToken::IllFormed(name)),
    }
}
