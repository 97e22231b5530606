//! Which roles are there, what do they hold, and who has them?
//!
//! A role is given to users and to groups. What somebody holds without a role is shown as a role too, as MLflow does
//! (`__user_<id>__`): its permissions can be changed like any other's, and it can be given to nobody.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{Value, json};

use super::about::{grants_of, role_of_grant};
use super::fault::ApiFault;
use super::permissions::{expiry, of_store, pattern};
use super::{Desk, Said, Tried, described, json as write};
use crate::access::grant::{Grant, RoleId, Subject};
use crate::mlflow::granting::{self, Calls};
use crate::mlflow::ids::{RoleName, WorkspaceName};
use crate::store::{Assignment, GrantRecord, Role, StoreFault, User};

impl Desk<'_> {
    pub(super) async fn create_role(&self) -> Tried {
        let name = role_name(self.text("name")?)?;
        let named = self.text("workspace")?;
        let workspace = &self.caller.workspace;
        // `about::place` took the caller there, if there is such a place.
        if named != workspace.as_str() || !(self.tools.workspaces || workspace.is_default()) {
            return Err(ApiFault::NoWorkspace(named.to_owned()));
        }
        let description = described(self.tools.fields.one("description").unwrap_or_default())?;
        let made = self.store().create_role(workspace, &name, &description, self.by()).await;
        let made = made.map_err(|fault| match fault {
            StoreFault::Exists { .. } => {
                ApiFault::RoleExists { name: name.to_string(), workspace: workspace.to_string() }
            }
            other => of_store(other),
        })?;
        Ok(self.told(&made))
    }

    pub(super) fn get_role(&self) -> Tried {
        let role = self.named_role()?;
        Ok(self.told(&role))
    }

    pub(super) fn list_roles(&self) -> Said {
        let named = self.tools.fields.each("workspace");
        let mut roles: Vec<Arc<Role>> = if named.is_empty() {
            self.store().roles(None)
        } else {
            let names = named.iter().filter_map(|name| WorkspaceName::parse(name).ok());
            names.flat_map(|name| self.seen_in(&name)).collect()
        };
        roles.sort_by_key(|role| role.id);
        let roles: Vec<Value> = roles.iter().map(|role| write::role(role, &grants_of(role, self.store()))).collect();
        Said::Json(json!({ "roles": roles }))
    }

    /// The roles of a workspace that the caller may see: those that they have, or all to whoever manages it.
    fn seen_in(&self, workspace: &WorkspaceName) -> Vec<Arc<Role>> {
        let identity = Arc::clone(&self.caller.identity);
        let manages =
            self.store().principal(identity, workspace).is_ok_and(|there| Desk { caller: &there, ..*self }.manages());
        if manages {
            return self.store().roles(Some(workspace));
        }
        let own = self.store().user(&self.caller.identity.user);
        own.map_or_else(Vec::new, |user| self.having(&user, Some(workspace)))
    }

    pub(super) async fn update_role(&self) -> Tried {
        let role = self.named_role()?;
        let fields = self.tools.fields;
        if !fields.present("name") && !fields.present("description") {
            return Err(ApiFault::NothingToUpdate);
        }
        let name = if fields.present("name") { Some(role_name(fields.one("name").unwrap_or_default())?) } else { None };
        let description = if fields.present("description") {
            Some(described(fields.one("description").unwrap_or_default())?)
        } else {
            None
        };
        let updated = self.store().update_role(role.id, name.as_ref(), description.as_deref(), self.by()).await;
        let updated = updated.map_err(|fault| match fault {
            StoreFault::Exists { .. } => ApiFault::RoleExists {
                name: name.map(|name| name.to_string()).unwrap_or_default(),
                workspace: role.workspace.to_string(),
            },
            other => of_role(other, role.id),
        })?;
        Ok(self.told(&updated))
    }

    pub(super) async fn delete_role(&self) -> Tried {
        let role = self.named_role()?;
        self.store().delete_role(role.id, self.by()).await.map_err(|fault| of_role(fault, role.id))?;
        Ok(Said::Json(json!({})))
    }

    pub(super) async fn add_role_permission(&self) -> Tried {
        let role = self.named_role()?;
        let (target, permission) = self.target("resource_pattern", Calls::OfRoles)?;
        let expires = expiry(self.tools.fields)?;
        let subject = role.owner.clone().unwrap_or(Subject::Role(role.id));
        let grant = Grant { subject, kind: target.kind, pattern: pattern(&target.which), permission };
        let made = self.store().add_grant(&role.workspace, grant, expires, self.by()).await;
        let record = made.map_err(|fault| match fault {
            StoreFault::Exists { .. } => ApiFault::RolePermissionExists {
                role: role.id.0,
                kind: target.kind.as_str(),
                pattern: target.which.to_string(),
            },
            other => of_role(other, role.id),
        })?;
        Ok(Said::Json(json!({"role_permission": write::permission(&record, &role)})))
    }

    pub(super) fn list_role_permissions(&self) -> Tried {
        let role = self.named_role()?;
        let grants = grants_of(&role, self.store());
        let permissions: Vec<Value> = grants.iter().map(|record| write::permission(record, &role)).collect();
        Ok(Said::Json(json!({"role_permissions": permissions})))
    }

    pub(super) async fn update_role_permission(&self) -> Tried {
        let id = self.number("role_permission_id")?;
        let (record, role) = self.role_permission(id)?;
        let permission = granting::level(self.text("permission")?, record.grant.kind)?;
        let expires = expiry(self.tools.fields)?.or(record.expires);
        let changed = self.store().change_grant(id, permission, expires, self.by()).await;
        let record = changed.map_err(|fault| of_permission(fault, id))?;
        Ok(Said::Json(json!({"role_permission": write::permission(&record, &role)})))
    }

    pub(super) async fn remove_role_permission(&self) -> Tried {
        let id = self.number("role_permission_id")?;
        self.role_permission(id)?;
        self.store().remove_grant(id, self.by()).await.map_err(|fault| of_permission(fault, id))?;
        Ok(Said::Json(json!({})))
    }

    pub(super) async fn assign(&self) -> Tried {
        let role = self.named_role()?;
        let (to, user) = self.named_holder()?;
        let expires = expiry(self.tools.fields)?;
        let made = self.store().assign(role.id, &to, expires, self.by()).await;
        let who = whose(&to, user.as_deref());
        let made = made.map_err(|fault| match fault {
            StoreFault::Exists { .. } => ApiFault::AssignmentExists { who, role: role.id.0 },
            other => of_role(other, role.id),
        })?;
        Ok(Said::Json(json!({"assignment": write::assignment(&made, user.map(|user| user.id))})))
    }

    pub(super) async fn unassign(&self) -> Tried {
        let role = self.named_role()?;
        let (from, user) = self.named_holder()?;
        let who = whose(&from, user.as_deref());
        self.store().unassign(role.id, &from, self.by()).await.map_err(|fault| match fault {
            StoreFault::NoSuch { what: "assignment", .. } => ApiFault::NoAssignment { who, role: role.id.0 },
            other => of_role(other, role.id),
        })?;
        Ok(Said::Json(json!({})))
    }

    /// Who has a role. Groups stand in a list of their own: MLflow's clients and pages read the numbers of users.
    pub(super) fn list_role_users(&self) -> Tried {
        let role = self.named_role()?;
        let number = |subject: &Subject| match subject {
            Subject::User(name) => self.store().user(name).map(|user| user.id),
            Subject::Group(_) | Subject::Role(_) => None,
        };
        let (mut users, mut groups) = (Vec::new(), Vec::new());
        for assignment in self.store().assignments_of_role(role.id) {
            match number(&assignment.to) {
                Some(id) => users.push(write::assignment(&assignment, Some(id))),
                None => groups.push(write::assignment(&assignment, None)),
            }
        }
        if let Some(Subject::User(name)) = &role.owner
            && let Some(user) = self.store().user(name)
        {
            users.push(json!({"id": role.id.0, "role_id": role.id.0, "user_id": user.id, "expires_at": null}));
        }
        Ok(Said::Json(json!({"assignments": users, "group_assignments": groups})))
    }

    pub(super) fn list_user_roles(&self) -> Tried {
        let user = self.named_user()?;
        let within = (!self.sees_all_of(&user.name)).then_some(&self.caller.workspace);
        Ok(Said::Json(json!({"roles": self.roles_of(&user, within)})))
    }

    /// The roles of somebody as JSON.
    pub(super) fn roles_of(&self, user: &User, within: Option<&WorkspaceName>) -> Vec<Value> {
        let roles = self.having(user, within);
        roles.iter().map(|role| write::role(role, &grants_of(role, self.store()))).collect()
    }

    /// Every role that reaches somebody, each once, by number.
    fn having(&self, user: &User, within: Option<&WorkspaceName>) -> Vec<Arc<Role>> {
        let mut roles: BTreeMap<RoleId, Arc<Role>> = BTreeMap::new();
        let here = |role: &Arc<Role>| within.is_none_or(|within| *within == role.workspace);
        for subject in self.subjects(user) {
            let own = self.hidden_roles(&subject);
            let assigned = self.store().assignments_to(&subject);
            let assigned = assigned.iter().filter_map(|assignment: &Assignment| self.store().role(assignment.role));
            roles.extend(own.into_iter().chain(assigned).filter(here).map(|role| (role.id, role)));
        }
        roles.into_values().collect()
    }

    /// The roles that stand for what somebody holds, one for each workspace.
    fn hidden_roles(&self, subject: &Subject) -> Vec<Arc<Role>> {
        let grants = self.store().grants_of(subject, None);
        let places: BTreeSet<&WorkspaceName> = grants.iter().map(|record| &record.workspace).collect();
        places.into_iter().filter_map(|workspace| self.store().hidden_role(subject, workspace)).collect()
    }

    fn told(&self, role: &Role) -> Said {
        Said::Json(json!({"role": write::role(role, &grants_of(role, self.store()))}))
    }

    fn named_role(&self) -> Result<Arc<Role>, ApiFault> {
        self.role(RoleId(self.number("role_id")?))
    }

    fn role(&self, id: RoleId) -> Result<Arc<Role>, ApiFault> {
        self.store().role(id).ok_or(ApiFault::NoRole(id.0))
    }

    fn role_permission(&self, id: u64) -> Result<(GrantRecord, Arc<Role>), ApiFault> {
        let record = self.store().grant_by_id(id).ok_or(ApiFault::NoRolePermission(id))?;
        let role = role_of_grant(&record, self.store()).ok_or(ApiFault::NoRolePermission(id))?;
        Ok((record, role))
    }
}

