//! The whole way of a request: who is asked what, what is refused how, and what the audit log keeps.

use std::fmt::Write as _;

use http::Request;
use serde_json::json;
use trackgate::policy::classify::rows;
use trackgate::policy::route::{Answer as Treatment, Check, Need, Prefixes, Row, Take, Verb, What};

use crate::harness::client::payload;
use crate::harness::gate::{Gate, HOST};
use crate::harness::server::{Answer, Server, full};

const RUN: &str = "0123456789abcdef0123456789abcdef";

/// What a stock server says to the look-ups that most calls need: every run and model lies in experiment 1.
fn mlflow(target: &str) -> Answer {
    let json = match target.split('?').next().unwrap_or_default() {
        "/version" => return full(200, "3.17.2"),
        "/api/2.0/mlflow/runs/get" => json!({"run": {"info": {
            "run_id": RUN, "experiment_id": "1", "artifact_uri": format!("mlflow-artifacts:/1/{RUN}/artifacts")}}}),
        path if path.starts_with("/api/2.0/mlflow/logged-models/m-") => json!({"model": {"info": {
            "model_id": "m-0123456789abcdef0123456789abcdef", "experiment_id": "1",
            "artifact_uri": "mlflow-artifacts:/1/models/m-0123456789abcdef0123456789abcdef/artifacts"}}}),
        path if path.starts_with("/api/3.0/mlflow/traces/tr-") && path.contains("/assessments/") => {
            json!({"assessment": {}})
        }
        "/api/3.0/mlflow/scorers/get" => json!({"scorer": {"serialized_scorer": "{}"}}),
        path if path.starts_with("/api/3.0/mlflow/traces/tr-") => json!({"trace": {"trace_info": {
            "trace_id": "tr-0123456789abcdef0123456789abcdef",
            "trace_location": {"mlflow_experiment": {"experiment_id": "1"}}}}}),
        path if path.starts_with("/api/3.0/mlflow/issues/iss-") => json!({"issue": {
            "issue_id": "iss-0123456789abcdef0123456789abcdef", "experiment_id": "1"}}),
        "/api/3.0/mlflow/label-schemas/get" => json!({"label_schema": {
            "schema_id": "ls-0123456789abcdef0123456789abcdef", "experiment_id": "1"}}),
        path if path.starts_with("/api/3.0/mlflow/review-queues/get") => json!({"review_queue": {
            "queue_id": "rq-0123456789abcdef0123456789abcdef", "experiment_id": "1", "queue_type": "CUSTOM"}}),
        path if path.starts_with("/api/3.0/mlflow/prompt-optimization/jobs/0") => json!({"job": {
            "job_id": "01234567-89ab-cdef-0123-456789abcdef", "experiment_id": "1",
            "source_prompt_uri": "prompts:/greeting/1"}}),
        path if path.ends_with("/experiment-ids") => json!({"experiment_ids": ["1"]}),
        "/api/2.0/mlflow/experiments/get" => json!({"experiment": {"experiment_id": "1", "name": "one"}}),
        "/api/2.0/mlflow/experiments/get-by-name" => {
            if target.ends_with("=one") {
                json!({"experiment": {"experiment_id": "1", "name": "one"}})
            } else {
                let message = "Could not find experiment with name 'free'";
                let body = json!({"error_code": "RESOURCE_DOES_NOT_EXIST", "message": message});
                return json_answer(404, &body);
            }
        }
        "/api/3.0/mlflow/gateway/endpoints/get" => json!({"endpoint": {
            "endpoint_id": "e-0123456789abcdef0123456789abcdef", "name": "thing", "experiment_id": 1}}),
        "/api/3.0/mlflow/gateway/secrets/get" => json!({"secret": {
            "secret_id": "s-0123456789abcdef0123456789abcdef", "secret_name": "thing"}}),
        "/api/3.0/mlflow/gateway/guardrails/get" => json!({"guardrail": {
            "guardrail_id": "gr-0123456789abcdef0123456789abcdef",
            "scorer": {"experiment_id": 1, "scorer_name": "safe"}}}),
        _ => json!({}),
    };
    json_answer(200, &json)
}

fn json_answer(status: u16, body: &serde_json::Value) -> Answer {
    let mut answer = full(status, body.to_string());
    answer.headers_mut().insert("content-type", http::HeaderValue::from_static("application/json"));
    answer
}

fn stock() -> Server {
    Server::scripted(|request| {
        let target = request.uri().to_string();
        async move { mlflow(&target) }
    })
}

