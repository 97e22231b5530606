//! Does the policy table speak of exactly what MLflow serves? (`docs/ARCHITECTURE.md`, "The table")
//!
//! Each `tests/fixtures/mlflow-<version>` is captured from an installed server by `tests/fixtures/capture.py`. Those folders
//! are the supported versions: a new one is one run of that script.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::Path as FilePath;
use std::sync::LazyLock;

use proptest::prelude::*;
use serde::Deserialize;
use trackgate::policy::classify::{classify, rows};
use trackgate::policy::compare::{Difference, compare, row_of};
use trackgate::policy::path::Path;
use trackgate::policy::print;
use trackgate::policy::route::{
    Answer, Check, Count, Cut, Effect, Link, Need, New, Prefixes, Row, Stamp, Take, Verb, What,
};

/// What the name of a message begins with that no protobuf describes.
const NATIVE: &str = "native ";

/// A supported version: its routes, and the fields of its messages.
struct Version {
    name: String,
    routes: String,
    /// By verb and path, the messages that the call takes: some versions registered two calls at one place.
    calls: HashMap<(String, String), Vec<String>>,
    messages: HashMap<String, BTreeMap<String, String>>,
    /// What handlers take out of the request by themselves, beside or without a message.
    by_hand: Vec<(&'static Row, BTreeSet<String>)>,
}

#[derive(Deserialize)]
struct Captured {
    calls: Vec<(String, String, String)>,
    messages: HashMap<String, BTreeMap<String, String>>,
}

impl Version {
    fn messages<'a>(&'a self, row: &Row) -> impl Iterator<Item = (&'a str, &'a BTreeMap<String, String>)> {
        let named = self.calls.get(&(row.verb.to_string(), row.path.to_owned()));
        named.into_iter().flatten().map(|name| (name.as_str(), &self.messages[name]))
    }
}

/// The supported versions, oldest first.
fn versions() -> &'static [Version] {
    static VERSIONS: LazyLock<Vec<Version>> = LazyLock::new(|| {
        let fixtures = FilePath::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
        let mut versions: Vec<Version> = std::fs::read_dir(&fixtures)
            .unwrap()
            .filter_map(|entry| {
                let entry = entry.unwrap();
                let name = entry.file_name().into_string().unwrap().strip_prefix("mlflow-")?.to_owned();
                let read = |file: &str| std::fs::read_to_string(entry.path().join(file)).unwrap();
                let Captured { calls, mut messages } = serde_json::from_str(&read("fields.json")).unwrap();
                let mut by_place: HashMap<_, Vec<_>> = HashMap::new();
                for (verb, path, message) in calls {
                    by_place.entry((verb, path)).or_default().push(message);
                }
                // What FastAPI's routes declare, which are no messages of protobuf.
                let native: Vec<(String, String, BTreeMap<String, String>)> =
                    serde_json::from_str(&read("native.json")).unwrap();
                for (verb, path, fields) in native {
                    let row = row_of(&verb, &path).unwrap();
                    let place = (row.verb.to_string(), row.path.to_owned());
                    let message = format!("{NATIVE}{verb} {path}");
                    by_place.entry(place).or_default().push(message.clone());
                    messages.insert(message, fields);
                }
                let by_hand: Vec<(String, String, BTreeMap<String, String>)> =
                    serde_json::from_str(&read("byhand.json")).unwrap();
                let by_hand = by_hand
                    .into_iter()
                    .map(|(verb, path, fields)| (row_of(&verb, &path).unwrap(), fields.into_keys().collect()));
                let by_hand = by_hand.collect();
                Some(Version { name, routes: read("routes.csv"), calls: by_place, messages, by_hand })
            })
            .collect();
        versions.sort_by_key(|version| parts(&version.name));
        versions
    });
    &VERSIONS
}

fn parts(version: &str) -> Vec<u16> {
    version.split('.').map(|part| part.parse().unwrap()).collect()
}

fn routes() -> Vec<&'static str> {
    versions().iter().map(|version| version.routes.as_str()).collect()
}

