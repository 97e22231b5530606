//! HTTP/2: h2c by prior knowledge, silent connections, unfinished header blocks, answers that nobody takes.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt as _, StreamBody};
use trackgate::message::{Body, BodyError};
use trackgate::serve::{Limits, Settings};

use crate::harness::client::{Client, get, payload, post};
use crate::harness::raw::Raw;
use crate::harness::street::{Street, plain, text};
use crate::harness::{soon, until};

const SHORT: Duration = Duration::from_millis(200);
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

fn street(limits: Limits) -> Street {
    Street::open(Settings { limits, ..plain() }, |_, request| async move {
        let version = request.version();
        match request.into_body().collect().await {
            Ok(body) => text(200, &format!("{version:?} {}", body.to_bytes().len())),
            Err(BodyError::Stalled | BodyError::TooSlow) => text(408, "late"),
            Err(error) => text(400, &error.to_string()),
        }
    })
}

fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = vec![length[1], length[2], length[3], kind, flags, 0, 0, 0, stream];
    bytes.extend_from_slice(payload);
    bytes
}

#[tokio::test]
async fn h2c_by_prior_knowledge_is_spoken_on_the_plain_listener() {
    let street = street(Limits::default());
    let mut client = Client::http2(street.plain()).await;
    assert_eq!(client.ask(get("/")).await.1, "HTTP/2.0 0");
    assert_eq!(client.ask(post("/", payload(vec![0; 300_000]))).await.1, "HTTP/2.0 300000");
    let mut client = Client::http1(street.plain()).await;
    assert_eq!(client.ask(get("/")).await.1, "HTTP/1.1 0");
}

