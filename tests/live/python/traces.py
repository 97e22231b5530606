"""Traces: the client logs, finds, tags, assesses, links and deletes them, by the grants; ids of others cannot be taken."""

import json
import os
import time

import mlflow
from mlflow import MlflowClient
from mlflow.entities import AssessmentSource, AssessmentSourceType
from mlflow.exceptions import MlflowException

from actors import acting, equal, fresh, grant, mail, refused, rest, revoke, until

os.environ["MLFLOW_ENABLE_ASYNC_TRACE_LOGGING"] = "false"
client = MlflowClient()
name = fresh("traces")


@mlflow.trace(name="answer")
def answer(question):
    with mlflow.start_span("retrieve") as span:
        span.set_inputs({"question": question})
        span.set_outputs(["a", "b"])
    mlflow.update_current_trace(tags={"team": "a"})
    return f"{question} yes"


with acting("owner"):
    experiment = mlflow.set_experiment(name).experiment_id
    equal(answer("first"), "first yes")
    first = mlflow.get_last_active_trace_id()
    with mlflow.start_run() as run:
        answer("second")
    second = mlflow.get_last_active_trace_id()
    run = run.info.run_id
    found = client.get_trace(first)
    equal([span.name for span in found.data.spans], ["answer", "retrieve"])
    equal(found.info.tags["team"], "a")
    equal(found.info.trace_metadata["mlflow.user"], mail("owner"))
    equal(client.get_trace(second).info.trace_metadata["mlflow.sourceRun"], run)
    listed = mlflow.search_traces(locations=[experiment], return_type="list")
    equal({trace.info.trace_id for trace in listed}, {first, second})
    equal([trace.info.trace_id for trace in mlflow.search_traces(locations=[experiment], run_id=run, return_type="list")], [second])
    equal(len(mlflow.search_traces(locations=[experiment], max_results=1, return_type="list")), 1)

    client.set_trace_tag(first, "stage", "trial")
    equal(client.get_trace(first).info.tags["stage"], "trial")
    client.delete_trace_tag(first, "stage")
    mlflow.log_feedback(trace_id=first, name="good", value=True, source=AssessmentSource(AssessmentSourceType.HUMAN, "somebody.else"))
    mlflow.log_feedback(trace_id=first, name="judged", value=0.5, source=AssessmentSource(AssessmentSourceType.LLM_JUDGE, "gpt"))
    mlflow.log_expectation(trace_id=first, name="wanted", value="yes")
    assessed = {one.name: one for one in client.get_trace(first).info.assessments}
    # Who says it is who called; a judge is no person.
    equal(assessed["good"].source.source_id, mail("owner"))
    equal(assessed["wanted"].source.source_id, mail("owner"))
    equal(assessed["judged"].source.source_id, "gpt")
    mlflow.override_feedback(trace_id=first, assessment_id=assessed["good"].assessment_id, value=False)
    mlflow.delete_assessment(trace_id=first, assessment_id=assessed["judged"].assessment_id)
    client.link_traces_to_run([first], run)
    equal({trace.info.trace_id for trace in mlflow.search_traces(locations=[experiment], run_id=run, return_type="list")}, {first, second})

    # The server's own tags are nobody's to write. (The client itself does not send the first.)
    for key in ("mlflow.artifactLocation", "mlflow.trace.archiveLocation"):
        told = rest("owner", "PATCH", f"/api/3.0/mlflow/traces/{first}/tags", json={"key": key, "value": "file:///etc"})
        equal((told.status_code, told.json()["error_code"]), (403, "PERMISSION_DENIED"))

# Hidden traces look like absent ones, and are in no list.
absent = "tr-" + "0" * 32
with acting("guest"):
    for trace in (first, absent):
        told = [rest("guest", "GET", f"/api/3.0/mlflow/traces/{trace}"), rest("guest", "GET", f"/ajax-api/3.0/mlflow/get-trace-artifact?request_id={trace}")]
        equal([one.status_code for one in told], [403, 403])
        with refused():
            client.set_trace_tag(trace, "k", "v")
        with refused():
            mlflow.log_feedback(trace_id=trace, name="good", value=True)
    equal(mlflow.search_traces(locations=[experiment], return_type="list"), [])
    told = rest("guest", "POST", "/api/3.0/mlflow/traces/batchGetInfos", json={"trace_ids": [first, absent]})
    equal((told.status_code, told.json()), (200, {}))
    told = rest("guest", "POST", "/api/3.0/mlflow/traces/metrics", json={"experiment_ids": [experiment], "view_type": "TRACES", "metric_name": "trace_count", "aggregations": [{"aggregation_type": "COUNT"}]})
    equal(told.status_code, 403)

