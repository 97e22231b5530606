//! What does each call about the UI's shell, the server itself, and what its pages ask of it need?

use super::registry::MODEL_VERSIONS;
use super::runs::RUNS;
use crate::mlflow::resource::Kind::{Experiment, Run};
use crate::policy::route::Check::SafePath;
use crate::policy::route::Need::{Checked, SignedIn};
use crate::policy::route::{Graph, Offer, Row, Switch, admin, get, narrowed, nobody, patch, post, put, read_any};

const ASSISTANT: &str = "the assistant runs commands on the server's host";

const SERVER: &str = "it makes and deletes an experiment that everybody shares";

const GRAPHQL: &str = "MLflow answers it with an error: its pages use POST";

/// Each page asks for the assistant's state; MLflow's answer would tell of the server's provider and of the folders
/// that other people's experiments are mapped to. This is its answer where nothing is set up.
const NO_ASSISTANT: &str = r#"{"providers":{},"projects":{},"remote_access_allowed":false}"#;

/// The same for the assistant's providers.
const NO_PROVIDERS: &str = r#"{"providers":[],"resolved":null,"gateway_vendor_options":{}}"#;

/// Whether the UI should send records of what people do. This is MLflow's answer where telemetry is off
/// (`FALLBACK_UI_CONFIG`): pages then send nothing, and the server fetches nothing from elsewhere.
const NO_TELEMETRY: &str = r#"{"disable_ui_telemetry":true,"disable_ui_events":[],"ui_rollout_percentage":0}"#;

/// MLflow's answer to records where telemetry is off (`post_ui_telemetry_handler`): they are dropped.
const TELEMETRY_OFF: &str = r#"{"status":"disabled"}"#;

/// `build_server_info_payload`: where it says that there are workspaces, the pages ask everybody to choose one; where it
/// says that files can be moved in parts, clients ask for addresses in the bucket, and do not try another way.
const OFFERS: &[Offer] = &[
    Offer { member: "workspaces_enabled", with: Switch::Workspaces },
    Offer { member: "multipart_uploads_enabled", with: Switch::MultipartUpload },
    Offer { member: "multipart_downloads_enabled", with: Switch::PresignedDownload },
];

const SPARE: &str = "the UI's files have another path";

#[rustfmt::skip]
pub(super) static ROWS: &[Row] = &[
    // The UI's shell and the server itself
    get   ("",                                  "Serve",               &[SignedIn]).root().shell(),
    get   ("static-files/{*path}",              "ServeStaticFile",     &[SignedIn]).root(),
    get   ("version",                           "Version",             &[SignedIn]).root(),
    get   ("health",                            "Health",              &[SignedIn]).root(),
    get   ("3.0/mlflow/server-info",            "GetServerInfo",       &[SignedIn]).anywhere().offers(OFFERS),
    get   ("server-info",                       "GetServerInfoOf39",   &[SignedIn]).root().offers(OFFERS),
    get   ("build/{*filename}",                 "ServeBuild",          &[nobody(SPARE)]).root(),
    get   ("graphql",                           "GraphqlByGet",        &[nobody(GRAPHQL)]).root(),
    post  ("graphql",                           "Graphql",             &[SignedIn, read_any(Experiment, "graphql.experiment"), narrowed(Experiment, "graphql.searched"),
                                                                         read_any(Run, "graphql.run"), Checked(SafePath("graphql.path"))])
                                                                         .root().projects(Graph { runs: RUNS, versions: MODEL_VERSIONS }),


    // Assistant, demo, telemetry
    get   ("3.0/mlflow/assistant/config",                            "GetConfig",               &[SignedIn]).ajax().says_unless(NO_ASSISTANT, None),
    put   ("3.0/mlflow/assistant/config",                            "UpdateConfig",            &[admin(ASSISTANT)]).ajax(),
    post  ("3.0/mlflow/assistant/message",                           "SendMessage",             &[admin(ASSISTANT)]).ajax(),
    get   ("3.0/mlflow/assistant/providers",                         "GetProviders",            &[SignedIn]).ajax().says_unless(NO_PROVIDERS, None),
    get   ("3.0/mlflow/assistant/providers/{provider}/health",       "ProviderHealthCheck",     &[admin(ASSISTANT)]).ajax(),
    get   ("3.0/mlflow/assistant/providers/{provider}/models",       "ListProviderModels",      &[admin(ASSISTANT)]).ajax(),
    patch ("3.0/mlflow/assistant/sessions/{session_id}",             "PatchSession",            &[admin(ASSISTANT)]).ajax(),
    post  ("3.0/mlflow/assistant/sessions/{session_id}/permission",  "ResolvePermission",       &[admin(ASSISTANT)]).ajax(),
    get   ("3.0/mlflow/assistant/sessions/{session_id}/stream",      "StreamResponse",          &[admin(ASSISTANT)]).ajax(),
    post  ("3.0/mlflow/assistant/sessions/{session_id}/tool-result", "ResolveClientToolResult", &[admin(ASSISTANT)]).ajax(),
    post  ("3.0/mlflow/assistant/skills/install",                    "InstallSkillsEndpoint",   &[admin(ASSISTANT)]).ajax(),
    post  ("3.0/mlflow/demo/delete",                                 "DeleteDemo",              &[admin(SERVER)]).ajax(),
    post  ("3.0/mlflow/demo/generate",                               "GenerateDemo",            &[admin(SERVER)]).ajax(),
    get   ("3.0/mlflow/ui-telemetry",                                "ServeGetUiTelemetry",     &[SignedIn]).ajax().says(NO_TELEMETRY),
    post  ("3.0/mlflow/ui-telemetry",                                "ServePostUiTelemetry",    &[SignedIn]).ajax().says(TELEMETRY_OFF),
];
