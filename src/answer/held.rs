//! How much of answers that are read whole do we hold at once, over all requests?
//!
//! Each list request is bounded by itself ([`super::Settings::list_answer`]); many at once could still need more memory
//! than there is. What is held is counted together, until the last byte of what was made of it has left: a client that
//! reads slowly counts too. Small answers are not counted; they cost nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;

/// Up to this size an answer is not counted.
const SMALL: usize = 64 * 1024;

/// Too much is held already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the answers that are being looked over are larger than {most} bytes together")]
pub struct Crowded {
    /// How much is allowed.
    pub most: usize,
}

/// What is held by all requests together.
#[derive(Debug)]
pub(crate) struct Held {
    most: usize,
    now: AtomicUsize,
}

/// One request's part; it is given back when this is dropped.
#[derive(Debug)]
pub(crate) struct Share {
    held: Arc<Held>,
    bytes: usize,
}

impl Held {
    pub(crate) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most, now: AtomicUsize::new(0) })
    }

    /// An empty part.
    pub(crate) fn share(self: &Arc<Self>) -> Share {
        Share { held: Arc::clone(self), bytes: 0 }
    }
}

impl Share {
    /// Holds `bytes` in all, no matter how many before.
    pub(crate) fn hold(&mut self, bytes: usize) -> Result<(), Crowded> {
        let bytes = if bytes <= SMALL { 0 } else { bytes };
        let most = self.held.most;
        let now = &self.held.now;
        if bytes > self.bytes {
            let more = bytes - self.bytes;
            let fits = |held: usize| held.checked_add(more).filter(|together| *together <= most);
            now.fetch_update(Ordering::AcqRel, Ordering::Acquire, fits).map_err(|_| Crowded { most })?;
        } else {
            now.fetch_sub(self.bytes - bytes, Ordering::AcqRel);
        }
        self.bytes = bytes;
        Ok(())
    }

    /// The bytes of an answer, counted until the last of them has left.
    pub(crate) fn of(mut self, bytes: Vec<u8>) -> Bytes {
        // What is made of answers is hardly larger than they were.
        if self.bytes > 0 && self.hold(bytes.len()).is_ok() {
            return Bytes::from_owner(Counted { bytes, _share: self });
        }
        Bytes::from(bytes)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        if self.bytes > 0 {
            self.held.now.fetch_sub(self.bytes, Ordering::AcqRel);
        }
    }
}

struct Counted {
    bytes: Vec<u8>,
    _share: Share,
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_requests_share_one_bound_and_give_back_what_they_held() {
        let held = Held::new(300_000);
        let (mut one, mut two) = (held.share(), held.share());
        one.hold(200_000).unwrap();
        assert_eq!(two.hold(200_000), Err(Crowded { most: 300_000 }));
        two.hold(100_000).unwrap();
        one.hold(100_000).unwrap();
        two.hold(200_000).unwrap();
        drop((one, two));
        assert_eq!(held.now.load(Ordering::Acquire), 0);
    }

    #[test]
    fn small_answers_are_never_refused() {
        let held = Held::new(0);
        assert!(held.share().hold(SMALL).is_ok());
        assert!(held.share().hold(SMALL + 1).is_err());
    }

    #[test]
    fn an_answer_counts_until_its_last_byte_has_left() {
        let held = Held::new(1_000_000);
        let mut share = held.share();
        share.hold(300_000).unwrap();
        let answer = share.of(vec![b' '; 200_000]);
        let last = answer.slice(199_999..);
        drop(answer);
        assert_eq!(held.now.load(Ordering::Acquire), 200_000);
        drop(last);
        assert_eq!(held.now.load(Ordering::Acquire), 0);
    }
}
