//! Three processes' stores on one PostgreSQL: who still gets in after somebody else took it away, and what is lost when
//! the server, the network or a writer goes? What is measured is printed: `cargo test --lib replicas -- --nocapture`.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use tokio::net::{UnixListener, UnixStream};

use super::cluster::{Cluster, start};
use super::roles::all;
use super::*;
use crate::mlflow::ids::RoleName;

/// The stated bound is a second; a busy machine may need more.
const MARGIN: Duration = Duration::from_secs(10);
const BOUND: Duration = Duration::from_secs(2);

/// A store as another process would have it, whose way to the server can be cut.
pub(super) struct Replica {
    pub(super) store: Store,
    pub(super) wire: Arc<Wire>,
    settings: Settings,
    _place: Place,
}

/// What lies between a store and its server.
#[derive(Default)]
pub(super) struct Wire {
    /// Nothing passes, and nobody is told.
    pub(super) silent: AtomicBool,
    pub(super) cut: Notify,
}

impl Replica {
    pub(super) fn settings(&self) -> Settings {
        self.settings.clone()
    }
}

pub(super) async fn replica(cluster: &Cluster, database: &Postgres) -> Replica {
    let wire = Arc::new(Wire::default());
    let place = Place::with(Engine::Postgres(Postgres { host: String::new(), ..database.clone() }));
    let far = cluster.folder.join(".s.PGSQL.5432");
    let near = UnixListener::bind(place.0.join(".s.PGSQL.5432")).unwrap();
    tokio::spawn(pass(near, far, Arc::clone(&wire)));
    let host = place.0.display().to_string();
    let settings = Settings {
        engine: Engine::Postgres(Postgres { host, ..database.clone() }),
        poll: Duration::from_millis(200),
        stale_after: BOUND,
        ..place.settings()
    };
    let store = Store::open(&settings, Clock::System).await.unwrap();
    Replica { store, wire, settings, _place: place }
}

async fn pass(near: UnixListener, far: PathBuf, wire: Arc<Wire>) {
    while let Ok((one, _)) = near.accept().await {
        let (far, wire) = (far.clone(), Arc::clone(&wire));
        tokio::spawn(async move {
            let Ok(other) = UnixStream::connect(&far).await else { return };
            let (mut from_one, mut to_one) = one.into_split();
            let (mut from_other, mut to_other) = other.into_split();
            let there = carry(&mut from_one, &mut to_other, &wire);
            let back = carry(&mut from_other, &mut to_one, &wire);
            tokio::select! { () = there => {}, () = back => {}, () = wire.cut.notified() => {} }
        });
    }
}

async fn carry(from: &mut tokio::net::unix::OwnedReadHalf, to: &mut tokio::net::unix::OwnedWriteHalf, wire: &Wire) {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        while wire.silent.load(Ordering::Acquire) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        if to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}

pub(super) async fn three(name: &str) -> Option<(Cluster, Postgres, Vec<Replica>)> {
    let cluster = start(name)?;
    let database = Postgres::parse(&cluster.address(&cluster.database().await)).unwrap();
    let mut replicas = Vec::new();
    for _ in 0..3 {
        replicas.push(replica(&cluster, &database).await);
    }
    Some((cluster, database, replicas))
}

