//! How is Cloud Storage stood in for?
//!
//! By an emulator that keeps everything in memory. MLflow's own client talks to it when `STORAGE_EMULATOR_HOST` says so;
//! no client of MLflow ever sees it, as the artifacts go through the server.

use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::keep::Kept;
use super::python::Environment;
use super::{Fault, free_port};

/// A running emulator.
#[derive(Debug)]
pub struct Emulator {
    kept: Kept,
    port: u16,
}

impl Emulator {
    /// Starts it with one bucket.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn start(environment: &Environment, log: &Path) -> Result<Self, Fault> {
        let port = free_port()?;
        let mut command = Command::new(environment.program("gcp-storage-emulator"));
        command.args(["start", "--host=127.0.0.1", &format!("--port={port}"), "--in-memory"]);
        command.arg("--default-bucket=mlflow-artifacts");
        let mut kept = Kept::start("Cloud Storage emulator", &command, log)?;
        kept.wait(Duration::from_mins(1), || TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok())?;
        Ok(Self { kept, port })
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Where MLflow keeps artifacts.
    #[expect(clippy::unused_self, reason = "there is a bucket only where there is an emulator")]
    pub fn destination(&self) -> &'static str {
        "gs://mlflow-artifacts/mlruns"
    }

    /// The process.
    pub fn kept(&mut self) -> &mut Kept {
        &mut self.kept
    }
}
