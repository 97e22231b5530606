//! Who exists, who holds what, and who is signed in?
//!
//! The state is one SQLite file, or a PostgreSQL database that many processes share. Reads are answered from memory, from one snapshot; a change is written to the disk,
//! then seen by all readers, then acknowledged. What another process writes (the command line) is seen within the
//! poll time. A change touches few parts of the state (`news`); these alone are read anew, by every process.
//!
//! Invariants:
//! - An acknowledged change is on the disk (WAL, `synchronous=FULL`) and in force.
//! - A change, its line in the table `changes` and its rows in `news` are one transaction.
//! - What ends counts for nothing from that very millisecond on.
//! - A name that an issuer gives to somebody else does not bring its grants along.
//! - What is in memory is never older than [`Settings::stale_after`], or nobody is a principal.
//!
//! This room does not know what a grant allows (`access`) nor how identities are proven (`authenticate`).

mod accounts;
mod address;
mod ahead;
mod backup;
mod batch;
mod bindings;
mod careful;
mod changes;
mod copy;
mod engine;
mod fault;
mod holder;
mod holdings;
mod keeper;
mod keys;
mod lists;
mod login;
mod logins;
mod manage;
mod news;
mod people;
mod place;
mod postgres;
mod read;
mod records;
mod requests;
mod review;
mod roles;
mod schema;
mod session;
mod shards;
mod snapshot;
mod sqlite;
mod token;
mod tokens;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc, oneshot};

pub use self::address::BadAddress;
pub use self::backup::{BackupFault, Contents, Head, How, Restored, backup, backup_to, examine, outdated, restore};
pub use self::batch::{End, Held, Named, Spot, Step};
pub use self::bindings::{BindingRecord, Bindings};
pub use self::careful::Seen;
pub use self::changes::{By, Changed};
pub use self::copy::copy;
pub use self::fault::{PrincipalFault, RecogniseFault, StoreFault};
pub use self::keys::SealKey;
pub use self::login::{Fresh, GRACE, Issued, MOST_LOGINS, NewCode, NewDevice, Redeemed, Waiting};
pub use self::place::exists;
pub use self::postgres::Settings as Postgres;
pub use self::records::{Assignment, Binding, CreateRule, EVERYBODY, GrantRecord, Group, Role, User};
pub use self::requests::{AccessRequest, State, Verdict, Wish};
pub use self::review::After;
pub use self::session::{NewSession, Session, SessionKey};
pub use self::token::{ISSUER, NewToken, Standing, Token, TokenDigest, TokenId, TokenKind, Use};
pub use self::tokens::{MOST_TOKENS, TokenShown};

use self::changes::{Change, Done};
use self::engine::Link;
use self::keeper::{Ear, Keeper, Memory, Order};
use self::snapshot::Given;
use crate::access::grant::{GrantSet, Pattern, Subject};
use crate::access::identity::{Identity, Principal};
use crate::clock::Clock;
use crate::mlflow::ids::{GroupName, UserName, WorkspaceName};
use crate::mlflow::permission::Permission;
use crate::mlflow::resource::Kind;

/// What keeps the tables.
#[derive(Debug, Clone, Default)]
pub enum Engine {
    /// A SQLite file in the state directory, for one process that serves.
    #[default]
    Sqlite,
    /// A PostgreSQL database, for as many as one likes.
    Postgres(Postgres),
}

/// Where the state lies and what the settings add to it.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Directory of the keys, and of the database where that is a file; mode 0700.
    pub state_dir: PathBuf,
    /// What keeps the tables.
    pub engine: Engine,
    /// Administrators besides those in the store.
    pub admins: Vec<UserName>,
    /// What everybody who is signed in holds on the workspace `default`.
    pub default_workspace_permission: Option<Permission>,
    /// A session ends after so long without use. Its absolute end stands in [`Identity::until`].
    pub session_idle: Duration,
    /// How often to look whether another process has written.
    pub poll: Duration,
    /// How old what is in memory may be: when the database has not confirmed it for so long, it no longer counts.
    pub stale_after: Duration,
    /// How long a writer waits for another process's lock.
    pub lock_wait: Duration,
    /// How long a caller waits for a change.
    pub patience: Duration,
    /// How many pages of 4 KiB the database may have; `None`: as many as the disk takes.
    pub most_pages: Option<u32>,
}

