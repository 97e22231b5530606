"""The two servers: MLflow with basic-auth, and Trackgate before a stock MLflow. The same users and grants on both."""

import contextlib
import os
import pathlib
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time

import in_front
import requests
from mlflow.version import VERSION
from werkzeug.security import generate_password_hash

PASSWORD = "a test password"
ADMIN = in_front.ADMIN
# Weakest first: what a strong user destroys, no weaker one asks for afterwards.
LEVELS = {"denied": "DENY", "nobody": None, "reader": "READ", "user": "USE", "editor": "EDIT", "manager": "MANAGE"}
# MANAGE on everything that lies in nothing else, and this much on all that lies in something.
INSIDE = {"vetoed": "DENY", "inside-editor": "EDIT"}
USERS = ["stranger", *LEVELS, *INSIDE, "admin"]
# Kinds with grants of their own. What is made anew while the run goes on is covered too.
NAMED = [
    "registered_model",
    "prompt",
    "scorer",
    "gateway_secret",
    "gateway_endpoint",
    "gateway_model_definition",
    "mcp_server",
]
# Skills came with 3.18.
HAS_SKILLS = [int(part) for part in VERSION.split(".")[:2]] >= [3, 18]
if HAS_SKILLS:
    NAMED.append("skill")
# Kinds that lie in an experiment or in one of those. They are granted on all at once.
INNER = [
    "run",
    "trace",
    "logged_model",
    "assessment",
    "review_queue",
    "registered_model_version",
    "prompt_version",
    "scorer_version",
    "mcp_server_version",
]


def name_of(user):
    return ADMIN if user == "admin" else f"{user}@differential.test"


class Server:
    """One of the two, as somebody sees it."""

    def __init__(self, url, back=None):
        self.url = url
        # Where objects are made that are only there to be asked for.
        self.back = back
        self.session = requests.Session()
        self.session.trust_env = False

    def headers(self, user):
        return {}

    def auth(self, user):
        return _Nothing()

    def ask(self, user, method, path, query=None, body=None, data=None, headers=None):
        return self.session.request(
            method,
            self.url + path,
            params=query,
            json=body,
            data=data,
            headers={**(headers or {}), **self.headers(user)},
            auth=self.auth(user),
            allow_redirects=False,
            timeout=120,
        )

    def make(self, method, path, itself=False, **how):
        """As the administrator; what is wrong ends the run. `itself`: where the stock server has no such call."""
        server = self if itself else self.back or self
        answer = server.ask("admin", method, path, **how)
        if answer.status_code != 200:
            raise RuntimeError(f"{type(self).__name__}: {method} {path}: {answer.status_code} {answer.text[:300]}")
        return answer.json() if answer.content else {}


class BasicAuth(Server):
    def auth(self, user):
        return None if user == "stranger" else (name_of(user), PASSWORD)

    def people(self, database):
        for user in [*LEVELS, *INSIDE]:
            self.make("POST", "/api/2.0/mlflow/users/create", body={"username": name_of(user), "password": PASSWORD})
        # Each call checks the password, and scrypt is slow on purpose. Which hash it is changes no decision.
        with contextlib.closing(sqlite3.connect(database)) as rows, rows:
            cheap = generate_password_hash(PASSWORD, method="pbkdf2:sha256:1")
            rows.execute("update users set password_hash = ?", (cheap,))

    def grant(self, user, kind, pattern, level):
        role = {"name": f"{user} {kind} {pattern}", "workspace": "default"}
        role = self.make("POST", "/api/3.0/mlflow/roles/create", body=role)["role"]["id"]
        held = {"role_id": role, "resource_type": kind, "resource_pattern": pattern, "permission": level}
        self.make("POST", "/api/3.0/mlflow/roles/permissions/add", body=held)
        self.make("POST", "/api/3.0/mlflow/roles/assign", body={"role_id": role, "username": name_of(user)})


class Trackgate(Server):
    def __init__(self, gate, issuer, stock):
        super().__init__(gate.url, Server(stock))
        self.gate = gate
        self.tokens = {user: issuer.token(name_of(user)) for user in USERS if user != "stranger"}

    def headers(self, user):
        return {} if user == "stranger" else {"Authorization": f"Bearer {self.tokens[user]}"}

    def grant(self, user, kind, pattern, level):
        self.gate.tell("grant", "add", f"user:{name_of(user)}", kind, pattern, level)


class _Nothing(requests.auth.AuthBase):
    """Leaves the headers alone."""

    def __call__(self, request):
        return request


def _start(folder, name, *words, **more):
    port = in_front._free_port()
    home = folder / name
    home.mkdir()
    environment = {
        **os.environ,
        "MLFLOW_TELEMETRY_DISABLED": "1",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        # The provider is a port of this machine at which nobody listens.
        "MLFLOW_GATEWAY_API_BASE_ALLOWED_SCHEMES": "http",
        "MLFLOW_GATEWAY_API_BASE_ALLOW_PRIVATE_IPS": "true",
        "MLFLOW_CRYPTO_KEK_PASSPHRASE": "a passphrase for the differential run",
        **more,
    }
    for variable in ["MLFLOW_TRACKING_TOKEN", "MLFLOW_TRACKING_URI"]:
        environment.pop(variable, None)
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{home}/mlflow.db"]
    command += ["--artifacts-destination", str(home / "artifacts"), "--serve-artifacts", *words]
    log = open(home / "log", "wb")
    process = subprocess.Popen(command, cwd=home, env=environment, stdout=log, stderr=log, start_new_session=True)
    return f"http://127.0.0.1:{port}", process, home


def _wait(url, process, home):
    deadline = time.monotonic() + 240
    while True:
        with contextlib.suppress(requests.ConnectionError, requests.Timeout):
            if requests.get(f"{url}/health", timeout=5).ok:
                return
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"MLflow does not answer: {(home / 'log').read_text(errors='replace')[-2000:]}")
        time.sleep(0.1)


@contextlib.contextmanager
def both():
    """Starts everything; gives the server with basic-auth, and Trackgate."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="trackgate-differential-"))
    running, gate = [], None
    try:
        settings = folder / "auth.ini"
        settings.write_text(
            "[mlflow]\ndefault_permission = NO_PERMISSIONS\n"
            f"database_uri = sqlite:///{folder}/auth.db\nadmin_username = {ADMIN}\nadmin_password = {PASSWORD}\n"
        )
        theirs = _start(
            folder,
            "basic-auth",
            "--app-name",
            "basic-auth",
            MLFLOW_AUTH_CONFIG_PATH=str(settings),
            MLFLOW_AUTH_ADMIN_PASSWORD=PASSWORD,
            MLFLOW_FLASK_SERVER_SECRET_KEY="a secret key for the differential run",
        )
        running.append(theirs[1])
        stock = _start(folder, "stock")
        running.append(stock[1])
        _wait(*theirs)
        _wait(*stock)
        issuer = in_front.Issuer()
        # basic-auth lets everybody make experiments and models, where workspaces are off.
        gate = in_front.Gate(stock[0], issuer, 'access.default_workspace_permission = "USE"')
        basic = BasicAuth(theirs[0])
        basic.people(folder / "auth.db")
        yield basic, Trackgate(gate, issuer, stock[0])
    finally:
        if gate:
            gate.close()
        for process in running:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, 15)
            process.wait()
        shutil.rmtree(folder, ignore_errors=True)