/// Fields that handlers read by themselves and that name nothing that somebody must hold.
const HARMLESS_BY_HAND: &[(&str, &str, &str)] = &[
    ("CreatePromptlabRun", "mlflow_version", "what is stored of the run that is judged"),
    ("CreatePromptlabRun", "model_input", "what is stored of the run that is judged"),
    ("CreatePromptlabRun", "model_output", "what is stored of the run that is judged"),
    ("CreatePromptlabRun", "model_output_parameters", "what is stored of the run that is judged"),
    ("CreatePromptlabRun", "model_parameters", "what is stored of the run that is judged"),
    ("CreatePromptlabRun", "model_route", "what is stored of the run that is judged"),
    ("CreatePromptlabRun", "prompt_parameters", "what is stored of the run that is judged"),
    ("CreatePromptlabRun", "prompt_template", "what is stored of the run that is judged"),
    ("CreatePromptlabRun", "run_name", "what is stored of the run that is judged"),
    ("CreatePromptlabRun", "start_time", "what is stored of the run that is judged"),
    ("GetLoggedModel", "allow_deleted", "a deleted one is judged like any other"),
    ("GetMetricHistoryBulk", "max_results", "a number of rows"),
    ("GetMetricHistoryBulk", "metric_key", "a metric of the runs that are judged"),
    ("GetMetricHistoryBulkInterval", "end_step", "a number"),
    ("GetMetricHistoryBulkInterval", "max_results", "a number of rows"),
    ("GetMetricHistoryBulkInterval", "start_step", "a number"),
    ("GetProviderConfig", "provider", "a word of MLflow's own list"),
    ("SupportedModels", "provider", "a word of MLflow's own list"),
    ("InvokeIssueDetectionHandler", "categories", "words in a prompt"),
    ("InvokeIssueDetectionHandler", "instructions", "words in a prompt"),
    ("InvokeScorerHandler", "log_assessments", "the same right is asked whatever it says"),
    ("ServeGatewayProxy", "gateway_path", "USE on every endpoint is asked"),
    ("ServeGatewayProxy", "json_data", "USE on every endpoint is asked"),
    ("ServeGatewayProxyGet", "gateway_path", "USE on every endpoint is asked"),
    ("ServeGatewayProxyGet", "json_data", "USE on every endpoint is asked"),
    (
        "ServeGetTraceArtifact",
        "path",
        "a file of the trace that is judged: MLflow takes plain names of attachments alone",
    ),
    ("ServePostUiTelemetry", "records", "answered by Trackgate, dropped"),
    ("UpsertOnlineScoringConfig", "filter_string", "a choice among the traces of the experiment, which is judged"),
    ("GetOnlineScoringConfigs", "scorer_ids", "each row of the answer is judged"),
    ("UpsertOnlineScoringConfig", "sample_rate", "a number"),
    (
        "UploadRunArtifact",
        "presigned",
        "only readers answer with addresses (3.18, `_disable_if_artifacts_presigned_only`)",
    ),
    ("UploadArtifact", "presigned", "only readers answer with addresses"),
    ("DownloadArtifact", "presigned", "this reader answers with no address"),
];

