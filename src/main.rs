//! Chooses allocator and cryptography, then hands over to the command line.

use std::process::ExitCode;

use trackgate::cli;

#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    cli::install_crypto();
    cli::main(std::env::args_os())
}
