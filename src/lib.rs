//! Trackgate: an authenticating, per-object access layer in front of an unmodified MLflow tracking server.
//!
//! The rooms, in the order in which a request meets them. `docs/ARCHITECTURE.md` tells the rest.

// The street door: sockets, TLS, connection limits, drain.
pub mod serve;
// The hall: the whole way of a request, in order.
pub mod gate;
// Who is asking.
pub mod authenticate;
// Groups that Google knows of people.
pub mod directory;
// What each call needs (pure).
pub mod policy;
// To which experiment or model an id belongs.
pub mod resolve;
// Users, groups, grants, sessions.
pub mod store;
// The policy as files, what differs from them, and what they would have decided (pure).
pub mod paper;
// Who may (pure).
pub mod access;
// To MLflow and back.
pub mod forward;
// The pooled client to the MLflow server.
pub mod upstream;
// What may be seen of an answer, and what follows from it.
pub mod answer;
// One record per request.
pub mod audit;
// Sign-in page, refusal page, sign-out.
pub mod pages;
// MLflow's API of users, roles and permissions, answered by us.
pub mod api;
// MLflow's words (pure).
pub mod mlflow;
// Requests and bodies, once inside.
pub mod message;
// Small sealed texts that clients carry for us: cookies, page tokens.
pub mod seal;
// How a token of our own is written.
pub mod token_form;
// In which trace a request is, and what is told of it there.
pub mod trace_context;
pub mod spans;
// To whoever keeps traces.
pub mod collector;
// The agent on a client's machine: a fresh credential on every request of programs that know of none.
pub mod connect;
// The configuration file and the settings made from it.
pub mod config;
// The commands.
pub mod cli;
// Operational logs.
pub mod telemetry;
// Certificates that an authority gives by ACME.
pub mod acme;
// What a certificate says of itself.
pub mod certificate;
// Numbers: how many, how long, how old.
pub mod metrics;
// What the gate tells of itself: whether it lives, and whether it is ready.
pub mod monitor;
// A machine's own proof before Google.
pub mod google;
// The client for what identity providers say.
pub mod fetch;
// On a person's own machine: signing in from there, and the credential that is kept.
pub mod client;
// Deadlines that move.
mod seldom;
mod timer;
pub mod way_out;
// Time, and its settable twin for tests.
pub mod clock;
// What must hold for every input; for fuzzers and tests.
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
