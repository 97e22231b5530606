//! Which MLflow is behind us?
//!
//! `GET /version` answers the version as plain text. It is kept for some minutes, and learnt anew after doubt: a server
//! may be replaced while we run. It decides only what is worth trying ([`super::narrow`]), never what may be seen.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::clock::Clock;

/// How long a version is believed.
const KEEP: Duration = Duration::from_mins(5);
/// How long a failed question, or a doubt, is remembered.
const RETRY: Duration = Duration::from_secs(30);

/// Filters take lists of ids and names since then (`experiment_id IN (...)`, `name IN (...)`).
const LISTS_IN_FILTERS: Version = Version(3, 17, 0);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Version(u16, u16, u16);

impl Version {
    /// `3.17.2`, and what Python writes after that (`rc1`, `.dev0`).
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.trim().splitn(3, '.');
        let number = |part: Option<&str>| {
            let part = part?;
            let end = part.find(|next: char| !next.is_ascii_digit()).unwrap_or(part.len());
            part[..end].parse::<u16>().ok()
        };
        Some(Self(number(parts.next())?, number(parts.next())?, number(parts.next())?))
    }
}

/// What is known of the server's version. Shared by all workers.
#[derive(Debug)]
pub(crate) struct Known {
    clock: Clock,
    /// The version in its three parts, 0 when it is not known.
    packed: AtomicU64,
    /// When to ask again, in milliseconds since the epoch.
    until: AtomicU64,
}

impl Known {
    pub(crate) fn new(clock: Clock) -> Self {
        Self { clock, packed: AtomicU64::new(0), until: AtomicU64::new(0) }
    }

    /// Whether filters may hold lists; asks for the version with `ask` when it is not known or too old.
    pub(crate) async fn takes_lists_in_filters<F: Future<Output = Option<String>>>(
        &self,
        ask: impl FnOnce() -> F,
    ) -> bool {
        let now = self.clock.millis();
        if now >= self.until.load(Ordering::Acquire) {
            let version = ask().await.and_then(|text| Version::parse(&text));
            let packed = version.map_or(0, |Version(a, b, c)| u64::from(a) << 32 | u64::from(b) << 16 | u64::from(c));
            self.packed.store(packed, Ordering::Release);
            self.keep(if version.is_some() { KEEP } else { RETRY });
        }
        let Version(a, b, c) = LISTS_IN_FILTERS;
        self.packed.load(Ordering::Acquire) >= (u64::from(a) << 32 | u64::from(b) << 16 | u64::from(c))
    }

    /// The server refused what its version should take: for a while it is not asked for that.
    pub(crate) fn doubt(&self) {
        self.packed.store(0, Ordering::Release);
        self.keep(RETRY);
    }

    fn keep(&self, time: Duration) {
        let time = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        self.until.store(self.clock.millis().saturating_add(time), Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::time::SystemTime;

    use super::*;

    #[test]
    fn versions_are_read_as_python_writes_them() {
        assert_eq!(Version::parse("3.17.2"), Some(Version(3, 17, 2)));
        assert_eq!(Version::parse("3.18.0rc1\n"), Some(Version(3, 18, 0)));
        assert_eq!(Version::parse("3.18.0.dev0"), Some(Version(3, 18, 0)));
        for text in ["", "3", "3.17", "x.y.z", "<html>", "3..1", "99999.1.1"] {
            assert_eq!(Version::parse(text), None, "{text:?}");
        }
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
        clock.advance(RETRY);
        assert!(ask(Some("3.17.2")).await);
        assert_eq!(asked.get(), 5);
    }
}
