//! How is a requirement written down, so that it can be judged again?
//!
//! As a list of words: what is asked, then the object and what it lies in. Audit records carry these, and `policy replay`
//! reads them with another policy at hand.

use std::sync::Arc;

use super::decide::{Named, Requirement};
use crate::mlflow::permission::Action;
use crate::mlflow::resource::{Object, Resource};

/// Why something was asked is not written down.
const ONCE: &str = "as it was asked";

/// The words of a requirement. `None`: it depends on no policy, or on more than words say.
#[must_use]
pub fn write(requirement: &Requirement) -> Option<Vec<&str>> {
    Some(match requirement {
        Requirement::SignedIn => vec!["signed-in"],
        Requirement::Admin(_) => vec!["admin"],
        Requirement::Absent(_) => vec!["absent"],
        Requirement::NoName(name) => vec!["no-name", name],
        Requirement::Nobody(_) => vec!["nobody"],
        Requirement::Holds { action, resource } => {
            let mut words = vec!["holds", action.as_str()];
            place(&mut words, resource);
            words
        }
        Requirement::Creates { kind, name, workspace } => {
            let mut words = vec!["creates", kind.as_str(), name];
            place(&mut words, workspace);
            words
        }
        Requirement::NotDenied(resource) => {
            let mut words = vec!["not-denied"];
            place(&mut words, resource);
            words
        }
        Requirement::NoneDenied(kind) => vec!["none-denied", kind.as_str()],
        Requirement::Among { action, resource, named } => {
            let mut words = vec!["among", action.map_or("-", Action::as_str)];
            let within = resource.within.as_ref();
            words.extend([resource.object.kind.as_str(), &resource.object.id]);
            words.push(within.map_or("-", |object| object.kind.as_str()));
            words.push(within.map_or("-", |object| &object.id));
            for Named { users, least } in named {
                for user in users {
                    words.extend([least.as_str(), user]);
                }
            }
            words
        }
        // Whoever may do it unasked may do it under any policy.
        _ => return None,
    })
}

fn place<'a>(words: &mut Vec<&'a str>, resource: &'a Resource) {
    for object in resource.levels() {
        words.extend([object.kind.as_str(), &object.id]);
    }
}

/// What such words ask. `None`: they are not understood.
#[must_use]
pub fn read(words: &[&str]) -> Option<Requirement> {
    Some(match words {
        ["signed-in"] => Requirement::SignedIn,
        ["admin"] => Requirement::Admin(ONCE),
        ["absent"] => Requirement::Absent("it did not exist"),
        ["no-name", name] => Requirement::NoName(Arc::from(*name)),
        ["nobody"] => Requirement::Nobody(ONCE),
        ["none-denied", kind] => Requirement::NoneDenied(kind.parse().ok()?),
        ["not-denied", object @ ..] => Requirement::NotDenied(resource(object)?),
        ["creates", kind, name, object @ ..] => {
            Requirement::Creates { kind: kind.parse().ok()?, name: Arc::from(*name), workspace: resource(object)? }
        }
        ["holds", action, object @ ..] => {
            Requirement::Holds { action: self::action(action)?, resource: resource(object)? }
        }
        ["among", word, kind, id, in_kind, in_id, named @ ..] => {
            let resource =
                if *in_kind == "-" { resource(&[kind, id])? } else { resource(&[kind, id, in_kind, in_id])? };
            let mut people = Vec::new();
            for pair in named.chunks(2) {
                let [least, user] = pair else { return None };
                people.push(Named { users: vec![Arc::from(*user)], least: action(least)? });
            }
            let action = if *word == "-" { None } else { Some(action(word)?) };
            Requirement::Among { action, resource, named: people }
        }
        _ => return None,
    })
}

fn resource(words: &[&str]) -> Option<Resource> {
    let object = |kind: &str, id: &str| Some(Object { kind: kind.parse().ok()?, id: Arc::from(id) });
    match words {
        [kind, id] => Some(Resource { object: object(kind, id)?, within: None }),
        [kind, id, in_kind, in_id] => {
            Some(Resource { object: object(kind, id)?, within: Some(object(in_kind, in_id)?) })
        }
        _ => None,
    }
}

fn action(word: &str) -> Option<Action> {
    use Action::{Create, Delete, Edit, Manage, Read, Use};
    [Read, Use, Edit, Delete, Manage, Create].into_iter().find(|action| action.as_str() == word)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mlflow::resource::Kind;

    #[test]
    fn a_requirement_is_read_as_it_was_written() {
        let run = Resource::inside(Kind::Run, Arc::from("r"), Object { kind: Kind::Experiment, id: Arc::from("7") });
        let model = Resource::top(Kind::RegisteredModel, Arc::from("a b - \"c\""));
        let named = |user: &str, least| Named { users: vec![Arc::from(user)], least };
        for requirement in [
            Requirement::SignedIn,
            Requirement::Admin(ONCE),
            Requirement::Absent("it did not exist"),
            Requirement::NoName(Arc::from("x")),
            Requirement::Creates {
                kind: Kind::Experiment,
                name: Arc::from("research/x"),
                workspace: Resource::workspace(),
            },
            Requirement::Nobody(ONCE),
            Requirement::Holds { action: Action::Delete, resource: run.clone() },
            Requirement::Holds { action: Action::Create, resource: model.clone() },
            Requirement::NotDenied(run.clone()),
            Requirement::NoneDenied(Kind::Scorer),
            Requirement::Among { action: None, resource: model, named: vec![] },
            Requirement::Among {
                action: Some(Action::Edit),
                resource: run,
                named: vec![named("-", Action::Read), named("bob", Action::Use)],
            },
        ] {
            assert_eq!(read(&write(&requirement).unwrap()), Some(requirement));
        }
        assert_eq!(write(&Requirement::Nothing), None);
        for words in [&[][..], &["holds"], &["holds", "fly", "run", "x"], &["holds", "read", "run"], &["castle"]] {
            assert_eq!(read(words), None, "{words:?}");
        }
    }
}
