//! Does a name match a glob?
//!
//! `*` stands for any number of characters, `/` among them, and `?` for one. `[*]` and `[?]` are the characters
//! themselves; all else stands for itself. Letters are compared as they are.
//!
//! Written by hand, since the crates mean something else (`fast-glob`: `*` ends at a `/`; both it and `globset`: `[a-c]`
//! and `{a,b}`), and a pattern must stay one shared text: a store may hold a million of them.

use std::fmt::Write as _;

/// The most `*` and `?` of a glob: each one costs time, in every decision.
pub const MOST_WILDCARDS: usize = 32;

/// Whether `text` has any sign that stands for others.
#[must_use]
pub fn is_wild(text: &str) -> bool {
    signs(text).any(|sign| !matches!(sign, Sign::Letter(_)))
}

/// How many signs stand for others.
#[must_use]
pub fn wildcards(text: &str) -> usize {
    signs(text).filter(|sign| !matches!(sign, Sign::Letter(_))).count()
}

/// The text that a glob without any wildcard stands for.
#[must_use]
pub fn plain(glob: &str) -> String {
    signs(glob)
        .filter_map(|sign| match sign {
            Sign::Letter(letter) => Some(letter),
            Sign::Any | Sign::One => None,
        })
        .collect()
}

/// The glob that stands for `text` alone.
#[must_use]
pub fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            // Writing to a string does not fail.
            '*' | '?' => drop(write!(out, "[{letter}]")),
            _ => out.push(letter),
        }
    }
    out
}

/// The one spelling of a glob: of stars that follow each other one is left.
#[must_use]
pub fn canonical(glob: &str) -> String {
    let mut left: Vec<Sign> = signs(glob).collect();
    left.dedup_by(|next, before| (*next, *before) == (Sign::Any, Sign::Any));
    let mut out = String::with_capacity(glob.len());
    for (at, sign) in left.iter().enumerate() {
        let in_brackets =
            || at > 0 && left[at - 1] == Sign::Letter('[') && left.get(at + 1) == Some(&Sign::Letter(']'));
        match sign {
            // One star alone would be read as the letter.
            Sign::Any if in_brackets() => out.push_str("**"),
            Sign::Any => out.push('*'),
            Sign::One => out.push('?'),
            Sign::Letter(letter @ ('*' | '?')) => drop(write!(out, "[{letter}]")),
            Sign::Letter(letter) => out.push(*letter),
        }
    }
    out
}

/// Whether `name` matches `glob`.
///
/// Only the last `*` is ever tried again: what stood before it has matched as early as it could, and an earlier one could
/// give nothing that a later one does not. So the time is bounded by the product of the two lengths (300 bytes and 500),
/// whatever the glob is.
#[must_use]
pub fn matches(glob: &str, name: &str) -> bool {
    let (mut glob, mut name) = (glob, name);
    // What follows the last star, and where in the name it was tried last.
    let mut again: Option<(&str, &str)> = None;
    loop {
        match first(glob) {
            Some((Sign::Any, "")) => return true,
            Some((Sign::Any, rest)) => {
                again = Some((rest, name));
                glob = rest;
                continue;
            }
            Some((sign, rest)) => {
                let mut letters = name.chars();
                if let Some(letter) = letters.next()
                    && (sign == Sign::One || sign == Sign::Letter(letter))
                {
                    (glob, name) = (rest, letters.as_str());
                    continue;
                }
            }
            None if name.is_empty() => return true,
            None => {}
        }
        let Some((rest, tried)) = again else { return false };
        let mut letters = tried.chars();
        if letters.next().is_none() {
            return false;
        }
        again = Some((rest, letters.as_str()));
        (glob, name) = (rest, letters.as_str());
    }
}

/// One sign of a glob.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sign {
    Any,
    One,
    Letter(char),
}

