//! Does the table know every route of the MLflow that is installed?

use std::process::Command;

use trackgate::policy::classify::{Classified, classify};
use trackgate::policy::path::Path;
use trackgate::policy::route::Verb;

use crate::stage::python::Environment;
use crate::stage::{repository, run};

/// A request that MLflow's pattern matches: each placeholder (`<id>`, `<path:p>`, `{id}`, `{p:path}`) filled in.
fn example(pattern: &str) -> String {
    let mut path = String::new();
    let mut rest = pattern;
    while let Some(open) = rest.find(['<', '{']) {
        let close = rest[open..].find(['>', '}']).map(|close| open + close).unwrap();
        path.push_str(&rest[..open]);
        path.push_str(if rest[open..close].contains("path") { "1/a" } else { "1" });
        rest = &rest[close + 1..];
    }
    path + rest
}

#[test]
fn every_route_of_the_installed_mlflow_has_a_row() {
    let environment = Environment::with_mlflow().unwrap();
    let script = repository().join("tests/live/python/list_routes.py");
    let routes = run(Command::new(environment.python()).arg(script)).unwrap();
    let mut strangers = Vec::new();
    for route in routes.lines() {
        let (method, pattern) = route.split_once(' ').unwrap();
        let verb = match method {
            "GET" => Verb::Get,
            "POST" => Verb::Post,
            "PUT" => Verb::Put,
            "PATCH" => Verb::Patch,
            "DELETE" => Verb::Delete,
            other => panic!("no row can speak of {other} {pattern}"),
        };
        let path = Path::parse(&example(pattern)).unwrap();
        if !matches!(classify(verb, &path), Classified::Call(call) if !call.is_local()) {
            strangers.push(route);
        }
    }
    assert!(routes.lines().count() > 480, "MLflow listed only {} routes", routes.lines().count());
    assert!(strangers.is_empty(), "no row for: {strangers:#?}");
}

#[test]
fn placeholders_of_both_frameworks_are_filled() {
    assert_eq!(example("/a/<b>/c/<path:d>"), "/a/1/c/1/a");
    assert_eq!(example("/gateway/{name}:generate/{p:path}"), "/gateway/1:generate/1/a");
}
