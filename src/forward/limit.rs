//! How large may a streamed body be?

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};

use crate::message::{Body, BodyError};

/// The body, refused at once if it says that it is larger than `most`, and cut off where it turns out to be. 0: any.
pub(super) fn at_most(body: Body, most: u64) -> Result<Body, BodyError> {
    if most == 0 {
        return Ok(body);
    }
    if body.size_hint().lower() > most {
        return Err(BodyError::TooLarge { most });
    }
    if body.size_hint().upper().is_some_and(|upper| upper <= most) {
        return Ok(body);
    }
    Ok(Body::Boxed(Box::pin(AtMost { inner: body, most, left: most })))
}

struct AtMost {
    inner: Body,
    most: u64,
    left: u64,
}

impl http_body::Body for AtMost {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let polled = Pin::new(&mut self.inner).poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &polled {
            let size = frame.data_ref().map_or(0, Bytes::len) as u64;
            match self.left.checked_sub(size) {
                Some(left) => self.left = left,
                None => return Poll::Ready(Some(Err(BodyError::TooLarge { most: self.most }))),
            }
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::future::poll_fn;

    use super::*;

    struct Pieces(VecDeque<usize>);

    impl http_body::Body for Pieces {
        type Data = Bytes;
        type Error = BodyError;
        fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
            Poll::Ready(self.0.pop_front().map(|size| Ok(Frame::data(Bytes::from(vec![0; size])))))
        }
    }

    async fn read(pieces: &[usize], most: u64) -> Result<usize, BodyError> {
        let mut body = at_most(Body::Boxed(Box::pin(Pieces(pieces.iter().copied().collect()))), most)?;
        let mut read = 0;
        while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
            read += frame?.data_ref().map_or(0, Bytes::len);
        }
        Ok(read)
    }

    #[tokio::test]
    async fn a_body_of_unknown_length_is_cut_off_at_the_limit() {
        assert_eq!(read(&[5, 5], 10).await.unwrap(), 10);
        assert!(matches!(read(&[5, 6], 10).await, Err(BodyError::TooLarge { most: 10 })));
        assert_eq!(read(&[5, 6], 0).await.unwrap(), 11);
    }

    #[test]
    fn a_body_that_says_that_it_is_too_large_is_refused_unread() {
        assert!(matches!(at_most(Body::from(vec![0; 11]), 10), Err(BodyError::TooLarge { most: 10 })));
        assert!(at_most(Body::from(vec![0; 10]), 10).is_ok());
    }
}
