//! To which experiment or model does each id of a request belong?
//!
//! A row's needs and a request's fields become [`Requirement`]s about real objects. The links come from MLflow itself,
//! through the same client; only those that cannot change are remembered. What does not exist, or is not where it should
//! be, becomes a requirement that administrators alone meet: to everybody else it looks like any other denial, and
//! MLflow itself tells the administrator what is wrong.

mod answers;
mod artifact;
mod bulk;
mod called;
mod check;
mod gateway;
mod judges;
mod linked;
mod links;
mod names;
mod people;
mod registry;
mod resolved;
mod review;
mod source;
#[cfg(test)]
mod tests;
mod traces;
mod turns;
mod workspaces;

use std::borrow::Cow;
use std::sync::Arc;

use futures_util::{StreamExt, TryStreamExt};

pub use self::bulk::Search;
use self::called::Calling;
pub use self::called::{BELIEVED, ByName, Called};
pub use self::links::{Ask, ResolveFault};
use self::links::{Link, Links};
pub use self::people::{Known, KnownRole, KnownTokens};
pub use self::resolved::Resolved;
pub use self::review::sees_queue;
use self::turns::Turns;
use self::workspaces::Workspaces;
use crate::access::decide::{Named, Requirement};
use crate::access::identity::Principal;
use crate::mlflow::permission::Action;
use crate::mlflow::resource::{Home, Kind, Object, Resource};
use crate::policy::classify::Call;
use crate::policy::fields::Fields;
use crate::policy::route::{Count, Need, Switch};

/// Look-ups of one request that run side by side.
const SIDE_BY_SIDE: usize = 8;
/// The most things that one request may name. Each is judged, and each stands in the audit record: a megabyte of ids
/// would cost everybody else seconds and the log as many bytes.
const MOST_NAMED: usize = 5000;

const MISSING: &str = "there is no such object";
const ELSEWHERE: &str = "the artifact path is not below the run, model or trace it names";
const NO_TIER: &str = "the artifact path is in no run, logged model or trace";
const NO_SKILL: &str = "the artifact path names no single skill";
const OTHER_WORKSPACE: &str = "the artifact path leads into another workspace";
const NO_PATH: &str = "without a path, every experiment is listed";

/// How ids are looked up.
#[derive(Debug, Clone)]
pub struct Settings {
    /// What `mlflow server --static-prefix` was given.
    pub static_prefix: String,
    /// Where experiments may keep artifacts when an ordinary user says so.
    pub artifact_locations: Vec<String>,
    /// From where anybody may register a model version: the server reads there for whoever may read the version.
    pub model_sources: Vec<String>,
    /// The most links that are remembered.
    pub links: u64,
    /// The most look-ups that one request may cost.
    pub most_look_ups: usize,
    /// Whether who made something is who called, whatever a request says (`Row::stamps`).
    pub authors: bool,
    /// Whether EDIT is enough to delete and restore what one made, and to remove single tags ([`Need::Lenient`]).
    pub lenient_edit: bool,
    /// Whether addresses of a bucket are given out ([`Switch::PresignedDownload`] and its kin).
    pub presigned_artifacts: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            static_prefix: String::new(),
            artifact_locations: Vec::new(),
            model_sources: Vec::new(),
            links: 200_000,
            most_look_ups: 256,
            authors: true,
            lenient_edit: false,
            presigned_artifacts: false,
        }
    }
}

/// Finds out what ids belong to. Shared by all workers.
#[derive(Clone)]
pub struct Resolver {
    links: Links,
    calling: Calling,
    settings: Arc<Settings>,
    workspaces: Workspaces,
    turns: Turns,
}

