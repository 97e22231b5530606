//! Signing in and out.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::harness::certs::{Authority, Folder};
use crate::lookalike::{Lookalike, metadata};
use crate::person::{Person, Waiting, now, text};

/// What a browser would bring, from whichever page.
fn ask(address: &url::Url, host: &str, target: &str) -> (u16, String) {
    let mut stream = TcpStream::connect((address.host_str().unwrap(), address.port().unwrap())).unwrap();
    write!(stream, "GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    (answer.split(' ').nth(1).unwrap().parse().unwrap(), answer)
}

/// Where a browser that is sent to `address` goes next.
fn sent_on(address: &url::Url) -> url::Url {
    let target = &address[url::Position::BeforePath..];
    let (_, answer) = ask(address, &address[url::Position::BeforeHost..url::Position::AfterPort], target);
    let to = answer.lines().find_map(|line| line.strip_prefix("location: ")).unwrap();
    url::Url::parse(to).unwrap()
}

fn target(address: &url::Url) -> String {
    address[url::Position::BeforePath..].to_owned()
}

fn host(address: &url::Url) -> String {
    address[url::Position::BeforeHost..url::Position::AfterPort].to_owned()
}

#[test]
fn a_code_that_is_typed_elsewhere_signs_in_and_the_login_serves_until_it_is_left() {
    let (server, person) = (Lookalike::new(), Person::new());
    let output = person.run(&format!("login {} --device", server.url));
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains("BCDF-GHJK") && said.contains(&format!("{}/trackgate/device\n", server.url)), "{said}");
    assert!(text(&output.stdout).starts_with(&format!("signed in at {} as alice@example.com\n", server.url)));
    assert_eq!(server.state().count("urn:ietf:params:oauth:grant-type:device_code"), 2, "one of them too early");
    let entry = person.entry(&server);
    assert_eq!(fs::metadata(person.file()).unwrap().permissions().mode() & 0o777, 0o600);
    let lasts = entry["access_expires_at"].as_u64().unwrap() - now();
    assert!((3500..=3600).contains(&lasts), "from the moment of the answer: {lasts}");
    // Nothing but the token on standard output, and nothing else at all.
    let output = person.run(&format!("token print {}", server.url));
    assert_eq!(text(&output.stdout), format!("{}\n", entry["access_token"].as_str().unwrap()));
    assert_eq!(text(&output.stderr), "");
    assert_eq!(person.says("token print"), text(&output.stdout), "the only server need not be named");
    let who = person.says("whoami");
    for word in ["alice@example.com at", "token (store)", "2026-11-22T00:00:00Z", "login (", "groups     ml"] {
        assert!(who.contains(word), "{word}: {who}");
    }
    let who: serde_json::Value = serde_json::from_str(&person.says("whoami --json")).unwrap();
    assert_eq!((&who["user"], &who["server"]), (&json!("alice@example.com"), &json!(server.url)));
    assert_eq!(person.says("logout"), format!("signed out at {}\n", server.url));
    assert_eq!(server.state().revoked(), [entry["refresh_token"].as_str().unwrap()]);
    assert_eq!(person.document(), json!({"version": 1, "servers": {}}));
    let said = person.fails(&format!("token print {}", server.url), 6);
    assert!(said.contains(&format!("run: trackgate login {}", server.url)), "{said}");
    assert!(person.fails("whoami", 6).contains("not signed in anywhere"));
    assert_eq!(person.says("logout"), "not signed in anywhere\n");
    assert_eq!(person.says(&format!("logout {}", server.url)), format!("not signed in at {}\n", server.url));
}

#[test]
fn a_browser_brings_its_code_to_a_port_that_takes_no_other() {
    let (server, person) = (Lookalike::new(), Person::new());
    let waiting = Waiting::new(person.program(&format!("login {} --no-browser", server.url)));
    let back = sent_on(&waiting.address);
    assert_eq!(back.path(), "/callback");
    for (host, target, wanted) in [
        ("evil.example".to_owned(), target(&back), 421),
        (format!("localhost:{}", back.port().unwrap()), target(&back), 421),
        (host(&back), target(&back).replace("state=", "state=x"), 400),
        (host(&back), target(&back).replace("state=", "nostate="), 400),
        (host(&back), target(&back).replace("iss=", "iss=https%3A%2F%2Fevil.example"), 400),
        (host(&back), "/".to_owned(), 404),
    ] {
        let (status, answer) = ask(&back, &host, &target);
        assert_eq!(status, wanted, "{target}: {answer}");
        assert!(!answer.contains("code_"), "{answer}");
    }
    assert_eq!(server.state().count("authorization_code"), 0, "none of these was taken");
    let (status, page) = ask(&back, &host(&back), &target(&back));
    assert_eq!(status, 200, "{page}");
    assert!(page.contains("close this window") && page.contains("cache-control: no-store"), "{page}");
    let (code, out, said) = waiting.end();
    assert_eq!(code, Some(0), "{said}");
    assert!(out.contains("as alice@example.com"), "{out}");
    assert_eq!(server.state().count("authorization_code"), 1);
    assert!(person.says("token print").starts_with("tgl_"));
}

