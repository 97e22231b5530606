//! Is our decision MLflow's own, but for what we want to be otherwise?
//!
//! The fold of `access` against MLflow's pure one (`mlflow/server/auth/requirements.py` and `permissions.py`), on generated
//! grants, roles and requirements; then the differences that are wanted, one test each.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod oracle;

use trackgate::access::grant::Pattern;
use trackgate::mlflow::permission::Action;
use trackgate::mlflow::resource::{Grantable, Kind};

use crate::oracle::{Given, HOME, WANTED, WORKSPACE, compare, given, member, ours};

fn may(roles: &[&[&str]], kind: Kind, action: Action) -> bool {
    let roles: Vec<Vec<Given>> = roles.iter().map(|role| role.iter().map(|grant| given(grant)).collect()).collect();
    ours(&member(&roles), kind, Some(action))
}

#[test]
fn we_decide_as_mlflow_does_in_fifteen_thousand_cases() {
    let (agreed, stricter) = compare(include_str!("fixtures/mlflow_decisions.csv"));
    println!("{agreed} agreed, stricter: {stricter:?}");
    let differing: usize = stricter.values().sum();
    assert!(agreed + differing >= 15_000, "{agreed} and {differing} cases");
    assert!(agreed >= 12_000, "{agreed} agreed, {stricter:?}");
    for reason in WANTED {
        assert!(stricter.get(reason).is_some_and(|cases| *cases >= 20), "no cases for: {reason}");
    }
}

#[test]
fn manage_on_the_workspace_outvotes_neither_a_narrower_grant_nor_a_deny() {
    let workspace: &[&str] = &["workspace:*=MANAGE"];
    assert!(
        may(&[workspace], Kind::Run, Action::Delete),
        "{WORKSPACE}: where nothing narrower speaks it is everything"
    );
    assert!(!may(&[workspace, &["experiment:1=DENY"]], Kind::Run, Action::Read));
    assert!(!may(&[workspace, &["experiment:1=READ"]], Kind::Experiment, Action::Edit));
}

#[test]
fn a_deny_on_what_the_object_lies_in_is_final() {
    assert!(!may(&[&["experiment:1=DENY"], &["run:*=MANAGE"]], Kind::Run, Action::Read), "{HOME}");
    assert!(!may(&[&["scorer:1/alpha=DENY", "scorer_version:*=MANAGE"]], Kind::ScorerVersion, Action::Read));
}

#[test]
fn groups_count_as_mlflows_roles_do() {
    // MLflow knows roles that users are given; ours are groups of the identity provider, and the person besides.
    assert!(may(&[&["experiment:1=READ"], &["experiment:*=EDIT"]], Kind::Experiment, Action::Edit));
    assert!(!may(&[&["experiment:1=MANAGE"], &["experiment:*=DENY"]], Kind::Experiment, Action::Read));
}

#[test]
fn names_have_patterns_and_single_inner_things_have_grants_which_mlflow_has_not() {
    assert!(may(&[&["registered_model:al*=EDIT"]], Kind::RegisteredModel, Action::Edit));
    assert!(!may(&[&["registered_model:be*=EDIT"]], Kind::RegisteredModel, Action::Read));
    assert!(Pattern::parse(Kind::Experiment, "1*").is_err(), "ids have no meaningful beginnings");
    let this = "run:0123456789abcdef0123456789abcdef=READ";
    assert!(may(&[&[this]], Kind::Run, Action::Read) && !may(&[&[this]], Kind::Experiment, Action::Read));
}

#[test]
fn without_a_grant_there_is_nothing_whatever_mlflows_default_permission_is() {
    // MLflow's `default_permission` (READ as shipped) gives every user something on everything. Ours is a grant like
    // any other, to be written down.
    for kind in Kind::ALL.into_iter().filter(|kind| kind.grantable() != Grantable::No) {
        // MLflow 3.17.2 knows no grants on these.
        if matches!(kind, Kind::Skill | Kind::Job | Kind::ExperimentName) {
            continue;
        }
        assert!(!may(&[], kind, Action::Read), "{kind}");
    }
    assert!(may(&[&["experiment:*=READ"]], Kind::Experiment, Action::Read));
}
