//! Browser sessions at the running gate.

use serde_json::json;

use super::login::{Browser, gate};

const SESSION: &str = "__Host-trackgate";
const CREATE: &str = "/ajax-api/2.0/mlflow/experiments/create";
const OURS: (&str, &str) = ("origin", "https://mlflow.example.com");
const JSON: (&str, &str) = ("content-type", "application/json");

#[tokio::test]
async fn no_cookie_ever_reaches_mlflow_and_none_of_ours_comes_from_it() {
    let gate = crate::harness::gate::Gate::before(|_| async {
        let mut answer = crate::harness::server::full(200, "{}");
        for cookie in ["__Host-trackgate=planted; Path=/", "theme=dark"] {
            answer.headers_mut().append("set-cookie", cookie.parse().unwrap());
        }
        answer
    })
    .await;
    let mut browser = Browser::at(&gate);
    browser.sign_in("/").await;
    let secret = browser.cookies[SESSION].clone();
    browser.cookies.insert("other".to_owned(), "1".to_owned());
    let request = http::Request::get("/").body(crate::harness::client::nothing()).unwrap();
    let told = gate.showing("cookie", format!("{SESSION}={secret}; other=1")).send(request).await;
    assert_eq!(told.status, 200, "{}", told.text());
    let set: Vec<_> = told.headers.get_all("set-cookie").iter().collect();
    assert!(set.iter().all(|field| !field.to_str().unwrap().contains(SESSION)), "{set:?}");
    let seen = gate.upstream.seen();
    assert!(!seen.is_empty());
    for request in seen {
        assert!(!request.headers.contains_key("cookie"), "{request:?}");
    }
}

#[tokio::test]
async fn another_sites_page_cannot_change_anything_with_our_cookie() {
    let gate = gate().await;
    let mut browser = Browser::at(&gate);
    browser.sign_in("/").await;
    let body = json!({"name": "x"}).to_string();
    for fields in [
        vec![("sec-fetch-site", "cross-site"), ("origin", "https://evil.example"), JSON],
        vec![("sec-fetch-site", "same-site"), ("origin", "https://evil.mlflow.example.com"), JSON],
        vec![("origin", "https://evil.example"), JSON],
        vec![("origin", "null"), JSON],
        vec![("sec-fetch-site", "cross-site"), JSON],
        vec![("content-type", "text/plain")],
        vec![("content-type", "application/x-www-form-urlencoded")],
    ] {
        let told = browser.send("POST", CREATE, &fields, &body).await;
        assert_eq!(told.status, 403, "{fields:?} {}", told.text());
    }
    assert!(gate.upstream.seen().iter().all(|seen| !seen.target.contains("create")));
    // Our own page may; whether the person may is another question.
    let told = browser.send("POST", CREATE, &[("sec-fetch-site", "same-origin"), OURS, JSON], &body).await;
    assert_eq!(gate.record(&told).await["reason"], "no-grant", "{}", told.text());
}

#[tokio::test]
async fn signing_out_needs_our_own_page_and_acts_at_once() {
    let gate = gate().await;
    let mut browser = Browser::at(&gate);
    browser.sign_in("/").await;
    let kept = browser.cookies.clone();
    let elsewhere = [("sec-fetch-site", "cross-site"), ("origin", "https://evil.example")];
    assert_eq!(browser.send("POST", "/trackgate/logout", &elsewhere, "").await.status, 403);
    assert_eq!(browser.visit("/").await.status, 200, "still signed in");
    assert!(browser.visit("/trackgate/logout").await.text().contains("alice@example.com"));
    assert_eq!(browser.visit("/").await.status, 200, "looking at the page signs nobody out");
    // A form on a page with `Referrer-Policy: no-referrer` says `Origin: null`.
    let form = [("sec-fetch-site", "same-origin"), ("origin", "null"), ("sec-fetch-mode", "navigate")];
    let out = browser.send("POST", "/trackgate/logout", &form, "").await;
    assert_eq!(out.status, 200, "{}", out.text());
    assert!(out.text().contains(&format!("{}/end-session?", gate.issuer.url)), "on to the provider");
    assert!(browser.cookies.is_empty());
    assert_eq!(gate.record(&out).await["user"], "alice@example.com");
    browser.cookies = kept;
    let again = browser.visit("/").await;
    assert!(again.header("location").unwrap().starts_with("/trackgate/login"), "the old cookie is worth nothing");
    assert_eq!(browser.send("GET", "/trackgate/whoami", &[], "").await.status, 401);
}

#[tokio::test]
async fn repeated_or_strange_session_cookies_are_refused_and_never_a_server_error() {
    let gate = gate().await;
    let mut browser = Browser::at(&gate);
    browser.sign_in("/").await;
    let good = browser.cookies[SESSION].clone();
    for (cookie, status) in [
        (format!("{SESSION}={good}; {SESSION}={good}"), 400),
        (format!("{SESSION}={good}; {SESSION}=x"), 400),
        (format!("{SESSION}="), 401),
        (format!("{SESSION}=%00%ff"), 401),
        (format!("{SESSION}={}", "A".repeat(8000)), 401),
        (format!("{SESSION}={good}"), 200),
    ] {
        let told = gate.showing("cookie", cookie.clone()).get("/trackgate/whoami").await;
        assert_eq!(told.status, status, "{cookie:.60}");
    }
}

#[tokio::test]
async fn who_am_i_tells_a_person_who_they_are() {
    let gate = gate().await;
    let mut browser = Browser::at(&gate);
    browser.sign_in("/").await;
    let told = browser.send("GET", "/trackgate/whoami", &[], "").await;
    let me = told.json();
    assert_eq!((&me["user"], &me["proof"]), (&json!("alice@example.com"), &json!("session")));
    assert!(me["until"].as_str().unwrap().ends_with('Z'));
    let token = gate.issuer.bearer(crate::harness::gate::AUDIENCE, &json!({}));
    let script = gate.showing("authorization", format!("Bearer {token}")).get("/trackgate/whoami").await.json();
    assert_eq!((&script["proof"], &script["user"]), (&json!("bearer"), &json!("alice@example.com")));
    // The same name from the same issuer for another person (`sub`) is not alice.
    assert_eq!(gate.bearer("alice").get("/trackgate/whoami").await.status, 403);
}

#[tokio::test]
async fn the_uis_background_calls_get_401_when_the_session_has_ended() {
    let gate = gate().await;
    let mut browser = Browser::at(&gate);
    browser.cookies.insert(SESSION.to_owned(), "A".repeat(43));
    let told = browser.send("GET", "/ajax-api/2.0/mlflow/experiments/search", &[("sec-fetch-mode", "cors")], "").await;
    assert_eq!((told.status, told.error_code().as_str()), (401, "UNAUTHENTICATED"));
    assert_eq!(told.header("location"), None);
}
