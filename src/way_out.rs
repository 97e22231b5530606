//! How does a person's machine reach a server, where a company's proxy stands before the internet?
//!
//! `HTTPS_PROXY` names the proxy, `NO_PROXY` what is reached without it, both as curl reads them. What goes through is TLS from
//! end to end: the proxy is asked for a tunnel (`CONNECT`, RFC 9110 section 9.3.6), and sees no credential but its own. Only
//! rooms of a person's machine go this way; the gate itself goes straight.

use std::error::Error;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::Uri;
use http::uri::Scheme;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tower::{Service, ServiceExt as _};

/// Which way out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum WayOut {
    /// Straight, whatever the environment says.
    #[default]
    Straight,
    /// By the proxy that the environment names, if it names one.
    Environment,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum DialFault {
    /// The server cannot be reached.
    #[error(transparent)]
    Straight(Box<dyn Error + Send + Sync>),
    /// The proxy cannot be reached, or refuses.
    #[error("the proxy {proxy} of HTTPS_PROXY: {why}")]
    Proxy {
        /// Where it is.
        proxy: String,
        /// What it says.
        why: String,
    },
    /// The proxy wants another protocol.
    #[error("HTTPS_PROXY names a proxy that is spoken to by {0}; only http:// is known here")]
    Scheme(String),
}

/// Opens connections.
#[derive(Clone)]
pub struct Dialer {
    tcp: HttpConnector,
    proxies: Option<Arc<Matcher>>,
}

impl Dialer {
    /// The environment is read now. `tcp` reaches servers and the proxy.
    #[must_use]
    pub fn new(way: WayOut, mut tcp: HttpConnector) -> Self {
        tcp.enforce_http(false);
        let proxies = match way {
            WayOut::Straight => None,
            WayOut::Environment => Some(Arc::new(Matcher::from_env())),
        };
        Self { tcp, proxies }
    }

    /// Opens a connection to a server, whose scheme and port are in its address.
    ///
    /// # Errors
    /// [`DialFault`].
    pub async fn dial(&self, to: Uri) -> Result<TokioIo<TcpStream>, DialFault> {
        let Some(proxy) = self.proxy(&to) else {
            return self.tcp.clone().oneshot(to).await.map_err(|fault| DialFault::Straight(fault.into()));
        };
        let at = proxy.uri();
        if at.scheme() != Some(&Scheme::HTTP) {
            return Err(DialFault::Scheme(at.scheme_str().unwrap_or("nothing").to_owned()));
        }
        let mut tunnel = Tunnel::new(at.clone(), self.tcp.clone());
        if let Some(credential) = proxy.basic_auth() {
            tunnel = tunnel.with_auth(credential.clone());
        }
        tunnel.oneshot(to).await.map_err(|fault| DialFault::Proxy {
            // Without what may stand before an `@`.
            proxy: format!("{}:{}", at.host().unwrap_or_default(), at.port_u16().unwrap_or(80)),
            why: chain(&fault),
        })
    }

    /// The proxy to ask. What is not TLS is for this machine alone, and this machine is reached without one.
    fn proxy(&self, to: &Uri) -> Option<Intercept> {
        let far = to.scheme() == Some(&Scheme::HTTPS) && !to.host().is_some_and(is_here);
        self.proxies.as_ref().filter(|_| far)?.intercept(to)
    }
}

impl Service<Uri> for Dialer {
    type Response = TokioIo<TcpStream>;
    type Error = DialFault;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, DialFault>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), DialFault>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        let dialer = self.clone();
        Box::pin(async move { dialer.dial(to).await })
    }
}

fn is_here(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.to_canonical().is_loopback())
}

/// The causes in one line.
#[must_use]
pub fn chain(fault: &dyn Error) -> String {
    let mut text = fault.to_string();
    let mut source = fault.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn by(matcher: Matcher, to: &'static str) -> Option<String> {
        let dialer = Dialer { tcp: HttpConnector::new(), proxies: Some(Arc::new(matcher)) };
        dialer.proxy(&Uri::from_static(to)).map(|proxy| proxy.uri().to_string())
    }

    #[test]
    fn what_is_tls_and_elsewhere_goes_by_the_proxy_and_nothing_else_does() {
        let matcher = || {
            let all = Matcher::builder().https("proxy.example.com:3128").http("proxy.example.com:3128");
            all.no("internal.example.com,10.0.0.0/8").build()
        };
        for to in ["https://mlflow.example.com/", "https://192.0.2.1:8443/", "https://[2001:db8::1]/"] {
            assert_eq!(by(matcher(), to).as_deref(), Some("http://proxy.example.com:3128/"), "{to}");
        }
        for to in [
            "https://localhost:8443/",
            "https://127.0.0.1/",
            "https://[::1]:1/",
            "http://169.254.169.254/",
            "http://127.0.0.1:5000/",
            "http://mlflow.example.com/",
            "https://mlflow.internal.example.com/",
            "https://10.1.2.3/",
        ] {
            assert_eq!(by(matcher(), to), None, "{to}");
        }
    }

    #[test]
    fn a_server_goes_straight_whatever_the_environment_says() {
        assert!(Dialer::new(WayOut::default(), HttpConnector::new()).proxies.is_none());
    }

    #[tokio::test]
    async fn a_proxy_of_another_protocol_is_named_by_its_protocol_and_never_asked() {
        for (proxy, scheme) in [("https://user:hunter2@proxy.example.com", "https"), ("socks5://127.0.0.1:9", "socks5")]
        {
            let proxies = Some(Arc::new(Matcher::builder().https(proxy).build()));
            let dialer = Dialer { tcp: HttpConnector::new(), proxies };
            let said = dialer.dial(Uri::from_static("https://mlflow.example.com")).await.unwrap_err().to_string();
            assert!(said.contains(&format!("spoken to by {scheme};")) && !said.contains("hunter2"), "{said}");
        }
    }
}
