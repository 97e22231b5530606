//! Datasets, review queues, label schemas, issues, scorers and jobs: judged, filtered, owned.

use http_body_util::BodyExt as _;
use serde_json::{Value, json};

use crate::harness::gate::Gate;
use crate::harness::server::{Answer, full};

const RUN: &str = "0123456789abcdef0123456789abcdef";
const OTHER_RUN: &str = "fedcba9876543210fedcba9876543210";
/// In experiment 1; one with a 2 at the end is in experiment 2.
const TRACE: &str = "tr-00000000000000000000000000000001";
const TRACE_2: &str = "tr-00000000000000000000000000000002";
const DATASET: &str = "d-00000000000000000000000000000001";
/// In experiments 1 and 2.
const SHARED: &str = "d-00000000000000000000000000000012";
/// In none.
const LOOSE: &str = "d-00000000000000000000000000000000";
const QUEUE: &str = "rq-00000000000000000000000000000001";
const OWN_QUEUE: &str = "rq-00000000000000000000000000000002";
const JOB: &str = "00000000-0000-0000-0000-000000000001";
const JOB_2: &str = "00000000-0000-0000-0000-000000000002";
const SECRET: &str = "s-00000000000000000000000000000001";
const ENDPOINT: &str = "e-00000000000000000000000000000001";
/// A job of another kind than prompt optimization.
const SCORING: &str = "00000000-0000-0000-0000-000000000003";

const ALICE: &str = "user:alice@example.com";

fn queue(id: &str) -> Value {
    match id {
        OWN_QUEUE => {
            json!({"queue_id": OWN_QUEUE, "experiment_id": "1", "name": "bob@example.com", "queue_type": "USER",
            "created_by": "bob@example.com", "users": ["bob@example.com"]})
        }
        _ => json!({"queue_id": QUEUE, "experiment_id": "1", "name": "odd ones", "queue_type": "CUSTOM",
            "users": ["alice@example.com", "carol@example.com"], "created_by": "dave@example.com"}),
    }
}

fn scorer(experiment: &str, name: &str, version: u32) -> Value {
    json!({"experiment_id": experiment, "scorer_name": name, "scorer_version": version, "serialized_scorer": "{}"})
}