fn whose(subject: &Subject, user: Option<&User>) -> String {
    user.map_or_else(|| subject.to_string(), |user| user.id.to_string())
}

/// A name that people can tell from any other: nothing in it that is not seen.
fn role_name(text: &str) -> Result<RoleName, ApiFault> {
    let name = RoleName::parse(text).map_err(ApiFault::BadRoleName)?;
    if name.as_str().starts_with("__") {
        return Err(ApiFault::ReservedRoleName(text.to_owned()));
    }
    if text.chars().any(unseen) {
        let fault = crate::mlflow::ids::BadId { kind: "role name", why: "it has characters that are not seen" };
        return Err(ApiFault::BadRoleName(fault));
    }
    Ok(name)
}

/// Characters without a shape of their own: joiners, marks of direction, fillers, other spaces (Unicode 16,
/// `Default_Ignorable_Code_Point`, `White_Space`).
fn unseen(sign: char) -> bool {
    (sign.is_whitespace() && sign != ' ')
        || matches!(
            u32::from(sign),
            0xAD | 0x34F
                | 0x61C
                | 0x115F
                | 0x1160
                | 0x17B4
                | 0x17B5
                | 0x180B..=0x180F
                | 0x200B..=0x200F
                | 0x202A..=0x202E
                | 0x2060..=0x206F
                | 0x3164
                | 0xFE00..=0xFE0F
                | 0xFEFF
                | 0xFFA0
                | 0xFFF0..=0xFFFB
                | 0x1BCA0..=0x1BCA3
                | 0x1D173..=0x1D17A
                | 0xE0000..=0xE0FFF
        )
}

fn of_role(fault: StoreFault, role: RoleId) -> ApiFault {
    match fault {
        StoreFault::NoSuch { what: "role", .. } => ApiFault::NoRole(role.0),
        other => of_store(other),
    }
}

fn of_permission(fault: StoreFault, id: u64) -> ApiFault {
    match fault {
        StoreFault::NoSuch { .. } => ApiFault::NoRolePermission(id),
        other => of_store(other),
    }
}
