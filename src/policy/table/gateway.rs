//! What does each call about the AI gateway need?

use crate::mlflow::resource::Kind::{Experiment, GatewayEndpoint, GatewayModelDefinition, GatewaySecret, Scorer};
use crate::policy::route::Check::{GuardrailScorer, TraceParent, TracedInto};
use crate::policy::route::Cut::NotUsable;
use crate::policy::route::Need::{Checked, Create, SignedIn};
use crate::policy::route::{
    Link, List, Need, New, Row, Stamp, admin, along, blank, delete, delete_, edit, edit_opt, get, new_of, nobody,
    patch, post, read, read_named_opt, read_opt, use_, use_any, use_every, use_named, use_opt, whole,
};

/// The runs page asks for the endpoints of a deployments server, and the server would fetch what the caller names. This
/// is MLflow's answer where there is none (`gateway_proxy_handler`).
const NO_ENDPOINTS: &str = r#"{"endpoints":[]}"#;

/// The secrets page asks whether secrets can be kept. MLflow tells besides whether they lie under a passphrase that
/// everybody knows; its own app keeps that from all but administrators (`redact_secrets_config_for_non_admins`).
const SECRETS_KEPT: &str = r#"{"secrets_available":true}"#;

const BUDGETS: &str = "budgets tell what other people and their endpoints spend";

const GUARDRAILS: &str = "guardrails act on what goes through everybody's endpoints";

const BINDINGS: &str = "a binding names a scorer by an id that no call looks up, so nobody can be asked for it";

const TWO_READINGS: &str = "MLflow reads it as a call of the endpoint `proxy`, its neighbours as one of `mlflow`";

/// MLflow adds spans to the trace that the caller names, in whichever experiment it lies (3.17.2,
/// `_maybe_create_distributed_span`).
const TRACED: Need = Checked(TraceParent("header.traceparent"));

/// What an endpoint tells of model definitions and their secrets, and where its traces go.
const ENDPOINT_LINKS: &[Link] = &[
    whole("endpoint.endpoint_id", GatewayEndpoint),
    along("endpoint.model_mappings[].model_definition_id", GatewayModelDefinition, &["model_definition"]),
    along("endpoint.model_mappings[].model_definition.secret_id", GatewaySecret, &["secret_name"]),
    blank("endpoint.experiment_id", Experiment),
];

const MAPPING_LINKS: &[Link] = &[
    along("mapping.model_definition_id", GatewayModelDefinition, &["model_definition"]),
    along("mapping.model_definition.secret_id", GatewaySecret, &["secret_name"]),
];

/// The new endpoint is the caller's; what it is made of need not be.
const MADE_LINKS: &[Link] = &[
    along("endpoint.model_mappings[].model_definition_id", GatewayModelDefinition, &["model_definition"]),
    along("endpoint.model_mappings[].model_definition.secret_id", GatewaySecret, &["secret_name"]),
];

const DEFINITION_LINKS: &[Link] = &[along("model_definition.secret_id", GatewaySecret, &["secret_name"])];

const SECRET_LINKS: &[Link] = &[whole("secret.secret_id", GatewaySecret)];

const CONFIG_LINKS: &[Link] =
    &[blank("config.guardrail.scorer", Scorer), blank("config.guardrail.action_endpoint_id", GatewayEndpoint)];

const CONFIGS_LINKS: &[Link] =
    &[blank("configs[].guardrail.scorer", Scorer), blank("configs[].guardrail.action_endpoint_id", GatewayEndpoint)];

/// The answer's ids are names of endpoints, for `model` of a request.
const MODELS: &[Link] = &[Link { at: "data[].id", kind: GatewayEndpoint, cut: NotUsable }];

const ENDPOINTS: List = List {
    member: "endpoints",
    kind: GatewayEndpoint,
    id: "endpoint_id",
    own: None,
    links: &[
        along("model_mappings[].model_definition_id", GatewayModelDefinition, &["model_definition"]),
        along("model_mappings[].model_definition.secret_id", GatewaySecret, &["secret_name"]),
        blank("experiment_id", Experiment),
    ],
    paged: None,
};

const DEFINITIONS: List = List {
    member: "model_definitions",
    kind: GatewayModelDefinition,
    id: "model_definition_id",
    own: None,
    links: &[along("secret_id", GatewaySecret, &["secret_name"])],
    paged: None,
};

