//! In which Google groups is this person?
//!
//! Cloud Identity is asked with our service account's credentials, whoever the person is and however they proved it. What it
//! says is kept (`kept`): fresh for some minutes, and used for a stated time longer while Google cannot be asked. It is
//! asked again ahead of time, in the background, for whoever goes on sending requests; somebody who comes back later
//! waits for the answer, so that a removed member has lost the group within that time.
//!
//! Groups that are not known are not "none": one of them could be denied something. Who cannot be looked up, and was not
//! lately, is refused.
//!
//! This room trusts the address it is given: whether an issuer may vouch for it is for `authenticate` to say.

mod fault;
mod filter;
mod kept;
mod outage;
mod person;
mod search;

#[cfg(test)]
#[path = "../../tests/harness/google.rs"]
pub(crate) mod lookalike;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use moka::sync::Cache;
use tokio::sync::Semaphore;
use url::Url;

pub use self::fault::{DirectoryFault, SetupFault};
pub use self::filter::Filter;
use self::outage::Outage;
use self::person::{Flight, Next, Person, Times};
use self::search::Search;
use crate::clock::Clock;
use crate::fetch::{self, Fetcher, is_metadata, is_secure};
pub use crate::google::METADATA_URL;
use crate::google::{Key, Source, Tokens};
use crate::mlflow::ids::{GroupName, UserName};

/// People who are remembered at once.
const MOST_PEOPLE: u64 = 100_000;
/// Look-ups that run at once; more wait for their turn, within their own time.
const AT_ONCE: usize = 32;
/// How often new answers reach the file.
const WRITTEN: Duration = Duration::from_secs(30);
/// The largest page: 500 relations with names of the longest kind.
const MOST_BYTES: usize = 4 * 1024 * 1024;

/// The least that the search needs.
pub const SCOPE: &str = "https://www.googleapis.com/auth/cloud-identity.groups.readonly";
/// Google's API.
pub const API_URL: &str = "https://cloudidentity.googleapis.com";
/// `[google_groups]`.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Domains of addresses that are looked up, in lower case; also those of service accounts.
    pub domains: Vec<String>,
    /// A service account's key; absent: the metadata server's.
    pub key_file: Option<PathBuf>,
    /// Put in front of each group's name.
    pub groups_prefix: String,
    /// Only these are taken, in lower case; empty: all.
    pub groups_allowed: Vec<String>,
    /// Google's id of the organization whose groups count; absent: every group that we may see.
    pub customer: Option<String>,
    /// Only groups with Google's label for access control.
    pub security_groups_only: bool,
    /// How long an answer is as good as a new one.
    pub fresh: Duration,
    /// How long it is used while Google cannot be asked.
    pub keep: Duration,
    /// How long a look-up may take.
    pub timeout: Duration,
    /// Where answers are kept over a restart, if anywhere.
    pub kept_in: Option<PathBuf>,
    /// Where the API is.
    pub api_url: Url,
    /// Where the metadata server is.
    pub metadata_url: Url,
    /// How both are asked.
    pub fetch: fetch::Settings,
}

impl Settings {
    /// The defaults, for these domains and addresses.
    #[must_use]
    pub fn new(domains: Vec<String>, api_url: Url, metadata_url: Url) -> Self {
        Self {
            domains,
            key_file: None,
            groups_prefix: String::new(),
            groups_allowed: Vec::new(),
            customer: None,
            security_groups_only: false,
            fresh: Duration::from_mins(5),
            keep: Duration::from_hours(1),
            timeout: Duration::from_secs(5),
            kept_in: None,
            api_url,
            metadata_url,
            fetch: fetch::Settings { most: MOST_BYTES, ..fetch::Settings::default() },
        }
    }
}

/// The groups of people at Google. Shared by all workers.
pub struct Directory {
    domains: Vec<String>,
    groups_prefix: String,
    groups_allowed: Vec<String>,
    times: Times,
    timeout: Duration,
    clock: Clock,
    search: Search,
    people: Cache<UserName, Arc<Person>>,
    turns: Semaphore,
    /// Until then Google asked for patience, in milliseconds since the epoch.
    quiet_until: AtomicU64,
    outage: Outage,
    kept_in: Option<PathBuf>,
    /// What answers mean under these settings.
    meaning: String,
    /// There is an answer that the file does not have.
    new: AtomicBool,
}

