//! What crosses, and how: headers, lengths, HEAD, 100-continue, upgrades, server-sent events, fronts.

use std::time::Duration;

use bytes::Bytes;
use http::Response;
use http_body_util::{BodyExt as _, StreamBody};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use trackgate::message::Body;
use trackgate::serve::{Limits, Settings};

use crate::harness::client::{Client, get, nothing, payload, post};
use crate::harness::raw::Raw;
use crate::harness::server::{Server, full};
use crate::harness::street::{Street, plain, text};
use crate::harness::{soon, until};

type Frame = Result<http_body::Frame<Bytes>, std::io::Error>;

/// A body that a test feeds.
struct Fed(tokio::sync::mpsc::UnboundedReceiver<Frame>);

impl futures_util::Stream for Fed {
    type Item = Frame;
    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        self.0.poll_recv(cx)
    }
}

#[expect(clippy::unnecessary_wraps, reason = "what the channel carries")]
fn data(bytes: &'static str) -> Frame {
    Ok(http_body::Frame::data(Bytes::from_static(bytes.as_bytes())))
}

#[tokio::test]
async fn headers_are_ours_towards_the_server_and_clean_towards_the_client() {
    let server = Server::scripted(|_| async {
        let mut answer = full(200, "ok");
        let headers = answer.headers_mut();
        headers.insert("server", "uvicorn".parse().unwrap());
        headers.insert("connection", "x-hop, keep-alive".parse().unwrap());
        headers.insert("x-hop", "1".parse().unwrap());
        headers.insert("x-kept", "1".parse().unwrap());
        headers.append("set-cookie", "mlflow=1".parse().unwrap());
        headers.append("set-cookie", "__Host-trackgate=stolen".parse().unwrap());
        answer
    });
    let street = Street::before(server.address, Limits::default());
    let mut raw = Raw::connect(street.plain()).await;
    raw.send(
        "GET /a?b=c HTTP/1.1\r\nhost: mlflow.example.com\r\norigin: https://mlflow.example.com\r\nconnection: x-drop\r\n\
         x-drop: 1\r\nx-forwarded-for: 6.6.6.6\r\nx-forwarded-host: evil\r\nx-request-id: theirs\r\nte: trailers\r\n\
         accept: */*\r\n\r\n",
    )
    .await;
    let said = raw.answer().await;
    assert_eq!(said.header("x-kept"), Some("1"));
    for gone in ["server", "x-hop", "keep-alive"] {
        assert!(said.header(gone).is_none(), "{gone}: {}", said.head);
    }
    assert!(said.head.contains("mlflow=1") && !said.head.contains("stolen"));
    let seen = &server.seen()[0];
    assert_eq!((seen.method.as_str(), seen.target.as_str()), ("GET", "/a?b=c"));
    let mut names: Vec<_> = seen.headers.keys().map(http::HeaderName::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["accept", "host", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-request-id"]);
    assert_eq!(seen.headers["host"], server.address.to_string());
    assert_eq!(seen.headers["x-forwarded-for"], "127.0.0.1");
    assert_eq!(seen.headers["x-forwarded-host"], "mlflow.example.com");
    assert_eq!(seen.headers["x-forwarded-proto"], "http");
}

#[tokio::test]
async fn a_known_length_stays_known_in_both_directions() {
    let server = Server::scripted(|request| async {
        let length = request.headers().get("content-length").cloned();
        let read = request.into_body().collect().await.unwrap().to_bytes();
        let mut answer = full(200, read);
        if let Some(length) = length {
            answer.headers_mut().insert("x-length", length);
        }
        answer
    });
    let street = Street::before(server.address, Limits::default());
    for size in [0, 1, 5000, 300_000] {
        for mut client in [Client::http1(street.plain()).await, Client::http2(street.plain()).await] {
            let answer = client.send(post("/", payload(vec![b'x'; size]))).await;
            assert_eq!(answer.headers()["x-length"], size.to_string());
            let known = http_body::Body::size_hint(answer.body()).exact();
            assert_eq!(known, Some(size as u64), "told by a length, or by the end of the stream");
            assert_eq!(soon("the body", answer.into_body().collect()).await.unwrap().to_bytes().len(), size);
        }
    }
    // Without a length: chunks, there and back.
    let (sender, frames) = tokio::sync::mpsc::unbounded_channel();
    sender.send(data("hello ")).unwrap();
    sender.send(data("world")).unwrap();
    drop(sender);
    let mut client = Client::http1(street.plain()).await;
    let answer = client.send(post("/", StreamBody::new(Fed(frames)).boxed())).await;
    assert!(!answer.headers().contains_key("x-length"));
    assert_eq!(soon("the body", answer.into_body().collect()).await.unwrap().to_bytes(), "hello world");
}

#[tokio::test]
async fn the_answer_to_head_has_the_length_and_no_body() {
    let server = Server::raw(|mut tcp| async move {
        let mut read = [0; 4096];
        while tcp.read(&mut read).await.is_ok_and(|came| came > 0) {
            assert!(read.starts_with(b"HEAD "));
            tcp.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 12345\r\n\r\n").await.unwrap();
        }
    });
    let street = Street::before(server.address, Limits::default());
    let mut raw = Raw::connect(street.plain()).await;
    for _ in 0..2 {
        raw.send("HEAD / HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(soon("the head", raw.tcp.read_u8()).await.unwrap());
        }
        assert!(String::from_utf8(head).unwrap().contains("content-length: 12345"));
    }
    assert_eq!(server.connections(), 1, "both went over one connection");
}

#[tokio::test]
async fn early_hints_of_the_server_are_passed_over() {
    let server = Server::raw(|mut tcp| async move {
        let mut read = [0; 4096];
        let _ = tcp.read(&mut read).await;
        tcp.write_all(b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
            .await
            .unwrap();
    });
    let street = Street::before(server.address, Limits::default());
    let mut client = Client::http1(street.plain()).await;
    assert_eq!(client.ask(get("/")).await, (200, Bytes::from("ok")));
}

#[tokio::test]
async fn a_client_that_expects_100_gets_it_when_its_body_is_wanted() {
    let server = Server::scripted(|request| async {
        assert!(!request.headers().contains_key("expect"));
        let read = request.into_body().collect().await.unwrap().to_bytes();
        full(200, read)
    });
    let street = Street::before(server.address, Limits::default());
    let mut raw = Raw::connect(street.plain()).await;
    raw.send("POST / HTTP/1.1\r\nhost: localhost\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\r\n").await;
    assert_eq!(raw.answer().await.status, 100);
    raw.send("hello").await;
    let said = raw.answer().await;
    assert_eq!((said.status, said.body.as_slice()), (200, b"hello".as_slice()));
}

#[tokio::test]
async fn a_client_that_expects_100_and_is_refused_sends_nothing() {
    let street = Street::open(plain(), |_, _| async { text(401, "who are you") });
    let mut raw = Raw::connect(street.plain()).await;
    raw.send("POST / HTTP/1.1\r\nhost: localhost\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\r\n").await;
    let said = raw.answer().await;
    assert_eq!((said.status, said.header("connection")), (401, Some("close")));
    raw.is_closed().await;
}

/// Closing with unread bytes would reset the connection, and the client would lose the answer.
#[tokio::test]
async fn an_upload_that_is_refused_early_still_sees_the_answer() {
    let street = Street::open(plain(), |_, _| async { text(401, "who are you") });
    for _ in 0..20 {
        let mut raw = Raw::connect(street.plain()).await;
        raw.send("POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 600000\r\n\r\n").await;
        let mut sent = 0;
        while sent < 600_000 && raw.try_send(vec![b'x'; 60_000]).await.is_ok() {
            sent += 60_000;
        }
        assert_eq!(raw.answer().await.status, 401);
    }
}

#[tokio::test]
async fn trailers_are_dropped() {
    let server = Server::scripted(|request| async {
        let body = request.into_body().collect().await.unwrap();
        assert!(body.trailers().is_none());
        full(200, body.to_bytes())
    });
    let street = Street::before(server.address, Limits::default());
    let mut raw = Raw::connect(street.plain()).await;
    raw.send(
        "POST / HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\ntrailer: x-user\r\n\r\n2\r\nhi\r\n0\r\n\
         x-user: admin\r\n\r\n",
    )
    .await;
    assert_eq!(raw.answer().await.body, b"hi");
    raw.send("GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    assert_eq!(raw.answer().await.status, 200);
}

#[tokio::test]
async fn events_pass_one_by_one() {
    let (sender, frames) = tokio::sync::mpsc::unbounded_channel();
    let frames = std::sync::Mutex::new(Some(frames));
    let server = Server::scripted(move |_| {
        let frames = frames.lock().unwrap().take().unwrap();
        async {
            Response::builder()
                .header("content-type", "text/event-stream")
                .body(StreamBody::new(Fed(frames)).boxed())
                .unwrap()
        }
    });
    let street = Street::before(server.address, Limits::default());
    for mut client in [Client::http2(street.plain()).await] {
        let mut body = client.send(get("/")).await.into_body();
        for event in ["data: 1\n\n", "data: 2\n\n", "data: 3\n\n"] {
            // The next one is sent only when this one has come.
            sender.send(data(event)).unwrap();
            let came = soon("an event", body.frame()).await.unwrap().unwrap().into_data().unwrap();
            assert_eq!(came, event);
        }
    }
}

fn echoing_websocket() -> Server {
    Server::scripted(|mut request| async move {
        assert_eq!(request.headers()["connection"], "upgrade");
        assert_eq!(request.headers()["upgrade"], "websocket");
        assert_eq!(request.headers()["sec-websocket-key"], "abc");
        if request.uri().path() == "/refused" {
            return full(403, "no");
        }
        let upgrade = hyper::upgrade::on(&mut request);
        tokio::spawn(async move {
            let mut io = TokioIo::new(upgrade.await.unwrap());
            let mut read = [0; 1024];
            while let Ok(came @ 1..) = io.read(&mut read).await {
                if io.write_all(&read[..came]).await.is_err() {
                    break;
                }
            }
        });
        let mut answer = full(101, "");
        answer.headers_mut().insert("connection", "upgrade".parse().unwrap());
        answer.headers_mut().insert("upgrade", "websocket".parse().unwrap());
        answer.headers_mut().insert("sec-websocket-accept", "xyz".parse().unwrap());
        answer
    })
}

const WISH: &str = "HTTP/1.1\r\nhost: localhost\r\nconnection: keep-alive, Upgrade\r\nupgrade: websocket\r\n\
    sec-websocket-key: abc\r\n\r\n";

#[tokio::test]
async fn a_websocket_passes_after_the_servers_101() {
    let server = echoing_websocket();
    let street = Street::before(server.address, Limits::default());
    let mut raw = Raw::connect(street.plain()).await;
    raw.send(format!("GET /ws {WISH}")).await;
    let said = raw.answer().await;
    assert_eq!((said.status, said.header("upgrade")), (101, Some("websocket")));
    assert_eq!(said.header("sec-websocket-accept"), Some("xyz"));
    until("an open tunnel", || street.tunnels.open_now() == 1).await;
    for message in ["hello", "\0\x01\r\nnot http\r\n\r\n", "GET / HTTP/1.1\r\n\r\n"] {
        raw.send(message).await;
        let mut echo = vec![0; message.len()];
        soon("the echo", raw.tcp.read_exact(&mut echo)).await.unwrap();
        assert_eq!(echo, message.as_bytes());
    }
    drop(raw);
    until("the tunnel's end", || street.tunnels.open_now() == 0).await;
}

/// RUSTSEC-2026-0033: bytes behind an upgrade request that was not granted are requests like all others.
#[tokio::test]
async fn without_a_101_there_is_no_tunnel() {
    let server = echoing_websocket();
    let street = Street::before(server.address, Limits::default());
    let mut raw = Raw::connect(street.plain()).await;
    raw.send(format!("GET /refused {WISH}GET /smuggled HTTP/1.1\nhost: x\r\n\r\n")).await;
    assert_eq!(raw.answer().await.status, 403);
    assert_eq!(raw.answer().await.status, 400);
    raw.is_closed().await;
    assert_eq!(street.tunnels.open_now(), 0);
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn a_101_that_nobody_asked_for_is_502() {
    let server = Server::raw(|mut tcp| async move {
        let mut read = [0; 4096];
        let _ = tcp.read(&mut read).await;
        let _ = tcp.write_all(b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n").await;
        let _ = tcp.read(&mut read).await;
    });
    let street = Street::before(server.address, Limits::default());
    let mut client = Client::http1(street.plain()).await;
    assert_eq!(client.ask(get("/")).await.0, 502);
}

#[tokio::test]
async fn a_still_tunnel_is_closed() {
    let server = echoing_websocket();
    let upstream = trackgate::upstream::Settings {
        target: crate::harness::street::http(server.address),
        ..trackgate::upstream::Settings::default()
    };
    let street = Street::passing(plain(), &upstream, |forward| forward.tunnel_idle = Duration::from_millis(200));
    let mut raw = Raw::connect(street.plain()).await;
    raw.send(format!("GET /ws {WISH}")).await;
    assert_eq!(raw.answer().await.status, 101);
    raw.is_closed().await;
}

#[tokio::test]
async fn a_front_that_is_listed_tells_who_the_client_is() {
    let who = |trusted: &[&str]| {
        let settings =
            Settings { trusted_proxies: trusted.iter().map(|range| range.parse().unwrap()).collect(), ..plain() };
        Street::open(settings, |peer, _| async move {
            text(200, &format!("{} {} {}", peer.address, peer.trusted_front, peer.secure))
        })
    };
    let mut request = get("/");
    request.headers_mut().insert("x-forwarded-for", "6.6.6.6, 198.51.100.1".parse().unwrap());
    request.headers_mut().insert("x-forwarded-proto", "https".parse().unwrap());
    let copy = || {
        let mut other = get("/");
        other.headers_mut().clone_from(request.headers());
        other
    };
    let street = who(&["127.0.0.0/8"]);
    let mut client = Client::http1(street.plain()).await;
    let answer = client.send(copy()).await;
    assert!(answer.headers().contains_key("strict-transport-security"));
    assert_eq!(client.ask(copy()).await.1, "198.51.100.1 true true");
    let street = who(&["10.0.0.0/8"]);
    let mut client = Client::http1(street.plain()).await;
    let answer = client.send(copy()).await;
    assert!(!answer.headers().contains_key("strict-transport-security"), "no HSTS without TLS (RFC 6797 7.2)");
    assert_eq!(client.ask(copy()).await.1, "127.0.0.1 false false");
}

#[tokio::test]
async fn a_panic_ends_one_request_and_not_the_worker() {
    let street = Street::open(plain(), |_, request| async move {
        assert_ne!(request.uri().path(), "/panic", "on purpose");
        text(200, "ok")
    });
    for mut client in [Client::http1(street.plain()).await, Client::http2(street.plain()).await] {
        assert_eq!(client.ask(get("/panic")).await.0, 500);
        assert_eq!(client.ask(get("/")).await.0, 200);
    }
}

#[tokio::test]
async fn an_empty_body_needs_no_streaming() {
    let street = Street::open(plain(), |_, request| async move {
        assert!(matches!(request.body(), Body::Empty));
        text(200, "ok")
    });
    for mut client in [Client::http1(street.plain()).await, Client::http2(street.plain()).await] {
        assert_eq!(client.ask(get("/")).await.0, 200);
        assert_eq!(client.ask(post("/", nothing())).await.0, 200);
    }
}
