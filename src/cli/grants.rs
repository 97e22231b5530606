//! Commands about grants.

use std::str::FromStr;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use serde_json::json;

use super::say::place;
use super::whom::{self, End, Whom, spoken, stranger, words};
use super::{Form, say};
use crate::access::grant::{Grant, Pattern};
use crate::mlflow::glob;
use crate::mlflow::ids::WorkspaceName;
use crate::mlflow::permission::Permission;
use crate::mlflow::resource::{Grantable, Kind};
use crate::store::{By, GrantRecord, Store};

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
        /// Until when: a moment (2027-01-31T18:00:00Z) or a time from now (90m, 8h, 30d). Without it, for good.
        #[arg(long, value_parser = End::parse)]
        expires: Option<End>,
    },
    /// Take a grant back.
    Remove {
        #[command(flatten)]
        on: On,
    },
    /// List grants.
    List {
        /// Only those of `user:NAME`, `group:NAME` or `role:NAME`.
        #[arg(value_parser = Whom::parse)]
        subject: Option<Whom>,
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
    /// `user:NAME`, `group:NAME` or `role:NAME`; `group:everybody` is everybody who signs in.
    #[arg(value_parser = Whom::parse)]
    subject: Whom,
    /// workspace, experiment, run, `logged_model`, trace, `registered_model` or `registered_model_version`.
    #[arg(value_parser = Kind::from_str)]
    kind: Kind,
    /// An id; or a name, in which `*` stands for any letters and `?` for one (`team-?/*-prod`; `[*]` and `[?]` are the
    /// letters themselves). `*` alone is all. A version is `model/3`, the workspace `default`.
    pattern: String,
    /// Take a name with `*` or `?` in it as it is.
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
        if self.exactly && self.kind.grantable() == Grantable::ByName {
            // As long as any, and without signs that cannot be read.
            Pattern::parse(self.kind, &glob::quoted(&self.pattern))?;
            return Ok(Pattern::Exactly(Arc::from(self.pattern.as_str())));
        }
        Pattern::parse(self.kind, &self.pattern)
            .with_context(|| format!("`{}` does not name objects of kind {}", self.pattern, self.kind))
    }
}

impl GrantCommand {
    pub(super) async fn run(self, store: &Store, by: By, google: whom::Google<'_>) -> anyhow::Result<()> {
        match self {
            Self::Add { on, permission, expires } => {
                let workspace = on.workspace.clone();
                let pattern = on.pattern()?;
                let subject = on.subject.subject(store, &workspace)?;
                let grant = Grant { pattern, subject, kind: on.kind, permission };
                let told_of = stranger(store, &grant.subject, google);
                let mut place = place(&workspace);
                let expires = whom::end(expires)?;
                let before = store.grants_of(&grant.subject, Some(&workspace));
                let same = |record: &GrantRecord| record.grant == grant && record.expires == expires;
                let word = if before.iter().any(same) { "granted already" } else { "granted" };
                if let Some(end) = expires {
                    place = format!("{place} until {}", say::exactly(end));
                }
                store.set_grant(&workspace, grant.clone(), expires, by).await?;
                say::line(format!("{word}: {grant}{place}"))?;
                told_of.map_or(Ok(()), say::line)
            }
            Self::Remove { on } => {
                let pattern = on.pattern()?;
                let subject = on.subject.subject(store, &on.workspace)?;
                let what = format!("{subject}: {} {pattern}{}", on.kind, place(&on.workspace));
                if !store.revoke(&on.workspace, subject, on.kind, pattern, by).await?.anything() {
                    bail!("there is no such grant ({what}); `trackgate grant list` shows those there are");
                }
                say::line(format!("taken back: {what}"))
            }
            Self::List { subject, kind, workspace, form } => {
                let home = workspace.clone().unwrap_or_default();
                let subject = subject.map(|subject| subject.subject(store, &home)).transpose()?;
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
                                "id": record.id, "expires": record.expires.map(say::exactly),
                                "created": say::when(record.created), "by": &*record.by,
                            })
                        })
                        .collect();
                    return say::json(&rows);
                }
                let none = "there are no such grants";
                let cells = |record: &GrantRecord| {
                    [
                        spoken(store, &record.grant.subject),
                        record.grant.kind.to_string(),
                        record.grant.pattern.to_string(),
                        record.grant.permission.to_string(),
                        record.expires.map_or_else(String::new, say::exactly),
                        say::when(record.created),
                        record.by.to_string(),
                    ]
                };
                // Who has no workspaces need not hear of them.
                if grants.iter().all(|record| record.workspace.is_default()) {
                    let rows: Vec<_> = grants.iter().map(cells).collect();
                    return say::table(
                        ["SUBJECT", "KIND", "OBJECT", "PERMISSION", "UNTIL", "SINCE", "BY"],
                        &rows,
                        none,
                    );
                }
                let rows: Vec<_> = grants
                    .iter()
                    .map(|record| {
                        let [subject, kind, object, permission, until, since, by] = cells(record);
                        [subject, record.workspace.to_string(), kind, object, permission, until, since, by]
                    })
                    .collect();
                let head = ["SUBJECT", "WORKSPACE", "KIND", "OBJECT", "PERMISSION", "UNTIL", "SINCE", "BY"];
                say::table(head, &rows, none)
            }
        }
    }
}
