//! Who holds what on a thing that I manage, and how do I give, change and take it?
//!
//! What a form changes, it says as the person saw it: if it is another by then, nothing is changed and the page is shown
//! anew. What is held through a role, or on a pattern that speaks of this thing too, is changed by who may change it for all
//! that it speaks of; everybody else reads who that is.

use std::sync::Arc;

use askama::Template;
use http::StatusCode;

use super::terms::{self, BadTerm, LENGTHS, Moment, moment};
use super::{Answered, Ask, Desk, Frame, Notice, address, html, names, spoken};
use crate::access::decide::{Requirement, holds, meets};
use crate::access::grant::{Grant, Pattern, RoleId, Subject};
use crate::mlflow::glob;
use crate::mlflow::granting::{self, Calls, Holder, Which};
use crate::mlflow::ids::UserName;
use crate::mlflow::permission::Action;
use crate::mlflow::resource::{Grantable, Kind, Resource};
use crate::policy::fields::Fields;
use crate::store::{GrantRecord, Seen, StoreFault};

/// The most holders that one page shows.
const MOST: usize = 500;
/// How many of those who have a role are named.
const MOST_HAVING: usize = 20;
const FASTER: &str = "Nothing was changed: somebody else was faster. This is what holds now.";
const PASSED: &str = "Nothing was changed: that end has passed already.";

#[derive(Template)]
#[template(path = "share.html")]
struct SharePage<'a> {
    frame: Frame<'a>,
    notice: Option<Notice>,
    kind: &'static str,
    spoken: String,
    id: &'a str,
    /// As a form carries it.
    form_id: String,
    name: Option<String>,
    holders: Vec<HolderRow>,
    wider: Vec<HolderRow>,
    more: usize,
    levels: &'static [Level],
    lengths: &'static [(&'static str, &'static str, u64)],
    draft: Draft,
}

/// A level to choose.
pub(super) struct Level {
    pub(super) word: &'static str,
    pub(super) says: &'static str,
}

pub(super) static LEVELS: [Level; 5] = [
    Level { word: "READ", says: "Read: see it" },
    Level { word: "USE", says: "Use: see it and call it" },
    Level { word: "EDIT", says: "Edit: see and change it" },
    Level { word: "MANAGE", says: "Manage: all of it, and share it" },
    Level { word: "DENY", says: "Deny: nothing, whatever else they hold" },
];

/// Somebody who holds something on it.
struct HolderRow {
    /// `person`, `group` or `role`.
    sort: &'static str,
    name: String,
    /// By which forms it is changed; `None` by none of the caller's.
    forms: Option<Forms>,
    /// Who has the role.
    through: Vec<String>,
    /// How many more.
    through_more: usize,
    permission: &'static str,
    until: Option<Moment>,
    by: String,
    since: Moment,
    me: bool,
    pattern: Option<String>,
    alike: Option<String>,
    unknown: bool,
    seen: String,
}

/// The forms that change what somebody holds, and what they say.
struct Forms {
    change: &'static str,
    remove: &'static str,
    /// The thing, or the pattern.
    id: String,
    to: String,
    role: Option<u64>,
}

/// What was typed into the form, if it is shown again.
#[derive(Default)]
struct Draft {
    to: String,
    permission: String,
    lasts: String,
    until: String,
    /// The name that looks like another one, to be confirmed.
    alike: Option<String>,
}

/// The thing that a page is about.
pub(super) struct Thing {
    pub(super) kind: Kind,
    pub(super) id: Arc<str>,
}

/// What a form changes a grant on.
struct Spot {
    kind: Kind,
    pattern: Pattern,
    /// The thing whose page it stood on.
    about: Arc<str>,
}

/// The end that a form of this page asks for: `keep` is what it was.
///
/// # Errors
/// [`BadTerm`].
pub(super) fn end(fields: &Fields, now: u64) -> Result<Option<u64>, BadTerm> {
    if fields.one("lasts") == Some("keep") {
        return fields.one("seen").and_then(read_seen).map(|seen| seen.expires).ok_or(BadTerm);
    }
    terms::end(fields, now)
}

