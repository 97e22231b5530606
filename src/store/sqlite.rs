//! How is the SQLite file opened, and brought to the newest schema?
//!
//! One connection for everything: its `PRAGMA data_version` changes exactly when somebody else has committed
//! (<https://www.sqlite.org/pragma.html#pragma_data_version>).

use std::path::Path;
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions, SqliteConnection};

use super::fault::StoreFault;
use super::schema;

/// Opens the file and brings it to the newest schema.
pub(super) async fn open(file: &Path, wait: Duration, most_pages: Option<u32>) -> Result<SqliteConnection, StoreFault> {
    let mut options = SqliteConnectOptions::new()
        .filename(file)
        .create_if_missing(false)
        .journal_mode(SqliteJournalMode::Wal)
        // INVARIANT: acknowledged is on the disk. WAL with NORMAL may lose the last commits with the power.
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(wait)
        // Rows come from a thread of their own: a million of them need not change hands one by one.
        .row_buffer_size(4096)
        .thread_name(|_| "trackgate-store".to_owned());
    if let Some(most) = most_pages {
        options = options.pragma("max_page_count", most.to_string());
    }
    let mut connection = options.connect().await?;
    schema::migrator().run_direct(None, &mut connection, false).await?;
    Ok(connection)
}

/// Opens the file as it is: neither its schema nor anything else of it is changed.
pub(super) async fn connect(file: &Path, wait: Duration) -> Result<SqliteConnection, StoreFault> {
    let options = SqliteConnectOptions::new().filename(file).create_if_missing(false).foreign_keys(true);
    Ok(options.busy_timeout(wait).row_buffer_size(4096).connect().await?)
}

/// Opens the file if nobody else has it open: nobody leaves the journal that all of them write
/// (<https://www.sqlite.org/wal.html>, section 2.2), else it is locked. [`to_wal`] brings it back.
pub(super) async fn connect_alone(file: &Path, wait: Duration) -> Result<SqliteConnection, StoreFault> {
    let options = SqliteConnectOptions::new()
        .filename(file)
        .create_if_missing(false)
        .journal_mode(SqliteJournalMode::Delete)
        .synchronous(SqliteSynchronous::Extra)
        .foreign_keys(true)
        .busy_timeout(wait);
    Ok(options.connect().await?)
}

/// Lets many have it open again.
pub(super) async fn to_wal(connection: &mut SqliteConnection) -> Result<(), StoreFault> {
    sqlx::query("PRAGMA journal_mode = WAL").execute(connection).await?;
    Ok(())
}

/// Changes when another connection has committed.
pub(super) async fn data_version(connection: &mut SqliteConnection) -> Result<i64, StoreFault> {
    Ok(sqlx::query_scalar("PRAGMA data_version").fetch_one(connection).await?)
}
