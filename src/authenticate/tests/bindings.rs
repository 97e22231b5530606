//! Tokens of other issuers that act as service accounts, and those that must not.

use std::time::SystemTime;

use serde_json::{Value, json};

use super::*;
use crate::access::binding::{BindingName, Rules};
use crate::authenticate::lying_issuer::Endpoint;
use crate::mlflow::ids::{GroupName, UserName};
use crate::store::{By, PrincipalFault, Step};

fn binding(name: &str, claims: &Value, account: &str) -> Binding {
    Binding {
        name: BindingName::parse(name).unwrap(),
        issuer: Arc::from("ci"),
        audiences: Vec::new(),
        rules: Rules::read(claims).unwrap(),
        token_groups: false,
        account: UserName::parse(account).unwrap(),
    }
}

/// What a GitHub Actions job shows (GitHub, "OpenID Connect reference"), as far as it matters.
fn job() -> Value {
    json!({
        "sub": "repo:org/repo:ref:refs/heads/main", "email": null, "email_verified": null,
        "repository": "org/repo", "repository_owner": "org", "repository_id": "74",
        "ref": "refs/heads/main", "ref_type": "branch", "event_name": "push", "run_attempt": "1",
    })
}

fn with(change: &Value) -> Value {
    let mut claims = job();
    crate::authenticate::forge::merge(&mut claims, change);
    // `null` takes a claim of the issuer away.
    claims["email"] = json!(null);
    claims["email_verified"] = json!(null);
    claims
}

fn main_branch() -> Value {
    json!({"repository": "org/repo", "ref": "refs/heads/main"})
}

/// A gate for an issuer by which nobody signs in, with these bindings and accounts.
async fn gate(clock: &Clock, provider: &Provider, bindings: Vec<Binding>, accounts: &[&str]) -> House {
    let change = |settings: &mut Settings| {
        settings.failed_credentials = 1_000_000;
        settings.issuers[0].user_claim = issuer::UserClaim::Nobody;
        settings.issuers[0].login = None;
        settings.bindings = bindings;
    };
    let house = house_with(clock, change, &[("ci", provider)]).await;
    for account in accounts {
        house.store.add_account(&UserName::parse(account).unwrap(), By::Trackgate).await.unwrap();
    }
    house
}

async fn ci(provider: &Provider) -> House {
    gate(&Clock::System, provider, vec![binding("main", &main_branch(), "svc:ci")], &["svc:ci"]).await
}

#[expect(clippy::unnecessary_wraps, reason = "it is compared with a verdict")]
fn is(account: &str) -> Result<String, &'static str> {
    Ok(account.to_owned())
}

#[tokio::test]
async fn a_bound_token_is_the_account_and_says_whose_it_was() {
    let provider = Provider::start(vec![rsa()]);
    let house = ci(&provider).await;
    let known = house.ask(&bearer(&provider.bearer(AUDIENCE, &job()))).await.unwrap().unwrap();
    let identity = &known.identity;
    assert_eq!((identity.user.as_str(), identity.proof), ("svc:ci", Proof::Bound));
    assert_eq!((&*identity.issuer, &*identity.subject), (&*provider.url, "repo:org/repo:ref:refs/heads/main"));
    assert_eq!(&*identity.token.as_ref().unwrap().id, "main");
    assert!(identity.groups.is_empty() && !known.is_ambient());
    assert!(house.store.principal(Arc::clone(identity), &crate::mlflow::ids::WorkspaceName::default()).is_ok());
}

#[tokio::test]
async fn a_token_of_another_repository_fork_branch_or_shape_is_nobody() {
    let provider = Provider::start(vec![rsa()]);
    let house = ci(&provider).await;
    for change in [
        json!({"repository": "org/repo-evil"}),
        json!({"repository": "evil/repo", "repository_owner": "evil", "head_repository": "org/repo"}),
        json!({"repository": "ORG/repo"}),
        json!({"ref": "refs/heads/main2"}),
        json!({"ref": "refs/heads/evil"}),
        json!({"ref": "refs/pull/7/merge", "event_name": "pull_request"}),
        json!({"repository": ["org/repo"]}),
        json!({"repository": {"name": "org/repo"}}),
        json!({"repository": 7}),
        json!({"repository": true}),
        json!({"repository": null}),
        json!({"ref": null}),
    ] {
        let token = provider.bearer(AUDIENCE, &with(&change));
        assert_eq!(house.who(&bearer(&token)).await, Err("no-binding"), "{change}");
    }
}

