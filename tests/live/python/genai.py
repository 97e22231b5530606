"""Datasets, scorers, label schemas, review queues, issues and jobs: for their owner, a reader of the experiment, a stranger."""

import json
import os
import re

# Read when the client is imported: a trace is with the server when its call returns.
os.environ["MLFLOW_ENABLE_ASYNC_TRACE_LOGGING"] = "false"

import mlflow
from mlflow.genai import datasets, label_schemas, review_queues, scorers
from mlflow.genai.label_schemas import InputPassFail
from mlflow.store.jobs.sqlalchemy_store import SqlAlchemyJobStore
from mlflow.tracking._tracking_service.utils import _get_store

from actors import acting, denied, equal, fresh, grant, mail, operator, refusal, refused, rest, revoke, same, until

store = _get_store()
API, AJAX = "/api/3.0/mlflow", "/ajax-api/3.0/mlflow"


def all_refused(holds, *acts):
    """Each is refused, and says what was needed on what, what one holds, and who can grant it."""
    for act in acts:
        told = refusal(act)
        if not re.search(rf"needs (EDIT|MANAGE) on .*; you hold {holds}\. Ask {re.escape(mail('owner'))} for it\.", told):
            raise AssertionError(told)


with acting("owner"):
    experiment = mlflow.set_experiment(fresh("genai")).experiment_id
    with mlflow.start_span("answer"):
        pass
    trace = mlflow.get_last_active_trace_id()
    run = mlflow.MlflowClient().create_run(experiment).info.run_id

    # Datasets
    name = fresh("dataset")
    dataset = datasets.create_dataset(name=name, experiment_id=[experiment], tags={"team": "a", "mlflow.user": "somebody"})
    equal(dataset.tags["mlflow.user"], mail("owner"))
    dataset.merge_records([
        {"inputs": {"question": "one"}, "expectations": {"answer": "1"}, "tags": {"mlflow.user": "somebody"}},
        {"inputs": {"question": "zwölf"}, "expectations": {"answer": "12"}},
    ])
    found = datasets.get_dataset(dataset_id=dataset.dataset_id)
    equal(sorted(row["inputs"]["question"] for row in found.to_df().to_dict("records")), ["one", "zwölf"])
    equal(datasets.get_dataset(name=name).dataset_id, dataset.dataset_id)
    equal([one.dataset_id for one in datasets.search_datasets(experiment_ids=[experiment])], [dataset.dataset_id])
    equal([one.dataset_id for one in datasets.search_datasets(filter_string=f"name = '{name}'")], [dataset.dataset_id])
    datasets.set_dataset_tags(dataset_id=dataset.dataset_id, tags={"stage": "trial"})
    equal(datasets.get_dataset(dataset_id=dataset.dataset_id).tags["stage"], "trial")
    datasets.delete_dataset_tag(dataset_id=dataset.dataset_id, key="stage")
    second = mlflow.MlflowClient().create_experiment(fresh("genai second"))
    datasets.add_dataset_to_experiments(dataset_id=dataset.dataset_id, experiment_ids=[second])
    equal(set(store.get_dataset_experiment_ids(dataset.dataset_id)), {experiment, second})

    # Scorers
    scorers.Guidelines(name="polite", guidelines="be polite").register(experiment_id=experiment)
    again = scorers.Guidelines(name="polite", guidelines="be very polite").register(experiment_id=experiment)
    equal(scorers.get_scorer(name="polite", experiment_id=experiment).guidelines, "be very polite")
    equal(scorers.get_scorer(name="polite", experiment_id=experiment, version=1).guidelines, "be polite")
    equal([one.name for one in scorers.list_scorers(experiment_id=experiment)], ["polite"])
    equal(len(store.list_scorer_versions(experiment, "polite")), 2)
    # Above 0 it is for scorers of the gateway's models alone.
    config = store.upsert_online_scoring_config(experiment, "polite", 0.0, "status = 'OK'")
    equal((config.experiment_id, config.sample_rate, config.filter_string), (experiment, 0.0, "status = 'OK'"))
    equal([one.filter_string for one in store.get_online_scoring_configs([config.scorer_id])], ["status = 'OK'"])

    # Label schemas
    schema = label_schemas.create_label_schema("good", type="feedback", input=InputPassFail("yes", "no"), experiment_id=experiment)
    equal(label_schemas.get_label_schema(schema_id=schema.schema_id).name, "good")
    equal(store.get_label_schema_by_name(experiment, "good").schema_id, schema.schema_id)
    # The first is the server's own.
    equal([one.name for one in label_schemas.list_label_schemas(experiment_id=experiment)], ["Feedback", "good"])
    equal(store.update_label_schema(schema.schema_id, instruction="look twice").instruction, "look twice")

    # Review queues
    queue = review_queues.create_review_queue("to look at", queue_type="custom", users=[mail("owner")], schema_ids=[schema.schema_id], experiment_id=experiment)
    equal(review_queues.get_review_queue(queue.queue_id).name, "to look at")
    equal(review_queues.get_review_queue(name="to look at", experiment_id=experiment).queue_id, queue.queue_id)
    equal([one.item_id for one in review_queues.add_items_to_review_queue(queue.queue_id, item_ids=[trace])], [trace])
    equal([one.item_id for one in review_queues.list_review_queue_items(queue.queue_id)], [trace])
    done = review_queues.set_review_queue_item_status(queue.queue_id, item_id=trace, status="complete", completed_by="somebody")
    equal(done.completed_by, mail("owner"))
    review_queues.set_review_queue_item_status(queue.queue_id, item_id=trace, status="pending")
    equal([one.queue_id for one in review_queues.list_review_queues(experiment_id=experiment)], [queue.queue_id])
    own = review_queues.get_or_create_user_queue(mail("owner"), experiment_id=experiment)

    # Issues
    issue = store.create_issue(experiment, "slow", "It is slow", source_run_id=run, created_by="somebody")
    equal((issue.created_by, issue.source_run_id), (mail("owner"), run))
    equal(store.get_issue(issue.issue_id).name, "slow")
    equal(store.update_issue(issue.issue_id, description="It is very slow").description, "It is very slow")
    equal([one.issue_id for one in store.search_issues(experiment_id=experiment)], [issue.issue_id])

