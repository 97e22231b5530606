//! Are the fields of a request read in one way only?

use std::collections::BTreeSet;
use std::sync::LazyLock;

use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue};

use super::json::{Tree, Wins};
use super::{Bytes, is_called};
use crate::mlflow::resource::Kind;
use crate::policy::classify::{Call, Classified, classify, rows};
use crate::policy::fields;
use crate::policy::path::Path;
use crate::policy::route::{BodyClass, Check, Count, Need, Prefixes, Row, Verb};

/// One call for each row, its captures filled in.
static CALLS: LazyLock<Vec<Call>> = LazyLock::new(|| rows().filter_map(call).collect());

/// One call for each row.
pub(super) fn calls() -> &'static [Call] {
    &CALLS
}

/// What calls that read header fields need.
static HEADERS: LazyLock<HeaderMap> = LazyLock::new(|| {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert("x-mlflow-experiment-id", HeaderValue::from_static("1"));
    headers
});

/// Any query or body, read for any row: what is accepted means the same to every reader.
pub fn fields(data: &[u8]) {
    let mut bytes = Bytes::new(data);
    let call = bytes.one_of(&CALLS, |call, name| is_called(call.row, name)).clone();
    let rest = bytes.rest();
    if call.row.body == BodyClass::Form {
        // No JSON: that it is read without a panic is all that is asked.
        let _ = fields::read(&call, &HEADERS, None, Some(rest));
    } else if call.wants_body() {
        let Ok(read) = fields::read(&call, &HEADERS, None, Some(rest)) else { return };
        let (Some(first), Some(last)) = (body(rest, Wins::First), body(rest, Wins::Last)) else {
            // A number that no f64 holds, in a member that nobody reads: JSON, which Python reads as infinity.
            if serde_json::from_slice::<serde::de::IgnoredAny>(rest).is_ok() {
                return;
            }
            panic!("{call:?} takes what is not JSON: {:?}", String::from_utf8_lossy(rest));
        };
        for (field, count, kind) in wanted(call.row) {
            // What is no member of the body by this very name is left to the tests of its reader.
            let elsewhere = ["graphql.", "header.", "otlp."].iter().any(|place| field.starts_with(place));
            if elsewhere || field.replace("[]", "").contains('[') {
                continue;
            }
            let (first, last) = (in_body(&call, field, kind, &first), in_body(&call, field, kind, &last));
            assert_eq!(first, last, "{call:?} {field}: {:?}", String::from_utf8_lossy(rest));
            agree(&call, &read, (field, count), first, rest);
        }
    } else {
        let Ok(query) = std::str::from_utf8(rest) else { return };
        let Ok(read) = fields::read(&call, &HEADERS, Some(query), None) else { return };
        if call.row.verb != Verb::Get {
            return;
        }
        for (field, count, kind) in wanted(call.row) {
            // MLflow takes the first of several, other readers the last: here all of them count.
            agree(&call, &read, (field, count), in_query(&call, field, kind, query), rest);
        }
    }
}

/// An empty body is an empty object to MLflow.
fn body(text: &[u8], wins: Wins) -> Option<Tree> {
    Tree::read(if text.is_empty() { b"{}" } else { text }, wins)
}

fn agree(call: &Call, read: &fields::Fields, (field, count): (&str, Count), mut oracle: BTreeSet<String>, sent: &[u8]) {
    if matches!(count, Count::Optional | Count::AnyEach) {
        oracle.remove("");
    }
    let ours: BTreeSet<String> = read.each(field).iter().map(ToString::to_string).collect();
    assert_eq!(ours, oracle, "{call:?} {field}: {:?}", String::from_utf8_lossy(sent));
}

/// The fields that a row reads ids and names from. (Those that are joined in other ways than `name/version` are left to
/// the tests of their rows.)
fn wanted(row: &Row) -> Vec<(&'static str, Count, Option<Kind>)> {
    let wanted = row.needs.iter().filter_map(|need| match *need {
        Need::On { field, count, kind, .. } => Some((field, count, Some(kind))),
        Need::Lenient { kind, field, .. } => Some((field, Count::One, Some(kind))),
        Need::OnExperimentNamed { field, .. } => Some((field, Count::One, None)),
        Need::Checked(Check::ModelSource(field) | Check::ArtifactLocation(field)) => {
            Some((field, Count::Optional, None))
        }
        _ => None,
    });
    wanted.filter(|(field, _, kind)| !field.contains('/') || *kind == Some(Kind::ModelVersion)).collect()
}

