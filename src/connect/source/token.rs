//! What is a token that is given as it is, and when does it end?

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use zeroize::Zeroizing;

use super::{Asking, Credential, Source, SourceFault};
use crate::token_form;

/// What a token says of its own times. Nothing is verified here: that is the server's part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Times {
    /// Milliseconds since the epoch.
    pub(super) ends: Option<u64>,
    /// Milliseconds.
    pub(super) made_for: Option<u64>,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
}

#[derive(Deserialize)]
struct Claims {
    exp: Option<f64>,
    iat: Option<f64>,
}

/// Reads a JWT (RFC 7519) or a token of our own. One that was cut off, as by a file that is being written, is noticed by
/// its signature's length or by its check.
pub(super) fn times(token: &str) -> Result<Times, &'static str> {
    if token.is_empty() {
        return Err("it is empty");
    }
    if token_form::is_ours(token.as_bytes()) {
        return match token_form::read(token) {
            Some(_) => Ok(Times { ends: None, made_for: None }),
            None => Err("it is an access token that was cut off or mistyped"),
        };
    }
    let cut = "it is neither an access token of Trackgate nor a whole JWT";
    let parts: Vec<&str> = token.split('.').collect();
    let [header, claims, signature] = parts[..] else { return Err(cut) };
    let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| cut);
    let header: Header = serde_json::from_slice(&decode(header)?).map_err(|_| cut)?;
    let claims: Claims = serde_json::from_slice(&Zeroizing::new(decode(claims)?)).map_err(|_| cut)?;
    // RFC 7518 section 3.3 (2048 bits at least) and 3.4.
    let least = match header.alg.as_str() {
        "RS256" | "RS384" | "RS512" | "PS256" | "PS384" | "PS512" => 256,
        "ES384" => 96,
        "ES512" => 132,
        _ => 64,
    };
    if decode(signature)?.len() < least {
        return Err(cut);
    }
    let made_for = claims.exp.zip(claims.iat).map(|(exp, iat)| millis(exp - iat)).filter(|life| *life > 0);
    Ok(Times { ends: claims.exp.map(millis), made_for })
}

/// A number of seconds, which may have a fraction (RFC 7519 section 2), in milliseconds.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to what fits")]
fn millis(seconds: f64) -> u64 {
    (seconds.clamp(0.0, 1e12) * 1000.0) as u64
}

/// A token that was given once and for all: `TRACKGATE_TOKEN`.
pub struct Fixed {
    token: Zeroizing<String>,
    from: String,
}

impl Fixed {
    /// `from` is what it is called by: the variable.
    #[must_use]
    pub fn new(token: &Zeroizing<String>, from: String) -> Self {
        Self { token: Zeroizing::new(token.trim().to_owned()), from }
    }
}

impl Source for Fixed {
    fn describe(&self) -> String {
        format!("the token in {}", self.from)
    }

    fn fresh<'a>(&'a self, _: Option<&'a Credential>) -> Asking<'a> {
        Box::pin(async {
            Credential::read(self.token.clone()).map_err(|why| {
                let what = format!("the token in {} cannot be used, {why}", self.from);
                SourceFault::lasting(what, "set it anew and start again")
            })
        })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// A JWT that nobody signed.
    pub(crate) fn jwt(claims: &Value) -> String {
        let part = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let header = part(json!({"alg": "RS256", "typ": "JWT"}).to_string().as_bytes());
        format!("{header}.{}.{}", part(claims.to_string().as_bytes()), part(&[7; 256]))
    }

    #[test]
    fn a_token_says_when_it_ends() {
        let token = jwt(&json!({"iat": 1_790_000_000, "exp": 1_790_003_600}));
        let wanted = Times { ends: Some(1_790_003_600_000), made_for: Some(3_600_000) };
        assert_eq!(times(&token), Ok(wanted));
        assert_eq!(times(&jwt(&json!({"sub": "x"}))), Ok(Times { ends: None, made_for: None }));
        assert_eq!(times(&token_form::make("tgp_").unwrap()), Ok(Times { ends: None, made_for: None }));
    }

    #[test]
    fn one_that_was_cut_off_or_is_none_is_noticed_and_not_repeated() {
        let token = jwt(&json!({"exp": 1_790_003_600}));
        let ours = token_form::make("tgs_").unwrap();
        for bad in [
            String::new(),
            token[..token.len() - 20].to_owned(),
            token[..60].to_owned(),
            ours[..40].to_owned(),
            "hunter2".into(),
        ] {
            let why = times(&bad).unwrap_err();
            assert!(!why.contains("hunter2"), "{why}");
        }
        for strange in [f64::NAN, f64::INFINITY, -1.0, 1e300] {
            assert!(millis(strange) <= 1_000_000_000_000_000);
        }
    }
}
