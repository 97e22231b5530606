//! Traces: what is told of a request, to whom, whose word counts for it, and that nobody waits for it.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Frame;
use serde_json::json;
use tokio_util::sync::CancellationToken;
use trackgate::config::Config;

use super::reload::ask;
use super::signals::Program;
use crate::harness::certs::{Authority, Folder};
use crate::harness::client::{Client, get, nothing};
use crate::harness::collector::{CLIENT, Collector, INTERNAL, SERVER, Told};
use crate::harness::gate::{Gate, HOST, Told as Answered};
use crate::harness::server::{Answer, Server, full};
use crate::harness::{soon, until};

const RUN: &str = "0123456789abcdef0123456789abcdef";
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const SPAN: &str = "00f067aa0ba902b7";
const ALL: &str = "sample = 1";
const TRUSTED: &str = "127.0.0.1/32";

fn asked() -> String {
    format!("/api/2.0/mlflow/runs/get?run_id={RUN}")
}

fn mlflow() -> Server {
    Server::scripted(|request| async move {
        let run = json!({"run": {"info": {"run_id": RUN, "experiment_id": "1"}, "data": {}}});
        if request.uri().path().ends_with("/runs/get") { full(200, run.to_string()) } else { full(404, "{}") }
    })
}

/// A gate whose traces somebody keeps.
async fn traced(upstream: Server, section: &str, change: impl FnOnce(&mut Config)) -> Gate {
    let gate = Gate::with(upstream, section, |config| {
        if let Some(trace) = &mut config.trace {
            trace.collector.delay = Duration::from_millis(20);
        }
        change(config);
    })
    .await;
    gate.grant("user:alice@example.com", "experiment", "1", "READ").await;
    gate
}

fn trusting(config: &mut Config) {
    config.serve.trusted_proxies = vec![TRUSTED.parse().unwrap()];
}

/// Alice's run, with these fields in the request's header.
async fn run(gate: &Gate, fields: &[(&str, &str)]) -> Answered {
    let mut request = http::Request::get(asked());
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    let told = gate.bearer("alice").send(request.body(nothing()).unwrap()).await;
    assert_eq!(told.status, 200, "{}", told.text());
    told
}

fn id(told: &Answered) -> String {
    told.header("x-request-id").unwrap().to_owned()
}

/// What reached MLflow last of a header.
fn heard(gate: &Gate, name: &str) -> Option<String> {
    let seen = gate.upstream.seen();
    let last = seen.iter().rfind(|seen| seen.target == asked()).unwrap();
    last.headers.get(name).map(|value| value.to_str().unwrap().to_owned())
}

/// The span of our passing the request on.
fn passed_on(spans: &[Told]) -> &Told {
    spans.iter().find(|span| span.kind == CLIENT && span.parent == spans[0].span).expect("an exchange")
}

fn w3c(flags: &str) -> String {
    format!("00-{TRACE}-{SPAN}-{flags}")
}