/// Fields that look like ids and are looked at: by call (`*`: by every one), with the reason why nobody must hold
/// anything for them.
const HARMLESS: &[(&str, &str, &str)] = &[
    ("*", "metrics[].run_id", "MLflow takes the request's own run"),
    ("*", "datasets[].dataset.source", "a text about where data came from; the server never opens it"),
    ("DeleteTraceTag", "trace_id", "the path's counts; 3.3 to 3.6 know the one message by two names"),
    ("DeleteTraceTagV3", "request_id", "the path's counts; 3.3 to 3.6 know the one message by two names"),
    ("StartTraceV3", "trace.trace_info.client_request_id", "the caller's own name for it, a text"),
    ("StartTraceV3", "trace.trace_info.assessments[].trace_id", "MLflow takes the request's own trace"),
    (
        "StartTraceV3",
        "trace.trace_info.assessments[].span_id",
        "a span of the trace that was judged; a text to the store",
    ),
    ("StartTraceV3", "trace.trace_info.assessments[].source.source_id", "a text; it becomes the caller's name"),
    ("StartTraceV3", "trace.spans[].trace_id", "MLflow reads no spans here"),
    ("StartTraceV3", "trace.spans[].span_id", "MLflow reads no spans here"),
    ("StartTraceV3", "trace.spans[].parent_span_id", "MLflow reads no spans here"),
    ("StartTraceV3", "trace.spans[].links[].trace_id", "MLflow reads no spans here"),
    ("StartTraceV3", "trace.spans[].links[].span_id", "MLflow reads no spans here"),
    ("*", "assessment.span_id", "a span of the trace that was judged; a text to the store"),
    ("*", "assessment.source.source_id", "a text; in a new one it becomes the caller's name"),
    ("DeleteGatewayEndpointBinding", "resource_id", "which of the endpoint's own bindings"),
    ("ListGatewayEndpointBindings", "resource_id", "which rows are wanted; those of hidden endpoints are dropped"),
    ("RemoveGuardrailFromEndpoint", "guardrail_id", "which of the endpoint's own guardrails"),
    ("*", "upload_id", "the bucket's name for an upload below the path that is judged"),
    ("CreateDataset", "source", "a text that MLflow does not read"),
    ("DeleteDatasetRecords", "dataset_record_ids[]", "MLflow looks for them in the request's own dataset"),
    ("CreateReviewQueue", "schema_ids[]", "MLflow takes schemas of the request's own experiment alone"),
    ("UpdateReviewQueue", "schema_ids[]", "MLflow takes schemas of the queue's own experiment alone"),
    ("UpdateReviewQueue", "update_schema_ids", "a yes or no"),
    ("RemoveItemsFromReviewQueue", "item_ids[]", "MLflow looks for them in the request's own queue"),
    ("*", "deployment_job_id", "a Databricks job; the SQL store ignores it"),
    // What FastAPI's routes declare (MCP servers and skills: 3.18.0, `server/mcp_server_api.py`, `skill_registry_api.py`).
    ("SearchJobs", "job_name", "which rows are wanted; those of others' jobs are dropped"),
    ("SearchJobs", "function_fullname", "which rows are wanted; those of others' jobs are dropped"),
    ("*", "icons[].src", "a picture's address for pages; the server never opens it"),
    ("*", "tools[].icons[].src", "a picture's address for pages; the server never opens it"),
    ("*", "tools[].name", "a part of the version's own description"),
    ("CreateMcpServer", "name", "the new one's name, whose maker owns it"),
    ("UpdateMcpServer", "display_name", "a text for people; nothing is found by it"),
    ("SetMcpServerAlias", "alias", "the request's own server's"),
    (
        "SetMcpServerAlias",
        "version",
        "the request's own server's; who may not read it reads no answer through the alias",
    ),
    ("*", "server_alias", "the request's own server's, or which rows are wanted; denied versions are blanked"),
    ("*", "server_version", "the request's own server's, or which rows are wanted; denied versions are blanked"),
    ("*", "url", "where clients reach the MCP server; MLflow's server never opens it"),
    ("CreateMcpServerVersion", "server_json.name", "MLflow refuses another name than the path's"),
    ("CreateMcpServerVersion", "server_json.version", "the new one's, of the request's own server"),
    ("CreateMcpServerVersion", "server_json.icons[].src", "a picture's address for pages; the server never opens it"),
    ("CreateMcpServerVersion", "server_json.packages[].version", "a part of its description for clients"),
    (
        "CreateMcpServerVersion",
        "server_json.packages[].environmentVariables[].name",
        "a part of its description for clients",
    ),
    ("CreateMcpServerVersion", "server_json.remotes[].url", "where clients reach it; MLflow's server never opens it"),
    ("CreateMcpServerVersion", "server_json.repository.source", "a part of its description for clients"),
    ("CreateMcpServerVersion", "server_json.repository.url", "a part of its description for clients"),
    ("CreateMcpServerVersion", "source", "a text about where it came from; the server never opens it"),
    ("SearchSkills", "include_skill_identities[]", "which rows are wanted; hidden ones are dropped"),
    ("CreateSkill", "name", "the new one's name, whose maker owns it"),
    ("CreateSkill", "organization", "the new one's name, whose maker owns it"),
    ("SetSkillAlias", "alias", "the request's own skill's"),
    ("SetSkillAlias", "version", "the request's own skill's"),
    ("SetOrganizationSkillAlias", "alias", "the request's own skill's"),
    ("SetOrganizationSkillAlias", "version", "the request's own skill's"),
    ("CreateSkillVersion", "name", "MLflow refuses another name than the path's"),
    ("CreateSkillVersion", "organization", "MLflow refuses another name than the path's"),
    ("CreateSkillVersion", "source", "what clients fetch by themselves; the server takes none of its own places"),
    ("CreateSkillVersion", "subpath", "a folder in what clients fetch"),
    ("CreateOrganizationSkillVersion", "name", "MLflow refuses another name than the path's"),
    ("CreateOrganizationSkillVersion", "organization", "MLflow refuses another name than the path's"),
    (
        "CreateOrganizationSkillVersion",
        "source",
        "what clients fetch by themselves; the server takes none of its own places",
    ),
    ("CreateOrganizationSkillVersion", "subpath", "a folder in what clients fetch"),
];

