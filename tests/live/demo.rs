//! Does the demo do what it says, and end everything that it started?

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::stage::keep::Kept;
use crate::stage::{Fault, free_port, output, run};

/// The demo, which `cargo test` builds beside the tests.
fn demo() -> Command {
    let here = std::env::current_exe().unwrap();
    let built = here.ancestors().nth(2).unwrap().join("examples/demo");
    assert!(built.exists(), "{} is not built: `cargo test` without a filter on targets builds it", built.display());
    Command::new(built)
}

/// Processes whose environment holds a mark: the demo, and all that it started.
fn marked(mark: &str) -> Vec<PathBuf> {
    fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|process| {
            fs::read(process.join("environ")).is_ok_and(|found| String::from_utf8_lossy(&found).contains(mark))
        })
        .collect()
}

/// Who is still there when those that were killed have had the time to be gone.
fn left_of(mark: &str) -> Vec<PathBuf> {
    let begun = Instant::now();
    loop {
        let left = marked(mark);
        if left.is_empty() || begun.elapsed() > Duration::from_secs(5) {
            return left;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_server_ends_with_its_keeper_and_so_do_its_children() {
    if !fs::exists("/proc/self/environ").unwrap() {
        return;
    }
    let mark = format!("TRACKGATE_KEEP_MARK={}", std::process::id());
    let (name, value) = mark.split_once('=').unwrap();
    let log = crate::house::folder("keep").join("log");
    let mut family = Command::new("sh");
    family.args(["-c", "sleep 600 & sleep 600 & echo up; wait"]).env(name, value);
    let mut kept = Kept::start("a family", &family, &log).unwrap();
    kept.wait(Duration::from_secs(10), || fs::read_to_string(&log).is_ok_and(|log| log.contains("up"))).unwrap();
    assert!(marked(&mark).len() >= 3);
    drop(kept);
    assert_eq!(left_of(&mark), Vec::<PathBuf>::new());
}

#[test]
fn a_server_that_ends_by_itself_is_reported_with_its_last_words() {
    let log = crate::house::folder("keep").join("brief");
    let mut brief = Command::new("sh");
    brief.args(["-c", "echo no such database >&2; exit 3"]);
    let mut kept = Kept::start("brief", &brief, &log).unwrap();
    let fault = kept.wait(Duration::from_secs(10), || false).unwrap_err();
    assert!(matches!(&fault, Fault::Ended { said, .. } if said == "no such database"), "{fault}");
}

#[test]
fn a_port_that_is_taken_is_said_in_one_sentence_before_anything_is_started() {
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = taken.local_addr().unwrap().port();
    let begun = Instant::now();
    let done = output(demo().args(["--port", &port.to_string()])).unwrap();
    let said = String::from_utf8_lossy(&done.stderr);
    assert_eq!(done.status.code(), Some(1));
    assert_eq!(
        said.trim(),
        format!(
            "demo: port {port} is already taken on this machine; end what listens there, or choose another with `--port`"
        )
    );
    assert!(begun.elapsed() < Duration::from_secs(5));
}

#[test]
fn the_demo_shows_who_is_allowed_and_who_is_refused_and_ends_all_it_started() {
    let mark = format!("TRACKGATE_DEMO_MARK={}", std::process::id());
    let (name, value) = mark.split_once('=').unwrap();
    let (port, idp) = (free_port().unwrap().to_string(), free_port().unwrap().to_string());
    let folder = crate::house::folder("demo");
    let mut demo = demo()
        .args(["--port", &port, "--idp-port", &idp, "--folder"])
        .arg(&folder)
        .env(name, value)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = String::new();
    let mut lines = BufReader::new(demo.stdout.take().unwrap()).lines();
    for line in &mut lines {
        let line = line.unwrap();
        said.push_str(&line);
        said.push('\n');
        if line.contains("Ctrl-C") {
            break;
        }
    }
    let mut faults = String::new();
    if !said.contains("Ctrl-C") {
        demo.stderr.take().unwrap().read_to_string(&mut faults).unwrap();
    }
    let url = format!("https://localhost:{port}");
    for wanted in
        ["owner@demo.example", "guest@demo.example", "200", "403", &url, "MLFLOW_TRACKING_TOKEN", "audit.jsonl"]
    {
        assert!(said.contains(wanted), "`{wanted}` is not in what the demo said:\n{said}{faults}");
    }
    if fs::exists("/proc/self/environ").unwrap() {
        assert!(marked(&mark).len() > 3, "MLflow, Trackgate and the demo carry the mark");
    }
    run(Command::new("kill").args(["-INT", &demo.id().to_string()])).unwrap();
    assert_eq!(demo.wait().unwrap().code(), Some(130));
    assert_eq!(left_of(&mark), Vec::<PathBuf>::new(), "still running after Ctrl-C");
}
