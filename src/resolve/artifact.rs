//! In which run, logged model or trace does an artifact path lie?
//!
//! By default the server keeps artifacts at `<experiment>/<run>/artifacts/...`, `<experiment>/models/<model>/artifacts/...`
//! and `<experiment>/traces/<trace>/artifacts/...`. An experiment with a location of its own has its runs elsewhere
//! (mlflow/mlflow#13832); then the object's own `artifact_uri` tells.

use super::links::Link;
use super::proxied;
use crate::mlflow::ids::{LoggedModelId, RunId, SkillName, SkillOrganization, TraceId, WorkspaceName};
use crate::mlflow::resource::Kind;

/// The object that a path names, and what stands before it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Tier<'a> {
    pub(super) kind: Kind,
    pub(super) id: &'a str,
    /// Everything in front of the object's own segments.
    before: &'a str,
}

/// The first run, logged model or trace whose folder the path lies in.
pub(super) fn tier(path: &str) -> Option<Tier<'_>> {
    let mut at = 0;
    let mut segments = path.split('/').peekable();
    while let Some(segment) = segments.next() {
        let start = at;
        at += segment.len() + 1;
        let before = path[..start].trim_end_matches('/');
        let next = segments.peek().copied();
        if next == Some("artifacts") && RunId::parse(segment).is_ok() {
            return Some(Tier { kind: Kind::Run, id: segment, before });
        }
        let kind = match segment {
            "models" => Kind::LoggedModel,
            "traces" => Kind::Trace,
            _ => continue,
        };
        let Some(id) = next else { continue };
        let is_id = match kind {
            Kind::LoggedModel => LoggedModelId::parse(id).is_ok(),
            _ => TraceId::parse(id).is_ok(),
        };
        if is_id && path[at + id.len()..].split('/').nth(1) == Some("artifacts") {
            return Some(Tier { kind, id, before });
        }
    }
    None
}

/// Where the server keeps uploaded skills (3.18.0, `skill_registry/artifact_paths.py`).
const SKILLS: &str = "skills";

/// Whether the path leads to uploaded skills. Folders may be found in any case (`is_skill_upload_namespace`).
pub(super) fn is_of_skills(path: &str) -> bool {
    path.split('/').next().is_some_and(|first| first.eq_ignore_ascii_case(SKILLS))
}

/// The skill whose content the path names: `skills/[@<organization>/]<name>` and what lies below it. What lies above
/// names no single skill, and another spelling is none of the server's own (`parse_skill_upload_path`).
pub(super) fn skill(path: &str) -> Option<String> {
    let mut below = path.strip_prefix(SKILLS)?.strip_prefix('/')?.split('/');
    let first = below.next()?;
    let Some(organization) = first.strip_prefix('@') else {
        return SkillName::parse(first).is_ok().then(|| Kind::Skill.join([first]));
    };
    let name = below.next()?;
    let good = SkillOrganization::parse(organization).is_ok() && SkillName::parse(name).is_ok();
    good.then(|| Kind::Skill.join([organization, name]))
}

/// The path below the place of its workspace. MLflow keeps the artifacts of a workspace in `workspaces/<name>`, puts that in
/// front of a path that does not begin so, and refuses one that leads to another workspace (3.17.2,
/// `_get_workspace_scoped_repo_path_if_enabled`).
pub(super) fn within<'a>(path: &'a str, workspace: Option<&WorkspaceName>) -> Option<&'a str> {
    let Some(workspace) = workspace else { return Some(path) };
    if path == "workspaces" {
        return None;
    }
    let Some(rest) = path.strip_prefix("workspaces/") else { return Some(path) };
    let (name, below) = rest.split_once('/').unwrap_or((rest, ""));
    (name == workspace.as_str()).then_some(below)
}

