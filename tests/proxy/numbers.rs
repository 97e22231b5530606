//! What do the numbers count, whom do they never name, and do documentation, dashboard and rules speak of those that exist?

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use trackgate::config::Config;
use trackgate::gate::limits::{Rate, Settings};

use crate::harness::client::{Client, get};
use crate::harness::gate::Gate;
use crate::harness::server::{Server, full};
use crate::harness::soon;

/// Every series and its value.
pub(super) struct Numbers {
    text: String,
    values: BTreeMap<String, f64>,
}

impl Numbers {
    pub(super) async fn of(monitor: SocketAddr) -> Self {
        let (status, body) = Client::http1(monitor).await.ask(get("/metrics")).await;
        assert_eq!(status, 200);
        let text = String::from_utf8(body.to_vec()).unwrap();
        assert!(text.ends_with("# EOF\n"), "{text}");
        let values = text.lines().filter(|line| !line.starts_with('#')).map(|line| {
            let (name, value) = line.rsplit_once(' ').unwrap();
            (name.to_owned(), value.parse().unwrap())
        });
        Self { values: values.collect(), text }
    }

    /// The values of a name whose labels are these, among others; together.
    pub(super) fn sum(&self, name: &str, labels: &[&str]) -> f64 {
        let here = |series: &str| {
            let (named, has) = series.split_once('{').unwrap_or((series, ""));
            named == name && labels.iter().all(|label| has.contains(label))
        };
        self.values.iter().filter(|(series, _)| here(series)).map(|(_, value)| value).sum()
    }

