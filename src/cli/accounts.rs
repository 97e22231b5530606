//! Commands about service accounts.

use clap::Subcommand;
use serde_json::json;

use super::people::{told, user_name};
use super::whom::{spoken, words};
use super::{Form, say};
use crate::access::grant::Subject;
use crate::mlflow::ids::{GroupName, UserName};
use crate::store::{By, Store};

#[derive(Debug, Subcommand)]
pub(super) enum AccountCommand {
    /// Make a service account: grants and groups are given to it as to a person, and it is used with tokens.
    Add {
        /// The name. One that no identity provider gives to a person, such as `svc:trainer`.
        #[arg(value_parser = user_name)]
        name: UserName,
        /// Who looks after it: `user:NAME` or `group:NAME`. May be given several times.
        #[arg(long, value_parser = owner)]
        owner: Vec<Subject>,
    },
    /// Who looks after a service account: its tokens are theirs to make and to revoke.
    #[command(subcommand)]
    Owner(OwnerCommand),
    /// Remove a service account with its grants and tokens.
    Remove {
        /// The name.
        #[arg(value_parser = user_name)]
        name: UserName,
    },
    /// List service accounts.
    List(Form),
}

#[derive(Debug, Subcommand)]
pub(super) enum OwnerCommand {
    /// Add one.
    Add {
        /// The service account.
        #[arg(value_parser = user_name)]
        name: UserName,
        /// `user:NAME` or `group:NAME`.
        #[arg(value_parser = owner)]
        owner: Subject,
    },
    /// Take one away.
    Remove {
        /// The service account.
        #[arg(value_parser = user_name)]
        name: UserName,
        /// `user:NAME` or `group:NAME`.
        #[arg(value_parser = owner)]
        owner: Subject,
    },
}

fn owner(text: &str) -> Result<Subject, String> {
    // Before it is read: the command line knows roles by their names, which are no subjects.
    if text.starts_with("role:") {
        return Err("users and groups look after service accounts, not roles".to_owned());
    }
    text.parse().map_err(|error: crate::access::grant::BadSubject| error.to_string())
}

impl AccountCommand {
    pub(super) async fn run(self, store: &Store, by: By) -> anyhow::Result<()> {
        match self {
            Self::Add { name, owner } => {
                store.add_account(&name, by.clone()).await?;
                for owner in &owner {
                    store.add_owner(&name, owner, by.clone()).await?;
                }
                say::line(format!("service account {name} added"))
            }
            Self::Owner(OwnerCommand::Add { name, owner }) => {
                let whom = spoken(store, &owner);
                let added = store.add_owner(&name, &owner, by).await?;
                told(added, &format!("{whom} looks after {name}"), &format!("{whom} looks after {name} already"))
            }
            Self::Owner(OwnerCommand::Remove { name, owner }) => {
                let whom = spoken(store, &owner);
                let removed = store.remove_owner(&name, &owner, by).await?;
                let nothing = format!("{whom} does not look after {name}");
                told(removed, &format!("{whom} no longer looks after {name}"), &nothing)
            }
            Self::Remove { name } => {
                store.remove_account(&name, by).await?;
                say::line(format!("service account {name} removed, with its grants and tokens"))
            }
            Self::List(form) => list(store, form),
        }
    }
}

fn list(store: &Store, form: Form) -> anyhow::Result<()> {
    let accounts = store.accounts();
    let owners = |owners: &[Subject]| -> Vec<String> {
        owners.iter().map(words).map(|(kind, name)| format!("{kind}:{name}")).collect()
    };
    if form.json {
        let rows: Vec<_> = accounts
            .iter()
            .map(|account| {
                json!({
                    "name": account.name.as_str(), "disabled": account.disabled, "owners": owners(&account.owners),
                    "groups": account.groups.iter().map(GroupName::as_str).collect::<Vec<_>>(),
                    "tokens": store.tokens(Some(&account.name)).len(), "created": say::when(account.created),
                })
            })
            .collect();
        return say::json(&rows);
    }
    let rows: Vec<_> = accounts
        .iter()
        .map(|account| {
            let state = if account.disabled { "disabled" } else { "" };
            let tokens = store.tokens(Some(&account.name)).len().to_string();
            [
                account.name.to_string(),
                state.to_owned(),
                owners(&account.owners).join(", "),
                tokens,
                say::when(account.created),
            ]
        })
        .collect();
    say::table(["ACCOUNT", "STATE", "OWNERS", "TOKENS", "SINCE"], &rows, "there are no service accounts")
}
