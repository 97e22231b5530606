//! What does MLflow say that an id belongs to?
//!
//! A closed list of look-ups of our own. Links that no call can change are remembered: a run's and a logged model's
//! experiment and place (MLflow 3.17.2 has no call that moves either, and makes the ids itself). What is not found, and
//! what failed, is asked again. Several callers who miss the same link share one question.

use std::borrow::Cow;
use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use http::StatusCode;
use moka::future::Cache;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;

use super::Settings;
use super::answers::{
    ExperimentAnswer, IssueAnswer, JobAnswer, LabelSchemaAnswer, Mark, ModelAnswer, OldTraceAnswer, Plain,
    RegisteredAnswer, ReviewQueueAnswer, RunAnswer, RunBody, TraceAnswer, TracesAnswer, VersionAnswer,
};
use super::bulk::Search;
use crate::mlflow::ids::{ExperimentId, ModelVersion, WorkspaceName};
use crate::mlflow::resource::{IS_PROMPT, Kind, Object};
use crate::policy::path;
use crate::upstream::{Asked, Upstream, UpstreamError};

/// How many traces go into one question.
const AT_ONCE: usize = 100;

/// Whoever can ask MLflow something of our own.
pub trait Ask {
    /// Asks with a GET; the answer is read whole.
    fn ask(&self, target: &str) -> impl Future<Output = Result<Asked, UpstreamError>>;

    /// Asks with a POST of JSON; the answer is read whole.
    fn ask_many(&self, target: &str, body: Bytes) -> impl Future<Output = Result<Asked, UpstreamError>>;

    /// The workspace in which it is asked, if there are several.
    fn workspace(&self) -> Option<&WorkspaceName> {
        None
    }
}

impl Ask for Upstream {
    fn ask(&self, target: &str) -> impl Future<Output = Result<Asked, UpstreamError>> {
        Self::ask(self, target)
    }

    fn ask_many(&self, target: &str, body: Bytes) -> impl Future<Output = Result<Asked, UpstreamError>> {
        Search::search(self, target, body)
    }

    fn workspace(&self) -> Option<&WorkspaceName> {
        Self::workspace(self)
    }
}

/// Why it cannot be told what a request is about.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ResolveFault {
    /// MLflow did not answer.
    #[error("MLflow cannot be asked: {0}")]
    Upstream(#[source] Arc<UpstreamError>),
    /// It answered with an error of its own.
    #[error("MLflow answered a look-up with {0}")]
    Status(StatusCode),
    /// Its answer is not what this version of it should say.
    #[error("MLflow's answer to a look-up cannot be read: {0}")]
    Unreadable(&'static str),
    /// It has no workspaces, though the settings say so: what one names in one workspace, it would do in another.
    #[error("the MLflow server has no workspaces, or has them off, though `upstream.workspaces` is on")]
    NoWorkspaces,
    /// The caller names too many unknown things at once.
    #[error("the request names more than {most} things that must be judged; send it in parts")]
    TooMany {
        /// How many are allowed.
        most: usize,
    },
}

impl ResolveFault {
    /// Whether the caller is at fault (400), and not MLflow (503).
    #[must_use]
    pub fn is_clients_fault(&self) -> bool {
        match self {
            Self::TooMany { .. } => true,
            Self::Upstream(_) | Self::Status(_) | Self::Unreadable(_) | Self::NoWorkspaces => false,
        }
    }
}

/// Where an object lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) experiment: Arc<str>,
    /// Of a trace, what its tag says, which people could set.
    pub(super) artifact_uri: Arc<str>,
    /// Whom a run is of: no call of MLflow changes that (3.17.2, `SqlRun.user_id`). Empty for all else.
    pub(super) author: Arc<str>,
}

/// An object, and the workspace in which it was asked for: what is there in one is not there in another.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Place {
    object: Object,
    workspace: Option<WorkspaceName>,
}

impl Place {
    fn of(object: &Object, workspace: Option<&WorkspaceName>) -> Self {
        Self { object: object.clone(), workspace: workspace.cloned() }
    }
}

/// The links known so far.
#[derive(Clone)]
pub(super) struct Links {
    known: Cache<Place, Link>,
    prefix: Arc<str>,
}

#[derive(Debug)]
pub(super) enum Miss {
    Absent,
    /// The server has no such call.
    NoCall,
    Fault(ResolveFault),
}

impl Links {
    pub(super) fn new(settings: &Settings) -> Self {
        Self {
            known: Cache::builder().max_capacity(settings.links).build(),
            prefix: Arc::from(settings.static_prefix.trim_end_matches('/')),
        }
    }

