//! Commands of a person's own machine: signing in at a server, and what comes of it.
//!
//! They need no configuration and no database: the server is somewhere else.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::bail;
use clap::Args;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;

use super::connect::{Iap, around, audience};
use super::say;
use crate::client::{Beside, Client, ClientFault, Folder, LoggedOut, Server, Step, Way, Who, browser};
use crate::clock::Clock;
use crate::connect::source::choice::Kind;
use crate::connect::source::{Source, SourceFault};
use crate::fetch::{self, Fetcher};

/// How a server is reached.
#[derive(Debug, Args)]
pub(super) struct Reach {
    /// Certificates (PEM) to trust instead of the system's, for servers with a private CA.
    #[arg(long, value_name = "FILE", env = "TRACKGATE_CA_FILE", visible_alias = "ca")]
    ca_file: Option<PathBuf>,
    #[command(flatten)]
    iap: Iap,
}

#[derive(Debug, Args)]
#[command(after_help = "\
The credential is kept in `credentials.json` in $TRACKGATE_CONFIG_DIR, else $XDG_CONFIG_HOME/trackgate, else
~/.config/trackgate, for its owner alone. `trackgate connect`, `trackgate token print` and the Python package renew it ahead of
time, for as long as the server lets them.

Without a display, or over SSH, `--device` is chosen by itself.")]
pub(super) struct Login {
    /// The server, such as `https://mlflow.example.com`
    url: Server,
    /// Print a code to type in a browser on any other machine.
    #[arg(long)]
    device: bool,
    /// Use a browser on this machine, but do not open it: the address is printed.
    #[arg(long, conflicts_with = "device")]
    no_browser: bool,
    #[command(flatten)]
    reach: Reach,
}

#[derive(Debug, Args)]
pub(super) struct Logout {
    /// The server; not needed where there is one login.
    #[arg(conflicts_with = "all")]
    url: Option<Server>,
    /// Every server.
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    reach: Reach,
}

#[derive(Debug, Args)]
#[command(
    after_help = "TRACKGATE_TOKEN and TRACKGATE_TOKEN_FILE count before the login, as for every client of Trackgate."
)]
pub(super) struct WhoAmI {
    /// The server; not needed where there is one login.
    url: Option<Server>,
    /// Where the credential comes from: env, file, login, github, adc, metadata.
    #[arg(long, value_name = "KIND", env = "TRACKGATE_CREDENTIAL")]
    credential: Option<Kind>,
    /// For whom ID tokens are asked. Without: the server's address, without a path.
    #[arg(long, value_name = "AUDIENCE", env = "TRACKGATE_AUDIENCE")]
    audience: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    reach: Reach,
}

#[derive(Debug, Args)]
#[command(after_help = "\
For scripts that set a token once:

    export MLFLOW_TRACKING_TOKEN=$(trackgate token print)

One that ends before `--for` is renewed first. How long a new one lasts is the server's to say (an hour, if nobody set it
otherwise); where that is less, standard error says so. What runs longer is better served by `trackgate connect`, which
renews it.")]
pub(super) struct Print {
    /// The server; not needed where there is one login.
    url: Option<Server>,
    /// How long it is to last at least, such as `50m`.
    #[arg(long = "for", value_name = "DURATION", default_value = "30m", value_parser = duration)]
    least: Duration,
    #[command(flatten)]
    reach: Reach,
}

fn environment(name: &str) -> Option<OsString> {
    std::env::var_os(name)
}

impl Reach {
    fn client(self) -> anyhow::Result<Client> {
        self.client_for()
    }

    /// A client of this machine's logins.
    pub(super) fn client_for(&self) -> anyhow::Result<Client> {
        let folder = Folder::of(environment).map_err(ClientFault::from)?;
        Ok(Client::behind(self.beside()?, folder, self.ca_file(), Clock::System)?)
    }

    /// Whom to trust, if not the system's authorities.
    pub(super) fn ca_file(&self) -> Option<PathBuf> {
        self.ca_file.clone()
    }

    /// What a proxy before the server wants.
    pub(super) fn beside(&self) -> anyhow::Result<Option<Arc<dyn Beside>>> {
        let fetcher = Fetcher::new(&fetch::Settings::of_a_person())?;
        Ok(self.iap.beside(&around(None, false), &fetcher)?)
    }
}

