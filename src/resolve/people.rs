//! What do calls about people, roles and permissions ask for?
//!
//! MLflow knows nothing of these: the store does, and whoever asks brings along what it knows ([`Known`]). Where nothing is
//! brought along, nothing is allowed to anybody but administrators.

use std::sync::Arc;

use super::{Ask, ByName, ResolveFault, Resolved, Resolver};
use crate::access::decide::Requirement;
use crate::access::identity::Principal;
use crate::mlflow::granting::{Calls, Holder, Target, Which};
use crate::mlflow::permission::{Action, Permission};
use crate::mlflow::resource::{Kind, Object, Resource};
use crate::policy::fields::Fields;
use crate::policy::route::{Answer, Need, RoleRight, Row, Take, What};

const ALL_WORKSPACES: &str = "without a workspace, the roles of all of them are listed";
const NO_ROLE: &str = "there is no such role";
const NO_TOKEN: &str = "there is no such token";
const NOT_BOTH: &str = "the request names nothing that permissions are given on";

/// What the store knows of what a call is about.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// The role that the call names, by itself or by one of its permissions.
    pub role: Option<KnownRole>,
    /// The caller with what they hold for as long as what they would give.
    pub lasting: Option<Arc<Principal>>,
    /// Until when they would give it, in milliseconds since the epoch; `None`: for good.
    pub until: Option<u64>,
    /// Whether the caller has some business in each workspace that the call names.
    pub belongs: bool,
    /// The tokens that the call is about.
    pub tokens: Option<KnownTokens>,
    /// Whom the call asks about, with what they hold where it is about.
    pub about: Option<Arc<Principal>>,
    /// Who else holds what by an experiment's name, where the call may give one another.
    pub by_name: Option<ByName>,
}

/// What the store knows of the tokens that a call is about.
#[derive(Debug, Clone)]
pub struct KnownTokens {
    /// Whose they are.
    pub of: Arc<str>,
    /// Whether that is a service account.
    pub service: bool,
    /// Whether the caller looks after it.
    pub looks_after: bool,
}

/// What the store knows of a role.
#[derive(Debug, Clone)]
pub struct KnownRole {
    /// Its number.
    pub id: u64,
    /// `role:NAME`, or whose hidden role it is (`user:NAME`, `group:NAME`).
    pub whose: Arc<str>,
    /// Whether the caller has it.
    pub has: bool,
    /// What it holds permissions on, and how much, as far as the call is about them.
    pub on: Vec<(Target, Permission)>,
}

/// Whether the row gives, takes or tells a permission on one thing, by its name.
pub(super) fn on_one_thing(row: &Row) -> bool {
    let named = |what: What| matches!(what, What::Named { .. } | What::One { .. });
    row.answer == Answer::Served
        && row.needs.iter().any(|need| match *need {
            Need::Gives { what, .. } | Need::Takes { what, .. } => named(what),
            Need::On { .. } => true,
            _ => false,
        })
}

impl Resolver {
    /// MANAGE on all that a change of permissions is about. What is `given` on something reaches into what lies in it: as much
    /// must be held there.
    pub(super) async fn on_what<A: Ask>(
        &self,
        (what, gives): (What, bool),
        known: &Known,
        fields: &Fields,
        upstream: &A,
        resolved: &mut Resolved,
    ) -> Result<(), ResolveFault> {
        let level = what.level().and_then(|field| fields.one(field)?.parse::<Permission>().ok());
        // What cannot be read as a level is refused by whoever answers.
        let given = |own: Option<Permission>| gives.then(|| level.or(own).unwrap_or(Permission::Manage));
        match what {
            What::Named { kind, id, calls, .. } => match fields.target(kind, id, calls) {
                Ok(target) => self.on_target(&target, given(None), upstream, resolved).await?,
                // The fields were read before: this is not reached.
                Err(_) => resolved.ask(Requirement::Nobody(NOT_BOTH)),
            },
            What::One { kind, field, .. } => {
                for id in fields.each(field) {
                    self.on_one(kind, id, given(None), upstream, resolved).await?;
                }
            }
            What::Workspace { .. } => resolved.ask(Requirement::Whole(Kind::Workspace)),
            What::OfRole { .. } => {
                let Some(role) = &known.role else {
                    resolved.ask(Requirement::Absent(NO_ROLE));
                    return Ok(());
                };
                for (target, held) in &role.on {
                    self.on_target(target, given(Some(*held)), upstream, resolved).await?;
                }
            }
        }
        Ok(())
    }

