//! Is this token well formed, signed by a key of its issuer, and meant for us, now?
//!
//! `jsonwebtoken` checks signatures; every other rule is here, since its `Validation` accepts (measured with 11.1.0)
//! any `crit`, any `typ`, `iss` as an array, an empty `sub`, ill-typed or future `iat`, keys with `use: enc` and
//! RSA-1024. The algorithm is never chosen by the token: RFC 8725 sections 3.1 and 3.2.

mod claims;
mod compact;
mod json;
mod keys;

#[cfg(test)]
mod attacks;
#[cfg(test)]
mod wycheproof;

pub use claims::{Claims, Rules};
pub use compact::{Compact, MOST_BYTES};
pub use keys::{BadKeySet, KeySet};

use super::help::moment;

/// Algorithms that can be configured: asymmetric signatures alone (RFC 8725 section 3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// RSASSA-PKCS1-v1_5 with SHA-384.
    Rs384,
    /// RSASSA-PKCS1-v1_5 with SHA-512.
    Rs512,
    /// RSASSA-PSS with SHA-256.
    Ps256,
    /// RSASSA-PSS with SHA-384.
    Ps384,
    /// RSASSA-PSS with SHA-512.
    Ps512,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// ECDSA on P-384 with SHA-384.
    Es384,
    /// Ed25519.
    EdDsa,
}

impl Algorithm {
    /// What an issuer may use unless its settings say otherwise.
    pub const DEFAULT: [Self; 2] = [Self::Rs256, Self::Es256];

    /// Reads RFC 7518's name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "RS256" => Self::Rs256,
            "RS384" => Self::Rs384,
            "RS512" => Self::Rs512,
            "PS256" => Self::Ps256,
            "PS384" => Self::Ps384,
            "PS512" => Self::Ps512,
            "ES256" => Self::Es256,
            "ES384" => Self::Es384,
            "EdDSA" => Self::EdDsa,
            _ => return None,
        })
    }

    /// RFC 7518's name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Rs384 => "RS384",
            Self::Rs512 => "RS512",
            Self::Ps256 => "PS256",
            Self::Ps384 => "PS384",
            Self::Ps512 => "PS512",
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::EdDsa => "EdDSA",
        }
    }

    fn family(self) -> keys::Family {
        match self {
            Self::Rs256 | Self::Rs384 | Self::Rs512 | Self::Ps256 | Self::Ps384 | Self::Ps512 => keys::Family::Rsa,
            Self::Es256 => keys::Family::P256,
            Self::Es384 => keys::Family::P384,
            Self::EdDsa => keys::Family::Ed25519,
        }
    }

    fn to_jsonwebtoken(self) -> jsonwebtoken::Algorithm {
        match self {
            Self::Rs256 => jsonwebtoken::Algorithm::RS256,
            Self::Rs384 => jsonwebtoken::Algorithm::RS384,
            Self::Rs512 => jsonwebtoken::Algorithm::RS512,
            Self::Ps256 => jsonwebtoken::Algorithm::PS256,
            Self::Ps384 => jsonwebtoken::Algorithm::PS384,
            Self::Ps512 => jsonwebtoken::Algorithm::PS512,
            Self::Es256 => jsonwebtoken::Algorithm::ES256,
            Self::Es384 => jsonwebtoken::Algorithm::ES384,
            Self::EdDsa => jsonwebtoken::Algorithm::EdDSA,
        }
    }
}

