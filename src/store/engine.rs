//! How does one statement run, whatever the database is?
//!
//! Statements are the same for each: TEXT and BIGINT alone, `$1` for values. A transaction gathers which parts of the
//! state it touches, and writes them down with its last breath.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::TryStreamExt as _;
use sqlx::postgres::{PgArguments, PgConnection, PgRow};
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{Connection, FromRow, Postgres, SqlSafeStr as _, SqlStr, Sqlite, SqliteConnection, Transaction};

use super::fault::StoreFault;
use super::login::Redeemed;
use super::news::Part;
use super::{postgres, schema, sqlite};

/// The connection.
#[derive(Debug)]
pub(super) enum Link {
    Sqlite(SqliteConnection),
    Postgres(Box<PgConnection>),
}

/// A statement and its values.
#[derive(Debug)]
pub(super) struct Sql {
    text: SqlStr,
    values: Vec<Value>,
}

/// What a statement takes.
#[derive(Debug, Clone)]
pub(super) enum Value {
    Text(Option<String>),
    Number(Option<i64>),
}

/// What comes out of a query.
pub(super) trait Row: for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow> + Send + Unpin {}

impl<T: for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow> + Send + Unpin> Row for T {}

/// A statement without values yet.
pub(super) fn sql(text: &'static str) -> Sql {
    Sql { text: SqlStr::from_static(text), values: Vec::new() }
}

impl Sql {
    /// A statement that the program puts together out of its own words alone.
    pub(super) fn made(text: String) -> Self {
        Self { text: sqlx::AssertSqlSafe(text).into_sql_str(), values: Vec::new() }
    }

    pub(super) fn bind(mut self, value: impl Into<Value>) -> Self {
        self.values.push(value.into());
        self
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(Some(text.to_owned()))
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(Some(text))
    }
}

impl From<Option<&str>> for Value {
    fn from(text: Option<&str>) -> Self {
        Self::Text(text.map(str::to_owned))
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Number(Some(number))
    }
}

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Self::Number(Some(signed(number)))
    }
}

impl From<Option<u64>> for Value {
    fn from(number: Option<u64>) -> Self {
        Self::Number(number.map(signed))
    }
}

impl From<bool> for Value {
    fn from(on: bool) -> Self {
        Self::Number(Some(i64::from(on)))
    }
}

/// Both databases count in 64 bits with a sign; what is beyond is as far as it goes.
pub(super) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn for_sqlite(sql: Sql) -> sqlx::query::Query<'static, Sqlite, SqliteArguments> {
    sql.values.into_iter().fold(sqlx::query(sql.text), |query, value| match value {
        Value::Text(text) => query.bind(text),
        Value::Number(number) => query.bind(number),
    })
}

fn for_postgres(sql: Sql) -> sqlx::query::Query<'static, Postgres, PgArguments> {
    sql.values.into_iter().fold(sqlx::query(sql.text), |query, value| match value {
        Value::Text(text) => query.bind(text),
        Value::Number(number) => query.bind(number),
    })
}

impl Link {
    /// Begins a transaction that writes. It waits for other writers here, and for nobody later: the order of the changes'
    /// numbers is the order in which they come to be.
    pub(super) async fn write(&mut self, wait: Duration) -> Result<Tx<'_>, StoreFault> {
        let inner = match self {
            // A deferred transaction that reads before it writes fails at once when another process writes, whatever
            // the busy timeout.
            Self::Sqlite(connection) => Inner::Sqlite(connection.begin_with("BEGIN IMMEDIATE").await?),
            Self::Postgres(connection) => {
                let mut t = connection.begin_with("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE").await?;
                postgres::alone(&mut t, wait).await?;
                Inner::Postgres(t)
            }
        };
        Ok(Tx { inner, touched: BTreeSet::new(), lines: Vec::new(), redeemed: None })
    }

    /// Begins a transaction that reads one state of the database.
    pub(super) async fn read(&mut self) -> Result<Tx<'_>, StoreFault> {
        let inner = match self {
            Self::Sqlite(connection) => Inner::Sqlite(connection.begin().await?),
            Self::Postgres(connection) => {
                Inner::Postgres(connection.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?)
            }
        };
        Ok(Tx { inner, touched: BTreeSet::new(), lines: Vec::new(), redeemed: None })
    }

    /// Something that changes when another process has written, where the database tells so for nothing.
    pub(super) async fn version(&mut self) -> Result<Option<i64>, StoreFault> {
        match self {
            Self::Sqlite(connection) => Ok(Some(sqlite::data_version(connection).await?)),
            Self::Postgres(_) => Ok(None),
        }
    }

    pub(super) async fn close(self) -> Result<(), StoreFault> {
        match self {
            Self::Sqlite(connection) => connection.close().await?,
            Self::Postgres(connection) => connection.close().await?,
        }
        Ok(())
    }
}

