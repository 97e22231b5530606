//! Is a GraphQL document understood whole, and within bounds?

use std::collections::HashMap;

use crate::mlflow::graphql::{self, Json};

/// A document and, behind a zero byte, its variables.
pub fn graphql(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (document, variables) = text.split_once('\0').unwrap_or((text, "{}"));
    let Ok(variables) = serde_json::from_str::<HashMap<String, Json>>(variables) else { return };
    let Ok(asked) = graphql::read(document, &variables) else { return };
    let named = asked.experiments.iter().chain(&asked.runs).chain(&asked.runs_with_experiment).chain(&asked.paths);
    for id in named {
        assert!(text.contains(id.as_str()) || text.contains('\\'), "{id:?} stands nowhere in {text:?}");
    }
}
