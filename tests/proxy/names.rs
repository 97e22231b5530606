//! Grants on what experiments are called, through the running gate: who reaches what, what a rename may change, and who
//! pays for it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use http_body_util::BodyExt as _;
use serde_json::{Value, json};

use super::own_pages::person;
use crate::harness::gate::{Gate, Told};
use crate::harness::server::{Answer, Server, full};
use trackgate::mlflow::ids::{UserName, WorkspaceName};
use trackgate::mlflow::permission::Permission;
use trackgate::mlflow::resource::Kind;
use trackgate::store::Wish;

const API: &str = "/api/2.0/mlflow";

/// An MLflow with experiments that have names, and a run in each, that renames and makes more.
#[derive(Default)]
struct Mlflow {
    named: Mutex<BTreeMap<u32, String>>,
    down: AtomicBool,
}

impl Mlflow {
    fn answer(&self, path: &str, fields: &BTreeMap<String, Value>) -> Answer {
        let text = |name: &str| match fields.get(name) {
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
            None => String::new(),
        };
        let absent = || full(404, r#"{"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "no"}"#);
        let one = |id: u32, name: &str| json!({"experiment_id": id.to_string(), "name": name});
        let mut named = self.named.lock().unwrap();
        match path.strip_prefix(API).unwrap_or(path) {
            "/version" => full(200, "3.17.2"),
            "/experiments/get" if self.down.load(Ordering::Relaxed) => full(502, "gone"),
            "/experiments/get" => match text("experiment_id").parse().ok().and_then(|id| named.get_key_value(&id)) {
                Some((id, name)) => full(200, json!({"experiment": one(*id, name)}).to_string()),
                None => absent(),
            },
            "/experiments/get-by-name" => match named.iter().find(|(_, name)| **name == text("experiment_name")) {
                Some((id, name)) => full(200, json!({"experiment": one(*id, name)}).to_string()),
                None => absent(),
            },
            "/experiments/create" => {
                let id = named.keys().max().map_or(1, |id| id + 1);
                named.insert(id, text("name"));
                full(200, json!({"experiment_id": id.to_string()}).to_string())
            }
            "/experiments/update" => {
                named.insert(text("experiment_id").parse().unwrap(), text("new_name"));
                full(200, "{}")
            }
            "/experiments/search" => {
                let filter = text("filter");
                let asked = filter.split_once("IN (").map(|(_, list)| list.trim_end_matches(')').to_owned());
                let wanted =
                    |id: &u32| asked.as_ref().is_none_or(|list| list.split(',').any(|one| one == format!("'{id}'")));
                let from: usize = text("page_token").parse().unwrap_or(0);
                let most: usize = text("max_results").parse().unwrap();
                let all: Vec<Value> =
                    named.iter().filter(|(id, _)| wanted(id)).map(|(id, name)| one(*id, name)).collect();
                let rows: Vec<&Value> = all.iter().skip(from).take(most).collect();
                let mut answer = json!({"experiments": rows});
                if from + rows.len() < all.len() {
                    answer["next_page_token"] = json!((from + rows.len()).to_string());
                }
                full(200, answer.to_string())
            }
            "/runs/get" => {
                let id = u32::from_str_radix(&text("run_id"), 16).unwrap();
                full(200, json!({"run": {"info": {"run_id": run(id), "experiment_id": id.to_string()}}}).to_string())
            }
            "/runs/search" => {
                let ids = fields["experiment_ids"].as_array().unwrap();
                let row = |id: &Value| {
                    let id: u32 = id.as_str().unwrap().parse().unwrap();
                    json!({"info": {"run_id": run(id), "experiment_id": id.to_string()}})
                };
                full(200, json!({"runs": ids.iter().map(row).collect::<Vec<_>>()}).to_string())
            }
            "/registered-models/get" => {
                full(200, json!({"registered_model": {"name": text("name"), "tags": []}}).to_string())
            }
            // A server that narrows nothing.
            "/graphql" => {
                let row = |n: u32| json!({"i": {"runName": run(n)}, "trackgate_info": {"run_id": run(n), "experiment_id": n.to_string()}});
                let page = json!({"runs": [row(1), row(2)], "nextPageToken": null, "trackgate_next": null});
                full(200, json!({"data": {"a": page}, "errors": null}).to_string())
            }
            _ => full(200, "{}"),
        }
    }
}

fn run(n: u32) -> String {
    format!("{n:032x}")
}

/// A gate before experiments of these names, numbered from 1.
async fn gate(names: &[&str]) -> (Gate, Arc<Mlflow>) {
    let mlflow = Arc::new(Mlflow::default());
    *mlflow.named.lock().unwrap() = (1..).zip(names.iter().map(ToString::to_string)).collect();
    let answering = Arc::clone(&mlflow);
    let server = Server::scripted(move |request| {
        let mlflow = Arc::clone(&answering);
        async move {
            let target = request.uri().clone();
            let body = request.into_body().collect().await.unwrap().to_bytes();
            let query = target.query().unwrap_or_default();
            let mut fields: BTreeMap<String, Value> = url::form_urlencoded::parse(query.as_bytes())
                .map(|(name, value)| (name.into_owned(), Value::String(value.into_owned())))
                .collect();
            if !body.is_empty() {
                fields.extend(serde_json::from_slice::<BTreeMap<String, Value>>(&body).unwrap());
            }
            mlflow.answer(target.path(), &fields)
        }
    });
    let gate = Gate::with(server, "[access]\nadmins = [\"root@example.com\"]", |_| {}).await;
    // Whoever has signed in is known.
    for who in ["root", "alice", "bob"] {
        assert_eq!(gate.bearer(who).get("/ajax-api/2.0/mlflow/users/current").await.status, 200);
    }
    (gate, mlflow)
}

async fn reads(gate: &Gate, who: &str, id: u32) -> u16 {
    gate.bearer(who).get(&format!("{API}/experiments/get?experiment_id={id}")).await.status
}

async fn rename(gate: &Gate, who: &str, id: u32, name: &str) -> Told {
    let body = json!({"experiment_id": id.to_string(), "new_name": name});
    gate.bearer(who).post(&format!("{API}/experiments/update"), &body).await
}

/// How often MLflow was asked for one experiment.
fn look_ups(gate: &Gate) -> usize {
    gate.upstream.seen().iter().filter(|seen| seen.target.contains("/experiments/get?")).count()
}

const ALICE: &str = "user:alice@example.com";
const BOB: &str = "user:bob@example.com";

#[tokio::test]
async fn a_grant_on_a_name_reaches_what_is_called_so_and_all_that_lies_in_it() {
    let (gate, _) = gate(&["team-a/x", "team-b/x", "1"]).await;
    gate.grant(ALICE, "experiment_name", "team-a/*", "READ").await;
    gate.grant(BOB, "experiment_name", "1", "READ").await;
    let alice = gate.bearer("alice");
    let told = alice.get(&format!("{API}/experiments/get?experiment_id=1")).await;
    assert_eq!(told.status, 200);
    assert_eq!(alice.get(&format!("{API}/runs/get?run_id={}", run(1))).await.status, 200);
    assert_eq!(alice.get(&format!("{API}/experiments/get-by-name?experiment_name=team-a%2Fx")).await.status, 200);
    let tag = json!({"run_id": run(1), "key": "a", "value": "b"});
    assert_eq!(alice.post(&format!("{API}/runs/set-tag"), &tag).await.status, 403, "READ writes nothing");
    assert_eq!(reads(&gate, "alice", 2).await, 403);
    assert_eq!(alice.get(&format!("{API}/runs/get?run_id={}", run(2))).await.status, 403);
    assert_eq!(alice.get(&format!("{API}/experiments/get-by-name?experiment_name=team-b%2Fx")).await.status, 404);
    // An experiment called `1` is not experiment 1.
    assert_eq!((reads(&gate, "bob", 1).await, reads(&gate, "bob", 3).await), (403, 200));
    let record = gate.record(&told).await;
    assert!(record["because"].as_str().unwrap().contains("holds READ on experiment_name team-a/*"), "{record}");
}

#[tokio::test]
async fn whoever_no_grant_on_names_speaks_to_pays_nothing() {
    let (gate, _) = gate(&["team-a/x"]).await;
    gate.grant(ALICE, "experiment_name", "team-a/*", "READ").await;
    gate.grant(BOB, "experiment", "1", "READ").await;
    for _ in 0..3 {
        assert_eq!(gate.bearer("bob").get(&format!("{API}/runs/get?run_id={}", run(1))).await.status, 200);
    }
    assert_eq!(look_ups(&gate), 0);
    assert_eq!(gate.bearer("alice").get(&format!("{API}/runs/get?run_id={}", run(1))).await.status, 200);
    assert_eq!(look_ups(&gate), 1);
}

#[tokio::test]
async fn a_deny_by_name_beats_what_is_held_by_id_and_no_name_rescues_a_denied_id() {
    let (gate, _) = gate(&["team-a/secret", "team-a/x"]).await;
    gate.grant(ALICE, "experiment", "*", "MANAGE").await;
    gate.grant(ALICE, "experiment", "1", "MANAGE").await;
    gate.grant(ALICE, "experiment_name", "*/secret", "DENY").await;
    gate.grant(BOB, "experiment_name", "team-?/*", "MANAGE").await;
    gate.grant(BOB, "experiment", "2", "DENY").await;
    assert_eq!((reads(&gate, "alice", 1).await, reads(&gate, "alice", 2).await), (403, 200));
    assert_eq!((reads(&gate, "bob", 1).await, reads(&gate, "bob", 2).await), (200, 403));
    // Nor is one made or renamed into what is denied.
    gate.grant(ALICE, "workspace", "default", "USE").await;
    let make = |name: &str| json!({"name": name});
    let create = format!("{API}/experiments/create");
    assert_eq!(gate.bearer("alice").post(&create, &make("mine/secret")).await.status, 403);
    assert_eq!(gate.bearer("alice").post(&create, &make("mine/open")).await.status, 200);
    assert_eq!(rename(&gate, "alice", 2, "mine/secret").await.status, 403);
}

#[tokio::test]
async fn where_a_name_cannot_be_looked_up_nothing_is_let_through() {
    let (gate, mlflow) = gate(&["team-a/x"]).await;
    gate.grant(ALICE, "experiment_name", "team-a/*", "READ").await;
    mlflow.down.store(true, Ordering::Relaxed);
    let told = gate.bearer("alice").get(&format!("{API}/runs/get?run_id={}", run(1))).await;
    assert_eq!((told.status, gate.record(&told).await["reason"].as_str().unwrap()), (503, "look-up-failed"));
    let search = json!({"experiment_ids": ["1"], "max_results": 5});
    assert_eq!(gate.bearer("alice").post(&format!("{API}/runs/search"), &search).await.status, 503);
}

#[tokio::test]
async fn whoever_may_edit_gains_nothing_and_gives_nothing_by_a_rename() {
    let (gate, mlflow) = gate(&["draft", "other"]).await;
    gate.grant(ALICE, "experiment", "1", "EDIT").await;
    gate.grant(ALICE, "experiment_name", "mine/*", "MANAGE").await;
    gate.grant("group:everybody", "experiment_name", "public/*", "READ").await;
    // To herself, and to everybody.
    for name in ["mine/x", "public/x"] {
        let told = rename(&gate, "alice", 1, name).await;
        assert_eq!((told.status, told.error_code().as_str()), (403, "PERMISSION_DENIED"), "{name}");
    }
    assert_eq!(mlflow.named.lock().unwrap()[&1], "draft");
    assert_eq!(reads(&gate, "bob", 1).await, 403);
    // What changes for nobody is MLflow's rule: EDIT.
    assert_eq!(rename(&gate, "alice", 1, "better").await.status, 200);
    assert_eq!(rename(&gate, "bob", 2, "better still").await.status, 403);
    // Without a new name nothing is renamed.
    let update = json!({"experiment_id": "1"});
    assert_eq!(gate.bearer("alice").post(&format!("{API}/experiments/update"), &update).await.status, 200);
}

#[tokio::test]
async fn who_manages_an_experiment_for_good_may_put_it_under_a_name_and_everybody_sees_it_at_once() {
    let (gate, _) = gate(&["draft"]).await;
    gate.grant(ALICE, "experiment", "1", "MANAGE").await;
    gate.grant(BOB, "experiment_name", "team-a/*", "READ").await;
    assert_eq!(reads(&gate, "bob", 1).await, 403);
    assert_eq!(rename(&gate, "alice", 1, "team-a/x").await.status, 200);
    assert_eq!(reads(&gate, "bob", 1).await, 200, "the old name is forgotten at once");
    assert_eq!(rename(&gate, "alice", 1, "team-a/y").await.status, 200);
    assert_eq!(reads(&gate, "bob", 1).await, 200);
    assert_eq!(rename(&gate, "alice", 1, "alone").await.status, 200);
    assert_eq!(reads(&gate, "bob", 1).await, 403);
}

#[tokio::test]
async fn who_manages_it_for_a_while_gives_it_no_name_that_gives_for_longer() {
    let (gate, _) = gate(&["draft"]).await;
    let give = json!({
        "username": "alice@example.com", "resource_type": "experiment", "resource_id": "1", "permission": "MANAGE",
        "expires_at": "2099-01-01T00:00:00Z",
    });
    let told = gate.bearer("root").post("/api/3.0/mlflow/users/permissions/grant", &give).await;
    assert_eq!(told.status, 200, "{}", told.text());
    gate.grant(ALICE, "experiment_name", "mine/*", "MANAGE").await;
    let told = rename(&gate, "alice", 1, "mine/x").await;
    assert_eq!(told.status, 403, "{}", told.text());
    assert_eq!(rename(&gate, "alice", 1, "mein").await.status, 200);
}

#[tokio::test]
async fn nobody_but_who_gives_by_pattern_leaves_anybodys_deny_behind() {
    let (gate, _) = gate(&["secret/x"]).await;
    gate.grant(ALICE, "experiment", "1", "MANAGE").await;
    gate.grant(BOB, "experiment", "*", "READ").await;
    gate.grant(BOB, "experiment_name", "secret/*", "DENY").await;
    assert_eq!(reads(&gate, "bob", 1).await, 403);
    assert_eq!(rename(&gate, "alice", 1, "open/x").await.status, 403);
    assert_eq!(rename(&gate, "alice", 1, "secret/y").await.status, 200, "the same DENY speaks of it");
    assert_eq!(rename(&gate, "root", 1, "open/x").await.status, 200);
    assert_eq!(reads(&gate, "bob", 1).await, 200);
}

#[tokio::test]
async fn lists_hold_what_names_allow_on_exact_pages_and_no_row_is_looked_up() {
    let names: Vec<String> = (1..=60).map(|n| format!("team-{}/{n}", n % 3)).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let (gate, _) = gate(&names).await;
    gate.grant(ALICE, "experiment_name", "team-1/*", "READ").await;
    gate.grant(ALICE, "experiment_name", "team-?/4?", "DENY").await;
    gate.grant(ALICE, "experiment", "3", "READ").await;
    gate.grant(ALICE, "experiment", "42", "READ").await;
    let visible: Vec<u32> = (1..=60).filter(|n| (*n == 3 || n % 3 == 1) && !(40..50).contains(n)).collect();
    let (mut seen, mut token) = (Vec::new(), String::new());
    loop {
        let target = format!("{API}/experiments/search?max_results=7&page_token={token}");
        let told = gate.bearer("alice").get(&target).await;
        assert_eq!(told.status, 200, "{}", told.text());
        let json = told.json();
        let rows: Vec<u32> = json["experiments"]
            .as_array()
            .unwrap()
            .iter()
            .map(|row| row["experiment_id"].as_str().unwrap().parse().unwrap())
            .collect();
        assert_eq!(rows.len(), 7.min(visible.len() - seen.len()));
        seen.extend(rows);
        match json["next_page_token"].as_str() {
            Some(next) => token = next.to_owned(),
            None => break,
        }
    }
    assert_eq!(seen, visible);
    assert_eq!(look_ups(&gate), 0);
    // What lies in them is found where they are: hidden ones are cut, and the names asked for at once.
    let ids: Vec<String> = (1..=60).map(|n: u32| n.to_string()).collect();
    let search = json!({"experiment_ids": ids, "max_results": 100});
    let told = gate.bearer("alice").post(&format!("{API}/runs/search"), &search).await;
    let rows: Vec<u32> = told.json()["runs"]
        .as_array()
        .unwrap_or_else(|| panic!("{}", told.text()))
        .iter()
        .map(|row| row["info"]["experiment_id"].as_str().unwrap().parse().unwrap())
        .collect();
    assert_eq!(rows, visible);
    assert_eq!(look_ups(&gate), 0);
}

#[tokio::test]
async fn names_are_given_through_the_api_by_who_gives_by_pattern() {
    let (gate, _) = gate(&["team-a/x", "team-b/x"]).await;
    gate.grant(ALICE, "experiment", "1", "MANAGE").await;
    let give = |kind: &str, pattern: &str, level: &str| json!({"username": "bob@example.com", "resource_type": kind, "resource_id": pattern, "permission": level});
    let path = "/api/3.0/mlflow/users/permissions/grant";
    // Who owns what is called so now does not give on whatever will be.
    for pattern in ["team-a/x", "team-a/*"] {
        let told = gate.bearer("alice").post(path, &give("experiment_name", pattern, "READ")).await;
        assert_eq!(told.status, 403, "{pattern}: {}", told.text());
    }
    for (kind, pattern, says) in [
        ("experiment", "team-a/*", "experiment_name"),
        ("experiment_name", "*", "resource_type='experiment'"),
        ("experiment_name", &"?".repeat(40), "more than 32"),
        ("run", "a*", "wildcard"),
    ] {
        let told = gate.bearer("root").post(path, &give(kind, pattern, "READ")).await;
        assert_eq!(told.status, 400, "{pattern}");
        assert!(told.text().contains(says), "{pattern}: {}", told.text());
    }
    for (kind, pattern, level) in [
        ("experiment_name", "team-?/x", "EDIT"),
        ("experiment_name", "team-b/*", "DENY"),
        ("registered_model", "a?c*", "READ"),
    ] {
        let told = gate.bearer("root").post(path, &give(kind, pattern, level)).await;
        assert_eq!(told.status, 200, "{pattern}: {}", told.text());
    }
    assert_eq!((reads(&gate, "bob", 1).await, reads(&gate, "bob", 2).await), (200, 403));
    let listed = gate.bearer("bob").get("/api/3.0/mlflow/users/current/permissions").await;
    assert!(listed.text().contains(r#""resource_pattern":"team-?/x""#), "{}", listed.text());
    // What somebody else holds on one experiment tells what they hold by its name.
    let level = async |id: u32| {
        let query = format!("username=bob%40example.com&resource_type=experiment&resource_id={id}");
        let told = gate.bearer("root").get(&format!("/api/3.0/mlflow/users/permissions/get?{query}")).await;
        told.json()["permission"].as_str().unwrap_or_else(|| panic!("{}", told.text())).to_owned()
    };
    assert_eq!((level(1).await, level(2).await), ("EDIT".to_owned(), "DENY".to_owned()));
    let told = gate
        .bearer("root")
        .post("/api/3.0/mlflow/users/permissions/revoke", &give("experiment_name", "team-?/x", "EDIT"))
        .await;
    assert_eq!(told.status, 200, "{}", told.text());
    assert_eq!(reads(&gate, "bob", 1).await, 403);
}

#[tokio::test]
async fn whoever_manages_by_name_looks_over_it_decides_on_it_and_is_asked_for_it() {
    let (gate, _) = gate(&["team-a/x", "team-b/x"]).await;
    gate.grant(ALICE, "experiment_name", "team-a/*", "MANAGE").await;
    gate.grant(BOB, "experiment", "1", "READ").await;
    gate.grant(BOB, "experiment", "2", "EDIT").await;
    let (mut alice, mut other) = (person(&gate, "alice").await, person(&gate, "bob").await);
    let bob = gate.bearer("bob");
    // The review, as a page and as a table: what is called so, and nothing else.
    for page in ["/trackgate/review", "/trackgate/review.csv", "/trackgate/review?person=bob%40example.com"] {
        let told = alice.visit(page).await;
        let text = told.text();
        assert_eq!(told.status, 200, "{text}");
        assert!(text.contains("bob@example.com") && text.contains("READ") && !text.contains("EDIT"), "{page}: {text}");
        assert!(!other.visit(page).await.text().contains("READ"), "{page}");
    }
    // Requests for it.
    let (place, user) = (WorkspaceName::default(), UserName::parse("bob@example.com").unwrap());
    for id in ["1", "2"] {
        let wish = Wish {
            workspace: place.clone(),
            kind: Kind::Experiment,
            object: id.into(),
            user: user.clone(),
            permission: Permission::Manage,
            reason: format!("for work on {id}").into(),
        };
        gate.open().house().store.ask(wish).await.unwrap();
    }
    let text = alice.visit("/trackgate/requests").await.text();
    assert!(text.contains("for work on 1") && !text.contains("for work on 2"), "{text}");
    // Whom to ask.
    let tag = |id: u32| json!({"experiment_id": id.to_string(), "key": "a", "value": "b"});
    let delete = async |id: u32| bob.post(&format!("{API}/experiments/delete"), &tag(id)).await.text();
    let (told, other) = (delete(1).await, delete(2).await);
    assert!(told.contains("Ask alice@example.com for it"), "{told}");
    assert!(other.contains("Ask an administrator for it"), "{other}");
}

#[tokio::test]
async fn where_nobody_knows_what_it_is_called_managers_by_name_are_shown_nothing() {
    let (gate, mlflow) = gate(&["team-a/x"]).await;
    gate.grant(ALICE, "experiment_name", "team-a/*", "MANAGE").await;
    gate.grant(BOB, "experiment", "1", "READ").await;
    mlflow.down.store(true, Ordering::Relaxed);
    let mut alice = person(&gate, "alice").await;
    for page in ["/trackgate/review", "/trackgate/review.csv"] {
        let told = alice.visit(page).await;
        assert_eq!(told.status, 502, "{}", told.text());
    }
    // Whoever is refused reads so all the same.
    let tag = json!({"experiment_id": "1", "key": "a", "value": "b"});
    let told = gate.bearer("bob").post(&format!("{API}/experiments/delete"), &tag).await;
    assert!(told.status == 403 && told.text().contains("Ask an administrator"), "{}", told.text());
}

#[tokio::test]
async fn globs_speak_of_models_and_rules_of_new_names() {
    let (gate, _) = gate(&[]).await;
    gate.grant(ALICE, "registered_model", "team-?-*-prod", "READ").await;
    gate.rule(ALICE, "experiment", "team-?/*-test").await;
    let read =
        async |name: &str| gate.bearer("alice").get(&format!("{API}/registered-models/get?name={name}")).await.status;
    assert_eq!(
        (read("team-a-iris-prod").await, read("team-ab-iris-prod").await, read("Team-a-iris-prod").await),
        (200, 403, 403)
    );
    let create = format!("{API}/experiments/create");
    let make = async |name: &str| gate.bearer("alice").post(&create, &json!({"name": name})).await.status;
    assert_eq!(
        (make("team-b/new-test").await, make("team-b/new").await, make("team-bb/new-test").await),
        (200, 403, 403)
    );
}

#[tokio::test]
async fn a_graphql_search_shows_the_runs_of_what_a_name_allows() {
    let (gate, _) = gate(&["team-a/x", "team-b/x"]).await;
    gate.grant(ALICE, "experiment_name", "team-a/*", "READ").await;
    let search = json!({"query": "{ a: mlflowSearchRuns(input: {experimentIds: [\"1\", \"2\"]}) { \
        nextPageToken runs { i: info { runName } } } }"});
    let told = gate.bearer("alice").post("/graphql", &search).await;
    let expected =
        json!({"data": {"a": {"nextPageToken": null, "runs": [{"i": {"runName": run(1)}}]}}, "errors": null});
    assert_eq!(told.json(), expected);
    assert_eq!(gate.bearer("bob").post("/graphql", &search).await.json()["data"]["a"]["runs"], json!([]));
}
