"""The clients of deploy/check/move.

  move_clients.py before FILE     those of the open server fill it, and write down what there is
  move_clients.py objects         the bucket is copied
  move_clients.py sees NAME...    somebody who comes through Trackgate sees these experiments, and no others
  move_clients.py after FILE      the same looks for all that there was, and works on
"""

import json
import pathlib
import sys
import tempfile
import time

import mlflow
import numpy
import pandas
from mlflow import MlflowClient
from mlflow.genai import datasets, scorers
from sklearn.linear_model import LogisticRegression

ROWS = [[0.0], [1.0], [2.0], [3.0]]
OLD = "gs://old-bucket/mlruns/"


def classifier():
    return LogisticRegression().fit(ROWS, [0, 0, 1, 1])


def bucket(name):
    from google.auth.credentials import AnonymousCredentials
    from google.cloud import storage

    return storage.Client(project="demo", credentials=AnonymousCredentials()).bucket(name)


def a_trace():
    with mlflow.start_span("question") as span, mlflow.start_span("lookup") as inner:
        inner.set_outputs({"answer": "because"})
    mlflow.flush_trace_async_logging()
    return span.trace_id


def a_trace_in_the_bucket(client, like):
    """As clients write it whose server keeps no spans: MLflow 3.17.2, tracing/export/mlflow_v3.py, `_log_trace`."""
    trace = client.get_trace(like)
    trace.info.trace_id, trace.info.tags = "tr-" + "a1" * 16, {}
    client._tracing_client._upload_trace_data(client._tracing_client.start_trace(trace.info), trace.data)
    return trace.info.trace_id


def before(known):
    client = MlflowClient()
    bucket("team-bucket").create()
    mlflow.create_experiment("elsewhere", artifact_location="gs://team-bucket/elsewhere")
    for name in ("elsewhere", "churn"):
        mlflow.set_experiment(name)
        with mlflow.start_run():
            mlflow.log_text("as it was", "notes/what.txt")
    with mlflow.start_run() as run, tempfile.TemporaryDirectory() as folder:
        mlflow.log_text("as it was", "notes/what.txt")
        mlflow.log_table({"answer": ["because"]}, "table.json")
        mlflow.log_input(mlflow.data.from_pandas(pandas.DataFrame({"x": [1]}), source=OLD + "data.csv"))
        model = mlflow.sklearn.log_model(classifier(), name="classifier", registered_model_name="churn", input_example=numpy.array(ROWS))
        # As MLflow 2 did it: files below the run, and a version that names them.
        mlflow.sklearn.save_model(classifier(), f"{folder}/model")
        mlflow.log_artifacts(f"{folder}/model", "model")
        client.create_model_version("churn", f"{run.info.artifact_uri}/model", run.info.run_id)
    experiment = run.info.experiment_id
    assert run.info.artifact_uri.startswith(OLD), run.info.artifact_uri
    mlflow.genai.register_prompt("greeting", "Hello {{name}}")
    scorers.Guidelines(name="kind", guidelines="Be kind", model="openai:/gpt-4o").register(experiment_id=experiment)
    datasets.create_dataset("questions", experiment_id=[experiment]).merge_records([{"inputs": {"question": "why?"}}])
    trace = a_trace()
    traces = [trace, a_trace_in_the_bucket(client, trace)]
    pathlib.Path(known).write_text(json.dumps({"run": run.info.run_id, "model": model.model_id, "traces": traces, "experiment": experiment}))


def objects():
    old, new = bucket("old-bucket"), bucket("new-bucket")
    new.create()
    for count, blob in enumerate(old.list_blobs(prefix="mlruns/"), 1):
        new.blob(blob.name).upload_from_string(blob.download_as_bytes())
        blob.delete()  # nobody finds anything there by mistake
    print(f"{count} objects")


def sees(*names):
    end = time.monotonic() + 10
    while (seen := {found.name for found in mlflow.search_experiments()}) != set(names):
        assert time.monotonic() < end, seen
        time.sleep(0.2)


def after(known):
    # Whatever would go to a bucket fails.
    sys.modules["google.cloud.storage"] = None
    sees("Default", "elsewhere", "churn")
    known = json.loads(pathlib.Path(known).read_text())
    client, run = MlflowClient(), known["run"]
    mlflow.set_experiment("churn")
    runs = client.search_runs([known["experiment"]])
    assert len(runs) == 2
    for found in runs:
        assert found.info.artifact_uri.startswith("mlflow-artifacts:/"), found.info.artifact_uri
        assert mlflow.artifacts.load_text(f"runs:/{found.info.run_id}/notes/what.txt") == "as it was"
    assert client.get_experiment_by_name("elsewhere").artifact_location == "gs://team-bucket/elsewhere"
    assert len(mlflow.models.Model.load("models:/churn/1").load_input_example("models:/churn/1")) == len(ROWS)
    assert list(mlflow.load_table("table.json", run_ids=[run])["answer"]) == ["because"]
    for trace in known["traces"]:
        assert [span.name for span in client.get_trace(trace).data.spans] == ["question", "lookup"], trace
    traces = mlflow.search_traces(locations=[known["experiment"]], return_type="list")
    assert {trace.info.trace_id for trace in traces} == set(known["traces"]) and all(trace.data.spans for trace in traces)
    assert mlflow.genai.load_prompt("prompts:/greeting/1").template == "Hello {{name}}"
    assert [scorer.name for scorer in scorers.list_scorers(experiment_id=known["experiment"])] == ["kind"]
    (dataset,) = datasets.search_datasets(experiment_ids=[known["experiment"]])
    assert len(dataset.to_df()) == 1
    models = client.search_logged_models([known["experiment"]])
    said = repr([[run.to_dictionary() for run in runs], [vars(model) for model in models], [vars(trace.info) for trace in traces]])
    assert said.count(OLD) == said.count(OLD + "data.csv") == 1, said

    with mlflow.start_run(run_id=run):
        mlflow.log_text("added", "notes/later.txt")
    with mlflow.start_run() as fresh:
        mlflow.log_text("new", "notes/what.txt")
        mlflow.sklearn.log_model(classifier(), name="classifier", registered_model_name="churn")
    assert mlflow.artifacts.load_text(f"runs:/{fresh.info.run_id}/notes/what.txt") == "new"
    mlflow.register_model(f"runs:/{run}/model", "churn")
    mlflow.register_model(f"models:/{known['model']}", "churn")
    places = [f"models:/{known['model']}", f"runs:/{run}/model", *(f"models:/churn/{version}" for version in range(1, 6))]
    for place in places:
        assert list(mlflow.sklearn.load_model(place).predict(ROWS)) == [0, 0, 1, 1], place
    assert len(client.get_trace(a_trace()).data.spans) == 2
    mlflow.create_experiment("begun later")
    print(f"{len(runs)} runs, {len(traces)} traces, {len(places)} models that load")


if __name__ == "__main__":
    {"before": before, "objects": objects, "sees": sees, "after": after}[sys.argv[1]](*sys.argv[2:])
