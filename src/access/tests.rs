//! The laws of the decision, for any grants; and MLflow's own decisions, case by case.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use proptest::prelude::*;

use super::ceiling::{Ceiling, Scope};
use super::decide::{Named, Reason, Requirement, Visible, decide, holds, meets, visible, visible_of};
use super::grant::{Grant, GrantSet, Pattern, Subject};
use super::identity::{ByToken, Identity, Names, Principal, Proof};
use crate::mlflow::ids::{GroupName, UserName, WorkspaceName};
use crate::mlflow::permission::{Action, Permission};
use crate::mlflow::resource::{Kind, Object, Resource};

const ACTIONS: [Action; 6] = [Action::Read, Action::Use, Action::Edit, Action::Delete, Action::Manage, Action::Create];

fn principal(admin: bool, grants: &[Grant]) -> Arc<Principal> {
    let mut sets: Vec<GrantSet> = Vec::new();
    for grant in grants {
        let place = sets.iter().position(|set| *set.subject() == grant.subject).unwrap_or_else(|| {
            sets.push(GrantSet::new(grant.subject.clone()));
            sets.len() - 1
        });
        let set = &mut sets[place];
        set.insert(grant.kind, grant.pattern.clone(), grant.permission);
    }
    Arc::new(Principal {
        identity: Arc::new(Identity {
            user: UserName::parse("alice").unwrap(),
            issuer: Arc::from("https://idp.test"),
            subject: Arc::from("1"),
            groups: Vec::new(),
            proof: Proof::Bearer,
            until: UNIX_EPOCH,
            token: None,
        }),
        admin,
        workspace: WorkspaceName::default(),
        grants: sets.into_iter().map(Arc::new).collect(),
        names: CALLED.iter().map(|(id, name)| (Arc::from(*id), Some(Arc::from(*name)))).collect(),
    })
}

/// The same person with a narrowed token. As the store makes them: an administrator's has no pass, and MANAGE on the
/// workspace in its place.
fn narrowed(owner: &Principal, ceiling: &Ceiling) -> Arc<Principal> {
    let token = Some(Arc::new(ByToken { id: Arc::from("abcdefgh"), ceiling: Some(ceiling.clone()) }));
    let identity = Identity { proof: Proof::Token, token, ..Identity::clone(&owner.identity) };
    let mut grants = owner.grants.clone();
    if owner.admin {
        let mut set = GrantSet::new(Subject::User(owner.identity.user.clone()));
        set.insert(Kind::Workspace, Pattern::Prefix(Arc::from("")), Permission::Manage);
        grants.push(Arc::new(set));
    }
    Arc::new(Principal {
        identity: Arc::new(identity),
        admin: false,
        workspace: owner.workspace.clone(),
        grants,
        names: owner.names.clone(),
    })
}

fn a_ceiling() -> impl Strategy<Value = Ceiling> {
    let level = prop_oneof![
        Just(None),
        Just(Some(Permission::Read)),
        Just(Some(Permission::Use)),
        Just(Some(Permission::Edit)),
        Just(Some(Permission::Manage)),
    ];
    let scope = prop_oneof![
        Just("experiment:1"),
        Just("experiment:*"),
        Just("registered_model:prod"),
        Just("registered_model:prod*"),
        Just("registered_model_version:prod/1"),
    ];
    let only = prop::option::of(prop::collection::vec(scope, 1..3));
    (level, only, any::<bool>()).prop_map(|(most, only, elsewhere)| Ceiling {
        most,
        only: only.map(|only| only.iter().map(|scope| scope.parse().unwrap()).collect()),
        workspace: elsewhere.then(|| WorkspaceName::parse("team-a").unwrap()),
    })
}

/// All that may be asked of somebody about a thing.
fn a_requirement() -> impl Strategy<Value = Requirement> {
    let action = prop::sample::select(&ACTIONS[..]);
    (a_resource(), action, 0..11_u8).prop_map(|(resource, action, which)| match which {
        0 | 1 => Requirement::Holds { action, resource },
        2 => Requirement::Creates {
            kind: resource.object.kind,
            name: Arc::clone(&resource.object.id),
            workspace: Resource::workspace(),
        },
        3 => among(Some(action), &["alice"], Action::Read, resource),
        4 => among(None, &["alice"], action, resource),
        5 => Requirement::NotDenied(resource),
        6 => Requirement::NoneDenied(resource.object.kind),
        7 => Requirement::Whole(resource.object.kind),
        8 => Requirement::Admin("it is for them"),
        9 => Requirement::Absent("it is not there"),
        _ => Requirement::Bears { role: 1, whose: Arc::from("role:x"), has: true },
    })
}

/// What experiments are called here. One has another one's id for a name.
const CALLED: [(&str, &str); 3] = [("1", "team-a/x"), ("2", "1"), ("3", "team-b/x")];

/// What an object is called, where it has a name besides its id.
fn called(object: &Object) -> Option<Object> {
    let (_, name) = CALLED.iter().find(|(id, _)| object.kind == Kind::Experiment && **id == *object.id)?;
    Some(Object { kind: Kind::ExperimentName, id: Arc::from(*name) })
}

