//! How does the table look on paper?
//!
//! The words for `trackgate routes`, for `explain`, and for `docs/routes.md`, which a test compares with the table.

use std::fmt::Write as _;

use serde::Serialize;

use super::route::{Answer, Check, Count, Effect, Need, New, Prefixes, QueueRight, RoleRight, Row, Scope, Stamp, What};
use crate::mlflow::resource::Kind;

/// The head of `docs/routes.md`.
const HEAD: &str = "# What each call needs

`trackgate routes --format markdown` prints this from `src/policy/table/` and `src/policy/local.rs`.

Paths stand without the static prefix. `{name}` is one segment of the path, `{*name}` all that follow. In the needs,
`a|b` are names of one field, `a[].b` stands inside of a list, `{a}` in the path, `a/b` are two fields, `graphql.a` is
what the GraphQL document names, `a[k]` the member or pair `k` of `a`, `a[*]` the names of all of them, `header.a` a header
field, `otlp.a` what the spans in the body name.

";

/// One row, in words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Printed {
    /// The method.
    pub method: &'static str,
    /// The path with its prefixes.
    pub path: String,
    /// MLflow's name for the call, or ours.
    pub name: &'static str,
    /// What the caller needs, all of it.
    pub needs: Vec<String>,
    /// What the active workspace is to it.
    pub scope: String,
    /// Where the caller's name is written into the request.
    pub stamps: String,
    /// What happens to the answer.
    pub answer: String,
    /// What follows from success.
    pub effect: String,
}

impl From<&Row> for Printed {
    fn from(row: &Row) -> Self {
        Self {
            method: row.verb.as_str(),
            path: path(row),
            name: row.name,
            needs: words(row),
            scope: scope(row).to_owned(),
            stamps: stamps(row),
            answer: answer(row),
            effect: [effect(row.effect), effect(row.also)]
                .into_iter()
                .filter(|text| !text.is_empty())
                .collect::<Vec<_>>()
                .join("; "),
        }
    }
}

/// The rows as `docs/routes.md` holds them.
pub fn markdown<'a>(rows: impl Iterator<Item = &'a Row>) -> String {
    let mut text = String::from(HEAD);
    text.push_str("| Method | Path | Name | Needs | Answer and effect |\n| --- | --- | --- | --- | --- |\n");
    for row in rows {
        let cell = |text: &str| text.replace('|', "\\|");
        // Writing to a `String` cannot fail.
        let _ = writeln!(
            text,
            "| {} | `{}` | {} | {} | {} |",
            row.verb,
            cell(&path(row)),
            row.name,
            cell(&needs(row)),
            cell(&follows(row))
        );
    }
    text
}

/// The rows with what they need, and nothing else.
pub fn markdown_needs<'a>(rows: impl Iterator<Item = &'a Row>) -> String {
    let mut text = String::from("| Method | Path | Name | Needs |\n| --- | --- | --- | --- |\n");
    for row in rows {
        let cell = |text: &str| text.replace('|', "\\|");
        // Writing to a `String` cannot fail.
        let _ = writeln!(text, "| {} | `{}` | {} | {} |", row.verb, cell(&path(row)), row.name, cell(&needs(row)));
    }
    text
}

/// The path with its prefixes; `{api|ajax-api}` stands for either.
#[must_use]
pub fn path(row: &Row) -> String {
    match row.prefixes {
        Prefixes::Both => format!("/{{api|ajax-api}}/{}", row.path),
        Prefixes::Api => format!("/api/{}", row.path),
        Prefixes::Ajax => format!("/ajax-api/{}", row.path),
        Prefixes::None => format!("/{}", row.path),
    }
}

/// What the caller needs, all of it.
#[must_use]
pub fn needs(row: &Row) -> String {
    words(row).join("; ")
}

fn words(row: &Row) -> Vec<String> {
    let switch = row.behind.map(|switch| format!("the setting `{}`", switch.key()));
    row.needs.iter().map(need).chain(switch).collect()
}