/// Asks again and again, and remembers when it was last told yes.
fn asking(ask: impl Fn() -> bool + Send + 'static) -> (Arc<AtomicU64>, Instant, tokio::task::JoinHandle<()>) {
    let begun = Instant::now();
    let last = Arc::new(AtomicU64::new(0));
    let note = Arc::clone(&last);
    let task = tokio::spawn(async move {
        loop {
            let asked = begun.elapsed();
            if ask() {
                note.store(u64::try_from(asked.as_micros()).unwrap(), Ordering::Release);
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
    (last, begun, task)
}

/// Makes a change on the first replica, and measures when each was last told yes after the change was acknowledged.
async fn last_yes<F: Future<Output = ()>>(
    what: &str,
    replicas: &[Replica],
    ask: impl Fn(&Store) -> bool + Clone + Send + 'static,
    change: impl FnOnce(Store) -> F,
) {
    for replica in replicas {
        until(&format!("{what}: yes at first"), || ask(&replica.store)).await;
    }
    let askers: Vec<_> = replicas
        .iter()
        .map(|replica| {
            let (store, ask) = (replica.store.clone(), ask.clone());
            asking(move || ask(&store))
        })
        .collect();
    change(replicas[0].store.clone()).await;
    let acknowledged = Instant::now();
    assert!(!ask(&replicas[0].store), "{what}: who makes a change sees it before it is acknowledged");
    for replica in replicas {
        until(&format!("{what}: no everywhere"), || !ask(&replica.store)).await;
    }
    let mut told = Vec::new();
    for (last, begun, task) in askers {
        task.abort();
        let at = begun + Duration::from_micros(last.load(Ordering::Acquire));
        let late = at.saturating_duration_since(acknowledged);
        assert!(late < MARGIN, "{what}: still allowed after {late:?}");
        told.push(format!("{:.1} ms", late.as_secs_f64() * 1000.0));
    }
    println!("last allowed after the acknowledgement of {what}: {}", told.join(", "));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_one_replica_takes_away_is_gone_from_all_within_a_second() {
    let Some((_cluster, _, replicas)) = three("replicas").await else { return };
    let first = &replicas[0].store;
    let alice = identity("alice", "1");
    first.recognise(&alice).await.unwrap();
    let read = grant("user:alice", Kind::Experiment, "7", Permission::Read);
    let role = first.create_role(&home(), &RoleName::parse("readers").unwrap(), "", by()).await.unwrap();
    let may = {
        let alice = Arc::clone(&alice);
        move |id: &'static str| {
            let alice = Arc::clone(&alice);
            move |store: &Store| {
                let principal = store.principal(Arc::clone(&alice), &home());
                principal.is_ok_and(|principal| holds(&principal, Action::Read, &experiment(id)).is_ok())
            }
        }
    };

    for round in 0..3 {
        first.grant(&home(), read.clone(), by()).await.unwrap();
        let taken = read.clone();
        last_yes(&format!("a revoked grant ({round})"), &replicas, may("7"), async |store| {
            store.revoke(&home(), taken.subject, taken.kind, taken.pattern, by()).await.unwrap();
        })
        .await;
    }

    let held = Grant { subject: Subject::Role(role.id), ..grant("user:x", Kind::Experiment, "8", Permission::Read) };
    let given = first.add_grant(&home(), held, None, by()).await.unwrap();
    first.assign(role.id, &Subject::User(user("alice")), None, by()).await.unwrap();
    last_yes("a changed role", &replicas, may("8"), async |store| {
        store.change_grant(given.id, Permission::Deny, None, by()).await.unwrap();
    })
    .await;

    let key = SessionKey::of(b"cookie");
    let new = NewSession { key, identity: Arc::clone(&alice), provider: Arc::from("idp"), logout_hint: None };
    first.open_session(new).await.unwrap();
    let signed_in = move |store: &Store| store.session(&key).is_ok_and(|session| session.is_some());
    last_yes("a logout", &replicas, signed_in, async |store| {
        store.end_session(&key).await.unwrap();
    })
    .await;

    first.grant(&home(), read, by()).await.unwrap();
    last_yes("a removed user", &replicas, may("7"), async |store| {
        store.remove_user(&user("alice"), by()).await.unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_replica_that_is_cut_off_refuses_once_its_bound_has_passed_and_comes_back_with_the_truth() {
    let Some((_cluster, _, replicas)) = three("cut").await else { return };
    let (first, cut) = (&replicas[0].store, &replicas[1]);
    let alice = identity("alice", "1");
    first.recognise(&alice).await.unwrap();
    let read = grant("user:alice", Kind::Experiment, "7", Permission::Read);
    let ask = {
        let alice = Arc::clone(&alice);
        move |store: &Store| {
            let principal = store.principal(Arc::clone(&alice), &home());
            principal.is_ok_and(|principal| holds(&principal, Action::Read, &experiment("7")).is_ok())
        }
    };
    for silent in [true, false] {
        first.grant(&home(), read.clone(), by()).await.unwrap();
        until("the other sees the grant", || ask(&cut.store)).await;
        let store = cut.store.clone();
        let again = ask.clone();
        let (last, begun, task) = asking(move || again(&store));
        cut.wire.silent.store(true, Ordering::Release);
        if !silent {
            // The connections end, and new ones hang.
            cut.wire.cut.notify_waiters();
        }
        let before = Instant::now();
        first.revoke(&home(), read.subject.clone(), read.kind, read.pattern.clone(), by()).await.unwrap();
        until("it is not current", || !cut.store.current()).await;
        assert!(matches!(cut.store.principal(Arc::clone(&alice), &home()).unwrap_err(), PrincipalFault::NotCurrent));
        assert!(cut.store.session(&SessionKey::of(b"x")).is_err(), "sessions neither");
        cut.wire.silent.store(false, Ordering::Release);
        cut.wire.cut.notify_waiters();
        until_long("it is current again", || cut.store.current()).await;
        assert!(!ask(&cut.store), "what was taken back meanwhile stays so");
        task.abort();
        let late = (begun + Duration::from_micros(last.load(Ordering::Acquire))).saturating_duration_since(before);
        assert!(late < BOUND + MARGIN, "allowed for {late:?} after the cut");
        let how = if silent { "goes silent" } else { "is cut" };
        println!("a network that {how}: last allowed {:.0} ms after it, bound {BOUND:?}", late.as_secs_f64() * 1000.0);
    }
}

async fn until_long(what: &str, mut done: impl FnMut() -> bool) {
    for _ in 0..6000 {
        if done() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("waited a minute in vain: {what}");
}

/// What is known of an experiment's grant: given, taken, or either, where the answer was lost.
type Known = BTreeMap<u64, Option<bool>>;

fn agree(store: &Store, known: &Known, who: &str) {
    for (n, given) in known {
        let there = !store.grants_on(&home(), Kind::Experiment, &n.to_string()).is_empty();
        if let Some(given) = given {
            assert_eq!(there, *given, "{who}: experiment {n}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_server_that_crashes_amid_writes_loses_nothing_acknowledged_and_brings_nothing_back() {
    let Some((cluster, database, replicas)) = three("crash").await else { return };
    let cluster = Arc::new(cluster);
    let mut known = Known::new();
    let mut next = 0;
    for _ in 0..3 {
        let crashing = Arc::clone(&cluster);
        let crash = tokio::task::spawn_blocking(move || crashing.crash());
        let mut lost = 0;
        // Until it has come back and some more were written.
        let mut after = 0;
        let begun = Instant::now();
        while after < 10 {
            assert!(begun.elapsed() < Duration::from_mins(2), "nobody can write any more");
            let store = &replicas[usize::try_from(next % 3).unwrap()].store;
            let given = grant("user:alice", Kind::Experiment, &next.to_string(), Permission::Read);
            let made = store.grant(&home(), given, by()).await;
            known.insert(next, made.is_ok().then_some(true));
            if let Some(old) = next.checked_sub(3) {
                let old_grant = grant("user:alice", Kind::Experiment, &old.to_string(), Permission::Read);
                let (subject, pattern) = (old_grant.subject, old_grant.pattern);
                let taken = store.revoke(&home(), subject, Kind::Experiment, pattern, by()).await;
                known.insert(old, taken.is_ok().then_some(false));
            }
            if made.is_err() {
                lost += 1;
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            after += u64::from(crash.is_finished() && made.is_ok());
            next += 1;
        }
        crash.await.unwrap();
        let fresh = replica(&cluster, &database).await;
        agree(&fresh.store, &known, "who starts anew");
        for (n, replica) in replicas.iter().enumerate() {
            until_long("it is current again", || replica.store.current()).await;
            until_long("all know the same", || all(&replica.store) == all(&fresh.store)).await;
            agree(&replica.store, &known, &format!("replica {n}"));
        }
        println!("a crash of the server amid writes: {lost} of {next} were refused, none was lost");
    }
}

const CHILD: &str = "TRACKGATE_TEST_REPLICA";

/// Not a test of its own: without the variable it does nothing.
#[test]
fn child() {
    let Ok(given) = std::env::var(CHILD) else { return };
    let [folder, name, first]: [&str; 3] = given.split('|').collect::<Vec<_>>().try_into().unwrap();
    let first: u64 = first.parse().unwrap();
    let database = Postgres::parse(&format!("postgres://trackgate@/{name}?host={folder}")).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let place = Place::with(Engine::Postgres(database));
        let store = place.open().await;
        for n in first.. {
            let read = grant("user:alice", Kind::Experiment, &n.to_string(), Permission::Read);
            store.grant(&home(), read, by()).await.unwrap();
            println!("+{n}");
            if let Some(old) = n.checked_sub(2) {
                let read = grant("user:alice", Kind::Experiment, &old.to_string(), Permission::Read);
                store.revoke(&home(), read.subject, read.kind, read.pattern, by()).await.unwrap();
                println!("-{old}");
            }
        }
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_writer_that_is_killed_amid_its_writes_leaves_the_others_with_what_was_acknowledged() {
    let Some((cluster, database, replicas)) = three("kill").await else { return };
    let mut known = Known::new();
    let mut next = 0;
    for round in 0..4_u64 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "store::tests::replicas::child", "--nocapture", "--test-threads=1"])
            .env(CHILD, format!("{}|{}|{next}", cluster.folder.display(), database.database))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        let mut acknowledged = 0;
        let mut line = String::new();
        let mut killed = false;
        // What it had said before it was killed is read to the end.
        loop {
            line.clear();
            if lines.read_line(&mut line).unwrap() == 0 {
                break;
            }
            // The harness begins its line before the child speaks.
            let word = line.trim_end().rsplit(' ').next().unwrap_or_default();
            if let Some(n) = word.strip_prefix('+').and_then(|n| n.parse().ok()) {
                known.insert(n, Some(true));
                // The next may be under way, and so may the taking back of the one before the last.
                known.insert(n + 1, None);
                next = n + 2;
                if let Some(old) = n.checked_sub(2) {
                    known.insert(old, None);
                }
                acknowledged += 1;
            } else if let Some(n) = word.strip_prefix('-').and_then(|n| n.parse().ok()) {
                known.insert(n, Some(false));
                acknowledged += 1;
            }
            if acknowledged >= 5 + round * 7 && !killed {
                child.kill().unwrap();
                killed = true;
            }
        }
        child.wait().unwrap();
        assert!(killed, "the child ended by itself");
        // Its lock is gone with it: others write on.
        replicas[1].store.add_group(&group(&format!("after{round}")), by()).await.unwrap();
        let fresh = replica(&cluster, &database).await;
        agree(&fresh.store, &known, "who starts anew");
        for (n, other) in replicas.iter().enumerate() {
            until_long("all know the same", || all(&other.store) == all(&fresh.store)).await;
            agree(&other.store, &known, &format!("replica {n}"));
        }
    }
    println!("a writer killed four times amid {next} writes: nothing acknowledged was lost or came back");
}

#[tokio::test]
async fn all_of_the_state_moves_from_one_engine_to_the_other_and_back() {
    let Some(target) = Place::on_postgres().await else { return };
    let source = Place::new();
    let store = source.open().await;
    let alice = identity("alice", "1");
    store.recognise(&alice).await.unwrap();
    store.set_admin(&user("alice"), true, by()).await.unwrap();
    store.add_group(&group("ml"), by()).await.unwrap();
    store.add_member(&group("ml"), &user("alice"), by()).await.unwrap();
    let role = store.create_role(&home(), &RoleName::parse("Leser – 読者").unwrap(), "d'oh \"x\"", by()).await.unwrap();
    let end = Clock::System.millis() + 3_600_000;
    store.assign(role.id, &Subject::Group(group("ml")), Some(end), by()).await.unwrap();
    let names = Pattern::parse(Kind::RegisteredModel, "grün-*").unwrap();
    store.add_create_rule(&home(), Subject::Role(role.id), Kind::RegisteredModel, names, None, by()).await.unwrap();
    let key = SessionKey::of(b"cookie");
    let new = NewSession { key, identity: Arc::clone(&alice), provider: Arc::from("idp"), logout_hint: None };
    store.open_session(new).await.unwrap();
    store.close().await;
    // More than one statement takes.
    source
        .write(
            "INSERT INTO grants WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 700) \
             SELECT i, 'default', 'user', 'alice', 'experiment', 'exact', CAST(i AS TEXT), 'READ', NULL, 0, 'x' FROM n",
        )
        .await;
    source.write("UPDATE counters SET last = 700 WHERE name = 'grants'").await;
    let store = source.open().await;
    let told = all(&store);
    store.close().await;

    let back = Place::new();
    for (from, to) in [(&source, &target), (&target, &back)] {
        let counts = copy(&from.settings(), &to.settings()).await.unwrap();
        assert!(counts.contains(&("grants", 700)) && counts.contains(&("sessions", 1)), "{counts:?}");
        let store = to.open().await;
        assert_eq!(all(&store), told);
        assert!(store.session(&key).unwrap().is_some());
        let fault = copy(&source.settings(), &to.settings()).await.unwrap_err();
        assert!(matches!(fault, StoreFault::NotEmpty("users")), "{fault}");
        store.close().await;
    }
    // Numbers go on where they were.
    let store = target.open().await;
    let new = store.add_grant(&home(), grant("user:bob", Kind::Experiment, "1", Permission::Read), None, by()).await;
    assert_eq!(new.unwrap().id, 701);
}
