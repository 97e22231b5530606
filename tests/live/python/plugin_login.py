"""The package clients/python signs in as from a notebook: by a code, at the running gate, and stays signed in."""

import json
import os
import pathlib
import re
import subprocess
import sys
import threading
import time

import mlflow
import requests
from actors import equal, fresh, mail, rest
from mlflow import MlflowClient

import trackgate_mlflow

GATE = os.environ["MLFLOW_TRACKING_URI"]
FOLDER = pathlib.Path(os.environ["TRACKGATE_CONFIG_DIR"])
FILE = FOLDER / "credentials.json"


def field(page, name):
    return re.search(rf'name="{name}" value="([^"]*)"', page.text).group(1)


def agree(code):
    """A person in a browser: signs in at the provider, types the code, says yes."""
    browser = requests.Session()
    browser.verify = os.environ["MLFLOW_TRACKING_SERVER_CERT_PATH"]
    browser.trust_env = False
    browser.headers.update({"Accept": "text/html", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Site": "same-origin"})
    asked = browser.get(f"{GATE}/trackgate/login/demo?return_to=/trackgate/device", timeout=60)
    provider = requests.utils.urlparse(asked.url)
    form = {"ticket": field(asked, "ticket"), "account": "owner"}
    page = browser.post(f"{provider.scheme}://{provider.netloc}/authorize", data=form, timeout=60)
    equal((page.status_code, page.url), (200, f"{GATE}/trackgate/device"))
    form = {"token": field(page, "token"), "user_code": code}
    page = browser.post(f"{GATE}/trackgate/device", data=form, headers={"Origin": GATE}, timeout=60)
    equal((page.status_code, "Sign in this device?" in page.text), (200, True))
    form = {"token": field(page, "token"), "user_code": field(page, "user_code"), "answer": "yes"}
    page = browser.post(f"{GATE}/trackgate/device/decide", data=form, headers={"Origin": GATE}, timeout=60)
    equal((page.status_code, "The device is signed in" in page.text), (200, True))


def entry(**changes):
    document = json.loads(FILE.read_text())
    document["servers"][GATE].update(changes)
    FILE.write_text(json.dumps(document))
    return document["servers"][GATE]


said, result = [], []
notebook = threading.Thread(target=lambda: result.append(trackgate_mlflow.login(show=said.append)), daemon=True)
notebook.start()
end = time.monotonic() + 60
while not (code := re.search(r"\b[B-Z]{4}-[B-Z]{4}\b", "\n".join(said))):
    assert time.monotonic() < end and notebook.is_alive(), said
    time.sleep(0.05)
equal(f"{GATE}/trackgate/device\n" in "\n".join(said), True)
agree(code.group())
notebook.join(60)
equal((result, said[-1]), ([mail("owner")], f"Signed in as {mail('owner')}."))
equal((oct(FILE.stat().st_mode & 0o777), oct(FOLDER.stat().st_mode & 0o777)), ("0o600", "0o700"))

# Nothing more is needed in the notebook.
client = MlflowClient()
experiment = client.create_experiment(fresh("plugin login"))
equal(trackgate_mlflow.whoami()["user"], mail("owner"))
first = entry()
name = first["access_token"].split("_")[1]

# The access token ends while three processes run: one of them renews it, and nobody loses anything.
one = f"import mlflow; mlflow.MlflowClient().get_experiment({experiment!r})"
entry(access_expires_at=int(time.time()) - 5)
others = [subprocess.Popen([sys.executable, "-c", one], stderr=subprocess.PIPE, text=True) for _ in range(3)]
for other in others:
    wrong = other.communicate(timeout=120)[1]
    equal((other.returncode, wrong if other.returncode else ""), (0, ""))
second = entry()
equal(second["refresh_token"] != first["refresh_token"], True)
equal((second["user"], second["token_endpoint"]), (first["user"], first["token_endpoint"]))
print(f"login={name} renewed")

# `trackgate` itself uses the same login.
ours = [os.environ["LIVE_TRACKGATE"], "token", "print", "--ca-file", os.environ["MLFLOW_TRACKING_SERVER_CERT_PATH"]]
equal(subprocess.run(ours, capture_output=True, text=True, check=True, timeout=60).stdout.strip(), second["access_token"])

# A folder that cannot be written: this process goes on, and says what will come.
entry(access_expires_at=int(time.time()) - 5)
before = FILE.read_bytes()
FOLDER.chmod(0o500)


# Root may write everywhere; without that power a process is as everybody is (capabilities(7)).
thrice = f"""
import ctypes, os
if os.geteuid() == 0:
    assert ctypes.CDLL(None).capset((ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()) == 0
import mlflow
for _ in range(3):
    mlflow.MlflowClient().get_experiment({experiment!r})
"""
done = subprocess.run([sys.executable, "-c", thrice], capture_output=True, text=True, timeout=120)
FOLDER.chmod(0o700)
equal((done.returncode, done.stderr if done.returncode else ""), (0, ""))
equal((done.stderr.count("cannot be kept"), FILE.read_bytes() == before), (1, True))

# An answer that was lost: the server takes the same refresh token once more within a minute.
client.get_experiment(experiment)
trackgate_mlflow.TrackgateRequestAuthProvider().get_auth().forget()
client.get_experiment(experiment)

# Signed out: at the server too, whoever still has the file.
kept = FILE.read_text()
trackgate_mlflow.logout()
equal(GATE in json.loads(FILE.read_text())["servers"], False)
FILE.write_text(kept)
try:
    client.get_experiment(experiment)
except mlflow.exceptions.MlflowException as refusal:
    told = str(refusal)
    for word in (f"the login of {mail('owner')} at {GATE} has ended", f"run: trackgate login {GATE}", "trackgate_mlflow.login()"):
        equal((word, word in told), (word, True))
    print(told)
else:
    raise AssertionError("was not refused")
equal(rest("owner", "GET", f"/api/2.0/mlflow/experiments/get?experiment_id={experiment}").status_code, 200)
print("signed in, renewed and signed out")
