//! How does the part of an answer look that a caller may see?
//!
//! Written by walking the selection, not the answer: what was not asked for is not there. An object that is hidden is left
//! out of its list, or is null; the id of a hidden object is blanked.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::access::decide::visible;
use crate::access::identity::Principal;
use crate::answer::filter::{BadAnswer, Judge, text_at};
use crate::answer::hide::Homes;
use crate::answer::json::{Value, write_string};
use crate::answer::named::named;
use crate::answer::narrow::sees_every;
use crate::mlflow::graphql::{Holds, Judged, NEXT, Root, Selected, Selection};
use crate::mlflow::ids::{ExperimentId, LoggedModelId, RunId};
use crate::mlflow::resource::{Kind, Object, Resource};
use crate::policy::route::{Graph, List};

/// A filled page of a list.
pub(super) struct Paged {
    /// The first answer: for what stands beside the rows.
    pub(super) first: String,
    /// The visible rows, as MLflow wrote them.
    pub(super) rows: Vec<String>,
    /// The sealed token of the next page.
    pub(super) next: Option<String>,
}

/// Writes what a principal may see.
pub(super) struct Projector<'p> {
    principal: Cow<'p, Principal>,
    runs: Judge<'p>,
    versions: Judge<'p>,
    of_runs: &'p List,
    unknown: HashSet<(Kind, Arc<str>)>,
    homes: HashMap<(Kind, Arc<str>), Arc<str>>,
}

impl<'p> Projector<'p> {
    pub(super) fn new(principal: &'p Principal, graph: &'p Graph) -> Self {
        Self {
            principal: Cow::Borrowed(principal),
            runs: Judge::new(principal, &graph.runs),
            versions: Judge::new(principal, &graph.versions),
            of_runs: &graph.runs,
            unknown: HashSet::new(),
            homes: HashMap::new(),
        }
    }

    /// Whether a row of a list is visible.
    pub(super) fn sees_row(&mut self, row: Value<'_>, list: &List) -> Result<bool, BadAnswer> {
        self.sees(if list == self.of_runs { Judged::Run } else { Judged::ModelVersion }, row)
    }

    /// Whether an object is visible, by what it tells of itself besides.
    fn sees(&mut self, is: Judged, object: Value<'_>) -> Result<bool, BadAnswer> {
        let raw = |at: &'static str| Ok::<_, BadAnswer>(object.get(at)?.ok_or(BadAnswer::NoId { at })?.raw());
        match is {
            Judged::Experiment | Judged::InExperiment => {
                let id = text_at(object, "trackgate_id")?;
                if ExperimentId::parse(&id).is_err() {
                    return Err(BadAnswer::NoId { at: "trackgate_id" });
                }
                Ok(visible(&self.principal, &Resource::top(Kind::Experiment, id.into())))
            }
            // In the shape of the REST call that answers the same, and so by the same judge.
            Judged::Run => {
                let row = format!("{{\"info\":{}}}", raw("trackgate_info")?);
                self.runs.visible(Value::parse(row.as_bytes())?)
            }
            Judged::ModelVersion => {
                let (name, version, tags) = (raw("trackgate_name")?, raw("trackgate_version")?, raw("trackgate_tags")?);
                let tags = if tags == "null" { "[]" } else { tags };
                let row = format!("{{\"name\":{name},\"version\":{version},\"tags\":{tags}}}");
                self.versions.visible(Value::parse(row.as_bytes())?)
            }
            Judged::LoggedModel => Ok(match null_or(object.get("trackgate_id")?) {
                None => true,
                Some(id) => self.sees_id(Kind::LoggedModel, id),
            }),
        }
    }

    /// Whether what an id names is visible. What is no id, or cannot be looked up, is not.
    fn sees_id(&self, kind: Kind, id: Value<'_>) -> bool {
        if sees_every(&self.principal, kind) {
            return true;
        }
        let Some(key) = key(kind, id) else { return false };
        self.homes.get(&key).is_some_and(|home| {
            let within = Object { kind: Kind::Experiment, id: Arc::clone(home) };
            visible(&self.principal, &Resource::inside(kind, key.1, within))
        })
    }

