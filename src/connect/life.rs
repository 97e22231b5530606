//! When is a credential renewed, and when is it not asked for?
//!
//! Pure: the time is an argument. A credential is renewed when four fifths of its life are over, or a minute before its end,
//! whichever comes first, but not in the first half of its life. Its end is the server's to judge, so it is compared with
//! the server's time: `skew` is how far that is ahead of ours. Unless its end was reckoned by our own clock, from a lifetime.

/// All times are milliseconds since the epoch, by our own clock unless it says otherwise.
pub(super) type Millis = u64;

/// So much before its end a credential is renewed at the latest.
const AHEAD: u64 = 60_000;
/// A source that failed is left alone for a second, then two, up to this while the credential still lives.
const LONGEST_PAUSE: u64 = 60_000;
/// The same while there is none that lives: somebody waits.
const LONGEST_PAUSE_WITHOUT: u64 = 5_000;
/// A source that gives the same credential again (a cache that is not yet old) is left alone for so long.
const SAME_AGAIN: u64 = 1_000;
/// After a renewal that the server did not want either: so long until its next no leads to another.
const AFTER_REFUSAL: u64 = 10_000;
/// The longest of those pauses.
const LONGEST_AFTER_REFUSAL: u64 = 300_000;
/// One that seems to be over when it comes (a clock is wrong) is used for at most so long.
const DOUBTFUL: u64 = 300_000;
/// The same where it does not say how long it was made for.
const DOUBTFUL_WITHOUT: u64 = 60_000;

/// From when to when a credential counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Life {
    got: Millis,
    /// By the server's clock; `None`: not known, or never.
    ends: Option<Millis>,
    /// By ours instead.
    by_our_clock: bool,
}

/// How a credential stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// It is used.
    Fresh,
    /// It is used, and should be renewed.
    Due,
    /// It is not used any more.
    Over,
}

impl Life {
    /// A credential that came at `got`; `made_for` is how long its maker says that it lives.
    pub(super) fn taken(got: Millis, ends: Option<Millis>, made_for: Option<u64>, skew: i64) -> Self {
        let now = got.saturating_add_signed(skew);
        let doubtful = now.saturating_add(made_for.map_or(DOUBTFUL_WITHOUT, |life| life.min(DOUBTFUL)));
        Self { got, ends: ends.map(|ends| if ends > now { ends } else { doubtful }), by_our_clock: false }
    }

    /// The same where `ends` is by our own clock: what the server's says does not matter to it.
    pub(super) fn by_our_clock(got: Millis, ends: Option<Millis>, made_for: Option<u64>) -> Self {
        Self { by_our_clock: true, ..Self::taken(got, ends, made_for, 0) }
    }

    pub(super) fn standing(self, now: Millis, skew: i64) -> Standing {
        let Some(ends) = self.ends else { return Standing::Fresh };
        let skew = if self.by_our_clock { 0 } else { skew };
        let (got, now) = (self.got.saturating_add_signed(skew), now.saturating_add_signed(skew));
        if now >= ends {
            return Standing::Over;
        }
        // The clock was set back: nobody knows how old it is.
        if now < got {
            return Standing::Due;
        }
        let life = ends.saturating_sub(got);
        let renew = (got + life / 5 * 4).min(ends.saturating_sub(AHEAD)).max(got + life / 2);
        if now >= renew { Standing::Due } else { Standing::Fresh }
    }
}

/// What is to be done for a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// Use what there is.
    Use,
    /// Use it, and renew it meanwhile.
    UseAndRenew,
    /// Renew it and wait.
    Renew,
    /// There is none, and it is too early to ask again.
    Refuse,
}

/// What is remembered of a source.
#[derive(Debug, Default)]
pub(super) struct Plan {
    life: Option<Life>,
    failures: u32,
    pause: Option<Pause>,
    /// Renewals after a no of the server that changed nothing.
    fruitless: u32,
    after_refusal: Option<Pause>,
}

/// From when to when nothing is asked. With its beginning, so that a clock that is set back does not make it longer.
#[derive(Debug, Clone, Copy)]
struct Pause(Millis, Millis);

impl Pause {
    fn new(now: Millis, by: u64) -> Self {
        Self(now, now.saturating_add(by))
    }

    fn holds(self, now: Millis) -> bool {
        (self.0..self.1).contains(&now)
    }
}

