//! MLflow below a static prefix, and what it keeps at the root; its version, at the one place or the other.

use std::sync::{Arc, Mutex};

use crate::harness::gate::Gate;
use crate::harness::server::{Server, full};

const RUN: &str = "0123456789abcdef0123456789abcdef";

/// A gate before an MLflow under `/ml`, and the paths that MLflow was asked for.
async fn gate() -> (Gate, Arc<Mutex<Vec<String>>>) {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&asked);
    let server = Server::scripted(move |request| {
        let path = request.uri().path().to_owned();
        seen.lock().unwrap().push(path.clone());
        async move {
            match path.as_str() {
                "/ml/ajax-api/2.0/mlflow/runs/get" => full(
                    200,
                    format!(
                        r#"{{"run":{{"info":{{"run_id":"{RUN}","experiment_id":"1","artifact_uri":"mlflow-artifacts:/1/{RUN}/artifacts"}}}}}}"#
                    ),
                ),
                _ => full(200, "{}"),
            }
        }
    });
    let gate = Gate::with(server, "", |config| {
        "/ml".clone_into(&mut config.clean.static_prefix);
        "/ml".clone_into(&mut config.resolve.static_prefix);
    })
    .await;
    gate.grant("user:alice@example.com", "experiment", "1", "READ").await;
    (gate, asked)
}

#[tokio::test]
async fn a_call_is_judged_alike_below_the_prefix_and_at_the_root_and_sent_where_it_was_asked_for() {
    let (gate, asked) = gate().await;
    for place in ["/ml/api", "/ml/ajax-api", "/api", "/ajax-api"] {
        let artifact = format!("{place}/2.0/mlflow-artifacts/artifacts/1/{RUN}/artifacts/a.txt");
        for path in [format!("{place}/2.0/mlflow/artifacts/list?run_id={RUN}"), artifact] {
            let answer = gate.bearer("alice").get(&path).await;
            assert_eq!(answer.status, 200, "{path}: {}", answer.text());
            let last = asked.lock().unwrap().last().cloned().unwrap();
            assert_eq!(Some(last.as_str()), path.split('?').next());
            asked.lock().unwrap().clear();
            assert_eq!(gate.bearer("bob").get(&path).await.status, 403, "{path}");
            let sent = asked.lock().unwrap().drain(..).collect::<Vec<_>>();
            assert!(sent.iter().all(|path| path == "/ml/ajax-api/2.0/mlflow/runs/get"), "{sent:?}");
        }
    }
}

#[tokio::test]
async fn the_front_leads_below_the_prefix_and_nothing_else_of_the_page_is_at_the_root() {
    let (gate, asked) = gate().await;
    for path in ["/", "/ml"] {
        let answer = gate.bearer("alice").get(path).await;
        assert_eq!((answer.status, answer.header("location")), (303, Some("/ml/")), "{path}");
    }
    for path in ["/static-files/a.js", "/get-artifact?run_id=1&path=a", "/mlx/", "/ml/trackgate/livez"] {
        let answer = gate.bearer("alice").get(path).await;
        assert_eq!((answer.status, answer.error_code().as_str()), (404, "ENDPOINT_NOT_FOUND"), "{path}");
    }
    assert!(asked.lock().unwrap().is_empty());
    assert_eq!(gate.bearer("alice").get("/ml/").await.status, 200);
    assert_eq!(gate.bearer("alice").get("/ml/static-files/a.js").await.status, 200);
    assert_eq!(*asked.lock().unwrap(), ["/ml/", "/ml/static-files/a.js"]);
    assert_eq!(gate.anonymous().get("/").await.status, 401);
}
