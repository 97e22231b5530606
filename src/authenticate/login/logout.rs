//! How does a person sign out, here and at the provider?
//!
//! OpenID Connect RP-Initiated Logout 1.0. Our own session ends first and in any case; what the provider does afterwards
//! is between it and the browser.

use std::sync::Arc;

use http::HeaderValue;
use url::Url;

use super::Authenticator;
use crate::access::identity::Identity;
use crate::authenticate::credential::{Credentials, Secret};
use crate::authenticate::issuer::Login;
use crate::authenticate::session;
use crate::store::StoreFault;

/// The purpose under which the hint is sealed.
const PURPOSE: &str = "logout-hint";
/// A longer ID token is not sent along: it would have to fit a URL.
const MOST_HINT: usize = 4096;

/// What is left to do after a session ended.
pub struct SignedOut {
    /// Who it was, if anybody.
    pub identity: Option<Arc<Identity>>,
    /// The provider's end-session address, where it has one.
    pub provider: Option<Url>,
    /// `Set-Cookie` fields.
    pub cookies: Vec<HeaderValue>,
}

impl Authenticator {
    /// Ends the session that the browser shows, at once. The caller has checked the origin.
    ///
    /// # Errors
    /// [`StoreFault`]; then the session is still open.
    pub async fn sign_out(&self, shown: &Credentials) -> Result<SignedOut, StoreFault> {
        let cookies = vec![session::forget_cookie()];
        let Some(session) = session::shown(&self.store, &shown.session) else {
            return Ok(SignedOut { identity: None, provider: None, cookies });
        };
        self.store.end_session(&session.key).await?;
        let provider = self.end_session_address(&session.provider, session.logout_hint.as_deref());
        Ok(SignedOut { identity: Some(Arc::clone(&session.identity)), provider, cookies })
    }

    fn end_session_address(&self, provider: &str, hint: Option<&str>) -> Option<Url> {
        let (issuer, login) = self.provider(provider).ok()?;
        if !login.logout_at_provider {
            return None;
        }
        let mut address = issuer.keys.metadata()?.end_session.clone()?;
        let back = self.own_url("/trackgate/logged-out").ok()?;
        let token = hint.and_then(|hint| self.seal.open(PURPOSE, hint)).and_then(|token| String::from_utf8(token).ok());
        {
            let mut query = address.query_pairs_mut();
            if let Some(token) = token.map(Secret::new) {
                query.append_pair("id_token_hint", &token);
            }
            query.append_pair("client_id", &login.client_id).append_pair("post_logout_redirect_uri", back.as_str());
        }
        Some(address)
    }

    /// The ID token, sealed, for the store to keep until the logout.
    pub(super) fn hint(&self, login: &Login, token: &Secret) -> Option<Arc<str>> {
        let wanted = login.logout_at_provider && token.len() <= MOST_HINT;
        wanted.then(|| self.seal.seal(PURPOSE, token.as_bytes()).ok()).flatten().map(Arc::from)
    }
}
