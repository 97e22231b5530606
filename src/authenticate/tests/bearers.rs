//! Bearer tokens and IAP assertions, with issuers that are away, slow, rotating or lying.

use std::time::SystemTime;

use serde_json::{Value, json};

use super::*;
use crate::authenticate::jwks::Source;
use crate::authenticate::lying_issuer::{Endpoint, Lie, nobody};

#[expect(clippy::unnecessary_wraps, reason = "it is compared with a verdict")]
fn alice() -> Result<String, &'static str> {
    Ok("alice@example.com".to_owned())
}

#[tokio::test]
async fn a_good_token_is_recognised_and_its_verdict_is_kept() {
    let provider = Provider::start(vec![rsa()]);
    let house = house(&[("here", &provider)]).await;
    let token = provider.bearer(AUDIENCE, &json!({}));
    assert_eq!(house.who(&bearer(&token)).await, alice());
    assert_eq!((provider.asked(Endpoint::Discovery), provider.asked(Endpoint::Keys)), (1, 1));
    let again = house.ask(&shown(&[(AUTHORIZATION, &format!("bEARER   {token}"))])).await.unwrap().unwrap();
    assert_eq!(again.identity.proof, Proof::Bearer);
    assert_eq!(&*again.identity.subject, "248289761001");
    assert!(again.session.is_none() && !again.is_ambient());
    assert_eq!(provider.asked(Endpoint::Keys), 1);
}

#[tokio::test]
async fn nothing_shown_is_a_stranger_and_no_fault() {
    let provider = Provider::start(vec![rsa()]);
    let house = house(&[("here", &provider)]).await;
    assert_eq!(house.who(&shown(&[])).await, Ok("stranger".to_owned()));
}

#[tokio::test]
async fn two_credentials_are_refused_even_when_both_are_good() {
    let provider = Provider::start(vec![rsa()]);
    let house = house(&[("here", &provider)]).await;
    let good = format!("Bearer {}", provider.bearer(AUDIENCE, &json!({})));
    let session = format!("__Host-trackgate={}", "A".repeat(43));
    for (fields, reason) in [
        (vec![(AUTHORIZATION, good.as_str()), (AUTHORIZATION, good.as_str())], "two-authorizations"),
        (vec![(AUTHORIZATION, good.as_str()), (AUTHORIZATION, "Basic eA==")], "two-authorizations"),
        (vec![(AUTHORIZATION, good.as_str()), (COOKIE, session.as_str())], "two-credentials"),
        (vec![(AUTHORIZATION, "Bearer x"), (COOKIE, session.as_str())], "two-credentials"),
        (vec![(AUTHORIZATION, "Basic eA==")], "basic-without-token"),
        (vec![(AUTHORIZATION, "Digest eA==")], "unknown-scheme"),
        (vec![(AUTHORIZATION, "Bearer")], "token-not-compact"),
        (vec![(AUTHORIZATION, "Bearer a b")], "token-not-compact"),
        (vec![(AUTHORIZATION, "")], "unknown-scheme"),
    ] {
        assert_eq!(house.who(&shown(&fields)).await, Err(reason), "{fields:?}");
    }
}

#[tokio::test]
async fn without_iap_its_header_counts_for_nothing() {
    let provider = Provider::start(vec![rsa()]);
    let house = house(&[("here", &provider)]).await;
    let header = (credential::IAP_ASSERTION, "a.b.c");
    assert_eq!(house.who(&shown(std::slice::from_ref(&header))).await, Ok("stranger".to_owned()));
    let good = format!("Bearer {}", provider.bearer(AUDIENCE, &json!({})));
    assert_eq!(house.who(&shown(&[header, (AUTHORIZATION, &good)])).await, alice());
}

