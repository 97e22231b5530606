//! What is a token of our own, as the store keeps it?

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use arc_swap::ArcSwapOption;
use aws_lc_rs::digest;
use parking::Uses;
use subtle::ConstantTimeEq as _;

use super::records::User;
use super::session::{from_hex, to_hex};
use super::shards::Shards;
use crate::access::ceiling::{Ceiling, Scope};
use crate::access::grant::Pattern;
use crate::access::identity::{ByToken, Identity, Proof};
use crate::mlflow::ids::{GroupName, UserName, WorkspaceName};

/// Who vouches for whoever comes with a token: we do.
pub const ISSUER: &str = "trackgate";

/// So many networks that a token came from are remembered.
const MOST_USES: usize = 8;
/// A use is noted anew after so many milliseconds.
const AGAIN: u64 = 1000;

/// The part of a token that is shown: eight letters and digits.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TokenId(Arc<str>);

impl TokenId {
    /// How long it is.
    pub const LENGTH: usize = 8;

    /// Reads one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let good = text.len() == Self::LENGTH && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
        good.then(|| Self(Arc::from(text)))
    }

    /// As it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::borrow::Borrow<str> for TokenId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// The SHA-256 of a whole token: the only form in which the store sees it. A token is 190 random bits, so nothing slower
/// is needed.
#[derive(Debug, Clone, Copy)]
pub struct TokenDigest([u8; 32]);

impl TokenDigest {
    /// Hashes a token.
    #[must_use]
    pub fn of(token: &[u8]) -> Self {
        let mut bytes = [0; 32];
        for (to, from) in bytes.iter_mut().zip(digest::digest(&digest::SHA256, token).as_ref()) {
            *to = *from;
        }
        Self(bytes)
    }

    /// As the database spells it: 64 hex digits.
    #[must_use]
    pub(super) fn to_hex(self) -> String {
        to_hex(&self.0)
    }

    fn is(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

/// For whom a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenKind {
    /// A person's.
    Personal,
    /// A service account's.
    Service,
    /// A person's, by `trackgate login`: it has several secrets, which are renewed.
    Login,
}

impl TokenKind {
    /// The word in lists.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Personal => "personal",
            Self::Service => "service",
            Self::Login => "login",
        }
    }

    /// How what lets in begins.
    #[must_use]
    pub fn beginning(self) -> &'static str {
        match self {
            Self::Personal => "tgp_",
            Self::Service => "tgs_",
            Self::Login => "tgl_",
        }
    }

    /// The word in the table.
    pub(super) fn column(self) -> &'static str {
        match self {
            Self::Personal | Self::Service => self.as_str(),
            Self::Login => "access",
        }
    }

    fn parse(word: &str) -> Option<Self> {
        [Self::Personal, Self::Service, Self::Login].into_iter().find(|kind| kind.column() == word)
    }
}

/// A token that is about to be made.
#[derive(Debug, Clone)]
pub struct NewToken {
    /// What is shown of it.
    pub id: TokenId,
    /// Hash of the whole.
    pub digest: TokenDigest,
    /// For whom it is; must be what its owner is.
    pub kind: TokenKind,
    /// Whose it is.
    pub owner: UserName,
    /// What it is for, in its owner's words.
    pub name: Arc<str>,
    /// What it can be used for at most.
    pub ceiling: Ceiling,
    /// From when on it counts for nothing, in milliseconds since the epoch.
    pub expires: u64,
}

/// A token, as it stands.
#[derive(Debug)]
pub struct Token {
    /// What is shown of it.
    pub id: TokenId,
    /// For whom it is.
    pub kind: TokenKind,
    /// Whose it is.
    pub owner: UserName,
    /// What it is for, in its owner's words.
    pub name: Arc<str>,
    /// What it can be used for at most.
    pub ceiling: Ceiling,
    /// Milliseconds since the epoch.
    pub created: u64,
    /// Who made it.
    pub by: Arc<str>,
    /// From when on it counts for nothing, in milliseconds since the epoch; of a login, unless it is renewed.
    pub expires: u64,
    /// When it was revoked, and by whom.
    pub revoked: Option<(u64, Arc<str>)>,
    /// What lets in: one secret, or the access tokens of a login.
    keys: Vec<Key>,
    shown: Option<Arc<ByToken>>,
    last_used: AtomicU64,
    /// The network of the last use.
    place: AtomicU64,
    uses: Uses,
    dirty: AtomicBool,
}

/// A secret that lets in.
#[derive(Debug)]
pub(super) struct Key {
    digest: TokenDigest,
    /// In milliseconds since the epoch.
    expires: u64,
    /// The owner as of some moment, and the identity that came of it.
    known: ArcSwapOption<(Arc<User>, Arc<Identity>)>,
}

impl Key {
    /// Reads one; what cannot be read lets nobody in.
    pub(super) fn read(digest: &str, expires: i64) -> Option<Self> {
        let digest = TokenDigest(from_hex(digest)?);
        Some(Self { digest, expires: u64::try_from(expires).ok()?, known: ArcSwapOption::empty() })
    }
}

