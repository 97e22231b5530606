//! The AI gateway, MCP servers and skills: who may use which endpoint, what is hidden, what no log may keep.

use serde_json::{Value, json};

use crate::harness::collector::{CLIENT, Collector};
use crate::harness::gate::Gate;
use crate::harness::server::{Answer, Server, full};

const ENDPOINT: &str = "e-0123456789abcdef0123456789abcdef";
const DEFINITION: &str = "d-0123456789abcdef0123456789abcdef";
const SECRET: &str = "s-0123456789abcdef0123456789abcdef";
const KEY: &str = "sk-planted-provider-key";
const STREAMED: &str = "data: {\"a\":1}\n\ndata: [DONE]\n\n";

fn endpoint() -> Value {
    json!({"endpoint_id": ENDPOINT, "name": "gpt", "experiment_id": "7", "model_mappings": [{
        "mapping_id": "m-1", "model_definition_id": DEFINITION,
        "model_definition": {"model_definition_id": DEFINITION, "secret_id": SECRET, "secret_name": "team key"}}]})
}

fn mlflow(method: &str, target: &str) -> Answer {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let absent = || full(404, json!({"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "no"}).to_string());
    let version = json!({"name": "com.example/new", "version": "1", "server_json": {}});
    let json = match path {
        "/api/3.0/mlflow/gateway/endpoints/get" if query == "name=absent" => return absent(),
        "/api/3.0/mlflow/gateway/endpoints/get" => json!({"endpoint": endpoint()}),
        "/api/3.0/mlflow/gateway/endpoints/list" => json!({"endpoints": [endpoint()]}),
        "/api/3.0/mlflow/gateway/endpoints/create" => json!({"endpoint": endpoint()}),
        "/api/3.0/mlflow/gateway/secrets/create" => json!({"secret": {"secret_id": SECRET, "secret_name": "k"}}),
        "/api/2.0/mlflow/experiments/get-by-name" if query.contains("taken") => {
            json!({"experiment": {"experiment_id": "3", "name": "gateway/taken"}})
        }
        "/api/2.0/mlflow/experiments/get-by-name" => return absent(),
        path if path.starts_with("/api/3.0/mlflow/traces/tr-") => {
            let id = path.trim_start_matches("/api/3.0/mlflow/traces/");
            if id.ends_with('9') {
                return absent();
            }
            let experiment = &id[id.len() - 1..];
            json!({"trace": {"trace_info": {"trace_id": id,
                "trace_location": {"mlflow_experiment": {"experiment_id": experiment}}}}})
        }
        "/gateway/mlflow/v1/models" => {
            json!({"object": "list", "data": [{"id": "gpt", "object": "model"}, {"id": "other", "object": "model"}]})
        }
        path if path.starts_with("/gateway/") => return full(200, STREAMED),
        "/api/3.0/mlflow/mcp-servers" if method == "GET" => json!({"mcp_servers": [
            {"name": "com.example/one", "access_endpoints": []}, {"name": "com.example/two", "access_endpoints": []}],
            "next_page_token": null}),
        "/api/3.0/mlflow/mcp-servers/com.example/new" => return absent(),
        "/api/3.0/mlflow/mcp-servers/com.example/new/versions" => version,
        "/api/3.0/mlflow/skills/@acme/new" => return absent(),
        "/api/3.0/mlflow/skills" if method == "POST" => json!({"name": "mine", "organization": ""}),
        "/api/3.0/mlflow/skills" => json!({"skills": [
            {"name": "a", "organization": ""}, {"name": "a", "organization": "acme"}], "next_page_token": null}),
        "/version" => return full(200, "3.18.0"),
        _ => json!({}),
    };
    full(200, json.to_string())
}

async fn gate() -> Gate {
    gate_with("").await
}

async fn gate_with(more: &str) -> Gate {
    let server = Server::scripted(|request| {
        let (method, target) = (request.method().to_string(), request.uri().to_string());
        async move { mlflow(&method, &target) }
    });
    Gate::with(server, more, |_| {}).await
}

fn asked(gate: &Gate, path: &str) -> usize {
    gate.upstream.seen().iter().filter(|seen| seen.target.contains(path)).count()
}

fn holders(gate: &Gate, object: &str) -> Vec<String> {
    let grants = gate.open().house().store.grants();
    grants.iter().map(|one| one.grant.to_string()).filter(|text| text.contains(object)).collect()
}

/// Every way to have the server ask a provider, for the endpoint of that name.
fn servings(name: &str) -> Vec<(String, Value)> {
    let mut all: Vec<(String, Value)> = [
        "mlflow/v1/chat/completions",
        "openai/v1/chat/completions",
        "openai/v1/embeddings",
        "openai/v1/responses",
        "openai/v1/responses/compact",
        "anthropic/v1/messages",
        "typesafe/v1/systemone",
    ]
    .iter()
    .map(|path| (format!("/gateway/{path}"), json!({"model": name, "stream": true})))
    .collect();
    for path in [
        format!("/gateway/gemini/v1beta/models/{name}:generateContent"),
        format!("/gateway/gemini/v1beta/models/{name}:streamGenerateContent"),
        format!("/gateway/{name}/mlflow/invocations"),
        format!("/gateway/proxy/{name}/v1/files?alt=sse"),
    ] {
        all.push((path, json!({"model": "something else"})));
    }
    all
}

#[tokio::test]
async fn the_server_asks_a_provider_only_for_whoever_may_use_the_endpoint() {
    let gate = gate().await;
    gate.grant("user:reader@example.com", "gateway_endpoint", ENDPOINT, "READ").await;
    gate.grant("user:alice@example.com", "gateway_endpoint", ENDPOINT, "USE").await;
    for (path, body) in servings("gpt") {
        for who in ["nobody", "reader"] {
            let refused = gate.bearer(who).post(&path, &body).await;
            assert_eq!((refused.status, refused.error_code().as_str()), (403, "PERMISSION_DENIED"), "{who} {path}");
        }
        assert_eq!(asked(&gate, path.split('?').next().unwrap()), 0, "{path} reached MLflow");
        let served = gate.bearer("alice").post(&path, &body).await;
        assert_eq!((served.status, served.text().as_str()), (200, STREAMED), "{path}");
    }
}

/// Calls the endpoint with one more header, and tells which of the headers named reach MLflow.
async fn heard(gate: &Gate, who: &str, path: &str, sent: &[(&str, &str)], name: &str) -> bool {
    let mut request = http::Request::post(path).header("content-type", "application/json");
    for (name, value) in sent {
        request = request.header(*name, *value);
    }
    let body = json!({"model": "gpt"}).to_string();
    let told = gate.bearer(who).send(request.body(crate::harness::client::payload(body)).unwrap()).await;
    assert_eq!(told.status, 200, "{path}: {}", told.text());
    gate.upstream.seen().iter().rfind(|seen| seen.target == path).unwrap().headers.contains_key(name)
}

#[tokio::test]
async fn the_gateway_adds_spans_only_to_a_trace_that_the_caller_may_edit() {
    let gate = gate().await;
    gate.grant("user:alice@example.com", "gateway_endpoint", ENDPOINT, "USE").await;
    gate.grant("user:alice@example.com", "experiment", "1", "EDIT").await;
    gate.grant("user:alice@example.com", "experiment", "2", "READ").await;
    let parent = |end: u8| format!("00-0123456789abcdef0123456789abcde{end}-0123456789abcdef-01");
    for (path, _) in servings("gpt").iter().filter(|(path, _)| !path.contains('?')) {
        for (parent, passes) in [
            (parent(1), true),
            (parent(2), false),
            (parent(3), false),
            (parent(9), false),
            (parent(1).to_uppercase(), false),
            (format!("{}-more", parent(1)), false),
        ] {
            let sent = [("traceparent", &*parent), ("tracestate", "a=b")];
            for name in ["traceparent", "tracestate"] {
                assert_eq!(heard(&gate, "alice", path, &sent, name).await, passes, "{path} {parent} {name}");
            }
        }
    }
    gate.grant("user:alice@example.com", "trace", "tr-0123456789abcdef0123456789abcde1", "DENY").await;
    let parent = parent(1);
    let sent = [("traceparent", &*parent)];
    assert!(!heard(&gate, "alice", "/gateway/openai/v1/responses", &sent, "traceparent").await);
}

#[tokio::test]
async fn our_own_traces_never_make_the_gateway_write_into_one() {
    let collector = Collector::start();
    for sample in ["sample = 0", "sample = 1"] {
        let gate = gate_with(&collector.section(sample)).await;
        gate.grant("user:alice@example.com", "gateway_endpoint", ENDPOINT, "USE").await;
        gate.grant("user:alice@example.com", "experiment", "1", "EDIT").await;
        let path = "/gateway/mlflow/v1/chat/completions";
        for name in ["traceparent", "tracestate", "x-cloud-trace-context"] {
            assert!(!heard(&gate, "alice", path, &[], name).await, "{sample}: {name}");
        }
        // What the caller named, and may edit, is what the server is told.
        let theirs = "00-0123456789abcdef0123456789abcde1-0123456789abcdef-01";
        assert!(heard(&gate, "alice", path, &[("traceparent", theirs)], "traceparent").await);
        let seen = gate.upstream.seen();
        let last = seen.iter().rfind(|seen| seen.target == path).unwrap();
        assert_eq!(last.headers["traceparent"], theirs, "{sample}");
        gate.close().await;
    }
    let spans = collector.spans();
    assert!(spans.iter().any(|span| span.name == "ChatCompletions"), "the calls are told all the same");
    assert!(spans.iter().any(|span| span.kind == CLIENT && span.name == "POST"));
}

#[tokio::test]
async fn who_calls_the_gateway_is_not_for_callers_to_say() {
    let gate = gate().await;
    gate.grant("user:alice@example.com", "gateway_endpoint", ENDPOINT, "USE").await;
    let sent = [("x-mlflow-gateway-caller", "judge"), ("x-other", "y")];
    let path = "/gateway/mlflow/v1/chat/completions";
    assert!(!heard(&gate, "alice", path, &sent, "x-mlflow-gateway-caller").await);
    assert!(heard(&gate, "alice", path, &sent, "x-other").await);
}

#[tokio::test]
async fn an_endpoint_that_is_not_there_looks_like_a_hidden_one() {
    let gate = gate().await;
    let plain = |text: String| text.split(" (request").next().unwrap_or_default().to_owned();
    for ((hidden, one), (absent, other)) in servings("gpt").into_iter().zip(servings("absent")) {
        let hidden = gate.bearer("mallory").post(&hidden, &one).await;
        let absent = gate.bearer("mallory").post(&absent, &other).await;
        assert_eq!((hidden.status, absent.status), (403, 403));
        assert_eq!(plain(hidden.text()), plain(absent.text()));
    }
}

#[tokio::test]
async fn a_path_or_a_body_that_can_be_read_in_two_ways_serves_nobody() {
    let gate = gate().await;
    gate.grant("user:alice@example.com", "gateway_endpoint", "*", "MANAGE").await;
    let alice = gate.bearer("alice");
    for path in [
        "/gateway/proxy/mlflow/invocations",
        "/gateway/proxy/gpt/a/../b",
        "/gateway/proxy/gpt//x",
        "/gateway/proxy/gpt/%252e",
    ] {
        let refused = alice.post(path, &json!({})).await;
        assert!(matches!(refused.status, 400 | 403 | 404), "{path}: {}", refused.status);
    }
    for body in [
        r#"{"model":"gpt","model":"other"}"#,
        r#"{"model":["gpt"]}"#,
        r#"{"model":""}"#,
        "{}",
        r#""gpt""#,
        r#"{"model":"a/b"}"#,
    ] {
        let request = http::Request::post("/gateway/openai/v1/responses")
            .header("content-type", "application/json")
            .body(crate::harness::client::payload(body))
            .unwrap();
        assert_eq!(alice.send(request).await.status, 400, "{body}");
    }
    assert!(gate.upstream.seen().iter().all(|seen| !seen.target.starts_with("/gateway/")));
}

#[tokio::test]
async fn the_list_of_models_holds_what_one_may_use() {
    let gate = gate().await;
    let none = gate.bearer("nobody").get("/gateway/mlflow/v1/models").await;
    assert_eq!(none.json(), json!({"object": "list", "data": []}));
    gate.grant("user:alice@example.com", "gateway_endpoint", ENDPOINT, "USE").await;
    let one = gate.bearer("alice").get("/gateway/mlflow/v1/models").await;
    assert_eq!(one.json()["data"], json!([{"id": "gpt", "object": "model"}]));
}

#[tokio::test]
async fn an_endpoint_does_not_tell_of_secrets_and_definitions_that_are_hidden() {
    let gate = gate().await;
    gate.grant("user:alice@example.com", "gateway_endpoint", ENDPOINT, "READ").await;
    let by_id = format!("/api/3.0/mlflow/gateway/endpoints/get?endpoint_id={ENDPOINT}");
    for target in [&*by_id, "/api/3.0/mlflow/gateway/endpoints/get?name=gpt", "/api/3.0/mlflow/gateway/endpoints/list"]
    {
        let seen = gate.bearer("alice").get(target).await;
        assert_eq!(seen.status, 200, "{target}");
        for hidden in [DEFINITION, SECRET, "team key", "\"7\""] {
            assert!(!seen.text().contains(hidden), "{target} tells {hidden}: {}", seen.text());
        }
    }
    gate.grant("user:alice@example.com", "gateway_model_definition", DEFINITION, "READ").await;
    let seen = gate.bearer("alice").get(&by_id).await.json();
    let definition = &seen["endpoint"]["model_mappings"][0]["model_definition"];
    assert_eq!((&definition["model_definition_id"], &definition["secret_name"]), (&json!(DEFINITION), &json!("")));
    gate.grant("user:alice@example.com", "gateway_secret", SECRET, "READ").await;
    assert!(gate.bearer("alice").get(&by_id).await.text().contains("team key"));
}

#[tokio::test]
async fn no_provider_key_shows_in_any_log_and_whoever_made_a_secret_owns_it() {
    let gate = gate().await;
    gate.grant("user:alice@example.com", "workspace", "default", "USE").await;
    let body = json!({"secret_name": "k", "secret_value": {"api_key": KEY}, "created_by": "mallory"});
    let path = "/api/3.0/mlflow/gateway/secrets/create";
    let refused = gate.bearer("nobody").post(path, &body).await;
    assert_eq!(refused.status, 403);
    let broken = json!({"secret_name": "k", "secretValue": {"api_key": KEY}, "x": [KEY]}).to_string() + KEY;
    let broken = http::Request::post(path)
        .header("content-type", "application/json")
        .body(crate::harness::client::payload(broken))
        .unwrap();
    let broken = gate.bearer("alice").send(broken).await;
    assert_eq!(broken.status, 400);
    let made = gate.bearer("alice").post(path, &body).await;
    assert_eq!(made.status, 200);
    assert_eq!(holders(&gate, SECRET), [format!("user alice@example.com: gateway_secret {SECRET} MANAGE")]);
    for answer in [&refused, &broken, &made] {
        let record = gate.record(answer).await;
        assert!(!record.to_string().contains(KEY), "{record}");
        assert!(!answer.text().contains(KEY), "{}", answer.text());
    }
    // Forgotten with the secret.
    let gone = http::Request::delete("/api/3.0/mlflow/gateway/secrets/delete")
        .header("content-type", "application/json")
        .body(crate::harness::client::payload(json!({"secret_id": SECRET}).to_string()))
        .unwrap();
    assert_eq!(gate.bearer("alice").send(gone).await.status, 200);
    assert!(holders(&gate, SECRET).is_empty());
}

#[tokio::test]
async fn traces_of_a_new_endpoint_go_to_no_experiment_of_somebody_else() {
    let gate = gate().await;
    gate.grant("user:alice@example.com", "workspace", "default", "USE").await;
    gate.grant("user:alice@example.com", "gateway_model_definition", DEFINITION, "USE").await;
    let path = "/api/3.0/mlflow/gateway/endpoints/create";
    let body = |name: &str| json!({"name": name, "model_configs": [{"model_definition_id": DEFINITION}]});
    assert_eq!(gate.bearer("alice").post(path, &body("taken")).await.status, 403);
    assert_eq!(asked(&gate, path), 0);
    assert_eq!(gate.bearer("alice").post(path, &body("gpt")).await.status, 200);
    assert_eq!(holders(&gate, ENDPOINT).len(), 1);
    assert_eq!(holders(&gate, "experiment 7"), ["user alice@example.com: experiment 7 MANAGE"], "made on the way");
    let other =
        json!({"name": "gpt", "model_configs": [{"model_definition_id": "d-ffffffffffffffffffffffffffffffff"}]});
    assert_eq!(gate.bearer("alice").post(path, &other).await.status, 403, "a definition of somebody else");
}

#[tokio::test]
async fn mcp_servers_are_judged_by_namespace_and_slug() {
    let gate = gate().await;
    gate.grant("user:alice@example.com", "mcp_server", "com.example/one", "EDIT").await;
    let base = "/api/3.0/mlflow/mcp-servers";
    let (alice, nobody) = (gate.bearer("alice"), gate.bearer("nobody"));
    assert_eq!(nobody.get(base).await.json(), json!({"mcp_servers": [], "next_page_token": null}));
    let listed = alice.get(base).await.json();
    assert_eq!(listed["mcp_servers"].as_array().unwrap().len(), 1);
    assert_eq!(listed["mcp_servers"][0]["name"], "com.example/one");
    for path in ["", "/versions", "/versions/1.0", "/endpoints", "/endpoints/x"] {
        let target = format!("{base}/com.example/one{path}");
        assert_eq!(nobody.get(&target).await.status, 403, "{target}");
        assert_eq!(alice.get(&target).await.status, 200, "{target}");
        let other = format!("{base}/com.example/two{path}");
        assert_eq!(alice.get(&other).await.status, 403, "{other}");
    }
    let tag = json!({"key": "k", "value": "v"});
    assert_eq!(alice.post(&format!("{base}/com.example/one/tags"), &tag).await.status, 200);
    let delete = |path: &str| {
        http::Request::delete(format!("{base}/{path}")).body(crate::harness::client::payload(String::new())).unwrap()
    };
    assert_eq!(alice.send(delete("com.example/one/tags/a/b")).await.status, 403, "EDIT takes nothing away");
    gate.grant("user:alice@example.com", "mcp_server", "com.example/one", "MANAGE").await;
    assert_eq!(alice.send(delete("com.example/one/tags/a/b")).await.status, 200);
    // As MLflow's own pages spell it.
    assert_eq!(alice.get(&format!("{base}/com.example%2Fone")).await.status, 200);
    assert_eq!(gate.bearer("nobody").get(&format!("{base}/com.example%2Fone")).await.status, 403);
    assert_eq!(alice.send(delete("com.example/one")).await.status, 200);
    assert!(holders(&gate, "mcp_server com.example/one").is_empty());
    for odd in ["com.example/versions", "com.example", "one/two/three", "a%2fb/c", "com.example/versions/1", "x_y/z1"] {
        let refused = gate.bearer("alice").get(&format!("{base}/{odd}")).await;
        assert!(matches!(refused.status, 400 | 403 | 404), "{odd}: {}", refused.status);
    }
}

#[tokio::test]
async fn the_first_version_makes_a_server_or_a_skill_and_its_owner() {
    let gate = gate().await;
    gate.grant("user:alice@example.com", "workspace", "default", "USE").await;
    let version = json!({"server_json": {"name": "com.example/new", "version": "1"}});
    let path = |name: &str| format!("/api/3.0/mlflow/mcp-servers/com.example/{name}/versions");
    assert_eq!(gate.bearer("nobody").post(&path("new"), &version).await.status, 403);
    assert_eq!(gate.bearer("alice").post(&path("two"), &version).await.status, 403, "it is somebody else's");
    assert_eq!(gate.bearer("alice").post(&path("new"), &version).await.status, 200);
    assert_eq!(holders(&gate, "mcp_server"), ["user alice@example.com: mcp_server com.example/new MANAGE"]);
    let skill = "/api/3.0/mlflow/skills/@acme/new/versions";
    assert_eq!(gate.bearer("nobody").post(skill, &json!({})).await.status, 403);
    assert_eq!(gate.bearer("alice").post(skill, &json!({})).await.status, 200);
    assert_eq!(holders(&gate, "skill"), ["user alice@example.com: skill @acme/new MANAGE"]);
    let other = "/api/3.0/mlflow/skills/@acme/old/versions";
    assert_eq!(gate.bearer("alice").post(other, &json!({})).await.status, 403, "it is somebody else's");
}

#[tokio::test]
async fn a_skill_of_an_organization_is_another_than_the_one_of_its_bare_name() {
    let gate = gate().await;
    gate.grant("user:alice@example.com", "skill", "a", "READ").await;
    let alice = gate.bearer("alice");
    assert_eq!(alice.get("/api/3.0/mlflow/skills/a").await.status, 200);
    assert_eq!(alice.get("/api/3.0/mlflow/skills/@acme/a").await.status, 403);
    let listed = alice.get("/api/3.0/mlflow/skills").await.json();
    assert_eq!(listed["skills"], json!([{"name": "a", "organization": ""}]));
    gate.grant("user:alice@example.com", "workspace", "default", "USE").await;
    assert_eq!(alice.post("/api/3.0/mlflow/skills", &json!({"name": "mine"})).await.status, 200);
    assert_eq!(holders(&gate, "skill mine"), ["user alice@example.com: skill mine MANAGE"]);
}