impl Login {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let client = self.reach.client()?;
        let near = self.no_browser || browser::is_near(environment);
        let way = if self.device || !near { Way::Device } else { Way::Browser };
        let open = !self.no_browser;
        let done = client.login(&self.url, way, |step| tell(&step, open)).await?;
        for warning in &done.warnings {
            eprintln!("trackgate: {warning}");
        }
        let entry = &done.entry;
        say::line(format!("signed in at {} as {}", self.url, entry.user))?;
        match (&entry.refresh_token, entry.refresh_expires_at) {
            (Some(_), Some(until)) => {
                say::line(format!("until {} if it is not used, and renewed when it is", moment(until)))
            }
            (Some(_), None) => say::line("it is renewed when it is used"),
            (None, _) => {
                eprintln!("trackgate: the server gave nothing to renew it with: sign in again after it has ended");
                say::line(format!("until {}", moment(entry.access_expires_at)))
            }
        }
    }
}

/// To standard error: what comes of it goes to standard output.
fn tell(step: &Step<'_>, open: bool) {
    match step {
        Step::Open(address) if open && browser::open(address, environment) => {
            eprintln!("a browser opens; if it does not, open this address on this machine:\n\n    {address}\n");
        }
        Step::Open(address) => eprintln!("open this address in a browser on this machine:\n\n    {address}\n"),
        Step::Type { address, complete, code, minutes } => {
            let mut words = format!("open this address in a browser, on any machine:\n\n    {address}\n");
            let _ = write!(words, "\nand type this code within {minutes} minutes:\n\n    {code}\n");
            if let Some(complete) = complete {
                let _ = write!(words, "\nor open this one, and compare the code:\n\n    {complete}\n");
            }
            eprintln!("{words}");
        }
    }
}

impl Logout {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let client = self.reach.client()?;
        let done = if self.all {
            client.logout_everywhere().await?
        } else {
            let server = match self.url {
                Some(server) => server,
                None => match the_one(&client)? {
                    Some(server) => server,
                    None => return say::line("not signed in anywhere"),
                },
            };
            let done = client.logout(&server).await?;
            if done.is_none() {
                return say::line(format!("not signed in at {server}"));
            }
            Vec::from_iter(done)
        };
        if done.is_empty() {
            return say::line("not signed in anywhere");
        }
        let mut first = None;
        for LoggedOut { server, unrevoked } in done {
            say::line(format!("signed out at {server}"))?;
            if let Some(fault) = unrevoked {
                eprintln!(
                    "trackgate: it is forgotten here, but could not be revoked: {fault}; end it on the page \
                     {server}/trackgate/tokens"
                );
                first = first.or(Some(fault));
            }
        }
        first.map_or(Ok(()), |fault| Err(anyhow::Error::from(fault).context("not everything was revoked")))
    }
}

impl WhoAmI {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let client = self.reach.client()?;
        let server = chosen(self.url, &client)?;
        let token_file = environment("TRACKGATE_TOKEN_FILE").filter(|path| !path.is_empty()).map(PathBuf::from);
        let around = around(token_file, self.credential == Some(Kind::Login) || is_logged_in(&client, &server));
        // Whether there is a metadata server is known only by asking; who has nothing else is told to sign in.
        let kind = self.credential.unwrap_or(match around.first() {
            Kind::Metadata => Kind::Login,
            kind => kind,
        });
        let audience = self.audience.unwrap_or_else(|| audience(&server));
        let fetcher = Fetcher::new(&fetch::Settings::of_a_person())?;
        let login = || Err(SourceFault::lasting("the login is asked by itself".to_owned(), ""));
        let (who, source) = match kind {
            Kind::Login => {
                (by_login(&client, &server).await?, format!("login ({})", client.credentials().path().display()))
            }
            kind => match around.source(kind, &audience, &fetcher, login)? {
                Some(source) => (by_source(&client, &server, &*source).await?, source.describe()),
                None => bail!("`--credential none` says who one is to nobody"),
            },
        };
        if self.json {
            return say::json(&json!({
                "server": server.as_str(), "source": source, "user": who.user, "proof": who.proof, "issuer": who.issuer,
                "admin": who.admin, "groups": who.groups, "until": who.until,
            }));
        }
        let Who { user, proof, issuer, admin, groups, until } = who;
        let mut text = format!("{} at {server}\n", shown(&user));
        let _ = writeln!(text, "proven by  {} ({})", shown(&proof), shown(&issuer));
        let _ = writeln!(text, "until      {}", until.as_deref().map_or("not said".to_owned(), shown));
        let _ = writeln!(text, "source     {source}");
        if admin {
            text.push_str("an administrator\n");
        }
        if !groups.is_empty() {
            let _ =
                writeln!(text, "groups     {}", groups.iter().map(|group| shown(group)).collect::<Vec<_>>().join(", "));
        }
        say::out(&text)
    }
}

