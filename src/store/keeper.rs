//! Who touches the database?
//!
//! One task, which owns the one connection. Changes come to it through a queue, so that a request whose client has
//! gone away never leaves a change half made, or made and not seen.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use sqlx::{Connection, SqliteConnection};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, MissedTickBehavior};

use super::changes::{By, Change, Changed, Touches};
use super::fault::StoreFault;
use super::session::Sessions;
use super::snapshot::Snapshot;
use super::{Settings, sqlite};
use crate::access::grant::GrantSet;
use crate::clock::Clock;
use crate::mlflow::ids::UserName;

/// How long one statement may keep the others waiting.
const TURN: Duration = Duration::from_secs(10);
/// How often uses of sessions reach the table, and dead ones leave it.
const FLUSH: Duration = Duration::from_secs(30);

/// What everybody reads.
#[derive(Debug)]
pub(super) struct Memory {
    pub(super) snapshot: ArcSwap<Snapshot>,
    pub(super) sessions: ArcSwap<Sessions>,
    /// Whether the two above are known to be what the database holds.
    pub(super) current: AtomicBool,
}

/// What the keeper is asked for.
#[derive(Debug)]
pub(super) enum Order {
    Make { change: Change, by: By, reply: oneshot::Sender<Result<Changed, StoreFault>> },
    Close { reply: oneshot::Sender<()> },
}

pub(super) struct Keeper {
    pub(super) connection: SqliteConnection,
    pub(super) memory: Arc<Memory>,
    pub(super) settings: Settings,
    pub(super) admins: HashSet<UserName>,
    pub(super) everybody: Vec<Arc<GrantSet>>,
    pub(super) clock: Clock,
    /// `PRAGMA data_version` at the last reading; `None`: must be read anew.
    pub(super) version: Option<i64>,
}

impl Keeper {
    pub(super) async fn run(mut self, mut orders: mpsc::Receiver<Order>) {
        let mut poll = tokio::time::interval(self.settings.poll);
        poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut flush = tokio::time::interval(FLUSH);
        flush.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut last_good = Instant::now();
        let closing = loop {
            tokio::select! {
                order = orders.recv() => match order {
                    Some(Order::Make { change, by, reply }) => {
                        let result = self.make(&change, &by).await;
                        if let Err(error) = &result {
                            tracing::warn!(%error, "a change was not written");
                        }
                        // Whoever asked may be gone; the change stands.
                        let _ = reply.send(result);
                    }
                    Some(Order::Close { reply }) => break Some(reply),
                    None => break None,
                },
                _ = poll.tick() => match within(TURN, self.look()).await {
                    Ok(()) => {
                        last_good = Instant::now();
                        if !self.memory.current.swap(true, Ordering::AcqRel) {
                            tracing::info!("the store is current again");
                        }
                    }
                    Err(error) => {
                        if last_good.elapsed() >= self.settings.stale_after
                            && self.memory.current.swap(false, Ordering::AcqRel)
                        {
                            tracing::error!(%error, "the store is no longer known to be current: refusing requests");
                        }
                    }
                },
                _ = flush.tick() => self.flush().await,
            }
        };
        self.flush().await;
        self.memory.current.store(false, Ordering::Release);
        if let Err(error) = self.connection.close().await {
            tracing::warn!(%error, "the database did not close cleanly");
        }
        if let Some(reply) = closing {
            let _ = reply.send(());
        }
    }

    /// Makes one change and, before it is acknowledged, lets everybody see it.
    async fn make(&mut self, change: &Change, by: &By) -> Result<Changed, StoreFault> {
        let now = self.clock.millis();
        let changed = within(TURN, change.make(&mut self.connection, by, now)).await;
        if changed.is_err() {
            // Whether it came to be or not, memory must be what the table holds.
            self.version = None;
        }
        let changed = changed?;
        if changed.anything() {
            let touches = change.touches();
            let read = within(TURN, self.read(touches)).await;
            if read.is_err() {
                self.version = None;
                self.memory.current.store(false, Ordering::Release);
            }
            read?;
        }
        Ok(changed)
    }

    /// Reads anew if another process has written.
    pub(super) async fn look(&mut self) -> Result<(), StoreFault> {
        // Before the reading: what is written in between is found at the next look.
        let version = sqlite::data_version(&mut self.connection).await?;
        if self.version != Some(version) {
            self.read(Touches::Both).await?;
            self.version = Some(version);
        }
        Ok(())
    }

    async fn read(&mut self, touches: Touches) -> Result<(), StoreFault> {
        let (grants, sessions) = match touches {
            Touches::Grants => (true, false),
            Touches::Sessions => (false, true),
            Touches::Both => (true, true),
            Touches::Nothing => (false, false),
        };
        if grants {
            let read = sqlite::load(&mut self.connection).await?;
            let snapshot = Snapshot::new(read.users, read.groups, read.grants, &self.admins, &self.everybody);
            self.memory.snapshot.store(Arc::new(snapshot));
        }
        if sessions {
            let mut read = sqlite::load_sessions(&mut self.connection).await?;
            let known = self.memory.sessions.load_full();
            for (key, session) in &mut read {
                // The one in memory knows of later uses, and requests may hold it.
                if let Some(known) = known.get(key) {
                    known.touch(session.last_seen());
                    *session = Arc::clone(known);
                }
            }
            self.memory.sessions.store(Arc::new(read));
        }
        Ok(())
    }

    /// Writes the uses of sessions since the last time, and sweeps out the dead ones.
    async fn flush(&mut self) {
        let sessions = self.memory.sessions.load_full();
        let seen: Vec<_> = sessions.values().filter_map(|session| Some((session.key, session.take_dirty()?))).collect();
        if !seen.is_empty()
            && let Err(error) = self.make(&Change::SeenSessions(seen.clone()), &By::Trackgate).await
        {
            tracing::warn!(%error, "uses of sessions were not written");
            for (key, _) in seen {
                if let Some(session) = sessions.get(&key) {
                    session.mark_dirty();
                }
            }
        }
        let now = self.clock.now();
        if sessions.values().any(|session| !session.alive(now, self.settings.session_idle)) {
            let idle = u64::try_from(self.settings.session_idle.as_millis()).unwrap_or(u64::MAX);
            let used_before = self.clock.millis().saturating_sub(idle);
            if let Err(error) = self.make(&Change::SweepSessions { used_before }, &By::Trackgate).await {
                tracing::warn!(%error, "ended sessions were not swept out");
            }
        }
    }
}

async fn within<T>(limit: Duration, work: impl Future<Output = Result<T, StoreFault>>) -> Result<T, StoreFault> {
    tokio::time::timeout(limit, work).await.unwrap_or(Err(StoreFault::TooSlow))
}
