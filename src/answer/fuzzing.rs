//! Does a filtered answer hold nothing hidden?

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use futures_util::FutureExt as _;
use http::Response;

use super::hide::{Homes, hide};
use super::json::Value;
use super::list::{self, Asker, Way};
use super::narrow::sees_every;
use super::query::{Original, Query, ids, page_of};
use super::{AnswerFault, Settings, Shared, testing, whole};
use crate::access::decide::visible;
use crate::access::identity::Principal;
use crate::clock::Clock;
use crate::fuzzing::json::{Tree, Wins};
use crate::message::{Body, Door, Payload, Peer, Request};
use crate::mlflow::permission::Permission::{self, Deny, Read};
use crate::mlflow::resource::{Grantable, Home, Kind, Object, Resource};
use crate::policy::classify::rows;
use crate::policy::path::Path;
use crate::policy::route::{Answer, Cut, Link, List, Row, Verb};
use crate::seal::Seal;

/// Ids of which some are granted, some denied, the rest hidden. `home` tells where the first three lie.
const HEX: [&str; 4] = [
    "11111111111111111111111111111111",
    "22222222222222222222222222222222",
    "33333333333333333333333333333333",
    "44444444444444444444444444444444",
];

/// The rows whose answers are looked over.
static LOOKED_OVER: LazyLock<Vec<&'static Row>> =
    LazyLock::new(|| rows().filter(|row| matches!(row.answer, Answer::Keep(_) | Answer::Hide(_))).collect());

/// A row, grants, a request and what MLflow answers to it (pages are told apart by a zero byte): what leaves is JSON
/// and holds nothing that a single read would refuse.
pub fn answers(data: &[u8]) {
    let mut bytes = crate::fuzzing::Bytes::new(data);
    let row: &'static Row = bytes.one_of::<&Row>(&LOOKED_OVER, |row, name| crate::fuzzing::is_called(row, name));
    let (kinds, choices) = (kinds(row), [bytes.byte(), bytes.byte(), bytes.byte(), bytes.byte()]);
    let grants: Vec<(Kind, String, Permission)> =
        kinds.iter().zip(choices).flat_map(|(kind, choice)| grants(*kind, choice)).collect();
    let grants: Vec<(Kind, &str, Permission)> =
        grants.iter().map(|(kind, id, permission)| (*kind, &**id, *permission)).collect();
    let principal = testing::ann(&grants);
    let rest = bytes.rest();
    match row.answer {
        Answer::Keep(list) => kept(row, &list, &principal, rest),
        Answer::Hide(links) => {
            // What is no JSON is refused before (`effect`).
            let Ok(text) = std::str::from_utf8(rest) else { return };
            if Value::parse(rest).is_err() {
                return;
            }
            let mut texts = [std::borrow::Cow::Borrowed(text)];
            let hidden = hide(&principal, links, &mut texts, &[], &Known).now_or_never();
            if hidden.is_some_and(|outcome| outcome.is_ok()) {
                nothing_hidden(&principal, links, texts[0].as_bytes());
            }
        }
        Answer::Stream
        | Answer::Confirm { .. }
        | Answer::GraphQl(_)
        | Answer::Ours(_)
        | Answer::OursUnless(..)
        | Answer::Offers(_)
        | Answer::Served
        | Answer::Shell => {}
    }
}

fn kept(row: &'static Row, list: &List, principal: &Principal, data: &[u8]) {
    let mut parts = data.split(|byte| *byte == 0);
    let asked = parts.next().unwrap_or_default();
    let Some(request) = request(row, asked) else { return };
    one_reading(row, &request);
    let Ok(seal) = Seal::ephemeral() else { return };
    let settings = Settings { list_budget: 4, list_answer: 1 << 20, ..Settings::default() };
    let shared = Shared::new(settings, seal, Clock::System);
    let pages = Pages(parts.map(<[u8]>::to_vec).collect(), std::cell::Cell::new(0));
    let answer = match list::way(&request, principal, row, list, &shared) {
        Ok(Way::Filtered(plan)) => {
            list::filtered(&request, principal, list, *plan, &shared, &pages, &Known).now_or_never()
        }
        Ok(Way::Untouched | Way::Empty) | Err(_) => return,
    };
    let Some(Ok(answer)) = answer else { return };
    let Some(Ok((_, body))) = whole::read(answer, usize::MAX).now_or_never() else { return };
    assert!(Value::parse(&body).is_ok(), "no JSON leaves: {:?}", String::from_utf8_lossy(&body));
    let (Some(first), Some(last)) = (Tree::read(&body, Wins::First), Tree::read(&body, Wins::Last)) else { return };
    for tree in [first, last] {
        for one in tree.get(list.member).map(Tree::elements).unwrap_or_default() {
            let Some(id) = one.all(list.id).first().and_then(|id| id.text()) else {
                panic!("a row without an id leaves: {one:?}");
            };
            let outer = Object { kind: list.kind, id: id.into() };
            let resource = match list.own {
                // This reader has lost its digits.
                Some(own) if own.id.iter().any(|at| one.all(at).contains(&&Tree::Huge)) => continue,
                Some(own) => {
                    let parts: Vec<String> =
                        own.id.iter().filter_map(|at| one.all(at).first().and_then(|id| id.text())).collect();
                    assert_eq!(parts.len(), own.id.len(), "a row without an id leaves: {one:?}");
                    Resource::inside(own.kind, parts.join("/").into(), outer)
                }
                None => Resource::top(outer.kind, outer.id),
            };
            assert!(visible(principal, &resource), "{resource:?} leaves");
            links_of(principal, list.links, one);
        }
    }
}

