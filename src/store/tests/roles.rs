//! Roles, ends, numbers, and what a change lets others read.

use proptest::prelude::*;

use super::*;
use crate::access::grant::RoleId;
use crate::mlflow::ids::RoleName;

fn role_name(name: &str) -> RoleName {
    RoleName::parse(name).unwrap()
}

fn subject(text: &str) -> Subject {
    text.parse().unwrap()
}

fn standing() -> Clock {
    Clock::set_to(SystemTime::UNIX_EPOCH + Duration::from_hours(500_000))
}

async fn with_clock(place: &Place, clock: &Clock) -> Store {
    Store::open(&place.settings(), clock.clone()).await.unwrap()
}

async fn a_role_reaches_whoever_has_it_by_themselves_or_by_a_group_and_the_reason_names_it(place: Place) {
    let store = place.open().await;
    let (alice, bob, carol) = (identity("alice", "1"), identity("bob", "2"), identity("carol", "3"));
    for one in [&alice, &bob, &carol] {
        store.recognise(one).await.unwrap();
    }
    store.add_group(&group("ml"), by()).await.unwrap();
    store.add_member(&group("ml"), &user("bob"), by()).await.unwrap();
    let role = store.create_role(&home(), &role_name("readers"), "who reads", by()).await.unwrap();
    let read = Grant { subject: Subject::Role(role.id), ..grant("user:x", Kind::Experiment, "7", Permission::Read) };
    store.add_grant(&home(), read, None, by()).await.unwrap();
    let seen = async || {
        let mut seen = Vec::new();
        for one in [&alice, &bob, &carol] {
            seen.push(may(&store, one, Action::Read, &experiment("7")).await);
        }
        seen
    };
    assert_eq!(seen().await, [false, false, false]);
    store.assign(role.id, &subject("user:alice"), None, by()).await.unwrap();
    assert_eq!(seen().await, [true, false, false]);
    let principal = store.principal(Arc::clone(&alice), &home()).unwrap();
    let reason = holds(&principal, Action::Read, &experiment("7")).unwrap();
    assert_eq!(reason.to_string(), format!("read wanted; role readers#{} holds READ on experiment 7", role.id));
    store.assign(role.id, &subject("group:ml"), None, by()).await.unwrap();
    assert_eq!(seen().await, [true, true, false]);
    store.assign(role.id, &subject("group:everybody"), None, by()).await.unwrap();
    assert_eq!(seen().await, [true, true, true]);
    store.unassign(role.id, &subject("group:everybody"), by()).await.unwrap();
    store.unassign(role.id, &subject("user:alice"), by()).await.unwrap();
    assert_eq!(seen().await, [false, true, false]);
    store.remove_member(&group("ml"), &user("bob"), by()).await.unwrap();
    assert_eq!(seen().await, [false, false, false]);
}

async fn a_role_of_a_group_that_the_issuer_alone_knows_counts_and_its_deny_wins(place: Place) {
    let store = place.open().await;
    let mut alice = Identity::clone(&identity("alice", "1"));
    alice.groups = vec![group("idp-team")];
    let alice = Arc::new(alice);
    let role = store.create_role(&home(), &role_name("barred"), "", by()).await.unwrap();
    let on =
        |permission| Grant { subject: Subject::Role(role.id), ..grant("user:x", Kind::Experiment, "7", permission) };
    store.add_grant(&home(), on(Permission::Read), None, by()).await.unwrap();
    store.assign(role.id, &subject("group:idp-team"), None, by()).await.unwrap();
    assert!(may(&store, &alice, Action::Read, &experiment("7")).await);
    store.grant(&home(), grant("user:alice", Kind::Experiment, "7", Permission::Manage), by()).await.unwrap();
    store.set_grant(&home(), on(Permission::Deny), None, by()).await.unwrap();
    assert!(!may(&store, &alice, Action::Read, &experiment("7")).await, "a role's DENY counts like any other");
}

