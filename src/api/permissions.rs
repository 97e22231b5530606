//! What does somebody hold, and who gives or takes what?

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::fault::ApiFault;
use super::{Desk, Said, Tried};
use crate::access::decide::{Reason, holds};
use crate::access::grant::{Grant, Pattern, RoleId, Subject};
use crate::access::identity::Principal;
use crate::mlflow::granting::{self, Calls, Target, Which};
use crate::mlflow::ids::{GroupName, WorkspaceName};
use crate::mlflow::permission::{Action, Permission};
use crate::mlflow::resource::Kind;
use crate::policy::fields::Fields;
use crate::store::{EVERYBODY, GrantRecord, Role, StoreFault, User};

impl Desk<'_> {
    pub(super) async fn grant(&self) -> Tried {
        let (target, permission) = self.target("resource_id", Calls::OfPeople)?;
        let (subject, _) = self.named_holder()?;
        let expires = expiry(self.tools.fields)?;
        let who = self.text("username")?;
        let grant = Grant { subject, kind: target.kind, pattern: pattern(&target.which), permission };
        self.store().add_grant(&self.caller.workspace, grant, expires, self.by()).await.map_err(
            |fault| match fault {
                StoreFault::Exists { .. } => ApiFault::GrantExists {
                    who: who.to_owned(),
                    kind: target.kind.as_str(),
                    id: target.which.to_string(),
                },
                other => of_store(other),
            },
        )?;
        Ok(Said::Json(json!({})))
    }

    pub(super) async fn revoke(&self) -> Tried {
        let target = self.tools.fields.target("resource_type", "resource_id", Calls::OfPeople)?;
        let (subject, _) = self.named_holder()?;
        let who = self.text("username")?;
        let absent =
            || ApiFault::NoGrant { who: who.to_owned(), kind: target.kind.as_str(), id: target.which.to_string() };
        let workspace = &self.caller.workspace;
        let pattern = pattern(&target.which);
        let changed = self.store().revoke(workspace, subject, target.kind, pattern, self.by()).await;
        if changed.map_err(of_store)?.anything() { Ok(Said::Json(json!({}))) } else { Err(absent()) }
    }

    pub(super) fn get_permission(&self) -> Tried {
        let user = self.named_user()?;
        let about = self.tools.about.filter(|about| about.identity.user == user.name);
        let held = about.and_then(|about| self.level(about));
        let word = held.map_or("NO_PERMISSIONS", Permission::as_str);
        let allowed = held.is_some_and(|held| held.allows(Action::Use));
        Ok(Said::Json(json!({"allowed": allowed, "permission": word})))
    }

    /// The most that somebody may do with the thing that the request names.
    fn level(&self, principal: &Principal) -> Option<Permission> {
        let thing = self.tools.thing?;
        let levels = [
            (Action::Manage, Permission::Manage),
            (Action::Edit, Permission::Edit),
            (Action::Use, Permission::Use),
            (Action::Read, Permission::Read),
        ];
        for (action, permission) in levels {
            match holds(principal, action, thing) {
                Ok(_) => return Some(permission),
                Err(Reason::Grant { permission: Permission::Deny, .. }) => return Some(Permission::Deny),
                Err(_) => {}
            }
        }
        None
    }

    pub(super) fn list_own_permissions(&self) -> Said {
        let name = &self.caller.identity.user;
        let rows = self.store().user(name).map_or_else(Vec::new, |user| self.rows(&user, None));
        Said::Json(json!({"is_admin": self.caller.admin, "permissions": rows}))
    }

    pub(super) fn list_permissions(&self) -> Tried {
        let user = self.named_user()?;
        let within = (!self.sees_all_of(&user.name)).then_some(&self.caller.workspace);
        let admin = self.store().is_admin(&user.name);
        Ok(Said::Json(json!({"is_admin": admin, "permissions": self.rows(&user, within)})))
    }

    /// Everything that reaches somebody: their own, their groups', that of their roles and of their groups' roles.
    fn rows(&self, user: &User, within: Option<&WorkspaceName>) -> Vec<Value> {
        let mut rows = Vec::new();
        let mut seen: BTreeSet<u64> = BTreeSet::new();
        for subject in self.subjects(user) {
            let via = match &subject {
                Subject::Group(name) => json!(format!("group:{name}")),
                Subject::User(_) | Subject::Role(_) => Value::Null,
            };
            let mut add = |record: &GrantRecord, role: Option<&Role>| {
                if seen.insert(record.id) {
                    rows.push(row(record, role, &subject, &via));
                }
            };
            for record in self.store().grants_of(&subject, within) {
                let role = self.store().hidden_role(&subject, &record.workspace);
                add(&record, role.as_deref());
            }
            for assignment in self.store().assignments_to(&subject) {
                let Some(role) = self.store().role(assignment.role) else { continue };
                for mut record in self.store().grants_of(&Subject::Role(role.id), within) {
                    // What is held through a role ends with whichever ends first.
                    record.expires = record.expires.into_iter().chain(assignment.expires).min();
                    add(&record, Some(&role));
                }
            }
        }
        rows
    }

    /// The user, and every group that they are known to be in.
    pub(super) fn subjects(&self, user: &User) -> Vec<Subject> {
        let own = user.name == self.caller.identity.user;
        let vouched: &[GroupName] = if own { &self.caller.identity.groups } else { &[] };
        let everybody = GroupName::parse(EVERYBODY).ok();
        let mut groups: Vec<&GroupName> = user.groups.iter().chain(vouched).chain(&everybody).collect();
        groups.sort_unstable();
        groups.dedup();
        let groups = groups.into_iter().map(|name| Subject::Group(name.clone()));
        std::iter::once(Subject::User(user.name.clone())).chain(groups).collect()
    }

    /// What is given, and how much of it.
    pub(super) fn target(&self, id: &'static str, calls: Calls) -> Result<(Target, Permission), ApiFault> {
        let target = self.tools.fields.target("resource_type", id, calls)?;
        let permission = granting::level(self.text("permission")?, target.kind)?;
        if let (Kind::RegisteredModel, Which::One(name)) = (target.kind, &target.which)
            && self.tools.objects.iter().any(|object| object.kind == Kind::Prompt && *object.id == **name)
        {
            return Err(ApiFault::OtherKind { name: name.clone(), is: Kind::Prompt.as_str() });
        }
        Ok((target, permission))
    }

    /// Whether the caller manages the workspace of the call.
    pub(super) fn manages(&self) -> bool {
        let workspace = crate::mlflow::resource::Resource::of_workspace(&self.caller.workspace);
        holds(self.caller, Action::Manage, &workspace).is_ok()
    }
}

