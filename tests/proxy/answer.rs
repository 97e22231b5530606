//! Lists through the running gate: nothing hidden shows, nothing visible is lost or doubled, and tokens tell nothing.

use std::collections::HashMap;

use bytes::Bytes;
use http::Request;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use serde_json::{Value, json};

use crate::harness::gate::{Gate, Told};
use crate::harness::server::{Answer, full};

const SEARCH: &str = "/api/2.0/mlflow/experiments/search";
const RUNS: &str = "/api/2.0/mlflow/runs/search";

/// A run, by number.
fn run(n: u32) -> String {
    format!("{n:032x}")
}

/// The logged model that a run made, by the run's number.
fn model(n: u32) -> String {
    format!("m-{n:032x}")
}

/// An MLflow with experiments 1 to `count`, a run in each, which made a logged model in the next experiment.
async fn mlflow(version: &'static str, count: u32, request: Request<Incoming>) -> Answer {
    let target = request.uri().clone();
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let mut fields: HashMap<String, Value> = url::form_urlencoded::parse(target.query().unwrap_or_default().as_bytes())
        .map(|(name, value)| (name.into_owned(), Value::String(value.into_owned())))
        .collect();
    if !body.is_empty() {
        fields.extend(serde_json::from_slice::<HashMap<String, Value>>(&body).unwrap());
    }
    let text = |name: &str| match fields.get(name) {
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
        None => String::new(),
    };
    let filter = text("filter");
    let listed: Option<Vec<String>> = filter
        .split_once(" IN (")
        .map(|(_, list)| list.trim_end_matches(')').split(',').map(|id| id.trim_matches('\'').to_owned()).collect());
    let within = |n: &u32| match &fields.get("experiment_ids") {
        Some(Value::Array(ids)) => ids.contains(&json!(n.to_string())),
        _ => true,
    };
    match target.path() {
        "/version" => full(200, version),
        SEARCH => {
            if listed.is_some() && !version.starts_with("3.17") {
                return full(400, r#"{"error_code": "INVALID_PARAMETER_VALUE", "message": "bad clause"}"#);
            }
            let all: Vec<u32> =
                (1..=count).filter(|n| listed.as_ref().is_none_or(|list| list.contains(&n.to_string()))).collect();
            page(
                &all,
                &text("max_results"),
                &text("page_token"),
                "experiments",
                |n| json!({"experiment_id": n.to_string(), "name": format!("e{n}")}),
            )
        }
        RUNS => {
            let all: Vec<u32> = (1..=count).filter(within).collect();
            page(&all, &text("max_results"), &text("page_token"), "runs", |n| {
                json!({
                    "info": {"run_id": run(n), "experiment_id": n.to_string()},
                    "data": {"metrics": [{"key": "loss", "value": "NaN"}]},
                    "outputs": {"model_outputs": [{"model_id": model(n), "step": 0}]},
                })
            })
        }
        "/api/2.0/mlflow/logged-models/search" => {
            let all: Vec<u32> = (1..=count)
                .filter(|n| listed.as_ref().is_none_or(|list| list.contains(&model(*n))) && within(&(n + 1)))
                .collect();
            page(
                &all,
                &text("max_results"),
                "",
                "models",
                |n| json!({"info": {"model_id": model(n), "experiment_id": (n + 1).to_string()}}),
            )
        }
        path => match path.strip_prefix("/api/2.0/mlflow/logged-models/m-") {
            Some(id) => {
                let n = u32::from_str_radix(id, 16).unwrap();
                full(
                    200,
                    json!({"model": {"info": {"model_id": model(n), "experiment_id": (n + 1).to_string()}}})
                        .to_string(),
                )
            }
            None => full(404, "{}"),
        },
    }
}

fn page(all: &[u32], rows: &str, token: &str, member: &str, row: impl Fn(u32) -> Value) -> Answer {
    let from: usize = if token.is_empty() { 0 } else { token.strip_prefix("offset-").unwrap().parse().unwrap() };
    let Some(rows) = rows.parse::<usize>().ok().filter(|rows| *rows > 0) else {
        return full(400, r#"{"error_code": "INVALID_PARAMETER_VALUE", "message": "bad max_results"}"#);
    };
    let given: Vec<Value> = all.iter().skip(from).take(rows).map(|n| row(*n)).collect();
    let mut answer = json!({});
    let next = from + given.len();
    if !given.is_empty() {
        answer[member] = Value::Array(given);
    }
    if next < all.len() {
        answer["next_page_token"] = json!(format!("offset-{next}"));
    }
    full(200, serde_json::to_string_pretty(&answer).unwrap())
}

async fn gate(version: &'static str, count: u32) -> Gate {
    Gate::before(move |request| mlflow(version, count, request)).await
}

/// How often MLflow was asked, and what.
fn asked(gate: &Gate, path: &str) -> Vec<String> {
    let seen = gate.upstream.seen();
    seen.into_iter().map(|seen| seen.target).filter(|target| target.split('?').next() == Some(path)).collect()
}

fn ids(told: &Told) -> Vec<u32> {
    assert_eq!(told.status, 200, "{}", told.text());
    let json = told.json();
    let rows = json["experiments"].as_array().cloned().unwrap_or_default();
    rows.iter().map(|row| row["experiment_id"].as_str().unwrap().parse().unwrap()).collect()
}

fn token(told: &Told) -> Option<String> {
    told.json()["next_page_token"].as_str().map(str::to_owned)
}

async fn walk(gate: &Gate, who: &str, rows: u32) -> Vec<Vec<u32>> {
    let mut pages = Vec::new();
    let mut query = format!("{SEARCH}?max_results={rows}");
    loop {
        let told = gate.bearer(who).get(&query).await;
        pages.push(ids(&told));
        assert!(pages.len() < 100);
        match token(&told) {
            None => return pages,
            Some(token) => {
                assert!(!token.contains("offset"), "the upstream's own token does not leave");
                query = format!("{SEARCH}?max_results={rows}&page_token={token}");
            }
        }
    }
}

#[tokio::test]
async fn pages_are_full_and_exact_on_a_server_that_can_narrow_and_on_one_that_cannot() {
    for version in ["3.17.2", "3.16.0"] {
        let gate = gate(version, 60).await;
        for n in [2, 3, 5, 8, 13, 21, 34, 55] {
            gate.grant("user:alice@example.com", "experiment", &n.to_string(), "READ").await;
        }
        assert_eq!(walk(&gate, "alice", 3).await, [vec![2, 3, 5], vec![8, 13, 21], vec![34, 55]], "{version}");
        let narrowed = asked(&gate, SEARCH).iter().all(|target| target.contains("IN%20%28"));
        assert_eq!(narrowed, version == "3.17.2", "{:?}", asked(&gate, SEARCH));
        gate.grant("group:data", "experiment", "*", "READ").await;
        gate.grant("user:bob@example.com", "experiment", "*", "READ").await;
        gate.grant("user:bob@example.com", "experiment", "7", "DENY").await;
        let pages = walk(&gate, "bob", 25).await;
        assert_eq!(pages.iter().map(Vec::len).collect::<Vec<_>>(), [25, 25, 9]);
        assert_eq!(pages.concat(), (1..=60).filter(|n| *n != 7).collect::<Vec<_>>());
        assert!(walk(&gate, "mallory", 5).await.concat().is_empty());
    }
}

#[tokio::test]
async fn ten_of_twenty_thousand_cost_no_more_than_three_calls() {
    let gate = gate("3.17.2", 20_000).await;
    for n in 1..=10 {
        gate.grant("user:alice@example.com", "experiment", &(n * 1999).to_string(), "READ").await;
    }
    let told = gate.bearer("alice").get(&format!("{SEARCH}?max_results=100")).await;
    assert_eq!(ids(&told), (1..=10).map(|n| n * 1999).collect::<Vec<_>>());
    assert_eq!(token(&told), None);
    assert!(gate.upstream.seen().len() <= 3, "{:?}", gate.upstream.seen());
}

#[tokio::test]
async fn before_3_17_a_page_costs_no_more_than_its_budget_and_the_rest_is_found_by_going_on() {
    let gate = Gate::with(
        crate::harness::server::Server::scripted(|request| mlflow("3.16.0", 20_000, request)),
        "",
        |config| config.answer.list_budget = 3,
    )
    .await;
    let mine: Vec<u32> = (1..=10).map(|n| n * 1999).collect();
    for n in &mine {
        gate.grant("user:alice@example.com", "experiment", &n.to_string(), "READ").await;
    }
    let first = gate.bearer("alice").get(&format!("{SEARCH}?max_results=100")).await;
    assert!(ids(&first).len() < 10 && token(&first).is_some(), "{}", first.text());
    assert_eq!(asked(&gate, SEARCH).len(), 3);
    assert_eq!(walk(&gate, "alice", 100).await.concat(), mine);
}

#[tokio::test]
async fn more_large_answers_than_may_be_held_are_refused_to_be_tried_again() {
    let big = |request: Request<Incoming>| async move {
        let row = json!({"experiment_id": "3", "name": "x".repeat(200_000)});
        let list = json!({"experiments": [row]}).to_string();
        if request.uri().path() == "/version" { full(200, "3.16.0") } else { full(200, list) }
    };
    for (most, status) in [(100_000, 503), (10_000_000, 200)] {
        let server = crate::harness::server::Server::scripted(big);
        let gate = Gate::with(server, "", |config| config.answer.answers_at_once = most).await;
        gate.grant("user:alice@example.com", "experiment", "3", "READ").await;
        for _ in 0..3 {
            let told = gate.bearer("alice").get(&format!("{SEARCH}?max_results=2")).await;
            assert_eq!(told.status, status, "{}", told.text());
            if status == 503 {
                assert_eq!(told.header("retry-after"), Some("1"));
                assert_eq!(gate.record(&told).await["reason"], "answers-at-once");
            }
        }
    }
}

#[tokio::test]
async fn datasets_of_runs_are_searched_in_visible_experiments_alone() {
    let gate = Gate::before(|request| async move {
        let body = request.into_body().collect().await.unwrap().to_bytes();
        let body: Value = serde_json::from_slice(&body).unwrap();
        let ids = body["experiment_ids"].as_array().unwrap().iter();
        let rows: Vec<Value> = ids.map(|id| json!({"experiment_id": id, "name": "d", "digest": "a"})).collect();
        full(200, json!({"dataset_summaries": rows}).to_string())
    })
    .await;
    gate.grant("user:alice@example.com", "experiment", "3", "READ").await;
    let search = "/ajax-api/2.0/mlflow/experiments/search-datasets";
    let told = gate.bearer("alice").post(search, &json!({"experiment_ids": ["2", "3"]})).await;
    assert_eq!(told.json(), json!({"dataset_summaries": [{"experiment_id": "3", "name": "d", "digest": "a"}]}));
    assert_eq!(gate.bearer("alice").post(search, &json!({"experiment_ids": ["2"]})).await.text(), "{}");
    assert_eq!(gate.upstream.seen().len(), 1);
}

#[tokio::test]
async fn who_sees_all_gets_the_very_bytes_and_tokens_of_mlflow() {
    let gate = gate("3.17.2", 60).await;
    gate.grant("user:carol@example.com", "experiment", "*", "READ").await;
    let told = gate.bearer("carol").get(&format!("{SEARCH}?max_results=2&page_token=offset-4")).await;
    let json = json!({"experiments": [{"experiment_id": "5", "name": "e5"}, {"experiment_id": "6", "name": "e6"}],
        "next_page_token": "offset-6"});
    assert_eq!(told.text(), serde_json::to_string_pretty(&json).unwrap());
    assert_eq!(asked(&gate, SEARCH), [format!("{SEARCH}?max_results=2&page_token=offset-4")]);
}

#[tokio::test]
async fn a_token_that_is_not_ours_or_not_this_callers_is_refused() {
    let gate = gate("3.16.0", 60).await;
    for who in ["alice", "bob"] {
        gate.grant(&format!("user:{who}@example.com"), "experiment", "*", "READ").await;
        gate.grant(&format!("user:{who}@example.com"), "experiment", "7", "DENY").await;
    }
    let first = gate.bearer("alice").get(&format!("{SEARCH}?max_results=2")).await;
    let token = token(&first).unwrap();
    for (who, token) in [("alice", "offset-4"), ("alice", "eyJvZmZzZXQiOiA0fQ=="), ("bob", &token), ("alice", "%00")] {
        let told = gate.bearer(who).get(&format!("{SEARCH}?max_results=2&page_token={token}")).await;
        assert_eq!((told.status, told.error_code().as_str()), (400, "INVALID_PARAMETER_VALUE"), "{who} {token}");
        assert_eq!(gate.record(&told).await["reason"], "bad-page-token");
    }
}

#[tokio::test]
async fn a_list_that_must_be_read_is_asked_for_uncompressed() {
    let gate = gate("3.16.0", 6).await;
    gate.grant("user:alice@example.com", "experiment", "3", "READ").await;
    let request = Request::get(format!("{SEARCH}?max_results=2"))
        .header("accept-encoding", "gzip, br")
        .header("if-none-match", "\"x\"")
        .body(crate::harness::client::nothing())
        .unwrap();
    assert_eq!(ids(&gate.bearer("alice").send(request).await), [3]);
    let seen = gate.upstream.seen();
    let search = seen.iter().find(|seen| seen.target.starts_with(SEARCH)).unwrap();
    assert!(search.headers.get("accept-encoding").is_none_or(|coding| coding == "identity"), "{search:?}");
    assert!(search.headers.get("if-none-match").is_none());
}

#[tokio::test]
async fn head_tells_the_length_of_what_get_would_show() {
    let gate = gate("3.16.0", 6).await;
    gate.grant("user:alice@example.com", "experiment", "3", "READ").await;
    let alice = gate.bearer("alice");
    let target = format!("{SEARCH}?max_results=2");
    let shown = alice.get(&target).await;
    let head = alice.send(Request::head(&target).body(crate::harness::client::nothing()).unwrap()).await;
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert_eq!(head.header("content-length"), Some(&*shown.body.len().to_string()));
}

#[tokio::test]
async fn an_answer_that_cannot_be_looked_over_never_leaves() {
    const SECRET: &str = "e4-of-somebody-else";
    let bodies = [
        format!(r#"{{"experiments": [{{"experiment_id": "4", "name": "{SECRET}"}}"#),
        format!(r#"{{"experiments": [{{"id": "4", "name": "{SECRET}"}}]}}"#),
        format!(r#"{{"experiments": [], "experiments": [{{"experiment_id": "4", "name": "{SECRET}"}}]}}"#),
        format!(r#"{{"experiments": [{{"experiment_id": "3", "experiment_id": "4", "name": "{SECRET}"}}]}}"#),
        format!(r#"[{{"experiment_id": "4", "name": "{SECRET}"}}]"#),
        format!("<p>{SECRET}</p>"),
        String::new(),
    ];
    for body in bodies {
        let answer = Bytes::from(body.clone());
        let gate = Gate::before(move |request| {
            let answer = answer.clone();
            async move { if request.uri().path() == "/version" { full(200, "3.16.0") } else { full(200, answer) } }
        })
        .await;
        gate.grant("user:alice@example.com", "experiment", "3", "READ").await;
        let told = gate.bearer("alice").get(&format!("{SEARCH}?max_results=2")).await;
        assert_eq!(told.status, 502, "{body}");
        assert!(!told.text().contains(SECRET), "{}", told.text());
        assert_eq!(gate.record(&told).await["reason"], "answer-unreadable");
    }
}

#[tokio::test]
async fn runs_are_searched_in_visible_experiments_alone() {
    let gate = gate("3.17.2", 20).await;
    gate.grant("user:alice@example.com", "experiment", "3", "READ").await;
    gate.grant("user:alice@example.com", "experiment", "9", "READ").await;
    let alice = gate.bearer("alice");
    let told = alice.post(RUNS, &json!({"experiment_ids": ["3", "4", "9"], "max_results": 5})).await;
    let runs = told.json()["runs"].as_array().cloned().unwrap_or_default();
    let found: Vec<&str> = runs.iter().map(|run| run["info"]["experiment_id"].as_str().unwrap()).collect();
    assert_eq!(found, ["3", "9"], "{}", told.text());
    assert_eq!(runs[0]["data"]["metrics"][0]["value"], "NaN");
    let before = asked(&gate, RUNS).len();
    for body in [json!({"experiment_ids": ["4", "5"]}), json!({"experiment_ids": []}), json!({})] {
        assert_eq!(alice.post(RUNS, &body).await.text(), "{}", "{body}");
    }
    assert_eq!(asked(&gate, RUNS).len(), before, "an empty rest is never asked for");
}

#[tokio::test]
async fn a_grant_on_one_run_shows_it_and_a_deny_hides_it() {
    let gate = gate("3.17.2", 20).await;
    gate.grant("user:alice@example.com", "run", &run(4), "READ").await;
    gate.grant("user:bob@example.com", "experiment", "4", "READ").await;
    gate.grant("user:bob@example.com", "experiment", "5", "READ").await;
    gate.grant("user:bob@example.com", "run", &run(4), "DENY").await;
    let body = json!({"experiment_ids": ["3", "4", "5"]});
    for (who, expected) in [("alice", run(4)), ("bob", run(5))] {
        let told = gate.bearer(who).post(RUNS, &body).await;
        let runs = told.json()["runs"].as_array().cloned().unwrap_or_default();
        assert_eq!(runs.len(), 1, "{}", told.text());
        assert_eq!(runs[0]["info"]["run_id"], expected);
    }
}

#[tokio::test]
async fn links_of_runs_to_hidden_models_are_taken_out_at_the_price_of_a_few_calls() {
    let gate = gate("3.17.2", 40).await;
    // Run n made a model that lies in experiment n + 1: all but the last one's are visible.
    let mine: Vec<String> = (1..=20).map(|n: u32| n.to_string()).collect();
    for id in &mine {
        gate.grant("user:alice@example.com", "experiment", id, "READ").await;
    }
    let body = json!({"experiment_ids": mine});
    for _ in 0..2 {
        let told = gate.bearer("alice").post(RUNS, &body).await;
        let runs = told.json()["runs"].as_array().cloned().unwrap_or_default();
        assert_eq!(runs.len(), 20);
        let linked: Vec<bool> = runs
            .iter()
            .map(|run| run["outputs"]["model_outputs"].as_array().is_some_and(|list| list.len() == 1))
            .collect();
        assert_eq!(linked, (1..=20).map(|n| n != 20).collect::<Vec<_>>(), "{}", told.text());
        assert!(!told.text().contains(&model(20)));
    }
    let calls = gate.upstream.seen().len();
    assert!(
        calls <= 6,
        "{calls} calls: {:?}",
        gate.upstream.seen().iter().map(|seen| &seen.target).collect::<Vec<_>>()
    );
}
