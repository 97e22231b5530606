//! How is a stock MLflow server started?
//!
//! As its own documentation says, on loopback, with proxied artifacts, without telemetry and without the job runner
//! that only scorers need (seven more processes of some 230 MB each).

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::gcs::Emulator;
use super::keep::{Farewell, Kept};
use super::postgres::Postgres;
use super::python::Environment;
use super::{Fault, free_port};

/// MLflow imports half of Python's world: some 25 s of processor time, more on a busy machine.
const START: Duration = Duration::from_mins(4);

/// Where it keeps its rows.
#[derive(Debug)]
pub enum Rows<'a> {
    /// A file in the server's folder.
    Sqlite,
    /// PostgreSQL, with the certificate checked.
    Postgres(&'a Postgres),
}

/// Where it keeps its artifacts.
#[derive(Debug)]
pub enum Artifacts<'a> {
    /// A folder in the server's folder.
    Folder,
    /// A bucket.
    Bucket(&'a Emulator),
}

/// How else it is started.
#[derive(Debug, Clone, Copy, Default)]
pub struct Manner<'a> {
    /// With `--enable-workspaces`.
    pub workspaces: bool,
    /// With `--static-prefix`, unless that is empty.
    pub static_prefix: &'a str,
    /// Whether its AI gateway may ask providers on this machine.
    pub near_providers: bool,
}

/// A running `mlflow server`.
#[derive(Debug)]
pub struct Server {
    kept: Kept,
    port: u16,
    static_prefix: String,
}

impl Server {
    /// Starts it; [`Server::wait`] waits for its first answer.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(
        environment: &Environment,
        folder: &Path,
        rows: &Rows<'_>,
        artifacts: &Artifacts<'_>,
        manner: Manner<'_>,
    ) -> Result<Self, Fault> {
        let Manner { workspaces, static_prefix, near_providers } = manner;
        std::fs::create_dir_all(folder).map_err(Fault::io(format!("making {}", folder.display())))?;
        let port = free_port()?;
        let mut command = Command::new(environment.python());
        command
            .args(["-m", "mlflow", "server", "--host", "127.0.0.1", "--port", &port.to_string(), "--workers", "1"])
            .current_dir(folder)
            .env("MLFLOW_TELEMETRY_DISABLED", "1")
            .env("DO_NOT_TRACK", "1")
            .env("MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "false")
            .env("PYTHONDONTWRITEBYTECODE", "0");
        if !static_prefix.is_empty() {
            command.args(["--static-prefix", static_prefix]);
        }
        // What belongs to somebody's own MLflow must not reach this one.
        for name in ["MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI", "MLFLOW_TRACKING_TOKEN", "MLFLOW_CONDA_HOME"] {
            command.env_remove(name);
        }
        if near_providers {
            command
                .env("MLFLOW_GATEWAY_API_BASE_ALLOW_PRIVATE_IPS", "true")
                .env("MLFLOW_GATEWAY_API_BASE_ALLOWED_SCHEMES", "http,https");
        }
        if workspaces {
            command.arg("--enable-workspaces");
        }
        match rows {
            Rows::Sqlite => {
                // In the environment, not on the command line, as with PostgreSQL, whose URI holds a password.
                command.env("MLFLOW_BACKEND_STORE_URI", format!("sqlite:///{}", folder.join("mlflow.db").display()));
            }
            Rows::Postgres(postgres) => {
                command.env("MLFLOW_BACKEND_STORE_URI", postgres.uri());
            }
        }
        match artifacts {
            Artifacts::Folder => {
                command.args(["--serve-artifacts", "--artifacts-destination"]).arg(folder.join("artifacts"));
            }
            Artifacts::Bucket(emulator) => {
                command
                    .args(["--serve-artifacts", "--artifacts-destination", emulator.destination()])
                    .env("STORAGE_EMULATOR_HOST", emulator.url())
                    .env("GOOGLE_CLOUD_PROJECT", "demo");
            }
        }
        // Its worker ends at once; the process above it lingers for five seconds for nothing.
        let farewell = Farewell { grace: Duration::from_secs(2), ..Farewell::default() };
        let kept = Kept::start_with("mlflow server", &command, &folder.join("mlflow.log"), farewell)?;
        Ok(Self { kept, port, static_prefix: static_prefix.to_owned() })
    }

    /// Waits until it answers.
    ///
    /// # Errors
    /// When it ends instead, or takes minutes.
    pub fn wait(&mut self) -> Result<(), Fault> {
        let (port, prefix) = (self.port, self.static_prefix.clone());
        self.kept.wait(START, || answers(port, &prefix))
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Its log.
    pub fn log(&self) -> PathBuf {
        self.kept.log().to_owned()
    }

    /// The process.
    pub fn kept(&mut self) -> &mut Kept {
        &mut self.kept
    }
}

fn answers(port: u16, static_prefix: &str) -> bool {
    let ask = || -> std::io::Result<bool> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        let request = format!("GET {static_prefix}/health HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer.starts_with("HTTP/1.1 200"))
    };
    ask().unwrap_or(false)
}
