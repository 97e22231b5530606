//! `trackgate init`: how does somebody come to a configuration?
//!
//! By a few flags, or on a terminal by a few questions for what the flags leave open. Where nobody sits at a terminal nothing is
//! asked: what is missing is named. What is written is read again before it is kept, so that it has no faults.

mod written;

use std::fs::{self, OpenOptions};
use std::io::{self, BufRead, IsTerminal as _, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::{Args, ValueEnum};
use uuid::Uuid;

use self::written::{Answers, Database, Issuer, written};
use super::{Ended, say};
use crate::config::Config;

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

The file goes where `--config` says. On a terminal, what is missing is asked for.")]
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
    /// The file with that client's secret.
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
    /// The file with the database's password.
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
        if file.exists() && !self.force {
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
        keep(file, &text, force).with_context(|| format!("`{}` cannot be written", file.display()))?;
        say::line(format!("written: {}", file.display()))?;
        for step in written::steps(&answers, file) {
            say::line(format!("- {step}"))?;
        }
        Ok(Ended::Well)
    }

    /// What is known, and what is answered.
    fn answers<R: BufRead, W: Write>(self, people: Option<&mut People<R, W>>) -> anyhow::Result<Answers> {
        let mut asking = Asking { people, missing: Vec::new() };
        let place = asking.place(self.place)?;
        let question = "Under which address will people reach it, such as https://mlflow.example.com?";
        let url = asking.ask(self.url, "--url", question, None)?.trim_end_matches('/').to_owned();
        let iap_audience = asking.iap_audience(self.iap_audience, place)?;
        let usual = if iap_audience.is_some() || place == Place::VmIap { "none" } else { "google" };
        let question = "Who signs people in: google, an issuer's address, or none?";
        let issuer = match asking.ask(self.issuer, "--issuer", question, Some(usual))?.as_str() {
            "none" => None,
            issuer => Some(Issuer {
                google: issuer == "google",
                address: issuer.to_owned(),
                client_id: asking.ask(
                    self.client_id,
                    "--client-id",
                    "The client id of Trackgate at the issuer?",
                    None,
                )?,
                secret_file: self.client_secret_file.unwrap_or_else(|| "/etc/trackgate/oidc-client-secret".into()),
            }),
        };
        let question = "The domains of the people who may sign in, such as example.com; nothing: any?";
        let domains = asking.several(self.domains, "--domain", question)?;
        let question =
            "The PostgreSQL database, such as postgres://trackgate@10.0.0.3/trackgate (none: a SQLite file)?";
        let default = if place == Place::CloudRun { None } else { Some("none") };
        let database = match asking.ask(self.database, "--database", question, default)?.as_str() {
            "none" | "" => None,
            url => {
                Some(Database { url: url.to_owned(), password_file: self.database_password_file, ca: self.database_ca })
            }
        };
        let google_project = asking.google_project(self.google_project, place)?;
        let admins = asking.several(self.admins, "--admin", "The first administrator, such as alice@example.com?")?;
        if !asking.missing.is_empty() {
            bail!("not known without being asked: {}", asking.missing.join(", "));
        }
        if place == Place::CloudRun && database.is_none() {
            bail!("Cloud Run has no disk that lasts: a PostgreSQL database is needed (--database)");
        }
        if self.acme.is_some() && place != Place::Vm {
            bail!("`--acme` goes with `--for vm`: elsewhere it is not Trackgate that shows the certificate");
        }
        if issuer.is_none() && iap_audience.is_none() {
            bail!("nobody could sign in: without IAP an issuer is needed (--issuer)");
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

/// What becomes of what no flag says: it is asked, it has a default, or it is missing.
struct Asking<'p, R, W> {
    people: Option<&'p mut People<R, W>>,
    missing: Vec<&'static str>,
}

impl<R: BufRead, W: Write> Asking<'_, R, W> {
    fn ask(
        &mut self,
        given: Option<String>,
        flag: &'static str,
        question: &str,
        default: Option<&str>,
    ) -> io::Result<String> {
        match (given, &mut self.people, default) {
            (Some(given), _, _) => Ok(given),
            (None, Some(people), default) => people.ask(question, default),
            (None, None, Some(default)) => Ok(default.to_owned()),
            (None, None, None) => {
                self.missing.push(flag);
                Ok(String::new())
            }
        }
    }

    fn several(&mut self, given: Vec<String>, flag: &'static str, question: &str) -> io::Result<Vec<String>> {
        if !given.is_empty() {
            return Ok(given);
        }
        let answer = self.ask(None, flag, question, Some(""))?;
        Ok(answer.split([',', ' ']).filter(|one| !one.is_empty()).map(str::to_owned).collect())
    }

    fn place(&mut self, given: Option<Place>) -> anyhow::Result<Place> {
        if let Some(place) = given {
            return Ok(place);
        }
        let answer = self.ask(None, "--for", "Where will it stand: vm, vm-iap, cloud-run or gke?", None)?;
        if answer.is_empty() {
            // It is missing, and told of with all else that is.
            return Ok(Place::Vm);
        }
        Place::from_str(&answer, true)
            .map_err(|_| anyhow::anyhow!("`{answer}` is none of vm, vm-iap, cloud-run and gke"))
    }

    fn iap_audience(&mut self, given: Option<String>, place: Place) -> io::Result<Option<String>> {
        if given.is_some() || place == Place::Vm {
            return Ok(given);
        }
        let (question, default) = if place == Place::VmIap {
            ("What is IAP's audience (/projects/NUMBER/global/backendServices/ID)?", None)
        } else {
            ("IAP's audience, if IAP stands in front; nothing otherwise?", Some(""))
        };
        Ok(Some(self.ask(None, "--iap-audience", question, default)?).filter(|audience| !audience.is_empty()))
    }

    /// A machine may stand anywhere: there nobody is asked.
    fn google_project(&mut self, given: Option<String>, place: Place) -> io::Result<Option<String>> {
        if given.is_some() || place == Place::Vm {
            return Ok(given);
        }
        let question = "The Google Cloud project that logs are linked to traces of; nothing: none?";
        Ok(Some(self.ask(None, "--google-project", question, Some(""))?).filter(|project| !project.is_empty()))
    }
}

/// Whoever is asked.
struct People<R, W> {
    from: R,
    to: W,
}

impl<R: BufRead, W: Write> People<R, W> {
    /// Asks until there is an answer. Whoever ends the input has had enough.
    fn ask(&mut self, question: &str, default: Option<&str>) -> io::Result<String> {
        loop {
            match default {
                Some(default) if !default.is_empty() => write!(self.to, "{question} [{default}] ")?,
                _ => write!(self.to, "{question} ")?,
            }
            self.to.flush()?;
            let mut answer = String::new();
            if self.from.read_line(&mut answer)? == 0 {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "no answer; nothing was written"));
            }
            match (answer.trim(), default) {
                ("", Some(default)) => return Ok(default.to_owned()),
                ("", None) => {}
                (answer, _) => return Ok(answer.to_owned()),
            }
        }
    }
}

