//! How does a service account's key file prove that we are that account?
//!
//! A signed JWT is exchanged for an access token, or an ID token (RFC 7523 section 2.1; Google, "Using OAuth 2.0 for Server to Server
//! Applications"). It carries no `sub`: the service account speaks for itself, not for a person (no domain-wide delegation).
//!
//! Our own code, since the libraries for this bring a second HTTP client or TLS provider, or look for credentials in places
//! that the configuration does not name.

use std::path::{Path, PathBuf};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustls_pki_types::PrivatePkcs8KeyDer;
use rustls_pki_types::pem::PemObject as _;
use serde::Deserialize;
use serde_json::json;
use url::Url;
use zeroize::Zeroizing;

use crate::fetch::is_secure;

/// Google's longest life of such a JWT, in seconds.
const LIFE: u64 = 3600;

/// A service account's key. It has no `Debug` on purpose.
pub struct Key {
    email: String,
    id: String,
    pair: RsaKeyPair,
    endpoint: Url,
}

/// A key file that is of no use.
#[derive(Debug, thiserror::Error)]
#[error("the key file `{path}` cannot be used: {why}")]
pub struct BadKey {
    /// Which file.
    pub path: PathBuf,
    /// Why not.
    pub why: String,
}

/// What the JWT is exchanged for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted<'a> {
    /// An access token of this scope.
    Access(&'a str),
    /// An ID token for this audience (Google's `target_audience`).
    Identity(&'a str),
}

#[derive(Deserialize)]
struct File {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    client_email: String,
    #[serde(default)]
    private_key_id: String,
    #[serde(default)]
    private_key: Zeroizing<String>,
    token_uri: Option<Url>,
}

impl Key {
    /// Reads a file as the console gives it out.
    ///
    /// # Errors
    /// [`BadKey`], which repeats nothing of the file.
    pub fn read(path: &Path) -> Result<Self, BadKey> {
        let broken = |why: String| BadKey { path: path.to_owned(), why };
        let text = std::fs::read_to_string(path).map(Zeroizing::new).map_err(|fault| broken(fault.to_string()))?;
        Self::parse(&text).map_err(|why| broken(why.to_owned()))
    }

    /// Reads its text.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        // What serde says of a broken file may repeat a part of it.
        let file: File = serde_json::from_str(text).map_err(|_| "it is not a service account's key in JSON")?;
        if file.kind != "service_account" {
            return Err("its `type` is not `service_account`");
        }
        let key = PrivatePkcs8KeyDer::from_pem_slice(file.private_key.as_bytes())
            .map_err(|_| "its `private_key` is not a PKCS #8 key in PEM")?;
        let pair = RsaKeyPair::from_pkcs8(key.secret_pkcs8_der()).map_err(|_| "its `private_key` is no RSA key")?;
        let endpoint = file.token_uri.filter(is_secure).ok_or("its `token_uri` is not an https address")?;
        if file.client_email.is_empty() || file.private_key_id.is_empty() {
            return Err("it lacks `client_email` or `private_key_id`");
        }
        Ok(Self { email: file.client_email, id: file.private_key_id, pair, endpoint })
    }

    /// Where the JWT is exchanged.
    #[must_use]
    pub fn endpoint(&self) -> &Url {
        &self.endpoint
    }

    /// Whose key it is.
    #[must_use]
    pub fn email(&self) -> &str {
        &self.email
    }

    /// The body of the request for a token.
    ///
    /// # Errors
    /// When the key does not sign.
    pub fn request(&self, wanted: Wanted<'_>, seconds: u64) -> Result<Zeroizing<String>, &'static str> {
        let assertion = self.assertion(wanted, seconds)?;
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        form.append_pair("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer")
            .append_pair("assertion", &assertion);
        Ok(Zeroizing::new(form.finish()))
    }

    fn assertion(&self, wanted: Wanted<'_>, seconds: u64) -> Result<Zeroizing<String>, &'static str> {
        let header = json!({"alg": "RS256", "typ": "JWT", "kid": self.id}).to_string();
        let mut claims = json!({
            "iss": self.email,
            "aud": self.endpoint.as_str(),
            "iat": seconds,
            "exp": seconds + LIFE,
        });
        match wanted {
            Wanted::Access(scope) => claims["scope"] = scope.into(),
            Wanted::Identity(audience) => claims["target_audience"] = audience.into(),
        }
        let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims.to_string()));
        let mut signature = vec![0; self.pair.public_modulus_len()];
        self.pair
            .sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut signature)
            .map_err(|_| "the key does not sign")?;
        Ok(Zeroizing::new(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_service_account_key_is_refused_and_nothing_of_it_is_repeated() {
        let file = |change: &str| format!("{{\"client_email\":\"a@b\",\"private_key_id\":\"1\",{change}}}");
        for (text, why) in [
            ("hunter2".to_owned(), "not a service account's key"),
            (file("\"type\":7"), "not a service account's key"),
            (file("\"type\":\"authorized_user\""), "`type`"),
            (file("\"type\":\"external_account\""), "`type`"),
            (file("\"type\":\"service_account\",\"private_key\":\"hunter2\""), "PEM"),
            (
                file(
                    "\"type\":\"service_account\",\"private_key\":\"-----BEGIN PRIVATE KEY-----\\nAAAA\\n-----END PRIVATE KEY-----\\n\"",
                ),
                "RSA",
            ),
        ] {
            let fault = Key::parse(&text).err().unwrap();
            assert!(fault.contains(why), "{text}: {fault}");
            assert!(!fault.contains("hunter2"));
        }
    }
}
