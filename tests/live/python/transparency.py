"""The same calls, direct and through the gate as an administrator: status, JSON and the headers that clients read."""

import hashlib
import json
import math
import os
import re
import tempfile
import time
from pathlib import Path
from urllib.parse import quote

import requests
from mlflow import MlflowClient

from actors import acting, equal, fresh

GATE, DIRECT = os.environ["MLFLOW_TRACKING_URI"], os.environ["LIVE_DIRECT"]
READ_BY_CLIENTS = (
    "content-type", "content-disposition", "content-length", "content-range", "content-encoding", "accept-ranges",
    "etag", "last-modified", "retry-after", "location", "allow", "x-content-type-options", "www-authenticate",
)
# fmt: off
ODD = "\u00dcberpr\u00fcfung \u6a21\u578b \U0001f3af a/b?c#d&e=f+g%20h;'\"\\"
# fmt: on

gate, direct = requests.Session(), requests.Session()
# Neither proxies, netrc nor certificates of the environment: the two ways differ in nothing but the gate.
gate.trust_env = direct.trust_env = False
gate.verify = os.environ["MLFLOW_TRACKING_SERVER_CERT_PATH"]
gate.headers["Authorization"] = "Bearer " + os.environ["LIVE_TOKEN_ADMIN"]
differences = []


def send(where, method, path, **more):
    session, url = (gate, GATE) if where == "gate" else (direct, DIRECT)
    return session.request(method, url + path, timeout=60, allow_redirects=False, **more)


def told(answer):
    """What a client reads of an answer."""
    return answer.status_code, {name: answer.headers.get(name) for name in READ_BY_CLIENTS}, answer.content


def note(what, one, other):
    if one != other:
        differences.append(f"{what}\n  direct  {one!r}\n  gate    {other!r}"[:1500])


def same(method, path, **more):
    """The same call both ways, of something that it does not change: the same answer, byte for byte."""
    one, other = (told(send(where, method, path, **more)) for where in ("direct", "gate"))
    note(f"{method} {path} {str(more)[:200]}", one, other)
    return one


# Ids, times and names that the two ways cannot share.
OWN = re.compile(rb"[0-9a-f]{32}|\b1[0-9]{12}\b|twin-[a-z]+-[0-9a-f]{8}|\"(experiment_id|version)\": ?\"\d+\"|artifacts?:/\d+/")


def alike(what, ask):
    """A call that changes something, on a thing of each way's own: answers alike but for ids and times."""
    answers = {}
    for where in ("direct", "gate"):
        answer = ask(where)
        status, headers, body = told(answer)
        headers["content-length"] = None
        answers[where] = (status, headers, OWN.sub(b"~", body))
    note(what, answers["direct"], answers["gate"])
    return answers["gate"][0]


def post(where, path, body, **more):
    data = body if isinstance(body, (str, bytes)) else json.dumps(body)
    return send(where, "POST", path, data=data, headers={"Content-Type": "application/json"} | more)


API = "/api/2.0/mlflow"
things = {}
for where in ("direct", "gate"):
    made = post(where, f"{API}/experiments/create", {"name": f"{ODD} {fresh('twin-experiment')}"})
    experiment = made.json()["experiment_id"]
    run = post(where, f"{API}/runs/create", {"experiment_id": experiment, "run_name": ODD}).json()["run"]["info"]["run_id"]
    things[where] = (experiment, run)
experiment, run = things["gate"]

# --- numbers that are none ---

NOT_FINITE = {"nan": "NaN", "inf": "Infinity", "minus": "-Infinity", "large": "1e400", "zero": "-0.0", "tiny": "5e-324"}
for key, word in NOT_FINITE.items():
    for spelling in (word, f'"{word}"'):
        def log(where, spelling=spelling, key=key):
            text = f'{{"run_id":"{things[where][1]}","key":"{key}","value":{spelling},"timestamp":1,"step":0}}'
            return post(where, f"{API}/runs/log-metric", text)
        alike(f"log-metric {spelling}", log)
