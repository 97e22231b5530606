//! Which keys do the gates of one database share?
//!
//! What browsers carry for us must open at every gate. Where no file is handed to each of them, the keys lie in the database
//! that they share: the first gate makes one, and whichever finds the newest too old puts another one in front. This room
//! keeps them and does not know what they are for (`authenticate/keyring`).

use std::time::Duration;

use tokio::sync::oneshot;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::Store;
use super::engine::{Link, Tx, sql};
use super::fault::StoreFault;
use super::keeper::Order;

/// So many are kept: the newest, and the one before it, which still opens.
const MOST: usize = 2;

/// A key, as text, and when it was made (milliseconds since the epoch).
#[derive(Clone)]
pub struct SealKey {
    /// The key.
    pub secret: Zeroizing<String>,
    /// When.
    pub created: u64,
}

impl std::fmt::Debug for SealKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SealKey(made {})", self.created)
    }
}

impl Store {
    /// The keys of the database, the newest first. Where there is none, or none that was made after `old`, `fresh` is one of
    /// them from now on.
    ///
    /// # Errors
    /// What can befall a database.
    pub async fn seal_keys(&self, fresh: SealKey, old: u64) -> Result<Vec<SealKey>, StoreFault> {
        let (reply, done) = oneshot::channel();
        self.orders.try_send(Order::SealKeys { fresh, old, reply }).map_err(|_| StoreFault::Overloaded)?;
        match tokio::time::timeout(self.patience, done).await {
            Ok(Ok(found)) => found,
            Ok(Err(_)) => Err(StoreFault::Closed),
            Err(_) => Err(StoreFault::TooSlow),
        }
    }
}

pub(super) async fn ring(
    link: &mut Link,
    wait: Duration,
    fresh: &SealKey,
    old: u64,
) -> Result<Vec<SealKey>, StoreFault> {
    let mut t = link.read().await?;
    let found = read(&mut t).await?;
    t.commit().await?;
    if found.first().is_some_and(|(_, key)| key.created > old) {
        return Ok(found.into_iter().map(|(_, key)| key).collect());
    }
    let mut t = link.write(wait).await?;
    // Somebody else may have made one meanwhile: one is enough.
    let mut found = read(&mut t).await?;
    if found.first().is_none_or(|(_, key)| key.created <= old) {
        let id = Uuid::now_v7().to_string();
        let row = sql("INSERT INTO seal_keys (id, secret, created) VALUES ($1, $2, $3)");
        t.run(row.bind(id.as_str()).bind(fresh.secret.as_str()).bind(fresh.created)).await?;
        found.insert(0, (id, fresh.clone()));
        for (id, _) in found.iter().skip(MOST) {
            t.run(sql("DELETE FROM seal_keys WHERE id = $1").bind(id.as_str())).await?;
        }
        found.truncate(MOST);
        t.commit().await?;
    }
    Ok(found.into_iter().map(|(_, key)| key).collect())
}

async fn read(t: &mut Tx<'_>) -> Result<Vec<(String, SealKey)>, StoreFault> {
    let rows: Vec<(String, String, i64)> =
        t.all(sql("SELECT id, secret, created FROM seal_keys ORDER BY created DESC, id DESC")).await?;
    let key =
        |secret: String, created: i64| SealKey { secret: Zeroizing::new(secret), created: created.unsigned_abs() };
    Ok(rows.into_iter().map(|(id, secret, created)| (id, key(secret, created))).collect())
}
