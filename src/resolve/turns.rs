//! Who makes what is not there yet, when two try at once?
//!
//! A first version makes its server or skill on the way, for which CREATE is enough; a version of one that is there needs
//! EDIT on it. Between our question whether it is there and MLflow's answer somebody else might make it, and what was
//! judged as making would be a change of theirs. MLflow's own app looks again in between
//! (3.17.2, `mcp_server_api.py`, `_ensure_version_create_parent_access`). Here such requests take turns: each looks, acts, and
//! has its creator written down before the next one looks.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;

use tokio::sync::{Mutex, OwnedMutexGuard};

use crate::mlflow::ids::WorkspaceName;
use crate::mlflow::resource::Object;

/// How many may be made side by side. Two that share a turn by chance merely wait for each other.
const SIDE_BY_SIDE: usize = 64;

/// The turns of one process.
#[derive(Debug, Clone)]
pub(super) struct Turns {
    turns: Arc<[Arc<Mutex<()>>]>,
    hasher: RandomState,
}

/// A turn, which ends with the last copy of it.
#[derive(Debug, Clone)]
pub(super) struct Turn {
    _held: Arc<OwnedMutexGuard<()>>,
}

impl Default for Turns {
    fn default() -> Self {
        let turns = (0..SIDE_BY_SIDE).map(|_| Arc::default()).collect();
        Self { turns, hasher: RandomState::new() }
    }
}

impl Turns {
    /// Waits for the turn of whoever makes this object.
    pub(super) async fn take(&self, workspace: Option<&WorkspaceName>, object: &Object) -> Turn {
        let hash = self.hasher.hash_one((workspace.map(WorkspaceName::as_str), object.kind, &object.id));
        // The remainder is below the number of turns.
        let at = usize::try_from(hash % SIDE_BY_SIDE as u64).unwrap_or_default();
        Turn { _held: Arc::new(Arc::clone(&self.turns[at]).lock_owned().await) }
    }
}
