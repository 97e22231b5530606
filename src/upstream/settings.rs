//! Where is MLflow, and how long do we wait for it?

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use crate::way_out::WayOut;

/// Where MLflow is, and the timeouts towards it. The defaults are those of `config/example.toml`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Where it listens.
    pub target: Target,
    /// Who signs its certificate; the system's roots if absent. Counts for `https` only.
    pub ca_file: Option<PathBuf>,
    /// How to get there, where that is far: a gate's MLflow is near.
    pub way_out: WayOut,
    /// Until the connection stands, TLS included.
    pub connect_timeout: Duration,
    /// From the request's last byte to the answer's first.
    pub first_byte_timeout: Duration,
    /// The same for artifacts, which MLflow may have to fetch from afar.
    pub artifact_first_byte_timeout: Duration,
    /// Between two bytes of an answer, or of an upload that MLflow takes.
    pub idle_timeout: Duration,
    /// Kept-alive connections that rested this long are closed: before uvicorn does it, after 5 s.
    pub pool_idle: Duration,
    /// How many connections may rest in each worker's pool.
    pub pool_size: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            target: Target::Http { host: "127.0.0.1".to_owned(), port: 5000 },
            ca_file: None,
            way_out: WayOut::Straight,
            connect_timeout: Duration::from_secs(5),
            first_byte_timeout: Duration::from_mins(1),
            artifact_first_byte_timeout: Duration::from_mins(10),
            idle_timeout: Duration::from_mins(5),
            pool_idle: Duration::from_secs(4),
            pool_size: 64,
        }
    }
}

/// Where MLflow listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// TCP.
    Http {
        /// Name or address.
        host: String,
        /// Port.
        port: u16,
    },
    /// TCP with TLS; the certificate is verified against `host`.
    Https {
        /// Name or address.
        host: String,
        /// Port.
        port: u16,
    },
    /// A Unix socket.
    Unix(PathBuf),
}

/// Why an address of MLflow cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{given}` is not http://host:port, https://host:port or unix:/path/to.sock: {why}")]
pub struct BadTarget {
    given: String,
    why: &'static str,
}

impl FromStr for Target {
    type Err = BadTarget;

    fn from_str(given: &str) -> Result<Self, BadTarget> {
        let bad = |why| BadTarget { given: given.to_owned(), why };
        if let Some(path) = given.strip_prefix("unix:") {
            if !path.starts_with('/') {
                return Err(bad("the path of the socket must be absolute"));
            }
            return Ok(Self::Unix(PathBuf::from(path)));
        }
        let url = url::Url::parse(given).map_err(|_| bad("it cannot be parsed"))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(bad("it may not hold a user or password"));
        }
        if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
            return Err(bad("it may not have a path; see static_prefix"));
        }
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or_else(|| bad("there is no host"))?.to_owned();
        match (url.scheme(), url.port_or_known_default()) {
            ("http", Some(port)) => Ok(Self::Http { host, port }),
            ("https", Some(port)) => Ok(Self::Https { host, port }),
            _ => Err(bad("the scheme is unknown")),
        }
    }
}

impl Target {
    /// What stands in `Host` towards MLflow: its own address, which its host check takes (MLflow 3.17.2,
    /// `mlflow/server/security_utils.py`: loopback and private addresses with any port).
    #[must_use]
    pub fn authority(&self) -> String {
        match self {
            Self::Http { host, port: 80 } | Self::Https { host, port: 443 } => host.clone(),
            Self::Http { host, port } | Self::Https { host, port } => format!("{host}:{port}"),
            Self::Unix(_) => "localhost".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_three_kinds_of_address_are_read() {
        let cases = [
            ("http://127.0.0.1:5000", Target::Http { host: "127.0.0.1".into(), port: 5000 }, "127.0.0.1:5000"),
            ("http://mlflow", Target::Http { host: "mlflow".into(), port: 80 }, "mlflow"),
            ("https://mlflow.internal", Target::Https { host: "mlflow.internal".into(), port: 443 }, "mlflow.internal"),
            ("http://[::1]:5000/", Target::Http { host: "[::1]".into(), port: 5000 }, "[::1]:5000"),
            ("unix:/run/mlflow.sock", Target::Unix("/run/mlflow.sock".into()), "localhost"),
        ];
        for (given, wanted, authority) in cases {
            let target: Target = given.parse().unwrap();
            assert_eq!(target, wanted, "{given}");
            assert_eq!(target.authority(), authority, "{given}");
        }
    }

    #[test]
    fn an_address_with_more_than_a_host_is_refused() {
        for given in [
            "http://h/x",
            "http://u:p@h",
            "ftp://h:1",
            "unix:sock",
            "h:5000",
            "",
            "http://h?x",
            "http://h#x",
            "http://",
        ] {
            assert!(given.parse::<Target>().is_err(), "{given}");
        }
    }
}
