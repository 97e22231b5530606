//! Who am I here, and what can I reach, by which grant, until when?

use std::collections::HashMap;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use askama::Template;
use http::StatusCode;

use super::terms::{Moment, moment};
use super::{Answered, Ask, Desk, Frame, address, html, shared, spoken};
use crate::access::decide::holds;
use crate::access::grant::{GrantSet, Pattern, RoleId, Subject};
use crate::access::identity::Proof;
use crate::mlflow::ids::GroupName;
use crate::mlflow::permission::{Action, Permission};
use crate::mlflow::resource::{Home, Kind, Resource};
use crate::store::EVERYBODY;

/// How many rows one page has.
const PAGE: usize = 50;

#[derive(Template)]
#[template(path = "access.html")]
struct AccessPage<'a> {
    frame: Frame<'a>,
    proof: String,
    until: Moment,
    admin: bool,
    groups: Vec<InGroup>,
    rows: Vec<Row>,
    count: usize,
    earlier: Option<String>,
    later: Option<String>,
    kinds: Vec<(&'static str, String)>,
}

/// A group that one is in, and who says so.
struct InGroup {
    name: String,
    from: String,
}

/// One thing, or several, that one can reach.
struct Row {
    kind: String,
    id: String,
    name: Option<String>,
    all: bool,
    permission: &'static str,
    via: String,
    until: Option<Moment>,
    share: Option<String>,
}

/// A row before its name is known.
struct Held {
    kind: Kind,
    pattern: Pattern,
    permission: Permission,
    via: String,
    until: Option<u64>,
}