impl Settings {
    /// The defaults, with the state in `state_dir`.
    #[must_use]
    pub fn new(state_dir: PathBuf) -> Self {
        Self {
            state_dir,
            engine: Engine::Sqlite,
            admins: Vec::new(),
            default_workspace_permission: None,
            session_idle: Duration::from_hours(8),
            poll: Duration::from_millis(500),
            stale_after: Duration::from_secs(5),
            lock_wait: Duration::from_secs(2),
            patience: Duration::from_secs(5),
            most_pages: None,
        }
    }
}

/// The door to the state. Clones share it.
#[derive(Debug, Clone)]
pub struct Store {
    memory: Arc<Memory>,
    orders: mpsc::Sender<Order>,
    clock: Clock,
    session_idle: Duration,
    patience: Duration,
}

impl Store {
    /// Opens the database, brings it to the newest schema and reads it. The task that keeps it runs on the current
    /// runtime, which must outlive all users of the store.
    ///
    /// # Errors
    /// [`StoreFault`] when the directory is not private, or the database cannot be opened, read or understood.
    pub async fn open(settings: &Settings, clock: Clock) -> Result<Self, StoreFault> {
        let wake = Arc::new(Notify::new());
        let mut ear = None;
        let link = match &settings.engine {
            Engine::Sqlite => {
                let file = place::prepare(&settings.state_dir)?;
                Link::Sqlite(sqlite::open(&file, settings.lock_wait, settings.most_pages).await?)
            }
            Engine::Postgres(database) => {
                place::directory(&settings.state_dir)?;
                let link = Link::Postgres(Box::new(postgres::open(database).await?));
                let (database, wake) = (database.clone(), Arc::clone(&wake));
                ear = Some(Ear(tokio::spawn(postgres::listen(database, move || wake.notify_one()))));
                link
            }
        };
        let memory = Arc::new(Memory::new(settings.stale_after));
        let mut keeper = Keeper {
            link: Some(link),
            memory: Arc::clone(&memory),
            wake,
            _ear: ear,
            settings: settings.clone(),
            given: Given {
                admins: Arc::new(settings.admins.iter().cloned().collect()),
                everybody: settings.default_workspace_permission.and_then(everybody),
            },
            clock: clock.clone(),
            seen: None,
            version: None,
        };
        keeper.look().await?;
        let (orders, inbox) = mpsc::channel(1024);
        tokio::spawn(keeper.run(inbox));
        Ok(Self { memory, orders, clock, session_idle: settings.session_idle, patience: settings.patience })
    }

    /// Writes what is left to write and closes the file. Everything fails afterwards.
    pub async fn close(&self) {
        let (reply, done) = oneshot::channel();
        if self.orders.send(Order::Close { reply }).await.is_ok() {
            let _ = done.await;
        }
    }

    /// Whether what is in memory is known to be what the database holds.
    #[must_use]
    pub fn current(&self) -> bool {
        self.memory.current()
    }

    /// How long ago the database is known to have held what is in memory.
    #[must_use]
    pub fn age(&self) -> Duration {
        self.memory.age()
    }

    // --- who asks ---

    /// The identity with all that it holds in a workspace, from one snapshot. Memory only.
    ///
    /// # Errors
    /// [`PrincipalFault`] when the store refuses the caller, or does not know them: then [`Store::recognise`] comes
    /// first.
    pub fn principal(
        &self,
        identity: Arc<Identity>,
        workspace: &WorkspaceName,
    ) -> Result<Arc<Principal>, PrincipalFault> {
        if !self.current() {
            return Err(PrincipalFault::NotCurrent);
        }
        self.memory.snapshot.load().principal(identity, workspace, self.clock.millis())
    }

    /// The identity as somebody who may see the workspaces in which it holds something, and nothing else: for calls that
    /// are about workspaces themselves. Memory only.
    ///
    /// # Errors
    /// As [`Store::principal`].
    pub fn tenant(&self, identity: Arc<Identity>, workspace: &WorkspaceName) -> Result<Arc<Principal>, PrincipalFault> {
        if !self.current() {
            return Err(PrincipalFault::NotCurrent);
        }
        self.memory.snapshot.load().tenant(identity, workspace, self.clock.millis())
    }

