//! How do we ask an identity provider, or Google's directory, for a document?
//!
//! What comes back is hostile input: bounded in time and size, status 200 alone, no redirect followed, no compression,
//! certificate verified. Nothing of a caller's request goes along. `http` is for loopback addresses only, but for what is
//! neither secret nor believed ([`Fetcher::send_openly`]).

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_ENCODING};
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use url::{Host, Url};

use crate::way_out::{Dialer, WayOut, chain};

/// What a set of keys is (RFC 7517 section 8.5.2). Kubernetes' API server answers 406 to whoever wants `application/json`
/// alone (`pkg/routes/openidmetadata.go`, `/openid/v1/jwks`); others call it that.
const KEY_SET: HeaderValue = HeaderValue::from_static("application/jwk-set+json, application/json");

/// How an identity provider is asked.
#[derive(Debug, Clone)]
pub struct Settings {
    /// CA certificates in PEM; the system's roots where absent.
    pub ca_file: Option<PathBuf>,
    /// From the first byte sent to the last one read.
    pub total: Duration,
    /// For the connection.
    pub connect: Duration,
    /// The largest document.
    pub most: usize,
    /// How to get there. Servers go straight.
    pub way_out: WayOut,
    /// How many connections may rest for the next time. For whoever asks often, and from one runtime alone.
    pub resting: usize,
}

impl Settings {
    /// From a person's machine: by the proxy that its environment names.
    #[must_use]
    pub fn of_a_person() -> Self {
        Self { way_out: WayOut::Environment, ..Self::default() }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            ca_file: None,
            total: Duration::from_secs(5),
            connect: Duration::from_secs(2),
            most: 1024 * 1024,
            way_out: WayOut::Straight,
            resting: 0,
        }
    }
}

/// A client of one identity provider. Connections are mostly not kept: it is asked seldom, and from several runtimes.
#[derive(Clone)]
pub struct Fetcher {
    client: Client<HttpsConnector<Dialer>, Full<Bytes>>,
    total: Duration,
    most: usize,
}

/// A client that cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum BadTrust {
    /// The CA file cannot be read, or holds no certificate.
    #[error("the CA file `{path}` cannot be used: {why}")]
    CaFile {
        /// Which one.
        path: PathBuf,
        /// Why not.
        why: String,
    },
    /// The system has no root certificates.
    #[error("the system has no root certificates, set `ca_file`")]
    NoRoots,
    /// The TLS library refused.
    #[error("TLS cannot be set up: {0}")]
    Tls(#[from] rustls::Error),
}

/// Why there is no document.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FetchFault {
    /// Not `https`, nor `http` on a loopback address.
    #[error("the address is neither https nor on a loopback address")]
    Insecure,
    /// Not in time.
    #[error("no complete answer in time")]
    TimedOut,
    /// No connection, or a broken one.
    #[error("the connection failed: {0}")]
    Connection(String),
    /// Another status than 200; redirects are not followed.
    #[error("the answer has status {0}")]
    Status(u16),
    /// Larger than allowed.
    #[error("the document is too large")]
    TooLarge,
    /// Compressed, though we did not ask for it.
    #[error("the document is compressed")]
    Compressed,
}

impl Fetcher {
    /// A client.
    ///
    /// # Errors
    /// [`BadTrust`] when there is nobody to trust.
    pub fn new(settings: &Settings) -> Result<Self, BadTrust> {
        let tls = tls(settings)?;
        let mut tcp = HttpConnector::new();
        tcp.set_connect_timeout(Some(settings.connect));
        let connector = hyper_rustls::HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .wrap_connector(Dialer::new(settings.way_out, tcp));
        let client = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(settings.resting).build(connector);
        Ok(Self { client, total: settings.total, most: settings.most })
    }

    /// Fetches a JSON document.
    ///
    /// # Errors
    /// [`FetchFault`] for everything but a complete answer of status 200.
    pub async fn get(&self, url: &Url) -> Result<Bytes, FetchFault> {
        let request = Request::get(url.as_str()).header(ACCEPT, HeaderValue::from_static("application/json"));
        self.document(url, request).await
    }