async fn gate() -> Gate {
    Gate::with(stock(), "", |_| {}).await
}

#[tokio::test]
async fn a_reader_reads_a_stranger_is_asked_who_they_are_and_nobody_else_gets_in() {
    let gate = gate().await;
    gate.grant("user:alice@example.com", "experiment", "1", "READ").await;
    let target = "/api/2.0/mlflow/experiments/get?experiment_id=1";

    let read = gate.bearer("alice").get(target).await;
    assert_eq!(read.status, 200);
    let record = gate.record(&read).await;
    assert_eq!(record["decision"], "allow");
    assert_eq!(record["user"], "alice@example.com");
    assert_eq!(record["proof"], "bearer");
    assert_eq!(record["call"], "GetExperiment");
    assert_eq!(record["objects"][0], "experiment:1");
    assert_eq!(record["because"], "read wanted; user alice@example.com holds READ on experiment 1");
    assert_eq!(record["status"], 200);
    assert_eq!((&record["client"], &record["method"]), (&json!("127.0.0.1"), &json!("GET")));
    assert_eq!(record["bytes"], read.body.len());
    assert!(record["duration_us"].is_u64() && record["time"].is_string() && record["issuer"].is_string(), "{record}");

    let denied = gate.bearer("mallory").get(target).await;
    assert_eq!((denied.status, denied.error_code().as_str()), (403, "PERMISSION_DENIED"));
    let record = gate.record(&denied).await;
    assert_eq!((&record["decision"], &record["reason"]), (&json!("deny"), &json!("no-grant")));

    let stranger = gate.anonymous().get(target).await;
    assert_eq!((stranger.status, stranger.error_code().as_str()), (401, "UNAUTHENTICATED"));
    assert_eq!(stranger.header("www-authenticate"), Some("Bearer realm=\"mlflow\""));
    assert_eq!(gate.record(&stranger).await["reason"], "no-credential");
    // Only the reader's request reached MLflow.
    assert_eq!(gate.upstream.seen().iter().filter(|seen| seen.target.contains("experiments/get")).count(), 1);
}

#[tokio::test]
async fn a_hidden_name_looks_like_a_free_one_to_the_letter() {
    let gate = gate().await;
    let by_name = |name: &str| format!("/api/2.0/mlflow/experiments/get-by-name?experiment_name={name}");
    let hidden = gate.bearer("mallory").get(&by_name("one")).await;
    let free = gate.bearer("mallory").get(&by_name("free")).await;
    assert_eq!((hidden.status, free.status), (404, 404));
    assert_eq!(hidden.text().replace("'one'", "'free'"), free.text());
    assert_eq!(free.json()["message"], "Could not find experiment with name 'free'");
    gate.grant("user:alice@example.com", "experiment", "1", "READ").await;
    assert_eq!(gate.bearer("alice").get(&by_name("one")).await.status, 200);
}

