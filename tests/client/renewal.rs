//! What is about to end is renewed: once, whoever asks, and whatever clocks and networks do.

use std::fs;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::ExposeSecret as _;
use serde_json::json;
use trackgate::client::{Client, Folder as Place, Server};
use trackgate::clock::Clock;

use crate::harness::certs::Folder;
use crate::lookalike::Lookalike;
use crate::person::{Person, now, text};

#[test]
fn processes_that_ask_at_once_make_one_renewal_and_lose_nothing() {
    let server = Lookalike::new();
    let person = Person::signed_in(&server, -10);
    person.edit(|document| {
        document["servers"]["https://other.example.com"] = json!({"anything": true});
        document["servers"][&server.url]["colour"] = json!("blue");
    });
    // Slow enough for all of them to be there before it is done.
    server.state().manner.slow = Duration::from_millis(500);
    let children: Vec<_> = (0..12)
        .map(|_| person.program("token print").env("MLFLOW_TRACKING_URI", &server.url).spawn().unwrap())
        .collect();
    let printed: Vec<_> = children
        .into_iter()
        .map(|child| {
            let output = child.wait_with_output().unwrap();
            assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
            text(&output.stdout)
        })
        .collect();
    assert_eq!(server.state().count("refresh_token"), 1);
    let entry = person.entry(&server);
    let kept = format!("{}\n", entry["access_token"].as_str().unwrap());
    assert!(printed.iter().all(|token| *token == kept), "{printed:?}");
    assert_eq!(entry["colour"], "blue");
    assert_eq!(person.document()["servers"]["https://other.example.com"], json!({"anything": true}));
    // What was kept renews again.
    person.edit(|document| document["servers"][&server.url]["access_expires_at"] = json!(now()));
    let again = person.program("token print").env("MLFLOW_TRACKING_URI", &server.url).output().unwrap();
    assert_eq!(again.status.code(), Some(0), "{}", text(&again.stderr));
}

#[test]
fn a_rotation_that_two_machines_race_for_ends_no_login() {
    let server = Lookalike::new();
    let one = Person::signed_in(&server, -10);
    let other = Person::new();
    fs::copy(one.file(), other.file()).unwrap();
    server.state().manner.slow = Duration::from_millis(300);
    // Two folders: no lock between them.
    let children = [&one, &other].map(|person| person.program("token print").spawn().unwrap());
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    }
    assert_eq!(server.state().count("refresh_token"), 2);
    for person in [&one, &other] {
        assert!(person.says("whoami").contains("alice@example.com"));
    }
}

#[test]
fn a_token_that_is_printed_lasts_as_long_as_the_script_needs() {
    let server = Lookalike::new();
    // What ends in ten minutes is still good for a request, and of no use to a script that sets it once.
    let person = Person::signed_in(&server, 600);
    assert!(person.says("whoami").contains("alice@example.com"));
    let renewals = || server.state().count("refresh_token");
    assert_eq!(renewals(), 0);
    person.says("token print");
    assert_eq!(renewals(), 1);
    let lasts = |seconds: u64| {
        person.edit(|document| document["servers"][&server.url]["access_expires_at"] = json!(now() + seconds));
    };
    lasts(2400);
    person.says("token print");
    assert_eq!(renewals(), 1, "40 minutes are enough");
    person.says("token print --for 50m");
    assert_eq!(renewals(), 2);
    // A server whose tokens are shorter gives what it gives, and that is said.
    server.state().manner.expires_in = 300;
    let output = person.run("token print --for 2h");
    assert_eq!(output.status.code(), Some(0));
    assert!(text(&output.stdout).starts_with("tgl_"));
    assert!(text(&output.stderr).contains("the server gives none that last longer"), "{}", text(&output.stderr));
    let said = person.fails("token print --for 50", 2);
    assert!(said.contains("50m"), "{said}");
}