#[tokio::test]
async fn an_issuer_for_bindings_alone_recognises_nobody_else() {
    let provider = Provider::start(vec![rsa()]);
    let house = ci(&provider).await;
    let person = json!({"sub": "1", "email": "alice@example.com", "email_verified": true});
    assert_eq!(house.who(&bearer(&provider.bearer(AUDIENCE, &person))).await, Err("no-binding"));
    let said = house.ask(&bearer(&provider.bearer(AUDIENCE, &person))).await.unwrap_err();
    let said = said.says(help::Help::at(house.authenticator.public_url()));
    assert!(said.contains("the ID token of `ci` is good, and no binding of this server matches it"), "{said}");
}

#[tokio::test]
async fn a_token_for_another_audience_is_nobody_and_a_binding_may_have_its_own() {
    let provider = Provider::start(vec![rsa()]);
    let own = Binding { audiences: vec![Arc::from("sts.example.com")], ..binding("own", &main_branch(), "svc:own") };
    let bindings = vec![binding("main", &main_branch(), "svc:ci"), own];
    let house = gate(&Clock::System, &provider, bindings, &["svc:ci", "svc:own"]).await;
    assert_eq!(house.who(&bearer(&provider.bearer(AUDIENCE, &job()))).await, is("svc:ci"));
    assert_eq!(house.who(&bearer(&provider.bearer("sts.example.com", &job()))).await, is("svc:own"));
    for audience in ["https://another.example", "", "https://mlflow.example.com/"] {
        let token = provider.bearer(audience, &job());
        assert_eq!(house.who(&bearer(&token)).await, Err("token-wrong-audience"), "{audience}");
    }
    for audience in [json!(7), json!([7]), json!({})] {
        let token = provider.bearer(AUDIENCE, &with(&json!({ "aud": audience })));
        assert_eq!(house.who(&bearer(&token)).await, Err("token-ill-formed-claim"));
    }
    let both = provider.bearer(AUDIENCE, &with(&json!({"aud": [AUDIENCE, "sts.example.com"]})));
    assert_eq!(house.who(&bearer(&both)).await, Err("binding-ambiguous"), "it is meant for two accounts");
}

#[tokio::test]
async fn two_bindings_that_name_different_accounts_are_none_and_two_for_one_are_one() {
    let provider = Provider::start(vec![rsa()]);
    let wide = || binding("wide", &json!({"repository": "org/*"}), "svc:wide");
    let bindings = vec![binding("main", &main_branch(), "svc:ci"), wide()];
    let house = gate(&Clock::System, &provider, bindings, &["svc:ci", "svc:wide"]).await;
    assert_eq!(house.who(&bearer(&provider.bearer(AUDIENCE, &job()))).await, Err("binding-ambiguous"));
    let other = with(&json!({"ref": "refs/heads/next"}));
    assert_eq!(house.who(&bearer(&provider.bearer(AUDIENCE, &other))).await, is("svc:wide"));
    let same = vec![
        binding("main", &main_branch(), "svc:ci"),
        Binding { account: UserName::parse("svc:ci").unwrap(), ..wide() },
    ];
    let house = gate(&Clock::System, &provider, same, &["svc:ci"]).await;
    assert_eq!(house.who(&bearer(&provider.bearer(AUDIENCE, &job()))).await, is("svc:ci"));
}

