//! How does the SDK's thread hand over a batch?
//!
//! It waits, outside of any runtime; what is sent runs on ours.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use opentelemetry_proto::transform::trace::tonic::group_spans_by_resource_and_scope;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::trace::{SpanData, SpanExporter};
use prost::Message as _;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::outage::Outage;
use super::queue::Counts;
use super::sender::{SendFault, Sender};

pub(super) struct Exporter {
    sender: Arc<Sender>,
    counts: Counts,
    outage: Outage,
    runtime: Handle,
    resource: ResourceAttributesWithSchema,
}

impl Exporter {
    pub(super) fn new(sender: Arc<Sender>, counts: Counts, runtime: Handle) -> Self {
        let resource = ResourceAttributesWithSchema::default();
        Self { sender, counts, outage: Outage::default(), runtime, resource }
    }

    async fn send(&self, batch: Vec<SpanData>) -> Result<u64, SendFault> {
        let resource_spans = group_spans_by_resource_and_scope(batch, &self.resource);
        let body = Bytes::from(ExportTraceServiceRequest { resource_spans }.encode_to_vec());
        let (done, told) = oneshot::channel();
        let sender = Arc::clone(&self.sender);
        self.runtime.spawn(async move {
            // Nobody waits for it any more at the end of the process.
            let _ = done.send(sender.send(body).await);
        });
        // The runtime may have ended, and the task with it.
        told.await.unwrap_or(Err(SendFault::Over))
    }
}

impl fmt::Debug for Exporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exporter").finish_non_exhaustive()
    }
}

impl SpanExporter for Exporter {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let all = batch.len();
        let sent = self.send(batch).await;
        let rejected = sent.as_ref().map_or(u64::MAX, |rejected| *rejected);
        let taken = all.saturating_sub(usize::try_from(rejected).unwrap_or(usize::MAX));
        self.counts.left(all, taken);
        self.outage.tell(sent.as_ref(), &self.counts);
        sent.map(drop).map_err(|fault| OTelSdkError::InternalFailure(fault.to_string()))
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.resource = resource.into();
    }
}
