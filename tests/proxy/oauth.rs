//! `trackgate login` from the server's side: how a program comes to a token, and who must not.

use std::time::{Duration, SystemTime};

use http::Request;
use serde_json::{Value, json};
use trackgate::clock::Clock;

use super::login::Browser;
use super::own_pages::{FORM, NAVIGATE, OURS, form, person, submit, value};
use crate::harness::client::payload;
use crate::harness::gate::{Actor, Gate, Told};
use crate::harness::server::{Server, full};

pub(super) const READ: &str = "/api/2.0/mlflow/experiments/get?experiment_id=1";
pub(super) const AUTHORIZE: &str = "/trackgate/oauth/authorize";
pub(super) const TOKEN: &str = "/trackgate/oauth/token";
const DEVICE_AUTHORIZATION: &str = "/trackgate/oauth/device_authorization";
const REVOKE: &str = "/trackgate/oauth/revoke";
const DEVICE: &str = "/trackgate/device";
const DECIDE: &str = "/trackgate/device/decide";
const REDIRECT: &str = "http://127.0.0.1:4711/callback";
/// RFC 7636 appendix B.
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
const DEVICE_GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";

pub(super) async fn gate() -> Gate {
    gate_with("").await
}

async fn gate_with(more: &str) -> Gate {
    let server = Server::scripted(|_| async {
        full(200, json!({"experiment": {"experiment_id": "1", "name": "e"}}).to_string())
    });
    let more = format!("[access]\nadmins = [\"root@example.com\"]\n{more}");
    let gate = Gate::with(server, &more, |_| {}).await;
    gate.grant("user:alice@example.com", "experiment", "1", "MANAGE").await;
    gate
}

/// The good request of a program, with some parameters changed or taken out.
fn ask(changes: &[(&str, Option<&str>)]) -> String {
    let good = [
        ("response_type", "code"),
        ("client_id", "trackgate-cli"),
        ("redirect_uri", REDIRECT),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
        ("state", "a b&c"),
        ("device_name", "alice's <laptop>"),
    ];
    let mut pairs: Vec<(&str, &str)> =
        good.into_iter().filter(|(name, _)| !changes.iter().any(|(changed, _)| changed == name)).collect();
    pairs.extend(changes.iter().filter_map(|(name, value)| Some((*name, (*value)?))));
    format!("{AUTHORIZE}?{}", form(&pairs))
}

/// A form of somebody whom nobody knows.
async fn post(gate: &Gate, path: &str, fields: &[(&str, &str)]) -> Told {
    send(&gate.anonymous(), path, &[FORM], form(fields)).await
}

async fn send(actor: &Actor<'_>, path: &str, headers: &[(&'static str, &str)], body: String) -> Told {
    let mut request = Request::post(path).body(payload(body)).unwrap();
    for (name, value) in headers {
        request.headers_mut().append(*name, value.parse().unwrap());
    }
    actor.send(request).await
}

/// The address that a page leads to.
fn leads_to(page: &Told) -> String {
    let text = page.text();
    let at = text.find("content=\"0;url=").unwrap_or_else(|| panic!("it leads nowhere: {text}"));
    let rest = &text[at + 15..];
    rest[..rest.find('"').unwrap()].replace("&#38;", "&").replace("&amp;", "&")
}

/// A parameter of an address.
fn parameter(address: &str, name: &str) -> Option<String> {
    let query = address.split_once('?').unwrap().1;
    url::form_urlencoded::parse(query.as_bytes()).find(|(known, _)| known == name).map(|(_, value)| value.into_owned())
}

/// Presses a button on the page that a program's link leads to; gives the address that follows.
async fn agree(browser: &mut Browser<'_>, answer: &str, changes: &[(&str, Option<&str>)]) -> String {
    let page = browser.visit(&ask(changes)).await;
    assert_eq!(page.status, 200, "{}", page.text());
    let names =
        ["token", "client_id", "redirect_uri", "response_type", "code_challenge", "code_challenge_method", "state"];
    let fields: Vec<(&str, String)> = names.iter().map(|name| (*name, value(&page, "authorize", name))).collect();
    let mut fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let state = fields.pop().unwrap().1.replace("&#38;", "&");
    fields.extend([("state", state.as_str()), ("device_name", "laptop"), ("answer", answer)]);
    let told = submit(browser, AUTHORIZE, &fields).await;
    assert_eq!(told.status, 200, "{}", told.text());
    leads_to(&told)
}

async fn code_of(browser: &mut Browser<'_>) -> String {
    parameter(&agree(browser, "yes", &[]).await, "code").unwrap()
}

async fn exchange(gate: &Gate, code: &str) -> Told {
    exchange_with(gate, code, &[]).await
}

