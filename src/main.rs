//! Parses the command line, runs one command, sets the exit code.

#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use trackgate::clock::Clock;
use trackgate::config::Config;
use trackgate::{cli, telemetry};

/// An authenticating, per-object access layer in front of an unmodified MLflow tracking server.
#[derive(Parser)]
#[command(version, about)]
struct Arguments {
    /// The configuration file.
    #[arg(long, env = "TRACKGATE_CONFIG", default_value = "/etc/trackgate/trackgate.toml", global = true)]
    config: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Open the gate.
    Serve,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("trackgate: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> anyhow::Result<()> {
    cli::install_crypto();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    runtime.block_on(async {
        match arguments.command {
            Command::Serve => {
                let config = Config::load(&arguments.config)?;
                telemetry::begin(&config.log, Clock::System)?;
                let house = cli::serve::assemble(config, Clock::System).await.context("cannot open the gate")?;
                house
                    .run(|addresses| tracing::info!(?addresses, "open"))
                    .await
                    .context("the gate did not close in order")
            }
        }
    })
}
