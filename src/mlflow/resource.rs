//! What kinds of things does MLflow hold, and what lies in what?
//!
//! A run lies in its experiment, a model version in its registered model, everything in the workspace. A
//! [`Resource`] is one object with all that it lies in, nearest first: the chain that the decision walks.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::ids::WorkspaceName;

/// What Python's `urllib.parse.quote(text, safe='')` quotes.
const UNQUOTED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'_').remove(b'.').remove(b'-').remove(b'~');

/// The tag by which MLflow tells prompts from registered models, and their versions from model versions: its value is
/// `true` in any case (3.17.2, `RegisteredModel._is_prompt`).
pub const IS_PROMPT: &str = "mlflow.prompt.is_prompt";

/// A kind of thing that MLflow holds. The words are MLflow's resource types where it has one (3.18.0,
/// `mlflow/server/auth/permissions.py`), else the words of its messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// The whole server: USE allows creating in it, MANAGE allows everything in it.
    Workspace,
    /// An experiment, by id.
    Experiment,
    /// The name of an experiment. No thing by itself: what is granted on it is granted on the experiment that is called so,
    /// beside what is granted on its id. A word of its own, since a name may look like another one's id.
    ExperimentName,
    /// A run, by id. Lies in an experiment.
    Run,
    /// A logged model, by id. Lies in an experiment.
    LoggedModel,
    /// A trace, by id. Lies in an experiment.
    Trace,
    /// An assessment of a trace, by id. Lies in the trace's experiment.
    Assessment,
    /// A review queue, by id. Lies in an experiment.
    ReviewQueue,
    /// A label schema, by id. Lies in an experiment.
    LabelSchema,
    /// An issue found in traces, by id. Lies in an experiment.
    Issue,
    /// An evaluation dataset, by id. Lies in any number of experiments.
    Dataset,
    /// A registered model, by name.
    RegisteredModel,
    /// A version of a registered model, as `name/version`.
    ModelVersion,
    /// A prompt, by name: in MLflow's store a registered model whose tag `mlflow.prompt.is_prompt` is `true`.
    Prompt,
    /// A version of a prompt, as `name/version`.
    PromptVersion,
    /// A scorer, as `experiment id/url-quoted name`. It has grants of its own; its experiment's do not reach it.
    Scorer,
    /// A version of a scorer, as `experiment id/url-quoted name/version`.
    ScorerVersion,
    /// A provider's key that the gateway keeps, by id.
    GatewaySecret,
    /// A place where the gateway answers, by id.
    GatewayEndpoint,
    /// A provider's model with the secret to reach it, by id.
    GatewayModelDefinition,
    /// An MCP server, by name (`namespace/slug`).
    McpServer,
    /// A version of an MCP server, as `namespace/slug/version`.
    McpServerVersion,
    /// A skill, by name or `@organization/name`.
    Skill,
    /// A job that the server runs, by id. It belongs to whoever submitted it.
    Job,
}

/// What an object lies in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Home {
    /// The workspace alone.
    Workspace,
    /// An experiment (or several), which MLflow must be asked for.
    Experiment,
    /// What the part of its id before the last `/` names.
    Named(Kind),
}

/// Which patterns grants on a kind may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grantable {
    /// One id, or `*`.
    ById,
    /// One name, `prefix*`, or `*`.
    ByName,
    /// No grant speaks of such a thing itself: what it lies in decides.
    No,
}

impl Kind {
    /// Every kind, for help texts and tests.
    pub const ALL: [Self; 24] = [
        Self::Workspace,
        Self::Experiment,
        Self::ExperimentName,
        Self::Run,
        Self::LoggedModel,
        Self::Trace,
        Self::Assessment,
        Self::ReviewQueue,
        Self::LabelSchema,
        Self::Issue,
        Self::Dataset,
        Self::RegisteredModel,
        Self::ModelVersion,
        Self::Prompt,
        Self::PromptVersion,
        Self::Scorer,
        Self::ScorerVersion,
        Self::GatewaySecret,
        Self::GatewayEndpoint,
        Self::GatewayModelDefinition,
        Self::McpServer,
        Self::McpServerVersion,
        Self::Skill,
        Self::Job,
    ];

