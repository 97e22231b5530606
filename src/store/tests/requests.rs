//! Asking for access, looking over who holds what, and two people at once: on either database.

use super::*;

fn wish(who: &str, object: &str, permission: Permission, reason: &str) -> Wish {
    Wish {
        workspace: home(),
        kind: Kind::Experiment,
        object: Arc::from(object),
        user: user(who),
        permission,
        reason: Arc::from(reason),
    }
}

fn given(permission: Permission, over: Option<Seen>, expires: Option<u64>) -> Verdict {
    Verdict::Grant { kind: Kind::Experiment, over, permission, expires }
}

async fn what_somebody_asks_for_is_given_in_the_moment_in_which_it_is_decided(place: Place) {
    let store = place.open().await;
    let bob = identity("bob", "2");
    store.recognise(&bob).await.unwrap();
    let id = store.ask(wish("bob", "7", Permission::Edit, "please")).await.unwrap();
    assert_eq!(store.ask(wish("bob", "7", Permission::Read, "only reading, \u{e4} \u{1f600}")).await.unwrap(), id);
    let open = store.open_requests(0, 10).await.unwrap();
    assert_eq!(open.len(), 1, "the same again is said once");
    assert_eq!((&*open[0].wish.reason, open[0].wish.permission), ("only reading, \u{e4} \u{1f600}", Permission::Read));
    assert!(!may(&store, &bob, Action::Read, &experiment("7")).await, "asking gives nothing");
    let end = Clock::System.millis() + 3_600_000;
    store.decide(id, given(Permission::Read, None, Some(end)), "until tonight", by()).await.unwrap();
    assert!(may(&store, &bob, Action::Read, &experiment("7")).await);
    let told = store.request(id).await.unwrap().unwrap();
    assert_eq!((told.state, told.answer.as_deref()), (State::Granted, Some("until tonight")));
    assert_eq!(told.by.as_deref(), Some("operator test"));
    let fault = store.decide(id, Verdict::Decline, "", by()).await.unwrap_err();
    assert!(matches!(fault, StoreFault::NoSuch { .. }), "it is decided: {fault}");
    assert!(store.open_requests(0, 10).await.unwrap().is_empty());

    let again = store.ask(wish("bob", "7", Permission::Edit, "more")).await.unwrap();
    assert!(again > id);
    let fault = store.decide(again, given(Permission::Edit, None, None), "", by()).await.unwrap_err();
    assert!(matches!(fault, StoreFault::Changed), "bob holds something by now: {fault}");
    assert_eq!(store.request(again).await.unwrap().unwrap().state, State::Open, "nothing of it was done");
    let fault = store.decide(again, given(Permission::Edit, None, Some(1)), "", by()).await.unwrap_err();
    assert!(matches!(fault, StoreFault::EndPassed | StoreFault::Changed), "{fault}");
    let seen = Seen::of(&store.grants()[0]);
    store.decide(again, given(Permission::Edit, Some(seen), None), "", by()).await.unwrap();
    assert!(may(&store, &bob, Action::Edit, &experiment("7")).await);
    store.close().await;
    let store = place.open().await;
    let states: Vec<_> = store.requests_of(&user("bob")).await.unwrap().iter().map(|one| one.state).collect();
    assert_eq!(states, [State::Granted, State::Granted], "the newest first, also after a restart");
}

async fn what_is_declined_or_withdrawn_gives_nothing_and_a_removed_user_asked_for_nothing(place: Place) {
    let store = place.open().await;
    let bob = identity("bob", "2");
    store.recognise(&bob).await.unwrap();
    for (object, verdict, state) in
        [("1", Verdict::Decline, State::Declined), ("2", Verdict::Withdraw, State::Withdrawn)]
    {
        let id = store.ask(wish("bob", object, Permission::Read, "")).await.unwrap();
        store.decide(id, verdict, "no", by()).await.unwrap();
        assert_eq!(store.request(id).await.unwrap().unwrap().state, state);
        assert!(!may(&store, &bob, Action::Read, &experiment(object)).await);
    }
    store.remove_user(&user("bob"), by()).await.unwrap();
    assert!(store.requests_of(&user("bob")).await.unwrap().is_empty());
}

