//! The agent on a client's machine: `trackgate connect`.
//!
//! What it tells people goes to standard error; the address alone to standard output, once it listens. With a command,
//! standard output is the command's.

mod child;

use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Args;
use zeroize::Zeroizing;

use super::{Ended, say};
use crate::client::{Beside, Client, ClientFault, Folder, Server};
use crate::clock::Clock;
use crate::connect::source::choice::{Kind, Surroundings};
use crate::connect::source::{Login, Shown, Source, SourceFault};
use crate::connect::{Agent, Say, Settings};
use crate::fetch::{self, Fetcher};

/// MLflow's own port: what programs are used to.
const PORT: u16 = 5000;
/// The metadata server of a new pod takes some seconds to begin (GKE, "About Workload Identity Federation").
const POD_STARTS: Duration = Duration::from_secs(30);

/// The proxy of Google's before the server, if there is one.
#[derive(Debug, Args)]
pub(super) struct Iap {
    /// The OAuth client of Google's Identity-Aware Proxy before the server; its credential goes into Proxy-Authorization.
    #[arg(long, value_name = "CLIENT_ID", env = "TRACKGATE_IAP_AUDIENCE")]
    iap_audience: Option<String>,
    /// Where IAP's credential comes from: adc, metadata, file (`TRACKGATE_IAP_TOKEN_FILE`).
    #[arg(long, value_name = "KIND", requires = "iap_audience")]
    iap_credential: Option<Kind>,
}

impl Iap {
    fn source(&self, around: &Surroundings, fetcher: &Fetcher) -> Result<Option<Box<dyn Source>>, SourceFault> {
        let Some(audience) = &self.iap_audience else { return Ok(None) };
        let kind = self.iap_credential.unwrap_or_else(|| around.first_of_google());
        let no = SourceFault::lasting(
            "IAP wants an ID token of Google".to_owned(),
            "--iap-credential is adc, metadata or file",
        );
        if !matches!(kind, Kind::Adc | Kind::Metadata | Kind::File) {
            return Err(no);
        }
        let around = Surroundings {
            token_file: std::env::var_os("TRACKGATE_IAP_TOKEN_FILE").filter(|path| !path.is_empty()).map(PathBuf::from),
            adc: around.adc.clone(),
            metadata_host: around.metadata_host.clone(),
            ..Surroundings::default()
        };
        around.source(kind, audience, fetcher, || Err(no))
    }

    /// The same for what a login asks its server.
    pub(super) fn beside(
        &self,
        around: &Surroundings,
        fetcher: &Fetcher,
    ) -> Result<Option<Arc<dyn Beside>>, SourceFault> {
        let shown = |source| Arc::new(Shown::new(source, Clock::System)) as Arc<dyn Beside>;
        Ok(self.source(around, fetcher)?.map(shown))
    }
}

#[derive(Debug, Args)]
#[command(after_help = "\
  trackgate connect https://mlflow.example.com &
  MLFLOW_TRACKING_URI=http://127.0.0.1:5000 python train.py

  trackgate connect https://mlflow.example.com -- python train.py

The credential comes from the first of: TRACKGATE_TOKEN, TRACKGATE_TOKEN_FILE, `trackgate login`, GitHub Actions, Google's
Application Default Credentials, the metadata server. With a command, the agent listens on a free port below a secret path,
the command finds both in MLFLOW_TRACKING_URI, and the exit status is the command's.")]
pub(super) struct Connect {
    /// The server, such as `https://mlflow.example.com`
    #[arg(value_name = "URL")]
    server: Server,
    /// Where to listen. Without: 127.0.0.1:5000, or a free port where a command is given.
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<SocketAddr>,
    /// Where the credential comes from: env, file, login, github, adc, metadata; none where IAP alone says who one is.
    #[arg(long, value_name = "KIND", env = "TRACKGATE_CREDENTIAL")]
    credential: Option<Kind>,
    /// For whom ID tokens are asked. Without: the server's address, without a path.
    #[arg(long, value_name = "AUDIENCE", env = "TRACKGATE_AUDIENCE")]
    audience: Option<String>,
    /// A file with the token, read again when it changes.
    #[arg(long, value_name = "FILE", env = "TRACKGATE_TOKEN_FILE")]
    token_file: Option<PathBuf>,
    #[command(flatten)]
    iap: Iap,
    /// Who signs the server's certificate, in PEM. Without: the system's roots.
    #[arg(long, value_name = "FILE", env = "TRACKGATE_CA_FILE")]
    ca_file: Option<PathBuf>,
    /// Put a secret before every path: whoever does not know it has no use of the agent. Always so with a command.
    #[arg(long)]
    secret_path: bool,
    /// Listen on an address that other machines reach. Paths are secret then.
    #[arg(long)]
    allow_remote_listen: bool,
    /// Serve programs of every user of this machine, not of one's own alone.
    #[arg(long)]
    allow_any_user: bool,
    /// A command to run; the agent ends with it.
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

impl Connect {
    pub(super) async fn run(self) -> anyhow::Result<Ended> {
        let say: Say = Arc::new(|text: &str| eprintln!("trackgate connect: {text}"));
        // The child's end must not be missed, nor a signal before there is a child.
        let signals = child::Signals::listen().context("signals cannot be awaited")?;
        let server = &self.server;
        let address = server.join("")?;
        let fetcher = Fetcher::new(&fetch::Settings::of_a_person())?;
        let around = self.surroundings();
        let kind = self.credential.unwrap_or_else(|| around.first());
        let audience = self.audience.clone().unwrap_or_else(|| audience(server));
        let login = || self.login(&around, &fetcher, Arc::clone(&say));
        let own = around.source(kind, &audience, &fetcher, login)?;
        let iap = self.iap.source(&around, &fetcher)?;
        if own.is_none() && iap.is_none() {
            bail!("`--credential none` shows nothing at all without --iap-audience");
        }
        let alone = self.command.is_empty();
        let listen = self.listen.unwrap_or((Ipv4Addr::LOCALHOST, if alone { PORT } else { 0 }).into());
        let mut settings = Settings::new(address, listen, Arc::clone(&say));
        settings.remote = self.allow_remote_listen;
        settings.any_user = self.allow_any_user;
        settings.secret_path = self.secret_path || !alone;
        settings.ca_file.clone_from(&self.ca_file);
        (settings.own, settings.iap) = (own, iap);
        let agent = Agent::open(settings).await?;
        self.first_credential(&agent, kind, &say).await?;
        for source in agent.describe() {
            say(&format!("leads to {server}, with a credential from {source}"));
        }
        if !alone {
            let uri = agent.uri();
            let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
            let serving = tokio::spawn(agent.run(async {
                let _ = stopped.await;
            }));
            let code = child::run(&self.command, &uri, server.as_str(), signals, &say).await;
            drop(stop);
            let _ = serving.await;
            return code.map(Ended::Like);
        }
        say::line(format!("MLFLOW_TRACKING_URI={}", agent.uri()))?;
        agent.run(signals.end()).await;
        Ok(Ended::Well)
    }

