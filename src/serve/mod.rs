//! The street door: who comes in, how many, and how does the house close?
//!
//! Each worker is one thread with a runtime, listeners and handler of its own (`SO_REUSEPORT`): a request never crosses
//! threads. Here a connection is accepted, its bytes are checked to be one HTTP message after the other, and every wait
//! has an end; what a request means is the gate's business.

mod settings;

use std::future::Future;

use http::{Request, Response};

pub use settings::{Https, Limits, Redirect, Settings};

use crate::message::{Body, Peer};

/// What answers requests. One for each worker.
pub trait Handler: Send + Sync + 'static {
    /// Answers one request. Cannot fail: every refusal is an answer.
    ///
    /// The body is under the limits on idle time and rate; what it fails with is a [`crate::message::BodyError`]. An
    /// HTTP/1.1 request that wishes for an upgrade has [`hyper::upgrade::OnUpgrade`] among its extensions.
    fn handle(&self, peer: Peer, request: Request<Body>) -> impl Future<Output = Response<Body>> + Send;
}
