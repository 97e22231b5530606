//! What does one request tell?

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::histogram::Histogram;

use super::Metrics;

/// What has no name in the table, or ended before it had one.
const UNKNOWN: &str = "unknown";

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Request {
    call: &'static str,
    outcome: &'static str,
    status_class: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Reason {
    reason: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Part {
    pub(super) part: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Limit {
    pub(super) limit: &'static str,
}

/// What stands in somebody's way for being too much, in the audit log's words; connections have a number of their own.
pub(super) const LIMITS: [&str; 7] = [
    "address-rate",
    "person-rate",
    "person-at-once",
    "at-once",
    "bodies-at-once",
    "answers-at-once",
    "too-many-wrong-credentials",
];

/// How a request was answered, in the words of the audit log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// MLflow's name for the call, if the table has one.
    pub call: Option<&'static str>,
    /// `allow`, `deny` or `error`.
    pub outcome: &'static str,
    /// The answer's status.
    pub status: u16,
    /// Why.
    pub reason: &'static str,
}

/// A request under way. Dropped without [`Exchange::answered`], it is counted as unfinished.
#[derive(Debug)]
pub struct Exchange {
    metrics: Metrics,
    open: bool,
}

/// For whom one request waited, and how long. Told by those who wait; read when it is answered.
#[derive(Debug, Default)]
pub struct Spent {
    upstream: AtomicU64,
    client: AtomicU64,
    queue: AtomicU64,
}

impl Spent {
    /// MLflow was waited for.
    pub fn upstream(&self, time: Duration) {
        self.upstream.fetch_add(nanos(time), Ordering::Relaxed);
    }

    /// The client's body was waited for.
    pub fn client(&self, time: Duration) {
        self.client.fetch_add(nanos(time), Ordering::Relaxed);
    }

    /// It was not this caller's turn. What is too short for a wait is work of our own.
    pub fn queue(&self, time: Duration) {
        if time >= Duration::from_millis(1) {
            self.queue.fetch_add(nanos(time), Ordering::Relaxed);
        }
    }
}

impl Metrics {
    /// A request has come.
    #[must_use]
    pub fn begin(&self) -> Exchange {
        self.0.in_flight.inc();
        Exchange { metrics: self.clone(), open: true }
    }

    /// Something was refused that is no request at all.
    pub fn refused(&self, verdict: &Verdict) {
        self.count(verdict);
    }

    fn count(&self, verdict: &Verdict) {
        let status_class = match verdict.status / 100 {
            1 => "1xx",
            2 => "2xx",
            3 => "3xx",
            4 => "4xx",
            5 => "5xx",
            _ => "none",
        };
        let request = Request { call: verdict.call.unwrap_or(UNKNOWN), outcome: verdict.outcome, status_class };
        self.0.requests.get_or_create(&request).inc();
        self.0.decisions.get_or_create(&Reason { reason: verdict.reason }).inc();
        if verdict.outcome != "allow"
            && let Some((_, limited)) = self.0.limited.iter().find(|(limit, _)| *limit == verdict.reason)
        {
            limited.inc();
        }
    }
}

impl Exchange {
    /// The answer's head is there, `all` after the request's head.
    pub fn answered(mut self, verdict: &Verdict, all: Duration, spent: &Spent) {
        self.open = false;
        let inner = &self.metrics.0;
        let mut ours = nanos(all);
        let waits = [(&inner.upstream, &spent.upstream), (&inner.client, &spent.client), (&inner.queue, &spent.queue)];
        for (histogram, wait) in waits {
            let wait = wait.load(Ordering::Relaxed);
            if wait > 0 {
                observe(histogram, wait);
            }
            // Questions that were asked side by side count each: then nothing may be left for ourselves.
            ours = ours.saturating_sub(wait);
        }
        observe(&inner.gate, ours);
        self.metrics.count(verdict);
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.metrics.0.in_flight.dec();
        if self.open {
            self.metrics.count(&Verdict { call: None, outcome: "error", status: 0, reason: "unfinished" });
        }
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

fn observe(histogram: &Histogram, nanos: u64) {
    histogram.observe(Duration::from_nanos(nanos).as_secs_f64());
}
