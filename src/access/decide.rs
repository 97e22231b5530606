//! May this caller do this?
//!
//! The one decision, and the proof that it was made: only [`decide`] makes a [`Permitted`], and `forward`, `pages` and
//! `api` accept nothing else.
//!
//! The rules, in order:
//! 1. `Nobody` is refused even to administrators; everything else is allowed to them.
//! 2. Within one object, the grants of the person and of all their groups are pooled: a DENY wins, else the highest. It does
//!    not matter whether a grant speaks of the one object, of names that begin so, or of a glob; nor, of an experiment,
//!    whether it speaks of its id or of its name.
//! 3. A DENY on anything that the object lies in wins too: a deny is never rescued by a narrower grant.
//! 4. The nearest level that says anything decides: the object, then what it lies in.
//! 5. What is granted on many things at once (`run *`, `registered_model_version a*`) reaches only into what the caller
//!    may read; a grant on one of them stands by itself.
//! 6. Where no level speaks, MANAGE on the workspace allows; else nothing does.
//!
//! `tests/decide.rs` compares this with MLflow's own fold. Rule 3 is stricter than MLflow 3.17.2, where each call says by
//! itself whether a DENY further out counts. Rule 5 is how MLflow's calls use theirs: each that names a run demands READ
//! on the experiment besides (`server/auth/__init__.py`, `_run_requirement` and its like).

use std::fmt;
use std::sync::Arc;

use super::ceiling::{Ceiling, Scope};
use super::grant::{GrantSet, Held, Pattern, Subject};
use super::identity::Principal;
use super::people;
use crate::mlflow::permission::{Action, Permission};
use crate::mlflow::resource::{Home, Kind, Object, Resource};

