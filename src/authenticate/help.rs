//! What may somebody do whose credential does not count?
//!
//! With this server's whole address, so that the line can be copied and run.

use std::time::{Duration, UNIX_EPOCH};

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use url::Url;

/// The lines for one server.
#[derive(Debug, Clone, Copy)]
pub struct Help<'a>(&'a Url);

impl<'a> Help<'a> {
    /// For the server at this address, as people use it.
    #[must_use]
    pub fn at(public_url: &'a Url) -> Self {
        Self(public_url)
    }

    fn address(self) -> &'a str {
        self.0.as_str().trim_end_matches('/')
    }

    /// Puts a fresh token where MLflow's client reads it.
    #[must_use]
    pub fn fresh(&self) -> String {
        format!("`export MLFLOW_TRACKING_TOKEN=$(trackgate token print {})`", self.address())
    }

    /// Signs in, once.
    #[must_use]
    pub fn login(&self) -> String {
        format!("`trackgate login {}`", self.address())
    }

    /// Adds what Identity-Aware Proxy asks for to each request.
    #[must_use]
    pub fn connect(&self) -> String {
        format!("`trackgate connect {}`", self.address())
    }

    /// Where access tokens are made.
    #[must_use]
    pub fn page(&self) -> String {
        format!("{}/trackgate/tokens", self.address())
    }
}

/// A moment in seconds since the epoch, as people and programs read it, in UTC.
#[must_use]
pub fn moment(seconds: u64) -> String {
    let time = UNIX_EPOCH.checked_add(Duration::from_secs(seconds)).map(OffsetDateTime::from);
    time.and_then(|time| time.format(&Rfc3339).ok()).unwrap_or_else(|| format!("{seconds} s"))
}
