//! Does the policy table speak of exactly what MLflow serves? (`docs/ARCHITECTURE.md`, "The table")
//!
//! The fixtures are captured from installed servers by `tests/fixtures/capture.py`; a new MLflow version is one run of it
//! and one line here.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::{BTreeMap, HashMap, HashSet};

use proptest::prelude::*;
use serde::Deserialize;
use trackgate::policy::classify::{classify, rows};
use trackgate::policy::compare::{Difference, compare};
use trackgate::policy::path::Path;
use trackgate::policy::print;
use trackgate::policy::route::{Answer, Check, Count, Effect, Need, New, Prefixes, Row, Verb};

/// The supported versions.
const ROUTES: &[&str] =
    &[include_str!("fixtures/mlflow-3.17.2/routes.csv"), include_str!("fixtures/mlflow-3.18.0/routes.csv")];

/// Versions whose messages were captured. The parts of 3.18.0 cannot be installed.
const FIELDS: &[&str] = &[include_str!("fixtures/mlflow-3.17.2/fields.json")];

#[derive(Deserialize)]
struct Captured {
    calls: Vec<CapturedCall>,
    messages: HashMap<String, BTreeMap<String, String>>,
}

#[derive(Deserialize)]
struct CapturedCall {
    method: String,
    path: String,
    message: String,
}

/// Fields that look like ids and are looked at: by call (`*`: by every one), with the reason why nobody must hold
/// anything for them.
const HARMLESS: &[(&str, &str, &str)] = &[
    ("*", "user_id", "who the run is said to be of; MLflow decides nothing by it"),
    ("*", "metrics[].run_id", "MLflow takes the request's own run"),
    ("*", "datasets[].dataset.source", "a text about where data came from; the server never opens it"),
    ("*", "deployment_job_id", "a Databricks job; the SQL store ignores it"),
];

fn captured() -> impl Iterator<Item = (Captured, HashMap<(String, String), String>)> {
    FIELDS.iter().map(|text| {
        let captured: Captured = serde_json::from_str(text).unwrap();
        let calls = captured
            .calls
            .iter()
            .map(|call| ((call.method.clone(), call.path.clone()), call.message.clone()))
            .collect();
        (captured, calls)
    })
}

/// The fields of query and body that a row names.
fn named(row: &Row) -> Vec<&'static str> {
    let mut fields = Vec::new();
    for need in row.needs {
        let field = match need {
            Need::On { field, .. }
            | Need::OnOrCreate { field, .. }
            | Need::OnArtifact { field, .. }
            | Need::OnExperimentNamed { field, .. } => field,
            Need::Checked(check) => match check {
                Check::ArtifactLocation(field)
                | Check::ModelSource(field)
                | Check::NewModelName(field)
                | Check::TagKey(field)
                | Check::ExperimentToo(field)
                | Check::SafePath(field) => field,
            },
            Need::Anyone | Need::SignedIn | Need::Admin(_) | Need::Nobody(_) | Need::Create => continue,
        };
        fields.extend(field.split(['|', '/']).filter(|field| !field.starts_with('{')));
    }
    fields
}

#[test]
fn every_route_has_one_row_and_every_row_a_route() {
    let differences: Vec<String> = compare(ROUTES).iter().map(ToString::to_string).collect();
    assert!(differences.is_empty(), "{differences:#?}");
}

#[test]
fn a_version_that_the_table_does_not_know_is_noticed() {
    let route = "POST,/api/2.0/mlflow/experiments/merge,mlflow.server.handlers._merge,flask";
    assert!(compare(&[ROUTES[0], ROUTES[1], route]).iter().any(|found| matches!(found, Difference::NoRow { .. })));
    assert!(compare(&ROUTES[..1]).iter().any(|found| matches!(found, Difference::Dead { .. })));
}

#[test]
fn every_field_that_a_row_names_is_a_field_of_the_message() {
    for (captured, calls) in captured() {
        let mut judged = 0;
        for row in rows() {
            let Some(message) = calls.get(&(row.verb.to_string(), row.path.to_owned())) else { continue };
            let fields = &captured.messages[message];
            for field in named(row) {
                let known = fields.contains_key(field) || fields.contains_key(&format!("{field}[]"));
                assert!(known, "{} {}: {message} has no field `{field}`", row.verb, row.path);
                judged += 1;
            }
        }
        assert!(judged > 80, "only {judged} fields were compared");
    }
}