    /// Its word, what it lies in, and how it is granted: one line each.
    #[rustfmt::skip]
    const fn traits(self) -> (&'static str, Home, Grantable) {
        match self {
            Self::Workspace              => ("workspace",                Home::Workspace,                    Grantable::ById),
            Self::Experiment             => ("experiment",               Home::Workspace,                    Grantable::ById),
            Self::ExperimentName         => ("experiment_name",          Home::Workspace,                    Grantable::ByName),
            Self::Run                    => ("run",                      Home::Experiment,                   Grantable::ById),
            Self::LoggedModel            => ("logged_model",             Home::Experiment,                   Grantable::ById),
            Self::Trace                  => ("trace",                    Home::Experiment,                   Grantable::ById),
            Self::Assessment             => ("assessment",               Home::Experiment,                   Grantable::ById),
            Self::ReviewQueue            => ("review_queue",             Home::Experiment,                   Grantable::ById),
            Self::LabelSchema            => ("label_schema",             Home::Experiment,                   Grantable::No),
            Self::Issue                  => ("issue",                    Home::Experiment,                   Grantable::No),
            Self::Dataset                => ("dataset",                  Home::Experiment,                   Grantable::No),
            Self::RegisteredModel        => ("registered_model",         Home::Workspace,                    Grantable::ByName),
            Self::ModelVersion           => ("registered_model_version", Home::Named(Self::RegisteredModel), Grantable::ByName),
            Self::Prompt                 => ("prompt",                   Home::Workspace,                    Grantable::ByName),
            Self::PromptVersion          => ("prompt_version",           Home::Named(Self::Prompt),          Grantable::ByName),
            Self::Scorer                 => ("scorer",                   Home::Workspace,                    Grantable::ByName),
            Self::ScorerVersion          => ("scorer_version",           Home::Named(Self::Scorer),          Grantable::ByName),
            Self::GatewaySecret          => ("gateway_secret",           Home::Workspace,                    Grantable::ById),
            Self::GatewayEndpoint        => ("gateway_endpoint",         Home::Workspace,                    Grantable::ById),
            Self::GatewayModelDefinition => ("gateway_model_definition", Home::Workspace,                    Grantable::ById),
            Self::McpServer              => ("mcp_server",               Home::Workspace,                    Grantable::ByName),
            Self::McpServerVersion       => ("mcp_server_version",       Home::Named(Self::McpServer),       Grantable::ByName),
            Self::Skill                  => ("skill",                    Home::Workspace,                    Grantable::ByName),
            Self::Job                    => ("job",                      Home::Workspace,                    Grantable::ById),
        }
    }

    /// MLflow's word for this kind.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.traits().0
    }

    /// What things of this kind lie in.
    #[must_use]
    pub const fn home(self) -> Home {
        self.traits().1
    }

    /// Which patterns grants on this kind may have.
    #[must_use]
    pub const fn grantable(self) -> Grantable {
        self.traits().2
    }

    /// The id that is written in parts: joined by `/`, a scorer's name quoted as MLflow does (3.17.2,
    /// `server/auth/sqlalchemy_store.py`, `quote(scorer_name, safe='')`), a skill's organization behind an `@`.
    #[must_use]
    pub fn join<'a>(self, parts: impl IntoIterator<Item = &'a str>) -> String {
        let quotes = matches!(self, Self::Scorer | Self::ScorerVersion);
        let parts: Vec<&str> = parts.into_iter().collect();
        let mut id = String::new();
        if self == Self::Skill && parts.len() == 2 {
            id.push('@');
        }
        for (index, part) in parts.into_iter().enumerate() {
            if index > 0 {
                id.push('/');
            }
            if quotes && index == 1 {
                id.extend(utf8_percent_encode(part, UNQUOTED));
            } else {
                id.push_str(part);
            }
        }
        id
    }

    /// What a thing of this kind is where its name is a prompt's: MLflow keeps both in one registry, under one set of
    /// names, and tells them apart by a tag ([`IS_PROMPT`]).
    #[must_use]
    pub const fn as_prompt(self) -> Option<Self> {
        match self {
            Self::RegisteredModel => Some(Self::Prompt),
            Self::ModelVersion => Some(Self::PromptVersion),
            _ => None,
        }
    }

    /// The kind whose ids begin with this one's (`name/version` of a `name`).
    #[must_use]
    pub fn versions(self) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.home() == Home::Named(self))
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A word that is not a kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a kind of object: use one of {}", Kind::ALL.map(Kind::as_str).join(", "))]
pub struct UnknownKind;

impl FromStr for Kind {
    type Err = UnknownKind;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word).ok_or(UnknownKind)
    }
}

/// One object, named.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Object {
    /// What it is.
    pub kind: Kind,
    /// Its id or name, in its one spelling.
    pub id: Arc<str>,
}

