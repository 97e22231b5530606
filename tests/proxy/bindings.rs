//! Outside identities at the running gate: what they open as service accounts, and what stands in the audit log.

use serde_json::{Value, json};
use trackgate::mlflow::ids::UserName;
use trackgate::store::By;

use crate::harness::gate::{AUDIENCE, Gate, Told};
use crate::harness::server::full;

const READ: &str = "/api/2.0/mlflow/experiments/get?experiment_id=1";

const BINDINGS: &str = r#"
[[binding]]
name = "main"
issuer = "test"
account = "svc:ci"
claims = { repository = "org/repo", ref = "refs/heads/main" }
[[binding]]
name = "any-branch"
issuer = "test"
account = "svc:branches"
claims = { repository = ["org/repo", "org/other"], ref = "refs/heads/shared-*" }
[[binding]]
name = "person"
issuer = "test"
account = "alice@example.com"
claims = { repository = "org/person" }
[[binding]]
name = "gone"
issuer = "test"
account = "svc:gone"
claims = { repository = "org/gone" }
"#;

async fn gate() -> Gate {
    let server = crate::harness::server::Server::scripted(|_| async {
        full(200, r#"{"experiment":{"experiment_id":"1","name":"one"}}"#)
    });
    let gate = Gate::with(server, BINDINGS, |_| {}).await;
    for account in ["svc:ci", "svc:branches"] {
        gate.open().house().store.add_account(&UserName::parse(account).unwrap(), By::Trackgate).await.unwrap();
    }
    gate.grant("user:svc:ci", "experiment", "1", "READ").await;
    gate
}

/// A job of this repository and branch, which has no mail address.
async fn job(gate: &Gate, repository: &str, branch: &str) -> Told {
    let claims = json!({"sub": format!("repo:{repository}:ref:{branch}"), "email": null, "email_verified": null,
        "repository": repository, "ref": branch});
    let token = gate.issuer.bearer(AUDIENCE, &claims);
    gate.showing("authorization", format!("Bearer {token}")).get(READ).await
}

fn reason(record: &Value) -> (&str, &str) {
    (record["decision"].as_str().unwrap(), record["reason"].as_str().unwrap())
}

#[tokio::test]
async fn a_bound_job_does_what_its_account_may_and_the_audit_log_says_by_which_binding() {
    let gate = gate().await;
    let told = job(&gate, "org/repo", "refs/heads/main").await;
    assert_eq!(told.status, 200, "{}", told.text());
    let record = gate.record(&told).await;
    assert_eq!(
        (&record["user"], &record["proof"], &record["binding"]),
        (&json!("svc:ci"), &json!("binding"), &json!("main"))
    );
    assert_eq!(record["subject"], "repo:org/repo:ref:refs/heads/main");
    assert!(record.get("token").is_none());
    let other = job(&gate, "org/other", "refs/heads/shared-x").await;
    assert!(matches!(other.status, 403 | 404), "{}", other.text());
    assert_eq!(gate.record(&other).await["user"], "svc:branches", "what another account holds is not lent");
}

#[tokio::test]
async fn a_binding_to_a_person_or_to_nobody_is_refused_and_says_what_helps() {
    let gate = gate().await;
    gate.open().house().store.add_user(&UserName::parse("alice@example.com").unwrap(), By::Trackgate).await.unwrap();
    gate.grant("user:alice@example.com", "experiment", "1", "READ").await;
    let help = "`export MLFLOW_TRACKING_TOKEN=$(trackgate token print https://mlflow.example.com)`";
    for (repository, code, words) in [
        ("org/person", "binding-to-person", "bindings are for service accounts"),
        ("org/gone", "binding-account-gone", "does not exist here"),
    ] {
        let told = job(&gate, repository, "refs/heads/main").await;
        assert_eq!((told.status, told.error_code().as_str()), (401, "UNAUTHENTICATED"), "{}", told.text());
        assert!(told.text().contains(words) && told.text().contains(help), "{}", told.text());
        assert_eq!(reason(&gate.record(&told).await), ("deny", code));
    }
    assert!(gate.upstream.seen().is_empty());
}

#[tokio::test]
async fn a_disabled_account_is_refused_from_the_next_request_on() {
    let gate = gate().await;
    assert_eq!(job(&gate, "org/repo", "refs/heads/main").await.status, 200);
    gate.open().house().store.set_disabled(&UserName::parse("svc:ci").unwrap(), true, By::Trackgate).await.unwrap();
    let told = job(&gate, "org/repo", "refs/heads/main").await;
    assert_eq!(reason(&gate.record(&told).await), ("deny", "user-disabled"));
}

#[tokio::test]
async fn whoever_comes_by_a_binding_makes_no_token() {
    let gate = gate().await;
    let claims =
        json!({"sub": "x", "email": null, "email_verified": null, "repository": "org/repo", "ref": "refs/heads/main"});
    let token = gate.issuer.bearer(AUDIENCE, &claims);
    let actor = gate.showing("authorization", format!("Bearer {token}"));
    let told = actor.post("/trackgate/api/tokens", &json!({"name": "forever", "owner": "svc:ci"})).await;
    assert_eq!(told.status, 403, "{}", told.text());
    let store = &gate.open().house().store;
    assert!(store.tokens(Some(&UserName::parse("svc:ci").unwrap())).is_empty());
}
