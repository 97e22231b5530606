//! What stands in the file that `trackgate init` writes?
//!
//! Only what matters for the place; every other key, with its default, stands in `config/example.toml`. What is the same for
//! these places in `deploy/` is the same here.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use anyhow::bail;

use super::{HANDED, Place, SECRETS};

/// Google's load balancers and health checks come from there
/// (<https://cloud.google.com/load-balancing/docs/firewall-rules>).
pub(super) const FRONTS: [&str; 2] = ["130.211.0.0/22", "35.191.0.0/16"];
/// Where Google's front reaches a machine: above 1023, so that no socket of systemd's is needed where there is no package.
pub(super) const BEHIND: u16 = 8443;

/// What is known of the place.
#[derive(Debug)]
pub(super) struct Answers {
    pub(super) place: Place,
    pub(super) url: String,
    pub(super) issuer: Option<Issuer>,
    pub(super) domains: Vec<String>,
    pub(super) iap_audience: Option<String>,
    pub(super) database: Option<Database>,
    pub(super) mlflow: String,
    pub(super) admins: Vec<String>,
    pub(super) acme: Option<String>,
    pub(super) certificate: PathBuf,
    pub(super) private_key: PathBuf,
    pub(super) monitor: bool,
    pub(super) google_project: Option<String>,
}

/// Who signs people in.
#[derive(Debug)]
pub(super) struct Issuer {
    pub(super) google: bool,
    pub(super) address: String,
    pub(super) client_id: String,
    pub(super) secret_file: PathBuf,
}

/// A PostgreSQL database.
#[derive(Debug)]
pub(super) struct Database {
    pub(super) url: String,
    pub(super) password_file: PathBuf,
    pub(super) ca: Option<PathBuf>,
}

impl Answers {
    /// Whether nothing that somebody wrote has an end of a line in it, or the like: some of it stands in comments, and what
    /// follows such an end is no comment any more.
    pub(super) fn is_plain(&self) -> anyhow::Result<()> {
        let mut texts: Vec<Cow<'_, str>> = vec![
            self.url.as_str().into(),
            self.mlflow.as_str().into(),
            self.certificate.to_string_lossy(),
            self.private_key.to_string_lossy(),
        ];
        let more = self
            .iap_audience
            .iter()
            .chain(&self.acme)
            .chain(&self.google_project)
            .chain(&self.domains)
            .chain(&self.admins);
        texts.extend(more.map(|text| text.as_str().into()));
        if let Some(issuer) = &self.issuer {
            texts.extend([issuer.address.as_str().into(), issuer.client_id.as_str().into()]);
            texts.push(issuer.secret_file.to_string_lossy());
        }
        if let Some(database) = &self.database {
            texts.push(database.url.as_str().into());
            texts.push(database.password_file.to_string_lossy());
            texts.extend(database.ca.iter().map(|file| file.to_string_lossy()));
        }
        match texts.iter().find(|text| text.chars().any(char::is_control)) {
            Some(text) => bail!("{text:?} has control characters; no file was written"),
            None => Ok(()),
        }
    }
}

pub(super) fn text(value: &str) -> String {
    toml::Value::String(value.to_owned()).to_string()
}

fn path(value: &Path) -> String {
    text(&value.to_string_lossy())
}

fn list(values: &[String]) -> String {
    let values: Vec<String> = values.iter().map(|value| text(value)).collect();
    format!("[{}]", values.join(", "))
}

/// The file.
pub(super) fn written(answers: &Answers) -> String {
    let mut out = String::new();
    let mut line = |text: &str| {
        out.push_str(text);
        out.push('\n');
    };
    line(
        "# Trackgate's configuration. Keys that are not here have their defaults; `config/example.toml` has all of them, and",
    );
    line(
        "# `trackgate check` reports what is wrong with this file. No secret stands in it: it names files that hold them.",
    );
    line("");
    line("# The address that people and programs use.");
    line(&format!("public_url = {}", text(&answers.url)));
    match (&answers.database, answers.place) {
        (Some(_), Place::CloudRun | Place::Gke) => {
            line("# In memory or on a small volume: what must last is in PostgreSQL.");
        }
        (Some(_), _) => line("# Keys; what must last is in PostgreSQL."),
        (None, _) => {
            line("# The database and the keys: on a disk that lasts. Back it up with `trackgate store backup`.");
        }
    }
    line("state_dir = \"/var/lib/trackgate\"");
    store(answers, &mut line);
    listen(answers, &mut line);
    line("");
    line("[upstream]");
    line("# MLflow, which nobody else can reach. unix:/run/mlflow/mlflow.sock goes too.");
    line(&format!("url = {}", text(&answers.mlflow)));
    who(answers, &mut line);
    line("");
    line("[access]");
    line("# They may do everything; others are given what they need (`trackgate grant`).");
    line(&format!("admins = {}", list(&answers.admins)));
    line("# \"USE\" lets everybody who signs in create experiments and models.");
    line("default_workspace_permission = \"NO_PERMISSIONS\"");
    line("");
    line("[audit]");
    if answers.place.is_machine() {
        line("# One line of JSON for each request.");
        line("file = \"/var/log/trackgate/audit.jsonl\"");
    } else {
        line("# One line of JSON for each request, to standard output, which the platform keeps.");
        line("file = \"-\"");
    }
    line("");
    line("[log]");
    line("# Google Cloud Logging's fields; \"human\" for reading in a terminal.");
    line("format = \"json\"");
    match (&answers.google_project, answers.place) {
        (Some(project), _) => {
            line("# Log lines and audit records carry the trace of their request.");
            line(&format!("google_project = {}", text(project)));
        }
        (None, Place::Vm) => {}
        (None, Place::VmIap | Place::CloudRun | Place::Gke) => {
            line("# Links log lines and audit records to the trace of their request.");
            line("# google_project = \"my-project\"");
        }
    }
    out
}

