//! Who holds what on which things?
//!
//! Administrators look over everything in the workspace, others over what they manage: a page at a time, or as a table for
//! a spreadsheet that is written while it is read.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use askama::Template;
use bytes::Bytes;
use http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use http::{HeaderValue, Response, StatusCode};
use http_body::Frame as BodyFrame;
use tokio::sync::mpsc;

use super::terms::{Moment, moment};
use super::{Answered, Ask, Desk, Frame, address, csv, html, names, spoken};
use crate::access::decide::{Requirement, holds, meets};
use crate::access::grant::{Pattern, Subject};
use crate::access::identity::Principal;
use crate::message::{Body, BodyError};
use crate::mlflow::ids::{GroupName, UserName};
use crate::mlflow::permission::{Action, Permission};
use crate::mlflow::resource::{Kind, Resource};
use crate::resolve::ResolveFault;
use crate::store::{After, EVERYBODY, GrantRecord, Store, StoreFault};

/// How many rows one page shows.
const PAGE: usize = 100;
/// How many grants are looked at for one page.
const MOST_LOOKED_AT: usize = 5000;
/// How many are read at once.
const AT_ONCE: u32 = 500;
/// The most experiments whose names are looked up for somebody who manages by names.
const MOST_CALLED: usize = 20_000;
/// How many members of a group one row names.
const MOST_SEEN: usize = 5;
/// How it is known that somebody is in a group that an identity provider alone knows.
const SEEN: &str = "seen at sign-in";
/// What such a group is.
const FOREIGN: &str = "known to the identity provider alone";
/// How much of a table is sent at once, in bytes.
const PIECE: usize = 64 * 1024;

#[derive(Template)]
#[template(path = "review.html")]
struct ReviewPage<'a> {
    frame: Frame<'a>,
    admin: bool,
    person: &'a str,
    rows: Vec<Row>,
    later: Option<String>,
    csv: String,
    csv_people: String,
}

/// Who is in which group by the word of an identity provider.
type Vouched = BTreeMap<GroupName, BTreeSet<UserName>>;

/// One grant.
struct Row {
    kind: String,
    what: String,
    name: Option<String>,
    sort: &'static str,
    who: String,
    alike: Option<String>,
    permission: &'static str,
    until: Option<Moment>,
    by: String,
    via: Option<String>,
    share: Option<String>,
    /// A group of which the store knows nothing but this.
    foreign: bool,
    /// Who is in it by the word of the identity provider, as far as open sessions tell.
    seen: Vec<String>,
    /// How many more.
    seen_more: usize,
}

/// Reads the grants that somebody may look over, one after the other.
struct Reader {
    store: Store,
    caller: Arc<Principal>,
    after: After,
    /// The things that one manages one by one, where that is all: nothing else is looked at.
    own: Option<Vec<(Kind, Arc<str>)>>,
    ended: bool,
}

impl Reader {
    fn new(store: &Store, caller: &Principal, after: After) -> Self {
        let own = (!caller.admin && !manages_many(caller)).then(|| own_things(caller));
        Self { store: store.clone(), caller: Arc::new(caller.clone()), after, own, ended: false }
    }

    /// Some more; how many were looked at.
    async fn more(&mut self, found: &mut Vec<GrantRecord>) -> Result<usize, StoreFault> {
        let workspace = &self.caller.workspace;
        if let Some(own) = &self.own {
            self.ended = true;
            for (kind, id) in own {
                let on = self.store.grants_on(workspace, *kind, id);
                found.extend(on.into_iter().filter(|record| matches!(record.grant.pattern, Pattern::Exactly(_))));
            }
            return Ok(0);
        }
        let read = self.store.grants_after(workspace, &self.after, AT_ONCE).await?;
        self.ended = read.len() < AT_ONCE as usize;
        let looked_at = read.len();
        if let Some(last) = read.last() {
            self.after = After::record(last);
        }
        found.extend(read.into_iter().filter(|record| looks_over(&self.caller, record)));
        Ok(looked_at)
    }
}

