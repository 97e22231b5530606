//! What does somebody hold on a whole workspace, as clients before 3.13 ask?

use std::sync::Arc;

use serde_json::{Value, json};

use super::fault::ApiFault;
use super::permissions::of_store;
use super::{Desk, Said, Tried};
use crate::access::grant::{Grant, Pattern, Subject};
use crate::mlflow::granting;
use crate::mlflow::permission::Action;
use crate::mlflow::resource::Kind;
use crate::store::GrantRecord;

impl Desk<'_> {
    pub(super) fn list_workspaces_of_user(&self) -> Tried {
        let user = self.named_user()?;
        let held = self.store().grants_of(&Subject::User(user.name.clone()), None);
        let held: Vec<Value> = held
            .iter()
            .filter(|record| record.grant.kind == Kind::Workspace)
            .map(|record| told(record, Some(user.id)))
            .collect();
        Ok(Said::Json(json!({ "permissions": held })))
    }

    pub(super) fn list_workspace_permissions(&self) -> Tried {
        self.named_workspace()?;
        let mut held: Vec<Value> = Vec::new();
        for record in self.store().grants() {
            // Groups, and people who are not known yet, have no number that these clients could read.
            if record.workspace == self.caller.workspace
                && record.grant.kind == Kind::Workspace
                && let Subject::User(name) = &record.grant.subject
                && let Some(user) = self.store().user(name)
            {
                held.push(told(&record, Some(user.id)));
            }
        }
        Ok(Said::Json(json!({ "permissions": held })))
    }

    pub(super) async fn set_workspace_permission(&self) -> Tried {
        self.named_workspace()?;
        let permission = granting::level(self.text("permission")?, Kind::Workspace)?;
        let (subject, user) = self.named_holder()?;
        let workspace = &self.caller.workspace;
        let grant = Grant { subject, kind: Kind::Workspace, pattern: every(), permission };
        let record = self.store().set_grant(workspace, grant, None, self.by()).await.map_err(of_store)?;
        Ok(Said::Json(json!({"permission": told(&record, user.map(|user| user.id))})))
    }

    pub(super) async fn delete_workspace_permission(&self) -> Tried {
        self.named_workspace()?;
        let (subject, _) = self.named_holder()?;
        let changed = self.store().revoke(&self.caller.workspace, subject, Kind::Workspace, every(), self.by()).await;
        if changed.map_err(of_store)?.anything() { Ok(Said::NoContent) } else { Err(self.nothing_held()) }
    }

    /// The workspace that the path names is the one that the caller acts in by now, if it is one.
    fn named_workspace(&self) -> Result<(), ApiFault> {
        let named = self.call.capture("workspace_name").unwrap_or_default();
        let workspace = &self.caller.workspace;
        if named == workspace.as_str() && (self.tools.workspaces || workspace.is_default()) {
            return Ok(());
        }
        Err(ApiFault::NoWorkspace(named.to_owned()))
    }

    fn nothing_held(&self) -> ApiFault {
        ApiFault::NoPermission {
            what: "Workspace",
            place: format!("workspace={}", self.caller.workspace),
            who: self.tools.fields.one("username").unwrap_or_default().to_owned(),
        }
    }
}

/// However it is written, a grant on the workspace is one on the workspace that it is in.
fn every() -> Pattern {
    Pattern::Prefix(Arc::from(""))
}

fn told(record: &GrantRecord, user_id: Option<u64>) -> Value {
    let permission = record.grant.permission;
    json!({
        "workspace": record.workspace.as_str(),
        "user_id": user_id,
        "permission": permission.as_str(),
        "can_use": permission.allows(Action::Use),
    })
}
