use std::path::Path;
use std::time::Instant;

use super::*;
use crate::access::decide::Reason;
use crate::access::grant::{Pattern, Subject};
use crate::mlflow::ids::UserName;
use crate::mlflow::permission::{Action, Permission};
use crate::mlflow::resource::{Kind, Object};

fn settings(path: &Path, on_failure: OnFailure, queue: usize) -> Settings {
    Settings { to: Target::File(path.to_owned()), fsync: Fsync::Always, on_failure, queue, ..Settings::default() }
}

fn folder(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("trackgate-audit-{}-{name}", std::process::id()));
    std::fs::create_dir_all(&path).unwrap();
    path
}

fn wait_for(what: &str, mut done: impl FnMut() -> bool) {
    let began = Instant::now();
    while !done() {
        assert!(began.elapsed() < Duration::from_secs(10), "{what}");
        std::thread::yield_now();
    }
}

#[test]
fn a_dropped_record_is_written_with_all_it_knows() {
    let path = folder("dropped").join("audit.jsonl");
    let _ = std::fs::remove_file(&path);
    let (log, writer) = Log::open(&settings(&path, OnFailure::Refuse, 8), Clock::System).unwrap();
    let mut record = log.begin().unwrap();
    record.arrived("192.0.2.7".parse().unwrap(), &http::Method::POST, "/api/2.0/mlflow/runs/create");
    record.call("CreateRun");
    record.objects(vec![Object { kind: Kind::Experiment, id: Arc::from("12") }]);
    record.allowed(&[Reason::Grant {
        subject: Subject::User(UserName::parse("alice@example.com").unwrap()),
        role: None,
        kind: Kind::Experiment,
        pattern: Pattern::Exactly(Arc::from("12")),
        permission: Permission::Edit,
        action: Action::Edit,
    }]);
    record.status(http::StatusCode::OK);
    record.sent(17);
    record.complete();
    drop(record);
    drop(log.begin().unwrap());
    drop(log);
    writer.finish(Duration::from_secs(10));

    let text = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 2);
    assert_eq!(lines[0]["call"], "CreateRun");
    assert_eq!(lines[0]["objects"][0], "experiment:12");
    assert_eq!(lines[0]["decision"], "allow");
    assert_eq!(lines[0]["reason"], "grant");
    assert_eq!(lines[0]["because"], "edit wanted; user alice@example.com holds EDIT on experiment 12");
    assert_eq!(lines[0]["status"], 200);
    assert_eq!(lines[0]["bytes"], 17);
    assert_eq!(lines[1]["reason"], "unfinished");
    assert_eq!(lines[1]["cut_off"], true);
}

#[test]
fn control_characters_of_a_path_never_break_a_line() {
    let path = folder("control").join("audit.jsonl");
    let _ = std::fs::remove_file(&path);
    let (log, writer) = Log::open(&settings(&path, OnFailure::Refuse, 8), Clock::System).unwrap();
    let mut record = log.begin().unwrap();
    record.arrived("::1".parse().unwrap(), &http::Method::GET, "/a\n{\"decision\":\"allow\"}\u{1b}[31m");
    drop(record);
    drop(log);
    writer.finish(Duration::from_secs(10));
    let text = std::fs::read_to_string(&path).unwrap();
    assert_eq!(text.lines().count(), 1);
    assert!(!text.contains('\u{1b}'));
}

#[test]
fn while_the_disk_is_full_requests_are_refused_and_no_record_is_lost_in_silence() {
    // Every write to /dev/full fails as on a full disk.
    let (log, _writer) = Log::open(&settings(Path::new("/dev/full"), OnFailure::Refuse, 8192), Clock::System).unwrap();
    drop(log.begin().unwrap());
    wait_for("the writer notices the full disk", || log.begin().err() == Some(Unwritable::Failing));
}

#[test]
fn an_operator_may_choose_to_go_on_without_records() {
    let (log, _writer) = Log::open(&settings(Path::new("/dev/full"), OnFailure::Allow, 1), Clock::System).unwrap();
    drop(log.begin().unwrap());
    for _ in 0..100 {
        drop(log.begin().unwrap());
    }
    wait_for("one that went on without a record is counted", || {
        drop(log.begin().unwrap());
        log.health().unrecorded() > 0
    });
}

#[test]
fn records_that_wait_for_the_writer_bound_what_is_let_in() {
    let path = folder("queue").join("audit.jsonl");
    let (log, _writer) = Log::open(&settings(&path, OnFailure::Refuse, 1), Clock::System).unwrap();
    wait_for("the writer falls behind", || match log.begin() {
        Ok(record) => {
            drop(record);
            false
        }
        Err(fault) => fault == Unwritable::Full,
    });
    wait_for("the writer has caught up", || log.begin().is_ok());
}

#[test]
fn whoever_reads_slowly_keeps_nobody_out() {
    let path = folder("slow").join("audit.jsonl");
    let _ = std::fs::remove_file(&path);
    let (log, writer) = Log::open(&settings(&path, OnFailure::Refuse, 1), Clock::System).unwrap();
    let under_way: Vec<Record> = (0..100).map(|_| log.begin().unwrap()).collect();
    drop(under_way);
    drop(log);
    writer.finish(Duration::from_secs(10));
    assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), 100);
}