pub(super) fn write_seen(record: &GrantRecord) -> String {
    let seen = Seen::of(record);
    format!("{}.{}.{}.{}", seen.id, seen.permission, seen.expires.unwrap_or(0), seen.created)
}

pub(super) fn read_seen(text: &str) -> Option<Seen> {
    let mut parts = text.split('.');
    let id = parts.next()?.parse().ok()?;
    let permission = parts.next()?.parse().ok()?;
    let expires = Some(parts.next()?.parse().ok()?).filter(|end| *end != 0);
    let created = parts.next()?.parse().ok()?;
    parts.next().is_none().then_some(Seen { id, permission, expires, created })
}

impl<A: Ask> Desk<'_, A> {
    pub(super) fn share_address(&self, kind: Kind, id: &str, done: &str) -> String {
        let workspace = self.workspace();
        let id = written(kind, id);
        address("/trackgate/share", &[("workspace", workspace), ("kind", kind.as_str()), ("id", &id), ("done", done)])
    }

    pub(super) async fn share(&self) -> Answered {
        let notice = match self.field("done") {
            "given" => Some((true, "Given. It counts from now on.")),
            "changed" => Some((true, "Changed. It counts from now on.")),
            "removed" => Some((true, "Taken back. It counts for nothing from now on.")),
            "faster" => Some((false, FASTER)),
            "passed" => Some((false, PASSED)),
            _ => None,
        };
        let notice = notice.map(|(good, text)| Notice { good, text: text.to_owned() });
        self.share_page(StatusCode::OK, notice, Draft::default()).await
    }

    pub(super) async fn give(&self) -> Answered {
        let Some(thing) = self.thing() else { return self.no_thing() };
        let (Ok(holder), Ok(permission)) =
            (Holder::parse(self.field("to")), granting::level(self.field("permission"), thing.kind))
        else {
            return self.no_thing();
        };
        let Ok(until) = end(self.tools.fields, self.tools.now) else { return self.no_thing() };
        let subject = match holder {
            Holder::User(name) => {
                if let Some(other) = self.mistakable(&name) {
                    let text = format!("There is somebody whose name looks like “{name}”. Is it the one you mean?");
                    let draft = Draft { alike: Some(other), ..self.draft() };
                    return self.share_page(StatusCode::OK, Some(Notice { good: false, text }), draft).await;
                }
                Subject::User(name)
            }
            Holder::Group(name) => Subject::Group(name),
        };
        let note = format!("{permission} to {subject}{}", ends(until));
        let grant = Grant { subject, kind: thing.kind, pattern: Pattern::Exactly(Arc::clone(&thing.id)), permission };
        match self.store().add_grant(&self.caller.workspace, grant, until, self.by()).await {
            Ok(_) => Self::back_to(&self.share_address(thing.kind, &thing.id, "given"), note),
            Err(StoreFault::Exists { .. }) => {
                let text = format!("{} holds something already: change it below.", self.field("to"));
                self.again(StatusCode::CONFLICT, text, self.draft()).await
            }
            Err(StoreFault::EndPassed) => self.passed(self.draft()).await,
            Err(fault) => self.not_stored(&fault),
        }
    }

    pub(super) async fn change(&self) -> Answered {
        let Some(spot) = self.spot() else { return self.no_thing() };
        let Ok(permission) = granting::level(self.field("permission"), spot.kind) else { return self.no_thing() };
        let Ok(until) = end(self.tools.fields, self.tools.now) else { return self.no_thing() };
        let Some((seen, record)) = self.seen(&spot) else { return self.changed_by_another(&spot).await };
        match self.store().change_seen(seen, Some((permission, until)), self.by()).await {
            Ok(()) => {
                let note = format!("{permission} on {} to {}{}", spot.pattern, record.grant.subject, ends(until));
                Self::back_to(&self.share_address(spot.kind, &spot.about, "changed"), note)
            }
            Err(StoreFault::Changed | StoreFault::NoSuch { .. }) => self.changed_by_another(&spot).await,
            Err(StoreFault::EndPassed) if spot.is_wide() => self.instead(&spot, "passed", PASSED),
            Err(StoreFault::EndPassed) => self.passed(Draft::default()).await,
            Err(fault) => self.not_stored(&fault),
        }
    }

    pub(super) async fn remove(&self) -> Answered {
        let Some(spot) = self.spot() else { return self.no_thing() };
        let Some((seen, record)) = self.seen(&spot) else { return self.changed_by_another(&spot).await };
        match self.store().change_seen(seen, None, self.by()).await {
            Ok(()) => {
                let GrantRecord { grant, .. } = &record;
                let note = format!("{} on {} taken from {}", grant.permission, grant.pattern, grant.subject);
                Self::back_to(&self.share_address(spot.kind, &spot.about, "removed"), note)
            }
            Err(StoreFault::Changed | StoreFault::NoSuch { .. }) => self.changed_by_another(&spot).await,
            Err(fault) => self.not_stored(&fault),
        }
    }

    /// The thing that was judged: a name of the registry may be that of a prompt.
    pub(super) fn thing(&self) -> Option<Thing> {
        let target = self.tools.fields.target("kind", "id", Calls::OfPeople).ok()?;
        let Which::One(id) = target.which else { return None };
        let is_prompt = |object: &crate::mlflow::resource::Object| object.kind == Kind::Prompt && *object.id == *id;
        let kind = if target.kind == Kind::RegisteredModel && self.tools.objects.iter().any(is_prompt) {
            Kind::Prompt
        } else {
            target.kind
        };
        Some(Thing { kind, id: Arc::from(id) })
    }

    /// The same, or a pattern.
    fn spot(&self) -> Option<Spot> {
        if let Some(Thing { kind, id }) = self.thing() {
            return Some(Spot { kind, pattern: Pattern::Exactly(Arc::clone(&id)), about: id });
        }
        let target = self.tools.fields.target("kind", "id", Calls::OfPeople).ok()?;
        let pattern = Pattern::parse(target.kind, &target.which.to_string()).ok()?;
        Some(Spot { kind: target.kind, pattern, about: Arc::from(self.field("about")) })
    }

    pub(super) fn no_thing(&self) -> Answered {
        self.refuse(
            StatusCode::BAD_REQUEST,
            "The form says something that it cannot say. Nothing was changed: open the page again.",
            "bad-grant",
            &"",
        )
    }

    /// The grant that the form is about, as it was seen; `None` if the form names another one than was judged, or if it
    /// is another by now.
    fn seen(&self, spot: &Spot) -> Option<(Seen, GrantRecord)> {
        let seen = read_seen(self.field("seen"))?;
        let record = self.store().grant_by_id(seen.id)?;
        let to = match self.tools.fields.number("role_id") {
            Some(role) => Subject::Role(RoleId(role)),
            None => match Holder::parse(self.field("to")).ok()? {
                Holder::User(name) => Subject::User(name),
                Holder::Group(name) => Subject::Group(name),
            },
        };
        let judged = record.workspace == self.caller.workspace
            && record.grant.kind == spot.kind
            && record.grant.pattern == spot.pattern
            && record.grant.subject == to;
        (judged && Seen::of(&record) == seen).then_some((seen, record))
    }

    /// Somebody else whose name could be meant, if the name is not known and the person was not asked yet.
    fn mistakable(&self, name: &UserName) -> Option<String> {
        if self.field("sure") == name.as_str() || self.store().user(name).is_some() {
            return None;
        }
        names::another(name, self.store())
    }

    fn draft(&self) -> Draft {
        let field = |name| self.field(name).to_owned();
        let (to, permission, lasts, until) = (field("to"), field("permission"), field("lasts"), field("until"));
        Draft { to, permission, lasts, until, alike: None }
    }

    async fn changed_by_another(&self, spot: &Spot) -> Answered {
        if spot.is_wide() {
            return self.instead(spot, "faster", FASTER);
        }
        self.again(StatusCode::CONFLICT, FASTER.to_owned(), Draft::default()).await
    }

    async fn passed(&self, draft: Draft) -> Answered {
        self.again(StatusCode::BAD_REQUEST, PASSED.to_owned(), draft).await
    }

    /// Nothing was changed on a pattern. The page that the form stood on is about one thing, and is judged by that.
    fn instead(&self, spot: &Spot, done: &'static str, why: &str) -> Answered {
        let page = Self::back_to(&self.share_address(spot.kind, &spot.about, done), String::new());
        Answered { refused: Some(("not-changed", why.to_owned())), note: None, ..page }
    }

    async fn again(&self, status: StatusCode, text: String, draft: Draft) -> Answered {
        let page = self.share_page(status, Some(Notice { good: false, text: text.clone() }), draft).await;
        Answered { note: Some(text), ..page }
    }

    async fn share_page(&self, status: StatusCode, notice: Option<Notice>, draft: Draft) -> Answered {
        let Some(Thing { kind, id }) = self.thing() else { return self.no_thing() };
        let mut names = if kind == Kind::Experiment {
            self.tools.resolver.experiment_names([&id], self.tools.upstream).await
        } else {
            std::collections::HashMap::new()
        };
        let mut records = self.store().grants_on(&self.caller.workspace, kind, &id);
        if let Some(name) = names.get(&id) {
            records.extend(self.store().grants_on(&self.caller.workspace, Kind::ExperimentName, name));
        }
        records.sort_by_cached_key(|record| (record.grant.subject.clone(), record.grant.pattern.clone()));
        let more = records.len().saturating_sub(MOST);
        records.truncate(MOST);
        let people: Vec<&str> = records.iter().filter_map(|record| person(&record.grant.subject)).collect();
        let alike = names::alike(&people, self.store());
        let rows = records.iter().map(|record| {
            let mut row = self.holder(record);
            row.alike = person(&record.grant.subject).and_then(|name| alike.get(name).cloned());
            row
        });
        let (holders, wider) = rows.partition(|row| row.pattern.is_none());
        let page = SharePage {
            frame: self.frame("share"),
            notice,
            kind: kind.as_str(),
            spoken: spoken(kind),
            name: names.remove(&id),
            id: &id,
            form_id: written(kind, &id),
            holders,
            wider,
            more,
            levels: &LEVELS,
            lengths: &LENGTHS,
            draft,
        };
        Answered::plain(html::page(status, &page))
    }

    fn holder(&self, record: &GrantRecord) -> HolderRow {
        let GrantRecord { grant, expires, created, by, .. } = record;
        let (sort, name) = match &grant.subject {
            Subject::User(name) => ("person", name.to_string()),
            Subject::Group(name) => ("group", name.to_string()),
            Subject::Role(id) => {
                let role = self.store().role(*id);
                ("role", role.map_or_else(|| id.to_string(), |role| role.name.to_string()))
            }
        };
        let (through, through_more) = self.having(&grant.subject);
        let me = matches!(&grant.subject, Subject::User(name) if *name == self.caller.identity.user);
        let unknown = match &grant.subject {
            Subject::User(name) => self.store().user(name).is_none_or(|user| user.identities.is_empty()),
            Subject::Group(_) | Subject::Role(_) => false,
        };
        let pattern = match &grant.pattern {
            pattern if grant.kind == Kind::ExperimentName => Some(format!("by name: {pattern}")),
            Pattern::Exactly(_) => None,
            pattern @ (Pattern::Prefix(_) | Pattern::Glob(_)) => Some(pattern.to_string()),
        };
        HolderRow {
            sort,
            name,
            forms: self.forms(grant),
            through,
            through_more,
            permission: grant.permission.as_str(),
            until: expires.map(moment),
            by: by.strip_prefix("user ").unwrap_or(by).to_owned(),
            since: moment(*created),
            me,
            pattern,
            alike: None,
            unknown,
            seen: write_seen(record),
        }
    }
}

