//! Browser sessions: fixation, ends, sign-out.

use std::time::SystemTime;

use serde_json::json;

use super::logins::{Jar, query_of};
use super::*;
use crate::store::By;

const COOKIE_NAME: &str = "__Host-trackgate";

#[tokio::test]
async fn each_login_makes_a_new_session_and_ends_the_old_one() {
    let provider = Provider::start(vec![rsa()]);
    let house = house(&[("here", &provider)]).await;
    let mut jar = Jar::default();
    house.sign_in(&mut jar, &provider, "here").await.unwrap();
    let first = jar.clone();
    house.sign_in(&mut jar, &provider, "here").await.unwrap();
    assert_ne!(first.0[COOKIE_NAME], jar.0[COOKIE_NAME]);
    assert_eq!(house.who(&first.show()).await, Err("session-ended"));
    assert_eq!(house.who(&jar.show()).await, Ok("alice@example.com".to_owned()));
    assert_eq!(house.store.sessions().len(), 1);
}

#[tokio::test]
async fn a_session_that_an_attacker_planted_is_not_taken_over() {
    let provider = Provider::start(vec![rsa()]);
    let house = house(&[("here", &provider)]).await;
    let planted = "A".repeat(43);
    let mut jar = Jar::default();
    jar.0.insert(COOKIE_NAME.to_owned(), planted.clone());
    house.sign_in(&mut jar, &provider, "here").await.unwrap();
    assert_ne!(jar.0[COOKIE_NAME], planted);
    assert_eq!(house.who(&cookies(&format!("{COOKIE_NAME}={planted}"))).await, Err("session-ended"));
}

#[tokio::test]
async fn cookies_that_are_no_session_are_refused_and_never_a_server_error() {
    let provider = Provider::start(vec![rsa()]);
    let house = house(&[("here", &provider)]).await;
    let mut jar = Jar::default();
    house.sign_in(&mut jar, &provider, "here").await.unwrap();
    let good = jar.0[COOKIE_NAME].clone();
    for (text, reason) in [
        (format!("{COOKIE_NAME}={good}; {COOKIE_NAME}={good}"), "repeated-credential"),
        (format!("{COOKIE_NAME}={good}; x=y; {COOKIE_NAME}="), "repeated-credential"),
        (format!("{COOKIE_NAME}="), "unknown-session"),
        (format!("{COOKIE_NAME}=\"{good}\""), "unknown-session"),
        (format!("{COOKIE_NAME}={good}="), "unknown-session"),
        (format!("{COOKIE_NAME}={}", "B".repeat(43)), "unknown-session"),
        (format!("{COOKIE_NAME}={}", "A".repeat(43)), "session-ended"),
        (format!("{COOKIE_NAME}={}", "%00".repeat(100)), "unknown-session"),
    ] {
        let fault = house.ask(&cookies(&text)).await.unwrap_err();
        assert_eq!(fault.code(), reason, "{text}");
        assert!(fault.status().is_client_error());
    }
    let mut headers = HeaderMap::new();
    headers.insert(COOKIE, HeaderValue::from_bytes(b"__Host-trackgate=\xff\xfe").unwrap());
    assert_eq!(house.who(&credential::take(&mut headers)).await, Ok("stranger".to_owned()));
}

#[tokio::test]
async fn a_session_ends_when_idle_and_in_any_case_after_a_day() {
    let provider = Provider::start(vec![rsa()]);
    let clock = Clock::set_to(SystemTime::now());
    let house = house_with(&clock, |_| {}, &[("here", &provider)]).await;
    let hour = Duration::from_hours(1);
    let mut idle = Jar::default();
    house.sign_in(&mut idle, &provider, "here").await.unwrap();
    clock.advance(7 * hour);
    assert!(house.who(&idle.show()).await.is_ok());
    clock.advance(7 * hour);
    assert!(house.who(&idle.show()).await.is_ok(), "its use was noted");
    clock.advance(8 * hour + Duration::from_secs(1));
    assert_eq!(house.who(&idle.show()).await, Err("session-ended"));
    provider.set_clock(clock.seconds());
    let mut busy = Jar::default();
    house.sign_in(&mut busy, &provider, "here").await.unwrap();
    for _ in 0..7 {
        clock.advance(3 * hour);
        assert!(house.who(&busy.show()).await.is_ok());
    }
    clock.advance(3 * hour + Duration::from_secs(1));
    assert_eq!(house.who(&busy.show()).await, Err("session-ended"));
}

