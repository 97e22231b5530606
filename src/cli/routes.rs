//! `trackgate routes`: what does each call need?

use std::fmt::Write as _;

use clap::{Args, ValueEnum};
use serde_json::json;

use super::{Ended, say};
use crate::policy::classify::rows;
use crate::policy::route::{Answer, Check, Count, Effect, Need, Prefixes, Row};

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
                let rows: Vec<_> = rows
                    .map(|row| {
                        let needs: Vec<_> = row.needs.iter().map(need).collect();
                        json!({
                            "method": row.verb.as_str(), "path": path(row), "name": row.name, "needs": needs,
                            "answer": answer(row), "effect": effect(row),
                        })
                    })
                    .collect();
                say::json(&rows)?;
            }
            Format::Markdown => say::out(&markdown(rows))?,
        }
        Ok(Ended::Well)
    }
}

/// The table as `docs/routes.md` holds it.
fn markdown<'a>(rows: impl Iterator<Item = &'a Row>) -> String {
    let mut text =
        String::from("| Method | Path | Name | Needs | Answer and effect |\n| --- | --- | --- | --- | --- |\n");
    for row in rows {
        let cell = |text: &str| text.replace('|', "\\|");
        let _ = writeln!(
            text,
            "| {} | `{}` | {} | {} | {} |",
            row.verb,
            path(row),
            row.name,
            cell(&needs(row)),
            cell(&follows(row))
        );
    }
    text
}

/// The path with its prefixes; `{api|ajax-api}` stands for either.
pub(super) fn path(row: &Row) -> String {
    match row.prefixes {
        Prefixes::Both => format!("/{{api|ajax-api}}/{}", row.path),
        Prefixes::Api => format!("/api/{}", row.path),
        Prefixes::Ajax => format!("/ajax-api/{}", row.path),
        Prefixes::None => format!("/{}", row.path),
    }
}

pub(super) fn needs(row: &Row) -> String {
    row.needs.iter().map(need).collect::<Vec<_>>().join("; ")
}

fn need(need: &Need) -> String {
    match need {
        Need::Anyone => "nothing".to_owned(),
        Need::SignedIn => "to be signed in".to_owned(),
        Need::Admin => "to be an administrator".to_owned(),
        Need::Nobody(why) => format!("closed: {why}"),
        Need::Create => "create on workspace".to_owned(),
        Need::On { action, kind, field, count } => {
            let count = match count {
                Count::One => "",
                Count::Optional => ", if given",
                Count::Each => ", each",
                Count::AnyEach => ", each, if given",
                Count::Narrowed => ", hidden ones are cut from the request",
            };
            format!("{action} on {kind} `{field}`{count}")
        }
        Need::OnArtifact { action, field } => format!("{action} on what the artifact path `{field}` lies in"),
        Need::OnExperimentNamed { action, field } => format!("{action} on the experiment named `{field}`"),
        Need::Checked(check) => match check {
            Check::ArtifactLocation(field) => format!("`{field}` empty or at an allowed place"),
            Check::ModelSource(field) => format!("`{field}` below a run or model that one may read"),
            Check::NewModelName(field) => format!("`{field}` can be granted on"),
            Check::TagKey(field) => format!("`{field}` no reserved tag"),
            Check::SafePath(field) => format!("`{field}` relative and canonical"),
        },
    }
}

pub(super) fn follows(row: &Row) -> String {
    let parts = [answer(row), effect(row)];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("; ")
}

fn answer(row: &Row) -> String {
    match row.answer {
        Answer::Stream => String::new(),
        Answer::Keep(list) => format!("only visible elements of `{}`", list.member),
        Answer::Hide(links) => {
            let places: Vec<_> = links.iter().map(|link| format!("`{}`", link.at)).collect();
            format!("hidden links are taken out ({})", places.join(", "))
        }
        Answer::Confirm { kind, id } => format!("must be about the {kind} that was judged (`{id}`)"),
    }
}

fn effect(row: &Row) -> String {
    match row.effect {
        Effect::None => String::new(),
        Effect::Owns { kind, .. } => format!("the caller gets MANAGE on the new {kind}"),
        Effect::Renames(kind) => format!("grants follow the {kind}'s new name"),
        Effect::Forgets(kind) => format!("grants on the {kind} end"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_printed_once_and_no_cell_breaks_the_table() {
        let text = markdown(rows());
        assert_eq!(text.lines().count(), rows().count() + 2);
        for line in text.lines() {
            let bars = line.replace("\\|", "").replace("{api|ajax-api}", "").matches('|').count();
            assert_eq!(bars, 6, "{line}");
        }
    }
}
