//! What does a list request ask for, and how is it asked for in pages?
//!
//! MLflow reads a search from the query of a GET and from the JSON body of a POST (MLflow 3.17.2,
//! `server/handlers.py:_get_request_message`): `snake_case` names in a query, of repeated ones the first;
//! `snake_case` or `lowerCamelCase` in a body, where `null` is absent. What could be read in two ways is refused here. Only the members that
//! page and narrow are written anew; all the others keep their bytes.

#[cfg(test)]
pub(crate) mod tests;

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::json::{BadJson, Value, write_string};
use super::token::{Mark, mark};
use crate::message::{Body, Payload, Peer, Request};
use crate::mlflow::ids::WorkspaceName;
use crate::policy::path::Path;
use crate::policy::route::Verb;

/// What need not be encoded in a query value (RFC 3986 section 2.3).
const VALUE: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A list request that cannot be read in one way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadQuery {
    /// The body is not JSON.
    #[error("the body cannot be read: {0}")]
    Json(#[from] BadJson),
    /// The body is JSON, but no object.
    #[error("the body is not a JSON object")]
    NotAnObject,
    /// One field twice.
    #[error("`{0}` stands more than once")]
    Twice(&'static str),
    /// Of the wrong type.
    #[error("`{0}` has the wrong type")]
    WrongType(&'static str),
    /// Bytes that are not UTF-8 once decoded.
    #[error("the query is not UTF-8")]
    NotUtf8,
    /// The body was not read before.
    #[error("the body was not read")]
    BodyNotRead,
}

/// The fields that page and narrow, in both spellings.
const ROWS: Name = Name { snake: "max_results", camel: "maxResults" };
const PAGE: Name = Name { snake: "page_token", camel: "pageToken" };
const FILTER: Name = Name { snake: "filter", camel: "filter" };

#[derive(Debug, Clone, Copy)]
struct Name {
    snake: &'static str,
    camel: &'static str,
}

/// How many rows are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rows {
    /// It does not say.
    Absent,
    /// So many.
    Count(u32),
    /// Something that is not a plain number: MLflow's to judge.
    Odd,
}

/// A list request, without a body that streams: what pages are made from.
#[derive(Debug, Clone)]
pub(crate) struct Original {
    id: Arc<str>,
    workspace: Option<WorkspaceName>,
    verb: Verb,
    path: Path,
    query: Option<String>,
    headers: http::HeaderMap,
    body: Option<Bytes>,
    peer: Peer,
}

impl Original {
    /// The body, if it was read.
    pub(crate) fn body(&self) -> Option<&Bytes> {
        self.body.as_ref()
    }

    /// The workspace that it acts in, if it says; part of what every next page must have in common with this one.
    pub(crate) fn workspace(&self) -> &str {
        self.workspace.as_ref().map_or("", WorkspaceName::as_str)
    }
}

impl From<&Request> for Original {
    fn from(request: &Request) -> Self {
        Self {
            id: Arc::clone(&request.id),
            workspace: request.workspace.clone(),
            verb: request.verb,
            path: request.path.clone(),
            query: request.query.clone(),
            headers: request.headers.clone(),
            body: match &request.payload {
                Payload::Judged(body) => Some(body.clone()),
                Payload::Stream(_) => None,
            },
            peer: request.peer.clone(),
        }
    }
}

/// What a list request asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Query {
    pub(crate) rows: Rows,
    /// Absent and empty are the same to MLflow (`page_token or None`).
    pub(crate) page: Option<String>,
    /// Absent and empty are the same to MLflow.
    pub(crate) filter: String,
    /// Digest of all that a next page must have in common with this one.
    pub(crate) mark: Mark,
}

/// Which page is asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Turn<'a> {
    /// The one that the request names.
    #[default]
    AsAsked,
    /// The first.
    First,
    /// The one that this token names.
    To(&'a str),
}

impl<'a> From<Option<&'a str>> for Turn<'a> {
    fn from(token: Option<&'a str>) -> Self {
        token.map_or(Self::First, Self::To)
    }
}

