//! The hall: the whole way of a request, in order.
//!
//! [`Gate::handle`] cannot fail: it opens the audit record, runs the walk, turns a [`Refusal`] into an answer in the
//! caller's form, and closes the record with the answer's last byte. The walk is one function; nobody but it knows the
//! order of the steps.

mod body;
mod caller;
pub mod clean;
mod closing;
mod denied;
mod faults;
mod forwarded;
pub mod limits;
mod live;
mod news;
mod own;
pub mod refusal;
mod room;
mod served;

use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use futures_util::FutureExt;
use http::header::{HeaderName, HeaderValue};
use http::{Request as HttpRequest, Response, Uri};
use hyper::upgrade::OnUpgrade;

use self::limits::{Limits, Place};
pub use self::live::Live;
pub use self::news::News;
use self::refusal::{Form, Refusal};
pub use self::room::Room;
use crate::access::decide::decide;
use crate::access::identity::{Principal, Proof};
use crate::audit::{self, Record};
use crate::authenticate::Authenticator;
use crate::authenticate::credential::Credentials;
use crate::message::{Body, Payload, Peer, Request};
use crate::metrics::{Metrics, Spent};
use crate::mlflow::ids::WorkspaceName;
use crate::policy::classify::{Call, Classified, classify};
use crate::policy::fields::{self, Fields};
use crate::policy::route::Answer;
use crate::resolve::{Known, Resolver};
use crate::serve::{Handler, Misdeed};
use crate::spans::{Arrival, Journey, Spans};
use crate::store::Store;
use crate::trace_context::TraceContext;
use crate::upstream::Upstream;
use crate::{answer, api, forward, pages};

/// Our name for a request, on every answer.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What all workers share.
pub struct House {
    /// Recognises callers.
    pub authenticator: Arc<Authenticator>,
    /// Grants and sessions.
    pub store: Store,
    /// Finds out what lies in what.
    pub resolver: Resolver,
    /// Writes records.
    pub audit: audit::Log,
    /// How requests are brought to one spelling.
    pub clean: clean::Settings,
    /// How ordinary calls are passed on.
    pub forward: forward::Settings,
    /// How artifacts are passed on.
    pub artifacts: forward::Settings,
    /// How answers are looked over.
    pub answer: answer::Shared,
    /// How large bodies may be that are read whole.
    pub bodies: Bodies,
    /// What is held of them.
    pub room: Room,
    /// How much callers may have.
    pub limits: Arc<Limits>,
    /// Calls that the table does not know.
    pub news: Arc<News>,
    /// What is counted of requests.
    pub metrics: Metrics,
    /// What is told of them as traces.
    pub spans: Spans,
}

/// How large bodies may be that are read whole, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bodies {
    /// JSON of ordinary calls.
    pub json: u64,
    /// `log-batch` and the like.
    pub large_json: u64,
}

impl Default for Bodies {
    fn default() -> Self {
        Self { json: 1024 * 1024, large_json: 16 * 1024 * 1024 }
    }
}

/// The gate for one request: the house that stands, and its worker's pool of connections. A clone shares both.
#[derive(Clone)]
pub struct Gate {
    house: Arc<House>,
    upstream: Upstream,
    /// For whom this request waited.
    spent: Arc<Spent>,
    /// Where it is in its trace.
    journey: Option<Journey>,
    /// Its place at MLflow, free again when nobody works for it any more: neither its client, nor what goes on without one.
    place: Arc<OnceLock<Place>>,
}

impl Gate {
    /// A gate for one request.
    #[must_use]
    pub fn new(house: Arc<House>, upstream: Upstream) -> Self {
        let spent = Arc::default();
        Self { house, upstream: upstream.timed(&spent), spent, journey: None, place: Arc::default() }
    }

    /// The same gate for a request whose trace is kept.
    fn following(&self, journey: &Journey) -> Self {
        Self { upstream: self.upstream.traced(journey), journey: Some(journey.clone()), ..self.clone() }
    }

    /// The whole way of a request. Every step may refuse; no byte of a body is read before the caller is known.
    ///
    /// What is large and not on every request's way is boxed, here and in the rooms: the future of a request is moved
    /// into its connection, and each connection keeps room for the largest.
    async fn walk(
        &self,
        peer: Peer,
        request: HttpRequest<Body>,
        record: &mut Record,
    ) -> Result<Response<Body>, Refusal> {
        let house = &*self.house;
        let (mut parts, body) = request.into_parts();
        let upgrade = parts.extensions.remove::<OnUpgrade>();
        let (request, credentials) = clean::clean(record.id(), parts, body, peer, &house.clean)?;
        record.client(request.peer.address);
        house.limits.admit(request.peer.address)?;

        let Some(workspace) = &request.workspace else {
            return self.walk_on(request, credentials, upgrade, record).await;
        };
        record.workspace(workspace);
        let within = self.within(workspace);
        within.walk_on(request, credentials, upgrade, record).await
    }

    /// The same gate, through which nothing reaches MLflow but in this workspace.
    fn within(&self, workspace: &WorkspaceName) -> Self {
        Self { upstream: self.upstream.within(workspace), ..self.clone() }
    }

