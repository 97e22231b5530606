//! MLflow's own permission API at the running gate: who may give what to whom, and what comes of odd requests.

use http::Request;
use serde_json::{Value, json};

use crate::harness::client::payload;
use crate::harness::gate::{Gate, Told};
use crate::harness::server::{Answer, Server, full};

/// A server that knows one registered model and one prompt, and must be asked nothing else.
fn mlflow(target: &str) -> Answer {
    if target.starts_with("/version") {
        return full(200, "3.17.2");
    }
    if target.contains("registered-models/get") {
        let prompt = json!([{"key": "mlflow.prompt.is_prompt", "value": "true"}]);
        let tags = if target.contains("greeting") { prompt } else { json!([]) };
        let name = target.rsplit('=').next().unwrap();
        return full(200, json!({"registered_model": {"name": name, "tags": tags}}).to_string());
    }
    full(404, json!({"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "no"}).to_string())
}

pub(super) async fn gate() -> Gate {
    let server = Server::scripted(|request| {
        let target = request.uri().to_string();
        async move { mlflow(&target) }
    });
    let gate = Gate::with(server, "[access]\nadmins = [\"root@example.com\"]", |_| {}).await;
    // Whoever has signed in is known.
    for who in ["root", "alice", "bob", "carol"] {
        assert_eq!(gate.bearer(who).get("/ajax-api/2.0/mlflow/users/current").await.status, 200);
    }
    gate
}

pub(super) const GRANT: &str = "/api/3.0/mlflow/users/permissions/grant";
pub(super) const REVOKE: &str = "/api/3.0/mlflow/users/permissions/revoke";

pub(super) fn given(who: &str, kind: &str, id: &str, level: &str) -> Value {
    json!({"username": format!("{who}@example.com"), "resource_type": kind, "resource_id": id, "permission": level})
}

pub(super) async fn make_role(gate: &Gate, name: &str) -> u64 {
    let made =
        gate.bearer("root").post("/api/3.0/mlflow/roles/create", &json!({"name": name, "workspace": "default"})).await;
    assert_eq!(made.status, 200, "{}", made.text());
    made.json()["role"]["id"].as_u64().unwrap()
}

pub(super) fn code(told: &Told) -> (u16, String) {
    (told.status, told.error_code())
}

fn refused() -> (u16, String) {
    (403, "PERMISSION_DENIED".to_owned())
}

fn invalid() -> (u16, String) {
    (400, "INVALID_PARAMETER_VALUE".to_owned())
}

#[tokio::test]
async fn who_manages_a_thing_gives_and_takes_it_and_mlflow_is_never_asked() {
    let gate = gate().await;
    gate.grant("user:alice@example.com", "experiment", "1", "MANAGE").await;
    let read = "/api/2.0/mlflow/experiments/get?experiment_id=1";
    assert_eq!(gate.bearer("bob").get(read).await.status, 403);
    let told = gate.bearer("alice").post(GRANT, &given("bob", "experiment", "1", "READ")).await;
    assert_eq!((told.status, told.json()), (200, json!({})), "{}", told.text());
    let record = gate.record(&told).await;
    assert_eq!((&record["call"], &record["user"]), (&json!("GrantUserPermission"), &json!("alice@example.com")));
    assert_eq!(record["objects"][0], "experiment:1");
    // By this, `policy replay` judges it again.
    let asked: Vec<&Value> = record["asked"].as_array().unwrap().iter().collect();
    assert!(asked.contains(&&json!(["lastingly", "-", "holds", "manage", "experiment", "1"])), "{record}");
    assert!(asked.contains(&&json!(["another", "bob@example.com"])), "{record}");
    // It counts for the next request; the scripted server has no such experiment.
    assert_eq!(gate.bearer("bob").get(read).await.status, 404);
    let again = gate.bearer("alice").post(GRANT, &given("bob", "experiment", "1", "EDIT")).await;
    assert_eq!(code(&again), (400, "RESOURCE_ALREADY_EXISTS".to_owned()));
    assert_eq!(
        again.json()["message"],
        "Permission for user=bob@example.com on resource_type=experiment, resource_id=1 already exists."
    );
    // READ gives nothing on.
    assert_eq!(code(&gate.bearer("bob").post(GRANT, &given("carol", "experiment", "1", "READ")).await), refused());
    let taken = gate.bearer("alice").post(REVOKE, &given("bob", "experiment", "1", "READ")).await;
    assert_eq!(taken.status, 200, "{}", taken.text());
    assert_eq!(gate.bearer("bob").get(read).await.status, 403);
    let gone = gate.bearer("alice").post(REVOKE, &given("bob", "experiment", "1", "READ")).await;
    assert_eq!(code(&gone), (404, "RESOURCE_DOES_NOT_EXIST".to_owned()));
    assert!(gate.upstream.seen().iter().all(|seen| !seen.target.contains("permissions")));
}

#[tokio::test]
async fn each_change_stands_in_the_store_with_who_made_it() {
    let gate = gate().await;
    gate.grant("user:alice@example.com", "experiment", "1", "MANAGE").await;
    gate.bearer("alice").post(GRANT, &given("bob", "experiment", "1", "READ")).await;
    let role = make_role(&gate, "readers").await;
    let file = gate.folder.path().join("state/trackgate.db");
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(file).read_only(true);
    let mut connection = sqlx::ConnectOptions::connect(&options).await.unwrap();
    let rows: Vec<(String, String, String)> =
        sqlx::query_as("SELECT actor, verb, object FROM changes").fetch_all(&mut connection).await.unwrap();
    let stands = |actor: &str, verb: &str, object: &str| {
        rows.iter().any(|(a, v, o)| a == actor && v == verb && o.contains(object))
    };
    assert!(stands("user alice@example.com", "grant", "experiment 1"), "{rows:?}");
    assert!(stands("user root@example.com", "add", &format!("role {role}")), "{rows:?}");
}

#[tokio::test]
async fn nobody_gives_to_themselves_nor_for_longer_than_they_hold_it() {
    let gate = gate().await;
    let now =
        u64::try_from(std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis()).unwrap();
    let hour = now + 3_600_000;
    let mut own = given("alice", "experiment", "1", "MANAGE");
    own["expires_at"] = json!(hour);
    assert_eq!(gate.bearer("root").post(GRANT, &own).await.status, 200);
    let mut to_bob = given("bob", "experiment", "1", "MANAGE");
    let for_good = gate.bearer("alice").post(GRANT, &to_bob).await;
    assert_eq!(code(&for_good), refused());
    assert_eq!(gate.record(&for_good).await["reason"], "held-too-short");
    to_bob["expires_at"] = json!(hour + 1);
    assert_eq!(code(&gate.bearer("alice").post(GRANT, &to_bob).await), refused());
    to_bob["expires_at"] = json!(hour);
    assert_eq!(gate.bearer("alice").post(GRANT, &to_bob).await.status, 200);
    // What an hour gave is no more than the hour, by whatever detour.
    assert_eq!(code(&gate.bearer("bob").post(GRANT, &given("carol", "experiment", "1", "READ")).await), refused());
    gate.grant("user:carol@example.com", "experiment", "2", "MANAGE").await;
    let mut own = given("carol", "experiment", "2", "MANAGE");
    own["expires_at"] = json!(hour);
    let told = gate.bearer("carol").post(GRANT, &own).await;
    assert_eq!(code(&told), refused());
    assert_eq!(gate.record(&told).await["reason"], "to-oneself");
    // Administrators may.
    assert_eq!(gate.bearer("root").post(GRANT, &given("root", "experiment", "2", "MANAGE")).await.status, 200);
}

#[tokio::test]
async fn who_manages_the_workspace_gives_nothing_that_they_do_not_manage_themselves() {
    let gate = gate().await;
    gate.grant("user:alice@example.com", "workspace", "*", "MANAGE").await;
    let alice = gate.bearer("alice");
    assert_eq!(alice.post(GRANT, &given("bob", "experiment", "*", "READ")).await.status, 200);
    assert_eq!(alice.post(GRANT, &given("bob", "registered_model", "team-a/*", "EDIT")).await.status, 200);
    let role = json!({"name": "mine", "workspace": "default"});
    let made = alice.post("/api/3.0/mlflow/roles/create", &role).await;
    assert_eq!(made.status, 200, "{}", made.text());
    let role = made.json()["role"]["id"].clone();
    let add = |kind: &str, pattern: &str, level: &str| json!({"role_id": role, "resource_type": kind, "resource_pattern": pattern, "permission": level});
    let permissions = "/api/3.0/mlflow/roles/permissions/add";
    assert_eq!(alice.post(permissions, &add("workspace", "*", "MANAGE")).await.status, 200);

    // One experiment is kept from her: she cannot get around it by giving more than she has, nor by taking the veto away.
    gate.grant("user:alice@example.com", "experiment", "7", "DENY").await;
    for (path, body) in [
        (GRANT, given("bob", "experiment", "7", "READ")),
        (GRANT, given("carol", "experiment", "*", "READ")),
        (GRANT, given("carol", "run", "*", "READ")),
        (REVOKE, given("alice", "experiment", "7", "DENY")),
        (REVOKE, given("bob", "experiment", "*", "READ")),
        (permissions, add("experiment", "7", "READ")),
        (permissions, add("experiment", "*", "MANAGE")),
        ("/api/3.0/mlflow/roles/assign", json!({"role_id": role, "username": "bob@example.com"})),
    ] {
        assert_eq!(code(&alice.post(path, &body).await), refused(), "{path} {body}");
    }
    // What the veto does not speak of is hers as before.
    assert_eq!(alice.post(permissions, &add("experiment", "8", "READ")).await.status, 200);
    assert_eq!(alice.post(GRANT, &given("carol", "registered_model", "*", "READ")).await.status, 200);
    // A role that reaches her cannot be made to reach further by her.
    let held = gate.bearer("alice").get("/api/3.0/mlflow/users/roles/list?username=alice@example.com").await;
    assert_eq!(held.status, 200, "{}", held.text());
    assert!(!held.json()["roles"].as_array().unwrap().is_empty());
}

#[tokio::test]
async fn hidden_roles_and_people_look_like_absent_ones() {
    let gate = gate().await;
    let role = make_role(&gate, "hidden").await;
    let plain = |told: &Told| told.text().split(" (request").next().unwrap_or_default().to_owned();
    for (method, path, hidden, absent) in [
        ("GET", "3.0/mlflow/roles/get?role_id=", role.to_string(), "999999".to_owned()),
        ("GET", "3.0/mlflow/roles/permissions/list?role_id=", role.to_string(), "999999".to_owned()),
        ("GET", "3.0/mlflow/roles/users/list?role_id=", role.to_string(), "999999".to_owned()),
        ("GET", "2.0/mlflow/users/get?username=", "bob@example.com".to_owned(), "nobody@example.com".to_owned()),
        ("GET", "3.0/mlflow/users/roles/list?username=", "bob@example.com".to_owned(), "nobody@example.com".to_owned()),
        (
            "GET",
            "3.0/mlflow/users/permissions/list?username=",
            "bob@example.com".to_owned(),
            "nobody@example.com".to_owned(),
        ),
    ] {
        let ask =
            |id: &str| Request::builder().method(method).uri(format!("/api/{path}{id}")).body(payload("")).unwrap();
        let hidden = gate.bearer("alice").send(ask(&hidden)).await;
        let absent = gate.bearer("alice").send(ask(&absent)).await;
        assert_eq!((hidden.status, absent.status), (403, 403), "{path}");
        assert_eq!(plain(&hidden), plain(&absent), "{path}");
    }
    let mut told = Vec::new();
    for id in [role, 999_999] {
        let body = json!({"role_id": id, "username": "alice@example.com"});
        told.push(gate.bearer("alice").post("/api/3.0/mlflow/roles/assign", &body).await);
    }
    assert_eq!(plain(&told[0]), plain(&told[1]));
    // Nobody's roles are listed for who has none of them.
    let listed = gate.bearer("alice").get("/api/3.0/mlflow/roles/list?workspace=default").await;
    assert_eq!(listed.status, 403, "{}", listed.text());
    gate.grant("user:alice@example.com", "experiment", "1", "READ").await;
    let listed = gate.bearer("alice").get("/api/3.0/mlflow/roles/list?workspace=default").await.json();
    let names: Vec<_> = listed["roles"].as_array().unwrap().iter().map(|role| role["name"].clone()).collect();
    assert!(names.iter().all(|name| name.as_str().unwrap().starts_with("__user_")) && names.len() == 1, "{names:?}");
}

#[tokio::test]
async fn numbers_times_names_and_bodies_are_read_in_one_way_or_not_at_all() {
    let gate = gate().await;
    let role = make_role(&gate, "readers").await;
    let root = gate.bearer("root");
    for odd in ["0", "-1", "1.0", "1e0", "01", "+1", " 1", "１", "1 OR 1", "99999999999999999999", ""] {
        let query: String = url::form_urlencoded::byte_serialize(odd.as_bytes()).collect();
        let told = root.get(&format!("/api/3.0/mlflow/roles/get?role_id={query}")).await;
        assert_eq!(code(&told), invalid(), "{odd:?}");
    }
    for odd in ["1.5", "-1", "true", "null", "[1]", "{}", "1e3", "18446744073709551616"] {
        let body = format!(r#"{{"role_id": {odd}, "username": "bob@example.com"}}"#);
        let told = root.json("POST", "/api/3.0/mlflow/roles/assign", body).await;
        assert_eq!(told.status, 400, "{odd}: {}", told.text());
    }
    for whole in [format!("{role}"), format!("\"{role}\"")] {
        let body = format!(r#"{{"role_id": {whole}, "username": "bob@example.com"}}"#);
        let told = root.json("POST", "/api/3.0/mlflow/roles/assign", body.clone()).await;
        assert_eq!(told.status, 200, "{whole}: {}", told.text());
        assert_eq!(root.json("DELETE", "/api/3.0/mlflow/roles/unassign", body).await.status, 200);
    }
    let create = "/api/2.0/mlflow/users/create";
    for odd in [
        "Bob@example.com",
        "bob@example.com.",
        "bob@EXAMPLE.com",
        "b\u{43e}b@example.com",
        "bob\u{200b}@example.com",
        "bob @example.com",
        "@example.com",
        "bob@",
        "bob@example..com",
        "group:bob",
        "",
        "\u{0}",
    ] {
        let told = root.post(create, &json!({"username": odd, "password": "a password of no use"})).await;
        assert_eq!(code(&told), invalid(), "{odd:?} {}", told.text());
    }
    let told = root.post(create, &json!({"username": "bob@example.com", "password": "a password of no use"})).await;
    assert_eq!(code(&told), (400, "RESOURCE_ALREADY_EXISTS".to_owned()));
    // A `sub` may have capitals; two that read the same are one too many.
    assert_eq!(root.post(create, &json!({"username": "Sub-1", "password": "x"})).await.status, 200);
    let told = root.post(create, &json!({"username": "sub-1", "password": "x"})).await;
    assert_eq!(code(&told), (400, "RESOURCE_ALREADY_EXISTS".to_owned()));
    for odd in ["", " ", "__user_1__", "a\u{200b}b", "a\u{202e}b", "a\nb", " a", "\u{3164}"] {
        let told = root.post("/api/3.0/mlflow/roles/create", &json!({"name": odd, "workspace": "default"})).await;
        assert_eq!(code(&told), invalid(), "{odd:?} {}", told.text());
    }
    for whole in ["Größe", "模型", "🦀 crew", "a.b/c d"] {
        let told = root.post("/api/3.0/mlflow/roles/create", &json!({"name": whole, "workspace": "default"})).await;
        assert_eq!(told.status, 200, "{whole} {}", told.text());
        assert_eq!(told.json()["role"]["name"], *whole);
    }
    for odd in
        [json!(0), json!("yesterday"), json!("2001-01-01T00:00:00Z"), json!(-1), json!(1.5), json!("9".repeat(30))]
    {
        let mut body = given("bob", "experiment", "5", "READ");
        body["expires_at"] = odd.clone();
        assert_eq!(code(&root.post(GRANT, &body).await), invalid(), "{odd}");
    }
    let mut body = given("bob", "experiment", "5", "READ");
    body["expires_at"] = json!("2099-01-31T12:00:00+01:00");
    assert_eq!(root.post(GRANT, &body).await.status, 200);
    let listed = root.get("/api/3.0/mlflow/users/permissions/list?username=bob@example.com").await.json();
    assert_eq!(listed["permissions"][0]["expires_at"], 4_073_540_400_000_u64, "{listed}");
    for body in [
        r#"{"username": "bob@example.com", "username": "carol@example.com", "resource_type": "experiment", "resource_id": "1", "permission": "READ"}"#,
        r#"{"username": "bob@example.com", "resource_type": "experiment", "resourceId": "2", "resource_id": "1", "permission": "READ"}"#,
        r#"[{"username": "bob@example.com"}]"#,
        r#""{}""#,
        "\u{feff}{}",
        "",
    ] {
        assert_eq!(root.json("POST", GRANT, body).await.status, 400, "{body}");
    }
    let body = given("bob", "experiment", "6", "READ").to_string();
    for kind in ["text/plain", "application/x-www-form-urlencoded", "application/json; charset=utf-16", ""] {
        let request = Request::post(GRANT).header("content-type", kind).body(payload(body.clone())).unwrap();
        assert_eq!(root.send(request).await.status, 415, "{kind}");
    }
}

#[tokio::test]
async fn a_prompt_is_given_as_a_prompt() {
    let gate = gate().await;
    gate.grant("user:alice@example.com", "prompt", "greeting", "MANAGE").await;
    let alice = gate.bearer("alice");
    assert_eq!(alice.post(GRANT, &given("bob", "prompt", "greeting", "READ")).await.status, 200);
    let told = alice.post(GRANT, &given("bob", "registered_model", "greeting", "READ")).await;
    assert_eq!(code(&told), invalid(), "{}", told.text());
    assert!(told.text().contains("use resource_type 'prompt'"), "{}", told.text());
    // Clients from before they were two kinds read and write what it is.
    let path = "/api/2.0/mlflow/registered-models/permissions";
    let got = alice.get(&format!("{path}/get?name=greeting&username=bob@example.com")).await;
    assert_eq!(got.json()["registered_model_permission"]["permission"], "READ", "{}", got.text());
}

#[tokio::test]
async fn what_everybody_holds_by_the_settings_counts_and_is_in_no_list_of_grants() {
    // So does `grant_default_workspace_access` (MLflow 3.17.2, `_list_user_role_permissions`): lists are of what was given.
    let settings = "[access]\nadmins = [\"root@example.com\"]\ndefault_workspace_permission = \"USE\"";
    let server = Server::scripted(|request| {
        let target = request.uri().to_string();
        async move { mlflow(&target) }
    });
    let gate = Gate::with(server, settings, |_| {}).await;
    let bob = gate.bearer("bob");
    // The scripted server makes none: it was asked.
    let told = bob.post("/api/2.0/mlflow/experiments/create", &json!({"name": "mine"})).await;
    assert_eq!(code(&told), (404, "RESOURCE_DOES_NOT_EXIST".to_owned()));
    for list in ["users/current/permissions", "users/permissions/list?username=bob@example.com"] {
        let told = bob.get(&format!("/api/3.0/mlflow/{list}")).await.json();
        assert_eq!(told["permissions"], json!([]), "{list}");
    }
}

#[tokio::test]
async fn who_manages_either_kind_gives_a_prompt_as_a_prompt_too() {
    let gate = gate().await;
    gate.grant("user:alice@example.com", "workspace", "*", "MANAGE").await;
    let path = "/api/2.0/mlflow/registered-models/permissions";
    for who in ["root", "alice"] {
        let actor = gate.bearer(who);
        let body = |level: &str| json!({"name": "greeting", "username": "bob@example.com", "permission": level});
        assert_eq!(actor.post(&format!("{path}/create"), &body("READ")).await.status, 200);
        let rows = actor.get("/api/3.0/mlflow/users/permissions/list?username=bob@example.com").await.json();
        let row = &rows["permissions"][0];
        assert_eq!((&row["resource_type"], &row["resource_pattern"]), (&json!("prompt"), &json!("greeting")), "{who}");
        assert_eq!(actor.json("PATCH", &format!("{path}/update"), body("EDIT").to_string()).await.status, 200);
        let got = actor.get(&format!("{path}/get?name=greeting&username=bob@example.com")).await;
        assert_eq!(got.json()["registered_model_permission"]["permission"], "EDIT", "{who}: {}", got.text());
        assert_eq!(actor.json("DELETE", &format!("{path}/delete"), body("EDIT").to_string()).await.status, 200);
        // The newer call names the kind, and is told that it is the other one.
        let told = actor.post(GRANT, &given("bob", "registered_model", "greeting", "READ")).await;
        assert!(told.text().contains("use resource_type 'prompt'"), "{who}: {}", told.text());
        // A model stays a model.
        let iris = json!({"name": "iris", "username": "bob@example.com", "permission": "READ"});
        assert_eq!(actor.post(&format!("{path}/create"), &iris).await.status, 200);
        let rows = actor.get("/api/3.0/mlflow/users/permissions/list?username=bob@example.com").await.json();
        assert_eq!(rows["permissions"][0]["resource_type"], "registered_model", "{who}");
        assert_eq!(actor.json("DELETE", &format!("{path}/delete"), iris.to_string()).await.status, 200);
    }
}

#[tokio::test]
async fn what_was_allowed_and_not_done_cannot_be_read_as_done() {
    let gate = gate().await;
    let root = gate.bearer("root");
    let grant = given("bob", "experiment", "1", "READ");
    let done = root.post(GRANT, &grant).await;
    let record = gate.record(&done).await;
    assert!(record["done"].is_null() && record["error_code"].is_null(), "{record}");
    let role = make_role(&gate, "readers").await;
    let to_nobody = json!({"role_id": role, "username": "nobody@example.com"});
    let bad = given("bob", "experiment", "2", "OWNER");
    for (told, code) in [
        (root.post(GRANT, &grant).await, "RESOURCE_ALREADY_EXISTS"),
        (root.post(REVOKE, &given("bob", "experiment", "9", "READ")).await, "RESOURCE_DOES_NOT_EXIST"),
        (root.post("/api/3.0/mlflow/roles/assign", &to_nobody).await, "RESOURCE_DOES_NOT_EXIST"),
        (root.get("/api/3.0/mlflow/roles/get?role_id=999999").await, "RESOURCE_DOES_NOT_EXIST"),
        (root.post(GRANT, &bad).await, "INVALID_PARAMETER_VALUE"),
    ] {
        let record = gate.record(&told).await;
        assert_eq!(told.error_code(), code);
        // A level that is none may be refused before anything is judged: that is a refusal, and reads like one.
        let refused = record["decision"] == "deny";
        assert!(refused || (record["done"] == false && record["error_code"] == code), "{record}");
        assert_eq!(record["status"], told.status);
        assert!(refused || record["detail"].is_string(), "{record}");
    }
}

#[tokio::test]
async fn a_page_of_another_site_changes_nothing_with_our_cookie() {
    const JSON: (&str, &str) = ("content-type", "application/json");
    let gate = super::login::gate().await;
    let mut browser = super::login::Browser::at(&gate);
    browser.sign_in("/").await;
    let body = json!({"username": "x@example.com", "password": "x"}).to_string();
    for (method, path) in [
        ("POST", "/ajax-api/2.0/mlflow/users/create"),
        ("POST", "/ajax-api/3.0/mlflow/roles/create"),
        ("POST", "/ajax-api/3.0/mlflow/users/permissions/grant"),
        ("PATCH", "/ajax-api/2.0/mlflow/users/update-admin"),
        ("DELETE", "/ajax-api/2.0/mlflow/users/delete"),
        ("DELETE", "/ajax-api/3.0/mlflow/roles/unassign"),
    ] {
        for fields in [
            vec![("sec-fetch-site", "cross-site"), ("origin", "https://evil.example"), JSON],
            vec![("sec-fetch-site", "same-site"), ("origin", "https://evil.mlflow.example.com"), JSON],
            vec![("origin", "null"), JSON],
        ] {
            let told = browser.send(method, path, &fields, &body).await;
            assert_eq!(told.status, 403, "{method} {path} {fields:?}");
            assert_eq!(gate.record(&told).await["reason"], "foreign-origin", "{method} {path} {fields:?}");
        }
    }
    let told =
        browser.send("POST", "/ajax-api/2.0/mlflow/users/create", &[("content-type", "text/plain")], &body).await;
    assert_eq!(told.status, 403);
}

#[tokio::test]
async fn two_administrators_at_once_lose_no_change() {
    let gate = gate().await;
    let role = make_role(&gate, "shared").await;
    let root = gate.bearer("root");
    let assign = |who: usize| json!({"role_id": role, "username": format!("u{who}@example.com")});
    for who in 0..8 {
        let body = json!({"username": format!("u{who}@example.com"), "password": "x"});
        assert_eq!(root.post("/api/2.0/mlflow/users/create", &body).await.status, 200);
    }
    // Each of eight people twice, all at once: each is assigned once, and one of the two hears so.
    let bodies: Vec<Value> = (0..8).chain(0..8).map(assign).collect();
    let told =
        futures_util::future::join_all(bodies.iter().map(|body| root.post("/api/3.0/mlflow/roles/assign", body))).await;
    let mut codes: Vec<u16> = told.iter().map(|told| told.status).collect();
    codes.sort_unstable();
    assert_eq!(codes, [[200; 8], [400; 8]].concat());
    let listed = root.get(&format!("/api/3.0/mlflow/roles/users/list?role_id={role}")).await.json();
    assert_eq!(listed["assignments"].as_array().unwrap().len(), 8, "{listed}");
    // Name and description, changed at once, are both changed.
    let name = json!({"role_id": role, "name": "renamed"}).to_string();
    let text = json!({"role_id": role, "description": "described"}).to_string();
    let path = "/api/3.0/mlflow/roles/update";
    let (one, other) = tokio::join!(root.json("PATCH", path, name), root.json("PATCH", path, text));
    assert_eq!((one.status, other.status), (200, 200));
    let got = root.get(&format!("/api/3.0/mlflow/roles/get?role_id={role}")).await.json();
    assert_eq!((&got["role"]["name"], &got["role"]["description"]), (&json!("renamed"), &json!("described")));
}

#[tokio::test]
async fn the_account_that_is_signed_in_is_told_and_passwords_are_nobodys() {
    let gate = gate().await;
    let told = gate.bearer("alice").get("/ajax-api/2.0/mlflow/users/current").await.json();
    assert_eq!(told["is_basic_auth"], false);
    assert_eq!((&told["user"]["username"], &told["user"]["is_admin"]), (&json!("alice@example.com"), &json!(false)));
    assert!(told["user"]["id"].as_u64().unwrap() > 0);
    for who in ["alice", "root"] {
        let body = json!({"username": "alice@example.com", "password": "x", "current_password": "y"}).to_string();
        let told = gate.bearer(who).json("PATCH", "/api/2.0/mlflow/users/update-password", body).await;
        assert_eq!(code(&told), invalid());
        assert!(told.json()["message"].as_str().unwrap().contains("people sign in at Test"), "{}", told.text());
    }
    assert_eq!(gate.bearer("root").get("/signup").await.status, 403);
    assert_eq!(gate.anonymous().get("/ajax-api/2.0/mlflow/users/current").await.status, 401);
}

#[tokio::test]
async fn ends_take_permissions_and_roles_away_by_themselves() {
    let gate = gate().await;
    let root = gate.bearer("root");
    let role = make_role(&gate, "for a while").await;
    let add = json!({"role_id": role, "resource_type": "experiment", "resource_pattern": "1", "permission": "READ"});
    assert_eq!(root.post("/api/3.0/mlflow/roles/permissions/add", &add).await.status, 200);
    let now = || {
        u64::try_from(std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis()).unwrap()
    };
    let end = now() + 1500;
    let assign = json!({"role_id": role, "username": "group:everybody", "expires_at": end});
    let told = root.post("/api/3.0/mlflow/roles/assign", &assign).await;
    assert_eq!(told.status, 200, "{}", told.text());
    assert_eq!(told.json()["assignment"]["expires_at"], end);
    let read = "/api/2.0/mlflow/experiments/get?experiment_id=1";
    let mut allowed = 0;
    loop {
        let before = now();
        let status = gate.bearer("bob").get(read).await.status;
        if status == 403 {
            assert!(now() >= end, "refused too early");
            break;
        }
        assert!(before < end, "allowed after its end");
        allowed += 1;
    }
    assert!(allowed > 0);
}

#[tokio::test]
async fn the_page_has_a_way_out_for_whoever_has_a_session_and_is_mlflows_own_for_everybody_else() {
    const PAGE: &str = "<html><head><title>MLflow</title></head><body></body></html>";
    let gate = Gate::before(|request| async move {
        // What is compressed, or not sent since the browser has it, could not be added to.
        assert!(!request.headers().contains_key("if-none-match"), "{:?}", request.headers());
        let mut answer = full(200, PAGE);
        for (name, value) in
            [("content-type", "text/html; charset=utf-8"), ("etag", "\"1\""), ("cache-control", "no-cache")]
        {
            answer.headers_mut().insert(name, http::HeaderValue::from_static(value));
        }
        answer
    })
    .await;
    let mut browser = super::login::Browser::at(&gate);
    browser.sign_in("/").await;
    let told = browser.send("GET", "/", &[("if-none-match", "\"1\""), ("accept-encoding", "gzip")], "").await;
    let text = told.text();
    let script = text.split("src=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap_or_default().to_owned();
    assert!(script.starts_with("/trackgate/assets/menu-"), "{text}");
    assert_eq!(text.replace(&format!("<script defer=\"defer\" src=\"{script}\"></script>"), ""), PAGE);
    assert_eq!((told.header("etag"), told.header("cache-control")), (None, Some("no-cache")));
    let asset = browser.send("GET", &script, &[], "").await;
    assert_eq!((asset.status, asset.header("content-type")), (200, Some("text/javascript; charset=utf-8")));
    assert!(asset.text().contains("/trackgate/logout"));
    // A program has no session to leave.
    assert_eq!(gate.bearer("bob").get("/").await.text(), PAGE);
}
