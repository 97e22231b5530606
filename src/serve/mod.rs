//! The street door: who comes in, how many, and how does the house close?
//!
//! Each worker is one thread with a runtime, listeners and handler of its own (`SO_REUSEPORT`): a request never crosses
//! threads. Here a connection is accepted, its bytes are checked to be one HTTP message after the other, and every wait
//! has an end; what a request means is the gate's business.

mod body;
mod connection;
mod counts;
mod drain;
mod frames;
mod framing;
mod front;
mod listener;
mod misdeed;
mod passed;
mod patience;
mod redirect;
mod settings;
mod signals;
mod systemd;
mod tls;
mod wire;

use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use http::header::HeaderValue;
use http::{Request, Response};
use tokio::net::TcpListener;

pub use counts::Counts;
pub use misdeed::Misdeed;
pub use passed::{Passed, PassedFault};
pub use settings::{Files, Https, Limits, Pair, Redirect, Settings};
pub use signals::Signals;
pub use systemd::tell_failure;
pub use tls::BadPair;

use crate::certificate::Shown;
use crate::forward::Tunnels;
use crate::message::{Body, Door, Peer};
use crate::monitor::Alive;
use connection::Worker;
use drain::Phase;
use listener::Crowd;
use redirect::Answers;
use signals::Sent;
use tls::{Certificates, Reloaded};

/// What answers requests. One for each worker.
pub trait Handler: Send + Sync + 'static {
    /// Answers one request. Cannot fail: every refusal is an answer.
    ///
    /// The body is under the limits on idle time and rate; what it fails with is a [`crate::message::BodyError`]. An
    /// HTTP/1.1 request that wishes for an upgrade has [`hyper::upgrade::OnUpgrade`] among its extensions.
    fn handle(&self, peer: Peer, request: Request<Body>) -> impl Future<Output = Response<Body>> + Send;

    /// Answers what is no request at all; the connection is closed afterwards.
    fn refuse(&self, peer: Peer, misdeed: Misdeed) -> Response<Body> {
        tracing::info!(client = %peer.address, reason = misdeed.code(), "refused");
        misdeed.answer()
    }
}

/// Why the door cannot be opened, or did not close in order.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Neither `https` nor `plain` is set.
    #[error("there is nowhere to listen: set listen.https or listen.plain")]
    Nowhere,
    /// An address is taken or not ours.
    #[error("cannot listen on {address}: {why}")]
    Bind {
        /// Which.
        address: SocketAddr,
        /// Why.
        #[source]
        why: io::Error,
    },
    /// A socket of the service manager's.
    #[error(transparent)]
    Passed(#[from] PassedFault),
    /// The certificate or its key.
    #[error(transparent)]
    Pair(#[from] BadPair),
    /// No thread or no runtime.
    #[error("cannot start: {0}")]
    Start(#[source] io::Error),
    /// A worker panicked outside of any request.
    #[error("a worker ended by a panic")]
    Panicked,
}

/// Where the doors are: with port 0, the ports that were found.
#[derive(Debug, Clone, Default)]
pub struct Addresses {
    /// TLS.
    pub https: Option<SocketAddr>,
    /// Plain.
    pub plain: Option<SocketAddr>,
    /// The redirect to https.
    pub redirect: Option<SocketAddr>,
}

impl fmt::Display for Addresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("open")?;
        for (name, address) in [("https", self.https), ("plain", self.plain), ("redirect", self.redirect)] {
            if let Some(address) = address {
                write!(f, ", {name} at {address}")?;
            }
        }
        Ok(())
    }
}

/// An open house.
pub struct Running {
    addresses: Addresses,
    phase: Arc<Phase>,
    alive: Alive,
    certificates: Option<Arc<Certificates>>,
    workers: Vec<JoinHandle<bool>>,
}

/// Whether the certificate can be read and its key fits it.
///
/// # Errors
/// [`BadPair`].
pub fn check_certificate(settings: &Https) -> Result<(), BadPair> {
    Certificates::load(&settings.pair, &Shown::default())?.tls().map(drop)
}