/// From where a token was used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Use {
    /// The last address of that network.
    pub address: IpAddr,
    /// When it was first used from there, in milliseconds since the epoch.
    pub first: u64,
    /// When it was last used from there.
    pub last: u64,
}

/// Whether a token counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It does.
    Good,
    /// Not since then.
    Expired(u64),
    /// Somebody revoked it then.
    Revoked(u64),
}

pub(super) type Tokens = Shards<TokenId, Arc<Token>>;

impl Token {
    /// `access` are the access tokens, where it is a login.
    pub(super) fn loaded(row: Row, access: Vec<Key>) -> Option<Self> {
        let ceiling = Ceiling {
            most: row.ceiling.map(|word| word.parse()).transpose().ok()?,
            only: match row.scopes {
                Some(text) => Some(read_scopes(&text)?),
                None => None,
            },
            workspace: row.workspace.map(|name| WorkspaceName::parse(&name)).transpose().ok()?,
        };
        let id = TokenId::parse(&row.id)?;
        let by_token = ByToken { id: Arc::clone(&id.0), ceiling: ceiling.narrows().then(|| ceiling.clone()) };
        let revoked = row.revoked.map(|at| (at.unsigned_abs(), Arc::from(row.revoked_by.unwrap_or_default())));
        let uses = read_uses(&row.addresses);
        let place = uses.iter().max_by_key(|one| one.last).map_or(0, |one| network(one.address));
        let kind = TokenKind::parse(&row.kind)?;
        let keys = match kind {
            TokenKind::Login => access,
            TokenKind::Personal | TokenKind::Service => vec![Key::read(&row.digest, row.expires)?],
        };
        Some(Self {
            kind,
            owner: UserName::parse(&row.owner).ok()?,
            name: Arc::from(row.name),
            created: row.created.unsigned_abs(),
            by: Arc::from(row.created_by),
            expires: u64::try_from(row.expires).ok()?,
            revoked,
            keys,
            shown: Some(Arc::new(by_token)),
            last_used: AtomicU64::new(row.last_used.unsigned_abs()),
            place: AtomicU64::new(place),
            uses: Uses::new(uses),
            dirty: AtomicBool::new(false),
            ceiling,
            id,
        })
    }

    /// The secret that was shown, if it is one of this token's.
    pub(super) fn key(&self, digest: &TokenDigest) -> Option<&Key> {
        self.keys.iter().find(|key| key.digest.is(digest))
    }

    /// Whether it counts by this secret at `now`.
    pub(super) fn standing_by(&self, key: &Key, now: u64) -> Standing {
        match &self.revoked {
            Some((at, _)) => Standing::Revoked(*at),
            None if key.expires <= now => Standing::Expired(key.expires),
            None => Standing::Good,
        }
    }

    /// Whether it counts at `now`.
    #[must_use]
    pub fn standing(&self, now: u64) -> Standing {
        match &self.revoked {
            Some((at, _)) => Standing::Revoked(*at),
            None if self.expires <= now => Standing::Expired(self.expires),
            None => Standing::Good,
        }
    }

    /// Who comes with it. Made anew when its owner is another.
    pub(super) fn identity(&self, key: &Key, owner: &Arc<User>) -> Arc<Identity> {
        if let Some(known) = &*key.known.load()
            && Arc::ptr_eq(&known.0, owner)
        {
            return Arc::clone(&known.1);
        }
        let identity = Arc::new(Identity {
            user: self.owner.clone(),
            issuer: Arc::from(ISSUER),
            subject: Arc::from(owner.id.to_string()),
            groups: owner.vouched.clone(),
            proof: Proof::Token,
            until: UNIX_EPOCH + Duration::from_millis(key.expires),
            token: self.shown.clone(),
        });
        key.known.store(Some(Arc::new((Arc::clone(owner), Arc::clone(&identity)))));
        identity
    }

    /// When it was last used, in milliseconds since the epoch; 0: never.
    #[must_use]
    pub fn last_used(&self) -> u64 {
        self.last_used.load(Ordering::Relaxed)
    }

    /// From where it was used, the latest first.
    #[must_use]
    pub fn uses(&self) -> Vec<Use> {
        let mut uses = self.uses.get();
        uses.sort_by_key(|one| std::cmp::Reverse(one.last));
        uses
    }

    /// Notes a use. Tells whether it came from where the token never came from before, though it was used before.
    pub(super) fn touch(&self, now: u64, address: IpAddr) -> bool {
        let place = network(address);
        if self.place.load(Ordering::Relaxed) == place && now.saturating_sub(self.last_used()) < AGAIN {
            return false;
        }
        let moved = self.uses.note(Use { address: address.to_canonical(), first: now, last: now });
        self.place.store(place, Ordering::Relaxed);
        self.last_used.fetch_max(now, Ordering::Relaxed);
        self.dirty.store(true, Ordering::Release);
        moved
    }

    /// Learns of uses that are in the table, or that another copy of it saw.
    pub(super) fn learn(&self, uses: Vec<Use>) {
        for one in uses {
            self.last_used.fetch_max(one.last, Ordering::Relaxed);
            self.uses.note(one);
        }
    }

