//! `trackgate routes`: what does each call need?

use clap::{Args, ValueEnum};

use super::{Ended, say};
use crate::policy::classify::rows;
use crate::policy::print::{self, Printed, follows, needs, path};
use crate::policy::route::Row;

#[derive(Debug, Args)]
pub(super) struct Routes {
    /// How the table is printed.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Only rows whose path or name holds this text.
    filter: Option<String>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    Text,
    Json,
    Markdown,
}

impl Routes {
    pub(super) fn run(self) -> anyhow::Result<Ended> {
        let wanted =
            |row: &&Row| self.filter.as_deref().is_none_or(|text| path(row).contains(text) || row.name.contains(text));
        let rows = rows().filter(wanted);
        match self.format {
            Format::Text => {
                let rows: Vec<_> = rows
                    .map(|row| [row.verb.to_string(), path(row), row.name.to_owned(), needs(row), follows(row)])
                    .collect();
                say::table(["METHOD", "PATH", "NAME", "NEEDS", "ANSWER AND EFFECT"], &rows, "there is no such row")?;
            }
            Format::Json => {
                let rows: Vec<_> = rows.map(Printed::from).collect();
                say::json(&rows)?;
            }
            Format::Markdown => say::out(&print::markdown(rows))?,
        }
        Ok(Ended::Well)
    }
}
