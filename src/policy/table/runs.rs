//! What does each call about runs, what they hold, and logged models need?

use crate::mlflow::resource::Kind::{Experiment, LoggedModel, ModelVersion, Run};
use crate::policy::route::Check::{ListedVersions, Presigned, RunTags, SafePath, TagKey};
use crate::policy::route::Need::Checked;
use crate::policy::route::{
    Link, List, Need, Own, Paging, Row, Stamp, blank, delete, delete_, delete_own, drop_, edit, edit_any, edit_opt,
    get, listed, manage_one, narrowed, new_of, patch, post, read, read_each, read_opt,
};

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

/// Who writes it links the model to versions, which takes READ on them as their own calls do.
const VERSIONS: Need = Checked(ListedVersions {
    tag: VERSIONS_TAG,
    kind: ModelVersion,
    keys: "tags[*]",
    value: Some("tags[mlflow.modelVersions]"),
});

pub(super) const RUNS: List = List {
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

/// Who made it stands in both.
const AUTHOR: &[Stamp] = &[Stamp::Text("user_id"), Stamp::Tags("tags[].key")];

#[rustfmt::skip]
pub(super) static ROWS: &[Row] = &[
    // Runs
    post  ("2.0/mlflow/runs/create",              "CreateRun",             &[edit(Experiment, "experiment_id"), new_of(Run)]).stamps(AUTHOR),
    get   ("2.0/mlflow/runs/get",                 "GetRun",                &[read(Run, "run_id|run_uuid")]).hides(RUN_LINKS),
    post  ("2.0/mlflow/runs/update",              "UpdateRun",             &[edit(Run, "run_id|run_uuid")]),
    post  ("2.0/mlflow/runs/delete",              "DeleteRun",             &[delete_own(Run, "run_id")]),
    post  ("2.0/mlflow/runs/restore",             "RestoreRun",            &[delete_own(Run, "run_id")]),
    post  ("2.0/mlflow/runs/search",              "SearchRuns",            &[narrowed(Experiment, "experiment_ids")]).keeps(RUNS),
    // MLflow fails on any tag here, so the author stands in `user_id` alone.
    post  ("2.0/mlflow/runs/create-promptlab-run", "CreatePromptlabRun",   &[edit(Experiment, "experiment_id"), new_of(Run), Checked(TagKey("tags[].key"))])
                                                                             .ajax().large().stamps(&[Stamp::Text("user_id")]),

    // What runs hold
    post  ("2.0/mlflow/runs/log-metric",          "LogMetric",             &[edit(Run, "run_id|run_uuid"), edit_opt(LoggedModel, "model_id")]),
    post  ("2.0/mlflow/runs/log-parameter",       "LogParam",              &[edit(Run, "run_id|run_uuid")]),
    post  ("2.0/mlflow/runs/set-tag",             "SetTag",                &[edit(Run, "run_id|run_uuid"), Checked(RunTags { run: "run_id|run_uuid", key: "key" })]),
    post  ("2.0/mlflow/runs/delete-tag",          "DeleteTag",             &[edit(Run, "run_id"), Checked(TagKey("key"))]),
    post  ("2.0/mlflow/runs/log-batch",           "LogBatch",              &[edit(Run, "run_id"), edit_any(LoggedModel, "metrics[].model_id"),
                                                                              Checked(RunTags { run: "run_id", key: "tags[].key" })]).large(),
    post  ("2.0/mlflow/runs/log-inputs",          "LogInputs",             &[edit(Run, "run_id"), edit_any(LoggedModel, "models[].model_id")]).large(),
    post  ("2.0/mlflow/runs/outputs",             "LogOutputs",            &[edit(Run, "run_id"), edit_any(LoggedModel, "models[].model_id")]).large(),
    post  ("2.0/mlflow/runs/log-model",           "LogModel",              &[edit(Run, "run_id")]).large(),
    get   ("2.0/mlflow/metrics/get-history",      "GetMetricHistory",      &[read(Run, "run_id|run_uuid")]).hides(&[blank("metrics[].model_id", LoggedModel)]),
    get   ("2.0/mlflow/metrics/get-history-bulk", "GetMetricHistoryBulk",  &[read_each(Run, "run_id")]).ajax(),
    get   ("2.0/mlflow/metrics/get-history-bulk-interval", "GetMetricHistoryBulkInterval", &[read_each(Run, "run_ids")]),

    // Logged models
    post  ("2.0/mlflow/logged-models",                         "CreateLoggedModel",        &[edit(Experiment, "experiment_id"), new_of(LoggedModel), read_opt(Run, "source_run_id"), VERSIONS]).large().stamps(&[Stamp::Tags("tags[].key")]),
    post  ("2.0/mlflow/logged-models/search",                  "SearchLoggedModels",       &[narrowed(Experiment, "experiment_ids")]).keeps(LOGGED_MODELS),
    get   ("2.0/mlflow/logged-models/{model_id}",              "GetLoggedModel",           &[read(LoggedModel, "{model_id}")]).hides(LOGGED_MODEL_LINKS),
    patch ("2.0/mlflow/logged-models/{model_id}",              "FinalizeLoggedModel",      &[edit(LoggedModel, "{model_id}|model_id")]).hides(LOGGED_MODEL_LINKS),
    delete("2.0/mlflow/logged-models/{model_id}",              "DeleteLoggedModel",        &[delete_(LoggedModel, "{model_id}|model_id")]),
    post  ("2.0/mlflow/logged-models/{model_id}/params",       "LogLoggedModelParams",     &[edit(LoggedModel, "{model_id}|model_id")]).large(),
    patch ("2.0/mlflow/logged-models/{model_id}/tags",         "SetLoggedModelTags",       &[edit(LoggedModel, "{model_id}|model_id"), Checked(TagKey("tags[*]")), VERSIONS]).hides(LOGGED_MODEL_LINKS),
    delete("2.0/mlflow/logged-models/{model_id}/tags/{tag_key}", "DeleteLoggedModelTag",   &[manage_one(LoggedModel, "{model_id}|model_id"), Checked(TagKey("{tag_key}"))]),
    get   ("2.0/mlflow/logged-models/{model_id}/artifacts/directories", "ListLoggedModelArtifacts", &[read(LoggedModel, "{model_id}"), Checked(SafePath("artifact_directory_path"))]),
    get   ("2.0/mlflow/logged-models/{model_id}/artifacts/files",       "GetLoggedModelArtifact",   &[read(LoggedModel, "{model_id}"), Checked(SafePath("artifact_file_path")), Checked(Presigned("presigned"))]).ajax().fetches(),
];