/// Whether the grant is on the object, by its id or by its name.
fn is_on(grant: &Grant, object: &Object) -> bool {
    let same = |object: &Object| object.kind == grant.kind && grant.pattern.matches(&object.id);
    same(object) || called(object).as_ref().is_some_and(same)
}

fn run(id: &str, experiment: &str) -> Resource {
    Resource::inside(Kind::Run, Arc::from(id), Object { kind: Kind::Experiment, id: Arc::from(experiment) })
}

fn model(name: &str) -> Resource {
    Resource::top(Kind::RegisteredModel, Arc::from(name))
}

/// A small world, so that grants and objects meet.
fn a_resource() -> impl Strategy<Value = Resource> {
    let version = |name: &str| {
        Resource::inside(
            Kind::ModelVersion,
            Arc::from(format!("{name}/1")),
            Object { kind: Kind::RegisteredModel, id: Arc::from(name) },
        )
    };
    prop_oneof![
        Just(Resource::workspace()),
        Just(Resource::top(Kind::Experiment, Arc::from("1"))),
        Just(Resource::top(Kind::Experiment, Arc::from("2"))),
        Just(run("a", "1")),
        Just(run("b", "2")),
        Just(model("prod")),
        Just(model("prod-2")),
        Just(version("prod")),
    ]
}

fn a_grant() -> impl Strategy<Value = Grant> {
    let subject = prop_oneof![
        Just(Subject::User(UserName::parse("alice").unwrap())),
        Just(Subject::Group(GroupName::parse("g1").unwrap())),
        Just(Subject::Group(GroupName::parse("g2").unwrap())),
    ];
    let on = prop_oneof![
        Just((Kind::Workspace, Pattern::Exactly(Arc::from("default")))),
        Just((Kind::Experiment, Pattern::Exactly(Arc::from("1")))),
        Just((Kind::Experiment, Pattern::Exactly(Arc::from("2")))),
        Just((Kind::Experiment, Pattern::Prefix(Arc::from("")))),
        Just((Kind::ExperimentName, Pattern::Exactly(Arc::from("1")))),
        Just((Kind::ExperimentName, Pattern::Prefix(Arc::from("team-a/")))),
        Just((Kind::ExperimentName, Pattern::Glob(Arc::from("team-?/x")))),
        Just((Kind::Run, Pattern::Exactly(Arc::from("a")))),
        Just((Kind::Run, Pattern::Prefix(Arc::from("")))),
        Just((Kind::RegisteredModel, Pattern::Exactly(Arc::from("prod")))),
        Just((Kind::RegisteredModel, Pattern::Prefix(Arc::from("prod")))),
        Just((Kind::RegisteredModel, Pattern::Prefix(Arc::from("")))),
        Just((Kind::RegisteredModel, Pattern::Glob(Arc::from("*-?")))),
        Just((Kind::ModelVersion, Pattern::Exactly(Arc::from("prod/1")))),
    ];
    let permission = prop_oneof![
        Just(Permission::Read),
        Just(Permission::Use),
        Just(Permission::Edit),
        Just(Permission::Manage),
        Just(Permission::Deny),
    ];
    (subject, on, permission).prop_map(|(subject, (kind, pattern), permission)| Grant {
        subject,
        kind,
        pattern,
        permission,
    })
}

/// Grants of which no two are of one subject on one pattern, as in the store.
fn grants() -> impl Strategy<Value = Vec<Grant>> {
    prop::collection::vec(a_grant(), 0..12).prop_map(|grants| {
        let mut known = Vec::new();
        for grant in grants {
            if !known.iter().any(|other: &Grant| same_place(other, &grant)) {
                known.push(grant);
            }
        }
        known
    })
}

fn same_place(one: &Grant, other: &Grant) -> bool {
    (&one.subject, one.kind, &one.pattern) == (&other.subject, other.kind, &other.pattern)
}

