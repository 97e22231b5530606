"""The AI gateway: who makes, sees, uses and deletes its parts, and whom the provider hears of."""

import json
import os
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import requests

from actors import equal, fresh, grant, mail, revoke, until

GATE = os.environ["MLFLOW_TRACKING_URI"]
CA = os.environ["MLFLOW_TRACKING_SERVER_CERT_PATH"]
KEY = "sk-live-gateway-key-that-nobody-may-read"
WORDS = ["Good", " day", "."]


class Provider(BaseHTTPRequestHandler):
    """What a provider of OpenAI's kind answers; it writes down what it was asked."""

    asked = []

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.asked.append((self.path, self.headers["authorization"], body))
        base = {"id": "c-1", "created": 1, "model": body["model"]}
        self.send_response(200)
        if body.get("stream"):
            self.send_header("content-type", "text/event-stream")
            self.end_headers()
            for word in WORDS:
                choice = {"index": 0, "delta": {"role": "assistant", "content": word}, "finish_reason": None}
                self.wfile.write(b"data: " + json.dumps({**base, "object": "chat.completion.chunk", "choices": [choice]}).encode() + b"\n\n")
                self.wfile.flush()
            self.wfile.write(b"data: [DONE]\n\n")
            return
        message = {"role": "assistant", "content": "".join(WORDS)}
        usage = {"prompt_tokens": 1, "completion_tokens": 3, "total_tokens": 4}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        answer = json.dumps({**base, "object": "chat.completion", "choices": [choice], "usage": usage}).encode()
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


def calls():
    """What the provider heard since the last time."""
    heard, Provider.asked[:] = list(Provider.asked), []
    return heard


def call(who, method, path, said=None, status=200):
    """What the gate answers; the provider's key is in none of its answers."""
    headers = {"Authorization": "Bearer " + os.environ[f"LIVE_TOKEN_{who.upper()}"]}
    answer = requests.request(method, GATE + path, headers=headers, json=said, verify=CA, timeout=60)
    assert KEY not in answer.text, f"{path} tells the key"
    if answer.status_code != status:
        raise AssertionError(f"{who} {method} {path}: {answer.status_code}, not {status}: {answer.text}")
    return answer


def of(who, path, said=None, status=200, method="POST"):
    return call(who, method, "/api/3.0/mlflow/gateway/" + path, said, status).json()


def listed(who):
    """What each of the lists holds for somebody."""
    ids = {"endpoints": "endpoint_id", "model-definitions": "model_definition_id", "secrets": "secret_id"}
    found = {}
    for list_, id_ in ids.items():
        rows = of(who, f"{list_}/list", method="GET").get(list_.replace("-", "_"), [])
        found[list_] = {row[id_] for row in rows}
    return found


def sees(who, **wanted):
    """Whether of the three things these alone are in somebody's lists."""
    found = listed(who)
    for list_, id_ in THINGS.items():
        equal((list_, id_ in found[list_]), (list_, list_.replace("-", "_") in wanted))


server = ThreadingHTTPServer(("127.0.0.1", 0), Provider)
threading.Thread(target=server.serve_forever, daemon=True).start()

# --- the owner makes all three, and owns them ---

secret = {
    "secret_name": fresh("key"),
    "secret_value": {"api_key": KEY},
    "provider": "openai",
    "auth_config": {"api_base": f"http://127.0.0.1:{server.server_port}/v1"},
    "created_by": "somebody else",
}
of("guest", "secrets/create", secret, status=403)
made = of("owner", "secrets/create", secret)["secret"]
equal(made["created_by"], mail("owner"))
secret_id = made["secret_id"]
definition = {"name": fresh("model"), "secret_id": secret_id, "provider": "openai", "model_name": "gpt-live"}
# A secret is used by whoever makes a definition of it.
of("trainer", "model-definitions/create", definition, status=403)
definition_id = of("owner", "model-definitions/create", definition)["model_definition"]["model_definition_id"]
name = fresh("endpoint")
endpoint = {"name": name, "model_configs": [{"model_definition_id": definition_id, "linkage_type": "PRIMARY", "weight": 1.0}]}
of("trainer", "endpoints/create", endpoint, status=403)
made = of("owner", "endpoints/create", endpoint)["endpoint"]
endpoint_id, experiment = made["endpoint_id"], made["experiment_id"]
THINGS = {"endpoints": endpoint_id, "model-definitions": definition_id, "secrets": secret_id}
sees("owner", endpoints=1, model_definitions=1, secrets=1)
sees("guest")
# The experiment of its traces came with it.
call("owner", "GET", f"/api/2.0/mlflow/experiments/get?experiment_id={experiment}")
call("guest", "GET", f"/api/2.0/mlflow/experiments/get?experiment_id={experiment}", status=403)
info = of("owner", f"secrets/get?secret_id={secret_id}", method="GET")["secret"]
equal(info["secret_name"], secret["secret_name"])

