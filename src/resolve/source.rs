//! What does a model version's `source` point to?
//!
//! MLflow later reads it with the server's own rights (`/model-versions/get-artifact`), so it must lie in something that
//! the caller may read. Spellings that another reader could fold into something else are unclear.

use crate::mlflow::ids::{LoggedModelId, ModelName, ModelVersion, RunId};
use crate::policy::path;

/// A source, taken apart.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Source<'a> {
    /// What prompts have: nothing is read (MLflow 3.17.2, `mlflow/prompt/constants.py`).
    Placeholder,
    /// `runs:/<run>/...`
    Run(&'a str),
    /// `models:/<logged model>`
    LoggedModel(&'a str),
    /// `models:/<name>/<version>`, as `name/version`
    Version(&'a str),
    /// `models:/<name>@<alias>`
    Alias(&'a str, &'a str),
    /// Any other place, by its address.
    Place(&'a str),
    /// Nothing that can be judged.
    Unclear,
}

/// Reads a source as MLflow does (3.17.2, `_resolve_registered_model_source_lineage`, `_parse_model_uri`).
pub(super) fn read(text: &str) -> Source<'_> {
    if matches!(text, "dummy-source" | "prompt-template") {
        return Source::Placeholder;
    }
    if let Some(rest) = text.strip_prefix("runs:/") {
        return run(rest);
    }
    if let Some(rest) = text.strip_prefix("models:/") {
        return model(rest);
    }
    let scheme = text.split(':').next().unwrap_or_default();
    // `Runs:`, ` models:`: Python's URL parser lowers and trims, so these could mean the same.
    if text.contains(':') && matches!(scheme.trim().to_ascii_lowercase().as_str(), "runs" | "models") {
        return Source::Unclear;
    }
    if text.trim() != text || text.contains(['%', '\\', '?', '#', ';']) || text.chars().any(char::is_control) {
        return Source::Unclear;
    }
    Source::Place(text)
}

fn run(rest: &str) -> Source<'_> {
    let (id, below) = rest.split_once('/').unwrap_or((rest, ""));
    if RunId::parse(id).is_ok() && path::artifact(below).is_ok() { Source::Run(id) } else { Source::Unclear }
}

fn model(rest: &str) -> Source<'_> {
    let name = |name: &'_ str| path::artifact(name).is_ok() && ModelName::parse(name).is_ok();
    match rest.split_once('/') {
        Some((own, version)) if name(own) && ModelVersion::parse(version).is_ok() => Source::Version(rest),
        // A stage, or `latest`: which version that is can change with each call. Digits that are no version in our
        // spelling could still be one in Python's.
        Some(_) => Source::Unclear,
        None => match rest.rsplit_once('@') {
            Some((own, alias)) if name(own) && is_alias(alias) => Source::Alias(own, alias),
            None if LoggedModelId::parse(rest).is_ok() => Source::LoggedModel(rest),
            Some(_) | None => Source::Unclear,
        },
    }
}

/// MLflow's own rule (3.17.2, `_validate_model_alias_name`), and no longer than that.
fn is_alias(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 255
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUN: &str = "0123456789abcdef0123456789abcdef";

    #[test]
    fn sources_name_what_must_be_readable() {
        let run = format!("runs:/{RUN}/model");
        let logged = format!("models:/m-{RUN}");
        let place = format!("mlflow-artifacts:/1/{RUN}/artifacts/model");
        for (text, source) in [
            (run.as_str(), Source::Run(RUN)),
            (logged.as_str(), Source::LoggedModel(&logged[8..])),
            ("models:/iris/3", Source::Version("iris/3")),
            ("models:/iris@best", Source::Alias("iris", "best")),
            (place.as_str(), Source::Place(&place)),
            ("s3://bucket/1/x", Source::Place("s3://bucket/1/x")),
            ("/srv/mlruns/1/x", Source::Place("/srv/mlruns/1/x")),
            ("dummy-source", Source::Placeholder),
        ] {
            assert_eq!(read(text), source, "{text}");
        }
    }

    #[test]
    fn what_two_readers_could_read_in_two_ways_is_unclear() {
        for text in [
            format!("runs:/{RUN}/../x"),
            format!("runs:/{RUN}/%2e%2e/x"),
            format!("runs://{RUN}/x"),
            format!("RUNS:/{RUN}/x"),
            format!(" runs:/{RUN}/x"),
            "runs:/1/x".to_owned(),
            "models:/iris".to_owned(),
            "models:/iris/03".to_owned(),
            "models:/iris/\u{663}".to_owned(),
            "models:/iris/".to_owned(),
            "models:/iris@".to_owned(),
            "models:/iris@b&name=rose".to_owned(),
            "models:/iris/Production".to_owned(),
            "models:/iris/latest".to_owned(),
            "models:/*/1".to_owned(),
            "models:/iris/1/x".to_owned(),
            "models://host/iris/1".to_owned(),
            "s3://bucket/%2e%2e/x".to_owned(),
            "s3://bucket/x?y".to_owned(),
            "s3://bucket\\x".to_owned(),
            "s3://bucket/x\n".to_owned(),
        ] {
            assert_eq!(read(&text), Source::Unclear, "{text}");
        }
    }
}
