//! Logins: codes, renewing, and how they end.

use std::net::IpAddr;

use super::*;

const HOUR: u64 = 3_600_000;
const DAY: u64 = 24 * HOUR;
const REDIRECT: &str = "http://127.0.0.1:4711/callback";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

fn here() -> IpAddr {
    "192.0.2.1".parse().unwrap()
}

fn digest(text: &str) -> TokenDigest {
    TokenDigest::of(text.as_bytes())
}

/// Secrets `access-ID-NAME` and `refresh-ID-NAME` of the login `id`.
fn fresh(id: &str, name: &str) -> Fresh {
    Fresh {
        id: TokenId::parse(id).unwrap(),
        access: digest(&format!("access-{id}-{name}")),
        refresh: digest(&format!("refresh-{id}-{name}")),
        lasts: HOUR,
        idle: 30 * DAY,
        whole: 90 * DAY,
    }
}

/// A store with a clock that stands still, and alice.
async fn open(place: &Place, clock: &Clock) -> (Store, Arc<Identity>) {
    let store = Store::open(&place.settings(), clock.clone()).await.unwrap();
    let alice = identity("alice@example.com", "1");
    store.recognise(&alice).await.unwrap();
    (store, alice)
}

fn clock() -> Clock {
    Clock::set_to(SystemTime::now())
}

async fn offer(store: &Store, clock: &Clock, code: &str) {
    let new = NewCode {
        digest: digest(code),
        owner: user("alice@example.com"),
        redirect: Arc::from(REDIRECT),
        challenge: Arc::from(CHALLENGE),
        device: Arc::from("laptop"),
        expires: clock.millis() + 60_000,
    };
    store.offer_code(new).await.unwrap();
}

async fn login(store: &Store, clock: &Clock, id: &str) -> Issued {
    offer(store, clock, &format!("code-{id}")).await;
    match store.redeem_code(digest(&format!("code-{id}")), REDIRECT, CHALLENGE, fresh(id, "1")).await.unwrap() {
        Redeemed::Given(issued) => issued,
        other => panic!("{other:?}"),
    }
}

async fn renew(store: &Store, id: &str, with: &str, next: &str) -> Redeemed {
    store.renew_login(digest(&format!("refresh-{id}-{with}")), fresh(id, next)).await.unwrap()
}

fn show(store: &Store, id: &str, name: &str) -> TokenShown {
    store.token(id, &digest(&format!("access-{id}-{name}")), here()).unwrap()
}

fn good(store: &Store, id: &str, name: &str) -> bool {
    matches!(show(store, id, name), TokenShown::Good { .. })
}

fn ended(store: &Store, id: &str) -> bool {
    store.token_by_id(&TokenId::parse(id).unwrap()).unwrap().revoked.is_some()
}

async fn a_code_gives_a_login_that_lets_in_for_an_hour_and_is_there_after_opening_anew(place: Place) {
    let clock = clock();
    let (store, alice) = open(&place, &clock).await;
    let issued = login(&store, &clock, "loginone").await;
    assert_eq!(issued.owner, alice.user);
    assert_eq!((issued.access, issued.refresh), (clock.millis() + HOUR, clock.millis() + 30 * DAY));
    store.close().await;
    let (store, _) = open(&place, &clock).await;
    let TokenShown::Good { identity, .. } = show(&store, "loginone", "1") else { panic!("it lets in") };
    assert_eq!((identity.user.as_str(), identity.proof), ("alice@example.com", Proof::Token));
    assert_eq!(identity.until, SystemTime::UNIX_EPOCH + Duration::from_millis(issued.access));
    assert!(store.principal(identity, &home()).is_ok());
    let token = store.token_by_id(&issued.id).unwrap();
    assert_eq!((&*token.name, token.kind.as_str(), token.expires), ("laptop", "login", issued.refresh));
    // What renews does not let in.
    let refresh = store.token("loginone", &digest("refresh-loginone-1"), here()).unwrap();
    assert!(matches!(refresh, TokenShown::Unknown));
    clock.advance(Duration::from_millis(HOUR));
    assert!(matches!(show(&store, "loginone", "1"), TokenShown::Expired(at) if at == issued.access));
    assert!(matches!(renew(&store, "loginone", "1", "2").await, Redeemed::Given(_)));
    assert!(good(&store, "loginone", "2"));
}

