//! Who is let in, and how many?

use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::Handler;
use super::connection::{self, Worker};
use super::counts::Counts;
use super::front::Caller;
use super::settings::Limits;
use crate::message::Door;
use crate::seldom::Seldom;

/// How many connections may wait for a worker in the kernel.
const BACKLOG: i32 = 4096;
/// So many more than allowed are let in to be told so; the rest finds the door closed.
const TOLD: usize = 64;
/// How long the accept loop rests after a fault, at first and at most.
const REST: Duration = Duration::from_millis(5);
const LONGEST_REST: Duration = Duration::from_secs(1);

/// Binds `address` once for each worker, so that the kernel spreads connections over them.
pub(super) fn bind(address: SocketAddr, workers: usize) -> io::Result<(SocketAddr, Vec<std::net::TcpListener>)> {
    let first = bind_one(address)?;
    // With port 0 the first one finds the port.
    let bound = first.local_addr()?;
    let mut listeners = vec![first];
    for _ in 1..workers {
        listeners.push(bind_one(bound)?);
    }
    Ok((bound, listeners))
}

fn bind_one(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        // `[::]` takes IPv4, too, whatever the system's default.
        socket.set_only_v6(false)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Whether `address` is free: without this, `SO_REUSEPORT` would let two gates of one user share a port unnoticed.
pub(super) fn is_free(address: SocketAddr) -> io::Result<()> {
    if address.port() == 0 {
        return Ok(());
    }
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())
}

/// Of all workers and doors: they run out of the same things.
static FAULTS: Seldom = Seldom::new(Duration::from_secs(10));

/// How many connections there are, over all workers.
pub(super) struct Crowd {
    most: usize,
    most_each: usize,
    counts: Counts,
    all: AtomicUsize,
    // Locked when a connection begins and when it ends, never in between.
    each: Mutex<HashMap<IpAddr, usize>>,
}

impl Crowd {
    pub(super) fn new(limits: &Limits, counts: &Counts) -> Arc<Self> {
        Arc::new(Self {
            counts: counts.clone(),
            most: limits.connections,
            most_each: limits.connections_per_address,
            all: AtomicUsize::new(0),
            each: Mutex::default(),
        })
    }

    /// Counts one more. `None`: there is not even room to say that there is none.
    pub(super) fn enter(self: &Arc<Self>, caller: &Caller) -> Option<Ticket> {
        let all = self.all.fetch_add(1, Ordering::SeqCst) + 1;
        self.counts.one_came();
        let mut ticket = Ticket { crowd: Arc::clone(self), address: None, crowded: all > self.most };
        if all > self.most.saturating_add(TOLD) {
            ticket.crowded = true;
            return None;
        }
        // A front's connections are those of many clients.
        if !caller.is_front() {
            let address = neighbourhood(caller.address());
            let mut each = self.each.lock().unwrap_or_else(PoisonError::into_inner);
            let count = each.entry(address).or_default();
            *count += 1;
            let count = *count;
            drop(each);
            ticket.address = Some(address);
            ticket.crowded |= count > self.most_each;
            if count > self.most_each.saturating_add(TOLD) {
                return None;
            }
        }
        Some(ticket)
    }
}

/// What counts as one address: of IPv6 the network of 64 bits, since a client has all of it.
fn neighbourhood(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
    }
}

/// A connection's place in the crowd, until it is dropped.
pub(super) struct Ticket {
    crowd: Arc<Crowd>,
    address: Option<IpAddr>,
    crowded: bool,
}

impl Ticket {
    /// Whether it is only let in to be told that there is no room.
    pub(super) fn is_crowded(&self) -> bool {
        self.crowded
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.crowd.all.fetch_sub(1, Ordering::SeqCst);
        self.crowd.counts.one_left();
        if self.crowded {
            self.crowd.counts.one_is_too_many();
        }
        if let Some(address) = self.address {
            let mut each = self.crowd.each.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(count) = each.get_mut(&address) {
                *count -= 1;
                if *count == 0 {
                    each.remove(&address);
                }
            }
        }
    }
}

