//! What does each call about users, roles and permissions need?
//!
//! A stock MLflow server has no such calls: they are those of its basic-auth app (3.17.2, `mlflow/server/auth/`), and of
//! that app before roles (3.11.1). Trackgate answers them from its own store.
//!
//! What each asks is what that app's validators ask, or more: who lists roles sees those that reach them, and who gives
//! or takes a permission manages all that it is about (`access::people`).

use crate::mlflow::granting::Calls;
use crate::mlflow::resource::Kind::{
    self, Experiment, GatewayEndpoint, GatewayModelDefinition, GatewaySecret, RegisteredModel, Scorer, Workspace,
};
use crate::policy::route::Need::{Gives, InEach, OnRole, SignedIn, Takes};
use crate::policy::route::RoleRight::{Change, See};
use crate::policy::route::Take::{Flag, Holder, Text, TextOpt, Thing, TimeOpt};
use crate::policy::route::{
    Need, RoleRight, Row, What, admin, delete, get, manage, manage_every, nobody, oneself, oneself_or_manager, patch,
    post, use_every,
};

const PASSWORDS: &str = "there are no passwords here; who can sign in at the identity provider can sign in, and users/create makes one \
     known before";

const OF_ADMINS: &str = "who is an administrator, and who is known at all, is for administrators to say";

/// What a call about one person's grants names.
const fn named(level: Option<&'static str>) -> What {
    What::Named { kind: "resource_type", id: "resource_id", level, calls: Calls::OfPeople }
}

/// What a call about a role's permissions names.
const ROLES: What =
    What::Named { kind: "resource_type", id: "resource_pattern", level: Some("permission"), calls: Calls::OfRoles };

/// Every call about a role can change what is held by those who have it: they act on all that it speaks of.
const WHOLE_ROLE: What = What::OfRole { level: None };

const fn gives(what: What) -> Need {
    Gives { what, to: Some("username") }
}

const fn takes(what: What) -> Need {
    Takes { what, from: Some("username") }
}

const fn one(kind: Kind, field: &'static str, level: Option<&'static str>) -> What {
    What::One { kind, field, level }
}

const LEVEL: Option<&str> = Some("permission");

const fn role(right: RoleRight) -> Need {
    OnRole { right, field: "role_id" }
}

const fn role_of_permission(right: RoleRight) -> Need {
    OnRole { right, field: "role_permission_id" }
}

const SCORER: &str = "experiment_id/scorer_name";

