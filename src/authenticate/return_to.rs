//! Where does a person go after signing in?
//!
//! Only to a place on this site: what a link says is taken apart and written anew, and what could mean another host in
//! any browser becomes `/` (CWE-601). The fragment is kept: MLflow's UI routes by it, and browsers carry it along a
//! redirect (RFC 9110 section 10.2.2), so our login page sees it and no server of anybody's does.

use std::fmt;

/// Longer addresses than that are not worth a cookie (RFC 6265bis: 4096 bytes with its name).
const MOST_BYTES: usize = 1800;
/// Our own pages: going back to them would sign in, or out, for ever.
const OURS: &str = "/trackgate/";
/// But for those that people come to by a link, and that only show something.
const SHOWN: [&str; 10] = [
    "/trackgate/access",
    "/trackgate/share",
    "/trackgate/ask",
    "/trackgate/requests",
    "/trackgate/review",
    "/trackgate/review.csv",
    "/trackgate/audit",
    "/trackgate/tokens",
    "/trackgate/device",
    "/trackgate/oauth/authorize",
];

/// An address on this site: path, query and fragment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReturnTo {
    path: String,
    query: Option<String>,
    fragment: Option<String>,
}

impl ReturnTo {
    /// The front page.
    #[must_use]
    pub fn front() -> Self {
        Self { path: "/".to_owned(), query: None, fragment: None }
    }

    /// Reads an address; anything but a harmless one is the front page.
    #[must_use]
    pub fn read(text: &str) -> Self {
        Self::parse(text).unwrap_or_else(Self::front)
    }

    /// The address of a request that was refused for want of a login.
    #[must_use]
    pub fn of(path: &str, query: Option<&str>) -> Self {
        match query {
            Some(query) => Self::read(&format!("{path}?{query}")),
            None => Self::read(path),
        }
    }

    fn parse(text: &str) -> Option<Self> {
        if text.len() > MOST_BYTES || !text.starts_with('/') {
            return None;
        }
        // Browsers drop tabs and line ends, and read `\` as `/` (URL Standard, "basic URL parser").
        if !text.bytes().all(|byte| byte.is_ascii_graphic() && !b"\\\"<>`".contains(&byte)) {
            return None;
        }
        let (rest, fragment) = split(text, '#');
        let (path, query) = split(rest, '?');
        if path.starts_with("//") || path.contains("//") {
            return None;
        }
        if path.split('/').any(|segment| matches!(decoded(segment).as_deref(), None | Some(b"." | b".."))) {
            return None;
        }
        let hidden = |byte: &u8| byte.is_ascii_control() || matches!(byte, b'/' | b'\\');
        if path.split('/').filter_map(decoded).any(|segment| segment.iter().any(hidden)) {
            return None;
        }
        // In query and fragment an encoded slash is text (a model's name); control characters are never.
        let controlled = |part: &str| decoded(part).is_none_or(|bytes| bytes.iter().any(u8::is_ascii_control));
        if [query, fragment].into_iter().flatten().any(controlled) {
            return None;
        }
        if (path.starts_with(OURS) || path == "/trackgate") && !SHOWN.contains(&path) {
            return None;
        }
        Some(Self {
            path: path.to_owned(),
            query: query.map(str::to_owned),
            fragment: fragment.filter(|fragment| !fragment.is_empty()).map(str::to_owned),
        })
    }
}

impl fmt::Display for ReturnTo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path)?;
        if let Some(query) = &self.query {
            write!(f, "?{query}")?;
        }
        if let Some(fragment) = &self.fragment {
            write!(f, "#{fragment}")?;
        }
        Ok(())
    }
}

fn split(text: &str, at: char) -> (&str, Option<&str>) {
    match text.split_once(at) {
        Some((before, after)) => (before, Some(after)),
        None => (text, None),
    }
}

/// The bytes behind the percent signs; `None` for a broken one.
fn decoded(text: &str) -> Option<Vec<u8>> {
    let broken = text.match_indices('%').any(|(at, _)| {
        let digits = text.as_bytes().get(at + 1..at + 3);
        !digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    });
    (!broken).then(|| percent_encoding::percent_decode_str(text).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_of_ours_comes_back_as_it_was() {
        for address in [
            "/",
            "/#/experiments/1/runs/0123?x=%5B1%5D",
            "/?a=b&c=%2F%2F#/models/a%2Fb",
            "/static-files/x.js?v=1",
            "/%C3%A4",
            "/a:b@c",
            "/?next=https://evil.example",
            "/#//evil.example",
        ] {
            assert_eq!(ReturnTo::read(address).to_string(), address);
        }
    }

    #[test]
    fn an_open_redirect_in_any_spelling_leads_to_the_front_page() {
        for address in [
            "",
            "https://evil.example",
            "https:evil.example",
            "javascript:alert(1)",
            "//evil.example",
            "///evil.example",
            "/\\evil.example",
            "\\/evil.example",
            "\\\\evil.example",
            "/\t/evil.example",
            "/\n/evil.example",
            "\t//evil.example",
            " //evil.example",
            "/%2f/evil.example",
            "/%2Fevil.example",
            "/%5cevil.example",
            "/%5C%5Cevil.example",
            "/%09/evil.example",
            "/%0d%0aLocation:%20https://evil.example",
            "/a/..//evil.example",
            "/..//evil.example",
            "/%2e%2e/evil.example",
            "/./evil.example",
            "/a//b",
            "/%",
            "/%zz",
            "/a?b=%0a",
            "/a?b=%",
            "/#%0d",
            "/a b",
            "/\u{e4}",
            "/\u{2028}",
            "/\"onload=x",
            "/<script>",
            "evil.example",
            "@evil.example",
            ".evil.example",
            "?x",
            "#x",
            "/trackgate/logout",
            "/trackgate/login/google",
            "/trackgate/share/give",
            "/trackgate/access/",
            "/trackgate",
        ] {
            assert_eq!(ReturnTo::read(address), ReturnTo::front(), "{address:?}");
        }
        assert_eq!(ReturnTo::read(&format!("/{}", "a".repeat(MOST_BYTES))), ReturnTo::front());
    }

    #[test]
    fn a_link_to_a_page_that_shows_something_is_followed() {
        for address in ["/trackgate/access", "/trackgate/tokens", "/trackgate/share?kind=experiment&id=1"] {
            assert_eq!(ReturnTo::read(address).to_string(), address);
        }
    }
}
