//! How does all of the state move from one database to another?
//!
//! Row by row, in one transaction, into an empty database; the numbers stay what they are. What is written to the source
//! meanwhile stays behind: no gate serves from it while it is copied.

use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteRow;
use sqlx::{FromRow, Row as _};
use uuid::Uuid;

use super::engine::{Link, Sql, Tx, sql};
use super::fault::StoreFault;
use super::{Engine, Settings, place, postgres, sqlite};

/// Every table, with its columns; those with a `#` are numbers. A table comes after those that it refers to.
pub(super) const TABLES: &[(&str, &[&str])] = &[
    ("counters", &["name", "#last"]),
    ("users", &["name", "#admin", "#disabled", "#created", "#id", "kind"]),
    ("identities", &["issuer", "user_name", "subject", "#first_seen", "vouched"]),
    ("account_owners", &["account", "owner_kind", "owner", "#created", "created_by"]),
    ("user_groups", &["name", "#created", "#id"]),
    ("memberships", &["group_name", "user_name", "#created"]),
    ("roles", &["#id", "workspace", "name", "description", "owner_kind", "owner", "#created", "created_by"]),
    ("assignments", &["#id", "#role_id", "subject_kind", "subject", "#expires", "#created", "created_by"]),
    (
        "grants",
        &[
            "#id",
            "workspace",
            "subject_kind",
            "subject",
            "kind",
            "form",
            "pattern",
            "permission",
            "#expires",
            "#created",
            "created_by",
        ],
    ),
    (
        "create_rules",
        &[
            "#id",
            "workspace",
            "subject_kind",
            "subject",
            "kind",
            "form",
            "pattern",
            "#expires",
            "#created",
            "created_by",
        ],
    ),
    (
        "sessions",
        &[
            "id",
            "user_name",
            "issuer",
            "subject",
            "provider",
            "user_groups",
            "logout_hint",
            "#created",
            "#last_seen",
            "#ends",
        ],
    ),
    (
        "tokens",
        &[
            "id",
            "digest",
            "kind",
            "owner",
            "name",
            "workspace",
            "ceiling",
            "scopes",
            "#created",
            "created_by",
            "#expires",
            "#revoked",
            "revoked_by",
            "#last_used",
            "addresses",
            "#ends",
        ],
    ),
    ("bindings", &["name", "issuer", "audiences", "claims", "#token_groups", "account", "#created", "created_by"]),
    ("login_secrets", &["digest", "login", "kind", "#generation", "#created", "#expires", "#rotated"]),
    ("login_codes", &["digest", "owner", "redirect", "challenge", "device", "#created", "#expires", "#used", "login"]),
    (
        "device_codes",
        &["digest", "user_code", "device", "address", "#created", "#expires", "state", "owner", "#decided", "login"],
    ),
    (
        "access_requests",
        &[
            "#id",
            "workspace",
            "kind",
            "object",
            "user_name",
            "permission",
            "reason",
            "state",
            "#created",
            "#decided",
            "decided_by",
            "answer",
        ],
    ),
    ("changes", &["id", "#at", "actor", "verb", "object", "detail", "#seq"]),
];

/// So many values go in one statement; SQLite takes 32,766, PostgreSQL 65,535.
pub(super) const VALUES: usize = 5000;

/// A column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) number: bool,
}

/// A row, whatever is in it, as text.
pub(super) struct Cells(pub(super) Vec<Option<String>>);

impl FromRow<'_, SqliteRow> for Cells {
    fn from_row(row: &SqliteRow) -> sqlx::Result<Self> {
        Ok(Self((0..row.len()).map(|at| row.try_get(at)).collect::<Result<_, _>>()?))
    }
}

impl FromRow<'_, PgRow> for Cells {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        Ok(Self((0..row.len()).map(|at| row.try_get(at)).collect::<Result<_, _>>()?))
    }
}

/// Copies everything; tells how many rows each table had.
///
/// # Errors
/// [`StoreFault`], such as [`StoreFault::NotEmpty`] where the target holds something; then it is what it was.
pub async fn copy(from: &Settings, to: &Settings) -> Result<Vec<(&'static str, u64)>, StoreFault> {
    let mut source = link(from).await?;
    let mut target = link(to).await?;
    let copied = copy_all(&mut source, &mut target, to).await;
    for link in [source, target] {
        // What was copied is on the disk already.
        let _ = link.close().await;
    }
    copied
}

