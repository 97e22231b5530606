//! What can be wrong with a call that may be made?
//!
//! One sentence each, MLflow's own where it has one (3.17.2, `server/auth/__init__.py`, `sqlalchemy_store.py`), with its
//! status and error code.

use http::StatusCode;

use crate::mlflow::error::ErrorCode;
use crate::mlflow::granting::BadTarget;
use crate::mlflow::ids::BadId;
use crate::store::StoreFault;

/// Why a call that may be made cannot be carried out.
#[derive(Debug, thiserror::Error)]
pub(super) enum ApiFault {
    /// Nobody of this name.
    #[error("User with username={0} not found")]
    NoUser(String),
    /// No role of this number.
    #[error("Role with id={0} not found")]
    NoRole(u64),
    /// No permission of this number.
    #[error("Role permission with id={0} not found")]
    NoRolePermission(u64),
    /// No workspace of this name.
    #[error("Workspace '{0}' not found")]
    NoWorkspace(String),
    /// Somebody of this name is known already.
    #[error("User (username={0}) already exists.")]
    UserExists(String),
    /// Somebody is known whose name reads the same.
    #[error("User (username={name}) already exists: as {known}, which reads the same.")]
    UserReadsAs {
        /// What was sent.
        name: String,
        /// Who is known.
        known: String,
    },
    /// There is a role of this name.
    #[error("Role (name={name}, workspace={workspace}) already exists.")]
    RoleExists {
        /// The name.
        name: String,
        /// Where.
        workspace: String,
    },
    /// The role has a permission on the same.
    #[error("Role permission (role_id={role}, resource_type={kind}, resource_pattern={pattern}) already exists.")]
    RolePermissionExists {
        /// The role.
        role: u64,
        /// On what kind.
        kind: &'static str,
        /// On which.
        pattern: String,
    },
    /// Whoever is named has the role.
    #[error("User role assignment (user_id={who}, role_id={role}) already exists")]
    AssignmentExists {
        /// The number of the user, or the group's name.
        who: String,
        /// The role.
        role: u64,
    },
    /// Whoever is named does not have the role.
    #[error("User role assignment (user_id={who}, role_id={role}) not found")]
    NoAssignment {
        /// The number of the user, or the group's name.
        who: String,
        /// The role.
        role: u64,
    },
    /// Whoever is named holds something on the same.
    #[error("Permission for user={who} on resource_type={kind}, resource_id={id} already exists.")]
    GrantExists {
        /// Who.
        who: String,
        /// On what kind.
        kind: &'static str,
        /// On which.
        id: String,
    },
    /// Whoever is named holds nothing on it.
    #[error("Permission for user={who} on resource_type={kind}, resource_id={id} not found.")]
    NoGrant {
        /// Who.
        who: String,
        /// On what kind.
        kind: &'static str,
        /// On which.
        id: String,
    },
    /// The same, as clients before 3.13 read it.
    #[error("{what} permission with {place} and username={who} not found")]
    NoPermission {
        /// On what kind.
        what: &'static str,
        /// On which.
        place: String,
        /// Who.
        who: String,
    },
    /// Who is signed in would remove themselves.
    #[error("Users cannot delete their own account. Ask another admin to delete this user instead.")]
    OwnAccount,
    /// The settings say who is an administrator.
    #[error("The settings of this server (`access.admins`) make {0} an administrator; only there can that be changed.")]
    AdminBySettings(String),
    /// There are no passwords.
    #[error("There are no passwords here: people sign in at {0}, which keeps theirs.")]
    NoPasswords(String),
    /// A name that nobody can sign in with.
    #[error("Invalid username: {0}")]
    BadUserName(&'static str),
    /// Only people are meant.
    #[error("Invalid username: this call is about people, not about groups.")]
    NotAPerson,
    /// A name that no role can have.
    #[error("Invalid role name: {0}")]
    BadRoleName(BadId),
    /// Names that Trackgate gives itself.
    #[error(
        "Role name '{0}' uses the reserved '__' prefix, which is held for what users and groups hold by themselves. Choose a different name."
    )]
    ReservedRoleName(String),
    /// A role that stands for what somebody holds.
    #[error("Role {0} stands for what one user or group holds by themselves: it can be neither renamed nor assigned.")]
    OwnedRole(u64),
    /// A change of nothing.
    #[error("At least one of 'name' or 'description' must be provided to update a role.")]
    NothingToUpdate,
    /// No time.
    #[error("Invalid expires_at: {0}")]
    BadTime(&'static str),
    /// A text that is too long.
    #[error("Invalid {0}: it is too long or has control characters.")]
    BadText(&'static str),
    /// What is given cannot be.
    #[error(transparent)]
    Target(#[from] BadTarget),
    /// The name is that of a prompt, or of a registered model.
    #[error("{name} is a {is}: use resource_type '{is}'.")]
    OtherKind {
        /// The name.
        name: String,
        /// What it is.
        is: &'static str,
    },
    /// A required field that has no value.
    #[error(
        "Missing value for required parameter '{0}'. See the API docs for more information about request parameters."
    )]
    Missing(&'static str),
    /// The row is not served here.
    #[error("This call is not served.")]
    NotServed,
    /// The store refused for a reason of its own, or cannot be reached.
    #[error("Permissions cannot be changed now; try again later.")]
    Store(#[source] StoreFault),
}

impl ApiFault {
    /// Status and code.
    pub(super) fn kind(&self) -> (StatusCode, ErrorCode) {
        match self {
            Self::NoUser(_)
            | Self::NoRole(_)
            | Self::NoRolePermission(_)
            | Self::NoWorkspace(_)
            | Self::NoAssignment { .. }
            | Self::NoGrant { .. }
            | Self::NoPermission { .. } => (StatusCode::NOT_FOUND, ErrorCode::ResourceDoesNotExist),
            Self::UserExists(_)
            | Self::UserReadsAs { .. }
            | Self::RoleExists { .. }
            | Self::RolePermissionExists { .. }
            | Self::AssignmentExists { .. }
            | Self::GrantExists { .. } => (StatusCode::BAD_REQUEST, ErrorCode::ResourceAlreadyExists),
            Self::OwnAccount => (StatusCode::BAD_REQUEST, ErrorCode::BadRequest),
            Self::AdminBySettings(_)
            | Self::NoPasswords(_)
            | Self::BadUserName(_)
            | Self::NotAPerson
            | Self::BadRoleName(_)
            | Self::ReservedRoleName(_)
            | Self::OwnedRole(_)
            | Self::NothingToUpdate
            | Self::BadTime(_)
            | Self::BadText(_)
            | Self::Target(_)
            | Self::OtherKind { .. }
            | Self::Missing(_) => (StatusCode::BAD_REQUEST, ErrorCode::InvalidParameterValue),
            Self::NotServed => (StatusCode::NOT_FOUND, ErrorCode::EndpointNotFound),
            Self::Store(_) => (StatusCode::SERVICE_UNAVAILABLE, ErrorCode::TemporarilyUnavailable),
        }
    }
}
