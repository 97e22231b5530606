//! Commands about tokens of our own.

use anyhow::{Context as _, bail};
use clap::{ArgGroup, Args, Subcommand};
use serde_json::json;

use super::people::user_name;
use super::whom::End;
use super::{Form, say};
use crate::access::ceiling::{Ceiling, Scope};
use crate::authenticate::own::{self, Wish};
use crate::clock::Clock;
use crate::config::Config;
use crate::mlflow::ids::{UserName, WorkspaceName};
use crate::mlflow::permission::Permission;
use crate::store::{By, Changed, Standing, Store, Token, TokenId, TokenKind};

#[derive(Debug, Subcommand)]
pub(super) enum TokenCommand {
    /// Print a fresh access token of one's own login (`trackgate login`), and nothing else.
    Print(super::client::Print),
    #[command(flatten)]
    Here(StoreCommand),
}

/// On the server itself.
#[derive(Debug, Subcommand)]
pub(super) enum StoreCommand {
    /// Make a token for a person who is known, or for a service account, and print it: it is shown this once.
    Create(Create),
    /// List tokens, the newest first.
    List {
        /// Those of this user or service account.
        #[arg(long, value_parser = user_name)]
        user: Option<UserName>,
        #[command(flatten)]
        form: Form,
    },
    /// Revoke tokens: one, or all of a user or service account. They are refused everywhere within a second.
    #[command(group(ArgGroup::new("which").required(true).args(["id", "user"])))]
    Revoke {
        /// Its name, as `token list` shows it.
        #[arg(value_parser = token_id)]
        id: Option<TokenId>,
        /// All tokens of this user or service account.
        #[arg(long, value_parser = user_name)]
        user: Option<UserName>,
    },
}

#[derive(Debug, Args)]
pub(super) struct Create {
    /// Whose it is.
    #[arg(long, value_parser = user_name)]
    user: UserName,
    /// What it is for, in a few words.
    #[arg(long)]
    name: String,
    /// When it ends: a moment such as 2027-01-31T18:00:00Z, or a time from now such as 8h, 30d. Without, after
    /// `tokens.default_lifetime`.
    #[arg(long, value_parser = End::parse)]
    expires: Option<End>,
    /// What it is for at most: READ, USE, EDIT or MANAGE. Without, as much as its owner holds.
    #[arg(long, value_name = "LEVEL")]
    most: Option<Permission>,
    /// What it reaches: `experiment:7`, `registered_model:team-*`. May be given several times. Without, all that its owner
    /// reaches.
    #[arg(long, value_name = "KIND:ID")]
    on: Vec<Scope>,
    /// The one workspace that it is for.
    #[arg(long, value_parser = WorkspaceName::parse)]
    workspace: Option<WorkspaceName>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

fn token_id(text: &str) -> Result<TokenId, String> {
    TokenId::parse(text)
        .ok_or_else(|| "the name of a token is its eight signs after `tgp_`, `tgs_` or `tgl_`".to_owned())
}

impl StoreCommand {
    pub(super) async fn run(self, store: &Store, config: &Config, by: By) -> anyhow::Result<()> {
        match self {
            Self::Create(create) => create.run(store, config, by).await,
            Self::List { user, form } => list(store, user.as_ref(), form),
            Self::Revoke { id: Some(id), .. } => revoked(store.revoke_token(&id, by).await?),
            Self::Revoke { user: Some(user), .. } => revoked(store.revoke_tokens_of(&user, by).await?),
            Self::Revoke { .. } => bail!("say which token"),
        }
    }
}

impl Create {
    async fn run(self, store: &Store, config: &Config, by: By) -> anyhow::Result<()> {
        let clock = Clock::System;
        let owner = store.user(&self.user);
        let owner =
            owner.with_context(|| format!("there is no user `{}`; `trackgate user list` shows them", self.user))?;
        let wish = Wish {
            owner: self.user,
            kind: if owner.service { TokenKind::Service } else { TokenKind::Personal },
            name: self.name,
            ceiling: Ceiling {
                most: self.most,
                only: (!self.on.is_empty()).then(|| self.on.into()),
                workspace: self.workspace,
            },
            expires: self.expires.map(|end| end.millis(clock.now())).transpose()?,
        };
        let made = own::make(store, &config.authenticate.tokens, wish, clock.millis(), by).await?;
        if self.json {
            let expires = say::exactly(made.expires);
            return say::json(&json!({"id": made.id.as_str(), "token": made.text.as_str(), "expires": expires}));
        }
        // Alone on standard output, for scripts.
        eprintln!("token {} ends at {}; it is shown this once:", made.id, say::when(made.expires));
        say::line(made.text.as_str())
    }
}

fn revoked(changed: Changed) -> anyhow::Result<()> {
    match changed {
        Changed::Rows(1) => say::line("1 token revoked"),
        Changed::Rows(count) => say::line(format!("{count} tokens revoked")),
        Changed::Nothing => say::line("there was none to revoke"),
    }
}

fn list(store: &Store, user: Option<&UserName>, form: Form) -> anyhow::Result<()> {
    let (tokens, now) = (store.tokens(user), Clock::System.millis());
    if form.json {
        let rows: Vec<_> = tokens.iter().map(|token| as_json(token, now)).collect();
        return say::json(&rows);
    }
    let rows: Vec<_> = tokens
        .iter()
        .map(|token| {
            let used = match token.uses().first() {
                Some(last) => format!("{} from {}", say::when(token.last_used()), last.address),
                None => "never".to_owned(),
            };
            [
                token.id.to_string(),
                token.owner.to_string(),
                token.name.to_string(),
                token.ceiling.to_string(),
                standing(token, now),
                used,
            ]
        })
        .collect();
    say::table(["TOKEN", "OF", "NAME", "FOR", "STATE", "LAST USED"], &rows, "there are no tokens")
}

fn standing(token: &Token, now: u64) -> String {
    match token.standing(now) {
        Standing::Good => format!("until {}", say::when(token.expires)),
        Standing::Expired(at) => format!("expired {}", say::when(at)),
        Standing::Revoked(at) => format!("revoked {}", say::when(at)),
    }
}

fn as_json(token: &Token, now: u64) -> serde_json::Value {
    let scopes = token.ceiling.only.as_ref().map(|only| only.iter().map(Scope::to_string).collect::<Vec<_>>());
    let uses: Vec<_> = token
        .uses()
        .iter()
        .map(|one| json!({"address": one.address, "first": say::when(one.first), "last": say::when(one.last)}))
        .collect();
    json!({
        "id": token.id.as_str(), "owner": token.owner.as_str(), "name": &*token.name, "kind": token.kind.as_str(),
        "most": token.ceiling.most.map(Permission::as_str), "scopes": scopes,
        "workspace": token.ceiling.workspace.as_ref().map(WorkspaceName::as_str),
        "created": say::when(token.created), "created_by": &*token.by, "expires": say::exactly(token.expires),
        "active": token.standing(now) == Standing::Good,
        "revoked": token.revoked.as_ref().map(|(at, _)| say::when(*at)),
        "revoked_by": token.revoked.as_ref().map(|(_, by)| &**by), "uses": uses,
    })
}
