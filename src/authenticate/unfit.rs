//! Why does a token not count whose signature is good?
//!
//! Whoever holds it may be told: nothing is won by a guess.

use super::bound::listed;
use super::help::{Help, moment};
use super::token::BadToken;

/// Whose token it is, and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a good signature of `{by}`, and yet: {why}")]
pub struct Unfit {
    /// The short name of the issuer; `iap` for Identity-Aware Proxy.
    pub by: String,
    /// Whether it is an assertion of Identity-Aware Proxy.
    pub assertion: bool,
    /// What is wrong.
    pub why: Why,
}

/// What is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Why {
    /// A claim.
    #[error("{0}")]
    Claims(#[from] BadToken),
    /// It was made for somebody else.
    #[error("it is for {}, not for {}", listed(&texts(shown)), listed(&texts(wanted)))]
    Audience {
        /// For whom.
        shown: Vec<String>,
        /// For whom it must be.
        wanted: Vec<String>,
    },
    /// No binding speaks of it, and nobody is recognised by tokens of this issuer otherwise.
    #[error("no binding matches `{0}`")]
    NoBinding(String),
    /// Bindings speak of it that name different accounts.
    #[error("bindings lead it to different accounts: {}", .0.join(", "))]
    Apart(Vec<String>),
}

fn texts(texts: &[String]) -> Vec<&str> {
    texts.iter().map(String::as_str).collect()
}

impl Unfit {
    /// The reason in the audit log.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match &self.why {
            Why::Claims(bad) => bad.code(),
            Why::Audience { .. } => BadToken::WrongAudience.code(),
            Why::NoBinding(_) => "no-binding",
            Why::Apart(_) => "binding-ambiguous",
        }
    }

    /// Whether it counts as a wrong credential.
    #[must_use]
    pub fn counts(&self) -> bool {
        match &self.why {
            Why::Claims(bad) => bad.counts(),
            Why::Audience { .. } => BadToken::WrongAudience.counts(),
            // A job that was set up wrongly, whose neighbours come from the same address.
            Why::NoBinding(_) | Why::Apart(_) => false,
        }
    }

    /// What its holder is told.
    #[must_use]
    pub fn says(&self, help: Help<'_>) -> String {
        let by = &self.by;
        let what = if self.assertion {
            "the assertion of Identity-Aware Proxy".to_owned()
        } else {
            format!("the ID token of `{by}`")
        };
        let anew = if self.assertion {
            format!("reload the page, or let programs come by {}", help.connect())
        } else {
            format!("for another one run {}", help.fresh())
        };
        match &self.why {
            Why::Claims(BadToken::Expired(at)) => format!("{what} expired at {}: {anew}", moment(*at)),
            Why::Claims(BadToken::NotYet { from, now }) => {
                let (from, now) = (moment(*from), moment(*now));
                format!("{what} is not valid before {from}, and it is {now} here: set the clock right, then {anew}")
            }
            Why::Claims(BadToken::WrongDomain) => format!("{what} is of a domain that is not allowed here: {anew}"),
            Why::Claims(bad) => format!("{what} is not accepted: {bad}; {anew}"),
            Why::Audience { shown, wanted } => {
                let (shown, wanted) = (listed(&texts(shown)), listed(&texts(wanted)));
                format!("{what} is for another audience: it is for {shown}, not for {wanted}; {anew}")
            }
            Why::NoBinding(subject) => {
                format!(
                    "{what} is good, and no binding of this server matches it (its subject is {}): \
                     `trackgate explain-token` tells an administrator why; {anew}",
                    listed(&[subject])
                )
            }
            Why::Apart(_) => format!(
                "{what} is good, and bindings of this server lead it to different accounts: an administrator must make \
                 one of them narrower; {anew}"
            ),
        }
    }
}
