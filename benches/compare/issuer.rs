//! Where do the contestants that fetch an issuer's keys find them?

use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::sync::Arc;

use anyhow::Context as _;
use bytes::Bytes;
use http::{Response, StatusCode};
use http_body_util::Full;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::json;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::material::Material;

/// Starts an OpenID provider that has a discovery document (OpenID Connect Discovery 1.0 section 4) and one key, and
/// nothing else. It ends with the runtime. Answers the issuer's URL.
pub(crate) fn start(material: &Material, runtime: &tokio::runtime::Runtime) -> anyhow::Result<String> {
    let certificate = CertificateDer::from_pem_file(&material.certificate)?;
    let key = PrivateKeyDer::from_pem_file(&material.private_key)?;
    let tls = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)?;
    let acceptor = TlsAcceptor::from(Arc::new(tls));
    let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).context("no port for the issuer")?;
    let issuer = format!("https://localhost:{}", listener.local_addr()?.port());

    let discovery = json!({
        "issuer": issuer,
        "authorization_endpoint": format!("{issuer}/authorize"),
        "token_endpoint": format!("{issuer}/token"),
        "jwks_uri": format!("{issuer}/keys"),
        "response_types_supported": ["code"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "code_challenge_methods_supported": ["S256"],
    });
    let discovery = Bytes::from(discovery.to_string());
    let keys = Bytes::from(material.key_set()?.to_string());
    runtime.spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, discovery, keys) = (acceptor.clone(), discovery.clone(), keys.clone());
            tokio::spawn(async move {
                let Ok(stream) = acceptor.accept(stream).await else { return };
                let service = service_fn(move |request| {
                    let answer = answer(&request, &discovery, &keys);
                    async { Ok::<_, Infallible>(answer) }
                });
                // A client that goes away is no concern of ours.
                let _ =
                    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    Ok(issuer)
}

fn answer(request: &http::Request<hyper::body::Incoming>, discovery: &Bytes, keys: &Bytes) -> Response<Full<Bytes>> {
    let body = match request.uri().path() {
        "/.well-known/openid-configuration" => discovery.clone(),
        "/keys" => keys.clone(),
        _ => {
            let mut nothing = Response::new(Full::default());
            *nothing.status_mut() = StatusCode::NOT_FOUND;
            return nothing;
        }
    };
    let mut found = Response::new(Full::new(body));
    found.headers_mut().insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
    found
}
