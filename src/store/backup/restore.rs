//! How does a backup become the store again?
//!
//! In one transaction: the tables of ours go, come back as the backup's schema had them, are filled, and brought to the newest
//! schema. Whatever goes wrong, the store is what it was.
//!
//! Numbers are never given twice, as far as can be known: where the old store is there, its counters count too; where it is
//! not, they jump ahead of whatever was given after the backup. What had ended by then and would come alive again is ended:
//! sessions and logins, unless they are wanted.

use std::path::Path;

use uuid::Uuid;

use super::super::changes::By;
use super::super::copy::{Column, VALUES, put};
use super::super::engine::{Link, Sql, Tx, sql};
use super::super::fault::StoreFault;
use super::super::{Engine, Settings, logins, news, people, place, postgres, sqlite};
use super::form::{Contents, Item, Reader, damaged};
use super::tables::{self, STEPS, Table};
use super::{BackupFault, Cells};
use crate::clock::Clock;

/// How far the numbers jump where nobody knows which were given after the backup.
const AHEAD: u64 = 1_000_000;

/// What is wanted of a restore.
#[derive(Debug, Clone)]
pub struct How {
    /// Put it in the place of what is there.
    pub replace: bool,
    /// Let sessions and logins go on.
    pub keep_sessions: bool,
    /// Who does it.
    pub by: By,
}

/// What was restored.
#[derive(Debug)]
pub struct Restored {
    /// The backup.
    pub contents: Contents,
    /// How many sessions and logins were ended.
    pub ended: u64,
    /// The newest change of the store that is gone, where there was one.
    pub before: Option<u64>,
}

/// Looks whether a backup is whole, and at what is in it. Nothing is written.
///
/// # Errors
/// [`BackupFault`].
pub fn examine(file: &Path) -> Result<Contents, BackupFault> {
    examined(&read(file)?)
}

fn read(file: &Path) -> Result<Vec<u8>, BackupFault> {
    std::fs::read(file).map_err(|error| BackupFault::Unreadable { path: file.to_owned(), error })
}

fn examined(bytes: &[u8]) -> Result<Contents, BackupFault> {
    let mut reader = Reader::begin(bytes)?;
    while reader.next()?.is_some() {}
    Ok(reader.contents())
}

/// Puts a backup into a store that nobody serves from.
///
/// # Errors
/// [`BackupFault`]; then the store is what it was.
pub async fn restore(file: &Path, to: &Settings, how: &How, clock: &Clock) -> Result<Restored, BackupFault> {
    let bytes = read(file)?;
    // All of it first: whether it is damaged is known before anything is touched.
    examined(&bytes)?;
    let mut link = alone(to).await?;
    let restored = fill(&mut link, &bytes, to, how, clock).await;
    // Whatever this says: it is restored or not by now, and the end of the connection opens the door too.
    let _ = match &mut link {
        Link::Sqlite(connection) => sqlite::to_wal(connection).await,
        Link::Postgres(connection) => postgres::let_in(connection).await,
    };
    let _ = link.close().await;
    restored
}

/// A connection to a store that nobody else has open.
async fn alone(to: &Settings) -> Result<Link, BackupFault> {
    let in_use = |fault| match fault {
        StoreFault::Locked => BackupFault::InUse,
        other => BackupFault::Store(other),
    };
    match &to.engine {
        Engine::Sqlite => {
            let file = place::prepare(&to.state_dir)?;
            Ok(Link::Sqlite(sqlite::connect_alone(&file, to.lock_wait).await.map_err(in_use)?))
        }
        Engine::Postgres(database) => {
            Ok(Link::Postgres(Box::new(postgres::connect_alone(database, to.lock_wait).await.map_err(in_use)?)))
        }
    }
}

pub(in crate::store) async fn fill(
    link: &mut Link,
    bytes: &[u8],
    to: &Settings,
    how: &How,
    clock: &Clock,
) -> Result<Restored, BackupFault> {
    let mut t = link.write(to.lock_wait).await?;
    t.unhurried().await?;
    let old = clear(&mut t, how).await?;
    let mut reader = Reader::begin(bytes)?;
    t.migrate(Some(reader.head.schema)).await?;
    load(&mut t, &mut reader).await?;
    t.migrate(None).await?;
    let contents = reader.contents();

    let now = i64::try_from(clock.millis()).unwrap_or(i64::MAX);
    count_on(&mut t, &old).await?;
    let mut ended = 0;
    if !how.keep_sessions {
        ended = logins::end_all(&mut t, None, &how.by, now).await? + people::end_all_sessions(&mut t).await?;
        t.run(sql("DELETE FROM login_codes")).await?;
        t.run(sql("DELETE FROM device_codes")).await?;
    }
    write_down(&mut t, &contents, how, now).await?;
    t.commit().await?;
    let before = old.into_iter().find(|(name, _)| name == "changes").map(|(_, last)| last);
    Ok(Restored { contents, ended, before })
}