    /// Fetches a set of keys.
    ///
    /// # Errors
    /// [`FetchFault`] for everything but a complete answer of status 200.
    pub async fn get_keys(&self, url: &Url) -> Result<Bytes, FetchFault> {
        self.document(url, Request::get(url.as_str()).header(ACCEPT, KEY_SET)).await
    }

    /// The same from somebody who wants to know who asks: `token` is shown as a bearer token.
    ///
    /// # Errors
    /// [`FetchFault`] for everything but a complete answer of status 200.
    pub async fn get_keys_as(&self, url: &Url, token: &str) -> Result<Bytes, FetchFault> {
        let mut field = HeaderValue::from_str(&format!("Bearer {token}"))
            .map_err(|_| FetchFault::Connection("the token is no field of a header".to_owned()))?;
        field.set_sensitive(true);
        let request = Request::get(url.as_str()).header(ACCEPT, KEY_SET);
        self.document(url, request.header(AUTHORIZATION, field)).await
    }

    async fn document(&self, url: &Url, request: http::request::Builder) -> Result<Bytes, FetchFault> {
        let request = request.body(Full::default()).map_err(|fault| FetchFault::Connection(fault.to_string()))?;
        let answer = self.send(url, request).await?;
        if answer.status() == StatusCode::OK {
            Ok(answer.into_body())
        } else {
            Err(FetchFault::Status(answer.status().as_u16()))
        }
    }

    /// Sends a request of our own and reads the whole answer, whatever its status.
    ///
    /// # Errors
    /// [`FetchFault`] when there is no complete answer.
    pub async fn send(&self, url: &Url, request: Request<Full<Bytes>>) -> Result<Response<Bytes>, FetchFault> {
        if !is_secure(url) {
            return Err(FetchFault::Insecure);
        }
        tokio::time::timeout(self.total, self.exchange(request)).await.map_err(|_| FetchFault::TimedOut)?
    }

    /// The same to the metadata server of the machine that we run on, which speaks no TLS and is nowhere else.
    ///
    /// # Errors
    /// [`FetchFault`] when there is no complete answer.
    pub async fn send_to_machine(
        &self,
        url: &Url,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Bytes>, FetchFault> {
        if !is_metadata(url) {
            return Err(FetchFault::Insecure);
        }
        tokio::time::timeout(self.total, self.exchange(request)).await.map_err(|_| FetchFault::TimedOut)?
    }

    /// The same to any address, also past TLS: for what holds no secret, and where nothing hangs on who answers.
    ///
    /// # Errors
    /// [`FetchFault`] when there is no complete answer.
    pub async fn send_openly(&self, request: Request<Full<Bytes>>) -> Result<Response<Bytes>, FetchFault> {
        tokio::time::timeout(self.total, self.exchange(request)).await.map_err(|_| FetchFault::TimedOut)?
    }

    /// The same with twice the time, for the exchange of a code: it must not fail for a second's sake.
    ///
    /// # Errors
    /// [`FetchFault`] when there is no complete answer.
    pub async fn send_patiently(
        &self,
        url: &Url,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Bytes>, FetchFault> {
        if !is_secure(url) {
            return Err(FetchFault::Insecure);
        }
        tokio::time::timeout(2 * self.total, self.exchange(request)).await.map_err(|_| FetchFault::TimedOut)?
    }

    async fn exchange(&self, request: Request<Full<Bytes>>) -> Result<Response<Bytes>, FetchFault> {
        let answer = self.client.request(request).await.map_err(|fault| FetchFault::Connection(chain(&fault)))?;
        let encoding = answer.headers().get(CONTENT_ENCODING);
        if encoding.is_some_and(|encoding| encoding != "identity") {
            return Err(FetchFault::Compressed);
        }
        let (head, mut body) = answer.into_parts();
        let mut document = BytesMut::new();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|fault| FetchFault::Connection(chain(&fault)))?;
            if let Ok(data) = frame.into_data() {
                if document.len() + data.len() > self.most {
                    return Err(FetchFault::TooLarge);
                }
                document.extend_from_slice(&data);
            }
        }
        Ok(Response::from_parts(head, document.freeze()))
    }
}

