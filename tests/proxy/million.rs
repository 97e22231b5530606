//! What does it cost to write down a million grants, and who waits for it meanwhile? And 200,000 as policy files?
//!
//! Not for every day: `cargo test --release --test proxy million -- --ignored --nocapture` prints what `docs/benchmarks.md` says.

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use http::Request;
use http_body_util::BodyExt as _;
use sqlx::{ConnectOptions as _, Connection as _};
use trackgate::clock::Clock;
use trackgate::mlflow::ids::UserName;
use trackgate::store::{Settings, Store};

use super::own_pages::person;
use crate::harness::certs::Folder;
use crate::harness::client::{Client, nothing};
use crate::harness::gate::{Gate, HOST};
use crate::harness::server::{Server, full};

const GRANTS: u64 = 1_000_000;
const FILL: &[&str] = &[
    "INSERT INTO users (id, name, created) WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 49999) \
     SELECT i + 1, 'user' || i || '@example.com', 0 FROM n",
    "INSERT INTO grants WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 999999) \
     SELECT i + 1, 'default', 'user', 'user' || (i % 50000) || '@example.com', 'experiment', 'exact', \
     CAST((i * 31) % 300000 + (i / 300000) * 300000 AS TEXT), 'EDIT', NULL, 0, 'operator bench' FROM n",
    "UPDATE counters SET last = 1000000 WHERE name = 'grants'",
    "UPDATE counters SET last = 50000 WHERE name = 'users'",
];

/// The most that a process has had in memory so far, or has now, in MiB.
fn memory(process: &str, what: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(what)).unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or_default() >> 10
}

