//! Time travel: trainings that last longer than any token, and not one call that fails.

use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};

use super::{Gatekeeper, HOUR, Mint, Running, Told, boxed, clock};
use crate::harness::client::{Payload, payload};

/// A body whose length nobody says: it is streamed, and cannot be sent twice.
fn streamed(parts: usize) -> Payload {
    let parts = (0..parts).map(|_| Ok::<_, std::io::Error>(Frame::data(Bytes::from_static(&[7; 1000]))));
    StreamBody::new(stream::iter(parts)).boxed()
}

#[tokio::test]
async fn a_training_of_48_hours_crosses_48_expiries_without_one_failed_call() {
    let clock = clock();
    let (mint, gate) = (Mint::by(&clock), Gatekeeper::by(&clock));
    let agent = Running::before(&gate.url(), |settings| {
        (settings.own, settings.clock) = (Some(boxed(&mint)), clock.clone());
    })
    .await;
    let mut client = agent.client().await;
    let (step, mut calls) = (Duration::from_mins(5), 0);
    for minute in 0..48 * 12 {
        // A metric each five minutes, a checkpoint each hour; a source that is away for a quarter of an hour now and then.
        mint.fails.store(minute % 36 == 9 || minute % 36 == 10, Ordering::SeqCst);
        let metric = agent.request("POST", "/api/2.0/mlflow/runs/log-metric", payload("{\"key\":\"loss\"}"));
        assert_eq!(Told::of(client.send(metric).await).await.status, 200, "metric at minute {}", minute * 5);
        calls += 1;
        if minute % 12 == 11 {
            let checkpoint = agent.request("PUT", "/api/2.0/mlflow-artifacts/artifacts/0/c", streamed(50));
            assert_eq!(
                Told::of(client.send(checkpoint).await).await.status,
                200,
                "checkpoint at minute {}",
                minute * 5
            );
            calls += 1;
        }
        clock.advance(step);
    }
    assert!(mint.made() > 48, "{} tokens", mint.made());
    assert_eq!(gate.refused(), 0, "no token had ended when it was shown");
    assert_eq!(gate.heard().len(), calls, "each call was sent once");
    let large: Vec<usize> = gate.heard().iter().filter(|heard| heard.method == "PUT").map(|heard| heard.size).collect();
    assert_eq!(large, vec![50_000; 48]);
}

#[tokio::test]
async fn a_training_that_calls_less_often_than_tokens_live_finds_a_new_one_each_time() {
    let clock = clock();
    let (mint, gate) = (Mint::by(&clock), Gatekeeper::by(&clock));
    let agent = Running::before(&gate.url(), |settings| {
        (settings.own, settings.clock) = (Some(boxed(&mint)), clock.clone());
    })
    .await;
    let mut client = agent.client().await;
    for hour in 0..=48 {
        let upload = agent.request("PUT", "/api/2.0/mlflow-artifacts/artifacts/0/c", streamed(3));
        assert_eq!(Told::of(client.send(upload).await).await.status, 200, "hour {hour}");
        clock.advance(HOUR);
    }
    assert_eq!((mint.made(), gate.refused()), (49, 0));
}

#[tokio::test]
async fn a_machine_whose_clock_is_wrong_goes_by_the_servers() {
    // Ours is 50 minutes behind: by it every token seems to live that much longer.
    let (ours, theirs) = (clock(), clock());
    theirs.advance(Duration::from_mins(50));
    let (mint, gate) = (Mint::by(&theirs), Gatekeeper::by(&theirs));
    let agent = Running::before(&gate.url(), |settings| {
        (settings.own, settings.clock) = (Some(boxed(&mint)), ours.clone());
    })
    .await;
    let mut client = agent.client().await;
    for _ in 0..100 {
        let upload = agent.request("PUT", "/api/2.0/mlflow-artifacts/artifacts/0/c", streamed(3));
        assert_eq!(Told::of(client.send(upload).await).await.status, 200);
        ours.advance(Duration::from_mins(7));
        theirs.advance(Duration::from_mins(7));
    }
    assert_eq!(gate.refused(), 0);
    assert!(agent.said().contains("this machine's clock is 3000 s behind the server's"), "{}", agent.said());
}

#[tokio::test]
async fn a_clock_that_is_far_ahead_of_the_world_still_shows_what_it_is_given() {
    let (ours, theirs) = (clock(), clock());
    ours.advance(Duration::from_hours(24 * 365));
    let (mint, gate) = (Mint::by(&theirs), Gatekeeper::by(&theirs));
    let agent = Running::before(&gate.url(), |settings| {
        (settings.own, settings.clock) = (Some(boxed(&mint)), ours.clone());
    })
    .await;
    assert_eq!(agent.get("/a").await.status, 200);
    assert_eq!(agent.get("/a").await.status, 200);
    assert_eq!(mint.made(), 1, "and does not ask for another each time");
}
