//! What is this request, in its one spelling, and what did it show?
//!
//! Every request becomes a [`Request`] here or is refused as [`Unclean`]: one host, one path, one framing, no field by
//! which somebody tells who they are. Credentials move out of the headers, into [`Credentials`], on every path.

mod fields;
mod host;
mod unclean;

use std::sync::Arc;

use http::header::{CONTENT_ENCODING, CONTENT_TYPE, ORIGIN, UPGRADE};
use http::request::Parts;
use http::{HeaderMap, Method, Version};
use http_body::Body as _;
use url::Url;

pub use self::host::Hosts;
pub use self::unclean::Unclean;

use crate::authenticate::credential::{self, Credentials};
use crate::authenticate::origin;
use crate::message::{Body, Payload, Peer, Request};
use crate::policy::classify::Call;
use crate::policy::path::Path;
use crate::policy::route::{BodyClass, Verb};
use crate::token_form;

/// What is clean.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The address that people use: the origin check compares with it.
    pub public_url: Url,
    /// The names under which the gate may be reached.
    pub hosts: Hosts,
    /// What `mlflow server --static-prefix` was given.
    pub static_prefix: String,
    /// Whether the MLflow server has workspaces. Where it has not, nobody hears of them.
    pub workspaces: bool,
    /// The longest path and query together.
    pub url_length: usize,
}

impl Settings {
    /// The defaults of `config/example.toml` for the gate at `public_url`.
    #[must_use]
    pub fn new(public_url: Url) -> Self {
        let hosts = Hosts::new(&public_url, &[]);
        Self { public_url, hosts, static_prefix: String::new(), workspaces: false, url_length: 16 * 1024 }
    }

    /// Whether somebody asks for the site's front, and MLflow's lies below a static prefix: with its slash, without which
    /// MLflow would redirect to an address that it makes from `Host`.
    #[must_use]
    pub fn leads_to_front(&self, request: &Request) -> bool {
        let (prefix, path) = (self.static_prefix.trim_end_matches('/'), request.path.as_str());
        request.verb == Verb::Get && !prefix.is_empty() && (path == "/" || path == prefix)
    }
}

/// A probe's `Host` is whatever the load balancer calls us; nothing is forwarded or told there.
const PROBE: &str = "/trackgate/livez";

/// Brings a request into its one form and moves its credentials out.
///
/// # Errors
/// [`Unclean`] for whatever could be read in two ways, or is nothing that MLflow's clients send.
pub fn clean(
    id: Arc<str>,
    parts: Parts,
    body: Body,
    peer: Peer,
    settings: &Settings,
) -> Result<(Request, Credentials), Unclean> {
    let Parts { method, uri, version, mut headers, .. } = parts;
    let verb = Verb::of(&method).ok_or(Unclean::Method)?;
    let path_and_query = uri.path_and_query().map_or("", http::uri::PathAndQuery::as_str);
    if path_and_query.len() > settings.url_length {
        return Err(Unclean::UrlTooLong { most: settings.url_length });
    }
    if holds_token(&uri) {
        return Err(Unclean::TokenInUrl);
    }
    let path = Path::parse(uri.path())?;
    let host = host::sole(&uri, &headers)?;
    if path.as_str() != PROBE && !settings.hosts.know(&host) {
        return Err(Unclean::UnknownHost);
    }
    fields::check_names(&headers)?;
    fields::check_framing(&headers, version)?;
    let upgrade = fields::strip_connection(&mut headers, verb, version)?;
    if verb == Verb::Get && !body.is_end_stream() {
        // MLflow reads the body of a GET whose query is empty (3.17.2, `_get_request_message`).
        return Err(Unclean::BodyOnGet);
    }
    let workspace = if settings.workspaces { Some(fields::workspace(&headers)?) } else { None };
    let credentials = credential::take(&mut headers);
    fields::strip_identity(&mut headers);
    if upgrade {
        headers.insert(UPGRADE, http::HeaderValue::from_static("websocket"));
    }
    let request = Request {
        id,
        workspace,
        verb,
        head_only: method == Method::HEAD,
        looked_over: false,
        path: path.below(&settings.static_prefix),
        query: uri.query().map(str::to_owned),
        headers,
        payload: Payload::Stream(body),
        peer,
    };
    Ok((request, credentials))
}

