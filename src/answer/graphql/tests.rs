//! GraphQL against an MLflow in memory, that reads the documents it gets as the real one does: fields, keys, inputs.

use std::cell::RefCell;
use std::collections::HashMap;

use proptest::prelude::*;

use super::*;
use crate::answer::Settings;
use crate::answer::query::tests::post;
use crate::answer::testing::{MODEL_VERSIONS, RUNS, ann};
use crate::clock::Clock;
use crate::message::{Payload, Request};
use crate::mlflow::graphql::{self, Holds, Selection};
use crate::mlflow::permission::Permission::{self, Deny, Read};
use crate::seal::Seal;

const GRAPH: Graph = Graph { runs: RUNS, versions: MODEL_VERSIONS };

type Grants<'a> = &'a [(Kind, &'a str, Permission)];

fn run_id(n: u32) -> String {
    format!("{n:032x}")
}

/// Runs 1 to `runs`, run `n` in experiment `n % 5`; each made the logged models `n` and `n + 1` and a version of its own.
struct Mlflow {
    runs: u32,
    asked: RefCell<Vec<String>>,
    /// An answer to give instead of the right one.
    instead: Option<String>,
}

impl Mlflow {
    fn new(runs: u32) -> Self {
        Self { runs, asked: RefCell::default(), instead: None }
    }

    fn version_of(n: u32) -> serde_json::Value {
        let name = if n.is_multiple_of(2) { "iris" } else { "lily" };
        serde_json::json!({"name": name, "version": n.to_string(), "runId": run_id(n), "source": "s", "tags": [],
            "modelId": format!("m-{}", run_id(n))})
    }

    fn run(n: u32) -> serde_json::Value {
        let model = |n: u32| serde_json::json!({"modelId": format!("m-{}", run_id(n)), "step": "1"});
        let experiment = (n % 5).to_string();
        serde_json::json!({
            "info": {"runUuid": run_id(n), "runId": run_id(n), "experimentId": experiment, "runName": format!("run {n}")},
            "experiment": {"experimentId": experiment, "name": format!("experiment {experiment}"), "tags": []},
            "modelVersions": [Self::version_of(n)],
            "inputs": {"modelInputs": [model(n), model(n + 1)], "datasetInputs": null},
            "outputs": null,
            "data": {"metrics": [{"key": "a", "value": 0.5, "modelId": format!("m-{}", run_id(n + 1))}]},
        })
    }

    fn answer(&self, root: &Root) -> serde_json::Value {
        let text = |name: &str| root.input.text(name).unwrap().unwrap_or_default();
        let paged = |all: Vec<serde_json::Value>, member: &str| {
            let from: usize = match text("pageToken") {
                token if token.is_empty() => 0,
                token => token.parse().unwrap(),
            };
            let most: usize = root.input.member("maxResults").unwrap().to_string().parse().unwrap();
            let rows: Vec<serde_json::Value> = all.iter().skip(from).take(most).cloned().collect();
            let to = from + rows.len();
            let next = (to < all.len()).then(|| to.to_string());
            serde_json::json!({member: rows, "nextPageToken": next, "apiError": null})
        };
        match root.operation.name {
            "mlflowGetRun" => {
                let n = u32::from_str_radix(&text("runId"), 16).unwrap();
                serde_json::json!({"run": Self::run(n), "apiError": null})
            }
            "mlflowGetExperiment" => {
                let id = text("experimentId");
                serde_json::json!({"experiment": {"experimentId": id, "name": format!("experiment {id}")}})
            }
            "mlflowSearchRuns" => {
                let ids = root.searches().unwrap();
                let runs = (1..=self.runs).filter(|n| ids.contains(&(n % 5).to_string())).map(Self::run);
                paged(runs.collect(), "runs")
            }
            "mlflowSearchModelVersions" => {
                let filter = text("filter");
                let versions = (1..=self.runs).map(Self::version_of);
                let named = versions
                    .filter(|version| !filter.contains("IN") || filter.contains(version["name"].as_str().unwrap()));
                paged(named.collect(), "modelVersions")
            }
            "mlflowSearchDatasets" => {
                let ids = root.searches().unwrap();
                serde_json::json!({"datasetSummaries":
                    ids.iter().map(|id| serde_json::json!({"experimentId": id, "name": format!("data {id}")})).collect::<Vec<_>>()})
            }
            other => panic!("{other}"),
        }
    }
}

/// What a selection leaves of a value, as graphql-core does it.
fn selected(selection: &Selection, value: &serde_json::Value) -> serde_json::Value {
    let fields = selection.fields.iter().map(|field| {
        let held = &value[field.name];
        let left = match (&field.inner, field.holds) {
            _ if field.name == "__typename" => selection.of.name.into(),
            (None, _) => held.clone(),
            (Some(_), _) if held.is_null() => serde_json::Value::Null,
            (Some(inner), Holds::Many(_)) => {
                held.as_array().unwrap().iter().map(|one| selected(inner, one)).collect::<Vec<_>>().into()
            }
            (Some(inner), _) => selected(inner, held),
        };
        (field.key.clone(), left)
    });
    serde_json::Value::Object(fields.collect())
}

impl Asker for Mlflow {
    async fn ask(&self, page: Request) -> Result<Response<Body>, AnswerFault> {
        let Payload::Judged(body) = &page.payload else { panic!("not judged") };
        let body: serde_json::Value = serde_json::from_slice(body).unwrap();
        self.asked.borrow_mut().push(body.to_string());
        if let Some(instead) = &self.instead {
            return Ok(Response::new(Body::from(instead.clone().into_bytes())));
        }
        // What is ours is no key for callers: under other names the same parser reads it.
        let document = body["query"].as_str().unwrap().replace("trackgate_", "hidden_");
        let variables = serde_json::from_value(body["variables"].clone()).unwrap();
        let document = graphql::read(&document, &variables, body["operationName"].as_str()).unwrap();
        let data = document.roots.iter().map(|root| (root.key.clone(), selected(&root.selected, &self.answer(root))));
        let data: serde_json::Value = serde_json::Value::Object(data.collect());
        let text = serde_json::json!({"data": data, "errors": null}).to_string().replace("hidden_", "trackgate_");
        Ok(Response::new(Body::from(text.into_bytes())))
    }

    async fn version(&self) -> Option<String> {
        Some("3.17.2".to_owned())
    }
}

/// Logged models and runs lie in experiment `n % 5`.
impl Homes for Mlflow {
    async fn experiments_of(&self, ids: Vec<(Kind, Arc<str>)>, _: &[Arc<str>]) -> HashMap<(Kind, Arc<str>), Arc<str>> {
        let home = |id: &str| (u32::from_str_radix(id.trim_start_matches("m-"), 16).unwrap() % 5).to_string();
        ids.into_iter().map(|key| (key.clone(), home(&key.1).into())).collect()
    }
}

fn shared(list_budget: u32) -> Shared {
    Shared::new(Settings { list_budget, ..Settings::default() }, Seal::ephemeral().unwrap(), Clock::System)
}

async fn ask_of(
    mlflow: &Mlflow,
    shared: &Shared,
    grants: Grants<'_>,
    query: &str,
) -> Result<serde_json::Value, AnswerFault> {
    let principal = ann(grants);
    let request = post(&serde_json::json!({"query": query}).to_string());
    let answer = answer(&request, &principal, &GRAPH, shared, mlflow, mlflow).await?;
    let (_, body) = whole::read(answer, usize::MAX).await.unwrap();
    Ok(serde_json::from_slice(&body).unwrap())
}

async fn ask(grants: Grants<'_>, query: &str) -> serde_json::Value {
    ask_of(&Mlflow::new(10), &shared(10), grants, query).await.unwrap()
}

const FIRST: Grants<'static> = &[(Kind::Experiment, "1", Read)];

#[tokio::test]
async fn hidden_links_are_cut_where_the_documents_own_keys_put_them() {
    let query = format!(
        r#"{{ r: mlflowGetRun(input: {{runId: "{}"}}) {{ x: run {{ a: info {{ n: runName }} ...V
            inputs {{ used: modelInputs {{ __typename m: modelId }} }} d: data {{ metrics {{ which: modelId }} }} }} }} }}
            fragment V on MlflowRunExtension {{ versions: modelVersions {{ status: version by: runId }} }}"#,
        run_id(1)
    );
    let mine = format!("m-{}", run_id(1));
    let seen = ask(FIRST, &query).await;
    assert_eq!(
        seen["data"],
        serde_json::json!({"r": {"x": {"a": {"n": "run 1"}, "versions": [],
            "inputs": {"used": [{"__typename": "MlflowModelInput", "m": mine}]}, "d": {"metrics": [{"which": ""}]}}}})
    );
    let grants = [(Kind::Experiment, "1", Read), (Kind::RegisteredModel, "lily", Read)];
    assert_eq!(
        ask(&grants, &query).await["data"]["r"]["x"]["versions"],
        serde_json::json!([{"status": "1", "by": run_id(1)}])
    );
}

