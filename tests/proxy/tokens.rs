//! Tokens of our own at the running gate: how they are made, what they open, and how they end.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use trackgate::mlflow::ids::UserName;
use trackgate::store::By;

use super::own_pages::{person, submit, value};
use crate::harness::gate::{Actor, Gate, Told};
use crate::harness::server::{Server, full};

const READ: &str = "/api/2.0/mlflow/experiments/get?experiment_id=1";
const OTHER: &str = "/api/2.0/mlflow/experiments/get?experiment_id=2";
const EDIT: &str = "/api/2.0/mlflow/experiments/update";
const SEARCH: &str = "/api/2.0/mlflow/experiments/search?max_results=10";
const TOKENS: &str = "/trackgate/api/tokens";

/// A server with two experiments, both of which alice manages.
async fn gate() -> Gate {
    gate_with("", &[]).await
}

async fn gate_with(more: &str, trusted: &[&str]) -> Gate {
    let server = Server::scripted(|request| {
        let target = request.uri().to_string();
        async move {
            let one = |id: &str| json!({"experiment_id": id, "name": format!("e{id}"), "lifecycle_stage": "active"});
            if target.contains("search") {
                return full(200, json!({"experiments": [one("1"), one("2")]}).to_string());
            }
            match target.rsplit_once("experiment_id=") {
                Some((_, id)) => full(200, json!({ "experiment": one(id) }).to_string()),
                None => full(200, "{}"),
            }
        }
    });
    let more = format!("[access]\nadmins = [\"root@example.com\"]\n{more}");
    let trusted: Vec<ipnet::IpNet> = trusted.iter().map(|net| net.parse().unwrap()).collect();
    let gate = Gate::with(server, &more, |config| config.serve.trusted_proxies.extend(trusted)).await;
    for id in ["1", "2"] {
        gate.grant("user:alice@example.com", "experiment", id, "MANAGE").await;
    }
    gate
}

async fn make(gate: &Gate, wish: Value) -> (String, String) {
    let told = gate.bearer("alice").post(TOKENS, &wish).await;
    assert_eq!(told.status, 200, "{}", told.text());
    assert_eq!(told.header("cache-control"), Some("no-store"));
    let told = told.json();
    (told["id"].as_str().unwrap().to_owned(), told["token"].as_str().unwrap().to_owned())
}

fn with<'a>(gate: &'a Gate, token: &str) -> Actor<'a> {
    gate.showing("authorization", format!("Bearer {token}"))
}

fn reason(record: &Value) -> (&str, &str) {
    (record["decision"].as_str().unwrap(), record["reason"].as_str().unwrap())
}

#[tokio::test]
async fn a_token_made_by_api_acts_for_its_owner_until_it_is_revoked() {
    let gate = gate().await;
    let (id, token) = make(&gate, json!({"name": "laptop"})).await;
    let basic = STANDARD.encode(format!("whoever:{token}"));
    for field in [format!("Bearer {token}"), format!("Basic {basic}")] {
        let told = gate.showing("authorization", field).get(READ).await;
        assert_eq!(told.status, 200, "{}", told.text());
        let record = gate.record(&told).await;
        assert_eq!((&record["user"], &record["proof"]), (&json!("alice@example.com"), &json!("token")), "{record}");
        assert_eq!((&record["token"], &record["client"]), (&json!(id), &json!("127.0.0.1")), "{record}");
    }
    // Neither MLflow nor the audit log sees it.
    assert!(gate.upstream.seen().iter().all(|seen| !format!("{seen:?}").contains(&token[20..])));
    assert!(!gate.audit_text().contains(&token[20..]));
    let listed = gate.bearer("alice").get(TOKENS).await.json();
    let row = &listed["tokens"][0];
    assert_eq!((&row["id"], &row["name"], &row["state"]), (&json!(id), &json!("laptop"), &json!("active")), "{row}");
    assert_eq!(row["uses"][0]["address"], "127.0.0.1");
    assert!(row.get("token").is_none() && !listed.to_string().contains(&token[20..]), "it is shown once");

    let gone = gate.bearer("alice").json("DELETE", &format!("{TOKENS}/{id}"), "").await;
    assert_eq!((gone.status, &gone.json()["state"]), (200, &json!("revoked")), "{}", gone.text());
    let refused = with(&gate, &token).get(READ).await;
    assert_eq!((refused.status, refused.error_code().as_str()), (401, "UNAUTHENTICATED"));
    let said = refused.json()["message"].as_str().unwrap().to_owned();
    assert!(said.contains("was revoked at") && said.contains("/trackgate/tokens"), "{said}");
    assert_eq!(reason(&gate.record(&refused).await), ("deny", "own-token-revoked"));
}

