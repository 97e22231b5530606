//! How much of large bodies may one caller make us hold at once?
//!
//! A body that is judged is held whole. One caller with many connections could make us hold more than there is memory,
//! and needs no permission for it: who may do what is known only when the body has been read. Bodies that come in
//! one piece are not counted; they cost no lock.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::mlflow::ids::UserName;

/// One caller holds too much already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the caller's bodies that are being read are larger than {most} bytes together")]
pub(super) struct Crowded {
    /// How much is allowed.
    pub(super) most: u64,
}

/// What is held, by caller. Shared by all workers.
#[derive(Debug, Clone)]
pub struct Room {
    most: u64,
    held: Arc<Mutex<HashMap<UserName, u64>>>,
}

/// One request's share; it is given back when this is dropped.
#[derive(Debug)]
pub(super) struct Share {
    room: Room,
    user: UserName,
    bytes: u64,
}

impl Room {
    /// Room for `most` bytes of each caller.
    #[must_use]
    pub fn new(most: u64) -> Self {
        Self { most, held: Arc::default() }
    }

    /// An empty share.
    pub(super) fn share(&self, user: &UserName) -> Share {
        Share { room: self.clone(), user: user.clone(), bytes: 0 }
    }

    fn held(&self) -> MutexGuard<'_, HashMap<UserName, u64>> {
        // Nothing between lock and unlock can leave the numbers wrong.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Share {
    /// Takes `bytes` more.
    pub(super) fn take(&mut self, bytes: u64) -> Result<(), Crowded> {
        let most = self.room.most;
        let mut held = self.room.held();
        let together = held.get(&self.user).copied().unwrap_or_default().saturating_add(bytes);
        if together > most {
            return Err(Crowded { most });
        }
        held.insert(self.user.clone(), together);
        drop(held);
        self.bytes += bytes;
        Ok(())
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        if self.bytes == 0 {
            return;
        }
        if let Entry::Occupied(mut entry) = self.room.held().entry(self.user.clone()) {
            let left = entry.get().saturating_sub(self.bytes);
            if left == 0 {
                entry.remove();
            } else {
                entry.insert(left);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_caller_cannot_fill_the_memory_and_takes_nothing_from_others() {
        let room = Room::new(100);
        let (ann, bob) = (UserName::parse("ann").unwrap(), UserName::parse("bob").unwrap());
        let (mut one, mut two, mut other) = (room.share(&ann), room.share(&ann), room.share(&bob));
        one.take(60).unwrap();
        two.take(40).unwrap();
        assert_eq!(two.take(1), Err(Crowded { most: 100 }));
        other.take(100).unwrap();
        drop(one);
        two.take(60).unwrap();
        drop((two, other));
        assert!(room.held().is_empty(), "nothing is kept of those who are gone");
    }
}