/// Whether a grant speaks of the object or of anything that it lies in.
fn speaks(grant: &Grant, resource: &Resource) -> bool {
    let workspace = Resource::workspace().object;
    resource.levels().chain([&workspace]).any(|object| is_on(grant, object))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_deny_is_never_outvoted(grants in grants(), resource in a_resource()) {
        let principal = principal(false, &grants);
        let denied = grants.iter().any(|grant| grant.permission == Permission::Deny && speaks(grant, &resource));
        if denied {
            for action in ACTIONS {
                prop_assert!(holds(&principal, action, &resource).is_err(), "{action} {:?}", resource.object);
            }
        }
    }

    #[test]
    fn on_one_object_one_more_grant_without_deny_never_means_less(
        grants in grants(), more in a_grant(), resource in a_resource(),
    ) {
        // Within a level that speaks already. A narrower grant may well mean less than the wider one it stands in
        // front of: that is what the nearest level deciding means.
        let level = |grant: &Grant| {
            grant.kind == resource.object.kind || called(&resource.object).is_some_and(|name| name.kind == grant.kind)
        };
        let spoken = grants.iter().any(|grant| is_on(grant, &resource.object));
        let fresh = !grants.iter().any(|grant| same_place(grant, &more));
        if more.permission == Permission::Deny || !level(&more) || !fresh || !spoken {
            return Ok(());
        }
        let before = principal(false, &grants);
        let after = principal(false, &[grants.clone(), vec![more]].concat());
        for action in ACTIONS {
            if holds(&before, action, &resource).is_ok() {
                prop_assert!(holds(&after, action, &resource).is_ok(), "{action} on {}", resource.object);
            }
        }
    }

    #[test]
    fn the_same_question_has_the_same_answer_whatever_the_order_of_the_grants(
        grants in grants(), resource in a_resource(), shuffle in any::<prop::sample::Index>(),
    ) {
        let mut turned = grants.clone();
        if !turned.is_empty() {
            let by = shuffle.index(turned.len());
            turned.rotate_left(by);
        }
        let (one, other) = (principal(false, &grants), principal(false, &turned));
        for action in ACTIONS {
            let first = holds(&one, action, &resource);
            prop_assert_eq!(&first, &holds(&one, action, &resource));
            prop_assert_eq!(first.is_ok(), holds(&other, action, &resource).is_ok());
        }
    }

    #[test]
    fn it_does_not_matter_which_of_person_and_groups_holds_a_grant(grants in grants(), resource in a_resource()) {
        // All given to the person; of two on one pattern a DENY counts, else the higher.
        let mut pooled: BTreeMap<(Kind, Pattern), Permission> = BTreeMap::new();
        for grant in &grants {
            pooled
                .entry((grant.kind, grant.pattern.clone()))
                .and_modify(|known| {
                    if *known != Permission::Deny
                        && (grant.permission == Permission::Deny || grant.permission.strength() > known.strength())
                    {
                        *known = grant.permission;
                    }
                })
                .or_insert(grant.permission);
        }
        let alice = Subject::User(UserName::parse("alice").unwrap());
        let own: Vec<Grant> = pooled
            .into_iter()
            .map(|((kind, pattern), permission)| Grant { subject: alice.clone(), kind, pattern, permission })
            .collect();
        let (spread, own) = (principal(false, &grants), principal(false, &own));
        for action in ACTIONS {
            prop_assert_eq!(holds(&spread, action, &resource).is_ok(), holds(&own, action, &resource).is_ok());
        }
    }

    #[test]
    fn a_list_shows_what_a_single_read_shows(grants in grants()) {
        let principal = principal(false, &grants);
        for (kind, ids) in
            [(Kind::Experiment, ["1", "2", "3"]), (Kind::RegisteredModel, ["prod", "prod-2", "other"])]
        {
            let shown = visible_of(&principal, kind);
            for id in ids {
                let resource = Resource::top(kind, Arc::from(id));
                let single = holds(&principal, Action::Read, &resource).is_ok();
                prop_assert_eq!(single, visible(&principal, &resource));
                match &shown {
                    Visible::All => prop_assert!(single, "{} {} is listed", kind, id),
                    Visible::Only(listed) => {
                        prop_assert_eq!(single, listed.iter().any(|one| **one == *id), "{} {}", kind, id);
                    }
                    // The list is filtered by the very same fold.
                    Visible::Some => {}
                }
            }
        }
    }

    #[test]
    fn a_narrowed_token_never_allows_what_its_owner_may_not(
        grants in grants(), admin: bool, ceiling in a_ceiling(), requirement in a_requirement(),
    ) {
        let owner = principal(admin, &grants);
        let token = narrowed(&owner, &ceiling);
        if meets(&token, &requirement).is_ok() {
            prop_assert!(meets(&owner, &requirement).is_ok(), "{:?} {:?}", ceiling, requirement);
        }
    }

    #[test]
    fn a_narrowed_token_never_reaches_beyond_its_ceiling(
        grants in grants(), admin: bool, ceiling in a_ceiling(), resource in a_resource(),
    ) {
        let owner = principal(admin, &grants);
        let token = narrowed(&owner, &ceiling);
        for action in ACTIONS {
            let held = holds(&token, action, &resource);
            let within = ceiling.only.as_ref().is_none_or(|only| {
                only.iter().any(|Scope { kind, pattern }| {
                    resource.levels().any(|object| object.kind == *kind && pattern.matches(&object.id))
                })
            });
            let least = if action == Action::Create { Action::Edit } else { action };
            let enough = ceiling.most.is_none_or(|most| most.allows(least));
            let here = ceiling.workspace.is_none();
            if within && enough && here && !admin {
                prop_assert_eq!(held, holds(&owner, action, &resource), "below the ceiling nothing is taken away");
            } else if !(within && enough && here) {
                let by_ceiling = matches!(held, Err(Reason::AboveCeiling { .. } | Reason::OutsideScope(_)));
                prop_assert!(by_ceiling, "{} {:?}: {:?}", action, resource, held);
            }
        }
        prop_assert!(meets(&token, &Requirement::Admin("it is for them")).is_err());
    }

    #[test]
    fn a_list_shows_a_narrowed_token_what_a_single_read_shows(
        grants in grants(), admin: bool, ceiling in a_ceiling(),
    ) {
        let token = narrowed(&principal(admin, &grants), &ceiling);
        for (kind, ids) in
            [(Kind::Experiment, ["1", "2", "3"]), (Kind::RegisteredModel, ["prod", "prod-2", "other"])]
        {
            let shown = visible_of(&token, kind);
            for id in ids {
                let resource = Resource::top(kind, Arc::from(id));
                let single = holds(&token, Action::Read, &resource).is_ok();
                prop_assert_eq!(single, visible(&token, &resource));
                match &shown {
                    Visible::All => prop_assert!(single, "{} {} is listed", kind, id),
                    Visible::Only(listed) => {
                        prop_assert_eq!(single, listed.iter().any(|one| **one == *id), "{} {}", kind, id);
                    }
                    Visible::Some => {}
                }
            }
        }
    }

    #[test]
    fn a_grant_on_a_name_is_one_on_the_id_of_whatever_is_called_so(grants in grants(), resource in a_resource()) {
        // Each by somebody else, so that none replaces another on the same id.
        let mut by_id = Vec::new();
        for (n, grant) in grants.iter().enumerate() {
            let subject = Subject::Group(GroupName::parse(&format!("g{n}")).unwrap());
            if grant.kind != Kind::ExperimentName {
                by_id.push(Grant { subject, ..grant.clone() });
                continue;
            }
            for (m, (id, _)) in CALLED.iter().enumerate().filter(|(_, (_, name))| grant.pattern.matches(name)) {
                let subject = Subject::Group(GroupName::parse(&format!("g{n}-{m}")).unwrap());
                let pattern = Pattern::Exactly(Arc::from(*id));
                by_id.push(Grant { subject, kind: Kind::Experiment, pattern, permission: grant.permission });
            }
        }
        let (named, same) = (principal(false, &grants), principal(false, &by_id));
        for action in ACTIONS {
            prop_assert_eq!(holds(&named, action, &resource).is_ok(), holds(&same, action, &resource).is_ok());
        }
        let asked = Requirement::NotDenied(resource);
        prop_assert_eq!(meets(&named, &asked).is_ok(), meets(&same, &asked).is_ok());
    }

    #[test]
    fn who_does_not_know_a_name_gets_no_more_than_who_does(grants in grants(), resource in a_resource()) {
        let knowing = principal(false, &grants);
        let unknowing = Principal { names: Names::default(), ..Principal::clone(&knowing) };
        for action in ACTIONS {
            if holds(&unknowing, action, &resource).is_ok() {
                prop_assert!(holds(&knowing, action, &resource).is_ok(), "{action} on {}", resource.object);
            }
        }
        let asked = Requirement::NotDenied(resource);
        prop_assert!(meets(&unknowing, &asked).is_err() || meets(&knowing, &asked).is_ok());
    }

    #[test]
    fn who_manages_all_experiments_manages_each_by_id_and_by_name(grants in grants()) {
        let principal = principal(false, &grants);
        if meets(&principal, &Requirement::Whole(Kind::ExperimentName)).is_ok() {
            for (id, _) in CALLED {
                let each = Resource::top(Kind::Experiment, Arc::from(id));
                prop_assert!(holds(&principal, Action::Manage, &each).is_ok(), "{}", id);
            }
        }
    }

    #[test]
    fn nobody_means_nobody_and_a_stranger_holds_nothing(grants in grants(), resource in a_resource(), admin: bool) {
        let principal = principal(admin, &grants);
        let closed = [Requirement::Nobody("closed")];
        prop_assert!(decide(Some(principal), &closed, ()).is_err());
        for action in ACTIONS {
            let wanted = [Requirement::Holds { action, resource: resource.clone() }];
            prop_assert!(decide(None, &wanted, ()).is_err());
        }
    }

    #[test]
    fn every_requirement_must_be_met(grants in grants(), wanted in prop::collection::vec(a_resource(), 1..4)) {
        let principal = principal(false, &grants);
        let requirements: Vec<Requirement> = wanted
            .iter()
            .map(|resource| Requirement::Holds { action: Action::Edit, resource: resource.clone() })
            .collect();
        let all = wanted.iter().all(|resource| holds(&principal, Action::Edit, resource).is_ok());
        prop_assert_eq!(decide(Some(principal), &requirements, ()).is_ok(), all);
    }

    #[test]
    fn whoever_is_allowed_is_told_the_grant_that_decided(grants in grants(), resource in a_resource()) {
        let principal = principal(false, &grants);
        if let Ok(reason) = holds(&principal, Action::Read, &resource) {
            let Reason::Grant { subject, kind, pattern, permission, .. } = reason else {
                panic!("allowed without a grant: {reason}");
            };
            let decided = Grant { subject, kind, pattern, permission };
            prop_assert!(grants.contains(&decided), "{}", decided);
        }
    }
}

