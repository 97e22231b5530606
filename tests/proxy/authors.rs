//! Who made something is who called: the name is ours, whatever a request says.

use std::sync::{Arc, Mutex};

use http_body_util::BodyExt as _;
use serde_json::{Value, json};

use crate::harness::gate::Gate;
use crate::harness::server::{Server, full};

const RUN: &str = "0123456789abcdef0123456789abcdef";
const ALICE: &str = "alice@example.com";

/// The bodies that MLflow got, each with its path.
type Bodies = Arc<Mutex<Vec<(String, String)>>>;

/// A gate before a server whose runs are Alice's, and what the server gets.
async fn gate(more: &str) -> (Gate, Bodies) {
    let bodies = Bodies::default();
    let told = Arc::clone(&bodies);
    let server = Server::scripted(move |request| {
        let told = Arc::clone(&told);
        async move {
            let path = request.uri().path().to_owned();
            let body = request.into_body().collect().await.unwrap().to_bytes();
            told.lock().unwrap().push((path.clone(), String::from_utf8_lossy(&body).into_owned()));
            if path == "/api/2.0/mlflow/runs/get" {
                let info = json!({"run_id": RUN, "experiment_id": "1", "user_id": ALICE});
                return full(200, json!({"run": {"info": info}}).to_string());
            }
            full(200, "{}")
        }
    });
    let gate = Gate::with(server, more, |_| {}).await;
    for name in ["alice", "bob"] {
        gate.grant(&format!("user:{name}@example.com"), "experiment", "1", "EDIT").await;
    }
    (gate, bodies)
}

fn got(bodies: &Bodies, path: &str) -> Value {
    let bodies = bodies.lock().unwrap();
    let (_, body) = bodies.iter().rev().find(|(own, _)| own.ends_with(path)).unwrap();
    serde_json::from_str(body).unwrap()
}

#[tokio::test]
async fn a_run_is_of_whoever_makes_it_whatever_the_request_says() {
    let (gate, bodies) = gate("").await;
    let alice = gate.bearer("alice");
    // What a stock client sends: the name of the operating system's user, twice.
    let sent = json!({"experiment_id": "1", "user_id": "root", "start_time": 1_700_000_000_000_u64, "run_name": "ü",
        "tags": [{"key": "mlflow.user", "value": "root"}, {"key": "mlflow.source.name", "value": "a.py"}]});
    for prefix in ["api", "ajax-api"] {
        let made = alice.post(&format!("/{prefix}/2.0/mlflow/runs/create"), &sent).await;
        assert_eq!(made.status, 200, "{}", made.text());
        let expected = sent.to_string().replace("root", ALICE);
        assert_eq!(bodies.lock().unwrap().last().unwrap().1, expected, "all other bytes stay");
    }
    let bare = alice.post("/api/2.0/mlflow/runs/create", &json!({"experiment_id": "1"})).await;
    assert_eq!(bare.status, 200, "{}", bare.text());
    let run = got(&bodies, "/runs/create");
    assert_eq!((&run["user_id"], &run["tags"][0]["value"]), (&json!(ALICE), &json!(ALICE)));

    let sent = json!({"experiment_id": "1", "user_id": "bob@example.com", "tags": []});
    assert_eq!(alice.post("/ajax-api/2.0/mlflow/runs/create-promptlab-run", &sent).await.status, 200);
    assert_eq!(got(&bodies, "create-promptlab-run"), json!({"experiment_id": "1", "user_id": ALICE, "tags": []}));

    let sent = json!({"experiment_id": "1", "tags": [{"key": "mlflow.user", "value": "bob@example.com"}]});
    assert_eq!(alice.post("/api/2.0/mlflow/logged-models", &sent).await.status, 200);
    assert_eq!(got(&bodies, "/logged-models")["tags"], json!([{"key": "mlflow.user", "value": ALICE}]));
}

#[tokio::test]
async fn an_administrators_run_is_the_administrators() {
    let (gate, bodies) = gate("[access]\nadmins = [\"root@example.com\"]").await;
    let sent = json!({"experiment_id": "1", "user_id": "alice@example.com"});
    assert_eq!(gate.bearer("root").post("/api/2.0/mlflow/runs/create", &sent).await.status, 200);
    assert_eq!(got(&bodies, "/runs/create")["user_id"], "root@example.com");
}

