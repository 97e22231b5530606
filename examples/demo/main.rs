//! `cargo run --example demo`: the whole of Trackgate on one machine, from nothing.
//!
//! Sets up everything that is missing (a Python environment, certificates), starts a stock MLflow server, an identity
//! provider with fixed accounts and Trackgate, trains a model as a service account, shows who is allowed and who is
//! refused, and stays until Ctrl-C.

#[path = "../../tests/stage/mod.rs"]
#[allow(dead_code, unreachable_pub, reason = "shared with the tests against a real MLflow, which use more of it")]
mod stage;
/// What the demo does, in order.
mod story;
/// What it shows.
mod transcript;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::Ordering;

use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};

use stage::{Fault, INTERRUPTED};

/// The first argument with which this program is Trackgate itself, with all of Trackgate's commands.
const AS_TRACKGATE: &str = "as-trackgate";

/// Trackgate in front of a stock MLflow server, with everything that belongs to it, on this machine alone.
#[derive(Debug, Clone, Parser)]
#[command(name = "demo", version)]
struct Args {
    /// Keep MLflow's rows in a throw-away PostgreSQL that accepts TLS only, instead of SQLite.
    #[arg(long)]
    postgres: bool,
    /// Keep artifacts in a Cloud Storage emulator, instead of a folder.
    #[arg(long)]
    gcs: bool,
    /// Trackgate's port on loopback.
    #[arg(long, default_value_t = 8443)]
    port: u16,
    /// The demo identity provider's port on loopback.
    #[arg(long, default_value_t = 8444)]
    idp_port: u16,
    /// Where everything goes that this start makes; emptied first.
    #[arg(long, hide = true)]
    folder: Option<PathBuf>,
    /// Tell the story and leave, instead of staying until Ctrl-C.
    #[arg(long)]
    once: bool,
}

fn main() -> ExitCode {
    let mut words = std::env::args_os();
    let program = words.next();
    let mut words = words.peekable();
    if words.next_if(|word| word == AS_TRACKGATE).is_some() {
        trackgate::cli::install_crypto();
        return trackgate::cli::main(program.into_iter().chain(words));
    }
    let args = Args::parse();
    match act(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Fault::Interrupted) => ExitCode::from(130),
        Err(fault) => {
            eprintln!("demo: {fault}");
            ExitCode::FAILURE
        }
    }
}

/// The story on one thread, the signals on this one. All servers end with the story.
fn act(args: Args) -> Result<(), Fault> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Fault::io("starting a runtime"))?;
    runtime.block_on(async {
        let mut interrupt = signal(SignalKind::interrupt()).map_err(Fault::io("listening for Ctrl-C"))?;
        let mut terminate = signal(SignalKind::terminate()).map_err(Fault::io("listening for SIGTERM"))?;
        let mut story = tokio::task::spawn_blocking(move || story::tell(&args));
        loop {
            tokio::select! {
                told = &mut story => {
                    return told.unwrap_or_else(|fault| Err(Fault::Unexpected(format!("the demo broke: {fault}"))));
                }
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            // Asked twice: leave at once. What we started ends all the same, as its keeper's pipe closes.
            if INTERRUPTED.swap(true, Ordering::Relaxed) {
                std::process::exit(130);
            }
            println!("\nEnding everything that was started ...");
        }
    })
}
