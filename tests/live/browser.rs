//! Can a person sign in with a real browser, land where they wanted, see their own and not the others'?

use http::Method;
use serde_json::json;

use crate::house::{House, folder, part, shared};
use crate::stage::idp::accounts::{Account, OWNER, TRAINER};
use crate::webdriver::Browser;

/// An experiment with one run in it.
fn make(house: &House, who: &Account, name: &str) -> String {
    let ask = |path: &str, body: serde_json::Value| {
        let url = format!("{}/api/2.0/mlflow/{path}", house.gate.url());
        let made = house.web.post(&url, &house.token(who), &body).unwrap();
        assert_eq!(made.status, 200, "{}", made.text());
        made.json()
    };
    let id = ask("experiments/create", json!({ "name": name }))["experiment_id"].as_str().unwrap().to_owned();
    ask("runs/create", json!({ "experiment_id": id, "run_name": format!("run of {name}") }));
    id
}

#[test]
fn a_person_signs_in_lands_where_they_wanted_and_sees_only_their_own() {
    let test = "a_person_signs_in_lands_where_they_wanted_and_sees_only_their_own";
    let Some(browser) = part(test, Browser::open(&folder("browser"))) else { return };
    let house = shared();
    let (mine, theirs) = ("browser: mine", "browser: theirs");
    let own = make(house, &OWNER, mine);
    let other = make(house, &TRAINER, theirs);

    // A deep link, with a fragment that no server sees, by somebody who is not signed in.
    let wanted = format!("{}/#/experiments/{own}?x=y", house.gate.url());
    browser.go(&wanted);
    browser.reads("Demo identity provider");
    browser.shoot("1-sign-in");
    browser.click("button[value=owner]");
    browser.until("the page first asked for", |browser| {
        let address = browser.address();
        address.starts_with(&format!("{}/#/experiments/{own}", house.gate.url())) && address.contains("x=y")
    });
    browser.reads(mine);
    browser.shoot("2-own-experiment");
    browser.go(&format!("{}/#/experiments/{own}/runs", house.gate.url()));
    browser.reads(&format!("run of {mine}"));
    browser.shoot("2-own-runs");

    browser.go(&format!("{}/#/experiments", house.gate.url()));
    browser.reads(mine);
    assert!(!browser.text().contains(theirs), "the list shows another's experiment: {}", browser.text());
    browser.shoot("3-experiments");

    // The cookie is out of reach of scripts, and of MLflow's own pages.
    assert_eq!(browser.script("return document.cookie").as_str(), Some(""));
    let cookies = browser.cookies();
    assert!(
        cookies.iter().any(|cookie| {
            cookie["name"].as_str().is_some_and(|name| name.starts_with("__Host-"))
                && cookie["httpOnly"] == true
                && cookie["secure"] == true
        }),
        "{cookies:?}"
    );

    // What may not be seen, asked for as a page.
    browser.go(&format!("{}/get-artifact?run_uuid={}&path=a.txt", house.gate.url(), "0".repeat(32)));
    browser.reads("not");
    browser.shoot("4-refusal");
    browser.go(&format!("{}/#/experiments/{other}", house.gate.url()));
    browser.reads("Experiment load error: Permission denied: Graphql needs a permission that you do not have.");
    assert!(!browser.text().contains(theirs), "the page tells a hidden experiment's name: {}", browser.text());
    browser.shoot("5-hidden-experiment");

    browser.go(&format!("{}/trackgate/logout", house.gate.url()));
    browser.shoot("6-sign-out");
    browser.click("button[type=submit]");
    browser.reads("igned out");
    browser.shoot("7-signed-out");
    let page = house.web.send(&Method::GET, &house.gate.url(), &[("accept", "text/html")], "").unwrap();
    assert!(page.status != 200 || !page.text().contains("mlflow"), "a stranger got MLflow's page");
    browser.go(&format!("{}/#/experiments", house.gate.url()));
    browser.reads("Demo identity provider");
}
