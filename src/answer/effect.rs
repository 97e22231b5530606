//! What follows from success?
//!
//! Grants are written before the head of the answer leaves: whoever reads "created" can use it. An answer other than a
//! success has no effects. If the grants cannot be written the caller hears of it, with the object's name, and the audit
//! log keeps it; MLflow has done its part then, and an administrator can grant the rest.

use std::sync::Arc;

use bytes::Bytes;
use http::{Response, StatusCode};

use super::filter::{BadAnswer, text_at};
use super::hide::{Homes, hide};
use super::json::Value;
use super::narrow::sees_every;
use super::{AnswerFault, Shared, Tools, whole};
use crate::access::identity::Principal;
use crate::message::Body;
use crate::mlflow::ids::{ExperimentId, ModelName, UserName};
use crate::mlflow::resource::{Kind, Object};
use crate::policy::classify::Call;
use crate::policy::fields::Fields;
use crate::policy::route::{Answer, Effect, Row};
use crate::store::{Store, StoreFault};

/// Where the grants that follow from success are written.
pub(crate) trait Ledger {
    /// `user` gets MANAGE on a new object.
    fn own(&self, object: &Object, user: &UserName) -> impl Future<Output = Result<(), StoreFault>>;
    /// Grants move to a new name.
    fn rename(&self, object: &Object, new: &str, user: &UserName) -> impl Future<Output = Result<(), StoreFault>>;
    /// Grants on an object that is gone are removed.
    fn forget(&self, object: &Object, user: &UserName) -> impl Future<Output = Result<(), StoreFault>>;
}

impl Ledger for Store {
    async fn own(&self, object: &Object, user: &UserName) -> Result<(), StoreFault> {
        Store::own(self, object.kind, &object.id, user).await
    }

    async fn rename(&self, object: &Object, new: &str, user: &UserName) -> Result<(), StoreFault> {
        Store::rename(self, object.kind, &object.id, new, user).await
    }

    async fn forget(&self, object: &Object, user: &UserName) -> Result<(), StoreFault> {
        Store::forget(self, object.kind, &object.id, user).await
    }
}

/// Looks over the answer to a permitted call, before its head leaves: writes what follows from success, compares it
/// with what was judged, takes out links to hidden things. `objects` are those that the call was judged on.
///
/// # Errors
/// [`AnswerFault`]; then nothing of the answer is passed on.
pub async fn look_over(
    answer: Response<Body>,
    principal: Option<&Principal>,
    call: &Call,
    fields: &Fields,
    objects: &[Object],
    tools: &Tools<'_>,
) -> Result<Response<Body>, AnswerFault> {
    if matches!((call.row.effect, &call.row.answer), (Effect::None, Answer::Stream)) {
        return Ok(answer);
    }
    let name = |field: &str| fields.one(field).map(Arc::from);
    let named = Named { old: name("name"), new: name("new_name") };
    let homes = super::Lookups { tools };
    Box::pin(over(answer, principal, call.row, &named, objects, tools.shared, tools.store, &homes)).await
}

/// The names in the request that effects speak of.
struct Named {
    old: Option<Arc<str>>,
    new: Option<Arc<str>>,
}

