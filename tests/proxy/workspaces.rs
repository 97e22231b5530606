//! Does a grant hold in its own workspace and nowhere else, and does MLflow act where was judged?

use http::Request;
use serde_json::{Value, json};
use trackgate::mlflow::ids::WorkspaceName;

use crate::harness::client::payload;
use crate::harness::gate::{Gate, Told};
use crate::harness::server::{Answer, Server, full};

const RUN: &str = "0123456789abcdef0123456789abcdef";
const HEADER: &str = "x-mlflow-workspace";

/// What the server says of itself.
const ON: &str = r#"{"store_type":"SqlStore","workspaces_enabled":true}"#;

/// A server with the workspaces `default`, `team-a`, `team-b`. The one run lies in experiment 1 of `team-a`.
fn mlflow(target: &str, workspace: &str, info: &'static str) -> Answer {
    let json = match target.split('?').next().unwrap_or_default() {
        "/version" => return full(200, "3.17.2"),
        "/api/3.0/mlflow/server-info" => return full(200, info),
        "/api/2.0/mlflow/runs/get" if workspace != "team-a" => return absent(),
        "/api/2.0/mlflow/runs/get" => json!({"run": {"info": {
            "run_id": RUN, "experiment_id": "1",
            "artifact_uri": format!("mlflow-artifacts:/workspaces/team-a/1/{RUN}/artifacts")}}}),
        "/api/2.0/mlflow/registered-models/get" => {
            let name = target.split_once("name=").map_or("", |(_, name)| name);
            json!({"registered_model": {"name": name}})
        }
        // Of one id, what it is called hangs on where it is asked.
        "/api/2.0/mlflow/experiments/get" => {
            json!({"experiment": {"experiment_id": "9", "name": format!("in-{workspace}")}})
        }
        "/api/2.0/mlflow/experiments/create" => json!({"experiment_id": "5"}),
        "/api/2.0/mlflow/experiments/search" => {
            let rows: Vec<Value> = (1..=4).map(|n| json!({"experiment_id": n.to_string()})).collect();
            json!({"experiments": rows})
        }
        "/api/3.0/mlflow/workspaces" => {
            json!({"workspaces": [{"name": "default"}, {"name": "team-a"}, {"name": "team-b"}]})
        }
        path if path.starts_with("/api/3.0/mlflow/workspaces/") => json!({"workspace": {}}),
        _ => json!({}),
    };
    full(200, json.to_string())
}