async fn exchange_with(gate: &Gate, code: &str, changes: &[(&str, Option<&str>)]) -> Told {
    let good = [
        ("grant_type", "authorization_code"),
        ("client_id", "trackgate-cli"),
        ("code", code),
        ("redirect_uri", REDIRECT),
        ("code_verifier", VERIFIER),
    ];
    let mut pairs: Vec<(&str, &str)> =
        good.into_iter().filter(|(name, _)| !changes.iter().any(|(changed, _)| changed == name)).collect();
    pairs.extend(changes.iter().filter_map(|(name, value)| Some((*name, (*value)?))));
    post(gate, TOKEN, &pairs).await
}

pub(super) async fn refresh(gate: &Gate, token: &str) -> Told {
    let fields = [("grant_type", "refresh_token"), ("client_id", "trackgate-cli"), ("refresh_token", token)];
    post(gate, TOKEN, &fields).await
}

/// A login of alice: access and refresh token.
pub(super) async fn login(gate: &Gate) -> (String, String) {
    let mut alice = person(gate, "alice").await;
    let code = code_of(&mut alice).await;
    tokens(&exchange(gate, &code).await)
}

fn tokens(told: &Told) -> (String, String) {
    assert_eq!(told.status, 200, "{}", told.text());
    let told = told.json();
    let text = |name: &str| told[name].as_str().unwrap().to_owned();
    (text("access_token"), text("refresh_token"))
}

pub(super) fn with<'a>(gate: &'a Gate, token: &str) -> Actor<'a> {
    gate.showing("authorization", format!("Bearer {token}"))
}

/// An error as RFC 6749 has it.
fn error(told: &Told) -> (u16, String) {
    assert_eq!(told.header("cache-control"), Some("no-store"), "{}", told.text());
    assert_eq!(told.header("content-type"), Some("application/json"));
    (told.status, told.json()["error"].as_str().unwrap_or_default().to_owned())
}

async fn device_codes(gate: &Gate) -> (String, String) {
    let told = post(gate, DEVICE_AUTHORIZATION, &[("client_id", "trackgate-cli"), ("device_name", "node <17>")]).await;
    assert_eq!(told.status, 200, "{}", told.text());
    let told = told.json();
    (told["device_code"].as_str().unwrap().to_owned(), told["user_code"].as_str().unwrap().to_owned())
}

async fn poll(gate: &Gate, code: &str) -> Told {
    let fields = [("grant_type", DEVICE_GRANT), ("client_id", "trackgate-cli"), ("device_code", code)];
    post(gate, TOKEN, &fields).await
}

/// Types a code, and presses a button on the page that follows.
async fn type_code(browser: &mut Browser<'_>, code: &str, answer: &str) -> Told {
    let page = browser.visit(DEVICE).await;
    let token = value(&page, DEVICE, "token");
    let asked = submit(browser, DEVICE, &[("token", &token), ("user_code", code)]).await;
    if asked.status != 200 {
        return asked;
    }
    let token = value(&asked, DECIDE, "token");
    let code = value(&asked, DECIDE, "user_code");
    submit(browser, DECIDE, &[("token", &token), ("user_code", &code), ("answer", answer)]).await
}

#[tokio::test]
async fn the_server_says_of_itself_where_a_program_signs_in() {
    let gate = gate().await;
    let told = gate.anonymous().get("/.well-known/oauth-authorization-server").await;
    assert_eq!(told.status, 200, "{}", told.text());
    let told = told.json();
    assert_eq!(told["issuer"], "https://mlflow.example.com");
    assert_eq!(told["token_endpoint"], "https://mlflow.example.com/trackgate/oauth/token");
    assert_eq!(told["code_challenge_methods_supported"], json!(["S256"]));
    assert_eq!(told["token_endpoint_auth_methods_supported"], json!(["none"]));
    assert!(gate.upstream.seen().is_empty(), "MLflow is not asked");
    // Whatever else lies there is not ours.
    assert_eq!(gate.anonymous().get("/.well-known/openid-configuration").await.status, 401);
    let off = gate_with("[login]\nallow = false").await;
    assert_eq!(off.anonymous().get("/.well-known/oauth-authorization-server").await.status, 404);
}

