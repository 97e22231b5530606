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
    async fn own(&self, object: &Object, user: &UserName, after: Option<u64>) -> Result<(), StoreFault> {
        let unless = after.map(|change| format!(" unless made after {change}")).unwrap_or_default();
        self.note(format!("{user} owns {object}{unless}"))
    }

    async fn rename(&self, object: &Object, new: &str, user: &UserName) -> Result<(), StoreFault> {
        self.note(format!("{user} renames {object} to {new}"))
    }

    async fn forget(&self, object: &Object, user: &UserName) -> Result<(), StoreFault> {
        self.note(format!("{user} forgets {object}"))
    }
}

impl Homes for Notes {
    async fn experiments_of(&self, _: Vec<(Kind, Arc<str>)>, _: &[Arc<str>]) -> HashMap<(Kind, Arc<str>), Arc<str>> {
        HashMap::new()
    }
}

fn row(name: &str) -> &'static Row {
    rows().find(|row| row.name == name).unwrap()
}

fn with(effect: Effect) -> Row {
    Row { effect, answer: Answer::Stream, ..*row("CreateExperiment") }
}

async fn after(ledger: &Notes, name: &str, status: u16, body: &str, objects: &[Object]) -> Result<String, AnswerFault> {
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
    let judged = Judged { objects, absent: objects, known: 7 };
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
    assert_eq!(*ledger.written.borrow(), ["ann owns mcp_server a/new unless made after 7"]);
    let row = with(Effect::Owns { kind: Kind::Skill, id: "name", new: New::First("version") });
    after_row(&ledger, &row, 200, r#"{"name": "s", "version": 2}"#, &[]).await.unwrap();
    assert!(after_row(&ledger, &row, 200, r#"{"name": "s"}"#, &[]).await.is_err());
    assert_eq!(ledger.written.borrow().len(), 1);
    after_row(&ledger, &row, 200, r#"{"name": "s", "version": 1}"#, &[]).await.unwrap();
    assert_eq!(ledger.written.borrow()[1], "ann owns skill s unless made after 0");
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
    assert_eq!(*ledger.written.borrow(), ["ann owns experiment 12 unless made after 7"]);
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
        for name in ["CreateExperiment", "CreateRegisteredModel", "DeleteRegisteredModel", "RenameRegisteredModel"] {
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