    /// How many of these would have to be asked for.
    pub(super) async fn unknown(&self, objects: &[Object], workspace: Option<&WorkspaceName>) -> usize {
        let mut unknown = 0;
        for object in objects {
            unknown += usize::from(self.known(object, workspace).await.is_none());
        }
        unknown
    }

    /// Where it lies, if that is remembered.
    pub(super) async fn known(&self, object: &Object, workspace: Option<&WorkspaceName>) -> Option<Link> {
        self.known.get(&Place::of(object, workspace)).await
    }

    /// Remembers where it lies.
    pub(super) async fn remember(&self, object: &Object, workspace: Option<&WorkspaceName>, link: Link) {
        self.known.insert(Place::of(object, workspace), link).await;
    }

    /// Where one of MLflow's calls lies, `/api/...`: below a static prefix they are found under `/ajax-api/` in every
    /// version, and under `/api/` since 3.12 alone.
    pub(super) fn target<'a>(&self, call: &'a str) -> Cow<'a, str> {
        match call.strip_prefix("/api/") {
            Some(rest) if !self.prefix.is_empty() => Cow::Owned(format!("{}/ajax-api/{rest}", self.prefix)),
            _ => Cow::Borrowed(call),
        }
    }

    /// Where a run, logged model or trace lies; `None` when there is no such thing.
    pub(super) async fn find<A: Ask>(&self, object: &Object, upstream: &A) -> Result<Option<Link>, ResolveFault> {
        // A trace can be moved by StartTraceV3 (up to 3.17.2): asked each time.
        if object.kind == Kind::Trace {
            return settle(Box::pin(self.ask(object, upstream)).await);
        }
        let place = Place::of(object, upstream.workspace());
        if let Some(link) = self.known.get(&place).await {
            return Ok(Some(link));
        }
        // Boxed: it is large and rare, and every request's future would carry room for it.
        let found = Box::pin(self.known.try_get_with(place, self.ask(object, upstream))).await;
        settle(found.map_err(|miss| match &*miss {
            Miss::Absent => Miss::Absent,
            Miss::NoCall => Miss::NoCall,
            Miss::Fault(fault) => Miss::Fault(fault.clone()),
        }))
    }

    async fn ask<A: Ask>(&self, object: &Object, upstream: &A) -> Result<Link, Miss> {
        let id = &object.id;
        match object.kind {
            Kind::Run => {
                let asked = self.get(&format!("/api/2.0/mlflow/runs/get?run_id={id}"), upstream).await?;
                let RunAnswer { run: RunBody { info } } = read(&asked)?;
                info.link(id)
            }
            Kind::LoggedModel => {
                let asked = self.get(&format!("/api/2.0/mlflow/logged-models/{id}"), upstream).await?;
                let ModelAnswer { model: RunBody { info } } = read(&asked)?;
                info.link(id)
            }
            Kind::Trace => match self.get(&format!("/api/3.0/mlflow/traces/{id}"), upstream).await {
                Ok(asked) => read::<TraceAnswer<'_>>(&asked)?.trace.trace_info.link(id),
                // Servers before 3.0.
                Err(Miss::NoCall) => {
                    let asked = self.get(&format!("/api/2.0/mlflow/traces/{id}/info"), upstream).await?;
                    read::<OldTraceAnswer<'_>>(&asked)?.trace_info.link(id)
                }
                Err(miss) => Err(miss),
            },
            Kind::LabelSchema => {
                let asked = self.get(&format!("/api/3.0/mlflow/label-schemas/get?schema_id={id}"), upstream).await?;
                let LabelSchemaAnswer { label_schema } = read(&asked)?;
                label_schema.link(id)
            }
            Kind::ReviewQueue => {
                let asked = self.get(&format!("/api/3.0/mlflow/review-queues/get?queue_id={id}"), upstream).await?;
                let ReviewQueueAnswer { review_queue } = read(&asked)?;
                review_queue.link(id)
            }
            Kind::Issue => {
                let asked = self.get(&format!("/api/3.0/mlflow/issues/{id}"), upstream).await?;
                let IssueAnswer { issue } = read(&asked)?;
                issue.link(id)
            }
            // A prompt optimization job: others have no experiment that this call tells.
            Kind::Job => {
                let asked = self.get(&format!("/api/3.0/mlflow/prompt-optimization/jobs/{id}"), upstream).await?;
                let JobAnswer { job } = read(&asked)?;
                if job.source_prompt_uri.is_empty() || job.experiment_id.is_empty() {
                    return Err(Miss::Absent);
                }
                Plain { id: job.job_id, experiment_id: job.experiment_id }.link(id)
            }
            // What no look-up is written for does not exist.
            _ => Err(Miss::Absent),
        }
    }

    /// The id of the experiment of that name. Never remembered: names move.
    pub(super) async fn experiment_named<A: Ask>(
        &self,
        name: &str,
        upstream: &A,
    ) -> Result<Option<Arc<str>>, ResolveFault> {
        let name = utf8_percent_encode(name, NON_ALPHANUMERIC);
        let target = format!("/api/2.0/mlflow/experiments/get-by-name?experiment_name={name}");
        let id = match self.get(&target, upstream).await {
            Ok(asked) => read(&asked).and_then(|ExperimentAnswer { experiment }: ExperimentAnswer<'_>| {
                experiment_id(&experiment.experiment_id)
            }),
            Err(miss) => Err(miss),
        };
        settle(id)
    }

    /// Where many traces lie, those that there are; `None` where the server has no such call (before 3.11).
    pub(super) async fn traces_at_once<A: Ask>(
        &self,
        ids: &[Arc<str>],
        upstream: &A,
    ) -> Result<Option<HashMap<Arc<str>, Link>>, ResolveFault> {
        let target = format!("{}/api/3.0/mlflow/traces/batchGetInfos", self.prefix);
        let mut known = HashMap::new();
        for ids in ids.chunks(AT_ONCE) {
            let named: Vec<&str> = ids.iter().map(|id| &**id).collect();
            let body = Bytes::from(serde_json::json!({ "trace_ids": named }).to_string());
            let asked = upstream.ask_many(&target, body).await;
            let asked = asked.map_err(|error| ResolveFault::Upstream(Arc::new(error)))?;
            match asked.status {
                StatusCode::OK => {}
                StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => return Ok(None),
                status => return Err(ResolveFault::Status(status)),
            }
            let found: TracesAnswer<'_> = match read(&asked) {
                Err(Miss::Fault(fault)) => return Err(fault),
                read => read.unwrap_or_default(),
            };
            for info in found.trace_infos {
                let Some(id) = ids.iter().find(|id| ***id == *info.trace_id) else {
                    return Err(ResolveFault::Unreadable("it is about another trace"));
                };
                match info.link(id) {
                    Ok(link) => drop(known.insert(Arc::clone(id), link)),
                    // It is there, but in no experiment.
                    Err(Miss::Fault(fault)) => return Err(fault),
                    Err(Miss::Absent | Miss::NoCall) => {
                        return Err(ResolveFault::Unreadable("a trace lies in no experiment"));
                    }
                }
            }
        }
        Ok(Some(known))
    }

    /// Where the experiment keeps its artifacts.
    pub(super) async fn experiment_place<A: Ask>(
        &self,
        id: &str,
        upstream: &A,
    ) -> Result<Option<String>, ResolveFault> {
        let place = match self.get(&format!("/api/2.0/mlflow/experiments/get?experiment_id={id}"), upstream).await {
            Ok(asked) => read(&asked)
                .map(|ExperimentAnswer { experiment }: ExperimentAnswer<'_>| experiment.artifact_location.into_owned()),
            Err(miss) => Err(miss),
        };
        settle(place)
    }

    /// What the experiment is called. Never remembered: names move.
    pub(super) async fn experiment_name<A: Ask>(&self, id: &str, upstream: &A) -> Result<Option<String>, ResolveFault> {
        let name = match self.get(&format!("/api/2.0/mlflow/experiments/get?experiment_id={id}"), upstream).await {
            Ok(asked) => {
                read(&asked).map(|ExperimentAnswer { experiment }: ExperimentAnswer<'_>| experiment.name.into_owned())
            }
            Err(miss) => Err(miss),
        };
        settle(name)
    }

    /// Whether the registry's name is a model's or a prompt's. Never remembered: names are used again, and the tag moves.
    pub(super) async fn registered<A: Ask>(&self, name: &str, upstream: &A) -> Result<Option<Kind>, ResolveFault> {
        let encoded = utf8_percent_encode(name, NON_ALPHANUMERIC);
        let target = format!("/api/2.0/mlflow/registered-models/get?name={encoded}");
        let kind = match self.get(&target, upstream).await {
            Ok(asked) => read(&asked).and_then(|RegisteredAnswer { registered_model: found }: RegisteredAnswer<'_>| {
                // A database that compares without case answers with another one's.
                if found.name != name {
                    return Err(Miss::Absent);
                }
                let marked = |tag: &Mark<'_>| tag.key == IS_PROMPT && tag.value.eq_ignore_ascii_case("true");
                Ok(if found.tags.iter().any(marked) { Kind::Prompt } else { Kind::RegisteredModel })
            }),
            Err(miss) => Err(miss),
        };
        settle(kind)
    }

    /// The version that an alias of a registered model names, as `name/version`. Never remembered: aliases move.
    pub(super) async fn version_named<A: Ask>(
        &self,
        name: &str,
        alias: &str,
        upstream: &A,
    ) -> Result<Option<Arc<str>>, ResolveFault> {
        let model = utf8_percent_encode(name, NON_ALPHANUMERIC);
        let alias = utf8_percent_encode(alias, NON_ALPHANUMERIC);
        let target = format!("/api/2.0/mlflow/registered-models/alias?name={model}&alias={alias}");
        let id = match self.get(&target, upstream).await {
            Ok(asked) => read(&asked).and_then(|VersionAnswer { model_version: found }: VersionAnswer<'_>| {
                if found.name == name && ModelVersion::parse(&found.version).is_ok() {
                    Ok(Arc::from(format!("{name}/{}", found.version)))
                } else {
                    Err(Miss::Fault(ResolveFault::Unreadable("it is about another version")))
                }
            }),
            Err(miss) => Err(miss),
        };
        settle(id)
    }

    /// Whether there is such a thing, of a kind that calls may make on the way. Never remembered.
    pub(super) async fn exists<A: Ask>(&self, object: &Object, upstream: &A) -> Result<bool, ResolveFault> {
        let target = match object.kind {
            Kind::McpServer => format!("/api/3.0/mlflow/mcp-servers/{}", path::encode(&object.id)),
            Kind::Skill => format!("/api/3.0/mlflow/skills/{}", path::encode(&object.id)),
            // The name is quoted in the id as a query has it.
            Kind::Scorer => match object.id.split_once('/') {
                Some((experiment, name)) => {
                    format!("/api/3.0/mlflow/scorers/get?experiment_id={experiment}&name={name}")
                }
                None => return Ok(true),
            },
            // No row makes anything else on the way; what is thought to be there is judged, never made.
            _ => return Ok(true),
        };
        match self.get(&target, upstream).await {
            Ok(_) => Ok(true),
            Err(Miss::Absent | Miss::NoCall) => Ok(false),
            Err(Miss::Fault(fault)) => Err(fault),
        }
    }

    pub(super) async fn get<A: Ask>(&self, target: &str, upstream: &A) -> Result<Asked, Miss> {
        let asked = upstream
            .ask(&self.target(target))
            .await
            .map_err(|error| Miss::Fault(ResolveFault::Upstream(Arc::new(error))))?;
        match asked.status {
            StatusCode::OK => Ok(asked),
            StatusCode::NOT_FOUND if is_no_call(&asked.body) => Err(Miss::NoCall),
            // 400: the id is none in MLflow's eyes.
            StatusCode::NOT_FOUND | StatusCode::BAD_REQUEST => Err(Miss::Absent),
            status => Err(Miss::Fault(ResolveFault::Status(status))),
        }
    }
}

