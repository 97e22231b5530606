//! Which access tokens do I have, where were they used, and how do I get or revoke one?
//!
//! A token is shown once, in the answer to the form that made it. Who may see, make and revoke whose stands in the rows;
//! a token itself never comes here: one that was stolen must not make another.

pub(super) mod api;

use std::collections::HashSet;
use std::sync::Arc;

use askama::Template;
use http::StatusCode;

use super::terms::{Moment, moment};
use super::{Answered, Ask, Desk, Frame, Notice, address, html, terms};
use crate::access::ceiling::{Ceiling, Scope};
use crate::access::grant::Pattern;
use crate::access::identity::Principal;
use crate::authenticate::own::{LONGEST_NAME, Made, MakeFault, Wish, make};
use crate::mlflow::granting::{self, Calls, Which};
use crate::mlflow::ids::{UserName, WorkspaceName};
use crate::mlflow::permission::Permission;
use crate::policy::classify::Call;
use crate::policy::fields::Fields;
use crate::policy::route::Need;
use crate::resolve::KnownTokens;
use crate::store::{Standing, Store, StoreFault, Token, TokenId, TokenKind, User};

/// How many tokens one page shows.
const PAGE: usize = 300;
/// A network that was first seen so lately is marked, in milliseconds.
const NEW: u64 = 7 * 24 * 60 * 60 * 1000;
/// Everybody's tokens, for administrators.
pub(super) const EVERYBODYS: &str = "*";

/// The levels that a token can be narrowed to: what the form sends and what it shows.
const LEVELS: [(&str, &str); 5] = [
    ("", "As much as I may"),
    ("READ", "READ: see"),
    ("USE", "USE: also call endpoints"),
    ("EDIT", "EDIT: also log and change"),
    ("MANAGE", "MANAGE: also delete and share"),
];

/// What the store knows of the tokens that a call is about.
pub(super) fn known(call: &Call, fields: &Fields, principal: &Principal, store: &Store) -> Option<KnownTokens> {
    let of = call.row.needs.iter().find_map(|need| match need {
        Need::OnTokensOf { field, .. } => {
            let named = fields.one(field).filter(|name| !name.is_empty());
            Some(named.map_or_else(|| principal.identity.user.to_shared(), Arc::from))
        }
        Need::OnToken(field) => {
            let token = store.token_by_id(&TokenId::parse(fields.one(field)?)?)?;
            Some(token.owner.to_shared())
        }
        _ => None,
    })?;
    let account = UserName::parse(&of).ok().and_then(|name| store.user(&name)).filter(|user| user.service);
    Some(KnownTokens {
        service: account.is_some(),
        looks_after: account.is_some_and(|account| store.looks_after(&principal.identity, &account)),
        of,
    })
}

#[derive(Template)]
#[template(path = "tokens.html")]
struct TokensPage<'a> {
    frame: Frame<'a>,
    notice: Option<Notice>,
    made: Option<Fresh<'a>>,
    allowed: bool,
    /// Whether there are logins.
    logins: bool,
    /// Whose they are, where they are not the caller's alone.
    of: Option<String>,
    rows: Vec<Row>,
    more: bool,
    owners: Vec<String>,
    levels: &'static [(&'static str, &'static str)],
    lengths: Vec<(&'static str, &'static str)>,
    usual: String,
    most_days: u64,
    longest_name: usize,
    /// What was written into the form.
    name: &'a str,
    scopes: &'a str,
    chosen: &'a str,
    owner: &'a str,
    address: String,
}

/// A token that was just made.
struct Fresh<'a> {
    text: &'a str,
    name: &'a str,
    until: Moment,
}

struct Row {
    id: String,
    kind: &'static str,
    login: bool,
    name: Arc<str>,
    owner: Option<String>,
    reach: String,
    created: Moment,
    by: Option<String>,
    /// Until when it counts, or since when it does not.
    state: &'static str,
    at: Moment,
    live: bool,
    uses: Vec<Used>,
}

struct Used {
    address: String,
    last: Moment,
    /// Since when, if that is not long ago and others were known before.
    new: Option<Moment>,
}

