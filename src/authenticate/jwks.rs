//! Which keys does an issuer have now, and when do we ask again?
//!
//! A set is replaced by a newer good one and by nothing else. A `kid` that we do not know may cause one fetch, which
//! all who wait share; a small burst of them, then one in ten seconds, so that strangers cannot make us flood an
//! issuer, and a real rotation is still seen within a minute. Known keys never wait.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use url::Url;
use zeroize::Zeroizing;

use super::discovery::{BadMetadata, Metadata};
use super::fault::AuthFault;
use super::token::{Algorithm, BadKeySet, BadToken, Compact, KeySet};
use crate::clock::Clock;
use crate::fetch::{FetchFault, Fetcher};

/// Fetches that unknown `kid`s may cause at once.
const BURST: u32 = 3;
/// One more after this time.
const COOL_DOWN: Duration = Duration::from_secs(10);
/// How often the keys are fetched anyway.
const REFRESH: Duration = Duration::from_mins(15);
/// A discovery document is used so long (at most hourly, OIDC Discovery has no rule).
const REDISCOVER: Duration = Duration::from_hours(1);
/// The longest pause between two attempts while an issuer is away.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Where keys come from.
#[derive(Debug, Clone)]
pub enum Source {
    /// The discovery document says it.
    Discovery {
        /// Where the document is.
        address: Url,
        /// Whose it must be.
        issuer: String,
        /// Where the keys are instead of where it says.
        keys: Option<Guarded>,
    },
    /// A fixed address that may want to know who asks.
    Guarded(Guarded),
    /// A fixed address, as IAP's.
    Fixed(Url),
}

/// Keys at an address of their own, such as that of a Kubernetes API server.
#[derive(Debug, Clone)]
pub struct Guarded {
    /// Where.
    pub url: Url,
    /// What is shown there, as a bearer token. It goes nowhere else. It is read each time: such files are renewed.
    pub token_file: Option<PathBuf>,
}

/// The keys of one issuer, and the one who fetches them.
pub struct Keeper {
    name: String,
    source: Source,
    fetcher: Fetcher,
    keep: Duration,
    clock: Clock,
    held: ArcSwapOption<Held>,
    metadata: ArcSwapOption<(Arc<Metadata>, u64)>,
    /// Whoever holds this may fetch.
    flight: Arc<tokio::sync::Mutex<()>>,
    /// Fetches that have ended.
    landed: AtomicU64,
    allowance: Mutex<Allowance>,
}

struct Held {
    keys: KeySet,
    fetched: u64,
    version: u64,
}

struct Allowance {
    left: u32,
    since: u64,
}

