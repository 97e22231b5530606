//! What does each call about the UI's shell, the server itself, and what its pages ask of it need?

use super::registry::MODEL_VERSIONS;
use super::runs::RUNS;
use crate::mlflow::resource::Kind::{Experiment, Run};
use crate::policy::route::Check::SafePath;
use crate::policy::route::Need::{Checked, SignedIn};
use crate::policy::route::{Graph, Row, get, narrowed, nobody, patch, post, put, read_any};

const ASSISTANT: &str = "the assistant runs commands on the server's host";

const SERVER: &str = "it changes or tells of the server, not of an experiment or a model";

const GRAPHQL: &str = "MLflow answers it with an error: its pages use POST";

/// Each page asks for the assistant's state; MLflow's answer would tell of the server's provider and of the folders
/// that other people's experiments are mapped to. This is its answer where nothing is set up.
const NO_ASSISTANT: &str = r#"{"providers":{},"projects":{},"remote_access_allowed":false}"#;

/// The same for the assistant's providers.
const NO_PROVIDERS: &str = r#"{"providers":[],"resolved":null,"gateway_vendor_options":{}}"#;

/// Whether the UI should send records of what people do. This is MLflow's answer where telemetry is off
/// (`FALLBACK_UI_CONFIG`): pages then send nothing, and the server fetches nothing from elsewhere.
const NO_TELEMETRY: &str = r#"{"disable_ui_telemetry":true,"disable_ui_events":[],"ui_rollout_percentage":0}"#;

const SPARE: &str = "the UI's files have another path";

#[rustfmt::skip]
pub(super) static ROWS: &[Row] = &[
    // The UI's shell and the server itself
    get   ("",                                  "Serve",               &[SignedIn]).root(),
    get   ("static-files/{*path}",              "ServeStaticFile",     &[SignedIn]).root(),
    get   ("version",                           "Version",             &[SignedIn]).root(),
    get   ("health",                            "Health",              &[SignedIn]).root(),
    get   ("3.0/mlflow/server-info",            "GetServerInfo",       &[SignedIn]).anywhere(),
    get   ("server-info",                       "GetServerInfoOf39",   &[SignedIn]).root(),
    get   ("build/{*filename}",                 "ServeBuild",          &[nobody(SPARE)]).root(),
    get   ("graphql",                           "GraphqlByGet",        &[nobody(GRAPHQL)]).root(),
    post  ("graphql",                           "Graphql",             &[SignedIn, read_any(Experiment, "graphql.experiment"), narrowed(Experiment, "graphql.searched"),
                                                                         read_any(Run, "graphql.run"), Checked(SafePath("graphql.path"))])
                                                                         .root().projects(Graph { runs: RUNS, versions: MODEL_VERSIONS }),

    // The UI asks for it on every page. A stock server answers 404, and the UI then shows no account page.
    get   ("2.0/mlflow/users/current",                   "GetCurrentUser",             &[SignedIn]),

    // Assistant, demo, telemetry
    get   ("3.0/mlflow/assistant/config",                            "GetConfig",               &[SignedIn]).ajax().says(NO_ASSISTANT),
    put   ("3.0/mlflow/assistant/config",                            "UpdateConfig",            &[nobody(ASSISTANT)]).ajax(),
    post  ("3.0/mlflow/assistant/message",                           "SendMessage",             &[nobody(ASSISTANT)]).ajax(),
    get   ("3.0/mlflow/assistant/providers",                         "GetProviders",            &[SignedIn]).ajax().says(NO_PROVIDERS),
    get   ("3.0/mlflow/assistant/providers/{provider}/health",       "ProviderHealthCheck",     &[nobody(ASSISTANT)]).ajax(),
    get   ("3.0/mlflow/assistant/providers/{provider}/models",       "ListProviderModels",      &[nobody(ASSISTANT)]).ajax(),
    patch ("3.0/mlflow/assistant/sessions/{session_id}",             "PatchSession",            &[nobody(ASSISTANT)]).ajax(),
    post  ("3.0/mlflow/assistant/sessions/{session_id}/permission",  "ResolvePermission",       &[nobody(ASSISTANT)]).ajax(),
    get   ("3.0/mlflow/assistant/sessions/{session_id}/stream",      "StreamResponse",          &[nobody(ASSISTANT)]).ajax(),
    post  ("3.0/mlflow/assistant/sessions/{session_id}/tool-result", "ResolveClientToolResult", &[nobody(ASSISTANT)]).ajax(),
    post  ("3.0/mlflow/assistant/skills/install",                    "InstallSkillsEndpoint",   &[nobody(ASSISTANT)]).ajax(),
    post  ("3.0/mlflow/demo/delete",                                 "DeleteDemo",              &[nobody(SERVER)]).ajax(),
    post  ("3.0/mlflow/demo/generate",                               "GenerateDemo",            &[nobody(SERVER)]).ajax(),
    get   ("3.0/mlflow/ui-telemetry",                                "ServeGetUiTelemetry",     &[SignedIn]).ajax().says(NO_TELEMETRY),
    post  ("3.0/mlflow/ui-telemetry",                                "ServePostUiTelemetry",    &[nobody(SERVER)]).ajax(),
];