/// Opens the doors. `make_handler` is called once in each worker, within its runtime; `tunnels` are those that the
/// handlers open.
///
/// # Errors
/// See [`ServeError`]. Nothing is left open then.
pub fn start<H: Handler>(
    settings: Settings,
    tunnels: &Tunnels,
    make_handler: impl Fn() -> H + Send + Sync + Clone + 'static,
) -> Result<Running, ServeError> {
    if settings.https.is_none() && settings.plain.is_none() {
        return Err(ServeError::Nowhere);
    }
    let count = match settings.workers {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        count => count,
    };
    let load = |https: &Https| Certificates::load(&https.pair, &settings.expiry);
    let certificates = settings.https.as_ref().map(load).transpose()?.map(Arc::new);
    let tls = match &certificates {
        Some(certificates) => Some(certificates.tls()?),
        None => None,
    };
    let mut addresses = Addresses::default();
    let mut doors: Vec<Vec<Opened>> = (0..count).map(|_| Vec::new()).collect();
    let open = |name: &'static str, address: SocketAddr, workers: usize| {
        let opened = match settings.passed.take(name, address)? {
            Some(listener) => passed::shared(listener, workers).map(|(bound, listeners)| (bound, listeners, true)),
            None => listener::is_free(address)
                .and_then(|()| listener::bind(address, workers))
                .map(|(bound, listeners)| (bound, listeners, false)),
        };
        opened.map_err(|why| ServeError::Bind { address, why })
    };
    let mut hang = |door: Door, listeners: Vec<std::net::TcpListener>, kept: bool| {
        doors.iter_mut().zip(listeners).for_each(|(worker, listener)| worker.push(Opened { door, listener, kept }));
    };
    if let Some(https) = &settings.https {
        let (bound, listeners, kept) = open("https", https.address, count)?;
        addresses.https = Some(bound);
        hang(Door::Https, listeners, kept);
    }
    if let Some(address) = settings.plain {
        let (bound, listeners, kept) = open("plain", address, count)?;
        addresses.plain = Some(bound);
        hang(Door::Plain, listeners, kept);
    }
    let mut redirect = None;
    if let Some(wanted) = &settings.redirect {
        let (bound, mut listeners, _) = open("redirect", wanted.address, 1)?;
        addresses.redirect = Some(bound);
        let answers = Answers { to: Arc::from(wanted.to.as_str()), desk: wanted.desk.clone() };
        redirect = listeners.pop().map(|listener| (listener, answers));
    }
    settings.passed.is_used_up()?;
    let phase = Arc::new(Phase::default());
    let crowd = Crowd::new(&settings.limits, &settings.counts);
    let settings = Arc::new(settings);
    let hsts = (!settings.hsts.is_zero())
        .then(|| HeaderValue::from_str(&format!("max-age={}", settings.hsts.as_secs())).ok())
        .flatten();
    let mut workers = Vec::new();
    let mut watched = certificates.clone();
    for (number, doors) in doors.into_iter().enumerate() {
        let shift = Shift {
            doors,
            crowd: Arc::clone(&crowd),
            tunnels: tunnels.clone(),
            // The first worker has the little errands.
            redirect: redirect.take(),
            certificates: watched.take(),
        };
        let (settings, tls, hsts) = (Arc::clone(&settings), tls.clone(), hsts.clone());
        let shared_phase = Arc::clone(&phase);
        let make_handler = make_handler.clone();
        let pulse = settings.alive.expect(&format!("worker-{number}"));
        let thread = std::thread::Builder::new().name(format!("worker-{number}")).spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = match runtime {
                Ok(runtime) => runtime,
                Err(error) => {
                    tracing::error!(%error, "a worker has no runtime");
                    return false;
                }
            };
            let beating = &pulse;
            let ended = runtime.block_on(async move {
                let worker = Arc::new(Worker { handler: make_handler(), settings, hsts, phase: shared_phase, tls });
                tokio::select! {
                    ended = shift.work(worker) => ended,
                    () = beating.beat() => false,
                }
            });
            pulse.leave();
            // What still runs is cut, not waited for.
            runtime.shutdown_background();
            ended
        });
        match thread {
            Ok(thread) => workers.push(thread),
            Err(why) => {
                phase.drain();
                return Err(ServeError::Start(why));
            }
        }
    }
    settings.alive.doors_opened();
    Ok(Running { addresses, phase, alive: settings.alive.clone(), certificates, workers })
}

/// A listener of one worker.
struct Opened {
    door: Door,
    listener: std::net::TcpListener,
    /// Whether the service manager keeps it open when we close.
    kept: bool,
}

/// What one worker has to do.
struct Shift {
    doors: Vec<Opened>,
    crowd: Arc<Crowd>,
    tunnels: Tunnels,
    redirect: Option<(std::net::TcpListener, Answers)>,
    certificates: Option<Arc<Certificates>>,
}

impl Shift {
    async fn work<H: Handler>(self, worker: Arc<Worker<H>>) -> bool {
        let mut errands = tokio::task::JoinSet::new();
        if let Some((listener, answers)) = self.redirect {
            match TcpListener::from_std(listener) {
                Ok(listener) => {
                    let worker = Arc::clone(&worker);
                    errands.spawn(async move {
                        let (settings, phase) = (&worker.settings, Arc::clone(&worker.phase));
                        let limits = settings.limits.clone();
                        redirect::redirect(listener, answers, limits, &settings.trusted_proxies, phase).await;
                    });
                }
                Err(error) => tracing::error!(%error, "the redirect port cannot be used"),
            }
        }
        if let Some(certificates) = self.certificates {
            errands.spawn(watch(certificates, Arc::clone(&worker.phase)));
        }
        let mut doors = tokio::task::JoinSet::new();
        for Opened { door, listener, kept } in self.doors {
            match TcpListener::from_std(listener) {
                Ok(listener) => {
                    let (worker, crowd) = (Arc::clone(&worker), Arc::clone(&self.crowd));
                    doors.spawn(listener::keep_door(listener, door, kept, worker, crowd));
                }
                Err(error) => tracing::error!(%error, "a listener cannot be used"),
            }
        }
        worker.phase.begun().await;
        let end = tokio::time::Instant::now() + worker.settings.limits.drain;
        let mut ended = true;
        while let Some(door) = doors.join_next().await {
            ended &= door.unwrap_or(false);
        }
        if tokio::time::timeout_at(end, self.tunnels.ended()).await.is_err() {
            self.tunnels.cut();
            self.tunnels.ended().await;
            ended = false;
        }
        let _ = tokio::time::timeout_at(end, async { while errands.join_next().await.is_some() {} }).await;
        ended
    }
}

