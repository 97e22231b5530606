//! What does each call about MCP servers need?
//!
//! A server's name is `namespace/slug`. MLflow's routes take any number of segments for it, and as many for versions and
//! keys (`{name:path}`, 3.17.2, `server/mcp_server_api.py`); the rows take two for the name and one for a version. Names
//! of more segments cannot be made (`validate_mcp_server_name`), so whatever MLflow's own routes make of a path that has
//! a row, it is about the server of its first two segments or about none.

use crate::mlflow::permission::Action;
use crate::mlflow::resource::Kind::{McpServer, McpServerVersion};
use crate::policy::route::Check::Selector;
use crate::policy::route::Need::{Checked, Create, SignedIn};
use crate::policy::route::{
    Link, List, Need, New, Own, Paging, Row, along, delete, delete_, edit, edit_or_create, get, new_if, new_of,
    not_denied, on_all_in, patch, post, read, whole,
};

/// MLflow asks it wherever something is deleted below a server (3.17.2, `_get_mcp_server_validator`).
const DELETES_VERSIONS: Need = on_all_in(Action::Delete, &[McpServerVersion], McpServer, NAME);

/// What the call names, or answers with, is a version.
const NAMES_A_VERSION: Need = on_all_in(Action::Read, &[McpServerVersion], McpServer, NAME);

/// Which endpoints are found tells of versions (3.17.2, `_mcp_request_selects_a_version`).
const BY_VERSION: Need = new_if(McpServerVersion, "server_version");
const BY_ALIAS: Need = new_if(McpServerVersion, "server_alias");
const BY_STATUS: Need = Checked(Selector { field: "filter_string", word: "status", kind: McpServerVersion });

const NAME: &str = "{namespace}/{slug}";

const VERSION: &str = "{namespace}/{slug}/{version}";

/// What an access endpoint tells of the version it leads to (3.17.2, `_MCP_VERSION_PASSENGER_FIELDS`).
const PASSENGERS: &[&str] = &["tools", "server_version", "server_alias"];

const SERVER_LINKS: &[Link] = &[along("access_endpoints[].resolved_version", McpServerVersion, PASSENGERS)];

const ENDPOINT_LINKS: &[Link] = &[along("resolved_version", McpServerVersion, PASSENGERS)];

/// The answer is the version that an alias names.
const ALIASED: &[Link] = &[whole("", McpServerVersion)];

/// MLflow takes at most 1000 rows (`SEARCH_MCP_SERVER_MAX_RESULTS_THRESHOLD`).
const PAGED: Option<Paging> = Some(Paging { default: 100, most: 1000, narrow_by: None });

const SERVERS: List =
    List { member: "mcp_servers", kind: McpServer, id: "name", own: None, links: SERVER_LINKS, paged: PAGED };

const VERSIONS: List = List {
    member: "mcp_server_versions",
    kind: McpServer,
    id: "name",
    own: Some(Own { kind: McpServerVersion, id: &["name", "version"] }),
    links: &[],
    paged: PAGED,
};

const ENDPOINTS: List = List {
    member: "mcp_access_endpoints",
    kind: McpServer,
    id: "server_name",
    own: None,
    links: ENDPOINT_LINKS,
    paged: PAGED,
};

