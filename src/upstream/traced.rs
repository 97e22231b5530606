//! What is told of an exchange, where traces are kept?
//!
//! It ends with the last byte of the answer.

use std::borrow::Cow;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Frame, SizeHint};

use super::{Settings, Target, UpstreamError};
use crate::message::{Body, BodyError};
use crate::spans::{Asked, Journey, Server};

/// Tells MLflow where in its trace the request is.
pub(super) fn begin(journey: &Journey, request: &mut Request<Body>, settings: &Settings) -> Option<Asked> {
    let (scheme, address, port) = match &settings.target {
        Target::Http { host, port } => ("http", Cow::Borrowed(&**host), Some(*port)),
        Target::Https { host, port } => ("https", Cow::Borrowed(&**host), Some(*port)),
        Target::Unix(path) => ("http", path.to_string_lossy(), None),
    };
    let verb = request.method().clone();
    journey.asks(&verb, request.headers_mut(), Server { scheme, address: &address, port })
}

/// The head of the answer is there, or none comes.
pub(super) fn answered(
    mut asked: Asked,
    answer: Result<Response<Body>, UpstreamError>,
) -> Result<Response<Body>, UpstreamError> {
    match &answer {
        Ok(answer) => asked.answered(answer.status()),
        Err(error) => asked.failed(error.code()),
    }
    answer.map(|answer| {
        answer.map(|body| match body {
            // It is all there.
            body @ (Body::Empty | Body::Full(_)) => {
                asked.complete();
                body
            }
            body @ (Body::Incoming(_) | Body::Boxed(_)) => Body::Boxed(Box::pin(Traced { body, asked: Some(asked) })),
        })
    })
}

struct Traced {
    body: Body,
    asked: Option<Asked>,
}

impl http_body::Body for Traced {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        let over = match &frame {
            Some(Ok(_)) => self.body.is_end_stream(),
            Some(Err(_)) | None => true,
        };
        if over && let Some(mut asked) = self.asked.take() {
            match &frame {
                Some(Err(_)) => asked.failed("answer-broken"),
                Some(Ok(_)) | None => asked.complete(),
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