#[tokio::test]
async fn of_a_credential_that_is_none_no_more_is_told_than_that_and_what_helps() {
    let gate = gate().await;
    let unknown = trackgate::token_form::make("tgp_").unwrap();
    let password = STANDARD.encode("alice@example.com:hunter2");
    for (field, code, word) in [
        (format!("Bearer {}", unknown.as_str()), "own-token-unknown", "not one of this server's"),
        ("Bearer tgp_abc".to_owned(), "own-token-malformed", "cut off or mistyped"),
        (format!("Basic {password}"), "basic-without-token", "no passwords here"),
        ("Digest x".to_owned(), "unknown-scheme", "MLFLOW_TRACKING_TOKEN"),
    ] {
        let told = gate.showing("authorization", field).get(READ).await;
        assert_eq!(told.status, 401, "{code}");
        assert!(told.text().contains(word), "{code}: {}", told.text());
        assert!(told.header("www-authenticate").unwrap().starts_with("Bearer"), "no browser asks for a password");
        assert_eq!(reason(&gate.record(&told).await), ("deny", code));
    }
    assert!(!gate.audit_text().contains("hunter2"));
    assert!(gate.upstream.seen().is_empty());
}

#[tokio::test]
async fn a_narrowed_token_does_what_it_is_for_and_sees_nothing_else() {
    let gate = gate().await;
    let (_, token) = make(&gate, json!({"name": "reader", "most": "READ", "scopes": ["experiment:1"]})).await;
    let token = with(&gate, &token);
    assert_eq!(token.get(READ).await.status, 200);
    let outside = token.get(OTHER).await;
    assert_eq!(outside.status, 403);
    assert!(outside.text().contains("or the access token is not for it"), "{}", outside.text());
    let record = gate.record(&outside).await;
    assert_eq!(reason(&record), ("deny", "outside-token-scope"));
    assert_eq!(record["ceiling"], "READ at most, on experiment:1");
    let above = token.post(EDIT, &json!({"experiment_id": "1", "new_name": "x"})).await;
    assert_eq!(above.status, 403);
    assert!(above.text().contains("this access token is for READ at most"), "{}", above.text());
    assert_eq!(reason(&gate.record(&above).await), ("deny", "above-token-ceiling"));
    let seen = token.get(SEARCH).await;
    assert_eq!(seen.status, 200, "{}", seen.text());
    assert!(seen.text().contains("\"e1\"") && !seen.text().contains("\"e2\""), "{}", seen.text());
    // Its owner is not narrowed.
    let all = gate.bearer("alice").get(SEARCH).await.text();
    assert!(all.contains("\"e1\"") && all.contains("\"e2\""), "{all}");
}

#[tokio::test]
async fn a_narrowed_token_of_an_administrator_has_no_pass() {
    let gate = gate().await;
    let made = gate.bearer("root").post(TOKENS, &json!({"name": "r", "most": "READ"})).await.json();
    let narrowed = made["token"].as_str().unwrap();
    let made = gate.bearer("root").post(TOKENS, &json!({"name": "r"})).await.json();
    let whole = made["token"].as_str().unwrap();
    let everybody = "/api/2.0/mlflow/users/create";
    let body = json!({"username": "new@example.com", "password": "x"});
    assert_eq!(with(&gate, narrowed).post(everybody, &body).await.status, 403);
    assert_eq!(with(&gate, narrowed).get(READ).await.status, 200);
    assert_eq!(with(&gate, narrowed).post(EDIT, &json!({"experiment_id": "1", "new_name": "x"})).await.status, 403);
    assert_eq!(with(&gate, whole).post(everybody, &body).await.status, 200);
}

