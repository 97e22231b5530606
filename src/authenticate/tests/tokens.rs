//! Tokens of our own: which are taken, which are not, and what is done about guessing.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::*;
use crate::access::ceiling::Ceiling;
use crate::authenticate::own::{self, MakeFault, Wish};
use crate::mlflow::ids::UserName;
use crate::mlflow::permission::Permission;
use crate::store::{By, TokenKind};

fn wish(name: &str) -> Wish {
    Wish {
        owner: UserName::parse("alice@example.com").unwrap(),
        kind: TokenKind::Personal,
        name: name.to_owned(),
        ceiling: Ceiling::default(),
        expires: None,
    }
}

impl House {
    async fn make(&self, clock: &Clock, wish: Wish) -> Result<own::Made, MakeFault> {
        self.store.add_user(&wish.owner, By::Trackgate).await.unwrap();
        let settings = self.authenticator.token_settings();
        own::make(&self.store, settings, wish, clock.millis(), By::Trackgate).await
    }
}

fn basic(user: &str, password: &str) -> Credentials {
    shown(&[(AUTHORIZATION, &format!("Basic {}", STANDARD.encode(format!("{user}:{password}"))))])
}

#[expect(clippy::unnecessary_wraps, reason = "it is compared with a verdict")]
fn alice() -> Result<String, &'static str> {
    Ok("alice@example.com".to_owned())
}

#[tokio::test]
async fn a_token_is_taken_as_bearer_and_as_the_password_of_any_user() {
    let house = house(&[]).await;
    let made = house.make(&Clock::System, wish("laptop")).await.unwrap();
    assert_eq!(house.who(&bearer(&made.text)).await, alice());
    assert_eq!(house.who(&basic("alice@example.com", &made.text)).await, alice());
    assert_eq!(house.who(&basic("", &made.text)).await, alice());
    let known = house.ask(&bearer(&made.text)).await.unwrap().unwrap();
    assert_eq!((known.identity.proof, known.is_ambient()), (Proof::Token, false));
    assert_eq!(&*known.identity.token.as_ref().unwrap().id, made.id.as_str());
    assert!(made.text.starts_with("tgp_") && made.text.contains(made.id.as_str()));
    let days = (made.expires - Clock::System.millis()) / 86_400_000;
    assert!((89..=90).contains(&days), "ninety days unless said otherwise: {days}");
}

#[tokio::test]
async fn neither_a_mistyped_nor_a_made_up_nor_an_ended_token_is_taken() {
    let clock = Clock::set_to(SystemTime::now());
    let house = house_with(&clock, |_| {}, &[]).await;
    let made = house.make(&clock, wish("laptop")).await.unwrap();
    let mut mistyped = made.text.to_string();
    let last = if mistyped.ends_with('0') { "1" } else { "0" };
    mistyped.replace_range(50.., last);
    assert_eq!(house.who(&bearer(&mistyped)).await, Err("own-token-malformed"));
    assert_eq!(house.who(&bearer(&made.text[..40])).await, Err("own-token-malformed"));
    assert_eq!(house.who(&bearer(&made.text.to_uppercase())).await, Err("token-not-compact"));
    let other = crate::token_form::make("tgp_").unwrap();
    assert_eq!(house.who(&bearer(&other)).await, Err("own-token-unknown"));
    assert_eq!(house.who(&basic("alice@example.com", "secret")).await, Err("basic-without-token"));
    assert_eq!(house.who(&bearer(&made.text)).await, alice());
    house.store.revoke_token(&made.id, By::Trackgate).await.unwrap();
    assert_eq!(house.who(&bearer(&made.text)).await, Err("own-token-revoked"));
    let short = Wish { expires: Some(clock.millis() + 1000), ..wish("short") };
    let short = house.make(&clock, short).await.unwrap();
    assert_eq!(house.who(&bearer(&short.text)).await, alice());
    clock.advance(Duration::from_secs(1));
    assert_eq!(house.who(&bearer(&short.text)).await, Err("own-token-expired"));
}

