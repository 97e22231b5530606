//! Are these bytes one HTTP/1 message after the other, in one reading only?
//!
//! hyper frames the messages; this second look refuses what hyper repairs or lets pass where another reader could see
//! something else: a length beside a transfer coding, two lengths, line feeds without a carriage return, folded lines
//! (RFC 9112 sections 2.2, 5.2, 6.1, 6.3, 7.1; RUSTSEC-2021-0020, -0078, -0079, RUSTSEC-2026-0034). It sees the raw bytes
//! before hyper does.

use memchr::memchr;

use super::Misdeed;

/// What a head may be.
#[derive(Debug, Clone, Copy)]
pub(super) struct HeadLimits {
    pub(super) size: usize,
    pub(super) fields: usize,
    pub(super) url: usize,
}

/// The longest chunk extension that is put up with; nobody uses them.
const MOST_EXTENSION: usize = 256;
/// The most that may stand after the last chunk.
const MOST_TRAILERS: usize = 8 * 1024;

/// Where in the stream of messages we are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reading {
    /// Before or in a head.
    Head,
    /// So many bytes of a body are to come.
    Length(u64),
    /// In a chunked body.
    Chunked(Chunk),
}

/// Where in a chunked body we are (RFC 9112 section 7.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Chunk {
    Size { digits: u8, value: u64 },
    Extension { length: usize, value: u64 },
    SizeLf { value: u64 },
    Data { left: u64 },
    DataCr,
    DataLf,
    Trailer { length: usize, line: usize },
    TrailerLf { length: usize, line: usize },
}

impl Reading {
    /// Walks over `bytes`. Says how many of them may be handed on; what is left is a head that is not complete yet.
    ///
    /// A misdeed comes with the number of good bytes before it.
    pub(super) fn walk(
        &mut self,
        bytes: &[u8],
        limits: &HeadLimits,
        heads: &mut u64,
    ) -> Result<usize, (usize, Misdeed)> {
        let mut at = 0;
        while at < bytes.len() {
            match self {
                Self::Head => match head(&bytes[at..], limits) {
                    Ok(None) => return Ok(at),
                    Ok(Some((length, body))) => {
                        *heads += 1;
                        at += length;
                        *self = body;
                    }
                    Err(misdeed) => return Err((at, misdeed)),
                },
                Self::Length(left) => {
                    let here = (bytes.len() - at).min(usize::try_from(*left).unwrap_or(usize::MAX));
                    at += here;
                    *left -= here as u64;
                    if *left == 0 {
                        *self = Self::Head;
                    }
                }
                Self::Chunked(chunk) => match chunk.step(&bytes[at..]) {
                    Ok((length, Some(next))) => {
                        at += length;
                        *chunk = next;
                    }
                    Ok((length, None)) => {
                        at += length;
                        *self = Self::Head;
                    }
                    Err(misdeed) => return Err((at, misdeed)),
                },
            }
        }
        Ok(at)
    }
}

impl Chunk {
    const START: Self = Self::Size { digits: 0, value: 0 };

