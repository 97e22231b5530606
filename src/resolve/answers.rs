//! What do MLflow's answers to our look-ups look like?
//!
//! Only the fields that a link is made of. An answer about another object than the one asked for makes no link.

use std::borrow::Cow;
use std::sync::Arc;

use serde::Deserialize;

use super::links::{Link, Miss, ResolveFault, empty, experiment_id};

#[derive(Deserialize)]
pub(super) struct RunAnswer<'a> {
    #[serde(borrow)]
    pub(super) run: RunBody<'a>,
}

#[derive(Deserialize)]
pub(super) struct ModelAnswer<'a> {
    #[serde(borrow)]
    pub(super) model: RunBody<'a>,
}

#[derive(Deserialize)]
pub(super) struct RunBody<'a> {
    #[serde(borrow)]
    pub(super) info: Info<'a>,
}

#[derive(Deserialize)]
pub(super) struct Info<'a> {
    #[serde(borrow, alias = "model_id")]
    pub(super) run_id: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) experiment_id: Cow<'a, str>,
    #[serde(borrow, default)]
    pub(super) artifact_uri: Cow<'a, str>,
    #[serde(borrow, default)]
    pub(super) user_id: Cow<'a, str>,
}

impl Info<'_> {
    pub(super) fn link(&self, id: &str) -> Result<Link, Miss> {
        if self.run_id != id {
            return Err(Miss::Fault(ResolveFault::Unreadable("it is about another object")));
        }
        let (artifact_uri, author) = (Arc::from(&*self.artifact_uri), Arc::from(&*self.user_id));
        Ok(Link { experiment: experiment_id(&self.experiment_id)?, artifact_uri, author })
    }
}

#[derive(Deserialize)]
pub(super) struct ExperimentAnswer<'a> {
    #[serde(borrow)]
    pub(super) experiment: ExperimentBody<'a>,
}

#[derive(Deserialize)]
pub(super) struct ExperimentBody<'a> {
    #[serde(borrow)]
    pub(super) experiment_id: Cow<'a, str>,
    #[serde(borrow, default)]
    pub(super) artifact_location: Cow<'a, str>,
    #[serde(borrow, default)]
    pub(super) name: Cow<'a, str>,
}

#[derive(Deserialize)]
pub(super) struct RegisteredAnswer<'a> {
    #[serde(borrow)]
    pub(super) registered_model: Registered<'a>,
}

#[derive(Deserialize)]
pub(super) struct Registered<'a> {
    #[serde(borrow)]
    pub(super) name: Cow<'a, str>,
    #[serde(borrow, default)]
    pub(super) tags: Vec<Mark<'a>>,
}

#[derive(Deserialize)]
pub(super) struct Mark<'a> {
    #[serde(borrow, default)]
    pub(super) key: Cow<'a, str>,
    #[serde(borrow, default)]
    pub(super) value: Cow<'a, str>,
}

#[derive(Deserialize)]
pub(super) struct VersionAnswer<'a> {
    #[serde(borrow)]
    pub(super) model_version: VersionBody<'a>,
}

#[derive(Deserialize)]
pub(super) struct VersionBody<'a> {
    #[serde(borrow)]
    pub(super) name: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) version: Cow<'a, str>,
}

#[derive(Deserialize)]
pub(super) struct LabelSchemaAnswer<'a> {
    #[serde(borrow)]
    pub(super) label_schema: Plain<'a>,
}

#[derive(Deserialize)]
pub(super) struct ReviewQueueAnswer<'a> {
    #[serde(borrow)]
    pub(super) review_queue: Plain<'a>,
}

#[derive(Deserialize)]
pub(super) struct IssueAnswer<'a> {
    #[serde(borrow)]
    pub(super) issue: Plain<'a>,
}

