//! What does each call about scorers, evaluation, label schemas, review queues, issues need?
//!
//! Label schemas and issues follow their experiment. Scorers have grants of their own, and their experiment must be
//! readable besides. A queue is for its reviewers, for its owner and for who manages it.

use crate::mlflow::permission::Action;
use crate::mlflow::resource::Kind::{
    Assessment, Experiment, GatewayEndpoint, GatewaySecret, Issue, Job, LabelSchema, ReviewQueue, Run, Scorer,
    ScorerVersion, Trace,
};
use crate::policy::route::Check::{
    Inside, Models, NewId, NewOwner, Provider, QueueType, Scorers, Selector, StoredJudge, StoredJudges,
};
use crate::policy::route::Cut::Count;
use crate::policy::route::Need::{Checked, ForOneself, NoneDenied, SignedIn};
use crate::policy::route::QueueRight::{Change, Prune, See, Work};
use crate::policy::route::{
    List, New, Own, Paging, Row, Stamp, blank, delete, delete_, drop_, edit, get, link, manage, new_of, not_denied,
    on_all_in, on_experiment_of, patch, post, put, queue, read, read_any, read_each, read_opt, use_named_opt, use_opt,
    whole,
};

const SCORERS: List = List {
    member: "scorers",
    kind: Experiment,
    id: "experiment_id",
    own: Some(Own { kind: ScorerVersion, id: &["experiment_id", "scorer_name", "scorer_version"] }),
    links: &[],
    paged: None,
};

const QUEUES: List = List {
    member: "review_queues",
    kind: ReviewQueue,
    id: "queue_id",
    own: None,
    links: &[],
    paged: Some(Paging { default: 1000, most: 50_000, narrow_by: None }),
};

/// MLflow keeps traces of other experiments out of an invocation itself, except those that it does not find.
const TRACES_INSIDE: crate::policy::route::Need = Checked(Inside { things: "trace_ids", experiment: "experiment_id" });

