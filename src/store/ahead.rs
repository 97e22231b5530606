//! What does somebody still hold later on, and who is an administrator by what?

use std::sync::Arc;

use super::{PrincipalFault, Store};
use crate::access::identity::Principal;
use crate::mlflow::ids::UserName;

impl Store {
    /// The caller with what they hold until `until` at least, or for good: nobody gives for longer than they hold.
    ///
    /// # Errors
    /// As [`Store::principal`].
    pub fn lasting(&self, caller: &Principal, until: Option<u64>) -> Result<Arc<Principal>, PrincipalFault> {
        // What ends at `until` counts up to the millisecond before.
        let last = until.map_or(u64::MAX, |end| end.saturating_sub(1)).max(self.clock.millis());
        self.memory.snapshot.load().lasting(Arc::clone(&caller.identity), &caller.workspace, last)
    }

    /// Whether somebody is an administrator, by the store or by the settings.
    #[must_use]
    pub fn is_admin(&self, name: &UserName) -> bool {
        self.memory.snapshot.load().is_admin(name)
    }

    /// Whether the settings make somebody an administrator: then the store cannot change it.
    #[must_use]
    pub fn is_admin_by_settings(&self, name: &UserName) -> bool {
        self.memory.snapshot.load().is_admin_by_settings(name)
    }
}
