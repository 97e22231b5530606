//! How does a request reach the server with a credential, and its answer the program?
//!
//! Bodies stream both ways. A small request is kept until its answer comes, so that it can be sent again: after a 401 with
//! another credential, and while the server cannot be reached. A large one can be sent again as long as nobody has read of
//! it; else the program is asked to come again (503), which MLflow's client does by itself.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::header::{
    AUTHORIZATION, CONTENT_LENGTH, COOKIE, DATE, EXPECT, HOST, HeaderName, HeaderValue, LOCATION, PROXY_AUTHORIZATION,
    SET_COOKIE, STRICT_TRANSPORT_SECURITY,
};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri};
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;
use tokio::time::Instant;

use super::Say;
use super::guard::Guard;
use super::keeper::Keeper;
use super::load::Load;
use super::source::{Credential, SourceFault};
use super::wake::Wake;
use super::words::{later, refusal};
use crate::clock::Clock;
use crate::message::{Body, remove_fields, remove_hop_by_hop};
use crate::mlflow::error::ErrorCode;
use crate::upstream::{Upstream, UpstreamError};

/// Requests up to this size are kept until they are answered.
const SMALL: u64 = 1024 * 1024;
/// The client's own limits are shorter; this one is for programs that are gone without a word.
pub(super) const FIRST_BYTE: Duration = Duration::from_mins(30);
/// Between two tries to reach the server, at first and at most.
const AGAIN: Duration = Duration::from_millis(200);
const AGAIN_AT_MOST: Duration = Duration::from_secs(2);
/// The longest that a program is asked to wait, in seconds. MLflow's client tries seven times and takes `Retry-After` for
/// its word (3.17.2, `mlflow/utils/request_utils.py`), so that a short one would use its tries up within seconds.
const COME_AGAIN_AT_MOST: u64 = 30;
/// IAP says so of answers of its own (Google, "Troubleshooting IAP errors").
const OF_IAP: HeaderName = HeaderName::from_static("x-goog-iap-generated-response");

/// What of a program's does not reach the server: the agent's credential is the only one. 100-continue is hyper's to answer.
static NOT_OUTWARD: [HeaderName; 6] = [AUTHORIZATION, PROXY_AUTHORIZATION, COOKIE, HOST, CONTENT_LENGTH, EXPECT];
/// What of the server's does not reach the program: what it would keep, or what is for browsers.
static NOT_INWARD: [HeaderName; 3] = [SET_COOKIE, STRICT_TRANSPORT_SECURITY, HeaderName::from_static("alt-svc")];

/// Passes requests on. Shared by all connections.
pub(super) struct Passer {
    pub(super) guard: Guard,
    pub(super) upstream: Mutex<Upstream>,
    pub(super) wake: Wake,
    pub(super) clock: Clock,
    /// The path of the server's own address, without a slash at its end.
    pub(super) base: String,
    /// Ours, in `Authorization`.
    pub(super) own: Option<Arc<Keeper>>,
    /// IAP's, in `Proxy-Authorization`.
    pub(super) iap: Option<Arc<Keeper>>,
    /// How long a request waits for a server that cannot be reached.
    pub(super) patience: Duration,
    /// Since when it cannot, in milliseconds since the epoch; 0: it can.
    pub(super) away_since: AtomicU64,
    pub(super) say: Say,
}

/// What is shown with one try.
#[derive(Default)]
struct Shown {
    own: Option<Arc<Credential>>,
    iap: Option<Arc<Credential>>,
}

impl Passer {
    /// Answers one request. Cannot fail: every refusal is an answer.
    pub(super) async fn pass(&self, request: Request<Incoming>) -> Response<Body> {
        let (head, body) = request.into_parts();
        let path = match self.guard.admit(&head) {
            Ok(path) => path,
            Err(answer) => return *answer,
        };
        let Some(target) = self.target(&path) else {
            return refusal(StatusCode::BAD_REQUEST, ErrorCode::BadRequest, "the path cannot be sent on");
        };
        let load = match body.size_hint().exact() {
            Some(size) if size <= SMALL => match body.collect().await {
                Ok(whole) => Load::whole(whole.to_bytes()),
                Err(_) => {
                    return refusal(
                        StatusCode::BAD_REQUEST,
                        ErrorCode::BadRequest,
                        "the request's body ended too early",
                    );
                }
            },
            _ => Load::streamed(body),
        };
        let head_only = head.method == Method::HEAD;
        let mut answer = self.exchange(&head, &target, &load).await;
        self.inward(answer.headers_mut(), head_only);
        answer
    }

