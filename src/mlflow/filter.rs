//! Which values does a search filter compare something with?
//!
//! MLflow's filters (`mlflow/utils/search_utils.py`, 3.17.2) are conditions joined by AND: `[entity.]key comparator value`. Only
//! this is read of them; the server judges the rest.

/// What a filter may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked<'a> {
    /// An attribute, whichever word stands before it: `run_id`, `attributes.run_id`.
    Attribute(&'a str),
    /// An attribute, unless a word before it says that it is something of the user's own: `tags.prompt` is none.
    Plain(&'a str),
    /// A key of tags or of metadata, in full, such as `metadata.mlflow.sourceRun`.
    Key(&'a str),
}

/// Words before a key that is the user's own (`_VALID_IDENTIFIERS` of the searches).
const USERS: [&str; 11] = [
    "tag",
    "tags",
    "metadata",
    "request_metadata",
    "metric",
    "metrics",
    "param",
    "params",
    "parameters",
    "feedback",
    "expectation",
];

impl Asked<'_> {
    /// Whether a name in a filter is this. Cases are one: some databases compare so.
    fn is(self, name: &str) -> bool {
        let name = name.to_ascii_lowercase();
        let last = name.rsplit('.').next().unwrap_or(&name);
        match self {
            Self::Attribute(attribute) => last.eq_ignore_ascii_case(attribute),
            Self::Plain(attribute) => {
                last.eq_ignore_ascii_case(attribute) && !name.split('.').rev().skip(1).any(|word| USERS.contains(&word))
            }
            Self::Key(key) => name.ends_with(&key.to_ascii_lowercase()),
        }
    }
}

/// A piece of a filter.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    /// In single quotes: a value, never a name.
    Value(String),
    /// A word, or something in other quotes: a name, or a value.
    Word(String),
    Sign(char),
}

/// The values that `asked` is compared with, by `=` or `IN`; `None` where it is compared otherwise, or that cannot be told.
#[must_use]
pub fn compared(asked: Asked<'_>, filter: &str) -> Option<Vec<String>> {
    let pieces = pieces(filter);
    let mut values = Vec::new();
    for (at, piece) in pieces.iter().enumerate() {
        let Piece::Word(word) = piece else { continue };
        if !asked.is(word) {
            continue;
        }
        let value = |piece: &Piece| match piece {
            Piece::Value(value) | Piece::Word(value) => Some(value.clone()),
            Piece::Sign(_) => None,
        };
        match &pieces[at + 1..] {
            [Piece::Sign('='), one, ..] => values.push(value(one)?),
            [Piece::Word(word), Piece::Sign('('), rest @ ..] if word.eq_ignore_ascii_case("in") => {
                let end = rest.iter().position(|piece| *piece == Piece::Sign(')'))?;
                for one in rest[..end].iter().filter(|piece| **piece != Piece::Sign(',')) {
                    values.push(value(one)?);
                }
            }
            _ => return None,
        }
    }
    Some(values)
}

fn pieces(filter: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut signs = filter.chars().peekable();
    while let Some(sign) = signs.next() {
        match sign {
            '\'' => pieces.push(Piece::Value(signs.by_ref().take_while(|next| *next != '\'').collect())),
            _ if sign.is_whitespace() => {}
            _ if is_word(sign) => {
                let mut word = String::from(sign);
                while let Some(next) = signs.next_if(|next| is_word(*next)) {
                    word.push(next);
                }
                pieces.push(Piece::Word(word.replace(['"', '`'], "")));
            }
            _ => pieces.push(Piece::Sign(sign)),
        }
    }
    pieces
}

fn is_word(sign: char) -> bool {
    sign.is_alphanumeric() || matches!(sign, '_' | '.' | '-' | '"' | '`')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_compared_by_equality_is_known_and_nothing_else() {
        let run = Asked::Plain("run_id");
        let values = |asked, filter| compared(asked, filter).map(|values| values.join(" "));
        assert_eq!(values(run, "name = 'run_id'").as_deref(), Some(""));
        assert_eq!(values(run, "run_id = 'a' AND trace.`run_id` IN (\"b\", 'c')").as_deref(), Some("a b c"));
        assert_eq!(values(run, "tags.run_id LIKE '%' AND metadata.\"run_id\" != 'x'").as_deref(), Some(""));
        for filter in ["run_id LIKE 'a%'", "RUN_ID != 'a'", "run_id NOT IN ('a')", "trace.run_id IS NULL", "run_id"] {
            assert_eq!(compared(run, filter), None, "{filter}");
        }
        let source = Asked::Key("mlflow.sourceRun");
        for filter in [
            "metadata.`mlflow.sourceRun` = 'a'",
            "request_metadata.\"mlflow.sourcerun\"='a'",
            "trace.metadata.mlflow.sourceRun = 'a'",
            "metadata . `mlflow.sourceRun` = 'a'",
        ] {
            assert_eq!(values(source, filter).as_deref(), Some("a"), "{filter}");
        }
        assert_eq!(values(source, "tags.sourceRun LIKE 'a%'").as_deref(), Some(""));
        assert_eq!(compared(source, "metadata.`mlflow.sourceRun` RLIKE '^a'"), None);
    }
}
