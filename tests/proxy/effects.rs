//! What follows from success: the creator owns, renames and deletions are followed, before the answer leaves.

use std::sync::Arc;

use serde_json::json;
use sqlx::ConnectOptions as _;
use sqlx::sqlite::SqliteConnectOptions;
use tokio::sync::Notify;

use crate::harness::client::{Client, payload};
use crate::harness::gate::{Gate, HOST};
use crate::harness::server::{Answer, full};
use crate::harness::until;

const CREATE: &str = "/api/2.0/mlflow/experiments/create";
const GET: &str = "/api/2.0/mlflow/experiments/get?experiment_id=12";

fn mlflow(target: &str) -> Answer {
    let json = match target.split('?').next().unwrap_or_default() {
        CREATE => json!({"experiment_id": "12"}),
        "/api/2.0/mlflow/experiments/get" => json!({"experiment": {"experiment_id": "12", "name": "mine"}}),
        "/api/2.0/mlflow/registered-models/create" => json!({"registered_model": {"name": "iris"}}),
        "/api/2.0/mlflow/registered-models/get" => {
            let name = target.split_once("name=").map_or("iris", |(_, name)| name);
            json!({"registered_model": {"name": name}})
        }
        "/api/2.0/mlflow/registered-models/rename" => json!({"registered_model": {"name": "lily"}}),
        _ => json!({}),
    };
    full(200, json.to_string())
}

async fn gate() -> Gate {
    let gate = Gate::before(|request| {
        let target = request.uri().to_string();
        async move { mlflow(&target) }
    })
    .await;
    gate.grant("user:alice@example.com", "workspace", "default", "USE").await;
    gate
}

/// Who holds what on that object.
fn holders(gate: &Gate, kind: &str, id: &str) -> Vec<String> {
    let grants = gate.open().house().store.grants();
    grants
        .iter()
        .map(|record| record.grant.to_string())
        .filter(|text| text.contains(&format!("{kind} {id} ")))
        .collect()
}

#[tokio::test]
async fn an_experiment_is_not_made_with_tags_that_the_server_obeys() {
    let gate = gate().await;
    let alice = gate.bearer("alice");
    for key in
        ["mlflow.issueDetection.schedule", "mlflow.artifactLocation", "MLflow.IssueDetection.Schedule ", "mlflow.user"]
    {
        let told = alice
            .post(CREATE, &json!({"name": "x", "tags": [{"key": "a", "value": "b"}, {"key": key, "value": "x"}]}))
            .await;
        assert_eq!((told.status, told.error_code().as_str()), (403, "PERMISSION_DENIED"), "{key}");
    }
    assert!(gate.upstream.seen().iter().all(|seen| !seen.target.ends_with("/create")), "none was made");
    let tags = json!([{"key": "mlflow.note.content", "value": "x"}]);
    assert_eq!(alice.post(CREATE, &json!({"name": "x", "tags": tags})).await.status, 200);
}