#[tokio::test]
async fn a_request_is_a_span_with_its_decision_and_its_exchanges_below_it() {
    let collector = Collector::start();
    let gate = traced(mlflow(), &collector.section("sample = 1\nservice_name = \"gate of tests\""), |_| {}).await;
    let told = run(&gate, &[]).await;
    let spans = collector.trace_of(&id(&told)).await;

    let served = &spans[0];
    assert_eq!((served.name.as_str(), served.kind, served.parent.as_str()), ("GetRun", SERVER, ""));
    let wanted = json!({
        "http.request.method": "GET", "http.response.status_code": "200", "url.scheme": "http", "server.address": HOST,
        "network.protocol.version": "1.1", "trackgate.decision": "allow", "trackgate.reason": "own-grant",
        "trackgate.outcome": "complete", "trackgate.request_id": id(&told)});
    let record = gate.record(&told).await;
    let mut wanted = wanted;
    wanted["trackgate.reason"] = record["reason"].clone();
    assert_eq!(json!(served.attributes), wanted);
    assert!(!served.failed);

    let decide = spans.iter().find(|span| span.name == "decide").unwrap();
    assert_eq!((decide.kind, &decide.parent), (INTERNAL, &served.span));
    let look_up = spans.iter().find(|span| span.kind == CLIENT && span.parent == decide.span).expect("whose run it is");
    let passed_on = passed_on(&spans);
    for exchange in [look_up, passed_on] {
        let port = gate.upstream.address.port().to_string();
        let wanted = json!({"http.request.method": "GET", "http.response.status_code": "200", "url.scheme": "http",
            "server.address": "127.0.0.1", "server.port": port});
        assert_eq!((exchange.name.as_str(), json!(exchange.attributes)), ("GET", wanted));
        assert_eq!(exchange.events, ["first byte"]);
    }
    assert!(served.began <= decide.began && decide.began <= look_up.began && look_up.ended <= decide.ended);
    assert!(decide.ended <= passed_on.began && passed_on.ended <= served.ended);
    assert_eq!(spans.len(), 4);

    assert_eq!(heard(&gate, "traceparent"), Some(format!("00-{}-{}-01", served.trace, passed_on.span)));
    assert_eq!(heard(&gate, "x-cloud-trace-context"), None, "nobody asked in Google's words");
    assert_eq!(record["trace"], served.trace, "the record names our trace");
    let resource = collector.resource();
    assert_eq!(resource["service.name"], "gate of tests");
    assert_eq!(resource["service.version"], env!("CARGO_PKG_VERSION"));
}

#[tokio::test]
async fn requests_that_share_a_connection_have_each_their_own_trace() {
    let collector = Collector::start();
    let gate = traced(mlflow(), &collector.section(ALL), |_| {}).await;
    let mut client = Client::http2(gate.address()).await;
    let token = gate.token("alice");
    let traces = [TRACE, "0af7651916cd43dd8448eb211c80319c"];
    let mut ask = async |trace: &str| {
        let request = http::Request::get(format!("http://{HOST}{}", asked()))
            .header("authorization", format!("Bearer {token}"))
            .header("traceparent", format!("00-{trace}-{SPAN}-00"));
        let answer = client.send(request.body(nothing()).unwrap()).await;
        assert_eq!(answer.status(), 200);
        answer.headers()["x-request-id"].to_str().unwrap().to_owned()
    };
    for trace in traces {
        let id = ask(trace).await;
        let spans = collector.trace_of(&id).await;
        assert_eq!((spans[0].trace.as_str(), spans[0].parent.as_str()), (trace, SPAN));
        assert!(spans.iter().all(|span| span.trace == trace));
        assert_eq!(spans[0].attributes["network.protocol.version"], "2");
        assert_eq!(spans[0].attributes["server.address"], HOST);
    }
}

#[tokio::test]
async fn a_trace_that_the_caller_names_goes_on_through_us() {
    let collector = Collector::start();
    let gate = traced(mlflow(), &collector.section(ALL), |_| {}).await;
    let told = run(&gate, &[("traceparent", &w3c("00")), ("tracestate", "vendor=1,other=2")]).await;
    let spans = collector.trace_of(&id(&told)).await;
    assert_eq!((spans[0].trace.as_str(), spans[0].parent.as_str()), (TRACE, SPAN));
    assert_eq!(spans[0].state, "", "what a stranger wrote is not kept");
    assert_eq!(heard(&gate, "traceparent"), Some(format!("00-{TRACE}-{}-01", passed_on(&spans).span)));
    assert_eq!(heard(&gate, "tracestate").as_deref(), Some("vendor=1,other=2"));
    assert_eq!(gate.record(&told).await["trace"], TRACE);
}

