//! Which name is easily taken for another one?
//!
//! Two names look alike when they differ by case, by dots at their ends, or by signs that look the same (UTS 39 section
//! 4, "confusable detection"). Whoever gives something to one of them should see that there is another.

use std::collections::HashMap;

use unicode_security::skeleton;

use crate::mlflow::ids::UserName;
use crate::store::Store;

/// Names that look alike have the same.
fn look(name: &str) -> String {
    let mut look = String::with_capacity(name.len() + 4);
    if name.is_ascii() {
        name.chars().for_each(|sign| plain(sign, &mut look));
    } else {
        // Once before and once after: what looks like a capital looks like its small letter too.
        let first: String = skeleton(name).collect::<String>().to_lowercase();
        skeleton(&first).for_each(|sign| plain(sign, &mut look));
    }
    let bare = look.split('@').map(|part| part.trim_matches('.')).collect::<Vec<_>>();
    bare.join("@")
}

/// The skeleton of ASCII, in small letters.
fn plain(sign: char, look: &mut String) {
    match sign {
        'm' | 'M' => look.push_str("rn"),
        '0' => look.push('o'),
        '1' | 'I' | '|' | 'i' => look.push('l'),
        _ => look.extend(sign.to_lowercase()),
    }
}

/// For each of these names, another one that looks alike: among themselves, or among all that the store knows.
pub(super) fn alike(names: &[&str], store: &Store) -> HashMap<String, String> {
    let mut found = HashMap::new();
    if names.is_empty() {
        return found;
    }
    let mut looks: HashMap<String, Vec<&str>> = HashMap::new();
    for name in names {
        looks.entry(look(name)).or_default().push(name);
    }
    for same in looks.values() {
        for name in same {
            if let Some(other) = same.iter().find(|other| *other != name) {
                found.insert((*name).to_owned(), (*other).to_owned());
            }
        }
    }
    for user in store.users() {
        let other = user.name.as_str();
        let Some(same) = looks.get(&look(other)) else { continue };
        for name in same.iter().filter(|name| **name != other) {
            found.entry((*name).to_owned()).or_insert_with(|| other.to_owned());
        }
    }
    found
}

/// Another person whom the store knows, and whose name looks like this one.
pub(super) fn another(name: &UserName, store: &Store) -> Option<String> {
    alike(&[name.as_str()], store).remove(name.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_differ_by_case_dots_or_signs_that_look_the_same_look_alike() {
        for (one, other) in [
            ("alice@example.com", "Alice@Example.com"),
            ("alice@example.com", "alice@example.com."),
            ("alice@example.com", "alice.@example.com"),
            ("alice@example.com", "a1ice@example.com"),
            ("alice@example.com", "aIice@example.com"),
            ("alice@example.com", "аlice@example.com"),
            ("alice@example.com", "АLICE@example.com"),
            ("bob@example.com", "b0b@example.com"),
            ("mia@example.com", "rnia@example.com"),
            ("jörg", "jo\u{308}rg"),
        ] {
            assert_ne!(one, other);
            assert_eq!(look(one), look(other), "{one} {other}");
        }
    }

    #[test]
    fn other_names_do_not() {
        for (one, other) in [
            ("alice@example.com", "alicia@example.com"),
            ("bob@example.com", "bob@example.org"),
            ("a.b@example.com", "ab@example.com"),
            ("", "a"),
        ] {
            assert_ne!(look(one), look(other), "{one} {other}");
        }
    }
}
