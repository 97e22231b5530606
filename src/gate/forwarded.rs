//! How is a permitted call to MLflow carried out, and what is made of its answer?

use std::sync::Arc;

use http::Response;
use hyper::upgrade::OnUpgrade;

use super::refusal::Refusal;
use super::{Gate, faults};
use crate::access::decide::{Permitted, holds};
use crate::access::identity::{Principal, Proof};
use crate::message::{Body, Request};
use crate::mlflow::permission::Action;
use crate::mlflow::resource::{Kind, Resource};
use crate::policy::classify::Call;
use crate::policy::fields::Fields;
use crate::policy::route::{Answer, BodyClass};
use crate::resolve::Resolved;
use crate::{answer, forward, pages};

impl Gate {
    /// A call to one of MLflow's rows.
    pub(super) async fn ask_mlflow(
        &self,
        permitted: Permitted<Request>,
        upgrade: Option<OnUpgrade>,
        call: &Call,
        fields: &Fields,
        (resolved, known): (&Resolved, u64),
    ) -> Result<Response<Body>, Refusal> {
        if !answer::must_finish(call.row) && call.row.renamed().is_none() {
            return self.carry_out(permitted, upgrade, call, fields, (resolved, known)).await;
        }
        // A client that goes away drops this future. What MLflow has done by then must not stay without its grants. It keeps its
        // place: else whoever asks and leaves, again and again, would have any number of requests answered at once.
        let (gate, call, fields, resolved) = (self.clone(), call.clone(), fields.clone(), resolved.clone());
        let whole = async move { gate.carry_out(permitted, upgrade, &call, &fields, (&resolved, known)).await };
        self.house.forward.tunnels.carry(whole).await.unwrap_or_else(|| Err(faults::panicked()))
    }

    async fn carry_out(
        &self,
        permitted: Permitted<Request>,
        upgrade: Option<OnUpgrade>,
        call: &Call,
        fields: &Fields,
        (resolved, known): (&Resolved, u64),
    ) -> Result<Response<Body>, Refusal> {
        let house = &*self.house;
        let forward = match (call.row.body, call.row.fetches) {
            (BodyClass::Artifact, _) | (_, true) => &house.artifacts,
            (BodyClass::Json | BodyClass::LargeJson | BodyClass::Otlp | BodyClass::Form, false) => &house.forward,
        };
        let tools = answer::Tools {
            upstream: &self.upstream,
            forward,
            resolver: &house.resolver,
            store: &house.store,
            shared: &house.answer,
        };
        match &call.row.answer {
            // Nobody is served without being known: the way ends before.
            Answer::Served => Err(faults::unknown_call()),
            Answer::Ours(json) => Ok(answer::ours(permitted, json)),
            Answer::OursUnless(json, kind) if !may_use_every(permitted.principal(), *kind) => {
                Ok(answer::ours(permitted, json))
            }
            Answer::Keep(list) => Ok(Box::pin(answer::list(permitted, call, list, &tools)).await?),
            Answer::GraphQl(graph) => Ok(Box::pin(answer::graph(permitted, call, graph, &tools)).await?),
            Answer::Shell => {
                let session = permitted.principal().is_some_and(|caller| caller.identity.proof == Proof::Session);
                let head_only = permitted.get().head_only;
                let answer = forward::forward(permitted, None, &self.upstream, forward).await?;
                let answer = Box::pin(answer::with_entry(answer, &house.answer)).await?;
                if session && !head_only {
                    return Ok(Box::pin(answer::with_script(answer, pages::menu(), &house.answer)).await?);
                }
                Ok(answer)
            }
            Answer::Stream | Answer::OursUnless(..) | Answer::Hide(_) | Answer::Confirm { .. } | Answer::Offers(_) => {
                let upgrade = if call.row.upgrade { upgrade } else { None };
                let principal = permitted.principal().cloned();
                let head_only = permitted.get().head_only;
                let answer = forward::forward(permitted, upgrade, &self.upstream, forward).await;
                for id in call.row.renamed().into_iter().flat_map(|field| fields.each(field)) {
                    // Whatever came back: it may be called otherwise now.
                    house.resolver.forget_name(id, self.upstream.workspace()).await;
                }
                let answer = answer?;
                let judged = answer::Judged { objects: &resolved.objects, absent: &resolved.absent, known };
                let answer = answer::look_over(answer, principal.as_deref(), call, fields, judged, &tools).await?;
                // Whatever is left of it is not for a HEAD, and ends here unread.
                Ok(if head_only { answer.map(|_| Body::Empty) } else { answer })
            }
        }
    }
}

/// Whether the caller is an administrator, or may use everything of the kind.
fn may_use_every(principal: Option<&Arc<Principal>>, kind: Option<Kind>) -> bool {
    principal.is_some_and(|principal| {
        principal.admin || kind.is_some_and(|kind| holds(principal, Action::Use, &Resource::every(kind)).is_ok())
    })
}
