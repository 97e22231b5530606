//! What must be known of experiments' names before rows are judged?
//!
//! Nothing, unless a grant on names speaks to the caller. The rows of experiments/search tell their own names; for all
//! else that lies in experiments MLflow is asked, once for each page.

use std::borrow::Cow;
use std::sync::Arc;

use super::hide::Homes;
use crate::access::identity::Principal;
use crate::resolve::ResolveFault;

/// The principal, who knows what these experiments are called where that matters.
///
/// # Errors
/// [`ResolveFault`] when MLflow cannot tell.
pub(crate) async fn named<'p>(
    principal: &'p Principal,
    experiments: impl IntoIterator<Item = Arc<str>>,
    homes: &impl Homes,
) -> Result<Cow<'p, Principal>, ResolveFault> {
    if !principal.speaks_of_names() {
        return Ok(Cow::Borrowed(principal));
    }
    let mut unknown: Vec<Arc<str>> = experiments.into_iter().filter(|id| !principal.names.knows(id)).collect();
    unknown.sort_unstable();
    unknown.dedup();
    if unknown.is_empty() {
        return Ok(Cow::Borrowed(principal));
    }
    Ok(Cow::Owned(principal.knowing(homes.called(unknown).await?)))
}