#[tokio::test]
async fn a_token_of_another_issuer_or_for_a_login_is_no_bearer_token() {
    let (provider, other) = (Provider::start(vec![rsa()]), Provider::start(vec![rsa()]));
    let house = house(&[("here", &provider)]).await;
    assert_eq!(house.who(&bearer(&other.bearer(AUDIENCE, &json!({})))).await, Err("unknown-issuer"));
    let posing = other.bearer(AUDIENCE, &json!({"iss": provider.url}));
    assert_eq!(house.who(&bearer(&posing)).await, Err("token-wrong-signature"));
    assert_eq!(house.who(&bearer(&provider.bearer(CLIENT, &json!({})))).await, Err("token-wrong-audience"));
}

#[tokio::test]
async fn one_issuers_key_does_not_sign_for_another_configured_one() {
    let (one, two) = (Provider::start(vec![rsa()]), Provider::start(vec![rsa()]));
    let house = house(&[("one", &one), ("two", &two)]).await;
    assert_eq!(house.who(&bearer(&one.bearer(AUDIENCE, &json!({})))).await, alice());
    assert_eq!(house.who(&bearer(&two.bearer(AUDIENCE, &json!({})))).await, alice());
    let crossed = one.bearer(AUDIENCE, &json!({"iss": two.url}));
    assert_eq!(house.who(&bearer(&crossed)).await, Err("token-wrong-signature"));
}

#[tokio::test]
async fn a_sub_that_looks_like_an_address_is_nobodys_verified_address() {
    let provider = Provider::start(vec![rsa()]);
    let house = house(&[("here", &provider)]).await;
    for address in [json!(null), json!("alice@example.com"), json!("eve@example.com")] {
        let posing = json!({"sub": "alice@example.com", "email": address, "email_verified": false});
        assert_eq!(house.who(&bearer(&provider.bearer(AUDIENCE, &posing))).await, Err("token-ill-formed-claim"));
    }
    let plain = json!({"sub": "robot-7", "email": null});
    assert_eq!(house.who(&bearer(&provider.bearer(AUDIENCE, &plain))).await, Ok("robot-7".to_owned()));
}

#[tokio::test]
async fn both_spellings_of_google_are_one_issuer() {
    let keys = Keeper::new(
        "google",
        Source::Fixed(Url::parse("https://accounts.google.com/keys").unwrap()),
        Fetcher::new(&fetch::Settings::default()).unwrap(),
        Duration::from_mins(1),
        Clock::System,
    );
    let google = Issuer::new(issuer::Settings::new("google", issuer::GOOGLE), keys);
    assert!(google.is_called("https://accounts.google.com"));
    assert!(google.is_called("accounts.google.com"));
    assert!(!google.is_called("http://accounts.google.com"));
    assert!(!google.is_called("accounts.google.com.evil.example"));
}

#[tokio::test]
async fn a_rotation_is_seen_and_a_key_that_left_stops_working() {
    let provider = Provider::start(vec![rsa()]);
    let house = house(&[("here", &provider)]).await;
    let old = provider.bearer(AUDIENCE, &json!({}));
    assert_eq!(house.who(&bearer(&old)).await, alice());
    provider.rotate(vec![Arc::new(Forge::ec("second"))]);
    let new = provider.bearer(AUDIENCE, &json!({}));
    assert_eq!(house.who(&bearer(&new)).await, alice());
    assert_eq!(provider.asked(Endpoint::Keys), 2);
    assert_eq!(house.who(&bearer(&old)).await, Err("token-unknown-key"), "its kept verdict is void");
}

