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

fn whole(document: &str, json: &str) -> Result<Document, GraphQlFault> {
    read(document, &variables(json), None)
}

fn of(document: &str, json: &str) -> Result<Asked, GraphQlFault> {
    whole(document, json)?.asked()
}

/// What is written for MLflow: the document and its variables.
fn written(document: &str, json: &str) -> (String, String) {
    let document = whole(document, json).unwrap();
    let roots: Vec<(&Root, &Json)> = document.roots.iter().map(|root| (root, &root.input)).collect();
    let body: serde_json::Value = serde_json::from_str(&document.body(&roots)).unwrap();
    (body["query"].as_str().unwrap().to_owned(), body["variables"].to_string())
}

#[test]
fn a_chain_of_fragments_does_not_use_up_the_stack() {
    use std::fmt::Write as _;

    let mut chain = String::from("{mlflowGetRun(input:{runId:\"a\"}){run{...f0}}}");
    for n in 0..900 {
        let _ = write!(chain, "fragment f{n} on MlflowRunExtension{{...f{}}}", n + 1);
    }
    chain.push_str("fragment f900 on MlflowRunExtension{info{runId}}");
    // As much as a worker's thread has.
    let thread = std::thread::Builder::new().stack_size(2 * 1024 * 1024);
    let read = thread.spawn(move || of(&chain, "{}").is_ok()).unwrap();
    read.join().unwrap();
}