/// One grant, with the role that MLflow's pages show it in.
fn row(record: &GrantRecord, role: Option<&Role>, holder: &Subject, via: &Value) -> Value {
    // A group that its issuer alone knows has no number, and no role that stands for it.
    let name = role.map_or_else(|| holder.to_string(), |role| role.name.to_string());
    json!({
        "role_id": role.map_or(RoleId(0), |role| role.id).0,
        "role_name": name,
        "workspace": record.workspace.as_str(),
        "resource_type": record.grant.kind.as_str(),
        "resource_pattern": record.grant.pattern.to_string(),
        "permission": record.grant.permission.as_str(),
        "expires_at": record.expires,
        "via": via,
    })
}

pub(super) fn pattern(which: &Which) -> Pattern {
    match which {
        Which::Every => Pattern::Prefix(Arc::from("")),
        Which::Beginning(prefix) => Pattern::Prefix(Arc::from(prefix.as_str())),
        Which::Matching(text) => Pattern::Glob(Arc::from(text.as_str())),
        Which::One(id) => Pattern::Exactly(Arc::from(id.as_str())),
    }
}

/// When what is given ends: `expires_at`, in milliseconds since the epoch or as RFC 3339 writes it.
pub(super) fn expiry(fields: &Fields) -> Result<Option<u64>, ApiFault> {
    const WRONG: ApiFault = ApiFault::BadTime("write milliseconds since the epoch, or a time as 2030-01-31T12:00:00Z");
    let Some(text) = fields.one("expires_at") else { return Ok(None) };
    if let Ok(millis) = text.parse::<u64>() {
        return Ok(Some(millis));
    }
    let time = OffsetDateTime::parse(text, &Rfc3339).map_err(|_| WRONG)?;
    u64::try_from(time.unix_timestamp_nanos() / 1_000_000).map(Some).map_err(|_| WRONG)
}

/// A fault of the store's that needs no names of ours.
pub(super) fn of_store(fault: StoreFault) -> ApiFault {
    match fault {
        StoreFault::EndPassed => ApiFault::BadTime("it has passed"),
        StoreFault::OwnRole(role) => ApiFault::OwnedRole(role.0),
        StoreFault::OwnName(name) => ApiFault::ReservedRoleName(name.to_string()),
        other => ApiFault::Store(other),
    }
}