/// Whether the path is where the object's artifacts lie.
pub(super) fn lies_in(path: &str, tier: &Tier<'_>, link: &Link, workspace: Option<&WorkspaceName>) -> bool {
    if tier.before == &*link.experiment {
        return true;
    }
    // A trace's own place is a tag, which people may set: only the default place counts.
    if tier.kind == Kind::Trace {
        return false;
    }
    proxied(&link.artifact_uri).is_some_and(|root| {
        let Some(root) = within(root.trim_end_matches('/'), workspace) else { return false };
        !root.is_empty() && path.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    const RUN: &str = "0123456789abcdef0123456789abcdef";

    #[test]
    fn the_first_object_of_a_path_is_the_one_that_counts() {
        let model = format!("m-{RUN}");
        let trace = format!("tr-{RUN}");
        let of = |path: &str| tier(path).map(|tier| (tier.kind, tier.id.to_owned(), tier.before.to_owned()));
        let run = |before: &str| Some((Kind::Run, RUN.to_owned(), before.to_owned()));
        assert_eq!(of(&format!("1/{RUN}/artifacts/model/a.txt")), run("1"));
        assert_eq!(of(&format!("1/{RUN}/artifacts")), run("1"));
        assert_eq!(of(&format!("teams/x/{RUN}/artifacts/y")), run("teams/x"));
        assert_eq!(of(&format!("{RUN}/artifacts/y")), run(""));
        assert_eq!(
            of(&format!("1/models/{model}/artifacts/a")),
            Some((Kind::LoggedModel, model.clone(), "1".to_owned()))
        );
        assert_eq!(of(&format!("1/traces/{trace}/artifacts/a")), Some((Kind::Trace, trace.clone(), "1".to_owned())));
        for path in [
            "1",
            "1/models",
            "1/x/artifacts",
            "a/b/c",
            &format!("1/{RUN}"),
            &format!("1/{RUN}/x/artifacts"),
            &format!("1/models/{model}"),
            &format!("1/models/{model}/x"),
            &format!("1/models/{RUN}x/artifacts"),
        ] {
            assert_eq!(of(path), None, "{path}");
        }
    }

    #[test]
    fn a_path_below_skills_is_of_the_skill_it_names_whatever_follows() {
        for (path, id) in [
            ("skills/review", Some("review")),
            ("skills/review/0123456789abcdef0123456789abcdef/SKILL.md", Some("review")),
            // The folder of one upload looks like a run's.
            ("skills/review/0123456789abcdef0123456789abcdef/artifacts/x", Some("review")),
            ("skills/@acme/review", Some("@acme/review")),
            ("skills/@acme/review/x/y", Some("@acme/review")),
            ("skills", None),
            ("skills/@acme", None),
            ("skills/@/review", None),
            ("skills/@ACME*/review", None),
            ("skills/*", None),
            ("skills/a b/c", None),
            ("Skills/review/x", None),
            ("SKILLS", None),
        ] {
            assert!(is_of_skills(path), "{path}");
            assert_eq!(skill(path).as_deref(), id, "{path}");
        }
        for path in ["skillsx/review", "1/skills/review", "skill/review", ""] {
            assert!(!is_of_skills(path), "{path}");
            assert_eq!(skill(path), None, "{path}");
        }
    }

    #[test]
    fn a_path_never_leads_into_another_workspace() {
        let a = WorkspaceName::parse("team-a").unwrap();
        for (path, below) in [
            ("1/x", Some("1/x")),
            ("workspaces/team-a/1/x", Some("1/x")),
            ("workspaces/team-a", Some("")),
            ("workspaces/team-b/1/x", None),
            ("workspaces/default/1/x", None),
            ("workspaces/team-ab/1/x", None),
            ("workspaces", None),
            ("workspacesx/1", Some("workspacesx/1")),
        ] {
            assert_eq!(within(path, Some(&a)), below, "{path}");
            assert_eq!(within(path, None), Some(path), "no workspaces, no such folders");
        }
        let link =
            |uri: &str| Link { experiment: Arc::from("1"), artifact_uri: Arc::from(uri), author: Arc::default() };
        let path = format!("teams/x/{RUN}/artifacts/a");
        let lies = |uri: &str| lies_in(&path, &tier(&path).unwrap(), &link(uri), Some(&a));
        assert!(lies(&format!("mlflow-artifacts:/workspaces/team-a/teams/x/{RUN}/artifacts")));
        assert!(!lies(&format!("mlflow-artifacts:/workspaces/team-b/teams/x/{RUN}/artifacts")));
    }

    #[test]
    fn a_path_lies_in_its_experiment_or_below_the_objects_own_place() {
        let link =
            |uri: &str| Link { experiment: Arc::from("1"), artifact_uri: Arc::from(uri), author: Arc::default() };
        let lies = |path: &str, uri: &str| lies_in(path, &tier(path).unwrap(), &link(uri), None);
        let default = format!("mlflow-artifacts:/1/{RUN}/artifacts");
        assert!(lies(&format!("1/{RUN}/artifacts/a"), &default));
        assert!(!lies(&format!("2/{RUN}/artifacts/a"), &default));
        assert!(!lies(&format!("x/1/{RUN}/artifacts/a"), &default));
        assert!(!lies(&format!("{RUN}/artifacts/a"), &default));
        let own = format!("mlflow-artifacts:/teams/x/{RUN}/artifacts");
        assert!(lies(&format!("teams/x/{RUN}/artifacts/a"), &own));
        assert!(lies(
            &format!("teams/x/{RUN}/artifacts"),
            &format!("mlflow-artifacts://host:1/teams/x/{RUN}/artifacts")
        ));
        assert!(!lies(&format!("teams/y/{RUN}/artifacts/a"), &own));
        assert!(!lies(&format!("2/{RUN}/artifacts/a"), "s3://bucket/2"));
        assert!(!lies(&format!("2/{RUN}/artifacts/a"), "mlflow-artifacts:/"));
        let trace = format!("teams/traces/tr-{RUN}/artifacts/a");
        assert!(!lies(&trace, "mlflow-artifacts:/teams"));
    }
}