/// The text that says nothing, shared.
pub(super) fn empty() -> Arc<str> {
    Arc::default()
}

/// Whether a 404 is about the call, and not about the object: MLflow's own is JSON with another code.
fn is_no_call(body: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Error<'a> {
        #[serde(borrow)]
        error_code: Cow<'a, str>,
    }
    serde_json::from_slice::<Error<'_>>(body).map_or(true, |error| error.error_code == "ENDPOINT_NOT_FOUND")
}

pub(super) fn settle<T>(found: Result<T, Miss>) -> Result<Option<T>, ResolveFault> {
    match found {
        Ok(found) => Ok(Some(found)),
        // A call that the server has not finds no object either.
        Err(Miss::Absent | Miss::NoCall) => Ok(None),
        Err(Miss::Fault(fault)) => Err(fault),
    }
}

pub(super) fn read<'a, T: Deserialize<'a>>(asked: &'a Asked) -> Result<T, Miss> {
    serde_json::from_slice(&asked.body)
        .map_err(|_| Miss::Fault(ResolveFault::Unreadable("it is not what this call answers")))
}

pub(super) fn experiment_id(text: &str) -> Result<Arc<str>, Miss> {
    match ExperimentId::parse(text) {
        Ok(id) => Ok(id.to_shared()),
        Err(_) => Err(Miss::Fault(ResolveFault::Unreadable("it names no experiment"))),
    }
}
