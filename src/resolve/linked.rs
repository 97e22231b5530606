//! What may a trace and its assessments be linked to by who writes them?
//!
//! A run that is deleted takes the assessments with it that name it (MLflow 3.17.2, `_mark_run_deleted`, which looks for
//! `"mlflow.assessment.sourceRunId": "<run>"` in their metadata), an issue counts the assessments that bear its id, and
//! tags list the versions of prompts and models. A link needs both ends, whichever call writes it.

use std::borrow::Cow;
use std::sync::Arc;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;

use super::check::{FORGED, is_tag};
use super::links::{Ask, Links, ResolveFault, read, settle};
use super::{Resolved, Resolver};
use crate::access::decide::{Requirement, holds};
use crate::mlflow::ids::{IssueId, ModelName, ModelVersion, TraceId};
use crate::mlflow::permission::Action;
use crate::mlflow::resource::{Kind, Object, Resource};
use crate::policy::fields::{AUTHOR_TAG, Fields, is_author_tag};

const SPELLING: &str = "the metadata names a run in another spelling than MLflow's own";
const NO_ISSUE: &str = "the name of the assessment is no issue's id in its one spelling";
const UNLISTED: &str = "the tag is no list of versions that everybody reads alike";

/// The metadata of an assessment that names the run which made it (3.17.2, `AssessmentMetadataKey.SOURCE_RUN_ID`).
const SOURCE_RUN: &str = "mlflow.assessment.sourceRunId";
/// How an issue's id begins. Databases may compare without case.
const ISSUE: &str = "iss-";

impl Links {
    /// Which run an assessment names as its maker, if it is there.
    async fn source_run<A: Ask>(
        &self,
        trace: &str,
        assessment: &str,
        upstream: &A,
    ) -> Result<Option<String>, ResolveFault> {
        let id = utf8_percent_encode(assessment, NON_ALPHANUMERIC);
        let asked = self.get(&format!("/api/3.0/mlflow/traces/{trace}/assessments/{id}"), upstream).await;
        let found = asked.and_then(|asked| {
            let AssessmentAnswer { assessment } = read(&asked)?;
            Ok(assessment.metadata.source_run)
        });
        Ok(settle(found)?.flatten())
    }
}

impl Resolver {
    /// What names another run than before takes the right to delete the assessment, and EDIT on the run.
    pub(super) async fn new_source_run<A: Ask>(
        &self,
        (keys, run): (&[Arc<str>], &[Arc<str>]),
        assessment: &[Arc<str>],
        trace: &[Arc<str>],
        upstream: &A,
        resolved: &mut Resolved,
    ) -> Result<(), ResolveFault> {
        source_run(keys, resolved);
        let ([run], [one], [of]) = (run, assessment, trace) else { return Ok(()) };
        if self.links.source_run(of, one, upstream).await?.as_deref() == Some(run) {
            return Ok(());
        }
        self.on(Action::Edit, Kind::Run, std::slice::from_ref(run), upstream, resolved).await?;
        self.under(Action::Delete, Kind::Assessment, assessment, (Kind::Trace, trace), upstream, resolved).await
    }

    /// EDIT on each issue that is named.
    pub(super) async fn issue_names<A: Ask>(
        &self,
        names: &[Arc<str>],
        upstream: &A,
        resolved: &mut Resolved,
    ) -> Result<(), ResolveFault> {
        let mut issues = Vec::new();
        for name in names {
            if IssueId::parse(name).is_ok() {
                issues.push(Arc::clone(name));
            } else if name.trim().to_ascii_lowercase().starts_with(ISSUE) {
                resolved.ask(Requirement::Admin(NO_ISSUE));
            }
        }
        self.on(Action::Edit, Kind::Issue, &issues, upstream, resolved).await
    }

    /// READ on each version that the tag lists.
    pub(super) async fn listed_versions<A: Ask>(
        &self,
        (tag, kind): (&str, Kind),
        keys: &[Arc<str>],
        value: Option<&[Arc<str>]>,
        upstream: &A,
        resolved: &mut Resolved,
    ) -> Result<(), ResolveFault> {
        if !keys.iter().any(|key| is_tag(key, tag)) {
            return Ok(());
        }
        let unlisted = Requirement::Admin(UNLISTED);
        let plain = keys.iter().all(|key| !is_tag(key, tag) || **key == *tag);
        let (true, Some(texts)) = (plain, value) else {
            resolved.ask(unlisted);
            return Ok(());
        };
        for text in texts {
            let Some(versions) = versions(text) else {
                resolved.ask(unlisted);
                return Ok(());
            };
            if versions.len() > self.settings.most_look_ups {
                return Err(ResolveFault::TooMany { most: self.settings.most_look_ups });
            }
            for id in versions {
                self.hold_named(Action::Read, Resource::named(kind, &id), upstream, resolved).await?;
            }
        }
        Ok(())
    }

