//! Did our own pages send this request, or somebody else's?
//!
//! Browsers add cookies to requests that other sites make. `SameSite=Lax` stops most of them, not those of sibling
//! hosts of the same site (ASVS 3.5.1 to 3.5.3). Whatever changes something on the strength of a cookie passes here.

use http::header::{CONTENT_TYPE, ORIGIN};
use http::{HeaderMap, HeaderValue};
use url::Url;

/// A request that another site may have made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the request may come from another site")]
pub struct ForeignOrigin;

/// Judges a request that would change something and whose credential a browser adds by itself: a session cookie, or
/// the cookie behind an IAP assertion. Not for bearer tokens, which no browser adds.
///
/// `Sec-Fetch-Site` decides where it is there (browsers let no page set it); `none` is a person's own doing. Else
/// `Origin` must be ours. With neither, only what no HTML form can send passes.
///
/// # Errors
/// [`ForeignOrigin`] for everything else.
pub fn check(headers: &HeaderMap, public_url: &Url) -> Result<(), ForeignOrigin> {
    let mut sites = headers.get_all("sec-fetch-site").iter();
    let mut origins = headers.get_all(ORIGIN).iter();
    let (site, origin) = (sites.next(), origins.next());
    if sites.next().is_some() || origins.next().is_some() {
        return Err(ForeignOrigin);
    }
    let ours = public_url.origin().ascii_serialization();
    let good = match (site.map(HeaderValue::as_bytes), origin.map(HeaderValue::as_bytes)) {
        // Both are there: both must agree. A form on a page with `Referrer-Policy: no-referrer`, as ours have, sends
        // `null` (Fetch, "append a request `Origin` header"); a sandboxed frame does too, but is `cross-site`.
        (Some(b"same-origin" | b"none"), Some(origin)) => origin == ours.as_bytes() || origin == b"null",
        (Some(b"same-origin" | b"none"), None) => true,
        (Some(_), _) => false,
        (None, Some(origin)) => origin == ours.as_bytes(),
        (None, None) => !could_be_a_form(headers),
    };
    if good { Ok(()) } else { Err(ForeignOrigin) }
}

/// The content types that a page may send anywhere without asking first (Fetch, "CORS-safelisted request-header"), and
/// none at all.
fn could_be_a_form(headers: &HeaderMap) -> bool {
    let Some(kind) = headers.get(CONTENT_TYPE) else { return true };
    let Ok(kind) = kind.to_str() else { return true };
    let essence = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    matches!(essence.as_str(), "" | "application/x-www-form-urlencoded" | "multipart/form-data" | "text/plain")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_pages_and_programs_may_change_something_with_a_cookie() {
        let url = Url::parse("https://mlflow.example.com:8443/").unwrap();
        let cases: &[(&[(&'static str, &'static str)], bool)] = &[
            (&[("sec-fetch-site", "same-origin"), ("origin", "https://mlflow.example.com:8443")], true),
            (&[("sec-fetch-site", "same-origin")], true),
            (&[("sec-fetch-site", "none")], true),
            (&[("sec-fetch-site", "same-origin"), ("origin", "null")], true),
            (&[("sec-fetch-site", "cross-site"), ("origin", "null")], false),
            (&[("origin", "https://mlflow.example.com:8443")], true),
            (&[("content-type", "application/json")], true),
            (&[("sec-fetch-site", "same-site"), ("origin", "https://mlflow.example.com:8443")], false),
            (&[("sec-fetch-site", "cross-site")], false),
            (&[("sec-fetch-site", "same-origin"), ("origin", "https://evil.example")], false),
            (&[("origin", "https://mlflow.example.com")], false),
            (&[("origin", "http://mlflow.example.com:8443")], false),
            (&[("origin", "https://mlflow.example.com:8443.evil.example")], false),
            (&[("origin", "null")], false),
            (&[("origin", "https://mlflow.example.com:8443"), ("origin", "https://evil.example")], false),
            (&[("sec-fetch-site", "none"), ("sec-fetch-site", "cross-site")], false),
            (&[], false),
            (&[("content-type", "text/plain;charset=UTF-8")], false),
            (&[("content-type", "Application/X-WWW-Form-Urlencoded")], false),
            (&[("content-type", "multipart/form-data; boundary=x")], false),
        ];
        for (lines, good) in cases {
            let mut headers = HeaderMap::new();
            for (name, value) in *lines {
                headers.append(*name, HeaderValue::from_static(value));
            }
            assert_eq!(check(&headers, &url).is_ok(), *good, "{lines:?}");
        }
    }
}