/// Whether the caller manages what the grant is on.
fn looks_over(caller: &Principal, record: &GrantRecord) -> bool {
    let kind = record.grant.kind;
    let asked = match &record.grant.pattern {
        _ if caller.admin => return true,
        Pattern::Exactly(id) if !matches!(kind, Kind::Workspace | Kind::ExperimentName) => {
            match Resource::named(kind, id) {
                Some(resource) => resource,
                None => Resource::top(kind, Arc::clone(id)),
            }
        }
        Pattern::Exactly(_) | Pattern::Prefix(_) | Pattern::Glob(_) => {
            return meets(caller, &Requirement::Whole(kind)).is_ok();
        }
    };
    holds(caller, Action::Manage, &asked).is_ok()
}

/// Whether the caller manages things that they do not hold one by one.
fn manages_many(caller: &Principal) -> bool {
    let pattern = |kind| {
        caller
            .grants
            .iter()
            .flat_map(move |set| set.patterns(kind))
            .any(|(_, permission)| permission == Permission::Manage)
    };
    holds(caller, Action::Manage, &Resource::of_workspace(&caller.workspace)).is_ok()
        || Kind::ALL.into_iter().any(pattern)
}

/// The things that the caller manages one by one.
fn own_things(caller: &Principal) -> Vec<(Kind, Arc<str>)> {
    let mut own = BTreeSet::new();
    for set in &caller.grants {
        // Whoever manages what is called so does not manage the name.
        for kind in Kind::ALL.into_iter().filter(|kind| *kind != Kind::ExperimentName) {
            for (id, permission) in set.exact(kind) {
                let resource = Resource::named(kind, id).unwrap_or_else(|| Resource::top(kind, Arc::clone(id)));
                if permission == Permission::Manage && holds(caller, Action::Manage, &resource).is_ok() {
                    own.insert((kind, Arc::clone(id)));
                }
            }
        }
    }
    own.into_iter().collect()
}

