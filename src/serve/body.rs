//! Does a body keep moving?

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::time::Instant;

use super::patience::{EARLY, Lingering};
use super::settings::Limits;
use super::wire::{InFlight, Shared};
use crate::message::{Body, BodyError};
use crate::timer::Timer;

/// A client's body, with a limit on how long it may be silent and how slow it may be. Only time spent waiting for the
/// client counts, so that a slow MLflow is not held against it.
struct Guarded {
    /// There until it is dropped.
    incoming: Option<Incoming>,
    http2: bool,
    idle: Duration,
    rate: u64,
    waiting: Option<Instant>,
    waited: Duration,
    came: u64,
    timer: Timer,
    failed: bool,
    ended: bool,
    shared: Arc<Shared>,
}

/// A client's body as the gate sees it.
pub(super) fn guarded(incoming: Incoming, limits: &Limits, shared: &Arc<Shared>, http2: bool) -> Body {
    if incoming.is_end_stream() {
        return Body::Empty;
    }
    Body::Boxed(Box::pin(Guarded {
        incoming: Some(incoming),
        http2,
        idle: limits.body_idle,
        rate: limits.body_rate,
        waiting: None,
        waited: Duration::ZERO,
        came: 0,
        timer: Timer::default(),
        failed: false,
        ended: false,
        shared: Arc::clone(shared),
    }))
}

impl Drop for Guarded {
    fn drop(&mut self) {
        let Some(incoming) = self.incoming.take() else { return };
        if self.failed {
            self.shared.leave_body();
        } else if !self.ended && !incoming.is_end_stream() {
            self.shared.leave_body();
            if let (true, Ok(runtime)) = (self.http2, tokio::runtime::Handle::try_current()) {
                runtime.spawn(listen_on(incoming));
            }
        }
    }
}

/// The stream is reset when this ends, unless the body ends before.
async fn listen_on(mut incoming: Incoming) {
    let mut lingering = Lingering::begin(Instant::now());
    while let Ok(Some(Ok(frame))) = tokio::time::timeout_at(lingering.until(&EARLY), incoming.frame()).await {
        if lingering.heard(frame.data_ref().map_or(0, Bytes::len), Instant::now(), &EARLY) {
            return;
        }
    }
}

impl http_body::Body for Guarded {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        if this.failed {
            return Poll::Ready(None);
        }
        let Some(incoming) = &mut this.incoming else { return Poll::Ready(None) };
        let polled = Pin::new(&mut *incoming).poll_frame(cx);
        let fault = match polled {
            Poll::Ready(Some(Ok(frame))) => {
                if let Some(since) = this.waiting.take() {
                    this.waited += since.elapsed();
                }
                this.came = this.came.saturating_add(frame.data_ref().map_or(0, Bytes::len) as u64);
                let least = u128::from(this.rate) * this.waited.as_millis() / 1000;
                if this.waited < this.idle || u128::from(this.came) >= least || incoming.is_end_stream() {
                    return Poll::Ready(Some(Ok(frame)));
                }
                BodyError::TooSlow
            }
            Poll::Ready(Some(Err(error))) => BodyError::Broken(error),
            Poll::Ready(None) => {
                this.ended = true;
                return Poll::Ready(None);
            }
            Poll::Pending => {
                let since = *this.waiting.get_or_insert_with(Instant::now);
                if !this.timer.passed(since + this.idle, cx) {
                    return Poll::Pending;
                }
                BodyError::Stalled
            }
        };
        this.failed = true;
        Poll::Ready(Some(Err(fault)))
    }

    fn is_end_stream(&self) -> bool {
        !self.failed && self.incoming.as_ref().is_none_or(Incoming::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.as_ref().map_or_else(|| SizeHint::with_exact(0), Incoming::size_hint)
    }
}

/// An answer's body on its way to the client.
pub(super) struct Answered {
    body: Body,
    in_flight: InFlight,
    /// Its number, on HTTP/2: there one client can leave one answer untaken and go on with others.
    watched: Option<u64>,
}

impl Answered {
    pub(super) fn new(body: Body, in_flight: InFlight, http2: bool) -> Self {
        let watched = http2.then(|| in_flight.shared().next_answer());
        Self { body, in_flight, watched }
    }
}

impl http_body::Body for Answered {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if let Some(answer) = self.watched {
            self.in_flight.shared().taken(answer);
        }
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if let (Some(answer), Poll::Ready(Some(Ok(_)))) = (self.watched, &polled) {
            self.in_flight.shared().untaken(answer);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Answered {
    fn drop(&mut self) {
        if let Some(answer) = self.watched {
            self.in_flight.shared().taken(answer);
        }
    }
}
