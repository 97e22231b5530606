//! Backups: taken while a gate writes, whole or not at all, and the same store wherever they are restored.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::read::GzDecoder;
use flate2::write::GzEncoder;

use super::*;
use crate::access::ceiling::Ceiling;
use crate::mlflow::ids::RoleName;

fn how() -> How {
    How { replace: false, keep_sessions: false, by: by() }
}

/// An empty store of each engine that there is.
async fn empty() -> Vec<Place> {
    let mut places = vec![Place::new()];
    places.extend(Place::on_postgres().await);
    places
}

async fn back_up(place: &Place, name: &str) -> PathBuf {
    let file = place.0.join(name);
    backup(&place.settings(), &file, false, &Clock::System).await.unwrap();
    file
}

async fn put_back(file: &Path, place: &Place, how: &How) -> Result<Restored, BackupFault> {
    restore(file, &place.settings(), how, &Clock::System).await
}

fn lines(file: &Path) -> Vec<String> {
    let mut text = String::new();
    GzDecoder::new(fs::File::open(file).unwrap()).read_to_string(&mut text).unwrap();
    text.lines().map(str::to_owned).collect()
}

/// The rows of each table.
fn rows(file: &Path) -> Vec<(String, BTreeSet<String>)> {
    let mut tables: Vec<(String, BTreeSet<String>)> = Vec::new();
    for line in lines(file) {
        if line.starts_with('[') {
            tables.last_mut().unwrap().1.insert(line);
        } else if let Some(name) = serde_json::from_str::<serde_json::Value>(&line).unwrap()["table"].as_str() {
            tables.push((name.to_owned(), BTreeSet::new()));
        }
    }
    tables
}

/// Writes these lines as a backup that is whole as far as its sums go.
fn forge(file: &Path, lines: &[String]) {
    let body = lines[..lines.len() - 1].join("\n") + "\n";
    let rows = lines.iter().filter(|line| line.starts_with('[')).count();
    let sum = SessionKey::of(body.as_bytes()).to_hex();
    let end = serde_json::json!({"end": {"rows": rows, "sha256": sum}});
    let mut gzip = GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(format!("{body}{end}\n").as_bytes()).unwrap();
    fs::write(file, gzip.finish().unwrap()).unwrap();
}

/// Something in every table.
async fn furnish(place: &Place) {
    let store = place.open().await;
    let (alice, bob) = (identity("alice@example.com", "1"), identity("bob@example.com", "2"));
    for one in [&alice, &bob] {
        store.recognise(one).await.unwrap();
        store.open_session(session(SessionKey::of(one.user.as_str().as_bytes()), one)).await.unwrap();
    }
    store.set_admin(&alice.user, true, by()).await.unwrap();
    store.add_group(&group("ml"), by()).await.unwrap();
    store.add_member(&group("ml"), &bob.user, by()).await.unwrap();
    store.own(&home(), Kind::Experiment, "1", &bob.user).await.unwrap();
    store.grant(&home(), grant("group:ml", Kind::RegisteredModel, "prod*", Permission::Read), by()).await.unwrap();
    store.grant(&home(), grant("user:bob@example.com", Kind::Experiment, "9", Permission::Deny), by()).await.unwrap();
    let role = store.create_role(&home(), &RoleName::parse("readers").unwrap(), "é \"quoted\"\n", by()).await.unwrap();
    let read = Grant { subject: Subject::Role(role.id), ..grant("user:x", Kind::Experiment, "7", Permission::Read) };
    store.add_grant(&home(), read, Some(u64::MAX >> 2), by()).await.unwrap();
    store.assign(role.id, &"group:ml".parse().unwrap(), None, by()).await.unwrap();
    let names = Pattern::of_names(Kind::Experiment, "research/*").unwrap();
    store.add_create_rule(&home(), "group:ml".parse().unwrap(), Kind::Experiment, names, None, by()).await.unwrap();
    let account = user("svc:ci");
    store.add_account(&account, by()).await.unwrap();
    store.add_owner(&account, &"group:ml".parse().unwrap(), by()).await.unwrap();
    let bind = Step::Bind { was: None, new: bindings::binding("ci", "svc:ci", "refs/heads/main") };
    store.apply(vec![bind], by()).await.unwrap();
    let token = NewToken {
        id: TokenId::parse("abcdefgh").unwrap(),
        digest: TokenDigest::of(b"secret"),
        kind: TokenKind::Personal,
        owner: bob.user.clone(),
        name: Arc::from("laptop"),
        ceiling: Ceiling::default(),
        expires: u64::MAX >> 2,
    };
    store.create_token(token, by()).await.unwrap();
    let wish = Wish {
        workspace: home(),
        kind: Kind::Experiment,
        object: Arc::from("5"),
        user: bob.user.clone(),
        permission: Permission::Edit,
        reason: Arc::from("please"),
    };
    store.ask(wish).await.unwrap();
    for code in ["used", "open"] {
        let code = NewCode {
            digest: TokenDigest::of(code.as_bytes()),
            owner: bob.user.clone(),
            redirect: Arc::from("there"),
            challenge: Arc::from("hash"),
            device: Arc::from("laptop"),
            expires: u64::MAX >> 2,
        };
        store.offer_code(code).await.unwrap();
    }
    let fresh = Fresh {
        id: TokenId::parse("ijklmnop").unwrap(),
        access: TokenDigest::of(b"access"),
        refresh: TokenDigest::of(b"refresh"),
        lasts: 3_600_000,
        idle: 3_600_000,
        whole: 3_600_000,
    };
    store.redeem_code(TokenDigest::of(b"used"), "there", "hash", fresh).await.unwrap();
    let device = NewDevice {
        digest: TokenDigest::of(b"device"),
        user_code: Arc::from("BCDFGHJK"),
        device: Arc::from("laptop"),
        address: "192.0.2.1".parse().unwrap(),
        expires: u64::MAX >> 2,
    };
    store.await_device(device).await.unwrap();
    let key = SealKey { secret: zeroize::Zeroizing::new("key".to_owned()), created: 5 };
    store.seal_keys(key, 0).await.unwrap();
    store.close().await;
}

