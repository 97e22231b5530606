//! Who may what, under MLflow's own basic-auth and through Trackgate?
//!
//! `cargo test --test live differential -- --ignored`: some minutes. See `tests/differential/run.py`.

use std::process::Command;

use crate::stage::output;
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
    let done = output(&mut command).unwrap();
    let (out, err) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    println!("{out}");
    assert!(done.status.success(), "{out}{err}");
}
