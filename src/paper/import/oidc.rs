//! mlflow-oidc-auth 11: what do its tables say?
//!
//! Each kind has four tables: of users, of groups, and for each of both of regular expressions with priorities (11.0.2,
//! `permission_kinds.py`). There the first of these four that speaks of a thing decides; here everything is added up and a
//! DENY wins. So `NO_PERMISSIONS` becomes DENY, and where adding up gives somebody more than the first word there, it is told.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::basic::{text, truth};
use super::{Dump, Import, Names, pattern, regex};
use crate::access::grant::Pattern;
use crate::mlflow::ids::{GroupName, UserName, WorkspaceName};
use crate::mlflow::permission::Permission;
use crate::mlflow::resource::{Grantable, Kind};
use crate::store::{Named, Spot};

/// Kinds, the beginnings of their tables' names, the columns that name one thing, and whether they tell its workspace.
const KINDS: [(Kind, &str, &[&str]); 7] = [
    (Kind::Experiment, "experiment", &["experiment_id"]),
    (Kind::RegisteredModel, "registered_model", &["name"]),
    (Kind::Scorer, "scorer", &["experiment_id", "scorer_name"]),
    (Kind::GatewaySecret, "gateway_secret", &["secret_id"]),
    (Kind::GatewayEndpoint, "gateway_endpoint", &["endpoint_id"]),
    (Kind::GatewayModelDefinition, "gateway_model_definition", &["model_definition_id"]),
    (Kind::McpServer, "mcp_server", &["name"]),
];

/// What a word on a whole workspace is on each kind in it.
const EVERYTHING: [Kind; 8] = [
    Kind::Experiment,
    Kind::RegisteredModel,
    Kind::Prompt,
    Kind::Scorer,
    Kind::GatewaySecret,
    Kind::GatewayEndpoint,
    Kind::GatewayModelDefinition,
    Kind::McpServer,
];

/// The tables, each with the columns that are asked for.
#[must_use]
pub fn tables() -> Vec<(String, Vec<&'static str>)> {
    let mut tables = vec![
        ("users".to_owned(), vec!["id", "username", "is_admin", "active"]),
        ("groups".to_owned(), vec!["id", "group_name"]),
        ("user_groups".to_owned(), vec!["user_id", "group_id"]),
        ("workspace_permissions".to_owned(), vec!["user_id", "permission", "workspace"]),
        ("workspace_group_permissions".to_owned(), vec!["group_id", "permission", "workspace"]),
        ("workspace_regex_permissions".to_owned(), vec!["user_id", "permission", "regex"]),
        ("workspace_group_regex_permissions".to_owned(), vec!["group_id", "permission", "regex"]),
        ("user_tokens".to_owned(), vec!["id"]),
    ];
    for (_, name, keys) in KINDS {
        for (table, holder) in [("", "user_id"), ("_group", "group_id")] {
            let mut columns = vec![holder, "permission", "workspace", "prompt"];
            columns.extend(keys);
            tables.push((format!("{name}{table}_permissions"), columns));
            let columns = vec![holder, "permission", "workspace", "prompt", "regex", "priority"];
            tables.push((format!("{name}{table}_regex_permissions"), columns));
        }
    }
    tables
}

