//! How are the fields of a request written on a command line?
//!
//! In the words of the table (`docs/routes.md`): `run_id=abc`, `experiment_ids[]=1`, `trace.trace_info.trace_id=tr-1`,
//! `tags[].key=team`, `tags[mlflow.sourceRun]=abc`, `header.x-mlflow-run-id=abc`, `otlp.trace_id=tr-...`, and with `:=`
//! what stands for itself as JSON.

use anyhow::{Context as _, anyhow, bail};
use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use serde_json::{Map, Value, json};

/// What was given for one request.
#[derive(Debug)]
pub(super) struct Given {
    /// The members of the body, or the parameters of the query.
    pub(super) members: Map<String, Value>,
    pub(super) headers: HeaderMap,
}

impl Given {
    /// Reads the fields; in a body, names lead into objects and lists.
    pub(super) fn read(fields: &[String], body: bool) -> anyhow::Result<Self> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let mut members = Value::Object(Map::new());
        for field in fields {
            let (name, value) =
                field.split_once('=').ok_or_else(|| anyhow!("`{field}` is no field: write `name=value`"))?;
            let (name, value) = match name.strip_suffix(':') {
                Some(name) => {
                    let json = serde_json::from_str(value);
                    (name, json.with_context(|| format!("the value of `{name}` is not JSON"))?)
                }
                None => (name, json!(value)),
            };
            if let Some(header) = name.strip_prefix("header.") {
                let bad = || anyhow!("`{name}` is no header field");
                let header = HeaderName::try_from(header).map_err(|_| bad())?;
                headers.append(header, HeaderValue::try_from(plain(&value)).map_err(|_| bad())?);
                continue;
            }
            let steps = if body { steps(name) } else { flat(name) };
            let steps = steps.ok_or_else(|| anyhow!("`{name}` is no name of a field"))?;
            if !put(&mut members, &steps, value) {
                bail!(
                    "`{name}` is given twice, or as two different things; an element of a list is written `{name}[]=...`"
                );
            }
        }
        let Value::Object(members) = members else { bail!("the fields are no object") };
        Ok(Self { members, headers })
    }

    /// The fields as parameters, behind those that are there.
    pub(super) fn query(&self, before: Option<&str>) -> String {
        let mut pairs = url::form_urlencoded::Serializer::new(before.unwrap_or_default().to_owned());
        for (name, value) in &self.members {
            match value {
                Value::Array(items) => {
                    for item in items {
                        pairs.append_pair(name, &plain(item));
                    }
                }
                value => drop(pairs.append_pair(name, &plain(value))),
            }
        }
        pairs.finish()
    }

    /// The fields as a body. `otlp.trace_id` and `otlp.trace_tag` stand for spans that name them.
    pub(super) fn body(self) -> anyhow::Result<Vec<u8>> {
        let mut members = self.members;
        if let Some(told) = members.remove("otlp") {
            if !members.is_empty() {
                bail!("give `otlp.` fields or the spans themselves, not both");
            }
            members.insert("resourceSpans".to_owned(), spans(&told));
        }
        Ok(serde_json::to_vec(&Value::Object(members))?)
    }
}

/// One step from a value to what lies in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step<'a> {
    Member(&'a str),
    Element,
}

/// `a[].b[c.d]`: the member `a`, an element of it, `b` in that, `c.d` in that.
fn steps(name: &str) -> Option<Vec<Step<'_>>> {
    let mut steps = Vec::new();
    let mut rest = name;
    loop {
        let end = rest.find(['.', '[']).unwrap_or(rest.len());
        let (member, after) = rest.split_at(end);
        if member.is_empty() {
            return None;
        }
        steps.push(Step::Member(member));
        rest = after;
        while let Some(inner) = rest.strip_prefix('[') {
            let (entry, after) = inner.split_once(']')?;
            steps.push(if entry.is_empty() { Step::Element } else { Step::Member(entry) });
            rest = after;
        }
        if rest.is_empty() {
            return Some(steps);
        }
        rest = rest.strip_prefix('.')?;
    }
}

