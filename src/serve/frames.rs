//! Is a header block of an HTTP/2 connection unfinished, and since when?
//!
//! h2 limits how large a header block may be, not how long it may take: `HEADERS` without `END_HEADERS` and a client that
//! falls silent would hold the connection for ever. This looks at the nine bytes before each frame and at nothing else
//! (RFC 9113 sections 3.4, 4.1, 6.2, 6.10).

use tokio::time::Instant;

const PREFACE: usize = 24;
const HEADERS: u8 = 1;
const CONTINUATION: u8 = 9;
const END_HEADERS: u8 = 4;

/// Follows the frames that a client sends.
#[derive(Debug)]
pub(super) struct Frames {
    preface: usize,
    head: [u8; 9],
    filled: usize,
    payload: usize,
    of_block: bool,
    block_open: bool,
    /// Since when something that must be finished is not.
    since: Option<Instant>,
}

impl Frames {
    /// A connection that begins now: its preface is the first thing to be finished.
    pub(super) fn new(now: Instant) -> Self {
        Self {
            preface: PREFACE,
            head: [0; 9],
            filled: 0,
            payload: 0,
            of_block: false,
            block_open: false,
            since: Some(now),
        }
    }

    /// Since when the preface or a header block is unfinished.
    pub(super) fn unfinished(&self) -> Option<Instant> {
        self.since
    }

    /// Walks over what came.
    pub(super) fn walk(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.preface > 0 {
                let here = bytes.len().min(self.preface);
                self.preface -= here;
                bytes = &bytes[here..];
            } else if self.payload > 0 {
                let here = bytes.len().min(self.payload);
                self.payload -= here;
                bytes = &bytes[here..];
            } else {
                let here = bytes.len().min(9 - self.filled);
                self.head[self.filled..self.filled + here].copy_from_slice(&bytes[..here]);
                self.filled += here;
                bytes = &bytes[here..];
                if self.filled == 9 {
                    self.frame();
                }
            }
            self.note();
        }
    }

    fn frame(&mut self) {
        self.filled = 0;
        let [a, b, c, kind, flags, ..] = self.head;
        self.payload = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
        self.of_block = matches!(kind, HEADERS | CONTINUATION);
        if self.of_block {
            self.block_open = flags & END_HEADERS == 0;
        }
    }

    fn note(&mut self) {
        let unfinished = self.preface > 0
            || self.block_open
            || self.of_block && self.payload > 0
            // Part of a frame's nine bytes: whatever it is, it has to come.
            || self.filled > 0;
        if unfinished {
            self.since.get_or_insert_with(Instant::now);
        } else {
            self.since = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0, 0, u8::try_from(payload.len()).unwrap(), kind, flags, 0, 0, 0, 1];
        bytes.extend_from_slice(payload);
        bytes
    }

    fn started() -> Frames {
        let mut frames = Frames::new(Instant::now());
        frames.walk(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        frames
    }

    #[test]
    fn a_header_block_is_open_until_its_end_is_flagged() {
        let mut frames = started();
        assert!(frames.unfinished().is_none());
        frames.walk(&frame(4, 0, b""));
        assert!(frames.unfinished().is_none());
        frames.walk(&frame(HEADERS, 0, b"abc"));
        let since = frames.unfinished().unwrap();
        frames.walk(&frame(CONTINUATION, 0, b"d"));
        assert_eq!(frames.unfinished(), Some(since), "a drip does not restart the clock");
        frames.walk(&frame(CONTINUATION, END_HEADERS, b""));
        assert!(frames.unfinished().is_none());
    }

    #[test]
    fn a_headers_frame_whose_bytes_do_not_come_is_unfinished_and_a_data_frame_is_not() {
        let mut frames = started();
        frames.walk(&frame(0, 0, b"data")[..11]);
        assert!(frames.unfinished().is_none());
        frames.walk(b"ta");
        let headers = frame(HEADERS, END_HEADERS, b"abc");
        for cut in 1..headers.len() {
            let mut frames = started();
            frames.walk(&headers[..cut]);
            assert!(frames.unfinished().is_some(), "cut at {cut}");
            frames.walk(&headers[cut..]);
            assert!(frames.unfinished().is_none(), "cut at {cut}");
        }
    }

    #[test]
    fn a_preface_that_does_not_come_is_unfinished() {
        let mut frames = Frames::new(Instant::now());
        frames.walk(b"PRI * HTTP/2.0\r\n\r\nSM\r\n");
        assert!(frames.unfinished().is_some());
    }
}
