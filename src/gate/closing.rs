//! When is a request over?
//!
//! When the last byte of its answer is handed to the connection, or when the client is gone: then its audit record is
//! closed, its span ends, and its place is another's. All ride on the answer's body.

use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::Response;
use http_body::{Body as _, Frame, SizeHint};

use super::limits::Place;
use crate::audit::Record;
use crate::message::{Body, BodyError};
use crate::metrics::Verdict;
use crate::spans::Served;

/// A share in a request's place.
pub(super) type Held = Arc<OnceLock<Place>>;

/// Puts the record on the answer's body; it is written when that body ends or is dropped. The place is given back then.
pub(super) fn close_with(
    mut record: Record,
    place: Option<Held>,
    mut served: Option<Served>,
    answer: Response<Body>,
) -> Response<Body> {
    record.status(answer.status());
    let (head, body) = answer.into_parts();
    let body = match body {
        // Nothing streams: the record can be closed now, for the bytes are handed over in one piece.
        Body::Empty => {
            complete(&mut record, &mut served);
            Body::Empty
        }
        Body::Full(bytes) => {
            record.sent(bytes.len() as u64);
            complete(&mut record, &mut served);
            Body::Full(bytes)
        }
        body @ (Body::Incoming(_) | Body::Boxed(_)) => {
            if body.is_end_stream() {
                complete(&mut record, &mut served);
            }
            Body::Boxed(Box::pin(Recorded { body, record, place, served }))
        }
    };
    Response::from_parts(head, body)
}

/// The end of what was refused without a record.
pub(super) fn refused(served: Option<Served>, verdict: &Verdict, answer: Response<Body>) -> Response<Body> {
    if let Some(mut served) = served {
        served.answered(verdict, "");
        served.complete();
    }
    answer
}

fn complete(record: &mut Record, served: &mut Option<Served>) {
    record.complete();
    if let Some(mut served) = served.take() {
        served.complete();
    }
}

struct Recorded {
    body: Body,
    record: Record,
    place: Option<Held>,
    served: Option<Served>,
}

impl http_body::Body for Recorded {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        let frame = std::task::ready!(Pin::new(&mut this.body).poll_frame(cx));
        match &frame {
            Some(Ok(frame)) => {
                if let Some(data) = frame.data_ref() {
                    this.record.sent(data.len() as u64);
                }
                // A body of known length is not polled again after its last byte.
                if this.body.is_end_stream() {
                    complete(&mut this.record, &mut this.served);
                    drop(this.place.take());
                }
            }
            Some(Err(fault)) => this.record.note(fault.to_string()),
            None => {
                complete(&mut this.record, &mut this.served);
                drop(this.place.take());
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
