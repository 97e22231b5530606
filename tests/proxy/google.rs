//! Groups that Google knows of the caller, at the running gate.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::json;
use trackgate::directory::Settings;
use trackgate::mlflow::ids::UserName;

use super::login::Browser;
use crate::harness::forge::Forge;
use crate::harness::gate::{AUDIENCE, Gate, Told};
use crate::harness::google::{Endpoint, Google, Lie};
use crate::harness::issuer::Issuer;
use crate::harness::server::{Server, full};
use crate::harness::soon;

const TARGET: &str = "/api/2.0/mlflow/experiments/get?experiment_id=1";
const GROUP: &str = "group:data-science@example.com";
const BACKEND: &str = "/projects/123/global/backendServices/456";

/// A gate that asks `google`; the group may read experiment 1.
async fn gate(google: &Google, more: &str, change: impl FnOnce(&mut Settings)) -> Gate {
    let upstream = Server::scripted(|_| async { full(200, "{\"experiment\":{\"experiment_id\":\"1\"}}") });
    let section = format!(
        "[google_groups]\ndomains = [\"example.com\", \"demo.iam.gserviceaccount.com\"]\napi_url = \"{url}\"\n\
         metadata_url = \"{url}\"\ntimeout = \"30s\"\n{more}",
        url = google.url
    );
    let gate = Gate::with(upstream, &section, |config| {
        change(config.authenticate.google_groups.as_mut().unwrap());
    })
    .await;
    gate.grant(GROUP, "experiment", "1", "READ").await;
    gate
}

fn google() -> Google {
    let google = Google::start();
    google.add("Data-Science@example.com", "alice@example.com");
    google
}

