//! What do people see and change of permissions with a browser?
//!
//! Plain pages without any script: what I can reach and why, who holds what on a thing that I manage. Who may see and
//! change what stands in the table (`policy/local.rs`), in the words of MLflow's permission API, and is decided before;
//! the handlers take a permit and never ask. Each form carries a token of the session that it was shown to.

mod access;
mod ask;
mod audit;
mod csv;
mod logins;
mod names;
mod review;
mod share;
mod terms;
mod tokens;

use std::sync::Arc;

use http::header::CONTENT_TYPE;
use http::{HeaderValue, Response, StatusCode};

use super::assets::{self, Assets};
use super::{Answered, RefusalPage, html, redirect, refusal_page};
use crate::access::decide::Permitted;
use crate::access::grant::RoleId;
use crate::access::identity::{Principal, Proof};
use crate::audit::Target;
use crate::authenticate::Authenticator;
use crate::authenticate::credential::Credentials;
use crate::message::{Body, Request};
use crate::mlflow::error::{self, ErrorCode};
use crate::mlflow::glob;
use crate::mlflow::ids::WorkspaceName;
use crate::mlflow::resource::{Grantable, Kind, Object};
use crate::policy::classify::Call;
use crate::policy::fields::Fields;
use crate::policy::route::{Need, Verb};
use crate::resolve::{Ask, Known, KnownRole, ResolveFault, Resolver};
use crate::store::{By, Store, StoreFault};

/// The first of these pages.
pub const FIRST: &str = "/trackgate/access";

/// Where somebody asks for access to a thing, or to one that they name there.
#[must_use]
pub fn ask_address(thing: Option<&Object>) -> String {
    let thing = thing.filter(|object| shared(object.kind));
    let (kind, id) = match thing {
        // One name, whatever stands in it.
        Some(object) if object.kind.grantable() == Grantable::ByName => {
            (object.kind.as_str(), glob::quoted(&object.id))
        }
        Some(object) => (object.kind.as_str(), object.id.to_string()),
        None => ("", String::new()),
    };
    address("/trackgate/ask", &[("kind", kind), ("id", &id)])
}

/// What the handlers work with.
pub struct Tools<'a, A> {
    /// Who holds what.
    pub store: &'a Store,
    /// Who vouches for people.
    pub authenticator: &'a Authenticator,
    /// What the caller showed: forms are bound to it.
    pub credentials: &'a Credentials,
    /// Knows names.
    pub resolver: &'a Resolver,
    /// Whom it asks.
    pub upstream: &'a A,
    /// What the request names, in the row's words.
    pub fields: &'a Fields,
    /// The objects that were judged.
    pub objects: &'a [Object],
    /// Where audit records go.
    pub audit: &'a Target,
    /// Whether the server has workspaces.
    pub workspaces: bool,
    /// When the request was judged, in milliseconds since the epoch.
    pub now: u64,
}

/// The workspace that a page is about: the one that it names, else the one that the request acts in.
#[must_use]
pub fn place(fields: &Fields, active: &WorkspaceName) -> WorkspaceName {
    fields.one("workspace").and_then(|name| WorkspaceName::parse(name).ok()).unwrap_or_else(|| active.clone())
}

/// What the store knows of what a form would give.
///
/// # Errors
/// A sentence for whoever wrote an end that is none.
pub fn known(
    call: &Call,
    fields: &Fields,
    principal: &Arc<Principal>,
    store: &Store,
    now: u64,
) -> Result<Known, terms::BadTerm> {
    let gives = call.row.needs.iter().any(|need| matches!(need, Need::Gives { .. }));
    let named = call.row.needs.iter().any(|need| matches!(need, Need::OnRole { .. }));
    let role = fields.number("role_id").filter(|_| named).and_then(|id| store.role(RoleId(id)));
    let role = role.filter(|role| role.workspace == principal.workspace).map(|role| KnownRole {
        id: role.id.0,
        whose: format!("role:{}", role.name).into(),
        has: false,
        on: Vec::new(),
    });
    let until = if gives { share::end(fields, now)? } else { None };
    let lasting = if gives { store.lasting(principal, until).ok() } else { None };
    let tokens = tokens::known(call, fields, principal, store);
    Ok(Known { role, lasting, until, tokens, ..Known::default() })
}

/// Of how many experiments a page asks what they are called, to judge them.
const MOST_NAMED: usize = 200;

