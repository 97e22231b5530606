//! How does the table look on paper?
//!
//! As text for people, as JSON for programs, as Markdown for `docs/routes.md`.

use std::fmt::Write as _;

use serde::Serialize;

use super::classify::rows;
use super::route::{Answer, BodyClass, Check, Count, Effect, Need, Prefixes, Row};

/// What the columns mean; the head of `docs/routes.md`.
const HEAD: &str = "# What each call needs

Printed by `trackgate routes --format markdown` from `src/policy/table.rs` and `src/policy/local.rs`; a test compares.

Paths stand without the static prefix. `{p}` is `api` or `ajax-api`. `{name}` is one segment of the path, `{*name}` all
that follow. In the needs, `a|b` are names of one field, `a[].b` stands inside of a list, `{a}` in the path, `a/b` are
two fields; \"optional\" asks nothing when the field is absent.

";

/// One row, in words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Printed {
    /// The method.
    pub method: &'static str,
    /// The path, with `{p}` for both prefixes.
    pub path: String,
    /// MLflow's name for the call, or ours.
    pub name: &'static str,
    /// What the caller needs, all of it.
    pub needs: Vec<String>,
    /// What happens to the answer.
    pub answer: String,
    /// What follows from success.
    pub effect: String,
}

impl From<&Row> for Printed {
    fn from(row: &Row) -> Self {
        let prefix = match row.prefixes {
            Prefixes::Both => "/{p}/",
            Prefixes::Api => "/api/",
            Prefixes::Ajax => "/ajax-api/",
            Prefixes::None => "/",
        };
        Self {
            method: row.verb.as_str(),
            path: format!("{prefix}{}", row.path),
            name: row.name,
            needs: row.needs.iter().map(need).collect(),
            answer: answer(row),
            effect: effect(row.effect),
        }
    }
}

/// Every row, MLflow's first, in the table's order.
pub fn table() -> impl Iterator<Item = Printed> {
    rows().map(Printed::from)
}

/// Aligned columns.
#[must_use]
pub fn text() -> String {
    let printed: Vec<Printed> = table().collect();
    let width = |of: fn(&Printed) -> &str| printed.iter().map(|row| of(row).len()).max().unwrap_or_default();
    let (paths, names) = (width(|row| &row.path), width(|row| row.name));
    let mut written = String::new();
    for row in &printed {
        let needs = row.needs.join("; ");
        // Writing to a `String` cannot fail.
        let _ = write!(written, "{:<6} {:<paths$} {:<names$} {needs}", row.method, row.path, row.name);
        for more in [&row.answer, &row.effect] {
            if !more.is_empty() {
                let _ = write!(written, "; {more}");
            }
        }
        written.push('\n');
    }
    written
}

/// A list of objects.
#[must_use]
pub fn json() -> String {
    let printed: Vec<Printed> = table().collect();
    serde_json::to_string_pretty(&printed).unwrap_or_default()
}

/// `docs/routes.md`.
#[must_use]
pub fn markdown() -> String {
    let mut written = String::from(HEAD);
    written.push_str("| Call | Name | Needs | Answer, effect |\n| --- | --- | --- | --- |\n");
    for row in table() {
        let more: Vec<&str> = [row.answer.as_str(), &row.effect].into_iter().filter(|more| !more.is_empty()).collect();
        let _ = writeln!(
            written,
            "| `{} {}` | {} | {} | {} |",
            row.method,
            row.path,
            row.name,
            row.needs.join("; ").replace('|', "\\|"),
            more.join("; ").replace('|', "\\|"),
        );
    }
    written
}

fn need(need: &Need) -> String {
    match need {
        Need::Anyone => "anyone".to_owned(),
        Need::SignedIn => "signed in".to_owned(),
        Need::Admin => "an administrator".to_owned(),
        Need::Nobody(why) => format!("nobody: {why}"),
        Need::Create => "create in the workspace".to_owned(),
        Need::On { action, kind, field, count } => {
            let count = match count {
                Count::One => "",
                Count::Optional => " (optional)",
                Count::Each => " (each)",
                Count::AnyEach => " (each, optional)",
                Count::Narrowed => " (the others are cut from the request)",
            };
            format!("{action} {kind} in `{field}`{count}")
        }
        Need::OnArtifact { action, field } => format!("{action} what the artifact path `{field}` lies in"),
        Need::OnExperimentNamed { action, field } => format!("{action} experiment named in `{field}`"),
        Need::Checked(check) => match check {
            Check::ArtifactLocation(field) => format!("`{field}` empty or in an allowed place"),
            Check::ModelSource(field) => format!("read what `{field}` points to"),
            Check::NewModelName(field) => format!("`{field}` a name for a model"),
            Check::TagKey(field) => format!("`{field}` no tag that steers MLflow"),
            Check::ExperimentToo(field) => format!("read the experiment of each run in `{field}`"),
            Check::SafePath(field) => format!("`{field}` a plain path"),
        },
    }
}

fn answer(row: &Row) -> String {
    let mut words = match row.answer {
        Answer::Stream => String::new(),
        Answer::Keep(list) => format!("keeps visible `{}`", list.member),
        Answer::Hide(_) => "hides links".to_owned(),
        Answer::Confirm { kind, .. } => format!("must be the judged {kind}"),
    };
    if row.body == BodyClass::Artifact {
        words.push_str("the body streams");
    }
    words
}

fn effect(effect: Effect) -> String {
    match effect {
        Effect::None => String::new(),
        Effect::Owns { kind, .. } => format!("the caller gets MANAGE on the new {kind}"),
        Effect::Renames(kind) => format!("grants follow the {kind}"),
        Effect::Forgets(kind) => format!("grants on the {kind} end"),
    }
}
