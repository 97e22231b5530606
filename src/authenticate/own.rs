//! Is this a token of our own, and how is one made?
//!
//! A token is accepted as `Authorization: Bearer`, and as the password of `Basic` with any user name, since that is all
//! that some clients can send (`MLFLOW_TRACKING_USERNAME`, `MLFLOW_TRACKING_PASSWORD`). It is judged in memory, by one
//! hash.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::{Zeroize as _, Zeroizing};

use super::credential::Secret;
use super::fault::AuthFault;
use super::help::{Help, moment};
use super::session::NoRandomness;
use crate::access::ceiling::Ceiling;
use crate::mlflow::ids::UserName;
use crate::store::{By, NewToken, Store, StoreFault, TokenDigest, TokenId, TokenKind};
use crate::token_form;

/// The longest name of a token, in characters.
pub const LONGEST_NAME: usize = 100;
/// So many times a name that is taken is drawn anew.
const DRAWS: usize = 4;

/// `[tokens]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Whether there are any: without, none is made and none counts.
    pub allow: bool,
    /// How long one may last at most. Those that were made before keep their end.
    pub max_lifetime: Duration,
    /// How long one lasts whose maker does not say.
    pub default_lifetime: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        let day = Duration::from_hours(24);
        Self { allow: true, max_lifetime: 366 * day, default_lifetime: 90 * day }
    }
}

/// Why a token of ours does not count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadOwn {
    /// It begins like one and is none: cut off or mistyped.
    #[error("its form is wrong")]
    Malformed,
    /// One that renews a login and lets nobody in.
    #[error("a refresh token, which lets nobody in")]
    Refresh,
    /// There is none of this name, or its secret is another.
    #[error("token {0}: there is none, or another")]
    Unknown(Arc<str>),
    /// It counted until then.
    #[error("token {id}: it has expired")]
    Expired {
        /// Its name.
        id: Arc<str>,
        /// Milliseconds since the epoch.
        at: u64,
        /// Whether it is one of a login.
        login: bool,
    },
    /// Somebody revoked it then.
    #[error("token {id}: it was revoked")]
    Revoked {
        /// Its name.
        id: Arc<str>,
        /// Milliseconds since the epoch.
        at: u64,
        /// Whether it is one of a login.
        login: bool,
    },
    /// The settings allow none.
    #[error("tokens are switched off")]
    SwitchedOff,
}

impl BadOwn {
    /// The reason in the audit log.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Malformed => "own-token-malformed",
            Self::Refresh => "refresh-token-shown",
            Self::Unknown(_) => "own-token-unknown",
            Self::Expired { .. } => "own-token-expired",
            Self::Revoked { .. } => "own-token-revoked",
            Self::SwitchedOff => "own-tokens-off",
        }
    }

    /// What the client is told. Of one whose secret was right, what became of it; of any other, that it is none.
    #[must_use]
    pub fn says(&self, help: Help<'_>) -> String {
        let (fresh, page) = (help.fresh(), help.page());
        let anew = format!("run {fresh}, or make another one on {page} and set it as MLFLOW_TRACKING_TOKEN");
        match self {
            Self::Malformed => format!(
                "this access token is cut off or mistyped: a whole one has 51 signs and begins with tgp_, tgs_ or tgl_; {anew}"
            ),
            Self::Refresh => {
                format!("this is a refresh token, which renews a login and lets nobody in: run {fresh}")
            }
            Self::Expired { id, at, login: true } => format!(
                "the access token of login {id} expired at {}: run {fresh}; {} makes another login",
                moment(at / 1000),
                help.login()
            ),
            Self::Revoked { id, at, login: true } => {
                format!("login {id} was ended at {}: run {}", moment(at / 1000), help.login())
            }
            Self::Unknown(_) => format!("this access token is not one of this server's: {anew}"),
            Self::Expired { id, at, .. } => format!("access token {id} expired at {}: {anew}", moment(at / 1000)),
            Self::Revoked { id, at, .. } => format!("access token {id} was revoked at {}: {anew}", moment(at / 1000)),
            Self::SwitchedOff => format!(
                "this server takes no access tokens of its own: send an OpenID Connect ID token, as {fresh} does where it \
                 finds one"
            ),
        }
    }

    /// Whether it counts against whoever shows it: what was good once does not, or a long job would lock its office out.
    #[must_use]
    pub fn counts(&self) -> bool {
        match self {
            Self::Malformed | Self::Refresh | Self::Unknown(_) => true,
            Self::Expired { .. } | Self::Revoked { .. } | Self::SwitchedOff => false,
        }
    }
}

