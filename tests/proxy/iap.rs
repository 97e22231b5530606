//! A listener behind Google Identity-Aware Proxy.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use http::Request;
use serde_json::{Value, json};

use super::own_pages::value;
use crate::harness::client::nothing;
use crate::harness::forge::{Forge, merge};
use crate::harness::gate::{Gate, Told};
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

/// A form, with the assertion of whoever sends it.
async fn form(behind: &Behind, path: &str, headers: &[(&'static str, &str)], fields: &[(&str, &str)]) -> Told {
    let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    let mut request = Request::post(path).header("content-type", "application/x-www-form-urlencoded");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(crate::harness::client::payload(body)).unwrap();
    behind.gate.showing(ASSERTION, behind.assertion(&json!({}))).send(request).await
}

#[tokio::test]
async fn behind_iap_a_person_signs_a_device_in_without_any_login_of_ours() {
    let behind = Behind::iap().await;
    let gate = &behind.gate;
    let bob = gate.showing(ASSERTION, behind.assertion(&json!({})));
    let told = form(&behind, "/trackgate/oauth/device_authorization", &[], &[("client_id", "trackgate-cli")]).await;
    assert_eq!(told.status, 200, "a program sends no origin: {}", told.text());
    let told = told.json();
    let (code, shown) = (told["device_code"].as_str().unwrap(), told["user_code"].as_str().unwrap());
    let page = bob.get("/trackgate/device").await;
    assert_eq!(page.status, 200, "{}", page.text());
    assert!(page.text().contains("bob@example.com"));
    let token = value(&page, "/trackgate/device", "token");
    let ours = [("sec-fetch-site", "same-origin"), ("origin", "null"), ("sec-fetch-mode", "navigate")];
    let evil = [("sec-fetch-site", "cross-site"), ("origin", "https://evil.example"), ("sec-fetch-mode", "navigate")];
    let decide = "/trackgate/device/decide";
    let fields = |token| [("token", token), ("user_code", shown), ("answer", "yes")];
    for (headers, token) in [(&evil[..], token.as_str()), (&ours[..], ""), (&[][..], token.as_str())] {
        assert_eq!(form(&behind, decide, headers, &fields(token)).await.status, 403, "{headers:?}");
    }
    let done = form(&behind, decide, &ours, &fields(&token)).await;
    assert_eq!(done.status, 200, "{}", done.text());
    let grant = "urn:ietf:params:oauth:grant-type:device_code";
    let poll = [("grant_type", grant), ("client_id", "trackgate-cli"), ("device_code", code)];
    assert_eq!(form(&behind, "/trackgate/oauth/token", &evil, &poll).await.status, 403);
    let told = form(&behind, "/trackgate/oauth/token", &[], &poll).await;
    assert_eq!(told.status, 200, "{}", told.text());
    let access = told.json()["access_token"].as_str().unwrap().to_owned();

    // The program comes through IAP, which vouches that it may, and is whoever its token says.
    let asking = |assertion: Option<String>, field: String| {
        let mut request = Request::get(TARGET).body(nothing()).unwrap();
        if let Some(assertion) = assertion {
            request.headers_mut().append(ASSERTION, assertion.parse().unwrap());
        }
        request.headers_mut().append("authorization", field.parse().unwrap());
        async move { gate.anonymous().send(request).await }
    };
    let robot = behind.assertion(&json!({"email": "robot@example.com", "sub": "accounts.google.com:99"}));
    let told = asking(Some(robot.clone()), format!("Bearer {access}")).await;
    assert_eq!(told.status, 200, "{}", told.text());
    let record = gate.record(&told).await;
    assert_eq!((&record["user"], &record["proof"]), (&json!("bob@example.com"), &json!("token")), "{record}");
    assert_eq!(asking(None, format!("Bearer {access}")).await.status, 401, "past IAP");
    let forged = behind.assertion(&json!({"aud": "/projects/1/apps/x"}));
    assert_eq!(asking(Some(forged), format!("Bearer {access}")).await.status, 401, "with what IAP did not sign for us");
    assert_eq!(asking(Some(robot.clone()), "Bearer tgl_wrong".to_owned()).await.status, 401);
    assert_eq!(asking(Some(robot), format!("Bearer {}", gate.token("alice"))).await.status, 400, "two identities");
}
