//! Logins with the code flow, honest and attacked.

use std::collections::BTreeMap;
use std::time::SystemTime;

use serde_json::json;

use super::*;
use crate::authenticate::login::{LoginFault, Redirect};
use crate::authenticate::lying_issuer::{Endpoint, Lie};
use crate::authenticate::return_to::ReturnTo;

/// A browser's cookies.
#[derive(Default, Clone)]
pub(super) struct Jar(pub(super) BTreeMap<String, String>);

impl Jar {
    pub(super) fn keep(&mut self, fields: &[HeaderValue]) {
        for field in fields {
            let text = field.to_str().unwrap();
            assert!(text.contains("; Path=/; Secure; HttpOnly; SameSite=Lax"), "{text}");
            assert!(!text.contains("Domain"), "{text}");
            let (name, value) = text.split(';').next().unwrap().split_once('=').unwrap();
            assert!(name.starts_with("__Host-"), "{name}");
            if text.contains("Max-Age=0") {
                self.0.remove(name);
            } else {
                self.0.insert(name.to_owned(), value.to_owned());
            }
        }
    }

    pub(super) fn show(&self) -> Credentials {
        let text: Vec<String> = self.0.iter().map(|(name, value)| format!("{name}={value}")).collect();
        cookies(&text.join("; "))
    }
}

pub(super) fn query_of(address: &str) -> String {
    Url::parse(address).unwrap().query().unwrap_or_default().to_owned()
}

impl House {
    pub(super) async fn start(&self, jar: &mut Jar, provider: &str, back: &str) -> Redirect {
        let step = self.authenticator.start_login(provider, &ReturnTo::read(back), &jar.show()).await.unwrap();
        jar.keep(&step.cookies);
        step
    }

    pub(super) async fn finish(
        &self,
        jar: &mut Jar,
        provider: &str,
        query: &str,
    ) -> Result<(String, String), LoginFault> {
        let finished = self.authenticator.finish_login(provider, Some(query), &jar.show()).await;
        jar.keep(&finished.cookies);
        finished.outcome.map(|(identity, step)| (identity.user.to_string(), step.to))
    }

    pub(super) async fn sign_in(
        &self,
        jar: &mut Jar,
        provider: &Provider,
        name: &str,
    ) -> Result<(String, String), LoginFault> {
        let step = self.start(jar, name, "/#/experiments/1").await;
        let back = provider.agree(&step.to);
        self.finish(jar, name, &query_of(&back)).await
    }
}

#[tokio::test]
async fn a_person_signs_in_and_lands_where_they_wanted_to_be() {
    let provider = Provider::start(vec![rsa()]);
    let house = house(&[("here", &provider)]).await;
    let mut jar = Jar::default();
    let step = house.start(&mut jar, "here", "/?a=b#/experiments/1/runs?x=%5B%5D").await;
    let asked: BTreeMap<String, String> =
        url::form_urlencoded::parse(query_of(&step.to).as_bytes()).into_owned().collect();
    assert_eq!(asked["response_type"], "code");
    assert_eq!(asked["code_challenge_method"], "S256");
    assert_eq!(asked["redirect_uri"], "https://mlflow.example.com/trackgate/callback/here");
    assert_eq!(asked["scope"], "openid email profile");
    assert!(asked["state"].len() >= 22 && asked["nonce"].len() >= 22);
    let back = provider.agree(&step.to);
    let (user, to) = house.finish(&mut jar, "here", &query_of(&back)).await.unwrap();
    assert_eq!((user.as_str(), to.as_str()), ("alice@example.com", "/?a=b#/experiments/1/runs?x=%5B%5D"));
    assert_eq!(jar.0.keys().collect::<Vec<_>>(), ["__Host-trackgate"], "the login's own cookie is gone");
    let known = house.ask(&jar.show()).await.unwrap().unwrap();
    assert_eq!(known.identity.user.as_str(), "alice@example.com");
    assert_eq!(known.identity.proof, Proof::Session);
    assert!(known.session.is_some() && known.is_ambient());
    let cookie = &jar.0["__Host-trackgate"];
    let database = std::fs::read(house.folder.0.join("state").join("trackgate.db")).unwrap_or_default();
    assert!(!database.windows(cookie.len()).any(|part| part == cookie.as_bytes()), "stored hashed");
}