#[test]
fn a_browser_that_says_no_ends_the_login() {
    let (server, person) = (Lookalike::new(), Person::new());
    let waiting = Waiting::new(person.program(&format!("login {} --no-browser", server.url)));
    let back = sent_on(&waiting.address);
    let no = target(&back).replace("code=", "error=access_denied&was=");
    assert_eq!(ask(&back, &host(&back), &no).0, 200);
    let (code, out, said) = waiting.end();
    assert_eq!((code, &*out), (Some(1), ""), "{said}");
    assert!(said.contains("refused") && said.contains("access_denied"), "{said}");
    assert!(!person.file().exists());
}

#[test]
fn the_browser_of_this_machine_is_opened_where_there_is_one() {
    let (server, person) = (Lookalike::new(), Person::new());
    let (browser, opened) = (person.0.join("browser"), person.0.join("opened"));
    fs::write(&browser, format!("#!/bin/sh\nprintf '%s' \"$1\" > '{0}.new' && mv '{0}.new' '{0}'\n", opened.display()))
        .unwrap();
    fs::set_permissions(&browser, fs::Permissions::from_mode(0o700)).unwrap();
    let mut login = person.program(&format!("login {}", server.url));
    login.env("DISPLAY", ":0").env("BROWSER", &browser);
    let waiting = Waiting::new(login);
    let end = Instant::now() + Duration::from_secs(30);
    while !opened.exists() {
        assert!(Instant::now() < end, "no browser was opened");
        std::thread::yield_now();
    }
    assert_eq!(fs::read_to_string(&opened).unwrap(), waiting.address.as_str());
    let back = sent_on(&waiting.address);
    assert_eq!(ask(&back, &host(&back), &target(&back)).0, 200);
    assert_eq!(waiting.end().0, Some(0));
    // Over SSH the browser of this machine is not the person's.
    let mut login = person.program(&format!("login {}", server.url));
    let output = login.env("DISPLAY", ":0").env("SSH_CONNECTION", "192.0.2.1 5 192.0.2.2 22").output().unwrap();
    assert!(output.status.success() && text(&output.stderr).contains("BCDF-GHJK"));
    let output = person.run(&format!("login {}", server.url));
    assert!(output.status.success() && text(&output.stderr).contains("BCDF-GHJK"), "nor without a display");
}

#[test]
fn whoever_says_no_elsewhere_ends_the_login() {
    let (server, person) = (Lookalike::new(), Person::new());
    server.state().manner.declines = true;
    let said = person.run(&format!("login {} --device", server.url));
    assert_eq!(said.status.code(), Some(1));
    assert!(text(&said.stderr).contains("access_denied") && !person.file().exists());
}

#[test]
fn a_login_serves_mlflow_below_a_prefix_too() {
    let (server, person) = (Lookalike::new(), Person::new());
    person.says(&format!("login {}/team/mlflow/ --device", server.url));
    assert!(person.entry(&server).is_object(), "kept under the name that the server gives itself");
    for below in ["", "/", "/team/mlflow", "/other"] {
        assert!(person.says(&format!("token print {}{below}", server.url)).starts_with("tgl_"), "{below}");
    }
    let mut set = person.program("whoami");
    let output = set.env("MLFLOW_TRACKING_URI", format!("{}/team/mlflow", server.url)).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    person.says(&format!("logout {}/team/mlflow", server.url));
    assert_eq!(server.state().revoked().len(), 1);
}

#[test]
fn a_new_login_ends_the_one_before() {
    let server = Lookalike::new();
    let person = Person::signed_in(&server, 3600);
    let before = person.entry(&server)["refresh_token"].as_str().unwrap().to_owned();
    person.says(&format!("login {} --device", server.url));
    assert_eq!(server.state().revoked(), [before.as_str()]);
    assert_ne!(person.entry(&server)["refresh_token"], before);
    assert!(person.says("whoami").contains("alice@example.com"));
}

#[test]
fn signing_out_everywhere_leaves_nothing_whatever_the_servers_say() {
    let (one, other) = (Lookalike::new(), Lookalike::new());
    let person = Person::signed_in(&one, 3600);
    person.says(&format!("login {} --device", other.url));
    let several = person.fails("token print", 1);
    assert!(several.contains(&one.url) && several.contains(&other.url), "{several}");
    let mut set = person.program("whoami");
    let output = set.env("MLFLOW_TRACKING_URI", &other.url).output().unwrap();
    assert!(text(&output.stdout).contains(&other.url), "the one that MLflow's clients use");
    let gone = other.url.clone();
    drop(other);
    let output = person.run("logout --all");
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(7), "{said}");
    assert!(said.contains("could not be revoked") && said.contains(&format!("{gone}/trackgate/tokens")), "{said}");
    assert!(text(&output.stdout).contains(&format!("signed out at {}\n", one.url)));
    assert_eq!(one.state().revoked().len(), 1);
    assert_eq!(person.document(), json!({"version": 1, "servers": {}}));
}

