//! How is the store carried away in one file, and brought back?
//!
//! One form for both engines, so that a backup of either is restored into either: what somebody has in their hands in a bad
//! hour need not fit the machine they have. A backup is read in one transaction, while gates serve and write; a restore is
//! one transaction too, the schema included, so that the store is what it was or what the backup says, and never between.
//!
//! A backup holds the schema that it was made of, and is migrated once it is back: an older one is as good as a new one.

mod draft;
mod form;
mod restore;
mod tables;

use std::io;
use std::path::{Path, PathBuf};

pub use self::form::{Contents, Head};
#[cfg(test)]
pub(super) use self::restore::fill;
pub use self::restore::{How, Restored, examine, restore};

use self::draft::Draft;
use self::form::Writer;
use super::copy::Cells;
use super::engine::{Link, Sql, Tx, sql};
use super::fault::StoreFault;
use super::{Engine, Settings, place, postgres, schema, sqlite};
use crate::clock::Clock;

/// Why there is no backup, or why it was not restored. Then nothing is written, and nothing changed.
#[derive(Debug, thiserror::Error)]
pub enum BackupFault {
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreFault),
    /// There is nothing to be backed up.
    #[error("there is no database in `{}`", .0.display())]
    NoStore(PathBuf),
    /// A file is there already.
    #[error("there is a file `{}` already; `--force` puts the backup in its place", .0.display())]
    Exists(PathBuf),
    /// The disk is full, or the like.
    #[error("the backup cannot be written: {0}; nothing is left of it")]
    Unwritten(#[source] io::Error),
    /// The file is not there, or is somebody else's.
    #[error("`{}` cannot be read: {error}", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// Something else than a backup.
    #[error("this is no backup of a Trackgate store")]
    Foreign,
    /// Cut off, or changed.
    #[error("the backup is damaged: {0}; nothing was restored")]
    Damaged(String),
    /// A newer Trackgate made it.
    #[error(
        "the backup was made by Trackgate {program}, of schema {schema}; this program knows schemas up to {known}: use the newer one"
    )]
    Newer {
        /// Its version.
        program: String,
        /// Its schema.
        schema: i64,
        /// Ours.
        known: i64,
    },
    /// A gate serves from it.
    #[error("something has the store open, a gate or a command: stop it first")]
    InUse,
    /// There is something in it.
    #[error("the store is not empty, there is something in `{0}`; `--replace` puts the backup in its place")]
    NotEmpty(String),
}

/// Writes all that the store holds into a file, which only its owner may read, or which is not there at all.
///
/// # Errors
/// [`BackupFault`].
pub async fn backup(from: &Settings, file: &Path, force: bool, clock: &Clock) -> Result<Contents, BackupFault> {
    if !force && file.exists() {
        return Err(BackupFault::Exists(file.to_owned()));
    }
    let mut draft = Draft::beside(file).map_err(BackupFault::Unwritten)?;
    let contents = backup_to(from, &mut draft, clock).await?;
    if !force && file.exists() {
        return Err(BackupFault::Exists(file.to_owned()));
    }
    draft.keep().map_err(BackupFault::Unwritten)?;
    Ok(contents)
}

/// The same, to whatever takes it. Where this fails, what came out is no backup.
///
/// # Errors
/// [`BackupFault`].
pub async fn backup_to(from: &Settings, to: impl io::Write, clock: &Clock) -> Result<Contents, BackupFault> {
    let mut link = reader(from).await?;
    let written = write(&mut link, to, clock).await;
    // Nothing was changed in it.
    let _ = link.close().await;
    written
}

/// Of which schema the store is, and of which it will be, if that is an older one than ours. Nothing is changed: who merely
/// looks must not take the store from a gate of the version before.
///
/// # Errors
/// [`BackupFault`].
pub async fn outdated(store: &Settings) -> Result<Option<(i64, i64)>, BackupFault> {
    let mut link = match reader(store).await {
        Err(BackupFault::NoStore(_)) => return Ok(None),
        link => link?,
    };
    let mut t = link.read().await?;
    let schema = tables::schema(&mut t).await?;
    t.commit().await?;
    let _ = link.close().await;
    Ok(schema.filter(|schema| *schema < schema::newest()).map(|schema| (schema, schema::newest())))
}

/// A connection that leaves the schema as it is: a newer program may be asked for the backup before an upgrade.
async fn reader(from: &Settings) -> Result<Link, BackupFault> {
    match &from.engine {
        Engine::Sqlite => {
            let file = from.state_dir.join(place::FILE);
            if !file.exists() {
                return Err(BackupFault::NoStore(from.state_dir.clone()));
            }
            place::directory(&from.state_dir)?;
            Ok(Link::Sqlite(sqlite::connect(&file, from.lock_wait).await?))
        }
        Engine::Postgres(database) => Ok(Link::Postgres(Box::new(postgres::connect(database).await?))),
    }
}

async fn write(link: &mut Link, to: impl io::Write, clock: &Clock) -> Result<Contents, BackupFault> {
    // INVARIANT: one transaction, one state. What was acknowledged before it began is in it.
    let mut t = link.read().await?;
    t.unhurried().await?;
    let schema = tables::schema(&mut t).await?.ok_or_else(|| StoreFault::Corrupt("it has no schema".to_owned()))?;
    if schema > schema::newest() {
        return Err(StoreFault::SchemaNewer(schema).into());
    }
    let found = tables::present(&mut t).await?;
    let head = Head::new(schema, newest_change(&mut t, &found).await?, clock.millis());
    let mut writer = Writer::begin(to, &head).map_err(BackupFault::Unwritten)?;
    for table in found.iter().filter(|table| table.kept()) {
        writer.table(table).map_err(BackupFault::Unwritten)?;
        let cells: Vec<String> = table.columns.iter().map(|column| format!("CAST({} AS TEXT)", column.name)).collect();
        let query = format!("SELECT {} FROM {}", cells.join(", "), table.name);
        let mut broken = None;
        let read = t
            .each(Sql::made(query), |Cells(row)| {
                writer.row(&row).map_err(|error| {
                    broken = Some(error);
                    StoreFault::Closed
                })
            })
            .await;
        if let Some(error) = broken {
            return Err(BackupFault::Unwritten(error));
        }
        read?;
    }
    let contents = writer.end(head).map_err(BackupFault::Unwritten)?;
    t.commit().await?;
    Ok(contents)
}

async fn newest_change(t: &mut Tx<'_>, found: &[tables::Table]) -> Result<u64, StoreFault> {
    if !found.iter().any(|table| table.name == "counters") {
        return Ok(0);
    }
    let last: Option<(i64,)> = t.one(sql("SELECT last FROM counters WHERE name = 'changes'")).await?;
    Ok(last.map_or(0, |(last,)| last.unsigned_abs()))
}
