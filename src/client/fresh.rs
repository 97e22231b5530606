//! How does a credential stay fresh, however many ask for it?
//!
//! First the file is read, without waiting for anybody. What ends soon is renewed by one: a lock in this process, then the
//! lock beside the file, then the file is read again, for another may have been faster. A renewal that was begun is brought to
//! its end, even if nobody waits for it any more: its answer replaces the only means to renew again.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use secrecy::{ExposeSecret as _, SecretString};

use super::beside::Beside;
use super::credentials::{Credentials, Entry};
use super::fault::{ClientFault, FileFault};
use super::folder::Folder;
use super::oauth::{self, OAuth, Said, Tokens, Who};
use super::server::Server;
use crate::clock::Clock;
use crate::fetch::{Fetcher, Settings};

/// What is shown to a server lasts at least so long, if the server lets it.
pub const LEAST: Duration = Duration::from_mins(2);

/// Something to show to a server.
#[derive(Debug, Clone)]
pub struct Credential {
    /// What is shown.
    pub secret: SecretString,
    /// When it ends.
    pub until: SystemTime,
    /// Who signed in.
    pub user: String,
    /// What somebody should be told: said once in each process.
    pub warning: Option<String>,
}

/// The credentials that logins left on this machine. Clones are the same one.
#[derive(Clone)]
pub struct Client {
    pub(super) inner: Arc<Inner>,
}

pub(super) struct Inner {
    pub(super) fetcher: Fetcher,
    pub(super) credentials: Credentials,
    pub(super) clock: Clock,
    /// One renews at a time.
    turn: tokio::sync::Mutex<Memory>,
    /// For the proxy before the servers.
    beside: Option<Arc<dyn Beside>>,
}

/// What could not be kept.
#[derive(Default)]
struct Memory {
    unkept: HashMap<Server, Unkept>,
    said: bool,
}

struct Unkept {
    /// What the file still holds; once it holds something else, that is newer.
    old: Entry,
    new: Entry,
}

/// How long a credential is to last, and which one does not count.
struct Wish {
    least: Duration,
    refused: Option<SecretString>,
}

impl Client {
    /// A client with this folder, which trusts the system's roots, or those in a file.
    ///
    /// # Errors
    /// [`ClientFault::Trust`] when there is nobody to trust.
    pub fn new(folder: Folder, ca_file: Option<std::path::PathBuf>, clock: Clock) -> Result<Self, ClientFault> {
        Self::behind(None, folder, ca_file, clock)
    }

    /// The same for servers with a proxy before them that wants a credential of its own.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn behind(
        beside: Option<Arc<dyn Beside>>,
        folder: Folder,
        ca_file: Option<std::path::PathBuf>,
        clock: Clock,
    ) -> Result<Self, ClientFault> {
        let fetcher = Fetcher::new(&Settings { ca_file, ..oauth::patience() })?;
        let turn = tokio::sync::Mutex::default();
        Ok(Self { inner: Arc::new(Inner { fetcher, credentials: Credentials::within(folder), clock, turn, beside }) })
    }

    /// A credential for this server that lasts at least [`LEAST`], renewed if need be.
    ///
    /// # Errors
    /// [`ClientFault`] when there is none, or it cannot be renewed and is over.
    pub async fn fresh(&self, server: &Server) -> Result<Credential, ClientFault> {
        self.fresh_for(server, LEAST).await
    }

    /// The same for another time. A server whose tokens are shorter gives what it gives.
    ///
    /// # Errors
    /// As [`Self::fresh`].
    pub async fn fresh_for(&self, server: &Server, least: Duration) -> Result<Credential, ClientFault> {
        self.get(server, Wish { least, refused: None }).await
    }

    /// Another one than this, which the server refused (401: clocks differ, or it was revoked), or which is old enough.
    ///
    /// # Errors
    /// As [`Self::fresh`].
    pub async fn instead_of(&self, refused: &SecretString, server: &Server) -> Result<Credential, ClientFault> {
        self.get(server, Wish { least: LEAST, refused: Some(refused.clone()) }).await
    }

    /// Asks a server who one is to it, by this secret.
    ///
    /// # Errors
    /// [`ClientFault::Unaccepted`] when it does not count, others when the server cannot be asked.
    pub async fn who(&self, server: &Server, secret: &SecretString) -> Result<Who, ClientFault> {
        self.inner.oauth(server).who(secret).await
    }

    /// The file.
    #[must_use]
    pub fn credentials(&self) -> &Credentials {
        &self.inner.credentials
    }

    async fn get(&self, server: &Server, wish: Wish) -> Result<Credential, ClientFault> {
        let kept = self.inner.credentials.read()?.find(server)?;
        if let Some((_, entry)) = kept
            && self.inner.suffices(&entry, &wish)
        {
            return Ok(credential(entry, None));
        }
        let (inner, server) = (Arc::clone(&self.inner), server.clone());
        let renewal = tokio::spawn(async move { inner.renew(&server, &wish).await });
        match renewal.await {
            Ok(result) => result,
            Err(broken) => match broken.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_) => Err(ClientFault::Interrupted),
            },
        }
    }
}

impl Inner {
    pub(super) fn oauth<'a>(&'a self, server: &'a Server) -> OAuth<'a> {
        OAuth { server, fetcher: &self.fetcher, beside: self.beside.as_deref() }
    }

