//! Who is there, and who is an administrator?
//!
//! Whoever can sign in comes to be known at that moment. `users/create` makes somebody known before, so that permissions
//! can be given; the password that MLflow's client and UI send along is never read.

use std::sync::Arc;

use serde_json::{Value, json};

use super::fault::ApiFault;
use super::permissions::of_store;
use super::{Desk, Said, Tried, json as write};
use crate::access::grant::Subject;
use crate::mlflow::granting::Holder;
use crate::mlflow::ids::UserName;
use crate::mlflow::look::look;
use crate::mlflow::resource::Kind;
use crate::store::{GrantRecord, StoreFault, User};

impl Desk<'_> {
    pub(super) async fn create_user(&self) -> Tried {
        let name = new_name(self.text("username")?)?;
        let read = folded(name.as_str());
        // Names that read the same look the same.
        let alike = self.store().looking(&look(name.as_str()));
        match alike.into_iter().find(|known| folded(known.as_str()) == read) {
            Some(known) if known == name => return Err(ApiFault::UserExists(name.to_string())),
            Some(known) => {
                return Err(ApiFault::UserReadsAs { name: name.to_string(), known: known.to_string() });
            }
            None => {}
        }
        let changed = self.store().add_user(&name, self.by()).await.map_err(of_store)?;
        if !changed.anything() {
            return Err(ApiFault::UserExists(name.to_string()));
        }
        let user = self.user(&name)?;
        Ok(Said::Json(json!({ "user": self.user_with_grants(&user) })))
    }

    pub(super) fn get_user(&self) -> Tried {
        let user = self.named_user()?;
        Ok(Said::Json(json!({ "user": self.user_with_grants(&user) })))
    }

    pub(super) fn list_users(&self) -> Said {
        let manages = self.manages();
        let mut users = self.store().users();
        users.sort_unstable_by_key(|user| user.id);
        let users: Vec<Value> = users
            .iter()
            .map(|user| {
                let mut value = write::user(user, self.store().is_admin(&user.name));
                let roles = if self.sees_all_of(&user.name) {
                    self.roles_of(user, None)
                } else if manages {
                    self.roles_of(user, Some(&self.caller.workspace))
                } else {
                    Vec::new()
                };
                value["roles"] = json!(roles);
                if user.disabled {
                    value["is_disabled"] = json!(true);
                }
                value
            })
            .collect();
        Said::Json(json!({ "users": users }))
    }

    /// The UI asks for it on every page; `is_basic_auth` says whether it may offer to change a password and to log out by
    /// a trick with wrong credentials.
    pub(super) fn current_user(&self) -> Said {
        let name = &self.caller.identity.user;
        let id = self.store().user(name).map_or(0, |user| user.id);
        let user = json!({"id": id, "username": name.as_str(), "is_admin": self.caller.admin});
        Said::Json(json!({"user": user, "is_basic_auth": false}))
    }

    pub(super) async fn update_admin(&self) -> Tried {
        let user = self.named_user()?;
        let on = self.text("is_admin")? == "true";
        if !on && self.store().is_admin_by_settings(&user.name) {
            return Err(ApiFault::AdminBySettings(user.name.to_string()));
        }
        let made = self.store().set_admin(&user.name, on, self.by()).await;
        made.map_err(|fault| of_user(fault, &user.name))?;
        Ok(Said::Json(json!({})))
    }

    pub(super) async fn delete_user(&self) -> Tried {
        let user = self.named_user()?;
        if user.name == self.caller.identity.user {
            return Err(ApiFault::OwnAccount);
        }
        let changed = self.store().remove_user(&user.name, self.by()).await.map_err(of_store)?;
        if changed.anything() { Ok(Said::Json(json!({}))) } else { Err(ApiFault::NoUser(user.name.to_string())) }
    }

    pub(super) fn no_passwords(&self) -> ApiFault {
        let issuer = &*self.caller.identity.issuer;
        let known = self.tools.authenticator.issuers();
        let own = known.iter().find(|known| *known.settings.issuer == *issuer);
        ApiFault::NoPasswords(own.map_or_else(|| issuer.to_owned(), |own| own.settings.title.clone()))
    }

    /// The person whom `username` names.
    pub(super) fn named_user(&self) -> Result<Arc<User>, ApiFault> {
        match self.holder()? {
            Holder::User(name) => self.user(&name),
            Holder::Group(_) => Err(ApiFault::NotAPerson),
        }
    }

    /// Whom `username` names: a person who is known, or any group: an issuer may know it alone.
    pub(super) fn named_holder(&self) -> Result<(Subject, Option<Arc<User>>), ApiFault> {
        match self.holder()? {
            Holder::User(name) => {
                let user = self.user(&name)?;
                Ok((Subject::User(name), Some(user)))
            }
            Holder::Group(name) => Ok((Subject::Group(name), None)),
        }
    }

    fn holder(&self) -> Result<Holder, ApiFault> {
        let text = self.text("username")?;
        Holder::parse(text).map_err(|fault| ApiFault::BadUserName(fault.why))
    }

    pub(super) fn user(&self, name: &UserName) -> Result<Arc<User>, ApiFault> {
        self.store().user(name).ok_or_else(|| ApiFault::NoUser(name.to_string()))
    }

    /// A user as clients before 3.13 read one: with what they hold by themselves.
    fn user_with_grants(&self, user: &User) -> Value {
        let mut value = write::user(user, self.store().is_admin(&user.name));
        let grants: Vec<GrantRecord> =
            self.store().grants_of(&Subject::User(user.name.clone()), Some(&self.caller.workspace));
        for (member, kind) in [
            ("experiment_permissions", Kind::Experiment),
            ("registered_model_permissions", Kind::RegisteredModel),
            ("scorer_permissions", Kind::Scorer),
        ] {
            let own: Vec<Value> = grants
                .iter()
                .filter(|record| record.grant.kind == kind)
                .filter_map(|record| super::legacy::object(record, Some(user.id)))
                .collect();
            value[member] = json!(own);
        }
        value
    }
}

fn of_user(fault: StoreFault, name: &UserName) -> ApiFault {
    match fault {
        StoreFault::NoSuch { .. } => ApiFault::NoUser(name.to_string()),
        other => of_store(other),
    }
}

/// The name of somebody who is to be made known: one that an identity provider's token can become.
fn new_name(text: &str) -> Result<UserName, ApiFault> {
    if text.starts_with("group:") {
        return Err(ApiFault::BadUserName("names that begin with `group:` are those of groups"));
    }
    let name = UserName::parse(text).map_err(|fault| ApiFault::BadUserName(fault.why))?;
    let Some((local, host)) = text.rsplit_once('@') else { return Ok(name) };
    if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Err(ApiFault::BadUserName("mail addresses are in lower case here"));
    }
    if local.is_empty() || local.contains('@') || host.split('.').any(str::is_empty) {
        return Err(ApiFault::BadUserName("it is not a mail address as identity providers write one"));
    }
    Ok(name)
}

/// What two names have in common that read the same: case, and a dot at the end.
pub(super) fn folded(name: &str) -> String {
    name.trim_end_matches('.').to_ascii_lowercase()
}
