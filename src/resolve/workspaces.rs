//! Does the server have workspaces at all?
//!
//! A server that does not know of workspaces ignores the name of one: what was judged in one workspace would then be done
//! in the only one there is. So nothing is let through to another workspace than `default` until the server itself has
//! said that it has them (`workspaces_enabled` of `server-info`, 3.17.2), and it is asked again now and then.

use std::time::Duration;

use http::StatusCode;
use moka::future::Cache;
use serde::Deserialize;

use super::Resolver;
use super::links::{Ask, ResolveFault};

/// How long the server's word is believed. Another server in its place has to be restarted first, which takes longer.
const BELIEVED: Duration = Duration::from_secs(10);

/// What the server said.
#[derive(Clone)]
pub(super) struct Workspaces {
    said: Cache<(), ()>,
}

impl Default for Workspaces {
    fn default() -> Self {
        Self { said: Cache::builder().max_capacity(1).time_to_live(BELIEVED).build() }
    }
}

#[derive(Deserialize)]
struct ServerInfo {
    #[serde(default)]
    workspaces_enabled: bool,
}

impl Resolver {
    /// Whether the server keeps workspaces apart.
    ///
    /// # Errors
    /// [`ResolveFault::NoWorkspaces`] when it says that it does not, or knows nothing of them; other faults when it
    /// cannot tell.
    pub async fn has_workspaces<A: Ask>(&self, upstream: &A) -> Result<(), ResolveFault> {
        let said = Box::pin(self.workspaces.said.try_get_with((), self.ask_for_workspaces(upstream))).await;
        said.map_err(|fault| (*fault).clone())
    }

    async fn ask_for_workspaces<A: Ask>(&self, upstream: &A) -> Result<(), ResolveFault> {
        let target = self.links.target("/api/3.0/mlflow/server-info");
        let asked = upstream.ask(&target).await.map_err(|error| ResolveFault::Upstream(error.into()))?;
        match asked.status {
            StatusCode::OK => {}
            // Versions before server-info have no workspaces either.
            StatusCode::NOT_FOUND => return Err(ResolveFault::NoWorkspaces),
            status => return Err(ResolveFault::Status(status)),
        }
        let info: ServerInfo = serde_json::from_slice(&asked.body)
            .map_err(|_| ResolveFault::Unreadable("it is not what `server-info` answers"))?;
        if info.workspaces_enabled { Ok(()) } else { Err(ResolveFault::NoWorkspaces) }
    }
}
