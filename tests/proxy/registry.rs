//! Models and prompts share one registry, and each is granted by its own kind. What one made, settings that open more,
//! and what somebody reads who is refused.

use serde_json::{Value, json};

use crate::harness::gate::{Gate, Told};
use crate::harness::server::{Answer, Server, full};

const RUN: &str = "0123456789abcdef0123456789abcdef";
const OTHERS: &str = "fedcba9876543210fedcba9876543210";
const MODEL: &str = "m-0123456789abcdef0123456789abcdef";
const MODELS: &str = "/api/2.0/mlflow/registered-models";
const VERSIONS: &str = "/api/2.0/mlflow/model-versions";

fn is_prompt() -> Value {
    json!([{"key": "mlflow.prompt.is_prompt", "value": "true"}])
}

/// A version that tells of a run and of a logged model in every member that can.
fn version() -> Value {
    json!({"name": "iris", "version": "1", "run_id": RUN, "run_link": format!("https://h/#/runs/{RUN}"),
        "source": format!("runs:/{RUN}/model"), "model_id": MODEL, "model_params": [{"name": "depth", "value": "3"}],
        "model_metrics": [{"key": "loss", "value": 0.5, "run_id": RUN, "model_id": MODEL}]})
}

/// `iris` is a model, `hello` a prompt, each with one version; every run but [`OTHERS`] is Alice's.
fn mlflow(target: &str) -> Answer {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let name = query.split('&').find_map(|pair| pair.strip_prefix("name=")).unwrap_or_default();
    let model = json!({"name": "iris", "tags": [{"key": "a", "value": "b"}]});
    let prompt = json!({"name": "hello", "tags": is_prompt()});
    let json = match path.rsplit_once("/mlflow/").map_or(path, |(_, rest)| rest) {
        "registered-models/get" => match name {
            "iris" => json!({"registered_model": model}),
            "hello" => json!({"registered_model": prompt}),
            _ => {
                let error = json!({"error_code": "RESOURCE_DOES_NOT_EXIST",
                    "message": format!("Registered Model with name={name} not found")});
                return full(404, error.to_string());
            }
        },
        "registered-models/search" => json!({"registered_models": [model, prompt]}),
        "model-versions/search" => json!({"model_versions": [
            {"name": "iris", "version": "1"}, {"name": "hello", "version": "1", "tags": is_prompt()}]}),
        "model-versions/get" => json!({"model_version": version()}),
        "model-versions/get-download-uri" => json!({"artifact_uri": version()["source"]}),
        "registered-models/get-latest-versions" => json!({"model_versions": [version()]}),
        "registered-models/create" => json!({"registered_model": {"name": "new", "tags": is_prompt()}}),
        "experiments/create" => json!({"experiment_id": "77"}),
        "runs/get" => {
            let id = query.rsplit('=').next().unwrap_or_default();
            let user = if id == OTHERS { "bob@example.com" } else { "alice@example.com" };
            let place = format!("s3://bucket/1/{id}/artifacts");
            json!({"run": {"info": {"run_id": id, "experiment_id": "1", "user_id": user, "artifact_uri": place}}})
        }
        rest if rest.starts_with("logged-models/m-") => json!({"model": {"info": {
            "model_id": MODEL, "experiment_id": "1", "artifact_uri": "s3://bucket/1/models"}}}),
        _ => json!({}),
    };
    full(200, json.to_string())
}

async fn gate(more: &str) -> Gate {
    let server = Server::scripted(|request| {
        let target = request.uri().to_string();
        async move { mlflow(&target) }
    });
    Gate::with(server, more, |_| {}).await
}

fn names(told: &Told, member: &str) -> Vec<String> {
    let list = told.json()[member].as_array().cloned().unwrap_or_default();
    list.iter().map(|row| row["name"].as_str().unwrap_or_default().to_owned()).collect()
}

fn message(told: &Told) -> String {
    let text = told.json()["message"].as_str().unwrap_or_default().to_owned();
    text.split(" (request").next().unwrap_or_default().to_owned()
}