async fn a_role_holds_in_its_own_workspace_alone(place: Place) {
    let store = place.open().await;
    let team = WorkspaceName::parse("team-a").unwrap();
    let role = store.create_role(&team, &role_name("readers"), "", by()).await.unwrap();
    let read = Grant { subject: Subject::Role(role.id), ..grant("user:x", Kind::Experiment, "7", Permission::Read) };
    let fault = store.add_grant(&home(), read.clone(), None, by()).await.unwrap_err();
    assert!(matches!(fault, StoreFault::Elsewhere { .. }), "{fault}");
    store.add_grant(&team, read, None, by()).await.unwrap();
    let alice = identity("alice", "1");
    store.assign(role.id, &subject("user:alice"), None, by()).await.unwrap();
    assert!(!may(&store, &alice, Action::Read, &experiment("7")).await);
    let there = store.principal(Arc::clone(&alice), &team).unwrap();
    assert!(holds(&there, Action::Read, &experiment("7")).is_ok());
    assert!(store.role_named(&home(), &role_name("readers")).is_none());
    store.create_role(&home(), &role_name("readers"), "the same name elsewhere", by()).await.unwrap();
    store.forget(&team, Kind::Workspace, "team-a", &user("alice")).await.unwrap();
    assert!(store.role(role.id).is_none(), "a workspace takes its roles along");
    assert!(store.assignments_to(&subject("user:alice")).is_empty());
}

async fn what_is_there_already_is_not_overwritten_and_what_is_not_there_is_named(place: Place) {
    let store = place.open().await;
    let read = grant("user:alice", Kind::Experiment, "7", Permission::Read);
    let first = store.add_grant(&home(), read.clone(), None, by()).await.unwrap();
    let again = Grant { permission: Permission::Manage, ..read.clone() };
    let fault = store.add_grant(&home(), again.clone(), None, by()).await.unwrap_err();
    assert!(matches!(fault, StoreFault::Exists { what: "grant", .. }), "{fault}");
    assert_eq!(store.grant_by_id(first.id).unwrap().grant.permission, Permission::Read);
    let changed = store.change_grant(first.id, Permission::Edit, None, by()).await.unwrap();
    assert_eq!((changed.id, changed.grant.permission), (first.id, Permission::Edit));
    assert_eq!(store.set_grant(&home(), again, None, by()).await.unwrap().id, first.id, "set keeps the number");
    store.remove_grant(first.id, by()).await.unwrap();
    for fault in [
        store.remove_grant(first.id, by()).await.unwrap_err(),
        store.change_grant(first.id, Permission::Read, None, by()).await.unwrap_err(),
        store.delete_role(RoleId(77), by()).await.unwrap_err(),
        store.assign(RoleId(77), &subject("user:alice"), None, by()).await.unwrap_err(),
        store.remove_create_rule(77, by()).await.unwrap_err(),
    ] {
        assert!(matches!(fault, StoreFault::NoSuch { .. }), "{fault}");
    }
    let new = store.add_grant(&home(), read, None, by()).await.unwrap();
    assert!(new.id > first.id, "a number is never given twice");

    let role = store.create_role(&home(), &role_name("readers"), "", by()).await.unwrap();
    let fault = store.create_role(&home(), &role_name("readers"), "", by()).await.unwrap_err();
    assert!(matches!(fault, StoreFault::Exists { what: "role", .. }), "{fault}");
    let other = store.create_role(&home(), &role_name("others"), "", by()).await.unwrap();
    let fault = store.update_role(other.id, Some(&role_name("readers")), None, by()).await.unwrap_err();
    assert!(matches!(fault, StoreFault::Exists { what: "role", .. }), "{fault}");
    store.assign(role.id, &subject("user:alice"), None, by()).await.unwrap();
    let fault = store.assign(role.id, &subject("user:alice"), None, by()).await.unwrap_err();
    assert!(matches!(fault, StoreFault::Exists { what: "assignment", .. }), "{fault}");
    let fault = store.assign(role.id, &Subject::Role(other.id), None, by()).await.unwrap_err();
    assert!(matches!(fault, StoreFault::RoleOfRole), "{fault}");
}

