//! Does MLflow itself act in the workspace that was judged, and in no other?
//!
//! On servers of their own, which run with `--enable-workspaces`.

use serde_json::{Value, json};

use crate::house::{House, folder, part};
use crate::stage::idp::accounts::{ADMIN, Account, OWNER, READER, TRAINER};
use crate::stage::mlflow::{Artifacts, Rows};
use crate::stage::python::Environment;
use crate::webdriver::Browser;

#[test]
fn people_of_two_workspaces_never_meet() {
    let back = |_: &_, _: &_| (Rows::Sqlite, Artifacts::Folder);
    let house = House::build_with("workspaces", back, true).unwrap();
    house.play("workspaces.py");
    pages_show_the_workspaces_of_who_is_signed_in(&house);
}

#[test]
fn who_manages_a_workspace_manages_the_roles_of_that_one_and_hears_of_no_other() {
    let back = |_: &_, _: &_| (Rows::Sqlite, Artifacts::Folder);
    let house = House::build_with("workspace-roles", back, true).unwrap();
    let said = house.play_by(&Environment::with_basic_auth().unwrap(), "auth_workspaces.py");
    assert!(said.contains("roles of two workspaces"), "{said}");
    // The record of a change names the workspace that it was made in, which the request did not.
    let made = house.audit(|record| record["call"] == "AddRolePermission" && record["user"] == OWNER.email);
    assert!(made.iter().all(|record| record["workspace"] == "perm-a" || record["decision"] == "deny"), "{made:?}");
}

/// One call by somebody in a workspace.
fn ask(house: &House, who: &Account, workspace: &str, path: &str, body: &Value) -> Value {
    let token = format!("Bearer {}", house.token(who));
    let headers = [("authorization", &*token), ("content-type", "application/json"), ("x-mlflow-workspace", workspace)];
    let url = format!("{}/api/{path}", house.gate.url());
    let answer = house.web.send(&http::Method::POST, &url, &headers, body.to_string()).unwrap();
    assert!(answer.status.is_success(), "{path}: {}", answer.text());
    answer.json()
}

/// Makes an experiment; its id.
fn make(house: &House, who: &Account, workspace: &str, name: &str) -> String {
    let made = ask(house, who, workspace, "2.0/mlflow/experiments/create", &json!({ "name": name }));
    made["experiment_id"].as_str().unwrap().to_owned()
}

fn sign_in(house: &House, browser: &Browser, who: &Account) {
    browser.go(&house.gate.url());
    browser.click(&format!("button[value={}]", who.key));
    browser.until("MLflow's first page", |browser| browser.address().starts_with(&house.gate.url()));
}

