//! What `trackgate explain-token` says is what the gate does, and nothing is kept of it.

use serde_json::{Value, json};

use super::*;
use crate::access::binding::{BindingName, Rules};
use crate::access::ceiling::Ceiling;
use crate::authenticate::explain::Explained;
use crate::authenticate::lying_issuer::{Endpoint, Lie};
use crate::authenticate::own::{Made, Wish};
use crate::mlflow::ids::{UserName, WorkspaceName};
use crate::mlflow::permission::Permission;
use crate::store::{By, TokenKind};

fn user(name: &str) -> UserName {
    UserName::parse(name).unwrap()
}

async fn gate(provider: &Provider) -> House {
    let change = |settings: &mut Settings| {
        settings.failed_credentials = 1_000_000;
        let bound = |name: &str, claims: Value, account: &str| Binding {
            name: BindingName::parse(name).unwrap(),
            issuer: Arc::from("here"),
            audiences: Vec::new(),
            rules: Rules::read(&claims).unwrap(),
            token_groups: false,
            account: user(account),
        };
        settings.bindings = vec![
            bound("main", json!({"repository": "org/repo"}), "svc:ci"),
            bound("wide", json!({"repository": ["org/repo", "org/other"], "ref": "x"}), "svc:other"),
            bound("gone", json!({"repository": "org/gone"}), "svc:gone"),
        ];
    };
    let house = house_with(&Clock::System, change, &[("here", provider)]).await;
    for account in ["svc:ci", "svc:other"] {
        house.store.add_account(&user(account), By::Trackgate).await.unwrap();
    }
    house
}

impl House {
    async fn explain(&self, token: &str, offline: bool) -> (bool, String) {
        let Explained { steps, accepted } = self.authenticator.explain(token, offline).await;
        let lines: Vec<String> =
            steps.iter().map(|step| format!("{:?} {}: {}", step.good, step.what, step.said)).collect();
        let text = lines.join("\n");
        for part in token.split('.').filter(|part| part.len() > 20) {
            assert!(!text.contains(part), "the token is printed: {text}");
        }
        (accepted, text)
    }

    async fn made(&self, owner: &str, ceiling: Ceiling) -> Made {
        let wish = Wish { owner: user(owner), kind: TokenKind::Personal, name: "x".to_owned(), ceiling, expires: None };
        let settings = own::Settings::default();
        own::make(&self.store, &settings, wish, Clock::System.millis(), By::Trackgate).await.unwrap()
    }
}

#[tokio::test]
async fn the_verdict_is_that_of_the_gate_whatever_the_token_is() {
    let provider = Provider::start(vec![rsa()]);
    let house = gate(&provider).await;
    let token = |change: Value| provider.bearer(AUDIENCE, &change);
    let forged = |token: String| format!("{}AAAA", &token[..token.len() - 4]);
    let mut cases = vec![
        token(json!({})),
        token(json!({"exp": 1, "iat": 1})),
        token(json!({"iat": 9_999_999_999_u64, "exp": 9_999_999_999_u64})),
        token(json!({"sub": null})),
        token(json!({"sub": 7})),
        token(json!({"aud": "https://another.example"})),
        token(json!({"iss": "https://evil.example"})),
        token(json!({"repository": "org/repo"})),
        token(json!({"repository": "org/repo", "ref": "x"})),
        token(json!({"repository": "org/other", "ref": "x"})),
        token(json!({"repository": "org/gone"})),
        forged(token(json!({}))),
        Forge::rsa("first").sign(&json!({"iss": provider.url, "aud": AUDIENCE, "sub": "1"})),
        Forge::rsa("unknown").sign(&json!({"iss": provider.url, "aud": AUDIENCE, "sub": "1"})),
        "a.b.c".to_owned(),
        "tgp_abc".to_owned(),
        "x".repeat(20_000),
        crate::token_form::make("tgp_").unwrap().to_string(),
    ];
    house.store.add_user(&user("bob@example.com"), By::Trackgate).await.unwrap();
    let made = house.made("bob@example.com", Ceiling::default()).await;
    cases.push(made.text.to_string());
    let revoked = house.made("bob@example.com", Ceiling::default()).await;
    house.store.revoke_token(&revoked.id, By::Trackgate).await.unwrap();
    cases.push(revoked.text.to_string());
    let mut verdicts = Vec::new();
    for token in &cases {
        let (accepted, text) = house.explain(token, false).await;
        let real = match house.ask(&bearer(token)).await {
            Ok(Some(known)) => match house.store.principal(known.identity, &WorkspaceName::default()) {
                Ok(_) | Err(crate::store::PrincipalFault::Unrecognised) => Ok(()),
                Err(fault) => Err(fault.to_string()),
            },
            Ok(None) => Err("stranger".to_owned()),
            Err(fault) => Err(format!("`{}`", fault.code())),
        };
        assert_eq!(accepted, real.is_ok(), "{text}");
        if let Err(reason) = real {
            assert!(text.contains(&reason), "{reason}: {text}");
        }
        verdicts.push(accepted);
    }
    assert_eq!(verdicts.iter().filter(|accepted| **accepted).count(), 4, "{verdicts:?}");
}