#[tokio::test]
async fn a_binding_that_names_a_person_or_nobody_leads_nowhere() {
    let provider = Provider::start(vec![rsa()]);
    let bindings = vec![binding("main", &main_branch(), "alice@example.com")];
    let house = gate(&Clock::System, &provider, bindings, &[]).await;
    let token = provider.bearer(AUDIENCE, &job());
    let principal = async || {
        let known = house.ask(&bearer(&token)).await.unwrap().unwrap();
        house.store.principal(known.identity, &crate::mlflow::ids::WorkspaceName::default()).map(drop)
    };
    assert_eq!(principal().await, Err(PrincipalFault::AccountGone));
    house.store.add_user(&UserName::parse("alice@example.com").unwrap(), By::Trackgate).await.unwrap();
    assert_eq!(principal().await, Err(PrincipalFault::BoundToPerson));
}

#[tokio::test]
async fn a_kept_verdict_does_not_outlive_a_binding_that_is_changed_added_or_taken_away() {
    let provider = Provider::start(vec![rsa()]);
    let house = gate(&Clock::System, &provider, Vec::new(), &["svc:ci", "svc:other"]).await;
    let token = provider.bearer(AUDIENCE, &job());
    assert_eq!(house.who(&bearer(&token)).await, Err("no-binding"));
    let (one, other) =
        (Arc::new(binding("main", &main_branch(), "svc:ci")), Arc::new(binding("main", &main_branch(), "svc:other")));
    let apply = async |step| assert!(house.store.apply(vec![step], By::Trackgate).await.unwrap().anything());
    apply(Step::Bind { was: None, new: Arc::clone(&one) }).await;
    assert_eq!(house.who(&bearer(&token)).await, is("svc:ci"));
    assert_eq!(house.who(&bearer(&token)).await, is("svc:ci"), "kept");
    apply(Step::Bind { was: Some(one), new: Arc::clone(&other) }).await;
    assert_eq!(house.who(&bearer(&token)).await, is("svc:other"));
    let second = Arc::new(binding("second", &main_branch(), "svc:ci"));
    apply(Step::Bind { was: None, new: Arc::clone(&second) }).await;
    assert_eq!(house.who(&bearer(&token)).await, Err("binding-ambiguous"));
    apply(Step::Unbind { was: second }).await;
    apply(Step::Unbind { was: other }).await;
    assert_eq!(house.who(&bearer(&token)).await, Err("no-binding"));
    assert_eq!(provider.asked(Endpoint::Keys), 1, "its keys are asked for once all the same");
}

#[tokio::test]
async fn a_refusal_in_spite_of_a_good_signature_costs_no_second_check_for_half_a_minute() {
    let provider = Provider::start(vec![rsa()]);
    let clock = Clock::set_to(SystemTime::UNIX_EPOCH + Duration::from_hours(500_000));
    let change = |settings: &mut Settings| {
        settings.failed_credentials = 2;
        settings.issuers[0].user_claim = issuer::UserClaim::Nobody;
        settings.issuers[0].skew = Duration::ZERO;
    };
    let house = house_with(&clock, change, &[("ci", &provider)]).await;
    let token = |change: &Value| {
        let mut claims = with(change);
        crate::authenticate::forge::merge(&mut claims, &json!({"iat": 1_800_000_000}));
        bearer(&provider.bearer(AUDIENCE, &claims))
    };
    let (unbound, elsewhere) =
        (json!({"exp": 1_800_000_010}), json!({"exp": 1_800_003_600, "aud": "https://a.example"}));
    let (unbound, elsewhere, early) =
        (token(&unbound), token(&elsewhere), token(&json!({"nbf": 1_800_000_005, "exp": 1_800_003_600})));
    assert_eq!(house.who(&unbound).await, Err("no-binding"));
    assert_eq!(house.who(&early).await, Err("token-not-yet-valid"));
    // Whoever looked at it now would see that it is over.
    clock.advance(Duration::from_secs(29));
    assert_eq!(house.who(&unbound).await, Err("no-binding"), "nobody looks");
    assert_eq!(house.who(&early).await, Err("no-binding"), "what time alone makes good is not remembered");
    clock.advance(Duration::from_secs(1));
    assert_eq!(house.who(&unbound).await, Err("token-expired"));
    // What counts as a wrong credential counts each time, remembered or not.
    assert_eq!(house.who(&elsewhere).await, Err("token-wrong-audience"));
    assert_eq!(house.who(&elsewhere).await, Err("token-wrong-audience"));
    assert_eq!(house.who(&elsewhere).await, Err("too-many-wrong-credentials"));
}

