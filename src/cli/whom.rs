//! Who is meant on the command line, and until when?

use std::str::FromStr as _;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, bail};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::people::user_name;
use crate::access::grant::{RoleId, Subject};
use crate::config::Config;
use crate::mlflow::ids::{RoleName, WorkspaceName};
use crate::store::{EVERYBODY, Store};

/// `user:NAME`, `group:NAME`, or `role:` with a name or a number.
#[derive(Debug, Clone)]
pub(super) enum Whom {
    Subject(Subject),
    /// The role of this name in the workspace that the command is about.
    Role(RoleName),
}

impl Whom {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if let Some(role) = text.strip_prefix("role:")
            && RoleId::from_str(role).is_err()
        {
            return RoleName::parse(role).map(Self::Role).map_err(|error| error.to_string());
        }
        let subject = Subject::from_str(text).map_err(|error| error.to_string())?;
        if let Subject::User(name) = &subject {
            user_name(name.as_str()).map_err(|error| error.to_string())?;
        }
        Ok(Self::Subject(subject))
    }

    pub(super) fn subject(self, store: &Store, workspace: &WorkspaceName) -> anyhow::Result<Subject> {
        match self {
            Self::Subject(subject) => Ok(subject),
            Self::Role(name) => match store.role_named(workspace, &name) {
                Some(role) => Ok(Subject::Role(role.id)),
                None => bail!("there is no role `{name}` in workspace {workspace}; `trackgate role list` shows them"),
            },
        }
    }
}

/// A role by its number, or by its name in a workspace.
pub(super) fn role(store: &Store, workspace: &WorkspaceName, text: &str) -> anyhow::Result<RoleId> {
    let text = text.strip_prefix("role:").unwrap_or(text);
    match Whom::parse(&format!("role:{text}")).map_err(anyhow::Error::msg)?.subject(store, workspace)? {
        Subject::Role(id) if store.role(id).is_some() => Ok(id),
        _ => bail!("there is no role {text}; `trackgate role list` shows them"),
    }
}

/// How a subject is written.
pub(super) fn words(subject: &Subject) -> (&'static str, String) {
    match subject {
        Subject::User(name) => ("user", name.to_string()),
        Subject::Group(name) => ("group", name.to_string()),
        Subject::Role(id) => ("role", id.to_string()),
    }
}

/// The same in one word; a role by its name and its number.
pub(super) fn spoken(store: &Store, subject: &Subject) -> String {
    let role = if let Subject::Role(id) = subject { store.role(*id) } else { None };
    let (kind, name) = words(subject);
    role.map_or_else(|| format!("{kind}:{name}"), |role| format!("role:{}#{}", role.name, role.id))
}

/// Whether groups are looked up at Google, and what stands before their addresses.
#[derive(Debug, Clone, Copy)]
pub(super) struct Google<'a>(Option<&'a str>);

impl<'a> Google<'a> {
    pub(super) fn of(config: &'a Config) -> Self {
        Self(config.authenticate.google_groups.as_ref().map(|google| &*google.groups_prefix))
    }

    /// Whether the name could be meant for one of Google's groups, and can never be one: their addresses come in lower
    /// case (`directory`).
    fn never_names(self, name: &str) -> bool {
        let Self(Some(prefix)) = self else { return false };
        let begins = name.get(..prefix.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(prefix));
        let address = name.get(prefix.len()..).unwrap_or_default();
        let spelled = name.starts_with(prefix) && !address.bytes().any(|byte| byte.is_ascii_uppercase());
        begins && address.contains('@') && !spelled
    }
}

/// A grant may come before its subject; whoever mistyped a name should hear of it.
pub(super) fn stranger(store: &Store, subject: &Subject, google: Google<'_>) -> Option<String> {
    match subject {
        Subject::Group(name) if store.group(name).is_none() && google.never_names(name.as_str()) => {
            let lower = name.as_str().to_ascii_lowercase();
            Some(format!(
                "note: Google's groups are known by addresses in lower case: {name} is none of them; is group:{lower} meant?"
            ))
        }
        Subject::User(name) if store.user(name).is_none() => Some(format!("note: nobody has signed in as {name} yet")),
        Subject::Group(name) if name.as_str() != EVERYBODY && store.group(name).is_none() => {
            Some(format!("note: the store has no group {name}; it counts for those whose issuer names it"))
        }
        Subject::User(_) | Subject::Group(_) | Subject::Role(_) => None,
    }
}