ABSENT = {"dataset": "d-" + "0" * 32, "schema": "ls-" + "0" * 32, "queue": "rq-" + "0" * 32, "issue": "iss-" + "0" * 32, "experiment": "999999999"}


def nothing_is_seen(who):
    """Of none of them does one who holds nothing learn that it is there."""
    equal(store.get_online_scoring_configs([config.scorer_id]), [])
    equal([row for row in rest(who, "GET", f"{API}/scorers/list").json().get("scorers", []) if row["experiment_id"] == int(experiment)], [])
    equal([one.dataset_id for one in datasets.search_datasets(filter_string=f"name = '{name}'")], [])
    equal(list(datasets.search_datasets(experiment_ids=[experiment])), [])
    with refused("RESOURCE_DOES_NOT_EXIST"):
        datasets.get_dataset(name=name)
    for method, path, more in (
        ("GET", f"{API}/datasets/%s", {}),
        ("GET", f"{API}/datasets/%s/records", {}),
        ("GET", f"{API}/datasets/%s/experiment-ids", {}),
        ("DELETE", f"{API}/datasets/%s", {}),
        ("POST", f"{API}/datasets/%s/records", {"json": {"records": "[]"}}),
        ("DELETE", f"{API}/datasets/%s/records", {"json": {"dataset_record_ids": ["x"]}}),
        ("PATCH", f"{API}/datasets/%s/tags", {"json": {"tags": "{}"}}),
        ("POST", f"{API}/datasets/%s/add-experiments", {"json": {"experiment_ids": [experiment]}}),
    ):
        same(who, method, path, dataset.dataset_id, ABSENT["dataset"], **more)
    for method, path, more in (
        ("GET", f"{API}/scorers/get?experiment_id=%s&name=polite", {}),
        ("GET", f"{API}/scorers/versions?experiment_id=%s&name=polite", {}),
        ("GET", f"{API}/scorers/list?experiment_id=%s", {}),
        ("DELETE", f"{API}/scorers/delete", {"json": {"experiment_id": "%s", "name": "polite"}}),
        ("POST", f"{API}/scorers/register", {"json": {"experiment_id": "%s", "name": "polite", "serialized_scorer": "{}"}}),
        ("PUT", f"{AJAX}/scorers/online-config", {"json": {"experiment_id": "%s", "name": "polite", "sample_rate": 0.5}}),
        ("GET", f"{AJAX}/label-schemas/list?experiment_id=%s", {}),
        ("GET", f"{AJAX}/label-schemas/get-by-name?experiment_id=%s&name=good", {}),
        ("POST", f"{AJAX}/label-schemas/create", {"json": {"experiment_id": "%s", "name": "x", "type": "FEEDBACK", "input": {"pass_fail": {}}}}),
        ("GET", f"{AJAX}/review-queues/list?experiment_id=%s", {}),
        ("GET", f"{AJAX}/review-queues/get-by-name?experiment_id=%s&name=to%%20look%%20at".replace("%%", "%"), {}),
        ("POST", f"{AJAX}/review-queues/create", {"json": {"experiment_id": "%s", "name": "x", "queue_type": "CUSTOM"}}),
        ("POST", f"{AJAX}/review-queues/get-or-create-user", {"json": {"experiment_id": "%s", "user": mail(who)}}),
        ("POST", f"{AJAX}/issues/search", {"json": {"experiment_id": "%s"}}),
        ("POST", f"{AJAX}/issues", {"json": {"experiment_id": "%s", "name": "x", "description": "y", "status": "pending"}}),
    ):
        same(who, method, path, experiment, ABSENT["experiment"], **more)
    for method, path, more in (
        ("GET", f"{AJAX}/label-schemas/get?schema_id=%s", {}),
        ("PATCH", f"{AJAX}/label-schemas/update", {"json": {"schema_id": "%s", "instruction": "x"}}),
        ("DELETE", f"{AJAX}/label-schemas/delete", {"json": {"schema_id": "%s"}}),
    ):
        same(who, method, path, schema.schema_id, ABSENT["schema"], **more)
    for method, path, more in (
        ("GET", f"{AJAX}/review-queues/get?queue_id=%s", {}),
        ("GET", f"{AJAX}/review-queues/items/list?queue_id=%s", {}),
        ("POST", f"{AJAX}/review-queues/update", {"json": {"queue_id": "%s", "name": "x"}}),
        ("POST", f"{AJAX}/review-queues/delete", {"json": {"queue_id": "%s"}}),
        ("POST", f"{AJAX}/review-queues/items/add", {"json": {"queue_id": "%s", "item_type": "TRACE", "item_ids": [trace]}}),
        ("POST", f"{AJAX}/review-queues/items/remove", {"json": {"queue_id": "%s", "item_ids": [trace]}}),
        ("POST", f"{AJAX}/review-queues/items/set-status", {"json": {"queue_id": "%s", "item_id": trace, "status": "PENDING"}}),
    ):
        same(who, method, path, queue.queue_id, ABSENT["queue"], **more)
    for method, path, more in (
        ("GET", f"{AJAX}/issues/%s", {}),
        ("PATCH", f"{AJAX}/issues/%s", {"json": {"name": "x"}}),
    ):
        same(who, method, path, issue.issue_id, ABSENT["issue"], **more)


