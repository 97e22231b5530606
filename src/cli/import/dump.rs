//! What does another program's database hold?
//!
//! It is opened for reading alone, and read as it was at one moment. The queries are the same for SQLite and PostgreSQL; what
//! differs is how a table's columns are asked for.

use std::net::IpAddr;
use std::str::FromStr as _;

use anyhow::{Context as _, anyhow, bail};
use sqlx::postgres::{PgConnectOptions, PgConnection, PgSslMode};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Row as _};
use url::Url;

use crate::paper::import::Dump;

/// All rows of these tables.
pub(super) async fn dump(url: &str, tables: &[(String, Vec<&'static str>)]) -> anyhow::Result<Dump> {
    let mut source = Source::open(url).await?;
    source.run("BEGIN").await?;
    if let Source::Postgres(_) = source {
        source.run("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY").await?;
    }
    let mut dump = Dump::new();
    for (table, columns) in tables {
        let known = source.columns(table).await.context("the database cannot be read")?;
        if known.is_empty() {
            continue;
        }
        // The names stand in this program, not in the database.
        let cells = columns.iter().map(|column| {
            let there = known.iter().any(|name| name == column);
            let cell = if there { format!("\"{column}\"") } else { "NULL".to_owned() };
            format!("CAST({cell} AS TEXT)")
        });
        let query = format!("SELECT {} FROM \"{table}\"", cells.collect::<Vec<_>>().join(", "));
        let rows = source.rows(query, columns.len()).await;
        dump.insert(table.clone(), rows.with_context(|| format!("the table `{table}` cannot be read"))?);
    }
    source.run("ROLLBACK").await?;
    source.close().await?;
    Ok(dump)
}

enum Source {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

impl Source {
    async fn open(url: &str) -> anyhow::Result<Self> {
        if let Some(options) = postgres(url)? {
            let connection = options.connect().await.context("the PostgreSQL database cannot be reached")?;
            return Ok(Self::Postgres(connection));
        }
        // SQLAlchemy writes three slashes before a relative path, four before an absolute one.
        let file = url.strip_prefix("sqlite:///").unwrap_or(url);
        if file.contains("://") {
            bail!("write `sqlite:////path/to/file.db`, the file's path, or `postgresql://user@host/database`");
        }
        let options = SqliteConnectOptions::new().filename(file).read_only(true).create_if_missing(false);
        let connection = options.connect().await;
        Ok(Self::Sqlite(connection.with_context(|| format!("the database `{file}` cannot be opened"))?))
    }

    async fn run(&mut self, statement: &'static str) -> anyhow::Result<()> {
        match self {
            Self::Sqlite(connection) => sqlx::query(statement).execute(connection).await.map(|_| ())?,
            Self::Postgres(connection) => sqlx::query(statement).execute(connection).await.map(|_| ())?,
        }
        Ok(())
    }

    /// The columns of a table; none where there is no such table.
    async fn columns(&mut self, table: &str) -> anyhow::Result<Vec<String>> {
        Ok(match self {
            Self::Sqlite(connection) => {
                let query = sqlx::query_scalar("SELECT name FROM pragma_table_info($1)");
                query.bind(table).fetch_all(connection).await?
            }
            Self::Postgres(connection) => {
                let query = sqlx::query_scalar(
                    "SELECT column_name::text FROM information_schema.columns \
                     WHERE table_name = $1 AND table_schema = current_schema()",
                );
                query.bind(table).fetch_all(connection).await?
            }
        })
    }

    async fn rows(&mut self, query: String, width: usize) -> anyhow::Result<Vec<Vec<Option<String>>>> {
        let query = AssertSqlSafe(query);
        let rows: Result<Vec<Vec<_>>, sqlx::Error> = match self {
            Self::Sqlite(connection) => {
                let rows = sqlx::query(query).fetch_all(connection).await?;
                rows.iter().map(|row| (0..width).map(|at| row.try_get(at)).collect()).collect()
            }
            Self::Postgres(connection) => {
                let rows = sqlx::query(query).fetch_all(connection).await?;
                rows.iter().map(|row| (0..width).map(|at| row.try_get(at)).collect()).collect()
            }
        };
        Ok(rows?)
    }

    async fn close(self) -> anyhow::Result<()> {
        match self {
            Self::Sqlite(connection) => connection.close().await?,
            Self::Postgres(connection) => connection.close().await?,
        }
        Ok(())
    }
}

/// How a PostgreSQL database is reached; `None`: the address is of none. What is wrong with an address is not repeated: there
/// may be a password in it.
fn postgres(url: &str) -> anyhow::Result<Option<PgConnectOptions>> {
    // SQLAlchemy names the driver too: `postgresql+psycopg2://`.
    let Some((scheme, rest)) = url.split_once("://") else { return Ok(None) };
    if !matches!(scheme.split('+').next(), Some("postgresql" | "postgres")) {
        return Ok(None);
    }
    let bad = || anyhow!("the address of the PostgreSQL database cannot be read: `postgresql://user@host/database`");
    // An empty host, as in `postgresql://user@/database?host=/run/postgresql`, is none that the parser of URLs takes.
    let text = format!("postgresql://{rest}").replacen("@/", "@localhost/", 1);
    let url = Url::parse(&text).map_err(|_| bad())?;
    let mut options = PgConnectOptions::from_str(&text).map_err(|_| bad())?.application_name("trackgate import");
    let here = |host: &str| {
        let host = host.trim_start_matches('[').trim_end_matches(']');
        host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    };
    let socket = url.query_pairs().any(|(key, value)| key == "host" && value.starts_with('/'));
    let said = url.query_pairs().any(|(key, _)| key == "sslmode");
    // SQLAlchemy would go on without TLS where the server has none. Here that must be said.
    if !said && !socket && !url.host_str().is_some_and(here) {
        options = options.ssl_mode(PgSslMode::VerifyFull);
    }
    Ok(Some(options.disable_statement_logging()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tls_is_verified_unless_the_address_says_otherwise() {
        let mode = |url: &str| format!("{:?}", postgres(url).unwrap().unwrap().get_ssl_mode());
        for url in ["postgresql://u:p@db.example.com/auth", "postgresql+psycopg2://u@10.0.0.1:5433/auth"] {
            assert_eq!(mode(url), "VerifyFull", "{url}");
        }
        assert_eq!(mode("postgres://u@db/auth?sslmode=disable"), "Disable");
        for url in ["postgresql://u@localhost/auth", "postgresql://u@[::1]/auth", "postgresql://u@/a?host=/run/pg"] {
            assert_eq!(mode(url), "Prefer", "{url}");
        }
        for url in ["sqlite:///auth.db", "auth.db", "mysql+pymysql://u:p@db/auth"] {
            assert!(postgres(url).unwrap().is_none(), "{url}");
        }
    }

    #[test]
    fn a_bad_address_is_not_repeated() {
        for url in ["postgresql://u:secret@db:port/auth", "postgresql://u:secret@db/auth?sslmode=secret"] {
            let fault = postgres(url).unwrap_err();
            assert!(!format!("{fault:?}").contains("secret"), "{fault:?}");
        }
    }
}
