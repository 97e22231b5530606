//! Which MLflow endpoints are there, and what does each need?
//!
//! One row for each endpoint of MLflow 3.17.2 and 3.18.0; `tests/routes.rs` compares it with the routes that the real
//! servers register. What has no row does not exist. `docs/routes.md` is printed from it.
//!
//! What each row asks is what MLflow's own basic-auth app asks (3.17.2, `mlflow/server/auth/__init__.py`), or more
//! where that app reads another field than the handler does. A family that is not judged yet is written out all the
//! same, closed, with the reason.

use super::route::Check::{ArtifactLocation, ExperimentToo, ModelSource, NewModelName, SafePath, TagKey};
use super::route::Need::{Checked, Create, SignedIn};
use super::route::{
    Link, List, Own, Paging, Row, blank, delete, delete_, drop_, edit, edit_any, edit_opt, get, listed, manage,
    narrowed, nobody, on_artifact, paged, patch, post, put, read, read_any, read_each, read_named, read_opt, whole,
};
use crate::mlflow::permission::Action;
use crate::mlflow::resource::Kind::{Experiment, LoggedModel, ModelVersion, RegisteredModel, Run};

const TRACES: &str = "traces are not judged yet: their ids stand inside of OTLP bodies, tags and locations";
const DATASETS: &str = "evaluation datasets are not judged yet: each belongs to any number of experiments";
const REVIEW: &str = "evaluation and review are not judged yet: their objects have grants of their own";
const JOBS: &str = "jobs run with the server's own rights on whatever their parameters name";
const GATEWAY: &str = "the AI gateway spends the server's provider keys; its grants are not judged yet";
const ASSISTANT: &str = "the assistant runs commands on the server's host";
const SERVER: &str = "it changes or tells of the server, not of an experiment or a model";
const WEBHOOKS: &str = "webhooks let the server call any address and tell it of every model";
const MCP: &str = "the MCP registry is not judged yet";
const SKILLS: &str = "the skills registry is not judged yet";
const WORKSPACES: &str = "workspaces are off";
const PERMISSIONS: &str = "the permission API is not served yet";
const BYPASS: &str = "the address it answers with leads past this gate";
const GRAPHQL: &str = "MLflow answers it with an error: its pages use POST";
const NEVER: &str = "MLflow registers it and always answers 404";
/// Each page asks for the assistant's state; MLflow's answer would tell of the server's provider and of the folders
/// that other people's experiments are mapped to. This is its answer where nothing is set up.
const NO_ASSISTANT: &str = r#"{"providers":{},"projects":{},"remote_access_allowed":false}"#;
/// The same for the assistant's providers.
const NO_PROVIDERS: &str = r#"{"providers":[],"resolved":null,"gateway_vendor_options":{}}"#;
/// The runs page asks for the endpoints of a deployments server, and the server would fetch what the caller names. This
/// is MLflow's answer where there is none (`gateway_proxy_handler`).
const NO_ENDPOINTS: &str = r#"{"endpoints":[]}"#;
/// Whether the UI should send records of what people do. This is MLflow's answer where telemetry is off
/// (`FALLBACK_UI_CONFIG`): pages then send nothing, and the server fetches nothing from elsewhere.
const NO_TELEMETRY: &str = r#"{"disable_ui_telemetry":true,"disable_ui_events":[],"ui_rollout_percentage":0}"#;
const SPARE: &str = "the UI's files have another path";

/// Runs tell of logged models: as inputs, as outputs, in metrics.
const RUN_LINKS: &[Link] = &[
    drop_("run.inputs.model_inputs[].model_id", LoggedModel),
    drop_("run.outputs.model_outputs[].model_id", LoggedModel),
    blank("run.data.metrics[].model_id", LoggedModel),
];
/// Logged models tell of the run that made them, of runs that measured them, and of model versions.
const LOGGED_MODEL_LINKS: &[Link] = &[
    blank("model.info.source_run_id", Run),
    drop_("model.info.registrations[]", ModelVersion),
    listed("model.info.tags[]", VERSIONS_TAG),
    blank("model.data.metrics[].run_id", Run),
];
/// The tag in which MLflow keeps a logged model's versions (3.17.2, `AbstractStore.set_model_versions_tags`).
const VERSIONS_TAG: &str = "mlflow.modelVersions";
/// The same in GraphQL's spelling; a document has no aliases, so the places are fixed (`mlflow::graphql`).
const GRAPHQL_LINKS: &[Link] = &[
    drop_("data.mlflowGetRun.run.modelVersions[]", ModelVersion),
    blank("data.mlflowGetRun.run.modelVersions[].modelId", LoggedModel),
    drop_("data.mlflowGetRun.run.inputs.modelInputs[].modelId", LoggedModel),
    drop_("data.mlflowGetRun.run.outputs.modelOutputs[].modelId", LoggedModel),
    blank("data.mlflowGetRun.run.data.metrics[].modelId", LoggedModel),
    paged("data.mlflowSearchRuns.runs[].info.runUuid", Run),
    drop_("data.mlflowSearchRuns.runs[].modelVersions[]", ModelVersion),
    blank("data.mlflowSearchRuns.runs[].modelVersions[].modelId", LoggedModel),
    drop_("data.mlflowSearchRuns.runs[].inputs.modelInputs[].modelId", LoggedModel),
    drop_("data.mlflowSearchRuns.runs[].outputs.modelOutputs[].modelId", LoggedModel),
    blank("data.mlflowSearchRuns.runs[].data.metrics[].modelId", LoggedModel),
];
/// Model versions tell of the run and the logged model that they come from.
const VERSION_LINKS: &[Link] = &[
    blank("model_version.run_id", Run),
    blank("model_version.model_id", LoggedModel),
    blank("model_version.model_metrics[].run_id", Run),
    blank("model_version.model_metrics[].model_id", LoggedModel),
];
/// A version that was named by an alias: which one it is, MLflow tells.
const ALIASED_LINKS: &[Link] = &[
    whole("model_version", ModelVersion),
    blank("model_version.run_id", Run),
    blank("model_version.model_id", LoggedModel),
    blank("model_version.model_metrics[].run_id", Run),
    blank("model_version.model_metrics[].model_id", LoggedModel),
];
/// The same, in a list of the latest ones.
const LATEST_LINKS: &[Link] = &[
    drop_("model_versions[]", ModelVersion),
    blank("model_versions[].run_id", Run),
    blank("model_versions[].model_id", LoggedModel),
    blank("model_versions[].model_metrics[].run_id", Run),
    blank("model_versions[].model_metrics[].model_id", LoggedModel),
];
/// Registered models hold their latest versions.
const REGISTERED_LINKS: &[Link] = &[
    drop_("registered_model.latest_versions[]", ModelVersion),
    blank("registered_model.latest_versions[].run_id", Run),
    blank("registered_model.latest_versions[].model_id", LoggedModel),
    blank("registered_model.latest_versions[].model_metrics[].run_id", Run),
    blank("registered_model.latest_versions[].model_metrics[].model_id", LoggedModel),
];

