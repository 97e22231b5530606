//! What is a grant, and which objects does it speak of?

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::mlflow::glob::{self, MOST_WILDCARDS};
use crate::mlflow::ids::{
    BadId, ExperimentId, ExperimentName, GroupName, LoggedModelId, RunId, TraceId, UserName, WorkspaceName,
};
use crate::mlflow::permission::Permission;
use crate::mlflow::resource::{Grantable, Kind, Object};

/// Who holds a grant.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Subject {
    /// One person or service account.
    User(UserName),
    /// Everybody in a group.
    Group(GroupName),
    /// Everybody who has a role, by themselves or by one of their groups.
    Role(RoleId),
}

/// The number of a role, never given twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RoleId(pub u64);

impl fmt::Display for RoleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl FromStr for RoleId {
    type Err = BadId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0');
        let number = if digits { text.parse().ok() } else { None };
        // Both databases count in 64 bits with a sign.
        number
            .filter(|id| i64::try_from(*id).is_ok())
            .map(Self)
            .ok_or(BadId { kind: "role id", why: "it is no number" })
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(name) => write!(f, "user {name}"),
            Self::Group(name) => write!(f, "group {name}"),
            Self::Role(id) => write!(f, "role #{id}"),
        }
    }
}

/// Which objects of a kind a grant speaks of.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Pattern {
    /// One object.
    Exactly(Arc<str>),
    /// Every object whose name begins so; written `prefix*`. `*` alone is every object.
    Prefix(Arc<str>),
    /// Every object whose name matches this, in its one spelling ([`glob::canonical`]): `team-?/*-prod`.
    Glob(Arc<str>),
}

/// The longest text of a pattern: more than any name of MLflow's but an experiment's.
const LONGEST: usize = 500;

/// A pattern that cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadPattern {
    /// More wildcards than anybody needs.
    #[error("a pattern has {MOST_WILDCARDS} `*` and `?` at the most; `[*]` and `[?]` are the letters themselves")]
    TooWild,
    /// Ids have no meaningful beginnings.
    #[error("{0} patterns are either one id or `*`")]
    NotByName(Kind),
    /// The same, where names are granted by another word.
    #[error("{0} patterns are either one id or `*`; grants on names are grants on `{1}`")]
    ByOtherWord(Kind, Kind),
    /// Every experiment has a name.
    #[error("a grant on every experiment is one on `experiment`, `*`")]
    EveryName,
    /// No grant speaks of such things themselves.
    #[error("nothing is granted on a {0} itself: grant on the experiment that it lies in")]
    NotGranted(Kind),
    /// Rules of who may create what speak of other things.
    #[error("rules speak of experiments, registered models and prompts, not of a {0}: give USE on the workspace")]
    NotCreated(Kind),
    /// The id is not canonical.
    #[error(transparent)]
    BadId(#[from] BadId),
    /// Nothing there.
    #[error("a pattern is not empty")]
    Empty,
}

impl Pattern {
    /// Reads a pattern for objects of `kind`: an id, a name, `prefix*`, a glob with `*` and `?` anywhere, or `*`.
    ///
    /// # Errors
    /// [`BadPattern`] when the text cannot name objects of that kind.
    pub fn parse(kind: Kind, text: &str) -> Result<Self, BadPattern> {
        if text.is_empty() {
            return Err(BadPattern::Empty);
        }
        match kind.grantable() {
            Grantable::ById if text == "*" => return Ok(Self::Prefix(Arc::from(""))),
            Grantable::ById if kind == Kind::Experiment && text.contains(['*', '?', '/']) => {
                return Err(BadPattern::ByOtherWord(kind, Kind::ExperimentName));
            }
            Grantable::ById if text.contains(['*', '?']) => return Err(BadPattern::NotByName(kind)),
            Grantable::ById => {}
            Grantable::ByName if kind == Kind::ExperimentName && glob::canonical(text) == "*" => {
                return Err(BadPattern::EveryName);
            }
            Grantable::ByName => return Self::wild(text, |name| Self::one(kind, name)),
            Grantable::No => return Err(BadPattern::NotGranted(kind)),
        }
        Self::one(kind, text)
    }

    /// A text in which `*` and `?` stand for others; without any it is a name that `one` reads.
    fn wild(text: &str, one: impl FnOnce(&str) -> Result<Self, BadPattern>) -> Result<Self, BadPattern> {
        if text.len() > LONGEST || text.chars().any(char::is_control) {
            return Err(BadId { kind: "name", why: "it is too long or has control characters" }.into());
        }
        if !glob::is_wild(text) {
            return one(&glob::plain(text));
        }
        let text = glob::canonical(text);
        if glob::wildcards(&text) > MOST_WILDCARDS {
            return Err(BadPattern::TooWild);
        }
        Ok(match text.strip_suffix('*') {
            // `[*` begins nothing that ends in `*`: what is quoted ends in `]`.
            Some(prefix) if !glob::is_wild(prefix) => Self::Prefix(Arc::from(glob::plain(prefix))),
            _ => Self::Glob(Arc::from(text)),
        })
    }

