//! What does each call about evaluation datasets need?
//!
//! A dataset is in any number of experiments: whatever is wanted is wanted on every one of them (MLflow 3.17.2,
//! `server/auth/__init__.py` `_dataset_experiment_permissions`). One that is in none is for administrators.

use crate::mlflow::resource::Kind::{Dataset, Experiment};
use crate::policy::route::Check::TagKey;
use crate::policy::route::Need::Checked;
use crate::policy::route::{
    List, Paging, Row, Stamp, delete, delete_, edit, edit_each, get, narrowed, patch, post, read,
};

const DATASETS: List = List {
    member: "datasets",
    kind: Dataset,
    id: "dataset_id",
    own: None,
    links: &[],
    paged: Some(Paging { default: 1000, most: 50_000, narrow_by: None }),
};

#[rustfmt::skip]
pub(super) static ROWS: &[Row] = &[
    // Evaluation datasets
    post  ("3.0/mlflow/datasets/create",                          "CreateDataset",                &[edit_each(Experiment, "experiment_ids")]).stamps(&[Stamp::Json("tags")]),
    get   ("3.0/mlflow/datasets/search",                          "SearchEvaluationDatasets",     &[narrowed(Experiment, "experiment_ids")]).keeps(DATASETS),
    post  ("3.0/mlflow/datasets/search",                          "SearchEvaluationDatasets",     &[narrowed(Experiment, "experiment_ids")]).keeps(DATASETS),
    delete("3.0/mlflow/datasets/{dataset_id}",                    "DeleteDataset",                &[delete_(Dataset, "{dataset_id}|dataset_id")]),
    get   ("3.0/mlflow/datasets/{dataset_id}",                    "GetDataset",                   &[read(Dataset, "{dataset_id}|dataset_id")]),
    post  ("3.0/mlflow/datasets/{dataset_id}/add-experiments",    "AddDatasetToExperiments",      &[edit(Dataset, "{dataset_id}|dataset_id"), edit_each(Experiment, "experiment_ids")]),
    get   ("3.0/mlflow/datasets/{dataset_id}/experiment-ids",     "GetDatasetExperimentIds",      &[read(Dataset, "{dataset_id}|dataset_id")]),
    delete("3.0/mlflow/datasets/{dataset_id}/records",            "DeleteDatasetRecords",         &[edit(Dataset, "{dataset_id}|dataset_id")]).large(),
    get   ("3.0/mlflow/datasets/{dataset_id}/records",            "GetDatasetRecords",            &[read(Dataset, "{dataset_id}|dataset_id")]),
    post  ("3.0/mlflow/datasets/{dataset_id}/records",            "UpsertDatasetRecords",         &[edit(Dataset, "{dataset_id}|dataset_id")]).large().stamps(&[Stamp::Json("records")]),
    post  ("3.0/mlflow/datasets/{dataset_id}/remove-experiments", "RemoveDatasetFromExperiments", &[edit(Dataset, "{dataset_id}|dataset_id"), edit_each(Experiment, "experiment_ids")]),
    patch ("3.0/mlflow/datasets/{dataset_id}/tags",               "SetDatasetTags",               &[edit(Dataset, "{dataset_id}|dataset_id")]).stamps(&[Stamp::Json("tags")]),
    delete("3.0/mlflow/datasets/{dataset_id}/tags/{key}",         "DeleteDatasetTag",             &[edit(Dataset, "{dataset_id}|dataset_id"), Checked(TagKey("{key}|key"))]),
];
