//! Commands about the database itself.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};

use super::{Ended, say};
use crate::clock::Clock;
use crate::config::Config;
use crate::store::{self, By, Contents, Engine, How, Postgres, Settings, copy};

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
    /// Write all of the store into one file, while gates serve and write. Either engine's backup is restored into either.
    Backup {
        /// The file, which only its owner may read; `-` is the standard output.
        file: PathBuf,
        /// Put it in the place of a file that is there already, once it is whole.
        #[arg(long)]
        force: bool,
        /// The store, if it is not that of the configuration: a state directory, or the address of a PostgreSQL database.
        #[arg(long, value_name = "STORE")]
        from: Option<String>,
        #[command(flatten)]
        door: Door,
    },
    /// Put a backup into an empty store, or with `--replace` into the place of what is there, all of it or nothing. Stop every
    /// gate of the store first. A backup of an older schema is brought to that of this program.
    Restore {
        /// The backup.
        file: PathBuf,
        /// What the store holds now is gone for good.
        #[arg(long)]
        replace: bool,
        /// Let sessions and logins (`trackgate login`) go on. Those that ended after the backup was made count again.
        #[arg(long)]
        keep_sessions: bool,
        /// Only say whether the backup is whole, and what is in it.
        #[arg(long, conflicts_with_all = ["replace", "keep_sessions", "to"])]
        dry_run: bool,
        /// The store, if it is not that of the configuration: a state directory, or the address of a PostgreSQL database.
        #[arg(long, value_name = "STORE")]
        to: Option<String>,
        #[command(flatten)]
        door: Door,
    },
}

/// How a database is reached that stands on the command line.
#[derive(Debug, Args)]
pub(super) struct Door {
    /// The file with the password of the database that is named here.
    #[arg(long)]
    password_file: Option<PathBuf>,
    /// The certificate of the authority that vouches for the database's server.
    #[arg(long)]
    ca: Option<PathBuf>,
}

impl Door {
    /// The store that is named, or that of the configuration.
    fn settings(self, named: Option<String>, config: &Path) -> anyhow::Result<Settings> {
        match named {
            Some(place) => settings(&place, self.password_file, self.ca),
            None if self.password_file.is_some() || self.ca.is_some() => {
                bail!("`--password-file` and `--ca` go with an address; the configuration has its own")
            }
            None => Ok(Config::read(config)?.store),
        }
    }
}

impl StoreCommand {
    pub(super) async fn run(self, config: &Path, by: By) -> anyhow::Result<Ended> {
        let (from, to, password_file, from_password_file, ca) = match self {
            Self::Copy { from, to, password_file, from_password_file, ca } => {
                (from, to, password_file, from_password_file, ca)
            }
            Self::Backup { file, force, from, door } => {
                return backup(&file, force, &door.settings(from, config)?).await;
            }
            Self::Restore { file, dry_run: true, .. } => {
                let contents = store::examine(&file).with_context(|| format!("`{}`", file.display()))?;
                tell(&contents)?;
                say::line("the backup is whole; nothing was restored")?;
                return Ok(Ended::Well);
            }
            Self::Restore { file, replace, keep_sessions, dry_run: _, to, door } => {
                let how = How { replace, keep_sessions, by };
                return restore(&file, &how, &door.settings(to, config)?).await;
            }
        };
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

async fn backup(file: &Path, force: bool, from: &Settings) -> anyhow::Result<Ended> {
    if file.as_os_str() == "-" {
        let out = std::io::stdout();
        if out.is_terminal() {
            bail!("a backup is nothing for a terminal; name a file, or send it somewhere");
        }
        store::backup_to(from, out.lock(), &Clock::System).await?;
        return Ok(Ended::Well);
    }
    let contents = store::backup(from, file, force, &Clock::System).await?;
    tell(&contents)?;
    say::line(format!(
        "written to {}; keep it as secret as the store. The configuration and the keys in the state directory are no part of it",
        file.display()
    ))?;
    Ok(Ended::Well)
}

async fn restore(file: &Path, how: &How, to: &Settings) -> anyhow::Result<Ended> {
    let restored = store::restore(file, to, how, &Clock::System).await;
    let restored = restored.with_context(|| format!("`{}` was not restored", file.display()))?;
    tell(&restored.contents)?;
    let newest = restored.contents.head.newest_change;
    if let Some(before) = restored.before.filter(|before| *before > newest) {
        say::line(format!("gone are the changes {} to {before} of the store that was there", newest + 1))?;
    }
    if restored.ended > 0 {
        say::line(format!("{} sessions and logins were ended: people sign in again", restored.ended))?;
    }
    say::line(
        "restored. Grants, tokens and people are as they were then: what was taken back, revoked or disabled since must be so \
         again",
    )?;
    Ok(Ended::Well)
}

fn tell(contents: &Contents) -> anyhow::Result<()> {
    for (table, rows) in &contents.tables {
        say::line(format!("{rows:>10}  {table}"))?;
    }
    let head = &contents.head;
    say::line(format!(
        "made {} by Trackgate {}, schema {}, up to change {}",
        say::when(head.made),
        head.program,
        head.schema,
        head.newest_change
    ))
}

fn settings(place: &str, password_file: Option<PathBuf>, ca: Option<PathBuf>) -> anyhow::Result<Settings> {
    if !place.contains("://") {
        return Ok(Settings::new(PathBuf::from(place)));
    }
    let database = Postgres { password_file, ca, ..Postgres::parse(place)? };
    Ok(Settings { engine: Engine::Postgres(database), ..Settings::new(PathBuf::new()) })
}