/// What protobuf reads from a body: either spelling of a name, numbers as their digits where a text is wanted.
fn in_body(call: &Call, field: &str, kind: Option<Kind>, tree: &Tree) -> BTreeSet<String> {
    joined(field, kind, |name| {
        if let Some(capture) = captured(name) {
            return call.capture(capture).map(str::to_owned).into_iter().collect();
        }
        let mut found = vec![tree];
        for step in name.split('.') {
            let (own, list) = step.strip_suffix("[]").map_or((step, false), |own| (own, true));
            found = found.into_iter().flat_map(|tree| [tree.get(own), other_spelling(tree, own)]).flatten().collect();
            if list {
                found = found.into_iter().flat_map(Tree::elements).collect();
            }
        }
        found.into_iter().flat_map(values).collect()
    })
}

fn other_spelling<'a>(tree: &'a Tree, name: &str) -> Option<&'a Tree> {
    let camel = camel(name);
    if camel == name { None } else { tree.get(&camel) }
}

fn camel(name: &str) -> String {
    let mut parts = name.split('_');
    let mut camel = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let mut letters = part.chars();
        camel.extend(letters.next().map(|letter| letter.to_ascii_uppercase()));
        camel.push_str(letters.as_str());
    }
    camel
}

fn values(tree: &Tree) -> Vec<String> {
    match tree {
        Tree::Null => Vec::new(),
        Tree::Text(text) => vec![text.clone()],
        Tree::Whole(number) => vec![number.to_string()],
        Tree::List(list) => list.iter().flat_map(values).collect(),
        Tree::Huge | Tree::Other | Tree::Object(_) => vec!["\u{0}no id".to_owned()],
    }
}

fn in_query(call: &Call, field: &str, kind: Option<Kind>, query: &str) -> BTreeSet<String> {
    joined(field, kind, |name| {
        if let Some(capture) = captured(name) {
            return call.capture(capture).map(str::to_owned).into_iter().collect();
        }
        let pairs = url::form_urlencoded::parse(query.as_bytes());
        pairs.filter(|(own, _)| own == name).map(|(_, value)| value.into_owned()).collect()
    })
}

fn captured(name: &str) -> Option<&str> {
    name.strip_prefix('{').and_then(|name| name.strip_suffix('}'))
}

/// The values of a field under all its names; of `name/version` the two, joined.
fn joined(field: &str, kind: Option<Kind>, values: impl Fn(&str) -> Vec<String>) -> BTreeSet<String> {
    if kind != Some(Kind::ModelVersion) {
        return field.split('|').flat_map(values).collect();
    }
    let mut joined: Vec<String> = vec![String::new()];
    for part in field.split('/') {
        let each: Vec<String> = part.split('|').flat_map(&values).collect();
        joined = joined
            .iter()
            .flat_map(|before| {
                each.iter().map(move |one| if before.is_empty() { one.clone() } else { format!("{before}/{one}") })
            })
            .collect();
    }
    joined.into_iter().collect()
}

/// A call of a row, with `7` in each capture.
fn call(row: &'static Row) -> Option<Call> {
    let prefix = match row.prefixes {
        Prefixes::Both | Prefixes::Api => "/api/",
        Prefixes::Ajax => "/ajax-api/",
        Prefixes::None => "/",
    };
    let filled = |part: &str| match (part.split_once('{'), part.split_once('}')) {
        (Some((before, _)), Some((_, behind))) => format!("{before}7{behind}"),
        _ => part.to_owned(),
    };
    let place: Vec<String> = row.path.split('/').map(filled).collect();
    let path = Path::parse(&format!("{prefix}{}", place.join("/"))).ok()?;
    match classify(row.verb, &path) {
        Classified::Call(call) if std::ptr::eq(call.row, row) => Some(call),
        Classified::Call(_) | Classified::WrongMethod | Classified::Unknown => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_called() {
        let lost: Vec<&str> = rows().filter(|row| call(row).is_none()).map(|row| row.name).collect();
        assert!(lost.is_empty(), "{lost:?}");
    }
}
