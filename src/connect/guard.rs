//! Whose requests does the agent pass on?
//!
//! Whoever may use the agent acts with its credential. A port on loopback can be reached by every local user and by every
//! page in a browser, so three things are checked (pure, here), and a fourth at the socket (`neighbour`: whose program is it?):
//!
//! - `Host` is one of the agent's own names. A page that had its own name point to this machine (DNS rebinding) keeps that
//!   name in `Host`.
//! - No browser asks. Browsers say so: with `Sec-Fetch-Site` on every request to a loopback address (Fetch Metadata), with
//!   `Origin` on those that could change something (Fetch standard, "append a request Origin header"). Programs send neither
//!   (Node's `fetch` sends `Sec-Fetch-Mode` alone). A person who follows a link to the agent is led to the server itself.
//! - The first segment of the path is the secret one, where there is one. It is not there by default: a program that knows
//!   nothing but `http://127.0.0.1:5000` must work. `connect -- COMMAND` and listeners for other machines always have it.

use http::header::{HOST, LOCATION, ORIGIN};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderName, HeaderValue, Method, Response, StatusCode};
use subtle::ConstantTimeEq as _;

use super::words::refusal;
use crate::message::Body;
use crate::mlflow::error::ErrorCode;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");

/// What is checked of each request.
pub(super) struct Guard {
    /// Names with port, in lower case; empty: any (the secret path stands for them).
    pub(super) hosts: Vec<String>,
    /// The first segment of every path.
    pub(super) secret: Option<String>,
    /// The server that people are led to, without a slash at the end.
    pub(super) server: String,
}

impl Guard {
    /// The path and query as the server is to see them, below its own path.
    ///
    /// # Errors
    /// The answer for whoever may not use the agent.
    pub(super) fn admit(&self, head: &Parts) -> Result<PathAndQuery, Box<Response<Body>>> {
        let forbidden = |why: &str| Box::new(refusal(StatusCode::FORBIDDEN, ErrorCode::PermissionDenied, why));
        if head.method == Method::CONNECT {
            return Err(forbidden("the agent is no proxy for other servers"));
        }
        if !self.is_own_name(head) {
            return Err(forbidden(
                "this is not the agent's name: DNS rebinding? use the address that the agent printed",
            ));
        }
        let path = head.uri.path_and_query().map_or("/", PathAndQuery::as_str);
        let path = match &self.secret {
            None => path,
            Some(secret) => match below(path, secret) {
                Some(path) => path,
                None => return Err(forbidden("this is not the agent's path: use the address that the agent printed")),
            },
        };
        if head.headers.contains_key(SEC_FETCH_SITE) || head.headers.contains_key(ORIGIN) {
            return Err(self.lead_to_the_server(head, path).unwrap_or_else(|| {
                forbidden("the agent serves programs, not pages in a browser: there, open the server's own address")
            }));
        }
        let path = if path.is_empty() || path.starts_with('?') { format!("/{path}") } else { path.to_owned() };
        PathAndQuery::try_from(path).map_err(|_| forbidden("the path cannot be read"))
    }

    fn is_own_name(&self, head: &Parts) -> bool {
        if self.hosts.is_empty() {
            return true;
        }
        let mut named = head.headers.get_all(HOST).iter();
        let host = match (named.next(), named.next()) {
            (Some(host), None) => host.as_bytes(),
            _ => return false,
        };
        let own = |name: &[u8]| self.hosts.iter().any(|own| name.eq_ignore_ascii_case(own.as_bytes()));
        // A target in absolute form names a host as well (RFC 9112 section 3.2.2).
        own(host) && head.uri.authority().is_none_or(|authority| own(authority.as_str().as_bytes()))
    }

    /// Somebody who clicks on an address that MLflow's client printed. A browser keeps what follows `#`.
    fn lead_to_the_server(&self, head: &Parts, path: &str) -> Option<Box<Response<Body>>> {
        let navigates = head.headers.get(SEC_FETCH_MODE).is_some_and(|mode| mode == "navigate");
        if !navigates || !matches!(head.method, Method::GET | Method::HEAD) {
            return None;
        }
        let slash = if path.starts_with('/') { "" } else { "/" };
        let mut answer = Response::new(Body::Empty);
        *answer.status_mut() = StatusCode::FOUND;
        answer.headers_mut().insert(LOCATION, HeaderValue::from_str(&format!("{}{slash}{path}", self.server)).ok()?);
        Some(Box::new(answer))
    }
}

