//! Which keys does an issuer have, and may this one verify that signature?
//!
//! A key that is broken, unknown or meant for something else is left out; the rest of the set is used (RFC 7517
//! section 5). A key belongs to the set it came in: the same `kid` at two issuers is two keys.

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::DecodingKey;
use serde_json::{Map, Value};

use super::compact::{Compact, Header};
use super::{Algorithm, BadToken};

/// More keys than any honest issuer publishes.
const MOST_KEYS: usize = 100;

/// The keys of one issuer.
pub struct KeySet {
    keys: Vec<Key>,
    digest: [u8; 32],
}

struct Key {
    id: Option<String>,
    family: Family,
    /// The one algorithm the issuer binds the key to, if it says so (RFC 7517 section 4.4).
    bound_to: Option<Algorithm>,
    verifier: DecodingKey,
}

/// What a key is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    Rsa,
    P256,
    P384,
    Ed25519,
}

/// A document that is no key set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadKeySet {
    /// Not an object with a `keys` array (RFC 7517 section 5).
    #[error("the document is no JSON Web Key Set")]
    NotASet,
    /// Too many keys.
    #[error("the key set has more than 100 keys")]
    TooMany,
    /// Nothing in it can verify a signature.
    #[error("the key set has no key that can verify a signature")]
    NoUsableKey,
}

impl KeySet {
    /// Reads a JSON Web Key Set.
    ///
    /// # Errors
    /// [`BadKeySet`] when there is no usable key in it: such a set must never replace a good one.
    pub fn parse(document: &[u8]) -> Result<Self, BadKeySet> {
        let set: Value = serde_json::from_slice(document).map_err(|_| BadKeySet::NotASet)?;
        let entries = set.get("keys").and_then(Value::as_array).ok_or(BadKeySet::NotASet)?;
        if entries.len() > MOST_KEYS {
            return Err(BadKeySet::TooMany);
        }
        let keys: Vec<Key> = entries.iter().filter_map(Value::as_object).filter_map(Key::read).collect();
        if keys.is_empty() {
            return Err(BadKeySet::NoUsableKey);
        }
        let mut hash = [0; 32];
        hash.copy_from_slice(digest::digest(&digest::SHA256, document).as_ref());
        Ok(Self { keys, digest: hash })
    }

    /// How many usable keys there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.keys.len()
    }

    /// Whether the other set was read from the very same document.
    #[must_use]
    pub fn same_as(&self, other: &Self) -> bool {
        self.digest == other.digest
    }

    /// Checks the signature of a token with one of these keys and one of the configured algorithms.
    ///
    /// # Errors
    /// [`BadToken::UnknownKey`] when the set has no key of that name: the one case in which a newer set may help.
    pub fn verify(&self, token: &Compact<'_>, algorithms: &[Algorithm]) -> Result<(), BadToken> {
        self.verify_parts(&token.header, token.signed, token.signature, algorithms)
    }

    pub(super) fn verify_parts(
        &self,
        header: &Header,
        signed: &str,
        signature: &str,
        algorithms: &[Algorithm],
    ) -> Result<(), BadToken> {
        // INVARIANT: the list comes from the settings; the token only picks from it (RFC 8725 section 3.1).
        let algorithm = Algorithm::parse(&header.algorithm)
            .filter(|algorithm| algorithms.contains(algorithm))
            .ok_or(BadToken::WrongAlgorithm)?;
        let named = |key: &&Key| header.key_id.is_none() || key.id == header.key_id;
        let mut candidates = self.keys.iter().filter(named).peekable();
        if candidates.peek().is_none() {
            return Err(BadToken::UnknownKey);
        }
        let mut fitting = candidates.filter(|key| key.fits(algorithm));
        let Some(key) = fitting.next() else {
            return Err(if header.key_id.is_some() { BadToken::WrongAlgorithm } else { BadToken::UnknownKey });
        };
        if fitting.next().is_some() {
            // Without a `kid`, or with one that the issuer gave twice, several keys would do: which one is a guess
            // (OIDC Core section 10.1 asks for a `kid` then).
            return Err(BadToken::UnknownKey);
        }
        match jsonwebtoken::crypto::verify(signature, signed.as_bytes(), &key.verifier, algorithm.to_jsonwebtoken()) {
            Ok(true) => Ok(()),
            Ok(false) | Err(_) => Err(BadToken::WrongSignature),
        }
    }
}

impl Key {
    fn read(jwk: &Map<String, Value>) -> Option<Self> {
        // RFC 7517 section 4.2, 4.3: made for signatures, and for verifying them.
        match jwk.get("use") {
            None => {}
            Some(Value::String(usage)) if usage == "sig" => {}
            Some(_) => return None,
        }
        match jwk.get("key_ops") {
            None => {}
            Some(Value::Array(operations)) if operations.iter().any(|operation| operation == "verify") => {}
            Some(_) => return None,
        }
        let id = match jwk.get("kid") {
            None => None,
            Some(Value::String(id)) => Some(id.clone()),
            Some(_) => return None,
        };
        let text = |name: &str| jwk.get(name).and_then(Value::as_str);
        let bytes = |name: &str| text(name).and_then(|value| URL_SAFE_NO_PAD.decode(value).ok());
        let (family, verifier) = match (text("kty")?, text("crv")) {
            ("RSA", _) => {
                let (n, e) = (bytes("n")?, bytes("e")?);
                if !(2048..=8192).contains(&bits(&n)) || !odd_and_at_least_three(&e) || can_be_factored(&n) {
                    return None;
                }
                (Family::Rsa, DecodingKey::from_rsa_raw_components(&n, &e))
            }
            ("EC", Some("P-256")) => (Family::P256, point(&bytes("x")?, &bytes("y")?, 32)?),
            ("EC", Some("P-384")) => (Family::P384, point(&bytes("x")?, &bytes("y")?, 48)?),
            ("OKP", Some("Ed25519")) => {
                let x = bytes("x").filter(|x| x.len() == 32)?;
                (Family::Ed25519, DecodingKey::from_ed_der(&x))
            }
            _ => return None,
        };
        let bound_to = match jwk.get("alg") {
            None => None,
            Some(Value::String(name)) => Some(Algorithm::parse(name).filter(|bound| bound.family() == family)?),
            Some(_) => return None,
        };
        Some(Self { id, family, bound_to, verifier })
    }

