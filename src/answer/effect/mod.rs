//! What follows from success?
//!
//! Grants are written before the head of the answer leaves: whoever reads "created" can use it. An answer other than a
//! success has no effects. If the grants cannot be written the caller hears of it, with the object's name, and the audit
//! log keeps it; MLflow has done its part then, and an administrator can grant the rest.

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::sync::Arc;

use http::{Response, StatusCode};

use super::filter::{BadAnswer, is_prompt, skill_at, text_at};
use super::hide::{Homes, hide, passes};
use super::json::Value;
use super::{AnswerFault, Shared, Tools, offers, whole};
use crate::access::identity::Principal;
use crate::message::Body;
use crate::mlflow::ids::{ExperimentId, McpServerName, ModelName, UserName, WorkspaceName};
use crate::mlflow::resource::{Kind, Object};
use crate::policy::classify::Call;
use crate::policy::fields::Fields;
use crate::policy::route::{Answer, Effect, New, Row};
use crate::store::{Store, StoreFault};

/// Where the grants that follow from success are written.
pub(crate) trait Ledger {
    /// `user` gets MANAGE on a new object; with `after` (the number of a change), unless somebody else made it after that.
    fn own(&self, object: &Object, user: &UserName, after: Option<u64>)
    -> impl Future<Output = Result<(), StoreFault>>;
    /// Grants move to a new name.
    fn rename(&self, object: &Object, new: &str, user: &UserName) -> impl Future<Output = Result<(), StoreFault>>;
    /// Grants on an object that is gone are removed.
    fn forget(&self, object: &Object, user: &UserName) -> impl Future<Output = Result<(), StoreFault>>;
}

/// The store, where the request acts: nothing that happens in one workspace touches the grants of another.
struct Book<'a> {
    store: &'a Store,
    workspace: WorkspaceName,
}

impl Ledger for Book<'_> {
    async fn own(&self, object: &Object, user: &UserName, after: Option<u64>) -> Result<(), StoreFault> {
        let Self { store, workspace } = self;
        match after {
            None => store.own(workspace, object.kind, &object.id, user).await,
            Some(after) => store.own_if_unmade(workspace, object.kind, &object.id, user, after).await,
        }
    }

    async fn rename(&self, object: &Object, new: &str, user: &UserName) -> Result<(), StoreFault> {
        self.store.rename(&self.workspace, object.kind, &object.id, new, user).await
    }

    async fn forget(&self, object: &Object, user: &UserName) -> Result<(), StoreFault> {
        self.store.forget(&self.workspace, object.kind, &object.id, user).await
    }
}

/// Looks over the answer to a permitted call, before its head leaves: writes what follows from success, compares it
/// with what was judged, takes out links to hidden things.
///
/// # Errors
/// [`AnswerFault`]; then nothing of the answer is passed on.
pub async fn look_over(
    answer: Response<Body>,
    principal: Option<&Principal>,
    call: &Call,
    fields: &Fields,
    judged: Judged<'_>,
    tools: &Tools<'_>,
) -> Result<Response<Body>, AnswerFault> {
    if matches!((call.row.effect, call.row.also, &call.row.answer), (Effect::None, Effect::None, Answer::Stream)) {
        return Ok(answer);
    }
    if let Answer::Offers(offers) = call.row.answer {
        return offers::withdraw(answer, offers, |switch| tools.resolver.is_on(switch, tools.upstream), tools.shared)
            .await;
    }
    let named = |field: &str| -> Vec<Arc<str>> {
        match call.capture(field.trim_matches(['{', '}'])) {
            Some(text) => vec![Arc::from(text)],
            None => fields.each(field).to_vec(),
        }
    };
    let homes = super::Lookups { tools };
    let workspace = principal.map(|principal| principal.workspace.clone()).unwrap_or_default();
    let book = Book { store: tools.store, workspace };
    Box::pin(over(answer, principal, call.row, &named, judged, tools.shared, &book, &homes)).await
}

