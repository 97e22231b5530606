//! What is to be done once the file is written?
//!
//! For a machine: with the package's units (`deploy/systemd`), command by command, as root in a folder with the named files.

use std::path::Path;

use url::Url;

use super::written::{Answers, BEHIND, FRONTS};
use super::{HANDED, Place, SECRETS};

/// Where the package's unit reads its configuration.
const CONFIGURATION: &str = "/etc/trackgate/trackgate.toml";
/// As whom Trackgate reads configuration and certificate: it has no user of its own.
const GROUP: &str = "trackgate-config";

/// One of them.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) what: String,
    pub(super) commands: Vec<String>,
}

fn step(what: impl Into<String>, commands: impl IntoIterator<Item = String>) -> Step {
    Step { what: what.into(), commands: commands.into_iter().collect() }
}

/// All of them.
pub(super) fn steps(answers: &Answers, file: &Path) -> Vec<Step> {
    let mut steps = secrets(answers);
    if answers.acme.is_some() {
        steps.push(step("let the name lead to this machine, and everybody reach its ports 443 and 80", []));
    } else if answers.place.is_machine() {
        steps.push(certificate(answers));
    }
    if answers.admins.is_empty() {
        steps.push(step("name an administrator: `access.admins`, or `trackgate user add NAME --admin`", []));
    }
    if answers.place.is_machine() {
        steps.extend(machine(answers, file));
    } else {
        steps.push(step("look whether it is good", [format!("trackgate --config {} check", word(file))]));
        let what = if answers.place == Place::CloudRun {
            "mount the file as a secret at /etc/trackgate/trackgate.toml and deploy (docs/gcp.md)"
        } else {
            "put what it says into the chart's `config` values (deploy/helm/trackgate), and install it"
        };
        steps.push(step(what, []));
    }
    steps.push(step(
        "see it as people do, from anywhere",
        [format!("trackgate doctor --url {}", word(Path::new(&answers.url)))],
    ));
    steps
}

/// Where each secret goes.
fn secrets(answers: &Answers) -> Vec<Step> {
    let mut steps = Vec::new();
    if let Some(issuer) = &answers.issuer {
        let back = format!("{}/trackgate/callback/{}", answers.url, issuer.name());
        steps.push(step(format!("at the issuer, let the client redirect to {back}"), []));
        steps.push(secret(answers.place, "the client's secret", "client-secret", &issuer.secret_file));
    }
    if let Some(database) = &answers.database {
        steps.push(secret(answers.place, "the database's password", "database-password", &database.password_file));
        if let Some(ca) = database.ca.as_ref().filter(|_| answers.place.is_machine()) {
            steps.push(step(format!("let the group {GROUP} read {}", ca.display()), []));
        }
    }
    steps
}

fn secret(place: Place, what: &str, from: &str, file: &Path) -> Step {
    if let Some(name) = file.to_str().and_then(|file| file.strip_prefix(HANDED)) {
        let to = word(&Path::new(SECRETS).join(name));
        step(
            format!("{what}, from a file `{from}`, where root alone reads it"),
            [format!("install -m 0600 {from} {to}")],
        )
    } else if place.is_machine() {
        step(format!("{what}, from a file `{from}`, where Trackgate reads it"), [readable(from, file)])
    } else {
        step(format!("put {what} into {} (mode 0640)", file.display()), [])
    }
}

fn readable(from: &str, to: &Path) -> String {
    format!("install -m 0640 -g {GROUP} {from} {}", word(to))
}

fn certificate(answers: &Answers) -> Step {
    let (certificate, key) = (&answers.certificate, &answers.private_key);
    if answers.place == Place::Vm {
        return step(
            "the certificate with its chain and its key, from `cert.pem` and `key.pem`, where Trackgate reads them",
            [readable("cert.pem", certificate), readable("key.pem", key)],
        );
    }
    let host = Url::parse(&answers.url).ok().and_then(|url| url.host_str().map(str::to_owned)).unwrap_or_default();
    let (certificate, key) = (word(certificate), word(key));
    step(
        "a certificate: Google's front does not look whose it is, one of the machine's own making will do",
        [
            format!(
                "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 -subj /CN=trackgate -addext \
                 subjectAltName=DNS:{} -keyout {key} -out {certificate}",
                word(Path::new(&host))
            ),
            format!("chgrp {GROUP} {key} {certificate}"),
            format!("chmod 0640 {key} {certificate}"),
        ],
    )
}

/// What the package's units want.
fn machine(answers: &Answers, file: &Path) -> Vec<Step> {
    let mut steps = Vec::new();
    if file != Path::new(CONFIGURATION) {
        let what = format!("trackgate.service reads {CONFIGURATION}");
        // The commands are for another folder.
        let file = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
        steps.push(step(what, [readable(&word(&file), Path::new(CONFIGURATION))]));
    }
    let behind = answers.place == Place::VmIap;
    if behind {
        let drop_in = "/etc/systemd/system/trackgate.socket.d";
        steps.push(step(
            format!("trackgate.socket holds port 443 of its own accord: let it hold {BEHIND}"),
            [
                format!("mkdir -p {drop_in}"),
                format!("printf '[Socket]\\nListenStream=\\nListenStream={BEHIND}\\n' >{drop_in}/port.conf"),
                "systemctl daemon-reload".to_owned(),
            ],
        ));
        let health = if answers.monitor { ", and 9477 for its health check of /readyz" } else { "" };
        let fronts = FRONTS.join(" and ");
        steps.push(step(format!("let {fronts}, the load balancer, reach port {BEHIND} by HTTPS{health}"), []));
    }
    steps.push(step(format!("let MLflow answer at {} (mlflow.service: docs/systemd.md)", answers.mlflow), []));
    let handed = |file: &Path| file.to_str().is_some_and(|file| file.starts_with(HANDED));
    let hands = answers.issuer.as_ref().is_some_and(|issuer| handed(&issuer.secret_file))
        || answers.database.as_ref().is_some_and(|database| handed(&database.password_file));
    let check = format!("trackgate check --config {CONFIGURATION}");
    steps.push(if hands {
        step(
            "look whether all is good, with the secrets as systemd hands them over",
            [format!("systemd-run --quiet --pipe -p LoadCredential=secret:{SECRETS} {check}")],
        )
    } else {
        step("look whether all is good", [check])
    });
    let redirect = if behind { "" } else { "trackgate-redirect.socket " };
    steps.push(step(
        "open the gate (one that is open already: `systemctl restart trackgate`)",
        [format!("systemctl enable --now trackgate.socket {redirect}trackgate.service")],
    ));
    steps
}

/// As a shell reads it as one word.
fn word(path: &Path) -> String {
    let text = path.to_string_lossy();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-:@%+=,".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.into_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}
