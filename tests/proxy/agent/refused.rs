//! What happens when the server, or the source, says no.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::join_all;
use http::Request;
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Incoming;
use trackgate::clock::Clock;

use super::{Gatekeeper, HOUR, Mint, Running, Told, boxed, claims, clock};
use crate::harness::client::{Payload, payload};
use crate::harness::server::{Server, full};
use crate::harness::{soon, until};

const CALL: &str = "/api/2.0/mlflow/runs/log-metric";

/// A body that comes in parts as the test says, and its sender.
fn in_parts() -> (tokio::sync::mpsc::UnboundedSender<Bytes>, Payload) {
    let (sender, mut parts) = tokio::sync::mpsc::unbounded_channel::<Bytes>();
    let body = futures_util::stream::poll_fn(move |cx| {
        parts.poll_recv(cx).map(|part| part.map(|part| Ok::<_, std::io::Error>(Frame::data(part))))
    });
    (sender, BodyExt::boxed(StreamBody::new(body)))
}

#[tokio::test]
async fn a_401_leads_to_one_renewal_and_one_more_try_for_all_who_wait() {
    let clock = clock();
    let (mint, gate) = (Mint::by(&clock), Gatekeeper::by(&clock));
    let agent = Running::before(&gate.url(), |settings| {
        (settings.own, settings.clock) = (Some(boxed(&mint)), clock.clone());
    })
    .await;
    assert_eq!(agent.get("/a").await.status, 200);
    gate.revoked.store(1, Ordering::SeqCst);
    let calls = (0..20).map(|_| agent.send(agent.request("POST", CALL, payload("{}"))));
    for told in join_all(calls).await {
        assert_eq!(told.status, 200);
    }
    assert_eq!(mint.made(), 2, "one renewal for all of them");
    assert!(gate.refused() <= 20);
}

#[tokio::test]
async fn a_server_that_refuses_for_ever_is_asked_twice_and_the_source_once() {
    let clock = clock();
    let (mint, gate) = (Mint::by(&clock), Gatekeeper::by(&clock));
    gate.revoked.store(u64::MAX, Ordering::SeqCst);
    let agent = Running::before(&gate.url(), |settings| {
        (settings.own, settings.clock) = (Some(boxed(&mint)), clock.clone());
    })
    .await;
    let told = agent.get("/a").await;
    assert_eq!((told.status, told.code().as_str()), (401, "UNAUTHENTICATED"));
    assert!(told.text().contains("the token has ended"), "the server's own words: {}", told.text());
    assert_eq!((mint.made(), gate.heard().len()), (2, 2));
    for _ in 0..50 {
        assert_eq!(agent.get("/a").await.status, 401);
    }
    assert_eq!((mint.made(), gate.heard().len()), (2, 52), "no storm at either end");
    clock.advance(Duration::from_secs(11));
    assert_eq!(agent.get("/a").await.status, 401);
    assert_eq!(mint.made(), 3, "somebody may have logged in again");
}

#[tokio::test]
async fn a_token_that_cannot_be_another_is_not_shown_twice() {
    let clock = clock();
    let (mint, gate) = (Mint::by(&clock), Gatekeeper::by(&clock));
    mint.repeats.store(true, Ordering::SeqCst);
    gate.revoked.store(1, Ordering::SeqCst);
    let agent = Running::before(&gate.url(), |settings| {
        (settings.own, settings.clock) = (Some(boxed(&mint)), clock.clone());
    })
    .await;
    assert_eq!(agent.get("/a").await.status, 401);
    assert_eq!(gate.heard().len(), 1);
}

#[tokio::test]
async fn a_large_upload_that_met_a_401_is_asked_for_again() {
    let clock = clock();
    let (mint, gate) = (Mint::by(&clock), Gatekeeper::by(&clock));
    let agent = Running::before(&gate.url(), |settings| {
        (settings.own, settings.clock) = (Some(boxed(&mint)), clock.clone());
    })
    .await;
    let upload = || {
        let (parts, body) = in_parts();
        for _ in 0..3 {
            parts.send(Bytes::from(vec![1; 100_000])).unwrap();
        }
        agent.request("PUT", "/api/2.0/mlflow-artifacts/artifacts/0/c", body)
    };
    assert_eq!(agent.get("/a").await.status, 200);
    gate.revoked.store(1, Ordering::SeqCst);
    let told = agent.send(upload()).await;
    assert_eq!((told.status, told.header("retry-after")), (503, "1"), "{}", told.text());
    assert_eq!(told.code(), "TEMPORARILY_UNAVAILABLE");
    assert_eq!(agent.send(upload()).await.status, 200);
    gate.revoked.store(u64::MAX, Ordering::SeqCst);
    clock.advance(Duration::from_secs(2));
    assert_eq!(agent.send(upload()).await.status, 503);
    assert_eq!(agent.send(upload()).await.status, 401, "a server that refuses for ever is believed");
}