#[tokio::test]
async fn a_refusal_that_is_remembered_ends_with_the_keys_that_proved_it() {
    let provider = Provider::start(vec![rsa()]);
    let house = gate(&Clock::System, &provider, Vec::new(), &[]).await;
    let old = bearer(&provider.bearer(AUDIENCE, &job()));
    assert_eq!(house.who(&old).await, Err("no-binding"));
    provider.rotate(vec![Arc::new(Forge::ec("second"))]);
    let new = bearer(&provider.bearer(AUDIENCE, &job()));
    assert_eq!(house.who(&new).await, Err("no-binding"));
    assert_eq!(house.who(&old).await, Err("token-unknown-key"));
}

#[tokio::test]
async fn a_person_of_an_issuer_is_not_lost_by_its_bindings_and_a_binding_comes_first() {
    let provider = Provider::start(vec![rsa()]);
    let robot = json!({"email": "trainer@proj.iam.gserviceaccount.com"});
    let change = |settings: &mut Settings| settings.bindings = vec![binding("trainer", &robot, "svc:trainer")];
    let house = house_with(&Clock::System, change, &[("ci", &provider)]).await;
    house.store.add_account(&UserName::parse("svc:trainer").unwrap(), By::Trackgate).await.unwrap();
    let by = |email: &str, verified: bool| {
        provider.bearer(AUDIENCE, &json!({"sub": "77", "email": email, "email_verified": verified}))
    };
    assert_eq!(house.who(&bearer(&by("alice@example.com", true))).await, is("alice@example.com"));
    assert_eq!(house.who(&bearer(&by("Trainer@proj.iam.gserviceaccount.com", true))).await, is("svc:trainer"));
    let claimed = house.who(&bearer(&by("trainer@proj.iam.gserviceaccount.com", false))).await;
    assert_eq!(claimed, is("77"), "an address that nobody verified is nobody's");
}

#[tokio::test]
async fn a_kubernetes_token_of_another_namespace_or_account_is_nobody() {
    let provider = Provider::start(vec![rsa()]);
    let pod = json!({"kubernetes.io": {"namespace": "training", "serviceaccount": {"name": "trainer"}}});
    let house = gate(&Clock::System, &provider, vec![binding("pod", &pod, "svc:pod")], &["svc:pod"]).await;
    // Kubernetes, "Service account token", with the claims of a projected one; its header has no `typ`.
    let token = |namespace: &str, name: &str| {
        let now = Clock::System.seconds();
        let claims = json!({
            "sub": format!("system:serviceaccount:{namespace}:{name}"), "email": null, "email_verified": null,
            "aud": [AUDIENCE], "iat": now, "nbf": now, "exp": now + 3607, "jti": "ea28ed49-2e11-4280-9ec5-bc3d1d84661a",
            "kubernetes.io": {
                "namespace": namespace, "node": {"name": "n", "uid": "1"}, "pod": {"name": "p", "uid": "2"},
                "serviceaccount": {"name": name, "uid": "14ee3fa4-a7e2-420f-9f9a-dbc4507c3798"}, "warnafter": now + 3607,
            },
        });
        provider.change_header(&json!({"typ": null}));
        provider.bearer(AUDIENCE, &claims)
    };
    assert_eq!(house.who(&bearer(&token("training", "trainer"))).await, is("svc:pod"));
    assert_eq!(house.who(&bearer(&token("evil", "trainer"))).await, Err("no-binding"));
    assert_eq!(house.who(&bearer(&token("training", "default"))).await, Err("no-binding"));
    assert_eq!(house.who(&bearer(&token("training:trainer", "x"))).await, Err("no-binding"));
}

