//! Whom does a review queue name, in which experiments is a dataset, and what do judges and prompt jobs use?
//!
//! What people may change is asked each time: a dataset's experiments, a queue's reviewers and owner. JSON that stands
//! in a field of text is read whole, and what cannot be read is for administrators: it is run later, with the server's
//! own rights.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use futures_util::{StreamExt, TryStreamExt};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::links::{Ask, Links, Miss, ResolveFault, experiment_id, read, settle};
use super::{MISSING, Resolved, Resolver, SIDE_BY_SIDE};
use crate::access::decide::{Named, Requirement};
use crate::mlflow::ids::{ExperimentId, GatewayEndpointName, ModelName, ModelVersion, ReviewQueueId, ScorerName};
use crate::mlflow::permission::Action;
use crate::mlflow::resource::{Kind, Object, Resource};
use crate::policy::fields::Fields;
use crate::policy::route::QueueRight;

/// What MLflow writes for the type of a queue that several people share (`review_queues.proto`).
const CUSTOM: [&str; 2] = ["CUSTOM", "2"];
/// How a model says that the server's own gateway answers for it (3.17.2, `genai/scorers/scorer_utils.py`).
const GATEWAY: &str = "gateway:";

const ELSEWHERE: &str = "what the request names lies in another experiment";
const UNREADABLE: &str = "the text names models or scorers, and is no JSON that everybody reads alike";
const NO_PROMPT: &str = "the text names no version of a prompt";

/// A review queue, as it was just now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Queue {
    id: Arc<str>,
    experiment: Arc<str>,
    /// Its reviewers, in lower case: MLflow writes them so.
    users: Vec<Arc<str>>,
    owner: Option<Arc<str>>,
    custom: bool,
}

impl Links {
    /// The experiments that a dataset is in. None where there is no such dataset: MLflow says no more.
    pub(super) async fn dataset_experiments<A: Ask>(
        &self,
        id: &str,
        upstream: &A,
    ) -> Result<Vec<Arc<str>>, ResolveFault> {
        let asked = match self.get(&format!("/api/3.0/mlflow/datasets/{id}/experiment-ids"), upstream).await {
            Ok(asked) => asked,
            Err(Miss::Absent | Miss::NoCall) => return Ok(Vec::new()),
            Err(Miss::Fault(fault)) => return Err(fault),
        };
        let found = read(&asked).and_then(|DatasetAnswer { experiment_ids }: DatasetAnswer<'_>| {
            experiment_ids.iter().map(|id| experiment_id(id)).collect::<Result<Vec<_>, Miss>>()
        });
        Ok(settle(found)?.unwrap_or_default())
    }

    /// A review queue, by its id or by `experiment/name`.
    pub(super) async fn queue<A: Ask>(&self, named: &str, upstream: &A) -> Result<Option<Queue>, ResolveFault> {
        let target = match named.split_once('/') {
            None => format!("/api/3.0/mlflow/review-queues/get?queue_id={named}"),
            Some((experiment, name)) => {
                let name = utf8_percent_encode(name, NON_ALPHANUMERIC);
                format!("/api/3.0/mlflow/review-queues/get-by-name?experiment_id={experiment}&name={name}")
            }
        };
        let found = match self.get(&target, upstream).await {
            Ok(asked) => {
                read(&asked).and_then(|QueueAnswer { review_queue }: QueueAnswer<'_>| review_queue.read(named))
            }
            Err(miss) => Err(miss),
        };
        settle(found)
    }
}

impl Queue {
    fn resource(&self) -> Resource {
        let experiment = Object { kind: Kind::Experiment, id: Arc::clone(&self.experiment) };
        Resource::inside(Kind::ReviewQueue, Arc::clone(&self.id), experiment)
    }

    /// What `right` takes (MLflow 3.17.2, `validate_can_view_review_queue`, `_can_own_or_manage_review_queue`,
    /// `_can_delete_or_prune_review_queue`, `validate_can_review_queue_item`).
    fn asks(&self, right: QueueRight) -> Requirement {
        let reviewers = |least| Named { users: self.users.clone(), least };
        let owner = || Named { users: self.owner.iter().cloned().collect(), least: Action::Edit };
        let (action, named) = match right {
            QueueRight::See => (Some(Action::Manage), vec![reviewers(Action::Read), owner()]),
            QueueRight::Prune if !self.custom => (Some(Action::Manage), Vec::new()),
            QueueRight::Change | QueueRight::Prune => (Some(Action::Manage), vec![owner()]),
            QueueRight::Work => (None, vec![reviewers(Action::Edit)]),
        };
        Requirement::Among { action, resource: self.resource(), named }
    }
}