    /// Sends, and sends again where that can help.
    async fn exchange(&self, head: &Parts, target: &Uri, load: &Load) -> Response<Body> {
        let begun = Instant::now();
        let mut pause = AGAIN;
        let mut renewed = false;
        loop {
            let shown = match self.show().await {
                Ok(shown) => shown,
                Err(fault) => return without_credential(&fault),
            };
            let Some(body) = load.body() else {
                return later(StatusCode::BAD_GATEWAY, 1, "the connection broke while the request was sent");
            };
            let request = outward(head, target, &shown, body);
            match self.upstream().send(request, FIRST_BYTE).await {
                Ok(answer) => {
                    self.is_there();
                    if answer.status() != StatusCode::UNAUTHORIZED {
                        return self.taken(&shown, answer);
                    }
                    if renewed || !self.renew(&shown, &answer).await {
                        return answer;
                    }
                    if !load.is_unread() {
                        return later(
                            StatusCode::SERVICE_UNAVAILABLE,
                            1,
                            "the credential had ended early and was renewed; this request is too large to be kept, send it again",
                        );
                    }
                    renewed = true;
                }
                Err(error) => {
                    let unsent = matches!(&error, UpstreamError::ConnectTimeout)
                        || matches!(&error, UpstreamError::Down(why) if why.kind() != std::io::ErrorKind::InvalidData);
                    if !unsent || !load.is_unread() || begun.elapsed() + pause > self.patience {
                        return self.failed(&error);
                    }
                    self.is_away();
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(AGAIN_AT_MOST);
                }
            }
        }
    }

    async fn show(&self) -> Result<Shown, SourceFault> {
        let mut shown = Shown::default();
        if let Some(keeper) = &self.own {
            shown.own = Some(keeper.get().await?);
        }
        if let Some(keeper) = &self.iap {
            shown.iap = Some(keeper.get().await?);
        }
        Ok(shown)
    }

    /// The server, or IAP before it, refused: whether there is another credential now.
    async fn renew(&self, shown: &Shown, answer: &Response<Body>) -> bool {
        self.compare_clocks(answer.headers());
        let of_iap = answer.headers().contains_key(OF_IAP);
        let refused = if of_iap { (&self.iap, &shown.iap) } else { (&self.own, &shown.own) };
        match refused {
            (Some(keeper), Some(refused)) => keeper.instead_of(refused).await.is_some(),
            _ => false,
        }
    }

    /// An answer that is no 401: the credentials count, or at least are not the trouble.
    fn taken(&self, shown: &Shown, answer: Response<Body>) -> Response<Body> {
        self.compare_clocks(answer.headers());
        if answer.status().is_redirection() && answer.headers().contains_key(OF_IAP) {
            return refusal(
                StatusCode::UNAUTHORIZED,
                ErrorCode::Unauthenticated,
                "the server stands behind Google's Identity-Aware Proxy, which wants a credential of its own: give --iap-audience",
            );
        }
        for (keeper, credential) in [(&self.own, &shown.own), (&self.iap, &shown.iap)] {
            if let (Some(keeper), Some(credential)) = (keeper, credential) {
                keeper.accepted(credential);
            }
        }
        answer
    }

    fn compare_clocks(&self, headers: &HeaderMap) {
        let date = headers.get(DATE).and_then(|date| date.to_str().ok());
        let Some(Ok(date)) = date.map(|date| OffsetDateTime::parse(date, &Rfc2822)) else { return };
        let Ok(seconds) = u64::try_from(date.unix_timestamp()) else { return };
        for keeper in [&self.own, &self.iap].into_iter().flatten() {
            keeper.compare_clocks(seconds.saturating_mul(1000));
        }
    }

    /// The client to the server; with no old connections after a sleep.
    fn upstream(&self) -> Upstream {
        let mut upstream = self.upstream.lock().unwrap_or_else(PoisonError::into_inner);
        if self.wake.slept(self.clock.millis()) {
            *upstream = upstream.for_worker();
        }
        upstream.clone()
    }