async fn a_code_that_comes_twice_ends_what_it_gave(place: Place) {
    let clock = clock();
    let (store, _) = open(&place, &clock).await;
    login(&store, &clock, "loginone").await;
    assert!(good(&store, "loginone", "1"));
    // Even when the code itself has ended.
    clock.advance(Duration::from_mins(10));
    let again = store.redeem_code(digest("code-loginone"), REDIRECT, CHALLENGE, fresh("loginTWO", "2")).await.unwrap();
    assert_eq!(again, Redeemed::Replayed(TokenId::parse("loginone")));
    assert!(matches!(show(&store, "loginone", "1"), TokenShown::Revoked(_)));
    assert!(matches!(renew(&store, "loginone", "1", "3").await, Redeemed::Ended(..)));
    assert!(matches!(show(&store, "loginTWO", "2"), TokenShown::Unknown));
}

async fn a_code_is_for_its_own_address_and_program_and_used_up_by_any_other(place: Place) {
    let clock = clock();
    let (store, _) = open(&place, &clock).await;
    for (redirect, challenge) in [("http://127.0.0.1:4712/callback", CHALLENGE), (REDIRECT, "another")] {
        let code = format!("{redirect}{challenge}");
        offer(&store, &clock, &code).await;
        let redeem =
            |redirect, challenge| store.redeem_code(digest(&code), redirect, challenge, fresh("loginone", "1"));
        assert_eq!(redeem(redirect, challenge).await.unwrap(), Redeemed::Elsewhere);
        assert_eq!(redeem(REDIRECT, CHALLENGE).await.unwrap(), Redeemed::Replayed(None));
    }
    assert!(store.tokens(None).is_empty());
    assert_eq!(
        store.redeem_code(digest("unknown"), REDIRECT, CHALLENGE, fresh("loginone", "1")).await.unwrap(),
        Redeemed::Unknown
    );
    offer(&store, &clock, "late").await;
    clock.advance(Duration::from_mins(1));
    let late = store.redeem_code(digest("late"), REDIRECT, CHALLENGE, fresh("loginone", "1")).await.unwrap();
    assert_eq!(late, Redeemed::Expired);
}

async fn a_refresh_token_that_raced_is_answered_and_one_that_comes_late_ends_the_login(place: Place) {
    let clock = clock();
    let (store, _) = open(&place, &clock).await;
    login(&store, &clock, "loginone").await;
    assert!(matches!(renew(&store, "loginone", "1", "2").await, Redeemed::Given(_)));
    clock.advance(Duration::from_millis(GRACE));
    assert!(matches!(renew(&store, "loginone", "1", "3").await, Redeemed::Given(_)), "it raced");
    // Each of the two answers works, and so does what was given before.
    for name in ["1", "2", "3"] {
        assert!(good(&store, "loginone", name), "{name}");
    }
    assert!(matches!(renew(&store, "loginone", "3", "4").await, Redeemed::Given(_)));
    assert!(matches!(renew(&store, "loginone", "2", "5").await, Redeemed::Given(_)), "its sibling, just now");
    // From then on there is one chain: whoever comes late with the sibling has lost.
    assert!(matches!(renew(&store, "loginone", "5", "6").await, Redeemed::Given(_)));
    clock.advance(Duration::from_millis(GRACE + 1));
    assert_eq!(renew(&store, "loginone", "4", "7").await, Redeemed::Replayed(TokenId::parse("loginone")));
    for name in ["1", "2", "3", "4", "5", "6"] {
        assert!(matches!(show(&store, "loginone", name), TokenShown::Revoked(_)), "{name}");
    }
    assert!(matches!(renew(&store, "loginone", "6", "8").await, Redeemed::Ended(..)));
    let changes =
        place.read("SELECT verb, object, detail FROM changes WHERE object = 'token loginone' ORDER BY id").await;
    let said = |verb: &str, detail: &str| changes.iter().any(|row| row.0 == verb && row.2.contains(detail));
    assert!(said("login", "alice@example.com") && said("revoke", "a refresh token was used twice"), "{changes:?}");
}

async fn of_parallel_processes_with_one_refresh_token_each_gets_an_answer_that_works(place: Place) {
    let clock = clock();
    let (store, _) = open(&place, &clock).await;
    login(&store, &clock, "loginone").await;
    let names: Vec<String> = (2..18).map(|n| n.to_string()).collect();
    let raced = futures_util::future::join_all(names.iter().map(|name| renew(&store, "loginone", "1", name))).await;
    assert!(raced.iter().all(|one| matches!(one, Redeemed::Given(_))), "{raced:?}");
    for name in &names {
        assert!(good(&store, "loginone", name));
    }
    // Whichever was written into the file last renews, for as long as it likes.
    let mut last = names[7].clone();
    for n in 0..5 {
        clock.advance(Duration::from_millis(HOUR));
        let next = format!("later-{n}");
        assert!(matches!(renew(&store, "loginone", &last, &next).await, Redeemed::Given(_)), "{n}");
        last = next;
    }
}