    /// What somebody of this name would hold, whether ever seen or not: for `trackgate explain`, which judges no
    /// request. Nothing is proven by it.
    ///
    /// # Errors
    /// [`PrincipalFault::Disabled`].
    pub fn suppose(
        &self,
        identity: Arc<Identity>,
        workspace: &WorkspaceName,
    ) -> Result<Arc<Principal>, PrincipalFault> {
        self.memory.snapshot.load().suppose(identity, workspace, self.clock.millis())
    }

    /// Notes an identity at its first sight: the issuer's `sub` is bound to the user name, for good.
    ///
    /// # Errors
    /// [`RecogniseFault`] when the name belongs to another `sub` of that issuer, when the user is disabled, or when
    /// the database cannot be written.
    pub async fn recognise(&self, identity: &Identity) -> Result<(), RecogniseFault> {
        if !self.current() {
            return Err(PrincipalFault::NotCurrent.into());
        }
        match self.memory.snapshot.load().recognises(identity) {
            Err(PrincipalFault::Unrecognised) => {}
            known => return Ok(known?),
        }
        let change = Change::Recognise {
            user: identity.user.clone(),
            issuer: Arc::clone(&identity.issuer),
            subject: Arc::clone(&identity.subject),
        };
        self.make(change, By::Trackgate).await?;
        Ok(self.memory.snapshot.load().recognises(identity)?)
    }

    // --- what follows from a request ---

    /// Gives `user`, who made the object in `workspace`, MANAGE on it. Grants on exactly this object from before are of an older
    /// object of the same name, and are removed first; a DENY stays.
    ///
    /// # Errors
    /// [`StoreFault`]; then nothing is changed.
    pub async fn own(
        &self,
        workspace: &WorkspaceName,
        kind: Kind,
        id: &str,
        user: &UserName,
    ) -> Result<(), StoreFault> {
        let workspace = workspace.clone();
        let change = Change::Own { workspace, kind, id: Arc::from(id), user: user.clone(), unless_after: None };
        self.make(change, By::User(user.clone())).await.map(drop)
    }

    /// The number of the newest change that is in memory. Later changes have higher numbers, in whichever process they
    /// are made: unlike times, they are in one order. Memory only.
    #[must_use]
    pub fn newest_change(&self) -> u64 {
        self.memory.newest()
    }

    /// The same for an object that the call may have found: nothing, when somebody else has come to own it (or to name
    /// another so) after the change of number `after`, see [`Store::newest_change`].
    ///
    /// # Errors
    /// [`StoreFault`]; then nothing is changed.
    pub async fn own_if_unmade(
        &self,
        workspace: &WorkspaceName,
        kind: Kind,
        id: &str,
        user: &UserName,
        after: u64,
    ) -> Result<(), StoreFault> {
        let workspace = workspace.clone();
        let change = Change::Own { workspace, kind, id: Arc::from(id), user: user.clone(), unless_after: Some(after) };
        self.make(change, By::User(user.clone())).await.map(drop)
    }

    /// Moves the grants on exactly `old` (and on the versions of such a model) to `new`. Grants that lay on `new`
    /// before are removed, but for a DENY.
    ///
    /// # Errors
    /// [`StoreFault`]; then nothing is changed.
    pub async fn rename(
        &self,
        workspace: &WorkspaceName,
        kind: Kind,
        old: &str,
        new: &str,
        user: &UserName,
    ) -> Result<(), StoreFault> {
        let change = Change::Rename { workspace: workspace.clone(), kind, old: Arc::from(old), new: Arc::from(new) };
        self.make(change, By::User(user.clone())).await.map(drop)
    }

    /// Removes every grant on exactly this object (and on the versions of such a model). Where the object is a workspace
    /// by itself, every grant in it.
    ///
    /// # Errors
    /// [`StoreFault`]; then nothing is changed.
    pub async fn forget(
        &self,
        workspace: &WorkspaceName,
        kind: Kind,
        id: &str,
        user: &UserName,
    ) -> Result<(), StoreFault> {
        let change = Change::Forget { workspace: workspace.clone(), kind, id: Arc::from(id) };
        self.make(change, By::User(user.clone())).await.map(drop)
    }

