//! What would be asked, and would it be answered? For `trackgate check`, which orders nothing.

use serde::Deserialize;

use super::fault::{Fault, printable};
use super::order::binding_key;
use super::settings::Settings;
use super::shelf::Shelf;
use crate::certificate::Facts;
use crate::fetch::{BadTrust, Fetcher};

/// What an authority says of itself (RFC 8555 section 7.1.1).
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Directory {
    new_order: String,
    renewal_info: Option<String>,
    #[serde(default)]
    meta: Meta,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Meta {
    terms_of_service: Option<String>,
    #[serde(default)]
    external_account_required: bool,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Where the terms stand to which the settings agree.
    pub terms: Option<String>,
    /// Whether the authority suggests when to renew.
    pub suggests: bool,
}

/// Why the authority cannot be asked.
#[derive(Debug, thiserror::Error)]
pub enum Unseen {
    /// There is nobody to trust.
    #[error(transparent)]
    Trust(#[from] BadTrust),
    /// It does not answer, or not as an authority, or it would want more than we have.
    #[error(transparent)]
    Fault(#[from] Fault),
}

/// Asks the authority for its directory; changes nothing, there or here.
///
/// # Errors
/// [`Unseen`].
pub async fn look(settings: &Settings) -> Result<Seen, Unseen> {
    if let Some(binding) = &settings.binding {
        binding_key(binding)?;
    }
    let fault = |why: String| Fault::Server { what: "the authority's directory cannot be read", why };
    let text =
        Fetcher::new(&settings.fetch)?.get(&settings.directory).await.map_err(|error| fault(error.to_string()))?;
    let directory: Directory = serde_json::from_slice(&text)
        .map_err(|error| fault(format!("it is no directory: {}", printable(&error.to_string()))))?;
    if directory.new_order.is_empty() {
        return Err(fault("it takes no orders".to_owned()).into());
    }
    if directory.meta.external_account_required && settings.binding.is_none() {
        return Err(Fault::NeedsBinding.into());
    }
    Ok(Seen {
        terms: directory.meta.terms_of_service.as_deref().map(printable),
        suggests: directory.renewal_info.is_some(),
    })
}

/// The certificate that is kept from before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// What it says of itself.
    pub facts: Facts,
    /// Whether it is for all of the names; otherwise another one is ordered.
    pub fits: bool,
}

/// The kept certificate; `None`: there is none.
///
/// # Errors
/// [`Fault::Shelf`] if it cannot be read, [`Fault::Unusable`] if it is none, or not with this key.
pub fn kept(settings: &Settings) -> Result<Option<Kept>, Fault> {
    let pair = Shelf::of(&settings.state_dir, &settings.directory).kept(&settings.domains)?;
    Ok(pair.map(|pair| Kept { facts: pair.facts, fits: pair.fits }))
}