#[tokio::test]
async fn a_stolen_token_makes_and_revokes_no_tokens_and_opens_no_page() {
    let gate = gate().await;
    let (id, token) = make(&gate, json!({"name": "laptop"})).await;
    let thief = with(&gate, &token);
    let made = thief.post(TOKENS, &json!({"name": "mine"})).await;
    assert_eq!((made.status, reason(&gate.record(&made).await)), (403, ("deny", "not-by-token")));
    assert!(made.text().contains("Sign in with a browser"), "{}", made.text());
    assert_eq!(thief.json("DELETE", &format!("{TOKENS}/{id}"), "").await.status, 403);
    assert_eq!(thief.get(TOKENS).await.status, 403);
    assert_eq!(thief.get("/trackgate/tokens").await.status, 403);
    assert_eq!(thief.get("/trackgate/access").await.status, 400, "pages are for people");
    assert_eq!(thief.get("/trackgate/whoami").await.json()["proof"], "token");
}

#[tokio::test]
async fn a_token_in_an_address_is_refused_and_its_secret_is_kept_nowhere() {
    let gate = gate().await;
    let (_, token) = make(&gate, json!({"name": "laptop"})).await;
    let escaped = token.replace('_', "%5F");
    let before = gate.upstream.seen().len();
    for target in [
        format!("{READ}&access_token=x"),
        format!("{READ}&token={token}"),
        format!("{READ}&token={escaped}"),
        format!("/api/2.0/{token}/get"),
        format!("/trackgate/livez?{token}"),
    ] {
        for actor in [gate.bearer("alice"), gate.anonymous()] {
            let told = actor.get(&target).await;
            assert_eq!(told.status, 400, "{target}");
            assert!(told.text().contains("revoke it"), "{}", told.text());
            assert_eq!(reason(&gate.record(&told).await), ("deny", "token-in-url"));
        }
    }
    assert_eq!(gate.upstream.seen().len(), before);
    assert!(!gate.audit_text().contains(&token[20..]));
}

#[tokio::test]
async fn a_token_used_from_elsewhere_is_marked_in_the_audit_log_and_on_the_page() {
    let gate = gate_with("", &["127.0.0.1/32"]).await;
    let (_, token) = make(&gate, json!({"name": "laptop"})).await;
    let from = async |address: &'static str| {
        let request = http::Request::get(READ)
            .header("host", crate::harness::gate::HOST)
            .header("authorization", format!("Bearer {token}"))
            .header("x-forwarded-for", address)
            .header("x-forwarded-proto", "https")
            .body(crate::harness::client::nothing());
        let told: Told = gate.anonymous().send(request.unwrap()).await;
        assert_eq!(told.status, 200, "{}", told.text());
        gate.record(&told).await
    };
    let home = from("192.0.2.1").await;
    assert_eq!((&home["client"], home.get("new_address")), (&json!("192.0.2.1"), None), "{home}");
    let away = from("203.0.113.7").await;
    assert_eq!((&away["client"], &away["new_address"]), (&json!("203.0.113.7"), &json!(true)), "{away}");
    assert_eq!(from("203.0.113.7").await.get("new_address"), None, "once");
    let mut alice = person(&gate, "alice").await;
    let page = alice.visit("/trackgate/tokens").await.text();
    let (known, new) = (page.find("192.0.2.1").unwrap(), page.find("203.0.113.7").unwrap());
    assert_eq!(page.matches("new since").count(), 1, "{page}");
    assert!(page[new..].find("new since").unwrap() < page[new..].len() && known != new);
}