async fn a_backup_holds_every_table_and_is_the_same_store_in_either_engine(place: Place) {
    furnish(&place).await;
    let file = back_up(&place, "backup").await;
    assert_eq!(fs::metadata(&file).unwrap().mode() & 0o777, 0o600);
    let kept = rows(&file);
    for (table, rows) in &kept {
        assert!(!rows.is_empty(), "nothing of `{table}` is tried here");
    }
    let names: BTreeSet<&str> = kept.iter().map(|(table, _)| table.as_str()).collect();
    let known: BTreeSet<&str> = copy::TABLES.iter().map(|(table, _)| *table).chain(["seal_keys"]).collect();
    assert_eq!(names, known);

    let original = place.open().await;
    for target in empty().await {
        let restored = put_back(&file, &target, &How { keep_sessions: true, ..how() }).await.unwrap();
        assert_eq!((restored.ended, restored.before), (0, None));
        let store = target.open().await;
        for name in ["alice@example.com", "bob@example.com"] {
            let who = identity(name, if name.starts_with('a') { "1" } else { "2" });
            let (was, is) = (original.principal(who.clone(), &home()), store.principal(who.clone(), &home()));
            let (was, is) = (was.unwrap(), is.unwrap());
            assert_eq!((&was.grants, was.admin), (&is.grants, is.admin), "{name}");
            assert!(store.session(&SessionKey::of(name.as_bytes())).unwrap().is_some());
        }
        assert_eq!(
            store.principal(identity("bob@example.com", "3"), &home()).unwrap_err(),
            PrincipalFault::SubjectChanged
        );
        assert_eq!(store.bindings().len(), 1);
        store.close().await;
        // Row by row, but for the log of changes, which has a line more, and the counters.
        let again = rows(&back_up(&target, "again").await);
        for ((table, was), (other, is)) in kept.iter().zip(&again) {
            assert_eq!(table, other);
            match table.as_str() {
                "counters" => assert_eq!(was.len(), is.len()),
                "changes" => {
                    let more: Vec<_> = is.difference(was).collect();
                    assert!(was.is_subset(is) && more.len() == 1 && more[0].contains("restore"), "{more:?}");
                }
                _ => assert_eq!(was, is, "{table}"),
            }
        }
    }
}

