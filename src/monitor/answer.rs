//! What does the monitor answer?

use std::fmt::Write as _;

use bytes::Bytes;
use http::header::{ACCEPT, ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderMap, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use http::{Method, Response, StatusCode, Uri};
use http_body_util::Full;
use serde_json::json;

use super::{Fact, Told};
use crate::metrics;

const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// Answers one request. Never fails, never waits.
pub(super) fn answer(method: &Method, uri: &Uri, headers: &HeaderMap, told: &Told) -> Response<Full<Bytes>> {
    let known = matches!(uri.path(), "/livez" | "/readyz" | "/metrics");
    if !known {
        return say(StatusCode::NOT_FOUND, TEXT, "not found\n".to_owned());
    }
    if !matches!(*method, Method::GET | Method::HEAD) {
        let mut answer = say(StatusCode::METHOD_NOT_ALLOWED, TEXT, "only GET and HEAD\n".to_owned());
        answer.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return answer;
    }
    let (findings, besides) = match uri.path() {
        "/metrics" => {
            return say(StatusCode::OK, HeaderValue::from_static(metrics::CONTENT_TYPE), told.metrics.text());
        }
        "/livez" => (vec![("workers", workers(told))], Vec::new()),
        _ => (told.ready.look(), told.ready.besides()),
    };
    health(&findings, &besides, Form::wanted(uri.query(), headers))
}

/// Whether the workers answer.
fn workers(told: &Told) -> Fact {
    let silent = told.alive.silent_for(told.dead_after);
    if silent.is_empty() { Ok(()) } else { Err(format!("no sign of life from {}", silent.join(", "))) }
}

/// How much is said, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// One line.
    Brief,
    /// One line for each part.
    Verbose,
    /// All of it, for programs.
    Json,
}

impl Form {
    /// `?verbose`, `?format=json`, or `Accept: application/json`.
    fn wanted(query: Option<&str>, headers: &HeaderMap) -> Self {
        let asked = |wanted: &str| query.is_some_and(|query| query.split('&').any(|one| one == wanted));
        let json = |value: &HeaderValue| value.as_bytes().starts_with(b"application/json");
        if asked("format=json") || headers.get(ACCEPT).is_some_and(json) {
            Self::Json
        } else if asked("verbose") || asked("verbose=1") || asked("verbose=true") {
            Self::Verbose
        } else {
            Self::Brief
        }
    }
}

/// 200 when all is well, else 503 with what is not. What is told `besides` changes nothing of that.
fn health(findings: &[(&'static str, Fact)], besides: &[(&'static str, Fact)], form: Form) -> Response<Full<Bytes>> {
    let missing: Vec<&str> = findings.iter().filter(|(_, fact)| fact.is_err()).map(|(name, _)| *name).collect();
    let status = if missing.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let wrong: Vec<&str> = besides.iter().filter(|(_, fact)| fact.is_err()).map(|(name, _)| *name).collect();
    let mut brief = if missing.is_empty() { "ok\n".to_owned() } else { format!("failing: {}\n", missing.join(", ")) };
    if !wrong.is_empty() {
        let _ = writeln!(brief, "told besides: {}", wrong.join(", "));
    }
    match form {
        Form::Brief => say(status, TEXT, brief),
        Form::Verbose => {
            let mut text = String::new();
            for (name, fact) in findings {
                let _ = match fact {
                    Ok(()) => writeln!(text, "[+] {name}: ok"),
                    Err(why) => writeln!(text, "[-] {name}: {why}"),
                };
            }
            for (name, fact) in besides {
                let _ = match fact {
                    Ok(()) => writeln!(text, "[+] {name}: ok"),
                    Err(why) => writeln!(text, "[!] {name}: {why}"),
                };
            }
            say(status, TEXT, text + &brief)
        }
        Form::Json => {
            let parts: serde_json::Map<_, _> = findings
                .iter()
                .chain(besides)
                .map(|(name, fact)| {
                    let part = match fact {
                        Ok(()) => json!({"ok": true}),
                        Err(why) => json!({"ok": false, "why": why}),
                    };
                    ((*name).to_owned(), part)
                })
                .collect();
            say(status, JSON, json!({"ok": missing.is_empty(), "parts": parts}).to_string() + "\n")
        }
    }
}