async fn whoever_holds_something_has_the_role_that_stands_for_it_and_nobody_else_can_have_it(place: Place) {
    let store = place.open().await;
    let alice = subject("user:alice");
    store.grant(&home(), grant("user:alice", Kind::Experiment, "7", Permission::Read), by()).await.unwrap();
    assert!(store.hidden_role(&alice, &home()).is_none(), "nobody knows a number of hers");
    store.recognise(&identity("alice", "1")).await.unwrap();
    let id = store.user(&user("alice")).unwrap().id;
    let role = store.hidden_role(&alice, &home()).unwrap();
    assert_eq!((role.name.as_str(), role.owner.as_ref()), (&*format!("__user_{id}__"), Some(&alice)));
    let team = WorkspaceName::parse("team-a").unwrap();
    store.own(&team, Kind::Experiment, "8", &user("alice")).await.unwrap();
    assert_ne!(store.hidden_role(&alice, &team).unwrap().id, role.id, "one for each workspace");
    for fault in [
        store.delete_role(role.id, by()).await.unwrap_err(),
        store.assign(role.id, &subject("user:mallory"), None, by()).await.unwrap_err(),
        store.update_role(role.id, Some(&role_name("x")), None, by()).await.unwrap_err(),
    ] {
        assert!(matches!(fault, StoreFault::OwnRole(_)), "{fault}");
    }
    let fault = store.create_role(&home(), &role_name("__user_99__"), "", by()).await.unwrap_err();
    assert!(matches!(fault, StoreFault::OwnName(_)), "{fault}");
    store.remove_user(&user("alice"), by()).await.unwrap();
    assert!(store.role(role.id).is_none());
    store.recognise(&identity("alice", "1")).await.unwrap();
    assert!(store.user(&user("alice")).unwrap().id > id, "whoever comes back is another one");
    assert!(store.user_by_id(id).is_none());
    store.add_group(&group("ml"), by()).await.unwrap();
    store.grant(&home(), grant("group:ml", Kind::Experiment, "7", Permission::Read), by()).await.unwrap();
    assert!(store.hidden_role(&subject("group:ml"), &home()).unwrap().name.as_str().starts_with("__group_"));
}

async fn a_removed_role_leaves_nothing_behind(place: Place) {
    let store = place.open().await;
    let alice = identity("alice", "1");
    let role = store.create_role(&home(), &role_name("readers"), "", by()).await.unwrap();
    let read = Grant { subject: Subject::Role(role.id), ..grant("user:x", Kind::Experiment, "*", Permission::Read) };
    store.add_grant(&home(), read, None, by()).await.unwrap();
    let names = Pattern::parse(Kind::RegisteredModel, "research-*").unwrap();
    store.add_create_rule(&home(), Subject::Role(role.id), Kind::RegisteredModel, names, None, by()).await.unwrap();
    store.assign(role.id, &subject("user:alice"), None, by()).await.unwrap();
    assert!(may(&store, &alice, Action::Read, &experiment("7")).await);
    let principal = store.principal(Arc::clone(&alice), &home()).unwrap();
    assert!(principal.grants.iter().any(|set| set.creates(Kind::RegisteredModel, "research-x").is_some()));
    assert!(principal.grants.iter().all(|set| set.creates(Kind::RegisteredModel, "other").is_none()));
    assert_eq!(store.roles_of(&user("alice"), &[]).len(), 1);
    store.delete_role(role.id, by()).await.unwrap();
    assert!(!may(&store, &alice, Action::Read, &experiment("7")).await);
    assert!(store.grants().is_empty() && store.create_rules(None).is_empty());
    assert!(store.assignments_to(&subject("user:alice")).is_empty() && store.roles_of(&user("alice"), &[]).is_empty());
}

async fn a_grant_counts_up_to_its_last_millisecond_and_not_in_the_next(place: Place) {
    let clock = standing();
    let store = with_clock(&place, &clock).await;
    let alice = identity("alice", "1");
    let now = clock.millis();
    let read = grant("user:alice", Kind::Experiment, "7", Permission::Read);
    let fault = store.set_grant(&home(), read.clone(), Some(now), by()).await.unwrap_err();
    assert!(matches!(fault, StoreFault::EndPassed), "{fault}");
    let given = store.add_grant(&home(), read.clone(), Some(now + 1000), by()).await.unwrap();
    assert_eq!(given.expires, Some(now + 1000));
    clock.advance(Duration::from_millis(999));
    assert!(may(&store, &alice, Action::Read, &experiment("7")).await);
    assert_eq!(store.grants_on(&home(), Kind::Experiment, "7").len(), 1);
    clock.advance(Duration::from_millis(1));
    assert!(!may(&store, &alice, Action::Read, &experiment("7")).await);
    assert!(store.grants().is_empty() && store.grant_by_id(given.id).is_none());
    assert!(store.grants_on(&home(), Kind::Experiment, "7").is_empty());
    let fault = store.remove_grant(given.id, by()).await.unwrap_err();
    assert!(matches!(fault, StoreFault::NoSuch { .. }), "{fault}");
    let anew = store.add_grant(&home(), read, None, by()).await.unwrap();
    assert!(anew.id > given.id, "one that has ended stands in nobody's way");
    assert!(may(&store, &alice, Action::Read, &experiment("7")).await);
}