#[test]
fn a_server_that_is_no_trackgate_is_said_to_be_none() {
    for (metadata, word) in [
        ((404, "", "{}".to_owned()), "it answers 404"),
        ((200, "", "<html>hello</html>".to_owned()), "something else"),
        (
            (302, "", "https://accounts.google.com/o/oauth2/v2/auth?x=y".to_owned()),
            "leads elsewhere to accounts.google.com",
        ),
    ] {
        let (server, person) = (Lookalike::new(), Person::new());
        server.state().manner.metadata = Some(metadata);
        let said = person.fails(&format!("login {} --device", server.url), 1);
        assert!(said.contains("is no Trackgate") && said.contains(word), "{said}");
        assert!(!person.file().exists());
    }
}

#[test]
fn a_server_that_sends_one_elsewhere_is_not_followed() {
    let (server, elsewhere, person) = (Lookalike::new(), Lookalike::new(), Person::new());
    let own = metadata(&server.url);
    let mut faults = vec![(metadata(&elsewhere.url), "calls itself")];
    for member in ["token_endpoint", "device_authorization_endpoint", "authorization_endpoint", "revocation_endpoint"] {
        let mut told = own.clone();
        told[member] = metadata(&elsewhere.url)[member].clone();
        faults.push((told, "names an address elsewhere"));
    }
    for (told, word) in faults {
        server.state().manner.metadata = Some((200, "", told.to_string()));
        let said = person.fails(&format!("login {} --device", server.url), 1);
        assert!(said.contains(word), "{said}");
    }
    // And where its answer leads elsewhere, what was shown to it goes nowhere.
    server.state().manner.metadata = None;
    let person = Person::signed_in(&server, -10);
    server.state().manner.broken = Some((307, "", format!("{}/trackgate/oauth/token", elsewhere.url)));
    person.fails("token print", 1);
    assert!(elsewhere.server.seen().is_empty(), "{:?}", elsewhere.server.seen());
}

#[test]
fn an_address_that_a_credential_could_be_read_on_the_way_to_is_refused() {
    let person = Person::new();
    for (address, word) in [
        ("http://mlflow.example.com", "https is wanted"),
        ("mlflow.example.com", "an address such as"),
        ("https://mlflow.example.com/?a=b", "without user"),
    ] {
        let said = person.fails(&format!("login {address}"), 2);
        assert!(said.contains(word), "{said}");
    }
}

#[test]
fn a_private_authority_is_trusted_when_it_is_named() {
    let (authority, folder, person) = (Authority::new(), Folder::new(), Person::new());
    let server = Lookalike::with_tls(authority.acceptor());
    let ca = folder.path().join("ca.pem");
    fs::write(&ca, &authority.ca_pem).unwrap();
    assert!(person.fails(&format!("login {} --device", server.url), 7).contains("certificate"));
    person.says(&format!("login {} --device --ca-file {}", server.url, ca.display()));
    let mut set = person.program("whoami");
    let output = set.env("TRACKGATE_CA_FILE", &ca).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let none = person.fails("whoami --ca-file /nonexistent.pem", 1);
    assert!(none.contains("CA file `/nonexistent.pem` cannot be used"), "{none}");
}

#[test]
fn a_token_that_was_set_by_hand_counts_before_the_login() {
    let server = Lookalike::new();
    let person = Person::signed_in(&server, 3600);
    let token = person.says("token print");
    let elsewhere = Person::new();
    let ask = |name: &str, value: &str| {
        let output = elsewhere.program(&format!("whoami {}", server.url)).env(name, value).output().unwrap();
        (output.status.code(), text(&output.stdout) + &text(&output.stderr))
    };
    let (code, said) = ask("TRACKGATE_TOKEN", token.trim());
    assert!(code == Some(0) && said.contains("source     the token in TRACKGATE_TOKEN\n"), "{said}");
    let file = elsewhere.0.join("token");
    fs::write(&file, &token).unwrap();
    let (code, said) = ask("TRACKGATE_TOKEN_FILE", file.to_str().unwrap());
    assert!(code == Some(0) && said.contains("source     the token file /"), "{said}");
    let (code, said) = ask("TRACKGATE_TOKEN", "tgp_wrong");
    assert!(code == Some(1) && said.contains("mistyped") && !said.contains("tgp_wrong"), "{said}");
    let (code, said) = ask("TRACKGATE_TOKEN", &trackgate::token_form::make("tgp_").unwrap());
    assert!(code == Some(6) && said.contains("the token does not count"), "{said}");
    let (code, said) = ask("TRACKGATE_TOKEN_FILE", "/nonexistent");
    assert!(code == Some(1) && said.contains("/nonexistent"), "{said}");
    let (code, said) = ask("TRACKGATE_TOKEN", "one\ntwo");
    assert!(code == Some(1) && !said.contains("two"), "{said}");
}
