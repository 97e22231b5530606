"""What the pages in a browser show: one of each, by the owner; the reader may read it. Prints the pages' addresses."""

import json
import os

os.environ["MLFLOW_ENABLE_ASYNC_TRACE_LOGGING"] = "false"

import mlflow
import requests
from mlflow import MlflowClient
from mlflow.entities import GatewayEndpointModelConfig, GatewayModelLinkageType
from mlflow.genai.datasets import create_dataset
from mlflow.genai.label_schemas import InputText
from mlflow.tracking._tracking_service.utils import _get_store

from actors import acting, fresh, grant, mail

client = MlflowClient()
name = fresh("pages")


@mlflow.trace(name="answer")
def answer(question):
    with mlflow.start_span("retrieve"):
        return f"{question} yes"


def ask(path, body):
    url = f"{os.environ['MLFLOW_TRACKING_URI']}/api/{path}"
    told = requests.post(url, json=body, headers={"Authorization": f"Bearer {os.environ['LIVE_TOKEN_OWNER']}"}, verify=os.environ["MLFLOW_TRACKING_SERVER_CERT_PATH"], timeout=60)
    assert told.status_code < 300, told.text
    return told.json()


with acting("owner"):
    experiment = mlflow.set_experiment(name).experiment_id
    with mlflow.start_run(run_name="the only run") as run:
        mlflow.log_params({"depth": 3})
        for step in range(5):
            mlflow.log_metric("loss", 1 / (step + 1), step=step)
        mlflow.log_text("words of an artifact", "notes/a.txt")
        answer("a question")
    for number in range(3):
        answer(f"question {number}")
    first = mlflow.get_last_active_trace_id()
    mlflow.log_feedback(trace_id=first, name="good", value=True)
    run = run.info.run_id
    net = client.create_logged_model(experiment, name="net", source_run_id=run).model_id
    client.finalize_logged_model(net, "READY")

    model = fresh("a model")
    client.create_registered_model(model)
    client.create_model_version(model, f"runs:/{run}/notes", run)
    prompt = mlflow.genai.register_prompt(fresh("prompt"), "Say {{word}}", tags={"_mlflow_experiment_ids": f",{experiment},"}).name

    dataset = create_dataset(name=fresh("dataset"), experiment_id=[experiment])
    dataset.merge_records([{"inputs": {"question": "why"}, "expectations": {"answer": "so"}}])
    store = _get_store()
    schema = store.create_label_schema(experiment, name="quality", type="feedback", input=InputText())
    store.create_review_queue(experiment, name="to review", queue_type="custom", users=[mail("owner")], schema_ids=[schema.schema_id])
    judge = {"name": "brief", "mlflow_version": mlflow.__version__, "serialization_version": 1, "instructions_judge_pydantic_data": {"instructions": "Is {{ outputs }} brief?", "model": "openai:/gpt"}}
    store.register_scorer(experiment, "brief", json.dumps(judge))

    secret = store.create_gateway_secret(fresh("secret"), {"api_key": "sk-none"}, provider="openai")
    definition = store.create_gateway_model_definition(fresh("definition"), secret.secret_id, "openai", "gpt-4o")
    config = GatewayEndpointModelConfig(definition.model_definition_id, GatewayModelLinkageType.PRIMARY, 1.0)
    endpoint = store.create_gateway_endpoint(fresh("endpoint"), [config], usage_tracking=False)
    server = f"com.example/{fresh('mcp')}"
    ask("3.0/mlflow/mcp-servers", {"name": server, "description": "tools of the owner"})

for kind, pattern in (
    ("experiment", experiment),
    ("registered_model", model),
    ("prompt", prompt),
    ("gateway_endpoint", endpoint.endpoint_id),
    ("mcp_server", server),
):
    grant(f"user:{mail('reader')}", "READ", kind, pattern)

place = f"/experiments/{experiment}"
# Where a page is, and what the owner reads there.
pages = {
    "experiments": ["/experiments", name],
    "overview": [f"{place}/overview/usage", "Latency"],
    "quality": [f"{place}/overview/quality", "good"],
    "traces": [f"{place}/traces", "question 2"],
    "trace": [f"{place}/traces?selectedEvaluationId={first}", "retrieve"],
    "runs": [f"{place}/runs", "the only run"],
    "run": [f"{place}/runs/{run}", "depth"],
    "run-charts": [f"{place}/runs/{run}/model-metrics", "loss"],
    "run-artifacts": [f"{place}/runs/{run}/artifacts", "notes"],
    "logged-models": [f"{place}/models", "net"],
    "logged-model": [f"{place}/models/{net}", "net"],
    "judges": [f"{place}/judges", "brief"],
    "review": [f"{place}/review-queue", "to review"],
    "datasets": [f"{place}/datasets", dataset.name],
    "sessions": [f"{place}/chat-sessions", ""],
    "evaluations": [f"{place}/evaluation-runs", ""],
    "models": ["/models", model],
    "model": [f"/models/{model}", model],
    "model-version": [f"/models/{model}/versions/1", "Version 1"],
    "prompts": ["/prompts", prompt],
    "prompt": [f"/prompts/{prompt}", "Say"],
    "gateway": ["/gateway", endpoint.name],
    "gateway-keys": ["/gateway/api-keys", ""],
    "gateway-usage": ["/gateway/usage", ""],
    "mcp": ["/mcp-registry", server],
    "mcp-server": [f"/mcp-registry/{server.replace('/', '%2F')}", "tools of the owner"],
    "home": ["/", name],
}
only = os.environ.get("LIVE_PAGES")
print(json.dumps({page: words for page, words in pages.items() if not only or page in only.split(",")}))
