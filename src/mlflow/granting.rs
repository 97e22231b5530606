//! Which grants does MLflow's own permission API take?
//!
//! Types, patterns and levels are those of 3.17.2 and 3.18.0 (`mlflow/server/auth/permissions.py`: `TYPE`,
//! `_validate_resource_pattern`, `_validate_permission_for_resource_type`), with its sentences. Patterns on names
//! (`team-a/*`, `team-?/*-prod`) are ours, and so is `experiment_name`: MLflow takes such a text for the name of one thing.

use std::fmt;
use std::sync::LazyLock;

use super::glob;
use super::ids::{
    BadId, ExperimentId, ExperimentName, GatewayEndpointId, GatewayModelDefinitionId, GatewaySecretId, GroupName,
    McpServerName, ModelName, SkillName, UserName,
};
use super::permission::Permission;
use super::resource::{Grantable, Kind};

/// The most bytes that a pattern may have: more than any name that MLflow takes.
const MOST: usize = 300;

/// What somebody is given or loses a permission on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Of which kind.
    pub kind: Kind,
    /// Which ones.
    pub which: Which,
}

/// Which things of a kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Which {
    /// Each one: `*`.
    Every,
    /// Those whose names begin so: `prefix*`.
    Beginning(String),
    /// Those whose names match this glob, in its one spelling.
    Matching(String),
    /// One.
    One(String),
}

impl fmt::Display for Which {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Every => f.write_str("*"),
            Self::Beginning(prefix) => write!(f, "{}*", glob::quoted(prefix)),
            Self::Matching(text) => f.write_str(text),
            Self::One(id) => f.write_str(id),
        }
    }
}

/// Who gets or loses a permission. Where MLflow's API takes a user's name, ours takes `group:NAME` too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Holder {
    /// One person or service account.
    User(UserName),
    /// Everybody in a group.
    Group(GroupName),
}

impl Holder {
    /// Reads a user's name, or `group:NAME`.
    ///
    /// # Errors
    /// [`BadId`] when it is neither.
    pub fn parse(text: &str) -> Result<Self, BadId> {
        match text.strip_prefix("group:") {
            Some(name) => GroupName::parse(name).map(Self::Group),
            None => UserName::parse(text).map(Self::User),
        }
    }
}

/// In which calls a target stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Calls {
    /// Those about one person's own grants: the workspace is none of theirs.
    OfPeople,
    /// Those about roles.
    OfRoles,
}

/// A target or a level that cannot be granted. The sentences are MLflow's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadTarget {
    /// No such type.
    #[error("Invalid resource type '{0}'. Valid resource types are: {types}", types = list(&TYPES))]
    UnknownType(String),
    /// The workspace has calls of its own.
    #[error(
        "resource_type 'workspace' is not supported by the per-user permission convenience APIs. Give a permission on \
         the workspace to a role."
    )]
    WorkspaceOfPerson,
    /// Only `*` will do.
    #[error(
        "Invalid resource_pattern '{pattern}' for resource_type='{kind}'. This resource type supports only wildcard \
         ('*') grants."
    )]
    OnlyEvery {
        /// The type.
        kind: Kind,
        /// What was sent.
        pattern: String,
    },
    /// A `*` or `?` where none may be.
    #[error(
        "Invalid resource_pattern '{pattern}' for resource_type='{kind}': it is one id, or `*` by itself{hint}.",
        hint = if *kind == Kind::Experiment { "; names are granted with resource_type='experiment_name'" } else { "" }
    )]
    NotByName {
        /// The type.
        kind: Kind,
        /// What was sent.
        pattern: String,
    },
    /// Every experiment has a name.
    #[error(
        "Invalid resource_pattern '*' for resource_type='experiment_name': all of them are resource_type='experiment'."
    )]
    EveryName,
    /// The id is not in its one spelling.
    #[error("Invalid resource_pattern for resource_type='{kind}': {fault}")]
    BadId {
        /// The type.
        kind: Kind,
        /// What is wrong with it.
        fault: BadId,
    },
    /// No such level.
    #[error(
        "Invalid permission '{0}'. Valid permissions are: ('READ', 'USE', 'EDIT', 'MANAGE', 'NO_PERMISSIONS', 'DENY')"
    )]
    UnknownLevel(String),
    /// A level that things of this kind do not have.
    #[error("Invalid permission '{level}' for resource_type='{kind}'. {levels}")]
    LevelOfKind {
        /// The type.
        kind: Kind,
        /// What was sent.
        level: String,
        /// Which there are.
        levels: &'static str,
    },
}

const OF_WORKSPACES: &str = "Workspace-wide grants accept only: ('MANAGE', 'USE').";
const OF_THINGS: &str = "Resource-level grants accept only: ('DENY', 'EDIT', 'MANAGE', 'READ', 'USE').";

/// MLflow's resource types, in order.
static TYPES: LazyLock<Vec<&'static str>> = LazyLock::new(|| {
    let mut types: Vec<&str> = Kind::ALL.into_iter().filter(|kind| grain(*kind).is_some()).map(Kind::as_str).collect();
    types.sort_unstable();
    types
});

