//! The hall: the whole way of a request, in order.
//!
//! [`Gate::handle`] cannot fail: it opens the audit record, runs the walk, turns a [`Refusal`] into an answer in the
//! caller's form, and closes the record with the answer's last byte. The walk is one function; nobody but it knows the
//! order of the steps.

mod body;
pub mod clean;
mod closing;
mod denied;
mod faults;
pub mod limits;
mod live;
mod news;
mod own;
pub mod refusal;
mod room;

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
use self::room::Share;
use crate::access::decide::{Permitted, decide, holds, visible};
use crate::access::identity::{Principal, Proof};
use crate::audit::{self, Record};
use crate::authenticate::Authenticator;
use crate::authenticate::credential::Credentials;
use crate::authenticate::help::Help;
use crate::message::{Body, Payload, Peer, Request};
use crate::metrics::{Metrics, Spent};
use crate::mlflow::ids::WorkspaceName;
use crate::mlflow::permission::Action;
use crate::mlflow::resource::{Kind, Resource};
use crate::policy::classify::{Call, Classified, classify};
use crate::policy::fields::{self, Fields};
use crate::policy::route::{Answer, BodyClass, Scope};
use crate::resolve::{Known, Resolved, Resolver};
use crate::serve::{Handler, Misdeed};
use crate::spans::{Arrival, Journey, Spans};
use crate::store::{PrincipalFault, Store};
use crate::trace_context::TraceContext;
use crate::upstream::Upstream;
use crate::{answer, api, forward, pages};

