//! In which groups is this person, as Google says?
//!
//! Cloud Identity API v1, `groups.memberships.searchTransitiveGroups`: direct and nested groups, page by page. What is not of
//! the documented shape, or does not end, is a fault: a group that is lost might be one that is denied something.

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::Full;
use serde::Deserialize;
use serde::de::IgnoredAny;
use std::time::Duration;
use url::Url;

use super::DirectoryFault;
use super::filter::Filter;
use crate::fetch::Fetcher;
use crate::fetch::harmless;
use crate::google::Tokens;
use crate::mlflow::ids::GroupName;

/// Google takes up to 1000.
const PAGE_SIZE: &str = "500";
/// More pages are not read.
const MOST_PAGES: usize = 20;
/// More groups than that are no group list; the same bound as for a claim.
const MOST_GROUPS: usize = 2000;
/// The pause after 429, unless Google says another one.
const PATIENCE: Duration = Duration::from_secs(10);
/// The longest pause that Google can ask for.
pub(super) const MOST_PATIENCE: Duration = Duration::from_mins(1);

/// Asks.
pub(super) struct Search {
    pub(super) api: Url,
    pub(super) customer: Option<String>,
    pub(super) security_groups_only: bool,
    pub(super) fetcher: Fetcher,
    pub(super) tokens: Tokens,
}

#[derive(Deserialize)]
struct Page {
    #[serde(default)]
    memberships: Vec<Relation>,
    #[serde(default, rename = "nextPageToken")]
    next: String,
    /// Never beside status 200; if it is, this is no answer.
    error: Option<IgnoredAny>,
}

/// Google's `GroupRelation`.
#[derive(Deserialize)]
struct Relation {
    #[serde(rename = "groupKey")]
    key: EntityKey,
}

#[derive(Deserialize)]
struct EntityKey {
    id: String,
    /// Set for groups that are mapped from another directory; their ids are that directory's, not addresses of Google's.
    #[serde(default)]
    namespace: String,
}

#[derive(Deserialize)]
struct Refusal {
    error: Status,
}

/// Google's error model, <https://cloud.google.com/apis/design/errors>.
#[derive(Deserialize)]
struct Status {
    #[serde(default)]
    status: String,
    #[serde(default)]
    message: String,
}

impl Search {
    /// The groups of `member`, by their addresses in lower case.
    pub(super) async fn groups_of(&self, member: &str, filter: Filter<'_>) -> Result<Vec<GroupName>, DirectoryFault> {
        let query = self.query(member)?;
        let mut groups = Vec::new();
        let mut next = String::new();
        for _ in 0..MOST_PAGES {
            let page = self.page(&query, &next).await?;
            for relation in page.memberships {
                if relation.key.id.is_empty() {
                    return Err(DirectoryFault::Unreadable);
                }
                if !relation.key.namespace.is_empty() {
                    continue;
                }
                if let Some(group) = filter.take(&relation.key.id.to_ascii_lowercase()) {
                    groups.push(group);
                }
            }
            if page.next.is_empty() {
                groups.sort_unstable();
                groups.dedup();
                return if groups.len() <= MOST_GROUPS { Ok(groups) } else { Err(DirectoryFault::TooMany) };
            }
            next = page.next;
        }
        Err(DirectoryFault::TooMany)
    }

    /// A CEL expression (Google, "Query parameters" of the method).
    fn query(&self, member: &str) -> Result<String, DirectoryFault> {
        let label = if self.security_groups_only { "security" } else { "discussion_forum" };
        let mut query =
            format!("member_key_id == {} && 'cloudidentity.googleapis.com/groups.{label}' in labels", literal(member)?);
        if let Some(customer) = &self.customer {
            query.push_str(" && parent == ");
            query.push_str(&literal(&format!("customers/{customer}"))?);
        }
        Ok(query)
    }

    async fn page(&self, query: &str, next: &str) -> Result<Page, DirectoryFault> {
        let mut url = self.api.clone();
        url.set_path("/v1/groups/-/memberships:searchTransitiveGroups");
        url.query_pairs_mut().append_pair("query", query).append_pair("pageSize", PAGE_SIZE);
        if !next.is_empty() {
            url.query_pairs_mut().append_pair("pageToken", next);
        }
        let token = self.tokens.get().await?;
        let mut answer = self.ask(&url, &token.field).await?;
        if answer.status() == StatusCode::UNAUTHORIZED {
            // Withdrawn before its time.
            self.tokens.forget(&token);
            answer = self.ask(&url, &self.tokens.get().await?.field).await?;
        }
        read(&answer)
    }

    async fn ask(&self, url: &Url, token: &HeaderValue) -> Result<Response<Bytes>, DirectoryFault> {
        let request = Request::get(url.as_str())
            .header(ACCEPT, HeaderValue::from_static("application/json"))
            .header(AUTHORIZATION, token)
            .body(Full::default())
            .map_err(|_| DirectoryFault::BadAddress)?;
        Ok(self.fetcher.send(url, request).await?)
    }
}

