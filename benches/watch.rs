//! What does it cost to watch a request (its numbers for Prometheus), and to bound what its caller may send (`[rates]`)?
//!
//! `cargo bench --bench watch`. A decision with everything in memory, alone and with what is asked about, in turns, so that a busy
//! machine slows all alike; what counts is the difference in the same run. Nothing is limited here: it is the ordinary way.

#![allow(clippy::unwrap_used, reason = "a benchmark may panic")]

use std::hint::black_box;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use trackgate::access::decide::{Requirement, decide};
use trackgate::access::grant::{GrantSet, Pattern, Subject};
use trackgate::access::identity::{Identity, Names, Principal, Proof};
use trackgate::gate::limits::{Limits, Rate, Settings};
use trackgate::metrics::{Metrics, Spent, Verdict};
use trackgate::mlflow::ids::{UserName, WorkspaceName};
use trackgate::mlflow::permission::{Action, Permission};
use trackgate::mlflow::resource::{Kind, Object, Resource};
use trackgate::policy::classify::{Classified, classify};
use trackgate::policy::fields;
use trackgate::policy::path::Path;
use trackgate::policy::route::Verb;

const RUN: &str = "0123456789abcdef0123456789abcdef";
const PATH: &str = "/api/2.0/mlflow/runs/get";
const ROUNDS: usize = 1000;
const CALLS: u32 = 1000;
/// Callers, in turn, each from an address of their own.
const PEOPLE: usize = 200;
/// CPU time of a whole request, from docs/benchmarks.md ("What came out").
const WHOLE: f64 = 47.6e-6;

fn principal(name: &str) -> Arc<Principal> {
    let user = UserName::parse(name).unwrap();
    let mut grants = GrantSet::new(Subject::User(user.clone()));
    for experiment in 0..100 {
        grants.insert(Kind::Experiment, Pattern::Exactly(Arc::from(experiment.to_string())), Permission::Read);
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
        grants: vec![Arc::new(grants)],
        names: Names::default(),
    })
}

/// Path, row, fields, decision.
fn judge(principal: &Arc<Principal>) {
    let Classified::Call(call) = classify(Verb::Get, &Path::parse(black_box(PATH)).unwrap()) else { unreachable!() };
    let query = format!("run_uuid={RUN}&run_id={RUN}");
    black_box(fields::read(&call, &http::HeaderMap::new(), Some(&query), None).unwrap());
    let experiment = Object { kind: Kind::Experiment, id: Arc::from("42") };
    let resource = Resource::inside(Kind::Run, Arc::from(RUN), experiment);
    let wanted = [Requirement::Holds { action: Action::Read, resource }];
    black_box(decide(Some(Arc::clone(principal)), &wanted, ()).unwrap());
}

/// The limits that the configuration has by default, without an end to what may be sent.
fn limits() -> Limits {
    let endless = Rate::new(1_000_000, 1_000_000_000);
    Limits::new(&Settings { address: endless, person: endless, ..Settings::default() })
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let people: Vec<_> = (0..PEOPLE).map(|index| principal(&format!("user{index}@example.com"))).collect();
    let address = |index: usize| IpAddr::from([192, 0, 2, u8::try_from(index % PEOPLE).unwrap()]);
    let (metrics, limits) = (Metrics::new(), limits());
    let verdict = Verdict { call: Some("GetRun"), outcome: "allow", status: 200, reason: "grant" };
    let numbers = |began: Instant, exchange: trackgate::metrics::Exchange| {
        let spent = Spent::default();
        spent.upstream(Duration::from_micros(300));
        exchange.answered(&verdict, began.elapsed(), &spent);
    };
    let what = ["the decision alone", "with its numbers", "with [rates]", "with both"];
    let mut times: [Vec<Duration>; 4] = Default::default();
    for round in 0..=ROUNDS {
        for (way, times) in times.iter_mut().enumerate() {
            let (watched, bounded) = (way % 2 == 1, way >= 2);
            let begun = Instant::now();
            for index in 0..CALLS as usize {
                let principal = &people[index % PEOPLE];
                let exchange = watched.then(|| (Instant::now(), metrics.begin()));
                let place = if bounded {
                    limits.admit(address(index)).unwrap();
                    Some(limits.place(&principal.identity.user).await.unwrap())
                } else {
                    None
                };
                judge(principal);
                if let Some((began, exchange)) = exchange {
                    numbers(began, exchange);
                }
                drop(place);
            }
            // The first round warms.
            if round > 0 {
                times.push(begun.elapsed() / CALLS);
            }
        }
    }
    let mut base = None;
    for (what, mut times) in what.iter().zip(times) {
        times.sort_unstable();
        let median = times[times.len() / 2].as_nanos();
        let base = *base.get_or_insert(median);
        #[expect(clippy::cast_precision_loss, reason = "some thousand nanoseconds")]
        let (ratio, share) = (median as f64 / base as f64, median.saturating_sub(base) as f64 * 1e-9 / WHOLE * 100.0);
        println!(
            "{what}: median {median} ns, ratio {ratio:.2}, {} ns more, {share:.1} % of a whole request's CPU time",
            median.saturating_sub(base)
        );
    }
    let begun = Instant::now();
    let length = black_box(metrics.text()).len();
    println!("one look at the numbers: {:?}, {length} bytes", begun.elapsed());
}