#[tokio::test]
async fn a_program_of_this_computer_gets_a_login_when_its_person_says_yes() {
    let gate = gate().await;
    let mut alice = Browser::at(&gate);
    gate.issuer.change_claims(&json!({"sub": "sub-alice", "email": "alice@example.com"}));
    // Not signed in: by the provider first, and then to the very page.
    let asked = ask(&[]);
    let first = alice.visit(&asked).await;
    assert_eq!(first.status, 303);
    assert!(first.header("location").unwrap().starts_with("/trackgate/login?return_to="), "{first:?}");
    let back = alice.sign_in(&asked).await;
    assert_eq!(back.header("location"), Some(asked.as_str()));
    let page = alice.visit(&asked).await;
    let text = page.text();
    for part in ["alice@example.com", "alice&#39;s &#60;laptop&#62;", "port 4711", "127.0.0.1", "90 days"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(!text.contains("http-equiv"), "nothing happens by itself");
    let to = agree(&mut alice, "yes", &[]).await;
    assert!(to.starts_with("http://127.0.0.1:4711/callback?code="), "{to}");
    assert_eq!(parameter(&to, "state").as_deref(), Some("a b&c"));
    assert_eq!(parameter(&to, "iss").as_deref(), Some("https://mlflow.example.com"));

    let told = exchange(&gate, &parameter(&to, "code").unwrap()).await;
    let (access, renew) = tokens(&told);
    assert_eq!((told.header("cache-control"), told.header("pragma")), (Some("no-store"), Some("no-cache")));
    assert_eq!((&told.json()["user"], &told.json()["token_type"]), (&json!("alice@example.com"), &json!("Bearer")));
    assert!(access.starts_with("tgl_") && renew.starts_with("tgr_") && access[4..12] == renew[4..12]);
    let lasts = told.json()["expires_in"].as_u64().unwrap();
    assert!((3590..=3600).contains(&lasts), "{lasts}");
    let record = gate.record(&told).await;
    assert_eq!((&record["user"], &record["token"]), (&json!("alice@example.com"), &json!(access[4..12])), "{record}");

    let basic = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, format!("any:{access}"));
    for field in [format!("Bearer {access}"), format!("Basic {basic}")] {
        let told = gate.showing("authorization", field).get(READ).await;
        assert_eq!(told.status, 200, "{}", told.text());
        assert_eq!(gate.record(&told).await["token"], access[4..12]);
    }
    // What renews opens nothing.
    let told = with(&gate, &renew).get(READ).await;
    assert_eq!(told.status, 401);
    assert_eq!(gate.record(&told).await["reason"], "refresh-token-shown");
    let (next, _) = tokens(&refresh(&gate, &renew).await);
    for token in [&access, &next] {
        assert_eq!(with(&gate, token).get(READ).await.status, 200, "both, for their hour");
    }
    // Neither code nor token is written down anywhere.
    let audit = gate.audit_text();
    for secret in [&access[13..], &renew[13..], &next[13..], &*parameter(&to, "code").unwrap()] {
        assert!(!audit.contains(secret) && !format!("{:?}", gate.upstream.seen()).contains(secret));
    }
}

#[tokio::test]
async fn a_program_whose_person_says_no_hears_so_and_gets_nothing() {
    let gate = gate().await;
    let mut alice = person(&gate, "alice").await;
    let to = agree(&mut alice, "no", &[]).await;
    assert_eq!(parameter(&to, "error").as_deref(), Some("access_denied"));
    assert_eq!((parameter(&to, "code"), parameter(&to, "state").as_deref()), (None, Some("a b&c")));
}

#[tokio::test]
async fn an_open_redirect_and_another_client_are_refused_on_a_page_and_lead_nowhere() {
    let gate = gate().await;
    let mut alice = person(&gate, "alice").await;
    for (change, reason) in [
        (("redirect_uri", Some("https://evil.example/callback")), "oauth-foreign-redirect"),
        (("redirect_uri", Some("http://localhost:4711/callback")), "oauth-foreign-redirect"),
        (("redirect_uri", Some("http://127.0.0.1:4711@evil.example/callback")), "oauth-foreign-redirect"),
        (("redirect_uri", Some("http://192.0.2.1:4711/callback")), "oauth-foreign-redirect"),
        (("redirect_uri", Some("trackgate://callback")), "oauth-foreign-redirect"),
        (("redirect_uri", None), "oauth-foreign-redirect"),
        (("client_id", Some("another")), "oauth-unknown-client"),
        (("client_id", None), "oauth-unknown-client"),
    ] {
        let told = alice.visit(&ask(&[change])).await;
        assert_eq!((told.status, told.header("location")), (400, None), "{change:?}: {}", told.text());
        assert!(!told.text().contains("http-equiv") && !told.text().contains("evil.example"), "{}", told.text());
        assert_eq!(gate.record(&told).await["reason"], reason, "{change:?}");
    }
    // The answer to the page is looked at as the request was.
    let page = alice.visit(&ask(&[])).await;
    let token = value(&page, "authorize", "token");
    let fields = [
        ("token", token.as_str()),
        ("client_id", "trackgate-cli"),
        ("redirect_uri", "https://evil.example/callback"),
        ("response_type", "code"),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
        ("answer", "yes"),
    ];
    let told = submit(&mut alice, AUTHORIZE, &fields).await;
    assert_eq!((told.status, told.header("location")), (400, None));
    assert!(!told.text().contains("evil.example"));
}

