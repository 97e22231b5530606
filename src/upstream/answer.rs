//! How does an answer come back, and when is its connection free again?

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{Response, StatusCode};
use http_body::{Body as _, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::Instant;

use super::link::Link;
use super::pool::Pool;
use super::{UpstreamError, after};
use crate::message::{Body, BodyError};
use crate::metrics::Spent;
use crate::timer::Timer;

/// Makes the answer that the outside sees.
pub(super) async fn answer(
    answer: Response<Incoming>,
    link: Link,
    pool: &Pool,
    idle: Duration,
    spent: Option<&Arc<Spent>>,
) -> Result<Response<Body>, UpstreamError> {
    let (parts, mut incoming) = answer.into_parts();
    if parts.status == StatusCode::SWITCHING_PROTOCOLS {
        // From here on the connection is a tunnel; hyper hands it over once it is driven to its end.
        if let Some(driver) = link.into_driver() {
            tokio::spawn(driver);
        }
        return Ok(Response::from_parts(parts, Body::Empty));
    }
    if incoming.is_end_stream() {
        pool.give(link);
        return Ok(Response::from_parts(parts, Body::Empty));
    }
    if !parts.headers.contains_key(CONTENT_LENGTH) && !parts.headers.contains_key(TRANSFER_ENCODING) {
        return Err(UpstreamError::Unframed);
    }
    // Small answers mostly come whole, with their head: then no body needs to be streamed.
    let first = poll_fn(|cx| Poll::Ready(Pin::new(&mut incoming).poll_frame(cx))).await;
    let first = match first {
        Poll::Pending => None,
        Poll::Ready(None) => {
            pool.give(link);
            return Ok(Response::from_parts(parts, Body::Empty));
        }
        Poll::Ready(Some(Err(error))) => return Err(UpstreamError::Broken(error)),
        Poll::Ready(Some(Ok(frame))) => frame.into_data().ok(),
    };
    if let Some(bytes) = first {
        if incoming.is_end_stream() {
            pool.give(link);
            return Ok(Response::from_parts(parts, Body::Full(bytes)));
        }
        return Ok(Response::from_parts(parts, stream(Some(bytes), incoming, link, pool, idle, spent)));
    }
    Ok(Response::from_parts(parts, stream(None, incoming, link, pool, idle, spent)))
}

fn stream(
    first: Option<Bytes>,
    incoming: Incoming,
    link: Link,
    pool: &Pool,
    idle: Duration,
    spent: Option<&Arc<Spent>>,
) -> Body {
    Body::Boxed(Box::pin(Streamed {
        first,
        incoming,
        link: Some(link),
        pool: pool.clone(),
        idle,
        waiting: None,
        timer: Timer::default(),
        over: false,
        spent: spent.map(Arc::clone),
    }))
}

/// An answer's body with the connection that it comes from. Dropped before its end, it closes the connection.
struct Streamed {
    first: Option<Bytes>,
    incoming: Incoming,
    link: Option<Link>,
    pool: Pool,
    idle: Duration,
    waiting: Option<Instant>,
    timer: Timer,
    over: bool,
    /// Told of the waits: those before our own answer's head count for MLflow.
    spent: Option<Arc<Spent>>,
}

impl Streamed {
    fn waited(&mut self) {
        if let (Some(since), Some(spent)) = (self.waiting.take(), &self.spent) {
            spent.upstream(since.elapsed());
        }
    }

    fn poll_incoming(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let polled = Pin::new(&mut self.incoming).poll_frame(cx);
        if polled.is_ready() {
            return polled;
        }
        // The wish for more is told; now the connection may read it, in this very task.
        if let Some(link) = &mut self.link {
            link.drive_on(cx);
        }
        Pin::new(&mut self.incoming).poll_frame(cx)
    }

    fn end(&mut self) {
        self.over = true;
        if let Some(link) = self.link.take() {
            self.pool.give(link);
        }
    }

    fn fail(&mut self, fault: BodyError) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.over = true;
        // INVARIANT: the connection of an unfinished exchange is closed, never reused.
        self.link = None;
        Poll::Ready(Some(Err(fault)))
    }
}

impl http_body::Body for Streamed {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        if let Some(first) = this.first.take() {
            return Poll::Ready(Some(Ok(Frame::data(first))));
        }
        if this.over {
            return Poll::Ready(None);
        }
        loop {
            match this.poll_incoming(cx) {
                Poll::Ready(Some(Ok(frame))) => {
                    this.waited();
                    if frame.is_trailers() {
                        continue;
                    }
                    if this.incoming.is_end_stream() {
                        this.end();
                    }
                    return Poll::Ready(Some(Ok(frame)));
                }
                Poll::Ready(None) => {
                    this.waited();
                    this.end();
                    return Poll::Ready(None);
                }
                Poll::Ready(Some(Err(error))) => return this.fail(BodyError::Broken(error)),
                Poll::Pending => {
                    let since = *this.waiting.get_or_insert_with(Instant::now);
                    if this.timer.passed(after(since, this.idle), cx) {
                        return this.fail(BodyError::Stalled);
                    }
                    return Poll::Pending;
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_none() && (self.over || self.incoming.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        let first = self.first.as_ref().map_or(0, Bytes::len) as u64;
        let rest = self.incoming.size_hint();
        match rest.exact() {
            Some(exact) => SizeHint::with_exact(exact + first),
            None => SizeHint::default(),
        }
    }
}
