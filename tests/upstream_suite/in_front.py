"""A pytest plugin: puts Trackgate in front of every server that MLflow's own tests start.

`pytest -p in_front`, with TRACKGATE_BINARY and a checkout of MLflow's tests as the working directory (run.py does both).
The two helpers of `tests/tracking/integration_test_utils.py` that start servers are wrapped before any test imports
them: the server starts as before, Trackgate before it, and the test is given Trackgate's address. No test is edited.

The caller is an administrator with a bearer token of an issuer that this plugin is. MLflow's client sends it because of
MLFLOW_TRACKING_TOKEN; tests that call `requests` themselves get it added here, for our addresses only.
"""

import base64
import contextlib
import http.server
import json
import os
import pathlib
import shutil
import socket
import subprocess
import tempfile
import threading
import time

import requests
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

ADMIN = "admin@suite.test"
AUDIENCE = "upstream-suite"
DEADLINE = 60  # seconds, for a server or Trackgate to listen
# MLflow's tests set `user_id` and look for it again: authors are left as the client writes them.
UNSTAMPED = "access.authors = false"
LIFE = 24 * 60 * 60  # of the token, in seconds: longer than any run

_gates = set()
_token = None
_issuer = None


def _b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Issuer:
    """Discovery, keys and one token. Trackgate takes plain http from issuers on loopback."""

    def __init__(self):
        self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        issuer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                found = issuer.documents().get(self.path)
                body = json.dumps(found or {}).encode()
                self.send_response(200 if found else 404)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def documents(self):
        public = self.key.public_key().public_numbers()
        number = lambda n: _b64(n.to_bytes((n.bit_length() + 7) // 8, "big"))
        return {
            "/.well-known/openid-configuration": {
                "issuer": self.url,
                "authorization_endpoint": f"{self.url}/authorize",
                "token_endpoint": f"{self.url}/token",
                "jwks_uri": f"{self.url}/keys",
                "response_types_supported": ["code"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": ["RS256"],
            },
            "/keys": {
                "keys": [
                    {
                        "kty": "RSA",
                        "kid": "suite",
                        "use": "sig",
                        "alg": "RS256",
                        "n": number(public.n),
                        "e": number(public.e),
                    }
                ]
            },
        }

    def token(self, user=ADMIN):
        now = int(time.time())
        claims = {
            "iss": self.url,
            "sub": user.partition("@")[0],
            "aud": AUDIENCE,
            "email": user,
            "email_verified": True,
            "iat": now - 5,
            "exp": now + LIFE,
        }
        head = {"alg": "RS256", "kid": "suite", "typ": "JWT"}
        text = ".".join(_b64(json.dumps(part).encode()) for part in (head, claims))
        return f"{text}.{_b64(self.key.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256()))}"


def _free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _listens(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Gate:
    """Trackgate before one server. `lines` change its configuration, each `section.key = value`."""

    def __init__(self, upstream, issuer, lines="", port=None):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="trackgate-suite-"))
        port = port or _free_port()
        self.url = f"http://127.0.0.1:{port}"
        config = self.folder / "trackgate.toml"
        text = f"""
public_url = "https://localhost:{port}"
extra_hosts = ["127.0.0.1"]
state_dir = {json.dumps(str(self.folder / "state"))}

[listen]
plain = "127.0.0.1:{port}"
workers = 1

[upstream]
url = {json.dumps(upstream)}

[[issuer]]
name = "suite"
issuer = {json.dumps(issuer.url)}

[issuer.bearer]
audiences = ["{AUDIENCE}"]

[access]
admins = ["{ADMIN}"]

[audit]
file = {json.dumps(str(self.folder / "audit.jsonl"))}
"""
        config.write_text(_merged(text, lines))
        self.config = config
        self.log = open(self.folder / "trackgate.log", "wb")
        self.process = subprocess.Popen(
            [os.environ["TRACKGATE_BINARY"], "--config", str(config), "serve"],
            stdout=self.log,
            stderr=self.log,
            start_new_session=True,
        )
        deadline = time.monotonic() + DEADLINE
        while not _listens(port):
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"Trackgate does not listen: {self.said()}")
            time.sleep(0.02)
        _gates.add(self.url)

    def tell(self, *words):
        """One of Trackgate's commands, with this configuration."""
        command = [os.environ["TRACKGATE_BINARY"], "--config", str(self.config), *words]
        subprocess.run(command, check=True, capture_output=True, text=True)

    def said(self):
        return (self.folder / "trackgate.log").read_text(errors="replace")[-2000:]

    def close(self):
        # Its address stays known: tests may still call it, and hear that nobody listens.
        self.process.kill()
        self.process.wait()
        self.log.close()
        kept = os.environ.get("TRACKGATE_SUITE_AUDIT")
        if kept and (self.folder / "audit.jsonl").exists():
            with open(kept, "ab") as all_records:
                all_records.write((self.folder / "audit.jsonl").read_bytes())
        shutil.rmtree(self.folder, ignore_errors=True)


def _merged(text, lines):
    """Each line goes to the head of its section."""
    for line in filter(None, map(str.strip, lines.splitlines())):
        name, value = line.split("=", 1)
        section, key = name.strip().rsplit(".", 1)
        head = f"[{section}]\n"
        text = text.replace(head, f"{head}{key} ={value}\n") if head in text else f"{text}\n{head}{key} ={value}\n"
    return text


def _with_token():
    send = requests.Session.send

    def wrapped(self, request, **options):
        if any(request.url.startswith(f"{gate}/") for gate in _gates):
            request.headers.setdefault("Authorization", f"Bearer {_token}")
        return send(self, request, **options)

    requests.Session.send = wrapped


def _with_token_from_exporters():
    """OpenTelemetry's exporter sends by itself: not everywhere through `requests`, and nothing of MLflow's client."""
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    except ImportError:
        return
    init = OTLPSpanExporter.__init__

    def wrapped(self, endpoint=None, *args, headers=None, **options):
        if any((endpoint or "").startswith(f"{gate}/") for gate in _gates):
            headers = {**(headers or {}), "authorization": f"Bearer {_token}"}
        init(self, endpoint, *args, headers=headers, **options)

    OTLPSpanExporter.__init__ = wrapped


def _in_front_of_all():
    from tests.tracking import integration_test_utils as helpers

    up = helpers._await_server_up_or_die
    helpers._await_server_up_or_die = lambda port, timeout=DEADLINE: up(port, max(timeout, DEADLINE))
    enter, leave, init = helpers.ServerThread.__enter__, helpers.ServerThread.__exit__, helpers._init_server

    def entered(self):
        self.gate = Gate(enter(self), _issuer, UNSTAMPED)
        return self.gate.url

    def left(self, *fault):
        self.gate.close()
        return leave(self, *fault)

    @contextlib.contextmanager
    def inited(*args, **options):
        with init(*args, **options) as url:
            gate = Gate(url, _issuer, UNSTAMPED)
            try:
                yield gate.url
            finally:
                gate.close()

    helpers.ServerThread.__enter__, helpers.ServerThread.__exit__ = entered, left
    helpers._init_server = inited


def _in_front_of_launched(module):
    """Tests that start `mlflow server` by themselves: it gets another port, and Trackgate listens on theirs."""
    launch = module._launch_server

    @contextlib.contextmanager
    def launched(host, port, *words):
        inner = _free_port()
        with launch(host, inner, *words) as process:
            gate = Gate(f"http://{host}:{inner}", _issuer, UNSTAMPED, port)
            try:
                yield process
            finally:
                gate.close()

    module._launch_server = launched


def pytest_collection_finish(session):
    for module in {item.module for item in session.items if hasattr(item, "module")}:
        if hasattr(module, "_launch_server"):
            _in_front_of_launched(module)


def pytest_sessionstart(session):
    global _issuer, _token
    _issuer = Issuer()
    _token = _issuer.token()
    os.environ["MLFLOW_TRACKING_TOKEN"] = _token
    _with_token()
    _with_token_from_exporters()
    _in_front_of_all()
