//! Who is asking?
//!
//! [`credential::take`] moves what was shown out of the headers; [`Authenticator::authenticate`] turns it into an
//! [`Identity`] or a fault. What is unknown, ambiguous or cannot be checked now is refused, never guessed.

mod bound;
pub mod credential;
pub mod discovery;
pub mod explain;
pub mod fault;
mod form;
pub mod help;
pub mod iap;
pub mod issuer;
pub mod jwks;
pub mod keyring;
pub mod login;
pub mod oauth;
pub mod origin;
pub mod own;
pub mod return_to;
pub mod session;
pub mod token;
mod throttle;
pub mod unfit;
mod verdicts;

#[cfg(test)]
#[path = "../../tests/harness/forge.rs"]
pub(crate) mod forge;
#[cfg(test)]
#[path = "../../tests/harness/issuer.rs"]
pub(crate) mod lying_issuer;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::HeaderValue;
use moka::sync::Cache;
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use self::bound::InForce;
use self::credential::{Credentials, Secret, Shown};
pub use self::fault::{AuthFault, STRANGER_CHALLENGE};
pub use self::form::BadForm;
use self::iap::Iap;
use self::issuer::Issuer;
use self::jwks::Keeper;
use self::oauth::{Polls, Typed};
use self::own::{Authorization, BadOwn};
use self::throttle::{Throttle, network};
pub use self::token::MOST_BYTES as MOST_TOKEN_BYTES;
use self::token::{BadToken, Compact};
use self::verdicts::{Fingerprint, Refusal, Refusals, Verdict, Verdicts};
use crate::access::binding::Binding;
use crate::access::identity::{Identity, Proof};
use crate::clock::Clock;
use crate::directory::{self, Directory, Known};
use crate::fetch::{BadTrust, Fetcher};
use crate::message::{Door, Peer};
use crate::seal::Seal;
use crate::store::{Session, Store, TokenDigest, TokenShown};
use crate::token_form;

/// Bearer verdicts that are kept at once.
const MOST_VERDICTS: u64 = 20_000;
/// Refusals of signed tokens that are kept at once. Anybody may have tokens signed by some issuers: they have no room in common
/// with what lets in.
const MOST_REFUSALS: u64 = 5_000;

/// How callers prove who they are.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The address that people use; redirects, cookies and origin checks are built from it alone.
    pub public_url: Url,
    /// `[[issuer]]`, in the file's order.
    pub issuers: Vec<issuer::Settings>,
    /// `[iap]`.
    pub iap: Option<iap::Settings>,
    /// `[google_groups]`.
    pub google_groups: Option<directory::Settings>,
    /// `[session]`.
    pub session: session::Settings,
    /// `[tokens]`.
    pub tokens: own::Settings,
    /// `[login]`.
    pub logins: oauth::Settings,
    /// `[[binding]]`, in the file's order.
    pub bindings: Vec<Binding>,
    /// Wrong credentials from one address in a minute before it gets 429.
    pub failed_credentials: u32,
}

impl Settings {
    /// Nobody can sign in yet.
    #[must_use]
    pub fn new(public_url: Url) -> Self {
        Self {
            public_url,
            issuers: Vec::new(),
            iap: None,
            google_groups: None,
            session: session::Settings::default(),
            tokens: own::Settings::default(),
            logins: oauth::Settings::default(),
            bindings: Vec::new(),
            failed_credentials: 20,
        }
    }
}

/// Why the room cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum SetupFault {
    /// An issuer whose address is no `https` address.
    #[error("issuer `{0}`: its address is neither https nor on a loopback address")]
    BadAddress(String),
    /// Trust in its certificate cannot be set up.
    #[error("issuer `{name}`: {fault}")]
    Trust {
        /// Which one.
        name: String,
        /// Why not.
        #[source]
        fault: BadTrust,
    },
    /// Two providers with one short name: their callbacks would be one.
    #[error("issuer `{0}`: another issuer has the same name")]
    NameTaken(String),
    /// Google cannot be asked for groups.
    #[error(transparent)]
    Directory(#[from] directory::SetupFault),
    /// The file with our secret at the provider cannot be read.
    #[error("issuer `{name}`: the client secret file `{path}` cannot be read: {fault}")]
    ClientSecret {
        /// Which one.
        name: String,
        /// Which file.
        path: PathBuf,
        /// Why not.
        #[source]
        fault: std::io::Error,
    },
}

