//! Does every page of MLflow load whole for who owns what it shows, and for who may only read it?
//!
//! A page that asks for something and is refused shows an error, or worse, nothing. So each page is opened, all that it
//! asks for is waited for, and no answer may be an error.

use std::collections::BTreeMap;

use crate::house::{House, folder, part, shared};
use crate::webdriver::Browser;

/// Keeps count of what the page has under way and of the errors it was told.
const WATCH: &str = "
    if (!window.watched) {
        window.watched = { open: 0, last: 0, told: [] };
        const asked = window.fetch;
        window.fetch = async (...words) => {
            watched.open += 1;
            try {
                const answer = await asked(...words);
                if (answer.status >= 400) {
                    watched.told.push(`${answer.status} ${answer.url} ${await answer.clone().text()}`);
                }
                return answer;
            } finally { watched.open -= 1; watched.last = performance.now(); }
        };
    }
    performance.setResourceTimingBufferSize(100000);
    performance.clearResourceTimings();
    watched.told = [];
    watched.last = performance.now();
";
/// Nothing is under way, and nothing was for a second.
const QUIET: &str = "
    const ends = performance.getEntriesByType('resource').map(one => one.responseEnd);
    return watched.open === 0 && performance.now() - Math.max(watched.last, ...ends) > 1000;
";
/// The errors, with those of calls that were not seen by `fetch`.
const TOLD: &str = "
    const seen = watched.told.map(one => one.split(' ')[1]);
    const more = performance.getEntriesByType('resource')
        .filter(one => one.responseStatus >= 400 && !seen.includes(one.name))
        .map(one => `${one.responseStatus} ${one.name}`);
    return watched.told.concat(more);
";
/// What the pages say when a part of them could not be loaded.
const WRONG: [&str; 6] = [
    "Failed to load",
    "ermission denied",
    "PERMISSION_DENIED",
    "Something went wrong",
    "An error occurred",
    "load error",
];

/// Errors that the pages take without showing any, by who is told them and what for.
const HARMLESS: [(&str, &str, &str); 5] = [
    // A stock server has no users: the pages then show none.
    ("", "404", "/mlflow/users/current"),
    ("", "403", "/mlflow/users/list"),
    // An MCP server without a version has no latest one.
    ("", "404", "/aliases/latest"),
    // A queue of one's own is made in the experiment, which who reads may not.
    ("reader", "403", "/review-queues/get-or-create-user"),
    // The server's own answer for a version of proxied artifacts: it cannot reach them by its own tracking URI.
    ("", "500", "/model-versions/get-artifact"),
];
/// What is shown to members or holders of a grant of their own, and not to who reads the experiment.
const OWNERS_OWN: [&str; 2] = ["judges", "review"];

fn harmless(who: &str, told: &str) -> bool {
    HARMLESS.iter().any(|(to, status, call)| {
        (to.is_empty() || *to == who)
            && told.starts_with(status)
            && told.split(' ').nth(1).is_some_and(|url| url.contains(call))
    })
}

fn signed_in(house: &House, who: &str) -> Option<Browser> {
    let test = format!("pages as {who}");
    let browser = part(&test, Browser::open(&folder(&format!("pages-{who}"))))?;
    browser.go(&house.gate.url());
    browser.click(&format!("button[value={who}]"));
    browser.until("MLflow's first page", |browser| browser.address().starts_with(&house.gate.url()));
    Some(browser)
}

/// Opens a page; what is wrong with it.
fn open(house: &House, browser: &Browser, who: &str, page: &str, to: &str, shows: &str) -> Vec<String> {
    browser.script(WATCH);
    browser.go(&format!("{}/#{to}", house.gate.url()));
    browser.until("quiet", |browser| browser.script(QUIET) == true);
    browser.shoot(&format!("page-{page}-{who}"));
    let told = browser.script(TOLD);
    let told = told.as_array().unwrap().iter().map(|told| told.as_str().unwrap());
    let mut wrong: Vec<String> =
        told.filter(|told| !harmless(who, told)).map(|told| format!("{page}: {told}")).collect();
    let text = browser.text();
    wrong.extend(WRONG.iter().filter(|words| text.contains(*words)).map(|words| format!("{page} says `{words}`")));
    if !text.contains(shows) {
        wrong.push(format!("{page} does not show `{shows}`"));
    }
    wrong
}

#[test]
fn the_pages_load_whole_for_owner_and_reader_and_are_empty_for_a_stranger() {
    let house = shared();
    if part("pages", Browser::open(&folder("pages"))).is_none() {
        return;
    }
    let told = house.play("pages.py");
    let pages: BTreeMap<String, [String; 2]> = serde_json::from_str(told.lines().last().unwrap()).unwrap();
    let mut wrong = Vec::new();
    for who in ["owner", "reader"] {
        let Some(browser) = signed_in(house, who) else { return };
        for (page, [to, shows]) in &pages {
            let shows = if who == "reader" && OWNERS_OWN.contains(&page.as_str()) { "" } else { shows };
            wrong
                .extend(open(house, &browser, who, page, to, shows).into_iter().map(|wrong| format!("{who}: {wrong}")));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));

    let Some(browser) = signed_in(house, "guest") else { return };
    let [traces, shows] = &pages["traces"];
    let found = open(house, &browser, "guest", "traces", traces, shows);
    assert!(found.iter().any(|wrong| wrong.contains("does not show")), "a stranger sees a trace: {}", browser.text());
    for page in ["experiments", "models", "prompts", "gateway", "mcp"] {
        let Some([to, shows]) = pages.get(page) else { continue };
        let found = open(house, &browser, "guest", page, to, shows);
        assert_eq!(found, [format!("{page} does not show `{shows}`")], "a stranger's list is empty, and no error");
    }
}
