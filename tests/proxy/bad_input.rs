//! Odd names, odd things and people who meet: what permissions are asked for that nobody should be given unawares.

use futures_util::future::join_all;
use http::Request;
use serde_json::{Value, json};
use trackgate::policy::classify::rows;
use trackgate::policy::route::{BodyClass, Need, Verb};

use super::own_pages::{self, FORM, NAVIGATE, OURS, SHARE, form, person, value};
use super::permissions::{GRANT, code, gate, given, make_role};
use crate::harness::client::nothing;
use crate::harness::gate::Gate;
use crate::harness::server::{Server, full};

const LIST: &str = "/api/3.0/mlflow/users/permissions/list?username=bob@example.com";

fn quoted(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

/// A registry that has every name there is.
async fn registry() -> Gate {
    let server = Server::scripted(|request| {
        let query = request.uri().query().unwrap_or_default().to_owned();
        let target = request.uri().path().to_owned();
        async move {
            if target == "/version" {
                return full(200, "3.17.2");
            }
            let name = url::form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == "name");
            let name = name.map_or_else(String::new, |(_, name)| name.into_owned());
            full(200, json!({"registered_model": {"name": name, "tags": []}}).to_string())
        }
    });
    let gate = Gate::with(server, "[access]\nadmins = [\"root@example.com\"]", |_| {}).await;
    for who in ["root", "bob"] {
        assert_eq!(gate.bearer(who).get("/ajax-api/2.0/mlflow/users/current").await.status, 200);
    }
    gate
}

/// Names that look alike, or like nothing, and are different ones.
const NAMES: [&str; 9] = [
    "j\u{f6}rg",
    "jo\u{308}rg",
    "\u{5e9}\u{5dc}\u{5d5}\u{5dd}",
    "a\u{202e}bc",
    "zero\u{200b}width",
    "zerowidth",
    "\u{1f469}\u{200d}\u{1f52c} \u{1f1e8}\u{1f1ed}",
    "churn",
    "\u{441}hurn",
];

#[tokio::test]
async fn a_grant_reaches_the_very_spelling_of_a_name_and_no_other() {
    let gate = registry().await;
    for name in NAMES {
        let root = gate.bearer("root");
        let told = root.post(GRANT, &given("bob", "registered_model", name, "READ")).await;
        assert_eq!(told.status, 200, "{name:?}: {}", told.text());
        // It is told as it was given, to the sign.
        let listed = root.get(LIST).await.json();
        assert_eq!(listed["permissions"][0]["resource_pattern"], name, "{listed}");
        for other in NAMES {
            let path = format!("/api/2.0/mlflow/registered-models/get?name={}", quoted(other));
            let status = gate.bearer("bob").get(&path).await.status;
            assert_eq!(status == 200, name == other, "{name:?} {other:?}: {status}");
        }
        assert_eq!(
            root.post("/api/3.0/mlflow/users/permissions/revoke", &given("bob", "registered_model", name, "READ"))
                .await
                .status,
            200
        );
        assert_eq!(root.get(LIST).await.json()["permissions"], json!([]), "{name:?}");
    }
}

#[tokio::test]
async fn a_name_that_turns_the_direction_of_writing_turns_nothing_but_itself() {
    let gate = own_pages::gate().await;
    let name = "a\u{202e}bc";
    gate.grant("user:alice@example.com", "registered_model", name, "MANAGE").await;
    let mut alice = person(&gate, "alice").await;
    let page = alice.visit("/trackgate/access").await.text();
    assert!(page.contains(name), "{page}");
    let mut named = page.split("/trackgate/assets/").skip(1).map(|rest| rest.split('"').next().unwrap().to_owned());
    let style = named.find(|name| name.rsplit('.').next() == Some("css")).unwrap();
    let style = alice.visit(&format!("/trackgate/assets/{style}")).await.text();
    assert!(style.contains("unicode-bidi: isolate"), "what stands beside it is written in its own direction");
}

#[tokio::test]
async fn addresses_that_differ_by_case_or_a_dot_at_the_end_are_nobody_elses() {
    let gate = gate().await;
    let root = gate.bearer("root");
    for twin in ["Bob@example.com", "bob@Example.com", "BOB@EXAMPLE.COM", "bob@example.com.", "bob.@example.com"] {
        let grant =
            json!({"username": twin, "resource_type": "experiment", "resource_id": "1", "permission": "MANAGE"});
        // Nobody of this name is known: it is not taken for the one who is.
        let told = root.post(GRANT, &grant).await;
        assert!(told.status == 404 || told.status == 400, "{twin}: {}", told.text());
    }
    assert_eq!(root.get(LIST).await.json()["permissions"], json!([]));
    // Nor does a token with such an address reach what bob holds.
    gate.grant("user:bob@example.com", "experiment", "1", "READ").await;
    let read = "/api/2.0/mlflow/experiments/get?experiment_id=1";
    assert_eq!(gate.bearer("bob").get(read).await.status, 404, "the scripted server has none");
    gate.issuer.change_claims(&json!({"sub": "twin", "email": "bob@example.com."}));
    let mut request = Request::get(read).body(nothing()).unwrap();
    request.headers_mut().insert("sec-fetch-mode", "cors".parse().unwrap());
    let told = gate.bearer("carol").send(request).await;
    assert_eq!(told.status, 403, "{}", told.text());
}

