//! Does MLflow's own client of users, roles and permissions work unchanged?
//!
//! Each script calls every method that the client of its version has, as administrator and as others, and fails where one
//! was left out.

use crate::house::shared;
use crate::stage::python::Environment;

#[test]
fn every_method_of_the_client_with_roles_works_unpatched() {
    let said = shared().play_by(&Environment::with_basic_auth().unwrap(), "auth_roles.py");
    assert!(said.contains("22 methods of AuthServiceClient"), "{said}");
    // Who did it stands in the log.
    shared().audit(|record| record["call"] == "AssignRole" && record["user"] == "admin@demo.example");
}

#[test]
fn every_method_of_the_client_before_roles_works_unpatched() {
    let client = Environment::with_version_and_basic_auth("3.11.1").unwrap();
    let said = shared().play_by(&client, "auth_objects.py");
    assert!(said.contains("33 methods of AuthServiceClient"), "{said}");
}