    /// Waits for a value: what a connection tells comes a little later than its answer.
    pub(super) async fn awaited(monitor: SocketAddr, name: &str, labels: &[&str], wanted: f64) {
        soon(name, async {
            loop {
                let now = Self::of(monitor).await.sum(name, labels);
                if (now - wanted).abs() < 1e-9 {
                    return;
                }
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
        })
        .await;
    }
}

async fn counted(upstream: Server) -> (Gate, SocketAddr) {
    counted_with(upstream, |_| {}).await
}

async fn counted_with(upstream: Server, change: impl FnOnce(&mut Config)) -> (Gate, SocketAddr) {
    let gate = Gate::with(upstream, "", |config| {
        config.monitor.address = Some("127.0.0.1:0".parse().unwrap());
        change(config);
    })
    .await;
    let monitor = gate.open().monitor().unwrap();
    (gate, monitor)
}

fn mlflow() -> Server {
    Server::scripted(|request| async move {
        match request.uri().path() {
            "/version" => full(200, "3.17.2"),
            "/health" => full(200, "OK"),
            _ => full(200, json!({"experiment": {"experiment_id": "1", "name": "planted-name"}}).to_string()),
        }
    })
}

const ASKED: &str = "/api/2.0/mlflow/experiments/get?experiment_id=1";

#[tokio::test]
async fn an_allowed_a_denied_and_a_strange_call_are_counted_by_call_outcome_and_reason() {
    let (gate, monitor) = counted(mlflow()).await;
    gate.grant("user:alice@example.com", "experiment", "1", "READ").await;
    assert_eq!(gate.bearer("alice").get(ASKED).await.status, 200);
    assert_eq!(gate.bearer("alice").get(ASKED).await.status, 200);
    let denied = gate.bearer("mallory").get(ASKED).await;
    assert!(matches!(denied.status, 403 | 404), "{}", denied.status);
    assert_eq!(gate.anonymous().get(ASKED).await.status, 401);
    assert_eq!(gate.bearer("alice").get("/api/9.9/no/such/call").await.status, 404);
    let numbers = Numbers::of(monitor).await;
    let requests = |labels: &[&str]| numbers.sum("trackgate_requests_total", labels);
    let call = "call=\"GetExperiment\"";
    assert!((requests(&[call, "outcome=\"allow\"", "status_class=\"2xx\""]) - 2.0).abs() < 1e-9, "{}", numbers.text);
    assert!((requests(&[call, "outcome=\"deny\"", "status_class=\"4xx\""]) - 2.0).abs() < 1e-9, "{}", numbers.text);
    assert!((requests(&["call=\"unknown\"", "outcome=\"deny\""]) - 1.0).abs() < 1e-9, "{}", numbers.text);
    for answer in [&denied] {
        let reason = gate.record(answer).await["reason"].as_str().unwrap().to_owned();
        let told = numbers.sum("trackgate_decisions_total", &[&format!("reason=\"{reason}\"")]);
        assert!((told - 1.0).abs() < 1e-9, "the audit log's own word `{reason}`: {}", numbers.text);
    }
    // Five were answered; MLflow was asked for two of them.
    assert!((numbers.sum("trackgate_request_seconds_count", &["part=\"gate\""]) - 5.0).abs() < 1e-9);
    assert!(numbers.sum("trackgate_request_seconds_count", &["part=\"upstream\""]) >= 2.0);
    assert!(numbers.sum("trackgate_request_seconds_sum", &["part=\"upstream\""]) > 0.0);
    // Each token was new once.
    assert!(numbers.sum("trackgate_cache_total", &["cache=\"token\"", "result=\"miss\""]) >= 2.0);
}

#[tokio::test]
async fn an_answer_that_is_read_before_ours_begins_counts_for_mlflow_to_its_end() {
    const SLOW: Duration = Duration::from_millis(150);
    let (gate, monitor) = counted(Server::scripted(|request| async move {
        if request.uri().path() == "/version" {
            return full(200, "3.17.2");
        }
        // The head comes at once, the body does not.
        let body = futures_util::stream::once(async {
            tokio::time::sleep(SLOW).await;
            Ok(http_body::Frame::data(r#"{"experiments": []}"#.into()))
        });
        http::Response::new(http_body_util::StreamBody::new(body).boxed())
    }))
    .await;
    // All but one: the list is looked through.
    gate.grant("user:alice@example.com", "experiment", "*", "READ").await;
    gate.grant("user:alice@example.com", "experiment", "2", "DENY").await;
    let told = gate.bearer("alice").post("/api/2.0/mlflow/experiments/search", &json!({"max_results": 5})).await;
    assert_eq!(told.status, 200, "{}", told.text());
    let numbers = Numbers::of(monitor).await;
    let upstream = numbers.sum("trackgate_request_seconds_sum", &["part=\"upstream\""]);
    assert!(upstream >= SLOW.as_secs_f64(), "{upstream}");
}

#[tokio::test]
async fn a_token_that_comes_again_is_a_hit() {
    let (gate, monitor) = counted(mlflow()).await;
    let token = format!("Bearer {}", gate.token("alice"));
    for _ in 0..3 {
        gate.showing("authorization", token.clone()).get("/api/2.0/mlflow/users/current").await;
    }
    let numbers = Numbers::of(monitor).await;
    assert!((numbers.sum("trackgate_cache_total", &["cache=\"token\"", "result=\"hit\""]) - 2.0).abs() < 1e-9);
    let stranger = "__Host-trackgate=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    gate.showing("cookie", stranger).get(ASKED).await;
    let numbers = Numbers::of(monitor).await;
    assert!((numbers.sum("trackgate_cache_total", &["cache=\"session\"", "result=\"miss\""]) - 1.0).abs() < 1e-9);
}

#[tokio::test]
async fn what_a_limit_turned_away_is_counted_by_limit_and_without_a_name() {
    let (gate, monitor) = counted_with(mlflow(), |config| {
        config.rates = Settings { person: Rate::new(1, 2), wait: Duration::ZERO, ..Settings::default() };
    })
    .await;
    let limited = async |labels: &[&str]| Numbers::of(monitor).await.sum("trackgate_limited_total", labels);
    assert!(limited(&[]).await.abs() < 1e-9, "nobody was");
    gate.grant("user:planted-hasty@example.com", "experiment", "1", "READ").await;
    let answers: Vec<u16> = vec![
        gate.bearer("planted-hasty").get(ASKED).await.status,
        gate.bearer("planted-hasty").get(ASKED).await.status,
        gate.bearer("planted-hasty").get(ASKED).await.status,
    ];
    assert_eq!(answers, [200, 200, 429]);
    assert!((limited(&["limit=\"person-rate\""]).await - 1.0).abs() < 1e-9);
    assert!((limited(&[]).await - 1.0).abs() < 1e-9, "and by no other limit");
    let text = Numbers::of(monitor).await.text;
    assert!(!text.contains("planted"), "{text}");
}

#[tokio::test]
async fn nobody_and_nothing_of_theirs_is_named() {
    let (gate, monitor) = counted(mlflow()).await;
    gate.grant("user:planted-person@example.com", "experiment", "1", "READ").await;
    gate.bearer("planted-person").get(ASKED).await;
    gate.bearer("planted-stranger").get(ASKED).await;
    gate.bearer("planted-person").get("/planted-path/x?planted-query=1").await;
    gate.bearer("planted-person").get("/api/2.0/mlflow/experiments/get-by-name?experiment_name=planted-name").await;
    gate.showing("authorization", "Bearer planted-token").get(ASKED).await;
    gate.showing("user-agent", "planted-agent").json("PLANTED", "/x", "{}").await;
    let text = Numbers::of(monitor).await.text;
    assert!(text.contains("trackgate_requests_total{"), "{text}");
    assert!(!text.to_ascii_lowercase().contains("planted"), "{text}");
    assert!(!text.contains("example.com") && !text.contains('@'), "{text}");
}

#[tokio::test]
async fn strangers_cannot_make_series() {
    let (gate, monitor) = counted(mlflow()).await;
    gate.bearer("alice").get("/api/2.0/mlflow/zero").await;
    let before = Numbers::of(monitor).await.values.len();
    for number in 0..50 {
        gate.bearer("alice").get(&format!("/api/2.0/mlflow/made-up-{number}")).await;
        gate.bearer("alice").get(&format!("/ajax-api/{number}.0/mlflow/x")).await;
    }
    let after = Numbers::of(monitor).await.values.len();
    assert!(after <= before + 2, "{before} series became {after}");
}

#[tokio::test]
async fn connections_and_the_rest_of_the_house_are_told() {
    let (gate, monitor) = counted(mlflow()).await;
    let held = tokio::net::TcpStream::connect(gate.address()).await.unwrap();
    Numbers::awaited(monitor, "trackgate_connections_open", &[], 1.0).await;
    drop(held);
    Numbers::awaited(monitor, "trackgate_connections_open", &[], 0.0).await;
    gate.grant("user:alice@example.com", "experiment", "1", "READ").await;
    gate.bearer("alice").get(ASKED).await;
    Numbers::awaited(monitor, "trackgate_audit_waiting", &[], 0.0).await;
    Numbers::awaited(monitor, "trackgate_ready", &["part=\"upstream\""], 1.0).await;
    let numbers = Numbers::of(monitor).await;
    assert!(numbers.sum("trackgate_upstream_connects_total", &["result=\"opened\""]) >= 1.0, "{}", numbers.text);
    assert!(numbers.sum("trackgate_connections_total", &["result=\"served\""]) >= 2.0);
    assert!(numbers.sum("trackgate_store_snapshot_age_seconds", &[]) < 30.0);
    assert!(numbers.values.contains_key("trackgate_issuer_keys_age_seconds{issuer=\"test\"}"), "{}", numbers.text);
    assert!(numbers.sum("trackgate_build_info", &["version="]) > 0.0);
    assert!(numbers.sum("process_resident_memory_bytes", &[]) > 1e6);
}

#[test]
fn every_panel_of_the_dashboard_has_a_number_and_a_place_of_its_own() {
    let dashboard: Value = serde_json::from_str(include_str!("../../deploy/monitoring/dashboard.json")).unwrap();
    let (mut ids, mut taken) = (BTreeSet::new(), BTreeMap::new());
    for panel in dashboard["panels"].as_array().unwrap() {
        let title = panel["title"].as_str().unwrap();
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{title}");
        let at = |side: &str| panel["gridPos"][side].as_u64().unwrap();
        for x in at("x")..at("x") + at("w") {
            for y in at("y")..at("y") + at("h") {
                let other = taken.insert((x, y), title);
                assert!(x < 24 && other.is_none(), "{title} covers {other:?}");
            }
        }
        let kind = panel["type"].as_str().unwrap();
        assert!(["row", "stat", "timeseries", "state-timeline"].contains(&kind), "look.py cannot draw {kind}");
        for target in panel["targets"].as_array().into_iter().flatten() {
            assert_eq!(target["datasource"]["uid"], "${datasource}", "{title}");
            let all = target["expr"].as_str().unwrap();
            assert!(all.contains("$job"), "{title} shows gates that were not chosen: {all}");
        }
    }
}

/// The names of all samples that may be there, and all names of labels.
fn exposed(text: &str) -> (BTreeSet<String>, BTreeSet<String>) {
    let mut names = BTreeSet::new();
    for line in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let (name, kind) = line.split_once(' ').unwrap();
        let ends: &[&str] = match kind {
            "counter" => &["_total"],
            "histogram" => &["_bucket", "_sum", "_count"],
            "info" => &["_info"],
            _ => &[""],
        };
        names.extend(ends.iter().map(|end| format!("{name}{end}")));
    }
    let mut labels: BTreeSet<String> = ["le", "job", "instance", "alertname"].map(str::to_owned).into();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let has = line.split_once('{').and_then(|(_, rest)| rest.rsplit_once('}')).map_or("", |(has, _)| has);
        labels.extend(has.split(',').filter_map(|label| label.split_once('=')).map(|(name, _)| name.to_owned()));
    }
    (names, labels)
}

/// All words of a text that begin like a metric of ours.
fn words(text: &str) -> BTreeSet<String> {
    text.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_')
        .filter(|word| word.starts_with("trackgate_") || word.starts_with("process_"))
        .map(str::to_owned)
        .collect()
}

/// What every `expr` of the dashboard or the rules says.
fn expressions(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                match (name.as_str(), value) {
                    ("expr" | "query", Value::String(text)) => found.push(text.clone()),
                    _ => expressions(value, found),
                }
            }
        }
        Value::Array(values) => values.iter().for_each(|value| expressions(value, found)),
        _ => {}
    }
}

