//! What did the caller show?
//!
//! [`take`] moves every credential out of the headers, so that none can reach MLflow. Nothing is judged here; two of
//! a kind are remembered as such and refused in [`super::Authenticator::authenticate`].
//!
//! All cookies go, not ours alone: MLflow's server reads none (3.17.2 has no use of `request.cookies`), and what other
//! services of the same site set with a `Domain` is theirs, not MLflow's.

use http::header::{AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION};
use http::{HeaderMap, HeaderName, HeaderValue};

/// The session cookie. `__Host-` makes browsers insist on `Secure`, `Path=/` and no `Domain` (RFC 6265bis 4.1.3.2).
pub const SESSION_COOKIE: &str = "__Host-trackgate";
/// A started login; the first characters of its state follow.
pub const LOGIN_COOKIE: &str = "__Host-trackgate-login-";
/// Google IAP's signed assertion.
pub const IAP_ASSERTION: HeaderName = HeaderName::from_static("x-goog-iap-jwt-assertion");

/// More login cookies than we ever set are not looked at.
const MOST_LOGINS: usize = 16;

/// What may have been shown in one place.
#[derive(Default)]
pub(crate) enum Shown<T> {
    /// Nothing.
    #[default]
    Nothing,
    /// One thing.
    One(T),
    /// Several, of which none counts.
    Several,
}

impl<T> Shown<T> {
    fn add(&mut self, thing: T) {
        *self = match std::mem::take(self) {
            Self::Nothing => Self::One(thing),
            Self::One(_) | Self::Several => Self::Several,
        };
    }

    pub(crate) fn is_nothing(&self) -> bool {
        matches!(self, Self::Nothing)
    }
}

/// Everything that a caller showed. It has no `Debug` on purpose; the values live in the buffers that hyper read them
/// into and go with them.
#[derive(Default)]
pub struct Credentials {
    pub(crate) authorization: Shown<HeaderValue>,
    pub(crate) assertion: Shown<HeaderValue>,
    pub(crate) session: Shown<Secret>,
    pub(crate) logins: Vec<LoginCookie>,
}

impl Credentials {
    /// Whether there is none that could identify the caller.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.authorization.is_nothing() && self.assertion.is_nothing() && self.session.is_nothing()
    }

    /// Whether there is an `Authorization` field.
    #[must_use]
    pub fn authorizes(&self) -> bool {
        !self.authorization.is_nothing()
    }
}

/// A value out of a cookie; wiped when it goes.
pub(crate) type Secret = zeroize::Zeroizing<String>;

/// The sealed state of a started login, as the browser sends it.
pub(crate) struct LoginCookie {
    /// What follows [`LOGIN_COOKIE`] in its name.
    pub(crate) suffix: String,
    pub(crate) sealed: Secret,
}

/// Moves every credential out of the headers.
pub fn take(headers: &mut HeaderMap) -> Credentials {
    let mut credentials = Credentials::default();
    let mut found = Vec::new();
    drain(headers, &AUTHORIZATION, |value| credentials.authorization.add(value));
    drain(headers, &IAP_ASSERTION, |value| credentials.assertion.add(value));
    drain(headers, &COOKIE, |value| found.push(value));
    drain(headers, &PROXY_AUTHORIZATION, drop);
    // RFC 9113 section 8.2.3: HTTP/2 clients may send crumbs; each field is a list of its own.
    for field in &found {
        for pair in field.as_bytes().split(|byte| *byte == b';') {
            credentials.cookie(pair.trim_ascii());
        }
    }
    credentials
}

impl Credentials {
    fn cookie(&mut self, pair: &[u8]) {
        let Ok(pair) = std::str::from_utf8(pair) else { return };
        let Some((name, value)) = pair.split_once('=') else { return };
        if name == SESSION_COOKIE {
            self.session.add(Secret::new(value.to_owned()));
        } else if let Some(suffix) = name.strip_prefix(LOGIN_COOKIE)
            && self.logins.len() < MOST_LOGINS
        {
            self.logins.push(LoginCookie { suffix: suffix.to_owned(), sealed: Secret::new(value.to_owned()) });
        }
    }
}

fn drain(headers: &mut HeaderMap, name: &HeaderName, mut each: impl FnMut(HeaderValue)) {
    if let http::header::Entry::Occupied(entry) = headers.entry(name) {
        let (_, values) = entry.remove_entry_mult();
        for value in values {
            each(value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    #[test]
    fn no_credential_is_left_behind_and_nothing_else_is_taken() {
        let mut map = headers(&[
            ("authorization", "Bearer a.b.c"),
            ("proxy-authorization", "Basic eA=="),
            ("x-goog-iap-jwt-assertion", "a.b.c"),
            ("cookie", "theme=dark; __Host-trackgate=abc; __Host-trackgate-login-12345678=sealed"),
            ("accept", "application/json"),
        ]);
        let credentials = take(&mut map);
        assert_eq!(map.len(), 1);
        assert!(map.contains_key("accept"));
        assert!(matches!(&credentials.session, Shown::One(value) if value.as_str() == "abc"));
        assert!(matches!(credentials.authorization, Shown::One(_)));
        assert!(matches!(credentials.assertion, Shown::One(_)));
        assert_eq!(credentials.logins.len(), 1);
        assert_eq!(credentials.logins[0].suffix, "12345678");
    }

    #[test]
    fn two_of_a_kind_are_seen_however_they_are_spread() {
        for lines in [
            &[("cookie", "__Host-trackgate=a; __Host-trackgate=b")][..],
            &[("cookie", "__Host-trackgate=a"), ("cookie", "__Host-trackgate=a")],
            &[("cookie", "x=1;__Host-trackgate=a ;  __Host-trackgate=")],
        ] {
            assert!(matches!(take(&mut headers(lines)).session, Shown::Several), "{lines:?}");
        }
        let twice = headers(&[("authorization", "Bearer a"), ("authorization", "Bearer a")]);
        assert!(matches!(take(&mut twice.clone()).authorization, Shown::Several));
    }

    #[test]
    fn names_that_are_nearly_ours_are_not_ours() {
        let mut map =
            headers(&[("cookie", "__host-trackgate=a; __Host-trackgate2=b; trackgate=c; =d; __Host-trackgate")]);
        let credentials = take(&mut map);
        assert!(credentials.is_empty());
        assert!(map.is_empty());
    }

    #[test]
    fn a_flood_of_login_cookies_is_bounded() {
        let cookies: Vec<String> = (0..500).map(|n| format!("__Host-trackgate-login-{n:08}=x")).collect();
        assert_eq!(take(&mut headers(&[("cookie", &cookies.join("; "))])).logins.len(), MOST_LOGINS);
    }
}