#[expect(clippy::too_many_arguments, reason = "the parts of a call, taken apart for tests")]
async fn over(
    answer: Response<Body>,
    principal: Option<&Principal>,
    row: &Row,
    named: &Named,
    objects: &[Object],
    shared: &Shared,
    ledger: &impl Ledger,
    homes: &impl Homes,
) -> Result<Response<Body>, AnswerFault> {
    if !answer.status().is_success() {
        return Ok(answer);
    }
    let user = principal.map(|principal| &principal.identity.user);
    match (row.effect, user) {
        (Effect::Renames(kind), Some(user)) => {
            let (Some(old), Some(new)) = (&named.old, &named.new) else {
                return Err(BadAnswer::NoId { at: "name" }.into());
            };
            let object = Object { kind, id: Arc::clone(old) };
            let written = ledger.rename(&object, new, user).await;
            written.map_err(|source| AnswerFault::Effect { object, source })?;
        }
        (Effect::Forgets(kind), Some(user)) => {
            let Some(id) = &named.old else { return Err(BadAnswer::NoId { at: "name" }.into()) };
            let object = Object { kind, id: Arc::clone(id) };
            let written = ledger.forget(&object, user).await;
            written.map_err(|source| AnswerFault::Effect { object, source })?;
        }
        (Effect::None | Effect::Owns { .. }, _) | (Effect::Renames(_) | Effect::Forgets(_), None) => {}
    }
    let owns = match (row.effect, user) {
        (Effect::Owns { kind, id }, Some(user)) => Some((kind, id, user)),
        (Effect::None | Effect::Owns { .. } | Effect::Renames(_) | Effect::Forgets(_), _) => None,
    };
    let looked_into = match row.answer {
        Answer::Stream | Answer::Keep(_) | Answer::Ours(_) => false,
        Answer::Confirm { .. } => true,
        Answer::Hide(links) => {
            principal.is_none_or(|principal| !links.iter().all(|link| sees_every(principal, link.kind)))
        }
    };
    if (owns.is_none() && !looked_into) || answer.status() == StatusCode::NO_CONTENT {
        return Ok(answer);
    }
    let (parts, body) = whole::read(answer, shared.settings.list_answer).await?;
    let value = Value::parse(&body).map_err(BadAnswer::from)?;
    if let Some((kind, at, user)) = owns {
        let object = made(value, kind, at)?;
        let written = ledger.own(&object, user).await;
        written.map_err(|source| AnswerFault::Effect { object, source })?;
    }
    match row.answer {
        Answer::Stream | Answer::Keep(_) | Answer::Ours(_) => {}
        Answer::Confirm { kind, id } => {
            let answered = text_at(value, id)?;
            if !objects.iter().any(|object| object.kind == kind && *object.id == *answered) {
                return Err(AnswerFault::NotWhatWasJudged);
            }
        }
        Answer::Hide(links) => {
            let mut texts = [value.raw().to_owned()];
            match principal {
                Some(principal) => hide(principal, links, &mut texts, &[], homes).await?,
                // No row that hides is open to strangers.
                None => return Err(AnswerFault::NotWhatWasJudged),
            }
            let [text] = texts;
            if text != value.raw() {
                return Ok(whole::with_body(parts, Bytes::from(text)));
            }
        }
    }
    Ok(Response::from_parts(parts, Body::Full(body)))
}