/// Answers one of these rows.
pub async fn answer<A: Ask>(permitted: Permitted<Request>, call: &Call, tools: Tools<'_, A>) -> Answered {
    let (request, principal, _) = permitted.into_parts();
    let Some(caller) = principal else {
        // No row of these is for strangers.
        return Answered::plain(Response::new(Body::Empty));
    };
    let caller = knowing(caller, &tools).await;
    let mut desk = Desk { tools, request: &request, caller: &caller, token: String::new() };
    if tokens::api::serves(call.row.name) {
        // Forms of other sites send no JSON, and the origin was checked.
        return desk.token_api(call.row.name).await;
    }
    if matches!(caller.identity.proof, Proof::Bearer | Proof::Token | Proof::Bound) && call.row.name != "ReviewCsv" {
        return only_pages();
    }
    if call.row.verb == Verb::Post {
        let token = desk.field("token");
        let checked = desk.tools.authenticator.check_form(token, desk.tools.credentials, &caller.identity);
        if let Err(fault) = checked {
            let message = "This form was not shown to you, or lay open for too long. Nothing was changed: open the page \
                           again.";
            return desk.refuse(StatusCode::FORBIDDEN, message, "foreign-form", &fault);
        }
    }
    desk.token = desk.tools.authenticator.form_token(desk.tools.credentials, &caller.identity);
    let mut answered = match call.row.name {
        "AccessPage" => desk.my_access().await,
        "SharePage" => desk.share().await,
        "ShareGive" => desk.give().await,
        "ShareChange" | "ShareRoleChange" => desk.change().await,
        "ShareRemove" | "ShareRoleRemove" => desk.remove().await,
        "AskPage" => desk.ask().await,
        "AskForAccess" => desk.send_request().await,
        "WithdrawRequest" => desk.withdraw().await,
        "RequestsPage" => desk.requests().await,
        "GrantRequest" => desk.accept().await,
        "DeclineRequest" => desk.decline().await,
        "ReviewPage" => desk.review().await,
        "ReviewCsv" => desk.review_csv().await,
        "AuditPage" => desk.audit().await,
        "TokensPage" => desk.tokens(),
        "AuthorizePage" => desk.authorize_page(),
        "Authorize" => desk.authorize().await,
        "DevicePage" => desk.device_page(),
        "DeviceTyped" => desk.device_typed().await,
        "DeviceDecide" => desk.device_decide().await,
        "TokenCreate" => desk.make_token().await,
        "TokenRevoke" => desk.revoke_token().await,
        // A row that was added to the table and not here.
        _ => desk.refuse(StatusCode::NOT_FOUND, "This address does not exist.", "row-not-served", &""),
    };
    if request.head_only {
        answered.response = answered.response.map(|_| Body::Empty);
    }
    answered
}

/// The caller, who knows what the experiments are called that they hold something on by id: a grant on names may say more,
/// or deny it. What MLflow does not tell is shown as if it were denied, where it could be.
async fn knowing<A: Ask>(caller: Arc<Principal>, tools: &Tools<'_, A>) -> Arc<Principal> {
    if !caller.speaks_of_names() {
        return caller;
    }
    let exact = caller.grants.iter().flat_map(|set| set.exact(Kind::Experiment)).map(|(id, _)| Arc::clone(id));
    let ids: Vec<Arc<str>> = exact.filter(|id| !caller.names.knows(id)).take(MOST_NAMED).collect();
    match tools.resolver.called(ids, tools.upstream).await {
        Ok(called) => Arc::new(caller.knowing(called)),
        Err(_) => caller,
    }
}

/// A permitted call with all that it takes to answer it.
struct Desk<'a, A> {
    tools: Tools<'a, A>,
    request: &'a Request,
    caller: &'a Principal,
    token: String,
}

/// What stands on each of these pages.
struct Frame<'a> {
    assets: &'a Assets,
    host: &'a str,
    /// Which page it is.
    here: &'static str,
    user: &'a str,
    admin: bool,
    /// Whether there is a session to leave.
    session: bool,
    token: &'a str,
    /// The workspace, where there are several.
    workspace: Option<&'a str>,
}

/// What the page says of what was just done, or not done.
struct Notice {
    good: bool,
    text: String,
}

