//! What does somebody read whom the decision refused?
//!
//! What was wanted of what, what they hold, and who can grant it: but only of what they may see. Of everything else they
//! read the same, whether it is hidden or not there ([`HIDDEN`]), with the two exceptions that MLflow's client needs
//! ([`as_absent`]). Nothing else in the house says whether something exists.

use std::sync::Arc;

use http::StatusCode;

use super::faults::no_such_workspace;
use super::refusal::Refusal;
use super::{Gate, House};
use crate::access::decide::{Denial, Reason, Requirement, holds, visible};
use crate::access::grant::Subject;
use crate::access::identity::Principal;
use crate::mlflow::error::ErrorCode;
use crate::mlflow::ids::WorkspaceName;
use crate::mlflow::permission::{Action, Permission};
use crate::mlflow::resource::{Kind, Resource};
use crate::policy::classify::Call;
use crate::policy::fields::Fields;
use crate::policy::route::{Need, Scope};
use crate::store::Store;
use crate::upstream::Upstream;

/// What is read of something that is hidden, and of something that is not there.
const HIDDEN: &str = "needs a permission that you do not have";
/// What is added where the caller came with a token that was narrowed.
const NARROWED: &str = ", or the access token is not for it";
/// How many holders of MANAGE are named.
const MOST_NAMED: usize = 3;

impl Gate {
    /// The decision said no. Whom to ask may hang on what an experiment is called: MLflow is asked for that where anybody
    /// holds anything by name, of what the caller may see.
    pub(super) async fn denied(
        &self,
        denial: Denial,
        call: &Call,
        fields: &Fields,
        mut asker: Option<Arc<Principal>>,
        upstream: &Upstream,
    ) -> Refusal {
        let House { store, resolver, .. } = &*self.house;
        if let (Some(who), Some(resource)) = (&asker, denial.requirement.resource())
            && let Some(experiment) = resource.experiment()
            && store.speaks_of_names()
            && !who.names.knows(experiment)
            && visible(who, resource)
        {
            // Where MLflow does not tell, those who hold it by name are not named.
            let called = resolver.called([Arc::clone(experiment)], upstream).await.unwrap_or_default();
            asker = Some(Arc::new(who.knowing(called)));
        }
        denied(denial, call, fields, asker.as_deref(), store)
    }
}

fn denied(denial: Denial, call: &Call, fields: &Fields, principal: Option<&Principal>, store: &Store) -> Refusal {
    if let (Scope::Workspaces, Requirement::Holds { resource, .. }) = (call.row.scope, &denial.requirement)
        && let Ok(workspace) = WorkspaceName::parse(&resource.object.id)
    {
        let mut absent = no_such_workspace(&workspace);
        absent.grant = Some(Box::new(denial.reason));
        return absent;
    }
    if let (Some(switch), Requirement::Nobody(why)) = (call.row.switch(), &denial.requirement)
        && *why == switch.why()
    {
        let (status, code) = (StatusCode::NOT_IMPLEMENTED, ErrorCode::NotImplemented);
        let mut closed = Refusal::new(status, code, denial.reason.code(), format!("{} here: {why}.", switch.lack()));
        closed.grant = Some(Box::new(denial.reason));
        return closed;
    }
    let managers = |resource: &Resource| {
        let called = |asker: &Principal| asker.names.of(resource.experiment()?).cloned();
        principal.map_or_else(Vec::new, |asker| {
            store.managers(&asker.workspace, resource, called(asker).as_ref(), MOST_NAMED)
        })
    };
    let mut refusal = as_absent(&denial, call, fields).unwrap_or_else(|| {
        let message = told(&denial, call, principal, managers);
        Refusal::new(StatusCode::FORBIDDEN, ErrorCode::PermissionDenied, denial.reason.code(), message)
    });
    refusal.grant = Some(Box::new(denial.reason));
    refusal
}

/// Where MLflow's client must learn that a name is free, a hidden one looks free, to the letter of MLflow's own answer:
///
/// - an experiment by its name (3.17.2, `_get_experiment_by_name`): `set_experiment` creates it then;
/// - a registered model or a prompt (`SqlAlchemyStore.get_registered_model`), for those who may do it with a thing of the
///   other kind: `load_prompt(allow_missing=True)` and `register_prompt` ask so.
///
/// Whoever then makes one of that name reads `RESOURCE_ALREADY_EXISTS` from MLflow: names are unique on the server.
fn as_absent(denial: &Denial, call: &Call, fields: &Fields) -> Option<Refusal> {
    let named = call.row.needs.iter().find_map(|need| match need {
        Need::OnExperimentNamed { field, .. } => fields.one(field),
        _ => None,
    });
    let message = match (&denial.requirement, named) {
        (Requirement::NoName(name), _) => format!("Registered Model with name={name} not found"),
        (_, Some(name)) => format!("Could not find experiment with name '{name}'"),
        (_, None) => return None,
    };
    let code = ErrorCode::ResourceDoesNotExist;
    let mut absent = Refusal::new(StatusCode::NOT_FOUND, code, denial.reason.code(), message);
    absent.verbatim = true;
    Some(absent)
}