#[test]
fn behind_iap_a_login_is_made_renewed_asked_about_and_ended_with_its_credential_in_every_request() {
    let (server, person) = (Lookalike::new(), Person::new());
    let file = person.0.join("iap");
    // A JWT as Google's are; nobody signed it.
    let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
    let claims = part(&json!({"aud": "1234-abc", "iat": now(), "exp": now() + 3600}).to_string());
    let token = format!("{}.{claims}.{}", part("{\"alg\": \"RS256\"}"), URL_SAFE_NO_PAD.encode([7; 256]));
    fs::write(&file, &token).unwrap();
    let run = |line: &str| {
        let mut command = person.program(line);
        command.env("TRACKGATE_IAP_AUDIENCE", "1234-abc").env("TRACKGATE_IAP_TOKEN_FILE", &file);
        let output = command.args(["--iap-credential", "file"]).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{line}: {}", text(&output.stderr));
        text(&output.stdout)
    };
    run(&format!("login {} --device", server.url));
    person.edit(|document| document["servers"][&server.url]["access_expires_at"] = json!(now() - 10));
    assert!(run("token print").starts_with("tgl_"));
    assert!(run("whoami").contains("alice@example.com"));
    assert!(run("logout").starts_with("signed out"));
    let seen = server.server.seen();
    for path in ["/.well-known/", "/device", "/token", "/trackgate/whoami", "/revoke"] {
        assert!(seen.iter().any(|seen| seen.target.contains(path)), "{path}");
    }
    for request in &seen {
        assert_eq!(request.headers["proxy-authorization"], format!("Bearer {token}").as_str(), "{}", request.target);
    }
    // Without, the server sees nothing of the kind.
    person.says(&format!("login {} --device", server.url));
    assert!(server.server.seen()[seen.len()..].iter().all(|seen| !seen.headers.contains_key("proxy-authorization")));
}

#[test]
fn a_copy_that_is_used_much_later_ends_the_login_and_says_what_to_do() {
    let server = Lookalike::new();
    let one = Person::signed_in(&server, -10);
    let copy = fs::read_to_string(one.file()).unwrap();
    one.says("token print");
    server.state().manner.grace = false;
    let other = Person::new();
    other.write(&copy);
    for person in [&other, &one] {
        person.edit(|document| document["servers"][&server.url]["access_expires_at"] = json!(now()));
        let said = person.fails("token print", 6);
        assert!(said.contains("has ended") && said.contains(&format!("run: trackgate login {}", server.url)), "{said}");
    }
}

#[test]
fn a_token_that_this_machine_takes_for_good_and_the_server_does_not_is_renewed_once() {
    let server = Lookalike::new();
    // This machine's clock is days behind, or was when the file was written.
    let person = Person::signed_in(&server, 400_000);
    server.state().forget_access();
    assert!(person.says("whoami").contains("alice@example.com"));
    assert_eq!(server.state().count("refresh_token"), 1);
    let lasts = person.entry(&server)["access_expires_at"].as_u64().unwrap() - now();
    assert!((3500..=3600).contains(&lasts), "counted from the answer: {lasts}");
    // Once, and not for ever.
    server.state().manner.refusals = 2;
    assert!(person.fails("whoami", 6).contains("does not accept"));
    assert_eq!(server.state().count("refresh_token"), 2);
}

#[test]
fn a_server_that_gives_nothing_to_renew_with_is_good_for_its_hour_and_no_longer() {
    let (server, person) = (Lookalike::new(), Person::new());
    server.state().manner.renews = false;
    let output = person.run(&format!("login {} --device", server.url));
    assert_eq!(output.status.code(), Some(0));
    assert!(text(&output.stderr).contains("nothing to renew it with"), "{}", text(&output.stderr));
    assert!(person.entry(&server).get("refresh_token").is_none());
    assert!(person.says("token print").starts_with("tgl_"));
    let expire = |lasts: u64| {
        person.edit(|document| document["servers"][&server.url]["access_expires_at"] = json!(now() + lasts));
    };
    expire(60);
    assert!(person.says("token print").starts_with("tgl_"), "the last minute counts");
    expire(0);
    let said = person.fails("token print", 6);
    assert!(said.contains("no means to renew it"), "{said}");
    assert_eq!(server.state().count("refresh_token"), 0);
    assert_eq!(person.says("logout"), format!("signed out at {}\n", server.url));
    assert_eq!(server.state().revoked().len(), 1, "the access token, as there is no other");
}