/// What is written anew in a request for one page.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Changes<'a> {
    pub(crate) rows: Option<u32>,
    pub(crate) page: Turn<'a>,
    pub(crate) filter: Option<&'a str>,
    /// A list of ids, by the name of its field.
    pub(crate) ids: Option<(&'static str, &'a [&'a Arc<str>])>,
}

impl Query {
    /// Reads what `request` asks for. The call, the caller and the workspace go into the mark.
    ///
    /// # Errors
    /// [`BadQuery`] for what could be read in two ways.
    pub(crate) fn read(request: &Original, call: &str, caller: &str) -> Result<Self, BadQuery> {
        let fields = Source::of(request)?.fields()?;
        let mut rest: Vec<(&str, &str)> = fields
            .iter()
            .filter(|(name, _)| ![ROWS, PAGE].iter().any(|own| own.snake == *name || own.camel == *name))
            .map(|(name, raw)| (&**name, &**raw))
            .collect();
        rest.sort_unstable();
        let own = [call, caller, request.workspace()];
        let mark = mark(own.into_iter().chain(rest.into_iter().flat_map(|(name, raw)| [name, raw])));
        let source = Source::of(request)?;
        let rows = match source.scalar(ROWS)? {
            None => Rows::Absent,
            Some(text) => match text.as_str() {
                Some(digits) if (1..=9).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit()) => {
                    digits.parse().map_or(Rows::Odd, Rows::Count)
                }
                _ => Rows::Odd,
            },
        };
        let page = source.string(PAGE)?.filter(|page| !page.is_empty());
        let filter = source.string(FILTER)?.unwrap_or_default();
        Ok(Self { rows, page, filter, mark })
    }
}

/// The ids in a list field, or in a list of objects (`a[].b.c`); `None` when it is absent.
///
/// # Errors
/// [`BadQuery`] when it is not a list of strings.
pub(crate) fn ids(request: &Original, field: &'static str) -> Result<Option<Vec<Arc<str>>>, BadQuery> {
    let body = match Source::of(request)? {
        Source::Body(body) => body,
        Source::Query(query) => {
            let named = pairs(query).filter_map(|pair| match pair {
                Ok((_, name, value)) => (name == field).then(|| Ok(Arc::from(&*value))),
                Err(fault) => Some(Err(fault)),
            });
            let ids: Vec<Arc<str>> = named.collect::<Result<_, _>>()?;
            return Ok((!ids.is_empty()).then_some(ids));
        }
    };
    if let Some((list, inner)) = field.split_once("[].") {
        let Some(value) = body.get(list)?.filter(|value| !value.is_null()) else { return Ok(None) };
        let elements = value.elements().ok_or(BadQuery::WrongType(field))?;
        let ids = elements.map(|one| {
            let id = one.at(inner)?.and_then(Value::as_str).ok_or(BadQuery::WrongType(field))?;
            Ok(Arc::from(&*id))
        });
        return ids.collect::<Result<_, BadQuery>>().map(Some);
    }
    let camel = camel(field);
    let value = match (body.get(field)?, (camel != field).then(|| body.get(&camel)).transpose()?.flatten()) {
        (Some(_), Some(_)) => return Err(BadQuery::Twice(field)),
        (Some(value), None) | (None, Some(value)) if !value.is_null() => value,
        (Some(_), None) | (None, Some(_) | None) => return Ok(None),
    };
    let elements = value.elements().ok_or(BadQuery::WrongType(field))?;
    let ids = elements.map(|id| id.as_str().map(|id| Arc::from(&*id)).ok_or(BadQuery::WrongType(field)));
    ids.collect::<Result<_, _>>().map(Some)
}

/// The request for one page: the same, with `changes`, and with headers under which the answer can be read.
///
/// # Errors
/// [`BadQuery`], as [`Query::read`].
pub(crate) fn page_of(request: &Original, changes: Changes<'_>) -> Result<Request, BadQuery> {
    let (query, payload) = match Source::of(request)? {
        Source::Query(query) => (write_query(query, changes)?, Payload::Stream(Body::Empty)),
        Source::Body(body) => (request.query.clone(), Payload::Judged(write_body(body, changes))),
    };
    let mut headers = request.headers.clone();
    readable(&mut headers);
    headers.remove(http::header::CONTENT_LENGTH);
    Ok(Request {
        id: Arc::clone(&request.id),
        workspace: request.workspace.clone(),
        verb: request.verb,
        head_only: false,
        looked_over: false,
        path: request.path.clone(),
        query,
        headers,
        payload,
        peer: request.peer.clone(),
    })
}

/// The same request with another body, and with headers under which the answer can be read.
pub(crate) fn with_body(request: &Original, body: Bytes) -> Request {
    let mut headers = request.headers.clone();
    readable(&mut headers);
    headers.remove(http::header::CONTENT_LENGTH);
    Request {
        id: Arc::clone(&request.id),
        verb: request.verb,
        head_only: false,
        looked_over: false,
        path: request.path.clone(),
        query: request.query.clone(),
        headers,
        payload: Payload::Judged(body),
        workspace: request.workspace.clone(),
        peer: request.peer.clone(),
    }
}

