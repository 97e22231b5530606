//! Does the installed MLflow still decide as we do?

use std::process::Command;

use crate::oracle::compare;
use crate::stage::python::Environment;
use crate::stage::{repository, run};

#[test]
fn the_installed_mlflow_decides_as_we_do() {
    let environment = Environment::with_mlflow().unwrap();
    let script = repository().join("tests/fixtures/mlflow_decisions.py");
    let cases = run(Command::new(environment.python()).arg(script).env("PYTHONDONTWRITEBYTECODE", "1")).unwrap();
    let (agreed, stricter) = compare(&cases);
    assert!(agreed >= 12_000, "{agreed} agreed, {stricter:?}");
}