#[test]
fn after_a_rotation_records_go_to_the_new_file() {
    let folder = folder("rotation");
    let (path, old) = (folder.join("audit.jsonl"), folder.join("audit.jsonl.1"));
    let _ = std::fs::remove_file(&path);
    let (log, writer) = Log::open(&settings(&path, OnFailure::Refuse, 8), Clock::System).unwrap();
    drop(log.begin().unwrap());
    wait_for("the first record is written", || std::fs::metadata(&path).is_ok_and(|file| file.len() > 0));
    std::fs::rename(&path, &old).unwrap();
    log.reopen();
    drop(log.begin().unwrap());
    drop(log);
    writer.finish(Duration::from_secs(10));
    assert_eq!(std::fs::read_to_string(&old).unwrap().lines().count(), 1);
    assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), 1);
}

#[test]
fn an_idle_gate_opens_the_new_file_at_once() {
    let folder = folder("idle");
    let (path, old) = (folder.join("audit.jsonl"), folder.join("audit.jsonl.1"));
    let (log, writer) = Log::open(&settings(&path, OnFailure::Refuse, 8), Clock::System).unwrap();
    std::fs::rename(&path, &old).unwrap();
    log.reopen();
    wait_for("the new file", || path.exists());
    drop(log);
    writer.finish(Duration::from_secs(10));
}

#[test]
fn a_file_that_cannot_be_opened_anew_is_told_until_it_can() {
    let folder = folder("stale");
    let (path, old) = (folder.join("audit.jsonl"), folder.join("audit.jsonl.1"));
    let _ = (std::fs::remove_file(&path), std::fs::remove_file(&old), std::fs::remove_dir(&path));
    let (log, writer) = Log::open(&settings(&path, OnFailure::Refuse, 8), Clock::System).unwrap();
    assert_eq!(log.health().is_reopened(), Ok(()));
    std::fs::rename(&path, &old).unwrap();
    std::fs::create_dir(&path).unwrap();
    log.reopen();
    wait_for("it is told", || log.health().is_reopened().is_err());
    drop(log.begin().unwrap());
    wait_for("the old file has the record", || std::fs::metadata(&old).is_ok_and(|file| file.len() > 0));
    assert!(log.health().is_reopened().is_err() && !log.health().is_failing());
    std::fs::remove_dir(&path).unwrap();
    drop(log.begin().unwrap());
    wait_for("the next record tries again", || log.health().is_reopened().is_ok());
    drop(log);
    writer.finish(Duration::from_secs(10));
    assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), 1);
}

#[test]
fn lines_of_two_gates_in_one_file_stay_whole() {
    let path = folder("two").join("audit.jsonl");
    let _ = std::fs::remove_file(&path);
    let gates = [(); 2].map(|()| Log::open(&settings(&path, OnFailure::Refuse, 8192), Clock::System).unwrap());
    let writers = gates.map(|(log, writer)| {
        std::thread::spawn(move || {
            for _ in 0..500 {
                drop(log.begin().unwrap());
            }
            drop(log);
            writer.finish(Duration::from_secs(10));
        })
    });
    for writer in writers {
        writer.join().unwrap();
    }
    let text = std::fs::read_to_string(&path).unwrap();
    let whole = text.lines().filter(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()).count();
    assert_eq!((whole, text.lines().count()), (1000, 1000));
}

#[test]
fn records_for_cloud_logging_say_how_much_they_matter_and_are_linked_to_their_trace() {
    let path = folder("cloud").join("audit.jsonl");
    let _ = std::fs::remove_file(&path);
    let google_project = Some("my-project".to_owned());
    let settings = Settings { google_project, ..settings(&path, OnFailure::Refuse, 8) };
    let (log, writer) = Log::open(&settings, Clock::System).unwrap();
    let mut headers = http::HeaderMap::new();
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    headers.insert("traceparent", http::HeaderValue::from_static(parent));
    let mut record = log.begin().unwrap();
    record.trace(crate::trace_context::TraceContext::of(&headers));
    record.refused(Outcome::Deny, "no-grant", None, None);
    drop(record);
    let mut record = log.begin().unwrap();
    record.allowed(&[]);
    drop(record);
    drop(log.begin().unwrap());
    drop(log);
    writer.finish(Duration::from_secs(10));
    let text = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let severities: Vec<_> = lines.iter().map(|line| line["severity"].as_str().unwrap()).collect();
    assert_eq!(severities, ["NOTICE", "INFO", "ERROR"], "refused, allowed, unfinished");
    assert_eq!(lines[0]["logging.googleapis.com/trace"], "projects/my-project/traces/4bf92f3577b34da6a3ce929d0e0e4736");
    assert_eq!(lines[0]["logging.googleapis.com/spanId"], "00f067aa0ba902b7");
    assert_eq!(lines[0]["logging.googleapis.com/trace_sampled"], true);
    assert!(lines[1].get("logging.googleapis.com/trace").is_none());
}

/// What is no disk cannot be synchronised with (fsync(2): EINVAL), and takes every write: so that is seen which is asked for.
#[test]
fn a_batch_is_synchronised_with_the_disk_if_that_is_asked_for() {
    let open =
        |fsync| Log::open(&Settings { fsync, ..settings(Path::new("/dev/null"), OnFailure::Refuse, 8) }, Clock::System);
    let (log, _writer) = open(Fsync::Always).unwrap();
    drop(log.begin().unwrap());
    wait_for("it counts as unwritten", || log.begin().err() == Some(Unwritable::Failing));
    let (log, writer) = open(Fsync::Never).unwrap();
    drop(log.begin().unwrap());
    wait_for("the record is written", || log.health().waiting() == 0);
    assert!(!log.health().is_failing());
    drop(log);
    writer.finish(Duration::from_secs(10));
}