#[tokio::test]
async fn pkce_left_out_or_made_weaker_is_told_to_the_program_and_gives_no_code() {
    let gate = gate().await;
    let mut alice = person(&gate, "alice").await;
    for (change, wanted) in [
        (("code_challenge", None), "invalid_request"),
        (("code_challenge", Some("plain")), "invalid_request"),
        (("code_challenge_method", None), "invalid_request"),
        (("code_challenge_method", Some("plain")), "invalid_request"),
        (("response_type", Some("token")), "unsupported_response_type"),
        (("response_type", None), "invalid_request"),
    ] {
        let told = alice.visit(&ask(&[change])).await;
        assert_eq!(told.status, 303, "{change:?}: {}", told.text());
        let to = told.header("location").unwrap();
        assert!(to.starts_with("http://127.0.0.1:4711/callback?error="), "{to}");
        assert_eq!(parameter(to, "error").as_deref(), Some(wanted), "{change:?}");
        assert_eq!((parameter(to, "code"), parameter(to, "state").as_deref()), (None, Some("a b&c")));
    }
    // A parameter that comes twice has no meaning.
    let twice = format!("{}&code_challenge_method=plain", ask(&[]));
    let told = alice.visit(&twice).await;
    assert_eq!((told.status, told.header("location")), (400, None));
}

#[tokio::test]
async fn a_code_that_is_replayed_ends_what_it_gave() {
    let gate = gate().await;
    let mut alice = person(&gate, "alice").await;
    let code = code_of(&mut alice).await;
    let (access, renew) = tokens(&exchange(&gate, &code).await);
    let again = exchange(&gate, &code).await;
    assert_eq!(error(&again), (400, "invalid_grant".to_owned()));
    let record = gate.record(&again).await;
    assert_eq!((&record["decision"], &record["reason"]), (&json!("deny"), &json!("oauth-grant-replayed")), "{record}");
    assert!(record["detail"].as_str().unwrap().contains(&access[4..12]), "{record}");
    let told = with(&gate, &access).get(READ).await;
    assert_eq!(told.status, 401);
    assert!(told.text().contains("was ended at") && told.text().contains("trackgate login"), "{}", told.text());
    assert_eq!(error(&refresh(&gate, &renew).await), (400, "invalid_grant".to_owned()));
}

#[tokio::test]
async fn a_code_is_worth_nothing_to_another_run_of_the_program() {
    let gate = gate().await;
    let mut alice = person(&gate, "alice").await;
    let other = "another-verifier-of-somebody-who-has-seen-the-code";
    for change in [("code_verifier", Some(other)), ("redirect_uri", Some("http://127.0.0.1:4712/callback"))] {
        let code = code_of(&mut alice).await;
        let told = exchange_with(&gate, &code, &[change]).await;
        assert_eq!(error(&told), (400, "invalid_grant".to_owned()), "{change:?}");
        assert_eq!(gate.record(&told).await["reason"], "oauth-code-elsewhere");
        assert_eq!(error(&exchange(&gate, &code).await), (400, "invalid_grant".to_owned()), "it is used up");
    }
    for (change, wanted) in [
        (("code_verifier", None), (400, "invalid_request")),
        (("code_verifier", Some("short")), (400, "invalid_request")),
        (("redirect_uri", None), (400, "invalid_request")),
        (("code", None), (400, "invalid_request")),
        (("code", Some("")), (400, "invalid_request")),
        (("code", Some("unknown")), (400, "invalid_grant")),
        (("client_id", Some("another")), (401, "invalid_client")),
        (("client_id", None), (400, "invalid_request")),
        (("grant_type", None), (400, "invalid_request")),
        (("grant_type", Some("password")), (400, "unsupported_grant_type")),
        (("grant_type", Some("client_credentials")), (400, "unsupported_grant_type")),
    ] {
        let told = exchange_with(&gate, "x", &[change]).await;
        assert_eq!(error(&told), (wanted.0, wanted.1.to_owned()), "{change:?}");
    }
}

