//! Which kinds of values do the keys take, beyond text, numbers, durations and sizes?

use std::net::IpAddr;
use std::path::PathBuf;

use toml::de::DeValue;
use tracing_subscriber::EnvFilter;
use url::{Host, Url};

use super::reader::{Reads, quoted};
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

impl Reads for DatabaseUrl {
    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        let written = text(value, "an address such as \"postgres://trackgate@db.example.com/trackgate\"")?;
        let database = store::Postgres::parse(written).map_err(|fault| fault.to_string())?;
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
        const EXPECTED: &str = "a level such as \"info\" or \"info,trackgate::store=debug\"";
        let written = text(value, EXPECTED)?;
        if written.is_empty() || EnvFilter::try_new(written).is_err() {
            return Err(EXPECTED.to_owned());
        }
        Ok(Self(written.to_owned()))
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
