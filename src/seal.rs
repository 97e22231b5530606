//! How can a client carry something for us without reading or changing it?
//!
//! Page tokens of filtered lists (they hold positions that count hidden rows) and the state of a started login leave
//! the house as sealed texts: AES-256-GCM with a random nonce (NIST SP 800-38D section 8.2.2), base64url without padding.
//! The purpose is bound in as associated data, so that a text sealed for one purpose does not open for another.

use std::sync::Arc;

use arc_swap::ArcSwap;
use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::rand;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// The length of a key in bytes.
pub const KEY_LENGTH: usize = 32;

/// Seals with the first key, opens with any.
pub struct Seal {
    keys: ArcSwap<Vec<RandomizedNonceKey>>,
}

impl std::fmt::Debug for Seal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Seal({} keys)", self.keys.load().len())
    }
}

/// A key ring that cannot seal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// No key at all.
    #[error("a seal needs at least one key")]
    NoKey,
    /// The crypto library refused.
    #[error("the crypto library refused to seal")]
    Refused,
}

impl Seal {
    /// A key ring: the first key seals, all open.
    ///
    /// # Errors
    /// [`SealError`] without a key, or when the crypto library takes none of that length.
    pub fn new(keys: &[[u8; KEY_LENGTH]]) -> Result<Self, SealError> {
        Ok(Self { keys: ArcSwap::from_pointee(ring(keys)?) })
    }

    /// Other keys from now on.
    ///
    /// # Errors
    /// As [`Seal::new`]; then the keys stay what they are.
    pub fn replace(&self, keys: &[[u8; KEY_LENGTH]]) -> Result<(), SealError> {
        self.keys.store(Arc::new(ring(keys)?));
        Ok(())
    }

    /// A key that no other process knows: what it seals is unreadable after a restart.
    ///
    /// # Errors
    /// [`SealError::Refused`] without randomness.
    pub fn ephemeral() -> Result<Self, SealError> {
        let mut key = [0; KEY_LENGTH];
        rand::fill(&mut key).map_err(|_| SealError::Refused)?;
        Self::new(&[key])
    }

    /// Seals `plain` for `purpose`.
    ///
    /// # Errors
    /// [`SealError::Refused`] when the crypto library does.
    pub fn seal(&self, purpose: &str, plain: &[u8]) -> Result<String, SealError> {
        let keys = self.keys.load();
        let key = keys.first().ok_or(SealError::NoKey)?;
        let mut sealed = plain.to_vec();
        let nonce =
            key.seal_in_place_append_tag(Aad::from(purpose.as_bytes()), &mut sealed).map_err(|_| SealError::Refused)?;
        let mut text = nonce.as_ref().to_vec();
        text.append(&mut sealed);
        Ok(URL_SAFE_NO_PAD.encode(text))
    }

    /// Opens what was sealed for `purpose`; `None` for everything else, whatever is wrong with it.
    #[must_use]
    pub fn open(&self, purpose: &str, text: &str) -> Option<Vec<u8>> {
        let raw = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (nonce, sealed) = raw.split_at_checked(NONCE_LEN)?;
        self.keys.load().iter().find_map(|key| {
            let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
            let mut sealed = sealed.to_vec();
            let plain = key.open_in_place(nonce, Aad::from(purpose.as_bytes()), &mut sealed).ok()?;
            Some(plain.to_vec())
        })
    }
}

fn ring(keys: &[[u8; KEY_LENGTH]]) -> Result<Vec<RandomizedNonceKey>, SealError> {
    if keys.is_empty() {
        return Err(SealError::NoKey);
    }
    keys.iter().map(|key| RandomizedNonceKey::new(&AES_256_GCM, key).map_err(|_| SealError::Refused)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sealed_opens_for_its_own_purpose_alone() {
        let seal = Seal::ephemeral().unwrap();
        let text = seal.seal("page", b"offset 3").unwrap();
        assert_eq!(seal.open("page", &text).as_deref(), Some(&b"offset 3"[..]));
        assert_eq!(seal.open("login", &text), None);
        assert_eq!(Seal::ephemeral().unwrap().open("page", &text), None);
    }

    #[test]
    fn a_changed_or_cut_text_does_not_open() {
        let seal = Seal::ephemeral().unwrap();
        let text = seal.seal("page", b"offset 3").unwrap();
        for at in 0..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            assert_eq!(seal.open("page", std::str::from_utf8(&bytes).unwrap()), None, "byte {at}");
            assert_eq!(seal.open("page", &text[..at]), None, "cut at {at}");
        }
        assert_eq!(seal.open("page", &format!("{text}A")), None);
        assert_eq!(seal.open("page", "\u{e4}"), None);
    }

    #[test]
    fn the_same_text_sealed_twice_differs() {
        let seal = Seal::ephemeral().unwrap();
        assert_ne!(seal.seal("page", b"x").unwrap(), seal.seal("page", b"x").unwrap());
    }

    #[test]
    fn an_old_key_still_opens() {
        let old = Seal::new(&[[1; KEY_LENGTH]]).unwrap();
        let both = Seal::new(&[[2; KEY_LENGTH], [1; KEY_LENGTH]]).unwrap();
        let text = old.seal("page", b"x").unwrap();
        assert_eq!(both.open("page", &text).as_deref(), Some(&b"x"[..]));
        assert_eq!(old.open("page", &both.seal("page", b"x").unwrap()), None);
        assert_eq!(Seal::new(&[]).unwrap_err(), SealError::NoKey);
        both.replace(&[[2; KEY_LENGTH]]).unwrap();
        assert_eq!(both.open("page", &text), None, "a key that was taken away opens nothing");
        assert_eq!(both.replace(&[]).unwrap_err(), SealError::NoKey);
        assert!(both.seal("page", b"x").is_ok(), "the keys from before stay");
    }
}
