//! Which kinds of values do the keys take, beyond text, numbers, durations and sizes?

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use toml::de::DeValue;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;
use url::{Host, Url};

use super::reader::{Reads, quoted};
use crate::acme::Challenge;
use crate::audit::{Fsync, OnFailure, Target as AuditTarget};
use crate::authenticate::issuer::UserClaim;
use crate::authenticate::token::Algorithm;
use crate::fetch::is_metadata;
use crate::message::Door;
use crate::mlflow::ids::UserName;
use crate::mlflow::permission::Permission;
use crate::store;
use crate::telemetry::Format;
use crate::upstream;

fn text<'v>(value: &'v DeValue<'_>, expected: &str) -> Result<&'v str, String> {
    value.as_str().ok_or_else(|| format!("{expected}, in quotes"))
}

/// One of a few words.
macro_rules! words {
    ($kind:ty, $($word:literal => $value:expr),+ $(,)?) => {
        impl Reads for $kind {
            fn read(value: &DeValue<'_>) -> Result<Self, String> {
                let expected = || format!("one of {}", [$(concat!("\"", $word, "\"")),+].join(", "));
                match value.as_str() {
                    $(Some($word) => Ok($value),)+
                    _ => Err(expected()),
                }
            }

            fn show(&self) -> String {
                $(if *self == $value { return quoted($word); })+
                String::new()
            }
        }
    };
}

words!(Fsync, "always" => Fsync::Always, "never" => Fsync::Never);
words!(OnFailure, "refuse" => OnFailure::Refuse, "allow" => OnFailure::Allow);
words!(Format, "human" => Format::Human, "json" => Format::Json);
words!(Challenge, "tls-alpn-01" => Challenge::TlsAlpn01, "http-01" => Challenge::Http01);
words!(Door, "https" => Door::Https, "plain" => Door::Plain);
words!(
    UserClaim,
    "email" => UserClaim::Email,
    "sub" => UserClaim::Subject,
    "preferred_username" => UserClaim::PreferredUsername,
    "none" => UserClaim::Nobody,
);

/// What everybody holds on the workspace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct WorkspacePermission(pub(super) Option<Permission>);

words!(
    WorkspacePermission,
    "NO_PERMISSIONS" => WorkspacePermission(None),
    "USE" => WorkspacePermission(Some(Permission::Use)),
);

impl Reads for Algorithm {
    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        value.as_str().and_then(Self::parse).ok_or_else(|| {
            "a signature algorithm such as \"RS256\" or \"ES256\" (never \"none\" or one with a shared key)".to_owned()
        })
    }

    fn show(&self) -> String {
        quoted(self.as_str())
    }
}

impl Reads for UserName {
    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        Self::parse(text(value, "a user name")?).map_err(|error| format!("a user name ({})", error.why))
    }

    fn show(&self) -> String {
        quoted(self.as_str())
    }
}

impl Reads for AuditTarget {
    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        match text(value, "a path, or \"-\"")? {
            "" => Err("a path, or \"-\"".to_owned()),
            "-" => Ok(Self::Stdout),
            path => Ok(Self::File(PathBuf::from(path))),
        }
    }

    fn show(&self) -> String {
        match self {
            Self::Stdout => quoted("-"),
            Self::File(path) => quoted(&path.to_string_lossy()),
        }
    }
}

/// The address of a listener whose port the surroundings may say: `0.0.0.0:$PORT`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Listener(pub(super) SocketAddr);

impl Listener {
    /// `port` is the environment's `PORT`, by which Cloud Run tells a container where requests will come (container runtime
    /// contract, "Listening for requests"). Without it, 8080, as there.
    fn of(written: &str, port: Option<&str>) -> Result<Self, String> {
        const EXPECTED: &str = "an address with a port, such as \"0.0.0.0:8080\", or \"0.0.0.0:$PORT\"";
        let address = match written.strip_suffix(":$PORT") {
            Some(host) => {
                let port = port.unwrap_or("8080");
                let told =
                    port.parse::<u16>().ok().filter(|told| *told != 0 && port.bytes().all(|c| c.is_ascii_digit()));
                let told = told.ok_or("an address with a port, and `PORT` in the environment is none")?;
                format!("{host}:{told}")
            }
            None => written.to_owned(),
        };
        address.parse().map(Self).map_err(|_| EXPECTED.to_owned())
    }
}

