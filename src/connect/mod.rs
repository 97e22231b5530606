//! How do programs that know of no credential reach a gate?
//!
//! `trackgate connect` listens on loopback, in the habit of the Cloud SQL Auth Proxy: a program sets `MLFLOW_TRACKING_URI` to
//! it and nothing else. Each request gets a fresh credential, from one of several sources (`source`), renewed ahead of time
//! (`life`, `keeper`). Who may use the agent is for `guard` and `neighbour` to say; `pass` does the rest.
//!
//! This room is on a client's machine: it knows nothing of grants, and the server is somebody else's. It prints nothing
//! itself; what people should know goes to [`Say`].

mod guard;
mod keeper;
mod life;
mod load;
mod neighbour;
mod pass;
pub mod source;
mod wake;
mod words;

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_lc_rs::rand;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{Request, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use url::Url;

use self::guard::Guard;
use self::keeper::Keeper;
use self::neighbour::Neighbour;
use self::pass::Passer;
use self::source::{Source, SourceFault};
use self::wake::Wake;
use crate::clock::Clock;
use crate::fetch::is_secure;
use crate::mlflow::error::ErrorCode;
use crate::upstream::{self, Target, Upstream, UpstreamError};
use crate::way_out::WayOut;

/// Who tells people.
pub type Say = Arc<dyn Fn(&str) + Send + Sync>;

/// Programs that are connected at once.
const CROWD: usize = 1024;
/// Those of other users that are told at once why they are not served; more are closed without a word.
const STRANGERS: usize = 16;
/// Other users whose attempts are told of.
const NAMED: usize = 64;
/// How long somebody else's connection is kept to tell them why it is not.
const STRANGER: Duration = Duration::from_secs(5);
/// How long answers that are on their way may take when the agent ends.
const FAREWELL: Duration = Duration::from_secs(5);
/// What was asked for but could not be accepted is tried again after so long.
const BREATH: Duration = Duration::from_millis(100);

/// How the agent is set up.
pub struct Settings {
    /// The server.
    pub server: Url,
    /// Where to listen.
    pub listen: SocketAddr,
    /// Whether that may be an address which other machines reach.
    pub remote: bool,
    /// Whether programs of other local users are served.
    pub any_user: bool,
    /// Whether every path begins with a secret.
    pub secret_path: bool,
    /// Who signs the server's certificate; the system's roots if absent.
    pub ca_file: Option<PathBuf>,
    /// Ours.
    pub own: Option<Box<dyn Source>>,
    /// IAP's.
    pub iap: Option<Box<dyn Source>>,
    /// How long a request waits for a server that cannot be reached.
    pub patience: Duration,
    /// How long a source may take.
    pub source_patience: Duration,
    /// The time.
    pub clock: Clock,
    /// Who tells people.
    pub say: Say,
}

impl Settings {
    /// The defaults.
    #[must_use]
    pub fn new(server: Url, listen: SocketAddr, say: Say) -> Self {
        Self {
            server,
            listen,
            remote: false,
            any_user: false,
            secret_path: false,
            ca_file: None,
            own: None,
            iap: None,
            patience: Duration::from_secs(10),
            source_patience: keeper::PATIENCE,
            clock: Clock::System,
            say,
        }
    }
}

/// Why the agent cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum OpenFault {
    /// The credential would be readable on the way.
    #[error(
        "the server's address must be https (plain http is for loopback addresses alone), without user, query and fragment"
    )]
    Address,
    /// Other machines could use the agent.
    #[error(
        "{0} can be reached from other machines; if that is meant, add --allow-remote-listen (paths are secret then)"
    )]
    Remote(SocketAddr),
    /// The port.
    #[error(
        "cannot listen on {address}: {why}; is another agent or MLflow there? `--listen 127.0.0.1:0` finds a free port"
    )]
    Bind {
        /// Where.
        address: SocketAddr,
        /// Why not.
        #[source]
        why: io::Error,
    },
    /// The way to the server.
    #[error("{}", .0.to_string().replace("MLflow", "the server"))]
    Upstream(#[from] UpstreamError),
    /// Whose programs connect cannot be seen here.
    #[error(
        "this system does not tell whose programs connect (/proc/net/tcp), so that other users of this machine could use \
         your credential; add --secret-path, or --allow-any-user where there are none"
    )]
    NoNeighbours,
    /// No secret path.
    #[error("the system has no randomness")]
    NoRandomness,
}

