//! How are calls answered that MLflow never hears of: our pages, and what is said from our own store?

use std::sync::Arc;

use http::Response;

use super::Gate;
use super::refusal::Refusal;
use crate::access::decide::{Permitted, decide};
use crate::access::identity::Principal;
use crate::audit::{self, Record};
use crate::authenticate::credential::Credentials;
use crate::message::{Body, Request};
use crate::policy::classify::Call;
use crate::policy::fields::Fields;
use crate::{api, pages};

impl Gate {
    /// A call to one of our own rows.
    pub(super) async fn answer_ourselves(
        &self,
        permitted: Permitted<Request>,
        call: &Call,
        fields: &Fields,
        credentials: &Credentials,
        record: &mut Record,
    ) -> Response<Body> {
        let answered = pages::answer(permitted, call, fields, credentials, &self.house.authenticator).await;
        if let Some(identity) = answered.identity {
            record.who(identity);
        }
        if answered.moved {
            record.moved();
        }
        if let Some(note) = answered.note {
            record.note(note);
        }
        if let Some((error, detail)) = answered.undone {
            record.not_done(error, detail);
        }
        if let Some((reason, detail)) = answered.refused {
            let ours = answered.response.status().is_server_error();
            let outcome = if ours { audit::Outcome::Error } else { audit::Outcome::Deny };
            record.refused(outcome, reason, Some(detail), None);
        }
        answered.response
    }

    /// A call that is answered from our own store. The caller acts in the workspace that it is about.
    pub(super) async fn serve(
        &self,
        principal: Arc<Principal>,
        request: Request,
        call: &Call,
        fields: &Fields,
        record: &mut Record,
    ) -> Result<Response<Body>, Refusal> {
        let house = &*self.house;
        let place = api::place(call, fields, &principal.workspace, &house.store);
        let (principal, upstream) = if place == principal.workspace {
            (principal, self.upstream.clone())
        } else {
            record.workspace(&place);
            let upstream = if house.clean.workspaces { self.upstream.within(&place) } else { self.upstream.clone() };
            (house.store.principal(Arc::clone(&principal.identity), &place)?, upstream)
        };
        let known = api::known(call, fields, &principal, &house.store);
        let resolved = house.resolver.resolve_about(Some(&principal), call, fields, &known, &upstream).await?;
        record.objects(resolved.objects.clone());
        record.asked(&resolved.requirements);
        let asker = resolved.asker().cloned();
        if let Some(asker) = &asker {
            record.called(&asker.names);
        }
        let decided = decide(asker.clone(), &resolved.requirements, request);
        self.decided();
        let permitted = match decided {
            Ok(permitted) => permitted,
            Err(denial) => return Err(Box::pin(self.denied(*denial, call, fields, asker, &upstream)).await),
        };
        record.allowed(permitted.reasons());
        let tools = api::Tools {
            store: &house.store,
            authenticator: &house.authenticator,
            fields,
            objects: &resolved.objects,
            thing: resolved.thing.as_ref(),
            about: resolved.about.as_deref(),
            workspaces: house.clean.workspaces,
        };
        let answered = api::answer(permitted, call, tools).await;
        match answered.not_done {
            Some(fault) if fault.ours => {
                record.refused(audit::Outcome::Error, "not-stored", Some(fault.message), None);
            }
            Some(fault) => record.not_done(fault.code.as_str(), fault.message),
            None => {}
        }
        Ok(answered.response)
    }
}
