"""What each version's client does beyond the other scripts, where that version has it: inputs, logged models, traces."""

import math

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag

from actors import acting, equal, fresh, grant, mail, refused, until

client = MlflowClient()
name = fresh("versions")

with acting("owner"):
    experiment = mlflow.set_experiment(name).experiment_id
    with mlflow.start_run(run_name="outer") as outer:
        mlflow.log_metric("odd", float("nan"))
        mlflow.log_params({"depth": 3, "kind": "\u00e4"})
        with mlflow.start_run(run_name="inner", nested=True) as inner:
            mlflow.log_text("words", "notes/a b.txt")
    outer, inner = outer.info.run_id, inner.info.run_id
    client.log_batch(
        inner,
        metrics=[Metric(f"m{number}", number, 1, 0) for number in range(50)],
        params=[Param("p", "1")],
        tags=[RunTag("k", "v")],
    )
    equal(math.isnan(client.get_run(outer).data.metrics["odd"]), True)
    equal([found.info.run_id for found in client.search_runs([experiment], f"tags.mlflow.parentRunId = '{outer}'")], [inner])
    equal(mlflow.artifacts.load_text(f"{client.get_run(inner).info.artifact_uri}/notes/a b.txt"), "words")
    client.set_experiment_tag(experiment, "team", "a")
    equal(mlflow.set_experiment(name).experiment_id, experiment)

# Logged models came with 3.0.
made = None
if hasattr(client, "create_logged_model"):
    with acting("owner"):
        made = client.create_logged_model(experiment, name="net", source_run_id=outer, tags={"a": "b"}).model_id
        client.finalize_logged_model(made, "READY")
        client.set_logged_model_tags(made, {"checked": "yes"})
        equal(client.get_logged_model(made).tags["checked"], "yes")

for stranger in ("reader", "guest"):
    with acting(stranger):
        with refused():
            client.get_run(outer)
        equal(list(client.search_runs([experiment])), [])
        if made:
            with refused():
                client.get_logged_model(made)
            equal(list(client.search_logged_models([experiment])), [])

grant(f"user:{mail('reader')}", "READ", "experiment", experiment)
with acting("reader"):
    equal(until(lambda: client.get_run(inner)).data.metrics["m7"], 7.0)
    equal(len(client.search_runs([experiment])), 2)
    equal(mlflow.artifacts.load_text(f"{client.get_run(inner).info.artifact_uri}/notes/a b.txt"), "words")
    if made:
        equal([found.model_id for found in client.search_logged_models([experiment])], [made])
        with refused():
            client.set_logged_model_tags(made, {"checked": "no"})
    with refused():
        client.log_metric(inner, "m7", 8.0)
print(mlflow.__version__)
