//! Does signing in from a person's machine do what it promises, whatever the server, the disk and the network do?
//!
//! The real program, in its own folder, against a server that speaks the protocol (`lookalike`). The same against the real
//! gate: `tests/live/machine.rs`.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]
#![allow(unreachable_pub, reason = "nobody is outside of a test program")]

#[path = "../harness/mod.rs"]
mod harness;

mod behind;
mod disk;
mod lookalike;
mod person;
mod renewal;
mod signing_in;
