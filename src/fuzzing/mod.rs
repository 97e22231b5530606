//! What must hold for every input, however odd?
//!
//! The checks behind the fuzz targets in `fuzz/`: each takes bytes from a stranger and panics when something that must
//! stay true does not. Not part of the program: compiled for the feature `fuzzing` and for tests alone. Every seed in
//! `fuzz/seeds` is checked in the ordinary tests too, so that what a fuzzer once found stays found.

#![allow(clippy::missing_panics_doc, reason = "a check that fails panics: that is what it is for")]

mod fields;
mod graphql;
pub(crate) mod json;
mod otlp;
mod paths;

pub use self::fields::fields;
pub use self::graphql::graphql;
pub use self::otlp::otlp;
pub use self::paths::paths;
pub use crate::answer::fuzzing::answers;
use crate::policy::route::Row;

/// Hands out the parts of an input, one after another; what is used up is zero.
#[derive(Debug)]
pub(crate) struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    pub(crate) fn new(data: &'a [u8]) -> Self {
        Self(data)
    }

    /// The next byte.
    pub(crate) fn byte(&mut self) -> u8 {
        match self.0.split_first() {
            Some((first, rest)) => {
                self.0 = rest;
                *first
            }
            None => 0,
        }
    }

    /// The one that the first line names, or any: tables grow, and a seed must stay with its row.
    pub(crate) fn one_of<T>(&mut self, from: &'a [T], is_called: impl Fn(&T, &str) -> bool) -> &'a T {
        let end = self.0.iter().position(|byte| *byte == b'\n').unwrap_or(self.0.len());
        let (line, rest) = self.0.split_at(end);
        self.0 = rest.get(1..).unwrap_or_default();
        let named = std::str::from_utf8(line).ok().and_then(|name| from.iter().find(|one| is_called(one, name)));
        let any = line.iter().fold(0_usize, |sum, byte| sum.wrapping_mul(31).wrapping_add(usize::from(*byte)));
        named.unwrap_or_else(|| &from[any % from.len()])
    }

    /// Everything that is left.
    pub(crate) fn rest(self) -> &'a [u8] {
        self.0
    }
}

/// Whether the row is called so: `POST SearchRuns`.
pub(crate) fn is_called(row: &Row, name: &str) -> bool {
    name.split_once(' ').is_some_and(|(verb, name)| row.verb.as_str() == verb && row.name == name)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    fn seeds(target: &str, check: fn(&[u8])) {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(target);
        let mut count = 0;
        for file in fs::read_dir(&folder).unwrap() {
            let file = file.unwrap().path();
            check(&fs::read(&file).unwrap());
            count += 1;
        }
        assert!(count > 0, "no seeds in {}", folder.display());
    }

    #[test]
    fn what_fuzzers_found_stays_found() {
        seeds("paths", super::paths);
        seeds("fields", super::fields);
        seeds("graphql", super::graphql);
        seeds("answers", super::answers);
        seeds("otlp", super::otlp);
    }
}
