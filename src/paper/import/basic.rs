//! MLflow's own basic-auth: what do its tables say?
//!
//! From 3.13 on roles hold everything, each user's own grants too, by a role named after the user's number (3.17.2,
//! `server/auth/sqlalchemy_store.py`, `_synthetic_user_role_name`); the older tables are left behind and no longer read.
//! Before that (3.11.1) there is one table for each kind. These are mapped as MLflow's own migration does
//! (`e5f6a7b8c9d0_migrate_permissions_to_roles.py`).

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Dump, Import, Names, entry, pattern};
use crate::access::grant::{Pattern, Subject};
use crate::mlflow::ids::{RoleName, UserName, WorkspaceName};
use crate::mlflow::permission::Permission;
use crate::mlflow::resource::Kind;
use crate::paper::state::{Assigned, RoleKey};
use crate::store::{Named, Spot};

/// The tables, each with the columns that are asked for.
pub const TABLES: &[(&str, &[&str])] = &[
    ("users", &["id", "username", "is_admin"]),
    ("roles", &["id", "workspace", "name", "description"]),
    ("role_permissions", &["role_id", "resource_type", "resource_pattern", "permission"]),
    ("user_role_assignments", &["user_id", "role_id"]),
    ("experiment_permissions", &["user_id", "permission", "experiment_id"]),
    ("registered_model_permissions", &["user_id", "permission", "name", "workspace"]),
    ("scorer_permissions", &["user_id", "permission", "experiment_id", "scorer_name"]),
    ("gateway_secret_permissions", &["user_id", "permission", "secret_id"]),
    ("gateway_endpoint_permissions", &["user_id", "permission", "endpoint_id"]),
    ("gateway_model_definition_permissions", &["user_id", "permission", "model_definition_id"]),
    ("workspace_permissions", &["user_id", "permission", "workspace"]),
];

/// What EDIT on a whole workspace became on each kind.
const EVERYTHING: [Kind; 6] = [
    Kind::Experiment,
    Kind::RegisteredModel,
    Kind::Scorer,
    Kind::GatewaySecret,
    Kind::GatewayEndpoint,
    Kind::GatewayModelDefinition,
];

/// What such a database says.
///
/// # Errors
/// A sentence, where it is no such database.
pub fn read(dump: &Dump, names: &Names) -> Result<Import, String> {
    let users = dump.get("users").ok_or("there is no table `users`: this is no database of basic-auth")?;
    let mut import = Import::default();
    let rows: Vec<_> = users.iter().map(|row| (text(row, 0), text(row, 1), truth(row, 2))).collect();
    let ids = import.people(&rows, names);
    import
        .notes
        .push(format!("{} passwords are not imported: the identity provider proves who people are", rows.len()));
    import.notes.push(
        "`default_permission` stands in basic-auth's own configuration, not in its database: here nothing is held that is not \
         granted"
            .to_owned(),
    );
    match dump.get("roles") {
        Some(roles) => by_roles(&mut import, roles, dump, &ids),
        None => by_tables(&mut import, dump, &ids),
    }
    Ok(import)
}

pub(super) fn text(row: &[Option<String>], at: usize) -> String {
    row.get(at).cloned().flatten().unwrap_or_default()
}

pub(super) fn truth(row: &[Option<String>], at: usize) -> bool {
    matches!(text(row, at).as_str(), "1" | "true" | "t")
}

/// One of a kind's permissions, or why there is none.
fn level(word: &str) -> Result<Permission, String> {
    match word {
        "NO_PERMISSIONS" => Err("NO_PERMISSIONS is the absence of a grant here".to_owned()),
        word => word.parse().map_err(|_| format!("`{word}` is no permission")),
    }
}

/// The number in `__user_7__`.
fn stands_for(role: &str) -> Option<&str> {
    let number = role.strip_prefix("__user_")?.strip_suffix("__")?;
    (!number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())).then_some(number)
}

type Rows = [Vec<Option<String>>];

