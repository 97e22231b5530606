//! Which models does the server ask for somebody, and with whose keys?
//!
//! A job runs a scorer as it is stored, whatever text a request holds (MLflow 3.17.2, `_invoke_scorer_handler`,
//! `_invoke_genai_evaluate_handler`), and asks a provider with the server's own keys where no secret holds any
//! (`_invoke_issue_detection_handler`). MLflow has the gateway judge the job's calls by the name of whoever started it;
//! here nobody has a name there, so it is judged before the job begins.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use serde::Deserialize;

use super::links::{Ask, Links, Miss, ResolveFault, read, settle};
use super::review::{endpoints, unreadable};
use super::{Resolved, Resolver};
use crate::access::decide::Requirement;
use crate::mlflow::ids::{GatewayEndpointName, ScorerName};
use crate::mlflow::permission::Action;
use crate::mlflow::resource::{Kind, Resource};
use crate::policy::fields::{Fields, Judge};

const NO_JUDGE: &str = "there is no such scorer";
const PROVIDER: &str = "the provider's name is no plain word";

/// The gateway, as a provider (3.17.2, `metrics/genai/model_utils.py`, `_parse_model_uri`).
const GATEWAY: &str = "gateway";
/// What MLflow shows in place of a value that is too short for a key (3.17.2, `utils/crypto.py`, `_mask_string_value`).
const NO_KEY: &str = "***";

/// The members of a secret without which the server's own keys would be taken (3.17.2, `utils/providers.py`,
/// `_CORE_PROVIDER_ENV_VARS`).
fn keys_of(provider: &str) -> &'static [&'static str] {
    match provider {
        "bedrock" => &["aws_access_key_id", "aws_secret_access_key"],
        _ => &["api_key"],
    }
}

impl Links {
    /// The stored text of a registered scorer, by `experiment/name` (the newest version) or `experiment/name/version`.
    /// Never remembered: versions come and go.
    async fn stored_judge<A: Ask>(&self, id: &str, upstream: &A) -> Result<Option<Arc<str>>, ResolveFault> {
        let mut parts = id.split('/');
        let (experiment, name) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        // The name is quoted in the id as a query has it.
        let mut target = format!("/api/3.0/mlflow/scorers/get?experiment_id={experiment}&name={name}");
        if let Some(version) = parts.next() {
            target.push_str("&version=");
            target.push_str(version);
        }
        let found = self.get(&target, upstream).await.and_then(|asked| {
            let JudgeAnswer { scorer } = read(&asked)?;
            Ok(Arc::from(scorer.serialized_scorer))
        });
        settle(found)
    }

    /// Whether a secret holds all of these keys.
    async fn secret_holds<A: Ask>(&self, id: &str, keys: &[&str], upstream: &A) -> Result<bool, ResolveFault> {
        let target = format!("/api/3.0/mlflow/gateway/secrets/get?secret_id={id}");
        let found = self.get(&target, upstream).await.and_then(|asked| {
            let SecretAnswer { secret } = read(&asked)?;
            if secret.secret_id != id {
                return Err(Miss::Fault(ResolveFault::Unreadable("it is about another secret")));
            }
            // What stands beside the secret is taken in place of what stands in it.
            Ok(keys.iter().all(|key| {
                !secret.auth_config.contains_key(*key)
                    && secret.masked_values.get(*key).is_some_and(|value| !value.is_empty() && value != NO_KEY)
            }))
        });
        Ok(settle(found)?.unwrap_or_default())
    }
}

impl Resolver {
    /// READ on a version of a registered scorer, and USE on what its stored text asks. Of a scorer without a version, the
    /// newest one is meant, and what is wanted of the scorer itself stands in the row.
    pub(super) async fn on_judge<A: Ask>(
        &self,
        id: &Arc<str>,
        upstream: &A,
        resolved: &mut Resolved,
    ) -> Result<(), ResolveFault> {
        let versioned = id.split('/').count() > 2;
        if versioned {
            resolved.hold_or_miss(Action::Read, Resource::named(Kind::ScorerVersion, id));
        }
        match self.links.stored_judge(id, upstream).await? {
            Some(text) => return self.on_models(&[text], upstream, resolved).await,
            None if versioned => resolved.ask(Requirement::Absent(NO_JUDGE)),
            // MLflow tells so.
            None => {}
        }
        Ok(())
    }

