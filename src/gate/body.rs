//! How is a body read whole, and only so much of it?
//!
//! The only place where a request's body is read whole. Which rows need it, the table says.

use std::io::Read;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use flate2::read::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH};
use http_body_util::BodyExt;

use super::Gate;
use super::refusal::Refusal;
use super::room::{Crowded, Share};
use crate::access::identity::Principal;
use crate::message::{Body, BodyError, Payload, Request};
use crate::policy::classify::Call;
use crate::policy::route::BodyClass;

/// The largest form of our own pages, in bytes.
const LARGEST_FORM: u64 = 64 * 1024;
/// The largest one of somebody who is not known yet: it holds a code or a token.
const LARGEST_OF_STRANGERS: u64 = 8 * 1024;

/// Why a body was not read whole.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReadFault {
    /// The body itself.
    #[error(transparent)]
    Body(#[from] BodyError),
    /// The caller sends too many of them at once.
    #[error(transparent)]
    Crowded(#[from] Crowded),
    /// It says that it is compressed, and cannot be unpacked.
    #[error("the body cannot be unpacked: {0}")]
    Packed(&'static str),
}

impl Gate {
    /// Reads the body whole where the row names a field of it.
    pub(super) async fn read_body(
        &self,
        call: &Call,
        request: &mut Request,
        principal: Option<&Principal>,
    ) -> Result<Option<Share>, Refusal> {
        if !call.wants_body() {
            return Ok(None);
        }
        let mut share = principal.map(|principal| self.house.room.share(&principal.identity.user));
        let most = match call.row.body {
            BodyClass::Json => self.house.bodies.json,
            // Names, a level and a reason.
            BodyClass::Form if call.row.open_to_strangers() => self.house.bodies.json.min(LARGEST_OF_STRANGERS),
            BodyClass::Form => self.house.bodies.json.min(LARGEST_FORM),
            BodyClass::LargeJson | BodyClass::Otlp | BodyClass::Artifact => self.house.bodies.large_json,
        };
        if let Payload::Stream(body) = &mut request.payload {
            let began = Instant::now();
            let whole = read(std::mem::take(body), most, share.as_mut()).await;
            self.spent.client(began.elapsed());
            let mut whole = whole?;
            if call.row.body == BodyClass::Otlp {
                whole = decode(whole, &mut request.headers, most, share.as_mut())?;
            }
            request.payload = Payload::Judged(whole);
        }
        Ok(share)
    }
}

/// Reads a body whole. What comes in more than one piece is counted in `share`, if there is one.
///
/// # Errors
/// [`BodyError::TooLarge`] as soon as more than `most` bytes are announced or have come; the body's own errors else;
/// [`Crowded`].
async fn read(mut body: Body, most: u64, mut share: Option<&mut Share>) -> Result<Bytes, ReadFault> {
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

/// Unpacks a body that says it is compressed, as MLflow would (3.17.2, `decompress_otlp_body`). What was judged is what
/// is sent: the unpacked bytes go on, since two unpackers may differ on what one of them took.
///
/// # Errors
/// [`ReadFault::Packed`] for another coding, or for what is not that; [`BodyError::TooLarge`] as soon as it unpacks to
/// more than `most` bytes; [`Crowded`].
fn decode(body: Bytes, headers: &mut HeaderMap, most: u64, share: Option<&mut Share>) -> Result<Bytes, ReadFault> {
    let mut codings = headers.get_all(CONTENT_ENCODING).iter();
    let (coding, more) = (codings.next(), codings.next());
    let Some(coding) = coding else { return Ok(body) };
    if more.is_some() {
        return Err(ReadFault::Packed("its coding is told twice"));
    }
    let unpacked = match coding.as_bytes() {
        gzip if gzip.eq_ignore_ascii_case(b"gzip") => unpack(MultiGzDecoder::new(&*body), most)?,
        deflate if deflate.eq_ignore_ascii_case(b"deflate") => match &*body {
            // A zlib stream of the one window that everybody writes (RFC 1950); else bare deflate (RFC 1951).
            [0x78, check, ..] if (0x7800 + u16::from(*check)) % 31 == 0 => unpack(ZlibDecoder::new(&*body), most)?,
            bare => unpack(DeflateDecoder::new(bare), most)?,
        },
        _ => return Err(ReadFault::Packed("it is neither gzip nor deflate")),
    };
    if let Some(share) = share {
        share.take(unpacked.len() as u64)?;
    }
    headers.remove(CONTENT_ENCODING);
    headers.remove(CONTENT_LENGTH);
    Ok(unpacked)
}

fn unpack(packed: impl Read, most: u64) -> Result<Bytes, ReadFault> {
    let mut whole = Vec::new();
    packed
        .take(most.saturating_add(1))
        .read_to_end(&mut whole)
        .map_err(|_| ReadFault::Packed("it is broken, or of another coding"))?;
    if whole.len() as u64 > most {
        return Err(BodyError::TooLarge { most }.into());
    }
    Ok(Bytes::from(whole))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
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

    fn headers(codings: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for coding in codings {
            headers.append(CONTENT_ENCODING, coding.parse().unwrap());
        }
        headers.insert(CONTENT_LENGTH, "1".parse().unwrap());
        headers
    }

    fn gzip(plain: &[u8]) -> Bytes {
        let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        writer.write_all(plain).unwrap();
        Bytes::from(writer.finish().unwrap())
    }

    #[test]
    fn a_packed_body_is_unpacked_and_says_so_no_more() {
        let plain = b"spans ".repeat(100);
        let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
        zlib.write_all(&plain).unwrap();
        let mut bare = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::default());
        bare.write_all(&plain).unwrap();
        for (coding, packed) in [
            ("gzip", gzip(&plain)),
            ("GZip", gzip(&plain)),
            ("deflate", Bytes::from(zlib.finish().unwrap())),
            ("deflate", Bytes::from(bare.finish().unwrap())),
        ] {
            let mut headers = headers(&[coding]);
            assert_eq!(decode(packed, &mut headers, 1000, None).unwrap(), plain, "{coding}");
            assert!(headers.is_empty(), "{headers:?}");
        }
        let same = decode(Bytes::from_static(b"x"), &mut HeaderMap::new(), 0, None).unwrap();
        assert_eq!(same, Bytes::from_static(b"x"));
    }

    #[test]
    fn a_bomb_is_refused_before_it_is_unpacked() {
        let bomb = gzip(&vec![0; 50_000_000]);
        assert!(bomb.len() < 100_000);
        let fault = decode(bomb, &mut headers(&["gzip"]), 1_000_000, None);
        assert!(matches!(fault, Err(ReadFault::Body(BodyError::TooLarge { most: 1_000_000 }))));
    }

    #[test]
    fn what_cannot_be_unpacked_is_refused() {
        let packed = gzip(b"spans");
        for (codings, body) in [
            (&["br"][..], packed.clone()),
            (&["gzip, gzip"], packed.clone()),
            (&["gzip", "gzip"], packed.clone()),
            (&[""], packed.clone()),
            (&["gzip"], packed.slice(..packed.len() - 1)),
            (&["gzip"], Bytes::from_static(b"plain")),
            (&["deflate"], Bytes::from_static(b"plain")),
            (&["gzip"], [&*packed, b"more"].concat().into()),
        ] {
            let fault = decode(body, &mut headers(codings), 1000, None);
            assert!(matches!(fault, Err(ReadFault::Packed(_))), "{codings:?}");
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