/// What it takes to see a queue that stands in a list: the same as to read it by its id.
#[must_use]
pub fn sees_queue(id: &str, experiment: &str, users: Vec<Arc<str>>, owner: Option<Arc<str>>) -> [Requirement; 2] {
    let queue = Queue { id: id.into(), experiment: experiment.into(), users, owner, custom: true };
    let experiment = Resource::top(Kind::Experiment, Arc::clone(&queue.experiment));
    [Requirement::Holds { action: Action::Read, resource: experiment }, queue.asks(QueueRight::See)]
}

impl Resolver {
    /// The experiments of each dataset; those that cannot be asked about have none.
    pub async fn dataset_experiments<A: Ask>(
        &self,
        ids: Vec<Arc<str>>,
        upstream: &A,
    ) -> Vec<(Arc<str>, Vec<Arc<str>>)> {
        futures_util::stream::iter(ids)
            .map(async |id| {
                let found = self.links.dataset_experiments(&id, upstream).await.unwrap_or_default();
                (id, found)
            })
            .buffered(SIDE_BY_SIDE)
            .collect()
            .await
    }

    /// `action` on every experiment that each of the datasets is in.
    pub(super) async fn on_datasets<A: Ask>(
        &self,
        action: Action,
        ids: &[Arc<str>],
        upstream: &A,
        resolved: &mut Resolved,
    ) -> Result<(), ResolveFault> {
        if ids.len() > self.settings.most_look_ups {
            return Err(ResolveFault::TooMany { most: self.settings.most_look_ups });
        }
        let found: Vec<(Arc<str>, Vec<Arc<str>>)> = futures_util::stream::iter(ids.to_vec())
            .map(async |id| {
                let experiments = self.links.dataset_experiments(&id, upstream).await?;
                Ok((id, experiments))
            })
            .buffered(SIDE_BY_SIDE)
            .try_collect()
            .await?;
        for (id, experiments) in found {
            if experiments.is_empty() {
                resolved.ask(Requirement::Absent(MISSING));
            }
            for experiment in experiments {
                let within = Object { kind: Kind::Experiment, id: experiment };
                resolved.hold(action, Resource::inside(Kind::Dataset, Arc::clone(&id), within));
            }
        }
        Ok(())
    }

    pub(super) async fn on_queue<A: Ask>(
        &self,
        right: QueueRight,
        named: &str,
        upstream: &A,
        resolved: &mut Resolved,
    ) -> Result<(), ResolveFault> {
        let Some(queue) = self.links.queue(named, upstream).await? else {
            resolved.ask(Requirement::Absent(MISSING));
            return Ok(());
        };
        resolved.hold(Action::Read, Resource::top(Kind::Experiment, Arc::clone(&queue.experiment)));
        resolved.name_object(queue.resource().object);
        resolved.ask(queue.asks(right));
        Ok(())
    }

    pub(super) async fn on_experiment_of<A: Ask>(
        &self,
        action: Action,
        object: &Object,
        upstream: &A,
        resolved: &mut Resolved,
    ) -> Result<(), ResolveFault> {
        let link = self.links.find(object, upstream).await?;
        if link.is_some() {
            resolved.name_object(object.clone());
        }
        resolved.hold_or_miss(action, link.map(|link| Resource::top(Kind::Experiment, link.experiment)));
        Ok(())
    }

    /// Every thing in `things` was found to lie in that experiment, or is asked of administrators alone.
    pub(super) fn inside(things: &[Arc<str>], experiment: Option<&str>, resolved: &mut Resolved) {
        let elsewhere = resolved.requirements.iter().any(|requirement| match requirement {
            Requirement::Holds { resource, .. } if things.contains(&resource.object.id) => {
                resource.within.as_ref().is_some_and(|within| Some(&*within.id) != experiment)
            }
            _ => false,
        });
        if elsewhere {
            resolved.ask(Requirement::Absent(ELSEWHERE));
        }
    }

