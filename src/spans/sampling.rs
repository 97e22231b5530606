//! Which requests are recorded, where nobody whom we trust has decided?
//!
//! A share of all traces. A caller may name any trace, but cannot know which ones are in the share: that hangs on a number which
//! each process makes for itself.

use std::fmt;
use std::hash::{BuildHasher as _, RandomState};
use std::str::FromStr;

/// A share between 0, nothing, and 1, everything.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample(f64);

/// What is no share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a share is between 0 and 1")]
pub struct NoShare;

impl Sample {
    /// One of twenty.
    pub const DEFAULT: Self = Self(0.05);

    /// This share.
    ///
    /// # Errors
    /// [`NoShare`] unless it is between 0 and 1.
    pub fn new(share: f64) -> Result<Self, NoShare> {
        if (0.0..=1.0).contains(&share) { Ok(Self(share)) } else { Err(NoShare) }
    }
}

impl FromStr for Sample {
    type Err = NoShare;

    fn from_str(text: &str) -> Result<Self, NoShare> {
        Self::new(text.parse().map_err(|_| NoShare)?)
    }
}

impl fmt::Display for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // TOML wants a point in a number that is none of the integers.
        write!(f, "{:?}", self.0)
    }
}

/// Picks.
#[derive(Debug, Clone)]
pub(super) struct Share {
    key: RandomState,
    below: u128,
}

impl Share {
    pub(super) fn new(sample: Sample) -> Self {
        Self { key: RandomState::new(), below: below(sample) }
    }

    /// Another share, of which the smaller is a part.
    pub(super) fn with(&self, sample: Sample) -> Self {
        Self { key: self.key.clone(), below: below(sample) }
    }

    /// Whether this trace is in it.
    pub(super) fn has(&self, trace: u128) -> bool {
        self.below > 0 && u128::from(self.key.hash_one(trace)) < self.below
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 2^64")]
fn below(Sample(share): Sample) -> u128 {
    (share * 2_f64.powi(64)) as u128
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picked(share: &Share) -> usize {
        (0..10_000).filter(|trace| share.has(*trace)).count()
    }

    #[test]
    fn nothing_everything_and_a_part_are_what_they_say() {
        let share = |text: &str| Share::new(text.parse().unwrap());
        assert_eq!(picked(&share("0")), 0);
        assert_eq!(picked(&share("1")), 10_000);
        let tenth = picked(&share("0.1"));
        assert!((700..1300).contains(&tenth), "{tenth}");
        for bad in ["-0.1", "1.1", "NaN", "inf", "", "half"] {
            assert_eq!(bad.parse::<Sample>(), Err(NoShare), "{bad}");
        }
        assert_eq!(Sample::DEFAULT.to_string(), "0.05");
        assert_eq!("1".parse::<Sample>().unwrap().to_string(), "1.0");
    }

    #[test]
    fn a_trace_is_decided_alike_each_time_and_a_larger_share_has_all_of_a_smaller() {
        let small = Share::new("0.2".parse().unwrap());
        let large = small.with("0.6".parse().unwrap());
        assert!((0..2000).all(|trace| small.has(trace) == small.has(trace)));
        assert!((0..2000).all(|trace| !small.has(trace) || large.has(trace)));
    }

    #[test]
    fn nobody_can_tell_beforehand_which_traces_are_in_it() {
        let (one, other) = (Share::new("0.5".parse().unwrap()), Share::new("0.5".parse().unwrap()));
        assert!((0..2000).any(|trace| one.has(trace) != other.has(trace)), "each process has a key of its own");
    }
}
