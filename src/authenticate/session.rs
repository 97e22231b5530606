//! Which browser session is this?
//!
//! The cookie holds 256 random bits and nothing else; the store knows their SHA-256 alone, so that neither a backup nor
//! a leaked database lets anybody in (ASVS 7.2.3). A new login makes a new one, whatever the browser brought (session
//! fixation, ASVS 7.2.4).

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::rand;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderValue;

use super::credential::{SESSION_COOKIE, Secret, Shown};
use super::fault::AuthFault;
use crate::store::{Session, SessionKey, Store};

/// `[session]`.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// A session ends this long after the login, whatever happens. The idle limit is the store's.
    pub absolute: Duration,
    /// How long a started login may take.
    pub login: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self { absolute: Duration::from_hours(24), login: Duration::from_mins(10) }
    }
}

/// Random text for a cookie, a state or a nonce.
///
/// # Errors
/// [`NoRandomness`] when the system has none; nothing secret is made then.
pub(super) fn random_text<const BYTES: usize>() -> Result<Secret, NoRandomness> {
    let mut bytes = [0; BYTES];
    rand::fill(&mut bytes).map_err(|_| NoRandomness)?;
    Ok(Secret::new(URL_SAFE_NO_PAD.encode(bytes)))
}

/// The system gave no random bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the system has no randomness")]
pub struct NoRandomness;

/// The key of a cookie's value, if it has the shape of one of ours.
fn key_of(value: &str) -> Option<SessionKey> {
    let bytes = URL_SAFE_NO_PAD.decode(value).ok().filter(|bytes| bytes.len() == 32)?;
    drop(zeroize::Zeroizing::new(bytes));
    Some(SessionKey::of(value.as_bytes()))
}

/// The open session behind a cookie, its use noted.
pub(super) fn find(store: &Store, value: &str) -> Result<Arc<Session>, AuthFault> {
    let key = key_of(value).ok_or(AuthFault::UnknownSession)?;
    // What is not there may have ended long ago: the table keeps no dead ones, and a guess of 256 bits is none.
    let session = store.session(&key).map_err(|_| AuthFault::StoreUnavailable)?.ok_or(AuthFault::SessionEnded)?;
    store.touch_session(&key);
    Ok(session)
}

/// The session behind what a browser shows, if there is exactly one.
pub(super) fn shown(store: &Store, shown: &Shown<Secret>) -> Option<Arc<Session>> {
    match shown {
        Shown::One(value) => store.session(&key_of(value)?).ok()?,
        Shown::Nothing | Shown::Several => None,
    }
}

/// A new secret, its key, and the field that gives it to the browser.
pub(super) fn make() -> Result<(SessionKey, HeaderValue), NoRandomness> {
    let secret = random_text::<32>()?;
    let field = Secret::new(format!("{SESSION_COOKIE}={}; Path=/; Secure; HttpOnly; SameSite=Lax", secret.as_str()));
    let mut field = HeaderValue::from_str(&field).map_err(|_| NoRandomness)?;
    field.set_sensitive(true);
    Ok((SessionKey::of(secret.as_bytes()), field))
}

/// The field that takes the session cookie away.
#[must_use]
pub fn forget_cookie() -> HeaderValue {
    HeaderValue::from_static("__Host-trackgate=; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=0")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cookie_is_random_hashed_and_bound_to_the_host() {
        let (key, field) = make().unwrap();
        let (other, _) = make().unwrap();
        assert_ne!(key, other);
        let text = field.to_str().unwrap();
        let value = text.strip_prefix("__Host-trackgate=").unwrap().split(';').next().unwrap();
        assert_eq!(value.len(), 43);
        assert_eq!(key_of(value), Some(key));
        assert!(!text.contains(&key.to_hex()));
        assert!(!text.contains("Domain"));
        assert!(field.is_sensitive());
        assert!(forget_cookie().to_str().unwrap().starts_with(SESSION_COOKIE));
    }

    #[test]
    fn a_value_of_another_shape_is_no_session() {
        for value in
            ["", "x", &"A".repeat(42), &"A".repeat(44), &"=".repeat(43), &"\u{e4}".repeat(30), &"A".repeat(5000)]
        {
            assert_eq!(key_of(value), None, "{value}");
        }
    }
}