/// What is known of somebody's groups without asking.
pub enum Known {
    /// These.
    Groups(Arc<[GroupName]>),
    /// They are being asked for.
    Soon(Asking),
}

/// A look-up that runs.
pub struct Asking {
    person: Arc<Person>,
    flight: Flight,
}

impl Directory {
    /// Sets everything up, without asking yet.
    ///
    /// # Errors
    /// [`SetupFault`] for a key or an address that cannot be used.
    pub fn new(settings: Settings, clock: Clock) -> Result<Arc<Self>, SetupFault> {
        let meaning = meaning(&settings);
        let fetch = fetch::Settings { total: settings.timeout, ..settings.fetch };
        let fetcher = Fetcher::new(&fetch)?;
        if !is_secure(&settings.api_url) {
            return Err(SetupFault::BadAddress(settings.api_url.into()));
        }
        let source = match &settings.key_file {
            Some(path) => Source::Key(Box::new(Key::read(path)?)),
            None if is_metadata(&settings.metadata_url) => Source::Metadata(settings.metadata_url),
            None => return Err(SetupFault::BadAddress(settings.metadata_url.into())),
        };
        let times = Times::new(settings.fresh, settings.keep);
        let directory = Arc::new(Self {
            kept_in: settings.kept_in,
            meaning,
            new: AtomicBool::new(false),
            domains: settings.domains,
            groups_prefix: settings.groups_prefix,
            groups_allowed: settings.groups_allowed,
            people: Cache::builder().max_capacity(MOST_PEOPLE).time_to_idle(settings.keep.max(settings.fresh)).build(),
            times,
            timeout: settings.timeout,
            search: Search {
                api: settings.api_url,
                customer: settings.customer,
                security_groups_only: settings.security_groups_only,
                tokens: Tokens::new(SCOPE, source, fetcher.clone(), clock.clone()),
                fetcher,
            },
            clock,
            turns: Semaphore::new(AT_ONCE),
            quiet_until: AtomicU64::new(0),
            outage: Outage::default(),
        });
        directory.remember();
        Ok(directory)
    }

    /// Takes up what was said before a restart.
    fn remember(&self) {
        let Some(path) = &self.kept_in else { return };
        let now = self.clock.millis();
        match kept::read(path, &self.meaning, self.times.oldest(now), now) {
            Ok(answers) => {
                for answer in answers.into_iter().filter(|answer| self.speaks_of(&answer.user)) {
                    self.people.insert(answer.user, Arc::new(Person::known(answer.groups, answer.asked)));
                }
            }
            Err(error) => {
                let file = path.display();
                tracing::warn!(%error, %file, "what Google said of groups before the restart is not used");
            }
        }
    }

    /// Writes answers down from time to time, so that they outlive a restart. Ends only when it is dropped.
    pub async fn keep(self: &Arc<Self>) {
        loop {
            tokio::time::sleep(WRITTEN).await;
            self.write_down().await;
        }
    }

    /// Writes answers down, where there are new ones.
    pub async fn write_down(self: &Arc<Self>) {
        let directory = Arc::clone(self);
        let Some(path) = self.kept_in.clone().filter(|_| self.new.swap(false, Ordering::AcqRel)) else { return };
        let written = tokio::task::spawn_blocking(move || {
            let oldest = directory.times.oldest(directory.clock.millis());
            let known = directory.people.iter().filter_map(|(name, person)| {
                let (groups, asked) = person.last()?;
                (asked > oldest).then(|| kept::Answer { user: UserName::clone(&name), asked, groups })
            });
            kept::write(&path, &directory.meaning, &known.collect::<Vec<_>>())
        });
        if let Ok(Err(error)) = written.await {
            self.new.store(true, Ordering::Release);
            tracing::warn!(%error, "what Google says of groups was not written down for a restart");
        }
    }

    /// Whether the person is one to be looked up: the whole domain of the address is configured.
    #[must_use]
    pub fn speaks_of(&self, person: &UserName) -> bool {
        let domain = person.as_str().rsplit_once('@').map(|(_, domain)| domain);
        domain.is_some_and(|domain| self.domains.iter().any(|own| own.eq_ignore_ascii_case(domain)))
    }