#[tokio::test]
async fn what_is_not_there_is_given_by_who_manages_all_of_it_alone_and_reads_like_what_is_hidden() {
    let gate = gate().await;
    gate.grant("user:alice@example.com", "experiment", "1", "MANAGE").await;
    gate.grant("user:carol@example.com", "experiment", "2", "MANAGE").await;
    // A scorer of an experiment, a model, an endpoint that nobody made.
    for (kind, id) in [
        ("experiment", "999999"),
        ("registered_model", "nobody-made-it"),
        ("prompt", "nobody-made-it"),
        ("scorer", "999999/quality"),
    ] {
        let told = gate.bearer("alice").post(GRANT, &given("bob", kind, id, "READ")).await;
        assert_eq!(code(&told), (403, "PERMISSION_DENIED".to_owned()), "{kind} {id}: {}", told.text());
        let told = gate.bearer("root").post(GRANT, &given("bob", kind, id, "READ")).await;
        assert_eq!(told.status, 200, "{kind} {id}: {}", told.text());
    }
    let plain = |text: String, id: &str| text.split(" (request").next().unwrap_or_default().replace(id, "it");
    let hidden = gate.bearer("alice").post(GRANT, &given("bob", "experiment", "2", "READ")).await;
    let absent = gate.bearer("alice").post(GRANT, &given("bob", "experiment", "999998", "READ")).await;
    assert_eq!(plain(hidden.text(), "2"), plain(absent.text(), "999998"));
}

#[tokio::test]
async fn a_role_is_given_to_no_role_and_holds_none() {
    let gate = gate().await;
    let (one, other) = (make_role(&gate, "one").await, make_role(&gate, "other").await);
    let root = gate.bearer("root");
    for name in ["role:one".to_owned(), format!("role:{one}"), "one".to_owned()] {
        let told = root.post("/api/3.0/mlflow/roles/assign", &json!({"role_id": other, "username": name})).await;
        assert!(told.status == 404 || told.status == 400, "{name}: {}", told.text());
    }
    for kind in ["role", "roles"] {
        let body =
            json!({"role_id": one, "resource_type": kind, "resource_pattern": other.to_string(), "permission": "READ"});
        let told = root.post("/api/3.0/mlflow/roles/permissions/add", &body).await;
        assert_eq!(code(&told), (400, "INVALID_PARAMETER_VALUE".to_owned()), "{}", told.text());
    }
    let having = root.get(&format!("/api/3.0/mlflow/roles/users/list?role_id={other}")).await.json();
    assert_eq!((&having["assignments"], &having["group_assignments"]), (&json!([]), &json!([])));
}

#[tokio::test]
async fn of_administrators_who_write_at_once_one_is_told_and_nothing_is_lost() {
    let gate = gate().await;
    let (root, levels) = (gate.bearer("root"), ["READ", "USE", "EDIT", "MANAGE", "DENY"]);
    let won = |statuses: &[(u16, String)]| {
        let exists = (400, "RESOURCE_ALREADY_EXISTS".to_owned());
        assert!(statuses.iter().all(|status| status.0 == 200 || *status == exists), "{statuses:?}");
        statuses.iter().filter(|status| status.0 == 200).count()
    };
    let outcome = |told: &crate::harness::gate::Told| {
        (told.status, if told.status == 200 { String::new() } else { told.error_code() })
    };
    for round in 0..5 {
        let id = round.to_string();
        let grants: Vec<Value> = levels.iter().map(|level| given("bob", "experiment", &id, level)).collect();
        let told = join_all(grants.iter().map(|grant| root.post(GRANT, grant))).await;
        let told: Vec<_> = told.iter().map(outcome).collect();
        assert_eq!(won(&told), 1, "{told:?}");
        // What counts is what the one was told that it counts.
        let at = told.iter().position(|told| told.0 == 200).unwrap();
        let listed = root.get(LIST).await.json();
        let row = listed["permissions"].as_array().unwrap().iter().find(|row| row["resource_pattern"] == *id).cloned();
        assert_eq!(row.unwrap()["permission"], levels[at], "{listed}");

        let make = json!({"name": format!("role {round}"), "workspace": "default"});
        let told = join_all((0..4).map(|_| root.post("/api/3.0/mlflow/roles/create", &make))).await;
        assert_eq!(won(&told.iter().map(outcome).collect::<Vec<_>>()), 1);
        let role = told.iter().find(|told| told.status == 200).unwrap().json()["role"]["id"].clone();
        let assign = json!({"role_id": role, "username": "carol@example.com"});
        let told = join_all((0..4).map(|_| root.post("/api/3.0/mlflow/roles/assign", &assign))).await;
        assert_eq!(won(&told.iter().map(outcome).collect::<Vec<_>>()), 1);

        // Changed and removed at once: never there again after it was said to be gone.
        let add = json!({"role_id": role, "resource_type": "experiment", "resource_pattern": id, "permission": "READ"});
        let added = root.post("/api/3.0/mlflow/roles/permissions/add", &add).await.json();
        let number = added["role_permission"]["id"].clone();
        let change = json!({"role_permission_id": number, "permission": "MANAGE"}).to_string();
        let remove = json!({"role_permission_id": number}).to_string();
        let path = "/api/3.0/mlflow/roles/permissions";
        let (update, removal) = (format!("{path}/update"), format!("{path}/remove"));
        let (changed, removed) =
            futures_util::join!(root.json("PATCH", &update, change), root.json("DELETE", &removal, remove));
        assert_eq!(removed.status, 200, "{}", removed.text());
        assert!(changed.status == 200 || changed.status == 404, "{}", changed.text());
        let left = root.get(&format!("{path}/list?role_id={role}")).await.json();
        assert_eq!(left["role_permissions"], json!([]));
    }
}

