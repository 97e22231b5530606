//! Can a request's body be sent once more?

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;

use crate::message::{Body, BodyError};

/// A body, kept for as long as it may be wanted again.
pub(super) enum Load {
    /// All of it: as often as one likes.
    Whole(Bytes),
    /// As it comes: as often as one likes until the first byte was asked for.
    Streamed(Arc<Mutex<Stream>>),
}

pub(super) struct Stream {
    incoming: Incoming,
    read: bool,
}

impl Load {
    pub(super) fn whole(bytes: Bytes) -> Self {
        Self::Whole(bytes)
    }

    pub(super) fn streamed(incoming: Incoming) -> Self {
        Self::Streamed(Arc::new(Mutex::new(Stream { incoming, read: false })))
    }

    /// Whether it can be sent from its beginning.
    pub(super) fn is_unread(&self) -> bool {
        match self {
            Self::Whole(_) => true,
            Self::Streamed(stream) => !lock(stream).read,
        }
    }

    /// The body for one try; `None` when a part of it is gone.
    pub(super) fn body(&self) -> Option<Body> {
        match self {
            Self::Whole(bytes) if bytes.is_empty() => Some(Body::Empty),
            Self::Whole(bytes) => Some(Body::Full(bytes.clone())),
            Self::Streamed(stream) if lock(stream).read => None,
            Self::Streamed(stream) => Some(Body::Boxed(Box::pin(Turn(Arc::clone(stream))))),
        }
    }
}

fn lock(stream: &Mutex<Stream>) -> MutexGuard<'_, Stream> {
    stream.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The stream in one try.
struct Turn(Arc<Mutex<Stream>>);

impl http_body::Body for Turn {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let mut stream = lock(&self.0);
        stream.read = true;
        Pin::new(&mut stream.incoming).poll_frame(cx).map(|frame| frame.map(|frame| frame.map_err(BodyError::Broken)))
    }

    fn is_end_stream(&self) -> bool {
        lock(&self.0).incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        lock(&self.0).incoming.size_hint()
    }
}