/// One thing that the caller must hold, with the real object in it. Made in `resolve`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Requirement {
    /// Nothing: strangers may too.
    Nothing,
    /// To be somebody.
    SignedIn,
    /// To be an administrator, and why.
    Admin(&'static str),
    /// What the request names does not exist, or not there. Administrators pass, and hear of it from MLflow itself; to
    /// everybody else it is a denial like any other.
    Absent(&'static str),
    /// There is no registered model and no prompt of this name that the caller may do this with: either there is none,
    /// or it is of the kind that is hidden from them. The two must look alike.
    NoName(Arc<str>),
    /// Refused to everybody, and why.
    Nobody(&'static str),
    /// `action` on `resource`.
    Holds {
        /// What is wanted.
        action: Action,
        /// On what.
        resource: Resource,
    },
    /// CREATE on `workspace`, or a rule by which things of `kind` may be made under `name` there.
    Creates {
        /// What is made.
        kind: Kind,
        /// Under which name.
        name: Arc<str>,
        /// Where.
        workspace: Resource,
    },
    /// `action` on `resource`; for those who are named, less is enough. Without an `action` only they may.
    Among {
        /// What is wanted of everybody else.
        action: Option<Action>,
        /// On what.
        resource: Resource,
        /// Who is named, and what they must hold on it all the same.
        named: Vec<Named>,
    },
    /// No level of `resource` is denied to the caller.
    NotDenied(Resource),
    /// Nothing of this kind is denied to the caller: what the answer leaves out or counts would tell of it.
    NoneDenied(Kind),
    /// MANAGE on the workspace, and nothing less on any thing of this kind or on what it lies in.
    Whole(Kind),
    /// The same requirement, met by what the caller holds for as long as what they give.
    Lastingly {
        /// The caller with that alone; `None` where nobody has looked.
        lasting: Option<Arc<Principal>>,
        /// Until when it is given, in milliseconds since the epoch; `None`: for good.
        until: Option<u64>,
        /// What is asked.
        of: Box<Requirement>,
    },
    /// To be the person of this name; with `managers`, or to manage the workspace.
    Oneself {
        /// The name.
        name: Arc<str>,
        /// Whether MANAGE on the workspace is enough.
        managers: bool,
    },
    /// To be another than the person of this name.
    Another(Arc<str>),
    /// To be the one whose tokens these are, or to look after that service account, and to come without a token. Unless one
    /// is made for a person, administrators may too.
    Tokens {
        /// Whose they are.
        of: Arc<str>,
        /// Whether that is a service account.
        service: bool,
        /// Whether the caller looks after it.
        looks_after: bool,
        /// Whether one is made.
        making: bool,
    },
    /// To have the role of this number, or to manage the workspace.
    Bears {
        /// The number.
        role: u64,
        /// `role:NAME`, or whose hidden role it is (`user:NAME`, `group:NAME`).
        whose: Arc<str>,
        /// Whether the caller has it.
        has: bool,
    },
    /// To have some business in each of these workspaces.
    Belongs {
        /// Their names.
        to: Vec<Arc<str>>,
        /// Whether the caller has.
        does: bool,
    },
}

impl Requirement {
    /// The object that it is about, if it is about one.
    #[must_use]
    pub fn resource(&self) -> Option<&Resource> {
        match self {
            Self::Holds { resource, .. } | Self::Among { resource, .. } | Self::NotDenied(resource) => Some(resource),
            Self::Lastingly { of, .. } => of.resource(),
            Self::Nothing
            | Self::SignedIn
            | Self::Admin(_)
            | Self::Absent(_)
            | Self::NoName(_)
            | Self::Nobody(_)
            | Self::Creates { .. }
            | Self::NoneDenied(_)
            | Self::Whole(_)
            | Self::Oneself { .. }
            | Self::Another(_)
            | Self::Bears { .. }
            | Self::Belongs { .. }
            | Self::Tokens { .. } => None,
        }
    }
}

/// People whom an object names: reviewers of a queue, its owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// Their names as MLflow keeps them. Compared as they are: names in two cases may be two people.
    pub users: Vec<Arc<str>>,
    /// What being named does not replace.
    pub least: Action,
}

/// Why a requirement is met or not: the grant that decided, if one did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// The row asks for nothing.
    NothingAsked,
    /// The caller is known, and no more is asked.
    SignedIn,
    /// Nobody is known to call.
    Stranger,
    /// The caller is an administrator.
    Admin,
    /// The caller is not.
    NotAdmin(&'static str),
    /// What the request names does not exist.
    Absent(&'static str),
    /// The row is closed to everybody.
    Nobody(&'static str),
    /// This grant decided.
    Grant {
        /// Who holds it.
        subject: Subject,
        /// The role's name, where a role holds it.
        role: Option<Arc<str>>,
        /// On what kind.
        kind: Kind,
        /// On which ones.
        pattern: Pattern,
        /// How much.
        permission: Permission,
        /// What was wanted.
        action: Action,
    },
    /// This rule allows to make it.
    Rule {
        /// Whose rule it is.
        subject: Subject,
        /// The role's name, where it is a role's.
        role: Option<Arc<str>>,
        /// What may be made.
        kind: Kind,
        /// Under which names.
        pattern: Pattern,
    },
    /// No grant speaks of the object.
    NoGrant {
        /// What was wanted.
        action: Action,
        /// On what.
        object: Object,
    },
    /// The object names the caller, who holds so much on it besides.
    Named(Box<Reason>),
    /// The object does not name the caller, and nothing else is enough.
    NotNamed(Object),
    /// Nothing denies it.
    NotDenied,
    /// The caller is the person whom it is about.
    Oneself,
    /// The caller is another, and nothing else is enough.
    Another,
    /// The caller would give something to themselves.
    ToOneself,
    /// The caller gives it to somebody else.
    NotOneself,
    /// The caller holds enough, and not for as long as what is given.
    TooShort,
    /// The caller has the role.
    Bears(u64),
    /// The caller has some business in the workspace.
    Belongs,
    /// The caller looks after the service account.
    LooksAfter,
    /// The token that was shown is for less, whatever its owner holds.
    AboveCeiling {
        /// How much it is for.
        most: Permission,
        /// What was wanted.
        action: Action,
    },
    /// The token that was shown does not reach this, whatever its owner holds.
    OutsideScope(Object),
    /// A token was shown, and this is for people themselves.
    ByToken,
    /// What the experiment is called would matter, and is not known.
    NameUnknown(Object),
}

impl Reason {
    /// A stable word for the audit log and metrics.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::NothingAsked => "nothing-asked",
            Self::SignedIn => "signed-in",
            Self::Stranger => "no-credential",
            Self::Admin => "admin",
            Self::NotAdmin(_) => "not-admin",
            Self::Absent(_) => "no-such-object",
            Self::Nobody(_) => "closed-route",
            Self::Grant { permission: Permission::Deny, .. } => "denied-by-grant",
            Self::Grant { permission, action, .. } => {
                if permission.allows(*action) {
                    "grant"
                } else {
                    "grant-too-low"
                }
            }
            Self::Rule { .. } => "create-rule",
            Self::NoGrant { .. } => "no-grant",
            Self::Named(_) => "named",
            Self::NotNamed(_) => "not-named",
            Self::NotDenied => "not-denied",
            Self::Oneself => "oneself",
            Self::Another => "another-person",
            Self::ToOneself => "to-oneself",
            Self::NotOneself => "not-oneself",
            Self::TooShort => "held-too-short",
            Self::Bears(_) => "has-role",
            Self::Belongs => "belongs",
            Self::LooksAfter => "looks-after",
            Self::AboveCeiling { .. } => "above-token-ceiling",
            Self::OutsideScope(_) => "outside-token-scope",
            Self::ByToken => "not-by-token",
            Self::NameUnknown(_) => "name-unknown",
        }
    }
}

impl Reason {
    /// Which of several tells most of why something was allowed: the last grant or rule, else the last that asked for
    /// anything.
    #[must_use]
    pub fn telling(reasons: &[Self]) -> Option<&Self> {
        let held = |reason: &&Self| matches!(reason, Self::Grant { .. } | Self::Rule { .. });
        let asked = |reason: &&Self| !matches!(reason, Self::NothingAsked);
        let last = || reasons.iter().rev();
        last().find(held).or_else(|| last().find(asked)).or(reasons.last())
    }

    /// Whether the grant that spoke allows `action`.
    fn allows(&self, action: Action) -> bool {
        matches!(self, Self::Grant { permission, .. } if permission.allows(action))
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NothingAsked => f.write_str("nothing is asked"),
            Self::SignedIn => f.write_str("anybody who is signed in may"),
            Self::Stranger => f.write_str("nobody is signed in"),
            Self::Admin => f.write_str("the caller is an administrator"),
            Self::NotAdmin(why) => write!(f, "only an administrator may: {why}"),
            Self::Absent(why) => f.write_str(why),
            Self::Nobody(why) => write!(f, "closed to everybody: {why}"),
            Self::Grant { subject, role, kind, pattern, permission, action } => {
                write!(f, "{action} wanted; ")?;
                holder(f, subject, role.as_deref())?;
                write!(f, " holds {permission} on {kind} {pattern}")
            }
            Self::Rule { subject, role, kind, pattern } => {
                f.write_str("create wanted; ")?;
                holder(f, subject, role.as_deref())?;
                write!(f, " may create {kind} {pattern}")
            }
            Self::NoGrant { action, object } => write!(f, "{action} wanted; no grant speaks of {object}"),
            Self::Named(besides) => write!(f, "the caller is named there, and: {besides}"),
            Self::NotNamed(object) => write!(f, "only those whom {object} names may"),
            Self::NotDenied => f.write_str("nothing denies it"),
            Self::Oneself => f.write_str("the caller asks about themselves"),
            Self::Another => f.write_str("it is about another person"),
            Self::ToOneself => f.write_str("nobody gives permissions to themselves"),
            Self::NotOneself => f.write_str("it is for somebody else"),
            Self::TooShort => f.write_str("what the caller holds ends before what they would give"),
            Self::Bears(role) => write!(f, "the caller has role #{role}"),
            Self::Belongs => f.write_str("the caller belongs there"),
            Self::LooksAfter => f.write_str("the caller looks after the service account"),
            Self::AboveCeiling { most, action } => write!(f, "{action} wanted; the token is for {most} at most"),
            Self::OutsideScope(object) => write!(f, "the token does not reach {object}"),
            Self::ByToken => f.write_str("not by a token: people do this themselves"),
            Self::NameUnknown(object) => {
                write!(f, "what {object} is called is not known, and a grant on names may speak")
            }
        }
    }
}