async fn open_requests_are_bounded_and_old_ones_make_room(place: Place) {
    let store = place.open().await;
    for object in 0..10 {
        store.ask(wish("bob", &object.to_string(), Permission::Read, "")).await.unwrap();
    }
    let fault = store.ask(wish("bob", "10", Permission::Read, "")).await.unwrap_err();
    assert!(matches!(fault, StoreFault::TooManyOpen), "{fault}");
    store.ask(wish("carol", "10", Permission::Read, "")).await.unwrap();
    let pages = [store.open_requests(0, 4).await.unwrap(), store.open_requests(4, 100).await.unwrap()];
    let ids: Vec<_> = pages.iter().flatten().map(|one| one.id).collect();
    assert_eq!(ids, (1..=11).collect::<Vec<_>>(), "the oldest first, none twice");
    for round in 0..60 {
        let open = store.requests_of(&user("bob")).await.unwrap();
        store.decide(open[0].id, Verdict::Decline, "", by()).await.unwrap();
        store.ask(wish("bob", &format!("{}", 100 + round), Permission::Read, "")).await.unwrap();
    }
    let kept = store.requests_of(&user("bob")).await.unwrap();
    assert!(kept.len() <= 62, "{}", kept.len());
    assert_eq!(kept.iter().filter(|one| one.state == State::Open).count(), 10, "no open one made room");
}

async fn two_people_at_once_lose_no_change_of_either(place: Place) {
    let (one, other) = (place.open().await, place.open().await);
    let read = grant("user:alice", Kind::Experiment, "7", Permission::Read);
    let made = one.add_grant(&home(), read.clone(), None, by()).await.unwrap();
    until("the other sees it", || other.grant_by_id(made.id).is_some()).await;
    let seen = Seen::of(&other.grant_by_id(made.id).unwrap());
    one.change_seen(Seen::of(&made), Some((Permission::Edit, None)), by()).await.unwrap();
    for late in [Some((Permission::Manage, None)), None] {
        let fault = other.change_seen(seen, late, by()).await.unwrap_err();
        assert!(matches!(fault, StoreFault::Changed), "it is another by now: {fault}");
    }
    until("the other sees the change", || {
        other.grant_by_id(made.id).is_some_and(|now| now.grant.permission == Permission::Edit)
    })
    .await;
    // Both at the very same time: one of them wins, and the other is told.
    for _ in 0..8 {
        let seen = Seen::of(&one.grant_by_id(made.id).unwrap());
        until("both see the same", || other.grant_by_id(made.id).is_some_and(|now| Seen::of(&now) == seen)).await;
        let next = |end: u64| Some((Permission::Use, Some(Clock::System.millis() + end)));
        let (first, second) =
            tokio::join!(one.change_seen(seen, next(1_000_000), by()), other.change_seen(seen, next(2_000_000), by()));
        assert!(first.is_ok() != second.is_ok(), "{first:?} {second:?}");
        let fault = first.err().or(second.err()).unwrap();
        assert!(matches!(fault, StoreFault::Changed), "{fault}");
        until("the one sees what won", || one.grant_by_id(made.id).is_some_and(|now| Seen::of(&now) != seen)).await;
    }
    // Nobody gives over what somebody else gave meanwhile.
    let home = home();
    let (first, second) = tokio::join!(
        one.add_grant(&home, grant("user:bob", Kind::Experiment, "1", Permission::Read), None, by()),
        other.add_grant(&home, grant("user:bob", Kind::Experiment, "1", Permission::Manage), None, by()),
    );
    assert!(first.is_ok() != second.is_ok(), "{first:?} {second:?}");
    let seen = Seen::of(&one.grant_by_id(made.id).unwrap());
    one.change_seen(seen, None, by()).await.unwrap();
    assert!(one.grant_by_id(made.id).is_none());
}

