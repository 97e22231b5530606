mod backup;
mod batch;
mod bindings;
#[path = "../../../tests/harness/certs.rs"]
mod certs;
#[path = "../../../tests/harness/cluster.rs"]
mod cluster;
mod kill;
mod logins;
mod reconnect;
mod upgrade;
mod replicas;
mod requests;
mod roles;
mod tls;
mod tokens;

use std::fs;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::Path;
use std::time::SystemTime;

use super::*;
use crate::access::decide::holds;
use crate::access::grant::Grant;
use crate::access::identity::Proof;
use crate::mlflow::permission::Action;
use crate::mlflow::resource::Resource;

/// Runs each of these, which take a [`Place`], on SQLite and on PostgreSQL.
macro_rules! on_both {
    ($($name:ident,)+) => {
        mod on_sqlite {
            $(#[tokio::test]
            async fn $name() {
                super::$name(super::Place::new()).await;
            })+
        }

        mod on_postgres {
            $(#[tokio::test]
            async fn $name() {
                if let Some(place) = super::Place::on_postgres().await {
                    super::$name(place).await;
                }
            })+
        }
    };
}
use on_both;

/// A directory and a database of one test, gone afterwards.
struct Place(PathBuf, Engine);

impl Place {
    fn new() -> Self {
        Self::with(Engine::Sqlite)
    }

    async fn on_postgres() -> Option<Self> {
        Some(Self::with(Engine::Postgres(Postgres::parse(&cluster::database().await?).unwrap())))
    }

    fn with(engine: Engine) -> Self {
        let path = std::env::temp_dir().join(format!("trackgate-store-{}", uuid::Uuid::new_v4()));
        fs::DirBuilder::new().mode(0o700).create(&path).unwrap();
        Self(path, engine)
    }

    /// Writes past Trackgate.
    async fn write(&self, statement: &'static str) {
        match &self.1 {
            Engine::Sqlite => drop(sqlx::query(statement).execute(&mut second_connection(self).await).await.unwrap()),
            Engine::Postgres(database) => {
                let mut connection = postgres::connect(database).await.unwrap();
                sqlx::query(statement).execute(&mut connection).await.unwrap();
            }
        }
    }

    /// Reads past Trackgate.
    async fn read(&self, query: &'static str) -> Vec<(String, String, String)> {
        match &self.1 {
            Engine::Sqlite => sqlx::query_as(query).fetch_all(&mut second_connection(self).await).await.unwrap(),
            Engine::Postgres(database) => {
                let mut connection = postgres::connect(database).await.unwrap();
                sqlx::query_as(query).fetch_all(&mut connection).await.unwrap()
            }
        }
    }

    fn settings(&self) -> Settings {
        Settings {
            engine: self.1.clone(),
            poll: Duration::from_millis(20),
            // Longer than a busy machine takes.
            stale_after: Duration::from_mins(1),
            lock_wait: Duration::from_secs(8),
            patience: Duration::from_mins(1),
            ..Settings::new(self.0.clone())
        }
    }

