//! Which registered scorers does a request have the server run?
//!
//! Texts of scorers and versions stand in two lists, and belong together by their places (MLflow 3.17.2,
//! `_invoke_genai_evaluate_handler`): where a version stands, the server takes the text that it has stored.

use std::collections::HashMap;

use serde_json::value::RawValue;

use super::FieldFault;

/// A scorer's text, and the version of which the stored text is taken in its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judge {
    /// The text, which holds the name.
    pub text: String,
    /// The version.
    pub version: u64,
}

/// The scorers that are named by a version. Top-level members were found to stand once each.
pub(super) fn read(body: &[u8], scorers: &'static str, versions: &'static str) -> Result<Vec<Judge>, FieldFault> {
    let members: HashMap<String, &RawValue> =
        serde_json::from_slice(body).map_err(|error| FieldFault::NotJson(error.to_string()))?;
    let Some(list) = members.get(versions).filter(|list| list.get() != "null") else { return Ok(Vec::new()) };
    let wrong = |field, want| FieldFault::WrongType { field, want };
    let numbers: Vec<Option<u64>> =
        serde_json::from_str(list.get()).map_err(|_| wrong(versions, "a list of whole numbers and nulls"))?;
    let texts: Vec<String> = match members.get(scorers) {
        Some(list) => serde_json::from_str(list.get()).map_err(|_| wrong(scorers, "a list of texts"))?,
        None => Vec::new(),
    };
    if texts.len() != numbers.len() {
        return Err(wrong(versions, "as long as the list of scorers"));
    }
    let pairs = texts.into_iter().zip(numbers);
    Ok(pairs.filter_map(|(text, version)| Some(Judge { text, version: version? })).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(body: &str) -> Result<Vec<Judge>, FieldFault> {
        read(body.as_bytes(), "s", "v")
    }

    #[test]
    fn a_version_belongs_to_the_scorer_at_its_place() {
        let judge = |text: &str, version| Judge { text: text.to_owned(), version };
        let body = r#"{"s":["a","b","a"],"v":[null,2,1],"other":{"v":[7]}}"#;
        assert_eq!(told(body), Ok(vec![judge("b", 2), judge("a", 1)]));
        for none in [r#"{"s":["a"]}"#, r#"{"s":["a"],"v":null}"#, r#"{"s":["a"],"v":[null]}"#, r#"{"s":[],"v":[]}"#] {
            assert_eq!(told(none), Ok(Vec::new()), "{none}");
        }
    }

    #[test]
    fn lists_that_do_not_fit_and_versions_that_are_none_are_refused() {
        for odd in [
            r#"{"s":["a"],"v":[1,2]}"#,
            r#"{"s":["a"],"v":["1"]}"#,
            r#"{"s":["a"],"v":[-1]}"#,
            r#"{"s":["a"],"v":[1.0]}"#,
            r#"{"s":["a"],"v":[true]}"#,
            r#"{"s":["a"],"v":{"0":1}}"#,
            r#"{"s":"a","v":[1]}"#,
            r#"{"v":[1]}"#,
            r#"{"s":["a"],"\u0076":["1"]}"#,
        ] {
            assert!(matches!(told(odd), Err(FieldFault::WrongType { .. })), "{odd}");
        }
        assert!(told("{").is_err());
    }
}
