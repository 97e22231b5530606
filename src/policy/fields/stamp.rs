//! How does the caller's own name get into a request?
//!
//! MLflow takes the word of whoever writes for who made a run or gave a feedback (3.17.2, `handlers.py` `_create_run`:
//! `user_id=request_message.user_id`). A row says where such words stand ([`Stamp`]); they become the caller's name, and
//! every other byte stays as it was judged. What stands twice or in another spelling was refused before.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::FieldFault;
use super::body::finite;
use crate::policy::route::Stamp;

/// The tag by which MLflow tells whose a run, a logged model or a trace is (3.17.2, `utils/mlflow_tags.py`).
pub const AUTHOR_TAG: &str = "mlflow.user";

/// Whether a tag's key is [`AUTHOR_TAG`] for some reader: databases may compare without case, and drop spaces at the end.
#[must_use]
pub fn is_author_tag(key: &str) -> bool {
    key.trim().eq_ignore_ascii_case(AUTHOR_TAG)
}

/// The body with `name` at each place of `stamps`.
///
/// # Errors
/// [`FieldFault`] where something else stands on the way than MLflow reads there.
pub fn stamp(body: &[u8], stamps: &[Stamp], name: &str) -> Result<Vec<u8>, FieldFault> {
    let mut text = Cow::Borrowed(std::str::from_utf8(body).map_err(|_| FieldFault::NotUtf8)?);
    if text.trim_ascii().is_empty() {
        text = Cow::Borrowed("{}");
    }
    let name = serde_json::Value::from(name).to_string();
    for stamp in stamps {
        // As long as the text, so that what is found in the one stands at the same place in the other.
        let read = finite(&text);
        let mut edits = Edits { whole: &read, name: &name, list: Vec::new() };
        match stamp {
            Stamp::Text(at) => edits.walk(&read, at, &|edits, object, last| edits.set(object, last, &name))?,
            Stamp::Given(at) => edits.walk(&read, at, &|edits, object, last| {
                let given = find(&members(object)?, last).is_some();
                if given { edits.set(object, last, &name) } else { Ok(()) }
            })?,
            Stamp::Json(at) => edits.walk(&read, at, &Edits::json)?,
            Stamp::Source(at) => edits.walk(&read, at, &Edits::source)?,
            Stamp::Map(at) => edits.walk(&read, at, &Edits::map)?,
            Stamp::GivenMap(at) => edits.walk(&read, at, &Edits::given_map)?,
            Stamp::Tags(at) => edits.walk(&read, list_of(at), &Edits::tags)?,
            Stamp::GivenTags(at) => edits.walk(&read, list_of(at), &Edits::given_tags)?,
        }
        let edited = edits.written(&text);
        text = Cow::Owned(edited);
    }
    Ok(text.into_owned().into_bytes())
}

/// `tags` of `tags[].key`.
fn list_of(at: &str) -> &str {
    at.strip_suffix("[].key").unwrap_or(at)
}

/// The names that the author's tags of a request claim. `key` is where the keys of its tags stand: `tags[].key`, or
/// `key` where the request is the tag itself. A value that is no text claims nobody, which nobody is.
pub(super) fn claimed(body: &[u8], key: &str) -> Result<Vec<Cow<'static, str>>, FieldFault> {
    let text = std::str::from_utf8(body).map_err(|_| FieldFault::NotUtf8)?;
    let Some(list) = key.strip_suffix("[].key") else { return Ok(claim(text)?.into_iter().collect()) };
    let members = members(text)?;
    let Some(tags) = find(&members, list) else { return Ok(Vec::new()) };
    let mut names = Vec::new();
    for tag in elements(tags)? {
        names.extend(claim(tag.get())?);
    }
    Ok(names)
}