#[expect(clippy::too_many_lines, reason = "one line for each word of the table")]
fn need(need: &Need) -> String {
    match need {
        Need::Anyone => "nothing".to_owned(),
        Need::SignedIn => "to be signed in".to_owned(),
        Need::Admin(why) => format!("to be an administrator: {why}"),
        Need::Nobody(why) => format!("closed: {why}"),
        Need::Create => "create on workspace".to_owned(),
        Need::CreateNamed { kind, name, mark } => {
            let prompt = match (kind.as_prompt(), mark) {
                (Some(prompt), Some(mark)) => format!(" ({prompt} if `{mark}` is true)"),
                _ => String::new(),
            };
            let denied = if *kind == Kind::Experiment { ", and no DENY on the name" } else { "" };
            format!("create on workspace, or a rule for {kind} `{name}`{prompt}{denied}")
        }
        Need::OnOrCreate { action, kind, field } => {
            format!("{action} on {kind} `{field}`, or create on workspace if there is none")
        }
        Need::On { action, kind, field, count } => {
            let count = match count {
                Count::One => "",
                Count::Optional => ", if given",
                Count::Each => ", each",
                Count::AnyEach => ", each, if given",
                Count::Narrowed => ", hidden ones are cut from the request",
                Count::ByRow => ", judged in the answer",
            };
            format!("{action} on {kind} `{field}`{count}")
        }
        Need::Under { action, kind, field, count, of, parent } => {
            let count = if *count == Count::AnyEach { ", each, if given" } else { "" };
            format!("{action} on {kind} `{field}` in {of} `{parent}`{count}")
        }
        Need::NoneDenied(kind) => format!("no {kind} denied"),
        Need::NewOf { kind, given: None } => format!("{kind} not denied as such"),
        Need::NewNamed { kind, mark } => {
            let prompt = kind.as_prompt().map_or("", |prompt| prompt.as_str());
            format!("{kind} not denied as such ({prompt} if `{mark}` is true)")
        }
        Need::NewOf { kind, given: Some(field) } => format!("{kind} not denied as such, if `{field}` is given"),
        Need::Lenient { action, least, own, kind, field } => {
            let whose = if *own { "one's own " } else { "" };
            format!("{action} on {kind} `{field}` (with `access.lenient_edit`, {least} on {whose}{kind})")
        }
        Need::OnArtifact { action, field } => format!("{action} on what the artifact path `{field}` lies in"),
        Need::OnExperimentNamed { action, field } => format!("{action} on the experiment named `{field}`"),
        Need::OnEvery { action, kind } => format!("{action} on every {kind}"),
        Need::OnNamed { action, kind, field, count } => {
            let count = if *count == Count::One { "" } else { ", if given" };
            format!("{action} on the {kind} named `{field}`{count}")
        }
        Need::OnExperimentOf { action, kind, field } => format!("{action} on the experiment of {kind} `{field}`"),
        Need::OnAllIn { action, kinds, of, field } => {
            let kinds = kinds.iter().map(|kind| kind.as_str()).collect::<Vec<_>>().join(", ");
            format!("{action} on every {kinds} in {of} `{field}`")
        }
        Need::Renames { id, to } => format!(
            "where `{to}` changes what anybody holds on experiment `{id}` by name, manage on it for good, and no DENY lost"
        ),
        Need::NotDenied { kind, field } => format!("no DENY on {kind} `{field}`"),
        Need::OnQueue { right, field } => {
            let right = match right {
                QueueRight::See => "manage, to be a reviewer, or edit as its owner",
                QueueRight::Change => "manage, or edit as its owner",
                QueueRight::Prune => "manage, or edit as its owner where it is not one person's own",
                QueueRight::Work => "to be a reviewer, with edit",
            };
            format!("read on the experiment of review_queue `{field}`, and on the queue: {right}")
        }
        Need::ForOneself { field, experiment, others } => {
            let others = others.map_or("to be an administrator".to_owned(), |action| format!("{action} on it"));
            format!(
                "edit on experiment `{experiment}`, if `{field}` is given; {others} where that is not one's own name"
            )
        }
        Need::Gives { what: given, to } => {
            let to = to.map_or(String::new(), |to| format!(", and another `{to}` than oneself"));
            format!("manage on {}, for as long as it is given{to}", what(*given))
        }
        Need::Takes { what: taken, from } => {
            let from = from.map_or(String::new(), |field| format!(" (of `{field}`)"));
            format!("manage on {}{from}", what(*taken))
        }
        Need::Oneself { field, managers } => {
            format!("to be `{field}`{}", if *managers { ", or manage on workspace" } else { ", or an administrator" })
        }
        Need::OnTokensOf { field, making } => {
            let admins = if *making { "" } else { ", or to be an administrator" };
            format!("to be `{field}`, or to look after that service account{admins}; not by a token")
        }
        Need::OnToken(field) => {
            format!("to own the token `{field}`, or look after its owner, or be an administrator; not by a token")
        }
        Need::OnRole { right: RoleRight::See, field } => {
            format!("to have the role of `{field}`, or manage on its workspace")
        }
        Need::OnRole { right: RoleRight::Change, field } => format!("manage on the workspace of the role of `{field}`"),
        Need::InEach(field) => {
            format!("to hold something in each workspace `{field}`; without it, to be an administrator")
        }
        Need::Checked(check) => match check {
            Check::ArtifactLocation(field) => format!("`{field}` empty or at an allowed place"),
            Check::ModelSource(field) => format!("`{field}` below a run or model that one may read"),
            Check::NewModelName(field) => format!("`{field}` can be granted on"),
            Check::TagKey(field) => format!("`{field}` no reserved tag"),
            Check::VersionTags(field) => {
                format!("`{field}` call it a prompt's version if `name` is a prompt, and else not")
            }
            Check::RunTags { run, key } => {
                format!(
                    "`{key}` no reserved tag, and `mlflow.user` only the caller's, on a run (`{run}`) of the caller"
                )
            }
            Check::NewSkill { name, organization } => format!("no DENY on skill `{organization}/{name}`"),
            Check::GuardrailScorer(field) => format!("read on the scorer of the guardrail `{field}`"),
            Check::TracedInto(field) => {
                format!(
                    "without `experiment_id`, edit on the experiment `gateway/<name>` of `{field}`, if there is one"
                )
            }
            Check::FileName(field) => format!("`{field}` ends in a plain file name"),
            Check::SafePath(field) => format!("`{field}` relative and canonical"),
            Check::TraceTags(field) => format!("`{field}` no tag of the server's"),
            Check::TraceTagsOf { tags, .. } => format!("`{tags}` no tag of the server's, unless as it is"),
            Check::TraceMetadata(field) => format!("`{field}` no metadata of the gateway's"),
            Check::NewTraces { traces, experiment } => {
                format!("edit on each trace `{traces}`, which is new or in experiment `{experiment}`")
            }
            Check::TracePlace(field) => format!("`{field}` keeps its artifacts in its experiment"),
            Check::TraceFilter(field) | Check::TraceFilters(field) => {
                format!("`{field}` asks for nothing that is denied")
            }
            Check::CountFilter(field) | Check::CountFilters(field) => {
                format!("`{field}` asks for nothing that is denied or hidden")
            }
            Check::TraceView(field) => format!("no assessment denied, if `{field}` counts them"),
            Check::Ours(field) => format!("`{field}` left to the server"),
            Check::Presigned(field) => format!("`{field}` not asked for, unless `access.presigned_artifacts` is on"),
            Check::Elsewhere(field) => format!("`{field}` absent"),
            Check::Inside { things, experiment } => format!("`{things}` in the experiment of `{experiment}`"),
            Check::Selector { field, word, kind } => format!("no DENY on any {kind}, if `{field}` says `{word}`"),
            Check::QueueType { field, name, .. } => {
                format!("manage on the experiment, if `{field}` is USER and `{name}` not one's own name")
            }
            Check::Scorers { field, .. } => format!("read on each registered scorer that `{field}` names"),
            Check::Models(field) => format!("use on each gateway endpoint that `{field}` names"),
            Check::NewId { field, kind } => format!("`{field}` a canonical id of a new {kind}, if given"),
            Check::NewOwner { field, .. } => format!("manage on the experiment, if `{field}` is given"),
            Check::PromptUri(field) => format!("edit on the prompt of `{field}`"),
            Check::TraceParent(field) => format!("`{field}` left out, unless with edit on its trace"),
            Check::SourceRun(field) => format!("`{field}` in one spelling where it names a run"),
            Check::NewSourceRun { run, assessment, .. } => {
                format!("delete on assessment `{assessment}` and edit on run `{run}`, if that is new")
            }
            Check::IssueNames(field) => format!("edit on each issue that `{field}` names"),
            Check::Provider { provider, secret, .. } => {
                format!(
                    "use on the endpoint, if `{provider}` is the gateway; use on every secret, if `{secret}` has no key"
                )
            }
            Check::StoredJudge(field) if field.split('/').count() < 3 => {
                format!("use on each gateway endpoint that the registered scorer `{field}` names")
            }
            Check::StoredJudge(field) => {
                format!("read on scorer_version `{field}`, use on each gateway endpoint that it names, if given")
            }
            Check::StoredJudges { scorers, versions, .. } => format!(
                "read on each registered scorer of `{scorers}` with a version in `{versions}`, use on each gateway endpoint that it names"
            ),
            Check::TraceAuthor { name, .. } => format!("`{name}` only the caller's name"),
            Check::ListedVersions { tag, kind, value: Some(_), keys } => {
                format!("read on each {kind} in the tag `{tag}` (`{keys}`)")
            }
            Check::ListedVersions { tag, keys, value: None, kind: _ } => format!("`{keys}` not `{tag}`"),
        },
    }
}