#[tokio::test]
async fn a_rain_of_unknown_kids_is_a_few_fetches_and_a_rotation_is_still_seen() {
    let provider = Provider::start(vec![rsa()]);
    let clock = Clock::set_to(SystemTime::now());
    let many = |settings: &mut Settings| settings.failed_credentials = 1_000_000;
    let house = house_with(&clock, many, &[("here", &provider)]).await;
    assert_eq!(house.who(&bearer(&provider.bearer(AUDIENCE, &json!({})))).await, alice());
    let stranger = Forge::ec("nobody-knows-me");
    let mut rain = Vec::new();
    for n in 0..60 {
        let token = stranger.sign(&json!({"iss": provider.url, "aud": AUDIENCE, "sub": n.to_string()}));
        rain.push(token);
    }
    let asking = rain.iter().map(|token| {
        let house = &house;
        async move { house.who(&bearer(token)).await }
    });
    for verdict in futures_util::future::join_all(asking).await {
        assert_eq!(verdict, Err("token-unknown-key"));
    }
    assert!(provider.asked(Endpoint::Keys) <= 4, "{} fetches", provider.asked(Endpoint::Keys));
    provider.rotate(vec![Arc::new(Forge::ec("second"))]);
    let new = provider.bearer(AUDIENCE, &json!({}));
    for token in &rain {
        let _ = house.who(&bearer(token)).await;
    }
    clock.advance(Duration::from_secs(10));
    assert_eq!(house.who(&bearer(&new)).await, alice());
}

#[tokio::test]
async fn a_clock_that_was_ahead_does_not_keep_new_keys_out() {
    let provider = Provider::start(vec![rsa()]);
    let clock = Clock::set_to(SystemTime::now());
    let house = house_with(&clock, |_| {}, &[("here", &provider)]).await;
    assert_eq!(house.who(&bearer(&provider.bearer(AUDIENCE, &json!({})))).await, alice());
    // Ten years ahead somebody shows an unknown key; then the clock is set right.
    let stranger = Forge::ec("nobody-knows-me");
    let rain: Vec<String> =
        (0..20).map(|n| stranger.sign(&json!({"iss": provider.url, "aud": AUDIENCE, "sub": n.to_string()}))).collect();
    clock.advance(Duration::from_hours(24 * 3650));
    for token in &rain {
        let _ = house.who(&bearer(token)).await;
    }
    clock.turn_back(Duration::from_hours(24 * 3650));
    provider.rotate(vec![Arc::new(Forge::ec("second"))]);
    clock.advance(Duration::from_mins(1));
    // The first may find that nothing may be asked yet, by the clock of before.
    for token in &rain {
        let _ = house.who(&bearer(token)).await;
    }
    clock.advance(Duration::from_secs(10));
    assert_eq!(house.who(&bearer(&provider.bearer(AUDIENCE, &json!({})))).await, alice());
}

#[tokio::test]
async fn callers_who_wait_for_the_same_keys_share_one_fetch() {
    let provider = Provider::start(vec![rsa()]);
    let house = house(&[("here", &provider)]).await;
    provider.lie(Endpoint::Keys, Lie::Waits(Duration::from_millis(100)));
    let token = provider.bearer(AUDIENCE, &json!({}));
    let asking = (0..50).map(|_| async { house.who(&bearer(&token)).await });
    for verdict in futures_util::future::join_all(asking).await {
        assert_eq!(verdict, alice());
    }
    assert_eq!(provider.asked(Endpoint::Keys), 1);
}

#[tokio::test]
async fn an_issuer_that_is_away_at_start_is_503_and_counts_against_nobody() {
    let provider = Provider::start(vec![rsa()]);
    provider.lie(Endpoint::Discovery, Lie::Says(500, String::new()));
    let clock = Clock::set_to(SystemTime::now());
    let house = house_with(&clock, |settings| settings.failed_credentials = 1, &[("here", &provider)]).await;
    let token = provider.bearer(AUDIENCE, &json!({}));
    for _ in 0..5 {
        assert_eq!(house.who(&bearer(&token)).await, Err("issuer-keys-unavailable"));
    }
    provider.repent(Endpoint::Discovery);
    clock.advance(Duration::from_secs(10));
    assert_eq!(house.who(&bearer(&token)).await, alice());
}

