//! What does each call about workspaces need?
//!
//! The caller of these holds READ on each workspace in which anything is granted to them, and nothing else
//! (`store::Store::tenant`). Grants end with their workspace, whatever MLflow does with its objects (`mode`).

use crate::mlflow::resource::Kind::Workspace;
use crate::policy::route::Need::SignedIn;
use crate::policy::route::{List, Row, admin, delete, get, patch, post, read};

const OF_ADMINS: &str = "who works where is for administrators to say";

const WORKSPACES: List = List { member: "workspaces", kind: Workspace, id: "name", own: None, links: &[], paged: None };

#[rustfmt::skip]
pub(super) static ROWS: &[Row] = &[
    // Workspaces
    get   ("3.0/mlflow/workspaces",                  "ListWorkspaces",  &[SignedIn]).keeps(WORKSPACES).about_workspaces(),
    post  ("3.0/mlflow/workspaces",                  "CreateWorkspace", &[admin(OF_ADMINS)]).about_workspaces(),
    delete("3.0/mlflow/workspaces/{workspace_name}", "DeleteWorkspace", &[admin(OF_ADMINS)]).about_workspaces()
                                                                          .forgets(Workspace, "{workspace_name}"),
    get   ("3.0/mlflow/workspaces/{workspace_name}", "GetWorkspace",    &[read(Workspace, "{workspace_name}")]).about_workspaces(),
    patch ("3.0/mlflow/workspaces/{workspace_name}", "UpdateWorkspace", &[admin(OF_ADMINS)]).about_workspaces(),
];
