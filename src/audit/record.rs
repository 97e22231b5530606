//! What stands in one audit record?

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::mpsc::UnboundedSender;

use super::line::Line;
use super::writer::{Sent, State};
use crate::access::decide::{Reason, Requirement};
use crate::access::identity::{Identity, Names, Proof};
use crate::access::spelled;
use crate::clock::Clock;
use crate::metrics::Verdict;
use crate::mlflow::ids::WorkspaceName;
use crate::mlflow::resource::Object;
use crate::token_form;
use crate::trace_context::TraceContext;

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It was let through (whatever MLflow then said).
    Allow,
    /// It was refused: by rule, for want of permission, for want of a credential.
    Deny,
    /// Something that we need could not answer, so it was refused.
    Error,
}

impl Outcome {
    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
            Self::Error => "error",
        }
    }

    /// How much it matters, in Cloud Logging's words.
    fn severity(self) -> &'static str {
        match self {
            Self::Allow => "INFO",
            Self::Deny => "NOTICE",
            Self::Error => "ERROR",
        }
    }
}

/// What is written. Kept apart from [`Record`] so that it can be sent to the writer.
#[derive(Debug)]
pub(super) struct Entry {
    time: SystemTime,
    id: Arc<str>,
    identity: Option<Arc<Identity>>,
    moved: bool,
    client: Option<IpAddr>,
    trace: Option<TraceContext>,
    method: Cow<'static, str>,
    path: String,
    call: Option<&'static str>,
    workspace: Option<WorkspaceName>,
    objects: Vec<Object>,
    asked: Vec<Requirement>,
    asked_more: u64,
    called: Names,
    outcome: Outcome,
    reason: Cow<'static, str>,
    why: Option<String>,
    undone: Option<&'static str>,
    grant: Option<Reason>,
    status: u16,
    bytes: u64,
    complete: bool,
    micros: u64,
}

/// Longest path in a record, in bytes; what is longer is cut.
const PATH: usize = 512;

/// So many requirements are written down at most.
const ASKED: usize = 256;

/// The way to the writer.
#[derive(Debug, Clone)]
pub(super) struct Queue {
    pub(super) records: UnboundedSender<Sent>,
    pub(super) state: Arc<State>,
}

impl Queue {
    fn put(&self, entry: Box<Entry>) {
        self.state.one_more_waits();
        // The writer ends only when every sender is gone.
        let _ = self.records.send(Some(entry));
    }

    /// Has the writer look at what it is told.
    pub(super) fn wake(&self) {
        let _ = self.records.send(None);
    }
}

/// The record of one request. Written when it is closed, or when it is dropped.
#[derive(Debug)]
pub struct Record {
    entry: Option<Box<Entry>>,
    queue: Option<Queue>,
    began: Instant,
}

impl Record {
    pub(super) fn new(queue: Option<Queue>, clock: &Clock) -> Self {
        let time = clock.now();
        let entry = Entry {
            time,
            id: super::id::name(time),
            identity: None,
            moved: false,
            client: None,
            trace: None,
            method: Cow::Borrowed(""),
            path: String::new(),
            call: None,
            workspace: None,
            objects: Vec::new(),
            asked: Vec::new(),
            asked_more: 0,
            called: Names::default(),
            outcome: Outcome::Error,
            reason: Cow::Borrowed("unfinished"),
            why: None,
            undone: None,
            grant: None,
            status: 0,
            bytes: 0,
            complete: false,
            micros: 0,
        };
        Self { entry: Some(Box::new(entry)), queue, began: Instant::now() }
    }

    /// Our name for the request.
    #[must_use]
    pub fn id(&self) -> Arc<str> {
        self.entry.as_ref().map_or_else(|| Arc::from(""), |entry| Arc::clone(&entry.id))
    }

    /// The request line, without its query.
    pub fn arrived(&mut self, client: IpAddr, method: &http::Method, path: &str) {
        let Some(entry) = &mut self.entry else { return };
        entry.client = Some(client);
        entry.method = match *method {
            http::Method::GET => Cow::Borrowed("GET"),
            http::Method::POST => Cow::Borrowed("POST"),
            _ => Cow::Owned(method.as_str().chars().take(32).collect()),
        };
        // A token that somebody wrote into an address is refused, and its secret is not kept here either.
        let path = token_form::without_secrets(path);
        let mut end = path.len().min(PATH);
        while !path.is_char_boundary(end) {
            end -= 1;
        }
        path[..end].clone_into(&mut entry.path);
    }