#[tokio::test]
async fn an_upload_reaches_the_server_before_it_ends() {
    let clock = clock();
    let mint = Mint::by(&clock);
    let seen: Arc<AtomicUsize> = Arc::default();
    let count = Arc::clone(&seen);
    let server = Server::scripted(move |request: Request<Incoming>| {
        let count = Arc::clone(&count);
        async move {
            let mut body = request.into_body();
            while let Some(Ok(frame)) = body.frame().await {
                count.fetch_add(frame.data_ref().map_or(0, Bytes::len), Ordering::SeqCst);
            }
            full(200, "{}")
        }
    });
    let agent = Running::before(&format!("http://{}", server.address), |settings| {
        (settings.own, settings.clock) = (Some(boxed(&mint)), clock.clone());
    })
    .await;
    let (parts, body) = in_parts();
    parts.send(Bytes::from_static(b"first")).unwrap();
    let mut client = agent.client().await;
    let sending = tokio::spawn({
        let request = agent.request("PUT", "/x", body);
        async move { client.send(request).await.status().as_u16() }
    });
    until("the first part", || seen.load(Ordering::SeqCst) == 5).await;
    parts.send(Bytes::from_static(b"second")).unwrap();
    until("the second part", || seen.load(Ordering::SeqCst) == 11).await;
    drop(parts);
    assert_eq!(sending.await.unwrap(), 200);
}

#[tokio::test]
async fn a_source_that_hangs_holds_nobody_for_ever_and_the_old_credential_is_used_meanwhile() {
    let clock = clock();
    let (mint, gate) = (Mint::by(&clock), Gatekeeper::by(&clock));
    let agent = Running::before(&gate.url(), |settings| {
        (settings.own, settings.clock) = (Some(boxed(&mint)), clock.clone());
        settings.source_patience = Duration::from_millis(300);
    })
    .await;
    assert_eq!(agent.get("/a").await.status, 200);
    mint.hangs.store(true, Ordering::SeqCst);
    clock.advance(Duration::from_mins(50));
    for _ in 0..5 {
        assert_eq!(agent.get("/a").await.status, 200, "due, and not over");
    }
    assert_eq!(mint.asked(), 2, "one question hangs, and no other is asked");
    clock.advance(Duration::from_mins(10));
    let begun = Instant::now();
    let told = agent.get("/a").await;
    assert!(begun.elapsed() < Duration::from_secs(10));
    assert_eq!((told.status, told.code().as_str()), (503, "TEMPORARILY_UNAVAILABLE"), "{}", told.text());
    assert!(!told.header("retry-after").is_empty());
    assert!(told.text().contains("the test's mint did not answer in time"), "{}", told.text());
    mint.hangs.store(false, Ordering::SeqCst);
    clock.advance(Duration::from_secs(6));
    assert_eq!(agent.get("/a").await.status, 200, "and when it answers again all is well");
}

#[tokio::test]
async fn a_login_that_has_ended_is_told_with_the_command_that_helps() {
    let clock = clock();
    let (mint, gate) = (Mint::by(&clock), Gatekeeper::by(&clock));
    let agent = Running::before(&gate.url(), |settings| {
        (settings.own, settings.clock) = (Some(boxed(&mint)), clock.clone());
    })
    .await;
    assert_eq!(agent.get("/a").await.status, 200);
    mint.lasting.store(true, Ordering::SeqCst);
    clock.advance(HOUR);
    let told = agent.get("/a").await;
    assert_eq!((told.status, told.code().as_str()), (401, "UNAUTHENTICATED"));
    assert!(told.text().contains("the login has ended: run `trackgate login`"), "{}", told.text());
    assert_eq!(agent.said().matches("the login has ended").count(), 1, "once: {}", agent.said());
    // Somebody does what it says.
    mint.lasting.store(false, Ordering::SeqCst);
    clock.advance(Duration::from_secs(6));
    assert_eq!(agent.get("/a").await.status, 200);
    assert!(agent.said().contains("there is a credential again"), "{}", agent.said());
}