impl Resolver {
    /// A resolver that remembers nothing yet.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self {
            links: Links::new(&settings),
            calling: Calling::default(),
            settings: Arc::new(settings),
            workspaces: Workspaces::default(),
            turns: Turns::default(),
        }
    }

    /// Whether the caller's own name is written where a request says who did it.
    #[must_use]
    pub fn stamps_authors(&self) -> bool {
        self.settings.authors
    }

    /// Turns the needs of the call's row into requirements.
    ///
    /// # Errors
    /// [`ResolveFault`] when MLflow cannot tell, or too many look-ups would be needed. The request is refused then.
    pub async fn resolve<A: Ask>(&self, call: &Call, fields: &Fields, upstream: &A) -> Result<Resolved, ResolveFault> {
        self.resolve_for(None, call, fields, upstream).await
    }

    /// The same for one caller: what cannot change the decision is not looked up, and what the caller may not see looks
    /// like what is not there.
    ///
    /// # Errors
    /// As [`resolve`](Self::resolve).
    pub async fn resolve_for<A: Ask>(
        &self,
        asker: Option<&Arc<Principal>>,
        call: &Call,
        fields: &Fields,
        upstream: &A,
    ) -> Result<Resolved, ResolveFault> {
        self.resolve_about(asker, call, fields, &Known::default(), upstream).await
    }

    /// The same for a call about people, roles and permissions, of which the store knows this.
    ///
    /// # Errors
    /// As [`resolve`](Self::resolve).
    #[expect(clippy::too_many_lines, reason = "one arm for each word of the table")]
    pub async fn resolve_about<A: Ask>(
        &self,
        asker: Option<&Arc<Principal>>,
        call: &Call,
        fields: &Fields,
        known: &Known,
        upstream: &A,
    ) -> Result<Resolved, ResolveFault> {
        let apart = people::on_one_thing(call.row);
        let about = known.about.clone();
        let mut resolved = Resolved { asker: asker.cloned(), about, apart, ..Resolved::default() };
        if let Some(switch) = call.row.behind
            && !self.is_on(switch, upstream)
        {
            resolved.ask(Requirement::Nobody(switch.why()));
            return Ok(resolved);
        }
        for need in call.row.needs {
            match *need {
                // Who is signed in, the gate knows; a narrowed list is cut by the answer step, and rows are judged there.
                Need::Anyone | Need::SignedIn | Need::On { count: Count::Narrowed | Count::ByRow, .. } => {}
                Need::Admin(why) => resolved.ask(Requirement::Admin(why)),
                Need::Nobody(why) => resolved.ask(Requirement::Nobody(why)),
                Need::Create => resolved.hold(Action::Create, workspace(upstream)),
                Need::CreateNamed { kind, name, mark } => {
                    let marks = mark.map_or(&[][..], |mark| fields.each(mark));
                    registry::create(kind, fields.one(name), marks, &workspace(upstream), &mut resolved);
                    if kind == Kind::Experiment {
                        resolved.new_experiment(fields.one(name).unwrap_or_default());
                    }
                }
                Need::OnOrCreate { action, kind, field } => {
                    // Rows that make something on the way name one: two turns at once could wait for each other.
                    for id in fields.each(field) {
                        let object = Object { kind, id: Arc::clone(id) };
                        Box::pin(self.on_or_create(action, object, upstream, &mut resolved)).await?;
                    }
                }
                Need::On {
                    action,
                    kind,
                    field,
                    count: Count::One | Count::Optional | Count::Each | Count::AnyEach,
                } => {
                    self.on(action, kind, fields.each(field), upstream, &mut resolved).await?;
                }
                // None is named where none need be: elsewhere that means all of them.
                Need::Under { field, count: Count::Optional, .. } if fields.each(field).is_empty() => {}
                Need::Under { action, kind, field, count: _, of, parent } => {
                    let parent = fields.each(parent);
                    self.under(action, kind, fields.each(field), (of, parent), upstream, &mut resolved).await?;
                }
                Need::NewOf { kind, given } => {
                    if given.is_none_or(|field| fields.present(field)) {
                        // What is new has no id that a grant could name.
                        resolved.ask(Requirement::NotDenied(Resource::top(kind, Arc::from(""))));
                    }
                }
                Need::NewNamed { kind, mark } => {
                    registry::new_named(kind, fields.one("name"), fields.each(mark), &mut resolved);
                }
                Need::Renames { id, to } => {
                    // Empty and absent are the same to MLflow (3.17.2, `_update_experiment`).
                    if let ([id], Some(new)) = (fields.each(id), fields.one(to).filter(|name| !name.is_empty())) {
                        Box::pin(self.on_rename(id, new, known, upstream, &mut resolved)).await?;
                    }
                }
                Need::NoneDenied(kind) => resolved.ask(Requirement::NoneDenied(kind)),
                Need::Lenient { action, least, own, kind, field } => {
                    let ids = fields.each(field);
                    if !self.settings.lenient_edit {
                        self.on(action, kind, ids, upstream, &mut resolved).await?;
                    } else if own {
                        self.on_own(action, least, kind, ids, upstream, &mut resolved).await?;
                    } else {
                        self.on(least, kind, ids, upstream, &mut resolved).await?;
                    }
                }
                Need::OnArtifact { action, field } => {
                    let path = fields.one(field).unwrap_or_default();
                    self.on_artifact(action, path, upstream, &mut resolved).await?;
                }
                Need::OnExperimentNamed { action, field } => {
                    let name = fields.one(field).unwrap_or_default();
                    match Box::pin(self.links.experiment_named(name, upstream)).await? {
                        Some(id) => resolved.hold(action, Resource::top(Kind::Experiment, id)),
                        None => resolved.ask(Requirement::Absent(MISSING)),
                    }
                }
                Need::OnEvery { action, kind: Kind::Workspace } => resolved.hold(action, workspace(upstream)),
                Need::OnEvery { action, kind } => resolved.hold(action, Resource::every(kind)),
                Need::OnNamed { action, kind, field, count: _ } => {
                    if let Some(name) = fields.one(field) {
                        Box::pin(self.on_named(action, kind, name, upstream, &mut resolved)).await?;
                    }
                }
                Need::OnExperimentOf { action, kind, field } => {
                    for id in fields.each(field) {
                        let object = Object { kind, id: Arc::clone(id) };
                        self.on_experiment_of(action, &object, upstream, &mut resolved).await?;
                    }
                }
                Need::OnAllIn { action, kinds, of, field } => {
                    for id in fields.each(field) {
                        for kind in kinds {
                            let home = Object { kind: of, id: Arc::clone(id) };
                            self.hold_named(action, Some(Resource::all_in(*kind, home)), upstream, &mut resolved)
                                .await?;
                        }
                    }
                }
                Need::NotDenied { kind, field } => {
                    for id in fields.each(field) {
                        resolved.not_denied(kind, id);
                    }
                }
                Need::OnQueue { right, field } => {
                    let named = fields.one(field).unwrap_or_default();
                    Box::pin(self.on_queue(right, named, upstream, &mut resolved)).await?;
                }
                Need::ForOneself { field, experiment, others } => {
                    if let (Some(name), [experiment]) = (fields.one(field), fields.each(experiment)) {
                        resolved.ask(review::for_oneself(name, experiment, others));
                    }
                }
                Need::Checked(check) => self.check(check, fields, upstream, &mut resolved).await?,
                Need::Gives { what, to } => {
                    let from = resolved.requirements.len();
                    Box::pin(self.on_what((what, true), known, fields, upstream, &mut resolved)).await?;
                    let to = to.and_then(|field| fields.one(field));
                    people::given(from, to, known, &mut resolved);
                }
                Need::Takes { what, from: _ } => {
                    Box::pin(self.on_what((what, false), known, fields, upstream, &mut resolved)).await?;
                }
                Need::Oneself { field, managers } => {
                    let name = Arc::from(fields.one(field).unwrap_or_default());
                    resolved.ask(Requirement::Oneself { name, managers });
                }
                Need::OnTokensOf { field: _, making } => people::on_tokens(making, known, &mut resolved),
                Need::OnToken(_) => people::on_tokens(false, known, &mut resolved),
                Need::OnRole { right, field: _ } => people::on_role(right, known, &mut resolved),
                Need::InEach(field) => people::in_each(field, fields, known, &mut resolved),
            }
        }
        Box::pin(self.look_up(call.row.takes, fields, upstream, &mut resolved)).await?;
        self.name_experiments(upstream, &mut resolved).await?;
        if call.row.open_to_strangers() {
            resolved.ask(Requirement::Nothing);
        } else if resolved.requirements.is_empty() {
            resolved.ask(Requirement::SignedIn);
        }
        Ok(resolved)
    }

    /// The object with what it lies in; `None` when there is no such object.
    ///
    /// # Errors
    /// [`ResolveFault`] when MLflow cannot tell.
    pub async fn place<A: Ask>(&self, kind: Kind, id: &str, upstream: &A) -> Result<Option<Resource>, ResolveFault> {
        let id = Arc::from(id);
        Ok(match kind.home() {
            Home::Workspace => Some(Resource::top(kind, id)),
            Home::Named(_) => Resource::named(kind, &id),
            Home::Experiment => {
                let object = Object { kind, id };
                self.links.find(&object, upstream).await?.map(|link| link.place(object))
            }
        })
    }

    pub(super) async fn on<A: Ask>(
        &self,
        action: Action,
        kind: Kind,
        ids: &[Arc<str>],
        upstream: &A,
        resolved: &mut Resolved,
    ) -> Result<(), ResolveFault> {
        if ids.len() > MOST_NAMED {
            return Err(ResolveFault::TooMany { most: MOST_NAMED });
        }
        match kind.home() {
            Home::Workspace => {
                for id in ids {
                    self.hold_named(action, Some(Resource::top(kind, Arc::clone(id))), upstream, resolved).await?;
                }
            }
            Home::Named(_) => {
                for id in ids {
                    self.hold_named(action, Resource::named(kind, id), upstream, resolved).await?;
                }
            }
            Home::Experiment if kind == Kind::Dataset => {
                Box::pin(self.on_datasets(action, ids, upstream, resolved)).await?;
            }
            Home::Experiment => {
                if let [id] = ids {
                    let object = Object { kind, id: Arc::clone(id) };
                    let link = self.links.find(&object, upstream).await?;
                    resolved.hold_or_miss(action, link.map(|link| link.place(object)));
                    return Ok(());
                }
                if kind == Kind::Trace {
                    for (object, link) in self.find_traces(ids, upstream).await? {
                        resolved.hold_or_miss(action, link.map(|link| link.place(object)));
                    }
                    return Ok(());
                }
                let objects: Vec<Object> = ids.iter().map(|id| Object { kind, id: Arc::clone(id) }).collect();
                if self.links.unknown(&objects, upstream.workspace()).await > self.settings.most_look_ups {
                    return Err(ResolveFault::TooMany { most: self.settings.most_look_ups });
                }
                let found: Vec<Option<Resource>> = futures_util::stream::iter(objects)
                    .map(async |object| Ok(self.links.find(&object, upstream).await?.map(|link| link.place(object))))
                    .buffered(SIDE_BY_SIDE)
                    .try_collect()
                    .await?;
                for resource in found {
                    resolved.hold_or_miss(action, resource);
                }
            }
        }
        Ok(())
    }

    /// Things that lie in the experiment that the one parent lies in, or is. If none are named, all of them are meant.
    async fn under<A: Ask>(
        &self,
        action: Action,
        kind: Kind,
        ids: &[Arc<str>],
        (of, parent): (Kind, &[Arc<str>]),
        upstream: &A,
        resolved: &mut Resolved,
    ) -> Result<(), ResolveFault> {
        if ids.len() > MOST_NAMED {
            return Err(ResolveFault::TooMany { most: MOST_NAMED });
        }
        if ids.is_empty() {
            resolved.ask(Requirement::NoneDenied(kind));
        }
        let [parent] = parent else {
            resolved.ask(Requirement::Absent(MISSING));
            return Ok(());
        };
        let experiment = if of == Kind::Experiment {
            Some(Arc::clone(parent))
        } else {
            let object = Object { kind: of, id: Arc::clone(parent) };
            self.links.find(&object, upstream).await?.map(|link| link.experiment)
        };
        for id in ids {
            let within = |experiment| Object { kind: Kind::Experiment, id: experiment };
            let resource =
                experiment.clone().map(|experiment| Resource::inside(kind, Arc::clone(id), within(experiment)));
            resolved.hold_or_miss(action, resource);
        }
        Ok(())
    }

    async fn on_artifact<A: Ask>(
        &self,
        action: Action,
        path: &str,
        upstream: &A,
        resolved: &mut Resolved,
    ) -> Result<(), ResolveFault> {
        let Some(path) = artifact::within(path.trim_end_matches('/'), upstream.workspace()) else {
            resolved.ask(Requirement::Absent(OTHER_WORKSPACE));
            return Ok(());
        };
        if path.is_empty() {
            resolved.ask(Requirement::Admin(NO_PATH));
            return Ok(());
        }
        if artifact::is_of_skills(path) {
            match artifact::skill(path) {
                Some(id) => resolved.hold(action, Resource::top(Kind::Skill, Arc::from(id))),
                None => resolved.ask(Requirement::Admin(NO_SKILL)),
            }
            return Ok(());
        }
        let Some(tier) = artifact::tier(path) else {
            resolved.ask(Requirement::Admin(NO_TIER));
            return Ok(());
        };
        let object = Object { kind: tier.kind, id: Arc::from(tier.id) };
        let Some(link) = self.links.find(&object, upstream).await? else {
            resolved.ask(Requirement::Absent(MISSING));
            return Ok(());
        };
        let lies_there = artifact::lies_in(path, &tier, &link, upstream.workspace())
            || (tier.kind == Kind::Trace && self.in_own_place(path, tier.id, &link, upstream).await?);
        if !lies_there {
            resolved.ask(Requirement::Absent(ELSEWHERE));
            return Ok(());
        }
        resolved.hold(action, link.place(object));
        Ok(())
    }

    /// `action` on what is there; else CREATE, and nobody else makes it meanwhile.
    async fn on_or_create<A: Ask>(
        &self,
        action: Action,
        object: Object,
        upstream: &A,
        resolved: &mut Resolved,
    ) -> Result<(), ResolveFault> {
        let mut exists = self.links.exists(&object, upstream).await?;
        if !exists {
            if resolved.turn.is_none() {
                resolved.turn = Some(self.turns.take(upstream.workspace(), &object).await);
            }
            exists = self.links.exists(&object, upstream).await?;
        }
        if exists {
            resolved.turn = None;
            resolved.hold(action, Resource::top(object.kind, object.id));
        } else {
            resolved.hold(Action::Create, workspace(upstream));
            resolved.not_denied(object.kind, &object.id);
            resolved.absent.push(object);
        }
        Ok(())
    }

    /// `action`; for whoever made the thing, `least` is enough.
    async fn on_own<A: Ask>(
        &self,
        action: Action,
        least: Action,
        kind: Kind,
        ids: &[Arc<str>],
        upstream: &A,
        resolved: &mut Resolved,
    ) -> Result<(), ResolveFault> {
        for id in ids {
            let object = Object { kind, id: Arc::clone(id) };
            let Some(link) = self.links.find(&object, upstream).await? else {
                resolved.ask(Requirement::Absent(MISSING));
                continue;
            };
            // An author is known where the gate has seen to it.
            let author = Some(Arc::clone(&link.author)).filter(|author| self.settings.authors && !author.is_empty());
            let resource = link.place(object);
            let Some(author) = author else {
                resolved.hold(action, resource);
                continue;
            };
            resolved.name(&resource);
            let named = vec![Named { users: vec![author], least }];
            resolved.ask(Requirement::Among { action: Some(action), resource, named });
        }
        Ok(())
    }

    /// Whether the part that a setting opens is open.
    pub(crate) fn is_on<A: Ask>(&self, switch: Switch, upstream: &A) -> bool {
        match switch {
            Switch::PresignedDownload | Switch::PresignedUpload | Switch::MultipartUpload => {
                self.settings.presigned_artifacts
            }
            // Every request names one then, and none otherwise.
            Switch::Workspaces => upstream.workspace().is_some(),
        }
    }
}

/// The workspace in which MLflow is asked, itself.
fn workspace<A: Ask>(upstream: &A) -> Resource {
    upstream.workspace().map_or_else(Resource::workspace, Resource::of_workspace)
}

impl Link {
    fn place(&self, object: Object) -> Resource {
        let experiment = Object { kind: Kind::Experiment, id: Arc::clone(&self.experiment) };
        Resource { object, within: Some(experiment) }
    }
}

/// `mlflow-artifacts:/x` and `mlflow-artifacts://host/x`: the path below the server's artifact root.
fn proxied(uri: &str) -> Option<Cow<'_, str>> {
    let rest = uri.strip_prefix("mlflow-artifacts:")?;
    let rest = match rest.strip_prefix("//") {
        Some(authority) => authority.split_once('/')?.1,
        None => rest.trim_start_matches('/'),
    };
    Some(Cow::Borrowed(rest))
}
