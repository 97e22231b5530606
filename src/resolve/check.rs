//! Would MLflow trust what the caller writes? The checks of a row that are no ids of one object.

use std::sync::Arc;

use super::links::{Ask, ResolveFault};
use super::source::{self, Source};
use super::{Resolved, Resolver, linked, review, traces};
use crate::access::decide::{Named, Requirement};
use crate::mlflow::permission::Action;
use crate::mlflow::resource::{IS_PROMPT, Kind, Object, Resource};
use crate::policy::fields::{Fields, is_author_tag};
use crate::policy::path;
use crate::policy::route::{Check, Switch};

const LOCATION: &str = "the server would write to any place that `artifact_location` names";
const SOURCE: &str = "the server would read any place that `source` names";
pub(super) const RESERVED: &str = "the tag is MLflow's own";
pub(super) const FORGED: &str = "the tag `mlflow.user` tells who made it, and that does not change";

/// Tags by which MLflow's handlers decide something: where artifacts are read from, and which objects are prompts.
const RESERVED_TAGS: [&str; 5] = [
    "mlflow.artifactLocation",
    IS_PROMPT,
    // Since 3.18.0 the server detects issues on its own by what these say, with the gateway's secret that they name.
    "mlflow.issueDetection.schedule",
    "mlflow.issueDetection.scheduleTraceFilter",
    "mlflow.issueDetection.scheduleState",
];