/// The name that one tag claims, if it is an author's tag.
fn claim(tag: &str) -> Result<Option<Cow<'static, str>>, FieldFault> {
    let members = members(tag)?;
    if !find(&members, "key").and_then(text_of).is_some_and(|key| is_author_tag(&key)) {
        return Ok(None);
    }
    let value = find(&members, "value").and_then(text_of).unwrap_or_default();
    Ok(Some(Cow::Owned(value.into_owned())))
}

/// What changes in one text.
struct Edits<'a> {
    whole: &'a str,
    /// The caller's name, as JSON.
    name: &'a str,
    list: Vec<(std::ops::Range<usize>, String)>,
}

type Leaf<'a, 'f> = &'f dyn Fn(&mut Edits<'a>, &'a str, &str) -> Result<(), FieldFault>;

impl<'a> Edits<'a> {
    /// Does `leaf` in each object that the last step of `at` stands in.
    fn walk(&mut self, object: &'a str, at: &str, leaf: Leaf<'a, '_>) -> Result<(), FieldFault> {
        let Some((step, rest)) = at.split_once('.') else { return leaf(self, object, at) };
        let members = members(object)?;
        if let Some(name) = step.strip_suffix("[]") {
            let Some(list) = find(&members, name) else { return Ok(()) };
            for element in elements(list)? {
                self.walk(element.get(), rest, leaf)?;
            }
            return Ok(());
        }
        match find(&members, step) {
            Some(inner) => self.walk(inner.get(), rest, leaf),
            None => Ok(()),
        }
    }

    /// Sets a member of an object, which must be part of the whole.
    fn set(&mut self, object: &'a str, member: &str, json: &str) -> Result<(), FieldFault> {
        let members = members(object)?;
        if let Some((_, old)) = members.iter().find(|(name, _)| name == member) {
            let from = self.place(old.get());
            self.list.push((from..from + old.get().len(), json.to_owned()));
            return Ok(());
        }
        let open = self.place(object) + object.find('{').ok_or(FieldFault::NotAnObject)? + 1;
        let comma = if members.is_empty() { "" } else { "," };
        self.list.push((open..open, format!("{}:{json}{comma}", serde_json::Value::from(member))));
        Ok(())
    }

    fn tags(&mut self, object: &'a str, member: &str) -> Result<(), FieldFault> {
        let tag = format!("{{\"key\":\"{AUTHOR_TAG}\",\"value\":{}}}", self.name);
        let members = members(object)?;
        let Some(list) = find(&members, member) else { return self.set(object, member, &format!("[{tag}]")) };
        let before = self.list.len();
        self.given_tags(object, member)?;
        if self.list.len() == before {
            let open = self.place(list.get()) + 1;
            let comma = if elements(list)?.is_empty() { "" } else { "," };
            self.list.push((open..open, format!("{tag}{comma}")));
        }
        Ok(())
    }

    fn given_tags(&mut self, object: &'a str, member: &str) -> Result<(), FieldFault> {
        let Some(list) = find(&members(object)?, member) else { return Ok(()) };
        for element in elements(list)? {
            if claim(element.get())?.is_some() {
                self.set(element.get(), "value", self.name)?;
            }
        }
        Ok(())
    }

    fn given_map(&mut self, object: &'a str, member: &str) -> Result<(), FieldFault> {
        let Some(map) = find(&members(object)?, member) else { return Ok(()) };
        for (key, _) in members(map.get())?.iter().filter(|(key, _)| is_author_tag(key)) {
            self.set(map.get(), key, self.name)?;
        }
        Ok(())
    }

    fn map(&mut self, object: &'a str, member: &str) -> Result<(), FieldFault> {
        let members = members(object)?;
        match find(&members, member) {
            Some(map) => self.set(map.get(), AUTHOR_TAG, self.name),
            None => self.set(object, member, &format!("{{\"{AUTHOR_TAG}\":{}}}", self.name)),
        }
    }

