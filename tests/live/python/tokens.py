"""Tokens of Trackgate's own in MLflow's client: as MLFLOW_TRACKING_TOKEN and as a password, narrowed, revoked, expired."""

import contextlib
import os
import tempfile
import pathlib

import mlflow
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from actors import acting, denied, equal, fresh, grant, mail, operator, refused, rest, until

client = MlflowClient()
NAMES = ("MLFLOW_TRACKING_TOKEN", "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD")


@contextlib.contextmanager
def showing(**credential):
    """With this credential in the environment and no other."""
    before = {name: os.environ.pop(name) for name in NAMES if name in os.environ}
    os.environ.update(credential)
    try:
        yield
    finally:
        for name in credential:
            del os.environ[name]
        os.environ.update(before)


def told(code="UNAUTHENTICATED"):
    """What the client says of a credential that is refused."""
    try:
        client.search_experiments(max_results=1)
    except MlflowException as refusal:
        equal(refusal.error_code, code)
        return str(refusal)
    raise AssertionError("was not refused")


with acting("owner"):
    experiment = client.create_experiment(fresh("tokens"))
    other = client.create_experiment(fresh("tokens"))

made = rest("owner", "POST", "/trackgate/api/tokens", json={"name": "live training"})
equal(made.status_code, 200)
token, number = made.json()["token"], made.json()["id"]

# A whole training, by each way in which the client can send it.
for credential in (
    {"MLFLOW_TRACKING_TOKEN": token},
    {"MLFLOW_TRACKING_USERNAME": "token", "MLFLOW_TRACKING_PASSWORD": token},
):
    with showing(**credential), tempfile.TemporaryDirectory() as folder:
        mlflow.set_experiment(experiment_id=experiment)
        with mlflow.start_run() as run:
            mlflow.log_param("a", 1)
            mlflow.log_metric("loss", 0.5)
            file = pathlib.Path(folder) / "note.txt"
            file.write_text("by a token")
            mlflow.log_artifact(str(file))
        found = client.get_run(run.info.run_id)
        equal((found.data.params, found.info.user_id), ({"a": "1"}, mail("owner")))
        equal(pathlib.Path(mlflow.artifacts.download_artifacts(run_id=run.info.run_id, artifact_path="note.txt")).read_text(), "by a token")

# One for less: it reads one experiment, and nothing else is there for it.
narrow = rest(
    "owner", "POST", "/trackgate/api/tokens", json={"name": "reader", "most": "READ", "scopes": [f"experiment:{experiment}"]}
).json()
with showing(MLFLOW_TRACKING_TOKEN=narrow["token"]):
    equal(client.get_experiment(experiment).experiment_id, experiment)
    equal([found.experiment_id for found in client.search_experiments()], [experiment])
    equal({found.info.run_id for found in client.search_runs([experiment])} > set(), True)
    with refused():
        client.get_experiment(other)
    with refused():
        client.create_run(experiment)
    with refused():
        client.create_experiment(fresh("tokens"))

# A token makes no other.
with showing(MLFLOW_TRACKING_TOKEN=token):
    import requests

    more = requests.post(
        os.environ["MLFLOW_TRACKING_URI"] + "/trackgate/api/tokens",
        headers={"Authorization": f"Bearer {token}"},
        json={"name": "another"},
        verify=os.environ["MLFLOW_TRACKING_SERVER_CERT_PATH"],
        timeout=60,
    )
    denied(more)

# A service account.
robot = fresh("svc:live")
operator("account", "add", robot, "--owner", f"user:{mail('owner')}")
grant(f"user:{robot}", "EDIT", "experiment", experiment)
service = operator("token", "create", "--user", robot, "--name", "nightly").strip()
equal(service[:4], "tgs_")


def log():
    with showing(MLFLOW_TRACKING_TOKEN=service):
        run = client.create_run(experiment)
        client.log_metric(run.info.run_id, "m", 1)
        equal(client.get_run(run.info.run_id).info.user_id, robot)


until(log)

# Revoked: from the next call on, and the client says what to do.
equal(rest("owner", "DELETE", f"/trackgate/api/tokens/{number}").status_code, 200)
for credential in ({"MLFLOW_TRACKING_TOKEN": token}, {"MLFLOW_TRACKING_USERNAME": "x", "MLFLOW_TRACKING_PASSWORD": token}):
    with showing(**credential):
        said = told()
        equal(all(word in said for word in (number, "was revoked at", "/trackgate/tokens", "MLFLOW_TRACKING_TOKEN")), True)
        print(said)
with showing(MLFLOW_TRACKING_USERNAME=mail("owner"), MLFLOW_TRACKING_PASSWORD="hunter2"):
    said = told()
    equal("no passwords here" in said and "/trackgate/tokens" in said, True)
    print(said)
with showing(MLFLOW_TRACKING_TOKEN="tgp_" + token[4:40]):
    said = told()
    equal("cut off or mistyped" in said, True)
    print(said)

# Expired: it says when.
short = operator("token", "create", "--user", mail("owner"), "--name", "short", "--expires", "1s").strip()


def expired():
    with showing(MLFLOW_TRACKING_TOKEN=short):
        try:
            client.search_experiments(max_results=1)
        except MlflowException as refusal:
            said = str(refusal)
            if "expired at 20" in said and "/trackgate/tokens" in said:
                print(said)
                return
            raise
        raise AssertionError("not yet")


until(expired)
