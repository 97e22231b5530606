//! A login at a provider that somebody else wrote and the OpenID Foundation certified (npm `oidc-provider`).
//!
//! It needs Node and, at the first run, the npm registry. Without them it is skipped by name; with
//! `TRACKGATE_REQUIRE_ALL=1` that is a failure.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use http::Request;
use http::header::{CONTENT_TYPE, COOKIE, LOCATION, SET_COOKIE};
use http_body_util::BodyExt as _;
use serde_json::json;
use url::Url;

use super::login::{Browser, target};
use crate::harness::certs::Folder;
use crate::harness::client::{Client, nothing, payload};
use crate::harness::gate::{AUDIENCE, Gate};
use crate::harness::server::{Server, full};
use crate::harness::soon;

const CLIENT: &str = "certified-client";
const SECRET: &str = "certified:secret %+/ of more than 32 bytes";

/// The running provider; it ends when this is dropped, or when this process ends.
struct Provider {
    process: Child,
    issuer: String,
    /// It would stumble over a closed pipe.
    _words: BufReader<ChildStdout>,
}

impl Provider {
    fn start() -> Result<Self, String> {
        let folder = installed()?;
        let mut process = Command::new("node")
            .args(["serve.mjs", AUDIENCE, CLIENT, SECRET])
            .current_dir(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|fault| format!("`node` cannot be started ({fault})"))?;
        let mut issuer = String::new();
        let mut words = BufReader::new(process.stdout.take().unwrap());
        words.read_line(&mut issuer).unwrap();
        assert!(issuer.starts_with("http://127.0.0.1:"), "the provider did not start: {issuer}");
        Ok(Self { process, issuer: issuer.trim().to_owned(), _words: words })
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The folder with the provider and what it needs.
fn installed() -> Result<PathBuf, String> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/providers/oidc");
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("oidc-provider");
    std::fs::create_dir_all(&folder).unwrap();
    let wanted = std::fs::read(source.join("package.json")).unwrap();
    let done = folder.join("installed.json");
    std::fs::copy(source.join("serve.mjs"), folder.join("serve.mjs")).unwrap();
    if std::fs::read(&done).ok().as_ref() == Some(&wanted) {
        return Ok(folder);
    }
    std::fs::write(folder.join("package.json"), &wanted).unwrap();
    let npm = Command::new("npm")
        .args(["install", "--no-audit", "--no-fund", "--ignore-scripts", "--no-package-lock"])
        .current_dir(&folder)
        .output()
        .map_err(|fault| format!("`npm` cannot be started ({fault})"))?;
    if !npm.status.success() {
        return Err("`npm install` failed: is this machine online?".to_owned());
    }
    std::fs::write(done, wanted).unwrap();
    Ok(folder)
}

/// A browser at the provider: it keeps cookies, follows redirects there, and fills in forms.
struct Visitor {
    address: SocketAddr,
    issuer: String,
    cookies: BTreeMap<String, String>,
}

impl Visitor {
    fn at(provider: &Provider) -> Self {
        let url = Url::parse(&provider.issuer).unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], url.port().unwrap()));
        Self { address, issuer: provider.issuer.clone(), cookies: BTreeMap::new() }
    }

    /// Goes to an address and on, until a page is shown or the provider sends the browser elsewhere.
    async fn go(&mut self, address: &str) -> Result<String, String> {
        let (mut address, mut form) = (address.to_owned(), None);
        for _ in 0..10 {
            let Some(here) = address.strip_prefix(&self.issuer).map(str::to_owned) else { return Err(address) };
            let (status, location, text) = self.ask(&here, form.take()).await;
            let Some(next) = location else {
                assert_eq!(status, 200, "{here}: {text}");
                return Ok(text);
            };
            address = Url::parse(&address).unwrap().join(&next).unwrap().into();
        }
        panic!("the provider goes round in circles at {address}");
    }

    /// Sends the form of a page.
    async fn submit(&mut self, page: &str, fields: &[(&str, &str)]) -> Result<String, String> {
        let action = between(page, "action=\"", "\"").replace("&amp;", "&");
        let mut body = url::form_urlencoded::Serializer::new(String::new());
        for part in page.split("<input").skip(1).filter(|part| part.contains("type=\"hidden\"")) {
            body.append_pair(between(part, "name=\"", "\""), between(part, "value=\"", "\""));
        }
        let body = body.extend_pairs(fields).finish();
        let here = Url::parse(&self.issuer).unwrap().join(&action).unwrap();
        let path = here.as_str().strip_prefix(&self.issuer).unwrap().to_owned();
        let (status, location, text) = self.ask(&path, Some(body)).await;
        let Some(next) = location else { panic!("{action}: {status} {text}") };
        self.go(here.join(&next).unwrap().as_str()).await
    }

    async fn ask(&mut self, path: &str, form: Option<String>) -> (u16, Option<String>, String) {
        let request = match form {
            None => Request::get(path).body(nothing()),
            Some(form) => {
                Request::post(path).header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(payload(form))
            }
        };
        let mut request = request.unwrap();
        request.headers_mut().insert("host", self.address.to_string().parse().unwrap());
        let cookies: Vec<String> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        request.headers_mut().insert(COOKIE, cookies.join("; ").parse().unwrap());
        let answer = Client::http1(self.address).await.send(request).await;
        for field in answer.headers().get_all(SET_COOKIE) {
            let (name, value) = field.to_str().unwrap().split(';').next().unwrap().split_once('=').unwrap();
            self.cookies.insert(name.to_owned(), value.to_owned());
        }
        let location = answer.headers().get(LOCATION).map(|to| to.to_str().unwrap().to_owned());
        let status = answer.status().as_u16();
        let body = soon("a page of the provider", answer.into_body().collect()).await.unwrap().to_bytes();
        (status, location, String::from_utf8_lossy(&body).into_owned())
    }
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> &'a str {
    text.split_once(before).and_then(|(_, rest)| rest.split_once(after)).map_or("", |(inner, _)| inner)
}