/// What such a database says.
///
/// # Errors
/// A sentence, where it is no such database.
pub fn read(dump: &Dump, names: &Names) -> Result<Import, String> {
    let no = "this is no database of mlflow-oidc-auth";
    let users = dump.get("users").ok_or(format!("there is no table `users`: {no}"))?;
    let groups = dump.get("groups").ok_or(format!("there is no table `groups`: {no}"))?;
    let mut import = Import::default();
    let rows: Vec<_> = users.iter().map(|row| (text(row, 0), text(row, 1), truth(row, 2))).collect();
    let users_by_id = import.people(&rows, names);
    for row in users.iter().filter(|row| row.get(3).is_some_and(Option::is_some) && !truth(row, 3)) {
        import
            .lose(format!("that user `{}` is not active: disable them here (`trackgate user disable`)", text(row, 1)));
    }
    let rows: Vec<_> = groups.iter().map(|row| (text(row, 0), text(row, 1))).collect();
    let groups_by_id = import.groups(&rows, names);
    let mut groups_of: BTreeMap<UserName, BTreeSet<GroupName>> = BTreeMap::new();
    for row in dump.get("user_groups").into_iter().flatten() {
        if let (Some(user), Some(group)) = (users_by_id.get(&text(row, 0)), groups_by_id.get(&text(row, 1))) {
            groups_of.entry(user.clone()).or_default().insert(group.clone());
            if let Some(entry) = import.state.groups.get_mut(group) {
                entry.value.get_or_insert_with(BTreeSet::new).insert(user.clone());
            }
        }
    }
    if let Some(tokens) = dump.get("user_tokens").filter(|tokens| !tokens.is_empty()) {
        import.lose(format!("{} access tokens: the identity provider proves who people are", tokens.len()));
    }
    import.notes.push(
        "`DEFAULT_MLFLOW_PERMISSION` stands in that program's own configuration: here nothing is held that is not granted"
            .to_owned(),
    );
    let users_named = users_by_id.into_iter().map(|(id, name)| (id, Named::User(name))).collect();
    let groups_named = groups_by_id.into_iter().map(|(id, name)| (id, Named::Group(name))).collect();
    let mut work = Work { import, users: users_named, groups: groups_named, given: Vec::new() };
    for (kind, name, keys) in KINDS {
        for (table, of_group) in [("", false), ("_group", true)] {
            work.exact(dump.get(&format!("{name}{table}_permissions")), kind, of_group, keys.len());
            work.expressions(dump.get(&format!("{name}{table}_regex_permissions")), kind, of_group);
        }
    }
    work.workspaces(dump);
    let Work { mut import, given, .. } = work;
    import.wider = wider(&given, &groups_of, &import.users);
    Ok(import)
}

/// What was given, and by which of the sources that are asked one after the other there.
struct Given {
    rank: u8,
    at: Spot,
    permission: Permission,
}

struct Work {
    import: Import,
    users: BTreeMap<String, Named>,
    groups: BTreeMap<String, Named>,
    given: Vec<Given>,
}

type Rows = Vec<Vec<Option<String>>>;

/// A pattern, where the expression is one, its permission and its priority.
type Expression = (Option<Pattern>, Option<Permission>, String);

impl Work {
    fn holder(&self, of_group: bool, id: &str) -> Option<Named> {
        if of_group { self.groups.get(id).cloned() } else { self.users.get(id).cloned() }
    }

    fn give(&mut self, rank: u8, at: Spot, permission: Permission) {
        self.import.grant(at.clone(), permission);
        self.given.push(Given { rank, at, permission });
    }

    fn level(&mut self, what: &str, word: &str) -> Option<Permission> {
        if word == "NO_PERMISSIONS" {
            self.import.change(format!("{what}: DENY, which nothing outvotes here"));
            return Some(Permission::Deny);
        }
        let level = word.parse().ok();
        if level.is_none() {
            self.import.lose(format!("{what}: `{word}` is no permission"));
        }
        level
    }

