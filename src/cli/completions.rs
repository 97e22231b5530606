//! `trackgate completions`: how does a shell complete our words?

use clap::Args;
use clap_complete::Shell;

use super::{Ended, say};

#[derive(Debug, Args)]
pub(super) struct Completions {
    /// Which shell reads it.
    #[arg(value_enum)]
    shell: Shell,
}

impl Completions {
    pub(super) fn run(self, mut command: clap::Command) -> anyhow::Result<Ended> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut command, "trackgate", &mut script);
        say::out(&String::from_utf8(script)?)?;
        Ok(Ended::Well)
    }
}