/// The fields of query and body that a row names.
#[expect(clippy::too_many_lines, reason = "one arm for each word of the table")]
fn named(row: &Row) -> Vec<&'static str> {
    let mut fields = Vec::new();
    for need in row.needs {
        let field = match need {
            Need::On { field, .. }
            | Need::OnOrCreate { field, .. }
            | Need::Lenient { field, .. }
            | Need::OnExperimentOf { field, .. }
            | Need::NotDenied { field, .. }
            | Need::Renames { to: field, .. }
            | Need::OnAllIn { field, .. }
            | Need::OnQueue { field, .. }
            | Need::ForOneself { field, .. }
            | Need::OnArtifact { field, .. }
            | Need::OnNamed { field, .. }
            | Need::OnExperimentNamed { field, .. }
            | Need::NewOf { given: Some(field), .. }
            | Need::Oneself { field, .. }
            | Need::OnTokensOf { field, .. }
            | Need::OnToken(field)
            | Need::OnRole { field, .. }
            | Need::InEach(field) => field,
            Need::Under { field, parent, .. } => {
                fields.extend(names(field));
                parent
            }
            Need::NewNamed { mark, .. } => mark,
            Need::CreateNamed { name, mark, .. } => {
                fields.extend(mark.iter().copied().flat_map(names));
                name
            }
            Need::Gives { what, to: other } | Need::Takes { what, from: other } => {
                fields.extend(what.level().into_iter().chain(*other).flat_map(names));
                match what {
                    What::Named { kind, id, .. } => {
                        fields.extend(names(kind));
                        id
                    }
                    What::One { field, .. } => field,
                    What::Workspace { .. } | What::OfRole { .. } => continue,
                }
            }
            Need::Checked(check) => match check {
                Check::ArtifactLocation(field)
                | Check::ModelSource(field)
                | Check::NewModelName(field)
                | Check::TagKey(field)
                | Check::VersionTags(field)
                | Check::RunTags { run: _, key: field }
                | Check::FileName(field)
                | Check::SafePath(field)
                | Check::TraceTags(field)
                | Check::TraceMetadata(field)
                | Check::TracePlace(field)
                | Check::TraceFilter(field)
                | Check::TraceFilters(field)
                | Check::CountFilter(field)
                | Check::Presigned(field)
                | Check::CountFilters(field)
                | Check::TraceView(field)
                | Check::Ours(field)
                | Check::Selector { field, .. }
                | Check::QueueType { field, .. }
                | Check::Scorers { field, .. }
                | Check::Models(field)
                | Check::NewId { field, .. }
                | Check::NewOwner { field, .. }
                | Check::PromptUri(field)
                | Check::Elsewhere(field)
                | Check::TraceParent(field)
                | Check::SourceRun(field)
                | Check::IssueNames(field)
                | Check::StoredJudge(field)
                | Check::ListedVersions { keys: field, .. }
                | Check::TraceAuthor { keys: field, .. }
                | Check::NewSourceRun { keys: field, .. }
                | Check::GuardrailScorer(field) => field,
                Check::Provider { provider, model, .. } => {
                    fields.push(provider);
                    model
                }
                Check::StoredJudges { versions, .. } => versions,
                Check::TracedInto(field) => {
                    fields.extend(["name", "experiment_id"]);
                    field
                }
                Check::Inside { .. } => continue,
                Check::NewSkill { name, organization } => {
                    fields.extend(names(name));
                    organization
                }
                Check::TraceTagsOf { tags, place, trace } => {
                    fields.extend(names(tags).chain(names(place)));
                    trace
                }
                Check::NewTraces { traces, experiment } => {
                    fields.extend(names(traces));
                    experiment
                }
            },
            Need::Anyone
            | Need::SignedIn
            | Need::Admin(_)
            | Need::Nobody(_)
            | Need::Create
            | Need::NoneDenied(_)
            | Need::OnEvery { .. }
            | Need::NewOf { given: None, .. } => continue,
        };
        fields.extend(names(field));
    }
    fields.extend(row.stamps.iter().map(|stamp| match stamp {
        Stamp::Text(field)
        | Stamp::Given(field)
        | Stamp::Json(field)
        | Stamp::Tags(field)
        | Stamp::GivenTags(field)
        | Stamp::Map(field)
        | Stamp::GivenMap(field)
        | Stamp::Source(field) => *field,
    }));
    fields.extend(row.takes.iter().flat_map(|take| match take {
        Take::Text(field)
        | Take::TextOpt(field)
        | Take::Texts(field)
        | Take::Holder(field)
        | Take::Flag(field)
        | Take::TimeOpt(field) => {
            vec![*field]
        }
        Take::Thing { kind, id } => vec![*kind, *id],
    }));
    fields
}

