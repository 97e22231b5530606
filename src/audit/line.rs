//! How is a record written as one line of JSON?
//!
//! A record is written for every request, so its keys, which are known, are not searched for what must be escaped, and
//! nothing is formatted twice. Whatever is not known is escaped by `serde_json`.

use std::fmt::{Display, Write as _};
use std::time::SystemTime;

use time::OffsetDateTime;

use crate::telemetry::tame;

/// One JSON object in the making, at the end of `out`.
pub(super) struct Line<'a> {
    out: &'a mut Vec<u8>,
    /// Where something is formatted before it is escaped.
    scratch: String,
    empty: bool,
}

impl<'a> Line<'a> {
    pub(super) fn begin(out: &'a mut Vec<u8>) -> Self {
        out.push(b'{');
        Self { out, scratch: String::new(), empty: true }
    }

    pub(super) fn end(self) {
        self.out.extend_from_slice(b"}\n");
    }

    /// `key` is one of ours: it needs no escaping.
    fn key(&mut self, key: &'static str) {
        debug_assert!(is_plain(key));
        if !std::mem::take(&mut self.empty) {
            self.out.push(b',');
        }
        self.out.push(b'"');
        self.out.extend_from_slice(key.as_bytes());
        self.out.extend_from_slice(b"\":");
    }

    pub(super) fn text(&mut self, key: &'static str, text: &str) {
        self.key(key);
        quote(self.out, text);
    }

    pub(super) fn number(&mut self, key: &'static str, number: u64) {
        self.key(key);
        digits(self.out, number);
    }

    pub(super) fn truth(&mut self, key: &'static str, truth: bool) {
        self.key(key);
        self.out.extend_from_slice(if truth { b"true" } else { b"false" });
    }

    /// What something looks like as text.
    pub(super) fn shown(&mut self, key: &'static str, thing: &impl Display) {
        self.key(key);
        self.quote_shown(thing);
    }

    /// A list of texts.
    pub(super) fn list<T: Display>(&mut self, key: &'static str, things: impl Iterator<Item = T>) {
        self.key(key);
        self.out.push(b'[');
        for (place, thing) in things.enumerate() {
            if place > 0 {
                self.out.push(b',');
            }
            self.quote_shown(&thing);
        }
        self.out.push(b']');
    }

    /// A list of lists of texts.
    pub(super) fn lists<T: AsRef<str>>(&mut self, key: &'static str, lists: &[Vec<T>]) {
        self.key(key);
        self.out.push(b'[');
        for (place, list) in lists.iter().enumerate() {
            self.out.extend_from_slice(if place > 0 { b",[" } else { b"[" });
            for (place, text) in list.iter().enumerate() {
                if place > 0 {
                    self.out.push(b',');
                }
                quote(self.out, text.as_ref());
            }
            self.out.push(b']');
        }
        self.out.push(b']');
    }

    /// RFC 3339, in UTC, to the millisecond.
    pub(super) fn time(&mut self, key: &'static str, time: SystemTime) {
        self.key(key);
        let time = OffsetDateTime::from(time);
        self.out.push(b'"');
        padded(self.out, u64::try_from(time.year()).unwrap_or_default(), 4);
        for (mark, part) in [
            (b'-', u8::from(time.month())),
            (b'-', time.day()),
            (b'T', time.hour()),
            (b':', time.minute()),
            (b':', time.second()),
        ] {
            self.out.push(mark);
            padded(self.out, part.into(), 2);
        }
        self.out.push(b'.');
        padded(self.out, time.millisecond().into(), 3);
        self.out.extend_from_slice(b"Z\"");
    }

    fn quote_shown(&mut self, thing: &impl Display) {
        self.scratch.clear();
        // Writing to a string fails only if the thing itself says so; then what is there stands.
        let _ = write!(self.scratch, "{thing}");
        quote(self.out, &self.scratch);
    }
}

/// Whether a text stands between quotes as it is (RFC 8259 section 7). Counted, not searched, so that the compiler can
/// look at many bytes at once. 0xC2 and 0xE2 are what control characters and ends of lines beyond ASCII begin with, and
/// other letters: then it is looked at more closely.
fn is_plain(text: &str) -> bool {
    text.bytes().filter(|byte| *byte < b' ' || matches!(byte, b'"' | b'\\' | 0x7f | 0xc2 | 0xe2)).count() == 0
}

fn quote(out: &mut Vec<u8>, text: &str) {
    if is_plain(text) {
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
        return;
    }
    // A text can always be written to memory; should it not, a gap is better than half of it.
    let quoted = serde_json::to_string(text).unwrap_or_else(|_| "null".to_owned());
    out.extend_from_slice(tame(&quoted).as_bytes());
}

fn digits(out: &mut Vec<u8>, number: u64) {
    let mut width = 1;
    let mut rest = number / 10;
    while rest > 0 {
        width += 1;
        rest /= 10;
    }
    padded(out, number, width);
}

/// The last `width` decimal digits.
fn padded(out: &mut Vec<u8>, mut number: u64, width: usize) {
    let start = out.len();
    out.resize(start + width, b'0');
    for digit in out[start..].iter_mut().rev() {
        *digit = b'0' + u8::try_from(number % 10).unwrap_or_default();
        number /= 10;
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    fn written(fill: impl FnOnce(&mut Line<'_>)) -> String {
        let mut out = Vec::new();
        let mut line = Line::begin(&mut out);
        fill(&mut line);
        line.end();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn every_text_comes_back_as_it_was() {
        let all: String = (0..0x250).filter_map(char::from_u32).collect();
        let texts =
            ["", "plain", "\"", "\\", "\n", "\u{7f}", "\u{1b}[31m", "Zürich ✓ 𝄞", "a\u{2028}b", "\u{9b}2J", &all];
        for text in texts {
            let line = written(|line| {
                line.text("a", text);
                line.shown("b", &text);
                line.list("c", [text, text].into_iter());
                line.lists("d", &[vec![text], vec![], vec![text, text]]);
            });
            let value: serde_json::Value = serde_json::from_str(&line).unwrap();
            assert_eq!(
                value,
                serde_json::json!({ "a": text, "b": text, "c": [text, text], "d": [[text], [], [text, text]] })
            );
            assert_eq!(line.matches('\n').count(), 1);
            // A terminal obeys U+009B as it does ESC [ (ECMA-48 section 5.3).
            let raw = line.trim_end().chars().find(|sign| sign.is_control() || matches!(sign, '\u{2028}' | '\u{2029}'));
            assert_eq!(raw, None, "{line:?}");
        }
    }

    #[test]
    fn numbers_and_truths_are_json() {
        for number in [0, 7, 10, 99, 100, 12_345, u64::MAX] {
            assert_eq!(
                written(|line| {
                    line.number("n", number);
                    line.truth("t", true);
                    line.truth("f", false);
                }),
                format!("{{\"n\":{number},\"t\":true,\"f\":false}}\n")
            );
        }
    }

    #[test]
    fn a_time_is_rfc_3339_with_milliseconds() {
        for (millis, wanted) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (1_760_000_000_020, "2025-10-09T08:53:20.020Z"),
            (951_782_399_999, "2000-02-28T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
        ] {
            let line = written(|line| line.time("time", UNIX_EPOCH + Duration::from_millis(millis)));
            assert_eq!(line, format!("{{\"time\":\"{wanted}\"}}\n"));
        }
    }
}
