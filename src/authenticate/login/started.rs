//! What is remembered of a login between its two halves?
//!
//! A sealed cookie, named after the first characters of its `state`, so that several tabs can sign in side by side.

use std::time::Duration;

use http::HeaderValue;
use serde::{Deserialize, Serialize};

use super::fault::LoginFault;
use crate::authenticate::credential::{Credentials, LOGIN_COOKIE, Secret};
use crate::authenticate::session::NoRandomness;
use crate::seal::Seal;

/// Started logins that one browser may have at a time; the oldest goes first.
const MOST: usize = 5;
/// Characters of the state that name the cookie; the rest, 144 bits, is compared.
const SUFFIX: usize = 8;
const PURPOSE: &str = "login";

/// A login whose second half is to come.
#[derive(Serialize, Deserialize)]
pub(super) struct Started {
    pub(super) state: Secret,
    pub(super) nonce: Secret,
    pub(super) verifier: Secret,
    /// The provider's short name.
    pub(super) issuer: String,
    pub(super) return_to: String,
    /// Milliseconds since the epoch.
    pub(super) created: u64,
}

impl Started {
    pub(super) fn to_cookie(&self, seal: &Seal, life: Duration) -> Result<HeaderValue, LoginFault> {
        let plain = zeroize::Zeroizing::new(serde_json::to_vec(self).map_err(|_| NoRandomness)?);
        let sealed = seal.seal(PURPOSE, &plain).map_err(|_| NoRandomness)?;
        let suffix = self.state.get(..SUFFIX).ok_or(NoRandomness)?;
        field(suffix, &sealed, life.as_secs()).ok_or(LoginFault::NoRandomness(NoRandomness))
    }

    /// The login that a `state` belongs to, if this browser started it; and the field that takes its cookie away.
    pub(super) fn find(state: &str, shown: &Credentials, seal: &Seal) -> Option<(Self, HeaderValue)> {
        let suffix = state.get(..SUFFIX)?;
        let mut cookies = shown.logins.iter().filter(|cookie| cookie.suffix == suffix);
        let cookie = cookies.next()?;
        if cookies.next().is_some() {
            return None;
        }
        Some((open(&cookie.sealed, seal)?, forget(suffix)?))
    }

    pub(super) fn is_late(&self, now: u64, life: Duration) -> bool {
        now.saturating_sub(self.created) > u64::try_from(life.as_millis()).unwrap_or(u64::MAX)
    }
}

fn open(sealed: &str, seal: &Seal) -> Option<Started> {
    let plain = zeroize::Zeroizing::new(seal.open(PURPOSE, sealed)?);
    serde_json::from_slice(&plain).ok()
}

/// The fields that take away what does not open, what is too old, and the oldest of too many.
pub(super) fn make_room(shown: &Credentials, seal: &Seal, now: u64, life: Duration) -> Vec<HeaderValue> {
    let mut alive = Vec::new();
    let mut gone = Vec::new();
    for cookie in &shown.logins {
        match open(&cookie.sealed, seal).filter(|started| !started.is_late(now, life)) {
            Some(started) => alive.push((started.created, cookie.suffix.as_str())),
            None => gone.push(cookie.suffix.as_str()),
        }
    }
    alive.sort_unstable();
    let too_many = alive.len().saturating_sub(MOST - 1);
    gone.extend(alive.into_iter().take(too_many).map(|(_, suffix)| suffix));
    gone.into_iter().filter_map(forget).collect()
}

fn forget(suffix: &str) -> Option<HeaderValue> {
    field(suffix, "", 0)
}

fn field(suffix: &str, value: &str, life: u64) -> Option<HeaderValue> {
    // The suffix may come from the browser: nothing but our own alphabet goes back.
    let ours =
        suffix.len() == SUFFIX && suffix.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    let text = format!("{LOGIN_COOKIE}{suffix}={value}; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age={life}");
    // Browsers drop cookies of more than 4096 bytes, and the login would fail at its end.
    let mut field = HeaderValue::from_str(&text).ok().filter(|_| ours && text.len() < 4096)?;
    field.set_sensitive(true);
    Some(field)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authenticate::credential;
    use http::HeaderMap;
    use http::header::COOKIE;

    fn started(n: u64) -> Started {
        Started {
            state: Secret::new(format!("{n:08}ABCDEFGHIJKLMNOPQRSTUVWX")),
            nonce: Secret::new("nonce".into()),
            verifier: Secret::new("verifier".into()),
            issuer: "here".into(),
            return_to: "/".into(),
            created: n,
        }
    }

    fn shown(fields: &[HeaderValue]) -> Credentials {
        let cookies: Vec<&str> = fields.iter().map(|f| f.to_str().unwrap().split(';').next().unwrap()).collect();
        let mut headers = HeaderMap::new();
        headers.insert(COOKIE, HeaderValue::from_str(&cookies.join("; ")).unwrap());
        credential::take(&mut headers)
    }

    #[test]
    fn at_most_five_logins_are_under_way_and_the_oldest_goes() {
        let seal = Seal::ephemeral().unwrap();
        let life = Duration::from_mins(10);
        let fields: Vec<HeaderValue> = (1..=5).map(|n| started(n).to_cookie(&seal, life).unwrap()).collect();
        let gone = make_room(&shown(&fields), &seal, 10, life);
        assert_eq!(gone.len(), 1);
        assert!(gone[0].to_str().unwrap().starts_with("__Host-trackgate-login-00000001=;"));
        assert!(make_room(&shown(&fields[..4]), &seal, 10, life).is_empty());
        assert_eq!(make_room(&shown(&fields[..2]), &seal, 700_000, life).len(), 2, "too old");
        assert_eq!(make_room(&shown(&fields[..2]), &Seal::ephemeral().unwrap(), 10, life).len(), 2, "do not open");
    }

    #[test]
    fn a_login_is_found_by_its_state_alone_and_only_once() {
        let seal = Seal::ephemeral().unwrap();
        let life = Duration::from_mins(10);
        let one = started(1).to_cookie(&seal, life).unwrap();
        let state = started(1).state;
        assert!(Started::find(&state, &shown(std::slice::from_ref(&one)), &seal).is_some());
        assert!(Started::find("00000002", &shown(std::slice::from_ref(&one)), &seal).is_none());
        assert!(Started::find("0000", &shown(std::slice::from_ref(&one)), &seal).is_none());
        assert!(Started::find(&state, &shown(&[one.clone(), one.clone()]), &seal).is_none(), "twice");
        assert!(Started::find(&state, &shown(&[one]), &Seal::ephemeral().unwrap()).is_none(), "another key");
    }

    #[test]
    fn the_longest_return_address_still_fits_a_cookie() {
        let seal = Seal::ephemeral().unwrap();
        let mut long = started(1);
        long.return_to = format!("/{}", "a".repeat(1799));
        long.verifier = Secret::new("v".repeat(43));
        long.nonce = Secret::new("n".repeat(32));
        assert!(long.to_cookie(&seal, Duration::from_mins(10)).is_ok());
    }

    #[test]
    fn a_cookie_name_from_the_browser_cannot_write_a_header() {
        assert!(forget("a;b=c\r\n").is_none());
        assert!(forget("12345678; Domain=x").is_none());
        assert!(forget("1234567;").is_none());
        assert!(forget("12345678").is_some());
    }
}
