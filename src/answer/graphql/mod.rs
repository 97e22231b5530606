//! What does a caller get of a GraphQL document?
//!
//! Who sees everything is answered by MLflow itself. For others the document is written anew
//! ([`crate::mlflow::graphql::Document`]): searches are narrowed to what may hold something visible, every object is
//! asked to tell which one it is, and the answer is a projection of what comes back ([`write`]). A list that pages is
//! asked for by itself and filled like any other ([`super::page`]); all the rest goes in one request.

mod write;

use std::sync::Arc;

use bytes::Bytes;
use http::Response;
use http::response::Parts;

use self::write::{Paged, Projector, empty, null_or};
use super::filter::{BadAnswer, text_at};
use super::held::Share;
use super::hide::Homes;
use super::json::{Value, write_string};
use super::list::Asker;
use super::named::named;
use super::narrow::{self, Sight, can_follow, sees_every, sight};
use super::page::{Bounds, Filler, Position};
use super::query::{BadQuery, Original, with_body};
use super::token::{self, View, mark};
use super::{AnswerFault, Shared, selects, whole};
use crate::access::identity::Principal;
use crate::message::Body;
use crate::mlflow::graphql::{Document, Json, Root};
use crate::mlflow::ids::ExperimentId;
use crate::mlflow::resource::Kind;
use crate::policy::fields::read_document;
use crate::policy::route::{Graph, List};

/// Whether nothing that GraphQL tells of can be hidden from the principal.
pub(super) fn sees_all(principal: &Principal) -> bool {
    const TOLD: [Kind; 7] = [
        Kind::Experiment,
        Kind::Run,
        Kind::LoggedModel,
        Kind::RegisteredModel,
        Kind::ModelVersion,
        Kind::Prompt,
        Kind::PromptVersion,
    ];
    TOLD.into_iter().all(|kind| sees_every(principal, kind))
}

/// Answers a document as far as the principal may see what it asks for.
///
/// # Errors
/// [`AnswerFault`]; then nothing of any answer is passed on.
pub(super) async fn answer(
    request: &Original,
    principal: &Principal,
    graph: &Graph,
    shared: &Shared,
    asker: &impl Asker,
    homes: &impl Homes,
) -> Result<Response<Body>, AnswerFault> {
    let body = request.body().ok_or(BadQuery::BodyNotRead)?;
    // It was understood before it was judged.
    let document = read_document(body).map_err(|_| BadQuery::BodyNotRead)?;
    let ids = document.roots.iter().filter_map(Root::searches).flatten().map(Arc::from).collect::<Vec<_>>();
    let principal = &*named(principal, ids, homes).await?;
    let lists = document.roots.iter().filter(|root| root.operation.rows.is_some()).count();
    let asking = Asking { request, document: &document, principal, graph, shared, asker, lists };
    let mut told = Told::default();
    let mut at_once = Vec::new();
    for (index, root) in document.roots.iter().enumerate() {
        let Some(input) = asking.narrowed(root)? else {
            told.parts.push((index, Part::Nothing));
            continue;
        };
        match root.operation.rows {
            None => at_once.push((index, root, input)),
            Some(_) if asking.by_hidden(root, homes).await => told.parts.push((index, Part::Nothing)),
            Some(rows) => match asking.list(root, rows, input, &mut told).await? {
                Ok(list) => told.parts.push((index, Part::List(list))),
                Err(refusal) => return Ok(refusal),
            },
        }
    }
    if !at_once.is_empty() {
        let roots: Vec<(&Root, &Json)> = at_once.iter().map(|(_, root, input)| (*root, input)).collect();
        let answer = match asking.ask(&document.body(&roots), &mut told).await? {
            Ok(answer) => answer,
            Err(refusal) => return Ok(refusal),
        };
        let data = data(&answer)?;
        for (index, root, _) in at_once {
            let part = data.map(|data| data.get(&root.key)).transpose().map_err(BadAnswer::from)?.flatten();
            told.parts.push((index, Part::Plain(part.map_or("null", Value::raw).to_owned())));
        }
    }
    asking.finish(told, homes).await
}