fn holder(f: &mut fmt::Formatter<'_>, subject: &Subject, role: Option<&str>) -> fmt::Result {
    match (subject, role) {
        (Subject::Role(id), Some(name)) => write!(f, "role {name}#{id}"),
        _ => write!(f, "{subject}"),
    }
}

/// The proof that `T` was judged and allowed. Owns what it permits: a permit cannot be kept for another request.
#[derive(Debug)]
pub struct Permitted<T> {
    inner: T,
    principal: Option<Arc<Principal>>,
    reasons: Vec<Reason>,
}

impl<T> Permitted<T> {
    /// What was permitted.
    pub fn get(&self) -> &T {
        &self.inner
    }

    /// Whom it was permitted to; `None` for the few calls that strangers may make.
    pub fn principal(&self) -> Option<&Arc<Principal>> {
        self.principal.as_ref()
    }

    /// Why, one reason for each requirement.
    pub fn reasons(&self) -> &[Reason] {
        &self.reasons
    }

    /// The permit for another page of the very list that was permitted: the same call of the same caller, asking for
    /// other rows or for fewer.
    // INVARIANT: only `answer` asks for it (tests/house.rs), with a request made from the permitted one.
    pub(crate) fn for_page<P>(&self, page: P) -> Permitted<P> {
        Permitted { inner: page, principal: self.principal.clone(), reasons: Vec::new() }
    }

