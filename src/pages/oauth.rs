//! What do programs read that ask for a login of their own?
//!
//! JSON in the words of RFC 8414, RFC 6749, RFC 8628 and RFC 7009. Nobody need be known here: what is shown is the
//! credential. No page of any site may ask (a browser would say so), and nothing that a browser adds by itself counts.

use http::header::{CACHE_CONTROL, CONTENT_TYPE, ORIGIN, PRAGMA, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, Response, StatusCode};
use serde_json::{Value, json};
use url::Url;

use super::{Answered, Desk, html};
use crate::authenticate::oauth::{self, CLIENT, Grant, OAuthFault};
use crate::authenticate::origin;
use crate::message::Body;
use crate::policy::fields::Fields;

/// Whether the callers of a row read errors in the words of OAuth.
#[must_use]
pub fn speaks(name: &str) -> bool {
    matches!(name, "AskForDevice" | "GiveToken" | "EndLogin")
}

/// What this server calls itself (RFC 8414 section 2): the address that people use, without a slash at its end.
pub(super) fn issuer(public_url: &Url) -> &str {
    public_url.as_str().trim_end_matches('/')
}

impl Desk<'_> {
    /// RFC 8414 section 3. The server has no path of its own: MLflow's static prefix is none of it.
    pub(super) fn metadata(&self) -> Answered {
        let settings = self.authenticator.login_settings();
        if !settings.allow {
            return self.nothing_here("logins-off");
        }
        let issuer = issuer(self.authenticator.public_url());
        let at = |path: &str| format!("{issuer}{path}");
        let told = json!({
            "issuer": issuer,
            "authorization_endpoint": at(oauth::AUTHORIZE),
            "token_endpoint": at(oauth::TOKEN),
            "device_authorization_endpoint": at(oauth::DEVICE_AUTHORIZATION),
            "revocation_endpoint": at(oauth::REVOKE),
            "response_types_supported": ["code"],
            "response_modes_supported": ["query"],
            "grant_types_supported": ["authorization_code", "refresh_token", oauth::DEVICE_GRANT],
            "code_challenge_methods_supported": ["S256"],
            "token_endpoint_auth_methods_supported": ["none"],
            "revocation_endpoint_auth_methods_supported": ["none"],
            "authorization_response_iss_parameter_supported": true,
        });
        Answered::plain(written(StatusCode::OK, &told))
    }

    /// RFC 8628 section 3.2.
    pub(super) async fn ask_for_device(&self, fields: &Fields) -> Answered {
        match self.device_codes(fields).await {
            Ok(told) => Answered::plain(written(StatusCode::OK, &told)),
            Err(fault) => refused(&fault),
        }
    }

    async fn device_codes(&self, fields: &Fields) -> Result<Value, OAuthFault> {
        self.check_client(fields)?;
        let named = fields.one("device_name").unwrap_or_default();
        let codes = self.authenticator.ask_for_device(named, self.request.peer.address).await?;
        let page = format!("{}{}", issuer(self.authenticator.public_url()), oauth::DEVICE);
        Ok(json!({
            "device_code": codes.device_code.as_str(),
            "user_code": codes.user_code.to_string(),
            "verification_uri": page,
            "verification_uri_complete": format!("{page}?user_code={}", codes.user_code),
            "expires_in": oauth::EXPIRES_IN,
            "interval": oauth::INTERVAL,
        }))
    }

    /// RFC 6749 section 5.1. `user` and `refresh_expires_in` are this server's own.
    pub(super) async fn give_token(&self, fields: &Fields) -> Answered {
        let given = match self.grant(fields) {
            Ok(grant) => self.authenticator.give(grant, self.request.peer.address).await,
            Err(fault) => Err(fault),
        };
        let tokens = match given {
            Ok(tokens) => tokens,
            Err(fault) => return refused(&fault),
        };
        let told = json!({
            "access_token": tokens.access.as_str(),
            "token_type": "Bearer",
            "expires_in": tokens.access_lasts,
            "refresh_token": tokens.refresh.as_str(),
            "refresh_expires_in": tokens.refresh_lasts,
            "user": tokens.owner.as_str(),
        });
        Answered {
            identity: tokens.identity,
            moved: tokens.moved,
            note: Some(format!("login {}", tokens.id)),
            ..Answered::plain(written(StatusCode::OK, &told))
        }
    }

    fn grant<'f>(&self, fields: &'f Fields) -> Result<Grant<'f>, OAuthFault> {
        let must = |name, lack| fields.one(name).ok_or(OAuthFault::Invalid(lack));
        let kind = must("grant_type", "`grant_type` is missing")?;
        self.check_client(fields)?;
        match kind {
            "authorization_code" => Ok(Grant::Code {
                code: must("code", "`code` is missing")?,
                redirect: must("redirect_uri", "`redirect_uri` is missing")?,
                verifier: must("code_verifier", "`code_verifier` is missing")?,
            }),
            "refresh_token" => Ok(Grant::Refresh(must("refresh_token", "`refresh_token` is missing")?)),
            oauth::DEVICE_GRANT => Ok(Grant::Device(must("device_code", "`device_code` is missing")?)),
            _ => Err(OAuthFault::UnknownGrantType),
        }
    }

    /// RFC 7009 section 2.2: what is no token is as good as ended.
    pub(super) async fn end_login(&self, fields: &Fields) -> Answered {
        let ended = match self.check_client(fields) {
            Ok(()) => match fields.one("token") {
                Some(token) => self.authenticator.end_login(token, self.request.peer.address).await,
                None => Err(OAuthFault::Invalid("`token` is missing")),
            },
            Err(fault) => Err(fault),
        };
        match ended {
            Ok(id) => Answered {
                note: id.map(|id| format!("login {id} ended")),
                ..Answered::plain(written(StatusCode::OK, &json!({})))
            },
            Err(fault) => refused(&fault),
        }
    }

    /// Whether our own client asks, which has no secret, and no page of another site.
    fn check_client(&self, fields: &Fields) -> Result<(), OAuthFault> {
        let headers = &self.request.headers;
        let told = headers.contains_key(ORIGIN) || headers.contains_key("sec-fetch-site");
        if told && origin::check(headers, self.authenticator.public_url()).is_err() {
            return Err(OAuthFault::ForeignOrigin);
        }
        if self.credentials.authorizes() {
            return Err(OAuthFault::UnknownClient);
        }
        match fields.one("client_id") {
            Some(CLIENT) => Ok(()),
            Some(_) => Err(OAuthFault::UnknownClient),
            None => Err(OAuthFault::Invalid("`client_id` is missing")),
        }
    }
}

fn refused(fault: &OAuthFault) -> Answered {
    let told = json!({ "error": fault.error(), "error_description": fault.says() });
    let mut response = written(fault.status(), &told);
    let headers = response.headers_mut();
    if let Some(seconds) = fault.retry_after() {
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    if fault.status() == StatusCode::UNAUTHORIZED {
        headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"mlflow\""));
    }
    if fault.is_waiting() {
        return Answered { undone: Some((fault.error(), fault.to_string())), ..Answered::plain(response) };
    }
    Answered { refused: Some((fault.code(), fault.to_string())), ..Answered::plain(response) }
}

/// RFC 6749 section 5.1: never to be kept by anybody on the way.
fn written(status: StatusCode, told: &Value) -> Response<Body> {
    let mut answer = Response::new(Body::from(serde_json::to_vec(told).unwrap_or_default()));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    html::protect(headers);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(PRAGMA, HeaderValue::from_static("no-cache"));
    answer
}
