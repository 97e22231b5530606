//! `trackgate login` from the server's side, in Chromium and with a real provider: who says yes to what?

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;

use http::Method;
use serde_json::{Value, json};

use crate::house::{House, folder, part, shared};
use crate::own_pages::{open, shoot};
use crate::stage::idp::accounts::{OWNER, READER};
use crate::webdriver::Browser;

/// RFC 7636 appendix B.
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

fn post(house: &House, path: &str, fields: &[(&str, &str)]) -> (u16, Value) {
    let form = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    let url = format!("{}{path}", house.gate.url());
    let headers = [("content-type", "application/x-www-form-urlencoded")];
    let told = house.web.send(&Method::POST, &url, &headers, form).unwrap();
    (told.status.as_u16(), told.json())
}

fn lets_in(house: &House, told: &Value, user: &str) {
    let access = told["access_token"].as_str().unwrap_or_else(|| panic!("{told}"));
    let me = house.web.get(&format!("{}/trackgate/whoami", house.gate.url()), access).unwrap();
    assert_eq!((me.status.as_u16(), &me.json()["user"]), (200, &json!(user)), "{}", me.text());
}

#[test]
fn a_person_signs_in_a_device_by_its_code_in_a_browser() {
    let test = "a_person_signs_in_a_device_by_its_code_in_a_browser";
    let Some(browser) = part(test, Browser::open(&folder("device"))) else { return };
    let house = shared();
    let device = [("client_id", "trackgate-cli"), ("device_name", "gpu-node-17 of <b>the lab</b>")];
    let (status, told) = post(house, "/trackgate/oauth/device_authorization", &device);
    assert_eq!(status, 200, "{told}");
    let (code, shown) = (told["device_code"].as_str().unwrap(), told["user_code"].as_str().unwrap());
    // The link that fills the code in, by somebody who is not signed in yet.
    open(&browser, told["verification_uri_complete"].as_str().unwrap(), &OWNER);
    browser.reads("Type the code that your program shows");
    assert_eq!(browser.script("return document.querySelector('#user_code').value"), json!(shown));
    shoot(&browser, "device-code");
    browser.script("document.querySelector('#user_code').value = 'bcdf-bcdf'");
    browser.click("form button");
    browser.reads("No device waits for this code");
    shoot(&browser, "device-wrong-code");
    browser.script(&format!("document.querySelector('#user_code').value = ' {} '", shown.to_lowercase()));
    browser.click("form button");
    browser.reads("Sign in this device?");
    browser.reads("gpu-node-17 of <b>the lab</b>");
    browser.reads("Asked from");
    shoot(&browser, "device-asked");
    assert_eq!(browser.script("return document.scripts.length"), json!(0));
    browser.click("button[value=yes]");
    browser.reads("The device is signed in");
    shoot(&browser, "device-done");
    let grant = "urn:ietf:params:oauth:grant-type:device_code";
    let fields = [("grant_type", grant), ("client_id", "trackgate-cli"), ("device_code", code)];
    let (status, told) = post(house, "/trackgate/oauth/token", &fields);
    assert_eq!(status, 200, "{told}");
    lets_in(house, &told, OWNER.email);
    browser.go(&format!("{}/trackgate/tokens", house.gate.url()));
    browser.reads("gpu-node-17");
    shoot(&browser, "logins-listed");
    let id = &told["access_token"].as_str().unwrap()[4..12];
    browser.press(&format!("//li[contains(., '{id}')]//button[contains(., 'Revoke')]"));
    browser.reads("It is refused everywhere from now on.");
    let renew = told["refresh_token"].as_str().unwrap();
    let fields = [("grant_type", "refresh_token"), ("client_id", "trackgate-cli"), ("refresh_token", renew)];
    assert_eq!(post(house, "/trackgate/oauth/token", &fields).1["error"], "invalid_grant");
}

#[test]
fn a_person_signs_in_a_program_of_their_computer_in_a_browser() {
    let test = "a_person_signs_in_a_program_of_their_computer_in_a_browser";
    let Some(browser) = part(test, Browser::open(&folder("consent"))) else { return };
    let house = shared();
    // The program: it takes one request on a port of its own.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let redirect = format!("http://{}/callback", listener.local_addr().unwrap());
    let program = std::thread::spawn(move || {
        loop {
            let (mut stream, _) = listener.accept().unwrap();
            let mut line = String::new();
            BufReader::new(stream.try_clone().unwrap()).read_line(&mut line).unwrap();
            let body = "you can close this window";
            let _ =
                write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len());
            if line.starts_with("GET /callback?") {
                return line;
            }
        }
    });
    let asked = url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs([
            ("response_type", "code"),
            ("client_id", "trackgate-cli"),
            ("redirect_uri", &redirect),
            ("code_challenge", CHALLENGE),
            ("code_challenge_method", "S256"),
            ("state", "seen-again"),
            ("device_name", "reader's laptop"),
        ])
        .finish();
    open(&browser, &format!("{}/trackgate/oauth/authorize?{asked}", house.gate.url()), &READER);
    browser.reads("Sign in a program on this computer?");
    browser.reads("reader's laptop");
    shoot(&browser, "consent");
    assert_eq!(browser.script("return document.scripts.length"), json!(0));
    browser.click("button[value=yes]");
    browser.reads("you can close this window");
    let line = program.join().unwrap();
    let query = line.split_whitespace().nth(1).unwrap().split_once('?').unwrap().1.to_owned();
    let answer: Vec<(String, String)> = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    let one =
        |name: &str| answer.iter().find(|(known, _)| known == name).unwrap_or_else(|| panic!("{query}")).1.clone();
    assert_eq!((one("state").as_str(), one("iss").as_str()), ("seen-again", house.gate.url().trim_end_matches('/')));
    let code = one("code");
    let fields = [
        ("grant_type", "authorization_code"),
        ("client_id", "trackgate-cli"),
        ("code", &*code),
        ("redirect_uri", &redirect),
        ("code_verifier", VERIFIER),
    ];
    let (status, told) = post(house, "/trackgate/oauth/token", &fields);
    assert_eq!(status, 200, "{told}");
    lets_in(house, &told, READER.email);
}