/// Why there are no new keys.
#[derive(Debug, thiserror::Error)]
pub enum KeyFault {
    /// The provider cannot be asked.
    #[error(transparent)]
    Fetch(#[from] FetchFault),
    /// Its discovery document is no good.
    #[error(transparent)]
    Metadata(#[from] BadMetadata),
    /// Its key set is no good.
    #[error(transparent)]
    Keys(#[from] BadKeySet),
    /// What we would show there cannot be read.
    #[error("`keys_token_file` cannot be read: {0}")]
    TokenFile(String),
}

impl Keeper {
    /// Without keys until the first fetch.
    #[must_use]
    pub fn new(name: &str, source: Source, fetcher: Fetcher, keep: Duration, clock: Clock) -> Arc<Self> {
        let allowance = Mutex::new(Allowance { left: BURST, since: clock.millis() });
        Arc::new(Self {
            name: name.to_owned(),
            source,
            fetcher,
            keep,
            clock,
            held: ArcSwapOption::empty(),
            metadata: ArcSwapOption::empty(),
            flight: Arc::default(),
            landed: AtomicU64::new(0),
            allowance,
        })
    }

    /// Whose keys they are.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How long ago they were fetched, if there are any.
    #[must_use]
    pub fn age(&self) -> Option<Duration> {
        let held = self.held.load();
        held.as_ref().map(|held| Duration::from_millis(self.clock.millis().saturating_sub(held.fetched)))
    }

    /// The version of the keys that count now; none when there are none, or none that are fresh enough.
    #[must_use]
    pub fn version(&self) -> Option<u64> {
        let held = self.held.load();
        held.as_ref().filter(|held| self.counts(held)).map(|held| held.version)
    }

    /// The client for this provider.
    #[must_use]
    pub fn fetcher(&self) -> &Fetcher {
        &self.fetcher
    }

    /// The discovery document that was read last.
    #[must_use]
    pub fn metadata(&self) -> Option<Arc<Metadata>> {
        self.metadata.load().as_ref().map(|held| Arc::clone(&held.0))
    }

    /// The discovery document; asks for it when there is none yet.
    pub async fn metadata_or_ask(self: &Arc<Self>) -> Option<Arc<Metadata>> {
        if let Some(metadata) = self.metadata() {
            return Some(metadata);
        }
        self.ask().await;
        self.metadata()
    }

    /// Checks a signature; tells by which version of the keys.
    ///
    /// # Errors
    /// [`AuthFault::KeysUnavailable`] when there are no keys to check with, else what is wrong with the token.
    pub async fn verify(self: &Arc<Self>, token: &Compact<'_>, algorithms: &[Algorithm]) -> Result<u64, AuthFault> {
        match self.try_verify(token, algorithms) {
            Some(Err(BadToken::UnknownKey)) | None => {}
            Some(verdict) => return Ok(verdict?),
        }
        self.ask().await;
        match self.try_verify(token, algorithms) {
            Some(verdict) => Ok(verdict?),
            None => Err(AuthFault::KeysUnavailable(self.name.clone())),
        }
    }

    fn try_verify(&self, token: &Compact<'_>, algorithms: &[Algorithm]) -> Option<Result<u64, BadToken>> {
        let held = self.held.load();
        let held = held.as_ref().filter(|held| self.counts(held))?;
        Some(held.keys.verify(token, algorithms).map(|()| held.version))
    }

    fn counts(&self, held: &Held) -> bool {
        self.clock.millis().saturating_sub(held.fetched) <= millis(self.keep)
    }

    /// Fetches once for all who ask at the same time, if the allowance lets us.
    async fn ask(self: &Arc<Self>) {
        let seen = self.landed.load(Ordering::Acquire);
        let flight = Arc::clone(&self.flight).lock_owned().await;
        if self.landed.load(Ordering::Acquire) != seen || !self.may_ask() {
            return;
        }
        // A task of its own: the client that caused it may hang up, and must not take the fetch along.
        let keeper = Arc::clone(self);
        let task = tokio::spawn(async move {
            let outcome = keeper.fetch().await;
            drop(flight);
            outcome
        });
        if let Ok(Err(fault)) = task.await {
            tracing::warn!(issuer = self.name, %fault, "the keys of an identity provider could not be fetched");
        }
    }

    fn may_ask(&self) -> bool {
        let now = self.clock.millis();
        let mut allowance = self.allowance.lock().unwrap_or_else(PoisonError::into_inner);
        // A clock that was ahead and is set right must not close this until it is that late again.
        allowance.since = allowance.since.min(now);
        let earned = now.saturating_sub(allowance.since) / millis(COOL_DOWN);
        if earned > 0 {
            allowance.left = allowance.left.saturating_add(u32::try_from(earned).unwrap_or(BURST)).min(BURST);
            allowance.since += earned * millis(COOL_DOWN);
        }
        let may = allowance.left > 0;
        allowance.left = allowance.left.saturating_sub(1);
        may
    }

    /// Fetches now.
    ///
    /// # Errors
    /// [`KeyFault`]; the keys that we have stay.
    pub async fn refresh(self: &Arc<Self>) -> Result<(), KeyFault> {
        let _flight = self.flight.lock().await;
        self.fetch().await
    }

    async fn fetch(&self) -> Result<(), KeyFault> {
        let outcome = self.fetch_keys().await;
        if outcome.is_err() {
            // The address of the keys may have moved: ask for it again next time. The document itself stays of use.
            if let Some(held) = self.metadata.load_full() {
                self.metadata.store(Some(Arc::new((Arc::clone(&held.0), 0))));
            }
        }
        self.landed.fetch_add(1, Ordering::AcqRel);
        outcome
    }

    async fn fetch_keys(&self) -> Result<(), KeyFault> {
        let document = match &self.source {
            Source::Fixed(address) => self.fetcher.get_keys(address).await?,
            Source::Guarded(keys) => self.guarded(keys).await?,
            Source::Discovery { address, issuer, keys } => {
                let metadata = self.discover(address, issuer).await?;
                match keys {
                    Some(keys) => self.guarded(keys).await?,
                    None => self.fetcher.get_keys(&metadata.keys).await?,
                }
            }
        };
        let keys = KeySet::parse(&document)?;
        let version = match self.held.load().as_ref() {
            None => 1,
            Some(held) if held.keys.same_as(&keys) => held.version,
            Some(held) => held.version + 1,
        };
        self.held.store(Some(Arc::new(Held { keys, fetched: self.clock.millis(), version })));
        Ok(())
    }

    async fn guarded(&self, keys: &Guarded) -> Result<Bytes, KeyFault> {
        let Some(file) = &keys.token_file else { return Ok(self.fetcher.get_keys(&keys.url).await?) };
        let token = tokio::fs::read_to_string(file).await.map(Zeroizing::new);
        let token = token.map_err(|fault| KeyFault::TokenFile(fault.to_string()))?;
        Ok(self.fetcher.get_keys_as(&keys.url, token.trim()).await?)
    }

    async fn discover(&self, address: &Url, issuer: &str) -> Result<Arc<Metadata>, KeyFault> {
        let now = self.clock.millis();
        if let Some(held) = self.metadata.load().as_ref()
            && now.saturating_sub(held.1) < millis(REDISCOVER)
        {
            return Ok(Arc::clone(&held.0));
        }
        let metadata = Arc::new(Metadata::parse(&self.fetcher.get(address).await?, issuer)?);
        self.metadata.store(Some(Arc::new((Arc::clone(&metadata), now))));
        Ok(metadata)
    }

    /// Keeps the keys fresh for ever: at once, every quarter of an hour, and with growing pauses while the issuer is
    /// away. Ends only with the task it runs in.
    pub async fn keep_fresh(self: Arc<Self>) {
        let mut pause = Duration::from_secs(1);
        loop {
            match self.refresh().await {
                Ok(()) => {
                    pause = Duration::from_secs(1);
                    tokio::time::sleep(REFRESH).await;
                }
                Err(fault) => {
                    tracing::warn!(issuer = self.name, %fault, "the keys of an identity provider could not be fetched");
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
