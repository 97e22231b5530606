//! A server that is away, slow, or breaks off; and which of its connections are used again.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use http_body_util::BodyExt as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use trackgate::serve::Limits;
use trackgate::upstream::{Settings, Target, Upstream, UpstreamError};

use crate::harness::certs::{Authority, Folder};
use crate::harness::client::{Client, get, payload, post};
use crate::harness::raw::Raw;
use crate::harness::server::{Server, full};
use crate::harness::street::{Street, http, plain};
use crate::harness::{soon, until};

const SHORT: Duration = Duration::from_millis(200);
const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

fn to(server: &Server) -> Settings {
    Settings { target: http(server.address), ..Settings::default() }
}

/// Reads one request without a body.
async fn request(tcp: &mut TcpStream) -> bool {
    let mut read = Vec::new();
    while !read.ends_with(b"\r\n\r\n") {
        match tcp.read_u8().await {
            Ok(byte) => read.push(byte),
            Err(_) => return false,
        }
    }
    true
}

#[tokio::test]
async fn a_server_that_is_down_is_502_at_once_and_back_without_a_restart() {
    let port = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    };
    let street = Street::before(port, Limits::default());
    let mut client = Client::http1(street.plain()).await;
    let start = Instant::now();
    assert_eq!(client.ask(get("/")).await.0, 502);
    assert!(start.elapsed() < Duration::from_secs(5));
    let listener = tokio::net::TcpListener::bind(port).await.unwrap();
    tokio::spawn(async move {
        let (mut tcp, _) = listener.accept().await.unwrap();
        while request(&mut tcp).await {
            tcp.write_all(OK).await.unwrap();
        }
    });
    assert_eq!(client.ask(get("/")).await.0, 200);
}

#[tokio::test]
async fn a_server_that_does_not_accept_is_504_after_the_connect_timeout() {
    // A listener whose queue is full does not complete handshakes.
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&"127.0.0.1:0".parse::<std::net::SocketAddr>().unwrap().into()).unwrap();
    socket.listen(0).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    let mut fillers = Vec::new();
    loop {
        match tokio::time::timeout(SHORT, TcpStream::connect(address)).await {
            Ok(connected) => fillers.push(connected.unwrap()),
            Err(_) => break,
        }
        assert!(fillers.len() < 100, "the queue is never full");
    }
    let upstream = Settings { target: http(address), connect_timeout: SHORT, ..Settings::default() };
    let street = Street::passing(plain(), &upstream, |_| {});
    let mut client = Client::http1(street.plain()).await;
    assert_eq!(client.ask(get("/")).await.0, 504);
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_504_after_the_first_byte_timeout() {
    let server = Server::raw(|mut tcp| async move {
        request(&mut tcp).await;
        std::future::pending::<()>().await;
    });
    let street = Street::passing(plain(), &Settings { first_byte_timeout: SHORT, ..to(&server) }, |_| {});
    let mut client = Client::http1(street.plain()).await;
    let start = Instant::now();
    assert_eq!(client.ask(get("/")).await.0, 504);
    assert!(start.elapsed() >= SHORT);
}

#[tokio::test]
async fn the_first_byte_is_waited_for_from_the_requests_last_byte() {
    let server = Server::scripted(|request| async {
        let read = request.into_body().collect().await.unwrap().to_bytes();
        full(200, read)
    });
    let street = Street::passing(plain(), &Settings { first_byte_timeout: SHORT, ..to(&server) }, |_| {});
    let mut raw = Raw::connect(street.plain()).await;
    raw.send("POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 10\r\n\r\n").await;
    // The upload alone takes longer than the timeout.
    for _ in 0..10 {
        tokio::time::sleep(Duration::from_millis(50)).await;
        raw.send("x").await;
    }
    assert_eq!(raw.answer().await.body, b"xxxxxxxxxx");
}

#[tokio::test]
async fn a_server_that_stops_taking_an_upload_is_504() {
    let server = Server::raw(|mut tcp| async move {
        request(&mut tcp).await;
        std::future::pending::<()>().await;
    });
    let street = Street::passing(plain(), &Settings { idle_timeout: SHORT, ..to(&server) }, |_| {});
    let mut client = Client::http2(street.plain()).await;
    let (status, _) = client.ask(post("/", payload(vec![0; 64 << 20]))).await;
    assert_eq!(status, 504);
}