impl<A: Ask> Desk<'_, A> {
    pub(super) fn tokens(&self) -> Answered {
        let notice = match self.field("done") {
            "revoked" => Some("Revoked. It is refused everywhere from now on."),
            _ => None,
        };
        self.tokens_page(StatusCode::OK, notice.map(|text| Notice { good: true, text: text.to_owned() }), None)
    }

    fn tokens_page(&self, status: StatusCode, notice: Option<Notice>, made: Option<&Made>) -> Answered {
        let settings = self.tools.authenticator.token_settings();
        let own = &self.caller.identity.user;
        let (accounts, named) = (self.own_accounts(), self.field("owner"));
        let everybodys = named == EVERYBODYS;
        let mut tokens = match UserName::parse(named) {
            _ if everybodys => self.store().tokens(None),
            Ok(name) => self.store().tokens(Some(&name)),
            Err(_) => {
                let owners: HashSet<&UserName> = accounts.iter().map(|account| &account.name).chain([own]).collect();
                let mut all: Vec<_> = owners.iter().flat_map(|owner| self.store().tokens(Some(owner))).collect();
                all.sort_by(|one, other| (other.created, &other.id).cmp(&(one.created, &one.id)));
                all
            }
        };
        // Those that count first.
        tokens.sort_by_key(|token| token.standing(self.tools.now) != Standing::Good);
        let more = tokens.len() > PAGE;
        let mut owners = vec![own.to_string()];
        owners.extend(accounts.iter().map(|account| account.name.to_string()));
        let day = |days: u64| days * 24;
        let most = settings.max_lifetime.as_secs() / 3600;
        let usual = settings.default_lifetime.as_secs() / 3600;
        let lengths = terms::LENGTHS.iter().filter(|(_, _, hours)| *hours <= most);
        let page = TokensPage {
            frame: self.frame("tokens"),
            notice,
            made: made.map(|made| Fresh { text: &made.text, name: self.field("name"), until: moment(made.expires) }),
            allowed: settings.allow,
            logins: self.tools.authenticator.login_settings().allow,
            of: (!named.is_empty() && !everybodys && named != own.as_str()).then(|| named.to_owned()),
            rows: tokens.iter().take(PAGE).map(|token| self.token_row(token)).collect(),
            more,
            owners,
            levels: &LEVELS,
            lengths: lengths.map(|(word, shown, _)| (*word, *shown)).collect(),
            usual: if usual.is_multiple_of(day(1)) { format!("{} days", usual / 24) } else { format!("{usual} hours") },
            most_days: most / 24,
            longest_name: LONGEST_NAME,
            name: if made.is_some() { "" } else { self.field("name") },
            scopes: if made.is_some() { "" } else { self.field("scopes") },
            chosen: self.field("most"),
            owner: named,
            address: self.tools.authenticator.public_url().as_str().trim_end_matches('/').to_owned(),
        };
        Answered::plain(html::page(status, &page))
    }

    /// The service accounts that the caller looks after; all of them for an administrator.
    fn own_accounts(&self) -> Vec<Arc<User>> {
        let accounts = self.store().accounts();
        let mine = |account: &Arc<User>| self.caller.admin || self.store().looks_after(&self.caller.identity, account);
        accounts.into_iter().filter(mine).collect()
    }

    fn token_row(&self, token: &Token) -> Row {
        let now = self.tools.now;
        let (state, at) = match token.standing(now) {
            Standing::Good => ("until", token.expires),
            Standing::Expired(at) => ("expired", at),
            Standing::Revoked(at) => ("revoked", at),
        };
        let uses = token.uses();
        let oldest = uses.iter().map(|one| one.first).min().unwrap_or_default();
        let used = uses.iter().map(|one| Used {
            address: one.address.to_string(),
            last: moment(one.last),
            new: (one.first > oldest && now.saturating_sub(one.first) < NEW).then(|| moment(one.first)),
        });
        let maker = format!("user {}", token.owner);
        Row {
            id: token.id.to_string(),
            kind: token.kind.beginning(),
            login: token.kind == TokenKind::Login,
            name: Arc::clone(&token.name),
            owner: (token.owner != self.caller.identity.user).then(|| token.owner.to_string()),
            reach: token.ceiling.to_string(),
            created: moment(token.created),
            by: (*token.by != *maker).then(|| token.by.to_string()),
            state,
            at: moment(at),
            live: token.standing(now) == Standing::Good,
            uses: used.collect(),
        }
    }

    pub(super) async fn make_token(&self) -> Answered {
        let expires = match terms::end(self.tools.fields, self.tools.now) {
            Ok(expires) => expires,
            Err(fault) => return self.no_token(&fault.to_string()),
        };
        let scopes = match read_scopes(self.field("scopes")) {
            Ok(scopes) => scopes,
            Err(text) => return self.no_token(&text),
        };
        let Ok(most) = level(self.field("most")) else {
            return self.no_token("Choose what the token is for at most.");
        };
        let workspace = (self.tools.workspaces && self.field("here") == "yes").then(|| self.caller.workspace.clone());
        match self.made(self.field("name"), Ceiling { most, only: scopes, workspace }, expires).await {
            Ok(made) => {
                let note = format!("token {} made", made.id);
                let page = self.tokens_page(StatusCode::OK, None, Some(&made));
                Answered { note: Some(note), ..page }
            }
            Err(MakeFault::Store(fault)) if !fault.about_the_change() => self.not_stored(&fault),
            Err(fault) => self.no_token(&capital(&fault.to_string())),
        }
    }

    /// Makes the token for whoever the request names. Who that may be was judged.
    async fn made(&self, name: &str, ceiling: Ceiling, expires: Option<u64>) -> Result<Made, MakeFault> {
        let owner = match self.field("owner") {
            "" => self.caller.identity.user.clone(),
            name => UserName::parse(name).map_err(|_| no_such(name))?,
        };
        let user = self.store().user(&owner).ok_or_else(|| no_such(owner.as_str()))?;
        let kind = if user.service { TokenKind::Service } else { TokenKind::Personal };
        let settings = self.tools.authenticator.token_settings();
        let wish = Wish { owner, kind, name: name.to_owned(), ceiling, expires };
        make(self.store(), settings, wish, self.tools.now, self.by()).await
    }

    /// The token that the request names.
    fn named_token(&self) -> Option<TokenId> {
        let fields = self.tools.fields;
        TokenId::parse(fields.one("id").or_else(|| fields.one("{id}"))?)
    }

    fn no_token(&self, text: &str) -> Answered {
        let notice = Notice { good: false, text: format!("No token was made. {text}") };
        let page = self.tokens_page(StatusCode::BAD_REQUEST, Some(notice), None);
        Answered { refused: Some(("bad-token-wish", text.to_owned())), ..page }
    }

    pub(super) async fn revoke_token(&self) -> Answered {
        let Some(id) = self.named_token() else { return self.no_token("There is no such token.") };
        match self.store().revoke_token(&id, self.by()).await {
            Ok(_) | Err(StoreFault::NoSuch { .. }) => {
                let owner = self.field("owner");
                Self::back_to(
                    &address("/trackgate/tokens", &[("owner", owner), ("done", "revoked")]),
                    format!("token {id} revoked"),
                )
            }
            Err(fault) => self.not_stored(&fault),
        }
    }
}