#[test]
fn what_is_granted_on_all_runs_reaches_only_into_experiments_that_may_be_read() {
    let alice = Subject::User(UserName::parse("alice").unwrap());
    let grant = |kind, pattern, permission| Grant { subject: alice.clone(), kind, pattern, permission };
    let all_runs = grant(Kind::Run, Pattern::Prefix(Arc::from("")), Permission::Edit);
    let this_run = grant(Kind::Run, Pattern::Exactly(Arc::from("a")), Permission::Read);
    let experiment = grant(Kind::Experiment, Pattern::Exactly(Arc::from("1")), Permission::Read);
    let may = |grants: &[&Grant], action| {
        let grants: Vec<Grant> = grants.iter().map(|grant| (*grant).clone()).collect();
        holds(&principal(false, &grants), action, &run("a", "1")).is_ok()
    };
    assert!(!may(&[&all_runs], Action::Read), "no experiment may be read");
    assert!(may(&[&all_runs, &experiment], Action::Edit));
    assert!(may(&[&this_run], Action::Read), "a grant on one run stands by itself");
    assert!(may(&[&this_run, &all_runs], Action::Read) && !may(&[&this_run, &all_runs], Action::Edit));
    assert!(may(&[&this_run, &all_runs, &experiment], Action::Edit));
}

