//! What was asked for on the command line?

use std::path::PathBuf;

use clap::Parser;

/// Compares what a request costs in Trackgate and in the servers a team might put in front of MLflow instead.
#[derive(Parser)]
#[command(name = "compare", about)]
pub(crate) struct Flags {
    /// How often each server is measured; the results are medians.
    #[arg(long, default_value_t = 8)]
    pub(crate) passes: u32,

    /// How long each measurement lasts, in seconds.
    #[arg(long, default_value_t = 3)]
    pub(crate) seconds: u32,

    /// Kept-alive connections of the load generator.
    #[arg(long, default_value_t = 64)]
    pub(crate) connections: u32,

    /// Threads of the load generator; one for each two cores when not given.
    #[arg(long)]
    pub(crate) load_threads: Option<usize>,

    /// Cores for the servers, as `taskset -c` reads them (for instance `0-1`); all when not given.
    #[arg(long, value_name = "LIST")]
    pub(crate) server_cores: Option<String>,

    /// Cores for the load generator and the upstream; all when not given.
    #[arg(long, value_name = "LIST")]
    pub(crate) load_cores: Option<String>,

    /// Only the servers whose name contains one of these words (nginx alone, the unit, is always measured).
    #[arg(long, value_delimiter = ',', value_name = "WORD")]
    pub(crate) only: Vec<String>,

    /// Measures these builds of Trackgate instead of the one just made. May be given several times.
    #[arg(long, value_name = "NAME=PATH", value_parser = named_path)]
    pub(crate) trackgate: Vec<(String, PathBuf)>,

    /// Measures nothing, but samples Trackgate under load with perf and says where its CPU time goes.
    #[arg(long)]
    pub(crate) profile: bool,

    /// What `cargo bench` adds.
    #[arg(long, hide = true)]
    bench: bool,
}

impl Flags {
    pub(crate) fn wants(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|word| name.contains(word.as_str()))
    }

    /// The builds of Trackgate to measure: those named, else the one that cargo has just built for this bench.
    pub(crate) fn builds(&self) -> Vec<(String, PathBuf)> {
        if self.trackgate.is_empty() {
            vec![("trackgate".to_owned(), PathBuf::from(env!("CARGO_BIN_EXE_trackgate")))]
        } else {
            self.trackgate.clone()
        }
    }
}

fn named_path(text: &str) -> Result<(String, PathBuf), String> {
    let (name, path) = text.split_once('=').ok_or("expected NAME=PATH")?;
    let path = PathBuf::from(path);
    if path.is_file() {
        Ok((format!("trackgate ({name})"), path))
    } else {
        Err(format!("no file `{}`", path.display()))
    }
}
