//! How do traces reach whoever keeps them?
//!
//! OTLP over HTTP in protobuf (OpenTelemetry Protocol 1.x, "OTLP/HTTP"), to a collector or to Google (`telemetry.googleapis.com`).
//! Requests never wait for it: spans go into a bounded queue, from which the SDK's own thread sends them in batches; what finds no
//! room, or cannot be sent, is lost and counted. At the end what is left is sent, for a moment only.
//!
//! The SDK's exporters bring an HTTP client of their own, which does not run on the SDK's thread, or gRPC. Ours has the one that
//! there is: its trust, its limits, and Google's tokens.

mod exporter;
mod outage;
mod queue;
mod sender;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use opentelemetry::trace::TracerProvider as _;
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, Sampler, SdkTracer, SdkTracerProvider, SpanLimits,
};
use url::Url;

use self::exporter::Exporter;
use self::queue::Bounded;
pub use self::queue::Counts;
pub use self::sender::SendFault;
use self::sender::Sender;
use crate::clock::Clock;
use crate::fetch::{self, BadTrust};
use crate::google::{BadKey, METADATA_URL};

/// Google's own endpoint.
pub const GOOGLE: &str = "telemetry.googleapis.com";
/// So many go at once.
const BATCH: usize = 512;
/// How long one attempt to send them may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long the end may wait for the last of them.
const LAST_SPANS: Duration = Duration::from_millis(500);

/// `[trace]`, but for what is sampled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Where `/v1/traces` is.
    pub endpoint: Url,
    /// Who signs its certificate; the system's roots if absent.
    pub ca_file: Option<PathBuf>,
    /// As what we are known there.
    pub service: String,
    /// Google's project of the traces.
    pub google_project: Option<String>,
    /// Where Google wants to know who sends them.
    pub credentials: Option<Credentials>,
    /// So many spans may wait to be sent.
    pub queue: usize,
    /// That long they wait for others.
    pub delay: Duration,
}

/// Who we are at Google.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The key of a service account; without one, that of the machine.
    pub key_file: Option<PathBuf>,
    /// The metadata server.
    pub metadata_url: Url,
}

impl Settings {
    /// To this collector, under our own name.
    #[must_use]
    pub fn new(endpoint: Url) -> Self {
        Self {
            endpoint,
            ca_file: None,
            service: "trackgate".to_owned(),
            google_project: None,
            credentials: None,
            queue: 4096,
            delay: Duration::from_secs(2),
        }
    }

    /// Where spans are sent (OTLP/HTTP, "Endpoint URLs": the path of signals is added to the base).
    #[must_use]
    pub fn traces_url(&self) -> Url {
        let mut url = self.endpoint.clone();
        let base = url.path().trim_end_matches('/').to_owned();
        url.set_path(&format!("{base}/v1/traces"));
        url
    }
}

/// The metadata server of Google's machines.
#[must_use]
pub fn metadata_url() -> Option<Url> {
    METADATA_URL.parse().ok()
}

/// Why no traces can be sent.
#[derive(Debug, thiserror::Error)]
pub enum SetupFault {
    /// Whom to trust.
    #[error(transparent)]
    Trust(#[from] BadTrust),
    /// The service account's key.
    #[error(transparent)]
    Key(#[from] BadKey),
}

/// Takes spans, and sends them.
pub struct Collector {
    provider: SdkTracerProvider,
    sender: Arc<Sender>,
}

impl Collector {
    /// Begins. Sending runs on the current runtime, which must outlive it; the collector may be away. `counts` is told of each span.
    ///
    /// # Errors
    /// [`SetupFault`] for a file that cannot be used.
    pub fn begin(settings: &Settings, counts: &Counts, clock: &Clock) -> Result<Self, SetupFault> {
        let sender = Arc::new(Sender::new(settings, clock)?);
        let exporter = Exporter::new(Arc::clone(&sender), counts.clone(), tokio::runtime::Handle::current());
        // All that the SDK would read from its own variables is said here: there is one configuration.
        let batches = BatchConfigBuilder::default()
            .with_max_queue_size(settings.queue)
            .with_max_export_batch_size(BATCH)
            .with_scheduled_delay(settings.delay);
        let processor = BatchSpanProcessor::builder(exporter).with_batch_config(batches.build()).build();
        let provider = SdkTracerProvider::builder()
            .with_sampler(Sampler::AlwaysOn)
            .with_span_limits(SpanLimits::default())
            .with_resource(resource(settings))
            .with_span_processor(Bounded::new(processor, counts.clone(), settings.queue))
            .build();
        Ok(Self { provider, sender })
    }

    /// What makes spans that are sent.
    #[must_use]
    pub fn tracer(&self) -> SdkTracer {
        let scope = InstrumentationScope::builder("trackgate").with_version(env!("CARGO_PKG_VERSION")).build();
        self.provider.tracer_with_scope(scope)
    }

    /// Sends what is left, if that can be done at once. Blocks, but not for long.
    pub fn end(self) {
        self.sender.hurry();
        if let Err(fault) = self.provider.shutdown_with_timeout(LAST_SPANS) {
            tracing::debug!(%fault, "not all spans were sent at the end");
        }
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        // Nobody waits for the last of them who could not do so in order.
        self.sender.hurry();
        let _ = self.provider.shutdown_with_timeout(Duration::ZERO);
    }
}

/// Asks the collector whether it would take spans, with none.
///
/// # Errors
/// [`SetupFault`] for a file that cannot be used; inside, why it would not.
pub async fn look(settings: &Settings) -> Result<Result<(), SendFault>, SetupFault> {
    let sender = Sender::new(settings, &Clock::System)?;
    Ok(sender.try_to(bytes::Bytes::new()).await.map(drop))
}

/// Who sends (OpenTelemetry, "Resource semantic conventions").
fn resource(settings: &Settings) -> Resource {
    let instance = uuid::Uuid::new_v4().to_string();
    let google = settings.google_project.clone().map(|project| KeyValue::new("gcp.project_id", project));
    Resource::builder_empty()
        .with_service_name(settings.service.clone())
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .with_attribute(KeyValue::new("service.instance.id", instance))
        .with_attribute(KeyValue::new("telemetry.sdk.name", "opentelemetry"))
        .with_attribute(KeyValue::new("telemetry.sdk.language", "rust"))
        .with_attributes(google)
        .build()
}

/// How the collector is spoken to.
fn fetch(settings: &Settings) -> fetch::Settings {
    fetch::Settings {
        ca_file: settings.ca_file.clone(),
        total: PATIENCE,
        most: 64 * 1024,
        resting: 1,
        ..fetch::Settings::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_of_traces_is_added_to_the_base() {
        for (base, url) in [
            ("http://127.0.0.1:4318", "http://127.0.0.1:4318/v1/traces"),
            ("https://otel.example.com/", "https://otel.example.com/v1/traces"),
            ("https://otel.example.com/otlp/", "https://otel.example.com/otlp/v1/traces"),
        ] {
            assert_eq!(Settings::new(base.parse().unwrap()).traces_url().as_str(), url);
        }
    }
}