/// Runs to its end; how long it took, and the most that it had in memory.
async fn finished(mut child: Child) -> (Duration, u64) {
    let (begun, mut most) = (Instant::now(), 0);
    let id = child.id().to_string();
    loop {
        most = most.max(memory(&id, "VmHWM:"));
        if let Some(status) = child.try_wait().unwrap() {
            assert!(status.success() || status.code() == Some(2), "{status}");
            return (begun.elapsed(), most);
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Does something again and again until it is told to stop; each one's time.
fn meanwhile<F: Future<Output = ()> + Send>(
    stop: &Arc<AtomicBool>,
    mut work: impl FnMut(u64) -> F + Send + 'static,
) -> tokio::task::JoinHandle<Vec<Duration>> {
    let stop = Arc::clone(stop);
    tokio::spawn(async move {
        let mut times = Vec::new();
        while !stop.load(Ordering::Acquire) {
            let begun = Instant::now();
            work(times.len() as u64).await;
            times.push(begun.elapsed());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        times
    })
}

fn show(what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let at = |part: usize| times[(times.len() - 1) * part / 100];
    println!(
        "  {what}: {} of them, median {:?}, 99 of 100 within {:?}, longest {:?}",
        times.len(),
        at(50),
        at(99),
        at(100)
    );
}

fn config(folder: &Path) -> String {
    let text = format!(
        "public_url = \"https://localhost:8443\"\nstate_dir = \"{}/state\"\n[listen]\nplain = \"127.0.0.1:8080\"\n[upstream]\n\
         url = \"http://127.0.0.1:9\"\n[[issuer]]\nname = \"idp\"\nissuer = \"http://127.0.0.1:9\"\n[issuer.bearer]\n\
         audiences = [\"a\"]\n",
        folder.display()
    );
    let file = folder.join("trackgate.toml");
    std::fs::write(&file, text).unwrap();
    file.display().to_string()
}

fn run(config: &str, arguments: &[&str]) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_trackgate"));
    command.args(["--config", config]).args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a million grants"]
async fn a_million_grants_are_written_down_in_little_memory_and_nobody_waits_for_it() {
    let folder = Folder::new();
    let settings = Settings::new(folder.path().join("state"));
    Store::open(&settings, Clock::System).await.unwrap().close().await;
    let file = folder.path().join("state/trackgate.db");
    let mut connection = sqlx::sqlite::SqliteConnectOptions::new().filename(file).connect().await.unwrap();
    for statement in FILL {
        sqlx::query(*statement).execute(&mut connection).await.unwrap();
    }
    connection.close().await.unwrap();
    let server = Server::scripted(|_| async { full(200, "{\"experiment\": {}}") });
    let state = settings.state_dir.clone();
    let begun = Instant::now();
    let gate =
        Gate::with(server, "[access]\nadmins = [\"root@example.com\"]", move |config| config.store.state_dir = state);
    let gate = Box::pin(gate).await;
    println!("{GRANTS} grants in SQLite: the gate opens after {:?}", begun.elapsed());
    gate.grant("user:alice@example.com", "experiment", "7", "READ").await;
    let browser = person(&gate, "root").await;
    let cookies: Vec<String> = browser.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let (door, token) = (gate.address(), format!("Bearer {}", gate.token("alice")));
    let ask = move |_| {
        let token = token.clone();
        async move {
            let request = Request::get("/api/2.0/mlflow/experiments/get?experiment_id=7").header("host", HOST);
            let request = request.header("authorization", token).body(nothing()).unwrap();
            assert_eq!(Client::http1(door).await.ask(request).await.0, 200);
        }
    };
    let store = gate.open().house().store.clone();
    let change = move |turn: u64| {
        let store = store.clone();
        async move {
            let name = UserName::parse(&format!("late{turn}@example.com")).unwrap();
            store.add_user(&name, trackgate::store::By::Trackgate).await.unwrap();
        }
    };

    for by in ["nothing", "object", "person", "export"] {
        let stop = Arc::new(AtomicBool::new(false));
        let (asked, changed) = (meanwhile(&stop, ask.clone()), meanwhile(&stop, change.clone()));
        let (begun, before) = (Instant::now(), memory("self", "VmRSS:"));
        let (mut most, mut lines, mut bytes) = (before, 0, 0);
        match by {
            "nothing" => tokio::time::sleep(Duration::from_secs(3)).await,
            "export" => {
                let out = folder.path().join("policy").display().to_string();
                let (took, most) = finished(run(&config(folder.path()), &["policy", "export", &out])).await;
                println!("  policy export, in a process of its own: {took:?}, {most} MiB at most");
            }
            by => {
                let request = Request::get(format!("/trackgate/review.csv?by={by}")).header("host", HOST);
                let request = request.header("cookie", cookies.join("; ")).header("sec-fetch-mode", "navigate");
                let request = request.header("accept", "text/html").body(nothing()).unwrap();
                let answer = Client::http1(door).await.send(request).await;
                assert_eq!(answer.status(), 200);
                let mut body = answer.into_body();
                while let Some(frame) = body.frame().await {
                    let Ok(data) = frame.unwrap().into_data() else { continue };
                    lines += memchr::memchr_iter(b'\n', &data).count() as u64;
                    bytes += data.len();
                    most = most.max(memory("self", "VmRSS:"));
                }
                assert!(lines > GRANTS, "{lines}");
                println!(
                    "  review.csv by {by}: {lines} lines, {} MiB, {:?}; memory of the gate {before} MiB before, {most} at most",
                    bytes >> 20,
                    begun.elapsed()
                );
            }
        }
        stop.store(true, Ordering::Release);
        show(&format!("requests while there is {by}"), asked.await.unwrap());
        show(&format!("changes while there is {by}"), changed.await.unwrap());
    }
    gate.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "many grants"]
async fn what_two_hundred_thousand_grants_cost_as_files() {
    for grants in [50_000, 200_000] {
        let folder = Folder::new();
        let config = config(folder.path());
        let policy = folder.path().join("policy");
        std::fs::create_dir(&policy).unwrap();
        for (number, chunk) in (0..grants).collect::<Vec<_>>().chunks(100_000).enumerate() {
            let mut text = String::new();
            for n in chunk {
                let who = n % 10_000;
                writeln!(
                    text,
                    "[[grant]]\nto = \"user:user{who}@example.com\"\nkind = \"experiment\"\npattern = \"{n}\"\n\
                     permission = \"READ\"\n"
                )
                .unwrap();
            }
            std::fs::write(policy.join(format!("{number}.toml")), text).unwrap();
        }
        let policy = policy.display().to_string();
        println!("{grants} grants as files");
        for (what, arguments) in [
            ("plan of all of it", vec!["policy", "plan", &policy]),
            ("apply", vec!["policy", "apply", &policy]),
            ("plan without a difference", vec!["policy", "plan", &policy]),
        ] {
            let (took, most) = finished(run(&config, &arguments)).await;
            println!("  {what}: {took:?}, {most} MiB at most");
        }
        let out = folder.path().join("out").display().to_string();
        let (took, most) = finished(run(&config, &["policy", "export", &out])).await;
        println!("  export: {took:?}, {most} MiB at most");
    }
}