#[tokio::test]
async fn the_algorithm_stays_the_issuers_and_its_keys_may_change() {
    let provider = Provider::start(vec![rsa()]);
    let house = ci(&provider).await;
    let old = provider.bearer(AUDIENCE, &job());
    assert_eq!(house.who(&bearer(&old)).await, is("svc:ci"));
    let mut parts = old.splitn(2, '.');
    let (_, rest) = (parts.next(), parts.next().unwrap());
    for header in
        [json!({"alg": "none"}), json!({"alg": "HS256", "kid": "first"}), json!({"alg": "RS512", "kid": "first"})]
    {
        use base64::Engine as _;
        let head = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(header.to_string());
        let fault = house.ask(&bearer(&format!("{head}.{rest}"))).await.unwrap_err();
        assert_eq!(fault.code(), "token-wrong-algorithm");
        let said = fault.says(help::Help::at(house.authenticator.public_url()));
        assert!(said.starts_with("the bearer token is invalid") && !said.contains("`ci`"), "{said}");
    }
    let stranger = Forge::rsa("first");
    let forged =
        stranger.sign(&with(&json!({"iss": provider.url, "aud": AUDIENCE, "iat": 1, "exp": 9_999_999_999_u64})));
    assert_eq!(house.who(&bearer(&forged)).await, Err("token-wrong-signature"));
    provider.rotate(vec![Arc::new(Forge::ec("second"))]);
    let new = provider.bearer(AUDIENCE, &job());
    assert_eq!(house.who(&bearer(&new)).await, is("svc:ci"));
    assert_eq!(house.who(&bearer(&old)).await, Err("token-unknown-key"), "its kept verdict is void");
}

#[tokio::test]
async fn a_token_from_the_future_or_the_past_says_so_to_its_holder() {
    let provider = Provider::start(vec![rsa()]);
    let clock = Clock::set_to(SystemTime::UNIX_EPOCH + Duration::from_hours(500_000));
    let house = gate(&clock, &provider, vec![binding("main", &main_branch(), "svc:ci")], &["svc:ci"]).await;
    let said = async |change: Value| {
        let mut claims = json!({"iat": 1_800_000_000, "exp": 1_800_003_600});
        crate::authenticate::forge::merge(&mut claims, &change);
        let fault = house.ask(&bearer(&provider.bearer(AUDIENCE, &with(&claims)))).await;
        fault.map(drop).map_err(|fault| fault.says(help::Help::at(house.authenticator.public_url())).into_owned())
    };
    assert_eq!(said(json!({"iat": 1_800_000_030})).await, Ok(()), "within the skew");
    let early = said(json!({"iat": 1_800_000_031})).await.unwrap_err();
    assert!(early.contains("not valid before 2027-01-15T08:00:31Z, and it is 2027-01-15T08:00:00Z here"), "{early}");
    let early = said(json!({"nbf": 1_800_000_060})).await.unwrap_err();
    assert!(early.contains("set the clock right"), "{early}");
    let late = said(json!({"iat": 1, "exp": 1_799_999_940})).await.unwrap_err();
    assert!(late.contains("the ID token of `ci` expired at 2027-01-15T07:59:00Z"), "{late}");
    assert!(
        late.contains("`export MLFLOW_TRACKING_TOKEN=$(trackgate token print https://mlflow.example.com)`"),
        "{late}"
    );
}

#[tokio::test]
async fn groups_of_a_bound_account_are_the_stores_and_the_tokens_only_where_that_is_said() {
    let provider = Provider::start(vec![rsa()]);
    for (said, groups) in [(false, vec![]), (true, vec!["ml".to_owned()])] {
        let change = |settings: &mut Settings| {
            settings.issuers[0].groups_claim = Some("groups".to_owned());
            settings.bindings = vec![Binding { token_groups: said, ..binding("main", &main_branch(), "svc:ci") }];
        };
        let house = house_with(&Clock::System, change, &[("ci", &provider)]).await;
        let token = provider.bearer(AUDIENCE, &with(&json!({"groups": ["ml"]})));
        let known = house.ask(&bearer(&token)).await.unwrap().unwrap();
        assert_eq!(known.identity.groups.iter().map(GroupName::to_string).collect::<Vec<_>>(), groups);
        if said {
            let odd = provider.bearer(AUDIENCE, &with(&json!({"groups": "ml"})));
            assert_eq!(house.who(&bearer(&odd)).await, Err("token-ill-formed-claim"), "a lost group may be a DENY");
        }
    }
}

