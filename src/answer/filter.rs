//! Which rows of a list may the caller see?
//!
//! The fold is the one of single reads ([`crate::access::decide::visible`]), so that a list cannot show what a read
//! refuses, nor hide what it allows. A row whose id cannot be read makes the whole answer unreadable: nothing is passed
//! on that was not judged.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::json::{BadJson, Value};
use super::narrow::spoken_of_either;
use super::page::Circle;
use crate::access::decide::{Visible, meets, visible, visible_of};
use crate::access::identity::Principal;
use crate::mlflow::ids::{DatasetId, ExperimentId, ReviewQueueId, SkillName};
use crate::mlflow::resource::{IS_PROMPT, Kind, Object, Resource};
use crate::policy::route::{List, Own};
use crate::resolve::{Called, sees_queue};

/// An answer of the upstream that cannot be looked over, and so is not passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadAnswer {
    /// Not JSON.
    #[error("it cannot be read: {0}")]
    Json(#[from] BadJson),
    /// Something else stands where an object, a list or a string must stand.
    #[error("`{at}` is not {wanted}")]
    WrongType {
        /// Where.
        at: &'static str,
        /// What must stand there.
        wanted: &'static str,
    },
    /// An id is missing, or not in its one spelling.
    #[error("there is no usable id at `{at}`")]
    NoId {
        /// Where it must stand.
        at: &'static str,
    },
    /// A page that names itself as the next one.
    #[error("a page of the list names itself as the next one")]
    Circle,
    /// More bytes than may be read.
    #[error("it is too large to be looked over")]
    TooLarge,
    /// Compressed, though we asked for plain.
    #[error("it is compressed")]
    Compressed,
    /// It broke off.
    #[error("it broke off")]
    Broken,
    /// What it is about may not be seen.
    #[error("it is about something that the caller may not see")]
    Hidden,
}

impl From<Circle> for BadAnswer {
    fn from(_: Circle) -> Self {
        Self::Circle
    }
}

/// One page as the upstream sent it.
pub(crate) struct Page<'a> {
    list: Option<Value<'a>>,
    /// Its `next_page_token`.
    pub(crate) next: Option<String>,
}

impl<'a> Page<'a> {
    /// Reads a page whose rows stand at `member`.
    ///
    /// # Errors
    /// [`BadAnswer`] unless it is an object with a list there, or nothing (protobuf leaves out an empty list).
    pub(crate) fn read(body: &'a [u8], member: &'static str) -> Result<Self, BadAnswer> {
        let value = Value::parse(body)?;
        if !value.is_object() {
            return Err(BadAnswer::WrongType { at: "the answer", wanted: "an object" });
        }
        let list = value.get(member)?;
        if list.is_some_and(|list| list.elements().is_none()) {
            return Err(BadAnswer::WrongType { at: member, wanted: "a list" });
        }
        let next = match value.get("next_page_token")? {
            None => None,
            Some(token) if token.is_null() => None,
            Some(token) => {
                let token = token.as_str().ok_or(BadAnswer::WrongType { at: "next_page_token", wanted: "a string" })?;
                (!token.is_empty()).then(|| token.into_owned())
            }
        };
        Ok(Self { list, next })
    }

    /// The rows, in order.
    pub(crate) fn rows(&self) -> impl Iterator<Item = Value<'a>> + use<'a> {
        self.list.and_then(Value::elements).into_iter().flatten()
    }
}

/// Judges the rows of one list for one principal.
pub(crate) struct Judge<'p> {
    principal: Cow<'p, Principal>,
    list: &'p List,
    /// Whether any grant speaks of the rows themselves; if none does, what they lie in decides.
    own: bool,
    /// What was judged before; prompts in the second.
    known: [HashMap<String, bool>; 2],
    /// The experiments that datasets are in; a dataset that is missing here is hidden.
    datasets: HashMap<Arc<str>, Vec<Arc<str>>>,
}

impl<'p> Judge<'p> {
    pub(crate) fn new(principal: &'p Principal, list: &'p List) -> Self {
        let own =
            list.own.map(|own| spoken_of_either(principal, own.kind)).is_some_and(|own| own.granted || own.denied);
        let principal = Cow::Borrowed(principal);
        Self { principal, list, own, known: [HashMap::new(), HashMap::new()], datasets: HashMap::new() }
    }

