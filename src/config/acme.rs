//! Are certificates had from an authority, from which, and for which names?

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::kinds::{HostName, ProviderUrl, PublicUrl};
use super::reader::{Reads, Section, quoted};
use crate::acme::{Binding, Challenge, LETS_ENCRYPT, Settings};
use toml::de::DeValue;

/// Let's Encrypt takes no more (<https://letsencrypt.org/docs/rate-limits/>).
const MOST_NAMES: usize = 100;
/// Shorter, and one outage of the authority would last to the end.
const SHORTEST_BEFORE: Duration = Duration::from_hours(1);

/// A mail address, without `mailto:`.
#[derive(Debug, Clone)]
struct Contact(String);

impl Reads for Contact {
    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        const EXPECTED: &str = "a mail address such as \"ops@example.com\"";
        let written = value.as_str().ok_or_else(|| format!("{EXPECTED}, in quotes"))?;
        let address = written.strip_prefix("mailto:").unwrap_or(written);
        // RFC 8555 section 7.3: one address, and no further fields of a mailto address.
        let plain =
            |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_graphic() && !b",?%@<>".contains(&b));
        match address.split_once('@') {
            Some((box_, host)) if plain(box_) && plain(host) && address.len() <= 254 => Ok(Self(address.to_owned())),
            _ => Err(EXPECTED.to_owned()),
        }
    }

    fn show(&self) -> String {
        quoted(&self.0)
    }
}

/// `[acme]`.
pub(super) fn acme(root: &Section<'_>, state_dir: &Path, public_url: Option<&PublicUrl>) -> Option<Settings> {
    let section = root.maybe_section("acme")?;
    let directory = ProviderUrl { url: LETS_ENCRYPT.parse().ok()?, written: LETS_ENCRYPT.to_owned() };
    let directory = section.or("directory", directory).url;
    let own = public_url.and_then(|PublicUrl(url)| url.host_str()).unwrap_or_default().to_owned();
    let domains = section.or("domains", vec![HostName(own.clone())]);
    let mut settings = Settings {
        challenge: section.or("challenge", Challenge::TlsAlpn01),
        contact: section.maybe("contact").map(|Contact(address)| address),
        renew_before: section.maybe("renew_before"),
        ..Settings::new(directory, names(&section, domains, &own), state_dir.to_owned())
    };
    settings.fetch.ca_file = section.maybe("ca_file");
    let key_id: Option<String> = section.maybe("eab_key_id");
    let key_file: Option<PathBuf> = section.maybe("eab_key_file");
    for (one, other) in [("eab_key_id", "eab_key_file"), ("eab_key_file", "eab_key_id")] {
        if section.has(one) && !section.has(other) {
            section.fault(
                one,
                format!("has no effect without `acme.{other}`"),
                Some("the authority gives both together"),
            );
        }
    }
    if key_id.as_deref().is_some_and(|id| id.trim().is_empty()) {
        section.fault("eab_key_id", "is empty", None);
    }
    settings.binding = key_id.zip(key_file).map(|(key_id, key_file)| Binding { key_id, key_file });
    if settings.renew_before.is_some_and(|before| before < SHORTEST_BEFORE) {
        section.fault("renew_before", "is less than an hour: nothing could be mended in that time", None);
    }
    section.finish();
    Some(settings)
}

fn names(section: &Section<'_>, written: Vec<HostName>, own: &str) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for HostName(name) in written {
        if name.parse::<std::net::IpAddr>().is_ok() || name.starts_with('[') {
            let hint = "set `acme.domains`, and `public_url` to one of them";
            section.fault(
                "domains",
                format!("names `{name}`: certificates are for names, not for addresses"),
                Some(hint),
            );
        } else if name.contains('*') {
            let hint = "name each host, or take a certificate from elsewhere (`listen.certificate`)";
            section.fault("domains", format!("names `{name}`: these challenges prove one name each"), Some(hint));
        } else if !names.contains(&name) {
            names.push(name);
        }
    }
    if names.len() > MOST_NAMES {
        section.fault("domains", format!("has more than {MOST_NAMES} names"), None);
    }
    if section.has("domains") && !own.is_empty() && !names.iter().any(|name| name == own) {
        let hint = "everybody would be warned of a certificate for another host";
        section.fault("domains", format!("lacks `{own}`, the host of `public_url`"), Some(hint));
    }
    names
}