#[tokio::test]
async fn good_keys_stay_while_the_issuer_is_away_or_lies_and_end_after_a_day() {
    let provider = Provider::start(vec![rsa()]);
    let clock = Clock::set_to(SystemTime::now());
    let house = house_with(&clock, |_| {}, &[("here", &provider)]).await;
    let far = clock.seconds() + 7 * 24 * 3600;
    let tokens: Vec<String> =
        (0..20).map(|n| provider.bearer(AUDIENCE, &json!({"exp": far, "jti": n.to_string()}))).collect();
    assert_eq!(house.who(&bearer(&tokens[0])).await, alice());
    let issuer = &house.authenticator.issuers()[0];
    let lies = [
        Lie::Says(500, String::new()),
        Lie::Says(404, "{\"keys\":[]}".to_owned()),
        Lie::Says(200, "{\"keys\":[]}".to_owned()),
        Lie::Says(200, "<html>".to_owned()),
        Lie::Says(200, String::new()),
        Lie::Says(200, "{\"keys\":[{\"kty\":\"oct\",\"k\":\"AAAA\"}]}".to_owned()),
        Lie::SendsTo(format!("{}/keys", provider.url)),
        Lie::SendsTo("https://evil.example/keys".to_owned()),
        Lie::Waits(Duration::from_secs(3)),
        Lie::Floods(2 * 1024 * 1024),
    ];
    for (lie, token) in lies.into_iter().zip(&tokens[1..]) {
        provider.lie(Endpoint::Keys, lie.clone());
        assert!(issuer.keys.refresh().await.is_err(), "{lie:?}");
        assert_eq!(house.who(&bearer(token)).await, alice(), "{lie:?}");
    }
    clock.advance(Duration::from_hours(24));
    assert_eq!(house.who(&bearer(&tokens[15])).await, alice());
    clock.advance(Duration::from_secs(1));
    assert_eq!(house.who(&bearer(&tokens[16])).await, Err("issuer-keys-unavailable"));
    assert_eq!(house.who(&bearer(&tokens[0])).await, Err("issuer-keys-unavailable"), "a kept verdict ends too");
}

#[tokio::test]
async fn a_discovery_document_for_another_issuer_gives_no_keys() {
    for change in [
        json!({"issuer": "https://evil.example"}),
        json!({"issuer": null}),
        json!({"jwks_uri": "http://192.0.2.1/keys"}),
        json!({"jwks_uri": "file:///etc/passwd"}),
        json!({"jwks_uri": 7}),
    ] {
        let provider = Provider::start(vec![rsa()]);
        provider.change_discovery(&change);
        let house = house(&[("here", &provider)]).await;
        let token = provider.bearer(AUDIENCE, &json!({}));
        assert_eq!(house.who(&bearer(&token)).await, Err("issuer-keys-unavailable"), "{change}");
        assert_eq!(provider.asked(Endpoint::Keys), 0, "{change}");
    }
}

#[tokio::test]
async fn an_issuer_without_tls_is_refused_at_start() {
    let folder = Folder::new();
    let store = Store::open(&crate::store::Settings::new(folder.0.join("state")), Clock::System).await.unwrap();
    for address in ["http://idp.example.com", "ftp://127.0.0.1", "idp.example.com", ""] {
        let mut settings = Settings::new(Url::parse("https://mlflow.example.com/").unwrap());
        settings.issuers = vec![issuer::Settings::new("here", address)];
        let seal = Arc::new(Seal::ephemeral().unwrap());
        let made = Authenticator::new(settings, store.clone(), seal, Clock::System);
        assert!(matches!(made, Err(SetupFault::BadAddress(_))), "{address}");
    }
}

#[tokio::test]
async fn a_kept_verdict_ends_with_its_token() {
    let provider = Provider::start(vec![rsa()]);
    let clock = Clock::set_to(SystemTime::now());
    let house = house_with(&clock, |_| {}, &[("here", &provider)]).await;
    let token = provider.bearer(AUDIENCE, &json!({"exp": clock.seconds() + 60}));
    assert_eq!(house.who(&bearer(&token)).await, alice());
    clock.advance(Duration::from_secs(89));
    assert_eq!(house.who(&bearer(&token)).await, alice());
    clock.advance(Duration::from_secs(2));
    assert_eq!(house.who(&bearer(&token)).await, Err("token-expired"));
}

