//! Which tables does a database have, whatever its schema, and what do they refer to?
//!
//! Asked of the database itself: the backup of an older schema has the tables and columns of that one.

use super::super::copy::{Column, TABLES};
use super::super::engine::{Sql, Tx, sql};
use super::super::fault::StoreFault;

/// Tables of ours besides those that `copy` moves. What `news` tells is of no use to whoever reads everything.
const MORE: [&str; 2] = ["seal_keys", "news"];

/// The table in which the steps of the schema are noted.
pub(super) const STEPS: &str = "_sqlx_migrations";

/// A table of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Table {
    pub(super) name: &'static str,
    pub(super) columns: Vec<Column>,
}

impl Table {
    /// Whether it belongs into a backup.
    pub(super) fn kept(&self) -> bool {
        self.name != "news"
    }
}

/// Every name that a table of ours has, a table after those that it refers to.
pub(super) fn names() -> impl DoubleEndedIterator<Item = &'static str> {
    TABLES.iter().map(|(name, _)| *name).collect::<Vec<_>>().into_iter().chain(MORE)
}

/// The newest step that was made; `None`: there is no schema.
pub(super) async fn schema(t: &mut Tx<'_>) -> Result<Option<i64>, StoreFault> {
    if columns(t, STEPS).await?.is_empty() {
        return Ok(None);
    }
    let newest: Option<(Option<i64>,)> = t.one(Sql::made(format!("SELECT MAX(version) FROM {STEPS}"))).await?;
    Ok(newest.and_then(|(version,)| version))
}

/// The tables of ours that are there. Whatever else lies in the same database is not ours to touch.
pub(super) async fn present(t: &mut Tx<'_>) -> Result<Vec<Table>, StoreFault> {
    let mut found = Vec::new();
    for name in names() {
        let columns = columns(t, name).await?;
        if !columns.is_empty() {
            found.push(Table { name, columns });
        }
    }
    Ok(found)
}

async fn columns(t: &mut Tx<'_>, table: &str) -> Result<Vec<Column>, StoreFault> {
    let ask = if t.is_sqlite() {
        sql("SELECT name, type FROM pragma_table_info($1) ORDER BY cid")
    } else {
        sql("SELECT CAST(column_name AS TEXT), CAST(data_type AS TEXT) FROM information_schema.columns \
             WHERE table_schema = current_schema() AND table_name = $1 ORDER BY ordinal_position")
    };
    let rows: Vec<(String, String)> = t.all(ask.bind(table)).await?;
    // There are texts and whole numbers (BIGINT, SMALLINT), and nothing else.
    let columns = rows.into_iter().map(|(name, kind)| Column { name, number: !kind.eq_ignore_ascii_case("text") });
    Ok(columns.collect())
}
