//! What does each call about workspaces need?

use crate::policy::route::{Row, delete, get, nobody, patch, post};

const WORKSPACES: &str = "workspaces are off";

#[rustfmt::skip]
pub(super) static ROWS: &[Row] = &[
    // Workspaces
    get   ("3.0/mlflow/workspaces",                  "ListWorkspaces",  &[nobody(WORKSPACES)]),
    post  ("3.0/mlflow/workspaces",                  "CreateWorkspace", &[nobody(WORKSPACES)]),
    delete("3.0/mlflow/workspaces/{workspace_name}", "DeleteWorkspace", &[nobody(WORKSPACES)]),
    get   ("3.0/mlflow/workspaces/{workspace_name}", "GetWorkspace",    &[nobody(WORKSPACES)]),
    patch ("3.0/mlflow/workspaces/{workspace_name}", "UpdateWorkspace", &[nobody(WORKSPACES)]),
];
