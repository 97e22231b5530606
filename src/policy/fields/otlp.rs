//! Which traces do spans belong to?
//!
//! `/v1/traces` takes what OpenTelemetry's exporters send: an `ExportTraceServiceRequest` as protobuf or as JSON
//! (OTLP 1.5, "OTLP/HTTP"; MLflow 3.17.2, `server/otel_api.py`). Of it only the ids and the names of attributes are read,
//! by which MLflow adds spans to a trace and sets its tags. In JSON, ids are hex and members are camelCase, once each:
//! MLflow's reader takes other spellings too, and reads their ids as base64.

use std::collections::HashSet;
use std::sync::Arc;

use http::HeaderMap;
use http::header::CONTENT_TYPE;
use prost::Message;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::FieldFault;
use super::body::plain_object;
use super::plan::Plan;

/// Attributes of a root span that MLflow turns into tags of its trace (3.17.2, `SpanAttributeKey.TRACE_TAG_PREFIX`).
const TAG: &str = "mlflow.traceTag.";
/// The attribute in which clients repeat the trace's id; servers before 3.17 may take it for the id.
const REQUEST_ID: &str = "mlflow.traceRequestId";

/// Why spans are refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OtlpFault {
    /// Neither of the two forms, or told twice.
    #[error("Invalid Content-Type: the body must be `application/x-protobuf` or `application/json`, and say so once")]
    MediaType,
    /// Not what it says it is.
    #[error("the spans cannot be read: {0}")]
    Unreadable(String),
    /// A trace id of another length, or in JSON none in hex.
    #[error("a span's trace id is not 16 bytes")]
    TraceId,
    /// A span that names one trace as its own and another in an attribute.
    #[error("a span's attribute `{REQUEST_ID}` names another trace than the span does")]
    OtherTrace,
    /// A second spelling that MLflow takes too.
    #[error("`{0}` is to be spelled in camelCase")]
    Spelling(&'static str),
}

pub(super) fn read(
    plan: &Plan,
    headers: &HeaderMap,
    body: &[u8],
    slots: &mut [Option<Vec<Arc<str>>>],
) -> Result<(), FieldFault> {
    let told = match media_type(headers)? {
        Media::Protobuf => protobuf::read(body)?,
        Media::Json => json::read(plain_object(body)?)?,
    };
    for (slot, values) in plan.slots.iter().zip(slots) {
        let named = match slot.name {
            "otlp.trace_id" => &told.traces,
            "otlp.trace_tag" => &told.tags,
            _ => continue,
        };
        *values = (!named.is_empty()).then(|| named.iter().map(|name| Arc::from(name.as_str())).collect());
    }
    Ok(())
}

enum Media {
    Protobuf,
    Json,
}

/// As MLflow compares it: what stands before `;`, to the letter.
fn media_type(headers: &HeaderMap) -> Result<Media, OtlpFault> {
    let mut kinds = headers.get_all(CONTENT_TYPE).iter();
    let (Some(kind), None) = (kinds.next(), kinds.next()) else { return Err(OtlpFault::MediaType) };
    let kind = kind.to_str().map_err(|_| OtlpFault::MediaType)?;
    match kind.split(';').next().unwrap_or_default().trim() {
        "application/x-protobuf" => Ok(Media::Protobuf),
        "application/json" => Ok(Media::Json),
        _ => Err(OtlpFault::MediaType),
    }
}

/// What the spans name, each once.
#[derive(Debug, Default, PartialEq, Eq)]
struct Told {
    traces: Vec<String>,
    tags: Vec<String>,
    known: HashSet<String>,
    known_tags: HashSet<String>,
}

impl Told {
    /// A trace, by its id in hex.
    fn trace(&mut self, hex: &str) -> String {
        let id = format!("tr-{hex}");
        if self.known.insert(id.clone()) {
            self.traces.push(id.clone());
        }
        id
    }

    /// An attribute of a span.
    fn attribute(&mut self, trace: &str, key: &str, text: Option<&str>) -> Result<(), OtlpFault> {
        if let Some(tag) = key.strip_prefix(TAG) {
            self.tag(tag);
        }
        if key == REQUEST_ID && !text.is_some_and(|text| names(text, trace)) {
            return Err(OtlpFault::OtherTrace);
        }
        Ok(())
    }