fn told(
    denial: &Denial,
    call: &Call,
    principal: Option<&Principal>,
    managers: impl Fn(&Resource) -> Vec<Subject>,
) -> String {
    let name = call.row.name;
    // Said whatever it is that lies out of its reach: hidden, absent and out of reach read the same.
    let narrowed = principal.and_then(|principal| principal.identity.ceiling()).map_or("", |_| NARROWED);
    let hidden = || format!("Permission denied: {name} {HIDDEN}{narrowed}.");
    match &denial.requirement {
        Requirement::Nobody(why) => format!("Not available through Trackgate ({name}): {why}."),
        Requirement::Admin(why) => format!("Permission denied: {name} is for administrators here: {why}."),
        // Whether there is one already, or only the right to make one is missing: the two read the same.
        Requirement::Holds { resource, .. }
            if resource.object.kind == Kind::Workspace
                && call.row.needs.iter().any(|need| matches!(need, Need::OnOrCreate { .. })) =>
        {
            hidden()
        }
        // Whether there is such a role is known to those who may see it.
        Requirement::Holds { .. } if call.row.needs.iter().any(|need| matches!(need, Need::OnRole { .. })) => hidden(),
        Requirement::Holds { action, resource } => match principal {
            Some(principal) => wanted(name, *action, resource, principal, managers).unwrap_or_else(hidden),
            None => hidden(),
        },
        Requirement::Creates { workspace, .. } => match principal {
            Some(principal) => wanted(name, Action::Create, workspace, principal, managers).unwrap_or_else(hidden),
            None => hidden(),
        },
        // Only those whom a queue names can know of it.
        Requirement::Among { action, resource, named } => match (principal, action) {
            (Some(principal), Some(action))
                if named
                    .iter()
                    .any(|named| named.users.iter().any(|user| **user == *principal.identity.user.as_str())) =>
            {
                wanted(name, *action, resource, principal, managers).unwrap_or_else(hidden)
            }
            (Some(principal), None) if visible(principal, resource) => {
                format!(
                    "Permission denied: {name} is for those whom {} names, and for administrators.",
                    spoken(resource)
                )
            }
            _ => hidden(),
        },
        Requirement::Tokens { .. } if denial.reason == Reason::ByToken => {
            format!("Permission denied: {name} is not done with an access token. Sign in with a browser.")
        }
        Requirement::Another(_) => format!("Permission denied: {name} is for giving permissions to others."),
        Requirement::Oneself { .. } => {
            format!("Permission denied: {name} tells of yourself alone; of others it is for administrators.")
        }
        Requirement::Lastingly { .. } => {
            format!("Permission denied: {name} would give for longer than you hold it yourself.")
        }
        Requirement::Absent(_)
        | Requirement::NoName(_)
        | Requirement::Whole(_)
        | Requirement::Bears { .. }
        | Requirement::Tokens { .. }
        | Requirement::Belongs { .. }
        | Requirement::NotDenied(_)
        | Requirement::NoneDenied(_)
        | Requirement::Nothing
        | Requirement::SignedIn => hidden(),
    }
}

/// What was wanted; `None` of what the caller may not see.
fn wanted(
    name: &str,
    action: Action,
    resource: &Resource,
    principal: &Principal,
    managers: impl Fn(&Resource) -> Vec<Subject>,
) -> Option<String> {
    let workspace = resource.object.kind == Kind::Workspace;
    if !workspace && !visible(principal, resource) {
        return None;
    }
    let held = match holds(principal, action, resource) {
        // Rights on the workspace are no secret, but a veto is.
        Err(Reason::Grant { permission: Permission::Deny, .. }) if !workspace => return None,
        Err(Reason::AboveCeiling { most, .. }) => {
            let what = spoken(resource);
            return Some(format!(
                "Permission denied: {name} needs {} on {what}, and this access token is for {most} at most. Use another \
                 one.",
                least(action)
            ));
        }
        Err(Reason::Grant { permission, .. }) if permission != Permission::Deny => permission.as_str(),
        _ => "nothing",
    };
    // A workspace in which the caller has no business looks like one that is not there: it has no managers.
    let known = !workspace || principal.workspace.is_default() || principal.belongs();
    let who = match &*(if known { managers(resource) } else { Vec::new() }) {
        [] => "an administrator".to_owned(),
        some => some
            .iter()
            .map(|subject| match subject {
                Subject::User(name) => name.to_string(),
                Subject::Group(name) => format!("the group {name}"),
                Subject::Role(id) => format!("whoever has role {id}"),
            })
            .collect::<Vec<_>>()
            .join(" or "),
    };
    let what = spoken(resource);
    Some(format!("Permission denied: {name} needs {} on {what}; you hold {held}. Ask {who} for it.", least(action)))
}

