//! What does each call about jobs need?

use crate::policy::route::{Row, delete, get, nobody, patch, post};

const JOBS: &str = "jobs run with the server's own rights on whatever their parameters name";

#[rustfmt::skip]
pub(super) static ROWS: &[Row] = &[
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
];