impl<A: Ask> Desk<'_, A> {
    pub(super) async fn review(&self) -> Answered {
        let person = self.field("person").trim();
        let caller = match self.reviewer().await {
            Ok(caller) => caller,
            Err(fault) => return self.not_called(&fault),
        };
        let (mut rows, next) = match self.reviewed(&caller, person).await {
            Ok(reviewed) => reviewed,
            Err(fault) => return self.not_stored(&fault),
        };
        let ids =
            rows.iter().filter(|row| row.kind == Kind::Experiment.as_str()).map(|row| Arc::from(row.what.as_str()));
        let ids: Vec<Arc<str>> = ids.collect();
        let known = self.tools.resolver.experiment_names(&ids, self.tools.upstream).await;
        let people: Vec<&str> = rows.iter().filter(|row| row.sort == "person").map(|row| &*row.who).collect();
        let alike = names::alike(&people, self.store());
        for row in &mut rows {
            row.name = known.get(row.what.as_str()).filter(|_| row.kind == Kind::Experiment.as_str()).cloned();
            row.alike = alike.get(&row.who).filter(|_| row.sort == "person").cloned();
        }
        if rows.iter().any(|row| row.foreign) {
            let vouched = self.store().vouched();
            for row in rows.iter_mut().filter(|row| row.foreign) {
                let members = GroupName::parse(&row.who).ok().and_then(|name| vouched.get(&name));
                let members = members.into_iter().flatten();
                row.seen_more = members.clone().count().saturating_sub(MOST_SEEN);
                row.seen = members.take(MOST_SEEN).map(ToString::to_string).collect();
            }
        }
        let workspace = self.workspace();
        let file = |by| address("/trackgate/review.csv", &[("workspace", workspace), ("by", by), ("person", person)]);
        let later =
            next.map(|next| address("/trackgate/review", &[("workspace", workspace), ("after", &next.to_string())]));
        let page = ReviewPage {
            frame: self.frame("review"),
            admin: self.caller.admin,
            person,
            rows,
            later,
            csv: file("object"),
            csv_people: file("person"),
        };
        Answered::plain(html::page(StatusCode::OK, &page))
    }

    /// The caller, who knows what the experiments are called that they may look over, where grants on names speak to them.
    async fn reviewer(&self) -> Result<Principal, ResolveFault> {
        if self.caller.admin || !self.caller.speaks_of_names() {
            return Ok(self.caller.clone());
        }
        let ids = self.store().experiments_granted(&self.caller.workspace);
        if ids.len() > MOST_CALLED {
            return Err(ResolveFault::TooMany { most: MOST_CALLED });
        }
        self.knowing(ids).await
    }

    /// The rows of one page, and after which grant the next one begins.
    async fn reviewed(&self, caller: &Principal, person: &str) -> Result<(Vec<Row>, Option<u64>), StoreFault> {
        if !person.is_empty() {
            let rows = match UserName::parse(person) {
                Ok(user) => held_by(self.store(), caller, &user),
                Err(_) => Vec::new(),
            };
            let rows = rows.iter().map(|(record, via)| self.review_row(record, Some(via.clone()))).collect();
            return Ok((rows, None));
        }
        let after = self.field("after").parse().ok().and_then(|id| self.store().grant_by_id(id));
        let begin = after.as_ref().map(After::record).unwrap_or_default();
        let mut reader = Reader::new(self.store(), caller, begin);
        let (mut found, mut looked_at) = (Vec::new(), 0);
        while !reader.ended && found.len() <= PAGE && looked_at < MOST_LOOKED_AT {
            looked_at += reader.more(&mut found).await?;
        }
        if reader.own.is_some()
            && let Some(after) = &after
        {
            let past = found.iter().position(|record| record.id == after.id).map_or(0, |at| at + 1);
            found.drain(..past);
        }
        let more = found.len() > PAGE || !reader.ended;
        found.truncate(PAGE);
        let next = found.last().filter(|_| more).map(|record| record.id);
        Ok((found.iter().map(|record| self.review_row(record, None)).collect(), next))
    }

    fn review_row(&self, record: &GrantRecord, via: Option<String>) -> Row {
        let GrantRecord { grant, expires, by, .. } = record;
        let (sort, who) = who(self.store(), &grant.subject);
        let share = match &grant.pattern {
            Pattern::Exactly(id) if super::shared(grant.kind) => Some(self.share_address(grant.kind, id, "")),
            Pattern::Exactly(_) | Pattern::Prefix(_) | Pattern::Glob(_) => None,
        };
        Row {
            kind: spoken(grant.kind),
            what: grant.pattern.to_string(),
            name: None,
            sort,
            who,
            alike: None,
            permission: grant.permission.as_str(),
            until: expires.map(moment),
            by: by.strip_prefix("user ").unwrap_or(by).to_owned(),
            via,
            share,
            foreign: is_foreign(self.store(), &grant.subject),
            seen: Vec::new(),
            seen_more: 0,
        }
    }

    pub(super) async fn review_csv(&self) -> Answered {
        let caller = match self.reviewer().await {
            Ok(caller) => caller,
            Err(fault) => return self.not_called(&fault),
        };
        let (send, lines) = mpsc::channel(2);
        let person = self.field("person").trim();
        let reader = || Reader::new(self.store(), &caller, After::default());
        let of = match UserName::parse(person) {
            Ok(user) => {
                let held = held_by(self.store(), &caller, &user);
                Of::Person(user, held)
            }
            Err(fault) if !person.is_empty() => {
                return self.refuse(StatusCode::BAD_REQUEST, "This is nobody's name.", "bad-name", &fault);
            }
            Err(_) if self.field("by") == "person" => Of::People(reader()),
            Err(_) => Of::Objects(reader()),
        };
        tokio::spawn(write(of, send));
        let mut response = Response::new(Body::Boxed(Box::pin(Lines(lines))));
        html::protect(response.headers_mut());
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/csv; charset=utf-8"));
        headers.insert(CONTENT_DISPOSITION, HeaderValue::from_static("attachment; filename=\"access-review.csv\""));
        Answered::plain(response)
    }
}

