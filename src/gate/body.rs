//! How is a body read whole, and only so much of it?
//!
//! The only place where a request's body is read whole. Which rows need it, the table says.

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;

use crate::message::{Body, BodyError};

/// Reads a body whole.
///
/// # Errors
/// [`BodyError::TooLarge`] as soon as more than `most` bytes are announced or have come; the body's own errors else.
pub(super) async fn read(mut body: Body, most: u64) -> Result<Bytes, BodyError> {
    use http_body::Body as _;

    let hint = body.size_hint();
    if hint.lower() > most {
        return Err(BodyError::TooLarge { most });
    }
    let mut first = None;
    let mut whole = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        if (whole.len() + first.as_ref().map_or(0, Bytes::len) + data.len()) as u64 > most {
            return Err(BodyError::TooLarge { most });
        }
        // Most bodies come in one piece: no copy then.
        if first.is_none() && whole.is_empty() {
            first = Some(data);
            continue;
        }
        if let Some(first) = first.take() {
            whole.extend_from_slice(&first);
        }
        whole.extend_from_slice(&data);
    }
    Ok(first.unwrap_or_else(|| whole.freeze()))
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use http_body::Frame;

    use super::*;

    struct Pieces(Vec<&'static [u8]>);

    impl http_body::Body for Pieces {
        type Data = Bytes;
        type Error = BodyError;

        fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
            if self.0.is_empty() {
                return Poll::Ready(None);
            }
            let piece = self.0.remove(0);
            Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(piece)))))
        }
    }

    fn pieces(pieces: &[&'static [u8]]) -> Body {
        Body::Boxed(Box::pin(Pieces(pieces.to_vec())))
    }

    #[tokio::test]
    async fn pieces_are_joined_in_order() {
        for (sent, whole) in [(vec![], &b""[..]), (vec![&b"abc"[..]], b"abc"), (vec![b"ab", b"c", b"def"], b"abcdef")] {
            assert_eq!(read(pieces(&sent), 6).await.unwrap(), whole);
        }
    }

    #[tokio::test]
    async fn one_byte_too_many_is_refused() {
        assert!(matches!(read(pieces(&[b"abc", b"def"]), 5).await, Err(BodyError::TooLarge { most: 5 })));
        assert!(matches!(read(Body::Full(Bytes::from_static(b"abcdef")), 5).await, Err(BodyError::TooLarge { .. })));
    }
}
