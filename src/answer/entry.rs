//! How do people find our pages from MLflow's?
//!
//! By a link that is written into the page that the UI begins with, where the setting says so. A page of another shape than
//! is known passes as it is.

use http::Response;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http_body::Body as _;

use super::{AnswerFault, Shared, whole};
use crate::message::Body;

/// The largest page that is looked into; MLflow 3.17.2's has 700 bytes.
const MOST: u64 = 256 * 1024;

/// What is written into the page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// At the end of the head.
    pub head: String,
    /// At the end of the body.
    pub body: String,
}

/// Writes the entry into the page.
///
/// # Errors
/// [`AnswerFault`] for a page that breaks off.
pub async fn with_entry(answer: Response<Body>, shared: &Shared) -> Result<Response<Body>, AnswerFault> {
    let Some(entry) = shared.settings.entry.filter(|_| is_page(&answer)) else { return Ok(answer) };
    let most = usize::try_from(MOST).unwrap_or(usize::MAX);
    let mut share = shared.held.share();
    let (parts, body) = whole::read_counted(answer, most, &mut share).await?;
    Ok(match written(&body, entry) {
        Some(text) => whole::with_body(parts, share.of(text.into_bytes())),
        None => Response::from_parts(parts, Body::Full(body)),
    })
}

/// Whether the answer is a page that can be read whole.
fn is_page(answer: &Response<Body>) -> bool {
    let html =
        answer.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).is_some_and(|kind| {
            kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("text/html"))
        });
    let small = answer.body().size_hint().exact().is_some_and(|size| size > 0 && size <= MOST);
    html && small && answer.status() == http::StatusCode::OK && !answer.headers().contains_key(CONTENT_ENCODING)
}

/// The page with the entry; `None` for one of another shape than the UI's first page has.
fn written(page: &[u8], entry: &Entry) -> Option<String> {
    let page = std::str::from_utf8(page).ok()?;
    let once = |what: &str| {
        let mut found = page.match_indices(what).map(|(at, _)| at);
        found.next().filter(|_| found.next().is_none())
    };
    let (head, body) = (once("</head>")?, once("</body>")?);
    let root = once("<div id=\"root\"")?;
    if !(head < root && root < body) {
        return None;
    }
    Some([page.get(..head)?, &entry.head, page.get(head..body)?, &entry.body, page.get(body..)?].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str =
        "<!doctype html><html><head><title>MLflow</title></head><body><div id=\"root\"></div></body></html>";

    fn entered(page: &str) -> Option<String> {
        written(page.as_bytes(), &Entry { head: "<link>".into(), body: "<a></a>".into() })
    }

    #[test]
    fn the_entry_stands_at_the_end_of_the_page() {
        let wanted = "<!doctype html><html><head><title>MLflow</title><link></head><body><div id=\"root\"></div><a></a></body></html>";
        assert_eq!(entered(PAGE).as_deref(), Some(wanted));
    }

    #[test]
    fn a_page_of_another_shape_stays_as_it_is() {
        for odd in [
            "",
            "<html></html>",
            &PAGE.replace("root", "app"),
            &PAGE.replace("</head>", ""),
            &format!("{PAGE}</body>"),
            &PAGE.replace("<title>", "<script>'</body>'</script>"),
            &PAGE.replace("</head>", "").replace("</html>", "</head>"),
        ] {
            assert_eq!(entered(odd), None, "{odd}");
        }
        assert_eq!(written(&[0xff], &Entry { head: String::new(), body: String::new() }), None);
    }
}
