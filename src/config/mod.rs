//! What is each room told to do?
//!
//! One TOML file, read once. Its keys, defaults and meanings stand in `config/example.toml`. Unknown keys are errors;
//! all faults are reported at once, each with its key, its line and a hint. Secrets are never in the file: it names
//! files that hold them, which others may not read.
//!
//! Settings live in the rooms they set; here they are made.

mod acme;
mod bindings;
mod credential;
mod file;
mod google;
mod issuers;
mod kinds;
mod rates;
mod reader;
#[cfg(test)]
mod tests;
mod trace;
mod units;

use std::ffi::OsStr;
use std::fmt::{self, Write as _};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use http::HeaderValue;
use url::Url;

pub use self::reader::{Asked, Fault};
pub use self::trace::Trace;
pub use self::units::Size;
pub(crate) use self::units::duration;

use crate::gate::{clean, limits};
use crate::{acme as authority, answer, audit, authenticate, monitor, resolve, serve, store, telemetry, upstream};

/// What to do about a credential that nobody handed over.
const NO_CREDENTIALS: &str = "systemd sets it for a unit with `LoadCredential=`; by hand, as root, while the unit runs: \
                              `CREDENTIALS_DIRECTORY=/run/credentials/trackgate.service trackgate ...`";

/// What the file says, checked, with defaults filled in.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where people and programs reach the gate, the file's `public_url`.
    pub public_url: Url,
    /// Names of the gate, and how requests are brought to one spelling.
    pub clean: clean::Settings,
    /// How large bodies may be.
    pub bodies: Bodies,
    /// How much callers may have.
    pub rates: limits::Settings,
    /// How ids are looked up.
    pub resolve: resolve::Settings,
    /// How answers are looked over.
    pub answer: answer::Settings,
    /// Sockets, TLS, connection limits.
    pub serve: serve::Settings,
    /// Where the gate tells of itself.
    pub monitor: monitor::Settings,
    /// Who gives certificates, where an authority does.
    pub acme: Option<authority::Settings>,
    /// The way to MLflow.
    pub upstream: upstream::Settings,
    /// Issuers, IAP, sessions.
    pub authenticate: authenticate::Settings,
    /// The database.
    pub store: store::Settings,
    /// The keys that seal what browsers carry, where they are handed to each gate.
    pub seal_keys_file: Option<PathBuf>,
    /// The audit log.
    pub audit: audit::Settings,
    /// Operational logs.
    pub log: telemetry::Settings,
    /// Traces, where they are sent to somebody.
    pub trace: Option<Trace>,
    /// Every key, its default and the value in force, in the order in which they are read.
    pub keys: Vec<Asked>,
}

/// How large bodies may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bodies {
    /// The largest JSON body that is read whole.
    pub json: u64,
    /// The same for `log-batch` and its kind.
    pub large_json: u64,
    /// The largest artifact; 0: any.
    pub artifact: u64,
    /// How much of JSON bodies one caller may be sending at once.
    pub at_once: u64,
}

impl Default for Bodies {
    fn default() -> Self {
        Self { json: 1 << 20, large_json: 16 << 20, artifact: 0, at_once: 128 << 20 }
    }
}

