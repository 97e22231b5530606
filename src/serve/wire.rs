//! What stands between a socket and hyper?
//!
//! The bytes as they come: HTTP/1 heads are held back until they are complete and in order, so that hyper never sees
//! half of a bad one; every wait on the client has a deadline. Bodies pass through untouched.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf as _, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use super::Misdeed;
use super::drain::Phase;
use super::frames::Frames;
use super::framing::{HeadLimits, Reading};
use super::listener::Ticket;
use super::patience::{BRIEF, Lingering, PATIENT, Patience};
use super::settings::Limits;
use crate::timer::Timer;

/// Stands in the stream where a misdeed stood: hyper hands it to the service in its turn, and the service answers with
/// the refusal. A client that sends it itself only asks to be refused.
const MISDEED: &[u8] = b"MISDEED / HTTP/1.1\r\n\r\n";
/// Its method.
pub(super) const MISDEED_METHOD: &str = "MISDEED";

/// How often a connection is looked at that must end with its request.
const LEAST_PATIENCE: Duration = Duration::from_millis(50);

/// What the socket's side and the service's side of one connection tell each other.
pub(super) struct Shared {
    began: Instant,
    in_flight: AtomicUsize,
    /// When the last request ended: milliseconds since `began`.
    quiet_since: AtomicU64,
    tunnel: AtomicBool,
    idle_out: AtomicBool,
    body_left: AtomicBool,
    misdeed: Mutex<Option<Misdeed>>,
    /// HTTP/2 answers of which the client has not taken the last frame, each with since when.
    untaken: Mutex<Vec<(u64, Instant)>>,
    answers: AtomicU64,
}

impl Shared {
    pub(super) fn new() -> Self {
        Self {
            began: Instant::now(),
            in_flight: AtomicUsize::new(0),
            quiet_since: AtomicU64::new(0),
            tunnel: AtomicBool::new(false),
            idle_out: AtomicBool::new(false),
            body_left: AtomicBool::new(false),
            misdeed: Mutex::default(),
            untaken: Mutex::default(),
            answers: AtomicU64::new(0),
        }
    }

    /// Since when there is no request; `None` while there is one.
    pub(super) fn quiet(&self) -> Option<Instant> {
        let quiet = self.in_flight.load(Ordering::Relaxed) == 0;
        quiet.then(|| self.began + Duration::from_millis(self.quiet_since.load(Ordering::Relaxed)))
    }

    pub(super) fn begin(self: &Arc<Self>) -> InFlight {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        InFlight(Arc::clone(self))
    }

    /// From now on the bytes are a tunnel's.
    pub(super) fn become_tunnel(&self) {
        self.tunnel.store(true, Ordering::Relaxed);
    }

    /// A body was given up before its end.
    pub(super) fn leave_body(&self) {
        self.body_left.store(true, Ordering::Relaxed);
    }

    /// Whether a body was given up before its end: on HTTP/1 nothing can follow it.
    pub(super) fn is_body_left(&self) -> bool {
        self.body_left.load(Ordering::Relaxed)
    }

