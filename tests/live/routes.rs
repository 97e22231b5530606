//! Does the table know every route of the MLflow that is installed, and does `trackgate doctor` say so?

use std::process::Command;

use crate::stage::python::Environment;
use crate::stage::run;

#[test]
fn doctor_finds_a_row_for_every_route_of_the_installed_mlflow() {
    let environment = Environment::with_mlflow().unwrap();
    let mut doctor = Command::new(env!("CARGO_BIN_EXE_trackgate"));
    let said = run(doctor.args(["doctor", "--python"]).arg(environment.python())).unwrap();
    let listed = said.rsplit("each of its ").next().and_then(|rest| rest.split(' ').next()).unwrap();
    let listed: usize = listed.parse().unwrap_or_else(|_| panic!("{said}"));
    assert!(said.contains("ok    MLflow 3.") && listed > 480, "{said}");
}
