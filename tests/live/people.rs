//! Do MLflow's own pages of users, roles and permissions work through Trackgate, and does one get out of them?
//!
//! An administrator makes a role, assigns it, gives and takes a permission, deletes the role, all by the page; each time
//! somebody else's access is asked for by the API. Then one signs out by the page's menu.

use serde_json::json;

use crate::house::{House, folder, part, shared};
use crate::stage::idp::accounts::{GUEST, OWNER};
use crate::webdriver::Browser;

/// A fresh page, whatever stood there: addresses that differ behind `#` alone load nothing anew.
fn open(browser: &Browser, house: &House, path: &str, reads: &str) {
    browser.go("about:blank");
    browser.go(&format!("{}/#{path}", house.gate.url()));
    browser.reads(reads);
}

fn make(house: &House, name: &str) -> String {
    let url = format!("{}/api/2.0/mlflow/experiments/create", house.gate.url());
    let made = house.web.post(&url, &house.token(&OWNER), &json!({ "name": name })).unwrap();
    assert_eq!(made.status, 200, "{}", made.text());
    made.json()["experiment_id"].as_str().unwrap().to_owned()
}

/// What the guest is answered who asks for an experiment.
fn asked(house: &House, id: &str) -> u16 {
    let url = format!("{}/api/2.0/mlflow/experiments/get?experiment_id={id}", house.gate.url());
    house.web.get(&url, &house.token(&GUEST)).unwrap().status.as_u16()
}

fn component(id: &str) -> String {
    format!("[data-component-id='{id}']")
}

/// Of what a role page's lists offer, the one with this text.
fn choose(browser: &Browser, list: &str, option: &str) {
    browser.press(&format!("//*[@role='dialog']//button[contains(., '{list}')]"));
    browser.press(&format!("//*[@role='option'][contains(., '{option}')]"));
}

/// The changes are shown first, then made. The dialog stays in the page, unseen.
fn confirm(browser: &Browser) {
    let part = |name: &str| format!("//*[@data-component-id='admin.edit_access_modal.{name}']");
    browser.press(&part("review"));
    browser.press(&part("confirm"));
    browser.until("the end of the dialog", |browser| {
        let seen = "return [...document.querySelectorAll('[data-component-id^=\"admin.edit_access_modal\"]')]
            .some(part => part.getClientRects().length > 0 && getComputedStyle(part).visibility !== 'hidden')";
        browser.script(seen) == false
    });
}

#[test]
fn an_administrator_manages_roles_and_permissions_in_mlflows_pages_and_signs_out_there() {
    let test = "an_administrator_manages_roles_and_permissions_in_mlflows_pages_and_signs_out_there";
    let Some(browser) = part(test, Browser::open(&folder("people"))) else { return };
    let house = shared();
    let (by_role, by_grant) = (make(house, "people: by role"), make(house, "people: by grant"));
    // Whoever has asked once is known.
    assert_eq!((asked(house, &by_role), asked(house, &by_grant)), (403, 403));

    browser.go(&format!("{}/#/admin", house.gate.url()));
    browser.reads("Demo identity provider");
    browser.click("button[value=admin]");
    browser.reads("Create User");
    browser.reads(GUEST.email);
    browser.shoot("people-1-users");

    // A role with a permission, for the guest.
    browser.press("//*[@role='tab'][contains(., 'Roles')]");
    browser.click(&component("admin.roles.create_button"));
    browser.reads("Role details");
    browser.write(&component("admin.create_role_modal.name"), "people: readers");
    browser.press("//*[@role='dialog']//button[contains(., 'Permissions')]");
    browser.click("[data-component-id='admin.role_permission_form.scope'][value='specific']");
    choose(&browser, "Select experiment", "people: by role");
    browser.click(&component("admin.role_permissions.add"));
    browser.press("//*[@role='dialog']//button[contains(., 'Assign users')]");
    choose(&browser, "Select one or more users", GUEST.email);
    browser
        .script("document.activeElement.dispatchEvent(new KeyboardEvent('keydown', {key: 'Escape', bubbles: true}))");
    browser.shoot("people-2-role");
    browser.click(&component("admin.create_role_modal.submit"));
    browser.until("the role", |_| asked(house, &by_role) == 200);
    browser.reads("people: readers");
    browser.shoot("people-3-roles");

    // A permission without a role, given and taken.
    open(&browser, house, &format!("/admin/users/{}", GUEST.email), "Edit access");
    browser.reads("people: readers");
    browser.click(&component("admin.user_detail.edit_access_button"));
    browser.reads("Direct permissions");
    choose(&browser, "Select experiment", "people: by grant");
    browser.click(&component("admin.direct_permissions.add"));
    browser.shoot("people-4-grant");
    confirm(&browser);
    browser.until("the permission", |_| asked(house, &by_grant) == 200);
    browser.press("//*[@data-component-id='admin.user_detail.edit_access_button']");
    browser.press(&format!("//button[@aria-label='Remove experiment {by_grant}']"));
    confirm(&browser);
    browser.until("its end", |_| asked(house, &by_grant) == 403);

    open(&browser, house, "/admin", "Create User");
    browser.press("//*[@role='tab'][contains(., 'Roles')]");
    browser.reads("people: readers");
    browser.press("//*[@role='row'][contains(., 'people: readers')]//input[@type='checkbox']");
    browser.click(&component("admin.roles.bulk_delete_button"));
    browser.press("//*[@role='dialog']//button[contains(., 'Delete')]");
    browser.until("the end of the role", |_| asked(house, &by_role) == 403);

    // Out, by the menu.
    browser.click("button[aria-label^='Account menu']");
    browser.until("the menu", |browser| browser.text().contains("Manage") && browser.text().contains("Sign out"));
    browser.shoot("people-5-menu");
    browser.click("[data-trackgate='sign-out']");
    browser.click("button[type=submit]");
    browser.reads("igned out");
    assert!(
        browser.cookies().iter().all(|cookie| cookie["name"] != "__Host-trackgate"),
        "the session's cookie is there"
    );
    open(&browser, house, "/admin", "Demo identity provider");

    // Somebody without anything to manage sees themselves alone, and gets out by the keyboard.
    browser.click("button[value=guest]");
    browser.click("button[aria-label^='Account menu']");
    browser.until("the menu", |browser| browser.text().contains("Sign out"));
    let menu = browser.script("return document.querySelector('[role=menu]').innerText");
    assert_eq!(
        menu.as_str().map(|menu| menu.split_whitespace().collect::<Vec<_>>().join(" ")).as_deref(),
        Some("Account Sign out")
    );
    browser.press("//*[@role='menuitem'][contains(., 'Account')]");
    browser.reads(&format!("Logged in as {}", GUEST.email));
    browser.shoot("people-6-account");
    assert!(!browser.text().contains("Change password"), "{}", browser.text());
    browser.click("button[aria-label^='Account menu']");
    browser.script(
        "const send = (key) => document.activeElement.dispatchEvent(new KeyboardEvent('keydown', {key, bubbles: true, cancelable: true}));
         const items = () => [...document.querySelectorAll('[role=menuitem]')];
         items()[items().length - 2].focus(); send('ArrowDown');
         if (document.activeElement !== items().at(-1)) throw new Error('not reached by the keyboard');
         send('Enter');",
    );
    browser.until("the way out", |browser| browser.address().ends_with("/trackgate/logout"));
}
