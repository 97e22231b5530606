//! How far is a streamed request body, and whose turn is it?
//!
//! MLflow's first byte can only be waited for once it has the whole request; until then, whoever does not move is late.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::Request;
use http_body::{Body as _, Frame, SizeHint};
use tokio::time::Instant;

use super::link::Turn;
use crate::message::{Body, BodyError};

/// Watches a body that is sent.
pub(super) struct Upload(Arc<Mutex<Turn>>);

impl Upload {
    pub(super) fn turn(&self) -> Turn {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Puts a watch on a request's body, if it is streamed.
pub(super) fn watch(request: Request<Body>) -> (Request<Body>, Option<Upload>) {
    if matches!(request.body(), Body::Empty | Body::Full(_)) || request.body().is_end_stream() {
        return (request, None);
    }
    let turn = Arc::new(Mutex::new(Turn::Server(Instant::now())));
    let upload = Upload(Arc::clone(&turn));
    (request.map(|inner| Body::Boxed(Box::pin(Watched { inner, turn }))), Some(upload))
}

struct Watched {
    inner: Body,
    turn: Arc<Mutex<Turn>>,
}

impl Watched {
    fn mark(&self, turn: Turn) {
        *self.turn.lock().unwrap_or_else(PoisonError::into_inner) = turn;
    }
}

impl http_body::Body for Watched {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        loop {
            let polled = Pin::new(&mut this.inner).poll_frame(cx);
            match &polled {
                Poll::Pending => this.mark(Turn::Client),
                Poll::Ready(Some(Ok(frame))) => {
                    if frame.is_trailers() {
                        // Trailers end here (RFC 9110 section 6.5.1: they may be dropped).
                        continue;
                    }
                    let now = Instant::now();
                    this.mark(if this.inner.is_end_stream() { Turn::Ended(now) } else { Turn::Server(now) });
                }
                Poll::Ready(None | Some(Err(_))) => this.mark(Turn::Ended(Instant::now())),
            }
            return polled;
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