    /// The groups of a person from memory, or a look-up to wait for. Never waits itself; where it is time, a look-up begins
    /// in the background. To be called on a runtime.
    ///
    /// # Errors
    /// [`DirectoryFault`] of the last look-up, when nothing is known and it is too early for the next.
    pub fn known(self: &Arc<Self>, name: &UserName) -> Result<Known, DirectoryFault> {
        let person = self.people.get(name).unwrap_or_else(|| self.people.get_with_by_ref(name, Arc::default));
        match person.next(self.clock.millis(), self.times) {
            Next::Use { groups, begin } => {
                if let Some(flight) = begin {
                    self.begin(name, &person, flight);
                }
                Ok(Known::Groups(groups))
            }
            Next::Wait { flight, begin } => {
                if let Some(begun) = begin {
                    self.begin(name, &person, begun);
                }
                Ok(Known::Soon(Asking { person, flight }))
            }
            Next::Refuse(fault) => Err(fault),
        }
    }

    /// Waits for a look-up. It ends by itself within the look-up's time.
    ///
    /// # Errors
    /// [`DirectoryFault`] when it brought nothing and nothing is kept from before.
    pub async fn wait(&self, asking: Asking) -> Result<Arc<[GroupName]>, DirectoryFault> {
        asking.flight.landed().await;
        asking.person.after(self.clock.millis(), self.times)
    }

    /// The groups of a person, asked for now and not remembered: for `trackgate check`.
    ///
    /// # Errors
    /// [`DirectoryFault`] when there is no complete answer.
    pub async fn ask(&self, name: &UserName) -> Result<Vec<GroupName>, DirectoryFault> {
        let filter = Filter { prefix: &self.groups_prefix, allowed: &self.groups_allowed };
        let search = async {
            let _turn = self.turns.acquire().await.map_err(|_| DirectoryFault::BrokenOff)?;
            self.search.groups_of(name.as_str(), filter).await
        };
        tokio::time::timeout(self.timeout, search).await.map_err(|_| DirectoryFault::TimedOut)?
    }

    /// Whether our credentials bring an access token: for `trackgate check`.
    ///
    /// # Errors
    /// [`DirectoryFault`] when they do not.
    pub async fn try_credentials(&self) -> Result<(), DirectoryFault> {
        Ok(self.search.tokens.get().await.map(drop)?)
    }

    /// A task of its own: the client that caused it may hang up, and others wait for the same.
    fn begin(self: &Arc<Self>, name: &UserName, person: &Arc<Person>, flight: person::Begun) {
        let (directory, name) = (Arc::clone(self), name.clone());
        // Whatever happens to the task, its end is the end of the flight.
        let landing = person.landing(flight);
        tokio::spawn(async move {
            let asked = directory.clock.millis();
            let outcome = match directory.quiet_for(asked) {
                Some(retry_after) => Err(DirectoryFault::Throttled { retry_after }),
                None => directory.ask(&name).await,
            };
            let now = directory.clock.millis();
            match &outcome {
                Ok(_) => {
                    if let Some(failures) = directory.outage.answered(now) {
                        tracing::info!(failures, "Google answers again for groups");
                    }
                }
                Err(fault) => {
                    if let DirectoryFault::Throttled { retry_after } = fault {
                        let until = now + u64::try_from(retry_after.as_millis()).unwrap_or_default();
                        let longest = u64::try_from(search::MOST_PATIENCE.as_millis()).unwrap_or_default();
                        let later = |before: u64| Some(if before > now + longest { until } else { before.max(until) });
                        let _ = directory.quiet_until.fetch_update(Ordering::AcqRel, Ordering::Acquire, later);
                    }
                    if directory.outage.failed(fault, now) {
                        tracing::warn!(
                            user = name.as_str(),
                            %fault,
                            "groups cannot be looked up at Google; those known from before are kept for `google_groups.keep`, \
                             and who has none is refused"
                        );
                    }
                }
            }
            let answered = outcome.is_ok();
            landing.done(outcome.map(Arc::from), asked, now);
            if answered {
                directory.new.store(true, Ordering::Release);
            }
        });
    }

    fn quiet_for(&self, now: u64) -> Option<Duration> {
        let left = Duration::from_millis(self.quiet_until.load(Ordering::Acquire).saturating_sub(now));
        // Google asks for no longer one; then the clock was ahead.
        (!left.is_zero() && left <= search::MOST_PATIENCE).then_some(left)
    }
}

/// What of the settings makes one and the same answer mean something else.
fn meaning(settings: &Settings) -> String {
    let Settings { groups_prefix, groups_allowed, customer, security_groups_only, api_url, .. } = settings;
    format!("{:?}", (groups_prefix, groups_allowed, customer, security_groups_only, api_url.as_str()))
}