/// Recognises callers. Shared by all workers.
pub struct Authenticator {
    clock: Clock,
    store: Store,
    seal: Arc<Seal>,
    session: session::Settings,
    public_url: Url,
    issuers: Vec<Arc<Issuer>>,
    iap: Option<Iap>,
    directory: Option<Arc<Directory>>,
    verdicts: Verdicts,
    refusals: Refusals,
    /// Cookies that led to an open session, and others.
    sessions_found: AtomicU64,
    sessions_missed: AtomicU64,
    tokens: own::Settings,
    logins: oauth::Settings,
    /// Devices that ask for codes and poll with them.
    polls: Polls,
    /// Who types codes of devices.
    typed: Typed,
    bindings: Vec<Arc<Binding>>,
    throttle: Throttle<IpAddr>,
    /// The same for names of tokens, wherever they are shown.
    named: Throttle<Arc<str>>,
    /// Our secret at each provider that has one.
    client_secrets: HashMap<String, SecretString>,
    /// States of logins that were finished, as long as their cookies could come again.
    finished: Cache<Fingerprint, ()>,
}

/// A caller who was recognised.
#[derive(Debug, Clone)]
pub struct Authenticated {
    /// Who.
    pub identity: Arc<Identity>,
    /// The session, if a cookie proved it. What such a request changes must pass [`origin::check`]; so must what an IAP
    /// assertion proves, since a cookie stands behind it.
    pub session: Option<Arc<Session>>,
    /// Whether a token of our own was shown that was used before, and never from this network.
    pub moved: bool,
}

impl Authenticated {
    fn without_session(identity: Arc<Identity>) -> Self {
        Self { identity, session: None, moved: false }
    }

    /// Whether a browser adds the credential by itself, so that [`origin::check`] must pass before anything is changed.
    #[must_use]
    pub fn is_ambient(&self) -> bool {
        match self.identity.proof {
            Proof::Session | Proof::Iap => true,
            Proof::Bearer | Proof::Token | Proof::Bound => false,
        }
    }
}

impl Authenticator {
    /// Sets up issuers, without asking them anything yet.
    ///
    /// # Errors
    /// [`SetupFault`] for an issuer that cannot be asked safely.
    pub fn new(settings: Settings, store: Store, seal: Arc<Seal>, clock: Clock) -> Result<Self, SetupFault> {
        let mut client_secrets = HashMap::new();
        for issuer in &settings.issuers {
            if settings.issuers.iter().filter(|other| other.name == issuer.name).count() > 1 {
                return Err(SetupFault::NameTaken(issuer.name.clone()));
            }
            if let Some(path) = issuer.login.as_ref().and_then(|login| login.client_secret_file.clone()) {
                let name = issuer.name.clone();
                match std::fs::read_to_string(&path).map(Secret::new) {
                    Ok(text) => drop(client_secrets.insert(name, SecretString::from(text.trim().to_owned()))),
                    Err(fault) => return Err(SetupFault::ClientSecret { name, path, fault }),
                }
            }
        }
        let finished = Cache::builder().max_capacity(100_000).time_to_live(2 * settings.session.login).build();
        let issuers = settings.issuers.into_iter().map(|issuer| open(issuer, &clock)).collect::<Result<_, _>>()?;
        let iap = settings
            .iap
            .map(|iap| Iap::new(iap, clock.clone()))
            .transpose()
            .map_err(|fault| SetupFault::Trust { name: "iap".to_owned(), fault })?;
        let directory = settings.google_groups.map(|google| Directory::new(google, clock.clone())).transpose()?;
        Ok(Self {
            clock,
            store,
            seal,
            session: settings.session,
            public_url: settings.public_url,
            issuers,
            iap,
            directory,
            verdicts: Verdicts::new(MOST_VERDICTS),
            refusals: Refusals::new(MOST_REFUSALS),
            sessions_found: AtomicU64::new(0),
            sessions_missed: AtomicU64::new(0),
            tokens: settings.tokens,
            logins: settings.logins,
            polls: Polls::new(),
            typed: Typed::new(settings.failed_credentials),
            bindings: settings.bindings.into_iter().map(Arc::new).collect(),
            throttle: Throttle::new(settings.failed_credentials),
            named: Throttle::new(settings.failed_credentials),
            client_secrets,
            finished,
        })
    }