/// Parameters of a query have no inside.
fn flat(name: &str) -> Option<Vec<Step<'_>>> {
    let (name, list) = name.strip_suffix("[]").map_or((name, false), |name| (name, true));
    let element = list.then_some(Step::Element);
    (!name.is_empty()).then(|| [Some(Step::Member(name)), element].into_iter().flatten().collect())
}

/// Puts a value where the steps lead; whether there was room for it.
fn put(place: &mut Value, steps: &[Step<'_>], value: Value) -> bool {
    match (steps, place) {
        ([], place) => {
            let free = place.is_null();
            if free {
                *place = value;
            }
            free
        }
        ([Step::Member(_), ..], place @ Value::Null) => {
            *place = Value::Object(Map::new());
            put(place, steps, value)
        }
        ([Step::Element, ..], place @ Value::Null) => {
            *place = json!([]);
            put(place, steps, value)
        }
        ([Step::Member(name), rest @ ..], Value::Object(members)) => {
            put(members.entry(*name).or_insert(Value::Null), rest, value)
        }
        ([Step::Element, rest @ ..], Value::Array(items)) => {
            // What the last element lacks goes into it; what it has already begins the next one.
            if let Some(last) = items.last_mut() {
                let mut filled = last.clone();
                if put(&mut filled, rest, value.clone()) {
                    *last = filled;
                    return true;
                }
            }
            let mut item = Value::Null;
            let put = put(&mut item, rest, value);
            items.push(item);
            put
        }
        _ => false,
    }
}

/// Spans of these traces, from a resource with these attributes.
fn spans(told: &Value) -> Value {
    let each = |name: &str| match &told[name] {
        Value::Null => Vec::new(),
        Value::Array(items) => items.iter().map(plain).collect(),
        one => vec![plain(one)],
    };
    let spans = |id: &String| json!({ "traceId": id.strip_prefix("tr-").unwrap_or(id) });
    let tag = |tag: &String| json!({ "key": tag, "value": { "stringValue": "" } });
    json!([{
        "resource": { "attributes": each("trace_tag").iter().map(tag).collect::<Vec<_>>() },
        "scopeSpans": [{ "spans": each("trace_id").iter().map(spans).collect::<Vec<_>>() }],
    }])
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(fields: &[&str], body: bool) -> anyhow::Result<Given> {
        Given::read(&fields.iter().map(|field| (*field).to_owned()).collect::<Vec<_>>(), body)
    }

    #[test]
    fn fields_are_text_lists_or_json() {
        let object = given(&["run_id=a=b", "ids[]=1", "ids[]=2", "max_results:=10"], true).unwrap().members;
        assert_eq!(Value::Object(object), json!({"run_id": "a=b", "ids": ["1", "2"], "max_results": 10}));
        for bad in [
            &["run_id"][..],
            &["a=1", "a=2"],
            &["a=1", "a[]=2"],
            &["a=1", "a.b=2"],
            &["a:=nope"],
            &["a.=1"],
            &[".a=1"],
            &["a[=1"],
            &["a]b[=1"],
            &["=1"],
            &["header.a b=1"],
        ] {
            assert!(given(bad, true).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn names_lead_into_objects_lists_and_maps_of_a_body() {
        let fields = [
            "trace.trace_info.trace_id=tr-1",
            "trace.trace_info.state=OK",
            "tags[].key=a",
            "tags[].value=1",
            "tags[].key=b",
            "meta[mlflow.sourceRun]=r",
        ];
        let object = given(&fields, true).unwrap().members;
        let wanted = json!({
            "trace": { "trace_info": { "trace_id": "tr-1", "state": "OK" } },
            "tags": [{ "key": "a", "value": "1" }, { "key": "b" }],
            "meta": { "mlflow.sourceRun": "r" },
        });
        assert_eq!(Value::Object(object), wanted);
    }

    #[test]
    fn a_query_has_no_inside_and_header_fields_stand_apart() {
        let given = given(&["a.b=1", "ids[]=1", "ids[]=2", "header.x-mlflow-run-id=r"], false).unwrap();
        assert_eq!(given.query(Some("c=0")), "c=0&a.b=1&ids=1&ids=2");
        assert_eq!(given.headers["x-mlflow-run-id"], "r");
    }
}
