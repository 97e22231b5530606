//! Bodies stream in both directions with constant memory: 2 GiB up and down, resident memory grows by less than 32 MiB.
//!
//! The whole gate, with its decisions and its audit log, runs in a process of its own, so that only its memory is measured: this test binary starts itself again
//! with the name of [`the_proxy_in_a_process_of_its_own`].

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::pin::Pin;
use std::process::{Child, Command, Stdio};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt as _;
use trackgate::upstream::Target;

use crate::harness::client::{Client, Payload, nothing, payload};
use crate::harness::gate::{Gate, HOST};
use crate::harness::server::{Answer, Server, full};

const RUN: &str = "0123456789abcdef0123456789abcdef";
const SIZE: u64 = 2 << 30;
const GROWTH: u64 = 32 << 20;
const CHUNK: usize = 64 << 10;
const SERVER: &str = "TRACKGATE_TEST_SERVER";
const LONG: Duration = Duration::from_mins(10);

/// Not a test by itself: the proxy, until its standard input ends.
#[test]
fn the_proxy_in_a_process_of_its_own() {
    let Ok(server) = std::env::var(SERVER) else { return };
    let server: SocketAddr = server.parse().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let gate = runtime.block_on(async {
        let gate = Gate::with(Server::ok(), "", |config| {
            config.upstream.target = Target::Http { host: server.ip().to_string(), port: server.port() };
        })
        .await;
        gate.grant("user:alice@example.com", "experiment", "1", "MANAGE").await;
        gate
    });
    println!("listening on {} for {}", gate.address(), gate.token("alice"));
    std::io::stdout().flush().unwrap();
    let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
    runtime.block_on(gate.close());
}

struct Proxy {
    child: Child,
    address: SocketAddr,
    token: String,
    /// Kept open, so that it can still be written to.
    _said: BufReader<std::process::ChildStdout>,
}

impl Proxy {
    fn before(server: SocketAddr) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "stream::the_proxy_in_a_process_of_its_own", "--nocapture"])
            .env(SERVER, server.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(child.stdout.take().unwrap());
        let address: (SocketAddr, String) = std::iter::repeat_with(|| {
            let mut line = String::new();
            said.read_line(&mut line).ok().filter(|read| *read > 0).map(|_| line)
        })
        .map_while(|line| line)
        .find_map(|line| {
            let (address, token) = line.split_once("listening on ")?.1.split_once(" for ")?;
            Some((address.parse().unwrap(), token.trim().to_owned()))
        })
        .expect("the proxy says where it is");
        let (address, token) = address;
        Self { child, address, token, _said: said }
    }

    fn request(&self, method: &str, body: Payload) -> http::Request<Payload> {
        http::Request::builder()
            .method(method)
            .uri(format!("/api/2.0/mlflow-artifacts/artifacts/1/{RUN}/artifacts/big.bin"))
            .header("host", HOST)
            .header("authorization", format!("Bearer {}", self.token))
            .body(body)
            .unwrap()
    }

    fn get(&self) -> http::Request<Payload> {
        self.request("GET", nothing())
    }

    fn put(&self, body: Payload) -> http::Request<Payload> {
        self.request("PUT", body)
    }

    /// Resident memory in bytes: now, or the most there ever was.
    fn memory(&self, line: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let value = status.lines().find_map(|found| found.strip_prefix(line)).unwrap();
        value.trim().strip_suffix(" kB").unwrap().trim().parse::<u64>().unwrap() << 10
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

/// `SIZE` bytes that take no memory.
struct Long(u64);

impl http_body::Body for Long {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        static ZEROS: [u8; CHUNK] = [0; CHUNK];
        if self.0 == 0 {
            return Poll::Ready(None);
        }
        let here = self.0.min(CHUNK as u64);
        self.0 -= here;
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&ZEROS[..usize::try_from(here).unwrap()])))))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0)
    }
}

/// Where the run lies, and the artifact.
fn answer_to_get(request: &http::Request<hyper::body::Incoming>) -> Option<Answer> {
    if request.method() != http::Method::GET {
        return None;
    }
    if request.uri().path().ends_with("/runs/get") {
        let run = serde_json::json!({"run": {"info": {"run_id": RUN, "experiment_id": "1",
            "artifact_uri": format!("mlflow-artifacts:/1/{RUN}/artifacts")}}});
        return Some(full(200, run.to_string()));
    }
    Some(http::Response::new(Long(SIZE).boxed()))
}

async fn count(mut body: hyper::body::Incoming) -> u64 {
    let mut count = 0;
    while let Some(frame) = body.frame().await {
        count += frame.unwrap().data_ref().map_or(0, Bytes::len) as u64;
    }
    count
}

#[tokio::test]
async fn two_gibibytes_up_and_down_take_no_memory() {
    let server = Server::scripted(|request| async {
        if let Some(answer) = answer_to_get(&request) {
            return answer;
        }
        full(200, count(request.into_body()).await.to_string())
    });
    let proxy = Proxy::before(server.address);
    // A first request, so that what is only made once is there.
    let mut client = Client::http1(proxy.address).await;
    assert_eq!(client.ask(proxy.put(payload("hello"))).await.1, "5");
    let before = proxy.memory("VmRSS:");
    let start = std::time::Instant::now();
    let Client::One(mut sender) = client else { unreachable!() };
    let up = tokio::time::timeout(LONG, sender.send_request(proxy.put(Long(SIZE).boxed()))).await.unwrap().unwrap();
    assert_eq!(up.into_body().collect().await.unwrap().to_bytes(), SIZE.to_string());
    let up = start.elapsed();
    sender.ready().await.unwrap();
    let start = std::time::Instant::now();
    let down = sender.send_request(proxy.get()).await.unwrap();
    assert_eq!(tokio::time::timeout(LONG, count(down.into_body())).await.unwrap(), SIZE);
    let growth = proxy.memory("VmHWM:").saturating_sub(before);
    println!("up {up:?}, down {:?}, growth {} KiB", start.elapsed(), growth >> 10);
    assert!(growth < GROWTH, "grew by {growth} bytes");
}

/// A fast side does not fill the memory while the slow side sleeps: what is sent ahead is bounded.
#[tokio::test]
async fn a_fast_side_waits_for_a_slow_one() {
    let server = Server::scripted(|request| async {
        if let Some(answer) = answer_to_get(&request) {
            return answer;
        }
        let mut body = request.into_body();
        let _ = body.frame().await;
        // Takes nothing more for a while.
        tokio::time::sleep(Duration::from_secs(1)).await;
        drop(body);
        full(200, "enough")
    });
    let proxy = Proxy::before(server.address);
    let mut client = Client::http1(proxy.address).await;
    assert_eq!(client.ask(proxy.put(payload("hello"))).await.0, 200);
    let before = proxy.memory("VmRSS:");
    let mut clients = Vec::new();
    for version in 0..6 {
        let mut client =
            if version % 2 == 0 { Client::http1(proxy.address).await } else { Client::http2(proxy.address).await };
        let request = if version < 3 { proxy.get() } else { proxy.put(Long(SIZE).boxed()) };
        clients.push(tokio::spawn(async move {
            // An answer that nobody reads, and an upload that nobody takes.
            let answer = client.try_send(request).await;
            tokio::time::sleep(Duration::from_millis(1500)).await;
            drop(answer);
        }));
    }
    for client in clients {
        client.await.unwrap();
    }
    let growth = proxy.memory("VmHWM:").saturating_sub(before);
    println!("growth {} KiB", growth >> 10);
    assert!(growth < GROWTH, "grew by {growth} bytes");
}