/// Where connections come from: a listener, or a test's list of faults.
pub(super) trait Accept {
    fn accept(&mut self) -> impl Future<Output = io::Result<(TcpStream, SocketAddr)>> + Send;
}

impl Accept for TcpListener {
    fn accept(&mut self) -> impl Future<Output = io::Result<(TcpStream, SocketAddr)>> + Send {
        TcpListener::accept(self)
    }
}

/// The next connection, however many faults come before it: out of file descriptors (EMFILE, ENFILE), out of memory,
/// a client that left while it waited.
pub(super) async fn next(listener: &mut impl Accept) -> (TcpStream, SocketAddr) {
    let mut rest = REST;
    loop {
        match listener.accept().await {
            Ok(accepted) => return accepted,
            Err(error) if is_clients(&error) => {}
            Err(error) => {
                if let Some(others) = FAULTS.happened() {
                    tracing::error!(%error, others, "no connection can be accepted; trying again");
                }
                tokio::time::sleep(rest).await;
                rest = (rest * 2).min(LONGEST_REST);
            }
        }
    }
}

fn is_clients(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

/// Accepts at one door until the drain, then for a little while longer, and waits until all connections have ended or
/// the drain's limit has come. Says whether they ended by themselves. The service manager keeps a `kept` listener open, and
/// whoever waits in its queue is for the next gate.
pub(super) async fn keep_door<H: Handler>(
    mut listener: TcpListener,
    door: Door,
    kept: bool,
    worker: Arc<Worker<H>>,
    crowd: Arc<Crowd>,
) -> bool {
    let mut connections = JoinSet::new();
    let begun = worker.phase.begun();
    tokio::pin!(begun);
    loop {
        tokio::select! {
            (tcp, address) = next(&mut listener) => admit(tcp, address, door, &worker, &crowd, &mut connections),
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            () = &mut begun => break,
        }
    }
    let limits = &worker.settings.limits;
    let end = tokio::time::Instant::now() + limits.drain;
    let mut late = JoinSet::new();
    if kept {
        // The next gate opens when the last of these connections has ended. Until then somebody must answer; but those that
        // come now do not put the end off.
        let accept_until = end.checked_sub(limits.drain_accept).unwrap_or(end);
        while !connections.is_empty() {
            tokio::select! {
                (tcp, address) = next(&mut listener) => admit(tcp, address, door, &worker, &crowd, &mut late),
                _ = connections.join_next() => {}
                Some(_) = late.join_next(), if !late.is_empty() => {}
                () = tokio::time::sleep_until(accept_until) => break,
            }
        }
    } else {
        // A load balancer needs a moment to notice; until then its connections are served, one request each
        // (hyperium/hyper#3961).
        let accept_until = tokio::time::Instant::now() + limits.drain_accept.min(limits.drain);
        loop {
            tokio::select! {
                (tcp, address) = next(&mut listener) => admit(tcp, address, door, &worker, &crowd, &mut connections),
                Some(_) = connections.join_next(), if !connections.is_empty() => {}
                () = tokio::time::sleep_until(accept_until) => break,
            }
        }
        // Who is in the kernel's queue was let in by the kernel: closing the listener would reset them.
        while let Some(Ok((tcp, address))) = futures_util::FutureExt::now_or_never(Accept::accept(&mut listener)) {
            admit(tcp, address, door, &worker, &crowd, &mut connections);
        }
    }
    drop(listener);
    let ended = tokio::time::timeout_at(end, async {
        while connections.join_next().await.is_some() {}
        while late.join_next().await.is_some() {}
    })
    .await
    .is_ok();
    if !ended {
        let left = connections.len() + late.len();
        tracing::warn!(left, "the drain's limit has come; the last connections are cut");
    }
    connections.shutdown().await;
    late.shutdown().await;
    ended
}

fn admit<H: Handler>(
    tcp: TcpStream,
    address: SocketAddr,
    door: Door,
    worker: &Arc<Worker<H>>,
    crowd: &Arc<Crowd>,
    connections: &mut JoinSet<()>,
) {
    let caller = Caller::new(address, &worker.settings.trusted_proxies, door);
    let Some(ticket) = crowd.enter(&caller) else {
        tracing::debug!(client = %address, "a connection was dropped: there are far too many");
        return;
    };
    if let Err(error) = tune(&tcp) {
        tracing::debug!(%error, client = %address, "a connection ended before it began");
        return;
    }
    connections.spawn(connection::serve(Arc::clone(worker), tcp, caller, door, ticket));
}

fn tune(tcp: &TcpStream) -> io::Result<()> {
    tcp.set_nodelay(true)?;
    // A client that vanished during a long answer is found out.
    SockRef::from(tcp).set_tcp_keepalive(&TcpKeepalive::new().with_time(Duration::from_mins(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(address: &str) -> Caller {
        Caller::new(address.parse().unwrap(), &["10.0.0.0/8".parse().unwrap()], Door::Plain)
    }

    #[test]
    fn the_crowd_is_bounded_in_all_and_for_each_address() {
        let crowd =
            Crowd::new(&Limits { connections: 5, connections_per_address: 2, ..Limits::default() }, &Counts::default());
        let enter = |address: &str| crowd.enter(&caller(address)).unwrap();
        let mut inside = vec![enter("192.0.2.1:1"), enter("192.0.2.1:2")];
        assert!(inside.iter().all(|ticket| !ticket.is_crowded()));
        assert!(enter("192.0.2.1:3").is_crowded());
        inside.push(enter("[2001:db8::1]:1"));
        inside.push(enter("[2001:db8::2]:1"));
        assert!(enter("[2001:db8::3]:1").is_crowded(), "one network of 64 bits is one address");
        assert!(!enter("[2001:db8:0:1::3]:1").is_crowded());
        inside.push(enter("192.0.2.2:1"));
        assert!(enter("192.0.2.3:1").is_crowded(), "the house is full");
        inside.clear();
        assert!(!enter("192.0.2.1:1").is_crowded());
        assert!(crowd.each.lock().unwrap().is_empty(), "nothing is kept of those who left");
    }

    #[test]
    fn a_front_has_as_many_connections_as_the_house() {
        let crowd = Crowd::new(
            &Limits { connections: 50, connections_per_address: 2, ..Limits::default() },
            &Counts::default(),
        );
        let inside: Vec<_> = (0..50).map(|_| crowd.enter(&caller("10.0.0.1:1")).unwrap()).collect();
        assert!(inside.iter().all(|ticket| !ticket.is_crowded()));
    }

    #[test]
    fn far_too_many_are_not_even_told() {
        let crowd = Crowd::new(&Limits { connections_per_address: 1, ..Limits::default() }, &Counts::default());
        let inside: Vec<_> = (0..=TOLD).map(|_| crowd.enter(&caller("192.0.2.1:1")).unwrap()).collect();
        assert!(crowd.enter(&caller("192.0.2.1:1")).is_none());
        assert!(crowd.enter(&caller("192.0.2.2:1")).is_some());
        drop(inside);
        assert_eq!(crowd.all.load(Ordering::SeqCst), 0);
    }

    struct Faulty {
        faults: Vec<i32>,
        listener: TcpListener,
    }

    impl Accept for Faulty {
        async fn accept(&mut self) -> io::Result<(TcpStream, SocketAddr)> {
            match self.faults.pop() {
                Some(fault) => Err(io::Error::from_raw_os_error(fault)),
                None => self.listener.accept().await,
            }
        }
    }

    #[tokio::test]
    async fn the_accept_loop_survives_running_out_of_file_descriptors() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let client = tokio::spawn(TcpStream::connect(address));
        // EMFILE, ENFILE, ENOMEM, ECONNABORTED
        let mut faulty = Faulty { faults: vec![24, 23, 12, 103, 24], listener };
        let (_, peer) = next(&mut faulty).await;
        assert_eq!(peer, client.await.unwrap().unwrap().local_addr().unwrap());
    }
}
