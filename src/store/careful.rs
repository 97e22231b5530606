//! How does somebody change only what they saw?
//!
//! A page shows what a grant is, and the form on it says so again: if it is another by then, nothing is changed, and the
//! person looks once more (two people at once lose no change of either's).

use super::Store;
use super::changes::{By, Change};
use super::engine::{Tx, sql};
use super::fault::StoreFault;
use super::holdings;
use super::records::GrantRecord;
use crate::mlflow::permission::Permission;

/// What somebody saw of a grant. A number is never given twice: whose the grant is and what it is on cannot have changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// Its number.
    pub id: u64,
    /// How much it gave.
    pub permission: Permission,
    /// When it was to end.
    pub expires: Option<u64>,
    /// When it was given, or last changed.
    pub created: u64,
}

impl Seen {
    /// What somebody sees of it now.
    #[must_use]
    pub fn of(record: &GrantRecord) -> Self {
        let GrantRecord { id, grant, expires, created, .. } = record;
        Self { id: *id, permission: grant.permission, expires: *expires, created: *created }
    }
}

impl Store {
    /// Gives a grant another permission and end, or takes it back (`None`), if it is still what was seen.
    ///
    /// # Errors
    /// [`StoreFault::Changed`], [`StoreFault::EndPassed`], and what else can befall a database; then nothing is changed.
    pub async fn change_seen(
        &self,
        seen: Seen,
        to: Option<(Permission, Option<u64>)>,
        by: By,
    ) -> Result<(), StoreFault> {
        self.make(Change::AlterSeen { seen, to }, by).await.map(drop)
    }
}

pub(super) async fn change(
    t: &mut Tx<'_>,
    seen: Seen,
    to: Option<(Permission, Option<u64>)>,
    by: &By,
    now: i64,
) -> Result<u64, StoreFault> {
    let same =
        sql("SELECT id FROM grants WHERE id = $1 AND permission = $2 AND COALESCE(expires, -1) = COALESCE($3, -1) \
                    AND created = $4 AND (expires IS NULL OR expires > $5)");
    let same = same.bind(seen.id).bind(seen.permission.as_str()).bind(seen.expires).bind(seen.created).bind(now);
    if t.one::<(i64,)>(same).await?.is_none() {
        return Err(StoreFault::Changed);
    }
    match to {
        Some((permission, expires)) => holdings::change(t, seen.id, permission, expires, by, now).await,
        None => holdings::remove(t, seen.id, now).await,
    }
}