/// One transaction. Dropped without [`Tx::commit`] it changes nothing.
#[derive(Debug)]
pub(super) struct Tx<'c> {
    inner: Inner<'c>,
    /// What it touches.
    pub(super) touched: BTreeSet<Part>,
    /// Lines for the log of changes: verb, object, detail.
    pub(super) lines: Vec<(&'static str, String, String)>,
    /// What became of a code or of a refresh token.
    pub(super) redeemed: Option<Redeemed>,
}

#[derive(Debug)]
enum Inner<'c> {
    Sqlite(Transaction<'c, Sqlite>),
    Postgres(Transaction<'c, Postgres>),
}

impl Tx<'_> {
    /// Notes that a part of the state is another one now.
    pub(super) fn touch(&mut self, part: Part) {
        self.touched.insert(part);
    }

    /// Adds a line to the log of changes.
    pub(super) fn log(&mut self, verb: &'static str, object: String, detail: String) {
        self.lines.push((verb, object, detail));
    }

    /// Runs a statement; tells how many rows it changed.
    pub(super) async fn run(&mut self, sql: Sql) -> Result<u64, StoreFault> {
        match &mut self.inner {
            Inner::Sqlite(t) => Ok(for_sqlite(sql).execute(&mut **t).await?.rows_affected()),
            Inner::Postgres(t) => Ok(for_postgres(sql).execute(&mut **t).await?.rows_affected()),
        }
    }

    /// All rows of a query.
    pub(super) async fn all<T: Row>(&mut self, sql: Sql) -> Result<Vec<T>, StoreFault> {
        let mut rows = Vec::new();
        self.each(sql, |row| {
            rows.push(row);
            Ok(())
        })
        .await?;
        Ok(rows)
    }

    /// The first row of a query.
    pub(super) async fn one<T: Row>(&mut self, sql: Sql) -> Result<Option<T>, StoreFault> {
        match &mut self.inner {
            Inner::Sqlite(t) => {
                let row = for_sqlite(sql).fetch_optional(&mut **t).await?;
                Ok(row.map(|row| T::from_row(&row)).transpose()?)
            }
            Inner::Postgres(t) => {
                let row = for_postgres(sql).fetch_optional(&mut **t).await?;
                Ok(row.map(|row| T::from_row(&row)).transpose()?)
            }
        }
    }

    /// Each row of a query, without holding all of them at once.
    pub(super) async fn each<T: Row>(
        &mut self,
        sql: Sql,
        mut take: impl FnMut(T) -> Result<(), StoreFault>,
    ) -> Result<(), StoreFault> {
        match &mut self.inner {
            Inner::Sqlite(t) => {
                let mut rows = for_sqlite(sql).fetch(&mut **t);
                while let Some(row) = rows.try_next().await? {
                    take(T::from_row(&row)?)?;
                }
            }
            Inner::Postgres(t) => {
                let mut rows = for_postgres(sql).fetch(&mut **t);
                while let Some(row) = rows.try_next().await? {
                    take(T::from_row(&row)?)?;
                }
            }
        }
        Ok(())
    }

    /// Whether the database is a SQLite file.
    pub(super) fn is_sqlite(&self) -> bool {
        matches!(self.inner, Inner::Sqlite(_))
    }

    /// Lets this transaction's statements take as long as they do, where there is a limit.
    pub(super) async fn unhurried(&mut self) -> Result<(), StoreFault> {
        match &mut self.inner {
            Inner::Sqlite(_) => Ok(()),
            Inner::Postgres(_) => self.run(sql("SET LOCAL statement_timeout = 0")).await.map(drop),
        }
    }

    /// Makes the steps of the schema up to this one, or all, as a part of the transaction.
    pub(super) async fn migrate(&mut self, to: Option<i64>) -> Result<(), StoreFault> {
        match &mut self.inner {
            Inner::Sqlite(t) => schema::migrator().run_direct(to, &mut **t, false).await?,
            Inner::Postgres(t) => schema::migrator().run_direct(to, &mut **t, false).await?,
        }
        Ok(())
    }

    /// Wakes the other processes when the transaction has come to its end, where the database can.
    pub(super) async fn wake(&mut self) -> Result<(), StoreFault> {
        match &mut self.inner {
            Inner::Sqlite(_) => Ok(()),
            Inner::Postgres(t) => postgres::notify(t).await,
        }
    }

    pub(super) async fn commit(self) -> Result<(), StoreFault> {
        match self.inner {
            Inner::Sqlite(t) => t.commit().await?,
            Inner::Postgres(t) => t.commit().await?,
        }
        Ok(())
    }
}