# --- who may use it ---

HELLO = [{"role": "user", "content": "Hello"}]
WAYS = [
    (f"/gateway/{name}/mlflow/invocations", {"messages": HELLO}),
    ("/gateway/openai/v1/chat/completions", {"model": name, "messages": HELLO}),
    ("/gateway/mlflow/v1/chat/completions", {"model": name, "messages": HELLO}),
]


def uses(who):
    for path, said in WAYS:
        answer = call(who, "POST", path, said).json()
        equal(answer["choices"][0]["message"]["content"], "".join(WORDS))
        answer = call(who, "POST", path, {**said, "stream": True})
        assert answer.headers["content-type"].startswith("text/event-stream"), answer.headers
        events = [line[6:] for line in answer.text.splitlines() if line.startswith("data: ")]
        parts = [json.loads(event) for event in events if event != "[DONE]"]
        told = "".join(choice["delta"].get("content") or "" for part in parts for choice in part["choices"])
        equal(told, "".join(WORDS))
    heard = calls()
    equal(len(heard), 2 * len(WAYS))
    for path, authorization, body in heard:
        equal((path, authorization, body["model"]), ("/v1/chat/completions", f"Bearer {KEY}", "gpt-live"))


def may_not_use(who):
    for path, said in WAYS:
        for stream in ({}, {"stream": True}):
            call(who, "POST", path, {**said, **stream}, status=403)
    call(who, "POST", f"/gateway/proxy/{name}/chat/completions", {"messages": HELLO}, status=403)
    equal(calls(), [])


uses("owner")
uses("admin")
may_not_use("guest")
may_not_use("reader")
# Models are listed by the names of endpoints that one may use.
in_models = lambda who: name in {row["id"] for row in call(who, "GET", "/gateway/mlflow/v1/models").json()["data"]}
equal((in_models("owner"), in_models("reader")), (True, False))

grant(f"user:{mail('reader')}", "READ", "gateway_endpoint", endpoint_id)
until(lambda: sees("reader", endpoints=1))
may_not_use("reader")
equal(in_models("reader"), False)
shown = of("reader", f"endpoints/get?endpoint_id={endpoint_id}", method="GET")["endpoint"]
equal(shown["name"], name)
for hidden in (definition["name"], secret["secret_name"], experiment):
    assert f'"{hidden}"' not in json.dumps(shown), shown

grant(f"user:{mail('reader')}", "USE", "gateway_endpoint", endpoint_id)
until(lambda: equal(in_models("reader"), True))
uses("reader")
# To use an endpoint is not to change it, nor to see what it is made of.
of("reader", "endpoints/update", {"endpoint_id": endpoint_id, "name": fresh("mine")}, status=403)
of("reader", "secrets/update", {"secret_id": secret_id, "secret_value": {"api_key": "x"}}, status=403)
of("reader", f"secrets/get?secret_id={secret_id}", status=403, method="GET")
of("reader", "endpoints/delete", {"endpoint_id": endpoint_id}, status=403, method="DELETE")
sees("reader", endpoints=1)

revoke(f"user:{mail('reader')}", "gateway_endpoint", endpoint_id)
until(lambda: equal(in_models("reader"), False))
may_not_use("reader")

# --- the end ---

for path, field, id_ in (
    ("endpoints", "endpoint_id", endpoint_id),
    ("model-definitions", "model_definition_id", definition_id),
    ("secrets", "secret_id", secret_id),
):
    of("guest", f"{path}/delete", {field: id_}, status=403, method="DELETE")
    of("owner", f"{path}/delete", {field: id_}, method="DELETE")
    of("owner", f"{path}/get?{field}={id_}", status=403, method="GET")
print(endpoint_id, definition_id, secret_id, KEY)
