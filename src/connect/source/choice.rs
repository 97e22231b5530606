//! Which source is taken, where several could be?
//!
//! What was set by hand comes first, then what this machine has.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use zeroize::Zeroizing;

use super::{Adc, Credential, Fixed, GitHub, Metadata, Source, SourceFault, TokenFile};
use crate::clock::Clock;
use crate::fetch::Fetcher;

/// A kind of source: `--credential`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `TRACKGATE_TOKEN`.
    Env,
    /// `TRACKGATE_TOKEN_FILE`.
    File,
    /// What `trackgate login` left.
    Login,
    /// GitHub Actions.
    GitHub,
    /// Google's Application Default Credentials.
    Adc,
    /// The metadata server.
    Metadata,
    /// Nothing: IAP's assertion alone says who one is.
    Nothing,
}

const WORDS: [(&str, Kind); 7] = [
    ("env", Kind::Env),
    ("file", Kind::File),
    ("login", Kind::Login),
    ("github", Kind::GitHub),
    ("adc", Kind::Adc),
    ("metadata", Kind::Metadata),
    ("none", Kind::Nothing),
];

/// A word that names no source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is one of env, file, login, github, adc, metadata, none")]
pub struct BadKind;

impl FromStr for Kind {
    type Err = BadKind;

    fn from_str(text: &str) -> Result<Self, BadKind> {
        WORDS.iter().find(|(word, _)| *word == text).map(|(_, kind)| *kind).ok_or(BadKind)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(WORDS.iter().find(|(_, kind)| kind == self).map_or("", |(word, _)| word))
    }
}

/// What there is on this machine. It has no `Debug` on purpose.
#[derive(Default)]
pub struct Surroundings {
    /// `TRACKGATE_TOKEN`.
    pub token: Option<Zeroizing<String>>,
    /// `TRACKGATE_TOKEN_FILE`.
    pub token_file: Option<PathBuf>,
    /// Whether somebody is logged in at this server.
    pub logged_in: bool,
    /// `ACTIONS_ID_TOKEN_REQUEST_URL` and `ACTIONS_ID_TOKEN_REQUEST_TOKEN`.
    pub github: Option<(String, Zeroizing<String>)>,
    /// `GOOGLE_APPLICATION_CREDENTIALS`, or the file that gcloud writes, if it is there.
    pub adc: Option<PathBuf>,
    /// `GCE_METADATA_HOST`.
    pub metadata_host: Option<String>,
}

impl Surroundings {
    /// The first that there is; the metadata server, of which one knows only by asking, is the last.
    #[must_use]
    pub fn first(&self) -> Kind {
        match self {
            Self { token: Some(_), .. } => Kind::Env,
            Self { token_file: Some(_), .. } => Kind::File,
            Self { logged_in: true, .. } => Kind::Login,
            Self { github: Some(_), .. } => Kind::GitHub,
            Self { adc: Some(_), .. } => Kind::Adc,
            _ => Kind::Metadata,
        }
    }

    /// The first that gives ID tokens of Google, for IAP.
    #[must_use]
    pub fn first_of_google(&self) -> Kind {
        if self.adc.is_some() { Kind::Adc } else { Kind::Metadata }
    }

    /// Sets a source up; `login` is what makes the one of that kind.
    ///
    /// # Errors
    /// [`SourceFault`] where what it needs is not there.
    pub fn source(
        &self,
        kind: Kind,
        audience: &str,
        fetcher: &Fetcher,
        login: impl FnOnce() -> Result<Box<dyn Source>, SourceFault>,
    ) -> Result<Option<Box<dyn Source>>, SourceFault> {
        let lacks = |what: &str, help: &str| SourceFault::lasting(format!("there is no {what}"), help);
        let source: Box<dyn Source> = match kind {
            Kind::Nothing => return Ok(None),
            Kind::Env => {
                let token = self.token.clone().ok_or_else(|| lacks("TRACKGATE_TOKEN", "set it"))?;
                // What cannot be used now never can.
                Credential::read(Zeroizing::new(token.trim().to_owned())).map_err(|why| {
                    SourceFault::lasting(format!("the token in TRACKGATE_TOKEN cannot be used, {why}"), "set it anew")
                })?;
                Box::new(Fixed::new(&token, "TRACKGATE_TOKEN".to_owned()))
            }
            Kind::File => {
                let help = "set it, or give --token-file";
                Box::new(TokenFile::new(self.token_file.clone().ok_or_else(|| lacks("TRACKGATE_TOKEN_FILE", help))?))
            }
            Kind::Login => login()?,
            Kind::GitHub => {
                let help = "the job needs `permissions: id-token: write`";
                let (url, token) =
                    self.github.as_ref().ok_or_else(|| lacks("ID token of GitHub Actions here", help))?;
                Box::new(GitHub::new(url, token, audience, fetcher.clone())?)
            }
            Kind::Adc => {
                let help = "run `gcloud auth application-default login`, or set GOOGLE_APPLICATION_CREDENTIALS";
                let path = self.adc.as_ref().ok_or_else(|| lacks("file of Application Default Credentials", help))?;
                Box::new(Adc::read(path, audience, fetcher.clone(), Clock::System)?)
            }
            Kind::Metadata => Box::new(Metadata::new(self.metadata_host.as_deref(), audience, fetcher.clone())?),
        };
        Ok(Some(source))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_set_by_hand_comes_before_what_the_machine_has() {
        let mut around = Surroundings {
            token: Some(Zeroizing::new("x".to_owned())),
            token_file: Some("/token".into()),
            logged_in: true,
            github: Some((String::new(), Zeroizing::default())),
            adc: Some("/adc.json".into()),
            metadata_host: None,
        };
        assert_eq!(around.first(), Kind::Env);
        around.token = None;
        assert_eq!(around.first(), Kind::File);
        around.token_file = None;
        assert_eq!(around.first(), Kind::Login);
        around.logged_in = false;
        assert_eq!(around.first(), Kind::GitHub);
        around.github = None;
        assert_eq!((around.first(), around.first_of_google()), (Kind::Adc, Kind::Adc));
        around.adc = None;
        assert_eq!((around.first(), around.first_of_google()), (Kind::Metadata, Kind::Metadata));
    }

    #[test]
    fn every_kind_has_one_word() {
        for (word, kind) in WORDS {
            assert_eq!(word.parse(), Ok(kind));
            assert_eq!(kind.to_string(), word);
        }
        assert_eq!("gcloud".parse::<Kind>(), Err(BadKind));
    }
}
