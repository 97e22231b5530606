//! Does the running proxy keep its promises, against a scripted upstream?

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

#[path = "../harness/mod.rs"]
mod harness;

mod answer;
mod drain;
mod effects;
mod framing;
mod http2;
mod judged;
mod limits;
mod passing;
mod stream;
mod tls;
mod upstream;
