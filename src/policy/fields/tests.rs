use super::*;
use crate::policy::classify::{Classified, classify};
use crate::policy::path::Path;
use crate::policy::route::Verb;

const RUN: &str = "0123456789abcdef0123456789abcdef";
const OTHER: &str = "fedcba9876543210fedcba9876543210";
const MODEL: &str = "m-0123456789abcdef0123456789abcdef";

fn call(verb: Verb, path: &str) -> Call {
    match classify(verb, &Path::parse(path).unwrap()) {
        Classified::Call(call) => call,
        other => panic!("{path}: {other:?}"),
    }
}

fn post(path: &str, body: &str) -> Result<Fields, FieldFault> {
    read(&call(Verb::Post, &format!("/api/2.0/mlflow/{path}")), None, Some(body.as_bytes()))
}

fn get(path: &str, query: &str) -> Result<Fields, FieldFault> {
    read(&call(Verb::Get, &format!("/api/2.0/mlflow/{path}")), Some(query), None)
}

#[test]
fn equal_twins_of_the_stock_client_pass() {
    let body = format!(r#"{{"run_uuid": "{RUN}", "run_id": "{RUN}", "key": "a", "value": 1.5}}"#);
    let fields = post("runs/log-metric", &body).unwrap();
    assert_eq!(fields.one("run_id|run_uuid"), Some(RUN));
    assert_eq!(fields.one("run_id"), Some(RUN));
    assert_eq!(fields.each("run_uuid").len(), 1);
    assert!(!fields.present("model_id"));
    assert_eq!(get("runs/get", &format!("run_uuid={RUN}&run_id={RUN}")).unwrap().one("run_id"), Some(RUN));
}

#[test]
fn twins_that_differ_are_refused() {
    let differ = FieldFault::Differ("run_id|run_uuid");
    let body = format!(r#"{{"run_uuid": "{RUN}", "run_id": "{OTHER}"}}"#);
    assert_eq!(post("runs/log-metric", &body).unwrap_err(), differ);
    assert_eq!(post("runs/log-metric", &format!(r#"{{"run_uuid":"","run_id":"{RUN}"}}"#)).unwrap_err(), differ);
    assert_eq!(get("runs/get", &format!("run_uuid={RUN}&run_id={OTHER}")).unwrap_err(), differ);
}

#[test]
fn path_and_body_must_name_the_same_model() {
    let finalize = |body: &str| {
        let path = format!("/api/2.0/mlflow/logged-models/{MODEL}");
        read(&call(Verb::Patch, &path), None, Some(body.as_bytes()))
    };
    assert_eq!(finalize(&format!(r#"{{"model_id":"{MODEL}","status":1}}"#)).unwrap().one("model_id"), Some(MODEL));
    assert_eq!(finalize("{}").unwrap().one("{model_id}"), Some(MODEL));
    assert!(matches!(finalize(&format!(r#"{{"model_id":"m-{OTHER}"}}"#)), Err(FieldFault::Differ(_))));
    assert!(matches!(finalize(&format!(r#"{{"modelId":"{MODEL}"}}"#)), Err(FieldFault::OtherSpelling { .. })));
}
