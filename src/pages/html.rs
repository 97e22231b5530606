//! How do our own pages look, and which headers protect them?
//!
//! No page needs a script but for keeping a `#` fragment; none loads anything from elsewhere; none may be framed or
//! cached (ASVS 3.4).

use askama::Template;
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use http::{HeaderMap, HeaderValue, Response, StatusCode};

use super::assets::Assets;
use crate::message::Body;

const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; \
    form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

#[derive(Template)]
#[template(path = "sign_in.html")]
pub(super) struct SignIn<'a> {
    pub(super) assets: &'a Assets,
    pub(super) host: &'a str,
    pub(super) providers: Vec<Provider<'a>>,
    /// Where to go at once, with a single provider.
    pub(super) only: Option<String>,
}

pub(super) struct Provider<'a> {
    pub(super) title: &'a str,
    pub(super) initial: String,
    pub(super) href: String,
}

#[derive(Template)]
#[template(path = "refusal.html")]
pub(super) struct Refusal<'a> {
    pub(super) assets: &'a Assets,
    pub(super) host: &'a str,
    pub(super) title: &'a str,
    pub(super) message: &'a str,
    pub(super) user: Option<&'a str>,
    pub(super) call: Option<&'a str>,
    pub(super) request_id: Option<&'a str>,
    pub(super) hint: Option<&'a str>,
    /// Where to sign in, where that could help.
    pub(super) again: Option<String>,
    /// Where to ask for access.
    pub(super) ask: Option<&'a str>,
    /// Whether there is a session to leave.
    pub(super) sign_out: bool,
}

#[derive(Template)]
#[template(path = "sign_out.html")]
pub(super) struct SignOut<'a> {
    pub(super) assets: &'a Assets,
    pub(super) host: &'a str,
    pub(super) user: Option<&'a str>,
}

#[derive(Template)]
#[template(path = "signed_out.html")]
pub(super) struct SignedOut<'a> {
    pub(super) assets: &'a Assets,
    pub(super) host: &'a str,
    /// Where the person is signed out at the provider.
    pub(super) provider: Option<&'a str>,
}

/// A page, with the headers that all of ours have.
pub(super) fn page(status: StatusCode, template: &impl Template) -> Response<Body> {
    // Writing into a string cannot fail, and the templates have no failing parts; an empty page is still a refusal.
    let text = template.render().unwrap_or_default();
    let mut answer = Response::new(Body::from(text.into_bytes()));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    protect(answer.headers_mut());
    answer
}

/// The headers of whatever is ours and not an asset.
pub(super) fn protect(headers: &mut HeaderMap) {
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
}
