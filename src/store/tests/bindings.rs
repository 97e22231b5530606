//! Which outside identities act as which service accounts.

use serde_json::json;

use super::*;
use crate::access::binding::{Binding, BindingName, Rules};
use crate::access::identity::ByToken;

pub(super) fn binding(name: &str, account: &str, branch: &str) -> Arc<Binding> {
    let claims = json!({"repository": "org/repo", "ref": [branch, "refs/tags/v-*"],
        "nested": {"a.b": {"c": "x"}}});
    Arc::new(Binding {
        name: BindingName::parse(name).unwrap(),
        issuer: Arc::from("github"),
        audiences: vec![Arc::from("https://mlflow.example.com"), Arc::from("\"quoted\"")],
        rules: Rules::read(&claims).unwrap(),
        token_groups: true,
        account: UserName::parse(account).unwrap(),
    })
}

async fn bind(store: &Store, was: Option<&Arc<Binding>>, new: &Arc<Binding>) -> Result<Changed, StoreFault> {
    store.apply(vec![Step::Bind { was: was.cloned(), new: Arc::clone(new) }], By::Files("ops".to_owned())).await
}

async fn account(store: &Store, name: &str) -> UserName {
    let name = UserName::parse(name).unwrap();
    store.add_account(&name, by()).await.unwrap();
    name
}

fn held(store: &Store) -> Vec<Arc<Binding>> {
    store.bindings().iter().map(|record| Arc::clone(&record.binding)).collect()
}

fn bound(account: &UserName) -> Arc<Identity> {
    let token = Some(Arc::new(ByToken { id: Arc::from("ci"), ceiling: None }));
    Arc::new(Identity { user: account.clone(), proof: Proof::Bound, token, ..Identity::clone(&identity("x", "1")) })
}

async fn bindings_are_kept_changed_and_taken_away_as_planned_or_not_at_all(place: Place) {
    let store = place.open().await;
    account(&store, "svc:ci").await;
    let (one, other) = (binding("ci", "svc:ci", "refs/heads/main"), binding("ci", "svc:ci", "refs/heads/next"));
    assert!(bind(&store, None, &one).await.unwrap().anything());
    assert_eq!(held(&store), [Arc::clone(&one)]);
    assert_eq!(&*store.bindings()[0].by, "policy-files ops");
    assert!(matches!(bind(&store, None, &other).await, Err(StoreFault::Moved(_))), "somebody was faster");
    assert!(matches!(bind(&store, Some(&other), &one).await, Err(StoreFault::Moved(_))));
    assert_eq!(held(&store), [Arc::clone(&one)]);
    bind(&store, Some(&one), &other).await.unwrap();
    store.close().await;
    let store = place.open().await;
    assert_eq!(held(&store), [Arc::clone(&other)], "all of it is read as it was written");
    let unbind = |was: &Arc<Binding>| vec![Step::Unbind { was: Arc::clone(was) }];
    assert!(matches!(store.apply(unbind(&one), by()).await, Err(StoreFault::Moved(_))));
    store.apply(unbind(&other), by()).await.unwrap();
    assert!(store.bindings().is_empty());
    store.close().await;
}

async fn the_list_stays_the_very_same_until_a_binding_is_another(place: Place) {
    let store = place.open().await;
    account(&store, "svc:ci").await;
    bind(&store, None, &binding("ci", "svc:ci", "refs/heads/main")).await.unwrap();
    let before = store.bindings();
    account(&store, "svc:other").await;
    assert!(Arc::ptr_eq(&before, &store.bindings()));
    bind(&store, None, &binding("two", "svc:other", "refs/heads/main")).await.unwrap();
    assert!(!Arc::ptr_eq(&before, &store.bindings()));
    store.close().await;
}

async fn nobody_is_bound_to_a_person_or_to_nobody(place: Place) {
    let store = place.open().await;
    store.recognise(&identity("alice@example.com", "1")).await.unwrap();
    for name in ["alice@example.com", "svc:nobody"] {
        let refused = bind(&store, None, &binding("ci", name, "refs/heads/main")).await;
        assert!(matches!(refused, Err(StoreFault::NoSuch { what: "service account", .. })), "{name}");
    }
    // The configuration may name anybody: what comes of that is judged at each request.
    let fault = |name: &str| store.principal(bound(&UserName::parse(name).unwrap()), &home()).unwrap_err();
    assert_eq!(fault("alice@example.com"), PrincipalFault::BoundToPerson);
    assert_eq!(fault("svc:nobody"), PrincipalFault::AccountGone);
    store.close().await;
}

async fn a_bound_account_holds_what_it_holds_and_nothing_once_it_is_disabled_or_gone(place: Place) {
    let store = place.open().await;
    let ci = account(&store, "svc:ci").await;
    bind(&store, None, &binding("ci", "svc:ci", "refs/heads/main")).await.unwrap();
    store.grant(&home(), grant("user:svc:ci", Kind::Experiment, "7", Permission::Edit), by()).await.unwrap();
    let principal = store.principal(bound(&ci), &home()).unwrap();
    assert!(holds(&principal, Action::Edit, &experiment("7")).is_ok());
    store.set_disabled(&ci, true, by()).await.unwrap();
    assert_eq!(store.principal(bound(&ci), &home()).unwrap_err(), PrincipalFault::Disabled);
    store.set_disabled(&ci, false, by()).await.unwrap();
    store.remove_account(&ci, by()).await.unwrap();
    assert_eq!(store.principal(bound(&ci), &home()).unwrap_err(), PrincipalFault::AccountGone);
    assert!(store.bindings().is_empty(), "another account of that name inherits no binding");
    store.close().await;
}

on_both! {
    bindings_are_kept_changed_and_taken_away_as_planned_or_not_at_all,
    the_list_stays_the_very_same_until_a_binding_is_another,
    nobody_is_bound_to_a_person_or_to_nobody,
    a_bound_account_holds_what_it_holds_and_nothing_once_it_is_disabled_or_gone,
}
