//! Has a path one spelling, and does it lead to one row?

use http::{HeaderMap, HeaderValue, Method, Request as HttpRequest};
use percent_encoding::percent_decode_str;

use super::Bytes;
use crate::gate::clean::{self, Settings, Unclean};
use crate::message::{Body, Door, Peer};
use crate::policy::classify::{Classified, classify, rows};
use crate::policy::path::{Path, artifact};
use crate::policy::route::Verb;

/// A request target, and the fields that are read beside it, taken for whatever a client could send.
pub fn paths(data: &[u8]) {
    let mut bytes = Bytes::new(data);
    let choice = bytes.byte();
    let rest = bytes.rest();
    let Ok(text) = std::str::from_utf8(rest) else { return };
    let (target, host) = text.split_once('\n').unwrap_or((text, "mlflow.example"));
    if let Ok(path) = Path::parse(target) {
        one_spelling(&path);
        for prefix in ["", "/mlflow", "/a/b/"] {
            one_row(&path.clone().below(prefix));
        }
    }
    if artifact(text).is_ok() {
        let plain = format!("/{text}");
        assert!(text.is_empty() || Path::parse(&encoded(&plain)).is_ok_and(|path| path.as_str() == plain));
    }
    whole_request(choice, target, host);
}

/// What is accepted is a fixed point: decoding it again changes nothing, and what is sent on reads back as it.
fn one_spelling(path: &Path) {
    let text = path.as_str();
    assert!(text.starts_with('/'));
    assert!(!text.contains(['%', '\\', ';', '#', '?']) && !text.chars().any(char::is_control), "{text:?}");
    assert_eq!(percent_decode_str(text).decode_utf8().ok().as_deref(), Some(text));
    let inner = text[1..].strip_suffix('/').unwrap_or(&text[1..]);
    assert!(text == "/" || inner.split('/').all(|segment| !matches!(segment, "" | "." | "..")), "{text:?}");
    let sent = path.encoded();
    assert!(sent.is_ascii() && sent.parse::<http::uri::PathAndQuery>().is_ok(), "{sent}");
    assert!(Path::parse(&sent).is_ok_and(|again| again.as_str() == text), "{sent}");
}

/// A path belongs to at most one row, whose template it fills, and its captures are parts of it.
fn one_row(path: &Path) {
    let Some(place) = path.place() else { return };
    assert!(path.as_str().ends_with(place));
    for verb in [Verb::Get, Verb::Post, Verb::Put, Verb::Patch, Verb::Delete] {
        let fits = |row: &crate::policy::route::Row| {
            let inner = |prefix: &str| place.strip_prefix(prefix).is_some_and(|inner| fills(row.path, inner));
            row.verb == verb && (inner("api/") || inner("ajax-api/") || fills(row.path, place))
        };
        match classify(verb, path) {
            Classified::Call(call) => {
                assert!(fits(call.row), "{place} is no {}", call.row.path);
                for segment in
                    call.row.path.split('/').filter_map(|part| Some(part.split_once('{')?.1.split_once('}')?.0))
                {
                    let name = segment.trim_start_matches('*');
                    let value = call.capture(name);
                    assert!(value.is_some_and(|value| place.contains(value)), "{name} of {place}: {value:?}");
                }
            }
            Classified::WrongMethod | Classified::Unknown => {
                let strict = |row: &crate::policy::route::Row| !row.path.contains('{') && row.path == place;
                let lost = rows().find(|row| {
                    row.verb == verb && strict(row) && row.prefixes == crate::policy::route::Prefixes::None
                });
                assert!(lost.is_none(), "{place} is not found");
            }
        }
    }
}

fn fills(template: &str, place: &str) -> bool {
    let mut places = place.split('/');
    for part in template.split('/') {
        if part.starts_with("{*") {
            return places.next().is_some();
        }
        match places.next() {
            Some(text) if part.contains('{') => {
                // What stands beside a capture in its segment: `{model}:generateContent`, `@{organization}`.
                let before = part.split_once('{').map_or("", |(before, _)| before);
                let behind = part.split_once('}').map_or("", |(_, behind)| behind);
                let inner = text.strip_prefix(before).and_then(|text| text.strip_suffix(behind));
                if inner.is_none_or(str::is_empty) {
                    return false;
                }
            }
            Some(text) if text == part => {}
            Some(_) | None => return false,
        }
    }
    places.next().is_none()
}

/// The door as a whole: what passes it carries no identity and one host.
fn whole_request(choice: u8, target: &str, host: &str) {
    let Ok(url) = "https://mlflow.example/".parse() else { return };
    let settings = Settings::new(url);
    let peer = Peer { address: [127, 0, 0, 1].into(), trusted_front: false, secure: true, door: Door::Https };
    let methods =
        [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::OPTIONS];
    let mut builder = HttpRequest::builder().uri(target).method(&methods[usize::from(choice) % methods.len()]);
    let mut lines = host.split('\n');
    let Ok(value) = HeaderValue::from_str(lines.next().unwrap_or_default()) else { return };
    builder = builder.header("host", value);
    for line in lines.take(20) {
        if let Some((name, value)) = line.split_once(':') {
            builder = builder.header(name, value.trim());
        }
    }
    let Ok(request) = builder.body(()) else { return };
    let (parts, ()) = request.into_parts();
    match clean::clean("fuzz".into(), parts, Body::Empty, peer, &settings) {
        Ok((request, _)) => no_identity(&request.headers),
        Err(fault) => drop(Unclean::to_string(&fault)),
    }
}

fn no_identity(headers: &HeaderMap) {
    for name in headers.keys() {
        let name = name.as_str();
        let told = ["authorization", "cookie", "proxy-authorization", "forwarded", "connection", "upgrade", "te"];
        assert!(!told.contains(&name), "{name}");
        assert!(!name.starts_with("x-forwarded-") && name != "x-mlflow-authorization", "{name}");
        assert!(!name.contains('_'), "{name}: WSGI reads it as another field");
    }
}

fn encoded(path: &str) -> String {
    percent_encoding::utf8_percent_encode(path, percent_encoding::CONTROLS).to_string().replace(' ', "%20")
}