/// What a call was judged on.
#[derive(Debug, Clone, Copy)]
pub struct Judged<'a> {
    /// The objects that it names.
    pub objects: &'a [Object],
    /// Those that were not there yet, when it was judged.
    pub absent: &'a [Object],
    /// The newest change of the store that was known before: nobody else may have made any of it after that.
    pub known: u64,
}

/// The values of a request's field or path capture.
type Named<'a> = &'a (dyn Fn(&str) -> Vec<Arc<str>> + Sync);

#[expect(clippy::too_many_arguments, reason = "the parts of a call, taken apart for tests")]
async fn over(
    answer: Response<Body>,
    principal: Option<&Principal>,
    row: &Row,
    named: Named<'_>,
    judged: Judged<'_>,
    shared: &Shared,
    ledger: &impl Ledger,
    homes: &impl Homes,
) -> Result<Response<Body>, AnswerFault> {
    if !answer.status().is_success() {
        return Ok(answer);
    }
    let user = principal.map(|principal| &principal.identity.user);
    match (row.effect, user) {
        (Effect::Renames { kind, from, to }, Some(user)) => {
            let (old, new) = (named(from), named(to));
            let [old] = &*old else { return Err(BadAnswer::NoId { at: from }.into()) };
            // A field that may stay away renames nothing then.
            if let Some(new) = new.first() {
                for kind in both(kind) {
                    let object = Object { kind, id: Arc::clone(old) };
                    let written = ledger.rename(&object, new, user).await;
                    written.map_err(|source| AnswerFault::Effect { object, source })?;
                }
            }
        }
        (Effect::Forgets { unless: Some(part), .. }, Some(_)) if !named(part).is_empty() => {}
        (Effect::Forgets { kind, field, unless: _ }, Some(user)) => {
            let gone = named(field);
            if gone.is_empty() {
                return Err(BadAnswer::NoId { at: field }.into());
            }
            for (id, kind) in gone.iter().flat_map(|id| both(kind).map(move |kind| (id, kind))) {
                let object = Object { kind, id: Arc::clone(id) };
                let written = ledger.forget(&object, user).await;
                written.map_err(|source| AnswerFault::Effect { object, source })?;
            }
        }
        (Effect::None | Effect::Owns { .. }, _) | (Effect::Renames { .. } | Effect::Forgets { .. }, None) => {}
    }
    let owns = user.filter(|_| [row.effect, row.also].iter().any(|effect| matches!(effect, Effect::Owns { .. })));
    let looked_into = match row.answer {
        Answer::Stream
        | Answer::Keep(_)
        | Answer::GraphQl(_)
        | Answer::Ours(_)
        | Answer::OursUnless(..)
        | Answer::Offers(_)
        | Answer::Served
        | Answer::Shell => false,
        Answer::Confirm { .. } => true,
        Answer::Hide(links) => principal.is_none_or(|principal| !links.iter().all(|link| passes(principal, link))),
    };
    if (owns.is_none() && !looked_into) || answer.status() == StatusCode::NO_CONTENT {
        return Ok(answer);
    }
    let mut share = shared.held.share();
    let (parts, body) = whole::read_counted(answer, shared.settings.list_answer, &mut share).await?;
    let value = Value::parse(&body).map_err(BadAnswer::from)?;
    if let Some(user) = owns {
        for (object, after) in made(value, row, named, judged)? {
            let written = ledger.own(&object, user, after).await;
            written.map_err(|source| AnswerFault::Effect { object, source })?;
        }
    }
    match row.answer {
        Answer::Stream
        | Answer::Keep(_)
        | Answer::GraphQl(_)
        | Answer::Ours(_)
        | Answer::OursUnless(..)
        | Answer::Offers(_)
        | Answer::Served
        | Answer::Shell => {}
        Answer::Confirm { kind, id } => {
            let answered = text_at(value, id)?;
            if !judged.objects.iter().any(|object| object.kind == kind && *object.id == *answered) {
                return Err(AnswerFault::NotWhatWasJudged);
            }
        }
        Answer::Hide(links) => {
            let mut texts = [Cow::Borrowed(value.raw())];
            match principal {
                Some(principal) => hide(principal, links, &mut texts, &[], homes).await?,
                // No row that hides is open to strangers.
                None => return Err(AnswerFault::NotWhatWasJudged),
            }
            let [text] = texts;
            if let Cow::Owned(text) = text {
                return Ok(whole::with_body(parts, share.of(text.into_bytes())));
            }
        }
    }
    Ok(Response::from_parts(parts, Body::Full(body)))
}

