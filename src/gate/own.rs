//! How does a request come to one of our own pages about permissions?
//!
//! As to MLflow's permission API: what it asks of whom stands in its row, and is decided before the page is made.

use std::sync::Arc;

use http::{Response, StatusCode, Uri};

use super::refusal::Refusal;
use super::{Gate, audit};
use crate::access::decide::decide;
use crate::access::identity::{Principal, Proof};
use crate::audit::Record;
use crate::authenticate::credential::Credentials;
use crate::message::{Body, Request};
use crate::mlflow::error::ErrorCode;
use crate::pages::own;
use crate::policy::classify::Call;
use crate::policy::fields::Fields;

impl Gate {
    /// A page of ours. The caller acts in the workspace that it is about.
    pub(super) async fn serve_page(
        &self,
        principal: Arc<Principal>,
        request: Request,
        call: &Call,
        fields: &Fields,
        credentials: &Credentials,
        record: &mut Record,
    ) -> Result<Response<Body>, Refusal> {
        let house = &*self.house;
        let workspaces = house.clean.workspaces;
        let place = if workspaces { own::place(fields, &principal.workspace) } else { principal.workspace.clone() };
        let (principal, upstream) = if place == principal.workspace {
            (principal, self.upstream.clone())
        } else {
            record.workspace(&place);
            (house.store.principal(Arc::clone(&principal.identity), &place)?, self.upstream.within(&place))
        };
        let now = house.answer.now();
        let known = own::known(call, fields, &principal, &house.store, now)
            .map_err(|fault| Refusal::bad("bad-end", fault.to_string()))?;
        let resolved = house.resolver.resolve_about(Some(&principal), call, fields, &known, &upstream).await?;
        record.objects(resolved.objects.clone());
        record.asked(&resolved.requirements);
        let asker = resolved.asker().cloned();
        if let Some(asker) = &asker {
            record.called(&asker.names);
        }
        let permitted = match decide(asker.clone(), &resolved.requirements, request) {
            Ok(permitted) => permitted,
            Err(denial) => return Err(Box::pin(self.denied(*denial, call, fields, asker, &upstream)).await),
        };
        record.allowed(permitted.reasons());
        let tools = own::Tools {
            store: &house.store,
            authenticator: &house.authenticator,
            credentials,
            resolver: &house.resolver,
            upstream: &upstream,
            fields,
            objects: &resolved.objects,
            audit: house.audit.target(),
            workspaces,
            now,
        };
        let answered = own::answer(permitted, call, tools).await;
        if let Some((reason, detail)) = answered.refused {
            let ours = answered.response.status().is_server_error();
            let outcome = if ours { audit::Outcome::Error } else { audit::Outcome::Deny };
            record.refused(outcome, reason, Some(detail), None);
        } else if let Some(note) = answered.note {
            match answered.response.status() {
                StatusCode::CONFLICT => record.not_done(ErrorCode::ResourceAlreadyExists.as_str(), note),
                status if status.is_client_error() => {
                    record.not_done(ErrorCode::InvalidParameterValue.as_str(), note);
                }
                _ => record.note(note),
            }
        }
        Ok(answered.response)
    }
}

/// Where somebody asks for what they were refused: for the very thing that the request names, if it names one, and not for
/// what that turned out to lie in.
pub(super) fn to_ask(refusal: &Refusal, uri: &Uri, record: &Record) -> Option<String> {
    let browser = matches!(record.proof(), Some(Proof::Session | Proof::Iap));
    if !browser || refusal.status != StatusCode::FORBIDDEN || refusal.grant.is_none() {
        return None;
    }
    let query = uri.query().unwrap_or_default();
    let named: Vec<_> = url::form_urlencoded::parse(query.as_bytes()).map(|(_, value)| value).collect();
    let thing = record.about().iter().find(|object| named.iter().any(|value| **value == *object.id));
    Some(own::ask_address(thing))
}