    /// One object, by its id or name as it is.
    fn one(kind: Kind, text: &str) -> Result<Self, BadPattern> {
        match kind {
            // It speaks of the workspace that the grant is in; another one's name speaks of nothing.
            Kind::Workspace => drop(WorkspaceName::parse(text)?),
            Kind::Experiment => drop(ExperimentId::parse(text)?),
            Kind::ExperimentName => drop(ExperimentName::parse(text)?),
            Kind::Run => drop(RunId::parse(text)?),
            Kind::LoggedModel => drop(LoggedModelId::parse(text)?),
            Kind::Trace => drop(TraceId::parse(text)?),
            Kind::LabelSchema | Kind::Issue | Kind::Dataset => return Err(BadPattern::NotGranted(kind)),
            Kind::RegisteredModel
            | Kind::ModelVersion
            | Kind::Prompt
            | Kind::PromptVersion
            | Kind::Scorer
            | Kind::ScorerVersion
            | Kind::Assessment
            | Kind::ReviewQueue
            | Kind::GatewaySecret
            | Kind::GatewayEndpoint
            | Kind::GatewayModelDefinition
            | Kind::McpServer
            | Kind::McpServerVersion
            | Kind::Skill
            | Kind::Job => {
                if text.chars().any(char::is_control) || text.len() > 300 {
                    return Err(BadPattern::BadId(BadId {
                        kind: "name",
                        why: "it is too long or has control characters",
                    }));
                }
            }
        }
        Ok(Self::Exactly(Arc::from(text)))
    }

    /// Reads a pattern of the *names* of new things: a rule of who may create what speaks of these. A name, `prefix*`,
    /// a glob, or `*`.
    ///
    /// # Errors
    /// [`BadPattern`] when no rule can speak of such things, or the text cannot be a name of theirs.
    pub fn of_names(kind: Kind, text: &str) -> Result<Self, BadPattern> {
        match kind {
            Kind::RegisteredModel | Kind::Prompt => Self::parse(kind, text),
            Kind::Experiment if text.is_empty() => Err(BadPattern::Empty),
            Kind::Experiment => Self::wild(text, |name| Ok(Self::Exactly(ExperimentName::parse(name)?.to_shared()))),
            _ => Err(BadPattern::NotCreated(kind)),
        }
    }

    /// Whether the pattern speaks of the object with this id or name.
    #[must_use]
    pub fn matches(&self, id: &str) -> bool {
        match self {
            Self::Exactly(own) => **own == *id,
            Self::Prefix(prefix) => id.starts_with(&**prefix),
            Self::Glob(text) => glob::matches(text, id),
        }
    }

    /// Whether it is `*`.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        matches!(self, Self::Prefix(prefix) if prefix.is_empty())
    }
}

/// As [`Pattern::parse`] reads it; but one name alone is written as it is, whatever stands in it.
impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exactly(id) => f.write_str(id),
            Self::Prefix(prefix) => write!(f, "{}*", glob::quoted(prefix)),
            Self::Glob(text) => f.write_str(text),
        }
    }
}

/// Who holds what on which objects.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Grant {
    /// Who.
    pub subject: Subject,
    /// On what kind of thing.
    pub kind: Kind,
    /// On which ones.
    pub pattern: Pattern,
    /// How much.
    pub permission: Permission,
}

impl fmt::Display for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} {} {}", self.subject, self.kind, self.pattern, self.permission)
    }
}

/// All grants of one subject, indexed for the decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrantSet {
    subject: Subject,
    role: Option<Arc<str>>,
    creates: Vec<(Kind, Pattern)>,
    exact: HashMap<Kind, HashMap<Arc<str>, Permission>>,
    patterns: HashMap<Kind, Patterns>,
    /// Whether any is on names of experiments.
    names: bool,
}

/// Grants on patterns of one kind. Beginnings are found by their lengths, however many there are; globs are tried one by
/// one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Patterns {
    /// By beginning, with the pattern once more for whoever is told of it.
    prefixes: HashMap<Arc<str>, (Pattern, Permission)>,
    /// The lengths of those that there are, in bytes.
    lengths: BTreeSet<usize>,
    globs: BTreeMap<Arc<str>, (Pattern, Permission)>,
}

impl Patterns {
    fn insert(&mut self, pattern: Pattern, permission: Permission) {
        match &pattern {
            Pattern::Prefix(prefix) => {
                self.lengths.insert(prefix.len());
                self.prefixes.insert(Arc::clone(prefix), (pattern, permission));
            }
            Pattern::Glob(text) | Pattern::Exactly(text) => {
                self.globs.insert(Arc::clone(text), (pattern, permission));
            }
        }
    }

    /// Those that speak of `id`.
    fn on<'a>(&'a self, id: &'a str) -> impl Iterator<Item = &'a (Pattern, Permission)> {
        let begins = self.lengths.range(..=id.len()).filter_map(|length| self.prefixes.get(id.get(..*length)?));
        begins.chain(self.globs.values().filter(|(pattern, _)| pattern.matches(id)))
    }

