//! Does `clients/python` keep MLflow's own client supplied with tokens, in every version that we support?
//!
//! The package is built as it would be for PyPI and put before the client as it would be installed, so that MLflow finds it by its
//! entry point.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::house::{House, folder, shared};
use crate::matrix::NEWEST;
use crate::stage::idp::accounts::TRAINER;
use crate::stage::python::Environment;
use crate::stage::{output, repository};

/// Runs a command that has to succeed.
fn done(command: &mut Command) -> String {
    let done = output(command).unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert!(done.status.success(), "{command:?}:\n{said}");
    said
}

fn tool(folder: &Path) -> Command {
    let mut command = Command::new(Environment::with_plugin_tools().unwrap().python());
    command.current_dir(repository().join("clients/python")).env("PYTHONDONTWRITEBYTECODE", "1").env("TMPDIR", folder);
    command
}

/// The folder into which the package's wheel was unpacked.
fn installed() -> PathBuf {
    static INSTALLED: OnceLock<PathBuf> = OnceLock::new();
    INSTALLED
        .get_or_init(|| {
            let folder = folder("plugin");
            done(tool(&folder).args(["-m", "hatchling", "build", "-t", "wheel", "-d"]).arg(folder.join("dist")));
            let wheels = std::fs::read_dir(folder.join("dist")).unwrap().map(|entry| entry.unwrap().path());
            let wheel = wheels.last().unwrap();
            let site = folder.join("site");
            done(tool(&folder).args(["-m", "zipfile", "-e"]).arg(wheel).arg(&site));
            site
        })
        .clone()
}

/// The metadata server of Google Cloud, as far as identities go: `GET .../identity?audience=A&format=full` with
/// `Metadata-Flavor: Google` gives an ID token. `/life/N` makes the next ones live N seconds, `/expired/N` the next N be over;
/// `/asked` tells how many were given.
struct Metadata {
    house: &'static House,
    life: AtomicU64,
    expired: AtomicU64,
    asked: AtomicU64,
}

impl Metadata {
    /// Starts one; it ends with this process.
    fn start(house: &'static House) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let it = Self { house, life: AtomicU64::new(3600), expired: AtomicU64::new(0), asked: AtomicU64::new(0) };
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                // A client that hangs up early is no fault of ours.
                let _ = stream.and_then(|stream| it.speak(stream));
            }
        });
        address
    }

    fn speak(&self, mut stream: TcpStream) -> std::io::Result<()> {
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        let mut lines = BufReader::new(stream.try_clone()?).lines();
        let first = lines.next().unwrap_or_else(|| Ok(String::new()))?;
        let mut flavored = false;
        for line in lines.by_ref() {
            let line = line?;
            flavored |= line.eq_ignore_ascii_case("metadata-flavor: google");
            if line.is_empty() {
                break;
            }
        }
        let target = first.split(' ').nth(1).unwrap_or_default();
        let (status, body) = self.answer(target, flavored);
        write!(
            stream,
            "HTTP/1.1 {status}\r\nMetadata-Flavor: Google\r\nContent-Type: application/text\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        )
    }

    fn answer(&self, target: &str, flavored: bool) -> (&'static str, String) {
        let url = url::Url::parse(&format!("http://metadata{target}")).unwrap();
        let told = |name: &str| url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned());
        if let Some(("", word)) = url.path().split_once('/') {
            let number = || word.split_once('/').and_then(|(_, number)| number.parse().ok()).unwrap();
            match word.split('/').next() {
                Some("life") => self.life.store(number(), Ordering::SeqCst),
                Some("expired") => self.expired.store(number(), Ordering::SeqCst),
                Some("asked") => return ("200 OK", self.asked.load(Ordering::SeqCst).to_string()),
                _ => {}
            }
        }
        if !flavored {
            return ("403 Forbidden", "Missing Metadata-Flavor:Google header.".to_owned());
        }
        match (url.path(), told("audience"), told("format").as_deref()) {
            ("/computeMetadata/v1/", ..) => ("200 OK", "instance/\nproject/\n".to_owned()),
            ("/computeMetadata/v1/instance/service-accounts/default/identity", Some(audience), Some("full")) => {
                self.asked.fetch_add(1, Ordering::SeqCst);
                let life = Duration::from_secs(self.life.load(Ordering::SeqCst));
                let less = self.expired.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
                let token = match less {
                    Ok(_) => self.house.provider.mint_expired(&TRAINER, &audience),
                    Err(_) => self.house.provider.mint(&TRAINER, &audience, life),
                };
                ("200 OK", token.unwrap())
            }
            _ => ("404 Not Found", "not here".to_owned()),
        }
    }
}

fn play(client: &Environment, version: &str) {
    let house = shared();
    let mut script = house.script_by(client, "plugin.py");
    script
        .env("PYTHONPATH", installed())
        .env("MLFLOW_TRACKING_AUTH", "trackgate")
        .env("GCE_METADATA_HOST", Metadata::start(house))
        .env("TRACKGATE_CONFIG_DIR", house.folder.join(format!("plugin-{version}")));
    let said = done(&mut script);
    assert!(said.contains(&format!("all of it with MLflow {version}")), "{said}");
}

#[test]
fn plugin_tests_of_its_own_pass_and_its_types_are_right() {
    let folder = folder("plugin-tests");
    let said = done(tool(&folder).args(["-m", "pytest"]));
    assert!(said.contains(" passed") && !said.contains("skipped"), "{said}");
    done(tool(&folder).args(["-m", "mypy", "--cache-dir"]).arg(folder.join("mypy")));
}

#[test]
fn plugin_before_the_oldest_client() {
    play(&Environment::with_version("2.22.5").unwrap(), "2.22.5");
}

#[test]
fn plugin_before_the_newest_client() {
    play(&Environment::with_version(NEWEST).unwrap(), NEWEST);
}

#[test]
fn plugin_signs_in_from_a_notebook_and_three_processes_renew_once() {
    let house = shared();
    let mut script = house.script("plugin_login.py");
    script
        .env("PYTHONPATH", installed())
        .env("TRACKGATE_CREDENTIAL", "login")
        .env("TRACKGATE_CONFIG_DIR", house.folder.join("plugin-login"));
    let said = done(&mut script);
    assert!(said.contains("signed in, renewed and signed out"), "{said}");
    let name = said.split("login=").nth(1).and_then(|rest| rest.split(' ').next()).unwrap();
    // Written last: whoever still had the file after the sign-out was told so.
    house.audit(|record| record["detail"] == format!("login {name} was ended"));
    let given = house.audit(|record| record["call"] == "GiveToken" && record["detail"] == format!("login {name}"));
    assert_eq!(given.len(), 4, "signing in, three processes at once, a read-only folder, its lost answer: {given:#?}");
}
