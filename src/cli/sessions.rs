//! Commands about browser sessions.

use anyhow::bail;
use clap::{ArgGroup, Subcommand};
use serde_json::json;

use super::people::user_name;
use super::{Form, say};
use crate::mlflow::ids::UserName;
use crate::store::{By, Changed, Store};

#[derive(Debug, Subcommand)]
pub(super) enum SessionCommand {
    /// List sessions, the last used first.
    List(Form),
    /// End sessions: one, those of a user, or all; with those of a user, or all, their logins of the command line end too.
    #[command(group(ArgGroup::new("which").required(true).args(["id", "user", "all"])))]
    End {
        /// The beginning of a session's id, as `session list` shows it.
        id: Option<String>,
        /// All sessions of this user.
        #[arg(long, value_parser = user_name)]
        user: Option<UserName>,
        /// Every session.
        #[arg(long)]
        all: bool,
    },
}

impl SessionCommand {
    pub(super) async fn run(self, store: &Store, by: By) -> anyhow::Result<()> {
        match self {
            Self::List(form) => list(store, form),
            Self::End { user: Some(user), .. } => ended(store.end_sessions_of(&user, by).await?),
            Self::End { all: true, .. } => ended(store.end_all_sessions(by).await?),
            Self::End { id, .. } => {
                let id = id.unwrap_or_default().to_ascii_lowercase();
                if id.len() < 8 {
                    bail!("give at least 8 digits of the session's id");
                }
                let found: Vec<_> =
                    store.sessions().into_iter().filter(|session| session.key.to_hex().starts_with(&id)).collect();
                match found.as_slice() {
                    [] => bail!("there is no session `{id}`"),
                    [session] => ended(store.end_session(&session.key).await?),
                    many => bail!("{} sessions begin with `{id}`; give more digits", many.len()),
                }
            }
        }
    }
}

fn ended(changed: Changed) -> anyhow::Result<()> {
    match changed {
        Changed::Rows(1) => say::line("1 session ended"),
        Changed::Rows(count) => say::line(format!("{count} sessions and logins ended")),
        Changed::Nothing => say::line("there was no such session"),
    }
}

fn list(store: &Store, form: Form) -> anyhow::Result<()> {
    let sessions = store.sessions();
    // The id is a hash of what the cookie holds: showing it opens nothing.
    let ends = |until: std::time::SystemTime| {
        let since = until.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        say::when(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    };
    if form.json {
        let rows: Vec<_> = sessions
            .iter()
            .map(|session| {
                json!({
                    "id": session.key.to_hex(), "user": session.identity.user.as_str(),
                    "provider": &*session.provider, "created": say::when(session.created),
                    "last_seen": say::when(session.last_seen()), "ends": ends(session.identity.until),
                })
            })
            .collect();
        return say::json(&rows);
    }
    let rows: Vec<_> = sessions
        .iter()
        .map(|session| {
            [
                session.key.to_hex().chars().take(12).collect(),
                session.identity.user.to_string(),
                session.provider.to_string(),
                say::when(session.created),
                say::when(session.last_seen()),
                ends(session.identity.until),
            ]
        })
        .collect();
    say::table(["SESSION", "USER", "PROVIDER", "SINCE", "LAST SEEN", "ENDS"], &rows, "nobody is signed in")
}
