//! What may be seen of an answer, and what follows from it?
//!
//! Lists are narrowed, filtered and paged ([`list()`]), links to hidden things are taken out, the answer to a call by name
//! is compared with what was judged, and what follows from success (ownership, renames, forgetting) is written before the
//! head of the answer leaves ([`look_over`]). Answers are read whole only where their row says so; what cannot be
//! read there becomes an error, never a leak.

mod effect;
mod filter;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;
mod graphql;
mod held;
mod hide;
mod json;
mod list;
mod entry;
mod named;
mod narrow;
mod offers;
mod page;
mod query;
mod selects;
mod shell;
#[cfg(any(test, feature = "fuzzing"))]
mod testing;
mod token;
mod version;
mod whole;

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::{StreamExt as _, future, stream};
use http::Response;

pub use self::effect::{Judged, look_over};
pub use self::entry::{Entry, with_entry};
pub use self::filter::BadAnswer;
pub use self::held::Crowded;
pub use self::json::BadJson;
pub use self::query::BadQuery;
pub(crate) use self::version::ask as ask_version;
use crate::access::decide::Permitted;
use crate::clock::Clock;
use crate::forward::{self, ForwardError, forward};
use crate::message::{Body, Request};
use crate::mlflow::resource::{Kind, Object};
use crate::mlflow::version::Version;
use crate::policy::classify::Call;
use crate::policy::route::{Answer, Effect, Graph, List, Row};
use crate::resolve::{Called, ResolveFault, Resolver};
use crate::seal::{Seal, SealError};
use crate::store::{Store, StoreFault};
use crate::upstream::Upstream;

/// What bounds the work on answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// How many upstream calls one list request may cost.
    pub list_budget: u32,
    /// The largest answer that is read whole to be looked over, in bytes.
    pub list_answer: usize,
    /// How much of all answers that are read whole is held at once, in bytes.
    pub answers_at_once: usize,
    /// How many different runs and logged models that one answer links to are looked up; further links are hidden.
    pub most_links: usize,
    /// What is written into the UI's first page, to lead to our own.
    pub entry: Option<&'static Entry>,
    /// Whether the UI's menu gets a way to sign out.
    pub sign_out: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            list_budget: 10,
            list_answer: 64 * 1024 * 1024,
            answers_at_once: 512 * 1024 * 1024,
            most_links: 1000,
            entry: None,
            sign_out: true,
        }
    }
}

/// What all workers share: bounds, the key of page tokens, what is known of the server.
#[derive(Debug)]
pub struct Shared {
    settings: Settings,
    seal: Arc<Seal>,
    held: Arc<held::Held>,
    version: Arc<version::Known>,
    clock: Clock,
}

impl Shared {
    /// `seal` should live as long as clients may page: its key is kept across restarts, or pages begin anew after one.
    #[must_use]
    pub fn new(settings: Settings, seal: impl Into<Arc<Seal>>, clock: Clock) -> Self {
        let held = held::Held::new(settings.answers_at_once);
        Self { settings, seal: seal.into(), held, version: Arc::new(version::Known::new(clock.clone())), clock }
    }

    /// The same with other settings: what is known of the server, and what is held, stay.
    #[must_use]
    pub fn with(&self, settings: Settings) -> Self {
        let Self { seal, held, version, clock, .. } = self;
        let held = if settings.answers_at_once == self.settings.answers_at_once {
            Arc::clone(held)
        } else {
            held::Held::new(settings.answers_at_once)
        };
        Self { settings, seal: Arc::clone(seal), held, version: Arc::clone(version), clock: clock.clone() }
    }
}

impl Shared {
    /// The time, in milliseconds: what is made later than a call was judged was made by somebody else.
    #[must_use]
    pub fn now(&self) -> u64 {
        self.clock.millis()
    }

    /// The server's version, as far as it is known.
    #[must_use]
    pub fn version(&self) -> Option<Version> {
        self.version.version()
    }

    /// Asks the server for its version, now and again, and logs what changes. Never ends.
    pub async fn watch_version(&self, upstream: &Upstream, static_prefix: &str) {
        self.version.watch(upstream, static_prefix).await;
    }
}

/// What the work on an answer needs.
#[derive(Clone, Copy)]
pub struct Tools<'a> {
    /// This worker's client of MLflow.
    pub upstream: &'a Upstream,
    /// How requests are passed on.
    pub forward: &'a forward::Settings,
    /// Where links are looked up.
    pub resolver: &'a Resolver,
    /// Where grants are written.
    pub store: &'a Store,
    /// What all workers share.
    pub shared: &'a Shared,
}