/// The ways in which a token can be wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadToken {
    /// More than [`MOST_BYTES`].
    #[error("it is too long")]
    TooLong,
    /// Not three parts of canonical base64url without padding (RFC 7515 section 3.1, RFC 4648 section 3.5).
    #[error("it is not three parts of canonical base64url")]
    NotCompact,
    /// The header or the claims are not one JSON object with unique members (RFC 7519 section 4).
    #[error("header or claims are not one JSON object with unique members")]
    NotJson,
    /// A critical extension that we do not know, which is any (RFC 7515 section 4.1.11).
    #[error("it has critical extensions")]
    Critical,
    /// A type meant for another use (RFC 8725 section 3.11).
    #[error("it is of a type that is no identity token")]
    WrongType,
    /// Bound to a key that the caller would have to prove (RFC 9449 section 7.1, RFC 8705).
    #[error("it is bound to a key and no bearer token")]
    Bound,
    /// An algorithm that is not configured for its issuer, `none` and HMAC among them (RFC 8725 section 3.1).
    #[error("its algorithm is not accepted for its issuer")]
    WrongAlgorithm,
    /// No key of that name, or no key that may be used for that algorithm.
    #[error("its issuer has no such key")]
    UnknownKey,
    /// The signature is not by that key.
    #[error("its signature is wrong")]
    WrongSignature,
    /// `iss` is absent, no string, or not one that is configured.
    #[error("its issuer is not configured")]
    UnknownIssuer,
    /// `aud` has none of the configured audiences (RFC 7519 section 4.1.3).
    #[error("it is meant for another audience")]
    WrongAudience,
    /// `azp` names somebody else, or several audiences have none (OIDC Core section 3.1.3.7).
    #[error("it was issued to another party")]
    WrongParty,
    /// A claim that must be there is not.
    #[error("it lacks the claim `{0}`")]
    Lacks(&'static str),
    /// A claim of another JSON type or shape than it must have (CVE-2026-25537 for times as strings).
    #[error("its claim `{0}` is ill-formed")]
    IllFormed(&'static str),
    /// `exp` has passed: this is it, in seconds since the epoch.
    #[error("it expired at {}", moment(*.0))]
    Expired(u64),
    /// `nbf` or `iat` is in the future.
    #[error("it is not valid before {}, and it is {} here", moment(*from), moment(*now))]
    NotYet {
        /// That moment, in seconds since the epoch.
        from: u64,
        /// What it is here.
        now: u64,
    },
    /// It lives longer than its kind may, or was made too long ago.
    #[error("it lives too long")]
    LivesTooLong,
    /// `nonce` is not the one that this browser was given (OIDC Core section 3.1.3.7).
    #[error("its nonce is another one")]
    WrongNonce,
    /// A hosted domain or mail domain that is not allowed.
    #[error("its domain is not allowed")]
    WrongDomain,
}

impl BadToken {
    /// The reason in the audit log.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::TooLong => "token-too-long",
            Self::NotCompact => "token-not-compact",
            Self::NotJson => "token-not-json",
            Self::Critical => "token-critical-extension",
            Self::WrongType => "token-wrong-type",
            Self::Bound => "token-bound",
            Self::WrongAlgorithm => "token-wrong-algorithm",
            Self::UnknownKey => "token-unknown-key",
            Self::WrongSignature => "token-wrong-signature",
            Self::UnknownIssuer => "unknown-issuer",
            Self::WrongAudience => "token-wrong-audience",
            Self::WrongParty => "token-wrong-party",
            Self::Lacks(_) => "token-lacks-claim",
            Self::IllFormed(_) => "token-ill-formed-claim",
            Self::Expired(_) => "token-expired",
            Self::NotYet { .. } => "token-not-yet-valid",
            Self::LivesTooLong => "token-lives-too-long",
            Self::WrongNonce => "token-wrong-nonce",
            Self::WrongDomain => "domain-not-allowed",
        }
    }

    /// Whether it counts as a wrong credential. An expired token that was once good is a job left running, not a
    /// guess; but since only tokens with a good signature get that far, nothing is won by counting it.
    #[must_use]
    pub fn counts(self) -> bool {
        match self {
            Self::Expired(_) | Self::NotYet { .. } | Self::LivesTooLong | Self::WrongDomain => false,
            Self::TooLong
            | Self::NotCompact
            | Self::NotJson
            | Self::Critical
            | Self::WrongType
            | Self::Bound
            | Self::WrongAlgorithm
            | Self::UnknownKey
            | Self::WrongSignature
            | Self::UnknownIssuer
            | Self::WrongAudience
            | Self::WrongParty
            | Self::Lacks(_)
            | Self::IllFormed(_)
            | Self::WrongNonce => true,
        }
    }
}
