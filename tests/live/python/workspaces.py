"""Two workspaces on one server: what is called alike is two things, and a grant in one reaches nothing in the other."""

import os
import tempfile
from pathlib import Path

import mlflow
import requests
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException, RestException

from actors import acting, equal, mail, operator, refused, until

client = MlflowClient()
GATE = os.environ["MLFLOW_TRACKING_URI"]
CA = os.environ["MLFLOW_TRACKING_SERVER_CERT_PATH"]


def grant(workspace, subject, permission, kind, pattern):
    operator("grant", "add", subject, kind, pattern, permission, "--workspace", workspace)


def names():
    return sorted(workspace.name for workspace in mlflow.list_workspaces())


def raw(who, method, path, workspace=None, **more):
    headers = {"Authorization": "Bearer " + os.environ[f"LIVE_TOKEN_{who.upper()}"]}
    if workspace is not None:
        headers["X-MLFLOW-WORKSPACE"] = workspace
    return requests.request(method, GATE + path, headers=headers, verify=CA, timeout=60, **more)


# --- who makes workspaces, and who sees which ---

with acting("owner"):
    with refused():
        mlflow.create_workspace("team-a")
with acting("admin"):
    for name in ("team-a", "team-b"):
        mlflow.create_workspace(name, description=f"of {name}")
    equal(names(), ["default", "team-a", "team-b"])

grant("team-a", f"user:{mail('owner')}", "USE", "workspace", "*")
grant("team-b", f"user:{mail('trainer')}", "MANAGE", "workspace", "*")
with acting("owner"):
    # The stage gave USE in `default` to owner and trainer.
    until(lambda: equal(names(), ["default", "team-a"]))
    equal(mlflow.get_workspace("team-a").description, "of team-a")
    for hidden in ("team-b", "team-z"):
        with refused("RESOURCE_DOES_NOT_EXIST"):
            mlflow.get_workspace(hidden)
with acting("guest"):
    equal(names(), [])

# --- the same names, in both ---

made, traces = {}, {}
for workspace, who in (("team-a", "owner"), ("team-b", "trainer"), ("default", "owner")):
    with acting(who):
        mlflow.set_workspace(workspace)
        until(lambda: client.search_experiments())
        experiment = client.create_experiment("shared name")
        run = client.create_run(experiment).info.run_id
        client.log_metric(run, "m", 1.0)
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, "who.txt")
            file.write_text(workspace)
            client.log_artifact(run, str(file))
            equal(Path(client.download_artifacts(run, "who.txt", folder)).read_text(), workspace)
        client.create_registered_model("iris", description=workspace)
        client.create_model_version("iris", f"runs:/{run}/x", run)
        mlflow.set_experiment(experiment_id=experiment)
        with mlflow.start_span(f"span of {workspace}"):
            pass
        mlflow.flush_trace_async_logging()
        made[workspace] = (experiment, run)

for workspace, who in (("team-a", "owner"), ("team-b", "trainer")):
    with acting(who):
        mlflow.set_workspace(workspace)
        experiment, run = made[workspace]
        equal(client.get_experiment_by_name("shared name").experiment_id, experiment)
        equal(client.get_registered_model("iris").description, workspace)
        equal([one.info.run_id for one in client.search_runs([experiment])], [run])
        equal([one.description for one in client.search_registered_models()], [workspace])
        (trace,) = client.search_traces(locations=[experiment])
        equal([span.name for span in trace.data.spans], [f"span of {workspace}"])
        traces[workspace] = trace.info.trace_id
        found = {one.experiment_id for one in client.search_experiments()}
        assert experiment in found and not found & {made[other][0] for other in made if other != workspace}, found

# --- a grant in one reaches nothing in the other ---

# The widest grants there are, in team-b; the objects lie in team-a.
for kind in ("experiment", "run", "registered_model", "registered_model_version", "trace", "logged_model"):
    grant("team-b", f"user:{mail('reader')}", "MANAGE", kind, "*")
