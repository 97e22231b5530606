//! What must hold where a request writes or counts traces?
//!
//! Clients choose the ids of traces, and the server finds a trace's data by tags that clients may write. So ids must be
//! new or lie in the experiment that was judged, tags of the server's stay the server's, and what is only counted or
//! filtered by must not be denied.

use std::sync::Arc;

use futures_util::{StreamExt as _, TryStreamExt as _};

use super::check::{below, is_tag};
use super::links::{Ask, Link, ResolveFault};
use super::{MOST_NAMED, Resolved, Resolver, SIDE_BY_SIDE, proxied};
use crate::access::decide::Requirement;
use crate::mlflow::filter::{Asked, compared};
use crate::mlflow::ids::{LoggedModelId, RunId};
use crate::mlflow::permission::Action;
use crate::mlflow::resource::{Home, Kind, Object, Resource};
use crate::policy::fields::Fields;

const MOVES: &str = "a trace of that id lies in another experiment";
const PLACE: &str = "the server would read the trace's data from outside of its experiment";
const RESERVED: &str = "the tag is the server's own: by it, it finds a trace's data";
const GATEWAY: &str = "the server counts by it what the gateway spends";

/// From how many traces on they are looked up together.
const FEW_TRACES: usize = 4;

/// Where a trace's artifacts lie (MLflow 3.17.2, `MLFLOW_ARTIFACT_LOCATION`).
const ARTIFACTS: &str = "mlflow.artifactLocation";

/// Tags by which the server decides where to read a trace's spans from, and whether to archive them (3.17.2,
/// `get_trace_artifact_handler`, `_HANDLER_BLOCKED_TRACE_TAGS`).
const SERVERS_TAGS: [&str; 4] =
    [ARTIFACTS, "mlflow.trace.spansLocation", "mlflow.trace.archiveLocation", "mlflow.trace.archivalFailure"];

/// Metadata by which the server adds up what an endpoint or a user has spent (3.17.2, `TraceMetadataKey`,
/// `store/tracking/gateway/sqlalchemy_mixin.py`).
const SERVERS_METADATA: [&str; 5] = [
    "mlflow.gateway.endpointId",
    "mlflow.gateway.requestType",
    "mlflow.gateway.caller",
    "mlflow.auth.userId",
    "mlflow.auth.username",
];

/// Words without which a filter or an order cannot ask for such a thing (3.17.2, `SearchTraceUtils`: `run_id` stands for
/// the metadata `mlflow.sourceRun`, `prompt` for the tag `mlflow.linkedPrompts`; there are no escapes in names).
const WORDS: [(Kind, &[&str]); 5] = [
    (Kind::Run, &["run_id", "sourcerun"]),
    (Kind::LoggedModel, &["modelid"]),
    (Kind::Assessment, &["feedback", "expectation", "assessment", "issue"]),
    (Kind::Prompt, &["prompt"]),
    (Kind::PromptVersion, &["prompt"]),
];

