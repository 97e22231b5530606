//! Does the table speak of exactly the routes that an MLflow server has?
//!
//! Routes come as CSV, `method,path,handler,app`, as `tests/fixtures/capture.py` prints them from the application objects
//! of an installed MLflow. A new version is supported when this finds nothing.

use std::collections::HashSet;

use super::classify::{Classified, classify, rows};
use super::path::Path;
use super::route::{Prefixes, Row, Verb};

/// A difference between the table and a server.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Difference {
    /// A line that is no route.
    #[error("line {line} is no route: `{text}`")]
    Unreadable {
        /// Which line, from 1.
        line: usize,
        /// What it says.
        text: String,
    },
    /// The server has a route that no row speaks of. It is refused, so nothing is open; but it ought to be known.
    #[error("{method} {path} has no row")]
    NoRow {
        /// Its method.
        method: String,
        /// Its path, as the server registers it.
        path: String,
    },
    /// The row that would judge the route is another one's: the route hides behind a capture.
    #[error("{method} {path} would be judged by the row of `{row}`")]
    OtherRow {
        /// The route's method.
        method: String,
        /// The route's path.
        path: String,
        /// The row's path.
        row: &'static str,
    },
    /// A row that no route of the given servers needs.
    #[error("the row {verb} {path} speaks of no route")]
    Dead {
        /// The row's method.
        verb: Verb,
        /// The row's path.
        path: &'static str,
    },
}

/// Compares the table with the routes of some servers, each as CSV. Rows of our own are left out.
#[must_use]
pub fn compare(servers: &[&str]) -> Vec<Difference> {
    let mut differences = Vec::new();
    let mut used: HashSet<(Verb, &'static str, &'static str)> = HashSet::new();
    for csv in servers {
        for (index, text) in
            csv.lines().enumerate().filter(|(_, text)| !text.is_empty() && !text.starts_with("method,"))
        {
            let mut cells = text.split(',');
            let (Some(method), Some(path)) = (cells.next(), cells.next().filter(|path| path.starts_with('/'))) else {
                differences.push(Difference::Unreadable { line: index + 1, text: text.to_owned() });
                continue;
            };
            match judge(method, path) {
                Ok((row, prefix)) => {
                    used.insert((row.verb, row.path, prefix));
                }
                Err(difference) => differences.push(difference),
            }
        }
    }
    for row in rows().filter(|row| !row.is_local() && !row.guard) {
        let prefixes: &[&'static str] = match row.prefixes {
            Prefixes::Both => &["api/", "ajax-api/"],
            Prefixes::Api => &["api/"],
            Prefixes::Ajax => &["ajax-api/"],
            Prefixes::None => &[""],
        };
        if !prefixes.iter().all(|prefix| used.contains(&(row.verb, row.path, *prefix))) {
            differences.push(Difference::Dead { verb: row.verb, path: row.path });
        }
    }
    differences
}

/// The row that judges a route, whose captures may be written as either framework does.
///
/// # Errors
/// [`Difference::NoRow`], or [`Difference::OtherRow`] where the route hides behind another's capture.
pub fn row_of(method: &str, path: &str) -> Result<&'static Row, Difference> {
    judge(method, path).map(|(row, _)| row)
}

fn judge(method: &str, path: &str) -> Result<(&'static Row, &'static str), Difference> {
    let no_row = || Difference::NoRow { method: method.to_owned(), path: path.to_owned() };
    let verb = http::Method::from_bytes(method.as_bytes()).ok().and_then(|method| Verb::of(&method));
    let verb = verb.ok_or_else(no_row)?;
    let mut other = None;
    for narrower in narrower(path) {
        let Ok(sample) = Path::parse(&sample(&narrower)) else { continue };
        let Classified::Call(call) = classify(verb, &sample) else { continue };
        let place = narrower.trim_start_matches('/');
        let (prefix, inner) = match place.split_once('/') {
            Some(("api", inner)) => ("api/", inner),
            Some(("ajax-api", inner)) => ("ajax-api/", inner),
            _ => ("", place),
        };
        // A closed family may stand in one row; a row that lets anything pass speaks of one route alone.
        if call.row.closed().is_some() || shape(inner) == shape(call.row.path) {
            return Ok((call.row, prefix));
        }
        other.get_or_insert(call.row.path);
    }
    Err(match other {
        Some(row) => Difference::OtherRow { method: method.to_owned(), path: path.to_owned(), row },
        None => no_row(),
    })
}

