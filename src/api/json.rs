//! How are users, roles and permissions written?
//!
//! As MLflow does (3.17.2, `server/auth/entities.py`, `to_json`), with what MLflow does not have in members of their own,
//! which its clients pass over.

use serde_json::{Value, json};

use crate::access::grant::Subject;
use crate::store::{Assignment, GrantRecord, Role, User};

pub(super) fn user(user: &User, admin: bool) -> Value {
    json!({"id": user.id, "username": user.name.as_str(), "is_admin": admin})
}

pub(super) fn role(role: &Role, grants: &[GrantRecord]) -> Value {
    let permissions: Vec<Value> = grants.iter().map(|record| permission(record, role)).collect();
    let description = if role.description.is_empty() { Value::Null } else { json!(&*role.description) };
    let mut value = json!({
        "id": role.id.0,
        "name": role.name.as_str(),
        "workspace": role.workspace.as_str(),
        "description": description,
        "permissions": permissions,
    });
    if let Some(Subject::Group(name)) = &role.owner {
        value["group"] = json!(name.as_str());
    }
    value
}

pub(super) fn permission(record: &GrantRecord, role: &Role) -> Value {
    json!({
        "id": record.id,
        "role_id": role.id.0,
        "resource_type": record.grant.kind.as_str(),
        "resource_pattern": record.grant.pattern.to_string(),
        "permission": record.grant.permission.as_str(),
        "expires_at": record.expires,
    })
}

/// Who has a role. MLflow's clients read a user's number; a group has none of those.
pub(super) fn assignment(assignment: &Assignment, user_id: Option<u64>) -> Value {
    let mut value = json!({
        "id": assignment.id,
        "role_id": assignment.role.0,
        "user_id": user_id,
        "expires_at": assignment.expires,
    });
    if let Subject::Group(name) = &assignment.to {
        value["group"] = json!(name.as_str());
    }
    value
}
