//! What does each call about traces and their assessments need?
//!
//! A trace lies in an experiment; whatever names another place (a table of a data lake) is refused, since nobody here can
//! judge it. An assessment lies in its trace's experiment and may be granted by itself.

use crate::mlflow::permission::Action::{Delete, Edit, Read};
use crate::mlflow::resource::Kind::{Assessment, Experiment, LoggedModel, Prompt, PromptVersion, Run, Trace};
use crate::policy::route::Check::{
    CountFilter, CountFilters, Elsewhere, IssueNames, ListedVersions, NewSourceRun, NewTraces, Ours, SourceRun, TagKey,
    TraceAuthor, TraceFilter, TraceFilters, TraceMetadata, TracePlace, TraceTags, TraceTagsOf, TraceView,
};
use crate::policy::route::Cut::{Member, Pair, Tag, TagMember, Within};
use crate::policy::route::Need::{Checked, NoneDenied};
use crate::policy::route::{
    Link, List, Need, Own, Paging, Row, Stamp, assessment, assessment_opt, by_row, delete, delete_, delete_traces,
    edit, edit_any, edit_opt, get, link, narrowed, new_if, new_of, nobody, patch, post, read, read_each, read_opt,
};

const NEVER: &str = "MLflow registers it and always answers 404";

/// Metadata that names the run and the logged model that a trace is of (MLflow 3.17.2, `TraceMetadataKey`).
const RUN: &str = "mlflow.sourceRun";
const MODEL: &str = "mlflow.modelId";
/// The tag that lists the prompt versions that were used (`TraceTagKey.LINKED_PROMPTS`).
const PROMPTS: &str = "mlflow.linkedPrompts";
/// Metadata of an assessment that names the run which made it (`AssessmentMetadataKey.SOURCE_RUN_ID`).
const SCORED_BY: &str = "mlflow.assessment.sourceRunId";

/// Whoever writes such a tag links the trace to prompts, as `link-prompts` does.
const fn prompts(keys: &'static str, value: Option<&'static str>) -> Need {
    Checked(ListedVersions { tag: PROMPTS, kind: PromptVersion, keys, value })
}

const WHERE: &str = "trace_location.mlflow_experiment.experiment_id";

/// What a trace tells of, seen from the trace.
const LINKS: &[Link] = &[
    link("trace_metadata", Run, Member(RUN)),
    link("trace_metadata", LoggedModel, Member(MODEL)),
    link("tags", PromptVersion, TagMember(PROMPTS)),
    link("assessments[]", Assessment, Within(WHERE)),
    link("assessments[].metadata", Run, Member(SCORED_BY)),
];

/// The same, in an answer with one trace, or in a row that holds spans too.
const TRACE_WHERE: &str = "trace.trace_info.trace_location.mlflow_experiment.experiment_id";
const TRACE_LINKS: &[Link] = &[
    link("trace.trace_info.trace_metadata", Run, Member(RUN)),
    link("trace.trace_info.trace_metadata", LoggedModel, Member(MODEL)),
    link("trace.trace_info.tags", PromptVersion, TagMember(PROMPTS)),
    link("trace.trace_info.assessments[]", Assessment, Within(TRACE_WHERE)),
    link("trace.trace_info.assessments[].metadata", Run, Member(SCORED_BY)),
];
const FULL_LINKS: &[Link] = &[
    link("trace_info.trace_metadata", Run, Member(RUN)),
    link("trace_info.trace_metadata", LoggedModel, Member(MODEL)),
    link("trace_info.tags", PromptVersion, TagMember(PROMPTS)),
    link("trace_info.assessments[]", Assessment, Within("trace_info.trace_location.mlflow_experiment.experiment_id")),
    link("trace_info.assessments[].metadata", Run, Member(SCORED_BY)),
];

/// The older form: pairs in lists, and no assessments.
const OLD_LINKS: &[Link] = &[
    link("request_metadata[]", Run, Pair(RUN)),
    link("request_metadata[]", LoggedModel, Pair(MODEL)),
    link("tags[]", PromptVersion, Tag(PROMPTS)),
];
const OLD_TRACE_LINKS: &[Link] = &[
    link("trace_info.request_metadata[]", Run, Pair(RUN)),
    link("trace_info.request_metadata[]", LoggedModel, Pair(MODEL)),
    link("trace_info.tags[]", PromptVersion, Tag(PROMPTS)),
];