    /// The way from the clean request on.
    async fn walk_on(
        &self,
        mut request: Request,
        credentials: Credentials,
        upgrade: Option<OnUpgrade>,
        record: &mut Record,
    ) -> Result<Response<Body>, Refusal> {
        let house = &*self.house;
        let classified = classify(request.verb, &request.path).known(house.clean.workspaces);
        if let Classified::Call(call) = &classified {
            record.call(call.row.name);
            self.name(call);
        }
        let principal = if self.lets_strangers_in(&classified, &request) {
            None
        } else {
            Some(self.recognise(&classified, &request, &credentials, record).await?)
        };
        if let Some(principal) = &principal {
            let user = &principal.identity.user;
            let began = Instant::now();
            let turn = match &classified {
                Classified::Call(call) if !call.is_local() => house.limits.place(user).await.map(Some),
                Classified::Call(_) | Classified::WrongMethod | Classified::Unknown => {
                    house.limits.pace(user).await.map(|()| None)
                }
            };
            self.spent.queue(began.elapsed());
            if let Some(place) = turn? {
                // One request, one place: there is none yet.
                let _ = self.place.set(place);
            }
        }
        let call = match classified {
            Classified::Call(call) => call,
            Classified::WrongMethod => return Err(faults::wrong_method()),
            Classified::Unknown if house.clean.leads_to_front(&request) => {
                record.allowed(&[]);
                return Ok(pages::to_front(&house.clean.static_prefix));
            }
            Classified::Unknown => {
                house.news.hear(request.verb, &request.path, house.answer.version());
                return Err(faults::unknown_call());
            }
        };

        if let (Some(principal), Some(workspace)) = (&principal, &request.workspace) {
            self.check_workspace(&call, principal, workspace).await?;
        }

        clean::check_body(&call, &request)?;
        // Held until the answer's head is there.
        let _share = self.read_body(&call, &mut request, principal.as_deref()).await?;
        let fields = match fields::read(&call, &request.headers, request.query.as_deref(), request.payload.judged()) {
            // Whatever it is meant to name, an administrator may; MLflow's own sentence says best what is wrong.
            Err(fault) if is_admin(principal.as_deref()) && fault.is_for_mlflow_to_tell(call.row) => Fields::default(),
            read => read?,
        };
        if call.row.answer == Answer::Served
            && !call.row.open_to_strangers()
            && let Some(principal) = principal
        {
            if call.is_local() {
                return Box::pin(self.serve_page(principal, request, &call, &fields, &credentials, record)).await;
            }
            return Box::pin(self.serve(principal, request, &call, &fields, record)).await;
        }
        let about = match &principal {
            Some(principal) if call.row.renamed().is_some() => api::known(&call, &fields, principal, &house.store),
            _ => Known::default(),
        };
        // Before anything is looked up: what is made after this may have been made by somebody else.
        let known = house.store.newest_change();
        let resolved = house.resolver.resolve_about(principal.as_ref(), &call, &fields, &about, &self.upstream).await?;
        record.objects(resolved.objects.clone());
        record.asked(&resolved.requirements);
        for name in &resolved.withheld {
            request.headers.remove(*name);
        }
        self.stamp(&call, &mut request, principal.as_deref())?;
        if answer::reads(call.row) {
            answer::make_readable(&mut request);
        }

        // With what experiments are called, where that matters.
        let asker = resolved.asker().cloned();
        if let Some(asker) = &asker {
            record.called(&asker.names);
        }
        let decided = decide(asker.clone(), &resolved.requirements, request);
        self.decided();
        let permitted = match decided {
            Ok(permitted) => permitted,
            Err(denial) => return Err(Box::pin(self.denied(*denial, &call, &fields, asker, &self.upstream)).await),
        };
        record.allowed(permitted.reasons());

        if call.is_local() {
            return Ok(Box::pin(self.answer_ourselves(permitted, &call, &fields, &credentials, record)).await);
        }
        self.ask_mlflow(permitted, upgrade, &call, &fields, (&resolved, known)).await
    }

    /// What the trace is told of the call.
    fn name(&self, call: &Call) {
        let Some(journey) = &self.journey else { return };
        journey.called(call.row.name);
        if call.row.adds_to_traces() {
            journey.keep_apart();
        }
    }

    /// Our own part is over.
    fn decided(&self) {
        if let Some(journey) = &self.journey {
            journey.decided();
        }
    }

    /// Writes the caller's own name where the request says who did it, and the row knows that place.
    fn stamp(&self, call: &Call, request: &mut Request, principal: Option<&Principal>) -> Result<(), Refusal> {
        if call.row.stamps.is_empty() || !self.house.resolver.stamps_authors() {
            return Ok(());
        }
        if let (Some(principal), Some(body)) = (principal, request.payload.judged()) {
            match fields::stamp(body, call.row.stamps, principal.identity.user.as_str()) {
                Ok(stamped) => request.payload = Payload::Judged(stamped.into()),
                // What is merely invalid, MLflow tells an administrator itself.
                Err(_) if principal.admin => {}
                Err(fault) => return Err(fault.into()),
            }
        }
        Ok(())
    }

