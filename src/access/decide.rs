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

use std::sync::Arc;

use super::grant::{GrantSet, Held, Pattern};
use super::identity::Principal;
use super::people;
pub use super::reason::Reason;
pub use super::requirement::{Named, Requirement};
pub use super::visible::{Visible, visible, visible_of};
use crate::mlflow::permission::{Action, Permission};
use crate::mlflow::resource::{Home, Kind, Object, Resource};

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