#[test]
fn every_field_that_looks_like_an_id_is_judged_or_looked_at() {
    let like_an_id = |field: &str| {
        let last = field.rsplit('.').next().unwrap_or(field).trim_end_matches("[]");
        ["_id", "_ids", "_uuid", "path", "source", "_uri", "_location"].iter().any(|end| last.ends_with(end))
    };
    let mut unlooked = Vec::new();
    let mut used = HashSet::new();
    for (captured, calls) in captured() {
        for row in rows().filter(|row| row.closed().is_none()) {
            let Some(message) = calls.get(&(row.verb.to_string(), row.path.to_owned())) else { continue };
            let named = named(row);
            let captures: Vec<&str> = row.path.split(['{', '}', '*', '/']).collect();
            for field in captured.messages[message].keys().filter(|field| like_an_id(field)) {
                let judged = named.contains(&field.trim_end_matches("[]")) || captures.contains(&field.as_str());
                let harmless =
                    HARMLESS.iter().position(|(call, known, _)| (*call == "*" || *call == row.name) && known == field);
                used.extend(harmless);
                if !judged && harmless.is_none() {
                    unlooked.push(format!("{} {}: {field}", row.verb, row.path));
                }
            }
        }
    }
    assert!(unlooked.is_empty(), "neither judged nor looked at: {unlooked:#?}");
    assert_eq!(used.len(), HARMLESS.len(), "an entry of HARMLESS is not needed");
}

#[test]
fn no_two_rows_speak_of_one_route() {
    let mut seen = HashSet::new();
    for row in rows() {
        let shape: Vec<&str> = row
            .path
            .split('/')
            .map(|segment| match segment {
                rest if rest.starts_with("{*") => "{*}",
                one if one.starts_with('{') => "{}",
                literal => literal,
            })
            .collect();
        let spots: &[&str] = match row.prefixes {
            Prefixes::Both => &["api", "ajax-api"],
            Prefixes::Api => &["api"],
            Prefixes::Ajax => &["ajax-api"],
            Prefixes::None => &[""],
        };
        for spot in spots {
            assert!(seen.insert((row.verb, *spot, shape.join("/"))), "{} {} stands twice", row.verb, row.path);
        }
    }
}

#[test]
fn what_creates_gives_an_owner_and_what_lists_is_filtered() {
    for row in rows().filter(|row| row.closed().is_none()) {
        if row.needs.contains(&Need::Create) {
            assert!(matches!(row.effect, Effect::Owns { .. }), "{} makes something without an owner", row.name);
        }
        if row.needs.iter().any(|need| matches!(need, Need::OnOrCreate { .. })) {
            let guarded = matches!(row.effect, Effect::Owns { new: New::IfAbsent | New::First(_), .. });
            assert!(guarded, "{} gives away what was there before", row.name);
        }
        let by_id = row
            .needs
            .iter()
            .any(|need| matches!(need, Need::OnArtifact { .. } | Need::On { count: Count::One | Count::Each, .. }));
        let admins = row.needs.iter().any(|need| matches!(need, Need::Admin(_)));
        if (row.name.starts_with("Search") || row.name.starts_with("List")) && !by_id && !admins {
            assert!(matches!(row.answer, Answer::Keep(_)), "{} lists without a filter", row.name);
        }
        if row.needs.iter().any(|need| matches!(need, Need::On { count: Count::Narrowed, .. })) {
            assert!(matches!(row.answer, Answer::Keep(_)), "{} is narrowed but not filtered", row.name);
        }
    }
}

#[test]
fn every_closed_row_says_why_and_only_our_own_are_open_to_strangers() {
    for row in rows() {
        if let Some(why) = row.closed() {
            assert!(why.len() > 10 && row.needs.len() == 1, "{} {}", row.verb, row.path);
        }
        if row.open_to_strangers() {
            assert!(row.path.starts_with("trackgate/"), "{} {} is open to strangers", row.verb, row.path);
        }
    }
}

#[test]
fn names_of_one_call_differ_or_are_the_same_handler() {
    let mut names: HashMap<&str, Vec<&Row>> = HashMap::new();
    for row in rows() {
        names.entry(row.name).or_default().push(row);
    }
    for (name, rows) in names {
        let same = rows.iter().all(|row| row.closed().is_some() == rows[0].closed().is_some());
        assert!(same, "{name} is both open and closed");
    }
}

#[test]
fn the_printed_table_is_the_table() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/routes.md");
    let printed = print::markdown(rows());
    if std::env::var_os("TRACKGATE_BLESS").is_some() {
        std::fs::write(path, &printed).unwrap();
    }
    let written = std::fs::read_to_string(path).unwrap_or_default();
    assert!(written == printed, "docs/routes.md is old: TRACKGATE_BLESS=1 cargo test --test routes writes it anew");
}

proptest! {
    #[test]
    fn classifying_never_panics(raw in "(/|api/|ajax-api/|2\\.0/mlflow/|artifacts/|\\PC){0,12}", verb in 0..5_usize) {
        let verb = [Verb::Get, Verb::Post, Verb::Put, Verb::Patch, Verb::Delete][verb];
        if let Ok(path) = Path::parse(&format!("/{raw}")) {
            drop(classify(verb, &path));
            drop(classify(verb, &path.below("/api")));
        }
    }
}
