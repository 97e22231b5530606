//! Is this a JWS in compact form, spelled in its one way?

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::{BadToken, json};

/// The longest token that is read.
pub const MOST_BYTES: usize = 16 * 1024;

/// A token taken apart; nothing of it is believed yet.
pub struct Compact<'a> {
    pub(super) signed: &'a str,
    pub(super) signature: &'a str,
    pub(super) header: Header,
    pub(super) claims: Map<String, Value>,
}

/// The members of the header that we read. `jku`, `jwk`, `x5u` and `x5c` are not among them: keys come from the
/// issuer's own set alone (RFC 8725 section 3.10).
pub(super) struct Header {
    pub(super) algorithm: String,
    pub(super) key_id: Option<String>,
}

impl<'a> Compact<'a> {
    /// Takes a token apart.
    ///
    /// # Errors
    /// [`BadToken`] for everything that is not three parts of canonical base64url with JSON objects in the first two,
    /// and for headers that no verifier of ours may overlook.
    pub fn parse(token: &'a str) -> Result<Self, BadToken> {
        let (signed, signature, header, payload) = split(token)?;
        let claims = json::object(&payload).ok_or(BadToken::NotJson)?;
        Ok(Self { signed, signature, header, claims })
    }

    /// The issuer that the token claims, to choose whose rules it must keep.
    #[must_use]
    pub fn issuer(&self) -> Option<&str> {
        self.claims.get("iss")?.as_str()
    }

    /// The algorithm that the token claims.
    #[must_use]
    pub fn algorithm(&self) -> &str {
        &self.header.algorithm
    }

    /// A time that the token claims, in seconds since the epoch.
    #[must_use]
    pub fn seconds(&self, name: &str) -> Option<u64> {
        let claim = self.claims.get(name)?;
        // To be shown alone: fractions are of no interest.
        claim.as_u64().or_else(|| claim.to_string().split('.').next()?.parse().ok())
    }

    /// The same once more.
    #[must_use]
    pub fn again(&self) -> Self {
        let header = Header { algorithm: self.header.algorithm.clone(), key_id: self.header.key_id.clone() };
        Self { signed: self.signed, signature: self.signature, header, claims: self.claims.clone() }
    }

    /// The name of the key that the token claims.
    #[must_use]
    pub fn key_id(&self) -> Option<&str> {
        self.header.key_id.as_deref()
    }
}

/// The signed text, the signature, the header, and the payload's bytes.
pub(super) fn split(token: &str) -> Result<(&str, &str, Header, Vec<u8>), BadToken> {
    if token.len() > MOST_BYTES {
        return Err(BadToken::TooLong);
    }
    let (signed, signature) = token.rsplit_once('.').ok_or(BadToken::NotCompact)?;
    let (head, payload) = signed.split_once('.').ok_or(BadToken::NotCompact)?;
    // The engine refuses padding, foreign characters (a further dot too) and trailing bits: one spelling for one value.
    let head = URL_SAFE_NO_PAD.decode(head).map_err(|_| BadToken::NotCompact)?;
    let payload = URL_SAFE_NO_PAD.decode(payload).map_err(|_| BadToken::NotCompact)?;
    if URL_SAFE_NO_PAD.decode(signature).map_err(|_| BadToken::NotCompact)?.is_empty() {
        return Err(BadToken::WrongSignature);
    }
    Ok((signed, signature, header(&head)?, payload))
}

fn header(bytes: &[u8]) -> Result<Header, BadToken> {
    let header = json::object(bytes).ok_or(BadToken::NotJson)?;
    if header.contains_key("crit") {
        return Err(BadToken::Critical);
    }
    // RFC 7797: an unencoded payload needs `crit`; without it the member means nothing, but somebody is trying.
    if header.contains_key("b64") {
        return Err(BadToken::Critical);
    }
    match header.get("typ") {
        None => {}
        // RFC 7515 section 4.1.9: a media type, `application/` may be left out, no case.
        Some(Value::String(kind)) => {
            let kind = kind.to_ascii_lowercase();
            if !matches!(kind.strip_prefix("application/").unwrap_or(&kind), "jwt" | "at+jwt") {
                return Err(BadToken::WrongType);
            }
        }
        Some(_) => return Err(BadToken::WrongType),
    }
    // RFC 7519 section 5.2: a nested token, which would be another token than the one that we read.
    if header.contains_key("cty") || header.contains_key("enc") || header.contains_key("zip") {
        return Err(BadToken::WrongType);
    }
    let algorithm = match header.get("alg") {
        Some(Value::String(name)) => name.clone(),
        _ => return Err(BadToken::WrongAlgorithm),
    };
    let key_id = match header.get("kid") {
        None => None,
        Some(Value::String(id)) if !id.is_empty() && id.len() <= 512 => Some(id.clone()),
        Some(_) => return Err(BadToken::UnknownKey),
    };
    Ok(Header { algorithm, key_id })
}
