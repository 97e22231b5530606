//! Does MLflow itself act in the workspace that was judged, and in no other?
//!
//! On a server of its own, which runs with `--enable-workspaces`.

use crate::house::House;
use crate::stage::mlflow::{Artifacts, Rows};

#[test]
fn people_of_two_workspaces_never_meet() {
    let back = |_: &_, _: &_| (Rows::Sqlite, Artifacts::Folder);
    let house = House::build_with("workspaces", back, true).unwrap();
    house.play("workspaces.py");
}