    /// Takes the permit apart: it is used up.
    pub fn into_parts(self) -> (T, Option<Arc<Principal>>, Vec<Reason>) {
        (self.inner, self.principal, self.reasons)
    }
}

/// The first requirement that is not met, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denial {
    /// Which one.
    pub requirement: Requirement,
    /// Why not.
    pub reason: Reason,
}

/// Judges `request`: every requirement must be met.
///
/// `principal` is `None` for strangers, who meet no requirement but [`Requirement::Nothing`].
///
/// # Errors
/// The first [`Denial`].
pub fn decide<T>(
    principal: Option<Arc<Principal>>,
    requirements: &[Requirement],
    request: T,
) -> Result<Permitted<T>, Box<Denial>> {
    let mut reasons = Vec::with_capacity(requirements.len());
    for requirement in requirements {
        match judge(principal.as_deref(), requirement) {
            Ok(reason) => reasons.push(reason),
            Err(reason) => return Err(Box::new(Denial { requirement: requirement.clone(), reason })),
        }
    }
    Ok(Permitted { inner: request, principal, reasons })
}

fn judge(principal: Option<&Principal>, requirement: &Requirement) -> Result<Reason, Reason> {
    match requirement {
        Requirement::Nothing => Ok(Reason::NothingAsked),
        Requirement::SignedIn => match principal {
            Some(_) => Ok(Reason::SignedIn),
            None => Err(Reason::Stranger),
        },
        Requirement::Nobody(why) => Err(Reason::Nobody(why)),
        Requirement::Admin(why) => match principal {
            Some(principal) if principal.admin => Ok(Reason::Admin),
            _ => Err(Reason::NotAdmin(why)),
        },
        Requirement::Absent(why) => match principal {
            Some(principal) if principal.admin => Ok(Reason::Admin),
            _ => Err(Reason::Absent(why)),
        },
        Requirement::NoName(_) => match principal {
            Some(principal) if principal.admin => Ok(Reason::Admin),
            _ => Err(Reason::Absent("there is no such name that the caller may see")),
        },
        Requirement::Holds { .. }
        | Requirement::Creates { .. }
        | Requirement::Among { .. }
        | Requirement::NotDenied(_)
        | Requirement::NoneDenied(_)
        | Requirement::Whole(_)
        | Requirement::Lastingly { .. }
        | Requirement::Oneself { .. }
        | Requirement::Another(_)
        | Requirement::Tokens { .. }
        | Requirement::Bears { .. }
        | Requirement::Belongs { .. } => match principal {
            Some(principal) => meets(principal, requirement),
            None => Err(Reason::Stranger),
        },
    }
}

/// Whether somebody who is known meets `requirement`: single reads and the rows of lists are judged by this.
///
/// # Errors
/// The reason why not.
pub fn meets(principal: &Principal, requirement: &Requirement) -> Result<Reason, Reason> {
    match requirement {
        Requirement::Holds { action, resource } => holds(principal, *action, resource),
        Requirement::Creates { kind, name, workspace } => creates(principal, *kind, name, workspace),
        Requirement::Among { action, resource, named } => among(principal, *action, resource, named),
        Requirement::NotDenied(resource) => not_denied(principal, resource),
        Requirement::NoneDenied(kind) => none_denied(principal, *kind),
        Requirement::Whole(kind) => people::whole(principal, *kind),
        Requirement::Lastingly { lasting, of, until: _ } => people::lastingly(principal, lasting.as_deref(), of),
        Requirement::Oneself { name, managers } => people::oneself(principal, name, *managers),
        Requirement::Another(name) => people::another(principal, name),
        Requirement::Tokens { of, service, looks_after, making } => {
            people::tokens(principal, of, (*service, *looks_after), *making)
        }
        Requirement::Bears { role, has: true, .. } => {
            principal.identity.ceiling().map_or(Ok(()), |ceiling| ceiling.reaches_all(principal))?;
            Ok(Reason::Bears(*role))
        }
        Requirement::Bears { has: false, .. } => {
            holds(principal, Action::Manage, &Resource::of_workspace(&principal.workspace))
        }
        Requirement::Belongs { does: true, .. } => Ok(Reason::Belongs),
        Requirement::Belongs { does: false, .. } if principal.admin => Ok(Reason::Admin),
        Requirement::Belongs { does: false, .. } => Err(Reason::Absent("there is no such workspace")),
        Requirement::Nothing
        | Requirement::SignedIn
        | Requirement::Admin(_)
        | Requirement::Absent(_)
        | Requirement::NoName(_)
        | Requirement::Nobody(_) => judge(Some(principal), requirement),
    }
}

