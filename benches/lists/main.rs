//! What does a filtered list cost on a server with 20,000 experiments?
//!
//! `cargo bench --bench lists` starts a real MLflow 3.17.2 with SQLite, puts 20,000 experiments into its database, and
//! Trackgate before it. Then the first page of `experiments/search` is asked for by people who see all, ten, and all
//! but one of them, each beside the same call made direct; medians are printed as ratios, and how much memory the
//! gate has.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark may panic, and prints")]

#[path = "../../tests/stage/mod.rs"]
#[allow(dead_code, unreachable_pub, unused_imports, reason = "shared with the tests, which use more of it")]
mod stage;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use http::Method;

use stage::authority::Authority;
use stage::gate::{Gate, Program, Settings, public_url, redirect_uri};
use stage::idp::accounts::{ADMIN, Account, GUEST, OWNER, READER};
use stage::idp::{Provider, Settings as IdpSettings};
use stage::mlflow::{Artifacts, Manner, Rows, Server};
use stage::python::Environment;
use stage::web::Web;
use stage::{Fault, free_port, run};

const EXPERIMENTS: usize = 20_000;
const TURNS: usize = 21;
const SEARCH: &str = "/api/2.0/mlflow/experiments/search?max_results=";

/// Rows as MLflow itself would write them, in one transaction.
const FILL: &str = r#"
import sqlite3, sys
db = sqlite3.connect(sys.argv[1])
rows = ((f"experiment {n}", f"mlflow-artifacts:/{n}", n) for n in range(1, int(sys.argv[2]) + 1))
db.executemany("INSERT INTO experiments (name, artifact_location, workspace, lifecycle_stage, creation_time, last_update_time)"
               " VALUES (?, ?, 'default', 'active', ?, 1)", rows)
db.commit()
print(db.execute("SELECT count(*) FROM experiments").fetchone()[0])
"#;

fn main() -> Result<(), Fault> {
    // `cargo test --benches` runs this too, and is not meant to.
    if !std::env::args().any(|argument| argument == "--bench") {
        return Ok(());
    }
    rustls::crypto::aws_lc_rs::default_provider().install_default().ok();
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("lists-{}", std::process::id()));
    fs::create_dir_all(&folder).map_err(Fault::io("making a folder"))?;
    let measured = measure(&folder);
    let _ = fs::remove_dir_all(&folder);
    measured
}

fn measure(folder: &Path) -> Result<(), Fault> {
    let environment = Environment::with_mlflow()?;
    let authority = Authority::new(folder)?;
    let mut server =
        Server::start(&environment, &folder.join("mlflow"), &Rows::Sqlite, &Artifacts::Folder, Manner::default())?;
    server.wait()?;
    let database = folder.join("mlflow/mlflow.db");
    let mut fill = Command::new(environment.python());
    fill.args(["-c", FILL]).arg(&database).arg(EXPERIMENTS.to_string());
    println!("{} experiments", run(&mut fill)?.trim());

    let port = free_port()?;
    let provider = Provider::start(
        IdpSettings {
            port: 0,
            client_id: "trackgate-bench".to_owned(),
            client_secret: "a secret for a benchmark".to_owned(),
            redirect_uri: redirect_uri(port),
            after_logout: public_url(port),
        },
        &authority.pair(folder, "idp", &["localhost"])?,
    )?;
    let configured = Gate::configured(
        Program { file: PathBuf::from(env!("CARGO_BIN_EXE_trackgate")), first: Vec::new() },
        &Settings {
            folder,
            port,
            pair: &authority.pair(folder, "trackgate", &["localhost"])?,
            upstream: server.url(),
            issuer: provider.issuer(),
            ca: authority.file(),
            client_id: "trackgate-bench",
            client_secret: "a secret for a benchmark",
            workspaces: false,
            static_prefix: "",
            admins: &[ADMIN.email],
            menu_entry: false,
        },
    )?;
    for n in 1..=10 {
        let id = (n * (EXPERIMENTS / 10 - 1)).to_string();
        configured.tell(&["grant", "add", &format!("user:{}", READER.email), "experiment", &id, "READ"])?;
    }
    let owner = format!("user:{}", OWNER.email);
    configured.tell(&["grant", "add", &owner, "experiment", "*", "READ"])?;
    configured.tell(&["grant", "add", &owner, "experiment", "7", "DENY"])?;
    let gate = configured.start()?;
    let web = Web::trusting(authority.pem())?;
    println!("the gate has {} MiB before the first list", resident(gate.config()));

    println!(
        "| the caller sees | rows asked for | rows | direct | through the gate | ratio | the gate's memory, MiB |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- |");
    let people: [(&str, &Account); 4] =
        [("all (administrator)", &ADMIN), ("10 of 20,000", &READER), ("all but one", &OWNER), ("nothing", &GUEST)];
    for (sees, who) in people {
        for rows in [100, 1000] {
            let token = format!("Bearer {}", provider.mint(who, &gate.url(), Duration::from_hours(1))?);
            let direct = format!("{}{SEARCH}{rows}", server.url());
            let through = format!("{}{SEARCH}{rows}", gate.url());
            let (mut plain, mut judged, mut given) = (Vec::new(), Vec::new(), 0);
            for turn in 0..TURNS {
                // In turn, so that whatever else the machine does falls on both.
                plain.push(timed(&Web::plain(), &direct, &[])?.0);
                let (time, count) = timed(&web, &through, &[("authorization", &token)])?;
                judged.push(time);
                given = count;
                if turn == 0 {
                    // The first of each is for caches and connections.
                    plain.clear();
                    judged.clear();
                }
            }
            let (plain, judged) = (median(plain), median(judged));
            println!(
                "| {sees} | {rows} | {given} | {:.1} ms | {:.1} ms | {:.2} | {} |",
                plain.as_secs_f64() * 1e3,
                judged.as_secs_f64() * 1e3,
                judged.as_secs_f64() / plain.as_secs_f64(),
                resident(gate.config())
            );
        }
    }
    Ok(())
}

/// How long the whole answer took, and how many experiments it holds.
fn timed(web: &Web, url: &str, headers: &[(&str, &str)]) -> Result<(Duration, usize), Fault> {
    let begun = Instant::now();
    let answer = web.send(&Method::GET, url, headers, "")?;
    let time = begun.elapsed();
    assert_eq!(answer.status, 200, "{}", answer.text());
    Ok((time, answer.json()["experiments"].as_array().map_or(0, Vec::len)))
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

/// The most memory that the gate's process has had, in MiB: found by its configuration file.
fn resident(config: &Path) -> u64 {
    let config = config.to_string_lossy();
    let most = |entry: fs::DirEntry| {
        let command = fs::read_to_string(entry.path().join("cmdline")).ok()?;
        let own = command.starts_with(env!("CARGO_BIN_EXE_trackgate")) && command.contains(&*config);
        let status = fs::read_to_string(entry.path().join("status")).ok().filter(|_| own)?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        line.trim().trim_end_matches(" kB").trim().parse::<u64>().ok()
    };
    fs::read_dir("/proc").unwrap().flatten().filter_map(most).max().unwrap_or_default() / 1024
}