/// The first sign, and what follows it.
fn first(glob: &str) -> Option<(Sign, &str)> {
    if let Some(rest) = glob.strip_prefix("[*]") {
        return Some((Sign::Letter('*'), rest));
    }
    if let Some(rest) = glob.strip_prefix("[?]") {
        return Some((Sign::Letter('?'), rest));
    }
    let mut letters = glob.chars();
    let sign = match letters.next()? {
        '*' => Sign::Any,
        '?' => Sign::One,
        letter => Sign::Letter(letter),
    };
    Some((sign, letters.as_str()))
}

fn signs(glob: &str) -> impl Iterator<Item = Sign> + '_ {
    let mut rest = glob;
    std::iter::from_fn(move || {
        let (sign, after) = first(rest)?;
        rest = after;
        Some(sign)
    })
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use proptest::prelude::*;

    use super::*;

    /// By the definition, word for word; slow.
    fn by_definition(glob: &[Sign], name: &[char]) -> bool {
        match glob.split_first() {
            None => name.is_empty(),
            Some((Sign::Any, rest)) => (0..=name.len()).any(|skip| by_definition(rest, &name[skip..])),
            Some((sign, rest)) => name.split_first().is_some_and(|(letter, after)| {
                (*sign == Sign::One || *sign == Sign::Letter(*letter)) && by_definition(rest, after)
            }),
        }
    }

    #[test]
    fn stars_and_question_marks_stand_for_letters_and_slashes() {
        for (glob, name, same) in [
            ("team-?/*-prod", "team-a/x/y-prod", true),
            ("team-?/*-prod", "team-ab/x-prod", false),
            ("team-?/*-prod", "team-a/x-prod2", false),
            ("*a*b*", "xxaxxbxx", true),
            ("*a*b*", "xxbxxaxx", false),
            ("?", "ä", true),
            ("?", "", false),
            ("?*", "", false),
            ("*", "", true),
            ("", "", true),
            ("", "a", false),
            ("Team-*", "team-a", false),
            ("what[?]", "what?", true),
            ("what[?]", "whatx", false),
            ("[*]*", "*x", true),
            ("[[?]]", "[?]", true),
            ("[a]", "[a]", true),
            ("[a]", "a", false),
            ("{a,b}", "a", false),
            (r"\*", r"\x", true),
        ] {
            assert_eq!(matches(glob, name), same, "{glob} {name}");
        }
    }

    #[test]
    fn many_stars_cost_no_more_than_the_product_of_the_lengths() {
        let glob = "*a".repeat(150) + "b";
        let name = "a".repeat(500);
        let begun = Instant::now();
        assert!(!matches(&glob, &name));
        // 2^150 ways to part the name: this would not end. What it takes is below a millisecond.
        assert!(begun.elapsed() < Duration::from_secs(5));
    }

    proptest! {
        #[test]
        fn it_matches_what_the_definition_matches(glob in "[ab*?\\[\\]]{0,8}", name in "[ab*?\\[\\]]{0,8}") {
            let signs: Vec<Sign> = signs(&glob).collect();
            let letters: Vec<char> = name.chars().collect();
            prop_assert_eq!(matches(&glob, &name), by_definition(&signs, &letters));
        }

        #[test]
        fn a_glob_means_the_same_in_its_one_spelling(glob in "[ab*?\\[\\]]{0,8}", name in "[ab*?\\[\\]]{0,8}") {
            let one = canonical(&glob);
            prop_assert_eq!(&one, &canonical(&one));
            prop_assert_eq!(matches(&glob, &name), matches(&one, &name));
        }

        #[test]
        fn a_quoted_text_stands_for_itself_alone(text in "[ab*?\\[\\]ä/]{0,8}", other in "[ab*?\\[\\]ä/]{0,8}") {
            let glob = quoted(&text);
            prop_assert!(!is_wild(&glob));
            prop_assert_eq!(plain(&glob), text.as_str());
            prop_assert_eq!(matches(&glob, &other), text == other);
        }
    }
}