fn mlflow(target: &str, sent: &Value) -> Answer {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let absent = || full(404, json!({"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "no"}).to_string());
    let v3 = path.strip_prefix("/api/3.0/mlflow/").or_else(|| path.strip_prefix("/ajax-api/3.0/mlflow/"));
    let answer = match v3.unwrap_or(path) {
        "/api/2.0/mlflow/runs/get" => {
            let id = query.trim_start_matches("run_id=");
            let experiment = if id == RUN { "1" } else { "2" };
            json!({"run": {"info": {"run_id": id, "experiment_id": experiment}}})
        }
        path if path.starts_with("traces/tr-") => {
            let id = path.trim_start_matches("traces/");
            let experiment = id[id.len() - 1..].to_owned();
            if experiment == "9" {
                return absent();
            }
            json!({"trace": {"trace_info": {"trace_id": id,
                "trace_location": {"mlflow_experiment": {"experiment_id": experiment}}}}})
        }
        path if path.ends_with("/experiment-ids") => {
            match &path["datasets/".len()..path.len() - "/experiment-ids".len()] {
                DATASET => json!({"experiment_ids": ["1"]}),
                SHARED => json!({"experiment_ids": ["1", "2"]}),
                _ => json!({}),
            }
        }
        "datasets/search" => json!({"datasets": [{"dataset_id": DATASET, "name": "a"},
            {"dataset_id": SHARED, "name": "b"}, {"dataset_id": LOOSE, "name": "c"}]}),
        "review-queues/get" if query.ends_with(OWN_QUEUE) || query.ends_with(QUEUE) => {
            json!({"review_queue": queue(query.trim_start_matches("queue_id="))})
        }
        "review-queues/get-by-name" if query.contains("odd") => json!({"review_queue": queue(QUEUE)}),
        "review-queues/get" | "review-queues/get-by-name" => return absent(),
        "review-queues/list" => json!({"review_queues": [queue(QUEUE), queue(OWN_QUEUE)]}),
        "review-queues/create" => {
            let mut made = queue(QUEUE);
            made.as_object_mut().unwrap().remove("created_by");
            json!({"review_queue": made})
        }
        "review-queues/items/set-status" | "datasets/create" => sent.clone(),
        path if path.ends_with("/records") => sent.clone(),
        "label-schemas/get" if query.ends_with('1') => json!({"label_schema": {
            "schema_id": "ls-00000000000000000000000000000001", "experiment_id": "1"}}),
        "label-schemas/get" => return absent(),
        "issues" => json!({"issue": {"issue_id": "iss-00000000000000000000000000000001", "experiment_id": "1",
            "source_run_id": sent["source_run_id"], "created_by": sent["created_by"]}}),
        "issues/search" => json!({"issues": [{"issue_id": "iss-00000000000000000000000000000001",
            "experiment_id": "1", "source_run_id": OTHER_RUN, "trace_count": 7}]}),
        "gateway/secrets/get" => json!({"secret": {"secret_id": SECRET, "masked_values": {"api_key": "sk-...7890"}}}),
        "gateway/endpoints/get" if query.ends_with("=mine") => json!({"endpoint": {
            "endpoint_id": ENDPOINT, "name": "mine"}}),
        "scorers/get" if query.contains("name=asker") => {
            let version = if query.ends_with("version=1") { 1 } else { 2 };
            let model = if version == 1 { "openai:/gpt" } else { "gateway:/mine" };
            let mut found = scorer("1", "asker", version);
            found["serialized_scorer"] = json!(json!({"name": "asker", "model": model}).to_string());
            json!({"scorer": found})
        }
        "scorers/get" if query.contains("name=judge") => json!({"scorer": scorer("1", "judge", 2)}),
        "scorers/get" if query.contains("judge%2F1") => json!({"scorer": scorer("1", "my judge/1", 1)}),
        "scorers/get" | "gateway/endpoints/get" => return absent(),
        "scorers/list" => {
            json!({"scorers": [scorer("1", "judge", 2), scorer("1", "mine", 1), scorer("2", "judge", 1)]})
        }
        "scorers/register" => {
            let version = if sent["name"] == "judge" { 2 } else { 1 };
            json!({"version": version, "experiment_id": sent["experiment_id"], "name": sent["name"]})
        }
        "scorers/online-configs" => json!({"configs": [{"experiment_id": "1"}, {"experiment_id": "2"}]}),
        "scorer/invoke" => json!({"jobs": [{"job_id": JOB, "trace_ids": [TRACE]}, {"job_id": JOB_2, "trace_ids": []}]}),
        "issues/invoke" | "genai/evaluate/invoke" => json!({"job_id": JOB, "run_id": RUN}),
        "prompt-optimization/jobs" => json!({"job": {"job_id": JOB, "experiment_id": "1"}}),
        path if path.starts_with("prompt-optimization/jobs/") => {
            let id = path.split('/').nth(2).unwrap();
            let prompt = if id == SCORING { "" } else { "prompts:/greeting/1" };
            json!({"job": {"job_id": id, "experiment_id": "1", "source_prompt_uri": prompt}})
        }
        "/ajax-api/3.0/jobs/search" => {
            json!({"jobs": [{"job_id": JOB, "params": {}}, {"job_id": JOB_2, "params": {}}]})
        }
        _ => json!({}),
    };
    let mut answer = full(200, answer.to_string());
    answer.headers_mut().insert("content-type", http::HeaderValue::from_static("application/json"));
    answer
}

async fn gate() -> Gate {
    Gate::before(|request| {
        let target = request.uri().to_string();
        async move {
            let body = request.into_body().collect().await.unwrap().to_bytes();
            mlflow(&target, &serde_json::from_slice(&body).unwrap_or_default())
        }
    })
    .await
}

async fn granted(grants: &[(&str, &str, &str)]) -> Gate {
    let gate = gate().await;
    for (kind, pattern, permission) in grants {
        gate.grant(ALICE, kind, pattern, permission).await;
    }
    gate
}

fn v3(path: &str) -> String {
    format!("/api/3.0/mlflow/{path}")
}

fn ajax(path: &str) -> String {
    format!("/ajax-api/3.0/mlflow/{path}")
}

async fn status(gate: &Gate, method: &str, path: &str, body: Value) -> u16 {
    let alice = gate.bearer("alice");
    match method {
        "GET" => alice.get(&v3(path)).await.status,
        _ => alice.json(method, &v3(path), body.to_string()).await.status,
    }
}

fn holders(gate: &Gate, on: &str) -> Vec<String> {
    let grants = gate.open().house().store.grants();
    grants.iter().map(|record| record.grant.to_string()).filter(|text| text.contains(on)).collect()
}

#[tokio::test]
async fn a_dataset_takes_the_right_on_every_experiment_that_it_is_in() {
    let gate = granted(&[("experiment", "1", "EDIT")]).await;
    assert_eq!(status(&gate, "GET", &format!("datasets/{DATASET}"), json!({})).await, 200);
    assert_eq!(status(&gate, "POST", &format!("datasets/{DATASET}/records"), json!({"records": "[]"})).await, 200);
    assert_eq!(status(&gate, "DELETE", &format!("datasets/{DATASET}"), json!({})).await, 403, "EDIT deletes none");
    for (tag, expected) in [("team", 200), ("mlflow.user", 403)] {
        let path = format!("datasets/{DATASET}/tags/{tag}");
        assert_eq!(status(&gate, "DELETE", &path, json!({})).await, expected, "{tag}: who made it");
    }
    let hidden = gate.bearer("alice").get(&v3(&format!("datasets/{SHARED}"))).await;
    let absent = gate.bearer("alice").get(&v3(&format!("datasets/{LOOSE}"))).await;
    assert_eq!((hidden.status, absent.status), (403, 403));
    let plain = |text: String| text.split(" (request").next().unwrap().to_owned();
    assert_eq!(plain(hidden.text()), plain(absent.text()), "hidden and absent look alike");
    let added = json!({"experiment_ids": ["2"]});
    assert_eq!(status(&gate, "POST", &format!("datasets/{DATASET}/add-experiments"), added.clone()).await, 403);
    gate.grant(ALICE, "experiment", "2", "READ").await;
    assert_eq!(status(&gate, "GET", &format!("datasets/{SHARED}"), json!({})).await, 200);
    let remove = format!("datasets/{SHARED}/remove-experiments");
    assert_eq!(status(&gate, "POST", &remove, json!({"experiment_ids": ["1"]})).await, 403, "EDIT on all is wanted");
    gate.grant(ALICE, "experiment", "2", "EDIT").await;
    assert_eq!(status(&gate, "POST", &remove, json!({"experiment_ids": ["1"]})).await, 200);
    assert_eq!(status(&gate, "POST", &format!("datasets/{DATASET}/add-experiments"), added).await, 200);
}

#[tokio::test]
async fn a_dataset_in_the_path_and_another_in_the_body_are_refused() {
    let gate = granted(&[("experiment", "1", "MANAGE")]).await;
    let delete = format!("datasets/{DATASET}");
    assert_eq!(status(&gate, "DELETE", &delete, json!({"dataset_id": SHARED})).await, 400);
    assert_eq!(status(&gate, "DELETE", &delete, json!({"dataset_id": DATASET})).await, 200);
    assert_eq!(status(&gate, "GET", "datasets/D-00000000000000000000000000000001", json!({})).await, 400);
}

#[tokio::test]
async fn datasets_are_made_where_one_may_edit_and_a_list_shows_what_single_reads_show() {
    let gate = granted(&[("experiment", "1", "EDIT")]).await;
    for (ids, expected) in [(json!(["1"]), 200), (json!(["1", "2"]), 403), (json!([]), 400)] {
        let body = json!({"name": "d", "experiment_ids": ids});
        assert_eq!(status(&gate, "POST", "datasets/create", body).await, expected, "{ids}");
    }
    let names = |told: Value| -> Vec<String> {
        let rows = told["datasets"].as_array().cloned().unwrap_or_default();
        rows.iter().map(|row| row["name"].as_str().unwrap().to_owned()).collect()
    };
    let search = v3("datasets/search");
    let alice = gate.bearer("alice");
    let by_body = alice.post(&search, &json!({"experiment_ids": ["1", "2"]})).await;
    assert_eq!(names(by_body.json()), ["a"]);
    let by_query = alice.get(&format!("{search}?experiment_ids=2&experiment_ids=1&max_results=10")).await;
    assert_eq!(names(by_query.json()), ["a"]);
    for target in gate.upstream.seen().iter().map(|seen| &seen.target) {
        assert!(!target.contains("experiment_ids=2"), "a hidden experiment was asked about: {target}");
    }
    // The client looks a dataset up by its name, and names no experiment.
    assert_eq!(names(alice.get(&search).await.json()), ["a"]);
    assert_eq!(names(alice.post(&search, &json!({"filter_string": "name = \"a\""})).await.json()), ["a"]);
    assert_eq!(
        names(gate.bearer("bob").post(&search, &json!({})).await.json()),
        [""; 0],
        "of no experiment, no dataset"
    );
    assert_eq!(alice.post(&search, &json!({"experiment_ids": ["2"]})).await.json(), json!({}));
    gate.grant(ALICE, "experiment", "*", "READ").await;
    let all = alice.post(&search, &json!({"experiment_ids": ["1", "2"]})).await;
    assert_eq!(names(all.json()).len(), 3, "every experiment is hers to read");
}

#[tokio::test]
async fn authors_of_datasets_and_records_are_the_callers() {
    let gate = granted(&[("experiment", "1", "EDIT")]).await;
    let tags = json!({"mlflow.user": "bob", "a": "b"}).to_string();
    let body = json!({"name": "d", "experiment_ids": ["1"], "tags": tags});
    let alice = gate.bearer("alice");
    let made = alice.post(&v3("datasets/create"), &body).await.json();
    assert_eq!(made["tags"], json!({"mlflow.user": "alice@example.com", "a": "b"}).to_string());
    let records = |user: &str| json!([{"inputs": {}, "tags": {"mlflow.user": user}}]).to_string();
    let body = json!({"records": records("bob")});
    let written = alice.post(&v3(&format!("datasets/{DATASET}/records")), &body).await.json();
    assert_eq!(written["records"], records("alice@example.com"));
}

#[tokio::test]
async fn a_queue_is_seen_by_its_reviewers_its_owner_and_its_managers() {
    let gate = gate().await;
    for name in ["alice", "carol", "erin", "dave"] {
        gate.grant(&format!("user:{name}@example.com"), "experiment", "1", "READ").await;
    }
    let by_id = v3(&format!("review-queues/get?queue_id={QUEUE}"));
    let by_name = v3("review-queues/get-by-name?experiment_id=1&name=odd%20ones");
    let items = v3(&format!("review-queues/items/list?queue_id={QUEUE}"));
    for (name, expected) in [("alice", 200), ("carol", 200), ("erin", 403), ("dave", 403), ("stranger", 403)] {
        for target in [&by_id, &by_name, &items] {
            assert_eq!(gate.bearer(name).get(target).await.status, expected, "{name} {target}");
        }
    }
    gate.grant("user:dave@example.com", "experiment", "1", "EDIT").await;
    gate.grant("user:erin@example.com", "experiment", "1", "EDIT").await;
    assert_eq!(gate.bearer("dave").get(&by_id).await.status, 200, "the owner, with EDIT");
    assert_eq!(gate.bearer("erin").get(&by_id).await.status, 403, "EDIT alone is not enough");
    gate.grant("user:erin@example.com", "experiment", "1", "MANAGE").await;
    assert_eq!(gate.bearer("erin").get(&by_id).await.status, 200);
    gate.grant(ALICE, "review_queue", "*", "DENY").await;
    assert_eq!(gate.bearer("alice").get(&by_id).await.status, 403, "a DENY beats membership");

    let ids = |told: Value| told["review_queues"].as_array().map_or(0, Vec::len);
    let list = v3("review-queues/list?experiment_id=1");
    for (name, expected) in [("carol", 1), ("dave", 1), ("erin", 2), ("alice", 0)] {
        assert_eq!(ids(gate.bearer(name).get(&list).await.json()), expected, "{name}");
    }
    assert_eq!(gate.bearer("stranger").get(&list).await.status, 403);
}

#[tokio::test]
async fn a_hidden_queue_and_an_absent_one_look_alike() {
    let gate = granted(&[("experiment", "1", "READ")]).await;
    let told = |target: String| {
        let gate = &gate;
        async move {
            let told = gate.bearer("alice").get(&v3(&target)).await;
            (told.status, told.text().split(" (request").next().unwrap().to_owned())
        }
    };
    let hidden = told(format!("review-queues/get?queue_id={OWN_QUEUE}")).await;
    assert_eq!(hidden, told("review-queues/get?queue_id=rq-00000000000000000000000000000009".to_owned()).await);
    assert_eq!(hidden.0, 403);
    let schema = |digit: u32| format!("label-schemas/get?schema_id=ls-0000000000000000000000000000000{digit}");
    assert_eq!(told(schema(1)).await.0, 200);
    assert_eq!(told(schema(2)).await.0, 403);
}

#[tokio::test]
async fn only_reviewers_do_a_queues_work_and_under_their_own_name() {
    let gate = gate().await;
    for name in ["alice", "erin"] {
        gate.grant(&format!("user:{name}@example.com"), "experiment", "1", "MANAGE").await;
    }
    let set = v3("review-queues/items/set-status");
    let body = json!({"queue_id": QUEUE, "item_id": TRACE, "status": "COMPLETE", "completed_by": "bob@example.com"});
    assert_eq!(gate.bearer("erin").post(&set, &body).await.status, 403, "a manager who is no reviewer");
    let sent = gate.bearer("alice").post(&set, &body).await.json();
    assert_eq!(sent["completed_by"], "alice@example.com");
    let foreign = json!({"queue_id": QUEUE, "item_id": TRACE_2, "status": "COMPLETE"});
    assert_eq!(gate.bearer("alice").post(&set, &foreign).await.status, 403, "a trace of another experiment");
}

#[tokio::test]
async fn queues_are_made_changed_and_pruned_by_those_who_may() {
    let gate = granted(&[("experiment", "1", "EDIT")]).await;
    let create = |kind: &str, name: &str| json!({"experiment_id": "1", "name": name, "queue_type": kind});
    assert_eq!(status(&gate, "POST", "review-queues/create", create("USER", "bob@example.com")).await, 403);
    assert_eq!(status(&gate, "POST", "review-queues/create", create("USER", "alice@example.com")).await, 200);
    let for_user = |user: &str| json!({"experiment_id": "1", "user": user});
    assert_eq!(status(&gate, "POST", "review-queues/get-or-create-user", for_user("bob@example.com")).await, 403);
    assert_eq!(status(&gate, "POST", "review-queues/get-or-create-user", for_user("alice@example.com")).await, 200);
    let update = json!({"queue_id": QUEUE, "name": "x"});
    // The creation above made the queue hers.
    assert_eq!(holders(&gate, QUEUE), [format!("user alice@example.com: review_queue {QUEUE} MANAGE")]);
    assert_eq!(status(&gate, "POST", "review-queues/update", update.clone()).await, 200);
    let give = json!({"queue_id": QUEUE, "new_owner": "bob@example.com"});
    assert_eq!(status(&gate, "POST", "review-queues/update", give.clone()).await, 403, "giving it away takes MANAGE");
    assert_eq!(status(&gate, "POST", "review-queues/delete", json!({"queue_id": QUEUE})).await, 200);
    assert!(holders(&gate, QUEUE).is_empty(), "grants end with the queue");
    assert_eq!(status(&gate, "POST", "review-queues/update", update).await, 403, "a reviewer is no owner");
    let dave = "user:dave@example.com";
    gate.grant(dave, "experiment", "1", "EDIT").await;
    let dave = gate.bearer("dave");
    let prune = json!({"queue_id": QUEUE, "item_ids": [TRACE]});
    assert_eq!(dave.post(&v3("review-queues/items/remove"), &prune).await.status, 200, "its owner");
    gate.grant("user:bob@example.com", "experiment", "1", "EDIT").await;
    let own = json!({"queue_id": OWN_QUEUE});
    let bob = gate.bearer("bob");
    assert_eq!(bob.post(&v3("review-queues/delete"), &own).await.status, 403, "one's own queue is a manager's");
    gate.grant(ALICE, "experiment", "1", "MANAGE").await;
    assert_eq!(status(&gate, "POST", "review-queues/delete", own).await, 200);
    assert_eq!(status(&gate, "POST", "review-queues/update", give).await, 200);
}

#[tokio::test]
async fn items_are_readable_traces_of_the_queues_experiment() {
    let gate = granted(&[("experiment", "*", "EDIT")]).await;
    let add = |ids: &[&str]| json!({"queue_id": QUEUE, "item_ids": ids});
    assert_eq!(status(&gate, "POST", "review-queues/items/add", add(&[TRACE])).await, 200);
    assert_eq!(status(&gate, "POST", "review-queues/items/add", add(&[TRACE, TRACE_2])).await, 403);
    gate.grant(ALICE, "trace", TRACE, "DENY").await;
    assert_eq!(status(&gate, "POST", "review-queues/items/add", add(&[TRACE])).await, 403);
    let items = format!("review-queues/items/list?queue_id={QUEUE}");
    assert_eq!(status(&gate, "GET", &items, json!({})).await, 403, "short pages would tell of denied traces");
}

#[tokio::test]
async fn label_schemas_are_the_managers_and_issues_stay_in_their_experiment() {
    let gate = granted(&[("experiment", "1", "EDIT"), ("experiment", "2", "EDIT")]).await;
    let schema = json!({"schema_id": "ls-00000000000000000000000000000001"});
    assert_eq!(status(&gate, "PATCH", "label-schemas/update", schema.clone()).await, 403);
    assert_eq!(status(&gate, "DELETE", "label-schemas/delete", schema.clone()).await, 403);
    gate.grant(ALICE, "experiment", "1", "MANAGE").await;
    assert_eq!(status(&gate, "PATCH", "label-schemas/update", schema.clone()).await, 200);

    let issue = |run: &str| {
        json!({"experiment_id": "1", "name": "n", "description": "d", "source_run_id": run,
        "created_by": "bob"})
    };
    assert_eq!(status(&gate, "POST", "issues", issue(OTHER_RUN)).await, 403, "a run of another experiment");
    let made = gate.bearer("alice").post(&v3("issues"), &issue(RUN)).await;
    assert_eq!(made.json()["issue"]["created_by"], "alice@example.com");
    gate.grant(ALICE, "experiment", "2", "DENY").await;
    let found = gate.bearer("alice").post(&v3("issues/search"), &json!({"experiment_id": "1"})).await;
    assert_eq!(found.json()["issues"][0]["source_run_id"], "", "a link to a hidden run");
    assert_eq!(found.json()["issues"][0]["trace_count"], Value::Null, "traces of every experiment are counted");
    assert_eq!(status(&gate, "POST", "issues/search", json!({})).await, 400);
    gate.grant(ALICE, "run", RUN, "DENY").await;
    let by_run = json!({"experiment_id": "1", "filter_string": format!("source_run_id = '{RUN}'")});
    assert_eq!(status(&gate, "POST", "issues/search", by_run).await, 403);
}

#[tokio::test]
async fn a_scorer_has_grants_of_its_own_and_its_experiment_must_be_readable() {
    let gate = granted(&[("experiment", "1", "MANAGE")]).await;
    let judge = "scorers/get?experiment_id=1&name=judge";
    assert_eq!(status(&gate, "GET", judge, json!({})).await, 403, "the experiment's grant does not reach it");
    gate.grant(ALICE, "scorer", "1/judge", "READ").await;
    assert_eq!(status(&gate, "GET", judge, json!({})).await, 200);
    gate.grant(ALICE, "scorer", "1/my%20judge%2F1", "READ").await;
    assert_eq!(status(&gate, "GET", "scorers/get?experiment_id=1&name=my+judge%2F1", json!({})).await, 200);
    gate.grant(ALICE, "scorer_version", "1/judge/2", "DENY").await;
    assert_eq!(status(&gate, "GET", judge, json!({})).await, 403, "the version in the answer is denied");
    gate.grant(ALICE, "scorer", "*", "READ").await;
    let listed = gate.bearer("alice").get(&v3("scorers/list")).await.json();
    let names: Vec<&str> =
        listed["scorers"].as_array().unwrap().iter().map(|row| row["scorer_name"].as_str().unwrap()).collect();
    assert_eq!(names, ["mine"], "2/judge lies in a hidden experiment");
    assert_eq!(status(&gate, "GET", "scorers/list?experiment_id=2", json!({})).await, 403);
    gate.grant(ALICE, "experiment", "1", "DENY").await;
    assert_eq!(status(&gate, "GET", "scorers/get?experiment_id=1&name=mine", json!({})).await, 403);
    let configs = async |user: &str| gate.bearer(user).get(&v3("scorers/online-configs?scorer_ids=x")).await;
    assert_eq!(configs("bob").await.json(), json!({"configs": []}), "they lie in a hidden experiment");
    assert_eq!(configs("alice").await.status, 403, "a row does not name its scorer, and one is denied");
}

#[tokio::test]
async fn who_registers_a_new_scorer_owns_it_and_who_adds_a_version_does_not() {
    let gate = granted(&[("experiment", "1", "EDIT")]).await;
    let register = |name: &str| json!({"experiment_id": "1", "name": name, "serialized_scorer": "{}"});
    assert_eq!(status(&gate, "POST", "scorers/register", register("my judge/1")).await, 200);
    assert_eq!(holders(&gate, "scorer "), ["user alice@example.com: scorer 1/my%20judge%2F1 MANAGE"]);
    assert_eq!(status(&gate, "POST", "scorers/register", register("judge")).await, 200);
    assert_eq!(holders(&gate, "scorer ").len(), 1, "version 2 of another's scorer");
    // Its versions were deleted one by one, so the next one is the first again.
    gate.grant("user:bob@example.com", "experiment", "1", "EDIT").await;
    assert_eq!(gate.bearer("bob").post(&v3("scorers/register"), &register("my judge/1")).await.status, 200);
    assert_eq!(holders(&gate, "scorer "), ["user alice@example.com: scorer 1/my%20judge%2F1 MANAGE"]);

    let mut delete = json!({"experiment_id": "1", "name": "my judge/1", "version": 1});
    assert_eq!(status(&gate, "DELETE", "scorers/delete", delete.clone()).await, 200);
    assert_eq!(holders(&gate, "scorer ").len(), 1, "a version of it is gone, not the scorer");
    delete.as_object_mut().unwrap().remove("version");
    assert_eq!(status(&gate, "DELETE", "scorers/delete", delete).await, 200);
    assert!(holders(&gate, "scorer ").is_empty());
    assert_eq!(gate.bearer("bob").post(&v3("scorers/register"), &register("my judge/1")).await.status, 200);
    assert_eq!(holders(&gate, "scorer "), ["user bob@example.com: scorer 1/my%20judge%2F1 MANAGE"]);
    gate.grant(ALICE, "scorer", "1/*", "DENY").await;
    assert_eq!(status(&gate, "POST", "scorers/register", register("other")).await, 403);
}

#[tokio::test]
async fn what_a_scorer_uses_of_the_gateway_must_be_usable_by_who_writes_it() {
    let gate = granted(&[("experiment", "1", "EDIT")]).await;
    let serialized = json!({"name": "j", "instructions_judge_pydantic_data": {"model": "gateway:/secret"}}).to_string();
    let register = json!({"experiment_id": "1", "name": "j", "serialized_scorer": serialized});
    assert_eq!(status(&gate, "POST", "scorers/register", register).await, 403);
    let invoke = json!({"experiment_id": "1", "serialized_scorer": serialized, "trace_ids": [TRACE]});
    assert_eq!(gate.bearer("alice").post(&ajax("scorer/invoke"), &invoke).await.status, 403);
    let broken = json!({"experiment_id": "1", "name": "j", "serialized_scorer": "{"});
    assert_eq!(status(&gate, "POST", "scorers/register", broken).await, 403);
}

#[tokio::test]
async fn whoever_starts_a_job_owns_it_and_nobody_else_sees_it() {
    let gate = granted(&[("experiment", "1", "EDIT"), ("experiment", "2", "READ")]).await;
    let alice = gate.bearer("alice");
    let invoke = |traces: &[&str]| json!({"experiment_id": "1", "serialized_scorer": "{}", "trace_ids": traces});
    let target = ajax("scorer/invoke");
    for (traces, expected) in
        [(&[TRACE, TRACE_2][..], 403), (&["tr-00000000000000000000000000000009"], 403), (&[], 400)]
    {
        assert_eq!(alice.post(&target, &invoke(traces)).await.status, expected, "{traces:?}");
    }
    assert_eq!(alice.get(&format!("/ajax-api/3.0/jobs/{JOB}")).await.status, 403);
    assert_eq!(alice.post(&target, &invoke(&[TRACE])).await.status, 200);
    assert_eq!(holders(&gate, "job ").len(), 2);
    for path in [format!("/ajax-api/3.0/jobs/{JOB}"), ajax(&format!("jobs/{JOB_2}"))] {
        assert_eq!(alice.get(&path).await.status, 200, "{path}");
        assert_eq!(gate.bearer("bob").get(&path).await.status, 403, "{path}");
    }
    let cancel = ajax(&format!("jobs/cancel/{JOB}"));
    assert_eq!(gate.bearer("bob").json("PATCH", &cancel, "{}").await.status, 403);
    assert_eq!(alice.json("PATCH", &cancel, "{}").await.status, 200);
    let search = "/ajax-api/3.0/jobs/search";
    assert_eq!(alice.post(search, &json!({})).await.json()["jobs"].as_array().unwrap().len(), 2);
    assert_eq!(gate.bearer("bob").post(search, &json!({})).await.json(), json!({"jobs": []}));
    let submit = json!({"job_name": "invoke_scorer", "params": {}});
    assert_eq!(alice.post("/ajax-api/3.0/jobs/", &submit).await.status, 403);
}

#[tokio::test]
async fn a_registered_judge_must_be_readable_to_be_run() {
    let gate = granted(&[("experiment", "1", "EDIT")]).await;
    let evaluate = |name: &str, version: Value| {
        json!({"experiment_id": "1", "trace_ids": [TRACE],
            "serialized_scorers": [json!({"name": name}).to_string()], "scorer_versions": [version]})
    };
    let target = ajax("genai/evaluate/invoke");
    let alice = gate.bearer("alice");
    assert_eq!(alice.post(&target, &evaluate("judge", json!(1))).await.status, 403);
    assert_eq!(alice.post(&target, &evaluate("of my own", Value::Null)).await.status, 200);
    assert_eq!(alice.post(&target, &evaluate("of my own", json!(1))).await.status, 403, "there is none");
    gate.grant(ALICE, "scorer", "1/judge", "READ").await;
    assert_eq!(alice.post(&target, &evaluate("judge", json!(1))).await.status, 200);
    assert_eq!(alice.post(&target, &evaluate("judge", json!("1"))).await.status, 400);
    assert_eq!(holders(&gate, "job "), [format!("user alice@example.com: job {JOB} MANAGE")]);
}

/// Whether alice may have a registered scorer run, by each call that does it.
async fn judges(gate: &Gate, name: &str, version: u32) -> [u16; 2] {
    let text = json!({"name": name}).to_string();
    let invoke = json!({"experiment_id": "1", "trace_ids": [TRACE], "serialized_scorer": "{}",
        "scorer_name": name, "scorer_version": version});
    let evaluate = json!({"experiment_id": "1", "trace_ids": [TRACE],
        "serialized_scorers": [json!({"name": "of my own"}).to_string(), text], "scorer_versions": [null, version]});
    let alice = gate.bearer("alice");
    let invoked = alice.post(&ajax("scorer/invoke"), &invoke).await.status;
    [invoked, alice.post(&ajax("genai/evaluate/invoke"), &evaluate).await.status]
}

#[tokio::test]
async fn a_registered_judge_runs_for_who_may_use_what_its_stored_text_asks() {
    let gate = granted(&[("experiment", "1", "EDIT"), ("scorer", "1/asker", "READ")]).await;
    assert_eq!(judges(&gate, "asker", 1).await, [200, 200]);
    assert_eq!(judges(&gate, "asker", 2).await, [403, 403]);
    let config = json!({"experiment_id": "1", "name": "asker", "sample_rate": 1.0});
    assert_eq!(status(&gate, "PUT", "scorers/online-config", config.clone()).await, 403);
    let job = json!({"experiment_id": "1", "source_prompt_uri": "prompts:/greeting/1",
        "config": {"optimizer_type": 1, "scorers": ["asker"]}});
    gate.grant(ALICE, "prompt", "greeting", "EDIT").await;
    assert_eq!(status(&gate, "POST", "prompt-optimization/jobs", job.clone()).await, 403);
    gate.grant(ALICE, "gateway_endpoint", ENDPOINT, "USE").await;
    assert_eq!(judges(&gate, "asker", 2).await, [200, 200]);
    assert_eq!(status(&gate, "PUT", "scorers/online-config", config).await, 200);
    assert_eq!(status(&gate, "POST", "prompt-optimization/jobs", job).await, 200);
}

#[tokio::test]
async fn a_deny_on_one_version_keeps_that_version_from_being_run() {
    let gate = granted(&[("experiment", "1", "EDIT"), ("scorer", "1/judge", "READ")]).await;
    assert_eq!(judges(&gate, "judge", 2).await, [200, 200]);
    gate.grant(ALICE, "scorer_version", "1/judge/2", "DENY").await;
    assert_eq!(judges(&gate, "judge", 2).await, [403, 403]);
    assert_eq!(judges(&gate, "judge", 1).await, [200, 200]);
}

#[tokio::test]
async fn the_servers_own_keys_are_for_who_may_use_every_secret() {
    let gate = granted(&[("experiment", "1", "EDIT")]).await;
    let detect = async |more: Value| {
        let mut body =
            json!({"experiment_id": "1", "trace_ids": [TRACE], "categories": [], "provider": "openai", "model": "m"});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        gate.bearer("alice").post(&ajax("issues/invoke"), &body).await.status
    };
    assert_eq!(detect(json!({})).await, 403, "the server's own key");
    assert_eq!(detect(json!({"secret_id": SECRET})).await, 403);
    for (endpoint, status) in [("e", 403), ("mine", 403)] {
        assert_eq!(detect(json!({"endpoint_name": endpoint})).await, status);
        assert_eq!(detect(json!({"provider": "gateway", "model": endpoint})).await, status);
    }
    gate.grant(ALICE, "gateway_secret", SECRET, "USE").await;
    assert_eq!(detect(json!({"secret_id": SECRET})).await, 200);
    assert_eq!(detect(json!({"secret_id": SECRET, "provider": "Bedrock"})).await, 403, "it holds no key for that");
    gate.grant(ALICE, "gateway_endpoint", ENDPOINT, "USE").await;
    for provider in ["gateway", "Gateway"] {
        assert_eq!(detect(json!({"provider": provider, "model": "mine"})).await, 200);
        assert_eq!(detect(json!({"provider": provider, "model": "other"})).await, 403);
        assert_eq!(detect(json!({"provider": provider, "model": "mine?x=/y"})).await, 403);
    }
    assert_eq!(detect(json!({"endpoint_name": "mine"})).await, 200);
    gate.grant(ALICE, "gateway_secret", "*", "USE").await;
    assert_eq!(detect(json!({})).await, 200);
    for provider in ["gateway:/mine?", "gate way", "gateway:", "openai/x"] {
        assert_eq!(detect(json!({"provider": provider})).await, 403, "{provider}");
    }
}

#[tokio::test]
async fn a_count_of_traces_is_for_who_sees_them_all() {
    let gate = granted(&[("experiment", "*", "READ")]).await;
    let found = gate.bearer("alice").post(&v3("issues/search"), &json!({"experiment_id": "1"})).await;
    assert_eq!(found.json()["issues"][0]["trace_count"], 7);
    gate.grant(ALICE, "experiment", "2", "DENY").await;
    let found = gate.bearer("alice").post(&v3("issues/search"), &json!({"experiment_id": "1"})).await;
    assert_eq!(found.json()["issues"][0]["trace_count"], Value::Null);
}

#[tokio::test]
async fn a_prompt_job_takes_what_it_reads_and_writes() {
    let gate = granted(&[("experiment", "1", "EDIT")]).await;
    let job =
        |prompt: &str, config: Value| json!({"experiment_id": "1", "source_prompt_uri": prompt, "config": config});
    let plain = json!({"optimizer_type": 1, "scorers": ["Correctness"]});
    let create = "prompt-optimization/jobs";
    assert_eq!(status(&gate, "POST", create, job("prompts:/greeting/1", plain.clone())).await, 403);
    gate.grant(ALICE, "prompt", "greeting", "EDIT").await;
    assert_eq!(status(&gate, "POST", create, job("prompts:/greeting/1", plain.clone())).await, 200);
    assert_eq!(status(&gate, "POST", create, job("prompts:/greeting@best", plain.clone())).await, 200);
    for odd in [
        "greeting",
        "prompts:/greeting",
        "prompts:/other/../greeting/1",
        "prompts:/other%2F1",
        "prompts://x/greeting/1",
    ] {
        assert_eq!(status(&gate, "POST", create, job(odd, plain.clone())).await, 403, "{odd}");
    }
    for config in [
        json!({"scorers": ["judge"]}),
        json!({"dataset_id": SHARED}),
        json!({"optimizer_config_json": json!({"reflection_model": "gateway:/secret"}).to_string()}),
    ] {
        assert_eq!(status(&gate, "POST", create, job("prompts:/greeting/1", config.clone())).await, 403, "{config}");
    }
    let config = json!({"dataset_id": DATASET, "scorers": ["Correctness"]});
    assert_eq!(status(&gate, "POST", create, job("prompts:/greeting/1", config)).await, 200);
    assert_eq!(status(&gate, "DELETE", &format!("{create}/{JOB}"), json!({})).await, 403, "MANAGE deletes");
    assert_eq!(status(&gate, "POST", &format!("{create}/{JOB}/cancel"), json!({})).await, 200);
    assert_eq!(
        status(&gate, "POST", &format!("{create}/{SCORING}/cancel"), json!({})).await,
        403,
        "a job of another kind"
    );
    gate.grant(ALICE, "experiment", "1", "READ").await;
    assert_eq!(status(&gate, "GET", &format!("{create}/{JOB}"), json!({})).await, 200);
    assert_eq!(status(&gate, "POST", &format!("{create}/{JOB}/cancel"), json!({})).await, 403);
}
