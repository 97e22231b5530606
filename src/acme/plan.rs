//! When is a certificate renewed, and how long does one wait after a failure? (pure)

use std::time::{Duration, SystemTime};

use crate::certificate::Facts;

/// What an authority suggests (RFC 9773 section 4.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) start: SystemTime,
    pub(super) end: SystemTime,
}

/// When a certificate is to be renewed.
///
/// `spread`, from 0 to 1, says where in a span of time: one that differs between certificates keeps all the world from asking
/// at once. What the file says (`before`) can be brought forward by the authority, not put off.
pub(super) fn renew_at(facts: &Facts, before: Option<Duration>, window: Option<Window>, spread: f64) -> SystemTime {
    let life = facts.life();
    let ours = match before {
        // Longer than half a life, and each certificate would be the last but one.
        Some(before) => facts.to.checked_sub(before).unwrap_or(facts.from).max(facts.from + life / 2),
        None => facts.from + life * 2 / 3 + (life / 100).mul_f64(spread),
    };
    let Some(window) = window else { return ours };
    let span = window.end.duration_since(window.start).unwrap_or_default();
    let theirs = window.start.checked_add(span.mul_f64(spread)).unwrap_or(window.start);
    match before {
        Some(_) => ours.min(theirs),
        // However late they suggest: some room is left for failures.
        None => theirs.min(facts.from + life * 9 / 10),
    }
}

/// How long to wait after so many failures in a row; `luck`, from 0 to 1, makes it up to a quarter more or less.
pub(super) fn wait(failures: u32, first: Duration, most: Duration, luck: f64) -> Duration {
    let doubled = first.saturating_mul(1_u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX));
    doubled.min(most).mul_f64(0.75 + luck / 2.0)
}

/// How bad a failure is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Alarm {
    /// There is time.
    Warn,
    /// The end is near: less than a sixth of the certificate's life, or than three days, is left.
    Soon,
    /// Nothing valid can be shown.
    Out,
}

/// How bad it is that there is no newer certificate than this one.
pub(super) fn alarm(facts: Option<&Facts>, now: SystemTime) -> Alarm {
    let Some(facts) = facts else { return Alarm::Out };
    match facts.to.duration_since(now) {
        Err(_) => Alarm::Out,
        Ok(left) if left < facts.life() / 6 || left < Duration::from_hours(72).min(facts.life() / 2) => Alarm::Soon,
        Ok(_) => Alarm::Warn,
    }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    const DAY: Duration = Duration::from_hours(24);

    fn day(number: u32) -> SystemTime {
        UNIX_EPOCH + DAY * number
    }

    fn facts(from: u32, to: u32) -> Facts {
        Facts { serial: vec![1], authority: None, from: day(from), to: day(to), whole: Vec::new().into() }
    }

    #[test]
    fn a_certificate_is_renewed_after_two_thirds_of_its_life() {
        assert_eq!(renew_at(&facts(100, 190), None, None, 0.0), day(160));
        assert_eq!(renew_at(&facts(100, 106), None, None, 0.0), day(104));
        let latest = renew_at(&facts(100, 190), None, None, 1.0);
        assert!(latest > day(160) && latest < day(161));
    }

    #[test]
    fn the_file_says_how_long_before_the_end_but_never_before_half_of_the_life() {
        assert_eq!(renew_at(&facts(100, 190), Some(DAY * 10), None, 0.5), day(180));
        assert_eq!(renew_at(&facts(100, 106), Some(DAY * 30), None, 0.5), day(103));
        assert_eq!(renew_at(&facts(100, 106), Some(Duration::MAX), None, 0.5), day(103));
    }

    #[test]
    fn an_authority_that_will_revoke_brings_the_renewal_forward() {
        let window = |start, end| Some(Window { start: day(start), end: day(end) });
        assert_eq!(renew_at(&facts(100, 190), None, window(110, 112), 0.5), day(111));
        assert_eq!(renew_at(&facts(100, 190), Some(DAY * 10), window(110, 112), 0.5), day(111));
        // Later than the file says is too late; without its word, much later is.
        assert_eq!(renew_at(&facts(100, 190), Some(DAY * 60), window(160, 162), 0.5), day(145));
        assert_eq!(renew_at(&facts(100, 190), None, window(170, 172), 0.5), day(171));
        assert_eq!(renew_at(&facts(100, 190), None, window(300, 302), 0.5), day(181));
        // An end before the start is a moment.
        assert_eq!(renew_at(&facts(100, 190), None, window(112, 110), 0.5), day(112));
    }

    #[test]
    fn each_failure_makes_the_wait_longer_up_to_a_bound() {
        let (first, most) = (Duration::from_mins(5), Duration::from_hours(4));
        let waits: Vec<_> = (1..=8).map(|failures| wait(failures, first, most, 0.5).as_secs() / 60).collect();
        assert_eq!(waits, [5, 10, 20, 40, 80, 160, 240, 240]);
        assert_eq!(wait(u32::MAX, first, most, 0.5), most);
        assert_eq!(wait(1, first, most, 0.0), first * 3 / 4);
        assert_eq!(wait(1, first, most, 1.0), first * 5 / 4);
        // Five failed validations in an hour are what Let's Encrypt bears.
        let mut begun = Duration::ZERO;
        let in_an_hour = (1..).map(|failures| {
            let at = begun;
            begun += wait(failures, first, most, 0.0);
            at
        });
        assert!(in_an_hour.take_while(|at| *at < Duration::from_hours(1)).count() <= 5);
    }

    #[test]
    fn the_alarm_grows_as_the_end_comes_near() {
        let kept = facts(100, 190);
        for (now, expected) in
            [(161, Alarm::Warn), (174, Alarm::Warn), (176, Alarm::Soon), (190, Alarm::Soon), (191, Alarm::Out)]
        {
            assert_eq!(alarm(Some(&kept), day(now)), expected, "{now}");
        }
        assert_eq!(alarm(None, day(1)), Alarm::Out);
        assert_eq!(alarm(Some(&facts(100, 106)), day(104)), Alarm::Soon);
        assert!(Alarm::Warn < Alarm::Soon && Alarm::Soon < Alarm::Out);
    }
}
