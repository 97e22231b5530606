//! What is a call about, as far as the store knows?

use std::sync::Arc;

use super::permissions::expiry;
use crate::access::grant::{Pattern, RoleId, Subject};
use crate::access::identity::{Identity, Principal};
use crate::mlflow::granting::{Target, Which};
use crate::mlflow::ids::{UserName, WorkspaceName};
use crate::mlflow::permission::Permission;
use crate::mlflow::resource::Kind;
use crate::policy::classify::Call;
use crate::policy::fields::Fields;
use crate::policy::route::{Need, Row, Take};
use crate::resolve::{ByName, Known, KnownRole};
use crate::store::{EVERYBODY, GrantRecord, Role, Store};

/// The workspace that a call is about: that of the role it names, or the one it names itself; else the one that the caller
/// acts in.
#[must_use]
pub fn place(call: &Call, fields: &Fields, active: &WorkspaceName, store: &Store) -> WorkspaceName {
    let named = match call.row.name {
        "CreateRole" => fields.one("workspace"),
        _ => call.capture("workspace_name"),
    };
    let named = named.and_then(|name| WorkspaceName::parse(name).ok());
    named
        .or_else(|| role_of(call.row, fields, store).map(|role| role.workspace.clone()))
        .unwrap_or_else(|| active.clone())
}

/// What the store knows of what a call is about. `principal` is the caller in the workspace of [`place`].
#[must_use]
pub fn known(call: &Call, fields: &Fields, principal: &Arc<Principal>, store: &Store) -> Known {
    let role = role_of(call.row, fields, store).map(|role| KnownRole {
        id: role.id.0,
        whose: match &role.owner {
            Some(Subject::User(name)) => format!("user:{name}").into(),
            Some(Subject::Group(name)) => format!("group:{name}").into(),
            Some(Subject::Role(_)) | None => format!("role:{}", role.name).into(),
        },
        has: has(principal, &role, store),
        on: on(call.row, fields, &role, store),
    });
    let gives = call.row.needs.iter().any(|need| matches!(need, Need::Gives { .. } | Need::Renames { .. }));
    // What cannot be read as a time is refused by whoever answers; until then it never ends.
    let until = expiry(fields).ok().flatten();
    let lasting = if gives { store.lasting(principal, until).ok() } else { None };
    let named = call.row.needs.iter().find_map(|need| match need {
        Need::InEach(field) => Some(fields.each(field)),
        _ => None,
    });
    let belongs = named.is_some_and(|names| {
        names.iter().all(|name| {
            let workspace = WorkspaceName::parse(name).ok();
            let there = workspace.and_then(|name| store.principal(Arc::clone(&principal.identity), &name).ok());
            there.is_some_and(|there| there.belongs())
        })
    });
    let thing = call.row.takes.iter().any(|take| matches!(take, Take::Thing { .. }));
    let about = if thing { about(fields, principal, store) } else { None };
    let by_name = call.row.renamed().map(|_| by_name(principal, store));
    Known { role, lasting, until, belongs, about, by_name, tokens: None }
}

/// Whom a call about one thing asks about: the user whom it names, with what they would hold.
fn about(fields: &Fields, caller: &Arc<Principal>, store: &Store) -> Option<Arc<Principal>> {
    let name = UserName::parse(fields.one("username")?).ok()?;
    if name == caller.identity.user {
        return Some(Arc::clone(caller));
    }
    // Of what their issuer says of their groups, nothing is known while they do not ask themselves.
    let identity = Identity { user: name, groups: Vec::new(), ..Identity::clone(&caller.identity) };
    store.suppose(Arc::new(identity), &caller.workspace).ok()
}

/// What the grants of anybody say of names of experiments where the caller acts.
fn by_name(caller: &Principal, store: &Store) -> ByName {
    let (store, workspace) = (store.clone(), caller.workspace.clone());
    ByName::new(move |name| {
        let held = store.grants_on(&workspace, Kind::ExperimentName, name);
        held.into_iter().map(|record| (record.id, record.grant.permission)).collect()
    })
}

/// The role that a call names by its number, or by that of one of its permissions.
fn role_of(row: &Row, fields: &Fields, store: &Store) -> Option<Arc<Role>> {
    let field = row.needs.iter().find_map(|need| match need {
        Need::OnRole { field, .. } => Some(*field),
        _ => None,
    })?;
    let number = fields.number(field)?;
    if field == "role_id" {
        return store.role(RoleId(number));
    }
    role_of_grant(&store.grant_by_id(number)?, store)
}

/// The role that a grant is shown in: the one that holds it, or the one that stands for whoever does.
pub(super) fn role_of_grant(record: &GrantRecord, store: &Store) -> Option<Arc<Role>> {
    match &record.grant.subject {
        Subject::Role(id) => store.role(*id),
        subject => store.hidden_role(subject, &record.workspace),
    }
}

/// All that a role is shown to hold.
pub(super) fn grants_of(role: &Role, store: &Store) -> Vec<GrantRecord> {
    let holder = role.owner.clone().unwrap_or(Subject::Role(role.id));
    store.grants_of(&holder, Some(&role.workspace))
}

fn has(principal: &Principal, role: &Role, store: &Store) -> bool {
    let is_of = |subject: &Subject| match subject {
        Subject::User(name) => *name == principal.identity.user,
        Subject::Group(name) => {
            name.as_str() == EVERYBODY
                || principal.identity.groups.contains(name)
                || store.user(&principal.identity.user).is_some_and(|user| user.groups.contains(name))
        }
        Subject::Role(_) => false,
    };
    role.owner.as_ref().is_some_and(is_of)
        || store.assignments_of_role(role.id).iter().any(|assignment| is_of(&assignment.to))
}

fn on(row: &Row, fields: &Fields, role: &Role, store: &Store) -> Vec<(Target, Permission)> {
    if let Some(number) = fields.number("role_permission_id") {
        return store.grant_by_id(number).iter().map(target).collect();
    }
    let whole = row.needs.iter().any(|need| matches!(need, Need::Gives { .. } | Need::Takes { .. }));
    if whole { grants_of(role, store).iter().map(target).collect() } else { Vec::new() }
}

fn target(record: &GrantRecord) -> (Target, Permission) {
    let kind = record.grant.kind;
    let which = match &record.grant.pattern {
        // It speaks of the workspace that it is in, however it is written.
        _ if kind == Kind::Workspace => Which::Every,
        Pattern::Exactly(id) => Which::One(id.to_string()),
        Pattern::Prefix(prefix) if prefix.is_empty() => Which::Every,
        Pattern::Prefix(prefix) => Which::Beginning(prefix.to_string()),
        Pattern::Glob(text) => Which::Matching(text.to_string()),
    };
    (Target { kind, which }, record.grant.permission)
}
