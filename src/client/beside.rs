//! What does a proxy before the server want to see?
//!
//! Google's Identity-Aware Proxy lets nothing through without a credential of its own, in `Proxy-Authorization`. Where that comes
//! from, others know.

use std::future::Future;
use std::pin::Pin;

use http::HeaderValue;

use super::fault::ClientFault;

/// What comes of asking.
pub type Showing<'a> = Pin<Box<dyn Future<Output = Result<HeaderValue, ClientFault>> + Send + 'a>>;

/// Who knows what a proxy before the server wants.
pub trait Beside: Send + Sync {
    /// The value of `Proxy-Authorization` for one request, marked as sensitive.
    fn show(&self) -> Showing<'_>;
}
