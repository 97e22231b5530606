"""One valid request for each row of the table. `$word` stands for a thing of the world."""

from servers import HAS_SKILLS
from world import JUDGE, PROMPT, SKILL_VERSION, assessment

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
    "namespace": "com.example",
    "slug": "$mcp_slug",
    "version": "$mcp_version",
    "endpoint_id": "$mcp_endpoint",
    "alias": "a",
    "endpoint_name": "$endpoint_name",
    "workspace_name": "default",
}

CHAT = {"messages": [{"role": "user", "content": "hi"}]}
GUARDRAIL = {"name": "$new", "scorer_id": "$scorer_id", "scorer_version": 1, "stage": "BEFORE", "action": "VALIDATION"}
GUARDED = {**ENDPOINT, "guardrail_id": "$guardrail"}
BINDING = {**ENDPOINT, "resource_type": "scorer", "resource_id": "$scorer_id"}
BUDGET = {
    "budget_unit": "USD", "budget_amount": 1000000, "duration": {"unit": "DAYS", "value": 1},
    "target_scope": "GLOBAL", "budget_action": "ALERT",
}  # fmt: skip
ANSWER = {"generationConfig": {}, "contents": [{"role": "user", "parts": [{"text": "hi"}]}]}
PARTS = {"path": "a.txt", "num_parts": 1}

