//! Bearer tokens at the running gate: what a caller reads, what MLflow never sees.

use http::Request;
use serde_json::json;

use crate::harness::client::nothing;
use crate::harness::gate::{AUDIENCE, Gate, Told};
use crate::harness::issuer::{Endpoint, Lie};
use crate::harness::server::full;

const TARGET: &str = "/api/2.0/mlflow/experiments/get?experiment_id=1";

async fn gate() -> Gate {
    let gate =
        Gate::before(|_| async { full(200, "{\"experiment\":{\"experiment_id\":\"1\",\"name\":\"one\"}}") }).await;
    gate.grant("user:alice@example.com", "experiment", "1", "READ").await;
    gate
}

/// An API caller reads JSON and is never sent anywhere.
fn is_plain_refusal(told: &Told, status: u16) {
    assert_eq!(told.status, status, "{}", told.text());
    assert_eq!(told.header("location"), None);
    assert_eq!(told.header("set-cookie"), None);
    assert_eq!(told.header("content-type"), Some("application/json"));
    assert_eq!(told.header("cache-control"), Some("no-store"));
}

#[tokio::test]
async fn every_token_without_a_good_signature_reads_the_same_and_the_audit_log_knows_why() {
    let gate = gate().await;
    let mut bodies = Vec::new();
    let forged = |token: String| format!("{}AAAA", &token[..token.len() - 4]);
    let cases = [
        (forged(gate.issuer.bearer(AUDIENCE, &json!({"exp": 1}))), "token-wrong-signature"),
        (forged(gate.issuer.bearer("https://another.example", &json!({}))), "token-wrong-signature"),
        (gate.issuer.bearer(AUDIENCE, &json!({"iss": "https://evil.example"})), "unknown-issuer"),
        ("eyJhbGciOiJub25lIn0.e30.".to_owned(), "token-wrong-signature"),
        ("not-a-token".to_owned(), "token-not-compact"),
    ];
    for (token, reason) in cases {
        let told = gate.showing("authorization", format!("Bearer {token}")).get(TARGET).await;
        is_plain_refusal(&told, 401);
        assert_eq!(told.header("www-authenticate"), Some("Bearer realm=\"mlflow\", error=\"invalid_token\""));
        assert_eq!(told.error_code(), "UNAUTHENTICATED");
        let record = gate.record(&told).await;
        assert_eq!((&record["decision"], &record["reason"]), (&json!("deny"), &json!(reason)));
        let id = told.header("x-request-id").unwrap();
        bodies.push(told.text().replace(id, "ID"));
    }
    bodies.dedup();
    assert_eq!(bodies.len(), 1, "{bodies:?}");
    assert!(gate.upstream.seen().is_empty());
}

#[tokio::test]
async fn whoever_holds_a_good_signature_hears_why_their_token_does_not_count() {
    let gate = gate().await;
    let help = "`export MLFLOW_TRACKING_TOKEN=$(trackgate token print https://";
    for (audience, change, reason, words) in [
        (AUDIENCE, json!({"iat": 1, "exp": 1}), "token-expired", "expired at 1970-01-01T00:00:01Z"),
        (
            AUDIENCE,
            json!({"iat": 9_999_999_999_u64, "exp": 9_999_999_999_u64}),
            "token-not-yet-valid",
            "not valid before",
        ),
        ("https://another.example", json!({}), "token-wrong-audience", "it is for `https://another.example`, not for"),
        (AUDIENCE, json!({"exp": "9999999999"}), "token-ill-formed-claim", "its claim `exp` is ill-formed"),
        (AUDIENCE, json!({"sub": null}), "token-lacks-claim", "it lacks the claim `sub`"),
    ] {
        let token = gate.issuer.bearer(audience, &change);
        let told = gate.showing("authorization", format!("Bearer {token}")).get(TARGET).await;
        is_plain_refusal(&told, 401);
        assert_eq!(told.header("www-authenticate"), Some("Bearer realm=\"mlflow\", error=\"invalid_token\""));
        assert!(told.text().contains(words) && told.text().contains(help), "{reason}: {}", told.text());
        assert_eq!(gate.record(&told).await["reason"], reason);
    }
    let nothing = gate.anonymous().get(TARGET).await;
    assert!(nothing.text().contains("no credential was sent") && nothing.text().contains(help), "{}", nothing.text());
    assert!(gate.upstream.seen().is_empty());
}

#[tokio::test]
async fn a_stranger_gets_401_as_json_whatever_they_ask_for() {
    let gate = gate().await;
    for (method, target) in [
        ("GET", TARGET),
        ("POST", "/api/2.0/mlflow/runs/create"),
        ("PUT", "/api/2.0/mlflow-artifacts/artifacts/1/x"),
        ("GET", "/ajax-api/2.0/mlflow/experiments/search"),
        ("GET", "/no/such/page"),
        ("GET", "/trackgate/whoami"),
    ] {
        let told = gate.anonymous().json(method, target, if method == "GET" { "" } else { "{}" }).await;
        is_plain_refusal(&told, 401);
        assert_eq!(told.header("www-authenticate"), Some("Bearer realm=\"mlflow\""), "no error without a token");
    }
    assert!(gate.upstream.seen().is_empty());
}

