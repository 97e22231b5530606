//! Commands about users and groups.

use anyhow::bail;
use clap::Subcommand;
use serde_json::json;

use super::{Form, say};
use crate::mlflow::ids::{BadId, GroupName, UserName};
use crate::store::{By, Changed, EVERYBODY, Store};

#[derive(Debug, Subcommand)]
pub(super) enum UserCommand {
    /// Add a user before the first sign-in.
    Add {
        /// The name: a mail address in lower case, or what the issuer's settings make it.
        #[arg(value_parser = user_name)]
        name: UserName,
        /// Make the user an administrator.
        #[arg(long)]
        admin: bool,
    },
    /// Remove a user with all grants, memberships and sessions. Whoever can still sign in comes back without any;
    /// `disable` keeps them out.
    Remove {
        /// The name.
        #[arg(value_parser = user_name)]
        name: UserName,
    },
    /// List users.
    List(Form),
    /// Make a user an administrator, or (`--off`) no longer one.
    Admin {
        /// The name.
        #[arg(value_parser = user_name)]
        name: UserName,
        /// Take it back.
        #[arg(long)]
        off: bool,
    },
    /// Refuse a user from the next request on and end their sessions; `--off` takes them back.
    Disable {
        /// The name.
        #[arg(value_parser = user_name)]
        name: UserName,
        /// Take them back.
        #[arg(long)]
        off: bool,
    },
    /// Forget which subject of an issuer the user is: the next one to come under this name is bound to it. Needed when a
    /// mail address was given to somebody else, or a person got a new account.
    Relink {
        /// The name.
        #[arg(value_parser = user_name)]
        name: UserName,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum GroupCommand {
    /// Add a group.
    Add {
        /// The name.
        #[arg(value_parser = group_name)]
        name: GroupName,
    },
    /// Remove a group with its grants and memberships.
    Remove {
        /// The name.
        #[arg(value_parser = group_name)]
        name: GroupName,
    },
    /// List groups and their members. Groups that an issuer alone knows are not listed.
    List(Form),
    /// Members of a group.
    #[command(subcommand)]
    Member(MemberCommand),
}

#[derive(Debug, Subcommand)]
pub(super) enum MemberCommand {
    /// Put a user into a group.
    Add {
        /// The group.
        #[arg(value_parser = group_name)]
        group: GroupName,
        /// The user.
        #[arg(value_parser = user_name)]
        user: UserName,
    },
    /// Take a user out of a group.
    Remove {
        /// The group.
        #[arg(value_parser = group_name)]
        group: GroupName,
        /// The user.
        #[arg(value_parser = user_name)]
        user: UserName,
    },
}

impl UserCommand {
    pub(super) async fn run(self, store: &Store, by: By) -> anyhow::Result<()> {
        match self {
            Self::Add { name, admin } => {
                let added = store.add_user(&name, by.clone()).await?;
                if admin {
                    store.set_admin(&name, true, by).await?;
                }
                told(added, &format!("user {name} added"), &format!("user {name} is there already"))
            }
            Self::Remove { name } => {
                if !store.remove_user(&name, by).await?.anything() {
                    bail!("there is no user `{name}`");
                }
                say::line(format!("user {name} removed, with all grants, memberships and sessions"))
            }
            Self::List(form) => list_users(store, form),
            Self::Admin { name, off: false } => told(
                store.set_admin(&name, true, by).await?,
                &format!("user {name} is an administrator now"),
                &format!("user {name} is an administrator already"),
            ),
            Self::Admin { name, off: true } => told(
                store.set_admin(&name, false, by).await?,
                &format!("user {name} is no administrator any more, unless the configuration says so"),
                &format!("user {name} is no administrator, unless the configuration says so"),
            ),
            Self::Disable { name, off: false } => told(
                store.set_disabled(&name, true, by).await?,
                &format!("user {name} is refused now, and signed out everywhere"),
                &format!("user {name} is refused already"),
            ),
            Self::Disable { name, off: true } => told(
                store.set_disabled(&name, false, by).await?,
                &format!("user {name} is let in again"),
                &format!("user {name} is not disabled"),
            ),
            Self::Relink { name } => told(
                store.relink(&name, by).await?,
                &format!("the next one to come as {name} is bound to the name"),
                &format!("user {name} is bound to nobody"),
            ),
        }
    }
}

impl GroupCommand {
    pub(super) async fn run(self, store: &Store, by: By) -> anyhow::Result<()> {
        match self {
            Self::Add { name } => told(
                store.add_group(&name, by).await?,
                &format!("group {name} added"),
                &format!("group {name} is there already"),
            ),
            Self::Remove { name } => {
                if !store.remove_group(&name, by).await?.anything() {
                    bail!("there is no group `{name}`");
                }
                say::line(format!("group {name} removed, with its grants and memberships"))
            }
            Self::List(form) => list_groups(store, form),
            Self::Member(MemberCommand::Add { group, user }) => told(
                store.add_member(&group, &user, by).await?,
                &format!("user {user} is in group {group} now"),
                &format!("user {user} is in group {group} already"),
            ),
            Self::Member(MemberCommand::Remove { group, user }) => told(
                store.remove_member(&group, &user, by).await?,
                &format!("user {user} is in group {group} no more"),
                &format!("user {user} is not in group {group}"),
            ),
        }
    }
}

/// Says what was done, or that it was so already: both are what was wanted.
pub(super) fn told(changed: Changed, done: &str, already: &str) -> anyhow::Result<()> {
    say::line(if changed.anything() { done } else { already })
}

/// Reads a user name. Mail addresses are compared in lower case, so another spelling would never match.
pub(super) fn user_name(text: &str) -> Result<UserName, BadId> {
    if text.contains('@') && text.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Err(BadId { kind: "user name", why: "mail addresses are written in lower case" });
    }
    UserName::parse(text)
}

fn group_name(text: &str) -> Result<GroupName, BadId> {
    GroupName::parse(text)
}

fn list_users(store: &Store, form: Form) -> anyhow::Result<()> {
    let users = store.users();
    let groups = store.groups();
    let of = |name: &UserName| -> Vec<&str> {
        groups.iter().filter(|group| group.members.contains(name)).map(|group| group.name.as_str()).collect()
    };
    if form.json {
        let rows: Vec<_> = users
            .iter()
            .map(|user| {
                let identities: Vec<_> = user
                    .identities
                    .iter()
                    .map(|binding| json!({"issuer": &*binding.issuer, "subject": &*binding.subject}))
                    .collect();
                json!({
                    "name": user.name.as_str(), "admin": user.admin, "disabled": user.disabled,
                    "groups": of(&user.name), "identities": identities, "created": say::when(user.created),
                })
            })
            .collect();
        return say::json(&rows);
    }
    let rows: Vec<_> = users
        .iter()
        .map(|user| {
            let state = match (user.admin, user.disabled) {
                (_, true) => "disabled",
                (true, false) => "admin",
                (false, false) => "",
            };
            let seen: Vec<&str> = user.identities.iter().map(|binding| &*binding.issuer).collect();
            let seen = if seen.is_empty() { "never signed in".to_owned() } else { seen.join(", ") };
            [user.name.to_string(), state.to_owned(), of(&user.name).join(", "), seen, say::when(user.created)]
        })
        .collect();
    say::table(["USER", "STATE", "GROUPS", "ISSUER", "SINCE"], &rows, "there are no users yet")
}

fn list_groups(store: &Store, form: Form) -> anyhow::Result<()> {
    let groups = store.groups();
    if form.json {
        let rows: Vec<_> = groups
            .iter()
            .map(|group| {
                let members: Vec<&str> = group.members.iter().map(UserName::as_str).collect();
                json!({"name": group.name.as_str(), "members": members, "created": say::when(group.created)})
            })
            .collect();
        return say::json(&rows);
    }
    let rows: Vec<_> = groups
        .iter()
        .map(|group| {
            let members: Vec<&str> = group.members.iter().map(UserName::as_str).collect();
            [group.name.to_string(), members.join(", "), say::when(group.created)]
        })
        .collect();
    let empty = format!("there are no groups yet; everybody who signs in is in `{EVERYBODY}`");
    say::table(["GROUP", "MEMBERS", "SINCE"], &rows, &empty)
}
