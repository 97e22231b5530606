//! Which JSON do we accept inside a token?
//!
//! One object, unique members at every depth, nothing after it, depth at most 32. `serde_json` keeps the last of two
//! equal members; another verifier may keep the first, and then two programs read two tokens (RFC 7519 section 4).

use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

const DEPTH: u8 = 32;

/// Reads one JSON object.
pub(super) fn object(bytes: &[u8]) -> Option<Map<String, Value>> {
    // RFC 8259 section 8.1: no byte order mark; `from_slice` refuses it, and bytes that are not UTF-8.
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = Strict(DEPTH).deserialize(&mut reader).ok()?;
    reader.end().ok()?;
    match value {
        Value::Object(map) => Some(map),
        _ => None,
    }
}

/// A value whose objects have unique members, at most so deep.
struct Strict(u8);

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        Value::deserialize(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let deeper = self.0.checked_sub(1).ok_or_else(|| A::Error::custom("too deep"))?;
        let mut all = Vec::new();
        while let Some(value) = seq.next_element_seed(Strict(deeper))? {
            all.push(value);
        }
        Ok(Value::Array(all))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let deeper = self.0.checked_sub(1).ok_or_else(|| A::Error::custom("too deep"))?;
        let mut all = Map::new();
        while let Some(key) = map.next_key::<String>()? {
            let value = map.next_value_seed(Strict(deeper))?;
            if all.insert(key, value).is_some() {
                return Err(A::Error::custom("a repeated member"));
            }
        }
        Ok(Value::Object(all))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_object_with_unique_members_and_nothing_else() {
        assert!(object(br#"{"a":{"b":[1,2.5,-3,null,true,"x"]}}"#).is_some());
        let deep = |depth: usize| format!("{}{}{}", "{\"a\":".repeat(depth), "1", "}".repeat(depth));
        assert!(object(deep(32).as_bytes()).is_some());
        assert!(object(deep(33).as_bytes()).is_none());
        for wrong in [
            &b"[]"[..],
            b"1",
            b"",
            b"{} ",
            b"{}x",
            b"{}{}",
            br#"{"a":1,"a":1}"#,
            br#"{"a":1,"\u0061":2}"#,
            br#"{"a":{"b":1,"b":2}}"#,
            br#"[{"a":1}]"#,
            b"\xef\xbb\xbf{}",
            br#"{"a":NaN}"#,
            b"{\"a\":\"\xff\"}",
            b"{'a':1}",
        ] {
            // Trailing white space is JSON, and no text after the object.
            assert_eq!(object(wrong).is_some(), wrong == b"{} ", "{}", String::from_utf8_lossy(wrong));
        }
    }
}
