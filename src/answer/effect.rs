//! What follows from success?
//!
//! Grants are written before the head of the answer leaves: whoever reads "created" can use it. An answer other than a
//! success has no effects. If the grants cannot be written the caller hears of it, with the object's name, and the audit
//! log keeps it; MLflow has done its part then, and an administrator can grant the rest.

use std::borrow::Cow;
use std::sync::Arc;

use http::{Response, StatusCode};

use super::filter::{BadAnswer, is_prompt, skill_at, text_at};
use super::hide::{Homes, hide, passes};
use super::json::Value;
use super::{AnswerFault, Shared, Tools, whole};
use crate::access::identity::Principal;
use crate::message::Body;
use crate::mlflow::ids::{ExperimentId, McpServerName, ModelName, UserName, WorkspaceName};
use crate::mlflow::resource::{Kind, Object};
use crate::policy::classify::Call;
use crate::policy::fields::Fields;
use crate::policy::route::{Answer, Effect, New, Row};
use crate::store::{Store, StoreFault};

/// Where the grants that follow from success are written.
pub(crate) trait Ledger {
    /// `user` gets MANAGE on a new object; with `since` (milliseconds), unless somebody else made it after that.
    fn own(&self, object: &Object, user: &UserName, since: Option<u64>)
    -> impl Future<Output = Result<(), StoreFault>>;
    /// Grants move to a new name.
    fn rename(&self, object: &Object, new: &str, user: &UserName) -> impl Future<Output = Result<(), StoreFault>>;
    /// Grants on an object that is gone are removed.
    fn forget(&self, object: &Object, user: &UserName) -> impl Future<Output = Result<(), StoreFault>>;
}

/// The store, where the request acts: nothing that happens in one workspace touches the grants of another.
struct Book<'a> {
    store: &'a Store,
    workspace: WorkspaceName,
}

impl Ledger for Book<'_> {
    async fn own(&self, object: &Object, user: &UserName, since: Option<u64>) -> Result<(), StoreFault> {
        let Self { store, workspace } = self;
        match since {
            None => store.own(workspace, object.kind, &object.id, user).await,
            Some(since) => store.own_if_unmade(workspace, object.kind, &object.id, user, since).await,
        }
    }

    async fn rename(&self, object: &Object, new: &str, user: &UserName) -> Result<(), StoreFault> {
        self.store.rename(&self.workspace, object.kind, &object.id, new, user).await
    }

    async fn forget(&self, object: &Object, user: &UserName) -> Result<(), StoreFault> {
        self.store.forget(&self.workspace, object.kind, &object.id, user).await
    }
}

/// Looks over the answer to a permitted call, before its head leaves: writes what follows from success, compares it
/// with what was judged, takes out links to hidden things.
///
/// # Errors
/// [`AnswerFault`]; then nothing of the answer is passed on.
pub async fn look_over(
    answer: Response<Body>,
    principal: Option<&Principal>,
    call: &Call,
    fields: &Fields,
    judged: Judged<'_>,
    tools: &Tools<'_>,
) -> Result<Response<Body>, AnswerFault> {
    if matches!((call.row.effect, call.row.also, &call.row.answer), (Effect::None, Effect::None, Answer::Stream)) {
        return Ok(answer);
    }
    let named = |field: &str| -> Vec<Arc<str>> {
        match call.capture(field.trim_matches(['{', '}'])) {
            Some(text) => vec![Arc::from(text)],
            None => fields.each(field).to_vec(),
        }
    };
    let homes = super::Lookups { tools };
    let workspace = principal.map(|principal| principal.workspace.clone()).unwrap_or_default();
    let book = Book { store: tools.store, workspace };
    Box::pin(over(answer, principal, call.row, &named, judged, tools.shared, &book, &homes)).await
}

/// What a call was judged on.
#[derive(Debug, Clone, Copy)]
pub struct Judged<'a> {
    /// The objects that it names.
    pub objects: &'a [Object],
    /// Those that were not there yet, when it was judged.
    pub absent: &'a [Object],
    /// When that was, in milliseconds.
    pub at: u64,
}

/// The values of a request's field or path capture.
type Named<'a> = &'a (dyn Fn(&str) -> Vec<Arc<str>> + Sync);

