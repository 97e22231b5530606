//! When is a request over?
//!
//! When the last byte of its answer is handed to the connection, or when the client is gone: then its audit record is
//! closed, and its place is another's. Both ride on the answer's body.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::Response;
use http_body::{Body as _, Frame, SizeHint};

use super::limits::Place;
use crate::audit::Record;
use crate::message::{Body, BodyError};

/// Puts the record on the answer's body; it is written when that body ends or is dropped. The place is given back then.
pub(super) fn close_with(mut record: Record, place: Option<Place>, answer: Response<Body>) -> Response<Body> {
    record.status(answer.status());
    let (head, body) = answer.into_parts();
    let body = match body {
        // Nothing streams: the record can be closed now, for the bytes are handed over in one piece.
        Body::Empty => {
            record.complete();
            Body::Empty
        }
        Body::Full(bytes) => {
            record.sent(bytes.len() as u64);
            record.complete();
            Body::Full(bytes)
        }
        body @ (Body::Incoming(_) | Body::Boxed(_)) => {
            if body.is_end_stream() {
                record.complete();
            }
            Body::Boxed(Box::pin(Recorded { body, record, place }))
        }
    };
    Response::from_parts(head, body)
}

struct Recorded {
    body: Body,
    record: Record,
    place: Option<Place>,
}

impl http_body::Body for Recorded {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let frame = std::task::ready!(Pin::new(&mut self.body).poll_frame(cx));
        match &frame {
            Some(Ok(frame)) => {
                if let Some(data) = frame.data_ref() {
                    let length = data.len() as u64;
                    self.record.sent(length);
                }
                // A body of known length is not polled again after its last byte.
                if self.body.is_end_stream() {
                    self.record.complete();
                    drop(self.place.take());
                }
            }
            Some(Err(fault)) => {
                let fault = fault.to_string();
                self.record.note(fault);
            }
            None => {
                self.record.complete();
                drop(self.place.take());
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
