//! Which regular expressions are no more than a beginning, or one name?

use std::sync::Arc;

use crate::access::grant::Pattern;

/// What a regular expression matches from its start on (Python's `re.match`), as mlflow-oidc-auth 11 does
/// (`utils/grant_context.py`, `_pattern_matches`). `None`: more, or less, than a pattern of ours.
pub(super) fn read(regex: &str) -> Option<Pattern> {
    let mut literal = String::new();
    let mut letters = regex.strip_prefix('^').unwrap_or(regex).chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => {
                let next = letters.next()?;
                // Letters and digits behind a backslash are classes and the like.
                if !next.is_ascii_punctuation() {
                    return None;
                }
                literal.push(next);
            }
            '$' => return letters.next().is_none().then(|| Pattern::Exactly(Arc::from(literal))),
            '.' => {
                let rest: String = letters.collect();
                return matches!(rest.as_str(), "*" | "*$" | "*?").then(|| Pattern::Prefix(Arc::from(literal)));
            }
            '^' | '*' | '+' | '?' | '{' | '}' | '[' | ']' | '|' | '(' | ')' => return None,
            letter => {
                // What may be repeated or left out is no part of the beginning.
                if matches!(letters.peek(), Some('*' | '+' | '?' | '{')) {
                    return None;
                }
                literal.push(letter);
            }
        }
    }
    Some(Pattern::Prefix(Arc::from(literal)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beginnings_and_names_are_read_and_nothing_else() {
        let prefix = |text: &str| Some(Pattern::Prefix(Arc::from(text)));
        let exact = |text: &str| Some(Pattern::Exactly(Arc::from(text)));
        for (regex, wanted) in [
            (".*", prefix("")),
            ("", prefix("")),
            ("^.*$", prefix("")),
            ("team-a/.*", prefix("team-a/")),
            ("^team-a", prefix("team-a")),
            (r"^a\.b\-c.*$", prefix("a.b-c")),
            ("^exact$", exact("exact")),
            ("exact$", exact("exact")),
            ("a.b", None),
            ("a.+", None),
            ("team-[ab].*", None),
            ("(a|b)", None),
            ("a|b", None),
            ("(?i)a", None),
            ("ab*", None),
            ("ab?c", None),
            ("ab{2}", None),
            (r"\d+", None),
            (r"a\", None),
            ("a$b", None),
            ("a.*b", None),
            (r"a\.*", None),
        ] {
            assert_eq!(read(regex), wanted, "{regex}");
        }
    }
}
