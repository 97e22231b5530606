"""READ reads and does not write; EDIT writes and does not delete; nothing sees nothing; DENY wins."""

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Metric

from actors import acting, equal, fresh, grant, mail, refused, revoke, until

client = MlflowClient()
name = fresh("permissions")

with acting("owner"):
    experiment = client.create_experiment(name)
    run = client.create_run(experiment, run_name="first").info.run_id
    client.log_param(run, "depth", 3)
    client.log_metric(run, "loss", 0.5, step=1)
    client.log_metric(run, "loss", 0.25, step=2)
    client.set_tag(run, "stage", "trial")
    client.log_dict(run, {"a": 1}, "conf/a.json")

# Without a grant: neither the experiment, nor what lies in it, nor that it is there.
for stranger in ("reader", "guest"):
    with acting(stranger):
        for look in (
            lambda: client.get_experiment(experiment),
            lambda: client.get_run(run),
            lambda: client.get_metric_history(run, "loss"),
            lambda: client.list_artifacts(run),
            lambda: client.log_metric(run, "loss", 9.0),
            lambda: client.delete_experiment(experiment),
        ):
            with refused():
                look()
        equal(list(client.search_runs([experiment])), [])
        equal([found.name for found in client.search_experiments() if found.name == name], [])
        # The name is answered like one that nobody took.
        for unseen in (name, fresh("never made")):
            equal(client.get_experiment_by_name(unseen), None)

grant(f"user:{mail('reader')}", "READ", "experiment", experiment)
with acting("reader"):
    equal(until(lambda: client.get_experiment(experiment)).name, name)
    equal(client.get_experiment_by_name(name).experiment_id, experiment)
    equal(client.get_run(run).data.params, {"depth": "3"})
    equal([point.value for point in client.get_metric_history(run, "loss")], [0.5, 0.25])
    equal([found.path for found in client.list_artifacts(run)], ["conf"])
    equal(mlflow.artifacts.load_dict(f"{client.get_run(run).info.artifact_uri}/conf/a.json"), {"a": 1})
    equal([found.info.run_id for found in client.search_runs([experiment])], [run])
    for write in (
        lambda: client.create_run(experiment),
        lambda: client.log_metric(run, "loss", 9.0),
        lambda: client.log_param(run, "more", 1),
        lambda: client.log_batch(run, metrics=[Metric("loss", 9.0, 1, 3)]),
        lambda: client.set_tag(run, "stage", "mine"),
        lambda: client.delete_tag(run, "stage"),
        lambda: client.set_terminated(run),
        lambda: client.delete_run(run),
        lambda: client.set_experiment_tag(experiment, "k", "v"),
        lambda: client.rename_experiment(experiment, fresh("taken")),
        lambda: client.delete_experiment(experiment),
    ):
        with refused():
            write()
    try:
        client.log_dict(run, {"a": 2}, "conf/a.json")
    except Exception as refusal:
        assert "403" in str(refusal) or "PERMISSION_DENIED" in str(refusal), refusal
    else:
        raise AssertionError("the reader could overwrite an artifact")
with acting("owner"):
    equal(mlflow.artifacts.load_dict(f"{client.get_run(run).info.artifact_uri}/conf/a.json"), {"a": 1})
    equal(len(client.get_metric_history(run, "loss")), 2)

# A group's EDIT counts beside a direct READ; it writes, and leaves deleting to MANAGE.
grant("group:reviewers", "EDIT", "experiment", experiment)
with acting("reader"):
    until(lambda: client.log_metric(run, "loss", 0.125, step=3))
    client.set_tag(run, "stage", "reviewed")
    with refused():
        client.delete_experiment(experiment)
with acting("guest"), refused():
    client.get_run(run)

# DENY beats both.
grant(f"user:{mail('reader')}", "DENY", "experiment", experiment)


def denied():
    with acting("reader"), refused():
        client.get_run(run)


until(denied)
revoke(f"user:{mail('reader')}", "experiment", experiment)
with acting("reader"):
    equal(until(lambda: client.get_run(run)).data.tags["stage"], "reviewed")

# The owner may delete, and bring back.
with acting("owner"):
    client.delete_run(run)
    client.restore_run(run)
    client.delete_experiment(experiment)
    client.restore_experiment(experiment)
with acting("admin"):
    equal(client.get_experiment(experiment).name, name)
