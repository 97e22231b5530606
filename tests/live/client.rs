//! Does MLflow's own Python client find what it expects, and only what it may?
//!
//! Each test is a script in `python/`; several people act in it, each with a token of their own.

use serde_json::Value;

use crate::house::shared;
use crate::stage::idp::accounts::{GUEST, OWNER};
use crate::stage::output;

#[test]
fn the_training_script_runs_unchanged() {
    let house = shared();
    let mut script = house.script("../../../examples/demo/train.py");
    script.args(["--experiment", "live iris", "--model", "live-iris"]);
    script.env("MLFLOW_TRACKING_TOKEN", house.token(&OWNER));
    let done = output(&mut script).unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert!(done.status.success(), "{said}");
    assert!(said.contains("accuracy 0.9") && said.contains("live-iris version 1 predicts"), "{said}");
}

#[test]
fn reading_writing_and_deleting_follow_the_grants() {
    shared().play("permissions.py");
}

#[test]
fn lists_hold_all_that_may_be_seen_and_nothing_else() {
    shared().play("searching.py");
}

#[test]
fn artifacts_come_back_as_they_went_whatever_their_names() {
    shared().play("artifacts.py");
}

#[test]
fn grants_follow_a_model_that_is_renamed_and_end_with_one_that_is_deleted() {
    shared().play("registry.py");
}

#[test]
fn prompts_are_a_kind_of_their_own_and_runs_are_of_whoever_made_them() {
    shared().play("prompts.py");
}

#[test]
fn traces_follow_the_grants_and_cannot_be_taken() {
    shared().play("traces.py");
}

#[test]
fn datasets_scorers_schemas_queues_issues_and_jobs_follow_the_grants() {
    shared().play("genai.py");
}

#[test]
fn the_rest_of_the_tracking_client_works() {
    shared().play("tracking.py");
}

#[test]
fn allowed_and_refused_requests_are_both_in_the_audit_log() {
    let house = shared();
    let url = |path: &str| format!("{}/api/2.0/mlflow/{path}", house.gate.url());
    let name = format!("audited {}", std::process::id());
    let made =
        house.web.post(&url("experiments/create"), &house.token(&OWNER), &serde_json::json!({ "name": name })).unwrap();
    assert_eq!(made.status, 200, "{}", made.text());
    let id = made.json()["experiment_id"].as_str().unwrap().to_owned();
    let refused = house.web.get(&url(&format!("experiments/get?experiment_id={id}")), &house.token(&GUEST)).unwrap();
    assert_eq!(refused.status, 403, "{}", refused.text());
    assert_eq!(refused.json()["error_code"], "PERMISSION_DENIED");

    let by = |who: &'static str, call: &'static str| {
        move |record: &Value| {
            let line = record.to_string();
            line.contains(who) && line.contains(call)
        }
    };
    let allowed = house.audit(by(OWNER.email, "CreateExperiment"));
    assert!(allowed.iter().any(|record| record["status"] == 200), "{allowed:?}");
    let denied = house.audit(by(GUEST.email, "GetExperiment"));
    assert!(denied.iter().any(|record| record["status"] == 403 && record.to_string().contains(&id)), "{denied:?}");
    let all = std::fs::read_to_string(house.gate.audit()).unwrap();
    for secret in [house.token(&OWNER), "a test secret".to_owned()] {
        let signature = secret.rsplit('.').next().unwrap().to_owned();
        assert!(!all.contains(&signature), "a secret stands in the audit log");
    }
}