    /// A tag that the trace gets. Attributes of the resource become tags by their own names.
    fn tag(&mut self, tag: &str) {
        if !self.known_tags.contains(tag) {
            self.known_tags.insert(tag.to_owned());
            self.tags.push(tag.to_owned());
        }
    }
}

/// Whether an attribute's text is the trace's id: as it is, or as JSON writes it, as MLflow's client does.
fn names(text: &str, trace: &str) -> bool {
    text == trace || serde_json::from_str::<String>(text).is_ok_and(|inner| inner == trace)
}

fn hex(bytes: &[u8]) -> Result<String, OtlpFault> {
    use std::fmt::Write as _;

    if bytes.len() != 16 {
        return Err(OtlpFault::TraceId);
    }
    let mut text = String::with_capacity(32);
    for byte in bytes {
        // Writing to a `String` cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    Ok(text)
}

/// The binary form. Fields that are not declared are walked over (opentelemetry-proto 1.5).
mod protobuf {
    use super::{Message, OtlpFault, Told, hex};

    #[derive(Clone, PartialEq, Message)]
    pub(super) struct Export {
        #[prost(message, repeated, tag = "1")]
        pub(super) resource_spans: Vec<ResourceSpans>,
    }

    #[derive(Clone, PartialEq, Message)]
    pub(super) struct ResourceSpans {
        #[prost(message, optional, tag = "1")]
        pub(super) resource: Option<Resource>,
        #[prost(message, repeated, tag = "2")]
        pub(super) scope_spans: Vec<ScopeSpans>,
    }

    #[derive(Clone, PartialEq, Message)]
    pub(super) struct Resource {
        #[prost(message, repeated, tag = "1")]
        pub(super) attributes: Vec<KeyValue>,
    }

    #[derive(Clone, PartialEq, Message)]
    pub(super) struct ScopeSpans {
        #[prost(message, repeated, tag = "2")]
        pub(super) spans: Vec<Span>,
    }

    #[derive(Clone, PartialEq, Message)]
    pub(super) struct Span {
        #[prost(bytes = "vec", tag = "1")]
        pub(super) trace_id: Vec<u8>,
        #[prost(message, repeated, tag = "9")]
        pub(super) attributes: Vec<KeyValue>,
    }

    #[derive(Clone, PartialEq, Message)]
    pub(super) struct KeyValue {
        #[prost(string, tag = "1")]
        pub(super) key: String,
        #[prost(message, optional, tag = "2")]
        pub(super) value: Option<AnyValue>,
    }

    #[derive(Clone, PartialEq, Message)]
    pub(super) struct AnyValue {
        #[prost(string, optional, tag = "1")]
        pub(super) string_value: Option<String>,
    }

    pub(super) fn read(body: &[u8]) -> Result<Told, OtlpFault> {
        let export = Export::decode(body).map_err(|fault| OtlpFault::Unreadable(fault.to_string()))?;
        let mut told = Told::default();
        for group in export.resource_spans {
            for attribute in group.resource.into_iter().flat_map(|resource| resource.attributes) {
                told.tag(&attribute.key);
            }
            for span in group.scope_spans.into_iter().flat_map(|scope| scope.spans) {
                let trace = told.trace(&hex(&span.trace_id)?);
                for KeyValue { key, value } in span.attributes {
                    let text = value.and_then(|value| value.string_value);
                    told.attribute(&trace, &key, text.as_deref())?;
                }
            }
        }
        Ok(told)
    }
}

/// The form for people. serde refuses a member that stands twice.
mod json {
    use super::{Deserialize, IgnoredAny, OtlpFault, Told};

    #[derive(Deserialize)]
    struct Export {
        #[serde(rename = "resourceSpans", default)]
        resource_spans: Vec<ResourceSpans>,
        #[serde(rename = "resource_spans")]
        twin: Option<IgnoredAny>,
    }

    #[derive(Deserialize)]
    struct ResourceSpans {
        resource: Option<Resource>,
        #[serde(rename = "scopeSpans", default)]
        scope_spans: Vec<ScopeSpans>,
        #[serde(rename = "scope_spans")]
        twin: Option<IgnoredAny>,
    }

    #[derive(Deserialize)]
    struct Resource {
        #[serde(default)]
        attributes: Vec<KeyValue>,
    }

    #[derive(Deserialize)]
    struct ScopeSpans {
        #[serde(default)]
        spans: Vec<Span>,
    }

    #[derive(Deserialize)]
    struct Span {
        #[serde(rename = "traceId", default)]
        trace_id: String,
        #[serde(rename = "trace_id")]
        twin: Option<IgnoredAny>,
        #[serde(default)]
        attributes: Vec<KeyValue>,
    }

    #[derive(Deserialize)]
    struct KeyValue {
        #[serde(default)]
        key: String,
        value: Option<AnyValue>,
    }

    #[derive(Deserialize)]
    struct AnyValue {
        #[serde(rename = "stringValue")]
        string_value: Option<String>,
        #[serde(rename = "string_value")]
        twin: Option<IgnoredAny>,
    }

    pub(super) fn read(text: &str) -> Result<Told, OtlpFault> {
        let export: Export = serde_json::from_str(text).map_err(|fault| OtlpFault::Unreadable(fault.to_string()))?;
        let mut told = Told::default();
        once(export.twin, "resource_spans")?;
        for group in export.resource_spans {
            once(group.twin, "scope_spans")?;
            for attribute in group.resource.into_iter().flat_map(|resource| resource.attributes) {
                told.tag(&attribute.key);
            }
            for span in group.scope_spans.into_iter().flat_map(|scope| scope.spans) {
                once(span.twin, "trace_id")?;
                let trace = told.trace(&lower(&span.trace_id)?);
                for KeyValue { key, value } in span.attributes {
                    let text = match value {
                        Some(value) => {
                            once(value.twin, "string_value")?;
                            value.string_value
                        }
                        None => None,
                    };
                    told.attribute(&trace, &key, text.as_deref())?;
                }
            }
        }
        Ok(told)
    }

    fn once(twin: Option<IgnoredAny>, name: &'static str) -> Result<(), OtlpFault> {
        if twin.is_some() { Err(OtlpFault::Spelling(name)) } else { Ok(()) }
    }

    fn lower(hex: &str) -> Result<String, OtlpFault> {
        if hex.len() == 32 && hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            Ok(hex.to_ascii_lowercase())
        } else {
            Err(OtlpFault::TraceId)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::protobuf::{AnyValue, Export, KeyValue, Resource, ResourceSpans, ScopeSpans, Span};
    use super::*;

    const ID: [u8; 16] =
        [0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef, 0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef];
    const TRACE: &str = "tr-0123456789abcdef0123456789abcdef";

    fn pair(key: &str, text: &str) -> KeyValue {
        KeyValue { key: key.to_owned(), value: Some(AnyValue { string_value: Some(text.to_owned()) }) }
    }

    fn export(spans: Vec<Span>, resource: Vec<KeyValue>) -> Vec<u8> {
        let group = ResourceSpans {
            resource: Some(Resource { attributes: resource }),
            scope_spans: vec![ScopeSpans { spans }],
        };
        Export { resource_spans: vec![group] }.encode_to_vec()
    }

    fn span(id: &[u8], attributes: Vec<KeyValue>) -> Span {
        Span { trace_id: id.to_vec(), attributes }
    }

    fn json_of(span: &str) -> String {
        format!(r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{span}]}}]}}]}}"#)
    }

    #[test]
    fn each_trace_of_a_batch_is_named_once_and_its_tags_too() {
        let spans = vec![
            span(&ID, vec![pair("mlflow.traceTag.team", "a"), pair("other", "x")]),
            span(&ID, vec![pair("mlflow.traceTag.team", "b")]),
            span(&[7; 16], vec![pair(REQUEST_ID, &format!("\"tr-{}\"", "07".repeat(16)))]),
        ];
        let told = protobuf::read(&export(spans, vec![pair("service.name", "s")])).unwrap();
        assert_eq!(told.traces, [TRACE.to_owned(), format!("tr-{}", "07".repeat(16))]);
        assert_eq!(told.tags, ["service.name", "team"]);
    }

    #[test]
    fn a_batch_of_a_hundred_thousand_tags_holds_nobody_up() {
        let tags: Vec<KeyValue> = (0..100_000).map(|n| pair(&format!("tag-{n}"), "")).collect();
        let body = export(vec![span(&ID, Vec::new())], tags);
        let begun = std::time::Instant::now();
        assert_eq!(protobuf::read(&body).unwrap().tags.len(), 100_000);
        assert!(begun.elapsed() < std::time::Duration::from_secs(8));
    }

    #[test]
    fn json_tells_the_same() {
        let text = json_of(
            r#"{"traceId":"0123456789ABCDEF0123456789abcdef","name":"n","attributes":[
                {"key":"mlflow.traceTag.mlflow.artifactLocation","value":{"stringValue":"s3://x"}}]}"#,
        );
        let told = json::read(&text).unwrap();
        assert_eq!(told.traces, [TRACE]);
        assert_eq!(told.tags, ["mlflow.artifactLocation"]);
    }

    #[test]
    fn an_id_of_another_length_is_refused() {
        // `int.from_bytes` would read each of these as an id of 16 bytes, or of more.
        for id in [&b""[..], &ID[1..], &[&[0][..], &ID].concat()] {
            let spans = vec![span(id, Vec::new())];
            assert_eq!(protobuf::read(&export(spans, Vec::new())), Err(OtlpFault::TraceId));
        }
        for id in [
            "",
            "0123",
            " 123456789abcdef0123456789abcdef",
            "01 23456789abcdef0123456789abcdef",
            "ASNFZ4mrze8BI0VniavN7w==",
        ] {
            let text = json_of(&format!(r#"{{"traceId":"{id}"}}"#));
            assert_eq!(json::read(&text), Err(OtlpFault::TraceId), "{id}");
        }
    }

    #[test]
    fn a_span_that_names_two_traces_is_refused() {
        let other = format!("\"tr-{}\"", "f".repeat(32));
        for text in [other.as_str(), "", "7", "[\"tr-0123456789abcdef0123456789abcdef\"]"] {
            let spans = vec![span(&ID, vec![pair(REQUEST_ID, text)])];
            assert_eq!(protobuf::read(&export(spans, Vec::new())), Err(OtlpFault::OtherTrace), "{text}");
        }
        for text in [TRACE.to_owned(), format!("\"{TRACE}\"")] {
            let spans = vec![span(&ID, vec![pair(REQUEST_ID, &text)])];
            assert!(protobuf::read(&export(spans, Vec::new())).is_ok(), "{text}");
        }
    }

    #[test]
    fn spellings_that_protobuf_takes_besides_are_refused() {
        for text in [
            r#"{"resource_spans":[{}]}"#,
            r#"{"resourceSpans":[{"scope_spans":[]}]}"#,
            &json_of(r#"{"traceId":"0123456789abcdef0123456789abcdef","trace_id":"AAAA"}"#),
            &json_of(
                r#"{"traceId":"0123456789abcdef0123456789abcdef",
                    "attributes":[{"key":"mlflow.traceRequestId","value":{"string_value":"x"}}]}"#,
            ),
        ] {
            assert!(matches!(json::read(text), Err(OtlpFault::Spelling(_))), "{text}");
        }
    }

    #[test]
    fn a_member_that_stands_twice_is_refused() {
        let id = "0123456789abcdef0123456789abcdef";
        for text in [
            r#"{"resourceSpans":[],"resourceSpans":[]}"#.to_owned(),
            json_of(&format!(r#"{{"traceId":"{id}","traceId":"{}"}}"#, "f".repeat(32))),
            json_of(&format!(r#"{{"traceId":"{id}","attributes":[{{"key":"a","key":"b"}}]}}"#)),
        ] {
            assert!(matches!(json::read(&text), Err(OtlpFault::Unreadable(_))), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_decoded_is_refused() {
        let whole = export(vec![span(&ID, Vec::new())], Vec::new());
        assert!(protobuf::read(&whole[..whole.len() - 1]).is_err());
        assert!(protobuf::read(b"\xff\xff\xff\xff").is_err());
        assert!(json::read("{").is_err());
        assert!(json::read(r#"{"resourceSpans":{}}"#).is_err());
    }

    #[test]
    fn the_form_is_told_once_and_to_the_letter() {
        let told = |kinds: &[&str]| {
            let mut headers = HeaderMap::new();
            for kind in kinds {
                headers.append(CONTENT_TYPE, kind.parse().unwrap());
            }
            media_type(&headers).is_ok()
        };
        assert!(told(&["application/x-protobuf"]) && told(&["application/json; charset=utf-8"]));
        assert!(!told(&[]) && !told(&["text/plain"]) && !told(&["Application/JSON"]));
        assert!(!told(&["application/json", "application/x-protobuf"]));
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_the_readers_panic(body in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
            drop(protobuf::read(&body));
            drop(json::read(&String::from_utf8_lossy(&body)));
        }
    }
}