/// When something ends: a moment (`2027-01-31T18:00:00Z`) or so long from now (`90m`, `8h`, `30d`, `2w`).
#[derive(Debug, Clone, Copy)]
pub(super) enum End {
    At(u64),
    After(Duration),
}

impl End {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let bad = || "write a moment such as 2027-01-31T18:00:00Z, or a time from now such as 90m, 8h, 30d".to_owned();
        if let Ok(moment) = OffsetDateTime::parse(text, &Rfc3339) {
            let millis = moment.unix_timestamp_nanos() / 1_000_000;
            return u64::try_from(millis).map(Self::At).map_err(|_| bad());
        }
        let (number, unit) = text.split_at_checked(text.len().saturating_sub(1)).ok_or_else(bad)?;
        let seconds = match unit {
            "s" => 1,
            "m" => 60,
            "h" => 3600,
            "d" => 86_400,
            "w" => 604_800,
            _ => return Err(bad()),
        };
        let number: u64 = number.parse().map_err(|_| bad())?;
        let seconds = number.checked_mul(seconds).filter(|seconds| (1..=3_153_600_000).contains(seconds));
        seconds.map(|seconds| Self::After(Duration::from_secs(seconds))).ok_or_else(bad)
    }

    /// Milliseconds since the epoch.
    pub(super) fn millis(self, now: SystemTime) -> anyhow::Result<u64> {
        match self {
            Self::At(millis) => Ok(millis),
            Self::After(long) => {
                let end = now.checked_add(long).and_then(|end| end.duration_since(SystemTime::UNIX_EPOCH).ok());
                u64::try_from(end.context("the end is beyond all clocks")?.as_millis()).context("the end is too far")
            }
        }
    }
}

/// `--expires`, of whatever is given.
pub(super) fn end(expires: Option<End>) -> anyhow::Result<Option<u64>> {
    expires.map(|end| end.millis(crate::clock::Clock::System.now())).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_a_moment_or_a_time_from_now_and_nothing_else() {
        let epoch = SystemTime::UNIX_EPOCH;
        for (text, millis) in [
            ("1970-01-01T00:00:01Z", 1000),
            ("1970-01-01T01:00:00.5+01:00", 500),
            ("90m", 5_400_000),
            ("8h", 28_800_000),
            ("30d", 2_592_000_000),
            ("2w", 1_209_600_000),
        ] {
            assert_eq!(End::parse(text).unwrap().millis(epoch).unwrap(), millis, "{text}");
        }
        for text in
            ["", "h", "8", "-8h", "8 h", "0d", "tomorrow", "1960-01-01T00:00:00Z", "99999999999999999999d", "8é"]
        {
            assert!(End::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_address_in_capitals_is_none_of_googles_groups() {
        for (prefix, name, never) in [
            ("", "Team@example.com", true),
            ("", "team@Example.com", true),
            ("", "team@example.com", false),
            ("", "Team", false),
            ("google:", "google:Team@example.com", true),
            ("google:", "Google:team@example.com", true),
            ("google:", "google:team@example.com", false),
            // It may be another issuer's.
            ("google:", "Team@example.com", false),
        ] {
            assert_eq!(Google(Some(prefix)).never_names(name), never, "{prefix} {name}");
        }
        assert!(!Google(None).never_names("Team@example.com"));
    }

    #[test]
    fn a_role_is_named_or_numbered() {
        assert!(matches!(Whom::parse("role:4"), Ok(Whom::Subject(Subject::Role(RoleId(4))))));
        assert!(matches!(Whom::parse("role:readers"), Ok(Whom::Role(_))));
        assert!(matches!(Whom::parse("role:007"), Ok(Whom::Role(_))), "no number of a role is spelled so");
        assert!(Whom::parse("role:").is_err());
        assert!(Whom::parse("user:Alice@example.com").is_err());
        assert!(Whom::parse("castle:x").is_err());
    }
}
