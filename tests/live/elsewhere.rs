//! Does the same hold with PostgreSQL and Cloud Storage behind the server?

use crate::house::{House, folder, part};
use crate::stage::authority::Authority;
use crate::stage::gcs::Emulator;
use crate::stage::idp::accounts::TRAINER;
use crate::stage::mlflow::{Artifacts, Rows};
use crate::stage::output;
use crate::stage::postgres::Postgres;
use crate::stage::python::Environment;

#[test]
fn training_works_on_postgresql_with_enforced_tls_and_on_cloud_storage() {
    let test = "training_works_on_postgresql_with_enforced_tls_and_on_cloud_storage";
    let folder = folder("elsewhere-back");
    let authority = Authority::new(&folder).unwrap();
    let Some(postgres) = part(test, Postgres::start(&authority, &folder.join("postgres.log"))) else { return };
    let emulator = Emulator::start(&Environment::with_emulator().unwrap(), &folder.join("gcs-emulator.log")).unwrap();
    let house = House::build("elsewhere", |_, _| (Rows::Postgres(&postgres), Artifacts::Bucket(&emulator))).unwrap();

    // The database speaks TLS or nothing.
    let probe = "import sys, psycopg2\npsycopg2.connect(sys.argv[1].replace('postgresql+psycopg2', 'postgresql'))";
    let connect = |mode: &str| {
        let mut python = std::process::Command::new(house.environment.python());
        output(python.args(["-c", probe, &postgres.uri_with_mode(mode)])).unwrap()
    };
    assert!(connect("verify-full").status.success());
    let plain = connect("disable");
    assert!(!plain.status.success() && String::from_utf8_lossy(&plain.stderr).contains("pg_hba.conf rejects"));

    let mut script = house.script("../../../examples/demo/train.py");
    script.env("MLFLOW_TRACKING_TOKEN", house.token(&TRAINER));
    let done = output(&mut script).unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert!(done.status.success(), "{said}");
    assert!(said.contains("iris-classifier version 1 predicts"), "{said}");
    house.play("permissions.py");
}
