//! What do policy files say, and what is wrong with them?
//!
//! All files of a directory are one policy. Every fault is kept until the end, each with its file and line; where there is
//! one, nothing is said at all.

mod binding;
mod entry;

use std::collections::BTreeMap;
use std::collections::btree_map;
use std::fmt;
use std::sync::Arc;

use toml::de::{DeTable, DeValue};

use self::binding::binding;
use self::entry::{Entries, Lines, Table};
use super::state::{Assigned, Entry, Origin, RoleKey, State, place};
use crate::access::grant::{Pattern, Subject};
use crate::mlflow::ids::{ExperimentName, GroupName, RoleName, UserName};
use crate::mlflow::permission::Permission;
use crate::mlflow::resource::{Grantable, Kind};
use crate::store::{EVERYBODY, Named, Spot};

/// One thing that is wrong with a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Which file.
    pub file: Arc<str>,
    /// Line in it, from 1.
    pub line: usize,
    /// What is wrong.
    pub what: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", shown(&self.file), self.line, shown(&self.what))
    }
}

/// Why roles in roles are refused.
const NO_ROLES_IN_ROLES: &str = "a role is given to users and groups, not to roles: so there are no circles of roles; \
                                 give both roles to the same group instead";

/// What has been read so far.
#[derive(Debug, Default)]
pub struct Reader {
    state: State,
    faults: Vec<Fault>,
    /// Whether some file could not be read whole: then nobody can say what is missing.
    partial: bool,
    ended: Vec<String>,
}

/// A policy, and what to tell of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// What the files say.
    pub state: State,
    /// What they say and no longer counts, as its end has passed.
    pub ended: Vec<String>,
}

impl Reader {
    /// Reads one file more.
    pub fn file(&mut self, file: &str, text: &str, now: u64) {
        let file: Arc<str> = Arc::from(file);
        let lines = Lines::of(text);
        let (table, errors) = DeTable::parse_recoverable(text);
        for error in &errors {
            let line = error.span().map_or(1, |span| lines.at(span.start));
            self.faults.push(Fault { file: Arc::clone(&file), line, what: error.message().trim().to_owned() });
        }
        if !errors.is_empty() {
            self.partial = true;
            return;
        }
        let mut entries = Entries { file, lines: &lines, faults: &mut self.faults };
        let known = ["group", "role", "assignment", "grant", "create", "binding"];
        for (key, value) in table.get_ref() {
            let word = key.get_ref().as_ref();
            if !known.contains(&word) {
                let what = format!("there is no `{word}` in policy files; there are {}", known.join(", "));
                entries.fault(key.span().start, what);
                continue;
            }
            let DeValue::Array(items) = value.get_ref() else {
                entries.fault(key.span().start, format!("write `[[{word}]]`, once for each"));
                continue;
            };
            for item in items {
                let DeValue::Table(fields) = item.get_ref() else {
                    entries.fault(item.span().start, format!("write `[[{word}]]`, once for each"));
                    continue;
                };
                let table = Table::new(fields, item.span().start);
                match word {
                    "group" => group(&mut self.state, &mut entries, table),
                    "role" => role(&mut self.state, &mut entries, table),
                    "assignment" => assignment(&mut self.state, &mut self.ended, &mut entries, table, now),
                    "grant" => grant(&mut self.state, &mut self.ended, &mut entries, table, now),
                    "binding" => binding(&mut self.state, &mut entries, table),
                    _ => rule(&mut self.state, &mut self.ended, &mut entries, table, now),
                }
            }
        }
    }

    /// Notes that a file could not even be read.
    pub fn unreadable(&mut self, file: &str, line: usize, why: String) {
        self.partial = true;
        self.faults.push(Fault { file: Arc::from(file), line, what: why });
    }

    /// What all files say together.
    ///
    /// # Errors
    /// Every fault, by file and line.
    pub fn finish(mut self) -> Result<Policy, Vec<Fault>> {
        if !self.partial {
            self.roles_that_nobody_makes();
        }
        if self.faults.is_empty() {
            return Ok(Policy { state: self.state, ended: self.ended });
        }
        self.faults.sort_by(|one, other| (&one.file, one.line).cmp(&(&other.file, other.line)));
        Err(self.faults)
    }

    fn roles_that_nobody_makes(&mut self) {
        let State { roles, assignments, grants, rules, .. } = &self.state;
        let held = grants.iter().map(|(at, entry)| (at, &entry.origin));
        let held = held.chain(rules.iter().map(|(at, entry)| (at, &entry.origin)));
        let held = held.filter_map(|(at, origin)| match &at.to {
            Named::Role(name) => Some((RoleKey { workspace: at.workspace.clone(), name: name.clone() }, origin)),
            Named::User(_) | Named::Group(_) => None,
        });
        let given = assignments.iter().map(|(assigned, entry)| (assigned.role.clone(), &entry.origin));
        for (key, origin) in held.chain(given) {
            if let Origin::File(file, line) = origin
                && !roles.contains_key(&key)
            {
                let what = format!("no file has the role `{}`{}: write a [[role]]", key.name, place(&key.workspace));
                self.faults.push(Fault { file: Arc::clone(file), line: *line, what });
            }
        }
    }
}