const SECRETS: List =
    List { member: "secrets", kind: GatewaySecret, id: "secret_id", own: None, links: &[], paged: None };

const ENDPOINT_BINDINGS: List =
    List { member: "bindings", kind: GatewayEndpoint, id: "endpoint_id", own: None, links: &[], paged: None };

const MADE_BY: &[Stamp] = &[Stamp::Text("created_by")];

const CHANGED_BY: &[Stamp] = &[Stamp::Text("updated_by")];

#[rustfmt::skip]
pub(super) static ROWS: &[Row] = &[
    // The deployments server of older set-ups: whoever may use every endpoint may use what stands behind it.
    get   ("2.0/mlflow/gateway-proxy",                                "ServeGatewayProxyGet",         &[SignedIn]).ajax().says_unless(NO_ENDPOINTS, Some(GatewayEndpoint)),
    post  ("2.0/mlflow/gateway-proxy",                                "ServeGatewayProxy",            &[use_every(GatewayEndpoint)]).ajax().large(),

    // Secrets
    post  ("3.0/mlflow/gateway/secrets/create",                       "CreateGatewaySecret",          &[Create, new_of(GatewaySecret)]).owns(GatewaySecret, "secret.secret_id").stamps(MADE_BY),
    get   ("3.0/mlflow/gateway/secrets/get",                          "GetGatewaySecretInfo",         &[read(GatewaySecret, "secret_id")])
                                                                                                        .hides(SECRET_LINKS),
    get   ("3.0/mlflow/gateway/secrets/list",                         "ListGatewaySecretInfos",       &[SignedIn]).keeps(SECRETS),
    post  ("3.0/mlflow/gateway/secrets/update",                       "UpdateGatewaySecret",          &[edit(GatewaySecret, "secret_id")]).stamps(CHANGED_BY),
    delete("3.0/mlflow/gateway/secrets/delete",                       "DeleteGatewaySecret",          &[delete_(GatewaySecret, "secret_id")]).forgets(GatewaySecret, "secret_id"),
    get   ("3.0/mlflow/gateway/secrets/config",                       "GetSecretsConfig",             &[SignedIn]).ajax().says_unless(SECRETS_KEPT, None),

    // Model definitions
    post  ("3.0/mlflow/gateway/model-definitions/create",             "CreateGatewayModelDefinition", &[Create, new_of(GatewayModelDefinition), use_opt(GatewaySecret, "secret_id")])
                                                                                                        .owns(GatewayModelDefinition, "model_definition.model_definition_id").hides(DEFINITION_LINKS).stamps(MADE_BY),
    get   ("3.0/mlflow/gateway/model-definitions/get",                "GetGatewayModelDefinition",    &[read(GatewayModelDefinition, "model_definition_id")]).hides(DEFINITION_LINKS),
    get   ("3.0/mlflow/gateway/model-definitions/list",               "ListGatewayModelDefinitions",  &[read_opt(GatewaySecret, "secret_id")]).keeps(DEFINITIONS),
    post  ("3.0/mlflow/gateway/model-definitions/update",             "UpdateGatewayModelDefinition", &[edit(GatewayModelDefinition, "model_definition_id"), use_opt(GatewaySecret, "secret_id")])
                                                                                                        .hides(DEFINITION_LINKS).stamps(CHANGED_BY),
    delete("3.0/mlflow/gateway/model-definitions/delete",             "DeleteGatewayModelDefinition", &[delete_(GatewayModelDefinition, "model_definition_id")])
                                                                                                        .forgets(GatewayModelDefinition, "model_definition_id"),

    // Endpoints
    post  ("3.0/mlflow/gateway/endpoints/create",                     "CreateGatewayEndpoint",        &[Create, new_of(GatewayEndpoint), use_any(GatewayModelDefinition, "model_configs[].model_definition_id"), use_any(GatewayModelDefinition, "model_definition_ids"),
                                                                                                        edit_opt(Experiment, "experiment_id"), Checked(TracedInto("name"))])
                                                                                                        .owns(GatewayEndpoint, "endpoint.endpoint_id")
                                                                                                        .also_owns(Experiment, "endpoint.experiment_id", New::IfAbsent).hides(MADE_LINKS).stamps(MADE_BY),
    get   ("3.0/mlflow/gateway/endpoints/get",                        "GetGatewayEndpoint",           &[read_opt(GatewayEndpoint, "endpoint_id"), read_named_opt(GatewayEndpoint, "name")])
                                                                                                        .hides(ENDPOINT_LINKS),
    get   ("3.0/mlflow/gateway/endpoints/list",                       "ListGatewayEndpoints",         &[read_opt(GatewaySecret, "secret_id")]).keeps(ENDPOINTS),
    post  ("3.0/mlflow/gateway/endpoints/update",                     "UpdateGatewayEndpoint",        &[edit(GatewayEndpoint, "endpoint_id"), use_any(GatewayModelDefinition, "model_configs[].model_definition_id"),
                                                                                                        edit_opt(Experiment, "experiment_id"), Checked(TracedInto("endpoint_id"))])
                                                                                                        .also_owns(Experiment, "endpoint.experiment_id", New::IfAbsent).hides(ENDPOINT_LINKS).stamps(CHANGED_BY),
    delete("3.0/mlflow/gateway/endpoints/delete",                     "DeleteGatewayEndpoint",        &[delete_(GatewayEndpoint, "endpoint_id")]).forgets(GatewayEndpoint, "endpoint_id"),
    post  ("3.0/mlflow/gateway/endpoints/models/attach",              "AttachModelToGatewayEndpoint", &[edit(GatewayEndpoint, "endpoint_id"), use_(GatewayModelDefinition, "model_config.model_definition_id|model_definition_id")])
                                                                                                        .hides(MAPPING_LINKS).stamps(MADE_BY),
    post  ("3.0/mlflow/gateway/endpoints/models/detach",              "DetachModelFromGatewayEndpoint", &[edit(GatewayEndpoint, "endpoint_id"), read(GatewayModelDefinition, "model_definition_id")]),
    post  ("3.0/mlflow/gateway/endpoints/set-tag",                    "SetGatewayEndpointTag",        &[edit(GatewayEndpoint, "endpoint_id")]),
    delete("3.0/mlflow/gateway/endpoints/delete-tag",                 "DeleteGatewayEndpointTag",     &[edit(GatewayEndpoint, "endpoint_id")]),
    post  ("3.0/mlflow/gateway/endpoints/bindings/create",            "CreateGatewayEndpointBinding", &[admin(BINDINGS)]).stamps(MADE_BY),
    delete("3.0/mlflow/gateway/endpoints/bindings/delete",            "DeleteGatewayEndpointBinding", &[edit(GatewayEndpoint, "endpoint_id")]),
    get   ("3.0/mlflow/gateway/endpoints/bindings/list",              "ListGatewayEndpointBindings",  &[read_opt(GatewayEndpoint, "endpoint_id")]).keeps(ENDPOINT_BINDINGS),

    // Budgets
    post  ("3.0/mlflow/gateway/budgets/create",                       "CreateGatewayBudgetPolicy",    &[admin(BUDGETS)]).stamps(MADE_BY),
    delete("3.0/mlflow/gateway/budgets/delete",                       "DeleteGatewayBudgetPolicy",    &[admin(BUDGETS)]),
    get   ("3.0/mlflow/gateway/budgets/get",                          "GetGatewayBudgetPolicy",       &[admin(BUDGETS)]),
    get   ("3.0/mlflow/gateway/budgets/list",                         "ListGatewayBudgetPolicies",    &[admin(BUDGETS)]),
    post  ("3.0/mlflow/gateway/budgets/update",                       "UpdateGatewayBudgetPolicy",    &[admin(BUDGETS)]).stamps(CHANGED_BY),
    get   ("3.0/mlflow/gateway/budgets/windows",                      "ListGatewayBudgetWindows",     &[admin(BUDGETS)]),

    // Guardrails
    post  ("3.0/mlflow/gateway/guardrails/create",                    "CreateGatewayGuardrail",       &[admin(GUARDRAILS)]),
    delete("3.0/mlflow/gateway/guardrails/delete",                    "DeleteGatewayGuardrail",       &[admin(GUARDRAILS)]),
    get   ("3.0/mlflow/gateway/guardrails/get",                       "GetGatewayGuardrail",          &[admin(GUARDRAILS)]),
    get   ("3.0/mlflow/gateway/guardrails/list",                      "ListGatewayGuardrails",        &[admin(GUARDRAILS)]),
    post  ("3.0/mlflow/gateway/guardrails/add-to-endpoint",           "AddGuardrailToEndpoint",       &[edit(GatewayEndpoint, "endpoint_id"), Checked(GuardrailScorer("guardrail_id"))]).hides(CONFIG_LINKS),
    delete("3.0/mlflow/gateway/guardrails/remove-from-endpoint",      "RemoveGuardrailFromEndpoint",  &[edit(GatewayEndpoint, "endpoint_id")]),
    patch ("3.0/mlflow/gateway/guardrails/update-config",             "UpdateEndpointGuardrailConfig", &[edit(GatewayEndpoint, "endpoint_id"), Checked(GuardrailScorer("guardrail_id"))]).hides(CONFIG_LINKS),
    get   ("3.0/mlflow/gateway/guardrails/list-for-endpoint",         "ListEndpointGuardrailConfigs", &[read(GatewayEndpoint, "endpoint_id")]).hides(CONFIGS_LINKS),

    // Lists of what MLflow can talk to, the same for everybody
    get   ("3.0/mlflow/gateway/provider-config",                      "GetProviderConfig",            &[SignedIn]).ajax(),
    get   ("3.0/mlflow/gateway/supported-models",                     "SupportedModels",              &[SignedIn]).ajax(),
    get   ("3.0/mlflow/gateway/supported-providers",                  "SupportedProviders",           &[SignedIn]).ajax(),

    // Serving: the server asks a provider, with the endpoint's secret. `model` is the name of an endpoint.
    get   ("gateway/mlflow/v1/models",                                "GatewayModels",                &[SignedIn]).root().hides(MODELS),
    post  ("gateway/mlflow/v1/chat/completions",                      "ChatCompletions",              &[use_named(GatewayEndpoint, "model"), TRACED]).root().large().fetches(),
    post  ("gateway/openai/v1/chat/completions",                      "OpenaiPassthroughChat",        &[use_named(GatewayEndpoint, "model"), TRACED]).root().large().fetches(),
    post  ("gateway/openai/v1/embeddings",                            "OpenaiPassthroughEmbeddings",  &[use_named(GatewayEndpoint, "model"), TRACED]).root().large().fetches(),
    post  ("gateway/openai/v1/responses",                             "OpenaiPassthroughResponses",   &[use_named(GatewayEndpoint, "model"), TRACED]).root().large().fetches(),
    post  ("gateway/openai/v1/responses/compact",                     "OpenaiPassthroughResponsesCompact", &[use_named(GatewayEndpoint, "model"), TRACED]).root().large().fetches(),
    post  ("gateway/anthropic/v1/messages",                           "AnthropicPassthroughMessages", &[use_named(GatewayEndpoint, "model"), TRACED]).root().large().fetches(),
    post  ("gateway/typesafe/v1/systemone",                           "TypesafePassthroughSystemOne", &[use_named(GatewayEndpoint, "model"), TRACED]).root().large().fetches(),
    post  ("gateway/gemini/v1beta/models/{endpoint_name}:generateContent",       "GeminiPassthroughGenerateContent",       &[use_named(GatewayEndpoint, "{endpoint_name}"), TRACED]).root().large().fetches(),
    post  ("gateway/gemini/v1beta/models/{endpoint_name}:streamGenerateContent", "GeminiPassthroughStreamGenerateContent", &[use_named(GatewayEndpoint, "{endpoint_name}"), TRACED]).root().large().fetches(),
    post  ("gateway/{endpoint_name}/mlflow/invocations",              "Invocations",                  &[use_named(GatewayEndpoint, "{endpoint_name}"), TRACED]).root().large().fetches(),
    post  ("gateway/proxy/{endpoint_name}/{*path}",                   "RawProxy",                     &[use_named(GatewayEndpoint, "{endpoint_name}"), TRACED]).root().large().fetches(),
    post  ("gateway/proxy/mlflow/invocations",                        "TwoReadings",                  &[nobody(TWO_READINGS)]).root().guards(),
];
