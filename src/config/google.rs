//! Are groups of people looked up at Google, and whose?

use std::path::Path;
use std::time::Duration;

use super::kinds::{Customer, MailDomain, MetadataUrl, ProviderUrl};
use super::reader::Section;
use crate::authenticate::{iap, issuer};
use crate::directory::{API_URL, METADATA_URL, Settings};

/// Shorter, and Google is asked for every other request.
const SHORTEST_FRESH: Duration = Duration::from_secs(10);
/// Longer, and a removed member keeps too much for too long.
const LONGEST_KEEP: Duration = Duration::from_hours(24);

/// `[google_groups]`.
pub(super) fn groups(
    root: &Section<'_>,
    state_dir: &Path,
    issuers: &[issuer::Settings],
    iap: Option<&iap::Settings>,
) -> Option<Settings> {
    let section = root.maybe_section("google_groups")?;
    let domains: Option<Vec<MailDomain>> = section.must("domains", "[\"example.com\"]");
    if domains.as_ref().is_some_and(Vec::is_empty) {
        section.fault("domains", "is empty: nobody would be looked up", None);
    }
    trusted(&section, issuers, iap);
    let domains = domains.unwrap_or_default().into_iter().map(|MailDomain(domain)| domain).collect();
    let api = section.or("api_url", ProviderUrl { url: API_URL.parse().ok()?, written: API_URL.to_owned() });
    let metadata = section.or("metadata_url", MetadataUrl(METADATA_URL.parse().ok()?));
    let default = Settings::new(domains, api.url, metadata.0);
    let mut settings = Settings {
        kept_in: Some(state_dir.join("google-groups.jsonl")),
        key_file: section.maybe("key_file"),
        groups_prefix: section.or("groups_prefix", default.groups_prefix.clone()),
        groups_allowed: lower(section.or("groups_allowed", default.groups_allowed.clone())),
        customer: section.maybe("customer").map(|Customer(id)| id),
        security_groups_only: section.or("security_groups_only", default.security_groups_only),
        fresh: section.or("fresh", default.fresh),
        keep: section.or("keep", default.keep),
        timeout: section.or("timeout", default.timeout),
        ..default
    };
    settings.fetch.ca_file = section.maybe("ca_file");
    if settings.key_file.is_some() && settings.metadata_url.as_str().trim_end_matches('/') != METADATA_URL {
        section.fault("metadata_url", "has no effect beside `google_groups.key_file`", Some("take one of the two out"));
    }
    if settings.fresh < SHORTEST_FRESH {
        section.fault("fresh", "is less than ten seconds: Google would be asked all the time", None);
    }
    if settings.keep < settings.fresh || settings.keep > LONGEST_KEEP {
        section.fault("keep", "is shorter than `google_groups.fresh`, or longer than a day", None);
    }
    if settings.timeout < Duration::from_secs(1) || settings.timeout > Duration::from_secs(30) {
        section.fault("timeout", "is not between one and thirty seconds", None);
    } else if settings.timeout > settings.fresh {
        section.fault("timeout", "is longer than `google_groups.fresh`", None);
    }
    section.finish();
    Some(settings)
}

/// Whoever shows an address must have had it verified, and by somebody who may speak of it: anybody may have a Google
/// account with an address of a foreign domain (Google, "hd claim").
fn trusted(section: &Section<'_>, issuers: &[issuer::Settings], iap: Option<&iap::Settings>) {
    let vouching: Vec<_> = issuers.iter().filter(|issuer| issuer.names_by_verified_address()).collect();
    if vouching.is_empty() && iap.is_none() {
        section.fault(
            "domains",
            "has no effect: no issuer names people by their verified address",
            Some("set `user_claim = \"email\"` for one"),
        );
    }
    let hint = "anybody may have a Google account with an address of your domain";
    for issuer in vouching {
        if issuer.issuer == issuer::GOOGLE && issuer.hosted_domains.is_empty() {
            section.fault("domains", format!("needs `hosted_domains` of the issuer `{}`", issuer.name), Some(hint));
        }
    }
    if iap.is_some_and(|iap| iap.hosted_domains.is_empty()) {
        section.fault("domains", "needs `iap.hosted_domains`", Some(hint));
    }
}

fn lower(names: Vec<String>) -> Vec<String> {
    names.into_iter().map(|name| name.to_ascii_lowercase()).collect()
}