#[tokio::test]
async fn after_20_wrong_tokens_a_minute_wrong_ones_get_429_and_good_ones_pass() {
    let provider = Provider::start(vec![rsa()]);
    let house = house(&[("here", &provider)]).await;
    for _ in 0..20 {
        assert_eq!(house.who(&bearer("wrong")).await, Err("token-not-compact"));
    }
    let fault = house.ask(&bearer("wrong")).await.err().unwrap();
    assert_eq!(fault.status(), http::StatusCode::TOO_MANY_REQUESTS);
    assert!(fault.retry_after().is_some_and(|wait| wait <= Duration::from_mins(1)));
    assert_eq!(house.who(&bearer(&provider.bearer(AUDIENCE, &json!({})))).await, alice());
    assert_eq!(house.who(&shown(&[])).await, Ok("stranger".to_owned()));
}

#[tokio::test]
async fn the_user_is_the_verified_mail_address_else_the_subject() {
    let provider = Provider::start(vec![rsa()]);
    let house = house(&[("here", &provider)]).await;
    for (change, user) in [
        (json!({"email": "Bob@Example.com"}), "bob@example.com"),
        (json!({"email_verified": false}), "248289761001"),
        (json!({"email_verified": "true"}), "248289761001"),
        (json!({"email": null}), "248289761001"),
        (json!({"email": "a@b@example.com"}), "248289761001"),
    ] {
        assert_eq!(house.who(&bearer(&provider.bearer(AUDIENCE, &change))).await, Ok(user.to_owned()), "{change}");
    }
    let spaced = provider.bearer(AUDIENCE, &json!({"email": null, "sub": "two words"}));
    assert_eq!(house.who(&bearer(&spaced)).await, Err("token-ill-formed-claim"));
    let broken = provider.bearer(AUDIENCE, &json!({"email": null, "sub": "a\r\nX-Admin: 1"}));
    assert_eq!(house.who(&bearer(&broken)).await, Err("token-ill-formed-claim"));
}

#[tokio::test]
async fn a_hosted_domain_is_compared_whole_and_needs_a_verified_address() {
    let provider = Provider::start(vec![rsa()]);
    let only = |settings: &mut Settings| settings.issuers[0].hosted_domains = vec!["example.com".to_owned()];
    let house = house_with(&Clock::System, only, &[("here", &provider)]).await;
    assert_eq!(house.who(&bearer(&provider.bearer(AUDIENCE, &json!({})))).await, alice());
    for change in [
        json!({"email": "eve@evil.example"}),
        json!({"email": "eve@example.com.evil.example"}),
        json!({"email": "eve@sub.example.com"}),
        json!({"email": "eve@notexample.com"}),
        json!({"email_verified": false}),
        json!({"email": null}),
        json!({"email": "eve@evil.example", "hd": "example.com"}),
    ] {
        let verdict = house.who(&bearer(&provider.bearer(AUDIENCE, &change))).await;
        assert_eq!(verdict, Err("domain-not-allowed"), "{change}");
    }
}

#[tokio::test]
async fn groups_are_filtered_prefixed_and_never_half_read() {
    let provider = Provider::start(vec![rsa()]);
    let change = |settings: &mut Settings| {
        let issuer = &mut settings.issuers[0];
        issuer.groups_claim = Some("groups".to_owned());
        issuer.groups_prefix = "here:".to_owned();
        issuer.groups_allowed = vec!["ml".to_owned(), "data science".to_owned(), "ops".to_owned()];
    };
    let house = house_with(&Clock::System, change, &[("here", &provider)]).await;
    let groups = async |value: Value| {
        let token = provider.bearer(AUDIENCE, &json!({ "groups": value }));
        match house.ask(&bearer(&token)).await {
            Ok(Some(known)) => Ok(known.identity.groups.iter().map(ToString::to_string).collect::<Vec<_>>()),
            Ok(None) => Ok(Vec::new()),
            Err(fault) => Err(fault.code()),
        }
    };
    assert_eq!(groups(json!(["ml", "admins", "ml", "ops"])).await, Ok(vec!["here:ml".into(), "here:ops".into()]));
    assert_eq!(groups(json!(["data science"])).await, Ok(vec![]), "a name that no grant can speak of");
    for wrong in [json!("ml"), json!([1]), json!({"ml": true}), json!(["ml", null])] {
        assert_eq!(groups(wrong.clone()).await, Err("token-ill-formed-claim"), "{wrong}");
    }
}