#[test]
fn without_a_network_what_is_good_goes_on_and_what_is_over_is_said() {
    let server = Lookalike::new();
    let person = Person::signed_in(&server, 30);
    let url = server.url.clone();
    server.state().manner.broken = Some((503, "", "no".to_owned()));
    assert!(person.says("token print").starts_with("tgl_"), "a server that is away ends nothing that is good");
    drop(server);
    assert!(person.says("token print").starts_with("tgl_"));
    person.edit(|document| document["servers"][&url]["access_expires_at"] = json!(now()));
    let said = person.fails("token print", 7);
    assert!(said.contains(&format!("{url} cannot be reached")) && said.contains("refused"), "{said}");
    assert!(person.fails(&format!("login {url} --device"), 7).contains("cannot be reached"));
    assert!(person.fails(&format!("whoami {url}"), 7).contains("cannot be reached"));
}

#[test]
fn an_answer_that_is_none_renews_nothing_and_is_not_repeated() {
    for (status, body) in [
        (200, "{\"access_token\": \"tgl_half".to_owned()),
        (200, json!({"access_token": "tgl_half", "token_type": "mac", "expires_in": 5}).to_string()),
        (200, json!({"access_token": "tgl_half with space", "token_type": "Bearer"}).to_string()),
        (200, json!({"access_token": "", "token_type": "Bearer"}).to_string()),
        (200, json!({"access_token": "tgl_half", "token_type": "Bearer", "expires_in": "tgl_half"}).to_string()),
        (400, "<html>tgl_half</html>".to_owned()),
        (400, json!({"error": "\u{1b}[2J"}).to_string()),
    ] {
        let server = Lookalike::new();
        let person = Person::signed_in(&server, -10);
        let before = person.document();
        server.state().manner.broken = Some((status, "", body.clone()));
        let said = person.fails("token print", 1);
        assert!(!said.contains("tgl_half") && !said.contains('\u{1b}'), "{body}: {said}");
        assert_eq!(person.document(), before, "{body}");
    }
}

#[test]
fn a_lifetime_without_end_or_none_at_all_is_bounded() {
    for (expires, most) in [(json!(u64::MAX), 400_000_000_u64), (json!(null), 400)] {
        let server = Lookalike::new();
        let person = Person::signed_in(&server, -10);
        let body = json!({"access_token": "tgl_new", "token_type": "bearer", "expires_in": expires});
        server.state().manner.broken = Some((200, "", body.to_string()));
        assert_eq!(person.says("token print"), "tgl_new\n");
        let entry = person.entry(&server);
        assert!(entry["access_expires_at"].as_u64().unwrap() < now() + most, "{entry}");
        assert!(entry["refresh_token"].is_string(), "RFC 6749 section 6: where none is given, the one before stays");
    }
}

#[tokio::test]
async fn in_one_process_many_tasks_make_one_renewal_and_whoever_leaves_breaks_none() {
    let server = Lookalike::new();
    let person = Person::signed_in(&server, -10);
    server.state().manner.slow = Duration::from_millis(300);
    let client = Client::new(Place::at(&person.0), None, Clock::System).unwrap();
    let name = Server::parse(&server.url).unwrap();
    // The first one to ask goes away before it has its answer.
    let (asking, asked) = (client.clone(), name.clone());
    let leaving = tokio::spawn(async move { asking.fresh(&asked).await });
    crate::harness::until("a renewal", || server.state().count("refresh_token") == 1).await;
    leaving.abort();
    let tasks: Vec<_> = (0..50)
        .map(|_| {
            let (client, name) = (client.clone(), name.clone());
            tokio::spawn(async move { client.fresh(&name).await.unwrap().secret })
        })
        .collect();
    let entry = {
        let mut secrets = Vec::new();
        for task in tasks {
            secrets.push(task.await.unwrap().expose_secret().to_owned());
        }
        secrets.dedup();
        assert_eq!(secrets.len(), 1);
        secrets.remove(0)
    };
    assert_eq!(server.state().count("refresh_token"), 1);
    assert_eq!(person.entry(&server)["access_token"], entry, "what the one who left had asked for was kept");
}

#[test]
fn nothing_that_is_said_holds_a_secret() {
    let server = Lookalike::new();
    let folder = Folder::new();
    let person = Person::signed_in(&server, -10);
    let mut said = String::new();
    for line in ["whoami", "whoami --json", "login --help", "token print --help", "logout"] {
        let mut program = person.program(line);
        let output = program.env("RUST_LOG", "trace").env("TRACKGATE_CONFIG", folder.path()).output().unwrap();
        said += &(text(&output.stdout) + &text(&output.stderr));
    }
    assert!(!said.contains("tgl_") && !said.contains("tgr_"), "{said}");
}