    /// The trace that a header names gets spans, of whoever calls: it must be there, and theirs to edit.
    pub(super) async fn trace_parent<A: Ask>(&self, parent: &str, upstream: &A, resolved: &mut Resolved) {
        let Some(asker) = resolved.asker.clone() else { return };
        if asker.admin {
            return;
        }
        let found = match trace_of(parent) {
            Some(id) => {
                let object = Object { kind: Kind::Trace, id };
                // Without an answer, the call goes on without the link.
                self.links.find(&object, upstream).await.ok().flatten().map(|link| link.place(object))
            }
            None => None,
        };
        match found {
            Some(trace) if holds(&asker, Action::Edit, &trace).is_ok() => resolved.name(&trace),
            _ => resolved.withheld.extend(["traceparent", "tracestate"]),
        }
    }
}

/// The metadata that names a run has one spelling.
pub(super) fn source_run(keys: &[Arc<str>], resolved: &mut Resolved) {
    if keys.iter().any(|key| is_tag(key, SOURCE_RUN) && **key != *SOURCE_RUN) {
        resolved.ask(Requirement::Admin(SPELLING));
    }
}

/// The tag of a trace that is there may say of the caller alone that they made it.
pub(super) fn trace_author(keys: &str, name: &str, fields: &Fields, resolved: &mut Resolved) {
    let mut authors = fields.each(keys).iter().filter(|key| is_author_tag(key)).peekable();
    if authors.peek().is_none() {
        return;
    }
    let names = fields.each(name);
    if names.is_empty() || !authors.all(|key| **key == *AUTHOR_TAG) {
        resolved.ask(Requirement::Admin(FORGED));
    }
    for name in names {
        resolved.ask(Requirement::Oneself { name: Arc::clone(name), managers: false });
    }
}

/// The trace of a `traceparent`, whose version is the one that there is (W3C "Trace Context", section 3.2).
fn trace_of(parent: &str) -> Option<Arc<str>> {
    let hex = |part: &str, length: usize| {
        part.len() == length && part.bytes().all(|sign| matches!(sign, b'0'..=b'9' | b'a'..=b'f'))
    };
    let parts: Vec<&str> = parent.split('-').collect();
    let ["00", trace, span, flags] = &*parts else { return None };
    let id = format!("tr-{trace}");
    let usable = hex(trace, 32) && hex(span, 16) && hex(flags, 2) && TraceId::parse(&id).is_ok();
    usable.then(|| Arc::from(id))
}

/// The versions in a JSON list of objects with `name` and `version`, as `name/version`.
fn versions(text: &str) -> Option<Vec<Arc<str>>> {
    let list: Vec<Version<'_>> = serde_json::from_str(text).ok()?;
    list.into_iter()
        .map(|Version { name, version }| {
            let version = match version {
                Number::Text(text) => text,
                Number::Number(number) => Cow::Owned(number.to_string()),
            };
            let usable = ModelName::parse(&name).is_ok() && ModelVersion::parse(&version).is_ok();
            usable.then(|| Arc::from(format!("{name}/{version}")))
        })
        .collect()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Version<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow)]
    version: Number<'a>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Number<'a> {
    #[serde(borrow)]
    Text(Cow<'a, str>),
    Number(u64),
}

#[derive(Deserialize)]
struct AssessmentAnswer {
    assessment: AssessmentBody,
}

#[derive(Deserialize)]
struct AssessmentBody {
    #[serde(default)]
    metadata: Metadata,
}

#[derive(Default, Deserialize)]
struct Metadata {
    #[serde(default, rename = "mlflow.assessment.sourceRunId")]
    source_run: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef";

    #[test]
    fn a_trace_parent_has_one_spelling() {
        assert_eq!(trace_of(&format!("00-{ID}-0123456789abcdef-01")).as_deref(), Some(&*format!("tr-{ID}")));
        for odd in [
            String::new(),
            format!("01-{ID}-0123456789abcdef-01"),
            format!("00-{}-0123456789abcdef-01", ID.to_uppercase()),
            format!("00-{ID}-0123456789abcdef-01-more"),
            format!(" 00-{ID}-0123456789abcdef-01"),
            format!("00-{ID}-0123456789abcdef"),
            format!("00-{ID}0-0123456789abcdef-01"),
            format!("00-{ID}-0123456789abcde-01"),
        ] {
            assert_eq!(trace_of(&odd), None, "{odd}");
        }
    }

    #[test]
    fn a_list_of_versions_is_read_whole_or_not_at_all() {
        let text = r#"[{"name":"a","version":"1"},{"version":2,"name":"b"}]"#;
        assert_eq!(versions(text), Some(vec![Arc::from("a/1"), Arc::from("b/2")]));
        assert_eq!(versions("[]"), Some(Vec::new()));
        for odd in [
            "",
            "{}",
            "null",
            r#"[{"name":"a"}]"#,
            r#"[{"name":"a","version":"1","name":"b"}]"#,
            r#"[{"name":"a","version":"1","more":1}]"#,
            r#"[{"name":"a/b","version":"1"}]"#,
            r#"[{"name":"a","version":"latest"}]"#,
            r#"[{"name":"a","version":1.5}]"#,
            r#"[{"name":"a","version":"1"}] x"#,
        ] {
            assert_eq!(versions(odd), None, "{odd}");
        }
    }
}
