//! What becomes of a connection after MLflow's 101?
//!
//! Bytes are copied both ways until one side ends, nothing moves for too long, or the gate closes. Such connections
//! have left hyper, and with it hyper's graceful shutdown: [`Tunnels`] knows them all.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf, copy_bidirectional};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// All open tunnels, and other work that outlives its request. A clone speaks of the same ones.
#[derive(Debug, Clone, Default)]
pub struct Tunnels {
    tracker: TaskTracker,
    cut: CancellationToken,
}

impl Tunnels {
    /// How many are open.
    #[must_use]
    pub fn open_now(&self) -> usize {
        self.tracker.len()
    }

    /// Waits until the last one has ended by itself.
    pub async fn ended(&self) {
        self.tracker.close();
        self.tracker.wait().await;
    }

    /// Closes all of them.
    pub fn cut(&self) {
        self.cut.cancel();
    }

    /// Runs something to its end though its request may be gone: the drain waits for it as for a tunnel. `None` when it
    /// was cut at the drain's limit, or ended by a panic.
    pub async fn carry<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> Option<T> {
        let cut = self.cut.clone();
        let carried = self.tracker.spawn(async move {
            tokio::select! {
                () = cut.cancelled() => None,
                done = work => Some(done),
            }
        });
        carried.await.ok().flatten()
    }

    /// Joins the two connections, once both have changed the protocol.
    pub(super) fn open(&self, client: OnUpgrade, server: OnUpgrade, idle: Duration) {
        let cut = self.cut.clone();
        self.tracker.spawn(async move {
            tokio::select! {
                () = cut.cancelled() => tracing::debug!("a tunnel was cut at the end of the drain"),
                result = join(client, server, idle) => if let Err(error) = result {
                    tracing::debug!(%error, "a tunnel ended");
                },
            }
        });
    }
}

async fn join(client: OnUpgrade, server: OnUpgrade, idle: Duration) -> io::Result<()> {
    let both = async { tokio::try_join!(client, server).map_err(io::Error::other) };
    let (client, server) =
        tokio::time::timeout(idle, both).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    let moved = Arc::new(Mutex::new(Instant::now()));
    let mut client = Watched { io: TokioIo::new(client), moved: Arc::clone(&moved) };
    let mut server = Watched { io: TokioIo::new(server), moved: Arc::clone(&moved) };
    tokio::select! {
        copied = copy_bidirectional(&mut client, &mut server) => copied.map(|_| ()),
        () = still(&moved, idle) => Err(io::ErrorKind::TimedOut.into()),
    }
}

/// Returns once nothing has moved for `idle`.
async fn still(moved: &Mutex<Instant>, idle: Duration) {
    loop {
        let deadline = *moved.lock().unwrap_or_else(PoisonError::into_inner) + idle;
        if deadline <= Instant::now() {
            return;
        }
        sleep_until(deadline).await;
    }
}

/// Notes when bytes last came.
struct Watched<T> {
    io: T,
    moved: Arc<Mutex<Instant>>,
}

impl<T: AsyncRead + Unpin> AsyncRead for Watched<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.io).poll_read(cx, buf);
        if polled.is_ready() {
            *self.moved.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        }
        polled
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Watched<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
