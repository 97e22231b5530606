//! Which versions of MLflow are there, and which of them do we know?

use std::fmt;
use std::str::FromStr;

/// The versions whose routes and fields were compared with the table, oldest first. `tests/fixtures/capture.py` writes the
/// file.
const COMPARED: &str = include_str!("versions.txt");

/// A version of MLflow: major, minor and patch. What Python writes after these (`rc1`, `.dev0`) is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(pub u16, pub u16, pub u16);

/// A text that is no version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is not a version")]
pub struct NoVersion;

impl FromStr for Version {
    type Err = NoVersion;

    fn from_str(text: &str) -> Result<Self, NoVersion> {
        let text = text.trim();
        let mut parts = text.splitn(3, '.');
        let mut number = || {
            let part = parts.next()?;
            let end = part.find(|next: char| !next.is_ascii_digit()).unwrap_or(part.len());
            part[..end].parse::<u16>().ok()
        };
        match (number(), number(), number()) {
            (Some(major), Some(minor), Some(patch)) if text.len() <= 32 => Ok(Self(major, minor, patch)),
            _ => Err(NoVersion),
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(major, minor, patch) = self;
        write!(f, "{major}.{minor}.{patch}")
    }
}

/// The versions that were compared, oldest first.
pub fn compared() -> impl Iterator<Item = Version> {
    COMPARED.lines().filter_map(|line| line.parse().ok())
}

/// How well we know a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Its routes were compared, or those of another patch of the same minor version.
    Supported,
    /// Newer than all that were compared: what it shares with them works, what it has anew is refused.
    Newer,
    /// Older than the oldest, or a minor version between those that were compared. It may lack what we ask of it.
    Unsupported,
}

impl Version {
    /// How well this version is known.
    #[must_use]
    pub fn standing(self) -> Standing {
        // Patches bring no routes. Of the oldest line the very last patch is meant.
        let older = compared().next().is_none_or(|oldest| self < oldest);
        if !older && compared().any(|other| (other.0, other.1) == (self.0, self.1)) {
            return Standing::Supported;
        }
        if compared().last().is_some_and(|newest| self > newest) { Standing::Newer } else { Standing::Unsupported }
    }

    /// What an operator should know of it, in a sentence that goes on after the version.
    #[must_use]
    pub fn remark(self) -> Option<String> {
        let (first, last) = (compared().next()?, compared().last()?);
        match self.standing() {
            Standing::Supported => None,
            Standing::Newer => Some(format!(
                "newer than {last}, the last whose routes were compared with our table: what it shares with that works, \
                 what it has anew is refused; `trackgate doctor` lists it"
            )),
            Standing::Unsupported => Some(format!(
                "not supported (supported: {first}, and 3.1 to {}.{}): some calls may be refused or fail",
                last.0, last.1
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_as_python_writes_them() {
        assert_eq!("3.17.2".parse(), Ok(Version(3, 17, 2)));
        assert_eq!("3.18.0rc1\n".parse(), Ok(Version(3, 18, 0)));
        assert_eq!("3.18.0.dev0".parse(), Ok(Version(3, 18, 0)));
        for text in ["", "3", "3.17", "x.y.z", "<html>", "3..1", "99999.1.1", "3.17.2 and a long story of many words"] {
            assert_eq!(text.parse::<Version>(), Err(NoVersion), "{text:?}");
        }
    }

    #[test]
    fn every_line_of_the_list_is_a_version() {
        assert_eq!(compared().count(), COMPARED.lines().count());
        assert!(compared().is_sorted());
    }

    #[test]
    fn a_patch_of_a_compared_minor_version_is_supported() {
        let newest = compared().last().unwrap();
        for version in [Version(2, 22, 5), Version(3, 1, 4), Version(3, 1, 0), Version(3, 17, 9), newest] {
            assert_eq!(version.standing(), Standing::Supported, "{version}");
            assert_eq!(version.remark(), None);
        }
    }

    #[test]
    fn what_is_newer_is_told_apart_from_what_is_too_old() {
        let newest = compared().last().unwrap();
        for version in [Version(newest.0, newest.1 + 1, 0), Version(newest.0 + 1, 0, 0)] {
            assert_eq!(version.standing(), Standing::Newer, "{version}");
            assert!(version.remark().unwrap().starts_with("newer than"));
        }
        for version in [Version(1, 30, 1), Version(2, 21, 0), Version(2, 22, 4), Version(3, 0, 1)] {
            assert_eq!(version.standing(), Standing::Unsupported, "{version}");
            assert!(version.remark().unwrap().starts_with("not supported"));
        }
    }
}
