//! Which spellings of an id does MLflow take for the same object, and which one do we accept?
//!
//! MLflow reads ids leniently: experiment ids go through Python's `int()`, so `01`, `+1`, ` 1` and `0_1` are all
//! experiment 1 (MLflow 3.17.2, `SqlAlchemyStore.get_experiment`). Each type here accepts exactly one spelling, so
//! that what was judged is what MLflow acts on.

#[cfg(test)]
mod tests;

use std::borrow::Borrow;
use std::fmt;
use std::sync::{Arc, LazyLock};

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

/// An id that is not in its one accepted spelling.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a canonical {kind}: {why}")]
pub struct BadId {
    /// What the id should have been, e.g. `experiment id`.
    pub kind: &'static str,
    /// Which rule it breaks.
    pub why: &'static str,
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $check:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Accepts the canonical spelling alone.
            ///
            /// # Errors
            /// [`BadId`] when `text` is spelled in any other way.
            pub fn parse(text: &str) -> Result<Self, BadId> {
                let check: fn(&str) -> Result<(), &'static str> = $check;
                match check(text) {
                    Ok(()) => Ok(Self(Arc::from(text))),
                    Err(why) => Err(BadId { kind: $kind, why }),
                }
            }

            /// The id as MLflow spells it.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// The same text, shared.
            #[must_use]
            pub fn to_shared(&self) -> Arc<str> {
                Arc::clone(&self.0)
            }
        }

        // Equal, ordered and hashed as its text is.
        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

