//! How does somebody sign in from this machine, and out again?
//!
//! With a browser: the code flow with PKCE (RFC 7636, S256) to a port of this machine. Without: a code to type elsewhere (RFC
//! 8628). What comes of it replaces what was kept for the server, and what was kept is revoked there.

use std::time::Duration;

use aws_lc_rs::rand;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use oauth2::{PkceCodeChallenge, PkceCodeVerifier};
use secrecy::{ExposeSecret as _, SecretString};
use url::Url;

use super::credentials::{Document, Entry, Turn};
use super::fault::ClientFault;
use super::fresh::{Client, Inner};
use super::loopback::{Brought, Loopback};
use super::oauth::{CLIENT, Endpoints, Tokens};
use super::pace::{Next, Pace};
use super::server::Server;

/// How long a browser may take.
const PATIENCE: Duration = Duration::from_mins(5);
/// The longest name of a machine that a server is told.
const LONGEST_NAME: usize = 64;

/// How somebody signs in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// A browser on this machine.
    Browser,
    /// A code to type on another one.
    Device,
}

/// What the person is told while the login waits for them.
#[derive(Debug)]
pub enum Step<'a> {
    /// Open this address, here.
    Open(&'a Url),
    /// Open this address anywhere.
    Type {
        /// Where.
        address: &'a str,
        /// The same with the code in it.
        complete: Option<&'a str>,
        /// What to type there.
        code: &'a str,
        /// For how long, in minutes.
        minutes: u64,
    },
}

/// A login that is kept.
#[derive(Debug)]
pub struct LoggedIn {
    /// What is kept.
    pub entry: Entry,
    /// What went wrong on the side.
    pub warnings: Vec<String>,
}

/// What became of a login that is forgotten.
#[derive(Debug)]
pub struct LoggedOut {
    /// Where.
    pub server: String,
    /// Why it could not be revoked there.
    pub unrevoked: Option<ClientFault>,
}