/// Why an answer does not leave.
#[derive(Debug, thiserror::Error)]
pub enum AnswerFault {
    /// The request can be read in two ways, or not at all.
    #[error(transparent)]
    Query(#[from] BadQuery),
    /// A list of ids holds one that is not in its one spelling.
    #[error("`{0}` holds an id that is not in its canonical form")]
    BadIds(&'static str),
    /// A page token that was not given for this list.
    #[error("the page token is not valid for this list")]
    BadToken,
    /// A number of rows that cannot be.
    #[error("`max_results` is not a usable number")]
    BadRows,
    /// MLflow could not be asked.
    #[error(transparent)]
    Forward(#[from] ForwardError),
    /// MLflow's answer cannot be looked over.
    #[error("MLflow's answer cannot be looked over: {0}")]
    Unreadable(#[from] BadAnswer),
    /// What experiments are called cannot be told.
    #[error(transparent)]
    Names(#[from] ResolveFault),
    /// Too many large answers at once.
    #[error(transparent)]
    Crowded(#[from] Crowded),
    /// The answer is about another object than the one that was judged.
    #[error("the answer is about another object than the one that was judged")]
    NotWhatWasJudged,
    /// MLflow did what was asked, and the grants that follow from it could not be written.
    #[error("MLflow has done it, but the grants on {object} could not be written: {source}")]
    Effect {
        /// The object that the grants are on.
        object: Object,
        /// What the store says.
        #[source]
        source: StoreFault,
    },
    /// No token could be sealed.
    #[error("no page token could be made: {0}")]
    Seal(#[source] SealError),
}

/// Whether the answer to this row's calls is read whole: then its request is sent without the headers that would make it
/// unreadable ([`make_readable`]).
#[must_use]
pub fn reads(row: &Row) -> bool {
    let looked_over = match row.answer {
        // `list` sees to its own pages.
        Answer::Stream
        | Answer::Keep(_)
        | Answer::GraphQl(_)
        | Answer::Ours(_)
        | Answer::OursUnless(..)
        | Answer::Served => false,
        Answer::Hide(_) | Answer::Confirm { .. } | Answer::Offers(_) | Answer::Shell => true,
    };
    looked_over || [row.effect, row.also].iter().any(|effect| matches!(effect, Effect::Owns { .. }))
}

/// Whether a call of this row is carried to its end even when the client has gone: something follows from its success.
#[must_use]
pub fn must_finish(row: &Row) -> bool {
    match row.effect {
        Effect::None => false,
        Effect::Owns { .. } | Effect::Renames { .. } | Effect::Forgets { .. } => true,
    }
}

/// Changes a request so that its answer comes whole and uncompressed. The gate does this before it decides, for the rows
/// that [`reads`] names.
pub fn make_readable(request: &mut Request) {
    query::readable(&mut request.headers);
    request.looked_over = true;
}

/// Answers a call whose row says by itself what MLflow would say of a part that is not in use. Nothing is passed on.
#[must_use]
pub fn ours(permitted: Permitted<Request>, json: &'static str) -> Response<Body> {
    drop(permitted);
    whole::own(bytes::Bytes::from_static(json.as_bytes()))
}

pub use self::shell::with_script;

/// Answers a call whose row keeps only the visible elements of a list.
///
/// # Errors
/// [`AnswerFault`]; then nothing of any answer is passed on.
pub async fn list(
    permitted: Permitted<Request>,
    call: &Call,
    list: &List,
    tools: &Tools<'_>,
) -> Result<Response<Body>, AnswerFault> {
    // A stranger sees nothing; no row that keeps is open to strangers.
    let Some(principal) = permitted.principal().cloned() else { return Ok(list::empty(list)) };
    let original = query::Original::from(permitted.get());
    let homes = Lookups { tools };
    let principal = list::knowing(&original, &principal, call.row, &homes).await?;
    match list::way(&original, &principal, call.row, list, tools.shared)? {
        list::Way::Untouched => Ok(forward(permitted, None, tools.upstream, tools.forward).await?),
        list::Way::Empty => Ok(list::empty(list)),
        list::Way::Filtered(plan) => {
            let path = permitted.get().path.as_str().strip_suffix(call.row.path).unwrap_or_default();
            let prefix = path.strip_suffix("/api/").or_else(|| path.strip_suffix("/ajax-api/")).unwrap_or_default();
            let prefix = prefix.to_owned();
            let asker = Mlflow { permit: permitted.for_page(()), prefix, tools };
            // The body that came with the request was read, or is none.
            drop(permitted);
            list::filtered(&original, &principal, list, *plan, tools.shared, &asker, &homes).await
        }
    }
}

/// Answers a call whose row answers GraphQL documents.
///
/// # Errors
/// [`AnswerFault`]; then nothing of any answer is passed on.
pub async fn graph(
    permitted: Permitted<Request>,
    call: &Call,
    graph: &Graph,
    tools: &Tools<'_>,
) -> Result<Response<Body>, AnswerFault> {
    // No row that answers documents is open to strangers.
    let Some(principal) = permitted.principal().cloned() else { return Err(AnswerFault::NotWhatWasJudged) };
    if graphql::sees_all(&principal) {
        return Ok(forward(permitted, None, tools.upstream, tools.forward).await?);
    }
    let original = query::Original::from(permitted.get());
    let prefix = permitted.get().path.as_str().strip_suffix(call.row.path).unwrap_or_default();
    let prefix = prefix.trim_end_matches('/').to_owned();
    let asker = Mlflow { permit: permitted.for_page(()), prefix, tools };
    drop(permitted);
    graphql::answer(&original, &principal, graph, tools.shared, &asker, &Lookups { tools }).await
}

/// The real server.
struct Mlflow<'a> {
    permit: Permitted<()>,
    prefix: String,
    tools: &'a Tools<'a>,
}

impl list::Asker for Mlflow<'_> {
    async fn ask(&self, page: Request) -> Result<Response<Body>, AnswerFault> {
        Ok(forward(self.permit.for_page(page), None, self.tools.upstream, self.tools.forward).await?)
    }

    async fn version(&self) -> Option<String> {
        version::ask(self.tools.upstream, &self.prefix).await
    }
}

/// From how many unknown links on they are looked up together.
const FEW: usize = 3;
/// How many look-ups of links run at once.
const LOOK_UPS_AT_ONCE: usize = 8;

/// Where runs and logged models are looked up.
struct Lookups<'a> {
    tools: &'a Tools<'a>,
}

impl hide::Homes for Lookups<'_> {
    async fn experiments_of(
        &self,
        ids: Vec<(Kind, Arc<str>)>,
        near: &[Arc<str>],
    ) -> HashMap<(Kind, Arc<str>), Arc<str>> {
        let Tools { resolver, upstream, shared, .. } = *self.tools;
        let mut found = HashMap::new();
        let mut unknown = Vec::new();
        for (kind, id) in ids {
            let object = Object { kind, id };
            match resolver.remembered(&object, upstream.workspace()).await.and_then(|resource| resource.within) {
                Some(within) => drop(found.insert((object.kind, object.id), within.id)),
                None => unknown.push(object),
            }
        }
        if unknown.len() >= FEW {
            resolver.learn(&unknown, near, upstream).await;
        }
        // Links that cannot be looked up are hidden, so a fault here loses a link and leaks nothing.
        let looked_up = stream::iter(unknown.into_iter().take(shared.settings.most_links))
            .map(|object| async move {
                let within = resolver.place(object.kind, &object.id, upstream).await.ok()??.within?;
                Some(((object.kind, object.id), within.id))
            })
            .buffer_unordered(LOOK_UPS_AT_ONCE);
        found.extend(looked_up.filter_map(future::ready).collect::<Vec<_>>().await);
        found
    }

    async fn gateway_endpoints(&self) -> HashMap<Arc<str>, Arc<str>> {
        // What cannot be looked up is hidden.
        self.tools.resolver.gateway_endpoints(self.tools.upstream).await.unwrap_or_default()
    }

    async fn called(&self, experiments: Vec<Arc<str>>) -> Result<Vec<Called>, ResolveFault> {
        self.tools.resolver.called(experiments, self.tools.upstream).await
    }

    async fn datasets(&self, ids: Vec<Arc<str>>) -> Vec<(Arc<str>, Vec<Arc<str>>)> {
        self.tools.resolver.dataset_experiments(ids, self.tools.upstream).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::identity::Principal;
    use crate::policy::fields::Fields;

    /// Never called: it compiles only while the two doors can be used on any runtime.
    #[expect(dead_code, reason = "compiling it is the test")]
    fn both_doors_give_futures_that_may_move_between_threads(
        permitted: Permitted<Request>,
        call: &Call,
        keeps: &List,
        fields: &Fields,
        principal: &Principal,
        judged: Judged<'_>,
        tools: &Tools<'_>,
    ) {
        fn may_move(_: impl Send) {}
        may_move(list(permitted, call, keeps, tools));
        may_move(look_over(Response::new(Body::Empty), Some(principal), call, fields, judged, tools));
    }
}
