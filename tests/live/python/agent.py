"""A training that knows of no credential: `MLFLOW_TRACKING_URI` leads to the agent, and is all that it has.

It says how far it is, and goes on until it is told to stop. Meanwhile tokens end, and the gate is restarted.
"""

import os
import pathlib
import tempfile
import threading
import uuid

import mlflow
from mlflow import MlflowClient

LEFT = [name for name in os.environ if name.startswith(("MLFLOW_TRACKING_", "TRACKGATE_TOKEN"))]
assert LEFT == ["MLFLOW_TRACKING_URI"], LEFT

told = threading.Event()
threading.Thread(target=lambda: (input(), told.set()), daemon=True).start()

client = MlflowClient()
mlflow.set_experiment(f"agent-{uuid.uuid4().hex[:8]}")
step = 0
with mlflow.start_run() as run, tempfile.TemporaryDirectory() as folder:
    large = pathlib.Path(folder) / "checkpoint.bin"
    large.write_bytes(os.urandom(3_000_000))
    print("training", flush=True)
    while not told.is_set():
        mlflow.log_metric("loss", 1 / (step + 1), step=step)
        step += 1
        if step % 10 == 0:
            mlflow.log_artifact(str(large), f"checkpoints/{step}")
    mlflow.log_artifact(str(large))
    content = large.read_bytes()

history = client.get_metric_history(run.info.run_id, "loss")
assert sorted(point.step for point in history) == list(range(step)), (step, len(history))
back = mlflow.artifacts.download_artifacts(run_id=run.info.run_id, artifact_path="checkpoint.bin")
assert pathlib.Path(back).read_bytes() == content
assert client.get_run(run.info.run_id).info.status == "FINISHED"
print(f"{step} steps by {client.get_run(run.info.run_id).info.user_id}", flush=True)