impl Reads for Listener {
    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        let port = std::env::var("PORT").ok();
        Self::of(text(value, "an address with a port, such as \"0.0.0.0:8080\"")?, port.as_deref())
    }

    fn show(&self) -> String {
        quoted(&self.0.to_string())
    }
}

/// MLflow's address, and how it was written.
#[derive(Debug, Clone)]
pub(super) struct UpstreamUrl {
    pub(super) target: upstream::Target,
    written: String,
}

impl UpstreamUrl {
    pub(super) fn of(written: &str) -> Result<Self, upstream::BadTarget> {
        Ok(Self { target: written.parse()?, written: written.to_owned() })
    }
}

impl Reads for UpstreamUrl {
    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        const EXPECTED: &str = "\"http://host:port\", \"https://host:port\" or \"unix:/path/to.sock\"";
        // The address is not repeated in the message: somebody may have put a password into it.
        Self::of(text(value, EXPECTED)?).map_err(|_| format!("{EXPECTED}, without user, password, path or query"))
    }

    fn show(&self) -> String {
        quoted(&self.written)
    }
}

/// `public_url`.
#[derive(Debug, Clone)]
pub(super) struct PublicUrl(pub(super) Url);

impl Reads for PublicUrl {
    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        const EXPECTED: &str = "an address such as \"https://mlflow.example.com\"";
        let url = Url::parse(text(value, EXPECTED)?).map_err(|_| EXPECTED.to_owned())?;
        if url.scheme() != "https" {
            return Err(format!("{EXPECTED}: browsers keep our cookies for https alone"));
        }
        if url.host_str().is_none_or(str::is_empty) || url.path() != "/" || extras(&url) {
            return Err(format!("{EXPECTED}, without user, password, path or query"));
        }
        Ok(Self(url))
    }

    fn show(&self) -> String {
        quoted(self.0.as_str().trim_end_matches('/'))
    }
}

/// Where Trackgate's own database is.
#[derive(Debug, Clone)]
pub(super) struct DatabaseUrl {
    pub(super) database: store::Postgres,
    written: String,
}

impl DatabaseUrl {
    /// The address that a file holds: for platforms that hand it out as a secret. Read here, not later: a store whose address
    /// could not be read must not pass for one without. Nothing of what the file holds is repeated.
    fn in_file(file: &Path) -> Result<store::Postgres, String> {
        let text =
            std::fs::read_to_string(file).map_err(|error| format!("`{}` to be readable ({error})", file.display()))?;
        store::Postgres::parse(text.trim()).map_err(|fault| format!("in `{}` {fault}", file.display()))
    }
}

impl Reads for DatabaseUrl {
    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        let written = text(value, "an address such as \"postgres://trackgate@db.example.com/trackgate\"")?;
        let database = match written.strip_prefix("file:") {
            Some(file) if file.starts_with('/') => Self::in_file(Path::new(file))?,
            Some(_) => {
                return Err(
                    "after `file:` a path from the root, such as \"file:/etc/trackgate/database-url\"".to_owned()
                );
            }
            None => store::Postgres::parse(written).map_err(|fault| fault.to_string())?,
        };
        Ok(Self { database, written: written.to_owned() })
    }

    fn show(&self) -> String {
        quoted(&self.written)
    }
}

/// An address that is asked for documents: https, or http on this host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ProviderUrl {
    pub(super) url: Url,
    /// Issuers are compared byte by byte.
    pub(super) written: String,
}

impl Reads for ProviderUrl {
    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        const EXPECTED: &str = "an address such as \"https://accounts.example.com\"";
        let written = text(value, EXPECTED)?;
        let url = Url::parse(written).map_err(|_| EXPECTED.to_owned())?;
        let secure = url.scheme() == "https" || (url.scheme() == "http" && loopback(&url));
        if !secure {
            return Err(format!("{EXPECTED}: https, or http on a loopback address"));
        }
        if extras(&url) {
            return Err(format!("{EXPECTED}, without user, password, query or fragment"));
        }
        Ok(Self { url, written: written.to_owned() })
    }

    fn show(&self) -> String {
        quoted(&self.written)
    }
}

fn extras(url: &Url) -> bool {
    !url.username().is_empty() || url.password().is_some() || url.query().is_some() || url.fragment().is_some()
}

fn loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => IpAddr::V4(address).is_loopback(),
        Some(Host::Ipv6(address)) => IpAddr::V6(address).is_loopback(),
        None => false,
    }
}

/// A host name without a port, in lower case.
#[derive(Debug, Clone)]
pub(super) struct HostName(pub(super) String);