#[expect(clippy::too_many_arguments, reason = "the parts of a call, taken apart for tests")]
async fn over(
    answer: Response<Body>,
    principal: Option<&Principal>,
    row: &Row,
    named: Named<'_>,
    judged: Judged<'_>,
    shared: &Shared,
    ledger: &impl Ledger,
    homes: &impl Homes,
) -> Result<Response<Body>, AnswerFault> {
    if !answer.status().is_success() {
        return Ok(answer);
    }
    let user = principal.map(|principal| &principal.identity.user);
    match (row.effect, user) {
        (Effect::Renames { kind, from, to }, Some(user)) => {
            let (old, new) = (named(from), named(to));
            let [old] = &*old else { return Err(BadAnswer::NoId { at: from }.into()) };
            // A field that may stay away renames nothing then.
            if let Some(new) = new.first() {
                for kind in both(kind) {
                    let object = Object { kind, id: Arc::clone(old) };
                    let written = ledger.rename(&object, new, user).await;
                    written.map_err(|source| AnswerFault::Effect { object, source })?;
                }
            }
        }
        (Effect::Forgets { unless: Some(part), .. }, Some(_)) if !named(part).is_empty() => {}
        (Effect::Forgets { kind, field, unless: _ }, Some(user)) => {
            let gone = named(field);
            if gone.is_empty() {
                return Err(BadAnswer::NoId { at: field }.into());
            }
            for (id, kind) in gone.iter().flat_map(|id| both(kind).map(move |kind| (id, kind))) {
                let object = Object { kind, id: Arc::clone(id) };
                let written = ledger.forget(&object, user).await;
                written.map_err(|source| AnswerFault::Effect { object, source })?;
            }
        }
        (Effect::None | Effect::Owns { .. }, _) | (Effect::Renames { .. } | Effect::Forgets { .. }, None) => {}
    }
    let owns = user.filter(|_| [row.effect, row.also].iter().any(|effect| matches!(effect, Effect::Owns { .. })));
    let looked_into = match row.answer {
        Answer::Stream | Answer::Keep(_) | Answer::GraphQl(_) | Answer::Ours(_) | Answer::OursUnless(..) => false,
        Answer::Confirm { .. } => true,
        Answer::Hide(links) => principal.is_none_or(|principal| !links.iter().all(|link| passes(principal, link))),
    };
    if (owns.is_none() && !looked_into) || answer.status() == StatusCode::NO_CONTENT {
        return Ok(answer);
    }
    let mut share = shared.held.share();
    let (parts, body) = whole::read_counted(answer, shared.settings.list_answer, &mut share).await?;
    let value = Value::parse(&body).map_err(BadAnswer::from)?;
    if let Some(user) = owns {
        for (object, since) in made(value, row, named, judged)? {
            let written = ledger.own(&object, user, since).await;
            written.map_err(|source| AnswerFault::Effect { object, source })?;
        }
    }
    match row.answer {
        Answer::Stream | Answer::Keep(_) | Answer::GraphQl(_) | Answer::Ours(_) | Answer::OursUnless(..) => {}
        Answer::Confirm { kind, id } => {
            let answered = text_at(value, id)?;
            if !judged.objects.iter().any(|object| object.kind == kind && *object.id == *answered) {
                return Err(AnswerFault::NotWhatWasJudged);
            }
        }
        Answer::Hide(links) => {
            let mut texts = [Cow::Borrowed(value.raw())];
            match principal {
                Some(principal) => hide(principal, links, &mut texts, &[], homes).await?,
                // No row that hides is open to strangers.
                None => return Err(AnswerFault::NotWhatWasJudged),
            }
            let [text] = texts;
            if let Cow::Owned(text) = text {
                return Ok(whole::with_body(parts, share.of(text.into_bytes())));
            }
        }
    }
    Ok(Response::from_parts(parts, Body::Full(body)))
}

/// What the call has made, each with the time since when nobody else may have made it.
fn made(
    answer: Value<'_>,
    row: &Row,
    named: Named<'_>,
    judged: Judged<'_>,
) -> Result<Vec<(Object, Option<u64>)>, BadAnswer> {
    let mut made = Vec::new();
    if let Effect::Owns { kind, id, new } = row.effect {
        let at = judged.at;
        match new {
            New::Always => match id.split_once("[].") {
                None => made.push((object(answer, kind, id, named)?, None)),
                // Each of a list (`jobs[].job_id`).
                Some((list, inner)) => {
                    let wrong = BadAnswer::WrongType { at: id, wanted: "in a list" };
                    for one in answer.get(list)?.and_then(Value::elements).ok_or(wrong)? {
                        made.push((object(one, kind, inner, named)?, None));
                    }
                }
            },
            New::IfAbsent => {
                made.extend(
                    judged.absent.iter().filter(|absent| absent.kind == kind).map(|one| (one.clone(), Some(at))),
                );
            }
            New::First(number) => {
                let object = object(answer, kind, id, named)?;
                if text_at(answer, number)? == "1" {
                    // One whose versions were taken out one by one is owned still.
                    made.push((object, Some(0)));
                }
            }
        }
    }
    // What is made besides has a new id, and is looked for by its name before. It need not be made.
    if let Effect::Owns { kind, id, .. } = row.also
        && judged.absent.iter().any(|absent| absent.kind == kind)
        && let Ok(object) = object(answer, kind, id, named)
    {
        made.push((object, Some(judged.at)));
    }
    Ok(made)
}

