//! What is more than one thing and one person on our own pages: patterns, roles, and groups that an identity provider alone knows.

use serde_json::json;

use super::own_pages::{SHARE, gate, person, submit, value};
use crate::harness::gate::{Gate, Told};
use crate::harness::server::{Server, full};

/// A role that holds something, which alice and a group have; its number.
async fn make_role(gate: &Gate, kind: &str, pattern: &str, level: &str) -> String {
    let root = gate.bearer("root");
    let made = root.post("/api/3.0/mlflow/roles/create", &json!({"name": "readers", "workspace": "default"})).await;
    let role = made.json()["role"]["id"].clone();
    let body = json!({"role_id": role, "resource_type": kind, "resource_pattern": pattern, "permission": level});
    let added = root.post("/api/3.0/mlflow/roles/permissions/add", &body).await;
    assert_eq!(added.status, 200, "{}", added.text());
    for who in ["alice@example.com", "group:team"] {
        let given = root.post("/api/3.0/mlflow/roles/assign", &json!({"role_id": role, "username": who})).await;
        assert_eq!(given.status, 200, "{}", given.text());
    }
    role.to_string()
}

const BY_OTHERS: &str = "Who manages the workspace, and administrators, change this";

fn held(gate: &Gate) -> Vec<String> {
    let mut held: Vec<String> =
        gate.open().house().store.grants().iter().map(|record| record.grant.to_string()).collect();
    held.sort();
    held
}

#[tokio::test]
async fn what_is_held_by_a_pattern_or_a_role_is_shown_with_whom_it_reaches() {
    let gate = gate().await;
    assert_eq!(gate.bearer("alice").get("/ajax-api/2.0/mlflow/users/current").await.status, 200);
    make_role(&gate, "experiment", "1", "READ").await;
    gate.grant("user:carol@example.com", "experiment", "1", "MANAGE").await;
    gate.grant("group:lab", "experiment", "*", "READ").await;
    let mut carol = person(&gate, "carol").await;
    let page = carol.visit(SHARE).await.text();
    assert!(page.contains("reaches alice@example.com, group team"), "{page}");
    assert!(page.contains("Through a pattern") && page.contains("<strong>lab</strong>"), "{page}");
    // She manages the thing alone: no form, and a clear word for each.
    assert_eq!(page.matches(BY_OTHERS).count(), 2, "{page}");
    assert!(!page.contains("share/role/change"), "{page}");
}

#[tokio::test]
async fn what_is_held_by_a_pattern_is_changed_by_who_manages_all_that_it_speaks_of() {
    let gate = gate().await;
    gate.grant("group:lab", "experiment", "*", "READ").await;
    gate.grant("user:dora@example.com", "workspace", "*", "MANAGE").await;
    gate.grant("user:carol@example.com", "experiment", "1", "MANAGE").await;
    let mut dora = person(&gate, "dora").await;
    let page = dora.visit(SHARE).await;
    let (token, seen) = (value(&page, "share/change", "token"), value(&page, "Through a pattern", "seen"));
    let fields = |token: &str, seen: &str, level: &str| -> Vec<(String, String)> {
        [("token", token), ("kind", "experiment"), ("id", "*"), ("to", "group:lab"), ("seen", seen), ("about", "1")]
            .into_iter()
            .chain([("permission", level), ("lasts", "keep")])
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    };
    let send = async |browser: &mut super::login::Browser<'_>, path: &str, fields: Vec<(String, String)>| -> Told {
        let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (&**name, &**value)).collect();
        submit(browser, path, &fields).await
    };
    // Who manages the one thing may not, whatever form they make up.
    let mut carol = person(&gate, "carol").await;
    let hers = value(&carol.visit(SHARE).await, "share/give", "token");
    let told = send(&mut carol, "/trackgate/share/change", fields(&hers, &seen, "EDIT")).await;
    assert_eq!(told.status, 403, "{}", told.text());

    let told = send(&mut dora, "/trackgate/share/change", fields(&token, &seen, "EDIT")).await;
    assert_eq!(told.status, 303, "{}", told.text());
    assert_eq!(told.header("location"), Some("/trackgate/share?kind=experiment&id=1&done=changed"));
    assert!(held(&gate).iter().any(|grant| grant.contains("lab") && grant.contains("EDIT")), "{:?}", held(&gate));
    // Seen before the change: somebody else was faster, and nothing is lost.
    let told = send(&mut dora, "/trackgate/share/remove", fields(&token, &seen, "EDIT")).await;
    assert_eq!(told.header("location"), Some("/trackgate/share?kind=experiment&id=1&done=faster"));
    assert_eq!(gate.record(&told).await["reason"], "not-changed");
    assert!(dora.visit(told.header("location").unwrap()).await.text().contains("somebody else was faster"));
    assert!(held(&gate).iter().any(|grant| grant.contains("lab") && grant.contains("EDIT")), "{:?}", held(&gate));
    let seen = value(&dora.visit(SHARE).await, "Through a pattern", "seen");
    let told = send(&mut dora, "/trackgate/share/remove", fields(&token, &seen, "EDIT")).await;
    assert_eq!(told.header("location"), Some("/trackgate/share?kind=experiment&id=1&done=removed"));
    assert!(held(&gate).iter().all(|grant| !grant.contains("lab")), "{:?}", held(&gate));
}