#[tokio::test]
async fn an_answer_that_breaks_off_never_looks_complete() {
    let half: &[(&str, &[u8])] = &[
        ("a length", b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf"),
        ("chunks", b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n"),
        ("a chunk", b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n40\r\nhalf"),
    ];
    for (what, bytes) in half {
        for reset in [false, true] {
            let server = Server::raw(move |mut tcp| async move {
                request(&mut tcp).await;
                tcp.write_all(bytes).await.unwrap();
                // Let it arrive before the reset, which would throw it away.
                tokio::time::sleep(Duration::from_millis(20)).await;
                if reset {
                    socket2::SockRef::from(&tcp).set_linger(Some(Duration::ZERO)).unwrap();
                }
            });
            let street = Street::before(server.address, Limits::default());
            for mut client in [Client::http1(street.plain()).await, Client::http2(street.plain()).await] {
                let answer = client.send(get("/")).await;
                assert_eq!(answer.status(), 200);
                let body = soon("the body", answer.into_body().collect()).await;
                assert!(body.is_err(), "{what} (reset: {reset}) looked complete");
            }
        }
    }
}

#[tokio::test]
async fn an_answer_whose_end_cannot_be_told_is_502() {
    let server = Server::raw(|mut tcp| async move {
        request(&mut tcp).await;
        tcp.write_all(b"HTTP/1.1 200 OK\r\n\r\nwho knows").await.unwrap();
    });
    let street = Street::before(server.address, Limits::default());
    let mut client = Client::http1(street.plain()).await;
    assert_eq!(client.ask(get("/")).await.0, 502);
}

#[tokio::test]
async fn an_answer_that_stalls_is_cut_off() {
    let server = Server::raw(|mut tcp| async move {
        request(&mut tcp).await;
        tcp.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf").await.unwrap();
        std::future::pending::<()>().await;
    });
    let street = Street::passing(plain(), &Settings { idle_timeout: SHORT, ..to(&server) }, |_| {});
    let mut client = Client::http1(street.plain()).await;
    let answer = client.send(get("/")).await;
    assert!(soon("the body's end", answer.into_body().collect()).await.is_err());
}

#[tokio::test]
async fn nonsense_instead_of_an_answer_is_502() {
    for nonsense in [
        &b"SSH-2.0-OpenSSH\r\n\r\n"[..],
        b"HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
        b"",
    ] {
        let server = Server::raw(move |mut tcp| async move {
            request(&mut tcp).await;
            tcp.write_all(nonsense).await.unwrap();
        });
        let street = Street::before(server.address, Limits::default());
        let mut client = Client::http1(street.plain()).await;
        assert_eq!(client.ask(get("/")).await.0, 502, "{nonsense:?}");
    }
}

#[tokio::test]
async fn a_connection_is_used_again_and_one_with_an_unfinished_exchange_is_not() {
    let server = Server::scripted(|request| async move {
        match request.uri().path() {
            // Answers before it has read the upload.
            "/early" => full(200, "early"),
            "/large" => full(200, vec![0; 1 << 20]),
            _ => full(200, request.into_body().collect().await.unwrap().to_bytes()),
        }
    });
    let street = Street::before(server.address, Limits::default());
    let mut client = Client::http1(street.plain()).await;
    for _ in 0..10 {
        assert_eq!(client.ask(get("/")).await.0, 200);
        assert_eq!(client.ask(post("/", payload("hello"))).await.1, "hello");
        assert_eq!(client.ask(get("/large")).await.1.len(), 1 << 20);
    }
    assert_eq!(server.connections(), 1);
    // A client that leaves in the middle of an answer.
    let mut leaving = Client::http1(street.plain()).await;
    let answer = leaving.send(get("/large")).await;
    drop((answer, leaving));
    // An upload that goes on after the answer.
    let mut raw = Raw::connect(street.plain()).await;
    raw.send("POST /early HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100\r\n\r\nhalf").await;
    assert_eq!(raw.answer().await.body, b"early");
    drop(raw);
    for _ in 0..5 {
        assert_eq!(client.ask(post("/", payload("hello"))).await.1, "hello");
    }
}

#[tokio::test]
async fn a_post_is_never_sent_twice_and_a_get_on_a_rested_connection_once_more() {
    let requests: Arc<AtomicUsize> = Arc::default();
    let connections: Arc<AtomicUsize> = Arc::default();
    let (counted, opened) = (Arc::clone(&requests), Arc::clone(&connections));
    // Answers the first request of each connection. The second one it reads, and closes: the worst moment.
    let server = Server::raw(move |mut tcp| {
        let counted = Arc::clone(&counted);
        opened.fetch_add(1, Ordering::SeqCst);
        async move {
            if request(&mut tcp).await {
                counted.fetch_add(1, Ordering::SeqCst);
                tcp.write_all(OK).await.unwrap();
            }
            if request(&mut tcp).await {
                counted.fetch_add(1, Ordering::SeqCst);
            }
        }
    });
    let upstream = Upstream::new(&to(&server)).unwrap();
    let ask = |method: &str| {
        let request = http::Request::builder().method(method).uri("/").body(trackgate::message::Body::Empty).unwrap();
        upstream.send(request, Duration::from_secs(10))
    };
    assert_eq!(soon("an answer", ask("POST")).await.unwrap().status(), 200);
    assert!(matches!(soon("an end", ask("POST")).await, Err(UpstreamError::Broken(_))));
    assert_eq!(requests.load(Ordering::SeqCst), 2, "the lost POST was not repeated");
    // A GET right behind another request may have been processed by a server that broke: not repeated either.
    assert_eq!(soon("an answer", ask("GET")).await.unwrap().status(), 200);
    assert!(soon("an end", ask("GET")).await.is_err());
    assert_eq!(requests.load(Ordering::SeqCst), 4);
    // On a connection that rested it is sent once more.
    assert_eq!(soon("an answer", ask("GET")).await.unwrap().status(), 200);
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(soon("an answer", ask("GET")).await.unwrap().status(), 200);
    assert_eq!(requests.load(Ordering::SeqCst), 7);
    assert_eq!(connections.load(Ordering::SeqCst), 4);
}

#[tokio::test]
async fn connections_that_the_server_closed_are_not_used() {
    let closed: Arc<AtomicUsize> = Arc::default();
    let counted = Arc::clone(&closed);
    let server = Server::raw(move |mut tcp| {
        let counted = Arc::clone(&counted);
        async move {
            if request(&mut tcp).await {
                tcp.write_all(OK).await.unwrap();
            }
            drop(tcp);
            counted.fetch_add(1, Ordering::SeqCst);
        }
    });
    let street = Street::before(server.address, Limits::default());
    let mut client = Client::http1(street.plain()).await;
    for round in 1..=50 {
        // Even a POST gets through, since nothing is written to a connection that is seen to be closed.
        assert_eq!(client.ask(post("/", payload(""))).await.0, 200);
        until("the server's close", || closed.load(Ordering::SeqCst) == round).await;
    }
}

#[tokio::test]
async fn resting_connections_are_closed_before_the_server_does_it() {
    let open: Arc<AtomicUsize> = Arc::default();
    let counted = Arc::clone(&open);
    let server = Server::raw(move |mut tcp| {
        let counted = Arc::clone(&counted);
        counted.fetch_add(1, Ordering::SeqCst);
        async move {
            while request(&mut tcp).await {
                tcp.write_all(OK).await.unwrap();
            }
            counted.fetch_sub(1, Ordering::SeqCst);
        }
    });
    let street = Street::passing(plain(), &Settings { pool_idle: SHORT, ..to(&server) }, |_| {});
    let mut client = Client::http1(street.plain()).await;
    assert_eq!(client.ask(get("/")).await.0, 200);
    assert_eq!(open.load(Ordering::SeqCst), 1);
    until("the pool's end", || open.load(Ordering::SeqCst) == 0).await;
    assert_eq!(client.ask(get("/")).await.0, 200);
}

#[tokio::test]
async fn the_pool_is_bounded() {
    let server = Server::scripted(|_| async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        full(200, "ok")
    });
    let street = Street::passing(plain(), &Settings { pool_size: 1, ..to(&server) }, |_| {});
    let mut clients = Vec::new();
    for _ in 0..5 {
        clients.push(Client::http1(street.plain()).await);
    }
    let mut rounds = Vec::new();
    for mut client in clients {
        rounds.push(tokio::spawn(async move {
            assert_eq!(client.ask(get("/")).await.0, 200);
        }));
    }
    for round in rounds {
        round.await.unwrap();
    }
    let before = server.connections();
    let mut client = Client::http1(street.plain()).await;
    assert_eq!(client.ask(get("/")).await.0, 200);
    assert_eq!(server.connections(), before, "one rests, and is used");
}

#[tokio::test]
async fn a_unix_socket_is_an_upstream_too() {
    let folder = Folder::new();
    let path = folder.path().join("mlflow.sock");
    let listener = tokio::net::UnixListener::bind(&path).unwrap();
    let server = tokio::spawn(async move {
        let (mut unix, _) = listener.accept().await.unwrap();
        let mut read = [0; 4096];
        let came = unix.read(&mut read).await.unwrap();
        unix.write_all(OK).await.unwrap();
        String::from_utf8(read[..came].to_vec()).unwrap()
    });
    let upstream = Settings { target: Target::Unix(path), ..Settings::default() };
    let street = Street::passing(plain(), &upstream, |_| {});
    let mut client = Client::http1(street.plain()).await;
    assert_eq!(client.ask(get("/")).await.0, 200);
    assert!(server.await.unwrap().contains("host: localhost\r\n"));
}

#[tokio::test]
async fn an_https_upstream_is_verified_against_its_ca() {
    let (folder, authority) = (Folder::new(), Authority::new());
    let server = Server::with_tls(authority.acceptor(), |_| async { full(200, "ok") });
    let ca = folder.path().join("ca.pem");
    let target = Target::Https { host: "localhost".to_owned(), port: server.address.port() };
    for (pem, status) in [(&authority.ca_pem, 200), (&Authority::new().ca_pem, 502)] {
        std::fs::write(&ca, pem).unwrap();
        let upstream = Settings { target: target.clone(), ca_file: Some(ca.clone()), ..Settings::default() };
        let street = Street::passing(plain(), &upstream, |_| {});
        let mut client = Client::http1(street.plain()).await;
        assert_eq!(client.ask(get("/")).await.0, status);
    }
    std::fs::write(&ca, "").unwrap();
    let upstream = Settings { target, ca_file: Some(ca), ..Settings::default() };
    assert!(matches!(Upstream::new(&upstream), Err(UpstreamError::Settings(_))));
}

/// As MLflow's server does: the head, and then the body, on a socket that waits for an acknowledgement in between (RFC 896).
#[tokio::test]
async fn a_body_that_waits_for_the_heads_acknowledgement_is_not_kept_waiting() {
    let server = Server::raw(|mut tcp| async move {
        while request(&mut tcp).await {
            tcp.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n").await.unwrap();
            tcp.write_all(b"ok").await.unwrap();
        }
    });
    let upstream = Upstream::new(&to(&server)).unwrap();
    // Beside it, one who leaves the acknowledgements to the system: the first ones it sends at once, and then each after
    // 40 ms (Linux, `TCP_DELACK_MIN`).
    let mut plain = TcpStream::connect(server.address).await.unwrap();
    let (mut ours, mut others) = (Vec::new(), Vec::new());
    for _ in 0..40 {
        let began = Instant::now();
        assert_eq!(upstream.ask("/x").await.unwrap().status, 200);
        ours.push(began.elapsed());
        let began = Instant::now();
        plain.write_all(b"GET /x HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"ok") {
            assert_ne!(plain.read_buf(&mut answer).await.unwrap(), 0);
        }
        others.push(began.elapsed());
    }
    assert_eq!(server.connections(), 2);
    // The best of twenty of each: what else the machine does delays both.
    let fastest = |times: &[Duration]| times[20..].iter().min().copied().unwrap();
    assert!(fastest(&ours) * 2 < fastest(&others), "{ours:?} {others:?}");
}

#[tokio::test]
async fn a_question_of_our_own_is_read_whole_and_within_a_limit() {
    let server = Server::scripted(|request| async move {
        match request.uri().path() {
            "/large" => full(200, vec![b'x'; 17 << 20]),
            "/missing" => full(404, r#"{"error_code": "RESOURCE_DOES_NOT_EXIST"}"#),
            _ => full(200, vec![b'x'; 1 << 20]),
        }
    });
    let upstream = Upstream::new(&to(&server)).unwrap();
    let asked = soon("an answer", upstream.ask("/x?y=z")).await.unwrap();
    assert_eq!((asked.status.as_u16(), asked.body.len()), (200, 1 << 20));
    assert_eq!(server.seen()[0].target, "/x?y=z");
    let asked = soon("an answer", upstream.ask("/missing")).await.unwrap();
    assert_eq!(asked.status.as_u16(), 404);
    let too_large = soon("an answer", upstream.ask("/large")).await.map(|asked| asked.body.len());
    assert!(matches!(too_large, Err(UpstreamError::AnswerTooLarge)), "{too_large:?}");
}