fn list(words: &[&str]) -> String {
    format!("({})", words.iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(", "))
}

/// What a grant of MLflow's may name: one thing or all, or all alone; `None` for what is none of its types.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Grain {
    OneOrEvery,
    Every,
}

fn grain(kind: Kind) -> Option<Grain> {
    match kind {
        Kind::Experiment
        | Kind::ExperimentName
        | Kind::RegisteredModel
        | Kind::Prompt
        | Kind::Scorer
        | Kind::GatewaySecret
        | Kind::GatewayEndpoint
        | Kind::GatewayModelDefinition
        | Kind::McpServer
        | Kind::Skill => Some(Grain::OneOrEvery),
        Kind::Workspace
        | Kind::Run
        | Kind::Trace
        | Kind::Assessment
        | Kind::LoggedModel
        | Kind::ReviewQueue
        | Kind::ModelVersion
        | Kind::PromptVersion
        | Kind::ScorerVersion
        | Kind::McpServerVersion => Some(Grain::Every),
        Kind::LabelSchema | Kind::Issue | Kind::Dataset | Kind::Job => None,
    }
}

/// Reads what a call gives or takes a permission on.
///
/// # Errors
/// [`BadTarget`].
pub fn target(kind: &str, pattern: &str, calls: Calls) -> Result<Target, BadTarget> {
    let known = kind.parse::<Kind>().ok().and_then(|kind| Some((kind, grain(kind)?)));
    let Some((kind, grain)) = known else { return Err(BadTarget::UnknownType(kind.chars().take(MOST).collect())) };
    if kind == Kind::Workspace && calls == Calls::OfPeople {
        return Err(BadTarget::WorkspaceOfPerson);
    }
    if kind == Kind::ExperimentName && glob::canonical(pattern) == "*" {
        return Err(BadTarget::EveryName);
    }
    if pattern == "*" {
        return Ok(Target { kind, which: Which::Every });
    }
    if grain == Grain::Every {
        return Err(BadTarget::OnlyEvery { kind, pattern: pattern.chars().take(MOST).collect() });
    }
    let of_kind = |fault| BadTarget::BadId { kind, fault };
    if kind.grantable() != Grantable::ByName {
        if pattern.contains(['*', '?']) {
            return Err(BadTarget::NotByName { kind, pattern: pattern.chars().take(MOST).collect() });
        }
        one(kind, pattern).map_err(of_kind)?;
        return Ok(Target { kind, which: Which::One(pattern.to_owned()) });
    }
    plain(pattern).map_err(of_kind)?;
    if !glob::is_wild(pattern) {
        let name = glob::plain(pattern);
        one(kind, &name).map_err(of_kind)?;
        return Ok(Target { kind, which: Which::One(name) });
    }
    let text = glob::canonical(pattern);
    if glob::wildcards(&text) > glob::MOST_WILDCARDS {
        return Err(of_kind(BadId { kind: "pattern", why: "it has more than 32 `*` and `?`" }));
    }
    let which = match text.strip_suffix('*') {
        Some("") => Which::Every,
        Some(prefix) if !glob::is_wild(prefix) => Which::Beginning(glob::plain(prefix)),
        _ => Which::Matching(text),
    };
    Ok(Target { kind, which })
}

/// Whether the text is the one spelling of an id of this kind.
fn one(kind: Kind, id: &str) -> Result<(), BadId> {
    plain(id)?;
    match kind {
        Kind::Experiment => ExperimentId::parse(id).map(drop),
        Kind::ExperimentName => ExperimentName::parse(id).map(drop),
        Kind::RegisteredModel | Kind::Prompt => ModelName::parse(id).map(drop),
        Kind::GatewaySecret => GatewaySecretId::parse(id).map(drop),
        Kind::GatewayEndpoint => GatewayEndpointId::parse(id).map(drop),
        Kind::GatewayModelDefinition => GatewayModelDefinitionId::parse(id).map(drop),
        Kind::McpServer => McpServerName::parse(id).map(drop),
        Kind::Skill => SkillName::parse(id).map(drop),
        Kind::Scorer => scorer(id),
        _ => Err(BadId { kind: "id", why: "nothing of this kind is granted by its id" }),
    }
}

/// `<experiment id>/<name as urllib.parse.quote(name, safe="") writes it>`.
fn scorer(id: &str) -> Result<(), BadId> {
    const WRONG: BadId = BadId { kind: "scorer id", why: "it is `<experiment id>/<quoted name>`" };
    let (experiment, name) = id.split_once('/').ok_or(WRONG)?;
    ExperimentId::parse(experiment)?;
    let plain = percent_encoding::percent_decode_str(name).decode_utf8().map_err(|_| WRONG)?;
    if plain.is_empty() || Kind::Scorer.join([experiment, &plain]) != id {
        return Err(WRONG);
    }
    Ok(())
}