/// The list's own reading of the request and the reading that it was judged by are the same.
fn one_reading(row: &'static Row, request: &Original) {
    let Ok(query) = Query::read(request, row.name, "ann") else { return };
    let page = page_of(request, super::query::Changes::default());
    let Ok(page) = page else { panic!("{row:?} reads what it cannot write") };
    let again = Original::from(&page);
    assert_eq!(Query::read(&again, row.name, "ann"), Ok(query));
    assert_eq!(ids(&again, "experiment_ids"), ids(request, "experiment_ids"));
}

fn nothing_hidden(principal: &Principal, links: &[Link], body: &[u8]) {
    assert!(Value::parse(body).is_ok(), "no JSON leaves: {:?}", String::from_utf8_lossy(body));
    for wins in [Wins::First, Wins::Last] {
        if let Some(tree) = Tree::read(body, wins) {
            links_of(principal, links, &tree);
        }
    }
}

fn links_of(principal: &Principal, links: &[Link], tree: &Tree) {
    for link in links.iter().filter(|link| !sees_every(principal, link.kind)) {
        for found in tree.all(link.at) {
            let seen = match link.cut {
                // Nothing of this key may be left but what is a list of visible versions: `hide` tests that.
                Cut::Tag(_) | Cut::TagMember(_) => true,
                Cut::Member(name) => found.get(name).is_none_or(|id| leads_to_visible(principal, link.kind, id)),
                Cut::Pair(key) => {
                    let named = found.get("key").and_then(Tree::text).is_some_and(|own| own == key);
                    let id = found.get("value").filter(|_| named);
                    id.is_none_or(|id| leads_to_visible(principal, link.kind, id))
                }
                Cut::Within(experiment) => {
                    let text = |tree: Option<&Tree>| tree.and_then(Tree::text).unwrap_or_default().into();
                    let within = Object { kind: Kind::Experiment, id: text(tree.all(experiment).first().copied()) };
                    visible(principal, &Resource::inside(link.kind, text(found.get("assessment_id")), within))
                }
                Cut::Count => matches!(found, Tree::Null),
                Cut::Value | Cut::Along(_) | Cut::Element | Cut::Answer => {
                    leads_to_visible(principal, link.kind, found)
                }
                // Nothing is known to have any name here, so none may be left.
                Cut::NotUsable => found.text().is_none_or(|name| name.is_empty()),
            };
            assert!(seen, "{} leads to something hidden: {found:?}", link.at);
        }
    }
}

fn leads_to_visible(principal: &Principal, kind: Kind, found: &Tree) -> bool {
    if kind.home() == Home::Named(Kind::RegisteredModel) && kind == Kind::ModelVersion {
        let text = |name: &str| found.get(name).and_then(Tree::text).unwrap_or_default();
        let id = format!("{}/{}", text("name"), text("version"));
        let within = Object { kind: Kind::RegisteredModel, id: text("name").into() };
        return visible(principal, &Resource::inside(kind, id.into(), within));
    }
    let Some(id) = found.text().filter(|id| !id.is_empty()) else { return true };
    let id: Arc<str> = id.into();
    match kind.home() {
        Home::Workspace => visible(principal, &Resource::top(kind, id)),
        Home::Named(_) => Resource::named(kind, &id).is_some_and(|resource| visible(principal, &resource)),
        Home::Experiment => home(&id).is_some_and(|home| {
            let within = Object { kind: Kind::Experiment, id: home.into() };
            visible(principal, &Resource::inside(kind, id, within))
        }),
    }
}

