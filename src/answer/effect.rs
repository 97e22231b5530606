//! What follows from success?
//!
//! Grants are written before the head of the answer leaves: whoever reads "created" can use it. An answer other than a
//! success has no effects. If the grants cannot be written the caller hears of it, with the object's name, and the audit
//! log keeps it; MLflow has done its part then, and an administrator can grant the rest.

use std::sync::Arc;

use bytes::Bytes;
use http::{Response, StatusCode};

use super::filter::{BadAnswer, text_at};
use super::hide::{Homes, hide};
use super::json::Value;
use super::{AnswerFault, Shared, Tools, whole};
use crate::access::identity::Principal;
use crate::message::Body;
use crate::mlflow::ids::{ExperimentId, ModelName, UserName};
use crate::mlflow::resource::{Kind, Object};
use crate::policy::classify::Call;
use crate::policy::fields::Fields;
use crate::policy::route::{Answer, Effect, Row};
use crate::store::{Store, StoreFault};

/// Where the grants that follow from success are written.
pub(crate) trait Ledger {
    /// `user` gets MANAGE on a new object.
    fn own(&self, object: &Object, user: &UserName) -> impl Future<Output = Result<(), StoreFault>>;
    /// Grants move to a new name.
    fn rename(&self, object: &Object, new: &str, user: &UserName) -> impl Future<Output = Result<(), StoreFault>>;
    /// Grants on an object that is gone are removed.
    fn forget(&self, object: &Object, user: &UserName) -> impl Future<Output = Result<(), StoreFault>>;
}

impl Ledger for Store {
    async fn own(&self, object: &Object, user: &UserName) -> Result<(), StoreFault> {
        Store::own(self, object.kind, &object.id, user).await
    }

    async fn rename(&self, object: &Object, new: &str, user: &UserName) -> Result<(), StoreFault> {
        Store::rename(self, object.kind, &object.id, new, user).await
    }

    async fn forget(&self, object: &Object, user: &UserName) -> Result<(), StoreFault> {
        Store::forget(self, object.kind, &object.id, user).await
    }
}

/// Looks over the answer to a permitted call, before its head leaves: writes what follows from success, compares it
/// with what was judged, takes out links to hidden things. `objects` are those that the call was judged on.
///
/// # Errors
/// [`AnswerFault`]; then nothing of the answer is passed on.
pub async fn look_over(
    answer: Response<Body>,
    principal: Option<&Principal>,
    call: &Call,
    fields: &Fields,
    objects: &[Object],
    tools: &Tools<'_>,
) -> Result<Response<Body>, AnswerFault> {
    let name = |field: &str| fields.one(field).map(Arc::from);
    let named = Named { old: name("name"), new: name("new_name") };
    let homes = super::Lookups { tools };
    over(answer, principal, call.row, &named, objects, tools.shared, tools.store, &homes).await
}

/// The names in the request that effects speak of.
struct Named {
    old: Option<Arc<str>>,
    new: Option<Arc<str>>,
}

#[expect(clippy::too_many_arguments, reason = "the parts of a call, taken apart for tests")]
async fn over(
    answer: Response<Body>,
    principal: Option<&Principal>,
    row: &Row,
    named: &Named,
    objects: &[Object],
    shared: &Shared,
    ledger: &impl Ledger,
    homes: &impl Homes,
) -> Result<Response<Body>, AnswerFault> {
    if !answer.status().is_success() {
        return Ok(answer);
    }
    let user = principal.map(|principal| &principal.identity.user);
    match (row.effect, user) {
        (Effect::Renames(kind), Some(user)) => {
            let (Some(old), Some(new)) = (&named.old, &named.new) else {
                return Err(BadAnswer::NoId { at: "name" }.into());
            };
            let object = Object { kind, id: Arc::clone(old) };
            let written = ledger.rename(&object, new, user).await;
            written.map_err(|source| AnswerFault::Effect { object, source })?;
        }
        (Effect::Forgets(kind), Some(user)) => {
            let Some(id) = &named.old else { return Err(BadAnswer::NoId { at: "name" }.into()) };
            let object = Object { kind, id: Arc::clone(id) };
            let written = ledger.forget(&object, user).await;
            written.map_err(|source| AnswerFault::Effect { object, source })?;
        }
        (Effect::None | Effect::Owns { .. }, _) | (Effect::Renames(_) | Effect::Forgets(_), None) => {}
    }
    let owns = match (row.effect, user) {
        (Effect::Owns { kind, id }, Some(user)) => Some((kind, id, user)),
        (Effect::None | Effect::Owns { .. } | Effect::Renames(_) | Effect::Forgets(_), _) => None,
    };
    let looked_into = match row.answer {
        Answer::Stream | Answer::Keep(_) => false,
        Answer::Hide(_) | Answer::Confirm { .. } => true,
    };
    if (owns.is_none() && !looked_into) || answer.status() == StatusCode::NO_CONTENT {
        return Ok(answer);
    }
    let (parts, body) = whole::read(answer, shared.settings.list_answer).await?;
    let value = Value::parse(&body).map_err(BadAnswer::from)?;
    if let Some((kind, at, user)) = owns {
        let object = made(value, kind, at)?;
        let written = ledger.own(&object, user).await;
        written.map_err(|source| AnswerFault::Effect { object, source })?;
    }
    match row.answer {
        Answer::Stream | Answer::Keep(_) => {}
        Answer::Confirm { kind, id } => {
            let answered = text_at(value, id)?;
            if !objects.iter().any(|object| object.kind == kind && *object.id == *answered) {
                return Err(AnswerFault::NotWhatWasJudged);
            }
        }
        Answer::Hide(links) => {
            let mut texts = [value.raw().to_owned()];
            match principal {
                Some(principal) => hide(principal, links, &mut texts, homes).await?,
                // No row that hides is open to strangers.
                None => return Err(AnswerFault::NotWhatWasJudged),
            }
            let [text] = texts;
            if text != value.raw() {
                return Ok(whole::with_body(parts, Bytes::from(text)));
            }
        }
    }
    Ok(Response::from_parts(parts, Body::Full(body)))
}

/// The new object, by the id in the answer.
fn made(answer: Value<'_>, kind: Kind, at: &'static str) -> Result<Object, BadAnswer> {
    let id = text_at(answer, at)?;
    let usable = match kind {
        Kind::Experiment => ExperimentId::parse(&id).is_ok(),
        Kind::RegisteredModel => ModelName::parse(&id).is_ok(),
        Kind::Workspace | Kind::Run | Kind::LoggedModel | Kind::Trace | Kind::ModelVersion => true,
    };
    if usable { Ok(Object { kind, id: Arc::from(id) }) } else { Err(BadAnswer::NoId { at }) }
}