#[tokio::test]
async fn signing_out_acts_at_once_here_and_leads_to_the_provider() {
    let provider = Provider::start(vec![rsa()]);
    let house = house(&[("here", &provider)]).await;
    let mut jar = Jar::default();
    house.sign_in(&mut jar, &provider, "here").await.unwrap();
    let kept = jar.clone();
    let out = house.authenticator.sign_out(&jar.show()).await.unwrap();
    assert_eq!(out.identity.map(|identity| identity.user.to_string()).as_deref(), Some("alice@example.com"));
    let address = out.provider.unwrap();
    assert!(address.as_str().starts_with(&format!("{}/end-session?", provider.url)));
    let query = query_of(address.as_str());
    assert!(query.contains("post_logout_redirect_uri=https%3A%2F%2Fmlflow.example.com%2Ftrackgate%2Flogged-out"));
    assert!(query.contains(&format!("client_id={CLIENT}")));
    assert!(query.contains("id_token_hint="));
    jar.keep(&out.cookies);
    assert!(jar.0.is_empty());
    assert_eq!(house.who(&kept.show()).await, Err("session-ended"));
    let again = house.authenticator.sign_out(&kept.show()).await.unwrap();
    assert!(again.identity.is_none() && again.provider.is_none());
}

#[tokio::test]
async fn a_provider_without_an_end_session_address_or_by_setting_is_not_visited() {
    let provider = Provider::start(vec![rsa()]);
    provider.change_discovery(&json!({"end_session_endpoint": null}));
    let first = house(&[("here", &provider)]).await;
    let mut jar = Jar::default();
    first.sign_in(&mut jar, &provider, "here").await.unwrap();
    assert!(first.authenticator.sign_out(&jar.show()).await.unwrap().provider.is_none());
    let provider = Provider::start(vec![rsa()]);
    let quiet = |settings: &mut Settings| settings.issuers[0].login.as_mut().unwrap().logout_at_provider = false;
    let house = house_with(&Clock::System, quiet, &[("here", &provider)]).await;
    let mut jar = Jar::default();
    house.sign_in(&mut jar, &provider, "here").await.unwrap();
    assert!(house.authenticator.sign_out(&jar.show()).await.unwrap().provider.is_none());
}

#[tokio::test]
async fn an_administrator_ends_all_sessions_of_a_person_at_once() {
    let provider = Provider::start(vec![rsa()]);
    let house = house(&[("here", &provider)]).await;
    let (mut laptop, mut phone) = (Jar::default(), Jar::default());
    house.sign_in(&mut laptop, &provider, "here").await.unwrap();
    house.sign_in(&mut phone, &provider, "here").await.unwrap();
    let user = house.ask(&phone.show()).await.unwrap().unwrap().identity.user.clone();
    house.store.end_sessions_of(&user, By::Trackgate).await.unwrap();
    for jar in [laptop, phone] {
        assert_eq!(house.who(&jar.show()).await, Err("session-ended"));
    }
}

#[tokio::test]
async fn a_disabled_person_and_a_reused_name_cannot_sign_in() {
    let provider = Provider::start(vec![rsa()]);
    let house = house(&[("here", &provider)]).await;
    let mut jar = Jar::default();
    house.sign_in(&mut jar, &provider, "here").await.unwrap();
    let user = house.ask(&jar.show()).await.unwrap().unwrap().identity.user.clone();
    // The issuer gives alice's address to somebody else.
    provider.change_claims(&json!({"sub": "another-person"}));
    let fault = house.sign_in(&mut Jar::default(), &provider, "here").await.unwrap_err();
    assert_eq!(fault.code(), "subject-changed");
    provider.change_claims(&json!({"sub": "248289761001"}));
    house.store.set_disabled(&user, true, By::Trackgate).await.unwrap();
    let fault = house.sign_in(&mut Jar::default(), &provider, "here").await.unwrap_err();
    assert_eq!(fault.code(), "user-disabled");
}

#[tokio::test]
async fn a_store_that_is_closed_is_503_and_opens_nothing() {
    let provider = Provider::start(vec![rsa()]);
    let house = house(&[("here", &provider)]).await;
    house.store.close().await;
    let mut jar = Jar::default();
    let fault = house.sign_in(&mut jar, &provider, "here").await.unwrap_err();
    assert_eq!(fault.status(), http::StatusCode::SERVICE_UNAVAILABLE, "{fault}");
    assert!(!jar.0.contains_key(COOKIE_NAME));
}
