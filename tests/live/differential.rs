//! Who may what, under MLflow's own basic-auth and through Trackgate?
//!
//! `cargo test --test live differential -- --ignored`: some minutes. See `tests/differential/run.py`.

use std::process::Command;

use crate::stage::python::Environment;
use crate::stage::repository;

#[test]
#[ignore = "two servers and some thousand requests"]
fn differential() {
    let environment = Environment::with_basic_auth().unwrap();
    let mut command = Command::new(environment.python());
    command
        .arg(repository().join("tests/differential/run.py"))
        .env("TRACKGATE_BINARY", env!("CARGO_BIN_EXE_trackgate"))
        .env("PYTHONDONTWRITEBYTECODE", "1");
    // It speaks for itself, while it runs: which rows differ, and the numbers at the end.
    let done = command.status().unwrap();
    assert!(
        done.success(),
        "a difference that docs/differences.md does not name, or a row that was not driven: see above"
    );
}