#[tokio::test]
async fn a_person_makes_a_token_on_their_page_sees_it_once_and_revokes_it() {
    let gate = gate().await;
    let mut alice = person(&gate, "alice").await;
    let page = alice.visit("/trackgate/tokens").await;
    assert_eq!(page.status, 200, "{}", page.text());
    assert!(page.text().contains("No tokens") && page.text().contains("90 days"));
    let form = value(&page, "tokens/create", "token");
    let fields = [
        ("token", form.as_str()),
        ("name", "<training>"),
        ("lasts", "7d"),
        ("most", "EDIT"),
        ("scopes", "experiment:1\r\nhttps://mlflow.example.com/#/models/iris"),
    ];
    let made = submit(&mut alice, "/trackgate/tokens/create", &fields).await;
    assert_eq!(made.status, 200, "{}", made.text());
    let text = made.text();
    let at = text.find("value=\"tgp_").unwrap() + 7;
    let token = text[at..at + 51].to_owned();
    assert!(
        text.contains("EDIT at most, on experiment:1, registered_model:iris") && text.contains("&#60;training&#62;")
    );
    assert_eq!(made.header("cache-control"), Some("no-store"));
    assert_eq!(with(&gate, &token).get(READ).await.status, 200);
    assert_eq!(with(&gate, &token).get(OTHER).await.status, 403);
    let record = gate.record(&made).await;
    assert_eq!(
        (&record["call"], record["detail"].as_str().unwrap().len()),
        (&json!("TokenCreate"), "token abcdefgh made".len())
    );

    let page = alice.visit("/trackgate/tokens").await;
    assert!(!page.text().contains(&token[20..]) && page.text().contains(&token[4..12]));
    let (form, id) = (value(&page, "tokens/revoke", "token"), value(&page, "tokens/revoke", "id"));
    assert_eq!(id, token[4..12]);
    // A form of another site, or none of ours, revokes nothing.
    let foreign = submit(&mut alice, "/trackgate/tokens/revoke", &[("token", "x"), ("id", &id)]).await;
    assert_eq!((foreign.status, reason(&gate.record(&foreign).await)), (403, ("deny", "foreign-form")));
    let mut bob = person(&gate, "bob").await;
    let bobs = value(&bob.visit("/trackgate/tokens").await, "tokens/create", "token");
    let others = submit(&mut bob, "/trackgate/tokens/revoke", &[("token", &bobs), ("id", &id)]).await;
    assert_eq!(others.status, 403, "{}", others.text());
    let absent = submit(&mut bob, "/trackgate/tokens/revoke", &[("token", &bobs), ("id", "AAAAAAAA")]).await;
    assert_eq!(absent.status, 403, "another's token and none look alike");
    assert_eq!(with(&gate, &token).get(READ).await.status, 200);
    let gone = submit(&mut alice, "/trackgate/tokens/revoke", &[("token", &form), ("id", &id)]).await;
    assert_eq!((gone.status, gone.header("location")), (303, Some("/trackgate/tokens?done=revoked")));
    assert_eq!(with(&gate, &token).get(READ).await.status, 401);
    assert!(alice.visit("/trackgate/tokens").await.text().contains("revoked <time"));
}

#[tokio::test]
async fn what_is_no_wish_makes_no_token_and_says_why() {
    let gate = gate().await;
    let mut alice = person(&gate, "alice").await;
    let page = alice.visit("/trackgate/tokens").await;
    let form = value(&page, "tokens/create", "token");
    for (name, lasts, until, most, scopes, word) in [
        ("", "", "", "", "", "what the token is for"),
        ("x", "until", "2001-01-01T00:00", "", "", "passed"),
        ("x", "until", "2999-01-01T00:00", "", "", "366 days at the most"),
        ("x", "5y", "", "", "", "until when"),
        ("x", "", "", "DENY", "", "at most"),
        ("x", "", "", "", "experiment:seven", "experiment:seven"),
        ("x", "", "", "", "castle:1", "castle:1"),
    ] {
        let fields = [
            ("token", form.as_str()),
            ("name", name),
            ("lasts", lasts),
            ("until", until),
            ("most", most),
            ("scopes", scopes),
        ];
        let told = submit(&mut alice, "/trackgate/tokens/create", &fields).await;
        assert_eq!(told.status, 400, "{word}");
        assert!(told.text().contains("No token was made") && told.text().contains(word), "{word}: {}", told.text());
    }
    for wish in [
        json!({"name": "x", "most": "ALL"}),
        json!({"name": "x", "expires_at": "tomorrow"}),
        json!({"name": "x", "scopes": ["workspace:*"]}),
        json!({"name": " "}),
    ] {
        assert_eq!(gate.bearer("alice").post(TOKENS, &wish).await.status, 400, "{wish}");
    }
    assert_eq!(gate.bearer("alice").get(TOKENS).await.json(), json!({"tokens": []}));
}