/// The route, and what is left of it where a row takes one or two segments for a capture of any number of them. What
/// such a row does not take has no row, and is refused.
fn narrower(path: &str) -> Vec<String> {
    let mut all = vec![String::new()];
    for segment in path.trim_start_matches('/').split('/') {
        let name = segment.strip_prefix('{').and_then(|name| name.strip_suffix(":path}"));
        let choices = match name {
            None => vec![segment.to_owned()],
            Some(name) => vec![segment.to_owned(), format!("{{{name}}}"), format!("{{{name}1}}/{{{name}2}}")],
        };
        all = all.iter().flat_map(|begun| choices.iter().map(move |choice| format!("{begun}/{choice}"))).collect();
    }
    all
}

/// A path that the route would serve: `<x>`, `{x}` become one segment, `<path:x>`, `{x:path}` two.
fn sample(path: &str) -> String {
    replace(path, |name, rest| if rest { format!("{name}1/{name}2") } else { format!("{name}1") })
}

/// The route without the names of its captures.
fn shape(path: &str) -> String {
    replace(path, |_, rest| if rest { "{*}".to_owned() } else { "{}".to_owned() })
}

fn replace(path: &str, with: impl Fn(&str, bool) -> String) -> String {
    let mut written = String::new();
    let mut rest = path;
    while let Some(open) = rest.find(['<', '{']) {
        let Some(close) = rest[open..].find(['>', '}']) else { break };
        let inner = &rest[open + 1..open + close];
        let name =
            inner.strip_prefix("path:").or_else(|| inner.strip_suffix(":path")).or_else(|| inner.strip_prefix('*'));
        written.push_str(&rest[..open]);
        written.push_str(&with(name.unwrap_or(inner), name.is_some()));
        rest = &rest[open + close + 1..];
    }
    written.push_str(rest);
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_without_a_row_is_found() {
        let found = |csv: &str| {
            let mut differences = compare(&[csv]);
            differences.retain(|difference| !matches!(difference, Difference::Dead { .. }));
            differences
        };
        assert_eq!(found("method,path,handler,app\nGET,/version,x,flask\n"), []);
        assert!(matches!(&*found("GET,/api/2.0/mlflow/brand-new,x,flask"), [Difference::NoRow { .. }]));
        assert!(matches!(&*found("WEBSOCKET,/version,x,flask"), [Difference::NoRow { .. }]));
        assert!(matches!(&*found("nonsense"), [Difference::Unreadable { line: 1, .. }]));
    }

    #[test]
    fn a_route_that_hides_behind_a_capture_is_found() {
        let differences = compare(&["GET,/api/2.0/mlflow/logged-models/export,x,flask"]);
        assert!(matches!(differences[0], Difference::OtherRow { row: "2.0/mlflow/logged-models/{model_id}", .. }));
    }

    #[test]
    fn a_row_may_take_less_than_a_capture_of_any_length() {
        assert_eq!(narrower("/a/{x:path}/b"), ["/a/{x:path}/b", "/a/{x}/b", "/a/{x1}/{x2}/b"]);
        assert_eq!(narrower("/a/{x:path}/{y:path}").len(), 9);
        assert_eq!(narrower("/a/<path:x>"), ["/a/<path:x>"]);
    }

    #[test]
    fn captures_of_both_frameworks_are_read() {
        assert_eq!(shape("a/<path:x>/b/{y}:z/{w:path}"), "a/{*}/b/{}:z/{*}");
        assert_eq!(sample("/a/<x>/{*y}"), "/a/x1/y1/y2");
    }
}
