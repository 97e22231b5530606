//! How is a server named?
//!
//! By its address, in one spelling: scheme, host in lower case, the port where it is not the scheme's own, the path without a
//! slash at its end. Under this name its credential is kept.

use std::fmt;
use std::sync::Arc;

use url::Url;

use crate::fetch::is_secure;

/// The address of a Trackgate server, in its one spelling.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Server(Arc<Address>);

#[derive(Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Address {
    key: String,
    url: Url,
}

/// An address that no credential is sent to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadServer {
    /// No URL, or one without a host.
    #[error("an address such as https://mlflow.example.com is wanted")]
    NoAddress,
    /// `http` to another machine: whoever is on the way could read the credential.
    #[error("https is wanted; plain http is for this machine alone")]
    Insecure,
    /// A user, a password, a query or a fragment.
    #[error("an address without user, password, query and fragment is wanted")]
    Extras,
}

impl Server {
    /// Reads an address.
    ///
    /// # Errors
    /// [`BadServer`], which does not repeat the address: somebody may have put a password into it.
    pub fn parse(text: &str) -> Result<Self, BadServer> {
        let mut url = Url::parse(text).map_err(|_| BadServer::NoAddress)?;
        if !matches!(url.scheme(), "https" | "http") || url.host_str().is_none_or(str::is_empty) {
            return Err(BadServer::NoAddress);
        }
        if !url.username().is_empty() || url.password().is_some() || url.query().is_some() || url.fragment().is_some() {
            return Err(BadServer::Extras);
        }
        if !is_secure(&url) {
            return Err(BadServer::Insecure);
        }
        let path = url.path().trim_end_matches('/').to_owned();
        url.set_path(&path);
        let key = url.as_str().trim_end_matches('/').to_owned();
        Ok(Self(Arc::new(Address { key, url })))
    }

    /// Its one spelling.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0.key
    }

    /// Scheme, host and port alone; itself where it has no path.
    #[must_use]
    pub fn origin(&self) -> Self {
        let mut url = self.0.url.clone();
        url.set_path("");
        Self(Arc::new(Address { key: url.as_str().trim_end_matches('/').to_owned(), url }))
    }

    /// Under what a login at it may be kept, the nearest first: MLflow may live below a prefix, Trackgate's own pages do not.
    pub(super) fn names(&self) -> impl Iterator<Item = Self> {
        let path = self.0.url.path().trim_end_matches('/');
        let ends: Vec<usize> = path.match_indices('/').map(|(at, _)| at).collect();
        [path.len()].into_iter().chain(ends.into_iter().rev()).map(|end| {
            let mut url = self.0.url.clone();
            url.set_path(&path[..end]);
            Self(Arc::new(Address { key: url.as_str().trim_end_matches('/').to_owned(), url }))
        })
    }

    /// An address below it.
    ///
    /// # Errors
    /// [`BadServer::NoAddress`] when it is none.
    pub fn join(&self, path: &str) -> Result<Url, BadServer> {
        Url::parse(&format!("{}/{}", self.0.key, path.trim_start_matches('/'))).map_err(|_| BadServer::NoAddress)
    }

    /// Whether the address lies on this very server: what it says of itself sends nobody elsewhere.
    #[must_use]
    pub fn has(&self, url: &Url) -> bool {
        self.0.url.origin() == url.origin() && url.username().is_empty() && url.password().is_none()
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.key)
    }
}

impl std::str::FromStr for Server {
    type Err = BadServer;

    fn from_str(text: &str) -> Result<Self, BadServer> {
        Self::parse(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_has_one_spelling() {
        for (text, key) in [
            ("https://mlflow.example.com", "https://mlflow.example.com"),
            ("HTTPS://MLflow.Example.COM:443/", "https://mlflow.example.com"),
            ("https://mlflow.example.com:8443//", "https://mlflow.example.com:8443"),
            ("https://mlflow.example.com/Team/mlflow/", "https://mlflow.example.com/Team/mlflow"),
            ("http://127.0.0.1:5000/", "http://127.0.0.1:5000"),
            ("http://localhost:80", "http://localhost"),
            ("http://[::1]:5000", "http://[::1]:5000"),
        ] {
            let server = Server::parse(text).unwrap();
            assert_eq!(server.as_str(), key, "{text}");
            assert_eq!(Server::parse(server.as_str()).unwrap(), server, "{text}");
        }
    }

    #[test]
    fn a_credential_goes_to_no_other_kind_of_address() {
        for (text, fault) in [
            ("mlflow.example.com", BadServer::NoAddress),
            ("", BadServer::NoAddress),
            ("ftp://mlflow.example.com", BadServer::NoAddress),
            ("file:///etc/passwd", BadServer::NoAddress),
            ("http://mlflow.example.com", BadServer::Insecure),
            ("http://10.0.0.1:5000", BadServer::Insecure),
            ("http://localhost.evil.example", BadServer::Insecure),
            ("https://alice:secret@mlflow.example.com", BadServer::Extras),
            ("https://mlflow.example.com/?a=b", BadServer::Extras),
            ("https://mlflow.example.com/#/models", BadServer::Extras),
        ] {
            assert_eq!(Server::parse(text), Err(fault), "{text}");
        }
    }

    #[test]
    fn what_lies_below_a_server_keeps_its_path() {
        let server = Server::parse("https://example.com/mlflow/").unwrap();
        assert_eq!(server.join("/trackgate/whoami").unwrap().as_str(), "https://example.com/mlflow/trackgate/whoami");
        assert_eq!(server.origin().as_str(), "https://example.com");
        let names = |text: &str| Server::parse(text).unwrap().names().map(|name| name.to_string()).collect::<Vec<_>>();
        assert_eq!(names("https://example.com"), ["https://example.com"]);
        let all = ["https://example.com/a/b", "https://example.com/a", "https://example.com"];
        assert_eq!(names("https://example.com/a/b/"), all);
        assert!(server.has(&Url::parse("https://example.com:443/x").unwrap()));
        for other in
            ["http://example.com/x", "https://example.com:8443/x", "https://evil.example/", "https://a@example.com/"]
        {
            assert!(!server.has(&Url::parse(other).unwrap()), "{other}");
        }
    }
}