#[tokio::test]
async fn administrators_see_and_revoke_everybodys_tokens_and_make_none_for_others() {
    let gate = gate().await;
    let (id, token) = make(&gate, json!({"name": "laptop"})).await;
    assert_eq!(gate.bearer("bob").get(&format!("{TOKENS}?owner=alice@example.com")).await.status, 403);
    assert_eq!(gate.bearer("bob").get(&format!("{TOKENS}?owner=*")).await.status, 403);
    let all = gate.bearer("root").get(&format!("{TOKENS}?owner=*")).await.json();
    assert_eq!(all["tokens"][0]["owner"], "alice@example.com", "{all}");
    let mut root = person(&gate, "root").await;
    let page = root.visit("/trackgate/tokens?owner=%2A").await.text();
    assert!(page.contains("Everybody") && page.contains("of alice@example.com"), "{page}");
    let forged = gate.bearer("root").post(TOKENS, &json!({"name": "x", "owner": "alice@example.com"})).await;
    assert_eq!(forged.status, 403, "an administrator does not act in another's name");
    assert_eq!(gate.bearer("root").json("DELETE", &format!("{TOKENS}/{id}"), "").await.status, 200);
    assert_eq!(with(&gate, &token).get(READ).await.status, 401);
}

#[tokio::test]
async fn whoever_looks_after_a_service_account_makes_its_tokens_and_nobody_signs_in_as_it() {
    let gate = gate().await;
    let store = &gate.open().house().store;
    let robot = UserName::parse("svc@example.com").unwrap();
    store.add_account(&robot, By::Trackgate).await.unwrap();
    gate.grant("user:svc@example.com", "experiment", "1", "READ").await;
    assert_eq!(gate.bearer("alice").get(READ).await.status, 200);
    let wish = json!({"name": "nightly", "owner": "svc@example.com"});
    assert_eq!(gate.bearer("alice").post(TOKENS, &wish).await.status, 403);
    store.add_owner(&robot, &"user:alice@example.com".parse().unwrap(), By::Trackgate).await.unwrap();
    let (id, token) = make(&gate, wish).await;
    assert!(token.starts_with("tgs_"), "{token}");
    let told = with(&gate, &token).get(READ).await;
    assert_eq!(told.status, 200);
    assert_eq!(gate.record(&told).await["user"], "svc@example.com");
    assert_eq!(with(&gate, &token).get(OTHER).await.status, 403, "its own grants count, not its owner's");
    let mut alice = person(&gate, "alice").await;
    assert!(alice.visit("/trackgate/tokens").await.text().contains("of svc@example.com"));
    let refused = gate.bearer("svc").get(READ).await;
    assert_eq!((refused.status, reason(&gate.record(&refused).await)), (403, ("deny", "service-account")));
    store.remove_owner(&robot, &"user:alice@example.com".parse().unwrap(), By::Trackgate).await.unwrap();
    assert_eq!(gate.bearer("alice").json("DELETE", &format!("{TOKENS}/{id}"), "").await.status, 403);
}

#[tokio::test]
async fn a_disabled_owners_tokens_open_nothing() {
    let gate = gate().await;
    let (_, token) = make(&gate, json!({"name": "laptop"})).await;
    let store = &gate.open().house().store;
    let alice = UserName::parse("alice@example.com").unwrap();
    store.set_disabled(&alice, true, By::Trackgate).await.unwrap();
    let refused = with(&gate, &token).get(READ).await;
    assert_eq!((refused.status, reason(&gate.record(&refused).await)), (403, ("deny", "user-disabled")));
    store.remove_user(&alice, By::Trackgate).await.unwrap();
    assert_eq!(with(&gate, &token).get(READ).await.status, 401);
    assert!(store.user(&alice).is_none(), "nobody comes to be known by a token");
}
