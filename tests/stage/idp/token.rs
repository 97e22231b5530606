//! With which key does the provider sign, and what?

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256};
use serde_json::{Value, json};

use super::super::Fault;
use super::accounts::Account;
use super::base64url;

/// One RSA key, made at start.
pub(super) struct Keys {
    pair: KeyPair,
    kid: String,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keys").field("kid", &self.kid).finish_non_exhaustive()
    }
}

impl Keys {
    pub(super) fn new() -> Result<Self, Fault> {
        let pair = KeyPair::generate(KeySize::Rsa2048).map_err(|_| unsigned())?;
        Ok(Self { pair, kid: secret()?[..12].to_owned() })
    }

    /// The key set (RFC 7517).
    pub(super) fn published(&self) -> Value {
        let key = self.pair.public_key();
        json!({ "keys": [{
            "kty": "RSA", "use": "sig", "alg": "RS256", "kid": self.kid,
            "n": base64url(key.modulus().big_endian_without_leading_zero()),
            "e": base64url(key.exponent().big_endian_without_leading_zero()),
        }] })
    }

    /// An ID token (OpenID Connect Core 1.0, section 2).
    pub(super) fn id_token(
        &self,
        issuer: &str,
        account: &Account,
        audience: &str,
        nonce: Option<&str>,
        life: Duration,
    ) -> Result<String, Fault> {
        let now = now()?;
        self.signed(issuer, account, audience, nonce, (now, now + life.as_secs()))
    }

    /// The same, over for an hour.
    pub(super) fn expired_id_token(&self, issuer: &str, account: &Account, audience: &str) -> Result<String, Fault> {
        let now = now()?;
        self.signed(issuer, account, audience, None, (now - 7200, now - 3600))
    }

    fn signed(
        &self,
        issuer: &str,
        account: &Account,
        audience: &str,
        nonce: Option<&str>,
        (from, until): (u64, u64),
    ) -> Result<String, Fault> {
        let mut claims = json!({
            "iss": issuer,
            "aud": audience,
            "sub": account.sub,
            "iat": from,
            "exp": until,
            "email": account.email,
            "email_verified": true,
            "name": account.name,
            "groups": account.groups,
        });
        if let Some(nonce) = nonce {
            claims["nonce"] = json!(nonce);
        }
        let head = json!({ "alg": "RS256", "typ": "JWT", "kid": self.kid });
        let signed = format!("{}.{}", base64url(head.to_string().as_bytes()), base64url(claims.to_string().as_bytes()));
        let mut signature = vec![0; self.pair.public_modulus_len()];
        self.pair
            .sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut signature)
            .map_err(|_| unsigned())?;
        Ok(format!("{signed}.{}", base64url(&signature)))
    }
}

fn now() -> Result<u64, Fault> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH).map_err(|_| unsigned())?.as_secs())
}

/// 256 random bits.
pub(super) fn secret() -> Result<String, Fault> {
    let mut bytes = [0_u8; 32];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| unsigned())?;
    Ok(base64url(&bytes))
}

/// The PKCE challenge of a verifier, S256 (RFC 7636, section 4.2).
pub(super) fn challenge(verifier: &str) -> String {
    base64url(digest(&SHA256, verifier.as_bytes()).as_ref())
}

fn unsigned() -> Fault {
    Fault::Unexpected("the identity provider cannot sign".to_owned())
}