impl<A: Ask> Desk<'_, A> {
    pub(super) async fn my_access(&self) -> Answered {
        let held = self.all_held();
        let count = held.len();
        let page = self.field("page").parse::<usize>().unwrap_or(1).clamp(1, count / PAGE + 1);
        let shown: Vec<Held> = held.into_iter().skip((page - 1) * PAGE).take(PAGE).collect();
        let ids = shown.iter().filter(|held| held.kind == Kind::Experiment).filter_map(|held| match &held.pattern {
            Pattern::Exactly(id) => Some(id),
            Pattern::Prefix(_) | Pattern::Glob(_) => None,
        });
        let mut names = self.tools.resolver.experiment_names(ids, self.tools.upstream).await;
        let rows = shown.iter().map(|held| self.row(held, &mut names)).collect();
        let workspace = self.workspace();
        let to = |page: usize| address(super::FIRST, &[("workspace", workspace), ("page", &page.to_string())]);
        let until = self.caller.identity.until.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        let page = AccessPage {
            frame: self.frame("access"),
            proof: self.proof(),
            until: moment(u64::try_from(until).unwrap_or(u64::MAX)),
            admin: self.caller.admin,
            groups: self.groups(),
            rows,
            count,
            earlier: (page > 1).then(|| to(page - 1)),
            later: (page * PAGE < count).then(|| to(page + 1)),
            kinds: kinds(),
        };
        Answered::plain(html::page(StatusCode::OK, &page))
    }

    fn proof(&self) -> String {
        let identity = &self.caller.identity;
        let issuers = self.tools.authenticator.issuers();
        let title = issuers.iter().find(|issuer| *issuer.settings.issuer == *identity.issuer);
        let who = title.map_or_else(|| identity.issuer.to_string(), |issuer| issuer.settings.title.clone());
        match identity.proof {
            Proof::Session => format!("You signed in at {who} with this browser."),
            Proof::Iap => "Google's Identity-Aware Proxy vouches for you.".to_owned(),
            Proof::Bearer => format!("{who} vouches for you with a token."),
            Proof::Bound => {
                format!("{who} vouches for you with a token, which a binding leads to this service account.")
            }
            Proof::Token => "You showed an access token of this server.".to_owned(),
        }
    }

    fn groups(&self) -> Vec<InGroup> {
        let identity = &self.caller.identity;
        let mut groups: Vec<InGroup> = Vec::new();
        let own = self.store().user(&identity.user);
        let own: &[GroupName] = own.as_ref().map_or(&[], |user| &user.groups);
        for name in &identity.groups {
            let from =
                if own.contains(name) { "your identity provider and this server" } else { "your identity provider" };
            groups.push(InGroup { name: name.to_string(), from: from.to_owned() });
        }
        for name in own.iter().filter(|name| !identity.groups.contains(name)) {
            groups.push(InGroup { name: name.to_string(), from: "this server".to_owned() });
        }
        // Others may come from elsewhere: whatever holds something for this caller is told of.
        for set in &self.caller.grants {
            if let Subject::Group(name) = set.subject()
                && !groups.iter().any(|group| group.name == name.as_str())
            {
                let from = if name.as_str() == EVERYBODY { "everybody who signs in" } else { "a directory" };
                groups.push(InGroup { name: name.to_string(), from: from.to_owned() });
            }
        }
        groups.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        groups
    }

    /// All that the caller holds and can reach. What is denied to them is not told of: they may not know that it exists.
    fn all_held(&self) -> Vec<Held> {
        let mut held = Vec::new();
        let through = self.roles_through();
        for set in &self.caller.grants {
            let (via, ends) = match set.subject() {
                Subject::User(_) => ("given to you".to_owned(), None),
                Subject::Group(name) if name.as_str() == EVERYBODY => ("given to everybody".to_owned(), None),
                Subject::Group(name) => (format!("group {name}"), None),
                Subject::Role(id) => {
                    let name = set.role().map_or_else(|| id.to_string(), ToString::to_string);
                    match through.get(id) {
                        Some((Some(group), ends)) => (format!("role {name}, through group {group}"), *ends),
                        Some((None, ends)) => (format!("role {name}"), *ends),
                        None => (format!("role {name}"), None),
                    }
                }
            };
            self.held_by(set, &via, ends, &mut held);
        }
        held.sort_unstable_by(|one, other| {
            (one.kind, &one.pattern, &one.via).cmp(&(other.kind, &other.pattern, &other.via))
        });
        held
    }

    fn held_by(&self, set: &GrantSet, via: &str, ends: Option<u64>, held: &mut Vec<Held>) {
        let records = self.store().grants_of(set.subject(), Some(&self.caller.workspace));
        let expiries: HashMap<(Kind, &Pattern), u64> = records
            .iter()
            .filter_map(|record| Some(((record.grant.kind, &record.grant.pattern), record.expires?)))
            .collect();
        for kind in Kind::ALL {
            let exact = set.exact(kind).map(|(id, permission)| (Pattern::Exactly(Arc::clone(id)), permission));
            let patterns = set.patterns(kind).map(|(pattern, permission)| (pattern.clone(), permission));
            for (pattern, permission) in exact.chain(patterns) {
                if permission == Permission::Deny || !self.reaches(kind, &pattern) {
                    continue;
                }
                let until = expiries.get(&(kind, &pattern)).copied().into_iter().chain(ends).min();
                held.push(Held { kind, pattern, permission, via: via.to_owned(), until });
            }
        }
    }

    fn reaches(&self, kind: Kind, pattern: &Pattern) -> bool {
        let resource = match (pattern, kind.home()) {
            // Where it lies, only MLflow knows.
            (_, Home::Experiment) | (Pattern::Prefix(_) | Pattern::Glob(_), _) => return true,
            (Pattern::Exactly(id), Home::Workspace) => Resource::top(kind, Arc::clone(id)),
            (Pattern::Exactly(id), Home::Named(_)) => match Resource::named(kind, id) {
                Some(resource) => resource,
                None => return false,
            },
        };
        // Of the workspace one may hold what is less than READ on what lies in it.
        kind == Kind::Workspace || holds(self.caller, Action::Read, &resource).is_ok()
    }

    /// Through which group one has a role, and when that ends; the way that lasts longest.
    fn roles_through(&self) -> HashMap<RoleId, (Option<GroupName>, Option<u64>)> {
        let mut through: HashMap<RoleId, (Option<GroupName>, Option<u64>)> = HashMap::new();
        let own = Subject::User(self.caller.identity.user.clone());
        let groups =
            self.groups().into_iter().filter_map(|group| GroupName::parse(&group.name).ok()).map(Subject::Group);
        let everybody = GroupName::parse(EVERYBODY).ok().map(Subject::Group);
        for subject in std::iter::once(own).chain(groups).chain(everybody) {
            for assignment in self.store().assignments_to(&subject) {
                let group = match &subject {
                    Subject::Group(name) => Some(name.clone()),
                    Subject::User(_) | Subject::Role(_) => None,
                };
                let lasts = |end: Option<u64>| end.unwrap_or(u64::MAX);
                let known = through.entry(assignment.role).or_insert_with(|| (group.clone(), assignment.expires));
                if lasts(assignment.expires) > lasts(known.1) {
                    *known = (group, assignment.expires);
                }
            }
        }
        through
    }

    fn row(&self, held: &Held, names: &mut HashMap<Arc<str>, String>) -> Row {
        let Held { kind, pattern, permission, via, until } = held;
        let (id, all) = match pattern {
            pattern if pattern.is_everything() => (String::new(), true),
            pattern => (pattern.to_string(), *kind == Kind::Workspace),
        };
        let name = match pattern {
            Pattern::Exactly(id) if *kind == Kind::Experiment => names.get(id).cloned(),
            Pattern::Exactly(_) | Pattern::Prefix(_) | Pattern::Glob(_) => None,
        };
        let share = match pattern {
            Pattern::Exactly(id) if shared(*kind) => {
                let resource = Resource::top(*kind, Arc::clone(id));
                holds(self.caller, Action::Manage, &resource).ok().map(|_| self.share_address(*kind, id, ""))
            }
            Pattern::Exactly(_) | Pattern::Prefix(_) | Pattern::Glob(_) => None,
        };
        Row {
            kind: spoken(*kind),
            id,
            name,
            all,
            permission: permission.as_str(),
            via: via.clone(),
            until: until.map(moment),
            share,
        }
    }
}

/// The kinds of which single things are shared, as a form offers them.
pub(super) fn kinds() -> Vec<(&'static str, String)> {
    Kind::ALL.into_iter().filter(|kind| shared(*kind)).map(|kind| (kind.as_str(), spoken(kind))).collect()
}