    fn exact(&mut self, rows: Option<&Rows>, kind: Kind, of_group: bool, keys: usize) {
        for row in rows.into_iter().flatten() {
            let Some(to) = self.holder(of_group, &text(row, 0)) else { continue };
            let id = match keys {
                1 => text(row, 4),
                _ => kind.join([text(row, 4).as_str(), text(row, 5).as_str()]),
            };
            let prompt = truth(row, 3);
            let what = format!("{to} {} on {kind} {id}", text(row, 1));
            let workspace = row.get(2).cloned().flatten().unwrap_or_else(|| "default".to_owned());
            let Ok(workspace) = WorkspaceName::parse(&workspace) else {
                self.import.lose(format!("{what}: it is in no workspace (`{workspace}`)"));
                continue;
            };
            // Users' tables do not tell models from prompts; one grant is for both there.
            let kinds: &[Kind] = match (kind, of_group, prompt) {
                (Kind::RegisteredModel, true, true) => &[Kind::Prompt],
                (Kind::RegisteredModel, false, _) => &[Kind::RegisteredModel, Kind::Prompt],
                _ => &[kind],
            };
            let mut level = None;
            for kind in kinds {
                match pattern(*kind, &id) {
                    Ok(pattern) => {
                        if level.is_none() {
                            level = self.level(&what, &text(row, 1));
                        }
                        let Some(permission) = level else { break };
                        let at = Spot { workspace: workspace.clone(), to: to.clone(), kind: *kind, pattern };
                        self.give(u8::from(of_group), at, permission);
                    }
                    Err(why) => {
                        self.import.lose(format!("{what}: {why}"));
                        break;
                    }
                }
            }
        }
    }

    fn expressions(&mut self, rows: Option<&Rows>, kind: Kind, of_group: bool) {
        let mut sorted: Vec<_> = rows.into_iter().flatten().collect();
        sorted.sort_by_key(|row| text(row, 5).parse::<i64>().unwrap_or(i64::MAX));
        // What stands before, by holder, kind and workspace: the pattern (where it is one), its permission and priority.
        let mut before: BTreeMap<(Named, Kind, String), Vec<Expression>> = BTreeMap::new();
        for row in sorted {
            let Some(to) = self.holder(of_group, &text(row, 0)) else { continue };
            let kind = if kind == Kind::RegisteredModel && truth(row, 3) { Kind::Prompt } else { kind };
            let (word, scope, expression, priority) = (text(row, 1), text(row, 2), text(row, 4), text(row, 5));
            let what = format!("{to} {word} on {kind} by the expression `{expression}`, priority {priority}");
            let found = regex::read(&expression).filter(|pattern| {
                let all = pattern.is_everything();
                all || (kind.grantable() == Grantable::ByName && kind != Kind::Scorer)
            });
            let permission = if word == "NO_PERMISSIONS" { Some(Permission::Deny) } else { word.parse().ok() };
            let earlier = before.entry((to.clone(), kind, scope.clone())).or_default();
            let outdone = earlier.iter().any(|(other, level, first)| {
                *first != priority && overlap(other.as_ref(), found.as_ref()) && stronger(permission, *level)
            });
            earlier.push((found.clone(), permission, priority));
            let Some(pattern) = found else {
                let why = if kind == Kind::Experiment {
                    "it is on names of experiments, which are known here by their numbers"
                } else {
                    "it is no beginning of a name"
                };
                self.import.lose(format!("{what}: {why}"));
                continue;
            };
            if outdone {
                let why = "one of a better priority gives less there, and here the higher counts";
                self.import.lose(format!("{what}: {why}"));
                continue;
            }
            let workspace = if scope == "*" || scope.is_empty() {
                WorkspaceName::default()
            } else if let Ok(name) = WorkspaceName::parse(&scope) {
                name
            } else {
                self.import.lose(format!("{what}: `{scope}` is no workspace"));
                continue;
            };
            let Some(permission) = self.level(&what, &word) else { continue };
            if scope == "*" {
                self.import.notes.push(format!("{what}: it holds here in the workspace `default` alone"));
            }
            self.give(2 + u8::from(of_group), Spot { workspace, to, kind, pattern }, permission);
        }
    }