#[tokio::test]
async fn a_second_spelling_of_the_author_is_refused() {
    let (gate, bodies) = gate("").await;
    let alice = gate.bearer("alice");
    for body in [
        r#"{"experiment_id":"1","userId":"bob"}"#,
        r#"{"experiment_id":"1","user_id":"alice","user_id":"bob"}"#,
        r#"{"experiment_id":"1","tags":[],"tags":[{"key":"mlflow.user","value":"bob"}]}"#,
        r#"{"experiment_id":"1","tags":[{"key":"a","key":"mlflow.user","value":"bob"}]}"#,
        r#"{"experiment_id":"1","tags":{"key":"mlflow.user","value":"bob"}}"#,
    ] {
        let told = alice.json("POST", "/api/2.0/mlflow/runs/create", body).await;
        assert_eq!(told.status, 400, "{body}: {}", told.text());
    }
    assert!(bodies.lock().unwrap().is_empty());
}

#[tokio::test]
async fn the_author_of_a_run_cannot_be_changed_or_taken_away() {
    let (gate, bodies) = gate("").await;
    let set = |name: &str| json!({"run_id": RUN, "key": "mlflow.user", "value": name});
    let batch = |name: &str| json!({"run_id": RUN, "tags": [{"key": "mlflow.user", "value": name}]});
    let (alice, bob) = (gate.bearer("alice"), gate.bearer("bob"));
    for path in ["/api/2.0/mlflow/runs/set-tag", "/ajax-api/2.0/mlflow/runs/set-tag"] {
        for name in ["alice@example.com", "bob@example.com", ""] {
            let told = bob.post(path, &set(name)).await;
            assert_eq!((told.status, told.error_code().as_str()), (403, "PERMISSION_DENIED"), "{name}");
        }
        assert_eq!(alice.post(path, &set("bob@example.com")).await.status, 403);
        assert_eq!(alice.post(path, &set(ALICE)).await.status, 200, "one's own name on one's own run changes nothing");
    }
    assert_eq!(bob.post("/api/2.0/mlflow/runs/log-batch", &batch("bob@example.com")).await.status, 403);
    assert_eq!(alice.post("/api/2.0/mlflow/runs/log-batch", &batch(ALICE)).await.status, 200);
    let delete = json!({"run_id": RUN, "key": "mlflow.user"});
    for actor in [&alice, &bob] {
        assert_eq!(actor.post("/api/2.0/mlflow/runs/delete-tag", &delete).await.status, 403);
    }
    let asked = bodies.lock().unwrap().iter().filter(|(path, _)| !path.ends_with("/runs/get")).count();
    assert_eq!(asked, 3, "nothing of what was refused reached MLflow");
}

#[tokio::test]
async fn the_setting_leaves_authors_as_they_were_sent() {
    let (gate, bodies) = gate("[access]\nauthors = false").await;
    let sent = json!({"experiment_id": "1", "user_id": "root"});
    assert_eq!(gate.bearer("alice").post("/api/2.0/mlflow/runs/create", &sent).await.status, 200);
    assert_eq!(got(&bodies, "/runs/create"), sent);
    let set = json!({"run_id": RUN, "key": "mlflow.user", "value": "root"});
    assert_eq!(gate.bearer("bob").post("/api/2.0/mlflow/runs/set-tag", &set).await.status, 200);
}

#[tokio::test]
async fn a_trace_of_the_older_form_is_of_whoever_starts_it_and_its_end_names_nobody_else() {
    let (gate, bodies) = gate("").await;
    let alice = gate.bearer("alice");
    let sent = json!({"experiment_id": "1", "timestamp_ms": 1, "tags": [],
        "request_metadata": [{"key": "k", "value": "v"}, {"key": "mlflow.user", "value": "bob@example.com"}]});
    for sent in [&sent, &json!({"experiment_id": "1", "timestamp_ms": 1})] {
        let told = alice.post("/api/2.0/mlflow/traces", sent).await;
        assert_eq!(told.status, 200, "{}", told.text());
        let metadata = got(&bodies, "/2.0/mlflow/traces")["request_metadata"].clone();
        assert!(metadata.as_array().unwrap().contains(&json!({"key": "mlflow.user", "value": ALICE})), "{metadata}");
        assert!(!metadata.to_string().contains("bob"), "{metadata}");
    }
}