/// Puts something where nothing is yet.
fn put<K: Ord, V>(map: &mut BTreeMap<K, Entry<V>>, key: K, value: V, what: &str, entries: &mut Entries<'_>, at: usize) {
    let origin = Origin::File(Arc::clone(&entries.file), entries.lines.at(at));
    match map.entry(key) {
        btree_map::Entry::Vacant(free) => {
            free.insert(Entry { value, origin });
        }
        btree_map::Entry::Occupied(taken) => {
            let what = format!("this {what} stands already in {}", taken.get().origin);
            entries.fault(at, what);
        }
    }
}

fn group(state: &mut State, entries: &mut Entries<'_>, mut table: Table<'_>) {
    let name = table.parsed(entries, "name", GroupName::parse);
    let members = table.list(entries, "members");
    table.done(entries, "group", |key| match key {
        "roles" => Some("who has a role stands in an [[assignment]]"),
        "groups" => Some("groups have people in them, not groups"),
        _ => None,
    });
    let members = members.map(|members| {
        let mut found = std::collections::BTreeSet::new();
        for (name, at) in members {
            if name.starts_with("group:") || name.starts_with("role:") {
                entries.fault(at, format!("`{name}`: groups have people in them, not groups or roles"));
                continue;
            }
            match user_name(name.strip_prefix("user:").unwrap_or(name)) {
                Ok(user) => {
                    if !found.insert(user) {
                        entries.fault(at, format!("`{name}` stands twice among the members"));
                    }
                }
                Err(why) => entries.fault(at, format!("`{name}`: {why}")),
            }
        }
        found
    });
    if let Some(name) = name {
        if name.as_str() == EVERYBODY {
            entries.fault(table.at, "everybody who signs in is in the group `everybody`: it is in no file".to_owned());
            return;
        }
        put(&mut state.groups, name, members, "group", entries, table.at);
    }
}

fn role(state: &mut State, entries: &mut Entries<'_>, mut table: Table<'_>) {
    let name = table.parsed(entries, "name", RoleName::parse);
    let workspace = table.workspace(entries);
    let description = table.text(entries, "description").map_or("", |(text, _)| text).to_owned();
    table.done(entries, "role", |key| match key {
        "roles" | "role" | "includes" | "inherits" | "extends" | "parent" | "parents" => Some(NO_ROLES_IN_ROLES),
        "members" | "users" | "groups" => Some("who has a role stands in an [[assignment]]"),
        "grants" | "permissions" => Some("what a role holds stands in a [[grant]] to `role:NAME`"),
        _ => None,
    });
    if description.chars().any(|letter| letter.is_control() && letter != '\n') {
        entries.fault(table.at, "the description has control characters".to_owned());
    }
    if let (Some(name), Some(workspace)) = (name, workspace) {
        if name.as_str().starts_with("__") {
            entries.fault(table.at, format!("`{name}` begins with `__`: such names are Trackgate's own"));
            return;
        }
        put(&mut state.roles, RoleKey { workspace, name }, Arc::from(description), "role", entries, table.at);
    }
}

fn assignment(state: &mut State, ended: &mut Vec<String>, entries: &mut Entries<'_>, mut table: Table<'_>, now: u64) {
    let role = table.parsed(entries, "role", |text| RoleName::parse(text.strip_prefix("role:").unwrap_or(text)));
    let workspace = table.workspace(entries);
    let to = table.parsed(entries, "to", |text| match named(text)? {
        Named::User(name) => Ok(Subject::User(name)),
        Named::Group(name) => Ok(Subject::Group(name)),
        Named::Role(_) => Err(NO_ROLES_IN_ROLES.to_owned()),
    });
    let expires = table.end(entries);
    table.done(entries, "assignment", |_| None);
    let (Some(name), Some(workspace), Some(to), Some(expires)) = (role, workspace, to, expires) else { return };
    let assigned = Assigned { role: RoleKey { workspace, name }, to };
    if over(expires, now) {
        let line = entries.lines.at(table.at);
        ended.push(format!("{}:{line}: role {} of {} has ended", entries.file, assigned.role, assigned.to));
        return;
    }
    put(&mut state.assignments, assigned, expires, "assignment", entries, table.at);
}

fn grant(state: &mut State, ended: &mut Vec<String>, entries: &mut Entries<'_>, mut table: Table<'_>, now: u64) {
    let at = spot(entries, &mut table, pattern);
    let permission = table.parsed(entries, "permission", str::parse::<Permission>);
    let expires = table.end(entries);
    table.done(entries, "grant", |key| match key {
        "user" | "group" | "role" | "subject" => Some("write `to = \"user:NAME\"`, `group:NAME` or `role:NAME`"),
        _ => None,
    });
    let (Some(at), Some(permission), Some(expires)) = (at, permission, expires) else { return };
    if over(expires, now) {
        let line = entries.lines.at(table.at);
        ended.push(format!("{}:{line}: what {} holds on {} {} has ended", entries.file, at.to, at.kind, at.pattern));
        return;
    }
    put(&mut state.grants, at, (permission, expires), "grant", entries, table.at);
}

