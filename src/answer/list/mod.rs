//! What does a caller get of a list?
//!
//! Three ways, by how much of it the caller may see ([`Sight`]): everything streams through untouched; nothing is
//! answered here; for the rest the request is narrowed where the server can, rows are judged, and the page is filled
//! ([`super::page`]). Counts of hidden rows show nowhere: the answer is written anew with its rows and a sealed token
//! alone, and tokens of MLflow's own are refused while a list is filtered.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use http::Response;

use super::filter::{BadAnswer, Judge, Page, text_at};
use super::held::Share;
use super::hide::{Homes, hide};
use super::json::{Value, write_string};
use super::named::named;
use super::narrow::{self, Sight, can_follow, sight};
use super::page::{Bounds, Filled, Filler, Position};
use super::query::{self, Changes, Original, Query, Rows, Turn, page_of};
use super::selects::by_hidden;
use super::token::{self, View, mark};
use super::{AnswerFault, Shared, whole};
use crate::access::decide::{Visible, visible_of};
use crate::access::identity::Principal;
use crate::message::{Body, Request};
use crate::mlflow::ids::ExperimentId;
use crate::mlflow::resource::Kind;
use crate::policy::route::{Count, List, Need, Row};

/// Who answers pages of the permitted list: MLflow, or a test.
pub(crate) trait Asker {
    /// Sends a request made from the permitted one.
    fn ask(&self, page: Request) -> impl Future<Output = Result<Response<Body>, AnswerFault>>;
    /// The server's version, as it writes it.
    fn version(&self) -> impl Future<Output = Option<String>>;
}

/// How a list is answered.
pub(crate) enum Way {
    /// As MLflow answers it.
    Untouched,
    /// With nothing.
    Empty,
    /// Looked over.
    Filtered(Box<Plan>),
}

/// All that is known before MLflow is asked.
pub(crate) struct Plan {
    query: Query,
    /// What was asked for, if MLflow must judge the number itself.
    rows: Option<u32>,
    /// What the caller may see by id alone.
    these: Option<Vec<Arc<str>>>,
    /// The ids of a narrowed field, cut to what may hold something visible.
    ids: Option<(&'static str, Vec<Arc<str>>)>,
    from: Option<(View, Position)>,
}

/// Decides how the list is answered.
///
/// # Errors
/// [`AnswerFault`] for a request that cannot be read in one way, or a token that is not one of this list.
pub(crate) fn way(
    request: &Original,
    principal: &Principal,
    row: &Row,
    list: &List,
    shared: &Shared,
) -> Result<Way, AnswerFault> {
    let sight = sight(principal, list);
    let read = || Query::read(request, row.name, principal.identity.user.as_str());
    let opened = |query: &Query| query.page.as_deref().and_then(|text| token::open(&shared.seal, &query.mark, text));
    if sight == Sight::Everything {
        // A token of ours, from before the caller saw everything, goes on where it was.
        let Ok(query) = read() else { return Ok(Way::Untouched) };
        let Some(from) = opened(&query) else { return Ok(Way::Untouched) };
        let rows = asked_rows(&query, list);
        return Ok(Way::Filtered(Box::new(Plan { query, rows, these: None, ids: None, from: Some(from) })));
    }
    let query = read()?;
    let ids = match narrowed_field(row) {
        None => None,
        Some((kind, field)) => {
            let ids = query::ids(request, field)?.unwrap_or_default();
            if kind == Kind::Experiment && ids.iter().any(|id| ExperimentId::parse(id).is_err()) {
                return Err(AnswerFault::BadIds(field));
            }
            let left: Vec<Arc<str>> = narrow::cut(principal, list, kind, &ids).into_iter().cloned().collect();
            if ids.is_empty() && list.kind == Kind::Dataset {
                // Datasets are found by their names too, as the client does: no experiment means all (3.17.2,
                // `sqlalchemy_store.py` `search_datasets`).
                None
            } else if left.is_empty() {
                return Ok(Way::Empty);
            } else {
                Some((field, left))
            }
        }
    };
    let these = match sight {
        Sight::Nothing => return Ok(Way::Empty),
        Sight::These(these) => Some(these),
        Sight::Everything | Sight::RowByRow => None,
    };
    let from = match &query.page {
        Some(_) => Some(opened(&query).ok_or(AnswerFault::BadToken)?),
        None => None,
    };
    let rows = asked_rows(&query, list);
    Ok(Way::Filtered(Box::new(Plan { query, rows, these, ids, from })))
}

/// How many rows a page has; `None` where only MLflow can say what is wrong with the number.
fn asked_rows(query: &Query, list: &List) -> Option<u32> {
    let Some(paging) = list.paged else { return Some(u32::MAX) };
    match query.rows {
        Rows::Count(rows) if rows > 0 && rows <= paging.most => Some(rows),
        Rows::Absent if paging.default > 0 => Some(paging.default),
        Rows::Count(_) | Rows::Absent | Rows::Odd => None,
    }
}

/// The principal, who knows what the experiments are called that the request names.
///
/// # Errors
/// [`AnswerFault`] when MLflow cannot tell, or the request cannot be read.
pub(crate) async fn knowing<'p>(
    request: &Original,
    principal: &'p Principal,
    row: &Row,
    homes: &impl Homes,
) -> Result<Cow<'p, Principal>, AnswerFault> {
    match narrowed_field(row) {
        Some((Kind::Experiment, field))
            if principal.speaks_of_names() && visible_of(principal, Kind::Experiment) != Visible::All =>
        {
            let ids = query::ids(request, field)?.unwrap_or_default();
            Ok(named(principal, ids, homes).await?)
        }
        _ => Ok(Cow::Borrowed(principal)),
    }
}