#[tokio::test]
async fn an_answer_played_back_fails_without_asking_the_issuer() {
    let provider = Provider::start(vec![rsa()]);
    let house = house(&[("here", &provider)]).await;
    let mut jar = Jar::default();
    let step = house.start(&mut jar, "here", "/").await;
    let thief = jar.clone();
    let query = query_of(&provider.agree(&step.to));
    house.finish(&mut jar, "here", &query).await.unwrap();
    let asked = provider.asked(Endpoint::Token);
    let again = house.finish(&mut jar, "here", &query).await;
    assert!(matches!(again, Err(LoginFault::NoSuchLogin)), "its cookie is gone");
    let again = house.finish(&mut thief.clone(), "here", &query).await;
    assert!(matches!(again, Err(LoginFault::NoSuchLogin)), "even with the cookie kept");
    assert_eq!(provider.asked(Endpoint::Token), asked);
}

#[tokio::test]
async fn an_answer_that_was_started_in_another_browser_is_refused() {
    let provider = Provider::start(vec![rsa()]);
    let house = house(&[("here", &provider)]).await;
    let (mut attacker, mut victim) = (Jar::default(), Jar::default());
    let step = house.start(&mut attacker, "here", "/").await;
    let query = query_of(&provider.agree(&step.to));
    assert!(matches!(house.finish(&mut victim, "here", &query).await, Err(LoginFault::NoSuchLogin)));
    house.start(&mut victim, "here", "/").await;
    assert!(matches!(house.finish(&mut victim, "here", &query).await, Err(LoginFault::NoSuchLogin)));
    assert_eq!(provider.asked(Endpoint::Token), 0);
}

#[tokio::test]
async fn a_state_that_only_begins_right_is_refused() {
    let provider = Provider::start(vec![rsa()]);
    let house = house(&[("here", &provider)]).await;
    let mut jar = Jar::default();
    let step = house.start(&mut jar, "here", "/").await;
    let back = Url::parse(&provider.agree(&step.to)).unwrap();
    let parts: BTreeMap<String, String> = back.query_pairs().into_owned().collect();
    let state = format!("{}{}", &parts["state"][..8], "A".repeat(24));
    let query = format!("code={}&state={state}", parts["code"]);
    assert!(matches!(house.finish(&mut jar, "here", &query).await, Err(LoginFault::NoSuchLogin)));
}

#[tokio::test]
async fn a_mix_up_of_issuers_is_noticed() {
    let (honest, evil) = (Provider::start(vec![rsa()]), Provider::start(vec![rsa()]));
    let house = house(&[("honest", &honest), ("evil", &evil)]).await;
    // The answer of one at the other's callback.
    let mut jar = Jar::default();
    let step = house.start(&mut jar, "honest", "/").await;
    let query = query_of(&honest.agree(&step.to));
    assert!(matches!(house.finish(&mut jar, "evil", &query).await, Err(LoginFault::OtherIssuer)));
    // RFC 9207: a wrong `iss`, and a missing one though the issuer promised it.
    for name in [Some(evil.url.as_str()), Some(""), None] {
        honest.call_itself(name);
        let mut jar = Jar::default();
        let outcome = house.sign_in(&mut jar, &honest, "honest").await;
        assert!(matches!(outcome, Err(LoginFault::OtherIssuer)), "{name:?}");
        assert!(jar.0.is_empty());
    }
    assert_eq!(honest.asked(Endpoint::Token) + evil.asked(Endpoint::Token), 0);
    // Whoever does not promise it need not, but must not lie.
    let modest = Provider::start(vec![rsa()]);
    modest.change_discovery(&json!({"authorization_response_iss_parameter_supported": null}));
    modest.call_itself(None);
    let house = super::house(&[("modest", &modest)]).await;
    assert!(house.sign_in(&mut Jar::default(), &modest, "modest").await.is_ok());
    modest.call_itself(Some(&evil.url));
    let outcome = house.sign_in(&mut Jar::default(), &modest, "modest").await;
    assert!(matches!(outcome, Err(LoginFault::OtherIssuer)));
}