/// The names of a field but for captures; of `a[k]` and `a[*]`, `a`.
fn names(field: &'static str) -> impl Iterator<Item = &'static str> {
    let whole = |field: &'static str| match field.strip_suffix(']').and_then(|field| field.rsplit_once('[')) {
        Some((name, _)) => name,
        None => field,
    };
    field.split(['|', '/']).filter(|field| !field.starts_with('{')).map(whole)
}

#[test]
fn every_minor_version_since_3_1_and_the_last_of_2_are_supported() {
    let found: Vec<&str> = versions().iter().map(|version| version.name.as_str()).collect();
    assert_eq!(found[0], "2.22.5");
    let minors: Vec<u16> = found[1..].iter().map(|version| parts(version)[1]).collect();
    let newest = *minors.last().unwrap();
    assert!(newest >= 18 && found[1..].iter().all(|version| version.starts_with("3.")), "{found:?}");
    assert_eq!(minors, (1..=newest).collect::<Vec<_>>(), "a minor version is missing or there twice");
}

#[test]
fn trackgate_itself_knows_the_same_versions() {
    let found: Vec<&str> = versions().iter().map(|version| version.name.as_str()).collect();
    let told: Vec<String> = trackgate::mlflow::version::compared().map(|version| version.to_string()).collect();
    assert_eq!(told, found, "tests/fixtures/capture.py writes src/mlflow/versions.txt anew");
}

#[test]
fn every_route_has_one_row_and_every_row_a_route() {
    let differences: BTreeSet<String> = compare(&routes()).iter().map(ToString::to_string).collect();
    assert!(differences.is_empty(), "{differences:#?}");
}

