//! Commands about roles.

use clap::Subcommand;
use serde_json::json;

use super::whom::{self, End, Whom, spoken, words};
use super::{Form, say};
use crate::mlflow::ids::{RoleName, WorkspaceName};
use crate::store::{Assignment, By, Store};

#[derive(Debug, Subcommand)]
pub(super) enum RoleCommand {
    /// Make a role: `role add readers`, then `grant add role:readers experiment '*' READ`.
    Add {
        /// The name.
        #[arg(value_parser = RoleName::parse)]
        name: RoleName,
        /// What it is for.
        #[arg(long, default_value = "")]
        description: String,
        /// The workspace in which it holds, where MLflow has several.
        #[arg(long, value_parser = WorkspaceName::parse, default_value = "default")]
        workspace: WorkspaceName,
    },
    /// Remove a role with what it holds, from all who have it.
    Remove {
        /// Its name or number.
        role: String,
        /// The workspace that the name is in.
        #[arg(long, value_parser = WorkspaceName::parse, default_value = "default")]
        workspace: WorkspaceName,
    },
    /// Give a role another name or description.
    Change {
        /// Its name or number.
        role: String,
        /// The new name.
        #[arg(long, value_parser = RoleName::parse, required_unless_present = "description")]
        name: Option<RoleName>,
        /// The new description.
        #[arg(long)]
        description: Option<String>,
        /// The workspace that the name is in.
        #[arg(long, value_parser = WorkspaceName::parse, default_value = "default")]
        workspace: WorkspaceName,
    },
    /// Give a role to a user or a group: `role assign readers group:data-science --expires 30d`.
    Assign {
        /// Its name or number.
        role: String,
        /// `user:NAME` or `group:NAME`; `group:everybody` is everybody who signs in.
        #[arg(value_parser = Whom::parse)]
        to: Whom,
        /// Until when: a moment (2027-01-31T18:00:00Z) or a time from now (90m, 8h, 30d).
        #[arg(long, value_parser = End::parse)]
        expires: Option<End>,
        /// The workspace that the name is in.
        #[arg(long, value_parser = WorkspaceName::parse, default_value = "default")]
        workspace: WorkspaceName,
    },
    /// Take a role from a user or a group.
    Unassign {
        /// Its name or number.
        role: String,
        /// `user:NAME` or `group:NAME`.
        #[arg(value_parser = Whom::parse)]
        from: Whom,
        /// The workspace that the name is in.
        #[arg(long, value_parser = WorkspaceName::parse, default_value = "default")]
        workspace: WorkspaceName,
    },
    /// List roles and who has them; `grant list role:NAME` lists what one holds.
    List {
        /// Only those in this workspace.
        #[arg(long, value_parser = WorkspaceName::parse)]
        workspace: Option<WorkspaceName>,
        #[command(flatten)]
        form: Form,
    },
}

impl RoleCommand {
    pub(super) async fn run(self, store: &Store, by: By, google: whom::Google<'_>) -> anyhow::Result<()> {
        match self {
            Self::Add { name, description, workspace } => {
                let role = store.create_role(&workspace, &name, &description, by).await?;
                say::line(format!("role {name} added, number {}", role.id))
            }
            Self::Remove { role, workspace } => {
                let id = whom::role(store, &workspace, &role)?;
                store.delete_role(id, by).await?;
                say::line(format!("role {role} removed, with its grants and from all who had it"))
            }
            Self::Change { role, name, description, workspace } => {
                let id = whom::role(store, &workspace, &role)?;
                let role = store.update_role(id, name.as_ref(), description.as_deref(), by).await?;
                say::line(format!("role {} changed, number {}", role.name, role.id))
            }
            Self::Assign { role, to, expires, workspace } => {
                let id = whom::role(store, &workspace, &role)?;
                let to = to.subject(store, &workspace)?;
                let told_of = whom::stranger(store, &to, google);
                store.assign(id, &to, whom::end(expires)?, by).await?;
                say::line(format!("{to} has role {role} now"))?;
                told_of.map_or(Ok(()), say::line)
            }
            Self::Unassign { role, from, workspace } => {
                let id = whom::role(store, &workspace, &role)?;
                let from = from.subject(store, &workspace)?;
                store.unassign(id, &from, by).await?;
                say::line(format!("{from} has role {role} no more"))
            }
            Self::List { workspace, form } => list(store, workspace.as_ref(), form),
        }
    }
}

fn list(store: &Store, workspace: Option<&WorkspaceName>, form: Form) -> anyhow::Result<()> {
    let mut roles = store.roles(workspace);
    // Those that stand for their owners are MLflow's way to speak of what `grant list` shows.
    roles.retain(|role| role.owner.is_none());
    if form.json {
        let rows: Vec<_> = roles
            .iter()
            .map(|role| {
                let has: Vec<_> = store
                    .assignments_of_role(role.id)
                    .iter()
                    .map(|assignment| {
                        let (kind, name) = words(&assignment.to);
                        json!({"kind": kind, "name": name, "expires": assignment.expires.map(say::exactly)})
                    })
                    .collect();
                json!({
                    "id": role.id.0, "name": role.name.as_str(), "workspace": role.workspace.as_str(),
                    "description": &*role.description, "assigned": has, "created": say::when(role.created), "by": &*role.by,
                })
            })
            .collect();
        return say::json(&rows);
    }
    let has = |assignment: &Assignment| {
        let until = assignment.expires.map_or_else(String::new, |end| format!(" until {}", say::exactly(end)));
        format!("{}{until}", spoken(store, &assignment.to))
    };
    let rows: Vec<_> = roles
        .iter()
        .map(|role| {
            let all: Vec<_> = store.assignments_of_role(role.id).iter().map(has).collect();
            [
                role.id.to_string(),
                role.name.to_string(),
                role.workspace.to_string(),
                all.join(", "),
                role.description.to_string(),
            ]
        })
        .collect();
    say::table(["ID", "ROLE", "WORKSPACE", "ASSIGNED TO", "DESCRIPTION"], &rows, "there are no roles yet")
}
