//! How is a number told that a room knows anyway?

use std::borrow::Cow;
use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;

/// One value, with its labels.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    labels: Vec<(&'static str, Cow<'static, str>)>,
    value: f64,
}

impl Sample {
    /// A value without labels.
    #[must_use]
    pub fn of(value: f64) -> Self {
        Self { labels: Vec::new(), value }
    }

    /// A count.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "exact up to 2^53, and Prometheus knows no other numbers")]
    pub fn count(value: u64) -> Self {
        Self::of(value as f64)
    }

    /// Yes is 1, no is 0.
    #[must_use]
    pub fn truth(value: bool) -> Self {
        Self::of(f64::from(u8::from(value)))
    }

    /// The same with a label; its value is a word of ours or of the configuration.
    #[must_use]
    pub fn with(mut self, label: &'static str, value: impl Into<Cow<'static, str>>) -> Self {
        self.labels.push((label, value.into()));
        self
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Gauge,
    Counter,
}

type Read = Box<dyn Fn() -> Vec<Sample> + Send + Sync>;

pub(super) struct Reading {
    name: &'static str,
    help: &'static str,
    kind: Kind,
    read: Read,
}

impl Reading {
    pub(super) fn new(name: &'static str, help: &'static str, kind: Kind, read: Read) -> Self {
        Self { name, help, kind, read }
    }
}

impl fmt::Debug for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reading").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Collector for Reading {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let kind = match self.kind {
            Kind::Gauge => MetricType::Gauge,
            Kind::Counter => MetricType::Counter,
        };
        let mut metric = encoder.encode_descriptor(self.name, self.help, None, kind)?;
        for sample in (self.read)() {
            let labels: Vec<(&str, &str)> = sample.labels.iter().map(|(name, value)| (*name, value.as_ref())).collect();
            // Without labels there are no braces either.
            if labels.is_empty() {
                self.kind.encode(sample.value, &mut metric)?;
            } else {
                self.kind.encode(sample.value, &mut metric.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }
}

impl Kind {
    fn encode(self, value: f64, encoder: &mut MetricEncoder) -> fmt::Result {
        match self {
            Self::Gauge => encoder.encode_gauge(&value),
            Self::Counter => encoder.encode_counter::<NoLabelSet, _, u64>(&value, None),
        }
    }
}
