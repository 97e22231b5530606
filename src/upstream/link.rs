//! How does one exchange run over one connection?
//!
//! A [`Link`] is a connection together with what drives it: whoever waits for an answer drives it, nobody else.

use std::error::Error as _;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use sync_wrapper::SyncWrapper;
use tokio::time::Instant;

use super::connect::{Connector, Hurry};
use super::counts::Seat;
use super::upload::Upload;
use super::{UpstreamError, after};
use crate::message::{Body, BodyError};
use crate::timer::Timer;

/// The most that is buffered of what MLflow sends.
const BUFFER: usize = 128 * 1024;

/// What moves a connection's bytes. Wrapped where it is kept, since a body that holds it must be `Sync`.
type Driver = Pin<Box<dyn Future<Output = hyper::Result<()>> + Send>>;

/// One connection.
pub(super) struct Link {
    sender: SendRequest<Body>,
    /// `None` once it has ended.
    driver: Option<SyncWrapper<Driver>>,
    hurry: Hurry,
    pub(super) timer: Timer,
    /// Since when it rests in the pool.
    pub(super) resting: Instant,
    /// Whether it is counted as resting.
    pub(super) seat: Seat,
}

#[expect(clippy::large_enum_variant, reason = "moved once, and only when something failed")]
/// How an exchange failed, as far as sending again is concerned.
pub(super) enum Failed {
    /// Nothing was written: here is the request back.
    Unsent(http::Request<Body>),
    /// The connection ended before an answer began. It may have been processed.
    Lost(hyper::Error),
    /// Not to be tried again.
    Never(UpstreamError),
}

impl Link {
    pub(super) async fn open(connector: &Connector) -> Result<Self, UpstreamError> {
        let wire = connector.connect().await?;
        let hurry = wire.hurry();
        let (sender, connection) = http1::Builder::new()
            .max_buf_size(BUFFER)
            .handshake::<_, Body>(TokioIo::new(wire))
            .await
            .map_err(UpstreamError::Broken)?;
        let driver: Driver = Box::pin(connection.with_upgrades());
        let seat = Seat::new(&connector.counts);
        let (timer, resting) = (Timer::default(), Instant::now());
        Ok(Self { sender, driver: Some(SyncWrapper::new(driver)), hurry, timer, resting, seat })
    }

    /// Whether it rested in the pool for at least `this_long`.
    pub(super) fn rested(&self, this_long: Duration) -> bool {
        self.resting.elapsed() >= this_long
    }

    /// The same for whoever waits for the rest of an answer.
    pub(super) fn drive_on(&mut self, cx: &mut Context<'_>) {
        self.hurry.up();
        self.drive(cx);
    }

    /// Lets the connection do what it can. Afterwards it is ready for the next request, or it is not (any more).
    pub(super) fn drive(&mut self, cx: &mut Context<'_>) {
        if let Some(driver) = &mut self.driver
            && driver.get_mut().as_mut().poll(cx).is_ready()
        {
            self.driver = None;
        }
    }

    /// Whether a request could be sent now: alive, and the last exchange has ended in both directions.
    pub(super) fn is_ready(&mut self) -> bool {
        self.drive(&mut Context::from_waker(Waker::noop()));
        self.driver.is_some() && self.sender.is_ready()
    }

    /// What drives the connection on after MLflow's 101.
    pub(super) fn into_driver(self) -> Option<impl Future<Output = hyper::Result<()>> + Send> {
        self.driver.map(SyncWrapper::into_inner)
    }

    /// Sends `request`, waits for the head of the answer.
    pub(super) async fn exchange(
        &mut self,
        request: http::Request<Body>,
        upload: Option<Upload>,
        first_byte: Duration,
        idle: Duration,
    ) -> Result<http::Response<Incoming>, Failed> {
        let began = Instant::now();
        let Self { sender, driver, timer, .. } = self;
        let mut promise = pin!(sender.try_send_request(request));
        poll_fn(|cx| {
            if let Some(running) = driver.as_mut()
                && running.get_mut().as_mut().poll(cx).is_ready()
            {
                *driver = None;
            }
            if let Poll::Ready(result) = promise.as_mut().poll(cx) {
                return Poll::Ready(result.map_err(|mut failed| match failed.take_message() {
                    Some(back) => Failed::Unsent(back),
                    None => lost(failed.into_error()),
                }));
            }
            let (deadline, late) = match upload.as_ref().map(Upload::turn) {
                None => (after(began, first_byte), UpstreamError::FirstByteTimeout),
                Some(Turn::Ended(at)) => (after(at, first_byte), UpstreamError::FirstByteTimeout),
                Some(Turn::Server(since)) => (after(since, idle), UpstreamError::UploadStalled),
                // The client's own limits count meanwhile; they end its body.
                Some(Turn::Client) => return Poll::Pending,
            };
            if timer.passed(deadline, cx) { Poll::Ready(Err(Failed::Never(late))) } else { Poll::Pending }
        })
        .await
    }
}

/// Whose move it is while a body is sent.
#[derive(Debug, Clone, Copy)]
pub(super) enum Turn {
    /// The client has to send.
    Client,
    /// MLflow has to take, since then.
    Server(Instant),
    /// All is sent, since then.
    Ended(Instant),
}

fn lost(error: hyper::Error) -> Failed {
    if error.is_incomplete_message() || error.is_closed() || error.is_canceled() || is_reset(&error) {
        Failed::Lost(error)
    } else {
        Failed::Never(blame(error))
    }
}

fn is_reset(error: &hyper::Error) -> bool {
    error
        .source()
        .and_then(|source| source.downcast_ref::<std::io::Error>())
        .is_some_and(|io| matches!(io.kind(), std::io::ErrorKind::ConnectionReset | std::io::ErrorKind::BrokenPipe))
}

/// Whose fault it is: the client's body, which hyper hands through, or the connection.
pub(super) fn blame(error: hyper::Error) -> UpstreamError {
    match error.source().and_then(|source| source.downcast_ref::<BodyError>()) {
        None => UpstreamError::Broken(error),
        Some(BodyError::TooLarge { most }) => UpstreamError::Body(BodyError::TooLarge { most: *most }),
        Some(BodyError::Stalled) => UpstreamError::Body(BodyError::Stalled),
        Some(BodyError::TooSlow) => UpstreamError::Body(BodyError::TooSlow),
        Some(BodyError::Broken(_)) => UpstreamError::Body(BodyError::Broken(error)),
    }
}
