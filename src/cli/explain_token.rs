//! `trackgate explain-token`: how would the gate judge this token, and why not?

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use clap::Args;
use zeroize::Zeroizing;

use super::{Ended, say};
use crate::authenticate::{Authenticator, MOST_TOKEN_BYTES};
use crate::clock::Clock;
use crate::config::Config;
use crate::paper::read::shown;
use crate::seal::Seal;
use crate::store::Store;

#[derive(Debug, Args)]
pub(super) struct ExplainToken {
    /// The file with the token and nothing else; `-` is standard input. A token is no argument: others see those.
    file: PathBuf,
    /// Ask no issuer for its keys, and Google for no groups: signatures are not checked.
    #[arg(long)]
    offline: bool,
}

impl ExplainToken {
    pub(super) async fn run(self, store: &Store, config: &Config) -> anyhow::Result<Ended> {
        let text = read(&self.file)?;
        let mut settings = config.authenticate.clone();
        // Our secrets at providers are of no use here, and may be hidden from whoever asks.
        for login in settings.issuers.iter_mut().filter_map(|issuer| issuer.login.as_mut()) {
            login.client_secret_file = None;
        }
        match &mut settings.google_groups {
            Some(google) if !self.offline => google.kept_in = None,
            groups => *groups = None,
        }
        let seal = Arc::new(Seal::ephemeral()?);
        let authenticator = Authenticator::new(settings, store.clone(), seal, Clock::System)?;
        let explained = authenticator.explain(text.trim(), self.offline).await;
        for step in &explained.steps {
            let sign = match step.good {
                Some(true) => "ok",
                Some(false) => "NO",
                None => "-",
            };
            say::line(format!("{sign:<3} {}: {}", step.what, shown(&step.said)))?;
        }
        Ok(if explained.accepted { Ended::Well } else { Ended::Refused })
    }
}

fn read(file: &Path) -> anyhow::Result<Zeroizing<String>> {
    let mut text = Zeroizing::new(String::new());
    let most = 2 * MOST_TOKEN_BYTES as u64;
    let cannot = || format!("the token cannot be read from `{}`", file.display());
    if file == Path::new("-") {
        std::io::stdin().lock().take(most).read_to_string(&mut text).with_context(cannot)?;
    } else {
        std::fs::File::open(file).with_context(cannot)?.take(most).read_to_string(&mut text).with_context(cannot)?;
    }
    ensure!(!text.trim().is_empty(), "`{}` is empty", file.display());
    Ok(text)
}
