//! Do our own pages work in a real browser: somebody asks, is given, reaches it, and loses it in time?

use std::time::{Duration, Instant};

use serde_json::json;

use crate::house::{House, WITH_ENTRY, folder, part, shared};
use crate::stage::idp::accounts::{ADMIN, Account, GUEST, OWNER};
use crate::webdriver::Browser;

/// Goes to a page of ours, and signs in on the way.
pub(crate) fn open(browser: &Browser, url: &str, who: &Account) {
    browser.go(url);
    browser.reads("Demo identity provider");
    browser.click(&format!("button[value={}]", who.key));
    browser.until("the page first asked for", |browser| browser.address() == url);
}

/// Texts that are too pale for their ground (WCAG 2.2, 1.4.3: 4.5 to 1, of large ones 3 to 1), what stands in empty fields
/// too, and where one goes by the keyboard in another order than one reads.
const PALE: &str = "
    const parts = (color) => {
        const found = color.match(/[\\d.]+/g).map(Number);
        return { rgb: found.slice(0, 3), alpha: found.length > 3 ? found[3] : 1 };
    };
    const light = (rgb) => {
        const [r, g, b] = rgb.map((part) => {
            const one = part / 255;
            return one <= 0.04045 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4;
        });
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const ground = (element) => {
        for (let at = element; at; at = at.parentElement) {
            const { rgb, alpha } = parts(getComputedStyle(at).backgroundColor);
            if (alpha === 1) { return rgb; }
            if (alpha !== 0) { return null; }
        }
        return [255, 255, 255];
    };
    const pale = [];
    const judge = (element, style, text) => {
        const under = ground(element);
        if (!under) { pale.push(`a ground that shines through: ${text}`); return; }
        const [one, other] = [light(parts(style.color).rgb), light(under)].sort((a, b) => b - a);
        const ratio = (one + 0.05) / (other + 0.05);
        const size = parseFloat(style.fontSize);
        const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
        if (ratio < (large ? 3 : 4.5)) { pale.push(`${ratio.toFixed(2)}: ${text}`); }
    };
    for (const element of document.querySelectorAll('body *')) {
        if (!element.checkVisibility({ visibilityProperty: true }) || element.closest('.unseen')) { continue; }
        const own = [...element.childNodes].filter((node) => node.nodeType === 3).map((node) => node.data).join('').trim();
        if (own) { judge(element, getComputedStyle(element), own); }
        if (element.placeholder) { judge(element, getComputedStyle(element, '::placeholder'), element.placeholder); }
        if (element.tabIndex > 0) { pale.push(`out of order: ${element.outerHTML}`); }
    }
    return pale;
";
/// What is seen beyond the right edge of the screen, or beyond that of the box it stands in.
const BEYOND: &str = "
    return [...document.querySelectorAll('main *')]
        .filter((part) => part.checkVisibility() && !part.closest('.unseen, thead'))
        .filter((part) => part.getBoundingClientRect().right > window.innerWidth + 1)
        .map((part) => part.outerHTML.slice(0, 200));
";

/// The page by day, by night, and on a phone, where nothing may be wider than the screen.
pub(crate) fn shoot(browser: &Browser, name: &str) {
    let scheme = |value: &str| {
        let features = json!({ "features": [{ "name": "prefers-color-scheme", "value": value }] });
        browser.emulate("Emulation.setEmulatedMedia", &features);
    };
    let legible = |when: &str| assert_eq!(browser.script(PALE), json!([]), "{name} {when}");
    browser.shoot(&format!("own-{name}-light"));
    legible("by day");
    scheme("dark");
    browser.shoot(&format!("own-{name}-dark"));
    legible("by night");
    scheme("light");
    let phone = json!({ "width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": true });
    browser.emulate("Emulation.setDeviceMetricsOverride", &phone);
    browser.shoot(&format!("own-{name}-phone"));
    let wide = browser.script("return document.documentElement.scrollWidth - window.innerWidth");
    assert!(wide.as_i64().unwrap() <= 0, "{name} is wider than a phone by {wide}");
    assert_eq!(browser.script(BEYOND), json!([]), "of {name} this is not seen on a phone");
    let nameless = browser.script(
        "return [...document.querySelectorAll('input:not([type=hidden]), select, textarea')]
            .filter(field => !field.labels.length).map(field => field.outerHTML)",
    );
    assert_eq!(nameless, json!([]), "fields of {name} without a label");
    browser.emulate("Emulation.clearDeviceMetricsOverride", &json!({}));
}

#[test]
fn somebody_asks_is_given_reaches_it_and_loses_it_in_time() {
    let test = "somebody_asks_is_given_reaches_it_and_loses_it_in_time";
    let Some(guest) = part(test, Browser::open(&folder("own-pages-guest"))) else { return };
    let Some(owner) = part(test, Browser::open(&folder("own-pages-owner"))) else { return };
    let house = shared();
    let url = house.gate.url();
    let name = "own pages: <b>Öl & Essig</b>";
    let made = house
        .web
        .post(&format!("{url}/api/2.0/mlflow/experiments/create"), &house.token(&OWNER), &json!({ "name": name }))
        .unwrap();
    assert_eq!(made.status, 200, "{}", made.text());
    let id = made.json()["experiment_id"].as_str().unwrap().to_owned();

    // From the page of the refusal to the form, which knows what was refused.
    let wanted = format!("{url}/api/2.0/mlflow/experiments/get?experiment_id={id}");
    open(&guest, &wanted, &GUEST);
    guest.reads("You may not do this");
    shoot(&guest, "refusal");
    guest.click("a[href^='/trackgate/ask']");
    guest.reads("What do you need?");
    assert_eq!(guest.script("return document.getElementById('id').value"), json!(id));
    guest.write("textarea[name=reason]", "Für die Auswertung im Juni");
    guest.click("form[action='/trackgate/ask'] button");
    guest.reads("waiting for a decision");
    assert!(!guest.text().contains("Essig"), "whoever may not see it reads no name: {}", guest.text());
    shoot(&guest, "ask");

    open(&owner, &format!("{url}/trackgate/requests"), &OWNER);
    owner.reads("Für die Auswertung im Juni");
    owner.reads(name);
    owner.click("summary");
    shoot(&owner, "requests");
    // To the next full minute but a few seconds: a field for a moment has no seconds.
    owner.script(
        "const end = new Date(Date.now() + 70000).toISOString().slice(0, 16);
         document.querySelector(\"form[action='/trackgate/requests/grant'] select[name=lasts]\").value = 'until';
         document.querySelector(\"form[action='/trackgate/requests/grant'] input[name=until]\").value = end;",
    );
    owner.click("form[action='/trackgate/requests/grant'] button");
    owner.reads("Given. It counts from now on.");
    let given = Instant::now();

    guest.go(&wanted);
    guest.reads("Essig");
    guest.go(&format!("{url}/trackgate/access"));
    guest.reads(name);
    shoot(&guest, "access");

    owner.go(&format!("{url}/trackgate/share?kind=experiment&id={id}"));
    owner.reads(GUEST.email);
    owner.click("li:nth-child(1) summary");
    shoot(&owner, "share");
    // A name that looks like a known one is asked about.
    owner.write("form[action='/trackgate/share/give'] input[name=to]", &GUEST.email.replace('g', "G"));
    owner.click("form[action='/trackgate/share/give'] button");
    owner.reads("Yes, I mean");
    shoot(&owner, "alike");
    owner.go(&format!("{url}/trackgate/review"));
    owner.reads(GUEST.email);
    shoot(&owner, "review");

    let admin = Browser::open(&folder("own-pages-admin")).unwrap();
    open(&admin, &format!("{url}/trackgate/audit?person=guest&decision=deny"), &ADMIN);
    admin.reads("GetExperiment");
    shoot(&admin, "audit");

    // The end comes by itself.
    loop {
        guest.go(&wanted);
        if guest.text().contains("You may not do this") {
            break;
        }
        assert!(given.elapsed() < Duration::from_secs(150), "it did not end: {}", guest.text());
        std::thread::sleep(Duration::from_secs(1));
    }
    assert!(given.elapsed() < Duration::from_mins(2), "it ended late: {:?}", given.elapsed());
}

#[test]
fn an_entry_on_mlflows_pages_leads_to_ours_and_back() {
    let test = "an_entry_on_mlflows_pages_leads_to_ours_and_back";
    let Some(browser) = part(test, Browser::open(&folder("entry-browser"))) else { return };
    let house = House::build(WITH_ENTRY, House::simple).unwrap();
    let url = house.gate.url();
    browser.go(&url);
    browser.reads("Demo identity provider");
    browser.click(&format!("button[value={}]", OWNER.key));
    browser.reads("My access");
    browser.reads("Experiments");
    browser.shoot("entry-light");
    // It lies on nothing that one would press: whatever is below it belongs to it, or to no control.
    let covered = "const place = document.getElementById('trackgate-entry').getBoundingClientRect();
        return document.elementsFromPoint(place.x + place.width / 2, place.y + place.height / 2)
            .filter(part => part.matches('a, button, input, [role=button]') && part.id !== 'trackgate-entry')
            .map(part => part.outerHTML.slice(0, 200))";
    assert_eq!(browser.script(covered), json!([]));
    let phone = json!({ "width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": true });
    browser.emulate("Emulation.setDeviceMetricsOverride", &phone);
    browser.shoot("entry-phone");
    browser.emulate("Emulation.clearDeviceMetricsOverride", &json!({}));
    browser.script("localStorage.setItem('databricks-dark-mode-pref', 'dark'); localStorage.setItem('_mlflow_dark_mode_toggle_enabled', 'true')");
    browser.go("about:blank");
    browser.go(&url);
    browser.reads("Experiments");
    browser.shoot("entry-dark");
    browser.click("#trackgate-entry");
    browser.reads("Who you are here");
    shoot(&browser, "access-owner");
    browser.press("//a[normalize-space(.)='Back to MLflow']");
    browser.reads("Experiments");
}
