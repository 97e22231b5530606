//! Who is asked for certificates, for which names, and how are they proven?

use std::path::PathBuf;
use std::time::Duration;

use url::Url;

use crate::fetch;

/// Let's Encrypt's directory (<https://letsencrypt.org/docs/acme-protocol-updates/>).
pub const LETS_ENCRYPT: &str = "https://acme-v02.api.letsencrypt.org/directory";

/// How the authority sees that a name is ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Challenge {
    /// A document on port 80 (RFC 8555 section 8.3).
    Http01,
    /// A certificate on port 443 (RFC 8737).
    TlsAlpn01,
}

impl Challenge {
    /// Its name in the protocol and in the configuration.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Http01 => "http-01",
            Self::TlsAlpn01 => "tls-alpn-01",
        }
    }

    /// Which port of the names the authority connects to.
    #[must_use]
    pub fn port(self) -> u16 {
        match self {
            Self::Http01 => 80,
            Self::TlsAlpn01 => 443,
        }
    }
}

/// What shows the authority to which of its customers a new account belongs (RFC 8555 section 7.3.4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binding {
    /// The key's name at the authority.
    pub key_id: String,
    /// Holds the key in base64url.
    pub key_file: PathBuf,
}

/// How often things are tried. The authority's own limits are behind these numbers: Let's Encrypt gives five failed
/// validations for each name and hour (<https://letsencrypt.org/docs/rate-limits/>).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// After a first failure; twice as long after each further one.
    pub first: Duration,
    /// At the most.
    pub most: Duration,
    /// How often the clock, and the folder that another gate fills, are looked at.
    pub look: Duration,
    /// How long one attempt may take.
    pub attempt: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            first: Duration::from_mins(5),
            most: Duration::from_hours(4),
            look: Duration::from_secs(30),
            attempt: Duration::from_mins(10),
        }
    }
}

/// Who is asked, and for what.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The authority's directory.
    pub directory: Url,
    /// Whose roots the authority's own certificate comes from, and how long it may take to answer.
    pub fetch: fetch::Settings,
    /// A mail address for the authority's notices.
    pub contact: Option<String>,
    /// How names are proven.
    pub challenge: Challenge,
    /// The names, in lower case, each once.
    pub domains: Vec<String>,
    /// For authorities that know their customers.
    pub binding: Option<Binding>,
    /// Where everything is kept.
    pub state_dir: PathBuf,
    /// How long before the end a certificate is renewed; absent: when two thirds of its life are over, or when the authority
    /// suggests.
    pub renew_before: Option<Duration>,
    /// How often things are tried.
    pub pace: Pace,
}

impl Settings {
    /// The defaults.
    #[must_use]
    pub fn new(directory: Url, domains: Vec<String>, state_dir: PathBuf) -> Self {
        Self {
            directory,
            fetch: fetch::Settings {
                ca_file: None,
                total: Duration::from_secs(30),
                connect: Duration::from_secs(10),
                most: 1024 * 1024,
                ..fetch::Settings::default()
            },
            contact: None,
            challenge: Challenge::TlsAlpn01,
            domains,
            binding: None,
            state_dir,
            renew_before: None,
            pace: Pace::default(),
        }
    }
}
