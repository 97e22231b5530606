"""A script that sends more than it may: each call is done in the end, and the client needs no help for it.

`MLFLOW_HTTP_REQUEST_MAX_RETRIES` is the client's own (7), not that of the other scripts.
"""

import concurrent.futures
import uuid

import mlflow
from mlflow import MlflowClient

client = MlflowClient()
experiment = client.create_experiment(f"hasty-{uuid.uuid4().hex[:8]}")
run = client.create_run(experiment)
with concurrent.futures.ThreadPoolExecutor(6) as threads:
    list(threads.map(lambda step: client.log_metric(run.info.run_id, "loss", 1.0, step=step), range(12)))
mlflow.flush_async_logging()
history = client.get_metric_history(run.info.run_id, "loss")
assert sorted(point.step for point in history) == list(range(12)), history
print("done")
