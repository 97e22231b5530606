//! What do a document's variables and arguments hold?

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::GraphQlFault;

/// A JSON value. Members that stand twice are refused while it is read.
#[derive(Debug, Clone, PartialEq)]
pub enum Json {
    /// Nothing.
    Null,
    /// A text, or the name of an enum's value.
    Text(String),
    /// A boolean: never an id here.
    Truth(bool),
    /// A number: never an id here, though graphene's `String` takes it for one.
    Number(serde_json::Number),
    /// A list.
    List(Vec<Json>),
    /// An object.
    Object(BTreeMap<String, Json>),
}

impl Json {
    /// The text of a member; `None` where it is absent or null.
    ///
    /// # Errors
    /// [`GraphQlFault::Value`] where it is something else.
    pub fn text(&self, name: &str) -> Result<Option<String>, GraphQlFault> {
        match self.member(name) {
            None | Some(Self::Null) => Ok(None),
            Some(Self::Text(text)) => Ok(Some(text.clone())),
            Some(Self::Truth(_) | Self::Number(_) | Self::List(_) | Self::Object(_)) => {
                Err(GraphQlFault::Value(name.to_owned()))
            }
        }
    }

    /// The texts of a member that is a list, at least one.
    pub(super) fn texts(&self, name: &'static str) -> Result<Vec<String>, GraphQlFault> {
        let Some(Self::List(list)) = self.member(name) else { return Err(GraphQlFault::NoId(name)) };
        if list.is_empty() {
            return Err(GraphQlFault::NoId(name));
        }
        list.iter()
            .map(|value| match value {
                Self::Text(text) => Ok(text.clone()),
                Self::Null | Self::Truth(_) | Self::Number(_) | Self::List(_) | Self::Object(_) => {
                    Err(GraphQlFault::Value(name.to_owned()))
                }
            })
            .collect()
    }

    /// What stands at `name` of an object.
    #[must_use]
    pub fn member(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Object(members) => members.get(name),
            Self::Null | Self::Text(_) | Self::Truth(_) | Self::Number(_) | Self::List(_) => None,
        }
    }

    /// The same object with `name` set to this, or without it. What is no object stays.
    #[must_use]
    pub fn with(mut self, name: &str, value: Option<Self>) -> Self {
        if let Self::Object(members) = &mut self {
            match value {
                Some(value) => drop(members.insert(name.to_owned(), value)),
                None => drop(members.remove(name)),
            }
        }
        self
    }

    /// The names of an object's members.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        let members = match self {
            Self::Object(members) => Some(members),
            Self::Null | Self::Text(_) | Self::Truth(_) | Self::Number(_) | Self::List(_) => None,
        };
        members.into_iter().flat_map(BTreeMap::keys).map(String::as_str)
    }
}

/// As JSON.
impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Text(text) => write!(f, "{}", serde_json::Value::from(text.as_str())),
            Self::Truth(truth) => write!(f, "{truth}"),
            Self::Number(number) => write!(f, "{number}"),
            Self::List(list) => {
                f.write_str("[")?;
                for (n, value) in list.iter().enumerate() {
                    if n > 0 {
                        f.write_str(",")?;
                    }
                    write!(f, "{value}")?;
                }
                f.write_str("]")
            }
            Self::Object(members) => {
                f.write_str("{")?;
                for (n, (name, value)) in members.iter().enumerate() {
                    if n > 0 {
                        f.write_str(",")?;
                    }
                    write!(f, "{}:{value}", serde_json::Value::from(name.as_str()))?;
                }
                f.write_str("}")
            }
        }
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        json.deserialize_any(Reader)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_str<E>(self, text: &str) -> Result<Json, E> {
        Ok(Json::Text(text.to_owned()))
    }

    fn visit_bool<E>(self, truth: bool) -> Result<Json, E> {
        Ok(Json::Truth(truth))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Json, E> {
        Ok(Json::Number(number.into()))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Json, E> {
        Ok(Json::Number(number.into()))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Json, E> {
        serde_json::Number::from_f64(number).map(Json::Number).ok_or_else(|| E::custom("a number that is none"))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Json, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = list.next_element()? {
            values.push(value);
        }
        Ok(Json::List(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Json, A::Error> {
        let mut members = BTreeMap::new();
        while let Some((name, value)) = map.next_entry::<String, Json>()? {
            if members.contains_key(&name) {
                return Err(A::Error::custom(format!("`{name}` is given twice")));
            }
            members.insert(name, value);
        }
        Ok(Json::Object(members))
    }
}