/// An agent that listens.
pub struct Agent {
    listener: TcpListener,
    address: SocketAddr,
    passer: Arc<Passer>,
    door: Arc<Door>,
}

/// Whom the agent lets in.
struct Door {
    /// Whose programs; `None`: anybody's.
    user: Option<u32>,
    strangers: Arc<Semaphore>,
    /// Of whom it was said already that they were turned away.
    named: Mutex<BTreeSet<u32>>,
    say: Say,
}

impl Agent {
    /// Begins to listen. No credential is asked for yet.
    ///
    /// # Errors
    /// [`OpenFault`].
    pub async fn open(settings: Settings) -> Result<Self, OpenFault> {
        let Settings { server, listen, say, clock, .. } = settings;
        let extras = !server.username().is_empty() || server.password().is_some() || server.query().is_some();
        if !is_secure(&server) || extras || server.fragment().is_some() {
            return Err(OpenFault::Address);
        }
        let near = listen.ip().to_canonical().is_loopback();
        if !near && !settings.remote {
            return Err(OpenFault::Remote(listen));
        }
        let upstream = Upstream::new(&upstream::Settings {
            target: target(&server).ok_or(OpenFault::Address)?,
            ca_file: settings.ca_file,
            way_out: WayOut::Environment,
            first_byte_timeout: pass::FIRST_BYTE,
            ..upstream::Settings::default()
        })?;
        let secret = if settings.secret_path || !near { Some(secret()?) } else { None };
        // Programs of other machines are nobody's here.
        let user = match neighbour::own_user() {
            _ if settings.any_user || !near => None,
            Ok(user) if neighbour::is_told(listen.ip(), user) => Some(user),
            _ if secret.is_some() => None,
            _ => return Err(OpenFault::NoNeighbours),
        };
        let bind = |why| OpenFault::Bind { address: listen, why };
        let listener = TcpListener::bind(listen).await.map_err(bind)?;
        let address = listener.local_addr().map_err(bind)?;
        let keeper = |source| Keeper::new(source, clock.clone(), settings.source_patience, Arc::clone(&say));
        let passer = Passer {
            guard: Guard {
                hosts: if near { own_names(address) } else { Vec::new() },
                secret,
                server: server.as_str().trim_end_matches('/').to_owned(),
            },
            upstream: Mutex::new(upstream),
            wake: Wake::new(clock.millis()),
            base: server.path().trim_end_matches('/').to_owned(),
            own: settings.own.map(keeper),
            iap: settings.iap.map(keeper),
            patience: settings.patience,
            away_since: AtomicU64::new(0),
            clock: clock.clone(),
            say: Arc::clone(&say),
        };
        Ok(Self { listener, address, passer: Arc::new(passer), door: Arc::new(Door::new(user, say)) })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What `MLFLOW_TRACKING_URI` is set to. With a secret path it is a secret.
    #[must_use]
    pub fn uri(&self) -> String {
        match &self.passer.guard.secret {
            Some(secret) => format!("http://{}/{secret}", self.address),
            None => format!("http://{}", self.address),
        }
    }

    /// Asks each source once.
    ///
    /// # Errors
    /// [`SourceFault`] of the first that gives nothing.
    pub async fn try_credentials(&self) -> Result<(), SourceFault> {
        for keeper in self.keepers() {
            keeper.get().await?;
        }
        Ok(())
    }

    /// What credentials there are, for people.
    #[must_use]
    pub fn describe(&self) -> Vec<String> {
        self.keepers().map(|keeper| keeper.describe()).collect()
    }

    fn keepers(&self) -> impl Iterator<Item = &Arc<Keeper>> {
        [&self.passer.own, &self.passer.iap].into_iter().flatten()
    }

    /// Serves until `stop`, then brings what is on its way to an end.
    pub async fn run(self, stop: impl Future<Output = ()>) {
        let keeping: Vec<_> = self
            .keepers()
            .map(|keeper| {
                let keeper = Arc::clone(keeper);
                tokio::spawn(async move { keeper.keep_fresh().await })
            })
            .collect();
        let graceful = GracefulShutdown::new();
        let crowd = Arc::new(Semaphore::new(CROWD));
        tokio::select! {
            () = stop => {}
            () = self.accept(&crowd, &graceful) => {}
        }
        drop(self.listener);
        let _ = tokio::time::timeout(FAREWELL, graceful.shutdown()).await;
        for task in keeping {
            task.abort();
        }
    }

    async fn accept(&self, crowd: &Arc<Semaphore>, graceful: &GracefulShutdown) {
        loop {
            let Ok(seat) = Arc::clone(crowd).acquire_owned().await else { return };
            match self.listener.accept().await {
                Ok((tcp, peer)) => {
                    let _ = tcp.set_nodelay(true);
                    let (passer, door) = (Arc::clone(&self.passer), Arc::clone(&self.door));
                    let watcher = graceful.watcher();
                    tokio::spawn(async move {
                        if door.admits(&tcp, peer).await {
                            serve(tcp, passer, seat, watcher).await;
                        } else {
                            // A stranger takes nobody's seat.
                            drop(seat);
                            if let Ok(_place) = Arc::clone(&door.strangers).try_acquire_owned() {
                                let _ = tokio::time::timeout(STRANGER, turn_away(tcp)).await;
                            }
                        }
                    });
                }
                // Too many open files, or a client that left: the agent goes on.
                Err(error) => {
                    tracing::debug!(%error, "a connection was not accepted");
                    tokio::time::sleep(BREATH).await;
                }
            }
        }
    }
}

impl Door {
    fn new(user: Option<u32>, say: Say) -> Self {
        Self { user, strangers: Arc::new(Semaphore::new(STRANGERS)), named: Mutex::default(), say }
    }

