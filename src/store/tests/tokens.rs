//! Tokens of our own and service accounts.

use std::net::IpAddr;

use super::*;
use crate::access::ceiling::{Ceiling, Scope};
use crate::access::decide::Reason;

const SECRET: &[u8] = b"tgp_abcdefgh_secret";
const DAY: u64 = 86_400_000;

fn id(text: &str) -> TokenId {
    TokenId::parse(text).unwrap()
}

fn here() -> IpAddr {
    "192.0.2.1".parse().unwrap()
}

fn token(name: &str, owner: &UserName) -> NewToken {
    NewToken {
        id: id(name),
        digest: TokenDigest::of(SECRET),
        kind: TokenKind::Personal,
        owner: owner.clone(),
        name: Arc::from("laptop"),
        ceiling: Ceiling::default(),
        expires: Clock::System.millis() + DAY,
    }
}

fn show(store: &Store, name: &str) -> TokenShown {
    store.token(name, &TokenDigest::of(SECRET), here()).unwrap()
}

fn who(store: &Store, name: &str) -> Arc<Identity> {
    match show(store, name) {
        TokenShown::Good { identity, .. } => identity,
        other => panic!("{other:?}"),
    }
}

async fn alice(store: &Store) -> Arc<Identity> {
    let alice = identity("alice@example.com", "1");
    store.recognise(&alice).await.unwrap();
    alice
}

async fn a_token_stands_for_its_owner_until_it_is_revoked_and_after_opening_anew(place: Place) {
    let store = place.open().await;
    let alice = alice(&store).await;
    store.grant(&home(), grant("user:alice@example.com", Kind::Experiment, "7", Permission::Edit), by()).await.unwrap();
    store.create_token(token("abcdefgh", &alice.user), by()).await.unwrap();
    store.close().await;
    let store = place.open().await;
    let shown = who(&store, "abcdefgh");
    assert_eq!((shown.user.as_str(), shown.proof), ("alice@example.com", Proof::Token));
    let principal = store.principal(Arc::clone(&shown), &home()).unwrap();
    assert!(holds(&principal, Action::Edit, &experiment("7")).is_ok());
    assert!(store.revoke_token(&id("abcdefgh"), by()).await.unwrap().anything());
    assert!(matches!(show(&store, "abcdefgh"), TokenShown::Revoked(_)));
    assert!(!store.revoke_token(&id("abcdefgh"), by()).await.unwrap().anything(), "once is enough");
    assert!(store.revoke_token(&id("AAAAAAAA"), by()).await.is_err());
    store.close().await;
    assert!(matches!(show(&place.open().await, "abcdefgh"), TokenShown::Revoked(_)));
}

async fn neither_another_secret_nor_an_unknown_name_is_a_token(place: Place) {
    let store = place.open().await;
    let alice = alice(&store).await;
    store.create_token(token("abcdefgh", &alice.user), by()).await.unwrap();
    let other = store.token("abcdefgh", &TokenDigest::of(b"another"), here()).unwrap();
    assert!(matches!(other, TokenShown::Unknown));
    assert!(matches!(show(&store, "abcdefgH"), TokenShown::Unknown));
    assert_eq!(store.token_by_id(&id("abcdefgh")).unwrap().last_used(), 0, "what is refused is no use");
}

async fn a_name_that_is_taken_is_not_given_again_and_nothing_is_overwritten(place: Place) {
    let store = place.open().await;
    let alice = alice(&store).await;
    let bob = identity("bob@example.com", "2");
    store.recognise(&bob).await.unwrap();
    store.create_token(token("abcdefgh", &alice.user), by()).await.unwrap();
    let again = store.create_token(token("abcdefgh", &bob.user), by()).await.unwrap_err();
    assert!(matches!(again, StoreFault::Exists { what: "token", .. }), "{again}");
    assert_eq!(who(&store, "abcdefgh").user, alice.user);
}