async fn sessions_and_logins_end_with_a_restore_unless_they_are_wanted(place: Place) {
    furnish(&place).await;
    let file = back_up(&place, "backup").await;
    for target in empty().await {
        let restored = put_back(&file, &target, &how()).await.unwrap();
        assert_eq!(restored.ended, 3, "two sessions, one login");
        let store = target.open().await;
        assert!(store.session(&SessionKey::of(b"bob@example.com")).unwrap().is_none());
        let here = "192.0.2.1".parse().unwrap();
        let login = store.token("ijklmnop", &TokenDigest::of(b"access"), here).unwrap();
        assert!(!matches!(login, TokenShown::Good { .. }), "{login:?}");
        let own = store.token("abcdefgh", &TokenDigest::of(b"secret"), here).unwrap();
        assert!(matches!(own, TokenShown::Good { .. }), "tokens are kept: {own:?}");
        store.close().await;
        let codes = target.read("SELECT digest, digest, digest FROM login_codes UNION ALL SELECT digest, digest, digest FROM device_codes").await;
        assert!(codes.is_empty());
    }
}

/// The writer stands for a gate that serves: what was acknowledged before is in the backup, and what is in it is a state
/// that was, nothing out of the middle.
async fn what_was_acknowledged_before_a_backup_begins_is_in_it_while_a_gate_writes(place: Place) {
    let store = place.open().await;
    let alice = identity("alice@example.com", "1");
    store.recognise(&alice).await.unwrap();
    let (acknowledged, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let writer = {
        let (store, acknowledged, stop) = (store.clone(), Arc::clone(&acknowledged), Arc::clone(&stop));
        tokio::spawn(async move {
            for n in 1_u64.. {
                let read = grant("user:alice@example.com", Kind::Experiment, &n.to_string(), Permission::Read);
                store.grant(&home(), read, by()).await.unwrap();
                acknowledged.store(n, Ordering::SeqCst);
                if stop.load(Ordering::SeqCst) == 1 {
                    return;
                }
            }
        })
    };
    let mut backups = Vec::new();
    for round in 0..4_u64 {
        let before = (round + 1) * 5;
        soon_at(&acknowledged, before).await;
        let before = acknowledged.load(Ordering::SeqCst);
        let file = back_up(&place, &format!("backup{round}")).await;
        backups.push((before, acknowledged.load(Ordering::SeqCst) + 1, file));
    }
    stop.store(1, Ordering::SeqCst);
    writer.await.unwrap();
    assert!(backups[3].0 > backups[0].0, "nothing was written meanwhile");
    for target in empty().await {
        for (before, after, file) in &backups {
            put_back(file, &target, &How { replace: true, ..how() }).await.unwrap();
            let held = target.open().await;
            let ids: BTreeSet<u64> =
                held.grants().iter().map(|record| record.grant.pattern.to_string().parse().unwrap()).collect();
            let newest = ids.last().copied().unwrap();
            assert!((*before..=*after).contains(&newest), "{before} to {after}: {newest}");
            assert_eq!(ids, (1..=newest).collect(), "all up to the newest");
            let head = examine(file).unwrap().head;
            // alice's first sight is a change, and each grant.
            assert_eq!(head.newest_change, newest + 1, "counters and rows are of one moment");
            assert!(may(&held, &alice, Action::Read, &experiment(&newest.to_string())).await);
            assert!(!may(&held, &alice, Action::Read, &experiment(&(newest + 1).to_string())).await);
            held.close().await;
        }
    }
    // The gate that served all the while knows nothing of any of this.
    assert!(store.current());
    store.close().await;
}

async fn soon_at(counter: &AtomicU64, least: u64) {
    until("the writer writes", || counter.load(Ordering::SeqCst) >= least).await;
}

async fn numbers_are_never_given_twice_after_a_restore(place: Place) {
    let store = place.open().await;
    let give = async |store: &Store, id: &str| {
        let read = grant("user:alice@example.com", Kind::Experiment, id, Permission::Read);
        store.add_grant(&home(), read, None, by()).await.unwrap().id
    };
    give(&store, "1").await;
    let file = back_up(&place, "backup").await;
    let mut given: BTreeSet<u64> = BTreeSet::new();
    for n in 2..9 {
        given.insert(give(&store, &n.to_string()).await);
    }
    store.close().await;
    // Into the store that is there: its counters count on.
    put_back(&file, &place, &How { replace: true, ..how() }).await.unwrap();
    let store = place.open().await;
    assert_eq!(store.grants().len(), 1, "what was given after the backup is gone");
    let next = give(&store, "99").await;
    assert_eq!(next, given.last().unwrap() + 1);
    store.close().await;
    // Into an empty one: nobody knows how many were given, so they jump far ahead.
    for target in empty().await {
        put_back(&file, &target, &how()).await.unwrap();
        let store = target.open().await;
        let next = give(&store, "99").await;
        assert!(next > 1_000_000 && !given.contains(&next), "{next}");
        assert!(store.newest_change() > 1_000_000);
        store.close().await;
    }
}

async fn a_store_that_somebody_has_open_is_not_replaced(place: Place) {
    let store = place.open().await;
    let alice = identity("alice@example.com", "1");
    store.recognise(&alice).await.unwrap();
    let file = back_up(&place, "backup").await;
    let fault = put_back(&file, &place, &How { replace: true, ..how() }).await.unwrap_err();
    assert!(matches!(fault, BackupFault::InUse), "{fault}");
    // The gate goes on as if nothing had been.
    store.grant(&home(), grant("user:alice@example.com", Kind::Experiment, "1", Permission::Read), by()).await.unwrap();
    assert!(may(&store, &alice, Action::Read, &experiment("1")).await);
    store.close().await;
    put_back(&file, &place, &How { replace: true, ..how() }).await.unwrap();
}

async fn a_store_with_something_in_it_is_replaced_only_where_that_is_said(place: Place) {
    furnish(&place).await;
    let file = back_up(&place, "backup").await;
    let before = rows(&file);
    let fault = put_back(&file, &place, &how()).await.unwrap_err();
    assert!(matches!(fault, BackupFault::NotEmpty(_)) && fault.to_string().contains("--replace"), "{fault}");
    assert_eq!(rows(&back_up(&place, "after").await), before, "nothing was touched");
    assert!(matches!(backup(&place.settings(), &file, false, &Clock::System).await, Err(BackupFault::Exists(_))));
    backup(&place.settings(), &file, true, &Clock::System).await.unwrap();
    // A store that a gate has opened and nobody has used is empty.
    for target in empty().await {
        let store = target.open().await;
        let key = SealKey { secret: zeroize::Zeroizing::new("other".to_owned()), created: 7 };
        store.seal_keys(key, 0).await.unwrap();
        store.close().await;
        put_back(&file, &target, &how()).await.unwrap();
    }
}

/// Whole by its sums, and yet it cannot be: the fault comes in the middle of the transaction.
async fn a_restore_that_fails_half_way_leaves_the_store_as_it_was(place: Place) {
    furnish(&place).await;
    let file = back_up(&place, "backup").await;
    let before = rows(&file);
    let good = lines(&file);
    let bad = place.0.join("bad");
    let grants = good.iter().position(|line| line.contains("\"table\":\"grants\"")).unwrap();
    let mut twice = good.clone();
    twice.insert(grants + 1, good[grants + 1].clone());
    let mut narrow = good.clone();
    narrow[grants + 1] = "[\"1\"]".to_owned();
    let mut unknown = good.clone();
    unknown[grants] = unknown[grants].replace("\"grants\"", "\"sqlite_schema\"");
    let mut other = good.clone();
    other[grants] = other[grants].replace("\"permission\"", "\"permission, 1\"");
    let mut nobody = good.clone();
    nobody.retain(|line| !line.starts_with("[\"bob@example.com\""));
    for (what, lines) in
        [("twice", twice), ("narrow", narrow), ("unknown", unknown), ("other", other), ("nobody", nobody)]
    {
        forge(&bad, &lines);
        examine(&bad).unwrap();
        let fault = put_back(&bad, &place, &How { replace: true, ..how() }).await.expect_err(what);
        assert!(matches!(fault, BackupFault::Damaged(_) | BackupFault::Store(_)), "{what}: {fault}");
        let after = back_up(&place, what).await;
        assert_eq!(rows(&after), before, "{what}");
    }
    // And one that is damaged is refused before anything is touched.
    let bytes = fs::read(&file).unwrap();
    fs::write(&bad, &bytes[..bytes.len() - 40]).unwrap();
    let fault = put_back(&bad, &place, &How { replace: true, ..how() }).await.unwrap_err();
    assert!(matches!(fault, BackupFault::Damaged(_)), "{fault}");
    place.open().await.close().await;
}

/// Every schema that there ever was: a backup of it, made by this program, is as good as one of the newest.
async fn a_backup_of_any_older_schema_is_brought_to_the_newest(place: Place) {
    let newest = schema::newest();
    for version in 1..=newest {
        let old = match &place.1 {
            Engine::Sqlite => Place::new(),
            Engine::Postgres(_) => Place::on_postgres().await.unwrap(),
        };
        at_schema(&old, version).await;
        for row in [
            "INSERT INTO users (name, created) VALUES ('alice@example.com', 1)",
            "INSERT INTO identities (issuer, user_name, subject, first_seen) VALUES ('https://idp.test', 'alice@example.com', '1', 1)",
        ] {
            old.write_raw(row).await;
        }
        old.write_raw(match version {
            1 => "INSERT INTO grants VALUES ('user', 'alice@example.com', 'experiment', 'exact', '1', 'EDIT', 5, 'x')",
            2 => {
                "INSERT INTO grants VALUES ('default', 'user', 'alice@example.com', 'experiment', 'exact', '1', 'EDIT', 5, 'x')"
            }
            _ => {
                "INSERT INTO grants VALUES \
                 (1, 'default', 'user', 'alice@example.com', 'experiment', 'exact', '1', 'EDIT', NULL, 5, 'x')"
            }
        })
        .await;
        let file = back_up(&old, "backup").await;
        assert_eq!(examine(&file).unwrap().head.schema, version);
        assert_eq!(old.version().await, version, "a backup does not migrate");
        for target in empty().await {
            put_back(&file, &target, &how()).await.unwrap();
            assert_eq!(target.version().await, newest);
            let store = target.open().await;
            assert!(
                may(&store, &identity("alice@example.com", "1"), Action::Edit, &experiment("1")).await,
                "{version}"
            );
            store.close().await;
        }
    }
}

/// Makes the steps of the schema up to this one.
pub(super) async fn at_schema(place: &Place, version: i64) {
    let mut link = match &place.1 {
        Engine::Sqlite => {
            let file = place::prepare(&place.0).unwrap();
            Link::Sqlite(sqlite::connect(&file, Duration::from_secs(1)).await.unwrap())
        }
        Engine::Postgres(database) => Link::Postgres(Box::new(postgres::connect(database).await.unwrap())),
    };
    let mut t = link.write(Duration::from_secs(1)).await.unwrap();
    t.migrate(Some(version)).await.unwrap();
    t.commit().await.unwrap();
    link.close().await.unwrap();
}

impl Place {
    /// Writes without bringing the schema to the newest.
    pub(super) async fn write_raw(&self, statement: &'static str) {
        match &self.1 {
            Engine::Sqlite => {
                let file = self.0.join("trackgate.db");
                let mut connection = sqlite::connect(&file, Duration::from_secs(1)).await.unwrap();
                sqlx::query(statement).execute(&mut connection).await.unwrap();
                sqlx::Connection::close(connection).await.unwrap();
            }
            Engine::Postgres(_) => self.write(statement).await,
        }
    }

    /// The newest step of the schema that was made.
    pub(super) async fn version(&self) -> i64 {
        let newest = "SELECT MAX(version) FROM _sqlx_migrations";
        match &self.1 {
            Engine::Sqlite => {
                let file = self.0.join("trackgate.db");
                let mut connection = sqlite::connect(&file, Duration::from_secs(1)).await.unwrap();
                sqlx::query_scalar(newest).fetch_one(&mut connection).await.unwrap()
            }
            Engine::Postgres(database) => {
                let mut connection = postgres::connect(database).await.unwrap();
                sqlx::query_scalar(newest).fetch_one(&mut connection).await.unwrap()
            }
        }
    }
}

async fn who_merely_looks_leaves_an_older_schema_as_it_is(place: Place) {
    at_schema(&place, 7).await;
    assert_eq!(outdated(&place.settings()).await.unwrap(), Some((7, schema::newest())));
    assert_eq!(place.version().await, 7);
    place.open().await.close().await;
    assert_eq!(outdated(&place.settings()).await.unwrap(), None);
}

async fn a_newer_schema_is_neither_backed_up_nor_replaced(place: Place) {
    furnish(&place).await;
    let file = back_up(&place, "backup").await;
    place
        .write_raw(
            "INSERT INTO _sqlx_migrations (version, description, installed_on, success, checksum, execution_time) \
             SELECT 9999, 'from the future', CURRENT_TIMESTAMP, success, checksum, 0 FROM _sqlx_migrations \
             WHERE version = 1",
        )
        .await;
    let fault = backup(&place.settings(), &place.0.join("next"), false, &Clock::System).await.unwrap_err();
    assert!(matches!(fault, BackupFault::Store(StoreFault::SchemaNewer(9999))), "{fault}");
    assert!(!place.0.join("next").exists());
    let fault = put_back(&file, &place, &How { replace: true, ..how() }).await.unwrap_err();
    assert!(matches!(fault, BackupFault::Store(StoreFault::SchemaNewer(9999))), "{fault}");
}

#[tokio::test]
async fn a_place_without_a_database_has_no_backup() {
    let place = Place::new();
    let fault = backup(&place.settings(), &place.0.join("backup"), false, &Clock::System).await.unwrap_err();
    assert!(matches!(fault, BackupFault::NoStore(_)), "{fault}");
    assert_eq!(fs::read_dir(&place.0).unwrap().count(), 0, "nothing is left");
}

#[tokio::test]
async fn a_disk_that_is_full_leaves_no_backup_and_the_fault_is_the_disks() {
    struct Full(usize);
    impl std::io::Write for Full {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 = self.0.checked_sub(bytes.len()).ok_or(std::io::ErrorKind::StorageFull)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let place = Place::new();
    furnish(&place).await;
    for room in [0, 1, 20, 500] {
        let fault = backup_to(&place.settings(), Full(room), &Clock::System).await.unwrap_err();
        assert!(matches!(fault, BackupFault::Unwritten(_)), "{room}: {fault}");
    }
    backup_to(&place.settings(), Full(1 << 20), &Clock::System).await.unwrap();
}

/// A gate that comes back while the store is being restored waits outside, and then reads all of it.
#[tokio::test]
async fn nobody_opens_a_store_while_it_is_restored_and_who_was_cut_off_reads_it_anew() {
    let Some(place) = Place::on_postgres().await else { return };
    let Engine::Postgres(database) = place.1.clone() else { panic!("no database") };
    let store = place.open().await;
    let alice = identity("alice@example.com", "1");
    store.recognise(&alice).await.unwrap();
    let file = back_up(&place, "backup").await;
    let read = grant("user:alice@example.com", Kind::Experiment, "1", Permission::Read);
    store.grant(&home(), read, by()).await.unwrap();
    assert!(may(&store, &alice, Action::Read, &experiment("1")).await);
    // Its connections are cut, and while it is away somebody restores.
    let alone = {
        let mut admin = postgres::connect(&database).await.unwrap();
        sqlx::query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()")
            .execute(&mut admin)
            .await
            .unwrap();
        sqlx::Connection::close(admin).await.unwrap();
        postgres::connect_alone(&database, Duration::from_millis(200)).await
    };
    // Where the gate was faster, it is as if it had not been cut off.
    let Ok(alone) = alone else { return };
    let fault = Store::open(&place.settings(), Clock::System).await.unwrap_err();
    assert!(matches!(fault, StoreFault::Restoring), "{fault}");
    let fault = backup(&place.settings(), &place.0.join("meanwhile"), false, &Clock::System).await.unwrap_err();
    assert!(matches!(fault, BackupFault::Store(StoreFault::Restoring)), "{fault}");
    let mut link = Link::Postgres(Box::new(alone));
    let bytes = fs::read(&file).unwrap();
    super::super::backup::fill(&mut link, &bytes, &place.settings(), &How { replace: true, ..how() }, &Clock::System)
        .await
        .unwrap();
    link.close().await.unwrap();
    until("it reads what is there now", || {
        store.principal(Arc::clone(&alice), &home()).is_ok_and(|principal| principal.grants.is_empty())
    })
    .await;
}

on_both! {
    a_backup_holds_every_table_and_is_the_same_store_in_either_engine,
    sessions_and_logins_end_with_a_restore_unless_they_are_wanted,
    what_was_acknowledged_before_a_backup_begins_is_in_it_while_a_gate_writes,
    numbers_are_never_given_twice_after_a_restore,
    a_store_that_somebody_has_open_is_not_replaced,
    a_store_with_something_in_it_is_replaced_only_where_that_is_said,
    a_restore_that_fails_half_way_leaves_the_store_as_it_was,
    a_backup_of_any_older_schema_is_brought_to_the_newest,
    a_newer_schema_is_neither_backed_up_nor_replaced,
    who_merely_looks_leaves_an_older_schema_as_it_is,
}
