//! What does each call about jobs need?
//!
//! A job is its submitter's: whoever makes the server start one gets MANAGE on `job <id>`. Prompt optimization jobs lie
//! in an experiment besides, and are judged by it, as MLflow means to (3.17.2, `_authorize_prompt_optimization_job`).

use crate::mlflow::permission::Action;
use crate::mlflow::resource::Kind::{Dataset, Experiment, Job, Run, ScorerVersion};
use crate::policy::route::Check::{Models, PromptUri, Scorers};
use crate::policy::route::Need::{Checked, NoneDenied, SignedIn};
use crate::policy::route::{
    Row, admin, blank, delete, drop_, edit, get, new_of, not_denied, on_experiment_of, patch, post, read, read_opt,
};

const FREE_FORM: &str = "its parameters name traces, experiments and users in any form, and the job reads and writes \
                         them with the server's own rights; pages and clients use the calls that name them";

#[rustfmt::skip]
pub(super) static ROWS: &[Row] = &[
    // Jobs
    post  ("3.0/jobs/",                                           "SubmitJob",                    &[admin(FREE_FORM)]).ajax().owns(Job, "job_id"),
    patch ("3.0/jobs/cancel/{job_id}",                            "CancelJob",                    &[edit(Job, "{job_id}")]).ajax(),
    post  ("3.0/jobs/search",                                     "SearchJobs",                   &[SignedIn]).ajax().hides(&[drop_("jobs[].job_id", Job)]),
    get   ("3.0/jobs/{job_id}",                                   "GetJob",                       &[read(Job, "{job_id}")]).ajax(),
    patch ("3.0/mlflow/jobs/cancel/{job_id}",                     "CancelJob",                    &[edit(Job, "{job_id}")]).ajax(),
    get   ("3.0/mlflow/jobs/{job_id}",                            "GetJob",                       &[read(Job, "{job_id}")]).ajax(),
    post  ("3.0/mlflow/prompt-optimization/jobs",                 "CreatePromptOptimizationJob",  &[edit(Experiment, "experiment_id"), new_of(Run), new_of(ScorerVersion), Checked(PromptUri("source_prompt_uri")), read_opt(Dataset, "config.dataset_id"), Checked(Scorers { field: "config.scorers", experiment: "experiment_id" }), Checked(Models("config.optimizer_config_json"))])
                                                                                                      .owns(Job, "job.job_id"),
    get   ("3.0/mlflow/prompt-optimization/jobs/search",          "SearchPromptOptimizationJobs", &[read(Experiment, "experiment_id"), NoneDenied(Job)]).hides(&[blank("jobs[].run_id", Run)]),
    post  ("3.0/mlflow/prompt-optimization/jobs/search",          "SearchPromptOptimizationJobs", &[read(Experiment, "experiment_id"), NoneDenied(Job)]).hides(&[blank("jobs[].run_id", Run)]),
    delete("3.0/mlflow/prompt-optimization/jobs/{job_id}",        "DeletePromptOptimizationJob",  &[on_experiment_of(Action::Delete, Job, "{job_id}|job_id"), new_of(Run), not_denied(Job, "{job_id}|job_id")]).forgets(Job, "job_id"),
    get   ("3.0/mlflow/prompt-optimization/jobs/{job_id}",        "GetPromptOptimizationJob",     &[on_experiment_of(Action::Read, Job, "{job_id}"), not_denied(Job, "{job_id}")]).hides(&[blank("job.run_id", Run)]),
    post  ("3.0/mlflow/prompt-optimization/jobs/{job_id}/cancel", "CancelPromptOptimizationJob",  &[on_experiment_of(Action::Edit, Job, "{job_id}|job_id"), new_of(Run), not_denied(Job, "{job_id}|job_id")]),
];