batch = ",".join(f'{{"key":"b-{key}","value":{word},"timestamp":2,"step":1}}' for key, word in NOT_FINITE.items())
alike("log-batch", lambda where: post(where, f"{API}/runs/log-batch", f'{{"run_id":"{things[where][1]}","metrics":[{batch}]}}'))
with acting("admin"):
    client = MlflowClient()
    for key, value in (("c-nan", math.nan), ("c-inf", math.inf), ("c-minus", -math.inf)):
        client.log_metric(run, key, value)
        (back,) = client.get_metric_history(run, key)
        assert math.isnan(back.value) if math.isnan(value) else back.value in (value, math.copysign(1.7976931348623157e308, value)), back
for key in (*NOT_FINITE, "b-nan", "c-nan", "c-inf", "c-minus"):
    same("GET", f"{API}/metrics/get-history?run_id={run}&metric_key={key}")
same("GET", f"{API}/runs/get?run_id={run}")
same("GET", f"{API}/runs/get?run_uuid={run}&run_id={run}")

# --- names of all kinds ---

alike("set-tag", lambda where: post(where, f"{API}/runs/set-tag", {"run_id": things[where][1], "key": "k \u00e4/\u6a21.x-1", "value": ODD * 50}))
alike("log-parameter", lambda where: post(where, f"{API}/runs/log-parameter", {"run_id": things[where][1], "key": "p \u00f6", "value": "\n\t\u2028" + ODD}))
alike("set-experiment-tag", lambda where: post(where, f"{API}/experiments/set-experiment-tag", {"experiment_id": things[where][0], "key": "t", "value": ODD}))
model = f"Modell f\u00fcr \u00d6l \u6a21\u578b \U0001f3af {fresh('m')}"
for where in ("gate",):
    equal(post(where, f"{API}/registered-models/create", {"name": model, "description": ODD}).status_code, 200)
    equal(post(where, f"{API}/model-versions/create", {"name": model, "source": f"runs:/{run}/x", "run_id": run}).status_code, 200)
named = quote(model, safe="")
same("GET", f"{API}/registered-models/get?name={named}")
same("GET", f"{API}/model-versions/get?name={named}&version=1")
same("GET", f"{API}/model-versions/search?filter={quote(f'''name = '{model}' ''', safe='')}")
name = send("direct", "GET", f"{API}/experiments/get?experiment_id={experiment}").json()["experiment"]["name"]
same("GET", f"{API}/experiments/get-by-name?experiment_name={quote(name, safe='')}")
same("GET", f"{API}/experiments/get?experiment_id={experiment}")
same("GET", f"{API}/experiments/search?max_results=1000&filter={quote('tags.t LIKE ' + chr(39) + '%' + chr(39), safe='')}")
same("POST", f"{API}/runs/search", json={"experiment_ids": [experiment], "max_results": 5})
same("POST", f"{API}/runs/search", json={"experiment_ids": [experiment], "filter": "metrics.nan > 0"})
same("POST", f"{API}/experiments/search", json={"max_results": 2})

# --- what goes wrong, goes wrong alike ---

nowhere = "f" * 32
for method, path, body in (
    ("GET", f"{API}/runs/get?run_id={nowhere}", None),
    ("GET", f"{API}/experiments/get?experiment_id=987654321", None),
    ("GET", f"{API}/experiments/get-by-name?experiment_name=nobody", None),
    ("GET", f"{API}/registered-models/get?name=nobody", None),
    ("GET", f"{API}/model-versions/get?name=nobody&version=1", None),
    ("GET", f"{API}/artifacts/list?run_id={nowhere}", None),
    ("GET", f"/get-artifact?run_id={run}&path=nothing.txt", None),
    ("GET", f"/api/2.0/mlflow-artifacts/artifacts/{experiment}/{run}/artifacts/nothing.txt", None),
    ("GET", f"{API}/experiments/search?max_results=0", None),
    ("GET", f"{API}/experiments/search?max_results=5&filter=nonsense", None),
    ("GET", f"{API}/experiments/search?max_results=5&page_token=nonsense", None),
    ("POST", f"{API}/runs/search", {"experiment_ids": [experiment], "filter": "metrics.a = 'text'"}),
    ("POST", f"{API}/runs/log-metric", {"run_id": nowhere, "key": "a", "value": 1.0, "timestamp": 1}),
    ("POST", f"{API}/runs/log-metric", {"run_id": run, "key": "a", "value": "text", "timestamp": 1}),
    ("POST", f"{API}/runs/log-metric", {"run_id": run, "key": "a"}),
    ("POST", f"{API}/runs/log-parameter", {"run_id": run, "key": "p \u00f6", "value": "another"}),
    ("POST", f"{API}/registered-models/create", {"name": model}),
    ("POST", f"{API}/registered-models/create", {"name": ""}),
):
    if body is None:
        same(method, path)
    else:
        same(method, path, json=body)