    /// The experiment that `field` names: its id, or that of what lies in it.
    pub(super) async fn experiment_in<A: Ask>(
        &self,
        field: &str,
        fields: &Fields,
        upstream: &A,
    ) -> Result<Option<Arc<str>>, ResolveFault> {
        let Some(id) = fields.each(field).first() else { return Ok(None) };
        if ExperimentId::parse(id).is_ok() {
            return Ok(Some(Arc::clone(id)));
        }
        if ReviewQueueId::parse(id).is_ok() {
            let object = Object { kind: Kind::ReviewQueue, id: Arc::clone(id) };
            return Ok(self.links.find(&object, upstream).await?.map(|link| link.experiment));
        }
        Ok(None)
    }

    /// READ on each scorer of the experiment that one of the texts names and that is registered there. Others are
    /// judges of the request's own, or built in.
    pub(super) async fn on_scorers<A: Ask>(
        &self,
        texts: &[Arc<str>],
        experiment: &str,
        upstream: &A,
        resolved: &mut Resolved,
    ) -> Result<(), ResolveFault> {
        if texts.len() > self.settings.most_look_ups {
            return Err(ResolveFault::TooMany { most: self.settings.most_look_ups });
        }
        for text in texts {
            let inline = text.trim_start().starts_with('{');
            let name = if inline {
                let Ok(serialized) = serde_json::from_str::<Serialized<'_>>(text) else {
                    resolved.ask(Requirement::Admin(UNREADABLE));
                    continue;
                };
                serialized.name
            } else {
                Some(Cow::Borrowed(&**text))
            };
            let Some(name) = name else { continue };
            if ScorerName::parse(&name).is_err() {
                resolved.ask(Requirement::Admin(UNREADABLE));
                continue;
            }
            let object = Object { kind: Kind::Scorer, id: Kind::Scorer.join([experiment, &*name]).into() };
            if self.links.exists(&object, upstream).await? {
                resolved.not_denied(Kind::Scorer, &object.id);
                if !inline {
                    // By a bare name, it is run as it is stored.
                    self.on_judge(&object.id, upstream, resolved).await?;
                }
                resolved.hold(Action::Read, Resource::top(Kind::Scorer, object.id));
            }
        }
        Ok(())
    }
}

/// What it takes to do something under `name`: EDIT on the experiment for one's own, else `others`.
pub(super) fn for_oneself(name: &str, experiment: &Arc<str>, others: Option<Action>) -> Requirement {
    let users = vec![Arc::from(name)];
    let resource = Resource::top(Kind::Experiment, Arc::clone(experiment));
    Requirement::Among { action: others, resource, named: vec![Named { users, least: Action::Edit }] }
}

/// Whether a queue of this type is one person's own. What is no known word is taken for that.
pub(super) fn is_own(queue_type: &str) -> bool {
    !CUSTOM.contains(&queue_type)
}

/// The prompt that a job makes new versions of. Only what both `_parse_model_uri` and a plain reading take alike
/// (3.17.2, `_source_prompt_names`): `prompts:/name/version` and `prompts:/name@alias`.
pub(super) fn on_prompt(uri: &str, resolved: &mut Resolved) {
    let name = uri.strip_prefix("prompts:/").and_then(|rest| match (rest.split_once('/'), rest.split_once('@')) {
        (Some((name, version)), None) if ModelVersion::parse(version).is_ok() => Some(name),
        (None, Some((name, alias))) if !alias.is_empty() && !alias.contains('@') => Some(name),
        _ => None,
    });
    let usable = |name: &&str| {
        let plain = |sign: char| !sign.is_control() && !matches!(sign, '%' | '?' | '#' | '\\' | ';');
        ModelName::parse(name).is_ok() && name.trim() == *name && name.chars().all(plain)
    };
    match name.filter(usable) {
        Some(name) => {
            let name = Arc::from(name);
            resolved.not_denied(Kind::Prompt, &name);
            resolved.hold(Action::Edit, Resource::top(Kind::Prompt, name));
        }
        None => resolved.ask(Requirement::Admin(NO_PROMPT)),
    }
}