/// Changes the headers of a request so that its answer can be read: whole, uncompressed, and not "not modified".
pub(crate) fn readable(headers: &mut http::HeaderMap) {
    use http::header::{
        ACCEPT_ENCODING, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE, RANGE,
    };
    for name in [IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE, RANGE] {
        headers.remove(name);
    }
    headers.insert(ACCEPT_ENCODING, http::HeaderValue::from_static("identity"));
}

/// A name and a value.
type Pair<'a> = (Cow<'a, str>, Cow<'a, str>);

/// Where a request's fields stand.
enum Source<'a> {
    Query(&'a str),
    Body(Value<'a>),
}

impl<'a> Source<'a> {
    fn of(request: &'a Original) -> Result<Self, BadQuery> {
        match (request.verb, &request.body) {
            (Verb::Get, _) => Ok(Self::Query(request.query.as_deref().unwrap_or_default())),
            (Verb::Post | Verb::Put | Verb::Patch | Verb::Delete, Some(body)) => {
                let body = if body.is_empty() { Value::parse(b"{}")? } else { Value::parse(body)? };
                if body.is_object() { Ok(Self::Body(body)) } else { Err(BadQuery::NotAnObject) }
            }
            (Verb::Post | Verb::Put | Verb::Patch | Verb::Delete, None) => Err(BadQuery::BodyNotRead),
        }
    }

    /// Every field as it is spelled, with its raw value.
    fn fields(&self) -> Result<Vec<Pair<'a>>, BadQuery> {
        match self {
            Self::Query(query) => pairs(query).map(|pair| pair.map(|(_, name, value)| (name, value))).collect(),
            Self::Body(body) => body
                .members()
                .map(|(name, value)| Ok((name.as_str().ok_or(BadQuery::NotUtf8)?, Cow::Borrowed(value.raw()))))
                .collect(),
        }
    }

    /// The one value of a field: what stands in the query, or a scalar of the body.
    fn scalar(&self, name: Name) -> Result<Option<Scalar<'a>>, BadQuery> {
        match self {
            Self::Query(query) => {
                let mut found = None;
                for pair in pairs(query) {
                    let (_, own, value) = pair?;
                    if own == name.snake && found.replace(value).is_some() {
                        return Err(BadQuery::Twice(name.snake));
                    }
                }
                Ok(found.map(Scalar::Text))
            }
            Self::Body(body) => {
                let snake = body.get(name.snake).map_err(|_| BadQuery::Twice(name.snake))?;
                let camel = if name.camel == name.snake {
                    None
                } else {
                    body.get(name.camel).map_err(|_| BadQuery::Twice(name.snake))?
                };
                match (snake, camel) {
                    (Some(_), Some(_)) => Err(BadQuery::Twice(name.snake)),
                    (Some(value), None) | (None, Some(value)) => Ok((!value.is_null()).then_some(Scalar::Json(value))),
                    (None, None) => Ok(None),
                }
            }
        }
    }

    fn string(&self, name: Name) -> Result<Option<String>, BadQuery> {
        match self.scalar(name)? {
            None => Ok(None),
            Some(Scalar::Text(text)) => Ok(Some(text.into_owned())),
            Some(Scalar::Json(value)) => match value.as_str() {
                Some(text) => Ok(Some(text.into_owned())),
                None => Err(BadQuery::WrongType(name.snake)),
            },
        }
    }
}

enum Scalar<'a> {
    Text(Cow<'a, str>),
    Json(Value<'a>),
}

impl Scalar<'_> {
    /// Digits as such, or as a string: protobuf JSON takes both.
    fn as_str(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::Text(text) => Some(Cow::Borrowed(text)),
            Self::Json(value) => value.as_str().or(Some(Cow::Borrowed(value.raw()))),
        }
    }
}

/// The pairs of a query as werkzeug splits them: raw, decoded name, decoded value.
fn pairs(query: &str) -> impl Iterator<Item = Result<(&str, Cow<'_, str>, Cow<'_, str>), BadQuery>> {
    query.split('&').filter(|raw| !raw.is_empty()).map(|raw| {
        let (name, value) = raw.split_once('=').unwrap_or((raw, ""));
        Ok((raw, decoded(name)?, decoded(value)?))
    })
}