with acting("guest"):
    nothing_is_seen("guest")

grant(f"user:{mail('reader')}", "READ", "experiment", experiment)
with acting("reader"):
    # The dataset is in another experiment too: who may not read that one does not read it.
    until(lambda: equal([one.issue_id for one in store.search_issues(experiment_id=experiment)], [issue.issue_id]))
    same("reader", "GET", f"{API}/datasets/%s", dataset.dataset_id, ABSENT["dataset"])
    equal(list(datasets.search_datasets(experiment_ids=[experiment])), [])
with acting("owner"):
    datasets.remove_dataset_from_experiments(dataset_id=dataset.dataset_id, experiment_ids=[second])
with acting("reader"):
    equal([one.dataset_id for one in datasets.search_datasets(experiment_ids=[experiment])], [dataset.dataset_id])
    equal(len(datasets.get_dataset(name=name).to_df()), 2)
    # Scorers have grants of their own.
    equal(list(scorers.list_scorers(experiment_id=experiment)), [])
    same("reader", "GET", f"{API}/scorers/get?experiment_id={experiment}&name=%s", "polite", "nothing")
    same("reader", "GET", f"{API}/scorers/versions?experiment_id={experiment}&name=%s", "polite", "nothing")
grant(f"user:{mail('reader')}", "READ", "scorer", f"{experiment}/polite")
with acting("reader"):
    until(lambda: equal([one.name for one in scorers.list_scorers(experiment_id=experiment)], ["polite"]))
    equal(scorers.get_scorer(name="polite", experiment_id=experiment).guidelines, "be very polite")
    equal(len(store.list_scorer_versions(experiment, "polite")), 2)
    equal([one.name for one in label_schemas.list_label_schemas(experiment_id=experiment)], ["Feedback", "good"])
    equal(label_schemas.get_label_schema(schema_id=schema.schema_id).instruction, "look twice")
    equal(store.get_issue(issue.issue_id).source_run_id, run)
    equal([one.issue_id for one in store.search_issues(experiment_id=experiment)], [issue.issue_id])
    equal([one.filter_string for one in store.get_online_scoring_configs([config.scorer_id])], ["status = 'OK'"])
    # Of queues one sees those that one is named by.
    equal(list(review_queues.list_review_queues(experiment_id=experiment)), [])
    for act in (
        lambda: review_queues.get_review_queue(queue.queue_id),
        lambda: review_queues.list_review_queue_items(queue.queue_id),
        lambda: review_queues.get_review_queue(name="to look at", experiment_id=experiment),
        lambda: review_queues.update_review_queue(queue.queue_id, name="mine"),
        lambda: review_queues.delete_review_queue(queue.queue_id),
        lambda: review_queues.remove_items_from_review_queue(queue.queue_id, item_ids=[trace]),
    ):
        with refused():
            act()
    same("reader", "GET", f"{AJAX}/review-queues/get?queue_id=%s", queue.queue_id, ABSENT["queue"])
    all_refused(
        "READ",
        lambda: store.upsert_dataset_records(dataset.dataset_id, [{"inputs": {"question": "three"}}]),
        lambda: store.set_dataset_tags(dataset.dataset_id, {"k": "v"}),
        lambda: store.delete_dataset_tag(dataset.dataset_id, "team"),
        lambda: datasets.delete_dataset(dataset_id=dataset.dataset_id),
        lambda: datasets.create_dataset(name=fresh("dataset"), experiment_id=[experiment]),
        lambda: scorers.Guidelines(name="polite", guidelines="be rude").register(experiment_id=experiment),
        lambda: scorers.Guidelines(name="mine", guidelines="be rude").register(experiment_id=experiment),
        lambda: scorers.delete_scorer(name="polite", experiment_id=experiment, version="all"),
        lambda: store.upsert_online_scoring_config(experiment, "polite", 1.0),
        lambda: label_schemas.create_label_schema("mine", type="feedback", input=InputPassFail("yes", "no"), experiment_id=experiment),
        lambda: store.update_label_schema(schema.schema_id, instruction="look away"),
        lambda: label_schemas.delete_label_schema(schema_id=schema.schema_id),
        lambda: review_queues.create_review_queue("mine", queue_type="custom", experiment_id=experiment),
        lambda: review_queues.get_or_create_user_queue(mail("reader"), experiment_id=experiment),
        lambda: review_queues.add_items_to_review_queue(queue.queue_id, item_ids=[trace]),
        lambda: store.create_issue(experiment, "mine", "x"),
        lambda: store.update_issue(issue.issue_id, name="mine"),
    )