    /// Takes the place of a copy that saw uses which the table may not have yet.
    pub(super) fn follow(&self, older: &Self) {
        self.learn(older.uses.get());
        // The older one keeps its mark: what was read may not come to be seen.
        if older.dirty.load(Ordering::Acquire) {
            self.mark_dirty();
        }
    }

    /// What must be written, if anything.
    pub(super) fn take_dirty(&self) -> Option<Vec<Use>> {
        self.dirty.swap(false, Ordering::AcqRel).then(|| self.uses.get())
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
    pub(super) digest: String,
    pub(super) kind: String,
    pub(super) owner: String,
    pub(super) name: String,
    pub(super) workspace: Option<String>,
    pub(super) ceiling: Option<String>,
    pub(super) scopes: Option<String>,
    pub(super) created: i64,
    pub(super) created_by: String,
    pub(super) expires: i64,
    pub(super) revoked: Option<i64>,
    pub(super) revoked_by: Option<String>,
    pub(super) last_used: i64,
    pub(super) addresses: String,
}

/// The network that an address counts as: of IPv6 its first 64 bits, which one client owns.
fn network(address: IpAddr) -> u64 {
    match address.to_canonical() {
        // No network of IPv6 begins so (RFC 6890: `::ffff:0:0/96` is IPv4 and canonical by now).
        IpAddr::V4(address) => 0xffff_ffff_0000_0000 | u64::from(address.to_bits()),
        IpAddr::V6(address) => (Ipv6Addr::to_bits(address) >> 64) as u64,
    }
}

/// How the table keeps uses: a list of address, first and last.
pub(super) fn write_uses(uses: &[Use]) -> String {
    let rows: Vec<(String, u64, u64)> = uses.iter().map(|one| (one.address.to_string(), one.first, one.last)).collect();
    serde_json::to_string(&rows).unwrap_or_else(|_| "[]".to_owned())
}

/// What cannot be read tells of nothing: it opens nothing either.
pub(super) fn read_uses(text: &str) -> Vec<Use> {
    let rows: Vec<(IpAddr, u64, u64)> = serde_json::from_str(text).unwrap_or_default();
    rows.into_iter().map(|(address, first, last)| Use { address, first, last }).take(MOST_USES).collect()
}

/// Two lists of uses as one.
pub(super) fn merged(one: Vec<Use>, other: &[Use]) -> Vec<Use> {
    let uses = Uses::new(one);
    for other in other {
        uses.note(other.clone());
    }
    uses.get()
}

/// How the table keeps scopes: a list of kind, form and pattern.
pub(super) fn write_scopes(scopes: &[Scope]) -> String {
    let rows: Vec<(&str, &str, &str)> = scopes
        .iter()
        .map(|scope| match &scope.pattern {
            Pattern::Exactly(id) => (scope.kind.as_str(), "exact", &**id),
            Pattern::Prefix(prefix) => (scope.kind.as_str(), "prefix", &**prefix),
            Pattern::Glob(text) => (scope.kind.as_str(), "glob", &**text),
        })
        .collect();
    serde_json::to_string(&rows).unwrap_or_else(|_| "[]".to_owned())
}

/// `None`: a token whose scopes cannot be read is none.
fn read_scopes(text: &str) -> Option<Arc<[Scope]>> {
    let rows: Vec<(String, String, String)> = serde_json::from_str(text).ok()?;
    rows.into_iter()
        .map(|(kind, form, pattern)| {
            Some(Scope { kind: kind.parse().ok()?, pattern: super::holdings::pattern_of(&form, &pattern)? })
        })
        .collect()
}

/// How the table keeps the names of groups.
pub(super) fn write_groups(groups: &[GroupName]) -> String {
    let names: Vec<&str> = groups.iter().map(GroupName::as_str).collect();
    serde_json::to_string(&names).unwrap_or_else(|_| "[]".to_owned())
}

mod parking {
    //! Where are the uses of a token kept while requests add to them?

    use std::sync::{Mutex, PoisonError};

    use super::{MOST_USES, Use, network};

    /// Few, so that looking is cheap.
    #[derive(Debug)]
    pub(super) struct Uses(Mutex<Vec<Use>>);

    impl Uses {
        pub(super) fn new(uses: Vec<Use>) -> Self {
            Self(Mutex::new(uses))
        }

        pub(super) fn get(&self) -> Vec<Use> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
        }

        /// Adds a use. Tells whether its network is a new one beside others.
        pub(super) fn note(&self, new: Use) -> bool {
            let mut uses = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let place = network(new.address);
            if let Some(known) = uses.iter_mut().find(|known| network(known.address) == place) {
                known.first = known.first.min(new.first);
                if new.last >= known.last {
                    (known.last, known.address) = (new.last, new.address);
                }
                return false;
            }
            let moved = !uses.is_empty();
            if uses.len() == MOST_USES {
                let oldest = uses.iter().enumerate().min_by_key(|(_, known)| known.last).map(|(at, _)| at);
                match oldest {
                    Some(at) if uses[at].last < new.last => drop(uses.swap_remove(at)),
                    _ => return moved,
                }
            }
            uses.push(new);
            moved
        }
    }
}