    fn is_there(&self) {
        if self.away_since.swap(0, Ordering::Relaxed) != 0 {
            (self.say)("the server answers again");
        }
    }

    /// For how many seconds it has been away.
    fn is_away(&self) -> u64 {
        let now = self.clock.millis().max(1);
        match self.away_since.compare_exchange(0, now, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => {
                (self.say)("the server cannot be reached; requests wait for it");
                0
            }
            Err(since) => now.saturating_sub(since) / 1000,
        }
    }

    fn failed(&self, error: &UpstreamError) -> Response<Body> {
        let words = error.to_string().replace("MLflow", "the server");
        match error {
            UpstreamError::Down(why) if why.kind() == std::io::ErrorKind::InvalidData => {
                let help =
                    format!("{words}; is it the right address, and does --ca-file name who signed its certificate?");
                (self.say)(&help);
                later(StatusCode::BAD_GATEWAY, COME_AGAIN_AT_MOST, &help)
            }
            UpstreamError::Down(_) | UpstreamError::ConnectTimeout => {
                let seconds = self.is_away().clamp(1, COME_AGAIN_AT_MOST);
                later(StatusCode::SERVICE_UNAVAILABLE, seconds, &words)
            }
            UpstreamError::Body(_) => refusal(StatusCode::BAD_REQUEST, ErrorCode::BadRequest, &words),
            error if error.is_timeout() => later(StatusCode::GATEWAY_TIMEOUT, 1, &words),
            _ => later(StatusCode::BAD_GATEWAY, 1, &words),
        }
    }

    fn target(&self, path: &PathAndQuery) -> Option<Uri> {
        Uri::try_from(format!("{}{path}", self.base)).ok()
    }

    fn inward(&self, headers: &mut HeaderMap, head_only: bool) {
        remove_hop_by_hop(headers);
        // The answer to HEAD has the length of a body that does not come (RFC 9110 section 8.6).
        if !head_only {
            headers.remove(CONTENT_LENGTH);
        }
        remove_fields(headers, &NOT_INWARD);
        if let Some(location) = headers.get(LOCATION).and_then(|location| self.led_back(location)) {
            headers.insert(LOCATION, location);
        }
    }

    /// A redirect within the server leads through the agent: past it the program has no credential.
    fn led_back(&self, location: &HeaderValue) -> Option<HeaderValue> {
        let location = location.to_str().ok()?;
        let path = match location.strip_prefix(self.guard.server.as_str()) {
            // Not `https://mlflow.example.com.evil.example`.
            Some(path) if path.is_empty() || path.starts_with(['/', '?']) => path,
            _ if location.starts_with('/') && !location.starts_with("//") => {
                location.strip_prefix(self.base.as_str())?
            }
            _ => return None,
        };
        let secret = self.guard.secret.as_ref().map_or_else(String::new, |secret| format!("/{secret}"));
        HeaderValue::from_str(&format!("{secret}/{}", path.trim_start_matches('/'))).ok()
    }
}

fn outward(head: &Parts, target: &Uri, shown: &Shown, body: Body) -> Request<Body> {
    let mut headers = head.headers.clone();
    remove_hop_by_hop(&mut headers);
    remove_fields(&mut headers, &NOT_OUTWARD);
    for (name, credential) in [(AUTHORIZATION, &shown.own), (PROXY_AUTHORIZATION, &shown.iap)] {
        if let Some(credential) = credential {
            headers.insert(name, credential.field().clone());
        }
    }
    if matches!(body, Body::Empty) && matches!(head.method, Method::POST | Method::PUT | Method::PATCH) {
        // hyper says nothing of a body that is not there; these methods should (RFC 9110 section 8.6).
        headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
    }
    let mut request = Request::new(body);
    request.method_mut().clone_from(&head.method);
    request.uri_mut().clone_from(target);
    *request.headers_mut() = headers;
    request
}

/// What the program reads where there is nothing to show: at once where waiting is of no use.
fn without_credential(fault: &SourceFault) -> Response<Body> {
    let words = fault.to_string();
    if fault.is_lasting() {
        refusal(StatusCode::UNAUTHORIZED, ErrorCode::Unauthenticated, &words)
    } else {
        later(StatusCode::SERVICE_UNAVAILABLE, 5, &words)
    }
}
