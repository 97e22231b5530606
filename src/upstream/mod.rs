//! How do we talk to the MLflow server?
//!
//! HTTP/1.1 over kept-alive connections: TCP, a Unix socket, or TLS. Each worker has a pool of its own, so that a
//! request never crosses threads.
//!
//! Why not `hyper_util::client::legacy`: (1) it spawns a task for each connection, so that every request wakes two
//! tasks; here a connection is driven by the request that uses it, and rests undriven in the pool. (2) It retries by a
//! setting for all requests; here a request is sent again only if hyper hands it back unsent, or if it is a GET or HEAD
//! without a body that was lost on a connection that had rested (RFC 9110 section 9.2.2, RFC 9112 section 9.3.1).
//! (3) A connection goes back only when both directions of the exchange have ended; dropping an answer, or the wait
//! for one, closes it.

mod answer;
mod connect;
mod counts;
mod heard;
mod link;
mod pool;
mod settings;
mod traced;
mod upload;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{HOST, HeaderName, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body::Body as _;
use tokio::time::Instant;

pub use counts::Connections;
pub use settings::{BadTarget, Settings, Target};

use crate::message::{Body, BodyError};
use crate::metrics::Spent;
use crate::mlflow::ids::WorkspaceName;
use crate::spans::Journey;
use connect::Connector;
use link::{Failed, Link};
use pool::Pool;

/// The most that [`Upstream::ask`] reads of an answer: a run comes with all its latest metrics, parameters and tags.
const MOST_ASKED: usize = 16 * 1024 * 1024;

/// MLflow's `WORKSPACE_HEADER_NAME`.
const WORKSPACE: HeaderName = HeaderName::from_static("x-mlflow-workspace");

/// How long the server may take to answer a probe.
const PROBE: Duration = Duration::from_secs(5);

/// A pooled connection that rested at least this long may have been closed by the server in this very moment; a
/// request that may be repeated is then kept until its answer comes.
const RESTED: Duration = Duration::from_millis(200);

/// Why there is no answer from MLflow, or no usable one.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamError {
    /// The settings cannot be used.
    #[error("cannot set up the connection to MLflow: {0}")]
    Settings(String),
    /// Nothing listens there, or its certificate is not accepted.
    #[error("MLflow cannot be reached: {0}")]
    Down(#[source] std::io::Error),
    /// No connection in time.
    #[error("MLflow did not accept a connection in time")]
    ConnectTimeout,
    /// No answer in time.
    #[error("MLflow did not answer in time")]
    FirstByteTimeout,
    /// It stopped taking the request's body.
    #[error("MLflow stopped taking the request's body")]
    UploadStalled,
    /// The connection broke, or what came is not HTTP.
    #[error("the connection to MLflow broke: {0}")]
    Broken(#[source] hyper::Error),
    /// An answer whose end cannot be told from a broken connection: neither a length nor chunks.
    #[error("MLflow's answer has neither a length nor chunks")]
    Unframed,
    /// Not MLflow's fault: the client's body ended before its end.
    #[error("the client's body ended before its end: {0}")]
    Body(#[source] BodyError),
    /// Its answer to a question of ours is larger than we read.
    #[error("MLflow's answer is larger than {MOST_ASKED} bytes")]
    AnswerTooLarge,
    /// Its answer to a question of ours ended before its end.
    #[error("MLflow's answer ended before its end: {0}")]
    AnswerBroken(#[source] BodyError),
}

impl UpstreamError {
    /// Whether the client, not MLflow, is at fault.
    #[must_use]
    pub fn is_clients_fault(&self) -> bool {
        matches!(self, Self::Body(_))
    }

    /// Stable word for it.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Settings(_) => "settings",
            Self::Down(_) => "down",
            Self::ConnectTimeout => "connect-timeout",
            Self::FirstByteTimeout => "first-byte-timeout",
            Self::UploadStalled => "upload-stalled",
            Self::Broken(_) => "broken",
            Self::Unframed => "unframed",
            Self::Body(_) => "clients-body",
            Self::AnswerTooLarge => "answer-too-large",
            Self::AnswerBroken(_) => "answer-broken",
        }
    }

    /// Whether MLflow was too slow, rather than away or broken: 504 instead of 502.
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        matches!(self, Self::ConnectTimeout | Self::FirstByteTimeout | Self::UploadStalled)
    }
}

/// What MLflow answered to a question of our own.
#[derive(Debug, Clone)]
pub struct Asked {
    /// The status.
    pub status: StatusCode,
    /// The whole body.
    pub body: Bytes,
}

/// The client to MLflow. A clone shares the pool; [`Upstream::for_worker`] gives a pool of its own.
#[derive(Clone)]
pub struct Upstream {
    connector: Arc<Connector>,
    pool: Pool,
    workspace: Option<WorkspaceName>,
    /// Who wants to know how long this took.
    spent: Option<Arc<Spent>>,
    /// The request for which all this is asked, where traces are kept.
    journey: Option<Journey>,
}

impl Upstream {
    /// A client with an empty pool. Nothing is connected yet.
    ///
    /// # Errors
    /// [`UpstreamError::Settings`] if the CA file cannot be used or the name is no host name.
    pub fn new(settings: &Settings) -> Result<Self, UpstreamError> {
        let connector = Arc::new(Connector::new(settings)?);
        Ok(Self {
            pool: Pool::new(settings.pool_size, settings.pool_idle),
            connector,
            workspace: None,
            spent: None,
            journey: None,
        })
    }

