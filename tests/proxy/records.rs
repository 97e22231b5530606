//! Where do audit records of the real program go, what becomes of them when the file is renamed, and of requests when none can be
//! written?

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::Stdio;

use super::reload::ask;
use super::signals::Program;
use crate::harness::{soon, until};

const CALL: &str = "/api/2.0/mlflow/experiments/get?experiment_id=1";

fn lines(file: &Path) -> usize {
    std::fs::read_to_string(file).map_or(0, |text| text.lines().count())
}

/// The same with another place for records.
fn instead(line: &'static str) -> impl FnOnce(String) -> String {
    move |text| {
        let (before, rest) = text.split_once("[audit]\n").unwrap();
        let (_, after) = rest.split_once('\n').unwrap();
        format!("{before}[audit]\n{line}\n{after}")
    }
}

#[tokio::test]
async fn after_a_rename_and_a_sighup_records_go_to_a_new_file_and_none_is_lost() {
    let mut program = Program::start("").await;
    let file = program.folder.path().join("audit.jsonl");
    let old = program.folder.path().join("audit.jsonl.1");
    assert_eq!(ask(program.plain, CALL, "").await.status, 401);
    until("the first record", || lines(&file) == 1).await;
    std::fs::rename(&file, &old).unwrap();
    assert_eq!(ask(program.plain, CALL, "").await.status, 401);
    until("the second record, in the file that was renamed", || lines(&old) == 2).await;
    program.signal("HUP");
    let mut asked = 2;
    soon("a new file", async {
        while lines(&file) == 0 {
            assert_eq!(ask(program.plain, CALL, "").await.status, 401);
            asked += 1;
        }
    })
    .await;
    program.signal("TERM");
    let _ = program.child.wait();
    assert_eq!(lines(&old) + lines(&file), asked);
}

#[tokio::test]
async fn standard_output_takes_all_records_and_nothing_else() {
    let mut program = Program::start_with("", instead("file = \"-\""), Stdio::piped()).await;
    for _ in 0..3 {
        assert_eq!(ask(program.plain, CALL, "").await.status, 401);
    }
    program.signal("TERM");
    let _ = program.child.wait();
    let out = BufReader::new(program.child.stdout.take().unwrap());
    let reasons: Vec<String> = out
        .lines()
        .map(|line| {
            let record: serde_json::Value = serde_json::from_str(&line.unwrap()).unwrap();
            record["reason"].as_str().unwrap().to_owned()
        })
        .collect();
    assert_eq!(reasons, ["no-credential"; 3]);
    assert!(!program.folder.path().join("audit.jsonl").exists());
}

/// Whoever read standard output is gone, and the operator wants answers rather than records: the file is none the worse for it.
#[tokio::test]
async fn a_reader_of_standard_output_that_is_gone_takes_no_record_from_the_file() {
    let both = instead("stdout = true\non_failure = \"allow\"");
    let change = |text: String| {
        let file = text.lines().find(|line| line.starts_with("file = \"")).unwrap().to_owned();
        both(text).replace("stdout = true", &format!("{file}\nstdout = true"))
    };
    let mut program = Program::start_with("", change, Stdio::piped()).await;
    drop(program.child.stdout.take());
    for _ in 0..12 {
        assert_eq!(ask(program.plain, CALL, "").await.status, 401);
    }
    let file = program.folder.path().join("audit.jsonl");
    until("all records in the file", || lines(&file) == 12).await;
    soon("the records that were not copied", async {
        while !program.says("trackgate_audit_lost_total{from=\"stdout\"} 12").await {}
    })
    .await;
    assert!(program.says("trackgate_audit_lost_total{from=\"log\"} 0").await);
    assert!(program.says("trackgate_audit_failing 0").await);
    program.signal("TERM");
    assert_eq!(program.exit().await, 0);
}

#[tokio::test]
async fn a_file_that_cannot_be_opened_anew_is_told_by_the_monitor() {
    let program = Program::start("").await;
    let file = program.folder.path().join("audit.jsonl");
    program.tells("[+] audit_file: ok").await;
    std::fs::remove_file(&file).unwrap();
    std::fs::create_dir(&file).unwrap();
    program.signal("HUP");
    program.tells("[!] audit_file: it cannot be opened anew, the old one stays in use: Is a directory").await;
    assert!(program.says("trackgate_reload_success{part=\"audit_file\"} 0").await);
    std::fs::remove_dir(&file).unwrap();
    program.signal("HUP");
    program.tells("[+] audit_file: ok").await;
    assert!(file.exists(), "without a request");
}

/// Opening it would wait for a reader, and the gate would hear no signal meanwhile.
#[tokio::test]
async fn a_pipe_without_a_reader_ends_the_start_with_a_sentence() {
    let program = Program::start("").await;
    let pipe = program.folder.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let file = program.folder.path().join("trackgate.toml");
    let text = std::fs::read_to_string(&file).unwrap().replace("audit.jsonl", "pipe");
    std::fs::write(&file, text).unwrap();
    let said = std::process::Command::new(env!("CARGO_BIN_EXE_trackgate"))
        .args(["--config".as_ref(), file.as_os_str(), "serve".as_ref()])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&[said.stdout, said.stderr].concat()).into_owned();
    assert!(!said.status.success() && told.contains("cannot open the audit log"), "{told}");
}

#[tokio::test]
async fn a_second_gate_on_one_state_dir_is_told_and_not_turned_away() {
    let first = Program::start("").await;
    let state = format!("{}/state", first.folder.path().display());
    first.tells("[+] state_dir: ok").await;
    let change = |text: String| {
        let (before, rest) = text.split_once("state_dir = \"").unwrap();
        let (_, after) = rest.split_once('"').unwrap();
        format!("{before}state_dir = \"{state}\"{after}")
    };
    let second = Program::start_with("", change, Stdio::null()).await;
    second.tells("[!] state_dir: another gate uses this state_dir too").await;
    drop(first);
    second.tells("[+] state_dir: ok").await;
}

#[tokio::test]
async fn while_no_record_can_be_written_nobody_is_let_in_unless_the_operator_wants_it() {
    // Every write fails as on a full disk.
    let full = "file = \"/dev/full\"";
    let program = Program::start_with("", instead(full), Stdio::null()).await;
    soon("a refusal", async { while ask(program.plain, CALL, "").await.status != 503 {} }).await;
    assert_eq!(ask(program.monitor, "/readyz", "").await.status, 503);

    let program = Program::start_with("", instead("file = \"/dev/full\"\non_failure = \"allow\""), Stdio::null()).await;
    let failing = async || {
        let said = ask(program.monitor, "/metrics", "").await;
        String::from_utf8(said.body).unwrap().contains("\ntrackgate_audit_failing 1")
    };
    soon("a write that fails", async {
        while !failing().await {
            assert_eq!(ask(program.plain, CALL, "").await.status, 401);
        }
    })
    .await;
    for _ in 0..3 {
        assert_eq!(ask(program.plain, CALL, "").await.status, 401, "they go on, unrecorded");
    }
}
