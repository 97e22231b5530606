//! Who touches the database?
//!
//! One task, which owns the one connection. Changes come to it through a queue, so that a request whose client has
//! gone away never leaves a change half made, or made and not seen.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::{Instant, MissedTickBehavior};

use super::changes::{By, Change, Done};
use super::engine::{Link, Tx, sql};
use super::fault::StoreFault;
use super::keys::{self, SealKey};
use super::login::{Redeemed, Sought, Waiting};
use super::logins;
use super::news::{self, News, Part, Point};
use super::postgres;
use super::read;
use super::records::GrantRecord;
use super::requests::{self, AccessRequest, Wanted};
use super::review::{self, After};
use super::session::{Session, SessionKey, Sessions};
use super::snapshot::{Given, Snapshot};
use super::token::{Token, Tokens, read_uses};
use super::tokens;
use super::{Engine, Settings};
use crate::clock::Clock;
use crate::mlflow::ids::WorkspaceName;

/// How long one statement may keep the others waiting.
const TURN: Duration = Duration::from_secs(10);
/// How long reading everything may take.
const LOAD: Duration = Duration::from_mins(2);
/// How often uses of sessions reach the table, and dead ones leave it.
const FLUSH: Duration = Duration::from_secs(30);
/// A token that no longer counts is shown for so long.
const FORGOTTEN: Duration = Duration::from_hours(30 * 24);
/// A code that no longer counts is known for so long, so that one that comes again is seen for what it is.
const CODES: Duration = Duration::from_hours(24);
/// What has ended counts for nothing at once; its row goes so much later, when every clock agrees that it has.
const ENDED: Duration = Duration::from_mins(5);

/// What everybody reads.
#[derive(Debug)]
pub(super) struct Memory {
    pub(super) snapshot: ArcSwap<Snapshot>,
    pub(super) sessions: ArcSwap<Sessions>,
    pub(super) tokens: ArcSwap<Tokens>,
    /// A change was made that is not in memory.
    behind: AtomicBool,
    /// The number of a change up to which all are in memory.
    newest: AtomicU64,
    /// Until when the two are known to be what the database held, in milliseconds after `begun`.
    known: AtomicU64,
    begun: Instant,
    stale_after: Duration,
}

impl Memory {
    pub(super) fn new(stale_after: Duration) -> Self {
        Self {
            snapshot: ArcSwap::from_pointee(Snapshot::default()),
            sessions: ArcSwap::from_pointee(Sessions::default()),
            tokens: ArcSwap::from_pointee(Tokens::default()),
            behind: AtomicBool::new(true),
            newest: AtomicU64::new(0),
            known: AtomicU64::new(0),
            begun: Instant::now(),
            stale_after,
        }
    }

    /// The number of a change up to which all are in memory.
    pub(super) fn newest(&self) -> u64 {
        self.newest.load(Ordering::Acquire)
    }

    /// Whether memory is known to be what the database held not longer ago than the bound. It ends by itself: whoever
    /// waits for a database that is silent need not say so.
    pub(super) fn current(&self) -> bool {
        !self.behind.load(Ordering::Acquire) && self.age() < self.stale_after
    }

    /// How long ago the database is known to have held what memory holds.
    pub(super) fn age(&self) -> Duration {
        let now = millis(self.begun.elapsed());
        Duration::from_millis(now.saturating_sub(self.known.load(Ordering::Acquire)))
    }

    /// What was read shows the database as it was at `moment`, or later.
    fn confirm(&self, moment: Instant) {
        self.known.fetch_max(millis(moment.saturating_duration_since(self.begun)), Ordering::AcqRel);
        self.behind.store(false, Ordering::Release);
    }