impl<A: Ask> Desk<'_, A> {
    /// By which forms the caller changes it: what is more than this one thing, or held through a role, needs more than MANAGE
    /// on the thing. The table says the same of the forms.
    fn forms(&self, grant: &Grant) -> Option<Forms> {
        if grant.kind == Kind::ExperimentName {
            // The forms are about the kind of thing that the page is about.
            return None;
        }
        let wide = !matches!(grant.pattern, Pattern::Exactly(_));
        if wide && meets(self.caller, &Requirement::Whole(grant.kind)).is_err() {
            return None;
        }
        let id = match &grant.pattern {
            Pattern::Exactly(id) => written(grant.kind, id),
            pattern => pattern.to_string(),
        };
        let (change, remove) = ("/trackgate/share/change", "/trackgate/share/remove");
        match &grant.subject {
            Subject::User(name) => Some(Forms { change, remove, id, to: name.to_string(), role: None }),
            Subject::Group(name) => Some(Forms { change, remove, id, to: format!("group:{name}"), role: None }),
            Subject::Role(role) => {
                let workspace = Resource::of_workspace(&self.caller.workspace);
                let (change, remove) = ("/trackgate/share/role/change", "/trackgate/share/role/remove");
                let forms = Forms { change, remove, id, to: String::new(), role: Some(role.0) };
                holds(self.caller, Action::Manage, &workspace).is_ok().then_some(forms)
            }
        }
    }

    /// Who has a role, and how many more.
    fn having(&self, subject: &Subject) -> (Vec<String>, usize) {
        let Subject::Role(role) = subject else { return (Vec::new(), 0) };
        let assigned = self.store().assignments_of_role(*role);
        let names = assigned.iter().take(MOST_HAVING).map(|assignment| match &assignment.to {
            Subject::User(name) => name.to_string(),
            other => other.to_string(),
        });
        (names.collect(), assigned.len().saturating_sub(MOST_HAVING))
    }
}

