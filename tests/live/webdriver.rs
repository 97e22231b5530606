//! How is Chromium driven?
//!
//! By `chromedriver`, over the W3C WebDriver protocol, with the few commands that the tests need.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use base64::Engine as _;
use http::Method;
use serde_json::{Value, json};

use crate::stage::keep::Kept;
use crate::stage::web::Web;
use crate::stage::{Fault, free_port, write};

/// What to say where it is missing.
const HINT: &str = "no `chromedriver` and `chromium` in PATH; on Debian: apt-get install chromium chromium-driver";
/// How the protocol calls an element.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";
/// How long a page may take.
const PATIENCE: Duration = Duration::from_mins(1);

/// A browser window.
pub(crate) struct Browser {
    web: Web,
    session: String,
    _driver: Kept,
}

fn program(names: &[&str]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).find_map(|place| names.iter().map(|name| place.join(name)).find(|file| file.exists()))
}

impl Browser {
    /// A fresh window without any history.
    pub(crate) fn open(folder: &Path) -> Result<Self, Fault> {
        let missing = || Fault::Missing { part: "Chromium", hint: HINT };
        let driver = program(&["chromedriver"]).ok_or_else(missing)?;
        let chromium = program(&["chromium", "chromium-browser", "google-chrome"]).ok_or_else(missing)?;
        let port = free_port()?;
        let mut command = Command::new(driver);
        command.arg(format!("--port={port}"));
        let mut kept = Kept::start("chromedriver", &command, &folder.join("chromedriver.log"))?;
        let web = Web::plain();
        let base = format!("http://127.0.0.1:{port}");
        kept.wait(Duration::from_secs(30), || {
            web.send(&Method::GET, &format!("{base}/status"), &[], "")
                .is_ok_and(|answer| answer.json()["value"]["ready"] == true)
        })?;
        let wanted = json!({ "capabilities": { "alwaysMatch": {
            "browserName": "chrome",
            // The throw-away CA is in no browser's list.
            "acceptInsecureCerts": true,
            "goog:chromeOptions": {
                "binary": chromium,
                "args": ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                         "--window-size=1280,900", "--lang=en-US", "--no-first-run", "--disable-extensions",
                         "--disable-background-networking", "--disable-component-update", "--disable-sync",
                         format!("--user-data-dir={}", folder.join("profile").display())],
            },
        } } });
        let answer = web.send(
            &Method::POST,
            &format!("{base}/session"),
            &[("content-type", "application/json")],
            wanted.to_string(),
        )?;
        let answer = answer.json();
        let Some(id) = answer["value"]["sessionId"].as_str() else {
            return Err(Fault::Unexpected(format!("chromedriver opened no window: {answer}")));
        };
        Ok(Self { web, session: format!("{base}/session/{id}"), _driver: kept })
    }

    fn command(&self, method: &Method, path: &str, body: &Value) -> Result<Value, Fault> {
        let url = format!("{}{path}", self.session);
        let body = if *method == Method::GET { String::new() } else { body.to_string() };
        let answer = self.web.send(method, &url, &[("content-type", "application/json")], body)?;
        let said = answer.json();
        if answer.status.is_success() {
            return Ok(said["value"].clone());
        }
        Err(Fault::Unexpected(format!("{path}: {}", said["value"]["message"])))
    }

    /// Goes to an address.
    pub(crate) fn go(&self, url: &str) {
        self.command(&Method::POST, "/url", &json!({ "url": url })).unwrap();
    }

    /// Where the window is.
    pub(crate) fn address(&self) -> String {
        self.script("return window.location.href").as_str().unwrap().to_owned()
    }

    /// Runs a piece of JavaScript in the page.
    pub(crate) fn script(&self, script: &str) -> Value {
        self.command(&Method::POST, "/execute/sync", &json!({ "script": script, "args": [] })).unwrap()
    }

    /// What a person reads on the page.
    pub(crate) fn text(&self) -> String {
        self.script("return document.body ? document.body.innerText : ''").as_str().unwrap_or_default().to_owned()
    }

    /// Waits until the page satisfies a condition.
    pub(crate) fn until(&self, what: &str, met: impl Fn(&Self) -> bool) {
        let begun = Instant::now();
        while !met(self) {
            if begun.elapsed() > PATIENCE {
                self.shoot("failed");
                panic!("{what} did not come; at {} stands: {}", self.address(), self.text());
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Waits until a text is on the page.
    pub(crate) fn reads(&self, text: &str) {
        self.until(&format!("`{text}`"), |browser| browser.text().contains(text));
    }

    /// Clicks the first element that a selector finds, once it is there.
    pub(crate) fn click(&self, css: &str) {
        let element = self.element("css selector", css);
        self.command(&Method::POST, &format!("/element/{element}/click"), &json!({})).unwrap();
    }

    /// Clicks the first element that an `XPath` finds, once nothing is in its way.
    pub(crate) fn press(&self, path: &str) {
        let find = json!({ "using": "xpath", "value": path });
        self.until(&format!("a free `{path}`"), |browser| {
            let Ok(found) = browser.command(&Method::POST, "/element", &find) else { return false };
            let element = found[ELEMENT].as_str().unwrap();
            browser.command(&Method::POST, &format!("/element/{element}/click"), &json!({})).is_ok()
        });
    }

    /// Writes a text into a field in place of what stands there.
    pub(crate) fn write(&self, css: &str, text: &str) {
        const ALL: &str = "\u{e009}a\u{e000}\u{e003}";
        let element = self.element("css selector", css);
        let text = json!({ "text": format!("{ALL}{text}") });
        self.until(&format!("a field `{css}` that takes a text"), |browser| {
            browser.command(&Method::POST, &format!("/element/{element}/value"), &text).is_ok()
        });
    }

    /// The first element that a selector finds, once it is there.
    fn element(&self, using: &str, value: &str) -> String {
        let find = json!({ "using": using, "value": value });
        let found = std::cell::RefCell::new(None);
        self.until(&format!("an element `{value}`"), |browser| {
            *found.borrow_mut() = browser.command(&Method::POST, "/element", &find).ok();
            found.borrow().is_some()
        });
        found.into_inner().unwrap()[ELEMENT].as_str().unwrap().to_owned()
    }

    /// Writes what is seen to `target/screenshots/NAME.png`.
    pub(crate) fn shoot(&self, name: &str) {
        let picture = self.command(&Method::GET, "/screenshot", &json!({})).unwrap();
        let bytes = base64::engine::general_purpose::STANDARD.decode(picture.as_str().unwrap()).unwrap();
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
        write(&target.join("screenshots").join(format!("{name}.png")), bytes).unwrap();
    }

    /// Tells Chromium itself what to show (Chrome `DevTools` protocol).
    pub(crate) fn emulate(&self, command: &str, parameters: &Value) {
        let body = json!({ "cmd": command, "params": parameters });
        self.command(&Method::POST, "/goog/cdp/execute", &body).unwrap();
    }

    /// The cookies of the page's site.
    pub(crate) fn cookies(&self) -> Vec<Value> {
        self.command(&Method::GET, "/cookie", &json!({})).unwrap().as_array().unwrap().clone()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.command(&Method::DELETE, "", &json!({}));
    }
}