fn no_such(name: &str) -> MakeFault {
    MakeFault::Store(StoreFault::NoSuch { what: "user", name: name.to_owned() })
}

/// The level that a token is narrowed to; empty: to none.
fn level(word: &str) -> Result<Option<Permission>, ()> {
    match word {
        "" => Ok(None),
        word => match word.parse() {
            Ok(Permission::Deny) | Err(_) => Err(()),
            Ok(level) => Ok(Some(level)),
        },
    }
}

/// One thing on each line: `experiment:7`, `registered_model:team-*`, or the address of its page in MLflow.
fn read_scopes(text: &str) -> Result<Option<Arc<[Scope]>>, String> {
    let mut scopes = Vec::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        scopes.push(scope(line).map_err(|why| format!("“{line}” names nothing that a token can reach: {why}."))?);
    }
    Ok((!scopes.is_empty()).then(|| scopes.into()))
}

fn scope(line: &str) -> Result<Scope, String> {
    let Some((kind, id)) = super::ask::from_address(line) else {
        return line.parse().map_err(|fault: crate::access::ceiling::BadScope| fault.to_string());
    };
    let target = granting::target(&kind, &id, Calls::OfPeople).map_err(|fault| fault.to_string())?;
    match target.which {
        Which::One(id) => Ok(Scope { kind: target.kind, pattern: Pattern::Exactly(Arc::from(id)) }),
        Which::Every | Which::Beginning(_) | Which::Matching(_) => Err("it is the address of no one thing".to_owned()),
    }
}

fn capital(text: &str) -> String {
    let mut signs = text.chars();
    signs.next().map_or_else(String::new, |first| first.to_uppercase().chain(signs).chain(['.']).collect())
}

/// The workspace as JSON tells it.
fn place(workspace: Option<&WorkspaceName>) -> Option<&str> {
    workspace.map(WorkspaceName::as_str)
}
