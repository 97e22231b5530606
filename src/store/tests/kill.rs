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

/// Not a test of its own either: logs in and renews without end.
#[test]
fn child_that_logs_in() {
    let (Ok(place), Ok(first)) = (std::env::var(PLACE), std::env::var(FIRST)) else { return };
    let first: u64 = first.parse().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let store = Store::open(&Settings::new(PathBuf::from(place)), Clock::System).await.unwrap();
        store.recognise(&identity("alice@example.com", "1")).await.unwrap();
        for n in first.. {
            let code = NewCode {
                digest: TokenDigest::of(format!("code {n}").as_bytes()),
                owner: user("alice@example.com"),
                redirect: Arc::from("there"),
                challenge: Arc::from("hash"),
                device: Arc::from("laptop"),
                expires: u64::MAX >> 1,
            };
            let digest = code.digest;
            store.offer_code(code).await.unwrap();
            store.redeem_code(digest, "there", "hash", secrets(n, 0)).await.unwrap();
            println!("+{n}");
            store.renew_login(secrets(n, 0).refresh, secrets(n, 1)).await.unwrap();
            println!("-{n}");
        }
    });
}

fn secrets(n: u64, generation: u64) -> Fresh {
    let digest = |what: &str| TokenDigest::of(format!("{what} {n} {generation}").as_bytes());
    Fresh {
        id: TokenId::parse(&format!("{n:08}")).unwrap(),
        access: digest("access"),
        refresh: digest("refresh"),
        lasts: 3_600_000,
        idle: 3_600_000,
        whole: 3_600_000,
    }
}

#[tokio::test]
async fn logins_that_were_given_and_renewed_survive_kill_9() {
    let place = Place::new();
    let address = std::net::IpAddr::from([192, 0, 2, 1]);
    let mut first = 0;
    for round in 0..4_u64 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "store::tests::kill::child_that_logs_in", "--nocapture", "--test-threads=1"])
            .env(PLACE, &place.0)
            .env(FIRST, first.to_string())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        let (mut given, mut renewed) = (std::collections::BTreeSet::new(), std::collections::BTreeSet::new());
        let mut line = String::new();
        while given.len() + renewed.len() < 3 + usize::try_from(round * 5).unwrap() {
            line.clear();
            assert_ne!(lines.read_line(&mut line).unwrap(), 0, "the child ended by itself");
            note(&line, &mut given, &mut renewed);
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let mut rest = String::new();
        lines.read_to_string(&mut rest).unwrap();
        for line in rest.rfind('\n').map_or("", |end| &rest[..=end]).lines() {
            note(line, &mut given, &mut renewed);
        }
        let store = place.open().await;
        for n in &given {
            let shown = store.token(&format!("{n:08}"), &secrets(*n, 0).access, address).unwrap();
            assert!(matches!(shown, TokenShown::Good { .. }), "round {round}: {n} was given: {shown:?}");
            let with = secrets(*n, u64::from(renewed.contains(n))).refresh;
            let next = store.renew_login(with, secrets(*n, 2 + round)).await.unwrap();
            assert!(matches!(next, Redeemed::Given(_)), "round {round}: {n}: {next:?}");
            // The code is used up for good; it ends what it gave.
            let code = TokenDigest::of(format!("code {n}").as_bytes());
            let again = store.redeem_code(code, "there", "hash", secrets(*n + 1_000_000, 0)).await.unwrap();
            assert_eq!(again, Redeemed::Replayed(TokenId::parse(&format!("{n:08}"))), "round {round}: {n}");
        }
        store.close().await;
        first = given.last().unwrap() + 10;
    }
}
