//! Does the house stand as `docs/ARCHITECTURE.md` says? Imports run downward, pure rooms stay pure.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Each room and its floor. An import may only go to a lower floor, or stay within its room.
const FLOORS: &[(&str, u8)] = &[
    ("main", 10),
    ("fuzzing", 9),
    ("cli", 9),
    ("config", 8),
    ("gate", 6),
    ("pages", 5),
    ("api", 5),
    ("paper", 4),
    ("authenticate", 4),
    ("answer", 4),
    ("serve", 4),
    ("store", 3),
    ("directory", 3),
    ("collector", 3),
    ("forward", 3),
    ("audit", 3),
    ("client", 2),
    ("acme", 2),
    ("connect", 4),
    ("google", 2),
    ("resolve", 2),
    ("access", 2),
    ("upstream", 2),
    ("message", 2),
    ("policy", 1),
    ("fetch", 1),
    ("spans", 1),
    ("telemetry", 1),
    ("monitor", 1),
    ("metrics", 0),
    ("seal", 0),
    ("certificate", 0),
    ("token_form", 0),
    ("trace_context", 0),
    ("mlflow", 0),
    ("clock", 0),
    ("seldom", 0),
    ("timer", 0),
    ("way_out", 0),
];

/// Imports between rooms of one floor, each with its reason.
const SIDEWAYS: &[(&str, &str, &str)] = &[
    ("resolve", "access", "requirements are what resolve makes and the decision reads"),
    ("resolve", "upstream", "look-ups ask MLflow itself"),
    ("upstream", "message", "bodies"),
    ("resolve", "message", "bodies of its questions"),
    ("answer", "fuzzing", "what must hold of filtered answers, for the fuzz targets and tests alone"),
];

/// Rooms that know no runtime, socket, database, clock or log.
const PURE: &[&str] = &["mlflow", "policy", "access", "paper"];

/// What a pure room may not name.
const IMPURE: &[&str] = &[
    "tokio::",
    "hyper::",
    "hyper_util::",
    "sqlx::",
    "tracing::",
    "std::net::",
    "std::fs::",
    "std::env::",
    "SystemTime::now",
    "Instant::now",
    "async fn",
];

/// The only rooms that may use the client of the MLflow server (invariant 1).
const MAY_CALL_UPSTREAM: &[&str] = &["upstream", "forward", "resolve", "cli", "gate", "answer", "config", "connect"];

#[test]
fn imports_run_downward() {
    let floors: BTreeMap<&str, u8> = FLOORS.iter().copied().collect();
    let mut faults = Vec::new();
    for (room, file, code) in sources() {
        let floor =
            *floors.get(room.as_str()).unwrap_or_else(|| panic!("room `{room}` has no floor in tests/house.rs"));
        for target in imports(&code) {
            if target == room {
                continue;
            }
            let Some(below) = floors.get(target.as_str()) else {
                faults.push(format!("{}: `crate::{target}` has no floor", file.display()));
                continue;
            };
            let sideways = SIDEWAYS.iter().any(|(from, to, _)| *from == room && *to == target);
            if *below >= floor && !sideways {
                faults.push(format!("{}: {room} (floor {floor}) imports {target} (floor {below})", file.display()));
            }
        }
    }
    assert!(faults.is_empty(), "imports that do not go down:\n{}", faults.join("\n"));
}

#[test]
fn pure_rooms_stay_pure() {
    let mut faults = Vec::new();
    for (room, file, code) in sources() {
        if PURE.contains(&room.as_str()) {
            for word in IMPURE {
                if code.contains(word) {
                    faults.push(format!("{}: `{word}`", file.display()));
                }
            }
        }
    }
    assert!(faults.is_empty(), "not pure:\n{}", faults.join("\n"));
}

#[test]
fn only_the_listed_rooms_know_the_client_of_the_upstream() {
    for (room, file, code) in sources() {
        if imports(&code).iter().any(|target| target == "upstream") {
            assert!(MAY_CALL_UPSTREAM.contains(&room.as_str()), "{}", file.display());
        }
    }
}

#[test]
fn a_permit_is_made_in_one_place() {
    for (_, file, code) in sources() {
        if !file.ends_with("access/decide.rs") {
            assert!(!code.contains("Permitted {"), "{} builds a `Permitted`", file.display());
        }
    }
}

#[test]
fn a_permit_is_used_for_more_pages_in_one_place() {
    for (room, file, code) in sources() {
        if room != "answer" && !file.ends_with("access/decide.rs") {
            assert!(!code.contains(".for_page("), "{} asks for more pages", file.display());
        }
    }
}

/// Every file of `src/` without its tests: room, path, code.
fn sources() -> Vec<(String, PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    collect(&root, &mut files);
    assert!(files.len() > 10, "no sources found");
    files
        .into_iter()
        // `fuzzing.rs` is a check of its room, for tests and fuzzers alone.
        .filter(|file| !["tests.rs", "fuzzing.rs", "lib.rs"].iter().any(|name| file.ends_with(name)))
        .map(|file| {
            let inside = file.strip_prefix(&root).unwrap();
            let room = inside.iter().next().unwrap().to_string_lossy().trim_end_matches(".rs").to_owned();
            let code = fs::read_to_string(&file).unwrap();
            let code = code.split("#[cfg(test)]").next().unwrap_or_default();
            let code = code.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
            (room, file, code)
        })
        .collect()
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// The rooms named after `crate::` or, in `main.rs`, `trackgate::`; grouped imports included.
fn imports(code: &str) -> Vec<String> {
    let mut found = Vec::new();
    for marker in ["crate::", "trackgate::"] {
        for (at, _) in code.match_indices(marker) {
            let rest = &code[at + marker.len()..];
            if let Some(group) = rest.strip_prefix('{') {
                let mut depth = 0;
                let mut word = String::new();
                for letter in group.chars() {
                    match letter {
                        '{' => depth += 1,
                        '}' if depth == 0 => break,
                        '}' => depth -= 1,
                        ',' if depth == 0 => found.push(std::mem::take(&mut word)),
                        _ if depth == 0 && !letter.is_whitespace() => word.push(letter),
                        _ => {}
                    }
                }
                found.push(word);
            } else {
                found.push(rest.chars().take_while(|letter| letter.is_alphanumeric() || *letter == '_').collect());
            }
        }
    }
    found
        .into_iter()
        .map(|path| path.split("::").next().unwrap_or_default().to_owned())
        .filter(|name| !name.is_empty() && name.chars().next().is_some_and(char::is_lowercase))
        .collect()
}
