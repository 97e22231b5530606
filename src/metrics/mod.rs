//! How many, how long, how old? Numbers for Prometheus.
//!
//! A request tells two counters and a few histograms when it is answered; everything else is read from the rooms when
//! somebody asks ([`Metrics::gauge`], [`Metrics::counter`]), so that it costs nothing on a request's way. The text is made by
//! `prometheus-client` (OpenMetrics 1.0). `docs/metrics.md` lists every name.
//!
//! INVARIANT: the value of a label is a word of this program, of the route table, or of the configuration. What a caller
//! sends never becomes one: no user, no path, no id. That also bounds how many series there are.

mod exchange;
mod process;
mod reading;

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

pub use self::exchange::{Exchange, Spent, Verdict};
use self::exchange::{LIMITS, Limit, Part, Reason, Request};
pub use self::reading::Sample;
use self::reading::{Kind, Reading};

/// What `/metrics` is, for its readers.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Upper bounds in seconds: our own part takes tens of microseconds, MLflow's milliseconds up to minutes.
const BOUNDS: [f64; 19] = [
    0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0,
    10.0, 30.0, 60.0,
];

/// All numbers of one gate. A clone counts the same.
#[derive(Clone)]
pub struct Metrics(Arc<Inner>);

struct Inner {
    registry: RwLock<Registry>,
    requests: Family<Request, Counter>,
    decisions: Family<Reason, Counter>,
    /// By limit; each is there from the start.
    limited: [(&'static str, Counter); LIMITS.len()],
    in_flight: Gauge,
    gate: Histogram,
    upstream: Histogram,
    client: Histogram,
    queue: Histogram,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// All at zero.
    #[must_use]
    pub fn new() -> Self {
        let mut registry = Registry::default();
        let requests = Family::<Request, Counter>::default();
        let decisions = Family::<Reason, Counter>::default();
        let limits = Family::<Limit, Counter>::default();
        // One that was never reached is told too: from nothing to one is no rise that Prometheus could see.
        let limited = LIMITS.map(|limit| (limit, limits.get_or_create_owned(&Limit { limit })));
        let in_flight = Gauge::default();
        let seconds = Family::<Part, Histogram, fn() -> Histogram>::new_with_constructor(|| Histogram::new(BOUNDS));
        let part = |part| seconds.get_or_create_owned(&Part { part });
        let (gate, upstream, client, queue) = (part("gate"), part("upstream"), part("client"), part("queue"));
        registry.register("trackgate_requests", "Requests that were answered, by call and outcome", requests.clone());
        registry.register("trackgate_decisions", "Requests by the reason of their outcome", decisions.clone());
        registry.register("trackgate_limited", "Requests that a limit turned away, by limit", limits);
        registry.register("trackgate_requests_in_flight", "Requests under way", in_flight.clone());
        registry.register(
            "trackgate_request_seconds",
            "Time until an answer's head: ours, MLflow's, the wait for the client's body, and for the caller's turn",
            seconds,
        );
        let version = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("trackgate_build", "Which Trackgate this is", version);
        process::register(&mut registry);
        let registry = RwLock::new(registry);
        Self(Arc::new(Inner { registry, requests, decisions, limited, in_flight, gate, upstream, client, queue }))
    }

    /// A number that rises and falls, read when somebody asks. `name` has its unit at its end.
    pub fn gauge(
        &self,
        name: &'static str,
        help: &'static str,
        read: impl Fn() -> Vec<Sample> + Send + Sync + 'static,
    ) {
        self.reads(Reading::new(name, help, Kind::Gauge, Box::new(read)));
    }

    /// A number that only rises, read when somebody asks. `name` is without `_total`.
    pub fn counter(
        &self,
        name: &'static str,
        help: &'static str,
        read: impl Fn() -> Vec<Sample> + Send + Sync + 'static,
    ) {
        self.reads(Reading::new(name, help, Kind::Counter, Box::new(read)));
    }

    fn reads(&self, reading: Reading) {
        let mut registry = self.0.registry.write().unwrap_or_else(PoisonError::into_inner);
        registry.register_collector(Box::new(reading));
    }

    /// All numbers as text.
    #[must_use]
    pub fn text(&self) -> String {
        let registry = self.0.registry.read().unwrap_or_else(PoisonError::into_inner);
        let mut text = String::with_capacity(16 * 1024);
        // A `String` takes whatever is written.
        let _ = encode(&mut text, &registry);
        text
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn answered(reason: &'static str) -> Verdict {
        Verdict { call: Some("GetRun"), outcome: "allow", status: 200, reason }
    }

    #[test]
    fn an_answered_request_is_counted_once_with_its_call_outcome_and_reason() {
        let metrics = Metrics::new();
        let spent = Spent::default();
        spent.upstream(Duration::from_millis(30));
        let exchange = metrics.begin();
        assert!(metrics.text().contains("trackgate_requests_in_flight 1\n"));
        exchange.answered(&answered("own-grant"), Duration::from_millis(31), &spent);
        let text = metrics.text();
        let line = "trackgate_requests_total{call=\"GetRun\",outcome=\"allow\",status_class=\"2xx\"} 1\n";
        assert!(text.contains(line), "{text}");
        assert!(text.contains("trackgate_decisions_total{reason=\"own-grant\"} 1\n"), "{text}");
        assert!(text.contains("trackgate_requests_in_flight 0\n"));
        assert!(text.contains("trackgate_request_seconds_bucket{le=\"0.05\",part=\"upstream\"} 1\n"), "{text}");
        assert!(text.contains("trackgate_request_seconds_bucket{le=\"0.025\",part=\"upstream\"} 0\n"));
        // Two milliseconds, as far as sums of binary fractions are.
        assert!(text.contains("trackgate_request_seconds_bucket{le=\"0.0025\",part=\"gate\"} 1\n"));
        assert!(text.contains("trackgate_request_seconds_count{part=\"client\"} 0\n"), "nobody was waited for");
        assert!(text.ends_with("# EOF\n"));
    }

    #[test]
    fn a_request_whose_client_left_is_counted_too() {
        let metrics = Metrics::new();
        drop(metrics.begin());
        let text = metrics.text();
        assert!(text.contains("{call=\"unknown\",outcome=\"error\",status_class=\"none\"} 1\n"), "{text}");
        assert!(text.contains("trackgate_decisions_total{reason=\"unfinished\"} 1\n"), "{text}");
        assert!(text.contains("trackgate_requests_in_flight 0\n"));
    }

    #[test]
    fn what_the_table_does_not_know_is_one_series() {
        let metrics = Metrics::new();
        for status in [404, 405] {
            let verdict = Verdict { call: None, outcome: "deny", status, reason: "unknown-call" };
            metrics.begin().answered(&verdict, Duration::ZERO, &Spent::default());
        }
        let text = metrics.text();
        assert!(text.contains("{call=\"unknown\",outcome=\"deny\",status_class=\"4xx\"} 2\n"), "{text}");
    }

    #[test]
    fn every_limit_is_told_before_it_is_reached_and_counted_when_it_is() {
        let metrics = Metrics::new();
        let zero = metrics.text();
        for limit in LIMITS {
            assert!(zero.contains(&format!("trackgate_limited_total{{limit=\"{limit}\"}} 0\n")), "{zero}");
        }
        let verdict = Verdict { call: Some("GetRun"), outcome: "deny", status: 429, reason: "person-rate" };
        metrics.begin().answered(&verdict, Duration::ZERO, &Spent::default());
        metrics.begin().answered(&answered("own-grant"), Duration::ZERO, &Spent::default());
        let text = metrics.text();
        assert!(text.contains("trackgate_limited_total{limit=\"person-rate\"} 1\n"), "{text}");
        assert_eq!(text.matches("trackgate_limited_total{").count(), LIMITS.len(), "{text}");
    }

    #[test]
    fn what_is_read_is_read_each_time_and_named_even_without_a_value() {
        let metrics = Metrics::new();
        let count = Arc::new(std::sync::atomic::AtomicU32::new(0));
        let read = Arc::clone(&count);
        metrics.gauge("trackgate_test_seconds", "How long", move || {
            vec![Sample::of(f64::from(read.fetch_add(1, std::sync::atomic::Ordering::Relaxed)))]
        });
        metrics.counter("trackgate_words", "Words", || vec![Sample::of(3.0).with("kind", "long \"one\"")]);
        metrics.gauge("trackgate_nothing", "Nothing", Vec::new);
        assert!(metrics.text().contains("\ntrackgate_test_seconds 0.0\n"));
        let text = metrics.text();
        assert!(text.contains("\ntrackgate_test_seconds 1.0\n"));
        assert!(text.contains("\ntrackgate_words_total{kind=\"long \\\"one\\\"\"} 3.0\n"), "{text}");
        assert!(text.contains("# TYPE trackgate_nothing gauge\n"));
    }
}