    /// The experiments that the rows of a page lie in, of which must be known what they are called before the rows can be
    /// judged. Datasets must have been learned.
    pub(crate) fn unnamed(&self, page: &Page<'_>) -> Result<Vec<Arc<str>>, BadAnswer> {
        if !self.principal.speaks_of_names() || self.list.names_itself().is_some() {
            return Ok(Vec::new());
        }
        let mut found: HashSet<Arc<str>> = HashSet::new();
        for row in page.rows() {
            let at = match (self.list.kind, self.list.own) {
                (Kind::Dataset, _) => {
                    let id = text_at(row, self.list.id)?;
                    found.extend(self.datasets.get(&*id).into_iter().flatten().cloned());
                    continue;
                }
                (Kind::ReviewQueue, _) => "experiment_id",
                (_, Some(Own { kind: Kind::ScorerVersion, id: [experiment, ..] })) => experiment,
                (Kind::Experiment, _) => self.list.id,
                _ => continue,
            };
            found.insert(Arc::from(text_at(row, at)?));
        }
        found.retain(|id| !self.principal.names.knows(id));
        Ok(found.into_iter().collect())
    }

    /// Learns what experiments are called.
    pub(crate) fn learn_names(&mut self, called: Vec<Called>) {
        if !called.is_empty() {
            self.principal.to_mut().names.extend(called);
        }
    }

    /// The datasets of a page whose experiments must be known before its rows can be judged. None where the caller may
    /// see every experiment: the request has named one for each row.
    pub(crate) fn unknown(&self, page: &Page<'_>) -> Result<Vec<Arc<str>>, BadAnswer> {
        if self.list.kind != Kind::Dataset || visible_of(&self.principal, Kind::Experiment) == Visible::All {
            return Ok(Vec::new());
        }
        let ids = page.rows().map(|row| text_at(row, self.list.id).map(Arc::from));
        Ok(ids.collect::<Result<Vec<_>, _>>()?.into_iter().filter(|id| !self.datasets.contains_key(id)).collect())
    }

    /// Learns which experiments datasets are in.
    pub(crate) fn learn(&mut self, found: impl IntoIterator<Item = (Arc<str>, Vec<Arc<str>>)>) {
        self.datasets.extend(found);
    }

    /// Whether the row is visible.
    ///
    /// # Errors
    /// [`BadAnswer`] when it cannot be told which object it is.
    pub(crate) fn visible(&mut self, row: Value<'_>) -> Result<bool, BadAnswer> {
        if !row.is_object() {
            return Err(BadAnswer::WrongType { at: self.list.member, wanted: "a list of objects" });
        }
        match (self.list.kind, self.list.own) {
            (Kind::Dataset, _) => return self.dataset(row),
            (Kind::ReviewQueue, _) => return self.queue(row),
            (_, Some(own)) if own.kind == Kind::ScorerVersion => return self.scorer(row, &own),
            _ => {}
        }
        let id = match self.list.kind {
            Kind::Skill => skill_at(row, self.list.id)?,
            _ => text_at(row, self.list.id)?,
        };
        if self.list.kind == Kind::Experiment && ExperimentId::parse(&id).is_err() {
            return Err(BadAnswer::NoId { at: self.list.id });
        }
        if let Some(at) = self.list.names_itself()
            && self.principal.speaks_of_names()
        {
            let name = text_at(row, at)?;
            self.principal.to_mut().names.learn(Arc::from(&*id), Some(Arc::from(name)));
        }
        // Prompts stand among the registered models, each with the tag that tells.
        let prompt = if self.list.kind == Kind::RegisteredModel { is_prompt(row)? } else { false };
        let kind = |kind: Kind| kind.as_prompt().filter(|_| prompt).unwrap_or(kind);
        let own = match self.list.own {
            Some(own) => {
                let parts = own.id.iter().map(|at| text_at(row, at)).collect::<Result<Vec<_>, _>>()?;
                self.own.then(|| (kind(own.kind), parts.join("/")))
            }
            None => None,
        };
        if let Some((own_kind, own)) = own {
            let within = Object { kind: kind(self.list.kind), id: Arc::from(id) };
            return Ok(visible(&self.principal, &Resource::inside(own_kind, Arc::from(own), within)));
        }
        if let Some(known) = self.known[usize::from(prompt)].get(&id) {
            return Ok(*known);
        }
        let seen = visible(&self.principal, &Resource::top(kind(self.list.kind), Arc::from(&*id)));
        self.known[usize::from(prompt)].insert(id, seen);
        Ok(seen)
    }
}