    fn workspaces(&mut self, dump: &Dump) {
        for (table, of_group) in [("workspace_permissions", false), ("workspace_group_permissions", true)] {
            for row in dump.get(table).into_iter().flatten() {
                let Some(to) = self.holder(of_group, &text(row, 0)) else { continue };
                let (word, name) = (text(row, 1), text(row, 2));
                let what = format!("{to} {word} on workspace {name}");
                let Ok(workspace) = WorkspaceName::parse(&name) else {
                    self.import.lose(format!("{what}: no workspace has such a name"));
                    continue;
                };
                let Some(permission) = self.level(&what, &word) else { continue };
                let at = |kind| Spot {
                    workspace: workspace.clone(),
                    to: to.clone(),
                    kind,
                    pattern: Pattern::Prefix(Arc::from("")),
                };
                if matches!(permission, Permission::Manage | Permission::Deny) {
                    self.give(4, at(Kind::Workspace), permission);
                    continue;
                }
                self.import.change(format!("{what}: {permission} on everything in it, and nothing can be created"));
                for kind in EVERYTHING {
                    self.give(4, at(kind), permission);
                }
            }
        }
        for (table, of_group) in [("workspace_regex_permissions", false), ("workspace_group_regex_permissions", true)] {
            for row in dump.get(table).into_iter().flatten() {
                let Some(to) = self.holder(of_group, &text(row, 0)) else { continue };
                let (word, expression) = (text(row, 1), text(row, 2));
                self.import.lose(format!(
                    "{to} {word} on workspaces by `{expression}`: grants here are in one workspace each"
                ));
            }
        }
    }
}

/// Whether a name may match both. What is no pattern may match anything.
fn overlap(one: Option<&Pattern>, other: Option<&Pattern>) -> bool {
    let (Some(one), Some(other)) = (one, other) else { return true };
    match (one, other) {
        (Pattern::Exactly(name), pattern) | (pattern, Pattern::Exactly(name)) => pattern.matches(name),
        (Pattern::Prefix(one), Pattern::Prefix(other)) => one.starts_with(&**other) || other.starts_with(&**one),
        // No import makes one.
        (Pattern::Glob(_), _) | (_, Pattern::Glob(_)) => true,
    }
}

/// Whether the first gives more than the second: where the second is a DENY it wins, whatever the first is.
fn stronger(one: Option<Permission>, other: Option<Permission>) -> bool {
    match (one, other) {
        (_, Some(Permission::Deny)) | (Some(Permission::Deny) | None, _) => false,
        (Some(one), Some(other)) => one.strength() > other.strength(),
        (Some(_), None) => true,
    }
}

/// Where a later source gives more than the one that decides there.
fn wider(
    given: &[Given],
    groups_of: &BTreeMap<UserName, BTreeSet<GroupName>>,
    users: &BTreeSet<UserName>,
) -> Vec<String> {
    let mut by_holder: BTreeMap<&Named, Vec<&Given>> = BTreeMap::new();
    for one in given {
        by_holder.entry(&one.at.to).or_default().push(one);
    }
    let mut told = BTreeSet::new();
    for user in users {
        let own = Named::User(user.clone());
        let groups = groups_of.get(user).into_iter().flatten().cloned().map(Named::Group);
        let holders: Vec<Named> = std::iter::once(own).chain(groups).collect();
        let all: Vec<&Given> = holders.iter().filter_map(|holder| by_holder.get(holder)).flatten().copied().collect();
        for first in &all {
            for later in &all {
                let same = first.at.workspace == later.at.workspace
                    && (first.at.kind == later.at.kind || later.at.kind == Kind::Workspace);
                let both =
                    later.at.kind == Kind::Workspace || overlap(Some(&first.at.pattern), Some(&later.at.pattern));
                if first.rank < later.rank && same && both && stronger(Some(later.permission), Some(first.permission)) {
                    told.insert(format!(
                        "user:{user}: {} has {} on {} {}, and {} {} on {} {}: there the first counted, here the higher does",
                        first.at.to,
                        first.permission,
                        first.at.kind,
                        first.at.pattern,
                        later.at.to,
                        later.permission,
                        later.at.kind,
                        later.at.pattern
                    ));
                }
            }
        }
    }
    told.into_iter().map(|line| super::shown(&line)).collect()
}
