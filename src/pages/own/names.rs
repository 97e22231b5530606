//! Which name is easily taken for another one?
//!
//! Whoever gives something to one of two names that look alike ([`look`]) should see that there is another. The store
//! knows its names by their looks: nobody walks over all of them.

use std::collections::HashMap;

use crate::mlflow::ids::UserName;
use crate::mlflow::look::look;
use crate::store::Store;

/// For each of these names, another one that looks alike: among themselves, or among all that the store knows.
pub(super) fn alike(names: &[&str], store: &Store) -> HashMap<String, String> {
    let mut looks: HashMap<String, Vec<&str>> = HashMap::new();
    for name in names {
        looks.entry(look(name)).or_default().push(name);
    }
    let mut found = HashMap::new();
    for (look, same) in looks {
        let known = store.looking(&look);
        for name in &same {
            let mut others = same.iter().copied().chain(known.iter().map(UserName::as_str));
            if let Some(other) = others.find(|other| other != name) {
                found.insert((*name).to_owned(), other.to_owned());
            }
        }
    }
    found
}

/// Another person whom the store knows, and whose name looks like this one.
pub(super) fn another(name: &UserName, store: &Store) -> Option<String> {
    alike(&[name.as_str()], store).remove(name.as_str())
}
