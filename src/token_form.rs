//! How is a token of our own written?
//!
//! `tgp_` (a person's) or `tgs_` (a service account's), eight letters and digits that name it, `_`, 32 random ones, and six
//! that check all before. `tgl_` and `tgr_` are those of a login: one that lets in, and one that
//! only renews. The short beginning and the check let
//! secret scanners find tokens in what was published by mistake, without asking us; a mistyped one never reaches the store.

use std::borrow::Cow;
use std::ops::Range;

use aws_lc_rs::rand;
use flate2::Crc;
use percent_encoding::percent_decode_str;
use zeroize::Zeroizing;

/// How every token of ours begins.
const BEGINNINGS: [&str; 4] = ["tgp_", "tgs_", "tgl_", "tgr_"];
const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

const BEGINNING: usize = 4;
const NAME: usize = 8;
const SECRET: usize = 32;
const CHECK: usize = 6;
/// How long a token is.
pub const LENGTH: usize = BEGINNING + NAME + 1 + SECRET + CHECK;
const CHECKED: usize = LENGTH - CHECK;

/// A token as it was shown, which has the right form and nothing more.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Written<'a> {
    /// How it begins.
    pub beginning: &'a str,
    /// Its name, which is no secret.
    pub name: &'a str,
    /// All of it.
    pub whole: &'a str,
}

/// Whether it is meant to be one of ours.
#[must_use]
pub fn is_ours(text: &[u8]) -> bool {
    BEGINNINGS.iter().any(|beginning| text.starts_with(beginning.as_bytes()))
}

/// Reads one; `None` where anything of its form is wrong.
#[must_use]
pub fn read(text: &str) -> Option<Written<'_>> {
    let shape = text.len() == LENGTH && shape_at(text.as_bytes());
    if !shape || text.as_bytes()[CHECKED..] != check(&text.as_bytes()[..CHECKED]) {
        return None;
    }
    Some(Written { beginning: &text[..BEGINNING], name: &text[BEGINNING..BEGINNING + NAME], whole: text })
}

/// Makes one.
///
/// # Errors
/// [`NoRandomness`] when the system has none.
pub fn make(beginning: &'static str) -> Result<Zeroizing<String>, NoRandomness> {
    let mut name = String::with_capacity(NAME);
    digits(NAME, &mut name)?;
    make_named(beginning, &name)
}

/// Makes one of this name, which has [the right length](make).
///
/// # Errors
/// As [`make`].
pub fn make_named(beginning: &'static str, name: &str) -> Result<Zeroizing<String>, NoRandomness> {
    let mut text = Zeroizing::new(String::with_capacity(LENGTH));
    text.push_str(beginning);
    text.push_str(name);
    text.push('_');
    digits(SECRET, &mut text)?;
    let check = check(text.as_bytes());
    text.extend(check.map(char::from));
    Ok(text)
}

/// The system gave no random bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the system has no randomness")]
pub struct NoRandomness;

/// Each of the 62 as likely as any other.
fn digits(count: usize, text: &mut String) -> Result<(), NoRandomness> {
    let mut wanted = count;
    while wanted > 0 {
        let mut bytes = Zeroizing::new([0_u8; 64]);
        rand::fill(&mut *bytes).map_err(|_| NoRandomness)?;
        // What lies above the greatest multiple of 62 would make the first digits likelier.
        for byte in bytes.iter().filter(|byte| **byte < 248).take(wanted) {
            text.push(char::from(DIGITS[usize::from(byte % 62)]));
            wanted -= 1;
        }
    }
    Ok(())
}

fn check(text: &[u8]) -> [u8; CHECK] {
    let mut crc = Crc::new();
    crc.update(text);
    let mut rest = crc.sum();
    let mut digits = [b'0'; CHECK];
    for digit in digits.iter_mut().rev() {
        *digit = DIGITS[(rest % 62) as usize];
        rest /= 62;
    }
    digits
}

/// The same text with the check that belongs to it: for tests that guess.
#[cfg(test)]
pub(crate) fn with_check(text: &str) -> String {
    format!("{text}{}", check(text.as_bytes()).map(char::from).iter().collect::<String>())
}