/// Where a secret is that systemd hands over.
fn handed(file: &Path, line: &mut impl FnMut(&str)) {
    if let Some(name) = file.to_str().and_then(|file| file.strip_prefix(HANDED)) {
        line(&format!("# {SECRETS}/{name}, which systemd hands to trackgate.service at its start."));
    }
}

fn store(answers: &Answers, line: &mut impl FnMut(&str)) {
    let Some(database) = &answers.database else { return };
    line("");
    line("[store]");
    line("# Shared by all gates. TLS is verified, with the server's name.");
    line(&format!("url = {}", text(&database.url)));
    handed(&database.password_file, line);
    line(&format!("password_file = {}", path(&database.password_file)));
    match &database.ca {
        Some(ca) => line(&format!("ca_file = {}", path(ca))),
        None => line("# ca_file = \"/etc/trackgate/database-ca.pem\""),
    }
}

fn listen(answers: &Answers, line: &mut impl FnMut(&str)) {
    let monitor_everywhere = answers.place != Place::Vm;
    line("");
    line("[listen]");
    match answers.place {
        Place::Vm => {
            line("# The ports of trackgate.socket and trackgate-redirect.socket.");
            line("https = \"[::]:443\"");
            line("redirect = \"[::]:80\"");
        }
        Place::VmIap => {
            line("# Between Google's front and us; it takes a certificate of the machine's own making.");
            line("# trackgate.socket must hold the same port.");
            line(&format!("https = \"[::]:{BEHIND}\""));
        }
        Place::CloudRun => line("plain = \"0.0.0.0:8080\""),
        Place::Gke => {
            line("# TLS ends at the Gateway or Ingress in front.");
            line("plain = \"0.0.0.0:8080\"");
        }
    }
    if answers.place.is_machine() && answers.acme.is_none() {
        line("# Readable by the group trackgate-config. Read again when they change.");
        line(&format!("certificate = {}", path(&answers.certificate)));
        line(&format!("private_key = {}", path(&answers.private_key)));
    }
    match answers.place {
        Place::Vm => {}
        Place::VmIap | Place::Gke => {
            line("# Google's load balancers, which say whose request it is.");
            line(&format!("trusted_proxies = {}", list(&FRONTS.map(str::to_owned))));
        }
        Place::CloudRun => {
            line("# Cloud Run's own front, as an instance sees it.");
            line("trusted_proxies = [\"169.254.0.0/16\"]");
        }
    }
    if answers.monitor {
        line("# /livez, /readyz and /metrics: for probes and Prometheus, never for the street.");
        line(&format!("monitor = \"{}:9477\"", if monitor_everywhere { "0.0.0.0" } else { "127.0.0.1" }));
    }
    if let Some(contact) = &answers.acme {
        line("");
        line(
            "# Certificates from Let's Encrypt, whose terms are agreed to by this block; it connects to port 443. For a trial:",
        );
        line("# directory = \"https://acme-staging-v02.api.letsencrypt.org/directory\"");
        line("[acme]");
        line(&format!("contact = {}", text(contact)));
    }
    if answers.place != Place::Vm {
        line("");
        line("[limits]");
        line("# Google's front keeps connections for 600 s; whoever closes first must be the front.");
        line("keep_alive = \"620s\"");
        line("# All people come from the same few addresses.");
        line("connections_per_address = 5000");
        if answers.place == Place::CloudRun {
            line("# Cloud Run ends an instance 10 s after SIGTERM.");
            line("drain = \"8s\"");
            line("drain_accept = \"0s\"");
        }
    }
}

fn who(answers: &Answers, line: &mut impl FnMut(&str)) {
    if let Some(audience) = &answers.iap_audience {
        line("");
        line("# Google's Identity-Aware Proxy says who comes, on this listener; its signature is checked.");
        line("[iap]");
        line(&format!("audiences = [{}]", text(audience)));
        line(&format!("listener = \"{}\"", if answers.place.is_machine() { "https" } else { "plain" }));
        if answers.domains.is_empty() {
            line("# Domains of the people who may come; empty: all whom IAP lets through.");
        }
        line(&format!("hosted_domains = {}", list(&answers.domains)));
    }
    let Some(issuer) = &answers.issuer else { return };
    line("");
    line("[[issuer]]");
    if issuer.google {
        line("name = \"google\"");
        line("title = \"Google\"");
        line("issuer = \"https://accounts.google.com\"");
    } else {
        line("name = \"sso\"");
        line("title = \"Single sign-on\"");
        line(&format!("issuer = {}", text(&issuer.address)));
        line("# The claim with people's groups, if the issuer sends one.");
        line("# groups_claim = \"groups\"");
    }
    if answers.domains.is_empty() {
        line("# Domains of the people who may sign in; empty: anybody who has an account there.");
    }
    line(&format!("hosted_domains = {}", list(&answers.domains)));
    line("");
    line("[issuer.login]");
    line(&format!("# The client's redirect address is {}/trackgate/callback/{}", answers.url, issuer.name()));
    line(&format!("client_id = {}", text(&issuer.client_id)));
    handed(&issuer.secret_file, line);
    line(&format!("client_secret_file = {}", path(&issuer.secret_file)));
    line("");
    line("[issuer.bearer]");
    line("# ID tokens for these audiences let programs in: service accounts, CI.");
    line(&format!("audiences = [{}]", text(&answers.url)));
}

impl Issuer {
    pub(super) fn name(&self) -> &'static str {
        if self.google { "google" } else { "sso" }
    }
}
