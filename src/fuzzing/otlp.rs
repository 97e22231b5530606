//! Are the traces that spans name read in one way only?

use std::collections::BTreeSet;
use std::sync::LazyLock;

use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue};

use super::Bytes;
use super::fields::calls;
use super::json::{Tree, Wins};
use crate::policy::classify::Call;
use crate::policy::fields;
use crate::policy::route::BodyClass;

/// The call that takes spans.
static EXPORT: LazyLock<&Call> = LazyLock::new(|| {
    let mut found = calls().iter().filter(|call| call.row.body == BodyClass::Otlp);
    found.next().unwrap_or_else(|| panic!("the table has no row for spans"))
});

static PROTOBUF: LazyLock<HeaderMap> = LazyLock::new(|| headers("application/x-protobuf"));
static JSON: LazyLock<HeaderMap> = LazyLock::new(|| headers("application/json"));

fn headers(kind: &'static str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert("x-mlflow-experiment-id", HeaderValue::from_static("1"));
    headers
}

/// Any body as spans, protobuf if the first byte is even, else JSON: the traces found in what is accepted are those that
/// another reader finds.
pub fn otlp(data: &[u8]) {
    let mut bytes = Bytes::new(data);
    let binary = bytes.byte().is_multiple_of(2);
    let body = bytes.rest();
    let Ok(read) = fields::read(&EXPORT, if binary { &PROTOBUF } else { &JSON }, None, Some(body)) else { return };
    let ours: BTreeSet<String> = read.each("otlp.trace_id").iter().map(ToString::to_string).collect();
    if binary {
        let theirs = in_protobuf(body).unwrap_or_else(|| panic!("taken, though it is no protobuf: {body:02x?}"));
        assert_eq!(ours, theirs, "{body:02x?}");
        return;
    }
    for wins in [Wins::First, Wins::Last] {
        // A number that no f64 holds is JSON all the same.
        let Some(tree) = Tree::read(body, wins) else { return };
        assert_eq!(ours, in_json(&tree), "{:?}", String::from_utf8_lossy(body));
    }
}

/// Walks the wire by hand (protobuf's "Encoding"): `resource_spans` 1, `scope_spans` 2, `spans` 2, `trace_id` 1, of which
/// the last counts.
fn in_protobuf(body: &[u8]) -> Option<BTreeSet<String>> {
    let mut traces = BTreeSet::new();
    for group in members(body, 1)? {
        for scope in members(group, 2)? {
            for span in members(scope, 2)? {
                let id = members(span, 1)?.last().copied().unwrap_or_default();
                traces.insert(id.iter().fold("tr-".to_owned(), |id, byte| format!("{id}{byte:02x}")));
            }
        }
    }
    Some(traces)
}

/// The length-delimited fields of this number.
fn members(mut message: &[u8], wanted: u64) -> Option<Vec<&[u8]>> {
    let mut found = Vec::new();
    let mut groups: Vec<u64> = Vec::new();
    while !message.is_empty() {
        let key = varint(&mut message)?;
        let (number, form) = (key >> 3, key & 7);
        match form {
            0 => drop(varint(&mut message)?),
            1 => drop(take(&mut message, 8)?),
            2 => {
                let length = usize::try_from(varint(&mut message)?).ok()?;
                let field = take(&mut message, length)?;
                if number == wanted && groups.is_empty() {
                    found.push(field);
                }
            }
            // Groups are no longer written, and readers walk over them.
            3 => groups.push(number),
            4 => drop(groups.pop().filter(|begun| *begun == number)?),
            5 => drop(take(&mut message, 4)?),
            _ => return None,
        }
    }
    groups.is_empty().then_some(found)
}

fn take<'a>(from: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, rest) = from.split_at_checked(length)?;
    *from = rest;
    Some(taken)
}

fn varint(from: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for place in 0..10 {
        let byte = take(from, 1)?.first().copied()?;
        value |= u64::from(byte & 0x7f) << (7 * place);
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

/// Every `traceId` and `trace_id`, in either spelling of what it lies in.
fn in_json(tree: &Tree) -> BTreeSet<String> {
    let steps = [["resourceSpans", "resource_spans"], ["scopeSpans", "scope_spans"], ["spans", "spans"]];
    let spans = steps.into_iter().fold(vec![tree], |trees, names| {
        trees.into_iter().flat_map(|tree| either(tree, names)).flat_map(Tree::elements).collect()
    });
    let id = |span: &Tree| match either(span, ["traceId", "trace_id"]).next() {
        Some(Tree::Text(id)) => format!("tr-{}", id.to_ascii_lowercase()),
        _ => "no id".to_owned(),
    };
    spans.into_iter().map(id).collect()
}

fn either<'a>(tree: &'a Tree, names: [&str; 2]) -> impl Iterator<Item = &'a Tree> {
    names.map(|name| tree.get(name)).into_iter().flatten()
}
