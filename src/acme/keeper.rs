//! Who looks after the certificate, day and night?
//!
//! One task. It wakes often and looks at the clock, since a clock may jump; it acts seldom.

use std::fs::File;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand;
use instant_acme::{Account, CertificateIdentifier};
use rustls_pki_types::Der;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::sync::Notify;

use super::desk::Desk;
use super::fault::Fault;
use super::order::{Errand, binding_key};
use super::plan::{self, Alarm, Window};
use super::settings::Settings;
use super::shelf::{Attempts, Pair, Shelf};
use super::speak::Speaker;
use crate::certificate::Shown;
use crate::clock::Clock;
use crate::fetch::{BadTrust, Fetcher};

/// A certificate of the future: within this, clocks differ; beyond it, one of them is wrong.
const CLOCKS_DIFFER: Duration = Duration::from_hours(1);
/// How often the authority is asked for its suggestion (RFC 9773 section 4.3.2), whatever it says.
const SUGGESTED: (Duration, Duration) = (Duration::from_hours(1), Duration::from_hours(24));
/// Whoever replaces a certificate that is younger does not do it again at once.
const YOUNG: Duration = Duration::from_hours(24);
/// No wait that was written down is longer than this: the clock was wrong then, or is now.
const LONGEST_WAIT: Duration = Duration::from_hours(9 * 24);
/// How long after being asked too often, where the authority does not say.
const RATE_LIMIT: Duration = Duration::from_hours(1);
/// Whoever hastens us by SIGHUP does not do it more often.
const HASTE: Duration = Duration::from_mins(1);

