//! Does everything work below `mlflow server --static-prefix`, and what that leaves at the root?

use http::Method;

use crate::house::{House, folder, part};
use crate::stage::idp::accounts::{GUEST, OWNER, READER};
use crate::stage::mlflow::{Artifacts, Rows};
use crate::stage::python::Environment;
use crate::webdriver::Browser;

#[test]
fn client_and_browser_work_below_a_static_prefix() {
    let test = "client_and_browser_work_below_a_static_prefix";
    let environment = Environment::with_mlflow().unwrap();
    let house = House::build_on("prefix", environment, "/x", |_, _| (Rows::Sqlite, Artifacts::Folder)).unwrap();
    let said = house.play("prefix.py");
    let (experiment, run) = said.trim().rsplit('\n').next().unwrap().split_once(' ').unwrap();

    // The native artifact routes are at the root as well, and are judged there as below the prefix.
    for place in ["/x/api", "/x/ajax-api", "/api", "/ajax-api"] {
        let at = |file: &str| {
            let folder = format!("2.0/mlflow-artifacts/artifacts/{experiment}/{run}/artifacts");
            format!("{}{place}/{folder}/{file}", house.gate.url())
        };
        let put = |account| {
            let token = format!("Bearer {}", house.token(account));
            let headers = [("authorization", token.as_str()), ("content-type", "text/plain")];
            house.web.send(&Method::PUT, &at("native.txt"), &headers, place).unwrap().status
        };
        assert_eq!(put(&READER), 403, "{place}");
        assert_eq!(put(&OWNER), 200, "{place}");
        let got = house.web.get(&at("native.txt"), &house.token(&READER)).unwrap();
        assert_eq!(got.status, 200, "{place}");
        assert_eq!(got.text(), place);
        assert_eq!(house.web.get(&at("native.txt"), &house.token(&GUEST)).unwrap().status, 403, "{place}");
    }
    // What the server does not have at the root is its 404, not another's.
    let root = format!("{}/api/2.0/mlflow/runs/get?run_id={run}", house.gate.url());
    assert_eq!(house.web.get(&root, &house.token(&READER)).unwrap().status, 404);
    assert_eq!(house.web.get(&root, &house.token(&GUEST)).unwrap().status, 403);

    let Some(browser) = part(test, Browser::open(&folder("prefix-browser"))) else { return };
    // The front leads below the prefix, through sign-in.
    browser.go(&format!("{}/#/experiments/{experiment}/runs", house.gate.url()));
    browser.reads("Demo identity provider");
    browser.click("button[value=owner]");
    browser.until("the page below the prefix", |browser| {
        browser.address().starts_with(&format!("{}/x/#/experiments/{experiment}", house.gate.url()))
    });
    browser.reads("prefix-");
    browser.go(&format!("{}/x/#/experiments", house.gate.url()));
    browser.reads("prefix-");
}