fn who(store: &Store, subject: &Subject) -> (&'static str, String) {
    match subject {
        Subject::User(name) => ("person", name.to_string()),
        Subject::Group(name) => ("group", name.to_string()),
        Subject::Role(id) => ("role", store.role(*id).map_or_else(|| id.to_string(), |role| role.name.to_string())),
    }
}

/// Whether it is a group that an identity provider alone knows.
fn is_foreign(store: &Store, subject: &Subject) -> bool {
    matches!(subject, Subject::Group(name) if name.as_str() != EVERYBODY && store.group(name).is_none())
}

/// All that reaches somebody by themselves, by groups (the store's, and those that an open session names) and by roles, as
/// far as the caller may look over it.
fn held_by(store: &Store, caller: &Principal, user: &UserName) -> Vec<(GrantRecord, String)> {
    let mut groups: BTreeSet<GroupName> = store.user(user).into_iter().flat_map(|user| user.groups.clone()).collect();
    let vouched = store.vouched().into_iter().filter(|(_, members)| members.contains(user)).map(|(group, _)| group);
    let vouched: BTreeSet<GroupName> = vouched.filter(|group| !groups.contains(group)).collect();
    groups.extend(vouched.iter().cloned());
    groups.extend(GroupName::parse(EVERYBODY).ok());
    let groups = groups.into_iter().map(Subject::Group);
    let mut held = Vec::new();
    for subject in std::iter::once(Subject::User(user.clone())).chain(groups) {
        let through = match &subject {
            Subject::Group(name) if vouched.contains(name) => format!("group {name}, {SEEN}"),
            Subject::Group(name) => format!("group {name}"),
            Subject::User(_) | Subject::Role(_) => "by themselves".to_owned(),
        };
        held.extend(
            store.grants_of(&subject, Some(&caller.workspace)).into_iter().map(|record| (record, through.clone())),
        );
        for assignment in store.assignments_to(&subject) {
            let (_, role) = who(store, &Subject::Role(assignment.role));
            for mut record in store.grants_of(&Subject::Role(assignment.role), Some(&caller.workspace)) {
                record.expires = record.expires.into_iter().chain(assignment.expires).min();
                held.push((record, format!("role {role}, {through}")));
            }
        }
    }
    held.retain(|(record, _)| looks_over(caller, record));
    held.sort_by_cached_key(|(record, _)| (record.grant.kind, record.grant.pattern.clone(), record.id));
    held
}

/// Whom a grant reaches, and through what. Of a group that its issuer alone knows, those are known whose open session names
/// it.
fn reached(store: &Store, vouched: &Vouched, subject: &Subject) -> Vec<(Option<UserName>, String)> {
    match subject {
        Subject::User(name) => vec![(Some(name.clone()), "by themselves".to_owned())],
        Subject::Group(name) if name.as_str() == EVERYBODY => {
            vec![(None, "everybody who signs in".to_owned())]
        }
        Subject::Group(name) => {
            let via = format!("group {name}");
            let known = store.group(name).map(|group| group.members).unwrap_or_default();
            let seen = vouched.get(name).into_iter().flatten().filter(|member| !known.contains(member)).cloned();
            let seen: Vec<_> = seen.map(|member| (Some(member), format!("{via}, {SEEN}"))).collect();
            // Others may be in it by the word of their identity provider.
            let others = if is_foreign(store, subject) { format!("{via}, {FOREIGN}") } else { via.clone() };
            std::iter::once((None, others))
                .chain(known.into_iter().map(|member| (Some(member), via.clone())))
                .chain(seen)
                .collect()
        }
        Subject::Role(id) => {
            let (_, role) = who(store, subject);
            let assigned = store.assignments_of_role(*id);
            assigned
                .iter()
                .filter(|assignment| !matches!(assignment.to, Subject::Role(_)))
                .flat_map(|assignment| reached(store, vouched, &assignment.to))
                .map(|(user, via)| (user, format!("role {role}, {via}")))
                .collect()
        }
    }
}

