//! Which house answers this request?
//!
//! The one that stands when it arrives, to its end: a house that is built anew meanwhile is the next request's.

use std::sync::Arc;

use arc_swap::ArcSwap;
use http::{Request, Response};

use super::{Gate, House};
use crate::message::{Body, Peer};
use crate::serve::{Handler, Misdeed};
use crate::upstream::Upstream;

/// One worker's gate to whichever house stands, and a pool of connections of its own.
pub struct Live {
    house: Arc<ArcSwap<House>>,
    upstream: Upstream,
}

impl Live {
    /// A gate for one worker.
    #[must_use]
    pub fn new(house: Arc<ArcSwap<House>>, upstream: Upstream) -> Self {
        Self { house, upstream }
    }

    fn gate(&self) -> Gate {
        Gate::new(self.house.load_full(), self.upstream.clone())
    }
}

impl Handler for Live {
    async fn handle(&self, peer: Peer, request: Request<Body>) -> Response<Body> {
        Handler::handle(&self.gate(), peer, request).await
    }

    fn refuse(&self, peer: Peer, misdeed: Misdeed) -> Response<Body> {
        Handler::refuse(&self.gate(), peer, misdeed)
    }
}
