//! Where does a credential come from?
//!
//! Each source gives a fresh one when it is asked; when that is, `life` says. A source keeps nothing but what it needs to
//! ask, and its faults say what helps.

mod adc;
mod beside;
pub mod choice;
mod file;
mod github;
mod login;
mod metadata;
mod token;

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use http::HeaderValue;
use zeroize::Zeroizing;

pub use self::adc::Adc;
pub use self::beside::Shown;
pub use self::file::TokenFile;
pub use self::github::GitHub;
pub use self::login::Login;
pub use self::metadata::Metadata;
pub use self::token::Fixed;

/// What comes of asking.
pub type Asking<'a> = Pin<Box<dyn Future<Output = Result<Credential, SourceFault>> + Send + 'a>>;

/// Where credentials come from.
pub trait Source: Send + Sync {
    /// What it is, for people: "the metadata server".
    fn describe(&self) -> String;

    /// Asks for a fresh one; another one than `refused`, where the source has any.
    fn fresh<'a>(&'a self, refused: Option<&'a Credential>) -> Asking<'a>;

    /// Whether there is another one than was given last, as far as can be told without waiting.
    fn has_changed(&self) -> bool {
        false
    }
}

/// A credential. It has no `Debug` on purpose.
pub struct Credential {
    token: Zeroizing<String>,
    /// `Bearer ...`, marked as sensitive.
    field: HeaderValue,
    /// Milliseconds since the epoch, where it says so.
    pub(super) ends: Option<u64>,
    /// For how many milliseconds it was made, where it says so.
    pub(super) made_for: Option<u64>,
    /// Whether its end was reckoned from the moment it came, by this machine's clock.
    pub(super) by_our_clock: bool,
}

impl Credential {
    /// Takes a token, and reads from it when it ends.
    ///
    /// # Errors
    /// What is wrong with its form, without repeating it.
    pub fn read(token: Zeroizing<String>) -> Result<Self, &'static str> {
        let times = token::times(&token)?;
        let field = Zeroizing::new(format!("Bearer {}", token.as_str()));
        let mut field = HeaderValue::from_str(&field).map_err(|_| "it cannot be sent in a header field")?;
        field.set_sensitive(true);
        Ok(Self { token, field, ends: times.ends, made_for: times.made_for, by_our_clock: false })
    }

    /// `Bearer ...`, as it is shown; marked as sensitive.
    #[must_use]
    pub fn field(&self) -> &HeaderValue {
        &self.field
    }

    /// The same, with its end by this machine's clock: a lifetime was given beside it, not a moment.
    #[must_use]
    pub fn ending(mut self, ends: u64) -> Self {
        (self.ends, self.by_our_clock) = (Some(ends), true);
        self
    }

    /// The token itself.
    fn token(&self) -> &str {
        &self.token
    }

    pub(super) fn is_same(&self, other: &Self) -> bool {
        *self.token == *other.token
    }
}

/// Why there is no fresh credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceFault {
    what: String,
    help: Option<String>,
    lasting: bool,
}

impl SourceFault {
    /// It may work in a while.
    #[must_use]
    pub fn passing(what: String) -> Self {
        Self { what, help: None, lasting: false }
    }

    /// It will not work until somebody does what `help` says.
    #[must_use]
    pub fn lasting(what: String, help: impl Into<String>) -> Self {
        Self { what, help: Some(help.into()), lasting: true }
    }

    /// The same, where it is said already what helps.
    #[must_use]
    pub fn told(what: String) -> Self {
        Self { what, help: None, lasting: true }
    }

    /// Whether waiting is of no use.
    #[must_use]
    pub fn is_lasting(&self) -> bool {
        self.lasting
    }
}

impl std::error::Error for SourceFault {}

impl fmt::Display for SourceFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        match &self.help {
            Some(help) => write!(f, ": {help}"),
            None => Ok(()),
        }
    }
}
