//! A limit that is crossed, or a server that misbehaves: what does the caller read, and what does the audit log keep?

use std::time::Duration;

use http::Request;
use http_body_util::BodyExt as _;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::harness::client::{Client, nothing};
use crate::harness::gate::{Gate, HOST};
use crate::harness::server::{Server, full};
use crate::harness::soon;
use crate::login::Browser;

const READ: &str = "/api/2.0/mlflow/experiments/get?experiment_id=1";
const RUN: &str = "0123456789abcdef0123456789abcdef";
const FILE: &str = "/api/2.0/mlflow-artifacts/artifacts/1/0123456789abcdef0123456789abcdef/artifacts/file";

/// A server that says where a run lies; to anything else it says these bytes, then closes the connection or keeps silent.
fn saying(bytes: &'static [u8], closes: bool) -> Server {
    Server::raw(move |mut tcp| async move {
        let mut read = vec![0; 65536];
        while tcp.read(&mut read).await.is_ok_and(|came| came > 0) {
            if read.starts_with(b"GET /api/2.0/mlflow/runs/get") {
                let uri = format!("mlflow-artifacts:/1/{RUN}/artifacts");
                let run =
                    json!({"run": {"info": {"run_id": RUN, "experiment_id": "1", "artifact_uri": uri}}}).to_string();
                let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{run}", run.len());
                tcp.write_all(head.as_bytes()).await.unwrap();
                continue;
            }
            tcp.write_all(bytes).await.unwrap();
            if closes {
                return;
            }
        }
    })
}

#[tokio::test]
async fn a_slow_server_is_504_as_json_each_kind_of_call_after_its_own_time() {
    let short = Duration::from_millis(100);
    for (slow, patient) in [(READ, FILE), (FILE, READ)] {
        let gate = Gate::with(saying(b"", false), "", |config| {
            if slow == READ {
                config.upstream.first_byte_timeout = short;
            } else {
                config.upstream.artifact_first_byte_timeout = short;
            }
        })
        .await;
        gate.grant("user:alice@example.com", "experiment", "1", "MANAGE").await;
        let told = gate.bearer("alice").get(slow).await;
        assert_eq!((told.status, told.error_code().as_str()), (504, "TEMPORARILY_UNAVAILABLE"), "{slow}");
        let record = gate.record(&told).await;
        assert_eq!((&record["decision"], &record["reason"]), (&json!("error"), &json!("upstream-timeout")), "{slow}");
        let alice = gate.bearer("alice");
        let other = tokio::time::timeout(5 * short, alice.get(patient)).await;
        assert!(other.is_err(), "{patient} was not waited for: {other:?}");
    }
}