#[tokio::test]
async fn the_experiment_of_a_run_is_judged_by_itself() {
    let run = run_id(1);
    let query = format!(
        r#"{{ mlflowGetRun(input: {{runId: "{run}"}}) {{ run {{ info {{ runName }} experiment {{ name }} }} }} }}"#
    );
    let seen = ask(&[(Kind::Run, &run, Read)], &query).await;
    let expected = serde_json::json!({"mlflowGetRun": {"run": {"info": {"runName": "run 1"}, "experiment": null}}});
    assert_eq!(seen["data"], expected);
    assert_eq!(ask(FIRST, &query).await["data"]["mlflowGetRun"]["run"]["experiment"]["name"], "experiment 1");
}

#[tokio::test]
async fn searches_are_narrowed_not_refused() {
    let mlflow = Mlflow::new(10);
    let search = r#"mutation { mlflowSearchDatasets(input: {experimentIds: ["1", "2"]}) { datasetSummaries { name } }
        mlflowSearchRuns(input: {experimentIds: ["2", "1"]}) { runs { info { runName } } nextPageToken } }"#;
    let seen = ask_of(&mlflow, &shared(10), FIRST, search).await.unwrap();
    assert_eq!(
        seen["data"],
        serde_json::json!({"mlflowSearchDatasets": {"datasetSummaries": [{"name": "data 1"}]},
            "mlflowSearchRuns": {"runs": [{"info": {"runName": "run 1"}}, {"info": {"runName": "run 6"}}], "nextPageToken": null}})
    );
    assert!(mlflow.asked.borrow().iter().all(|asked| !asked.contains(r#"["2""#)), "{:?}", mlflow.asked);
    let hidden = search.replace("\"1\"", "\"3\"");
    let before = mlflow.asked.borrow().len();
    assert_eq!(
        ask_of(&mlflow, &shared(10), FIRST, &hidden).await.unwrap()["data"],
        serde_json::json!({"mlflowSearchDatasets": {"datasetSummaries": []},
            "mlflowSearchRuns": {"runs": [], "nextPageToken": null}})
    );
    assert_eq!(mlflow.asked.borrow().len(), before, "an empty rest is never asked for");
}

#[tokio::test]
async fn model_versions_are_filtered_and_asked_for_by_name() {
    let mlflow = Mlflow::new(10);
    let query = "{ mlflowSearchModelVersions(input: {maxResults: 3}) { v: modelVersions { version } nextPageToken } }";
    let grants = [(Kind::RegisteredModel, "iris", Read), (Kind::ModelVersion, "iris/4", Deny)];
    let seen = ask_of(&mlflow, &shared(10), &grants, query).await.unwrap();
    let page = &seen["data"]["mlflowSearchModelVersions"];
    assert_eq!(page["v"], serde_json::json!([{"version": "2"}, {"version": "6"}, {"version": "8"}]));
    assert!(mlflow.asked.borrow()[0].contains("name IN ('iris')"));
    assert_eq!(ask(&[], query).await["data"]["mlflowSearchModelVersions"]["v"], serde_json::json!([]));
}

#[tokio::test]
async fn mlflows_own_tokens_and_odd_numbers_are_refused() {
    let search = |more: &str| {
        format!(r#"{{ mlflowSearchRuns(input: {{experimentIds: ["1"], {more}}}) {{ runs {{ info {{ runId }} }} }} }}"#)
    };
    let fault = ask_of(&Mlflow::new(3), &shared(9), FIRST, &search(r#"pageToken: "1""#)).await.unwrap_err();
    assert!(matches!(fault, AnswerFault::BadToken), "{fault}");
    for rows in ["0", "-1", "50001", "1.5", "\"x\"", "true"] {
        let fault =
            ask_of(&Mlflow::new(3), &shared(9), FIRST, &search(&format!("maxResults: {rows}"))).await.unwrap_err();
        assert!(matches!(fault, AnswerFault::BadRows), "{rows}: {fault}");
    }
}

#[tokio::test]
async fn an_answer_that_does_not_tell_what_it_is_does_not_leave() {
    let query = format!(r#"{{ mlflowGetRun(input: {{runId: "{}"}}) {{ run {{ info {{ runName }} }} }} }}"#, run_id(1));
    for body in [
        r#"{"data":{"mlflowGetRun":{"run":{"info":{"runName":"x"}}}}}"#,
        r#"{"data":{"mlflowGetRun":{"run":{"info":{"runName":"x"},"trackgate_info":null}}}}"#,
        r#"{"data":{"mlflowGetRun":{"run":[]}}}"#,
        r#"{"data":{"mlflowGetRun":[]}}"#,
        r#"{"data":[]}"#,
        "<html>",
    ] {
        let mlflow = Mlflow { instead: Some(body.to_owned()), ..Mlflow::new(1) };
        assert!(ask_of(&mlflow, &shared(10), FIRST, &query).await.is_err(), "{body}");
    }
    let errors = r#"{"data":null,"errors":["no such run"]}"#.to_owned();
    let mlflow = Mlflow { instead: Some(errors), ..Mlflow::new(1) };
    assert_eq!(
        ask_of(&mlflow, &shared(10), FIRST, &query).await.unwrap(),
        serde_json::json!({"data": {"mlflowGetRun": null}, "errors": ["no such run"]})
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(120))]

    /// Whatever is granted on experiments and runs, however it is paged: the pages hold what single reads allow.
    #[test]
    fn pages_of_runs_hold_exactly_what_single_reads_allow(
        experiments in proptest::collection::btree_map(0u32..5, prop_oneof![3 => Just(Read), 1 => Just(Deny)], 0..5),
        runs in proptest::collection::btree_map(1u32..40, prop_oneof![1 => Just(Read), 1 => Just(Deny)], 0..6),
        sizes in proptest::collection::vec(1u32..12, 1..3),
        budget in 1u32..8,
    ) {
        let names: Vec<(Kind, String, Permission)> = experiments.iter().map(|(id, p)| (Kind::Experiment, id.to_string(), *p))
            .chain(runs.iter().map(|(n, p)| (Kind::Run, run_id(*n), *p))).collect();
        let grants: Vec<(Kind, &str, Permission)> = names.iter().map(|(kind, id, p)| (*kind, &**id, *p)).collect();
        let principal = ann(&grants);
        let sees = |n: &u32| {
            let within = crate::mlflow::resource::Object { kind: Kind::Experiment, id: (n % 5).to_string().into() };
            let run = crate::mlflow::resource::Resource::inside(Kind::Run, run_id(*n).into(), within);
            crate::access::decide::visible(&principal, &run)
        };
        let expected: Vec<String> = (1..=40).filter(sees).map(|n| format!("run {n}")).collect();
        let (mlflow, shared) = (Mlflow::new(40), shared(budget));
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (mut seen, mut token) = (Vec::new(), None::<String>);
        for turn in 0..200 {
            let page = token.as_ref().map(|token| format!(", pageToken: \"{token}\"")).unwrap_or_default();
            let query = format!(
                r#"{{ mlflowSearchRuns(input: {{experimentIds: ["0","1","2","3","4"], maxResults: {}{page}}}) {{
                    nextPageToken runs {{ info {{ runName }} }} }} }}"#,
                sizes[turn % sizes.len()]
            );
            let answer = runtime.block_on(ask_of(&mlflow, &shared, &grants, &query)).unwrap();
            let answer = &answer["data"]["mlflowSearchRuns"];
            let rows = answer["runs"].as_array().unwrap().iter();
            seen.extend(rows.map(|row| row["info"]["runName"].as_str().unwrap().to_owned()));
            token = answer["nextPageToken"].as_str().map(str::to_owned);
            if token.is_none() {
                break;
            }
        }
        prop_assert_eq!(token, None);
        prop_assert_eq!(seen, expected);
    }
}