    /// Whether there are keys of anybody who vouches, or nobody does: without any, nobody new is recognised.
    #[must_use]
    pub fn has_keys(&self) -> bool {
        self.keepers().next().is_none() || self.keepers().any(|keys| keys.version().is_some())
    }

    /// The names of those who vouch, whose keys are not here or too old: nothing that they signed is believed.
    #[must_use]
    pub fn without_keys(&self) -> Vec<&str> {
        self.keepers().filter(|keys| keys.version().is_none()).map(|keys| keys.name()).collect()
    }

    /// How old the keys of each are who vouches, as far as there are any.
    #[must_use]
    pub fn ages_of_keys(&self) -> Vec<(String, Duration)> {
        self.keepers().filter_map(|keys| Some((keys.name().to_owned(), keys.age()?))).collect()
    }

    /// How often what callers showed was known already: what it was, hits and misses.
    #[must_use]
    pub fn lookups(&self) -> Vec<(&'static str, u64, u64)> {
        let (hits, misses) = self.verdicts.lookups();
        let found = self.sessions_found.load(Ordering::Relaxed);
        let missed = self.sessions_missed.load(Ordering::Relaxed);
        let mut all = vec![("token", hits, misses), ("session", found, missed)];
        if let Some(iap) = &self.iap {
            let (hits, misses) = iap.lookups();
            all.push(("assertion", hits, misses));
        }
        all
    }

    fn keepers(&self) -> impl Iterator<Item = &Arc<Keeper>> {
        self.issuers.iter().map(|issuer| &issuer.keys).chain(self.iap.iter().map(|iap| &iap.keys))
    }

    /// Fetches keys and keeps them fresh; to be spawned on the control runtime. Ends only when it is dropped.
    pub async fn keep_fresh(&self) {
        let keepers = self.keepers().map(Arc::clone);
        let directory = async {
            if let Some(directory) = &self.directory {
                directory.keep().await;
            }
        };
        tokio::join!(futures_util::future::join_all(keepers.map(Keeper::keep_fresh)), directory);
    }

    /// Whether nothing comes in through this door but what IAP vouches for.
    #[must_use]
    pub fn demands_iap(&self, door: Door) -> bool {
        self.iap.as_ref().is_some_and(|iap| iap.guards(door))
    }

    /// The address that people use.
    #[must_use]
    pub fn public_url(&self) -> &Url {
        &self.public_url
    }

    /// What holds of tokens of our own.
    #[must_use]
    pub fn token_settings(&self) -> &own::Settings {
        &self.tokens
    }

    /// What holds of logins of the command line.
    #[must_use]
    pub fn login_settings(&self) -> &oauth::Settings {
        &self.logins
    }

    /// The providers, in the file's order.
    #[must_use]
    pub fn issuers(&self) -> &[Arc<Issuer>] {
        &self.issuers
    }

    /// Recognises a caller; `None` is a stranger who showed nothing.
    ///
    /// # Errors
    /// [`AuthFault`] when something was shown and does not prove anything, or cannot be checked now.
    pub async fn authenticate(
        &self,
        peer: &Peer,
        credentials: &Credentials,
    ) -> Result<Option<Authenticated>, AuthFault> {
        match self.recognise(peer, credentials).await {
            Err(fault) if fault.counts() => {
                let now = self.clock.seconds();
                let by_address = self.throttle.wrong(network(peer.address), now);
                let by_name = fault.token().and_then(|name| self.named.wrong(Arc::clone(name), now));
                match by_address.max(by_name) {
                    Some(retry_after) => Err(AuthFault::Throttled { retry_after }),
                    None => Err(fault),
                }
            }
            verdict => verdict,
        }
    }

