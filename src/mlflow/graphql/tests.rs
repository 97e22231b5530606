use super::*;

const GET_RUN: &str = r#"query GetRun($data: MlflowGetRunInput!) @component(name: "MLflow.ExperimentRunTracking") {
    mlflowGetRun(input: $data) { __typename apiError { helpUrl code message }
      run { info { runName runUuid experimentId } experiment { experimentId name tags { key value } }
        modelVersions { status version name source } data { metrics { key value step timestamp } params { key value } }
        inputs { datasetInputs { dataset { digest name } tags { key value } } modelInputs { modelId } }
        outputs { modelOutputs { modelId step } } } } }"#;

fn variables(json: &str) -> HashMap<String, Json> {
    serde_json::from_str(json).unwrap()
}

fn of(document: &str, json: &str) -> Result<Asked, GraphQlFault> {
    read(document, &variables(json))
}

#[test]
fn the_pages_own_documents_are_understood() {
    let run = of(GET_RUN, r#"{"data":{"runId":"a"}}"#).unwrap();
    let a = vec!["a".to_owned()];
    assert_eq!(run, Asked { runs: a.clone(), runs_with_experiment: a.clone(), ..Asked::default() });

    let experiment = r#"query MlflowGetExperimentQuery($input: MlflowGetExperimentInput!) @component(name: "x") {
        mlflowGetExperiment(input: $input) { apiError { code message } experiment { name tags { key value } } } }"#;
    let asked = of(experiment, r#"{"input":{"experimentId":"7"}}"#).unwrap();
    assert_eq!(asked.experiments, ["7"]);

    let search = "query SearchRuns($data: MlflowSearchRunsInput!) { mlflowSearchRuns(input: $data) {
        apiError { code } runs { info { runUuid runName } experiment { name } data { tags { key value } } } } }";
    let asked = of(search, r#"{"data":{"filter":"x","experimentIds":["1","2"]}}"#).unwrap();
    assert_eq!((asked.experiments, asked.runs), (vec!["1".to_owned(), "2".to_owned()], vec![]));

    let metrics = "query GetMetricHistoryBulkInterval($data: MlflowGetMetricHistoryBulkIntervalInput!)
        @component(name: \"x\") { mlflowGetMetricHistoryBulkInterval(input: $data) { __typename
        metrics { timestamp step runId key value } apiError { code message } } }";
    let asked = of(metrics, r#"{"data":{"runIds":["a","b"],"metricKey":"k","maxResults":5}}"#).unwrap();
    assert_eq!(asked.runs, ["a", "b"]);
}

