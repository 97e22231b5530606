//! How do commands print?

use std::io::Write as _;
use std::time::{Duration, UNIX_EPOCH};

use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::mlflow::ids::WorkspaceName;

/// Text to standard output. A reader who has seen enough (`| head`) is no failure.
pub(super) fn out(text: &str) -> anyhow::Result<()> {
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

/// One line.
pub(super) fn line(text: impl std::fmt::Display) -> anyhow::Result<()> {
    out(&format!("{text}\n"))
}

/// JSON, indented.
pub(super) fn json(value: &impl Serialize) -> anyhow::Result<()> {
    out(&format!("{}\n", serde_json::to_string_pretty(value)?))
}

/// Rows under a heading, each column as wide as it must be; `empty` where there is no row.
pub(super) fn table<const N: usize>(heading: [&str; N], rows: &[[String; N]], empty: &str) -> anyhow::Result<()> {
    if rows.is_empty() {
        return line(empty);
    }
    let mut widths = heading.map(|cell| cell.chars().count());
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    let mut put = |cells: &[&str]| {
        let mut line = String::new();
        for (cell, width) in cells.iter().zip(widths) {
            line.push_str(cell);
            line.extend(std::iter::repeat_n(' ', width - cell.chars().count() + 2));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    };
    put(&heading);
    for row in rows {
        put(&row.each_ref().map(String::as_str));
    }
    out(&text)
}

/// Milliseconds since the epoch, as people write it, in UTC.
pub(super) fn when(millis: u64) -> String {
    let time = OffsetDateTime::from(UNIX_EPOCH + Duration::from_secs(millis / 1000));
    time.format(&Rfc3339).unwrap_or_default()
}

/// The same to the millisecond, for what ends.
pub(super) fn exactly(millis: u64) -> String {
    let time = OffsetDateTime::from(UNIX_EPOCH + Duration::from_millis(millis));
    time.format(&Rfc3339).unwrap_or_default()
}

/// Said where it is not the one that everybody has.
pub(super) fn place(workspace: &WorkspaceName) -> String {
    if workspace.is_default() { String::new() } else { format!(" in workspace {workspace}") }
}