    /// The text at `member` holds JSON: tags, or a list of what has tags.
    fn json(&mut self, object: &'a str, member: &str) -> Result<(), FieldFault> {
        let outer = members(object)?;
        let Some(raw) = find(&outer, member) else { return Ok(()) };
        let Some(text) = text_of(raw) else { return Err(FieldFault::NotAnObject) };
        // Python's JSON knows more than ours; what cannot hold the tag is left to it.
        if !text.contains(AUTHOR_TAG) && !text.contains('\\') {
            return Ok(());
        }
        let written = format!("{{\"in\":{text}}}");
        let whole = finite(&written);
        // A text that ends its value and begins another member is no JSON by itself.
        if self::members(&whole)?.len() != 1 {
            return Err(FieldFault::NotAnObject);
        }
        let mut inner = Edits { whole: &whole, name: self.name, list: Vec::new() };
        let at = if text.trim_start().starts_with('[') { "in[].tags" } else { "in" };
        inner.walk(&whole, at, &|inner, object, last| {
            let members = members(object)?;
            once(&members, last)?;
            let Some(tags) = find(&members, last) else { return Ok(()) };
            let tags_of = self::members(tags.get())?;
            once(&tags_of, AUTHOR_TAG)?;
            if tags_of.iter().any(|(key, _)| key == AUTHOR_TAG) {
                let name = inner.name;
                inner.set(tags.get(), AUTHOR_TAG, name)?;
            }
            Ok(())
        })?;
        let written = inner.written(&written);
        let stamped = written.strip_prefix("{\"in\":").and_then(|text| text.strip_suffix('}')).unwrap_or_default();
        let from = self.place(raw.get());
        self.list.push((from..from + raw.get().len(), serde_json::Value::from(stamped).to_string()));
        Ok(())
    }

    /// `object` is the source; protobuf reads its type as a name or as a number.
    fn source(&mut self, object: &'a str, member: &str) -> Result<(), FieldFault> {
        let members = members(object)?;
        // protobuf takes both spellings, and the last of them counts.
        if members.iter().any(|(name, _)| name == "sourceType") {
            return Err(FieldFault::OtherSpelling { sent: "sourceType".to_owned(), instead: "source_type" });
        }
        let kind = find(&members, "source_type").map(RawValue::get);
        if matches!(kind, Some("\"LLM_JUDGE\"" | "\"AI_JUDGE\"" | "\"CODE\"" | "2" | "3")) {
            return Ok(());
        }
        self.set(object, member, self.name)
    }

    fn place(&self, part: &str) -> usize {
        part.as_ptr().addr() - self.whole.as_ptr().addr()
    }

    /// The text `of` which the whole was read, with what changes.
    fn written(mut self, of: &str) -> String {
        self.list.sort_by_key(|(range, _)| range.start);
        let mut text = String::with_capacity(of.len() + 64);
        let mut at = 0;
        for (range, instead) in self.list {
            text.push_str(&of[at..range.start]);
            text.push_str(&instead);
            at = range.end;
        }
        text.push_str(&of[at..]);
        text
    }
}

/// The members of an object, in order, each with its bytes.
struct Members<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        struct Each;
        impl<'de> Visitor<'de> for Each {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members = Vec::new();
                while let Some(Name(name)) = map.next_key::<Name<'de>>()? {
                    members.push((name, map.next_value()?));
                }
                Ok(Members(members))
            }
        }
        json.deserialize_map(Each)
    }
}

#[derive(serde::Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

fn members(object: &str) -> Result<Vec<(Cow<'_, str>, &RawValue)>, FieldFault> {
    let Members(members) = serde_json::from_str(object).map_err(|error| FieldFault::NotJson(error.to_string()))?;
    Ok(members)
}

fn elements(list: &RawValue) -> Result<Vec<&RawValue>, FieldFault> {
    serde_json::from_str(list.get()).map_err(|error| FieldFault::NotJson(error.to_string()))
}

