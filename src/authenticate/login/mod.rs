//! How does a person sign in with a browser?
//!
//! The authorization code flow with PKCE (RFC 7636, S256), `state`, `nonce`, and the issuer's own name in its answer
//! (RFC 9207). What must be remembered between the two halves is sealed into a cookie of its own for each started login, so
//! that abandoned ones cost nothing here.

mod callback;
mod exchange;
mod fault;
mod logout;
mod started;

use http::HeaderValue;
use oauth2::basic::BasicClient;
use oauth2::{AuthUrl, ClientId, CsrfToken, PkceCodeChallenge, PkceCodeVerifier, RedirectUrl, Scope};
use url::Url;

pub use self::callback::Finished;
pub use self::fault::LoginFault;
pub use self::logout::SignedOut;
use self::started::Started;
use super::credential::Credentials;
use super::issuer::{Issuer, Login};
use super::return_to::ReturnTo;
use super::session::random_text;
use super::{Authenticator, millis_of};

/// Where the browser goes next, and what it is to remember or forget.
#[derive(Debug)]
pub struct Redirect {
    /// An address of the provider, or of ours.
    pub to: String,
    /// `Set-Cookie` fields.
    pub cookies: Vec<HeaderValue>,
}

impl Authenticator {
    /// The first half: sends the browser to the provider.
    ///
    /// # Errors
    /// [`LoginFault`] when there is no such provider, or it cannot be asked now.
    pub async fn start_login(
        &self,
        provider: &str,
        return_to: &ReturnTo,
        credentials: &Credentials,
    ) -> Result<Redirect, LoginFault> {
        let (issuer, login) = self.provider(provider)?;
        let metadata = issuer.keys.metadata_or_ask().await.ok_or(LoginFault::ProviderAway)?;
        let endpoint = metadata.authorization.clone().ok_or(LoginFault::NoLoginThere)?;
        let started = Started {
            state: random_text::<24>()?,
            nonce: random_text::<24>()?,
            verifier: random_text::<32>()?,
            issuer: issuer.settings.name.clone(),
            return_to: return_to.to_string(),
            created: millis_of(self.clock.now()),
        };
        let verifier = PkceCodeVerifier::new(started.verifier.to_string());
        let client = BasicClient::new(ClientId::new(login.client_id.clone()))
            .set_auth_uri(AuthUrl::from_url(endpoint))
            .set_redirect_uri(RedirectUrl::from_url(self.callback_url(&issuer.settings.name)?));
        let mut request = client
            .authorize_url(|| CsrfToken::new(started.state.to_string()))
            .add_scope(Scope::new("openid".to_owned()))
            .add_scopes(login.scopes.iter().filter(|scope| *scope != "openid").cloned().map(Scope::new))
            .set_pkce_challenge(PkceCodeChallenge::from_code_verifier_sha256(&verifier))
            .add_extra_param("nonce", started.nonce.as_str());
        for (name, value) in &login.parameters {
            // INVARIANT: the operator's parameters add to the request, they do not replace what protects it.
            if !PROTECTED.contains(&name.as_str()) {
                request = request.add_extra_param(name, value);
            }
        }
        let (to, _) = request.url();
        let mut cookies = started::make_room(credentials, &self.seal, millis_of(self.clock.now()), self.session.login);
        cookies.push(started.to_cookie(&self.seal, self.session.login)?);
        Ok(Redirect { to: to.into(), cookies })
    }

    fn provider(&self, name: &str) -> Result<(&Issuer, &Login), LoginFault> {
        let issuer =
            self.issuers.iter().find(|issuer| issuer.settings.name == name).ok_or(LoginFault::NoSuchProvider)?;
        let login = issuer.settings.login.as_ref().ok_or(LoginFault::NoSuchProvider)?;
        Ok((issuer, login))
    }

    /// Built from the configured address alone, never from `Host` or `X-Forwarded-*`.
    fn callback_url(&self, provider: &str) -> Result<Url, LoginFault> {
        self.own_url(&format!("/trackgate/callback/{provider}"))
    }

    fn own_url(&self, path: &str) -> Result<Url, LoginFault> {
        self.public_url.join(path).map_err(|_| LoginFault::NoSuchProvider)
    }
}

/// Parameters of the authorization request that the settings cannot set: `config` refuses them, and here they would be
/// left out.
pub const PROTECTED: &[&str] = &[
    "response_type",
    "response_mode",
    "client_id",
    "redirect_uri",
    "scope",
    "state",
    "nonce",
    "code_challenge",
    "code_challenge_method",
    "request",
    "request_uri",
];