    pub(super) fn misdeed(&self) -> Option<Misdeed> {
        *self.misdeed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the HTTP/2 connection has been without a request for too long.
    pub(super) fn is_idle_out(&self) -> bool {
        self.idle_out.load(Ordering::Relaxed)
    }

    pub(super) fn next_answer(&self) -> u64 {
        self.answers.fetch_add(1, Ordering::Relaxed)
    }

    pub(super) fn untaken(&self, answer: u64) {
        self.untaken.lock().unwrap_or_else(PoisonError::into_inner).push((answer, Instant::now()));
    }

    pub(super) fn taken(&self, answer: u64) {
        self.untaken.lock().unwrap_or_else(PoisonError::into_inner).retain(|(other, _)| *other != answer);
    }
}

/// A request that is being answered.
pub(super) struct InFlight(Arc<Shared>);

impl InFlight {
    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.0
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let now = u64::try_from(self.0.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.0.quiet_since.store(now, Ordering::Relaxed);
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Which protocol the bytes are.
enum Speech {
    Http1 { reading: Reading, heads: u64 },
    Http2(Frames),
}

/// How reading ends.
enum End {
    Not,
    Closed,
    /// A refusal is on its way. hyper would take an end of the stream for a client that has left, and drop it; its answer
    /// closes the connection.
    Refused,
    Late,
    Bad,
}

enum Closing {
    Not,
    Lingering(Lingering),
}

/// The times of [`Limits`] that count here.
#[derive(Clone, Copy)]
struct Times {
    head: Duration,
    keep_alive: Duration,
    write_stall: Duration,
    drain_accept: Duration,
}

/// A client's connection.
pub(super) struct Wire<S> {
    io: S,
    shared: Arc<Shared>,
    phase: Arc<Phase>,
    head_limits: HeadLimits,
    times: Times,
    speech: Speech,
    /// A head that is not complete.
    stash: BytesMut,
    /// Looked at, to be handed on.
    good: Bytes,
    end: End,
    head_since: Option<Instant>,
    write_since: Option<Instant>,
    read_timer: Timer,
    write_timer: Timer,
    closing: Closing,
    /// Counts the connection for as long as it lives, tunnels included.
    _ticket: Ticket,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    /// `early`: bytes that were read before it was known what they are.
    pub(super) fn new(
        io: S,
        early: &[u8],
        http2: bool,
        shared: Arc<Shared>,
        phase: Arc<Phase>,
        limits: &Limits,
        ticket: Ticket,
    ) -> Self {
        let speech = if http2 {
            Speech::Http2(Frames::new(Instant::now()))
        } else {
            Speech::Http1 { reading: Reading::Head, heads: 0 }
        };
        let mut wire = Self {
            io,
            shared,
            phase,
            head_limits: HeadLimits { size: limits.head_size, fields: limits.head_fields, url: limits.url_length },
            times: Times {
                head: limits.head_timeout,
                keep_alive: limits.keep_alive,
                write_stall: limits.write_stall,
                drain_accept: limits.drain_accept,
            },
            speech,
            stash: BytesMut::new(),
            good: Bytes::new(),
            end: End::Not,
            head_since: None,
            write_since: None,
            read_timer: Timer::default(),
            write_timer: Timer::default(),
            closing: Closing::Not,
            _ticket: ticket,
        };
        if !early.is_empty() {
            wire.stash.extend_from_slice(early);
            wire.walk_stash();
        }
        wire
    }

    /// Looks at `bytes`; says how many may be handed on at once.
    fn walk(&mut self, bytes: &[u8]) -> usize {
        match &mut self.speech {
            Speech::Http2(frames) => {
                frames.walk(bytes);
                bytes.len()
            }
            Speech::Http1 { reading, heads } => match reading.walk(bytes, &self.head_limits, heads) {
                Ok(good) => good,
                Err((good, Misdeed::BadChunk)) => {
                    self.end = End::Bad;
                    good
                }
                Err((good, misdeed)) => {
                    self.refuse(misdeed);
                    good
                }
            },
        }
    }

    fn walk_stash(&mut self) {
        let mut stash = std::mem::take(&mut self.stash);
        let good = self.walk(&stash);
        let handed = stash.split_to(good).freeze();
        if matches!(self.end, End::Not) {
            self.keep(&stash);
            self.good = handed;
        } else {
            self.good = [handed, self.good.clone()].concat().into();
        }
    }

    /// Keeps what is not complete.
    fn keep(&mut self, partial: &[u8]) {
        if partial.is_empty() {
            self.head_since = None;
        } else {
            self.head_since.get_or_insert_with(Instant::now);
            self.stash.extend_from_slice(partial);
        }
    }

    /// Puts the refusal in the place of the misdeed; nothing more is read.
    fn refuse(&mut self, misdeed: Misdeed) {
        tracing::debug!(%misdeed, "a request was refused for its framing");
        *self.shared.misdeed.lock().unwrap_or_else(PoisonError::into_inner) = Some(misdeed);
        self.good = Bytes::from_static(MISDEED);
        self.stash.clear();
        self.end = End::Refused;
    }

    /// Whether the client is late with something; sets how reading ends.
    ///
    /// hyper does not read again when an answer has been sent, if there was nothing to read before. So the alarm is also
    /// set while a request runs; when it goes off, the time since the last one's end counts.
    fn is_late(&mut self, cx: &mut Context<'_>) -> bool {
        match &self.speech {
            Speech::Http1 { reading: Reading::Head, heads } => {
                if let Some(since) = self.head_since {
                    if self.read_timer.passed(since + self.times.head, cx) {
                        self.refuse(Misdeed::HeadTimeout);
                        return true;
                    }
                    return false;
                }
                let patience = match (*heads, self.phase.is_draining()) {
                    (0, false) => self.times.head,
                    (0, true) => self.times.head.min(self.times.drain_accept),
                    (_, false) => self.times.keep_alive,
                    (_, true) => Duration::ZERO,
                };
                if self.is_idle_for(patience, cx) {
                    self.end = End::Closed;
                    return true;
                }
                false
            }
            // The body's own guard counts.
            Speech::Http1 { .. } => false,
            Speech::Http2(frames) => {
                let unfinished = frames.unfinished().map(|since| since + self.times.head);
                let untaken = {
                    let untaken = self.shared.untaken.lock().unwrap_or_else(PoisonError::into_inner);
                    untaken.iter().map(|(_, since)| *since + self.times.write_stall).min()
                };
                let deadline = unfinished.into_iter().chain(untaken).min();
                if deadline.is_some_and(|deadline| self.read_timer.passed(deadline, cx)) {
                    self.end = End::Late;
                    return true;
                }
                if self.is_idle_for(self.times.keep_alive, cx) {
                    // The driver looks at this after each poll, and says goodbye.
                    self.shared.idle_out.store(true, Ordering::Relaxed);
                }
                false
            }
        }
    }

    fn is_idle_for(&mut self, patience: Duration, cx: &mut Context<'_>) -> bool {
        if let Some(since) = self.shared.quiet() {
            return self.read_timer.passed(since + patience, cx);
        }
        self.read_timer.passed(Instant::now() + patience.max(LEAST_PATIENCE), cx);
        false
    }

    fn wrote<T>(&mut self, polled: Poll<io::Result<T>>, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        if polled.is_ready() {
            self.write_since = None;
            return polled;
        }
        let since = *self.write_since.get_or_insert_with(Instant::now);
        if self.write_timer.passed(since + self.times.write_stall, cx) {
            tracing::debug!("a client did not take its answer in time");
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        Poll::Pending
    }

    /// Whether the client may still be sending something that nobody will read.
    fn is_mid_message(&self) -> bool {
        match &self.speech {
            Speech::Http1 { reading, .. } => *reading != Reading::Head || matches!(self.end, End::Refused | End::Bad),
            Speech::Http2(_) => false,
        }
    }

    fn patience(&self) -> &'static Patience {
        let misdeed = matches!(self.end, End::Refused | End::Bad);
        if misdeed || self.phase.is_draining() { &BRIEF } else { &PATIENT }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Wire<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            if !this.good.is_empty() {
                let here = this.good.len().min(buf.remaining());
                buf.put_slice(&this.good[..here]);
                this.good.advance(here);
                return Poll::Ready(Ok(()));
            }
            if this.shared.tunnel.load(Ordering::Relaxed) {
                if this.stash.is_empty() {
                    return Pin::new(&mut this.io).poll_read(cx, buf);
                }
                this.good = this.stash.split().freeze();
                continue;
            }
            match this.end {
                End::Not => {}
                End::Closed => return Poll::Ready(Ok(())),
                End::Refused => return Poll::Pending,
                End::Late => return Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
                End::Bad => return Poll::Ready(Err(io::ErrorKind::InvalidData.into())),
            }
            let before = buf.filled().len();
            match Pin::new(&mut this.io).poll_read(cx, buf) {
                Poll::Pending => {
                    if this.is_late(cx) {
                        continue;
                    }
                    return Poll::Pending;
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Ready(Ok(())) => {
                    let came = buf.filled().len() - before;
                    if came == 0 {
                        return Poll::Ready(Ok(()));
                    }
                    if this.stash.is_empty() {
                        let good = this.walk(&buf.filled()[before..]);
                        if good < came {
                            if matches!(this.end, End::Not) {
                                this.keep(&buf.filled()[before + good..]);
                            }
                            buf.set_filled(before + good);
                        } else {
                            this.head_since = None;
                        }
                        if good > 0 {
                            return Poll::Ready(Ok(()));
                        }
                    } else {
                        let new = &buf.filled()[before..];
                        this.stash.extend_from_slice(new);
                        // A head ends with a line feed, and a line that is too long shows in its length.
                        let look =
                            new.contains(&b'\n') || this.stash.len() > this.head_limits.url.min(this.head_limits.size);
                        buf.set_filled(before);
                        if look {
                            this.walk_stash();
                        }
                    }
                }
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Wire<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.io).poll_write(cx, buf);
        self.wrote(polled, cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.io).poll_write_vectored(cx, bufs);
        self.wrote(polled, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.io).poll_flush(cx);
        self.wrote(polled, cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            match this.closing {
                Closing::Not => {
                    let polled = Pin::new(&mut this.io).poll_shutdown(cx);
                    ready!(this.wrote(polled, cx))?;
                    if !this.is_mid_message() {
                        return Poll::Ready(Ok(()));
                    }
                    this.closing = Closing::Lingering(Lingering::begin(Instant::now()));
                }
                Closing::Lingering(mut lingering) => {
                    let patience = this.patience();
                    let mut scratch = [0; 8192];
                    let mut scratch = ReadBuf::new(&mut scratch);
                    match Pin::new(&mut this.io).poll_read(cx, &mut scratch) {
                        Poll::Ready(Ok(())) if !scratch.filled().is_empty() => {
                            if lingering.heard(scratch.filled().len(), Instant::now(), patience) {
                                return Poll::Ready(Ok(()));
                            }
                            this.closing = Closing::Lingering(lingering);
                        }
                        Poll::Ready(_) => return Poll::Ready(Ok(())),
                        Poll::Pending if this.read_timer.passed(lingering.until(patience), cx) => {
                            return Poll::Ready(Ok(()));
                        }
                        Poll::Pending => return Poll::Pending,
                    }
                }
            }
        }
    }
}