#[tokio::test]
async fn every_step_is_told_and_each_binding_with_why_not() {
    let provider = Provider::start(vec![rsa()]);
    let house = gate(&provider).await;
    let (accepted, text) = house.explain(&provider.bearer(AUDIENCE, &json!({"repository": "org/other"})), false).await;
    assert!(accepted, "{text}");
    for line in [
        "Some(true) form: a JSON Web Token, `alg` `RS256`, `kid` `first`",
        "which is `here` here",
        "Some(true) algorithm: accepted are RS256, ES256",
        "Some(true) signature: good, by a key of the issuer",
        "Some(true) times: issued 20",
        "give or take 30 s",
        "Some(true) audience: it is for `https://mlflow.example.com`",
        "None binding: main does not match: its claim `repository` is `org/other`, not `org/repo`",
        "None binding: wide does not match: the token has no claim `ref`",
        "Some(true) name: alice@example.com by `user_claim = \"email\"`",
        "Some(true) account: comes for the first time",
        "Some(true) verdict: accepted as alice@example.com",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
    assert!(house.store.user(&user("alice@example.com")).is_none(), "nobody is made known by it");
    let (_, text) = house.explain(&provider.bearer(AUDIENCE, &json!({"repository": "org/repo"})), false).await;
    assert!(text.contains("Some(true) binding: main matches (repository = `org/repo`): it is svc:ci"), "{text}");
    assert!(text.contains("user: svc:ci, a service account, by binding"), "{text}");
}

#[tokio::test]
async fn a_token_of_ours_is_told_with_its_ceiling_and_its_use_is_not_noted() {
    let provider = Provider::start(vec![rsa()]);
    let house = gate(&provider).await;
    house.store.add_user(&user("bob@example.com"), By::Trackgate).await.unwrap();
    let narrow = Ceiling { most: Some(Permission::Read), ..Ceiling::default() };
    let made = house.made("bob@example.com", narrow).await;
    let (accepted, text) = house.explain(&made.text, false).await;
    assert!(accepted && text.contains("ceiling: READ at most"), "{text}");
    assert!(text.contains(&format!("of the name {}", made.id)), "{text}");
    assert_eq!(house.store.token_by_id(&made.id).unwrap().last_used(), 0);
    house.store.set_disabled(&user("bob@example.com"), true, By::Trackgate).await.unwrap();
    let (accepted, text) = house.explain(&made.text, false).await;
    assert!(!accepted && text.contains("Some(false) account: the user is disabled"), "{text}");
}

#[tokio::test]
async fn offline_nobody_is_asked_and_the_signature_is_left_open() {
    let provider = Provider::start(vec![rsa()]);
    let house = gate(&provider).await;
    let (accepted, text) = house.explain(&provider.bearer(AUDIENCE, &json!({})), true).await;
    assert!(
        accepted && text.contains("None signature: not checked") && text.contains("if the signature is good"),
        "{text}"
    );
    assert_eq!((provider.asked(Endpoint::Keys), provider.asked(Endpoint::Discovery)), (0, 0));
    let (accepted, text) = house.explain(&provider.bearer("https://another.example", &json!({})), true).await;
    assert!(!accepted && text.contains("token-wrong-audience"), "{text}");
    provider.lie(Endpoint::Keys, Lie::Says(500, String::new()));
    let (accepted, text) = house.explain(&provider.bearer(AUDIENCE, &json!({})), false).await;
    assert!(!accepted && text.contains("keys: they cannot be fetched: the answer has status 500"), "{text}");
}
