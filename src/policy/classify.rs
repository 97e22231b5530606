//! Which row does a method and a path belong to?
//!
//! One index over all rows, built at first use: whole paths by hash, the others segment by segment. What has no row is
//! unknown; a known path with another method is told apart for the audit log alone.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use super::fields::Plan;
use super::local::LOCAL;
use super::path::Path;
use super::route::{Prefixes, Row, Scope, Verb};
use super::table::MLFLOW;

/// A request that has a row.
#[derive(Clone)]
pub struct Call {
    /// The row.
    pub row: &'static Row,
    pub(super) plan: &'static Plan,
    captures: Captures,
}

/// What a method and a path turn out to be.
#[derive(Debug, Clone)]
pub enum Classified {
    /// A row speaks of it.
    Call(Call),
    /// The path has rows, none of this method.
    WrongMethod,
    /// Nothing speaks of it.
    Unknown,
}

impl Classified {
    /// The same, where calls about workspaces do not exist unless there are workspaces.
    #[must_use]
    pub fn known(self, workspaces: bool) -> Self {
        match self {
            Self::Call(call) if call.row.scope == Scope::Workspaces && !workspaces => Self::Unknown,
            other => other,
        }
    }
}

/// The most captures that a row may have.
const MOST_CAPTURES: usize = 4;

/// What stood in the braces of a row's path.
#[derive(Clone, Default)]
struct Captures {
    text: Option<Arc<str>>,
    spans: [(&'static str, u32, u32); MOST_CAPTURES],
    count: usize,
}

impl Call {
    /// What stands at `{name}` (or `{*name}`) of the row's path, decoded.
    #[must_use]
    pub fn capture(&self, name: &str) -> Option<&str> {
        let text = self.captures.text.as_deref()?;
        self.captures.spans[..self.captures.count]
            .iter()
            .find(|(own, _, _)| *own == name)
            .and_then(|(_, from, to)| text.get(*from as usize..*to as usize))
    }

    /// Whether the body must be read whole: the row names a field of it, or the answer step may write it anew.
    #[must_use]
    pub fn wants_body(&self) -> bool {
        self.plan.wants_body
    }

    /// Whether the endpoint is our own.
    #[must_use]
    pub fn is_local(&self) -> bool {
        self.row.is_local()
    }
}

impl std::fmt::Debug for Call {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Call({} {})", self.row.verb, self.row.path)
    }
}

/// Every row: MLflow's, then ours.
pub fn rows() -> impl Iterator<Item = &'static Row> {
    MLFLOW.iter().copied().flatten().chain(LOCAL)
}

/// Finds the row for a method and a path. HEAD is GET by now ([`Verb::of`]).
#[must_use]
pub fn classify(verb: Verb, path: &Path) -> Classified {
    static INDEX: LazyLock<Index> = LazyLock::new(Index::build);
    match path.place() {
        Some(place) => INDEX.find(verb, path, place),
        None => Classified::Unknown,
    }
}

/// The rows of one path.
#[derive(Default)]
struct Leaf(Vec<(&'static Row, &'static Plan)>);