# The query of a GET, the body of anything else. `?` is a query beside a body, `/` captures of this path alone, `otlp` spans
# of the trace that it names.
CALLS = {
    "Serve": {}, "Version": {}, "Health": {}, "GetServerInfo": {}, "GetCurrentUser": {}, "GetConfig": {},
    "GetProviders": {}, "ServeGetUiTelemetry": {}, "ServePostUiTelemetry": {"records": []},
    "ServeStaticFile": {"/": {"path": "index.html"}},
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
        **EXPERIMENT, "name": "p", "prompt_template": "x", "prompt_parameters": [{"key": "a", "value": "b"}], "model_route": "r",
        "model_parameters": [{"key": "a", "value": "b"}], "model_input": "i", "model_output": "o",
        "model_output_parameters": [{"key": "a", "value": "b"}],
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
    "FinalizeLoggedModel": {"model_id": "$logged_model", "status": "LOGGED_MODEL_READY"},
    "DeleteLoggedModel": {},
    "LogLoggedModelParams": {"model_id": "$logged_model", "params": [{"key": "$new", "value": "1"}]},
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
    "CreatePresignedDownloadUrl": {**RUN, "path": "a.txt"}, "CreatePresignedUploadUrl": {**RUN, "path": "c.txt"},
    "GetPresignedDownloadUrl": {},
    "CreateMultipartUpload": PARTS,
    "CompleteMultipartUpload": {"path": "a.txt", "upload_id": "u", "parts": []},
    "AbortMultipartUpload": {"path": "a.txt", "upload_id": "u"},
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
    "ExportTraces": {"otlp": "$new_trace", "headers": {"x-mlflow-experiment-id": "$experiment"}},
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
    "UpsertOnlineScoringConfig": {**SCORER, "sample_rate": 0.0},
    "GetOnlineScoringConfigs": {"scorer_ids": ["$scorer_id"]},
    "InvokeScorerHandler": {**EXPERIMENT, "serialized_scorer": JUDGE, "trace_ids": ["$trace"]},
    "InvokeGenaiEvaluateHandler": {**EXPERIMENT, "serialized_scorers": [JUDGE], "trace_ids": ["$trace"]},
    "InvokeIssueDetectionHandler": {
        **EXPERIMENT, "trace_ids": ["$trace"], "categories": ["c"], "provider": "openai", "endpoint_name": "$endpoint_name",
    },
    # Jobs
    "SearchJobs": {}, "SearchPromptOptimizationJobs": EXPERIMENT,
    "CreatePromptOptimizationJob": {
        **EXPERIMENT, "source_prompt_uri": "prompts:/$prompt/1",
        "config": {"optimizer_type": "OPTIMIZER_TYPE_GEPA", "dataset_id": "$dataset", "scorers": ["Correctness"]},
    },
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
    "ListEndpointGuardrailConfigs": ENDPOINT, "GetSecretsConfig": {},
    "CreateGatewayGuardrail": GUARDRAIL, "GetGatewayGuardrail": {"guardrail_id": "$guardrail"},
    "DeleteGatewayGuardrail": {"guardrail_id": "$guardrail"},
    "AddGuardrailToEndpoint": GUARDED, "RemoveGuardrailFromEndpoint": GUARDED,
    "UpdateEndpointGuardrailConfig": {**GUARDED, "execution_order": 2},
    "CreateGatewayBudgetPolicy": BUDGET, "GetGatewayBudgetPolicy": {"budget_policy_id": "$budget"},
    "UpdateGatewayBudgetPolicy": {"budget_policy_id": "$budget", "budget_amount": 2000000},
    "DeleteGatewayBudgetPolicy": {"budget_policy_id": "$budget"},
    "CreateGatewayEndpointBinding": BINDING, "DeleteGatewayEndpointBinding": BINDING,
    "GetProviderConfig": {"provider": "openai"}, "SupportedModels": {"provider": "openai"}, "SupportedProviders": {},
    "ServeGatewayProxyGet": {"gateway_path": "api/2.0/endpoints/"},
    "ServeGatewayProxy": {"gateway_path": "gateway/x/invocations", "json_data": {}},
    "GatewayModels": {},
    "ChatCompletions": {"model": "$endpoint_name", **CHAT}, "OpenaiPassthroughChat": {"model": "$endpoint_name", **CHAT},
    "OpenaiPassthroughEmbeddings": {"model": "$endpoint_name", "input": "hi"},
    "OpenaiPassthroughResponses": {"model": "$endpoint_name", "input": "hi"},
    "OpenaiPassthroughResponsesCompact": {"model": "$endpoint_name", "input": "hi"},
    "AnthropicPassthroughMessages": {"model": "$endpoint_name", "max_tokens": 5, **CHAT},
    "TypesafePassthroughSystemOne": {"model": "$endpoint_name", **CHAT},
    "GeminiPassthroughGenerateContent": ANSWER, "GeminiPassthroughStreamGenerateContent": ANSWER,
    "Invocations": CHAT, "RawProxy": {"/": {"path": "v1/chat/completions"}, **CHAT},
    "ListGatewayEndpointBindings": ENDPOINT,
    # MCP servers: nearly all ids stand in the path.
    "CreateMcpServer": {"name": "com.example/$new"},
    "SearchMcpServers": {"max_results": 100}, "SearchMcpAccessEndpoints": {"max_results": 100},
    "GetMcpServer": {}, "DeleteMcpServer": {}, "UpdateMcpServer": {"description": "d"},
    "SetMcpServerTag": TAG, "DeleteMcpServerTag": {},
    "SetMcpServerAlias": {"alias": "a", "version": "$mcp_version"}, "DeleteMcpServerAlias": {}, "GetMcpVersionByAlias": {},
    "SearchMcpServerVersions": {},
    "CreateMcpServerVersion": {
        "server_json": {"name": "com.example/$mcp_slug", "version": "2.0.$number", "description": "d"}, "status": "active",
    },
    "GetMcpServerVersion": {}, "DeleteMcpServerVersion": {}, "UpdateMcpServerVersion": {"status": "deprecated"},
    "SetMcpVersionTag": TAG, "DeleteMcpVersionTag": {},
    "SearchMcpEndpointsOfServer": {}, "GetMcpAccessEndpoint": {}, "DeleteMcpAccessEndpoint": {},
    "CreateMcpAccessEndpoint": {"url": "https://example.com/$new", "server_version": "$mcp_version"},
    "UpdateMcpAccessEndpoint": {"url": "https://example.com/$new"},
    # Review queues, label schemas, issues
    "CreateLabelSchema": {**EXPERIMENT, "name": "$new", "type": "FEEDBACK", "input": INPUT},
    "GetLabelSchema": SCHEMA, "ListLabelSchemas": EXPERIMENT, "DeleteLabelSchema": SCHEMA,
    "GetLabelSchemaByName": {**EXPERIMENT, "name": "$label_schema_name"},
    "UpdateLabelSchema": {**SCHEMA, "instruction": "i"},
    "CreateReviewQueue": {**EXPERIMENT, "name": "$new", "queue_type": "CUSTOM", "schema_ids": ["$label_schema"]},
    "GetOrCreateUserQueue": {**EXPERIMENT, "user": "$self"},
    "GetReviewQueue": QUEUE, "ListReviewQueues": EXPERIMENT, "DeleteReviewQueue": QUEUE,
    "GetReviewQueueByName": {**EXPERIMENT, "name": "$review_queue_name"},
    "UpdateReviewQueue": {**QUEUE, "name": "$review_queue_name"},
    "AddItemsToReviewQueue": {**QUEUE, "item_type": "TRACE", "item_ids": ["$trace"]},
    "ListReviewQueueItems": QUEUE,
    "RemoveItemsFromReviewQueue": {**QUEUE, "item_ids": ["$trace"]},
    "SetReviewQueueItemStatus": {**QUEUE, "item_id": "$trace", "status": "COMPLETE", "completed_by": "$self"},
    "CreateIssue": {**EXPERIMENT, "name": "$new", "description": "d", "status": "pending"},
    "GetIssue": {}, "SearchIssues": EXPERIMENT, "UpdateIssue": {"issue_id": "$issue", "name": "n"},
}  # fmt: skip

