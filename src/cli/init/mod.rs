//! `trackgate init`: how does somebody come to a configuration?
//!
//! By a few flags, or on a terminal by a few questions for what the flags leave open. Where nobody sits at a terminal nothing is
//! asked: what is missing is named. What is written is read again before it is kept, so that it has no faults. For a machine it is
//! what the package's units expect (`deploy/systemd`), and the steps that are printed lead to a running gate (`deploy/check/deb`).

mod asked;
mod good;
mod kept;
mod steps;
#[cfg(test)]
mod tests;
mod written;

use std::io::{self, BufRead, IsTerminal as _, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::{Args, ValueEnum};

use self::asked::{Asking, People};
use self::written::{Answers, Database, Issuer, written};
use super::{Ended, say};
use crate::config::Config;

/// Where the package keeps secrets.
const SECRETS: &str = "/etc/trackgate/secrets";
/// How the configuration names one of them.
const HANDED: &str = "credential:secret_";

/// Where the gate will stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Place {
    /// A machine of its own, with its own certificate.
    Vm,
    /// A machine behind Google's load balancer and Identity-Aware Proxy.
    VmIap,
    /// Cloud Run.
    CloudRun,
    /// Google Kubernetes Engine, or another Kubernetes.
    Gke,
}

#[derive(Debug, Args)]
#[command(after_help = "\
  trackgate init --for vm --url https://mlflow.example.com --client-id 1234.apps.googleusercontent.com \\
      --domain example.com --admin alice@example.com
  trackgate init --for vm-iap --url https://mlflow.example.com --domain example.com \\
      --iap-audience /projects/123/global/backendServices/456

The file goes where `--config` says. On a terminal, what is missing is asked for. The sample of the Debian package is replaced as
long as nobody changed it; another file, with its owner, group and mode, only by `--force`.")]
pub(super) struct Init {
    /// Where the gate will stand.
    #[arg(long = "for", value_name = "PLACE")]
    place: Option<Place>,
    /// The address that people and programs will use, such as `https://mlflow.example.com`.
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// Who signs people in: `google`, or the address of another OpenID Connect issuer. `none`: IAP alone. Without: google; behind
    /// IAP, none.
    #[arg(long, value_name = "ISSUER")]
    issuer: Option<String>,
    /// The OAuth client of Trackgate's at the issuer.
    #[arg(long, value_name = "ID")]
    client_id: Option<String>,
    /// The file with that client's secret. Without, on a machine: what the package's unit is handed from /etc/trackgate/secrets.
    #[arg(long, value_name = "FILE")]
    client_secret_file: Option<PathBuf>,
    /// A domain of the people who may sign in; may be given several times. Without, with Google: anybody who has an account.
    #[arg(long = "domain", value_name = "DOMAIN")]
    domains: Vec<String>,
    /// What IAP's assertions are for: /projects/NUMBER/global/backendServices/ID, or on Cloud Run
    /// /projects/NUMBER/locations/REGION/services/NAME.
    #[arg(long, value_name = "AUDIENCE")]
    iap_audience: Option<String>,
    /// The PostgreSQL database that keeps grants, such as `postgres://trackgate@10.0.0.3/trackgate`. `none`: a SQLite file, for
    /// one gate with a disk that lasts.
    #[arg(long, value_name = "URL")]
    database: Option<String>,
    /// The file with the database's password. Without, on a machine: as for the client's secret.
    #[arg(long, value_name = "FILE")]
    database_password_file: Option<PathBuf>,
    /// The certificate of the authority that vouches for the database's server.
    #[arg(long, value_name = "FILE")]
    database_ca: Option<PathBuf>,
    /// Where MLflow is.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:5000")]
    mlflow: String,
    /// An administrator; may be given several times.
    #[arg(long = "admin", value_name = "USER")]
    admins: Vec<String>,
    /// Certificates from Let's Encrypt instead of files, with this address for its notices (`--for vm`). It agrees to the terms.
    #[arg(long, value_name = "MAIL", conflicts_with_all = ["certificate", "private_key"])]
    acme: Option<String>,
    /// The certificate with its chain (PEM), where TLS ends at Trackgate.
    #[arg(long, value_name = "FILE", default_value = "/etc/trackgate/tls/cert.pem")]
    certificate: PathBuf,
    /// Its key.
    #[arg(long, value_name = "FILE", default_value = "/etc/trackgate/tls/key.pem")]
    private_key: PathBuf,
    /// The Google Cloud project whose traces log lines and audit records are linked to.
    #[arg(long, value_name = "PROJECT")]
    google_project: Option<String>,
    /// No listener for /livez, /readyz and /metrics.
    #[arg(long)]
    no_monitor: bool,
    /// Ask nothing, also on a terminal.
    #[arg(long)]
    non_interactive: bool,
    /// Put the file in the place of one that is there.
    #[arg(long)]
    force: bool,
}

