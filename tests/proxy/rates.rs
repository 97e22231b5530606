//! One runaway script does not starve the team: rates of addresses and people, and places at MLflow.

use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt as _, StreamBody};
use serde_json::json;
use tokio::sync::Semaphore;
use trackgate::gate::limits::{Rate, Settings};

use crate::harness::gate::{Gate, Told};
use crate::harness::server::{Server, full};
use crate::harness::{soon, until};

const GET: &str = "/api/2.0/mlflow/experiments/get?experiment_id=1";
const SEARCH: &str = "/api/2.0/mlflow/experiments/search";
const CREATE: &str = "/api/2.0/mlflow/experiments/create";
const RUN: &str = "0123456789abcdef0123456789abcdef";
const OWN_PAGE: &str = "/trackgate/whoami";

fn free() -> Settings {
    Settings { address: None, person: None, person_at_once: 0, at_once: 0, wait: Duration::ZERO }
}

async fn gate(server: Server, rates: Settings) -> Gate {
    let gate = Gate::with(server, "", |config| config.rates = rates).await;
    for name in ["alice", "bob", "carol"] {
        gate.grant(&format!("user:{name}@example.com"), "experiment", "1", "READ").await;
    }
    gate
}

fn experiment() -> Server {
    Server::scripted(|_| async { full(200, r#"{"experiment": {"experiment_id": "1"}}"#) })
}

/// A server whose answers wait until `free` lets them go.
fn slow(free: &Arc<Semaphore>) -> Server {
    let free = Arc::clone(free);
    Server::scripted(move |request| {
        let free = Arc::clone(&free);
        async move {
            if request.uri().path() != "/version" {
                let _ = free.acquire().await;
            }
            full(200, r#"{"experiment": {"experiment_id": "1"}}"#)
        }
    })
}

async fn is_told_to_come_back(gate: &Gate, told: &Told, status: u16, reason: &str) {
    assert_eq!(told.status, status, "{}", told.text());
    let code = if status == 429 { "REQUEST_LIMIT_EXCEEDED" } else { "TEMPORARILY_UNAVAILABLE" };
    assert_eq!(told.error_code(), code);
    let seconds: u32 = told.header("retry-after").expect("when to come back").parse().unwrap();
    assert!((2..=60).contains(&seconds), "{seconds}");
    assert_eq!(gate.record(told).await["reason"], reason);
}

#[tokio::test]
async fn a_runaway_script_is_told_when_to_come_back_and_nobody_else_is() {
    let gate = gate(experiment(), Settings { person: Rate::new(1, 3), ..free() }).await;
    for _ in 0..3 {
        assert_eq!(gate.bearer("alice").get(GET).await.status, 200);
    }
    let told = gate.bearer("alice").get(GET).await;
    is_told_to_come_back(&gate, &told, 429, "person-rate").await;
    assert_eq!(gate.bearer("bob").get(GET).await.status, 200);
    let page = gate.bearer("alice").get(OWN_PAGE).await;
    assert_eq!(page.status, 200, "the way to end the script's token stays open: {}", page.text());
}

#[tokio::test]
async fn what_is_asked_of_unknown_addresses_counts_too() {
    let gate = gate(experiment(), Settings { person: Rate::new(1, 3), ..free() }).await;
    for _ in 0..3 {
        assert_eq!(gate.bearer("alice").get("/api/2.0/mlflow/no/such").await.status, 404);
    }
    let told = gate.bearer("alice").get("/api/2.0/mlflow/no/such").await;
    is_told_to_come_back(&gate, &told, 429, "person-rate").await;
}

#[tokio::test]
async fn who_may_wait_is_slowed_down_and_not_refused() {
    let rates = Settings { person: Rate::new(50, 1), wait: Duration::from_mins(1), ..free() };
    let gate = gate(experiment(), rates).await;
    let alice = gate.bearer("alice");
    let told = futures_util::future::join_all((0..10).map(|_| alice.get(GET))).await;
    assert!(told.iter().all(|told| told.status == 200));
}

#[tokio::test]
async fn an_address_that_floods_is_refused_before_anybody_is_recognised() {
    let gate = gate(experiment(), Settings { address: Rate::new(1, 2), ..free() }).await;
    assert_eq!(gate.anonymous().get(GET).await.status, 401);
    assert_eq!(gate.bearer("alice").get(GET).await.status, 200);
    let told = gate.bearer("alice").get(GET).await;
    is_told_to_come_back(&gate, &told, 429, "address-rate").await;
    assert!(gate.record(&told).await.get("user").is_none_or(serde_json::Value::is_null), "nobody was asked for");
}

#[tokio::test]
async fn one_caller_does_not_take_all_places_and_who_finds_none_is_told_so() {
    let go = Arc::new(Semaphore::new(0));
    let gate = gate(slow(&go), Settings { person_at_once: 2, at_once: 3, ..free() }).await;
    let (alice, bob, carol) = (gate.bearer("alice"), gate.bearer("bob"), gate.bearer("carol"));
    let asked = || gate.upstream.seen().iter().filter(|seen| seen.target == GET).count();
    let running = async { tokio::join!(alice.get(GET), alice.get(GET), bob.get(GET)) };
    let refused = async {
        until("three requests at MLflow", || asked() == 3).await;
        let told = alice.get(GET).await;
        is_told_to_come_back(&gate, &told, 429, "person-at-once").await;
        let told = carol.get(GET).await;
        is_told_to_come_back(&gate, &told, 503, "at-once").await;
        assert_eq!(carol.get(OWN_PAGE).await.status, 200, "our own pages ask nothing of MLflow");
        assert_eq!(asked(), 3, "what is refused does not reach MLflow");
        go.add_permits(100);
    };
    let ((one, two, three), ()) = tokio::join!(running, refused);
    assert_eq!([one.status, two.status, three.status], [200; 3]);
    // A place is given back with the last byte, which the client may have before the gate has looked up.
    soon("a free place", async { while carol.get(GET).await.status != 200 {} }).await;
}

#[tokio::test]
async fn however_many_a_runaway_script_sends_nobody_elses_request_waits_behind_more_than_those_at_mlflow() {
    const OTHER: &str = "/api/2.0/mlflow/experiments/get?experiment_id=2";
    const THREADS: usize = 8;
    const OWN: usize = 4;
    let go = Arc::new(Semaphore::new(0));
    let leave = Arc::clone(&go);
    let server = Server::scripted(move |request| {
        let leave = Arc::clone(&leave);
        async move {
            if request.uri().path() != "/version" {
                // One answer for each permit.
                leave.acquire().await.unwrap().forget();
            }
            full(200, r#"{"experiment": {"experiment_id": "1"}}"#)
        }
    });
    let rates = Settings { person_at_once: OWN, at_once: 6, wait: Duration::from_mins(1), ..free() };
    let gate = gate(server, rates).await;
    gate.grant("user:bob@example.com", "experiment", "2", "READ").await;
    let (alice, bob) = (gate.bearer("alice"), gate.bearer("bob"));
    // Which experiment was asked for tells who asked; in the order in which they came to MLflow.
    let came = || -> Vec<char> {
        let seen = gate.upstream.seen();
        let who = |target: &str| (target == GET).then_some('a').or((target == OTHER).then_some('b'));
        seen.iter().filter_map(|seen| who(&seen.target)).collect()
    };
    // Eight threads without end, and without a pause.
    let runaway = futures_util::future::join_all((0..THREADS).map(|_| async {
        loop {
            assert_eq!(alice.get(GET).await.status, 200);
        }
    }));
    let team = async {
        for round in 1..=5 {
            until("all places of the script's owner are taken", || came().len() == (OWN + 1) * (round - 1) + OWN).await;
            let before = came();
            let asking = bob.get(OTHER);
            let answering = async {
                until("the other's request at MLflow", || came().contains(&'b') && came().last() == Some(&'b')).await;
                assert_eq!(came()[..before.len()], before, "round {round}: what was there already");
                assert_eq!(came().len(), before.len() + 1, "round {round}: nobody came in between");
                // MLflow answers in the order in which they came: those four, and then this one.
                go.add_permits(OWN + 1);
            };
            let (told, ()) = tokio::join!(asking, answering);
            assert_eq!(told.status, 200);
        }
    };
    tokio::select! {
        _ = runaway => unreachable!("it has no end"),
        () = team => {}
    }
    go.add_permits(1000);
}

#[tokio::test]
async fn a_place_is_taken_until_the_last_byte_has_left() {
    let go = Arc::new(Semaphore::new(0));
    let server = Server::scripted({
        let go = Arc::clone(&go);
        move |request| {
            let go = Arc::clone(&go);
            async move {
                if !request.uri().path().ends_with("model.bin") {
                    return full(200, json!({"run": {"info": {"run_id": RUN, "experiment_id": "1"}}}).to_string());
                }
                let first = futures_util::stream::once(async { Ok(http_body::Frame::data("begun ".into())) });
                let rest = futures_util::stream::once(async move {
                    let _ = go.acquire().await;
                    Ok(http_body::Frame::data("and done".into()))
                });
                let body = StreamBody::new(futures_util::StreamExt::chain(first, rest));
                http::Response::new(body.boxed())
            }
        }
    });
    let gate = gate(server, Settings { person_at_once: 1, ..free() }).await;
    let artifact = format!("/api/2.0/mlflow-artifacts/artifacts/1/{RUN}/artifacts/model.bin");
    let alice = gate.bearer("alice");
    let second = async {
        until("the first request at MLflow", || {
            gate.upstream.seen().iter().any(|seen| seen.target.ends_with("model.bin"))
        })
        .await;
        // Its head has arrived: the body alone is still under way.
        let told = alice.get(&artifact).await;
        is_told_to_come_back(&gate, &told, 429, "person-at-once").await;
        go.add_permits(100);
    };
    let (first, ()) = tokio::join!(alice.get(&artifact), second);
    assert_eq!((first.status, first.text().as_str()), (200, "begun and done"));
    soon("a free place", async { while alice.get(&artifact).await.status != 200 {} }).await;
}

#[tokio::test]
async fn a_client_that_goes_away_while_it_waits_leaves_nothing_behind() {
    let go = Arc::new(Semaphore::new(0));
    let rates = Settings { person_at_once: 1, wait: Duration::from_mins(1), ..free() };
    let gate = gate(slow(&go), rates).await;
    let alice = gate.bearer("alice");
    let running = alice.get(GET);
    let waiting = async {
        until("a request at MLflow", || gate.upstream.seen().iter().any(|seen| seen.target == GET)).await;
        let gone =
            tokio::time::timeout(Duration::from_millis(50), alice.post(SEARCH, &json!({"max_results": 1}))).await;
        assert!(gone.is_err(), "it waits for its turn");
        go.add_permits(100);
    };
    let (first, ()) = tokio::join!(running, waiting);
    assert_eq!(first.status, 200);
    assert_eq!(alice.get(GET).await.status, 200);
}

/// What must be finished without its client goes on at MLflow; so it goes on counting. Else whoever asks and hangs up, again and
/// again, would have any number of requests answered at once.
#[tokio::test]
async fn who_hangs_up_on_what_goes_on_without_them_has_no_place_more() {
    let go = Arc::new(Semaphore::new(0));
    let gate = gate(slow(&go), Settings { person_at_once: 1, ..free() }).await;
    gate.grant("user:alice@example.com", "workspace", "default", "USE").await;
    let alice = gate.bearer("alice");
    let asked = || gate.upstream.seen().iter().filter(|seen| seen.target == CREATE).count();
    let one = json!({"name": "one"});
    tokio::select! {
        told = alice.post(CREATE, &one) => panic!("an answer: {}", told.text()),
        () = until("a request at MLflow", || asked() == 1) => {}
    }
    until("the record of whoever hung up", || gate.records().iter().any(|record| record["call"] == "CreateExperiment"))
        .await;
    for name in ["two", "three"] {
        let told = alice.post(CREATE, &json!({"name": name})).await;
        is_told_to_come_back(&gate, &told, 429, "person-at-once").await;
    }
    assert_eq!(asked(), 1);
    go.add_permits(100);
    soon("a free place", async { while alice.get(GET).await.status != 200 {} }).await;
}
