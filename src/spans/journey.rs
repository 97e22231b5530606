//! Where is one request in its trace?

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use opentelemetry::trace::{Span as _, SpanBuilder, SpanContext, SpanKind, Status, TraceContextExt as _, Tracer as _};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::{SdkTracer, Span};

use crate::metrics::Verdict;
use crate::trace_context::TraceContext;

/// One request, and what is told of it. A clone is the same request.
#[derive(Debug, Clone)]
pub struct Journey(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// Our span, whether or not anybody records it.
    here: TraceContext,
    came: Came,
    /// MLflow is told nothing of where we are.
    apart: AtomicBool,
    told: Option<Told>,
}

#[derive(Debug)]
struct Told {
    tracer: SdkTracer,
    served: SpanContext,
    /// Both until they end.
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    served: Option<Span>,
    deciding: Option<Span>,
}

/// What the request said of its trace.
#[derive(Debug, Clone, Copy)]
pub(super) struct Came {
    /// Its `tracestate` belongs to the trace.
    pub(super) state: bool,
    /// It had `X-Cloud-Trace-Context`.
    pub(super) cloud: bool,
}

impl Journey {
    pub(super) fn unrecorded(here: TraceContext, came: Came) -> Self {
        Self(Arc::new(Inner { here, came, apart: AtomicBool::new(false), told: None }))
    }

    /// `None` once no spans are taken any more.
    pub(super) fn recorded(tracer: SdkTracer, served: Span, came: Came) -> Option<Self> {
        let context = served.span_context().clone();
        let (trace, span) = (context.trace_id().to_bytes(), context.span_id().to_bytes());
        let here = TraceContext::new(u128::from_be_bytes(trace), u64::from_be_bytes(span), Some(true))?;
        let deciding = below(&tracer, SpanBuilder::from_name("decide"), &context);
        let open = Mutex::new(Open { served: Some(served), deciding: Some(deciding) });
        let told = Some(Told { tracer, served: context, open });
        Some(Self(Arc::new(Inner { here, came, apart: AtomicBool::new(false), told })))
    }

    /// Our span, if it is recorded.
    #[must_use]
    pub fn here(&self) -> Option<TraceContext> {
        self.0.told.as_ref().map(|_| self.0.here)
    }

    /// MLflow is not told where we are: it would add to the trace by itself, and whose that is was judged.
    pub fn keep_apart(&self) {
        self.0.apart.store(true, Ordering::Relaxed);
    }

    /// It is known what is called.
    pub fn called(&self, name: &'static str) {
        if let Some(told) = &self.0.told
            && let Some(served) = &mut told.open().served
        {
            served.update_name(name);
        }
    }

    /// Our own part is over: it was decided, one way or the other.
    pub fn decided(&self) {
        if let Some(told) = &self.0.told
            && let Some(mut deciding) = told.open().deciding.take()
        {
            deciding.end();
        }
    }

    /// Begins to serve: the request's span ends with what comes back.
    #[must_use]
    pub fn serve(&self) -> Served {
        Served { journey: self.clone(), answered: false, complete: false }
    }

    /// Begins a span of our asking MLflow, and tells where in the trace that is.
    pub(super) fn ask(&self, span: SpanBuilder) -> (Option<Span>, Option<(TraceContext, Came)>) {
        let place = |here| (!self.0.apart.load(Ordering::Relaxed)).then_some((here, self.0.came));
        let Some(told) = &self.0.told else { return (None, place(self.0.here)) };
        let parent = {
            let open = told.open();
            open.deciding.as_ref().map_or_else(|| told.served.clone(), |deciding| deciding.span_context().clone())
        };
        let span = below(&told.tracer, span.with_kind(SpanKind::Client), &parent);
        let id = u64::from_be_bytes(span.span_context().span_id().to_bytes());
        (Some(span), self.0.here.at(id).and_then(place))
    }
}

impl Told {
    fn open(&self) -> MutexGuard<'_, Open> {
        // Nothing between lock and unlock can leave it half-written.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn below(tracer: &SdkTracer, span: SpanBuilder, parent: &SpanContext) -> Span {
    tracer.build_with_context(span, &Context::new().with_remote_span_context(parent.clone()))
}

/// The request's span, which ends with it: when the last byte of the answer was handed over, or nobody wants it any more.
#[derive(Debug)]
pub struct Served {
    journey: Journey,
    answered: bool,
    complete: bool,
}

impl Served {
    /// The head of the answer is there.
    pub fn answered(&mut self, verdict: &Verdict, request: &str) {
        self.answered = true;
        self.journey.decided();
        let Some(told) = &self.journey.0.told else { return };
        let mut open = told.open();
        let Some(span) = &mut open.served else { return };
        tell(span, verdict.outcome, verdict.reason);
        span.set_attribute(KeyValue::new("http.response.status_code", i64::from(verdict.status)));
        if !request.is_empty() {
            span.set_attribute(KeyValue::new("trackgate.request_id", request.to_owned()));
        }
        if verdict.status >= 500 {
            span.set_attribute(KeyValue::new("error.type", verdict.status.to_string()));
            span.set_status(Status::error(""));
        }
    }

    /// The last byte of the answer was handed over.
    pub fn complete(&mut self) {
        self.complete = true;
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.journey.decided();
        let Some(told) = &self.journey.0.told else { return };
        let Some(mut span) = told.open().served.take() else { return };
        if !self.answered {
            // In the words of the audit log.
            tell(&mut span, "error", "unfinished");
        }
        let outcome = if self.complete { "complete" } else { "cut-off" };
        span.set_attribute(KeyValue::new("trackgate.outcome", outcome));
        span.end();
    }
}

fn tell(span: &mut Span, decision: &'static str, reason: &'static str) {
    span.set_attribute(KeyValue::new("trackgate.decision", decision));
    span.set_attribute(KeyValue::new("trackgate.reason", reason));
}