#[tokio::test]
async fn a_person_signs_in_and_out_at_a_certified_provider() {
    let provider = match Provider::start() {
        Ok(provider) => provider,
        Err(why) => {
            assert!(std::env::var_os("TRACKGATE_REQUIRE_ALL").is_none_or(|all| all != "1"), "{why}");
            let _ = writeln!(std::io::stderr(), "skipped: a login at a certified provider: {why}");
            return;
        }
    };
    let folder = Folder::new();
    let secret = folder.path().join("secret");
    std::fs::write(&secret, SECRET).unwrap();
    std::fs::set_permissions(&secret, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let more = format!(
        "[[issuer]]\nname = \"certified\"\ntitle = \"Certified\"\nissuer = \"{}\"\n[issuer.login]\nclient_id = \"{CLIENT}\"\n\
         client_secret_file = \"{}\"\n",
        provider.issuer,
        secret.display()
    );
    let gate = Gate::with(Server::scripted(|_| async { full(200, "<title>MLflow</title>") }), &more, |_| {}).await;
    let mut browser = Browser::at(&gate);
    let choice = browser.visit("/trackgate/login").await.text();
    assert!(choice.contains("Continue with Test") && choice.contains("Continue with Certified"));
    assert!(!choice.contains("http-equiv"), "with a choice nobody is sent anywhere");

    let start = browser.visit("/trackgate/login/certified?return_to=%2F%23%2Fexperiments%2F7").await;
    assert_eq!(start.status, 303, "{}", start.text());
    let mut visitor = Visitor::at(&provider);
    let sign_in = visitor.go(start.header("location").unwrap()).await.expect("the provider's sign-in page");
    let agree = visitor.submit(&sign_in, &[("login", "carol"), ("password", "x")]).await.expect("its consent page");
    let back = visitor.submit(&agree, &[]).await.expect_err("the way back to us");
    assert!(back.contains("&iss=") || back.contains("?iss="), "it names itself (RFC 9207): {back}");
    let landed = browser.visit(target(&back)).await;
    assert_eq!((landed.status, landed.header("location")), (303, Some("/#/experiments/7")), "{}", landed.text());
    let me = browser.send("GET", "/trackgate/whoami", &[], "").await.json();
    assert_eq!((&me["user"], &me["issuer"]), (&json!("carol@example.com"), &json!(provider.issuer)));

    let form = [("sec-fetch-site", "same-origin"), ("origin", AUDIENCE)];
    let out = browser.send("POST", "/trackgate/logout", &form, "").await.text();
    let address = between(&out, "content=\"0;url=", "\"").replace("&#38;", "&").replace("&amp;", "&");
    let confirm = visitor.go(&address).await.expect("the provider's sign-out page");
    let back = visitor.submit(&confirm, &[("logout", "yes")]).await.expect_err("the way back to us");
    assert_eq!(target(&back).split('?').next(), Some("/trackgate/logged-out"));
    assert!(browser.visit(target(&back)).await.text().contains("You are signed out"));
    assert_eq!(browser.send("GET", "/trackgate/whoami", &[], "").await.status, 401);
}