async fn a_token_counts_until_its_end_and_not_a_millisecond_longer(place: Place) {
    let clock = Clock::set_to(SystemTime::now());
    let store = Store::open(&place.settings(), clock.clone()).await.unwrap();
    let alice = alice(&store).await;
    let expires = clock.millis() + 1000;
    store.create_token(NewToken { expires, ..token("abcdefgh", &alice.user) }, by()).await.unwrap();
    clock.advance(Duration::from_millis(999));
    assert!(matches!(show(&store, "abcdefgh"), TokenShown::Good { .. }));
    clock.advance(Duration::from_millis(1));
    assert!(matches!(show(&store, "abcdefgh"), TokenShown::Expired(at) if at == expires));
    let late = store.create_token(NewToken { expires, ..token("ABCDEFGH", &alice.user) }, by()).await.unwrap_err();
    assert!(matches!(late, StoreFault::EndPassed));
}

async fn a_persons_end_is_the_end_of_their_tokens_also_for_another_of_that_name(place: Place) {
    let store = place.open().await;
    let alice = alice(&store).await;
    store.create_token(token("abcdefgh", &alice.user), by()).await.unwrap();
    let shown = who(&store, "abcdefgh");
    store.set_disabled(&alice.user, true, by()).await.unwrap();
    assert_eq!(store.principal(who(&store, "abcdefgh"), &home()).unwrap_err(), PrincipalFault::Disabled);
    store.set_disabled(&alice.user, false, by()).await.unwrap();
    assert!(store.principal(who(&store, "abcdefgh"), &home()).is_ok());
    store.remove_user(&alice.user, by()).await.unwrap();
    assert!(matches!(show(&store, "abcdefgh"), TokenShown::Unknown));
    // A request that was recognised a moment before makes nobody known again.
    assert_eq!(store.principal(Arc::clone(&shown), &home()).unwrap_err(), PrincipalFault::OwnerGone);
    assert!(store.recognise(&shown).await.is_err());
    assert!(store.user(&alice.user).is_none());
    store.recognise(&alice).await.unwrap();
    assert_eq!(store.principal(shown, &home()).unwrap_err(), PrincipalFault::OwnerGone);
}

async fn tokens_do_not_outlive_the_relinking_of_their_owner(place: Place) {
    let store = place.open().await;
    let alice = alice(&store).await;
    store.create_token(token("abcdefgh", &alice.user), by()).await.unwrap();
    store.relink(&alice.user, by()).await.unwrap();
    assert!(matches!(show(&store, "abcdefgh"), TokenShown::Revoked(_)));
}

async fn whoever_comes_with_a_token_is_in_the_groups_that_the_issuer_last_named(place: Place) {
    let store = place.open().await;
    let alice = alice(&store).await;
    store.grant(&home(), grant("user:alice@example.com", Kind::Experiment, "7", Permission::Edit), by()).await.unwrap();
    store.grant(&home(), grant("group:left", Kind::Experiment, "7", Permission::Deny), by()).await.unwrap();
    store.create_token(token("abcdefgh", &alice.user), by()).await.unwrap();
    let reads = |store: &Store| {
        let principal = store.principal(who(store, "abcdefgh"), &home()).unwrap();
        holds(&principal, Action::Read, &experiment("7")).is_ok()
    };
    assert!(reads(&store));
    let mut within = (*alice).clone();
    within.groups = vec![group("left")];
    store.vouch(&within).await.unwrap();
    assert!(!reads(&store), "a DENY of a group that the issuer alone knows counts for tokens too");
    // Whoever signs in anew tells of it as well.
    store.open_session(session(SessionKey::of(b"x"), &alice)).await.unwrap();
    assert!(reads(&store));
    assert_eq!(store.vouch(&identity("nobody@example.com", "9")).await.ok(), Some(()), "strangers are passed over");
    assert!(store.user(&user("nobody@example.com")).is_none());
}