// --- IAP ---

fn field(value: &str) -> (http::HeaderName, &str) {
    (credential::IAP_ASSERTION, value)
}

const BACKEND: &str = "/projects/123/global/backendServices/456";

async fn iap_house(provider: &Provider, domains: &[&str]) -> House {
    let change = |settings: &mut Settings| {
        settings.iap = Some(iap::Settings {
            audiences: vec![BACKEND.to_owned()],
            listener: Door::Plain,
            keys_url: Url::parse(&format!("{}/keys", provider.url)).unwrap(),
            hosted_domains: domains.iter().map(|domain| (*domain).to_owned()).collect(),
            fetch: fetch::Settings::default(),
        });
    };
    house_with(&Clock::System, change, &[("here", provider)]).await
}

fn assertion(forge: &Forge, change: &Value) -> String {
    let now = Clock::System.seconds();
    let mut claims = json!({
        "iss": iap::ISSUER, "aud": BACKEND, "iat": now, "exp": now + 600,
        "sub": "accounts.google.com:1234", "email": "bob@example.com", "hd": "example.com",
    });
    super::super::forge::merge(&mut claims, change);
    forge.sign(&claims)
}

async fn through_iap(house: &House, fields: &[(http::HeaderName, &str)]) -> Result<String, &'static str> {
    match house.authenticator.authenticate(&peer(Door::Plain), &shown(fields)).await {
        Ok(Some(known)) => Ok(known.identity.user.to_string()),
        Ok(None) => Ok("stranger".to_owned()),
        Err(fault) => Err(fault.code()),
    }
}

#[tokio::test]
async fn iap_vouches_on_its_own_listener_and_nothing_else_opens_it() {
    let forge = Arc::new(Forge::ec("iap-1"));
    let provider = Provider::start(vec![Arc::clone(&forge)]);
    let house = iap_house(&provider, &[]).await;
    let good = assertion(&forge, &json!({}));
    let token = format!("Bearer {}", provider.bearer(AUDIENCE, &json!({})));
    let session = format!("__Host-trackgate={}", "A".repeat(43));
    assert_eq!(through_iap(&house, &[field(&good)]).await, Ok("bob@example.com".to_owned()));
    assert_eq!(through_iap(&house, &[field(&good)]).await, Ok("bob@example.com".to_owned()), "from the cache");
    assert_eq!(through_iap(&house, &[]).await, Err("assertion-missing"));
    assert_eq!(through_iap(&house, &[(AUTHORIZATION, &token)]).await, Err("assertion-missing"));
    assert_eq!(through_iap(&house, &[(COOKIE, &session)]).await, Err("assertion-missing"));
    assert_eq!(through_iap(&house, &[field(&good), (AUTHORIZATION, &token)]).await, Err("two-credentials"));
    assert_eq!(through_iap(&house, &[field(&good), (COOKIE, &session)]).await, Err("two-credentials"));
    assert_eq!(through_iap(&house, &[field(&good), field(&good)]).await, Err("repeated-credential"));
    assert_eq!(through_iap(&house, &[field("")]).await, Err("token-not-compact"));
    // On the other listener the assertion is nobody's credential, and beside a good one a fault.
    assert_eq!(house.who(&shown(&[field(&good)])).await, Ok("stranger".to_owned()));
    assert_eq!(house.who(&shown(&[field(&good), (AUTHORIZATION, &token)])).await, Err("two-credentials"));
}