#[test]
fn a_version_that_the_table_does_not_know_is_noticed() {
    let route = "POST,/api/2.0/mlflow/experiments/merge,mlflow.server.handlers._merge,flask";
    let mut more = routes();
    more.push(route);
    assert!(compare(&more).iter().any(|found| matches!(found, Difference::NoRow { .. })));
    assert!(compare(&routes()[..1]).iter().any(|found| matches!(found, Difference::Dead { .. })));
}

#[test]
fn every_field_that_a_row_names_is_a_field_of_the_message() {
    // A field may have come with a later version, or gone with an earlier one: one of them has it.
    let mut known: BTreeMap<(&str, &str, &str), bool> = BTreeMap::new();
    for version in versions() {
        for row in rows() {
            for (_, fields) in version.messages(row) {
                // What spans hold is told by OTLP's messages, not by MLflow's.
                for field in named(row).into_iter().filter(|field| !field.starts_with("otlp.")) {
                    let inside = format!("{field}[]");
                    let here = fields.contains_key(field) || fields.keys().any(|known| known.starts_with(&inside));
                    *known.entry((row.name, row.path, field)).or_default() |= here;
                }
            }
        }
    }
    let unknown: Vec<_> = known.iter().filter(|(_, known)| !**known).map(|(named, _)| named).collect();
    assert!(unknown.is_empty(), "fields that no version has: {unknown:#?}");
    assert!(known.len() > 80, "only {} fields were compared", known.len());
}

#[test]
fn in_every_version_some_field_of_each_need_is_there() {
    let mut lacking = BTreeSet::new();
    for version in versions() {
        for row in rows() {
            for (message, fields) in version.messages(row) {
                let there = |name: &str| {
                    name.starts_with('{') || fields.contains_key(name) || fields.contains_key(&format!("{name}[]"))
                };
                for need in row.needs {
                    // A field that is absent is nobody's business, but for the one that says what is judged.
                    let Need::On { field, count: Count::One | Count::Each, .. } = need else { continue };
                    // Of aliases one, of joined parts all.
                    if !field.split('|').any(|alias| alias.split('/').all(there)) {
                        lacking.insert(format!("{} {}: {message} has no `{field}`", version.name, row.path));
                    }
                }
            }
        }
    }
    assert!(lacking.is_empty(), "{lacking:#?}");
}

#[test]
fn every_field_that_looks_like_an_id_is_judged_or_looked_at() {
    let like_an_id = |field: &str, native: bool| {
        let last = field.rsplit('.').next().unwrap_or(field).trim_end_matches("[]");
        let ends = ["_id", "_ids", "_uuid", "path", "source", "_uri", "_location"];
        // These APIs name things by words, and ids with dashes.
        let words = ["-id", "name", "organization", "version", "alias", "identities", "url", "src"];
        ends.iter().any(|end| last.ends_with(end)) || native && words.iter().any(|end| last.ends_with(end))
    };
    let mut unlooked: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    let mut used = HashSet::new();
    // Administrators may name what they like.
    let admins = |row: &Row| row.needs.iter().any(|need| matches!(need, Need::Admin(_)));
    for version in versions() {
        for row in rows().filter(|row| row.closed().is_none() && !admins(row)) {
            let named = named(row);
            let captures: Vec<&str> = row.path.split(['{', '}', '*', '/']).collect();
            let fields = version.messages(row).flat_map(|(message, fields)| {
                let native = message.starts_with(NATIVE);
                fields.keys().filter(move |field| like_an_id(field, native))
            });
            for field in fields {
                let judged = named.contains(&field.trim_end_matches("[]")) || captures.contains(&field.as_str());
                let harmless =
                    HARMLESS.iter().position(|(call, known, _)| (*call == "*" || *call == row.name) && known == field);
                used.extend(harmless);
                if !judged && harmless.is_none() {
                    unlooked.entry(format!("{} {}: {field}", row.verb, row.path)).or_default().push(&version.name);
                }
            }
        }
    }
    assert!(unlooked.is_empty(), "neither judged nor looked at: {unlooked:#?}");
    let idle: Vec<_> = (0..HARMLESS.len()).filter(|at| !used.contains(at)).map(|at| HARMLESS[at]).collect();
    assert!(idle.is_empty(), "entries of HARMLESS that are not needed: {idle:#?}");
}

