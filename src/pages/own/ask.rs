//! How does somebody ask for access, and who decides?
//!
//! Whoever asks learns nothing by it: what is hidden from them and what is not there are asked for alike, and the answer is
//! the same page. Those who manage the thing see the request, and decide.

use std::collections::HashMap;
use std::sync::Arc;

use askama::Template;
use http::StatusCode;

use super::access::kinds;
use super::share::{LEVELS, Level, end, read_seen, write_seen, written};
use super::terms::{LENGTHS, Moment, moment};
use super::{Answered, Ask, Desk, Frame, Notice, address, html, names, shared, spoken};
use crate::access::decide::holds;
use crate::access::grant::{Pattern, Subject};
use crate::access::identity::Principal;
use crate::mlflow::glob;
use crate::mlflow::granting::{self, Calls, Which};
use crate::mlflow::permission::{Action, Permission};
use crate::mlflow::resource::{Kind, Resource};
use crate::store::{AccessRequest, GrantRecord, State, StoreFault, Verdict, Wish};

/// How many requests one page shows.
const PAGE: usize = 25;
/// How many are looked at for one page.
const MOST_LOOKED_AT: usize = 2000;
/// How many are read at once.
const AT_ONCE: u32 = 200;
/// The longest reason, and the longest answer, in characters.
const LONGEST: usize = 1000;

#[derive(Template)]
#[template(path = "ask.html")]
struct AskPage<'a> {
    frame: Frame<'a>,
    notice: Option<Notice>,
    kinds: Vec<(&'static str, String)>,
    levels: &'static [Level],
    kind: &'a str,
    id: &'a str,
    permission: &'a str,
    reason: &'a str,
    own: Vec<OwnRow>,
}

/// A request of one's own.
struct OwnRow {
    number: u64,
    what: String,
    permission: &'static str,
    reason: Arc<str>,
    since: Moment,
    open: bool,
    state: &'static str,
    answer: Option<Arc<str>>,
}

#[derive(Template)]
#[template(path = "requests.html")]
struct RequestsPage<'a> {
    frame: Frame<'a>,
    notice: Option<Notice>,
    rows: Vec<OpenRow>,
    later: Option<String>,
    levels: &'static [Level],
    lengths: &'static [(&'static str, &'static str, u64)],
}

/// A request that one can decide.
struct OpenRow {
    number: u64,
    user: String,
    alike: Option<String>,
    kind: &'static str,
    spoken: String,
    id: Arc<str>,
    /// The same, as forms carry it.
    form_id: String,
    name: Option<String>,
    permission: &'static str,
    reason: Arc<str>,
    since: Moment,
    held: Option<&'static str>,
    seen: String,
    /// One's own: somebody else decides.
    mine: bool,
}

