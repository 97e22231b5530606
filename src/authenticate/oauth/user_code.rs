//! Which code does a person type?
//!
//! Eight of twenty letters, without vowels, so that none is a word, and without those that look alike (RFC 8628 section
//! 6.1): 34 bits, which is why wrong ones are counted. However it is typed, with or without its hyphen, in either case, it
//! is the same.

use std::fmt;

use aws_lc_rs::rand;

use crate::authenticate::session::NoRandomness;

const LETTERS: &[u8; 20] = b"BCDFGHJKLMNPQRSTVWXZ";
const LENGTH: usize = 8;

/// A code that has the right form, without its hyphen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserCode(String);

impl UserCode {
    /// Draws one.
    ///
    /// # Errors
    /// [`NoRandomness`] when the system has none.
    pub fn make() -> Result<Self, NoRandomness> {
        let mut code = String::with_capacity(LENGTH);
        while code.len() < LENGTH {
            let mut bytes = [0_u8; 16];
            rand::fill(&mut bytes).map_err(|_| NoRandomness)?;
            // What lies above the greatest multiple of 20 would make the first letters likelier.
            let letters = bytes.iter().filter(|byte| **byte < 240).take(LENGTH - code.len());
            code.extend(letters.map(|byte| char::from(LETTERS[usize::from(byte % 20)])));
        }
        Ok(Self(code))
    }

    /// Reads what somebody typed; `None` where it cannot be one.
    #[must_use]
    pub fn read(typed: &str) -> Option<Self> {
        if typed.len() > 4 * LENGTH {
            return None;
        }
        let code: String =
            typed.chars().filter(char::is_ascii_alphanumeric).map(|sign| sign.to_ascii_uppercase()).collect();
        let strange = typed.chars().any(|sign| !(sign.is_ascii_alphanumeric() || sign == '-' || sign.is_whitespace()));
        let good = code.len() == LENGTH && code.bytes().all(|byte| LETTERS.contains(&byte));
        (good && !strange).then_some(Self(code))
    }

    /// As the store keeps it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for UserCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (first, second) = self.0.split_at(LENGTH / 2);
        write!(f, "{first}-{second}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_read_in_either_case_with_hyphen_or_without() {
        let code = UserCode::make().unwrap();
        let shown = code.to_string();
        assert_eq!((shown.len(), &shown[4..5]), (9, "-"));
        assert_ne!(code, UserCode::make().unwrap());
        for typed in [
            shown.clone(),
            shown.to_lowercase(),
            code.as_str().to_owned(),
            format!("  {} {} ", &shown[..4], &shown[5..]),
            shown.replace('-', " - "),
        ] {
            assert_eq!(UserCode::read(&typed).as_ref(), Some(&code), "{typed}");
        }
    }

    #[test]
    fn nothing_else_is_one() {
        for typed in
            ["", "-", "BCDF", "BCDF-GHJKL", "BCDF-GHJA", "BCDF-GHJ1", "BCDF/GHJK", "ｂCDF-GHJK", &"B".repeat(99)]
        {
            assert_eq!(UserCode::read(typed), None, "{typed}");
        }
    }
}