/// The names of the gateway's endpoints that JSON text speaks of; `None` where it cannot be read.
pub(super) fn endpoints(text: &str) -> Option<Vec<String>> {
    let mut found = BTreeSet::new();
    let mut reader = serde_json::Deserializer::from_str(text);
    Texts(&mut found).deserialize(&mut reader).ok()?;
    reader.end().ok()?;
    Some(found.into_iter().collect())
}

/// Walks JSON without keeping it: a text of 16 MiB would be some hundred MiB of values.
struct Texts<'a>(&'a mut BTreeSet<String>);

impl<'de> DeserializeSeed<'de> for Texts<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Texts<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    /// Signs that some reader of addresses leaves out must not make two of one text.
    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<(), E> {
        let signs = text.chars().filter(|sign| !sign.is_control() && !sign.is_whitespace());
        if !signs.map(|sign| sign.to_ascii_lowercase()).take(GATEWAY.len()).eq(GATEWAY.chars()) {
            return Ok(());
        }
        let name = text.strip_prefix(GATEWAY).and_then(|rest| rest.strip_prefix('/'));
        match name.filter(|name| GatewayEndpointName::parse(name).is_ok()) {
            Some(name) => drop(self.0.insert(name.to_owned())),
            None => return Err(E::custom("a model of the gateway that is not written `gateway:/name`")),
        }
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while list.next_element_seed(Texts(&mut *self.0))?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while map.next_key::<IgnoredAny>()?.is_some() {
            map.next_value_seed(Texts(&mut *self.0))?;
        }
        Ok(())
    }
}

/// Whether the text cannot be read.
pub(super) fn unreadable() -> Requirement {
    Requirement::Admin(UNREADABLE)
}

#[derive(Deserialize)]
struct Serialized<'a> {
    #[serde(borrow, default)]
    name: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct DatasetAnswer<'a> {
    #[serde(borrow, default)]
    experiment_ids: Vec<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct QueueAnswer<'a> {
    #[serde(borrow)]
    review_queue: QueueBody<'a>,
}

#[derive(Deserialize)]
struct QueueBody<'a> {
    #[serde(borrow)]
    queue_id: Cow<'a, str>,
    #[serde(borrow)]
    experiment_id: Cow<'a, str>,
    #[serde(borrow, default)]
    queue_type: Cow<'a, str>,
    #[serde(borrow, default)]
    created_by: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    users: Vec<Cow<'a, str>>,
}

impl QueueBody<'_> {
    fn read(self, named: &str) -> Result<Queue, Miss> {
        let other = || Miss::Fault(ResolveFault::Unreadable("it is about another queue"));
        let asked_for = match named.split_once('/') {
            None => *self.queue_id == *named,
            Some((experiment, _)) => *self.experiment_id == *experiment,
        };
        if !asked_for || ReviewQueueId::parse(&self.queue_id).is_err() {
            return Err(other());
        }
        Ok(Queue {
            id: Arc::from(&*self.queue_id),
            experiment: experiment_id(&self.experiment_id)?,
            users: self.users.iter().map(|user| Arc::from(&**user)).collect(),
            owner: self.created_by.filter(|owner| !owner.is_empty()).map(|owner| Arc::from(&*owner)),
            custom: *self.queue_type == *CUSTOM[0],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_of_the_gateway_has_one_spelling() {
        for odd in ["GATEWAY:/x", " gateway:/x", "gate\nway:/x", "\u{1}gateway:/x", "gateway:/x?y", "gateway://y/x"] {
            assert_eq!(endpoints(&serde_json::json!({ "model": odd }).to_string()), None, "{odd}");
        }
        assert_eq!(endpoints(r#"{"model":"openai:/gateway","about":"the gateway: it"}"#), Some(Vec::new()));
    }

    #[test]
    fn every_model_of_the_gateway_is_found_whichever_of_two_members_counts() {
        let text = r#"{"a":[1,-1,1.5,null,true,{"model":"gateway:/x"}],"model":"gateway:/y","model":"openai:/z"}"#;
        assert_eq!(endpoints(text), Some(vec!["x".to_owned(), "y".to_owned()]));
        for odd in ["", "{", r#"{"a":NaN}"#, "{} {}", &"[".repeat(1000)] {
            assert_eq!(endpoints(odd), None, "{odd}");
        }
    }
}