# Whom a queue names sees it, and does its work where they may edit.
with acting("owner"):
    review_queues.update_review_queue(queue.queue_id, users=[mail("owner"), mail("reader")])
with acting("reader"):
    equal([one.queue_id for one in review_queues.list_review_queues(experiment_id=experiment)], [queue.queue_id])
    equal(review_queues.get_review_queue(queue.queue_id).name, "to look at")
    equal([one.item_id for one in review_queues.list_review_queue_items(queue.queue_id)], [trace])
    with refused():
        review_queues.set_review_queue_item_status(queue.queue_id, item_id=trace, status="complete", completed_by=mail("owner"))
    with refused():
        review_queues.update_review_queue(queue.queue_id, name="mine")
grant(f"user:{mail('reader')}", "EDIT", "experiment", experiment)
with acting("reader"):
    done = until(
        lambda: review_queues.set_review_queue_item_status(queue.queue_id, item_id=trace, status="complete", completed_by=mail("owner"))
    )
    equal(done.completed_by, mail("reader"))
    # Who edits makes, and deletes nothing.
    made = store.create_issue(experiment, "theirs", "x")
    equal(made.created_by, mail("reader"))
    equal(dataset.dataset_id, datasets.get_dataset(name=name).dataset_id)
    store.upsert_dataset_records(dataset.dataset_id, [{"inputs": {"question": "three"}, "tags": {"mlflow.user": "somebody"}}])
    all_refused(
        "EDIT",
        lambda: datasets.delete_dataset(dataset_id=dataset.dataset_id),
        lambda: label_schemas.create_label_schema("mine", type="feedback", input=InputPassFail("yes", "no"), experiment_id=experiment),
        lambda: label_schemas.delete_label_schema(schema_id=schema.schema_id),
    )
    with refused():
        review_queues.delete_review_queue(queue.queue_id)
    with refused():
        scorers.delete_scorer(name="polite", experiment_id=experiment, version="all")
    # A scorer of one's own is one's own.
    scorers.Guidelines(name="theirs", guidelines="be brief").register(experiment_id=experiment)
    equal({one.name for one in scorers.list_scorers(experiment_id=experiment)}, {"polite", "theirs"})
    scorers.delete_scorer(name="theirs", experiment_id=experiment, version="all")