async fn a_login_ends_when_it_is_not_renewed_and_at_last_however_often_it_is(place: Place) {
    let clock = clock();
    let (store, _) = open(&place, &clock).await;
    let begun = clock.millis();
    login(&store, &clock, "idleidle").await;
    login(&store, &clock, "loginone").await;
    let mut with = "1".to_owned();
    for n in 0..3 {
        clock.advance(Duration::from_millis(29 * DAY));
        let next = format!("n{n}");
        let Redeemed::Given(issued) = renew(&store, "loginone", &with, &next).await else { panic!("{n}") };
        assert_eq!(issued.refresh, (clock.millis() + 30 * DAY).min(begun + 90 * DAY), "{n}");
        with = next;
    }
    assert_eq!(renew(&store, "idleidle", "1", "x").await, Redeemed::Expired, "nobody renewed it");
    clock.advance(Duration::from_millis(3 * DAY));
    assert_eq!(renew(&store, "loginone", &with, "end").await, Redeemed::Expired);
}

async fn a_refresh_token_of_one_login_renews_no_other(place: Place) {
    let clock = clock();
    let (store, _) = open(&place, &clock).await;
    login(&store, &clock, "loginone").await;
    offer(&store, &clock, "second").await;
    store.redeem_code(digest("second"), REDIRECT, CHALLENGE, fresh("loginTWO", "2")).await.unwrap();
    assert_eq!(renew(&store, "loginTWO", "1", "3").await, Redeemed::Unknown);
    assert_eq!(
        store.end_login(&TokenId::parse("loginTWO").unwrap(), digest("refresh-1")).await.unwrap(),
        Redeemed::Unknown
    );
    assert!(!ended(&store, "loginone") && !ended(&store, "loginTWO"));
}

fn device(clock: &Clock, code: &str, user_code: &str) -> NewDevice {
    NewDevice {
        digest: digest(code),
        user_code: Arc::from(user_code),
        device: Arc::from("cluster"),
        address: here(),
        expires: clock.millis() + 600_000,
    }
}

async fn poll(store: &Store, code: &str, id: &str) -> Redeemed {
    store.poll_device(digest(code), fresh(id, id)).await.unwrap()
}

async fn a_device_gets_its_login_when_somebody_says_yes_and_once(place: Place) {
    let clock = clock();
    let (store, alice) = open(&place, &clock).await;
    store.await_device(device(&clock, "code", "BCDFGHJK")).await.unwrap();
    let taken = store.await_device(device(&clock, "other", "BCDFGHJK")).await.unwrap_err();
    assert!(matches!(taken, StoreFault::Exists { .. }));
    assert_eq!(poll(&store, "code", "loginone").await, Redeemed::Pending);
    let waiting = store.waiting("BCDFGHJK").await.unwrap().unwrap();
    assert_eq!((waiting.device.as_str(), waiting.address, waiting.created), ("cluster", Some(here()), clock.millis()));
    assert!(store.decide_device("BCDFGHJK", &alice.user, true).await.unwrap().anything());
    assert!(!store.decide_device("BCDFGHJK", &alice.user, false).await.unwrap().anything(), "it is decided");
    assert_eq!(store.waiting("BCDFGHJK").await.unwrap(), None);
    assert!(matches!(poll(&store, "code", "loginone").await, Redeemed::Given(_)));
    assert!(good(&store, "loginone", "loginone"));
    // A second one to poll with it has it from somewhere else.
    assert_eq!(poll(&store, "code", "loginTWO").await, Redeemed::Replayed(TokenId::parse("loginone")));
    assert!(ended(&store, "loginone"));
    assert_eq!(poll(&store, "unknown", "loginTWO").await, Redeemed::Unknown);
}