#[tokio::test]
async fn googles_header_is_understood_and_passed_on_in_both_forms() {
    let collector = Collector::start();
    let gate = traced(mlflow(), &collector.section(ALL), |_| {}).await;
    let told = run(&gate, &[("x-cloud-trace-context", &format!("{TRACE}/67667974448284343;o=1"))]).await;
    let spans = collector.trace_of(&id(&told)).await;
    assert_eq!((spans[0].trace.as_str(), spans[0].parent.as_str()), (TRACE, SPAN));
    let ours = &passed_on(&spans).span;
    let number = u64::from_str_radix(ours, 16).unwrap();
    assert_eq!(heard(&gate, "traceparent"), Some(format!("00-{TRACE}-{ours}-01")));
    assert_eq!(heard(&gate, "x-cloud-trace-context"), Some(format!("{TRACE}/{number};o=1")));

    // W3C's counts where both are there.
    let other = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa/1";
    let told = run(&gate, &[("traceparent", &w3c("01")), ("x-cloud-trace-context", other)]).await;
    let spans = collector.trace_of(&id(&told)).await;
    assert_eq!(spans[0].trace, TRACE);
    assert!(heard(&gate, "x-cloud-trace-context").unwrap().starts_with(&format!("{TRACE}/")));
}

#[tokio::test]
async fn what_is_no_context_begins_a_trace_and_refuses_nobody() {
    let collector = Collector::start();
    let gate = traced(mlflow(), &collector.section(ALL), |_| {}).await;
    let zeros = format!("00-{}-{SPAN}-01", "0".repeat(32));
    for bad in ["", "garbage", &w3c("zz"), &zeros, &format!("{}-more", w3c("01")), &w3c("01").to_uppercase()] {
        let fields = [("traceparent", bad), ("tracestate", "vendor=1"), ("x-cloud-trace-context", "nonsense/x")];
        let spans = collector.trace_of(&id(&run(&gate, &fields).await)).await;
        assert_eq!(spans[0].parent, "", "{bad}");
        assert_ne!(spans[0].trace, TRACE, "{bad}");
        let ours = passed_on(&spans);
        assert_eq!(heard(&gate, "traceparent"), Some(format!("00-{}-{}-01", ours.trace, ours.span)), "{bad}");
        assert_eq!(heard(&gate, "tracestate"), None, "it belongs to no trace: {bad}");
        assert!(heard(&gate, "x-cloud-trace-context").unwrap().starts_with(&ours.trace), "{bad}");
    }
    let twice = [("traceparent", &*w3c("01")), ("traceparent", &*w3c("01"))];
    assert_eq!(collector.trace_of(&id(&run(&gate, &twice).await)).await[0].parent, "", "said twice is not said");
}

#[tokio::test]
async fn whether_a_trace_is_kept_is_for_a_trusted_front_to_say_and_for_nobody_else() {
    let collector = Collector::start();
    let none = collector.section("sample = 0");
    // Nobody's word: no share, nothing recorded; MLflow is told so.
    let gate = traced(mlflow(), &none, |_| {}).await;
    let cloud = format!("{TRACE}/1;o=1");
    run(&gate, &[("traceparent", &w3c("01")), ("tracestate", "vendor=1")]).await;
    let sent = heard(&gate, "traceparent").unwrap();
    assert!(sent.starts_with(&format!("00-{TRACE}-")) && sent.ends_with("-00") && !sent.contains(SPAN), "{sent}");
    assert_eq!(heard(&gate, "tracestate").as_deref(), Some("vendor=1"));
    run(&gate, &[("x-cloud-trace-context", &cloud)]).await;
    assert!(heard(&gate, "x-cloud-trace-context").unwrap().ends_with(";o=0"));
    let told = run(&gate, &[]).await;
    assert!(heard(&gate, "traceparent").unwrap().ends_with("-00"));
    assert_eq!(gate.record(&told).await.get("trace"), None, "a trace of which there is nothing is not named");
    gate.close().await;
    assert!(collector.spans().is_empty(), "{:?}", collector.spans());

    // A front's word.
    let gate = traced(mlflow(), &none, trusting).await;
    let told = run(&gate, &[("traceparent", &w3c("01")), ("tracestate", "vendor=1")]).await;
    let spans = collector.trace_of(&id(&told)).await;
    assert_eq!((spans[0].parent.as_str(), spans[0].state.as_str()), (SPAN, "vendor=1"));
    collector.trace_of(&id(&run(&gate, &[("x-cloud-trace-context", &cloud)]).await)).await;
    let before = collector.spans().len();
    run(&gate, &[("x-cloud-trace-context", &format!("{TRACE}/1"))]).await;
    gate.close().await;
    assert_eq!(collector.spans().len(), before, "a front that decided nothing leaves it to the share");

    let gate = traced(mlflow(), &collector.section(ALL), trusting).await;
    run(&gate, &[("traceparent", &w3c("00"))]).await;
    run(&gate, &[("x-cloud-trace-context", &format!("{TRACE}/1;o=0"))]).await;
    gate.close().await;
    assert_eq!(collector.spans().len(), before, "a front may also say no");
}

