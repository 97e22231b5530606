//! Who touches the database?
//!
//! One task, which owns the one connection. Changes come to it through a queue, so that a request whose client has
//! gone away never leaves a change half made, or made and not seen.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, MissedTickBehavior};

use super::Settings;
use super::changes::{By, Change, Done};
use super::engine::{Link, Tx, sql};
use super::fault::StoreFault;
use super::news::{self, News, Part};
use super::read;
use super::requests::{self, AccessRequest, Wanted};
use super::session::{Session, Sessions};
use super::snapshot::{Given, Snapshot};
use crate::clock::Clock;

/// How long one statement may keep the others waiting.
const TURN: Duration = Duration::from_secs(10);
/// How often uses of sessions reach the table, and dead ones leave it.
const FLUSH: Duration = Duration::from_secs(30);
/// What has ended counts for nothing at once; its row goes so much later, when every clock agrees that it has.
const ENDED: Duration = Duration::from_mins(5);

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
    Make { change: Change, by: By, reply: oneshot::Sender<Result<Done, StoreFault>> },
    Requests { wanted: Wanted, reply: oneshot::Sender<Result<Vec<AccessRequest>, StoreFault>> },
    Close { reply: oneshot::Sender<()> },
}

pub(super) struct Keeper {
    pub(super) link: Link,
    pub(super) memory: Arc<Memory>,
    pub(super) settings: Settings,
    pub(super) given: Given,
    pub(super) clock: Clock,
    /// The number of the last change that is in memory; `None`: everything must be read anew.
    pub(super) seen: Option<u64>,
    /// What the database said of its version before that.
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
                    Some(Order::Requests { wanted, reply }) => {
                        let found = within(TURN, requests::read(&mut self.link, &wanted)).await;
                        let _ = reply.send(found);
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
        if let Err(error) = self.link.close().await {
            tracing::warn!(%error, "the database did not close cleanly");
        }
        if let Some(reply) = closing {
            let _ = reply.send(());
        }
    }

    /// Makes one change and, before it is acknowledged, lets everybody see it.
    async fn make(&mut self, change: &Change, by: &By) -> Result<Done, StoreFault> {
        let now = self.clock.millis();
        let turn = TURN.saturating_add(change.longer());
        let done = within(turn, change.make(&mut self.link, by, now)).await;
        if done.is_err() {
            // Whether it came to be or not, memory must be what the tables hold.
            self.version = None;
        }
        let done = done?;
        if done.seq.is_some() {
            let read = within(turn, self.catch_up(false)).await;
            if read.is_err() {
                self.version = None;
                self.memory.current.store(false, Ordering::Release);
            }
            read?;
        }
        Ok(done)
    }

    /// Reads what another process has written.
    pub(super) async fn look(&mut self) -> Result<(), StoreFault> {
        // Before the reading: what is written in between is found at the next look.
        let version = self.link.version().await?;
        if self.version.is_none() || self.version != version {
            self.catch_up(self.version.is_some()).await?;
            self.version = version;
        }
        Ok(())
    }

    /// Brings memory to the newest change, by the parts that the changes since then touched. When something was written
    /// and no change tells of it (`written`), everything is read.
    async fn catch_up(&mut self, written: bool) -> Result<(), StoreFault> {
        let mut t = self.link.read().await?;
        let (newest, news) = news::since(&mut t, self.seen).await?;
        match news {
            News::Nothing if !written => {}
            News::Parts(parts) => {
                let mut snapshot = Snapshot::clone(&self.memory.snapshot.load());
                let mut sessions = Sessions::clone(&self.memory.sessions.load());
                let (mut of_people, mut of_sessions) = (false, false);
                for part in &parts {
                    if let Part::Session(key) = part {
                        let read = read::one_session(&mut t, *key).await?;
                        let session = read.map(|read| kept(&self.memory.sessions.load(), read));
                        sessions.set(*key, session);
                        of_sessions = true;
                    } else {
                        read::part(&mut t, part, &mut snapshot).await?;
                        of_people = true;
                    }
                }
                if of_people {
                    self.memory.snapshot.store(Arc::new(snapshot));
                }
                if of_sessions {
                    self.memory.sessions.store(Arc::new(sessions));
                }
            }
            News::Nothing | News::Everything => {
                let snapshot = read::everything(&mut t, self.given.clone()).await?;
                let mut sessions = Sessions::default();
                for session in read::all_sessions(&mut t).await? {
                    sessions.set(session.key, Some(kept(&self.memory.sessions.load(), session)));
                }
                self.memory.snapshot.store(Arc::new(snapshot));
                self.memory.sessions.store(Arc::new(sessions));
            }
        }
        self.seen = Some(newest);
        Ok(())
    }

    /// Sweeps out what has ended.
    async fn sweep_ended(&mut self) {
        let late = u64::try_from(ENDED.as_millis()).unwrap_or(u64::MAX);
        let before = self.clock.millis().saturating_sub(late);
        let found = within(TURN, async { ended(&mut self.link.read().await?, before).await }).await;
        let swept = match found {
            Ok(true) => self.make(&Change::SweepEnded { before }, &By::Trackgate).await.map(drop),
            Ok(false) => Ok(()),
            Err(error) => Err(error),
        };
        if let Err(error) = swept {
            tracing::warn!(%error, "what has ended was not swept out");
        }
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
        self.sweep_ended().await;
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

/// The session as memory has it, which knows of later uses and which requests may hold; else as it was read.
fn kept(known: &Sessions, read: Session) -> Arc<Session> {
    match known.get(&read.key) {
        Some(known) => {
            known.touch(read.last_seen());
            Arc::clone(known)
        }
        None => Arc::new(read),
    }
}

async fn ended(t: &mut Tx<'_>, before: u64) -> Result<bool, StoreFault> {
    let ends = sql("SELECT expires FROM (SELECT expires FROM grants UNION ALL SELECT expires FROM assignments \
                    UNION ALL SELECT expires FROM create_rules) AS ends WHERE expires <= $1 LIMIT 1");
    Ok(t.one::<(i64,)>(ends.bind(before)).await?.is_some())
}

async fn within<T>(limit: Duration, work: impl Future<Output = Result<T, StoreFault>>) -> Result<T, StoreFault> {
    tokio::time::timeout(limit, work).await.unwrap_or(Err(StoreFault::TooSlow))
}