#[tokio::test]
async fn an_id_token_that_breaks_a_rule_opens_no_session() {
    let now = Clock::System.seconds();
    for (change, reason) in [
        (json!({"nonce": "another"}), "token-wrong-nonce"),
        (json!({"aud": "another"}), "token-wrong-audience"),
        (json!({"aud": [CLIENT, "another"]}), "token-wrong-party"),
        (json!({"azp": "another"}), "token-wrong-party"),
        (json!({"iss": "https://evil.example"}), "unknown-issuer"),
        (json!({"exp": now - 100}), "token-expired"),
        (json!({"exp": now.to_string()}), "token-ill-formed-claim"),
        (json!({"iat": now - 1000}), "token-lives-too-long"),
        (json!({"sub": ""}), "token-ill-formed-claim"),
        (json!({"sub": null}), "token-ill-formed-claim"),
    ] {
        let provider = Provider::start(vec![Arc::new(Forge::ec("e"))]);
        let house = house(&[("here", &provider)]).await;
        provider.change_claims(&change);
        let mut jar = Jar::default();
        let fault = house.sign_in(&mut jar, &provider, "here").await.unwrap_err();
        assert_eq!(
            fault.code(),
            if change.get("sub") == Some(&json!(null)) { "token-lacks-claim" } else { reason },
            "{change}"
        );
        assert!(jar.0.is_empty(), "{change}");
        assert!(house.store.sessions().is_empty(), "{change}");
    }
}

#[tokio::test]
async fn an_id_token_of_another_kind_or_key_opens_no_session() {
    let provider = Provider::start(vec![Arc::new(Forge::ec("e"))]);
    let house = house(&[("here", &provider)]).await;
    provider.change_header(&json!({"typ": "logout+jwt"}));
    assert_eq!(house.sign_in(&mut Jar::default(), &provider, "here").await.unwrap_err().code(), "token-wrong-type");
    provider.change_header(&json!({"crit": ["x"], "x": 1}));
    assert_eq!(
        house.sign_in(&mut Jar::default(), &provider, "here").await.unwrap_err().code(),
        "token-critical-extension"
    );
    provider.change_header(&json!({"alg": "none"}));
    assert_eq!(
        house.sign_in(&mut Jar::default(), &provider, "here").await.unwrap_err().code(),
        "token-wrong-algorithm"
    );
}

#[tokio::test]
async fn a_token_endpoint_that_refuses_lies_or_sleeps_opens_no_session() {
    let provider = Provider::start(vec![Arc::new(Forge::ec("e"))]);
    let house = house(&[("here", &provider)]).await;
    for lie in [
        Lie::Says(400, "{\"error\":\"invalid_grant\"}".to_owned()),
        Lie::Says(500, String::new()),
        Lie::Says(200, "<html>".to_owned()),
        Lie::Says(200, "{}".to_owned()),
        Lie::SendsTo("https://evil.example/token".to_owned()),
        Lie::Waits(Duration::from_secs(5)),
        Lie::Floods(2 * 1024 * 1024),
    ] {
        provider.lie(Endpoint::Token, lie.clone());
        let mut jar = Jar::default();
        let fault = house.sign_in(&mut jar, &provider, "here").await.unwrap_err();
        assert!(matches!(fault, LoginFault::Exchange(_)), "{lie:?} {fault}");
        assert!(jar.0.is_empty());
    }
    provider.repent(Endpoint::Token);
    for change in [json!({"id_token": null}), json!({"token_type": "mac"}), json!({"token_type": null})] {
        provider.change_token_answer(&change);
        let fault = house.sign_in(&mut Jar::default(), &provider, "here").await.unwrap_err();
        assert!(matches!(fault, LoginFault::Exchange(_)), "{change} {fault}");
    }
}

#[tokio::test]
async fn a_refusal_by_the_provider_is_told_in_harmless_words() {
    let provider = Provider::start(vec![rsa()]);
    let house = house(&[("here", &provider)]).await;
    let mut jar = Jar::default();
    let step = house.start(&mut jar, "here", "/").await;
    let state = Url::parse(&step.to).unwrap().query_pairs().find(|(name, _)| name == "state").unwrap().1.into_owned();
    let iss: String = url::form_urlencoded::byte_serialize(provider.url.as_bytes()).collect();
    let query = format!("error=access_denied%3Cscript%3E&state={state}&iss={iss}");
    let fault = house.finish(&mut jar, "here", &query).await.unwrap_err();
    assert_eq!(fault.code(), "login-refused-by-provider");
    assert!(fault.says().contains("access_deniedscript"));
    assert!(fault.status().is_client_error());
    assert!(jar.0.is_empty(), "the login is used up");
}