/// All that is wrong with a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Faults {
    /// Which file.
    pub file: PathBuf,
    /// What, by line.
    pub faults: Vec<Fault>,
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.faults.len();
        write!(f, "{} has {count} {}", self.file.display(), if count == 1 { "fault" } else { "faults" })?;
        for fault in &self.faults {
            write!(f, "\n  {fault}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Faults {}

impl Config {
    /// Reads the file, and looks whether the files it names exist and keep their secrets.
    ///
    /// # Errors
    /// All [`Faults`] at once.
    pub fn load(path: &Path) -> Result<Self, Faults> {
        let (config, mut faults) = file::read(&text_of(path)?);
        if let Some(config) = &config {
            faults.extend(config.missing_files(alone(std::env::var_os("K_SERVICE").as_deref())));
        }
        judged(config, faults).map_err(|faults| Faults { file: path.to_owned(), faults })
    }

    /// Reads the file alone: for commands that use none of the files it names.
    ///
    /// # Errors
    /// All [`Faults`] at once.
    pub fn read(path: &Path) -> Result<Self, Faults> {
        let config = Self::parse(&text_of(path)?);
        // The database alone is used by such commands, too; that it needs what nobody handed over is better told here.
        let config = config.and_then(|config| {
            let mut faults = Vec::new();
            if let store::Engine::Postgres(database) = &config.store.engine {
                let files = [&database.password_file, &database.ca].into_iter().flatten();
                let missing = files.filter(|file| credential::missing(file).is_some());
                faults.extend(missing.filter_map(|file| config.file_fault(file, false)));
            }
            judged(Some(config), faults)
        });
        config.map_err(|faults| Faults { file: path.to_owned(), faults })
    }

    /// Reads the text alone, without looking at any other file.
    ///
    /// # Errors
    /// All [`Fault`]s at once.
    pub fn parse(text: &str) -> Result<Self, Vec<Fault>> {
        let (config, faults) = file::read(text);
        judged(config, faults)
    }

    /// The name for `X-Forwarded-Host`: that of `public_url`, with its port unless that is the usual one.
    #[must_use]
    pub fn public_host(&self) -> HeaderValue {
        let host = self.public_url.host_str().unwrap_or_default();
        let text = match self.public_url.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        };
        // A parsed host is ASCII without control characters.
        HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static(""))
    }

    /// What the settings in force look like as a file. There is no secret in it: secrets are in files of their own.
    #[must_use]
    pub fn print(&self) -> String {
        let mut out = String::new();
        let mut section = String::new();
        for Asked { key, value, .. } in &self.keys {
            let (path, name) = key.rsplit_once('.').unwrap_or(("", key));
            if path != section {
                path.clone_into(&mut section);
                let header = match path.split_once('[') {
                    Some((list, rest)) => match rest.split_once("].") {
                        Some((_, inner)) => format!("[{list}.{inner}]"),
                        None => format!("[[{list}]]"),
                    },
                    None => format!("[{path}]"),
                };
                let _ = writeln!(out, "\n{header}");
            }
            if let Some(value) = value {
                let _ = writeln!(out, "{name} = {value}");
            }
        }
        out
    }

    /// What is wrong with a file that a key names.
    fn file_fault(&self, path: &Path, secret: bool) -> Option<Fault> {
        let why = file_fault(path, secret)?;
        let (what, hint) = match credential::missing(path) {
            Some(name) => (
                format!("names the credential `{name}`, but `CREDENTIALS_DIRECTORY` is not set"),
                Some(NO_CREDENTIALS.to_owned()),
            ),
            None => (
                format!("names `{}`, which {why}", path.display()),
                secret.then(|| "a secret is readable by its owner, and at most its group".to_owned()),
            ),
        };
        let shown = reader::quoted(&credential::written(path));
        let key = self.keys.iter().find(|asked| asked.value.as_deref() == Some(&shown));
        let (name, line) = key.map(|asked| (asked.key.clone(), asked.line)).unwrap_or_default();
        Some(Fault { key: name, line, what, hint })
    }

    fn missing_files(&self, alone: bool) -> Vec<Fault> {
        let mut faults = Vec::new();
        let mut look = |path: &Path, secret: bool| faults.extend(self.file_fault(path, secret && !alone));
        if let Some(files) = self.serve.https.as_ref().and_then(|https| https.pair.files()) {
            look(&files.certificate, false);
            look(&files.private_key, true);
        }
        if let Some(acme) = &self.acme {
            if let Some(binding) = &acme.binding {
                look(&binding.key_file, true);
            }
            if let Some(ca) = &acme.fetch.ca_file {
                look(ca, false);
            }
        }
        if let Some(ca) = &self.upstream.ca_file {
            look(ca, false);
        }
        if let Some(keys) = &self.seal_keys_file {
            look(keys, true);
        }
        if let store::Engine::Postgres(database) = &self.store.engine {
            if let Some(password) = &database.password_file {
                look(password, true);
            }
            if let Some(ca) = &database.ca {
                look(ca, false);
            }
        }
        for issuer in &self.authenticate.issuers {
            if let Some(ca) = &issuer.fetch.ca_file {
                look(ca, false);
            }
            // Kubernetes lets everybody in the container read its tokens.
            if let Some(token) = &issuer.keys_token_file {
                look(token, false);
            }
            if let Some(secret) = issuer.login.as_ref().and_then(|login| login.client_secret_file.as_ref()) {
                look(secret, true);
            }
        }
        if let Some(trace) = &self.trace {
            if let Some(ca) = &trace.collector.ca_file {
                look(ca, false);
            }
            if let Some(key) = trace.collector.credentials.as_ref().and_then(|own| own.key_file.as_ref()) {
                look(key, true);
            }
        }
        if let Some(google) = &self.authenticate.google_groups {
            if let Some(key) = &google.key_file {
                look(key, true);
            }
            if let Some(ca) = &google.fetch.ca_file {
                look(ca, false);
            }
        }
        faults
    }
}

fn text_of(path: &Path) -> Result<String, Faults> {
    std::fs::read_to_string(path).map_err(|error| {
        let hint = Some("say with `--config` where the file is".to_owned());
        let fault = Fault { key: String::new(), line: None, what: format!("cannot be read: {error}"), hint };
        Faults { file: path.to_owned(), faults: vec![fault] }
    })
}

fn judged(config: Option<Config>, mut faults: Vec<Fault>) -> Result<Config, Vec<Fault>> {
    faults.sort_by_key(|fault| fault.line);
    match config {
        Some(config) if faults.is_empty() => Ok(config),
        _ => Err(faults),
    }
}

/// Whether nobody else is here who could read a secret. Cloud Run mounts secrets as root's and readable by all in the container,
/// where there is only us, under a user of our own; it tells each container its service's name (container runtime contract,
/// "Environment variables").
fn alone(service: Option<&OsStr>) -> bool {
    service.is_some_and(|name| !name.is_empty())
}

fn file_fault(path: &Path, secret: bool) -> Option<String> {
    // Opened, not only looked at: whether this process may read it is the question.
    match std::fs::File::open(path).and_then(|file| file.metadata()) {
        Err(error) => Some(format!("cannot be read: {error}")),
        Ok(found) if found.is_dir() => Some("is a directory".to_owned()),
        Ok(found) if secret && found.mode() & 0o007 != 0 => {
            Some(format!("anybody on this host can read (mode {:04o})", found.mode() & 0o777))
        }
        Ok(_) => None,
    }
}
