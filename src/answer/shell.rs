//! How does a script of ours come into MLflow's page?
//!
//! MLflow's files stay as they are; on the way back, one element goes into the page's head. Whatever is not the page as we
//! know it is passed on untouched.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http::header::CONTENT_TYPE;
use http::{Response, StatusCode};

use super::held::Held;
use super::{AnswerFault, Shared, whole};
use crate::message::Body;

/// Where the element goes: the page has one head.
const HEAD: &[u8] = b"</head>";

/// MLflow's page with the script at `address` besides.
///
/// # Errors
/// [`AnswerFault`] when the answer breaks off, or too much is being read at once.
pub async fn with_script(
    answer: Response<Body>,
    address: &str,
    shared: &Shared,
) -> Result<Response<Body>, AnswerFault> {
    let html = answer.headers().get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"text/html"));
    if !shared.settings.sign_out || answer.status() != StatusCode::OK || !html {
        return Ok(answer);
    }
    put(answer, address, shared.settings.list_answer, &shared.held).await
}

async fn put(
    answer: Response<Body>,
    address: &str,
    most: usize,
    held: &Arc<Held>,
) -> Result<Response<Body>, AnswerFault> {
    let mut share = held.share();
    let (parts, page) = whole::read_counted(answer, most, &mut share).await?;
    let Some(at) = page.windows(HEAD.len()).position(|part| part == HEAD) else {
        return Ok(whole::with_body(parts, page));
    };
    let (before, behind) = page.split_at(at);
    let element = format!("<script defer=\"defer\" src=\"{address}\"></script>");
    let mut whole = BytesMut::with_capacity(page.len() + element.len());
    for part in [before, element.as_bytes(), behind] {
        whole.extend_from_slice(part);
    }
    Ok(whole::with_body(parts, Bytes::from(whole)))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn of(page: &'static str) -> String {
        let answer = Response::new(Body::from(page.as_bytes().to_vec()));
        let answer = put(answer, "/x.js", 1000, &Held::new(10_000)).await.unwrap();
        let length = answer.headers()[http::header::CONTENT_LENGTH].to_str().unwrap().to_owned();
        let (_, page) = whole::read(answer, 2000).await.unwrap();
        assert_eq!(length, page.len().to_string());
        String::from_utf8(page.to_vec()).unwrap()
    }

    #[tokio::test]
    async fn the_script_stands_in_the_head_once_and_nothing_else_changes() {
        assert_eq!(
            of("<html><head><title>x</title></head><body></head></body></html>").await,
            "<html><head><title>x</title><script defer=\"defer\" src=\"/x.js\"></script></head><body></head></body></html>"
        );
        assert_eq!(of("<html>no head</html>").await, "<html>no head</html>");
        assert_eq!(of("").await, "");
    }
}