#[test]
fn the_pages_own_documents_are_understood() {
    let run = of(GET_RUN, r#"{"data":{"runId":"a"}}"#).unwrap();
    let a = vec!["a".to_owned()];
    assert_eq!(run, Asked { runs: a, ..Asked::default() });

    let experiment = r#"query MlflowGetExperimentQuery($input: MlflowGetExperimentInput!) @component(name: "x") {
        mlflowGetExperiment(input: $input) { apiError { code message } experiment { name tags { key value } } } }"#;
    let asked = of(experiment, r#"{"input":{"experimentId":"7"}}"#).unwrap();
    assert_eq!(asked.experiments, ["7"]);

    let search = "query SearchRuns($data: MlflowSearchRunsInput!) { mlflowSearchRuns(input: $data) {
        apiError { code } runs { info { runUuid runName } experiment { name } data { tags { key value } } } } }";
    let asked = of(search, r#"{"data":{"filter":"x","experimentIds":["1","2"]}}"#).unwrap();
    assert_eq!((asked.searched, asked.runs), (vec!["1".to_owned(), "2".to_owned()], vec![]));

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
    assert_eq!(asked(mutation).searched, ["1"]);
    let default = r#"query Q($i: MlflowGetExperimentInput = {experimentId: "1"}) {
        mlflowGetExperiment(input: $i) { experiment { name } } }"#;
    assert_eq!(of(default, "{}").unwrap().experiments, ["1"]);
    assert_eq!(of(default, r#"{"i":{"experimentId":"2"}}"#).unwrap().experiments, ["2"]);
    assert!(of(default, r#"{"i":null}"#).is_err(), "null is no default");
}

#[test]
fn aliases_and_fragments_lead_to_the_same_objects() {
    let document = r#"
        query Other { mlflowGetExperiment(input: {experimentId: "666"}) { experiment { name } } }
        query Q($id: String = "3") @component(name: "a b") {
            one: mlflowGetExperiment(input: {experimentId: $id}) { ...E __typename }
            ... on Query { one: mlflowGetExperiment(input: {experimentId: $id}) { x: experiment { id: experimentId } } }
            two: mlflowGetRun(input: {runId: "r"}) { run { ...R } }
            __typename
        }
        fragment E on MlflowGetExperimentResponse { x: experiment { name ... { name } } }
        fragment R on MlflowRunExtension { m: modelVersions { s: status } inputs { modelInputs { modelId } } }"#;
    assert_eq!(of(document, "{}"), Err(GraphQlFault::NotOneOperation));
    let read = read(document, &variables("{}"), Some("Q")).unwrap();
    let asked = read.asked().unwrap();
    assert_eq!((asked.experiments, asked.runs), (vec!["3".to_owned()], vec!["r".to_owned()]));
    assert_eq!(read.typename(), Some(("__typename", "Query")));
    let roots: Vec<(&Root, &Json)> = read.roots.iter().map(|root| (root, &root.input)).collect();
    let body: serde_json::Value = serde_json::from_str(&read.body(&roots)).unwrap();
    assert_eq!(
        body["query"],
        "query Q($input0: MlflowGetExperimentInput, $input1: MlflowGetRunInput) @component(name: \"a b\") { \
         one: mlflowGetExperiment(input: $input0) { \
         x: experiment { name id: experimentId trackgate_id: experimentId } __typename } \
         two: mlflowGetRun(input: $input1) { run { \
         m: modelVersions { s: status \
         trackgate_name: name trackgate_version: version trackgate_tags: tags { key value } } \
         inputs { modelInputs { modelId trackgate_id: modelId } } \
         trackgate_info: info { run_id: runUuid experiment_id: experimentId } } } }"
    );
    assert_eq!(body["variables"].to_string(), r#"{"input0":{"experimentId":"3"},"input1":{"runId":"r"}}"#);
    assert_eq!(body["operationName"], "Q");
}

#[test]
fn values_are_sent_as_variables_whatever_they_were() {
    let document = r#"mutation($ids: [String], $no: String, $n: Int = 7) {
        mlflowSearchRuns(input: {experimentIds: $ids, filter: "a = \"b\"", maxResults: $n, runViewType: ALL, orderBy: [$no],
            pageToken: $no}) { runs { info { runUuid } } nextPageToken } }"#
        .replace(r#"a = \"b\""#, "a = 'b'");
    let (query, variables) = written(&document, r#"{"ids":["1","2\"} evil"]}"#);
    assert!(
        query.starts_with("mutation($input0: MlflowSearchRunsInput) { mlflowSearchRuns(input: $input0) {"),
        "{query}"
    );
    assert!(query.contains("trackgate_next: nextPageToken"), "{query}");
    assert_eq!(
        variables,
        r#"{"input0":{"experimentIds":["1","2\"} evil"],"filter":"a = 'b'","maxResults":7,"orderBy":[null],"runViewType":"ALL"}}"#
    );
}

#[test]
fn what_is_not_understood_whole_is_refused() {
    use GraphQlFault::{Arguments, Directive, Fragment, Key, NoId, NotOneOperation, UnknownField, Unreadable, Value};
    let field = r#"mlflowGetExperiment(input: {experimentId: "3"}) { experiment { name } }"#;
    let within = |inner: &str| format!("{{ {} }}", field.replace("name", inner));
    for (document, fault) in [
        (String::new(), Unreadable),
        (format!("{{ {field} "), Unreadable),
        (format!("{{ {field} }} {{ {field} }}"), NotOneOperation),
        (format!("query A {{ {field} }} query B {{ {field} }}"), NotOneOperation),
        (format!("subscription {{ {field} }}"), NotOneOperation),
        (format!("{{ {field} }} type Query {{ a: Int }}"), NotOneOperation),
        (format!("mutation {{ {field} }}"), UnknownField("mlflowGetExperiment".into())),
        (format!("{{ trackgate_a: {field} }}"), Key("trackgate_a".into())),
        (format!("{{ __a: {field} }}"), Key("__a".into())),
        (format!("{{ {field} {} }}", field.replace('3', "4")), Key("mlflowGetExperiment".into())),
        (format!("{{ __typename: {field} __typename }}"), Key("__typename".into())),
        (within("name name: experimentId"), Key("name".into())),
        (within("trackgate_id: name"), Key("trackgate_id".into())),
        (within("...F"), Fragment("F".into())),
        (format!("{{ ... on Mutation {{ {field} }} }}"), Fragment(String::new())),
        (within("... on MlflowRunExtension { name }"), Fragment(String::new())),
        (
            format!("{{ ...A }} fragment A on Query {{ ...B }} fragment B on Query {{ ...A {field} }}"),
            Fragment("A".into()),
        ),
        ("{ ...A } fragment A on Query { ...A }".to_owned(), Fragment("A".into())),
        (
            format!("{{ ...A }} fragment A on Query {{ {field} }} fragment A on Query {{ {field} }}"),
            Fragment("A".into()),
        ),
        (within("name @skip(if: true)"), Directive),
        (within("... @include(if: true) { name }"), Directive),
        (format!("query Q @other {{ {field} }}"), Directive),
        (format!("query Q @component(name: \"a\") @component(name: \"b\") {{ {field} }}"), Directive),
        (format!("query Q @component(name: \"a\u{1}b\") {{ {field} }}"), Value("\"a\u{1}b\"".into())),
        (within("runs { name }"), UnknownField("runs".into())),
        (within("name { x }"), UnknownField("name".into())),
        (within("tags"), UnknownField("tags".into())),
        (within("name(a: 1)"), Arguments("name".into())),
        ("{ __schema { types { name } } }".to_owned(), UnknownField("__schema".into())),
        (r#"{ test(inputString: "x") { output } }"#.to_owned(), UnknownField("test".into())),
        ("{ __typename }".to_owned(), NoId("the document")),
        ("{ mlflowGetExperiment { experiment { name } } }".to_owned(), Arguments("mlflowGetExperiment".into())),
        (
            format!("{{ {} }}", field.replace("{experimentId", "{other: 1, experimentId")),
            Arguments("mlflowGetExperiment".into()),
        ),
        (format!("{{ {} }}", field.replace("\"3\"", "$undefined")), Value("undefined".into())),
        (format!("query($a: String, $a: String) {{ {field} }}"), Value("a".into())),
    ] {
        assert_eq!(of(&document, "{}").unwrap_err(), fault, "{document}");
    }
}

#[test]
fn what_is_asked_for_is_bounded_after_fragments_are_expanded() {
    use GraphQlFault::TooMuch;
    let many = |n: usize, one: &dyn Fn(usize) -> String| (0..n).map(one).collect::<Vec<_>>().join(" ");
    // Each fragment holds the next one twice: short to write, long to expand.
    let doubling = format!(
        "{{ mlflowGetExperiment(input: {{experimentId: \"1\"}}) {{ experiment {{ ...F0 }} }} }} {} \
         fragment F20 on MlflowExperiment {{ name }}",
        many(20, &|n| format!("fragment F{n} on MlflowExperiment {{ ...F{} ...F{} }}", n + 1, n + 1))
    );
    assert!(matches!(of(&doubling, "{}"), Err(TooMuch { of: "fields", .. })));
    let roots = format!(
        "{{ {} }}",
        many(11, &|n| format!("a{n}: mlflowGetExperiment(input: {{experimentId: \"1\"}}) {{ experiment {{ name }} }}"))
    );
    assert!(matches!(of(&roots, "{}"), Err(TooMuch { of: "operations", .. })));
    let aliases = format!(
        "{{ mlflowGetExperiment(input: {{experimentId: \"1\"}}) {{ experiment {{ {} }} }} }}",
        many(8, &|n| format!("a{n}: name"))
    );
    assert!(matches!(of(&aliases, "{}"), Err(TooMuch { of: "aliases in one selection", .. })));
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
        let document =
            format!("{{ mlflowSearchRuns(input: {{experimentIds: {list}}}) {{ runs {{ info {{ runId }} }} }} }}");
        assert!(of(&document, "{}").is_err(), "{list}");
    }
    assert!(serde_json::from_str::<HashMap<String, Json>>(r#"{"a":{"experimentId":"1","experimentId":"2"}}"#).is_err());
}

#[test]
fn a_list_that_pages_must_show_its_rows_once() {
    let search = |selected: &str| {
        of(&format!(r#"{{ mlflowSearchRuns(input: {{experimentIds: ["1"]}}) {{ {selected} }} }}"#), "{}")
    };
    assert!(search("runs { data { params { key } } }").is_ok());
    assert_eq!(search("nextPageToken"), Err(GraphQlFault::NotSelected("runs")));
    assert_eq!(search("a: runs { info { runId } } b: runs { info { runId } }"), Err(GraphQlFault::NotSelected("runs")));
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