impl Resolver {
    #[expect(clippy::too_many_lines, reason = "one arm for each word of the table")]
    pub(super) async fn check<A: Ask>(
        &self,
        check: Check,
        fields: &Fields,
        upstream: &A,
        resolved: &mut Resolved,
    ) -> Result<(), ResolveFault> {
        match check {
            // Judged by form alone, in `policy::fields`.
            Check::NewModelName(_)
            | Check::SafePath(_)
            | Check::NewId { .. }
            | Check::FileName(_)
            | Check::Ours(_)
            | Check::Elsewhere(_) => {}
            Check::TraceTags(field) => self.trace_tags(fields.each(field), None, upstream, resolved).await?,
            Check::TraceTagsOf { tags, place, trace } => {
                let same = Some((fields.each(place), fields.one(trace).unwrap_or_default()));
                self.trace_tags(fields.each(tags), same, upstream, resolved).await?;
            }
            Check::VersionTags(field) => {
                if let Some(name) = fields.one("name") {
                    let marked = fields.each(field).iter().any(|key| is_tag(key, IS_PROMPT));
                    self.check_marked(name, marked, upstream, resolved).await?;
                }
            }
            Check::TraceMetadata(field) => traces::metadata(fields.each(field), resolved),
            Check::NewTraces { traces, experiment } => {
                let experiment = fields.one(experiment).unwrap_or_default();
                self.new_traces(fields.each(traces), experiment, upstream, resolved).await?;
            }
            Check::TracePlace(field) => {
                self.trace_place(fields.one(field).unwrap_or_default(), upstream, resolved).await?;
            }
            Check::TraceFilter(field) | Check::TraceFilters(field) => traces::filters(fields.each(field), resolved),
            Check::Presigned(field) => {
                let switch = Switch::PresignedDownload;
                if fields.one(field).is_some_and(|asked| asked != "false") && !self.is_on(switch, upstream) {
                    resolved.ask(Requirement::Nobody(switch.why()));
                }
            }
            Check::CountFilter(field) | Check::CountFilters(field) => {
                traces::filters(fields.each(field), resolved);
                Box::pin(self.counted_by(fields.each(field), upstream, resolved)).await?;
            }
            Check::TraceView(field) => traces::view(fields, field, resolved),
            Check::NewSkill { name, organization } => {
                let name = fields.one(name).unwrap_or_default();
                let organization = fields.one(organization).filter(|text| !text.is_empty());
                let id = Kind::Skill.join(organization.into_iter().chain([name]));
                resolved.not_denied(Kind::Skill, &Arc::from(id));
            }
            Check::GuardrailScorer(field) => {
                if let Some(id) = fields.one(field) {
                    Box::pin(self.on_guardrail(id, upstream, resolved)).await?;
                }
            }
            Check::TracedInto(field) => Box::pin(self.on_traces(field, fields, upstream, resolved)).await?,
            Check::TagKey(field) => {
                resolved.no_reserved(fields.each(field));
                if self.settings.authors && fields.each(field).iter().any(|key| is_author_tag(key)) {
                    resolved.ask(Requirement::Admin(FORGED));
                }
            }
            Check::RunTags { run, key } => {
                resolved.no_reserved(fields.each(key));
                if self.settings.authors && !fields.claimed().is_empty() {
                    self.check_author(fields.one(run), fields.claimed(), upstream, resolved).await?;
                }
            }
            Check::ArtifactLocation(field) => {
                if let Some(location) = fields.one(field)
                    && !self.settings.artifact_locations.iter().any(|root| below(location, root))
                {
                    resolved.ask(Requirement::Admin(LOCATION));
                }
            }
            Check::Inside { things, experiment } => {
                let experiment = Box::pin(self.experiment_in(experiment, fields, upstream)).await?;
                Self::inside(fields.each(things), experiment.as_deref(), resolved);
            }
            Check::Selector { field, word, kind } => {
                if fields.one(field).is_some_and(|text| text.to_ascii_lowercase().contains(word)) {
                    resolved.ask(Requirement::NoneDenied(kind));
                }
            }
            Check::QueueType { field, name, experiment } => {
                if fields.one(field).is_some_and(review::is_own)
                    && let (Some(name), [experiment]) = (fields.one(name), fields.each(experiment))
                {
                    resolved.ask(review::for_oneself(name, experiment, Some(Action::Manage)));
                }
            }
            Check::Scorers { field, experiment } => {
                let experiment = fields.one(experiment).unwrap_or_default();
                Box::pin(self.on_scorers(fields.each(field), experiment, upstream, resolved)).await?;
            }
            Check::Models(field) => {
                Box::pin(self.on_models(fields.each(field), upstream, resolved)).await?;
            }
            Check::StoredJudge(field) => {
                for id in fields.each(field) {
                    Box::pin(self.on_judge(id, upstream, resolved)).await?;
                }
            }
            Check::StoredJudges { experiment, .. } => {
                let experiment = fields.one(experiment).unwrap_or_default();
                Box::pin(self.on_judges(fields.judges(), experiment, upstream, resolved)).await?;
            }
            Check::Provider { provider, model, secret, endpoint } => {
                if fields.one(endpoint).is_none() {
                    Box::pin(self.on_provider((provider, model, secret), fields, upstream, resolved)).await?;
                }
            }
            Check::TraceParent(field) => {
                if let Some(parent) = fields.one(field) {
                    Box::pin(self.trace_parent(parent, upstream, resolved)).await;
                }
            }
            Check::SourceRun(field) => linked::source_run(fields.each(field), resolved),
            Check::NewSourceRun { keys, run, assessment, trace } => {
                let (written, assessment) = ((fields.each(keys), fields.each(run)), fields.each(assessment));
                let trace = fields.each(trace);
                Box::pin(self.new_source_run(written, assessment, trace, upstream, resolved)).await?;
            }
            Check::IssueNames(field) => {
                Box::pin(self.issue_names(fields.each(field), upstream, resolved)).await?;
            }
            Check::TraceAuthor { keys, name } => {
                if self.settings.authors {
                    linked::trace_author(keys, name, fields, resolved);
                }
            }
            Check::ListedVersions { tag, kind, keys, value } => {
                let (keys, value) = (fields.each(keys), value.map(|value| fields.each(value)));
                Box::pin(self.listed_versions((tag, kind), keys, value, upstream, resolved)).await?;
            }
            Check::NewOwner { field, queue } => {
                if let (true, [id]) = (fields.present(field), fields.each(queue)) {
                    let object = Object { kind: Kind::ReviewQueue, id: Arc::clone(id) };
                    self.on_experiment_of(Action::Manage, &object, upstream, resolved).await?;
                }
            }
            Check::PromptUri(field) => {
                if let Some(uri) = fields.one(field) {
                    review::on_prompt(uri, resolved);
                }
            }
            Check::ModelSource(field) => {
                if let Some(text) = fields.one(field) {
                    self.check_source(text, fields, upstream, resolved).await?;
                }
            }
        }
        Ok(())
    }