id!(
    /// `0|[1-9][0-9]*`, at most 19 digits (a signed 64-bit integer in the backend store).
    ExperimentId,
    "experiment id",
    decimal
);
id!(
    /// 32 lower-case hex digits (`uuid.uuid4().hex`).
    RunId,
    "run id",
    |text| lower_hex(text, 32)
);
id!(
    /// `m-` and 32 lower-case hex digits.
    LoggedModelId,
    "logged model id",
    |text| match text.strip_prefix("m-") {
        Some(rest) => lower_hex(rest, 32),
        None => Err("it begins with `m-`"),
    }
);
id!(
    /// `tr-` and 32 lower-case hex digits, or 32 hex digits of the older scheme.
    TraceId,
    "trace id",
    |text| lower_hex(text.strip_prefix("tr-").unwrap_or(text), 32)
);
id!(
    /// `d-` and 32 lower-case hex digits (3.17.2, `SqlAlchemyStore.create_dataset`).
    DatasetId,
    "dataset id",
    |text| prefixed(text, "d-", "it begins with `d-`")
);
id!(
    /// `ls-` and 32 lower-case hex digits (3.17.2, `SqlLabelSchema`).
    LabelSchemaId,
    "label schema id",
    |text| prefixed(text, "ls-", "it begins with `ls-`")
);
id!(
    /// `rq-` and 32 lower-case hex digits (3.17.2, `SqlReviewQueue`).
    ReviewQueueId,
    "review queue id",
    |text| prefixed(text, "rq-", "it begins with `rq-`")
);
id!(
    /// `iss-` and 32 lower-case hex digits (3.17.2, `SqlAlchemyStore.create_issue`).
    IssueId,
    "issue id",
    |text| prefixed(text, "iss-", "it begins with `iss-`")
);
id!(
    /// A UUID as Python writes it: lower-case hex digits in groups of 8, 4, 4, 4 and 12
    /// (3.17.2, `SqlAlchemyJobStore.create_job`).
    JobId,
    "job id",
    uuid
);
id!(
    /// Name of a scorer. MLflow takes any text that is not blank (3.17.2, `validate_scorer_name`); here it has no control
    /// characters, and its quoted form is short enough to be granted on.
    ScorerName,
    "scorer name",
    |text| {
        printable(text, 256)?;
        if text.trim().is_empty() {
            return Err("it is blank");
        }
        if utf8_percent_encode(text, NON_ALPHANUMERIC).to_string().len() > 260 { Err("it is too long to be granted on") } else { Ok(()) }
    }
);
id!(
    /// Name of a registered model or a prompt: 1 to 256 bytes, no control characters, not `*`
    /// (a wildcard in MLflow's grants), no `/` or `:` (MLflow refuses them, `_validate_model_name`).
    ModelName,
    "model name",
    model_name
);
id!(
    /// Name of an experiment as a caller writes it: 1 to 500 bytes, no control characters.
    ExperimentName,
    "experiment name",
    |text| printable(text, 500)
);
id!(
    /// A version of a registered model: a positive decimal number.
    ModelVersion,
    "model version",
    |text| if text == "0" { Err("versions begin at 1") } else { decimal(text) }
);
id!(
    /// `s-` and 32 lower-case hex digits (3.17.2, `store/tracking/gateway/sqlalchemy_mixin.py`, `s-{uuid4().hex}`).
    GatewaySecretId,
    "gateway secret id",
    |text| prefixed(text, "s-", "it has another prefix")
);
id!(
    /// `d-` and 32 lower-case hex digits.
    GatewayModelDefinitionId,
    "gateway model definition id",
    |text| prefixed(text, "d-", "it has another prefix")
);
id!(
    /// `e-` and 32 lower-case hex digits.
    GatewayEndpointId,
    "gateway endpoint id",
    |text| prefixed(text, "e-", "it has another prefix")
);
id!(
    /// `gr-` and 32 lower-case hex digits.
    GatewayGuardrailId,
    "gateway guardrail id",
    |text| prefixed(text, "gr-", "it has another prefix")
);
id!(
    /// Name of a gateway endpoint (3.17.2, `gateway/utils.py:is_valid_endpoint_name`).
    GatewayEndpointName,
    "gateway endpoint name",
    |text| spelled(text, 250, |byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'))
);
id!(
    /// Name of an MCP server, `namespace/slug` (3.17.2, `entities/mcp_server.py:validate_mcp_server_name`).
    McpServerName,
    "MCP server name",
    |text| match text.split_once('/') {
        Some((namespace, slug)) => mcp_namespace(namespace).and_then(|()| mcp_slug(slug)),
        None => Err("it is `namespace/slug`"),
    }
);
id!(
    /// The first half of an MCP server's name.
    McpNamespace,
    "MCP server namespace",
    mcp_namespace
);
id!(
    /// The second half of an MCP server's name. Words that stand behind a name in paths are refused: the path would be
    /// another call's.
    McpSlug,
    "MCP server slug",
    mcp_slug
);
id!(
    /// A version of an MCP server: any text that is one segment of a path.
    McpVersion,
    "MCP server version",
    |text| if text.contains('/') { Err("it has `/`") } else { printable(text, 255) }
);
id!(
    /// Name of a skill, or `@organization/name` (3.18.0, `utils/validation.py`).
    SkillName,
    "skill name",
    |text| match text.strip_prefix('@').map(|rest| rest.split_once('/')) {
        None => skill_word(text, "-"),
        Some(Some((organization, name))) => skill_word(organization, "-.").and_then(|()| skill_word(name, "-")),
        Some(None) => Err("it is `@organization/name`"),
    }
);
id!(
    /// The organization of a skill, without `@`.
    SkillOrganization,
    "skill organization",
    |text| skill_word(text, "-.")
);
id!(
    /// A person or a service account as Trackgate names it: a mail address in lower case, or a `sub`.
    /// 1 to 255 bytes of printable ASCII without spaces.
    UserName,
    "user name",
    |text| ascii_word(text, 255)
);
id!(
    /// A group of people: 1 to 255 bytes of printable ASCII without spaces.
    GroupName,
    "group name",
    |text| ascii_word(text, 255)
);

id!(
    /// Name of a role. MLflow takes any text of up to 255 characters that is not blank (3.17.2, `SqlRole`); here it has no
    /// control characters.
    RoleName,
    "role name",
    |text| {
        printable(text, 255)?;
        if text.trim() != text || text.is_empty() { Err("it is blank, or begins or ends with a space") } else { Ok(()) }
    }
);
id!(
    /// A workspace as MLflow names it (3.17.2, `WorkspaceNameValidator`): 2 to 63 of `a-z`, `0-9` and `-`, no `-` at either
    /// end, and none of the words that begin MLflow's own paths.
    WorkspaceName,
    "workspace name",
    workspace_name
);

impl WorkspaceName {
    /// Whether it is the workspace that MLflow takes where none is named, and the only one where workspaces are off.
    #[must_use]
    pub fn is_default(&self) -> bool {
        &*self.0 == DEFAULT_WORKSPACE
    }
}

/// MLflow's `DEFAULT_WORKSPACE_NAME`.
const DEFAULT_WORKSPACE: &str = "default";

impl Default for WorkspaceName {
    /// The workspace `default`. One text, shared: this is on every request's way.
    fn default() -> Self {
        static DEFAULT: LazyLock<WorkspaceName> = LazyLock::new(|| WorkspaceName(Arc::from(DEFAULT_WORKSPACE)));
        DEFAULT.clone()
    }
}

fn workspace_name(text: &str) -> Result<(), &'static str> {
    if !(2..=63).contains(&text.len()) {
        return Err("it does not have 2 to 63 characters");
    }
    if !text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-')) {
        return Err("it has something else than lower-case letters, digits and `-`");
    }
    if text.starts_with('-') || text.ends_with('-') {
        return Err("it begins or ends with `-`");
    }
    if matches!(text, "workspaces" | "api" | "ajax-api" | "static-files") {
        return Err("the name is reserved");
    }
    Ok(())
}