grant("team-b", f"user:{mail('reader')}", "MANAGE", "workspace", "*")
experiment, run = made["team-a"]
with acting("reader"):
    mlflow.set_workspace("team-b")
    until(lambda: equal(client.get_registered_model("iris").description, "team-b"))
    equal(client.get_run(made["team-b"][1]).info.run_id, made["team-b"][1])
    for look in (
        lambda: client.get_run(run),
        lambda: client.get_experiment(experiment),
        lambda: client.log_metric(run, "m", 2.0),
        lambda: client.set_tag(run, "k", "v"),
        lambda: client.delete_run(run),
        lambda: client.delete_experiment(experiment),
        lambda: client.set_experiment_tag(experiment, "k", "v"),
        lambda: client.create_run(experiment),
        lambda: client.list_artifacts(run),
        lambda: client.get_trace(traces["team-a"]),
        lambda: client.set_trace_tag(traces["team-a"], "k", "v"),
        lambda: client.create_model_version("iris", f"runs:/{run}/x", run),
    ):
        try:
            found = look()
        except (RestException, MlflowException):
            pass
        else:
            raise AssertionError(f"reached into team-a: {found}")
    equal(client.search_runs([experiment]), [])
    equal(client.get_registered_model("iris").description, "team-b")
    # In team-a itself the reader has no business at all.
    mlflow.set_workspace("team-a")
    for look in (lambda: client.get_run(run), lambda: client.search_experiments(), lambda: client.search_registered_models()):
        with refused("RESOURCE_DOES_NOT_EXIST"):
            look()

# Artifact paths, by hand: MLflow puts the workspace in front, whatever the path says.
below = "/api/2.0/mlflow-artifacts/artifacts/"
path = f"{experiment}/{run}/artifacts/who.txt"
equal(raw("owner", "GET", below + path, "team-a").text, "team-a")
equal(raw("owner", "GET", f"{below}workspaces/team-a/{path}", "team-a").text, "team-a")
for workspace, other in (("team-b", path), ("team-b", f"workspaces/team-a/{path}"), ("team-b", f"workspaces/default/{path}")):
    answer = raw("reader", "GET", below + other, workspace)
    assert answer.status_code in (403, 404), (answer.status_code, answer.text)
mine, of_mine = made["default"]
equal(raw("owner", "GET", f"{below}workspaces/default/{mine}/{of_mine}/artifacts/who.txt").text, "default")

# Hidden and absent are told alike; the header has one spelling.
for call in (f"/api/2.0/mlflow/runs/get?run_id={run}", "/ajax-api/2.0/mlflow/experiments/search?max_results=5", "/version"):
    hidden, absent = (raw("guest", "GET", call, workspace) for workspace in ("team-a", "team-z"))
    equal((hidden.status_code, hidden.json()["message"].replace("team-a", "team-z")), (absent.status_code, absent.json()["message"]))
    equal(raw("admin", "GET", call, "team-z").json()["message"], absent.json()["message"])
for odd in ("Team-A", "team_a", "team-a,team-b", "a"):
    equal(raw("owner", "GET", f"/api/2.0/mlflow/runs/get?run_id={run}", odd).status_code, 400)

# What the pages of the UI ask first works for somebody who belongs to one workspace only.
equal(raw("reader", "GET", "/").status_code, 200)
info = raw("reader", "GET", "/ajax-api/3.0/mlflow/server-info", "team-z")
equal((info.status_code, info.json()["workspaces_enabled"]), (200, True))
rows = raw("reader", "GET", "/ajax-api/3.0/mlflow/workspaces", "").json()["workspaces"]
equal([row["name"] for row in rows], ["team-b"])

# --- the end of a workspace is the end of its grants ---

with acting("admin"):
    mlflow.set_workspace(None)
    mlflow.delete_workspace("team-b", mode="CASCADE")
    equal(names(), ["default", "team-a"])
assert "team-b" not in operator("grant", "list"), "grants outlived their workspace"
with acting("reader"):
    equal(names(), [])
