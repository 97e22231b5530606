//! Which one spelling of a path do we accept?
//!
//! MLflow decodes some paths once and artifact paths twice, folds `.` and `//`, and serves encoded letters (measured
//! on 3.17.2). A path here has no percent sign left after one decoding, no empty or dot segment, no backslash, no
//! control character; anything else is refused, not repaired (CWE-180, CWE-436, GHSA-pxq7-h93f-9jrg). The two
//! exceptions are the slash in an MCP server's name, and those in a tag's key of MCP servers and skills.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use super::route::is_ours;

/// What is encoded when a path is written anew: everything but the `pchar` of RFC 3986 section 3.3 and `/`.
const ENCODED: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b';')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'[')
    .add(b'\\')
    .add(b']')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// What MLflow serves at the root although it has a static prefix: `/api/` up to 3.11, and the artifacts of its native
/// routes there since 3.15; OTLP, the gateway, jobs and the assistant up to 3.15; `/health` and `/version` up to 3.6
/// (`_get_rest_path` of `mlflow/server/handlers.py`, `create_fastapi_app`). A server that serves them below the prefix alone
/// answers 404.
const AT_ROOT: [&str; 6] = ["api/", "ajax-api/", "v1/", "gateway/", "health", "version"];

/// Where the names of MCP servers begin, below a static prefix too.
const MCP_SERVERS: [&str; 2] = ["/api/3.0/mlflow/mcp-servers/", "/ajax-api/3.0/mlflow/mcp-servers/"];

/// Where the paths begin that end with the key of a tag, and how many segments stand before the tags at least.
const TAGGED: [(&str, usize); 4] =
    [(MCP_SERVERS[0], 2), (MCP_SERVERS[1], 2), ("/api/3.0/mlflow/skills/", 1), ("/ajax-api/3.0/mlflow/skills/", 1)];

/// A path in its one spelling.
#[derive(Clone, PartialEq, Eq)]
pub struct Path {
    decoded: Arc<str>,
    /// Where MLflow's part begins, behind the static prefix or at the root; `None` when MLflow has nothing there.
    start: Option<usize>,
}

/// Why a path is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the path is not in canonical form: {0}")]
pub struct BadPath(pub &'static str);

impl Path {
    /// Reads the path of a request target, percent-encoding included.
    ///
    /// # Errors
    /// [`BadPath`] for every spelling but the canonical one.
    pub fn parse(raw: &str) -> Result<Self, BadPath> {
        if !raw.starts_with('/') {
            return Err(BadPath("it does not begin with `/`"));
        }
        let decoded = decode(raw)?;
        plain_segments(&decoded[1..])?;
        Ok(Self { decoded: Arc::from(decoded), start: Some(1) })
    }

    /// The same path, seen from below MLflow's `--static-prefix`. Our own endpoints (`/trackgate/...`) do not move, and some
    /// of MLflow's do not either (`AT_ROOT`): a call is judged by the same row at either place, and sent where it was
    /// asked for.
    #[must_use]
    pub fn below(mut self, static_prefix: &str) -> Self {
        let prefix = static_prefix.trim_end_matches('/');
        if prefix.is_empty() || is_ours(&self.decoded[1..]) {
            return self;
        }
        let start = match self.decoded.strip_prefix(prefix) {
            Some(rest) if rest.starts_with('/') => Some(prefix.len() + 1),
            Some(_) | None => AT_ROOT.iter().any(|family| self.decoded[1..].starts_with(family)).then_some(1),
        };
        // Our own endpoints have one place.
        self.start = start.filter(|start| !is_ours(&self.decoded[*start..]));
        self
    }

    /// The decoded path, beginning with `/`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.decoded
    }

    /// The part that rows speak of: behind the static prefix, without the leading `/`.
    #[must_use]
    pub fn place(&self) -> Option<&str> {
        self.start.map(|start| &self.decoded[start.min(self.decoded.len())..])
    }

    /// The path as it is sent on: written anew from what was judged.
    #[must_use]
    pub fn encoded(&self) -> Cow<'_, str> {
        utf8_percent_encode(&self.decoded, ENCODED).into()
    }

    pub(super) fn shared(&self) -> &Arc<str> {
        &self.decoded
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.decoded)
    }
}

impl fmt::Debug for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Path({:?})", &*self.decoded)
    }
}

/// Segments of a path, encoded; slashes stay.
#[must_use]
pub fn encode(decoded: &str) -> String {
    utf8_percent_encode(decoded, ENCODED).to_string()
}