impl Spot {
    fn is_wide(&self) -> bool {
        !matches!(self.pattern, Pattern::Exactly(_))
    }
}

fn person(subject: &Subject) -> Option<&str> {
    match subject {
        Subject::User(name) => Some(name.as_str()),
        Subject::Group(_) | Subject::Role(_) => None,
    }
}

fn ends(until: Option<u64>) -> String {
    until.map_or_else(String::new, |end| format!(" until {}", moment(end).shown))
}

impl Level {
    pub(super) fn of(&self, permission: &str) -> bool {
        self.word == permission
    }
}

/// The id of one thing as our forms carry it: no letter of a name stands for others.
pub(super) fn written(kind: Kind, id: &str) -> String {
    if kind.grantable() == Grantable::ByName { glob::quoted(id) } else { id.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mlflow::permission::Permission;

    #[test]
    fn what_was_seen_comes_back_as_it_was_and_nothing_else_is_read() {
        let seen = Seen { id: 7, permission: Permission::Edit, expires: None, created: 12 };
        assert_eq!(read_seen("7.EDIT.0.12"), Some(seen));
        assert_eq!(read_seen("7.EDIT.9.12"), Some(Seen { expires: Some(9), ..seen }));
        for odd in ["", "7", "7.EDIT.0", "7.EDIT.0.12.1", "x.EDIT.0.12", "7.OWN.0.12", "-7.EDIT.0.12"] {
            assert_eq!(read_seen(odd), None, "{odd}");
        }
    }
}
