//! Which certificates, keys and tokens does the comparison use?

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rcgen::{
    BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, PKCS_RSA_SHA256, PublicKeyData as _, RsaKeySize,
    SigningKey as _,
};
use serde_json::json;

/// The audience every contestant must insist on.
pub(crate) const AUDIENCE: &str = "https://mlflow.bench.example";
/// Who the token is for.
pub(crate) const USER: &str = "ci@bench.example";
/// The signing key's name.
pub(crate) const KEY_ID: &str = "bench-1";
/// A token as large as identity providers' with a few claims.
const TOKEN_SIZE: usize = 1024;

/// A throw-away CA, a certificate for localhost, an issuer's RSA key; made anew for each run.
pub(crate) struct Material {
    /// The CA that signed [`Material::certificate`].
    pub(crate) ca: PathBuf,
    /// ECDSA P-256, for every contestant and the issuer.
    pub(crate) certificate: PathBuf,
    pub(crate) private_key: PathBuf,
    /// Both in one file, as HAProxy wants them.
    pub(crate) pair: PathBuf,
    /// The issuer's public key as PEM, for HAProxy.
    pub(crate) token_key: PathBuf,
    /// The same in a certificate, for Apache.
    pub(crate) token_certificate: PathBuf,
    signing_key: KeyPair,
}

impl Material {
    pub(crate) fn make(dir: &Path) -> anyhow::Result<Self> {
        let write = |name: &str, text: &str| -> anyhow::Result<PathBuf> {
            let path = dir.join(name);
            fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
            Ok(path)
        };
        // Trackgate does not take a key that anybody may read.
        let secret = |name: &str, text: &str| -> anyhow::Result<PathBuf> {
            let path = write(name, text)?;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
            Ok(path)
        };

        let ca_key = KeyPair::generate()?;
        let mut ca_params = CertificateParams::new(Vec::new())?;
        ca_params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = ca_params.self_signed(&ca_key)?;
        let ca_issuer = Issuer::new(ca_params, &ca_key);

        let key = KeyPair::generate()?;
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let certificate = CertificateParams::new(names)?.signed_by(&key, &ca_issuer)?;

        let signing_key = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048)?;
        let token_certificate = CertificateParams::new(Vec::new())?.self_signed(&signing_key)?;

        Ok(Self {
            ca: write("ca.pem", &ca.pem())?,
            certificate: write("cert.pem", &certificate.pem())?,
            private_key: secret("key.pem", &key.serialize_pem())?,
            pair: secret("pair.pem", &format!("{}{}", certificate.pem(), key.serialize_pem()))?,
            token_key: write("token-key.pem", &signing_key.public_key_pem())?,
            token_certificate: write("token-cert.pem", &token_certificate.pem())?,
            signing_key,
        })
    }

    /// An RS256 ID token of 1 KiB (at most two bytes more), valid for an hour from `age` seconds ago.
    pub(crate) fn token(&self, issuer: &str, age: u64) -> anyhow::Result<String> {
        let issued = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs() - age;
        let header = json!({ "alg": "RS256", "typ": "JWT", "kid": KEY_ID });
        let sign = |padding: usize| -> anyhow::Result<String> {
            let claims = json!({
                "iss": issuer, "aud": AUDIENCE, "sub": "1065543200987", "azp": AUDIENCE,
                "email": USER, "email_verified": true, "name": "Continuous Integration",
                "iat": issued, "nbf": issued, "exp": issued + 3600,
                "padding": "x".repeat(padding),
            });
            let [header, claims] = [&header, &claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
            let signed = format!("{header}.{claims}");
            // RSASSA-PKCS1-v1_5 with SHA-256: what JWS calls RS256 (RFC 7518 section 3.3).
            let signature = self.signing_key.sign(signed.as_bytes())?;
            Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
        };
        // Base64 makes four characters of three, so the padding is searched, not computed.
        let mut padding = 0;
        let mut token = sign(padding)?;
        while token.len() < TOKEN_SIZE {
            padding += ((TOKEN_SIZE - token.len()) / 2).max(1);
            token = sign(padding)?;
        }
        Ok(token)
    }

    /// The public key as an issuer publishes it (RFC 7517 section 5, RFC 7518 section 6.3.1).
    pub(crate) fn key_set(&self) -> anyhow::Result<serde_json::Value> {
        let (modulus, exponent) =
            rsa_numbers(self.signing_key.der_bytes()).context("the RSA key is not as expected")?;
        Ok(json!({ "keys": [{
            "kty": "RSA", "use": "sig", "alg": "RS256", "kid": KEY_ID,
            "n": URL_SAFE_NO_PAD.encode(modulus), "e": URL_SAFE_NO_PAD.encode(exponent),
        }] }))
    }
}

/// The two INTEGERs of an `RSAPublicKey` (RFC 8017 appendix A.1.1), without their leading zeros.
fn rsa_numbers(der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (sequence, _) = element(der, 0x30)?;
    let (modulus, rest) = element(sequence, 0x02)?;
    let (exponent, _) = element(rest, 0x02)?;
    Some((unsigned(modulus), unsigned(exponent)))
}

/// One DER element with this tag: its contents, and what follows it (X.690 section 8.1).
fn element(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&[found, first], rest) = der.split_first_chunk()?;
    if found != tag {
        return None;
    }
    let (length, rest) = if first < 0x80 {
        (usize::from(first), rest)
    } else {
        let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
        (digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit)), rest)
    };
    rest.split_at_checked(length)
}

fn unsigned(integer: &[u8]) -> &[u8] {
    integer.strip_prefix(&[0]).unwrap_or(integer)
}
