//! Until when?
//!
//! Forms of ours ask for how long, in words that need no script: a choice of lengths, or a moment in UTC.

use time::format_description::BorrowedFormatItem;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;
use time::{OffsetDateTime, PrimitiveDateTime};

use crate::policy::fields::Fields;

/// The lengths to choose from: what the form sends, what it shows, hours.
pub(super) const LENGTHS: [(&str, &str, u64); 6] = [
    ("1h", "1 hour", 1),
    ("1d", "1 day", 24),
    ("7d", "7 days", 7 * 24),
    ("30d", "30 days", 30 * 24),
    ("90d", "90 days", 90 * 24),
    ("365d", "1 year", 365 * 24),
];

const INPUT: &[BorrowedFormatItem<'_>] = format_description!("[year]-[month]-[day]T[hour]:[minute]");
const SHOWN: &[BorrowedFormatItem<'_>] = format_description!("[year]-[month]-[day] [hour]:[minute] UTC");
const MACHINE: &[BorrowedFormatItem<'_>] = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]Z");

/// What cannot be read as an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("Say until when: choose a length, or write a moment in UTC such as 2030-01-31T12:00.")]
pub struct BadTerm;

/// The end that a form asks for; `None`: for good.
///
/// # Errors
/// [`BadTerm`].
pub(super) fn end(fields: &Fields, now: u64) -> Result<Option<u64>, BadTerm> {
    read(fields.one("lasts").unwrap_or_default(), fields.one("until").unwrap_or_default(), now)
}

fn read(lasts: &str, until: &str, now: u64) -> Result<Option<u64>, BadTerm> {
    if lasts == "until" || (lasts.is_empty() && !until.is_empty()) {
        let moment = PrimitiveDateTime::parse(until, INPUT).map_err(|_| BadTerm)?.assume_utc();
        return u64::try_from(moment.unix_timestamp_nanos() / 1_000_000).map(Some).map_err(|_| BadTerm);
    }
    if matches!(lasts, "" | "good") {
        return Ok(None);
    }
    let length = LENGTHS.iter().find(|(word, ..)| *word == lasts).ok_or(BadTerm)?;
    Ok(Some(now.saturating_add(length.2 * 60 * 60 * 1000)))
}

/// A moment as programs write it: milliseconds since the epoch, or RFC 3339.
pub(super) fn time_of(text: &str) -> Option<u64> {
    if let Ok(millis) = text.parse() {
        return Some(millis);
    }
    let moment = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    u64::try_from(moment.unix_timestamp_nanos() / 1_000_000).ok()
}

/// A moment, for people and for programs.
pub(super) struct Moment {
    pub(super) shown: String,
    pub(super) machine: String,
    /// As the input for a moment takes it.
    pub(super) input: String,
}

/// A time in milliseconds since the epoch.
pub(super) fn moment(millis: u64) -> Moment {
    let time =
        OffsetDateTime::from_unix_timestamp_nanos(i128::from(millis) * 1_000_000).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let write = |format| time.format(format).unwrap_or_default();
    Moment { shown: write(SHOWN), machine: write(MACHINE), input: write(INPUT) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_says_a_length_a_moment_or_nothing() {
        assert_eq!(read("", "", 5), Ok(None));
        assert_eq!(read("good", "2030-01-01T00:00", 5), Ok(None));
        assert_eq!(read("1h", "", 5), Ok(Some(3_600_005)));
        assert_eq!(read("until", "1970-01-02T00:00", 5), Ok(Some(86_400_000)));
        assert_eq!(read("", "1970-01-02T00:00", 5), Ok(Some(86_400_000)));
        for (lasts, until) in [
            ("2h", ""),
            ("until", ""),
            ("until", "tomorrow"),
            ("until", "2030-02-30T00:00"),
            ("until", "1960-01-01T00:00"),
        ] {
            assert_eq!(read(lasts, until, 5), Err(BadTerm), "{lasts} {until}");
        }
        assert_eq!(moment(86_400_000).shown, "1970-01-02 00:00 UTC");
        assert_eq!(read("until", &moment(86_400_000).input, 5), Ok(Some(86_400_000)));
        assert_eq!(moment(u64::MAX).shown, "1970-01-01 00:00 UTC");
    }
}
