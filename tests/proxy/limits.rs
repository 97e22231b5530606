//! Every limit and timeout of the street door ("Limits and timeouts": defaults in `serve::Limits`).

use std::io::{Read as _, Write as _};
use std::time::{Duration, Instant};

use http_body_util::BodyExt as _;
use trackgate::message::{Body, BodyError};
use trackgate::serve::{Limits, Settings};

use crate::harness::client::{Client, get};
use crate::harness::raw::Raw;
use crate::harness::server::Server;
use crate::harness::street::{Street, plain, text};
use crate::harness::{soon, until};

const SHORT: Duration = Duration::from_millis(200);

fn street(limits: Limits) -> Street {
    Street::open(Settings { limits, ..plain() }, |_, _| async { text(200, "ok") })
}

/// A handler that reads the body, as the gate does, and answers 408 where the body's guard says so.
fn reading(limits: Limits) -> Street {
    Street::open(Settings { limits, ..plain() }, |_, request| async move {
        match request.into_body().collect().await {
            Ok(read) => text(200, &read.to_bytes().len().to_string()),
            Err(BodyError::Stalled | BodyError::TooSlow) => text(408, "late"),
            Err(error) => text(400, &error.to_string()),
        }
    })
}

#[tokio::test]
async fn a_silent_connection_is_closed_after_the_head_timeout() {
    let street = street(Limits { head_timeout: SHORT, ..Limits::default() });
    let mut raw = Raw::connect(street.plain()).await;
    let start = Instant::now();
    raw.is_closed().await;
    assert!(start.elapsed() >= SHORT);
}

#[tokio::test]
async fn a_head_that_drips_is_refused_after_the_head_timeout_in_all() {
    let street = street(Limits { head_timeout: Duration::from_millis(500), ..Limits::default() });
    let mut raw = Raw::connect(street.plain()).await;
    let start = Instant::now();
    raw.send("GET / HTTP/1.1\r\n").await;
    let mut dripped = 0;
    // Each byte is well in time; all together are not.
    while start.elapsed() < Duration::from_secs(20) {
        tokio::time::sleep(Duration::from_millis(20)).await;
        dripped += 1;
        let mut peek = [0; 1];
        let answered = tokio::time::timeout(Duration::from_millis(1), raw.tcp.peek(&mut peek)).await.is_ok();
        if answered || raw.try_send("x").await.is_err() {
            break;
        }
    }
    assert!(dripped > 1);
    let said = raw.answer().await;
    assert_eq!(said.status, 408);
    assert!(start.elapsed() >= Duration::from_millis(500) && start.elapsed() < Duration::from_secs(10));
    raw.is_closed().await;
    assert_eq!(street.handled(), 0);
}

