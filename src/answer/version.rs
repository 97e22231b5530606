//! Which MLflow is behind us?
//!
//! `GET /version` answers the version as plain text. It is asked at start and watched ([`Known::watch`]), kept for some
//! minutes, and learnt anew after doubt: a server may be replaced while we run. It decides only what is worth trying
//! ([`super::narrow`]), never what may be seen. What is learnt is logged once for each change.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::clock::Clock;
use crate::mlflow::version::{Standing, Version};
use crate::upstream::Upstream;

/// How long a version is believed.
const KEEP: Duration = Duration::from_mins(5);
/// How long a failed question, or a doubt, is remembered.
const RETRY: Duration = Duration::from_secs(30);
/// How often the watch looks whether there is something to ask.
const WATCH: Duration = Duration::from_secs(5);

/// Filters take lists of ids and names since then (`experiment_id IN (...)`, `name IN (...)`).
const LISTS_IN_FILTERS: Version = Version(3, 17, 0);

/// What is known of the server's version. Shared by all workers.
#[derive(Debug)]
pub(crate) struct Known {
    clock: Clock,
    /// The version ([`pack`]), 0 when it is not known.
    packed: AtomicU64,
    /// The version that was logged last.
    told: AtomicU64,
    /// When to ask again, in milliseconds since the epoch.
    until: AtomicU64,
}

impl Known {
    pub(crate) fn new(clock: Clock) -> Self {
        Self { clock, packed: AtomicU64::new(0), told: AtomicU64::new(0), until: AtomicU64::new(0) }
    }

    /// Whether filters may hold lists; asks for the version with `ask` when it is not known or too old.
    pub(crate) async fn takes_lists_in_filters<F: Future<Output = Option<String>>>(
        &self,
        ask: impl FnOnce() -> F,
    ) -> bool {
        self.refresh(ask).await;
        self.version().is_some_and(|version| version >= LISTS_IN_FILTERS)
    }

    /// The version, as far as it is known.
    pub(crate) fn version(&self) -> Option<Version> {
        unpack(self.packed.load(Ordering::Acquire))
    }

    /// The server refused what its version should take: for a while it is not asked for that.
    pub(crate) fn doubt(&self) {
        self.packed.store(0, Ordering::Release);
        self.keep(RETRY);
    }

    /// Asks at once, and from then on whenever what is known is old, for ever.
    pub(crate) async fn watch(&self, upstream: &Upstream, static_prefix: &str) {
        let mut silent = false;
        loop {
            self.refresh(|| ask(upstream, static_prefix)).await;
            if self.version().is_none() && !silent && self.told.load(Ordering::Acquire) == 0 {
                silent = true;
                tracing::warn!("MLflow does not tell its version yet; it is asked again until it does");
            }
            tokio::time::sleep(WATCH).await;
        }
    }

    async fn refresh<F: Future<Output = Option<String>>>(&self, ask: impl FnOnce() -> F) {
        if self.clock.millis() < self.until.load(Ordering::Acquire) {
            return;
        }
        let version = ask().await.and_then(|text| text.parse().ok());
        self.packed.store(version.map_or(0, pack), Ordering::Release);
        self.keep(if version.is_some() { KEEP } else { RETRY });
        if let Some(version) = version {
            let told = self.told.swap(pack(version), Ordering::AcqRel);
            if told != pack(version) {
                tell(unpack(told), version);
            }
        }
    }

    fn keep(&self, time: Duration) {
        let time = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        self.until.store(self.clock.millis().saturating_add(time), Ordering::Release);
    }
}

/// Asks the server. It is found below the static prefix since MLflow 3.7.0, and before that at the root.
pub(crate) async fn ask(upstream: &Upstream, static_prefix: &str) -> Option<String> {
    let prefix = static_prefix.trim_end_matches('/');
    let below = format!("{prefix}/version");
    for place in [below.as_str(), "/version"].iter().take(if prefix.is_empty() { 1 } else { 2 }) {
        let asked = upstream.ask(place).await.ok()?;
        if asked.status.is_success() {
            return String::from_utf8(asked.body.to_vec()).ok();
        }
    }
    None
}

fn tell(before: Option<Version>, version: Version) {
    let remark = version.remark().unwrap_or_default();
    match before {
        Some(before) => tracing::warn!(%version, %before, remark, "MLflow has another version now"),
        None if version.standing() == Standing::Supported => tracing::info!(%version, "MLflow answers"),
        None => tracing::warn!(%version, remark, "MLflow answers"),
    }
}

/// In one number, so that all workers read all of it or nothing; never 0.
fn pack(Version(major, minor, patch): Version) -> u64 {
    1 << 48 | u64::from(major) << 32 | u64::from(minor) << 16 | u64::from(patch)
}

fn unpack(packed: u64) -> Option<Version> {
    let part = |shift: u32| u16::try_from(packed >> shift & 0xffff).unwrap_or_default();
    (packed != 0).then(|| Version(part(32), part(16), part(0)))
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::time::SystemTime;

    use super::*;

    #[test]
    fn a_version_survives_being_packed() {
        for version in [Version(0, 0, 0), Version(2, 22, 5), Version(3, 18, 0), Version(u16::MAX, u16::MAX, u16::MAX)] {
            assert_eq!(unpack(pack(version)), Some(version));
        }
        assert_eq!(unpack(0), None);
    }

    #[tokio::test]
    async fn a_version_is_asked_once_and_learnt_anew_when_it_is_old_or_doubted() {
        let clock = Clock::set_to(SystemTime::UNIX_EPOCH + Duration::from_secs(1000));
        let known = Known::new(clock.clone());
        let asked = Cell::new(0);
        let ask = async |text: Option<&'static str>| {
            known
                .takes_lists_in_filters(|| {
                    asked.set(asked.get() + 1);
                    async move { text.map(str::to_owned) }
                })
                .await
        };
        assert!(!ask(None).await);
        assert!(!ask(Some("3.17.0")).await, "a failed question is remembered for a while");
        clock.advance(RETRY);
        assert!(ask(Some("3.17.0")).await);
        assert!(ask(Some("3.16.9")).await);
        assert_eq!(asked.get(), 2);
        clock.advance(KEEP);
        assert!(!ask(Some("3.16.9")).await);
        clock.advance(KEEP);
        assert!(ask(Some("3.17.2")).await);
        known.doubt();
        assert!(!ask(Some("3.17.2")).await);
        assert_eq!(known.version(), None);
        clock.advance(RETRY);
        assert!(ask(Some("3.17.2")).await);
        assert_eq!(known.version(), Some(Version(3, 17, 2)));
        assert_eq!(asked.get(), 5);
    }
}