async fn uses_are_kept_and_a_new_network_is_noticed(place: Place) {
    let store = place.open().await;
    let alice = alice(&store).await;
    store.create_token(token("abcdefgh", &alice.user), by()).await.unwrap();
    let use_from = |store: &Store, from: &str| match store
        .token("abcdefgh", &TokenDigest::of(SECRET), from.parse().unwrap())
        .unwrap()
    {
        TokenShown::Good { moved, .. } => moved,
        other => panic!("{other:?}"),
    };
    assert!(!use_from(&store, "192.0.2.1"), "the first place of all is no news");
    assert!(!use_from(&store, "192.0.2.1"));
    assert!(use_from(&store, "2001:db8::1"));
    assert!(!use_from(&store, "2001:db8::2"), "the same network");
    assert!(!use_from(&store, "::ffff:192.0.2.1"), "IPv4 in another coat");
    store.close().await;
    let store = place.open().await;
    let kept = store.token_by_id(&id("abcdefgh")).unwrap();
    assert!(kept.last_used() > 0);
    let mut places: Vec<String> = kept.uses().iter().map(|one| one.address.to_string()).collect();
    places.sort();
    assert_eq!(
        places,
        ["192.0.2.1", "2001:db8::1"],
        "within a second no address of the same network is looked at again"
    );
    assert!(!use_from(&store, "192.0.2.1") && use_from(&store, "198.51.100.7"));
    // A change of the token loses none of it.
    store.revoke_token(&id("abcdefgh"), by()).await.unwrap();
    assert_eq!(store.token_by_id(&id("abcdefgh")).unwrap().uses().len(), 3);
}

async fn an_owner_has_so_many_tokens_and_no_more_and_those_that_ended_do_not_count(place: Place) {
    let store = place.open().await;
    let alice = alice(&store).await;
    for n in 0..MOST_TOKENS {
        store.create_token(token(&format!("{n:08}"), &alice.user), by()).await.unwrap();
    }
    let more = store.create_token(token("abcdefgh", &alice.user), by()).await.unwrap_err();
    assert!(matches!(more, StoreFault::TooManyTokens), "{more}");
    store.revoke_token(&id("00000007"), by()).await.unwrap();
    store.create_token(token("abcdefgh", &alice.user), by()).await.unwrap();
    assert_eq!(store.revoke_tokens_of(&alice.user, by()).await.unwrap(), Changed::Rows(MOST_TOKENS));
}

async fn a_narrowed_token_of_an_administrator_is_no_administrators(place: Place) {
    let store = place.open().await;
    let alice = alice(&store).await;
    store.set_admin(&alice.user, true, by()).await.unwrap();
    let scope = Scope { kind: Kind::Experiment, pattern: Pattern::Exactly(Arc::from("7")) };
    let ceiling = Ceiling { most: Some(Permission::Edit), only: Some(Arc::from([scope])), workspace: None };
    store.create_token(token("wholewho", &alice.user), by()).await.unwrap();
    store.create_token(NewToken { ceiling, ..token("narrowed", &alice.user) }, by()).await.unwrap();
    assert!(store.principal(who(&store, "wholewho"), &home()).unwrap().admin);
    let narrowed = store.principal(who(&store, "narrowed"), &home()).unwrap();
    assert!(!narrowed.admin);
    assert!(holds(&narrowed, Action::Edit, &experiment("7")).is_ok(), "what an administrator may, below the ceiling");
    assert!(matches!(holds(&narrowed, Action::Delete, &experiment("7")), Err(Reason::AboveCeiling { .. })));
    assert!(matches!(holds(&narrowed, Action::Read, &experiment("8")), Err(Reason::OutsideScope(_))));
    let tenant = store.tenant(who(&store, "narrowed"), &home()).unwrap();
    let lasting = store.lasting(&narrowed, None).unwrap();
    assert!(!tenant.admin && !lasting.admin);
    // The scopes outlive the process.
    store.close().await;
    let store = place.open().await;
    let narrowed = store.principal(who(&store, "narrowed"), &home()).unwrap();
    assert!(holds(&narrowed, Action::Read, &experiment("8")).is_err());
}

async fn a_token_whose_scopes_cannot_be_read_is_none(place: Place) {
    let store = place.open().await;
    let alice = alice(&store).await;
    store.create_token(token("abcdefgh", &alice.user), by()).await.unwrap();
    store.close().await;
    place.write("UPDATE tokens SET scopes = '[[\"castle\",\"exact\",\"1\"]]'").await;
    assert!(matches!(show(&place.open().await, "abcdefgh"), TokenShown::Unknown));
}