fn queue(id: &str) -> Resource {
    Resource::inside(Kind::ReviewQueue, Arc::from(id), Object { kind: Kind::Experiment, id: Arc::from("1") })
}

fn among(action: Option<Action>, users: &[&str], least: Action, resource: Resource) -> Requirement {
    let users = users.iter().map(|user| Arc::from(*user)).collect();
    Requirement::Among { action, resource, named: vec![Named { users, least }] }
}

fn alice(grants: &[(Kind, &str, Permission)]) -> Arc<Principal> {
    let subject = Subject::User(UserName::parse("alice").unwrap());
    let grants: Vec<Grant> = grants
        .iter()
        .map(|(kind, pattern, permission)| Grant {
            subject: subject.clone(),
            kind: *kind,
            pattern: Pattern::parse(*kind, pattern).unwrap(),
            permission: *permission,
        })
        .collect();
    principal(false, &grants)
}

#[test]
fn a_member_needs_less_than_others() {
    let reader = alice(&[(Kind::Experiment, "1", Permission::Read)]);
    let may = |users: &[&str]| meets(&reader, &among(Some(Action::Manage), users, Action::Read, queue("q")));
    assert!(matches!(may(&["bob", "alice"]), Ok(Reason::Named(_))));
    assert_eq!(may(&["bob", "Alice", " alice", "alice2", ""]).unwrap_err().code(), "grant-too-low");
    assert!(may(&[]).is_err());
}

#[test]
fn being_named_replaces_no_grant() {
    let stranger = alice(&[]);
    let member = among(Some(Action::Manage), &["alice"], Action::Read, queue("q"));
    assert_eq!(meets(&stranger, &member).unwrap_err().code(), "no-grant");
    let reader = alice(&[(Kind::Experiment, "1", Permission::Read)]);
    let owner = among(Some(Action::Manage), &["alice"], Action::Edit, queue("q"));
    assert_eq!(meets(&reader, &owner).unwrap_err().code(), "grant-too-low");
}

#[test]
fn where_only_the_named_may_a_manager_is_refused_and_an_administrator_is_not() {
    let only = among(None, &["bob"], Action::Edit, queue("q"));
    let manager = alice(&[(Kind::Experiment, "*", Permission::Manage)]);
    assert_eq!(meets(&manager, &only).unwrap_err().code(), "not-named");
    assert_eq!(meets(&principal(true, &[]), &only), Ok(Reason::Admin));
    assert_eq!(decide(None, &[only], ()).unwrap_err().reason, Reason::Stranger);
}

#[test]
fn a_deny_on_queues_or_on_the_experiment_beats_being_named() {
    for denied in [(Kind::ReviewQueue, "*"), (Kind::ReviewQueue, "q"), (Kind::Experiment, "1"), (Kind::Experiment, "*")]
    {
        let alice = alice(&[(Kind::Experiment, "1", Permission::Manage), (denied.0, denied.1, Permission::Deny)]);
        for action in [Some(Action::Manage), None] {
            let refused = meets(&alice, &among(action, &["alice"], Action::Read, queue("q")));
            // One grant replaced the other where both are on experiment 1.
            assert!(refused.is_err(), "{denied:?} {action:?}");
        }
    }
}

#[test]
fn what_nobody_granted_is_not_denied_and_a_deny_anywhere_is() {
    let scorer = Resource::inside(Kind::Scorer, "1/x".into(), Object { kind: Kind::Experiment, id: Arc::from("1") });
    let not_denied = Requirement::NotDenied(scorer);
    assert_eq!(meets(&alice(&[]), &not_denied), Ok(Reason::NotDenied));
    for (kind, pattern) in [(Kind::Scorer, "*"), (Kind::Scorer, "1/*"), (Kind::Scorer, "1/x"), (Kind::Experiment, "1")]
    {
        let denied = alice(&[(kind, pattern, Permission::Deny), (Kind::Experiment, "*", Permission::Manage)]);
        assert_eq!(meets(&denied, &not_denied).unwrap_err().code(), "denied-by-grant", "{kind} {pattern}");
    }
    let other = alice(&[(Kind::Scorer, "1/y", Permission::Deny)]);
    assert!(meets(&other, &not_denied).is_ok());
    assert!(meets(&other, &Requirement::NoneDenied(Kind::Scorer)).is_err());
    assert!(meets(&other, &Requirement::NoneDenied(Kind::Run)).is_ok());
    assert!(meets(&principal(true, &[]), &Requirement::NoneDenied(Kind::Scorer)).is_ok());
}