# What a call destroys or changes for good is made anew before each.
FRESH = {
    "DeleteRun": "run",
    "RestoreRun": "run",
    "DeleteTag": None,
    "LogOutputs": "run",
    "DeleteLoggedModel": "logged_model",
    "DeleteArtifact": "artifact",
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
    "AttachModelToGatewayEndpoint": "definition",
    "DetachModelFromGatewayEndpoint": "endpoint",
    "DeleteGatewayEndpointTag": "endpoint",
    "DeleteLabelSchema": "label_schema",
    "DeleteReviewQueue": "review_queue",
    "RemoveItemsFromReviewQueue": "review_queue",
    "SetReviewQueueItemStatus": "review_queue",
    "RemoveDatasetFromExperiments": "dataset",
    "DeleteGatewayGuardrail": "guardrail",
    "AddGuardrailToEndpoint": "guardrail",
    "RemoveGuardrailFromEndpoint": "guarded",
    "UpdateEndpointGuardrailConfig": "guarded",
    "DeleteGatewayBudgetPolicy": "budget",
    "CreateGatewayEndpointBinding": "scorer",
    "DeleteGatewayEndpointBinding": "binding",
    "DeleteMcpServer": "mcp_server",
    "DeleteMcpServerTag": "mcp_version",
    "DeleteMcpServerAlias": "mcp_version",
    "UpdateMcpServerVersion": "mcp_version",
    "DeleteMcpServerVersion": "mcp_draft",
    "DeleteMcpVersionTag": "mcp_version",
    "DeleteMcpAccessEndpoint": "mcp_endpoint",
}