/// What of a path follows `/SECRET`.
fn below<'a>(path: &'a str, secret: &str) -> Option<&'a str> {
    let path = path.strip_prefix('/')?;
    let (first, rest) = path.split_at_checked(secret.len())?;
    let same: bool = first.as_bytes().ct_eq(secret.as_bytes()).into();
    (same && (rest.is_empty() || rest.starts_with(['/', '?']))).then_some(rest)
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn guard(secret: Option<&str>) -> Guard {
        Guard {
            hosts: ["127.0.0.1:5000", "localhost:5000", "[::1]:5000"].map(ToOwned::to_owned).into(),
            secret: secret.map(ToOwned::to_owned),
            server: "https://mlflow.example.com".to_owned(),
        }
    }

    fn asked(guard: &Guard, method: &str, target: &str, headers: &[(&str, &str)]) -> Result<String, u16> {
        let mut request = Request::builder().method(method).uri(target);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (head, ()) = request.body(()).unwrap().into_parts();
        guard.admit(&head).map(|path| path.as_str().to_owned()).map_err(|answer| answer.status().as_u16())
    }

    const OWN: (&str, &str) = ("host", "127.0.0.1:5000");

    #[test]
    fn a_program_that_knows_nothing_but_the_address_is_let_in() {
        let guard = guard(None);
        for host in ["127.0.0.1:5000", "localhost:5000", "LocalHost:5000", "[::1]:5000"] {
            assert_eq!(asked(&guard, "GET", "/a?b", &[("host", host)]), Ok("/a?b".to_owned()), "{host}");
        }
        assert_eq!(asked(&guard, "GET", "http://127.0.0.1:5000", &[OWN]), Ok("/".to_owned()));
        // Node's fetch.
        assert_eq!(asked(&guard, "POST", "/a", &[OWN, ("sec-fetch-mode", "cors")]), Ok("/a".to_owned()));
    }

    #[test]
    fn dns_rebinding_is_refused() {
        let guard = guard(None);
        for headers in [
            &[("host", "evil.example:5000")][..],
            &[("host", "127.0.0.1.evil.example:5000")],
            &[("host", "127.0.0.1")],
            &[("host", "127.0.0.1:5001")],
            &[("host", "")],
            &[],
            &[OWN, ("host", "evil.example")],
        ] {
            assert_eq!(asked(&guard, "GET", "/", headers), Err(403), "{headers:?}");
        }
        assert_eq!(asked(&guard, "GET", "http://evil.example/", &[OWN]), Err(403));
        assert_eq!(asked(&guard, "CONNECT", "evil.example:443", &[OWN]), Err(403));
    }

    #[test]
    fn a_page_of_any_origin_is_refused_and_a_person_is_led_to_the_server() {
        let guard = guard(None);
        for site in ["cross-site", "same-site", "same-origin", "none"] {
            for mode in ["cors", "no-cors", "same-origin", "websocket"] {
                let headers = [OWN, ("sec-fetch-site", site), ("sec-fetch-mode", mode)];
                assert_eq!(asked(&guard, "GET", "/api", &headers), Err(403), "{site} {mode}");
            }
            let headers = [OWN, ("sec-fetch-site", site), ("sec-fetch-mode", "navigate")];
            assert_eq!(asked(&guard, "POST", "/api", &headers), Err(403), "a form, {site}");
            assert_eq!(asked(&guard, "GET", "/x?y", &headers), Err(302), "{site}");
        }
        for origin in ["https://evil.example", "null", "http://127.0.0.1:5000"] {
            assert_eq!(asked(&guard, "POST", "/api", &[OWN, ("origin", origin)]), Err(403), "{origin}");
        }
        assert_eq!(asked(&guard, "OPTIONS", "/api", &[OWN, ("origin", "https://evil.example")]), Err(403));
        let (head, ()) = Request::get("/x?y")
            .header("host", "localhost:5000")
            .header("sec-fetch-site", "none")
            .header("sec-fetch-mode", "navigate")
            .body(())
            .unwrap()
            .into_parts();
        assert_eq!(guard.admit(&head).unwrap_err().headers()["location"], "https://mlflow.example.com/x?y");
    }

    #[test]
    fn without_the_secret_path_there_is_nothing() {
        let guard = guard(Some("s3cret"));
        for (target, wanted) in [
            ("/s3cret/api?x", Ok("/api?x")),
            ("/s3cret", Ok("/")),
            ("/s3cret?x", Ok("/?x")),
            ("/s3cret//a", Ok("//a")),
            ("/", Err(403)),
            ("/s3cre", Err(403)),
            ("/s3cretx", Err(403)),
            ("/x/s3cret/api", Err(403)),
            ("/s3creé", Err(403)),
            ("//s3cret/api", Err(403)),
        ] {
            assert_eq!(asked(&guard, "GET", target, &[OWN]), wanted.map(ToOwned::to_owned), "{target}");
        }
    }
}
