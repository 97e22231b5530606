//! `trackgate check`: is the configuration good, and does everything that it names answer?

use std::fs::OpenOptions;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;

use super::{Ended, outside, say, sentence};
use crate::access::binding::BindingName;
use crate::acme;
use crate::answer::ask_version;
use crate::audit;
use crate::authenticate::iap;
use crate::authenticate::issuer;
use crate::authenticate::jwks::{Keeper, Source};
use crate::certificate::Facts;
use crate::clock::Clock;
use crate::collector;
use crate::config::Config;
use crate::directory::{self, Directory};
use crate::fetch::Fetcher;
use crate::message::Door;
use crate::mlflow::ids::UserName;
use crate::mlflow::version::Version;
use crate::resolve::Resolver;
use crate::serve;
use crate::store::{self, Engine, Store};
use crate::upstream::Upstream;

#[derive(Debug, Args)]
pub(super) struct Check {
    /// Look at the configuration and the files it names alone: ask nobody, make nothing.
    #[arg(long)]
    offline: bool,
    /// Ask Google for this person's groups, where `google_groups` is set up.
    #[arg(long, value_name = "USER", value_parser = UserName::parse, conflicts_with = "offline")]
    groups_of: Option<UserName>,
}

impl Check {
    /// All of it, MLflow and issuers included.
    pub(super) fn whole() -> Self {
        Self { offline: false, groups_of: None }
    }

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
        if let Some(https) = &config.serve.https
            && let Some(files) = https.pair.files()
        {
            match certificate(https, files, &config) {
                Ok((good, remark)) => {
                    tell("certificate", Ok(good))?;
                    if let Some(remark) = remark {
                        say::line(format!("note  certificate: {remark}"))?;
                    }
                }
                Err(error) => tell("certificate", Err(error))?,
            }
        }
        match unasked(&config).filter(|_| self.offline) {
            Some(remark) => say::line(format!("note  database: {remark}"))?,
            None => match database(&config).await {
                Ok((told, remarks)) => {
                    tell("database", Ok(told))?;
                    for (name, remark) in remarks {
                        say::line(format!("note  binding {name}: {remark}"))?;
                    }
                }
                Err(error) => tell("database", Err(error))?,
            },
        }
        if let audit::Target::File(file) = &config.audit.to {
            match records(file) {
                Ok(None) => {}
                Ok(Some(remark)) => say::line(format!("note  audit: {remark}"))?,
                Err(error) => tell("audit", Err(error))?,
            }
        }
        if let Some(settings) = &config.acme {
            for line in intentions(settings, &config) {
                say::line(format!("note  acme: {line}"))?;
            }
            match kept(settings) {
                Ok(Kept::Good(words)) => tell("certificate", Ok(words))?,
                Ok(Kept::Missing(words)) => say::line(format!("note  certificate: {words}"))?,
                Err(error) => tell("certificate", Err(error))?,
            }
            if !self.offline {
                tell("acme", authority(settings).await)?;
            }
        }
        if !self.offline {
            for settings in &config.authenticate.issuers {
                tell(&format!("issuer {}", settings.name), provider(settings).await)?;
            }
            if let Some(settings) = &config.authenticate.iap {
                tell("iap", iap_keys(settings).await)?;
            }
            match (&config.authenticate.google_groups, &self.groups_of) {
                (Some(settings), person) => tell("groups at Google", google(settings, person.as_ref()).await)?,
                (None, Some(_)) => tell("groups at Google", Err(anyhow::anyhow!("`google_groups` is not set up")))?,
                (None, None) => {}
            }
            match mlflow(&config).await {
                Ok((version, Some(remark))) => say::line(format!("note  MLflow: version {version}, {remark}"))?,
                Ok((version, None)) => tell("MLflow", Ok(format!("version {version}")))?,
                Err(error) => tell("MLflow", Err(error))?,
            }
            match workspaces(&config).await {
                Ok(Some(remark)) => say::line(format!("note  workspaces: {remark}"))?,
                Ok(None) => {}
                Err(error) => tell("workspaces", Err(error))?,
            }
            if let Some(trace) = &config.trace {
                match traces(&trace.collector).await {
                    Ok(Ok(())) => tell("traces", Ok(format!("{} takes spans", trace.collector.traces_url())))?,
                    Ok(Err(remark)) => say::line(format!("note  traces: {remark}"))?,
                    Err(error) => tell("traces", Err(error))?,
                }
            }
        }
        Ok(if found { Ended::FoundFaults } else { Ended::Well })
    }
}