    fn suffices(&self, entry: &Entry, wish: &Wish) -> bool {
        let refused = wish.refused.as_ref().is_some_and(|refused| same(refused, &entry.access_token));
        !refused && entry.access_expires_at > self.clock.seconds() + wish.least.as_secs()
    }

    async fn renew(&self, server: &Server, wish: &Wish) -> Result<Credential, ClientFault> {
        let mut memory = self.turn.lock().await;
        let turn = self.credentials.turn().await;
        let mut document = self.credentials.read()?;
        let Some((server, kept)) = document.find(server)? else {
            memory.unkept.clear();
            return Err(ClientFault::NotSignedIn(server.clone()));
        };
        let server = &server;
        let entry = memory.newer(server, &kept);
        if self.suffices(&entry, wish) {
            return Ok(credential(entry, None));
        }
        // Another process holds on to the lock, on a broken network perhaps: what is good goes on.
        let turn = match turn {
            Ok(turn) => turn,
            Err(fault) => return self.still_good(entry, wish).ok_or_else(|| fault.into()),
        };
        let said = match &entry.refresh_token {
            Some(token) if !self.is_over(&entry) => {
                Some(self.oauth(server).refresh(&entry.token_endpoint, token).await)
            }
            _ => None,
        };
        let tokens = match said {
            Some(Ok(Said::Given(tokens))) => tokens,
            Some(Ok(Said::Refused { error, words })) => {
                let other = self.after_refusal(server, &entry, wish)?;
                return match other {
                    Some(other) => Ok(credential(other, None)),
                    None if error == "invalid_grant" => Err(ClientFault::Ended(server.clone())),
                    None => {
                        let fault = ClientFault::Refused { server: server.clone(), word: words };
                        self.still_good(entry, wish).ok_or(fault)
                    }
                };
            }
            // A server that is away for a moment ends nothing that is still good.
            Some(Err(fault)) => return self.still_good(entry, wish).ok_or(fault),
            None if entry.refresh_token.is_some() => return Err(ClientFault::Ended(server.clone())),
            None => return self.still_good(entry, wish).ok_or_else(|| ClientFault::NotRenewable(server.clone())),
        };
        let renewed = entry.renewed(tokens, self.clock.seconds());
        document.put(server, &renewed);
        let warning = match self.credentials.write(&document, &turn) {
            Ok(()) => {
                memory.unkept.remove(server);
                None
            }
            Err(fault) => memory.hold(server, kept, renewed.clone(), &fault),
        };
        Ok(credential(renewed, warning))
    }

    /// What is good for a moment is better than nothing, unless the server has refused it already.
    fn still_good(&self, entry: Entry, wish: &Wish) -> Option<Credential> {
        let wish = Wish { least: Duration::ZERO, refused: wish.refused.clone() };
        self.suffices(&entry, &wish).then(|| credential(entry, None))
    }

    /// Where there can be no lock, another process may have renewed meanwhile: what the file holds now is what counts.
    fn after_refusal(&self, server: &Server, spent: &Entry, wish: &Wish) -> Result<Option<Entry>, ClientFault> {
        let now = self.credentials.read()?.entry(server)?;
        Ok(now.filter(|now| !now.is_same(spent) && self.suffices(now, wish)))
    }

    fn is_over(&self, entry: &Entry) -> bool {
        // A day's grace: this machine's clock may be the one that is wrong.
        entry.refresh_expires_at.is_some_and(|at| at + 86_400 < self.clock.seconds())
    }
}

impl Memory {
    /// What was renewed and could not be kept, if the file still holds what was there then.
    fn newer(&mut self, server: &Server, kept: &Entry) -> Entry {
        match self.unkept.get(server) {
            Some(unkept) if unkept.old.is_same(kept) => unkept.new.clone(),
            Some(_) => {
                self.unkept.remove(server);
                kept.clone()
            }
            None => kept.clone(),
        }
    }

    fn hold(&mut self, server: &Server, old: Entry, new: Entry, fault: &FileFault) -> Option<String> {
        self.unkept.insert(server.clone(), Unkept { old, new });
        let first = !std::mem::replace(&mut self.said, true);
        first.then(|| {
            format!(
                "the renewed login at {server} cannot be kept: {fault}. This process goes on with it; what is on the disk is \
                 used up, and the next one will have to sign in again"
            )
        })
    }
}

impl Entry {
    /// What a server gave, from now on.
    pub(super) fn renewed(&self, tokens: Tokens, now: u64) -> Self {
        let expires = tokens.refresh_expires_in.map(|lasts| now.saturating_add(lasts));
        let (refresh_token, refresh_expires_at) = match tokens.refresh_token {
            Some(token) => (Some(token), expires),
            // RFC 6749 section 6: where none is given, the one before stays good.
            None => (self.refresh_token.clone(), expires.or(self.refresh_expires_at)),
        };
        Self {
            user: self.user.clone(),
            access_expires_at: now.saturating_add(tokens.expires_in.unwrap_or(oauth::SHORT).min(oauth::LONG)),
            access_token: tokens.access_token,
            refresh_token,
            refresh_expires_at,
            token_endpoint: self.token_endpoint.clone(),
        }
    }
}

fn credential(entry: Entry, warning: Option<String>) -> Credential {
    let until = UNIX_EPOCH + Duration::from_secs(entry.access_expires_at);
    Credential { secret: entry.access_token, until, user: entry.user, warning }
}

fn same(one: &SecretString, other: &SecretString) -> bool {
    one.expose_secret() == other.expose_secret()
}
