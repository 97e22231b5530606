//! Well-behaved clients: HTTP/1.1 and HTTP/2, with and without TLS.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Empty, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::soon;

pub type Payload = BoxBody<Bytes, std::io::Error>;

pub fn nothing() -> Payload {
    Empty::new().map_err(|never| match never {}).boxed()
}

pub fn payload(bytes: impl Into<Bytes>) -> Payload {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed()
}

pub fn get(path: &str) -> Request<Payload> {
    Request::get(path).header("host", "localhost").body(nothing()).unwrap()
}

pub fn post(path: &str, body: Payload) -> Request<Payload> {
    Request::post(path).header("host", "localhost").body(body).unwrap()
}

/// One connection of one protocol.
pub enum Client {
    One(http1::SendRequest<Payload>),
    Two(http2::SendRequest<Payload>),
}

impl Client {
    pub async fn http1(address: SocketAddr) -> Self {
        Self::http1_over(TcpStream::connect(address).await.unwrap()).await
    }

    pub async fn http1_over(io: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static) -> Self {
        let (sender, connection) = http1::handshake(TokioIo::new(io)).await.unwrap();
        tokio::spawn(connection.with_upgrades());
        Self::One(sender)
    }

    pub async fn http2(address: SocketAddr) -> Self {
        Self::http2_over(TcpStream::connect(address).await.unwrap()).await
    }

    pub async fn http2_over(io: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static) -> Self {
        let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(io)).await.unwrap();
        tokio::spawn(connection);
        Self::Two(sender)
    }

    pub async fn try_send(&mut self, request: Request<Payload>) -> hyper::Result<Response<Incoming>> {
        match self {
            Self::One(sender) => {
                soon("a free connection", sender.ready()).await?;
                soon("an answer", sender.send_request(request)).await
            }
            Self::Two(sender) => {
                let (mut parts, body) = request.into_parts();
                if parts.uri.authority().is_none() {
                    let target = parts.uri.path_and_query().unwrap().as_str();
                    parts.uri = format!("http://localhost{target}").parse().unwrap();
                    parts.headers.remove("host");
                }
                soon("a free connection", sender.ready()).await?;
                soon("an answer", sender.send_request(Request::from_parts(parts, body))).await
            }
        }
    }

    pub async fn send(&mut self, request: Request<Payload>) -> Response<Incoming> {
        self.try_send(request).await.unwrap()
    }

    /// Status and whole body.
    pub async fn ask(&mut self, request: Request<Payload>) -> (u16, Bytes) {
        let answer = self.send(request).await;
        let status = answer.status().as_u16();
        (status, soon("a body", answer.into_body().collect()).await.unwrap().to_bytes())
    }
}

pub async fn tls(address: SocketAddr, config: rustls::ClientConfig) -> std::io::Result<TlsStream<TcpStream>> {
    let tcp = TcpStream::connect(address).await?;
    let name = rustls_pki_types::ServerName::try_from("localhost").unwrap();
    soon("a TLS handshake", TlsConnector::from(Arc::new(config)).connect(name, tcp)).await
}
