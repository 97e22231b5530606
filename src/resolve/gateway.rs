//! What do the names and ids of the AI gateway stand for?
//!
//! Grants speak of ids (`e-...`), callers of names. Names can be given to something else at any time, so nothing here
//! is remembered (MLflow 3.17.2, `store/tracking/gateway/sqlalchemy_mixin.py`).

use std::collections::HashMap;
use std::sync::Arc;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;

use super::links::{Ask, Links, Miss, ResolveFault, read, settle};
use super::{Resolved, Resolver};
use crate::access::decide::Requirement;
use crate::mlflow::ids::{ExperimentId, GatewayEndpointId};
use crate::mlflow::permission::Action;
use crate::mlflow::resource::{Kind, Object, Resource};
use crate::policy::fields::Fields;

const ENDPOINTS: &str = "/api/3.0/mlflow/gateway/endpoints";

impl Links {
    /// The id of the gateway's endpoint of that name.
    pub(super) async fn gateway_named<A: Ask>(
        &self,
        kind: Kind,
        name: &str,
        upstream: &A,
    ) -> Result<Option<Arc<str>>, ResolveFault> {
        let quoted = utf8_percent_encode(name, NON_ALPHANUMERIC);
        let found = match kind {
            Kind::GatewayEndpoint => {
                self.get(&format!("{ENDPOINTS}/get?name={quoted}"), upstream).await.and_then(|asked| {
                    let EndpointAnswer { endpoint } = read(&asked)?;
                    the_one(&endpoint.name, name, &endpoint.endpoint_id, GatewayEndpointId::parse)
                })
            }
            // No row names anything else so.
            _ => Err(Miss::Absent),
        };
        settle(found)
    }

    /// The scorer that a guardrail runs.
    async fn guardrail_scorer<A: Ask>(&self, id: &str, upstream: &A) -> Result<Option<Arc<str>>, ResolveFault> {
        let target = format!("/api/3.0/mlflow/gateway/guardrails/get?guardrail_id={id}");
        let found = self.get(&target, upstream).await.and_then(|asked| {
            let GuardrailAnswer { guardrail } = read(&asked)?;
            if guardrail.guardrail_id != id {
                return Err(Miss::Fault(ResolveFault::Unreadable("it is about another guardrail")));
            }
            let experiment = guardrail.scorer.experiment_id.text();
            if ExperimentId::parse(&experiment).is_err() {
                return Err(Miss::Fault(ResolveFault::Unreadable("it names no experiment")));
            }
            Ok(Arc::from(Kind::Scorer.join([&*experiment, &*guardrail.scorer.scorer_name])))
        });
        settle(found)
    }

    /// An endpoint's name, and whether it has an experiment for its traces.
    async fn endpoint<A: Ask>(&self, id: &str, upstream: &A) -> Result<Option<(String, bool)>, ResolveFault> {
        let found = self.get(&format!("{ENDPOINTS}/get?endpoint_id={id}"), upstream).await.and_then(|asked| {
            let EndpointAnswer { endpoint } = read(&asked)?;
            if endpoint.endpoint_id != id {
                return Err(Miss::Fault(ResolveFault::Unreadable("it is about another endpoint")));
            }
            Ok((endpoint.name, endpoint.experiment_id.is_some_and(|id| !id.text().is_empty())))
        });
        settle(found)
    }
}

impl Resolver {
    /// The ids of all of the gateway's endpoints, by name.
    ///
    /// # Errors
    /// [`ResolveFault`] when MLflow cannot tell.
    pub async fn gateway_endpoints<A: Ask>(&self, upstream: &A) -> Result<HashMap<Arc<str>, Arc<str>>, ResolveFault> {
        let found = self.links.get(&format!("{ENDPOINTS}/list"), upstream).await.and_then(|asked| {
            let EndpointsAnswer { endpoints } = read(&asked)?;
            Ok(endpoints.into_iter().map(|one| (Arc::from(one.name), Arc::from(one.endpoint_id))).collect())
        });
        Ok(settle(found)?.unwrap_or_default())
    }

