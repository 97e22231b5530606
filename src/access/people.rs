//! May this caller give and take permissions, and look at other people?
//!
//! Three rules keep anybody from raising what they hold themselves, whatever they call in whichever order:
//! 1. Who gives or takes a permission manages all that it is about: the one object, or, for a pattern, every object that
//!    the pattern can speak of ([`whole`]). So nobody gives what they do not hold.
//! 2. Nobody gives for longer than they hold it themselves ([`lastingly`]).
//! 3. Nobody gives anything to themselves by name.
//!
//! MLflow 3.17.2 asks for MANAGE on the one object or on the workspace alone (`server/auth/__init__.py`,
//! `validate_can_manage_resource`, `validate_can_manage_roles`).

use std::sync::Arc;

use super::decide::{Reason, Requirement, holds, meets, strongest};
use super::grant::Pattern;
use super::identity::{Principal, Proof};
use crate::mlflow::permission::{Action, Permission};
use crate::mlflow::resource::{Home, Kind, Object, Resource};

/// Whether nothing that the caller holds speaks against MANAGE on any thing of the kind, on what such things lie in, and
/// on the workspace.
///
/// # Errors
/// The grant that does, or the want of one.
pub(super) fn whole(principal: &Principal, kind: Kind) -> Result<Reason, Reason> {
    let workspace = Resource::of_workspace(&principal.workspace);
    let managed = holds(principal, Action::Manage, &workspace)?;
    if principal.admin {
        return Ok(managed);
    }
    if kind == Kind::Workspace {
        // Whoever manages the workspace manages whatever lies in it.
        Kind::ALL.into_iter().try_for_each(|kind| all_of(principal, kind))?;
        return Ok(managed);
    }
    all_of(principal, kind)?;
    match kind.home() {
        // Some of what is granted on experiments is granted on their names, and the other way round.
        Home::Workspace if matches!(kind, Kind::Experiment | Kind::ExperimentName) => all_experiments(principal)?,
        Home::Workspace => {}
        Home::Experiment => all_experiments(principal)?,
        Home::Named(outer) => all_of(principal, outer)?,
    }
    Ok(managed)
}

fn all_experiments(principal: &Principal) -> Result<(), Reason> {
    all_of(principal, Kind::Experiment)?;
    all_of(principal, Kind::ExperimentName)
}

/// Whether each grant of the caller's on things of the kind, pooled with the others that speak of the same, is MANAGE.
fn all_of(principal: &Principal, kind: Kind) -> Result<(), Reason> {
    let manages =
        |id: &Arc<str>| match strongest(principal, Action::Manage, &Object { kind, id: Arc::clone(id) }, |_| true) {
            Some((reason, permission)) if permission != Permission::Manage => Err(reason),
            _ => Ok(()),
        };
    for set in &principal.grants {
        set.exact(kind).try_for_each(|(id, _)| manages(id))?;
        for (pattern, permission) in set.patterns(kind) {
            if permission != Permission::Manage {
                // Another one may allow more on some of what this one speaks of, and not on all.
                let (subject, role, pattern) = (set.subject().clone(), set.role().cloned(), Pattern::clone(pattern));
                return Err(Reason::Grant { subject, role, kind, pattern, permission, action: Action::Manage });
            }
        }
    }
    Ok(())
}

/// Whether the requirement would be met by what the caller holds for long enough alone.
///
/// # Errors
/// Why not.
pub(super) fn lastingly(
    principal: &Principal,
    lasting: Option<&Principal>,
    requirement: &Requirement,
) -> Result<Reason, Reason> {
    if principal.admin {
        return Ok(Reason::Admin);
    }
    let reason = lasting.ok_or(Reason::TooShort).and_then(|lasting| meets(lasting, requirement));
    reason.map_err(|_| Reason::TooShort)
}

/// Whether the caller is the person of this name, or manages the workspace where that is enough.
///
/// # Errors
/// Why not.
pub(super) fn oneself(principal: &Principal, name: &str, managers: bool) -> Result<Reason, Reason> {
    if principal.admin {
        return Ok(Reason::Admin);
    }
    if principal.identity.user.as_str() == name {
        return Ok(Reason::Oneself);
    }
    if managers {
        return holds(principal, Action::Manage, &Resource::of_workspace(&principal.workspace));
    }
    Err(Reason::Another)
}

/// Whether the caller is somebody else than the person of this name.
///
/// # Errors
/// [`Reason::ToOneself`].
pub(super) fn another(principal: &Principal, name: &str) -> Result<Reason, Reason> {
    match principal.identity.user.as_str() == name {
        _ if principal.admin => Ok(Reason::Admin),
        true => Err(Reason::ToOneself),
        false => Ok(Reason::NotOneself),
    }
}

