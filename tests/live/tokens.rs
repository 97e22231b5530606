//! Do access tokens work in MLflow's own client, and does a person find their way to one?

use serde_json::json;

use crate::house::{folder, part, shared};
use crate::own_pages::{open, shoot};
use crate::stage::idp::accounts::OWNER;
use crate::webdriver::Browser;

#[test]
fn tokens_work_in_the_client_until_they_are_revoked_and_the_refusal_says_what_to_do() {
    let said = shared().play("tokens.py");
    for word in ["was revoked at", "expired at", "no passwords here", "cut off or mistyped"] {
        assert!(said.contains(word), "{word}: {said}");
    }
    // What the client showed is told apart in the audit log.
    let by_token = shared().audit(|record| record["proof"] == "token" && record["status"] == 200);
    assert!(by_token.iter().all(|record| record["token"].as_str().is_some_and(|id| id.len() == 8)), "{by_token:?}");
}

#[test]
fn a_person_makes_a_token_in_a_browser_and_revokes_it() {
    let test = "a_person_makes_a_token_in_a_browser_and_revokes_it";
    let Some(browser) = part(test, Browser::open(&folder("tokens"))) else { return };
    let house = shared();
    let page = format!("{}/trackgate/tokens", house.gate.url());
    open(&browser, &page, &OWNER);
    browser.reads("Make a token");
    browser.write("#name", "notebook on <b>the laptop</b>");
    browser.write("#scopes", "registered_model:team-*");
    browser.click("form[action='/trackgate/tokens/create'] button");
    browser.reads("Copy it now");
    let token = browser.script("return document.querySelector('#fresh').value");
    let token = token.as_str().unwrap().to_owned();
    assert!(token.starts_with("tgp_") && token.len() == 51, "{token}");
    shoot(&browser, "tokens-made");
    let asked = format!("{}/api/2.0/mlflow/registered-models/search", house.gate.url());
    assert_eq!(house.web.get(&asked, &token).unwrap().status, 200);
    browser.go(&page);
    browser.reads("last used");
    let shown = browser.script(&format!("return document.body.innerHTML.includes('{token}')"));
    assert_eq!(shown, json!(false), "it is shown once");
    shoot(&browser, "tokens-listed");
    browser.press(&format!("//li[contains(., '{}')]//button[contains(., 'Revoke')]", &token[4..12]));
    browser.reads("It is refused everywhere from now on.");
    assert_eq!(house.web.get(&asked, &token).unwrap().status, 401);
    shoot(&browser, "tokens-revoked");
    assert_eq!(browser.script("return document.scripts.length"), json!(0));
}
