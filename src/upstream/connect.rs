//! How is a connection to MLflow opened?

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use http::{HeaderValue, Uri};
use hyper_util::client::legacy::connect::HttpConnector;
use rustls::RootCertStore;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::counts::Counts;
use super::heard::Heard;
use super::{Settings, Target, UpstreamError};
use crate::way_out::{Dialer, WayOut};

/// Opens connections.
pub(super) struct Connector {
    pub(super) settings: Settings,
    pub(super) authority: HeaderValue,
    /// When the server was heard of.
    pub(super) heard: Heard,
    /// How many connections there are.
    pub(super) counts: Arc<Counts>,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    /// Where the way there is not straight.
    dialer: Option<Dialer>,
}

impl Connector {
    pub(super) fn new(settings: &Settings) -> Result<Self, UpstreamError> {
        let authority = HeaderValue::from_str(&settings.target.authority())
            .map_err(|_| UpstreamError::Settings("the host name cannot be used".to_owned()))?;
        let tls = match &settings.target {
            Target::Https { host, .. } => Some(tls(settings, host)?),
            Target::Http { .. } | Target::Unix(_) => None,
        };
        let far = settings.way_out != WayOut::Straight;
        let dialer = far.then(|| Dialer::new(settings.way_out, HttpConnector::new()));
        Ok(Self { settings: settings.clone(), authority, heard: Heard::default(), counts: Arc::default(), tls, dialer })
    }

    /// Opens one connection, within the connect timeout.
    pub(super) async fn connect(&self) -> Result<Wire, UpstreamError> {
        let opened = match tokio::time::timeout(self.settings.connect_timeout, self.open()).await {
            Ok(opened) => opened.map(Wire::new).map_err(UpstreamError::Down),
            Err(_) => Err(UpstreamError::ConnectTimeout),
        };
        if opened.is_err() {
            self.counts.failed();
        }
        opened
    }

    async fn open(&self) -> io::Result<Io> {
        match (&self.settings.target, &self.tls) {
            (Target::Unix(path), _) => Ok(Io::Unix(UnixStream::connect(path).await?)),
            (Target::Http { host, port }, _) => Ok(Io::Tcp(dial(host, *port).await?)),
            (Target::Https { host, port }, Some((tls, name))) => {
                let tcp = match &self.dialer {
                    None => dial(host, *port).await?,
                    Some(dialer) => far(dialer, host, *port).await?,
                };
                Ok(Io::Tls(Box::new(tls.connect(name.clone(), tcp).await?)))
            }
            (Target::Https { .. }, None) => Err(io::ErrorKind::Unsupported.into()),
        }
    }
}

async fn dial(host: &str, port: u16) -> io::Result<TcpStream> {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let tcp = TcpStream::connect((host, port)).await?;
    tcp.set_nodelay(true)?;
    Ok(tcp)
}

/// The same where a proxy may stand between.
async fn far(dialer: &Dialer, host: &str, port: u16) -> io::Result<TcpStream> {
    let to = format!("https://{host}:{port}").parse::<Uri>().map_err(io::Error::other)?;
    let tcp = dialer.dial(to).await.map_err(io::Error::other)?.into_inner();
    tcp.set_nodelay(true)?;
    Ok(tcp)
}

fn tls(settings: &Settings, host: &str) -> Result<(TlsConnector, ServerName<'static>), UpstreamError> {
    let fault = |what: String| UpstreamError::Settings(what);
    let mut roots = RootCertStore::empty();
    if let Some(path) = &settings.ca_file {
        let shown = path.display();
        let certificates = CertificateDer::pem_file_iter(path).map_err(|why| fault(format!("{shown}: {why}")))?;
        for certificate in certificates {
            let certificate = certificate.map_err(|why| fault(format!("{shown}: {why}")))?;
            roots.add(certificate).map_err(|why| fault(format!("{shown}: {why}")))?;
        }
        if roots.is_empty() {
            return Err(fault(format!("{shown} holds no certificate")));
        }
    } else {
        let found = rustls_native_certs::load_native_certs();
        roots.add_parsable_certificates(found.certs);
        if roots.is_empty() {
            return Err(fault("the system has no root certificates; set ca_file".to_owned()));
        }
    }
    // An explicit provider: with two compiled in, rustls would panic at first use.
    let mut config =
        rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
            .map_err(|why| fault(why.to_string()))?
            .with_root_certificates(roots)
            .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let name = ServerName::try_from(bare.to_owned()).map_err(|_| fault(format!("`{host}` is no host name")))?;
    Ok((TlsConnector::from(Arc::new(config)), name))
}

/// A connection, and whether somebody waits for what is still to come of an answer.
pub(super) struct Wire {
    io: Io,
    hurry: Hurry,
}

/// Somebody waits for the rest of an answer. A clone says so of the same connection.
///
/// MLflow's server (uvicorn) writes an answer's head, and then its body, on a socket that waits for the head's acknowledgement
/// before it sends the body (Nagle's algorithm, RFC 896); and Linux acknowledges late, after 40 ms (tcp(7), `TCP_QUICKACK`),
/// where nothing else is to be sent. So whoever waits says so, and what was received is acknowledged at once.
#[derive(Debug, Clone, Default)]
pub(super) struct Hurry(Arc<AtomicBool>);

impl Hurry {
    /// The rest of an answer is waited for.
    pub(super) fn up(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn is_wished(&self) -> bool {
        self.0.swap(false, Ordering::Relaxed)
    }
}

/// One of the three kinds.
enum Io {
    Tcp(TcpStream),
    Unix(UnixStream),
    Tls(Box<TlsStream<TcpStream>>),
}

macro_rules! each {
    ($self:expr, $io:ident => $do:expr) => {
        match &mut $self.get_mut().io {
            Io::Tcp($io) => $do,
            Io::Unix($io) => $do,
            Io::Tls($io) => $do,
        }
    };
}

impl Wire {
    fn new(io: Io) -> Self {
        Self { io, hurry: Hurry::default() }
    }

    pub(super) fn hurry(&self) -> Hurry {
        self.hurry.clone()
    }

    /// What came so far is acknowledged now. Should the system not do that, the answer comes a little later.
    fn acknowledge(&self) {
        let _ = match &self.io {
            Io::Tcp(tcp) => tcp.set_quickack(true),
            Io::Tls(tls) => tls.get_ref().0.set_quickack(true),
            Io::Unix(_) => Ok(()),
        };
    }
}

impl AsyncRead for Wire {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let read = each!(self.as_mut(), io => Pin::new(io).poll_read(cx, buf));
        if read.is_pending() && self.hurry.is_wished() {
            self.acknowledge();
        }
        read
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        each!(self, io => Pin::new(io).poll_write(cx, buf))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, io => Pin::new(io).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, io => Pin::new(io).poll_shutdown(cx))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        each!(self, io => Pin::new(io).poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        match &self.io {
            Io::Tcp(io) => io.is_write_vectored(),
            Io::Unix(io) => io.is_write_vectored(),
            Io::Tls(io) => io.is_write_vectored(),
        }
    }
}