#[tokio::test]
async fn whatever_else_the_token_endpoint_is_sent_is_answered_in_the_words_of_oauth() {
    let gate = gate().await;
    let body = form(&[("grant_type", "refresh_token"), ("client_id", "trackgate-cli"), ("refresh_token", "x")]);
    let stranger = gate.anonymous();
    for (what, headers, body, wanted) in [
        ("a parameter twice", vec![FORM], format!("{body}&refresh_token=y"), (400, "invalid_request")),
        ("JSON", vec![("content-type", "application/json")], "{}".to_owned(), (415, "invalid_request")),
        ("a large body", vec![FORM], format!("{body}&x={}", "y".repeat(9000)), (413, "invalid_request")),
        ("no UTF-8", vec![FORM], format!("{body}&code=%ff"), (400, "invalid_request")),
        ("a credential", vec![FORM, ("authorization", "Basic eDp5")], body.clone(), (401, "invalid_client")),
        ("another site's page", vec![FORM, ("origin", "https://evil.example")], body.clone(), (403, "invalid_request")),
        ("a cross-site form", vec![FORM, ("sec-fetch-site", "cross-site")], body.clone(), (403, "invalid_request")),
        ("nothing", vec![FORM], String::new(), (400, "invalid_request")),
        ("no token", vec![FORM], body.clone(), (400, "invalid_grant")),
    ] {
        let told = send(&stranger, TOKEN, &headers, body).await;
        assert_eq!(error(&told), (wanted.0, wanted.1.to_owned()), "{what}: {}", told.text());
        assert_eq!(gate.record(&told).await["decision"], "deny", "{what}");
    }
    let told = send(&stranger, &format!("{TOKEN}?grant_type=refresh_token"), &[FORM], body.clone()).await;
    assert_eq!(error(&told).0, 400, "parameters stand in the body");
    let (_, renew) = login(&gate).await;
    for path in [format!("{TOKEN}?refresh_token={renew}"), format!("{TOKEN}/{renew}")] {
        let told = send(&stranger, &path, &[FORM], body.clone()).await;
        assert_eq!(told.status, 400);
        assert_eq!(gate.record(&told).await["reason"], "token-in-url");
    }
    assert!(!gate.audit_text().contains(&renew[13..]));
    assert!(matches!(gate.anonymous().get(TOKEN).await.status, 401 | 405));
    assert!(gate.upstream.seen().is_empty());
}

#[tokio::test]
async fn a_device_gets_a_login_when_somebody_types_its_code_and_says_yes() {
    let gate = gate().await;
    let told = post(&gate, DEVICE_AUTHORIZATION, &[("client_id", "trackgate-cli")]).await.json();
    assert_eq!((&told["expires_in"], &told["interval"]), (&json!(600), &json!(5)));
    assert_eq!(told["verification_uri"], "https://mlflow.example.com/trackgate/device");
    let (code, shown) = device_codes(&gate).await;
    let mut alice = person(&gate, "alice").await;
    // The whole link fills the code in, and does no more.
    let page = alice.visit(&format!("{DEVICE}?user_code={shown}")).await;
    assert_eq!(page.status, 200);
    assert!(page.text().contains(&format!("value=\"{shown}\"")), "{}", page.text());
    assert!(!page.text().contains("http-equiv") && !page.text().contains("<script"), "{}", page.text());
    // However it is typed: who asks, from where and when is told before anything is given.
    let token = value(&page, DEVICE, "token");
    for typed in [shown.to_lowercase(), shown.replace('-', ""), format!(" {} ", shown.replace('-', " "))] {
        let asked = submit(&mut alice, DEVICE, &[("token", &token), ("user_code", &typed)]).await;
        let text = asked.text();
        assert_eq!(asked.status, 200, "{typed}: {text}");
        for part in ["alice@example.com", "node &#60;17&#62;", "127.0.0.1", &shown, "seconds ago</dd>"] {
            assert!(text.contains(part) || (part.contains("ago") && text.contains("a moment ago")), "{part}: {text}");
        }
    }
    assert_eq!(error(&poll(&gate, &code).await), (400, "authorization_pending".to_owned()), "nothing was given yet");
    let soon = poll(&gate, &code).await;
    assert_eq!(error(&soon), (400, "slow_down".to_owned()));
    let record = gate.record(&soon).await;
    assert_eq!((&record["decision"], &record["error_code"]), (&json!("allow"), &json!("slow_down")), "{record}");
    let (code, shown) = device_codes(&gate).await;
    let done = type_code(&mut alice, &shown, "yes").await;
    assert_eq!(done.status, 200, "{}", done.text());
    assert!(done.text().contains("is signed in"), "{}", done.text());
    let told = poll(&gate, &code).await;
    let (access, _) = tokens(&told);
    assert_eq!(with(&gate, &access).get(READ).await.status, 200);
    // A second one to poll with it has it from somewhere else.
    let (again, other) = (shown, device_codes(&gate).await);
    assert_eq!(type_code(&mut alice, &again, "yes").await.status, 404, "it is used up");
    assert_eq!(type_code(&mut alice, &other.1, "no").await.status, 200);
    assert_eq!(error(&poll(&gate, &other.0).await), (400, "access_denied".to_owned()));
}