/// Whether an object of the registry, with its `tags`, is a prompt or a version of one (MLflow 3.17.2,
/// `server/auth/__init__.py` `_entity_is_prompt`).
pub(crate) fn is_prompt(object: Value<'_>) -> Result<bool, BadAnswer> {
    const TAGS: BadAnswer = BadAnswer::WrongType { at: "tags", wanted: "a list of tags" };
    let Some(tags) = object.get("tags")?.filter(|tags| !tags.is_null()) else { return Ok(false) };
    let mut marked = false;
    for tag in tags.elements().ok_or(TAGS)? {
        if !tag.is_object() {
            return Err(TAGS);
        }
        if tag.get("key")?.and_then(Value::as_str).as_deref() == Some(IS_PROMPT) {
            marked = tag.get("value")?.and_then(Value::as_str).is_some_and(|value| value.eq_ignore_ascii_case("true"));
        }
    }
    Ok(marked)
}

/// The id of a skill: its name at a path, and the organization beside it, which may be empty.
pub(crate) fn skill_at(value: Value<'_>, at: &'static str) -> Result<String, BadAnswer> {
    let name = text_at(value, at)?;
    let organization = match value.get("organization")?.filter(|found| !found.is_null()) {
        None => None,
        Some(found) => Some(found.as_str().ok_or(BadAnswer::NoId { at })?),
    };
    let id = match organization.filter(|text| !text.is_empty()) {
        None => name,
        Some(organization) => Kind::Skill.join([&*organization, &*name]),
    };
    if SkillName::parse(&id).is_ok() { Ok(id) } else { Err(BadAnswer::NoId { at }) }
}

impl Judge<'_> {
    /// A dataset is visible when every experiment that it is in is.
    fn dataset(&self, row: Value<'_>) -> Result<bool, BadAnswer> {
        let id = text_at(row, self.list.id)?;
        if DatasetId::parse(&id).is_err() {
            return Err(BadAnswer::NoId { at: self.list.id });
        }
        if visible_of(&self.principal, Kind::Experiment) == Visible::All {
            return Ok(true);
        }
        let Some(experiments) = self.datasets.get(&*id) else { return Ok(false) };
        let id: Arc<str> = Arc::from(id);
        let seen = |experiment: &Arc<str>| {
            let within = Object { kind: Kind::Experiment, id: Arc::clone(experiment) };
            visible(&self.principal, &Resource::inside(Kind::Dataset, Arc::clone(&id), within))
        };
        Ok(!experiments.is_empty() && experiments.iter().all(seen))
    }

    /// A review queue is visible to those who may read it by its id.
    fn queue(&self, row: Value<'_>) -> Result<bool, BadAnswer> {
        let id = text_at(row, self.list.id)?;
        let experiment = text_at(row, "experiment_id")?;
        if ReviewQueueId::parse(&id).is_err() || ExperimentId::parse(&experiment).is_err() {
            return Err(BadAnswer::NoId { at: self.list.id });
        }
        let unreadable = |at, wanted| BadAnswer::WrongType { at, wanted };
        let mut users = Vec::new();
        if let Some(list) = row.get("users")?.filter(|list| !list.is_null()) {
            for user in list.elements().ok_or(unreadable("users", "a list"))? {
                users.push(Arc::from(&*user.as_str().ok_or(unreadable("users", "a list of strings"))?));
            }
        }
        let owner = match row.get("created_by")?.filter(|owner| !owner.is_null()) {
            Some(owner) => Some(owner.as_str().ok_or(unreadable("created_by", "a string"))?),
            None => None,
        };
        let owner = owner.filter(|owner| !owner.is_empty()).map(|owner| Arc::from(&*owner));
        let asked = sees_queue(&id, &experiment, users, owner);
        Ok(asked.iter().all(|requirement| meets(&self.principal, requirement).is_ok()))
    }

    /// A scorer has grants of its own, and its experiment must be readable besides.
    fn scorer(&self, row: Value<'_>, own: &Own) -> Result<bool, BadAnswer> {
        let parts = own.id.iter().map(|at| text_at(row, at)).collect::<Result<Vec<_>, _>>()?;
        let [experiment, name, _] = &*parts else { return Err(BadAnswer::NoId { at: self.list.id }) };
        if ExperimentId::parse(experiment).is_err() {
            return Err(BadAnswer::NoId { at: self.list.id });
        }
        let scorer = Kind::Scorer.join([&**experiment, &**name]);
        let version = Arc::from(own.kind.join(parts.iter().map(|part| &**part)));
        Ok([
            Some(Resource::top(Kind::Experiment, Arc::from(&**experiment))),
            Some(Resource::top(Kind::Scorer, Arc::from(scorer))),
            Resource::named(own.kind, &version),
        ]
        .iter()
        .all(|resource| resource.as_ref().is_some_and(|resource| visible(&self.principal, resource))))
    }
}

