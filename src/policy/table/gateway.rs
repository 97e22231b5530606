//! What does each call about the AI gateway need?

use crate::policy::route::Need::SignedIn;
use crate::policy::route::{Row, delete, get, nobody, patch, post};

const GATEWAY: &str = "the AI gateway spends the server's provider keys; its grants are not judged yet";

/// The runs page asks for the endpoints of a deployments server, and the server would fetch what the caller names. This
/// is MLflow's answer where there is none (`gateway_proxy_handler`).
const NO_ENDPOINTS: &str = r#"{"endpoints":[]}"#;

#[rustfmt::skip]
pub(super) static ROWS: &[Row] = &[
    // Gateway
    get   ("2.0/mlflow/gateway-proxy",                                           "ServeGatewayProxyGet",                   &[SignedIn]).ajax().says(NO_ENDPOINTS),
    post  ("2.0/mlflow/gateway-proxy",                                           "ServeGatewayProxy",                      &[nobody(GATEWAY)]).ajax(),
    post  ("3.0/mlflow/gateway/budgets/create",                                  "CreateGatewayBudgetPolicy",              &[nobody(GATEWAY)]),
    delete("3.0/mlflow/gateway/budgets/delete",                                  "DeleteGatewayBudgetPolicy",              &[nobody(GATEWAY)]),
    get   ("3.0/mlflow/gateway/budgets/get",                                     "GetGatewayBudgetPolicy",                 &[nobody(GATEWAY)]),
    get   ("3.0/mlflow/gateway/budgets/list",                                    "ListGatewayBudgetPolicies",              &[nobody(GATEWAY)]),
    post  ("3.0/mlflow/gateway/budgets/update",                                  "UpdateGatewayBudgetPolicy",              &[nobody(GATEWAY)]),
    get   ("3.0/mlflow/gateway/budgets/windows",                                 "ListGatewayBudgetWindows",               &[nobody(GATEWAY)]),
    post  ("3.0/mlflow/gateway/endpoints/bindings/create",                       "CreateGatewayEndpointBinding",           &[nobody(GATEWAY)]),
    delete("3.0/mlflow/gateway/endpoints/bindings/delete",                       "DeleteGatewayEndpointBinding",           &[nobody(GATEWAY)]),
    get   ("3.0/mlflow/gateway/endpoints/bindings/list",                         "ListGatewayEndpointBindings",            &[nobody(GATEWAY)]),
    post  ("3.0/mlflow/gateway/endpoints/create",                                "CreateGatewayEndpoint",                  &[nobody(GATEWAY)]),
    delete("3.0/mlflow/gateway/endpoints/delete",                                "DeleteGatewayEndpoint",                  &[nobody(GATEWAY)]),
    delete("3.0/mlflow/gateway/endpoints/delete-tag",                            "DeleteGatewayEndpointTag",               &[nobody(GATEWAY)]),
    get   ("3.0/mlflow/gateway/endpoints/get",                                   "GetGatewayEndpoint",                     &[nobody(GATEWAY)]),
    get   ("3.0/mlflow/gateway/endpoints/list",                                  "ListGatewayEndpoints",                   &[nobody(GATEWAY)]),
    post  ("3.0/mlflow/gateway/endpoints/models/attach",                         "AttachModelToGatewayEndpoint",           &[nobody(GATEWAY)]),
    post  ("3.0/mlflow/gateway/endpoints/models/detach",                         "DetachModelFromGatewayEndpoint",         &[nobody(GATEWAY)]),
    post  ("3.0/mlflow/gateway/endpoints/set-tag",                               "SetGatewayEndpointTag",                  &[nobody(GATEWAY)]),
    post  ("3.0/mlflow/gateway/endpoints/update",                                "UpdateGatewayEndpoint",                  &[nobody(GATEWAY)]),
    post  ("3.0/mlflow/gateway/guardrails/add-to-endpoint",                      "AddGuardrailToEndpoint",                 &[nobody(GATEWAY)]),
    post  ("3.0/mlflow/gateway/guardrails/create",                               "CreateGatewayGuardrail",                 &[nobody(GATEWAY)]),
    delete("3.0/mlflow/gateway/guardrails/delete",                               "DeleteGatewayGuardrail",                 &[nobody(GATEWAY)]),
    get   ("3.0/mlflow/gateway/guardrails/get",                                  "GetGatewayGuardrail",                    &[nobody(GATEWAY)]),
    get   ("3.0/mlflow/gateway/guardrails/list",                                 "ListGatewayGuardrails",                  &[nobody(GATEWAY)]),
    get   ("3.0/mlflow/gateway/guardrails/list-for-endpoint",                    "ListEndpointGuardrailConfigs",           &[nobody(GATEWAY)]),
    delete("3.0/mlflow/gateway/guardrails/remove-from-endpoint",                 "RemoveGuardrailFromEndpoint",            &[nobody(GATEWAY)]),
    patch ("3.0/mlflow/gateway/guardrails/update-config",                        "UpdateEndpointGuardrailConfig",          &[nobody(GATEWAY)]),
    post  ("3.0/mlflow/gateway/model-definitions/create",                        "CreateGatewayModelDefinition",           &[nobody(GATEWAY)]),
    delete("3.0/mlflow/gateway/model-definitions/delete",                        "DeleteGatewayModelDefinition",           &[nobody(GATEWAY)]),
    get   ("3.0/mlflow/gateway/model-definitions/get",                           "GetGatewayModelDefinition",              &[nobody(GATEWAY)]),
    get   ("3.0/mlflow/gateway/model-definitions/list",                          "ListGatewayModelDefinitions",            &[nobody(GATEWAY)]),
    post  ("3.0/mlflow/gateway/model-definitions/update",                        "UpdateGatewayModelDefinition",           &[nobody(GATEWAY)]),
    get   ("3.0/mlflow/gateway/provider-config",                                 "GetProviderConfig",                      &[nobody(GATEWAY)]).ajax(),
    get   ("3.0/mlflow/gateway/secrets/config",                                  "GetSecretsConfig",                       &[nobody(GATEWAY)]).ajax(),
    post  ("3.0/mlflow/gateway/secrets/create",                                  "CreateGatewaySecret",                    &[nobody(GATEWAY)]),
    delete("3.0/mlflow/gateway/secrets/delete",                                  "DeleteGatewaySecret",                    &[nobody(GATEWAY)]),
    get   ("3.0/mlflow/gateway/secrets/get",                                     "GetGatewaySecretInfo",                   &[nobody(GATEWAY)]),
    get   ("3.0/mlflow/gateway/secrets/list",                                    "ListGatewaySecretInfos",                 &[nobody(GATEWAY)]),
    post  ("3.0/mlflow/gateway/secrets/update",                                  "UpdateGatewaySecret",                    &[nobody(GATEWAY)]),
    get   ("3.0/mlflow/gateway/supported-models",                                "ListSupportedModels",                    &[nobody(GATEWAY)]).ajax(),
    get   ("3.0/mlflow/gateway/supported-providers",                             "ListSupportedProviders",                 &[nobody(GATEWAY)]).ajax(),
    post  ("gateway/anthropic/v1/messages",                                      "AnthropicPassthroughMessages",           &[nobody(GATEWAY)]).root(),
    post  ("gateway/gemini/v1beta/models/{call}",       "GeminiPassthroughGenerateContent",       &[nobody(GATEWAY)]).root(),
    post  ("gateway/mlflow/v1/chat/completions",                                 "ChatCompletions",                        &[nobody(GATEWAY)]).root(),
    get   ("gateway/mlflow/v1/models",                                           "ListModels",                             &[nobody(GATEWAY)]).root(),
    post  ("gateway/openai/v1/chat/completions",                                 "OpenaiPassthroughChat",                  &[nobody(GATEWAY)]).root(),
    post  ("gateway/openai/v1/embeddings",                                       "OpenaiPassthroughEmbeddings",            &[nobody(GATEWAY)]).root(),
    post  ("gateway/openai/v1/responses",                                        "OpenaiPassthroughResponses",             &[nobody(GATEWAY)]).root(),
    post  ("gateway/openai/v1/responses/compact",                                "OpenaiPassthroughResponsesCompact",      &[nobody(GATEWAY)]).root(),
    post  ("gateway/proxy/{endpoint_name}/{*path}",                              "RawProxy",                               &[nobody(GATEWAY)]).root(),
    post  ("gateway/typesafe/v1/systemone",                                      "TypesafePassthroughSystemOne",           &[nobody(GATEWAY)]).root(),
    post  ("gateway/{endpoint_name}/mlflow/invocations",                         "Invocations",                            &[nobody(GATEWAY)]).root(),
];
