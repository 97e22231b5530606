use super::*;
use crate::policy::classify::{Classified, classify};
use crate::policy::path::Path;
use crate::policy::route::Verb;

const RUN: &str = "0123456789abcdef0123456789abcdef";
const OTHER: &str = "fedcba9876543210fedcba9876543210";
const MODEL: &str = "m-0123456789abcdef0123456789abcdef";

fn read(call: &Call, query: Option<&str>, body: Option<&[u8]>) -> Result<Fields, FieldFault> {
    super::read(call, &HeaderMap::new(), query, body)
}

fn call(verb: Verb, path: &str) -> Call {
    match classify(verb, &Path::parse(path).unwrap()) {
        Classified::Call(call) => call,
        other => panic!("{path}: {other:?}"),
    }
}

fn post(path: &str, body: &str) -> Result<Fields, FieldFault> {
    read(&call(Verb::Post, &format!("/api/2.0/mlflow/{path}")), None, Some(body.as_bytes()))
}

fn get(path: &str, query: &str) -> Result<Fields, FieldFault> {
    read(&call(Verb::Get, &format!("/api/2.0/mlflow/{path}")), Some(query), None)
}

#[test]
fn equal_twins_of_the_stock_client_pass() {
    let body = format!(r#"{{"run_uuid": "{RUN}", "run_id": "{RUN}", "key": "a", "value": 1.5}}"#);
    let fields = post("runs/log-metric", &body).unwrap();
    assert_eq!(fields.one("run_id|run_uuid"), Some(RUN));
    assert_eq!(fields.one("run_id"), Some(RUN));
    assert_eq!(fields.each("run_uuid").len(), 1);
    assert!(!fields.present("model_id"));
    assert_eq!(get("runs/get", &format!("run_uuid={RUN}&run_id={RUN}")).unwrap().one("run_id"), Some(RUN));
}

#[test]
fn twins_that_differ_are_refused() {
    let differ = FieldFault::Differ("run_id|run_uuid");
    let body = format!(r#"{{"run_uuid": "{RUN}", "run_id": "{OTHER}"}}"#);
    assert_eq!(post("runs/log-metric", &body).unwrap_err(), differ);
    assert_eq!(post("runs/log-metric", &format!(r#"{{"run_uuid":"","run_id":"{RUN}"}}"#)).unwrap_err(), differ);
    assert_eq!(get("runs/get", &format!("run_uuid={RUN}&run_id={OTHER}")).unwrap_err(), differ);
}

#[test]
fn path_and_body_must_name_the_same_model() {
    let finalize = |body: &str| {
        let path = format!("/api/2.0/mlflow/logged-models/{MODEL}");
        read(&call(Verb::Patch, &path), None, Some(body.as_bytes()))
    };
    assert_eq!(finalize(&format!(r#"{{"model_id":"{MODEL}","status":1}}"#)).unwrap().one("model_id"), Some(MODEL));
    assert_eq!(finalize("{}").unwrap().one("{model_id}"), Some(MODEL));
    assert!(matches!(finalize(&format!(r#"{{"model_id":"m-{OTHER}"}}"#)), Err(FieldFault::Differ(_))));
    assert!(matches!(finalize(&format!(r#"{{"modelId":"{MODEL}"}}"#)), Err(FieldFault::OtherSpelling { .. })));
}

#[test]
fn what_python_and_protobuf_would_read_in_two_ways_is_refused() {
    let run = |rest: &str| post("runs/log-metric", &format!(r#"{{"run_id":"{RUN}"{rest}}}"#)).unwrap_err();
    assert_eq!(run(&format!(r#","run_id":"{OTHER}""#)), FieldFault::Repeated("run_id".to_owned()));
    assert_eq!(run(&format!(r#","run\u005fid":"{OTHER}""#)), FieldFault::Repeated("run_id".to_owned()));
    assert_eq!(run(r#","value":1,"value":2"#), FieldFault::Repeated("value".to_owned()));
    assert!(matches!(run(&format!(r#","runId":"{OTHER}""#)), FieldFault::OtherSpelling { instead: "run_id", .. }));
    assert!(matches!(run(&format!(r#","modelId":"m-{OTHER}""#)), FieldFault::OtherSpelling { .. }));
    let batch = |metric: &str| {
        post("runs/log-batch", &format!(r#"{{"run_id":"{RUN}","metrics":[{{"key":"a"}},{{{metric}}}]}}"#)).unwrap_err()
    };
    assert!(matches!(batch(&format!(r#""modelId":"m-{OTHER}""#)), FieldFault::OtherSpelling { .. }));
    let twice = format!(r#""model_id":"{MODEL}","model_id":"m-{OTHER}""#);
    assert_eq!(batch(&twice), FieldFault::Repeated("model_id".to_owned()));
}

#[test]
fn only_one_utf8_json_object_is_a_body() {
    let body = |bytes: &[u8]| read(&call(Verb::Post, "/api/2.0/mlflow/runs/delete"), None, Some(bytes)).unwrap_err();
    let good = format!(r#"{{"run_id":"{RUN}"}}"#);
    let utf16: Vec<u8> = good.encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert!(matches!(body(&utf16), FieldFault::NotJson(_)));
    assert!(matches!(body(format!("\u{feff}{good}").as_bytes()), FieldFault::NotJson(_)));
    assert_eq!(body(b"{\"run_id\":\"\xff\"}"), FieldFault::NotUtf8);
    assert_eq!(body(b"{\"x\":\"\xff\"}"), FieldFault::NotUtf8);
    assert_eq!(body(serde_json::to_string(&good).unwrap().as_bytes()), FieldFault::NotAnObject);
    assert_eq!(body(format!("[{good}]").as_bytes()), FieldFault::NotAnObject);
    assert_eq!(body(b"null"), FieldFault::NotAnObject);
    for broken in [
        format!("{good}{good}"),
        format!("{good} x"),
        format!("{good},"),
        good.replace('"', "'"),
        good.replace('}', ",}"),
        good.replace('}', ""),
        "{".to_owned(),
        r#"{"run_id":"a"#.to_owned(),
        format!("{good}\u{0}"),
        format!(r#"{{"run_id":"{RUN}","x":"{}"}}"#, "\n"),
        format!(r#"{{"run_id":"{RUN}","\ud800":1}}"#),
        r#"{"run_id":"\ud800"}"#.to_owned(),
    ] {
        assert!(matches!(body(broken.as_bytes()), FieldFault::NotJson(_)), "{broken:?}");
    }
}

#[test]
fn pythons_numbers_pass_bare_and_in_the_clients_spelling_and_nothing_else_does() {
    let metric = |value: &str| post("runs/log-metric", &format!(r#"{{"run_id":"{RUN}","key":"a","value":{value}}}"#));
    for value in
        ["NaN", "Infinity", "-Infinity", " \n-Infinity\t", "[NaN,NaN , [Infinity]]", r#"{"NaN":NaN,"\"NaN":"NaN"}"#]
    {
        assert!(metric(value).is_ok(), "{value}: {:?}", metric(value));
    }
    for value in [
        "nan",
        "+Infinity",
        "- Infinity",
        "--Infinity",
        "1NaN",
        "NaN1",
        "NaNNaN",
        "NaN NaN",
        "NaN.5",
        "InfinityNaN",
        "-NaN",
        "Infinit",
        "[1 NaN]",
        "[NaN 1]",
        "{NaN:1}",
        "NaN\u{a0}",
        "[,NaN]",
        "NaN/**/",
        "\"\"NaN",
        "trueNaN",
    ] {
        assert!(matches!(metric(value), Err(FieldFault::NotJson(_))), "{value}: {:?}", metric(value));
    }
    // No field that is judged takes one for its id.
    for word in ["NaN", "Infinity", "-Infinity"] {
        let run = post("runs/delete", &format!(r#"{{"run_id":{word}}}"#));
        assert!(matches!(run, Err(FieldFault::WrongType { field: "run_id", .. })), "{word}");
        let experiment = post("experiments/delete", &format!(r#"{{"experiment_id":{word}}}"#));
        assert!(matches!(experiment, Err(FieldFault::WrongType { .. })), "{word}");
    }
    for value in [r#""NaN""#, r#""Infinity""#, r#""-Infinity""#, "1e400", "-0.0", "12345678901234567890123"] {
        assert!(metric(value).is_ok(), "{value}");
    }
}

#[test]
fn wrong_types_name_the_field() {
    let wrong = |fault: Result<Fields, FieldFault>, name: &str| match fault {
        Err(FieldFault::WrongType { field, .. }) => assert_eq!(field, name),
        other => panic!("{other:?}"),
    };
    for value in ["1", "true", "[]", "{}", "1.5", r#"["a"]"#] {
        wrong(post("runs/delete", &format!(r#"{{"run_id":{value}}}"#)), "run_id");
    }
    for value in ["-1", "1.0", "1e0", "true", "[1]"] {
        wrong(post("experiments/delete", &format!(r#"{{"experiment_id":{value}}}"#)), "experiment_id");
    }
    for value in [r#""1""#, "1", "{}", "[null]", "[true]", "[[]]", r#"["1", 1.5]"#] {
        wrong(post("runs/search", &format!(r#"{{"experiment_ids":{value}}}"#)), "experiment_ids");
    }
    for value in ["{}", r#""x""#, "[1]", "[null]", r#"[{"model_id":"m-x"}, "y"]"#] {
        wrong(post("runs/log-batch", &format!(r#"{{"run_id":"{RUN}","metrics":{value}}}"#)), "metrics");
    }
    wrong(post("runs/log-batch", &format!(r#"{{"run_id":"{RUN}","metrics":[{{"model_id":1}}]}}"#)), "model_id");
}

#[test]
fn an_experiments_number_passes_in_its_one_spelling() {
    assert_eq!(post("experiments/delete", r#"{"experiment_id":12}"#).unwrap().one("experiment_id"), Some("12"));
    for id in [r#""01""#, r#"" 1""#, r#""+1""#, r#""1_0""#, r#""١""#, r#""""#, "18446744073709551615", "01"] {
        assert!(post("experiments/delete", &format!(r#"{{"experiment_id":{id}}}"#)).is_err(), "{id}");
    }
    for id in ["01", "%201", "+1", "1%00", "0_1", "%D9%A1"] {
        assert!(get("experiments/get", &format!("experiment_id={id}")).is_err(), "{id}");
    }
}

#[test]
fn absent_empty_and_null_are_told_apart() {
    assert_eq!(post("runs/delete", "{}").unwrap_err(), FieldFault::Missing("run_id"));
    assert_eq!(post("runs/delete", "").unwrap_err(), FieldFault::Missing("run_id"));
    assert_eq!(post("runs/delete", r#"{"run_id":null}"#).unwrap_err(), FieldFault::Missing("run_id"));
    assert_eq!(post("runs/delete", r#"{"run_id":""}"#).unwrap_err(), FieldFault::Empty("run_id"));
    let datasets = |body: &str| read(&call(Verb::Post, "/api/3.0/mlflow/datasets/create"), None, Some(body.as_bytes()));
    assert_eq!(datasets(r#"{"experiment_ids":[]}"#).unwrap_err(), FieldFault::Empty("experiment_ids"));
    assert_eq!(datasets("{}").unwrap_err(), FieldFault::Missing("experiment_ids"));
    let search = post("runs/search", r#"{"experiment_ids":[]}"#).unwrap();
    assert!(search.present("experiment_ids") && search.each("experiment_ids").is_empty());
    assert!(!post("runs/search", "{}").unwrap().present("experiment_ids"));
    let metric = post("runs/log-metric", &format!(r#"{{"run_id":"{RUN}","model_id":""}}"#)).unwrap();
    assert!(metric.present("model_id") && metric.one("model_id").is_none());
}

#[test]
fn lists_are_read_whole_and_each_id_once() {
    let fields = post("runs/search", r#"{"experiment_ids":["2","1","2",3],"max_results":5,"filter":"a"}"#).unwrap();
    let ids: Vec<&str> = fields.each("experiment_ids").iter().map(|id| &**id).collect();
    assert_eq!(ids, ["2", "1", "3"]);
    assert_eq!((fields.one("max_results"), fields.one("filter")), (Some("5"), Some("a")));
    let metrics: Vec<String> =
        (0..500).map(|n| format!(r#"{{"key":"k{n}","value":1,"model_id":"{MODEL}"}}"#)).collect();
    let body = format!(r#"{{"run_id":"{RUN}","metrics":[{}]}}"#, metrics.join(","));
    assert_eq!(post("runs/log-batch", &body).unwrap().each("metrics[].model_id").len(), 1);
    assert!(post("runs/search", r#"{"experiment_ids":["1","01"]}"#).is_err());
}

#[test]
fn a_body_is_not_deeper_than_any_message() {
    let nested = |depth: usize| format!(r#"{{"run_id":"{RUN}","x":{}1{}}}"#, "[".repeat(depth), "]".repeat(depth));
    assert!(post("runs/delete", &nested(63)).is_ok());
    assert_eq!(post("runs/delete", &nested(64)).unwrap_err(), FieldFault::TooDeep { most: 64 });
    assert_eq!(post("runs/delete", &nested(100_000)).unwrap_err(), FieldFault::TooDeep { most: 64 });
    let brackets_in_text = format!(r#"{{"run_id":"{RUN}","x":"{}\""}}"#, "[".repeat(1000));
    assert!(post("runs/delete", &brackets_in_text).is_ok());
}

#[test]
fn a_number_that_python_cannot_read_does_not_empty_the_body() {
    let long = |digits: usize, before: &str| format!(r#"{{"run_id":"{RUN}","x":{before}{}}}"#, "1".repeat(digits));
    assert!(post("runs/delete", &long(300, "")).is_ok());
    for before in ["", "-", "1.", "1e", "[0,"] {
        let body = long(5000, before);
        assert!(matches!(post("runs/delete", &body), Err(FieldFault::NotJson(_))), "{before}");
    }
    let text = format!(r#"{{"run_id":"{RUN}","x":"{}"}}"#, "1".repeat(5000));
    assert!(post("runs/delete", &text).is_ok());
}

#[test]
fn many_members_are_compared_too() {
    let members: Vec<String> = (0..1000).map(|n| format!(r#""k{n}":{n}"#)).collect();
    let body = |more: &str| format!(r#"{{"run_id":"{RUN}",{}{more}}}"#, members.join(","));
    assert!(post("runs/delete", &body("")).is_ok());
    assert_eq!(post("runs/delete", &body(r#","k500":1"#)).unwrap_err(), FieldFault::Repeated("k500".to_owned()));
}

#[test]
fn a_body_call_takes_nothing_from_the_query_and_a_query_call_nothing_else() {
    let body = format!(r#"{{"run_id":"{RUN}"}}"#);
    let delete = call(Verb::Post, "/api/2.0/mlflow/runs/delete");
    assert_eq!(read(&delete, Some("run_id=x"), Some(body.as_bytes())).unwrap_err(), FieldFault::QueryBesideBody);
    assert!(read(&delete, Some(""), Some(body.as_bytes())).is_ok());
    let remove = call(Verb::Delete, "/api/2.0/mlflow/registered-models/delete");
    assert_eq!(read(&remove, Some("name=mine"), Some(br#"{"name":"x"}"#)).unwrap_err(), FieldFault::QueryBesideBody);
    assert_eq!(read(&remove, None, Some(br#"{"name":"x"}"#)).unwrap().one("name"), Some("x"));
}

#[test]
fn a_query_names_each_thing_once() {
    assert_eq!(
        get("runs/get", &format!("run_id={RUN}&run_id={RUN}")).unwrap_err(),
        FieldFault::Repeated("run_id".into())
    );
    assert!(matches!(get("runs/get", &format!("runId={RUN}&run_id={RUN}")), Err(FieldFault::OtherSpelling { .. })));
    assert_eq!(
        get("runs/get", &format!("run%5Fid={RUN}&run_id={RUN}")).unwrap_err(),
        FieldFault::Repeated("run_id".into())
    );
    for broken in ["run_id=%", "run_id=%4", "run_id=%zz", "run_id=%ff", "%ff=1"] {
        assert_eq!(get("runs/get", broken).unwrap_err(), FieldFault::BadQuery, "{broken}");
    }
    assert_eq!(get("runs/get", "").unwrap_err(), FieldFault::Missing("run_id|run_uuid"));
    let list =
        get("metrics/get-history-bulk-interval", &format!("run_ids={RUN}&run_ids={OTHER}&metric_key=a+b")).unwrap();
    assert_eq!(list.each("run_ids").len(), 2);
}

#[test]
fn a_model_version_is_named_by_two_fields() {
    let version = |query: &str| get("model-versions/get", query);
    assert_eq!(version("name=iris%20a&version=3").unwrap().one("name/version"), Some("iris a/3"));
    assert!(version("name=iris").is_err() && version("version=3").is_err());
    for query in
        ["name=a%2Fb&version=3", "name=*&version=3", "name=a&version=03", "name=a&version=0", "name=&version=1"]
    {
        assert!(version(query).is_err(), "{query}");
    }
}

#[test]
fn artifact_paths_in_queries_are_plain() {
    let list = |path: &str| get("artifacts/list", &format!("run_id={RUN}&path={path}"));
    for path in ["", "model", "model/", "a%20b%2Fc", "%C3%A4.txt"] {
        assert!(list(path).is_ok(), "{path}");
    }
    for path in ["..", "a/../b", "%2Fetc", "a//b", "a%252fb", "a%5Cb", "a%00", "./a", "a%23b", "a%3Bb"] {
        assert!(matches!(list(path), Err(FieldFault::BadPath { .. })), "{path}");
    }
}

#[test]
fn an_upload_takes_its_run_from_the_query_and_leaves_the_body_alone() {
    let upload = call(Verb::Post, "/ajax-api/2.0/mlflow/upload-artifact");
    assert!(!upload.wants_body());
    let fields = read(&upload, Some(&format!("run_uuid={RUN}&path=a.txt")), None).unwrap();
    assert_eq!(fields.one("run_id|run_uuid"), Some(RUN));
    let twins = format!("run_id={RUN}&run_uuid={OTHER}&path=a.txt");
    assert!(matches!(read(&upload, Some(&twins), None), Err(FieldFault::Differ(_))));
    assert!(!call(Verb::Put, "/api/2.0/mlflow-artifacts/artifacts/1/x").wants_body());
}

proptest::proptest! {
    #[test]
    fn reading_never_panics(body in "[\\[\\]{}\",:a-z_0-9\\\\ ]{0,64}", query in "\\PC{0,32}") {
        drop(post("runs/log-batch", &body));
        drop(get("runs/get", &query));
    }
}

#[test]
fn a_graphql_document_names_its_objects() {
    let graphql = |body: &str| read(&call(Verb::Post, "/graphql"), None, Some(body.as_bytes()));
    let document =
        "query GetRun($data: MlflowGetRunInput!) { mlflowGetRun(input: $data) { run { experiment { name } } } }";
    let body = |more: &str| format!(r#"{{"operationName":"GetRun","query":"{document}","variables":{more}}}"#);
    let fields = graphql(&body(&format!(r#"{{"data":{{"runUuid":"{RUN}"}}}}"#))).unwrap();
    assert_eq!(fields.one("graphql.run"), Some(RUN));
    assert!(fields.each("graphql.experiment").is_empty());
    assert!(matches!(graphql(&body(r#"{"data":{"runUuid":"x"}}"#)), Err(FieldFault::BadId { .. })));
    assert!(matches!(graphql(&body("null")), Err(FieldFault::GraphQl(_))));
    for broken in [
        body("[]"),
        body(&format!(r#"{{"data":{{"runUuid":"{RUN}","runUuid":"{OTHER}"}}}}"#)),
        body(&format!(r#"{{"data":{{"runUuid":"{RUN}"}}}},"query":"x""#)),
        body("{}}"),
        r#"{"variables":{}}"#.to_owned(),
        r#"{"query":1}"#.to_owned(),
    ] {
        assert!(matches!(graphql(&broken), Err(FieldFault::NotJson(_))), "{broken}");
    }
    assert_eq!(graphql(&format!("[{}]", body("{}"))).unwrap_err(), FieldFault::NotAnObject);
}

fn start_trace(info: &str) -> Result<Fields, FieldFault> {
    let body = format!(
        r#"{{"trace":{{"trace_info":{{"trace_id":"tr-{RUN}",
            "trace_location":{{"mlflow_experiment":{{"experiment_id":"1"}}}},{info}}}}}}}"#
    );
    read(&call(Verb::Post, "/api/3.0/mlflow/traces"), None, Some(body.as_bytes()))
}

#[test]
fn members_of_a_map_are_read_by_name_and_value() {
    let fields = start_trace(&format!(
        r#""tags":{{"a":"1","mlflow.artifactLocation":"x"}},"trace_metadata":{{"mlflow.sourceRun":"{RUN}","b":""}}"#
    ))
    .unwrap();
    assert_eq!(fields.one("trace.trace_info.trace_id"), Some(format!("tr-{RUN}").as_str()));
    let texts = |field: &str| fields.each(field).iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(texts("trace.trace_info.tags[*]"), ["a", "mlflow.artifactLocation"]);
    assert_eq!(texts("trace.trace_info.trace_metadata[*]"), ["mlflow.sourceRun", "b"]);
    assert_eq!(texts("trace.trace_info.trace_metadata[mlflow.sourceRun]"), [RUN]);
    assert!(!fields.present("trace.trace_info.assessments[]"));
    assert!(start_trace(r#""assessments":[{}]"#).unwrap().present("trace.trace_info.assessments[]"));
    assert!(!start_trace(r#""assessments":[]"#).unwrap().present("trace.trace_info.assessments[]"));
}

#[test]
fn pairs_of_a_list_are_read_like_members_and_each_of_them_counts() {
    let body = format!(
        r#"{{"experiment_id":"1","request_metadata":[{{"key":"mlflow.sourceRun","value":"{RUN}"}},
            {{"value":"{OTHER}","key":"mlflow.sourceRun"}},{{"key":"k"}}]}}"#
    );
    let fields = read(&call(Verb::Post, "/api/2.0/mlflow/traces"), None, Some(body.as_bytes())).unwrap();
    let runs: Vec<&str> = fields.each("request_metadata[mlflow.sourceRun]").iter().map(|id| &**id).collect();
    assert_eq!(runs, [RUN, OTHER]);
}

#[test]
fn maps_that_two_readers_could_read_in_two_ways_are_refused() {
    for info in [
        r#""tags":{"a":"1","a":"2"}"#,
        r#""tags":{"a":1}"#,
        r#""tags":"x""#,
        r#""tags":[{"key":"a","key":"b"}]"#,
        r#""traceMetadata":{}"#,
        r#""trace_metadata":{"mlflow.sourceRun":"x"}"#,
        r#""assessments":[{"assessment_id":"a-1"}]"#,
        r#""assessments":[{"assessmentId":"a-1"}]"#,
        r#""assessments":[{"overrides":"a-1"}]"#,
    ] {
        assert!(start_trace(info).is_err(), "{info}");
    }
}
