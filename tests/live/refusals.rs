//! Does a person who is refused read in MLflow's own pages what was needed, of what, and whom to ask?
//!
//! Each thing is tried by hand: the page is opened, its own buttons are pressed, and the words of the refusal must stand
//! where the page shows its errors.

use serde_json::{Value, json};

use crate::house::{House, folder, part, shared};
use crate::stage::idp::accounts::{OWNER, READER};
use crate::webdriver::Browser;

const HEADER_MENU: &str = "//button[@aria-label='Open header dropdown menu']";

/// What the owner makes, and the reader may read.
struct Things {
    experiment: String,
    name: String,
    run: String,
    model: String,
}

impl Things {
    fn make(house: &House) -> Self {
        let ask = |path: &str, body: Value| {
            let url = format!("{}/api/2.0/mlflow/{path}", house.gate.url());
            let made = house.web.post(&url, &house.token(&OWNER), &body).unwrap();
            assert_eq!(made.status, 200, "{}", made.text());
            made.json()
        };
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let (name, model) = ("refusals: what one may read".to_owned(), "refusals-model".to_owned());
        let experiment = text(&ask("experiments/create", json!({ "name": name }))["experiment_id"]);
        let run = ask("runs/create", json!({ "experiment_id": experiment, "run_name": "a run to keep" }));
        let run = text(&run["run"]["info"]["run_id"]);
        ask("registered-models/create", json!({ "name": model }));
        for (kind, id) in [("experiment", &experiment), ("registered_model", &model)] {
            house.gate.tell(&["grant", "add", &format!("user:{}", READER.email), kind, id, "READ"]).unwrap();
        }
        Self { experiment, name, run, model }
    }

    fn page_of_run(&self) -> String {
        format!("/experiments/{}/runs/{}", self.experiment, self.run)
    }
}

/// Opens a page anew, so that nothing of an earlier refusal is left on it.
fn open(house: &House, browser: &Browser, page: &str, shows: &str) {
    browser.go("about:blank");
    browser.go(&format!("{}/#{page}", house.gate.url()));
    browser.reads(shows);
}

/// The refusal is read on the page.
fn told(browser: &Browser, call: &str, wanted: &str, ask: &str, picture: &str) {
    let words = format!("Permission denied: {call} needs {wanted} Ask {ask} for it. (request ");
    browser.reads(&words);
    browser.shoot(&format!("refusal-{picture}"));
    let text = browser.text();
    assert!(!text.contains("{\"error_code\""), "the page shows JSON: {text}");
}

#[test]
fn a_refusal_is_read_in_mlflows_pages_with_what_was_needed_and_whom_to_ask() {
    let test = "a_refusal_is_read_in_mlflows_pages_with_what_was_needed_and_whom_to_ask";
    let Some(browser) = part(test, Browser::open(&folder("refusals"))) else { return };
    let house = shared();
    let things = Things::make(house);
    let Things { experiment, name, run, model } = &things;
    browser.go(&house.gate.url());
    browser.click("button[value=reader]");
    // A page that is left before is a sign-in that is broken off.
    browser.until("MLflow's first page", |browser| browser.address().starts_with(&house.gate.url()));
    browser.until("the grant", |browser| {
        open(house, browser, "/experiments", "Experiments");
        browser.text().contains(name)
    });

    let on_run = |least: &str| format!("{least} on run {run} in experiment {experiment}; you hold READ.");
    open(house, &browser, &things.page_of_run(), "a run to keep");
    browser.press(HEADER_MENU);
    browser.press("//*[@role='menuitem'][contains(., 'Rename')]");
    browser.write("[role=dialog] input", "another name");
    browser.press("//*[@role='dialog']//button[contains(., 'Save')]");
    told(&browser, "UpdateRun", &on_run("EDIT"), OWNER.email, "run-rename");

    open(house, &browser, &things.page_of_run(), "a run to keep");
    browser.press(HEADER_MENU);
    browser.press("//*[@role='menuitem'][contains(., 'Delete')]");
    browser.press("//*[@role='dialog']//button[contains(., 'Delete')]");
    told(&browser, "DeleteRun", &on_run("MANAGE"), OWNER.email, "run-delete");

    open(house, &browser, &things.page_of_run(), "a run to keep");
    browser.press("//button[@aria-label='Edit description']");
    browser.write("textarea", "words of a reader");
    browser.press("//button[normalize-space(.)='Save']");
    told(&browser, "SetTag", &on_run("EDIT"), OWNER.email, "run-note");

    open(house, &browser, "/experiments", name);
    browser.press(&format!("//*[@role='row'][contains(., '{name}')]//input[@type='checkbox']"));
    browser.press("//button[normalize-space(.)='Delete']");
    browser.press("//*[@role='dialog']//button[contains(., 'Delete')]");
    let wanted = format!("MANAGE on experiment {experiment}; you hold READ.");
    told(&browser, "DeleteExperiment", &wanted, OWNER.email, "experiment-delete");

    open(house, &browser, "/experiments", name);
    browser.press("//button[normalize-space(.)='Create']");
    browser.write("[role=dialog] input", "refusals: one of my own");
    browser.press("//*[@role='dialog']//button[normalize-space(.)='Create']");
    told(&browser, "CreateExperiment", "USE on the workspace; you hold nothing.", "an administrator", "create");

    let wanted = |least: &str| format!("{least} on registered model {model}; you hold READ.");
    open(house, &browser, &format!("/models/{model}"), model);
    browser.press(HEADER_MENU);
    browser.press("//*[@role='menuitem'][contains(., 'Delete')]");
    browser.press("//*[@role='dialog']//button[contains(., 'Delete')]");
    told(&browser, "DeleteRegisteredModel", &wanted("MANAGE"), OWNER.email, "model-delete");

    // Nothing of it was done.
    open(house, &browser, "/experiments", name);
    open(house, &browser, &format!("/models/{model}"), model);
    open(house, &browser, &things.page_of_run(), "a run to keep");
    assert!(!browser.text().contains("words of a reader"));
}
