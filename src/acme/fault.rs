//! What can go wrong between asking for a certificate and having it?

use std::io;
use std::path::PathBuf;

use instant_acme::{Error, Problem};

/// Why there is no new certificate. What the authority says is part of it, cut to a length and to printable ASCII.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The folder cannot be used.
    #[error("`{path}` {why}", path = .path.display())]
    Shelf {
        /// Which file or folder.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The authority wants a binding, and there is none.
    #[error(
        "the authority gives accounts to its customers alone: set `acme.eab_key_id` and `acme.eab_key_file` to what it gave you"
    )]
    NeedsBinding,
    /// The binding's key cannot be used.
    #[error("the key in `{path}` cannot be used: {why}", path = .path.display())]
    BadBindingKey {
        /// Where it is.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The authority says no.
    #[error("{what}; the authority says: {detail} ({kind}){hint}")]
    Refused {
        /// What was being done.
        what: &'static str,
        /// What it says.
        detail: String,
        /// The kind of its refusal (RFC 8555 section 6.7).
        kind: String,
        /// What may help.
        hint: &'static str,
    },
    /// The authority could not see that a name is ours.
    #[error("the authority could not see by {challenge} that `{name}` is this gate: {why}")]
    NotProven {
        /// Which name.
        name: String,
        /// How it tried.
        challenge: &'static str,
        /// What it saw instead.
        why: String,
    },
    /// The authority does not take the kind of proof that we give.
    #[error("the authority does not offer {challenge} for `{name}`, only: {offered}")]
    NoChallenge {
        /// For which name.
        name: String,
        /// What the file says.
        challenge: &'static str,
        /// What there is.
        offered: String,
    },
    /// The authority does something that no authority should.
    #[error("the authority does not keep to the protocol: {0}")]
    Misbehaved(String),
    /// It cannot be reached, or does not answer as an authority.
    #[error("{what}: {why}")]
    Server {
        /// What was being done.
        what: &'static str,
        /// What happened.
        why: String,
    },
    /// Not within the time of one attempt.
    #[error("the authority did not come to an end in time")]
    Late,
    /// What we were given does not fit.
    #[error("the certificate cannot be used: {0}")]
    Unusable(String),
    /// No randomness, or the crypto library refuses.
    #[error("no key could be made: {0}")]
    NoKey(String),
}

impl Fault {
    pub(super) fn shelf(path: &std::path::Path, doing: &str, why: &io::Error) -> Self {
        Self::Shelf { path: path.to_owned(), why: format!("cannot be {doing}: {why}") }
    }

    /// What the library says, in our words.
    pub(super) fn of(what: &'static str, error: Error) -> Self {
        match error {
            Error::Api(problem) => Self::refused(what, &problem),
            Error::Timeout(_) => Self::Late,
            other => Self::Server { what, why: printable(&other.to_string()) },
        }
    }

    pub(super) fn refused(what: &'static str, problem: &Problem) -> Self {
        let kind = kind(problem);
        let hint = match kind.as_str() {
            "externalAccountRequired" => return Self::NeedsBinding,
            "rejectedIdentifier" => "; it gives no certificates for this name: look at `acme.domains`",
            "rateLimited" => "; it is asked again when it allows",
            "userActionRequired" => "; sign in there and agree to its new terms",
            "caa" => "; a CAA record of the name allows other authorities only",
            "invalidContact" | "unsupportedContact" => "; look at `acme.contact`",
            "badNonce" | "serverInternal" => "; it is asked again later",
            _ => "",
        };
        Self::Refused { what, detail: detail(problem), kind, hint }
    }

    /// Whether the authority has forgotten our account.
    pub(super) fn is_forgotten_account(&self) -> bool {
        matches!(self, Self::Refused { kind, .. } if kind == "accountDoesNotExist")
    }

    /// Whether the same may go well later.
    pub(super) fn is_passing(&self) -> bool {
        match self {
            Self::Late | Self::Server { .. } => true,
            Self::Refused { kind, .. } => matches!(kind.as_str(), "serverInternal" | "rateLimited" | "badNonce"),
            _ => false,
        }
    }

    /// Whether it was asked too often.
    pub(super) fn is_rate_limit(&self) -> bool {
        matches!(self, Self::Refused { kind, .. } if kind == "rateLimited")
    }

    /// Whether it knows of another order that replaces the certificate (RFC 9773 section 7.4).
    pub(super) fn is_already_replaced(&self) -> bool {
        matches!(self, Self::Refused { kind, .. } if kind == "alreadyReplaced")
    }
}

/// The last word of `urn:ietf:params:acme:error:rateLimited`.
fn kind(problem: &Problem) -> String {
    let written = problem.r#type.as_deref().unwrap_or("no kind given");
    printable(written.rsplit(':').next().unwrap_or(written))
}

/// What the authority says, and of which names.
pub(super) fn detail(problem: &Problem) -> String {
    let mut text = problem.detail.clone().unwrap_or_else(|| "it does not say why".to_owned());
    for part in problem.subproblems.iter().take(8) {
        text.push_str("; ");
        text.push_str(&part.to_string());
    }
    printable(&text)
}

/// What an authority may make us say: printable ASCII, not too much of it.
pub(super) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_ascii_graphic() { c } else { ' ' }).take(500).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(text: &str) -> Problem {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn a_refusal_says_what_helps() {
        let refused = |kind: &str| {
            let text =
                format!(r#"{{"type":"urn:ietf:params:acme:error:{kind}","detail":"no\n\u001b[31m","status":403}}"#);
            Fault::refused("no order", &problem(&text)).to_string()
        };
        assert!(refused("externalAccountRequired").contains("acme.eab_key_id"));
        assert!(refused("rejectedIdentifier").contains("acme.domains"));
        assert_eq!(refused("odd"), "no order; the authority says: no  [31m (odd)");
    }

    #[test]
    fn subproblems_are_told_with_their_names() {
        let fault = Fault::refused(
            "the order",
            &problem(
                r#"{"type":"urn:ietf:params:acme:error:malformed","detail":"some were rejected","subproblems":[
                    {"type":"urn:ietf:params:acme:error:caa","detail":"not us","identifier":{"type":"dns","value":"a.example"}}]}"#,
            ),
        );
        assert!(fault.to_string().contains("a.example") && fault.to_string().contains("not us"), "{fault}");
    }

    #[test]
    fn an_authority_cannot_fill_the_log() {
        let long = format!(r#"{{"detail":"{}"}}"#, "x".repeat(100_000));
        assert!(Fault::refused("the order", &problem(&long)).to_string().len() < 1000);
    }
}