/// The string at a path; numbers count as their digits (MLflow writes int64 as numbers, `message_to_json`).
pub(crate) fn text_at(value: Value<'_>, at: &'static str) -> Result<String, BadAnswer> {
    let found = value.at(at)?.ok_or(BadAnswer::NoId { at })?;
    let text = match found.as_str() {
        Some(text) => text.into_owned(),
        None if found.raw().bytes().all(|byte| byte.is_ascii_digit()) => found.raw().to_owned(),
        None => return Err(BadAnswer::NoId { at }),
    };
    if text.is_empty() { Err(BadAnswer::NoId { at }) } else { Ok(text) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answer::testing::{EXPERIMENTS, MODEL_VERSIONS, REGISTERED_MODELS, RUNS, ann};
    use crate::mlflow::permission::Permission::{Deny, Read};

    const RUN: &str = "0123456789abcdef0123456789abcdef";

    fn judge(
        list: &List,
        grants: &[(Kind, &str, crate::mlflow::permission::Permission)],
        row: &str,
    ) -> Result<bool, BadAnswer> {
        let principal = ann(grants);
        Judge::new(&principal, list).visible(Value::parse(row.as_bytes()).unwrap())
    }

    #[test]
    fn a_row_is_judged_by_the_fold_of_single_reads() {
        let row = r#"{"experiment_id": "1", "name": "x"}"#;
        assert_eq!(judge(&EXPERIMENTS, &[], row), Ok(false));
        assert_eq!(judge(&EXPERIMENTS, &[(Kind::Experiment, "1", Read)], row), Ok(true));
        assert_eq!(
            judge(&EXPERIMENTS, &[(Kind::Experiment, "*", Read), (Kind::Experiment, "1", Deny)], row),
            Ok(false)
        );
    }

    #[test]
    fn a_row_that_lies_in_another_thing_is_judged_by_both() {
        let row = format!(r#"{{"info": {{"experiment_id": "1", "run_id": "{RUN}"}}}}"#);
        assert_eq!(judge(&RUNS, &[(Kind::Experiment, "1", Read)], &row), Ok(true));
        assert_eq!(judge(&RUNS, &[(Kind::Experiment, "1", Read), (Kind::Run, RUN, Deny)], &row), Ok(false));
        assert_eq!(judge(&RUNS, &[(Kind::Run, RUN, Read)], &row), Ok(true));
        assert_eq!(judge(&RUNS, &[(Kind::Run, RUN, Read), (Kind::Experiment, "1", Deny)], &row), Ok(false));
        let version = r#"{"name": "iris", "version": 3}"#;
        assert_eq!(judge(&MODEL_VERSIONS, &[(Kind::RegisteredModel, "iris", Read)], version), Ok(true));
        let denied = [(Kind::RegisteredModel, "iris", Read), (Kind::ModelVersion, "iris/3", Deny)];
        assert_eq!(judge(&MODEL_VERSIONS, &denied, version), Ok(false));
    }

    #[test]
    fn a_prompt_among_the_models_is_judged_as_a_prompt() {
        let marked = |value: &str| {
            format!(r#"[{{"key":"a","value":"b"}},{{"key":"mlflow.prompt.is_prompt","value":"{value}"}}]"#)
        };
        let row = |tags: &str| format!(r#"{{"name":"hello","tags":{tags}}}"#);
        let version = |tags: &str| format!(r#"{{"name":"hello","version":"1","tags":{tags}}}"#);
        let of = |kind| [(kind, "hello", Read)];
        for (value, kind, other) in [
            ("true", Kind::Prompt, Kind::RegisteredModel),
            ("True", Kind::Prompt, Kind::RegisteredModel),
            ("false", Kind::RegisteredModel, Kind::Prompt),
        ] {
            let tags = marked(value);
            assert_eq!(judge(&REGISTERED_MODELS, &of(kind), &row(&tags)), Ok(true), "{value}");
            assert_eq!(judge(&REGISTERED_MODELS, &of(other), &row(&tags)), Ok(false), "{value}");
            assert_eq!(judge(&MODEL_VERSIONS, &of(kind), &version(&tags)), Ok(true), "{value}");
            assert_eq!(judge(&MODEL_VERSIONS, &of(other), &version(&tags)), Ok(false), "{value}");
        }
        let denied = [(Kind::Prompt, "hello", Read), (Kind::PromptVersion, "hello/1", Deny)];
        assert_eq!(judge(&MODEL_VERSIONS, &denied, &version(&marked("true"))), Ok(false));
        for tags in [r#""x""#, r"[1]", r#"{"a":1}"#] {
            assert!(judge(&REGISTERED_MODELS, &of(Kind::Prompt), &row(tags)).is_err(), "{tags}");
        }
    }

    #[test]
    fn a_row_whose_id_cannot_be_read_makes_the_answer_unreadable() {
        let all = [(Kind::Experiment, "*", Read)];
        for row in [
            "{}",
            "1",
            "null",
            "[]",
            r#""1""#,
            r#"{"experiment_id": null}"#,
            r#"{"experiment_id": ""}"#,
            r#"{"experiment_id": "01"}"#,
            r#"{"experiment_id": ["1"]}"#,
            r#"{"experiment_id": -1}"#,
            r#"{"experiment_id": "1", "experiment_id": "1"}"#,
            r#"{"experimentId": "1"}"#,
            r#"{"experiment_id": "1", "experiment\u005fid": "2"}"#,
        ] {
            assert!(judge(&EXPERIMENTS, &all, row).is_err(), "{row}");
        }
        let no_run = r#"{"info": {"experiment_id": "1"}}"#;
        assert!(judge(&RUNS, &all, no_run).is_err());
    }

    #[test]
    fn a_page_without_its_list_is_an_empty_page() {
        for body in ["{}", r#"{"experiments": []}"#, r#"{"next_page_token": ""}"#, r#"{"next_page_token": null}"#] {
            let page = Page::read(body.as_bytes(), "experiments").unwrap();
            assert_eq!(page.rows().count(), 0, "{body}");
            assert_eq!(page.next, None, "{body}");
        }
    }

    #[test]
    fn a_page_that_cannot_be_read_is_not_passed_on() {
        for body in [
            "",
            "[]",
            "null",
            "<html>",
            r#"{"experiments": {}}"#,
            r#"{"experiments": "x"}"#,
            r#"{"experiments": null}"#,
            r#"{"experiments": [}"#,
            r#"{"experiments": [{}"#,
            r#"{"experiments": [], "experiments": [{}]}"#,
            r#"{"next_page_token": 7}"#,
            r#"{"next_page_token": "a", "next_page_token": "b"}"#,
        ] {
            assert!(Page::read(body.as_bytes(), "experiments").is_err(), "{body}");
        }
    }
}
