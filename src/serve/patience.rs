//! For how long is a client still listened to, to whom all has been said?
//!
//! Where an answer comes before the request's end, closing at once would reset the connection, and the client might never
//! see the answer (RFC 9112 section 9.6). So what it still sends is read and thrown away for a while.

use std::time::Duration;

use tokio::time::Instant;

/// How long, and how much.
pub(super) struct Patience {
    /// All in all.
    whole: Duration,
    /// Without a byte.
    quiet: Duration,
    bytes: usize,
}

/// With a body that nobody wants: MLflow's client (`requests`) reads no answer before it has sent all of an upload. The
/// times are nginx's (`lingering_time`, `lingering_timeout`), which knows no limit of bytes.
pub(super) const PATIENT: Patience =
    Patience { whole: Duration::from_secs(30), quiet: Duration::from_secs(5), bytes: 512 * 1024 * 1024 };

/// With what is no HTTP, or while the house closes.
pub(super) const BRIEF: Patience =
    Patience { whole: Duration::from_secs(2), quiet: Duration::from_secs(2), bytes: 1024 * 1024 };

/// On HTTP/2, where the rest of a body is one stream's alone: for bodies that were on their way. curl 7.88 takes a reset of
/// its stream for a failure, though the answer is there and RFC 9113 section 8.1 wants it to be read.
pub(super) const EARLY: Patience =
    Patience { whole: Duration::from_millis(100), quiet: Duration::from_millis(100), bytes: 64 * 1024 };

/// What is still listened to.
#[derive(Clone, Copy)]
pub(super) struct Lingering {
    since: Instant,
    last: Instant,
    bytes: usize,
}

impl Lingering {
    pub(super) fn begin(now: Instant) -> Self {
        Self { since: now, last: now, bytes: 0 }
    }

    /// Notes that so many bytes came. Tells whether that was enough.
    pub(super) fn heard(&mut self, bytes: usize, now: Instant, patience: &Patience) -> bool {
        self.bytes = self.bytes.saturating_add(bytes);
        self.last = now;
        self.bytes >= patience.bytes || now >= self.until(patience)
    }

    /// When it is over, if nothing more comes.
    pub(super) fn until(&self, patience: &Patience) -> Instant {
        (self.since + patience.whole).min(self.last + patience.quiet)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn who_sends_a_little_at_a_time_is_not_listened_to_for_ever() {
        let start = Instant::now();
        let mut lingering = Lingering::begin(start);
        assert_eq!(lingering.until(&PATIENT), start + 5 * SECOND);
        for second in (4..30).step_by(4) {
            assert!(!lingering.heard(1, start + second * SECOND, &PATIENT), "{second}");
        }
        assert_eq!(lingering.until(&PATIENT), start + 30 * SECOND);
        assert!(lingering.heard(1, start + 30 * SECOND, &PATIENT));
    }

    #[test]
    fn who_sends_as_fast_as_can_be_is_not_listened_to_for_ever() {
        let start = Instant::now();
        let mut lingering = Lingering::begin(start);
        assert!(!lingering.heard(PATIENT.bytes - 1, start, &PATIENT));
        assert!(lingering.heard(1, start, &PATIENT));
    }

    #[test]
    fn what_is_no_http_and_whoever_keeps_the_house_from_closing_has_two_seconds() {
        let start = Instant::now();
        let mut lingering = Lingering::begin(start);
        assert!(!lingering.heard(1, start + SECOND, &BRIEF));
        assert_eq!(lingering.until(&BRIEF), start + 2 * SECOND);
        assert!(lingering.heard(BRIEF.bytes - 1, start + SECOND, &BRIEF));
    }
}