impl<A: Ask> Desk<'_, A> {
    pub(super) async fn ask(&self) -> Answered {
        let notice = match self.field("done") {
            "asked" => Some("Asked. Whoever manages it sees your request; what becomes of it stands below."),
            "withdrawn" => Some("Withdrawn."),
            _ => None,
        };
        self.ask_page(StatusCode::OK, notice.map(|text| Notice { good: true, text: text.to_owned() })).await
    }

    async fn ask_page(&self, status: StatusCode, notice: Option<Notice>) -> Answered {
        let own = match self.store().requests_of(&self.caller.identity.user).await {
            Ok(own) => {
                own.into_iter().filter(|request| request.wish.workspace == self.caller.workspace).map(own_row).collect()
            }
            Err(fault) => return self.not_stored(&fault),
        };
        let page = AskPage {
            frame: self.frame("ask"),
            notice,
            kinds: kinds(),
            levels: LEVELS.get(..4).unwrap_or_default(),
            kind: self.field("kind"),
            id: self.field("id"),
            permission: self.field("permission"),
            reason: self.field("reason"),
            own,
        };
        Answered::plain(html::page(status, &page))
    }

    async fn ask_again(&self, text: &str) -> Answered {
        let page = self.ask_page(StatusCode::BAD_REQUEST, Some(Notice { good: false, text: text.to_owned() })).await;
        Answered { refused: Some(("bad-request-for-access", text.to_owned())), ..page }
    }

    pub(super) async fn send_request(&self) -> Answered {
        let Some((kind, id)) = self.wished() else {
            return self
                .ask_again("Say what you need: choose what it is, and write its id or name, or its address in MLflow.")
                .await;
        };
        let Ok(permission @ (Permission::Read | Permission::Use | Permission::Edit | Permission::Manage)) =
            granting::level(self.field("permission"), kind)
        else {
            return self.ask_again("Choose a level.").await;
        };
        let reason = self.field("reason").trim();
        if reason.is_empty() || !fits(reason) {
            return self.ask_again("Say in some words why you need it (1000 signs at the most).").await;
        }
        let wish = Wish {
            workspace: self.caller.workspace.clone(),
            kind,
            object: Arc::clone(&id),
            user: self.caller.identity.user.clone(),
            permission,
            reason: Arc::from(reason),
        };
        match self.store().ask(wish).await {
            Ok(number) => Self::back_to(
                &self.own_address("/trackgate/ask", "asked"),
                format!("request {number}: {permission} on {kind} {id}"),
            ),
            Err(StoreFault::TooManyOpen) => {
                self.ask_again(
                    "You have as many open requests as one person may have. Withdraw one, or wait for a decision.",
                )
                .await
            }
            Err(fault) => self.not_stored(&fault),
        }
    }

    /// What is asked for: by its id or name, or by the address of its page in MLflow.
    fn wished(&self) -> Option<(Kind, Arc<str>)> {
        let text = self.field("id").trim();
        let (kind, id) = match from_address(text) {
            Some((kind, id)) => (kind, glob::quoted(&id)),
            None => (self.field("kind").to_owned(), text.to_owned()),
        };
        // Whoever writes a pattern means more than one thing, which is not asked for here.
        let target = granting::target(&kind, &id, Calls::OfPeople).ok()?;
        match target.which {
            Which::One(id) if shared(target.kind) => Some((target.kind, Arc::from(id))),
            Which::One(_) | Which::Every | Which::Beginning(_) | Which::Matching(_) => None,
        }
    }

    pub(super) async fn withdraw(&self) -> Answered {
        let Some(request) = self.open_request().await else { return self.decided_by_another().await };
        if request.wish.user != self.caller.identity.user {
            return self.decided_by_another().await;
        }
        match self.store().decide(request.id, Verdict::Withdraw, "", self.by()).await {
            Ok(()) => Self::back_to(
                &self.own_address("/trackgate/ask", "withdrawn"),
                format!("request {} withdrawn", request.id),
            ),
            Err(StoreFault::NoSuch { .. }) => self.decided_by_another().await,
            Err(fault) => self.not_stored(&fault),
        }
    }

    // --- who decides ---

    pub(super) async fn requests(&self) -> Answered {
        let notice = match self.field("done") {
            "granted" => Some("Given. It counts from now on."),
            "declined" => Some("Declined."),
            _ => None,
        };
        self.requests_page(StatusCode::OK, notice.map(|text| Notice { good: true, text: text.to_owned() })).await
    }

    async fn requests_page(&self, status: StatusCode, notice: Option<Notice>) -> Answered {
        let mut after = self.field("after").parse().unwrap_or(0);
        let (mut mine, mut looked_at, mut more) = (Vec::new(), 0, true);
        while more && mine.len() < PAGE && looked_at < MOST_LOOKED_AT {
            let found = match self.store().open_requests(after, AT_ONCE).await {
                Ok(found) => found,
                Err(fault) => return self.not_stored(&fault),
            };
            more = found.len() == AT_ONCE as usize;
            let experiments = found.iter().filter(|request| request.wish.kind == Kind::Experiment);
            let caller = match self.knowing(experiments.map(|request| Arc::clone(&request.wish.object))).await {
                Ok(caller) => caller,
                Err(fault) => return self.not_called(&fault),
            };
            for request in found {
                if mine.len() == PAGE {
                    more = true;
                    break;
                }
                after = request.id;
                looked_at += 1;
                if decides(&caller, &request.wish) {
                    mine.push(request);
                }
            }
        }
        let ids =
            mine.iter().filter(|request| request.wish.kind == Kind::Experiment).map(|request| &request.wish.object);
        let known = self.tools.resolver.experiment_names(ids, self.tools.upstream).await;
        let people: Vec<&str> = mine.iter().map(|request| request.wish.user.as_str()).collect();
        let alike = names::alike(&people, self.store());
        let rows = mine.iter().map(|request| self.open_row(request, &known, &alike)).collect();
        let workspace = self.workspace();
        let later = address("/trackgate/requests", &[("workspace", workspace), ("after", &after.to_string())]);
        let page = RequestsPage {
            frame: self.frame("requests"),
            notice,
            rows,
            later: more.then_some(later),
            levels: &LEVELS,
            lengths: &LENGTHS,
        };
        Answered::plain(html::page(status, &page))
    }

    /// What somebody holds on just this thing.
    fn held(&self, wish: &Wish, kind: Kind) -> Option<GrantRecord> {
        let records = self.store().grants_on(&wish.workspace, kind, &wish.object);
        let subject = Subject::User(wish.user.clone());
        records
            .into_iter()
            .find(|record| record.grant.subject == subject && matches!(record.grant.pattern, Pattern::Exactly(_)))
    }

    fn open_row(
        &self,
        request: &AccessRequest,
        known: &HashMap<Arc<str>, String>,
        alike: &HashMap<String, String>,
    ) -> OpenRow {
        let AccessRequest { id: number, wish, created, .. } = request;
        let held = self.held(wish, wish.kind);
        OpenRow {
            number: *number,
            user: wish.user.to_string(),
            alike: alike.get(wish.user.as_str()).cloned(),
            kind: wish.kind.as_str(),
            spoken: spoken(wish.kind),
            id: Arc::clone(&wish.object),
            form_id: written(wish.kind, &wish.object),
            name: known.get(&wish.object).filter(|_| wish.kind == Kind::Experiment).cloned(),
            permission: wish.permission.as_str(),
            reason: Arc::clone(&wish.reason),
            since: moment(*created),
            held: held.as_ref().map(|record| record.grant.permission.as_str()),
            seen: held.as_ref().map(write_seen).unwrap_or_default(),
            mine: wish.user == self.caller.identity.user && !self.caller.admin,
        }
    }

    pub(super) async fn accept(&self) -> Answered {
        let Some(request) = self.judged_request().await else { return self.decided_by_another().await };
        let Some(thing) = self.thing() else { return self.no_thing() };
        let (Ok(permission), Ok(expires)) =
            (granting::level(self.field("permission"), thing.kind), end(self.tools.fields, self.tools.now))
        else {
            return self.no_thing();
        };
        let answer = self.field("answer").trim();
        if !fits(answer) {
            return self.no_thing();
        }
        let held = self.held(&request.wish, thing.kind);
        let seen = read_seen(self.field("seen"));
        if held.as_ref().map(crate::store::Seen::of) != seen {
            return self.decided_by_another().await;
        }
        let verdict = Verdict::Grant { kind: thing.kind, over: seen, permission, expires };
        match self.store().decide(request.id, verdict, answer, self.by()).await {
            Ok(()) => {
                let note = format!("request {}: {permission} to user {}", request.id, request.wish.user);
                Self::back_to(&self.own_address("/trackgate/requests", "granted"), note)
            }
            Err(StoreFault::NoSuch { .. } | StoreFault::Changed) => self.decided_by_another().await,
            Err(StoreFault::EndPassed) => {
                let text = "Nothing was changed: that end has passed already.".to_owned();
                self.requests_page(StatusCode::BAD_REQUEST, Some(Notice { good: false, text })).await
            }
            Err(fault) => self.not_stored(&fault),
        }
    }

    pub(super) async fn decline(&self) -> Answered {
        let Some(request) = self.judged_request().await else { return self.decided_by_another().await };
        let answer = self.field("answer").trim();
        if !fits(answer) {
            return self.no_thing();
        }
        match self.store().decide(request.id, Verdict::Decline, answer, self.by()).await {
            Ok(()) => {
                let note = format!("request {} of user {} declined", request.id, request.wish.user);
                Self::back_to(&self.own_address("/trackgate/requests", "declined"), note)
            }
            Err(StoreFault::NoSuch { .. }) => self.decided_by_another().await,
            Err(fault) => self.not_stored(&fault),
        }
    }

    /// The open request that the form names.
    async fn open_request(&self) -> Option<AccessRequest> {
        let number = self.field("request").parse().ok()?;
        self.store().request(number).await.ok()?.filter(|request| request.state == State::Open)
    }

    /// The same, if it is about the very thing and person that were judged.
    async fn judged_request(&self) -> Option<AccessRequest> {
        let request = self.open_request().await?;
        let wish = &request.wish;
        let judged = wish.workspace == self.caller.workspace
            && wish.kind.as_str() == self.field("kind")
            && written(wish.kind, &wish.object) == self.field("id")
            && wish.user.as_str() == self.field("to");
        judged.then_some(request)
    }

    async fn decided_by_another(&self) -> Answered {
        let text = "Nothing was changed: the request is decided already, or what the person holds is another by now."
            .to_owned();
        let page = self.requests_page(StatusCode::CONFLICT, Some(Notice { good: false, text: text.clone() })).await;
        Answered { note: Some(text), ..page }
    }

    fn own_address(&self, page: &str, done: &str) -> String {
        let workspace = self.workspace();
        address(page, &[("workspace", workspace), ("done", done)])
    }
}