#[tokio::test]
async fn a_device_that_asked_from_elsewhere_is_shown_as_such() {
    let server = Server::scripted(|_| async { full(200, "{}") });
    let gate =
        Gate::with(server, "", |config| config.serve.trusted_proxies.push("127.0.0.1/32".parse().unwrap())).await;
    let fields = form(&[("client_id", "trackgate-cli"), ("device_name", "host-1")]);
    let from = |address| [FORM, ("x-forwarded-for", address), ("x-forwarded-proto", "https")];
    let told = send(&gate.anonymous(), DEVICE_AUTHORIZATION, &from("198.51.100.7"), fields).await;
    assert_eq!(told.status, 200, "{}", told.text());
    let shown = told.json()["user_code"].as_str().unwrap().to_owned();
    let mut alice = person(&gate, "alice").await;
    let page = alice.visit(DEVICE).await;
    let token = value(&page, DEVICE, "token");
    let asked = submit(&mut alice, DEVICE, &[("token", &token), ("user_code", &shown)]).await.text();
    assert!(asked.contains("198.51.100.7") && asked.contains("not from where you are"), "{asked}");
    // The button that is at hand says no.
    let yes = asked.find("value=\"yes\"").unwrap();
    assert!(!asked[asked[..yes].rfind("<button").unwrap()..yes].contains("primary"), "{asked}");
}

#[tokio::test]
async fn guessing_the_code_of_a_device_is_throttled_for_right_ones_too() {
    let gate = gate_with("[limits]\nfailed_credentials = 5").await;
    let (_, shown) = device_codes(&gate).await;
    let mut mallory = person(&gate, "mallory").await;
    for n in 0..5 {
        let told = type_code(&mut mallory, &format!("BCDF-GHJ{}", ["K", "L", "M", "N", "P"][n]), "yes").await;
        assert_eq!(told.status, 404, "{n}");
        assert_eq!(gate.record(&told).await["reason"], "oauth-grant-unknown");
    }
    for path in [DEVICE, DECIDE] {
        let token = value(&mallory.visit(DEVICE).await, DEVICE, "token");
        let fields = [("token", token.as_str()), ("user_code", shown.as_str()), ("answer", "yes")];
        let told = submit(&mut mallory, path, &fields).await;
        assert_eq!(told.status, 429, "{path}: the right one");
        assert!(told.header("retry-after").is_some());
    }
}

#[tokio::test]
async fn codes_and_refresh_tokens_cannot_be_guessed_on_and_on() {
    let gate = gate_with("[limits]\nfailed_credentials = 3").await;
    let mut last = (0, String::new());
    for _ in 0..5 {
        let guess = trackgate::token_form::make("tgr_").unwrap();
        let told = refresh(&gate, &guess).await;
        last = error(&told);
    }
    assert_eq!(last, (429, "temporarily_unavailable".to_owned()));
    let (_, renew) = login(&gate).await;
    assert_eq!(refresh(&gate, &renew).await.status, 200, "a right one is never refused for it");
}

#[tokio::test]
async fn one_address_cannot_ask_for_codes_on_and_on() {
    let gate = gate().await;
    let mut statuses = Vec::new();
    for _ in 0..31 {
        statuses.push(post(&gate, DEVICE_AUTHORIZATION, &[("client_id", "trackgate-cli")]).await.status);
    }
    assert_eq!((statuses[29], statuses[30]), (200, 429), "{statuses:?}");
}

#[tokio::test]
async fn forms_that_another_site_sends_give_nothing() {
    let gate = gate().await;
    let mut alice = person(&gate, "alice").await;
    let mut bob = person(&gate, "bob").await;
    let (_, shown) = device_codes(&gate).await;
    let own = value(&alice.visit(DEVICE).await, DEVICE, "token");
    let foreign = value(&bob.visit(DEVICE).await, DEVICE, "token");
    let other_site = [FORM, NAVIGATE, ("sec-fetch-site", "cross-site"), ("origin", "https://evil.example")];
    for path in [DEVICE, DECIDE, AUTHORIZE] {
        for (what, token, headers) in [
            ("no token", "", vec![FORM, NAVIGATE, OURS]),
            ("somebody else's", &*foreign, vec![FORM, NAVIGATE, OURS]),
            ("another site's", &*own, other_site.to_vec()),
            ("nowhere's", &*own, vec![FORM]),
        ] {
            let fields = [
                ("token", token),
                ("user_code", &*shown),
                ("answer", "yes"),
                ("client_id", "trackgate-cli"),
                ("redirect_uri", REDIRECT),
                ("response_type", "code"),
                ("code_challenge", CHALLENGE),
                ("code_challenge_method", "S256"),
            ];
            let told = alice.send("POST", path, &headers, &form(&fields)).await;
            assert_eq!(told.status, 403, "{path}, {what}: {}", told.text());
            assert!(!told.text().contains("127.0.0.1:4711"));
        }
    }
    assert_eq!(type_code(&mut alice, &shown, "no").await.status, 200, "it still waits");
}