/// The largest form of our own pages, in bytes.
const LARGEST_FORM: u64 = 64 * 1024;
/// The largest one of somebody who is not known yet: it holds a code or a token.
const LARGEST_OF_STRANGERS: u64 = 8 * 1024;
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

    /// Whether the call is answered without asking who calls. Behind IAP that is the probe alone.
    fn lets_strangers_in(&self, classified: &Classified, request: &Request) -> bool {
        match classified {
            Classified::Call(call) if call.row.open_to_strangers() => {
                call.row.name == "Live" || !self.house.authenticator.demands_iap(request.peer.door)
            }
            Classified::Call(_) | Classified::WrongMethod | Classified::Unknown => false,
        }
    }

    /// Who asks. Strangers are refused here: the few rows for them do not come this way.
    async fn recognise(
        &self,
        classified: &Classified,
        request: &Request,
        credentials: &Credentials,
        record: &mut Record,
    ) -> Result<Arc<Principal>, Refusal> {
        let house = &*self.house;
        let help = Help::at(house.authenticator.public_url());
        let authenticated = house.authenticator.authenticate(&request.peer, credentials).await;
        let authenticated = authenticated.map_err(|fault| faults::unrecognised(fault, help))?;
        let Some(authenticated) = authenticated else { return Err(faults::stranger(&request.headers, help)) };
        record.who(Arc::clone(&authenticated.identity));
        if authenticated.moved {
            record.moved();
        }
        // What strangers may call does nothing on the strength of who calls, or looks at the origin by itself.
        let open = matches!(classified, Classified::Call(call) if call.row.open_to_strangers());
        if authenticated.is_ambient() && !open {
            clean::check_origin(request, &house.clean)?;
        }
        let identity = house.authenticator.with_groups(authenticated.identity).await;
        let identity = identity.map_err(|fault| faults::unrecognised(fault, help))?;
        let workspace = request.workspace.clone().unwrap_or_default();
        let principal = |identity| match classified {
            Classified::Call(call) if call.row.scope == Scope::Workspaces => house.store.tenant(identity, &workspace),
            Classified::Call(_) | Classified::WrongMethod | Classified::Unknown => {
                house.store.principal(identity, &workspace)
            }
        };
        match principal(Arc::clone(&identity)) {
            Err(PrincipalFault::Unrecognised) => {
                Box::pin(house.store.recognise(&identity)).await.map_err(|fault| faults::nobody(fault, help))?;
                principal(identity)
            }
            known => known,
        }
        .map_err(|fault| faults::nobody(fault, help))
    }

    /// Whether the caller may know of the workspace, and whether the server does.
    async fn check_workspace(
        &self,
        call: &Call,
        principal: &Principal,
        workspace: &WorkspaceName,
    ) -> Result<(), Refusal> {
        if call.is_local() || call.row.scope == Scope::Anywhere || workspace.is_default() {
            return Ok(());
        }
        let belongs = match call.row.scope {
            Scope::Inside | Scope::Anywhere => principal.belongs(),
            Scope::Workspaces => visible(principal, &Resource::of_workspace(workspace)),
        };
        if !belongs {
            return Err(faults::no_such_workspace(workspace));
        }
        Ok(Box::pin(self.house.resolver.has_workspaces(&self.upstream)).await?)
    }

    /// Reads the body whole where the row names a field of it.
    async fn read_body(
        &self,
        call: &Call,
        request: &mut Request,
        principal: Option<&Principal>,
    ) -> Result<Option<Share>, Refusal> {
        if !call.wants_body() {
            return Ok(None);
        }
        let mut share = principal.map(|principal| self.house.room.share(&principal.identity.user));
        let most = match call.row.body {
            BodyClass::Json => self.house.bodies.json,
            // Names, a level and a reason.
            BodyClass::Form if call.row.open_to_strangers() => self.house.bodies.json.min(LARGEST_OF_STRANGERS),
            BodyClass::Form => self.house.bodies.json.min(LARGEST_FORM),
            BodyClass::LargeJson | BodyClass::Otlp | BodyClass::Artifact => self.house.bodies.large_json,
        };
        if let Payload::Stream(body) = &mut request.payload {
            let began = Instant::now();
            let whole = body::read(std::mem::take(body), most, share.as_mut()).await;
            self.spent.client(began.elapsed());
            let mut whole = whole?;
            if call.row.body == BodyClass::Otlp {
                whole = body::decode(whole, &mut request.headers, most, share.as_mut())?;
            }
            request.payload = Payload::Judged(whole);
        }
        Ok(share)
    }

    /// A call to one of our own rows.
    async fn answer_ourselves(
        &self,
        permitted: Permitted<Request>,
        call: &Call,
        fields: &Fields,
        credentials: &Credentials,
        record: &mut Record,
    ) -> Response<Body> {
        let answered = pages::answer(permitted, call, fields, credentials, &self.house.authenticator).await;
        if let Some(identity) = answered.identity {
            record.who(identity);
        }
        if answered.moved {
            record.moved();
        }
        if let Some(note) = answered.note {
            record.note(note);
        }
        if let Some((error, detail)) = answered.undone {
            record.not_done(error, detail);
        }
        if let Some((reason, detail)) = answered.refused {
            let ours = answered.response.status().is_server_error();
            let outcome = if ours { audit::Outcome::Error } else { audit::Outcome::Deny };
            record.refused(outcome, reason, Some(detail), None);
        }
        answered.response
    }

    /// A call that is answered from our own store. The caller acts in the workspace that it is about.
    async fn serve(
        &self,
        principal: Arc<Principal>,
        request: Request,
        call: &Call,
        fields: &Fields,
        record: &mut Record,
    ) -> Result<Response<Body>, Refusal> {
        let house = &*self.house;
        let place = api::place(call, fields, &principal.workspace, &house.store);
        let (principal, upstream) = if place == principal.workspace {
            (principal, self.upstream.clone())
        } else {
            record.workspace(&place);
            let upstream = if house.clean.workspaces { self.upstream.within(&place) } else { self.upstream.clone() };
            (house.store.principal(Arc::clone(&principal.identity), &place)?, upstream)
        };
        let known = api::known(call, fields, &principal, &house.store);
        let resolved = house.resolver.resolve_about(Some(&principal), call, fields, &known, &upstream).await?;
        record.objects(resolved.objects.clone());
        record.asked(&resolved.requirements);
        let asker = resolved.asker().cloned();
        if let Some(asker) = &asker {
            record.called(&asker.names);
        }
        let decided = decide(asker.clone(), &resolved.requirements, request);
        self.decided();
        let permitted = match decided {
            Ok(permitted) => permitted,
            Err(denial) => return Err(Box::pin(self.denied(*denial, call, fields, asker, &upstream)).await),
        };
        record.allowed(permitted.reasons());
        let tools = api::Tools {
            store: &house.store,
            authenticator: &house.authenticator,
            fields,
            objects: &resolved.objects,
            thing: resolved.thing.as_ref(),
            about: resolved.about.as_deref(),
            workspaces: house.clean.workspaces,
        };
        let answered = api::answer(permitted, call, tools).await;
        match answered.not_done {
            Some(fault) if fault.ours => {
                record.refused(audit::Outcome::Error, "not-stored", Some(fault.message), None);
            }
            Some(fault) => record.not_done(fault.code.as_str(), fault.message),
            None => {}
        }
        Ok(answered.response)
    }

    /// A call to one of MLflow's rows.
    async fn ask_mlflow(
        &self,
        permitted: Permitted<Request>,
        upgrade: Option<OnUpgrade>,
        call: &Call,
        fields: &Fields,
        (resolved, known): (&Resolved, u64),
    ) -> Result<Response<Body>, Refusal> {
        if !answer::must_finish(call.row) && call.row.renamed().is_none() {
            return self.carry_out(permitted, upgrade, call, fields, (resolved, known)).await;
        }
        // A client that goes away drops this future. What MLflow has done by then must not stay without its grants. It keeps its
        // place: else whoever asks and leaves, again and again, would have any number of requests answered at once.
        let (gate, call, fields, resolved) = (self.clone(), call.clone(), fields.clone(), resolved.clone());
        let whole = async move { gate.carry_out(permitted, upgrade, &call, &fields, (&resolved, known)).await };
        self.house.forward.tunnels.carry(whole).await.unwrap_or_else(|| Err(faults::panicked()))
    }

    async fn carry_out(
        &self,
        permitted: Permitted<Request>,
        upgrade: Option<OnUpgrade>,
        call: &Call,
        fields: &Fields,
        (resolved, known): (&Resolved, u64),
    ) -> Result<Response<Body>, Refusal> {
        let house = &*self.house;
        let forward = match (call.row.body, call.row.fetches) {
            (BodyClass::Artifact, _) | (_, true) => &house.artifacts,
            (BodyClass::Json | BodyClass::LargeJson | BodyClass::Otlp | BodyClass::Form, false) => &house.forward,
        };
        let tools = answer::Tools {
            upstream: &self.upstream,
            forward,
            resolver: &house.resolver,
            store: &house.store,
            shared: &house.answer,
        };
        match &call.row.answer {
            // Nobody is served without being known: the way ends before.
            Answer::Served => Err(faults::unknown_call()),
            Answer::Ours(json) => Ok(answer::ours(permitted, json)),
            Answer::OursUnless(json, kind) if !may_use_every(permitted.principal(), *kind) => {
                Ok(answer::ours(permitted, json))
            }
            Answer::Keep(list) => Ok(Box::pin(answer::list(permitted, call, list, &tools)).await?),
            Answer::GraphQl(graph) => Ok(Box::pin(answer::graph(permitted, call, graph, &tools)).await?),
            Answer::Shell => {
                let session = permitted.principal().is_some_and(|caller| caller.identity.proof == Proof::Session);
                let head_only = permitted.get().head_only;
                let answer = forward::forward(permitted, None, &self.upstream, forward).await?;
                let answer = Box::pin(answer::with_entry(answer, &house.answer)).await?;
                if session && !head_only {
                    return Ok(Box::pin(answer::with_script(answer, pages::menu(), &house.answer)).await?);
                }
                Ok(answer)
            }
            Answer::Stream | Answer::OursUnless(..) | Answer::Hide(_) | Answer::Confirm { .. } | Answer::Offers(_) => {
                let upgrade = if call.row.upgrade { upgrade } else { None };
                let principal = permitted.principal().cloned();
                let head_only = permitted.get().head_only;
                let answer = forward::forward(permitted, upgrade, &self.upstream, forward).await;
                for id in call.row.renamed().into_iter().flat_map(|field| fields.each(field)) {
                    // Whatever came back: it may be called otherwise now.
                    house.resolver.forget_name(id, self.upstream.workspace()).await;
                }
                let answer = answer?;
                let judged = answer::Judged { objects: &resolved.objects, absent: &resolved.absent, known };
                let answer = answer::look_over(answer, principal.as_deref(), call, fields, judged, &tools).await?;
                // Whatever is left of it is not for a HEAD, and ends here unread.
                Ok(if head_only { answer.map(|_| Body::Empty) } else { answer })
            }
        }
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

/// Whether the caller is an administrator, or may use everything of the kind.
fn may_use_every(principal: Option<&Arc<Principal>>, kind: Option<Kind>) -> bool {
    principal.is_some_and(|principal| {
        principal.admin || kind.is_some_and(|kind| holds(principal, Action::Use, &Resource::every(kind)).is_ok())
    })
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