# Rows that are not driven, and why. A row that stands neither here nor above fails the run.
NOT_DRIVEN = {
    "GetServerInfoOf39": "a path of 3.9 and 3.10, which this server has not",
    "SyncIssueDetectionScheduleStateHandler": "from 3.18 on",
    "*Skill": "from 3.18 on: these servers are of 3.17.2; tests/live/gateway.rs drives them on 3.18.0",
    "*Skills": "as above",
    "*SkillTag": "as above",
    "*SkillAlias": "as above",
    "*SkillVersion*": "as above",
    "InstallSkillsEndpoint": "the assistant runs commands on the host",
    "UpdateConfig": "the assistant runs commands on the host",
    "SendMessage": "the assistant runs commands on the host",
    "ProviderHealthCheck": "the assistant runs commands on the host",
    "ListProviderModels": "the assistant runs commands on the host",
    "PatchSession": "the assistant runs commands on the host",
    "ResolvePermission": "the assistant runs commands on the host",
    "StreamResponse": "the assistant runs commands on the host",
    "ResolveClientToolResult": "the assistant runs commands on the host",
    "GenerateDemo": "makes an experiment of its own that all calls after it would see",
    "DeleteDemo": "the same",
    "TestWebhook": "the server would call an address outside",
    "SubmitJob": "jobs are not executed by these servers: they would ask language models",
    "GetJob": "there is no job, as above",
    "CancelJob": "there is no job, as above",
    "GetPromptOptimizationJob": "there is no job, as above",
    "CancelPromptOptimizationJob": "there is no job, as above",
    "DeletePromptOptimizationJob": "there is no job, as above",
    "UpdateUserPassword": "there are no passwords: tests/live/auth.rs",
    "*ExperimentPermission": "up to 3.12: tests/live/auth.rs",
    "*RegisteredModelPermission": "up to 3.12: tests/live/auth.rs",
    "*ScorerPermission": "up to 3.12: tests/live/auth.rs",
    "*GatewayEndpointPermission": "up to 3.12: tests/live/auth.rs",
    "*GatewayModelDefinitionPermission": "up to 3.12: tests/live/auth.rs",
    "*GatewaySecretPermission": "up to 3.12: tests/live/auth.rs",
    "*WorkspacePermission*": "up to 3.12: tests/live/auth.rs",
    "*Workspace": "workspaces are off on these servers: tests/live/workspaces.rs",
    "*Workspaces": "workspaces are off on these servers: tests/live/workspaces.rs",
}

# Users, roles and permissions: each server keeps its own, and is asked itself for them.
EXPERIMENT_OF_ROLE = {"resource_type": "experiment", "resource_pattern": "$experiment", "permission": "READ"}
EXPERIMENT_OF_USER = {"resource_type": "experiment", "resource_id": "$experiment"}
ROLE, OF_ROLE, MADE, SELF = (
    {"role_id": "$role"},
    {"role_permission_id": "$role_permission"},
    {"username": "$made"},
    {"username": "$self"},
)
CALLS |= {
    "CreateUser": {"username": "$new@differential.test", "password": "a test password"},
    "DeleteUser": MADE, "GetUser": SELF, "ListUsers": {}, "GetCurrentUser": {},
    "UpdateUserAdmin": {**MADE, "is_admin": False},
    "ListCurrentUserPermissions": {}, "ListUserPermissions": SELF,
    "GetUserPermission": {**SELF, **EXPERIMENT_OF_USER},
    "GrantUserPermission": {**MADE, **EXPERIMENT_OF_USER, "permission": "READ"},
    "RevokeUserPermission": {**MADE, **EXPERIMENT_OF_USER},
    "CreateRole": {"name": "$new", "workspace": "default"}, "UpdateRole": {**ROLE, "description": "d"}, "DeleteRole": ROLE,
    "GetRole": ROLE, "ListRoles": {"workspace": "default"}, "ListRoleUsers": ROLE, "ListUserRoles": SELF,
    "AssignRole": {**ROLE, **MADE}, "UnassignRole": {**ROLE, **MADE},
    "AddRolePermission": {**ROLE, **EXPERIMENT_OF_ROLE}, "ListRolePermissions": ROLE,
    "UpdateRolePermission": {**OF_ROLE, "permission": "EDIT"}, "RemoveRolePermission": OF_ROLE,
}  # fmt: skip
FRESH |= {
    "DeleteUser": "user", "UpdateUserAdmin": "user", "GrantUserPermission": "user", "RevokeUserPermission": "granted_user",
    "AssignRole": "role", "UnassignRole": "assigned_role", "DeleteRole": "role", "AddRolePermission": "role",
    "UpdateRolePermission": "role_permission", "RemoveRolePermission": "role_permission",
}  # fmt: skip

