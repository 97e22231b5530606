//! Which numbers do the rooms know, and under which names are they told?
//!
//! Read when somebody asks for `/metrics`; a request costs none of it. `docs/metrics.md` explains each.

use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;

use super::reload::Told;
use crate::audit::Health;
use crate::authenticate::Authenticator;
use crate::collector::Counts;
use crate::gate::House;
use crate::metrics::{Metrics, Sample};
use crate::monitor::Readiness;
use crate::serve;
use crate::upstream::Upstream;

/// The house that stands, for those who must not keep it standing: the numbers are in it.
type Standing = Weak<ArcSwap<House>>;

/// Names all of them.
pub(super) fn tell(
    live: &Arc<ArcSwap<House>>,
    upstream: &Upstream,
    doors: &serve::Settings,
    ready: &Readiness,
    spans: &Counts,
    configuration: &Told,
) {
    let house = live.load();
    let metrics = &house.metrics;
    let parts = ready.clone();
    metrics.gauge("trackgate_ready", "1: this part is there, as in /readyz", move || {
        parts.look().into_iter().map(|(part, fact)| Sample::truth(fact.is_ok()).with("part", part)).collect()
    });
    of_configuration(metrics, configuration);
    of_callers(metrics, &Arc::downgrade(live));
    of_mlflow(metrics, &Arc::downgrade(live), upstream);
    of_doors(metrics, doors);
    of_traces(metrics, spans);
    let store = house.store.clone();
    metrics.gauge(
        "trackgate_store_snapshot_age_seconds",
        "Since memory was known to be what the database holds",
        move || vec![seconds(store.age())],
    );
    of_audit(metrics, &house.audit.health());
    of_reloads(metrics, doors, &house.audit.health());
}

fn of_audit(metrics: &Metrics, health: &Health) {
    let audit = health.clone();
    metrics.gauge("trackgate_audit_waiting", "Audit records that wait to be written", move || {
        vec![number(audit.waiting())]
    });
    let audit = health.clone();
    metrics.gauge("trackgate_audit_failing", "1: the audit log cannot be written", move || {
        vec![Sample::truth(audit.is_failing())]
    });
    let audit = health.clone();
    metrics.counter(
        "trackgate_audit_lost",
        "Requests without an audit record, and records that were not copied",
        move || {
            vec![Sample::count(audit.unrecorded()).with("from", "log"), number(audit.untold()).with("from", "stdout")]
        },
    );
}

/// What is read again besides the configuration. Both keep what they have when it cannot be used.
fn of_reloads(metrics: &Metrics, doors: &serve::Settings, health: &Health) {
    let audit = health.clone();
    let files = doors.https.as_ref().is_some_and(|https| https.pair.files().is_some());
    let shown = files.then(|| doors.expiry.clone());
    metrics.gauge("trackgate_reload_success", "1: what was read again last is in use", move || {
        let file = Sample::truth(audit.is_reopened().is_ok()).with("part", "audit_file");
        let certificate =
            shown.as_ref().map(|shown| Sample::truth(shown.fault().is_none()).with("part", "certificate"));
        [Some(file), certificate].into_iter().flatten().collect()
    });
}

/// The room that recognises callers, as long as there is a house.
fn authenticator(standing: &Standing) -> Option<Arc<Authenticator>> {
    Some(Arc::clone(&standing.upgrade()?.load().authenticator))
}

fn of_configuration(metrics: &Metrics, configuration: &Told) {
    let told = configuration.clone();
    metrics.gauge(
        "trackgate_config_reload_success",
        "1: the configuration that was read last is in force",
        move || told.since().map(|_| Sample::truth(told.fact().is_ok())).into_iter().collect(),
    );
    let told = configuration.clone();
    metrics.gauge(
        "trackgate_config_last_reload_timestamp_seconds",
        "When the configuration was read that is in force, since 1970",
        move || told.since().and_then(since_1970).into_iter().collect(),
    );
}