    fn fits(&self, algorithm: Algorithm) -> bool {
        self.family == algorithm.family() && self.bound_to.is_none_or(|bound| bound == algorithm)
    }
}

/// RFC 7518 section 6.2.1: an uncompressed point.
fn point(x: &[u8], y: &[u8], size: usize) -> Option<DecodingKey> {
    if x.len() != size || y.len() != size {
        return None;
    }
    let mut point = Vec::with_capacity(1 + 2 * size);
    point.push(4);
    point.extend_from_slice(x);
    point.extend_from_slice(y);
    Some(DecodingKey::from_ec_der(&point))
}

fn bits(number: &[u8]) -> usize {
    match number.iter().position(|byte| *byte != 0) {
        None => 0,
        Some(zeros) => (number.len() - zeros) * 8 - number[zeros].leading_zeros() as usize,
    }
}

fn odd_and_at_least_three(exponent: &[u8]) -> bool {
    (2..=33).contains(&bits(exponent)) && exponent.last().is_some_and(|last| last & 1 == 1)
}

/// The mark of keys from Infineon's broken generator (ROCA, CVE-2017-15361): modulo every small prime they are a power
/// of 65537. One good key in some hundred millions looks like that by chance.
fn can_be_factored(modulus: &[u8]) -> bool {
    const PRIMES: [u32; 38] = [
        3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97, 101, 103, 107,
        109, 113, 127, 131, 137, 139, 149, 151, 157, 163, 167,
    ];
    PRIMES.iter().all(|prime| {
        let rest = modulus.iter().fold(0, |rest, byte| (rest * 256 + u32::from(*byte)) % prime);
        let mut power = 1;
        (0..*prime).any(|_| {
            let hit = power == rest;
            power = power * (65537 % prime) % prime;
            hit
        })
    })
}

#[cfg(test)]
mod tests {
    use super::super::attacks::key_set;
    use super::*;
    use crate::authenticate::forge::Forge;
    use serde_json::json;

    #[test]
    fn keys_for_other_uses_are_left_out() {
        let forge = Forge::rsa("a");
        for change in [
            json!({"use": "enc"}),
            json!({"use": 1}),
            json!({"key_ops": ["encrypt"]}),
            json!({"key_ops": ["sign"]}),
            json!({"key_ops": "verify"}),
            json!({"alg": "RSA-OAEP"}),
            json!({"alg": "ES256"}),
            json!({"alg": "none"}),
            json!({"alg": "HS256"}),
            json!({"kid": 7}),
            json!({"kty": "oct", "k": "AAAA"}),
            json!({"n": "AQAB"}),
            json!({"e": "Ag"}),
            json!({"e": "AQ"}),
            json!({"n": "not base64 !"}),
        ] {
            let jwk = forge.jwk_with(&change);
            let set = json!({"keys": [jwk]}).to_string();
            assert_eq!(KeySet::parse(set.as_bytes()).err(), Some(BadKeySet::NoUsableKey), "{change}");
        }
    }

    #[test]
    fn a_broken_key_does_not_take_the_good_one_with_it() {
        let good = Forge::ec("good");
        let set = json!({"keys": [{"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}, {"kty": "?"}, 7, good.jwk()]});
        assert_eq!(KeySet::parse(set.to_string().as_bytes()).map(|set| set.count()).ok(), Some(1));
    }

    #[test]
    fn a_small_rsa_key_is_no_key() {
        // 1024 bits of ones.
        let n = URL_SAFE_NO_PAD.encode([0xff; 128]);
        let set = json!({"keys": [{"kty": "RSA", "n": n, "e": "AQAB"}]}).to_string();
        assert_eq!(KeySet::parse(set.as_bytes()).err(), Some(BadKeySet::NoUsableKey));
        // Leading zeros make no key longer.
        let n = URL_SAFE_NO_PAD.encode([vec![0; 256], vec![0xff; 128]].concat());
        let set = json!({"keys": [{"kty": "RSA", "n": n, "e": "AQAB"}]}).to_string();
        assert_eq!(KeySet::parse(set.as_bytes()).err(), Some(BadKeySet::NoUsableKey));
    }

    #[test]
    fn a_document_that_is_no_set_is_refused() {
        for document in [&b"[]"[..], b"{}", b"null", b"", b"<html>", br#"{"keys":{}}"#] {
            assert_eq!(KeySet::parse(document).err(), Some(BadKeySet::NotASet));
        }
        let many = json!({"keys": vec![Forge::ec("x").jwk(); 101]}).to_string();
        assert_eq!(KeySet::parse(many.as_bytes()).err(), Some(BadKeySet::TooMany));
    }

    #[test]
    fn the_same_document_is_the_same_set() {
        let (a, b) = (Forge::ec("a"), Forge::ec("b"));
        assert!(key_set(&[&a]).same_as(&key_set(&[&a])));
        assert!(!key_set(&[&a]).same_as(&key_set(&[&b])));
    }
}
