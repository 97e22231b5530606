//! What does a login show to the proxy before its server?
//!
//! What the agent shows with each request: a token of Google's. A login asks its server a few times, or every few seconds while
//! somebody types a code: one token is kept for that.

use crate::client::{Beside, ClientFault, Showing};
use crate::clock::Clock;

use super::{Credential, Source};

/// One that ends sooner is not shown any more.
const ENOUGH: u64 = 60_000;

/// What a source gives, for [`crate::client::Client`].
pub struct Shown {
    source: Box<dyn Source>,
    clock: Clock,
    held: tokio::sync::Mutex<Option<Credential>>,
}

impl Shown {
    /// Nothing is asked yet.
    #[must_use]
    pub fn new(source: Box<dyn Source>, clock: Clock) -> Self {
        Self { source, clock, held: tokio::sync::Mutex::default() }
    }
}

impl Beside for Shown {
    fn show(&self) -> Showing<'_> {
        Box::pin(async {
            let mut held = self.held.lock().await;
            let enough = self.clock.millis() + ENOUGH;
            let good = |held: &Credential| held.ends.is_some_and(|ends| ends > enough) && !self.source.has_changed();
            if let Some(held) = held.as_ref().filter(|held| good(held)) {
                return Ok(held.field().clone());
            }
            let fresh = self.source.fresh(None).await.map_err(|fault| ClientFault::NothingBeside(fault.to_string()))?;
            let field = fresh.field().clone();
            *held = Some(fresh);
            Ok(field)
        })
    }
}