# Somebody who may write elsewhere can take no trace there, neither by sending it again nor by its spans.
with acting("trainer"):
    elsewhere = mlflow.set_experiment(fresh("elsewhere")).experiment_id
    answer("third")
    third = mlflow.get_last_active_trace_id()
    info = rest("trainer", "GET", f"/api/3.0/mlflow/traces/{third}").json()["trace"]["trace_info"]
    for stolen in (first, second):
        mine = {**info, "trace_id": stolen, "tags": {}, "assessments": []}
        equal(rest("trainer", "POST", "/api/3.0/mlflow/traces", json={"trace": {"trace_info": mine}}).status_code, 403)
        span = {"traceId": stolen.removeprefix("tr-"), "spanId": "0123456789abcdef", "name": "added", "startTimeUnixNano": str(time.time_ns()), "endTimeUnixNano": str(time.time_ns())}
        spans = {"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}
        told = rest("trainer", "POST", "/v1/traces", json=spans, headers={"x-mlflow-experiment-id": elsewhere})
        equal(told.status_code, 403)
    with refused():
        client.link_traces_to_run([first], client.create_run(elsewhere).info.run_id)
    with refused():
        client.delete_traces(experiment, trace_ids=[first])
    # Its own experiment takes none of the other's either: the server deletes by experiment and id.
    client.delete_traces(elsewhere, trace_ids=[first])
    # Spans of its own come in, packed or not.
    import gzip

    span = {"traceId": "ab" * 16, "spanId": "0123456789abcdef", "name": "alone", "startTimeUnixNano": str(time.time_ns()), "endTimeUnixNano": str(time.time_ns()), "attributes": [{"key": "mlflow.traceTag.team", "value": {"stringValue": "b"}}]}
    body = json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}).encode()
    headers = {"x-mlflow-experiment-id": elsewhere, "content-type": "application/json"}
    equal(rest("trainer", "POST", "/v1/traces", data=gzip.compress(body), headers={**headers, "content-encoding": "gzip"}).status_code, 200)
    equal(client.get_trace("tr-" + "ab" * 16).info.tags["team"], "b")
    bad = body.replace(b"traceTag.team", b"traceTag.mlflow.artifactLocation")
    equal(rest("trainer", "POST", "/v1/traces", data=bad, headers=headers).status_code, 403)

with acting("owner"):
    equal(client.get_trace(first).info.experiment_id, experiment)
    equal([span.name for span in client.get_trace(first).data.spans], ["answer", "retrieve"])

# READ reads and writes nothing; a denied trace is not there; assessments can be denied alone.
grant(f"user:{mail('reader')}", "READ", "experiment", experiment)
with acting("reader"):
    until(lambda: equal(len(mlflow.search_traces(locations=[experiment, elsewhere], return_type="list")), 2))
    equal(len(client.get_trace(first).info.assessments), 3)
    told = rest("reader", "GET", f"/ajax-api/3.0/mlflow/get-trace-artifact?request_id={first}")
    equal((told.status_code, len(told.json()["spans"])), (200, 2))
    told = rest("reader", "POST", "/ajax-api/3.0/mlflow/traces/metrics", json={"experiment_ids": [experiment], "view_type": "TRACES", "metric_name": "trace_count", "aggregations": [{"aggregation_type": "COUNT"}]})
    equal((told.status_code, told.json()["data_points"][0]["values"]["COUNT"]), (200, 2.0))
    for write in (
        lambda: client.set_trace_tag(first, "k", "v"),
        lambda: client.delete_traces(experiment, trace_ids=[first]),
        lambda: mlflow.log_feedback(trace_id=first, name="good", value=True),
        lambda: mlflow.delete_assessment(trace_id=first, assessment_id=assessed["wanted"].assessment_id),
    ):
        with refused():
            write()
grant(f"user:{mail('reader')}", "DENY", "trace", second)
grant(f"user:{mail('reader')}", "DENY", "assessment", "*")
with acting("reader"):
    until(lambda: equal([trace.info.trace_id for trace in mlflow.search_traces(locations=[experiment], return_type="list")], [first]))
    until(lambda: equal(client.get_trace(first).info.assessments, []))
    with refused():
        rest_of = client.search_traces(locations=[experiment], filter_string="feedback.good = 'true'")
    equal(rest("reader", "GET", f"/api/3.0/mlflow/traces/{second}").status_code, 403)
for kind, pattern in (("trace", second), ("assessment", "*"), ("experiment", experiment)):
    revoke(f"user:{mail('reader')}", kind, pattern)

# The run that a trace is of is told to nobody who may not see the run.
# Who sees the later grant at work has the earlier one too.
grant(f"user:{mail('guest')}", "DENY", "run", run)
grant(f"user:{mail('guest')}", "READ", "experiment", experiment)
with acting("guest"):
    until(lambda: equal(len(mlflow.search_traces(locations=[experiment], return_type="list")), 2))
    for info in (client.get_trace(second).info, [trace for trace in mlflow.search_traces(locations=[experiment], return_type="list") if trace.info.trace_id == second][0].info):
        equal("mlflow.sourceRun" in info.trace_metadata, False)
    with refused():
        client.search_traces(locations=[experiment], run_id=run)
revoke(f"user:{mail('guest')}", "run", run)
revoke(f"user:{mail('guest')}", "experiment", experiment)

with acting("owner"):
    equal(client.delete_traces(experiment, trace_ids=[first]), 1)
    equal(client.delete_traces(experiment, max_timestamp_millis=int(time.time() * 1000) + 1000), 1)
    equal(mlflow.search_traces(locations=[experiment], return_type="list"), [])