/// Why there is nobody to look after certificates.
#[derive(Debug, thiserror::Error)]
pub enum OpenFault {
    /// The authority's own certificate could not be verified.
    #[error("acme: {0}")]
    Trust(#[from] BadTrust),
    /// There is no certificate, and none could be kept.
    #[error("acme: {0}")]
    Fault(#[from] Fault),
}

/// Looks after the certificate.
pub struct Keeper {
    settings: Settings,
    shelf: Shelf,
    desk: Arc<Desk>,
    speaker: Speaker,
    expiry: Shown,
    clock: Clock,
    hastened: Notify,
    lock: Mutex<Option<File>>,
    kept: Mutex<Option<Pair>>,
    trouble: Mutex<Option<String>>,
    looks: AtomicU64,
}

/// What the task knows from one look to the next.
struct Memory {
    attempts: Attempts,
    /// When this process last tried.
    tried: Option<Instant>,
    suggestion: Option<Window>,
    ask_suggestion: Instant,
    /// What was said already, so that it is not said at each look.
    said: Option<&'static str>,
}

impl Keeper {
    /// Takes up what is kept, and shows it. Nobody is asked yet.
    ///
    /// # Errors
    /// [`OpenFault`]: where nothing is kept, there must be a place to keep things. A kept certificate is shown even if the
    /// folder cannot be written.
    pub fn open(settings: Settings, desk: Arc<Desk>, expiry: Shown, clock: Clock) -> Result<Self, OpenFault> {
        let shelf = Shelf::of(&settings.state_dir, &settings.directory);
        if let Some(binding) = &settings.binding {
            binding_key(binding)?;
        }
        let speaker = Speaker::new(Fetcher::new(&settings.fetch)?);
        let prepared = shelf.prepare().and_then(|()| shelf.lock());
        let kept = shelf.certificate(&settings.domains);
        let lock = match (prepared, &kept) {
            (Ok(lock), _) => lock,
            (Err(fault), Ok(Some(_))) => {
                tracing::error!(%fault, "the folder of certificates cannot be used: the kept one is shown, and cannot be renewed");
                None
            }
            (Err(fault), _) => return Err(fault.into()),
        };
        if lock.is_some() {
            shelf.sweep();
        } else {
            tracing::info!(folder = %shelf.folder().display(), "another process asks for the certificate; this one takes up what it is given");
        }
        let keeper = Self {
            settings,
            shelf,
            desk,
            speaker,
            expiry,
            clock,
            hastened: Notify::new(),
            lock: Mutex::new(lock),
            kept: Mutex::default(),
            trouble: Mutex::default(),
            looks: AtomicU64::new(0),
        };
        if let Some(pair) = kept? {
            keeper.show(pair, "the kept certificate is in use");
        } else {
            let names = keeper.settings.domains.join(", ");
            tracing::warn!(names, "there is no certificate yet: TLS handshakes are refused until there is one");
        }
        Ok(keeper)
    }

    /// Tries again soon, whatever failed before: somebody mended something. What the authority itself asked for is kept.
    pub fn hasten(&self) {
        self.hastened.notify_one();
    }

    /// Why the last attempt failed, if it did.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether there is a certificate that clients can accept, by this machine's clock.
    #[must_use]
    pub fn is_certified(&self) -> bool {
        self.kept().is_some_and(|pair| pair.facts.to > self.clock.now())
    }

    /// How often it was looked whether something is to be done: a number that grows.
    #[must_use]
    pub fn looks(&self) -> u64 {
        self.looks.load(Ordering::SeqCst)
    }

    /// Whether this process is the one that asks.
    #[must_use]
    pub fn leads(&self) -> bool {
        self.lock.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// Looks after the certificate, for ever. The doors must be open: the authority comes to look.
    pub async fn keep(&self) {
        let mut memory = Memory {
            attempts: self.shelf.attempts(),
            tried: None,
            suggestion: None,
            ask_suggestion: Instant::now(),
            said: None,
        };
        if memory.attempts.asked != self.asked() {
            memory.attempts = Attempts::default();
        }
        // What was begun is finished at once: it is paid for.
        if self.leads() && matches!(self.shelf.begun(), Ok(Some(_))) && !memory.attempts.told {
            memory.attempts.not_before = 0;
        }
        loop {
            self.look(&mut memory).await;
            self.looks.fetch_add(1, Ordering::SeqCst);
            tokio::select! {
                () = tokio::time::sleep(self.settings.pace.look) => {}
                () = self.hastened.notified() => self.haste(&mut memory),
            }
        }
    }

    fn haste(&self, memory: &mut Memory) {
        if !memory.attempts.told
            && memory.tried.is_none_or(|tried| tried.elapsed() > HASTE.min(self.settings.pace.first))
        {
            memory.attempts.not_before = 0;
        }
        memory.said = None;
        // Somebody may have put another certificate there.
        if let Err(fault) = self.take_up() {
            tracing::error!(%fault, "the kept certificate cannot be read");
        }
    }

    async fn look(&self, memory: &mut Memory) {
        if !self.leads() {
            match self.shelf.lock() {
                Ok(Some(file)) => {
                    *self.lock.lock().unwrap_or_else(PoisonError::into_inner) = Some(file);
                    self.shelf.sweep();
                    memory.attempts = self.shelf.attempts();
                    tracing::info!("this process asks for the certificate from now on");
                }
                Ok(None) => {}
                Err(fault) => Self::say(memory, "unlocked", || {
                    tracing::error!(%fault, "the folder of certificates cannot be used: nothing is renewed");
                }),
            }
            // What the other one wrote last counts, also where it has just ended.
            if let Err(fault) = self.take_up() {
                Self::say(memory, "unread", || tracing::error!(%fault, "the kept certificate cannot be read"));
            }
            if !self.leads() {
                return;
            }
        }
        self.ask_suggestion(memory).await;
        let now = self.clock.now();
        if !self.is_due(memory, now) {
            return;
        }
        let until = memory.attempts.until();
        if until > now && until.duration_since(now).is_ok_and(|wait| wait < LONGEST_WAIT) {
            return;
        }
        self.attempt(memory, now).await;
    }

    fn is_due(&self, memory: &mut Memory, now: SystemTime) -> bool {
        let Some(pair) = self.kept() else { return true };
        if !pair.fits {
            Self::say(memory, "misfit", || {
                tracing::warn!("the kept certificate is not for all of `acme.domains`: there will be another one");
            });
            return true;
        }
        if pair.facts.from > now + CLOCKS_DIFFER {
            // Another one would be younger still.
            Self::say(memory, "young", || {
                tracing::error!(
                    "the kept certificate is not valid yet: is this machine's clock wrong? nothing is ordered"
                );
            });
            return false;
        }
        plan::renew_at(&pair.facts, self.settings.renew_before, memory.suggestion, spread(&pair)) <= now
    }

    /// Asks the authority when it would like the certificate to be renewed, where it has a mind about that.
    async fn ask_suggestion(&self, memory: &mut Memory) {
        if Instant::now() < memory.ask_suggestion {
            return;
        }
        let Some(id) = self.kept().and_then(|pair| identifier(&pair)) else { return };
        let Ok(Some(credentials)) = self.shelf.account() else { return };
        memory.ask_suggestion = Instant::now() + SUGGESTED.1;
        let builder = Account::builder_with_http(Box::new(self.speaker.clone()));
        let asked = async { builder.from_credentials(credentials).await?.renewal_info(&id).await };
        match asked.await {
            Ok((info, again)) => {
                memory.ask_suggestion = Instant::now() + again.clamp(SUGGESTED.0, SUGGESTED.1);
                let window =
                    Window { start: info.suggested_window.start.into(), end: info.suggested_window.end.into() };
                if memory.suggestion != Some(window) {
                    let explanation = info.explanation_url.as_deref().map(crate::fetch::harmless).unwrap_or_default();
                    tracing::info!(
                        from = date(window.start),
                        to = date(window.end),
                        explanation,
                        "the authority suggests when to renew"
                    );
                }
                memory.suggestion = Some(window);
            }
            Err(instant_acme::Error::Unsupported(_)) => memory.suggestion = None,
            // What it said before still holds.
            Err(error) => {
                memory.ask_suggestion = Instant::now() + SUGGESTED.0;
                tracing::debug!(%error, "the authority's suggestion cannot be had");
            }
        }
        // A suggestion that cannot be had is no reason to wait with an order.
        let _ = self.speaker.asked_to_wait();
    }

    async fn attempt(&self, memory: &mut Memory, now: SystemTime) {
        let pace = &self.settings.pace;
        memory.tried = Some(Instant::now());
        memory.attempts.failures = memory.attempts.failures.saturating_add(1);
        memory.attempts.told = false;
        memory.attempts.asked = self.asked();
        memory.attempts.put_off(now + plan::wait(memory.attempts.failures, pace.first, pace.most, luck()));
        // INVARIANT: an attempt is written down before it is made. So a process that dies in the midst of each does not ask more
        // often than one that lives, and nothing is ordered that could not be kept.
        if let Err(fault) = self.shelf.keep_attempts(&memory.attempts) {
            self.mourn(memory, now, &fault, "nothing is ordered that could not be kept");
            return;
        }
        let replaces = memory.suggestion.and_then(|_| self.kept()).and_then(|pair| identifier(&pair));
        let errand =
            Errand { settings: &self.settings, shelf: &self.shelf, desk: &self.desk, speaker: &self.speaker, replaces };
        let names = self.settings.domains.join(", ");
        tracing::info!(names, directory = %self.settings.directory, "asking for a certificate");
        match tokio::time::timeout(pace.attempt, errand.run()).await.unwrap_or(Err(Fault::Late)) {
            Ok(pair) => self.rejoice(memory, now, pair),
            Err(fault) => {
                let told = self.speaker.asked_to_wait();
                if let Some(wait) = told.or_else(|| fault.is_rate_limit().then_some(RATE_LIMIT)) {
                    let until = now + wait;
                    if until > memory.attempts.until() {
                        memory.attempts.put_off(until);
                        memory.attempts.told = true;
                        let _ = self.shelf.keep_attempts(&memory.attempts);
                    }
                }
                self.mourn(memory, now, &fault, "no new certificate");
            }
        }
    }

    fn rejoice(&self, memory: &mut Memory, now: SystemTime, pair: Pair) {
        let facts = pair.facts.clone();
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = None;
        memory.suggestion = None;
        memory.ask_suggestion = Instant::now();
        memory.said = None;
        let old = self.kept();
        let hasty = old.as_ref().is_some_and(|old| old.fits && old.facts.from + YOUNG > now);
        // By a clock that is wrong, a new certificate may have ended already; it is still the better one.
        if old.is_none_or(|old| !old.fits || old.facts.to <= facts.to || facts.to > now) {
            self.show(pair, "a new certificate is in use");
        }
        if plan::renew_at(&facts, self.settings.renew_before, None, 1.0) <= now {
            tracing::error!(
                until = date(facts.to),
                "the new certificate would have to be renewed at once: is this machine's clock wrong? the next one is not ordered soon"
            );
            return;
        }
        if hasty {
            // An authority that suggests at once to renew what it has just given would be asked all day.
            tracing::warn!("the last certificate was younger than a day; the next one is not ordered soon");
            return;
        }
        memory.attempts = Attempts { asked: self.asked(), ..Attempts::default() };
        if let Err(fault) = self.shelf.keep_attempts(&memory.attempts) {
            tracing::warn!(%fault, "that there are no failures any more cannot be written down");
        }
    }

    /// Each failure is told, the louder the nearer the end is.
    fn mourn(&self, memory: &Memory, now: SystemTime, fault: &Fault, what: &str) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = Some(fault.to_string());
        let kept = self.kept();
        let facts = kept.as_ref().map(|pair| &pair.facts);
        let (failures, next) = (memory.attempts.failures, date(memory.attempts.until()));
        let days = facts.and_then(|facts| facts.to.duration_since(now).ok()).map_or(0, |left| left.as_secs() / 86_400);
        match (plan::alarm(facts, now), facts) {
            (Alarm::Warn, _) => {
                tracing::warn!(%fault, failures, days, next, "{what}; the certificate in use is good for `days` more");
            }
            (Alarm::Soon, _) => {
                tracing::error!(%fault, failures, days, next, "{what}, and the certificate in use ENDS SOON");
            }
            (Alarm::Out, Some(_)) => {
                tracing::error!(%fault, failures, next, "{what}, and the certificate in use HAS ENDED: clients refuse it");
            }
            (Alarm::Out, None) => {
                tracing::error!(%fault, failures, next, "{what}, and there is none at all: TLS handshakes are refused");
            }
        }
    }

    /// Shows what is kept if it differs from what is shown.
    fn take_up(&self) -> Result<(), Fault> {
        let Some(pair) = self.shelf.certificate(&self.settings.domains)? else { return Ok(()) };
        if self.kept().is_none_or(|shown| shown.shown.cert != pair.shown.cert) {
            self.show(pair, "a certificate that another process wrote is in use");
        }
        Ok(())
    }

    fn show(&self, pair: Pair, what: &str) {
        self.desk.show(Arc::clone(&pair.shown));
        self.expiry.set(pair.facts.to);
        let until = date(pair.facts.to);
        if pair.facts.to > self.clock.now() {
            tracing::info!(until, "{what}");
        } else {
            tracing::error!(until, "{what}, but it has ended: clients refuse it");
        }
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = Some(pair);
    }

    fn kept(&self) -> Option<Pair> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn say(memory: &mut Memory, what: &'static str, how: impl FnOnce()) {
        if memory.said != Some(what) {
            memory.said = Some(what);
            how();
        }
    }

    /// What is asked for, in short: failures of other settings do not hold these up.
    fn asked(&self) -> String {
        let Settings { directory, domains, challenge, contact, binding, .. } = &self.settings;
        let binding = binding.as_ref().map(|binding| &binding.key_id);
        let all = format!("{directory} {domains:?} {} {contact:?} {binding:?}", challenge.name());
        let hash = digest(&SHA256, all.as_bytes());
        format!("{:016x}", hash.as_ref().iter().take(8).fold(0_u64, |number, byte| number << 8 | u64::from(*byte)))
    }
}

/// The certificate's name at an authority that makes suggestions (RFC 9773 section 4.1).
fn identifier(pair: &Pair) -> Option<CertificateIdentifier<'static>> {
    let authority = pair.facts.authority.as_deref()?;
    Some(CertificateIdentifier::new(Der::from_slice(authority), Der::from_slice(&pair.facts.serial)).into_owned())
}

/// From 0 to 1, another one for each certificate and the same after a restart.
fn spread(pair: &Pair) -> f64 {
    fraction(digest(&SHA256, &pair.facts.serial).as_ref())
}

/// From 0 to 1, by chance.
fn luck() -> f64 {
    let mut bytes = [0; 4];
    // Without randomness there will be no key either.
    let _ = rand::fill(&mut bytes);
    fraction(&bytes)
}

fn fraction(bytes: &[u8]) -> f64 {
    let number = bytes.iter().take(4).fold(0_u32, |number, byte| number << 8 | u32::from(*byte));
    f64::from(number) / f64::from(u32::MAX)
}

/// As RFC 3339 writes it.
fn date(time: SystemTime) -> String {
    let seconds = time
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX));
    OffsetDateTime::from_unix_timestamp(seconds).ok().and_then(|time| time.format(&Rfc3339).ok()).unwrap_or_default()
}