#[tokio::test]
async fn a_binding_at_github_that_names_no_owner_counts_for_nothing() {
    // Its address cannot be asked here: what counts is whether the binding would be asked at all.
    let loose = binding("loose", &json!({"ref": "refs/heads/main"}), "svc:ci");
    let keys = jwks::Keeper::new(
        "ci",
        jwks::Source::Fixed(Url::parse("https://127.0.0.1:9/keys").unwrap()),
        Fetcher::new(&fetch::Settings::default()).unwrap(),
        Duration::from_mins(1),
        Clock::System,
    );
    let mut settings = issuer::Settings::new("ci", crate::access::binding::GITHUB);
    settings.bearer_audiences = vec![AUDIENCE.to_owned()];
    let issuer = Issuer::new(settings, keys);
    let now = Clock::System.seconds();
    let claims = with(&json!({"iss": crate::access::binding::GITHUB, "aud": AUDIENCE, "iat": now, "exp": now + 60}));
    let token = Forge::rsa("a").sign(&claims);
    let claims = issuer.timely(Compact::parse(&token).unwrap(), SystemTime::now()).ok().unwrap();
    assert!(matches!(bound::ask(&loose, &issuer, &claims), Err(bound::NoMatch::Pin(_))));
    assert!(bound::ask(&binding("main", &main_branch(), "svc:ci"), &issuer, &claims).is_ok());
}

#[tokio::test]
async fn keys_that_are_guarded_are_asked_for_with_the_token_of_the_file() {
    let provider = Provider::start(vec![rsa()]);
    let change = |settings: &mut Settings| {
        let issuer = &mut settings.issuers[0];
        issuer.user_claim = issuer::UserClaim::Nobody;
        issuer.login = None;
        issuer.keys_url = Some(Url::parse(&format!("{}/keys", provider.url)).unwrap());
        let file = std::env::temp_dir().join(format!("trackgate-keys-token-{}", std::process::id()));
        std::fs::write(&file, "pod-token\n").unwrap();
        issuer.keys_token_file = Some(file);
        settings.bindings = vec![binding("main", &main_branch(), "svc:ci")];
    };
    provider.guard_keys("pod-token");
    let house = house_with(&Clock::System, change, &[("ci", &provider)]).await;
    house.store.add_account(&UserName::parse("svc:ci").unwrap(), By::Trackgate).await.unwrap();
    assert_eq!(house.who(&bearer(&provider.bearer(AUDIENCE, &job()))).await, is("svc:ci"));
    assert_eq!((provider.asked(Endpoint::Discovery), provider.asked(Endpoint::Keys)), (0, 1));
}

#[tokio::test]
async fn what_a_binding_names_says_nothing_of_a_persons_groups() {
    let provider = Provider::start(vec![rsa()]);
    let change = |settings: &mut Settings| {
        settings.issuers[0].groups_claim = Some("groups".to_owned());
        settings.bindings = vec![binding("main", &main_branch(), "alice@example.com")];
    };
    let house = house_with(&Clock::System, change, &[("ci", &provider)]).await;
    let alice = async |nonce: &str| {
        let token = provider.bearer(AUDIENCE, &json!({"groups": ["ml"], "nonce": nonce}));
        house.ask(&bearer(&token)).await.unwrap().unwrap().identity
    };
    let known = alice("a").await;
    house.store.recognise(&known).await.unwrap();
    alice("b").await;
    let vouched = || house.store.user(&UserName::parse("alice@example.com").unwrap()).unwrap().vouched.clone();
    let own = [GroupName::parse("ml").unwrap()];
    assert_eq!(vouched(), own);
    let known = house.ask(&bearer(&provider.bearer(AUDIENCE, &job()))).await.unwrap().unwrap();
    assert_eq!((known.identity.user.as_str(), known.identity.proof), ("alice@example.com", Proof::Bound));
    assert_eq!(vouched(), own, "the store refuses the request, and nothing of it is kept");
}