/// A thing that says its own id and its experiment's.
#[derive(Deserialize)]
pub(super) struct Plain<'a> {
    #[serde(borrow, alias = "schema_id", alias = "queue_id", alias = "issue_id")]
    pub(super) id: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) experiment_id: Cow<'a, str>,
}

impl Plain<'_> {
    pub(super) fn link(&self, id: &str) -> Result<Link, Miss> {
        if self.id != id {
            return Err(Miss::Fault(ResolveFault::Unreadable("it is about another object")));
        }
        Ok(Link { experiment: experiment_id(&self.experiment_id)?, artifact_uri: empty(), author: empty() })
    }
}

#[derive(Deserialize)]
pub(super) struct JobAnswer<'a> {
    #[serde(borrow)]
    pub(super) job: JobBody<'a>,
}

#[derive(Deserialize)]
pub(super) struct JobBody<'a> {
    #[serde(borrow)]
    pub(super) job_id: Cow<'a, str>,
    #[serde(borrow, default)]
    pub(super) experiment_id: Cow<'a, str>,
    #[serde(borrow, default)]
    pub(super) source_prompt_uri: Cow<'a, str>,
}

#[derive(Deserialize)]
pub(super) struct TraceAnswer<'a> {
    #[serde(borrow)]
    pub(super) trace: TraceBody<'a>,
}

#[derive(Default, Deserialize)]
pub(super) struct TracesAnswer<'a> {
    #[serde(borrow, default)]
    pub(super) trace_infos: Vec<TraceInfo<'a>>,
}

#[derive(Deserialize)]
pub(super) struct TraceBody<'a> {
    #[serde(borrow)]
    pub(super) trace_info: TraceInfo<'a>,
}

#[derive(Deserialize)]
pub(super) struct TraceInfo<'a> {
    #[serde(borrow)]
    pub(super) trace_id: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) trace_location: TraceLocation<'a>,
    #[serde(default)]
    pub(super) tags: Tags,
}

#[derive(Deserialize)]
pub(super) struct TraceLocation<'a> {
    #[serde(borrow)]
    pub(super) mlflow_experiment: Option<ExperimentBody<'a>>,
}

#[derive(Deserialize)]
pub(super) struct OldTraceAnswer<'a> {
    #[serde(borrow)]
    pub(super) trace_info: OldTraceInfo<'a>,
}

#[derive(Deserialize)]
pub(super) struct OldTraceInfo<'a> {
    #[serde(borrow)]
    pub(super) request_id: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) experiment_id: Cow<'a, str>,
    #[serde(default)]
    pub(super) tags: Vec<Tag>,
}

#[derive(Default, Deserialize)]
pub(super) struct Tags {
    #[serde(default, rename = "mlflow.artifactLocation")]
    pub(super) place: String,
}

#[derive(Deserialize)]
pub(super) struct Tag {
    pub(super) key: String,
    #[serde(default)]
    pub(super) value: String,
}

impl TraceInfo<'_> {
    pub(super) fn link(self, id: &str) -> Result<Link, Miss> {
        // Traces of other places than experiments cannot be judged.
        let experiment = self.trace_location.mlflow_experiment.ok_or(Miss::Absent)?.experiment_id;
        trace_link(id, &self.trace_id, &experiment, &self.tags.place)
    }
}

impl OldTraceInfo<'_> {
    pub(super) fn link(self, id: &str) -> Result<Link, Miss> {
        let place = self.tags.into_iter().find(|tag| tag.key == "mlflow.artifactLocation");
        let place = place.map(|tag| tag.value).unwrap_or_default();
        trace_link(id, &self.request_id, &self.experiment_id, &place)
    }
}

fn trace_link(id: &str, answered: &str, experiment: &str, place: &str) -> Result<Link, Miss> {
    if answered != id {
        return Err(Miss::Fault(ResolveFault::Unreadable("it is about another trace")));
    }
    Ok(Link { experiment: experiment_id(experiment)?, artifact_uri: Arc::from(place), author: empty() })
}