/// Asks until the answer has this status.
async fn until(what: &str, status: u16, mut ask: impl AsyncFnMut() -> Told) -> Told {
    soon(what, async {
        loop {
            let told = ask().await;
            if told.status == status {
                return told;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
}

#[tokio::test]
async fn a_group_at_google_holds_what_it_was_granted() {
    let google = google();
    let gate = gate(&google, "", |_| {}).await;
    let told = gate.bearer("alice").get(TARGET).await;
    assert_eq!(told.status, 200, "{}", told.text());
    let reasons = gate.record(&told).await.to_string();
    assert!(reasons.contains("data-science@example.com"), "the audit log names the group: {reasons}");
    assert_eq!(gate.bearer("bob").get(TARGET).await.status, 403);
    let whoami = gate.bearer("alice").get("/trackgate/whoami").await.json();
    assert_eq!(whoami["groups"], json!(["data-science@example.com"]));
    gate.issuer.change_claims(&json!({"sub": "sub-alice"}));
    let mut browser = Browser::at(&gate);
    browser.sign_in("/").await;
    assert_eq!(browser.visit(TARGET).await.status, 200);
    assert_eq!(google.asked(Endpoint::Metadata), 1);
}

#[tokio::test]
async fn a_service_accounts_groups_count_as_a_persons() {
    let google = google();
    let account = "trainer@demo.iam.gserviceaccount.com";
    google.add("Data-Science@example.com", account);
    let gate = gate(&google, "", |_| {}).await;
    let claims = json!({"sub": "1100", "email": account, "email_verified": true});
    let token = format!("Bearer {}", gate.issuer.bearer(AUDIENCE, &claims));
    let told = gate.showing("authorization", token).get(TARGET).await;
    assert_eq!(told.status, 200, "{}", told.text());
}

#[tokio::test]
async fn groups_count_for_whom_iap_lets_in() {
    let forge = Arc::new(Forge::ec("iap-1"));
    let keys = Issuer::start(vec![Arc::clone(&forge)]);
    let google = google();
    let iap = format!(
        "[iap]\naudiences = [\"{BACKEND}\"]\nkeys_url = \"{}/keys\"\nhosted_domains = [\"example.com\"]\n",
        keys.url
    );
    let gate = gate(&google, &iap, |_| {}).await;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let assertion = |who: &str| {
        forge.sign(&json!({
            "iss": "https://cloud.google.com/iap", "aud": BACKEND, "iat": now, "exp": now + 600,
            "sub": format!("accounts.google.com:{who}"), "email": format!("{who}@example.com"), "hd": "example.com",
        }))
    };
    let ask = async |who: &str| gate.showing("x-goog-iap-jwt-assertion", assertion(who)).get(TARGET).await.status;
    assert_eq!(ask("alice").await, 200);
    assert_eq!(ask("bob").await, 403);
}

#[tokio::test]
async fn a_removed_member_loses_the_group_within_an_open_session() {
    let google = google();
    let gate = gate(&google, "", |settings| settings.fresh = Duration::from_millis(100)).await;
    let mut browser = Browser::at(&gate);
    browser.sign_in("/").await;
    crate::harness::until("signing in asks for the groups by itself", || google.asked(Endpoint::Search) > 0).await;
    assert_eq!(browser.visit(TARGET).await.status, 200);
    google.remove("Data-Science@example.com", "alice@example.com");
    until("the loss of the group", 403, async || browser.visit(TARGET).await).await;
    google.add("Data-Science@example.com", "alice@example.com");
    until("the group is back", 200, async || browser.visit(TARGET).await).await;
}

#[tokio::test]
async fn who_cannot_be_looked_up_is_refused_by_name_and_with_a_reason() {
    let google = google();
    google.lie(Endpoint::Search, Lie::Refuses(403, "PERMISSION_DENIED"));
    let gate = gate(&google, "", |_| {}).await;
    // A grant of one's own does not help: a group that is not known could be one that is denied.
    gate.grant("user:alice@example.com", "experiment", "1", "READ").await;
    for target in [TARGET, "/trackgate/whoami", "/version"] {
        let told = gate.bearer("alice").get(target).await;
        assert_eq!((told.status, told.error_code().as_str()), (503, "TEMPORARILY_UNAVAILABLE"), "{target}");
        assert!(told.text().contains("groups"), "{}", told.text());
        assert!(!told.text().contains("PERMISSION_DENIED"), "what Google says is for the operator: {}", told.text());
        assert!(told.header("retry-after").is_some());
        let record = gate.record(&told).await;
        assert_eq!(
            (&record["user"], &record["reason"]),
            (&json!("alice@example.com"), &json!("google-groups-unavailable")),
            "{record}"
        );
        assert!(record.to_string().contains("PERMISSION_DENIED"), "{record}");
    }
    assert!(gate.upstream.seen().iter().all(|seen| !seen.target.contains("experiments")));
    // The probe asks nobody, and who is of another domain is not looked up.
    assert_eq!(gate.anonymous().get("/trackgate/livez").await.status, 200);
    let claims = json!({"sub": "carol", "email": "carol@partner.example", "email_verified": true});
    gate.grant("user:carol@partner.example", "experiment", "1", "READ").await;
    let token = format!("Bearer {}", gate.issuer.bearer(AUDIENCE, &claims));
    assert_eq!(gate.showing("authorization", token).get(TARGET).await.status, 200);
    // It comes back by itself.
    google.repent(Endpoint::Search);
    until("an answer", 200, async || gate.bearer("alice").get(TARGET).await).await;
}

#[tokio::test]
async fn a_deny_on_a_group_at_google_holds_while_google_is_away_and_is_never_missed_after() {
    let google = google();
    let gate = gate(&google, "", |settings| {
        settings.fresh = Duration::from_millis(50);
        settings.keep = Duration::from_millis(1500);
    })
    .await;
    gate.grant("user:alice@example.com", "experiment", "1", "MANAGE").await;
    gate.grant(GROUP, "experiment", "1", "DENY").await;
    assert_eq!(gate.bearer("alice").get(TARGET).await.status, 403);
    google.lie(Endpoint::Search, Lie::Refuses(500, "INTERNAL"));
    until("the end of what is kept", 503, async || {
        let told = gate.bearer("alice").get(TARGET).await;
        assert_ne!(told.status, 200, "{}", told.text());
        told
    })
    .await;
}

#[tokio::test]
async fn an_address_that_nobody_verified_is_not_looked_up() {
    let google = google();
    let gate = gate(&google, "", |_| {}).await;
    for claims in [
        json!({"sub": "7", "email": "alice@example.com", "email_verified": false}),
        json!({"sub": "7", "email": "alice@example.com", "email_verified": "true"}),
        json!({"sub": "7", "email": "alice@example.com", "email_verified": null}),
    ] {
        let token = format!("Bearer {}", gate.issuer.bearer(AUDIENCE, &claims));
        let told = gate.showing("authorization", token).get(TARGET).await;
        assert_eq!(told.status, 403, "{claims}: {}", told.text());
    }
    assert_eq!(google.asked(Endpoint::Search), 0);
}

#[tokio::test]
async fn no_token_of_ours_reaches_mlflow_or_the_audit_log() {
    let google = google();
    let gate = gate(&google, "", |_| {}).await;
    assert_eq!(gate.bearer("alice").get(TARGET).await.status, 200);
    google.lie(Endpoint::Search, Lie::Refuses(500, "INTERNAL"));
    let told = gate.bearer("bob").get(TARGET).await;
    assert_eq!(told.status, 503);
    gate.record(&told).await;
    assert!(!gate.audit_text().contains("ya29."));
    assert!(!format!("{:?}", gate.upstream.seen()).contains("ya29."));
}

#[tokio::test]
async fn check_tells_whether_groups_can_be_read() {
    let google = google();
    let issuer = Issuer::start(vec![Arc::new(Forge::rsa("k1"))]);
    let mlflow = Server::scripted(|_| async { full(200, "3.17.2") });
    let folder = crate::harness::certs::Folder::new();
    let file = folder.path().join("trackgate.toml");
    let config = format!(
        "public_url = \"{AUDIENCE}\"\nstate_dir = \"{state}\"\n[listen]\nplain = \"127.0.0.1:0\"\n\
         [upstream]\nurl = \"http://{mlflow}\"\n[[issuer]]\nname = \"test\"\nissuer = \"{issuer}\"\n\
         [issuer.bearer]\naudiences = [\"{AUDIENCE}\"]\n\
         [google_groups]\ndomains = [\"example.com\"]\napi_url = \"{url}\"\nmetadata_url = \"{url}\"\n",
        state = folder.path().join("state").display(),
        mlflow = mlflow.address,
        issuer = issuer.url,
        url = google.url,
    );
    std::fs::write(&file, config).unwrap();
    let check = async |more: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_trackgate"));
        command.arg("check").args(more).arg("--config").arg(&file);
        let told = soon("trackgate check", tokio::task::spawn_blocking(move || command.output())).await;
        let told = told.unwrap().unwrap();
        (told.status.code().unwrap(), String::from_utf8(told.stdout).unwrap())
    };
    let (code, text) = check(&[]).await;
    assert!(code == 0 && text.contains("ok    groups at Google: the credentials are good"), "{code} {text}");
    assert_eq!(google.asked(Endpoint::Search), 0);
    let (code, text) = check(&["--groups-of", "alice@example.com"]).await;
    assert!(code == 0 && text.contains("alice@example.com is in data-science@example.com"), "{code} {text}");
    let (code, text) = check(&["--groups-of", "carol@partner.example"]).await;
    assert!(code != 0 && text.contains("FAULT groups at Google"), "{code} {text}");
    google.lie(Endpoint::Search, Lie::Refuses(403, "PERMISSION_DENIED"));
    let (code, text) = check(&["--groups-of", "alice@example.com"]).await;
    assert!(code != 0 && text.contains("PERMISSION_DENIED: Error(2028)"), "{code} {text}");
}

#[tokio::test]
async fn who_left_a_group_at_google_has_it_by_no_token_or_login_that_was_made_in_it() {
    let google = google();
    let gate = gate(&google, "", |settings| settings.fresh = Duration::from_millis(100)).await;
    let made = gate.bearer("alice").post("/trackgate/api/tokens", &json!({"name": "laptop"})).await;
    assert_eq!(made.status, 200, "{}", made.text());
    let token = made.json()["token"].as_str().unwrap().to_owned();
    gate.issuer.change_claims(&json!({"sub": "sub-alice"}));
    let (access, renew) = super::oauth::login(&gate).await;
    for shown in [&token, &access] {
        assert_eq!(super::oauth::with(&gate, shown).get(TARGET).await.status, 200, "as long as alice is in it");
    }
    google.remove("Data-Science@example.com", "alice@example.com");
    for shown in [&token, &access] {
        until("the loss of the group", 403, async || super::oauth::with(&gate, shown).get(TARGET).await).await;
    }
    let renewed = super::oauth::refresh(&gate, &renew).await.json();
    let renewed = renewed["access_token"].as_str().unwrap();
    assert_eq!(super::oauth::with(&gate, renewed).get(TARGET).await.status, 403, "nor by one that is made after");
    let known = gate.open().house().store.user(&UserName::parse("alice@example.com").unwrap()).unwrap();
    assert!(known.vouched.is_empty(), "what was looked up is nobody's word that lasts: {:?}", known.vouched);
}
