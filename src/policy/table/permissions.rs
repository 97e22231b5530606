//! What does each call about users, roles and permissions need?

use crate::policy::route::{Row, delete, get, nobody, patch, post};

const PERMISSIONS: &str = "the permission API is not served yet";

#[rustfmt::skip]
pub(super) static ROWS: &[Row] = &[
    // Users, roles, permissions: routes of MLflow's basic-auth app
    post  ("2.0/mlflow/users/create",              "CreateUser",                 &[nobody(PERMISSIONS)]),
    post  ("2.0/mlflow/users/create-ui",           "CreateUserUi",               &[nobody(PERMISSIONS)]).api(),
    delete("2.0/mlflow/users/delete",              "DeleteUser",                 &[nobody(PERMISSIONS)]),
    get   ("2.0/mlflow/users/get",                 "GetUser",                    &[nobody(PERMISSIONS)]),
    get   ("2.0/mlflow/users/list",                "ListUsers",                  &[nobody(PERMISSIONS)]),
    patch ("2.0/mlflow/users/update-admin",        "UpdateUserAdmin",            &[nobody(PERMISSIONS)]),
    patch ("2.0/mlflow/users/update-password",     "UpdateUserPassword",         &[nobody(PERMISSIONS)]),
    post  ("3.0/mlflow/roles/assign",              "AssignRole",                 &[nobody(PERMISSIONS)]),
    post  ("3.0/mlflow/roles/create",              "CreateRole",                 &[nobody(PERMISSIONS)]),
    delete("3.0/mlflow/roles/delete",              "DeleteRole",                 &[nobody(PERMISSIONS)]),
    get   ("3.0/mlflow/roles/get",                 "GetRole",                    &[nobody(PERMISSIONS)]),
    get   ("3.0/mlflow/roles/list",                "ListRoles",                  &[nobody(PERMISSIONS)]),
    post  ("3.0/mlflow/roles/permissions/add",     "AddRolePermission",          &[nobody(PERMISSIONS)]),
    get   ("3.0/mlflow/roles/permissions/list",    "ListRolePermissions",        &[nobody(PERMISSIONS)]),
    delete("3.0/mlflow/roles/permissions/remove",  "RemoveRolePermission",       &[nobody(PERMISSIONS)]),
    patch ("3.0/mlflow/roles/permissions/update",  "UpdateRolePermission",       &[nobody(PERMISSIONS)]),
    delete("3.0/mlflow/roles/unassign",            "UnassignRole",               &[nobody(PERMISSIONS)]),
    patch ("3.0/mlflow/roles/update",              "UpdateRole",                 &[nobody(PERMISSIONS)]),
    get   ("3.0/mlflow/roles/users/list",          "ListRoleUsers",              &[nobody(PERMISSIONS)]),
    get   ("3.0/mlflow/users/current/permissions", "ListCurrentUserPermissions", &[nobody(PERMISSIONS)]),
    get   ("3.0/mlflow/users/permissions/get",     "GetUserPermission",          &[nobody(PERMISSIONS)]),
    post  ("3.0/mlflow/users/permissions/grant",   "GrantUserPermission",        &[nobody(PERMISSIONS)]),
    get   ("3.0/mlflow/users/permissions/list",    "ListUserPermissions",        &[nobody(PERMISSIONS)]),
    post  ("3.0/mlflow/users/permissions/revoke",  "RevokeUserPermission",       &[nobody(PERMISSIONS)]),
    get   ("3.0/mlflow/users/roles/list",          "ListUserRoles",              &[nobody(PERMISSIONS)]),
    get   ("signup",                               "Signup",                     &[nobody(PERMISSIONS)]).root(),
];