#[derive(Default)]
struct Node {
    rows: Leaf,
    rest: Option<(&'static str, Leaf)>,
    next: HashMap<&'static str, Node>,
    /// Segments of which a part is a capture: what stands before it, what behind.
    partly: Vec<(&'static str, &'static str, Node)>,
    any: Option<(&'static str, Box<Node>)>,
}

/// Every row with the way its fields are read.
static PLANS: LazyLock<Vec<(&'static Row, Plan)>> = LazyLock::new(|| rows().map(|row| (row, Plan::of(row))).collect());

#[derive(Default)]
struct Index {
    whole: HashMap<&'static str, Leaf>,
    tree: Node,
}

impl Index {
    fn build() -> Self {
        let mut index = Self::default();
        for (row, plan) in PLANS.iter() {
            if !row.path.contains('{') {
                index.whole.entry(row.path).or_default().0.push((row, plan));
                continue;
            }
            let mut node = &mut index.tree;
            let mut rest = None;
            for segment in row.path.split('/') {
                if let Some(name) = segment.strip_prefix("{*").and_then(|name| name.strip_suffix('}')) {
                    rest = Some(name);
                } else if let Some((before, name, behind)) = parted(segment) {
                    // The names of one place may differ between rows; the row's own are read from its path.
                    if before.is_empty() && behind.is_empty() {
                        node = &mut node.any.get_or_insert_with(|| (name, Box::default())).1;
                    } else {
                        node = node.partly(before, behind);
                    }
                } else {
                    node = node.next.entry(segment).or_default();
                }
            }
            match rest {
                Some(name) => node.rest.get_or_insert_with(|| (name, Leaf::default())).1.0.push((row, plan)),
                None => node.rows.0.push((row, plan)),
            }
        }
        index
    }

    fn find(&self, verb: Verb, path: &Path, place: &str) -> Classified {
        let offset = path.as_str().len() - place.len();
        for (prefix, inner) in [
            (Spot::Api, place.strip_prefix("api/")),
            (Spot::Ajax, place.strip_prefix("ajax-api/")),
            (Spot::Root, Some(place)),
        ] {
            let Some(inner) = inner else { continue };
            let mut known = false;
            if let Some(leaf) = self.whole.get(inner) {
                match leaf.pick(verb, prefix) {
                    Pick::Row(row, plan) => {
                        return Classified::Call(Call { row, plan, captures: Captures::default() });
                    }
                    Pick::OtherMethod => known = true,
                    Pick::None => {}
                }
            }
            let mut spans = Spans { list: [(0, 0); MOST_CAPTURES], count: 0 };
            let start = offset + (place.len() - inner.len());
            match self.tree.walk(verb, prefix, inner, start, &mut spans) {
                Pick::Row(row, plan) => {
                    return Classified::Call(Call { row, plan, captures: spans.named(row, path) });
                }
                Pick::OtherMethod => known = true,
                Pick::None => {}
            }
            if known {
                return Classified::WrongMethod;
            }
        }
        Classified::Unknown
    }
}

/// Where a path was found.
#[derive(Clone, Copy)]
enum Spot {
    Api,
    Ajax,
    Root,
}

impl Prefixes {
    fn allow(self, spot: Spot) -> bool {
        match (self, spot) {
            (Self::Both, Spot::Api | Spot::Ajax)
            | (Self::Api, Spot::Api)
            | (Self::Ajax, Spot::Ajax)
            | (Self::None, Spot::Root) => true,
            (Self::Both, Spot::Root)
            | (Self::Api, Spot::Ajax | Spot::Root)
            | (Self::Ajax, Spot::Api | Spot::Root)
            | (Self::None, Spot::Api | Spot::Ajax) => false,
        }
    }
}

enum Pick {
    Row(&'static Row, &'static Plan),
    OtherMethod,
    None,
}

impl Leaf {
    fn pick(&self, verb: Verb, spot: Spot) -> Pick {
        let mut other = false;
        for (row, plan) in &self.0 {
            if row.prefixes.allow(spot) {
                if row.verb == verb {
                    return Pick::Row(row, plan);
                }
                other = true;
            }
        }
        if other { Pick::OtherMethod } else { Pick::None }
    }
}

struct Spans {
    list: [(usize, usize); MOST_CAPTURES],
    count: usize,
}

impl Spans {
    fn push(&mut self, from: usize, to: usize) {
        if let Some(slot) = self.list.get_mut(self.count) {
            *slot = (from, to);
            self.count += 1;
        }
    }

    fn named(&self, row: &'static Row, path: &Path) -> Captures {
        let mut captures = Captures { text: Some(Arc::clone(path.shared())), ..Captures::default() };
        let names = row.path.split('/').filter_map(capture_name);
        for (name, (from, to)) in names.zip(&self.list[..self.count]) {
            // A path is at most a URL long (16 KiB by default), so the spans fit.
            let span = (u32::try_from(*from), u32::try_from(*to));
            if let (Ok(from), Ok(to)) = span {
                captures.spans[captures.count] = (name, from, to);
                captures.count += 1;
            }
        }
        captures
    }
}

/// The name in the braces of a segment, if it has one.
pub(super) fn capture_name(segment: &str) -> Option<&str> {
    let (_, inner, _) = parted(segment)?;
    Some(inner.strip_prefix('*').unwrap_or(inner))
}

/// What stands before the braces of a segment, in them, and behind.
fn parted(segment: &str) -> Option<(&str, &str, &str)> {
    let (before, rest) = segment.split_once('{')?;
    let (inner, behind) = rest.split_once('}')?;
    Some((before, inner, behind))
}

impl Node {
    fn partly(&mut self, before: &'static str, behind: &'static str) -> &mut Self {
        let known = self.partly.iter().position(|(own, other, _)| (*own, *other) == (before, behind));
        let index = known.unwrap_or_else(|| {
            self.partly.push((before, behind, Self::default()));
            self.partly.len() - 1
        });
        &mut self.partly[index].2
    }

    /// The way on from here, where `rest` began with `segment`.
    fn walk_behind(&self, segment: &str, verb: Verb, spot: Spot, rest: &str, at: usize, spans: &mut Spans) -> Pick {
        match rest.get(segment.len() + 1..) {
            Some(after) => self.walk(verb, spot, after, at + segment.len() + 1, spans),
            None => self.rows.pick(verb, spot),
        }
    }

    /// Literal segments before captures, captures of a part before whole ones, captures before rests, as MLflow's
    /// routers do.
    fn walk(&self, verb: Verb, spot: Spot, rest: &str, at: usize, spans: &mut Spans) -> Pick {
        let segment = rest.split('/').next().unwrap_or_default();
        let mut other = false;
        let mut settle = |pick: Pick| match pick {
            Pick::Row(row, plan) => Some(Pick::Row(row, plan)),
            Pick::OtherMethod => {
                other = true;
                None
            }
            Pick::None => None,
        };
        if let Some(node) = self.next.get(segment)
            && let Some(found) = settle(node.walk_behind(segment, verb, spot, rest, at, spans))
        {
            return found;
        }
        for (before, behind, node) in &self.partly {
            let Some(inner) = segment.strip_prefix(before).and_then(|rest| rest.strip_suffix(behind)) else { continue };
            if inner.is_empty() {
                continue;
            }
            let mark = spans.count;
            spans.push(at + before.len(), at + before.len() + inner.len());
            if let Some(found) = settle(node.walk_behind(segment, verb, spot, rest, at, spans)) {
                return found;
            }
            spans.count = mark;
        }
        if let (Some((_, node)), false) = (&self.any, segment.is_empty()) {
            let mark = spans.count;
            spans.push(at, at + segment.len());
            if let Some(found) = settle(node.walk_behind(segment, verb, spot, rest, at, spans)) {
                return found;
            }
            spans.count = mark;
        }
        if let (Some((_, leaf)), false) = (&self.rest, rest.is_empty() || rest.ends_with('/')) {
            let mark = spans.count;
            spans.push(at, at + rest.len());
            if let Some(found) = settle(leaf.pick(verb, spot)) {
                return found;
            }
            spans.count = mark;
        }
        if other { Pick::OtherMethod } else { Pick::None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(verb: Verb, raw: &str) -> Classified {
        classify(verb, &Path::parse(raw).unwrap())
    }

    fn name(verb: Verb, raw: &str) -> &'static str {
        match found(verb, raw) {
            Classified::Call(call) => call.row.name,
            Classified::WrongMethod => "wrong method",
            Classified::Unknown => "unknown",
        }
    }

    #[test]
    fn both_prefixes_lead_to_one_row_where_mlflow_has_both() {
        assert_eq!(name(Verb::Get, "/api/2.0/mlflow/runs/get"), "GetRun");
        assert_eq!(name(Verb::Get, "/ajax-api/2.0/mlflow/runs/get"), "GetRun");
        assert_eq!(name(Verb::Post, "/ajax-api/2.0/mlflow/upload-artifact"), "UploadRunArtifact");
        assert_eq!(name(Verb::Post, "/api/2.0/mlflow/upload-artifact"), "unknown");
        assert_eq!(name(Verb::Get, "/"), "Serve");
        assert_eq!(name(Verb::Get, "/get-artifact"), "GetArtifact");
        assert_eq!(name(Verb::Get, "/api/get-artifact"), "unknown");
        assert_eq!(name(Verb::Get, "/2.0/mlflow/runs/get"), "unknown");
    }

    #[test]
    fn what_is_nearly_a_route_is_unknown() {
        for raw in [
            "/api/2.0/mlflow/runs/get/",
            "/api/2.0/mlflow/Runs/get",
            "/API/2.0/mlflow/runs/get",
            "/api/2.0/mlflow/runs",
            "/api/2.0/mlflow/runs/get/x",
            "/api",
            "/api/",
            "/static-files",
            "/static-files/",
            "/trackgate",
            "/trackgate/login/a/b",
            "/api/api/2.0/mlflow/runs/get",
            "/api/2.0/mlflow-artifacts/artifacts/",
            "/api/2.0/mlflow-artifacts/artifacts/1/",
            "/api/2.0/mlflow/logged-models/",
        ] {
            assert_eq!(name(Verb::Get, raw), "unknown", "{raw}");
        }
        assert_eq!(name(Verb::Delete, "/api/2.0/mlflow/runs/get"), "wrong method");
        assert_eq!(name(Verb::Put, "/api/2.0/mlflow/logged-models/m-1"), "wrong method");
    }

    #[test]
    fn literal_segments_come_before_captures() {
        assert_eq!(name(Verb::Get, "/api/3.0/mlflow/traces/batchGet"), "BatchGetTraces");
        assert_eq!(name(Verb::Get, "/api/3.0/mlflow/traces/tr-1"), "GetTraceInfoV3");
        assert_eq!(name(Verb::Post, "/api/2.0/mlflow/logged-models/search"), "SearchLoggedModels");
        assert_eq!(name(Verb::Get, "/api/2.0/mlflow/logged-models/search"), "GetLoggedModel");
    }

    #[test]
    fn captures_are_decoded_and_named_by_the_row() {
        let Classified::Call(call) = found(Verb::Get, "/api/2.0/mlflow-artifacts/artifacts/1/a%20b/%C3%A4") else {
            panic!()
        };
        assert_eq!(call.capture("artifact_path"), Some("1/a b/ä"));
        assert_eq!(call.capture("path"), None);
        let path = "/ajax-api/2.0/mlflow/logged-models/m-1/tags/k";
        let Classified::Call(call) = found(Verb::Delete, path) else { panic!() };
        assert_eq!((call.capture("model_id"), call.capture("tag_key")), (Some("m-1"), Some("k")));
        let prefixed = Path::parse("/ml/api/2.0/mlflow/logged-models/m-1").unwrap().below("/ml");
        let Classified::Call(call) = classify(Verb::Get, &prefixed) else { panic!() };
        assert_eq!(call.capture("model_id"), Some("m-1"));
    }

    #[test]
    fn a_part_of_a_segment_can_be_a_capture() {
        let Classified::Call(call) = found(Verb::Post, "/gateway/gemini/v1beta/models/flash-2.0:generateContent")
        else {
            panic!()
        };
        assert_eq!(call.row.name, "GeminiPassthroughGenerateContent");
        assert_eq!(call.capture("endpoint_name"), Some("flash-2.0"));
        let streamed = "/gateway/gemini/v1beta/models/flash:streamGenerateContent";
        assert_eq!(name(Verb::Post, streamed), "GeminiPassthroughStreamGenerateContent");
        for raw in ["x", ":generateContent", "x:countTokens", "x:generateContent/y", "xgenerateContent"] {
            assert_eq!(name(Verb::Post, &format!("/gateway/gemini/v1beta/models/{raw}")), "unknown", "{raw}");
        }
    }

    #[test]
    fn our_own_rows_do_not_move_with_the_static_prefix() {
        let below = |raw: &str| classify(Verb::Get, &Path::parse(raw).unwrap().below("/ml"));
        assert!(matches!(below("/trackgate/livez"), Classified::Call(call) if call.is_local()));
        assert!(matches!(below("/ml/trackgate/livez"), Classified::Unknown));
        assert!(matches!(below("/api/2.0/mlflow/runs/get"), Classified::Call(call) if call.row.name == "GetRun"));
        assert!(matches!(below("/"), Classified::Unknown));
        assert!(matches!(below("/ml/"), Classified::Call(call) if call.row.name == "Serve"));
    }
}
