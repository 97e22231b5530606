//! What changes when the configuration is read again?
//!
//! The house is built anew beside the one that stands, on the same store, audit log and connections, and takes its place
//! in one moment: a request that is under way ends in the house in which it began. Whatever is wrong, the old one stays: a
//! file with faults, a key that takes a restart, an issuer whose keys cannot be had.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use super::serve::{Ground, build, fetch};
use crate::authenticate::SetupFault;
use crate::clock::Clock;
use crate::config::{Asked, Config, Faults};
use crate::gate::House;
use crate::gate::limits::Limits;
use crate::monitor::Fact;
use crate::seal::Seal;

/// How long keys of issuers may take. `systemctl reload` waits for them.
const PATIENCE: Duration = Duration::from_secs(5);

/// What may change while the gate is open: these keys, and tables and lists of tables with their keys.
const LIVE: &[&str] = &[
    "access.artifact_locations",
    "access.authors",
    "access.lenient_edit",
    "access.list_budget",
    "access.menu_entry",
    "access.model_sources",
    "access.presigned_artifacts",
    "access.sign_out_entry",
    "binding",
    "extra_hosts",
    "google_groups",
    "issuer",
    "limits.answers_at_once",
    "limits.artifact_body",
    "limits.bodies_at_once",
    "limits.failed_credentials",
    "limits.json_body",
    "limits.large_json_body",
    "limits.list_answer",
    "login",
    "rates",
    "session.absolute",
    "session.login",
    "tokens",
    "trace.sample",
];

