//! Who says what is wrong with a request that reads in one way and is not valid?

use serde_json::json;

use crate::harness::gate::Gate;
use crate::harness::server::{Server, full};

const CREATE: &str = "/api/2.0/mlflow/experiments/create";
const GET: &str = "/api/2.0/mlflow/experiments/get";
const THEIRS: &str = r#"{"error_code": "INVALID_PARAMETER_VALUE", "message": "so says MLflow"}"#;

/// Requests that can be read in one way only, and are not valid.
const PLAIN: [(&str, &str, &str); 6] = [
    ("POST", CREATE, r#"{"name": "x", "artifact_location": 9.0}"#),
    ("POST", "/api/2.0/mlflow/runs/log-metric", r#"{"key": "a", "value": 1}"#),
    ("POST", "/api/2.0/mlflow/runs/log-metric", r#"{"run_id": "", "key": "a", "value": 1}"#),
    ("GET", GET, ""),
    ("POST", "/graphql", r#"{"query": "{ two: mlflowGetRun(input: {runId: \"x\"}) { run { info { runId } } } }"}"#),
    ("GET", "/api/2.0/mlflow/runs/get?run_id=no-such-run", ""),
];

async fn gate() -> Gate {
    let server = Server::scripted(|_| async { full(400, THEIRS) });
    Gate::with(server, "[access]\nadmins = [\"ada@example.com\"]", |_| {}).await
}

#[tokio::test]
async fn mlflow_tells_an_administrator_what_is_wrong_and_we_tell_everybody_else() {
    let gate = gate().await;
    gate.grant("user:alice@example.com", "experiment", "*", "MANAGE").await;
    gate.grant("user:alice@example.com", "workspace", "*", "USE").await;
    for (method, target, body) in PLAIN {
        let told = gate.bearer("ada").json(method, target, body).await;
        assert_eq!((told.status, told.text().as_str()), (400, THEIRS), "{method} {target}");
        assert_eq!(gate.record(&told).await["decision"], "allow");
        let before = gate.upstream.seen().len();
        let told = gate.bearer("alice").json(method, target, body).await;
        assert!(told.status == 400 && told.text().contains("The request is not valid"), "{}", told.text());
        assert_eq!(gate.upstream.seen().len(), before, "{method} {target} is not passed on");
    }
}

#[tokio::test]
async fn what_could_be_read_in_two_ways_is_refused_to_administrators_too() {
    let gate = gate().await;
    for (method, target, body) in [
        ("POST", CREATE, r#"{"name": "x", "name": "y"}"#),
        ("POST", CREATE, r#"{"name": "x", "artifactLocation": "s3://y"}"#),
        ("POST", "/api/2.0/mlflow/runs/log-metric", r#"{"run_id": "a", "run_uuid": "b"}"#),
        ("GET", "/api/2.0/mlflow/experiments/get?experiment_id=1&experiment_id=2", ""),
        ("POST", "/graphql", r#"{"query": "query a { test } query b { test }"}"#),
    ] {
        let told = gate.bearer("ada").json(method, target, body).await;
        assert_eq!((told.status, told.text() == THEIRS), (400, false), "{method} {target} {}", told.text());
    }
    assert!(gate.upstream.seen().is_empty());
}

#[tokio::test]
async fn where_grants_follow_from_the_name_the_name_must_be_valid_for_administrators_too() {
    let gate = gate().await;
    let models = "/api/2.0/mlflow/registered-models";
    for (method, target, body) in [
        ("POST", format!("{models}/rename"), json!({"name": 5, "new_name": "y"})),
        ("DELETE", format!("{models}/delete"), json!({"name": ""})),
    ] {
        let told = gate.bearer("ada").json(method, &target, body.to_string()).await;
        assert_eq!((told.status, told.text() == THEIRS), (400, false), "{target} {}", told.text());
    }
}

#[tokio::test]
async fn a_closed_row_stays_closed_whatever_is_wrong_with_the_request() {
    let gate = gate().await;
    let told = gate.bearer("ada").json("POST", "/api/2.0/mlflow/traces/search", "{").await;
    assert_eq!(told.status, 403, "{}", told.text());
}