    async fn recognise(&self, peer: &Peer, shown: &Credentials) -> Result<Option<Authenticated>, AuthFault> {
        if let Some(iap) = &self.iap {
            if iap.guards(peer.door) {
                return self.by_assertion(iap, shown, peer).await.map(Some);
            }
            if !shown.assertion.is_nothing() && (!shown.authorization.is_nothing() || !shown.session.is_nothing()) {
                return Err(AuthFault::TwoCredentials);
            }
        }
        // Without IAP on this door its header is nobody's credential: it was removed, and counts for nothing.
        match (&shown.authorization, &shown.session) {
            (Shown::Several, _) => Err(AuthFault::TwoAuthorizations),
            (_, Shown::Several) => Err(AuthFault::Repeated("session cookie")),
            (Shown::One(_), Shown::One(_)) => Err(AuthFault::TwoCredentials),
            (Shown::One(field), Shown::Nothing) => {
                let token = match self.by_field(field, peer)? {
                    Came::Known(known) => return Ok(Some(known)),
                    Came::Foreign(token) => token,
                };
                let identity = self.by_bearer(token).await?;
                Ok(Some(Authenticated::without_session(identity)))
            }
            (Shown::Nothing, Shown::One(cookie)) => {
                let session = session::find(&self.store, cookie);
                if session.is_ok() { &self.sessions_found } else { &self.sessions_missed }
                    .fetch_add(1, Ordering::Relaxed);
                let session = session?;
                let identity = Arc::clone(&session.identity);
                Ok(Some(Authenticated { identity, session: Some(session), moved: false }))
            }
            (Shown::Nothing, Shown::Nothing) => Ok(None),
        }
    }

    /// A program gives IAP its credential in `Proxy-Authorization`, which IAP takes away, and ours in `Authorization`: IAP
    /// then vouches that it may come, and the token says who it is. No browser adds one by itself.
    async fn by_assertion(&self, iap: &Iap, shown: &Credentials, peer: &Peer) -> Result<Authenticated, AuthFault> {
        match &shown.assertion {
            Shown::Nothing => Err(AuthFault::AssertionMissing),
            Shown::Several => Err(AuthFault::Repeated("IAP assertion")),
            Shown::One(_) if !shown.session.is_nothing() => Err(AuthFault::TwoCredentials),
            Shown::One(assertion) => {
                let identity = Box::pin(iap.judge(assertion.as_bytes())).await?;
                let field = match &shown.authorization {
                    Shown::Nothing => return Ok(Authenticated::without_session(identity)),
                    Shown::Several => return Err(AuthFault::TwoAuthorizations),
                    Shown::One(field) => field,
                };
                match self.by_field(field, peer)? {
                    Came::Known(known) => Ok(known),
                    Came::Foreign(token) => self.bound_behind_iap(token).await,
                }
            }
        }
    }

    /// A job or a pod behind IAP: what its own platform signed counts where a binding makes a service account of it. Two
    /// words of providers on who a person is are one too many, and stay refused.
    async fn bound_behind_iap(&self, token: &[u8]) -> Result<Authenticated, AuthFault> {
        match Box::pin(self.by_bearer(token)).await {
            Ok(identity) if identity.proof == Proof::Bound => Ok(Authenticated::without_session(identity)),
            Ok(_) | Err(AuthFault::Token(BadToken::UnknownIssuer)) => Err(AuthFault::TwoCredentials),
            Err(fault) => Err(fault),
        }
    }