async fn a_role_that_was_given_for_a_time_is_gone_with_it(place: Place) {
    let clock = standing();
    let store = with_clock(&place, &clock).await;
    let alice = identity("alice", "1");
    let role = store.create_role(&home(), &role_name("readers"), "", by()).await.unwrap();
    let read = Grant { subject: Subject::Role(role.id), ..grant("user:x", Kind::Experiment, "7", Permission::Manage) };
    store.add_grant(&home(), read, None, by()).await.unwrap();
    store.assign(role.id, &subject("user:alice"), Some(clock.millis() + 50), by()).await.unwrap();
    clock.advance(Duration::from_millis(49));
    assert!(may(&store, &alice, Action::Read, &experiment("7")).await);
    assert_eq!(store.managers(&home(), &experiment("7"), None, 5), [subject("user:alice")], "who has it, not the role");
    clock.advance(Duration::from_millis(1));
    assert!(!may(&store, &alice, Action::Read, &experiment("7")).await);
    assert!(store.managers(&home(), &experiment("7"), None, 5).is_empty());
    assert!(store.assignments_of_role(role.id).is_empty() && store.roles_of(&user("alice"), &[]).is_empty());
    store.assign(role.id, &subject("user:alice"), None, by()).await.unwrap();
    assert!(may(&store, &alice, Action::Read, &experiment("7")).await);
}

/// What a grant of a random sequence is.
#[derive(Debug, Clone)]
enum Step {
    Grant { experiment: u8, permission: Permission, lasts: Option<u16> },
    Revoke { experiment: u8 },
    Pass(u16),
}

fn step() -> impl Strategy<Value = Step> {
    let permission = prop::sample::select(&[Permission::Read, Permission::Manage, Permission::Deny][..]);
    prop_oneof![
        (0_u8..4, permission, prop::option::weighted(0.8, 1_u16..500))
            .prop_map(|(experiment, permission, lasts)| { Step::Grant { experiment, permission, lasts } }),
        (0_u8..4).prop_map(|experiment| Step::Revoke { experiment }),
        (0_u16..300).prop_map(Step::Pass),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn what_counts_is_what_was_given_and_has_not_ended(
        steps in prop::collection::vec(step(), 1..25),
        shared in any::<bool>(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let place = if shared { Place::on_postgres().await } else { None };
            let (place, clock) = (place.unwrap_or_else(Place::new), standing());
            let store = with_clock(&place, &clock).await;
            let alice = identity("alice", "1");
            store.recognise(&alice).await.unwrap();
            let mut model: std::collections::BTreeMap<u8, (Permission, Option<u64>)> = [].into();
            for step in steps {
                match step {
                    Step::Grant { experiment, permission, lasts } => {
                        let ends = lasts.map(|lasts| clock.millis() + u64::from(lasts));
                        let given = grant("user:alice", Kind::Experiment, &experiment.to_string(), permission);
                        store.set_grant(&home(), given, ends, by()).await.unwrap();
                        model.insert(experiment, (permission, ends));
                    }
                    Step::Revoke { experiment } => {
                        let given = grant("user:alice", Kind::Experiment, &experiment.to_string(), Permission::Read);
                        store.revoke(&home(), given.subject, given.kind, given.pattern, by()).await.unwrap();
                        model.remove(&experiment);
                    }
                    Step::Pass(millis) => clock.advance(Duration::from_millis(millis.into())),
                }
                // Up to the next end, and over it, one millisecond at a time.
                let next = model.values().filter_map(|(_, ends)| *ends).filter(|ends| *ends > clock.millis()).min();
                for pass in [0, next.map_or(0, |next| next - clock.millis() - 1), u64::from(next.is_some())] {
                    clock.advance(Duration::from_millis(pass));
                    let now = clock.millis();
                    let principal = store.principal(Arc::clone(&alice), &home()).unwrap();
                    for id in 0..4 {
                        let counts = model.get(&id).filter(|(_, ends)| ends.is_none_or(|ends| now < ends));
                        let expected = counts.is_some_and(|(permission, _)| permission.allows(Action::Read));
                        let held = holds(&principal, Action::Read, &experiment(&id.to_string())).is_ok();
                        assert_eq!(held, expected, "experiment {id} at {now}: {model:?}");
                    }
                }
            }
            store.close().await;
        });
    }
}