fn by_roles(import: &mut Import, roles: &Rows, dump: &Dump, ids: &BTreeMap<String, UserName>) {
    let mut holders: BTreeMap<String, (WorkspaceName, Named)> = BTreeMap::new();
    for row in roles {
        let (id, workspace, name, description) = (text(row, 0), text(row, 1), text(row, 2), text(row, 3));
        let Ok(workspace) = WorkspaceName::parse(&workspace) else {
            import.lose(format!("role `{name}` with all that it holds: `{workspace}` is no name of a workspace"));
            continue;
        };
        let to = match stands_for(&name) {
            Some(number) => match ids.get(number) {
                Some(user) => Named::User(user.clone()),
                // Told with the user.
                None => continue,
            },
            None => match RoleName::parse(&name) {
                Ok(role) if !name.starts_with("__") => {
                    let key = RoleKey { workspace: workspace.clone(), name: role.clone() };
                    import.state.roles.insert(key, entry(Arc::from(description)));
                    Named::Role(role)
                }
                _ => {
                    import.lose(format!("role `{name}` with all that it holds: no role here has such a name"));
                    continue;
                }
            },
        };
        holders.insert(id, (workspace, to));
    }
    for row in dump.get("role_permissions").into_iter().flatten() {
        let Some((workspace, to)) = holders.get(&text(row, 0)) else { continue };
        let (kind, on, word) = (text(row, 1), text(row, 2), text(row, 3));
        give(import, workspace, to, &kind, &on, &word);
    }
    for row in dump.get("user_role_assignments").into_iter().flatten() {
        let (Some(user), Some((workspace, Named::Role(name)))) = (ids.get(&text(row, 0)), holders.get(&text(row, 1)))
        else {
            continue;
        };
        let role = RoleKey { workspace: workspace.clone(), name: name.clone() };
        let assigned = Assigned { role, to: Subject::User(user.clone()) };
        import.state.assignments.insert(assigned, entry(None));
    }
}

fn give(import: &mut Import, workspace: &WorkspaceName, to: &Named, kind: &str, on: &str, word: &str) {
    let what = format!("{to} {word} on {kind} {on}");
    let found: Result<(Kind, Pattern, Permission), String> = (|| {
        let kind: Kind = kind.parse().map_err(|_| "there is no such kind here".to_owned())?;
        Ok((kind, pattern(kind, on)?, level(word)?))
    })();
    match found {
        Ok((kind, pattern, permission)) => {
            import.grant(Spot { workspace: workspace.clone(), to: to.clone(), kind, pattern }, permission);
        }
        Err(why) => import.lose(format!("{what}: {why}")),
    }
}

fn by_tables(import: &mut Import, dump: &Dump, ids: &BTreeMap<String, UserName>) {
    let home = WorkspaceName::default();
    for (table, kind) in [
        ("experiment_permissions", Kind::Experiment),
        ("scorer_permissions", Kind::Scorer),
        ("gateway_secret_permissions", Kind::GatewaySecret),
        ("gateway_endpoint_permissions", Kind::GatewayEndpoint),
        ("gateway_model_definition_permissions", Kind::GatewayModelDefinition),
    ] {
        for row in dump.get(table).into_iter().flatten() {
            let Some(user) = ids.get(&text(row, 0)) else { continue };
            let on = match kind {
                Kind::Scorer => kind.join([text(row, 2).as_str(), text(row, 3).as_str()]),
                _ => text(row, 2),
            };
            give(import, &home, &Named::User(user.clone()), kind.as_str(), &on, &text(row, 1));
        }
    }
    let mut models = 0;
    for row in dump.get("registered_model_permissions").into_iter().flatten() {
        let Some(user) = ids.get(&text(row, 0)) else { continue };
        let (word, name) = (text(row, 1), text(row, 2));
        let workspace = row.get(3).cloned().flatten().unwrap_or_else(|| home.to_string());
        let Ok(workspace) = WorkspaceName::parse(&workspace) else {
            import.lose(format!("{word} on registered_model {name}: `{workspace}` is no name of a workspace"));
            continue;
        };
        let to = Named::User(user.clone());
        give(import, &workspace, &to, "registered_model", &name, &word);
        if level(&word).is_ok() {
            give(import, &workspace, &to, "prompt", &name, &word);
            models += 1;
        }
    }
    if models > 0 {
        import.notes.push(format!(
            "{models} grants on registered models are grants on prompts of the same names too: there the two were one"
        ));
    }
    for row in dump.get("workspace_permissions").into_iter().flatten() {
        let Some(user) = ids.get(&text(row, 0)) else { continue };
        let (word, name) = (text(row, 1), text(row, 2));
        let what = format!("user:{user} {word} on workspace {name}");
        let Ok(workspace) = WorkspaceName::parse(&name) else {
            import.lose(format!("{what}: no workspace has such a name"));
            continue;
        };
        let to = Named::User(user.clone());
        match word.as_str() {
            "READ" => {
                import.change(format!("{what}: READ on everything in it, and nothing can be created"));
                for kind in EVERYTHING {
                    give(import, &workspace, &to, kind.as_str(), "*", "READ");
                }
            }
            "EDIT" => {
                import.change(format!("{what}: USE, and EDIT on everything in it, as MLflow's own migration has it"));
                give(import, &workspace, &to, "workspace", "*", "USE");
                for kind in EVERYTHING {
                    give(import, &workspace, &to, kind.as_str(), "*", "EDIT");
                }
            }
            word => give(import, &workspace, &to, "workspace", "*", word),
        }
    }
}