#[tokio::test]
async fn an_idle_connection_is_closed_after_keep_alive_and_not_before() {
    let street = street(Limits { keep_alive: Duration::from_millis(400), head_timeout: SHORT, ..Limits::default() });
    let mut raw = Raw::connect(street.plain()).await;
    raw.send("GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    assert_eq!(raw.answer().await.status, 200);
    let start = Instant::now();
    raw.is_closed().await;
    assert!(start.elapsed() >= Duration::from_millis(350), "{:?}", start.elapsed());
}

#[tokio::test]
async fn a_slow_answer_is_no_idle_connection() {
    let limits = Limits { keep_alive: SHORT, head_timeout: SHORT, ..Limits::default() };
    let street = Street::open(Settings { limits, ..plain() }, |_, _| async {
        tokio::time::sleep(Duration::from_millis(700)).await;
        text(200, "late but there")
    });
    let mut raw = Raw::connect(street.plain()).await;
    raw.send("GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    assert_eq!(raw.answer().await.body, b"late but there");
}

#[tokio::test]
async fn a_body_that_stalls_is_408_and_the_connection_closed() {
    let street = reading(Limits { body_idle: SHORT, ..Limits::default() });
    for framing in ["content-length: 10\r\n\r\nhello", "transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n"] {
        let mut raw = Raw::connect(street.plain()).await;
        raw.send(format!("POST / HTTP/1.1\r\nhost: localhost\r\n{framing}")).await;
        assert_eq!(raw.answer().await.status, 408);
        raw.is_closed().await;
    }
}

#[tokio::test]
async fn a_body_that_drips_below_the_least_rate_is_408() {
    let street = reading(Limits { body_idle: SHORT, body_rate: 100_000, ..Limits::default() });
    let mut raw = Raw::connect(street.plain()).await;
    raw.send("POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1000\r\n\r\n").await;
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(20) {
        tokio::time::sleep(Duration::from_millis(20)).await;
        let mut peek = [0; 1];
        let answered = tokio::time::timeout(Duration::from_millis(1), raw.tcp.peek(&mut peek)).await.is_ok();
        if answered || raw.try_send("x").await.is_err() {
            break;
        }
    }
    assert_eq!(raw.answer().await.status, 408);
    raw.is_closed().await;
}

#[tokio::test]
async fn a_body_that_comes_fast_enough_is_read_however_long_it_takes() {
    let street = reading(Limits { body_idle: SHORT, body_rate: 10, ..Limits::default() });
    let mut raw = Raw::connect(street.plain()).await;
    raw.send("POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1000\r\n\r\n").await;
    for _ in 0..10 {
        tokio::time::sleep(Duration::from_millis(50)).await;
        raw.send([b'x'; 100]).await;
    }
    assert_eq!(raw.answer().await.body, b"1000");
}

#[tokio::test]
async fn a_client_that_does_not_take_its_answer_is_cut_off() {
    let limits = Limits { write_stall: SHORT, ..Limits::default() };
    let (told, mut dropped) = tokio::sync::mpsc::unbounded_channel::<()>();
    let street = Street::open(Settings { limits, ..plain() }, move |_, _| {
        let told = told.clone();
        async move { http::Response::new(Body::Boxed(Box::pin(Endless(Some(told))))) }
    });
    let mut raw = Raw::connect(street.plain()).await;
    raw.send("GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    // The answer never ends and nobody reads it; the connection is given up, and with it the body.
    soon("the body's end", dropped.recv()).await;
}

/// A body without end, that tells when it is dropped.
struct Endless(Option<tokio::sync::mpsc::UnboundedSender<()>>);

impl http_body::Body for Endless {
    type Data = bytes::Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<bytes::Bytes>, BodyError>>> {
        std::task::Poll::Ready(Some(Ok(http_body::Frame::data(bytes::Bytes::from(vec![0; 65536])))))
    }
}

impl Drop for Endless {
    fn drop(&mut self) {
        if let Some(told) = self.0.take() {
            let _ = told.send(());
        }
    }
}

#[tokio::test]
async fn a_url_that_is_too_long_is_414() {
    let street = street(Limits { url_length: 100, ..Limits::default() });
    let mut raw = Raw::connect(street.plain()).await;
    raw.send(format!("GET /{} HTTP/1.1\r\nhost: localhost\r\n\r\n", "x".repeat(100))).await;
    assert_eq!(raw.answer().await.status, 414);
    raw.is_closed().await;
    // Not even its end is waited for.
    let mut raw = Raw::connect(street.plain()).await;
    raw.send(format!("GET /{}", "x".repeat(1000))).await;
    assert_eq!(raw.answer().await.status, 414);
    let mut raw = Raw::connect(street.plain()).await;
    raw.send(format!("GET /{} HTTP/1.1\r\nhost: localhost\r\n\r\n", "x".repeat(99))).await;
    assert_eq!(raw.answer().await.status, 200);
}

#[tokio::test]
async fn a_head_that_is_too_large_is_431() {
    let street = street(Limits { head_size: 2000, ..Limits::default() });
    for rest in ["", "\r\nx-more: 1\r\n\r\n"] {
        let mut raw = Raw::connect(street.plain()).await;
        raw.send(format!("GET / HTTP/1.1\r\nhost: localhost\r\nx-a: {}{rest}", "x".repeat(2000))).await;
        assert_eq!(raw.answer().await.status, 431);
        raw.is_closed().await;
    }
    assert_eq!(street.handled(), 0);
}

#[tokio::test]
async fn too_many_fields_are_431() {
    let street = street(Limits { head_fields: 10, ..Limits::default() });
    let send = |fields: usize| format!("GET / HTTP/1.1\r\n{}\r\n", "x: 1\r\n".repeat(fields));
    let mut raw = Raw::connect(street.plain()).await;
    raw.send(send(10)).await;
    assert_eq!(raw.answer().await.status, 200);
    raw.send(send(11)).await;
    assert_eq!(raw.answer().await.status, 431);
    raw.is_closed().await;
}

#[tokio::test]
async fn the_defaults_of_head_fields_and_url_hold() {
    let street = street(Limits::default());
    let mut raw = Raw::connect(street.plain()).await;
    raw.send(format!("GET /{} HTTP/1.1\r\n{}\r\n", "x".repeat(16 * 1024 - 1), "x: 1\r\n".repeat(100))).await;
    assert_eq!(raw.answer().await.status, 200);
    raw.send(format!("GET / HTTP/1.1\r\nx: {}\r\n\r\n", "x".repeat(63 * 1024))).await;
    assert_eq!(raw.answer().await.status, 200);
    raw.send(format!("GET / HTTP/1.1\r\n{}\r\n", "x: 1\r\n".repeat(101))).await;
    assert_eq!(raw.answer().await.status, 431);
}

#[tokio::test]
async fn more_connections_than_allowed_from_one_address_are_told_so() {
    let street = street(Limits { connections_per_address: 2, ..Limits::default() });
    let mut first = Raw::connect(street.plain()).await;
    let mut second = Raw::connect(street.plain()).await;
    for raw in [&mut first, &mut second] {
        raw.send("GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
        assert_eq!(raw.answer().await.status, 200);
    }
    let mut third = Raw::connect(street.plain()).await;
    third.send("GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    let said = third.answer().await;
    assert_eq!((said.status, said.header("retry-after")), (503, Some("5")));
    third.is_closed().await;
    assert_eq!(street.handled(), 2);
    // A place that is left is free again.
    drop(first);
    until("a free place", || {
        let mut tcp = std::net::TcpStream::connect(street.plain()).unwrap();
        tcp.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").unwrap();
        let mut said = String::new();
        let _ = tcp.read_to_string(&mut said);
        said.starts_with("HTTP/1.1 200")
    })
    .await;
}

#[tokio::test]
async fn more_connections_than_allowed_in_all_are_told_so() {
    let street = street(Limits { connections: 1, ..Limits::default() });
    let mut first = Raw::connect(street.plain()).await;
    first.send("GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    assert_eq!(first.answer().await.status, 200);
    let mut client = Client::http2(street.plain()).await;
    assert_eq!(client.ask(get("/")).await.0, 503);
}

#[tokio::test]
async fn a_tls_handshake_that_does_not_come_is_given_up() {
    use crate::harness::certs::{Authority, Folder};
    let (folder, authority) = (Folder::new(), Authority::new());
    let settings = crate::tls::settings(&folder, &authority, Limits { tls_handshake: SHORT, ..Limits::default() });
    let street = Street::open(settings, |_, _| async { text(200, "ok") });
    let mut silent = Raw::connect(street.https()).await;
    silent.is_closed().await;
    // The first bytes of a ClientHello, and then nothing.
    let mut half = Raw::connect(street.https()).await;
    half.send([22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3]).await;
    half.is_closed().await;
}

#[tokio::test]
async fn a_streamed_body_over_the_artifact_limit_is_413() {
    let server = Server::scripted(|request| async move {
        let _ = request.into_body().collect().await;
        crate::harness::server::full(200, "stored")
    });
    let upstream = trackgate::upstream::Settings {
        target: crate::harness::street::http(server.address),
        ..trackgate::upstream::Settings::default()
    };
    let street = Street::passing(plain(), &upstream, |forward| forward.most_body = 10);
    let mut raw = Raw::connect(street.plain()).await;
    raw.send("PUT /a HTTP/1.1\r\nhost: localhost\r\ncontent-length: 11\r\n\r\n").await;
    assert_eq!(raw.answer().await.status, 413);
    assert!(server.seen().is_empty(), "a length that is too large is refused before a byte is sent");
    let mut raw = Raw::connect(street.plain()).await;
    raw.send("PUT /a HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n6\r\nabcdef\r\n6\r\nabcdef\r\n0\r\n\r\n")
        .await;
    assert_eq!(raw.answer().await.status, 413);
    let mut raw = Raw::connect(street.plain()).await;
    raw.send("PUT /a HTTP/1.1\r\nhost: localhost\r\ncontent-length: 10\r\n\r\n0123456789").await;
    assert_eq!(raw.answer().await.status, 200);
}
