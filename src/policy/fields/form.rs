//! What must a value look like?
//!
//! The form of each kind's id, and of the few other values that a row reads. What is not in its form is refused before
//! anybody looks at what it names.

use std::fmt;

use crate::mlflow::granting::Holder;
use crate::mlflow::ids::{
    BadId, DatasetId, ExperimentId, ExperimentName, GatewayEndpointId, GatewayModelDefinitionId, GatewaySecretId,
    IssueId, JobId, LabelSchemaId, LoggedModelId, McpNamespace, McpServerName, McpSlug, McpVersion, ModelName,
    ModelVersion, ReviewQueueId, RunId, ScorerName, SkillName, SkillOrganization, TraceId, WorkspaceName,
};
use crate::mlflow::resource::Kind;

/// What a value must look like.
#[derive(Clone, Copy)]
pub(super) enum Form {
    Text,
    Id(fn(&str) -> Result<(), BadId>),
    ArtifactPath,
    /// Nothing: only the server may say what stands there.
    Absent,
    FileName,
}

impl fmt::Debug for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Text => "Text",
            Self::Id(_) => "Id",
            Self::ArtifactPath => "ArtifactPath",
            Self::Absent => "Absent",
            Self::FileName => "FileName",
        })
    }
}

/// A user's name, or `group:NAME`.
pub(super) const HOLDER: Form = Form::Id(|text| Holder::parse(text).map(drop));

/// The number that the store gave to something.
pub(super) const NUMBER: Form = Form::Id(|text| number(text).map(drop));

/// Reads a number of the store's, in its one spelling.
///
/// # Errors
/// [`BadId`].
pub(super) fn number(text: &str) -> Result<u64, BadId> {
    const WRONG: BadId = BadId { kind: "number", why: "it is an integer from 1 on, in decimal digits" };
    let canonical = text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0');
    let number = text.parse::<u64>().ok().filter(|number| i64::try_from(*number).is_ok());
    number.filter(|_| canonical).ok_or(WRONG)
}

pub(super) fn form_of(kind: Kind) -> Form {
    match kind {
        Kind::Experiment => Form::Id(|text| ExperimentId::parse(text).map(drop)),
        Kind::ExperimentName => Form::Id(|text| ExperimentName::parse(text).map(drop)),
        Kind::Run => Form::Id(|text| RunId::parse(text).map(drop)),
        Kind::LoggedModel => Form::Id(|text| LoggedModelId::parse(text).map(drop)),
        Kind::Trace => Form::Id(|text| TraceId::parse(text).map(drop)),
        Kind::Workspace => Form::Id(|text| WorkspaceName::parse(text).map(drop)),
        Kind::Dataset => Form::Id(|text| DatasetId::parse(text).map(drop)),
        Kind::LabelSchema => Form::Id(|text| LabelSchemaId::parse(text).map(drop)),
        Kind::ReviewQueue => Form::Id(|text| ReviewQueueId::parse(text).map(drop)),
        Kind::Issue => Form::Id(|text| IssueId::parse(text).map(drop)),
        Kind::Job => Form::Id(|text| JobId::parse(text).map(drop)),
        Kind::RegisteredModel | Kind::Prompt => Form::Id(|text| ModelName::parse(text).map(drop)),
        Kind::GatewaySecret => Form::Id(|text| GatewaySecretId::parse(text).map(drop)),
        Kind::GatewayEndpoint => Form::Id(|text| GatewayEndpointId::parse(text).map(drop)),
        Kind::GatewayModelDefinition => Form::Id(|text| GatewayModelDefinitionId::parse(text).map(drop)),
        Kind::McpServer => Form::Id(|text| McpServerName::parse(text).map(drop)),
        Kind::Skill => Form::Id(|text| SkillName::parse(text).map(drop)),
        Kind::ModelVersion
        | Kind::PromptVersion
        | Kind::Assessment
        | Kind::Scorer
        | Kind::ScorerVersion
        | Kind::McpServerVersion => Form::Text,
    }
}

/// What the part of a joined id must look like, and whether a number passes for its digits.
pub(super) fn part_form(kind: Kind, index: usize) -> (Form, bool) {
    match (kind, index) {
        (Kind::ModelVersion | Kind::PromptVersion, 0) => (form_of(Kind::RegisteredModel), false),
        (Kind::ModelVersion | Kind::PromptVersion, _) | (Kind::ScorerVersion, 2) => {
            (Form::Id(|text| ModelVersion::parse(text).map(drop)), true)
        }
        (Kind::McpServer | Kind::McpServerVersion, 0) => (Form::Id(|text| McpNamespace::parse(text).map(drop)), false),
        (Kind::McpServer | Kind::McpServerVersion, 1) => (Form::Id(|text| McpSlug::parse(text).map(drop)), false),
        (Kind::McpServerVersion, _) => (Form::Id(|text| McpVersion::parse(text).map(drop)), false),
        (Kind::Skill, 0) => (Form::Id(|text| SkillOrganization::parse(text).map(drop)), false),
        (Kind::Skill, _) => (form_of(Kind::Skill), false),
        (Kind::Scorer | Kind::ScorerVersion | Kind::ReviewQueue, 0) => (form_of(Kind::Experiment), true),
        (Kind::Scorer | Kind::ScorerVersion, 1) => (Form::Id(|text| ScorerName::parse(text).map(drop)), false),
        _ => (Form::Text, false),
    }
}
