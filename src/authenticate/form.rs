//! Did the person see the form that this request sends?
//!
//! Every form of our own pages carries a token, sealed for the session (or, behind IAP, for the person) that it was shown
//! to: who makes a browser send a form of their own making does not have it (ASVS 3.5.1). It stands beside
//! [`super::origin`], which looks at what the browser says of the page that sent it.

use super::Authenticator;
use super::credential::Credentials;
use crate::access::identity::{Identity, Proof};

/// The purpose under which tokens are sealed.
const PURPOSE: &str = "form";
/// How long a form may lie open, in milliseconds.
const OPEN: u64 = 12 * 60 * 60 * 1000;

/// Why a form is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadForm {
    /// It has no token, or that of another session.
    #[error("the form was not shown to this session")]
    NotShown,
    /// It was shown too long ago.
    #[error("the form was shown too long ago")]
    Old,
}

impl Authenticator {
    /// The token for the forms of a page that is shown to this caller; empty where the caller can send none.
    #[must_use]
    pub fn form_token(&self, credentials: &Credentials, identity: &Identity) -> String {
        let Some(holder) = self.form_holder(credentials, identity) else { return String::new() };
        let plain = format!("{}\n{holder}", self.clock.millis());
        // Without a token the form is refused, and says so.
        self.seal.seal(PURPOSE, plain.as_bytes()).unwrap_or_default()
    }

    /// Whether a form with this token was shown to this caller.
    ///
    /// # Errors
    /// [`BadForm`].
    pub fn check_form(&self, token: &str, credentials: &Credentials, identity: &Identity) -> Result<(), BadForm> {
        let holder = self.form_holder(credentials, identity).ok_or(BadForm::NotShown)?;
        let plain = self.seal.open(PURPOSE, token).and_then(|plain| String::from_utf8(plain).ok());
        let (shown, whose) = plain.as_deref().and_then(|plain| plain.split_once('\n')).ok_or(BadForm::NotShown)?;
        if whose != holder {
            return Err(BadForm::NotShown);
        }
        let shown: u64 = shown.parse().map_err(|_| BadForm::NotShown)?;
        if self.clock.millis().saturating_sub(shown) > OPEN { Err(BadForm::Old) } else { Ok(()) }
    }

    /// To whom a form is shown: a session, or a person before IAP. A bearer token is no browser's.
    fn form_holder(&self, credentials: &Credentials, identity: &Identity) -> Option<String> {
        match identity.proof {
            Proof::Session => self.session_of(credentials).map(|session| format!("session {}", session.key.to_hex())),
            Proof::Iap => Some(format!("iap {} {}", identity.issuer, identity.subject)),
            Proof::Bearer | Proof::Token | Proof::Bound => None,
        }
    }
}