fn plain(text: &str) -> Result<(), BadId> {
    if text.is_empty() {
        return Err(BadId { kind: "name", why: "it is empty" });
    }
    if text.len() > MOST || text.chars().any(char::is_control) {
        return Err(BadId { kind: "name", why: "it is too long or has control characters" });
    }
    Ok(())
}

/// Reads the level of a grant on things of this kind.
///
/// # Errors
/// [`BadTarget`]; so for `NO_PERMISSIONS`, which is no grant at all (3.13 and later).
pub fn level(level: &str, kind: Kind) -> Result<Permission, BadTarget> {
    let of_kind = |levels| BadTarget::LevelOfKind { kind, level: level.to_owned(), levels };
    let permission = match level.parse::<Permission>() {
        Ok(permission) => permission,
        Err(_) if level == "NO_PERMISSIONS" => {
            return Err(of_kind(if kind == Kind::Workspace { OF_WORKSPACES } else { OF_THINGS }));
        }
        Err(_) => return Err(BadTarget::UnknownLevel(level.chars().take(MOST).collect())),
    };
    match (kind, permission) {
        (Kind::Workspace, Permission::Read | Permission::Edit | Permission::Deny) => Err(of_kind(OF_WORKSPACES)),
        (_, permission) => Ok(permission),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_and_patterns_are_taken_in_their_one_spelling() {
        let hex = "0".repeat(32);
        for (kind, pattern) in [
            ("experiment", "1"),
            ("experiment", "*"),
            ("experiment_name", "team-a/*"),
            ("experiment_name", "123"),
            ("registered_model", "Modell für Öl"),
            ("registered_model", "team-a/*"),
            ("registered_model", "team-?/*-prod"),
            ("registered_model", "what[?]*"),
            ("prompt", "greeting"),
            ("scorer", "7/a%20b%2Fc"),
            ("gateway_secret", &format!("s-{hex}")),
            ("mcp_server", "com.example/xy"),
            ("skill", "@acme/x"),
            ("run", "*"),
        ] {
            let read = target(kind, pattern, Calls::OfPeople);
            assert_eq!(read.map(|target| target.which.to_string()).as_deref(), Ok(pattern), "{kind}");
        }
        for (kind, pattern) in [
            ("experiment", "01"),
            ("experiment", "+1"),
            ("experiment", "1.0"),
            ("experiment", "-1"),
            ("experiment", "１"),
            ("experiment", "1*"),
            ("experiment", ""),
            ("experiment", "1?"),
            ("experiment", "team-a/*"),
            ("experiment_name", "*"),
            ("experiment_name", "**"),
            ("experiment_name", ""),
            ("registered_model", "a\u{0}b"),
            ("registered_model", &"?".repeat(33)),
            ("scorer", "7"),
            ("scorer", "7/a b"),
            ("scorer", "07/a"),
            ("scorer", "7/"),
            ("run", "0123456789abcdef0123456789abcdef"),
            ("workspace", "*"),
            ("label_schema", "*"),
            ("Experiment", "1"),
            ("", "1"),
        ] {
            assert!(target(kind, pattern, Calls::OfPeople).is_err(), "{kind} {pattern:?}");
        }
        for (text, which) in [
            ("what[?]", Which::One("what?".to_owned())),
            ("**", Which::Every),
            ("a[*]*", Which::Beginning("a*".to_owned())),
            ("a?**", Which::Matching("a?*".to_owned())),
        ] {
            assert_eq!(
                target("registered_model", text, Calls::OfRoles).map(|target| target.which),
                Ok(which),
                "{text}"
            );
        }
        assert!(target("workspace", "*", Calls::OfRoles).is_ok());
        assert!(target("workspace", "default", Calls::OfRoles).is_err());
    }

    #[test]
    fn levels_are_those_of_the_kind() {
        for word in ["READ", "USE", "EDIT", "MANAGE", "DENY"] {
            assert_eq!(level(word, Kind::Experiment).map(Permission::as_str), Ok(word));
        }
        for word in ["NO_PERMISSIONS", "OWNER", "read", "", "READ "] {
            assert!(level(word, Kind::Experiment).is_err(), "{word:?}");
        }
        assert!(level("USE", Kind::Workspace).is_ok() && level("MANAGE", Kind::Workspace).is_ok());
        for word in ["READ", "EDIT", "DENY", "NO_PERMISSIONS"] {
            assert!(level(word, Kind::Workspace).is_err(), "{word}");
        }
    }

    #[test]
    fn the_sentences_are_those_of_mlflow() {
        assert_eq!(
            level("OWNER", Kind::Run).unwrap_err().to_string(),
            "Invalid permission 'OWNER'. Valid permissions are: ('READ', 'USE', 'EDIT', 'MANAGE', 'NO_PERMISSIONS', \
             'DENY')"
        );
        let sentence = target("foo", "1", Calls::OfPeople).unwrap_err().to_string();
        assert!(
            sentence.starts_with(
                "Invalid resource type 'foo'. Valid resource types are: ('assessment', 'experiment', \
                 'experiment_name', 'gateway_endpoint', "
            ),
            "{sentence}"
        );
    }
}
