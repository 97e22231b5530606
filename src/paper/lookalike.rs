//! Which names may have been mistaken for others?
//!
//! Nothing is refused for it: two people may well be called alike. But a grant to a name that nobody bears, one letter off,
//! waits for whoever registers it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use unicode_security::confusable_detection::skeleton;

use super::read::shown;
use super::state::{Entry, Origin, State};
use crate::access::grant::{Pattern, Subject};
use crate::mlflow::ids::UserName;
use crate::mlflow::resource::Grantable;
use crate::store::{Named, Spot};

/// So many are told of.
const MOST: usize = 100;

/// Names in the files that differ from another name, there or in the store, by case, dots at an end, or letters that look
/// alike (Unicode Technical Standard 39, `skeleton`).
#[must_use]
pub fn warnings(wanted: &State, present: &State, users: &BTreeSet<UserName>) -> Vec<String> {
    let mut names = Names::default();
    gather(wanted, &mut names);
    let mut known = Names::default();
    gather(present, &mut known);
    for user in users {
        known.add("user".to_owned(), user.as_str(), &Origin::Store("".into()));
    }
    let mut told = BTreeSet::new();
    for (what, said) in &names.0 {
        let mut alike: HashMap<String, Vec<(&str, Option<&Origin>)>> = HashMap::new();
        for (name, origin) in said {
            for key in keys(name) {
                alike.entry(key).or_default().push((name, Some(origin)));
            }
        }
        for name in
            known.0.get(what).into_iter().flatten().map(|(name, _)| name).filter(|name| !said.contains_key(*name))
        {
            for key in keys(name) {
                // What no file speaks of is none of their business.
                if let Some(others) = alike.get_mut(&key) {
                    others.push((name, None));
                }
            }
        }
        for others in alike.into_values().filter(|others| others.len() > 1) {
            let mut others = others;
            others.sort_unstable_by_key(|(name, _)| *name);
            let words = others.iter().map(|(name, origin)| match origin {
                Some(origin) => format!("`{name}` ({origin})"),
                None => format!("`{name}` (in the store)"),
            });
            let words: Vec<_> = words.collect();
            told.insert(shown(&format!("{what} names that look alike: {}", words.join(", "))));
        }
    }
    let more = told.len().saturating_sub(MOST);
    let mut told: Vec<_> = told.into_iter().take(MOST).collect();
    if more > 0 {
        told.push(format!("and {more} more names that look alike"));
    }
    told
}

/// What a name looks like: of two that look alike, one of these is the same.
fn keys(name: &str) -> BTreeSet<String> {
    let dotless: Vec<&str> = name.split('@').map(|part| part.trim_end_matches(['.', ' '])).collect();
    let name = dotless.join("@");
    [name.to_lowercase(), name].iter().map(|name| skeleton(name).collect::<String>().to_lowercase()).collect()
}

/// Names by what they are names of, each with the first place where it stands.
#[derive(Default)]
struct Names(BTreeMap<String, BTreeMap<String, Origin>>);

impl Names {
    fn add(&mut self, what: String, name: &str, origin: &Origin) {
        let names = self.0.entry(what).or_default();
        if !names.contains_key(name) {
            names.insert(name.to_owned(), origin.clone());
        }
    }
}

fn gather(state: &State, names: &mut Names) {
    for (name, entry) in &state.groups {
        names.add("group".to_owned(), name.as_str(), &entry.origin);
        for user in entry.value.iter().flatten() {
            names.add("user".to_owned(), user.as_str(), &entry.origin);
        }
    }
    for (key, entry) in &state.roles {
        names.add(format!("role{}", super::state::place(&key.workspace)), key.name.as_str(), &entry.origin);
    }
    for (key, entry) in &state.assignments {
        match &key.to {
            Subject::User(name) => names.add("user".to_owned(), name.as_str(), &entry.origin),
            Subject::Group(name) => names.add("group".to_owned(), name.as_str(), &entry.origin),
            Subject::Role(_) => {}
        }
    }
    for (at, entry) in &state.grants {
        held(at, entry, names);
    }
    for (at, entry) in &state.rules {
        held(at, entry, names);
    }
}

fn held<V>(at: &Spot, entry: &Entry<V>, names: &mut Names) {
    match &at.to {
        Named::User(name) => names.add("user".to_owned(), name.as_str(), &entry.origin),
        Named::Group(name) => names.add("group".to_owned(), name.as_str(), &entry.origin),
        Named::Role(_) => {}
    }
    if at.kind.grantable() == Grantable::ByName {
        let (Pattern::Exactly(name) | Pattern::Prefix(name) | Pattern::Glob(name)) = &at.pattern;
        names.add(format!("{}{}", at.kind, super::state::place(&at.workspace)), name, &entry.origin);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::mlflow::ids::GroupName;

    fn people(names: &[&str]) -> State {
        let members = names.iter().map(|name| UserName::parse(name).unwrap()).collect();
        let origin = Origin::File(Arc::from("people.toml"), 3);
        let entry = Entry { value: Some(members), origin };
        State { groups: [(GroupName::parse("ml").unwrap(), entry)].into(), ..State::default() }
    }

    fn told(files: &[&str], store: &[&str]) -> Vec<String> {
        let store = store.iter().map(|name| UserName::parse(name).unwrap()).collect();
        warnings(&people(files), &State::default(), &store)
    }

    #[test]
    fn names_that_differ_by_case_dots_or_letters_that_look_alike_are_told() {
        for (one, other) in [
            ("Alice", "alice"),
            ("alice@example.com", "alice@example.com."),
            ("alice.@example.com", "alice@example.com"),
            ("paypal@example.com", "paypa1@example.com"),
            ("PaypaI", "Paypal"),
            ("bob@example.com", "b0b@example.com"),
            ("marn@example.com", "mam@example.com"),
        ] {
            assert_eq!(told(&[one, other], &[]).len(), 1, "{one} {other}");
            let told = told(&[one], &[other]);
            assert_eq!(told.len(), 1, "{one} {other}");
            assert!(told[0].contains("(people.toml:3)") && told[0].contains("(in the store)"), "{told:?}");
        }
    }

    #[test]
    fn names_that_do_not_look_alike_and_those_in_no_file_are_not_told() {
        assert!(told(&["alice@example.com", "bob@example.com"], &["carol@example.com"]).is_empty());
        assert!(told(&["alice@example.com"], &["alice@example.com"]).is_empty(), "it is the same one");
        assert!(told(&["alice@example.com"], &["bob", "B0B"]).is_empty(), "no file speaks of them");
    }

    #[test]
    fn letters_of_other_scripts_are_told_where_names_may_have_them() {
        use crate::mlflow::permission::Permission;
        use crate::mlflow::resource::Kind;
        let mut state = State::default();
        for name in ["churn", "\u{441}hurn"] {
            let at = Spot {
                workspace: crate::mlflow::ids::WorkspaceName::default(),
                to: Named::User(UserName::parse("alice").unwrap()),
                kind: Kind::RegisteredModel,
                pattern: Pattern::Exactly(Arc::from(name)),
            };
            let origin = Origin::File(Arc::from("a.toml"), 1);
            state.grants.insert(at, Entry { value: (Permission::Read, None), origin });
        }
        let told = warnings(&state, &State::default(), &BTreeSet::new());
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].starts_with("registered_model names that look alike"), "{told:?}");
    }
}