    /// The same server with a pool of its own, for another worker thread.
    #[must_use]
    pub fn for_worker(&self) -> Self {
        let settings = self.settings();
        Self {
            pool: Pool::new(settings.pool_size, settings.pool_idle),
            connector: Arc::clone(&self.connector),
            workspace: None,
            spent: None,
            journey: None,
        }
    }

    /// The same client, whose waits for the server are written down.
    #[must_use]
    pub fn timed(self, spent: &Arc<Spent>) -> Self {
        Self { spent: Some(Arc::clone(spent)), ..self }
    }

    /// The same client, whose every request is a part of this journey.
    #[must_use]
    pub fn traced(&self, journey: &Journey) -> Self {
        Self { journey: Some(journey.clone()), ..self.clone() }
    }

    /// How many connections there are, of all clients that were made of one another.
    #[must_use]
    pub fn connections(&self) -> Connections {
        self.connector.counts.now()
    }

    /// The same client, whose every request names this workspace.
    #[must_use]
    pub fn within(&self, workspace: &WorkspaceName) -> Self {
        Self { workspace: Some(workspace.clone()), ..self.clone() }
    }

    /// The workspace that every request names, if one does.
    #[must_use]
    pub fn workspace(&self) -> Option<&WorkspaceName> {
        self.workspace.as_ref()
    }

    /// What the client was made with.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.connector.settings
    }

    /// The `Host` that MLflow is called by.
    #[must_use]
    pub fn authority(&self) -> &HeaderValue {
        &self.connector.authority
    }

    /// Sends one request and waits for the head of its answer, at most `first_byte` after the request's last byte.
    ///
    /// The request's target must be in origin form. `Host` is added if it is missing.
    ///
    /// # Errors
    /// See [`UpstreamError`]. Nothing is sent twice that may have been processed.
    pub async fn send(
        &self,
        mut request: Request<Body>,
        first_byte: Duration,
    ) -> Result<Response<Body>, UpstreamError> {
        let asked = self.journey.as_ref().and_then(|journey| traced::begin(journey, &mut request, self.settings()));
        let began = Instant::now();
        let answer = self.exchange(request, first_byte).await;
        if let Some(spent) = &self.spent {
            spent.upstream(began.elapsed());
        }
        if answer.as_ref().is_ok_and(|answer| !answer.status().is_server_error()) {
            self.connector.heard.note();
        }
        match asked {
            Some(asked) => traced::answered(asked, answer),
            None => answer,
        }
    }

    /// How long ago the server last answered anybody with something else than a fault of its own; `None`: never yet. All
    /// clients that were made of one another know it together.
    #[must_use]
    pub fn silent_for(&self) -> Option<Duration> {
        self.connector.heard.ago()
    }

    async fn exchange(&self, request: Request<Body>, first_byte: Duration) -> Result<Response<Body>, UpstreamError> {
        let mut request = self.prepare(request)?;
        let idle = self.settings().idle_timeout;
        while let Some(mut link) = self.pool.take() {
            let again = if link.rested(RESTED) { copy(&request) } else { None };
            let upload;
            (request, upload) = upload::watch(request);
            match link.exchange(request, upload, first_byte, idle).await {
                Ok(answer) => return answer::answer(answer, link, &self.pool, idle, self.spent.as_ref()).await,
                Err(Failed::Unsent(back)) => request = back,
                Err(Failed::Lost(error)) => match again {
                    Some(copy) => {
                        tracing::debug!(%error, "a rested connection was closed under a request; sent again");
                        request = copy;
                        break;
                    }
                    None => return Err(link::blame(error)),
                },
                Err(Failed::Never(error)) => return Err(error),
            }
        }
        // Boxed: it is rare, and every request's future would carry room for it.
        let mut link = Box::pin(Link::open(&self.connector)).await?;
        let upload;
        (request, upload) = upload::watch(request);
        match link.exchange(request, upload, first_byte, idle).await {
            Ok(answer) => answer::answer(answer, link, &self.pool, idle, self.spent.as_ref()).await,
            Err(Failed::Unsent(_)) => Err(UpstreamError::Down(std::io::ErrorKind::ConnectionAborted.into())),
            Err(Failed::Lost(error)) => Err(link::blame(error)),
            Err(Failed::Never(error)) => Err(error),
        }
    }