fn absent() -> Answer {
    full(404, json!({"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "no such run"}).to_string())
}

fn server(info: &'static str) -> Server {
    Server::scripted(move |request| {
        let target = request.uri().to_string();
        let workspace = request.headers().get(HEADER).map(|value| value.to_str().unwrap().to_owned());
        async move { mlflow(&target, &workspace.unwrap_or_default(), info) }
    })
}

async fn gate() -> Gate {
    Gate::with(server(ON), "[access]\nadmins = [\"root@example.com\"]", |config| config.clean.workspaces = true).await
}

/// Asks in a workspace.
async fn ask(gate: &Gate, who: &str, workspace: &[&str], method: &str, target: &str, body: &str) -> Told {
    let mut request = Request::builder().method(method).uri(target);
    if !body.is_empty() {
        request = request.header("content-type", "application/json");
    }
    for name in workspace {
        request = request.header(HEADER, *name);
    }
    gate.bearer(who).send(request.body(payload(body.to_owned())).unwrap()).await
}

async fn get(gate: &Gate, who: &str, workspace: &str, target: &str) -> Told {
    ask(gate, who, &[workspace], "GET", target, "").await
}

/// The workspaces that MLflow was asked in, since the beginning.
fn named(gate: &Gate, what: &str) -> Vec<Option<String>> {
    let seen = gate.upstream.seen();
    let those = seen.iter().filter(|seen| seen.target.contains(what));
    those
        .map(|seen| {
            let values: Vec<_> = seen.headers.get_all(HEADER).iter().collect();
            assert!(values.len() < 2, "two workspaces: {values:?}");
            values.first().map(|value| value.to_str().unwrap().to_owned())
        })
        .collect()
}

#[tokio::test]
async fn a_grant_on_a_name_holds_in_its_workspace_and_for_what_is_called_so_there() {
    let gate = gate().await;
    gate.grant_in("team-a", "user:alice@example.com", "experiment_name", "in-team-a", "READ").await;
    gate.grant_in("team-b", "user:alice@example.com", "experiment_name", "in-team-a", "READ").await;
    gate.grant_in("team-b", "user:bob@example.com", "experiment_name", "in-*", "READ").await;
    let target = "/api/2.0/mlflow/experiments/get?experiment_id=9";
    let reads = async |who: &str, workspace: &str| get(&gate, who, workspace, target).await.status;
    // In either order: what was learnt of it in one workspace is not believed in another.
    for workspace in ["team-a", "team-b", "team-a"] {
        let expected = if workspace == "team-a" { 200 } else { 403 };
        assert_eq!(reads("alice", workspace).await, expected, "{workspace}");
    }
    assert_eq!((reads("bob", "team-b").await, reads("bob", "default").await), (200, 403));
    assert_ne!(reads("bob", "team-a").await, 200);
    let asked = named(&gate, "experiments/get");
    assert!(asked.iter().all(|name| name.as_deref().is_some_and(|name| name.starts_with("team-"))), "{asked:?}");
}

#[tokio::test]
async fn the_workspace_that_was_judged_is_the_one_that_mlflow_acts_in() {
    let gate = gate().await;
    gate.grant_in("team-a", "user:alice@example.com", "experiment", "1", "MANAGE").await;
    gate.grant("user:alice@example.com", "experiment", "1", "READ").await;
    let told = get(&gate, "alice", "team-a", &format!("/api/2.0/mlflow/runs/get?run_id={RUN}")).await;
    assert_eq!(told.status, 200, "{}", told.text());
    assert_eq!(gate.record(&told).await["workspace"], "team-a");
    let body = format!(r#"{{"run_id":"{RUN}","key":"k","value":1.0,"timestamp":1}}"#);
    let told = ask(&gate, "alice", &["team-a"], "POST", "/api/2.0/mlflow/runs/log-metric", &body).await;
    assert_eq!(told.status, 200, "{}", told.text());
    let told = get(&gate, "alice", "team-a", "/api/2.0/mlflow/experiments/search?max_results=2").await;
    assert_eq!(told.json()["experiments"], json!([{"experiment_id": "1"}]));
    let query = r#"{"operationName":"MlflowGetExperimentQuery","variables":{"input":{"experimentId":"1"}},"query":"query MlflowGetExperimentQuery($input: MlflowGetExperimentInput!) { mlflowGetExperiment(input: $input) { experiment { name } } }"}"#;
    let told = ask(&gate, "alice", &["team-a"], "POST", "/graphql", query).await;
    assert_eq!(told.status, 200, "{}", told.text());
    // The look-ups too: the run's own, and what the server is.
    for what in ["runs/get", "log-metric", "experiments/search", "graphql"] {
        let named = named(&gate, what);
        assert!(!named.is_empty() && named.iter().all(|name| name.as_deref() == Some("team-a")), "{what}: {named:?}");
    }
    // Named or not, the default one is named to MLflow.
    for workspace in [&[][..], &[""], &["default"]] {
        let target = "/api/2.0/mlflow/experiments/get?experiment_id=1";
        let told = ask(&gate, "alice", workspace, "GET", target, "").await;
        assert_eq!(told.status, 200, "{workspace:?} {}", told.text());
        assert_eq!(gate.record(&told).await["workspace"], "default");
    }
    assert_eq!(named(&gate, "experiments/get?"), vec![Some("default".to_owned()); 3]);
}

#[tokio::test]
async fn what_is_called_alike_in_two_workspaces_is_two_things() {
    let gate = gate().await;
    for (workspace, name, permission) in [("team-a", "iris", "MANAGE"), ("team-b", "rose", "READ")] {
        gate.grant_in(workspace, "user:alice@example.com", "registered_model", name, permission).await;
    }
    gate.grant_in("team-a", "user:alice@example.com", "experiment", "*", "MANAGE").await;
    let model = "/api/2.0/mlflow/registered-models/get?name=iris";
    assert_eq!(get(&gate, "alice", "team-a", model).await.status, 200);
    let denied = get(&gate, "alice", "team-b", model).await;
    assert_eq!((denied.status, denied.error_code().as_str()), (403, "PERMISSION_DENIED"));
    let denied = get(&gate, "alice", "default", model).await;
    assert_eq!(denied.status, 403);
    // A run that was looked up in one workspace is not known in another.
    let run = format!("/api/2.0/mlflow/runs/get?run_id={RUN}");
    assert_eq!(get(&gate, "alice", "team-a", &run).await.status, 200);
    gate.grant_in("team-b", "user:alice@example.com", "experiment", "*", "MANAGE").await;
    let absent = get(&gate, "alice", "team-b", &run).await;
    assert_eq!(absent.status, 403, "{}", absent.text());
    assert_eq!(gate.record(&absent).await["reason"], "no-such-object");
}

#[tokio::test]
async fn what_is_made_renamed_and_deleted_in_one_workspace_touches_no_other() {
    let gate = gate().await;
    gate.grant_in("team-a", "user:alice@example.com", "workspace", "*", "USE").await;
    gate.grant_in("team-b", "user:bob@example.com", "experiment", "5", "READ").await;
    for workspace in ["team-a", "team-b", "default"] {
        gate.grant_in(workspace, "user:carol@example.com", "registered_model", "iris", "MANAGE").await;
    }
    let made = ask(&gate, "alice", &["team-a"], "POST", "/api/2.0/mlflow/experiments/create", r#"{"name":"x"}"#).await;
    assert_eq!(made.status, 200, "{}", made.text());
    let target = "/api/2.0/mlflow/experiments/get?experiment_id=5";
    assert_eq!(get(&gate, "alice", "team-a", target).await.status, 200);
    assert_eq!(get(&gate, "alice", "team-b", target).await.status, 404);
    assert_eq!(get(&gate, "alice", "default", target).await.status, 403);
    assert_eq!(get(&gate, "bob", "team-b", target).await.status, 200, "bob's grant is on another experiment 5");

    let rename = "/api/2.0/mlflow/registered-models/rename";
    let told = ask(&gate, "carol", &["team-a"], "POST", rename, r#"{"name":"iris","new_name":"rose"}"#).await;
    assert_eq!(told.status, 200, "{}", told.text());
    let delete = "/api/2.0/mlflow/registered-models/delete";
    let told = ask(&gate, "carol", &["team-b"], "DELETE", delete, r#"{"name":"iris"}"#).await;
    assert_eq!(told.status, 200, "{}", told.text());
    let held: Vec<String> = gate
        .open()
        .house()
        .store
        .grants()
        .iter()
        .filter(|record| record.grant.to_string().contains("carol"))
        .map(|record| format!("{} {}", record.workspace, record.grant.pattern))
        .collect();
    assert_eq!(held, ["default iris", "team-a rose"]);
}

#[tokio::test]
async fn two_workspaces_or_an_odd_name_are_refused_before_anything_is_asked() {
    let gate = gate().await;
    gate.grant_in("team-a", "user:alice@example.com", "experiment", "*", "READ").await;
    let target = "/api/2.0/mlflow/experiments/get?experiment_id=1";
    for odd in [
        &["team-a", "team-b"][..],
        &["team-a", "team-a"],
        &["", "team-a"],
        &["Team-A"],
        &["team_a"],
        &["team-a,team-b"],
        &["team a"],
        &["../team-a"],
        &["team-a/"],
        &["-a"],
        &["a"],
        &["*"],
        &["api"],
        &["workspaces"],
    ] {
        let told = ask(&gate, "alice", odd, "GET", target, "").await;
        assert_eq!(told.status, 400, "{odd:?} {}", told.text());
        assert_eq!(gate.record(&told).await["reason"], "bad-workspace", "{odd:?}");
    }
    let mut nbsp = Request::get(target).body(payload("")).unwrap();
    nbsp.headers_mut().insert(HEADER, http::HeaderValue::from_bytes(b"team-a\xa0").unwrap());
    assert_eq!(gate.bearer("alice").send(nbsp).await.status, 400);
    // Nor can it be taken away on the way.
    let mut vanishing = Request::get(target).header(HEADER, "team-a").body(payload("")).unwrap();
    vanishing.headers_mut().insert("connection", http::HeaderValue::from_static("X-MLflow-Workspace"));
    assert_eq!(gate.bearer("alice").send(vanishing).await.status, 400);
    assert!(gate.upstream.seen().is_empty(), "MLflow was asked");
}

#[tokio::test]
async fn a_workspace_in_which_one_holds_nothing_looks_like_one_that_does_not_exist() {
    let gate = gate().await;
    gate.grant_in("team-a", "user:alice@example.com", "experiment", "1", "READ").await;
    gate.grant_in("team-b", "user:alice@example.com", "experiment", "1", "DENY").await;
    gate.grant_in("team-b", "user:bob@example.com", "experiment", "1", "READ").await;
    let calls = [
        ("GET", "/api/2.0/mlflow/experiments/get?experiment_id=1", ""),
        ("GET", "/api/2.0/mlflow/experiments/search?max_results=5", ""),
        ("POST", "/api/2.0/mlflow/experiments/create", r#"{"name":"x"}"#),
        ("GET", "/api/3.0/mlflow/workspaces", ""),
        ("GET", "/version", ""),
    ];
    for (method, target, body) in calls {
        for workspace in ["team-b", "team-z"] {
            let told = ask(&gate, "alice", &[workspace], method, target, body).await;
            assert_eq!((told.status, told.error_code().as_str()), (404, "RESOURCE_DOES_NOT_EXIST"), "{target}");
            assert_eq!(told.json()["message"], format!("Workspace '{workspace}' not found"));
            assert_eq!(gate.record(&told).await["reason"], "no-such-workspace");
        }
    }
    assert!(gate.upstream.seen().is_empty(), "MLflow was asked");
    // What tells of the server is told whatever is named, as MLflow does.
    assert_eq!(get(&gate, "alice", "team-z", "/api/3.0/mlflow/server-info").await.status, 200);
    assert_eq!(get(&gate, "root", "team-b", calls[0].1).await.status, 200, "administrators belong everywhere");
}

#[tokio::test]
async fn one_sees_the_workspaces_in_which_one_holds_something() {
    let gate = gate().await;
    gate.grant_in("team-a", "group:everybody", "registered_model", "iris", "READ").await;
    gate.grant_in("team-b", "user:bob@example.com", "experiment", "7", "READ").await;
    gate.grant_in("default", "user:bob@example.com", "experiment", "7", "READ").await;
    let list = async |who: &str| {
        let told = ask(&gate, who, &[""], "GET", "/api/3.0/mlflow/workspaces", "").await;
        assert_eq!(told.status, 200, "{}", told.text());
        let rows = told.json()["workspaces"].as_array().cloned().unwrap_or_default();
        rows.iter().map(|row| row["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(list("alice").await, ["team-a"]);
    assert_eq!(list("bob").await, ["default", "team-a", "team-b"]);
    assert_eq!(list("root").await, ["default", "team-a", "team-b"]);
    let one = async |who: &str, name: &str| {
        ask(&gate, who, &[], "GET", &format!("/api/3.0/mlflow/workspaces/{name}"), "").await
    };
    assert_eq!(one("alice", "team-a").await.status, 200);
    for hidden in ["team-b", "team-z"] {
        let told = one("alice", hidden).await;
        assert_eq!((told.status, told.error_code().as_str()), (404, "RESOURCE_DOES_NOT_EXIST"), "{}", told.text());
        assert_eq!(told.json()["message"], format!("Workspace '{hidden}' not found"));
    }
    assert_eq!(one("alice", "Team-A").await.status, 400);
}

#[tokio::test]
async fn administrators_alone_make_and_end_workspaces_and_grants_end_with_them() {
    let gate = gate().await;
    gate.grant_in("team-a", "user:alice@example.com", "workspace", "*", "MANAGE").await;
    gate.grant_in("team-a", "user:alice@example.com", "experiment", "1", "DENY").await;
    gate.grant_in("team-b", "user:alice@example.com", "experiment", "1", "READ").await;
    let calls = [
        ("POST", "/api/3.0/mlflow/workspaces", r#"{"name":"team-c"}"#),
        ("PATCH", "/api/3.0/mlflow/workspaces/team-a", r#"{"description":"x"}"#),
        ("DELETE", "/api/3.0/mlflow/workspaces/team-a?mode=SET_DEFAULT", ""),
    ];
    for (method, target, body) in calls {
        let told = ask(&gate, "alice", &["team-a"], method, target, body).await;
        assert_eq!((told.status, told.error_code().as_str()), (403, "PERMISSION_DENIED"), "{method} {target}");
    }
    for (method, target, body) in calls {
        let told = ask(&gate, "root", &[], method, target, body).await;
        assert_eq!(told.status, 200, "{method} {target} {}", told.text());
    }
    let left: Vec<_> = gate.open().house().store.grants().iter().map(|record| record.workspace.to_string()).collect();
    assert_eq!(left, ["team-b"], "grants outlived their workspace");
}

#[tokio::test]
async fn a_page_token_of_one_workspace_is_none_in_another() {
    let gate = gate().await;
    for workspace in ["team-a", "team-b"] {
        for id in ["1", "2", "3"] {
            gate.grant_in(workspace, "user:alice@example.com", "experiment", id, "READ").await;
        }
        gate.grant_in(workspace, "user:alice@example.com", "experiment", "4", "DENY").await;
    }
    let search = "/api/2.0/mlflow/experiments/search?max_results=1";
    let first = get(&gate, "alice", "team-a", search).await;
    let token = first.json()["next_page_token"].as_str().unwrap_or_else(|| panic!("{}", first.text())).to_owned();
    let next = format!("{search}&page_token={token}");
    assert_eq!(get(&gate, "alice", "team-a", &next).await.status, 200);
    let told = get(&gate, "alice", "team-b", &next).await;
    assert_eq!(told.status, 400, "{}", told.text());
    assert_eq!(gate.record(&told).await["reason"], "bad-page-token");
}

#[tokio::test]
async fn an_artifact_path_stays_in_its_workspace() {
    let gate = gate().await;
    for workspace in ["team-a", "team-b"] {
        gate.grant_in(workspace, "user:alice@example.com", "experiment", "1", "MANAGE").await;
    }
    let target = |path: &str| format!("/api/2.0/mlflow-artifacts/artifacts/{path}");
    for path in [format!("1/{RUN}/artifacts/a.txt"), format!("workspaces/team-a/1/{RUN}/artifacts/a.txt")] {
        let told = get(&gate, "alice", "team-a", &target(&path)).await;
        assert_eq!(told.status, 200, "{path} {}", told.text());
    }
    for path in [
        format!("workspaces/team-b/1/{RUN}/artifacts/a.txt"),
        format!("workspaces/default/1/{RUN}/artifacts/a.txt"),
        format!("workspaces/1/{RUN}/artifacts/a.txt"),
    ] {
        let told = get(&gate, "alice", "team-a", &target(&path)).await;
        assert_eq!(told.status, 403, "{path} {}", told.text());
    }
    let told = get(&gate, "alice", "team-b", &target(&format!("workspaces/team-a/1/{RUN}/artifacts/a.txt"))).await;
    assert_eq!(told.status, 403, "{}", told.text());
    assert!(named(&gate, "team-b").is_empty(), "a path into another workspace was passed on");
}

/// A server that does not know of workspaces ignores their names: what is judged in one would be done in the only one.
#[tokio::test]
async fn nothing_passes_to_a_workspace_of_a_server_that_has_none() {
    for info in [r#"{"store_type":"SqlStore","workspaces_enabled":false}"#, r#"{"store_type":"SqlStore"}"#, "oops"] {
        let gate = Gate::with(server(info), "", |config| config.clean.workspaces = true).await;
        gate.grant_in("team-a", "user:alice@example.com", "experiment", "*", "MANAGE").await;
        gate.grant("user:alice@example.com", "experiment", "1", "READ").await;
        let target = "/api/2.0/mlflow/experiments/get?experiment_id=1";
        let told = get(&gate, "alice", "team-a", target).await;
        assert_eq!(told.status, 503, "{}", told.text());
        assert!(named(&gate, "experiments").is_empty(), "it was passed on");
        assert_eq!(get(&gate, "alice", "default", target).await.status, 200);
    }
}

#[tokio::test]
async fn where_workspaces_are_off_nobody_hears_of_them() {
    let gate = Gate::with(server(ON), "[access]\nadmins = [\"root@example.com\"]", |_| {}).await;
    gate.grant_in("team-a", "user:alice@example.com", "experiment", "2", "READ").await;
    gate.grant("user:alice@example.com", "experiment", "1", "READ").await;
    let get_one = |id: u8| format!("/api/2.0/mlflow/experiments/get?experiment_id={id}");
    for workspace in [&["team-a"][..], &[], &["A b", "c"]] {
        let told = ask(&gate, "alice", workspace, "GET", &get_one(1), "").await;
        assert_eq!(told.status, 200, "{}", told.text());
        assert_eq!(gate.record(&told).await["workspace"], Value::Null);
        assert_eq!(ask(&gate, "alice", workspace, "GET", &get_one(2), "").await.status, 403);
    }
    assert_eq!(named(&gate, "experiments/get"), vec![None; 3]);
    for who in ["alice", "root"] {
        for (method, target) in [
            ("GET", "/api/3.0/mlflow/workspaces"),
            ("GET", "/ajax-api/3.0/mlflow/workspaces/default"),
            ("DELETE", "/api/3.0/mlflow/workspaces/team-a"),
        ] {
            let told = ask(&gate, who, &[], method, target, "").await;
            assert_eq!((told.status, told.error_code().as_str()), (404, "ENDPOINT_NOT_FOUND"), "{}", told.text());
        }
    }
    assert!(named(&gate, "workspaces").is_empty());
    assert!(WorkspaceName::default().is_default());
}

/// What the server says of itself, on the ways by which clients and pages ask.
const INFO: [&str; 3] = ["/api/3.0/mlflow/server-info", "/ajax-api/3.0/mlflow/server-info", "/server-info"];

/// A gate before a server that answers this to each of them.
async fn told_by(info: &'static str, more: &str, workspaces: bool) -> Gate {
    let server = Server::scripted(move |request| {
        // A HEAD brings nothing that could be looked over.
        let body = if request.method() == "HEAD" { "" } else { info };
        async move { full(200, body) }
    });
    Gate::with(server, more, |config| config.clean.workspaces = workspaces).await
}

#[tokio::test]
async fn where_workspaces_are_off_nobody_hears_that_the_server_has_them() {
    let info = r#"{"store_type":"SqlStore","workspaces_enabled":true,"multipart_uploads_enabled":true,"multipart_downloads_enabled":true,"trace_archival_enabled":true}"#;
    let without = r#"{"store_type":"SqlStore","workspaces_enabled":false,"multipart_uploads_enabled":false,"multipart_downloads_enabled":false,"trace_archival_enabled":true}"#;
    let gate = told_by(info, "[access]\nadmins = [\"root@example.com\"]", false).await;
    for who in ["alice", "root"] {
        for target in INFO {
            let told = gate.bearer(who).get(target).await;
            assert_eq!((told.status, &*told.text()), (200, without), "{who} {target}");
            let head = ask(&gate, who, &[], "HEAD", target, "").await;
            assert_eq!((head.status, head.body.len()), (200, 0), "{who} {target}");
            assert_eq!(head.header("content-length"), Some(&*without.len().to_string()), "{who} {target}");
            assert_eq!(ask(&gate, who, &["team-a"], "GET", target, "").await.text(), without, "{who} {target}");
        }
    }
    assert!(gate.upstream.seen().iter().all(|seen| !seen.headers.contains_key(HEADER)), "the header is dropped");
    let gate = told_by(info, "[access]\npresigned_artifacts = true", true).await;
    for target in INFO {
        assert_eq!(gate.bearer("alice").get(target).await.text(), info, "with the settings it is passed on");
    }
}

#[tokio::test]
async fn what_the_server_says_of_itself_never_leaves_unread() {
    for info in
        ["", "<html>", r#"{"workspaces_enabled":true"#, r#"{"workspaces_enabled":false,"workspaces_enabled":true}"#]
    {
        let gate = told_by(info, "", false).await;
        for target in INFO {
            for method in ["GET", "HEAD"] {
                let told = ask(&gate, "alice", &[], method, target, "").await;
                assert_eq!(told.status, 502, "{method} {target}: {}", told.text());
                assert_eq!(gate.record(&told).await["reason"], "answer-unreadable");
            }
        }
    }
}
