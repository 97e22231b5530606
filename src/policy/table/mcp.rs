//! What does each call about MCP servers need?

use crate::policy::route::{Row, delete, get, nobody, patch, post};

const MCP: &str = "the MCP registry is not judged yet";

#[rustfmt::skip]
pub(super) static ROWS: &[Row] = &[
    // MCP servers
    get   ("3.0/mlflow/mcp-servers",         "SearchMcpServers", &[nobody(MCP)]),
    post  ("3.0/mlflow/mcp-servers",         "CreateMcpServer",  &[nobody(MCP)]),
    get   ("3.0/mlflow/mcp-servers/{*rest}", "McpServers",       &[nobody(MCP)]),
    post  ("3.0/mlflow/mcp-servers/{*rest}", "McpServers",       &[nobody(MCP)]),
    patch ("3.0/mlflow/mcp-servers/{*rest}", "McpServers",       &[nobody(MCP)]),
    delete("3.0/mlflow/mcp-servers/{*rest}", "McpServers",       &[nobody(MCP)]),
];