    /// The trace that it belongs to.
    pub fn trace(&mut self, trace: Option<TraceContext>) {
        if let Some(entry) = &mut self.entry {
            entry.trace = trace;
        }
    }

    /// The client's address, once it is known what a trusted front says of it.
    pub fn client(&mut self, address: IpAddr) {
        if let Some(entry) = &mut self.entry {
            entry.client = Some(address);
        }
    }

    /// Who asked, if that is known.
    #[must_use]
    pub fn user(&self) -> Option<String> {
        let identity = self.entry.as_ref()?.identity.as_ref()?;
        Some(identity.user.as_str().to_owned())
    }

    /// How that was proven.
    #[must_use]
    pub fn proof(&self) -> Option<Proof> {
        Some(self.entry.as_ref()?.identity.as_ref()?.proof)
    }

    /// The method, as it arrived.
    #[must_use]
    pub fn method(&self) -> &str {
        self.entry.as_ref().map_or("", |entry| &entry.method)
    }

    /// How long it has taken so far.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// The same in milliseconds.
    #[must_use]
    pub fn millis(&self) -> f64 {
        self.elapsed().as_secs_f64() * 1000.0
    }

    /// What is counted of it: words of ours alone.
    #[must_use]
    pub fn verdict(&self, status: http::StatusCode) -> Verdict {
        let (outcome, reason) = match &self.entry {
            None => (Outcome::Error, "unfinished"),
            Some(entry) => match &entry.reason {
                Cow::Borrowed(reason) => (entry.outcome, *reason),
                // Such a one is not known beforehand, and would be a series of its own.
                Cow::Owned(_) => (entry.outcome, "other"),
            },
        };
        Verdict { call: self.name(), outcome: outcome.as_str(), status: status.as_u16(), reason }
    }

    /// The name of the call, if it has one.
    #[must_use]
    pub fn name(&self) -> Option<&'static str> {
        self.entry.as_ref()?.call
    }

    /// Whose request it is.
    pub fn who(&mut self, identity: Arc<Identity>) {
        if let Some(entry) = &mut self.entry {
            entry.identity = Some(identity);
        }
    }

    /// It came by a token that was never used from that network before, though from others.
    pub fn moved(&mut self) {
        if let Some(entry) = &mut self.entry {
            entry.moved = true;
        }
    }

    /// MLflow's name for the call.
    pub fn call(&mut self, name: &'static str) {
        if let Some(entry) = &mut self.entry {
            entry.call = Some(name);
        }
    }

    /// The workspace that it acts in, where there are several.
    pub fn workspace(&mut self, workspace: &WorkspaceName) {
        if let Some(entry) = &mut self.entry {
            entry.workspace = Some(workspace.clone());
        }
    }

    /// What it is about, as far as that is known.
    #[must_use]
    pub fn about(&self) -> &[Object] {
        self.entry.as_ref().map_or(&[], |entry| &entry.objects)
    }

    /// What it is about.
    pub fn objects(&mut self, objects: Vec<Object>) {
        if let Some(entry) = &mut self.entry {
            entry.objects = objects;
        }
    }

    /// What was asked of the caller: by this it can be judged again with another policy. Of more than `ASKED` their
    /// number is kept.
    pub fn asked(&mut self, requirements: &[Requirement]) {
        let Some(entry) = &mut self.entry else { return };
        if requirements.len() <= ASKED {
            entry.asked = requirements.to_vec();
        } else {
            entry.asked_more = u64::try_from(requirements.len()).unwrap_or(u64::MAX);
        }
    }

    /// What the experiments were called that it is about, where that mattered: by this, too, it is judged again.
    pub fn called(&mut self, names: &Names) {
        if let Some(entry) = &mut self.entry {
            entry.called = names.clone();
        }
    }

    /// It was allowed, for these reasons. The last grant among them is named as the deciding one.
    pub fn allowed(&mut self, reasons: &[Reason]) {
        let Some(entry) = &mut self.entry else { return };
        let telling = Reason::telling(reasons);
        entry.outcome = Outcome::Allow;
        entry.reason = Cow::Borrowed(telling.map_or("nothing-asked", Reason::code));
        entry.grant = telling.cloned();
    }

    /// It was refused.
    pub fn refused(&mut self, outcome: Outcome, reason: &'static str, why: Option<String>, grant: Option<Reason>) {
        let Some(entry) = &mut self.entry else { return };
        entry.outcome = outcome;
        entry.reason = Cow::Borrowed(reason);
        entry.why = why;
        entry.grant = grant;
    }

    /// Something to remember about an allowed request, such as an effect that failed.
    pub fn note(&mut self, why: String) {
        if let Some(entry) = &mut self.entry {
            entry.why = Some(why);
        }
    }

    /// It was allowed, and all the same not done: we answered with this error.
    pub fn not_done(&mut self, code: &'static str, why: String) {
        if let Some(entry) = &mut self.entry {
            entry.undone = Some(code);
            entry.why = Some(why);
        }
    }

    /// The answer's status.
    pub fn status(&mut self, status: http::StatusCode) {
        if let Some(entry) = &mut self.entry {
            entry.status = status.as_u16();
        }
    }

    /// Bytes of the answer's body that were handed to the connection.
    pub fn sent(&mut self, bytes: u64) {
        if let Some(entry) = &mut self.entry {
            entry.bytes += bytes;
        }
    }

    /// The last byte was handed over.
    pub fn complete(&mut self) {
        if let Some(entry) = &mut self.entry {
            entry.complete = true;
        }
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        if let (Some(mut entry), Some(queue)) = (self.entry.take(), self.queue.take()) {
            entry.micros = u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX);
            queue.put(entry);
        }
    }
}