#[tokio::test]
async fn what_a_role_holds_is_changed_by_who_manages_the_workspace() {
    let gate = gate().await;
    assert_eq!(gate.bearer("alice").get("/ajax-api/2.0/mlflow/users/current").await.status, 200);
    let role = make_role(&gate, "experiment", "1", "READ").await;
    gate.grant("user:dora@example.com", "workspace", "*", "MANAGE").await;
    gate.grant("user:carol@example.com", "experiment", "1", "MANAGE").await;
    let mut dora = person(&gate, "dora").await;
    let page = dora.visit(SHARE).await;
    let (token, seen) = (value(&page, "share/role/change", "token"), value(&page, "share/role/change", "seen"));
    let mut carol = person(&gate, "carol").await;
    let hers = value(&carol.visit(SHARE).await, "share/give", "token");
    let about = [("kind", "experiment"), ("id", "1"), ("seen", &*seen), ("about", "1"), ("permission", "EDIT")];
    let with = |token: &'static str, value: &str, role: &str| {
        let mut fields: Vec<(String, String)> =
            about.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        fields.extend([(token.to_owned(), value.to_owned()), ("role_id".to_owned(), role.to_owned())]);
        fields.push(("lasts".to_owned(), "keep".to_owned()));
        fields
    };
    let change = "/trackgate/share/role/change";
    for (by_dora, role, status) in [(false, &*role, 403), (true, "999999", 403), (true, &*role, 303)] {
        let (browser, token) = if by_dora { (&mut dora, &token) } else { (&mut carol, &hers) };
        let fields = with("token", token, role);
        let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (&**name, &**value)).collect();
        let told = submit(browser, change, &fields).await;
        assert_eq!(told.status, status, "{role}: {}", told.text());
    }
    let read = gate.bearer("root").get(&format!("/api/3.0/mlflow/roles/permissions/list?role_id={role}")).await.json();
    assert_eq!(read["role_permissions"][0]["permission"], "EDIT", "{read}");
    let seen = value(&dora.visit(SHARE).await, "share/role/remove", "seen");
    let fields =
        [("token", &*token), ("kind", "experiment"), ("id", "1"), ("seen", &seen), ("about", "1"), ("role_id", &role)];
    assert_eq!(submit(&mut dora, "/trackgate/share/role/remove", &fields).await.status, 303);
    assert!(!dora.visit(SHARE).await.text().contains("readers"));
}

#[tokio::test]
async fn a_group_that_the_identity_provider_alone_knows_is_reviewed_as_that_with_whom_was_seen_in_it() {
    let gate = gate().await;
    gate.grant("group:lab", "experiment", "1", "READ").await;
    gate.grant("user:bob@example.com", "experiment", "2", "READ").await;
    let known = "known to the identity provider alone";
    let mut root = person(&gate, "root").await;
    let page = root.visit("/trackgate/review").await.text();
    assert!(page.contains(known) && !page.contains("seen at sign-in"), "{page}");
    let csv = root.visit("/trackgate/review.csv?by=person").await.text();
    assert!(csv.contains(&format!("\"\",\"group lab, {known}\",\"experiment\",\"1\",\"READ\"")), "{csv}");

    gate.issuer.change_claims(&json!({"groups": ["lab"]}));
    let bob = person(&gate, "bob").await;
    gate.issuer.change_claims(&json!({"groups": []}));
    let page = root.visit("/trackgate/review").await.text();
    assert!(page.contains("seen at sign-in: bob@example.com"), "{page}");
    let of_bob = root.visit("/trackgate/review?person=bob%40example.com").await.text();
    assert!(of_bob.contains("group lab, seen at sign-in") && of_bob.contains("id=2"), "{of_bob}");
    let csv = root.visit("/trackgate/review.csv?by=person").await.text();
    assert!(csv.contains("\"bob@example.com\",\"group lab, seen at sign-in\",\"experiment\",\"1\",\"READ\""), "{csv}");
    drop(bob);
}

#[tokio::test]
async fn the_way_out_is_written_into_mlflows_page_unless_the_setting_says_no() {
    for (setting, there) in [("", true), ("[access]\nsign_out_entry = false", false)] {
        let server = Server::scripted(|_| async {
            let mut answer = full(200, "<html><head></head><body><div id=\"root\"></div></body></html>");
            answer.headers_mut().insert("content-type", "text/html; charset=utf-8".parse().unwrap());
            answer
        });
        let gate = Gate::with(server, setting, |_| {}).await;
        let mut alice = person(&gate, "alice").await;
        let page = alice.visit("/").await;
        assert_eq!(page.status, 200);
        assert_eq!(page.text().contains("<script"), there, "{}", page.text());
        // The page itself is there in both cases.
        assert_eq!(alice.visit("/trackgate/logout").await.status, 200);
    }
}
