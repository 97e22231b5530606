//! Lists and principals that the tests and checks of this room share.

#![allow(clippy::unwrap_used, reason = "for tests")]

use std::sync::Arc;
use std::time::SystemTime;

use crate::access::grant::{GrantSet, Pattern, Subject};
use crate::access::identity::{Identity, Names, Principal, Proof};
use crate::mlflow::ids::{UserName, WorkspaceName};
use crate::mlflow::permission::Permission;
use crate::mlflow::resource::Kind;
#[cfg(test)]
use crate::policy::route::{Cut, Link, List, Own, Paging};

#[cfg(test)]
pub(crate) const EXPERIMENTS: List = List {
    member: "experiments",
    kind: Kind::Experiment,
    id: "experiment_id",
    own: None,
    links: &[],
    paged: Some(Paging { default: 0, most: 50_000, narrow_by: Some("experiment_id") }),
};

#[cfg(test)]
pub(crate) const RUNS: List = List {
    member: "runs",
    kind: Kind::Experiment,
    id: "info.experiment_id",
    own: Some(Own { kind: Kind::Run, id: &["info.run_id"] }),
    links: &[
        Link { at: "inputs.model_inputs[].model_id", kind: Kind::LoggedModel, cut: Cut::Element },
        Link { at: "data.metrics[].model_id", kind: Kind::LoggedModel, cut: Cut::Value },
    ],
    paged: Some(Paging { default: 1000, most: 50_000, narrow_by: None }),
};

#[cfg(test)]
pub(crate) const REGISTERED_MODELS: List = List {
    member: "registered_models",
    kind: Kind::RegisteredModel,
    id: "name",
    own: None,
    links: &[],
    paged: Some(Paging { default: 100, most: 1000, narrow_by: Some("name") }),
};

#[cfg(test)]
pub(crate) const MODEL_VERSIONS: List = List {
    member: "model_versions",
    kind: Kind::RegisteredModel,
    id: "name",
    own: Some(Own { kind: Kind::ModelVersion, id: &["name", "version"] }),
    links: &[Link { at: "run_id", kind: Kind::Run, cut: Cut::Value }],
    paged: Some(Paging { default: 10_000, most: 200_000, narrow_by: Some("name") }),
};

pub(crate) fn ann(grants: &[(Kind, &str, Permission)]) -> Principal {
    let user = UserName::parse("ann").unwrap();
    let mut set = GrantSet::new(Subject::User(user.clone()));
    for (kind, pattern, permission) in grants {
        set.insert(*kind, Pattern::parse(*kind, pattern).unwrap(), *permission);
    }
    let identity = Identity {
        user,
        issuer: "test".into(),
        subject: "ann".into(),
        groups: Vec::new(),
        proof: Proof::Bearer,
        until: SystemTime::UNIX_EPOCH,
        token: None,
    };
    Principal {
        identity: Arc::new(identity),
        admin: false,
        workspace: WorkspaceName::default(),
        grants: vec![Arc::new(set)],
        names: Names::default(),
    }
}
