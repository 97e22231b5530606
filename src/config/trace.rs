//! Are traces sent, to whom, and of how many requests?

use std::path::PathBuf;

use toml::de::DeValue;
use url::{Host, Url};

use super::kinds::MetadataUrl;
use super::reader::{Reads, Section, quoted};
use crate::collector::{Credentials, GOOGLE, Settings, metadata_url};
use crate::fetch::is_secure;
use crate::spans::Sample;

/// `[trace]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Trace {
    /// Who keeps them.
    pub collector: Settings,
    /// How many requests are recorded where nobody whom we trust decided.
    pub sample: Sample,
}

/// Where a collector is.
#[derive(Debug, Clone)]
struct Endpoint(Url);

impl Reads for Endpoint {
    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        const EXPECTED: &str = "the address of an OTLP/HTTP receiver such as \"http://127.0.0.1:4318\"";
        let written = value.as_str().ok_or_else(|| format!("{EXPECTED}, in quotes"))?;
        let url = Url::parse(written).map_err(|_| EXPECTED.to_owned())?;
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none_or(str::is_empty) {
            return Err(EXPECTED.to_owned());
        }
        let bare = url.username().is_empty() && url.password().is_none();
        // The address is not repeated: somebody may have put a password into it.
        if !bare || url.query().is_some() || url.fragment().is_some() {
            return Err(format!("{EXPECTED}, without user, password, query or fragment"));
        }
        if url.path().trim_end_matches('/').ends_with("/v1/traces") {
            return Err(format!("{EXPECTED}: `/v1/traces` is added to it"));
        }
        Ok(Self(url))
    }

    fn show(&self) -> String {
        quoted(self.0.as_str().trim_end_matches('/'))
    }
}

impl Reads for Sample {
    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        let written = match value {
            DeValue::Float(number) => number.as_str(),
            DeValue::Integer(number) => number.as_str(),
            _ => "",
        };
        written.parse().map_err(|_| "a number between 0 and 1".to_owned())
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

/// `service.name` of the spans.
#[derive(Debug, Clone)]
struct Service(String);

impl Reads for Service {
    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        match value.as_str() {
            Some(name) if !name.trim().is_empty() && name.len() <= 255 && !name.chars().any(char::is_control) => {
                Ok(Self(name.to_owned()))
            }
            _ => Err("a name such as \"trackgate\"".to_owned()),
        }
    }

    fn show(&self) -> String {
        quoted(&self.0)
    }
}

pub(super) fn trace(root: &Section<'_>, google_project: Option<&str>) -> Option<Trace> {
    let section = root.maybe_section("trace")?;
    let endpoint: Option<Endpoint> = section.must("otlp_endpoint", "\"http://127.0.0.1:4318\"");
    let sample = section.or("sample", Sample::DEFAULT);
    let at_google =
        endpoint.as_ref().is_some_and(|Endpoint(url)| matches!(url.host(), Some(Host::Domain(name)) if name == GOOGLE));
    let service = section.or("service_name", Service("trackgate".to_owned())).0;
    let ca_file: Option<PathBuf> = section.maybe("ca_file");
    let google_auth = section.or("google_auth", at_google);
    let key_file: Option<PathBuf> = section.maybe("google_key_file");
    let metadata = section.or("metadata_url", MetadataUrl(metadata_url()?)).0;
    if let Some(Endpoint(url)) = &endpoint {
        if ca_file.is_some() && url.scheme() != "https" {
            section.fault("ca_file", "has no effect: `trace.otlp_endpoint` is not https", None);
        }
        if google_auth && !is_secure(url) {
            section.fault("otlp_endpoint", "is not https: a token would be shown to whoever listens", None);
        }
        if at_google && google_project.is_none() {
            let hint = "set `log.google_project` to the project of the traces";
            section.fault("otlp_endpoint", "is Google's, which wants to know the project", Some(hint));
        }
    }
    let elsewhere = metadata_url().is_some_and(|usual| usual != metadata);
    if !google_auth {
        for (name, given) in [("google_key_file", key_file.is_some()), ("metadata_url", elsewhere)] {
            if given {
                section.fault(name, "has no effect without `trace.google_auth`", None);
            }
        }
    } else if key_file.is_some() && elsewhere {
        section.fault("metadata_url", "has no effect beside `trace.google_key_file`", Some("take one of the two out"));
    }
    section.finish();
    let Endpoint(endpoint) = endpoint?;
    let collector = Settings {
        ca_file,
        service,
        google_project: google_project.map(str::to_owned),
        credentials: google_auth.then_some(Credentials { key_file, metadata_url: metadata }),
        ..Settings::new(endpoint)
    };
    Some(Trace { collector, sample })
}