#[tokio::test]
async fn an_assertion_that_breaks_any_of_googles_rules_is_refused() {
    let forge = Arc::new(Forge::ec("iap-1"));
    let provider = Provider::start(vec![Arc::clone(&forge)]);
    let house = iap_house(&provider, &[]).await;
    let now = Clock::System.seconds();
    let many: Vec<(Value, &str)> = vec![
        (json!({"iss": "https://cloud.google.com/iap/"}), "unknown-issuer"),
        (json!({"iss": "https://accounts.google.com"}), "unknown-issuer"),
        (json!({"iss": null}), "unknown-issuer"),
        (json!({"aud": "/projects/123/global/backendServices/45"}), "token-wrong-audience"),
        (json!({"aud": "/projects/123/global/backendServices/4567"}), "token-wrong-audience"),
        (json!({"aud": [BACKEND]}), "token-ill-formed-claim"),
        (json!({"aud": null}), "token-lacks-claim"),
        (json!({"exp": now - 40}), "token-expired"),
        (json!({"iat": now + 100}), "token-not-yet-valid"),
        (json!({"iat": null}), "token-lacks-claim"),
        (json!({"exp": (now + 600).to_string()}), "token-ill-formed-claim"),
        (json!({"exp": now + 3600}), "token-lives-too-long"),
        (json!({"email": null}), "token-lacks-claim"),
        (json!({"email": "bob"}), "token-ill-formed-claim"),
        (json!({"sub": null}), "token-lacks-claim"),
    ];
    let verdict = async |text: &str| through_iap(&house, &[field(text)]).await;
    for (change, reason) in many {
        assert_ne!(verdict(&assertion(&forge, &change)).await, Ok("bob@example.com".to_owned()), "{change}");
        let fault = house.authenticator.iap.as_ref().unwrap().judge(assertion(&forge, &change).as_bytes()).await;
        assert_eq!(fault.err().map(|fault| fault.code()), Some(reason), "{change}");
    }
    // Another algorithm, even with a key of the set.
    let rsa = Arc::new(Forge::rsa("iap-2"));
    provider.rotate(vec![Arc::clone(&forge), Arc::clone(&rsa)]);
    let judge = async |text: String| house.authenticator.iap.as_ref().unwrap().judge(text.as_bytes()).await.err();
    assert_eq!(judge(assertion(&rsa, &json!({}))).await.map(|fault| fault.code()), Some("token-wrong-algorithm"));
    let stranger = Forge::ec("iap-1");
    assert_eq!(judge(assertion(&stranger, &json!({}))).await.map(|fault| fault.code()), Some("token-wrong-signature"));
}

#[tokio::test]
async fn iaps_hosted_domain_is_its_claim_and_not_the_mail_address() {
    let forge = Arc::new(Forge::ec("iap-1"));
    let provider = Provider::start(vec![Arc::clone(&forge)]);
    let house = iap_house(&provider, &["example.com"]).await;
    let verdict = async |change: Value| {
        let text = assertion(&forge, &change);
        through_iap(&house, &[field(&text)]).await
    };
    assert_eq!(verdict(json!({})).await, Ok("bob@example.com".to_owned()));
    assert_eq!(verdict(json!({"hd": null})).await, Err("domain-not-allowed"));
    assert_eq!(verdict(json!({"hd": "evil.example"})).await, Err("domain-not-allowed"));
    assert_eq!(verdict(json!({"hd": ["example.com"]})).await, Err("domain-not-allowed"));
}

#[tokio::test]
async fn an_issuer_whose_address_nobody_answers_does_not_hang() {
    let provider = Provider::start(vec![rsa()]);
    let gone = format!("http://{}", nobody());
    let house = house_with(&Clock::System, |s| s.issuers[0].issuer.clone_from(&gone), &[("here", &provider)]).await;
    let token = provider.bearer(AUDIENCE, &json!({ "iss": gone }));
    assert_eq!(house.who(&bearer(&token)).await, Err("issuer-keys-unavailable"));
}