#[rustfmt::skip]
pub(super) static ROWS: &[Row] = &[
    // MCP servers
    get   ("3.0/mlflow/mcp-servers",                                            "SearchMcpServers",         &[SignedIn]).keeps(SERVERS),
    post  ("3.0/mlflow/mcp-servers",                                            "CreateMcpServer",          &[Create, not_denied(McpServer, "name")]).owns(McpServer, "name"),
    get   ("3.0/mlflow/mcp-servers/{namespace}/{slug}",                         "GetMcpServer",             &[read(McpServer, NAME)]).hides(SERVER_LINKS),
    patch ("3.0/mlflow/mcp-servers/{namespace}/{slug}",                         "UpdateMcpServer",          &[edit(McpServer, NAME)]).hides(SERVER_LINKS),
    delete("3.0/mlflow/mcp-servers/{namespace}/{slug}",                         "DeleteMcpServer",          &[delete_(McpServer, NAME), DELETES_VERSIONS]).forgets(McpServer, NAME),
    post  ("3.0/mlflow/mcp-servers/{namespace}/{slug}/tags",                    "SetMcpServerTag",          &[edit(McpServer, NAME)]),
    delete("3.0/mlflow/mcp-servers/{namespace}/{slug}/tags/{*key}",             "DeleteMcpServerTag",       &[delete_(McpServer, NAME), DELETES_VERSIONS]),
    post  ("3.0/mlflow/mcp-servers/{namespace}/{slug}/aliases",                 "SetMcpServerAlias",        &[edit(McpServer, NAME), NAMES_A_VERSION]),
    get   ("3.0/mlflow/mcp-servers/{namespace}/{slug}/aliases/{*alias}",        "GetMcpVersionByAlias",     &[read(McpServer, NAME)]).hides(ALIASED),
    delete("3.0/mlflow/mcp-servers/{namespace}/{slug}/aliases/{*alias}",        "DeleteMcpServerAlias",     &[delete_(McpServer, NAME), NAMES_A_VERSION]),

    // Their versions. The first one makes the server, where there is none.
    get   ("3.0/mlflow/mcp-servers/{namespace}/{slug}/versions",                "SearchMcpServerVersions",  &[read(McpServer, NAME)]).keeps(VERSIONS),
    post  ("3.0/mlflow/mcp-servers/{namespace}/{slug}/versions",                "CreateMcpServerVersion",   &[edit_or_create(McpServer, NAME), new_of(McpServerVersion)])
                                                                                                                .owns_if(McpServer, NAME, New::IfAbsent).large(),
    get   ("3.0/mlflow/mcp-servers/{namespace}/{slug}/versions/{version}",      "GetMcpServerVersion",      &[read(McpServerVersion, VERSION)]),
    patch ("3.0/mlflow/mcp-servers/{namespace}/{slug}/versions/{version}",      "UpdateMcpServerVersion",   &[edit(McpServerVersion, VERSION)]).large(),
    delete("3.0/mlflow/mcp-servers/{namespace}/{slug}/versions/{version}",      "DeleteMcpServerVersion",   &[delete_(McpServerVersion, VERSION)]).forgets(McpServerVersion, VERSION),
    post  ("3.0/mlflow/mcp-servers/{namespace}/{slug}/versions/{version}/tags", "SetMcpVersionTag",         &[edit(McpServerVersion, VERSION)]),
    delete("3.0/mlflow/mcp-servers/{namespace}/{slug}/versions/{version}/tags/{*key}", "DeleteMcpVersionTag", &[delete_(McpServerVersion, VERSION)]),

    // Where they can be reached
    get   ("3.0/mlflow/mcp-servers/endpoints",                                  "SearchMcpAccessEndpoints", &[SignedIn, BY_VERSION, BY_ALIAS, BY_STATUS]).keeps(ENDPOINTS),
    get   ("3.0/mlflow/mcp-servers/{namespace}/{slug}/endpoints",               "SearchMcpEndpointsOfServer", &[read(McpServer, NAME), BY_VERSION, BY_ALIAS, BY_STATUS]).keeps(ENDPOINTS),
    post  ("3.0/mlflow/mcp-servers/{namespace}/{slug}/endpoints",               "CreateMcpAccessEndpoint",  &[edit(McpServer, NAME), NAMES_A_VERSION]).hides(ENDPOINT_LINKS),
    get   ("3.0/mlflow/mcp-servers/{namespace}/{slug}/endpoints/{endpoint_id}", "GetMcpAccessEndpoint",     &[read(McpServer, NAME)]).hides(ENDPOINT_LINKS),
    patch ("3.0/mlflow/mcp-servers/{namespace}/{slug}/endpoints/{endpoint_id}", "UpdateMcpAccessEndpoint",  &[edit(McpServer, NAME), NAMES_A_VERSION]).hides(ENDPOINT_LINKS),
    delete("3.0/mlflow/mcp-servers/{namespace}/{slug}/endpoints/{endpoint_id}", "DeleteMcpAccessEndpoint",  &[delete_(McpServer, NAME), DELETES_VERSIONS]),
];