/// Takes away what is there; tells how far its numbers had come.
async fn clear(t: &mut Tx<'_>, how: &How) -> Result<Vec<(String, u64)>, BackupFault> {
    if let Some(schema) = tables::schema(t).await?
        && schema > super::schema::newest()
    {
        return Err(StoreFault::SchemaNewer(schema).into());
    }
    let found = tables::present(t).await?;
    // A gate that was opened and closed leaves counters, and keys of its own.
    for table in found.iter().filter(|table| !matches!(table.name, "counters" | "news" | "seal_keys")) {
        let held: Option<(i64,)> = t.one(Sql::made(format!("SELECT COUNT(*) FROM {}", table.name))).await?;
        if held != Some((0,)) && !how.replace {
            return Err(BackupFault::NotEmpty(table.name.to_owned()));
        }
    }
    let mut old = Vec::new();
    if found.iter().any(|table| table.name == "counters") {
        let rows: Vec<(String, i64)> = t.all(sql("SELECT name, last FROM counters WHERE last > 0")).await?;
        old = rows.into_iter().map(|(name, last)| (name, last.unsigned_abs())).collect();
    }
    // Those that refer to others go first.
    for name in tables::names().rev().chain([STEPS]) {
        t.run(Sql::made(format!("DROP TABLE IF EXISTS {name}"))).await?;
    }
    Ok(old)
}

async fn load(t: &mut Tx<'_>, reader: &mut Reader<'_>) -> Result<(), BackupFault> {
    let made = tables::present(t).await?;
    let mut table: Option<&Table> = None;
    let mut rows: Vec<Cells> = Vec::new();
    while let Some(item) = reader.next()? {
        match item {
            Item::Table(named) => {
                flush(t, table, &mut rows).await?;
                let found = made.iter().find(|table| table.name == named.table && table.kept());
                let found = found.ok_or_else(|| damaged(format_args!("its schema has no table `{}`", named.table)))?;
                if !found.columns.iter().map(|column| &column.name).eq(&named.columns) {
                    return Err(damaged(format_args!("its table `{}` has other columns than its schema", named.table)));
                }
                // The steps of the schema put something into some of them.
                t.run(Sql::made(format!("DELETE FROM {}", found.name))).await?;
                table = Some(found);
            }
            Item::Row(cells) => {
                let columns = table.map_or(0, |table| table.columns.len());
                if cells.len() != columns {
                    return Err(damaged("a row has more or fewer cells than its table has columns"));
                }
                rows.push(Cells(cells));
                if rows.len() >= VALUES / columns.max(1) {
                    flush(t, table, &mut rows).await?;
                }
            }
        }
    }
    flush(t, table, &mut rows).await
}

async fn flush(t: &mut Tx<'_>, table: Option<&Table>, rows: &mut Vec<Cells>) -> Result<(), BackupFault> {
    if let Some(Table { name, columns }) = table
        && !rows.is_empty()
    {
        let columns: &[Column] = columns;
        put(t, name, columns, rows).await?;
        rows.clear();
    }
    Ok(())
}

/// Lets no number be given that was given before.
async fn count_on(t: &mut Tx<'_>, old: &[(String, u64)]) -> Result<(), StoreFault> {
    if old.is_empty() {
        t.run(sql("UPDATE counters SET last = last + $1").bind(AHEAD)).await?;
    }
    for (name, last) in old {
        t.run(sql("UPDATE counters SET last = $2 WHERE name = $1 AND last < $2").bind(name.as_str()).bind(*last))
            .await?;
    }
    Ok(())
}

/// A line in the log of changes, and a word for gates that wait for the database to come back: all of it is new.
async fn write_down(t: &mut Tx<'_>, contents: &Contents, how: &How, now: i64) -> Result<(), StoreFault> {
    let seq = news::number(t, "changes").await?;
    let line =
        sql("INSERT INTO changes (id, at, actor, verb, object, detail, seq) VALUES ($1, $2, $3, $4, $5, $6, $7)");
    let detail = format!(
        "schema {}, up to change {}, made {}",
        contents.head.schema, contents.head.newest_change, contents.head.made
    );
    let line = line.bind(Uuid::now_v7().to_string()).bind(now).bind(how.by.to_string()).bind("restore");
    t.run(line.bind("store").bind(detail).bind(seq)).await?;
    t.touched.clear();
    t.touch(news::Part::Everything);
    news::publish(t, seq).await
}