/// All that the store tells, in one text.
pub(super) fn all(store: &Store) -> String {
    let users: Vec<_> = store.users().iter().map(|user| format!("{user:?}\n")).collect();
    let groups: Vec<_> = store.groups().iter().map(|group| format!("{group:?}\n")).collect();
    let grants: Vec<_> = store.grants().iter().map(|grant| format!("{grant:?}\n")).collect();
    let roles = store.roles(None);
    let has: Vec<_> = roles.iter().map(|role| format!("{role:?} {:?}\n", store.assignments_of_role(role.id))).collect();
    let on: Vec<_> = (0..6)
        .map(|id| format!("{:?}\n", store.grants_on(&home(), Kind::RegisteredModel, &format!("m{id}"))))
        .collect();
    let rules = store.create_rules(None);
    let mut sessions: Vec<_> = store.sessions().iter().map(|session| session.key.to_hex()).collect();
    sessions.sort();
    format!("{users:?}{groups:?}{grants:?}{has:?}{on:?}{rules:?}{sessions:?}")
}

async fn who_reads_the_parts_that_changed_knows_what_one_knows_who_reads_everything(place: Place) {
    let store = place.open().await;
    let other = place.open().await;
    let mut random = 0x2545_F491_4F6C_DD1D_u64;
    let mut pick = |most: u64| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random % most
    };
    for turn in 0..160 {
        let who = user(&format!("user{}", pick(4)));
        let team = group(&format!("group{}", pick(3)));
        let name = format!("m{}", pick(6));
        let holder = match pick(3) {
            0 => Subject::User(who.clone()),
            1 => Subject::Group(team.clone()),
            _ => Subject::Role(RoleId(pick(12) + 1)),
        };
        let on = grant("user:x", Kind::RegisteredModel, if pick(4) == 0 { "m*" } else { &name }, Permission::Edit);
        let given = Grant { subject: holder.clone(), ..on };
        let role = RoleId(pick(12) + 1);
        // What cannot be done is refused, and that must change nothing either.
        match pick(16) {
            0 => drop(store.recognise(&identity(who.as_str(), "1")).await),
            1 => drop(store.remove_user(&who, by()).await),
            2 => drop(store.add_group(&team, by()).await),
            3 => drop(store.remove_group(&team, by()).await),
            4 => drop(store.add_member(&team, &who, by()).await),
            5 => drop(store.remove_member(&team, &who, by()).await),
            6 | 7 => drop(store.set_grant(&home(), given, None, by()).await),
            8 => drop(store.revoke(&home(), given.subject, given.kind, given.pattern, by()).await),
            9 => drop(store.own(&home(), Kind::RegisteredModel, &name, &who).await),
            10 => drop(store.rename(&home(), Kind::RegisteredModel, &name, &format!("m{}", pick(6)), &who).await),
            11 => drop(store.forget(&home(), Kind::RegisteredModel, &name, &who).await),
            12 => drop(store.create_role(&home(), &role_name(&format!("role{}", pick(5))), "", by()).await),
            13 if pick(3) == 0 => drop(store.delete_role(role, by()).await),
            13 => drop(store.update_role(role, Some(&role_name(&format!("role{}", pick(5)))), None, by()).await),
            14 => drop(store.assign(role, &holder, None, by()).await),
            _ => {
                let rule = store.add_create_rule(&home(), holder, given.kind, given.pattern, None, by()).await;
                if let Ok(rule) = rule
                    && pick(2) == 0
                {
                    store.remove_create_rule(rule.id, by()).await.unwrap();
                }
            }
        }
        if turn % 20 == 19 {
            let fresh = place.open().await;
            assert_eq!(all(&store), all(&fresh), "after turn {turn}");
            until("the other process has read the same", || all(&other) == all(&fresh)).await;
            fresh.close().await;
        }
    }
    assert!(!store.grants().is_empty() && store.roles(None).iter().any(|role| role.owner.is_none()));
}

