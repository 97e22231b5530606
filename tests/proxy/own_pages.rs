//! Our own pages about permissions at the running gate: who sees what, who gives what, and which forms are taken.

use serde_json::json;

use super::login::Browser;
use crate::harness::gate::{Gate, Told};
use crate::harness::server::{Server, full};

pub(super) const SHARE: &str = "/trackgate/share?kind=experiment&id=1";
pub(super) const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");
pub(super) const NAVIGATE: (&str, &str) = ("sec-fetch-mode", "navigate");
pub(super) const OURS: (&str, &str) = ("sec-fetch-site", "same-origin");

/// A server whose experiments have odd names, and which must be asked nothing but those.
pub(super) async fn gate() -> Gate {
    let server = Server::scripted(|request| {
        let target = request.uri().to_string();
        async move {
            match target.rsplit_once("experiment_id=") {
                Some((_, id)) => {
                    let name = format!("<b>Öl & \"{id}\"</b>");
                    full(200, json!({"experiment": {"experiment_id": id, "name": name}}).to_string())
                }
                None if target.contains("registered-models/get") => {
                    let name = percent_encoding::percent_decode_str(target.rsplit('=').next().unwrap());
                    let name = name.decode_utf8_lossy();
                    full(200, json!({"registered_model": {"name": name, "tags": []}}).to_string())
                }
                None => full(404, json!({"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "no"}).to_string()),
            }
        }
    });
    Gate::with(server, "[access]\nadmins = [\"root@example.com\"]", |_| {}).await
}

/// Somebody who signed in with a browser.
pub(super) async fn person<'a>(gate: &'a Gate, name: &str) -> Browser<'a> {
    gate.issuer.change_claims(&json!({"sub": format!("sub-{name}"), "email": format!("{name}@example.com")}));
    let mut browser = Browser::at(gate);
    browser.sign_in("/trackgate/access").await;
    browser
}

/// The value of an input of this name, the first after `from`.
pub(super) fn value(page: &Told, from: &str, name: &str) -> String {
    let text = page.text();
    let rest = &text[text.find(from).unwrap_or_else(|| panic!("no {from} in {text}"))..];
    let at = rest.find(&format!("name=\"{name}\" value=\"")).unwrap_or_else(|| panic!("no {name} in {rest}"));
    let rest = &rest[at + name.len() + 15..];
    rest[..rest.find('"').unwrap()].to_owned()
}

pub(super) fn form(fields: &[(&str, &str)]) -> String {
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish()
}

pub(super) async fn submit(browser: &mut Browser<'_>, path: &str, fields: &[(&str, &str)]) -> Told {
    browser.send("POST", path, &[FORM, NAVIGATE, OURS, ("origin", "null")], &form(fields)).await
}

#[tokio::test]
async fn my_access_tells_what_i_reach_through_what_and_nothing_that_is_denied_to_me() {
    let gate = gate().await;
    gate.grant("user:alice@example.com", "experiment", "1", "MANAGE").await;
    gate.grant("user:alice@example.com", "experiment", "66", "DENY").await;
    gate.grant("group:team", "experiment", "66", "READ").await;
    gate.grant("group:team", "registered_model", "team-a/*", "EDIT").await;
    gate.grant("group:everybody", "prompt", "<script>alert(1)</script>", "READ").await;
    gate.issuer.change_claims(&json!({"groups": ["team"]}));
    let mut alice = person(&gate, "alice").await;
    let page = alice.visit("/trackgate/access").await;
    assert_eq!(page.status, 200, "{}", page.text());
    let text = page.text();
    for part in [
        "alice@example.com",
        "You signed in at Test",
        "from your identity provider",
        "&#60;b&#62;Öl &#38; &#34;1&#34;&#60;/b&#62;",
        "team-a/*",
        "group team",
        "given to everybody",
        "/trackgate/share?kind=experiment&#38;id=1",
    ] {
        assert!(text.contains(part), "{part} is missing: {text}");
    }
    assert!(!text.contains("66") && !text.contains("<script>") && !text.contains("<b>"), "{text}");
    assert!(page.header("content-security-policy").unwrap().starts_with("default-src 'none'"));
    assert_eq!(page.header("cache-control"), Some("no-store"));
    let record = gate.record(&page).await;
    assert_eq!((&record["call"], &record["decision"]), (&json!("AccessPage"), &json!("allow")), "{record}");
}

#[tokio::test]
async fn who_manages_a_thing_gives_changes_and_takes_it_back_on_its_page() {
    let gate = gate().await;
    gate.grant("user:alice@example.com", "experiment", "1", "MANAGE").await;
    let mut alice = person(&gate, "alice").await;
    let page = alice.visit(SHARE).await;
    assert_eq!(page.status, 200, "{}", page.text());
    let token = value(&page, "share/give", "token");
    let about = [("kind", "experiment"), ("id", "1")];
    let give = |to, level, lasts| {
        let mut fields = vec![("token", token.as_str()), ("to", to), ("permission", level), ("lasts", lasts)];
        fields.extend(about);
        fields
    };
    let read = "/api/2.0/mlflow/experiments/get?experiment_id=1";
    assert_eq!(gate.bearer("bob").get(read).await.status, 403);
    let given = submit(&mut alice, "/trackgate/share/give", &give("bob@example.com", "READ", "7d")).await;
    assert_eq!(
        (given.status, given.header("location")),
        (303, Some("/trackgate/share?kind=experiment&id=1&done=given"))
    );
    assert_eq!(gate.bearer("bob").get(read).await.status, 200);
    let record = gate.record(&given).await;
    assert_eq!((&record["call"], &record["user"]), (&json!("ShareGive"), &json!("alice@example.com")));
    assert!(record["detail"].as_str().unwrap().starts_with("READ to user bob@example.com until "), "{record}");

    let twice = submit(&mut alice, "/trackgate/share/give", &give("bob@example.com", "EDIT", "")).await;
    assert_eq!(twice.status, 409);
    assert!(twice.text().contains("holds something already"), "{}", twice.text());
    // Two people look at the same page; the second one's change must not overwrite the first one's.
    let seen = value(&twice, "share/change", "seen");
    let mut change = give("bob@example.com", "EDIT", "keep");
    change.push(("seen", &seen));
    let first = submit(&mut alice, "/trackgate/share/change", &change).await;
    assert_eq!(first.status, 303, "{}", first.text());
    let mut second = give("bob@example.com", "DENY", "keep");
    second.push(("seen", &seen));
    let refused = submit(&mut alice, "/trackgate/share/change", &second).await;
    assert_eq!(refused.status, 409);
    assert!(refused.text().contains("somebody else was faster"), "{}", refused.text());
    let mut removal = vec![("token", token.as_str()), ("to", "bob@example.com"), ("seen", seen.as_str())];
    removal.extend(about);
    assert_eq!(submit(&mut alice, "/trackgate/share/remove", &removal).await.status, 409);
    let now = value(&refused, "share/change", "seen");
    assert!(now.contains("EDIT"), "{now}");
    let mut removal = vec![("token", token.as_str()), ("to", "bob@example.com"), ("seen", now.as_str())];
    removal.extend(about);
    assert_eq!(submit(&mut alice, "/trackgate/share/remove", &removal).await.status, 303);
    assert_eq!(gate.bearer("bob").get(read).await.status, 403);
}

#[tokio::test]
async fn a_form_changes_nothing_but_the_grant_that_was_judged() {
    let gate = gate().await;
    gate.grant("user:alice@example.com", "experiment", "1", "MANAGE").await;
    gate.grant("user:bob@example.com", "experiment", "1", "READ").await;
    gate.grant("user:bob@example.com", "experiment", "2", "MANAGE").await;
    let mut alice = person(&gate, "alice").await;
    let page = alice.visit(SHARE).await;
    let token = value(&page, "share/give", "token");
    let other = gate.open().house().store.grants_on(
        &trackgate::mlflow::ids::WorkspaceName::default(),
        trackgate::mlflow::resource::Kind::Experiment,
        "2",
    );
    let other = format!("{}.MANAGE.0.{}", other[0].id, other[0].created);
    for path in ["/trackgate/share/change", "/trackgate/share/remove"] {
        let fields = [
            ("token", token.as_str()),
            ("kind", "experiment"),
            ("id", "1"),
            ("to", "bob@example.com"),
            ("permission", "READ"),
            ("seen", other.as_str()),
        ];
        assert_eq!(submit(&mut alice, path, &fields).await.status, 409, "{path}");
    }
    // Nor may the page of what is somebody else's be seen; absent things look the same.
    let hidden = alice.visit("/trackgate/share?kind=experiment&id=2").await;
    let absent = alice.visit("/trackgate/share?kind=experiment&id=999").await;
    assert_eq!((hidden.status, absent.status), (403, 403));
    let plain = |told: &Told| {
        let id = told.header("x-request-id").unwrap().to_owned();
        told.text().replace(&id, "").replace("999", "2")
    };
    assert_eq!(plain(&hidden), plain(&absent));
}

#[tokio::test]
async fn nobody_gives_to_themselves_nor_beyond_their_own_on_a_page() {
    let gate = gate().await;
    gate.grant("user:alice@example.com", "experiment", "1", "MANAGE").await;
    gate.grant("user:alice@example.com", "experiment", "2", "EDIT").await;
    let mut alice = person(&gate, "alice").await;
    let token = value(&alice.visit(SHARE).await, "share/give", "token");
    for (id, to, level, status) in [
        ("1", "alice@example.com", "MANAGE", 403),
        ("2", "bob@example.com", "READ", 403),
        ("*", "bob@example.com", "READ", 403),
        ("1", "bob@example.com", "OWNER", 400),
        ("1", "", "READ", 400),
        ("1", "bob\u{202e}moc", "READ", 400),
    ] {
        let fields = [("token", token.as_str()), ("kind", "experiment"), ("id", id), ("to", to), ("permission", level)];
        let told = submit(&mut alice, "/trackgate/share/give", &fields).await;
        assert_eq!(told.status, status, "{id} {to} {level}: {}", told.text());
        assert!(told.text().contains("<html"), "a page, for a form: {}", told.text());
    }
}

#[tokio::test]
async fn forms_of_other_sites_and_other_sessions_are_refused() {
    let gate = gate().await;
    gate.grant("user:alice@example.com", "experiment", "1", "MANAGE").await;
    gate.grant("user:carol@example.com", "experiment", "1", "MANAGE").await;
    let mut alice = person(&gate, "alice").await;
    let mut carol = person(&gate, "carol").await;
    let token = value(&alice.visit(SHARE).await, "share/give", "token");
    let foreign = value(&carol.visit(SHARE).await, "share/give", "token");
    let fields = |token: &str| {
        form(&[
            ("token", token),
            ("kind", "experiment"),
            ("id", "1"),
            ("to", "bob@example.com"),
            ("permission", "READ"),
        ])
    };
    let give = "/trackgate/share/give";
    for (what, token, headers) in [
        ("another session's", &foreign, vec![FORM, NAVIGATE, OURS]),
        ("none", &String::new(), vec![FORM, NAVIGATE, OURS]),
        ("made up", &"AAAA".repeat(20), vec![FORM, NAVIGATE, OURS]),
        ("of another site", &token, vec![FORM, NAVIGATE, ("sec-fetch-site", "cross-site"), ("origin", "null")]),
        ("of another site", &token, vec![FORM, ("origin", "https://evil.example")]),
        ("of nowhere", &token, vec![FORM]),
    ] {
        let told = alice.send("POST", give, &headers, &fields(token)).await;
        assert_eq!(told.status, 403, "{what}: {}", told.text());
    }
    for kind in ["application/json", "text/plain", "multipart/form-data"] {
        let told = alice.send("POST", give, &[("content-type", kind), NAVIGATE, OURS], &fields(&token)).await;
        assert_eq!(told.status, 415, "{kind}");
    }
    let signed_out = Browser::at(&gate).send("POST", give, &[FORM, NAVIGATE, OURS], &fields(&token)).await;
    assert_eq!(signed_out.header("location"), Some("/trackgate/login?return_to=%2Ftrackgate%2Faccess"));
    assert!(
        gate.open()
            .house()
            .store
            .grants()
            .iter()
            .all(|record| record.grant.subject.to_string() != "user bob@example.com")
    );
    // The same with the token of the page is taken.
    assert_eq!(alice.send("POST", give, &[FORM, NAVIGATE, OURS], &fields(&token)).await.status, 303);
}

#[tokio::test]
async fn programs_are_told_that_these_are_pages() {
    let gate = gate().await;
    gate.grant("user:alice@example.com", "experiment", "1", "MANAGE").await;
    for told in [gate.bearer("alice").get("/trackgate/access").await, gate.bearer("alice").get(SHARE).await] {
        assert_eq!(told.status, 400);
        assert!(told.json()["message"].as_str().unwrap().contains("/api/3.0/mlflow/users/permissions/grant"));
    }
}

#[tokio::test]
async fn a_name_that_looks_like_another_is_asked_about_and_shown_with_a_warning() {
    let gate = gate().await;
    gate.grant("user:alice@example.com", "experiment", "1", "MANAGE").await;
    gate.grant("user:bob@example.com", "experiment", "2", "READ").await;
    let mut alice = person(&gate, "alice").await;
    let token = value(&alice.visit(SHARE).await, "share/give", "token");
    let twin = "b0b@example.com";
    let mut fields =
        vec![("token", token.as_str()), ("kind", "experiment"), ("id", "1"), ("to", twin), ("permission", "READ")];
    let asked = submit(&mut alice, "/trackgate/share/give", &fields).await;
    assert_eq!(asked.status, 200);
    assert!(asked.text().contains("and not <strong>bob@example.com</strong>"), "{}", asked.text());
    assert!(gate.open().house().store.grants().iter().all(|record| !record.grant.subject.to_string().contains("b0b")));
    fields.push(("sure", twin));
    assert_eq!(submit(&mut alice, "/trackgate/share/give", &fields).await.status, 303);
    let page = alice.visit(SHARE).await;
    assert!(page.text().contains("Looks like another name known here: bob@example.com"), "{}", page.text());
}

/// Asks as bob, and gives the page that he lands on.
async fn ask_for(bob: &mut Browser<'_>, kind: &str, id: &str, level: &str, reason: &str) -> Told {
    let token = value(&bob.visit("/trackgate/ask").await, "action=\"/trackgate/ask\"", "token");
    let fields = [("token", &*token), ("kind", kind), ("id", id), ("permission", level), ("reason", reason)];
    let told = submit(bob, "/trackgate/ask", &fields).await;
    if told.status != 303 {
        return told;
    }
    bob.visit(told.header("location").unwrap()).await
}

#[tokio::test]
async fn somebody_asks_and_whoever_manages_the_thing_gives_or_declines() {
    let gate = gate().await;
    gate.grant("user:alice@example.com", "experiment", "1", "MANAGE").await;
    gate.grant("user:carol@example.com", "experiment", "2", "MANAGE").await;
    let mut alice = person(&gate, "alice").await;
    let mut carol = person(&gate, "carol").await;
    let mut bob = person(&gate, "bob").await;
    let read = "/api/2.0/mlflow/experiments/get?experiment_id=1";
    // From the page of the refusal.
    let refused = bob.visit(read).await;
    assert_eq!(refused.status, 403);
    assert!(refused.text().contains("href=\"/trackgate/ask?kind=experiment&#38;id=1\""), "{}", refused.text());
    let page = ask_for(&mut bob, "experiment", "1", "READ", "für <i>die</i> Arbeit").await;
    assert!(page.text().contains("waiting for a decision"), "{}", page.text());
    assert!(page.text().contains("für &#60;i&#62;die&#60;/i&#62; Arbeit"), "{}", page.text());

    // Another one's things are none of carol's business.
    assert!(carol.visit("/trackgate/requests").await.text().contains("None is waiting for you"));
    let requests = alice.visit("/trackgate/requests").await;
    assert!(requests.text().contains("bob@example.com"), "{}", requests.text());
    let token = value(&requests, "requests/grant", "token");
    let number = value(&requests, "requests/grant", "request");
    let decide = |token: &str, id: &'static str, level: &'static str| {
        let fields: Vec<(String, String)> = [
            ("token", token),
            ("request", &number),
            ("kind", "experiment"),
            ("id", id),
            ("to", "bob@example.com"),
            ("permission", level),
            ("lasts", "1h"),
            ("answer", "gern"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec();
        fields
    };
    let plain = |fields: &[(String, String)]| {
        fields.iter().map(|(name, value)| (name.clone(), value.clone())).collect::<Vec<_>>()
    };
    // With her own thing in the form, carol decides nothing about alice's.
    let foreign = value(&carol.visit("/trackgate/ask").await, "action=\"/trackgate/ask\"", "token");
    for (path, id, status) in [
        ("/trackgate/requests/grant", "1", 403),
        ("/trackgate/requests/grant", "2", 409),
        ("/trackgate/requests/decline", "1", 403),
        ("/trackgate/requests/decline", "2", 409),
    ] {
        let fields = plain(&decide(&foreign, id, "READ"));
        let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (&**name, &**value)).collect();
        let told = submit(&mut carol, path, &fields).await;
        assert_eq!(told.status, status, "{path} {id}: {}", told.text());
    }
    let fields = plain(&decide(&token, "1", "READ"));
    let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (&**name, &**value)).collect();
    let given = submit(&mut alice, "/trackgate/requests/grant", &fields).await;
    assert_eq!(given.status, 303, "{}", given.text());
    assert!(gate.record(&given).await["detail"].as_str().unwrap().contains("READ to user bob@example.com"));
    assert_eq!(gate.bearer("bob").get(read).await.status, 200);
    let grants = gate.open().house().store.grants();
    let grant = grants.iter().find(|record| record.grant.subject.to_string() == "user bob@example.com").unwrap();
    assert!(grant.expires.is_some() && &*grant.by == "user alice@example.com", "{grant:?}");
    // Once is enough.
    assert_eq!(submit(&mut alice, "/trackgate/requests/grant", &fields).await.status, 409);
    let own = bob.visit("/trackgate/ask").await.text();
    assert!(own.contains("given") && own.contains("“gern”"), "{own}");
}

#[tokio::test]
async fn asking_tells_nothing_of_what_is_hidden() {
    let gate = gate().await;
    gate.grant("user:alice@example.com", "experiment", "7", "MANAGE").await;
    let mut bob = person(&gate, "bob").await;
    let mut pages = Vec::new();
    for id in ["7", "8"] {
        let page = ask_for(&mut bob, "experiment", id, "READ", "please").await;
        assert_eq!(page.status, 200, "{}", page.text());
        assert!(page.text().contains(&format!("experiment {id}")));
        assert!(!page.text().contains("Öl"), "no name of what one may not see: {}", page.text());
        let token = value(&page, "ask/withdraw", "token");
        let number = value(&page, "ask/withdraw", "request");
        let fields = [("token", &*token), ("request", &*number)];
        assert_eq!(submit(&mut bob, "/trackgate/ask/withdraw", &fields).await.status, 303);
        pages.push(page.text().len());
    }
    assert!(bob.visit("/trackgate/ask").await.text().contains("withdrawn"));
}

#[tokio::test]
async fn a_model_whose_name_holds_wildcards_is_asked_for_and_given_as_that_one() {
    let gate = gate().await;
    gate.grant("user:alice@example.com", "registered_model", "*", "MANAGE").await;
    let (mut alice, mut bob) = (person(&gate, "alice").await, person(&gate, "bob").await);
    let asked = ask_for(&mut bob, "registered_model", "what[?]", "READ", "x").await;
    assert!(asked.text().contains("waiting for a decision"), "{}", asked.text());
    for (what, status) in [("decline", 303), ("grant", 303)] {
        if what == "grant" {
            assert_eq!(ask_for(&mut bob, "registered_model", "what[?]", "READ", "x").await.status, 200);
        }
        let requests = alice.visit("/trackgate/requests").await;
        let action = format!("requests/{what}");
        let field = |name: &str| value(&requests, &action, name);
        let (token, request, id, to) = (field("token"), field("request"), field("id"), field("to"));
        let fields = [
            ("token", &*token),
            ("request", &*request),
            ("kind", "registered_model"),
            ("id", &*id),
            ("to", &*to),
            ("permission", "READ"),
            ("lasts", "1h"),
            ("answer", "x"),
        ];
        let fields = if what == "grant" { &fields[..] } else { &fields[..5] };
        let told = submit(&mut alice, &format!("/trackgate/requests/{what}"), fields).await;
        assert_eq!(told.status, status, "{what}: {}", told.text());
    }
    let read = async |name: &str| {
        gate.bearer("bob").get(&format!("/api/2.0/mlflow/registered-models/get?name={name}")).await.status
    };
    assert_eq!((read("what%3F").await, read("whats").await), (200, 403));
}

#[tokio::test]
async fn requests_are_bounded_and_odd_ones_are_refused() {
    let gate = gate().await;
    let mut bob = person(&gate, "bob").await;
    for (kind, id, level, reason) in [
        ("experiment", "*", "READ", "x"),
        ("experiment", "01", "READ", "x"),
        ("workspace", "*", "MANAGE", "x"),
        ("registered_model", "team-*", "READ", "x"),
        ("experiment", "1", "DENY", "x"),
        ("experiment", "1", "READ", "  "),
        ("experiment", "1", "READ", &"x".repeat(1001)),
        ("castle", "1", "READ", "x"),
        ("experiment", "", "READ", "x"),
    ] {
        assert_eq!(ask_for(&mut bob, kind, id, level, reason).await.status, 400, "{kind} {id} {level}");
    }
    // The same again is the same request.
    for _ in 0..3 {
        assert_eq!(ask_for(&mut bob, "experiment", "1", "READ", "x").await.status, 200);
    }
    assert_eq!(ask_for(&mut bob, "", "https://mlflow.example.com/#/experiments/2/runs", "READ", "x").await.status, 200);
    for id in 3..=10 {
        assert_eq!(ask_for(&mut bob, "experiment", &id.to_string(), "READ", "x").await.status, 200, "{id}");
    }
    let more = ask_for(&mut bob, "experiment", "11", "READ", "x").await;
    assert_eq!(more.status, 400);
    assert!(more.text().contains("as many open requests as one person may have"), "{}", more.text());
    let open = gate.open().house().store.open_requests(0, 100).await.unwrap();
    assert_eq!(open.len(), 10);
    // Whoever is removed asks for nothing.
    let bob = trackgate::mlflow::ids::UserName::parse("bob@example.com").unwrap();
    gate.open().house().store.remove_user(&bob, trackgate::store::By::Trackgate).await.unwrap();
    assert!(gate.open().house().store.open_requests(0, 100).await.unwrap().is_empty());
}

#[tokio::test]
async fn whoever_manages_a_thing_looks_over_it_and_administrators_over_all() {
    let gate = gate().await;
    let store = &gate.open().house().store;
    gate.grant("user:alice@example.com", "experiment", "1", "MANAGE").await;
    gate.grant("user:=cmd@example.com", "experiment", "1", "READ").await;
    gate.grant("group:team", "experiment", "1", "EDIT").await;
    gate.grant("user:bob@example.com", "experiment", "2", "READ").await;
    let team = trackgate::mlflow::ids::GroupName::parse("team").unwrap();
    let bob = trackgate::mlflow::ids::UserName::parse("bob@example.com").unwrap();
    store.add_group(&team, trackgate::store::By::Trackgate).await.unwrap();
    store.add_member(&team, &bob, trackgate::store::By::Trackgate).await.unwrap();
    let mut alice = person(&gate, "alice").await;
    let page = alice.visit("/trackgate/review").await.text();
    assert!(page.contains("=cmd@example.com") && page.contains("team") && !page.contains("bob@"), "{page}");
    assert!(!page.contains("id=2"), "{page}");
    let csv = alice.visit("/trackgate/review.csv").await;
    assert_eq!(csv.header("content-type"), Some("text/csv; charset=utf-8"));
    assert!(csv.header("content-disposition").unwrap().starts_with("attachment"));
    let text = csv.text();
    assert!(text.contains("\"experiment\",\"1\",\"person\",\"'=cmd@example.com\",\"READ\""), "{text}");
    assert!(!text.contains("bob@"), "{text}");
    // A group stands for those who are in it.
    let people = alice.visit("/trackgate/review.csv?by=person").await.text();
    assert!(people.contains("\"bob@example.com\",\"group team\",\"experiment\",\"1\",\"EDIT\""), "{people}");
    // Of one person, what she manages alone.
    let of_bob = alice.visit("/trackgate/review?person=bob%40example.com").await.text();
    assert!(of_bob.contains("group team") && !of_bob.contains("id=2"), "{of_bob}");
    let mut root = person(&gate, "root").await;
    let all = root.visit("/trackgate/review?person=bob%40example.com").await.text();
    assert!(all.contains("group team") && all.contains("id=2"), "{all}");
    let all = root.visit("/trackgate/review.csv").await.text();
    assert_eq!(all.lines().count(), 5, "{all}");
    // A script may have the table.
    assert_eq!(gate.bearer("alice").get("/trackgate/review.csv").await.text(), text);
    // Who manages nothing sees nothing.
    let mut carol = person(&gate, "carol").await;
    assert_eq!(carol.visit("/trackgate/review.csv").await.text().lines().count(), 1);
}

#[tokio::test]
async fn many_grants_are_looked_over_in_pages_without_a_gap() {
    let gate = gate().await;
    for number in 0..730 {
        gate.grant("group:team", "registered_model", &format!("m{number:04}"), "READ").await;
    }
    gate.grant("user:alice@example.com", "registered_model", "m*", "MANAGE").await;
    gate.grant("group:team", "experiment", "5", "READ").await;
    let mut alice = person(&gate, "alice").await;
    let mut address = "/trackgate/review".to_owned();
    let mut seen = Vec::new();
    loop {
        let page = alice.visit(&address).await.text();
        assert!(!page.contains("experiment</span>"), "not hers");
        seen.extend(page.split("id=m").skip(1).map(|rest| rest[..4].to_owned()));
        let Some(at) = page.find("/trackgate/review?after=") else { break };
        address = page[at..].split('"').next().unwrap().to_owned();
    }
    assert_eq!(seen, (0..730).map(|number| format!("{number:04}")).collect::<Vec<_>>());
    let csv = alice.visit("/trackgate/review.csv").await.text();
    assert_eq!(csv.lines().count(), 731, "the pattern itself is for who manages all of the kind");
}

#[tokio::test]
async fn administrators_search_the_audit_log() {
    let gate = gate().await;
    gate.grant("user:alice@example.com", "experiment", "1", "MANAGE").await;
    let denied = gate.bearer("bob").get("/api/2.0/mlflow/experiments/get?experiment_id=1").await;
    gate.record(&denied).await;
    let mut alice = person(&gate, "alice").await;
    assert_eq!(alice.visit("/trackgate/audit").await.status, 403);
    let mut root = person(&gate, "root").await;
    let page = root.visit("/trackgate/audit?person=bob&decision=deny&object=experiment%3A1").await;
    assert_eq!(page.status, 200);
    assert!(page.text().contains("GetExperiment") && page.text().contains("bob@example.com"), "{}", page.text());
    let none = root.visit("/trackgate/audit?person=bob&from=2090-01-01T00%3A00").await.text();
    assert!(none.contains("Nothing is found") && !none.contains("GetExperiment"), "{none}");
}

#[tokio::test]
async fn an_entry_leads_from_mlflows_page_where_the_setting_says_so() {
    let page = "<html><head><title>MLflow</title></head><body><div id=\"root\"></div></body></html>";
    for (setting, there) in [("", false), ("[access]\nmenu_entry = true", true)] {
        let server = Server::scripted(move |request| {
            let conditional = request.headers().contains_key("if-none-match");
            async move {
                let mut answer = if conditional { full(304, "") } else { full(200, page) };
                answer.headers_mut().insert("content-type", "text/html; charset=utf-8".parse().unwrap());
                answer.headers_mut().insert("etag", "\"1\"".parse().unwrap());
                answer
            }
        });
        let gate = Gate::with(server, setting, |_| {}).await;
        let told = gate.bearer("alice").get("/").await;
        assert_eq!(told.text().contains("href=\"/trackgate/access\""), there, "{}", told.text());
        assert_eq!(told.text().len().to_string(), told.header("content-length").unwrap());
        assert_eq!(told.header("etag").is_some(), !there, "another page has another tag");
        if there {
            // What the browser kept from before the setting does not come back.
            let mut request = http::Request::get("/").body(crate::harness::client::nothing()).unwrap();
            request.headers_mut().insert("if-none-match", "\"1\"".parse().unwrap());
            let told = gate.bearer("alice").send(request).await;
            assert_eq!((told.status, told.text().contains("/trackgate/access")), (200, true));
            let style = told.text().split("/trackgate/assets/").nth(1).unwrap().split('"').next().unwrap().to_owned();
            assert_eq!(gate.bearer("alice").get(&format!("/trackgate/assets/{style}")).await.status, 200);
        }
    }
}

#[tokio::test]
async fn what_a_form_did_not_do_stands_in_the_log_as_not_done() {
    let gate = gate().await;
    let mut root = person(&gate, "root").await;
    let page = root.visit(SHARE).await;
    let token = value(&page, "share/give", "token");
    let mut give = vec![("token", token.as_str()), ("to", "bob@example.com"), ("permission", "READ"), ("lasts", "")];
    give.extend([("kind", "experiment"), ("id", "1")]);
    let given = submit(&mut root, "/trackgate/share/give", &give).await;
    assert_eq!(given.status, 303, "{}", given.text());
    assert!(gate.record(&given).await["done"].is_null());
    let again = submit(&mut root, "/trackgate/share/give", &give).await;
    let record = gate.record(&again).await;
    let told = (&record["decision"], &record["done"], &record["error_code"]);
    assert_eq!(told, (&json!("allow"), &json!(false), &json!("RESOURCE_ALREADY_EXISTS")), "{record}");
    let found = root.visit("/trackgate/audit?object=ShareGive").await.text();
    assert_eq!(found.matches("not done: RESOURCE_ALREADY_EXISTS").count(), 1, "{found}");
}
