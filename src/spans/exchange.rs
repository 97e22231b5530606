//! What is told of asking MLflow?

use http::{HeaderMap, Method, StatusCode};
use opentelemetry::KeyValue;
use opentelemetry::trace::{Span as _, SpanBuilder, Status};
use opentelemetry_sdk::trace::Span;

use super::{Journey, method};
use crate::trace_context::{TRACEPARENT, TRACESTATE, X_CLOUD_TRACE_CONTEXT};

/// Where MLflow is.
#[derive(Debug, Clone, Copy)]
pub struct Server<'a> {
    /// `http` or `https`.
    pub scheme: &'static str,
    /// Its name, address or socket.
    pub address: &'a str,
    /// Its port, where there is one.
    pub port: Option<u16>,
}

/// One time that MLflow is asked. Its span ends when this is dropped: with the last byte of the answer's body.
#[derive(Debug)]
pub struct Asked {
    span: Span,
    ended: bool,
}

impl Journey {
    /// MLflow is about to be asked: the request's header says where in the trace that is. `None` where nobody records it.
    #[must_use]
    pub fn asks(&self, verb: &Method, headers: &mut HeaderMap, server: Server<'_>) -> Option<Asked> {
        let name = method(verb);
        let mut attributes = Vec::new();
        if self.here().is_some() {
            attributes.extend([
                KeyValue::new("http.request.method", name),
                KeyValue::new("url.scheme", server.scheme),
                KeyValue::new("server.address", server.address.to_owned()),
            ]);
            attributes.extend(server.port.map(|port| KeyValue::new("server.port", i64::from(port))));
        }
        let (span, place) = self.ask(SpanBuilder::from_name(name).with_attributes(attributes));
        if let Some((here, came)) = place {
            if let Some(value) = here.traceparent() {
                headers.insert(TRACEPARENT, value);
            }
            if !came.state {
                headers.remove(TRACESTATE);
            }
            if came.cloud
                && let Some(value) = here.cloud()
            {
                headers.insert(X_CLOUD_TRACE_CONTEXT, value);
            }
        }
        span.map(|span| Asked { span, ended: false })
    }
}

impl Asked {
    /// The head of the answer is there.
    pub fn answered(&mut self, status: StatusCode) {
        self.span.add_event("first byte", Vec::new());
        self.span.set_attribute(KeyValue::new("http.response.status_code", i64::from(status.as_u16())));
        if status.is_client_error() || status.is_server_error() {
            self.span.set_attribute(KeyValue::new("error.type", status.as_u16().to_string()));
            self.span.set_status(Status::error(""));
        }
    }

    /// There is none, or it broke off.
    pub fn failed(&mut self, kind: &'static str) {
        self.ended = true;
        self.span.set_attribute(KeyValue::new("error.type", kind));
        self.span.set_status(Status::error(""));
    }

    /// The last byte is there.
    pub fn complete(&mut self) {
        self.ended = true;
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        if !self.ended {
            // Nobody waits for it any more.
            self.failed("cancelled");
        }
        self.span.end();
    }
}