/// What is given or taken.
fn what(what: What) -> String {
    match what {
        What::Named { kind, id, .. } => format!("the `{kind}` named `{id}`"),
        What::One { kind, field, .. } => format!("{kind} `{field}`"),
        What::Workspace { .. } => "everything in the workspace".to_owned(),
        What::OfRole { .. } => "all that the role (or its named permission) speaks of".to_owned(),
    }
}

/// In which workspaces, what happens to the answer, and what follows from success.
#[must_use]
pub fn follows(row: &Row) -> String {
    let parts = [scope(row).to_owned(), stamps(row), answer(row), effect(row.effect), effect(row.also)];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("; ")
}

fn scope(row: &Row) -> &'static str {
    match row.scope {
        Scope::Inside => "",
        Scope::Anywhere => "whatever workspace is named",
        Scope::Workspaces => "there is no such call where workspaces are off",
    }
}

fn stamps(row: &Row) -> String {
    if row.stamps.is_empty() {
        return String::new();
    }
    let places: Vec<_> = row
        .stamps
        .iter()
        .map(|stamp| match stamp {
            Stamp::Text(at) => format!("`{at}`"),
            Stamp::Given(at) => format!("`{at}`, if given"),
            Stamp::Json(at) => format!("tag `mlflow.user` in the JSON of `{at}`, if given"),
            Stamp::Tags(at) => format!("tag `mlflow.user` of `{}`", at.trim_end_matches("[].key")),
            Stamp::GivenTags(at) => format!("tag `mlflow.user` of `{}`, if given", at.trim_end_matches("[].key")),
            Stamp::Map(at) => format!("`mlflow.user` of `{at}`"),
            Stamp::GivenMap(at) => format!("`mlflow.user` of `{at}`, if given"),
            Stamp::Source(at) => format!("`{at}` of a human"),
        })
        .collect();
    format!("the caller's name is written into {}", places.join(", "))
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
        Answer::GraphQl(_) => "what the document asks for, as far as it is visible".to_owned(),
        Answer::Served => "by Trackgate itself".to_owned(),
        Answer::Shell => "with a way to sign out, for whoever has a session (`access.sign_out_entry`), and by the setting `access.menu_entry` one to our own pages".to_owned(),
        Answer::Ours(json) => format!("`{json}`, by Trackgate itself"),
        Answer::OursUnless(json, None) => format!("`{json}`, by Trackgate itself, except to administrators"),
        Answer::OursUnless(json, Some(kind)) => {
            format!("`{json}`, by Trackgate itself, except to administrators and who may use every {kind}")
        }
        Answer::Offers(offers) => {
            let offers: Vec<_> =
                offers.iter().map(|offer| format!("`{}` without `{}`", offer.member, offer.with.key())).collect();
            format!("says `false` to {}", offers.join(", "))
        }
    }
}