/// A rule adds to what is held on the workspace. It is no grant: it rescues from no DENY there.
fn creates(principal: &Principal, kind: Kind, name: &str, workspace: &Resource) -> Result<Reason, Reason> {
    if let Some(ceiling) = principal.identity.ceiling() {
        ceiling.admits_new(principal, kind, name)?;
    }
    let refused = match owner_holds(principal, Action::Create, workspace) {
        Ok(reason) => return Ok(reason),
        Err(denied @ Reason::Grant { permission: Permission::Deny, .. }) => return Err(denied),
        Err(reason) => reason,
    };
    let rule = principal.grants.iter().find_map(|set| Some((set, set.creates(kind, name)?)));
    match rule {
        Some((set, pattern)) => Ok(Reason::Rule {
            subject: set.subject().clone(),
            role: set.role().cloned(),
            kind,
            pattern: pattern.clone(),
        }),
        None => Err(refused),
    }
}

fn among(
    principal: &Principal,
    action: Option<Action>,
    resource: &Resource,
    named: &[Named],
) -> Result<Reason, Reason> {
    if principal.admin {
        return Ok(Reason::Admin);
    }
    let mut refused = match action.map(|action| holds(principal, action, resource)) {
        Some(Ok(reason)) => return Ok(reason),
        Some(Err(reason)) => Some(reason),
        None => None,
    };
    let caller = principal.identity.user.as_str();
    for Named { users, least } in named {
        if users.iter().any(|user| **user == *caller) {
            // INVARIANT: being named rescues from no DENY, since `holds` refuses it whatever the action is.
            match holds(principal, *least, resource) {
                Ok(reason) => return Ok(Reason::Named(Box::new(reason))),
                Err(reason) => refused = Some(reason),
            }
        }
    }
    Err(refused.unwrap_or_else(|| Reason::NotNamed(resource.object.clone())))
}

fn not_denied(principal: &Principal, resource: &Resource) -> Result<Reason, Reason> {
    if principal.admin {
        return Ok(Reason::Admin);
    }
    if let Some(ceiling) = principal.identity.ceiling()
        // What comes to be called so is asked for besides.
        && resource.object.kind != Kind::ExperimentName
    {
        ceiling.reaches(principal, resource)?;
    }
    let workspace = principal.workspace.object();
    for object in resource.levels().chain([&workspace]) {
        if let Some((reason, Permission::Deny)) = strongest(principal, Action::Read, object, |_| true) {
            return Err(reason);
        }
        if principal.lacks_name_of(object) && principal.denies_names() {
            return Err(Reason::NameUnknown(object.clone()));
        }
    }
    Ok(Reason::NotDenied)
}

fn none_denied(principal: &Principal, kind: Kind) -> Result<Reason, Reason> {
    if principal.admin {
        return Ok(Reason::Admin);
    }
    // What a token does not reach is like denied. Of things that lie in others it reaches all or none: the others are
    // asked for besides.
    if let (Some(ceiling), Home::Workspace) = (principal.identity.ceiling(), kind.home()) {
        ceiling.reaches_all(principal)?;
    }
    let by_name = (kind == Kind::Experiment).then_some(Kind::ExperimentName);
    for (set, kind) in
        principal.grants.iter().flat_map(|set| std::iter::once(kind).chain(by_name).map(move |k| (set, k)))
    {
        let exact = set.exact(kind).map(|(id, permission)| (Pattern::Exactly(Arc::clone(id)), permission));
        let patterns = set.patterns(kind).map(|(pattern, permission)| (pattern.clone(), permission));
        for (pattern, permission) in exact.chain(patterns) {
            if permission == Permission::Deny {
                let (subject, role) = (set.subject().clone(), set.role().cloned());
                return Err(Reason::Grant { subject, role, kind, pattern, permission, action: Action::Read });
            }
        }
    }
    Ok(Reason::NotDenied)
}

