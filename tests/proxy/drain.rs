//! How does the house close? No accepted request is cut before the drain's limit.

use std::time::{Duration, Instant};

use http_body_util::BodyExt as _;
use tokio::io::AsyncReadExt as _;
use trackgate::serve::{Limits, Settings};

use crate::harness::client::{Client, get};
use crate::harness::raw::Raw;
use crate::harness::street::{Street, plain, text};
use crate::harness::{soon, until};

fn limits() -> Limits {
    Limits { drain: Duration::from_secs(20), drain_accept: Duration::from_millis(100), ..Limits::default() }
}

/// A street whose handler reads the body and answers when it is told to.
fn slow(limits: Limits) -> (Street, tokio::sync::watch::Sender<bool>) {
    let (release, gate) = tokio::sync::watch::channel(false);
    let street = Street::open(Settings { limits, ..plain() }, move |_, request| {
        let mut gate = gate.clone();
        async move {
            let read = request.into_body().collect().await.unwrap().to_bytes().len();
            let _ = gate.wait_for(|open| *open).await;
            text(200, &read.to_string())
        }
    });
    (street, release)
}

#[tokio::test]
async fn running_requests_are_finished_and_idle_connections_closed() {
    let (street, release) = slow(limits());
    let mut idle = Raw::connect(street.plain()).await;
    let mut used = Raw::connect(street.plain()).await;
    release.send(true).unwrap();
    used.send("GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    assert_eq!(used.answer().await.status, 200);
    release.send(false).unwrap();
    let mut running = Raw::connect(street.plain()).await;
    running.send("GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    let mut two = Client::http2(street.plain()).await;
    let second = tokio::spawn(async move { two.ask(get("/")).await });
    until("both requests", || street.handled() == 3).await;
    street.running().drain();
    let start = Instant::now();
    used.is_closed().await;
    idle.is_closed().await;
    assert!(start.elapsed() < Limits::default().head_timeout / 2, "who says nothing does not hold the house open");
    release.send(true).unwrap();
    let said = running.answer().await;
    assert_eq!((said.status, said.header("connection")), (200, Some("close")));
    running.is_closed().await;
    assert_eq!(second.await.unwrap().0, 200);
    assert!(street.closed().await);
}

#[tokio::test]
async fn an_upload_in_flight_is_finished() {
    let (street, release) = slow(limits());
    release.send(true).unwrap();
    let mut raw = Raw::connect(street.plain()).await;
    raw.send("POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 10\r\n\r\nhello").await;
    until("the request", || street.handled() == 1).await;
    street.running().drain();
    // Well after new connections are refused.
    until("closed doors", || std::net::TcpStream::connect(street.plain()).is_err()).await;
    raw.send("world").await;
    assert_eq!(raw.answer().await.body, b"10");
    assert!(street.closed().await);
}

#[tokio::test]
async fn new_connections_are_served_for_a_moment_longer() {
    let (street, release) = slow(Limits { drain_accept: Duration::from_secs(5), ..limits() });
    release.send(true).unwrap();
    street.running().drain();
    let mut raw = Raw::connect(street.plain()).await;
    raw.send("GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    let said = raw.answer().await;
    assert_eq!((said.status, said.header("connection")), (200, Some("close")));
    raw.is_closed().await;
}

#[tokio::test]
async fn what_does_not_end_is_cut_at_the_limit() {
    let (street, _release) = slow(Limits { drain: Duration::from_millis(300), ..limits() });
    let mut raw = Raw::connect(street.plain()).await;
    raw.send("GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    until("the request", || street.handled() == 1).await;
    let start = Instant::now();
    street.running().drain();
    raw.is_closed().await;
    assert!(start.elapsed() >= Duration::from_millis(300));
    assert!(!street.closed().await);
}

#[tokio::test]
async fn tunnels_are_closed_at_the_limit() {
    let server = crate::harness::server::Server::raw(|mut tcp| async move {
        let mut read = [0; 4096];
        let _ = tcp.read(&mut read).await;
        let head = b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
        let _ = tokio::io::AsyncWriteExt::write_all(&mut tcp, head).await;
        while tcp.read(&mut read).await.is_ok_and(|came| came > 0) {}
    });
    let limits = Limits { drain: Duration::from_millis(500), ..limits() };
    let street = Street::before(server.address, limits);
    let mut raw = Raw::connect(street.plain()).await;
    raw.send("GET / HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n").await;
    assert_eq!(raw.answer().await.status, 101);
    until("an open tunnel", || street.tunnels.open_now() == 1).await;
    let start = Instant::now();
    street.running().drain();
    raw.is_closed().await;
    assert!(start.elapsed() >= Duration::from_millis(450), "{:?}", start.elapsed());
    assert!(!street.closed().await);
}

/// Clients that keep asking while the house closes see answers or closed doors, never half an answer.
#[tokio::test]
async fn no_accepted_request_is_cut_under_load() {
    let (street, release) = slow(limits());
    release.send(true).unwrap();
    let address = street.plain();
    let mut clients = Vec::new();
    for _ in 0..8 {
        clients.push(tokio::spawn(async move {
            let mut answered = 0_u32;
            let Ok(tcp) = tokio::net::TcpStream::connect(address).await else { return answered };
            let mut client = Client::http1_over(tcp).await;
            loop {
                match client.try_send(get("/")).await {
                    Ok(answer) => {
                        assert_eq!(answer.status(), 200);
                        soon("the body", answer.into_body().collect()).await.expect("half an answer");
                        answered += 1;
                    }
                    // Closed between two requests: hyper tells that nothing was sent, or that nothing came back.
                    Err(error) => {
                        assert!(error.is_canceled() || error.is_closed() || error.is_incomplete_message(), "{error}");
                        return answered;
                    }
                }
            }
        }));
    }
    until("some requests", || street.handled() > 100).await;
    street.running().drain();
    let handled = {
        let mut answered = 0;
        for client in clients {
            answered += client.await.unwrap();
        }
        answered as usize
    };
    assert_eq!(handled, street.handled(), "each request that was taken up was answered");
    assert!(street.closed().await);
}