#[tokio::test]
async fn nobody_is_named_in_a_trace() {
    let collector = Collector::start();
    let gate = traced(mlflow(), &collector.section(ALL), |_| {}).await;
    let token = gate.token("alice");
    let fields = [("tracestate", "who=alice@example.com"), ("traceparent", &*w3c("01")), ("baggage", "user=alice")];
    let mut ids = vec![id(&run(&gate, &fields).await)];
    ids.push(id(&gate.bearer("mallory").get(&asked()).await));
    ids.push(id(&gate.bearer("alice").get("/api/2.0/mlflow/secret-path/alice@example.com?q=planted").await));
    ids.push(id(&gate.anonymous().get(&asked()).await));
    ids.push(id(&gate.showing("authorization", "Bearer planted-token").get(&asked()).await));
    let body = json!({"run_id": RUN, "key": "planted-key", "value": "planted-value"});
    ids.push(id(&gate.bearer("alice").post("/api/2.0/mlflow/runs/set-tag", &body).await));
    let odd = http::Request::builder().method("PLANTED").uri("/").body(nothing()).unwrap();
    ids.push(id(&gate.bearer("alice").send(odd).await));
    let mut names = BTreeSet::new();
    for id in &ids {
        names.extend(collector.trace_of(id).await.into_iter().flat_map(|span| span.attributes.into_keys()));
    }
    let signature = token.rsplit('.').next().unwrap().to_owned();
    for word in ["alice", "mallory", "@example.com", "planted", "PLANTED", "secret-path", RUN, "run_id", &signature] {
        let raw = collector.raw();
        assert!(!raw.windows(word.len()).any(|bytes| bytes == word.as_bytes()), "{word}");
    }
    let known = [
        "error.type",
        "http.request.method",
        "http.response.status_code",
        "network.protocol.version",
        "server.address",
        "server.port",
        "trackgate.decision",
        "trackgate.outcome",
        "trackgate.reason",
        "trackgate.request_id",
        "url.scheme",
    ];
    let docs = include_str!("../../docs/traces.md");
    for name in &names {
        assert!(known.contains(&name.as_str()), "{name}");
        assert!(docs.contains(&format!("`{name}`")), "docs/traces.md does not tell of `{name}`");
    }
}

#[tokio::test]
async fn what_is_refused_is_told_too() {
    let collector = Collector::start();
    let gate = traced(mlflow(), &collector.section(ALL), |_| {}).await;
    for (told, name, status, reason) in [
        (gate.bearer("mallory").get(&asked()).await, "GetRun", 404, "no-grant"),
        (gate.anonymous().get(&asked()).await, "GetRun", 401, "no-credential"),
        (gate.bearer("alice").get("/api/2.0/mlflow/nowhere").await, "GET", 404, "unknown-call"),
    ] {
        assert!((400..500).contains(&told.status), "{name}: {}", told.text());
        let spans = collector.trace_of(&id(&told)).await;
        let record = gate.record(&told).await;
        let attribute = |name: &str| spans[0].attributes[name].clone();
        assert_eq!(spans[0].name, name);
        assert_eq!(attribute("trackgate.decision"), "deny", "{status} {reason}");
        assert_eq!(attribute("trackgate.reason"), record["reason"].as_str().unwrap());
        assert_eq!(attribute("http.response.status_code"), told.status.to_string());
        assert!(!spans[0].failed, "a refusal is no fault of a server");
        assert!(spans.iter().any(|span| span.name == "decide"));
        assert!(!spans.iter().any(|span| span.kind == CLIENT && span.parent == spans[0].span), "nothing was passed on");
    }
}