/// Writes the file beside its place and names it when it is whole. There is no secret in it.
fn keep(file: &Path, text: &str, force: bool) -> io::Result<()> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let draft = folder.join(format!(".trackgate.{}.part", Uuid::new_v4().simple()));
    let result = (|| {
        let mut out = OpenOptions::new().write(true).create_new(true).mode(0o640).open(&draft)?;
        out.write_all(text.as_bytes())?;
        out.sync_all()?;
        if file.exists() && !force {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        fs::rename(&draft, file)
    })();
    if result.is_err() {
        // What is wrong is told already.
        let _ = fs::remove_file(&draft);
    }
    result
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        init: Init,
    }

    fn answers(line: &str, typed: Option<&str>) -> anyhow::Result<(Answers, String)> {
        let line = Line::parse_from(["init"].into_iter().chain(line.split_whitespace()));
        let mut asked = Vec::new();
        let mut people = People { from: typed.unwrap_or_default().as_bytes(), to: &mut asked };
        let answers = line.init.answers(typed.is_some().then_some(&mut people))?;
        Ok((answers, String::from_utf8(asked).unwrap()))
    }

    /// Every place, with each issuer, with and without IAP, on either database, with and without a monitor.
    #[test]
    fn what_is_written_for_each_place_is_read_without_a_fault() {
        let mut tried = 0;
        for place in ["vm", "vm-iap", "cloud-run", "gke"] {
            for issuer in ["google", "https://login.example.com/realms/team", "none"] {
                for iap in ["", "--iap-audience /projects/123/global/backendServices/456"] {
                    for database in ["", "--database postgres://trackgate@10.0.0.3/trackgate --database-ca /etc/ca.pem"]
                    {
                        for more in
                            ["", "--no-monitor --domain example.com --domain example.org --admin alice@example.com"]
                        {
                            let line = format!(
                                "--for {place} --url https://mlflow.example.com --issuer {issuer} --client-id id {iap} \
                                 {database} {more}"
                            );
                            let Ok((answers, _)) = answers(&line, None) else {
                                let iap = !iap.is_empty();
                                assert!(
                                    (!iap && (issuer == "none" || place == "vm-iap"))
                                        || (place == "cloud-run" && database.is_empty()),
                                    "{line}"
                                );
                                continue;
                            };
                            let text = written(&answers);
                            let config =
                                Config::parse(&text).unwrap_or_else(|faults| panic!("{line}: {faults:?}\n{text}"));
                            assert_eq!(config.authenticate.iap.is_some(), !iap.is_empty(), "{line}");
                            assert_eq!(config.authenticate.issuers.len(), usize::from(issuer != "none"), "{line}");
                            assert_eq!(config.monitor.address.is_some(), !more.contains("no-monitor"), "{line}");
                            let postgres = matches!(config.store.engine, crate::store::Engine::Postgres(_));
                            assert_eq!(postgres, !database.is_empty(), "{line}");
                            assert_eq!(config.serve.https.is_some(), place.starts_with("vm"), "{line}");
                            tried += 1;
                        }
                    }
                }
            }
        }
        assert!(tried > 50, "{tried}");
    }

    #[test]
    fn a_machine_of_its_own_may_have_its_certificate_from_an_authority() {
        let line = "--for vm --url https://mlflow.example.com --client-id id --acme ops@example.com";
        let (answers, _) = answers(line, None).unwrap();
        let text = written(&answers);
        let config = Config::parse(&text).unwrap_or_else(|faults| panic!("{faults:?}\n{text}"));
        assert!(config.acme.is_some() && !text.contains("private_key"), "{text}");
        let elsewhere = super::tests::answers(&line.replace("vm ", "gke "), None).unwrap_err().to_string();
        assert!(elsewhere.contains("--acme"), "{elsewhere}");
    }

    /// Answers become parts of the file, in texts and in comments.
    #[test]
    fn no_answer_writes_another_line_of_the_file() {
        let evil = "x\"\n[access]\nadmins = [\"mallory@example.com\"] # \\ ''' \"\"\" {} \u{9b}";
        let fields = [
            "url", "issuer", "client", "secret", "domain", "iap", "database", "mlflow", "project", "admin", "acme",
            "key",
        ];
        for field in fields {
            let or = |name: &str, usual: &str| if name == field { evil } else { usual }.to_owned();
            let answers = Answers {
                place: if field == "acme" { Place::Vm } else { Place::VmIap },
                url: or("url", "https://mlflow.example.com"),
                issuer: Some(Issuer {
                    google: false,
                    address: or("issuer", "https://login.example.com"),
                    client_id: or("client", "id"),
                    secret_file: or("secret", "/secret").into(),
                }),
                domains: vec![or("domain", "example.com")],
                iap_audience: (field != "acme").then(|| or("iap", "/projects/1/global/backendServices/2")),
                database: Some(Database {
                    url: or("database", "postgres://trackgate@10.0.0.3/trackgate"),
                    password_file: Some(or("secret", "/password").into()),
                    ca: None,
                }),
                mlflow: or("mlflow", "http://127.0.0.1:5000"),
                google_project: Some(or("project", "my-project")),
                admins: vec![or("admin", "alice@example.com")],
                acme: (field == "acme").then(|| evil.to_owned()),
                certificate: or("key", "/cert").into(),
                private_key: or("key", "/key").into(),
                monitor: true,
            };
            assert!(answers.is_plain().is_err(), "{field} is not looked at");
            if field == "url" {
                // It stands in a comment too: nothing is written then.
                continue;
            }
            let table: toml::Table = written(&answers).parse().unwrap_or_else(|fault| panic!("{field}: {fault}"));
            let admins = table["access"]["admins"].as_array().unwrap();
            let wanted = if field == "admin" { evil } else { "alice@example.com" };
            assert!(admins.len() == 1 && admins[0].as_str() == Some(wanted), "{field}: {admins:?}");
        }
    }

    #[test]
    fn the_project_of_the_traces_is_asked_for_at_google_alone_and_may_be_none() {
        let project = |line: &str, typed: Option<&str>| {
            let (answers, asked) = answers(line, typed).unwrap();
            let text = written(&answers);
            let config = Config::parse(&text).unwrap_or_else(|faults| panic!("{faults:?}\n{text}"));
            (config.log.google_project, text, asked)
        };
        let line = "--for gke --url https://mlflow.example.com --client-id id";
        let (found, text, _) = project(line, None);
        assert!(found.is_none() && text.contains("# google_project = "), "it says where it would stand: {text}");
        let (found, ..) = project(&format!("{line} --google-project my-project"), None);
        assert_eq!(found.as_deref(), Some("my-project"));
        let (found, _, asked) =
            project(&format!("{line} --domain example.com --admin root@example.com"), Some("\n\n\nmy-project\n"));
        assert_eq!(found.as_deref(), Some("my-project"), "{asked}");
        let line = "--for vm --url https://mlflow.example.com --client-id id --admin root@example.com";
        let (found, text, asked) = project(line, Some("\n\n\n"));
        assert!(found.is_none() && !asked.contains("project") && !text.contains("google_project"), "{asked}{text}");
        let wrong = answers("--for gke --url https://m.example.com --client-id id --google-project My_Project", None);
        assert!(Config::parse(&written(&wrong.unwrap().0)).is_err(), "it is looked at before the file is kept");
    }

    #[test]
    fn nobody_is_asked_where_nobody_sits_and_what_is_missing_is_named() {
        let fault = answers("", None).unwrap_err().to_string();
        assert!(["--for", "--url", "--client-id"].iter().all(|flag| fault.contains(flag)), "{fault}");
        let fault = answers("--for vm-iap --url https://m.example.com", None).unwrap_err().to_string();
        assert!(fault.contains("--iap-audience") && !fault.contains("--client-id"), "{fault}");
        let fault = answers("--for cloud-run --url https://m.example.com --client-id x", None).unwrap_err().to_string();
        assert!(fault.contains("--database"), "{fault}");
        let fault = answers("--for vm --url https://m.example.com --issuer none", None).unwrap_err().to_string();
        assert!(fault.contains("nobody could sign in"), "{fault}");
    }

    #[test]
    fn on_a_terminal_what_the_flags_leave_open_is_asked() {
        let typed = "vm\nhttps://mlflow.example.com/\n\n1234\nexample.com, example.org\n\n\n";
        let (given, asked) = answers("--admin root@example.com", Some(typed)).unwrap();
        assert_eq!(given.place, Place::Vm);
        assert_eq!((given.url.as_str(), given.domains.len()), ("https://mlflow.example.com", 2));
        assert!(given.issuer.is_some_and(|issuer| issuer.google && issuer.client_id == "1234"));
        assert!(given.database.is_none());
        assert!(!asked.contains("administrator"), "what is known is not asked: {asked}");
        assert!(answers("", Some("vm\n")).unwrap_err().to_string().contains("no answer"));
    }
}