# MLflow's message holds the time.
alike("an experiment that is there", lambda where: post(where, f"{API}/experiments/create", {"name": name}))

# --- files ---

below = f"/api/2.0/mlflow-artifacts/artifacts/{experiment}/{run}/artifacts/"
FILES = {"empty.bin": b"", "empty.txt": b"", "a.json": b'{"a": 1}', "page.html": b"<b>", quote("\u00fc \u6a21.txt"): b"text", "data": b"\0\1"}
for file, contents in FILES.items():
    alike(f"PUT {file}", lambda where: send(where, "PUT", f"/api/2.0/mlflow-artifacts/artifacts/{things[where][0]}/{things[where][1]}/artifacts/{file}", data=contents))
    for method in ("GET", "HEAD"):
        same(method, below + file)
        same(method, f"/get-artifact?run_id={run}&path={file}")
    same("GET", below + file, headers={"Range": "bytes=0-1"})
    equal(send("gate", "GET", below + file).content, contents)
same("GET", f"{API}/artifacts/list?run_id={run}")

# --- the pages ---

(_, _, page) = same("GET", "/")
asset = re.search(rb"static-files/[^\"]+\.js", page).group().decode()
(_, headers, _) = same("GET", f"/{asset}")
same("HEAD", f"/{asset}")
same("GET", f"/{asset}", headers={"If-None-Match": headers["etag"] or "x"})
same("GET", f"/{asset}", headers={"Range": "bytes=5-99"})
for path in ("/version", "/health", "/ajax-api/3.0/mlflow/server-info", f"/ajax-api/2.0/mlflow/runs/get?run_id={run}"):
    same("GET", path)

assert not differences, "\n".join([f"{len(differences)} differences:", *differences])

# --- 1 GiB, both ways ---

BLOCK, TIMES = os.urandom(1024 * 1024), 1024


class Large:
    """A file of 1 GiB that needs no gigabyte; like a file, it says how long it is, so that it is sent with its length."""

    def __init__(self):
        self.left, self.digest = TIMES, hashlib.sha256()

    def __len__(self):
        return TIMES * len(BLOCK)

    def read(self, size=-1):
        if not self.left:
            return b""
        self.left -= 1
        self.digest.update(BLOCK)
        return BLOCK


begun = time.monotonic()
large = Large()
up = send("gate", "PUT", below + "large.bin", data=large)
equal(up.status_code, 200)
went = time.monotonic() - begun
came, length = hashlib.sha256(), 0
with send("gate", "GET", below + "large.bin", stream=True) as down:
    equal(down.headers["content-length"], str(TIMES * len(BLOCK)))
    for chunk in down.iter_content(1024 * 1024):
        came.update(chunk)
        length += len(chunk)
equal((came.hexdigest(), length), (large.digest.hexdigest(), TIMES * len(BLOCK)))
send("gate", "DELETE", below + "large.bin")
print(f"1 GiB up in {went:.1f} s, down in {time.monotonic() - begun - went:.1f} s")
with tempfile.TemporaryDirectory() as folder, acting("admin"):
    back = MlflowClient().download_artifacts(run, "empty.bin", folder)
    equal(Path(back).read_bytes(), b"")