    /// Judges a token of ours at once, so that what was decoded of it is gone again before anything is waited for.
    fn by_field<'field>(&self, field: &'field HeaderValue, peer: &Peer) -> Result<Came<'field>, AuthFault> {
        let mut room = own::Room::new();
        match own::authorization(field.as_bytes(), &mut room)? {
            Authorization::Basic(token) | Authorization::Ours(token) => self.by_own_token(token, peer).map(Came::Known),
            Authorization::Foreign(token) => Ok(Came::Foreign(token)),
        }
    }

    /// One hash and a look into memory.
    fn by_own_token(&self, token: &[u8], peer: &Peer) -> Result<Authenticated, AuthFault> {
        let text = std::str::from_utf8(token).ok().and_then(token_form::read).ok_or(BadOwn::Malformed)?;
        let login = self.takes(text.beginning)?;
        let digest = TokenDigest::of(token);
        let shown = self.store.token(text.name, &digest, peer.address).map_err(|_| AuthFault::TokensUnavailable)?;
        let (identity, moved) = good(shown, text.name, login)?;
        Ok(Authenticated { identity, session: None, moved })
    }

    /// Whether a token of ours that begins so is that of a login.
    fn takes(&self, beginning: &str) -> Result<bool, BadOwn> {
        let login = match beginning {
            "tgr_" => return Err(BadOwn::Refresh),
            beginning => beginning == "tgl_",
        };
        let allowed = if login { self.logins.allow } else { self.tokens.allow };
        if allowed { Ok(login) } else { Err(BadOwn::SwitchedOff) }
    }

    async fn by_bearer(&self, token: &[u8]) -> Result<Arc<Identity>, AuthFault> {
        let print = Fingerprint::of(token);
        let version = |issuer: usize| self.issuers.get(issuer).and_then(|issuer| issuer.keys.version());
        // INVARIANT: the list by which the token is judged is the one that its verdict is kept with.
        let bindings = self.store.bindings();
        if let Some(identity) = self.verdicts.find(&print, self.clock.millis(), version, Some(&bindings)) {
            return Ok(identity);
        }
        if let Some(unfit) = self.refusals.find(&print, self.clock.millis(), version, &bindings) {
            return Err(AuthFault::Unfit(Box::new(unfit)));
        }
        let text = std::str::from_utf8(token).map_err(|_| BadToken::NotCompact)?;
        let token = Compact::parse(text)?;
        let in_force = InForce { configured: &self.bindings, stored: &bindings };
        let (place, issuer) = self.vouching(&token, &in_force).ok_or(BadToken::UnknownIssuer)?;
        // Boxed: it is rare, and every request's future would carry room for it.
        let (verdict, version) = Box::pin(issuer.judge_bearer(token, self.clock.now(), &in_force)).await?;
        let identity = match verdict {
            Ok(identity) => Arc::new(identity),
            Err(unfit) => {
                let now = self.clock.millis();
                self.refusals.keep(print, Refusal::new((*unfit).clone(), place, version, bindings, now));
                return Err(AuthFault::Unfit(unfit));
            }
        };
        // Whoever comes with a token of ours is in the groups that the issuer named last.
        // By a binding nobody comes but a service account: what names a person there is refused, and says nothing of them.
        if identity.proof == Proof::Bearer
            && let Err(fault) = Box::pin(self.store.vouch(&identity)).await
        {
            tracing::warn!(error = %fault, "the groups that an issuer named were not kept for tokens");
        }
        let skew = u64::try_from(issuer.settings.skew.as_millis()).unwrap_or_default();
        let ends = millis_of(identity.until) + skew;
        let verdict =
            Verdict { identity: Arc::clone(&identity), issuer: place, version, ends, bindings: Some(bindings) };
        self.verdicts.keep(print, verdict);
        Ok(identity)
    }

    /// The caller with the groups that Google knows of them, beside those that their credential named. They are not part of
    /// a session or of a verdict on a token: each request has them as they are now.
    ///
    /// # Errors
    /// [`AuthFault::GroupsUnavailable`] when they cannot be known: one of them could be denied something.
    pub async fn with_groups(&self, identity: Arc<Identity>) -> Result<Arc<Identity>, AuthFault> {
        let Some(directory) = self.directory_of(&identity) else { return Ok(identity) };
        let groups = match directory.known(&identity.user)? {
            Known::Groups(groups) => groups,
            // Boxed: it is rare, and every request's future would carry room for it.
            Known::Soon(asking) => Box::pin(directory.wait(asking)).await?,
        };
        if groups.is_empty() {
            return Ok(identity);
        }
        let mut identity = Identity::clone(&identity);
        identity.groups.extend(groups.iter().cloned());
        Ok(Arc::new(identity))
    }

    /// Where the caller's groups are looked up: only for an address that was verified, of a domain that is configured.
    fn directory_of(&self, identity: &Identity) -> Option<&Arc<Directory>> {
        let directory = self.directory.as_ref()?;
        let vouches = |named: &str| {
            named == iap::ISSUER
                || self
                    .issuers
                    .iter()
                    .any(|issuer| *issuer.settings.issuer == *named && issuer.settings.names_by_verified_address())
        };
        let verified = match identity.proof {
            // Of whoever comes with a token of ours, those whom such an issuer vouched for before; and service accounts, by
            // whatever they come: whoever calls one by an address of these domains means it.
            Proof::Token | Proof::Bound => self
                .store
                .user(&identity.user)
                .is_some_and(|user| user.service || user.identities.iter().any(|known| vouches(&known.issuer))),
            Proof::Session | Proof::Bearer | Proof::Iap => vouches(&identity.issuer),
        };
        (verified && directory.speaks_of(&identity.user)).then_some(directory)
    }

    /// Whether two addresses are in one network, as far as one can tell.
    #[must_use]
    pub fn is_near(&self, one: IpAddr, other: IpAddr) -> bool {
        network(one) == network(other)
    }

    /// The open session that a browser shows, whether or not the request needs one.
    #[must_use]
    pub fn session_of(&self, credentials: &Credentials) -> Option<Arc<Session>> {
        session::shown(&self.store, &credentials.session)
    }

    fn client_secret(&self, provider: &str) -> Option<&str> {
        self.client_secrets.get(provider).map(ExposeSecret::expose_secret)
    }

    /// The issuer that must vouch for a token. Two entries may share an issuer (a login client and a bearer audience
    /// apart): the one that takes bearer tokens is meant.
    fn vouching(&self, token: &Compact<'_>, in_force: &InForce<'_>) -> Option<(usize, &Arc<Issuer>)> {
        let iss = token.issuer()?;
        let takes =
            |issuer: &Issuer| issuer.settings.takes_bearers() || in_force.of(&issuer.settings.name).next().is_some();
        self.issuers.iter().enumerate().find(|(_, issuer)| issuer.is_called(iss) && takes(issuer))
    }
}