/// Python's JSON keeps the last of two members of one name, and `find` the first.
fn once(members: &[(Cow<'_, str>, &RawValue)], name: &str) -> Result<(), FieldFault> {
    match members.iter().filter(|(own, _)| own == name).count() {
        0 | 1 => Ok(()),
        _ => Err(FieldFault::Repeated(name.to_owned())),
    }
}

/// The member of that name; `null` is protobuf's word for an absent one.
fn find<'a>(members: &[(Cow<'_, str>, &'a RawValue)], name: &str) -> Option<&'a RawValue> {
    members.iter().find(|(own, _)| own == name).map(|(_, value)| *value).filter(|value| value.get() != "null")
}

fn text_of(value: &RawValue) -> Option<Cow<'_, str>> {
    serde_json::from_str::<Name<'_>>(value.get()).ok().map(|Name(text)| text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUN: &[Stamp] = &[Stamp::Text("user_id"), Stamp::Tags("tags[].key")];

    fn stamped(body: &str, stamps: &[Stamp]) -> String {
        String::from_utf8(stamp(body.as_bytes(), stamps, "ann@x").unwrap()).unwrap()
    }

    #[test]
    fn json_in_a_text_is_stamped_where_it_names_an_author() {
        let tags = &[Stamp::Json("tags")];
        let body = |tags: &str| format!(r#"{{"name":"d","tags":{}}}"#, serde_json::Value::from(tags));
        let cases = [
            (r#"{"a":"b"}"#, r#"{"a":"b"}"#),
            (r#"{"mlflow.user":"bob","a":"b"}"#, r#"{"mlflow.user":"ann@x","a":"b"}"#),
            (r#"{"mlflow\u002euser":"bob"}"#, r#"{"mlflow\u002euser":"ann@x"}"#),
            (
                r#"[{"inputs":{"q":1},"tags":{"mlflow.user":"bob"}},{"inputs":{},"tags":null},{"tags":{"x":"y"}}]"#,
                r#"[{"inputs":{"q":1},"tags":{"mlflow.user":"ann@x"}},{"inputs":{},"tags":null},{"tags":{"x":"y"}}]"#,
            ),
            (r#"[{"inputs":{"q":NaN}}]"#, r#"[{"inputs":{"q":NaN}}]"#),
            // As MLflow's client writes records: Python's words for numbers, and its name for the author.
            (
                r#"[{"inputs":{"q":-Infinity,"s":"NaN"},"tags":{"mlflow.user":"bob"},"x":NaN}]"#,
                r#"[{"inputs":{"q":-Infinity,"s":"NaN"},"tags":{"mlflow.user":"ann@x"},"x":NaN}]"#,
            ),
            (r#"{"mlflow.user":NaN}"#, r#"{"mlflow.user":"ann@x"}"#),
        ];
        for (sent, expected) in cases {
            assert_eq!(stamped(&body(sent), tags), body(expected));
        }
        assert_eq!(stamped(r#"{"tags":null}"#, tags), r#"{"tags":null}"#);
        for odd in [
            r#"{"mlflow.user":"ann@x","mlflow.user":"bob"}"#,
            r#"[{"tags":{},"tags":{"mlflow.user":"bob"}}]"#,
            r#"{"a":1}, "mlflow.user":{}"#,
            r#""mlflow.user""#,
        ] {
            assert!(stamp(body(odd).as_bytes(), tags, "ann@x").is_err(), "{odd}");
        }
    }

    #[test]
    fn the_authors_tag_of_a_trace_is_stamped_where_it_is_given_and_not_added() {
        let tags = &[Stamp::GivenTags("tags[].key")];
        let cases = [
            (
                r#"{"tags":[{"key":"mlflow.user","value":"bob"}]}"#,
                r#"{"tags":[{"key":"mlflow.user","value":"ann@x"}]}"#,
            ),
            (r#"{"tags":[{"key":"a","value":"b"}]}"#, r#"{"tags":[{"key":"a","value":"b"}]}"#),
            ("{}", "{}"),
        ];
        for (sent, expected) in cases {
            assert_eq!(stamped(sent, tags), expected);
        }
        let map = &[Stamp::GivenMap("trace.tags")];
        let cases = [
            (
                r#"{"trace":{"tags":{"mlflow.user":"bob","a":"b"}}}"#,
                r#"{"trace":{"tags":{"mlflow.user":"ann@x","a":"b"}}}"#,
            ),
            (r#"{"trace":{"tags":{" MLflow.User":"bob"}}}"#, r#"{"trace":{"tags":{" MLflow.User":"ann@x"}}}"#),
            (r#"{"trace":{"tags":{"a":"b"}}}"#, r#"{"trace":{"tags":{"a":"b"}}}"#),
            (r#"{"trace":{}}"#, r#"{"trace":{}}"#),
        ];
        for (sent, expected) in cases {
            assert_eq!(stamped(sent, map), expected);
        }
    }

    #[test]
    fn a_name_is_stamped_only_where_one_is_given() {
        let given = &[Stamp::Given("completed_by")];
        assert_eq!(stamped(r#"{"completed_by":"bob"}"#, given), r#"{"completed_by":"ann@x"}"#);
        for same in [r#"{"status":"PENDING"}"#, r#"{"completed_by":null}"#] {
            assert_eq!(stamped(same, given), same);
        }
    }

    #[test]
    fn a_forged_author_becomes_the_caller_and_no_other_byte_changes() {
        let cases = [
            (
                r#"{ "experiment_id":"1",  "user_id" : "bob", "tags":[ {"key":"a","value":"\u00e4"}, {"value":"bob","key":"mlflow.user"} ] }"#,
                r#"{ "experiment_id":"1",  "user_id" : "ann@x", "tags":[ {"key":"a","value":"\u00e4"}, {"value":"ann@x","key":"mlflow.user"} ] }"#,
            ),
            (
                r#"{"tags":[{"key":"mlflow.user"},{"key":"mlflow\u002euser","value":7}],"user_id":null}"#,
                r#"{"tags":[{"value":"ann@x","key":"mlflow.user"},{"key":"mlflow\u002euser","value":"ann@x"}],"user_id":"ann@x"}"#,
            ),
            (
                r#"{"tags":[{"key":" MLflow.User ","value":"bob"}],"user_id":""}"#,
                r#"{"tags":[{"key":" MLflow.User ","value":"ann@x"}],"user_id":"ann@x"}"#,
            ),
        ];
        for (body, expected) in cases {
            assert_eq!(stamped(body, RUN), expected);
        }
    }

    #[test]
    fn an_author_is_added_where_none_was_sent() {
        let tag = r#"{"key":"mlflow.user","value":"ann@x"}"#;
        for (body, expected) in [
            ("", format!(r#"{{"tags":[{tag}],"user_id":"ann@x"}}"#)),
            (r#"{"a":1}"#, format!(r#"{{"tags":[{tag}],"user_id":"ann@x","a":1}}"#)),
            (r#"{"tags":[],"a":1}"#, format!(r#"{{"user_id":"ann@x","tags":[{tag}],"a":1}}"#)),
            (r#"{"tags":null}"#, format!(r#"{{"user_id":"ann@x","tags":[{tag}]}}"#)),
            (
                r#"{"tags":[{"key":"k","value":"v"}]}"#,
                format!(r#"{{"user_id":"ann@x","tags":[{tag},{{"key":"k","value":"v"}}]}}"#),
            ),
        ] {
            assert_eq!(stamped(body, RUN), expected, "{body}");
        }
    }

    #[test]
    fn nested_places_are_stamped_where_they_are() {
        let text = [Stamp::Text("a.b[].by")];
        assert_eq!(stamped(r#"{"a":{"b":[{"by":"x"},{}]}}"#, &text), r#"{"a":{"b":[{"by":"ann@x"},{"by":"ann@x"}]}}"#);
        assert_eq!(stamped(r#"{"a":{}}"#, &text), r#"{"a":{}}"#);
        assert_eq!(stamped(r#"{"a":null}"#, &text), r#"{"a":null}"#);
        let map = [Stamp::Map("t.meta")];
        assert_eq!(stamped(r#"{"t":{"meta":{"k":"v"}}}"#, &map), r#"{"t":{"meta":{"mlflow.user":"ann@x","k":"v"}}}"#);
        assert_eq!(stamped(r#"{"t":{"meta":{"mlflow.user":"b"}}}"#, &map), r#"{"t":{"meta":{"mlflow.user":"ann@x"}}}"#);
        assert_eq!(stamped(r#"{"t":{}}"#, &map), r#"{"t":{"meta":{"mlflow.user":"ann@x"}}}"#);
    }

    #[test]
    fn the_source_of_a_human_is_the_caller_and_that_of_a_judge_stays() {
        let source = [Stamp::Source("assessment.source.source_id")];
        for kind in [r#""HUMAN""#, "1", r#""1""#, r#""SOURCE_TYPE_UNSPECIFIED""#, "0", "null", r#""new""#] {
            let body =
                |id: &str| format!(r#"{{"assessment":{{"source":{{"source_type":{kind},"source_id":"{id}"}}}}}}"#);
            assert_eq!(stamped(&body("bob"), &source), body("ann@x"));
        }
        for kind in [r#""LLM_JUDGE""#, r#""CODE""#, "2", "3"] {
            let body = format!(r#"{{"assessment":{{"source":{{"source_type":{kind},"source_id":"gpt"}}}}}}"#);
            assert_eq!(stamped(&body, &source), body);
        }
        let bare = r#"{"assessment":{"source":{"source_id":"bob"}}}"#;
        assert_eq!(stamped(bare, &source), bare.replace("bob", "ann@x"));
    }

    #[test]
    fn a_human_does_not_pass_for_a_judge_by_a_second_spelling() {
        let source = [Stamp::Source("assessment.source.source_id")];
        for spellings in [r#""source_type":"CODE","sourceType":"HUMAN""#, r#""source\u0054ype":1,"source_type":"CODE""#]
        {
            let body = format!(r#"{{"assessment":{{"source":{{{spellings},"source_id":"bob"}}}}}}"#);
            let fault = stamp(body.as_bytes(), &source, "ann@x").unwrap_err();
            assert!(matches!(fault, FieldFault::OtherSpelling { instead: "source_type", .. }), "{spellings}");
        }
    }

    #[test]
    fn a_name_is_written_as_json() {
        let body = stamp(b"{}", &[Stamp::Text("by")], r#"a"b\c"#).unwrap();
        assert_eq!(body, br#"{"by":"a\"b\\c"}"#);
    }

    #[test]
    fn what_is_no_list_or_object_on_the_way_is_refused() {
        for body in [r#"{"tags":{}}"#, r#"{"tags":[1]}"#, r#"{"tags":"x"}"#, "[]", "nope", "{\"a\":1"] {
            assert!(stamp(body.as_bytes(), RUN, "ann").is_err(), "{body}");
        }
    }

    #[test]
    fn what_tags_claim_is_read_with_their_keys() {
        let claims = |body: &str, key| claimed(body.as_bytes(), key).unwrap();
        assert_eq!(claims(r#"{"key":"mlflow.user","value":"bob"}"#, "key"), ["bob"]);
        assert_eq!(claims(r#"{"key":"other","value":"bob"}"#, "key"), Vec::<&str>::new());
        assert_eq!(claims(r#"{"value":1,"key":"MLFLOW.USER "}"#, "key"), [""]);
        let body =
            r#"{"tags":[{"key":"a","value":"b"},{"value":"x","key":"mlflow.user"},{"key":"mlflow.user","value":"y"}]}"#;
        assert_eq!(claims(body, "tags[].key"), ["x", "y"]);
        assert_eq!(claims("{}", "tags[].key"), Vec::<&str>::new());
    }
}
