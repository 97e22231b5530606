//! Which header fields may pass, and which end the request?

use http::header::{
    CONNECTION, CONTENT_LENGTH, EXPECT, HeaderName, PROXY_AUTHENTICATE, TE, TRAILER, TRANSFER_ENCODING, UPGRADE, VIA,
};
use http::{HeaderMap, Version};

use super::{Unclean, is_old};
use crate::message::remove_fields;
use crate::mlflow::ids::WorkspaceName;
use crate::policy::route::Verb;

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const HTTP2_SETTINGS: HeaderName = HeaderName::from_static("http2-settings");

const WORKSPACE: HeaderName = HeaderName::from_static("x-mlflow-workspace");

static OF_THE_CONNECTION: [HeaderName; 8] =
    [CONNECTION, KEEP_ALIVE, PROXY_CONNECTION, PROXY_AUTHENTICATE, TE, TRAILER, UPGRADE, HTTP2_SETTINGS];

/// WSGI and CGI make the same variable of `a-b` and `a_b`.
pub(super) fn check_names(headers: &HeaderMap) -> Result<(), Unclean> {
    if headers.keys().any(|name| name.as_str().contains('_')) { Err(Unclean::Underscore) } else { Ok(()) }
}

/// One way to tell the body's length (RFC 9112 section 6). hyper has refused the worst by now; what it repairs is
/// refused here.
pub(super) fn check_framing(headers: &HeaderMap, version: Version) -> Result<(), Unclean> {
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    let length = lengths.next();
    if lengths.next().is_some() || length.is_some_and(|value| !value.as_bytes().iter().all(u8::is_ascii_digit)) {
        return Err(Unclean::Framing);
    }
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    if let Some(coding) = codings.next() {
        if version == Version::HTTP_2 {
            return Err(Unclean::ConnectionField);
        }
        if length.is_some() || codings.next().is_some() {
            return Err(Unclean::Framing);
        }
        if is_old(version) || !coding.as_bytes().eq_ignore_ascii_case(b"chunked") {
            return Err(Unclean::TransferCoding);
        }
    }
    for expectation in headers.get_all(EXPECT) {
        if !expectation.as_bytes().eq_ignore_ascii_case(b"100-continue") {
            return Err(Unclean::Expectation);
        }
    }
    Ok(())
}

/// Removes the fields of this connection and those that `Connection` names. Tells whether the client wishes for a
/// WebSocket; `h2c` and all else is not heard (RFC 9110 section 7.8 allows that).
pub(super) fn strip_connection(headers: &mut HeaderMap, verb: Verb, version: Version) -> Result<bool, Unclean> {
    let mut upgrade = false;
    if headers.contains_key(CONNECTION) {
        if version == Version::HTTP_2 {
            return Err(Unclean::ConnectionField);
        }
        let mut named = Vec::new();
        for value in headers.get_all(CONNECTION) {
            let value = value.to_str().map_err(|_| Unclean::ConnectionNames)?;
            for word in value.split(',').map(str::trim).filter(|word| !word.is_empty()) {
                if word.eq_ignore_ascii_case("upgrade") {
                    upgrade = true;
                }
                let name = HeaderName::try_from(word).map_err(|_| Unclean::ConnectionNames)?;
                if must_not_vanish(&name) {
                    return Err(Unclean::ConnectionNames);
                }
                named.push(name);
            }
        }
        let wish = upgrade && verb == Verb::Get && wishes_websocket(headers);
        upgrade = wish;
        for name in named {
            headers.remove(name);
        }
    }
    remove_fields(headers, &OF_THE_CONNECTION);
    Ok(upgrade)
}

fn wishes_websocket(headers: &HeaderMap) -> bool {
    let mut wishes = headers.get_all(UPGRADE).iter();
    let (wish, none) = (wishes.next(), wishes.next());
    none.is_none() && wish.is_some_and(|wish| wish.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

/// Fields that decide something; a client that asks for their removal wants them not to be seen.
fn must_not_vanish(name: &HeaderName) -> bool {
    let name = name.as_str();
    matches!(
        name,
        "host"
            | "content-length"
            | "content-type"
            | "content-encoding"
            | "transfer-encoding"
            | "authorization"
            | "cookie"
            | "origin"
            | "expect"
            | "range"
            | "x-request-id"
    ) || name.starts_with("sec-")
        || tells_identity(name)
}

/// The workspace that a request names. MLflow takes the default one where none is named or the name is empty, as its pages
/// send it (3.17.2, `resolve_workspace_from_header`, which also trims: here a name has one spelling).
pub(super) fn workspace(headers: &HeaderMap) -> Result<WorkspaceName, Unclean> {
    let mut fields = headers.get_all(WORKSPACE).iter();
    let (field, further) = (fields.next(), fields.next());
    if further.is_some() {
        return Err(Unclean::Workspace(None));
    }
    let Some(field) = field.filter(|field| !field.is_empty()) else { return Ok(WorkspaceName::default()) };
    let name = field.to_str().map_err(|_| Unclean::Workspace(None))?;
    WorkspaceName::parse(name).map_err(|bad| Unclean::Workspace(Some(bad)))
}

/// Removes every field by which we, MLflow, or another gate's habits tell who is asking or where from.
pub(super) fn strip_identity(headers: &mut HeaderMap) {
    let found: Vec<HeaderName> = headers.keys().filter(|name| tells_identity(name.as_str())).cloned().collect();
    for name in found {
        headers.remove(name);
    }
    headers.remove(VIA);
}

fn tells_identity(name: &str) -> bool {
    const NAMES: [&str; 19] = [
        "forwarded",
        "proxy",
        "remote-user",
        "x-remote-user",
        "x-real-ip",
        "x-client-ip",
        "x-cluster-client-ip",
        "true-client-ip",
        "cf-connecting-ip",
        "x-mlflow-workspace",
        "x-mlflow-authorization",
        // Asks MLflow's gateway to leave out an endpoint's guardrails (3.17.2, `_get_guardrails_and_auth`).
        "x-mlflow-guardrail-bypass",
        // Becomes the gateway's own word for who called (3.17.2, `_extract_caller`).
        "x-mlflow-gateway-caller",
        "x-authenticated-user",
        "x-authenticated-groups",
        "x-user",
        "x-username",
        "x-email",
        "x-webauth-user",
    ];
    const BEGINNINGS: [&str; 9] = [
        "x-forwarded-",
        "x-auth-request-",
        "x-goog-",
        "x-original-",
        "x-rewrite-",
        "x-http-method",
        "x-method-override",
        "x-ms-client-principal",
        "x-trackgate-",
    ];
    let first = name.as_bytes().first();
    // Most fields begin otherwise.
    matches!(first, Some(b'x' | b'f' | b'p' | b'r' | b't' | b'c'))
        && (NAMES.contains(&name) || BEGINNINGS.iter().any(|beginning| name.starts_with(beginning)))
}
