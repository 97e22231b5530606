"""What each version's client does beyond the other scripts, where that version has it: inputs, logged models, traces."""

import math
import os

# Read when the client is imported: a trace is with the server when its call returns.
os.environ["MLFLOW_ENABLE_ASYNC_TRACE_LOGGING"] = "false"

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag

from actors import acting, equal, fresh, grant, mail, refused, revoke, server_version, until

client = MlflowClient()
name = fresh("versions")

with acting("owner"):
    experiment = mlflow.set_experiment(name).experiment_id
    with mlflow.start_run(run_name="outer") as outer:
        mlflow.log_metric("odd", float("nan"))
        mlflow.log_params({"depth": 3, "kind": "\u00e4"})
        with mlflow.start_run(run_name="inner", nested=True) as inner:
            mlflow.log_text("words", "notes/a b.txt")
    outer, inner = outer.info.run_id, inner.info.run_id
    client.log_batch(
        inner,
        metrics=[Metric(f"m{number}", number, 1, 0) for number in range(50)],
        params=[Param("p", "1")],
        tags=[RunTag("k", "v")],
    )
    equal(math.isnan(client.get_run(outer).data.metrics["odd"]), True)
    equal([found.info.run_id for found in client.search_runs([experiment], f"tags.mlflow.parentRunId = '{outer}'")], [inner])
    equal(mlflow.artifacts.load_text(f"{client.get_run(inner).info.artifact_uri}/notes/a b.txt"), "words")
    client.set_experiment_tag(experiment, "team", "a")
    equal(mlflow.set_experiment(name).experiment_id, experiment)

# Logged models came with 3.0.
made = None
if hasattr(client, "create_logged_model"):
    with acting("owner"):
        made = client.create_logged_model(experiment, name="net", source_run_id=outer, tags={"a": "b"}).model_id
        client.finalize_logged_model(made, "READY")
        client.set_logged_model_tags(made, {"checked": "yes"})
        equal(client.get_logged_model(made).tags["checked"], "yes")

# Traces came with 2.14; what is called `request` up to 2.22 is called `trace` since 3.0.
BEFORE_3 = int(mlflow.__version__.split(".")[0]) < 3
IDS = "request_ids" if BEFORE_3 else "trace_ids"


def id_of(trace):
    return trace.info.request_id if BEFORE_3 else trace.info.trace_id


def traces(**more):
    place = {"experiment_ids": [experiment]} if BEFORE_3 or server_version() < (3, 5) else {"locations": [experiment]}
    return client.search_traces(**place, **more)


@mlflow.trace(name="answer")
def answer(question):
    with mlflow.start_span("retrieve") as span:
        span.set_inputs({"question": question})
        span.set_outputs(["a", "b"])
    return f"{question} yes"


with acting("owner"):
    mlflow.set_experiment(name)
    equal(answer("first"), "first yes")
    first = id_of(traces()[0])
    with mlflow.start_run(run_id=outer):
        answer("second")
    found = traces(max_results=1) + traces(max_results=1, page_token=traces(max_results=1).token)
    second = id_of(found[0])
    equal([id_of(trace) for trace in found], [second, first])
    equal([span.name for span in client.get_trace(first, display=False).data.spans], ["answer", "retrieve"])
    equal(client.get_trace(second, display=False).info.request_metadata["mlflow.sourceRun"], outer)
    equal([id_of(trace) for trace in traces(run_id=outer)], [second])
    client.set_trace_tag(first, "stage", "trial")
    equal([id_of(trace) for trace in traces(filter_string="tags.stage = 'trial'")], [first])
    client.delete_trace_tag(first, "stage")
    equal("stage" in client.get_trace(first, display=False).info.tags, False)

# Feedback by the client came with 3.2 (in 2.22 it was Databricks' alone).
feedback = not BEFORE_3 and server_version() >= (3, 2)
if feedback:
    with acting("owner"):
        from mlflow.entities import AssessmentSource, AssessmentSourceType

        # A person's word is the caller's, whoever is named; without a source it is code's.
        person = AssessmentSource(AssessmentSourceType.HUMAN, "somebody.else")
        mlflow.log_feedback(trace_id=first, name="good", value=True, source=person)
        (given,) = client.get_trace(first, display=False).info.assessments
        equal((given.name, given.value, given.source.source_id), ("good", True, mail("owner")))

for stranger in ("reader", "guest"):
    with acting(stranger):
        with refused():
            client.get_run(outer)
        equal(list(client.search_runs([experiment])), [])
        if made:
            with refused():
                client.get_logged_model(made)
            equal(list(client.search_logged_models([experiment])), [])
        equal(list(traces()), [])
        with refused():
            client.get_trace(first, display=False)
        with refused():
            client.set_trace_tag(first, "stage", "trial")
        with refused():
            client.delete_traces(experiment, **{IDS: [first]})
        if feedback:
            with refused():
                mlflow.log_feedback(trace_id=first, name="good", value=False)

grant(f"user:{mail('reader')}", "READ", "experiment", experiment)
with acting("reader"):
    equal(until(lambda: client.get_run(inner)).data.metrics["m7"], 7.0)
    equal(len(client.search_runs([experiment])), 2)
    equal(mlflow.artifacts.load_text(f"{client.get_run(inner).info.artifact_uri}/notes/a b.txt"), "words")
    if made:
        equal([found.model_id for found in client.search_logged_models([experiment])], [made])
        with refused():
            client.set_logged_model_tags(made, {"checked": "no"})
    with refused():
        client.log_metric(inner, "m7", 8.0)
    equal({id_of(trace) for trace in traces()}, {first, second})
    equal([span.name for span in client.get_trace(first, display=False).data.spans], ["answer", "retrieve"])
    with refused():
        client.set_trace_tag(first, "stage", "trial")
    with refused():
        client.delete_traces(experiment, **{IDS: [first]})
grant(f"user:{mail('reader')}", "DENY", "trace", second)
with acting("reader"):
    until(lambda: equal([id_of(trace) for trace in traces()], [first]))
    with refused():
        client.get_trace(second, display=False)
revoke(f"user:{mail('reader')}", "trace", second)

with acting("owner"):
    equal(client.delete_traces(experiment, **{IDS: [first]}), 1)
    equal([id_of(trace) for trace in traces()], [second])
print(mlflow.__version__)