    async fn open(&self) -> Store {
        Store::open(&self.settings(), Clock::System).await.unwrap()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn user(name: &str) -> UserName {
    UserName::parse(name).unwrap()
}

fn group(name: &str) -> GroupName {
    GroupName::parse(name).unwrap()
}

fn identity(name: &str, subject: &str) -> Arc<Identity> {
    Arc::new(Identity {
        user: user(name),
        issuer: Arc::from("https://idp.test"),
        subject: Arc::from(subject),
        groups: Vec::new(),
        proof: Proof::Session,
        until: SystemTime::now() + Duration::from_hours(24),
        token: None,
    })
}

/// The only workspace where there is but one.
fn home() -> WorkspaceName {
    WorkspaceName::default()
}

fn by() -> By {
    By::Operator("test".to_owned())
}

fn grant(subject: &str, kind: Kind, pattern: &str, permission: Permission) -> Grant {
    Grant { subject: subject.parse().unwrap(), kind, pattern: Pattern::parse(kind, pattern).unwrap(), permission }
}

fn model(name: &str) -> Resource {
    Resource::top(Kind::RegisteredModel, Arc::from(name))
}

fn experiment(id: &str) -> Resource {
    Resource::top(Kind::Experiment, Arc::from(id))
}

async fn may(store: &Store, who: &Arc<Identity>, action: Action, resource: &Resource) -> bool {
    store.recognise(who).await.unwrap();
    holds(&store.principal(Arc::clone(who), &home()).unwrap(), action, resource).is_ok()
}

/// Waits for something another task does.
async fn until(what: &str, mut done: impl FnMut() -> bool) {
    for _ in 0..500 {
        if done() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("waited five seconds in vain: {what}");
}

async fn a_grant_counts_from_the_moment_it_is_acknowledged_and_no_longer_when_it_is_revoked(place: Place) {
    let store = place.open().await;
    let alice = identity("alice@example.com", "1");
    assert!(!may(&store, &alice, Action::Read, &experiment("7")).await);
    let edit = grant("user:alice@example.com", Kind::Experiment, "7", Permission::Edit);
    assert!(store.grant(&home(), edit.clone(), by()).await.unwrap().anything());
    assert!(may(&store, &alice, Action::Edit, &experiment("7")).await);
    assert!(!store.grant(&home(), edit.clone(), by()).await.unwrap().anything(), "the same again is no change");
    store.revoke(&home(), edit.subject, edit.kind, edit.pattern, by()).await.unwrap();
    assert!(!may(&store, &alice, Action::Read, &experiment("7")).await);
}

async fn what_was_acknowledged_is_there_after_opening_anew(place: Place) {
    let store = place.open().await;
    store.own(&home(), Kind::Experiment, "3", &user("alice@example.com")).await.unwrap();
    store.close().await;
    let store = place.open().await;
    assert!(may(&store, &identity("alice@example.com", "1"), Action::Delete, &experiment("3")).await);
}

async fn nobody_is_a_principal_before_being_recognised(place: Place) {
    let store = place.open().await;
    let alice = identity("alice@example.com", "1");
    assert_eq!(store.principal(Arc::clone(&alice), &home()).unwrap_err(), PrincipalFault::Unrecognised);
    store.recognise(&alice).await.unwrap();
    assert!(store.principal(alice, &home()).is_ok());
}

/// Two processes, of which the second has not looked since the first wrote: it hears of it by trying the same.
async fn whom_another_process_has_just_recognised_is_recognised_here_at_once(place: Place) {
    let alice = identity("alice@example.com", "1");
    let first = place.open().await;
    let settings = Settings { poll: Duration::from_hours(1), ..place.settings() };
    let second = Store::open(&settings, Clock::System).await.unwrap();
    first.recognise(&alice).await.unwrap();
    second.recognise(&alice).await.unwrap();
    assert!(second.principal(alice, &home()).is_ok());
}

async fn a_mail_address_given_to_somebody_else_brings_no_grants_until_relinked(place: Place) {
    let store = place.open().await;
    let (first, second) = (identity("alice@example.com", "1"), identity("alice@example.com", "2"));
    store.grant(&home(), grant("user:alice@example.com", Kind::Experiment, "7", Permission::Read), by()).await.unwrap();
    store.recognise(&first).await.unwrap();
    let refused = store.recognise(&second).await.unwrap_err();
    assert!(matches!(refused, RecogniseFault::Refused(PrincipalFault::SubjectChanged)), "{refused}");
    assert_eq!(store.principal(Arc::clone(&second), &home()).unwrap_err(), PrincipalFault::SubjectChanged);
    store.relink(&user("alice@example.com"), by()).await.unwrap();
    assert!(may(&store, &second, Action::Read, &experiment("7")).await);
    assert_eq!(store.principal(first, &home()).unwrap_err(), PrincipalFault::SubjectChanged);
}

async fn two_subjects_that_come_at_once_under_one_name_are_not_both_recognised(place: Place) {
    let store = place.open().await;
    let identities: Vec<_> = (0..8).map(|n| identity("alice@example.com", &n.to_string())).collect();
    let tries = futures_util::future::join_all(identities.iter().map(|identity| store.recognise(identity))).await;
    assert_eq!(tries.iter().filter(|result| result.is_ok()).count(), 1);
}

async fn a_disabled_user_is_refused_and_signed_out_at_once(place: Place) {
    let store = place.open().await;
    let alice = identity("alice@example.com", "1");
    store.recognise(&alice).await.unwrap();
    let key = SessionKey::of(b"secret");
    store.open_session(session(key, &alice)).await.unwrap();
    store.set_disabled(&alice.user, true, by()).await.unwrap();
    assert_eq!(store.principal(Arc::clone(&alice), &home()).unwrap_err(), PrincipalFault::Disabled);
    assert!(store.session(&key).unwrap().is_none());
    store.set_disabled(&alice.user, false, by()).await.unwrap();
    assert!(store.principal(alice, &home()).is_ok());
}

async fn what_is_supposed_of_a_stranger_is_what_they_hold_once_recognised(place: Place) {
    let settings = Settings { default_workspace_permission: Some(Permission::Use), ..place.settings() };
    let store = Store::open(&settings, Clock::System).await.unwrap();
    store.grant(&home(), grant("user:bob@example.com", Kind::Experiment, "1", Permission::Edit), by()).await.unwrap();
    store.grant(&home(), grant("group:idp/ml", Kind::Experiment, "2", Permission::Read), by()).await.unwrap();
    let mut bob = (*identity("bob@example.com", "1")).clone();
    bob.groups = vec![group("idp/ml")];
    let bob = Arc::new(bob);
    let before = store.suppose(Arc::clone(&bob), &home()).unwrap();
    assert!(store.principal(Arc::clone(&bob), &home()).is_err(), "supposing recognises nobody");
    store.recognise(&bob).await.unwrap();
    let after = store.principal(Arc::clone(&bob), &home()).unwrap();
    assert_eq!(before.grants, after.grants);
    assert_eq!(before.grants.len(), 3);
}

async fn groups_of_the_store_and_of_the_issuer_both_count(place: Place) {
    let store = place.open().await;
    let mut bob = (*identity("bob@example.com", "1")).clone();
    bob.groups = vec![group("idp/ml"), group("ours")];
    let bob = Arc::new(bob);
    store.recognise(&bob).await.unwrap();
    store.grant(&home(), grant("group:ours", Kind::Experiment, "1", Permission::Read), by()).await.unwrap();
    store.grant(&home(), grant("group:idp/ml", Kind::Experiment, "2", Permission::Read), by()).await.unwrap();
    store.add_group(&group("ours"), by()).await.unwrap();
    store.add_member(&group("ours"), &bob.user, by()).await.unwrap();
    assert!(may(&store, &bob, Action::Read, &experiment("1")).await);
    assert!(may(&store, &bob, Action::Read, &experiment("2")).await);
    let principal = store.principal(Arc::clone(&bob), &home()).unwrap();
    assert_eq!(principal.grants.len(), 2, "a group that both name counts once");
    let carol = identity("carol@example.com", "1");
    assert!(!may(&store, &carol, Action::Read, &experiment("1")).await);
}

async fn everybody_is_in_everybody_and_nobody_can_be_put_there(place: Place) {
    let store = place.open().await;
    let carol = identity("carol@example.com", "1");
    store.grant(&home(), grant("group:everybody", Kind::Experiment, "0", Permission::Read), by()).await.unwrap();
    assert!(may(&store, &carol, Action::Read, &experiment("0")).await);
    let refused = store.add_member(&group("everybody"), &carol.user, by()).await.unwrap_err();
    assert!(matches!(refused, StoreFault::Everybody), "{refused}");
}

async fn settings_name_administrators_and_who_may_create(place: Place) {
    let settings = Settings {
        admins: vec![user("root@example.com")],
        default_workspace_permission: Some(Permission::Use),
        ..place.settings()
    };
    let store = Store::open(&settings, Clock::System).await.unwrap();
    assert!(may(&store, &identity("root@example.com", "1"), Action::Delete, &experiment("0")).await);
    let carol = identity("carol@example.com", "1");
    assert!(may(&store, &carol, Action::Create, &Resource::workspace()).await);
    assert!(!may(&store, &carol, Action::Read, &experiment("0")).await);
}

async fn a_new_object_does_not_inherit_grants_from_an_older_one_of_its_name(place: Place) {
    let store = place.open().await;
    let bob = identity("bob@example.com", "1");
    store
        .grant(&home(), grant("user:bob@example.com", Kind::RegisteredModel, "iris", Permission::Edit), by())
        .await
        .unwrap();
    store
        .grant(&home(), grant("user:bob@example.com", Kind::ModelVersion, "iris/1", Permission::Edit), by())
        .await
        .unwrap();
    store
        .grant(&home(), grant("user:eve@example.com", Kind::RegisteredModel, "iris", Permission::Deny), by())
        .await
        .unwrap();
    store.own(&home(), Kind::RegisteredModel, "iris", &user("alice@example.com")).await.unwrap();
    assert!(!may(&store, &bob, Action::Read, &model("iris")).await);
    let version = Resource::inside(Kind::ModelVersion, Arc::from("iris/1"), model("iris").object);
    assert!(!may(&store, &bob, Action::Read, &version).await);
    let left: Vec<String> = store.grants().iter().map(|record| record.grant.to_string()).collect();
    assert_eq!(
        left,
        ["user alice@example.com: registered_model iris MANAGE", "user eve@example.com: registered_model iris DENY"]
    );
}

async fn owning_a_model_with_a_star_in_its_name_is_owning_no_other_model(place: Place) {
    let store = place.open().await;
    let mallory = identity("mallory@example.com", "1");
    store.own(&home(), Kind::RegisteredModel, "pro*", &mallory.user).await.unwrap();
    assert!(may(&store, &mallory, Action::Delete, &model("pro*")).await);
    assert!(!may(&store, &mallory, Action::Read, &model("prod")).await);
    store.close().await;
    let store = place.open().await;
    assert!(!may(&store, &mallory, Action::Read, &model("prod")).await);
}

async fn what_somebody_else_made_meanwhile_is_theirs(place: Place) {
    let store = place.open().await;
    let (alice, bob) = (user("alice@example.com"), user("bob@example.com"));
    store.own_if_unmade(&home(), Kind::McpServer, "a/b", &alice, 0).await.unwrap();
    store.own_if_unmade(&home(), Kind::McpServer, "a/b", &bob, 0).await.unwrap();
    store.own_if_unmade(&home(), Kind::McpServer, "a/b", &alice, 0).await.unwrap();
    let left: Vec<String> = store.grants().iter().map(|record| record.grant.to_string()).collect();
    assert_eq!(left, ["user alice@example.com: mcp_server a/b MANAGE"]);
    // Of a name that was free again when the call was judged, the old owner keeps nothing.
    let known = store.newest_change();
    store.own_if_unmade(&home(), Kind::McpServer, "a/b", &bob, known).await.unwrap();
    let left: Vec<String> = store.grants().iter().map(|record| record.grant.to_string()).collect();
    assert_eq!(left, ["user bob@example.com: mcp_server a/b MANAGE"]);
}

async fn a_rename_takes_the_grants_along_and_frees_the_old_name(place: Place) {
    let store = place.open().await;
    let (alice, bob) = (identity("alice@example.com", "1"), identity("bob@example.com", "2"));
    store.own(&home(), Kind::RegisteredModel, "old", &alice.user).await.unwrap();
    store
        .grant(&home(), grant("user:bob@example.com", Kind::RegisteredModel, "new", Permission::Edit), by())
        .await
        .unwrap();
    store
        .grant(&home(), grant("user:bob@example.com", Kind::ModelVersion, "old/2", Permission::Read), by())
        .await
        .unwrap();
    store.rename(&home(), Kind::RegisteredModel, "old", "new", &alice.user).await.unwrap();
    assert!(may(&store, &alice, Action::Delete, &model("new")).await);
    assert!(!may(&store, &alice, Action::Read, &model("old")).await);
    assert!(!may(&store, &bob, Action::Read, &model("new")).await, "what lay on the new name was of another model");
    let version = Resource::inside(Kind::ModelVersion, Arc::from("new/2"), model("new").object);
    assert!(may(&store, &bob, Action::Read, &version).await);
    store.rename(&home(), Kind::RegisteredModel, "old", "new", &alice.user).await.unwrap();
    assert!(may(&store, &alice, Action::Delete, &model("new")).await, "the same rename again changes nothing");
}

async fn a_deny_survives_rename_and_creation_on_either_name(place: Place) {
    let store = place.open().await;
    let eve = identity("eve@example.com", "1");
    store.own(&home(), Kind::RegisteredModel, "old", &eve.user).await.unwrap();
    store
        .grant(&home(), grant("user:eve@example.com", Kind::RegisteredModel, "new", Permission::Deny), by())
        .await
        .unwrap();
    store.rename(&home(), Kind::RegisteredModel, "old", "new", &eve.user).await.unwrap();
    assert!(!may(&store, &eve, Action::Read, &model("new")).await);
    store.own(&home(), Kind::RegisteredModel, "new", &eve.user).await.unwrap();
    assert!(!may(&store, &eve, Action::Read, &model("new")).await);
}

async fn a_deleted_object_leaves_no_grant_behind(place: Place) {
    let store = place.open().await;
    let alice = user("alice@example.com");
    store.own(&home(), Kind::RegisteredModel, "iris", &alice).await.unwrap();
    store.own(&home(), Kind::RegisteredModel, "iris2", &alice).await.unwrap();
    store.grant(&home(), grant("user:bob", Kind::ModelVersion, "iris/1", Permission::Read), by()).await.unwrap();
    store.grant(&home(), grant("user:bob", Kind::RegisteredModel, "iris*", Permission::Read), by()).await.unwrap();
    store.forget(&home(), Kind::RegisteredModel, "iris", &alice).await.unwrap();
    let left: Vec<String> = store.grants().iter().map(|record| record.grant.pattern.to_string()).collect();
    assert_eq!(left, ["iris2", "iris*"]);
}

async fn what_another_process_writes_is_seen_soon(place: Place) {
    let server = place.open().await;
    let command = place.open().await;
    let alice = identity("alice@example.com", "1");
    server.recognise(&alice).await.unwrap();
    let key = SessionKey::of(b"secret");
    server.open_session(session(key, &alice)).await.unwrap();
    command
        .grant(&home(), grant("user:alice@example.com", Kind::Experiment, "7", Permission::Read), by())
        .await
        .unwrap();
    until("the grant shows", || {
        holds(&server.principal(Arc::clone(&alice), &home()).unwrap(), Action::Read, &experiment("7")).is_ok()
    })
    .await;
    command.set_disabled(&alice.user, true, by()).await.unwrap();
    until("the user is refused", || server.principal(Arc::clone(&alice), &home()).is_err()).await;
    until("the session is gone", || server.session(&key).unwrap().is_none()).await;
}

fn session(key: SessionKey, identity: &Arc<Identity>) -> NewSession {
    NewSession {
        key,
        identity: Arc::clone(identity),
        provider: Arc::from("idp"),
        logout_hint: Some(Arc::from("sealed")),
    }
}

async fn a_session_ends_by_idleness_by_age_and_by_being_ended(place: Place) {
    let start = SystemTime::now();
    let clock = Clock::set_to(start);
    let store = Store::open(&place.settings(), clock.clone()).await.unwrap();
    let alice = identity("alice@example.com", "1");
    store.recognise(&alice).await.unwrap();
    let keys: Vec<_> = (0u8..3).map(|n| SessionKey::of(&[n])).collect();
    for key in &keys {
        store.open_session(session(*key, &alice)).await.unwrap();
    }
    let found = store.session(&keys[0]).unwrap().unwrap();
    assert_eq!((&*found.provider, found.logout_hint.as_deref()), ("idp", Some("sealed")));
    assert_eq!(found.identity.subject, alice.subject);
    store.end_session(&keys[2]).await.unwrap();
    assert!(store.session(&keys[2]).unwrap().is_none());
    clock.advance(Duration::from_hours(7));
    store.touch_session(&keys[0]);
    clock.advance(Duration::from_hours(2));
    assert!(store.session(&keys[0]).unwrap().is_some(), "used two hours ago");
    assert!(store.session(&keys[1]).unwrap().is_none(), "not used for nine hours");
    for _ in 0..4 {
        store.touch_session(&keys[0]);
        clock.advance(Duration::from_hours(4));
    }
    assert!(store.session(&keys[0]).unwrap().is_none(), "older than a day");
}

async fn a_session_of_a_clock_that_was_ahead_does_not_live_until_then(place: Place) {
    let clock = Clock::set_to(SystemTime::now() + Duration::from_hours(24 * 365));
    let store = Store::open(&place.settings(), clock.clone()).await.unwrap();
    let alice = identity("alice@example.com", "1");
    let alice = Arc::new(Identity { until: clock.now() + Duration::from_hours(24), ..(*alice).clone() });
    store.recognise(&alice).await.unwrap();
    let key = SessionKey::of(b"secret");
    store.open_session(session(key, &alice)).await.unwrap();
    assert!(store.session(&key).unwrap().is_some());
    clock.turn_back(Duration::from_mins(2));
    assert!(store.session(&key).unwrap().is_some(), "clocks differ a little");
    clock.turn_back(Duration::from_hours(24 * 365));
    assert!(store.session(&key).unwrap().is_none());
    store.close().await;
}

async fn uses_of_a_session_are_written_before_the_store_closes(place: Place) {
    let clock = Clock::set_to(SystemTime::now());
    let store = Store::open(&place.settings(), clock.clone()).await.unwrap();
    let alice = identity("alice@example.com", "1");
    store.recognise(&alice).await.unwrap();
    let key = SessionKey::of(b"secret");
    store.open_session(session(key, &alice)).await.unwrap();
    clock.advance(Duration::from_hours(5));
    store.touch_session(&key);
    store.close().await;
    let store = Store::open(&place.settings(), clock.clone()).await.unwrap();
    clock.advance(Duration::from_hours(5));
    assert!(store.session(&key).unwrap().is_some());
}

async fn a_removed_user_comes_back_with_nothing(place: Place) {
    let store = place.open().await;
    let alice = identity("alice@example.com", "1");
    store.own(&home(), Kind::Experiment, "3", &alice.user).await.unwrap();
    store.recognise(&alice).await.unwrap();
    let key = SessionKey::of(b"secret");
    store.open_session(session(key, &alice)).await.unwrap();
    store.remove_user(&alice.user, by()).await.unwrap();
    assert_eq!(store.principal(Arc::clone(&alice), &home()).unwrap_err(), PrincipalFault::Unrecognised);
    assert!(store.session(&key).unwrap().is_none());
    assert!(!may(&store, &alice, Action::Read, &experiment("3")).await);
}

async fn whose_name_looks_so_is_found_by_the_look_and_forgotten_with_the_user(place: Place) {
    use crate::mlflow::look::look;
    let store = place.open().await;
    let twins = [user("bob@example.com"), user("b0b@example.com")];
    for name in &twins {
        store.add_user(name, by()).await.unwrap();
    }
    store.add_user(&user("carol@example.com"), by()).await.unwrap();
    let looking = |store: &Store| {
        let mut found = store.looking(&look("BOB@example.com."));
        found.sort_unstable();
        found
    };
    assert_eq!(looking(&store), [twins[1].clone(), twins[0].clone()]);
    // A change of the same user adds no second one.
    store.set_admin(&twins[0], true, by()).await.unwrap();
    assert_eq!(looking(&store).len(), 2);
    store.remove_user(&twins[1], by()).await.unwrap();
    assert_eq!(looking(&store), [twins[0].clone()]);
    store.close().await;
    assert_eq!(looking(&place.open().await), [twins[0].clone()]);
}

async fn what_does_not_exist_is_named(place: Place) {
    let store = place.open().await;
    let fault = store.set_admin(&user("nobody"), true, by()).await.unwrap_err();
    assert_eq!(fault.to_string(), "there is no user `nobody`");
    let fault = store.add_member(&group("none"), &user("nobody"), by()).await.unwrap_err();
    assert_eq!(fault.to_string(), "there is no group `none`");
}

async fn every_change_leaves_its_line_in_the_log_of_changes(place: Place) {
    let store = place.open().await;
    let alice = user("alice@example.com");
    store.own(&home(), Kind::Experiment, "3", &alice).await.unwrap();
    store.grant(&home(), grant("group:g", Kind::Experiment, "3", Permission::Read), by()).await.unwrap();
    store.forget(&home(), Kind::Experiment, "3", &alice).await.unwrap();
    store.forget(&home(), Kind::Experiment, "3", &alice).await.unwrap();
    store.close().await;
    let lines = place.read("SELECT actor, verb, object FROM changes ORDER BY id").await;
    let lines: Vec<String> = lines.iter().map(|(actor, verb, object)| format!("{actor}: {verb} {object}")).collect();
    assert_eq!(
        lines,
        [
            "user alice@example.com: own experiment 3",
            "operator test: grant experiment 3",
            "user alice@example.com: forget experiment 3"
        ]
    );
}

// --- bad days ---

async fn second_connection(place: &Place) -> sqlx::SqliteConnection {
    sqlite::open(&place.0.join("trackgate.db"), Duration::from_secs(1), None).await.unwrap()
}

/// Whoever else is writing, for as long as it is kept.
enum Writer {
    Sqlite(sqlx::SqliteConnection),
    Postgres(sqlx::PgConnection),
}

impl Writer {
    async fn at(place: &Place) -> Self {
        match &place.1 {
            Engine::Sqlite => {
                let mut other = second_connection(place).await;
                sqlx::query("BEGIN IMMEDIATE").execute(&mut other).await.unwrap();
                Self::Sqlite(other)
            }
            Engine::Postgres(database) => {
                let mut other = postgres::connect(database).await.unwrap();
                sqlx::query("BEGIN").execute(&mut other).await.unwrap();
                sqlx::query("SELECT pg_advisory_xact_lock(8390876135376249204)").execute(&mut other).await.unwrap();
                Self::Postgres(other)
            }
        }
    }

    async fn end(self) {
        match self {
            Self::Sqlite(mut other) => drop(sqlx::query("ROLLBACK").execute(&mut other).await.unwrap()),
            Self::Postgres(mut other) => drop(sqlx::query("ROLLBACK").execute(&mut other).await.unwrap()),
        }
    }
}

async fn a_locked_database_refuses_changes_and_answers_reads(place: Place) {
    let settings = Settings { lock_wait: Duration::from_millis(100), ..place.settings() };
    let store = Store::open(&settings, Clock::System).await.unwrap();
    let alice = identity("alice@example.com", "1");
    assert!(!may(&store, &alice, Action::Read, &experiment("7")).await);
    let other = Writer::at(&place).await;
    let read = grant("user:alice@example.com", Kind::Experiment, "7", Permission::Read);
    let fault = store.grant(&home(), read.clone(), by()).await.unwrap_err();
    assert!(matches!(fault, StoreFault::Locked), "{fault}");
    assert!(store.principal(Arc::clone(&alice), &home()).is_ok(), "reads go on");
    let fault = store.recognise(&identity("bob@example.com", "2")).await.unwrap_err();
    assert!(matches!(fault, RecogniseFault::Store(StoreFault::Locked)), "{fault}");
    other.end().await;
    store.grant(&home(), read, by()).await.unwrap();
    assert!(may(&store, &alice, Action::Read, &experiment("7")).await);
}

#[tokio::test]
async fn a_full_database_refuses_changes_half_of_none_is_seen_and_revoking_still_works_later() {
    let place = Place::new();
    let store = place.open().await;
    let alice = identity("alice@example.com", "1");
    store.recognise(&alice).await.unwrap();
    store.close().await;
    let settings = Settings { most_pages: Some(30), ..place.settings() };
    let store = Store::open(&settings, Clock::System).await.unwrap();
    let mut given = 0;
    let fault = loop {
        let read = grant("user:alice@example.com", Kind::Experiment, &given.to_string(), Permission::Read);
        match store.grant(&home(), read, by()).await {
            Ok(_) => given += 1,
            Err(fault) => break fault,
        }
        assert!(given < 5000, "it never fills");
    };
    assert!(matches!(fault, StoreFault::Full), "{fault}");
    assert!(given > 0);
    assert!(may(&store, &alice, Action::Read, &experiment("0")).await);
    assert!(!may(&store, &alice, Action::Read, &experiment(&given.to_string())).await);
    store.close().await;
    let store = place.open().await;
    assert_eq!(store.grants().len(), given, "what was acknowledged, and nothing else");
}

#[tokio::test]
async fn a_file_that_is_no_database_keeps_the_store_shut() {
    let place = Place::new();
    fs::write(place.0.join("trackgate.db"), "this is no database, whatever its name says".repeat(100)).unwrap();
    let fault = Store::open(&place.settings(), Clock::System).await.unwrap_err();
    assert!(matches!(fault, StoreFault::Corrupt(_)), "{fault}");
}

const CASTLE: &str =
    "INSERT INTO grants VALUES (99, 'default', 'user', 'alice', 'castle', 'exact', '1', 'DENY', NULL, 0, 'x')";

async fn a_grant_that_cannot_be_read_could_be_a_deny_and_keeps_the_store_shut(place: Place) {
    place.open().await.close().await;
    place.write(CASTLE).await;
    let fault = Store::open(&place.settings(), Clock::System).await.unwrap_err();
    assert!(matches!(fault, StoreFault::Corrupt(_)), "{fault}");
}

async fn a_running_store_that_cannot_read_what_was_written_stops_answering(place: Place) {
    let settings = Settings { stale_after: Duration::from_millis(300), ..place.settings() };
    let store = Store::open(&settings, Clock::System).await.unwrap();
    let alice = identity("alice@example.com", "1");
    store.recognise(&alice).await.unwrap();
    place.write(CASTLE).await;
    // SQLite says that something was written; PostgreSQL says nothing of what is in no news.
    place
        .write(
            "INSERT INTO news (seq, part, name) SELECT last + 1, 'everything', '' FROM counters WHERE name = 'changes'",
        )
        .await;
    place.write("UPDATE counters SET last = last + 1 WHERE name = 'changes'").await;
    until("nobody is a principal", || {
        store.principal(Arc::clone(&alice), &home()).is_err_and(|fault| fault == PrincipalFault::NotCurrent)
    })
    .await;
    assert!(store.session(&SessionKey::of(b"x")).is_err());
    place.write("DELETE FROM grants").await;
    until("the store answers again", || store.principal(Arc::clone(&alice), &home()).is_ok()).await;
}

async fn a_newer_schema_keeps_the_store_shut(place: Place) {
    place.open().await.close().await;
    place
        .write(
            "INSERT INTO _sqlx_migrations (version, description, installed_on, success, checksum, execution_time) \
             SELECT 9999, 'from the future', CURRENT_TIMESTAMP, success, checksum, 0 FROM _sqlx_migrations \
             WHERE version = 1",
        )
        .await;
    let fault = Store::open(&place.settings(), Clock::System).await.unwrap_err();
    assert!(matches!(fault, StoreFault::SchemaNewer(9999)), "{fault}");
}

#[tokio::test]
async fn the_state_is_readable_by_its_owner_alone() {
    let place = Place::new();
    let inner = place.0.join("a/b");
    let settings = Settings { state_dir: inner.clone(), ..place.settings() };
    let store = Store::open(&settings, Clock::System).await.unwrap();
    store.add_user(&user("alice"), by()).await.unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o777;
    assert_eq!(mode(&inner), 0o700);
    let mut files = 0;
    for entry in fs::read_dir(&inner).unwrap() {
        assert_eq!(mode(&entry.unwrap().path()), 0o600);
        files += 1;
    }
    assert!(files >= 2, "the database and its log");
    store.close().await;
    fs::set_permissions(&inner, fs::Permissions::from_mode(0o750)).unwrap();
    let fault = Store::open(&settings, Clock::System).await.unwrap_err();
    assert!(fault.to_string().contains("chmod 700"), "{fault}");
}

#[test]
fn a_session_key_is_spelled_in_hex_and_back() {
    let key = SessionKey::of(b"abc");
    assert_eq!(key.to_hex(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    assert_eq!(SessionKey::from_hex(&key.to_hex()), Some(key));
    for text in ["", "00", &"g".repeat(64), &"0".repeat(63), &"é".repeat(32)] {
        assert_eq!(SessionKey::from_hex(text), None, "{text}");
    }
}

#[tokio::test]
async fn grants_from_before_workspaces_hold_in_the_default_one() {
    use sqlx::migrate::Migrator;

    let place = Place::new();
    let file = super::place::prepare(&place.0).unwrap();
    let options =
        sqlx::sqlite::SqliteConnectOptions::new().filename(file).journal_mode(sqlx::sqlite::SqliteJournalMode::Wal);
    let mut old = sqlx::ConnectOptions::connect(&options).await.unwrap();
    let first = Migrator::with_migrations(schema::migrations().into_iter().take(1).collect());
    first.run_direct(None, &mut old, false).await.unwrap();
    for row in [
        "INSERT INTO users (name, created) VALUES ('alice@example.com', 1)",
        "INSERT INTO identities VALUES ('https://idp.test', 'alice@example.com', '1', 1)",
        "INSERT INTO grants VALUES ('user', 'alice@example.com', 'experiment', 'exact', '1', 'EDIT', 5, 'operator x')",
        "INSERT INTO grants VALUES ('group', 'everybody', 'registered_model', 'prefix', 'a', 'DENY', 6, 'operator y')",
    ] {
        sqlx::query(row).execute(&mut old).await.unwrap();
    }
    sqlx::Connection::close(old).await.unwrap();

    let store = place.open().await;
    let alice = identity("alice@example.com", "1");
    assert!(may(&store, &alice, Action::Edit, &experiment("1")).await);
    let told: Vec<_> = store
        .grants()
        .iter()
        .map(|record| format!("{} {} {} {}", record.workspace, record.grant, record.created, record.by))
        .collect();
    assert_eq!(
        told,
        [
            "default group everybody: registered_model a* DENY 6 operator y",
            "default user alice@example.com: experiment 1 EDIT 5 operator x",
        ]
    );
    let role = store.hidden_role(&Subject::User(user("alice@example.com")), &home()).unwrap();
    assert_eq!(
        role.name.as_str(),
        "__user_1__",
        "whoever was known has a number, and a role that stands for their grants"
    );
    let new = store.add_grant(&home(), grant("user:bob", Kind::Experiment, "1", Permission::Read), None, by()).await;
    assert_eq!(new.unwrap().id, 3, "the grants from before are numbered");
    store.remove_grant(3, by()).await.unwrap();
    store.close().await;
    assert!(place.open().await.grants().len() == 2, "the second start finds the new schema");
}

async fn the_same_pattern_is_another_grant_in_another_workspace(place: Place) {
    let store = place.open().await;
    let alice = identity("alice@example.com", "1");
    store.recognise(&alice).await.unwrap();
    let (a, b) = (WorkspaceName::parse("team-a").unwrap(), WorkspaceName::parse("team-b").unwrap());
    let edit = grant("user:alice@example.com", Kind::Experiment, "1", Permission::Edit);
    store.grant(&a, edit.clone(), by()).await.unwrap();
    let in_workspace = |workspace: &WorkspaceName| {
        let principal = store.principal(Arc::clone(&alice), workspace).unwrap();
        (principal.belongs(), holds(&principal, Action::Edit, &experiment("1")).is_ok())
    };
    assert_eq!(
        [in_workspace(&a), in_workspace(&b), in_workspace(&home())],
        [(true, true), (false, false), (false, false)]
    );
    store.grant(&b, Grant { permission: Permission::Deny, ..edit.clone() }, by()).await.unwrap();
    assert_eq!([in_workspace(&a), in_workspace(&b)], [(true, true), (false, false)], "a DENY gives no home");
    assert!(
        !store.revoke(&home(), edit.subject.clone(), edit.kind, edit.pattern.clone(), by()).await.unwrap().anything()
    );
    store.forget(&home(), Kind::Workspace, "team-b", &user("alice@example.com")).await.unwrap();
    let left: Vec<_> = store.grants().iter().map(|record| record.workspace.to_string()).collect();
    assert_eq!(left, ["team-a"]);
    store.remove_user(&user("alice@example.com"), by()).await.unwrap();
    assert!(store.grants().is_empty(), "a removed user leaves no grant in any workspace");
}

on_both! {
    whose_name_looks_so_is_found_by_the_look_and_forgotten_with_the_user,
    a_grant_counts_from_the_moment_it_is_acknowledged_and_no_longer_when_it_is_revoked,
    what_was_acknowledged_is_there_after_opening_anew,
    nobody_is_a_principal_before_being_recognised,
    whom_another_process_has_just_recognised_is_recognised_here_at_once,
    a_mail_address_given_to_somebody_else_brings_no_grants_until_relinked,
    two_subjects_that_come_at_once_under_one_name_are_not_both_recognised,
    a_disabled_user_is_refused_and_signed_out_at_once,
    what_is_supposed_of_a_stranger_is_what_they_hold_once_recognised,
    groups_of_the_store_and_of_the_issuer_both_count,
    everybody_is_in_everybody_and_nobody_can_be_put_there,
    settings_name_administrators_and_who_may_create,
    a_new_object_does_not_inherit_grants_from_an_older_one_of_its_name,
    owning_a_model_with_a_star_in_its_name_is_owning_no_other_model,
    what_somebody_else_made_meanwhile_is_theirs,
    a_rename_takes_the_grants_along_and_frees_the_old_name,
    a_deny_survives_rename_and_creation_on_either_name,
    a_deleted_object_leaves_no_grant_behind,
    what_another_process_writes_is_seen_soon,
    a_session_ends_by_idleness_by_age_and_by_being_ended,
    a_session_of_a_clock_that_was_ahead_does_not_live_until_then,
    uses_of_a_session_are_written_before_the_store_closes,
    a_removed_user_comes_back_with_nothing,
    what_does_not_exist_is_named,
    every_change_leaves_its_line_in_the_log_of_changes,
    a_locked_database_refuses_changes_and_answers_reads,
    a_newer_schema_keeps_the_store_shut,
    a_grant_that_cannot_be_read_could_be_a_deny_and_keeps_the_store_shut,
    a_running_store_that_cannot_read_what_was_written_stops_answering,
    the_same_pattern_is_another_grant_in_another_workspace,
}
