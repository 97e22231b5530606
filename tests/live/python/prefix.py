"""The client with an address that has a path: all that it does goes below the static prefix, artifacts included."""

import os

import mlflow
from mlflow import MlflowClient

from actors import acting, equal, fresh, grant, mail, refused, until

assert os.environ["MLFLOW_TRACKING_URI"].endswith("/x")
client = MlflowClient()
name = fresh("prefix")

with acting("owner"):
    experiment = mlflow.set_experiment(name).experiment_id
    with mlflow.start_run() as run:
        mlflow.log_metric("loss", 0.5)
        mlflow.log_text("below", "notes/a.txt")
    run = run.info.run_id
    client.create_registered_model(name)
    client.create_model_version(name, f"runs:/{run}/notes", run)
with acting("guest"):
    with refused():
        client.get_run(run)
    equal([found for found in client.search_experiments() if found.name == name], [])
grant(f"user:{mail('reader')}", "READ", "experiment", experiment)
with acting("reader"):
    equal(until(lambda: client.get_run(run)).data.metrics, {"loss": 0.5})
    equal([found.name for found in client.search_experiments() if found.name == name], [name])
    equal(mlflow.artifacts.load_text(f"{client.get_run(run).info.artifact_uri}/notes/a.txt"), "below")
    equal([found.path for found in client.list_artifacts(run, "notes")], ["notes/a.txt"])
    with refused():
        client.log_metric(run, "loss", 0.1)
print(f"{experiment} {run}")