async fn patterns_of_every_form_are_kept_found_and_taken_back(place: Place) {
    let clock = standing();
    let store = with_clock(&place, &clock).await;
    let alice = identity("alice", "1");
    let end = clock.millis() + 1000;
    let given = [
        ("experiment_name", "team-?/*-prod", None),
        ("experiment_name", "team-a/*", Some(end)),
        ("experiment_name", "123", None),
        ("registered_model", "*[?]", None),
        ("registered_model", "*?*", None),
        ("prompt", "a*b", None),
    ];
    for (kind, pattern, expires) in given {
        let grant = grant("user:alice", kind.parse().unwrap(), pattern, Permission::Edit);
        store.add_grant(&home(), grant, expires, by()).await.unwrap();
    }
    // The same in another spelling is the same.
    let again = grant("user:alice", Kind::RegisteredModel, "**?**", Permission::Read);
    assert!(matches!(store.add_grant(&home(), again, None, by()).await, Err(StoreFault::Exists { .. })));
    let names = Pattern::of_names(Kind::Experiment, "x?/*").unwrap();
    store.add_create_rule(&home(), subject("user:alice"), Kind::Experiment, names, None, by()).await.unwrap();
    store.close().await;

    let store = with_clock(&place, &clock).await;
    let told = |store: &Store| {
        let grants = store.grants();
        let mut told: Vec<_> =
            grants.iter().map(|record| format!("{} {}", record.grant.kind, record.grant.pattern)).collect();
        told.sort_unstable();
        told
    };
    let mut wanted = given.map(|(kind, pattern, _)| format!("{kind} {pattern}"));
    wanted.sort_unstable();
    assert_eq!(told(&store), wanted);
    let on = |kind, name: &str| store.grants_on(&home(), kind, name).len();
    assert_eq!(on(Kind::ExperimentName, "team-a/x-prod"), 2);
    assert_eq!((on(Kind::ExperimentName, "123"), on(Kind::Experiment, "123")), (1, 0));
    assert_eq!((on(Kind::RegisteredModel, "what?"), on(Kind::RegisteredModel, "what")), (2, 1));
    let called = |name: &str| {
        let principal = store.principal(Arc::clone(&alice), &home()).unwrap();
        let principal = principal.knowing([(Arc::from("7"), Some(Arc::from(name)))]);
        assert!(principal.grants.iter().any(|set| set.creates(Kind::Experiment, "xy/z").is_some()));
        holds(&principal, Action::Edit, &experiment("7")).is_ok()
    };
    store.recognise(&alice).await.unwrap();
    assert!(called("team-a/x") && called("team-b/x-prod") && called("123") && !called("7") && !called("team-b/x"));
    clock.advance(Duration::from_secs(1));
    assert!(!called("team-a/x") && called("team-a/x-prod"), "the one on the beginning has ended");
    let pattern = Pattern::parse(Kind::ExperimentName, "team-?/*-prod").unwrap();
    store.revoke(&home(), subject("user:alice"), Kind::ExperimentName, pattern, by()).await.unwrap();
    assert!(!called("team-a/x-prod"));
    store.close().await;
}

super::on_both! {
    patterns_of_every_form_are_kept_found_and_taken_back,
    a_role_reaches_whoever_has_it_by_themselves_or_by_a_group_and_the_reason_names_it,
    a_role_of_a_group_that_the_issuer_alone_knows_counts_and_its_deny_wins,
    a_role_holds_in_its_own_workspace_alone,
    what_is_there_already_is_not_overwritten_and_what_is_not_there_is_named,
    whoever_holds_something_has_the_role_that_stands_for_it_and_nobody_else_can_have_it,
    a_removed_role_leaves_nothing_behind,
    a_grant_counts_up_to_its_last_millisecond_and_not_in_the_next,
    a_role_that_was_given_for_a_time_is_gone_with_it,
    who_reads_the_parts_that_changed_knows_what_one_knows_who_reads_everything,
}