#[tokio::test]
async fn a_token_neither_agrees_nor_types_codes_nor_makes_tokens() {
    let gate = gate().await;
    let (access, _) = login(&gate).await;
    let (_, shown) = device_codes(&gate).await;
    let token = with(&gate, &access);
    let pages = [ask(&[]), DEVICE.to_owned(), format!("{DEVICE}?user_code={shown}"), "/trackgate/access".to_owned()];
    for page in pages {
        assert_eq!(token.get(&page).await.status, 400, "{page}");
    }
    for path in [DEVICE, DECIDE, AUTHORIZE] {
        let told = send(&token, path, &[FORM], form(&[("user_code", &shown), ("answer", "yes")])).await;
        assert_eq!(told.status, 400, "{path}: {}", told.text());
    }
    assert_eq!(token.post("/trackgate/api/tokens", &json!({"name": "another"})).await.status, 403);
    assert_eq!(token.get("/trackgate/tokens").await.status, 403);
    // An ID token of a program agrees to nothing either.
    assert_eq!(gate.bearer("alice").get(&ask(&[])).await.status, 400);
}

#[tokio::test]
async fn processes_that_race_with_one_refresh_token_all_get_an_answer_that_works() {
    let gate = gate().await;
    let (_, renew) = login(&gate).await;
    let raced = futures_util::future::join_all((0..12).map(|_| refresh(&gate, &renew))).await;
    for told in &raced {
        let (access, _) = tokens(told);
        assert_eq!(with(&gate, &access).get(READ).await.status, 200);
    }
    let (_, last) = tokens(&raced[5]);
    assert_eq!(refresh(&gate, &last).await.status, 200, "whichever was written down last");
}

#[tokio::test]
async fn a_refresh_token_that_comes_late_ends_the_login_and_is_written_down() {
    let clock = Clock::set_to(SystemTime::now());
    let server = Server::scripted(|_| async { full(200, "{\"experiment\": {\"experiment_id\": \"1\"}}") });
    let gate = Gate::at(clock.clone(), server, "", |_| {}).await;
    gate.grant("user:alice@example.com", "experiment", "1", "READ").await;
    let (_, renew) = login(&gate).await;
    let (_, next) = tokens(&refresh(&gate, &renew).await);
    clock.advance(Duration::from_mins(1));
    let (access, _) = tokens(&refresh(&gate, &renew).await);
    clock.advance(Duration::from_secs(1));
    assert_eq!(with(&gate, &access).get(READ).await.status, 200);
    let late = refresh(&gate, &renew).await;
    assert_eq!(error(&late), (400, "invalid_grant".to_owned()));
    assert!(late.text().contains("somebody else may have it"), "{}", late.text());
    let record = gate.record(&late).await;
    assert_eq!(record["reason"], "oauth-grant-replayed", "{record}");
    assert!(record["detail"].as_str().unwrap().contains(&access[4..12]), "{record}");
    assert_eq!(with(&gate, &access).get(READ).await.status, 401);
    assert_eq!(error(&refresh(&gate, &next).await), (400, "invalid_grant".to_owned()), "the whole family");
}

#[tokio::test]
async fn an_access_token_lets_in_for_an_hour_and_is_renewed_for_as_long_as_the_login_lasts() {
    let clock = Clock::set_to(SystemTime::now());
    let server = Server::scripted(|_| async { full(200, "{\"experiment\": {\"experiment_id\": \"1\"}}") });
    let settings = "[login]\nrefresh_lifetime = \"50h\"\nrefresh_idle = \"2h\"";
    let gate = Gate::at(clock.clone(), server, settings, |_| {}).await;
    gate.grant("user:alice@example.com", "experiment", "1", "READ").await;
    let (mut access, mut renew) = login(&gate).await;
    for hour in 0..48 {
        clock.advance(Duration::from_hours(1));
        let told = with(&gate, &access).get(READ).await;
        assert_eq!(told.status, 401, "{hour}");
        assert!(told.text().contains("expired at"), "{}", told.text());
        (access, renew) = tokens(&refresh(&gate, &renew).await);
        assert_eq!(with(&gate, &access).get(READ).await.status, 200, "{hour}");
    }
    clock.advance(Duration::from_hours(2));
    assert_eq!(error(&refresh(&gate, &renew).await), (400, "invalid_grant".to_owned()), "at last");
}