    async fn on_target<A: Ask>(
        &self,
        target: &Target,
        given: Option<Permission>,
        upstream: &A,
        resolved: &mut Resolved,
    ) -> Result<(), ResolveFault> {
        match &target.which {
            Which::Every | Which::Beginning(_) | Which::Matching(_) => {
                let id = Arc::from(target.which.to_string());
                resolved.name_object(Object { kind: target.kind, id });
                resolved.ask(Requirement::Whole(target.kind));
                Ok(())
            }
            // Whoever is called so now, another may be later: it is a pattern like any other.
            Which::One(name) if target.kind == Kind::ExperimentName => {
                resolved.name_object(Object { kind: target.kind, id: Arc::from(name.as_str()) });
                resolved.ask(Requirement::Whole(target.kind));
                Ok(())
            }
            Which::One(id) => self.on_one(target.kind, &Arc::from(id.as_str()), given, upstream, resolved).await,
        }
    }

    async fn on_one<A: Ask>(
        &self,
        kind: Kind,
        id: &Arc<str>,
        given: Option<Permission>,
        upstream: &A,
        resolved: &mut Resolved,
    ) -> Result<(), ResolveFault> {
        self.on(Action::Manage, kind, std::slice::from_ref(id), upstream, resolved).await?;
        let action = match given {
            None | Some(Permission::Deny) => return Ok(()),
            Some(Permission::Read) => Action::Read,
            Some(Permission::Use) => Action::Use,
            Some(Permission::Edit) => Action::Edit,
            Some(Permission::Manage) => Action::Manage,
        };
        for inner in inside(kind) {
            let home = Object { kind, id: Arc::clone(id) };
            self.hold_named(action, Some(Resource::all_in(*inner, home)), upstream, resolved).await?;
        }
        Ok(())
    }
}

/// What lies in a thing of this kind and is granted by itself.
fn inside(kind: Kind) -> &'static [Kind] {
    match kind {
        Kind::Experiment => &[Kind::Run, Kind::LoggedModel, Kind::Trace, Kind::Assessment, Kind::ReviewQueue],
        Kind::RegisteredModel => &[Kind::ModelVersion],
        Kind::Prompt => &[Kind::PromptVersion],
        Kind::Scorer => &[Kind::ScorerVersion],
        Kind::McpServer => &[Kind::McpServerVersion],
        _ => &[],
    }
}

/// The same, but what is given: for as long as it is given, and to somebody else.
pub(super) fn given(from: usize, to: Option<&str>, known: &Known, resolved: &mut Resolved) {
    let asked: Vec<Requirement> = resolved.requirements.iter().skip(from).cloned().collect();
    for requirement in asked {
        let (lasting, until) = (known.lasting.clone(), known.until);
        resolved.ask(Requirement::Lastingly { lasting, until, of: Box::new(requirement) });
    }
    // What is for a group is for many: being one of them raises nobody who manages what is given.
    if let Some(Ok(Holder::User(name))) = to.map(Holder::parse) {
        resolved.ask(Requirement::Another(name.to_shared()));
    }
}

pub(super) fn on_role(right: RoleRight, known: &Known, resolved: &mut Resolved) {
    match (&known.role, right) {
        (None, _) => resolved.ask(Requirement::Absent(NO_ROLE)),
        (Some(role), RoleRight::See) => {
            resolved.ask(Requirement::Bears { role: role.id, whose: Arc::clone(&role.whose), has: role.has });
        }
        (Some(_), RoleRight::Change) => resolved.manage_workspace(),
    }
}

pub(super) fn on_tokens(making: bool, known: &Known, resolved: &mut Resolved) {
    let Some(KnownTokens { of, service, looks_after }) = known.tokens.clone() else {
        resolved.ask(Requirement::Absent(NO_TOKEN));
        return;
    };
    resolved.ask(Requirement::Tokens { of, service, looks_after, making });
}

pub(super) fn in_each(field: &str, fields: &Fields, known: &Known, resolved: &mut Resolved) {
    match fields.each(field) {
        [] => resolved.ask(Requirement::Admin(ALL_WORKSPACES)),
        named => resolved.ask(Requirement::Belongs { to: named.to_vec(), does: known.belongs }),
    }
}

impl Resolved {
    /// MANAGE on the workspace that the caller acts in.
    pub(super) fn manage_workspace(&mut self) {
        let workspace = self.asker.as_ref().map(|asker| asker.workspace.clone()).unwrap_or_default();
        self.hold(Action::Manage, Resource::of_workspace(&workspace));
    }
}

impl Resolver {
    /// Looks up where the thing lies that the request names, whatever the caller may do with it.
    pub(super) async fn look_up<A: Ask>(
        &self,
        takes: &[Take],
        fields: &Fields,
        upstream: &A,
        resolved: &mut Resolved,
    ) -> Result<(), ResolveFault> {
        for take in takes {
            let Take::Thing { kind, id } = take else { continue };
            let Ok(target) = fields.target(kind, id, Calls::OfPeople) else { continue };
            resolved.thing = match &target.which {
                Which::One(id) => self.place(target.kind, id, upstream).await?,
                Which::Every | Which::Beginning(_) | Which::Matching(_) => {
                    Some(Resource::top(target.kind, Arc::from(target.which.to_string())))
                }
            };
        }
        Ok(())
    }
}