impl WorkspaceName {
    /// The workspace as an object that grants speak of.
    #[must_use]
    pub fn object(&self) -> Object {
        Object { kind: Kind::Workspace, id: self.to_shared() }
    }
}

impl Object {
    /// All things of `kind` in `home`, whatever their ids: a grant on `*` speaks of them, one on a single id does not.
    #[must_use]
    pub fn all_in(kind: Kind, home: &Self) -> Self {
        let id = match kind.home() {
            Home::Experiment => Arc::from(""),
            Home::Workspace | Home::Named(_) => format!("{}/", home.id).into(),
        };
        Self { kind, id }
    }

    /// Whether it stands for all things of its kind in what it lies in ([`all_in`](Self::all_in)), or for a new one that
    /// has no id yet.
    #[must_use]
    pub fn is_nameless(&self) -> bool {
        self.id.is_empty() || self.id.ends_with('/')
    }
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_nameless() {
            return write!(f, "every {}", self.kind);
        }
        write!(f, "{} {}", self.kind, self.id)
    }
}

/// One object and what it lies in. The workspace, in which everything lies, is implied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resource {
    /// The object itself.
    pub object: Object,
    /// The experiment or registered model it lies in, if it is not one itself.
    pub within: Option<Object>,
}

impl Resource {
    /// The workspace itself, where there is but one.
    #[must_use]
    pub fn workspace() -> Self {
        Self::of_workspace(&WorkspaceName::default())
    }

    /// One of several workspaces itself.
    #[must_use]
    pub fn of_workspace(name: &WorkspaceName) -> Self {
        Self { object: name.object(), within: None }
    }

    /// An experiment or a registered model: a thing that lies in nothing but the workspace.
    #[must_use]
    pub fn top(kind: Kind, id: Arc<str>) -> Self {
        Self { object: Object { kind, id }, within: None }
    }

    /// Whatever is of this kind: what is held on it is held by a grant on `*`.
    #[must_use]
    pub fn every(kind: Kind) -> Self {
        Self::top(kind, Arc::from("*"))
    }

    /// A thing whose id begins with what it lies in (`name/version`); `None` for other kinds and ids.
    #[must_use]
    pub fn named(kind: Kind, id: &Arc<str>) -> Option<Self> {
        let Home::Named(outer) = kind.home() else { return None };
        let (name, _) = id.rsplit_once('/')?;
        Some(Self::inside(kind, Arc::clone(id), Object { kind: outer, id: Arc::from(name) }))
    }

    /// A thing inside an experiment or a registered model.
    #[must_use]
    pub fn inside(kind: Kind, id: Arc<str>, within: Object) -> Self {
        Self { object: Object { kind, id }, within: Some(within) }
    }

    /// All things of `kind` in `home` ([`Object::all_in`]).
    #[must_use]
    pub fn all_in(kind: Kind, home: Object) -> Self {
        Self { object: Object::all_in(kind, &home), within: Some(home) }
    }

    /// The same name as a prompt's, where it is one of the registry's.
    #[must_use]
    pub fn as_prompt(&self) -> Option<Self> {
        let prompt = |object: &Object| Some(Object { kind: object.kind.as_prompt()?, id: Arc::clone(&object.id) });
        Some(Self { object: prompt(&self.object)?, within: self.within.as_ref().and_then(prompt) })
    }

    /// The one experiment that it is or lies in.
    #[must_use]
    pub fn experiment(&self) -> Option<&Arc<str>> {
        self.levels().find(|object| object.kind == Kind::Experiment && !object.is_nameless()).map(|object| &object.id)
    }

    /// The object, then what it lies in: nearest first.
    pub fn levels(&self) -> impl Iterator<Item = &Object> {
        std::iter::once(&self.object).chain(self.within.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scorers_name_is_quoted_as_python_does_and_other_names_are_joined_as_they_are() {
        assert_eq!(Kind::Scorer.join(["7", "a b/c~d_e.f-g*ä"]), "7/a%20b%2Fc~d_e.f-g%2A%C3%A4");
        assert_eq!(Kind::ScorerVersion.join(["7", "a b", "3"]), "7/a%20b/3");
        assert_eq!(Kind::ModelVersion.join(["a b", "3"]), "a b/3");
        assert_eq!(Kind::McpServer.join(["com.example/x"]), "com.example/x");
        assert_eq!(Kind::Skill.join(["x"]), "x");
        assert_eq!(Kind::Skill.join(["acme", "x"]), "@acme/x");
    }
}
