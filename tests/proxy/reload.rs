//! The configuration is read again: what may change changes at once, and whatever is wrong changes nothing.

use std::sync::Arc;

use serde_json::json;

use super::signals::Program;
use crate::harness::forge::Forge;
use crate::harness::issuer::Issuer;
use crate::harness::raw::{Raw, Said};
use crate::harness::soon;

const AUDIENCE: &str = "https://localhost";

pub(super) async fn ask(at: std::net::SocketAddr, target: &str, more: &str) -> Said {
    let mut raw = Raw::connect(at).await;
    raw.send(format!("GET {target} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{more}\r\n")).await;
    raw.answer().await
}

impl Program {
    /// Puts another text into the file, and tells the program.
    pub(super) fn rewrite(&self, change: impl FnOnce(String) -> String) {
        let file = self.folder.path().join("trackgate.toml");
        let text = std::fs::read_to_string(&file).unwrap();
        std::fs::write(&file, change(text)).unwrap();
        self.signal("HUP");
    }

    /// The value of a number without labels.
    pub(super) async fn number(&self, name: &str) -> f64 {
        let said = ask(self.monitor, "/metrics", "").await;
        let text = String::from_utf8(said.body).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {name}: {text}")).parse().unwrap()
    }

    /// Whether this is a line of `/metrics`; its value is a whole number.
    pub(super) async fn says(&self, line: &str) -> bool {
        let said = ask(self.monitor, "/metrics", "").await;
        let text = String::from_utf8(said.body).unwrap();
        text.lines().any(|told| told.strip_prefix(line).is_some_and(|rest| rest.is_empty() || rest == ".0"))
    }

