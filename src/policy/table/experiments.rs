//! What does each call about experiments need?

use crate::mlflow::permission::Action;
use crate::mlflow::resource::Kind::{
    Assessment, Experiment, LoggedModel, ReviewQueue, Run, Scorer, ScorerVersion, Trace,
};
use crate::policy::route::Check::{ArtifactLocation, TagKey};
use crate::policy::route::Need::{Checked, SignedIn};
use crate::policy::route::{
    List, Need, Paging, Row, create_named, delete_, edit, get, narrowed, new_of, nobody, on_all_in, post, read,
    read_named, renames,
};

const NEVER: &str = "MLflow registers it and always answers 404";

const EXPERIMENTS: List = List {
    member: "experiments",
    kind: Experiment,
    id: "experiment_id",
    own: None,
    links: &[],
    paged: Some(Paging { default: 0, most: 50_000, narrow_by: Some("experiment_id") }),
};

/// The datasets that runs of these experiments used: names and digests.
const RUN_DATASETS: List =
    List { member: "dataset_summaries", kind: Experiment, id: "experiment_id", own: None, links: &[], paged: None };

/// What goes and comes with its experiment (MLflow 3.17.2, `_EXPERIMENT_CASCADE_TIERS`).
const WITH_ALL: Need = on_all_in(
    Action::Delete,
    &[Run, Trace, LoggedModel, Assessment, ReviewQueue, Scorer, ScorerVersion],
    Experiment,
    "experiment_id",
);

#[rustfmt::skip]
pub(super) static ROWS: &[Row] = &[
    // Experiments
    post  ("2.0/mlflow/experiments/create",                "CreateExperiment",    &[create_named(Experiment, "name"), new_of(Experiment), Checked(ArtifactLocation("artifact_location")), Checked(TagKey("tags[].key"))])
                                                                                      .owns(Experiment, "experiment_id"),
    get   ("2.0/mlflow/experiments/get",                   "GetExperiment",       &[read(Experiment, "experiment_id")]),
    get   ("2.0/mlflow/experiments/get-by-name",           "GetExperimentByName", &[read_named("experiment_name")])
                                                                                      .confirms(Experiment, "experiment.experiment_id"),
    get   ("2.0/mlflow/experiments/search",                "SearchExperiments",   &[SignedIn]).keeps(EXPERIMENTS),
    post  ("2.0/mlflow/experiments/search",                "SearchExperiments",   &[SignedIn]).keeps(EXPERIMENTS),
    post  ("2.0/mlflow/experiments/update",                "UpdateExperiment",    &[edit(Experiment, "experiment_id"), renames("experiment_id", "new_name")]),
    post  ("2.0/mlflow/experiments/delete",                "DeleteExperiment",    &[delete_(Experiment, "experiment_id"), WITH_ALL]),
    post  ("2.0/mlflow/experiments/restore",               "RestoreExperiment",   &[delete_(Experiment, "experiment_id"), WITH_ALL]),
    post  ("2.0/mlflow/experiments/set-experiment-tag",    "SetExperimentTag",    &[edit(Experiment, "experiment_id"), Checked(TagKey("key"))]),
    post  ("2.0/mlflow/experiments/delete-experiment-tag", "DeleteExperimentTag", &[edit(Experiment, "experiment_id"), Checked(TagKey("key"))]),
    post  ("2.0/mlflow/experiments/search-datasets",       "SearchRunDatasets",    &[narrowed(Experiment, "experiment_ids")]).ajax().keeps(RUN_DATASETS),
    post  ("2.0mlflow/experiments/search-datasets",        "SearchDatasets",      &[nobody(NEVER)]),
];