/// A CEL string literal (CEL language definition, "String and Bytes Values"): whatever the text, it ends where we end it.
fn literal(text: &str) -> Result<String, DirectoryFault> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(DirectoryFault::BadAddress);
    }
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('\'');
    for letter in text.chars() {
        if matches!(letter, '\'' | '"' | '\\' | '`') {
            quoted.push('\\');
        }
        quoted.push(letter);
    }
    quoted.push('\'');
    Ok(quoted)
}

fn read(answer: &Response<Bytes>) -> Result<Page, DirectoryFault> {
    let body = answer.body();
    let says = || {
        serde_json::from_slice::<Refusal>(body).map_or_else(
            |_| "no reason is given".to_owned(),
            |refusal| harmless(&format!("{}: {}", refusal.error.status, refusal.error.message)),
        )
    };
    match answer.status() {
        StatusCode::OK => {}
        StatusCode::UNAUTHORIZED => return Err(DirectoryFault::Unauthenticated(says())),
        StatusCode::FORBIDDEN => return Err(DirectoryFault::Denied(says())),
        StatusCode::TOO_MANY_REQUESTS => return Err(DirectoryFault::Throttled { retry_after: patience(answer) }),
        status => return Err(DirectoryFault::Status { status: status.as_u16(), says: says() }),
    }
    let json = answer.headers().get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"application/json"));
    // `[]` would read as an object without members, and that as somebody without groups.
    if !json || body.trim_ascii_start().first() != Some(&b'{') {
        return Err(DirectoryFault::Unreadable);
    }
    let page: Page = serde_json::from_slice(body).map_err(|_| DirectoryFault::Unreadable)?;
    if page.error.is_some() { Err(DirectoryFault::Unreadable) } else { Ok(page) }
}

/// RFC 9110 section 10.2.3, in seconds.
fn patience(answer: &Response<Bytes>) -> Duration {
    let said = answer.headers().get(RETRY_AFTER).and_then(|field| field.to_str().ok()?.parse().ok());
    said.map_or(PATIENCE, Duration::from_secs).clamp(Duration::from_secs(1), MOST_PATIENCE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_address_ends_the_literal_it_stands_in() {
        for (address, wanted) in [
            ("alice@example.com", "'alice@example.com'"),
            ("o'brien@example.com", r"'o\'brien@example.com'"),
            (r"a\@example.com", r"'a\\@example.com'"),
            (r"a\'||true||\'@example.com", r"'a\\\'||true||\\\'@example.com'"),
            ("a\"`@example.com", "'a\\\"\\`@example.com'"),
        ] {
            assert_eq!(literal(address).unwrap(), wanted);
        }
        for address in ["", "a b@example.com", "a\n@example.com", "\u{e4}@example.com", "a\0@example.com"] {
            assert_eq!(literal(address), Err(DirectoryFault::BadAddress), "{address:?}");
        }
    }

    fn answer(status: u16, kind: &str, body: &str) -> Response<Bytes> {
        Response::builder()
            .status(status)
            .header(CONTENT_TYPE, kind)
            .body(Bytes::copy_from_slice(body.as_bytes()))
            .unwrap()
    }

    #[test]
    fn what_is_not_of_the_documented_shape_is_never_somebody_without_groups() {
        for body in [
            "",
            "null",
            "[]",
            " []",
            "[[]]",
            "{",
            "<html>",
            "7",
            r#"{"memberships": null}"#,
            r#"{"memberships": {}}"#,
            r#"{"memberships": [{}]}"#,
            r#"{"memberships": [{"groupKey": {}}]}"#,
            r#"{"memberships": [{"groupKey": {"id": 7}}]}"#,
            r#"{"memberships": [7]}"#,
            r#"{"nextPageToken": 7}"#,
            r#"{"memberships": [], "memberships": []}"#,
            r#"{"error": {"code": 500}}"#,
        ] {
            assert_eq!(read(&answer(200, "application/json", body)).err(), Some(DirectoryFault::Unreadable), "{body}");
        }
        assert_eq!(read(&answer(200, "text/html", "{}")).err(), Some(DirectoryFault::Unreadable));
        assert!(
            read(&answer(200, "application/json; charset=UTF-8", "{}")).is_ok(),
            "nobody's groups are an empty object"
        );
    }

    #[test]
    fn a_refusal_repeats_googles_words_without_what_could_harm_a_log() {
        let body = "{\"error\":{\"code\":403,\"message\":\"Error(2028):\\u001b[31m no\\nrights\",\"status\":\"PERMISSION_DENIED\"}}";
        let fault = read(&answer(403, "application/json", body)).err().unwrap();
        assert_eq!(fault.to_string(), "permission denied: PERMISSION_DENIED: Error(2028): [31m no rights");
        assert_eq!(read(&answer(302, "text/html", "")).err().unwrap().code(), "status");
    }

    #[test]
    fn how_long_google_can_make_us_wait_is_bounded() {
        for (said, wanted) in [("0", 1), ("7", 7), ("999999", 60), ("Wed, 21 Oct 2026 07:28:00 GMT", 10), ("-1", 10)] {
            let mut answer = answer(429, "application/json", "{}");
            answer.headers_mut().insert(RETRY_AFTER, said.parse().unwrap());
            assert_eq!(
                read(&answer).err(),
                Some(DirectoryFault::Throttled { retry_after: Duration::from_secs(wanted) }),
                "{said}"
            );
        }
    }
}
