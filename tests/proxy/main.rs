//! Does the running proxy keep its promises, against a scripted upstream?

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]
#![allow(clippy::match_same_arms, reason = "a script of an upstream says one line for each address")]
#![allow(clippy::needless_pass_by_value, reason = "`json!` makes a value where it is passed")]

#[path = "../harness/mod.rs"]
mod harness;

mod acme;
mod agent;
mod answer;
mod authenticate;
mod authors;
mod backup;
mod bad_input;
mod bindings;
mod certified;
mod drain;
mod effects;
mod faults;
mod framing;
mod full_disk;
mod gateway;
mod google;
mod http2;
mod invalid;
mod iap;
mod idle;
mod judged;
mod limits;
mod login;
mod million;
mod monitor;
mod names;
mod numbers;
mod oauth;
mod outside;
mod own_pages;
mod own_wider;
mod passing;
mod permissions;
mod prefixed;
mod raised;
mod rates;
mod records;
mod reload;
mod registry;
mod replicas;
mod review;
mod sessions;
mod signals;
mod spans;
mod stream;
mod systemd;
mod tls;
mod tokens;
mod traces;
mod unread;
mod upstream;
mod workspaces;