#[rustfmt::skip]
pub(super) static ROWS: &[Row] = &[
    // Evaluation, run by the server
    post  ("3.0/mlflow/genai/evaluate/invoke",            "InvokeGenaiEvaluateHandler",             &[edit(Experiment, "experiment_id"), new_of(Run), read_each(Trace, "trace_ids"), TRACES_INSIDE, Checked(Scorers { field: "serialized_scorers", experiment: "experiment_id" }), Checked(Models("serialized_scorers")), Checked(StoredJudges { scorers: "serialized_scorers", versions: "scorer_versions", experiment: "experiment_id" })])
                                                                                                      .ajax().large().owns(Job, "job_id"),
    post  ("3.0/mlflow/scorer/invoke",                    "InvokeScorerHandler",                    &[edit(Experiment, "experiment_id"), new_of(ScorerVersion), new_of(Assessment), read_each(Trace, "trace_ids"), TRACES_INSIDE, read_opt(Scorer, "experiment_id/scorer_name"), Checked(Models("serialized_scorer")), Checked(StoredJudge("experiment_id/scorer_name/scorer_version"))])
                                                                                                      .ajax().large().owns(Job, "jobs[].job_id"),

    // Issues
    post  ("3.0/mlflow/issues",                           "CreateIssue",                            &[edit(Experiment, "experiment_id"), read_opt(Run, "source_run_id"), Checked(Inside { things: "source_run_id", experiment: "experiment_id" }), Checked(NewId { field: "issue_id", kind: Issue })]).hides(&[blank("issue.source_run_id", Run)]).stamps(&[Stamp::Text("created_by")]),
    post  ("3.0/mlflow/issues/invoke",                    "InvokeIssueDetectionHandler",            &[edit(Experiment, "experiment_id"), new_of(Run), read_each(Trace, "trace_ids"), TRACES_INSIDE, use_opt(GatewaySecret, "secret_id"), use_named_opt(GatewayEndpoint, "endpoint_name"), Checked(Provider { provider: "provider", model: "model", secret: "secret_id", endpoint: "endpoint_name" })])
                                                                                                      .ajax().large().owns(Job, "job_id"),
    post  ("3.0/mlflow/issues/schedule/state",            "SyncIssueDetectionScheduleStateHandler", &[edit(Experiment, "experiment_id")]).ajax(),
    post  ("3.0/mlflow/issues/search",                    "SearchIssues",                           &[read(Experiment, "experiment_id"), Checked(Selector { field: "filter_string", word: "source_run_id", kind: Run })]).hides(&[blank("issues[].source_run_id", Run), link("issues[].trace_count", Trace, Count)]),
    get   ("3.0/mlflow/issues/{issue_id}",                "GetIssue",                               &[read(Issue, "{issue_id}")]).hides(&[blank("issue.source_run_id", Run)]),
    patch ("3.0/mlflow/issues/{issue_id}",                "UpdateIssue",                            &[edit(Issue, "{issue_id}|issue_id")]).hides(&[blank("issue.source_run_id", Run)]).stamps(&[Stamp::Text("last_updated_by")]),

    // Label schemas
    post  ("3.0/mlflow/label-schemas/create",             "CreateLabelSchema",                      &[manage(Experiment, "experiment_id")]),
    delete("3.0/mlflow/label-schemas/delete",             "DeleteLabelSchema",                      &[manage(LabelSchema, "schema_id")]),
    get   ("3.0/mlflow/label-schemas/get",                "GetLabelSchema",                         &[read(LabelSchema, "schema_id")]),
    get   ("3.0/mlflow/label-schemas/get-by-name",        "GetLabelSchemaByName",                   &[read(Experiment, "experiment_id")]),
    get   ("3.0/mlflow/label-schemas/list",               "ListLabelSchemas",                       &[read(Experiment, "experiment_id")]),
    patch ("3.0/mlflow/label-schemas/update",             "UpdateLabelSchema",                      &[manage(LabelSchema, "schema_id")]),

    // Review queues
    post  ("3.0/mlflow/review-queues/create",             "CreateReviewQueue",                      &[edit(Experiment, "experiment_id"), NoneDenied(ReviewQueue), Checked(QueueType { field: "queue_type", name: "name", experiment: "experiment_id" })])
                                                                                                      .owns(ReviewQueue, "review_queue.queue_id"),
    post  ("3.0/mlflow/review-queues/delete",             "DeleteReviewQueue",                      &[queue(Prune, "queue_id")]).forgets(ReviewQueue, "queue_id"),
    get   ("3.0/mlflow/review-queues/get",                "GetReviewQueue",                         &[queue(See, "queue_id")]),
    get   ("3.0/mlflow/review-queues/get-by-name",        "GetReviewQueueByName",                   &[queue(See, "experiment_id/name")]).confirms(ReviewQueue, "review_queue.queue_id"),
    post  ("3.0/mlflow/review-queues/get-or-create-user", "GetOrCreateUserQueue",                   &[edit(Experiment, "experiment_id"), NoneDenied(ReviewQueue), ForOneself { field: "user", experiment: "experiment_id", others: Some(Action::Manage) }]),
    post  ("3.0/mlflow/review-queues/items/add",          "AddItemsToReviewQueue",                  &[on_experiment_of(Action::Read, ReviewQueue, "queue_id"), edit(ReviewQueue, "queue_id"), read_each(Trace, "item_ids"), Checked(Inside { things: "item_ids", experiment: "queue_id" })]).large(),
    get   ("3.0/mlflow/review-queues/items/list",         "ListReviewQueueItems",                   &[queue(See, "queue_id"), NoneDenied(Trace)]),
    post  ("3.0/mlflow/review-queues/items/remove",       "RemoveItemsFromReviewQueue",             &[queue(Prune, "queue_id")]).large(),
    post  ("3.0/mlflow/review-queues/items/set-status",   "SetReviewQueueItemStatus",               &[queue(Work, "queue_id"), read(Trace, "item_id"), Checked(Inside { things: "item_id", experiment: "queue_id" })]).stamps(&[Stamp::Given("completed_by")]),
    get   ("3.0/mlflow/review-queues/list",               "ListReviewQueues",                       &[read(Experiment, "experiment_id"), read_opt(Trace, "item_id")]).keeps(QUEUES),
    post  ("3.0/mlflow/review-queues/update",             "UpdateReviewQueue",                      &[queue(Change, "queue_id"), Checked(NewOwner { field: "new_owner", queue: "queue_id" })]),

    // Scorers
    delete("3.0/mlflow/scorers/delete",                   "DeleteScorer",                           &[read(Experiment, "experiment_id"), delete_(Scorer, "experiment_id/name"), not_denied(Scorer, "experiment_id/name"), on_all_in(Action::Delete, &[ScorerVersion], Scorer, "experiment_id/name")])
                                                                                                      .forgets_unless(Scorer, "experiment_id/name", "version"),
    get   ("3.0/mlflow/scorers/get",                      "GetScorer",                              &[read(Experiment, "experiment_id"), read(Scorer, "experiment_id/name")]).hides(&[whole("scorer", ScorerVersion)]),
    get   ("3.0/mlflow/scorers/list",                     "ListScorers",                            &[SignedIn, read_opt(Experiment, "experiment_id"), read_any(Experiment, "experiment_ids")]).keeps(SCORERS),
    put   ("3.0/mlflow/scorers/online-config",            "UpsertOnlineScoringConfig",              &[edit(Experiment, "experiment_id"), not_denied(Scorer, "experiment_id/name"), Checked(StoredJudge("experiment_id/name"))]),
    get   ("3.0/mlflow/scorers/online-configs",           "GetOnlineScoringConfigs",                &[SignedIn, NoneDenied(Scorer), NoneDenied(ScorerVersion)]).hides(&[drop_("configs[].experiment_id", Experiment)]),
    post  ("3.0/mlflow/scorers/register",                 "RegisterScorer",                         &[edit(Experiment, "experiment_id"), not_denied(Scorer, "experiment_id/name"), Checked(Models("serialized_scorer"))])
                                                                                                      .large().owns_if(Scorer, "experiment_id/name", New::First("version")),
    get   ("3.0/mlflow/scorers/versions",                 "ListScorerVersions",                     &[read(Experiment, "experiment_id"), read(Scorer, "experiment_id/name")]).hides(&[drop_("scorers[]", ScorerVersion)]),
];