    fn doubt(&self) {
        self.behind.store(true, Ordering::Release);
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// What the keeper is asked for.
#[derive(Debug)]
pub(super) enum Order {
    Make {
        change: Change,
        by: By,
        reply: oneshot::Sender<Result<Done, StoreFault>>,
    },
    Requests {
        wanted: Wanted,
        reply: oneshot::Sender<Result<Vec<AccessRequest>, StoreFault>>,
    },
    Grants {
        workspace: WorkspaceName,
        after: After,
        most: u32,
        reply: oneshot::Sender<Result<Vec<GrantRecord>, StoreFault>>,
    },
    Waiting {
        user_code: Arc<str>,
        reply: oneshot::Sender<Result<Option<Waiting>, StoreFault>>,
    },
    Seek {
        sought: Sought,
        reply: oneshot::Sender<Result<Option<Redeemed>, StoreFault>>,
    },
    SealKeys {
        fresh: SealKey,
        old: u64,
        reply: oneshot::Sender<Result<Vec<SealKey>, StoreFault>>,
    },
    Close {
        reply: oneshot::Sender<()>,
    },
}

pub(super) struct Keeper {
    /// `None`: it was lost, and is made anew when it is needed.
    pub(super) link: Option<Link>,
    pub(super) memory: Arc<Memory>,
    pub(super) settings: Settings,
    pub(super) given: Given,
    pub(super) clock: Clock,
    /// Somebody has heard of something new.
    pub(super) wake: Arc<Notify>,
    pub(super) _ear: Option<Ear>,
    /// The last change that is in memory; `None`: everything must be read anew.
    pub(super) seen: Option<Point>,
    /// What the database said of its version before that.
    pub(super) version: Option<i64>,
}

/// The task that listens; it ends with the keeper.
pub(super) struct Ear(pub(super) tokio::task::JoinHandle<()>);

impl Drop for Ear {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Keeper {
    pub(super) async fn run(mut self, mut orders: mpsc::Receiver<Order>) {
        let mut poll = tokio::time::interval(self.settings.poll);
        poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut flush = tokio::time::interval(FLUSH);
        flush.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let wake = Arc::clone(&self.wake);
        let mut current = true;
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
                        let found = within(TURN, async { requests::read(self.link().await?, &wanted).await }).await;
                        if let Err(fault) = &found {
                            self.lose(fault);
                        }
                        let _ = reply.send(found);
                    }
                    Some(Order::Grants { workspace, after, most, reply }) => {
                        let now = self.clock.millis();
                        let found =
                            within(TURN, async { review::read(self.link().await?, &workspace, &after, most, now).await }).await;
                        if let Err(fault) = &found {
                            self.lose(fault);
                        }
                        let _ = reply.send(found);
                    }
                    Some(Order::Waiting { user_code, reply }) => {
                        let now = self.clock.millis();
                        let found = within(TURN, async { logins::read(self.link().await?, &user_code, now).await }).await;
                        if let Err(fault) = &found {
                            self.lose(fault);
                        }
                        let _ = reply.send(found);
                    }
                    Some(Order::Seek { sought, reply }) => {
                        let now = self.clock.millis();
                        let found = within(TURN, async { logins::seek(self.link().await?, &sought, now).await }).await;
                        if let Err(fault) = &found {
                            self.lose(fault);
                        }
                        let _ = reply.send(found);
                    }
                    Some(Order::SealKeys { fresh, old, reply }) => {
                        let wait = self.settings.lock_wait;
                        let found = within(TURN, async { keys::ring(self.link().await?, wait, &fresh, old).await }).await;
                        if let Err(fault) = &found {
                            self.lose(fault);
                        }
                        let _ = reply.send(found);
                    }
                    Some(Order::Close { reply }) => break Some(reply),
                    None => break None,
                },
                _ = poll.tick() => self.watch(&mut current).await,
                () = wake.notified() => self.watch(&mut current).await,
                _ = flush.tick() => self.flush().await,
            }
        };
        self.flush().await;
        self.memory.doubt();
        if let Some(link) = self.link.take()
            && let Ok(Err(error)) = tokio::time::timeout(TURN, link.close()).await
        {
            tracing::warn!(%error, "the database did not close cleanly");
        }
        if let Some(reply) = closing {
            let _ = reply.send(());
        }
    }

    /// Looks, and says so when the answer to whether memory is current is another one.
    async fn watch(&mut self, current: &mut bool) {
        let looked = self.look().await;
        if let Err(error) = &looked {
            self.lose(error);
        }
        let before = std::mem::replace(current, self.memory.current());
        match (before, *current) {
            (false, true) => tracing::info!("the store is current again"),
            (true, false) => {
                let error = looked.err().map_or_else(String::new, |error| error.to_string());
                tracing::error!(error, "the store is no longer known to be current: refusing requests");
            }
            _ => {}
        }
    }

    /// After a fault a connection that may hang or be gone is given up. Not so after a change that was refused for what it
    /// asks, or for want of a lock or of room: of that nothing is left.
    fn lose(&mut self, fault: &StoreFault) {
        if fault.about_the_change() || matches!(fault, StoreFault::Locked | StoreFault::Full) {
            return;
        }
        self.version = None;
        if matches!(self.settings.engine, Engine::Postgres(_)) {
            self.link = None;
        } else {
            self.seen = None;
        }
    }

    /// The connection, made anew where it was lost. It may lead to another server, or to one that has lost something: then
    /// the mark of the change that was seen last is not there, and everything is read anew.
    async fn link(&mut self) -> Result<&mut Link, StoreFault> {
        if self.link.is_none()
            && let Engine::Postgres(settings) = &self.settings.engine
        {
            self.seen = self.seen.take().filter(|seen| seen.mark.is_some());
            let connection = postgres::connect(settings).await?;
            self.link = Some(Link::Postgres(Box::new(connection)));
        }
        self.link.as_mut().ok_or(StoreFault::Closed)
    }

    /// Makes one change and, before it is acknowledged, lets everybody see it.
    async fn make(&mut self, change: &Change, by: &By) -> Result<Done, StoreFault> {
        let now = self.clock.millis();
        let turn = TURN.saturating_add(change.longer());
        let wait = self.settings.lock_wait;
        let done = within(turn, async { change.make(self.link().await?, wait, by, now).await }).await;
        if let Err(fault) = &done {
            // Whether it came to be or not, memory must be what the tables hold.
            self.lose(fault);
        }
        let done = done?;
        // Where there was nothing left to do, another process did it, and memory may not have heard of that yet.
        if done.seq.is_some() || !done.changed.anything() {
            let read = self.catch_up(false).await;
            if let Err(fault) = &read {
                self.lose(fault);
                self.memory.doubt();
            }
            read?;
        }
        Ok(done)
    }

    /// Reads what another process has written.
    pub(super) async fn look(&mut self) -> Result<(), StoreFault> {
        let begun = Instant::now();
        // Before the reading: what is written in between is found at the next look.
        let version = within(TURN, async { self.link().await?.version().await }).await?;
        if version.is_none() || self.version != version {
            // A database that does not count its versions tells of each change in `news`.
            self.catch_up(self.version.is_some()).await?;
            self.version = version;
        } else {
            self.memory.confirm(begun);
        }
        Ok(())
    }

    /// Brings memory to the newest change, by the parts that the changes since then touched. When something was written
    /// and no change tells of it (`written`), everything is read.
    async fn catch_up(&mut self, written: bool) -> Result<(), StoreFault> {
        let begun = Instant::now();
        let (memory, given) = (Arc::clone(&self.memory), self.given.clone());
        // A connection that is made anew may have forgotten what was seen before.
        within(TURN, async { self.link().await.map(drop) }).await?;
        let seen = self.seen.clone();
        let link = self.link().await?;
        let asked = async {
            let mut t = link.read().await?;
            let told = news::since(&mut t, seen.as_ref()).await?;
            Ok((t, told))
        };
        let (mut t, (newest, news)) = within(TURN, asked).await?;
        let read = match news {
            News::Nothing if !written => Read::default(),
            News::Parts(parts) => within(TURN, read_parts(&mut t, &parts, &memory)).await?,
            News::Nothing | News::Everything => {
                tracing::debug!(seq = newest.seq, "everything is read anew");
                within(LOAD, read_everything(&mut t, given, &memory)).await?
            }
        };
        within(TURN, t.commit()).await?;
        // INVARIANT: nothing is awaited between these: memory is never ahead of what was seen.
        read.show(&memory);
        self.memory.newest.store(newest.seq, Ordering::Release);
        self.seen = Some(newest);
        self.memory.confirm(begun);
        Ok(())
    }

    /// Reads which sessions were used elsewhere of late: a session is idle when no process has seen it.
    async fn learn_uses(&mut self, sessions: &Sessions) -> Result<(), StoreFault> {
        let since = self.clock.millis().saturating_sub(4 * millis(FLUSH));
        let tokens = self.memory.tokens.load_full();
        let link = self.link().await?;
        if !matches!(link, Link::Postgres(_)) {
            return Ok(());
        }
        let mut t = link.read().await?;
        t.each(
            sql("SELECT id, last_seen FROM sessions WHERE last_seen > $1").bind(since),
            |(id, at): (String, i64)| {
                if let Some(session) = SessionKey::from_hex(&id).and_then(|key| sessions.get(&key)) {
                    session.learn(at.unsigned_abs());
                }
                Ok(())
            },
        )
        .await?;
        let uses = sql("SELECT id, addresses FROM tokens WHERE last_used > $1").bind(since);
        t.each(uses, |(id, uses): (String, String)| {
            if let Some(token) = tokens.get(&*id) {
                token.learn(read_uses(&uses));
            }
            Ok(())
        })
        .await?;
        t.commit().await
    }

    /// Writes the uses of tokens since the last time, and forgets those that counted long ago.
    async fn flush_tokens(&mut self) {
        let seen = tokens::used(&self.memory);
        if !seen.is_empty()
            && let Err(error) = self.make(&Change::SeenTokens(seen.clone()), &By::Trackgate).await
        {
            tracing::warn!(%error, "uses of tokens were not written");
            let tokens = self.memory.tokens.load();
            for token in seen.iter().filter_map(|(id, _)| tokens.get(id)) {
                token.mark_dirty();
            }
        }
        let before = self.clock.millis().saturating_sub(millis(FORGOTTEN));
        let over =
            |token: &Arc<Token>| token.expires <= before || token.revoked.as_ref().is_some_and(|(at, _)| *at <= before);
        if self.memory.tokens.load().values().any(over)
            && let Err(error) = self.make(&Change::SweepTokens { before }, &By::Trackgate).await
        {
            tracing::warn!(%error, "tokens that ended long ago were not swept out");
        }
    }

    /// Sweeps out what has ended.
    async fn sweep_ended(&mut self) {
        let late = u64::try_from(ENDED.as_millis()).unwrap_or(u64::MAX);
        let before = self.clock.millis().saturating_sub(late);
        let found = within(TURN, async { ended(self.link().await?.read().await?, before).await }).await;
        let swept = match found {
            Ok(true) => self.make(&Change::SweepEnded { before }, &By::Trackgate).await.map(drop),
            Ok(false) => Ok(()),
            Err(error) => {
                self.lose(&error);
                Err(error)
            }
        };
        if let Err(error) = swept {
            tracing::warn!(%error, "what has ended was not swept out");
        }
    }

    /// Sweeps out codes and access tokens of logins that ended a day ago.
    async fn sweep_logins(&mut self) {
        let before = self.clock.millis().saturating_sub(millis(CODES));
        let found = within(TURN, async { logins::has_old(self.link().await?.read().await?, before).await }).await;
        let swept = match found {
            Ok(true) => self.make(&Change::SweepLogins { before }, &By::Trackgate).await.map(drop),
            Ok(false) => Ok(()),
            Err(error) => {
                self.lose(&error);
                Err(error)
            }
        };
        if let Err(error) = swept {
            tracing::warn!(%error, "codes that ended long ago were not swept out");
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
        self.flush_tokens().await;
        if let Err(error) = within(TURN, self.learn_uses(&sessions)).await {
            self.lose(&error);
            tracing::warn!(%error, "what others know of uses of sessions was not read");
        }
        self.sweep_ended().await;
        self.sweep_logins().await;
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

/// What was read and nobody sees yet; `None`: it is as it was.
#[derive(Default)]
struct Read {
    snapshot: Option<Snapshot>,
    sessions: Option<Sessions>,
    tokens: Option<Tokens>,
}

impl Read {
    fn show(self, memory: &Memory) {
        // INVARIANT: sessions last. Whoever signs in after a change finds what the change made of them.
        if let Some(snapshot) = self.snapshot {
            memory.snapshot.store(Arc::new(snapshot));
        }
        if let Some(sessions) = self.sessions {
            memory.sessions.store(Arc::new(sessions));
        }
        if let Some(tokens) = self.tokens {
            memory.tokens.store(Arc::new(tokens));
        }
    }
}

async fn read_parts(t: &mut Tx<'_>, parts: &BTreeSet<Part>, memory: &Memory) -> Result<Read, StoreFault> {
    let mut snapshot = Snapshot::clone(&memory.snapshot.load());
    let mut sessions = Sessions::clone(&memory.sessions.load());
    let mut tokens = Tokens::clone(&memory.tokens.load());
    let (mut of_people, mut of_sessions, mut of_tokens) = (false, false, false);
    for part in parts {
        if let Part::Token(id) = part {
            let read = read::one_token(t, id).await?;
            let token = read.map(|read| known(&memory.tokens.load(), read));
            tokens.set(id.clone(), token);
            of_tokens = true;
        } else if let Part::Session(key) = part {
            let read = read::one_session(t, *key).await?;
            let session = read.map(|read| kept(&memory.sessions.load(), read));
            sessions.set(*key, session);
            of_sessions = true;
        } else {
            read::part(t, part, &mut snapshot).await?;
            of_people = true;
        }
    }
    Ok(Read {
        snapshot: of_people.then_some(snapshot),
        sessions: of_sessions.then_some(sessions),
        tokens: of_tokens.then_some(tokens),
    })
}

async fn read_everything(t: &mut Tx<'_>, given: Given, memory: &Memory) -> Result<Read, StoreFault> {
    let mut snapshot = read::everything(t, given).await?;
    snapshot.keep_bindings(&memory.snapshot.load());
    let mut sessions = Sessions::default();
    for session in read::all_sessions(t).await? {
        sessions.set(session.key, Some(kept(&memory.sessions.load(), session)));
    }
    let mut tokens = Tokens::default();
    for token in read::all_tokens(t).await? {
        tokens.set(token.id.clone(), Some(known(&memory.tokens.load(), token)));
    }
    Ok(Read { snapshot: Some(snapshot), sessions: Some(sessions), tokens: Some(tokens) })
}

/// The token as it was read, with the uses that memory knows of.
fn known(known: &Tokens, read: Token) -> Arc<Token> {
    if let Some(older) = known.get(&read.id) {
        read.follow(older);
    }
    Arc::new(read)
}

/// The session as memory has it, which knows of later uses and which requests may hold; else as it was read.
fn kept(known: &Sessions, read: Session) -> Arc<Session> {
    match known.get(&read.key) {
        Some(known) => {
            known.learn(read.last_seen());
            Arc::clone(known)
        }
        None => Arc::new(read),
    }
}

async fn ended(mut t: Tx<'_>, before: u64) -> Result<bool, StoreFault> {
    let ends = sql("SELECT expires FROM (SELECT expires FROM grants UNION ALL SELECT expires FROM assignments \
                    UNION ALL SELECT expires FROM create_rules) AS ends WHERE expires <= $1 LIMIT 1");
    let found = t.one::<(i64,)>(ends.bind(before)).await?.is_some();
    t.commit().await?;
    Ok(found)
}

async fn within<T>(limit: Duration, work: impl Future<Output = Result<T, StoreFault>>) -> Result<T, StoreFault> {
    tokio::time::timeout(limit, work).await.unwrap_or(Err(StoreFault::TooSlow))
}
