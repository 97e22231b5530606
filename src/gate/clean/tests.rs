use http::header::HOST;
use http::{HeaderValue, Request as HttpRequest};

use http::HeaderName;

use super::*;
use crate::message::Door;
use crate::policy::classify::{Classified, classify};

fn settings() -> Settings {
    Settings { static_prefix: String::new(), ..Settings::new(Url::parse("https://mlflow.example.com:8443/").unwrap()) }
}

fn peer() -> Peer {
    Peer { address: "10.0.0.9".parse().unwrap(), trusted_front: false, secure: false, door: Door::Plain }
}

struct Sent {
    parts: Parts,
    body: Body,
}

fn sent(method: &str, target: &str) -> Sent {
    let request = HttpRequest::builder().method(method).uri(target).header(HOST, "mlflow.example.com:8443");
    Sent { parts: request.body(()).unwrap().into_parts().0, body: Body::Empty }
}

impl Sent {
    fn with(mut self, name: &str, value: &str) -> Self {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        self.parts.headers.append(name, HeaderValue::from_str(value).unwrap());
        self
    }

    fn without(mut self, name: &str) -> Self {
        self.parts.headers.remove(name);
        self
    }

    fn version(mut self, version: Version) -> Self {
        self.parts.version = version;
        self
    }

    fn body(mut self, body: &str) -> Self {
        self.body = Body::from(body.as_bytes().to_vec());
        self
    }

    fn clean(self) -> Result<Request, Unclean> {
        clean(Arc::from("id"), self.parts, self.body, peer(), &settings()).map(|(request, _)| request)
    }

    fn fault(self) -> Unclean {
        self.clean().unwrap_err()
    }
}

#[test]
fn an_ordinary_request_passes_with_its_credentials_apart() {
    let request = sent("GET", "/api/2.0/mlflow/runs/get?run_id=1")
        .with("authorization", "Bearer x")
        .with("cookie", "__Host-trackgate=secret")
        .with("accept", "application/json");
    let (request, credentials) = clean(Arc::from("id"), request.parts, request.body, peer(), &settings()).unwrap();
    assert_eq!(request.verb, Verb::Get);
    assert_eq!(request.query.as_deref(), Some("run_id=1"));
    let names: Vec<&str> = request.headers.keys().map(HeaderName::as_str).collect();
    assert_eq!(names, ["host", "accept"]);
    assert!(!credentials.is_empty());
}

#[test]
fn methods_without_rows_are_refused_and_head_is_get() {
    for method in ["OPTIONS", "TRACE", "CONNECT", "get", "PROPFIND", "Post"] {
        assert_eq!(sent(method, "/").fault(), Unclean::Method, "{method}");
    }
    let head = sent("HEAD", "/").clean().unwrap();
    assert!(head.head_only && head.verb == Verb::Get);
}

#[test]
fn there_is_one_host_and_it_is_ours() {
    assert_eq!(sent("GET", "/").without("host").fault(), Unclean::NoHost);
    assert_eq!(sent("GET", "/").with("host", "mlflow.example.com").fault(), Unclean::BadHost);
    assert_eq!(sent("GET", "https://mlflow.example.com/").fault(), Unclean::HostsDiffer);
    assert_eq!(sent("GET", "https://evil.example/").without("host").fault(), Unclean::UnknownHost);
    assert_eq!(sent("GET", "/").without("host").with("host", "evil.example").fault(), Unclean::UnknownHost);
    assert_eq!(sent("GET", "/").without("host").with("host", "a b").fault(), Unclean::BadHost);
    assert!(sent("GET", "https://MLFLOW.example.com:8443/").clean().is_ok());
    assert!(sent("GET", "https://mlflow.example.com/").without("host").version(Version::HTTP_2).clean().is_ok());
    assert!(sent("GET", PROBE).without("host").with("host", "10.1.2.3").clean().is_ok());
}

#[test]
fn a_length_told_twice_is_refused() {
    let post = || sent("POST", "/api/2.0/mlflow/runs/create").body("{}");
    assert_eq!(post().with("content-length", "2").with("transfer-encoding", "chunked").fault(), Unclean::Framing);
    assert_eq!(post().with("content-length", "2").with("content-length", "2").fault(), Unclean::Framing);
    assert_eq!(post().with("content-length", "+2").fault(), Unclean::Framing);
    assert_eq!(post().with("content-length", "2, 2").fault(), Unclean::Framing);
    assert_eq!(
        post().with("transfer-encoding", "chunked").with("transfer-encoding", "chunked").fault(),
        Unclean::Framing
    );
    assert_eq!(post().with("transfer-encoding", "gzip, chunked").fault(), Unclean::TransferCoding);
    assert_eq!(post().with("transfer-encoding", "xchunked").fault(), Unclean::TransferCoding);
    assert_eq!(post().with("transfer-encoding", "chunked").version(Version::HTTP_10).fault(), Unclean::TransferCoding);
    assert_eq!(post().with("transfer-encoding", "chunked").version(Version::HTTP_2).fault(), Unclean::ConnectionField);
    assert!(post().with("transfer-encoding", "Chunked").clean().is_ok());
}

#[test]
fn connection_removes_its_own_fields_and_no_others() {
    let request = sent("GET", "/").with("connection", "keep-alive, x-hop").with("x-hop", "1").with("te", "trailers");
    assert_eq!(request.clean().unwrap().headers.len(), 1);
    for name in [
        "host",
        "authorization",
        "Cookie",
        "content-length",
        "X-Forwarded-For",
        "origin",
        "sec-fetch-site",
        "x-goog-iap-jwt-assertion",
    ] {
        assert_eq!(sent("GET", "/").with("connection", name).fault(), Unclean::ConnectionNames, "{name}");
    }
    assert_eq!(sent("GET", "/").with("connection", "close").version(Version::HTTP_2).fault(), Unclean::ConnectionField);
}