/// Decodes once. What was encoded without need, or decodes to a sign that separates, is refused.
fn decode(raw: &str) -> Result<Cow<'_, str>, BadPath> {
    if !raw.contains('%') {
        return Ok(Cow::Borrowed(raw));
    }
    let mut bytes = Vec::with_capacity(raw.len());
    let mut rest = raw.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let (Some(high), Some(low)) = (rest.next().and_then(hex), rest.next().and_then(hex)) else {
            return Err(BadPath("it has a `%` that is not followed by two hex digits"));
        };
        match high << 4 | low {
            b'/' if in_mcp_name(&bytes) || in_tag_key(&bytes) => bytes.push(b'/'),
            b'/' => return Err(BadPath("it has an encoded slash")),
            b'%' => return Err(BadPath("it has an encoded `%`")),
            plain if plain.is_ascii_alphanumeric() || matches!(plain, b'-' | b'.' | b'_' | b'~') => {
                // RFC 3986 section 2.3: unreserved characters are never in need of it.
                return Err(BadPath("it encodes what needs no encoding"));
            }
            other => bytes.push(other),
        }
    }
    String::from_utf8(bytes).map(Cow::Owned).map_err(|_| BadPath("it is not UTF-8"))
}

/// Whether the last segment so far is the first half of an MCP server's name, `namespace/slug`: MLflow's own pages encode the
/// slash between them (3.17.2, `encodeURIComponent`), and the server takes both spellings for the same name
/// (`{name:path}`). Judged and sent on it is a plain slash.
fn in_mcp_name(before: &[u8]) -> bool {
    let Some(at) = before.iter().rposition(|byte| *byte == b'/') else { return false };
    let (family, namespace) = before.split_at(at + 1);
    !namespace.is_empty() && MCP_SERVERS.iter().any(|servers| family.ends_with(servers.as_bytes()))
}

/// Whether what follows belongs to a tag's key: MLflow's client encodes the slashes in it (3.17.2 and 3.18.0, `rest_mixin.py`,
/// `_encode_path_param`), and the server takes both spellings for the same key (`{key:path}`). Judged and sent on they are
/// plain slashes.
fn in_tag_key(before: &[u8]) -> bool {
    TAGGED.iter().any(|(family, least)| {
        let family = family.as_bytes();
        let Some(at) = before.windows(family.len()).position(|here| here == family) else { return false };
        let mut segments = before[at + family.len()..].split(|byte| *byte == b'/').skip(*least);
        // The segment behind the last slash so far is the one that the slash would end.
        segments.any(|segment| segment == b"tags") && segments.next().is_some_and(|begun| !begun.is_empty())
    })
}