/// Calls that write to a name: method, path, the body without the name.
const WRITES: &[(&str, &str, &str)] = &[
    ("PATCH", "registered-models/update", r#""description":"x""#),
    ("POST", "registered-models/set-tag", r#""key":"a","value":"b""#),
    ("DELETE", "registered-models/delete-tag", r#""key":"a""#),
    ("POST", "registered-models/alias", r#""alias":"a","version":"1""#),
    ("DELETE", "registered-models/alias", r#""alias":"a""#),
    ("POST", "registered-models/rename", r#""new_name":"other""#),
    ("DELETE", "registered-models/delete", r#""x":1"#),
    ("PATCH", "model-versions/update", r#""version":"1""#),
    ("POST", "model-versions/set-tag", r#""version":"1","key":"a","value":"b""#),
    ("DELETE", "model-versions/delete-tag", r#""version":"1","key":"a""#),
    ("POST", "model-versions/transition-stage", r#""version":"1","stage":"x""#),
    ("DELETE", "model-versions/delete", r#""version":"1""#),
];

/// Calls that read a name.
const READS: &[&str] = &[
    "registered-models/get?name=",
    "registered-models/get-latest-versions?name=",
    "registered-models/alias?alias=a&name=",
    "model-versions/get?version=1&name=",
    "model-versions/get-download-uri?version=1&name=",
];

#[tokio::test]
async fn every_call_judges_a_name_as_what_it_is() {
    let gate = gate("").await;
    gate.grant("user:pam@example.com", "prompt", "*", "MANAGE").await;
    gate.grant("user:moe@example.com", "registered_model", "*", "MANAGE").await;
    let (pam, moe) = (gate.bearer("pam"), gate.bearer("moe"));
    for (actor, own, other) in [(&pam, "hello", "iris"), (&moe, "iris", "hello")] {
        for path in READS {
            let get = async |name: &str| actor.get(&format!("/ajax-api/2.0/mlflow/{path}{name}")).await;
            assert_eq!(get(own).await.status, 200, "{path} {own}");
            let hidden = get(other).await;
            assert_eq!((hidden.status, hidden.error_code().as_str()), (404, "RESOURCE_DOES_NOT_EXIST"), "{path}");
            let absent = get("free").await;
            assert_eq!(absent.status, 404, "{path}");
            assert_eq!(hidden.text().replace(other, "free"), absent.text(), "{path}: the two may not differ");
        }
        // The last ones end the grants that lie on the name itself; these are on every name.
        for (method, path, body) in WRITES {
            let send = async |name: &str| {
                let body = format!(r#"{{"name":"{name}",{body}}}"#);
                actor.json(method, &format!("/api/2.0/mlflow/{path}"), body).await
            };
            assert_eq!(send(own).await.status, 200, "{path} {own}");
            let hidden = send(other).await;
            assert_eq!((hidden.status, hidden.error_code().as_str()), (404, "RESOURCE_DOES_NOT_EXIST"), "{path}");
            assert_eq!(hidden.text().replace(other, "free"), send("free").await.text(), "{path}");
        }
    }
}

#[tokio::test]
async fn nobody_is_looked_up_where_the_answer_cannot_matter() {
    let gate = gate("[access]\nadmins = [\"root@example.com\"]").await;
    gate.grant("user:both@example.com", "prompt", "*", "READ").await;
    gate.grant("user:both@example.com", "registered_model", "*", "READ").await;
    for (name, status) in [("root", 200), ("both", 200), ("none", 403)] {
        let told = gate.bearer(name).get(&format!("{VERSIONS}/get?name=hello&version=1")).await;
        assert_eq!(told.status, status, "{name}");
    }
    let asked = gate.upstream.seen().iter().filter(|seen| seen.target.contains("registered-models/get")).count();
    assert_eq!(asked, 0);
}

#[tokio::test]
async fn lists_show_each_row_to_those_who_may_see_its_kind() {
    let gate = gate("").await;
    gate.grant("user:pam@example.com", "prompt", "hello", "READ").await;
    gate.grant("user:moe@example.com", "registered_model", "*", "READ").await;
    gate.grant("user:mix@example.com", "registered_model", "hello", "READ").await;
    for (path, member) in
        [("registered-models/search", "registered_models"), ("model-versions/search", "model_versions")]
    {
        let path = format!("/api/2.0/mlflow/{path}");
        assert_eq!(names(&gate.bearer("pam").get(&path).await, member), ["hello"], "{path}");
        assert_eq!(names(&gate.bearer("moe").get(&path).await, member), ["iris"], "{path}");
        let mix = names(&gate.bearer("mix").get(&path).await, member);
        assert!(mix.is_empty(), "a grant on a model shows no prompt of that name: {mix:?}");
    }
}

#[tokio::test]
async fn whoever_makes_a_prompt_owns_a_prompt_and_the_name_ends_for_both_kinds() {
    let gate = gate("").await;
    gate.grant("user:pam@example.com", "workspace", "default", "USE").await;
    let pam = gate.bearer("pam");
    let made = pam.post(&format!("{MODELS}/create"), &json!({"name": "new", "tags": is_prompt()})).await;
    assert_eq!(made.status, 200, "{}", made.text());
    let held = || {
        let grants = gate.open().house().store.grants();
        grants
            .iter()
            .map(|record| record.grant.to_string())
            .filter(|text| !text.contains("workspace"))
            .collect::<Vec<_>>()
    };
    assert_eq!(held(), ["user pam@example.com: prompt new MANAGE"]);
    gate.grant("user:pam@example.com", "registered_model", "new", "MANAGE").await;
    let gone = pam.json("DELETE", &format!("{MODELS}/delete"), r#"{"name":"new"}"#).await;
    assert_eq!(gone.status, 200, "{}", gone.text());
    assert_eq!(held(), Vec::<String>::new());
}

#[tokio::test]
async fn what_a_name_is_does_not_change_and_a_version_says_what_it_is() {
    let gate = gate("").await;
    for kind in ["prompt", "registered_model"] {
        gate.grant("user:pam@example.com", kind, "*", "MANAGE").await;
    }
    let pam = gate.bearer("pam");
    for key in ["mlflow.prompt.is_prompt", "MLFLOW.prompt.is_prompt "] {
        for name in ["iris", "hello"] {
            let tag = json!({"name": name, "key": key, "value": "true"});
            assert_eq!(pam.post(&format!("{MODELS}/set-tag"), &tag).await.status, 403, "{name}");
            let gone = pam.json("DELETE", &format!("{MODELS}/delete-tag"), tag.to_string()).await;
            assert_eq!(gone.status, 403, "{name}");
            let tag = json!({"name": name, "version": "1", "key": key, "value": "true"});
            assert_eq!(pam.post(&format!("{VERSIONS}/set-tag"), &tag).await.status, 403, "{name}");
        }
    }
    let version = |name: &str, tags: Value| json!({"name": name, "source": "dummy-source", "tags": tags});
    for (name, tags, status) in [
        ("hello", is_prompt(), 200),
        ("hello", json!([]), 403),
        ("iris", is_prompt(), 403),
        ("iris", json!([{"key": "a", "value": "b"}]), 200),
    ] {
        let told = pam.post(&format!("{VERSIONS}/create"), &version(name, tags)).await;
        assert_eq!(told.status, status, "{name}: {}", told.text());
    }
}

#[tokio::test]
async fn a_tag_that_lists_versions_takes_read_on_each() {
    let gate = gate("").await;
    gate.grant("user:alice@example.com", "experiment", "1", "EDIT").await;
    let tags = |key: &str, value: &str| json!({"tags": [{"key": "team", "value": "a"}, {"key": key, "value": value}]});
    let set = async |key: &str, value: &str| {
        let path = format!("/api/2.0/mlflow/logged-models/{MODEL}/tags");
        gate.bearer("alice").json("PATCH", &path, tags(key, value).to_string()).await.status
    };
    let create = async |key: &str, value: &str| {
        let mut model = tags(key, value);
        model["experiment_id"] = json!("1");
        gate.bearer("alice").post("/api/2.0/mlflow/logged-models", &model).await.status
    };
    let listed = r#"[{"name": "iris", "version": 1}]"#;
    assert_eq!(set("other", listed).await, 200);
    assert_eq!(set("mlflow.modelVersions", listed).await, 403);
    assert_eq!(create("mlflow.modelVersions", listed).await, 403);
    gate.grant("user:alice@example.com", "registered_model", "iris", "READ").await;
    assert_eq!(set("mlflow.modelVersions", listed).await, 200);
    assert_eq!(create("mlflow.modelVersions", listed).await, 200);
    assert_eq!(set("mlflow.modelversions", listed).await, 403, "one spelling");
    assert_eq!(set("mlflow.modelVersions", "iris").await, 403, "no list");
}

#[tokio::test]
async fn the_setting_lets_editors_delete_what_they_made_and_single_tags() {
    let delete = |run: &str| json!({"run_id": run});
    let tag = |method: &'static str, path: String, body: String| (method, path, body);
    let tags = [
        tag("DELETE", format!("{VERSIONS}/delete-tag"), r#"{"name":"iris","version":"1","key":"a"}"#.to_owned()),
        tag("DELETE", format!("{MODELS}/alias"), r#"{"name":"iris","alias":"a"}"#.to_owned()),
        tag("DELETE", format!("/api/2.0/mlflow/logged-models/{MODEL}/tags/a"), "{}".to_owned()),
    ];
    for (more, own) in [("", 403), ("[access]\nlenient_edit = true", 200)] {
        let gate = gate(more).await;
        for name in ["alice", "bob"] {
            gate.grant(&format!("user:{name}@example.com"), "experiment", "1", "EDIT").await;
            gate.grant(&format!("user:{name}@example.com"), "registered_model", "iris", "EDIT").await;
        }
        gate.grant("user:carol@example.com", "experiment", "1", "READ").await;
        let alice = gate.bearer("alice");
        for call in ["delete", "restore"] {
            let path = format!("/api/2.0/mlflow/runs/{call}");
            assert_eq!(alice.post(&path, &delete(RUN)).await.status, own, "{more} {call}");
            assert_eq!(alice.post(&path, &delete(OTHERS)).await.status, 403, "another's run, {more} {call}");
            assert_eq!(gate.bearer("bob").post(&path, &delete(RUN)).await.status, 403, "another's run, {more} {call}");
            assert_eq!(gate.bearer("carol").post(&path, &delete(RUN)).await.status, 403);
        }
        for (method, path, body) in &tags {
            assert_eq!(alice.json(method, path, body.clone()).await.status, own, "{more} {path}");
            assert_eq!(gate.bearer("carol").json(method, path, body.clone()).await.status, 403, "{more} {path}");
        }
        let all = alice.json("DELETE", &format!("{MODELS}/delete"), r#"{"name":"iris"}"#).await;
        assert_eq!(all.status, 403, "the whole is another thing");
    }
}

#[tokio::test]
async fn addresses_of_the_bucket_are_given_out_by_a_setting_alone_and_then_by_permission() {
    let path = format!("1/{RUN}/artifacts/model");
    let calls = [
        (
            "POST",
            "mlflow/artifacts/presigned-download-url".to_owned(),
            json!({"run_id": RUN, "path": "a/b.bin"}),
            "READ",
        ),
        ("POST", "mlflow/artifacts/presigned-upload-url".to_owned(), json!({"run_id": RUN, "path": "a"}), "EDIT"),
        ("POST", "mlflow/artifacts/presigned-upload-url".to_owned(), json!({"model_id": MODEL, "path": "a"}), "EDIT"),
        ("GET", format!("mlflow-artifacts/presigned/{path}"), json!(null), "READ"),
        ("POST", format!("mlflow-artifacts/mpu/create/{path}"), json!({"path": "/tmp/w.bin", "num_parts": 2}), "EDIT"),
        ("POST", format!("mlflow-artifacts/mpu/complete/{path}"), json!({"path": "w.bin", "upload_id": "u"}), "EDIT"),
        ("POST", format!("mlflow-artifacts/mpu/abort/{path}"), json!({"path": "w.bin", "upload_id": "u"}), "EDIT"),
    ];
    for more in ["", "[access]\npresigned_artifacts = true"] {
        let gate = gate(more).await;
        gate.grant("user:alice@example.com", "experiment", "1", "EDIT").await;
        gate.grant("user:bob@example.com", "experiment", "1", "READ").await;
        for (method, path, body, least) in &calls {
            let send = async |name: &str| {
                let target = format!("/api/2.0/{path}");
                let actor = gate.bearer(name);
                if *method == "GET" { actor.get(&target).await } else { actor.post(&target, body).await }
            };
            let (editor, reader, stranger) = (send("alice").await, send("bob").await, send("eve").await);
            if more.is_empty() {
                // As a server says it that cannot do it: clients and pages then take the way through the server.
                assert_eq!((editor.status, &*editor.error_code()), (501, "NOT_IMPLEMENTED"), "{path}");
                let lack = ["Multipart upload", "Presigned upload", "Presigned download"];
                assert!(
                    lack.iter().any(|lack| message(&editor)
                        .starts_with(&format!("{lack} is not supported for the current artifact repository"))),
                    "{}",
                    editor.text()
                );
                assert!(message(&editor).contains("`access.presigned_artifacts` is off"), "{}", editor.text());
                let record = gate.record(&editor).await;
                assert_eq!(record["decision"], "deny", "a setting is no fault: {record}");
                assert_eq!(reader.json()["error_code"], stranger.json()["error_code"]);
                continue;
            }
            assert_eq!(editor.status, 200, "{path}: {}", editor.text());
            assert_eq!(reader.status, if *least == "READ" { 200 } else { 403 }, "{path}");
            assert_eq!(stranger.status, 403, "{path}");
        }
        if more.is_empty() {
            assert!(gate.upstream.seen().is_empty(), "MLflow is not even asked");
            continue;
        }
        let create = format!("/api/2.0/mlflow-artifacts/mpu/create/{path}");
        for name in ["..", "a/..", "", "a\\b", "%2e%2e"] {
            let told = gate.bearer("alice").post(&create, &json!({"path": name})).await;
            assert!(told.status == 400 || name.is_empty(), "{name}: {}", told.text());
        }
        let download = json!({"run_id": RUN, "path": "../../x"});
        let told = gate.bearer("alice").post("/api/2.0/mlflow/artifacts/presigned-download-url", &download).await;
        assert_eq!(told.status, 400);
    }
}

#[tokio::test]
async fn a_reader_of_files_is_given_no_address_of_the_bucket_unless_by_the_setting() {
    for more in ["", "[access]\npresigned_artifacts = true"] {
        let gate = gate(more).await;
        gate.grant("user:alice@example.com", "experiment", "1", "EDIT").await;
        gate.grant("user:alice@example.com", "registered_model", "iris", "READ").await;
        for path in [
            "/model-versions/get-artifact?name=iris&version=1&path=a".to_owned(),
            format!("/ajax-api/2.0/mlflow/logged-models/{MODEL}/artifacts/files?artifact_file_path=a"),
            format!("/get-artifact?run_id={RUN}&path=a"),
        ] {
            let alice = gate.bearer("alice");
            assert_eq!(alice.get(&path).await.status, 200, "{path}");
            assert_eq!(alice.get(&format!("{path}&presigned=false")).await.status, 200, "{path}");
            let told = alice.get(&format!("{path}&presigned=true")).await;
            assert_eq!(told.status, if more.is_empty() { 501 } else { 200 }, "{path}: {}", told.text());
            assert_eq!(alice.get(&format!("{path}&presigned=false&presigned=true")).await.status, 400, "{path}");
        }
    }
}

#[tokio::test]
async fn whoever_is_refused_reads_what_was_needed_of_what_and_who_can_grant_it() {
    let gate = gate("").await;
    gate.grant("user:alice@example.com", "experiment", "1", "MANAGE").await;
    gate.grant("group:leads", "registered_model", "iris", "MANAGE").await;
    gate.grant("user:bob@example.com", "experiment", "1", "READ").await;
    gate.grant("user:bob@example.com", "registered_model", "iris", "EDIT").await;
    let bob = gate.bearer("bob");
    let told = bob.post("/api/2.0/mlflow/runs/delete", &json!({"run_id": RUN})).await;
    assert_eq!(
        message(&told),
        format!(
            "Permission denied: DeleteRun needs MANAGE on run {RUN} in experiment 1; you hold READ. Ask alice@example.com for it."
        )
    );
    let told = bob.json("DELETE", &format!("{MODELS}/delete"), r#"{"name":"iris"}"#).await;
    let expected = "Permission denied: DeleteRegisteredModel needs MANAGE on registered model iris; you hold EDIT. Ask \
                    the group leads for it.";
    assert_eq!(message(&told), expected);
    let told = bob.post("/api/2.0/mlflow/experiments/create", &json!({"name": "x"})).await;
    let expected = "Permission denied: CreateExperiment needs USE on the workspace; you hold nothing. Ask an \
                    administrator for it.";
    assert_eq!(message(&told), expected);
    let hidden = gate.bearer("eve").post("/api/2.0/mlflow/runs/delete", &json!({"run_id": RUN})).await;
    assert_eq!(message(&hidden), "Permission denied: DeleteRun needs a permission that you do not have.");
}

#[tokio::test]
async fn a_new_thing_is_denied_as_what_its_tag_makes_it() {
    let gate = gate("[access]\ndefault_workspace_permission = \"USE\"").await;
    for (user, kind) in [("pam", "registered_model"), ("moe", "prompt")] {
        gate.grant(&format!("user:{user}@example.com"), kind, "*", "DENY").await;
    }
    for (user, kind) in [("pat", "registered_model_version"), ("mo", "prompt_version")] {
        let user = format!("user:{user}@example.com");
        gate.grant(&user, "registered_model", "iris", "MANAGE").await;
        gate.grant(&user, "prompt", "hello", "MANAGE").await;
        gate.grant(&user, kind, "*", "DENY").await;
    }
    let tags = |value: &str| json!([{"key": "mlflow.prompt.is_prompt", "value": value}]);
    let model = json!({"name": "new"});
    let prompt = json!({"name": "new", "tags": tags("TRUE")});
    let neither = json!({"name": "new", "tags": tags("no")});
    for (user, body, status) in [
        ("pam", &model, 403),
        ("pam", &prompt, 200),
        ("moe", &model, 200),
        ("moe", &prompt, 403),
        ("pam", &neither, 403),
        ("moe", &neither, 403),
    ] {
        let told = gate.bearer(user).json("POST", &format!("{MODELS}/create"), body.to_string()).await;
        assert_eq!(told.status, status, "{user} {body}");
    }
    let of_model = json!({"name": "iris", "source": format!("runs:/{RUN}/model"), "run_id": RUN});
    let of_prompt = json!({"name": "hello", "source": "prompt-template", "tags": tags("true")});
    gate.grant("user:pat@example.com", "experiment", "1", "READ").await;
    gate.grant("user:mo@example.com", "experiment", "1", "READ").await;
    for (user, body, status) in
        [("pat", &of_model, 403), ("pat", &of_prompt, 200), ("mo", &of_model, 200), ("mo", &of_prompt, 403)]
    {
        let told = gate.bearer(user).json("POST", &format!("{VERSIONS}/create"), body.to_string()).await;
        assert_eq!(told.status, status, "{user} {body}: {}", told.text());
    }
}

#[tokio::test]
async fn what_tells_of_a_hidden_run_or_logged_model_is_blanked_but_a_readers_source_stays() {
    let gate = gate("").await;
    gate.grant("user:bob@example.com", "registered_model", "iris", "READ").await;
    gate.grant("user:carol@example.com", "registered_model", "iris", "READ").await;
    gate.grant("user:carol@example.com", "experiment", "1", "READ").await;
    let get = format!("{VERSIONS}/get?name=iris&version=1");
    let latest = format!("{MODELS}/get-latest-versions?name=iris");
    for name in ["bob", "carol"] {
        let actor = gate.bearer(name);
        let one = actor.get(&get).await.json()["model_version"].clone();
        let listed = actor.get(&latest).await.json()["model_versions"][0].clone();
        for shown in [one, listed] {
            if name == "carol" {
                assert_eq!(shown, version());
                continue;
            }
            for member in ["run_id", "run_link", "model_id"] {
                assert_eq!(shown[member], "", "{member}: {shown}");
            }
            for member in ["model_params", "model_metrics"] {
                assert_eq!(shown[member], Value::Null, "{member}: {shown}");
            }
            assert_eq!(shown["source"], version()["source"], "without it, the model cannot be loaded");
        }
        let place = actor.get(&format!("{VERSIONS}/get-download-uri?name=iris&version=1")).await;
        assert_eq!((place.status, &place.json()["artifact_uri"]), (200, &version()["source"]));
    }
    assert_eq!(gate.bearer("eve").get(&get).await.status, 403);
}

#[tokio::test]
async fn a_narrower_right_on_what_lies_inside_keeps_what_it_lies_in_from_deletion() {
    let gate = gate("").await;
    for user in ["ann", "bob", "eve"] {
        let user = format!("user:{user}@example.com");
        gate.grant(&user, "experiment", "1", "MANAGE").await;
        gate.grant(&user, "registered_model", "iris", "MANAGE").await;
    }
    for (user, level) in [("user:bob@example.com", "EDIT"), ("user:eve@example.com", "DENY")] {
        gate.grant(user, "run", "*", level).await;
        gate.grant(user, "registered_model_version", "*", level).await;
    }
    for (user, status) in [("ann", 200), ("bob", 403), ("eve", 403)] {
        let actor = gate.bearer(user);
        let experiment = actor.json("POST", "/api/2.0/mlflow/experiments/delete", r#"{"experiment_id":"1"}"#).await;
        assert_eq!(experiment.status, status, "{user}: {}", experiment.text());
        let model = actor.json("DELETE", &format!("{MODELS}/delete"), r#"{"name":"iris"}"#).await;
        assert_eq!(model.status, status, "{user}: {}", model.text());
        if user == "bob" {
            let said = "Permission denied: DeleteExperiment needs MANAGE on every run in experiment 1; you hold EDIT.";
            assert!(message(&experiment).starts_with(said), "{}", message(&experiment));
        }
    }
}

#[tokio::test]
async fn a_name_that_is_denied_cannot_be_made_nor_taken() {
    let gate = gate("").await;
    gate.grant("user:moe@example.com", "registered_model", "*", "MANAGE").await;
    gate.grant("user:moe@example.com", "registered_model", "secret-*", "DENY").await;
    gate.grant("user:moe@example.com", "workspace", "default", "USE").await;
    let moe = gate.bearer("moe");
    let create = async |name: &str| moe.post(&format!("{MODELS}/create"), &json!({"name": name})).await.status;
    assert_eq!((create("open-x").await, create("secret-x").await), (200, 403));
    let rename = async |name: &str| {
        moe.post(&format!("{MODELS}/rename"), &json!({"name": "iris", "new_name": name})).await.status
    };
    assert_eq!((rename("secret-x").await, rename("open-x").await), (403, 200));
}

#[tokio::test]
async fn a_rule_lets_a_group_create_under_its_names_and_whoever_creates_owns() {
    let gate = gate("").await;
    gate.rule("group:everybody", "experiment", "research/*").await;
    gate.rule("user:pam@example.com", "prompt", "hello*").await;
    let pam = gate.bearer("pam");
    let create = async |name: &str| pam.post("/api/2.0/mlflow/experiments/create", &json!({"name": name})).await;
    let made = create("research/a").await;
    assert_eq!(made.status, 200, "{}", made.text());
    let store = &gate.open().house().store;
    let owned = store
        .grants()
        .into_iter()
        .any(|record| record.grant.to_string().starts_with("user pam@example.com: experiment"));
    assert!(owned, "{:?}", store.grants());
    let told = create("other").await;
    assert_eq!(told.status, 403, "{}", told.text());
    let expected = "Permission denied: CreateExperiment needs USE on the workspace; you hold nothing. Ask an \
                    administrator for it.";
    assert_eq!(message(&told), expected);
    let register = async |name: &str, tags: serde_json::Value| {
        pam.post(&format!("{MODELS}/create"), &json!({"name": name, "tags": tags})).await.status
    };
    let marked = |value: &str| json!([{"key": "mlflow.prompt.is_prompt", "value": value}]);
    assert_eq!(register("hello-1", is_prompt()).await, 200);
    assert_eq!(register("hello-1", json!([])).await, 403, "a rule for prompts makes no model");
    assert_eq!(register("hello-1", marked("perhaps")).await, 403, "what may be either needs a rule for both");
    assert_eq!(register("bye", is_prompt()).await, 403);
    let line = gate.audit_text();
    assert!(line.contains("group everybody may create experiment research/*"), "{line}");
    gate.grant("user:pam@example.com", "workspace", "*", "DENY").await;
    assert_eq!(create("research/b").await.status, 403, "a rule rescues from no DENY");
}