/// Whether somebody wrote a token into the address: one of ours, or any in the parameter that RFC 6750 section 2.3 has for
/// it.
fn holds_token(uri: &http::Uri) -> bool {
    let query = uri.query().unwrap_or_default();
    // Most queries have no such letters at all, nor signs that could be them.
    let named = (query.contains("access") || query.contains('%'))
        && url::form_urlencoded::parse(query.as_bytes()).any(|(name, _)| name == "access_token");
    named || token_form::stands_in(uri.path()) || token_form::stands_in(query)
}

/// Whether another site's page may have sent a request that changes something and whose credential a browser adds by
/// itself. For callers who were recognised by such a credential.
///
/// # Errors
/// [`Unclean::ForeignOrigin`].
pub fn check_origin(request: &Request, settings: &Settings) -> Result<(), Unclean> {
    let told = request.headers.contains_key(ORIGIN) || request.headers.contains_key("sec-fetch-site");
    let could_be_foreign = match request.verb {
        // A WebSocket is no read, though it begins as one, and browsers let pages of other sites open them.
        Verb::Get => request.headers.contains_key(UPGRADE),
        Verb::Post => true,
        // No form sends these, and a browser asks us first before a script of another site may.
        Verb::Put | Verb::Patch | Verb::Delete => told,
    };
    if could_be_foreign {
        origin::check(&request.headers, &settings.public_url).map_err(|_| Unclean::ForeignOrigin)?;
    }
    Ok(())
}

/// What the row says of the body, against what the headers say of it.
///
/// # Errors
/// [`Unclean`] for an encoded body where MLflow would read it as empty, and for a POST or PUT that is not JSON where
/// MLflow takes nothing else (3.17.2, `_validate_content_type`).
pub fn check_body(call: &Call, request: &Request) -> Result<(), Unclean> {
    match call.row.body {
        // `gate/body` decodes it, and `policy/fields` reads what it is.
        BodyClass::Otlp | BodyClass::Artifact => Ok(()),
        BodyClass::Form if request.headers.contains_key(CONTENT_ENCODING) => Err(Unclean::EncodedBody),
        BodyClass::Form if is_form(&request.headers) => Ok(()),
        BodyClass::Form => Err(Unclean::NotForm),
        BodyClass::Json | BodyClass::LargeJson => {
            if request.headers.contains_key(CONTENT_ENCODING) {
                return Err(Unclean::EncodedBody);
            }
            if !call.wants_body() || !matches!(request.verb, Verb::Post | Verb::Put) {
                return Ok(());
            }
            if is_json(&request.headers) { Ok(()) } else { Err(Unclean::NotJson) }
        }
    }
}

/// What a form without files sends (HTML, "form submission").
fn is_form(headers: &HeaderMap) -> bool {
    let mut kinds = headers.get_all(CONTENT_TYPE).iter();
    let (Some(kind), None) = (kinds.next(), kinds.next()) else { return false };
    kind.to_str().is_ok_and(|kind| {
        kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/x-www-form-urlencoded"))
    })
}

fn is_json(headers: &HeaderMap) -> bool {
    let mut kinds = headers.get_all(CONTENT_TYPE).iter();
    let (Some(kind), None) = (kinds.next(), kinds.next()) else { return false };
    let Ok(kind) = kind.to_str() else { return false };
    let mut parts = kind.split(';').map(str::trim);
    let essence = parts.next().unwrap_or_default();
    essence.eq_ignore_ascii_case("application/json")
        && parts.all(|parameter| {
            // A charset other than UTF-8 would have the bytes read in another way.
            parameter.split_once('=').is_none_or(|(name, value)| {
                !name.trim().eq_ignore_ascii_case("charset")
                    || value.trim().trim_matches('"').eq_ignore_ascii_case("utf-8")
            })
        })
}

fn is_old(version: Version) -> bool {
    version < Version::HTTP_11
}

#[cfg(test)]
mod tests;
