//! How is a body read whole, and only so much of it?
//!
//! The only place where a request's body is read whole. Which rows need it, the table says.

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;

use super::room::{Crowded, Share};
use crate::message::{Body, BodyError};

/// Why a body was not read whole.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReadFault {
    /// The body itself.
    #[error(transparent)]
    Body(#[from] BodyError),
    /// The caller sends too many of them at once.
    #[error(transparent)]
    Crowded(#[from] Crowded),
}

/// Reads a body whole. What comes in more than one piece is counted in `share`, if there is one.
///
/// # Errors
/// [`BodyError::TooLarge`] as soon as more than `most` bytes are announced or have come; the body's own errors else;
/// [`Crowded`].
pub(super) async fn read(mut body: Body, most: u64, mut share: Option<&mut Share>) -> Result<Bytes, ReadFault> {
    use http_body::Body as _;

    let hint = body.size_hint();
    if hint.lower() > most {
        return Err(BodyError::TooLarge { most }.into());
    }
    let mut first = None;
    let mut whole = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        if (whole.len() + first.as_ref().map_or(0, Bytes::len) + data.len()) as u64 > most {
            return Err(BodyError::TooLarge { most }.into());
        }
        // Most bodies come in one piece: no copy then.
        if first.is_none() && whole.is_empty() {
            first = Some(data);
            continue;
        }
        if let Some(share) = &mut share {
            share.take((first.as_ref().map_or(0, Bytes::len) + data.len()) as u64)?;
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
            assert_eq!(read(pieces(&sent), 6, None).await.unwrap(), whole);
        }
    }

    #[tokio::test]
    async fn one_byte_too_many_is_refused() {
        assert!(matches!(
            read(pieces(&[b"abc", b"def"]), 5, None).await,
            Err(ReadFault::Body(BodyError::TooLarge { most: 5 }))
        ));
        assert!(matches!(
            read(Body::Full(Bytes::from_static(b"abcdef")), 5, None).await,
            Err(ReadFault::Body(BodyError::TooLarge { .. }))
        ));
    }

    #[tokio::test]
    async fn only_what_comes_in_pieces_is_counted() {
        let user = crate::mlflow::ids::UserName::parse("ann").unwrap();
        let room = super::super::room::Room::new(5);
        let mut share = room.share(&user);
        assert!(read(pieces(&[b"abcdef"]), 9, Some(&mut share)).await.is_ok());
        assert!(read(pieces(&[b"ab", b"c", b"de"]), 9, Some(&mut share)).await.is_ok());
        let other = read(pieces(&[b"a", b"b"]), 9, Some(&mut room.share(&user))).await;
        assert!(matches!(other, Err(ReadFault::Crowded(Crowded { most: 5 }))));
        drop(share);
        assert!(read(pieces(&[b"a", b"b"]), 9, Some(&mut room.share(&user))).await.is_ok());
    }
}
