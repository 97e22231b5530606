//! Traces: ids that clients choose, tags that the server trusts, spans that name other traces, and what rows tell.

use bytes::Bytes;
use http::Request;
use serde_json::{Value, json};

use crate::harness::client::payload;
use crate::harness::gate::{Gate, Told};
use crate::harness::server::{Answer, full};

const HEX: &str = "0123456789abcdef0123456789abcdef";
const MINE: &str = "tr-0123456789abcdef0123456789abcdef";
const THEIRS: &str = "tr-fedcba9876543210fedcba9876543210";
const NEW: &str = "tr-00000000000000000000000000000007";
const RUN: &str = "0123456789abcdef0123456789abcdef";
/// In experiment 2.
const OTHER_RUN: &str = "fedcba9876543210fedcba9876543210";
const PLACE: &str = "mlflow-artifacts:/1/traces/tr-0123456789abcdef0123456789abcdef/artifacts";

/// A trace as a 3.x server tells of it: `MINE` lies in experiment 1, `THEIRS` in 2.
fn info(id: &str, experiment: &str) -> Value {
    json!({
        "trace_id": id,
        "trace_location": {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": experiment}},
        "trace_metadata": {"mlflow.sourceRun": RUN, "mlflow.user": "x"},
        "tags": {
            "mlflow.artifactLocation": format!("mlflow-artifacts:/{experiment}/traces/{id}/artifacts"),
            "mlflow.linkedPrompts": r#"[{"name": "secret", "version": "1"}]"#,
        },
        "assessments": [{"assessment_id": "a-1", "assessment_name": "good"}],
    })
}

fn answered(status: u16, body: &Value) -> Answer {
    let mut answer = full(status, body.to_string());
    answer.headers_mut().insert("content-type", http::HeaderValue::from_static("application/json"));
    answer
}

fn mlflow(target: &str) -> Answer {
    let absent = json!({"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "no"});
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    match path {
        "/version" => full(200, "3.17.2"),
        "/api/2.0/mlflow/runs/get" => {
            let experiment = if query.contains(RUN) { "1" } else { "2" };
            let id = query.trim_start_matches("run_id=");
            answered(200, &json!({"run": {"info": {"run_id": id, "experiment_id": experiment, "artifact_uri": ""}}}))
        }
        "/api/2.0/mlflow/experiments/get" => {
            let id = query.trim_start_matches("experiment_id=");
            let place = format!("mlflow-artifacts:/{id}");
            answered(200, &json!({"experiment": {"experiment_id": id, "artifact_location": place}}))
        }
        "/api/3.0/mlflow/traces/search" | "/api/2.0/mlflow/traces" => {
            answered(200, &json!({"traces": [info(MINE, "1"), info(THEIRS, "2")]}))
        }
        "/api/3.0/mlflow/traces/batchGetInfos" => {
            answered(200, &json!({"trace_infos": [info(MINE, "1"), info(THEIRS, "2")]}))
        }
        // Our own look-up: what is no letter and no digit is quoted.
        _ if path.ends_with("/assessments/a%2D1") => {
            let metadata = json!({"mlflow.assessment.sourceRunId": OTHER_RUN});
            answered(200, &json!({"assessment": {"assessment_id": "a-1", "metadata": metadata}}))
        }
        "/api/3.0/mlflow/registered-models/get" | "/api/2.0/mlflow/registered-models/get" => {
            let tags = json!([{"key": "mlflow.prompt.is_prompt", "value": "true"}]);
            answered(200, &json!({"registered_model": {"name": "secret", "tags": tags}}))
        }
        _ if path.contains("/issues/iss-") => {
            let id = path.rsplit('/').next().unwrap();
            answered(200, &json!({"issue": {"issue_id": id, "experiment_id": &id[id.len() - 1..]}}))
        }
        _ if path.ends_with(MINE) => answered(200, &json!({"trace": {"trace_info": info(MINE, "1")}})),
        _ if path.ends_with(THEIRS) => answered(200, &json!({"trace": {"trace_info": info(THEIRS, "2")}})),
        _ if path.starts_with("/api/3.0/mlflow/traces/tr-") && !path.contains("/tags") && !path.contains("/assess") => {
            answered(404, &absent)
        }
        _ => answered(200, &json!({})),
    }
}

/// Alice writes in experiment 1; nobody has anything in 2.
async fn gate() -> Gate {
    let gate = Gate::before(|request| {
        let target = request.uri().to_string();
        async move { mlflow(&target) }
    })
    .await;
    gate.grant("user:alice@example.com", "experiment", "1", "EDIT").await;
    gate
}

fn start(id: &str, experiment: &str, more: Value) -> Value {
    let mut trace = json!({
        "trace_id": id,
        "trace_location": {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": experiment}},
        "request_time": "2026-01-01T00:00:00Z", "state": "OK",
    });
    for (key, value) in more.as_object().unwrap() {
        trace[key] = value.clone();
    }
    json!({"trace": {"trace_info": trace}})
}

async fn starts(gate: &Gate, id: &str, experiment: &str, more: Value) -> u16 {
    gate.bearer("alice").post("/api/3.0/mlflow/traces", &start(id, experiment, more)).await.status
}

fn spans(ids: &[&str], attributes: Value) -> String {
    let spans: Vec<Value> =
        ids.iter().map(|id| json!({"traceId": id, "spanId": "0123456789abcdef", "attributes": attributes})).collect();
    json!({"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]}).to_string()
}

async fn export(gate: &Gate, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Told {
    let mut request = Request::post("/v1/traces");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    gate.bearer("alice").send(request.body(payload(body)).unwrap()).await
}

const JSON: [(&str, &str); 2] = [("content-type", "application/json"), ("x-mlflow-experiment-id", "1")];

#[tokio::test]
async fn a_trace_of_another_experiment_cannot_be_sent_again_into_ones_own() {
    let gate = gate().await;
    assert_eq!(starts(&gate, NEW, "1", json!({})).await, 200);
    assert_eq!(starts(&gate, MINE, "1", json!({})).await, 200);
    assert_eq!(starts(&gate, THEIRS, "1", json!({})).await, 403);
    assert_eq!(starts(&gate, NEW, "2", json!({})).await, 403);
    // Even where one may write in both, a trace stays where it is.
    gate.grant("user:alice@example.com", "experiment", "2", "EDIT").await;
    assert_eq!(starts(&gate, THEIRS, "2", json!({})).await, 200);
    assert_eq!(starts(&gate, THEIRS, "1", json!({})).await, 403);
    assert_eq!(starts(&gate, "tr-0123", "1", json!({})).await, 400);
    assert_eq!(starts(&gate, "TR-0123456789abcdef0123456789abcdef", "1", json!({})).await, 400);
}

#[tokio::test]
async fn what_only_the_server_may_say_of_a_trace_is_refused() {
    let gate = gate().await;
    for (more, status) in [
        (json!({"tags": {"team": "a"}}), 200),
        (json!({"tags": {"mlflow.artifactLocation": PLACE}}), 403),
        (json!({"tags": {"mlflow.trace.archiveLocation": "s3://x"}}), 403),
        (json!({"tags": {"mlflow.trace.spansLocation": "ARCHIVE_REPO"}}), 403),
        (json!({"trace_metadata": {"mlflow.gateway.endpointId": "e-1"}}), 403),
        (json!({"trace_metadata": {"mlflow.auth.username": "bob"}}), 403),
        (json!({"trace_metadata": {"mlflow.sourceRun": RUN}}), 200),
        (json!({"trace_metadata": {"mlflow.sourceRun": "fedcba9876543210fedcba9876543210"}}), 403),
        (json!({"trace_metadata": {"mlflow.sourceRun": "nonsense"}}), 400),
        (json!({"assessments": [{"assessment_name": "good"}]}), 200),
        (json!({"assessments": [{"assessment_name": "good", "assessment_id": "a-1"}]}), 400),
        (json!({"assessments": [{"assessment_name": "good", "overrides": "a-1"}]}), 400),
        (json!({"traceId": THEIRS}), 400),
    ] {
        assert_eq!(starts(&gate, NEW, "1", more.clone()).await, status, "{more}");
    }
    let table = json!({"trace_location": {"inference_table": {"full_table_name": "a.b.c"}}});
    assert_eq!(starts(&gate, NEW, "1", table).await, 400);
    gate.grant("user:alice@example.com", "assessment", "*", "DENY").await;
    assert_eq!(starts(&gate, NEW, "1", json!({})).await, 200);
    assert_eq!(starts(&gate, NEW, "1", json!({"assessments": [{"assessment_name": "good"}]})).await, 403);
}

#[tokio::test]
async fn a_tag_by_which_the_server_finds_data_is_nobodys_to_write() {
    let gate = gate().await;
    let set = async |version: &str, key: &str| {
        let path = format!("/api/{version}/mlflow/traces/{MINE}/tags");
        gate.bearer("alice").json("PATCH", &path, json!({"key": key, "value": "v"}).to_string()).await.status
    };
    for version in ["2.0", "3.0"] {
        assert_eq!(set(version, "team").await, 200);
        assert_eq!(set(version, "mlflow.artifactLocation").await, 403);
        assert_eq!(set(version, "mlflow.trace.archivalFailure").await, 403);
    }
    let path = format!("/api/3.0/mlflow/traces/{MINE}/tags");
    let remove =
        async |key: &str| gate.bearer("alice").json("DELETE", &path, json!({"key": key}).to_string()).await.status;
    assert_eq!(remove("mlflow.trace.archivalFailure").await, 200);
    assert_eq!(remove("mlflow.artifactLocation").await, 403);
    // A body that names another trace than the path.
    let body = json!({"key": "k", "value": "v", "trace_id": THEIRS}).to_string();
    assert_eq!(gate.bearer("alice").json("PATCH", &path, body).await.status, 400);
}

#[tokio::test]
async fn the_end_of_a_trace_of_the_older_form_does_not_say_whose_it_is() {
    let gate = gate().await;
    let path = format!("/api/2.0/mlflow/traces/{MINE}");
    for (key, status) in [("k", 200), ("mlflow.user", 403), ("MLflow.User ", 403)] {
        let body = json!({"request_id": MINE, "request_metadata": [{"key": key, "value": "bob@example.com"}]});
        let told = gate.bearer("alice").json("PATCH", &path, body.to_string()).await;
        assert_eq!(told.status, status, "{key}: {}", told.text());
    }
}

#[tokio::test]
async fn an_old_client_ends_a_trace_with_the_tags_that_it_was_given() {
    let gate = gate().await;
    let end = async |place: &str| {
        let body = json!({"request_id": MINE, "timestamp_ms": 1, "status": "OK",
            "tags": [{"key": "team", "value": "a"}, {"key": "mlflow.artifactLocation", "value": place}]});
        gate.bearer("alice").json("PATCH", &format!("/api/2.0/mlflow/traces/{MINE}"), body.to_string()).await.status
    };
    assert_eq!(end(PLACE).await, 200);
    assert_eq!(end("file:///etc").await, 403);
    assert_eq!(end("").await, 403);
}

#[tokio::test]
async fn spans_go_only_into_traces_of_the_experiment_that_was_judged() {
    let gate = gate().await;
    let none = json!([]);
    let new = NEW.trim_start_matches("tr-");
    let theirs = THEIRS.trim_start_matches("tr-");
    assert_eq!(export(&gate, &JSON, spans(&[HEX, new], none.clone())).await.status, 200);
    assert_eq!(export(&gate, &JSON, spans(&[HEX, theirs], none.clone())).await.status, 403);
    // A batch of many is looked up at once.
    let many: Vec<String> = (0..50).map(|n| format!("{n:032x}")).chain([HEX, theirs].map(str::to_owned)).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let before = gate.upstream.seen().len();
    assert_eq!(export(&gate, &JSON, spans(&many, none.clone())).await.status, 403);
    assert_eq!(gate.upstream.seen().len(), before + 1);
    let other = [("content-type", "application/json"), ("x-mlflow-experiment-id", "2")];
    assert_eq!(export(&gate, &other, spans(&[new], none.clone())).await.status, 403);
    let gate_tag = json!([{"key": "mlflow.traceTag.mlflow.artifactLocation", "value": {"stringValue": "file:///etc"}}]);
    assert_eq!(export(&gate, &JSON, spans(&[new], gate_tag)).await.status, 403);
    let twin = json!([{"key": "mlflow.traceRequestId", "value": {"stringValue": THEIRS}}]);
    assert_eq!(export(&gate, &JSON, spans(&[new], twin)).await.status, 400);
}

#[tokio::test]
async fn spans_that_cannot_be_read_in_one_way_are_refused() {
    let gate = gate().await;
    let body = spans(&[HEX], json!([]));
    let with = |more: &[(&'static str, &'static str)]| [&JSON[..], more].concat();
    for (headers, body, status) in [
        (vec![("content-type", "application/json")], body.clone(), 400),
        (with(&[("x-mlflow-experiment-id", "1")]), body.clone(), 400),
        (with(&[("x-mlflow-experiment-id", "2")]), body.clone(), 400),
        (vec![("content-type", "application/json"), ("x-mlflow-experiment-id", "01")], body.clone(), 400),
        (with(&[("x-mlflow-run-id", "fedcba9876543210fedcba9876543210")]), body.clone(), 403),
        (with(&[("x-mlflow-run-id", RUN)]), body.clone(), 200),
        (with(&[("content-encoding", "br")]), body.clone(), 400),
        (with(&[("content-encoding", "gzip")]), body.clone(), 400),
        (vec![("content-type", "application/x-protobuf"), ("x-mlflow-experiment-id", "1")], body.clone(), 400),
        (vec![("content-type", "text/plain"), ("x-mlflow-experiment-id", "1")], body.clone(), 400),
        (JSON.to_vec(), "{}".to_owned(), 400),
        (JSON.to_vec(), body.replace("resourceSpans", "resource_spans"), 400),
        (JSON.to_vec(), body.replace(HEX, "0123"), 400),
    ] {
        let told = export(&gate, &headers, body.clone()).await;
        assert_eq!(told.status, status, "{headers:?} {body}: {}", told.text());
    }
    assert_eq!(gate.upstream.seen().iter().filter(|seen| seen.target == "/v1/traces").count(), 1);
}

#[tokio::test]
async fn what_was_unpacked_and_judged_is_what_is_sent() {
    use std::io::Write as _;

    let gate = gate().await;
    let body = spans(&[HEX], json!([]));
    let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    writer.write_all(body.as_bytes()).unwrap();
    let headers = [&JSON[..], &[("content-encoding", "gzip")]].concat();
    assert_eq!(export(&gate, &headers, writer.finish().unwrap()).await.status, 200);
    let seen = gate.upstream.seen().into_iter().find(|seen| seen.target == "/v1/traces").unwrap();
    assert_eq!(seen.headers.get("content-encoding"), None);
    assert_eq!(seen.headers.get("content-length").unwrap(), &body.len().to_string());

    let mut bomb = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    for _ in 0..64 {
        bomb.write_all(&vec![b' '; 1024 * 1024]).unwrap();
    }
    assert_eq!(export(&gate, &headers, bomb.finish().unwrap()).await.status, 413);
}

#[tokio::test]
async fn a_hidden_trace_looks_like_an_absent_one() {
    let gate = gate().await;
    for path in [
        "/api/3.0/mlflow/traces/{}",
        "/api/2.0/mlflow/traces/{}/info",
        "/ajax-api/3.0/mlflow/get-trace-artifact?request_id={}",
    ] {
        let hidden = gate.bearer("alice").get(&path.replace("{}", THEIRS)).await;
        let absent = gate.bearer("alice").get(&path.replace("{}", NEW)).await;
        let plain = |told: &Told| told.text().split(" (request").next().unwrap_or_default().to_owned();
        assert_eq!((hidden.status, absent.status), (403, 403), "{path}");
        assert_eq!(plain(&hidden), plain(&absent));
    }
}

#[tokio::test]
async fn rows_of_a_search_are_judged_and_tell_of_nothing_hidden() {
    let gate = gate().await;
    let at = |ids: &[&str]| -> Vec<Value> {
        ids.iter().map(|id| json!({"mlflow_experiment": {"experiment_id": id}})).collect()
    };
    let search = async |who: &str, body: Value| gate.bearer(who).post("/api/3.0/mlflow/traces/search", &body).await;
    let told = search("alice", json!({"locations": at(&["1", "2"])})).await;
    let rows = told.json()["traces"].clone();
    assert_eq!(rows.as_array().unwrap().len(), 1, "{rows}");
    assert_eq!(rows[0]["trace_metadata"]["mlflow.sourceRun"], RUN);
    // No prompt is granted, so none is told of.
    assert_eq!(rows[0]["tags"]["mlflow.linkedPrompts"], "[]");
    assert_eq!(rows[0]["assessments"][0]["assessment_id"], "a-1");
    assert_eq!(search("mallory", json!({"locations": at(&["1"])})).await.text(), "{}");
    let table = json!({"locations": [{"inference_table": {"full_table_name": "a.b.c"}}]});
    assert_eq!(search("alice", table).await.status, 400);
    let camel = json!({"locations": [{"mlflowExperiment": {"experimentId": "2"}}]});
    assert_eq!(search("alice", camel).await.status, 400);

    // What a link hides cannot be spelled out by a filter; what is seen can be asked for.
    for (filter, found) in [
        (format!("run_id = '{RUN}'"), true),
        ("metadata.`mlflow.sourceRun` LIKE '0%'".to_owned(), false),
        ("prompt = 'secret/1'".to_owned(), false),
    ] {
        let told = search("alice", json!({"locations": at(&["1"]), "filter": filter})).await;
        assert_eq!(told.json()["traces"].is_array(), found, "{filter}");
    }

    gate.grant("user:alice@example.com", "run", RUN, "DENY").await;
    gate.grant("user:alice@example.com", "assessment", "a-1", "DENY").await;
    let rows = search("alice", json!({"locations": at(&["1"])})).await.json()["traces"].clone();
    assert_eq!(rows[0]["trace_metadata"], json!({"mlflow.user": "x"}));
    assert_eq!(rows[0]["assessments"], json!([]));
    // What is not shown cannot be asked for either.
    for (field, text) in [
        ("filter", json!("run_id = 'x'")),
        ("filter", json!("metadata.`mlflow.sourceRun` = 'x'")),
        ("filter", json!("feedback.good = 'yes'")),
        ("order_by", json!(["run_id DESC"])),
    ] {
        let told = search("alice", json!({"locations": at(&["1"]), field: text.clone()})).await;
        assert_eq!(told.status, 403, "{text}");
    }
    assert_eq!(search("alice", json!({"locations": at(&["1"]), "filter": "status = 'OK'"})).await.status, 200);

    gate.grant("user:alice@example.com", "trace", MINE, "DENY").await;
    assert_eq!(search("alice", json!({"locations": at(&["1"])})).await.text(), "{}");
    let metrics =
        json!({"experiment_ids": ["1"], "view_type": "TRACES", "metric_name": "trace_count", "aggregations": []});
    assert_eq!(gate.bearer("alice").post("/ajax-api/3.0/mlflow/traces/metrics", &metrics).await.status, 403);
}

#[tokio::test]
async fn a_batch_by_ids_holds_what_may_be_seen() {
    let gate = gate().await;
    let body = json!({"trace_ids": [MINE, THEIRS, NEW]});
    let told = gate.bearer("alice").post("/api/3.0/mlflow/traces/batchGetInfos", &body).await;
    let ids: Vec<Value> =
        told.json()["trace_infos"].as_array().unwrap().iter().map(|row| row["trace_id"].clone()).collect();
    assert_eq!(ids, [json!(MINE)]);
    assert_eq!(gate.bearer("mallory").post("/api/3.0/mlflow/traces/batchGetInfos", &body).await.text(), "{}");
    let odd = json!({"trace_ids": ["../x"]});
    assert_eq!(gate.bearer("alice").post("/api/3.0/mlflow/traces/batchGetInfos", &odd).await.status, 400);
}

#[tokio::test]
async fn metrics_count_nothing_that_is_denied() {
    let gate = gate().await;
    let metrics = async |view: Value, filters: Value| {
        let body = json!({"experiment_ids": ["1"], "view_type": view, "filters": filters});
        gate.bearer("alice").post("/api/3.0/mlflow/traces/metrics", &body).await.status
    };
    assert_eq!(metrics(json!("ASSESSMENTS"), json!([])).await, 200);
    gate.grant("user:alice@example.com", "assessment", "*", "DENY").await;
    for (view, status) in [
        (json!("TRACES"), 200),
        (json!("SPANS"), 200),
        (json!("ASSESSMENTS"), 403),
        (json!(3), 403),
        (json!("3"), 403),
        (Value::Null, 403),
    ] {
        assert_eq!(metrics(view.clone(), json!([])).await, status, "{view}");
    }
    assert_eq!(metrics(json!("TRACES"), json!(["assessment.name = 'good'"])).await, 403);
    let two = json!({"experiment_ids": ["1", "2"], "view_type": "TRACES"});
    assert_eq!(gate.bearer("alice").post("/api/3.0/mlflow/traces/metrics", &two).await.status, 403);
}

#[tokio::test]
async fn counts_spell_out_no_hidden_name() {
    let gate = gate().await;
    let metrics = async |filter: &str| {
        let body = json!({"experiment_ids": ["1"], "view_type": "TRACES", "filters": [filter]});
        gate.bearer("alice").post("/api/3.0/mlflow/traces/metrics", &body).await.status
    };
    let correlation = async |filter: &str| {
        let body = json!({"experiment_ids": ["1"], "filter_string1": "status = 'OK'", "filter_string2": filter});
        gate.bearer("alice").post("/api/3.0/mlflow/traces/calculate-filter-correlation", &body).await.status
    };
    for filter in ["status = 'OK'", "tags.prompt = 'x'", &format!("run_id = '{RUN}'")] {
        assert_eq!((metrics(filter).await, correlation(filter).await), (200, 200), "{filter}");
    }
    for filter in [
        "run_id = 'fedcba9876543210fedcba9876543210'",
        "run_id = 'no id'",
        "metadata.`mlflow.sourceRun` LIKE 'a%'",
        "prompt = 'secret/1'",
        "tags.`mlflow.linkedPrompts` LIKE '%secret%'",
    ] {
        assert_eq!((metrics(filter).await, correlation(filter).await), (403, 403), "{filter}");
    }
    gate.grant("user:alice@example.com", "experiment", "*", "READ").await;
    gate.grant("user:alice@example.com", "prompt", "*", "READ").await;
    for filter in ["metadata.`mlflow.sourceRun` LIKE 'a%'", "tags.`mlflow.linkedPrompts` LIKE '%secret%'"] {
        assert_eq!((metrics(filter).await, correlation(filter).await), (200, 200), "{filter}");
    }
    gate.grant("user:alice@example.com", "prompt", "secret", "DENY").await;
    assert_eq!(metrics("tags.`mlflow.linkedPrompts` LIKE '%secret%'").await, 403);
}

#[tokio::test]
async fn links_need_both_ends() {
    let gate = gate().await;
    let link = async |run: &str, traces: &[&str]| {
        let body = json!({"run_id": run, "trace_ids": traces});
        gate.bearer("alice").post("/api/2.0/mlflow/traces/link-to-run", &body).await.status
    };
    assert_eq!(link(RUN, &[MINE]).await, 200);
    assert_eq!(link(RUN, &[MINE, THEIRS]).await, 403);
    assert_eq!(link("fedcba9876543210fedcba9876543210", &[MINE]).await, 403);
    assert_eq!(link(RUN, &[]).await, 400);
    let prompts = json!({"trace_id": MINE, "prompt_versions": [{"name": "secret", "version": "1"}]});
    assert_eq!(gate.bearer("alice").post("/api/2.0/mlflow/traces/link-prompts", &prompts).await.status, 403);
}

#[tokio::test]
async fn deleting_traces_takes_the_right_to_delete_and_stays_in_the_experiment() {
    let gate = gate().await;
    let delete =
        async |body: Value| gate.bearer("alice").post("/api/3.0/mlflow/traces/delete-traces", &body).await.status;
    let named = json!({"experiment_id": "1", "request_ids": [MINE]});
    assert_eq!(delete(named.clone()).await, 403);
    gate.grant("user:alice@example.com", "experiment", "1", "MANAGE").await;
    assert_eq!(delete(named.clone()).await, 200);
    gate.grant("user:alice@example.com", "trace", THEIRS, "DENY").await;
    assert_eq!(delete(named).await, 200);
    assert_eq!(delete(json!({"experiment_id": "1", "request_ids": [THEIRS]})).await, 403);
    // By time, a denied one could be among them.
    assert_eq!(delete(json!({"experiment_id": "1", "max_timestamp_millis": 1})).await, 403);
}

#[tokio::test]
async fn assessments_follow_their_own_grants_then_the_experiments() {
    let gate = gate().await;
    gate.grant("user:bob@example.com", "experiment", "1", "READ").await;
    let path = format!("/api/3.0/mlflow/traces/{MINE}/assessments");
    let one = format!("{path}/a-1");
    let new = json!({"assessment": {"assessment_name": "good", "trace_id": MINE,
        "source": {"source_type": "HUMAN", "source_id": "mallory"}}});
    assert_eq!(gate.bearer("alice").post(&path, &new).await.status, 200);
    assert_eq!(gate.bearer("bob").post(&path, &new).await.status, 403);
    let change = json!({"assessment": {"rationale": "x"}, "update_mask": "rationale"}).to_string();
    assert_eq!(gate.bearer("alice").json("PATCH", &one, change.clone()).await.status, 200);
    assert_eq!(gate.bearer("bob").json("PATCH", &one, change.clone()).await.status, 403);
    gate.grant("user:bob@example.com", "assessment", "a-1", "EDIT").await;
    assert_eq!(gate.bearer("bob").json("PATCH", &one, change.clone()).await.status, 200);
    assert_eq!(gate.bearer("bob").json("DELETE", &one, "").await.status, 403);
    let other = json!({"assessment": {"trace_id": THEIRS, "rationale": "x"}, "update_mask": "rationale"}).to_string();
    assert_eq!(gate.bearer("alice").json("PATCH", &one, other).await.status, 400);
    let chosen = json!({"assessment": {"assessment_id": "a-1", "assessment_name": "good"}});
    assert_eq!(gate.bearer("alice").post(&path, &chosen).await.status, 400);
    gate.grant("user:alice@example.com", "assessment", "a-1", "DENY").await;
    assert_eq!(gate.bearer("alice").get(&one).await.status, 403);
    assert_eq!(gate.bearer("alice").post(&path, &new).await.status, 200);
}

/// A change of one assessment of alice's experiment.
async fn changed(gate: &Gate, assessment: &str, change: Value) -> u16 {
    let path = format!("/api/3.0/mlflow/traces/{MINE}/assessments/{assessment}");
    let body = json!({"assessment": change, "update_mask": "metadata"}).to_string();
    gate.bearer("alice").json("PATCH", &path, body).await.status
}

async fn assessed(gate: &Gate, more: Value) -> u16 {
    let mut assessment = json!({"assessment_name": "good", "trace_id": MINE});
    for (key, value) in more.as_object().unwrap() {
        assessment[key] = value.clone();
    }
    let path = format!("/api/3.0/mlflow/traces/{MINE}/assessments");
    gate.bearer("alice").post(&path, &json!({"assessment": assessment})).await.status
}

#[tokio::test]
async fn an_assessment_names_only_a_run_that_one_may_edit() {
    let gate = gate().await;
    let by = |key: &str, run: &str| json!({"metadata": {key: run, "team": "a"}});
    for (key, run, status) in [
        ("mlflow.assessment.sourceRunId", RUN, 200),
        ("mlflow.assessment.sourceRunId", OTHER_RUN, 403),
        ("mlflow.assessment.sourceRunId", "nonsense", 400),
        ("MLflow.Assessment.SourceRunId", RUN, 403),
        ("mlflow.assessment.sourceRunId ", RUN, 403),
        ("mlflow.assessment.other", OTHER_RUN, 200),
    ] {
        assert_eq!(assessed(&gate, by(key, run)).await, status, "{key} {run}");
        let mut sent = by(key, run);
        sent["assessment_name"] = json!("good");
        assert_eq!(starts(&gate, NEW, "1", json!({"assessments": [sent]})).await, status, "{key} {run}");
    }
}

#[tokio::test]
async fn a_link_by_which_an_assessment_would_be_deleted_takes_the_right_to_delete_it() {
    let gate = gate().await;
    let by = |run: &str| json!({"metadata": {"mlflow.assessment.sourceRunId": run}});
    assert_eq!(changed(&gate, "a-1", json!({"metadata": {"team": "a"}})).await, 200);
    assert_eq!(changed(&gate, "a-1", by(RUN)).await, 403, "alice may edit the run, and not delete the assessment");
    assert_eq!(changed(&gate, "a-1", by(OTHER_RUN)).await, 200, "it says so already");
    assert_eq!(changed(&gate, "a-1", json!({"metadata": {"MLFLOW.assessment.sourceRunId": RUN}})).await, 403);
    gate.grant("user:alice@example.com", "assessment", "a-1", "MANAGE").await;
    assert_eq!(changed(&gate, "a-1", by(RUN)).await, 200);
    gate.grant("user:alice@example.com", "run", RUN, "READ").await;
    assert_eq!(changed(&gate, "a-1", by(RUN)).await, 403, "and it takes EDIT on the run");
}

#[tokio::test]
async fn an_assessment_overrides_only_one_that_may_be_edited() {
    let gate = gate().await;
    assert_eq!(assessed(&gate, json!({"overrides": "a-1"})).await, 200);
    gate.grant("user:alice@example.com", "assessment", "a-1", "READ").await;
    assert_eq!(assessed(&gate, json!({"overrides": "a-1"})).await, 403);
    assert_eq!(assessed(&gate, json!({"overrides": ""})).await, 200);
    gate.grant("user:alice@example.com", "assessment", "a-9", "DENY").await;
    assert_eq!(assessed(&gate, json!({})).await, 200, "nothing is overridden");
}

#[tokio::test]
async fn an_assessment_names_only_an_issue_that_one_may_edit() {
    let gate = gate().await;
    let issue =
        |end: &str| json!({"assessment_name": format!("iss-{}{end}", "0".repeat(31)), "issue": {"issue_name": "i"}});
    for (end, status) in [("1", 200), ("2", 403)] {
        assert_eq!(assessed(&gate, issue(end)).await, status, "{end}");
        assert_eq!(changed(&gate, "a-1", issue(end)).await, status, "{end}");
        assert_eq!(starts(&gate, NEW, "1", json!({"assessments": [issue(end)]})).await, status, "{end}");
    }
    assert_eq!(assessed(&gate, json!({"assessment_name": "ISS-00000000000000000000000000000002"})).await, 403);
}

#[tokio::test]
async fn who_made_a_trace_is_no_tag_to_set() {
    let gate = gate().await;
    for version in ["2.0", "3.0"] {
        let path = format!("/api/{version}/mlflow/traces/{MINE}/tags");
        for key in ["mlflow.user", "MLflow.User "] {
            let body = json!({"key": key, "value": "bob@example.com"}).to_string();
            assert_eq!(gate.bearer("alice").json("PATCH", &path, body).await.status, 403, "{version} {key}");
        }
    }
    let path = format!("/api/2.0/mlflow/traces/{MINE}");
    for (key, name, status) in [
        ("mlflow.user", "alice@example.com", 200),
        ("mlflow.user", "bob@example.com", 403),
        ("mlflow.user", "", 403),
        ("mlflow.User", "alice@example.com", 403),
    ] {
        let body = json!({"request_id": MINE, "tags": [{"key": key, "value": name}]}).to_string();
        assert_eq!(gate.bearer("alice").json("PATCH", &path, body).await.status, status, "{key} {name}");
    }
    let tag = json!([{"key": "mlflow.traceTag.mlflow.user", "value": {"stringValue": "bob"}}]);
    assert_eq!(export(&gate, &JSON, spans(&[HEX], tag)).await.status, 403);
    // In a new trace, it becomes the caller's.
    assert_eq!(starts(&gate, NEW, "1", json!({"tags": {"mlflow.user": "bob@example.com"}})).await, 200);
}

#[tokio::test]
async fn a_tag_that_lists_prompts_takes_read_on_each() {
    let gate = gate().await;
    let listed = r#"[{"name": "secret", "version": "1"}]"#;
    let set = async |key: &str, value: &str| {
        let path = format!("/api/3.0/mlflow/traces/{MINE}/tags");
        gate.bearer("alice").json("PATCH", &path, json!({"key": key, "value": value}).to_string()).await.status
    };
    let started = json!({"tags": {"mlflow.linkedPrompts": listed}});
    assert_eq!(set("mlflow.linkedPrompts", listed).await, 403);
    assert_eq!(starts(&gate, NEW, "1", started.clone()).await, 403);
    gate.grant("user:alice@example.com", "prompt", "secret", "READ").await;
    assert_eq!(set("mlflow.linkedPrompts", listed).await, 200);
    assert_eq!(starts(&gate, NEW, "1", started).await, 200);
    assert_eq!(set("mlflow.linkedprompts", listed).await, 403, "one spelling");
    assert_eq!(set("mlflow.linkedPrompts", "secret/1").await, 403, "no list");
    assert_eq!(set("mlflow.linkedPrompts", r#"[{"name": "secret"}]"#).await, 403);
    let tag = json!([{"key": "mlflow.traceTag.mlflow.linkedPrompts", "value": {"stringValue": listed}}]);
    assert_eq!(export(&gate, &JSON, spans(&[HEX], tag)).await.status, 403, "spans carry no such tag");
}

#[tokio::test]
async fn an_artifact_tag_that_leads_elsewhere_is_not_followed() {
    let gate = Gate::before(|request| {
        let target = request.uri().to_string();
        async move {
            if target.ends_with(MINE) && !target.contains("get-trace-artifact") {
                let mut told = info(MINE, "1");
                told["tags"]["mlflow.artifactLocation"] = json!("mlflow-artifacts:/2/traces/x/artifacts");
                return answered(200, &json!({"trace": {"trace_info": told}}));
            }
            mlflow(&target)
        }
    })
    .await;
    gate.grant("user:alice@example.com", "experiment", "1", "READ").await;
    let path = format!("/ajax-api/3.0/mlflow/get-trace-artifact?request_id={MINE}");
    assert_eq!(gate.bearer("alice").get(&path).await.status, 403);
    let honest = self::gate().await;
    assert_eq!(honest.bearer("alice").get(&path).await.status, 200);
}

#[tokio::test]
async fn servers_before_3_0_are_asked_in_their_own_words() {
    let gate = Gate::before(|request| {
        let target = request.uri().to_string();
        async move {
            if target == format!("/api/2.0/mlflow/traces/{HEX}/info") {
                let told = json!({"request_id": HEX, "experiment_id": "1", "tags": [],
                    "request_metadata": [{"key": "mlflow.sourceRun", "value": RUN}, {"key": "k", "value": "v"}]});
                return answered(200, &json!({"trace_info": told}));
            }
            if target.starts_with("/api/3.0/") { full(404, "<!doctype html>") } else { mlflow(&target) }
        }
    })
    .await;
    let path = format!("/api/2.0/mlflow/traces/{HEX}/info");
    assert_eq!(gate.bearer("alice").get(&path).await.status, 403);
    gate.grant("user:alice@example.com", "experiment", "1", "READ").await;
    gate.grant("user:alice@example.com", "run", RUN, "DENY").await;
    let told = gate.bearer("alice").get(&path).await;
    assert_eq!(told.json()["trace_info"]["request_metadata"], json!([{"key": "k", "value": "v"}]));
}