#[rustfmt::skip]
pub(super) static ROWS: &[Row] = &[
    // Users
    post  ("2.0/mlflow/users/create",              "CreateUser",                 &[manage_every(Workspace)]).served(&[Text("username")]),
    post  ("2.0/mlflow/users/create-ui",           "CreateUserUi",               &[nobody(PASSWORDS)]).api(),
    delete("2.0/mlflow/users/delete",              "DeleteUser",                 &[admin(OF_ADMINS)]).served(&[Holder("username")]),
    get   ("2.0/mlflow/users/get",                 "GetUser",                    &[oneself("username")]).served(&[]),
    get   ("2.0/mlflow/users/list",                "ListUsers",                  &[use_every(Workspace)]).served(&[]),
    get   ("2.0/mlflow/users/current",             "GetCurrentUser",             &[SignedIn]).served(&[]).anywhere(),
    patch ("2.0/mlflow/users/update-admin",        "UpdateUserAdmin",            &[admin(OF_ADMINS)]).served(&[Holder("username"), Flag("is_admin")]),
    patch ("2.0/mlflow/users/update-password",     "UpdateUserPassword",         &[SignedIn]).served(&[]).anywhere(),
    get   ("signup",                               "Signup",                     &[nobody(PASSWORDS)]).root(),

    // What one person or group holds
    get   ("3.0/mlflow/users/current/permissions", "ListCurrentUserPermissions", &[SignedIn]).served(&[]).anywhere(),
    get   ("3.0/mlflow/users/permissions/get",     "GetUserPermission",          &[oneself_or_manager("username")]).served(&[Thing { kind: "resource_type", id: "resource_id" }]),
    post  ("3.0/mlflow/users/permissions/grant",   "GrantUserPermission",        &[gives(named(LEVEL))]).served(&[TimeOpt("expires_at")]),
    get   ("3.0/mlflow/users/permissions/list",    "ListUserPermissions",        &[oneself_or_manager("username")]).served(&[]),
    post  ("3.0/mlflow/users/permissions/revoke",  "RevokeUserPermission",       &[takes(named(None))]).served(&[]),

    // Roles
    post  ("3.0/mlflow/roles/assign",              "AssignRole",                 &[role(Change), gives(WHOLE_ROLE)]).served(&[TimeOpt("expires_at")]),
    post  ("3.0/mlflow/roles/create",              "CreateRole",                 &[manage_every(Workspace)]).served(&[Text("name"), Text("workspace"), TextOpt("description")]),
    delete("3.0/mlflow/roles/delete",              "DeleteRole",                 &[role(Change), Takes { what: WHOLE_ROLE, from: None }]).served(&[]),
    get   ("3.0/mlflow/roles/get",                 "GetRole",                    &[role(See)]).served(&[]),
    get   ("3.0/mlflow/roles/list",                "ListRoles",                  &[InEach("workspace")]).served(&[]).anywhere(),
    post  ("3.0/mlflow/roles/permissions/add",     "AddRolePermission",          &[role(Change), Gives { what: ROLES, to: None }]).served(&[TimeOpt("expires_at")]),
    get   ("3.0/mlflow/roles/permissions/list",    "ListRolePermissions",        &[role(See)]).served(&[]),
    delete("3.0/mlflow/roles/permissions/remove",  "RemoveRolePermission",       &[role_of_permission(Change), Takes { what: WHOLE_ROLE, from: None }]).served(&[]),
    patch ("3.0/mlflow/roles/permissions/update",  "UpdateRolePermission",       &[role_of_permission(Change), Gives { what: What::OfRole { level: LEVEL }, to: None }]).served(&[TimeOpt("expires_at")]),
    delete("3.0/mlflow/roles/unassign",            "UnassignRole",               &[role(Change), takes(WHOLE_ROLE)]).served(&[]),
    patch ("3.0/mlflow/roles/update",              "UpdateRole",                 &[role(Change)]).served(&[TextOpt("name"), TextOpt("description")]),
    get   ("3.0/mlflow/roles/users/list",          "ListRoleUsers",              &[role(Change)]).served(&[]),
    get   ("3.0/mlflow/users/roles/list",          "ListUserRoles",              &[oneself_or_manager("username")]).served(&[]),

    // The same before roles (up to 3.12)
    post  ("2.0/mlflow/experiments/permissions/create",                 "CreateExperimentPermission",             &[gives(one(Experiment, "experiment_id", LEVEL))]).api().served(&[]),
    get   ("2.0/mlflow/experiments/permissions/get",                    "GetExperimentPermission",                &[manage(Experiment, "experiment_id")]).api().served(&[Holder("username")]),
    patch ("2.0/mlflow/experiments/permissions/update",                 "UpdateExperimentPermission",             &[gives(one(Experiment, "experiment_id", LEVEL))]).api().served(&[]),
    delete("2.0/mlflow/experiments/permissions/delete",                 "DeleteExperimentPermission",             &[takes(one(Experiment, "experiment_id", None))]).api().served(&[]),
    post  ("2.0/mlflow/registered-models/permissions/create",           "CreateRegisteredModelPermission",        &[gives(one(RegisteredModel, "name", LEVEL))]).api().served(&[]),
    get   ("2.0/mlflow/registered-models/permissions/get",              "GetRegisteredModelPermission",           &[manage(RegisteredModel, "name")]).api().served(&[Holder("username")]),
    patch ("2.0/mlflow/registered-models/permissions/update",           "UpdateRegisteredModelPermission",        &[gives(one(RegisteredModel, "name", LEVEL))]).api().served(&[]),
    delete("2.0/mlflow/registered-models/permissions/delete",           "DeleteRegisteredModelPermission",        &[takes(one(RegisteredModel, "name", None))]).api().served(&[]),
    post  ("3.0/mlflow/scorers/permissions/create",                     "CreateScorerPermission",                 &[gives(one(Scorer, SCORER, LEVEL))]).api().served(&[]),
    get   ("3.0/mlflow/scorers/permissions/get",                        "GetScorerPermission",                    &[manage(Scorer, SCORER)]).api().served(&[Holder("username")]),
    patch ("3.0/mlflow/scorers/permissions/update",                     "UpdateScorerPermission",                 &[gives(one(Scorer, SCORER, LEVEL))]).api().served(&[]),
    delete("3.0/mlflow/scorers/permissions/delete",                     "DeleteScorerPermission",                 &[takes(one(Scorer, SCORER, None))]).api().served(&[]),
    post  ("3.0/mlflow/gateway/endpoints/permissions/create",           "CreateGatewayEndpointPermission",        &[gives(one(GatewayEndpoint, "endpoint_id", LEVEL))]).api().served(&[]),
    get   ("3.0/mlflow/gateway/endpoints/permissions/get",              "GetGatewayEndpointPermission",           &[manage(GatewayEndpoint, "endpoint_id")]).api().served(&[Holder("username")]),
    patch ("3.0/mlflow/gateway/endpoints/permissions/update",           "UpdateGatewayEndpointPermission",        &[gives(one(GatewayEndpoint, "endpoint_id", LEVEL))]).api().served(&[]),
    delete("3.0/mlflow/gateway/endpoints/permissions/delete",           "DeleteGatewayEndpointPermission",        &[takes(one(GatewayEndpoint, "endpoint_id", None))]).api().served(&[]),
    post  ("3.0/mlflow/gateway/model-definitions/permissions/create",   "CreateGatewayModelDefinitionPermission", &[gives(one(GatewayModelDefinition, "model_definition_id", LEVEL))]).api().served(&[]),
    get   ("3.0/mlflow/gateway/model-definitions/permissions/get",      "GetGatewayModelDefinitionPermission",    &[manage(GatewayModelDefinition, "model_definition_id")]).api().served(&[Holder("username")]),
    patch ("3.0/mlflow/gateway/model-definitions/permissions/update",   "UpdateGatewayModelDefinitionPermission", &[gives(one(GatewayModelDefinition, "model_definition_id", LEVEL))]).api().served(&[]),
    delete("3.0/mlflow/gateway/model-definitions/permissions/delete",   "DeleteGatewayModelDefinitionPermission", &[takes(one(GatewayModelDefinition, "model_definition_id", None))]).api().served(&[]),
    post  ("3.0/mlflow/gateway/secrets/permissions/create",             "CreateGatewaySecretPermission",          &[gives(one(GatewaySecret, "secret_id", LEVEL))]).api().served(&[]),
    get   ("3.0/mlflow/gateway/secrets/permissions/get",                "GetGatewaySecretPermission",             &[manage(GatewaySecret, "secret_id")]).api().served(&[Holder("username")]),
    patch ("3.0/mlflow/gateway/secrets/permissions/update",             "UpdateGatewaySecretPermission",          &[gives(one(GatewaySecret, "secret_id", LEVEL))]).api().served(&[]),
    delete("3.0/mlflow/gateway/secrets/permissions/delete",             "DeleteGatewaySecretPermission",          &[takes(one(GatewaySecret, "secret_id", None))]).api().served(&[]),
    get   ("3.0/mlflow/workspace-permissions",                          "ListUserWorkspacePermissions",           &[oneself("username")]).api().served(&[]).anywhere(),
    get   ("3.0/mlflow/workspaces/{workspace_name}/permissions",        "ListWorkspacePermissions",               &[manage_every(Workspace)]).api().served(&[]),
    post  ("3.0/mlflow/workspaces/{workspace_name}/permissions",        "SetWorkspacePermission",                 &[gives(What::Workspace { level: LEVEL })]).api().served(&[]),
    delete("3.0/mlflow/workspaces/{workspace_name}/permissions",        "DeleteWorkspacePermission",              &[takes(What::Workspace { level: None })]).api().served(&[]).by_query(),
];