#[tokio::test]
async fn guessing_the_secret_of_one_token_is_slowed_from_wherever_it_comes_and_its_owner_is_not() {
    let house = house_with(&Clock::System, |settings| settings.failed_credentials = 5, &[]).await;
    let made = house.make(&Clock::System, wish("laptop")).await.unwrap();
    // Guesses with the name of the token, a right check, and another secret.
    let guess = || {
        let other = crate::token_form::make("tgp_").unwrap();
        crate::token_form::with_check(&format!("tgp_{}{}", made.id, &other[12..45]))
    };
    for n in 0..5 {
        let address = IpAddr::from([198, 51, 100, n]);
        let peer = Peer { address, ..peer(Door::Https) };
        let refused = house.authenticator.authenticate(&peer, &bearer(&guess())).await.unwrap_err();
        assert_eq!(refused.code(), "own-token-unknown");
    }
    let peer = Peer { address: IpAddr::from([203, 0, 113, 9]), ..peer(Door::Https) };
    let refused = house.authenticator.authenticate(&peer, &bearer(&guess())).await.unwrap_err();
    assert_eq!(refused.code(), "too-many-wrong-credentials", "the sixth, from an address that showed nothing before");
    assert_eq!(house.who(&bearer(&made.text)).await, alice(), "the right one is never refused for what others guess");
}

#[tokio::test]
async fn without_the_setting_no_token_is_made_and_none_counts() {
    let open = house(&[]).await;
    let made = open.make(&Clock::System, wish("laptop")).await.unwrap();
    let shut = house_with(&Clock::System, |settings| settings.tokens.allow = false, &[]).await;
    assert_eq!(shut.who(&bearer(&made.text)).await, Err("own-tokens-off"));
    assert!(matches!(shut.make(&Clock::System, wish("laptop")).await, Err(MakeFault::SwitchedOff)));
}

#[tokio::test]
async fn a_token_has_a_name_an_end_within_the_limit_and_a_ceiling_that_leaves_something() {
    let clock = Clock::set_to(std::time::SystemTime::now());
    let house = house_with(&clock, |settings| settings.tokens.max_lifetime = Duration::from_hours(48), &[]).await;
    let now = clock.millis();
    assert_eq!(house.make(&clock, wish("x")).await.unwrap().expires, now + 48 * 3_600_000);
    for name in ["", "  ", "a\nb", &"x".repeat(101)] {
        assert!(matches!(house.make(&clock, wish(name)).await, Err(MakeFault::BadName)), "{name}");
    }
    let late = Wish { expires: Some(now + 49 * 3_600_000), ..wish("x") };
    assert!(matches!(house.make(&clock, late).await, Err(MakeFault::TooLong(2))));
    let none = Wish { ceiling: Ceiling { only: Some(Arc::from([])), ..Ceiling::default() }, ..wish("x") };
    assert!(matches!(house.make(&clock, none).await, Err(MakeFault::BadScopes)));
    let deny = Wish { ceiling: Ceiling { most: Some(Permission::Deny), ..Ceiling::default() }, ..wish("x") };
    assert!(matches!(house.make(&clock, deny).await, Err(MakeFault::BadCeiling)));
}

#[tokio::test]
async fn a_fresh_id_token_tells_in_which_groups_the_owner_of_tokens_is_now() {
    let provider = Provider::start(vec![rsa()]);
    let groups = |settings: &mut Settings| settings.issuers[0].groups_claim = Some("groups".to_owned());
    let house = house_with(&Clock::System, groups, &[("here", &provider)]).await;
    let known = house.ask(&bearer(&provider.bearer(AUDIENCE, &json!({"groups": ["ml"]})))).await.unwrap().unwrap();
    house.store.recognise(&known.identity).await.unwrap();
    let made = house.make(&Clock::System, wish("laptop")).await.unwrap();
    let within = async |house: &House| {
        let known = house.ask(&bearer(&made.text)).await.unwrap().unwrap();
        known.identity.groups.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    house.who(&bearer(&provider.bearer(AUDIENCE, &json!({"groups": ["ml"], "nonce": "a"})))).await.unwrap();
    assert_eq!(within(&house).await, ["ml"]);
    house.who(&bearer(&provider.bearer(AUDIENCE, &json!({"groups": ["left"], "nonce": "b"})))).await.unwrap();
    assert_eq!(within(&house).await, ["left"]);
}

#[tokio::test]
async fn the_moment_of_a_tokens_end_and_what_helps_are_told_to_whoever_holds_it() {
    let house = house(&[]).await;
    let made = house.make(&Clock::System, wish("laptop")).await.unwrap();
    house.store.revoke_token(&made.id, By::Trackgate).await.unwrap();
    let said = house.ask(&bearer(&made.text)).await.unwrap_err().says(help::Help::at(house.authenticator.public_url()));
    assert!(said.contains(made.id.as_str()) && said.contains("was revoked at 20"), "{said}");
    assert!(said.contains("/trackgate/tokens") && said.contains("MLFLOW_TRACKING_TOKEN"), "{said}");
}
