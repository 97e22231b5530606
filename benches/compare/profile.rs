//! Where does Trackgate's CPU time go?

use std::collections::BTreeMap;
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail, ensure};

use crate::contestant::Contestant;
use crate::flags::Flags;
use crate::ground::Ground;
use crate::load::Load;
use crate::process;
use crate::{probe, trackgate};

/// How many functions are listed one by one.
const LISTED: usize = 40;

/// Samples the first of Trackgate's builds under the load of the comparison, and prints its CPU time by part of the
/// program and by function.
pub(crate) fn run(
    flags: &Flags,
    ground: &Ground,
    load: &Load,
    runtime: &tokio::runtime::Runtime,
) -> anyhow::Result<()> {
    let Some(perf) = process::find("perf") else {
        bail!(
            "perf is not installed (Debian: linux-perf); `valgrind --tool=callgrind` on the binary is slower but needs no kernel help"
        );
    };
    let builds = flags.builds();
    let (name, program) = builds.first().context("no build of Trackgate to look at")?;
    let contestant = trackgate::start(name, program, ground)?;
    runtime.block_on(probe::check(&contestant, ground))?;
    load.warm(&contestant)?;

    let data = ground.room("perf")?.join("data");
    let mut wrk =
        load.command(&contestant, flags.seconds + 1).stdout(Stdio::null()).spawn().context("cannot run wrk")?;
    // A clock, not the cycle counter: virtual machines seldom have one.
    let recorded = Command::new(&perf)
        .args(["record", "-q", "-e", "cpu-clock", "-F", "1999", "-p", &process_ids(&contestant), "-o"])
        .arg(&data)
        .args(["--", "sleep", &flags.seconds.to_string()])
        .status();
    let loaded = wrk.wait()?;
    ensure!(recorded?.success(), "perf could not record (see /proc/sys/kernel/perf_event_paranoid)");
    ensure!(loaded.success(), "wrk ended with {loaded}");

    let report = Command::new(&perf)
        .args(["report", "--stdio", "-q", "--percent-limit", "0", "-F", "overhead,dso,symbol", "-t", "\t", "-i"])
        .arg(&data)
        .stderr(Stdio::null())
        .output()?;
    print(&String::from_utf8_lossy(&report.stdout));
    Ok(())
}

fn process_ids(contestant: &Contestant) -> String {
    contestant.servers.iter().map(|server| server.id().to_string()).collect::<Vec<_>>().join(",")
}

fn print(report: &str) {
    let mut parts: BTreeMap<&str, f64> = BTreeMap::new();
    let mut functions: Vec<(f64, &str, &str)> = Vec::new();
    for line in report.lines() {
        let mut cells = line.split('\t').map(str::trim);
        let (Some(share), Some(object), Some(function)) = (cells.next(), cells.next(), cells.next()) else { continue };
        let Ok(share) = share.trim_end_matches('%').parse::<f64>() else { continue };
        *parts.entry(part(object, function)).or_default() += share;
        functions.push((share, object, function));
    }
    let mut parts: Vec<_> = parts.into_iter().collect();
    parts.sort_by(|one, other| other.1.total_cmp(&one.1));
    println!("\n| Part | % of CPU time |\n| --- | ---: |");
    for (part, share) in parts {
        println!("| {part} | {share:.1} |");
    }
    println!("\n| Function | % |\n| --- | ---: |");
    for (share, object, function) in functions.iter().take(LISTED) {
        println!("| `{function}` ({object}) | {share:.1} |");
    }
}

/// To which part of the program a function belongs, as far as its name tells; inlined code counts where it ended up.
fn part(object: &str, function: &str) -> &'static str {
    const NAMED: [(&str, &str); 23] = [
        ("aws_lc", "TLS: cipher (aws-lc)"),
        ("aes_", "TLS: cipher (aws-lc)"),
        ("gcm_", "TLS: cipher (aws-lc)"),
        ("rustls", "TLS: records (rustls)"),
        ("trackgate::serve", "trackgate: serve"),
        ("trackgate::authenticate", "trackgate: authenticate"),
        ("trackgate::policy", "trackgate: policy, access"),
        ("trackgate::access", "trackgate: policy, access"),
        ("trackgate::audit", "trackgate: audit"),
        ("trackgate::upstream", "trackgate: forward, upstream"),
        ("trackgate::forward", "trackgate: forward, upstream"),
        ("trackgate", "trackgate: gate and the rest"),
        ("hyper", "HTTP (hyper, http, httparse)"),
        ("httparse", "HTTP (hyper, http, httparse)"),
        ("http::", "HTTP (hyper, http, httparse)"),
        ("bytes::", "HTTP (hyper, http, httparse)"),
        ("moka", "caches (moka)"),
        ("tokio", "runtime (tokio, mio)"),
        ("mio::", "runtime (tokio, mio)"),
        ("mi_", "memory allocator"),
        ("malloc", "memory allocator"),
        ("mem", "copying and comparing memory"),
        ("serde_json", "JSON"),
    ];
    if object.contains("kernel") || function.starts_with("[k]") {
        return "kernel (sockets, TCP on loopback, scheduling)";
    }
    NAMED.iter().find(|(word, _)| function.contains(word)).map_or("other", |(_, part)| part)
}