/// Whether `principal` may do `action` on `resource`, and which grant says so.
///
/// # Errors
/// The reason why not.
pub fn holds(principal: &Principal, action: Action, resource: &Resource) -> Result<Reason, Reason> {
    // INVARIANT: a ceiling only takes away. What it admits is judged as ever.
    if let Some(ceiling) = principal.identity.ceiling() {
        ceiling.admits(principal, action, resource)?;
    }
    owner_holds(principal, action, resource)
}

/// The same, whatever the credential is for.
fn owner_holds(principal: &Principal, action: Action, resource: &Resource) -> Result<Reason, Reason> {
    if principal.admin {
        return Ok(Reason::Admin);
    }
    let workspace = principal.workspace.object();
    let mut own: Option<Reason> = None;
    let mut outer: Option<Reason> = None;
    let mut unnamed: Option<&Object> = None;
    for object in resource.levels().chain((resource.object.kind != Kind::Workspace).then_some(&workspace)) {
        let level = strongest(principal, action, object, |_| true);
        if let Some((reason, Permission::Deny)) = level {
            // INVARIANT: a deny anywhere on the way out is final.
            return Err(reason);
        }
        if principal.lacks_name_of(object) {
            // INVARIANT: whoever a DENY on names speaks to gets nothing that has no known name.
            if principal.denies_names() {
                return Err(Reason::NameUnknown(object.clone()));
            }
            unnamed = Some(object);
        }
        let Some((reason, permission)) = level else { continue };
        // USE on the workspace says nothing of what lies in it; only MANAGE does.
        if object.kind == Kind::Workspace && resource.object.kind != Kind::Workspace && permission != Permission::Manage
        {
            continue;
        }
        let place = if *object == resource.object { &mut own } else { &mut outer };
        if place.is_none() {
            *place = Some(reason);
        }
    }
    if let Some(home) = &resource.within
        && own.is_some()
        && !outer.as_ref().is_some_and(|reason| reason.allows(Action::Read))
    {
        // Rule 5: what is granted on many reaches only into what may be read.
        own = strongest(principal, action, &resource.object, |held| matches!(held, Held::Exactly(_)))
            .map(|(reason, _)| reason);
        if own.is_none() {
            return Err(outer.unwrap_or(Reason::NoGrant { action: Action::Read, object: home.clone() }));
        }
    }
    match (own.or(outer), unnamed) {
        // By its name, something nearer may allow less. Whatever is no DENY allows to read.
        (Some(Reason::Grant { kind: Kind::Workspace, .. }), Some(object)) if action != Action::Read => {
            Err(Reason::NameUnknown(object.clone()))
        }
        (decided, _) => match decided {
            Some(reason) if reason.allows(action) => Ok(reason),
            Some(reason) => Err(reason),
            None => Err(Reason::NoGrant { action, object: resource.object.clone() }),
        },
    }
}

