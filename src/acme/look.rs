//! What would be asked, and would it be answered? For `trackgate check`, which orders nothing.

use std::time::SystemTime;

use serde::Deserialize;

use super::fault::{Fault, printable};
use super::keeper::date;
use super::order::binding_key;
use super::settings::Settings;
use super::shelf::Shelf;
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

/// Until when the kept certificate is good, in words; `None`: none is kept that could be used.
///
/// # Errors
/// [`Fault::Shelf`] if it cannot be read.
pub fn kept_until(settings: &Settings, now: SystemTime) -> Result<Option<String>, Fault> {
    let kept = Shelf::of(&settings.state_dir, &settings.directory).certificate(&settings.domains)?;
    Ok(kept.map(|pair| {
        let until = date(pair.facts.to);
        match (pair.fits, pair.facts.to <= now) {
            (false, _) => format!("the kept certificate is not for all of `acme.domains`: {until}"),
            (true, true) => format!("the kept certificate ended {until}"),
            (true, false) => format!("a certificate is kept until {until}"),
        }
    }))
}
