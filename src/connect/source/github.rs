//! Who does GitHub Actions say that this job is?
//!
//! A job with `permissions: id-token: write` may ask for an ID token of any audience (GitHub, "About security hardening with
//! OpenID Connect"; `@actions/core`, `oidc-utils.ts`). It lives for some minutes; the right to ask lasts as long as the job.

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION};
use http::{HeaderValue, Request, StatusCode};
use http_body_util::Full;
use serde::Deserialize;
use url::Url;
use zeroize::Zeroizing;

use super::{Asking, Credential, Source, SourceFault};
use crate::fetch::{Fetcher, is_secure};

/// A job of GitHub Actions.
pub struct GitHub {
    url: Url,
    field: HeaderValue,
    fetcher: Fetcher,
}

#[derive(Deserialize)]
struct Answer {
    value: Zeroizing<String>,
}

impl GitHub {
    /// `url` and `token` are `ACTIONS_ID_TOKEN_REQUEST_URL` and `ACTIONS_ID_TOKEN_REQUEST_TOKEN`.
    ///
    /// # Errors
    /// [`SourceFault`] for what the runner cannot have set.
    pub fn new(url: &str, token: &str, audience: &str, fetcher: Fetcher) -> Result<Self, SourceFault> {
        let fault = |what: &str| SourceFault::lasting(what.to_owned(), "set nothing here by hand: the runner does");
        let mut url = Url::parse(url)
            .ok()
            .filter(is_secure)
            .ok_or_else(|| fault("ACTIONS_ID_TOKEN_REQUEST_URL is not an https address"))?;
        url.query_pairs_mut().append_pair("audience", audience);
        let field = Zeroizing::new(format!("bearer {token}"));
        let mut field =
            HeaderValue::from_str(&field).map_err(|_| fault("ACTIONS_ID_TOKEN_REQUEST_TOKEN is no token"))?;
        field.set_sensitive(true);
        Ok(Self { url, field, fetcher })
    }

    async fn ask(&self) -> Result<Credential, SourceFault> {
        let fault = |why: String| SourceFault::passing(format!("GitHub Actions gave no ID token: {why}"));
        let request = Request::get(self.url.as_str())
            .header(AUTHORIZATION, self.field.clone())
            .header(ACCEPT, HeaderValue::from_static("application/json; api-version=2.0"))
            .body(Full::<Bytes>::default())
            .map_err(|why| fault(why.to_string()))?;
        let answer = self.fetcher.send(&self.url, request).await.map_err(|why| fault(why.to_string()))?;
        match answer.status() {
            StatusCode::OK => {}
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                return Err(SourceFault::lasting(
                    format!("GitHub Actions gave no ID token: status {}", answer.status().as_u16()),
                    "the job needs `permissions: id-token: write`, and may ask only while it runs",
                ));
            }
            status => return Err(fault(format!("status {}", status.as_u16()))),
        }
        let answer: Answer =
            serde_json::from_slice(answer.body()).map_err(|_| fault("its answer holds none".to_owned()))?;
        Credential::read(answer.value).map_err(|why| fault(why.to_owned()))
    }
}

impl Source for GitHub {
    fn describe(&self) -> String {
        "GitHub Actions".to_owned()
    }

    fn fresh<'a>(&'a self, _: Option<&'a Credential>) -> Asking<'a> {
        Box::pin(self.ask())
    }
}
