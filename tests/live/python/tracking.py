"""What the client does besides: NaN, nested runs, datasets, logged models, hidden names, tokens that prove nothing."""

import math
import os

import mlflow
import pandas
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag
from mlflow.exceptions import MlflowException
from sklearn.linear_model import LinearRegression

from actors import acting, equal, fresh, refused

client = MlflowClient()
name = fresh("tracking")

with acting("owner"):
    experiment = mlflow.set_experiment(name).experiment_id
    with mlflow.start_run(run_name="outer") as outer:
        for step, value in enumerate([float("nan"), float("inf"), float("-inf"), 1e300, -0.0]):
            mlflow.log_metric("odd", value, step=step)
        with mlflow.start_run(run_name="inner", nested=True) as inner:
            mlflow.log_param("long", "x" * 5000)
        table = pandas.DataFrame({"a": [1, 2, 3], "b": [0.5, float("nan"), 2.0]})
        mlflow.log_input(mlflow.data.from_pandas(table, name="small table"), context="training")
        mlflow.log_table({"question": ["why?"], "answer": ["\u00e4h"]}, "tables/asked.json")
        info = mlflow.sklearn.log_model(LinearRegression().fit([[0], [1]], [0, 1]), name="line")
    outer, inner = outer.info.run_id, inner.info.run_id

    values = [point.value for point in client.get_metric_history(outer, "odd")]
    equal(math.isnan(values[0]), True)
    # MLflow's stores write infinity as the largest double.
    equal([math.isinf(value) or abs(value) > 1e308 for value in values[1:3]], [True, True])
    equal(values[3:], [1e300, -0.0])
    equal(client.get_run(inner).data.tags["mlflow.parentRunId"], outer)
    equal([found.info.run_id for found in client.search_runs([experiment], f"tags.mlflow.parentRunId = '{outer}'")], [inner])
    equal([found.dataset.name for found in client.get_run(outer).inputs.dataset_inputs], ["small table"])
    equal(list(mlflow.load_table("tables/asked.json", run_ids=[outer])["answer"]), ["\u00e4h"])
    equal([found.model_id for found in mlflow.search_logged_models([experiment], output_format="list")], [info.model_id])
    equal(round(float(mlflow.pyfunc.load_model(info.model_uri).predict([[2]])[0]), 6), 2.0)
    client.log_batch(
        inner,
        metrics=[Metric(f"m{number}", number, 1, 0) for number in range(800)],
        params=[Param(f"p{number}", str(number)) for number in range(90)],
        tags=[RunTag("k", "v")],
    )
    equal(len(client.get_run(inner).data.metrics), 800)
    client.set_logged_model_tags(info.model_id, {"checked": "yes"})
    mlflow.set_experiment_tags({"team": "a"})

with acting("guest"):
    with refused():
        client.get_logged_model(info.model_id)
    equal(mlflow.search_logged_models([experiment], output_format="list"), [])
    # A hidden name: the client neither enters the experiment nor learns that it is there.
    for hidden in (name, fresh("never made")):
        with refused():
            mlflow.set_experiment(hidden)

# A hidden name is taken all the same for those who may create; the server says so, and nothing more.
with acting("trainer"):
    with refused("RESOURCE_ALREADY_EXISTS"):
        client.create_experiment(name)
    free = fresh("free")
    equal(mlflow.set_experiment(free).name, free)

# Whoever may create nothing creates nothing.
with acting("guest"), refused():
    client.create_experiment(fresh("guest"))
with acting("guest"), refused():
    client.create_registered_model(fresh("guest"))

# Tokens that prove nothing: the client says so in words, and what to do. Why, it says where the signature was good.
token = os.environ["LIVE_TOKEN_OWNER"]
head, claims, signature = token.split(".")
for wrong, words in (
    ("no-token", "the bearer token is invalid"),
    (f"{head}.{claims}.{signature[:-8]}AAAAAAAA", "the bearer token is invalid"),
    (f"{head}.{claims}.", "the bearer token is invalid"),
    (os.environ["LIVE_TOKEN_EXPIRED"], " expired at 20"),
    (os.environ["LIVE_TOKEN_FOREIGN"], "it is for `https://elsewhere.example`, not for"),
):
    os.environ["MLFLOW_TRACKING_TOKEN"] = wrong
    try:
        client.search_experiments()
    except MlflowException as refusal:
        equal(refusal.error_code, "UNAUTHENTICATED")
        told = str(refusal)
        equal(words in told and "export MLFLOW_TRACKING_TOKEN=$(trackgate token print https://" in told, True)
        print(told)
    else:
        raise AssertionError("a token that proves nothing let somebody in")
del os.environ["MLFLOW_TRACKING_TOKEN"]
try:
    client.search_experiments()
except MlflowException as refusal:
    equal(refusal.error_code, "UNAUTHENTICATED")
else:
    raise AssertionError("nobody in particular was let in")