/// What a table is made of.
enum Of {
    /// What one reads, by what it is on.
    Objects(Reader),
    /// The same, for each person whom it reaches.
    People(Reader),
    /// What reaches one person.
    Person(UserName, Vec<(GrantRecord, String)>),
}

type Pieces = mpsc::Sender<Result<Bytes, BodyError>>;

/// Writes the table, as fast as it is read. A table that breaks off must not be taken for all of it.
async fn write(of: Of, to: Pieces) {
    let head: &[&str] = match &of {
        Of::Objects(_) => &["kind", "object", "holder", "name", "permission", "until", "given by", "given at"],
        Of::People(_) | Of::Person(..) => {
            &["person", "through", "kind", "object", "permission", "until", "given by", "given at"]
        }
    };
    // The mark by which spreadsheets know UTF-8.
    let mut text = String::from("\u{feff}");
    csv::line(&mut text, head.iter().copied());
    let sent = match of {
        Of::Person(user, held) => {
            for (record, via) in &held {
                person_line(&mut text, Some(&user), via, record);
            }
            true
        }
        Of::Objects(reader) => read_all(reader, false, &mut text, &to).await,
        Of::People(reader) => read_all(reader, true, &mut text, &to).await,
    };
    if sent {
        let _ = to.send(Ok(Bytes::from(text))).await;
    }
}

/// Whether it came to the end.
async fn read_all(mut reader: Reader, people: bool, text: &mut String, to: &Pieces) -> bool {
    let store = reader.store.clone();
    let vouched = if people { store.vouched() } else { Vouched::new() };
    let mut rows = Vec::new();
    while !reader.ended {
        rows.clear();
        if reader.more(&mut rows).await.is_err() {
            let _ = to.send(Err(BodyError::Stalled)).await;
            return false;
        }
        for record in &rows {
            if people {
                for (user, via) in reached(&store, &vouched, &record.grant.subject) {
                    person_line(text, user.as_ref(), &via, record);
                }
            } else {
                object_line(text, &store, record);
            }
            if text.len() >= PIECE && to.send(Ok(Bytes::from(std::mem::take(text)))).await.is_err() {
                return false;
            }
        }
    }
    true
}

fn object_line(text: &mut String, store: &Store, record: &GrantRecord) {
    let GrantRecord { grant, expires, created, by, .. } = record;
    let (sort, name) = who(store, &grant.subject);
    let (until, since) = (expires.map_or_else(String::new, |end| moment(end).machine), moment(*created).machine);
    let what = grant.pattern.to_string();
    csv::line(text, [grant.kind.as_str(), &what, sort, &name, grant.permission.as_str(), &until, by, &since]);
}

fn person_line(text: &mut String, user: Option<&UserName>, via: &str, record: &GrantRecord) {
    let GrantRecord { grant, expires, created, by, .. } = record;
    let (until, since) = (expires.map_or_else(String::new, |end| moment(end).machine), moment(*created).machine);
    let what = grant.pattern.to_string();
    let user = user.map_or("", UserName::as_str);
    csv::line(text, [user, via, grant.kind.as_str(), &what, grant.permission.as_str(), &until, by, &since]);
}

/// A body of what is sent.
struct Lines(mpsc::Receiver<Result<Bytes, BodyError>>);

impl http_body::Body for Lines {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<BodyFrame<Bytes>, BodyError>>> {
        self.0.poll_recv(cx).map(|piece| piece.map(|piece| piece.map(BodyFrame::data)))
    }
}