fn narrowed_field(row: &Row) -> Option<(Kind, &'static str)> {
    row.needs.iter().find_map(|need| {
        if let Need::On { kind, field, count: Count::Narrowed, .. } = need { Some((*kind, *field)) } else { None }
    })
}

/// An empty list, as MLflow writes it (protobuf leaves out what is empty).
pub(crate) fn empty(list: &List) -> Response<Body> {
    if is_native(list) {
        return whole::own(Bytes::from(format!("{{\"{}\":[],\"next_page_token\":null}}", list.member)));
    }
    whole::own(Bytes::from_static(b"{}"))
}

/// Whether the list is one of MLflow's FastAPI routes: its clients want the member even where it is empty.
fn is_native(list: &List) -> bool {
    matches!(list.kind, Kind::McpServer | Kind::Skill)
}

/// Answers with the rows that the principal may see.
///
/// # Errors
/// [`AnswerFault`]; then nothing of any answer is passed on.
pub(crate) async fn filtered(
    request: &Original,
    principal: &Principal,
    list: &List,
    plan: Plan,
    shared: &Shared,
    asker: &impl Asker,
    homes: &impl Homes,
) -> Result<Response<Body>, AnswerFault> {
    let Plan { query, rows, these, ids, from } = plan;
    let Some(rows) = rows else { return refused_number(request, asker).await };
    if by_hidden(principal, list, &query.filter, homes).await {
        return Ok(empty(list));
    }
    let ids: Option<(&'static str, Vec<&Arc<str>>)> = ids.as_ref().map(|(field, ids)| (*field, ids.iter().collect()));
    let ids = ids.as_ref().map(|(field, ids)| (*field, &**ids));
    let clause = match (&these, list.paged.and_then(|paging| paging.narrow_by)) {
        (Some(these), Some(attribute)) if can_follow(&query.filter) => narrow::filter(attribute, these, &query.filter),
        _ => None,
    };
    let clause = match clause {
        Some(clause) if shared.version.takes_lists_in_filters(|| asker.version()).await => Some(clause),
        _ => None,
    };
    let ask = Ask { request, principal, list, rows, ids, from: from.as_ref(), shared };
    let tried = clause.is_some();
    if let Some(clause) = clause {
        match ask.fill(asker, homes, Some(&clause)).await? {
            Got::Page(head, filled, view, kept) => {
                return finish(principal, list, &query, head, filled, view, kept, shared, homes).await;
            }
            // What the caller wrote is wrong, or the server takes no lists: the caller's own filter will tell.
            Got::Refusal(answer) if answer.status().is_client_error() => {}
            Got::Refusal(answer) => return Ok(answer),
        }
    }
    match ask.fill(asker, homes, None).await? {
        Got::Page(head, filled, view, kept) => {
            if tried {
                shared.version.doubt();
            }
            finish(principal, list, &query, head, filled, view, kept, shared, homes).await
        }
        Got::Refusal(answer) => Ok(answer),
    }
}

/// How many rows are asked for at once: each dataset costs a look-up.
fn most_at_once(kind: Kind) -> u32 {
    if kind == Kind::Dataset { 200 } else { u32::MAX }
}

/// MLflow itself says what is wrong with the number of rows. If it takes it all the same, we do not.
async fn refused_number(request: &Original, asker: &impl Asker) -> Result<Response<Body>, AnswerFault> {
    let page = page_of(request, Changes { page: Turn::First, ..Changes::default() })?;
    let answer = asker.ask(page).await?;
    if answer.status().is_success() { Err(AnswerFault::BadRows) } else { Ok(answer) }
}

enum Got {
    Page(http::response::Parts, Filled, View, Share),
    /// An answer other than success, for the caller.
    Refusal(Response<Body>),
}

struct Ask<'a> {
    request: &'a Original,
    principal: &'a Principal,
    list: &'a List,
    rows: u32,
    ids: Option<(&'static str, &'a [&'a Arc<str>])>,
    from: Option<&'a (View, Position)>,
    shared: &'a Shared,
}

impl Ask<'_> {
    async fn fill(&self, asker: &impl Asker, homes: &impl Homes, clause: Option<&str>) -> Result<Got, AnswerFault> {
        let view = match (clause, self.ids) {
            (Some(clause), _) => View::Narrowed(mark([clause])),
            (None, Some((_, ids))) => View::Narrowed(mark(ids.iter().map(|id| &***id))),
            (None, None) => View::Whole,
        };
        let from = match self.from {
            None => Position::default(),
            Some((then, position)) if *then == view => position.clone(),
            Some((_, position)) => position.restarted(),
        };
        let settings = &self.shared.settings;
        let bounds = Bounds {
            rows: self.rows,
            most: self.list.paged.map_or(u32::MAX, |paging| paging.most).min(most_at_once(self.list.kind)),
            calls: if self.list.paged.is_some() { settings.list_budget } else { 1 },
            bytes: settings.list_answer,
            narrowed: view != View::Whole,
        };
        let mut filler = Filler::new(bounds, from);
        let mut judge = Judge::new(self.principal, self.list);
        let mut head = None;
        let mut kept = self.shared.held.share();
        while let Some(ask) = filler.ask() {
            let changes = Changes {
                rows: self.list.paged.is_some().then_some(ask.rows),
                page: ask.page.as_deref().into(),
                filter: clause,
                ids: self.ids,
            };
            let answer = asker.ask(page_of(self.request, changes)?).await?;
            if !answer.status().is_success() {
                return Ok(Got::Refusal(answer));
            }
            // Of a page only its visible rows stay.
            let mut page = self.shared.held.share();
            let (parts, body) = match whole::read_counted(answer, settings.list_answer, &mut page).await {
                Err(AnswerFault::Unreadable(BadAnswer::TooLarge)) if filler.too_large() => continue,
                read => read?,
            };
            let page = Page::read(&body, self.list.member)?;
            let unknown = judge.unknown(&page)?;
            if !unknown.is_empty() {
                judge.learn(homes.datasets(unknown).await);
            }
            let unnamed = judge.unnamed(&page)?;
            if !unnamed.is_empty() {
                judge.learn_names(homes.called(unnamed).await?);
            }
            let next = page.next.clone().filter(|_| self.list.paged.is_some());
            filler.take::<BadAnswer>(page.rows(), next, |row| judge.visible(row))?;
            kept.hold(filler.bytes())?;
            head.get_or_insert(parts);
        }
        let head = head.ok_or(BadAnswer::TooLarge)?;
        Ok(Got::Page(head, filler.finish(), view, kept))
    }
}

/// The experiments that the rows lie in: what they link to most likely lies there too.
fn experiments(list: &List, rows: &[String]) -> Vec<Arc<str>> {
    if list.kind != Kind::Experiment || list.links.is_empty() {
        return Vec::new();
    }
    let experiment = |row: &String| Some(text_at(Value::parse(row.as_bytes()).ok()?, list.id).ok()?.into());
    let mut ids: Vec<Arc<str>> = rows.iter().filter_map(experiment).collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}

#[expect(clippy::too_many_arguments, reason = "the end of one way, called twice")]
async fn finish(
    principal: &Principal,
    list: &List,
    query: &Query,
    head: http::response::Parts,
    filled: Filled,
    view: View,
    mut kept: Share,
    shared: &Shared,
    homes: &impl Homes,
) -> Result<Response<Body>, AnswerFault> {
    let Filled { rows, next } = filled;
    let near = experiments(list, &rows);
    let mut rows: Vec<Cow<'_, str>> = rows.into_iter().map(Cow::Owned).collect();
    hide(principal, list.links, &mut rows, &near, homes).await?;
    // The rows, and the answer that is written from them.
    kept.hold(2 * rows.iter().map(|row| row.len()).sum::<usize>())?;
    let mut out = Vec::with_capacity(rows.iter().map(|row| row.len() + 1).sum::<usize>() + 256);
    out.push(b'{');
    let any = !rows.is_empty() || is_native(list);
    if any {
        write_string(&mut out, list.member);
        out.extend_from_slice(b":[");
        for (n, row) in rows.drain(..).enumerate() {
            if n > 0 {
                out.push(b',');
            }
            out.extend_from_slice(row.as_bytes());
        }
        out.push(b']');
    }
    if let Some(next) = next.filter(|_| list.paged.is_some()) {
        let text = token::seal(&shared.seal, &query.mark, view, &next).map_err(AnswerFault::Seal)?;
        if any {
            out.push(b',');
        }
        out.extend_from_slice(b"\"next_page_token\":");
        write_string(&mut out, &text);
    }
    out.push(b'}');
    Ok(whole::with_body(head, kept.of(out)))
}

#[cfg(test)]
mod tests;