/// The deciding grant on one object: a DENY if there is one, else the highest.
pub(super) fn strongest(
    principal: &Principal,
    action: Action,
    object: &Object,
    counts: impl Fn(Held<'_>) -> bool,
) -> Option<(Reason, Permission)> {
    let mut best: Option<(&GrantSet, &Object, Held<'_>, Permission)> = None;
    // What an experiment is called stands beside its id, on one level.
    let name = principal.named(object);
    for set in &principal.grants {
        let by_name = name.iter().filter(|_| set.speaks_of_names());
        let spoken = std::iter::once(object).chain(by_name).flat_map(|one| set.on(one).map(move |held| (one, held)));
        for (one, (held, permission)) in spoken.filter(|(_, (held, _))| counts(*held)) {
            let better = match best {
                None => true,
                Some((.., Permission::Deny)) => false,
                Some((.., known)) => permission == Permission::Deny || permission.strength() > known.strength(),
            };
            if better {
                best = Some((set, one, held, permission));
            }
        }
    }
    best.map(|(set, one, held, permission)| {
        let reason = Reason::Grant {
            subject: set.subject().clone(),
            role: set.role().cloned(),
            kind: one.kind,
            pattern: held.to_pattern(),
            permission,
            action,
        };
        (reason, permission)
    })
}

/// Whether `principal` may see `resource`: the fold of single reads, for lists.
#[must_use]
pub fn visible(principal: &Principal, resource: &Resource) -> bool {
    holds(principal, Action::Read, resource).is_ok()
}

/// What part of the things of one kind a principal may see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Visible {
    /// Every one: nothing needs to be filtered.
    All,
    /// These and no others: the request can be narrowed to them.
    Only(Vec<Arc<str>>),
    /// It depends on each one's name: the answer must be filtered.
    Some,
}

/// Which things of `kind` (an experiment or a registered model) `principal` may see.
#[must_use]
pub fn visible_of(principal: &Principal, kind: Kind) -> Visible {
    match principal.identity.ceiling() {
        Some(ceiling) => visible_below(principal, ceiling, kind),
        None => owner_sees(principal, kind),
    }
}

/// The same under a ceiling: nothing but what it reaches.
fn visible_below(principal: &Principal, ceiling: &Ceiling, kind: Kind) -> Visible {
    let owner = owner_sees(principal, kind);
    let reached: Vec<&Scope> = match &ceiling.only {
        _ if ceiling.is_elsewhere(principal) => return Visible::Only(Vec::new()),
        None => return owner,
        Some(only) => only.iter().filter(|scope| scope.kind == kind).collect(),
    };
    let by_name = kind == Kind::Experiment && ceiling.speaks_of_names();
    let mut exact: Vec<Arc<str>> = Vec::new();
    for scope in reached {
        match &scope.pattern {
            Pattern::Exactly(id) => exact.push(Arc::clone(id)),
            Pattern::Prefix(prefix) if prefix.is_empty() => return owner,
            Pattern::Prefix(_) | Pattern::Glob(_) => return Visible::Some,
        }
    }
    if by_name || (kind == Kind::Experiment && !exact.is_empty() && principal.speaks_of_names()) {
        // Which experiments are called so, MLflow alone knows.
        return if owner == Visible::Only(Vec::new()) { owner } else { Visible::Some };
    }
    exact.retain(|id| visible(principal, &Resource::top(kind, Arc::clone(id))));
    exact.sort_unstable();
    exact.dedup();
    Visible::Only(exact)
}

/// The same, whatever the credential is for.
fn owner_sees(principal: &Principal, kind: Kind) -> Visible {
    if principal.admin {
        return Visible::All;
    }
    let everything = match strongest(principal, Action::Read, &principal.workspace.object(), |_| true) {
        Some((_, Permission::Deny)) => return Visible::Only(Vec::new()),
        Some((_, Permission::Manage)) => true,
        _ => false,
    };
    let mut exact: Vec<Arc<str>> = Vec::new();
    let mut denied = false;
    let mut patterns = false;
    let mut all = everything;
    for set in &principal.grants {
        for (id, permission) in set.exact(kind) {
            if permission == Permission::Deny {
                denied = true;
            }
            exact.push(Arc::clone(id));
        }
        for (pattern, permission) in set.patterns(kind) {
            match (pattern.is_everything(), permission) {
                (true, Permission::Deny) => return Visible::Only(Vec::new()),
                (false, Permission::Deny) => denied = true,
                (true, _) => all = true,
                (false, _) => patterns = true,
            }
        }
    }
    if kind == Kind::Experiment && principal.speaks_of_names() {
        // Which experiments are called so, MLflow alone knows.
        let gives = |set: &&Arc<GrantSet>| {
            let named = Kind::ExperimentName;
            let exact = set.exact(named).map(|(_, permission)| permission);
            exact.chain(set.patterns(named).map(|(_, permission)| permission)).any(|held| held != Permission::Deny)
        };
        patterns |= principal.grants.iter().any(|set| gives(&set));
        denied |= principal.denies_names();
        // One that is granted by its id may be denied by its name.
        patterns |= denied && !exact.is_empty();
    }
    match (all, denied, patterns) {
        (true, false, _) => Visible::All,
        (true, true, _) | (false, _, true) => Visible::Some,
        (false, _, false) => {
            exact.retain(|id| visible(principal, &Resource::top(kind, Arc::clone(id))));
            exact.sort_unstable();
            exact.dedup();
            Visible::Only(exact)
        }
    }
}
