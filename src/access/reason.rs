//! Why was it allowed, or refused?
//!
//! In words for people ([`Display`](fmt::Display)) and in stable codes for the audit log ([`Reason::code`]).

use std::fmt;
use std::sync::Arc;

use super::grant::{Pattern, Subject};
use crate::mlflow::permission::{Action, Permission};
use crate::mlflow::resource::{Kind, Object};

/// Why a requirement is met or not: the grant that decided, if one did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// The row asks for nothing.
    NothingAsked,
    /// The caller is known, and no more is asked.
    SignedIn,
    /// Nobody is known to call.
    Stranger,
    /// The caller is an administrator.
    Admin,
    /// The caller is not.
    NotAdmin(&'static str),
    /// What the request names does not exist.
    Absent(&'static str),
    /// The row is closed to everybody.
    Nobody(&'static str),
    /// This grant decided.
    Grant {
        /// Who holds it.
        subject: Subject,
        /// The role's name, where a role holds it.
        role: Option<Arc<str>>,
        /// On what kind.
        kind: Kind,
        /// On which ones.
        pattern: Pattern,
        /// How much.
        permission: Permission,
        /// What was wanted.
        action: Action,
    },
    /// This rule allows to make it.
    Rule {
        /// Whose rule it is.
        subject: Subject,
        /// The role's name, where it is a role's.
        role: Option<Arc<str>>,
        /// What may be made.
        kind: Kind,
        /// Under which names.
        pattern: Pattern,
    },
    /// No grant speaks of the object.
    NoGrant {
        /// What was wanted.
        action: Action,
        /// On what.
        object: Object,
    },
    /// The object names the caller, who holds so much on it besides.
    Named(Box<Reason>),
    /// The object does not name the caller, and nothing else is enough.
    NotNamed(Object),
    /// Nothing denies it.
    NotDenied,
    /// The caller is the person whom it is about.
    Oneself,
    /// The caller is another, and nothing else is enough.
    Another,
    /// The caller would give something to themselves.
    ToOneself,
    /// The caller gives it to somebody else.
    NotOneself,
    /// The caller holds enough, and not for as long as what is given.
    TooShort,
    /// The caller has the role.
    Bears(u64),
    /// The caller has some business in the workspace.
    Belongs,
    /// The caller looks after the service account.
    LooksAfter,
    /// The token that was shown is for less, whatever its owner holds.
    AboveCeiling {
        /// How much it is for.
        most: Permission,
        /// What was wanted.
        action: Action,
    },
    /// The token that was shown does not reach this, whatever its owner holds.
    OutsideScope(Object),
    /// A token was shown, and this is for people themselves.
    ByToken,
    /// What the experiment is called would matter, and is not known.
    NameUnknown(Object),
}

impl Reason {
    /// A stable word for the audit log and metrics.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::NothingAsked => "nothing-asked",
            Self::SignedIn => "signed-in",
            Self::Stranger => "no-credential",
            Self::Admin => "admin",
            Self::NotAdmin(_) => "not-admin",
            Self::Absent(_) => "no-such-object",
            Self::Nobody(_) => "closed-route",
            Self::Grant { permission: Permission::Deny, .. } => "denied-by-grant",
            Self::Grant { permission, action, .. } => {
                if permission.allows(*action) {
                    "grant"
                } else {
                    "grant-too-low"
                }
            }
            Self::Rule { .. } => "create-rule",
            Self::NoGrant { .. } => "no-grant",
            Self::Named(_) => "named",
            Self::NotNamed(_) => "not-named",
            Self::NotDenied => "not-denied",
            Self::Oneself => "oneself",
            Self::Another => "another-person",
            Self::ToOneself => "to-oneself",
            Self::NotOneself => "not-oneself",
            Self::TooShort => "held-too-short",
            Self::Bears(_) => "has-role",
            Self::Belongs => "belongs",
            Self::LooksAfter => "looks-after",
            Self::AboveCeiling { .. } => "above-token-ceiling",
            Self::OutsideScope(_) => "outside-token-scope",
            Self::ByToken => "not-by-token",
            Self::NameUnknown(_) => "name-unknown",
        }
    }
}

impl Reason {
    /// Which of several tells most of why something was allowed: the last grant or rule, else the last that asked for
    /// anything.
    #[must_use]
    pub fn telling(reasons: &[Self]) -> Option<&Self> {
        let held = |reason: &&Self| matches!(reason, Self::Grant { .. } | Self::Rule { .. });
        let asked = |reason: &&Self| !matches!(reason, Self::NothingAsked);
        let last = || reasons.iter().rev();
        last().find(held).or_else(|| last().find(asked)).or(reasons.last())
    }

    /// Whether the grant that spoke allows `action`.
    pub(super) fn allows(&self, action: Action) -> bool {
        matches!(self, Self::Grant { permission, .. } if permission.allows(action))
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NothingAsked => f.write_str("nothing is asked"),
            Self::SignedIn => f.write_str("anybody who is signed in may"),
            Self::Stranger => f.write_str("nobody is signed in"),
            Self::Admin => f.write_str("the caller is an administrator"),
            Self::NotAdmin(why) => write!(f, "only an administrator may: {why}"),
            Self::Absent(why) => f.write_str(why),
            Self::Nobody(why) => write!(f, "closed to everybody: {why}"),
            Self::Grant { subject, role, kind, pattern, permission, action } => {
                write!(f, "{action} wanted; ")?;
                holder(f, subject, role.as_deref())?;
                write!(f, " holds {permission} on {kind} {pattern}")
            }
            Self::Rule { subject, role, kind, pattern } => {
                f.write_str("create wanted; ")?;
                holder(f, subject, role.as_deref())?;
                write!(f, " may create {kind} {pattern}")
            }
            Self::NoGrant { action, object } => write!(f, "{action} wanted; no grant speaks of {object}"),
            Self::Named(besides) => write!(f, "the caller is named there, and: {besides}"),
            Self::NotNamed(object) => write!(f, "only those whom {object} names may"),
            Self::NotDenied => f.write_str("nothing denies it"),
            Self::Oneself => f.write_str("the caller asks about themselves"),
            Self::Another => f.write_str("it is about another person"),
            Self::ToOneself => f.write_str("nobody gives permissions to themselves"),
            Self::NotOneself => f.write_str("it is for somebody else"),
            Self::TooShort => f.write_str("what the caller holds ends before what they would give"),
            Self::Bears(role) => write!(f, "the caller has role #{role}"),
            Self::Belongs => f.write_str("the caller belongs there"),
            Self::LooksAfter => f.write_str("the caller looks after the service account"),
            Self::AboveCeiling { most, action } => write!(f, "{action} wanted; the token is for {most} at most"),
            Self::OutsideScope(object) => write!(f, "the token does not reach {object}"),
            Self::ByToken => f.write_str("not by a token: people do this themselves"),
            Self::NameUnknown(object) => {
                write!(f, "what {object} is called is not known, and a grant on names may speak")
            }
        }
    }
}

fn holder(f: &mut fmt::Formatter<'_>, subject: &Subject, role: Option<&str>) -> fmt::Result {
    match (subject, role) {
        (Subject::Role(id), Some(name)) => write!(f, "role {name}#{id}"),
        _ => write!(f, "{subject}"),
    }
}
