//! How is an answer read that must be looked over, and how does it go on?

use std::future::poll_fn;
use std::pin::Pin;

use bytes::{Bytes, BytesMut};
use http::header::{
    ACCEPT_RANGES, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderValue, LAST_MODIFIED,
    TRANSFER_ENCODING,
};
use http::response::Parts;
use http::{HeaderMap, HeaderName, Response};
use http_body::Body as _;

use super::AnswerFault;
use super::filter::BadAnswer;
use super::held::Share;
use crate::message::Body;

/// Reads an answer whole, at most `most` bytes of it, which `share` holds.
///
/// # Errors
/// [`BadAnswer`] when it is larger, compressed, or breaks off; [`AnswerFault::Crowded`].
pub(crate) async fn read_counted(
    answer: Response<Body>,
    most: usize,
    share: &mut Share,
) -> Result<(Parts, Bytes), AnswerFault> {
    let (parts, mut body) = answer.into_parts();
    let plain = |coding: &HeaderValue| coding.as_bytes().eq_ignore_ascii_case(b"identity");
    if !parts.headers.get_all(CONTENT_ENCODING).iter().all(plain) {
        return Err(BadAnswer::Compressed.into());
    }
    if let Body::Full(bytes) = body {
        share.hold(bytes.len())?;
        return if bytes.len() > most { Err(BadAnswer::TooLarge.into()) } else { Ok((parts, bytes)) };
    }
    if body.size_hint().lower() > most as u64 {
        return Err(BadAnswer::TooLarge.into());
    }
    // What is announced is made room for once; else the buffer doubles while it grows.
    let announced = usize::try_from(body.size_hint().exact().unwrap_or_default()).unwrap_or_default();
    share.hold(announced)?;
    let mut read = BytesMut::with_capacity(announced);
    while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        let Ok(data) = frame.map_err(|_| BadAnswer::Broken)?.into_data() else { continue };
        if read.len().saturating_add(data.len()) > most {
            return Err(BadAnswer::TooLarge.into());
        }
        share.hold(read.len().saturating_add(data.len()).max(announced))?;
        read.extend_from_slice(&data);
    }
    Ok((parts, read.freeze()))
}

/// The same where nothing else is held.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) async fn read(answer: Response<Body>, most: usize) -> Result<(Parts, Bytes), BadAnswer> {
    match read_counted(answer, most, &mut super::held::Held::new(usize::MAX).share()).await {
        Ok(read) => Ok(read),
        Err(AnswerFault::Unreadable(fault)) => Err(fault),
        Err(_) => Err(BadAnswer::Broken),
    }
}

/// The answer with another body: what described the old one goes.
pub(crate) fn with_body(mut parts: Parts, body: Bytes) -> Response<Body> {
    const OF_THE_OLD_BODY: [HeaderName; 7] =
        [ACCEPT_RANGES, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, ETAG, LAST_MODIFIED, TRANSFER_ENCODING];
    for name in OF_THE_OLD_BODY {
        parts.headers.remove(name);
    }
    for name in ["content-md5", "digest", "content-digest", "repr-digest"] {
        parts.headers.remove(name);
    }
    length(&mut parts.headers, &body);
    Response::from_parts(parts, Body::Full(body))
}

/// An answer of our own in MLflow's shape.
pub(crate) fn own(body: Bytes) -> Response<Body> {
    let mut answer = Response::new(Body::Empty);
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    length(answer.headers_mut(), &body);
    *answer.body_mut() = Body::Full(body);
    answer
}

fn length(headers: &mut HeaderMap, body: &Bytes) {
    headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::BodyError;

    /// A body that breaks off after its first bytes.
    struct Broken(Option<&'static [u8]>);

    impl http_body::Body for Broken {
        type Data = Bytes;
        type Error = BodyError;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, BodyError>>> {
            std::task::Poll::Ready(Some(match self.0.take() {
                Some(bytes) => Ok(http_body::Frame::data(Bytes::from_static(bytes))),
                None => Err(BodyError::Stalled),
            }))
        }
    }

    #[tokio::test]
    async fn an_answer_that_breaks_off_is_never_passed_on_as_whole() {
        let answer = Response::new(Body::Boxed(Box::pin(Broken(Some(b"{}")))));
        assert_eq!(read(answer, 100).await.map(drop), Err(BadAnswer::Broken));
    }

    #[tokio::test]
    async fn a_compressed_or_too_large_answer_is_refused() {
        let mut answer = Response::new(Body::from(b"{}".to_vec()));
        answer.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        assert_eq!(read(answer, 100).await.map(drop), Err(BadAnswer::Compressed));
        let answer = Response::new(Body::from(vec![b' '; 101]));
        assert_eq!(read(answer, 100).await.map(drop), Err(BadAnswer::TooLarge));
        let answer = Response::new(Body::Boxed(Box::pin(Broken(Some(&[b' '; 101])))));
        assert_eq!(read(answer, 100).await.map(drop), Err(BadAnswer::TooLarge));
    }

    #[tokio::test]
    async fn what_described_the_old_body_goes() {
        let mut answer = Response::new(Body::from(b"{}".to_vec()));
        for name in ["content-length", "etag", "transfer-encoding", "content-encoding", "last-modified"] {
            answer.headers_mut().insert(HeaderName::from_static(name), HeaderValue::from_static("identity"));
        }
        answer.headers_mut().insert("x-frame-options", HeaderValue::from_static("SAMEORIGIN"));
        let (parts, _) = read(answer, 100).await.unwrap();
        let answer = with_body(parts, Bytes::from_static(b"{\"a\":1}"));
        assert_eq!(answer.headers().len(), 2);
        assert_eq!(answer.headers().get("content-length").unwrap(), "7");
        assert_eq!(answer.headers().get("x-frame-options").unwrap(), "SAMEORIGIN");
    }
}
