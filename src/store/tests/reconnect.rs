//! Who was cut off: when is what it knows enough to go on from, and when must it read everything?
//!
//! What is written past Trackgate is in no news. It tells apart here who read the changes since then, and does not see it,
//! from who read everything, and does.

use super::replicas::{Replica, three};
use super::*;

const PAST: &str =
    "INSERT INTO grants VALUES (900, 'default', 'user', 'zoe', 'experiment', 'exact', '900', 'READ', NULL, 0, 'x')";

fn knows(store: &Store, id: &str) -> bool {
    !store.grants_on(&home(), Kind::Experiment, id).is_empty()
}

async fn write(database: &Postgres, statement: &'static str) {
    let mut connection = postgres::connect(database).await.unwrap();
    sqlx::query(statement).execute(&mut connection).await.unwrap();
}

/// Breaks the connections of a replica off, with `meanwhile` before new ones get anywhere.
async fn cut(replica: &Replica, meanwhile: impl Future<Output = ()>) {
    replica.wire.silent.store(true, std::sync::atomic::Ordering::Release);
    replica.wire.cut.notify_waiters();
    meanwhile.await;
    replica.wire.silent.store(false, std::sync::atomic::Ordering::Release);
    replica.wire.cut.notify_waiters();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn who_was_cut_off_goes_on_from_the_change_it_saw_last() {
    let Some((_cluster, database, replicas)) = three("goes-on").await else { return };
    let (first, other) = (&replicas[0].store, &replicas[1]);
    for n in 0..5 {
        let read = grant("user:alice", Kind::Experiment, &n.to_string(), Permission::Read);
        first.grant(&home(), read, by()).await.unwrap();
    }
    until("the other has seen all", || knows(&other.store, "4")).await;
    for round in 0..3 {
        let given = grant("user:alice", Kind::Experiment, &(10 + round).to_string(), Permission::Read);
        let taken = grant("user:alice", Kind::Experiment, &round.to_string(), Permission::Read);
        cut(other, async {
            if round == 0 {
                write(&database, PAST).await;
            }
            first.grant(&home(), given.clone(), by()).await.unwrap();
            first.revoke(&home(), taken.subject.clone(), taken.kind, taken.pattern.clone(), by()).await.unwrap();
        })
        .await;
        until("it knows what was given and taken meanwhile", || {
            other.store.current()
                && knows(&other.store, &(10 + round).to_string())
                && !knows(&other.store, &round.to_string())
        })
        .await;
        assert!(!knows(&other.store, "900"), "it read the changes alone");
    }
    // Nothing new is no news either.
    cut(other, async {}).await;
    until("it is current", || other.store.current()).await;
    assert!(!knows(&other.store, "900"));
    assert!(knows(&Store::open(&other.settings(), Clock::System).await.unwrap(), "900"), "who starts reads everything");
}

/// What has become of the database while a replica was cut off.
async fn after(name: &str, become_another: &'static [&'static str]) {
    let Some((_cluster, database, replicas)) = three(name).await else { return };
    let (first, other) = (&replicas[0].store, &replicas[1]);
    for n in 0..3 {
        let read = grant("user:alice", Kind::Experiment, &n.to_string(), Permission::Read);
        first.grant(&home(), read, by()).await.unwrap();
    }
    until("the other has seen all", || knows(&other.store, "2")).await;
    cut(other, async {
        write(&database, PAST).await;
        for statement in become_another {
            write(&database, statement).await;
        }
    })
    .await;
    until("everything was read anew", || other.store.current() && knows(&other.store, "900")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_database_that_has_gone_back_is_read_as_a_whole() {
    after(
        "back",
        &[
            "DELETE FROM news WHERE seq = (SELECT last FROM counters WHERE name = 'changes')",
            "UPDATE counters SET last = last - 1 WHERE name = 'changes'",
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_database_that_went_another_way_to_the_same_number_is_read_as_a_whole() {
    after(
        "another-way",
        &["UPDATE news SET mark = 'another' WHERE seq = (SELECT last FROM counters WHERE name = 'changes')"],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_database_that_went_another_way_and_further_is_read_as_a_whole() {
    after(
        "further",
        &[
            "UPDATE news SET mark = 'another' WHERE seq = (SELECT last FROM counters WHERE name = 'changes')",
            "UPDATE counters SET last = last + 1 WHERE name = 'changes'",
            "INSERT INTO news SELECT last, 'of-user', 'alice', 'next' FROM counters WHERE name = 'changes'",
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_database_that_does_not_tell_of_a_change_is_read_as_a_whole() {
    after(
        "gap",
        &[
            "UPDATE counters SET last = last + 2 WHERE name = 'changes'",
            "INSERT INTO news SELECT last, 'of-user', 'alice', 'next' FROM counters WHERE name = 'changes'",
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_database_that_has_forgotten_the_change_seen_last_is_read_as_a_whole() {
    after("forgotten", &["DELETE FROM news"]).await;
}
