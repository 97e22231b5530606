//! How does a code become an ID token?

use std::pin::Pin;

use bytes::Bytes;
use http_body_util::Full;
use oauth2::basic::{
    BasicErrorResponse, BasicRevocationErrorResponse, BasicTokenIntrospectionResponse, BasicTokenType,
};
use oauth2::{
    AsyncHttpClient, AuthType, AuthorizationCode, Client, ClientId, ClientSecret, ExtraTokenFields, HttpRequest,
    HttpResponse, PkceCodeVerifier, RedirectUrl, RequestTokenError, StandardRevocableToken, StandardTokenResponse,
    TokenResponse as _, TokenUrl,
};
use serde::{Deserialize, Serialize};
use url::Url;

use super::fault::LoginFault;
use crate::authenticate::credential::Secret;
use crate::authenticate::discovery::Metadata;
use crate::authenticate::issuer::Login;
use crate::fetch::{FetchFault, Fetcher};

/// The one member of the answer that OpenID Connect adds (OIDC Core section 3.1.3.3).
#[derive(Clone, Serialize, Deserialize)]
struct IdToken {
    id_token: Option<Secret>,
}

impl std::fmt::Debug for IdToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("IdToken(..)")
    }
}

impl ExtraTokenFields for IdToken {}

type OidcClient = Client<
    BasicErrorResponse,
    StandardTokenResponse<IdToken, BasicTokenType>,
    BasicTokenIntrospectionResponse,
    StandardRevocableToken,
    BasicRevocationErrorResponse,
>;

/// What the token endpoint needs to know of a login.
pub(super) struct Exchange<'a> {
    pub(super) login: &'a Login,
    pub(super) secret: Option<&'a str>,
    pub(super) metadata: &'a Metadata,
    pub(super) redirect: Url,
    pub(super) fetcher: &'a Fetcher,
}

impl Exchange<'_> {
    /// Gives the code away and gets the ID token (RFC 6749 section 4.1.3, RFC 7636 section 4.5).
    pub(super) async fn run(self, code: String, verifier: &Secret) -> Result<Secret, LoginFault> {
        let endpoint = self.metadata.token.clone().ok_or(LoginFault::NoLoginThere)?;
        let mut client = OidcClient::new(ClientId::new(self.login.client_id.clone()))
            .set_token_uri(TokenUrl::from_url(endpoint.clone()))
            .set_redirect_uri(RedirectUrl::from_url(self.redirect))
            .set_auth_type(if self.metadata.secret_in_body { AuthType::RequestBody } else { AuthType::BasicAuth });
        if let Some(secret) = self.secret {
            client = client.set_client_secret(ClientSecret::new(secret.to_owned()));
        }
        let sender = Sender { fetcher: self.fetcher, endpoint };
        let answer = client
            .exchange_code(AuthorizationCode::new(code))
            .set_pkce_verifier(PkceCodeVerifier::new(verifier.to_string()))
            .request_async(&sender)
            .await
            .map_err(|fault| LoginFault::Exchange(without_secrets(&fault)))?;
        if *answer.token_type() != BasicTokenType::Bearer {
            return Err(LoginFault::Exchange("the token type is not Bearer".to_owned()));
        }
        let token = answer.extra_fields().id_token.clone();
        token.ok_or_else(|| LoginFault::Exchange("the answer holds no ID token".to_owned()))
    }
}

/// Our HTTP client, as `oauth2` wants it.
struct Sender<'a> {
    fetcher: &'a Fetcher,
    endpoint: Url,
}

impl<'c> AsyncHttpClient<'c> for Sender<'_> {
    type Error = FetchFault;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse, FetchFault>> + Send + 'c>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(async {
            let (head, body) = request.into_parts();
            let request = http::Request::from_parts(head, Full::new(Bytes::from(body)));
            let (head, body) = self.fetcher.send_patiently(&self.endpoint, request).await?.into_parts();
            Ok(http::Response::from_parts(head, body.to_vec()))
        })
    }
}

/// The cause, without the answer's body: a broken answer may hold half a token.
fn without_secrets(fault: &RequestTokenError<FetchFault, BasicErrorResponse>) -> String {
    match fault {
        RequestTokenError::ServerResponse(answer) => {
            let word: String = answer.error().to_string();
            format!("the provider says `{}`", super::callback::harmless(&word))
        }
        RequestTokenError::Request(fault) => fault.to_string(),
        RequestTokenError::Parse(fault, _) => format!("the answer cannot be read at `{}`", fault.path()),
        RequestTokenError::Other(_) => "the answer is of another kind".to_owned(),
    }
}