    /// One step: how many bytes it took, and where we are then; `None` at the end of the body.
    fn step(self, bytes: &[u8]) -> Result<(usize, Option<Self>), Misdeed> {
        let Some(&byte) = bytes.first() else { return Ok((0, Some(self))) };
        let next = match self {
            Self::Size { digits, value } => match (char::from(byte).to_digit(16), byte) {
                (Some(_), _) if digits == 16 => return Err(Misdeed::BadChunk),
                (Some(digit), _) => Self::Size { digits: digits + 1, value: value << 4 | u64::from(digit) },
                (None, _) if digits == 0 => return Err(Misdeed::BadChunk),
                (None, b'\r') => Self::SizeLf { value },
                (None, b';' | b' ' | b'\t') => Self::Extension { length: 0, value },
                (None, _) => return Err(Misdeed::BadChunk),
            },
            Self::Extension { length, value } => match byte {
                b'\r' => Self::SizeLf { value },
                b'\t' => Self::Extension { length: length + 1, value },
                _ if byte < b' ' || byte == 0x7f || length >= MOST_EXTENSION => return Err(Misdeed::BadChunk),
                _ => Self::Extension { length: length + 1, value },
            },
            Self::SizeLf { value } => match (byte, value) {
                (b'\n', 0) => Self::Trailer { length: 0, line: 0 },
                (b'\n', left) => Self::Data { left },
                _ => return Err(Misdeed::BadChunk),
            },
            Self::Data { left } => {
                let here = bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                let left = left - here as u64;
                return Ok((here, Some(if left == 0 { Self::DataCr } else { Self::Data { left } })));
            }
            Self::DataCr if byte == b'\r' => Self::DataLf,
            Self::DataLf if byte == b'\n' => Self::START,
            Self::DataCr | Self::DataLf => return Err(Misdeed::BadChunk),
            Self::Trailer { length, line } => match byte {
                b'\r' => Self::TrailerLf { length, line },
                b'\n' | 0 => return Err(Misdeed::BadChunk),
                _ if length >= MOST_TRAILERS => return Err(Misdeed::BadChunk),
                _ => Self::Trailer { length: length + 1, line: line + 1 },
            },
            Self::TrailerLf { length, line } => match (byte, line) {
                (b'\n', 0) => return Ok((1, None)),
                (b'\n', _) => Self::Trailer { length, line: 0 },
                _ => return Err(Misdeed::BadChunk),
            },
        };
        Ok((1, Some(next)))
    }
}

/// Looks at one head. `None`: it is not complete. Otherwise its length, and what follows it.
fn head(bytes: &[u8], limits: &HeadLimits) -> Result<Option<(usize, Reading)>, Misdeed> {
    let mut at = 0;
    // Empty lines before a request line are passed over (RFC 9112 section 2.2).
    while bytes[at..].starts_with(b"\r\n") {
        at += 2;
    }
    let start = at;
    let Some(line) = line(bytes, &mut at)? else {
        return if bytes.len() - start > limits.url + 32 { Err(Misdeed::UrlTooLong) } else { Ok(None) };
    };
    let http10 = request_line(line, limits)?;
    let mut fields = 0;
    let mut length: Option<u64> = None;
    let mut chunked = false;
    loop {
        if at > limits.size {
            return Err(Misdeed::HeadTooLarge);
        }
        let Some(line) = self::line(bytes, &mut at)? else {
            return if bytes.len() > limits.size { Err(Misdeed::HeadTooLarge) } else { Ok(None) };
        };
        let Some(&first) = line.first() else { break };
        fields += 1;
        if fields > limits.fields {
            return Err(Misdeed::TooManyFields);
        }
        if matches!(first, b' ' | b'\t') {
            return Err(Misdeed::FoldedLine);
        }
        let colon = memchr(b':', line).ok_or(Misdeed::BadField)?;
        let (name, value) = (&line[..colon], &line[colon + 1..]);
        match name.last() {
            None => return Err(Misdeed::BadField),
            Some(b' ' | b'\t') => return Err(Misdeed::SpaceBeforeColon),
            Some(_) => {}
        }
        if has_control(value) {
            return Err(Misdeed::ControlCharacter);
        }
        if name.len() == 14 && name.eq_ignore_ascii_case(b"content-length") {
            if length.is_some() {
                return Err(Misdeed::TwoLengths);
            }
            length = Some(number(value.trim_ascii()).ok_or(Misdeed::BadLength)?);
        } else if name.len() == 17 && name.eq_ignore_ascii_case(b"transfer-encoding") {
            if chunked || !value.trim_ascii().eq_ignore_ascii_case(b"chunked") || http10 {
                return Err(Misdeed::BadCoding);
            }
            chunked = true;
        }
    }
    if at > limits.size {
        return Err(Misdeed::HeadTooLarge);
    }
    let body = match (length, chunked) {
        (Some(_), true) => return Err(Misdeed::LengthAndCoding),
        (None, true) => Reading::Chunked(Chunk::START),
        (Some(0) | None, false) => Reading::Head,
        (Some(length), false) => Reading::Length(length),
    };
    Ok(Some((at, body)))
}

