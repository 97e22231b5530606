//! How does the stage itself ask a server something?
//!
//! One connection for each request, the throw-away CA and nothing else trusted, no redirect followed: what comes back
//! is what the server said.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use super::Fault;

/// A small blocking client.
#[derive(Debug, Clone)]
pub struct Web {
    tls: Option<Arc<rustls::ClientConfig>>,
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// All of its body.
    pub body: Bytes,
}

impl Answer {
    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON; `null` where it is none.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

impl Web {
    /// A client that trusts one authority.
    ///
    /// # Errors
    /// When the PEM cannot be read.
    pub fn trusting(pem: &str) -> Result<Self, Fault> {
        let unreadable = |why: String| Fault::Unexpected(format!("reading the CA: {why}"));
        let ca = CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|fault| unreadable(fault.to_string()))?;
        let mut roots = rustls::RootCertStore::empty();
        roots.add(ca).map_err(|fault| unreadable(fault.to_string()))?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|fault| unreadable(fault.to_string()))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self { tls: Some(Arc::new(config)) })
    }

    /// A client for plain http on loopback.
    pub fn plain() -> Self {
        Self { tls: None }
    }

    /// Asks, and reads the whole answer.
    ///
    /// # Errors
    /// When there is no answer within two minutes.
    pub fn send(
        &self,
        method: &Method,
        url: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Result<Answer, Fault> {
        let failed = |why: &str| Fault::Unexpected(format!("{method} {url}: {why}"));
        let uri: Uri = url.parse().map_err(|_| failed("not a URL"))?;
        let host = uri.host().ok_or_else(|| failed("no host"))?.to_owned();
        let port = uri.port_u16().unwrap_or(if uri.scheme_str() == Some("https") { 443 } else { 80 });
        let authority = uri.authority().map(ToString::to_string).unwrap_or_default();
        let target = uri.path_and_query().map_or("/", |target| target.as_str());
        let mut request = Request::builder().method(method).uri(target).header("host", authority);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body.into())).map_err(|fault| failed(&fault.to_string()))?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(Fault::io("starting a runtime"))?;
        let secure = uri.scheme_str() == Some("https");
        runtime.block_on(async {
            let work = async {
                let stream = TcpStream::connect((host.as_str(), port)).await.map_err(|fault| fault.to_string())?;
                if !secure {
                    return exchange(stream, request).await;
                }
                let tls = self.tls.clone().ok_or("this client speaks plain http only")?;
                let name = ServerName::try_from(host).map_err(|fault| fault.to_string())?;
                let stream = tokio_rustls::TlsConnector::from(tls)
                    .connect(name, stream)
                    .await
                    .map_err(|fault| fault.to_string())?;
                exchange(stream, request).await
            };
            match tokio::time::timeout(Duration::from_mins(2), work).await {
                Ok(answer) => answer.map_err(|why| failed(&why)),
                Err(_) => Err(failed("no answer within two minutes")),
            }
        })
    }

    /// GET with a bearer token.
    ///
    /// # Errors
    /// As [`Web::send`].
    pub fn get(&self, url: &str, token: &str) -> Result<Answer, Fault> {
        self.send(&Method::GET, url, &[("authorization", &format!("Bearer {token}"))], Bytes::new())
    }

    /// POST of JSON with a bearer token.
    ///
    /// # Errors
    /// As [`Web::send`].
    pub fn post(&self, url: &str, token: &str, body: &serde_json::Value) -> Result<Answer, Fault> {
        let headers = [("authorization", format!("Bearer {token}")), ("content-type", "application/json".to_owned())];
        let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        self.send(&Method::POST, url, &headers, body.to_string())
    }
}

async fn exchange<S>(stream: S, request: Request<Full<Bytes>>) -> Result<Answer, String>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|fault| fault.to_string())?;
    let connection = tokio::spawn(connection);
    let response = sender.send_request(request).await.map_err(|fault| fault.to_string())?;
    let (head, body) = response.into_parts();
    let body = body.collect().await.map_err(|fault| fault.to_string())?.to_bytes();
    connection.abort();
    Ok(Answer { status: head.status, headers: head.headers, body })
}
