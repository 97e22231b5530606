//! How long does the decision take, once everything is in memory? The goal is under 5 microseconds for a call.
//!
//! `cargo bench --bench decide`. Each measure takes a raw path (and body) to a verdict: path, row, fields, the run's
//! experiment as the cache would tell it, and the fold over the grants of a person in ten groups.

#![allow(clippy::unwrap_used, reason = "a benchmark may panic")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use criterion::{Criterion, criterion_group, criterion_main};
use trackgate::access::decide::{Requirement, decide};
use trackgate::access::grant::{GrantSet, Pattern, Subject};
use trackgate::access::identity::{Identity, Names, Principal, Proof};
use trackgate::mlflow::ids::{GroupName, UserName, WorkspaceName};
use trackgate::mlflow::permission::{Action, Permission};
use trackgate::mlflow::resource::{Kind, Object, Resource};
use trackgate::policy::classify::{Call, Classified, classify};
use trackgate::policy::fields;
use trackgate::policy::path::Path;
use trackgate::policy::route::Verb;

const RUN: &str = "0123456789abcdef0123456789abcdef";

fn principal() -> Arc<Principal> {
    let user = UserName::parse("alice@example.com").unwrap();
    let mut grants = vec![GrantSet::new(Subject::User(user.clone()))];
    for group in 0..10 {
        grants.push(GrantSet::new(Subject::Group(GroupName::parse(&format!("team-{group}")).unwrap())));
    }
    for (index, set) in grants.iter_mut().enumerate() {
        for experiment in 0..100 {
            let id = format!("{}", index * 100 + experiment);
            set.insert(Kind::Experiment, Pattern::Exactly(Arc::from(id)), Permission::Edit);
        }
        set.insert(Kind::RegisteredModel, Pattern::parse(Kind::RegisteredModel, "shared-*").unwrap(), Permission::Read);
    }
    let identity = Identity {
        user,
        issuer: Arc::from("https://issuer.example.com"),
        subject: Arc::from("1"),
        groups: Vec::new(),
        proof: Proof::Bearer,
        until: SystemTime::UNIX_EPOCH + Duration::from_secs(4_000_000_000),
        token: None,
    };
    Arc::new(Principal {
        identity: Arc::new(identity),
        admin: false,
        workspace: WorkspaceName::default(),
        grants: grants.into_iter().map(Arc::new).collect(),
        names: Names::default(),
    })
}

fn find(verb: Verb, raw: &str) -> Call {
    match classify(verb, &Path::parse(raw).unwrap()) {
        Classified::Call(call) => call,
        other => panic!("{raw}: {other:?}"),
    }
}

fn run(action: Action) -> [Requirement; 1] {
    let experiment = Object { kind: Kind::Experiment, id: Arc::from("1042") };
    [Requirement::Holds { action, resource: Resource::inside(Kind::Run, Arc::from(RUN), experiment) }]
}

fn calls(bench: &mut Criterion) {
    let principal = principal();
    let judge = |verb, path: &str, query: Option<&str>, body: Option<&[u8]>, action| {
        let call = find(verb, path);
        let fields = fields::read(&call, &http::HeaderMap::new(), query, body).unwrap();
        black_box(&fields);
        decide(Some(Arc::clone(&principal)), &run(action), ()).unwrap()
    };
    let query = format!("run_uuid={RUN}&run_id={RUN}");
    bench.bench_function("GET runs/get", |timer| {
        timer.iter(|| judge(Verb::Get, black_box("/api/2.0/mlflow/runs/get"), Some(&query), None, Action::Read));
    });
    let metric = format!(
        r#"{{"run_uuid": "{RUN}", "run_id": "{RUN}", "key": "loss", "value": 0.25, "timestamp": 1750000000000, "step": 7}}"#
    );
    bench.bench_function("POST runs/log-metric", |timer| {
        let path = "/api/2.0/mlflow/runs/log-metric";
        timer.iter(|| judge(Verb::Post, black_box(path), None, Some(metric.as_bytes()), Action::Edit));
    });
    let file = format!("/api/2.0/mlflow-artifacts/artifacts/1042/{RUN}/artifacts/model/MLmodel");
    bench.bench_function("PUT artifact", |timer| {
        timer.iter(|| judge(Verb::Put, black_box(&file), None, None, Action::Edit));
    });
}

fn parts(bench: &mut Criterion) {
    let principal = principal();
    bench.bench_function("path and row", |timer| timer.iter(|| find(Verb::Get, black_box("/api/2.0/mlflow/runs/get"))));
    bench.bench_function("decide", |timer| {
        let asked = run(Action::Edit);
        timer.iter(|| decide(Some(Arc::clone(&principal)), black_box(&asked), ()).unwrap());
    });
    let metrics: Vec<String> = (0..1000)
        .map(|step| format!(r#"{{"key": "loss", "value": 0.25, "timestamp": 1750000000000, "step": {step}}}"#))
        .collect();
    let batch = format!(r#"{{"run_id": "{RUN}", "metrics": [{}]}}"#, metrics.join(", "));
    let call = find(Verb::Post, "/api/2.0/mlflow/runs/log-batch");
    bench.bench_function("fields of a log-batch with 1000 metrics", |timer| {
        timer.iter(|| fields::read(&call, &http::HeaderMap::new(), None, Some(black_box(batch.as_bytes()))).unwrap());
    });
}

criterion_group!(benches, calls, parts);
criterion_main!(benches);