#[test]
fn every_field_that_a_handler_reads_by_itself_is_judged_or_looked_at() {
    let mut unlooked: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    let mut used = HashSet::new();
    // Nobody calls them, administrators may name what they like, and what is ours MLflow never reads.
    let judged_whole = |row: &Row| {
        let admins = row.needs.iter().any(|need| matches!(need, Need::Admin(_)));
        row.closed().is_some() || admins || row.answer == Answer::Served || matches!(row.answer, Answer::GraphQl(_))
    };
    for version in versions() {
        for (row, fields) in version.by_hand.iter().filter(|(row, _)| !judged_whole(row)) {
            let named = named(row);
            for field in fields {
                let inner = format!("{field}[");
                let judged = named.iter().any(|name| name == field || name.starts_with(&inner));
                let harmless = HARMLESS_BY_HAND.iter().position(|(call, known, _)| *call == row.name && known == field);
                used.extend(harmless);
                if !judged && harmless.is_none() {
                    unlooked.entry(format!("{} {}: {field}", row.name, row.path)).or_default().push(&version.name);
                }
            }
        }
    }
    assert!(unlooked.is_empty(), "neither judged nor looked at: {unlooked:#?}");
    let idle: Vec<_> = (0..HARMLESS_BY_HAND.len()).filter(|at| !used.contains(at)).collect();
    assert!(idle.is_empty(), "entries of HARMLESS_BY_HAND that are not needed: {idle:#?}");
}

