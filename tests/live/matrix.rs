//! Does the same hold for old and new MLflow servers, each with the client of its own version, and for old clients?
//!
//! `cargo test --test live matrix` runs the oldest and the newest; `TRACKGATE_MLFLOW=all` all five, and
//! `TRACKGATE_MLFLOW=3.5.1` that one.

use crate::house::{House, newest, shared};
use crate::stage::python::Environment;
use crate::stage::{Fault, say};

/// The oldest supported version, three between (the last is what the other tests run on), and the newest.
const VERSIONS: [&str; 5] = [OLDEST, "3.5.1", "3.11.1", SHARED, NEWEST];
const OLDEST: &str = "2.22.5";
const SHARED: &str = "3.17.2";
pub(crate) const NEWEST: &str = "3.18.0";

/// What every version has to do.
const SUITE: [&str; 5] = ["permissions.py", "searching.py", "artifacts.py", "registry.py", "versions.py"];

/// What the newest client can do before the oldest server. To list a run's artifacts it searches for logged models first,
/// and fails where the server has none, without a gate too.
const SHARED_BY_ALL: [&str; 2] = ["permissions.py", "searching.py"];

/// Which versions are to be run.
fn chosen() -> Vec<&'static str> {
    let wanted = std::env::var("TRACKGATE_MLFLOW").unwrap_or_default();
    match wanted.as_str() {
        "" => vec![OLDEST, NEWEST],
        "all" => VERSIONS.to_vec(),
        one => {
            let found: Vec<_> = VERSIONS.into_iter().filter(|version| *version == one).collect();
            assert!(!found.is_empty(), "TRACKGATE_MLFLOW is `all` or one of {VERSIONS:?}, not `{one}`");
            found
        }
    }
}

fn build(version: &str) -> Result<House, Fault> {
    House::build_on(&format!("matrix-{version}"), Environment::with_version(version)?, "", House::simple)
}

fn play(house: &House, client: &Environment, version: &str, suite: &[&str]) {
    for script in suite {
        say(&format!("      {script} by the client of {version}"));
        house.play_by(client, script);
    }
}

#[test]
fn matrix_of_server_versions_each_with_its_own_client_and_the_oldest_with_the_newest() {
    for version in chosen() {
        say(&format!("      server {version}"));
        let built;
        let house = match version {
            SHARED => shared(),
            NEWEST => newest(),
            other => {
                built = build(other).unwrap_or_else(|fault| panic!("{other}: {fault}"));
                &built
            }
        };
        play(house, &house.environment, version, &SUITE);
        if version == OLDEST {
            play(house, &newest().environment, NEWEST, &SHARED_BY_ALL);
        }
        let told = std::fs::read_to_string(house.folder.join("trackgate.log")).unwrap();
        assert!(told.contains("MLflow answers") && told.contains(version), "{told}");
    }
}

#[test]
fn matrix_of_the_oldest_client_before_the_newest_server() {
    let oldest = Environment::with_version(OLDEST).unwrap();
    play(newest(), &oldest, OLDEST, &SUITE);
}
