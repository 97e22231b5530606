"""The objects that the calls name: made by the administrator, the same on both servers.

`near` is the experiment that the users hold their level on, with all that lies in it; on `far` nobody holds anything.
"""

import contextlib
import itertools
import json
import time

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from servers import HAS_SKILLS, INNER, INSIDE, LEVELS, NAMED

API, API3 = "/api/2.0/mlflow", "/api/3.0/mlflow"
PROMPT = {"key": "mlflow.prompt.is_prompt", "value": "true"}
# A judge by instructions: scorers that are code are not taken by a server.
JUDGE = json.dumps(
    {
        "name": "judge",
        "instructions_judge_pydantic_data": {"instructions": "Is {{ outputs }} good?", "model": "openai:/gpt-4o"},
    }
)
SKILL_VERSION = {"source_type": "git", "source": "https://git.example/skills.git", "ref": "v1", "digest": "0" * 64}
_number = itertools.count(1)


def fresh_name(what):
    return f"fresh-{what}-{next(_number)}"


class World:
    def __init__(self, server):
        self.server = server
        self.things = {"near": {}, "far": {}}
        self.missing = {}
        for where in self.things:
            self.build(where)

    def build(self, where):
        things = self.things[where]
        for name in [
            "experiment", "run", "metric", "logged_model", "trace", "assessment", "dataset", "registered_model",
            "model_version", "prompt", "prompt_version", "scorer", "secret", "definition", "endpoint", "mcp_server",
            "mcp_version", "mcp_endpoint", "label_schema", "review_queue", "issue", "artifact", "webhook", "guarded", "binding", "budget",
            "role_permission",
            *(["skill"] if HAS_SKILLS else []),
        ]:  # fmt: skip
            try:
                things.update(getattr(self, f"make_{name}")(where))
            except (RuntimeError, KeyError) as fault:
                # The calls that need it are named as not driven.
                self.missing[f"{where} {name}"] = str(fault)

    def grant(self):
        near = self.things["near"]
        for user, level in [*LEVELS.items(), *((user, "MANAGE") for user in INSIDE)]:
            if level is None:
                continue
            self.server.grant(user, "experiment", near["experiment"], level)
            for kind in NAMED:
                # MLflow knows no USE on skills.
                self.server.grant(user, kind, "*", "READ" if (kind, level) == ("skill", "USE") else level)
        for user, level in INSIDE.items():
            for kind in INNER:
                self.server.grant(user, kind, "*", level)

    def fresh(self, name, where="near"):
        """A new object of that name, in the same experiment; its things stand in for the usual ones."""
        return getattr(self, f"make_{name}")(where, fresh_name(name))

    def post(self, path, body, method="POST"):
        return self.server.make(method, path, body=body)

    def make_experiment(self, where, name=None):
        name = name or f"{where}-experiment"
        made = self.post(f"{API}/experiments/create", {"name": name})
        return {"experiment": made["experiment_id"], "experiment_name": name}

    def make_run(self, where, name=None):
        home = self.things[where]["experiment"]
        made = self.post(f"{API}/runs/create", {"experiment_id": home, "run_name": name or f"{where}-run"})
        return {"run": made["run"]["info"]["run_id"]}

    def make_metric(self, where):
        body = {"run_id": self.things[where]["run"], "key": "m", "value": 1, "timestamp": 1}
        self.post(f"{API}/runs/log-metric", body)
        self.post(f"{API}/runs/set-tag", {"run_id": body["run_id"], "key": "t", "value": "v"})
        self.post(
            f"{API}/experiments/set-experiment-tag",
            {"experiment_id": self.things[where]["experiment"], "key": "t", "value": "v"},
        )
        return {}

    def make_logged_model(self, where, name=None):
        body = {
            "experiment_id": self.things[where]["experiment"],
            "name": name or f"{where}-logged",
            "tags": [{"key": "t", "value": "v"}],
            "source_run_id": self.things[where]["run"],
        }
        return {"logged_model": self.post(f"{API}/logged-models", body)["model"]["info"]["model_id"]}

    def make_artifact(self, where, name="a"):
        home, run = self.things[where]["experiment"], self.things[where]["run"]
        path = f"{home}/{run}/artifacts/{name}.txt"
        self.server.make("PUT", f"/api/2.0/mlflow-artifacts/artifacts/{path}", data=b"text")
        model = f"{home}/models/{self.things[where]['logged_model']}/artifacts/a.txt"
        self.server.make("PUT", f"/api/2.0/mlflow-artifacts/artifacts/{model}", data=b"text")
        return {"artifact": path, "artifact_root": f"{home}/{run}/artifacts"}

    def make_trace(self, where, name=None):
        trace = f"tr-{next(_number):032x}"
        place = {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": self.things[where]["experiment"]}}
        info = {
            "trace_id": trace,
            "trace_location": place,
            "request_time": "2026-01-01T00:00:00Z",
            "state": "OK",
            "tags": {"t": "v"},
        }
        self.post(f"{API3}/traces", {"trace": {"trace_info": info}})
        headers = {"x-mlflow-experiment-id": place["mlflow_experiment"]["experiment_id"]}
        headers["content-type"] = "application/x-protobuf"
        (self.server.back or self.server).ask("admin", "POST", "/v1/traces", data=spans(trace), headers=headers)
        return {"trace": trace}

    def make_assessment(self, where, name=None):
        trace = self.things[where]["trace"]
        body = {"assessment": assessment(trace)}
        made = self.post(f"{API3}/traces/{trace}/assessments", body)
        return {"assessment": made["assessment"]["assessment_id"]}

    def make_dataset(self, where, name=None):
        body = {"name": name or f"{where}-dataset", "experiment_ids": [self.things[where]["experiment"]]}
        made = self.post(f"{API3}/datasets/create", body)["dataset"]["dataset_id"]
        self.post(f"{API3}/datasets/{made}/tags", {"tags": '{"t": "v"}'}, "PATCH")
        return {"dataset": made}

    def make_registered_model(self, where, name=None):
        name = name or f"{where}-registered"
        self.post(f"{API}/registered-models/create", {"name": name, "tags": [{"key": "t", "value": "v"}]})
        return {"registered_model": name}

    def make_model_version(self, where, name=None):
        name = self.make_registered_model(where, name)["registered_model"] if name else f"{where}-registered"
        run = self.things[where]["run"]
        source = f"mlflow-artifacts:/{self.things[where]['experiment']}/{run}/artifacts"
        body = {"name": name, "source": source, "run_id": run, "tags": [{"key": "t", "value": "v"}]}
        self.post(f"{API}/model-versions/create", body)
        self.post(f"{API}/registered-models/alias", {"name": name, "alias": "a", "version": "1"})
        return {"registered_model": name, "version": "1"}

    def make_prompt(self, where, name=None):
        name = name or f"{where}-prompt"
        self.post(f"{API}/registered-models/create", {"name": name, "tags": [PROMPT, {"key": "t", "value": "v"}]})
        return {"prompt": name}

    def make_prompt_version(self, where, name=None):
        name = self.make_prompt(where, name)["prompt"] if name else f"{where}-prompt"
        tags = [PROMPT, {"key": "mlflow.prompt.text", "value": "hi"}, {"key": "t", "value": "v"}]
        self.post(f"{API}/model-versions/create", {"name": name, "source": "prompt-template", "tags": tags})
        self.post(f"{API}/registered-models/alias", {"name": name, "alias": "a", "version": "1"})
        return {"prompt": name, "version": "1"}

    def make_scorer(self, where, name=None):
        name = name or f"{where}-scorer"
        body = {
            "experiment_id": self.things[where]["experiment"],
            "name": name,
            "serialized_scorer": JUDGE,
        }
        made = self.post(f"{API3}/scorers/register", body)
        return {"scorer": name, "scorer_id": made["scorer_id"]}

    def make_guardrail(self, where, name=None):
        body = {
            "name": name or f"{where}-guardrail",
            "scorer_id": self.things[where]["scorer_id"],
            "scorer_version": 1,
            "stage": "BEFORE",
            "action": "VALIDATION",
        }
        made = self.post(f"{API3}/gateway/guardrails/create", body)["guardrail"]
        return {"guardrail": made["guardrail_id"]}

    def make_guarded(self, where, name=None):
        """A guardrail of an endpoint of its own: what is served has none."""
        made = {**self.make_endpoint(where, name or f"{where}-guarded"), **self.make_guardrail(where, name)}
        body = {"endpoint_id": made["endpoint"], "guardrail_id": made["guardrail"]}
        self.post(f"{API3}/gateway/guardrails/add-to-endpoint", body)
        return made if name else {"guardrail": made["guardrail"]}

    def make_binding(self, where, name=None):
        made = self.make_scorer(where, name or f"{where}-bound")
        body = {
            "endpoint_id": self.things[where]["endpoint"],
            "resource_type": "scorer",
            "resource_id": made["scorer_id"],
        }
        self.post(f"{API3}/gateway/endpoints/bindings/create", body)
        return made if name else {}

    def make_budget(self, where, name=None):
        body = {
            "budget_unit": "USD",
            "budget_amount": 1000000,
            "duration": {"unit": "DAYS", "value": 1},
            "target_scope": "GLOBAL",
            "budget_action": "ALERT",
        }
        made = self.post(f"{API3}/gateway/budgets/create", body)["budget_policy"]
        return {"budget": made["budget_policy_id"]}

    def make_secret(self, where, name=None):
        # Nothing listens there: what is served asks nobody.
        body = {
            "secret_name": name or f"{where}-secret",
            "secret_value": {"api_key": "k"},
            "provider": "openai",
            "auth_config": {"api_base": "http://127.0.0.1:9/v1"},
        }
        return {"secret": self.post(f"{API3}/gateway/secrets/create", body)["secret"]["secret_id"]}

    def make_definition(self, where, name=None):
        body = {
            "name": name or f"{where}-definition",
            "secret_id": self.things[where]["secret"],
            "provider": "openai",
            "model_name": "gpt-4o",
        }
        made = self.post(f"{API3}/gateway/model-definitions/create", body)
        return {"definition": made["model_definition"]["model_definition_id"]}

    def make_endpoint(self, where, name=None):
        name = name or f"{where}-endpoint"
        config = {"model_definition_id": self.things[where]["definition"], "linkage_type": "PRIMARY", "weight": 1}
        made = self.post(f"{API3}/gateway/endpoints/create", {"name": name, "model_configs": [config]})["endpoint"]
        self.post(
            f"{API3}/gateway/endpoints/set-tag", {"endpoint_id": made["endpoint_id"], "key": "t", "value": "v"}
        )
        return {"endpoint": made["endpoint_id"], "endpoint_name": name}

    def make_mcp_server(self, where, name=None):
        name = f"com.example/{name or where}"
        self.post(f"{API3}/mcp-servers", {"name": name})
        self.post(f"{API3}/mcp-servers/{name}/tags", {"key": "t", "value": "v"})
        return {"mcp_server": name, "mcp_slug": name.partition("/")[2]}

    def make_mcp_version(self, where, name=None, status="active"):
        server = self.make_mcp_server(where, name)["mcp_server"] if name else f"com.example/{where}"
        body = {"server_json": {"name": server, "version": "1.0.0", "description": "d"}, "status": status}
        self.post(f"{API3}/mcp-servers/{server}/versions", body)
        self.post(f"{API3}/mcp-servers/{server}/versions/1.0.0/tags", {"key": "t", "value": "v"})
        self.post(f"{API3}/mcp-servers/{server}/aliases", {"alias": "a", "version": "1.0.0"})
        return {"mcp_server": server, "mcp_slug": server.partition("/")[2], "mcp_version": "1.0.0"}

    def make_mcp_draft(self, where, name=None):
        """Active versions are not deleted."""
        return self.make_mcp_version(where, name, "draft")

    def keep(self, path, body):
        """What each server keeps by itself: users, roles, permissions."""
        return self.server.make("POST", path, itself=True, body=body)

    def make_user(self, where, name):
        made = f"{name}@differential.test"
        self.keep(f"{API}/users/create", {"username": made, "password": "a test password"})
        return {"made": made}

    def make_granted_user(self, where, name):
        made = self.make_user(where, name)
        held = {"resource_type": "experiment", "resource_id": self.things[where]["experiment"], "permission": "READ"}
        self.keep(f"{API3}/users/permissions/grant", {"username": made["made"], **held})
        return made

    def make_role(self, where, name=None):
        made = self.keep(f"{API3}/roles/create", {"name": name or f"{where}-role", "workspace": "default"})
        return {**(self.make_user(where, f"{name}-user") if name else {}), "role": made["role"]["id"]}

    def make_assigned_role(self, where, name):
        made = self.make_role(where, name)
        self.keep(f"{API3}/roles/assign", {"role_id": made["role"], "username": made["made"]})
        return made

    def make_role_permission(self, where, name=None):
        made = self.make_role(where, name)
        held = {"resource_type": "experiment", "resource_pattern": self.things[where]["experiment"], "permission": "READ"}
        held = self.keep(f"{API3}/roles/permissions/add", {"role_id": made["role"], **held})
        return {**made, "role_permission": held["role_permission"]["id"]}

    def make_skill(self, where, name=None):
        """One alone and one in an organization, of one name."""
        name = name or f"{where}-skill"
        for more, path in [({}, name), ({"organization": "acme"}, f"@acme/{name}")]:
            self.post(f"{API3}/skills", {"name": name, **more})
            self.post(f"{API3}/skills/{path}/versions", SKILL_VERSION)
            self.post(f"{API3}/skills/{path}/tags", {"key": "t", "value": "v"})
            self.post(f"{API3}/skills/{path}/versions/1/tags", {"key": "t", "value": "v"})
            self.post(f"{API3}/skills/{path}/aliases", {"alias": "a", "version": 1})
        return {"skill": name}

    def make_retired(self, where, name=None):
        """Active versions are not deleted."""
        made = self.make_skill(where, name)
        for path in (made["skill"], f"@acme/{made['skill']}"):
            self.post(f"{API3}/skills/{path}/versions/1", {"status": "deprecated"}, method="PATCH")
        return made

    def make_mcp_endpoint(self, where, name=None):
        made = self.make_mcp_version(where, name) if name else {"mcp_server": f"com.example/{where}"}
        body = {"url": f"https://example.com/{name or where}", "server_version": "1.0.0"}
        endpoint = self.post(f"{API3}/mcp-servers/{made['mcp_server']}/endpoints", body)
        return {**made, "mcp_endpoint": endpoint["id"]}

    def make_label_schema(self, where, name=None):
        body = {
            "experiment_id": self.things[where]["experiment"],
            "name": name or f"{where}-schema",
            "type": "FEEDBACK",
            "input": {"pass_fail": {"positive_label": "yes", "negative_label": "no"}},
        }
        made = self.post(f"{API3}/label-schemas/create", body)["label_schema"]
        return {"label_schema": made["schema_id"], "label_schema_name": body["name"]}

    def make_review_queue(self, where, name=None):
        body = {
            "experiment_id": self.things[where]["experiment"],
            "name": name or f"{where}-queue",
            "queue_type": "CUSTOM",
            "schema_ids": [self.things[where]["label_schema"]],
        }
        made = self.post(f"{API3}/review-queues/create", body)["review_queue"]
        with contextlib.suppress(RuntimeError):
            items = {"queue_id": made["queue_id"], "item_type": "TRACE", "item_ids": [self.things[where]["trace"]]}
            self.post(f"{API3}/review-queues/items/add", items)
        return {"review_queue": made["queue_id"], "review_queue_name": body["name"]}

    def make_issue(self, where, name=None):
        body = {
            "experiment_id": self.things[where]["experiment"],
            "name": name or f"{where}-issue",
            "description": "d",
            "status": "pending",
        }
        return {"issue": self.post(f"{API3}/issues", body)["issue"]["issue_id"]}

    def make_webhook(self, where, name=None):
        event = {"entity": "REGISTERED_MODEL", "action": "CREATED"}
        body = {"name": name or f"{where}-webhook", "url": "https://1.1.1.1/hook", "events": [event], "status": "DISABLED"}
        return {"webhook": self.post(f"{API}/webhooks", body)["webhook"]["webhook_id"]}


def spans(trace):
    """One span of that trace, as OpenTelemetry sends it."""
    sent = ExportTraceServiceRequest()
    span = sent.resource_spans.add().scope_spans.add().spans.add()
    span.trace_id, span.span_id, span.name = bytes.fromhex(trace.removeprefix("tr-")), b"12345678", "span"
    span.start_time_unix_nano, span.end_time_unix_nano = 1_767_225_600_000_000_000, 1_767_225_601_000_000_000
    return sent.SerializeToString()


def assessment(trace):
    return {
        "assessment_name": "good",
        "trace_id": trace,
        "source": {"source_type": "HUMAN", "source_id": "somebody"},
        "feedback": {"value": True},
        "create_time": "2026-01-01T00:00:00Z",
        "last_update_time": "2026-01-01T00:00:00Z",
    }


def settle(server, world):
    """Waits until the grants are in force."""
    path = f"{API}/experiments/get"
    deadline = time.monotonic() + 30
    query = {"experiment_id": world.things["near"]["experiment"]}
    while server.ask("manager", "GET", path, query=query).status_code != 200:
        if time.monotonic() > deadline:
            raise RuntimeError("the grants are not in force")
        time.sleep(0.05)
