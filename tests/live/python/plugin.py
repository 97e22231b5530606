"""The package clients/python before MLflow's own client: tokens that end in the middle of a run, and tokens that are revoked."""

import json
import multiprocessing
import os
import pathlib
import subprocess
import sys
import tempfile
import time
import urllib.request
import warnings
from concurrent.futures import ThreadPoolExecutor

# Nothing but the environment may be needed: this import is for the questions at the end.
import mlflow
from actors import equal, fresh, grant, mail, rest, until
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

import trackgate_mlflow

METADATA = os.environ["GCE_METADATA_HOST"]
client = MlflowClient()


def told(path):
    with urllib.request.urlopen(f"http://{METADATA}/{path}") as answer:
        return answer.read().decode()


def tell(path):
    try:
        told(path)
    except urllib.error.HTTPError as refusal:
        # The look-alike answers as the real one to whoever does not ask as it wants: it has heard it all the same.
        equal(refusal.code, 403)


def asked():
    return int(told("asked"))


def begin(**environment):
    """Another source from now on."""
    for name in ("TRACKGATE_CREDENTIAL", "TRACKGATE_TOKEN", "TRACKGATE_TOKEN_FILE"):
        os.environ.pop(name, None)
    os.environ.update(environment)
    trackgate_mlflow.TrackgateRequestAuthProvider().get_auth().forget()


def refusal(call):
    try:
        call()
    except Exception as fault:
        return str(fault)
    raise AssertionError("was not refused")


# A service account's tokens, by the metadata server; nothing is named, so the order of sources is tried too.
begin()
equal(trackgate_mlflow.whoami()["user"], mail("trainer"))
equal(asked(), 1)

# A whole training over tokens that live two seconds: several of them end in it.
begin()
tell("life/2")
before = asked()
experiment = client.create_experiment(fresh("plugin"))
mlflow.set_experiment(experiment_id=experiment)
step = 0
with tempfile.TemporaryDirectory() as folder, mlflow.start_run() as run:
    note = pathlib.Path(folder) / "note.txt"
    end = time.monotonic() + 60
    while asked() < before + 4:
        assert time.monotonic() < end, "no token ended in a minute"
        mlflow.log_metric("loss", 1 / (step + 1), step=step)
        step += 1
        note.write_text(f"step {step}")
        mlflow.log_artifact(str(note))
        time.sleep(0.05)
found = client.get_run(run.info.run_id)
equal((found.info.status, found.info.user_id), ("FINISHED", mail("trainer")))
equal(len(client.get_metric_history(run.info.run_id, "loss")), step)
tell("life/3600")

# A token that is over when it comes is refused once, and the call goes through with the next: an upload as well.
with tempfile.TemporaryDirectory() as folder:
    big = pathlib.Path(folder) / "model.bin"
    big.write_bytes(os.urandom(3_000_000))
    begin()
    tell("expired/1")
    before = asked()
    client.log_artifact(run.info.run_id, str(big))
    equal(asked(), before + 2)
    begin()
    tell("expired/1")
    there = mlflow.artifacts.download_artifacts(run_id=run.info.run_id, artifact_path="model.bin", dst_path=folder + "/back")
    equal(pathlib.Path(there).read_bytes(), big.read_bytes())
begin()
tell("expired/1")
equal(client.get_experiment(experiment).experiment_id, experiment)

# Where every token is refused, the words say what to do.
begin()
tell("expired/9")
said = refusal(lambda: client.get_experiment(experiment))
equal("expired at 20" in said or "UNAUTHENTICATED" in said, True)
equal("the metadata server" in said and "TRACKGATE_AUDIENCE" in said, True)
tell("expired/0")

# Threads, a forked process and one of its own (as Spark's workers are) all have tokens.
begin()
before = asked()
with ThreadPoolExecutor(8) as pool:
    list(pool.map(lambda n: client.log_metric(run.info.run_id, "threads", n, step=n), range(24)))