#[tokio::test]
async fn a_run_that_is_not_there_looks_like_one_that_is_hidden() {
    let gate = Gate::before(|request| {
        let target = request.uri().to_string();
        async move {
            if target.contains("ffff") {
                return json_answer(404, &json!({"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "no"}));
            }
            mlflow(&target)
        }
    })
    .await;
    let get = |run: String| format!("/api/2.0/mlflow/runs/get?run_id={run}");
    let hidden = gate.bearer("mallory").get(&get(RUN.to_owned())).await;
    let absent = gate.bearer("mallory").get(&get("f".repeat(32))).await;
    assert_eq!((hidden.status, absent.status), (403, 403));
    assert_eq!(hidden.error_code(), absent.error_code());
    let plain = |text: String| text.split(" (request").next().unwrap_or_default().to_owned();
    assert_eq!(plain(hidden.text()), plain(absent.text()), "the two may not differ");
}

#[tokio::test]
async fn no_byte_of_a_strangers_body_is_read() {
    use crate::harness::raw::Raw;
    let gate = gate().await;
    let mut raw = Raw::connect(gate.address()).await;
    // A body that never ends: only its head is sent.
    raw.send(format!(
        "POST /api/2.0/mlflow/runs/create HTTP/1.1\r\nhost: {HOST}\r\ncontent-type: application/json\r\n\
         content-length: 1000000\r\n\r\n"
    ))
    .await;
    assert_eq!(raw.answer().await.status, 401);
    assert!(gate.upstream.seen().is_empty());
}

#[tokio::test]
async fn no_planted_secret_shows_in_any_output() {
    let gate = gate().await;
    gate.grant("user:alice@example.com", "experiment", "1", "MANAGE").await;
    let token = gate.token("alice");
    let signature = token.rsplit('.').next().unwrap().to_owned();
    let mut outputs = String::new();
    for (header, value, target) in [
        ("authorization", format!("Bearer {token}"), "/api/2.0/mlflow/experiments/get?experiment_id=1"),
        ("authorization", format!("Bearer {token}x"), "/api/2.0/mlflow/experiments/get?experiment_id=1"),
        ("authorization", "Basic cGxhbnRlZDpzZWNyZXQ=".to_owned(), "/api/2.0/mlflow/experiments/get?experiment_id=1"),
        ("cookie", "__Host-trackgate=planted-session".to_owned(), "/"),
        ("cookie", "other=planted-cookie".to_owned(), "/nowhere?token=planted-query"),
        ("x-goog-iap-jwt-assertion", "planted.assertion.x".to_owned(), "/"),
        ("authorization", format!("Bearer {token}"), "/trackgate/callback/test?code=planted-code&state=planted-state"),
    ] {
        let told = gate.showing(header, value).get(target).await;
        gate.record(&told).await;
        outputs.push_str(&told.text());
        let _ = write!(outputs, "{:?}", told.headers);
    }
    outputs.push_str(&gate.audit_text());
    for seen in gate.upstream.seen() {
        let _ = write!(outputs, "{} {:?}", seen.target, seen.headers);
    }
    for secret in [signature.as_str(), "cGxhbnRlZDpzZWNyZXQ=", "planted"] {
        assert!(!outputs.contains(secret), "`{secret}` shows in: {outputs}");
    }
}

#[tokio::test]
async fn a_changed_permission_counts_for_the_next_request() {
    let gate = gate().await;
    let target = "/api/2.0/mlflow/experiments/get?experiment_id=1";
    assert_eq!(gate.bearer("alice").get(target).await.status, 403);
    gate.grant("user:alice@example.com", "experiment", "1", "READ").await;
    assert_eq!(gate.bearer("alice").get(target).await.status, 200);
    gate.grant("user:alice@example.com", "experiment", "1", "DENY").await;
    assert_eq!(gate.bearer("alice").get(target).await.status, 403);
}

#[tokio::test]
async fn a_full_disk_under_the_audit_log_refuses_requests() {
    let gate = Gate::with(Server::scripted(|_| async { full(200, "{}") }), "", |config| {
        config.audit.to = trackgate::audit::Target::File("/dev/full".into());
    })
    .await;
    let target = "/api/2.0/mlflow/experiments/get?experiment_id=1";
    let mut status = 0;
    for _ in 0..1000 {
        status = gate.anonymous().get(target).await.status;
        if status == 503 {
            break;
        }
    }
    assert_eq!(status, 503);
}

#[tokio::test]
async fn a_body_that_can_be_read_in_two_ways_is_refused_and_never_sent_on() {
    let gate = gate().await;
    gate.grant("user:alice@example.com", "experiment", "1", "MANAGE").await;
    let other = "f".repeat(32);
    let bodies = [
        format!(r#"{{"run_id": "{RUN}", "runId": "{other}"}}"#),
        format!(r#"{{"run_id": "{RUN}", "run_id": "{other}"}}"#),
        format!(r#"{{"run_id": ["{RUN}"]}}"#),
        format!(r#""{{\"run_id\": \"{RUN}\"}}""#),
        format!("\u{feff}{{\"run_id\": \"{RUN}\"}}"),
        r#"{"run_id": "0123456789ABCDEF0123456789ABCDEF"}"#.to_owned(),
        r#"{"run_id": }"#.to_owned(),
        "[]".to_owned(),
        String::new(),
    ];
    for body in bodies {
        let told = gate.bearer("alice").json("POST", "/api/2.0/mlflow/runs/delete", body.clone()).await;
        assert_eq!(told.status, 400, "{body}: {}", told.text());
        assert_eq!(told.header("content-type"), Some("application/json"), "{body}");
        let record = gate.record(&told).await;
        assert_eq!(record["decision"], "deny", "{body}");
        assert_ne!(record["reason"], "unfinished", "{body}");
    }
    assert!(!gate.upstream.seen().iter().any(|seen| seen.method == "POST"), "nothing was sent on");
    // Stock clients send both names of a run's id, with one value.
    let twins = |second: &str| format!(r#"{{"run_id": "{RUN}", "run_uuid": "{second}", "key": "k", "value": "v"}}"#);
    let set_tag = "/api/2.0/mlflow/runs/set-tag";
    assert_eq!(gate.bearer("alice").json("POST", set_tag, twins(&other)).await.status, 400);
    assert_eq!(gate.bearer("alice").json("POST", set_tag, twins(RUN)).await.status, 200);
}

#[tokio::test]
async fn a_browser_gets_pages_and_the_ui_gets_json() {
    let gate = gate().await;
    let page = |target: &str| {
        Request::get(target)
            .header("sec-fetch-mode", "navigate")
            .header("accept", "text/html")
            .body(payload(""))
            .unwrap()
    };
    let login = gate.anonymous().send(page("/?a=b")).await;
    assert_eq!(login.status, 303);
    let location = login.header("location").unwrap();
    assert!(location.starts_with("/trackgate/login?"), "{location}");
    assert!(location.contains("%2F%3Fa%3Db"), "{location}");

    let unknown = gate.bearer("alice").send(page("/nowhere")).await;
    assert_eq!(unknown.status, 404);
    assert!(unknown.header("content-type").unwrap().starts_with("text/html"));
    assert!(unknown.text().contains("alice@example.com"));

    let background = Request::get("/ajax-api/2.0/mlflow/experiments/search?max_results=1")
        .header("sec-fetch-mode", "cors")
        .header("accept", "text/html")
        .body(payload(""))
        .unwrap();
    let background = gate.anonymous().send(background).await;
    assert_eq!((background.status, background.error_code().as_str()), (401, "UNAUTHENTICATED"));
    assert!(background.text().contains("Reload the page"), "{}", background.text());
    let script = gate.anonymous().get("/api/2.0/mlflow/experiments/search?max_results=1").await;
    assert!(script.text().contains("MLFLOW_TRACKING_TOKEN"), "{}", script.text());
}

#[tokio::test]
async fn an_upstream_that_is_down_is_502_at_once_and_a_look_up_503() {
    let gate = Gate::with(Server::scripted(|_| async { full(200, "{}") }), "", |config| {
        config.upstream.target = trackgate::upstream::Target::Http { host: "127.0.0.1".into(), port: 1 };
    })
    .await;
    gate.grant("user:alice@example.com", "experiment", "1", "READ").await;
    let told = gate.bearer("alice").get("/api/2.0/mlflow/experiments/get?experiment_id=1").await;
    assert_eq!(told.status, 502);
    let record = gate.record(&told).await;
    assert_eq!((&record["decision"], &record["reason"]), (&json!("error"), &json!("upstream-down")));
    // A look-up that cannot be made is no denial either.
    let told = gate.bearer("alice").get(&format!("/api/2.0/mlflow/runs/get?run_id={RUN}")).await;
    assert_eq!(told.status, 503);
    assert_eq!(gate.record(&told).await["reason"], "look-up-failed");
}

/// A refusal would stand on every page of the UI, and MLflow's own answer would tell of the server.
#[tokio::test]
async fn what_every_page_asks_of_a_closed_part_is_answered_harmlessly_and_without_mlflow() {
    use std::sync::atomic::{AtomicUsize, Ordering};
    static ASKED: AtomicUsize = AtomicUsize::new(0);
    let gate = Gate::before(|_| async {
        ASKED.fetch_add(1, Ordering::Relaxed);
        full(200, "what the server knows")
    })
    .await;
    for (target, says) in [
        ("3.0/mlflow/assistant/config", json!({"providers": {}, "projects": {}, "remote_access_allowed": false})),
        ("3.0/mlflow/assistant/providers", json!({"providers": [], "resolved": null, "gateway_vendor_options": {}})),
        ("2.0/mlflow/gateway-proxy?gateway_path=api/2.0/endpoints/", json!({"endpoints": []})),
        (
            "3.0/mlflow/ui-telemetry",
            json!({"disable_ui_telemetry": true, "disable_ui_events": [], "ui_rollout_percentage": 0}),
        ),
    ] {
        let told = gate.bearer("nobody").get(&format!("/ajax-api/{target}")).await;
        assert_eq!((told.status, told.json()), (200, says), "{target}");
        assert_eq!(told.header("content-type"), Some("application/json"));
        assert_eq!(gate.record(&told).await["decision"], "allow");
        assert_eq!(gate.anonymous().get(&format!("/ajax-api/{target}")).await.status, 401, "{target}");
    }
    let told = gate.bearer("nobody").get("/signup").await;
    assert_eq!((told.status, told.error_code().as_str()), (403, "PERMISSION_DENIED"));
    assert!(told.text().contains("Not available through Trackgate"), "{}", told.text());
    for admins in ["3.0/mlflow/assistant/message", "3.0/mlflow/demo/generate", "2.0/mlflow/gateway-proxy"] {
        let told = gate.bearer("nobody").post(&format!("/ajax-api/{admins}"), &json!({})).await;
        assert_eq!((told.status, told.error_code().as_str()), (403, "PERMISSION_DENIED"), "{admins}");
    }
    let told = gate.bearer("nobody").post("/ajax-api/3.0/mlflow/ui-telemetry", &json!({"records": []})).await;
    assert_eq!((told.status, told.text().as_str()), (200, r#"{"status":"disabled"}"#));
    assert_eq!(ASKED.load(Ordering::Relaxed), 0, "MLflow was asked");
}

/// Every row of the table, asked by a stranger and by somebody without grants. Made from the table, not by hand.
#[tokio::test]
async fn every_row_refuses_strangers_and_gives_nothing_to_those_without_grants() {
    // Off, the rows about workspaces are not there.
    let gate = Gate::with(stock(), "", |config| config.clean.workspaces = true).await;
    for row in rows() {
        if row.is_local() {
            continue;
        }
        let (target, body) = example(row);
        let send = |credential: Option<String>| {
            let mut request = Request::builder().method(row.verb.as_str()).uri(&target);
            if body.is_some() {
                request = request.header("content-type", "application/json");
            }
            if let Some(token) = credential {
                request = request.header("authorization", token);
            }
            request.body(payload(body.clone().unwrap_or_default())).unwrap()
        };
        let stranger = gate.anonymous().send(send(None)).await;
        let open = row.needs.iter().all(|need| matches!(need, Need::Anyone));
        if !open {
            assert_eq!(stranger.status, 401, "{} {target}", row.verb);
        }
        let nobody = gate.anonymous().send(send(Some(format!("Bearer {}", gate.token("nobody"))))).await;
        let record = gate.record(&nobody).await;
        assert_eq!(record["call"], row.name, "{} {target}: {}", row.verb, nobody.text());
        let asks_for_objects = row.needs.iter().any(|need| !is_met_without_grants(need));
        let lists = matches!(row.answer, Treatment::Keep(_));
        match nobody.status {
            // Anybody may ask for a new password, and nobody gets one.
            400 if row.name == "UpdateUserPassword" => {}
            400 | 403 | 404 | 415 | 501 => assert_eq!(record["decision"], "deny", "{} {target}", row.verb),
            200 => assert!(!asks_for_objects || lists, "{} {target} was let through: {record}", row.verb),
            other => panic!("{} {target}: {other} {}", row.verb, nobody.text()),
        }
    }
}

/// Names and ids are no oracle: whoever may not see a thing reads of it what they read of one that is not there. Made from
/// the table, not by hand.
#[tokio::test]
async fn a_hidden_thing_and_an_absent_one_are_answered_alike_by_every_row() {
    let nothing = Server::scripted(|request| {
        let target = request.uri().to_string();
        async move {
            if target == "/version" {
                return full(200, "3.17.2");
            }
            json_answer(404, &json!({"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "there is no such thing"}))
        }
    });
    let hidden = Gate::with(stock(), "", |config| config.clean.workspaces = true).await;
    let absent = Gate::with(nothing, "", |config| config.clean.workspaces = true).await;
    let mut compared = 0;
    for row in rows().filter(|row| !row.is_local() && row.closed().is_none()) {
        let (target, body) = example(row);
        let mut told = Vec::new();
        for gate in [&hidden, &absent] {
            let mut request = Request::builder().method(row.verb.as_str()).uri(&target);
            if body.is_some() {
                request = request.header("content-type", "application/json");
            }
            let token = format!("Bearer {}", gate.token("nobody"));
            let request = request.header("authorization", token).body(payload(body.clone().unwrap_or_default()));
            let answer = gate.anonymous().send(request.unwrap()).await;
            let text = answer.text();
            let own = text.split(" (request").next().unwrap_or_default().to_owned();
            told.push((answer.status, own));
        }
        // What asks for nothing but to be signed in is MLflow's to answer.
        if row.needs.iter().all(is_met_without_grants) && !matches!(row.answer, Treatment::Keep(_)) {
            continue;
        }
        assert_eq!(told[0], told[1], "{} {target}: the two may not differ", row.verb);
        compared += 1;
    }
    assert!(compared > 120, "only {compared} rows were compared");
}

fn is_met_without_grants(need: &Need) -> bool {
    matches!(need, Need::Anyone | Need::SignedIn | Need::NoneDenied(_))
}

/// A well-formed call of the row, with ids of things that exist and that nobody was given.
fn example(row: &Row) -> (String, Option<String>) {
    let prefix = match row.prefixes {
        Prefixes::Both | Prefixes::Api => "/api/",
        Prefixes::Ajax => "/ajax-api/",
        Prefixes::None => "/",
    };
    let mut path = String::new();
    for segment in row.path.split('/') {
        if !path.is_empty() {
            path.push('/');
        }
        match (segment.split_once('{'), segment.split_once('}')) {
            (Some((before, rest)), Some((_, behind))) => {
                let name = rest.split('}').next().unwrap_or_default().trim_start_matches('*');
                path.push_str(before);
                path.push_str(value(name));
                path.push_str(behind);
            }
            _ => path.push_str(segment),
        }
    }
    let mut fields = serde_json::Map::new();
    for need in row.needs {
        if let Need::Gives { what, to: who } | Need::Takes { what, from: who } = need {
            match what {
                What::Named { kind, id, .. } => {
                    fields.insert((*kind).to_owned(), json!("experiment"));
                    fields.insert((*id).to_owned(), json!("1"));
                }
                What::One { field, .. } => {
                    fields.extend(field.split('/').map(|part| (part.to_owned(), json!(value(part)))));
                }
                What::Workspace { .. } | What::OfRole { .. } => {}
            }
            let level = if matches!(what, What::Workspace { .. }) { "USE" } else { "READ" };
            fields.extend(what.level().map(|field| (field.to_owned(), json!(level))));
            fields.extend(who.map(|field| (field.to_owned(), json!("alice@example.com"))));
        }
        match need {
            Need::Oneself { field, .. } => drop(fields.insert((*field).to_owned(), json!("alice@example.com"))),
            Need::OnTokensOf { field, .. } => drop(fields.insert((*field).to_owned(), json!("alice@example.com"))),
            Need::OnToken(field) => drop(fields.insert((*field).to_owned(), json!("abcdefgh"))),
            Need::OnRole { field, .. } => drop(fields.insert((*field).to_owned(), json!("1"))),
            Need::InEach(field) => drop(fields.insert((*field).to_owned(), json!("elsewhere"))),
            _ => {}
        }
        let (Need::On { field, .. }
        | Need::OnOrCreate { field, .. }
        | Need::OnNamed { field, .. }
        | Need::OnExperimentOf { field, .. }
        | Need::NotDenied { field, .. }
        | Need::OnAllIn { field, .. }
        | Need::OnQueue { field, .. }
        | Need::OnArtifact { field, .. }
        | Need::OnExperimentNamed { field, .. }
        | Need::Checked(Check::GuardrailScorer(field))) = need
        else {
            continue;
        };
        for part in field.split('/') {
            let name = part.split('|').next().unwrap_or_default();
            if name.starts_with('{') || name.contains("[].") {
                continue;
            }
            let many = matches!(need, Need::On { count, .. } if format!("{count:?}").contains("Each") || format!("{count:?}") == "Narrowed");
            let value = json!(value(name));
            fields.insert(name.to_owned(), if many { json!([value]) } else { value });
        }
    }
    for take in row.takes {
        let (name, value) = match take {
            Take::Text(name) | Take::Holder(name) => (name, json!("somebody")),
            Take::Flag(name) => (name, json!(true)),
            Take::TextOpt(_) | Take::Texts(_) | Take::TimeOpt(_) => continue,
            Take::Thing { kind, id } => {
                fields.insert((*kind).to_owned(), json!("experiment"));
                (id, json!("1"))
            }
        };
        fields.insert((*name).to_owned(), value);
    }
    if row.verb == Verb::Get || row.by_query {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        for (name, value) in &fields {
            let text = value.as_str().or_else(|| value[0].as_str()).unwrap_or_default();
            query.append_pair(name, text);
        }
        let query = query.finish();
        let question = if query.is_empty() { "" } else { "?" };
        return (format!("{prefix}{path}{question}{query}"), None);
    }
    if path.contains("upload-artifact") {
        return (format!("{prefix}{path}?run_uuid={RUN}&path=a.txt"), Some("x".to_owned()));
    }
    (format!("{prefix}{path}"), Some(serde_json::Value::Object(fields).to_string()))
}

fn value(field: &str) -> &'static str {
    match field {
        "model_id" | "models" => "m-0123456789abcdef0123456789abcdef",
        "trace_id" | "request_id" => "tr-0123456789abcdef0123456789abcdef",
        "secret_id" => "s-0123456789abcdef0123456789abcdef",
        "endpoint_id" => "e-0123456789abcdef0123456789abcdef",
        "guardrail_id" => "gr-0123456789abcdef0123456789abcdef",
        field if field.ends_with("model_definition_id") => "d-0123456789abcdef0123456789abcdef",
        "trace_ids" | "item_id" | "item_ids" => "tr-0123456789abcdef0123456789abcdef",
        "dataset_id" => "d-0123456789abcdef0123456789abcdef",
        "schema_id" => "ls-0123456789abcdef0123456789abcdef",
        "queue_id" => "rq-0123456789abcdef0123456789abcdef",
        "issue_id" => "iss-0123456789abcdef0123456789abcdef",
        "job_id" => "01234567-89ab-cdef-0123-456789abcdef",
        field if field.contains("run") => RUN,
        field if field.contains("experiment_name") => "one",
        field if field.contains("experiment") => "1",
        field if field.contains("artifact_path") || field == "path" => {
            "1/0123456789abcdef0123456789abcdef/artifacts/a.txt"
        }
        "version" => "1",
        _ => "thing",
    }
}

#[tokio::test]
async fn head_is_answered_about_what_was_judged() {
    // MLflow reads no query when the method is HEAD: it would list the whole store.
    let gate = Gate::before(|request| {
        let (method, target) = (request.method().clone(), request.uri().to_string());
        async move {
            match method.as_str() {
                "HEAD" => full(200, ""),
                _ if target.contains("mlflow-artifacts") => full(200, r#"{"files":[]}"#),
                _ => mlflow(&target),
            }
        }
    })
    .await;
    gate.grant("user:alice@example.com", "experiment", "1", "READ").await;
    let list = format!("/api/2.0/mlflow-artifacts/artifacts?path=1/{RUN}/artifacts");
    let head = gate.bearer("alice").send(Request::head(list.as_str()).body(payload("")).unwrap()).await;
    assert_eq!((head.status, head.header("content-length"), head.body.len()), (200, Some("12"), 0));
    let run = format!("/api/2.0/mlflow/runs/get?run_id={RUN}");
    let told = gate.bearer("alice").get(&run).await;
    let head = gate.bearer("alice").send(Request::head(run.as_str()).body(payload("")).unwrap()).await;
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert_eq!(head.header("content-length"), Some(told.body.len().to_string().as_str()));
    let file = format!("/api/2.0/mlflow-artifacts/artifacts/1/{RUN}/artifacts/a");
    let head = gate.bearer("alice").send(Request::head(file.as_str()).body(payload("")).unwrap()).await;
    assert_eq!(head.status, 200);
    let seen: Vec<(String, String)> = gate
        .upstream
        .seen()
        .into_iter()
        .map(|seen| (seen.method, seen.target))
        .filter(|(_, t)| t.contains("artifacts/") || t.contains("artifacts?"))
        .collect();
    assert_eq!(seen, [("GET".to_owned(), list), ("HEAD".to_owned(), file)]);
}

#[tokio::test]
async fn an_alias_does_not_lead_to_a_denied_version() {
    let gate = Gate::before(|request| {
        let target = request.uri().to_string();
        async move {
            let version = if target.contains("alias=best") { "3" } else { "2" };
            let version = json!({"name": "iris", "version": version, "source": "s3://b/secret"});
            json_answer(200, &json!({"model_version": version, "registered_model": {"name": "iris"}}))
        }
    })
    .await;
    gate.grant("user:alice@example.com", "registered_model", "iris", "READ").await;
    gate.grant("user:alice@example.com", "registered_model_version", "iris/3", "DENY").await;
    let by = |alias: &str| format!("/api/2.0/mlflow/registered-models/alias?name=iris&alias={alias}");
    let denied = gate.bearer("alice").get(&by("best")).await;
    assert_eq!((denied.status, denied.error_code().as_str()), (403, "PERMISSION_DENIED"));
    assert!(!denied.text().contains("secret"));
    assert_eq!(gate.record(&denied).await["reason"], "answer-hidden");
    assert_eq!(gate.bearer("alice").get(&by("other")).await.status, 200);
}

#[tokio::test]
async fn a_caller_without_any_grant_cannot_have_large_bodies_held_at_once() {
    let server = Server::scripted(|request| {
        let target = request.uri().to_string();
        async move { mlflow(&target) }
    });
    let gate = Gate::with(server, "", |config| config.bodies.at_once = 200_000).await;
    let body = |size: usize| json!({"experiment_ids": ["1"], "x": "a".repeat(size)}).to_string();
    let target = "/ajax-api/3.0/mlflow/traces/metrics";
    let crowded = gate.bearer("mallory").json("POST", target, body(900_000)).await;
    assert_eq!((crowded.status, crowded.error_code().as_str()), (429, "REQUEST_LIMIT_EXCEEDED"));
    assert_eq!(gate.record(&crowded).await["reason"], "bodies-at-once");
    // What was held is given back.
    for _ in 0..3 {
        assert_eq!(gate.bearer("mallory").json("POST", target, body(150_000)).await.status, 403);
    }
}

#[tokio::test]
async fn a_graphql_search_is_asked_anew_and_shows_no_denied_run() {
    let (run, other) = ("0123456789abcdef0123456789abcdef", "fedcba9876543210fedcba9876543210");
    let server = Server::scripted(move |_| async move {
        let row = |id: &str| json!({"i": {"runName": id}, "trackgate_info": {"run_id": id, "experiment_id": "1"}});
        let page = json!({"runs": [row(run), row(other)], "nextPageToken": null, "trackgate_next": null});
        json_answer(200, &json!({"data": {"a": page}, "errors": null}))
    });
    let gate = Gate::with(server, "", |_| {}).await;
    gate.grant("user:alice@example.com", "experiment", "1", "READ").await;
    gate.grant("user:alice@example.com", "run", other, "DENY").await;
    let search = json!({"query": "query Q($ids: [String]) { a: mlflowSearchRuns(input: {experimentIds: $ids}) { \
        nextPageToken runs { ...R } } } fragment R on MlflowRunExtension { i: info { runName } }",
        "variables": {"ids": ["2", "1"]}, "operationName": "Q"});
    let answer = gate.bearer("alice").post("/graphql", &search).await;
    assert_eq!(answer.status, 200);
    let expected = json!({"data": {"a": {"nextPageToken": null, "runs": [{"i": {"runName": run}}]}}, "errors": null});
    assert_eq!(answer.json(), expected);
}

#[tokio::test]
async fn a_page_reads_the_refusal_of_its_graphql_in_the_form_that_it_shows_and_a_program_gets_403() {
    let gate = Gate::before(|request| {
        let target = request.uri().to_string();
        async move { mlflow(&target) }
    })
    .await;
    let document = json!({"query": "{ mlflowGetExperiment(input: {experimentId: \"1\"}) { experiment { name } } }"});
    let send = async |mode: &str| {
        let mut request = Request::post("/graphql").header("content-type", "application/json");
        if !mode.is_empty() {
            request = request.header("sec-fetch-mode", mode);
        }
        gate.bearer("eve").send(request.body(payload(document.to_string())).unwrap()).await
    };
    for mode in ["cors", "same-origin"] {
        let told = send(mode).await;
        let said = told.json();
        assert_eq!((told.status, &said["data"]), (200, &json!(null)), "{}", told.text());
        let message = said["errors"][0]["message"].as_str().unwrap();
        assert!(
            message.starts_with("Permission denied: Graphql needs a permission that you do not have."),
            "{message}"
        );
        assert_eq!(said["errors"][0]["extensions"]["code"], "PERMISSION_DENIED");
        assert_eq!(gate.record(&told).await["decision"], "deny");
    }
    for mode in ["", "navigate"] {
        let told = send(mode).await;
        assert_eq!((told.status, &*told.error_code()), (403, "PERMISSION_DENIED"), "{mode}");
    }
    // What is no GraphQL keeps its status, whoever asks.
    let target = "/ajax-api/2.0/mlflow/experiments/get?experiment_id=1";
    let request = Request::get(target).header("sec-fetch-mode", "cors").body(payload("")).unwrap();
    assert_eq!(gate.bearer("eve").send(request).await.status, 403);
    assert!(gate.upstream.seen().iter().all(|seen| seen.target != "/graphql"), "MLflow is not asked");
}