/// By the login; what the server refuses is renewed once: this machine's clock may be wrong.
async fn by_login(client: &Client, server: &Server) -> anyhow::Result<Who> {
    let credential = client.fresh(server).await?;
    warn(credential.warning.as_deref());
    match client.who(server, &credential.secret).await {
        Err(ClientFault::Unaccepted { .. }) => {
            let another = client.instead_of(&credential.secret, server).await?;
            warn(another.warning.as_deref());
            Ok(client.who(server, &another.secret).await?)
        }
        who => Ok(who?),
    }
}

impl Print {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let client = self.reach.client()?;
        let server = chosen(self.url, &client)?;
        let credential = client.fresh_for(&server, self.least).await?;
        warn(credential.warning.as_deref());
        let left = credential.until.duration_since(Clock::System.now()).unwrap_or_default();
        // Seconds are whole, and a renewal takes a few.
        if left + Duration::from_secs(10) < self.least {
            let left = left.as_secs();
            eprintln!(
                "trackgate: this token lasts {} min {} s: the server gives none that last longer",
                left / 60,
                left % 60
            );
        }
        say::line(credential.secret.expose_secret())
    }
}

fn duration(text: &str) -> Result<Duration, &'static str> {
    crate::config::duration(text).ok_or("a number and its unit are wanted, such as 50m or 1h")
}

fn warn(warning: Option<&str>) {
    if let Some(warning) = warning {
        eprintln!("trackgate: {warning}");
    }
}

/// By what another source gives.
async fn by_source(client: &Client, server: &Server, source: &dyn Source) -> anyhow::Result<Who> {
    let credential = source.fresh(None).await?;
    let field = credential.field().to_str().unwrap_or_default();
    let secret = SecretString::from(field.strip_prefix("Bearer ").unwrap_or_default());
    Ok(client.who(server, &secret).await?)
}

/// A file that cannot be read is somebody's login all the same: what is wrong with it is told then.
pub(super) fn is_logged_in(client: &Client, server: &Server) -> bool {
    client.credentials().read().and_then(|document| document.find(server)).map_or(true, |found| found.is_some())
}

/// The server that was named; else the one that MLflow's clients use, if there is a login for it (it may be the agent's
/// address); else the only one there is a login for.
fn chosen(named: Option<Server>, client: &Client) -> anyhow::Result<Server> {
    if let Some(server) = named {
        return Ok(server);
    }
    let set = environment("MLFLOW_TRACKING_URI").and_then(|uri| Server::parse(uri.to_str()?).ok());
    if let Some(server) = &set {
        let document = client.credentials().read().map_err(ClientFault::from)?;
        if document.find(server).map_err(ClientFault::from)?.is_some() {
            return Ok(server.clone());
        }
    }
    match the_one(client)?.or(set) {
        Some(server) => Ok(server),
        None => bail!(ClientFault::NowhereSignedIn),
    }
}

/// The only server that there is a login for.
fn the_one(client: &Client) -> anyhow::Result<Option<Server>> {
    let document = client.credentials().read().map_err(ClientFault::from)?;
    match document.servers()[..] {
        [] => Ok(None),
        [server] => Ok(Some(Server::parse(server).map_err(ClientFault::from)?)),
        ref several => bail!("there are several logins; say which: {}", several.join(", ")),
    }
}

fn moment(seconds: u64) -> String {
    say::when(seconds.saturating_mul(1000))
}

/// What a server said, without what could lead a terminal astray.
fn shown(text: &str) -> String {
    let strange = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
    };
    text.chars().map(|c| if strange(c) { '?' } else { c }).take(300).collect()
}

/// How a failure of these commands ends: scripts can tell apart what a login would mend, and what time may.
pub(super) fn code(error: &anyhow::Error) -> Option<u8> {
    let fault = error.chain().find_map(|cause| cause.downcast_ref::<ClientFault>())?;
    if fault.wants_login() {
        Some(6)
    } else if fault.is_passing() {
        Some(7)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_says_cannot_lead_a_terminal_astray() {
        assert_eq!(shown("alice\u{1b}[2Jé\u{202e}"), "alice?[2Jé?");
    }

    #[test]
    fn scripts_can_tell_what_would_help() {
        let server = Server::parse("https://mlflow.example.com").unwrap();
        let ended = anyhow::Error::from(ClientFault::Ended(server.clone())).context("something");
        assert_eq!(code(&ended), Some(6));
        let fault = crate::fetch::FetchFault::TimedOut;
        assert_eq!(code(&ClientFault::Unreachable { server, fault }.into()), Some(7));
        assert_eq!(code(&ClientFault::NoRandomness.into()), None);
        assert_eq!(code(&anyhow::anyhow!("something else")), None);
    }
}
