//! A listener behind Google Identity-Aware Proxy.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use http::Request;
use serde_json::{Value, json};

use crate::harness::client::nothing;
use crate::harness::forge::{Forge, merge};
use crate::harness::gate::Gate;
use crate::harness::issuer::Issuer;
use crate::harness::server::{Server, full};

const BACKEND: &str = "/projects/123/global/backendServices/456";
const ASSERTION: &str = "x-goog-iap-jwt-assertion";
const TARGET: &str = "/api/2.0/mlflow/experiments/get?experiment_id=1";

/// A gate behind IAP, and IAP's keys.
struct Behind {
    gate: Gate,
    forge: Arc<Forge>,
    _google: Issuer,
}

impl Behind {
    async fn iap() -> Self {
        let forge = Arc::new(Forge::ec("iap-1"));
        let google = Issuer::start(vec![Arc::clone(&forge)]);
        let upstream = Server::scripted(|_| async { full(200, "{\"experiment\":{\"experiment_id\":\"1\"}}") });
        let iap = format!("[iap]\naudiences = [\"{BACKEND}\"]\nkeys_url = \"{}/keys\"\n", google.url);
        let gate = Gate::with(upstream, &iap, |_| {}).await;
        gate.grant("user:bob@example.com", "experiment", "1", "READ").await;
        Self { gate, forge, _google: google }
    }

    fn assertion(&self, change: &Value) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let mut claims = json!({
            "iss": "https://cloud.google.com/iap", "aud": BACKEND, "iat": now, "exp": now + 600,
            "sub": "accounts.google.com:1234", "email": "bob@example.com",
        });
        merge(&mut claims, change);
        self.forge.sign(&claims)
    }
}

#[tokio::test]
async fn an_assertion_opens_the_door_and_is_not_passed_on() {
    let behind = Behind::iap().await;
    let assertion = behind.assertion(&json!({}));
    let told = behind.gate.showing(ASSERTION, assertion.clone()).get(TARGET).await;
    assert_eq!(told.status, 200, "{}", told.text());
    let record = behind.gate.record(&told).await;
    assert_eq!((&record["user"], &record["proof"]), (&json!("bob@example.com"), &json!("iap")));
    assert!(!format!("{:?}", behind.gate.upstream.seen()).contains(&assertion));
    assert!(!behind.gate.audit_text().contains(&assertion));
}

#[tokio::test]
async fn nothing_without_it_gets_in_but_the_probe() {
    let behind = Behind::iap().await;
    let gate = &behind.gate;
    assert_eq!(gate.anonymous().get("/trackgate/livez").await.status, 200);
    let session = format!("__Host-trackgate={}", "A".repeat(43));
    for target in ["/", TARGET, "/health", "/version", "/trackgate/login", "/trackgate/login/test", "/trackgate/whoami"]
    {
        assert_eq!(gate.anonymous().get(target).await.status, 401, "{target}");
        assert_eq!(gate.bearer("alice").get(target).await.status, 401, "{target} with a good bearer token");
        assert_eq!(gate.showing("cookie", session.clone()).get(target).await.status, 401, "{target} with a cookie");
        for (name, value) in [
            ("x-goog-authenticated-user-email", "accounts.google.com:bob@example.com"),
            ("x-goog-authenticated-user-id", "accounts.google.com:1234"),
            ("x-forwarded-user", "bob@example.com"),
        ] {
            assert_eq!(gate.showing(name, value).get(target).await.status, 401, "{target} with {name}");
        }
    }
    assert!(gate.upstream.seen().is_empty(), "{:?}", gate.upstream.seen());
}

#[tokio::test]
async fn a_wrong_or_repeated_assertion_is_refused() {
    let behind = Behind::iap().await;
    for (change, reason) in [
        (json!({"aud": "/projects/123/global/backendServices/4567"}), "token-wrong-audience"),
        (json!({"aud": [BACKEND]}), "token-ill-formed-claim"),
        (json!({"iss": "https://accounts.google.com"}), "unknown-issuer"),
        (json!({"exp": 1}), "token-expired"),
        (json!({"exp": 99_999_999_999_u64}), "token-lives-too-long"),
        (json!({"email": null}), "token-lacks-claim"),
    ] {
        let told = behind.gate.showing(ASSERTION, behind.assertion(&change)).get(TARGET).await;
        assert_eq!(told.status, 401, "{change}");
        assert_eq!(behind.gate.record(&told).await["reason"], reason, "{change}");
    }
    let good = behind.assertion(&json!({}));
    let mut request = Request::get(TARGET).body(nothing()).unwrap();
    request.headers_mut().append(ASSERTION, good.parse().unwrap());
    request.headers_mut().append(ASSERTION, good.parse().unwrap());
    assert_eq!(behind.gate.anonymous().send(request).await.status, 400);
    let mut request = Request::get(TARGET).body(nothing()).unwrap();
    request.headers_mut().append(ASSERTION, good.parse().unwrap());
    request.headers_mut().append("authorization", format!("Bearer {}", behind.gate.token("alice")).parse().unwrap());
    assert_eq!(behind.gate.anonymous().send(request).await.status, 400, "two credentials");
    assert!(behind.gate.upstream.seen().is_empty());
}
