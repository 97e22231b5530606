//! How is a server asked from outside, one call a connection?
//!
//! Nothing of what comes back is believed, and no redirect is followed. The address that is asked may be another one than that
//! of the name: a new load balancer is looked at before its name leads there.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{HOST, LOCATION};
use http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode};
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::{CertificateError, ClientConfig};
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use url::{Position, Url};

/// From the first packet to the last byte.
const PATIENCE: Duration = Duration::from_secs(15);
/// So much of an answer is read.
const MOST: usize = 64 * 1024;

/// Where and how a server is asked.
pub(super) struct Door {
    pub(super) url: Url,
    pub(super) addresses: Vec<SocketAddr>,
    tls: Arc<ClientConfig>,
}

/// What it answered.
#[derive(Debug)]
pub(super) struct Heard {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Deaf {
    #[error("nothing listens there, or a firewall keeps it away: {0}")]
    Unreachable(io::Error),
    #[error("no answer within {} seconds", PATIENCE.as_secs())]
    TooSlow,
    #[error("it has expired: renew it")]
    Expired,
    #[error("it is not valid yet: is a clock wrong?")]
    NotYet,
    #[error("it is for another name than `{0}`")]
    OtherName(String),
    #[error("none of the trusted authorities signed it; for a CA of one's own there is `--ca`")]
    UnknownIssuer,
    #[error("there is no TLS to be had: {0}")]
    NoTls(io::Error),
    #[error("it speaks no HTTP: {0}")]
    NoHttp(hyper::Error),
    #[error("{0}")]
    NoRequest(http::Error),
}

impl Door {
    pub(super) fn new(url: Url, addresses: Vec<SocketAddr>, tls: ClientConfig) -> Self {
        Self { url, addresses, tls: Arc::new(tls) }
    }

    /// The certificate that is shown, in DER, once it was found good.
    pub(super) async fn certificate(&self) -> Result<Option<Vec<u8>>, Deaf> {
        let shown = async {
            let tls = self.secure(self.connect(self.addresses[..].iter()).await?).await?;
            Ok(tls.get_ref().1.peer_certificates().and_then(|chain| chain.first()).map(|one| one.to_vec()))
        };
        tokio::time::timeout(PATIENCE, shown).await.map_err(|_| Deaf::TooSlow)?
    }

    /// Asks for a path of the server.
    pub(super) async fn get(&self, path: &str, headers: &[(HeaderName, HeaderValue)]) -> Result<Heard, Deaf> {
        let answer = async {
            let tcp = self.connect(self.addresses.iter()).await?;
            if self.url.scheme() == "https" {
                self.ask(self.secure(tcp).await?, path, headers).await
            } else {
                self.ask(tcp, path, headers).await
            }
        };
        tokio::time::timeout(PATIENCE, answer).await.map_err(|_| Deaf::TooSlow)?
    }

    /// Asks in the clear, at another port.
    pub(super) async fn get_plain(&self, port: u16, path: &str) -> Result<Heard, Deaf> {
        let addresses: Vec<SocketAddr> = self.addresses.iter().map(|at| SocketAddr::new(at.ip(), port)).collect();
        let answer = async { self.ask(self.connect(addresses.iter()).await?, path, &[]).await };
        tokio::time::timeout(PATIENCE, answer).await.map_err(|_| Deaf::TooSlow)?
    }

    async fn connect(&self, addresses: impl Iterator<Item = &SocketAddr>) -> Result<TcpStream, Deaf> {
        let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
        for address in addresses {
            match tokio::time::timeout(PATIENCE / 3, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) => last = error,
                Err(_) => last = io::ErrorKind::TimedOut.into(),
            }
        }
        Err(Deaf::Unreachable(last))
    }

    async fn secure(&self, tcp: TcpStream) -> Result<tokio_rustls::client::TlsStream<TcpStream>, Deaf> {
        let host = self.url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let name = ServerName::try_from(host.clone()).map_err(|_| Deaf::OtherName(host.clone()))?;
        TlsConnector::from(Arc::clone(&self.tls)).connect(name, tcp).await.map_err(|error| judged(error, host))
    }

    async fn ask(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        path: &str,
        headers: &[(HeaderName, HeaderValue)],
    ) -> Result<Heard, Deaf> {
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(Deaf::NoHttp)?;
        let driven = tokio::spawn(connection);
        let host = &self.url[Position::BeforeHost..Position::AfterPort];
        let mut request = Request::get(path).header(HOST, host);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let request = request.body(Empty::<Bytes>::new()).map_err(Deaf::NoRequest)?;
        let heard = read(sender.send_request(request).await.map_err(Deaf::NoHttp)?).await;
        driven.abort();
        heard.map_err(Deaf::NoHttp)
    }
}

async fn read(answer: http::Response<hyper::body::Incoming>) -> Result<Heard, hyper::Error> {
    let (head, mut body) = answer.into_parts();
    let mut read = BytesMut::new();
    while read.len() < MOST
        && let Some(frame) = body.frame().await
    {
        if let Ok(data) = frame?.into_data() {
            read.extend_from_slice(&data);
        }
    }
    Ok(Heard { status: head.status, headers: head.headers, body: read.freeze() })
}

/// What is wrong with the certificate, where that is it.
fn judged(error: io::Error, host: String) -> Deaf {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match inner {
        Some(rustls::Error::InvalidCertificate(bad)) => match bad {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => Deaf::Expired,
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => Deaf::NotYet,
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                Deaf::OtherName(host)
            }
            // An authority of the same name with another key is another one.
            CertificateError::UnknownIssuer | CertificateError::BadSignature => Deaf::UnknownIssuer,
            _ => Deaf::NoTls(error),
        },
        _ => Deaf::NoTls(error),
    }
}

impl Heard {
    /// Where it sends to.
    pub(super) fn leads_to(&self, from: &Url) -> Option<Url> {
        if !self.status.is_redirection() {
            return None;
        }
        from.join(self.headers.get(LOCATION)?.to_str().ok()?).ok()
    }

    pub(super) fn field(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// Whether Google's Identity-Aware Proxy answered in the server's place: it says so of its answers
    /// (<https://cloud.google.com/iap/docs/query-parameters-and-headers-howto>), and sends browsers to Google.
    pub(super) fn is_of_iap(&self, url: &Url) -> bool {
        let google = self.leads_to(url).is_some_and(|to| to.host_str() == Some("accounts.google.com"));
        google || self.headers.keys().any(|name| name.as_str().starts_with("x-goog-iap-"))
    }

    /// A member of the JSON that it answered.
    pub(super) fn json(&self, name: &str) -> Option<String> {
        let body: serde_json::Value = serde_json::from_slice(&self.body).ok()?;
        Some(body.get(name)?.as_str()?.to_owned())
    }
}