# Skills, which the server has from 3.18 on, alone and in an organization: two paths, one kind.
SKILL_CALLS = {
    "Get{}Skill": {}, "Update{}Skill": {"description": "d"}, "Delete{}Skill": {},
    "Set{}SkillTag": TAG, "Delete{}SkillTag": {},
    "Set{}SkillAlias": {"alias": "a", "version": 1}, "Get{}SkillVersionByAlias": {}, "Delete{}SkillAlias": {},
    "Search{}SkillVersions": {}, "Create{}SkillVersion": SKILL_VERSION, "Get{}SkillVersion": {},
    "Update{}SkillVersion": {"status": "deprecated"}, "Delete{}SkillVersion": {},
    "Set{}SkillVersionTag": TAG, "Delete{}SkillVersionTag": {},
}  # fmt: skip
if HAS_SKILLS:
    NOT_DRIVEN = {glob: why for glob, why in NOT_DRIVEN.items() if "Skill" not in glob or glob.startswith("Install")}
    CALLS |= {"SearchSkills": {"max_results": 100}, "CreateSkill": {"name": "$new"}}
    CALLS["BulkRegisterSkills"] = {"skills": [{"name": "$new", **SKILL_VERSION}]}
    for among, things in [("", {"name": "$skill"}), ("Organization", {"organization": "acme", "name": "$skill"})]:
        for call, template in SKILL_CALLS.items():
            name = call.format(among)
            CALLS[name] = {**template, "/": {**things, "version": "1", "alias": "a", "key": "t"}}
            if name.startswith(("Delete", "Update")):
                FRESH[name] = "retired" if call == "Delete{}SkillVersion" else "skill"

# Calls that nobody hears a success of here, and why: which answer it is instead is the same for all who may.
WITHOUT_SUCCESS = {
    "InvokeGenaiEvaluateHandler": "jobs are not executed by these servers",
    "InvokeIssueDetectionHandler": "jobs are not executed by these servers",
    "InvokeScorerHandler": "jobs are not executed by these servers",
    "CreatePromptOptimizationJob": "jobs are not executed by these servers",
    "ServeGatewayProxy": "there is no deployments server behind these",
    "ChatCompletions": "no provider answers",
    "OpenaiPassthrough*": "no provider answers",
    "AnthropicPassthrough*": "no provider answers",
    "TypesafePassthrough*": "no provider answers",
    "GeminiPassthrough*": "no provider answers",
    "Invocations": "no provider answers",
    "RawProxy": "no provider answers",
    "ServeGetTraceArtifact": "the spans are kept in the database, not in a file",
}

# The same calls on a prompt: MLflow keeps it among the registered models.
ON_PROMPTS = [
    "CreateRegisteredModel", "CreateModelVersion", "GetLatestVersions", "GetModelVersionDownloadUri",
    "GetRegisteredModel", "UpdateRegisteredModel", "SetRegisteredModelTag", "SetRegisteredModelAlias",
    "GetModelVersionByAlias", "GetModelVersion", "UpdateModelVersion", "SetModelVersionTag", "DeleteRegisteredModelTag",
    "DeleteRegisteredModelAlias", "DeleteModelVersion", "DeleteModelVersionTag", "DeleteRegisteredModel",
]  # fmt: skip

# What a prompt is made by.
PROMPT_CALLS = {
    "CreateRegisteredModel": {"name": "$new", "tags": [PROMPT]},
    "CreateModelVersion": {
        "name": "$prompt",
        "source": "prompt-template",
        "tags": [PROMPT, {"key": "mlflow.prompt.text", "value": "hi"}],
    },
}

# Before the call, by the administrator; what the call was to take back is taken back after it, if it was refused.
BEFORE = {
    "RestoreExperiment": ("/api/2.0/mlflow/experiments/delete", EXPERIMENT),
}

# After the call, by the administrator, so that the next user finds what this one found.
AFTER = {
    "RestoreExperiment": ("/api/2.0/mlflow/experiments/restore", EXPERIMENT),
    "DeleteExperiment": ("/api/2.0/mlflow/experiments/restore", EXPERIMENT),
    "DeleteExperimentTag": ("/api/2.0/mlflow/experiments/set-experiment-tag", {**EXPERIMENT, **TAG}),
    "DeleteTag": ("/api/2.0/mlflow/runs/set-tag", {**RUN, **TAG}),
}