#[tokio::test]
async fn the_creator_can_use_what_was_made_at_once() {
    let gate = gate().await;
    let alice = gate.bearer("alice");
    assert_eq!(alice.get(GET).await.status, 403);
    let made = alice.post(CREATE, &json!({"name": "mine"})).await;
    assert_eq!((made.status, made.text()), (200, r#"{"experiment_id":"12"}"#.to_owned()));
    assert_eq!(holders(&gate, "experiment", "12"), ["user alice@example.com: experiment 12 MANAGE"]);
    assert_eq!(alice.get(GET).await.status, 200);
    assert_eq!(gate.bearer("bob").get(GET).await.status, 403);
}

#[tokio::test]
async fn a_failed_creation_gives_nothing() {
    let gate =
        Gate::before(|_| async { full(409, r#"{"error_code": "RESOURCE_ALREADY_EXISTS", "experiment_id": "12"}"#) })
            .await;
    gate.grant("user:alice@example.com", "workspace", "default", "USE").await;
    assert_eq!(gate.bearer("alice").post(CREATE, &json!({"name": "taken"})).await.status, 409);
    assert!(holders(&gate, "experiment", "12").is_empty());
}

#[tokio::test]
async fn grants_follow_a_rename_and_end_with_a_deletion() {
    let gate = gate().await;
    let alice = gate.bearer("alice");
    let models = "/api/2.0/mlflow/registered-models";
    assert_eq!(alice.post(&format!("{models}/create"), &json!({"name": "iris"})).await.status, 200);
    gate.grant("user:bob@example.com", "registered_model", "iris", "READ").await;
    assert_eq!(gate.bearer("bob").get(&format!("{models}/get?name=iris")).await.status, 200);

    let renamed = alice.post(&format!("{models}/rename"), &json!({"name": "iris", "new_name": "lily"})).await;
    assert_eq!(renamed.status, 200, "{}", renamed.text());
    assert_eq!(
        gate.bearer("bob").get(&format!("{models}/get?name=iris")).await.status,
        403,
        "the old name gives nothing"
    );
    assert_eq!(holders(&gate, "registered_model", "lily").len(), 2);

    let deleted = alice.json("DELETE", &format!("{models}/delete"), r#"{"name": "lily"}"#).await;
    assert_eq!(deleted.status, 200, "{}", deleted.text());
    assert!(holders(&gate, "registered_model", "lily").is_empty(), "a name used again inherits nothing");
}

#[tokio::test]
async fn a_deleted_experiment_keeps_its_grants_since_it_can_be_restored() {
    let gate = gate().await;
    let alice = gate.bearer("alice");
    alice.post(CREATE, &json!({"name": "mine"})).await;
    assert_eq!(alice.post("/api/2.0/mlflow/experiments/delete", &json!({"experiment_id": "12"})).await.status, 200);
    assert_eq!(holders(&gate, "experiment", "12").len(), 1);
    assert_eq!(alice.post("/api/2.0/mlflow/experiments/restore", &json!({"experiment_id": "12"})).await.status, 200);
}

#[tokio::test]
async fn a_creator_who_hangs_up_owns_what_was_made_all_the_same() {
    let (asked, answer) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let gate = {
        let (asked, answer) = (Arc::clone(&asked), Arc::clone(&answer));
        Gate::before(move |request| {
            let (asked, answer) = (Arc::clone(&asked), Arc::clone(&answer));
            let target = request.uri().to_string();
            async move {
                if target == CREATE {
                    asked.notify_one();
                    answer.notified().await;
                }
                mlflow(&target)
            }
        })
        .await
    };
    gate.grant("user:alice@example.com", "workspace", "default", "USE").await;
    let mut client = Client::http1(gate.address()).await;
    let request = http::Request::post(CREATE)
        .header("host", HOST)
        .header("content-type", "application/json")
        .header("authorization", format!("Bearer {}", gate.token("alice")))
        .body(payload(r#"{"name": "mine"}"#))
        .unwrap();
    let sending = tokio::spawn(async move { client.try_send(request).await.map(drop) });
    crate::harness::soon("the creation to reach MLflow", asked.notified()).await;
    sending.abort();
    let _ = sending.await;
    // The record is closed when the gate has seen the client go.
    until("the end of the client's request", || gate.audit_text().contains("CreateExperiment")).await;
    assert!(holders(&gate, "experiment", "12").is_empty());
    answer.notify_one();
    until("the grant", || !holders(&gate, "experiment", "12").is_empty()).await;
}

#[tokio::test]
async fn grants_that_cannot_be_written_are_told_with_the_name_of_what_was_made() {
    let gate = gate().await;
    let alice = gate.bearer("alice");
    // Somebody who is known, so that only the effect needs to be written.
    assert_eq!(alice.get(GET).await.status, 403);
    // Another process holds the database for longer than we wait.
    let file = gate.folder.path().join("state/trackgate.db");
    let mut other = SqliteConnectOptions::new().filename(file).connect().await.unwrap();
    sqlx::query("BEGIN IMMEDIATE").execute(&mut other).await.unwrap();
    let made = alice.post(CREATE, &json!({"name": "mine"})).await;
    sqlx::query("ROLLBACK").execute(&mut other).await.unwrap();
    assert_eq!(made.status, 507, "{}", made.text());
    assert!(made.text().contains("experiment 12"), "{}", made.text());
    let record = gate.record(&made).await;
    assert_eq!((&record["decision"], &record["reason"]), (&json!("error"), &json!("effect-failed")));
}
