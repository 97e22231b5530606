//! Trackgate in front of a real MLflow server, driven by MLflow's own Python client and by a real browser.
//!
//! `cargo test --test live` sets up what is missing. All tests share one server, as its start is what costs most.
//! A part that not everybody has (PostgreSQL, Chromium) is skipped by name; with `TRACKGATE_REQUIRE_ALL=1` a missing
//! part is a failure.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../stage/mod.rs"]
#[allow(dead_code, unreachable_pub, reason = "shared with the demo, which uses other parts of it")]
mod stage;

#[path = "../oracle/mod.rs"]
#[allow(dead_code, reason = "shared with tests/decide.rs, which uses other parts of it")]
mod oracle;

/// The agent on a client's machine.
mod agent;
/// MLflow's client of users, roles and permissions.
mod auth;
/// Sign-in, the MLflow pages and sign-out in Chromium.
mod browser;
/// MLflow's Python client.
mod client;
/// MLflow's fold and ours.
mod decisions;
/// MLflow's basic-auth and Trackgate, request by request.
mod differential;
/// The demo, as a newcomer runs it.
mod demo;
/// PostgreSQL and Cloud Storage behind the server.
mod elsewhere;
/// The AI gateway, MCP servers, skills.
mod gateway;
/// The one server that the tests share.
mod house;
/// Older servers and clients.
mod matrix;
/// Logins of the command line.
mod logins;
/// Signing in from a person's own machine.
mod machine;
/// Grants on what experiments are called.
mod names;
/// Our own pages in Chromium.
mod own_pages;
/// The pages in Chromium.
mod pages;
/// MLflow's pages of users and roles, and the way out.
mod people;
/// The Python package for MLflow's client.
mod plugin;
/// MLflow below a static prefix.
mod prefix;
/// A client that sends too much.
mod rates;
/// The README.
mod readme;
/// What somebody who is refused reads in the pages.
mod refusals;
/// The table of routes against the routes of the installed server.
mod routes;
/// Tokens of our own.
mod tokens;
/// Direct, and through the gate as an administrator.
mod transparency;
/// A small WebDriver client.
mod webdriver;
/// Workspaces.
mod workspaces;