proptest! {
    #[test]
    fn being_named_only_ever_helps_and_never_beyond_what_is_asked_besides(
        grants in proptest::collection::vec(a_grant(), 0..8), resource in a_resource(), action in 0..ACTIONS.len(),
        least in 0..ACTIONS.len(),
    ) {
        let (action, least) = (ACTIONS[action], ACTIONS[least]);
        let alice = principal(false, &grants);
        let outsider = meets(&alice, &among(Some(action), &["bob"], least, resource.clone()));
        prop_assert_eq!(outsider.is_ok(), holds(&alice, action, &resource).is_ok());
        let named = meets(&alice, &among(Some(action), &["alice"], least, resource.clone()));
        let either = holds(&alice, action, &resource).is_ok() || holds(&alice, least, &resource).is_ok();
        prop_assert_eq!(named.is_ok(), either);
        let only = meets(&alice, &among(None, &["alice"], least, resource.clone()));
        prop_assert_eq!(only.is_ok(), holds(&alice, least, &resource).is_ok());
        if meets(&alice, &Requirement::NotDenied(resource)).is_err() {
            prop_assert!(named.is_err());
        }
    }
}

fn creates(kind: Kind, name: &str) -> Requirement {
    Requirement::Creates { kind, name: Arc::from(name), workspace: Resource::workspace() }
}

/// Somebody with these grants and one rule.
fn maker(grants: &[(Kind, &str, Permission)], kind: Kind, names: &str) -> Principal {
    let mut set = GrantSet::new(Subject::Group(GroupName::parse("research").unwrap()));
    set.insert_rule(kind, Pattern::of_names(kind, names).unwrap());
    let mut alice = Principal::clone(&alice(grants));
    alice.grants.push(Arc::new(set));
    alice
}

#[test]
fn a_rule_lets_create_what_it_names_and_nothing_else() {
    let alice = maker(&[], Kind::Experiment, "research/*");
    assert_eq!(meets(&alice, &creates(Kind::Experiment, "research/a")).unwrap().code(), "create-rule");
    for name in ["research", "Research/a", "other", "", " research/a", "/research/a"] {
        assert_eq!(meets(&alice, &creates(Kind::Experiment, name)).unwrap_err().code(), "no-grant", "{name}");
    }
    assert!(meets(&alice, &creates(Kind::RegisteredModel, "research/a")).is_err());
    assert!(holds(&alice, Action::Create, &Resource::workspace()).is_err(), "a rule is no right to make anything");
    assert!(alice.belongs(), "whoever may create something has some business there");
    let of_all = maker(&[], Kind::Prompt, "*");
    assert!(meets(&of_all, &creates(Kind::Prompt, "x")).is_ok());
    assert!(meets(&of_all, &creates(Kind::RegisteredModel, "x")).is_err());
}

#[test]
fn a_rule_rescues_from_no_deny_and_replaces_no_use() {
    let denied = maker(&[(Kind::Workspace, "*", Permission::Deny)], Kind::Experiment, "*");
    assert_eq!(meets(&denied, &creates(Kind::Experiment, "x")).unwrap_err().code(), "denied-by-grant");
    let user = maker(&[(Kind::Workspace, "*", Permission::Use)], Kind::Experiment, "research/*");
    assert_eq!(meets(&user, &creates(Kind::Experiment, "elsewhere")).unwrap().code(), "grant");
    assert_eq!(decide(None, &[creates(Kind::Experiment, "x")], ()).unwrap_err().reason, Reason::Stranger);
}

#[test]
fn rules_speak_of_names_that_can_be() {
    for (kind, names) in [
        (Kind::Experiment, "a/b c*"),
        (Kind::Experiment, "*"),
        (Kind::Experiment, "team-?/*-prod"),
        (Kind::RegisteredModel, "a*"),
        (Kind::Prompt, "*-draft"),
    ] {
        assert_eq!(Pattern::of_names(kind, names).unwrap().to_string(), names);
    }
    for (kind, names) in [
        (Kind::Experiment, ""),
        (Kind::Experiment, "a\nb"),
        (Kind::Experiment, &"?".repeat(33)),
        (Kind::Experiment, &"x".repeat(501)),
        (Kind::Run, "*"),
        (Kind::Workspace, "*"),
        (Kind::GatewaySecret, "*"),
    ] {
        assert!(Pattern::of_names(kind, names).is_err(), "{kind} {names:?}");
    }
}