async fn a_device_that_was_refused_or_forgotten_gets_nothing(place: Place) {
    let clock = clock();
    let (store, alice) = open(&place, &clock).await;
    store.await_device(device(&clock, "code", "BCDFGHJK")).await.unwrap();
    store.await_device(device(&clock, "late", "BCDFGHJL")).await.unwrap();
    store.await_device(device(&clock, "slow", "BCDFGHJM")).await.unwrap();
    store.decide_device("BCDFGHJK", &alice.user, false).await.unwrap();
    store.decide_device("BCDFGHJM", &alice.user, true).await.unwrap();
    assert_eq!(poll(&store, "code", "loginone").await, Redeemed::Refused);
    clock.advance(Duration::from_mins(10));
    assert_eq!(store.waiting("BCDFGHJL").await.unwrap(), None);
    assert!(!store.decide_device("BCDFGHJL", &alice.user, true).await.unwrap().anything());
    for code in ["code", "late", "slow"] {
        assert_eq!(poll(&store, code, "loginone").await, Redeemed::Expired, "{code}");
    }
    assert!(store.tokens(None).is_empty());
}

async fn one_address_cannot_fill_the_room_where_devices_wait(place: Place) {
    let clock = clock();
    let (store, _) = open(&place, &clock).await;
    for n in 0..50 {
        store.await_device(device(&clock, &format!("c{n}"), &format!("CODE{n:04}"))).await.unwrap();
    }
    let more = store.await_device(device(&clock, "more", "BCDFGHJK")).await.unwrap_err();
    assert!(matches!(more, StoreFault::TooManyOpen), "{more}");
    let elsewhere = NewDevice { address: "192.0.2.2".parse().unwrap(), ..device(&clock, "more", "BCDFGHJK") };
    store.await_device(elsewhere).await.unwrap();
}

async fn a_persons_end_and_signing_out_everywhere_end_their_logins_and_the_codes_for_more(place: Place) {
    for how in ["sessions", "all", "disabled", "relink", "tokens", "removed"] {
        let clock = clock();
        let (store, alice) = open(&place, &clock).await;
        let (one, two) = (format!("one{how:0<5.5}"), format!("two{how:0<5.5}"));
        login(&store, &clock, &one).await;
        let pending = format!("pending-{how}");
        store.await_device(device(&clock, &pending, how)).await.unwrap();
        store.decide_device(how, &alice.user, true).await.unwrap();
        match how {
            "sessions" => drop(store.end_sessions_of(&alice.user, by()).await.unwrap()),
            "all" => drop(store.end_all_sessions(by()).await.unwrap()),
            "disabled" => drop(store.set_disabled(&alice.user, true, by()).await.unwrap()),
            "relink" => drop(store.relink(&alice.user, by()).await.unwrap()),
            "tokens" => drop(store.revoke_tokens_of(&alice.user, by()).await.unwrap()),
            _ => drop(store.remove_user(&alice.user, by()).await.unwrap()),
        }
        assert!(!good(&store, &one, "1"), "{how}");
        let renewed = renew(&store, &one, "1", "2").await;
        assert!(matches!(renewed, Redeemed::Ended(..) | Redeemed::Unknown), "{how}: {renewed:?}");
        let polled = poll(&store, &pending, &two).await;
        assert!(matches!(polled, Redeemed::Unknown | Redeemed::Disabled), "{how}: {polled:?}");
        if how == "disabled" {
            store.set_disabled(&alice.user, false, by()).await.unwrap();
            assert!(!good(&store, &one, "1"), "it does not come back");
        }
        store.close().await;
    }
}

async fn of_too_many_logins_the_one_that_was_used_least_lately_makes_room(place: Place) {
    let clock = clock();
    let (store, _) = open(&place, &clock).await;
    for n in 0..MOST_LOGINS {
        clock.advance(Duration::from_millis(10));
        login(&store, &clock, &format!("login{n:03}")).await;
    }
    clock.advance(Duration::from_secs(2));
    login(&store, &clock, "onemore0").await;
    assert!(ended(&store, "login000") && !ended(&store, "login001") && good(&store, "onemore0", "1"));
}

async fn a_code_made_at_one_gate_is_approved_at_another_and_used_at_a_third(place: Place) {
    let (one, two, three) = (place.open().await, place.open().await, place.open().await);
    let clock = Clock::System;
    let alice = identity("alice@example.com", "1");
    one.recognise(&alice).await.unwrap();
    one.await_device(device(&clock, "code", "BCDFGHJK")).await.unwrap();
    assert!(two.waiting("BCDFGHJK").await.unwrap().is_some());
    two.decide_device("BCDFGHJK", &alice.user, true).await.unwrap();
    assert!(matches!(poll(&three, "code", "loginone").await, Redeemed::Given(_)));
    until("the first gate lets it in", || good(&one, "loginone", "loginone")).await;
    let TokenShown::Good { identity, .. } = show(&one, "loginone", "loginone") else { panic!("it lets in") };
    assert!(one.principal(identity, &home()).is_ok());
    two.revoke_token(&TokenId::parse("loginone").unwrap(), by()).await.unwrap();
    until("all gates refuse it", || !good(&one, "loginone", "loginone") && !good(&three, "loginone", "loginone")).await;
}