async fn link(settings: &Settings) -> Result<Link, StoreFault> {
    match &settings.engine {
        Engine::Sqlite => {
            let file = place::prepare(&settings.state_dir)?;
            Ok(Link::Sqlite(sqlite::open(&file, settings.lock_wait, settings.most_pages).await?))
        }
        Engine::Postgres(database) => Ok(Link::Postgres(Box::new(postgres::open(database).await?))),
    }
}

async fn copy_all(source: &mut Link, target: &mut Link, to: &Settings) -> Result<Vec<(&'static str, u64)>, StoreFault> {
    let mut from = source.read().await?;
    let mut into = target.write(to.lock_wait).await?;
    for (table, _) in &TABLES[1..] {
        let held: Option<(i64,)> = into.one(Sql::made(format!("SELECT COUNT(*) FROM {table}"))).await?;
        if held != Some((0,)) {
            return Err(StoreFault::NotEmpty(table));
        }
    }
    into.run(Sql::made("DELETE FROM counters".to_owned())).await?;
    into.run(Sql::made("DELETE FROM news".to_owned())).await?;
    let mut counts = Vec::new();
    for (table, columns) in TABLES {
        let mut rows: Vec<Cells> = Vec::new();
        let columns: Vec<Column> = columns
            .iter()
            .map(|column| Column { name: column.trim_start_matches('#').to_owned(), number: column.starts_with('#') })
            .collect();
        let cells: Vec<String> = columns.iter().map(|column| format!("CAST({} AS TEXT)", column.name)).collect();
        let query = format!("SELECT {} FROM {table}", cells.join(", "));
        from.each(Sql::made(query), |row| {
            rows.push(row);
            Ok(())
        })
        .await?;
        for chunk in rows.chunks(VALUES / columns.len()) {
            put(&mut into, table, &columns, chunk).await?;
        }
        counts.push((*table, rows.len() as u64));
    }
    // Whoever reads the target already reads all of it: no change tells of this.
    into.run(Sql::made("UPDATE counters SET last = last + 1 WHERE name = 'changes'".to_owned())).await?;
    let news = "INSERT INTO news (seq, part, name, mark) SELECT last, 'everything', '', $1 FROM counters \
                WHERE name = 'changes'";
    into.run(sql(news).bind(Uuid::now_v7().to_string())).await?;
    into.wake().await?;
    into.commit().await?;
    from.commit().await?;
    Ok(counts)
}

/// Adds rows to a table.
pub(super) async fn put(into: &mut Tx<'_>, table: &str, columns: &[Column], rows: &[Cells]) -> Result<(), StoreFault> {
    let mut place = 0;
    let mut groups = Vec::with_capacity(rows.len());
    for _ in rows {
        let values: Vec<String> = columns
            .iter()
            .map(|column| {
                place += 1;
                let kind = if column.number { "BIGINT" } else { "TEXT" };
                format!("CAST(${place} AS {kind})")
            })
            .collect();
        groups.push(format!("({})", values.join(", ")));
    }
    let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
    let text = format!("INSERT INTO {table} ({}) VALUES {}", names.join(", "), groups.join(", "));
    let mut statement = Sql::made(text);
    for cell in rows.iter().flat_map(|row| &row.0) {
        statement = statement.bind(cell.as_deref());
    }
    into.run(statement).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::schema;

    #[test]
    fn no_table_of_the_schema_is_left_behind() {
        let mut made: Vec<String> = Vec::new();
        for migration in schema::migrations() {
            for line in migration.sql.as_str().lines() {
                let word =
                    |line: &str| line.split_whitespace().next().unwrap_or_default().trim_end_matches(';').to_owned();
                if let Some(rest) = line.strip_prefix("CREATE TABLE ") {
                    made.push(word(rest));
                } else if let Some(rest) = line.strip_prefix("DROP TABLE ") {
                    made.retain(|table| *table != word(rest));
                } else if let Some((old, new)) =
                    line.strip_prefix("ALTER TABLE ").and_then(|rest| rest.split_once(" RENAME TO "))
                {
                    made.retain(|table| table != old.trim());
                    made.push(word(new));
                }
            }
        }
        // Who reads the target reads all of it, and keys stay where they are: what they seal ends within minutes.
        made.retain(|table| table != "news" && table != "seal_keys");
        made.sort();
        let mut copied: Vec<_> = TABLES.iter().map(|(table, _)| (*table).to_owned()).collect();
        copied.sort();
        assert_eq!(copied, made);
    }
}