equal(asked(), before + 1)


def fork():
    client.log_metric(run.info.run_id, "forked", 1)


with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    forked = multiprocessing.get_context("fork").Process(target=fork)
    forked.start()
forked.join(60)
equal(forked.exitcode, 0)
script = f"import mlflow; mlflow.MlflowClient().log_metric({run.info.run_id!r}, 'spawned', 1)"
subprocess.run([sys.executable, "-c", script], check=True, timeout=120)
metrics = client.get_run(run.info.run_id).data.metrics
equal((metrics["forked"], metrics["spawned"], "threads" in metrics), (1, 1, True))


# Traces have them too (`RestStore.log_spans` goes through the same function).
@mlflow.trace
def traced():
    return 1


traced()
if hasattr(mlflow, "flush_trace_async_logging"):
    mlflow.flush_trace_async_logging()
equal(len(client.search_traces(experiment_ids=[experiment])), 1)

# No token goes to another host, even with the same client.
begin(TRACKGATE_TOKEN="tgp_never-sent")
from http.server import BaseHTTPRequestHandler, HTTPServer  # noqa: E402
from threading import Thread  # noqa: E402

heard = []


class Elsewhere(BaseHTTPRequestHandler):
    def do_GET(self):
        heard.append(self.headers.get("Authorization"))
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    do_POST = do_GET

    def log_message(self, *_):
        pass


elsewhere = HTTPServer(("127.0.0.1", 0), Elsewhere)
Thread(target=elsewhere.serve_forever, daemon=True).start()
MlflowClient(tracking_uri=f"http://127.0.0.1:{elsewhere.server_port}").search_experiments(max_results=1)
equal(set(heard), {None})

# A token of our own, until it is revoked; then the words say what to do, for calls and for artifacts.
grant(f"user:{mail('owner')}", "EDIT", "experiment", experiment)
made = rest("owner", "POST", "/trackgate/api/tokens", json={"name": "plugin"}).json()
with tempfile.TemporaryDirectory() as folder:
    file = pathlib.Path(folder) / "token"
    file.write_text(made["token"] + "\n")
    for source in ({"TRACKGATE_TOKEN": made["token"]}, {"TRACKGATE_TOKEN_FILE": str(file)}):
        begin(**source)
        equal(until(lambda: client.get_experiment(experiment)).experiment_id, experiment)
    equal(rest("owner", "DELETE", f"/trackgate/api/tokens/{made['id']}").status_code, 200)
    said = refusal(lambda: client.get_experiment(experiment))
    for word in (made["id"], "was revoked at", "/trackgate/tokens", f"[trackgate-mlflow: the token came from TRACKGATE_TOKEN_FILE ({file})"):
        equal((word, word in said), (word, True))
    said = refusal(lambda: client.log_artifact(run.info.run_id, str(file)))
    for word in ("was revoked at", "it is read again at each call"):
        equal((word, word in said), (word, True))
    # Another one in the file, and the program goes on.
    file.write_text(rest("owner", "POST", "/trackgate/api/tokens", json={"name": "plugin"}).json()["token"])
    equal(client.get_experiment(experiment).experiment_id, experiment)
    begin(TRACKGATE_TOKEN=made["token"])
    said = refusal(lambda: client.get_experiment(experiment))
    equal("set it as TRACKGATE_TOKEN, and start the program again" in said, True)
    print(said)

# Nothing anywhere: said before anything is asked of the server.
begin(NO_GCE_CHECK="true")
said = refusal(lambda: client.get_experiment(experiment))
for word in ("there is no token for", "trackgate login", "trackgate_mlflow.login()"):
    equal((word, word in said), (word, True))
del os.environ["NO_GCE_CHECK"]
assert isinstance(json.loads("{}"), dict) and issubclass(MlflowException, Exception)
print(f"all of it with MLflow {mlflow.__version__}")