#[test]
fn only_a_websocket_may_be_wished_for() {
    let upgrade = |to: &str| sent("GET", "/").with("connection", "Upgrade").with("upgrade", to).clean().unwrap();
    assert_eq!(upgrade("WebSocket").headers["upgrade"], "websocket");
    assert!(!upgrade("h2c").headers.contains_key("upgrade"));
    assert!(!upgrade("websocket, h2c").headers.contains_key("upgrade"));
    assert!(!sent("GET", "/").with("upgrade", "websocket").clean().unwrap().headers.contains_key("upgrade"));
    let post = sent("POST", "/").with("connection", "upgrade").with("upgrade", "websocket").clean().unwrap();
    assert!(!post.headers.contains_key("upgrade"));
}

#[test]
fn nobody_tells_from_outside_who_they_are() {
    let names = [
        "X-Forwarded-User",
        "X-Forwarded-Email",
        "X-Forwarded-Groups",
        "X-Forwarded-For",
        "X-Forwarded-Host",
        "X-Auth-Request-User",
        "X-Remote-User",
        "Remote-User",
        "X-Goog-Authenticated-User-Email",
        "X-Goog-Iap-Jwt-Assertion",
        "Forwarded",
        "X-Real-IP",
        "X-Original-URL",
        "X-Rewrite-URL",
        "X-HTTP-Method-Override",
        "Proxy",
        "Authorization",
        "Proxy-Authorization",
        "Cookie",
        "X-MLFLOW-WORKSPACE",
        "X-MLflow-Authorization",
        "X-Trackgate-User",
        "Via",
    ];
    for path in ["/", PROBE, "/trackgate/login", "/api/2.0/mlflow/experiments/search"] {
        let request = names.iter().fold(sent("GET", path), |sent, name| sent.with(name, "alice"));
        let headers = request.clean().unwrap().headers;
        assert_eq!(headers.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["host"], "{path}");
    }
    for name in ["X_Forwarded_User", "remote_user", "Content_Length", "a_b"] {
        assert_eq!(sent("GET", "/").with(name, "x").fault(), Unclean::Underscore, "{name}");
    }
}

#[test]
fn a_get_has_no_body() {
    assert_eq!(sent("GET", "/api/2.0/mlflow/runs/get").body("{}").fault(), Unclean::BodyOnGet);
    assert_eq!(sent("HEAD", "/").body("x").fault(), Unclean::BodyOnGet);
    assert!(sent("GET", "/").body("").clean().is_ok());
}

#[test]
fn another_site_changes_nothing_with_a_persons_cookie() {
    let judge = |sent: Sent| check_origin(&sent.clean().unwrap(), &settings());
    let post = || sent("POST", "/api/2.0/mlflow/runs/create").body("{}").with("content-type", "application/json");
    assert_eq!(judge(post().with("origin", "https://evil.example")), Err(Unclean::ForeignOrigin));
    assert_eq!(judge(post().with("sec-fetch-site", "same-site")), Err(Unclean::ForeignOrigin));
    assert_eq!(judge(post().with("origin", "https://mlflow.example.com:8443")), Ok(()));
    assert_eq!(judge(post()), Ok(()));
    let form = sent("POST", "/api/2.0/mlflow/runs/create").body("{}").with("content-type", "text/plain");
    assert_eq!(judge(form), Err(Unclean::ForeignOrigin));
    // A program behind IAP that stores a text file.
    let put = || sent("PUT", "/api/2.0/mlflow-artifacts/artifacts/1/x").body("x").with("content-type", "text/plain");
    assert_eq!(judge(put()), Ok(()));
    assert_eq!(judge(put().with("sec-fetch-site", "cross-site")), Err(Unclean::ForeignOrigin));
    assert_eq!(judge(sent("GET", "/").with("origin", "https://evil.example")), Ok(()));
}

#[test]
fn other_expectations_and_long_urls_are_refused() {
    assert_eq!(sent("PUT", "/").with("expect", "200-ok").fault(), Unclean::Expectation);
    assert!(sent("PUT", "/").with("expect", "100-Continue").clean().is_ok());
    let long = format!("/{}", "a".repeat(17_000));
    assert_eq!(sent("GET", &long).fault(), Unclean::UrlTooLong { most: 16 * 1024 });
}

#[test]
fn a_json_row_takes_plain_json_alone() {
    let judge = |path: &str, lines: &[(&str, &str)]| {
        let request =
            lines.iter().fold(sent("POST", path), |sent, (name, value)| sent.with(name, value)).clean().unwrap();
        let Classified::Call(call) = classify(request.verb, &request.path) else { panic!("{path}") };
        check_body(&call, &request)
    };
    let json = ("content-type", "application/json");
    let create = "/api/2.0/mlflow/runs/create";
    assert_eq!(judge(create, &[json]), Ok(()));
    assert_eq!(judge(create, &[("content-type", "Application/JSON; charset=UTF-8")]), Ok(()));
    for kind in ["text/plain", "application/jsonx", "application/json; charset=utf-16", ""] {
        assert_eq!(judge(create, &[("content-type", kind)]), Err(Unclean::NotJson), "{kind}");
    }
    assert_eq!(judge(create, &[]), Err(Unclean::NotJson));
    assert_eq!(judge(create, &[json, json]), Err(Unclean::NotJson));
    assert_eq!(judge(create, &[json, ("content-encoding", "gzip")]), Err(Unclean::EncodedBody));
    assert_eq!(judge("/ajax-api/2.0/mlflow/upload-artifact", &[("content-encoding", "gzip")]), Ok(()));
}