impl Reads for HostName {
    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        const EXPECTED: &str = "a host name such as \"mlflow.internal\", without a port";
        let written = text(value, EXPECTED)?.to_ascii_lowercase();
        match Url::parse(&format!("https://{written}/")) {
            Ok(url) if url.path() == "/" && !extras(&url) && url.host_str() == Some(&written) => Ok(Self(written)),
            _ => Err(EXPECTED.to_owned()),
        }
    }

    fn show(&self) -> String {
        quoted(&self.0)
    }
}

/// `upstream.static_prefix`.
#[derive(Debug, Clone, Default)]
pub(super) struct Prefix(pub(super) String);

impl Reads for Prefix {
    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        const EXPECTED: &str = "empty, or a path such as \"/mlflow\" without a slash at its end";
        let written = text(value, EXPECTED)?;
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        // Below `/trackgate` lies what is ours.
        let ours = written == "/trackgate" || written.starts_with("/trackgate/");
        let good = written.is_empty()
            || written.strip_prefix('/').is_some_and(|rest| {
                rest.split('/').all(|part| !part.is_empty() && part != "." && part != ".." && part.chars().all(plain))
            });
        if good && !ours { Ok(Self(written.to_owned())) } else { Err(EXPECTED.to_owned()) }
    }

    fn show(&self) -> String {
        quoted(&self.0)
    }
}

/// An issuer's short name: it stands in URLs.
#[derive(Debug, Clone)]
pub(super) struct ShortName(pub(super) String);

impl Reads for ShortName {
    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        const EXPECTED: &str = "a short name of lower-case letters, digits, `-` and `_`";
        let written = text(value, EXPECTED)?;
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_');
        if !written.is_empty() && written.len() <= 64 && written.chars().all(plain) {
            Ok(Self(written.to_owned()))
        } else {
            Err(EXPECTED.to_owned())
        }
    }

    fn show(&self) -> String {
        quoted(&self.0)
    }
}

/// Text that is not empty.
#[derive(Debug, Clone)]
pub(super) struct Word(pub(super) String);

impl Reads for Word {
    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        match text(value, "text")? {
            "" => Err("text, not empty".to_owned()),
            word if word.chars().any(char::is_control) => Err("text without control characters".to_owned()),
            word => Ok(Self(word.to_owned())),
        }
    }

    fn show(&self) -> String {
        quoted(&self.0)
    }
}

/// `log.level`.
#[derive(Debug, Clone)]
pub(super) struct Level(pub(super) String);

impl Reads for Level {
    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        const EXPECTED: &str = "off, error, warn, info, debug or trace, and after it what parts are to say, such as \
                                \"info,trackgate::store=debug\"";
        let written = text(value, EXPECTED)?;
        // A word alone that is no level would be taken for a part of the program, and everything else fall silent.
        let is_level = |word: &str| !word.is_empty() && word.parse::<LevelFilter>().is_ok();
        let for_all: Vec<&str> = written.split(',').map(str::trim).filter(|word| !word.contains('=')).collect();
        match for_all[..] {
            [level] if is_level(level) && EnvFilter::try_new(written).is_ok() => Ok(Self(written.to_owned())),
            _ => Err(EXPECTED.to_owned()),
        }
    }

    fn show(&self) -> String {
        quoted(&self.0)
    }
}

/// The id of a Google Cloud project.
#[derive(Debug, Clone)]
pub(super) struct GoogleProject(pub(super) String);

impl Reads for GoogleProject {
    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        const EXPECTED: &str = "the id of a Google Cloud project such as \"my-project\"";
        let written = text(value, EXPECTED)?;
        // 6 to 30 letters, digits and hyphens; older ones stand behind a domain.
        let id = written.rsplit_once(':').map_or(written, |(_, id)| id);
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        let named =
            (6..=30).contains(&id.len()) && id.chars().all(plain) && id.starts_with(|c: char| c.is_ascii_lowercase());
        let domain =
            written.strip_suffix(id).is_some_and(|domain| domain.chars().all(|c| plain(c) || matches!(c, '.' | ':')));
        if named && domain { Ok(Self(written.to_owned())) } else { Err(EXPECTED.to_owned()) }
    }

    fn show(&self) -> String {
        quoted(&self.0)
    }
}

/// A domain of mail addresses, in lower case.
#[derive(Debug, Clone)]
pub(super) struct MailDomain(pub(super) String);