const EXPERIMENTS: List = List {
    member: "experiments",
    kind: Experiment,
    id: "experiment_id",
    own: None,
    links: &[],
    paged: Some(Paging { default: 0, most: 50_000, narrow_by: Some("experiment_id") }),
};
const RUNS: List = List {
    member: "runs",
    kind: Experiment,
    id: "info.experiment_id",
    own: Some(Own { kind: Run, id: &["info.run_id"] }),
    links: &[
        drop_("inputs.model_inputs[].model_id", LoggedModel),
        drop_("outputs.model_outputs[].model_id", LoggedModel),
        blank("data.metrics[].model_id", LoggedModel),
    ],
    paged: Some(Paging { default: 1000, most: 50_000, narrow_by: None }),
};
const LOGGED_MODELS: List = List {
    member: "models",
    kind: Experiment,
    id: "info.experiment_id",
    own: Some(Own { kind: LoggedModel, id: &["info.model_id"] }),
    links: &[
        blank("info.source_run_id", Run),
        drop_("info.registrations[]", ModelVersion),
        listed("info.tags[]", VERSIONS_TAG),
        blank("data.metrics[].run_id", Run),
    ],
    paged: Some(Paging { default: 50, most: 2_147_483_647, narrow_by: None }),
};
const REGISTERED_MODELS: List = List {
    member: "registered_models",
    kind: RegisteredModel,
    id: "name",
    own: None,
    links: &[
        drop_("latest_versions[]", ModelVersion),
        blank("latest_versions[].run_id", Run),
        blank("latest_versions[].model_id", LoggedModel),
        blank("latest_versions[].model_metrics[].run_id", Run),
        blank("latest_versions[].model_metrics[].model_id", LoggedModel),
    ],
    paged: Some(Paging { default: 100, most: 1000, narrow_by: Some("name") }),
};
const MODEL_VERSIONS: List = List {
    member: "model_versions",
    kind: RegisteredModel,
    id: "name",
    own: Some(Own { kind: ModelVersion, id: &["name", "version"] }),
    links: &[
        blank("run_id", Run),
        blank("model_id", LoggedModel),
        blank("model_metrics[].run_id", Run),
        blank("model_metrics[].model_id", LoggedModel),
    ],
    paged: Some(Paging { default: 200_000, most: 200_000, narrow_by: Some("name") }),
};