impl Client {
    /// Signs in at a server, by this way if it has it, else by the other.
    ///
    /// # Errors
    /// [`ClientFault`] when nobody signs in, or when it cannot be kept.
    pub async fn login(&self, server: &Server, way: Way, tell: impl Fn(Step<'_>)) -> Result<LoggedIn, ClientFault> {
        // Whether it can be kept is found out before anybody is troubled.
        let turn = self.inner.credentials.turn().await?;
        self.inner.credentials.read()?;
        self.inner.credentials.try_writing(&turn)?;
        drop(turn);
        let endpoints = self.inner.oauth(server).discover().await?;
        let tokens = match (way, &endpoints.authorization, &endpoints.device) {
            (Way::Browser, Some(authorization), _) | (Way::Device, Some(authorization), None) => {
                self.inner.by_browser(server, &endpoints, authorization, tell).await?
            }
            (_, _, Some(device)) => self.inner.by_device(server, &endpoints, device, tell).await?,
            (_, None, None) => {
                return Err(ClientFault::NotTrackgate(server.clone(), ": it lets nobody sign in".to_owned()));
            }
        };
        self.inner.keep(server, &endpoints, tokens).await
    }

    /// Revokes the login at a server and forgets it; `None`: there was none.
    ///
    /// # Errors
    /// [`ClientFault::File`] when the file cannot be read or written. What was to be revoked is revoked then.
    pub async fn logout(&self, server: &Server) -> Result<Option<LoggedOut>, ClientFault> {
        let turn = self.inner.credentials.turn().await?;
        let mut document = self.inner.credentials.read()?;
        // What is kept and cannot be understood is forgotten too.
        let name = document.find(server).ok().flatten().map_or_else(|| server.clone(), |(name, _)| name);
        self.inner.forget(name.as_str(), &mut document, &turn).await
    }

    /// The same for every server.
    ///
    /// # Errors
    /// As [`Self::logout`].
    pub async fn logout_everywhere(&self) -> Result<Vec<LoggedOut>, ClientFault> {
        let turn = self.inner.credentials.turn().await?;
        let mut document = self.inner.credentials.read()?;
        let servers: Vec<String> = document.servers().into_iter().map(str::to_owned).collect();
        let mut done = Vec::new();
        for server in servers {
            done.extend(self.inner.forget(&server, &mut document, &turn).await?);
        }
        Ok(done)
    }
}

impl Inner {
    async fn by_browser(
        &self,
        server: &Server,
        endpoints: &Endpoints,
        authorization: &Url,
        tell: impl Fn(Step<'_>),
    ) -> Result<Tokens, ClientFault> {
        let (state, verifier) = (random()?, random()?);
        let challenge = PkceCodeVerifier::new(verifier.expose_secret().to_owned());
        let challenge = PkceCodeChallenge::from_code_verifier_sha256(&challenge);
        let loopback =
            Loopback::open(state.expose_secret().to_owned(), endpoints.issuer.clone(), endpoints.names_itself);
        let loopback = loopback.await.map_err(|error| ClientFault::NoPort(error.to_string()))?;
        let redirect = loopback.redirect();
        let mut address = authorization.clone();
        address
            .query_pairs_mut()
            .append_pair("response_type", "code")
            .append_pair("client_id", CLIENT)
            .append_pair("redirect_uri", &redirect)
            .append_pair("state", state.expose_secret())
            .append_pair("code_challenge", challenge.as_str())
            .append_pair("code_challenge_method", challenge.method())
            .extend_pairs(machine().map(|name| ("device_name", name)));
        tell(Step::Open(&address));
        match loopback.wait(PATIENCE).await {
            Some(Brought::Code(code)) => {
                self.oauth(server).exchange(&endpoints.token, &code, &verifier, &redirect).await
            }
            Some(Brought::Refusal(word)) => Err(ClientFault::Declined { server: server.clone(), word }),
            None => Err(ClientFault::TooLate(PATIENCE.as_secs() / 60)),
        }
    }

    async fn by_device(
        &self,
        server: &Server,
        endpoints: &Endpoints,
        device: &Url,
        tell: impl Fn(Step<'_>),
    ) -> Result<Tokens, ClientFault> {
        let oauth = self.oauth(server);
        let device = oauth.begin_device(device, machine().as_deref()).await?;
        let mut pace = Pace::new(device.interval, device.expires_in);
        let minutes = device.expires_in.div_ceil(60);
        tell(Step::Type {
            address: &device.verification_uri,
            complete: device.verification_uri_complete.as_deref(),
            code: &device.user_code,
            minutes,
        });
        let begun = tokio::time::Instant::now();
        let mut wait = pace.first();
        loop {
            tokio::time::sleep(wait).await;
            let said = oauth.ask_device(&endpoints.token, &device).await;
            match pace.next(said, begun.elapsed()) {
                Next::After(next) => wait = next,
                Next::Given(tokens) => return Ok(tokens),
                Next::Declined(word) => return Err(ClientFault::Declined { server: server.clone(), word }),
                Next::TooLate => return Err(ClientFault::TooLate(minutes)),
                Next::Failed(fault) => return Err(fault),
            }
        }
    }

    async fn keep(&self, server: &Server, endpoints: &Endpoints, tokens: Tokens) -> Result<LoggedIn, ClientFault> {
        let oauth = self.oauth(server);
        let user = match tokens.user.clone().filter(|user| !user.is_empty() && !user.chars().any(char::is_control)) {
            Some(user) => user,
            None => oauth.who(&tokens.access_token).await?.user,
        };
        let entry = Entry {
            user,
            // All of these are set from what the server gave.
            access_token: tokens.access_token.clone(),
            access_expires_at: 0,
            refresh_token: None,
            refresh_expires_at: None,
            token_endpoint: endpoints.token.clone(),
        };
        let entry = entry.renewed(tokens, self.clock.seconds());
        let mut warnings = Vec::new();
        let kept = async {
            let turn = self.credentials.turn().await?;
            let mut document = self.credentials.read()?;
            // What cannot be understood of one server is replaced by whoever signs in there anew.
            let before = document.entry(&endpoints.place).ok().flatten();
            document.put(&endpoints.place, &entry);
            self.credentials.write(&document, &turn)?;
            Ok::<_, ClientFault>(before)
        };
        match kept.await {
            Ok(Some(before)) => {
                if let Some(endpoint) = &endpoints.revocation
                    && let Err(fault) = self.revoke(server, endpoint, &before).await
                {
                    warnings.push(format!("the login before this one could not be revoked: {fault}"));
                }
            }
            Ok(None) => {}
            Err(fault) => {
                // Nobody has it then; it should open nothing.
                if let Some(endpoint) = &endpoints.revocation {
                    let _ = self.revoke(server, endpoint, &entry).await;
                }
                return Err(fault);
            }
        }
        Ok(LoggedIn { entry, warnings })
    }

    async fn forget(&self, name: &str, document: &mut Document, turn: &Turn) -> Result<Option<LoggedOut>, ClientFault> {
        let server = Server::parse(name).ok();
        let unrevoked = match server.as_ref().map(|server| (server, document.entry(server))) {
            Some((server, Ok(Some(entry)))) => self.revoke_there(server, &entry).await.err(),
            // What cannot be understood cannot be shown to anybody.
            Some((_, Err(fault))) => Some(fault.into()),
            Some((_, Ok(None))) | None => None,
        };
        if !document.remove(name) {
            return Ok(None);
        }
        self.credentials.write(document, turn)?;
        Ok(Some(LoggedOut { server: name.to_owned(), unrevoked }))
    }

    async fn revoke_there(&self, server: &Server, entry: &Entry) -> Result<(), ClientFault> {
        let endpoints = self.oauth(server).discover().await?;
        let none = || ClientFault::NotTrackgate(server.clone(), ": it revokes nothing".to_owned());
        self.revoke(server, &endpoints.revocation.ok_or_else(none)?, entry).await
    }

    /// What renews is revoked where there is one: that ends the whole login.
    async fn revoke(&self, server: &Server, endpoint: &Url, entry: &Entry) -> Result<(), ClientFault> {
        let token = entry.refresh_token.as_ref().unwrap_or(&entry.access_token);
        self.oauth(server).revoke(endpoint, token).await
    }
}

/// 256 random bits that can stand in an address.
fn random() -> Result<SecretString, ClientFault> {
    let mut bytes = zeroize::Zeroizing::new([0; 32]);
    rand::fill(&mut *bytes).map_err(|_| ClientFault::NoRandomness)?;
    Ok(URL_SAFE_NO_PAD.encode(*bytes).into())
}

/// What this machine calls itself, so that people recognise the login in a list.
fn machine() -> Option<String> {
    let name =
        ["/proc/sys/kernel/hostname", "/etc/hostname"].iter().find_map(|path| std::fs::read_to_string(path).ok());
    let name: String = name?.trim().chars().filter(char::is_ascii_graphic).take(LONGEST_NAME).collect();
    (!name.is_empty()).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_logins_share_a_secret() {
        let (one, other) = (random().unwrap(), random().unwrap());
        assert_eq!(one.expose_secret().len(), 43, "RFC 7636 section 4.1: 43 to 128 signs");
        assert_ne!(one.expose_secret(), other.expose_secret());
    }
}