/// Looks at the certificate's files from time to time. Contents are compared, not dates: mounted secrets are exchanged by
/// symbolic links, which notifications miss.
async fn watch(certificates: Arc<Certificates>, phase: Arc<Phase>) {
    let Some(poll) = certificates.poll() else { return };
    let begun = phase.begun();
    tokio::pin!(begun);
    loop {
        tokio::select! {
            () = tokio::time::sleep(poll) => {}
            () = &mut begun => return,
        }
        let certificates = Arc::clone(&certificates);
        let _ = tokio::task::spawn_blocking(move || reload(&certificates, true)).await;
    }
}

fn reload(certificates: &Certificates, only_if_changed: bool) {
    match certificates.reload(only_if_changed) {
        Ok(Reloaded::New) => tracing::info!("a new certificate is in use"),
        Ok(Reloaded::Same) if !only_if_changed => tracing::info!("the certificate was read again: the same"),
        Ok(Reloaded::Same | Reloaded::Untouched) => {}
        Err(error) => tracing::error!(%error, "the new certificate cannot be used; the old one stays"),
    }
}

impl Running {
    /// Where the doors are.
    #[must_use]
    pub fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// Begins to close: no accepted request is cut before the drain's limit.
    pub fn drain(&self) {
        // First: whoever sends requests here should be looking for another gate already.
        self.alive.doors_closing();
        self.phase.drain();
    }

    /// Reads the certificate's files again, now. A pair that cannot be used changes nothing.
    pub fn reload_certificate(&self) {
        if let Some(certificates) = &self.certificates {
            reload(certificates, false);
        }
    }

    /// Waits until all workers have ended. Says whether all exchanges ended by themselves.
    ///
    /// # Errors
    /// [`ServeError::Panicked`].
    pub fn wait(self) -> Result<bool, ServeError> {
        let mut ended = true;
        for worker in self.workers {
            ended &= worker.join().map_err(|_| ServeError::Panicked)?;
        }
        Ok(ended)
    }
}

/// Opens the doors, and closes them at SIGTERM or SIGINT. SIGHUP reads the certificate's files again and waits
/// for `on_hangup`, which is dropped where the end comes first. The service manager, if there is one, is told all of it.
///
/// # Errors
/// See [`ServeError`].
pub async fn run<H: Handler>(
    settings: Settings,
    tunnels: &Tunnels,
    make_handler: impl Fn() -> H + Send + Sync + Clone + 'static,
    signals: &mut Signals,
    on_open: impl FnOnce(&Addresses),
    on_hangup: impl AsyncFn(),
) -> Result<(), ServeError> {
    let manager = systemd::Manager::default();
    let limits = settings.limits.clone();
    let running = start(settings, tunnels, make_handler)?;
    on_open(running.addresses());
    let status = running.addresses().to_string();
    manager.ready(&status);
    let mut watchdog = systemd::Watchdog::wished();
    'open: loop {
        tokio::select! {
            sent = signals.next() => match sent {
                Sent::End => break,
                Sent::Hangup => {}
            },
            silence = systemd::due(&mut watchdog) => {
                vouch(&manager, &running.alive, silence);
                continue;
            }
        }
        // Whatever is read again is read between these two: `systemctl reload` waits for the second.
        manager.reloading();
        running.reload_certificate();
        let mut reading = pin!(on_hangup());
        loop {
            tokio::select! {
                () = &mut reading => break,
                () = signals.end() => break 'open,
                silence = systemd::due(&mut watchdog) => vouch(&manager, &running.alive, silence),
            }
        }
        manager.ready(&status);
    }
    tracing::info!("closing: running exchanges are finished");
    manager.stopping(&limits);
    running.drain();
    let alive = running.alive.clone();
    let mut waiting = tokio::task::spawn_blocking(move || running.wait());
    loop {
        tokio::select! {
            ended = &mut waiting => return ended.map_err(|_| ServeError::Panicked)?.map(drop),
            silence = systemd::due(&mut watchdog) => vouch(&manager, &alive, silence),
        }
    }
}

/// Tells the manager that the gate is alive, if every worker is. Otherwise it ends the gate before long, and starts it anew.
fn vouch(manager: &systemd::Manager, alive: &Alive, silence: Duration) {
    match alive.silent_for(silence) {
        silent if silent.is_empty() => manager.alive(),
        silent => {
            tracing::error!(workers = %silent.join(", "), "silent; the watchdog is not told that the gate is alive");
        }
    }
}