#[tokio::test]
async fn logging_out_ends_the_login_and_only_logins_are_ended_so() {
    let gate = gate().await;
    let client = ("client_id", "trackgate-cli");
    for which in [0, 1] {
        let (access, renew) = login(&gate).await;
        let shown = [&access, &renew][which];
        let fields = [client, ("token", shown.as_str()), ("token_type_hint", "refresh_token")];
        for _ in 0..2 {
            let told = post(&gate, REVOKE, &fields).await;
            assert_eq!(told.status, 200, "{}", told.text());
        }
        assert_eq!(with(&gate, &access).get(READ).await.status, 401);
        assert_eq!(error(&refresh(&gate, &renew).await), (400, "invalid_grant".to_owned()));
    }
    // One that is none is as good as ended (RFC 7009 section 2.2).
    let (access, _) = login(&gate).await;
    let stranger = trackgate::token_form::make_named("tgr_", &access[4..12]).unwrap();
    assert_eq!(post(&gate, REVOKE, &[client, ("token", &stranger)]).await.status, 200);
    assert_eq!(post(&gate, REVOKE, &[client, ("token", "x")]).await.status, 200);
    assert_eq!(with(&gate, &access).get(READ).await.status, 200);
    let made = gate.bearer("alice").post("/trackgate/api/tokens", &json!({"name": "laptop"})).await.json();
    let personal = made["token"].as_str().unwrap();
    assert_eq!(
        error(&post(&gate, REVOKE, &[client, ("token", personal)]).await),
        (400, "unsupported_token_type".to_owned())
    );
    assert_eq!(with(&gate, personal).get(READ).await.status, 200);
    assert_eq!(error(&post(&gate, REVOKE, &[client]).await), (400, "invalid_request".to_owned()));
}

#[tokio::test]
async fn people_and_administrators_see_logins_and_end_them() {
    let gate = gate().await;
    let (access, _) = login(&gate).await;
    assert_eq!(with(&gate, &access).get(READ).await.status, 200);
    let id = access[4..12].to_owned();
    let row = gate.bearer("alice").get("/trackgate/api/tokens").await.json()["tokens"][0].clone();
    assert_eq!((&row["id"], &row["kind"], &row["name"]), (&json!(id), &json!("login"), &json!("laptop")), "{row}");
    assert_eq!((&row["state"], &row["uses"][0]["address"]), (&json!("active"), &json!("127.0.0.1")));
    let mut alice = person(&gate, "alice").await;
    let page = alice.visit("/trackgate/tokens").await;
    let text = page.text();
    assert!(text.contains("laptop") && text.contains(&format!("tgl_{id}")) && text.contains("login"), "{text}");
    let token = value(&page, "tokens/revoke", "token");
    let gone = submit(&mut alice, "/trackgate/tokens/revoke", &[("token", &token), ("id", &id)]).await;
    assert_eq!(gone.status, 303, "{}", gone.text());
    assert_eq!(with(&gate, &access).get(READ).await.status, 401);
    // An administrator, of somebody else.
    let (access, _) = login(&gate).await;
    let id = &access[4..12];
    assert_eq!(gate.bearer("bob").json("DELETE", &format!("/trackgate/api/tokens/{id}"), "").await.status, 403);
    assert_eq!(gate.bearer("root").json("DELETE", &format!("/trackgate/api/tokens/{id}"), "").await.status, 200);
    assert_eq!(with(&gate, &access).get(READ).await.status, 401);
}

#[tokio::test]
async fn with_logins_switched_off_none_is_made_and_none_counts() {
    let gate = gate_with("[login]\nallow = false").await;
    let fields = [("client_id", "trackgate-cli")];
    assert_eq!(error(&post(&gate, DEVICE_AUTHORIZATION, &fields).await), (400, "unauthorized_client".to_owned()));
    assert_eq!(error(&refresh(&gate, "x").await), (400, "unauthorized_client".to_owned()));
    let mut alice = person(&gate, "alice").await;
    for page in [ask(&[]), DEVICE.to_owned()] {
        assert_eq!(alice.visit(&page).await.status, 403, "{page}");
    }
    let access = trackgate::token_form::make("tgl_").unwrap();
    let told = with(&gate, &access).get(READ).await;
    assert_eq!((told.status, gate.record(&told).await["reason"].clone()), (401, Value::from("own-tokens-off")));
}