assert f"{experiment}/theirs" not in operator("grant", "list"), "grants outlived their scorer"

# A DENY on a scorer takes it from its reader alone.
grant(f"user:{mail('reader')}", "DENY", "scorer", f"{experiment}/polite")
with acting("reader"):
    until(lambda: equal(list(scorers.list_scorers(experiment_id=experiment)), []))
    with refused():
        scorers.get_scorer(name="polite", experiment_id=experiment)
    with refused():
        store.upsert_online_scoring_config(experiment, "polite", 1.0)
revoke(f"user:{mail('reader')}", "scorer", f"{experiment}/polite")
revoke(f"user:{mail('reader')}", "experiment", experiment)
with acting("reader"):
    until(lambda: equal(list(datasets.search_datasets(experiment_ids=[experiment])), []))
    nothing_is_seen("reader")

# Jobs are written by the server alone, which runs none here: what its own store writes stands for one that it started.
job = SqlAlchemyJobStore("sqlite:///mlflow/mlflow.db").create_job(fresh("job"), json.dumps({"experiment_id": experiment}))


def jobs(who):
    answer = rest(who, "POST", "/ajax-api/3.0/jobs/search", json={"job_name": job.job_name})
    equal(answer.status_code, 200)
    return [row["job_id"] for row in answer.json()["jobs"]]


def one_job(who, id_):
    return rest(who, "GET", f"/ajax-api/3.0/jobs/{id_}")


equal((jobs("admin"), jobs("owner"), jobs("guest")), ([job.job_id], [], []))
absent = "0" * 8 + "-0000-4000-8000-" + "0" * 12
same("owner", "GET", "/ajax-api/3.0/jobs/%s", job.job_id, absent)
same("owner", "PATCH", "/ajax-api/3.0/jobs/cancel/%s", job.job_id, absent)
grant(f"user:{mail('owner')}", "MANAGE", "job", job.job_id)
until(lambda: equal(jobs("owner"), [job.job_id]))
equal(one_job("owner", job.job_id).json()["job_id"], job.job_id)
equal(jobs("guest"), [])
denied(one_job("guest", job.job_id))
denied(rest("owner", "POST", "/ajax-api/3.0/jobs/", json={"job_name": job.job_name, "params": {}}))
equal(rest("owner", "PATCH", f"/ajax-api/3.0/jobs/cancel/{job.job_id}").json()["status"], "CANCELED")

# The owner takes all away again.
with acting("owner"):
    review_queues.remove_items_from_review_queue(queue.queue_id, item_ids=[trace])
    for one in (queue, own):
        review_queues.delete_review_queue(one.queue_id)
    equal(list(review_queues.list_review_queues(experiment_id=experiment)), [])
    label_schemas.delete_label_schema(schema_id=schema.schema_id)
    equal([one.name for one in label_schemas.list_label_schemas(experiment_id=experiment)], ["Feedback"])
    scorers.delete_scorer(name="polite", experiment_id=experiment, version=1)
    scorers.delete_scorer(name="polite", experiment_id=experiment, version="all")
    equal(list(scorers.list_scorers(experiment_id=experiment)), [])
    datasets.delete_dataset(dataset_id=dataset.dataset_id)
    equal(list(datasets.search_datasets(experiment_ids=[experiment])), [])
assert f"{experiment}/polite" not in operator("grant", "list"), "grants outlived their scorer"
