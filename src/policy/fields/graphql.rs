//! How is a GraphQL request read?
//!
//! `{"query": ..., "variables": ..., "operationName": ...}` (MLflow 3.17.2, `handlers.py` `_graphql`). What the document
//! names becomes the fields `graphql.experiment`, `graphql.searched`, `graphql.run` and `graphql.path`.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::FieldFault;
use super::body::plain_object;
use super::plan::Plan;
use crate::mlflow::graphql::{self, Document, Json};

/// The members that MLflow reads. serde refuses one that stands twice; others are not read by anybody.
#[derive(Deserialize)]
struct Request<'a> {
    #[serde(borrow)]
    query: Cow<'a, str>,
    #[serde(default)]
    variables: Option<Variables>,
    #[serde(default, rename = "operationName")]
    operation_name: Option<String>,
    #[serde(default, rename = "extensions")]
    _extensions: Option<IgnoredAny>,
}

struct Variables(HashMap<String, Json>);

impl<'de> Deserialize<'de> for Variables {
    fn deserialize<D: serde::Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        match Json::deserialize(json)? {
            Json::Object(members) => Ok(Self(members.into_iter().collect())),
            Json::Null | Json::Text(_) | Json::Truth(_) | Json::Number(_) | Json::List(_) => {
                Err(serde::de::Error::custom("`variables` is not an object"))
            }
        }
    }
}

/// What a GraphQL request asks for.
///
/// # Errors
/// [`FieldFault`] for whatever is not understood.
pub fn read_document(body: &[u8]) -> Result<Document, FieldFault> {
    let text = plain_object(body)?;
    let request: Request<'_> = serde_json::from_str(text).map_err(|error| FieldFault::NotJson(error.to_string()))?;
    let variables = request.variables.map(|Variables(members)| members).unwrap_or_default();
    Ok(graphql::read(&request.query, &variables, request.operation_name.as_deref())?)
}

pub(super) fn read(plan: &Plan, body: &[u8], slots: &mut [Option<Vec<Arc<str>>>]) -> Result<(), FieldFault> {
    let asked = read_document(body)?.asked()?;
    for (slot, values) in plan.slots.iter().zip(slots) {
        let named = match slot.name {
            "graphql.experiment" => &asked.experiments,
            "graphql.searched" => &asked.searched,
            "graphql.run" => &asked.runs,
            "graphql.path" => &asked.paths,
            _ => continue,
        };
        *values = (!named.is_empty()).then(|| named.iter().map(|id| Arc::from(id.as_str())).collect());
    }
    Ok(())
}