#[tokio::test]
async fn a_server_that_is_away_is_seen_in_the_trace() {
    let collector = Collector::start();
    let mut gate = traced(mlflow(), &collector.section(ALL), |_| {}).await;
    gate.upstream.stop();
    let told = gate.bearer("alice").get(&asked()).await;
    assert!((502..=504).contains(&told.status), "{}", told.text());
    let spans = collector.trace_of(&id(&told)).await;
    assert!(spans[0].failed);
    assert_eq!(spans[0].attributes["error.type"], told.status.to_string());
    assert_eq!(spans[0].attributes["trackgate.decision"], "error");
    let exchange = spans.iter().find(|span| span.kind == CLIENT).unwrap();
    assert!(exchange.failed && exchange.events.is_empty());
    assert_eq!(exchange.attributes["error.type"], "down");
}

/// A server whose artifact has a second part once it is told to send it.
fn slow(more: CancellationToken) -> Server {
    Server::scripted(move |request| {
        let more = more.clone();
        async move {
            if request.uri().path().ends_with("/runs/get") {
                let place = format!("mlflow-artifacts:/1/{RUN}/artifacts");
                let info = json!({"run_id": RUN, "experiment_id": "1", "artifact_uri": place});
                return full(200, json!({"run": {"info": info, "data": {}}}).to_string());
            }
            let parts = futures_util::stream::unfold(0, move |sent| {
                let more = more.clone();
                async move {
                    if sent == 1 {
                        more.cancelled().await;
                    }
                    (sent < 2).then(|| (Ok::<_, std::io::Error>(Frame::data(Bytes::from_static(b"part"))), sent + 1))
                }
            });
            let answer: Answer = http::Response::new(StreamBody::new(parts).boxed());
            answer
        }
    })
}

#[tokio::test]
async fn a_span_ends_with_the_last_byte_or_when_nobody_wants_it_any_more() {
    let artifact = format!("/api/2.0/mlflow-artifacts/artifacts/1/{RUN}/artifacts/model.bin");
    let (collector, more) = (Collector::start(), CancellationToken::new());
    let gate = traced(slow(more.clone()), &collector.section(ALL), |_| {}).await;
    let ask = || async {
        let request = http::Request::get(&artifact).header("host", HOST);
        let request = request.header("authorization", format!("Bearer {}", gate.token("alice")));
        let mut client = Client::http1(gate.address()).await;
        let mut answer = client.send(request.body(nothing()).unwrap()).await;
        assert_eq!(answer.status(), 200);
        soon("the first part", answer.body_mut().frame()).await.unwrap().unwrap();
        let id = answer.headers()["x-request-id"].to_str().unwrap().to_owned();
        (client, answer, id)
    };
    let (client, answer, left) = ask().await;
    drop((client, answer));
    let spans = collector.trace_of(&left).await;
    assert_eq!(spans[0].attributes["trackgate.outcome"], "cut-off");
    assert_eq!(passed_on(&spans).attributes["error.type"], "cancelled");

    let (_client, answer, whole) = ask().await;
    // The decision is over and sent before the body is.
    until("the decision", || collector.spans().iter().filter(|span| span.name == "decide").count() == 2).await;
    let ended = |id: &str| collector.spans().iter().any(|span| span.attributes.values().any(|value| value == id));
    assert!(!ended(&whole), "the answer is not at its end");
    more.cancel();
    soon("the rest", answer.into_body().collect()).await.unwrap();
    let spans = collector.trace_of(&whole).await;
    assert_eq!(spans[0].attributes["trackgate.outcome"], "complete");
    let exchange = passed_on(&spans);
    assert!(!exchange.failed && exchange.ended <= spans[0].ended);
}

