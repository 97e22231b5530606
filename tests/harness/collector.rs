//! Somebody who keeps traces: an OTLP/HTTP receiver, which reads the protobuf as it is published.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http_body_util::BodyExt as _;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;
use tokio_rustls::TlsAcceptor;

use super::server::{Server, full};
use super::soon;

/// A running receiver. It ends when it is dropped.
pub struct Collector {
    pub server: Server,
    taken: Arc<Mutex<Taken>>,
}

#[derive(Default)]
struct Taken {
    raw: Vec<u8>,
    resource: BTreeMap<String, String>,
    spans: Vec<Told>,
}

/// One span.
#[derive(Debug, Clone)]
pub struct Told {
    pub name: String,
    pub kind: i32,
    pub trace: String,
    pub span: String,
    pub parent: String,
    pub state: String,
    pub attributes: BTreeMap<String, String>,
    pub events: Vec<String>,
    pub failed: bool,
    pub began: u64,
    pub ended: u64,
}

pub const INTERNAL: i32 = 1;
pub const SERVER: i32 = 2;
pub const CLIENT: i32 = 3;

impl Collector {
    pub fn start() -> Self {
        Self::answering(|_| 200)
    }

    /// Answers with this status, by the number of the request.
    pub fn answering(status: impl Fn(usize) -> u16 + Send + Sync + 'static) -> Self {
        Self::with(status, None)
    }

    /// Speaks TLS.
    pub fn with_tls(acceptor: TlsAcceptor) -> Self {
        Self::with(|_| 200, Some(acceptor))
    }

    fn with(status: impl Fn(usize) -> u16 + Send + Sync + 'static, tls: Option<TlsAcceptor>) -> Self {
        let taken: Arc<Mutex<Taken>> = Arc::default();
        let (kept, count) = (Arc::clone(&taken), std::sync::atomic::AtomicUsize::new(0));
        let script = move |request: http::Request<hyper::body::Incoming>| {
            let status = status(count.fetch_add(1, std::sync::atomic::Ordering::SeqCst));
            let kept = Arc::clone(&kept);
            async move {
                assert_eq!(request.uri().path(), "/v1/traces");
                assert_eq!(request.method(), "POST");
                assert_eq!(request.headers()["content-type"], "application/x-protobuf");
                let body = request.into_body().collect().await.unwrap().to_bytes();
                if status == 200 {
                    kept.lock().unwrap().take(body);
                }
                full(status, "")
            }
        };
        let server = match tls {
            Some(tls) => Server::with_tls(tls, script),
            None => Server::scripted(script),
        };
        Self { server, taken }
    }

    pub fn address(&self) -> SocketAddr {
        self.server.address
    }

    /// The `[trace]` that sends here all there is.
    pub fn section(&self, more: &str) -> String {
        format!("[trace]\notlp_endpoint = \"http://{}\"\n{more}\n", self.address())
    }

    /// All that came, as it came.
    pub fn raw(&self) -> Vec<u8> {
        self.taken.lock().unwrap().raw.clone()
    }

    /// Who sent it.
    pub fn resource(&self) -> BTreeMap<String, String> {
        self.taken.lock().unwrap().resource.clone()
    }

    pub fn spans(&self) -> Vec<Told> {
        self.taken.lock().unwrap().spans.clone()
    }

    /// Waits for the span of a request by its `trackgate.request_id`, and gives all of its trace, that one first.
    pub async fn trace_of(&self, request: &str) -> Vec<Told> {
        self.trace_with(|span| span.attributes.get("trackgate.request_id").is_some_and(|id| id == request)).await
    }

    /// The same of another span of a server.
    pub async fn trace_with(&self, is_it: impl Fn(&Told) -> bool) -> Vec<Told> {
        soon("a span of the request", async {
            loop {
                let spans = self.spans();
                if let Some(served) = spans.iter().find(|span| span.kind == SERVER && is_it(span)) {
                    // What is below it ended before.
                    let below = spans.iter().filter(|span| span.trace == served.trace && span.span != served.span);
                    return std::iter::once(served).chain(below).cloned().collect();
                }
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        })
        .await
    }
}

impl Taken {
    fn take(&mut self, body: Bytes) {
        self.raw.extend_from_slice(&body);
        let asked = ExportTraceServiceRequest::decode(body).expect("the published protobuf");
        for of_resource in asked.resource_spans {
            self.resource = read(of_resource.resource.unwrap_or_default().attributes);
            for of_scope in of_resource.scope_spans {
                assert_eq!(of_scope.scope.unwrap_or_default().name, "trackgate");
                self.spans.extend(of_scope.spans.into_iter().map(told));
            }
        }
    }
}

fn told(span: Span) -> Told {
    Told {
        name: span.name,
        kind: span.kind,
        trace: hex(&span.trace_id),
        span: hex(&span.span_id),
        parent: hex(&span.parent_span_id),
        state: span.trace_state,
        attributes: read(span.attributes),
        events: span.events.into_iter().map(|event| event.name).collect(),
        failed: span.status.unwrap_or_default().code == 2,
        began: span.start_time_unix_nano,
        ended: span.end_time_unix_nano,
    }
}

fn read(attributes: Vec<KeyValue>) -> BTreeMap<String, String> {
    let text = |value| match value {
        any_value::Value::StringValue(text) => text,
        any_value::Value::IntValue(number) => number.to_string(),
        other => panic!("a value of another kind: {other:?}"),
    };
    attributes.into_iter().map(|pair| (pair.key, text(pair.value.unwrap().value.unwrap()))).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}
