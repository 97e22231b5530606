//! How is a judged request asked for less?
//!
//! One member of the body, or one parameter of the query, gets a new value; all other bytes stay as they were judged.

use serde_json::value::RawValue;

use super::FieldFault;

/// The body with `member` set to `json`, which must be JSON. Every other member keeps its bytes.
///
/// # Errors
/// [`FieldFault`] when the body is not a JSON object.
pub fn rewrite(body: &[u8], member: &str, json: &str) -> Result<Vec<u8>, FieldFault> {
    let text = std::str::from_utf8(body).map_err(|_| FieldFault::NotUtf8)?;
    let key = serde_json::Value::from(member);
    if text.trim_ascii().is_empty() {
        return Ok(format!("{{{key}:{json}}}").into_bytes());
    }
    let members: std::collections::HashMap<std::borrow::Cow<'_, str>, &RawValue> =
        serde_json::from_str(text).map_err(|error| FieldFault::NotJson(error.to_string()))?;
    let mut written = Vec::with_capacity(text.len() + json.len() + member.len() + 8);
    if let Some(old) = members.get(member) {
        let from = old.get().as_ptr().addr() - text.as_ptr().addr();
        written.extend_from_slice(&body[..from]);
        written.extend_from_slice(json.as_bytes());
        written.extend_from_slice(&body[from + old.get().len()..]);
    } else {
        let open = text.find('{').ok_or(FieldFault::NotAnObject)? + 1;
        written.extend_from_slice(&body[..open]);
        written.extend_from_slice(format!("{key}:{json}").as_bytes());
        if !members.is_empty() {
            written.push(b',');
        }
        written.extend_from_slice(&body[open..]);
    }
    Ok(written)
}

/// The query with parameter `name` set to these values (none: taken out). The other pairs keep their bytes and order.
#[must_use]
pub fn rewrite_query(query: Option<&str>, name: &str, values: &[&str]) -> String {
    let mut written = String::new();
    for pair in query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
        let own = pair.split_once('=').map_or(pair, |(own, _)| own);
        let plain = percent_encoding::percent_decode_str(own).decode_utf8_lossy();
        if plain.replace('+', " ") != name {
            push(&mut written, pair);
        }
    }
    for value in values {
        let encoded: String = url::form_urlencoded::Serializer::new(String::new()).append_pair(name, value).finish();
        push(&mut written, &encoded);
    }
    written
}

fn push(written: &mut String, pair: &str) {
    if !written.is_empty() {
        written.push('&');
    }
    written.push_str(pair);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_named_member_changes() {
        let cases = [
            (r#"{"a": [1, 2],  "b":1.50}"#, "a", "[3]", r#"{"a": [3],  "b":1.50}"#),
            (r#"{"b":1.50}"#, "a", "[3]", r#"{"a":[3],"b":1.50}"#),
            ("{ }", "a", "[3]", r#"{"a":[3] }"#),
            ("", "a", "[3]", r#"{"a":[3]}"#),
            (r#"{"x":{"a":1},"a":"ä\u00e4"}"#, "a", "2", r#"{"x":{"a":1},"a":2}"#),
            (r#"{"\u0061":1}"#, "a", "2", r#"{"\u0061":2}"#),
        ];
        for (body, member, json, expected) in cases {
            assert_eq!(String::from_utf8(rewrite(body.as_bytes(), member, json).unwrap()).unwrap(), expected);
        }
        assert!(rewrite(b"[1]", "a", "1").is_err());
    }

    #[test]
    fn only_the_named_parameter_changes() {
        assert_eq!(rewrite_query(Some("a=1&b=%20&a=2"), "a", &["x y", "ä&"]), "b=%20&a=x+y&a=%C3%A4%26");
        assert_eq!(rewrite_query(Some("%61=1&b=2"), "a", &[]), "b=2");
        assert_eq!(rewrite_query(None, "a", &["1"]), "a=1");
    }
}
