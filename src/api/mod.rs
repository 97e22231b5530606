//! What does MLflow's own API of users, roles and permissions answer?
//!
//! A stock MLflow server has no such API; that of its basic-auth app (3.17.2 and, before roles, 3.11.1) is answered here,
//! from our own store: the same paths, fields and errors, so that MLflow's client (`mlflow.server.auth.client`) and its web
//! UI work unchanged. Who may call what stands in the table (`policy/table/permissions.rs`) and is decided before; the
//! handlers here take a permit and never ask.
//!
//! What MLflow does not have is added beside it: `group:NAME` wherever it takes a user's name, and ends of permissions
//! (`expires_at`).

mod about;
mod fault;
mod json;
mod legacy;
mod permissions;
mod roles;
mod users;
mod workspaces;

use std::sync::Arc;

use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Response, StatusCode};
use serde_json::Value;

pub use self::about::{known, place};
use self::fault::ApiFault;
use crate::access::decide::Permitted;
use crate::access::identity::Principal;
use crate::authenticate::Authenticator;
use crate::message::{Body, Request};
use crate::mlflow::error::{self, ErrorCode};
use crate::mlflow::resource::{Object, Resource};
use crate::policy::classify::Call;
use crate::policy::fields::Fields;
use crate::store::{By, Store};

/// What the handlers work with.
#[derive(Clone, Copy)]
pub struct Tools<'a> {
    /// Who holds what.
    pub store: &'a Store,
    /// Who vouches for people.
    pub authenticator: &'a Authenticator,
    /// What the request names, in the row's words.
    pub fields: &'a Fields,
    /// The objects that were judged.
    pub objects: &'a [Object],
    /// Where the thing lies that the request asks about.
    pub thing: Option<&'a Resource>,
    /// Whom it asks about.
    pub about: Option<&'a Principal>,
    /// Whether the server has workspaces.
    pub workspaces: bool,
}

/// A permitted call with all that it takes to answer it.
struct Desk<'a> {
    tools: Tools<'a>,
    call: &'a Call,
    caller: &'a Principal,
}

/// What a handler answers: JSON, or nothing with a status of its own.
enum Said {
    Json(Value),
    NoContent,
}

type Tried = Result<Said, ApiFault>;

/// What a call was answered.
#[derive(Debug)]
pub struct Answered {
    /// The answer.
    pub response: Response<Body>,
    /// Why what was allowed is not done, if it is not.
    pub not_done: Option<NotDone>,
}

/// Why something that was allowed is not done.
#[derive(Debug)]
pub struct NotDone {
    /// The answer's error code.
    pub code: ErrorCode,
    /// What the caller reads.
    pub message: String,
    /// Whether that is our own fault and not the call's.
    pub ours: bool,
}

/// Answers one of the rows.
pub async fn answer(permitted: Permitted<Request>, call: &Call, tools: Tools<'_>) -> Answered {
    let (request, principal, _) = permitted.into_parts();
    let said = match &principal {
        Some(caller) => Desk { tools, call, caller }.serve().await,
        // No row of these is for strangers.
        None => Err(ApiFault::NotServed),
    };
    let mut not_done = None;
    let mut answer = match said {
        Ok(Said::Json(value)) => whole(StatusCode::OK, serde_json::to_vec(&value).unwrap_or_default()),
        Ok(Said::NoContent) => {
            let mut answer = Response::new(Body::Empty);
            *answer.status_mut() = StatusCode::NO_CONTENT;
            answer
        }
        Err(fault) => {
            let (status, code) = fault.kind();
            if let ApiFault::Store(cause) = &fault {
                tracing::warn!(error = %cause, call = call.row.name, "a change of permissions was not made");
            }
            let message = fault.to_string();
            let body = error::body(code, &message);
            not_done = Some(NotDone { code, message, ours: status.is_server_error() });
            whole(status, body)
        }
    };
    answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let response = if request.head_only { answer.map(|_| Body::Empty) } else { answer };
    Answered { response, not_done }
}

fn whole(status: StatusCode, body: Vec<u8>) -> Response<Body> {
    let mut answer = Response::new(Body::from(body));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer
}

impl Desk<'_> {
    async fn serve(&self) -> Tried {
        match self.call.row.name {
            "CreateUser" => self.create_user().await,
            "GetUser" => self.get_user(),
            "ListUsers" => Ok(self.list_users()),
            "GetCurrentUser" => Ok(self.current_user()),
            "UpdateUserAdmin" => self.update_admin().await,
            "UpdateUserPassword" => Err(self.no_passwords()),
            "DeleteUser" => self.delete_user().await,
            "ListCurrentUserPermissions" => Ok(self.list_own_permissions()),
            "ListUserPermissions" => self.list_permissions(),
            "GetUserPermission" => self.get_permission(),
            "GrantUserPermission" => self.grant().await,
            "RevokeUserPermission" => self.revoke().await,
            "CreateRole" => self.create_role().await,
            "GetRole" => self.get_role(),
            "ListRoles" => Ok(self.list_roles()),
            "UpdateRole" => self.update_role().await,
            "DeleteRole" => self.delete_role().await,
            "AddRolePermission" => self.add_role_permission().await,
            "ListRolePermissions" => self.list_role_permissions(),
            "UpdateRolePermission" => self.update_role_permission().await,
            "RemoveRolePermission" => self.remove_role_permission().await,
            "AssignRole" => self.assign().await,
            "UnassignRole" => self.unassign().await,
            "ListRoleUsers" => self.list_role_users(),
            "ListUserRoles" => self.list_user_roles(),
            "ListUserWorkspacePermissions" => self.list_workspaces_of_user(),
            "ListWorkspacePermissions" => self.list_workspace_permissions(),
            "SetWorkspacePermission" => self.set_workspace_permission().await,
            "DeleteWorkspacePermission" => self.delete_workspace_permission().await,
            _ => self.legacy().await,
        }
    }

    fn store(&self) -> &Store {
        self.tools.store
    }

    fn by(&self) -> By {
        By::User(self.caller.identity.user.clone())
    }

    /// A field that the row demands.
    fn text(&self, field: &'static str) -> Result<&str, ApiFault> {
        self.tools.fields.one(field).ok_or(ApiFault::Missing(field))
    }

    /// The number of something.
    fn number(&self, field: &'static str) -> Result<u64, ApiFault> {
        self.tools.fields.number(field).ok_or(ApiFault::Missing(field))
    }

    /// Whether the caller sees all that somebody has, or in the workspace of the call alone.
    fn sees_all_of(&self, who: &crate::mlflow::ids::UserName) -> bool {
        self.caller.admin || *who == self.caller.identity.user
    }
}

/// The text of something of which only what can be shown is kept.
fn described(text: &str) -> Result<Arc<str>, ApiFault> {
    if text.len() > 1000 || text.chars().any(|sign| sign.is_control() && !matches!(sign, '\n' | '\t')) {
        return Err(ApiFault::BadText("description"));
    }
    Ok(Arc::from(text))
}
