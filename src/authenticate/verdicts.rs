//! Was this very token judged before?
//!
//! A signature costs more than all the rest of a request, so a good verdict is kept until the token expires, under the
//! SHA-256 of the token: bounded, and void as soon as the issuer's keys change or grow too old. A refusal in spite of a good
//! signature is kept for half a minute, under the same conditions. Bad signatures are not kept: what is unknown today may
//! be known after the next rotation.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use aws_lc_rs::digest;
use moka::sync::Cache;

use super::token::BadToken;
use super::unfit::{Unfit, Why};
use crate::access::identity::Identity;
use crate::store::Bindings;

/// What was found out about a token.
#[derive(Clone)]
pub(super) struct Verdict {
    pub(super) identity: Arc<Identity>,
    /// Which issuer vouched, as its place in the settings.
    pub(super) issuer: usize,
    /// By which version of its keys.
    pub(super) version: u64,
    /// The bindings that were in force, where they matter: with others the token may be somebody else's, or nobody's.
    pub(super) bindings: Option<Bindings>,
    /// When the token ends, skew included, in milliseconds since the epoch.
    pub(super) ends: u64,
}

/// A token's name in the cache.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Fingerprint([u8; 32]);

impl Fingerprint {
    pub(super) fn of(token: &[u8]) -> Self {
        let mut print = [0; 32];
        print.copy_from_slice(digest::digest(&digest::SHA256, token).as_ref());
        Self(print)
    }
}

pub(super) struct Verdicts {
    kept: Cache<Fingerprint, Verdict>,
    /// How often there was one.
    hits: AtomicU64,
    /// How often there was none, or none that still held.
    misses: AtomicU64,
}

impl Verdicts {
    pub(super) fn new(capacity: u64) -> Self {
        let kept = Cache::builder().max_capacity(capacity).time_to_live(Duration::from_hours(1)).build();
        Self { kept, hits: AtomicU64::new(0), misses: AtomicU64::new(0) }
    }

    /// The verdict, if it still holds. `version` tells the key version of an issuer that counts now.
    pub(super) fn find(
        &self,
        print: &Fingerprint,
        now: u64,
        version: impl Fn(usize) -> Option<u64>,
        bindings: Option<&Bindings>,
    ) -> Option<Arc<Identity>> {
        let found = self.look(print, now, version, bindings);
        if found.is_some() { &self.hits } else { &self.misses }.fetch_add(1, Ordering::Relaxed);
        found
    }

    /// How often a verdict was there, and how often it was not.
    pub(super) fn lookups(&self) -> (u64, u64) {
        (self.hits.load(Ordering::Relaxed), self.misses.load(Ordering::Relaxed))
    }

    fn look(
        &self,
        print: &Fingerprint,
        now: u64,
        version: impl Fn(usize) -> Option<u64>,
        bindings: Option<&Bindings>,
    ) -> Option<Arc<Identity>> {
        let verdict = self.kept.get(print)?;
        let same = match (&verdict.bindings, bindings) {
            (Some(then), Some(now)) => is_same(then, now),
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        };
        if same && now < verdict.ends && version(verdict.issuer) == Some(verdict.version) {
            return Some(verdict.identity);
        }
        self.kept.invalidate(print);
        None
    }

    pub(super) fn keep(&self, print: Fingerprint, verdict: Verdict) {
        self.kept.insert(print, verdict);
    }
}

/// Each list is held by whatever was decided by it, so that no other comes to lie in its place.
fn is_same(then: &Bindings, now: &Bindings) -> bool {
    Arc::ptr_eq(then, now)
}

/// How long a refusal counts, in milliseconds.
const KEPT: u64 = 30_000;

/// Why a token was refused whose signature is good.
#[derive(Clone)]
pub(super) struct Refusal {
    unfit: Arc<Unfit>,
    issuer: usize,
    version: u64,
    bindings: Bindings,
    ends: u64,
}

impl Refusal {
    /// `issuer`, `version` and `bindings` as in [`Verdict`].
    pub(super) fn new(unfit: Unfit, issuer: usize, version: u64, bindings: Bindings, now: u64) -> Self {
        Self { unfit: Arc::new(unfit), issuer, version, bindings, ends: now.saturating_add(KEPT) }
    }

    /// Whether the mere passing of time makes the token good.
    fn passes(&self) -> bool {
        matches!(self.unfit.why, Why::Claims(BadToken::NotYet { .. }))
    }
}

/// Signed tokens that let nobody in. Whoever has one asks again and again: a job that was set up wrongly does.
pub(super) struct Refusals(Cache<Fingerprint, Refusal>);

impl Refusals {
    pub(super) fn new(capacity: u64) -> Self {
        // By the clock that never goes back too.
        Self(Cache::builder().max_capacity(capacity).time_to_live(Duration::from_millis(KEPT)).build())
    }

    /// Why the token is refused still. With other keys or other bindings it is judged anew.
    pub(super) fn find(
        &self,
        print: &Fingerprint,
        now: u64,
        version: impl Fn(usize) -> Option<u64>,
        bindings: &Bindings,
    ) -> Option<Unfit> {
        let refusal = self.0.get(print)?;
        if is_same(&refusal.bindings, bindings)
            && now < refusal.ends
            && version(refusal.issuer) == Some(refusal.version)
        {
            return Some((*refusal.unfit).clone());
        }
        self.0.invalidate(print);
        None
    }

    pub(super) fn keep(&self, print: Fingerprint, refusal: Refusal) {
        if !refusal.passes() {
            self.0.insert(print, refusal);
        }
    }
}