    /// `action` on what is named, or nothing of that name.
    pub(super) async fn on_named<A: Ask>(
        &self,
        action: Action,
        kind: Kind,
        name: &str,
        upstream: &A,
        resolved: &mut Resolved,
    ) -> Result<(), ResolveFault> {
        let id = self.links.gateway_named(kind, name, upstream).await?;
        resolved.hold_or_miss(action, id.map(|id| Resource::top(kind, id)));
        Ok(())
    }

    /// READ on the scorer that the guardrail runs, and on its experiment.
    pub(super) async fn on_guardrail<A: Ask>(
        &self,
        id: &str,
        upstream: &A,
        resolved: &mut Resolved,
    ) -> Result<(), ResolveFault> {
        let scorer = self.links.guardrail_scorer(id, upstream).await?;
        if let Some((experiment, _)) = scorer.as_deref().and_then(|id| id.split_once('/')) {
            resolved.hold(Action::Read, Resource::top(Kind::Experiment, Arc::from(experiment)));
        }
        if let Some(id) = &scorer {
            resolved.not_denied(Kind::Scorer, id);
        }
        resolved.hold_or_miss(Action::Read, scorer.map(|id| Resource::top(Kind::Scorer, id)));
        Ok(())
    }

    /// EDIT on the experiment that MLflow would find by the endpoint's name and write traces to. Where there is none
    /// it makes one, and the call's row says whose that is (`_get_or_create_experiment_id`).
    pub(super) async fn on_traces<A: Ask>(
        &self,
        field: &'static str,
        fields: &Fields,
        upstream: &A,
        resolved: &mut Resolved,
    ) -> Result<(), ResolveFault> {
        if fields.one("experiment_id").is_some() {
            return Ok(());
        }
        let name = match (field, fields.one(field)) {
            (_, None) => return Ok(()),
            ("endpoint_id", Some(id)) => match self.links.endpoint(id, upstream).await? {
                // No such endpoint, or one that has its place.
                None | Some((_, true)) => return Ok(()),
                Some((old, false)) => fields.one("name").map_or(old, str::to_owned),
            },
            (_, Some(name)) => name.to_owned(),
        };
        let named = format!("gateway/{name}");
        if let Some(id) = self.links.experiment_named(&named, upstream).await? {
            resolved.hold(Action::Edit, Resource::top(Kind::Experiment, id));
        } else {
            // One is made on the way: experiments as such are not denied.
            resolved.ask(Requirement::NotDenied(Resource::top(Kind::Experiment, Arc::from(""))));
            resolved.new_experiment(&named);
            resolved.absent.push(Object { kind: Kind::Experiment, id: Arc::from(named) });
        }
        Ok(())
    }
}

/// The id, when the answer is about what was asked for, and the id is one.
fn the_one<T>(
    found: &str,
    asked: &str,
    id: &str,
    parse: fn(&str) -> Result<T, crate::mlflow::ids::BadId>,
) -> Result<Arc<str>, Miss> {
    if found != asked {
        return Err(Miss::Fault(ResolveFault::Unreadable("it is about another name")));
    }
    match parse(id) {
        Ok(_) => Ok(Arc::from(id)),
        Err(_) => Err(Miss::Fault(ResolveFault::Unreadable("it has no usable id"))),
    }
}

#[derive(Deserialize)]
struct EndpointAnswer {
    endpoint: EndpointBody,
}

#[derive(Deserialize)]
struct EndpointsAnswer {
    #[serde(default)]
    endpoints: Vec<EndpointBody>,
}

#[derive(Deserialize)]
struct EndpointBody {
    endpoint_id: String,
    #[serde(default)]
    name: String,
    experiment_id: Option<Id>,
}

#[derive(Deserialize)]
struct GuardrailAnswer {
    guardrail: GuardrailBody,
}

#[derive(Deserialize)]
struct GuardrailBody {
    guardrail_id: String,
    scorer: ScorerBody,
}

#[derive(Deserialize)]
struct ScorerBody {
    experiment_id: Id,
    scorer_name: String,
}

/// MLflow writes some ids as numbers, some as texts.
#[derive(Deserialize)]
#[serde(untagged)]
enum Id {
    Text(String),
    Number(u64),
}

impl Id {
    fn text(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Number(number) => number.to_string(),
        }
    }
}