fn decoded(text: &str) -> Result<Cow<'_, str>, BadQuery> {
    if !text.contains('+') {
        return percent_decode_str(text).decode_utf8().map_err(|_| BadQuery::NotUtf8);
    }
    let spaced = text.replace('+', " ");
    percent_decode_str(&spaced).decode_utf8().map(|text| Cow::Owned(text.into_owned())).map_err(|_| BadQuery::NotUtf8)
}

fn write_query(query: &str, changes: Changes<'_>) -> Result<Option<String>, BadQuery> {
    let mut out = String::with_capacity(query.len() + 64);
    let mut push = |text: &str| {
        if !out.is_empty() {
            out.push('&');
        }
        out.push_str(text);
    };
    for pair in pairs(query) {
        let (raw, name, _) = pair?;
        let replaced = (changes.rows.is_some() && name == ROWS.snake)
            || (changes.page != Turn::AsAsked && name == PAGE.snake)
            || (changes.filter.is_some() && name == FILTER.snake)
            || changes.ids.is_some_and(|(field, _)| name == field);
        if !replaced {
            push(raw);
        }
    }
    if let Some((field, ids)) = changes.ids {
        for id in ids {
            push(&format!("{field}={}", utf8_percent_encode(id, VALUE)));
        }
    }
    if let Some(filter) = changes.filter {
        push(&format!("{}={}", FILTER.snake, utf8_percent_encode(filter, VALUE)));
    }
    if let Some(rows) = changes.rows {
        push(&format!("{}={rows}", ROWS.snake));
    }
    if let Turn::To(page) = changes.page {
        push(&format!("{}={}", PAGE.snake, utf8_percent_encode(page, VALUE)));
    }
    Ok((!out.is_empty()).then_some(out))
}

fn write_body(body: Value<'_>, changes: Changes<'_>) -> Bytes {
    let mut out = Vec::with_capacity(body.raw().len() + 128);
    out.push(b'{');
    let mut first = true;
    let mut comma = |out: &mut Vec<u8>| {
        if !std::mem::take(&mut first) {
            out.push(b',');
        }
    };
    let changed = changes.ids.map(|(field, ids)| (field.split_once("[].").map_or((field, ""), |parts| parts), ids));
    let ids_camel = changed.map(|((list, _), _)| camel(list));
    for (key, value) in body.members() {
        let name = key.as_str().unwrap_or_default();
        let is = |own: Name| name == own.snake || name == own.camel;
        let replaced = (changes.rows.is_some() && is(ROWS))
            || (changes.page != Turn::AsAsked && is(PAGE))
            || (changes.filter.is_some() && is(FILTER))
            || changed.is_some_and(|((list, _), _)| name == list || Some(&*name) == ids_camel.as_deref());
        if !replaced {
            comma(&mut out);
            out.extend_from_slice(key.raw().as_bytes());
            out.push(b':');
            out.extend_from_slice(value.raw().as_bytes());
        }
    }
    if let Some(((list, inner), ids)) = changed {
        comma(&mut out);
        write_string(&mut out, list);
        out.extend_from_slice(b":[");
        for (n, id) in ids.iter().enumerate() {
            if n > 0 {
                out.push(b',');
            }
            write_nested(&mut out, inner, id);
        }
        out.push(b']');
    }
    let page = match changes.page {
        Turn::To(page) => Some(page),
        Turn::AsAsked | Turn::First => None,
    };
    let texts = [(FILTER, changes.filter), (PAGE, page)];
    for (name, text) in texts {
        if let Some(text) = text {
            comma(&mut out);
            write_string(&mut out, name.snake);
            out.push(b':');
            write_string(&mut out, text);
        }
    }
    if let Some(rows) = changes.rows {
        comma(&mut out);
        write_string(&mut out, ROWS.snake);
        out.extend_from_slice(format!(":{rows}").as_bytes());
    }
    out.push(b'}');
    Bytes::from(out)
}

/// `id`, within objects that have one member each.
fn write_nested(out: &mut Vec<u8>, path: &str, id: &str) {
    let steps = path.split('.').filter(|step| !step.is_empty());
    let depth = steps.clone().count();
    for step in steps {
        out.push(b'{');
        write_string(out, step);
        out.push(b':');
    }
    write_string(out, id);
    out.extend(std::iter::repeat_n(b'}', depth));
}

/// protobuf's JSON name of a field.
fn camel(field: &str) -> String {
    let mut out = String::with_capacity(field.len());
    let mut up = false;
    for character in field.chars() {
        if character == '_' {
            up = true;
        } else if std::mem::take(&mut up) {
            out.extend(character.to_uppercase());
        } else {
            out.push(character);
        }
    }
    out
}