#[tokio::test]
async fn documentation_dashboard_and_rules_speak_of_the_numbers_that_exist() {
    let (gate, monitor) = counted(mlflow()).await;
    gate.bearer("alice").get(ASKED).await;
    let (names, labels) = exposed(&Numbers::of(monitor).await.text);
    let docs = include_str!("../../docs/metrics.md");
    let documented: BTreeSet<String> = docs
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
        .map(|name| name.split('{').next().unwrap_or_default().to_owned())
        .collect();
    for name in &names {
        let whole = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
        assert!(documented.contains(name) || documented.contains(whole), "`{name}` is not in docs/metrics.md");
    }
    let histogram = |name: &str| names.contains(&format!("{name}_bucket"));
    for name in &documented {
        assert!(names.contains(name) || histogram(name), "docs/metrics.md speaks of `{name}`, which is not told");
    }

    let dashboard: Value = serde_json::from_str(include_str!("../../deploy/monitoring/dashboard.json")).unwrap();
    let rules = include_str!("../../deploy/monitoring/rules.yaml");
    let mut asked = Vec::new();
    expressions(&dashboard, &mut asked);
    assert!(asked.len() > 15, "the dashboard's queries were not found");
    let recorded: BTreeSet<String> =
        rules.lines().filter_map(|line| line.trim().strip_prefix("- record: ")).map(str::to_owned).collect();
    for text in asked.iter().map(String::as_str).chain([rules]) {
        for word in words(text) {
            let is_recorded = recorded.iter().any(|name| name.starts_with(&word));
            assert!(names.contains(&word) || is_recorded, "`{word}` is asked for and not told");
        }
        for group in text.split("by (").skip(1) {
            let group = group.split(')').next().unwrap_or_default();
            for label in group.split(',').map(str::trim).filter(|label| !label.is_empty()) {
                assert!(labels.contains(label), "`{label}` is no label of ours");
            }
        }
    }
}
