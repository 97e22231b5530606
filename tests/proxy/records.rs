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