/// What came back.
#[derive(Default)]
struct Told {
    /// What was read in all is counted until the answer has left.
    share: Option<Share>,
    bytes: usize,
    head: Option<Parts>,
    /// Its errors, as JSON.
    errors: Vec<String>,
    parts: Vec<(usize, Part)>,
}

/// What is told of one root.
enum Part {
    /// MLflow was not asked: nothing there could be seen.
    Nothing,
    /// As MLflow wrote it.
    Plain(String),
    List(Paged),
}

struct Asking<'a, A> {
    request: &'a Original,
    document: &'a Document,
    principal: &'a Principal,
    graph: &'a Graph,
    shared: &'a Shared,
    asker: &'a A,
    /// How many lists share the budget of calls.
    lists: usize,
}

impl<A: Asker> Asking<'_, A> {
    /// The root's argument with those experiments alone in which something may be visible; `None` if there are none.
    fn narrowed(&self, root: &Root) -> Result<Option<Json>, AnswerFault> {
        let Some(ids) = root.searches() else {
            let hidden = root.operation.rows.is_some() && sight(self.principal, &self.graph.versions) == Sight::Nothing;
            return Ok((!hidden).then(|| root.input.clone()));
        };
        if ids.iter().any(|id| ExperimentId::parse(id).is_err()) {
            return Err(AnswerFault::BadIds("experimentIds"));
        }
        let ids: Vec<Arc<str>> = ids.into_iter().map(Arc::from).collect();
        // Where no run is listed, a grant on a run shows nothing.
        let list = List { own: self.graph.runs.own.filter(|_| root.operation.rows.is_some()), ..self.graph.runs };
        let left: Vec<&str> = narrow::cut(self.principal, &list, list.kind, &ids).into_iter().map(|id| &**id).collect();
        Ok((!left.is_empty()).then(|| root.searching(&left)))
    }

    /// Whether the root's filter asks by something hidden.
    async fn by_hidden(&self, root: &Root, homes: &impl Homes) -> bool {
        let filter = root.input.text("filter").ok().flatten().unwrap_or_default();
        selects::by_hidden(self.principal, self.list_of(root), &filter, homes).await
    }

    fn list_of(&self, root: &Root) -> &List {
        if root.searches().is_some() { &self.graph.runs } else { &self.graph.versions }
    }

    /// One answer, its data and errors; `Err` holds an answer other than success, for the caller.
    async fn ask(&self, body: &str, told: &mut Told) -> Result<Result<Bytes, Response<Body>>, AnswerFault> {
        let answer = self.asker.ask(with_body(self.request, Bytes::copy_from_slice(body.as_bytes()))).await?;
        if !answer.status().is_success() {
            return Ok(Err(answer));
        }
        let mut share = self.shared.held.share();
        let (head, body) = whole::read_counted(answer, self.shared.settings.list_answer, &mut share).await?;
        told.bytes = told.bytes.saturating_add(body.len());
        told.share.get_or_insert_with(|| self.shared.held.share()).hold(told.bytes)?;
        let value = Value::parse(&body).map_err(BadAnswer::from)?;
        if let Some(errors) = value.get("errors").map_err(BadAnswer::from)?.and_then(Value::elements) {
            told.errors.extend(errors.map(|error| error.raw().to_owned()));
        }
        told.head.get_or_insert(head);
        Ok(Ok(body))
    }

    /// One page of a list.
    async fn list(
        &self,
        root: &Root,
        rows: &'static str,
        input: Json,
        told: &mut Told,
    ) -> Result<Result<Paged, Response<Body>>, AnswerFault> {
        let list = self.list_of(root);
        let paging = list.paged.ok_or(AnswerFault::BadRows)?;
        let most = match input.member("maxResults") {
            None | Some(Json::Null) => Some(paging.default),
            Some(Json::Number(number)) => number.as_u64().and_then(|rows| u32::try_from(rows).ok()),
            Some(Json::Text(text)) => text.parse().ok(),
            Some(Json::Truth(_) | Json::List(_) | Json::Object(_)) => None,
        };
        let most = most.filter(|rows| (1..=paging.most).contains(rows)).ok_or(AnswerFault::BadRows)?;
        let text = |name| input.text(name).map_err(|_| AnswerFault::Query(BadQuery::WrongType(name)));
        let page = text("pageToken")?.filter(|page| !page.is_empty());
        let filter = text("filter")?.unwrap_or_default();
        let asked = root.input.clone().with("pageToken", None).with("maxResults", None).to_string();
        let caller = self.principal.identity.user.as_str();
        let query = mark(["GraphQL", root.operation.name, caller, self.request.workspace(), &asked]);
        let from = match page {
            None => None,
            Some(page) => Some(token::open(&self.shared.seal, &query, &page).ok_or(AnswerFault::BadToken)?),
        };
        let clause = match (sight(self.principal, list), paging.narrow_by) {
            (Sight::These(these), Some(attribute)) if root.searches().is_none() && can_follow(&filter) => {
                narrow::filter(attribute, &these, &filter)
            }
            _ => None,
        };
        let clause = match clause {
            Some(clause) if self.shared.version.takes_lists_in_filters(|| self.asker.version()).await => Some(clause),
            _ => None,
        };
        let settings = &self.shared.settings;
        let budget = settings.list_budget / u32::try_from(self.lists).unwrap_or(u32::MAX);
        let fill = Fill { root, rows, query, from, size: (most, paging.most), calls: budget.max(1), list };
        if let Some(clause) = clause {
            let view = View::Narrowed(mark([&*clause]));
            let narrowed = input.clone().with("filter", Some(Json::Text(clause)));
            let mut tried = Told::default();
            let got = self.fill(&fill, view, narrowed, &mut tried).await?;
            // A server that takes no such filter answers with errors: then every row is judged.
            if tried.errors.is_empty() {
                told.head = told.head.take().or(tried.head);
                told.bytes = told.bytes.saturating_add(tried.bytes);
                told.share.get_or_insert_with(|| self.shared.held.share()).hold(told.bytes)?;
                return Ok(got);
            }
        }
        let view = match root.searches() {
            Some(_) => View::Narrowed(mark([&*input.member("experimentIds").map(Json::to_string).unwrap_or_default()])),
            None => View::Whole,
        };
        self.fill(&fill, view, input, told).await
    }

    async fn fill(
        &self,
        fill: &Fill<'_>,
        view: View,
        input: Json,
        told: &mut Told,
    ) -> Result<Result<Paged, Response<Body>>, AnswerFault> {
        let from = match &fill.from {
            None => Position::default(),
            Some((then, position)) if *then == view => position.clone(),
            Some((_, position)) => position.restarted(),
        };
        let bounds = Bounds {
            rows: fill.size.0,
            most: fill.size.1,
            calls: fill.calls,
            bytes: self.shared.settings.list_answer,
            narrowed: view != View::Whole,
        };
        let mut filler = Filler::new(bounds, from);
        let mut projector = Projector::new(self.principal, self.graph);
        let mut first = None;
        let key = fill.root.selected.fields.iter().find(|field| field.name == fill.rows).map(|field| &*field.key);
        let key = key.ok_or(BadAnswer::WrongType { at: fill.rows, wanted: "selected" })?;
        while let Some(ask) = filler.ask() {
            let input = input
                .clone()
                .with("maxResults", Some(Json::Number(ask.rows.into())))
                .with("pageToken", ask.page.map(Json::Text));
            let body = match self.ask(&self.document.body(&[(fill.root, &input)]), told).await? {
                Ok(body) => body,
                Err(refusal) => return Ok(Err(refusal)),
            };
            let answered = data(&body)?.map(|data| data.get(&fill.root.key)).transpose().map_err(BadAnswer::from)?;
            let Some(answered) = answered.flatten().filter(|value| !value.is_null()) else {
                return Ok(Ok(Paged { first: "null".to_owned(), rows: Vec::new(), next: None }));
            };
            let rows = null_or(answered.get(key).map_err(BadAnswer::from)?);
            let rows = match rows {
                None => None,
                Some(rows) => Some(rows.elements().ok_or(BadAnswer::WrongType { at: fill.rows, wanted: "a list" })?),
            };
            let next = null_or(answered.get("trackgate_next").map_err(BadAnswer::from)?);
            let next = next.filter(|next| next.raw() != "\"\"");
            let next = next.map(|_| text_at(answered, "trackgate_next")).transpose()?;
            filler.take::<BadAnswer>(rows.into_iter().flatten(), next, |row| projector.sees_row(row, fill.list))?;
            first.get_or_insert_with(|| answered.raw().to_owned());
        }
        let filled = filler.finish();
        let next = match filled.next {
            None => None,
            Some(next) => Some(token::seal(&self.shared.seal, &fill.query, view, &next).map_err(AnswerFault::Seal)?),
        };
        Ok(Ok(Paged { first: first.unwrap_or_else(|| "null".to_owned()), rows: filled.rows, next }))
    }

    /// The whole answer.
    async fn finish(&self, told: Told, homes: &impl Homes) -> Result<Response<Body>, AnswerFault> {
        let Told { share, bytes: _, head, errors, mut parts } = told;
        parts.sort_by_key(|(index, _)| *index);
        let roots = |index: usize| self.document.roots.get(index);
        let mut projector = Projector::new(self.principal, self.graph);
        for (index, part) in &parts {
            match (part, roots(*index)) {
                (Part::Plain(text), Some(root)) => projector.gather(&root.selected, text)?,
                (Part::List(paged), Some(root)) => projector.gather_list(root, paged)?,
                (Part::Nothing, _) | (_, None) => {}
            }
        }
        projector.look_up(homes).await;
        let mut out = b"{\"data\":{".to_vec();
        if let Some((key, typename)) = self.document.typename() {
            write_string(&mut out, key);
            out.push(b':');
            write_string(&mut out, typename);
        }
        for (index, part) in &parts {
            let Some(root) = roots(*index) else { continue };
            if !out.ends_with(b"{") {
                out.push(b',');
            }
            write_string(&mut out, &root.key);
            out.push(b':');
            match part {
                Part::Nothing => empty(&root.selected, &mut out),
                Part::Plain(text) => projector.write(&root.selected, text, &mut out)?,
                Part::List(paged) => projector.write_list(root, paged, &mut out)?,
            }
        }
        out.extend_from_slice(b"},\"errors\":");
        if errors.is_empty() {
            out.extend_from_slice(b"null");
        } else {
            out.extend_from_slice(format!("[{}]", errors.join(",")).as_bytes());
        }
        out.push(b'}');
        let body = match share {
            Some(share) => share.of(out),
            None => Bytes::from(out),
        };
        Ok(match head {
            Some(head) => whole::with_body(head, body),
            None => whole::own(body),
        })
    }
}

/// What stays the same for every page of one list.
struct Fill<'a> {
    root: &'a Root,
    rows: &'static str,
    query: token::Mark,
    from: Option<(View, Position)>,
    /// What the caller wants, and the most that MLflow gives.
    size: (u32, u32),
    calls: u32,
    list: &'a List,
}

/// The `data` of an answer, unless it is null.
fn data(body: &[u8]) -> Result<Option<Value<'_>>, BadAnswer> {
    let answer = Value::parse(body)?;
    match null_or(answer.get("data")?) {
        Some(data) if !data.is_object() => Err(BadAnswer::WrongType { at: "data", wanted: "an object" }),
        data => Ok(data),
    }
}

#[cfg(test)]
mod tests;
