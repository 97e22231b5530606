//! What do clients from before roles read (up to 3.12)?
//!
//! Four calls for each type: create, get, update, delete what one person holds on one thing (3.11.1,
//! `server/auth/__init__.py`). The row's needs say which type it is.

use std::sync::Arc;

use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

use super::fault::ApiFault;
use super::permissions::of_store;
use super::{Desk, Said, Tried};
use crate::access::grant::{Grant, Pattern};
use crate::mlflow::granting;
use crate::mlflow::resource::Kind;
use crate::policy::route::{Need, Verb, What};
use crate::store::{GrantRecord, StoreFault};

/// How the objects of one type are called.
struct Family {
    /// The member that holds one.
    member: &'static str,
    /// In sentences.
    what: &'static str,
    /// The member that names the thing.
    id: &'static str,
}

fn family(kind: Kind) -> Option<Family> {
    let (member, what, id) = match kind {
        Kind::Experiment => ("experiment_permission", "Experiment", "experiment_id"),
        // Prompts were registered models then.
        Kind::RegisteredModel | Kind::Prompt => ("registered_model_permission", "Registered model", "name"),
        Kind::Scorer => ("scorer_permission", "Scorer", "scorer_name"),
        Kind::GatewaySecret => ("gateway_secret_permission", "Gateway secret", "secret_id"),
        Kind::GatewayEndpoint => ("gateway_endpoint_permission", "Gateway endpoint", "endpoint_id"),
        Kind::GatewayModelDefinition => {
            ("gateway_model_definition_permission", "Gateway model definition", "model_definition_id")
        }
        _ => return None,
    };
    Some(Family { member, what, id })
}

/// What somebody holds on one thing; `None` for what these calls do not speak of.
pub(super) fn object(record: &GrantRecord, user_id: Option<u64>) -> Option<Value> {
    let Family { id: name, .. } = family(record.grant.kind)?;
    let Pattern::Exactly(id) = &record.grant.pattern else { return None };
    let mut value = json!({"user_id": user_id, "permission": record.grant.permission.as_str()});
    match record.grant.kind {
        Kind::Scorer => {
            let (experiment, quoted) = id.split_once('/')?;
            value["experiment_id"] = json!(experiment);
            value[name] = json!(percent_decode_str(quoted).decode_utf8().ok()?);
        }
        Kind::RegisteredModel | Kind::Prompt => {
            value[name] = json!(&**id);
            value["workspace"] = json!(record.workspace.as_str());
        }
        _ => value[name] = json!(&**id),
    }
    Some(value)
}

impl Desk<'_> {
    pub(super) async fn legacy(&self) -> Tried {
        let named = self.call.row.needs.iter().find_map(|need| match need {
            Need::Gives { what: What::One { kind, field, .. }, .. }
            | Need::Takes { what: What::One { kind, field, .. }, .. }
            | Need::On { kind, field, .. } => Some((*kind, *field)),
            _ => None,
        });
        let (asked, field) = named.ok_or(ApiFault::NotServed)?;
        let Family { member, what, .. } = family(asked).ok_or(ApiFault::NotServed)?;
        let id: Arc<str> = Arc::from(self.text(field)?);
        // A name of the registry was judged as what it is.
        let prompt = asked == Kind::RegisteredModel
            && self.tools.objects.iter().any(|object| object.kind == Kind::Prompt && object.id == id);
        let kind = if prompt { Kind::Prompt } else { asked };
        let who = self.text("username")?;
        let (subject, user) = self.named_holder()?;
        let pattern = Pattern::Exactly(Arc::clone(&id));
        let place = format!("{}={id}", field.rsplit('/').next().unwrap_or(field));
        let absent = || ApiFault::NoPermission { what, place: place.clone(), who: who.to_owned() };
        let held = || {
            let held = self.store().grants_of(&subject, Some(&self.caller.workspace));
            let held = held.into_iter().find(|record| record.grant.kind == kind && record.grant.pattern == pattern);
            held.ok_or_else(absent)
        };
        let told = |record: &GrantRecord| {
            let mut value = json!({});
            value[member] = object(record, user.as_ref().map(|user| user.id)).ok_or(ApiFault::NotServed)?;
            Ok(Said::Json(value))
        };
        match self.call.row.verb {
            Verb::Get => told(&held()?),
            Verb::Post => {
                let permission = granting::level(self.text("permission")?, kind)?;
                let grant = Grant { subject: subject.clone(), kind, pattern: pattern.clone(), permission };
                let made = self.store().add_grant(&self.caller.workspace, grant, None, self.by()).await;
                let made = made.map_err(|fault| match fault {
                    StoreFault::Exists { .. } => {
                        ApiFault::GrantExists { who: who.to_owned(), kind: kind.as_str(), id: id.to_string() }
                    }
                    other => of_store(other),
                })?;
                told(&made)
            }
            Verb::Patch => {
                let permission = granting::level(self.text("permission")?, kind)?;
                let record = held()?;
                let changed = self.store().change_grant(record.id, permission, record.expires, self.by()).await;
                changed.map_err(|fault| match fault {
                    StoreFault::NoSuch { .. } => absent(),
                    other => of_store(other),
                })?;
                Ok(Said::Json(json!({})))
            }
            Verb::Delete => {
                let record = held()?;
                self.store().remove_grant(record.id, self.by()).await.map_err(|fault| match fault {
                    StoreFault::NoSuch { .. } => absent(),
                    other => of_store(other),
                })?;
                Ok(Said::Json(json!({})))
            }
            Verb::Put => Err(ApiFault::NotServed),
        }
    }
}