    /// Notes which ids must be looked up to write this.
    pub(super) fn gather(&mut self, selection: &Selection, text: &str) -> Result<(), BadAnswer> {
        let value = Value::parse(text.as_bytes())?;
        self.note(selection, value)
    }

    /// The same for a page of a list.
    pub(super) fn gather_list(&mut self, root: &Root, paged: &Paged) -> Result<(), BadAnswer> {
        for field in root.selected.fields.iter().filter(|field| Some(field.name) == root.operation.rows) {
            for row in &paged.rows {
                if let Some(inner) = &field.inner {
                    self.gather(inner, row)?;
                }
            }
        }
        Ok(())
    }

    fn note(&mut self, selection: &Selection, value: Value<'_>) -> Result<(), BadAnswer> {
        if value.is_null() {
            return Ok(());
        }
        if selection.of.is == Some(Judged::LoggedModel) {
            self.note_id(Kind::LoggedModel, value.get("trackgate_id")?);
        }
        for field in &selection.fields {
            let Some(held) = null_or(value.get(&field.key)?) else { continue };
            match (field.holds, &field.inner) {
                (Holds::Id(kind), _) => self.note_id(kind, Some(held)),
                (Holds::One(_), Some(inner)) => self.note(inner, held)?,
                (Holds::Many(_), Some(inner)) => {
                    for one in held.elements().into_iter().flatten() {
                        self.note(inner, one)?;
                    }
                }
                (Holds::Plain | Holds::One(_) | Holds::Many(_), _) => {}
            }
        }
        Ok(())
    }

    fn note_id(&mut self, kind: Kind, id: Option<Value<'_>>) {
        if !sees_every(&self.principal, kind)
            && let Some(key) = id.and_then(|id| key(kind, id))
        {
            self.unknown.insert(key);
        }
    }

    /// Looks up what was noted.
    pub(super) async fn look_up(&mut self, homes: &impl Homes) {
        if !self.unknown.is_empty() {
            self.homes = homes.experiments_of(self.unknown.drain().collect(), &[]).await;
            // Where that cannot be told, whatever a name could hide stays hidden.
            let found = named(&self.principal, self.homes.values().cloned(), homes).await;
            if let Ok(Cow::Owned(knowing)) = found {
                self.principal = Cow::Owned(knowing);
            }
        }
    }

    /// Writes an object, or null.
    pub(super) fn write(&mut self, selection: &Selection, text: &str, out: &mut Vec<u8>) -> Result<(), BadAnswer> {
        let value = Value::parse(text.as_bytes())?;
        if !self.object(selection, value, out)? {
            out.extend_from_slice(b"null");
        }
        Ok(())
    }

    /// Writes a page of a list.
    pub(super) fn write_list(&mut self, root: &Root, paged: &Paged, out: &mut Vec<u8>) -> Result<(), BadAnswer> {
        let first = Value::parse(paged.first.as_bytes())?;
        if first.is_null() {
            out.extend_from_slice(b"null");
            return Ok(());
        }
        out.push(b'{');
        for (n, field) in root.selected.fields.iter().enumerate() {
            begin(n, &field.key, out);
            match &field.inner {
                Some(inner) if Some(field.name) == root.operation.rows => {
                    let rows = paged.rows.iter().map(|row| Value::parse(row.as_bytes()));
                    self.elements(inner, rows.collect::<Result<Vec<_>, _>>()?.into_iter(), out)?;
                }
                _ if field.name == NEXT => match &paged.next {
                    Some(next) => write_string(out, next),
                    None => out.extend_from_slice(b"null"),
                },
                _ => self.field(field, first, out)?,
            }
        }
        out.push(b'}');
        Ok(())
    }

