//! Signing in at the running gate, as a browser does it.

use std::collections::BTreeMap;

use http::Request;
use serde_json::json;
use url::Url;

use crate::harness::client::nothing;
use crate::harness::gate::{Gate, Told};
use crate::harness::server::full;

/// A browser: it keeps cookies and says what it is doing.
pub(crate) struct Browser<'a> {
    pub(crate) gate: &'a Gate,
    pub(crate) cookies: BTreeMap<String, String>,
}

impl<'a> Browser<'a> {
    pub(crate) fn at(gate: &'a Gate) -> Self {
        Self { gate, cookies: BTreeMap::new() }
    }

    /// Asks for a page.
    pub(crate) async fn visit(&mut self, target: &str) -> Told {
        self.send("GET", target, &[("sec-fetch-mode", "navigate"), ("accept", "text/html")], "").await
    }

    pub(crate) async fn send(
        &mut self,
        method: &str,
        target: &str,
        fields: &[(&'static str, &str)],
        body: &str,
    ) -> Told {
        let payload = if body.is_empty() { nothing() } else { crate::harness::client::payload(body.to_owned()) };
        let mut request = Request::builder().method(method).uri(target).body(payload).unwrap();
        for (name, value) in fields {
            request.headers_mut().append(*name, value.parse().unwrap());
        }
        if !self.cookies.is_empty() {
            let all: Vec<String> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
            request.headers_mut().insert("cookie", all.join("; ").parse().unwrap());
        }
        let told = self.gate.anonymous().send(request).await;
        for field in told.headers.get_all("set-cookie") {
            let text = field.to_str().unwrap();
            assert!(text.starts_with("__Host-"), "{text}");
            assert!(text.contains("; Path=/; Secure; HttpOnly; SameSite=Lax"), "{text}");
            let (name, value) = text.split(';').next().unwrap().split_once('=').unwrap();
            if text.contains("Max-Age=0") {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        told
    }

    /// Signs in and comes back to `return_to`; gives the last answer.
    pub(crate) async fn sign_in(&mut self, return_to: &str) -> Told {
        let back: String = url::form_urlencoded::byte_serialize(return_to.as_bytes()).collect();
        let start = self.visit(&format!("/trackgate/login/test?return_to={back}")).await;
        assert_eq!(start.status, 303, "{}", start.text());
        let callback = self.gate.issuer.agree(start.header("location").unwrap());
        self.visit(target(&callback)).await
    }
}

/// What follows the host in an address of ours.
pub(crate) fn target(address: &str) -> &str {
    address.strip_prefix("https://mlflow.example.com").expect("an address of ours")
}

pub(crate) async fn gate() -> Gate {
    let gate = Gate::before(|_| async { full(200, "<title>MLflow</title>") }).await;
    gate.grant("user:alice@example.com", "experiment", "1", "READ").await;
    gate
}

#[tokio::test]
async fn a_person_is_sent_to_the_login_and_lands_where_they_wanted_to_be() {
    let gate = gate().await;
    let mut browser = Browser::at(&gate);
    let first = browser.visit("/?a=b%20c").await;
    assert!(first.status == 302 || first.status == 303, "{}", first.status);
    let login = first.header("location").unwrap().to_owned();
    assert_eq!(login, "/trackgate/login?return_to=%2F%3Fa%3Db%2520c");
    let page = browser.visit(&login).await;
    assert_eq!(page.status, 200);
    assert!(page.text().contains("Continue with Test"));
    assert!(page.text().contains("http-equiv=\"refresh\""), "one provider: straight on, without a script too");
    // The script adds the fragment that the browser kept.
    let landed = browser.sign_in("/?a=b%20c#/experiments/1").await;
    assert_eq!(landed.status, 303, "{}", landed.text());
    assert_eq!(landed.header("location"), Some("/?a=b%20c#/experiments/1"));
    assert_eq!(browser.cookies.keys().collect::<Vec<_>>(), ["__Host-trackgate"]);
    let record = gate.record(&landed).await;
    assert_eq!((&record["call"], &record["user"]), (&json!("FinishSignIn"), &json!("alice@example.com")));
    assert_eq!(browser.visit("/").await.text(), "<title>MLflow</title>");
}

#[tokio::test]
async fn only_a_navigation_is_sent_to_the_login() {
    let gate = gate().await;
    let html = ("accept", "text/html");
    for (method, fields, sent) in [
        ("GET", vec![html], true),
        ("GET", vec![("sec-fetch-mode", "navigate"), html], true),
        ("GET", vec![("sec-fetch-mode", "cors"), html], false),
        ("GET", vec![("sec-fetch-mode", "no-cors"), html], false),
        ("GET", vec![("accept", "application/json")], false),
        ("GET", vec![], false),
        ("POST", vec![("sec-fetch-mode", "navigate"), html], false),
        ("PUT", vec![html], false),
        ("DELETE", vec![html], false),
    ] {
        let told = Browser::at(&gate).send(method, "/", &fields, "").await;
        assert_eq!(told.header("location").is_some(), sent, "{method} {fields:?} {}", told.status);
        if !sent {
            assert!(told.status == 401 || told.status == 400, "{method} {fields:?} {}", told.status);
        }
    }
}

#[tokio::test]
async fn a_link_to_the_login_cannot_lead_elsewhere() {
    let gate = gate().await;
    for evil in
        ["//evil.example", "https://evil.example", "/\\evil.example", "/%09/evil.example", "javascript:alert(1)"]
    {
        let mut browser = Browser::at(&gate);
        let landed = browser.sign_in(evil).await;
        assert_eq!(landed.header("location"), Some("/"), "{evil}");
        let back: String = url::form_urlencoded::byte_serialize(evil.as_bytes()).collect();
        let page = browser.visit(&format!("/trackgate/login?return_to={back}")).await;
        assert!(!page.text().contains("evil"), "{evil}");
    }
}

#[tokio::test]
async fn a_login_that_goes_wrong_is_a_page_of_4xx_an_audit_record_and_no_session() {
    let gate = gate().await;
    let mut browser = Browser::at(&gate);
    let start = browser.visit("/trackgate/login/test").await;
    let state: String = Url::parse(start.header("location").unwrap())
        .unwrap()
        .query_pairs()
        .find(|(name, _)| name == "state")
        .unwrap()
        .1
        .into_owned();
    let iss: String = url::form_urlencoded::byte_serialize(gate.issuer.url.as_bytes()).collect();
    let cases = [
        ("/trackgate/callback/test".to_owned(), "login-malformed-answer"),
        ("/trackgate/callback/test?code=x".to_owned(), "login-malformed-answer"),
        (format!("/trackgate/callback/test?code=x&code=y&state={state}"), "login-malformed-answer"),
        ("/trackgate/callback/test?code=x&state=unknown-state-of-somebody".to_owned(), "login-not-started-here"),
        (format!("/trackgate/callback/nowhere?code=x&state={state}"), "login-no-such-provider"),
        ("/trackgate/login/nowhere".to_owned(), "login-no-such-provider"),
    ];
    for (target, reason) in cases {
        let told = Browser { gate: &gate, cookies: browser.cookies.clone() }.visit(&target).await;
        assert!((400..500).contains(&told.status), "{target} {}", told.status);
        assert!(told.text().contains("Signing in did not work"));
        assert_eq!(gate.record(&told).await["reason"], reason, "{target}");
    }
    let told = browser.visit("/trackgate/login/nowhere?return_to=%2F%23%2Fexperiments%2F1").await;
    let again = "/trackgate/login?return_to=%2F%23%2Fexperiments%2F1";
    assert!(told.text().contains(again), "one failure loses what was asked for first: {}", told.text());
    let told = browser.visit("/trackgate/login/nowhere?return_to=https%3A%2F%2Fevil.example").await;
    assert!(!told.text().contains("evil"), "{}", told.text());
    let refused = format!("/trackgate/callback/test?error=%3Cb%3Eaccess_denied&state={state}&iss={iss}");
    let told = browser.visit(&refused).await;
    assert_eq!(told.status, 403);
    assert!(told.text().contains("baccess_denied") && !told.text().contains("<b>access"));
    assert!(!browser.cookies.contains_key("__Host-trackgate"));
}

#[tokio::test]
async fn a_login_cannot_be_started_in_the_background() {
    let gate = gate().await;
    let told = Browser::at(&gate).send("GET", "/trackgate/login/test", &[("sec-fetch-mode", "no-cors")], "").await;
    assert_eq!((told.status, told.header("location")), (400, None));
    assert_eq!(told.header("set-cookie"), None);
}

#[tokio::test]
async fn no_secret_of_a_login_stands_in_any_log() {
    let gate = gate().await;
    let mut browser = Browser::at(&gate);
    let start = browser.visit("/trackgate/login/test").await;
    let sealed = browser.cookies.values().next().unwrap().clone();
    let asked = Url::parse(start.header("location").unwrap()).unwrap();
    let callback = gate.issuer.agree(asked.as_str());
    let landed = browser.visit(target(&callback)).await;
    assert_eq!(landed.status, 303);
    gate.record(&landed).await;
    let log = gate.audit_text();
    let answer = Url::parse(&callback).unwrap();
    let parts = asked.query_pairs().chain(answer.query_pairs());
    for (name, value) in parts.filter(|(name, _)| ["state", "nonce", "code", "code_challenge"].contains(&&**name)) {
        assert!(!log.contains(&*value), "{name} in the audit log");
    }
    for secret in [&sealed, &browser.cookies["__Host-trackgate"]] {
        assert!(!log.contains(secret.as_str()));
    }
}

#[tokio::test]
async fn our_pages_carry_their_headers_and_their_assets_are_there() {
    let gate = gate().await;
    let mut browser = Browser::at(&gate);
    for page in ["/trackgate/login", "/trackgate/logout", "/trackgate/logged-out"] {
        let told = browser.visit(page).await;
        assert_eq!(told.status, 200, "{page}");
        let policy = told.header("content-security-policy").unwrap();
        assert!(policy.starts_with("default-src 'none'") && policy.contains("frame-ancestors 'none'"), "{policy}");
        assert_eq!(told.header("cache-control"), Some("no-store"));
        assert_eq!(told.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(told.header("referrer-policy"), Some("no-referrer"));
        let text = told.text();
        let style = text.split('"').find(|part| part.starts_with("/trackgate/assets/style-")).unwrap();
        let asset = browser.visit(style).await;
        assert_eq!((asset.status, asset.header("content-type")), (200, Some("text/css; charset=utf-8")));
    }
    assert_eq!(browser.visit("/trackgate/assets/none.css").await.status, 404);
    assert_eq!(browser.visit("/trackgate/livez").await.text(), "ok\n");
}