    /// Said once of each user: who tries again and again must not fill somebody's log.
    fn tell_of(&self, other: u32) {
        let new = {
            let mut named = self.named.lock().unwrap_or_else(PoisonError::into_inner);
            named.len() < NAMED && named.insert(other)
        };
        if new {
            (self.say)(&format!(
                "a program of user {other} was turned away (--allow-any-user serves all local users); this is said once"
            ));
        }
    }

    async fn admits(&self, tcp: &TcpStream, peer: SocketAddr) -> bool {
        let (Some(user), Ok(own)) = (self.user, tcp.local_addr()) else { return self.user.is_none() };
        let found = tokio::task::spawn_blocking(move || neighbour::of(peer, own, user)).await;
        match found.unwrap_or(Neighbour::Unknown) {
            Neighbour::Ours => true,
            Neighbour::Stranger(other) => {
                self.tell_of(other);
                false
            }
            Neighbour::Unknown => false,
        }
    }
}

async fn serve(
    tcp: TcpStream,
    passer: Arc<Passer>,
    seat: OwnedSemaphorePermit,
    watcher: hyper_util::server::graceful::Watcher,
) {
    let service = service_fn(move |request: Request<Incoming>| {
        let passer = Arc::clone(&passer);
        async move { Ok::<_, Infallible>(passer.pass(request).await) }
    });
    let connection = http1::Builder::new().serve_connection(TokioIo::new(tcp), service);
    if let Err(error) = watcher.watch(connection).await {
        tracing::debug!(%error, "a connection ended early");
    }
    drop(seat);
}

async fn turn_away(tcp: TcpStream) {
    let service = service_fn(|_: Request<Incoming>| async {
        let why = "the agent serves programs of the user who started it alone";
        Ok::<_, Infallible>(words::refusal(StatusCode::FORBIDDEN, ErrorCode::PermissionDenied, why))
    });
    let _ = http1::Builder::new().keep_alive(false).serve_connection(TokioIo::new(tcp), service).await;
}

fn target(server: &Url) -> Option<Target> {
    let (host, port) = (server.host_str()?.to_owned(), server.port_or_known_default()?);
    Some(if server.scheme() == "https" { Target::Https { host, port } } else { Target::Http { host, port } })
}

/// Every name by which a program may call the agent.
fn own_names(address: SocketAddr) -> Vec<String> {
    let port = address.port();
    let mut names = vec![format!("127.0.0.1:{port}"), format!("localhost:{port}"), format!("[::1]:{port}")];
    let own = address.to_string();
    if !names.contains(&own) {
        names.push(own);
    }
    if port == 80 {
        names.extend(["127.0.0.1", "localhost", "[::1]"].map(ToOwned::to_owned));
    }
    names
}

/// 256 random bits.
fn secret() -> Result<String, OpenFault> {
    let mut bytes = [0; 32];
    rand::fill(&mut bytes).map_err(|_| OpenFault::NoRandomness)?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}