    /// A refusal in the form that the caller understands.
    fn refuse(&self, refusal: &Refusal, form: Form, uri: &Uri, record: &mut Record) -> Response<Body> {
        refusal.tell(record);
        let id = record.id();
        match form {
            Form::Json => refusal.to_json(&id),
            Form::Graph => refusal.to_graph(&id),
            Form::OAuth => refusal.to_oauth(&id),
            // What a form would have done is not done after the sign-in: the person sees first as what it would be.
            Form::Page if refusal.login && record.method() == "POST" => pages::to_login(pages::own::FIRST, None),
            Form::Page if refusal.login => pages::to_login(uri.path(), uri.query()),
            Form::Page => {
                let user = record.user();
                let ask = own::to_ask(refusal, uri, record);
                let page = pages::RefusalPage {
                    ask: ask.as_deref(),
                    status: refusal.status,
                    message: &refusal.message,
                    call: record.name(),
                    user: user.as_deref(),
                    session: record.proof() == Some(Proof::Session),
                    request_id: &id,
                };
                let mut answer = pages::refusal_page(&self.house.clean.public_url, &page);
                refusal.dress(&mut answer);
                answer
            }
        }
    }
}

fn is_admin(principal: Option<&Principal>) -> bool {
    principal.is_some_and(|principal| principal.admin)
}

impl Handler for Gate {
    async fn handle(&self, peer: Peer, request: HttpRequest<Body>) -> Response<Body> {
        let form = Form::of_request(request.method(), request.uri().path(), request.headers());
        let scripted = Form::is_scripted(request.headers());
        let uri = request.uri().clone();
        let journey = self.house.spans.begin(&Arrival {
            method: request.method(),
            version: request.version(),
            headers: request.headers(),
            trusted: peer.trusted_front,
            secure: peer.secure,
        });
        let following = journey.as_ref().map(|journey| self.following(journey));
        let gate = following.as_ref().unwrap_or(self);
        let mut served = journey.as_ref().map(Journey::serve);
        let mut record = match self.house.audit.begin() {
            Ok(record) => record,
            Err(fault) => {
                let refusal = Refusal::from(fault);
                self.house.metrics.refused(&refusal.verdict());
                return closing::refused(served, &refusal.verdict(), refusal.to_json(""));
            }
        };
        let exchange = self.house.metrics.begin();
        let peer_address = peer.address;
        record.arrived(peer_address, request.method(), uri.path());
        // Ours, where somebody records it.
        let ours = journey.as_ref().and_then(Journey::here);
        let trace = ours.or_else(|| TraceContext::of(request.headers()));
        record.trace(trace);
        // A panic ends one request, not the process, and never lets it through (ASVS 16.5).
        // Pinned where it is made: moving it into the catcher would copy some kilobytes.
        let walk = gate.walk(peer, request, &mut record);
        let outcome = AssertUnwindSafe(pin!(walk)).catch_unwind().await;
        let mut answer = match outcome.unwrap_or_else(|_| Err(faults::panicked())) {
            Ok(answer) => answer,
            Err(refusal) => {
                if refusal.outcome() == audit::Outcome::Error {
                    // Not the caller's fault: whoever runs this should hear of it, not the audit log alone.
                    tracing::warn!(
                        http.method = record.method(),
                        http.path = uri.path(),
                        http.status = refusal.status.as_u16(),
                        http.latency_ms = record.millis(),
                        http.client = %peer_address,
                        request_id = %record.id(),
                        trace = trace.map(TraceContext::trace),
                        span = trace.map(TraceContext::span),
                        sampled = trace.map(TraceContext::sampled),
                        reason = refusal.reason,
                        detail = refusal.detail.as_deref().unwrap_or_default(),
                        "a request could not be answered"
                    );
                }
                let form = form.of_call(record.name(), scripted, &refusal);
                self.refuse(&refusal, form, &uri, &mut record)
            }
        };
        if let Ok(id) = HeaderValue::from_str(&record.id()) {
            answer.headers_mut().insert(REQUEST_ID, id);
        }
        let verdict = record.verdict(answer.status());
        exchange.answered(&verdict, record.elapsed(), &self.spent);
        if let Some(served) = &mut served {
            served.answered(&verdict, &record.id());
        }
        closing::close_with(record, Some(Arc::clone(&self.place)), served, answer)
    }

    fn refuse(&self, peer: Peer, misdeed: Misdeed) -> Response<Body> {
        let mut answer = misdeed.answer();
        // What is no request is answered even while no record can be written: nothing is let through by it.
        let Ok(mut record) = self.house.audit.begin() else { return answer };
        record.client(peer.address);
        record.refused(audit::Outcome::Deny, misdeed.code(), None, None);
        self.house.metrics.refused(&record.verdict(answer.status()));
        if let Ok(id) = HeaderValue::from_str(&record.id()) {
            answer.headers_mut().insert(REQUEST_ID, id);
        }
        closing::close_with(record, None, None, answer)
    }
}
