//! `trackgate doctor`: would this MLflow server get on with this gate?
//!
//! Routes are compared with the table, for a server that runs or one that is to be installed: from a list, or by asking
//! an installed server's Python. Without either, everything that `trackgate check` looks at is looked at, and then what belongs
//! to nobody and which grants are on nothing. With `--url` all of the chain is looked at from outside (`outside`).

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};
use clap::Args;

use super::check::Check;
use super::outside::Outside;
use super::{Ended, open_store, orphans, say, sentence};
use crate::config::Config;
use crate::mlflow::version::Version;
use crate::policy::compare::{Difference, compare};

/// Prints the routes of the MLflow that a Python has; also what captures the lists that the table is tested with.
const LIST_ROUTES: &str = include_str!("list_routes.py");

#[derive(Debug, Args)]
pub(super) struct Doctor {
    /// Compare the table with the routes in this file: CSV, `method,path,handler,app`, as `--list-script` prints them.
    #[arg(long, value_name = "FILE")]
    routes: Option<PathBuf>,
    /// Compare the table with the MLflow that this Python has, for example `/srv/mlflow/venv/bin/python`.
    #[arg(long, value_name = "PYTHON", conflicts_with = "routes")]
    python: Option<PathBuf>,
    /// Print the script that lists routes, to run it where MLflow is and Trackgate is not.
    #[arg(long, conflicts_with_all = ["routes", "python"])]
    list_script: bool,
    #[command(flatten)]
    outside: Outside,
}

impl Doctor {
    pub(super) async fn run(self, config: &Path) -> anyhow::Result<Ended> {
        if self.list_script {
            say::out(LIST_ROUTES)?;
            return Ok(Ended::Well);
        }
        if self.outside.is_wanted() {
            return self.outside.run().await;
        }
        match (self.routes, self.python) {
            (Some(file), _) => {
                let text = std::fs::read_to_string(&file)
                    .with_context(|| format!("the list `{}` cannot be read", file.display()))?;
                examine(&file.display().to_string(), &text)
            }
            (None, Some(python)) => {
                let (name, text) = ask(&python)?;
                examine(&name, &text)
            }
            (None, None) => {
                let ended = Check::whole().run(config).await?;
                let config = Config::load(config)?;
                let store = open_store(&config).await?;
                let told = orphans::tell(&config, &store).await;
                store.close().await;
                if let Err(error) = told {
                    say::line(format!("note  owners and grants were not looked at: {}", sentence(&error)))?;
                }
                say::line(
                    "note  routes: name a list (--routes) or an installed server's Python (--python) to compare them",
                )?;
                Ok(ended)
            }
        }
    }
}

/// Says what the table lacks.
fn examine(name: &str, routes: &str) -> anyhow::Result<Ended> {
    let listed = routes.lines().filter(|line| !line.is_empty() && !line.starts_with("method,")).count();
    if listed == 0 {
        bail!("{name} lists no route");
    }
    let mut idle = 0;
    let mut faults = 0;
    for difference in compare(&[routes]) {
        let sentence = match &difference {
            Difference::Dead { .. } => {
                idle += 1;
                continue;
            }
            Difference::NoRow { .. } => format!("{difference}: it is refused"),
            Difference::OtherRow { .. } => format!("{difference}: it is treated as that one"),
            Difference::Unreadable { .. } => difference.to_string(),
        };
        faults += 1;
        say::line(format!("FAULT {sentence}"))?;
    }
    if idle > 0 {
        say::line(format!("note  {idle} rows of the table speak of routes that this server does not have"))?;
    }
    if faults > 0 {
        say::line(format!("{name}: {faults} of {listed} routes are not what the table speaks of"))?;
        return Ok(Ended::FoundFaults);
    }
    say::line(format!("ok    {name}: each of its {listed} routes has its row"))?;
    Ok(Ended::Well)
}

/// The routes of the MLflow that a Python has, and what to call it.
fn ask(python: &Path) -> anyhow::Result<(String, String)> {
    let shown = python.display();
    // From `/`, and from standard input: nothing that lies about is imported in MLflow's place.
    let mut child = Command::new(python)
        .arg("-")
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("`{shown}` cannot be started"))?;
    if let Some(mut input) = child.stdin.take() {
        // A Python that does not read is told of by its exit.
        let _ = input.write_all(LIST_ROUTES.as_bytes());
    }
    let output = child.wait_with_output().with_context(|| format!("`{shown}` cannot be heard"))?;
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if !output.status.success() {
        let last = err.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("nothing").trim();
        bail!("`{shown}` could not list the routes of MLflow; it said: {last}");
    }
    let version = err.lines().rev().find_map(|line| line.strip_prefix("MLflow ")?.parse::<Version>().ok());
    let name = version.map_or_else(|| shown.to_string(), |version| format!("MLflow {version} of {shown}"));
    Ok((name, out.into_owned()))
}