fn effect(effect: Effect) -> String {
    match effect {
        Effect::None => String::new(),
        Effect::Owns { kind, new: New::Always, .. } => format!("the caller gets MANAGE on the new {kind}"),
        Effect::Owns { kind, new: New::IfAbsent, .. } => {
            format!("the caller gets MANAGE on the {kind} if there was none")
        }
        Effect::Owns { kind, new: New::First(at), .. } => {
            format!("the caller gets MANAGE on the {kind} if `{at}` is 1")
        }
        Effect::Renames { kind, from, to } => format!("grants follow the {kind} from `{from}` to `{to}`"),
        Effect::Forgets { kind, field, unless: None } => format!("grants on the {kind} `{field}` end"),
        Effect::Forgets { kind, field, unless: Some(part) } => {
            format!("grants on the {kind} `{field}` end, unless `{part}` is given")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::classify::rows;

    #[test]
    fn every_row_is_printed_once_and_no_cell_breaks_the_table() {
        let text = markdown(rows());
        let lines: Vec<&str> = text.lines().filter(|line| line.starts_with('|')).collect();
        assert_eq!(lines.len(), rows().count() + 2);
        for line in lines {
            assert_eq!(line.replace("\\|", "").matches('|').count(), 6, "{line}");
        }
    }
}
