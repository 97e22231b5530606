//! How is a contestant loaded, and what did it cost it?

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};

use crate::contestant::Contestant;
use crate::flags::Flags;
use crate::ground::{self, CALL, Ground};
use crate::process;

/// wrk, set up alike for everybody.
pub(crate) struct Load {
    program: PathBuf,
    script: PathBuf,
    cores: Option<String>,
    threads: usize,
    connections: u32,
    seconds: u32,
    interrupted: Arc<AtomicBool>,
}

/// One measurement.
#[derive(Clone, Copy)]
pub(crate) struct Measured {
    /// CPU time of the contestant for 1,000 requests, in milliseconds.
    pub(crate) cpu: f64,
    /// Requests per second.
    pub(crate) rate: f64,
    /// Latency in milliseconds.
    pub(crate) median: f64,
    pub(crate) p99: f64,
}

/// wrk tells its results to a script; the line is easier to read than its report.
const DONE: &str = r#"
function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format("RESULT %d %d %d %d %d %d\n", summary.requests, summary.duration,
    latency:percentile(50), latency:percentile(99), e.status, e.connect + e.read + e.write + e.timeout))
end
"#;

impl Load {
    pub(crate) fn prepare(flags: &Flags, ground: &Ground, interrupted: Arc<AtomicBool>) -> anyhow::Result<Self> {
        let program = process::find("wrk").context("wrk, the load generator, is not installed (Debian: wrk)")?;
        let script = ground.room("wrk")?.join("load.lua");
        // The port in `Host` comes from the URL, which wrk puts in when the script does not.
        let header = format!("wrk.headers[\"Authorization\"] = \"Bearer {}\"\n", ground.token);
        fs::write(&script, header + DONE)?;
        let threads = flags.load_threads.unwrap_or(std::thread::available_parallelism()?.get().div_ceil(2));
        let cores = flags.load_cores.clone();
        Ok(Self {
            program,
            script,
            cores,
            threads,
            connections: flags.connections,
            seconds: flags.seconds,
            interrupted,
        })
    }

    /// A second of load: connections to the upstream, caches, code.
    pub(crate) fn warm(&self, contestant: &Contestant) -> anyhow::Result<()> {
        self.run(contestant, 1).map(drop)
    }

    pub(crate) fn measure(&self, contestant: &Contestant) -> anyhow::Result<Measured> {
        self.run(contestant, self.seconds)
    }

    fn run(&self, contestant: &Contestant, seconds: u32) -> anyhow::Result<Measured> {
        contestant.empty_log()?;
        let before = contestant.cpu()?;
        let output = self.command(contestant, seconds).output().context("cannot run wrk")?;
        ensure!(!self.interrupted.load(Ordering::Relaxed), "interrupted");
        let text = String::from_utf8_lossy(&output.stdout);
        let numbers: Vec<f64> = text
            .lines()
            .find_map(|line| line.strip_prefix("RESULT "))
            .map(|line| line.split(' ').filter_map(|word| word.parse().ok()).collect())
            .unwrap_or_default();
        let &[requests, duration, median, p99, refused, broken] = numbers.as_slice() else {
            bail!("wrk did not measure {}: {text}{}", contestant.name, String::from_utf8_lossy(&output.stderr));
        };
        ensure!(requests > 0.0, "{} answered nothing", contestant.name);
        ensure!(refused == 0.0, "{} refused {refused} of {requests} requests", contestant.name);
        if broken > 0.0 {
            eprintln!("{}: {broken} connections broke or timed out", contestant.name);
        }
        // A moment later, so that what the server still does for the last requests is counted.
        settle(contestant)?;
        let cpu = contestant.cpu()?.saturating_sub(before).as_secs_f64();
        Ok(Measured {
            cpu: cpu * 1000.0 / (requests / 1000.0),
            rate: requests / (duration / 1_000_000.0),
            median: median / 1000.0,
            p99: p99 / 1000.0,
        })
    }

    /// The load as a command, also for the profile.
    pub(crate) fn command(&self, contestant: &Contestant, seconds: u32) -> Command {
        let mut command = process::command(&self.program, self.cores.as_deref());
        command
            .args([format!("-t{}", self.threads), format!("-c{}", self.connections), format!("-d{seconds}s")])
            .arg("--latency")
            .arg("-s")
            .arg(&self.script)
            .arg(format!("https://{}:{}{CALL}", ground::HOST, contestant.port));
        command
    }
}

/// Waits until the contestant has used no CPU time for a while, a second at most.
fn settle(contestant: &Contestant) -> anyhow::Result<()> {
    let deadline = Instant::now() + Duration::from_secs(1);
    let mut last = contestant.cpu()?;
    while Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(50));
        let now = contestant.cpu()?;
        if now == last {
            break;
        }
        last = now;
    }
    Ok(())
}