#[tokio::test]
async fn several_credentials_are_refused_not_guessed() {
    let gate = gate().await;
    let good = format!("Bearer {}", gate.token("alice"));
    let session = format!("__Host-trackgate={}", "A".repeat(43));
    for fields in [
        [("authorization", good.as_str()), ("authorization", good.as_str())],
        [("authorization", good.as_str()), ("authorization", "Basic eDp5")],
        [("authorization", good.as_str()), ("cookie", session.as_str())],
    ] {
        let mut request = Request::get(TARGET).body(nothing()).unwrap();
        for (name, value) in fields {
            request.headers_mut().append(name, value.parse().unwrap());
        }
        is_plain_refusal(&gate.anonymous().send(request).await, 400);
    }
    assert!(gate.upstream.seen().is_empty());
}

#[tokio::test]
async fn credentials_and_claimed_identities_never_reach_mlflow_or_the_log() {
    let gate = gate().await;
    let token = gate.token("alice");
    let mut request = Request::get(TARGET).body(nothing()).unwrap();
    for (name, value) in [
        ("authorization", format!("Bearer {token}").as_str()),
        ("proxy-authorization", "Basic cGxhbnRlZDpzZWNyZXQ="),
        ("cookie", "other=planted-cookie"),
        ("x-goog-authenticated-user-email", "accounts.google.com:root@example.com"),
        ("x-goog-iap-jwt-assertion", "planted.assertion.text"),
        ("x-forwarded-user", "root"),
        ("x-forwarded-email", "root@example.com"),
        ("x-auth-request-user", "root"),
        ("remote-user", "root"),
    ] {
        request.headers_mut().append(name, value.parse().unwrap());
    }
    let told = gate.anonymous().send(request).await;
    assert_eq!(told.status, 200, "{}", told.text());
    let record = gate.record(&told).await;
    assert_eq!(record["user"], "alice@example.com");
    for seen in gate.upstream.seen() {
        let all = format!("{seen:?}");
        for secret in [token.as_str(), "planted", "cGxhbnRlZD", "root", "cookie", "authorization"] {
            assert!(!all.contains(secret), "{secret} in {all}");
        }
    }
    let log = gate.audit_text();
    for secret in [token.as_str(), token.rsplit('.').next().unwrap(), "planted", "cGxhbnRlZD"] {
        assert!(!log.contains(secret), "{secret} in the audit log");
    }
}

#[tokio::test]
async fn a_token_in_the_query_is_not_read_and_the_request_refused() {
    let gate = gate().await;
    let token = gate.token("alice");
    let told = gate.anonymous().get(&format!("{TARGET}&access_token={token}")).await;
    assert_eq!(told.status, 400, "RFC 6750 section 2.3 has a place for it, and section 5.3 says why not");
    assert!(!gate.audit_text().contains(&token));
}

#[tokio::test]
async fn after_too_many_wrong_tokens_wrong_ones_get_429_and_good_ones_pass() {
    let gate = gate().await;
    for _ in 0..20 {
        assert_eq!(gate.showing("authorization", "Bearer wrong").get(TARGET).await.status, 401);
    }
    let told = gate.showing("authorization", "Bearer wrong").get(TARGET).await;
    is_plain_refusal(&told, 429);
    assert_eq!(told.error_code(), "REQUEST_LIMIT_EXCEEDED");
    assert!(told.header("retry-after").unwrap().parse::<u32>().unwrap() <= 60);
    assert_eq!(gate.bearer("alice").get(TARGET).await.status, 200);
    assert_eq!(gate.anonymous().get(TARGET).await.status, 401);
}

#[tokio::test]
async fn known_keys_go_on_while_the_issuer_is_away_and_unknown_ones_are_refused() {
    let gate = gate().await;
    assert_eq!(gate.bearer("alice").get(TARGET).await.status, 200);
    gate.issuer.lie(Endpoint::Discovery, Lie::Says(500, String::new()));
    gate.issuer.lie(Endpoint::Keys, Lie::Says(500, String::new()));
    let fresh = gate.issuer.bearer(
        AUDIENCE,
        &json!({"sub": "sub-alice", "email": "alice@example.com", "email_verified": true, "jti": "another"}),
    );
    assert_eq!(gate.showing("authorization", format!("Bearer {fresh}")).get(TARGET).await.status, 200);
    gate.issuer.change_header(&json!({"kid": "unknown"}));
    let unknown = format!("Bearer {}", gate.token("alice"));
    is_plain_refusal(&gate.showing("authorization", unknown).get(TARGET).await, 401);
}