/// The forms of our own pages, with what each row needs of the caller met by an administrator.
fn forms() -> Vec<(&'static str, String)> {
    let forms = rows().filter(|row| row.is_local() && row.verb == Verb::Post && row.body == BodyClass::Form);
    // What strangers may send needs no page (tests/proxy/oauth.rs).
    let forms = forms.filter(|row| !row.open_to_strangers());
    forms.map(|row| (row.name, format!("/{}", row.path))).collect()
}

async fn state(gate: &Gate) -> (Vec<String>, usize) {
    let store = &gate.open().house().store;
    let grants = store.grants().iter().map(|record| format!("{} {}", record.id, record.grant)).collect();
    (grants, store.open_requests(0, 100).await.unwrap().len())
}

#[tokio::test]
async fn every_form_is_taken_from_its_own_page_alone() {
    let gate = own_pages::gate().await;
    gate.grant("user:bob@example.com", "experiment", "1", "READ").await;
    let mut root = person(&gate, "root").await;
    let mut carol = person(&gate, "carol").await;
    gate.grant("user:carol@example.com", "experiment", "1", "MANAGE").await;
    let page = root.visit(SHARE).await;
    let (token, seen) = (value(&page, "share/give", "token"), value(&page, "share/change", "seen"));
    let foreign = value(&carol.visit(SHARE).await, "share/give", "token");
    let role = root.visit("/trackgate/access").await;
    assert_eq!(role.status, 200);
    let all = forms();
    assert!(all.len() >= 9, "{all:?}");
    let before = state(&gate).await;
    for (name, path) in &all {
        let fields = |token: &str| {
            form(&[
                ("token", token),
                ("kind", "experiment"),
                ("id", "1"),
                ("to", "bob@example.com"),
                ("permission", "EDIT"),
                ("lasts", "good"),
                ("seen", &seen),
                ("request", "1"),
                ("role_id", "1"),
                ("reason", "for the attack"),
                ("about", "1"),
            ])
        };
        let other_site = ("sec-fetch-site", "cross-site");
        for (what, token, headers) in [
            ("no token", "", vec![FORM, NAVIGATE, OURS]),
            ("another session's", &*foreign, vec![FORM, NAVIGATE, OURS]),
            ("made up", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", vec![FORM, NAVIGATE, OURS]),
            ("another site's", &*token, vec![FORM, NAVIGATE, other_site, ("origin", "https://evil.example")]),
            ("a sandbox's", &*token, vec![FORM, NAVIGATE, other_site, ("origin", "null")]),
            ("nowhere's", &*token, vec![FORM]),
        ] {
            let told = root.send("POST", path, &headers, &fields(token)).await;
            assert_eq!(told.status, 403, "{name}, {what}: {}", told.text());
            let record = gate.record(&told).await;
            assert_eq!(record["decision"], "deny", "{name}, {what}: {record}");
            if headers.contains(&OURS) {
                // What it asks for was allowed: the form alone is what is wrong.
                assert_eq!(record["reason"], "foreign-form", "{name}, {what}: {record}");
            }
        }
    }
    assert_eq!(state(&gate).await, before);
    // All other rows of ours that change something are for those who sign in and out.
    let others = rows().filter(|row| row.is_local() && row.verb != Verb::Get && row.body != BodyClass::Form);
    // Or they take JSON alone, which no form of another site can send (`clean::check_origin`).
    let json = ["CreateToken", "RevokeToken"];
    let others = others.filter(|row| row.needs != [Need::Anyone] && !json.contains(&row.name));
    let others: Vec<_> = others.map(|row| row.name).collect();
    assert!(others.is_empty(), "{others:?}");
}