impl Plan {
    pub(super) fn next(&self, now: Millis, skew: i64) -> Next {
        let quiet = self.pause.is_some_and(|pause| pause.holds(now));
        match (self.life.map(|life| life.standing(now, skew)), quiet) {
            (Some(Standing::Fresh), _) | (Some(Standing::Due), true) => Next::Use,
            (Some(Standing::Due), false) => Next::UseAndRenew,
            (Some(Standing::Over) | None, false) => Next::Renew,
            (Some(Standing::Over) | None, true) => Next::Refuse,
        }
    }

    /// Whether the one held may still be used.
    pub(super) fn is_alive(&self, now: Millis, skew: i64) -> bool {
        self.life.is_some_and(|life| life.standing(now, skew) != Standing::Over)
    }

    /// A renewal brought one; `same` as before or not.
    pub(super) fn renewed(&mut self, life: Life, same: bool) {
        self.pause = same.then(|| Pause::new(life.got, SAME_AGAIN));
        self.life = Some(life);
        self.failures = 0;
    }

    /// A renewal brought nothing.
    pub(super) fn failed(&mut self, now: Millis, skew: i64) {
        let longest = if self.is_alive(now, skew) { LONGEST_PAUSE } else { LONGEST_PAUSE_WITHOUT };
        self.pause = Some(Pause::new(now, (1000 << self.failures.min(10)).min(longest)));
        self.failures = self.failures.saturating_add(1);
    }

    /// The server refused the one held: whether it is worth asking the source for another.
    pub(super) fn is_worth_renewing(&mut self, now: Millis) -> bool {
        if self.after_refusal.is_some_and(|pause| pause.holds(now)) {
            return false;
        }
        let pause = (AFTER_REFUSAL << self.fruitless.min(10)).min(LONGEST_AFTER_REFUSAL);
        self.after_refusal = Some(Pause::new(now, pause));
        self.fruitless = self.fruitless.saturating_add(1);
        // What the server does not take is not renewed later because it seems to be fresh.
        self.pause = None;
        true
    }