const ASSESSMENT_LINKS: &[Link] = &[link("assessment.metadata", Run, Member(SCORED_BY))];

const FOUND: List = List {
    member: "traces",
    kind: Experiment,
    id: WHERE,
    own: Some(Own { kind: Trace, id: &["trace_id"] }),
    links: LINKS,
    paged: Some(Paging { default: 100, most: 500, narrow_by: None }),
};

const FOUND_OLD: List = List {
    member: "traces",
    kind: Experiment,
    id: "experiment_id",
    own: Some(Own { kind: Trace, id: &["request_id"] }),
    links: OLD_LINKS,
    paged: Some(Paging { default: 100, most: 500, narrow_by: None }),
};

const INFOS: List = List { member: "trace_infos", paged: None, ..FOUND };

const FULL: List = List {
    member: "traces",
    kind: Experiment,
    id: "trace_info.trace_location.mlflow_experiment.experiment_id",
    own: Some(Own { kind: Trace, id: &["trace_info.trace_id"] }),
    links: FULL_LINKS,
    paged: None,
};

#[rustfmt::skip]
pub(super) static ROWS: &[Row] = &[
    // Never there
    get   ("2.0/mlflow/get-online-trace-details",              "GetOnlineTraceDetails", &[nobody(NEVER)]),
    get   ("2.0/mlflow/unified-traces",                        "SearchUnifiedTraces",   &[nobody(NEVER)]),
    get   ("2.0/mlflow/traces/{trace_id}",                             "GetTraceInfoOfOld",     &[nobody(NEVER)]),
    post  ("2.0/mlflow/traces/search",                                 "SearchTracesOfOld",     &[nobody(NEVER)]),
    post  ("2.0/mlflow/traces/{trace_id}/assessments",                 "CreateAssessmentOfOld", &[nobody(NEVER)]),
    delete("2.0/mlflow/traces/{trace_id}/assessments/{assessment_id}", "DeleteAssessmentOfOld", &[nobody(NEVER)]),
    get   ("2.0/mlflow/traces/{trace_id}/assessments/{assessment_id}", "GetAssessmentOfOld",    &[nobody(NEVER)]),
    patch ("2.0/mlflow/traces/{trace_id}/assessments/{assessment_id}", "UpdateAssessmentOfOld", &[nobody(NEVER)]),

    // Traces are written
    post  ("3.0/mlflow/traces",                                "StartTraceV3",          &[edit(Experiment, "trace.trace_info.trace_location.mlflow_experiment.experiment_id"),
                                                                                          Checked(NewTraces { traces: "trace.trace_info.trace_id", experiment: "trace.trace_info.trace_location.mlflow_experiment.experiment_id" }),
                                                                                          Checked(Elsewhere("trace.trace_info.trace_location.inference_table.full_table_name")),
                                                                                          Checked(TraceTags("trace.trace_info.tags[*]")),
                                                                                          Checked(TraceMetadata("trace.trace_info.trace_metadata[*]")),
                                                                                          edit_opt(Run, "trace.trace_info.trace_metadata[mlflow.sourceRun]"),
                                                                                          read_opt(LoggedModel, "trace.trace_info.trace_metadata[mlflow.modelId]"),
                                                                                          prompts("trace.trace_info.tags[*]", Some("trace.trace_info.tags[mlflow.linkedPrompts]")),
                                                                                          new_of(Trace), new_if(Assessment, "trace.trace_info.assessments[]"),
                                                                                          edit_any(Run, "trace.trace_info.assessments[].metadata[mlflow.assessment.sourceRunId]"),
                                                                                          Checked(SourceRun("trace.trace_info.assessments[].metadata[*]")),
                                                                                          Checked(IssueNames("trace.trace_info.assessments[].assessment_name")),
                                                                                          Checked(Ours("trace.trace_info.assessments[].assessment_id")),
                                                                                          Checked(Ours("trace.trace_info.assessments[].overrides"))]).large().hides(TRACE_LINKS)
                                                                                          .stamps(&[Stamp::Map("trace.trace_info.trace_metadata"), Stamp::GivenMap("trace.trace_info.tags"), Stamp::Source("trace.trace_info.assessments[].source.source_id")]),
    post  ("2.0/mlflow/traces",                                "StartTrace",            &[edit(Experiment, "experiment_id"), new_of(Trace), Checked(TraceTags("tags[*]")), Checked(TraceMetadata("request_metadata[*]")),
                                                                                          edit_opt(Run, "request_metadata[mlflow.sourceRun]"), read_opt(LoggedModel, "request_metadata[mlflow.modelId]"),
                                                                                          prompts("tags[*]", Some("tags[mlflow.linkedPrompts]"))]).large().hides(OLD_TRACE_LINKS)
                                                                                          .stamps(&[Stamp::Tags("request_metadata[].key"), Stamp::GivenTags("tags[].key")]),
    // What is sent here is merged into what the start has written, the author's name too.
    patch ("2.0/mlflow/traces/{request_id}",                   "EndTrace",              &[edit(Trace, "{request_id}|request_id"), Checked(TraceMetadata("request_metadata[*]")), Checked(TagKey("request_metadata[*]")),
                                                                                          Checked(TraceTagsOf { tags: "tags[*]", place: "tags[mlflow.artifactLocation]", trace: "{request_id}|request_id" }),
                                                                                          edit_opt(Run, "request_metadata[mlflow.sourceRun]"), read_opt(LoggedModel, "request_metadata[mlflow.modelId]"),
                                                                                          Checked(TraceAuthor { keys: "tags[*]", name: "tags[mlflow.user]" }), prompts("tags[*]", Some("tags[mlflow.linkedPrompts]"))]).large().hides(OLD_TRACE_LINKS),
    post  ("v1/traces",                                        "ExportTraces",          &[edit(Experiment, "header.x-mlflow-experiment-id"), edit_opt(Run, "header.x-mlflow-run-id"), new_of(Trace),
                                                                                          Checked(NewTraces { traces: "otlp.trace_id", experiment: "header.x-mlflow-experiment-id" }),
                                                                                          Checked(TraceTags("otlp.trace_tag")), Checked(TagKey("otlp.trace_tag")), prompts("otlp.trace_tag", None)]).root().otlp(),

    // Traces are read
    get   ("3.0/mlflow/traces/{trace_id}",                     "GetTraceInfoV3",        &[read(Trace, "{trace_id}|trace_id")]).hides(TRACE_LINKS),
    get   ("3.0/mlflow/traces/get",                            "GetTrace",              &[read(Trace, "trace_id")]).hides(TRACE_LINKS),
    get   ("2.0/mlflow/traces/{request_id}/info",              "GetTraceInfo",          &[read(Trace, "{request_id}|request_id")]).hides(OLD_TRACE_LINKS),
    get   ("3.0/mlflow/traces/batchGet",                       "BatchGetTraces",        &[by_row(Trace, "trace_ids"), by_row(Experiment, "experiment_ids")]).keeps(FULL),
    post  ("3.0/mlflow/traces/batchGetInfos",                  "BatchGetTraceInfos",    &[by_row(Trace, "trace_ids"), by_row(Experiment, "experiment_ids")]).keeps(INFOS),
    get   ("2.0/mlflow/get-trace-artifact",                    "ServeGetTraceArtifact", &[read(Trace, "request_id"), Checked(TracePlace("request_id"))]).ajax().fetches(),
    get   ("3.0/mlflow/get-trace-artifact",                    "ServeGetTraceArtifact", &[read(Trace, "request_id"), Checked(TracePlace("request_id"))]).ajax().fetches(),
    post  ("3.0/mlflow/traces/search",                         "SearchTracesV3",        &[narrowed(Experiment, "locations[].mlflow_experiment.experiment_id"), Checked(Elsewhere("locations[].inference_table.full_table_name")),
                                                                                          Checked(TraceFilter("filter")), Checked(TraceFilters("order_by"))]).keeps(FOUND),
    get   ("2.0/mlflow/traces",                                "SearchTraces",          &[narrowed(Experiment, "experiment_ids"), Checked(TraceFilter("filter")), Checked(TraceFilters("order_by"))]).keeps(FOUND_OLD),
    post  ("3.0/mlflow/traces/metrics",                        "QueryTraceMetrics",     &[read_each(Experiment, "experiment_ids"), NoneDenied(Trace), Checked(TraceView("view_type")), Checked(CountFilters("filters"))]),
    post  ("3.0/mlflow/traces/calculate-filter-correlation",   "CalculateTraceFilterCorrelation", &[read_each(Experiment, "experiment_ids"), NoneDenied(Trace),
                                                                                          Checked(CountFilter("filter_string1")), Checked(CountFilter("filter_string2")), Checked(CountFilter("base_filter"))]),

    // Traces are changed
    patch ("3.0/mlflow/traces/{trace_id}/tags",                "SetTraceTagV3",         &[edit(Trace, "{trace_id}|trace_id"), Checked(TraceTags("key")), Checked(TagKey("key")), prompts("key", Some("value"))]),
    patch ("2.0/mlflow/traces/{request_id}/tags",              "SetTraceTag",           &[edit(Trace, "{request_id}|request_id"), Checked(TraceTags("key")), Checked(TagKey("key")), prompts("key", Some("value"))]),
    delete("3.0/mlflow/traces/{trace_id}/tags",                "DeleteTraceTagV3",      &[edit(Trace, "{trace_id}|trace_id"), Checked(TagKey("key"))]),
    delete("2.0/mlflow/traces/{request_id}/tags",              "DeleteTraceTag",        &[edit(Trace, "{request_id}|request_id"), Checked(TagKey("key"))]),
    post  ("2.0/mlflow/traces/link-to-run",                    "LinkTracesToRun",       &[edit(Run, "run_id"), read_each(Trace, "trace_ids")]),
    post  ("2.0/mlflow/traces/link-prompts",                   "LinkPromptsToTrace",    &[edit(Trace, "trace_id"), read_each(Prompt, "prompt_versions[].name")]),
    post  ("3.0/mlflow/traces/delete-traces",                  "DeleteTracesV3",        &[delete_(Experiment, "experiment_id"), delete_traces("request_ids", "experiment_id"), NoneDenied(Assessment)]),
    post  ("2.0/mlflow/traces/delete-traces",                  "DeleteTraces",          &[delete_(Experiment, "experiment_id"), delete_traces("request_ids", "experiment_id"), NoneDenied(Assessment)]),

    // Assessments
    post  ("3.0/mlflow/traces/{trace_id}/assessments",         "CreateAssessment",      &[read(Trace, "{trace_id}|assessment.trace_id"), edit(Trace, "{trace_id}|assessment.trace_id"), new_of(Assessment), Checked(Ours("assessment.assessment_id")),
                                                                                          assessment_opt(Edit, "assessment.overrides", "{trace_id}|assessment.trace_id"), Checked(SourceRun("assessment.metadata[*]")),
                                                                                          edit_opt(Run, "assessment.metadata[mlflow.assessment.sourceRunId]"), Checked(IssueNames("assessment.assessment_name"))]).hides(ASSESSMENT_LINKS).stamps(&[Stamp::Source("assessment.source.source_id")]),
    get   ("3.0/mlflow/traces/{trace_id}/assessments/{assessment_id}",    "GetAssessmentRequest", &[read(Trace, "{trace_id}|trace_id"), assessment(Read, "{assessment_id}|assessment_id", "{trace_id}|trace_id")]).hides(ASSESSMENT_LINKS),
    patch ("3.0/mlflow/traces/{trace_id}/assessments/{assessment_id}",    "UpdateAssessment", &[read(Trace, "{trace_id}|assessment.trace_id"), assessment(Edit, "{assessment_id}|assessment.assessment_id", "{trace_id}|assessment.trace_id"),
                                                                                          Checked(NewSourceRun { keys: "assessment.metadata[*]", run: "assessment.metadata[mlflow.assessment.sourceRunId]",
                                                                                                                 assessment: "{assessment_id}|assessment.assessment_id", trace: "{trace_id}|assessment.trace_id" }),
                                                                                          Checked(IssueNames("assessment.assessment_name"))]).hides(ASSESSMENT_LINKS),
    delete("3.0/mlflow/traces/{trace_id}/assessments/{assessment_id}",    "DeleteAssessment", &[read(Trace, "{trace_id}|trace_id"), assessment(Delete, "{assessment_id}|assessment_id", "{trace_id}|trace_id")]),
];
