//! `trackgate import`: permissions from another program's database.

mod dump;

use std::collections::BTreeSet;
use std::path::PathBuf;

use anyhow::{Context as _, bail};
use clap::{Args, ValueEnum};
use serde::Deserialize;
use serde_json::json;

use self::dump::dump;
use super::say;
use crate::mlflow::ids::UserName;
use crate::paper::import::{BASIC_TABLES, Import, Names, additions, oidc_tables, read_basic, read_oidc};
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
    /// Where it is, as that program's settings say: `sqlite:////srv/basic_auth.db`, the file's path, or
    /// `postgresql://user@host/database`. A password is better in the environment (`PGPASSWORD`, or all of the address in
    /// this variable) than on the command line, where others see it.
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
