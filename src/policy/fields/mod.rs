//! Which ids does this request name?
//!
//! Reads the fields that a row names, where MLflow would read them for that method (3.17.2, `handlers.py`
//! `_get_request_message`), and refuses whatever could be read in two ways: other spellings, repeated members, a query
//! beside a body, aliases that differ. The bytes are sent on as they came.

mod body;
mod form;
mod graphql;
mod judges;
mod otlp;
mod plan;
mod query;
#[cfg(test)]
mod samples;
mod shape;
mod stamp;

use std::sync::Arc;

use http::HeaderMap;

pub use self::graphql::read_document;
pub use self::judges::Judge;
pub use self::otlp::OtlpFault;
pub(super) use self::plan::Plan;
#[cfg(test)]
pub(crate) use self::samples::{Sample, samples};
pub use self::stamp::{AUTHOR_TAG, is_author_tag, stamp};

use self::form::Form;
use self::plan::{Part, Source, Want};
use super::classify::Call;
use super::path::{self, BadPath};
use super::route::{Answer, Check, Count, Effect, Need, Row, Take, What};
use crate::mlflow::granting::{self, BadTarget, Calls, Target};
use crate::mlflow::graphql::GraphQlFault;
use crate::mlflow::ids::BadId;
use crate::mlflow::resource::Kind;