#[tokio::test]
async fn a_login_that_took_too_long_is_refused() {
    let provider = Provider::start(vec![rsa()]);
    let clock = Clock::set_to(SystemTime::now());
    let house = house_with(&clock, |_| {}, &[("here", &provider)]).await;
    let mut jar = Jar::default();
    let step = house.start(&mut jar, "here", "/").await;
    let query = query_of(&provider.agree(&step.to));
    clock.advance(Duration::from_secs(601));
    assert!(matches!(house.finish(&mut jar, "here", &query).await, Err(LoginFault::TooLate)));
    assert_eq!(provider.asked(Endpoint::Token), 0);
}

#[tokio::test]
async fn several_tabs_sign_in_side_by_side_and_a_sixth_pushes_the_first_out() {
    let provider = Provider::start(vec![rsa()]);
    let clock = Clock::set_to(SystemTime::now());
    let house = house_with(&clock, |_| {}, &[("here", &provider)]).await;
    let mut jar = Jar::default();
    let mut steps = Vec::new();
    for n in 0..6 {
        clock.advance(Duration::from_millis(10));
        steps.push(house.start(&mut jar, "here", &format!("/#/{n}")).await);
    }
    assert_eq!(jar.0.len(), 5);
    let first = query_of(&provider.agree(&steps[0].to));
    assert!(matches!(house.finish(&mut jar, "here", &first).await, Err(LoginFault::NoSuchLogin)));
    for (n, step) in steps.iter().enumerate().skip(1) {
        let query = query_of(&provider.agree(&step.to));
        assert_eq!(house.finish(&mut jar, "here", &query).await.unwrap().1, format!("/#/{n}"));
    }
}

#[tokio::test]
async fn a_provider_that_is_away_or_unknown_starts_no_login() {
    let provider = Provider::start(vec![rsa()]);
    provider.lie(Endpoint::Discovery, Lie::Says(503, String::new()));
    let house = house(&[("here", &provider)]).await;
    let start = async |name: &str| house.authenticator.start_login(name, &ReturnTo::front(), &shown(&[])).await.err();
    assert!(matches!(start("here").await, Some(LoginFault::ProviderAway)));
    assert!(matches!(start("nowhere").await, Some(LoginFault::NoSuchProvider)));
}

#[tokio::test]
async fn the_operators_parameters_cannot_replace_what_protects_the_login() {
    let provider = Provider::start(vec![rsa()]);
    let change = |settings: &mut Settings| {
        let login = settings.issuers[0].login.as_mut().unwrap();
        for (name, value) in [("prompt", "select_account"), ("state", "x"), ("redirect_uri", "https://evil.example")] {
            login.parameters.push((name.to_owned(), value.to_owned()));
        }
    };
    let house = house_with(&Clock::System, change, &[("here", &provider)]).await;
    let step = house.start(&mut Jar::default(), "here", "/").await;
    let names: Vec<String> = Url::parse(&step.to).unwrap().query_pairs().map(|(name, _)| name.into_owned()).collect();
    assert_eq!(names.iter().filter(|name| *name == "state").count(), 1);
    assert_eq!(names.iter().filter(|name| *name == "redirect_uri").count(), 1);
    assert!(names.iter().any(|name| name == "prompt"));
}

#[tokio::test]
async fn our_secret_goes_into_the_body_where_the_provider_takes_it_there_alone() {
    let provider = Provider::start(vec![rsa()]);
    provider.change_discovery(&json!({"token_endpoint_auth_methods_supported": ["client_secret_post"]}));
    let house = house(&[("here", &provider)]).await;
    // This provider insists on Basic whatever it says: the exchange fails, which shows where the secret went.
    let fault = house.sign_in(&mut Jar::default(), &provider, "here").await.unwrap_err();
    assert!(fault.to_string().contains("invalid_client"), "{fault}");
}
