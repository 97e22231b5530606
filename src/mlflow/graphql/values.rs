//! What do a document's variables hold?

use std::collections::HashMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::GraphQlFault;

/// A JSON value as far as it can name an object. Members that stand twice are refused while it is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Json {
    /// Nothing.
    Null,
    /// A text.
    Text(String),
    /// A number or a boolean: never an id here, though GraphQL's `String` takes it for one.
    Other,
    /// A list.
    List(Vec<Json>),
    /// An object.
    Object(HashMap<String, Json>),
}

impl Json {
    /// The text of a member; `None` where it is absent or null.
    pub(super) fn text(&self, name: &str) -> Result<Option<String>, GraphQlFault> {
        match self.member(name) {
            None | Some(Self::Null) => Ok(None),
            Some(Self::Text(text)) => Ok(Some(text.clone())),
            Some(Self::Other | Self::List(_) | Self::Object(_)) => Err(GraphQlFault::Value(name.to_owned())),
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
                Self::Null | Self::Other | Self::List(_) | Self::Object(_) => Err(GraphQlFault::Value(name.to_owned())),
            })
            .collect()
    }

    fn member(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Object(members) => members.get(name),
            Self::Null | Self::Text(_) | Self::Other | Self::List(_) => None,
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

    fn visit_bool<E>(self, _: bool) -> Result<Json, E> {
        Ok(Json::Other)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Json, E> {
        Ok(Json::Other)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Json, E> {
        Ok(Json::Other)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Json, E> {
        Ok(Json::Other)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Json, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = list.next_element()? {
            values.push(value);
        }
        Ok(Json::List(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Json, A::Error> {
        let mut members = HashMap::new();
        while let Some((name, value)) = map.next_entry::<String, Json>()? {
            if members.contains_key(&name) {
                return Err(A::Error::custom(format!("`{name}` is given twice")));
            }
            members.insert(name, value);
        }
        Ok(Json::Object(members))
    }
}
