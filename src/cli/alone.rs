//! Is this the only gate that keeps its state here?
//!
//! Told, and nothing more: where containers are exchanged one by one, the new gate must be ready before the old one ends.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use crate::monitor::Fact;

const LOCK: &str = "serve.lock";

/// The mark of a gate in its `state_dir`, until it is dropped.
#[derive(Debug)]
pub(super) struct Mark(File);

impl Mark {
    /// Leaves it there. Where the file system has no room for it, nothing is known.
    pub(super) fn leave(state_dir: &Path) -> io::Result<Self> {
        let path = state_dir.join(LOCK);
        let mark = Self(OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)?);
        if let Err(what) = mark.fact() {
            tracing::warn!(state_dir = %state_dir.display(), "{what}");
        }
        Ok(mark)
    }

    /// Whether nobody else has left one. When the other gate ends, this one is the only one from then on.
    pub(super) fn fact(&self) -> Fact {
        match self.0.try_lock() {
            Err(TryLockError::WouldBlock) => Err("another gate uses this state_dir too; SQLite is for one".to_owned()),
            // A file system without locks tells nothing.
            Ok(()) | Err(TryLockError::Error(_)) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_gate_is_told_until_the_first_ends() {
        let folder = std::env::temp_dir().join(format!("trackgate-alone-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let first = Mark::leave(&folder).unwrap();
        assert_eq!((first.fact(), first.fact()), (Ok(()), Ok(())));
        let second = Mark::leave(&folder).unwrap();
        assert!(second.fact().unwrap_err().contains("another gate"));
        assert_eq!(first.fact(), Ok(()), "whoever was there first has it");
        drop(first);
        assert_eq!(second.fact(), Ok(()));
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