/// The kind, and what its name may be instead: models and prompts share their names, so what happens to a name happens
/// to the grants of both.
fn both(kind: Kind) -> impl Iterator<Item = Kind> {
    std::iter::once(kind).chain(kind.as_prompt())
}

/// The new object, by the id in the answer, in the request, or in both.
fn object(answer: Value<'_>, kind: Kind, at: &'static str, named: Named<'_>) -> Result<Object, BadAnswer> {
    let mut parts = Vec::new();
    for place in at.split('/') {
        parts.push(match place.strip_prefix('{').and_then(|field| field.strip_suffix('}')) {
            Some(field) => match &*named(field) {
                [one] if !one.is_empty() => one.to_string(),
                _ => return Err(BadAnswer::NoId { at }),
            },
            None if kind == Kind::Skill => skill_at(answer, place)?,
            None => text_at(answer, place)?,
        });
    }
    // What the registry has made is a prompt if its own tag says so.
    let kind = match (kind, at.rsplit_once('.')) {
        (Kind::RegisteredModel, Some((place, _))) if is_prompt(answer.at(place)?.ok_or(BadAnswer::NoId { at })?)? => {
            Kind::Prompt
        }
        _ => kind,
    };
    let id = kind.join(parts.iter().map(String::as_str));
    let usable = match kind {
        Kind::Experiment => ExperimentId::parse(&id).is_ok(),
        Kind::RegisteredModel | Kind::Prompt => ModelName::parse(&id).is_ok(),
        Kind::McpServer => McpServerName::parse(&id).is_ok(),
        // A wildcard in grants.
        _ => id != "*" && !id.ends_with('*'),
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
        async fn own(&self, object: &Object, user: &UserName, since: Option<u64>) -> Result<(), StoreFault> {
            let since = since.map(|at| format!(" unless made since {at}")).unwrap_or_default();
            self.note(format!("{user} owns {object}{since}"))
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

    fn with(effect: Effect) -> Row {
        Row { effect, answer: Answer::Stream, ..*row("CreateExperiment") }
    }

    async fn after(
        ledger: &Notes,
        name: &str,
        status: u16,
        body: &str,
        objects: &[Object],
    ) -> Result<String, AnswerFault> {
        after_row(ledger, row(name), status, body, objects).await
    }

    async fn after_row(
        ledger: &Notes,
        row: &Row,
        status: u16,
        body: &str,
        objects: &[Object],
    ) -> Result<String, AnswerFault> {
        let shared = Shared::new(Settings::default(), Seal::ephemeral().unwrap(), Clock::System);
        let mut answer = Response::new(Body::from(body.as_bytes().to_vec()));
        *answer.status_mut() = StatusCode::from_u16(status).unwrap();
        let principal = ann(&[(Kind::Experiment, "7", Read), (Kind::RegisteredModel, "iris", Manage)]);
        let named = |field: &str| match field {
            "name" => vec!["iris".into()],
            "new_name" => vec!["lily".into()],
            _ => Vec::new(),
        };
        let judged = Judged { objects, absent: objects, at: 7 };
        let answer = over(answer, Some(&principal), row, &named, judged, &shared, ledger, ledger).await?;
        let (_, body) = whole::read(answer, 1000).await.unwrap();
        Ok(String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn the_creator_owns_what_was_made_before_the_answer_leaves() {
        let ledger = Notes::default();
        let body = r#"{"experiment_id": "12"}"#;
        assert_eq!(after(&ledger, "CreateExperiment", 200, body, &[]).await.unwrap(), body);
        let body = r#"{"registered_model": {"name": "it's", "x": [NaN]}}"#;
        assert_eq!(after(&ledger, "CreateRegisteredModel", 200, body, &[]).await.unwrap(), body);
        let tags = r#"[{"key": "mlflow.prompt.is_prompt", "value": "true"}]"#;
        let body = format!(r#"{{"registered_model": {{"name": "hello", "tags": {tags}}}}}"#);
        assert_eq!(after(&ledger, "CreateRegisteredModel", 200, &body, &[]).await.unwrap(), body);
        assert_eq!(
            *ledger.written.borrow(),
            ["ann owns experiment 12", "ann owns registered_model it's", "ann owns prompt hello"]
        );
    }

    #[tokio::test]
    async fn deletion_and_rename_are_followed() {
        let ledger = Notes::default();
        after(&ledger, "DeleteRegisteredModel", 200, "{}", &[]).await.unwrap();
        after(&ledger, "RenameRegisteredModel", 200, r#"{"registered_model":{"name":"lily"}}"#, &[]).await.unwrap();
        after(&ledger, "DeleteExperiment", 200, "{}", &[]).await.unwrap();
        assert_eq!(
            *ledger.written.borrow(),
            [
                "ann forgets registered_model iris",
                "ann forgets prompt iris",
                "ann renames registered_model iris to lily",
                "ann renames prompt iris to lily"
            ],
            "an experiment that is deleted can be restored: its grants stay"
        );
    }

    #[tokio::test]
    async fn an_id_is_made_of_parts_of_the_answer_and_of_the_request() {
        let ledger = Notes::default();
        let owns = |kind, id| with(Effect::Owns { kind, id, new: New::Always });
        let body = r#"{"experiment_id": 7, "scorer": {"name": "is it/good?"}}"#;
        after_row(&ledger, &owns(Kind::Scorer, "experiment_id/scorer.name"), 200, body, &[]).await.unwrap();
        after_row(&ledger, &owns(Kind::Scorer, "experiment_id/{name}"), 200, body, &[]).await.unwrap();
        after_row(&ledger, &owns(Kind::GatewaySecret, "{name}"), 200, body, &[]).await.unwrap();
        assert_eq!(
            *ledger.written.borrow(),
            ["ann owns scorer 7/is%20it%2Fgood%3F", "ann owns scorer 7/iris", "ann owns gateway_secret iris"]
        );
        for id in ["experiment_id/{gone}", "gone", "experiment_id/gone"] {
            assert!(after_row(&ledger, &owns(Kind::Scorer, id), 200, body, &[]).await.is_err(), "{id}");
        }
    }

    #[tokio::test]
    async fn what_was_there_before_is_not_given_away() {
        let ledger = Notes::default();
        let row = with(Effect::Owns { kind: Kind::McpServer, id: "name", new: New::IfAbsent });
        let new = [Object { kind: Kind::McpServer, id: "a/new".into() }];
        after_row(&ledger, &row, 200, r#"{"name": "a/old"}"#, &[]).await.unwrap();
        assert!(ledger.written.borrow().is_empty());
        after_row(&ledger, &row, 200, r#"{"name": "a/new"}"#, &new).await.unwrap();
        assert_eq!(*ledger.written.borrow(), ["ann owns mcp_server a/new unless made since 7"]);
        let row = with(Effect::Owns { kind: Kind::Skill, id: "name", new: New::First("version") });
        after_row(&ledger, &row, 200, r#"{"name": "s", "version": 2}"#, &[]).await.unwrap();
        assert!(after_row(&ledger, &row, 200, r#"{"name": "s"}"#, &[]).await.is_err());
        assert_eq!(ledger.written.borrow().len(), 1);
        after_row(&ledger, &row, 200, r#"{"name": "s", "version": 1}"#, &[]).await.unwrap();
        assert_eq!(ledger.written.borrow()[1], "ann owns skill s unless made since 0");
    }

    #[tokio::test]
    async fn a_call_that_makes_an_experiment_on_the_way_gives_it_to_the_caller() {
        let ledger = Notes::default();
        let also = Effect::Owns { kind: Kind::Experiment, id: "e.experiment_id", new: New::IfAbsent };
        let row = Row { also, ..with(Effect::None) };
        let body = r#"{"e": {"experiment_id": "12"}}"#;
        after_row(&ledger, &row, 200, body, &[]).await.unwrap();
        assert!(ledger.written.borrow().is_empty(), "it was there before");
        let absent = [Object { kind: Kind::Experiment, id: "gateway/x".into() }];
        after_row(&ledger, &row, 200, r#"{"e": {}}"#, &absent).await.unwrap();
        assert!(ledger.written.borrow().is_empty(), "none was made");
        after_row(&ledger, &row, 200, body, &absent).await.unwrap();
        assert_eq!(*ledger.written.borrow(), ["ann owns experiment 12 unless made since 7"]);
    }

    #[tokio::test]
    async fn grants_are_forgotten_by_any_field() {
        let ledger = Notes::default();
        let row = with(Effect::Forgets { kind: Kind::GatewaySecret, field: "new_name", unless: None });
        after_row(&ledger, &row, 200, "{}", &[]).await.unwrap();
        assert_eq!(*ledger.written.borrow(), ["ann forgets gateway_secret lily"]);
        let row = with(Effect::Forgets { kind: Kind::GatewaySecret, field: "secret_id", unless: None });
        assert!(after_row(&ledger, &row, 200, "{}", &[]).await.is_err(), "grants of an unnamed object would stay");
        let row = with(Effect::Renames { kind: Kind::Skill, from: "name", to: "missing" });
        after_row(&ledger, &row, 200, "{}", &[]).await.unwrap();
        assert_eq!(ledger.written.borrow().len(), 1, "no new name, no rename");
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