/// The next line without its end; `None` if the end has not come yet.
fn line<'a>(bytes: &'a [u8], at: &mut usize) -> Result<Option<&'a [u8]>, Misdeed> {
    let rest = &bytes[*at..];
    let Some(end) = memchr(b'\n', rest) else { return Ok(None) };
    match rest[..end].split_last() {
        Some((b'\r', line)) => {
            *at += end + 1;
            Ok(Some(line))
        }
        _ => Err(Misdeed::BareLineFeed),
    }
}

/// Whether it is an HTTP/1.0 request line, if it is one at all.
fn request_line(line: &[u8], limits: &HeadLimits) -> Result<bool, Misdeed> {
    let space = memchr(b' ', line).ok_or(Misdeed::BadRequestLine)?;
    let rest = &line[space + 1..];
    let end = memchr(b' ', rest).ok_or(Misdeed::BadRequestLine)?;
    if end > limits.url {
        return Err(Misdeed::UrlTooLong);
    }
    if space == 0 || end == 0 || has_control(line) {
        return Err(Misdeed::BadRequestLine);
    }
    match &rest[end + 1..] {
        b"HTTP/1.1" => Ok(false),
        b"HTTP/1.0" => Ok(true),
        _ => Err(Misdeed::BadRequestLine),
    }
}

/// Whether there is a control character other than a tab: NUL, a bare carriage return, ... No early end, so that the
/// compiler can look at many bytes at once.
#[expect(clippy::needless_bitwise_bool, reason = "a lazy operator is a branch for each byte")]
fn has_control(bytes: &[u8]) -> bool {
    bytes.iter().fold(false, |found, &byte| found | ((byte < b' ') & (byte != b'\t')) | (byte == 0x7f))
}