#[test]
fn a_narrowed_token_makes_things_only_within_its_scopes_and_with_edit() {
    let owner = principal(true, &[]);
    let may = |most: Option<Permission>, only: &[&str], kind, name: &str| {
        let only = (!only.is_empty()).then(|| only.iter().map(|scope| scope.parse().unwrap()).collect());
        let token = narrowed(&owner, &Ceiling { most, only, workspace: None });
        let new = Requirement::Creates { kind, name: Arc::from(name), workspace: Resource::workspace() };
        let any = Requirement::Holds { action: Action::Create, resource: Resource::workspace() };
        (meets(&token, &new).is_ok(), meets(&token, &any).is_ok())
    };
    let model = Kind::RegisteredModel;
    assert_eq!(may(Some(Permission::Edit), &[], model, "x"), (true, true));
    assert_eq!(may(Some(Permission::Use), &[], model, "x"), (false, false), "USE makes things, and changes them by it");
    assert_eq!(may(None, &["registered_model:team-*"], model, "team-a"), (true, false));
    assert_eq!(may(None, &["registered_model:team-*"], model, "other"), (false, false));
    // An experiment called `7` is not the one of that number.
    assert_eq!(may(None, &["experiment:7"], Kind::Experiment, "7"), (false, false));
    assert_eq!(may(None, &["experiment:*"], Kind::Experiment, "new"), (true, false));
}

#[test]
fn scopes_are_written_as_they_are_read() {
    for text in [
        "experiment:7",
        "experiment:*",
        "experiment_name:team-?/*",
        "registered_model:team-*",
        "prompt:a:b",
        "run:0123456789abcdef0123456789abcdef",
    ] {
        assert_eq!(text.parse::<Scope>().unwrap().to_string(), text);
    }
    for text in [
        "",
        "experiment",
        "experiment:",
        "experiment:x",
        "castle:1",
        "workspace:*",
        "workspace:default",
        "experiment:a*b",
        "experiment_name:*",
    ] {
        assert!(text.parse::<Scope>().is_err(), "{text}");
    }
    let only = Some(Arc::from(["experiment:7".parse().unwrap(), "prompt:a*".parse().unwrap()]));
    let ceiling =
        Ceiling { most: Some(Permission::Read), only, workspace: Some(WorkspaceName::parse("team-a").unwrap()) };
    assert_eq!(ceiling.to_string(), "READ at most, on experiment:7, prompt:a*, in workspace team-a");
    assert_eq!(Ceiling::default().to_string(), "all that its owner may");
}

fn experiment(id: &str) -> Resource {
    Resource::top(Kind::Experiment, Arc::from(id))
}

#[test]
fn a_name_is_not_an_id_and_an_id_is_not_a_name() {
    // Experiment 2 is called `1`.
    let by_name = alice(&[(Kind::ExperimentName, "1", Permission::Manage)]);
    assert!(holds(&by_name, Action::Manage, &experiment("2")).is_ok());
    assert_eq!(holds(&by_name, Action::Read, &experiment("1")).unwrap_err().code(), "no-grant");
    let by_id = alice(&[(Kind::Experiment, "1", Permission::Manage)]);
    assert!(holds(&by_id, Action::Manage, &experiment("1")).is_ok());
    assert!(holds(&by_id, Action::Read, &experiment("2")).is_err());
}

#[test]
fn a_deny_by_name_beats_all_and_a_grant_by_name_rescues_no_denied_id() {
    use Permission::{Deny, Manage};
    let all = (Kind::Workspace, "*", Manage);
    for denied in ["team-a/x", "team-a/*", "team-?/*"] {
        let alice = alice(&[all, (Kind::Experiment, "1", Manage), (Kind::ExperimentName, denied, Deny)]);
        assert_eq!(holds(&alice, Action::Read, &experiment("1")).unwrap_err().code(), "denied-by-grant", "{denied}");
        assert!(holds(&alice, Action::Read, &run("a", "1")).is_err(), "what lies in it is denied too");
        assert!(holds(&alice, Action::Manage, &experiment("2")).is_ok());
        let not_denied = Requirement::NotDenied(Resource::top(Kind::ExperimentName, Arc::from("team-a/x")));
        assert!(meets(&alice, &not_denied).is_err());
    }
    let alice = alice(&[(Kind::Experiment, "1", Deny), (Kind::ExperimentName, "team-a/*", Manage)]);
    let Reason::Grant { kind, permission, .. } = holds(&alice, Action::Read, &experiment("1")).unwrap_err() else {
        panic!("a grant decides")
    };
    assert_eq!((kind, permission), (Kind::Experiment, Deny));
}

#[test]
fn a_grant_by_name_reaches_what_lies_in_the_experiment_and_is_told_as_such() {
    let alice = alice(&[(Kind::ExperimentName, "team-?/*", Permission::Edit)]);
    let reason = holds(&alice, Action::Edit, &run("a", "1")).unwrap();
    assert_eq!(reason.to_string(), "edit wanted; user alice holds EDIT on experiment_name team-?/*");
    assert!(holds(&alice, Action::Manage, &run("a", "1")).is_err());
    assert!(holds(&alice, Action::Read, &experiment("2")).is_err());
}

