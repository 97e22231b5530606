"""Who acts in these scripts, and how the operator gives them grants.

MLflow's client reads its token from the environment at each request, so that one script can be several people.
"""

import contextlib
import os
import subprocess
import time
import uuid

import requests
from mlflow.exceptions import MlflowException, RestException

TRACKGATE = [os.environ["LIVE_TRACKGATE"], "--config", os.environ["LIVE_CONFIG"]]


@contextlib.contextmanager
def acting(who):
    """Be `admin`, `owner`, `reader`, `guest` or `trainer` for a while."""
    before = os.environ.get("MLFLOW_TRACKING_TOKEN")
    os.environ["MLFLOW_TRACKING_TOKEN"] = os.environ[f"LIVE_TOKEN_{who.upper()}"]
    try:
        yield mail(who)
    finally:
        if before is None:
            del os.environ["MLFLOW_TRACKING_TOKEN"]
        else:
            os.environ["MLFLOW_TRACKING_TOKEN"] = before


def mail(who):
    return f"{who}@demo.example"


def operator(*words):
    """One of Trackgate's own commands, as the operator would type it."""
    done = subprocess.run([*TRACKGATE, *words], capture_output=True, text=True, timeout=60)
    if done.returncode != 0:
        raise AssertionError(f"trackgate {' '.join(words)}: {done.stdout}{done.stderr}")
    return done.stdout


def server_version():
    """What the server says it is, as numbers."""
    answer = requests.get(
        f"{os.environ['MLFLOW_TRACKING_URI']}/version",
        headers={"authorization": f"Bearer {os.environ['LIVE_TOKEN_OWNER']}"},
        verify=os.environ["MLFLOW_TRACKING_SERVER_CERT_PATH"],
        timeout=60,
    )
    answer.raise_for_status()
    return tuple(int(part) for part in answer.text.strip().split("."))


def rest(who, method, path, **more):
    """A request by somebody, past the client."""
    headers = {"Authorization": f"Bearer {os.environ[f'LIVE_TOKEN_{who.upper()}']}", **more.pop("headers", {})}
    url = os.environ["MLFLOW_TRACKING_URI"] + path
    return requests.request(method, url, headers=headers, verify=os.environ["MLFLOW_TRACKING_SERVER_CERT_PATH"], timeout=60, **more)


def denied(answer):
    """The answer refuses, in MLflow's words."""
    equal((answer.status_code, answer.json()["error_code"]), (403, "PERMISSION_DENIED"))


def same(who, method, path, hidden, absent, **more):
    """Both refuse, and tell no difference but the name that was asked for. In `path` and a body `%s` is the name."""

    def fill(value, name):
        if isinstance(value, dict):
            return {key: fill(inner, name) for key, inner in value.items()}
        if isinstance(value, list):
            return [fill(inner, name) for inner in value]
        return value.replace("%s", name) if isinstance(value, str) else value

    told = []
    for name in (hidden, absent):
        answer = rest(who, method, fill(path, name), **fill(more, name))
        if answer.status_code != 403:
            raise AssertionError(f"{who} {method} {path}: {answer.status_code}: {answer.text}")
        denied(answer)
        told.append(answer.json()["message"].split(" (request ")[0].replace(name, "it"))
    equal(told[0], told[1])


def fresh(what):
    """A name that no other script uses on the shared server."""
    return f"{what}-{uuid.uuid4().hex[:8]}"


def refusal(act):
    """What the refusal of an act says."""
    try:
        act()
    except MlflowException as refusal:
        equal(refusal.error_code, "PERMISSION_DENIED")
        return str(refusal)
    raise AssertionError("was not refused")


@contextlib.contextmanager
def refused(code="PERMISSION_DENIED"):
    """What is done inside must be refused, and for this reason."""
    try:
        yield
    except RestException as refusal:
        if refusal.error_code != code:
            raise AssertionError(f"refused with {refusal.error_code}, not {code}: {refusal}") from refusal
    except requests.HTTPError as refusal:
        # What clients before 3.0 make of a refused list of artifacts.
        if refusal.response.json()["error_code"] != code:
            raise AssertionError(f"refused with {refusal.response.text}, not {code}") from refusal
    except MlflowException as refusal:
        # The client of prompts says it anew in its own words, and keeps the code.
        if refusal.error_code != code:
            raise AssertionError(f"the client could not read the refusal: {refusal}") from refusal
    else:
        raise AssertionError("was not refused")


def equal(found, wanted):
    if found != wanted:
        raise AssertionError(f"{found!r} is not {wanted!r}")


def until(act, seconds=10):
    """What an operator changes is in force within a second, not at once: try until it is."""
    end = time.monotonic() + seconds
    while True:
        try:
            return act()
        except (AssertionError, MlflowException, requests.HTTPError):
            if time.monotonic() > end:
                raise
            time.sleep(0.05)


def grant(subject, permission, kind, pattern):
    operator("grant", "add", subject, kind, pattern, permission)


def revoke(subject, kind, pattern):
    operator("grant", "remove", subject, kind, pattern)