/// Why the old house stays.
#[derive(Debug, thiserror::Error)]
enum ReloadFault {
    /// The file.
    #[error(transparent)]
    File(#[from] Faults),
    /// Keys that other rooms took at the start.
    #[error("a restart is needed for {}: nothing of the file was taken", .0.join(", "))]
    Restart(Vec<String>),
    /// An issuer.
    #[error(transparent)]
    Setup(#[from] SetupFault),
    /// An issuer that had keys would have none.
    #[error("the keys of {} could not be had in time", .0.join(", "))]
    Keys(Vec<String>),
}

/// How the last reading went. A clone tells the same.
#[derive(Debug, Clone, Default)]
pub(super) struct Told(Arc<Mutex<Last>>);

#[derive(Debug, Default)]
struct Last {
    fault: Option<String>,
    /// When what is in force was read; `None` where nothing is read again.
    good: Option<SystemTime>,
}

impl Told {
    /// What is wrong, in words without secrets: the log says more.
    pub(super) fn fact(&self) -> Fact {
        lock(&self.0).fault.clone().map_or(Ok(()), Err)
    }

    /// When the configuration was read that is in force. `None` where nothing is read again.
    pub(super) fn since(&self) -> Option<SystemTime> {
        lock(&self.0).good
    }

    fn is_good(&self, now: SystemTime) {
        *lock(&self.0) = Last { fault: None, good: Some(now) };
    }

    fn is_wrong(&self, fault: String) {
        lock(&self.0).fault = Some(fault);
    }
}

/// Builds houses anew.
pub(super) struct Reload {
    live: Arc<ArcSwap<House>>,
    seal: Arc<Seal>,
    clock: Clock,
    in_force: Mutex<Vec<Asked>>,
    fetching: Mutex<Option<JoinHandle<()>>>,
    told: Told,
}

impl Reload {
    /// The house that stands was built from a file with these keys; `fetching` keeps its issuers' keys fresh. How it goes is
    /// told to `told`.
    pub(super) fn new(
        live: Arc<ArcSwap<House>>,
        seal: Arc<Seal>,
        clock: Clock,
        keys: Vec<Asked>,
        fetching: Option<JoinHandle<()>>,
        told: Told,
    ) -> Self {
        told.is_good(clock.now());
        Self { live, seal, clock, in_force: Mutex::new(keys), fetching: Mutex::new(fetching), told }
    }

    /// Reads the file again and takes over what changed. Tells the log, and [`Told`], how it went.
    pub(super) async fn read(&self, file: &Path) {
        match self.try_to(file).await {
            Ok(changed) if changed.is_empty() => tracing::info!("the configuration was read again: nothing changed"),
            Ok(changed) => {
                tracing::info!(changed = changed.join(", "), "the configuration was read again and is in force");
            }
            Err(fault) => {
                tracing::error!(%fault, "the configuration was read again and is not in force; the old one stays");
                self.told.is_wrong(brief(&fault));
                return;
            }
        }
        self.told.is_good(self.clock.now());
    }

    async fn try_to(&self, file: &Path) -> Result<Vec<String>, ReloadFault> {
        let mut config = Config::load(file)?;
        let keys = std::mem::take(&mut config.keys);
        let changed = changed(&lock(&self.in_force), &keys);
        let (live, fixed): (Vec<String>, Vec<String>) = changed.into_iter().partition(|key| may_change(key));
        if !fixed.is_empty() {
            return Err(ReloadFault::Restart(fixed));
        }
        // Without a changed key too: the files that are named, secrets and authorities, may have changed.
        let old = self.live.load_full();
        let limits = if *old.limits.settings() == config.rates {
            Arc::clone(&old.limits)
        } else {
            Arc::new(Limits::new(&config.rates))
        };
        let ground = Ground {
            store: old.store.clone(),
            audit: old.audit.clone(),
            tunnels: old.forward.tunnels.clone(),
            answer: old.answer.with(config.answer),
            limits,
            news: Arc::clone(&old.news),
            metrics: old.metrics.clone(),
            spans: old.spans.sampling(config.trace.as_ref().map(|trace| trace.sample)),
        };
        let new = Arc::new(build(config, ground, &self.seal, &self.clock)?);
        // Whether this fails or is given up: nobody fetches keys for a house that does not stand.
        let fetching = AbortOnDropHandle::new(fetch(&new.authenticator));
        keys_are_there(&old, &new).await.map_err(ReloadFault::Keys)?;
        self.live.store(new);
        if let Some(former) = lock(&self.fetching).replace(fetching.detach()) {
            former.abort();
        }
        *lock(&self.in_force) = keys;
        Ok(live)
    }

    /// Ends what runs for the house that stands.
    pub(super) fn end(&self) {
        if let Some(fetching) = lock(&self.fetching).take() {
            fetching.abort();
        }
    }
}

/// Waits until the new house has the keys of all issuers whose keys the old one has: nobody must lose a session for a
/// file that was read again. Tells whose are missing.
async fn keys_are_there(old: &House, new: &House) -> Result<(), Vec<String>> {
    let end = Instant::now() + PATIENCE;
    let lacked = old.authenticator.without_keys();
    loop {
        let missing: Vec<&str> =
            new.authenticator.without_keys().into_iter().filter(|name| !lacked.contains(name)).collect();
        if missing.is_empty() {
            return Ok(());
        }
        if Instant::now() > end {
            return Err(missing.into_iter().map(str::to_owned).collect());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The keys whose values are not the same.
fn changed(old: &[Asked], new: &[Asked]) -> Vec<String> {
    let map = |keys: &[Asked]| -> BTreeMap<String, Option<String>> {
        keys.iter().map(|asked| (asked.key.clone(), asked.value.clone())).collect()
    };
    let (old, new) = (map(old), map(new));
    let gone = old.keys().filter(|key| !new.contains_key(*key));
    let other = new.iter().filter(|(key, value)| old.get(*key) != Some(*value)).map(|(key, _)| key);
    let mut keys: Vec<String> = gone.chain(other).cloned().collect();
    keys.sort_unstable();
    keys
}

fn may_change(key: &str) -> bool {
    LIVE.iter().any(|live| key.strip_prefix(live).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '['])))
}

/// For the monitor, which anybody near may read: without what the file says.
fn brief(fault: &ReloadFault) -> String {
    match fault {
        ReloadFault::File(faults) => format!("{}; the old one is in force", in_file(faults)),
        ReloadFault::Restart(keys) => format!("a restart is needed for {}; the old one is in force", keys.join(", ")),
        ReloadFault::Setup(_) => "an issuer cannot be set up; the old one is in force".to_owned(),
        ReloadFault::Keys(_) => "an issuer's keys could not be had; the old one is in force".to_owned(),
    }
}

/// How many faults, and where the first is. A file that cannot be read has one, which is nowhere in it.
fn in_file(faults: &Faults) -> String {
    let Some(first) = faults.faults.first() else { return "the file has faults".to_owned() };
    let place = match (first.line, first.key.as_str()) {
        (None, "") => return "the file cannot be read".to_owned(),
        (None, key) => format!("`{key}`"),
        (Some(line), "") => format!("line {line}"),
        (Some(line), key) => format!("line {line}, `{key}`"),
    };
    match faults.faults.len() {
        1 => format!("the file has a fault: {place}"),
        many => format!("the file has {many} faults, the first: {place}"),
    }
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing between lock and unlock can leave what is shared half-written.
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &str = include_str!("../../config/example.toml");

    fn keys(text: &str) -> Vec<Asked> {
        Config::parse(text).unwrap_or_else(|faults| panic!("{faults:#?}")).keys
    }

    #[test]
    fn every_live_key_is_one() {
        let known = keys(EXAMPLE);
        for live in LIVE {
            let optional = ["binding", "google_groups", "trace.sample"].contains(live);
            assert!(
                optional || known.iter().any(|asked| may_change(&asked.key) && asked.key.starts_with(live)),
                "{live}"
            );
        }
    }

    #[test]
    fn where_the_gate_listens_what_it_keeps_and_whom_it_asks_takes_a_restart() {
        for key in
            ["public_url", "state_dir", "listen.https", "store.url", "upstream.url", "audit.file", "access.admins"]
        {
            assert!(!may_change(key), "{key}");
        }
        for key in ["issuer[2].name", "issuer[1].login.client_id", "rates.person", "binding[1].claims", "extra_hosts"] {
            assert!(may_change(key), "{key}");
        }
        assert!(!may_change("login_elsewhere.allow"), "a longer word is another word");
    }

    #[test]
    fn a_refused_file_is_told_with_the_place_of_its_first_fault() {
        let told =
            |text: &str| in_file(&Config::parse(text).err().map(|faults| Faults { file: "x".into(), faults }).unwrap());
        let line = EXAMPLE.lines().position(|line| line.starts_with("person_at_once")).unwrap() + 1;
        let one = EXAMPLE.replace("person_at_once = 32", "person_at_once = \"many\"");
        assert_eq!(told(&one), format!("the file has a fault: line {line}, `rates.person_at_once`"));
        let two = one.replace("state_dir = ", "state_dri = ");
        assert!(told(&two).contains("faults, the first: "), "{}", told(&two));
        assert!(told("public_url = ").contains("line 1"), "{}", told("public_url = "));
        let missing = Config::load(Path::new("/nowhere/trackgate.toml")).unwrap_err();
        assert_eq!(in_file(&missing), "the file cannot be read");
    }

    #[test]
    fn what_is_new_gone_or_different_has_changed() {
        let old = keys(EXAMPLE);
        assert_eq!(changed(&old, &old), Vec::<String>::new());
        let new = keys(&EXAMPLE.replace("person_at_once = 32", "person_at_once = 33"));
        assert_eq!(changed(&old, &new), ["rates.person_at_once"]);
        let new = keys(&format!("{EXAMPLE}\n[google_groups]\ndomains = [\"example.com\"]\n"));
        let keys = changed(&old, &new);
        assert!(
            keys.contains(&"google_groups.domains".to_owned()) && keys.iter().all(|key| may_change(key)),
            "{keys:?}"
        );
        assert_eq!(changed(&new, &old).len(), keys.len());
    }
}
