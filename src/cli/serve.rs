//! How is the house put together, opened, and closed again?

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;

use super::alone::Mark;
use super::certificates::{self, Keeping};
use super::readings;
use super::reload::{Reload, Told};
use crate::acme;
use crate::audit;
use crate::authenticate::{Authenticator, SetupFault, keyring};
use crate::clock::Clock;
use crate::collector::{self, Collector, Counts};
use crate::config::{Asked, Config};
use crate::forward::{self, Tunnels};
use crate::gate::limits::Limits;
use crate::gate::{Bodies, House, Live, News, Room};
use crate::message::Door;
use crate::metrics::Metrics;
use crate::monitor::{self, Alive, Monitor, MonitorFault, Readiness};
use crate::resolve::Resolver;
use crate::seal::Seal;
use crate::serve::{self, Addresses, Running, ServeError, Signals};
use crate::spans::Spans;
use crate::store::{Engine, Store, StoreFault};
use crate::upstream::{Upstream, UpstreamError};

/// How long the audit log may take to write what is left.
const LAST_RECORDS: Duration = Duration::from_secs(10);

/// Why the house cannot be opened, or did not close in order.
#[derive(Debug, thiserror::Error)]
pub enum OpenFault {
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreFault),
    /// The keys that seal cookies and page tokens.
    #[error(transparent)]
    Keyring(#[from] keyring::KeyringFault),
    /// An issuer.
    #[error(transparent)]
    Authenticator(#[from] SetupFault),
    /// The audit log.
    #[error(transparent)]
    Audit(#[from] audit::OpenError),
    /// The way to MLflow.
    #[error(transparent)]
    Upstream(#[from] UpstreamError),
    /// The way to whoever keeps traces.
    #[error(transparent)]
    Collector(#[from] collector::SetupFault),
    /// Certificates of an authority.
    #[error(transparent)]
    Acme(#[from] acme::OpenFault),
    /// The doors.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// The monitor's door.
    #[error(transparent)]
    Monitor(#[from] MonitorFault),
}

/// Everything but the doors.
pub struct Assembled {
    house: Arc<House>,
    /// The house that stands now: the same, or one that was built later from a changed file.
    live: Arc<ArcSwap<House>>,
    seal: Arc<Seal>,
    clock: Clock,
    keys: Vec<Asked>,
    upstream: Upstream,
    serve: serve::Settings,
    monitor: monitor::Settings,
    ready: Readiness,
    tunnels: Tunnels,
    writer: audit::Writer,
    fetching: Option<tokio::task::JoinHandle<()>>,
    sealing: tokio::task::JoinHandle<()>,
    certificates: Option<Arc<acme::Keeper>>,
    collector: Option<Collector>,
    /// How it went when the configuration was read again.
    told: Told,
}

/// Puts the rooms together. The tasks behind them run on the current runtime, which must outlive the house.
///
/// # Errors
/// [`OpenFault`] for the first room that cannot be set up. Issuers and MLflow may be away.
pub async fn assemble(mut config: Config, clock: Clock) -> Result<Assembled, OpenFault> {
    let store = Store::open(&config.store, clock.clone()).await?;
    let mark = mark(&config);
    let keys = keyring::Place::of(config.seal_keys_file.take(), &config.store.engine, &config.store.state_dir);
    let seal = Arc::new(keys.open(&store, &clock).await?);
    let shared = matches!(config.store.engine, Engine::Postgres(_));
    let certificates = certificates::keeper(config.acme.take(), &config.serve, shared, &clock)?;
    let (audit, writer) = audit::Log::open(&config.audit, clock.clone())?;
    let upstream = Upstream::new(&config.upstream)?;
    let (ring, kept, time) = (Arc::clone(&seal), store.clone(), clock.clone());
    let sealing = tokio::spawn(async move { keys.keep(&ring, &kept, &time).await });

    let counts = Counts::default();
    let (collector, spans) = traces(&config, &counts, &clock)?;

    tell_hosts(&config);
    let (serve, monitor, keys) = (config.serve.clone(), config.monitor.clone(), std::mem::take(&mut config.keys));
    let ground = Ground {
        store,
        audit,
        tunnels: Tunnels::default(),
        answer: crate::answer::Shared::new(config.answer, Arc::clone(&seal), clock.clone()),
        limits: Arc::new(Limits::new(&config.rates)),
        news: Arc::new(News::default()),
        metrics: Metrics::new(),
        spans,
    };
    let house = Arc::new(build(config, ground, &seal, &clock)?);
    let fetching = Some(fetch(&house.authenticator));
    let tunnels = house.forward.tunnels.clone();
    let live = Arc::new(ArcSwap::new(Arc::clone(&house)));
    let ready = readiness(&live, &upstream, serve.alive.clone(), monitor.reachable_for);
    tells(&ready, &live, &serve, mark);
    let told = Told::default();
    readings::tell(&live, &upstream, &serve, &ready, &counts, &told);
    Ok(Assembled {
        house,
        live,
        seal,
        clock,
        keys,
        upstream,
        serve,
        monitor,
        ready,
        tunnels,
        writer,
        fetching,
        sealing,
        certificates,
        collector,
        told,
    })
}

/// Our mark in `state_dir`, where state is kept there.
fn mark(config: &Config) -> Option<Mark> {
    let Engine::Sqlite = config.store.engine else { return None };
    let left = Mark::leave(&config.store.state_dir);
    left.inspect_err(|error| tracing::warn!(%error, "whether another gate uses this state_dir cannot be known")).ok()
}

/// By which names clients come to a certificate. What stands in front of a listener shows them another one, and asks little of
/// this one.
fn tell_hosts(config: &Config) {
    let iap = config.authenticate.iap.as_ref().is_some_and(|iap| iap.listener == Door::Https);
    if !iap && config.serve.trusted_proxies.is_empty() {
        config.serve.expiry.wanted_for(config.clean.hosts.names().map(str::to_owned).collect());
    }
}

/// Who sends traces, and who makes them, where they are wished for.
fn traces(
    config: &Config,
    counts: &Counts,
    clock: &Clock,
) -> Result<(Option<Collector>, Spans), collector::SetupFault> {
    let Some(trace) = &config.trace else { return Ok((None, Spans::default())) };
    let collector = Collector::begin(&trace.collector, counts, clock)?;
    let spans = Spans::by(collector.tracer(), trace.sample, config.public_url.host_str().unwrap_or_default());
    Ok((Some(collector), spans))
}

/// What stays when the house is built anew.
pub(super) struct Ground {
    pub(super) store: Store,
    pub(super) audit: audit::Log,
    pub(super) tunnels: Tunnels,
    pub(super) answer: crate::answer::Shared,
    pub(super) limits: Arc<Limits>,
    pub(super) news: Arc<News>,
    pub(super) metrics: Metrics,
    pub(super) spans: Spans,
}

/// The rooms as the settings want them, on what stays.
pub(super) fn build(config: Config, ground: Ground, seal: &Arc<Seal>, clock: &Clock) -> Result<House, SetupFault> {
    let mut forward = forward::Settings::new(config.public_host());
    forward.first_byte = config.upstream.first_byte_timeout;
    forward.tunnel_idle = config.upstream.idle_timeout;
    forward.tunnels = ground.tunnels;
    let mut artifacts = forward.clone();
    artifacts.first_byte = config.upstream.artifact_first_byte_timeout;
    artifacts.most_body = config.bodies.artifact;
    let authenticator = Authenticator::new(config.authenticate, ground.store.clone(), Arc::clone(seal), clock.clone())?;
    Ok(House {
        authenticator: Arc::new(authenticator),
        store: ground.store,
        resolver: Resolver::new(config.resolve),
        audit: ground.audit,
        clean: config.clean,
        forward,
        artifacts,
        answer: ground.answer,
        bodies: Bodies { json: config.bodies.json, large_json: config.bodies.large_json },
        room: Room::new(config.bodies.at_once),
        limits: ground.limits,
        news: ground.news,
        metrics: ground.metrics,
        spans: ground.spans,
    })
}

/// Fetches issuers' keys and keeps them fresh, until it is aborted.
pub(super) fn fetch(authenticator: &Arc<Authenticator>) -> tokio::task::JoinHandle<()> {
    let keeper = Arc::clone(authenticator);
    tokio::spawn(async move { keeper.keep_fresh().await })
}

impl Assembled {
    /// The rooms.
    #[must_use]
    pub fn house(&self) -> &Arc<House> {
        &self.house
    }

    /// What makes one worker's gate.
    fn gates(&self) -> impl Fn() -> Live + Send + Sync + Clone + 'static {
        let (house, upstream) = (Arc::clone(&self.live), self.upstream.clone());
        move || Live::new(Arc::clone(&house), upstream.for_worker())
    }

    /// What must be there for requests to be answered; more may be added.
    #[must_use]
    pub fn readiness(&self) -> &Readiness {
        &self.ready
    }

    /// Opens the monitor, where one is wished for. Before the doors: it tells that they are not open yet.
    fn watch(&self) -> Result<Option<Watched>, OpenFault> {
        let Some(address) = self.monitor.address else { return Ok(None) };
        let told = monitor::Told {
            alive: self.serve.alive.clone(),
            dead_after: self.monitor.dead_after,
            ready: self.ready.clone(),
            metrics: self.house.metrics.clone(),
        };
        let passed = self.serve.passed.take("monitor", address).map_err(ServeError::from)?;
        let monitor = match passed {
            Some(listener) => Monitor::on(listener, told)?,
            None => Monitor::open(address, told)?,
        };
        tracing::info!(address = %monitor.address(), "the monitor is open");
        let (upstream, prefix) = (self.upstream.for_worker(), self.house.clean.static_prefix.clone());
        let every = self.monitor.probe_every;
        let probing = tokio::spawn(async move { upstream.keep_in_touch(&prefix, every).await });
        Ok(Some(Watched { monitor, probing }))
    }

    /// Opens the doors until SIGTERM or SIGINT, then finishes what runs and closes everything. SIGHUP reads the
    /// certificate and the file `config` again and opens the audit log anew.
    ///
    /// # Errors
    /// [`OpenFault::Serve`] when a door cannot be opened, or a worker ended by a panic.
    pub async fn run(
        mut self,
        config: &Path,
        signals: &mut Signals,
        on_open: impl FnOnce(&Addresses),
    ) -> Result<(), OpenFault> {
        let watched = self.watch()?;
        let audit = self.house.audit.clone();
        let (house, upstream) = (Arc::clone(&self.house), self.upstream.for_worker());
        let prefix = self.house.clean.static_prefix.clone();
        let watching = tokio::spawn(async move { house.answer.watch_version(&upstream, &prefix).await });
        let reload = Arc::new(self.reload());
        let keeping = Keeping::of(self.certificates.as_ref());
        let on_open = |addresses: &Addresses| {
            keeping.begin();
            on_open(addresses);
        };
        let on_hangup = async || {
            audit.reopen();
            if let Some(keeper) = &self.certificates {
                keeper.hasten();
            }
            reload.read(config).await;
        };
        let served = serve::run(self.serve.clone(), &self.tunnels, self.gates(), signals, on_open, on_hangup).await;
        keeping.end().await;
        watching.abort();
        let _ = watching.await;
        reload.end();
        // Whoever holds the audit log keeps its writer waiting for more.
        drop((watched, reload, audit));
        self.close().await;
        Ok(served?)
    }

    /// Opens the doors and comes back; for programs that close them by themselves.
    ///
    /// # Errors
    /// [`OpenFault::Serve`] when a door cannot be opened.
    pub fn open(self) -> Result<Open, OpenFault> {
        let watched = self.watch()?;
        let running = serve::start(self.serve.clone(), &self.tunnels, self.gates())?;
        let keeping = Keeping::of(self.certificates.as_ref());
        keeping.begin();
        Ok(Open { running, watched, keeping, assembled: self })
    }

    /// What builds the house anew from a changed file, and tells how that went.
    fn reload(&mut self) -> Reload {
        let keys = std::mem::take(&mut self.keys);
        let (live, seal) = (Arc::clone(&self.live), Arc::clone(&self.seal));
        let reload = Reload::new(live, seal, self.clock.clone(), keys, self.fetching.take(), self.told.clone());
        let told = self.told.clone();
        self.ready.tells("configuration", move || told.fact());
        reload
    }

    async fn close(self) {
        let Self { house, live, upstream, ready, writer, fetching, sealing, collector, .. } = self;
        // Beside the rest: whoever keeps traces may be slow.
        let last_spans = collector.map(|collector| tokio::task::spawn_blocking(|| collector.end()));
        for task in fetching.into_iter().chain([sealing]) {
            task.abort();
            let _ = task.await;
        }
        house.store.close().await;
        ready.close();
        drop((house, live, upstream));
        let _ = tokio::task::spawn_blocking(move || writer.finish(LAST_RECORDS)).await;
        if let Some(last_spans) = last_spans {
            let _ = last_spans.await;
        }
    }
}

/// An open monitor, and the task that asks MLflow for it.
struct Watched {
    monitor: Monitor,
    probing: tokio::task::JoinHandle<()>,
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.probing.abort();
    }
}

/// What must be there for requests to be answered.
fn readiness(live: &Arc<ArcSwap<House>>, upstream: &Upstream, alive: Alive, reachable_for: Duration) -> Readiness {
    let ready = Readiness::default();
    let house = live.load();
    ready.needs("doors", move || alive.doors());
    let store = house.store.clone();
    ready.needs("store", move || {
        let stale = || format!("memory was last known to be current {} s ago", store.age().as_secs());
        store.current().then_some(()).ok_or_else(stale)
    });
    let upstream = upstream.clone();
    ready.needs("upstream", move || match upstream.silent_for() {
        None => Err("MLflow has not answered yet".to_owned()),
        Some(silent) if silent > reachable_for => Err(format!("MLflow last answered {} s ago", silent.as_secs())),
        Some(_) => Ok(()),
    });
    // The house has the audit log, whose writer ends only when nobody could write any more.
    let standing = Arc::downgrade(live);
    ready.needs("keys", move || {
        let Some(live) = standing.upgrade() else { return Ok(()) };
        let house = live.load();
        // One of several issuers that is away must not take the gate from all others' people.
        if house.authenticator.has_keys() { Ok(()) } else { Err(keyless(&house)) }
    });
    let standing = Arc::downgrade(live);
    ready.tells("issuers", move || {
        let Some(live) = standing.upgrade() else { return Ok(()) };
        let house = live.load();
        if house.authenticator.without_keys().is_empty() { Ok(()) } else { Err(keyless(&house)) }
    });
    // Not the log itself: its writer ends only when nobody could write any more.
    let audit = house.audit.health();
    ready.needs("audit", move || audit.takes_records().map_err(|fault| fault.to_string()));
    ready
}

/// What is told besides, and keeps no request from its answer.
fn tells(ready: &Readiness, live: &Arc<ArcSwap<House>>, doors: &serve::Settings, mark: Option<Mark>) {
    let audit = live.load().audit.health();
    ready.tells("audit_file", move || {
        audit.is_reopened().map_err(|why| format!("it cannot be opened anew, the old one stays in use: {why}"))
    });
    if doors.https.as_ref().is_some_and(|https| https.pair.files().is_some()) {
        let shown = doors.expiry.clone();
        ready.tells("certificate", move || {
            shown.fault().map_or(Ok(()), |fault| Err(format!("the new one cannot be used, the old one stays: {fault}")))
        });
    }
    if let Some(mark) = mark {
        ready.tells("state_dir", move || mark.fact());
    }
}

fn keyless(house: &House) -> String {
    format!("there are no keys of {}", house.authenticator.without_keys().join(", "))
}

/// A house with open doors.
pub struct Open {
    running: Running,
    watched: Option<Watched>,
    keeping: Keeping,
    assembled: Assembled,
}

impl Open {
    /// Where the doors are.
    #[must_use]
    pub fn addresses(&self) -> &Addresses {
        self.running.addresses()
    }

    /// Where the monitor is, if there is one.
    #[must_use]
    pub fn monitor(&self) -> Option<SocketAddr> {
        self.watched.as_ref().map(|watched| watched.monitor.address())
    }

    /// The rooms.
    #[must_use]
    pub fn house(&self) -> &Arc<House> {
        &self.assembled.house
    }

    /// Begins to close, without waiting for the end.
    pub fn drain(&self) {
        self.running.drain();
    }

    /// Who looks after the certificate of an authority, where there is one.
    #[must_use]
    pub fn certificates(&self) -> Option<&Arc<acme::Keeper>> {
        self.assembled.certificates.as_ref()
    }

    /// Finishes what runs, within the drain's limit, and closes everything.
    ///
    /// # Errors
    /// [`OpenFault::Serve`] when a worker ended by a panic.
    pub async fn close(self) -> Result<(), OpenFault> {
        let Self { running, watched, keeping, assembled } = self;
        running.drain();
        keeping.end().await;
        let ended = tokio::task::spawn_blocking(move || running.wait()).await;
        drop(watched);
        assembled.close().await;
        match ended {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(fault)) => Err(fault.into()),
            Err(_) => Err(ServeError::Panicked.into()),
        }
    }
}