fn hex(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

/// The signs and segments that no path may have. One `/` at the end is left to the table, which has few such rows.
fn plain_segments(path: &str) -> Result<(), BadPath> {
    for byte in path.bytes() {
        match byte {
            b'%' => return Err(BadPath("it has a `%` left after decoding")),
            b'\\' => return Err(BadPath("it has a backslash")),
            b';' => return Err(BadPath("it has a `;`")),
            b'#' => return Err(BadPath("it has a `#`")),
            b'?' => return Err(BadPath("it has a `?`")),
            0..=31 | 127 => return Err(BadPath("it has a control character")),
            _ => {}
        }
    }
    // C1 controls, and the separators that some readers take for line ends.
    if !path.is_ascii() && path.chars().any(|sign| sign.is_control() || matches!(sign, '\u{2028}' | '\u{2029}')) {
        return Err(BadPath("it has a control character"));
    }
    let inner = path.strip_suffix('/').unwrap_or(path);
    if inner.is_empty() {
        return if path.is_empty() { Ok(()) } else { Err(BadPath("it has an empty segment")) };
    }
    for segment in inner.split('/') {
        match segment {
            "" => return Err(BadPath("it has an empty segment")),
            "." | ".." => return Err(BadPath("it has a dot segment")),
            _ => {}
        }
    }
    Ok(())
}

/// Whether `text` is an artifact path in its one spelling: relative, or empty, already decoded once.
///
/// MLflow decodes such paths again and folds what it finds (3.17.2, `mlflow.utils.uri.validate_path_is_safe`).
///
/// # Errors
/// [`BadPath`] as for [`Path::parse`]. One slash at the end is the same folder and passes.
pub fn artifact(text: &str) -> Result<(), BadPath> {
    if text.starts_with('/') {
        return Err(BadPath("it is absolute"));
    }
    plain_segments(text)
}

/// Whether the last segment of a local path is the plain name of a file; what stands before it is not read by anybody
/// (MLflow 3.17.2, `create_multipart_upload` of the stores: `os.path.basename`).
///
/// # Errors
/// [`BadPath`].
pub fn file_name(text: &str) -> Result<(), BadPath> {
    match text.rsplit('/').next() {
        None | Some("") => Err(BadPath("it ends without a file's name")),
        Some(name) => plain_segments(name),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ordinary_paths_pass_as_they_are() {
        for raw in ["/", "/api/2.0/mlflow/runs/get", "/static-files/lib/a.b~c_d-e.js", "/ajax-api/3.0/jobs/"] {
            let path = Path::parse(raw).unwrap();
            assert_eq!(path.as_str(), raw);
            assert_eq!(path.encoded(), raw);
        }
    }

    #[test]
    fn every_second_spelling_is_refused() {
        for raw in [
            "",
            "api",
            "//api/2.0",
            "/api//2.0",
            "/api/./x",
            "/api/../x",
            "/..",
            "/.",
            "/a//",
            "//",
            "/%61pi/2.0",
            "/api/2.0/mlflow/experiments%2fget",
            "/api%2F2.0",
            "/a/%2e%2e/b",
            "/a/%2E/b",
            "/a/..%2fb",
            "/a/%252e%252e/b",
            "/a/%25",
            "/a/%5cb",
            "/a\\b",
            "/a;b",
            "/a%3Bb",
            "/a#b",
            "/a%23b",
            "/a%3fb",
            "/a?b",
            "/a%00b",
            "/a%0ab",
            "/a%7fb",
            "/a\u{7f}",
            "/a%",
            "/a%4",
            "/a%zz",
            "/a%ff",
            "/a%c3",
            "/a%C0%AFb",
            "/a%c2%85b",
            "/a%e2%80%a8b",
            "/a%ed%a0%80",
            "/%7euser",
            "/a%2Db",
            "/a\nb",
        ] {
            assert!(Path::parse(raw).is_err(), "{raw:?}");
        }
    }

    #[test]
    fn the_slash_in_the_name_of_an_mcp_server_may_be_encoded_and_is_sent_plain() {
        for place in ["/api", "/ajax-api", "/prefix/ajax-api"] {
            let family = format!("{place}/3.0/mlflow/mcp-servers");
            for slash in ["%2F", "%2f"] {
                let path = Path::parse(&format!("{family}/com.example{slash}tools/versions")).unwrap();
                assert_eq!(path.as_str(), format!("{family}/com.example/tools/versions"));
                assert_eq!(path.encoded(), path.as_str());
            }
            for odd in [
                "%2Ftools",
                "a%2Fb%2Fc",
                "a/b%2Fc",
                "a%2F",
                "a%2F/b",
                "..%2Fb",
                "a%2F..",
                "a%252Fb",
                "a/b/aliases/k%2Fl",
            ] {
                let refused = Path::parse(&format!("{family}/{odd}")).map(|path| path.as_str().to_owned());
                // One slash at the end is left to the table.
                assert!(refused.is_err() || odd == "a%2F", "{odd}: {refused:?}");
            }
        }
        assert!(Path::parse("/api/3.0/mlflow/mcp-servers%2Fa").is_err());
        assert!(Path::parse("/api/2.0/mlflow/mcp-servers/a%2Fb").is_err());
    }

    #[test]
    fn the_slashes_in_the_key_of_a_tag_may_be_encoded_and_are_sent_plain() {
        for tagged in
            ["mcp-servers/a/b", "mcp-servers/a%2Fb/versions/1", "skills/a", "skills/@o/a/versions/1", "skills/tags"]
        {
            for place in ["/api", "/prefix/ajax-api"] {
                let raw = format!("{place}/3.0/mlflow/{tagged}/tags/k%2Fl%2Fm");
                let path = Path::parse(&raw).unwrap();
                assert_eq!(path.as_str(), raw.replace("%2F", "/"));
                assert_eq!(path.encoded(), path.as_str());
            }
        }
        for odd in [
            "api/3.0/mlflow/skills/a%2Fb",
            "api/3.0/mlflow/skills/a/tags%2Fk",
            "api/3.0/mlflow/skills/a/tags/%2Fk",
            "api/3.0/mlflow/skills/a/tags/k%2F%2Fl",
            "api/3.0/mlflow/skills/a/tags/k%2F..%2Fl",
            "api/3.0/mlflow/skills/a/tags/..%2Fl",
            "api/3.0/mlflow/skills/a/tags/k%252Fl",
            "api/3.0/mlflow/skills/tags/k%2Fl",
            "api/3.0/mlflow/skills/a/versions/1%2F2",
            "api/3.0/mlflow/mcp-servers/a/tags/k%2Fl",
            "api/3.0/mlflow/datasets/a/tags/k%2Fl",
            "api/2.0/mlflow/skills/a/tags/k%2Fl",
        ] {
            assert!(Path::parse(&format!("/{odd}")).is_err(), "{odd}");
        }
    }

    #[test]
    fn names_with_spaces_and_umlauts_pass_and_are_written_anew() {
        for (raw, decoded, encoded) in [
            ("/a/my%20model%20%28v1%29.txt", "/a/my model (v1).txt", "/a/my%20model%20(v1).txt"),
            ("/a/%C3%A4%c3%b6.csv", "/a/äö.csv", "/a/%C3%A4%C3%B6.csv"),
            ("/a/ä.csv", "/a/ä.csv", "/a/%C3%A4.csv"),
            ("/a/x=1,y+z@w:v!$&'*", "/a/x=1,y+z@w:v!$&'*", "/a/x=1,y+z@w:v!$&'*"),
            ("/a/%5B1%5D%7Bx%7D%22%3C%3E%5E%60%7C", "/a/[1]{x}\"<>^`|", "/a/%5B1%5D%7Bx%7D%22%3C%3E%5E%60%7C"),
        ] {
            let path = Path::parse(raw).unwrap();
            assert_eq!(path.as_str(), decoded);
            assert_eq!(path.encoded(), encoded);
        }
    }

    #[test]
    fn only_what_lies_below_the_static_prefix_has_a_place() {
        let place = |raw: &str, prefix: &str| Path::parse(raw).unwrap().below(prefix).place().map(str::to_owned);
        assert_eq!(place("/mlflow/api/2.0", "/mlflow").as_deref(), Some("api/2.0"));
        assert_eq!(place("/mlflow/", "/mlflow").as_deref(), Some(""));
        assert_eq!(place("/mlflow", "/mlflow"), None);
        assert_eq!(place("/mlflowx/api/2.0", "/mlflow"), None);
        assert_eq!(place("/", "/mlflow"), None);
        assert_eq!(place("/static-files/a.js", "/mlflow"), None);
        assert_eq!(place("/graphql", "/mlflow"), None);
        assert_eq!(place("/trackgate/login", "/mlflow").as_deref(), Some("trackgate/login"));
        assert_eq!(place("/api/2.0", "").as_deref(), Some("api/2.0"));
        assert_eq!(place("/", "").as_deref(), Some(""));
    }

    #[test]
    fn what_mlflow_keeps_at_the_root_is_judged_there_too() {
        let place = |raw: &str| Path::parse(raw).unwrap().below("/mlflow").place().map(str::to_owned);
        for call in ["api/2.0/mlflow-artifacts/artifacts/1/a", "ajax-api/3.0/jobs", "v1/traces", "gateway/x", "version"]
        {
            assert_eq!(place(&format!("/{call}")).as_deref(), Some(call));
            assert_eq!(place(&format!("/mlflow/{call}")).as_deref(), Some(call));
        }
    }

    #[test]
    fn artifact_paths_are_relative_and_plain() {
        for good in ["", "a", "a/b c/ä.txt", "a/b/"] {
            assert!(artifact(good).is_ok(), "{good:?}");
        }
        for bad in ["/a", "a//b", "./a", "../a", "a/..", "a%2e", "a\\b", "a#b", "a?b", "a;b", "/", "a//"] {
            assert!(artifact(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_files_name_is_the_last_segment_and_plain() {
        for good in ["a", "a b.bin", "/tmp/x/model.bin", "../a", "C:/x/ä"] {
            assert!(file_name(good).is_ok(), "{good:?}");
        }
        for bad in ["", "/", "a/", "a/..", ".", "a\\b", "x/a%2e", "a;b", "a\n"] {
            assert!(file_name(bad).is_err(), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn reading_never_panics_and_an_accepted_path_is_sent_on_as_itself(raw in "(/|%|\\.|[a-c]|%2e|%20|ä|\\PC){0,24}") {
            if let Ok(path) = Path::parse(&raw) {
                let again = Path::parse(&path.encoded()).unwrap();
                prop_assert_eq!(again.as_str(), path.as_str());
            }
        }
    }
}