    /// The same for each of those that are named by a text and a version.
    pub(super) async fn on_judges<A: Ask>(
        &self,
        judges: &[Judge],
        experiment: &str,
        upstream: &A,
        resolved: &mut Resolved,
    ) -> Result<(), ResolveFault> {
        if judges.len() > self.settings.most_look_ups {
            return Err(ResolveFault::TooMany { most: self.settings.most_look_ups });
        }
        for Judge { text, version } in judges {
            let named = serde_json::from_str::<Named<'_>>(text).ok().filter(|it| ScorerName::parse(&it.name).is_ok());
            let Some(Named { name }) = named else {
                resolved.ask(unreadable());
                continue;
            };
            let id = Arc::from(Kind::ScorerVersion.join([experiment, &*name, &*version.to_string()]));
            self.on_judge(&id, upstream, resolved).await?;
        }
        Ok(())
    }

    /// USE on each gateway endpoint that the texts name.
    pub(super) async fn on_models<A: Ask>(
        &self,
        texts: &[Arc<str>],
        upstream: &A,
        resolved: &mut Resolved,
    ) -> Result<(), ResolveFault> {
        let mut models = BTreeSet::new();
        for text in texts {
            match endpoints(text) {
                None => resolved.ask(unreadable()),
                Some(names) => models.extend(names),
            }
        }
        if models.len() > self.settings.most_look_ups {
            return Err(ResolveFault::TooMany { most: self.settings.most_look_ups });
        }
        for name in models {
            self.on_named(Action::Use, Kind::GatewayEndpoint, &name, upstream, resolved).await?;
        }
        Ok(())
    }

    /// Who answers for the model that a job asks, where no endpoint is named.
    pub(super) async fn on_provider<A: Ask>(
        &self,
        (provider, model, secret): (&str, &str, &str),
        fields: &Fields,
        upstream: &A,
        resolved: &mut Resolved,
    ) -> Result<(), ResolveFault> {
        let Some(provider) = fields.one(provider) else { return Ok(()) };
        let plain = |sign: u8| sign.is_ascii_alphanumeric() || matches!(sign, b'_' | b'-');
        if !provider.bytes().all(plain) {
            resolved.ask(Requirement::Admin(PROVIDER));
            return Ok(());
        }
        let provider = provider.to_ascii_lowercase();
        if provider == GATEWAY {
            let Some(model) = fields.one(model) else { return Ok(()) };
            if GatewayEndpointName::parse(model).is_err() {
                resolved.ask(unreadable());
                return Ok(());
            }
            return self.on_named(Action::Use, Kind::GatewayEndpoint, model, upstream, resolved).await;
        }
        let own = match fields.one(secret) {
            Some(id) => self.links.secret_holds(id, keys_of(&provider), upstream).await?,
            None => false,
        };
        if !own {
            resolved.hold(Action::Use, Resource::every(Kind::GatewaySecret));
        }
        Ok(())
    }
}

#[derive(Deserialize)]
struct Named<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
}

#[derive(Deserialize)]
struct JudgeAnswer {
    scorer: JudgeBody,
}

#[derive(Deserialize)]
struct JudgeBody {
    serialized_scorer: String,
}

#[derive(Deserialize)]
struct SecretAnswer {
    secret: SecretBody,
}

#[derive(Deserialize)]
struct SecretBody {
    secret_id: String,
    #[serde(default)]
    masked_values: HashMap<String, String>,
    #[serde(default)]
    auth_config: HashMap<String, String>,
}
