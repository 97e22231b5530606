//! How is a requirement written down, so that it can be judged again?
//!
//! As a list of words: what is asked, then the object and what it lies in. Audit records carry these, and `policy replay`
//! reads them with another policy at hand.

use std::borrow::Cow;
use std::sync::Arc;

use super::decide::{Named, Requirement};
use crate::mlflow::permission::Action;
use crate::mlflow::resource::{Object, Resource};

/// Why something was asked is not written down.
const ONCE: &str = "as it was asked";

/// The words of a requirement.
#[must_use]
pub fn write(requirement: &Requirement) -> Vec<Cow<'_, str>> {
    match requirement {
        Requirement::Lastingly { of, until, lasting: _ } => {
            let until = until.map_or(Cow::Borrowed("-"), |end| Cow::Owned(end.to_string()));
            let mut words = vec![Cow::Borrowed("lastingly"), until];
            words.extend(write(of));
            words
        }
        Requirement::Bears { role, whose, has: _ } => {
            vec![Cow::Borrowed("bears"), Cow::Owned(role.to_string()), Cow::Borrowed(whose)]
        }
        other => plain(other).into_iter().map(Cow::Borrowed).collect(),
    }
}

fn plain(requirement: &Requirement) -> Vec<&str> {
    match requirement {
        Requirement::Nothing => vec!["nothing"],
        Requirement::SignedIn => vec!["signed-in"],
        Requirement::Admin(_) => vec!["admin"],
        Requirement::Absent(_) => vec!["absent"],
        Requirement::NoName(name) => vec!["no-name", name],
        Requirement::Nobody(_) => vec!["nobody"],
        Requirement::Whole(kind) => vec!["whole", kind.as_str()],
        Requirement::Oneself { name, managers } => {
            vec!["oneself", name, if *managers { "or-manager" } else { "alone" }]
        }
        Requirement::Another(name) => vec!["another", name],
        Requirement::Tokens { of, service, looks_after, making } => {
            let word = |on: bool, word| if on { word } else { "-" };
            vec!["tokens", of, word(*service, "service"), word(*looks_after, "looks-after"), word(*making, "making")]
        }
        Requirement::Belongs { to, does: _ } => {
            let mut words = vec!["belongs"];
            words.extend(to.iter().map(|name| &**name));
            words
        }
        // Written above: they have numbers.
        Requirement::Lastingly { .. } | Requirement::Bears { .. } => Vec::new(),
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
    }
}

fn place<'a>(words: &mut Vec<&'a str>, resource: &'a Resource) {
    for object in resource.levels() {
        words.extend([object.kind.as_str(), &object.id]);
    }
}

/// What such words ask. `None`: they are not understood. What the caller had then (`lasting`, `has`, `does`) is not in
/// them: whoever judges again looks anew.
#[must_use]
pub fn read(words: &[&str]) -> Option<Requirement> {
    Some(match words {
        ["nothing"] => Requirement::Nothing,
        ["whole", kind] => Requirement::Whole(kind.parse().ok()?),
        ["oneself", name, who @ ("or-manager" | "alone")] => {
            Requirement::Oneself { name: Arc::from(*name), managers: *who == "or-manager" }
        }
        ["another", name] => Requirement::Another(Arc::from(*name)),
        ["bears", role, whose] => Requirement::Bears { role: role.parse().ok()?, whose: Arc::from(*whose), has: false },
        ["belongs", to @ ..] if !to.is_empty() => {
            Requirement::Belongs { to: to.iter().map(|name| Arc::from(*name)).collect(), does: false }
        }
        // One within another is none of ours.
        ["lastingly", _, "lastingly", ..] => return None,
        ["lastingly", until, of @ ..] => {
            let until = if *until == "-" { None } else { Some(until.parse().ok()?) };
            Requirement::Lastingly { lasting: None, until, of: Box::new(read(of)?) }
        }
        ["signed-in"] => Requirement::SignedIn,
        ["admin"] => Requirement::Admin(ONCE),
        ["absent"] => Requirement::Absent("it did not exist"),
        ["no-name", name] => Requirement::NoName(Arc::from(*name)),
        ["nobody"] => Requirement::Nobody(ONCE),
        ["tokens", of, service, looks_after, making] => Requirement::Tokens {
            of: Arc::from(*of),
            service: *service == "service",
            looks_after: *looks_after == "looks-after",
            making: *making == "making",
        },
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
            Requirement::Nothing,
            Requirement::SignedIn,
            Requirement::Whole(Kind::Run),
            Requirement::Oneself { name: Arc::from("ann"), managers: true },
            Requirement::Oneself { name: Arc::from("alone"), managers: false },
            Requirement::Another(Arc::from("ann")),
            Requirement::Bears { role: 7, whose: Arc::from("role:a b"), has: false },
            Requirement::Belongs { to: vec![Arc::from("a"), Arc::from("b")], does: false },
            Requirement::Tokens { of: Arc::from("svc:x"), service: true, looks_after: false, making: true },
            Requirement::Lastingly {
                lasting: None,
                until: Some(12),
                of: Box::new(Requirement::Holds { action: Action::Manage, resource: run.clone() }),
            },
            Requirement::Lastingly { lasting: None, until: None, of: Box::new(Requirement::Whole(Kind::Prompt)) },
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
            let words = write(&requirement);
            assert_eq!(read(&words.iter().map(|word| &**word).collect::<Vec<_>>()), Some(requirement));
        }
        for words in [
            &[][..],
            &["holds"],
            &["holds", "fly", "run", "x"],
            &["holds", "read", "run"],
            &["castle"],
            &["whole", "castle"],
            &["oneself", "ann"],
            &["oneself", "ann", "maybe"],
            &["bears", "x", "role:a"],
            &["belongs"],
            &["lastingly", "-"],
            &["lastingly", "soon", "signed-in"],
            &["lastingly", "-", "lastingly", "-", "signed-in"],
        ] {
            assert_eq!(read(words), None, "{words:?}");
        }
    }
}