/// One row for each endpoint of MLflow.
#[rustfmt::skip]
pub static MLFLOW: &[Row] = &[
    // The UI's shell and the server itself
    get   ("",                                  "Serve",               &[SignedIn]).root(),
    get   ("static-files/{*path}",              "ServeStaticFile",     &[SignedIn]).root(),
    get   ("version",                           "Version",             &[SignedIn]).root(),
    get   ("health",                            "Health",              &[SignedIn]).root(),
    get   ("3.0/mlflow/server-info",            "GetServerInfo",       &[SignedIn]),
    get   ("build/{*filename}",                 "ServeBuild",          &[nobody(SPARE)]).root(),
    get   ("graphql",                           "GraphqlByGet",        &[nobody(GRAPHQL)]).root(),
    post  ("graphql",                           "Graphql",             &[SignedIn, read_any(Experiment, "graphql.experiment"), read_any(Run, "graphql.run"),
                                                                         Checked(ExperimentToo("graphql.run_with_experiment")), Checked(SafePath("graphql.path"))])
                                                                         .root().hides(GRAPHQL_LINKS),

    // Experiments
    post  ("2.0/mlflow/experiments/create",                "CreateExperiment",    &[Create, Checked(ArtifactLocation("artifact_location"))])
                                                                                      .owns(Experiment, "experiment_id"),
    get   ("2.0/mlflow/experiments/get",                   "GetExperiment",       &[read(Experiment, "experiment_id")]),
    get   ("2.0/mlflow/experiments/get-by-name",           "GetExperimentByName", &[read_named("experiment_name")])
                                                                                      .confirms(Experiment, "experiment.experiment_id"),
    get   ("2.0/mlflow/experiments/search",                "SearchExperiments",   &[SignedIn]).keeps(EXPERIMENTS),
    post  ("2.0/mlflow/experiments/search",                "SearchExperiments",   &[SignedIn]).keeps(EXPERIMENTS),
    post  ("2.0/mlflow/experiments/update",                "UpdateExperiment",    &[edit(Experiment, "experiment_id")]),
    post  ("2.0/mlflow/experiments/delete",                "DeleteExperiment",    &[delete_(Experiment, "experiment_id")]),
    post  ("2.0/mlflow/experiments/restore",               "RestoreExperiment",   &[delete_(Experiment, "experiment_id")]),
    post  ("2.0/mlflow/experiments/set-experiment-tag",    "SetExperimentTag",    &[edit(Experiment, "experiment_id"), Checked(TagKey("key"))]),
    post  ("2.0/mlflow/experiments/delete-experiment-tag", "DeleteExperimentTag", &[edit(Experiment, "experiment_id"), Checked(TagKey("key"))]),
    post  ("2.0/mlflow/experiments/search-datasets",       "SearchRunDatasets",    &[read_each(Experiment, "experiment_ids")]).ajax(),
    post  ("2.0mlflow/experiments/search-datasets",        "SearchDatasets",      &[nobody(NEVER)]),

    // Runs
    post  ("2.0/mlflow/runs/create",              "CreateRun",             &[edit(Experiment, "experiment_id")]),
    get   ("2.0/mlflow/runs/get",                 "GetRun",                &[read(Run, "run_id|run_uuid")]).hides(RUN_LINKS),
    post  ("2.0/mlflow/runs/update",              "UpdateRun",             &[edit(Run, "run_id|run_uuid")]),
    post  ("2.0/mlflow/runs/delete",              "DeleteRun",             &[delete_(Run, "run_id")]),
    post  ("2.0/mlflow/runs/restore",             "RestoreRun",            &[delete_(Run, "run_id")]),
    post  ("2.0/mlflow/runs/search",              "SearchRuns",            &[narrowed(Experiment, "experiment_ids")]).keeps(RUNS),
    post  ("2.0/mlflow/runs/create-promptlab-run", "CreatePromptlabRun",   &[edit(Experiment, "experiment_id")]).ajax().large(),

    // What runs hold
    post  ("2.0/mlflow/runs/log-metric",          "LogMetric",             &[edit(Run, "run_id|run_uuid"), edit_opt(LoggedModel, "model_id")]),
    post  ("2.0/mlflow/runs/log-parameter",       "LogParam",              &[edit(Run, "run_id|run_uuid")]),
    post  ("2.0/mlflow/runs/set-tag",             "SetTag",                &[edit(Run, "run_id|run_uuid"), Checked(TagKey("key"))]),
    post  ("2.0/mlflow/runs/delete-tag",          "DeleteTag",             &[edit(Run, "run_id"), Checked(TagKey("key"))]),
    post  ("2.0/mlflow/runs/log-batch",           "LogBatch",              &[edit(Run, "run_id"), edit_any(LoggedModel, "metrics[].model_id")]).large(),
    post  ("2.0/mlflow/runs/log-inputs",          "LogInputs",             &[edit(Run, "run_id"), edit_any(LoggedModel, "models[].model_id")]).large(),
    post  ("2.0/mlflow/runs/outputs",             "LogOutputs",            &[edit(Run, "run_id"), edit_any(LoggedModel, "models[].model_id")]).large(),
    post  ("2.0/mlflow/runs/log-model",           "LogModel",              &[edit(Run, "run_id")]).large(),
    get   ("2.0/mlflow/metrics/get-history",      "GetMetricHistory",      &[read(Run, "run_id|run_uuid")]).hides(&[blank("metrics[].model_id", LoggedModel)]),
    get   ("2.0/mlflow/metrics/get-history-bulk", "GetMetricHistoryBulk",  &[read_each(Run, "run_id")]).ajax(),
    get   ("2.0/mlflow/metrics/get-history-bulk-interval", "GetMetricHistoryBulkInterval", &[read_each(Run, "run_ids")]),

    // Logged models
    post  ("2.0/mlflow/logged-models",                         "CreateLoggedModel",        &[edit(Experiment, "experiment_id"), read_opt(Run, "source_run_id")]).large(),
    post  ("2.0/mlflow/logged-models/search",                  "SearchLoggedModels",       &[narrowed(Experiment, "experiment_ids")]).keeps(LOGGED_MODELS),
    get   ("2.0/mlflow/logged-models/{model_id}",              "GetLoggedModel",           &[read(LoggedModel, "{model_id}")]).hides(LOGGED_MODEL_LINKS),
    patch ("2.0/mlflow/logged-models/{model_id}",              "FinalizeLoggedModel",      &[edit(LoggedModel, "{model_id}|model_id")]).hides(LOGGED_MODEL_LINKS),
    delete("2.0/mlflow/logged-models/{model_id}",              "DeleteLoggedModel",        &[delete_(LoggedModel, "{model_id}|model_id")]),
    post  ("2.0/mlflow/logged-models/{model_id}/params",       "LogLoggedModelParams",     &[edit(LoggedModel, "{model_id}|model_id")]).large(),
    patch ("2.0/mlflow/logged-models/{model_id}/tags",         "SetLoggedModelTags",       &[edit(LoggedModel, "{model_id}|model_id"), Checked(TagKey("tags[].key"))]).hides(LOGGED_MODEL_LINKS),
    delete("2.0/mlflow/logged-models/{model_id}/tags/{tag_key}", "DeleteLoggedModelTag",   &[manage(LoggedModel, "{model_id}|model_id"), Checked(TagKey("{tag_key}"))]),
    get   ("2.0/mlflow/logged-models/{model_id}/artifacts/directories", "ListLoggedModelArtifacts", &[read(LoggedModel, "{model_id}"), Checked(SafePath("artifact_directory_path"))]),
    get   ("2.0/mlflow/logged-models/{model_id}/artifacts/files",       "GetLoggedModelArtifact",   &[read(LoggedModel, "{model_id}"), Checked(SafePath("artifact_file_path"))]).ajax().fetches(),

    // Artifacts, by run
    get   ("2.0/mlflow/artifacts/list",                   "ListArtifacts",              &[read(Run, "run_id|run_uuid"), Checked(SafePath("path"))]),
    get   ("get-artifact",                                "GetArtifact",                &[read(Run, "run_id|run_uuid"), Checked(SafePath("path"))]).root().fetches(),
    post  ("2.0/mlflow/upload-artifact",                  "UploadRunArtifact",          &[edit(Run, "run_id|run_uuid"), Checked(SafePath("path"))]).ajax().file(),
    post  ("2.0/mlflow/artifacts/presigned-download-url", "CreatePresignedDownloadUrl", &[nobody(BYPASS)]),
    post  ("2.0/mlflow/artifacts/presigned-upload-url",   "CreatePresignedUploadUrl",   &[nobody(BYPASS)]),

    // Artifacts, by path
    get   ("2.0/mlflow-artifacts/artifacts",                  "ListArtifactsOf",         &[on_artifact(Action::Read, "path")]),
    get   ("2.0/mlflow-artifacts/artifacts/{*artifact_path}", "DownloadArtifact",        &[on_artifact(Action::Read, "{artifact_path}")]).fetches(),
    put   ("2.0/mlflow-artifacts/artifacts/{*artifact_path}", "UploadArtifact",          &[on_artifact(Action::Edit, "{artifact_path}")]).file(),
    delete("2.0/mlflow-artifacts/artifacts/{*artifact_path}", "DeleteArtifact",          &[on_artifact(Action::Delete, "{artifact_path}")]).fetches(),
    get   ("2.0/mlflow-artifacts/presigned/{*artifact_path}", "GetPresignedDownloadUrl", &[nobody(BYPASS)]),
    post  ("2.0/mlflow-artifacts/mpu/create/{*artifact_path}",   "CreateMultipartUpload",   &[nobody(BYPASS)]),
    post  ("2.0/mlflow-artifacts/mpu/complete/{*artifact_path}", "CompleteMultipartUpload", &[nobody(BYPASS)]),
    post  ("2.0/mlflow-artifacts/mpu/abort/{*artifact_path}",    "AbortMultipartUpload",    &[nobody(BYPASS)]),

    // Registered models; prompts are registered models with a tag
    post  ("2.0/mlflow/registered-models/create",     "CreateRegisteredModel",      &[Create, Checked(NewModelName("name"))])
                                                                                        .owns(RegisteredModel, "registered_model.name"),
    get   ("2.0/mlflow/registered-models/get",        "GetRegisteredModel",         &[read(RegisteredModel, "name")]).hides(REGISTERED_LINKS),
    get   ("2.0/mlflow/registered-models/search",     "SearchRegisteredModels",     &[SignedIn]).keeps(REGISTERED_MODELS),
    patch ("2.0/mlflow/registered-models/update",     "UpdateRegisteredModel",      &[edit(RegisteredModel, "name")]).hides(REGISTERED_LINKS),
    // MLflow asks for EDIT. MANAGE, because a new name can fall under patterns that give more.
    post  ("2.0/mlflow/registered-models/rename",     "RenameRegisteredModel",      &[manage(RegisteredModel, "name"), Checked(NewModelName("new_name"))])
                                                                                        .renames(RegisteredModel).hides(REGISTERED_LINKS),
    delete("2.0/mlflow/registered-models/delete",     "DeleteRegisteredModel",      &[delete_(RegisteredModel, "name")]).forgets(RegisteredModel),
    post  ("2.0/mlflow/registered-models/set-tag",    "SetRegisteredModelTag",      &[edit(RegisteredModel, "name"), Checked(TagKey("key"))]),
    delete("2.0/mlflow/registered-models/delete-tag", "DeleteRegisteredModelTag",   &[edit(RegisteredModel, "name"), Checked(TagKey("key"))]),
    post  ("2.0/mlflow/registered-models/alias",      "SetRegisteredModelAlias",    &[edit(RegisteredModel, "name"), edit(ModelVersion, "name/version")]),
    delete("2.0/mlflow/registered-models/alias",      "DeleteRegisteredModelAlias", &[manage(RegisteredModel, "name")]),
    get   ("2.0/mlflow/registered-models/alias",      "GetModelVersionByAlias",     &[read(RegisteredModel, "name")]).hides(ALIASED_LINKS),
    get   ("2.0/mlflow/registered-models/get-latest-versions", "GetLatestVersions", &[read(RegisteredModel, "name")]).hides(LATEST_LINKS),
    post  ("2.0/mlflow/registered-models/get-latest-versions", "GetLatestVersions", &[read(RegisteredModel, "name")]).hides(LATEST_LINKS),

    // Model versions
    post  ("2.0/mlflow/model-versions/create",           "CreateModelVersion",         &[edit(RegisteredModel, "name"), read_opt(Run, "run_id"), read_opt(LoggedModel, "model_id"),
                                                                                         Checked(ModelSource("source"))]).large().hides(VERSION_LINKS),
    get   ("2.0/mlflow/model-versions/get",              "GetModelVersion",            &[read(ModelVersion, "name/version")]).hides(VERSION_LINKS),
    get   ("2.0/mlflow/model-versions/search",           "SearchModelVersions",        &[SignedIn]).keeps(MODEL_VERSIONS),
    patch ("2.0/mlflow/model-versions/update",           "UpdateModelVersion",         &[edit(ModelVersion, "name/version")]).hides(VERSION_LINKS),
    // The model too: `archive_existing_versions` changes its other versions.
    post  ("2.0/mlflow/model-versions/transition-stage", "TransitionModelVersionStage", &[edit(ModelVersion, "name/version"), edit(RegisteredModel, "name")]).hides(VERSION_LINKS),
    delete("2.0/mlflow/model-versions/delete",           "DeleteModelVersion",         &[delete_(ModelVersion, "name/version")]),
    post  ("2.0/mlflow/model-versions/set-tag",          "SetModelVersionTag",         &[edit(ModelVersion, "name/version"), Checked(TagKey("key"))]),
    delete("2.0/mlflow/model-versions/delete-tag",       "DeleteModelVersionTag",      &[manage(ModelVersion, "name/version"), Checked(TagKey("key"))]),
    get   ("2.0/mlflow/model-versions/get-download-uri", "GetModelVersionDownloadUri", &[read(ModelVersion, "name/version")]),
    get   ("model-versions/get-artifact",                "GetModelVersionArtifact",    &[read(ModelVersion, "name/version"), Checked(SafePath("path"))]).root().fetches(),

    // The UI asks for it on every page. A stock server answers 404, and the UI then shows no account page.
    get   ("2.0/mlflow/users/current",                   "GetCurrentUser",             &[SignedIn]),

    // Traces: read and written by OTLP and by two families of calls
    get   ("2.0/mlflow/get-online-trace-details",                      "GetOnlineTraceDetails",           &[nobody(NEVER)]),
    get   ("2.0/mlflow/get-trace-artifact",                            "ServeGetTraceArtifact",           &[nobody(TRACES)]).ajax(),
    get   ("2.0/mlflow/traces",                                        "SearchTraces",                    &[nobody(TRACES)]),
    post  ("2.0/mlflow/traces",                                        "StartTrace",                      &[nobody(TRACES)]),
    post  ("2.0/mlflow/traces/delete-traces",                          "DeleteTraces",                    &[nobody(TRACES)]),
    post  ("2.0/mlflow/traces/link-prompts",                           "LinkPromptsToTrace",              &[nobody(TRACES)]),
    post  ("2.0/mlflow/traces/link-to-run",                            "LinkTracesToRun",                 &[nobody(TRACES)]),
    patch ("2.0/mlflow/traces/{request_id}",                           "EndTrace",                        &[nobody(TRACES)]),
    get   ("2.0/mlflow/traces/{request_id}/info",                      "GetTraceInfo",                    &[nobody(TRACES)]),
    delete("2.0/mlflow/traces/{request_id}/tags",                      "DeleteTraceTag",                  &[nobody(TRACES)]),
    patch ("2.0/mlflow/traces/{request_id}/tags",                      "SetTraceTag",                     &[nobody(TRACES)]),
    get   ("2.0/mlflow/unified-traces",                                "SearchUnifiedTraces",             &[nobody(NEVER)]),
    get   ("3.0/mlflow/get-trace-artifact",                            "ServeGetTraceArtifact",           &[nobody(TRACES)]).ajax(),
    post  ("3.0/mlflow/traces",                                        "StartTraceV3",                    &[nobody(TRACES)]),
    get   ("3.0/mlflow/traces/batchGet",                               "BatchGetTraces",                  &[nobody(TRACES)]),
    post  ("3.0/mlflow/traces/batchGetInfos",                          "BatchGetTraceInfos",              &[nobody(TRACES)]),
    post  ("3.0/mlflow/traces/calculate-filter-correlation",           "CalculateTraceFilterCorrelation", &[nobody(TRACES)]),
    post  ("3.0/mlflow/traces/delete-traces",                          "DeleteTracesV3",                  &[nobody(TRACES)]),
    get   ("3.0/mlflow/traces/get",                                    "GetTrace",                        &[nobody(TRACES)]),
    post  ("3.0/mlflow/traces/metrics",                                "QueryTraceMetrics",               &[nobody(TRACES)]),
    post  ("3.0/mlflow/traces/search",                                 "SearchTracesV3",                  &[nobody(TRACES)]),
    get   ("3.0/mlflow/traces/{trace_id}",                             "GetTraceInfoV3",                  &[nobody(TRACES)]),
    post  ("3.0/mlflow/traces/{trace_id}/assessments",                 "CreateAssessment",                &[nobody(TRACES)]),
    delete("3.0/mlflow/traces/{trace_id}/assessments/{assessment_id}", "DeleteAssessment",                &[nobody(TRACES)]),
    get   ("3.0/mlflow/traces/{trace_id}/assessments/{assessment_id}", "GetAssessmentRequest",            &[nobody(TRACES)]),
    patch ("3.0/mlflow/traces/{trace_id}/assessments/{assessment_id}", "UpdateAssessment",                &[nobody(TRACES)]),
    delete("3.0/mlflow/traces/{trace_id}/tags",                        "DeleteTraceTagV3",                &[nobody(TRACES)]),
    patch ("3.0/mlflow/traces/{trace_id}/tags",                        "SetTraceTagV3",                   &[nobody(TRACES)]),
    post  ("v1/traces",                                                "ExportTraces",                    &[nobody(TRACES)]).root(),

    // Evaluation datasets
    post  ("3.0/mlflow/datasets/create",                          "CreateDataset",                &[nobody(DATASETS)]),
    get   ("3.0/mlflow/datasets/search",                          "SearchEvaluationDatasets",     &[nobody(DATASETS)]),
    post  ("3.0/mlflow/datasets/search",                          "SearchEvaluationDatasets",     &[nobody(DATASETS)]),
    delete("3.0/mlflow/datasets/{dataset_id}",                    "DeleteDataset",                &[nobody(DATASETS)]),
    get   ("3.0/mlflow/datasets/{dataset_id}",                    "GetDataset",                   &[nobody(DATASETS)]),
    post  ("3.0/mlflow/datasets/{dataset_id}/add-experiments",    "AddDatasetToExperiments",      &[nobody(DATASETS)]),
    get   ("3.0/mlflow/datasets/{dataset_id}/experiment-ids",     "GetDatasetExperimentIds",      &[nobody(DATASETS)]),
    delete("3.0/mlflow/datasets/{dataset_id}/records",            "DeleteDatasetRecords",         &[nobody(DATASETS)]),
    get   ("3.0/mlflow/datasets/{dataset_id}/records",            "GetDatasetRecords",            &[nobody(DATASETS)]),
    post  ("3.0/mlflow/datasets/{dataset_id}/records",            "UpsertDatasetRecords",         &[nobody(DATASETS)]),
    post  ("3.0/mlflow/datasets/{dataset_id}/remove-experiments", "RemoveDatasetFromExperiments", &[nobody(DATASETS)]),
    patch ("3.0/mlflow/datasets/{dataset_id}/tags",               "SetDatasetTags",               &[nobody(DATASETS)]),
    delete("3.0/mlflow/datasets/{dataset_id}/tags/{key}",         "DeleteDatasetTag",             &[nobody(DATASETS)]),

    // Scorers, evaluation, label schemas, review queues, issues
    post  ("3.0/mlflow/genai/evaluate/invoke",            "InvokeGenaiEvaluateHandler",             &[nobody(REVIEW)]).ajax(),
    post  ("3.0/mlflow/issues",                           "CreateIssue",                            &[nobody(REVIEW)]),
    post  ("3.0/mlflow/issues/invoke",                    "InvokeIssueDetectionHandler",            &[nobody(REVIEW)]).ajax(),
    post  ("3.0/mlflow/issues/schedule/state",            "SyncIssueDetectionScheduleStateHandler", &[nobody(REVIEW)]).ajax(),
    post  ("3.0/mlflow/issues/search",                    "SearchIssues",                           &[nobody(REVIEW)]),
    get   ("3.0/mlflow/issues/{issue_id}",                "GetIssue",                               &[nobody(REVIEW)]),
    patch ("3.0/mlflow/issues/{issue_id}",                "UpdateIssue",                            &[nobody(REVIEW)]),
    post  ("3.0/mlflow/label-schemas/create",             "CreateLabelSchema",                      &[nobody(REVIEW)]),
    delete("3.0/mlflow/label-schemas/delete",             "DeleteLabelSchema",                      &[nobody(REVIEW)]),
    get   ("3.0/mlflow/label-schemas/get",                "GetLabelSchema",                         &[nobody(REVIEW)]),
    get   ("3.0/mlflow/label-schemas/get-by-name",        "GetLabelSchemaByName",                   &[nobody(REVIEW)]),
    get   ("3.0/mlflow/label-schemas/list",               "ListLabelSchemas",                       &[nobody(REVIEW)]),
    patch ("3.0/mlflow/label-schemas/update",             "UpdateLabelSchema",                      &[nobody(REVIEW)]),
    post  ("3.0/mlflow/review-queues/create",             "CreateReviewQueue",                      &[nobody(REVIEW)]),
    post  ("3.0/mlflow/review-queues/delete",             "DeleteReviewQueue",                      &[nobody(REVIEW)]),
    get   ("3.0/mlflow/review-queues/get",                "GetReviewQueue",                         &[nobody(REVIEW)]),
    get   ("3.0/mlflow/review-queues/get-by-name",        "GetReviewQueueByName",                   &[nobody(REVIEW)]),
    post  ("3.0/mlflow/review-queues/get-or-create-user", "GetOrCreateUserQueue",                   &[nobody(REVIEW)]),
    post  ("3.0/mlflow/review-queues/items/add",          "AddItemsToReviewQueue",                  &[nobody(REVIEW)]),
    get   ("3.0/mlflow/review-queues/items/list",         "ListReviewQueueItems",                   &[nobody(REVIEW)]),
    post  ("3.0/mlflow/review-queues/items/remove",       "RemoveItemsFromReviewQueue",             &[nobody(REVIEW)]),
    post  ("3.0/mlflow/review-queues/items/set-status",   "SetReviewQueueItemStatus",               &[nobody(REVIEW)]),
    get   ("3.0/mlflow/review-queues/list",               "ListReviewQueues",                       &[nobody(REVIEW)]),
    post  ("3.0/mlflow/review-queues/update",             "UpdateReviewQueue",                      &[nobody(REVIEW)]),
    post  ("3.0/mlflow/scorer/invoke",                    "InvokeScorerHandler",                    &[nobody(REVIEW)]).ajax(),
    delete("3.0/mlflow/scorers/delete",                   "DeleteScorer",                           &[nobody(REVIEW)]),
    get   ("3.0/mlflow/scorers/get",                      "GetScorer",                              &[nobody(REVIEW)]),
    get   ("3.0/mlflow/scorers/list",                     "ListScorers",                            &[nobody(REVIEW)]),
    put   ("3.0/mlflow/scorers/online-config",            "UpsertOnlineScoringConfig",              &[nobody(REVIEW)]),
    get   ("3.0/mlflow/scorers/online-configs",           "GetOnlineScoringConfigs",                &[nobody(REVIEW)]),
    post  ("3.0/mlflow/scorers/register",                 "RegisterScorer",                         &[nobody(REVIEW)]),
    get   ("3.0/mlflow/scorers/versions",                 "ListScorerVersions",                     &[nobody(REVIEW)]),

    // Jobs
    post  ("3.0/jobs/",                                           "SubmitJob",                    &[nobody(JOBS)]).ajax(),
    patch ("3.0/jobs/cancel/{job_id}",                            "CancelJob",                    &[nobody(JOBS)]).ajax(),
    post  ("3.0/jobs/search",                                     "SearchJobs",                   &[nobody(JOBS)]).ajax(),
    get   ("3.0/jobs/{job_id}",                                   "GetJob",                       &[nobody(JOBS)]).ajax(),
    patch ("3.0/mlflow/jobs/cancel/{job_id}",                     "CancelJob",                    &[nobody(JOBS)]).ajax(),
    get   ("3.0/mlflow/jobs/{job_id}",                            "GetJob",                       &[nobody(JOBS)]).ajax(),
    post  ("3.0/mlflow/prompt-optimization/jobs",                 "CreatePromptOptimizationJob",  &[nobody(JOBS)]),
    get   ("3.0/mlflow/prompt-optimization/jobs/search",          "SearchPromptOptimizationJobs", &[nobody(JOBS)]),
    post  ("3.0/mlflow/prompt-optimization/jobs/search",          "SearchPromptOptimizationJobs", &[nobody(JOBS)]),
    delete("3.0/mlflow/prompt-optimization/jobs/{job_id}",        "DeletePromptOptimizationJob",  &[nobody(JOBS)]),
    get   ("3.0/mlflow/prompt-optimization/jobs/{job_id}",        "GetPromptOptimizationJob",     &[nobody(JOBS)]),
    post  ("3.0/mlflow/prompt-optimization/jobs/{job_id}/cancel", "CancelPromptOptimizationJob",  &[nobody(JOBS)]),

    // Gateway
    get   ("2.0/mlflow/gateway-proxy",                                           "ServeGatewayProxyGet",                   &[SignedIn]).ajax().says(NO_ENDPOINTS),
    post  ("2.0/mlflow/gateway-proxy",                                           "ServeGatewayProxy",                      &[nobody(GATEWAY)]).ajax(),
    post  ("3.0/mlflow/gateway/budgets/create",                                  "CreateGatewayBudgetPolicy",              &[nobody(GATEWAY)]),
    delete("3.0/mlflow/gateway/budgets/delete",                                  "DeleteGatewayBudgetPolicy",              &[nobody(GATEWAY)]),
    get   ("3.0/mlflow/gateway/budgets/get",                                     "GetGatewayBudgetPolicy",                 &[nobody(GATEWAY)]),
    get   ("3.0/mlflow/gateway/budgets/list",                                    "ListGatewayBudgetPolicies",              &[nobody(GATEWAY)]),
    post  ("3.0/mlflow/gateway/budgets/update",                                  "UpdateGatewayBudgetPolicy",              &[nobody(GATEWAY)]),
    get   ("3.0/mlflow/gateway/budgets/windows",                                 "ListGatewayBudgetWindows",               &[nobody(GATEWAY)]),
    post  ("3.0/mlflow/gateway/endpoints/bindings/create",                       "CreateGatewayEndpointBinding",           &[nobody(GATEWAY)]),
    delete("3.0/mlflow/gateway/endpoints/bindings/delete",                       "DeleteGatewayEndpointBinding",           &[nobody(GATEWAY)]),
    get   ("3.0/mlflow/gateway/endpoints/bindings/list",                         "ListGatewayEndpointBindings",            &[nobody(GATEWAY)]),
    post  ("3.0/mlflow/gateway/endpoints/create",                                "CreateGatewayEndpoint",                  &[nobody(GATEWAY)]),
    delete("3.0/mlflow/gateway/endpoints/delete",                                "DeleteGatewayEndpoint",                  &[nobody(GATEWAY)]),
    delete("3.0/mlflow/gateway/endpoints/delete-tag",                            "DeleteGatewayEndpointTag",               &[nobody(GATEWAY)]),
    get   ("3.0/mlflow/gateway/endpoints/get",                                   "GetGatewayEndpoint",                     &[nobody(GATEWAY)]),
    get   ("3.0/mlflow/gateway/endpoints/list",                                  "ListGatewayEndpoints",                   &[nobody(GATEWAY)]),
    post  ("3.0/mlflow/gateway/endpoints/models/attach",                         "AttachModelToGatewayEndpoint",           &[nobody(GATEWAY)]),
    post  ("3.0/mlflow/gateway/endpoints/models/detach",                         "DetachModelFromGatewayEndpoint",         &[nobody(GATEWAY)]),
    post  ("3.0/mlflow/gateway/endpoints/set-tag",                               "SetGatewayEndpointTag",                  &[nobody(GATEWAY)]),
    post  ("3.0/mlflow/gateway/endpoints/update",                                "UpdateGatewayEndpoint",                  &[nobody(GATEWAY)]),
    post  ("3.0/mlflow/gateway/guardrails/add-to-endpoint",                      "AddGuardrailToEndpoint",                 &[nobody(GATEWAY)]),
    post  ("3.0/mlflow/gateway/guardrails/create",                               "CreateGatewayGuardrail",                 &[nobody(GATEWAY)]),
    delete("3.0/mlflow/gateway/guardrails/delete",                               "DeleteGatewayGuardrail",                 &[nobody(GATEWAY)]),
    get   ("3.0/mlflow/gateway/guardrails/get",                                  "GetGatewayGuardrail",                    &[nobody(GATEWAY)]),
    get   ("3.0/mlflow/gateway/guardrails/list",                                 "ListGatewayGuardrails",                  &[nobody(GATEWAY)]),
    get   ("3.0/mlflow/gateway/guardrails/list-for-endpoint",                    "ListEndpointGuardrailConfigs",           &[nobody(GATEWAY)]),
    delete("3.0/mlflow/gateway/guardrails/remove-from-endpoint",                 "RemoveGuardrailFromEndpoint",            &[nobody(GATEWAY)]),
    patch ("3.0/mlflow/gateway/guardrails/update-config",                        "UpdateEndpointGuardrailConfig",          &[nobody(GATEWAY)]),
    post  ("3.0/mlflow/gateway/model-definitions/create",                        "CreateGatewayModelDefinition",           &[nobody(GATEWAY)]),
    delete("3.0/mlflow/gateway/model-definitions/delete",                        "DeleteGatewayModelDefinition",           &[nobody(GATEWAY)]),
    get   ("3.0/mlflow/gateway/model-definitions/get",                           "GetGatewayModelDefinition",              &[nobody(GATEWAY)]),
    get   ("3.0/mlflow/gateway/model-definitions/list",                          "ListGatewayModelDefinitions",            &[nobody(GATEWAY)]),
    post  ("3.0/mlflow/gateway/model-definitions/update",                        "UpdateGatewayModelDefinition",           &[nobody(GATEWAY)]),
    get   ("3.0/mlflow/gateway/provider-config",                                 "GetProviderConfig",                      &[nobody(GATEWAY)]).ajax(),
    get   ("3.0/mlflow/gateway/secrets/config",                                  "GetSecretsConfig",                       &[nobody(GATEWAY)]).ajax(),
    post  ("3.0/mlflow/gateway/secrets/create",                                  "CreateGatewaySecret",                    &[nobody(GATEWAY)]),
    delete("3.0/mlflow/gateway/secrets/delete",                                  "DeleteGatewaySecret",                    &[nobody(GATEWAY)]),
    get   ("3.0/mlflow/gateway/secrets/get",                                     "GetGatewaySecretInfo",                   &[nobody(GATEWAY)]),
    get   ("3.0/mlflow/gateway/secrets/list",                                    "ListGatewaySecretInfos",                 &[nobody(GATEWAY)]),
    post  ("3.0/mlflow/gateway/secrets/update",                                  "UpdateGatewaySecret",                    &[nobody(GATEWAY)]),
    get   ("3.0/mlflow/gateway/supported-models",                                "ListSupportedModels",                    &[nobody(GATEWAY)]).ajax(),
    get   ("3.0/mlflow/gateway/supported-providers",                             "ListSupportedProviders",                 &[nobody(GATEWAY)]).ajax(),
    post  ("gateway/anthropic/v1/messages",                                      "AnthropicPassthroughMessages",           &[nobody(GATEWAY)]).root(),
    post  ("gateway/gemini/v1beta/models/{call}",       "GeminiPassthroughGenerateContent",       &[nobody(GATEWAY)]).root(),
    post  ("gateway/mlflow/v1/chat/completions",                                 "ChatCompletions",                        &[nobody(GATEWAY)]).root(),
    get   ("gateway/mlflow/v1/models",                                           "ListModels",                             &[nobody(GATEWAY)]).root(),
    post  ("gateway/openai/v1/chat/completions",                                 "OpenaiPassthroughChat",                  &[nobody(GATEWAY)]).root(),
    post  ("gateway/openai/v1/embeddings",                                       "OpenaiPassthroughEmbeddings",            &[nobody(GATEWAY)]).root(),
    post  ("gateway/openai/v1/responses",                                        "OpenaiPassthroughResponses",             &[nobody(GATEWAY)]).root(),
    post  ("gateway/openai/v1/responses/compact",                                "OpenaiPassthroughResponsesCompact",      &[nobody(GATEWAY)]).root(),
    post  ("gateway/proxy/{endpoint_name}/{*path}",                              "RawProxy",                               &[nobody(GATEWAY)]).root(),
    post  ("gateway/typesafe/v1/systemone",                                      "TypesafePassthroughSystemOne",           &[nobody(GATEWAY)]).root(),
    post  ("gateway/{endpoint_name}/mlflow/invocations",                         "Invocations",                            &[nobody(GATEWAY)]).root(),

    // Assistant, demo, telemetry
    get   ("3.0/mlflow/assistant/config",                            "GetConfig",               &[SignedIn]).ajax().says(NO_ASSISTANT),
    put   ("3.0/mlflow/assistant/config",                            "UpdateConfig",            &[nobody(ASSISTANT)]).ajax(),
    post  ("3.0/mlflow/assistant/message",                           "SendMessage",             &[nobody(ASSISTANT)]).ajax(),
    get   ("3.0/mlflow/assistant/providers",                         "GetProviders",            &[SignedIn]).ajax().says(NO_PROVIDERS),
    get   ("3.0/mlflow/assistant/providers/{provider}/health",       "ProviderHealthCheck",     &[nobody(ASSISTANT)]).ajax(),
    get   ("3.0/mlflow/assistant/providers/{provider}/models",       "ListProviderModels",      &[nobody(ASSISTANT)]).ajax(),
    patch ("3.0/mlflow/assistant/sessions/{session_id}",             "PatchSession",            &[nobody(ASSISTANT)]).ajax(),
    post  ("3.0/mlflow/assistant/sessions/{session_id}/permission",  "ResolvePermission",       &[nobody(ASSISTANT)]).ajax(),
    get   ("3.0/mlflow/assistant/sessions/{session_id}/stream",      "StreamResponse",          &[nobody(ASSISTANT)]).ajax(),
    post  ("3.0/mlflow/assistant/sessions/{session_id}/tool-result", "ResolveClientToolResult", &[nobody(ASSISTANT)]).ajax(),
    post  ("3.0/mlflow/assistant/skills/install",                    "InstallSkillsEndpoint",   &[nobody(ASSISTANT)]).ajax(),
    post  ("3.0/mlflow/demo/delete",                                 "DeleteDemo",              &[nobody(SERVER)]).ajax(),
    post  ("3.0/mlflow/demo/generate",                               "GenerateDemo",            &[nobody(SERVER)]).ajax(),
    get   ("3.0/mlflow/ui-telemetry",                                "ServeGetUiTelemetry",     &[SignedIn]).ajax().says(NO_TELEMETRY),
    post  ("3.0/mlflow/ui-telemetry",                                "ServePostUiTelemetry",    &[nobody(SERVER)]).ajax(),

    // Webhooks
    get   ("2.0/mlflow/webhooks",                   "ListWebhooks",  &[nobody(WEBHOOKS)]),
    post  ("2.0/mlflow/webhooks",                   "CreateWebhook", &[nobody(WEBHOOKS)]),
    delete("2.0/mlflow/webhooks/{webhook_id}",      "DeleteWebhook", &[nobody(WEBHOOKS)]),
    get   ("2.0/mlflow/webhooks/{webhook_id}",      "GetWebhook",    &[nobody(WEBHOOKS)]),
    patch ("2.0/mlflow/webhooks/{webhook_id}",      "UpdateWebhook", &[nobody(WEBHOOKS)]),
    post  ("2.0/mlflow/webhooks/{webhook_id}/test", "TestWebhook",   &[nobody(WEBHOOKS)]),

    // MCP servers
    get   ("3.0/mlflow/mcp-servers",         "SearchMcpServers", &[nobody(MCP)]),
    post  ("3.0/mlflow/mcp-servers",         "CreateMcpServer",  &[nobody(MCP)]),
    get   ("3.0/mlflow/mcp-servers/{*rest}", "McpServers",       &[nobody(MCP)]),
    post  ("3.0/mlflow/mcp-servers/{*rest}", "McpServers",       &[nobody(MCP)]),
    patch ("3.0/mlflow/mcp-servers/{*rest}", "McpServers",       &[nobody(MCP)]),
    delete("3.0/mlflow/mcp-servers/{*rest}", "McpServers",       &[nobody(MCP)]),

    // Skills (since 3.18.0)
    get   ("3.0/mlflow/skills",         "SearchSkills", &[nobody(SKILLS)]),
    post  ("3.0/mlflow/skills",         "CreateSkill",  &[nobody(SKILLS)]),
    get   ("3.0/mlflow/skills/{*rest}", "Skills",       &[nobody(SKILLS)]),
    post  ("3.0/mlflow/skills/{*rest}", "Skills",       &[nobody(SKILLS)]),
    patch ("3.0/mlflow/skills/{*rest}", "Skills",       &[nobody(SKILLS)]),
    delete("3.0/mlflow/skills/{*rest}", "Skills",       &[nobody(SKILLS)]),

    // Workspaces
    get   ("3.0/mlflow/workspaces",                  "ListWorkspaces",  &[nobody(WORKSPACES)]),
    post  ("3.0/mlflow/workspaces",                  "CreateWorkspace", &[nobody(WORKSPACES)]),
    delete("3.0/mlflow/workspaces/{workspace_name}", "DeleteWorkspace", &[nobody(WORKSPACES)]),
    get   ("3.0/mlflow/workspaces/{workspace_name}", "GetWorkspace",    &[nobody(WORKSPACES)]),
    patch ("3.0/mlflow/workspaces/{workspace_name}", "UpdateWorkspace", &[nobody(WORKSPACES)]),

    // Users, roles, permissions: routes of MLflow's basic-auth app
    post  ("2.0/mlflow/users/create",              "CreateUser",                 &[nobody(PERMISSIONS)]),
    post  ("2.0/mlflow/users/create-ui",           "CreateUserUi",               &[nobody(PERMISSIONS)]).api(),
    delete("2.0/mlflow/users/delete",              "DeleteUser",                 &[nobody(PERMISSIONS)]),
    get   ("2.0/mlflow/users/get",                 "GetUser",                    &[nobody(PERMISSIONS)]),
    get   ("2.0/mlflow/users/list",                "ListUsers",                  &[nobody(PERMISSIONS)]),
    patch ("2.0/mlflow/users/update-admin",        "UpdateUserAdmin",            &[nobody(PERMISSIONS)]),
    patch ("2.0/mlflow/users/update-password",     "UpdateUserPassword",         &[nobody(PERMISSIONS)]),
    post  ("3.0/mlflow/roles/assign",              "AssignRole",                 &[nobody(PERMISSIONS)]),
    post  ("3.0/mlflow/roles/create",              "CreateRole",                 &[nobody(PERMISSIONS)]),
    delete("3.0/mlflow/roles/delete",              "DeleteRole",                 &[nobody(PERMISSIONS)]),
    get   ("3.0/mlflow/roles/get",                 "GetRole",                    &[nobody(PERMISSIONS)]),
    get   ("3.0/mlflow/roles/list",                "ListRoles",                  &[nobody(PERMISSIONS)]),
    post  ("3.0/mlflow/roles/permissions/add",     "AddRolePermission",          &[nobody(PERMISSIONS)]),
    get   ("3.0/mlflow/roles/permissions/list",    "ListRolePermissions",        &[nobody(PERMISSIONS)]),
    delete("3.0/mlflow/roles/permissions/remove",  "RemoveRolePermission",       &[nobody(PERMISSIONS)]),
    patch ("3.0/mlflow/roles/permissions/update",  "UpdateRolePermission",       &[nobody(PERMISSIONS)]),
    delete("3.0/mlflow/roles/unassign",            "UnassignRole",               &[nobody(PERMISSIONS)]),
    patch ("3.0/mlflow/roles/update",              "UpdateRole",                 &[nobody(PERMISSIONS)]),
    get   ("3.0/mlflow/roles/users/list",          "ListRoleUsers",              &[nobody(PERMISSIONS)]),
    get   ("3.0/mlflow/users/current/permissions", "ListCurrentUserPermissions", &[nobody(PERMISSIONS)]),
    get   ("3.0/mlflow/users/permissions/get",     "GetUserPermission",          &[nobody(PERMISSIONS)]),
    post  ("3.0/mlflow/users/permissions/grant",   "GrantUserPermission",        &[nobody(PERMISSIONS)]),
    get   ("3.0/mlflow/users/permissions/list",    "ListUserPermissions",        &[nobody(PERMISSIONS)]),
    post  ("3.0/mlflow/users/permissions/revoke",  "RevokeUserPermission",       &[nobody(PERMISSIONS)]),
    get   ("3.0/mlflow/users/roles/list",          "ListUserRoles",              &[nobody(PERMISSIONS)]),
    get   ("signup",                               "Signup",                     &[nobody(PERMISSIONS)]).root(),
];