    /// Waits until the monitor says this of the configuration.
    pub(super) async fn tells(&self, wanted: &str) {
        soon(wanted, async {
            loop {
                let said = ask(self.monitor, "/readyz?verbose", "").await;
                if String::from_utf8_lossy(&said.body).lines().any(|line| line.contains(wanted)) {
                    return;
                }
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
        })
        .await;
    }
}

#[tokio::test]
async fn a_broken_file_changes_nothing_and_is_told_until_it_is_mended() {
    let program = Program::start("[rates]\naddress = 0\n").await;
    program.tells("[+] configuration: ok").await;
    let (success, since) = ("trackgate_config_reload_success", "trackgate_config_last_reload_timestamp_seconds");
    let started = program.number(since).await;
    assert!((program.number(success).await - 1.0).abs() < 1e-9 && started > 1e9, "{started}");
    program.rewrite(|text| text.replace("address = 0", "adress = 1"));
    program.tells("[!] configuration: the file has a fault: line ").await;
    program.tells(", `rates.adress`; the old one is in force").await;
    for _ in 0..3 {
        assert_eq!(ask(program.plain, "/api/2.0/mlflow/experiments/get", "").await.status, 401);
    }
    assert!(program.number(success).await.abs() < 1e-9);
    assert!((program.number(since).await - started).abs() < 1e-9, "what is in force was read at the start");
    program.rewrite(|text| text.replace("adress = 1", "address = 0"));
    program.tells("[+] configuration: ok").await;
    assert!((program.number(success).await - 1.0).abs() < 1e-9);
    assert!(program.number(since).await > started);
}

#[tokio::test]
async fn without_the_keys_of_anybody_the_gate_is_not_ready() {
    let program = Program::start("").await;
    program.tells("[-] keys: there are no keys of none").await;
    assert_eq!(ask(program.monitor, "/readyz", "").await.status, 503);
}

#[tokio::test]
async fn what_may_change_is_in_force_at_once() {
    let program = Program::start("[rates]\naddress = 0\n").await;
    for _ in 0..3 {
        assert_eq!(ask(program.plain, "/api/2.0/mlflow/experiments/get", "").await.status, 401);
    }
    program.rewrite(|text| text.replace("address = 0", "address = 1\naddress_burst = 1"));
    soon("the new rate", async {
        while ask(program.plain, "/api/2.0/mlflow/experiments/get", "").await.status != 429 {}
    })
    .await;
    program.tells("[+] configuration: ok").await;
}

#[tokio::test]
async fn what_takes_a_restart_is_named_and_nothing_else_of_the_file_is_taken() {
    let program = Program::start("[rates]\naddress = 0\n").await;
    program.rewrite(|text| {
        text.replace("workers = 2", "workers = 1").replace("address = 0", "address = 1\naddress_burst = 1")
    });
    program.tells("[!] configuration: a restart is needed for listen.workers; the old one is in force").await;
    for _ in 0..5 {
        assert_eq!(ask(program.plain, "/api/2.0/mlflow/experiments/get", "").await.status, 401);
    }
}

#[tokio::test]
async fn an_issuer_whose_keys_cannot_be_had_does_not_take_the_place_of_one_that_is_known() {
    let issuer = Issuer::start(vec![Arc::new(Forge::rsa("k1"))]);
    let block = format!(
        "[[issuer]]\nname = \"test\"\ntitle = \"Test\"\nissuer = \"{}\"\n[issuer.bearer]\naudiences = [\"{AUDIENCE}\"]\n",
        issuer.url
    );
    let program = Program::start(&block).await;
    let token = issuer.bearer(AUDIENCE, &json!({"sub": "a", "email": "alice@example.com", "email_verified": true}));
    let authorization = format!("authorization: Bearer {token}\r\n");
    let known = async || ask(program.plain, "/trackgate/whoami", &authorization).await.status == 200;
    soon("alice", async { while !known().await {} }).await;
    program.rewrite(|text| text.replace(&issuer.url, "http://127.0.0.1:9"));
    program.tells("[!] configuration: an issuer's keys could not be had").await;
    assert!(known().await, "the old issuer is in force");
}

#[tokio::test]
async fn an_issuer_that_is_added_counts_without_a_restart() {
    let issuer = Issuer::start(vec![Arc::new(Forge::rsa("k1"))]);
    let program = Program::start("").await;
    let token = issuer.bearer(AUDIENCE, &json!({"sub": "a", "email": "alice@example.com", "email_verified": true}));
    let authorization = format!("authorization: Bearer {token}\r\n");
    assert_eq!(ask(program.plain, "/trackgate/whoami", &authorization).await.status, 401);
    program.rewrite(|text| {
        format!(
            "{text}\n[[issuer]]\nname = \"test\"\ntitle = \"Test\"\nissuer = \"{}\"\n[issuer.bearer]\n\
             audiences = [\"{AUDIENCE}\"]\n",
            issuer.url
        )
    });
    soon("alice", async { while ask(program.plain, "/trackgate/whoami", &authorization).await.status != 200 {} }).await;
}

/// Nobody waits for an issuer in the end: neither SIGTERM nor the watchdog.
#[tokio::test]
async fn sigterm_is_heard_while_an_issuer_is_waited_for() {
    let change = |text: String| text.replace("[[issuer]]", "[limits]\ndrain_accept = \"0s\"\n[[issuer]]");
    let mut program = Program::start_with("", change, std::process::Stdio::null()).await;
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap();
    program.rewrite(|text| {
        format!(
            "{text}\n[[issuer]]\nname = \"silent\"\ntitle = \"Silent\"\nissuer = \"http://{address}\"\n[issuer.bearer]\n\
             audiences = [\"{AUDIENCE}\"]\n"
        )
    });
    silent.set_nonblocking(true).unwrap();
    let mut held = None;
    crate::harness::until("a question to the issuer", || {
        held = silent.accept().ok();
        held.is_some()
    })
    .await;
    program.signal("TERM");
    assert_eq!(program.exit().await, 0);
    let said = std::io::read_to_string(program.child.stderr.take().unwrap()).unwrap();
    assert!(said.contains("closing") && !said.contains("is not in force"), "it was waited for: {said}");
}
