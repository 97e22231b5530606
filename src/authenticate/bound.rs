//! Which service account does a token of another issuer act as?
//!
//! Its signature was checked, it is not over and it is whole. Every binding of its issuer is asked: one account must come
//! of them, however many lead to it.

use std::sync::Arc;

use super::issuer::Issuer;
use super::token::Claims;
use crate::access::binding::{BadPin, Binding, Miss, check_pinned};
use crate::store::Bindings;

/// The bindings that are in force at one moment.
pub(super) struct InForce<'a> {
    /// Those of the configuration.
    pub(super) configured: &'a [Arc<Binding>],
    /// Those of the store.
    pub(super) stored: &'a Bindings,
}

/// Why a binding does not speak of a token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum NoMatch {
    /// It is made for somebody else.
    #[error("the token is for {shown}, the binding for {wanted}")]
    Audience {
        /// For whom.
        shown: String,
        /// For whom it must be.
        wanted: String,
    },
    /// One of its claims is another.
    #[error("{0}")]
    Claim(Miss),
    /// Anybody could meet the binding.
    #[error("the binding counts for nothing: {0}")]
    Pin(#[from] BadPin),
}

/// Where the bindings lead.
pub(super) enum Led {
    /// None speaks of the token. Whether one is for its audience at least.
    Nowhere { meant: bool },
    /// To one account.
    To(Arc<Binding>),
    /// To different accounts.
    Apart(Vec<Arc<Binding>>),
}

impl<'a> InForce<'a> {
    /// Those of one issuer.
    pub(super) fn of(&self, issuer: &'a str) -> impl Iterator<Item = &'a Arc<Binding>> + use<'a> {
        let stored = self.stored.iter().map(|record| &record.binding);
        self.configured.iter().chain(stored).filter(move |binding| *binding.issuer == *issuer)
    }

    /// Where they lead a token.
    pub(super) fn lead(&self, issuer: &'a Issuer, claims: &Claims) -> Led {
        let mut meant = false;
        let mut found: Vec<&Arc<Binding>> = Vec::new();
        for binding in self.of(&issuer.settings.name) {
            match ask(binding, issuer, claims) {
                Ok(()) => found.push(binding),
                Err(NoMatch::Claim(_)) => meant = true,
                Err(NoMatch::Audience { .. } | NoMatch::Pin(_)) => {}
            }
        }
        match found.first() {
            None => Led::Nowhere { meant },
            Some(first) if found.iter().all(|other| other.account == first.account) => Led::To(Arc::clone(first)),
            Some(_) => Led::Apart(found.into_iter().cloned().collect()),
        }
    }
}

/// Whether one binding speaks of a token.
pub(super) fn ask(binding: &Binding, issuer: &Issuer, claims: &Claims) -> Result<(), NoMatch> {
    check_pinned(&issuer.settings.issuer, &binding.rules)?;
    let own: Vec<&str> = binding.audiences.iter().map(|audience| &**audience).collect();
    let usual = || issuer.settings.bearer_audiences.iter().map(String::as_str).collect();
    let wanted: Vec<&str> = if own.is_empty() { usual() } else { own };
    if !claims.is_for(&wanted) {
        return Err(NoMatch::Audience { shown: listed(&claims.audiences()), wanted: listed(&wanted) });
    }
    let email = claims.email(issuer.settings.danger_accept_unverified_email);
    binding.speaks_of(claims.all(), email.as_deref()).map_err(NoMatch::Claim)
}

/// Texts as a sentence has them, three at the most.
pub(super) fn listed(texts: &[&str]) -> String {
    let clean = |text: &&str| -> String { text.chars().filter(|letter| !letter.is_control()).take(200).collect() };
    let mut shown: Vec<String> = texts.iter().take(3).map(|text| format!("`{}`", clean(text))).collect();
    if texts.len() > shown.len() {
        shown.push(format!("{} more", texts.len() - shown.len()));
    }
    if shown.is_empty() { "nobody".to_owned() } else { shown.join(", ") }
}