#[tokio::test]
async fn a_server_that_is_away_is_waited_for_and_then_the_client_is_asked_to_come_again() {
    let clock = clock();
    let mint = Mint::by(&clock);
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    drop(socket);
    let agent = Running::before(&format!("http://{address}"), |settings| {
        (settings.own, settings.clock) = (Some(boxed(&mint)), clock.clone());
    })
    .await;
    let told = agent.get("/a").await;
    assert_eq!((told.status, told.code().as_str()), (503, "TEMPORARILY_UNAVAILABLE"));
    assert_eq!(told.header("retry-after"), "1");
    clock.advance(HOUR);
    assert_eq!(
        agent.get("/a").await.header("retry-after"),
        "30",
        "the longer it is away the longer, up to half a minute"
    );

    let patient = Running::before(&format!("http://{address}"), |settings| {
        (settings.own, settings.clock) = (Some(boxed(&mint)), clock.clone());
        settings.patience = Duration::from_mins(1);
    })
    .await;
    let mut client = patient.client().await;
    let large = in_parts();
    large.0.send(Bytes::from_static(b"a large upload")).unwrap();
    drop(large.0);
    let request = patient.request("PUT", "/x", large.1);
    let waiting = tokio::spawn(async move { Told::of(client.send(request).await).await });
    let small = patient.request("POST", CALL, payload("{}"));
    let mut other = patient.client().await;
    let also = tokio::spawn(async move { Told::of(other.send(small).await).await });
    until("the outage is noticed", || patient.said().contains("cannot be reached")).await;
    // The server comes back on the same port, which the tests hold by binding it again.
    let listener = tokio::net::TcpListener::bind(address).await.unwrap();
    tokio::spawn(async move {
        loop {
            let (tcp, _) = listener.accept().await.unwrap();
            let service = hyper::service::service_fn(|request: Request<Incoming>| async {
                let size = request.into_body().collect().await.unwrap().to_bytes().len();
                Ok::<_, std::convert::Infallible>(full(200, size.to_string()))
            });
            let io = hyper_util::rt::TokioIo::new(tcp);
            tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(io, service));
        }
    });
    let (told, small) = (soon("the upload", waiting).await.unwrap(), soon("the call", also).await.unwrap());
    assert_eq!((told.status, told.text().as_str()), (200, "14"), "a body that nobody has read of is sent whole");
    assert_eq!((small.status, small.text().as_str()), (200, "2"));
    assert!(patient.said().contains("the server answers again"), "{}", patient.said());
}

#[tokio::test]
async fn a_connection_that_breaks_under_a_request_is_a_502_and_the_agent_lives() {
    let clock = clock();
    let mint = Mint::by(&clock);
    let server = Server::raw(|mut tcp| async move {
        use tokio::io::AsyncReadExt as _;
        let _ = tcp.read(&mut [0; 1024]).await;
    });
    let agent = Running::before(&format!("http://{}", server.address), |settings| {
        (settings.own, settings.clock) = (Some(boxed(&mint)), clock.clone());
    })
    .await;
    for _ in 0..3 {
        let told = agent.send(agent.request("POST", CALL, payload("{}"))).await;
        assert_eq!((told.status, told.code().as_str()), (502, "TEMPORARILY_UNAVAILABLE"), "{}", told.text());
        assert_eq!(told.header("retry-after"), "1");
    }
}

#[tokio::test]
async fn before_iap_each_credential_goes_where_it_belongs() {
    // The script's answers have the true date.
    let clock = Clock::System;
    let (ours, googles) = (Mint::by(&clock), Mint::by(&clock));
    // IAP refuses its own first credential, and never looks at ours.
    let server = Server::scripted(|request: Request<Incoming>| async move {
        let number = |name: &str| claims(request.headers().get(name)).and_then(|claims| claims["jti"].as_u64());
        let mut answer = match (number("proxy-authorization"), number("authorization")) {
            (Some(1), _) => full(401, "Invalid IAP credentials"),
            (Some(2), Some(1)) => return full(200, "{}"),
            (None, _) => {
                let mut answer = full(302, "");
                answer
                    .headers_mut()
                    .insert("location", "https://accounts.google.com/o/oauth2/v2/auth".parse().unwrap());
                answer
            }
            other => return full(418, format!("{other:?}")),
        };
        answer.headers_mut().insert("x-goog-iap-generated-response", "true".parse().unwrap());
        answer
    });
    let url = format!("http://{}", server.address);
    let agent = Running::before(&url, |settings| {
        (settings.own, settings.iap, settings.clock) = (Some(boxed(&ours)), Some(boxed(&googles)), clock.clone());
    })
    .await;
    let told = agent.get("/a").await;
    assert_eq!(told.status, 200, "{}", told.text());
    assert_eq!((ours.made(), googles.made()), (1, 2), "the one that was refused is the one that is renewed");

    let without = Running::before(&url, |settings| {
        (settings.own, settings.clock) = (Some(boxed(&ours)), clock.clone());
    })
    .await;
    let told = without.get("/a").await;
    assert_eq!((told.status, told.code().as_str()), (401, "UNAUTHENTICATED"));
    assert!(told.text().contains("--iap-audience"), "{}", told.text());
}
