//! What does a request cost here, against the servers that a team would otherwise put in front of MLflow?
//!
//! `cargo bench --bench compare` starts what is installed of nginx, HAProxy and Apache, and Trackgate, all on loopback
//! with TLS 1.3 in front of the same fast upstream; checks that each really does what it is said to do; loads them in
//! turn with the same client, several passes; and prints CPU time per 1,000 requests, requests per second and
//! latency, as ratios to nginx without any login. `docs/benchmarks.md` tells how to read the result.

mod apache;
mod contestant;
mod flags;
mod ground;
mod haproxy;
mod issuer;
mod load;
mod material;
mod nginx;
mod probe;
mod process;
mod profile;
mod report;
mod trackgate;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context as _;
use clap::Parser as _;
use tokio::signal::unix::{SignalKind, signal};

use crate::contestant::{Contestant, Start};
use crate::flags::Flags;
use crate::ground::Ground;
use crate::load::Load;
use crate::report::Report;

fn main() -> anyhow::Result<()> {
    let flags = Flags::parse();
    // The issuer and the probes run here; measuring itself blocks this thread, on purpose.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let interrupted = watch_for_interrupt(&runtime);
    let ground = Ground::prepare(&flags, &runtime)?;
    let load = Load::prepare(&flags, &ground, interrupted)?;

    if flags.profile {
        return profile::run(&flags, &ground, &load, &runtime);
    }
    let contestants = start_all(&flags, &ground, &runtime)?;
    measure(&flags, &contestants, &load)?.print();
    Ok(())
}

/// How a rival is started.
type Starter = fn(&Ground) -> anyhow::Result<Start>;

/// Starts everything that is installed and asked for, and checks that it does its work.
fn start_all(flags: &Flags, ground: &Ground, runtime: &tokio::runtime::Runtime) -> anyhow::Result<Vec<Contestant>> {
    let mut contestants = vec![nginx::plain(ground)?];
    let rivals: [(&str, Starter); 5] = [
        (nginx::LOGGED, nginx::logged),
        (haproxy::PLAIN, haproxy::plain),
        (haproxy::JWT, haproxy::jwt),
        (nginx::AUTH_REQUEST, nginx::auth_request),
        (apache::OPENIDC, apache::openidc),
    ];
    for (name, start) in rivals.iter().filter(|(name, _)| flags.wants(name)) {
        match start(ground).with_context(|| format!("{name} did not start"))? {
            Start::Ready(contestant) => contestants.push(contestant),
            Start::Missing(reason) => println!("skipped: {name}: {reason}"),
        }
    }
    for (name, program) in flags.builds().iter().filter(|(name, _)| flags.wants(name)) {
        contestants.push(trackgate::start(name, program, ground).with_context(|| format!("{name} did not start"))?);
    }
    for contestant in &contestants {
        runtime
            .block_on(probe::check(contestant, ground))
            .with_context(|| format!("{} does not do what it should", contestant.name))?;
    }
    Ok(contestants)
}

/// All passes, interleaved: each pass measures every contestant once, each time from another one on.
fn measure(flags: &Flags, contestants: &[Contestant], load: &Load) -> anyhow::Result<Report> {
    let names: Vec<&str> = contestants.iter().map(|contestant| contestant.name.as_str()).collect();
    println!(
        "{} passes of {} s over {}: about {} s",
        flags.passes,
        flags.seconds,
        names.join(", "),
        flags.passes as usize * flags.seconds as usize * names.len() + names.len()
    );
    for contestant in contestants {
        load.warm(contestant)?;
    }
    let mut report = Report::new(&names);
    for pass in 0..flags.passes as usize {
        for turn in 0..contestants.len() {
            let which = (pass + turn) % contestants.len();
            report.add(which, pass, load.measure(&contestants[which])?);
        }
        report.progress(pass);
    }
    Ok(report)
}

/// An interrupt or TERM ends the measurement in order, so that servers and files go away.
fn watch_for_interrupt(runtime: &tokio::runtime::Runtime) -> Arc<AtomicBool> {
    let interrupted = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&interrupted);
    runtime.spawn(async move {
        if let (Ok(mut interrupt), Ok(mut terminate)) =
            (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
        {
            loop {
                tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} }
                told.store(true, Ordering::Relaxed);
            }
        }
    });
    interrupted
}