/// The lowest permission that allows it.
fn least(action: Action) -> Permission {
    [Permission::Read, Permission::Use, Permission::Edit]
        .into_iter()
        .find(|permission| permission.allows(action))
        .unwrap_or(Permission::Manage)
}

/// `run 0123... in experiment 7`, `registered model iris`.
fn spoken(resource: &Resource) -> String {
    if resource.object.kind == Kind::Workspace {
        return "the workspace".to_owned();
    }
    let levels: Vec<String> = resource
        .levels()
        .map(|object| match (object.kind.as_str().replace('_', " "), &*object.id) {
            (kind, _) if object.is_nameless() => format!("every {kind}"),
            (kind, id) => format!("{kind} {id}"),
        })
        .collect();
    levels.join(" in ")
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::access::grant::{GrantSet, Pattern};
    use crate::access::identity::{Identity, Names, Proof};
    use crate::mlflow::ids::UserName;
    use crate::mlflow::resource::Object;
    use crate::policy::classify::{Classified, classify};
    use crate::policy::path::Path;
    use crate::policy::route::Verb;

    fn ann(grants: &[(Kind, &str, Permission)]) -> Principal {
        let user = UserName::parse("ann").unwrap();
        let mut set = GrantSet::new(Subject::User(user.clone()));
        for (kind, pattern, permission) in grants {
            set.insert(*kind, Pattern::parse(*kind, pattern).unwrap(), *permission);
        }
        let (issuer, subject, groups) = ("test".into(), "ann".into(), Vec::new());
        let (proof, until) = (Proof::Bearer, SystemTime::UNIX_EPOCH);
        let identity = Arc::new(Identity { user, issuer, subject, groups, proof, until, token: None });
        Principal {
            identity,
            admin: false,
            workspace: WorkspaceName::default(),
            grants: vec![Arc::new(set)],
            names: Names::default(),
        }
    }

    fn say(requirement: Requirement, principal: &Principal, managers: &[&str]) -> String {
        let path = Path::parse("/api/2.0/mlflow/runs/delete").unwrap();
        let Classified::Call(call) = classify(Verb::Post, &path) else { panic!() };
        let denial = Denial { requirement, reason: Reason::Absent("x") };
        told(&denial, &call, Some(principal), |_| managers.iter().map(|name| name.parse().unwrap()).collect())
    }

    fn run(action: Action) -> Requirement {
        let experiment = Object { kind: Kind::Experiment, id: "7".into() };
        Requirement::Holds { action, resource: Resource::inside(Kind::Run, "abc".into(), experiment) }
    }

    #[test]
    fn whoever_may_see_it_reads_what_was_wanted_what_they_hold_and_who_can_grant_it() {
        let reader = ann(&[(Kind::Experiment, "7", Permission::Read)]);
        let who = ["user:bob@example.com", "group:leads"];
        assert_eq!(
            say(run(Action::Delete), &reader, &who),
            "Permission denied: DeleteRun needs MANAGE on run abc in experiment 7; you hold READ. Ask \
             bob@example.com or the group leads for it."
        );
        assert_eq!(
            say(run(Action::Edit), &reader, &[]),
            "Permission denied: DeleteRun needs EDIT on run abc in experiment 7; you hold READ. Ask an \
             administrator for it."
        );
        let create = Requirement::Holds { action: Action::Create, resource: Resource::workspace() };
        assert_eq!(
            say(create, &reader, &[]),
            "Permission denied: DeleteRun needs USE on the workspace; you hold nothing. Ask an administrator for it."
        );
    }

    #[test]
    fn who_manages_a_workspace_is_told_to_those_who_belong_to_it_alone() {
        let manages = |workspace: &WorkspaceName| Requirement::Holds {
            action: Action::Manage,
            resource: Resource::of_workspace(workspace),
        };
        let there = WorkspaceName::parse("team-b").unwrap();
        let member = Principal { workspace: there.clone(), ..ann(&[(Kind::Experiment, "7", Permission::Read)]) };
        let stranger = Principal { workspace: there.clone(), ..ann(&[]) };
        let asked = |principal: &Principal| say(manages(&there), principal, &["user:bob"]);
        assert!(asked(&member).contains("Ask bob for it") && !asked(&stranger).contains("bob"));
        // The one that everybody knows of hides nobody.
        assert!(say(manages(&WorkspaceName::default()), &ann(&[]), &["user:bob"]).contains("Ask bob for it"));
    }

    #[test]
    fn of_what_is_hidden_nothing_is_told_and_absent_things_read_the_same() {
        let hidden = "Permission denied: DeleteRun needs a permission that you do not have.";
        let stranger = ann(&[]);
        let denied = ann(&[(Kind::Experiment, "7", Permission::Manage), (Kind::Run, "*", Permission::Deny)]);
        for principal in [&stranger, &denied] {
            assert_eq!(say(run(Action::Delete), principal, &["user:bob"]), hidden);
            assert_eq!(say(Requirement::Absent("there is no such object"), principal, &["user:bob"]), hidden);
        }
    }
}
