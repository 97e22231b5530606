//! Does a contestant really do what its numbers will be taken for?

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use http::header::{AUTHORIZATION, HOST};
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Empty};
use hyper_util::rt::TokioIo;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::contestant::{Checks, Contestant};
use crate::ground::{self, CALL, FORBIDDEN_CALL, Ground};

/// A good token passes, and everything that the contestant claims to look at is looked at.
pub(crate) async fn check(contestant: &Contestant, ground: &Ground) -> anyhow::Result<()> {
    let ask = |call, token| ask(contestant.port, call, token, ground);
    let (status, body) = ask(CALL, Some(ground.token.clone())).await?;
    ensure!(status == StatusCode::OK, "a good token gets {status}: {}", String::from_utf8_lossy(&body));
    ensure!(body == ground.answer, "the answer is not the upstream's: {}", String::from_utf8_lossy(&body));

    if contestant.checks >= Checks::Token {
        let bad = [
            ("no token", None),
            ("a token with another signature", Some(forge(&ground.token))),
            ("an expired token", Some(ground.material.token(&ground.issuer, 7200)?)),
            ("another issuer's token", Some(ground.material.token("https://localhost:1", 0)?)),
        ];
        for (what, token) in bad {
            let (status, _) = ask(CALL, token).await?;
            ensure!(
                matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN),
                "{what} gets {status} where it should be refused"
            );
        }
    }
    if contestant.checks >= Checks::Permission {
        let (status, _) = ask(FORBIDDEN_CALL, Some(ground.token.clone())).await?;
        ensure!(
            matches!(status, StatusCode::FORBIDDEN | StatusCode::NOT_FOUND),
            "an experiment without a grant gets {status} where it should be refused"
        );
    }
    Ok(())
}

/// One GET over a connection of its own.
async fn ask(port: u16, call: &str, token: Option<String>, ground: &Ground) -> anyhow::Result<(StatusCode, Bytes)> {
    let exchange = async {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(&ground.material.ca)?)?;
        let tls = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
        let stream = TlsConnector::from(Arc::new(tls)).connect(ServerName::try_from(ground::HOST)?, stream).await?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let connection = tokio::spawn(connection);
        let mut request = Request::get(call).header(HOST, format!("{}:{port}", ground::HOST));
        if let Some(token) = token {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        let response = sender.send_request(request.body(Empty::<Bytes>::new())?).await?;
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        connection.abort();
        anyhow::Ok((status, body))
    };
    tokio::time::timeout(Duration::from_secs(10), exchange).await.context("no answer within 10 s")?
}

/// The same token with one bit of its signature turned.
fn forge(token: &str) -> String {
    let (signed, signature) = token.rsplit_once('.').unwrap_or((token, ""));
    let first = if signature.starts_with('A') { 'B' } else { 'A' };
    format!("{signed}.{first}{}", signature.get(1..).unwrap_or_default())
}
