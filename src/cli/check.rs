//! `trackgate check`: is the configuration good, and does everything that it names answer?

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;

use super::{Ended, say, sentence};
use crate::authenticate::fetch::Fetcher;
use crate::authenticate::issuer;
use crate::authenticate::jwks::{Keeper, Source};
use crate::authenticate::{discovery, iap};
use crate::clock::Clock;
use crate::config::Config;
use crate::serve;
use crate::store::Store;
use crate::upstream::Upstream;

#[derive(Debug, Args)]
pub(super) struct Check {
    /// Read the configuration alone; ask nobody.
    #[arg(long)]
    offline: bool,
}

/// MLflow versions whose routes the table knows.
const KNOWN_VERSIONS: [&str; 2] = ["3.17.2", "3.18.0"];

impl Check {
    pub(super) async fn run(self, path: &Path) -> anyhow::Result<Ended> {
        let config = Config::load(path)?;
        let mut found = false;
        let mut tell = |what: &str, result: anyhow::Result<String>| match result {
            Ok(good) => say::line(format!("ok    {what}: {good}")),
            Err(error) => {
                found = true;
                say::line(format!("FAULT {what}: {}", sentence(&error)))
            }
        };
        tell("configuration", Ok(format!("{} has no faults", path.display())))?;
        if let Some(https) = &config.serve.https {
            let pair = serve::check_certificate(https).map(|()| "fits its key".to_owned());
            tell("certificate", pair.map_err(Into::into))?;
        }
        tell("database", database(&config).await)?;
        if !self.offline {
            for settings in &config.authenticate.issuers {
                tell(&format!("issuer {}", settings.name), provider(settings).await)?;
            }
            if let Some(settings) = &config.authenticate.iap {
                tell("iap", iap_keys(settings).await)?;
            }
            tell("MLflow", mlflow(&config).await)?;
        }
        Ok(if found { Ended::FoundFaults } else { Ended::Well })
    }
}

async fn database(config: &Config) -> anyhow::Result<String> {
    let store = Store::open(&config.store, Clock::System).await?;
    let told = format!("{} users, {} grants", store.users().len(), store.grants().len());
    store.close().await;
    Ok(told)
}

async fn provider(settings: &issuer::Settings) -> anyhow::Result<String> {
    let url = settings.issuer.parse().context("its address cannot be read")?;
    let address = discovery::address(&url).context("its address cannot have a discovery document")?;
    let source = Source::Discovery { address, issuer: settings.issuer.clone() };
    let keeper = Keeper::new(&settings.name, source, Fetcher::new(&settings.fetch)?, settings.keys_keep, Clock::System);
    keeper.refresh().await?;
    let metadata = keeper.metadata();
    if settings.login.is_some() && metadata.is_none_or(|found| found.authorization.is_none() || found.token.is_none()) {
        anyhow::bail!("it has no endpoints for sign-in in the browser");
    }
    Ok("discovery document and keys are good".to_owned())
}

async fn iap_keys(settings: &iap::Settings) -> anyhow::Result<String> {
    let source = Source::Fixed(settings.keys_url.clone());
    let keeper = Keeper::new("iap", source, Fetcher::new(&settings.fetch)?, Duration::from_hours(24), Clock::System);
    Arc::clone(&keeper).refresh().await?;
    Ok("keys are good".to_owned())
}

async fn mlflow(config: &Config) -> anyhow::Result<String> {
    let upstream = Upstream::new(&config.upstream)?;
    let prefix = &config.resolve.static_prefix;
    let asked = upstream.ask(&format!("{prefix}/version")).await?;
    if !asked.status.is_success() {
        anyhow::bail!("it answers `{prefix}/version` with {}; is `upstream.static_prefix` right?", asked.status);
    }
    let version = String::from_utf8_lossy(&asked.body);
    let version: String = version.trim().chars().filter(char::is_ascii_graphic).take(32).collect();
    if KNOWN_VERSIONS.contains(&version.as_str()) {
        return Ok(format!("version {version}"));
    }
    Ok(format!(
        "version {version}, whose routes were not compared with our table ({} were): what it has anew is refused",
        KNOWN_VERSIONS.join(" and ")
    ))
}
