//! The second half of a login: is this answer ours, and whom does it prove?

use std::sync::Arc;

use http::HeaderValue;
use subtle::ConstantTimeEq as _;

use super::exchange::Exchange;
use super::fault::LoginFault;
use super::started::Started;
use super::{Authenticator, Redirect};
use crate::access::identity::Identity;
use crate::authenticate::credential::{Credentials, Secret};
use crate::authenticate::fault::AuthFault;
use crate::authenticate::issuer::{Issuer, Login};
use crate::authenticate::millis_of;
use crate::authenticate::return_to::ReturnTo;
use crate::authenticate::session;
use crate::authenticate::token::Compact;
use crate::authenticate::verdicts::Fingerprint;
use crate::store::{NewSession, SessionKey};

/// A login at its end: what the browser gets in any case, and how it went.
pub struct Finished {
    /// `Set-Cookie` fields: the login's own cookie goes, however it went.
    pub cookies: Vec<HeaderValue>,
    /// Who signed in, and where they go.
    pub outcome: Result<(Arc<Identity>, Redirect), LoginFault>,
}

/// The parameters of the authorization response (RFC 6749 section 4.1.2, RFC 9207 section 2).
struct Answer {
    state: String,
    code: Option<Secret>,
    error: Option<String>,
    issuer: Option<String>,
}

impl Authenticator {
    /// The second half.
    pub async fn finish_login(&self, provider: &str, query: Option<&str>, shown: &Credentials) -> Finished {
        let (answer, started, cookie) = match self.match_up(query, shown) {
            Ok(matched) => matched,
            Err(fault) => return Finished { cookies: Vec::new(), outcome: Err(fault) },
        };
        let outcome = self.conclude(provider, answer, &started, shown).await;
        let mut cookies = vec![cookie];
        let outcome = outcome.map(|(identity, field)| {
            cookies.push(field);
            // Read again: what is sealed was ours, and costs nothing to doubt.
            let to = ReturnTo::read(&started.return_to).to_string();
            (identity, Redirect { to, cookies: Vec::new() })
        });
        Finished { cookies, outcome }
    }

    fn match_up(&self, query: Option<&str>, shown: &Credentials) -> Result<(Answer, Started, HeaderValue), LoginFault> {
        let answer = Answer::read(query.unwrap_or_default())?;
        let (started, cookie) = Started::find(&answer.state, shown, &self.seal).ok_or(LoginFault::NoSuchLogin)?;
        if !bool::from(started.state.as_bytes().ct_eq(answer.state.as_bytes())) {
            return Err(LoginFault::NoSuchLogin);
        }
        Ok((answer, started, cookie))
    }

    async fn conclude(
        &self,
        provider: &str,
        answer: Answer,
        started: &Started,
        shown: &Credentials,
    ) -> Result<(Arc<Identity>, HeaderValue), LoginFault> {
        let (issuer, login) = self.provider(provider)?;
        if started.issuer != issuer.settings.name {
            return Err(LoginFault::OtherIssuer);
        }
        if started.is_late(millis_of(self.clock.now()), self.session.login) {
            return Err(LoginFault::TooLate);
        }
        // Used up before anybody is asked: the same answer, played back with a kept cookie, fails here.
        if !self.finished.entry(Fingerprint::of(answer.state.as_bytes())).or_insert(()).is_fresh() {
            return Err(LoginFault::NoSuchLogin);
        }
        let metadata = issuer.keys.metadata_or_ask().await.ok_or(LoginFault::ProviderAway)?;
        match &answer.issuer {
            Some(named) if *named != issuer.settings.issuer => return Err(LoginFault::OtherIssuer),
            None if metadata.names_itself => return Err(LoginFault::OtherIssuer),
            Some(_) | None => {}
        }
        if let Some(error) = answer.error {
            return Err(LoginFault::Refused(harmless(&error)));
        }
        let code = answer.code.ok_or(LoginFault::Malformed)?;
        let exchange = Exchange {
            login,
            secret: self.client_secret(&issuer.settings.name),
            metadata: &metadata,
            redirect: self.callback_url(&issuer.settings.name)?,
            fetcher: issuer.keys.fetcher(),
        };
        let token = exchange.run(code.to_string(), &started.verifier).await?;
        let compact = Compact::parse(&token).map_err(AuthFault::from)?;
        let identity = issuer.judge_login(compact, &started.nonce, self.clock.now()).await?;
        self.open(identity, issuer, login, &token, shown).await
    }

    async fn open(
        &self,
        mut identity: Identity,
        issuer: &Issuer,
        login: &Login,
        token: &Secret,
        shown: &Credentials,
    ) -> Result<(Arc<Identity>, HeaderValue), LoginFault> {
        identity.until = self.clock.now() + self.session.absolute;
        self.store.recognise(&identity).await?;
        let identity = Arc::new(identity);
        // The page that follows needs the groups: they are asked for meanwhile.
        if let Some(directory) = self.directory_of(&identity) {
            drop(directory.known(&identity.user));
        }
        let (key, field): (SessionKey, HeaderValue) = session::make()?;
        self.store
            .open_session(NewSession {
                key,
                identity: Arc::clone(&identity),
                provider: Arc::from(issuer.settings.name.as_str()),
                logout_hint: self.hint(login, token),
            })
            .await?;
        if let Some(old) = session::shown(&self.store, &shown.session) {
            self.store.end_session(&old.key).await?;
        }
        Ok((identity, field))
    }
}

impl Answer {
    /// Each parameter at most once; unknown ones are ignored (RFC 6749 section 4.1.2).
    fn read(query: &str) -> Result<Self, LoginFault> {
        let (mut state, mut code, mut error, mut issuer) = (None, None, None, None);
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            let place = match &*name {
                "state" => &mut state,
                "code" => &mut code,
                "error" => &mut error,
                "iss" => &mut issuer,
                _ => continue,
            };
            if place.replace(value.into_owned()).is_some() {
                return Err(LoginFault::Malformed);
            }
        }
        let state = state.filter(|state| !state.is_empty() && state.len() <= 128).ok_or(LoginFault::Malformed)?;
        if code.is_some() == error.is_some() {
            return Err(LoginFault::Malformed);
        }
        Ok(Self { state, code: code.map(Secret::new), error, issuer })
    }
}

/// What a provider may make us say: RFC 6749's error words are printable ASCII.
pub(super) fn harmless(word: &str) -> String {
    word.chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.')).take(64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_has_one_state_and_either_code_or_error() {
        assert!(Answer::read("state=abc&code=x&session_state=y").is_ok());
        assert!(Answer::read("state=abc&error=access_denied&error_description=x").is_ok());
        for query in [
            "",
            "code=x",
            "state=abc",
            "state=&code=x",
            "state=a&state=a&code=x",
            "state=a&code=x&code=x",
            "state=a&code=x&error=y",
            "state=a&code=x&iss=b&iss=b",
            "state=a&%63ode=x&code=x",
        ] {
            assert!(matches!(Answer::read(query), Err(LoginFault::Malformed)), "{query}");
        }
        let long = format!("code=x&state={}", "a".repeat(129));
        assert!(Answer::read(&long).is_err());
    }

    #[test]
    fn a_providers_word_cannot_carry_markup() {
        assert_eq!(harmless("<script>access_denied\r\n"), "scriptaccess_denied");
        assert_eq!(harmless(&"a".repeat(100)).len(), 64);
    }
}