/// Whether something of a token's shape begins here; its check may be wrong.
fn shape_at(text: &[u8]) -> bool {
    let word =
        |from: usize, to: usize| text.get(from..to).is_some_and(|word| word.iter().all(u8::is_ascii_alphanumeric));
    is_ours(text)
        && text.get(BEGINNING + NAME) == Some(&b'_')
        && word(BEGINNING, BEGINNING + NAME)
        && word(BEGINNING + NAME + 1, LENGTH)
}

/// Where something of a token's shape stands in a longer text.
fn find(text: &str) -> Option<Range<usize>> {
    let bytes = text.as_bytes();
    memchr::memmem::find_iter(bytes, b"tg").find(|at| shape_at(&bytes[*at..])).map(|at| at..at + LENGTH)
}

/// Whether a part of an address holds a token, however it is escaped.
#[must_use]
pub fn stands_in(part: &str) -> bool {
    find(part).is_some() || (part.contains('%') && find(&percent_decode_str(part).decode_utf8_lossy()).is_some())
}

/// A path with the secrets of tokens taken out.
#[must_use]
pub fn without_secrets(path: &str) -> Cow<'_, str> {
    if !stands_in(path) {
        return Cow::Borrowed(path);
    }
    let mut text = path.to_owned();
    while let Some(found) = find(&text) {
        text.replace_range(found.start + BEGINNING + NAME..found.end, "...");
    }
    if stands_in(&text) { Cow::Borrowed("/...") } else { Cow::Owned(text) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_token_is_read_as_it_was_made_and_none_is_like_another() {
        let (one, other) = (make("tgp_").unwrap(), make("tgp_").unwrap());
        assert_ne!(one, other);
        let read = read(&one).unwrap();
        assert_eq!((read.beginning, read.name.len(), read.whole.len()), ("tgp_", 8, 51));
        assert_eq!(read.whole, one.as_str());
    }

    #[test]
    fn the_form_is_what_scanners_were_told() {
        // The published pattern and check (docs/tokens.md), by a token that opens nothing.
        let fixed = "tgp_00000000_00000000000000000000000000000000";
        let token = format!("{fixed}{}", String::from_utf8_lossy(&check(fixed.as_bytes())));
        assert_eq!(token, "tgp_00000000_000000000000000000000000000000000wChPH");
        assert!(read(&token).is_some());
    }

    #[test]
    fn nothing_else_is_one() {
        let good = make("tgs_").unwrap();
        for bad in [
            String::new(),
            "tgp_".to_owned(),
            good.replacen("tgs_", "tgx_", 1),
            good.replacen("tgs_", "TGS_", 1),
            good.replacen("tgs_", "tgp_", 1),
            format!("{}x", good.as_str()),
            good[..50].to_owned(),
            format!(" {}", good.as_str()),
            good.to_lowercase(),
            "tgp_ééééé".repeat(4),
        ] {
            assert!(read(&bad).is_none(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn one_wrong_sign_is_noticed(at in 4..LENGTH, sign in "[0-9A-Za-z_]") {
            let good = make("tgp_").unwrap();
            let mut bad = good.to_string();
            bad.replace_range(at..=at, &sign);
            prop_assert_eq!(read(&bad).is_some(), bad == *good);
        }

        #[test]
        fn no_text_is_too_strange(text in "\\PC{0,80}") {
            let _ = (read(&text), stands_in(&text), without_secrets(&text));
        }
    }

    #[test]
    fn tokens_in_addresses_are_found_and_their_secrets_are_taken_out() {
        let token = make("tgp_").unwrap();
        let escaped = token.replace('_', "%5F").replace('a', "%61");
        for part in [
            format!("/api/2.0/{}/x", token.as_str()),
            format!("token={}", token.as_str()),
            format!("a=b&c=Bearer+{}&d", token.as_str()),
            format!("/{escaped}/{}", token.as_str()),
        ] {
            assert!(stands_in(&part), "{part}");
            let clean = without_secrets(&part);
            assert!(!clean.contains(&token[20..]) && !stands_in(&clean), "{clean}");
        }
        assert_eq!(without_secrets(&format!("/a/{}/b", token.as_str())), format!("/a/{}.../b", &token[..12]));
        assert!(stands_in(&format!("/{escaped}")));
        for part in ["/api/2.0/mlflow/runs/get", "run_id=tgp_1", "page_token=tg", "tgp_abcdefgh_", "/%zz%"] {
            assert!(!stands_in(part), "{part}");
            assert_eq!(without_secrets(part), part);
        }
    }
}
