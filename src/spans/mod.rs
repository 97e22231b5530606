//! What of a request is told as a trace?
//!
//! One span for the request as it was served, one for our own part until the decision, and one for each time that MLflow is asked.
//! Spans name the call as the route table does, the method, the status and the words of the audit log; never a person, a token, a
//! path, a query or an id of MLflow's (`docs/traces.md` lists all of it). Without `[trace]` nothing here runs; of a request that
//! is not sampled there are two numbers, which MLflow is told. `collector` takes what is recorded to where it is kept.

mod exchange;
mod journey;
mod sampling;

use std::sync::Arc;

use http::{HeaderMap, Method, Version};
use opentelemetry::trace::{
    SpanBuilder, SpanContext, SpanId, SpanKind, TraceContextExt as _, TraceFlags, TraceId, TraceState, Tracer as _,
};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::{IdGenerator as _, RandomIdGenerator, SdkTracer};

pub use self::exchange::{Asked, Server};
use self::journey::Came;
pub use self::journey::{Journey, Served};
use self::sampling::Share;
pub use self::sampling::{NoShare, Sample};
use crate::trace_context::{TRACESTATE, TraceContext, X_CLOUD_TRACE_CONTEXT};

/// Begins the spans of requests. A clone begins the same ones; the default none at all.
#[derive(Debug, Clone, Default)]
pub struct Spans(Option<Begins>);

#[derive(Debug, Clone)]
struct Begins {
    tracer: SdkTracer,
    share: Share,
    /// The name of the gate, as everybody knows it.
    server: Arc<str>,
    ids: RandomIdGenerator,
}

/// What is known of a request when it arrives.
#[derive(Debug, Clone, Copy)]
pub struct Arrival<'a> {
    /// Its method.
    pub method: &'a Method,
    /// Its version.
    pub version: Version,
    /// Its header.
    pub headers: &'a HeaderMap,
    /// Whether a front that we trust sent it.
    pub trusted: bool,
    /// Whether the client spoke TLS.
    pub secure: bool,
}

impl Spans {
    /// Spans by this tracer, of the gate that is called `server`.
    #[must_use]
    pub fn by(tracer: SdkTracer, sample: Sample, server: &str) -> Self {
        let (share, ids) = (Share::new(sample), RandomIdGenerator::default());
        Self(Some(Begins { tracer, share, server: server.into(), ids }))
    }

    /// The same, of another share of the requests.
    #[must_use]
    pub fn sampling(&self, sample: Option<Sample>) -> Self {
        let changed = |begins: &Begins, sample| Begins { share: begins.share.with(sample), ..begins.clone() };
        match (&self.0, sample) {
            (Some(begins), Some(sample)) => Self(Some(changed(begins, sample))),
            (begins, _) => Self(begins.clone()),
        }
    }

    /// A request has come: where it is in its trace. `None` where no traces are kept.
    ///
    /// Which trace it belongs to, anybody may say. Whether it is recorded, only a front that we trust: else whoever likes could
    /// have everything recorded.
    #[must_use]
    pub fn begin(&self, arrival: &Arrival<'_>) -> Option<Journey> {
        let begins = self.0.as_ref()?;
        let parent = TraceContext::of(arrival.headers);
        let came = Came {
            // The state belongs to the trace of a `traceparent` that could be read (W3C Trace Context, section 3.3.1.3).
            state: TraceContext::of_traceparent(arrival.headers).is_some(),
            cloud: arrival.headers.contains_key(X_CLOUD_TRACE_CONTEXT),
        };
        let decided = parent.filter(|_| arrival.trusted).and_then(TraceContext::decided);
        let sampled = decided.unwrap_or_else(|| match parent {
            Some(parent) => begins.share.has(parent.trace_number()),
            None => begins.share.has(u64::from_be_bytes(begins.ids.new_span_id().to_bytes()).into()),
        });
        if !sampled {
            let span = u64::from_be_bytes(begins.ids.new_span_id().to_bytes());
            let trace = match parent {
                Some(parent) => parent.trace_number(),
                None => u128::from_be_bytes(begins.ids.new_trace_id().to_bytes()),
            };
            return Some(Journey::unrecorded(TraceContext::new(trace, span, Some(false))?, came));
        }
        let state = if arrival.trusted && came.state { state(arrival.headers) } else { TraceState::NONE };
        let span = begins.tracer.build_with_context(begins.served(arrival), &within(parent, state));
        Journey::recorded(begins.tracer.clone(), span, came)
    }
}

impl Begins {
    fn served(&self, arrival: &Arrival<'_>) -> SpanBuilder {
        let method = method(arrival.method);
        let version = match arrival.version {
            Version::HTTP_09 => "0.9",
            Version::HTTP_10 => "1.0",
            Version::HTTP_2 => "2",
            Version::HTTP_3 => "3",
            _ => "1.1",
        };
        // Until it is known what is called (OpenTelemetry, "Semantic conventions for HTTP spans", "Name").
        let name = if method == OTHER { "HTTP" } else { method };
        SpanBuilder::from_name(name).with_kind(SpanKind::Server).with_attributes([
            KeyValue::new("http.request.method", method),
            KeyValue::new("url.scheme", if arrival.secure { "https" } else { "http" }),
            KeyValue::new("server.address", Arc::clone(&self.server)),
            KeyValue::new("network.protocol.version", version),
        ])
    }
}

/// What a method is called that RFC 9110 and RFC 5789 do not know: it is whatever the client made up.
const OTHER: &str = "_OTHER";

fn method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        Method::CONNECT => "CONNECT",
        Method::TRACE => "TRACE",
        _ => OTHER,
    }
}

/// What the fronts before us wrote down for themselves; nothing where it cannot be read.
fn state(headers: &HeaderMap) -> TraceState {
    let parts: Option<Vec<&str>> = headers.get_all(TRACESTATE).iter().map(|value| value.to_str().ok()).collect();
    parts.and_then(|parts| parts.join(",").parse().ok()).unwrap_or(TraceState::NONE)
}

fn within(parent: Option<TraceContext>, state: TraceState) -> Context {
    let Some(parent) = parent else { return Context::new() };
    let (trace, span) = (TraceId::from(parent.trace_number()), SpanId::from(parent.span_number()));
    Context::new().with_remote_span_context(SpanContext::new(trace, span, TraceFlags::SAMPLED, true, state))
}

#[cfg(test)]
mod tests;