    /// Writes an object. Returns whether it may be seen; if not, nothing is written.
    fn object(&mut self, selection: &Selection, value: Value<'_>, out: &mut Vec<u8>) -> Result<bool, BadAnswer> {
        if value.is_null() {
            out.extend_from_slice(b"null");
            return Ok(true);
        }
        if !value.is_object() {
            return Err(BadAnswer::WrongType { at: selection.of.name, wanted: "an object" });
        }
        if let Some(is) = selection.of.is
            && !self.sees(is, value)?
        {
            return Ok(false);
        }
        out.push(b'{');
        for (n, field) in selection.fields.iter().enumerate() {
            begin(n, &field.key, out);
            self.field(field, value, out)?;
        }
        out.push(b'}');
        Ok(true)
    }

    fn field(&mut self, field: &Selected, of: Value<'_>, out: &mut Vec<u8>) -> Result<(), BadAnswer> {
        let Some(held) = null_or(of.get(&field.key)?) else {
            out.extend_from_slice(b"null");
            return Ok(());
        };
        match (field.holds, &field.inner) {
            (Holds::One(_), Some(inner)) => {
                if !self.object(inner, held, out)? {
                    out.extend_from_slice(b"null");
                }
            }
            (Holds::Many(_), Some(inner)) => {
                let elements = held.elements().ok_or(BadAnswer::WrongType { at: field.name, wanted: "a list" })?;
                self.elements(inner, elements, out)?;
            }
            (Holds::Id(kind), _) => {
                let empty = held.raw() == "\"\"";
                let seen = empty || self.sees_id(kind, held);
                out.extend_from_slice(if seen { held.raw() } else { "\"\"" }.as_bytes());
            }
            (Holds::Plain, _) => out.extend_from_slice(held.raw().as_bytes()),
            (Holds::One(_) | Holds::Many(_), None) => {
                return Err(BadAnswer::WrongType { at: field.name, wanted: "selected" });
            }
        }
        Ok(())
    }

    fn elements<'a>(
        &mut self,
        selection: &Selection,
        elements: impl Iterator<Item = Value<'a>>,
        out: &mut Vec<u8>,
    ) -> Result<(), BadAnswer> {
        out.push(b'[');
        let mut some = false;
        for one in elements {
            let before = out.len();
            if some {
                out.push(b',');
            }
            if self.object(selection, one, out)? {
                some = true;
            } else {
                out.truncate(before);
            }
        }
        out.push(b']');
        Ok(())
    }
}

/// A search in which nothing can be seen: no rows, and nothing beside them.
pub(super) fn empty(selection: &Selection, out: &mut Vec<u8>) {
    out.push(b'{');
    for (n, field) in selection.fields.iter().enumerate() {
        begin(n, &field.key, out);
        match field.holds {
            Holds::Many(_) => out.extend_from_slice(b"[]"),
            Holds::Plain if field.name == "__typename" => write_string(out, selection.of.name),
            Holds::Plain | Holds::Id(_) | Holds::One(_) => out.extend_from_slice(b"null"),
        }
    }
    out.push(b'}');
}

fn begin(n: usize, key: &str, out: &mut Vec<u8>) {
    if n > 0 {
        out.push(b',');
    }
    write_string(out, key);
    out.push(b':');
}

/// Absent and null are one.
pub(super) fn null_or(value: Option<Value<'_>>) -> Option<Value<'_>> {
    value.filter(|value| !value.is_null())
}

/// What an id names, if it is one.
fn key(kind: Kind, id: Value<'_>) -> Option<(Kind, Arc<str>)> {
    let id = id.as_str()?;
    let canonical = match kind {
        Kind::Run => RunId::parse(&id).is_ok(),
        Kind::LoggedModel => LoggedModelId::parse(&id).is_ok(),
        _ => false,
    };
    canonical.then(|| (kind, Arc::from(&*id)))
}