/// Whose token stands in `Authorization`.
pub(super) enum Authorization<'field, 'room> {
    /// One that begins like ours, behind `Basic`.
    Basic(&'room [u8]),
    /// One that begins like ours, behind `Bearer`.
    Ours(&'field [u8]),
    /// Any other behind `Bearer`: an issuer must vouch for it.
    Foreign(&'field [u8]),
}

/// RFC 6750 section 2.1, RFC 7617 section 2, RFC 9110 section 11.1: the scheme in any case, one space or more, the token.
pub(super) fn authorization<'field, 'room>(
    field: &'field [u8],
    room: &'room mut Room,
) -> Result<Authorization<'field, 'room>, AuthFault> {
    let at = field.iter().position(|byte| *byte == b' ').unwrap_or(field.len());
    let (scheme, rest) = field.split_at(at);
    let rest = rest.trim_ascii();
    if scheme.eq_ignore_ascii_case(b"bearer") {
        let ours = token_form::is_ours(rest);
        return Ok(if ours { Authorization::Ours(rest) } else { Authorization::Foreign(rest) });
    }
    if scheme.eq_ignore_ascii_case(b"basic") {
        let password = room.decode(rest).and_then(password).filter(|password| token_form::is_ours(password));
        return password.map(Authorization::Basic).ok_or(AuthFault::BasicWithoutToken);
    }
    Err(AuthFault::UnknownScheme)
}

/// The user name ends at the first colon (RFC 7617 section 2); whose it is, and in which letters, says nothing here.
fn password(decoded: &[u8]) -> Option<&[u8]> {
    let at = decoded.iter().position(|byte| *byte == b':')?;
    decoded.get(at + 1..)
}

/// A token behind a user name of 140 bytes fits in.
const NEAR: usize = 192;

/// Where `Basic` is decoded to, once for each request: on the stack, but for names longer than any. It is wiped when it goes.
pub(super) struct Room {
    near: [u8; NEAR],
    /// How much of it may have been written to.
    used: usize,
    far: Zeroizing<Vec<u8>>,
}

impl Room {
    pub(super) fn new() -> Self {
        Self { near: [0; NEAR], used: 0, far: Zeroizing::default() }
    }

    fn decode(&mut self, text: &[u8]) -> Option<&[u8]> {
        let most = base64::decoded_len_estimate(text.len());
        let room = if let Some(near) = self.near.get_mut(..most) {
            self.used = self.used.max(most);
            near
        } else {
            self.far = Zeroizing::new(vec![0; most]);
            &mut self.far
        };
        let length = STANDARD.decode_slice(text, room).ok()?;
        room.get(..length)
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        let used = self.used.min(NEAR);
        self.near[..used].zeroize();
    }
}

/// A token that somebody wants to have.
#[derive(Debug, Clone)]
pub struct Wish {
    /// Whose it is to be.
    pub owner: UserName,
    /// For whom.
    pub kind: TokenKind,
    /// What it is for.
    pub name: String,
    /// What it can be used for at most.
    pub ceiling: Ceiling,
    /// Its end, in milliseconds since the epoch.
    pub expires: Option<u64>,
}

/// A token that was made: this is the only time that it is seen.
pub struct Made {
    /// All of it.
    pub text: Secret,
    /// What is shown of it from now on.
    pub id: TokenId,
    /// Its end, in milliseconds since the epoch.
    pub expires: u64,
}

/// Why no token was made.
#[derive(Debug, thiserror::Error)]
pub enum MakeFault {
    /// The settings allow none.
    #[error("this server makes no access tokens (`tokens.allow`)")]
    SwitchedOff,
    /// It has no name, or not one that can be shown.
    #[error("say in a few words what the token is for (at most {LONGEST_NAME} signs)")]
    BadName,
    /// It would last too long.
    #[error("a token lasts {0} days at the most (`tokens.max_lifetime`)")]
    TooLong(u64),
    /// A ceiling that takes everything away.
    #[error("a token is for READ, USE, EDIT or MANAGE")]
    BadCeiling,
    /// It reaches nothing.
    #[error("name at least one thing that the token reaches, and 50 at the most")]
    BadScopes,
    /// The system has none.
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
    /// The store did not take it.
    #[error(transparent)]
    Store(#[from] StoreFault),
}

/// So many scopes one token may have.
const MOST_SCOPES: usize = 50;

/// Makes a token. `now` is in milliseconds since the epoch.
///
/// # Errors
/// [`MakeFault`]; then there is none.
pub async fn make(store: &Store, settings: &Settings, wish: Wish, now: u64, by: By) -> Result<Made, MakeFault> {
    if !settings.allow {
        return Err(MakeFault::SwitchedOff);
    }
    let name = wish.name.trim();
    if name.is_empty() || name.chars().count() > LONGEST_NAME || name.chars().any(char::is_control) {
        return Err(MakeFault::BadName);
    }
    if wish.ceiling.most == Some(crate::mlflow::permission::Permission::Deny) {
        return Err(MakeFault::BadCeiling);
    }
    if wish.ceiling.only.as_ref().is_some_and(|only| only.is_empty() || only.len() > MOST_SCOPES) {
        return Err(MakeFault::BadScopes);
    }
    let after = |lifetime: Duration| now.saturating_add(u64::try_from(lifetime.as_millis()).unwrap_or(u64::MAX));
    let last = after(settings.max_lifetime);
    let expires = wish.expires.unwrap_or_else(|| after(settings.default_lifetime).min(last));
    if expires > last {
        return Err(MakeFault::TooLong(settings.max_lifetime.as_secs() / 86_400));
    }
    let beginning = wish.kind.beginning();
    let mut draws = 0;
    loop {
        draws += 1;
        let text = token_form::make(beginning).map_err(|_| NoRandomness)?;
        let id = token_form::read(&text).and_then(|written| TokenId::parse(written.name)).ok_or(NoRandomness)?;
        let new = NewToken {
            id: id.clone(),
            digest: TokenDigest::of(text.as_bytes()),
            kind: wish.kind,
            owner: wish.owner.clone(),
            name: Arc::from(name),
            ceiling: wish.ceiling.clone(),
            expires,
        };
        match store.create_token(new, by.clone()).await {
            Ok(()) => return Ok(Made { text, id, expires }),
            Err(StoreFault::Exists { .. }) if draws < DRAWS => {}
            Err(fault) => return Err(fault.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn basic(text: &str) -> Result<String, &'static str> {
        let field = format!("Basic {}", STANDARD.encode(text));
        match authorization(field.as_bytes(), &mut Room::new()) {
            Ok(Authorization::Basic(password)) => Ok(String::from_utf8_lossy(password).into_owned()),
            Ok(Authorization::Ours(_) | Authorization::Foreign(_)) => Err("bearer"),
            Err(fault) => Err(fault.code()),
        }
    }

    #[test]
    fn the_password_of_basic_is_the_token_whatever_the_user_name_is() {
        let (long, longest) = ("a".repeat(NEAR), "a".repeat(8000));
        for user in ["alice@example.com", "", "token", "grüße", &long, &longest] {
            assert_eq!(basic(&format!("{user}:tgp_x")), Ok("tgp_x".to_owned()));
        }
        assert_eq!(basic("a:tgp_x:y"), Ok("tgp_x:y".to_owned()), "the user name ends at the first colon");
        for text in ["alice:password", "tgp_x:", "tgp_x", "", ":"] {
            assert_eq!(basic(text), Err("basic-without-token"), "{text}");
        }
        for field in ["Basic", "Basic !!", "basic =", "Basic /w=="] {
            let read = authorization(field.as_bytes(), &mut Room::new()).map(drop);
            assert!(matches!(read, Err(AuthFault::BasicWithoutToken)), "{field}");
        }
        let latin = STANDARD.encode(b"gr\xfc\xdfe:tgp_x");
        let field = format!("bAsIc   {latin}");
        let mut room = Room::new();
        let read = authorization(field.as_bytes(), &mut room);
        assert!(matches!(read, Ok(Authorization::Basic(b"tgp_x"))), "RFC 7617 section 2: any charset");
    }

    #[test]
    fn every_length_of_a_user_name_is_read_alike() {
        // Around the end of the room on the stack, and with every padding.
        for length in 0..2 * NEAR {
            assert_eq!(basic(&format!("{}:tgp_x", "a".repeat(length))), Ok("tgp_x".to_owned()), "{length}");
        }
    }

    #[test]
    fn only_of_a_token_whose_secret_was_right_is_more_told_than_that_it_is_none() {
        let id: Arc<str> = Arc::from("abcdefgh");
        let url = url::Url::parse("https://mlflow.example.com/").unwrap();
        let help = Help::at(&url);
        let unknown = BadOwn::Unknown(Arc::clone(&id)).says(help);
        assert!(!unknown.contains("abcdefgh") && unknown.contains("/trackgate/tokens"));
        let expired = BadOwn::Expired { id: Arc::clone(&id), at: 0, login: false }.says(help);
        assert!(expired.contains("expired at 1970-01-01T00:00:00Z") && expired.contains("/trackgate/tokens"));
        let revoked = BadOwn::Revoked { id, at: 0, login: false }.says(help);
        assert!(revoked.contains("revoked") && revoked.contains("/trackgate/tokens"));
    }
}
