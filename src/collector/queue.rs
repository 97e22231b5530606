//! How many spans wait, and what became of the others?

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use opentelemetry::Context;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{BatchSpanProcessor, Span, SpanData, SpanProcessor};

/// What became of spans. A clone counts the same.
#[derive(Debug, Clone, Default)]
pub struct Counts(Arc<Numbers>);

#[derive(Debug, Default)]
struct Numbers {
    waiting: AtomicUsize,
    exported: AtomicU64,
    failed: AtomicU64,
    dropped: AtomicU64,
}

impl Counts {
    /// How many the collector took.
    #[must_use]
    pub fn exported(&self) -> u64 {
        self.0.exported.load(Ordering::Relaxed)
    }

    /// How many it did not take, or nobody was there to take.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.0.failed.load(Ordering::Relaxed)
    }

    /// For how many there was no room.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.0.dropped.load(Ordering::Relaxed)
    }

    /// One more, if there is room.
    fn enter(&self, most: usize) -> bool {
        let waiting = &self.0.waiting;
        let entered = waiting.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |now| (now < most).then_some(now + 1));
        if entered.is_err() {
            self.0.dropped.fetch_add(1, Ordering::Relaxed);
        }
        entered.is_ok()
    }

    /// These are no longer waiting: so many of them were taken.
    pub(super) fn left(&self, all: usize, taken: usize) {
        self.0.waiting.fetch_sub(all, Ordering::Relaxed);
        let wide = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        self.0.exported.fetch_add(wide(taken), Ordering::Relaxed);
        self.0.failed.fetch_add(wide(all - taken), Ordering::Relaxed);
    }
}

/// The SDK's queue, which drops without telling how many, behind one that tells.
#[derive(Debug)]
pub(super) struct Bounded {
    batches: BatchSpanProcessor,
    counts: Counts,
    most: usize,
}

impl Bounded {
    pub(super) fn new(batches: BatchSpanProcessor, counts: Counts, most: usize) -> Self {
        Self { batches, counts, most }
    }
}

impl SpanProcessor for Bounded {
    fn on_start(&self, span: &mut Span, cx: &Context) {
        self.batches.on_start(span, cx);
    }

    fn on_end(&self, span: SpanData) {
        if self.counts.enter(self.most) {
            self.batches.on_end(span);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.batches.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.batches.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.batches.set_resource(resource);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_finds_no_room_is_counted_and_room_comes_back() {
        let counts = Counts::default();
        assert_eq!((0..5).filter(|_| counts.enter(3)).count(), 3);
        assert_eq!(counts.dropped(), 2);
        counts.left(3, 2);
        assert_eq!((counts.exported(), counts.failed()), (2, 1));
        assert!(counts.enter(3));
    }
}