    /// Asks MLflow something of our own: a GET, whose answer is read whole.
    ///
    /// # Errors
    /// See [`UpstreamError`].
    pub async fn ask(&self, path_and_query: &str) -> Result<Asked, UpstreamError> {
        let request = Request::builder()
            .method(Method::GET)
            .uri(path_and_query)
            .body(Body::Empty)
            .map_err(|fault| UpstreamError::Settings(fault.to_string()))?;
        self.ask_with(request).await
    }

    /// Asks something of our own, and reads the answer whole, as [`Upstream::ask`] does.
    ///
    /// # Errors
    /// See [`UpstreamError`].
    pub async fn ask_with(&self, request: Request<Body>) -> Result<Asked, UpstreamError> {
        let answer = self.send(request, self.settings().first_byte_timeout).await?;
        let status = answer.status();
        let body = match answer.into_body() {
            Body::Empty => Bytes::new(),
            Body::Full(bytes) if bytes.len() <= MOST_ASKED => bytes,
            Body::Full(_) => return Err(UpstreamError::AnswerTooLarge),
            body @ (Body::Incoming(_) | Body::Boxed(_)) => whole(body).await?,
        };
        Ok(Asked { status, body })
    }

    /// Asks MLflow's `/health` every `every`, unless it was heard of since: [`Upstream::silent_for`] then tells what is true
    /// also while nobody calls. Ends only with the task it runs in.
    pub async fn keep_in_touch(&self, static_prefix: &str, every: Duration) {
        let prefix = static_prefix.trim_end_matches('/');
        let below = format!("{prefix}/health");
        loop {
            if self.silent_for().is_none_or(|silent| silent >= every)
                && let Err(error) = self.is_healthy(&below).await
            {
                tracing::debug!(%error, "MLflow does not answer the probe");
            }
            tokio::time::sleep(every).await;
        }
    }

    /// One probe. Any answer but a fault of its own counts: an old server has `/health` at the root alone.
    async fn is_healthy(&self, place: &str) -> Result<(), UpstreamError> {
        let asked = tokio::time::timeout(PROBE, self.ask(place)).await;
        asked.map_err(|_| UpstreamError::FirstByteTimeout)?.map(drop)
    }

    fn prepare(&self, mut request: Request<Body>) -> Result<Request<Body>, UpstreamError> {
        // INVARIANT: the workspace that was judged is the one that MLflow acts in, for what is passed on and for every
        // question of our own.
        if let Some(workspace) = &self.workspace {
            let name = HeaderValue::from_str(workspace.as_str());
            let name = name.map_err(|fault| UpstreamError::Settings(fault.to_string()))?;
            request.headers_mut().insert(WORKSPACE, name);
        }
        if !request.headers().contains_key(HOST) {
            request.headers_mut().insert(HOST, self.connector.authority.clone());
        }
        Ok(request)
    }
}

/// Reads our own question's answer, within [`MOST_ASKED`].
async fn whole(mut body: Body) -> Result<Bytes, UpstreamError> {
    let mut read = bytes::BytesMut::new();
    loop {
        let frame = std::future::poll_fn(|cx| std::pin::Pin::new(&mut body).poll_frame(cx)).await;
        match frame {
            None => return Ok(read.freeze()),
            Some(Err(fault)) => return Err(UpstreamError::AnswerBroken(fault)),
            Some(Ok(frame)) => {
                if let Ok(data) = frame.into_data() {
                    if read.len() + data.len() > MOST_ASKED {
                        return Err(UpstreamError::AnswerTooLarge);
                    }
                    read.extend_from_slice(&data);
                }
            }
        }
    }
}

/// A second copy of a request that may be repeated: GET or HEAD without a body (RFC 9110 section 9.2.2).
fn copy(request: &Request<Body>) -> Option<Request<Body>> {
    let repeatable = matches!(*request.method(), Method::GET | Method::HEAD) && request.body().is_end_stream();
    repeatable.then(|| {
        let mut copy = Request::new(Body::Empty);
        copy.method_mut().clone_from(request.method());
        copy.uri_mut().clone_from(request.uri());
        copy.headers_mut().clone_from(request.headers());
        copy
    })
}

/// When something began, for deadlines.
fn after(start: Instant, by: Duration) -> Instant {
    // A duration beyond the clock's range means never; a century is never enough.
    start.checked_add(by).unwrap_or_else(|| start + Duration::from_hours(876_000))
}