/// Whether the caller manages what is asked for. A name of the registry may be that of a prompt.
fn decides(caller: &Principal, wish: &Wish) -> bool {
    let manages = |kind| holds(caller, Action::Manage, &Resource::top(kind, Arc::clone(&wish.object))).is_ok();
    wish.workspace == caller.workspace && (manages(wish.kind) || wish.kind.as_prompt().is_some_and(manages))
}

fn own_row(request: AccessRequest) -> OwnRow {
    let AccessRequest { id, wish, state, created, answer, .. } = request;
    OwnRow {
        number: id,
        what: format!("{} {}", spoken(wish.kind), wish.object),
        permission: wish.permission.as_str(),
        reason: wish.reason,
        since: moment(created),
        open: state == State::Open,
        state: match state {
            State::Open => "waiting for a decision",
            State::Granted => "given",
            State::Declined => "declined",
            State::Withdrawn => "withdrawn",
        },
        answer: answer.filter(|answer| !answer.is_empty()),
    }
}

/// Whether a text may be kept: not too long, and nothing but what is shown.
fn fits(text: &str) -> bool {
    text.chars().count() <= LONGEST
        && !text.chars().any(|sign| sign.is_control() && !matches!(sign, '\n' | '\r' | '\t'))
}

/// The thing whose page in MLflow has this address, by its type and id (`.../#/experiments/7/runs`, `.../#/models/a`).
pub(super) fn from_address(text: &str) -> Option<(String, String)> {
    let (_, route) = text.split_once("#/")?;
    let mut parts = route.split(['/', '?']);
    let (what, id) = (parts.next()?, parts.next()?);
    let id = percent_encoding::percent_decode_str(id).decode_utf8().ok().filter(|id| !id.is_empty())?;
    let kind = match what {
        "experiments" => Kind::Experiment,
        "models" => Kind::RegisteredModel,
        "prompts" => Kind::Prompt,
        _ => return None,
    };
    Some((kind.as_str().to_owned(), id.into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_of_mlflows_pages_names_the_thing() {
        let named = |kind: &str, id: &str| Some((kind.to_owned(), id.to_owned()));
        for (address, thing) in [
            ("https://mlflow.example.com/#/experiments/7/runs?x=1", named("experiment", "7")),
            ("https://mlflow.example.com/ml/#/experiments/7", named("experiment", "7")),
            ("#/models/a%20b", named("registered_model", "a b")),
            ("x#/prompts/greeting?y", named("prompt", "greeting")),
            ("7", None),
            ("https://mlflow.example.com/#/", None),
            ("https://mlflow.example.com/#/experiments/", None),
            ("https://mlflow.example.com/#/gateway/7", None),
        ] {
            assert_eq!(from_address(address), thing, "{address}");
        }
    }

    #[test]
    fn a_reason_is_short_and_shows_all_that_is_in_it() {
        assert!(fits("für das Experiment\r\n– bitte") && fits(&"ä".repeat(LONGEST)) && fits(""));
        assert!(!fits(&"a".repeat(LONGEST + 1)) && !fits("a\u{0}b") && !fits("\u{1b}[31m"));
    }
}