async fn all_grants_are_looked_over_in_pages_without_a_gap_or_one_twice(place: Place) {
    let clock = Clock::set_to(SystemTime::now());
    let store = Store::open(&place.settings(), clock.clone()).await.unwrap();
    let mut wanted = std::collections::BTreeSet::new();
    for n in 0..40_u32 {
        let name = ["a", "A", "\u{e4}", "b-", "_", "\u{1f600}", "a b", "Z"][n as usize % 8];
        let pattern = if n % 3 == 0 { format!("{name}{n}*") } else { format!("{name}{n}") };
        let who = format!("user:u{}", n % 5);
        let given = grant(&who, Kind::RegisteredModel, &pattern, Permission::Read);
        wanted.insert(store.add_grant(&home(), given, None, by()).await.unwrap().id);
        let given = grant(&who, Kind::Experiment, &n.to_string(), Permission::Edit);
        wanted.insert(store.add_grant(&home(), given, None, by()).await.unwrap().id);
    }
    let end = clock.millis() + 50;
    let ended = grant("user:u1", Kind::Experiment, "99", Permission::Read);
    store.add_grant(&home(), ended, Some(end), by()).await.unwrap();
    clock.advance(Duration::from_millis(50));
    for most in [1, 7, 1000] {
        let mut found = std::collections::BTreeSet::new();
        let mut after = After::default();
        loop {
            let page = store.grants_after(&home(), &after, most).await.unwrap();
            let Some(last) = page.last() else { break };
            after = After::record(last);
            for record in page {
                assert!(found.insert(record.id), "grant {} twice", record.id);
            }
        }
        assert_eq!(found, wanted, "in pages of {most}");
    }
    let elsewhere = WorkspaceName::parse("team-a").unwrap();
    assert!(store.grants_after(&elsewhere, &After::default(), 10).await.unwrap().is_empty());
}

async fn gates_of_one_database_share_its_keys(place: Place) {
    let (one, other) = (place.open().await, place.open().await);
    let key = |secret: &str, created| SealKey { secret: secret.to_owned().into(), created };
    let texts = |keys: Vec<SealKey>| keys.iter().map(|key| key.secret.to_string()).collect::<Vec<_>>();
    let (a, b) = tokio::join!(one.seal_keys(key("a", 100), 0), other.seal_keys(key("b", 100), 0));
    let (a, b) = (texts(a.unwrap()), texts(b.unwrap()));
    assert!(a == b && a.len() == 1, "whoever comes first makes it: {a:?} {b:?}");
    assert_eq!(texts(one.seal_keys(key("c", 200), 99).await.unwrap()), a, "it is young enough");
    assert_eq!(texts(one.seal_keys(key("c", 200), 100).await.unwrap()), ["c", &a[0]]);
    assert_eq!(texts(other.seal_keys(key("d", 300), 200).await.unwrap()), ["d", "c"], "two are kept");
    assert_eq!(texts(one.seal_keys(key("e", 300), 200).await.unwrap()), ["d", "c"]);
    let told = format!("{:?}", one.seal_keys(key("e", 300), 200).await.unwrap());
    assert_eq!(told, "[SealKey(made 300), SealKey(made 200)]", "no log tells a key");
    let news = place.read("SELECT part, name, mark FROM news").await;
    assert!(news.is_empty(), "keys are no news: {news:?}");
}

on_both! {
    what_somebody_asks_for_is_given_in_the_moment_in_which_it_is_decided,
    what_is_declined_or_withdrawn_gives_nothing_and_a_removed_user_asked_for_nothing,
    open_requests_are_bounded_and_old_ones_make_room,
    two_people_at_once_lose_no_change_of_either,
    all_grants_are_looked_over_in_pages_without_a_gap_or_one_twice,
    gates_of_one_database_share_its_keys,
}