/// A length: digits and nothing else (no sign, no list; RFC 9110 section 8.6).
fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || digits.len() > 19 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    digits.iter().try_fold(0u64, |value, digit| value.checked_mul(10)?.checked_add(u64::from(digit - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: HeadLimits = HeadLimits { size: 1000, fields: 5, url: 100 };

    fn walk(bytes: &[u8]) -> Result<(usize, Reading), Misdeed> {
        let mut reading = Reading::Head;
        let mut heads = 0;
        reading.walk(bytes, &LIMITS, &mut heads).map(|at| (at, reading)).map_err(|(_, misdeed)| misdeed)
    }

    #[test]
    fn what_two_readers_could_read_differently_is_refused() {
        let cases: &[(&str, Misdeed)] = &[
            ("POST / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", Misdeed::LengthAndCoding),
            ("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n", Misdeed::LengthAndCoding),
            ("POST / HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n", Misdeed::TwoLengths),
            ("POST / HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", Misdeed::TwoLengths),
            ("POST / HTTP/1.1\r\nContent-Length: 5, 5\r\n\r\n", Misdeed::BadLength),
            ("POST / HTTP/1.1\r\nContent-Length: +5\r\n\r\n", Misdeed::BadLength),
            ("POST / HTTP/1.1\r\nContent-Length: 0x5\r\n\r\n", Misdeed::BadLength),
            ("POST / HTTP/1.1\r\nContent-Length:\r\n\r\n", Misdeed::BadLength),
            ("POST / HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n", Misdeed::BadLength),
            ("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", Misdeed::BadCoding),
            ("POST / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", Misdeed::BadCoding),
            ("POST / HTTP/1.1\r\nTransfer-Encoding: identity\r\n\r\n", Misdeed::BadCoding),
            ("POST / HTTP/1.1\r\nTransfer-Encoding: xchunked\r\n\r\n", Misdeed::BadCoding),
            ("POST / HTTP/1.1\r\nTransfer-Encoding: chunked, identity\r\n\r\n", Misdeed::BadCoding),
            ("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", Misdeed::BadCoding),
            ("POST / HTTP/1.1\r\nTransfer-Encoding : chunked\r\n\r\n", Misdeed::SpaceBeforeColon),
            ("POST / HTTP/1.1\r\nHost: a\r\n b: c\r\n\r\n", Misdeed::FoldedLine),
            ("POST / HTTP/1.1\r\nHost: a\r\n\tb: c\r\n\r\n", Misdeed::FoldedLine),
            ("POST / HTTP/1.1\nHost: a\r\n\r\n", Misdeed::BareLineFeed),
            ("POST / HTTP/1.1\r\nHost: a\n\r\n", Misdeed::BareLineFeed),
            ("POST / HTTP/1.1\r\nHost: a\r\n\n", Misdeed::BareLineFeed),
            ("\nPOST / HTTP/1.1\r\n\r\n", Misdeed::BareLineFeed),
            ("POST / HTTP/1.1\r\nA: b\rTransfer-Encoding: chunked\r\n\r\n", Misdeed::ControlCharacter),
            ("POST / HTTP/1.1\r\nA: b\0c\r\n\r\n", Misdeed::ControlCharacter),
            ("POST / HTTP/1.1\r\nNoColon\r\n\r\n", Misdeed::BadField),
            ("POST / HTTP/1.1\r\n: x\r\n\r\n", Misdeed::BadField),
            ("POST /a b HTTP/1.1\r\n\r\n", Misdeed::BadRequestLine),
            ("POST  / HTTP/1.1\r\n\r\n", Misdeed::BadRequestLine),
            ("POST / HTTP/1.2\r\n\r\n", Misdeed::BadRequestLine),
            ("POST / HTTP/2.0\r\n\r\n", Misdeed::BadRequestLine),
            ("POST /\r\n\r\n", Misdeed::BadRequestLine),
            ("GET / HTTP/1.1\r\na: 1\r\na: 2\r\na: 3\r\na: 4\r\na: 5\r\na: 6\r\n\r\n", Misdeed::TooManyFields),
        ];
        for (bytes, misdeed) in cases {
            assert_eq!(walk(bytes.as_bytes()), Err(*misdeed), "{bytes:?}");
        }
        let long = format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(100));
        assert_eq!(walk(long.as_bytes()), Err(Misdeed::UrlTooLong));
        assert_eq!(walk(&long.as_bytes()[..80]), Ok((0, Reading::Head)));
        let unfinished = format!("GET /{}", "x".repeat(140));
        assert_eq!(walk(unfinished.as_bytes()), Err(Misdeed::UrlTooLong));
        let large = format!("GET / HTTP/1.1\r\nA: {}\r\n\r\n", "x".repeat(1000));
        assert_eq!(walk(large.as_bytes()), Err(Misdeed::HeadTooLarge));
        assert_eq!(walk(&large.as_bytes()[..1010]), Err(Misdeed::HeadTooLarge));
    }

    #[test]
    fn messages_one_after_the_other_are_walked_over() {
        let bytes = b"\r\nPOST / HTTP/1.1\r\nContent-Length: 5\r\n\r\n12345GET /x HTTP/1.0\r\n\r\nPOST / HTTP/1.1\r\n\
            transfer-encoding: Chunked\r\n\r\n3;a=b\r\nabc\r\n0A\r\n0123456789\r\n0\r\nx: y\r\n\r\nGET / HTTP/1.1\r\n\r\n";
        assert_eq!(walk(bytes), Ok((bytes.len(), Reading::Head)));
        // The same, in two pieces, cut anywhere.
        for cut in 0..bytes.len() {
            let (mut reading, mut heads) = (Reading::Head, 0);
            let at = reading.walk(&bytes[..cut], &LIMITS, &mut heads).unwrap();
            let rest = reading.walk(&bytes[at..], &LIMITS, &mut heads).unwrap();
            assert_eq!((at + rest, heads, reading), (bytes.len(), 4, Reading::Head), "cut at {cut}");
        }
    }

    #[test]
    fn a_bad_chunk_is_refused() {
        for body in [
            "g\r\n",
            "\r\n",
            ";a\r\n",
            "-1\r\n",
            "0x1\r\n",
            "1\n",
            "1\r\r",
            "1\r\nab",
            "1\r\na\n",
            "1\r\na\r\r",
            "00000000000000001\r\n",
            "1;\0\r\n",
            "0\r\n\n",
            "0\r\nx\n",
            "1 \n",
        ] {
            let bytes = format!("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n{body}");
            assert_eq!(walk(bytes.as_bytes()), Err(Misdeed::BadChunk), "{body:?}");
        }
        let extension = format!("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1;{}", "x".repeat(300));
        assert_eq!(walk(extension.as_bytes()), Err(Misdeed::BadChunk));
    }
}
