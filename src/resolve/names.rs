//! What are experiments called?
//!
//! For our own pages, which show names beside ids. A name is a courtesy: what MLflow does not tell in time is left out.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;

use super::{Ask, Resolver, SIDE_BY_SIDE};
use crate::mlflow::ids::ExperimentId;

/// How many names one page asks for.
const MOST: usize = 50;
/// How long a page waits for them.
const PATIENCE: Duration = Duration::from_secs(2);

impl Resolver {
    /// The names of these experiments, of the first `MOST` at most, as far as MLflow tells them in time.
    pub async fn experiment_names<A: Ask>(
        &self,
        ids: impl IntoIterator<Item = &Arc<str>>,
        upstream: &A,
    ) -> HashMap<Arc<str>, String> {
        let mut wanted: Vec<Arc<str>> =
            ids.into_iter().filter(|id| ExperimentId::parse(id).is_ok()).map(Arc::clone).collect();
        wanted.sort_unstable();
        wanted.dedup();
        wanted.truncate(MOST);
        let mut found = HashMap::new();
        let mut asking = std::pin::pin!(
            futures_util::stream::iter(wanted)
                .map(async |id| {
                    let name = self.links.experiment_name(&id, upstream).await;
                    (id, name)
                })
                .buffer_unordered(SIDE_BY_SIDE)
        );
        let gather = async {
            while let Some((id, name)) = asking.next().await {
                if let Ok(Some(name)) = name {
                    found.insert(id, name);
                }
            }
        };
        // What came until then stands.
        let _ = tokio::time::timeout(PATIENCE, gather).await;
        found
    }
}
