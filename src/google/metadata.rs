//! What does the metadata server of this machine say?
//!
//! Compute Engine, GKE and Cloud Run answer on a link-local address for the workload's own service account (Google, "About VM
//! metadata"). It is nowhere else, and whoever answers must say that it is that server.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, StatusCode};
use http_body_util::Full;
use url::Url;

use crate::fetch::Fetcher;

/// The metadata server, by its address: a name could be answered by somebody else.
pub const METADATA_URL: &str = "http://169.254.169.254";

/// RFC 9110 section 5.1; both ways, so that a page in a browser cannot ask, and no other server is taken for this one
/// (Google, "About VM metadata").
const FLAVOR: HeaderName = HeaderName::from_static("metadata-flavor");

/// Asks for one thing of the default service account: `token` or `identity`.
///
/// # Errors
/// Why there is no answer.
pub async fn ask(fetcher: &Fetcher, base: &Url, leaf: &str, query: &[(&str, &str)]) -> Result<Bytes, String> {
    let mut url = base.clone();
    url.set_path(&format!("/computeMetadata/v1/instance/service-accounts/default/{leaf}"));
    url.query_pairs_mut().extend_pairs(query);
    let request = Request::get(url.as_str())
        .header(FLAVOR, HeaderValue::from_static("Google"))
        .body(Full::default())
        .map_err(|fault| fault.to_string())?;
    let answer = fetcher.send_to_machine(&url, request).await.map_err(|fault| fault.to_string())?;
    if answer.headers().get(FLAVOR).is_none_or(|flavor| flavor != "Google") {
        return Err("it is another server that answers".to_owned());
    }
    match answer.status() {
        StatusCode::OK => Ok(answer.into_body()),
        status => Err(format!("status {}", status.as_u16())),
    }
}
