//! Does a binding at an issuer that serves the whole world name somebody there?
//!
//! Anybody has tokens from Google, GitHub Actions and GitLab.com, and chooses most of what stands in them, the audience
//! included. A rule on a branch or a workflow alone would be met by everybody's repository of that branch.

use super::rules::{Rule, Rules};

/// Google's issuer, of people and of service accounts.
pub const GOOGLE: &str = "https://accounts.google.com";
/// The issuer of GitHub Actions (GitHub, "OpenID Connect reference").
pub const GITHUB: &str = "https://token.actions.githubusercontent.com";
/// The issuer of GitLab.com, of people and of CI jobs (GitLab, "ID token payload").
pub const GITLAB: &str = "https://gitlab.com";

/// A binding that names nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadPin {
    /// Google's.
    #[error("anybody has tokens from Google: name the `email` or the `sub` of the service account, without wildcards")]
    Google,
    /// GitHub's.
    #[error(
        "anybody has tokens from GitHub Actions: name `repository` or `sub` with the whole name of the owner, or \
         `repository_id`, `repository_owner` or `repository_owner_id` without wildcards"
    )]
    GitHub,
    /// GitLab's.
    #[error(
        "anybody has tokens from GitLab.com: name `project_path`, `namespace_path` or `sub` with the whole name of the \
         group, or `project_id` or `namespace_id` without wildcards"
    )]
    GitLab,
}

/// Checks rules for the issuer of this address.
///
/// # Errors
/// [`BadPin`] when anybody in the world could meet them.
pub fn check(issuer: &str, rules: &Rules) -> Result<(), BadPin> {
    let any = |meets: fn(&Rule) -> bool| rules.each().any(meets);
    match issuer {
        GOOGLE => any(|rule| exactly(rule, &["email", "sub"])).then_some(()).ok_or(BadPin::Google),
        GITHUB => any(|rule| {
            exactly(rule, &["repository_id", "repository_owner", "repository_owner_id"])
                || begins(rule, "repository", "", '/')
                || begins(rule, "sub", "repo:", '/')
        })
        .then_some(())
        .ok_or(BadPin::GitHub),
        GITLAB => any(|rule| {
            exactly(rule, &["project_id", "namespace_id", "namespace_path"])
                || begins(rule, "project_path", "", '/')
                || begins(rule, "namespace_path", "", '/')
                || begins(rule, "sub", "project_path:", '/')
        })
        .then_some(())
        .ok_or(BadPin::GitLab),
        _ => Ok(()),
    }
}

fn is(rule: &Rule, name: &str) -> bool {
    rule.path.len() == 1 && rule.path[0] == name
}

/// One of these claims, and nothing but whole texts.
fn exactly(rule: &Rule, names: &[&str]) -> bool {
    names.iter().any(|name| is(rule, name)) && rule.wanted.iter().all(super::claim::Wanted::is_exact)
}

/// This claim, and each text names an owner whole: what stands between `before` and `end` has no wildcard.
fn begins(rule: &Rule, name: &str, before: &str, end: char) -> bool {
    let owned = |beginning: String| {
        let owner = beginning.strip_prefix(before).and_then(|rest| rest.split_once(end));
        owner.is_some_and(|(owner, _)| !owner.is_empty())
    };
    is(rule, name) && rule.wanted.iter().all(|wanted| owned(wanted.beginning()))
}