impl Init {
    pub(super) fn run(self, file: &Path) -> anyhow::Result<Ended> {
        if kept::taken(file) && !self.force {
            bail!("there is a file `{}` already; `--force` puts a new one in its place", file.display());
        }
        let (force, asks) =
            (self.force, !self.non_interactive && io::stdin().is_terminal() && io::stderr().is_terminal());
        let mut people = People { from: io::stdin().lock(), to: io::stderr() };
        let answers = self.answers(if asks { Some(&mut people) } else { None })?;
        answers.is_plain()?;
        let text = written(&answers);
        if let Err(faults) = Config::parse(&text) {
            let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
            bail!("no file was written, since it would have faults: {}", faults.join("; "));
        }
        kept::keep(file, &text, force).with_context(|| format!("`{}` cannot be written", file.display()))?;
        say::line(format!("written: {}", file.display()))?;
        let whom = if answers.place.is_machine() { ", as root" } else { "" };
        say::line(format!("next{whom}:"))?;
        for step in steps::steps(&answers, file) {
            say::line(format!("- {}", step.what))?;
            for command in step.commands {
                say::line(format!("    {command}"))?;
            }
        }
        Ok(Ended::Well)
    }

    /// What is known, and what is answered.
    fn answers<R: BufRead, W: Write>(self, people: Option<&mut People<R, W>>) -> anyhow::Result<Answers> {
        let mut asking = Asking::new(people);
        let place = asking.place(self.place)?;
        let question = "Under which address will people reach it, such as https://mlflow.example.com?";
        let url = asking.ask(self.url, "--url", question, None, good::url)?.trim_end_matches('/').to_owned();
        let iap_audience = asking.iap_audience(self.iap_audience, place)?;
        let usual = if iap_audience.is_some() || place == Place::VmIap { "none" } else { "google" };
        let question = "Who signs people in: google, an issuer's address, or none?";
        let alone = iap_audience.is_none() && place != Place::VmIap;
        let good_issuer = |issuer: &str| good::issuer(issuer, alone);
        let issuer = match asking.ask(self.issuer, "--issuer", question, Some(usual), good_issuer)?.as_str() {
            "none" => None,
            issuer => Some(Issuer {
                google: issuer == "google",
                address: issuer.to_owned(),
                client_id: asking.ask(
                    self.client_id,
                    "--client-id",
                    "The client id of Trackgate at the issuer?",
                    None,
                    good::word,
                )?,
                secret_file: place.secret(self.client_secret_file, "oidc-client-secret"),
            }),
        };
        let question = "The domains of the people who may sign in, such as example.com; nothing: any?";
        let domains = asking.several(self.domains, "--domain", question, good::domain)?;
        let question =
            "The PostgreSQL database, such as postgres://trackgate@10.0.0.3/trackgate (none: a SQLite file)?";
        let default = if place == Place::CloudRun { None } else { Some("none") };
        let good_database = |database: &str| good::database(database, place);
        let database = match asking.ask(self.database, "--database", question, default, good_database)?.as_str() {
            "none" | "" => None,
            url => Some(Database {
                url: url.to_owned(),
                password_file: place.secret(self.database_password_file, "database-password"),
                ca: self.database_ca,
            }),
        };
        let google_project = asking.google_project(self.google_project, place)?;
        let question = "The first administrator, such as alice@example.com?";
        let admins = asking.several(self.admins, "--admin", question, good::user)?;
        asking.given("--mlflow", &self.mlflow, good::mlflow);
        if let Some(contact) = &self.acme {
            asking.given("--acme", contact, good::contact);
        }
        asking.finish()?;
        if self.acme.is_some() && place != Place::Vm {
            bail!("`--acme` goes with `--for vm`: elsewhere it is not Trackgate that shows the certificate");
        }
        Ok(Answers {
            place,
            url,
            issuer,
            domains,
            iap_audience,
            database,
            mlflow: self.mlflow,
            admins,
            acme: self.acme,
            certificate: self.certificate,
            private_key: self.private_key,
            monitor: !self.no_monitor,
            google_project,
        })
    }
}

impl Place {
    /// Whether it is a machine with systemd, for which there is a package.
    fn is_machine(self) -> bool {
        matches!(self, Self::Vm | Self::VmIap)
    }

    /// What the configuration says of a file with a secret. The package's unit cannot enter the folder of secrets: it is handed
    /// each file `NAME` there as the credential `secret_NAME` (`deploy/systemd/trackgate.service`).
    fn secret(self, given: Option<PathBuf>, usual: &str) -> PathBuf {
        let machine = self.is_machine();
        let handed = |name: &str| PathBuf::from(format!("{HANDED}{name}"));
        match given {
            None if machine => handed(usual),
            None => Path::new("/etc/trackgate").join(usual),
            Some(file) if machine && file.parent() == Some(Path::new(SECRETS)) => {
                file.file_name().and_then(|name| name.to_str()).map_or_else(|| file.clone(), handed)
            }
            Some(file) => file,
        }
    }
}