async fn logging_out_ends_a_login_by_either_of_its_tokens_and_by_no_other(place: Place) {
    let clock = clock();
    let (store, _) = open(&place, &clock).await;
    for (id, secret) in [("loginone", "access-loginone-a"), ("loginTWO", "refresh-loginTWO-b")] {
        let name = &secret[secret.len() - 1..];
        offer(&store, &clock, name).await;
        store.redeem_code(digest(name), REDIRECT, CHALLENGE, fresh(id, name)).await.unwrap();
        let known = TokenId::parse(id).unwrap();
        assert_eq!(store.end_login(&known, digest("access-other")).await.unwrap(), Redeemed::Unknown);
        assert!(good(&store, id, name));
        assert!(matches!(store.end_login(&known, digest(secret)).await.unwrap(), Redeemed::Ended(..)));
        assert!(matches!(show(&store, id, name), TokenShown::Revoked(_)));
        assert!(matches!(store.end_login(&known, digest(secret)).await.unwrap(), Redeemed::Ended(..)), "again");
    }
}

async fn what_strangers_make_up_and_what_nobody_decided_never_stands_in_line_with_those_who_write(place: Place) {
    let clock = clock();
    let settings = Settings { lock_wait: Duration::from_millis(100), ..place.settings() };
    let store = Store::open(&settings, clock.clone()).await.unwrap();
    store.recognise(&identity("alice@example.com", "1")).await.unwrap();
    login(&store, &clock, "loginone").await;
    store.await_device(device(&clock, "asked", "BCDFGHJK")).await.unwrap();
    let id = TokenId::parse("loginone").unwrap();
    // Somebody else writes, and goes on: whatever would write fails.
    let other = Writer::at(&place).await;
    let unknown = Redeemed::Unknown;
    assert_eq!(
        store.redeem_code(digest("made up"), REDIRECT, CHALLENGE, fresh("logintwo", "1")).await.unwrap(),
        unknown
    );
    assert_eq!(poll(&store, "made up", "logintwo").await, unknown);
    assert_eq!(renew(&store, "logintwo", "1", "2").await, unknown, "a login that is none");
    assert_eq!(renew(&store, "loginone", "made up", "2").await, unknown, "one whose name somebody has read");
    assert_eq!(store.end_login(&id, digest("made up")).await.unwrap(), unknown);
    assert_eq!(poll(&store, "asked", "logintwo").await, Redeemed::Pending);
    let real = store.renew_login(digest("refresh-loginone-1"), fresh("loginone", "2")).await.unwrap_err();
    assert!(matches!(real, StoreFault::Locked), "{real}");
    other.end().await;
    assert!(matches!(renew(&store, "loginone", "1", "2").await, Redeemed::Given(_)));
}

super::on_both! {
    what_strangers_make_up_and_what_nobody_decided_never_stands_in_line_with_those_who_write,
    a_code_gives_a_login_that_lets_in_for_an_hour_and_is_there_after_opening_anew,
    a_code_that_comes_twice_ends_what_it_gave,
    a_code_is_for_its_own_address_and_program_and_used_up_by_any_other,
    a_refresh_token_that_raced_is_answered_and_one_that_comes_late_ends_the_login,
    of_parallel_processes_with_one_refresh_token_each_gets_an_answer_that_works,
    a_login_ends_when_it_is_not_renewed_and_at_last_however_often_it_is,
    a_refresh_token_of_one_login_renews_no_other,
    a_device_gets_its_login_when_somebody_says_yes_and_once,
    a_device_that_was_refused_or_forgotten_gets_nothing,
    one_address_cannot_fill_the_room_where_devices_wait,
    a_persons_end_and_signing_out_everywhere_end_their_logins_and_the_codes_for_more,
    of_too_many_logins_the_one_that_was_used_least_lately_makes_room,
    a_code_made_at_one_gate_is_approved_at_another_and_used_at_a_third,
    logging_out_ends_a_login_by_either_of_its_tokens_and_by_no_other,
}