#[tokio::test]
async fn a_server_that_breaks_off_is_502_before_its_head_and_a_cut_answer_after_it() {
    let gate = Gate::with(saying(b"HTTP/1.1 200 OK\r\ncontent-le", true), "", |_| {}).await;
    gate.grant("user:alice@example.com", "experiment", "1", "READ").await;
    let told = gate.bearer("alice").get(READ).await;
    assert_eq!((told.status, told.error_code().as_str()), (502, "TEMPORARILY_UNAVAILABLE"));
    assert_eq!(gate.record(&told).await["decision"], "error");

    let gate = Gate::with(saying(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf", true), "", |_| {}).await;
    gate.grant("user:alice@example.com", "experiment", "1", "READ").await;
    let mut client = Client::http1(gate.address()).await;
    let request = Request::get(FILE)
        .header("host", HOST)
        .header("authorization", format!("Bearer {}", gate.token("alice")))
        .body(nothing())
        .unwrap();
    // Hyper may close before the head is on its way; what must not come is a whole answer.
    if let Ok(answer) = client.try_send(request).await {
        assert_eq!(answer.status(), 200);
        assert!(soon("the body", answer.into_body().collect()).await.is_err(), "half an answer looked complete");
    }
    soon("the record of a cut answer", async {
        while !gate.records().iter().any(|record| record["call"] == "DownloadArtifact" && record["cut_off"] == true) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_json_body_over_its_limit_is_413_and_log_batch_has_a_limit_of_its_own() {
    let server = Server::scripted(|_| async {
        let run = json!({"run": {"info": {"run_id": RUN, "experiment_id": "1"}}});
        full(200, run.to_string())
    });
    let gate = Gate::with(server, "", |config| {
        config.bodies.json = 1000;
        config.bodies.large_json = 3000;
    })
    .await;
    gate.grant("user:alice@example.com", "experiment", "1", "MANAGE").await;
    let alice = gate.bearer("alice");
    let body = |size: usize| json!({"run_id": RUN, "key": "k", "value": "x".repeat(size)}).to_string();
    let (tag, batch) = ("/api/2.0/mlflow/runs/set-tag", "/api/2.0/mlflow/runs/log-batch");
    for (call, size, status) in [(tag, 500, 200), (tag, 2000, 413), (batch, 2000, 200), (batch, 4000, 413)] {
        let told = alice.json("POST", call, body(size)).await;
        assert_eq!(told.status, status, "{call} {size}: {}", told.text());
        if status == 413 {
            assert_eq!(told.error_code(), "INVALID_PARAMETER_VALUE");
            assert_eq!(gate.record(&told).await["reason"], "body-too-large");
        }
    }
}

#[tokio::test]
async fn several_providers_are_offered_and_a_single_one_is_gone_to_at_once() {
    let page = "/trackgate/login?return_to=%2F";
    let gate = Gate::before(|_| async { full(200, "{}") }).await;
    let said = Browser::at(&gate).visit(page).await.text();
    assert!(said.contains("data-go") && said.contains("/trackgate/login/test?"), "{said}");

    let second = r#"
[[issuer]]
name = "other"
title = "The Other One"
issuer = "https://other.example.com"
[issuer.login]
client_id = "c"
"#;
    let gate = Gate::with(Server::ok(), second, |_| {}).await;
    let said = Browser::at(&gate).visit(page).await.text();
    assert!(!said.contains("data-go") && !said.contains("http-equiv=\"refresh\""), "{said}");
    for offered in
        ["Continue with Test", "/trackgate/login/test?", "Continue with The Other One", "/trackgate/login/other?"]
    {
        assert!(said.contains(offered), "{offered}: {said}");
    }
}

#[tokio::test]
async fn whoever_is_new_while_the_database_is_locked_is_503_and_the_known_are_served() {
    use sqlx::ConnectOptions as _;

    let gate = Gate::before(|_| async { full(200, r#"{"experiment": {"experiment_id": "1"}}"#) }).await;
    gate.grant("user:alice@example.com", "experiment", "1", "READ").await;
    assert_eq!(gate.bearer("alice").get(READ).await.status, 200);
    let file = gate.folder.path().join("state/trackgate.db");
    let mut other = sqlx::sqlite::SqliteConnectOptions::new().filename(file).connect().await.unwrap();
    sqlx::query("BEGIN IMMEDIATE").execute(&mut other).await.unwrap();
    let new = gate.bearer("bob").get(READ).await;
    assert_eq!((new.status, new.error_code().as_str()), (503, "TEMPORARILY_UNAVAILABLE"));
    let record = gate.record(&new).await;
    assert_eq!((&record["decision"], &record["reason"]), (&json!("error"), &json!("store-unavailable")));
    assert_eq!(gate.bearer("alice").get(READ).await.status, 200);
    sqlx::query("ROLLBACK").execute(&mut other).await.unwrap();
    assert_eq!(gate.bearer("bob").get(READ).await.status, 403);
}

#[tokio::test]
async fn what_is_no_request_is_refused_as_json_and_recorded_too() {
    use crate::harness::raw::Raw;

    let gate = Gate::before(|_| async { full(200, "{}") }).await;
    let mut raw = Raw::connect(gate.address()).await;
    raw.send(format!(
        "POST {READ} HTTP/1.1\r\nhost: {HOST}\r\ncontent-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"
    ))
    .await;
    let said = raw.answer().await;
    assert_eq!(said.status, 400);
    let json: serde_json::Value = serde_json::from_slice(&said.body).unwrap();
    assert_eq!(json["error_code"], "BAD_REQUEST");
    let id = said.header("x-request-id").expect("a name").to_owned();
    soon("its record", async {
        while !gate.records().iter().any(|record| record["id"] == *id && record["decision"] == "deny") {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    assert!(gate.upstream.seen().is_empty());
}
