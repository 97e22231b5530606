"""One valid request for each row of the table. `$word` stands for a thing of the world."""

from world import JUDGE, assessment

EXPERIMENT, RUN, MODEL = {"experiment_id": "$experiment"}, {"run_id": "$run"}, {"name": "$registered_model"}
VERSION = {"name": "$registered_model", "version": "$version"}
TAG, KEY = {"key": "t", "value": "v"}, {"key": "t"}
SECRET, DEFINITION, ENDPOINT = (
    {"secret_id": "$secret"},
    {"model_definition_id": "$definition"},
    {"endpoint_id": "$endpoint"},
)
CONFIG = {"model_definition_id": "$definition", "linkage_type": "PRIMARY", "weight": 1}
SCORER = {"experiment_id": "$experiment", "name": "$scorer"}
SCHEMA, QUEUE = {"schema_id": "$label_schema"}, {"queue_id": "$review_queue"}
PLACE = {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": "$experiment"}}
INPUT = {"pass_fail": {"positive_label": "yes", "negative_label": "no"}}
GRAPHQL = (
    'query GetRun($data: MlflowGetRunInput!) { mlflowGetRun(input: $data) { run { info { runId runName } } } }'
)

# What stands in a path, wherever.
CAPTURES = {
    "model_id": "$logged_model",
    "tag_key": "t",
    "key": "t",
    "trace_id": "$trace",
    "request_id": "$trace",
    "assessment_id": "$assessment",
    "dataset_id": "$dataset",
    "issue_id": "$issue",
    "webhook_id": "$webhook",
    "artifact_path": "$artifact",
    "name": "$mcp_server",
    "version": "$mcp_version",
    "alias": "a",
    "endpoint_name": "$endpoint_name",
    "workspace_name": "default",
}

# The query of a GET, the body of anything else.
CALLS = {
    "Serve": {}, "Version": {}, "Health": {}, "GetServerInfo": {}, "GetCurrentUser": {}, "GetConfig": {},
    "GetProviders": {}, "ServeGetUiTelemetry": {},
    "Graphql": {"query": GRAPHQL, "variables": {"data": {"runId": "$run"}}},
    # Experiments
    "CreateExperiment": {"name": "$new"},
    "GetExperiment": EXPERIMENT,
    "GetExperimentByName": {"experiment_name": "$experiment_name"},
    "SearchExperiments": {"max_results": 1000},
    "UpdateExperiment": {**EXPERIMENT, "new_name": "$experiment_name"},
    "DeleteExperiment": EXPERIMENT,
    "RestoreExperiment": EXPERIMENT,
    "SetExperimentTag": {**EXPERIMENT, **TAG},
    "DeleteExperimentTag": {**EXPERIMENT, **KEY},
    "SearchRunDatasets": {"experiment_ids": ["$experiment"]},
    # Runs
    "CreateRun": EXPERIMENT,
    "GetRun": RUN,
    "UpdateRun": {**RUN, "status": "RUNNING"},
    "DeleteRun": RUN,
    "RestoreRun": RUN,
    "SearchRuns": {"experiment_ids": ["$experiment"]},
    "CreatePromptlabRun": {
        **EXPERIMENT, "name": "p", "prompt_template": "x", "prompt_parameters": [], "model_route": "r",
        "model_parameters": [], "model_input": "i", "model_output": "o", "model_output_parameters": [],
        "mlflow_version": "3.17.2", "user_id": "u", "start_time": "1", "tags": [],
    },
    "LogMetric": {**RUN, "key": "m", "value": 1, "timestamp": 2},
    "LogParam": {**RUN, "key": "p", "value": "1"},
    "SetTag": {**RUN, **TAG},
    "DeleteTag": {**RUN, **KEY},
    "LogBatch": {**RUN, "metrics": [{"key": "m", "value": 1, "timestamp": 3}]},
    "LogInputs": {**RUN, "datasets": []},
    "LogOutputs": {**RUN, "models": [{"model_id": "$logged_model"}]},
    "LogModel": {**RUN, "model_json": '{"run_id": "$run", "artifact_path": "m", "flavors": {}, "utc_time_created": "2026-01-01 00:00:00"}'},
    "GetMetricHistory": {**RUN, "metric_key": "m"},
    "GetMetricHistoryBulk": {**RUN, "metric_key": "m"},
    "GetMetricHistoryBulkInterval": {"run_ids": ["$run"], "metric_key": "m"},
    # Logged models
    "CreateLoggedModel": {**EXPERIMENT, "name": "made"},
    "SearchLoggedModels": {"experiment_ids": ["$experiment"]},
    "GetLoggedModel": {},
    "FinalizeLoggedModel": {"status": "LOGGED_MODEL_READY"},
    "DeleteLoggedModel": {},
    "LogLoggedModelParams": {"params": [{"key": "$new", "value": "1"}]},
    "SetLoggedModelTags": {"tags": [TAG]},
    "DeleteLoggedModelTag": {},
    "ListLoggedModelArtifacts": {"artifact_directory_path": ""},
    "GetLoggedModelArtifact": {"artifact_file_path": "a.txt"},
    # Artifacts
    "ListArtifacts": RUN,
    "GetArtifact": {**RUN, "path": "a.txt"},
    "UploadRunArtifact": {"?": {"run_uuid": "$run", "path": "b.txt"}, "data": "text"},
    "ListArtifactsOf": {"path": "$artifact_root"},
    "DownloadArtifact": {},
    "UploadArtifact": {"data": "text"},
    "DeleteArtifact": {},
    # Registered models
    "CreateRegisteredModel": {"name": "$new"},
    "GetRegisteredModel": MODEL,
    "SearchRegisteredModels": {"max_results": 100},
    "UpdateRegisteredModel": {**MODEL, "description": "d"},
    "RenameRegisteredModel": {**MODEL, "new_name": "$new"},
    "DeleteRegisteredModel": MODEL,
    "SetRegisteredModelTag": {**MODEL, **TAG},
    "DeleteRegisteredModelTag": {**MODEL, **KEY},
    "SetRegisteredModelAlias": {**VERSION, "alias": "a"},
    "DeleteRegisteredModelAlias": {**MODEL, "alias": "a"},
    "GetModelVersionByAlias": {**MODEL, "alias": "a"},
    "GetLatestVersions": MODEL,
    "CreateModelVersion": {**MODEL, "source": "mlflow-artifacts:/$experiment/$run/artifacts", **RUN},
    "GetModelVersion": VERSION,
    "SearchModelVersions": {"max_results": 1000},
    "UpdateModelVersion": {**VERSION, "description": "d"},
    "TransitionModelVersionStage": {**VERSION, "stage": "None", "archive_existing_versions": False},
    "DeleteModelVersion": VERSION,
    "SetModelVersionTag": {**VERSION, **TAG},
    "DeleteModelVersionTag": {**VERSION, **KEY},
    "GetModelVersionDownloadUri": VERSION,
    "GetModelVersionArtifact": {**VERSION, "path": "a.txt"},
    # Webhooks, workspaces
    "ListWebhooks": {},
    "CreateWebhook": {
        "name": "$new", "url": "https://1.1.1.1/hook", "status": "DISABLED",
        "events": [{"entity": "REGISTERED_MODEL", "action": "CREATED"}],
    },
    "GetWebhook": {}, "UpdateWebhook": {"name": "$new"}, "DeleteWebhook": {},
    # Traces
    "StartTraceV3": {"trace": {"trace_info": {
        "trace_id": "$new_trace", "trace_location": PLACE, "request_time": "2026-01-01T00:00:00Z", "state": "OK",
    }}},
    "StartTrace": {**EXPERIMENT, "timestamp_ms": 1},
    "EndTrace": {"timestamp_ms": 2, "status": "OK"},
    "GetTraceInfo": {}, "GetTraceInfoV3": {}, "GetTrace": {"trace_id": "$trace"},
    "SearchTraces": {"experiment_ids": ["$experiment"]},
    "SearchTracesV3": {"locations": [PLACE]},
    "BatchGetTraces": {"trace_ids": ["$trace"]},
    "BatchGetTraceInfos": {"trace_ids": ["$trace"]},
    "DeleteTraces": {**EXPERIMENT, "request_ids": ["$trace"]},
    "DeleteTracesV3": {**EXPERIMENT, "request_ids": ["$trace"]},
    "SetTraceTag": TAG, "SetTraceTagV3": TAG, "DeleteTraceTag": KEY, "DeleteTraceTagV3": KEY,
    "LinkTracesToRun": {**RUN, "trace_ids": ["$trace"]},
    "LinkPromptsToTrace": {"trace_id": "$trace", "prompt_versions": [{"name": "$prompt", "version": "1"}]},
    "QueryTraceMetrics": {
        "experiment_ids": ["$experiment"], "view_type": "TRACES", "metric_name": "trace_count",
        "aggregations": [{"aggregation_type": "COUNT"}],
    },
    "CalculateTraceFilterCorrelation": {
        "experiment_ids": ["$experiment"], "filter_string1": "status = 'OK'", "filter_string2": "status = 'ERROR'",
    },
    "ServeGetTraceArtifact": {"request_id": "$trace"},
    "CreateAssessment": {"assessment": assessment("$trace")},
    "GetAssessmentRequest": {},
    "UpdateAssessment": {
        "assessment": {**assessment("$trace"), "assessment_id": "$assessment"}, "update_mask": "assessmentName",
    },
    "DeleteAssessment": {},
    # Evaluation datasets
    "CreateDataset": {"name": "$new", "experiment_ids": ["$experiment"]},
    "SearchEvaluationDatasets": {"experiment_ids": ["$experiment"]},
    "GetDataset": {}, "DeleteDataset": {}, "GetDatasetExperimentIds": {}, "GetDatasetRecords": {},
    "UpsertDatasetRecords": {"records": '[{"inputs": {"q": "a"}}]'},
    "DeleteDatasetRecords": {"dataset_record_ids": ["dr-1"]},
    "AddDatasetToExperiments": {"experiment_ids": ["$experiment"]},
    "RemoveDatasetFromExperiments": {"experiment_ids": ["$experiment"]},
    "SetDatasetTags": {"tags": '{"t": "v"}'}, "DeleteDatasetTag": {},
    # Scorers
    "RegisterScorer": {**SCORER, "serialized_scorer": JUDGE},
    "GetScorer": SCORER, "ListScorers": EXPERIMENT, "ListScorerVersions": SCORER, "DeleteScorer": SCORER,
    # The gateway
    "CreateGatewaySecret": {"secret_name": "$new", "secret_value": {"api_key": "k"}, "provider": "openai"},
    "GetGatewaySecretInfo": SECRET, "ListGatewaySecretInfos": {}, "DeleteGatewaySecret": SECRET,
    "UpdateGatewaySecret": {**SECRET, "secret_value": {"api_key": "k2"}},
    "CreateGatewayModelDefinition": {"name": "$new", **SECRET, "provider": "openai", "model_name": "gpt-4o"},
    "GetGatewayModelDefinition": DEFINITION, "ListGatewayModelDefinitions": {},
    "UpdateGatewayModelDefinition": {**DEFINITION, "model_name": "gpt-4o"},
    "DeleteGatewayModelDefinition": DEFINITION,
    "CreateGatewayEndpoint": {"name": "$new", "model_configs": [CONFIG]},
    "GetGatewayEndpoint": ENDPOINT, "ListGatewayEndpoints": {}, "DeleteGatewayEndpoint": ENDPOINT,
    "UpdateGatewayEndpoint": {**ENDPOINT, "name": "$endpoint_name"},
    "AttachModelToGatewayEndpoint": {**ENDPOINT, "model_config": CONFIG},
    "DetachModelFromGatewayEndpoint": {**ENDPOINT, **DEFINITION},
    "SetGatewayEndpointTag": {**ENDPOINT, **TAG}, "DeleteGatewayEndpointTag": {**ENDPOINT, **KEY},
    "ListGatewayBudgetPolicies": {}, "ListGatewayBudgetWindows": {}, "ListGatewayGuardrails": {},
    "ListEndpointGuardrailConfigs": ENDPOINT,
    "ListGatewayEndpointBindings": ENDPOINT,
    # MCP servers: all ids stand in the path.
    "CreateMcpServer": {"name": "com.example/$new"},
    # Review queues, label schemas, issues
    "CreateLabelSchema": {**EXPERIMENT, "name": "$new", "type": "FEEDBACK", "input": INPUT},
    "GetLabelSchema": SCHEMA, "ListLabelSchemas": EXPERIMENT, "DeleteLabelSchema": SCHEMA,
    "GetLabelSchemaByName": {**EXPERIMENT, "name": "$label_schema_name"},
    "UpdateLabelSchema": {**SCHEMA, "instruction": "i"},
    "CreateReviewQueue": {**EXPERIMENT, "name": "$new", "queue_type": "CUSTOM", "schema_ids": ["$label_schema"]},
    "GetReviewQueue": QUEUE, "ListReviewQueues": EXPERIMENT, "DeleteReviewQueue": QUEUE,
    "GetReviewQueueByName": {**EXPERIMENT, "name": "$review_queue_name"},
    "UpdateReviewQueue": {**QUEUE, "name": "$review_queue_name"},
    "AddItemsToReviewQueue": {**QUEUE, "item_type": "TRACE", "item_ids": ["$trace"]},
    "ListReviewQueueItems": QUEUE,
    "RemoveItemsFromReviewQueue": {**QUEUE, "item_ids": ["$trace"]},
    "SetReviewQueueItemStatus": {**QUEUE, "item_id": "$trace", "status": "COMPLETE"},
    "CreateIssue": {**EXPERIMENT, "name": "$new", "description": "d", "status": "pending"},
    "GetIssue": {}, "SearchIssues": EXPERIMENT, "UpdateIssue": {"name": "n"},
}  # fmt: skip

# What a call destroys or changes for good is made anew before each.
FRESH = {
    "DeleteRun": "run",
    "RestoreRun": "run",
    "DeleteTag": None,
    "DeleteLoggedModel": "logged_model",
    "DeleteLoggedModelTag": "logged_model",
    "RenameRegisteredModel": "registered_model",
    "DeleteRegisteredModel": "registered_model",
    "DeleteRegisteredModelTag": "registered_model",
    "DeleteRegisteredModelAlias": "model_version",
    "DeleteModelVersion": "model_version",
    "DeleteModelVersionTag": "model_version",
    "DeleteWebhook": "webhook",
    "DeleteTraces": "trace",
    "DeleteTracesV3": "trace",
    "DeleteTraceTag": "trace",
    "DeleteTraceTagV3": "trace",
    "DeleteAssessment": "assessment",
    "DeleteDataset": "dataset",
    "DeleteDatasetTag": "dataset",
    "DeleteScorer": "scorer",
    "DeleteGatewaySecret": "secret",
    "DeleteGatewayModelDefinition": "definition",
    "DeleteGatewayEndpoint": "endpoint",
    "DeleteGatewayEndpointTag": "endpoint",
    "DeleteLabelSchema": "label_schema",
    "DeleteReviewQueue": "review_queue",
    "RemoveDatasetFromExperiments": "dataset",
}

# The same calls on a prompt: MLflow keeps it among the registered models.
ON_PROMPTS = [
    "GetRegisteredModel", "UpdateRegisteredModel", "SetRegisteredModelTag", "SetRegisteredModelAlias",
    "GetModelVersionByAlias", "GetModelVersion", "UpdateModelVersion", "SetModelVersionTag", "DeleteRegisteredModelTag",
    "DeleteRegisteredModelAlias", "DeleteModelVersion", "DeleteModelVersionTag", "DeleteRegisteredModel",
]  # fmt: skip

# After the call, by the administrator, so that the next user finds what this one found.
AFTER = {
    "DeleteExperiment": ("/api/2.0/mlflow/experiments/restore", EXPERIMENT),
    "DeleteExperimentTag": ("/api/2.0/mlflow/experiments/set-experiment-tag", {**EXPERIMENT, **TAG}),
    "DeleteTag": ("/api/2.0/mlflow/runs/set-tag", {**RUN, **TAG}),
}
