//! Which headers cross, and which are written by us?

use http::HeaderMap;
use http::header::{
    CONTENT_LENGTH, EXPECT, FORWARDED, HOST, HeaderName, HeaderValue, ORIGIN, SERVER, SET_COOKIE,
    STRICT_TRANSPORT_SECURITY, VIA,
};

use super::Settings;
use crate::message::{Peer, remove_fields, remove_hop_by_hop};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// What else of a client's does not reach MLflow.
///
/// hyper writes the length of what is really sent. 100-continue is ours to answer: hyper's server sends it when the body
/// is first read, that is, after the request was permitted. The origin check was made in the gate; MLflow would compare
/// `Origin` with its own address (MLflow 3.17.2, `mlflow/server/security_utils.py`).
static NOT_OUTWARD: [HeaderName; 5] = [CONTENT_LENGTH, EXPECT, FORWARDED, VIA, ORIGIN];

/// What else of MLflow's does not reach the client.
static NOT_INWARD: [HeaderName; 2] = [SERVER, STRICT_TRANSPORT_SECURITY];

/// A client's headers, made fit for MLflow: what is hop-by-hop goes first, ours come last.
pub(super) fn outward(
    mut headers: HeaderMap,
    peer: &Peer,
    id: &str,
    authority: &HeaderValue,
    settings: &Settings,
) -> HeaderMap {
    remove_hop_by_hop(&mut headers);
    remove_fields(&mut headers, &NOT_OUTWARD);
    headers.insert(HOST, authority.clone());
    headers.insert(X_FORWARDED_FOR, address(peer));
    headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static(if peer.secure { "https" } else { "http" }));
    headers.insert(X_FORWARDED_HOST, settings.public_host.clone());
    match HeaderValue::from_str(id) {
        Ok(id) => headers.insert(X_REQUEST_ID, id),
        Err(_) => headers.remove(X_REQUEST_ID),
    };
    headers
}

fn address(peer: &Peer) -> HeaderValue {
    // An address is always printable ASCII.
    HeaderValue::from_str(&peer.address.to_string()).unwrap_or_else(|_| HeaderValue::from_static("unknown"))
}

/// MLflow's headers, made fit for the client.
pub(super) fn inward(headers: &mut HeaderMap, head_only: bool, own_cookies: &[String]) {
    remove_hop_by_hop(headers);
    // The answer to HEAD has the length of a body that does not come (RFC 9110 section 8.6).
    if !head_only {
        headers.remove(CONTENT_LENGTH);
    }
    remove_fields(headers, &NOT_INWARD);
    if headers.contains_key(SET_COOKIE) {
        drop_own_cookies(headers, own_cookies);
    }
}

fn drop_own_cookies(headers: &mut HeaderMap, own: &[String]) {
    let kept: Vec<HeaderValue> = headers
        .get_all(SET_COOKIE)
        .iter()
        .filter(|value| {
            let name = value.as_bytes().split(|byte| matches!(byte, b'=' | b';')).next().unwrap_or_default();
            let name = name.trim_ascii();
            !own.iter().any(|prefix| {
                name.len() >= prefix.len() && name[..prefix.len()].eq_ignore_ascii_case(prefix.as_bytes())
            })
        })
        .cloned()
        .collect();
    headers.remove(SET_COOKIE);
    for value in kept {
        headers.append(SET_COOKIE, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Door;

    fn settings() -> Settings {
        Settings::new(HeaderValue::from_static("mlflow.example.com"))
    }

    fn map(pairs: &[(&str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(HeaderName::try_from(*name).unwrap(), HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    fn sent(pairs: &[(&str, &str)]) -> HeaderMap {
        let peer =
            Peer { address: "192.0.2.7".parse().unwrap(), trusted_front: false, secure: true, door: Door::Https };
        outward(map(pairs), &peer, "id-1", &HeaderValue::from_static("127.0.0.1:5000"), &settings())
    }

    #[test]
    fn hop_by_hop_fields_and_those_they_name_do_not_cross() {
        let headers = sent(&[
            ("connection", "keep-alive, X-Secret-Hop"),
            ("connection", "x-two"),
            ("x-secret-hop", "1"),
            ("x-two", "2"),
            ("keep-alive", "timeout=5"),
            ("te", "trailers"),
            ("trailer", "x"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("proxy-connection", "keep-alive"),
            ("content-length", "5"),
            ("expect", "100-continue"),
            ("accept", "*/*"),
        ]);
        let mut names: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        let wanted = ["accept", "host", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-request-id"];
        assert_eq!(names, wanted);
    }

    #[test]
    fn host_origin_and_forwarding_fields_are_ours_alone() {
        let headers = sent(&[
            ("host", "evil"),
            ("origin", "https://evil"),
            ("x-forwarded-for", "1.1.1.1"),
            ("x-forwarded-for", "2.2.2.2"),
            ("x-forwarded-host", "evil"),
            ("x-forwarded-proto", "http"),
            ("x-request-id", "theirs"),
            ("forwarded", "for=1.1.1.1"),
        ]);
        assert_eq!(headers["host"], "127.0.0.1:5000");
        assert!(!headers.contains_key("origin") && !headers.contains_key("forwarded"));
        let one = |name: &str| headers.get_all(name).iter().map(|v| v.to_str().unwrap().to_owned()).collect::<Vec<_>>();
        assert_eq!(one("x-forwarded-for"), ["192.0.2.7"]);
        assert_eq!(one("x-forwarded-host"), ["mlflow.example.com"]);
        assert_eq!(one("x-forwarded-proto"), ["https"]);
        assert_eq!(one("x-request-id"), ["id-1"]);
    }

    #[test]
    fn a_connection_field_cannot_remove_what_we_add() {
        let headers = sent(&[("connection", "x-forwarded-for, host, x-request-id")]);
        assert!(headers.contains_key("host"));
        assert!(headers.contains_key("x-forwarded-for"));
        assert!(headers.contains_key("x-request-id"));
    }

    #[test]
    fn the_server_may_not_set_our_cookies_nor_tell_its_name() {
        let mut headers = map(&[
            ("server", "uvicorn"),
            ("set-cookie", "a=1; Path=/"),
            ("set-cookie", "__Host-trackgate=evil; Path=/"),
            ("set-cookie", " __host-TRACKGATE-login=evil"),
            ("connection", "x-drop"),
            ("x-drop", "1"),
            ("content-length", "10"),
            ("transfer-encoding", "chunked"),
            ("content-type", "text/plain"),
        ]);
        inward(&mut headers, false, &settings().own_cookies);
        let cookies: Vec<_> = headers.get_all("set-cookie").iter().collect();
        assert_eq!(cookies, ["a=1; Path=/"]);
        assert_eq!(headers.len(), 2);
        assert_eq!(headers["content-type"], "text/plain");
    }

    #[test]
    fn the_answer_to_head_keeps_its_length() {
        let mut headers = map(&[("content-length", "10")]);
        inward(&mut headers, true, &[]);
        assert_eq!(headers["content-length"], "10");
    }
}