/// What an `Authorization` field says.
enum Came<'field> {
    /// Who comes, by a token of ours.
    Known(Authenticated),
    /// A token that is not ours.
    Foreign(&'field [u8]),
}

/// Who comes with a token of ours of this name, and whether from a new network; or why it does not count.
fn good(shown: TokenShown, name: &str, login: bool) -> Result<(Arc<Identity>, bool), BadOwn> {
    let id = || Arc::from(name);
    match shown {
        TokenShown::Good { identity, moved } => Ok((identity, moved)),
        TokenShown::Unknown => Err(BadOwn::Unknown(id())),
        TokenShown::Expired(at) => Err(BadOwn::Expired { id: id(), at, login }),
        TokenShown::Revoked(at) => Err(BadOwn::Revoked { id: id(), at, login }),
    }
}

fn open(settings: issuer::Settings, clock: &Clock) -> Result<Arc<Issuer>, SetupFault> {
    let name = settings.name.clone();
    let source = issuer::source(&settings).ok_or_else(|| SetupFault::BadAddress(name.clone()))?;
    let fetcher = Fetcher::new(&settings.fetch).map_err(|fault| SetupFault::Trust { name: name.clone(), fault })?;
    let keys = Keeper::new(&name, source, fetcher, settings.keys_keep, clock.clone());
    Ok(Arc::new(Issuer::new(settings, keys)))
}

fn millis_of(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
