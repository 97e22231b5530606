//! What kinds of things does MLflow hold, and what lies in what?
//!
//! A run lies in its experiment, a model version in its registered model, everything in the workspace. A
//! [`Resource`] is one object with all that it lies in, nearest first: the chain that the decision walks.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// A kind of thing that permission can be given on. The words are MLflow's resource types.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// The whole server: USE allows creating in it, MANAGE allows everything in it.
    Workspace,
    /// An experiment, by id.
    Experiment,
    /// A run, by id. Lies in an experiment.
    Run,
    /// A logged model, by id. Lies in an experiment.
    LoggedModel,
    /// A trace, by id. Lies in an experiment.
    Trace,
    /// A registered model, by name.
    RegisteredModel,
    /// A version of a registered model, as `name/version`. Lies in a registered model.
    ModelVersion,
}

impl Kind {
    /// Every kind, for help texts and tests.
    pub const ALL: [Self; 7] = [
        Self::Workspace,
        Self::Experiment,
        Self::Run,
        Self::LoggedModel,
        Self::Trace,
        Self::RegisteredModel,
        Self::ModelVersion,
    ];

    /// MLflow's word for this kind.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Workspace => "workspace",
            Self::Experiment => "experiment",
            Self::Run => "run",
            Self::LoggedModel => "logged_model",
            Self::Trace => "trace",
            Self::RegisteredModel => "registered_model",
            Self::ModelVersion => "registered_model_version",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A word that is not a kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a kind of object: use workspace, experiment, run, logged_model, trace, registered_model or registered_model_version"
)]
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

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
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
    /// The workspace itself.
    #[must_use]
    pub fn workspace() -> Self {
        Self { object: Object { kind: Kind::Workspace, id: Arc::from("default") }, within: None }
    }

    /// An experiment or a registered model: a thing that lies in nothing but the workspace.
    #[must_use]
    pub fn top(kind: Kind, id: Arc<str>) -> Self {
        Self { object: Object { kind, id }, within: None }
    }

    /// A thing inside an experiment or a registered model.
    #[must_use]
    pub fn inside(kind: Kind, id: Arc<str>, within: Object) -> Self {
        Self { object: Object { kind, id }, within: Some(within) }
    }

    /// The object, then what it lies in: nearest first.
    pub fn levels(&self) -> impl Iterator<Item = &Object> {
        std::iter::once(&self.object).chain(self.within.as_ref())
    }
}