fn say(status: StatusCode, kind: HeaderValue, text: String) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::new(Bytes::from(text)));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, kind);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    answer
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http_body_util::BodyExt as _;

    use super::super::{Alive, Readiness};
    use super::*;

    fn told() -> Told {
        let ready = Readiness::default();
        ready.needs("store", || Ok(()));
        let metrics = metrics::Metrics::new();
        Told { alive: Alive::default(), dead_after: Duration::from_secs(15), ready, metrics }
    }

    fn ask(told: &Told, method: &Method, target: &str) -> (u16, String) {
        let answer = answer(method, &target.parse().unwrap(), &HeaderMap::new(), told);
        let status = answer.status().as_u16();
        let body = futures_util::FutureExt::now_or_never(answer.into_body().collect()).unwrap().unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    fn get(told: &Told, target: &str) -> (u16, String) {
        ask(told, &Method::GET, target)
    }

    #[test]
    fn what_is_missing_is_named_as_text_and_as_json() {
        let told = told();
        assert_eq!(get(&told, "/readyz"), (200, "ok\n".to_owned()));
        told.ready.needs("upstream", || Err("not heard of for 20 s".to_owned()));
        assert_eq!(get(&told, "/readyz"), (503, "failing: upstream\n".to_owned()));
        let (status, text) = get(&told, "/readyz?verbose");
        assert_eq!(status, 503);
        assert_eq!(text, "[+] store: ok\n[-] upstream: not heard of for 20 s\nfailing: upstream\n");
        let (status, text) = get(&told, "/readyz?format=json");
        assert_eq!(status, 503);
        let said: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(
            said,
            json!({"ok": false, "parts": {"store": {"ok": true},
                   "upstream": {"ok": false, "why": "not heard of for 20 s"}}})
        );
        assert_eq!(get(&told, "/livez").0, 200, "what is not ready is not dead");
    }

    #[test]
    fn what_is_wrong_and_holds_nothing_up_is_told_with_200() {
        let told = told();
        told.ready.tells("configuration", || Err("line 3: `listn` is not a key".to_owned()));
        let (status, text) = get(&told, "/readyz");
        assert_eq!((status, text.as_str()), (200, "ok\ntold besides: configuration\n"));
        assert!(get(&told, "/readyz?verbose").1.contains("[!] configuration: line 3"));
        let (status, text) = get(&told, "/readyz?format=json");
        let said: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!((status, &said["ok"], &said["parts"]["configuration"]["ok"]), (200, &json!(true), &json!(false)));
    }

    #[test]
    fn a_dead_worker_is_named() {
        let told = told();
        drop(told.alive.expect("worker-1"));
        assert_eq!(get(&told, "/livez"), (503, "failing: workers\n".to_owned()));
        assert!(get(&told, "/livez?verbose").1.contains("worker-1"));
    }

    #[test]
    fn numbers_are_open_metrics() {
        let told = told();
        let answer = answer(&Method::GET, &"/metrics?x".parse().unwrap(), &HeaderMap::new(), &told);
        assert_eq!(answer.headers()[CONTENT_TYPE], "application/openmetrics-text; version=1.0.0; charset=utf-8");
        assert!(get(&told, "/metrics").1.ends_with("# EOF\n"));
    }

    #[test]
    fn nothing_else_is_known_and_nothing_but_reading() {
        let told = told();
        for target in ["/", "/api/2.0/mlflow/experiments/search", "/readyz/", "/READYZ", "//readyz", "/livez/..", "*"] {
            assert_eq!(get(&told, target).0, 404, "{target}");
        }
        for method in [Method::POST, Method::PUT, Method::DELETE, Method::OPTIONS, Method::TRACE, Method::CONNECT] {
            assert_eq!(ask(&told, &method, "/readyz").0, 405, "{method}");
        }
        assert_eq!(ask(&told, &Method::HEAD, "/readyz").0, 200);
    }
}