/// What names such a thing in a filter, and whether what it is compared with is an id of one: the tag is a list of them.
const LINKS: [(Kind, Asked<'static>, bool); 5] = [
    (Kind::Run, Asked::Plain("run_id"), true),
    (Kind::Run, Asked::Key("mlflow.sourceRun"), true),
    (Kind::LoggedModel, Asked::Key("mlflow.modelId"), true),
    (Kind::PromptVersion, Asked::Plain("prompt"), true),
    (Kind::PromptVersion, Asked::Key("mlflow.linkedPrompts"), false),
];

/// Views of `traces/metrics` in which nothing of assessments is counted (3.17.2, `MetricViewType`), as their names are
/// written; protobuf takes numbers too.
const PLAIN_VIEWS: [&str; 2] = ["TRACES", "SPANS"];

impl Resolver {
    /// Where each trace lies, if it is there: a batch of spans may be of some hundred traces.
    pub(super) async fn find_traces<A: Ask>(
        &self,
        ids: &[Arc<str>],
        upstream: &A,
    ) -> Result<Vec<(Object, Option<Link>)>, ResolveFault> {
        if ids.len() > MOST_NAMED {
            return Err(ResolveFault::TooMany { most: MOST_NAMED });
        }
        let objects = ids.iter().map(|id| Object { kind: Kind::Trace, id: Arc::clone(id) });
        if ids.len() >= FEW_TRACES
            && let Some(mut known) = Box::pin(self.links.traces_at_once(ids, upstream)).await?
        {
            return Ok(objects
                .map(|object| {
                    let link = known.remove(&object.id);
                    (object, link)
                })
                .collect());
        }
        if ids.len() > self.settings.most_look_ups {
            return Err(ResolveFault::TooMany { most: self.settings.most_look_ups });
        }
        let objects: Vec<Object> = objects.collect();
        futures_util::stream::iter(objects)
            .map(async |object| {
                let link = self.links.find(&object, upstream).await?;
                Ok((object, link))
            })
            .buffered(SIDE_BY_SIDE)
            .try_collect()
            .await
    }

    /// What the filters compare with may be read; what they ask for otherwise may all be read.
    pub(super) async fn counted_by<A: Ask>(
        &self,
        texts: &[Arc<str>],
        upstream: &A,
        resolved: &mut Resolved,
    ) -> Result<(), ResolveFault> {
        for text in texts {
            for (kind, asked, is_id) in LINKS {
                let values = compared(asked, text).filter(|values| is_id || values.is_empty());
                let ids = values.and_then(|values| {
                    let ids: Vec<Arc<str>> = values.into_iter().map(Arc::from).collect();
                    ids.iter().all(|id| names_one(kind, id)).then_some(ids)
                });
                match ids {
                    Some(ids) => Box::pin(self.on(Action::Read, kind, &ids, upstream, resolved)).await?,
                    None => every(kind, resolved),
                }
            }
        }
        Ok(())
    }

    /// Each trace is new, or lies in `experiment` and may be written to.
    pub(super) async fn new_traces<A: Ask>(
        &self,
        ids: &[Arc<str>],
        experiment: &str,
        upstream: &A,
        resolved: &mut Resolved,
    ) -> Result<(), ResolveFault> {
        let found = self.find_traces(ids, upstream).await?;
        for (object, link) in found {
            let Some(link) = link else { continue };
            let elsewhere = *link.experiment != *experiment;
            resolved.hold(Action::Edit, link.place(object));
            if elsewhere {
                resolved.ask(Requirement::Admin(MOVES));
            }
        }
        Ok(())
    }

    /// None of the tags is the server's own. With a trace, its place may be sent back as it is: clients before 3.0 end a
    /// trace with all the tags that the server gave them at its start.
    pub(super) async fn trace_tags<A: Ask>(
        &self,
        keys: &[Arc<str>],
        same: Option<(&[Arc<str>], &str)>,
        upstream: &A,
        resolved: &mut Resolved,
    ) -> Result<(), ResolveFault> {
        let mut servers = keys.iter().filter(|key| SERVERS_TAGS.iter().any(|tag| is_tag(key, tag)));
        let Some((places, trace)) = same else {
            if servers.next().is_some() {
                resolved.ask(Requirement::Admin(RESERVED));
            }
            return Ok(());
        };
        let mut place = false;
        for key in servers {
            if &**key == ARTIFACTS {
                place = true;
            } else {
                resolved.ask(Requirement::Admin(RESERVED));
            }
        }
        if place {
            let object = Object { kind: Kind::Trace, id: Arc::from(trace) };
            let link = self.links.find(&object, upstream).await?;
            let is_same = |place: &Arc<str>| link.as_ref().is_some_and(|link| link.artifact_uri == *place);
            if places.is_empty() || !places.iter().all(is_same) {
                resolved.ask(Requirement::Admin(RESERVED));
            }
        }
        Ok(())
    }

    /// The trace's artifacts lie where the server itself would have put them.
    pub(super) async fn trace_place<A: Ask>(
        &self,
        trace: &str,
        upstream: &A,
        resolved: &mut Resolved,
    ) -> Result<(), ResolveFault> {
        let object = Object { kind: Kind::Trace, id: Arc::from(trace) };
        // That it may be read is a need of its own.
        let Some(link) = self.links.find(&object, upstream).await? else { return Ok(()) };
        if link.artifact_uri.is_empty() {
            return Ok(());
        }
        let root = self.links.experiment_place(&link.experiment, upstream).await?;
        if root.and_then(|root| own_place(&root, trace)).is_none_or(|place| *place != *link.artifact_uri) {
            resolved.ask(Requirement::Admin(PLACE));
        }
        Ok(())
    }

    /// Whether an artifact path lies where the server keeps what belongs to the trace, in an experiment with a place of
    /// its own.
    pub(super) async fn in_own_place<A: Ask>(
        &self,
        path: &str,
        trace: &str,
        link: &Link,
        upstream: &A,
    ) -> Result<bool, ResolveFault> {
        let root = self.links.experiment_place(&link.experiment, upstream).await?;
        let Some(place) = root.and_then(|root| own_place(&root, trace)) else { return Ok(false) };
        Ok(proxied(&place).is_some_and(|place| below(path, &place)))
    }
}

/// Where the server puts a trace's artifacts (3.17.2, `_get_trace_artifact_location_tag`); `None` where the experiment's
/// place is no plain path.
fn own_place(root: &str, trace: &str) -> Option<String> {
    let plain = !root.contains(['?', '#']) && !root.is_empty();
    plain.then(|| format!("{}/traces/{trace}/artifacts", root.trim_end_matches('/')))
}

/// Whether `id` names a thing of `kind` in the one form that it has.
fn names_one(kind: Kind, id: &Arc<str>) -> bool {
    match kind {
        Kind::Run => RunId::parse(id).is_ok(),
        Kind::LoggedModel => LoggedModelId::parse(id).is_ok(),
        kind => Resource::named(kind, id).is_some(),
    }
}

/// Every thing of `kind` may be read.
fn every(kind: Kind, resolved: &mut Resolved) {
    let outer = match kind.home() {
        Home::Experiment => Kind::Experiment,
        Home::Named(outer) => outer,
        Home::Workspace => kind,
    };
    resolved.hold(Action::Read, Resource::every(outer));
    resolved.ask(Requirement::NoneDenied(outer));
    resolved.ask(Requirement::NoneDenied(kind));
}

/// None of the metadata is the gateway's.
pub(super) fn metadata(keys: &[Arc<str>], resolved: &mut Resolved) {
    if keys.iter().any(|key| SERVERS_METADATA.iter().any(|name| is_tag(key, name))) {
        resolved.ask(Requirement::Admin(GATEWAY));
    }
}

/// What the filters ask for is not denied.
pub(super) fn filters(texts: &[Arc<str>], resolved: &mut Resolved) {
    let texts: Vec<String> = texts.iter().map(|text| text.to_lowercase()).collect();
    for (kind, words) in WORDS {
        if texts.iter().any(|text| words.iter().any(|word| text.contains(word))) {
            resolved.ask(Requirement::NoneDenied(kind));
        }
    }
}

/// Assessments are not denied, if the view counts them.
pub(super) fn view(fields: &Fields, field: &str, resolved: &mut Resolved) {
    if !fields.one(field).is_some_and(|view| PLAIN_VIEWS.contains(&view)) {
        resolved.ask(Requirement::NoneDenied(Kind::Assessment));
    }
}
