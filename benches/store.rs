//! What does the store cost at scale: 50,000 users, 5,000 groups, 1,000,000 grants?
//!
//! `cargo bench --bench store`, on SQLite in the temporary folder; on PostgreSQL too with `TRACKGATE_BENCH_POSTGRES` set to
//! the address of an empty database. Prints the memory of the snapshot, the time to load it, the time from an identity to
//! a decision, the cost of one change, and the time until another process shows it.

#![allow(clippy::unwrap_used, reason = "a benchmark may panic")]

use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use sqlx::{ConnectOptions as _, Connection as _};
use trackgate::access::decide::{Requirement, decide};
use trackgate::access::grant::{Grant, Pattern, Subject};
use trackgate::access::identity::{Identity, Proof};
use trackgate::clock::Clock;
use trackgate::mlflow::ids::{UserName, WorkspaceName};
use trackgate::mlflow::permission::{Action, Permission};
use trackgate::mlflow::resource::{Kind, Resource};
use trackgate::store::{By, Engine, Postgres, Settings, Store, copy};

const USERS: u64 = 50_000;
const GROUPS: u64 = 5_000;
const GRANTS: u64 = 1_000_000;

/// Each user is in five groups; of the grants, nine in ten are people's own, and one in ten a group's.
const FILL: &[&str] = &[
    "INSERT INTO users (id, name, created) WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 49999) \
     SELECT i + 1, 'user' || i || '@example.com', 0 FROM n",
    "INSERT INTO identities (issuer, user_name, subject, first_seen) SELECT 'https://idp.test', name, name, 0 FROM users",
    "INSERT INTO user_groups (id, name, created) WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n \
     WHERE i < 4999) SELECT i + 1, 'group' || i, 0 FROM n",
    "INSERT INTO memberships SELECT 'group' || ((users.id * 7 + k.v * 911) % 5000), users.name, 0 \
     FROM users, (SELECT 0 AS v UNION ALL SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3 UNION ALL SELECT 4) AS k",
    "INSERT INTO grants WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 999999) \
     SELECT i + 1, 'default', CASE WHEN i % 10 = 0 THEN 'group' ELSE 'user' END, \
     CASE WHEN i % 10 = 0 THEN 'group' || ((i / 10) % 5000) ELSE 'user' || (i % 50000) || '@example.com' END, \
     'experiment', 'exact', CAST((i * 31) % 300000 + (i / 300000) * 300000 AS TEXT), 'EDIT', NULL, 0, 'operator bench' FROM n",
    "UPDATE counters SET last = 1000000 WHERE name = 'grants'",
    "UPDATE counters SET last = 50000 WHERE name = 'users'",
    "UPDATE counters SET last = 5000 WHERE name = 'groups'",
];

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("trackgate-bench-{name}-{}", std::process::id()));
        std::fs::DirBuilder::new().mode(0o700).create(&path).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// What this process has in memory, in bytes.
fn memory() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    pages.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
}

fn name(index: u64) -> UserName {
    UserName::parse(&format!("user{}@example.com", index % USERS)).unwrap()
}

fn identity(index: u64) -> Arc<Identity> {
    Arc::new(Identity {
        user: name(index),
        issuer: Arc::from("https://idp.test"),
        subject: Arc::from(name(index).as_str()),
        groups: Vec::new(),
        proof: Proof::Bearer,
        until: SystemTime::now() + Duration::from_hours(1),
        token: None,
    })
}

fn read(subject: u64, experiment: u64) -> Grant {
    let id = Arc::from((10_000_000 + experiment).to_string());
    let (kind, permission) = (Kind::Experiment, Permission::Read);
    Grant { subject: Subject::User(name(subject)), kind, pattern: Pattern::Exactly(id), permission }
}

fn show(what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let at = |part: usize| times[(times.len() - 1) * part / 100];
    println!("  {what}: median {:?}, 99 of 100 within {:?}", at(50), at(99));
}

async fn measure(settings: &Settings, from: u64) {
    let before = memory();
    let begun = Instant::now();
    let store = Store::open(settings, Clock::System).await.unwrap();
    println!("  time to load: {:?}", begun.elapsed());
    println!("  memory: {} MiB", memory().saturating_sub(before) >> 20);
    assert_eq!(store.users().len() as u64, USERS);

    let home = WorkspaceName::default();
    let identities: Vec<_> = (0..5000).map(|index| identity(index * 37)).collect();
    let asked =
        [Requirement::Holds { action: Action::Read, resource: Resource::top(Kind::Experiment, Arc::from("299999")) }];
    for round in ["first", "later"] {
        let (mut gathering, mut deciding) =
            (Vec::with_capacity(identities.len()), Vec::with_capacity(identities.len()));
        for identity in &identities {
            let begun = Instant::now();
            let principal = store.principal(Arc::clone(identity), &home).unwrap();
            gathering.push(begun.elapsed());
            let begun = Instant::now();
            let _ = std::hint::black_box(decide(Some(principal), &asked, ()));
            deciding.push(begun.elapsed());
        }
        show(&format!("grants gathered for somebody, the {round} time"), gathering);
        show(&format!("one decision by them, the {round} time"), deciding);
    }
    println!("  memory after {} people have come: {} MiB", identities.len(), memory().saturating_sub(before) >> 20);

    let other = Store::open(settings, Clock::System).await.unwrap();
    let (mut costs, mut shows) = (Vec::new(), Vec::new());
    for index in 0..100 {
        let begun = Instant::now();
        let made = store.add_grant(&home, read(index * 97, from + index), None, By::Trackgate).await.unwrap();
        costs.push(begun.elapsed());
        let begun = Instant::now();
        while index < 20 && other.grant_by_id(made.id).is_none() {
            tokio::time::sleep(Duration::from_micros(200)).await;
        }
        if index < 20 {
            shows.push(begun.elapsed());
        }
    }
    show("one change, acknowledged", costs);
    show("until another process shows it", shows);
    other.close().await;
    store.close().await;
}

fn main() {
    // `cargo test --benches` only wants to see that it runs.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    trackgate::cli::install_crypto();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        println!("{USERS} users, {GROUPS} groups, {GRANTS} grants");
        let folder = Folder::new("sqlite");
        let sqlite = Settings::new(folder.0.clone());
        Store::open(&sqlite, Clock::System).await.unwrap().close().await;
        let file = folder.0.join("trackgate.db");
        let mut connection = sqlx::sqlite::SqliteConnectOptions::new().filename(file).connect().await.unwrap();
        for statement in FILL {
            sqlx::query(*statement).execute(&mut connection).await.unwrap();
        }
        connection.close().await.unwrap();
        println!("SQLite");
        measure(&sqlite, 0).await;
        if let Ok(address) = std::env::var("TRACKGATE_BENCH_POSTGRES") {
            println!("PostgreSQL");
            let engine = Engine::Postgres(Postgres::parse(&address).unwrap());
            let keys = Folder::new("postgres");
            let postgres = Settings { engine, ..Settings::new(keys.0.clone()) };
            let begun = Instant::now();
            // The SQLite one has what was measured too: nothing else is in it.
            copy(&sqlite, &postgres).await.unwrap();
            println!("  time to copy: {:?}", begun.elapsed());
            measure(&postgres, 1000).await;
        }
    });
}
