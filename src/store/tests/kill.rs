//! What was acknowledged survives `kill -9` at any moment.
//!
//! The child is this very test program, which runs [`child`] alone and says on its standard output what was
//! acknowledged to it.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Command, Stdio};

use super::*;

const PLACE: &str = "TRACKGATE_TEST_KILL_PLACE";
const FIRST: &str = "TRACKGATE_TEST_KILL_FIRST";

/// Not a test of its own: without the variables it does nothing.
#[test]
fn child() {
    let (Ok(place), Ok(first)) = (std::env::var(PLACE), std::env::var(FIRST)) else { return };
    let first: u64 = first.parse().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let store = Store::open(&Settings::new(PathBuf::from(place)), Clock::System).await.unwrap();
        for n in first.. {
            // Give one, take the one before the last back: both must last.
            let read = grant("user:alice@example.com", Kind::Experiment, &n.to_string(), Permission::Read);
            store.grant(&home(), read, by()).await.unwrap();
            println!("+{n}");
            if let Some(old) = n.checked_sub(2) {
                let read = grant("user:alice@example.com", Kind::Experiment, &old.to_string(), Permission::Read);
                store.revoke(&home(), read.subject, read.kind, read.pattern, by()).await.unwrap();
                println!("-{old}");
            }
        }
    });
}

#[tokio::test]
async fn what_was_acknowledged_survives_kill_9_at_any_moment() {
    let place = Place::new();
    let mut given = std::collections::BTreeSet::new();
    let mut taken = std::collections::BTreeSet::new();
    let mut first = 0;
    for round in 0..12_u64 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "store::tests::kill::child", "--nocapture", "--test-threads=1"])
            .env(PLACE, &place.0)
            .env(FIRST, first.to_string())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        // At another point of another transaction each time: a number of acknowledgements, then some busy turns.
        let until = 3 + round * 7 % 23;
        let mut acknowledged = 0;
        let mut line = String::new();
        while acknowledged < until {
            line.clear();
            assert_ne!(lines.read_line(&mut line).unwrap(), 0, "the child ended by itself");
            acknowledged += u64::from(note(&line, &mut given, &mut taken));
        }
        for _ in 0..round * 2000 {
            std::hint::spin_loop();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        // What it still said before it died was acknowledged too; a line without an end was not said.
        let mut rest = String::new();
        lines.read_to_string(&mut rest).unwrap();
        let whole = rest.rfind('\n').map_or("", |end| &rest[..=end]);
        for line in whole.lines() {
            note(line, &mut given, &mut taken);
        }

        let store = place.open().await;
        let held: std::collections::BTreeSet<u64> = store
            .grants()
            .iter()
            .map(|record| match &record.grant.pattern {
                Pattern::Exactly(id) => id.parse().unwrap(),
                Pattern::Prefix(_) | Pattern::Glob(_) => panic!("never granted"),
            })
            .collect();
        store.close().await;
        let lost: Vec<_> = given.difference(&taken).filter(|n| !held.contains(n)).collect();
        // One change may have been made and not acknowledged: the revocation of the last but one.
        let newest = given.iter().max().copied().unwrap_or_default();
        assert!(lost.iter().all(|n| **n + 2 >= newest) && lost.len() <= 1, "round {round}: lost {lost:?} of {newest}");
        let back: Vec<_> = taken.intersection(&held).collect();
        assert!(back.is_empty(), "round {round}: revoked and there again: {back:?}");
        first = newest + 2;
        given = held;
        taken.clear();
    }
}

/// Whether the line is an acknowledgement.
fn note(line: &str, given: &mut std::collections::BTreeSet<u64>, taken: &mut std::collections::BTreeSet<u64>) -> bool {
    let line = line.trim();
    if let Some(n) = line.strip_prefix('+').and_then(|n| n.parse().ok()) {
        given.insert(n);
        return true;
    }
    if let Some(n) = line.strip_prefix('-').and_then(|n| n.parse().ok()) {
        taken.insert(n);
        return true;
    }
    false
}