#[tokio::test]
async fn a_preface_in_pieces_is_understood_and_a_broken_one_is_not() {
    let street = street(Limits { head_timeout: SHORT, ..Limits::default() });
    let mut raw = Raw::connect(street.plain()).await;
    for piece in PREFACE.chunks(5) {
        raw.send(piece).await;
        tokio::task::yield_now().await;
    }
    raw.send(frame(4, 0, 0, b"")).await;
    // The server's own SETTINGS.
    let mut first = [0; 9];
    soon("settings", tokio::io::AsyncReadExt::read_exact(&mut raw.tcp, &mut first)).await.unwrap();
    assert_eq!(first[3], 4);

    let mut raw = Raw::connect(street.plain()).await;
    raw.send(&PREFACE[..10]).await;
    let start = Instant::now();
    raw.is_closed().await;
    assert!(start.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn an_unfinished_header_block_is_given_up() {
    let street = street(Limits { head_timeout: SHORT, ..Limits::default() });
    let mut raw = Raw::connect(street.plain()).await;
    let start = Instant::now();
    raw.send([PREFACE, &frame(4, 0, 0, b""), &frame(1, 0, 1, &[0x82])].concat()).await;
    raw.rest().await;
    assert!(start.elapsed() >= SHORT && start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    assert_eq!(street.handled(), 0);
}

#[tokio::test]
async fn a_connection_without_a_request_is_sent_away() {
    let street = street(Limits { keep_alive: SHORT, ..Limits::default() });
    let mut raw = Raw::connect(street.plain()).await;
    raw.send([PREFACE, &frame(4, 0, 0, b""), &frame(4, 1, 0, b"")].concat()).await;
    let said = raw.rest().await;
    // GOAWAY is among what it said.
    let mut at = 0;
    let mut kinds = Vec::new();
    while at + 9 <= said.len() {
        kinds.push(said[at + 3]);
        at += 9 + (usize::from(said[at]) << 16 | usize::from(said[at + 1]) << 8 | usize::from(said[at + 2]));
    }
    assert!(kinds.contains(&7), "{kinds:?}");
}

/// A request that crosses our GOAWAY was accepted: it is answered, however long that takes.
#[tokio::test]
async fn a_request_that_crosses_the_farewell_is_answered() {
    // As long, at most, a client may take to leave.
    let patience = Duration::from_secs(1);
    let limits = Limits { keep_alive: patience, ..Limits::default() };
    let street = Street::open(Settings { limits, ..plain() }, move |_, _| async move {
        tokio::time::sleep(patience * 2).await;
        text(200, "late but there")
    });
    let mut raw = Raw::connect(street.plain()).await;
    raw.send([PREFACE, &frame(4, 0, 0, b""), &frame(4, 1, 0, b"")].concat()).await;
    // Wait for GOAWAY; its PING is not answered, so that the door stays ajar.
    let mut said = Vec::new();
    while !said.windows(5).any(|window| window == [0, 0, 8, 7, 0]) {
        let mut chunk = [0; 1024];
        let came = soon("GOAWAY", tokio::io::AsyncReadExt::read(&mut raw.tcp, &mut chunk)).await.unwrap();
        assert!(came > 0, "closed without GOAWAY: {said:?}");
        said.extend_from_slice(&chunk[..came]);
    }
    raw.send(frame(1, 5, 1, &[0x82, 0x84, 0x86, 0x41, 0x01, b'a'])).await;
    let rest = raw.rest().await;
    assert!(rest.windows(14).any(|window| window == b"late but there"), "{rest:?}");
}

#[tokio::test]
async fn a_stalled_upload_ends_its_stream_and_not_the_others() {
    let street = street(Limits { body_idle: SHORT, ..Limits::default() });
    let mut client = Client::http2(street.plain()).await;
    let (_open, frames) = tokio::sync::mpsc::unbounded_channel::<Result<http_body::Frame<Bytes>, std::io::Error>>();
    let stalled = StreamBody::new(Frames(frames)).boxed();
    let mut request = post("/", stalled);
    request.headers_mut().insert("content-length", "10".parse().unwrap());
    let answer = client.send(request).await;
    assert_eq!(answer.status(), 408);
    assert_eq!(client.ask(get("/")).await.0, 200);
}

struct Frames(tokio::sync::mpsc::UnboundedReceiver<Result<http_body::Frame<Bytes>, std::io::Error>>);

impl futures_util::Stream for Frames {
    type Item = Result<http_body::Frame<Bytes>, std::io::Error>;
    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        self.0.poll_recv(cx)
    }
}

#[tokio::test]
async fn an_answer_that_is_not_taken_ends_the_connection() {
    let (told, mut dropped) = tokio::sync::mpsc::unbounded_channel::<()>();
    let limits = Limits { write_stall: SHORT, ..Limits::default() };
    let street = Street::open(Settings { limits, ..plain() }, move |_, _| {
        let told = told.clone();
        async move { http::Response::new(Body::Boxed(Box::pin(Endless(told)))) }
    });
    let mut client = Client::http2(street.plain()).await;
    // The head comes; the body's window is never opened, since nobody reads.
    let answer = client.send(get("/")).await;
    soon("the body's end", dropped.recv()).await;
    drop(answer);
}

struct Endless(tokio::sync::mpsc::UnboundedSender<()>);

impl http_body::Body for Endless {
    type Data = Bytes;
    type Error = BodyError;
    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, BodyError>>> {
        std::task::Poll::Ready(Some(Ok(http_body::Frame::data(Bytes::from_static(&[0; 16384])))))
    }
}

impl Drop for Endless {
    fn drop(&mut self) {
        let _ = self.0.send(());
    }
}

#[tokio::test]
async fn an_upload_that_is_answered_early_does_not_stall() {
    let street = Street::open(plain(), |_, _| async { text(401, "who are you") });
    let mut client = Client::http2(street.plain()).await;
    for _ in 0..20 {
        // More than the stream's and, together, more than the connection's window.
        let answer = client.send(post("/", payload(vec![0; 500_000]))).await;
        assert_eq!(answer.status(), 401);
        assert_eq!(soon("the body", answer.into_body().collect()).await.unwrap().to_bytes(), "who are you");
    }
    assert_eq!(client.ask(get("/")).await.0, 401);
}

/// What the server said: kind and payload of each whole frame.
fn frames(said: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let (mut at, mut frames) = (0, Vec::new());
    while at + 9 <= said.len() {
        let length = usize::from(said[at]) << 16 | usize::from(said[at + 1]) << 8 | usize::from(said[at + 2]);
        let Some(payload) = said.get(at + 9..at + 9 + length) else { break };
        frames.push((said[at + 3], payload.to_vec()));
        at += 9 + length;
    }
    frames
}

async fn said_until(raw: &mut Raw, said: &mut Vec<u8>, what: &str, there: impl Fn(u8, &[u8]) -> bool) {
    while !frames(said).iter().any(|(kind, payload)| there(*kind, payload)) {
        let mut chunk = [0; 1024];
        let came = soon(what, tokio::io::AsyncReadExt::read(&mut raw.tcp, &mut chunk)).await.unwrap();
        assert!(came > 0, "closed without {what}: {said:?}");
        said.extend_from_slice(&chunk[..came]);
    }
}

/// curl 7.88 reports a stream that was reset, and not the answer that came before.
#[tokio::test]
async fn a_small_body_that_comes_after_its_refusal_resets_no_stream() {
    let street = Street::open(plain(), |_, _| async { text(401, "who are you") });
    let mut raw = Raw::connect(street.plain()).await;
    let head = frame(1, 4, 1, &[0x83, 0x84, 0x86, 0x41, 0x01, b'a']);
    raw.send([PREFACE, &frame(4, 0, 0, b""), &head].concat()).await;
    let mut said = Vec::new();
    said_until(&mut raw, &mut said, "the answer", |kind, payload| kind == 0 && payload.ends_with(b"who are you")).await;
    raw.send([frame(0, 1, 1, b"{}"), frame(6, 0, 0, b"12345678")].concat()).await;
    said_until(&mut raw, &mut said, "the ping", |kind, payload| kind == 6 && payload == b"12345678").await;
    assert!(frames(&said).iter().all(|(kind, _)| *kind != 3), "{said:?}");
    assert!(frames(&said).iter().all(|(kind, _)| *kind != 7), "{said:?}");
}

#[tokio::test]
async fn a_body_that_does_not_end_after_its_refusal_is_not_waited_for() {
    let street = Street::open(plain(), |_, _| async { text(401, "who are you") });
    let mut raw = Raw::connect(street.plain()).await;
    let head = frame(1, 4, 1, &[0x83, 0x84, 0x86, 0x41, 0x01, b'a']);
    raw.send([PREFACE, &frame(4, 0, 0, b""), &head].concat()).await;
    let mut said = Vec::new();
    said_until(&mut raw, &mut said, "a reset without error", |kind, payload| kind == 3 && payload == [0; 4]).await;
}

#[tokio::test]
async fn a_url_and_fields_beyond_the_limits_are_refused() {
    let street = street(Limits { url_length: 100, head_fields: 10, h2_header_list: 8000, ..Limits::default() });
    let mut client = Client::http2(street.plain()).await;
    assert_eq!(client.ask(get(&format!("/{}", "x".repeat(100)))).await.0, 414);
    let mut many = get("/");
    for _ in 0..11 {
        many.headers_mut().append("x-a", "1".parse().unwrap());
    }
    assert_eq!(client.ask(many).await.0, 431);
    let mut large = get("/");
    large.headers_mut().insert("x-a", "x".repeat(9000).parse().unwrap());
    match client.try_send(large).await {
        Ok(answer) => assert_eq!(answer.status(), 431),
        Err(error) => assert!(!error.is_user(), "{error}"),
    }
    assert_eq!(client.ask(get("/")).await.0, 200);
}

#[tokio::test]
async fn streams_at_once_are_limited() {
    let (release, gate) = tokio::sync::watch::channel(true);
    let limits = Limits { h2_streams: 3, ..Limits::default() };
    let street = Street::open(Settings { limits, ..plain() }, move |_, _| {
        let mut gate = gate.clone();
        async move {
            let _ = gate.wait_for(|open| *open).await;
            text(200, "ok")
        }
    });
    let mut client = Client::http2(street.plain()).await;
    // The server's SETTINGS have come once a first answer has.
    assert_eq!(client.ask(get("/")).await.0, 200);
    release.send(false).unwrap();
    let Client::Two(sender) = client else { unreachable!() };
    let waiting: Vec<_> = (0..10)
        .map(|_| {
            let mut client = Client::Two(sender.clone());
            tokio::spawn(async move { client.ask(get("/")).await.0 })
        })
        .collect();
    until("three requests", || street.handled() >= 4).await;
    let fourth = tokio::time::timeout(SHORT, async {
        while street.handled() < 5 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    assert!(fourth.await.is_err(), "more than three at once");
    release.send(true).unwrap();
    for request in waiting {
        assert_eq!(soon("an answer", request).await.unwrap(), 200);
    }
}

/// RFC 9113 sections 6.5.2 and 6.9: what a client may send ahead is what the server announces.
#[tokio::test]
async fn the_windows_and_the_header_list_that_are_announced_are_those_of_the_settings() {
    let limits = Limits {
        h2_streams: 7,
        h2_stream_window: 20_000,
        h2_connection_window: 100_000,
        h2_header_list: 8000,
        ..Limits::default()
    };
    let street = street(limits);
    let mut raw = Raw::connect(street.plain()).await;
    raw.send([PREFACE, &frame(4, 0, 0, b"")].concat()).await;
    let (mut settings, mut ahead) = (Vec::new(), 65_535);
    while settings.is_empty() || ahead == 65_535 {
        let mut head = [0; 9];
        soon("a frame", tokio::io::AsyncReadExt::read_exact(&mut raw.tcp, &mut head)).await.unwrap();
        let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
        soon("a payload", tokio::io::AsyncReadExt::read_exact(&mut raw.tcp, &mut payload)).await.unwrap();
        match (head[3], head[4] & 1) {
            (4, 0) => settings = payload,
            (8, _) => ahead += u32::from_be_bytes(payload[..4].try_into().unwrap()),
            _ => {}
        }
    }
    let announced = |id: u16| {
        let mut pairs = settings.chunks(6).filter(|pair| pair[..2] == id.to_be_bytes());
        pairs.next().map(|pair| u32::from_be_bytes(pair[2..].try_into().unwrap()))
    };
    // MAX_CONCURRENT_STREAMS, INITIAL_WINDOW_SIZE, MAX_HEADER_LIST_SIZE.
    assert_eq!((announced(3), announced(4), announced(6)), (Some(7), Some(20_000), Some(8000)));
    assert_eq!(ahead, 100_000);
}

/// RFC 9113 section 7.
const ENHANCE_YOUR_CALM: u32 = 11;

/// The error code of the GOAWAY frame among these frames.
fn farewell(mut said: &[u8]) -> Option<u32> {
    while let Some((head, rest)) = said.split_at_checked(9) {
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let (payload, rest) = rest.split_at_checked(length)?;
        if head[3] == 7 {
            return Some(u32::from_be_bytes(payload.get(4..8)?.try_into().unwrap()));
        }
        said = rest;
    }
    None
}

#[tokio::test]
async fn a_client_that_keeps_resetting_is_sent_away() {
    let limits = Limits { h2_pending_resets: 5, ..Limits::default() };
    let street = Street::open(Settings { limits, ..plain() }, |_, _| async { text(200, "ok") });
    let mut raw = Raw::connect(street.plain()).await;
    let mut bytes = [PREFACE, &frame(4, 0, 0, b"")].concat();
    // HEADERS with END_STREAM and END_HEADERS, at once reset (CVE-2023-44487).
    for stream in (1..200u8).step_by(2) {
        bytes.extend(frame(1, 5, stream, &[0x82, 0x84, 0x86, 0x41, 0x01, b'a']));
        bytes.extend(frame(3, 0, stream, &[0, 0, 0, 8]));
    }
    let _ = raw.try_send(bytes).await;
    let said = raw.rest().await;
    assert_eq!(farewell(&said), Some(ENHANCE_YOUR_CALM), "{said:?}");
}

#[tokio::test]
async fn a_client_that_makes_us_reset_its_streams_is_sent_away() {
    let limits = Limits { h2_own_resets: 5, ..Limits::default() };
    let street = Street::open(Settings { limits, ..plain() }, |_, _| async { text(200, "ok") });
    let mut raw = Raw::connect(street.plain()).await;
    let mut bytes = [PREFACE, &frame(4, 0, 0, b"")].concat();
    // A POST that says it is 4 bytes long, and 5 bytes: a stream error each time (RFC 9113 section 8.1.1).
    for stream in (1..200u8).step_by(2) {
        bytes.extend(frame(1, 4, stream, &[0x83, 0x84, 0x86, 0x41, 0x01, b'a', 0x0f, 0x0d, 0x01, b'4']));
        bytes.extend(frame(0, 1, stream, b"hello"));
    }
    let _ = raw.try_send(bytes).await;
    let said = raw.rest().await;
    assert_eq!(farewell(&said), Some(ENHANCE_YOUR_CALM), "{said:?}");
}

#[tokio::test]
async fn a_length_that_does_not_match_the_data_is_refused() {
    let street = street(Limits::default());
    let mut client = Client::http2(street.plain()).await;
    let mut request = post("/", payload("hello"));
    request.headers_mut().insert("content-length", "4".parse().unwrap());
    match client.try_send(request).await {
        Ok(answer) => assert_eq!(answer.status(), 400),
        Err(error) => assert!(!error.is_canceled(), "{error}"),
    }
}