fn decimal(text: &str) -> Result<(), &'static str> {
    if text.is_empty() {
        return Err("it is empty");
    }
    if text.len() > 19 {
        return Err("it has more than 19 digits");
    }
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err("it has something else than digits");
    }
    if text.len() > 1 && text.starts_with('0') {
        return Err("it has a leading zero");
    }
    Ok(())
}

fn lower_hex(text: &str, length: usize) -> Result<(), &'static str> {
    if text.len() != length {
        return Err("it has the wrong length");
    }
    if text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
        Ok(())
    } else {
        Err("it has something else than lower-case hex digits")
    }
}

fn prefixed(text: &str, prefix: &str, why: &'static str) -> Result<(), &'static str> {
    match text.strip_prefix(prefix) {
        Some(rest) => lower_hex(rest, 32),
        None => Err(why),
    }
}

fn uuid(text: &str) -> Result<(), &'static str> {
    let mut groups = text.split('-');
    for length in [8, 4, 4, 4, 12] {
        lower_hex(groups.next().unwrap_or_default(), length)?;
    }
    if groups.next().is_some() { Err("it has more than five groups") } else { Ok(()) }
}

/// One or more of these bytes.
fn spelled(text: &str, most: usize, takes: fn(u8) -> bool) -> Result<(), &'static str> {
    printable(text, most)?;
    if text.bytes().all(takes) { Ok(()) } else { Err("it has a character that such names do not have") }
}

fn mcp_namespace(text: &str) -> Result<(), &'static str> {
    spelled(text, 255, |byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-'))?;
    begins_and_ends_well(text)
}

fn mcp_slug(text: &str) -> Result<(), &'static str> {
    if ["aliases", "endpoints", "tags", "versions"].contains(&text) {
        return Err("it is a word that paths need");
    }
    spelled(text, 255, |byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'))?;
    begins_and_ends_well(text)
}

fn begins_and_ends_well(text: &str) -> Result<(), &'static str> {
    let well = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    if text.len() > 1 && well(text.as_bytes().first()) && well(text.as_bytes().last()) {
        Ok(())
    } else {
        Err("it begins and ends with two different letters or digits")
    }
}

/// `[a-z0-9]+` again and again, with one of `between` between them.
fn skill_word(text: &str, between: &str) -> Result<(), &'static str> {
    printable(text, 64)?;
    let word = |part: &str| !part.is_empty() && part.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9'));
    if text.split(|sign| between.contains(sign)).all(word) {
        Ok(())
    } else {
        Err("it is lower-case letters and digits, with single hyphens between them")
    }
}

fn printable(text: &str, most: usize) -> Result<(), &'static str> {
    if text.is_empty() {
        return Err("it is empty");
    }
    if text.len() > most {
        return Err("it is too long");
    }
    if text.chars().any(char::is_control) {
        return Err("it has a control character");
    }
    Ok(())
}

fn model_name(text: &str) -> Result<(), &'static str> {
    printable(text, 256)?;
    if text == "*" {
        return Err("`*` is a wildcard in grants");
    }
    if text.contains(['/', ':']) {
        return Err("it has `/` or `:`");
    }
    Ok(())
}

fn ascii_word(text: &str, most: usize) -> Result<(), &'static str> {
    printable(text, most)?;
    if text.bytes().all(|byte| byte.is_ascii_graphic()) {
        Ok(())
    } else {
        Err("it has something else than printable ASCII")
    }
}
