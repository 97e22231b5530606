//! The disk is full: what is known is decided on, nothing is promised that is not written down, and nothing is lost that was.

use std::os::unix::fs::symlink;
use std::process::Stdio;

use serde_json::Value;

use super::backup::{GRANT, Place};
use super::reload;
use super::replicas::{ask, on};
use super::signals::Program;
use crate::harness::soon;

const CALL: &str = "/api/2.0/mlflow/experiments/get?experiment_id=1";

#[tokio::test]
async fn while_no_record_can_be_written_nobody_is_let_in_and_then_everybody_again() {
    let full = |text: String| {
        text.replace("audit.jsonl", "full.jsonl").replace("[[issuer]]", "[rates]\naddress = 0\n[[issuer]]")
    };
    let folder = std::cell::OnceCell::new();
    let change = |text: String| {
        let text = full(text);
        let file = text.lines().find_map(|line| line.strip_prefix("file = \"")?.strip_suffix('"')).unwrap().to_owned();
        // Every write fails as on a full disk.
        symlink("/dev/full", &file).unwrap();
        folder.set(file).unwrap();
        text
    };
    let program = Program::start_with("", change, Stdio::null()).await;
    let ask = async |target: &str| reload::ask(program.plain, target, "").await;
    soon("a refusal", async { while ask(CALL).await.status != 503 {} }).await;
    let refused = ask(CALL).await;
    let told: Value = serde_json::from_slice(&refused.body).unwrap();
    assert_eq!((refused.status, &told["error_code"]), (503, &Value::from("TEMPORARILY_UNAVAILABLE")), "{told}");
    assert!(told["message"].as_str().unwrap().contains("audit"), "{told}");
    let ready = reload::ask(program.monitor, "/readyz?verbose", "").await;
    let words = String::from_utf8_lossy(&ready.body).into_owned();
    assert!(ready.status == 503 && words.contains("[-] audit: the audit log cannot be written"), "{words}");
    assert_eq!(
        reload::ask(program.monitor, "/livez", "").await.status,
        200,
        "a full disk is nothing that a restart mends"
    );
    // There is room again.
    let file = std::path::PathBuf::from(folder.get().unwrap());
    let room = file.with_extension("room");
    symlink(&room, file.with_extension("new")).unwrap();
    std::fs::rename(file.with_extension("new"), &file).unwrap();
    soon("an answer", async { while ask(CALL).await.status != 401 {} }).await;
    let first = std::fs::read_to_string(&room).unwrap();
    let first: Value = serde_json::from_str(first.lines().next().unwrap()).unwrap();
    assert_eq!(first["status"], 401, "whoever was let in before it was known is written down after all");
}

/// No root is needed for a full disk: no file may grow beyond this (`setrlimit(2)`, `RLIMIT_FSIZE`).
#[tokio::test]
async fn while_the_store_cannot_grow_changes_are_refused_and_all_that_was_acknowledged_stays() {
    let mut place = Place::new("");
    place.change(|text| text.replace(&format!("{}/audit.jsonl", place.here()), "-"));
    place.open().await;
    assert!(!place.may(1).await, "alice comes");
    place.close().await;
    let size = std::fs::metadata(place.file("state/trackgate.db")).unwrap().len();
    place.open_within(size + 128 * 1024).await;
    let root = place.credential("root");
    let mut given = Vec::new();
    let mut refused = 0;
    for n in 1..2000_u64 {
        let (status, told) = ask(place.door(), "POST", GRANT, &root, Some(on("alice", &n.to_string(), "READ"))).await;
        match status {
            200 => given.push(n),
            503 => refused += 1,
            _ => panic!("{n}: {status}: {}", String::from_utf8_lossy(&told)),
        }
        if refused == 5 {
            break;
        }
    }
    assert!(refused == 5 && !given.is_empty(), "{refused} were refused, {} given", given.len());
    assert!(place.may(given[0]).await, "what is known is decided on");
    place.kill();
    place.open().await;
    for n in &given {
        assert!(place.may(*n).await, "{n} was acknowledged");
    }
    let (status, _) = ask(place.door(), "POST", GRANT, &root, Some(on("alice", "9999", "READ"))).await;
    assert_eq!(status, 200);
}