#[test]
fn no_two_rows_speak_of_one_route() {
    let mut seen = HashSet::new();
    for row in rows() {
        let shape: Vec<String> = row
            .path
            .split('/')
            .map(|segment| match segment {
                rest if rest.starts_with("{*") => "{*}".to_owned(),
                part => match (part.split_once('{'), part.split_once('}')) {
                    (Some((before, _)), Some((_, behind))) => format!("{before}{{}}{behind}"),
                    _ => part.to_owned(),
                },
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
        if row.needs.iter().any(|need| matches!(need, Need::Create | Need::CreateNamed { .. })) {
            assert!(matches!(row.effect, Effect::Owns { .. }), "{} makes something without an owner", row.name);
        }
        if row.needs.iter().any(|need| matches!(need, Need::OnOrCreate { .. })) {
            let guarded = matches!(row.effect, Effect::Owns { new: New::IfAbsent | New::First(_), .. });
            assert!(guarded, "{} gives away what was there before", row.name);
        }
        let by_id = row.needs.iter().any(|need| {
            matches!(
                need,
                Need::OnArtifact { .. } | Need::OnQueue { .. } | Need::On { count: Count::One | Count::Each, .. }
            )
        });
        let admins = row.needs.iter().any(|need| matches!(need, Need::Admin(_)));
        if (row.name.starts_with("Search") || row.name.starts_with("List")) && !by_id && !admins {
            // Short lists whose other members stay as they are.
            let drops = |links: &[Link]| links.iter().any(|link| link.cut == Cut::Element);
            // What Trackgate answers itself is made for the caller.
            let filtered = matches!(row.answer, Answer::Keep(_) | Answer::Served)
                || matches!(row.answer, Answer::Hide(links) if drops(links));
            assert!(filtered, "{} lists without a filter", row.name);
        }
        if row.needs.iter().any(|need| matches!(need, Need::On { count: Count::Narrowed, .. })) {
            let filtered = matches!(row.answer, Answer::Keep(_) | Answer::GraphQl(_));
            assert!(filtered, "{} is narrowed but not filtered", row.name);
        }
    }
}

/// Lists whose rows are not filtered one by one, each with the reason.
const UNFILTERED: &[(&str, &str)] = &[
    ("GetDataset", "it is one dataset, which is judged"),
    ("GetDatasetRecords", "the rows are one dataset's, which is judged"),
    ("ListLabelSchemas", "the rows are one experiment's, which is judged, and have no grants of their own"),
    ("ListReviewQueueItems", "the rows are one queue's, which is judged, and nobody whom any trace is denied may ask"),
    ("SearchIssues", "the rows are one experiment's, which is judged, and have no grants of their own"),
    ("GetMetricHistory", "the rows are one run's, which is judged"),
    ("GetMetricHistoryBulkInterval", "the rows are those runs', of which each is judged"),
    ("ListArtifacts", "the rows are one run's files, and the run is judged"),
    ("ListLoggedModelArtifacts", "the rows are one logged model's files, and that is judged"),
    ("QueryTraceMetrics", "it answers with sums over experiments, of which each is judged"),
];

#[test]
fn every_list_that_pages_is_filtered_or_says_why_not() {
    let mut unfiltered = BTreeSet::new();
    let mut used = HashSet::new();
    for row in rows().filter(|row| row.closed().is_none()) {
        let admins = row.needs.iter().any(|need| matches!(need, Need::Admin(_)));
        let pages = versions()
            .iter()
            .flat_map(|version| version.messages(row))
            .any(|(_, fields)| ["page_token", "max_results"].iter().any(|field| fields.contains_key(*field)));
        let filtered = matches!(row.answer, Answer::Keep(_) | Answer::GraphQl(_) | Answer::Ours(_) | Answer::Served);
        if admins || !pages || filtered {
            continue;
        }
        if UNFILTERED.iter().any(|(name, _)| *name == row.name) {
            used.insert(row.name);
        } else {
            unfiltered.insert(format!("{} {}", row.name, row.path));
        }
    }
    assert!(unfiltered.is_empty(), "lists without a filter: {unfiltered:#?}");
    for (name, _) in UNFILTERED {
        assert!(used.contains(name), "{name} needs no reason");
    }
}

/// Fields that say who did something, and are not stamped: by call, with the reason.
const UNSTAMPED: &[(&str, &str, &str)] = &[
    ("UpdateAssessment", "assessment.source.source_id", "the mask of what is updated knows no source: it stays"),
    ("CreateDataset", "created_by", "MLflow takes it from the dataset's tags, which are stamped"),
    ("CreateReviewQueue", "created_by", "MLflow does not read it"),
    ("GetOrCreateUserQueue", "created_by", "MLflow does not read it: such a queue is its user's"),
];

#[test]
fn every_field_that_says_who_did_it_is_stamped() {
    let mut unstamped = BTreeSet::new();
    for row in rows().filter(|row| row.closed().is_none()) {
        let stamped = |field: &str| {
            row.stamps.iter().any(|stamp| match stamp {
                Stamp::Text(at)
                | Stamp::Given(at)
                | Stamp::Json(at)
                | Stamp::Tags(at)
                | Stamp::GivenTags(at)
                | Stamp::Map(at)
                | Stamp::GivenMap(at)
                | Stamp::Source(at) => *at == field,
            })
        };
        for (_, fields) in versions().iter().flat_map(|version| version.messages(row)) {
            for field in fields.keys() {
                let last = field.rsplit('.').next().unwrap_or(field);
                let says_who = ["user_id", "created_by", "last_updated_by", "completed_by"].contains(&last)
                    || field.ends_with("source.source_id");
                let excused = UNSTAMPED.iter().any(|(call, known, _)| *call == row.name && known == field);
                if says_who && !stamped(field) && !excused {
                    unstamped.insert(format!("{} {}: {field}", row.verb, row.path));
                }
            }
        }
    }
    assert!(unstamped.is_empty(), "who did it is taken from the request: {unstamped:#?}");
}

#[test]
fn every_closed_row_says_why_and_only_our_own_are_open_to_strangers() {
    for row in rows() {
        if let Some(why) = row.closed() {
            assert!(why.len() > 10 && row.needs.len() == 1, "{} {}", row.verb, row.path);
        }
        if row.open_to_strangers() {
            assert!(row.is_local(), "{} {} is open to strangers", row.verb, row.path);
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