#[tokio::test]
async fn a_cluster_that_gives_its_keys_as_a_key_set_alone_is_asked_for_one() {
    // The issuer answers 406 to whoever wants `application/json` alone, as Kubernetes' API server does.
    let provider = Provider::start(vec![rsa()]);
    let fetcher = Fetcher::new(&crate::fetch::Settings::default()).unwrap();
    let keys = Url::parse(&format!("{}/keys", provider.url)).unwrap();
    assert_eq!(fetcher.get(&keys).await.unwrap_err(), crate::fetch::FetchFault::Status(406));
    assert!(fetcher.get_keys(&keys).await.is_ok() && fetcher.get_keys_as(&keys, "pod-token").await.is_ok());
    let house = ci(&provider).await;
    assert_eq!(house.who(&bearer(&provider.bearer(AUDIENCE, &job()))).await, is("svc:ci"));
}

#[tokio::test]
async fn behind_iap_a_bound_token_beside_its_word_is_the_account_and_no_other_token_counts() {
    let provider = Provider::start(vec![Arc::new(Forge::ec("iap-1"))]);
    let change = |settings: &mut Settings| {
        settings.iap = Some(iap::Settings {
            audiences: vec!["/projects/1/global/backendServices/2".to_owned()],
            listener: Door::Plain,
            keys_url: Url::parse(&format!("{}/keys", provider.url)).unwrap(),
            hosted_domains: Vec::new(),
            fetch: crate::fetch::Settings::default(),
        });
        settings.bindings = vec![binding("main", &main_branch(), "svc:ci")];
    };
    let house = house_with(&Clock::System, change, &[("ci", &provider)]).await;
    house.store.add_account(&UserName::parse("svc:ci").unwrap(), By::Trackgate).await.unwrap();
    let now = Clock::System.seconds();
    let iap = |email: &Value| {
        let claims = json!({"iss": iap::ISSUER, "aud": "/projects/1/global/backendServices/2", "email": email, "iat": now, "exp": now + 600});
        provider.bearer("x", &claims)
    };
    let program = iap(&json!("runner@proj.iam.gserviceaccount.com"));
    let through = async |assertion: Option<&str>, token: &str| {
        let token = format!("Bearer {token}");
        let mut fields = vec![(AUTHORIZATION, token.as_str())];
        fields.extend(assertion.map(|text| (credential::IAP_ASSERTION, text)));
        match house.authenticator.authenticate(&peer(Door::Plain), &shown(&fields)).await {
            Ok(known) => {
                let known = known.unwrap();
                assert!(!known.is_ambient());
                Ok((known.identity.user.to_string(), known.identity.proof))
            }
            Err(fault) => Err(fault.code()),
        }
    };
    let ours = provider.bearer(AUDIENCE, &job());
    assert_eq!(through(Some(&program), &ours).await, Ok(("svc:ci".to_owned(), Proof::Bound)));
    assert_eq!(through(None, &ours).await, Err("assertion-missing"), "IAP is not left out for it");
    assert_eq!(through(Some("a.b.c"), &ours).await, Err("token-not-compact"));
    // Nobody but a binding makes somebody of a second token.
    let person = provider.bearer(AUDIENCE, &json!({}));
    assert_eq!(through(Some(&program), &person).await, Err("two-credentials"));
    let stranger = provider.bearer(AUDIENCE, &json!({"iss": "https://elsewhere.example.com"}));
    assert_eq!(through(Some(&program), &stranger).await, Err("two-credentials"));
    let expired = provider.bearer(AUDIENCE, &with(&json!({"exp": now - 600, "iat": now - 1200})));
    assert_eq!(through(Some(&program), &expired).await, Err("token-expired"));
}
