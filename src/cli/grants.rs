//! Commands about grants.

use std::str::FromStr;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use serde_json::json;

use super::people::{told, user_name};
use super::{Form, say};
use crate::access::grant::{Grant, Pattern, Subject};
use crate::mlflow::ids::WorkspaceName;
use crate::mlflow::permission::Permission;
use crate::mlflow::resource::Kind;
use crate::store::{By, EVERYBODY, GrantRecord, Store};

#[derive(Debug, Subcommand)]
pub(super) enum GrantCommand {
    /// Give a permission, replacing an earlier one on the same objects:
    /// `grant add user:alice@example.com experiment 12 EDIT`.
    Add {
        #[command(flatten)]
        on: On,
        /// READ, USE, EDIT, MANAGE or DENY.
        #[arg(value_parser = Permission::from_str)]
        permission: Permission,
    },
    /// Take a grant back.
    Remove {
        #[command(flatten)]
        on: On,
    },
    /// List grants.
    List {
        /// Only those of `user:NAME` or `group:NAME`.
        #[arg(value_parser = subject)]
        subject: Option<Subject>,
        /// Only those on this kind of object.
        #[arg(long, value_parser = Kind::from_str)]
        kind: Option<Kind>,
        /// Only those in this workspace.
        #[arg(long, value_parser = WorkspaceName::parse)]
        workspace: Option<WorkspaceName>,
        #[command(flatten)]
        form: Form,
    },
}

/// Whom and what a grant is about.
#[derive(Debug, Args)]
pub(super) struct On {
    /// `user:NAME` or `group:NAME`; `group:everybody` is everybody who signs in.
    #[arg(value_parser = subject)]
    subject: Subject,
    /// workspace, experiment, run, `logged_model`, trace, `registered_model` or `registered_model_version`.
    #[arg(value_parser = Kind::from_str)]
    kind: Kind,
    /// An id or a name; `*` for all; `beginning*` for registered models. A version is `model/3`, the workspace `default`.
    pattern: String,
    /// Take a name that ends in `*` as it is, not as a beginning.
    #[arg(long)]
    exactly: bool,
    /// The workspace in which the grant holds, where MLflow has several.
    #[arg(long, value_parser = WorkspaceName::parse, default_value = "default")]
    workspace: WorkspaceName,
}

impl On {
    fn pattern(&self) -> anyhow::Result<Pattern> {
        if self.kind == Kind::Workspace && self.pattern != "*" && self.pattern != self.workspace.as_str() {
            bail!("a grant on a workspace holds in it: write `workspace '*' ... --workspace {}`", self.pattern);
        }
        if self.exactly && self.kind == Kind::RegisteredModel {
            return Ok(Pattern::Exactly(Arc::from(self.pattern.as_str())));
        }
        Pattern::parse(self.kind, &self.pattern)
            .with_context(|| format!("`{}` does not name objects of kind {}", self.pattern, self.kind))
    }
}

impl GrantCommand {
    pub(super) async fn run(self, store: &Store, by: By) -> anyhow::Result<()> {
        match self {
            Self::Add { on, permission } => {
                let workspace = on.workspace.clone();
                let grant = Grant { pattern: on.pattern()?, subject: on.subject, kind: on.kind, permission };
                let told_of = stranger(store, &grant.subject);
                let place = place(&workspace);
                told(
                    store.grant(&workspace, grant.clone(), by).await?,
                    &format!("granted: {grant}{place}"),
                    &format!("granted already: {grant}{place}"),
                )?;
                told_of.map_or(Ok(()), say::line)
            }
            Self::Remove { on } => {
                let pattern = on.pattern()?;
                let what = format!("{}: {} {pattern}{}", on.subject, on.kind, place(&on.workspace));
                if !store.revoke(&on.workspace, on.subject, on.kind, pattern, by).await?.anything() {
                    bail!("there is no such grant ({what}); `trackgate grant list` shows those there are");
                }
                say::line(format!("taken back: {what}"))
            }
            Self::List { subject, kind, workspace, form } => {
                let mut grants = store.grants();
                grants.retain(|record| {
                    subject.as_ref().is_none_or(|subject| record.grant.subject == *subject)
                        && kind.is_none_or(|kind| record.grant.kind == kind)
                        && workspace.as_ref().is_none_or(|workspace| record.workspace == *workspace)
                });
                if form.json {
                    let rows: Vec<_> = grants
                        .iter()
                        .map(|record| {
                            let (subject_kind, subject) = words(&record.grant.subject);
                            json!({
                                "workspace": record.workspace.as_str(), "subject_kind": subject_kind, "subject": subject, "kind": record.grant.kind.as_str(),
                                "pattern": record.grant.pattern.to_string(),
                                "exact": matches!(record.grant.pattern, Pattern::Exactly(_)),
                                "permission": record.grant.permission.as_str(),
                                "created": say::when(record.created), "by": record.by,
                            })
                        })
                        .collect();
                    return say::json(&rows);
                }
                let none = "there are no such grants";
                let cells = |record: &GrantRecord| {
                    let (subject_kind, subject) = words(&record.grant.subject);
                    [
                        format!("{subject_kind}:{subject}"),
                        record.grant.kind.to_string(),
                        record.grant.pattern.to_string(),
                        record.grant.permission.to_string(),
                        say::when(record.created),
                        record.by.clone(),
                    ]
                };
                // Who has no workspaces need not hear of them.
                if grants.iter().all(|record| record.workspace.is_default()) {
                    let rows: Vec<_> = grants.iter().map(cells).collect();
                    return say::table(["SUBJECT", "KIND", "OBJECT", "PERMISSION", "SINCE", "BY"], &rows, none);
                }
                let rows: Vec<_> = grants
                    .iter()
                    .map(|record| {
                        let [subject, kind, object, permission, since, by] = cells(record);
                        [subject, record.workspace.to_string(), kind, object, permission, since, by]
                    })
                    .collect();
                say::table(["SUBJECT", "WORKSPACE", "KIND", "OBJECT", "PERMISSION", "SINCE", "BY"], &rows, none)
            }
        }
    }
}

/// Said where it is not the one that everybody has.
fn place(workspace: &WorkspaceName) -> String {
    if workspace.is_default() { String::new() } else { format!(" in workspace {workspace}") }
}

fn subject(text: &str) -> Result<Subject, String> {
    let subject = Subject::from_str(text).map_err(|error| error.to_string())?;
    if let Subject::User(name) = &subject {
        user_name(name.as_str()).map_err(|error| error.to_string())?;
    }
    Ok(subject)
}

fn words(subject: &Subject) -> (&'static str, &str) {
    match subject {
        Subject::User(name) => ("user", name.as_str()),
        Subject::Group(name) => ("group", name.as_str()),
    }
}

/// A grant may come before its subject; whoever mistyped a name should hear of it.
fn stranger(store: &Store, subject: &Subject) -> Option<String> {
    match subject {
        Subject::User(name) if !store.users().iter().any(|user| user.name == *name) => {
            Some(format!("note: nobody has signed in as {name} yet"))
        }
        Subject::Group(name)
            if name.as_str() != EVERYBODY && !store.groups().iter().any(|group| group.name == *name) =>
        {
            Some(format!("note: the store has no group {name}; the grant counts for those whose issuer names it"))
        }
        Subject::User(_) | Subject::Group(_) => None,
    }
}
