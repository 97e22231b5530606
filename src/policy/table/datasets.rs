//! What does each call about evaluation datasets need?

use crate::policy::route::{Row, delete, get, nobody, patch, post};

const DATASETS: &str = "evaluation datasets are not judged yet: each belongs to any number of experiments";

#[rustfmt::skip]
pub(super) static ROWS: &[Row] = &[
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
];