    /// The server took the one held.
    pub(super) fn accepted(&mut self) {
        self.fruitless = 0;
        // A server that says yes here and no there must not make us ask the source all the time either.
        self.after_refusal = self.after_refusal.map(|pause| Pause::new(pause.0, SAME_AGAIN));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: u64 = 1_790_000_000_000;
    const HOUR: u64 = 3_600_000;

    fn held(life: u64) -> Plan {
        let mut plan = Plan::default();
        plan.renewed(Life::taken(NOW, Some(NOW + life), Some(life), 0), false);
        plan
    }

    #[test]
    fn one_is_renewed_at_four_fifths_of_its_life_and_a_minute_before_its_end() {
        for (life, fresh_until) in
            [(HOUR, HOUR / 5 * 4), (10 * 60_000, 480_000), (4 * 60_000, 180_000), (90_000, 45_000), (2_000, 1_000)]
        {
            let plan = held(life);
            assert_eq!(plan.next(NOW + fresh_until - 1, 0), Next::Use, "{life}");
            assert_eq!(plan.next(NOW + fresh_until, 0), Next::UseAndRenew, "{life}");
            assert_eq!(plan.next(NOW + life - 1, 0), Next::UseAndRenew, "{life}");
            assert_eq!(plan.next(NOW + life, 0), Next::Renew, "{life}");
        }
    }

    #[test]
    fn one_without_an_end_is_never_renewed_by_itself() {
        let mut plan = Plan::default();
        assert_eq!(plan.next(NOW, 0), Next::Renew);
        plan.renewed(Life::taken(NOW, None, None, 0), false);
        assert_eq!(plan.next(NOW + 10_000 * HOUR, 0), Next::Use);
    }

    #[test]
    fn a_source_that_fails_is_asked_less_and_less_and_the_old_one_is_used_meanwhile() {
        let mut plan = held(HOUR);
        let mut now = NOW + HOUR / 5 * 4;
        for pause in [1, 2, 4, 8, 16, 32, 60, 60] {
            assert_eq!(plan.next(now, 0), Next::UseAndRenew);
            plan.failed(now, 0);
            assert_eq!(plan.next(now + pause * 1000 - 1, 0), Next::Use);
            now += pause * 1000;
        }
        let over = NOW + HOUR;
        assert_eq!(plan.next(over, 0), Next::Renew);
        plan.failed(over, 0);
        assert_eq!(plan.next(over + 4_999, 0), Next::Refuse, "no storm");
        assert_eq!(plan.next(over + 5_000, 0), Next::Renew, "and no long wait");
        plan.renewed(Life::taken(over, Some(over + HOUR), None, 0), false);
        assert_eq!(plan.next(over, 0), Next::Use);
    }

    #[test]
    fn a_clock_that_jumps_neither_kills_nor_immortalises() {
        let mut plan = held(HOUR);
        assert_eq!(plan.next(NOW - 10 * HOUR, 0), Next::UseAndRenew, "set back: how old it is nobody knows");
        assert_eq!(plan.next(NOW + 10 * HOUR, 0), Next::Renew, "set forward, or woken from sleep");
        plan.failed(NOW + HOUR, 0);
        assert_eq!(plan.next(NOW + 2, 0), Next::Use, "a pause of the future does not hold");
        assert_eq!(plan.next(NOW - 5, 0), Next::UseAndRenew);
    }

    #[test]
    fn it_ends_by_the_clock_of_the_server() {
        let plan = held(HOUR);
        let ten_minutes = 600_000_i64;
        assert_eq!(plan.next(NOW + HOUR - 600_000, ten_minutes), Next::Renew, "ours is behind");
        assert_eq!(plan.next(NOW + HOUR, -ten_minutes), Next::UseAndRenew, "ours is ahead");
    }

    #[test]
    fn an_end_by_our_own_clock_is_judged_by_no_other() {
        for skew in [-5_000_000, -600_000, 0, 600_000, 5_000_000] {
            let mut plan = Plan::default();
            plan.renewed(Life::by_our_clock(NOW, Some(NOW + HOUR), None), false);
            assert_eq!(plan.next(NOW + HOUR / 5 * 4 - 1, skew), Next::Use, "{skew}");
            assert_eq!(plan.next(NOW + HOUR / 5 * 4, skew), Next::UseAndRenew, "{skew}");
            assert_eq!(plan.next(NOW + HOUR, skew), Next::Renew, "{skew}");
        }
    }

    #[test]
    fn one_that_seems_to_be_over_when_it_comes_is_tried_all_the_same() {
        let mut plan = Plan::default();
        plan.renewed(Life::taken(NOW, Some(NOW - HOUR), Some(HOUR), 0), false);
        assert_eq!(plan.next(NOW, 0), Next::Use);
        assert_eq!(plan.next(NOW + DOUBTFUL, 0), Next::Renew);
        plan.renewed(Life::taken(NOW, Some(NOW - HOUR), None, 0), true);
        assert_eq!(plan.next(NOW + DOUBTFUL_WITHOUT, 0), Next::Renew);
    }

    #[test]
    fn the_same_one_again_is_not_asked_for_in_a_loop() {
        let mut plan = held(HOUR);
        let late = NOW + HOUR - 1_500;
        plan.renewed(Life::taken(late, Some(NOW + HOUR), None, 0), true);
        assert_eq!(plan.next(late + 800, 0), Next::Use);
    }

    #[test]
    fn a_server_that_refuses_for_ever_causes_one_renewal_and_then_rare_ones() {
        let mut plan = held(HOUR);
        let mut renewals = 0;
        for second in 0..3600 {
            if plan.is_worth_renewing(NOW + second * 1000) {
                renewals += 1;
            }
        }
        assert!((2..=20).contains(&renewals), "{renewals}");
        let now = NOW + 2 * HOUR;
        assert!(plan.is_worth_renewing(now));
        plan.accepted();
        assert!(!plan.is_worth_renewing(now + 999), "not at every request");
        assert!(plan.is_worth_renewing(now + 1_000), "after a yes, a no is news");
        assert!(!plan.is_worth_renewing(now + 10_999), "and then it is not");
    }

    proptest! {
        #[test]
        fn there_is_never_less_than_a_minute_left_without_a_renewal(life in 120_000_u64..100_000_000, at in 0_u64..100_000_000) {
            let plan = held(life);
            prop_assume!(at < life);
            if life - at <= AHEAD {
                prop_assert_eq!(plan.next(NOW + at, 0), Next::UseAndRenew);
            }
        }

        #[test]
        fn no_time_is_too_strange(now in any::<u64>(), skew in any::<i64>(), got in 0_u64..u64::MAX / 2, ends in any::<Option<u64>>()) {
            let mut plan = Plan::default();
            plan.renewed(Life::taken(got, ends, None, skew), true);
            let _ = plan.next(now, skew);
            plan.failed(now, skew);
            let _ = (plan.is_worth_renewing(now), plan.next(now, skew));
        }
    }
}