#[test]
fn ids_are_found_wherever_they_may_stand() {
    let asked = |document: &str| of(document, r#"{"id":"9"}"#).unwrap();
    assert_eq!(
        asked(r#"{ mlflowGetExperiment(input: {experimentId: "3"}) { experiment { name } } }"#).experiments,
        ["3"]
    );
    let inner = "query Q($id: String) { mlflowGetExperiment(input: {experimentId: $id}) { experiment { name } } }";
    assert_eq!(asked(inner).experiments, ["9"]);
    let two = r#"{ mlflowGetExperiment(input: {experimentId: "3"}) { experiment { name } }
        mlflowListArtifacts(input: {runUuid: "r", path: "a/b"}) { files { path } } }"#;
    let both = asked(two);
    assert_eq!((both.experiments, both.runs, both.paths), (vec!["3".into()], vec!["r".into()], vec!["a/b".into()]));
    let mutation = r#"mutation { mlflowSearchDatasets(input: {experimentIds: ["1"]}) { datasetSummaries { name } } }"#;
    assert_eq!(asked(mutation).experiments, ["1"]);
}

#[test]
fn what_is_not_understood_whole_is_refused() {
    let field = r#"mlflowGetExperiment(input: {experimentId: "3"}) { experiment { name } }"#;
    for (document, fault) in [
        (String::new(), GraphQlFault::Unreadable),
        (format!("{{ {field} "), GraphQlFault::Unreadable),
        (format!("{{ {field} }} {{ {field} }}"), GraphQlFault::NotOneOperation),
        (format!("query A {{ {field} }} query B {{ {field} }}"), GraphQlFault::NotOneOperation),
        (format!("subscription {{ {field} }}"), GraphQlFault::NotOneOperation),
        (format!("mutation {{ {field} }}"), GraphQlFault::UnknownField("mlflowGetExperiment".into())),
        (format!("{{ a: {field} }}"), GraphQlFault::Renamed("mlflowGetExperiment".into())),
        (format!("{{ {field} {field} }}"), GraphQlFault::Renamed("mlflowGetExperiment".into())),
        (format!("{{ {} }}", field.replace("name", "name a: name")), GraphQlFault::Renamed("name".into())),
        (format!("{{ ... {{ {field} }} }}"), GraphQlFault::Fragment),
        (format!("{{ ... on Query {{ {field} }} }}"), GraphQlFault::Fragment),
        (format!("query {{ ...F }} fragment F on Query {{ {field} }}"), GraphQlFault::NotOneOperation),
        (format!("{{ {} }}", field.replace("name", "...F")), GraphQlFault::Fragment),
        (format!("{{ {} }}", field.replace("name", "name @skip(if: true)")), GraphQlFault::Directive),
        (format!("query Q @other {{ {field} }}"), GraphQlFault::Directive),
        (format!("{{ {} }}", field.replace("name", "runs { name }")), GraphQlFault::UnknownField("runs".into())),
        (format!("{{ {} }}", field.replace("name", "name { x }")), GraphQlFault::UnknownField("name".into())),
        ("{ __schema { types { name } } }".to_owned(), GraphQlFault::UnknownField("__schema".into())),
        (r#"{ test(inputString: "x") { output } }"#.to_owned(), GraphQlFault::UnknownField("test".into())),
        ("{ __typename }".to_owned(), GraphQlFault::NoId("the document")),
        (
            "{ mlflowSearchModelVersions(input: {}) { modelVersions { name } } }".to_owned(),
            GraphQlFault::UnknownField("mlflowSearchModelVersions".into()),
        ),
        (
            "{ mlflowGetExperiment { experiment { name } } }".to_owned(),
            GraphQlFault::Arguments("mlflowGetExperiment".into()),
        ),
        (
            r#"query Q($i: X = {experimentId: "1"}) { mlflowGetExperiment(input: $i) { experiment { name } } }"#
                .to_owned(),
            GraphQlFault::Value("a default value".into()),
        ),
    ] {
        assert_eq!(of(&document, "{}").unwrap_err(), fault, "{document}");
    }
}

#[test]
fn an_id_is_one_plain_text() {
    let with = |input: &str| {
        of(
            &format!("{{ mlflowGetExperiment(input: {input}) {{ experiment {{ name }} }} }}"),
            r#"{"n":1,"o":{"experimentId":1}}"#,
        )
    };
    for input in [
        "{experimentId: 1}",
        "{experimentId: true}",
        "{experimentId: [\"1\"]}",
        "{experimentId: null}",
        "{}",
        "{experiment_id: \"1\"}",
        "{experimentId: \"\\u0031\"}",
        "{experimentId: \"\"\"1\"\"\"}",
        "{experimentId: \"1\", experimentId: \"2\"}",
        "$o",
        "$n",
        "$missing",
        "{experimentId: $n}",
        "[{experimentId: \"1\"}]",
    ] {
        assert!(with(input).is_err(), "{input}");
    }
    let run = |input: &str| of(&format!("{{ mlflowGetRun(input: {input}) {{ run {{ info {{ runId }} }} }} }}"), "{}");
    assert!(run(r#"{runId: "a", runUuid: "b"}"#).is_err());
    assert!(run(r#"{runId: "a", runUuid: "a"}"#).is_ok());
    for list in ["[]", "\"1\"", "null", "[null]", "[1]", "[[\"1\"]]"] {
        let document = format!("{{ mlflowSearchRuns(input: {{experimentIds: {list}}}) {{ nextPageToken }} }}");
        assert!(of(&document, "{}").is_err(), "{list}");
    }
    assert!(serde_json::from_str::<HashMap<String, Json>>(r#"{"a":{"experimentId":"1","experimentId":"2"}}"#).is_err());
}

#[test]
fn what_the_answer_is_filtered_by_must_be_selected() {
    let run = |versions: &str| {
        of(
            &format!(r#"{{ mlflowGetRun(input: {{runId: "a"}}) {{ run {{ modelVersions {{ {versions} }} }} }} }}"#),
            "{}",
        )
    };
    assert!(run("name version").is_ok());
    assert!(matches!(run("name"), Err(GraphQlFault::NotSelected(_))));
    let search = |runs: &str| {
        of(&format!(r#"{{ mlflowSearchRuns(input: {{experimentIds: ["1"]}}) {{ runs {{ {runs} }} }} }}"#), "{}")
    };
    assert!(search("info { runUuid }").is_ok());
    assert!(matches!(search("info { runId }"), Err(GraphQlFault::NotSelected(_))));
    assert!(matches!(search("data { params { key } }"), Err(GraphQlFault::NotSelected(_))));
}

#[test]
fn deep_and_long_documents_end_early() {
    let deep = format!("{}name{}", "{ experiment ".repeat(50_000), "}".repeat(50_000));
    assert!(of(&deep, "{}").is_err());
    let long = format!("{{ {} }}", "mlflowGetRun ".repeat(50_000));
    assert!(of(&long, "{}").is_err());
}

proptest::proptest! {
    #[test]
    fn reading_never_panics(document in "[{}()\\[\\]$@:!.\"a-zA-Z ]{0,80}") {
        drop(of(&document, "{}"));
    }
}