/// Whether what is fetched from there cannot be changed on the way: `https`, or this machine.
#[must_use]
pub fn is_secure(url: &Url) -> bool {
    match url.scheme() {
        "https" => url.host().is_some(),
        "http" => match url.host() {
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
            Some(Host::Domain(name)) => name == "localhost",
            None => false,
        },
        _ => false,
    }
}

/// Whether it is the metadata server: the link-local address that a cloud's host answers itself, or a look-alike on this
/// machine. Names would be looked up, and could be answered by somebody else.
#[must_use]
pub fn is_metadata(url: &Url) -> bool {
    let near = match url.host() {
        Some(Host::Ipv4(address)) => address.is_link_local() || address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(_)) | None => false,
    };
    url.scheme() == "http" && near
}

/// What somebody else's server may make us say: printable ASCII, not much of it.
#[must_use]
pub fn harmless(text: &str) -> String {
    text.chars().map(|c| if c.is_ascii_graphic() { c } else { ' ' }).take(200).collect()
}

/// How TLS is spoken to whom the settings trust.
///
/// # Errors
/// [`BadTrust`] when there is nobody to trust.
pub fn tls(settings: &Settings) -> Result<ClientConfig, BadTrust> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    Ok(ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots(settings)?)
        .with_no_client_auth())
}

fn roots(settings: &Settings) -> Result<RootCertStore, BadTrust> {
    let mut roots = RootCertStore::empty();
    if let Some(path) = &settings.ca_file {
        let broken = |why: String| BadTrust::CaFile { path: path.clone(), why };
        let certificates = CertificateDer::pem_file_iter(path).map_err(|fault| broken(fault.to_string()))?;
        for certificate in certificates {
            let certificate = certificate.map_err(|fault| broken(fault.to_string()))?;
            roots.add(certificate).map_err(|fault| broken(fault.to_string()))?;
        }
        if roots.is_empty() {
            return Err(broken("it holds no certificate".to_owned()));
        }
    } else {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if roots.is_empty() {
            tracing::warn!(
                "this system has no root certificates, so no https address is trusted: set SSL_CERT_FILE, or ca_file"
            );
        }
    }
    Ok(roots)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_is_for_this_machine_alone() {
        for (url, secure) in [
            ("https://accounts.google.com/x", true),
            ("http://127.0.0.1:8080/x", true),
            ("http://[::1]/x", true),
            ("http://localhost:1/x", true),
            ("http://10.0.0.1/x", false),
            ("http://localhost.evil.example/x", false),
            ("http://accounts.google.com/x", false),
            ("ftp://127.0.0.1/x", false),
            ("file:///etc/passwd", false),
            ("data:application/json,{}", false),
        ] {
            assert_eq!(is_secure(&Url::parse(url).unwrap()), secure, "{url}");
        }
    }

    #[test]
    fn the_metadata_server_is_asked_on_this_machine_alone_and_never_by_name() {
        for (url, near) in [
            ("http://169.254.169.254/", true),
            ("http://127.0.0.1:8080/", true),
            ("http://[::1]/", true),
            ("https://169.254.169.254/", false),
            ("http://metadata.google.internal/", false),
            ("http://169.254.169.254.evil.example/", false),
            ("http://10.0.0.1/", false),
        ] {
            assert_eq!(is_metadata(&Url::parse(url).unwrap()), near, "{url}");
        }
    }

    #[test]
    fn a_ca_file_without_a_certificate_is_refused() {
        let missing = Settings { ca_file: Some("/nonexistent/ca.pem".into()), ..Settings::default() };
        assert!(matches!(Fetcher::new(&missing), Err(BadTrust::CaFile { .. })));
        let empty = Settings { ca_file: Some("/dev/null".into()), ..Settings::default() };
        assert!(matches!(Fetcher::new(&empty), Err(BadTrust::CaFile { .. })));
    }
}
