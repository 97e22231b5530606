//! Where do we listen, and how much does one client get?

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use super::counts::Counts;
use super::passed::Passed;
use crate::acme::{Challenge, Desk};
use crate::certificate::Shown;
use crate::monitor::Alive;

/// Where the gate listens, and its limits. The defaults are those of `config/example.toml`.
#[derive(Debug, Clone)]
pub struct Settings {
    /// TLS, terminated here.
    pub https: Option<Https>,
    /// HTTP/1.1 and h2c without TLS, for a load balancer, IAP or Cloud Run.
    pub plain: Option<SocketAddr>,
    /// Fronts whose `X-Forwarded-For` and `X-Forwarded-Proto` count.
    pub trusted_proxies: Vec<IpNet>,
    /// Answers every http request with a redirect.
    pub redirect: Option<Redirect>,
    /// Worker threads; 0: one for each core.
    pub workers: usize,
    /// `Strict-Transport-Security` max-age; zero sends none.
    pub hsts: Duration,
    /// What one client gets.
    pub limits: Limits,
    /// Who is told when the certificate ends that is shown, and why a newer one is not.
    pub expiry: Shown,
    /// Who counts connections.
    pub counts: Counts,
    /// Who is told that the workers live and the doors are open.
    pub alive: Alive,
    /// Listening sockets that the service manager holds; what is not among them is bound by us.
    pub passed: Passed,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            https: None,
            plain: None,
            trusted_proxies: Vec::new(),
            redirect: None,
            workers: 0,
            hsts: Duration::from_hours(365 * 24),
            limits: Limits::default(),
            expiry: Shown::default(),
            counts: Counts::default(),
            alive: Alive::default(),
            passed: Passed::default(),
        }
    }
}

/// The TLS listener.
#[derive(Debug, Clone)]
pub struct Https {
    /// Where it listens.
    pub address: SocketAddr,
    /// Where the certificate comes from.
    pub pair: Pair,
}

/// Where a certificate and its key come from.
#[derive(Debug, Clone)]
pub enum Pair {
    /// From two files that somebody else renews.
    Files(Files),
    /// From an authority: what lies on the desk is shown, and changes there.
    Acme {
        /// Where it lies.
        desk: Arc<Desk>,
        /// How the authority sees that a name is ours.
        challenge: Challenge,
    },
}

impl Pair {
    /// The files, where there are any.
    #[must_use]
    pub fn files(&self) -> Option<&Files> {
        match self {
            Self::Files(files) => Some(files),
            Self::Acme { .. } => None,
        }
    }

    /// The desk, where an authority gives the certificate.
    #[must_use]
    pub fn desk(&self) -> Option<&Arc<Desk>> {
        match self {
            Self::Files(_) => None,
            Self::Acme { desk, .. } => Some(desk),
        }
    }
}

/// A certificate and its key in files.
#[derive(Debug, Clone)]
pub struct Files {
    /// PEM file with the chain, the server's own certificate first.
    pub certificate: PathBuf,
    /// PEM file with the key.
    pub private_key: PathBuf,
    /// How often the contents of the two files are compared with what is in use.
    pub poll: Duration,
}

/// The listener that sends http to https.
#[derive(Debug, Clone)]
pub struct Redirect {
    /// Where it listens.
    pub address: SocketAddr,
    /// Scheme and authority of the public URL, without a slash at the end: `https://mlflow.example.com`.
    pub to: String,
    /// Where answers to challenges lie, if they are looked for on this port.
    pub desk: Option<Arc<Desk>>,
}

/// Limits and timeouts. Every wait has one.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Until the TLS handshake is done.
    pub tls_handshake: Duration,
    /// From a request's first byte (or the connection's beginning) to the end of its head.
    pub head_timeout: Duration,
    /// Between two requests.
    pub keep_alive: Duration,
    /// Between two bytes of a request's body.
    pub body_idle: Duration,
    /// Bytes a second that a body must come with, on average, after the first `body_idle` of waiting. 0: any.
    pub body_rate: u64,
    /// How long a client may not take a byte of its answer.
    pub write_stall: Duration,
    /// Bytes of a request's head.
    pub head_size: usize,
    /// Header fields of a request.
    pub head_fields: usize,
    /// Bytes of a request's target.
    pub url_length: usize,
    /// Connections at once.
    pub connections: usize,
    /// Connections at once from one address; fronts are exempt.
    pub connections_per_address: usize,
    /// Requests at once on one HTTP/2 connection.
    pub h2_streams: u32,
    /// Bytes that a client may send ahead on one HTTP/2 stream.
    pub h2_stream_window: u32,
    /// Bytes that a client may send ahead on one HTTP/2 connection.
    pub h2_connection_window: u32,
    /// Streams that a client may reset before we took them up (CVE-2023-44487).
    pub h2_pending_resets: usize,
    /// Streams that we reset because of what a client did, before the connection is closed (RUSTSEC-2024-0003).
    pub h2_own_resets: usize,
    /// Bytes of the decoded header fields of an HTTP/2 request.
    pub h2_header_list: u32,
    /// How long running exchanges may take after SIGTERM.
    pub drain: Duration,
    /// How long new connections are still accepted after SIGTERM, each for one request: a load balancer needs that long to
    /// notice. At most `drain`.
    pub drain_accept: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            tls_handshake: Duration::from_secs(10),
            head_timeout: Duration::from_secs(10),
            keep_alive: Duration::from_secs(75),
            body_idle: Duration::from_mins(1),
            body_rate: 1024,
            write_stall: Duration::from_mins(1),
            head_size: 64 * 1024,
            head_fields: 100,
            url_length: 16 * 1024,
            connections: 10_000,
            connections_per_address: 200,
            h2_streams: 100,
            h2_stream_window: 64 * 1024,
            h2_connection_window: 1024 * 1024,
            h2_pending_resets: 20,
            h2_own_resets: 1024,
            h2_header_list: 64 * 1024,
            drain: Duration::from_secs(30),
            drain_accept: Duration::from_secs(2),
        }
    }
}
