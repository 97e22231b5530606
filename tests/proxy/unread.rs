//! Somebody who reads the logs stops reading: no request waits for them, and none goes unrecorded.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;
use std::sync::Arc;

use serde_json::{Value, json};

use super::reload::ask;
use super::signals::Program;
use crate::harness::forge::Forge;
use crate::harness::issuer::Issuer;
use crate::harness::soon;

const AUDIENCE: &str = "https://localhost";
const CALL: &str = "/api/2.0/mlflow/experiments/get?experiment_id=1";
/// More lines than a pipe holds (64 KiB, pipe(7)).
const MANY: usize = 600;

#[tokio::test]
async fn a_log_that_nobody_reads_holds_up_no_request() {
    let issuer = Issuer::start(vec![Arc::new(Forge::rsa("k1"))]);
    let block = format!(
        "[rates]\nperson = 0\n[[issuer]]\nname = \"test\"\ntitle = \"Test\"\nissuer = \"{}\"\n[issuer.bearer]\naudiences = [\"{AUDIENCE}\"]\n\
         [access]\nadmins = [\"alice@example.com\"]\n",
        issuer.url
    );
    // The upstream is away: each request is told of in the log.
    let program = Program::start_with(&block, |text| text, Stdio::null()).await;
    let token = issuer.bearer(AUDIENCE, &json!({"sub": "a", "email": "alice@example.com", "email_verified": true}));
    let authorization = format!("authorization: Bearer {token}\r\n");
    for _ in 0..MANY {
        let status = ask(program.plain, CALL, &authorization).await.status;
        assert!([502, 503, 504].contains(&status), "{status}");
    }
    assert_eq!(ask(program.monitor, "/livez", "").await.status, 200);
}

#[tokio::test]
async fn an_audit_log_that_nobody_reads_lets_nothing_more_in_until_it_is_read() {
    let beside = |text: String| text.replace("[audit]\n", "[audit]\nstdout = true\nqueue = 16\n");
    let mut program = Program::start_with("[rates]\naddress = 0\n", beside, Stdio::piped()).await;
    soon("a full pipe", async { while ask(program.plain, CALL, "").await.status != 503 {} }).await;
    let refused = ask(program.plain, CALL, "").await;
    let told: Value = serde_json::from_slice(&refused.body).unwrap();
    assert!(told["message"].as_str().unwrap().contains("audit"), "{told}");
    let out = BufReader::new(program.child.stdout.take().unwrap());
    let reader =
        std::thread::spawn(move || out.lines().map_while(Result::ok).filter(|line| line.starts_with('{')).count());
    soon("an answer", async { while ask(program.plain, CALL, "").await.status != 401 {} }).await;
    let file = program.folder.path().join("audit.jsonl");
    program.signal("TERM");
    let _ = program.child.wait();
    let beside = reader.join().unwrap();
    let written = std::fs::read_to_string(file).unwrap().lines().count();
    assert_eq!(beside, written, "both have every record");
}