fn of_callers(metrics: &Metrics, standing: &Standing) {
    let house = Weak::clone(standing);
    metrics.counter("trackgate_cache", "Credentials that were known already, and others", move || {
        let both = |(cache, hits, misses)| {
            [("hit", hits), ("miss", misses)]
                .map(|(result, count)| Sample::count(count).with("cache", cache).with("result", result))
        };
        let lookups = authenticator(&house).map(|room| room.lookups());
        lookups.into_iter().flatten().flat_map(both).collect()
    });
    let house = Weak::clone(standing);
    metrics.gauge("trackgate_issuer_keys_age_seconds", "Since the keys of an issuer were fetched", move || {
        let ages = authenticator(&house).map(|room| room.ages_of_keys());
        ages.into_iter().flatten().map(|(name, age)| seconds(age).with("issuer", name)).collect()
    });
}

fn of_mlflow(metrics: &Metrics, standing: &Standing, upstream: &Upstream) {
    let pool = upstream.clone();
    metrics.gauge("trackgate_upstream_connections", "Connections to MLflow", move || {
        let now = pool.connections();
        vec![Sample::count(now.busy).with("state", "busy"), Sample::count(now.idle).with("state", "idle")]
    });
    let pool = upstream.clone();
    metrics.counter(
        "trackgate_upstream_connects",
        "Connections to MLflow that were opened, or could not be",
        move || {
            let now = pool.connections();
            vec![Sample::count(now.opened).with("result", "opened"), Sample::count(now.failed).with("result", "failed")]
        },
    );
    let heard = upstream.clone();
    metrics.gauge("trackgate_upstream_silent_seconds", "Since MLflow answered without a fault of its own", move || {
        heard.silent_for().map(seconds).into_iter().collect()
    });
    let house = Weak::clone(standing);
    metrics.gauge("trackgate_mlflow_info", "Which MLflow is behind the gate", move || {
        // Three numbers, or nothing: what the server says otherwise is no label.
        let version = house.upgrade().and_then(|live| live.load().answer.version());
        version.map(|version| Sample::of(1.0).with("version", version.to_string())).into_iter().collect()
    });
}

fn of_doors(metrics: &Metrics, doors: &serve::Settings) {
    let counts = doors.counts.clone();
    metrics.gauge("trackgate_connections_open", "Connections of clients", move || vec![Sample::count(counts.open())]);
    let counts = doors.counts.clone();
    metrics.counter("trackgate_connections", "Connections of clients so far, by what became of them", move || {
        let crowded = counts.crowded();
        vec![
            Sample::count(counts.accepted().saturating_sub(crowded)).with("result", "served"),
            Sample::count(crowded).with("result", "crowded"),
        ]
    });
    let counts = doors.counts.clone();
    metrics.counter("trackgate_tls_handshakes_failed", "TLS handshakes that failed or took too long", move || {
        vec![Sample::count(counts.handshakes_failed())]
    });
    let expiry = doors.expiry.clone();
    metrics.gauge(
        "trackgate_certificate_expiry_timestamp_seconds",
        "When the certificate ends, since 1970",
        move || expiry.get().and_then(since_1970).into_iter().collect(),
    );
    let alive = doors.alive.clone();
    metrics.gauge("trackgate_workers_silent", "Workers that gave no sign of life for 15 seconds", move || {
        vec![number(alive.silent_for(Duration::from_secs(15)).len())]
    });
}

fn of_traces(metrics: &Metrics, spans: &Counts) {
    let counts = spans.clone();
    metrics.counter("trackgate_trace_spans", "Spans of sampled requests, by what became of them", move || {
        [("exported", counts.exported()), ("failed", counts.failed()), ("dropped", counts.dropped())]
            .map(|(result, count)| Sample::count(count).with("result", result))
            .into()
    });
}

fn seconds(time: Duration) -> Sample {
    Sample::of(time.as_secs_f64())
}

fn since_1970(moment: SystemTime) -> Option<Sample> {
    moment.duration_since(UNIX_EPOCH).ok().map(seconds)
}

fn number(count: usize) -> Sample {
    Sample::count(u64::try_from(count).unwrap_or(u64::MAX))
}
