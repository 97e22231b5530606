//! Many changes at once.

use super::*;
use crate::mlflow::ids::RoleName;

fn role_name(name: &str) -> RoleName {
    RoleName::parse(name).unwrap()
}

fn spot(to: Named, kind: Kind, pattern: &str) -> Spot {
    Spot { workspace: home(), to, kind, pattern: Pattern::parse(kind, pattern).unwrap() }
}

fn readers() -> Named {
    Named::Role(role_name("readers"))
}

fn make_readers() -> Vec<Step> {
    vec![
        Step::AddUser(user("bob")),
        Step::AddGroup(group("ml")),
        Step::AddMember(group("ml"), user("bob")),
        Step::CreateRole { workspace: home(), name: role_name("readers"), description: Arc::from("who reads") },
        Step::Grant { at: spot(readers(), Kind::Experiment, "7"), was: None, held: (Permission::Read, None) },
        Step::Allow { at: spot(readers(), Kind::RegisteredModel, "ml-*"), was: None, expires: None },
        Step::Assign {
            workspace: home(),
            role: role_name("readers"),
            to: Subject::Group(group("ml")),
            was: None,
            expires: None,
        },
    ]
}

async fn a_role_made_by_a_batch_holds_and_is_given_in_the_same_batch(place: Place) {
    let store = place.open().await;
    assert!(store.apply(make_readers(), By::Files("tester".to_owned())).await.unwrap().anything());
    let bob = identity("bob", "2");
    store.recognise(&bob).await.unwrap();
    assert!(may(&store, &bob, Action::Read, &experiment("7")).await);
    let role = store.role_named(&home(), &role_name("readers")).unwrap();
    assert_eq!(&*role.by, "policy-files tester");
    assert_eq!(&*store.grants()[0].by, "policy-files tester");
    assert_eq!(store.create_rules(None).len(), 1);
    assert_eq!(store.group(&group("ml")).unwrap().members, [user("bob")]);
    store.apply(vec![Step::DeleteRole { workspace: home(), name: role_name("readers") }], by()).await.unwrap();
    assert!(!may(&store, &bob, Action::Read, &experiment("7")).await);
    assert!(store.grants().is_empty() && store.create_rules(None).is_empty());
}

async fn what_somebody_else_changed_since_the_plan_stops_the_whole_batch(place: Place) {
    let store = place.open().await;
    let at = spot(Named::User(user("alice")), Kind::Experiment, "1");
    let held = |permission| (permission, None);
    let give = |was, permission| Step::Grant { at: at.clone(), was, held: held(permission) };
    store.apply(vec![give(None, Permission::Read)], by()).await.unwrap();
    // Meanwhile somebody gives more.
    store.grant(&home(), grant("user:alice", Kind::Experiment, "1", Permission::Edit), by()).await.unwrap();
    let other = Step::AddGroup(group("new"));
    for late in [
        give(None, Permission::Use),
        give(Some(held(Permission::Read)), Permission::Use),
        Step::Revoke { at: at.clone(), was: held(Permission::Read) },
        Step::Disallow { at: at.clone() },
        Step::Allow { at: at.clone(), was: Some(None), expires: None },
        Step::AddMember(group("nowhere"), user("alice")),
        Step::DeleteRole { workspace: home(), name: role_name("nothing") },
        Step::AddGroup(group(EVERYBODY)),
    ] {
        let refused = store.apply(vec![other.clone(), late.clone()], by()).await;
        assert!(refused.is_err(), "{late:?}");
        assert!(store.group(&group("new")).is_none(), "nothing of the batch is left: {late:?}");
    }
    assert_eq!(store.grants()[0].grant.permission, Permission::Edit);
    store.apply(vec![Step::Revoke { at, was: held(Permission::Edit) }], by()).await.unwrap();
    assert!(store.grants().is_empty());
}

async fn a_batch_changes_ends_and_another_process_sees_all_of_it(place: Place) {
    let (one, other) = (place.open().await, place.open().await);
    one.apply(make_readers(), by()).await.unwrap();
    let end = Some(Clock::System.millis() + 3_600_000);
    let assign = Step::Assign {
        workspace: home(),
        role: role_name("readers"),
        to: Subject::Group(group("ml")),
        was: Some(None),
        expires: end,
    };
    let allow = Step::Allow { at: spot(readers(), Kind::RegisteredModel, "ml-*"), was: Some(None), expires: end };
    let describe =
        Step::DescribeRole { workspace: home(), name: role_name("readers"), description: Arc::from("others") };
    one.apply(vec![assign.clone(), allow, describe], by()).await.unwrap();
    assert!(matches!(one.apply(vec![assign], by()).await, Err(StoreFault::Moved(_))), "it has another end by now");
    let role = one.role_named(&home(), &role_name("readers")).unwrap();
    let seen = async || {
        let assigned = other.assignments_of_role(role.id);
        let rules = other.create_rules(None);
        assigned.first().is_some_and(|one| one.expires == end) && rules.first().is_some_and(|rule| rule.expires == end)
    };
    let late = tokio::time::Instant::now() + Duration::from_secs(10);
    while !seen().await {
        assert!(tokio::time::Instant::now() < late, "the other process never sees it");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(&*other.role(role.id).unwrap().description, "others");
}

async fn a_large_batch_leaves_a_line_for_each_step_and_gives_no_number_twice(place: Place) {
    let store = place.open().await;
    let give = |n: u64| Step::Grant {
        at: spot(Named::User(user(&format!("u{}", n % 7))), Kind::Experiment, &n.to_string()),
        was: None,
        held: (Permission::Read, None),
    };
    store.apply((0..1203).map(give).collect(), By::Files("tester".to_owned())).await.unwrap();
    let later = store.add_grant(&home(), grant("user:x", Kind::Experiment, "1", Permission::Read), None, by()).await;
    let mut ids: Vec<u64> = store.grants().iter().map(|record| record.id).collect();
    ids.sort_unstable();
    assert_eq!(ids, (1..=1204).collect::<Vec<_>>());
    assert_eq!(later.unwrap().id, 1204);
    let lines = place.read("SELECT verb, object, detail FROM changes WHERE actor = 'policy-files tester'").await;
    let objects: std::collections::BTreeSet<_> = lines.iter().map(|(verb, object, _)| (verb, object)).collect();
    assert_eq!((lines.len(), objects.len()), (1203, 1203), "one line for each");
    assert!(lines.iter().all(|(verb, _, detail)| verb == "grant" && detail.ends_with("READ")), "{:?}", lines[0]);
    let fresh = place.open().await;
    assert_eq!(fresh.grants(), store.grants());
}

super::on_both! {
    a_large_batch_leaves_a_line_for_each_step_and_gives_no_number_twice,
    a_role_made_by_a_batch_holds_and_is_given_in_the_same_batch,
    what_somebody_else_changed_since_the_plan_stops_the_whole_batch,
    a_batch_changes_ends_and_another_process_sees_all_of_it,
}
