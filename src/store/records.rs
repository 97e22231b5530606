//! What do people see of the state: users, groups, roles, grants, and who may create what?

use std::sync::Arc;

use crate::access::grant::{Grant, Pattern, RoleId, Subject};
use crate::mlflow::ids::{GroupName, RoleName, UserName, WorkspaceName};
use crate::mlflow::resource::Kind;

/// The group that everybody who signs in belongs to.
pub const EVERYBODY: &str = "everybody";

/// A user, as `user list` shows it.
#[derive(Debug, Clone)]
pub struct User {
    /// Number, never given twice.
    pub id: u64,
    /// Name.
    pub name: UserName,
    /// Whether the store calls the user an administrator (the settings may do so besides).
    pub admin: bool,
    /// Whether the user is refused.
    pub disabled: bool,
    /// Milliseconds since the epoch.
    pub created: u64,
    /// Which subjects of which issuers the user was seen as.
    pub identities: Vec<Binding>,
    /// The store's groups that the user is in, in order.
    pub groups: Vec<GroupName>,
    /// The groups that issuers named when they last vouched for the user.
    pub vouched: Vec<GroupName>,
    /// Whether it is a service account: nobody signs in as one.
    pub service: bool,
    /// Who looks after a service account: users and groups.
    pub owners: Vec<Subject>,
}

/// A user's subject at one issuer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binding {
    /// The issuer.
    pub issuer: Arc<str>,
    /// Its `sub`.
    pub subject: Arc<str>,
}

/// A group of the store, as `group list` shows it.
#[derive(Debug, Clone)]
pub struct Group {
    /// Number, never given twice.
    pub id: u64,
    /// Name.
    pub name: GroupName,
    /// Members, in order.
    pub members: Vec<UserName>,
    /// Milliseconds since the epoch.
    pub created: u64,
}

/// A grant, as `grant list` shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrantRecord {
    /// Number, never given twice.
    pub id: u64,
    /// In which workspace.
    pub workspace: WorkspaceName,
    /// What is granted.
    pub grant: Grant,
    /// From when on it counts for nothing, in milliseconds since the epoch.
    pub expires: Option<u64>,
    /// Milliseconds since the epoch.
    pub created: u64,
    /// Who gave it.
    pub by: Arc<str>,
}

/// A bundle of grants in one workspace, for whomever it is assigned to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Role {
    /// Number, never given twice.
    pub id: RoleId,
    /// In which workspace.
    pub workspace: WorkspaceName,
    /// Name, one of its kind in the workspace.
    pub name: RoleName,
    /// What it is for.
    pub description: Arc<str>,
    /// Whose own grants it stands for in MLflow's API. It holds nothing by itself and is assigned to nobody else.
    pub owner: Option<Subject>,
    /// Milliseconds since the epoch.
    pub created: u64,
    /// Who made it.
    pub by: Arc<str>,
}

/// Who has a role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assignment {
    /// Number, never given twice.
    pub id: u64,
    /// Which role.
    pub role: RoleId,
    /// A user or a group.
    pub to: Subject,
    /// From when on it counts for nothing, in milliseconds since the epoch.
    pub expires: Option<u64>,
    /// Milliseconds since the epoch.
    pub created: u64,
    /// Who assigned it.
    pub by: Arc<str>,
}

/// Who may create things of a kind under which names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateRule {
    /// Number, never given twice.
    pub id: u64,
    /// In which workspace.
    pub workspace: WorkspaceName,
    /// Who.
    pub subject: Subject,
    /// Things of which kind.
    pub kind: Kind,
    /// Under which names.
    pub pattern: Pattern,
    /// From when on it counts for nothing, in milliseconds since the epoch.
    pub expires: Option<u64>,
    /// Milliseconds since the epoch.
    pub created: u64,
    /// Who made it.
    pub by: Arc<str>,
}

/// Whether something that ends at `expires` still counts at `now`: not from that very millisecond on.
pub(super) fn counts(expires: Option<u64>, now: u64) -> bool {
    expires.is_none_or(|end| now < end)
}
