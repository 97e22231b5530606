//! How would other readers take this JSON?
//!
//! Python's `json` takes the last of two members of one name, other readers the first. A [`Tree`] is read either way; what
//! the gate accepts must mean the same in both.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

/// Which of two members of one name counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wins {
    First,
    Last,
}

/// A JSON value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Tree {
    Null,
    Text(String),
    Whole(u64),
    /// A number that no `u64` holds, whose digits are not kept.
    Huge,
    /// A boolean, or a number with sign or fraction.
    Other,
    List(Vec<Tree>),
    Object(Vec<(String, Tree)>),
}

impl Tree {
    /// Reads a text; `None` when it is not JSON as Python takes it, which knows `NaN` and `Infinity`.
    pub(crate) fn read(text: &[u8], wins: Wins) -> Option<Self> {
        let text = without_nan(text);
        let mut json = serde_json::Deserializer::from_slice(&text);
        let tree = wins.deserialize(&mut json).ok()?;
        json.end().ok()?;
        Some(tree)
    }

    /// The member of that name.
    pub(crate) fn get(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Object(members) => members.iter().find(|(own, _)| own == name).map(|(_, value)| value),
            Self::Null | Self::Text(_) | Self::Whole(_) | Self::Huge | Self::Other | Self::List(_) => None,
        }
    }

    /// The elements of a list.
    pub(crate) fn elements(&self) -> &[Self] {
        match self {
            Self::List(list) => list,
            Self::Null | Self::Text(_) | Self::Whole(_) | Self::Huge | Self::Other | Self::Object(_) => &[],
        }
    }

    /// A text, or a whole number's digits.
    pub(crate) fn text(&self) -> Option<String> {
        match self {
            Self::Text(text) => Some(text.clone()),
            Self::Whole(number) => Some(number.to_string()),
            Self::Null | Self::Huge | Self::Other | Self::List(_) | Self::Object(_) => None,
        }
    }

    /// Every value at a path of steps; `name[]` goes into a list.
    pub(crate) fn all(&self, path: &str) -> Vec<&Self> {
        let mut found = vec![self];
        for step in path.split('.') {
            let (name, list) = step.strip_suffix("[]").map_or((step, false), |name| (name, true));
            found = found.into_iter().filter_map(|value| value.get(name)).collect();
            if list {
                found = found.into_iter().flat_map(Self::elements).collect();
            }
        }
        found
    }
}

/// `NaN`, `Infinity` and `-Infinity`, outside of texts, as a number that is no id.
fn without_nan(text: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(text.len());
    let mut rest = text;
    let mut in_text = false;
    while let Some(first) = rest.first() {
        let word = [&b"NaN"[..], b"-Infinity", b"Infinity"].into_iter().find(|word| rest.starts_with(word));
        let taken = match (in_text, first, word) {
            (true, b'\\', _) => 2.min(rest.len()),
            (false, _, Some(word)) => {
                plain.extend_from_slice(b"0.5");
                rest = &rest[word.len()..];
                continue;
            }
            _ => 1,
        };
        in_text ^= *first == b'"';
        plain.extend_from_slice(&rest[..taken]);
        rest = &rest[taken..];
    }
    plain
}

impl<'de> DeserializeSeed<'de> for Wins {
    type Value = Tree;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Tree, D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Wins {
    type Value = Tree;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Tree, E> {
        Ok(Tree::Null)
    }

    fn visit_str<E>(self, text: &str) -> Result<Tree, E> {
        Ok(Tree::Text(text.to_owned()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Tree, E> {
        Ok(Tree::Whole(number))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Tree, E> {
        Ok(Tree::Other)
    }

    fn visit_f64<E>(self, number: f64) -> Result<Tree, E> {
        // Where serde finds no integer type that is large enough.
        Ok(if number >= 1e19 { Tree::Huge } else { Tree::Other })
    }

    fn visit_bool<E>(self, _: bool) -> Result<Tree, E> {
        Ok(Tree::Other)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Tree, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = list.next_element_seed(self)? {
            values.push(value);
        }
        Ok(Tree::List(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Tree, A::Error> {
        let mut members: Vec<(String, Tree)> = Vec::new();
        while let Some(name) = map.next_key::<String>()? {
            let value = map.next_value_seed(self)?;
            match (members.iter().position(|(own, _)| *own == name), self) {
                (None, _) => members.push((name, value)),
                (Some(at), Self::Last) => members[at].1 = value,
                (Some(_), Self::First) => {}
            }
        }
        Ok(Tree::Object(members))
    }
}