/// The kinds that an answer of the row tells of.
fn kinds(row: &Row) -> Vec<Kind> {
    let mut kinds = Vec::new();
    let links: &[Link] = match &row.answer {
        Answer::Keep(list) => {
            kinds.push(list.kind);
            kinds.extend(list.own.map(|own| own.kind));
            list.links
        }
        Answer::Hide(links) => links,
        Answer::Stream
        | Answer::Confirm { .. }
        | Answer::GraphQl(_)
        | Answer::Ours(_)
        | Answer::OursUnless(..)
        | Answer::Offers(_)
        | Answer::Served
        | Answer::Shell => &[],
    };
    if links.iter().any(|link| link.kind.home() == Home::Experiment) {
        kinds.push(Kind::Experiment);
    }
    kinds.extend(links.iter().map(|link| link.kind));
    let mut seen = Vec::new();
    kinds.retain(|kind| {
        kind.grantable() != Grantable::No && !seen.contains(kind) && {
            seen.push(*kind);
            true
        }
    });
    kinds
}

/// What one byte grants of a kind.
fn grants(kind: Kind, choice: u8) -> Vec<(Kind, String, Permission)> {
    let id = |n: usize| match kind {
        Kind::Experiment => (n + 1).to_string(),
        Kind::LoggedModel => format!("m-{}", HEX[n]),
        Kind::Trace => format!("tr-{}", HEX[n]),
        Kind::RegisteredModel | Kind::Prompt => ["iris", "lily", "rose", "fern"][n].to_owned(),
        Kind::ModelVersion | Kind::PromptVersion => ["iris/1", "iris/2", "lily/1", "rose/1"][n].to_owned(),
        _ => HEX[n].to_owned(),
    };
    let mut grants: Vec<(Kind, String, Permission)> = Vec::new();
    for n in 0..3 {
        match choice >> (2 * n) & 3 {
            1 => grants.push((kind, id(n), Read)),
            2 => grants.push((kind, id(n), Deny)),
            _ => {}
        }
    }
    match choice >> 6 {
        1 => grants.push((kind, "*".to_owned(), Read)),
        2 => grants.push((kind, "*".to_owned(), Deny)),
        _ => {}
    }
    grants
}

fn home(id: &str) -> Option<&'static str> {
    match id.trim_start_matches("m-").trim_start_matches("tr-") {
        id if id == HEX[0] => Some("1"),
        id if id == HEX[1] => Some("2"),
        id if id == HEX[2] => Some("3"),
        _ => None,
    }
}

/// Knows where the first three of each kind lie.
struct Known;

impl Homes for Known {
    async fn experiments_of(&self, ids: Vec<(Kind, Arc<str>)>, _: &[Arc<str>]) -> HashMap<(Kind, Arc<str>), Arc<str>> {
        ids.into_iter().filter_map(|key| home(&key.1).map(|home| (key, Arc::from(home)))).collect()
    }
}

/// Answers with one page after another, then with nothing.
struct Pages(Vec<Vec<u8>>, std::cell::Cell<usize>);

impl Asker for Pages {
    async fn ask(&self, _: Request) -> Result<Response<Body>, AnswerFault> {
        let page = self.0.get(self.1.replace(self.1.get() + 1)).cloned();
        Ok(Response::new(Body::from(page.unwrap_or_else(|| b"{}".to_vec()))))
    }

    async fn version(&self) -> Option<String> {
        Some("3.17.2".to_owned())
    }
}

/// A request of the row, whose query or body is these bytes.
fn request(row: &Row, asked: &[u8]) -> Option<Original> {
    let path = Path::parse("/api/2.0/mlflow/list").ok()?;
    let (query, payload) = match row.verb {
        Verb::Get => (Some(std::str::from_utf8(asked).ok()?.to_owned()), Payload::Stream(Body::Empty)),
        Verb::Post | Verb::Put | Verb::Patch | Verb::Delete => (None, Payload::Judged(Bytes::copy_from_slice(asked))),
    };
    Some(Original::from(&Request {
        workspace: None,
        id: "fuzz".into(),
        verb: row.verb,
        head_only: false,
        looked_over: false,
        path,
        query,
        headers: http::HeaderMap::new(),
        payload,
        peer: Peer { address: [127, 0, 0, 1].into(), trusted_front: false, secure: true, door: Door::Https },
    }))
}