impl Reads for MailDomain {
    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        const EXPECTED: &str = "a mail domain such as \"example.com\", without `@` or `*`";
        let written = text(value, EXPECTED)?.to_ascii_lowercase();
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-';
        let labels = || written.split('.').all(|label| !label.is_empty() && label.chars().all(plain));
        if written.contains('.') && labels() { Ok(Self(written)) } else { Err(EXPECTED.to_owned()) }
    }

    fn show(&self) -> String {
        quoted(&self.0)
    }
}

/// Google's id of an organization.
#[derive(Debug, Clone)]
pub(super) struct Customer(pub(super) String);

impl Reads for Customer {
    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        const EXPECTED: &str = "Google's customer id, such as \"C046psxkn\"";
        let written = text(value, EXPECTED)?;
        let good = written.strip_prefix('C').is_some_and(|rest| {
            (1..=32).contains(&rest.len()) && rest.bytes().all(|byte| byte.is_ascii_alphanumeric())
        });
        if good { Ok(Self(written.to_owned())) } else { Err(EXPECTED.to_owned()) }
    }

    fn show(&self) -> String {
        quoted(&self.0)
    }
}

/// The metadata server.
#[derive(Debug, Clone)]
pub(super) struct MetadataUrl(pub(super) Url);

impl Reads for MetadataUrl {
    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        const EXPECTED: &str = "an address such as \"http://169.254.169.254\": link-local or loopback, and no name";
        let url = Url::parse(text(value, EXPECTED)?).map_err(|_| EXPECTED.to_owned())?;
        if !is_metadata(&url) || url.path() != "/" || extras(&url) {
            return Err(EXPECTED.to_owned());
        }
        Ok(Self(url))
    }

    fn show(&self) -> String {
        quoted(self.0.as_str().trim_end_matches('/'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_is_the_one_that_the_environment_says_where_the_file_asks_for_it() {
        let of = |written, port| Listener::of(written, port).map(|Listener(address)| address.to_string());
        assert_eq!(of("0.0.0.0:$PORT", Some("9090")).unwrap(), "0.0.0.0:9090");
        assert_eq!(of("[::]:$PORT", Some("9090")).unwrap(), "[::]:9090");
        assert_eq!(of("0.0.0.0:$PORT", None).unwrap(), "0.0.0.0:8080");
        assert_eq!(of("127.0.0.1:8081", Some("9090")).unwrap(), "127.0.0.1:8081", "nothing was asked for");
    }

    #[test]
    fn the_address_of_the_database_may_stand_in_a_file_which_is_not_repeated() {
        let folder = std::env::temp_dir().join(format!("trackgate-database-url-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let file = folder.join("url");
        let read = |value: String| DatabaseUrl::read(&DeValue::String(value.into()));
        let said = format!("file:{}", file.display());
        assert!(read(said.clone()).unwrap_err().contains("to be readable"), "there is none yet");
        std::fs::write(&file, "postgres://gate@db.example.com/trackgate\n").unwrap();
        let found = read(said.clone()).unwrap();
        assert_eq!(found.database.to_string(), "postgres://gate@db.example.com:5432/trackgate");
        assert_eq!(found.show(), quoted(&said), "printed as it was written");
        for bad in [
            "",
            "postgres://gate:hidden@db/t",
            "mysql://hidden@db/t",
            "postgres://hidden@db.example.com/t?sslmode=disable",
        ] {
            std::fs::write(&file, bad).unwrap();
            let fault = read(said.clone()).unwrap_err();
            assert!(fault.contains("database-url") && !fault.contains("hidden"), "{bad}: {fault}");
        }
        assert!(read("file:relative".to_owned()).unwrap_err().contains("from the root"));
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_port_that_is_none_is_refused_with_the_variable_named() {
        for port in ["", "0", "65536", "+80", "80 ", "http", "8080:1", "-1"] {
            let fault = Listener::of("0.0.0.0:$PORT", Some(port)).unwrap_err();
            assert!(fault.contains("`PORT` in the environment"), "{port}: {fault}");
        }
        for written in
            ["$PORT", ":$PORT", "0.0.0.0:${PORT}", "0.0.0.0:$PORT0", "0.0.0.0:$HOME", "0.0.0.0", "host:$PORT"]
        {
            let fault = Listener::of(written, Some("9090")).unwrap_err();
            assert!(fault.contains("0.0.0.0:$PORT"), "{written}: {fault}");
        }
    }
}