async fn a_service_account_is_recognised_by_its_tokens_and_by_nothing_else(place: Place) {
    let store = place.open().await;
    let (robot, alice) = (user("svc:trainer"), alice(&store).await);
    store.add_account(&robot, by()).await.unwrap();
    assert!(matches!(store.add_account(&robot, by()).await, Err(StoreFault::Exists { .. })));
    assert!(matches!(store.add_account(&alice.user, by()).await, Err(StoreFault::Exists { .. })));
    // Somebody whom an issuer calls so does not become it.
    let refused = store.recognise(&identity("svc:trainer", "5")).await.unwrap_err();
    assert!(matches!(refused, RecogniseFault::Refused(PrincipalFault::ServiceAccount)), "{refused}");
    let personal = store.create_token(token("abcdefgh", &robot), by()).await.unwrap_err();
    assert!(matches!(personal, StoreFault::NoSuch { what: "user", .. }), "{personal}");
    let service = |owner| NewToken { kind: TokenKind::Service, ..token("abcdefgh", owner) };
    assert!(store.create_token(service(&alice.user), by()).await.is_err());
    store.create_token(service(&robot), by()).await.unwrap();
    assert!(store.principal(who(&store, "abcdefgh"), &home()).is_ok());
    // Who looks after it.
    assert!(!store.looks_after(&alice, &store.user(&robot).unwrap()));
    let owner = Subject::User(alice.user.clone());
    store.add_owner(&robot, &owner, by()).await.unwrap();
    assert!(store.looks_after(&alice, &store.user(&robot).unwrap()));
    assert!(store.add_owner(&alice.user, &owner, by()).await.is_err(), "people look after themselves");
    assert!(store.add_owner(&robot, &Subject::User(user("typo@example.com")), by()).await.is_err());
    store.remove_owner(&robot, &owner, by()).await.unwrap();
    store.add_owner(&robot, &Subject::Group(group("ml")), by()).await.unwrap();
    assert!(!store.looks_after(&alice, &store.user(&robot).unwrap()));
    let mut within = (*alice).clone();
    within.groups = vec![group("ml")];
    assert!(store.looks_after(&within, &store.user(&robot).unwrap()));
    assert!(store.remove_account(&alice.user, by()).await.is_err());
    store.remove_account(&robot, by()).await.unwrap();
    assert!(store.accounts().is_empty());
    assert!(matches!(show(&store, "abcdefgh"), TokenShown::Unknown));
}

async fn somebody_who_was_removed_looks_after_nothing_when_another_of_that_name_comes(place: Place) {
    let store = place.open().await;
    let (robot, alice) = (user("svc:trainer"), alice(&store).await);
    store.add_account(&robot, by()).await.unwrap();
    store.add_owner(&robot, &Subject::User(alice.user.clone()), by()).await.unwrap();
    store.remove_user(&alice.user, by()).await.unwrap();
    store.recognise(&alice).await.unwrap();
    assert!(!store.looks_after(&alice, &store.user(&robot).unwrap()));
}

async fn what_one_process_revokes_another_refuses(place: Place) {
    let (one, other) = (place.open().await, place.open().await);
    let alice = alice(&one).await;
    one.create_token(token("abcdefgh", &alice.user), by()).await.unwrap();
    until("the other process knows the token", || matches!(show(&other, "abcdefgh"), TokenShown::Good { .. })).await;
    one.revoke_token(&id("abcdefgh"), by()).await.unwrap();
    until("the other process refuses it", || matches!(show(&other, "abcdefgh"), TokenShown::Revoked(_))).await;
}

super::on_both! {
    a_token_stands_for_its_owner_until_it_is_revoked_and_after_opening_anew,
    neither_another_secret_nor_an_unknown_name_is_a_token,
    a_name_that_is_taken_is_not_given_again_and_nothing_is_overwritten,
    a_token_counts_until_its_end_and_not_a_millisecond_longer,
    a_persons_end_is_the_end_of_their_tokens_also_for_another_of_that_name,
    tokens_do_not_outlive_the_relinking_of_their_owner,
    whoever_comes_with_a_token_is_in_the_groups_that_the_issuer_last_named,
    uses_are_kept_and_a_new_network_is_noticed,
    an_owner_has_so_many_tokens_and_no_more_and_those_that_ended_do_not_count,
    a_narrowed_token_of_an_administrator_is_no_administrators,
    a_token_whose_scopes_cannot_be_read_is_none,
    a_service_account_is_recognised_by_its_tokens_and_by_nothing_else,
    somebody_who_was_removed_looks_after_nothing_when_another_of_that_name_comes,
    what_one_process_revokes_another_refuses,
}