/// What would be asked of the authority, and what may stand in the way.
fn intentions(settings: &acme::Settings, config: &Config) -> Vec<String> {
    let (challenge, names) = (settings.challenge, settings.domains.join(", "));
    let mut lines = vec![format!("{} is asked for {names} by {}", settings.directory, challenge.name())];
    let listener = match challenge {
        acme::Challenge::Http01 => config.serve.redirect.as_ref().map(|redirect| redirect.address),
        acme::Challenge::TlsAlpn01 => config.serve.https.as_ref().map(|https| https.address),
    };
    if let Some(address) = listener.filter(|address| address.port() != challenge.port()) {
        let (port, here) = (challenge.port(), address.port());
        lines.push(format!(
            "it connects to port {port} of each name, and this gate listens on {here}: something must forward"
        ));
    }
    if matches!(config.store.engine, Engine::Postgres(_)) {
        lines.push(
            "one gate under each name: others of this database need other names, or certificates from files".to_owned(),
        );
    }
    lines
}

/// How it stands with the certificate that an authority gave.
enum Kept {
    /// It has long enough left.
    Good(String),
    /// There is none yet, or none for these names: one will be asked for.
    Missing(String),
}

fn kept(settings: &acme::Settings) -> anyhow::Result<Kept> {
    let folder = settings.state_dir.join("acme");
    let Some(kept) = acme::kept(settings)? else {
        return Ok(Kept::Missing(format!("none is kept in {} yet; the gate asks for one", folder.display())));
    };
    let (good, words) = outside::left(&kept.facts, Clock::System.now());
    if !kept.fits {
        return Ok(Kept::Missing(format!(
            "the kept one is not for all of `acme.domains` ({words}); the gate asks for another"
        )));
    }
    anyhow::ensure!(good, "the one kept in {}: {words}; the log says why it was not", folder.display());
    Ok(Kept::Good(format!("the one kept in {} is {words}", folder.display())))
}

/// Whether the authority answers, and would want no more than it is shown.
async fn authority(settings: &acme::Settings) -> anyhow::Result<String> {
    let seen = acme::look(settings).await?;
    let terms = seen.terms.map(|terms| format!(", by its terms: {terms}")).unwrap_or_default();
    let suggests = if seen.suggests { ", and suggests when to renew" } else { "" };
    Ok(format!("{} takes orders{terms}{suggests}", settings.directory))
}

/// Whether it fits its key, is for the hosts that clients ask for, and has long enough left; and what there is to say besides.
fn certificate(
    https: &serve::Https,
    files: &serve::Files,
    config: &Config,
) -> anyhow::Result<(String, Option<String>)> {
    serve::check_certificate(https)?;
    let shown = CertificateDer::from_pem_file(&files.certificate).context("its file cannot be read")?;
    let facts = Facts::of(&shown)?;
    let (good, words) = outside::left(&facts, Clock::System.now());
    anyhow::ensure!(good, "{words}");
    let mut others = config.clean.hosts.names().filter(|name| !facts.covers(name)).peekable();
    // Load balancers show clients another one, and ask little of this one.
    let fronted = config.authenticate.iap.as_ref().is_some_and(|iap| iap.listener == Door::Https)
        || !config.serve.trusted_proxies.is_empty();
    let public = config.clean.hosts.names().next();
    anyhow::ensure!(fronted || others.peek().copied() != public, "it is not for {}", public.unwrap_or_default());
    let others: Vec<&str> = others.collect();
    let remark = (!others.is_empty())
        .then(|| format!("it is not for {}: clients that come by that name themselves refuse it", others.join(", ")));
    Ok((format!("fits its key, {words}"), remark))
}

/// Why the database is not looked at offline, where it is not.
fn unasked(config: &Config) -> Option<String> {
    let folder = &config.store.state_dir;
    match &config.store.engine {
        Engine::Postgres(_) => Some("not asked".to_owned()),
        Engine::Sqlite if !store::exists(folder) => Some(format!("none in {} yet; `serve` makes it", folder.display())),
        Engine::Sqlite => None,
    }
}

/// Whether records can be appended to the file, by whoever runs this.
fn records(file: &Path) -> anyhow::Result<Option<String>> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    match std::fs::metadata(file) {
        // Opening a pipe would wait for its reader, or show it an end.
        Ok(kind) if kind.is_file() => {
            OpenOptions::new()
                .append(true)
                .open(file)
                .with_context(|| format!("`{}` cannot be written", file.display()))?;
            Ok(None)
        }
        Ok(kind) if kind.is_dir() => anyhow::bail!("`{}` is a folder", file.display()),
        Ok(_) => Ok(None),
        Err(error) if error.kind() == ErrorKind::NotFound && folder.is_dir() => Ok(None),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Some(format!(
            "there is no folder `{}` yet; systemd makes it (`LogsDirectory=`), `serve` does not",
            folder.display()
        ))),
        Err(error) => Err(error).with_context(|| format!("`{}` cannot be looked at", file.display())),
    }
}

