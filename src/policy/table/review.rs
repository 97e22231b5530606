//! What does each call about scorers, evaluation, label schemas, review queues, issues need?

use crate::policy::route::{Row, delete, get, nobody, patch, post, put};

const REVIEW: &str = "evaluation and review are not judged yet: their objects have grants of their own";

#[rustfmt::skip]
pub(super) static ROWS: &[Row] = &[
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
];
