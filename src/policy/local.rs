//! Which endpoints are our own?
//!
//! All of them lie under `/trackgate/`, which MLflow does not use; they do not move with MLflow's static prefix.

use super::route::Need::{Anyone, SignedIn};
use super::route::{Row, get, post};

/// One row for each endpoint of our own.
#[rustfmt::skip]
pub static LOCAL: &[Row] = &[
    // Signing in and out
    get ("trackgate/login",             "SignInPage",     &[Anyone]).root(),
    get ("trackgate/login/{issuer}",    "StartSignIn",    &[Anyone]).root(),
    get ("trackgate/callback/{issuer}", "FinishSignIn",   &[Anyone]).root(),
    get ("trackgate/logout",            "SignOutPage",    &[Anyone]).root(),
    post("trackgate/logout",            "SignOut",        &[Anyone]).root(),
    get ("trackgate/logged-out",        "SignedOutPage",  &[Anyone]).root(),
    get ("trackgate/assets/{name}",     "Asset",          &[Anyone]).root(),

    // For probes and people
    get ("trackgate/livez",             "Live",           &[Anyone]).root(),
    get ("trackgate/whoami",            "WhoAmI",         &[SignedIn]).root(),
];