/// What is in it, and what there is to say of the bindings of the configuration: whom they lead to, it alone knows.
async fn database(config: &Config) -> anyhow::Result<(String, Vec<(BindingName, String)>)> {
    if let Some((old, new)) = store::outdated(&config.store).await? {
        let told = format!(
            "of schema {old}; `serve` brings it to {new}, and Trackgate of before cannot use it then: back it up first"
        );
        return Ok((told, Vec::new()));
    }
    let store = Store::open(&config.store, Clock::System).await?;
    let told = format!("{} users, {} grants", store.users().len(), store.grants().len());
    let remarks = config.authenticate.bindings.iter().filter_map(|binding| {
        let account = &binding.account;
        let remark = match store.user(account) {
            None => format!("there is no service account `{account}`; `trackgate account add {account}` makes it"),
            Some(user) if !user.service => {
                format!("`{account}` is a person, and nobody acts as one by a binding; name a service account")
            }
            Some(user) if user.disabled => format!("`{account}` is disabled: whoever comes by it is refused"),
            Some(_) => return None,
        };
        Some((binding.name.clone(), remark))
    });
    let remarks = remarks.collect();
    store.close().await;
    Ok((told, remarks))
}

async fn provider(settings: &issuer::Settings) -> anyhow::Result<String> {
    let source = issuer::source(settings).context("its address cannot be read, or is not safe")?;
    let keeper = Keeper::new(&settings.name, source, Fetcher::new(&settings.fetch)?, settings.keys_keep, Clock::System);
    keeper.refresh().await?;
    let metadata = keeper.metadata();
    if settings.login.is_some() && metadata.is_none_or(|found| found.authorization.is_none() || found.token.is_none()) {
        anyhow::bail!("it has no endpoints for sign-in in the browser");
    }
    Ok(match (&settings.keys_url, &settings.login) {
        (Some(_), None) => "keys are good".to_owned(),
        _ => "discovery document and keys are good".to_owned(),
    })
}

async fn iap_keys(settings: &iap::Settings) -> anyhow::Result<String> {
    let source = Source::Fixed(settings.keys_url.clone());
    let keeper = Keeper::new("iap", source, Fetcher::new(&settings.fetch)?, Duration::from_hours(24), Clock::System);
    Arc::clone(&keeper).refresh().await?;
    Ok("keys are good".to_owned())
}

/// Whether our credentials bring a token; the groups of a person, where one is named: that alone shows that they are enough.
async fn google(settings: &directory::Settings, person: Option<&UserName>) -> anyhow::Result<String> {
    let directory = Directory::new(settings.clone(), Clock::System)?;
    directory.try_credentials().await?;
    let Some(person) = person else {
        return Ok("the credentials are good; `--groups-of USER` tries whether they may read groups".to_owned());
    };
    anyhow::ensure!(directory.speaks_of(person), "`{person}` is of none of `google_groups.domains`: nothing is asked");
    let groups: Vec<_> = directory.ask(person).await?.iter().map(ToString::to_string).collect();
    Ok(if groups.is_empty() { format!("{person} is in none") } else { format!("{person} is in {}", groups.join(", ")) })
}

/// Whether the server has workspaces just where the settings say so; where it has them besides, what comes of that.
async fn workspaces(config: &Config) -> anyhow::Result<Option<String>> {
    let upstream = Upstream::new(&config.upstream)?;
    match Resolver::new(config.resolve.clone()).has_workspaces(&upstream).await {
        Ok(()) if config.clean.workspaces => Ok(None),
        Ok(()) => Ok(Some(
            "the server has them, though `upstream.workspaces` is off: `default` alone can be reached, and people are told \
             that there are no others"
                .to_owned(),
        )),
        Err(fault) if config.clean.workspaces => Err(fault.into()),
        // Without them, nothing hangs on the answer; a server that is down was told of before.
        Err(_) => Ok(None),
    }
}

/// Whether the collector takes spans. Requests are answered without it, so what is wrong there is no fault here.
async fn traces(settings: &collector::Settings) -> anyhow::Result<Result<(), String>> {
    let url = settings.traces_url();
    let looked = collector::look(settings).await?;
    Ok(looked.map_err(|fault| format!("{url} takes no spans now: {fault}; they are lost until it does")))
}

/// Which MLflow answers, and what is to be said of that version.
pub(super) async fn mlflow(config: &Config) -> anyhow::Result<(Version, Option<String>)> {
    let upstream = Upstream::new(&config.upstream)?;
    // What cannot be reached is told in its own words.
    let prefix = &config.resolve.static_prefix;
    let asked = upstream.ask(&format!("{prefix}/version")).await?;
    let Some(text) = ask_version(&upstream, prefix).await else {
        anyhow::bail!("it answers `{prefix}/version` with {}; is `upstream.static_prefix` right?", asked.status);
    };
    let version: Version = text.parse().context("what it answers to `/version` is no version of MLflow")?;
    Ok((version, version.remark()))
}