/// Why the fields of a request are refused. Every variant is the caller's fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FieldFault {
    /// MLflow reads one of the two, depending on method and content.
    #[error("this call takes its fields from the body; leave the query empty")]
    QueryBesideBody,
    /// The query is not well-formed.
    #[error("the query is not well-formed percent-encoded UTF-8")]
    BadQuery,
    /// The body is not UTF-8 (MLflow takes UTF-16 too).
    #[error("the body is not UTF-8")]
    NotUtf8,
    /// The body is not JSON.
    #[error("the body is not JSON: {0}")]
    NotJson(String),
    /// The body is JSON but not an object (MLflow also takes a string that holds JSON).
    #[error("the body is not a JSON object")]
    NotAnObject,
    /// Nested deeper than any message of MLflow.
    #[error("the body is nested deeper than {most} levels")]
    TooDeep {
        /// How deep it may be.
        most: usize,
    },
    /// A member or parameter stands twice: readers differ in which one they take.
    #[error("`{0}` is given twice")]
    Repeated(String),
    /// The camelCase twin that protobuf takes too.
    #[error("`{sent}` is to be spelled `{instead}`")]
    OtherSpelling {
        /// As it was sent.
        sent: String,
        /// As it is to be sent.
        instead: &'static str,
    },
    /// A number where a text is expected, and the like.
    #[error("`{field}` is to be {want}")]
    WrongType {
        /// Which field.
        field: &'static str,
        /// What it is to be.
        want: &'static str,
    },
    /// It is not there.
    #[error("`{0}` is missing")]
    Missing(&'static str),
    /// It is there and empty.
    #[error("`{0}` is empty")]
    Empty(&'static str),
    /// It is there, and should be left to the server, or names a place that cannot be judged.
    #[error("`{0}` is not for callers to say: leave it out")]
    Reserved(&'static str),
    /// Two names of one field hold different values.
    #[error("`{0}` is given under several names with different values")]
    Differ(&'static str),
    /// The GraphQL document is not understood.
    #[error(transparent)]
    GraphQl(#[from] GraphQlFault),
    /// The spans are not understood.
    #[error(transparent)]
    Otlp(#[from] OtlpFault),
    /// The id is not in its one spelling.
    #[error("`{field}`: {fault}")]
    BadId {
        /// Which field.
        field: &'static str,
        /// What is wrong with it.
        fault: BadId,
    },
    /// Nothing that a permission is given on, or none that is given on it.
    #[error(transparent)]
    Target(#[from] BadTarget),
    /// The artifact path is not in its one spelling.
    #[error("`{field}`: {fault}")]
    BadPath {
        /// Which field.
        field: &'static str,
        /// What is wrong with it.
        fault: BadPath,
    },
}

impl FieldFault {
    /// Whether the request can be read in one way only, and is merely not valid.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        match self {
            // A document that we do not read whole is read by MLflow in one way all the same.
            Self::GraphQl(fault) => !matches!(fault, GraphQlFault::Unreadable | GraphQlFault::NotOneOperation),
            Self::WrongType { .. } | Self::Missing(_) | Self::Empty(_) | Self::BadId { .. } | Self::Target(_) => true,
            Self::QueryBesideBody
            | Self::BadQuery
            | Self::NotUtf8
            | Self::NotJson(_)
            | Self::NotAnObject
            | Self::TooDeep { .. }
            | Self::Repeated(_)
            | Self::OtherSpelling { .. }
            | Self::Differ(_)
            | Self::Otlp(_)
            | Self::Reserved(_)
            | Self::BadPath { .. } => false,
        }
    }

    /// Whether MLflow may say itself what is wrong, where the caller needs no permission on what is named (an
    /// administrator): the request is merely invalid, and nothing of ours follows from what it names.
    #[must_use]
    pub fn is_for_mlflow_to_tell(&self, row: &Row) -> bool {
        let follows = match row.effect {
            Effect::None => false,
            Effect::Owns { id, .. } => id.contains('{'),
            Effect::Renames { .. } | Effect::Forgets { .. } => true,
        };
        self.is_plain() && !follows && row.answer != Answer::Served
    }
}

/// The values of the fields that a row names, each in its one spelling.
#[derive(Debug, Clone, Default)]
pub struct Fields {
    wants: &'static [Want],
    values: Vec<Option<Vec<Arc<str>>>>,
    /// Whom the tags of a request name as the author of the run that they are for.
    claimed: Vec<Arc<str>>,
    /// The registered scorers that the server is to run.
    judges: Vec<Judge>,
}

impl Fields {
    /// The one value of a field, named as the row names it or by one of its aliases.
    #[must_use]
    pub fn one(&self, field: &str) -> Option<&str> {
        self.each(field).first().map(|value| &**value)
    }

    /// Every value of a field, each once. Empty when the field is absent or empty.
    #[must_use]
    pub fn each(&self, field: &str) -> &[Arc<str>] {
        self.wants
            .iter()
            .zip(&self.values)
            .find(|(want, _)| want.is_called(field))
            .and_then(|(_, values)| values.as_deref())
            .unwrap_or_default()
    }

    /// Whom the tags of the request name as the author of the run that they are for ([`Check::RunTags`]).
    #[must_use]
    pub fn claimed(&self) -> &[Arc<str>] {
        &self.claimed
    }

    /// The registered scorers that the server is to run ([`Check::StoredJudges`]).
    #[must_use]
    pub fn judges(&self) -> &[Judge] {
        &self.judges
    }

    /// The number in a field that the row takes for one.
    #[must_use]
    pub fn number(&self, field: &str) -> Option<u64> {
        form::number(self.one(field)?).ok()
    }

    /// What the request gives or takes a permission on, by type and id.
    ///
    /// # Errors
    /// [`BadTarget`]; never, where the row names the fields ([`read`] has looked).
    pub fn target(&self, kind: &str, id: &str, calls: Calls) -> Result<Target, BadTarget> {
        granting::target(self.one(kind).unwrap_or_default(), self.one(id).unwrap_or_default(), calls)
    }

    /// Whether types, ids and levels fit one another.
    fn check_targets(&self, row: &Row) -> Result<(), BadTarget> {
        let level = |kind, level: Option<&str>| match level.and_then(|field| self.one(field)) {
            Some(level) => granting::level(level, kind).map(drop),
            None => Ok(()),
        };
        for need in row.needs {
            let (Need::Gives { what, .. } | Need::Takes { what, .. }) = *need else { continue };
            match what {
                What::Named { kind, id, level: field, calls } => {
                    level(self.target(kind, id, calls)?.kind, field)?;
                }
                What::One { kind, level: field, .. } => level(kind, field)?,
                What::Workspace { level: field } => level(Kind::Workspace, field)?,
                // Of which kind it is, the store knows.
                What::OfRole { .. } => {}
            }
        }
        for take in row.takes {
            if let Take::Thing { kind, id } = take {
                self.target(kind, id, Calls::OfPeople)?;
            }
        }
        Ok(())
    }

    /// Whether the field was sent at all: absent and empty are different.
    #[must_use]
    pub fn present(&self, field: &str) -> bool {
        self.wants.iter().zip(&self.values).any(|(want, values)| want.is_called(field) && values.is_some())
    }
}

/// Reads the fields that the call's row names.
///
/// `query` is the raw query; `body` is the whole body, decoded, where [`Call::wants_body`] says so.
///
/// # Errors
/// [`FieldFault`], naming the field.
pub fn read(call: &Call, headers: &HeaderMap, query: Option<&str>, body: Option<&[u8]>) -> Result<Fields, FieldFault> {
    let plan = call.plan;
    let mut slots: Vec<Option<Vec<Arc<str>>>> = vec![None; plan.slots.len()];
    match plan.source {
        Source::Nothing => {}
        Source::Query => query::read(plan, query.unwrap_or_default(), &mut slots)?,
        Source::Body | Source::GraphQl | Source::Otlp | Source::Form => {
            if query.is_some_and(|query| !query.is_empty()) {
                return Err(FieldFault::QueryBesideBody);
            }
            let body = body.unwrap_or_default();
            match plan.source {
                Source::GraphQl => graphql::read(plan, body, &mut slots)?,
                Source::Otlp => otlp::read(plan, headers, body, &mut slots)?,
                Source::Form => {
                    let form = std::str::from_utf8(body).map_err(|_| FieldFault::NotUtf8)?;
                    query::read(plan, form, &mut slots)?;
                }
                Source::Body | Source::Query | Source::Nothing => body::read(plan, body, &mut slots)?,
            }
        }
    }
    for (slot, value) in plan.slots.iter().zip(&mut slots) {
        if let Some(name) = slot.capture {
            *value = call.capture(name).map(|text| vec![Arc::from(text)]);
        } else if let Some(name) = slot.name.strip_prefix("header.") {
            *value = header(headers, slot.name, name)?.map(|text| vec![Arc::from(text)]);
        }
    }
    let mut values = Vec::with_capacity(plan.wants.len());
    for want in &plan.wants {
        values.push(want.gather(&slots)?);
    }
    let mut fields = Fields { wants: &plan.wants, values, claimed: Vec::new(), judges: Vec::new() };
    for need in call.row.needs {
        if let Need::Checked(Check::StoredJudges { scorers, versions, .. }) = need {
            fields.judges = judges::read(body.unwrap_or_default(), scorers, versions)?;
        }
        if let Need::Checked(Check::RunTags { key, .. }) = need
            && fields.each(key).iter().any(|key| is_author_tag(key))
        {
            let claimed = stamp::claimed(body.unwrap_or_default(), key)?;
            fields.claimed.extend(claimed.into_iter().map(Arc::from));
        }
    }
    fields.check_targets(call.row)?;
    Ok(fields)
}

/// The one value of a header field. Of a field that stands twice, readers take the first, the last, or both.
fn header<'a>(headers: &'a HeaderMap, field: &'static str, name: &str) -> Result<Option<&'a str>, FieldFault> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(FieldFault::Repeated(name.to_owned()));
    }
    value.to_str().map(Some).map_err(|_| FieldFault::WrongType { field, want: "visible ASCII" })
}

impl Want {
    fn gather(&self, slots: &[Option<Vec<Arc<str>>>]) -> Result<Option<Vec<Arc<str>>>, FieldFault> {
        let found = match &*self.parts {
            [part] => self.one_part(part, slots)?,
            parts => self.joined(parts, slots)?,
        };
        self.check_count(found.as_deref())?;
        Ok(found)
    }

    /// The value of a field with aliases: MLflow takes the first that is there, so all that are there must be equal.
    fn one_part(&self, part: &Part, slots: &[Option<Vec<Arc<str>>>]) -> Result<Option<Vec<Arc<str>>>, FieldFault> {
        let mut found: Option<&Vec<Arc<str>>> = None;
        for slot in &part.slots {
            let Some(values) = &slots[*slot] else { continue };
            match found {
                Some(first) if first != values => return Err(FieldFault::Differ(self.field)),
                _ => found = Some(values),
            }
        }
        let Some(found) = found else { return Ok(None) };
        let mut values: Vec<Arc<str>> = Vec::with_capacity(found.len());
        for value in found {
            if value.is_empty() {
                match self.count {
                    // Where a field may be absent, MLflow takes an empty text for that.
                    Count::Optional | Count::AnyEach => continue,
                    Count::One | Count::Each | Count::Narrowed | Count::ByRow => {
                        return Err(FieldFault::Empty(self.field));
                    }
                }
            }
            self.check_form(part.form, value)?;
            if found.len() <= 32 && values.contains(value) {
                continue;
            }
            values.push(Arc::clone(value));
        }
        if found.len() > 32 {
            values.sort_unstable();
            values.dedup();
        }
        Ok(Some(values))
    }

    fn joined(&self, parts: &[Part], slots: &[Option<Vec<Arc<str>>>]) -> Result<Option<Vec<Arc<str>>>, FieldFault> {
        let mut texts = Vec::with_capacity(parts.len());
        for part in parts {
            let Some(values) = self.one_part(part, slots)? else { return Ok(None) };
            let [value] = &*values else { return Ok(None) };
            texts.push(Arc::clone(value));
        }
        let texts = texts.iter().map(|text| &**text);
        Ok(Some(vec![match self.kind {
            Some(kind) => Arc::from(kind.join(texts)),
            None => Arc::from(texts.collect::<Vec<_>>().join("/")),
        }]))
    }

    fn check_form(&self, form: Form, value: &str) -> Result<(), FieldFault> {
        match form {
            Form::Text => Ok(()),
            Form::Absent => Err(FieldFault::Reserved(self.field)),
            Form::Id(check) => check(value).map_err(|fault| FieldFault::BadId { field: self.field, fault }),
            Form::FileName => path::file_name(value).map_err(|fault| FieldFault::BadPath { field: self.field, fault }),
            Form::ArtifactPath => {
                path::artifact(value).map_err(|fault| FieldFault::BadPath { field: self.field, fault })
            }
        }
    }

    fn check_count(&self, found: Option<&[Arc<str>]>) -> Result<(), FieldFault> {
        match (self.count, found) {
            (Count::One | Count::Each, None) => Err(FieldFault::Missing(self.field)),
            (Count::One | Count::Each, Some([])) => Err(FieldFault::Empty(self.field)),
            (Count::One | Count::Each | Count::Optional | Count::AnyEach | Count::Narrowed | Count::ByRow, _) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
