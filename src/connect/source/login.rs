//! What did `trackgate login` leave, and is it still good?
//!
//! The file and its lock are `client`'s: whoever is first renews it, in this process or another, and all others find what that
//! one wrote.

use std::sync::{Mutex, PoisonError};
use std::time::UNIX_EPOCH;

use secrecy::{ExposeSecret as _, SecretString};
use zeroize::Zeroizing;

use super::{Asking, Credential, Source, SourceFault};
use crate::client::{Client, ClientFault, Server};
use crate::connect::Say;

/// A login at one server.
pub struct Login {
    client: Client,
    server: Server,
    say: Say,
    /// The one that was given last: who asks again wants another.
    last: Mutex<Option<SecretString>>,
}

impl Login {
    /// Nothing is asked yet.
    #[must_use]
    pub fn new(client: Client, server: Server, say: Say) -> Self {
        Self { client, server, say, last: Mutex::default() }
    }

    async fn ask(&self, refused: Option<&Credential>) -> Result<Credential, SourceFault> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner).clone();
        // One that is due is replaced as one that was refused is; another agent may have renewed it already.
        let given = match refused.map(|refused| SecretString::from(refused.token().to_owned())).or(last) {
            Some(held) => self.client.instead_of(&held, &self.server).await,
            None => self.client.fresh(&self.server).await,
        };
        let given = given.map_err(|why| fault(&why))?;
        if let Some(warning) = &given.warning {
            (self.say)(warning);
        }
        let ends = given.until.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        let ends = u64::try_from(ends).unwrap_or(u64::MAX);
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(given.secret.clone());
        let token = Zeroizing::new(given.secret.expose_secret().to_owned());
        let credential = Credential::read(token).map_err(|why| {
            SourceFault::lasting(
                format!("the login at {} cannot be used, {why}", self.server),
                format!("run: trackgate login {}", self.server),
            )
        })?;
        Ok(credential.ending(ends))
    }
}

/// Its sentences say what helps already.
fn fault(fault: &ClientFault) -> SourceFault {
    let what = fault.to_string();
    if fault.wants_login() || matches!(fault, ClientFault::File(_) | ClientFault::Refused { .. }) {
        SourceFault::told(what)
    } else {
        SourceFault::passing(what)
    }
}

impl Source for Login {
    fn describe(&self) -> String {
        "the login".to_owned()
    }

    fn fresh<'a>(&'a self, refused: Option<&'a Credential>) -> Asking<'a> {
        Box::pin(self.ask(refused))
    }
}