#[tokio::test]
async fn without_the_section_everything_is_as_the_caller_sent_it() {
    let gate = traced(mlflow(), "", |_| {}).await;
    run(&gate, &[]).await;
    assert_eq!(heard(&gate, "traceparent"), None);
    let cloud = format!("{TRACE}/1;o=1");
    let fields = [("traceparent", &*w3c("01")), ("tracestate", "a=1"), ("x-cloud-trace-context", &*cloud)];
    run(&gate, &fields).await;
    for (name, value) in fields {
        assert_eq!(heard(&gate, name).as_deref(), Some(value));
    }
}

/// What the monitor counts of spans.
async fn spans_counted(gate: &Gate, result: &str) -> f64 {
    let (_, body) = Client::http1(gate.open().monitor().unwrap()).await.ask(get("/metrics")).await;
    let text = String::from_utf8(body.to_vec()).unwrap();
    let name = format!("trackgate_trace_spans_total{{result=\"{result}\"}} ");
    text.lines().find_map(|line| line.strip_prefix(&name)).expect("the number").parse().unwrap()
}

async fn counted_soon(gate: &Gate, result: &str, least: f64) {
    soon("spans are counted", async {
        while spans_counted(gate, result).await < least {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}

fn watched(config: &mut Config) {
    config.monitor.address = Some("127.0.0.1:0".parse().unwrap());
}

#[tokio::test]
async fn a_collector_that_is_away_holds_nobody_up_and_what_is_lost_is_counted() {
    // Refused for good: nothing is sent again.
    let refusing = Collector::answering(|_| 400);
    let gate = traced(mlflow(), &refusing.section(ALL), watched).await;
    for _ in 0..3 {
        run(&gate, &[]).await;
    }
    counted_soon(&gate, "failed", 8.0).await;
    assert!(spans_counted(&gate, "exported").await < 0.5);

    // It comes back: what may be sent again is.
    let late = Collector::answering(|nth| if nth == 0 { 503 } else { 200 });
    let gate = traced(mlflow(), &late.section(ALL), watched).await;
    let told = run(&gate, &[]).await;
    late.trace_of(&id(&told)).await;
    counted_soon(&gate, "exported", 4.0).await;
    assert!(spans_counted(&gate, "failed").await < 0.5);
}

/// Takes connections, and never says anything.
fn mute() -> Server {
    Server::raw(|tcp| async move {
        std::future::pending::<()>().await;
        drop(tcp);
    })
}

#[tokio::test]
async fn a_collector_that_hangs_costs_spans_alone() {
    let mute = mute();
    let section = format!("[trace]\notlp_endpoint = \"http://{}\"\nsample = 1\n", mute.address);
    let gate = traced(mlflow(), &section, |config| {
        watched(config);
        config.trace.as_mut().unwrap().collector.queue = 8;
    })
    .await;
    for _ in 0..10 {
        run(&gate, &[]).await;
    }
    counted_soon(&gate, "dropped", 20.0).await;
    let begun = Instant::now();
    gate.close().await;
    assert!(begun.elapsed() < Duration::from_secs(3), "the end waits for a moment alone: {:?}", begun.elapsed());
}

#[tokio::test]
async fn the_last_spans_are_sent_at_the_end() {
    let collector = Collector::start();
    let gate = traced(mlflow(), &collector.section(ALL), |config| {
        config.trace.as_mut().unwrap().collector.delay = Duration::from_mins(10);
    })
    .await;
    let told = run(&gate, &[]).await;
    assert!(collector.spans().is_empty());
    gate.close().await;
    assert_eq!(collector.trace_of(&id(&told)).await.len(), 4);
}

#[tokio::test]
async fn a_collector_behind_tls_is_trusted_by_the_authority_that_is_named() {
    trackgate::cli::install_crypto();
    let (authority, folder) = (Authority::new(), Folder::new());
    let collector = Collector::with_tls(authority.acceptor());
    let section = |ca: &Authority, name: &str| {
        let file = folder.path().join(name);
        std::fs::write(&file, &ca.ca_pem).unwrap();
        let port = collector.address().port();
        format!("[trace]\notlp_endpoint = \"https://localhost:{port}\"\nca_file = \"{}\"\nsample = 1\n", file.display())
    };
    let gate = traced(mlflow(), &section(&Authority::new(), "other.pem"), watched).await;
    run(&gate, &[]).await;
    until("an attempt", || collector.server.connections() > 0).await;
    gate.close().await;
    assert!(collector.spans().is_empty(), "whoever answers there is not who is meant");

    let gate = traced(mlflow(), &section(&authority, "ca.pem"), watched).await;
    let told = run(&gate, &[]).await;
    assert_eq!(collector.trace_of(&id(&told)).await.len(), 4);
}

#[tokio::test]
async fn google_is_shown_a_token_of_the_machine_and_told_the_project() {
    let metadata = Server::scripted(|request| async move {
        assert_eq!(request.uri().path(), "/computeMetadata/v1/instance/service-accounts/default/token");
        let query = request.uri().query().unwrap().to_owned();
        assert_eq!(query, "scopes=https%3A%2F%2Fwww.googleapis.com%2Fauth%2Ftrace.append");
        assert_eq!(request.headers()["metadata-flavor"], "Google");
        let token = json!({"access_token": "ya29.planted", "expires_in": 3599, "token_type": "Bearer"});
        let mut answer = full(200, token.to_string());
        answer.headers_mut().insert("metadata-flavor", "Google".parse().unwrap());
        answer
    });
    // The first token is not taken: a newer one is asked for.
    let collector = Collector::answering(|nth| if nth == 0 { 401 } else { 200 });
    let more = format!("{ALL}\ngoogle_auth = true\nmetadata_url = \"http://{}\"", metadata.address);
    let section = format!("[log]\ngoogle_project = \"my-project\"\n{}", collector.section(&more));
    let gate = traced(mlflow(), &section, |_| {}).await;
    let told = run(&gate, &[]).await;
    collector.trace_of(&id(&told)).await;
    assert_eq!(collector.resource()["gcp.project_id"], "my-project");
    assert_eq!(collector.server.seen()[1].headers["authorization"], "Bearer ya29.planted");
    assert_eq!(metadata.seen().len(), 2);
    let trace = &gate.record(&told).await["logging.googleapis.com/trace"];
    assert_eq!(trace, &format!("projects/my-project/traces/{}", collector.spans()[0].trace));
}

#[tokio::test]
async fn the_share_changes_by_a_signal_and_the_rest_takes_a_restart() {
    let collector = Collector::start();
    let program = Program::start(&collector.section("sample = 0")).await;
    assert_eq!(ask(program.plain, &asked(), "").await.status, 401);
    program.rewrite(|text| text.replace("sample = 0", "sample = 1.0"));
    soon("a span", async {
        while collector.spans().is_empty() {
            assert_eq!(ask(program.plain, &asked(), "").await.status, 401);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    program.rewrite(|text| format!("{text}service_name = \"other\"\n"));
    program.tells("a restart is needed for trace.service_name").await;
}

#[tokio::test]
async fn the_program_ends_at_once_though_the_collector_hangs() {
    let mute = mute();
    let trace =
        format!("[limits]\ndrain_accept = \"0s\"\n[trace]\notlp_endpoint = \"http://{}\"\nsample = 1\n", mute.address);
    let mut program = Program::start(&trace).await;
    assert_eq!(ask(program.plain, &asked(), "").await.status, 401);
    until("an attempt to send", || mute.connections() > 0).await;
    let begun = Instant::now();
    program.signal("TERM");
    assert_eq!(program.exit().await, 0);
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
}
