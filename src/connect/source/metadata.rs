//! What ID token does the metadata server give the workload's service account?
//!
//! Compute Engine, GKE with Workload Identity, Cloud Run and Vertex AI (Google, "Verify the identity of instances"). It gives
//! out the same token again until some minutes before its end.

use url::Url;
use zeroize::Zeroizing;

use super::{Asking, Credential, Source, SourceFault};
use crate::fetch::{Fetcher, is_metadata};
use crate::google::{self, METADATA_URL};

/// The metadata server.
pub struct Metadata {
    base: Url,
    audience: String,
    fetcher: Fetcher,
}

impl Metadata {
    /// `host` is `GCE_METADATA_HOST`, as google-auth reads it: an address with or without a port. The server's own name stands
    /// for its address.
    ///
    /// # Errors
    /// [`SourceFault`] for an address where no metadata server can be.
    pub fn new(host: Option<&str>, audience: &str, fetcher: Fetcher) -> Result<Self, SourceFault> {
        let base = match host {
            None | Some("" | "metadata.google.internal" | "metadata") => METADATA_URL.to_owned(),
            Some(host) => format!("http://{host}"),
        };
        let base = Url::parse(&base).ok().filter(is_metadata).ok_or_else(|| {
            SourceFault::lasting(
                format!("GCE_METADATA_HOST `{}` is not the address of a metadata server", host.unwrap_or_default()),
                "unset it, or set a link-local or loopback address",
            )
        })?;
        Ok(Self { base, audience: audience.to_owned(), fetcher })
    }

    async fn ask(&self) -> Result<Credential, SourceFault> {
        let query = [("audience", self.audience.as_str()), ("format", "full")];
        let fault = |why: &str| SourceFault::passing(format!("the metadata server gave no ID token: {why}"));
        let answer = google::ask(&self.fetcher, &self.base, "identity", &query).await.map_err(|why| fault(&why))?;
        let token = std::str::from_utf8(&answer).map_err(|_| fault("its answer is no text"))?;
        Credential::read(Zeroizing::new(token.trim().to_owned())).map_err(fault)
    }
}

impl Source for Metadata {
    fn describe(&self) -> String {
        "the metadata server".to_owned()
    }

    fn fresh<'a>(&'a self, _: Option<&'a Credential>) -> Asking<'a> {
        Box::pin(self.ask())
    }
}