/// The new object, by the id in the answer.
fn made(answer: Value<'_>, kind: Kind, at: &'static str) -> Result<Object, BadAnswer> {
    let id = text_at(answer, at)?;
    let usable = match kind {
        Kind::Experiment => ExperimentId::parse(&id).is_ok(),
        Kind::RegisteredModel | Kind::Prompt => ModelName::parse(&id).is_ok(),
        _ => true,
    };
    if usable { Ok(Object { kind, id: Arc::from(id) }) } else { Err(BadAnswer::NoId { at }) }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::collections::HashMap;

    use super::*;
    use crate::answer::Settings;
    use crate::answer::testing::ann;
    use crate::clock::Clock;
    use crate::mlflow::permission::Permission::{Manage, Read};
    use crate::policy::classify::rows;
    use crate::seal::Seal;

    /// Writes down what it is told, or fails.
    #[derive(Default)]
    struct Notes {
        written: RefCell<Vec<String>>,
        fails: bool,
    }

    impl Notes {
        fn note(&self, line: String) -> Result<(), StoreFault> {
            if self.fails {
                return Err(StoreFault::Full);
            }
            self.written.borrow_mut().push(line);
            Ok(())
        }
    }

    impl Ledger for Notes {
        async fn own(&self, object: &Object, user: &UserName) -> Result<(), StoreFault> {
            self.note(format!("{user} owns {object}"))
        }

        async fn rename(&self, object: &Object, new: &str, user: &UserName) -> Result<(), StoreFault> {
            self.note(format!("{user} renames {object} to {new}"))
        }

        async fn forget(&self, object: &Object, user: &UserName) -> Result<(), StoreFault> {
            self.note(format!("{user} forgets {object}"))
        }
    }

    impl Homes for Notes {
        async fn experiments_of(
            &self,
            _: Vec<(Kind, Arc<str>)>,
            _: &[Arc<str>],
        ) -> HashMap<(Kind, Arc<str>), Arc<str>> {
            HashMap::new()
        }
    }

    fn row(name: &str) -> &'static Row {
        rows().find(|row| row.name == name).unwrap()
    }

    async fn after(
        ledger: &Notes,
        name: &str,
        status: u16,
        body: &str,
        objects: &[Object],
    ) -> Result<String, AnswerFault> {
        let shared = Shared::new(Settings::default(), Seal::ephemeral().unwrap(), Clock::System);
        let mut answer = Response::new(Body::from(body.as_bytes().to_vec()));
        *answer.status_mut() = StatusCode::from_u16(status).unwrap();
        let principal = ann(&[(Kind::Experiment, "7", Read), (Kind::RegisteredModel, "iris", Manage)]);
        let named = Named { old: Some("iris".into()), new: Some("lily".into()) };
        let answer = over(answer, Some(&principal), row(name), &named, objects, &shared, ledger, ledger).await?;
        let (_, body) = whole::read(answer, 1000).await.unwrap();
        Ok(String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn the_creator_owns_what_was_made_before_the_answer_leaves() {
        let ledger = Notes::default();
        let body = r#"{"experiment_id": "12"}"#;
        assert_eq!(after(&ledger, "CreateExperiment", 200, body, &[]).await.unwrap(), body);
        let body = r#"{"registered_model": {"name": "it's", "tags": [NaN]}}"#;
        assert_eq!(after(&ledger, "CreateRegisteredModel", 200, body, &[]).await.unwrap(), body);
        assert_eq!(*ledger.written.borrow(), ["ann owns experiment 12", "ann owns registered_model it's"]);
    }

    #[tokio::test]
    async fn deletion_and_rename_are_followed() {
        let ledger = Notes::default();
        after(&ledger, "DeleteRegisteredModel", 200, "{}", &[]).await.unwrap();
        after(&ledger, "RenameRegisteredModel", 200, r#"{"registered_model":{"name":"lily"}}"#, &[]).await.unwrap();
        after(&ledger, "DeleteExperiment", 200, "{}", &[]).await.unwrap();
        assert_eq!(
            *ledger.written.borrow(),
            ["ann forgets registered_model iris", "ann renames registered_model iris to lily"],
            "an experiment that is deleted can be restored: its grants stay"
        );
    }

    #[tokio::test]
    async fn a_failure_has_no_effects() {
        let ledger = Notes::default();
        for status in [302, 400, 404, 409, 500, 503] {
            for name in ["CreateExperiment", "CreateRegisteredModel", "DeleteRegisteredModel", "RenameRegisteredModel"]
            {
                let body = r#"{"experiment_id": "12", "registered_model": {"name": "x"}}"#;
                assert_eq!(after(&ledger, name, status, body, &[]).await.unwrap(), body);
            }
        }
        assert!(ledger.written.borrow().is_empty());
    }

    #[tokio::test]
    async fn grants_that_cannot_be_written_are_an_error_that_names_the_object() {
        let ledger = Notes { fails: true, ..Notes::default() };
        for (name, object) in [
            ("CreateExperiment", "experiment 12"),
            ("DeleteRegisteredModel", "registered_model iris"),
            ("RenameRegisteredModel", "registered_model iris"),
        ] {
            let fault = after(&ledger, name, 200, r#"{"experiment_id": "12"}"#, &[]).await.unwrap_err();
            assert!(fault.to_string().contains(object), "{fault}");
            assert!(matches!(fault, AnswerFault::Effect { .. }));
        }
    }

    #[tokio::test]
    async fn an_answer_without_a_usable_new_id_is_an_error_not_a_success() {
        let ledger = Notes::default();
        for body in [
            "",
            "{}",
            "[]",
            "<html>",
            r#"{"experiment_id": "01"}"#,
            r#"{"experiment_id": ""}"#,
            r#"{"experiment_id": null}"#,
            r#"{"experiment_id": "1", "experiment_id": "2"}"#,
            r#"{"experiment_id": "12""#,
        ] {
            let fault = after(&ledger, "CreateExperiment", 200, body, &[]).await.unwrap_err();
            assert!(matches!(fault, AnswerFault::Unreadable(_)), "{body}: {fault}");
        }
        let star = after(&ledger, "CreateRegisteredModel", 200, r#"{"registered_model": {"name": "*"}}"#, &[]).await;
        assert!(star.is_err());
        assert!(ledger.written.borrow().is_empty());
    }

    #[tokio::test]
    async fn an_answer_about_another_object_than_the_judged_one_does_not_leave() {
        let ledger = Notes::default();
        let judged = [Object { kind: Kind::Experiment, id: "7".into() }];
        let body = |id: &str| format!(r#"{{"experiment": {{"experiment_id": "{id}", "name": "a"}}}}"#);
        assert_eq!(after(&ledger, "GetExperimentByName", 200, &body("7"), &judged).await.unwrap(), body("7"));
        for (body, objects) in [(body("8"), &judged[..]), (body("7"), &[])] {
            let fault = after(&ledger, "GetExperimentByName", 200, &body, objects).await.unwrap_err();
            assert!(matches!(fault, AnswerFault::NotWhatWasJudged), "{fault}");
        }
        assert!(after(&ledger, "GetExperimentByName", 200, r#"{"experiment": {}}"#, &judged).await.is_err());
    }

    #[tokio::test]
    async fn links_in_the_answer_to_a_write_are_hidden_too() {
        let ledger = Notes::default();
        let run = "0123456789abcdef0123456789abcdef";
        let body = format!(r#"{{"model_version": {{"name": "iris", "version": "1", "run_id": "{run}"}}}}"#);
        for name in ["CreateModelVersion", "GetModelVersion", "UpdateModelVersion", "TransitionModelVersionStage"] {
            assert_eq!(after(&ledger, name, 200, &body, &[]).await.unwrap(), body.replace(run, ""), "{name}");
        }
    }
}