    fn all(&self) -> impl Iterator<Item = &(Pattern, Permission)> {
        self.prefixes.values().chain(self.globs.values())
    }
}

impl GrantSet {
    /// A subject that holds nothing yet.
    #[must_use]
    pub fn new(subject: Subject) -> Self {
        Self { subject, role: None, creates: Vec::new(), exact: HashMap::new(), patterns: HashMap::new(), names: false }
    }

    /// The same of a role, which has a name besides its number.
    #[must_use]
    pub fn of_role(id: RoleId, name: Arc<str>) -> Self {
        Self { role: Some(name), ..Self::new(Subject::Role(id)) }
    }

    /// Adds that things of a kind may be created under such names.
    pub fn insert_rule(&mut self, kind: Kind, pattern: Pattern) {
        self.creates.push((kind, pattern));
    }

    /// The rule by which a thing of `kind` may be created under `name`.
    #[must_use]
    pub fn creates(&self, kind: Kind, name: &str) -> Option<&Pattern> {
        self.creates.iter().find(|(k, pattern)| *k == kind && pattern.matches(name)).map(|(_, pattern)| pattern)
    }

    /// The name of the role, where a role holds these.
    #[must_use]
    pub fn role(&self) -> Option<&Arc<str>> {
        self.role.as_ref()
    }

    /// Adds a grant, replacing the one on the same kind and pattern.
    pub fn insert(&mut self, kind: Kind, pattern: Pattern, permission: Permission) {
        self.names |= kind == Kind::ExperimentName;
        match pattern {
            Pattern::Exactly(id) => {
                self.exact.entry(kind).or_default().insert(id, permission);
            }
            Pattern::Prefix(_) | Pattern::Glob(_) => self.patterns.entry(kind).or_default().insert(pattern, permission),
        }
    }

    /// Whose grants these are.
    #[must_use]
    pub fn subject(&self) -> &Subject {
        &self.subject
    }

    /// Every grant that speaks of `object`, the exact one first.
    pub fn on<'a>(&'a self, object: &'a Object) -> impl Iterator<Item = (Held<'a>, Permission)> + 'a {
        let exact = self
            .exact
            .get(&object.kind)
            .and_then(|ids| ids.get_key_value(&object.id))
            .map(|(id, permission)| (Held::Exactly(id), *permission));
        let patterns = self.patterns.get(&object.kind).into_iter().flat_map(|patterns| patterns.on(&object.id));
        exact.into_iter().chain(patterns.map(|(pattern, permission)| (Held::Pattern(pattern), *permission)))
    }

    /// Whether anything in it is not a DENY: a permission, or a rule.
    #[must_use]
    pub fn gives_something(&self) -> bool {
        if !self.creates.is_empty() {
            return true;
        }
        let patterns = self.patterns.values().flat_map(Patterns::all).map(|(_, permission)| permission);
        self.exact.values().flat_map(HashMap::values).chain(patterns).any(|permission| *permission != Permission::Deny)
    }

    /// Whether any of these is on names of experiments: then what an experiment is called must be known.
    #[must_use]
    pub fn speaks_of_names(&self) -> bool {
        self.names
    }

    /// The exact grants on things of `kind`.
    pub fn exact(&self, kind: Kind) -> impl Iterator<Item = (&Arc<str>, Permission)> {
        self.exact.get(&kind).into_iter().flatten().map(|(id, permission)| (id, *permission))
    }

    /// The pattern grants on things of `kind`.
    pub fn patterns(&self, kind: Kind) -> impl Iterator<Item = (&Pattern, Permission)> {
        self.patterns.get(&kind).into_iter().flat_map(Patterns::all).map(|(pattern, permission)| (pattern, *permission))
    }
}

/// Which of a subject's grants spoke.
#[derive(Debug, Clone, Copy)]
pub enum Held<'a> {
    /// The one on exactly this object.
    Exactly(&'a Arc<str>),
    /// One on a pattern.
    Pattern(&'a Pattern),
}

impl Held<'_> {
    /// The pattern, owned.
    #[must_use]
    pub fn to_pattern(self) -> Pattern {
        match self {
            Self::Exactly(id) => Pattern::Exactly(Arc::clone(id)),
            Self::Pattern(pattern) => pattern.clone(),
        }
    }
}

/// Something that is none of `user:NAME`, `group:NAME` and `role:NUMBER`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadSubject {
    /// No known word before the colon.
    #[error("write `user:NAME`, `group:NAME` or `role:NUMBER`")]
    NoKind,
    /// The name is not one.
    #[error(transparent)]
    BadName(#[from] BadId),
}

impl FromStr for Subject {
    type Err = BadSubject;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once(':') {
            Some(("user", name)) => Ok(Self::User(UserName::parse(name)?)),
            Some(("group", name)) => Ok(Self::Group(GroupName::parse(name)?)),
            Some(("role", id)) => Ok(Self::Role(id.parse()?)),
            _ => Err(BadSubject::NoKind),
        }
    }
}
