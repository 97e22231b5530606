//! `trackgate routes`: what does each call need?

use clap::{Args, ValueEnum};
use serde_json::json;

use super::{Ended, say};
use crate::policy::classify::rows;
use crate::policy::print::{self, Printed, follows, needs, path};
use crate::policy::route::Row;

#[derive(Debug, Args)]
pub(super) struct Routes {
    /// How the table is printed.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Only what each call needs, not what follows.
    #[arg(long)]
    needs: bool,
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
            Format::Text if self.needs => {
                let rows: Vec<_> =
                    rows.map(|row| [row.verb.to_string(), path(row), row.name.to_owned(), needs(row)]).collect();
                say::table(["METHOD", "PATH", "NAME", "NEEDS"], &rows, "there is no such row")?;
            }
            Format::Json if self.needs => {
                let rows: Vec<_> = rows
                    .map(Printed::from)
                    .map(|row| json!({"method": row.method, "path": row.path, "name": row.name, "needs": row.needs}))
                    .collect();
                say::json(&rows)?;
            }
            Format::Markdown if self.needs => say::out(&print::markdown_needs(rows))?,
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