    /// Whose run it is may be said again by themselves, and by nobody else.
    async fn check_author<A: Ask>(
        &self,
        run: Option<&str>,
        claimed: &[Arc<str>],
        upstream: &A,
        resolved: &mut Resolved,
    ) -> Result<(), ResolveFault> {
        let object = Object { kind: Kind::Run, id: Arc::from(run.unwrap_or_default()) };
        let link = self.links.find(&object, upstream).await?;
        let author = link.filter(|link| claimed.iter().all(|name| *name == link.author));
        resolved.ask(match author {
            Some(link) => {
                let named = vec![Named { users: vec![Arc::clone(&link.author)], least: Action::Edit }];
                Requirement::Among { action: None, resource: link.place(object), named }
            }
            None => Requirement::Admin(FORGED),
        });
        Ok(())
    }

    async fn check_source<A: Ask>(
        &self,
        text: &str,
        fields: &Fields,
        upstream: &A,
        resolved: &mut Resolved,
    ) -> Result<(), ResolveFault> {
        let own = |kind, field| fields.each(field).first().map(|id| Object { kind, id: Arc::clone(id) });
        match source::read(text) {
            Source::Placeholder => {}
            Source::Alias(name, alias) => {
                let id = self.links.version_named(name, alias, upstream).await?;
                let version = id.as_ref().and_then(|id| Resource::named(Kind::ModelVersion, id));
                self.hold_named(Action::Read, version, upstream, resolved).await?;
            }
            Source::Version(id) => {
                let version = Resource::named(Kind::ModelVersion, &Arc::from(id));
                self.hold_named(Action::Read, version, upstream, resolved).await?;
            }
            Source::Run(id) => self.on(Action::Read, Kind::Run, &[Arc::from(id)], upstream, resolved).await?,
            Source::LoggedModel(id) => {
                self.on(Action::Read, Kind::LoggedModel, &[Arc::from(id)], upstream, resolved).await?;
            }
            Source::Place(place) if self.settings.model_sources.iter().any(|root| below(place, root)) => {}
            Source::Place(place) => {
                // The run and the model that the request names are required to be readable besides.
                for object in [own(Kind::LoggedModel, "model_id"), own(Kind::Run, "run_id")].into_iter().flatten() {
                    if let Some(link) = self.links.find(&object, upstream).await?
                        && below(place, &link.artifact_uri)
                    {
                        return Ok(());
                    }
                }
                resolved.ask(Requirement::Admin(SOURCE));
            }
            Source::Unclear => resolved.ask(Requirement::Admin(SOURCE)),
        }
        Ok(())
    }
}

impl Resolved {
    /// Tags by which MLflow decides something are for administrators.
    pub(super) fn no_reserved(&mut self, keys: &[Arc<str>]) {
        let is_reserved = |key: &Arc<str>| RESERVED_TAGS.iter().any(|tag| is_tag(key, tag));
        if keys.iter().any(is_reserved) {
            self.ask(Requirement::Admin(RESERVED));
        }
    }
}

/// Whether a key is that tag's for some reader: databases may compare without case, and drop spaces at the end.
pub(super) fn is_tag(key: &str, tag: &str) -> bool {
    key.trim().eq_ignore_ascii_case(tag)
}

/// Whether the place `uri` is `root` or lies below it, in canonical form.
pub(super) fn below(uri: &str, root: &str) -> bool {
    let root = root.trim_end_matches('/');
    if root.is_empty() {
        return false;
    }
    match uri.strip_prefix(root) {
        Some("") => true,
        Some(rest) => rest.strip_prefix('/').is_some_and(|rest| path::artifact(rest).is_ok()),
        None => false,
    }
}