/// What the call has made, each with the change after which nobody else may have made it.
fn made(
    answer: Value<'_>,
    row: &Row,
    named: Named<'_>,
    judged: Judged<'_>,
) -> Result<Vec<(Object, Option<u64>)>, BadAnswer> {
    let mut made = Vec::new();
    if let Effect::Owns { kind, id, new } = row.effect {
        let known = judged.known;
        match new {
            New::Always => match id.split_once("[].") {
                None => made.push((object(answer, kind, id, named)?, None)),
                // Each of a list (`jobs[].job_id`).
                Some((list, inner)) => {
                    let wrong = BadAnswer::WrongType { at: id, wanted: "in a list" };
                    for one in answer.get(list)?.and_then(Value::elements).ok_or(wrong)? {
                        made.push((object(one, kind, inner, named)?, None));
                    }
                }
            },
            New::IfAbsent => {
                made.extend(
                    judged.absent.iter().filter(|absent| absent.kind == kind).map(|one| (one.clone(), Some(known))),
                );
            }
            New::First(number) => {
                let object = object(answer, kind, id, named)?;
                if text_at(answer, number)? == "1" {
                    // One whose versions were taken out one by one is owned still.
                    made.push((object, Some(0)));
                }
            }
        }
    }
    // What is made besides has a new id, and is looked for by its name before. It need not be made.
    if let Effect::Owns { kind, id, .. } = row.also
        && judged.absent.iter().any(|absent| absent.kind == kind)
        && let Ok(object) = object(answer, kind, id, named)
    {
        made.push((object, Some(judged.known)));
    }
    Ok(made)
}

/// The kind, and what its name may be instead: models and prompts share their names, so what happens to a name happens
/// to the grants of both.
fn both(kind: Kind) -> impl Iterator<Item = Kind> {
    std::iter::once(kind).chain(kind.as_prompt())
}

/// The new object, by the id in the answer, in the request, or in both.
fn object(answer: Value<'_>, kind: Kind, at: &'static str, named: Named<'_>) -> Result<Object, BadAnswer> {
    let mut parts = Vec::new();
    for place in at.split('/') {
        parts.push(match place.strip_prefix('{').and_then(|field| field.strip_suffix('}')) {
            Some(field) => match &*named(field) {
                [one] if !one.is_empty() => one.to_string(),
                _ => return Err(BadAnswer::NoId { at }),
            },
            None if kind == Kind::Skill => skill_at(answer, place)?,
            None => text_at(answer, place)?,
        });
    }
    // What the registry has made is a prompt if its own tag says so.
    let kind = match (kind, at.rsplit_once('.')) {
        (Kind::RegisteredModel, Some((place, _))) if is_prompt(answer.at(place)?.ok_or(BadAnswer::NoId { at })?)? => {
            Kind::Prompt
        }
        _ => kind,
    };
    let id = kind.join(parts.iter().map(String::as_str));
    let usable = match kind {
        Kind::Experiment => ExperimentId::parse(&id).is_ok(),
        Kind::RegisteredModel | Kind::Prompt => ModelName::parse(&id).is_ok(),
        Kind::McpServer => McpServerName::parse(&id).is_ok(),
        // A wildcard in grants.
        _ => id != "*" && !id.ends_with('*'),
    };
    if usable { Ok(Object { kind, id: Arc::from(id) }) } else { Err(BadAnswer::NoId { at }) }
}
