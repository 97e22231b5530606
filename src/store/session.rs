//! What is a session, as the store keeps it?

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::digest;

use super::shards::Shards;
use crate::access::identity::{Identity, Proof};
use crate::mlflow::ids::{GroupName, UserName};

/// The SHA-256 of what the cookie holds: the only form in which the store sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionKey([u8; 32]);

impl SessionKey {
    /// Hashes what the cookie holds.
    #[must_use]
    pub fn of(secret: &[u8]) -> Self {
        let mut key = [0; 32];
        for (to, from) in key.iter_mut().zip(digest::digest(&digest::SHA256, secret).as_ref()) {
            *to = *from;
        }
        Self(key)
    }

    /// As the database and `session list` spell it: 64 hex digits.
    #[must_use]
    pub fn to_hex(self) -> String {
        to_hex(&self.0)
    }

    /// The reverse of [`SessionKey::to_hex`].
    #[must_use]
    pub fn from_hex(text: &str) -> Option<Self> {
        from_hex(text).map(Self)
    }
}

/// 64 hex digits.
pub(super) fn to_hex(bytes: &[u8; 32]) -> String {
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .map(|digit| char::from(b"0123456789abcdef"[digit as usize]))
        .collect()
}

/// The reverse.
pub(super) fn from_hex(text: &str) -> Option<[u8; 32]> {
    let digits: Vec<u8> =
        text.chars().map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok())).collect::<Option<_>>()?;
    if digits.len() != 64 {
        return None;
    }
    let mut bytes = [0; 32];
    for (to, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *to = pair[0] << 4 | pair[1];
    }
    Some(bytes)
}

/// Gates of one database may have clocks that differ; beyond this one of them is wrong.
const CLOCKS_DIFFER: Duration = Duration::from_mins(5);

/// A session that is about to be opened.
#[derive(Debug, Clone)]
pub struct NewSession {
    /// Hash of what the cookie will hold.
    pub key: SessionKey,
    /// Who signed in; `until` is the absolute end of the session.
    pub identity: Arc<Identity>,
    /// The issuer's short name, for signing out there.
    pub provider: Arc<str>,
    /// What the provider wants to see at sign-out, sealed by `authenticate`.
    pub logout_hint: Option<Arc<str>>,
}

/// A session that is open.
#[derive(Debug)]
pub struct Session {
    /// Hash of what the cookie holds.
    pub key: SessionKey,
    /// Who signed in; `until` is the absolute end.
    pub identity: Arc<Identity>,
    /// The issuer's short name.
    pub provider: Arc<str>,
    /// What the provider wants to see at sign-out, sealed by `authenticate`.
    pub logout_hint: Option<Arc<str>>,
    /// Milliseconds since the epoch.
    pub created: u64,
    last_seen: AtomicU64,
    dirty: AtomicBool,
}

pub(super) type Sessions = Shards<SessionKey, Arc<Session>>;

impl Session {
    pub(super) fn loaded(row: Row) -> Option<Self> {
        let groups: Vec<String> = serde_json::from_str(&row.groups).ok()?;
        Some(Self {
            key: SessionKey::from_hex(&row.id)?,
            identity: Arc::new(Identity {
                user: UserName::parse(&row.user).ok()?,
                issuer: Arc::from(row.issuer),
                subject: Arc::from(row.subject),
                groups: groups.iter().map(|name| GroupName::parse(name)).collect::<Result<_, _>>().ok()?,
                proof: Proof::Session,
                until: UNIX_EPOCH + Duration::from_millis(u64::try_from(row.ends).ok()?),
                token: None,
            }),
            provider: Arc::from(row.provider),
            logout_hint: row.logout_hint.map(Arc::from),
            created: u64::try_from(row.created).ok()?,
            last_seen: AtomicU64::new(u64::try_from(row.last_seen).ok()?),
            dirty: AtomicBool::new(false),
        })
    }

    /// When the session was last used, in milliseconds since the epoch.
    #[must_use]
    pub fn last_seen(&self) -> u64 {
        self.last_seen.load(Ordering::Relaxed)
    }

    /// Whether the session still counts at `now`, if it ends after `idle` without use.
    #[must_use]
    pub fn alive(&self, now: SystemTime, idle: Duration) -> bool {
        let used = UNIX_EPOCH + Duration::from_millis(self.last_seen());
        let created = UNIX_EPOCH + Duration::from_millis(self.created);
        // Opened while a clock was ahead: its end is as far away as that clock was wrong.
        let of_the_future = created > now + CLOCKS_DIFFER;
        !of_the_future && now < self.identity.until && now.duration_since(used).unwrap_or_default() < idle
    }

    /// Notes a use. It reaches the database with the next flush.
    pub(super) fn touch(&self, now: u64) {
        if self.last_seen.fetch_max(now, Ordering::Relaxed) < now {
            self.dirty.store(true, Ordering::Release);
        }
    }

    /// Learns of a use that is in the table already.
    pub(super) fn learn(&self, at: u64) {
        self.last_seen.fetch_max(at, Ordering::Relaxed);
    }

    /// What must be written, if anything.
    pub(super) fn take_dirty(&self) -> Option<u64> {
        self.dirty.swap(false, Ordering::AcqRel).then(|| self.last_seen())
    }

    /// A flush failed: try again with the next.
    pub(super) fn mark_dirty(&self) {
        self.dirty.store(true, Ordering::Release);
    }
}

/// A row of the table.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) id: String,
    pub(super) user: String,
    pub(super) issuer: String,
    pub(super) subject: String,
    pub(super) provider: String,
    pub(super) groups: String,
    pub(super) logout_hint: Option<String>,
    pub(super) created: i64,
    pub(super) last_seen: i64,
    pub(super) ends: i64,
}