/// Whether the caller may see, make or revoke the tokens of somebody: themselves, or as one who looks after a service
/// account.
///
/// # Errors
/// Why not. A token, be it an administrator's, makes and revokes none: one that was stolen would outlive its end.
pub(super) fn tokens(
    principal: &Principal,
    of: &str,
    (service, looks_after): (bool, bool),
    making: bool,
) -> Result<Reason, Reason> {
    if matches!(principal.identity.proof, Proof::Token | Proof::Bound) {
        return Err(Reason::ByToken);
    }
    if principal.identity.user.as_str() == of {
        return Ok(Reason::Oneself);
    }
    if looks_after {
        return Ok(Reason::LooksAfter);
    }
    // An administrator who made one for a person would act in their name.
    if principal.admin && (service || !making) { Ok(Reason::Admin) } else { Err(Reason::Another) }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::super::grant::{GrantSet, Subject};
    use super::super::identity::{Identity, Names, Proof};
    use super::*;
    use crate::mlflow::ids::{UserName, WorkspaceName};

    fn ann(admin: bool, grants: &[(&str, &str, Permission)]) -> Principal {
        let user = UserName::parse("ann").unwrap();
        let mut set = GrantSet::new(Subject::User(user.clone()));
        for (kind, pattern, permission) in grants {
            let kind = kind.parse().unwrap();
            set.insert(kind, Pattern::parse(kind, pattern).unwrap(), *permission);
        }
        let (issuer, subject, groups) = ("test".into(), "ann".into(), Vec::new());
        let identity = Identity { user, issuer, subject, groups, proof: Proof::Bearer, until: UNIX_EPOCH, token: None };
        let grants = vec![Arc::new(set)];
        Principal {
            identity: Arc::new(identity),
            admin,
            workspace: WorkspaceName::default(),
            grants,
            names: Names::default(),
        }
    }

    const ALL: (&str, &str, Permission) = ("workspace", "*", Permission::Manage);

    #[test]
    fn all_things_of_a_kind_are_managed_where_nothing_less_is_said_of_any() {
        use Permission::{Deny, Edit, Manage, Read, Use};
        assert!(whole(&ann(false, &[ALL]), Kind::Experiment).is_ok());
        assert!(whole(&ann(false, &[ALL, ("experiment", "*", Manage), ("run", "*", Manage)]), Kind::Run).is_ok());
        // A grant on another kind says nothing of this one.
        assert!(whole(&ann(false, &[ALL, ("registered_model", "a*", Read)]), Kind::Experiment).is_ok());
        for less in [Read, Use, Edit, Deny] {
            for grant in [("experiment", "7", less), ("experiment", "*", less)] {
                assert!(whole(&ann(false, &[ALL, grant]), Kind::Experiment).is_err(), "{grant:?}");
                // Nor what lies in it, nor the workspace that it lies in.
                assert!(whole(&ann(false, &[ALL, grant]), Kind::Run).is_err(), "{grant:?}");
                assert!(whole(&ann(false, &[ALL, grant]), Kind::Workspace).is_err(), "{grant:?}");
                assert!(whole(&ann(true, &[grant]), Kind::Workspace).is_ok());
            }
            let model = ("registered_model", "team-a", less);
            assert!(whole(&ann(false, &[ALL, model]), Kind::ModelVersion).is_err(), "{less}");
            assert!(whole(&ann(false, &[("workspace", "*", less)]), Kind::Experiment).is_err(), "{less}");
        }
        // MANAGE on everything of the kind is not MANAGE on the workspace.
        assert!(whole(&ann(false, &[("experiment", "*", Manage)]), Kind::Experiment).is_err());
    }

    #[test]
    fn nobody_gives_for_longer_than_they_hold_nor_to_themselves() {
        let manages = ann(false, &[("experiment", "7", Permission::Manage)]);
        let nothing = ann(false, &[]);
        let asked =
            Requirement::Holds { action: Action::Manage, resource: Resource::top(Kind::Experiment, "7".into()) };
        assert!(lastingly(&manages, Some(&manages), &asked).is_ok());
        assert_eq!(lastingly(&manages, Some(&nothing), &asked), Err(Reason::TooShort));
        assert_eq!(lastingly(&manages, None, &asked), Err(Reason::TooShort));
        assert!(lastingly(&ann(true, &[]), None, &asked).is_ok());
        assert_eq!(another(&manages, "ann"), Err(Reason::ToOneself));
        assert!(another(&manages, "bob").is_ok() && another(&ann(true, &[]), "ann").is_ok());
    }

    #[test]
    fn tokens_are_their_owners_and_never_made_by_a_token() {
        let (plain, admin) = (ann(false, &[]), ann(true, &[]));
        let person = (false, false);
        assert_eq!(tokens(&plain, "ann", person, true), Ok(Reason::Oneself));
        assert_eq!(tokens(&plain, "bob", person, false), Err(Reason::Another));
        assert_eq!(tokens(&plain, "svc:x", (true, false), false), Err(Reason::Another));
        assert_eq!(tokens(&plain, "svc:x", (true, true), true), Ok(Reason::LooksAfter));
        assert_eq!(tokens(&admin, "bob", person, false), Ok(Reason::Admin));
        assert_eq!(tokens(&admin, "bob", person, true), Err(Reason::Another), "nobody acts in another's name");
        assert_eq!(tokens(&admin, "svc:x", (true, false), true), Ok(Reason::Admin));
        for who in [plain, admin] {
            for proof in [Proof::Token, Proof::Bound] {
                let identity = Identity { proof, ..Identity::clone(&who.identity) };
                let stolen = Principal { identity: Arc::new(identity), ..who.clone() };
                for of in ["ann", "bob", "svc:x", "*"] {
                    assert_eq!(tokens(&stolen, of, (true, true), true), Err(Reason::ByToken), "{of}");
                    assert_eq!(tokens(&stolen, of, (false, false), false), Err(Reason::ByToken), "{of}");
                }
            }
        }
    }

    #[test]
    fn of_others_one_hears_where_one_manages_the_workspace() {
        let (plain, manager) = (ann(false, &[]), ann(false, &[ALL]));
        assert_eq!(oneself(&plain, "ann", false), Ok(Reason::Oneself));
        assert!(oneself(&plain, "bob", false).is_err() && oneself(&plain, "bob", true).is_err());
        assert!(oneself(&manager, "bob", true).is_ok() && oneself(&manager, "bob", false).is_err());
        assert!(oneself(&ann(true, &[]), "bob", false).is_ok());
        assert!(oneself(&plain, "Ann", true).is_err());
    }
}