    /// What helps nobody by waiting ends the agent at once, in the words that help.
    async fn first_credential(&self, agent: &Agent, kind: Kind, say: &Say) -> anyhow::Result<()> {
        let begun = tokio::time::Instant::now();
        let in_pod = std::env::var_os("KUBERNETES_SERVICE_HOST").is_some();
        loop {
            let Err(fault) = agent.try_credentials().await else { return Ok(()) };
            if fault.is_lasting() {
                return Err(fault.into());
            }
            let guessed = self.credential.is_none() && kind == Kind::Metadata;
            if !guessed {
                say("begins without a credential; requests wait for one");
                return Ok(());
            }
            if !in_pod || begun.elapsed() > POD_STARTS {
                bail!("there is no credential on this machine ({fault}); run: trackgate login {}", self.server);
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }

    fn surroundings(&self) -> Surroundings {
        around(self.token_file.clone(), self.is_logged_in())
    }

    fn client(&self, beside: Option<Arc<dyn Beside>>) -> Result<Client, ClientFault> {
        let folder = Folder::of(|name| std::env::var_os(name))?;
        Client::behind(beside, folder, self.ca_file.clone(), Clock::System)
    }

    /// A file that cannot be read is somebody's login all the same: what is wrong with it is told then.
    fn is_logged_in(&self) -> bool {
        let read = || self.client(None)?.credentials().read()?.find(&self.server).map_err(ClientFault::from);
        match read() {
            Ok(entry) => entry.is_some(),
            Err(ClientFault::Homeless(_)) => false,
            Err(_) => true,
        }
    }

    fn login(&self, around: &Surroundings, fetcher: &Fetcher, say: Say) -> Result<Box<dyn Source>, SourceFault> {
        let beside = self.iap.beside(around, fetcher)?;
        let client =
            self.client(beside).map_err(|fault| SourceFault::lasting(fault.to_string(), "or name another source"))?;
        Ok(Box::new(Login::new(client, self.server.clone(), say)))
    }
}

/// For whom ID tokens are made out where nobody says: the server's origin. A path below which MLflow lies is no part of whom
/// one speaks with; the Python package says the same.
pub(super) fn audience(server: &Server) -> String {
    server.origin().to_string()
}

/// What this machine has, by its environment.
pub(super) fn around(token_file: Option<PathBuf>, logged_in: bool) -> Surroundings {
    let text = |name: &str| std::env::var(name).ok().filter(|text| !text.is_empty());
    let secret = |name: &str| text(name).map(Zeroizing::new);
    Surroundings {
        token: secret("TRACKGATE_TOKEN"),
        token_file,
        logged_in,
        github: text("ACTIONS_ID_TOKEN_REQUEST_URL").zip(secret("ACTIONS_ID_TOKEN_REQUEST_TOKEN")),
        adc: adc(text),
        metadata_host: text("GCE_METADATA_HOST"),
    }
}

/// Google, "How Application Default Credentials works": what the variable names, else the file that gcloud writes.
fn adc(text: impl Fn(&str) -> Option<String>) -> Option<PathBuf> {
    if let Some(path) = text("GOOGLE_APPLICATION_CREDENTIALS") {
        return Some(path.into());
    }
    let folder = text("CLOUDSDK_CONFIG").map(PathBuf::from);
    let folder = folder.or_else(|| Some(PathBuf::from(text("HOME")?).join(".config/gcloud")))?;
    Some(folder.join("application_default_credentials.json")).filter(|path| path.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn id_tokens_are_for_the_servers_origin_whatever_path_mlflow_lies_below() {
        for address in ["https://mlflow.example.com", "HTTPS://MLflow.example.com:443/team/mlflow/"] {
            assert_eq!(audience(&Server::parse(address).unwrap()), "https://mlflow.example.com");
        }
        assert_eq!(audience(&Server::parse("https://example.com:8443/mlflow").unwrap()), "https://example.com:8443");
    }
}
