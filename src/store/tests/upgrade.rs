//! What a bad upgrade leaves behind: the database of before, and a word of what to do.

use sqlx::migrate::Migrator;

use super::backup::at_schema;
use super::*;

/// The steps of the version before this one.
fn before() -> Migrator {
    let steps = schema::migrations();
    let last = steps.len() - 1;
    Migrator::with_migrations(steps.into_iter().take(last).collect())
}

/// Whether the program of the version before opens the database.
async fn the_version_before_starts(place: &Place) -> bool {
    match &place.1 {
        Engine::Sqlite => {
            let mut connection = sqlite::connect(&place.0.join("trackgate.db"), Duration::from_secs(1)).await.unwrap();
            before().run_direct(None, &mut connection, false).await.is_ok()
        }
        Engine::Postgres(database) => {
            let mut connection = postgres::connect(database).await.unwrap();
            before().run_direct(None, &mut connection, false).await.is_ok()
        }
    }
}

/// Each step in its turn finds a table in its way that it wants to make. What it did before that is undone.
async fn a_step_that_fails_half_way_is_undone_told_and_the_version_before_still_starts(place: Place) {
    // 8 alters a table, makes one, and then finds the second there.
    at_schema(&place, 7).await;
    place.write_raw("INSERT INTO users (name, created, id) VALUES ('alice@example.com', 1, 1)").await;
    place.write_raw("CREATE TABLE login_codes (mine TEXT)").await;
    for _ in 0..2 {
        let fault = Store::open(&place.settings(), Clock::System).await.unwrap_err();
        assert!(matches!(fault, StoreFault::Unmigrated { version: 8, .. }), "{fault}");
        let told = fault.to_string();
        assert!(told.contains("step 8") && told.contains("login_codes") && told.contains("still starts"), "{told}");
        assert_eq!(place.version().await, 7);
    }
    let steps = schema::migrations().into_iter().filter(|step| step.version <= 7).collect();
    let old = Migrator::with_migrations(steps);
    match &place.1 {
        Engine::Sqlite => {
            let mut connection = sqlite::connect(&place.0.join("trackgate.db"), Duration::from_secs(1)).await.unwrap();
            old.run_direct(None, &mut connection, false).await.unwrap();
        }
        Engine::Postgres(database) => {
            let mut connection = postgres::connect(database).await.unwrap();
            old.run_direct(None, &mut connection, false).await.unwrap();
        }
    }
    // Nothing of the step is left: the column that it adds first can be added.
    place.write_raw("ALTER TABLE tokens ADD COLUMN ends BIGINT").await;
    place.write_raw("ALTER TABLE tokens DROP COLUMN ends").await;
    // Out of the way, it goes on.
    place.write_raw("DROP TABLE login_codes").await;
    let store = place.open().await;
    assert_eq!(store.users().len(), 1);
    store.close().await;
    assert_eq!(place.version().await, schema::newest());
}

/// What an operator sees who goes back a version: no word of SQL, and nothing is touched.
async fn the_version_before_refuses_what_a_newer_one_has_migrated(place: Place) {
    place.open().await.close().await;
    assert!(!the_version_before_starts(&place).await);
    let told = StoreFault::from(sqlx::migrate::MigrateError::VersionMissing(schema::newest())).to_string();
    assert!(told.contains("newer than this program knows; use the newer program"), "{told}");
    place.open().await.close().await;
}

on_both! {
    a_step_that_fails_half_way_is_undone_told_and_the_version_before_still_starts,
    the_version_before_refuses_what_a_newer_one_has_migrated,
}