#[test]
fn where_a_name_is_not_known_a_deny_on_names_denies_and_a_grant_gives_nothing() {
    use Permission::{Deny, Manage, Read};
    let far = experiment("77");
    let denied = alice(&[(Kind::Experiment, "*", Manage), (Kind::ExperimentName, "x*", Deny)]);
    assert_eq!(holds(&denied, Action::Read, &far).unwrap_err().code(), "name-unknown");
    assert_eq!(meets(&denied, &Requirement::NotDenied(far.clone())).unwrap_err().code(), "name-unknown");
    let given = alice(&[(Kind::ExperimentName, "x*", Manage)]);
    assert_eq!(holds(&given, Action::Read, &far).unwrap_err().code(), "no-grant");
    // By its name less may be granted than on the workspace.
    let less = alice(&[(Kind::Workspace, "*", Manage), (Kind::ExperimentName, "x*", Read)]);
    assert_eq!(holds(&less, Action::Edit, &far).unwrap_err().code(), "name-unknown");
    assert!(holds(&less, Action::Read, &far).is_ok());
    // There is no such experiment: no name of it speaks.
    let gone = denied.knowing([(Arc::from("77"), None)]);
    assert!(holds(&gone, Action::Read, &far).is_ok());
}

#[test]
fn many_patterns_cost_no_walk_over_the_beginnings() {
    let mut set = GrantSet::new(Subject::User(UserName::parse("alice").unwrap()));
    for n in 0..20_000 {
        set.insert(Kind::RegisteredModel, Pattern::Prefix(Arc::from(format!("team-{n:05}/"))), Permission::Read);
    }
    set.insert(Kind::RegisteredModel, Pattern::Prefix(Arc::from("ä")), Permission::Use);
    set.insert(Kind::RegisteredModel, Pattern::Glob(Arc::from("*/prod")), Permission::Edit);
    let on = |name: &str| {
        let object = Object { kind: Kind::RegisteredModel, id: Arc::from(name) };
        set.on(&object).map(|(held, permission)| (held.to_pattern().to_string(), permission)).collect::<Vec<_>>()
    };
    assert_eq!(
        on("team-00077/prod"),
        [("team-00077/*".to_owned(), Permission::Read), ("*/prod".to_owned(), Permission::Edit)]
    );
    // Lengths are counted in bytes, and no letter is cut in two.
    assert_eq!(on("äö"), [("ä*".to_owned(), Permission::Use)]);
    assert_eq!(on("team-0007Ä/"), []);
}

#[test]
fn patterns_are_read_as_they_are_written() {
    for (kind, text, form) in [
        (Kind::ExperimentName, "team-a/x", "exact"),
        (Kind::ExperimentName, "123", "exact"),
        (Kind::ExperimentName, "team-a/*", "prefix"),
        (Kind::RegisteredModel, "team-?/*-prod", "glob"),
        (Kind::Prompt, "*", "prefix"),
        (Kind::ModelVersion, "*/3", "glob"),
        (Kind::RegisteredModel, "what[?]*", "prefix"),
    ] {
        let pattern = Pattern::parse(kind, text).unwrap();
        let found = match pattern {
            Pattern::Exactly(_) => "exact",
            Pattern::Prefix(_) => "prefix",
            Pattern::Glob(_) => "glob",
        };
        assert_eq!((found, pattern.to_string().as_str()), (form, text));
    }
    assert_eq!(Pattern::parse(Kind::RegisteredModel, "what[?]"), Ok(Pattern::Exactly(Arc::from("what?"))));
    for (kind, text, told) in [
        (Kind::Experiment, "team-a/*", "grants on `experiment_name`"),
        (Kind::Experiment, "1?", "grants on `experiment_name`"),
        (Kind::Run, "a*", "either one id or `*`"),
        (Kind::ExperimentName, "*", "one on `experiment`, `*`"),
        (Kind::ExperimentName, "**", "one on `experiment`, `*`"),
        (Kind::ExperimentName, "", "not empty"),
        (Kind::RegisteredModel, "a\nb*", "control characters"),
        (Kind::RegisteredModel, &"*a".repeat(33), "32 `*` and `?`"),
    ] {
        let fault = Pattern::parse(kind, text).unwrap_err().to_string();
        assert!(fault.contains(told), "{text:?}: {fault}");
    }
}

#[test]
fn a_token_for_names_reaches_what_is_called_so_and_nothing_whose_name_is_not_known() {
    let owner = alice(&[(Kind::Workspace, "*", Permission::Manage)]);
    let only = Some(Arc::from(["experiment_name:team-?/*".parse::<Scope>().unwrap()]));
    let token = narrowed(&owner, &Ceiling { most: None, only, workspace: None });
    assert!(holds(&token, Action::Edit, &run("a", "1")).is_ok());
    assert_eq!(holds(&token, Action::Read, &experiment("2")).unwrap_err().code(), "outside-token-scope");
    let unknowing = Principal { names: Names::default(), ..Principal::clone(&token) };
    assert!(unknowing.lacks_name_of(&experiment("1").object), "its name is asked for");
    assert_eq!(holds(&unknowing, Action::Read, &experiment("1")).unwrap_err().code(), "outside-token-scope");
    assert_eq!(visible_of(&token, Kind::Experiment), Visible::Some);
    assert!(meets(&token, &creates(Kind::Experiment, "team-b/new")).is_ok());
    assert!(meets(&token, &creates(Kind::Experiment, "other")).is_err());
}
