//! `trackgate import`: permissions from another program's database.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::str::FromStr as _;

use anyhow::{Context as _, bail};
use clap::{Args, ValueEnum};
use serde::Deserialize;
use serde_json::json;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Row as _};

use super::say;
use crate::mlflow::ids::UserName;
use crate::paper::import::{BASIC_TABLES, Dump, Import, Names, additions, oidc_tables, read_basic, read_oidc};
use crate::paper::plan::Plan;
use crate::paper::present;
use crate::paper::read::shown;
use crate::store::{By, Store};

#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
#[command(
    after_help = "Example: trackgate import basic-auth sqlite:////srv/mlflow/basic_auth.db --domain example.com --dry-run"
)]
pub(super) struct ImportCommand {
    /// Whose database it is.
    #[arg(value_enum)]
    from: Program,
    /// Where it is, as that program's settings say: `sqlite:////srv/basic_auth.db`, or the file's path.
    #[arg(env = "TRACKGATE_IMPORT_URL", hide_env_values = true)]
    url: String,
    /// Print what maps to what and what does not, and change nothing.
    #[arg(long)]
    dry_run: bool,
    /// What is added, behind an `@`, to names of users that have none: users are called here as the identity provider
    /// calls them.
    #[arg(long)]
    domain: Option<String>,
    /// A TOML file with names: `[users]` and `[groups]`, each with lines `"name there" = "name here"`.
    #[arg(long, value_name = "FILE")]
    names: Option<PathBuf>,
    /// Make administrators there administrators here.
    #[arg(long)]
    admins: bool,
    /// Import although somebody would hold more here than there (the plan tells where).
    #[arg(long)]
    accept_wider: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Whose database.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Program {
    /// MLflow's own basic-auth app, from 2.x to 3.18.
    BasicAuth,
    /// The plugin mlflow-oidc-auth, version 11.
    OidcAuth,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct NamesFile {
    #[serde(default)]
    users: std::collections::BTreeMap<String, String>,
    #[serde(default)]
    groups: std::collections::BTreeMap<String, String>,
}

impl ImportCommand {
    pub(super) async fn run(self, store: &Store, by: By) -> anyhow::Result<()> {
        let names = self.names()?;
        let mut import = match self.from {
            Program::BasicAuth => {
                let tables: Vec<_> =
                    BASIC_TABLES.iter().map(|(name, columns)| ((*name).to_owned(), columns.to_vec())).collect();
                read_basic(&dump(&self.url, &tables).await?, &names)
            }
            Program::OidcAuth => read_oidc(&dump(&self.url, &oidc_tables()).await?, &names),
        }
        .map_err(anyhow::Error::msg)?;
        let users: BTreeSet<_> = present::users(store);
        let (plan, steps) = additions(&mut import, &present::state(store), &users, self.admins);
        if !self.admins && !import.admins.is_empty() {
            let admins: Vec<_> = import.admins.iter().map(ToString::to_string).collect();
            import
                .lost
                .push(format!("that {} were administrators: give --admins to make them some", admins.join(", ")));
        }
        if self.json {
            say::json(&json!({
                "maps": plan.changes, "users": import.users.iter().map(ToString::to_string).collect::<Vec<_>>(),
                "changed": import.changed, "lost": import.lost, "wider": import.wider, "notes": import.notes,
            }))?;
        } else {
            tell(&import, &plan, &import.users.difference(&users).collect::<Vec<_>>())?;
        }
        let count = steps.len();
        if self.dry_run {
            return if self.json {
                Ok(())
            } else {
                say::line(format!("{count} changes; nothing was done (--dry-run)"))
            };
        }
        if !import.wider.is_empty() && !self.accept_wider {
            bail!("nothing was done: somebody would hold more here than there; see above, and give --accept-wider");
        }
        let by = match by {
            By::Operator(name) => By::Import(name),
            other => other,
        };
        store.apply(steps, by).await.context("nothing was imported")?;
        if self.json { Ok(()) } else { say::line(format!("{count} changes made")) }
    }

    fn names(&self) -> anyhow::Result<Names> {
        let file = match &self.names {
            None => NamesFile::default(),
            Some(path) => {
                let text = std::fs::read_to_string(path)
                    .with_context(|| format!("the names in `{}` cannot be read", path.display()))?;
                toml::from_str(&text).with_context(|| format!("the names in `{}`", path.display()))?
            }
        };
        Ok(Names { users: file.users, groups: file.groups, domain: self.domain.clone() })
    }
}

fn tell(import: &Import, plan: &Plan, new: &[&UserName]) -> anyhow::Result<()> {
    for user in new {
        say::line(format!("+ user {user}"))?;
    }
    for item in &plan.changes {
        say::line(format!("{} {}", item.verb.sign(), item.what))?;
    }
    for (sign, lines) in [
        ("changed", &import.changed),
        ("not imported", &import.lost),
        ("WIDER", &import.wider),
        ("note", &import.notes),
    ] {
        for line in lines {
            say::line(format!("{sign}: {}", shown(line)))?;
        }
    }
    Ok(())
}

/// All rows of these tables, from one state of the database, which is opened for reading alone.
async fn dump(url: &str, tables: &[(String, Vec<&'static str>)]) -> anyhow::Result<Dump> {
    if url.starts_with("postgres") {
        bail!("PostgreSQL is not read yet: copy the database into SQLite");
    }
    // SQLAlchemy writes three slashes before a relative path, four before an absolute one.
    let file = url.strip_prefix("sqlite:///").unwrap_or(url);
    if file.contains("://") {
        bail!("write `sqlite:////path/to/file.db`, or the file's path");
    }
    let options = SqliteConnectOptions::from_str("sqlite://")?.filename(file).read_only(true).create_if_missing(false);
    let mut connection: SqliteConnection =
        options.connect().await.with_context(|| format!("the database `{file}` cannot be opened"))?;
    let mut dump = Dump::new();
    let mut t = connection.begin().await?;
    for (table, columns) in tables {
        let known = sqlx::query("SELECT name FROM pragma_table_info($1)").bind(table).fetch_all(&mut *t).await;
        let known: Vec<String> = known
            .with_context(|| format!("`{file}` cannot be read"))?
            .iter()
            .map(|row| row.try_get(0))
            .collect::<Result<_, _>>()?;
        if known.is_empty() {
            continue;
        }
        // The names stand in this program, not in the database.
        let cells = columns.iter().map(|column| {
            let cell =
                if known.iter().any(|name| name == column) { format!("\"{column}\"") } else { "NULL".to_owned() };
            format!("CAST({cell} AS TEXT)")
        });
        let query = format!("SELECT {} FROM \"{table}\"", cells.collect::<Vec<_>>().join(", "));
        let rows = sqlx::query(AssertSqlSafe(query)).fetch_all(&mut *t).await?;
        let read = |row: &sqlx::sqlite::SqliteRow| (0..columns.len()).map(|at| row.try_get(at)).collect();
        dump.insert(table.clone(), rows.iter().map(read).collect::<Result<_, _>>()?);
    }
    t.rollback().await?;
    connection.close().await?;
    Ok(dump)
}
