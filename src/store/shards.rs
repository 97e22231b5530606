//! How is a large map changed in one place without copying all of it?
//!
//! It is cut into shards, each behind an `Arc`: a copy of the map shares all of them, and a change copies the one shard
//! that it falls into. Readers keep the map that they have.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::{BuildHasher as _, Hash, RandomState};
use std::sync::Arc;

/// A million entries make a thousand in each.
const SHARDS: usize = 1024;

type Shard<K, V> = Arc<HashMap<K, V, RandomState>>;

#[derive(Debug)]
pub(super) struct Shards<K, V> {
    parts: Arc<[Shard<K, V>]>,
    hasher: RandomState,
    len: usize,
}

impl<K, V> Clone for Shards<K, V> {
    fn clone(&self) -> Self {
        Self { parts: Arc::clone(&self.parts), hasher: self.hasher.clone(), len: self.len }
    }
}

impl<K, V> Default for Shards<K, V> {
    fn default() -> Self {
        let hasher = RandomState::new();
        let empty = Arc::new(HashMap::with_hasher(hasher.clone()));
        Self { parts: std::iter::repeat_n(empty, SHARDS).collect(), hasher, len: 0 }
    }
}

impl<K: Eq + Hash + Clone, V: Clone> Shards<K, V> {
    pub(super) fn get<Q: Eq + Hash + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.parts[self.place(key)].get(key)
    }

    /// Puts a value, or takes it out.
    pub(super) fn set(&mut self, key: K, value: Option<V>) {
        if value.is_some() || self.get(&key).is_some() {
            self.edit(key, |_| value);
        }
    }

    /// Makes the value of a key anew out of the old one.
    pub(super) fn edit(&mut self, key: K, edit: impl FnOnce(Option<V>) -> Option<V>) {
        let place = self.place(&key);
        let shard = Arc::make_mut(&mut Arc::make_mut(&mut self.parts)[place]);
        let before = shard.len();
        let old = shard.remove(&key);
        if let Some(value) = edit(old) {
            shard.insert(key, value);
        }
        self.len = self.len + shard.len() - before;
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.parts.iter().flat_map(|shard| shard.iter())
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &V> {
        self.iter().map(|(_, value)| value)
    }

    fn place<Q: Hash + ?Sized>(&self, key: &Q) -> usize {
        // The low bits choose the bucket within a shard: the shard is chosen by others.
        (self.hasher.hash_one(key) >> 48) as usize % SHARDS
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn shards_are_a_map_and_an_older_copy_stays_what_it_was(
            steps in prop::collection::vec((0_u16..50, prop::option::of(any::<u8>())), 0..200),
        ) {
            let mut shards: Shards<u16, u8> = Shards::default();
            let mut model = BTreeMap::new();
            for (key, value) in steps {
                let (before, was) = (shards.clone(), model.clone());
                shards.set(key, value);
                match value {
                    Some(value) => drop(model.insert(key, value)),
                    None => drop(model.remove(&key)),
                }
                prop_assert_eq!(&before.iter().map(|(k, v)| (*k, *v)).collect::<BTreeMap<_, _>>(), &was);
                prop_assert_eq!(&shards.iter().map(|(k, v)| (*k, *v)).collect::<BTreeMap<_, _>>(), &model);
                prop_assert_eq!(shards.len(), model.len());
                prop_assert_eq!(shards.get(&key), model.get(&key));
            }
        }
    }
}