    // --- sessions ---

    /// Opens a session for a recognised user.
    ///
    /// # Errors
    /// [`StoreFault`]; then there is no session.
    pub async fn open_session(&self, new: NewSession) -> Result<(), StoreFault> {
        let by = By::User(new.identity.user.clone());
        self.make(Change::OpenSession(new), by).await.map(drop)
    }

    /// The session, if it is open and neither limit has passed. Memory only.
    ///
    /// # Errors
    /// [`PrincipalFault::NotCurrent`] when memory may be old: the session may have been ended elsewhere.
    pub fn session(&self, key: &SessionKey) -> Result<Option<Arc<Session>>, PrincipalFault> {
        if !self.current() {
            return Err(PrincipalFault::NotCurrent);
        }
        let found = self.memory.sessions.load().get(key).cloned();
        Ok(found.filter(|session| session.alive(self.clock.now(), self.session_idle)))
    }

    /// Notes a use of the session: the idle limit counts from here. Memory only; the table follows within half a
    /// minute.
    pub fn touch_session(&self, key: &SessionKey) {
        if let Some(session) = self.memory.sessions.load().get(key) {
            session.touch(self.clock.millis());
        }
    }

    /// Ends one session.
    ///
    /// # Errors
    /// [`StoreFault`]; then the session is still open.
    pub async fn end_session(&self, key: &SessionKey) -> Result<Changed, StoreFault> {
        self.make(Change::EndSession(*key), By::Trackgate).await
    }

    /// Ends all sessions of one user.
    ///
    /// # Errors
    /// [`StoreFault`]; then they are still open.
    pub async fn end_sessions_of(&self, user: &UserName, by: By) -> Result<Changed, StoreFault> {
        self.make(Change::EndSessionsOf(user.clone()), by).await
    }

    /// Ends every session.
    ///
    /// # Errors
    /// [`StoreFault`]; then they are still open.
    pub async fn end_all_sessions(&self, by: By) -> Result<Changed, StoreFault> {
        self.make(Change::EndAllSessions, by).await
    }

    /// Asks the keeper for something that is not in memory.
    async fn look_up<T>(
        &self,
        order: impl FnOnce(oneshot::Sender<Result<T, StoreFault>>) -> Order,
    ) -> Result<T, StoreFault> {
        let (reply, done) = oneshot::channel();
        self.orders.try_send(order(reply)).map_err(|_| StoreFault::Overloaded)?;
        match tokio::time::timeout(self.patience, done).await {
            Ok(Ok(found)) => found,
            Ok(Err(_)) => Err(StoreFault::Closed),
            Err(_) => Err(StoreFault::TooSlow),
        }
    }

    /// Puts a change into the keeper's queue, at once, and waits for it. Dropping the future does not undo it.
    async fn make(&self, change: Change, by: By) -> Result<Changed, StoreFault> {
        Ok(self.done(change, by).await?.changed)
    }

    /// The same, with the number of what was made.
    async fn done(&self, change: Change, by: By) -> Result<Done, StoreFault> {
        let (reply, done) = oneshot::channel();
        let patience = self.patience.saturating_add(change.longer());
        self.orders.try_send(Order::Make { change, by, reply }).map_err(|refused| match refused {
            mpsc::error::TrySendError::Full(_) => StoreFault::Overloaded,
            mpsc::error::TrySendError::Closed(_) => StoreFault::Closed,
        })?;
        match tokio::time::timeout(patience, done).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(StoreFault::Closed),
            Err(_) => Err(StoreFault::TooSlow),
        }
    }
}

/// What the settings give to all in the workspace `default`, as grants of the group that all are in.
fn everybody(permission: Permission) -> Option<Arc<GrantSet>> {
    let mut set = GrantSet::new(Subject::Group(GroupName::parse(EVERYBODY).ok()?));
    set.insert(Kind::Workspace, Pattern::Prefix(Arc::from("")), permission);
    Some(Arc::new(set))
}