impl Entry {
    /// Appends it; `traces` is what Cloud Logging wants before the name of a trace, where it is to link them.
    pub(super) fn write_line(&self, lines: &mut Vec<u8>, traces: Option<&str>) {
        let mut line = Line::begin(lines);
        line.time("time", self.time);
        if traces.is_some() {
            line.text("severity", self.outcome.severity());
        }
        line.text("id", &self.id);
        if let Some(identity) = &self.identity {
            line.text("user", identity.user.as_str());
            line.text("proof", identity.proof.as_str());
            line.text("issuer", &identity.issuer);
            if let Some(token) = &identity.token {
                line.text(if identity.proof == Proof::Bound { "binding" } else { "token" }, &token.id);
                // Whose token it was, as its issuer calls them.
                if identity.proof == Proof::Bound {
                    line.text("subject", &identity.subject);
                }
                if let Some(ceiling) = &token.ceiling {
                    line.shown("ceiling", ceiling);
                }
            }
            if self.moved {
                line.truth("new_address", true);
            }
        }
        if let Some(client) = &self.client {
            line.shown("client", client);
        }
        if let Some(trace) = self.trace {
            match traces {
                Some(before) => {
                    line.text("logging.googleapis.com/trace", &format!("{before}{}", trace.trace()));
                    line.text("logging.googleapis.com/spanId", &trace.span());
                    line.truth("logging.googleapis.com/trace_sampled", trace.sampled());
                }
                None => line.text("trace", &trace.trace()),
            }
        }
        line.text("method", &self.method);
        line.text("path", &self.path);
        if let Some(call) = self.call {
            line.text("call", call);
        }
        if let Some(workspace) = &self.workspace {
            line.text("workspace", workspace.as_str());
        }
        if !self.objects.is_empty() {
            let named = self.objects.iter().map(|object| fmt::from_fn(|f| write!(f, "{}:{}", object.kind, object.id)));
            line.list("objects", named);
        }
        if let Some(identity) = &self.identity
            && (!self.asked.is_empty() || self.asked_more > 0)
        {
            if !identity.groups.is_empty() {
                line.list("groups", identity.groups.iter());
            }
            if self.asked_more > 0 {
                line.number("asked_more", self.asked_more);
            } else {
                let asked: Vec<_> = self.asked.iter().map(spelled::write).collect();
                line.lists("asked", &asked);
                if !self.called.is_empty() {
                    let called: Vec<Vec<&str>> =
                        self.called.all().map(|(id, name)| std::iter::once(id).chain(name).collect()).collect();
                    line.lists("called", &called);
                }
            }
        }
        line.text("decision", self.outcome.as_str());
        line.text("reason", &self.reason);
        if let Some(grant) = &self.grant {
            line.shown("because", grant);
        }
        if let Some(code) = self.undone {
            // Whoever reads `allow` alone must not take it for done.
            line.truth("done", false);
            line.text("error_code", code);
        }
        if let Some(why) = &self.why {
            line.text("detail", why);
        }
        line.number("status", self.status.into());
        line.number("bytes", self.bytes);
        if !self.complete {
            line.truth("cut_off", true);
        }
        line.number("duration_us", self.micros);
        line.end();
    }
}