impl<A: Ask> Desk<'_, A> {
    fn frame(&self, here: &'static str) -> Frame<'_> {
        Frame {
            assets: assets::addresses(),
            host: self.tools.authenticator.public_url().host_str().unwrap_or_default(),
            here,
            user: self.caller.identity.user.as_str(),
            admin: self.caller.admin,
            session: self.caller.identity.proof == Proof::Session,
            token: &self.token,
            workspace: self.tools.workspaces.then(|| self.caller.workspace.as_str()),
        }
    }

    /// The workspace as addresses name it; nothing where there is but one.
    fn workspace(&self) -> &str {
        if self.tools.workspaces { self.caller.workspace.as_str() } else { "" }
    }

    fn field(&self, name: &str) -> &str {
        self.tools.fields.one(name).unwrap_or_default()
    }

    fn store(&self) -> &Store {
        self.tools.store
    }

    fn by(&self) -> By {
        By::User(self.caller.identity.user.clone())
    }

    fn refuse(
        &self,
        status: StatusCode,
        message: &str,
        reason: &'static str,
        detail: &dyn std::fmt::Display,
    ) -> Answered {
        let user = Some(self.caller.identity.user.as_str());
        let session = self.caller.identity.proof == Proof::Session;
        let page = RefusalPage { status, message, call: None, user, session, request_id: &self.request.id, ask: None };
        let response = refusal_page(self.tools.authenticator.public_url(), &page);
        Answered { refused: Some((reason, detail.to_string())), ..Answered::plain(response) }
    }

    /// The store did not take a change, for none of the person's doing.
    /// The caller, who knows what these experiments are called, where grants on names speak to them.
    async fn knowing(&self, ids: impl IntoIterator<Item = Arc<str>>) -> Result<Principal, ResolveFault> {
        if self.caller.admin || !self.caller.speaks_of_names() {
            return Ok(self.caller.clone());
        }
        Ok(self.caller.knowing(Box::pin(self.tools.resolver.called(ids, self.tools.upstream)).await?))
    }

    /// Nothing is shown where it is not known what experiments are called.
    fn not_called(&self, fault: &ResolveFault) -> Answered {
        let (status, message) = match fault {
            ResolveFault::TooMany { .. } => (
                StatusCode::BAD_REQUEST,
                "What you manage by names are too many experiments to be looked up. Ask an administrator for this page.",
            ),
            _ => {
                (StatusCode::BAD_GATEWAY, "MLflow cannot be asked what experiments are called. Try again in a moment.")
            }
        };
        self.refuse(status, message, "name-unknown", fault)
    }

    fn not_stored(&self, fault: &StoreFault) -> Answered {
        tracing::warn!(error = %fault, "a change of permissions was not made");
        let message = "Nothing was changed: the store does not answer. Try again in a moment.";
        self.refuse(StatusCode::SERVICE_UNAVAILABLE, message, "store-unavailable", fault)
    }

    /// Looks at a page after a form did its work (RFC 9110 section 15.4.4), with a word of what was done.
    fn back_to(address: &str, note: String) -> Answered {
        Answered { note: Some(note), ..Answered::plain(redirect(address)) }
    }
}

/// A program came by.
fn only_pages() -> Answered {
    let message = "This is a page for people who signed in with a browser. Programs use MLflow's permission API, such \
                   as POST /api/3.0/mlflow/users/permissions/grant.";
    let body = error::body(ErrorCode::InvalidParameterValue, message);
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = StatusCode::BAD_REQUEST;
    html::protect(response.headers_mut());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Answered { refused: Some(("only-for-browsers", String::new())), ..Answered::plain(response) }
}

/// A page's address.
fn address(page: &str, fields: &[(&str, &str)]) -> String {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    query.extend_pairs(fields.iter().filter(|(_, value)| !value.is_empty()));
    let query = query.finish();
    if query.is_empty() { page.to_owned() } else { format!("{page}?{query}") }
}

/// A kind, as people say it.
fn spoken(kind: Kind) -> String {
    kind.as_str().replace('_', " ")
}

/// Whether permissions on single things of a kind are given on our pages.
fn shared(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::Experiment
            | Kind::RegisteredModel
            | Kind::Prompt
            | Kind::Scorer
            | Kind::GatewaySecret
            | Kind::GatewayEndpoint
            | Kind::GatewayModelDefinition
            | Kind::McpServer
            | Kind::Skill
    )
}
