//! Commands about who may create what.

use std::str::FromStr;

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use serde_json::json;

use super::whom::{self, End, Whom, spoken, stranger, words};
use super::{Form, say};
use crate::access::grant::Pattern;
use crate::mlflow::ids::WorkspaceName;
use crate::mlflow::resource::Kind;
use crate::store::{By, CreateRule, Store};

#[derive(Debug, Subcommand)]
pub(super) enum RuleCommand {
    /// Let somebody create things under such names: `rule add group:research experiment 'research/*'`. Whoever creates
    /// something owns it. USE on the workspace lets create anything, without a rule.
    Add {
        #[command(flatten)]
        on: On,
        /// Until when: a moment (2027-01-31T18:00:00Z) or a time from now (90m, 8h, 30d). Without it, for good.
        #[arg(long, value_parser = End::parse)]
        expires: Option<End>,
    },
    /// Take a rule back.
    Remove {
        #[command(flatten)]
        on: On,
    },
    /// List the rules.
    List {
        /// Only those in this workspace.
        #[arg(long, value_parser = WorkspaceName::parse)]
        workspace: Option<WorkspaceName>,
        #[command(flatten)]
        form: Form,
    },
}

/// Whom and what a rule is about.
#[derive(Debug, Args)]
pub(super) struct On {
    /// `user:NAME`, `group:NAME` or `role:NAME`; `group:everybody` is everybody who signs in.
    #[arg(value_parser = Whom::parse)]
    subject: Whom,
    /// experiment, `registered_model` or prompt.
    #[arg(value_parser = Kind::from_str)]
    kind: Kind,
    /// A name, in which `*` stands for any letters and `?` for one (`research/*`), or `*` for all.
    names: String,
    /// The workspace in which the rule holds, where MLflow has several.
    #[arg(long, value_parser = WorkspaceName::parse, default_value = "default")]
    workspace: WorkspaceName,
}

impl On {
    fn names(&self) -> anyhow::Result<Pattern> {
        Pattern::of_names(self.kind, &self.names)
            .with_context(|| format!("`{}` does not name new things of kind {}", self.names, self.kind))
    }
}

impl RuleCommand {
    pub(super) async fn run(self, store: &Store, by: By, google: whom::Google<'_>) -> anyhow::Result<()> {
        match self {
            Self::Add { on, expires } => {
                let names = on.names()?;
                let subject = on.subject.subject(store, &on.workspace)?;
                let expires = whom::end(expires)?;
                let told_of = stranger(store, &subject, google);
                let who = spoken(store, &subject);
                let rule = store.add_create_rule(&on.workspace, subject, on.kind, names, expires, by).await?;
                let end = rule.expires.map_or_else(String::new, |end| format!(" until {}", say::exactly(end)));
                let place = say::place(&on.workspace);
                say::line(format!("{who} may create {} {}{place}{end}", rule.kind, rule.pattern))?;
                told_of.map_or(Ok(()), say::line)
            }
            Self::Remove { on } => {
                let names = on.names()?;
                let subject = on.subject.subject(store, &on.workspace)?;
                let same =
                    |rule: &CreateRule| rule.workspace == on.workspace && rule.kind == on.kind && rule.pattern == names;
                let Some(rule) = store.create_rules_of(&subject).into_iter().find(same) else {
                    bail!("there is no such rule; `trackgate rule list` shows those there are");
                };
                store.remove_create_rule(rule.id, by).await?;
                say::line(format!("taken back: {} may create {} {names}", spoken(store, &subject), on.kind))
            }
            Self::List { workspace, form } => {
                let rules = store.create_rules(workspace.as_ref());
                if form.json {
                    let row = |rule: &CreateRule| {
                        let (subject_kind, subject) = words(&rule.subject);
                        json!({
                            "id": rule.id, "workspace": rule.workspace.as_str(), "subject_kind": subject_kind,
                            "subject": subject, "kind": rule.kind.as_str(), "pattern": rule.pattern.to_string(),
                            "exact": matches!(rule.pattern, Pattern::Exactly(_)),
                            "expires": rule.expires.map(say::exactly),
                            "created": say::when(rule.created), "by": &*rule.by,
                        })
                    };
                    return say::json(&rules.iter().map(row).collect::<Vec<_>>());
                }
                let cells = |rule: &CreateRule| {
                    [
                        spoken(store, &rule.subject),
                        rule.workspace.to_string(),
                        rule.kind.to_string(),
                        rule.pattern.to_string(),
                        rule.expires.map_or_else(String::new, say::exactly),
                        say::when(rule.created),
                        rule.by.to_string(),
                    ]
                };
                let rows: Vec<_> = rules.iter().map(cells).collect();
                let head = ["SUBJECT", "WORKSPACE", "KIND", "NAMES", "UNTIL", "SINCE", "BY"];
                say::table(head, &rows, "there are no such rules")
            }
        }
    }
}