fn rule(state: &mut State, ended: &mut Vec<String>, entries: &mut Entries<'_>, mut table: Table<'_>, now: u64) {
    let at = spot(entries, &mut table, names);
    let expires = table.end(entries);
    table.done(entries, "create", |key| match key {
        "permission" => Some("whoever creates something owns it: no permission is said"),
        _ => None,
    });
    let (Some(at), Some(expires)) = (at, expires) else { return };
    if over(expires, now) {
        let line = entries.lines.at(table.at);
        ended.push(format!("{}:{line}: that {} may create {} {} has ended", entries.file, at.to, at.kind, at.pattern));
        return;
    }
    put(&mut state.rules, at, expires, "rule", entries, table.at);
}

fn over(expires: Option<u64>, now: u64) -> bool {
    expires.is_some_and(|end| end <= now)
}

fn spot(
    entries: &mut Entries<'_>,
    table: &mut Table<'_>,
    read: fn(Kind, &str, bool) -> Result<Pattern, String>,
) -> Option<Spot> {
    let to = table.parsed(entries, "to", named);
    let workspace = table.workspace(entries);
    let kind = table.parsed(entries, "kind", str::parse::<Kind>);
    let exactly = table.truth(entries, "exactly");
    let pattern = if let Some(kind) = kind {
        table.parsed(entries, "pattern", |text| read(kind, text, exactly))
    } else {
        table.parsed(entries, "pattern", |_| Ok::<(), &str>(()));
        None
    };
    let (to, workspace, kind, pattern) = (to?, workspace?, kind?, pattern?);
    if kind == Kind::Workspace && pattern != Pattern::Prefix(Arc::from("")) && !pattern.matches(workspace.as_str()) {
        let what =
            format!("a grant on a workspace holds in it: write `workspace = \"{pattern}\"` and `pattern = \"*\"`");
        entries.fault(table.at, what);
        return None;
    }
    Some(Spot { workspace, to, kind, pattern })
}

fn pattern(kind: Kind, text: &str, exactly: bool) -> Result<Pattern, String> {
    if exactly && kind.grantable() == Grantable::ByName {
        // As long as an experiment's name may be.
        if text.is_empty() || text.len() > 500 || text.chars().any(char::is_control) {
            return Err("it is empty, too long, or has control characters".to_owned());
        }
        return Ok(Pattern::Exactly(Arc::from(text)));
    }
    Pattern::parse(kind, text).map_err(|error| error.to_string())
}

/// Names of things that are still to be made.
fn names(kind: Kind, text: &str, exactly: bool) -> Result<Pattern, String> {
    // Whether such things are made under names at all is told by the kind alone.
    Pattern::of_names(kind, "*").map_err(|error| error.to_string())?;
    if exactly {
        return match kind {
            Kind::Experiment => ExperimentName::parse(text)
                .map(|name| Pattern::Exactly(name.to_shared()))
                .map_err(|error| error.to_string()),
            _ => pattern(kind, text, exactly),
        };
    }
    Pattern::of_names(kind, text).map_err(|error| error.to_string())
}

/// `user:NAME`, `group:NAME` or `role:NAME`.
fn named(text: &str) -> Result<Named, String> {
    match text.split_once(':') {
        Some(("user", name)) => user_name(name).map(Named::User),
        Some(("group", name)) => {
            GroupName::parse(name).map(Named::Group).map_err(|error| format!("{error}{}", odd(name)))
        }
        Some(("role", name)) => RoleName::parse(name).map(Named::Role).map_err(|error| error.to_string()),
        _ => Err("write `user:NAME`, `group:NAME` or `role:NAME`".to_owned()),
    }
}

/// Mail addresses are compared in lower case, so another spelling would never match.
fn user_name(text: &str) -> Result<UserName, String> {
    if text.contains('@') && text.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Err("mail addresses are written in lower case".to_owned());
    }
    UserName::parse(text).map_err(|error| format!("{error}{}", odd(text)))
}

/// Which letter only looks like one of ASCII.
fn odd(text: &str) -> String {
    let odd = text.chars().find(|letter| !letter.is_ascii());
    odd.map_or_else(String::new, |letter| format!(": `{letter}` is U+{:04X}", u32::from(letter)))
}

/// A text for a terminal: nothing in it moves the cursor or turns the line around.
#[must_use]
pub fn shown(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        let hidden = letter.is_control()
            || matches!(letter, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}');
        if hidden {
            out.extend(letter.escape_unicode());
        } else {
            out.push(letter);
        }
    }
    out
}

#[cfg(test)]
mod tests;
