//! What does the gate tell of itself, from outside?

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use trackgate::config::Config;

use crate::harness::client::{Client, get};
use crate::harness::gate::Gate;
use crate::harness::raw::Raw;
use crate::harness::server::{Server, full};
use crate::harness::{soon, until};

/// A gate with a monitor.
async fn watched(upstream: Server, more: &str, change: impl FnOnce(&mut Config)) -> (Gate, SocketAddr) {
    let gate = Gate::with(upstream, more, |config| {
        config.monitor.address = Some("127.0.0.1:0".parse().unwrap());
        config.monitor.probe_every = Duration::from_millis(20);
        change(config);
    })
    .await;
    let address = gate.open().monitor().unwrap();
    (gate, address)
}

fn well() -> Server {
    Server::scripted(|_| async { full(200, "OK") })
}

/// Status and text.
async fn ask(address: SocketAddr, target: &str) -> (u16, String) {
    let (status, body) = Client::http1(address).await.ask(get(target)).await;
    (status, String::from_utf8(body.to_vec()).unwrap())
}

async fn awaits(address: SocketAddr, target: &str, wanted: u16) -> String {
    soon(target, async {
        loop {
            let (status, text) = ask(address, target).await;
            if status == wanted {
                return text;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await
}

#[tokio::test]
async fn a_gate_that_has_all_it_needs_is_ready() {
    let (_gate, monitor) = watched(well(), "", |_| {}).await;
    assert_eq!(ask(monitor, "/livez").await, (200, "ok\n".to_owned()));
    assert_eq!(awaits(monitor, "/readyz", 200).await, "ok\n");
    let text = awaits(monitor, "/readyz?verbose", 200).await;
    for part in ["doors", "store", "upstream", "keys", "audit"] {
        assert!(text.contains(&format!("[+] {part}: ok\n")), "{text}");
    }
    let said: serde_json::Value = serde_json::from_str(&awaits(monitor, "/readyz?format=json", 200).await).unwrap();
    assert_eq!(said["ok"], true);
    assert_eq!(said["parts"]["upstream"]["ok"], true);
}

#[tokio::test]
async fn without_mlflow_the_gate_is_alive_and_not_ready_and_becomes_ready_again() {
    let (sick, health) = tokio::sync::watch::channel(false);
    let upstream = Server::scripted(move |request| {
        let sick = *health.borrow();
        async move {
            assert_eq!(request.uri().path(), "/health", "nothing else is asked");
            if sick { full(500, "no") } else { full(200, "OK") }
        }
    });
    let (_gate, monitor) =
        watched(upstream, "", |config| config.monitor.reachable_for = Duration::from_millis(200)).await;
    awaits(monitor, "/readyz", 200).await;
    sick.send(true).unwrap();
    assert_eq!(awaits(monitor, "/readyz", 503).await, "failing: upstream\n");
    assert_eq!(ask(monitor, "/livez").await.0, 200);
    sick.send(false).unwrap();
    awaits(monitor, "/readyz", 200).await;
}

#[tokio::test]
async fn a_server_that_is_gone_is_named() {
    let (mut gate, monitor) =
        watched(well(), "", |config| config.monitor.reachable_for = Duration::from_millis(200)).await;
    awaits(monitor, "/readyz", 200).await;
    gate.upstream.stop();
    let text = awaits(monitor, "/readyz?verbose", 503).await;
    assert!(text.contains("[-] upstream: MLflow last answered "), "{text}");
}

#[tokio::test]
async fn a_probe_of_the_gate_asks_mlflow_nothing() {
    let (gate, monitor) = watched(well(), "", |config| config.monitor.probe_every = Duration::from_mins(10)).await;
    awaits(monitor, "/readyz", 200).await;
    for _ in 0..50 {
        ask(monitor, "/readyz").await;
    }
    assert_eq!(gate.upstream.seen().len(), 1, "one look at the beginning");
}

#[tokio::test]
async fn a_store_that_is_stale_is_named() {
    // It is looked at far too rarely.
    let (_gate, monitor) = watched(well(), "", |config| {
        config.store.poll = Duration::from_hours(1);
        config.store.stale_after = Duration::from_millis(300);
    })
    .await;
    says(monitor, "[-] store: memory was last known to be current ").await;
    assert_eq!(ask(monitor, "/livez").await.0, 200);
}

/// Waits until the gate is not ready, and says so.
async fn says(monitor: SocketAddr, words: &str) -> String {
    soon(words, async {
        loop {
            let (status, text) = ask(monitor, "/readyz?verbose").await;
            if text.contains(words) {
                assert_eq!(status, 503);
                return text;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await
}

#[tokio::test]
async fn an_issuer_without_keys_is_named_and_does_not_close_the_gate_to_all_others() {
    let more = "[[issuer]]\nname = \"elsewhere\"\ntitle = \"Elsewhere\"\nissuer = \"http://127.0.0.1:9\"\n\
                [issuer.bearer]\naudiences = [\"https://mlflow.example.com\"]\n";
    let (_gate, monitor) = watched(well(), more, |_| {}).await;
    soon("a word of it", async {
        while !ask(monitor, "/readyz?verbose").await.1.contains("[!] issuers: there are no keys of elsewhere\n") {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    awaits(monitor, "/readyz", 200).await;
}

#[tokio::test]
async fn an_audit_log_that_cannot_be_written_is_named() {
    let (gate, monitor) = watched(well(), "", |config| {
        // Every write fails with ENOSPC.
        config.audit.to = trackgate::audit::Target::File("/dev/full".into());
    })
    .await;
    awaits(monitor, "/readyz", 200).await;
    gate.anonymous().get("/api/2.0/mlflow/experiments/search").await;
    assert_eq!(awaits(monitor, "/readyz", 503).await, "failing: audit\n");
}

#[tokio::test]
async fn a_gate_that_closes_is_alive_and_not_ready_at_once() {
    let (gate, monitor) = watched(well(), "", |_| {}).await;
    awaits(monitor, "/readyz", 200).await;
    // A request that runs keeps the house open for a while.
    let mut running = Raw::connect(gate.address()).await;
    running.send("POST / HTTP/1.1\r\nhost: mlflow.example.com\r\n").await;
    gate.open().drain();
    assert_eq!(ask(monitor, "/readyz").await, (503, "failing: doors\n".to_owned()));
    assert_eq!(ask(monitor, "/livez").await.0, 200);
}

#[tokio::test]
async fn the_monitor_reads_nothing_long_and_waits_for_nobody() {
    let (_gate, monitor) = watched(well(), "", |_| {}).await;
    // A head without an end.
    let mut raw = Raw::connect(monitor).await;
    raw.send(&format!("GET /livez HTTP/1.1\r\nhost: x\r\nlong: {}", "a".repeat(64 * 1024))).await;
    assert_eq!(raw.answer().await.status, 431);
    for garbage in ["\x16\x03\x01\x02\x00\x01\x00\x01\u{fc}", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "GET\r\n\r\n"] {
        let mut raw = Raw::connect(monitor).await;
        raw.send(garbage).await;
        let rest = raw.rest().await;
        assert!(rest.is_empty() || rest.starts_with(b"HTTP/1.1 400"), "{}", String::from_utf8_lossy(&rest));
    }
    // Who says nothing is let go; until then probes are answered.
    let mut silent = TcpStream::connect(monitor).await.unwrap();
    assert_eq!(ask(monitor, "/livez").await.0, 200);
    let mut rest = Vec::new();
    let _ = soon("the end of the silence", silent.read_to_end(&mut rest)).await;
}

#[tokio::test]
async fn who_holds_connections_open_keeps_no_probe_out() {
    let (_gate, monitor) = watched(well(), "", |_| {}).await;
    let mut held = Vec::new();
    for _ in 0..300 {
        let mut tcp = TcpStream::connect(monitor).await.unwrap();
        tcp.write_all(b"GET /livez HTTP/1.1\r\n").await.unwrap();
        held.push(tcp);
    }
    assert_eq!(ask(monitor, "/livez").await.0, 200);
    // The oldest had to go.
    let mut read = Vec::new();
    let _ = soon("the oldest", held[0].read_to_end(&mut read)).await;
}

#[tokio::test]
async fn a_crowd_at_the_doors_does_not_keep_probes_out() {
    let (gate, monitor) = watched(well(), "[limits]\nconnections = 20\nconnections_per_address = 20\n", |_| {}).await;
    let mut crowd = Vec::new();
    for _ in 0..200 {
        if let Ok(tcp) = TcpStream::connect(gate.address()).await {
            crowd.push(tcp);
        }
    }
    assert_eq!(ask(monitor, "/livez").await.0, 200);
    awaits(monitor, "/readyz", 200).await;
    until("a full house", || crowd.len() > 20).await;
}
