//! Commands about the database itself.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Subcommand;

use super::{Ended, say};
use crate::store::{Engine, Postgres, Settings, copy};

#[derive(Debug, Subcommand)]
pub(super) enum StoreCommand {
    /// Copy all of the state into an empty database: `store copy --from /var/lib/trackgate --to
    /// postgres://trackgate@db.example.com/trackgate`. Stop every gate that serves from the source first.
    Copy {
        /// A state directory, or the address of a PostgreSQL database.
        #[arg(long)]
        from: String,
        /// The same.
        #[arg(long)]
        to: String,
        /// The file with the password of the database that is copied to (or, of the one from, where that alone has an
        /// address).
        #[arg(long)]
        password_file: Option<PathBuf>,
        /// The same of the database that is copied from, where both have an address.
        #[arg(long)]
        from_password_file: Option<PathBuf>,
        /// The certificate of the authority that vouches for the databases' servers.
        #[arg(long)]
        ca: Option<PathBuf>,
    },
}

impl StoreCommand {
    pub(super) async fn run(self) -> anyhow::Result<Ended> {
        let Self::Copy { from, to, password_file, from_password_file, ca } = self;
        let first = from_password_file.or_else(|| password_file.clone());
        let (source, target) = (settings(&from, first, ca.clone())?, settings(&to, password_file, ca)?);
        if matches!(source.engine, Engine::Sqlite) && !source.state_dir.join("trackgate.db").exists() {
            anyhow::bail!("there is no database in `{from}`");
        }
        let counts = copy(&source, &target).await.with_context(|| format!("`{to}` was not written"))?;
        for (table, rows) in counts {
            say::line(format!("{rows:>10}  {table}"))?;
        }
        say::line(format!("copied to {to}; the keys (`seal.keys`) in the state directory are no part of it"))?;
        Ok(Ended::Well)
    }
}

fn settings(place: &str, password_file: Option<PathBuf>, ca: Option<PathBuf>) -> anyhow::Result<Settings> {
    if !place.contains("://") {
        return Ok(Settings::new(PathBuf::from(place)));
    }
    let database = Postgres { password_file, ca, ..Postgres::parse(place)? };
    Ok(Settings { engine: Engine::Postgres(database), ..Settings::new(PathBuf::new()) })
}