/// The choice of workspaces, and MLflow's pages in each, in Chromium.
fn pages_show_the_workspaces_of_who_is_signed_in(house: &House) {
    let test = "pages_show_the_workspaces_of_who_is_signed_in";
    let Some(browser) = part(test, Browser::open(&folder("workspaces-browser"))) else { return };
    for name in ["pages-a", "pages-b", "pages-c"] {
        ask(house, &ADMIN, "", "3.0/mlflow/workspaces", &json!({ "name": name }));
    }
    let grant = |who: &Account, kind: &str, id: &str, least: &str, workspace: &str| {
        let who = format!("user:{}", who.email);
        house.gate.tell(&["grant", "add", &who, kind, id, least, "--workspace", workspace]).unwrap();
    };
    for (who, workspace) in [(&OWNER, "pages-a"), (&OWNER, "pages-b"), (&TRAINER, "pages-c")] {
        grant(who, "workspace", "*", "USE", workspace);
    }
    let shown = make(house, &ADMIN, "pages-a", "experiment of a");
    for (name, workspace) in [("another of a", "pages-a"), ("experiment of b", "pages-b"), ("of c", "pages-c")] {
        make(house, &ADMIN, workspace, name);
    }
    make(house, &ADMIN, "", "experiment of all");
    let of_b = make(house, &OWNER, "pages-b", "owner's in b");
    ask(house, &OWNER, "pages-b", "2.0/mlflow/runs/create", &json!({ "experiment_id": of_b, "run_name": "run of b" }));
    make(house, &OWNER, "pages-a", "owner's in a");
    grant(&READER, "experiment", &shown, "READ", "pages-a");

    // Who belongs to one workspace is offered that one, and sees there what was granted there.
    sign_in(house, &browser, &READER);
    browser.reads("Select a workspace");
    browser.reads("pages-a");
    browser.shoot("workspaces-1-choice-of-one");
    let text = browser.text();
    assert!(!text.contains("pages-b") && !text.contains("pages-c") && !text.contains("default"), "{text}");
    browser.press("//a[normalize-space(.)='pages-a']");
    browser.until("the workspace's first page", |browser| browser.address().contains("workspace=pages-a"));
    browser.press("//a[normalize-space(.)='Experiments']");
    browser.reads("experiment of a");
    browser.shoot("workspaces-2-experiments-of-one");
    let text = browser.text();
    assert!(!text.contains("another of a") && !text.contains("owner's") && !text.contains("of b"), "{text}");
    browser.go("about:blank");
    browser.go(&format!("{}/#/experiments?workspace=pages-b", house.gate.url()));
    browser.reads("Workspace 'pages-b' not found");
    assert!(!browser.text().contains("experiment of b"));
    browser.shoot("workspaces-3-hidden");

    // Who belongs to several goes from one to the other.
    let browser = Browser::open(&folder("workspaces-browser-owner")).unwrap();
    sign_in(house, &browser, &OWNER);
    browser.reads("pages-b");
    assert!(!browser.text().contains("pages-c"), "{}", browser.text());
    browser.press("//a[normalize-space(.)='pages-a']");
    browser.until("the workspace's first page", |browser| browser.address().contains("workspace=pages-a"));
    browser.press("//a[normalize-space(.)='Experiments']");
    browser.reads("owner's in a");
    assert!(!browser.text().contains("in b"), "{}", browser.text());
    browser.press("//*[@role='combobox'][contains(., 'pages-a')]");
    browser.press("//*[@role='option'][contains(., 'pages-b')]");
    browser.reads("owner's in b");
    browser.shoot("workspaces-4-switched");
    assert!(browser.address().contains("workspace=pages-b") && !browser.text().contains("in a"), "{}", browser.text());
    browser.go("about:blank");
    browser.go(&format!("{}/#/experiments/{of_b}/runs?workspace=pages-b", house.gate.url()));
    browser.reads("run of b");
    browser.shoot("workspaces-5-runs");
}

#[test]
fn where_workspaces_are_off_mlflows_pages_offer_no_choice_of_them() {
    let test = "where_workspaces_are_off_mlflows_pages_offer_no_choice_of_them";
    let Some(browser) = part(test, Browser::open(&folder("unaware-browser"))) else { return };
    let back = |_: &_, _: &_| (Rows::Sqlite, Artifacts::Folder);
    let house = House::build_unaware("unaware", back).unwrap();
    let direct =
        house.web.send(&http::Method::GET, &format!("{}/api/3.0/mlflow/server-info", house.direct()), &[], "").unwrap();
    assert_eq!(direct.json()["workspaces_enabled"], true, "{}", direct.text());
    let own = make(&house, &OWNER, "", "of the only workspace");
    ask(&house, &OWNER, "", "2.0/mlflow/runs/create", &json!({ "experiment_id": own, "run_name": "the run" }));

    sign_in(&house, &browser, &OWNER);
    browser.reads("of the only workspace");
    let wordless = |browser: &Browser| {
        let text = browser.text();
        assert!(!text.to_lowercase().contains("workspaces") && !text.contains("Select workspace"), "{text}");
    };
    wordless(&browser);
    browser.shoot("unaware-1-home");
    browser.press("//a[normalize-space(.)='Experiments']");
    browser.reads("of the only workspace");
    wordless(&browser);
    browser.shoot("unaware-2-experiments");
    browser.go(&format!("{}/#/experiments/{own}/runs", house.gate.url()));
    browser.reads("the run");
    wordless(&browser);

    let remark = String::from_utf8(house.gate.command(&["check"]).output().unwrap().stdout).unwrap();
    assert!(remark.contains("note  workspaces: the server has them"), "{remark}");
}
