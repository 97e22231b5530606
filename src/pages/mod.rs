//! What do our own endpoints, all under `/trackgate/`, answer?
//!
//! Handlers take a permit and never ask who may. What cannot be done is told in words that name no hidden object.

mod assets;
mod html;
pub mod oauth;
pub mod own;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock};

use http::header::{CONTENT_TYPE, LOCATION, RETRY_AFTER, SET_COOKIE};
use http::{HeaderValue, Response, StatusCode};
use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use url::Url;

use crate::access::decide::Permitted;
use crate::access::grant::Subject;
use crate::access::identity::{Identity, Principal};
use crate::answer::Entry;
use crate::authenticate::Authenticator;
use crate::authenticate::credential::Credentials;
use crate::authenticate::login::{LoginFault, Redirect};
use crate::authenticate::origin;
use crate::authenticate::return_to::ReturnTo;
use crate::message::{Body, Request};
use crate::policy::classify::Call;
use crate::policy::fields::Fields;

/// The parameter with the address to go back to.
const RETURN_TO: &str = "return_to";

/// What one of our own endpoints answers, and what the audit log should know of it.
pub struct Answered {
    /// The answer.
    pub response: Response<Body>,
    /// Why it is a refusal, if it is one: reason and detail for the audit log.
    pub refused: Option<(&'static str, String)>,
    /// Who signed in or out, if somebody did.
    pub identity: Option<Arc<Identity>>,
    /// What was done, for the audit log.
    pub note: Option<String>,
    /// Why nothing was done, though nothing is wrong: the word of the error, and detail for the audit log.
    pub undone: Option<(&'static str, String)>,
    /// Whether a token was used that was used before, and never from this network.
    pub moved: bool,
}

impl Answered {
    fn plain(response: Response<Body>) -> Self {
        Self { response, refused: None, identity: None, note: None, undone: None, moved: false }
    }
}

/// The entry to our pages, as it is written into the UI's first page.
#[must_use]
pub fn entry() -> &'static Entry {
    static ENTRY: LazyLock<Entry> = LazyLock::new(|| Entry {
        head: format!("<link rel=\"stylesheet\" href=\"{}\">", assets::addresses().entry),
        body: format!("<a id=\"trackgate-entry\" href=\"{}\">My access</a>", own::FIRST),
    });
    &ENTRY
}

/// A refusal, as a person reads it.
#[derive(Debug, Clone, Copy)]
pub struct RefusalPage<'a> {
    /// The status.
    pub status: StatusCode,
    /// The sentence that the caller may read.
    pub message: &'a str,
    /// MLflow's name for the call, or ours.
    pub call: Option<&'a str>,
    /// Who asked, if that is known.
    pub user: Option<&'a str>,
    /// Whether a browser session can be left.
    pub session: bool,
    /// Our name for the request.
    pub request_id: &'a str,
    /// Where to ask for access, where that could help.
    pub ask: Option<&'a str>,
}

/// A refusal as a page, for a browser that asked for one.
#[must_use]
pub fn refusal_page(public_url: &Url, refusal: &RefusalPage<'_>) -> Response<Body> {
    let hint = match refusal.status {
        StatusCode::FORBIDDEN | StatusCode::NOT_FOUND if refusal.user.is_some() => Some(match refusal.ask {
            Some(_) => "If you need this for your work, ask for access: whoever manages it decides.",
            None => "If you need this for your work, ask an administrator of this server and name the request.",
        }),
        StatusCode::UNAUTHORIZED => None,
        status if status.is_server_error() => Some("Trying again in a moment may help."),
        _ => None,
    };
    let again = (refusal.status == StatusCode::UNAUTHORIZED).then(|| "/trackgate/login".to_owned());
    let page = html::Refusal {
        assets: assets::addresses(),
        host: public_url.host_str().unwrap_or_default(),
        title: title(refusal.status),
        message: refusal.message,
        user: refusal.user,
        call: refusal.call,
        request_id: Some(refusal.request_id),
        hint,
        again,
        ask: refusal.ask,
        sign_out: refusal.session,
    };
    html::page(refusal.status, &page)
}

fn title(status: StatusCode) -> &'static str {
    match status {
        StatusCode::UNAUTHORIZED => "Please sign in",
        StatusCode::FORBIDDEN => "You may not do this",
        StatusCode::NOT_FOUND => "There is nothing here for you",
        StatusCode::METHOD_NOT_ALLOWED => "Not in this way",
        StatusCode::TOO_MANY_REQUESTS => "Too many attempts",
        StatusCode::PAYLOAD_TOO_LARGE => "That is too large",
        status if status.is_server_error() => "Not available at the moment",
        _ => "This request cannot be accepted",
    }
}

/// Where the script lies that adds signing out to the menu of MLflow's pages.
#[must_use]
pub fn menu() -> &'static str {
    &assets::addresses().menu
}

/// Sends a browser that asked for a page to the sign-in page. The browser carries a `#` fragment along by itself
/// (RFC 9110 section 10.2.2).
#[must_use]
pub fn to_login(path: &str, query: Option<&str>) -> Response<Body> {
    let back = ReturnTo::of(path, query).to_string();
    redirect(&format!("/trackgate/login?{}", parameter(&back)))
}

/// Sends a browser to the front page of an MLflow that lies below a static prefix.
#[must_use]
pub fn to_front(static_prefix: &str) -> Response<Body> {
    redirect(&format!("{}/", static_prefix.trim_end_matches('/')))
}

/// Answers one of our own rows.
pub async fn answer(
    permitted: Permitted<Request>,
    call: &Call,
    fields: &Fields,
    credentials: &Credentials,
    authenticator: &Authenticator,
) -> Answered {
    let (request, principal, _) = permitted.into_parts();
    let desk = Desk { authenticator, request: &request, credentials };
    match call.row.name {
        "SignInPage" => Answered::plain(desk.sign_in_page()),
        "StartSignIn" => desk.start(call.capture("issuer").unwrap_or_default()).await,
        "FinishSignIn" => desk.finish(call.capture("issuer").unwrap_or_default()).await,
        "SignOutPage" => Answered::plain(desk.sign_out_page()),
        "SignOut" => desk.sign_out().await,
        "SignedOutPage" => Answered::plain(desk.signed_out_page(None)),
        "OAuthMetadata" => desk.metadata(),
        "AskForDevice" => desk.ask_for_device(fields).await,
        "GiveToken" => desk.give_token(fields).await,
        "EndLogin" => desk.end_login(fields).await,
        "Live" => Answered::plain(text(StatusCode::OK, "text/plain; charset=utf-8", "ok\n".into())),
        "WhoAmI" => Answered::plain(who_am_i(principal.as_deref())),
        "Asset" => match assets::serve(call.capture("name").unwrap_or_default()) {
            Some(file) => Answered::plain(file),
            None => desk.nothing_here("no-such-asset"),
        },
        // A row that was added to the table and not here.
        _ => desk.nothing_here("row-not-served"),
    }
}

/// Everything that the handlers need.
struct Desk<'a> {
    authenticator: &'a Authenticator,
    request: &'a Request,
    credentials: &'a Credentials,
}

impl Desk<'_> {
    fn host(&self) -> &str {
        self.authenticator.public_url().host_str().unwrap_or_default()
    }

    fn return_to(&self) -> ReturnTo {
        let query = self.request.query.as_deref().unwrap_or_default();
        let mut values = url::form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| name == RETURN_TO);
        match (values.next(), values.next()) {
            (Some((_, address)), None) => ReturnTo::read(&address),
            (_, _) => ReturnTo::front(),
        }
    }

    fn sign_in_page(&self) -> Response<Body> {
        let back = parameter(&self.return_to().to_string());
        let providers: Vec<html::Provider<'_>> = self
            .authenticator
            .issuers()
            .iter()
            .filter(|issuer| issuer.settings.login.is_some())
            .map(|issuer| html::Provider {
                title: &issuer.settings.title,
                initial: issuer.settings.title.chars().take(1).flat_map(char::to_uppercase).collect(),
                href: format!("/trackgate/login/{}?{back}", issuer.settings.name),
            })
            .collect();
        let only = match providers.as_slice() {
            [only] => Some(only.href.clone()),
            _ => None,
        };
        let page = html::SignIn { assets: assets::addresses(), host: self.host(), providers, only };
        html::page(StatusCode::OK, &page)
    }

    async fn start(&self, provider: &str) -> Answered {
        // A page of somebody else may link here, and not load it in the background.
        let mode = self.request.headers.get("sec-fetch-mode");
        if mode.is_some_and(|mode| mode != "navigate") {
            return self.failed(&LoginFault::NoSuchLogin);
        }
        match self.authenticator.start_login(provider, &self.return_to(), self.credentials).await {
            Ok(step) => Answered::plain(follow(step)),
            Err(fault) => self.failed(&fault),
        }
    }

    async fn finish(&self, provider: &str) -> Answered {
        let query = self.request.query.as_deref();
        let finished = self.authenticator.finish_login(provider, query, self.credentials).await;
        let mut answered = match finished.outcome {
            Ok((identity, step)) => Answered { identity: Some(identity), ..Answered::plain(follow(step)) },
            Err(fault) => self.failed(&fault),
        };
        for cookie in finished.cookies {
            answered.response.headers_mut().append(SET_COOKIE, cookie);
        }
        answered
    }

    fn failed(&self, fault: &LoginFault) -> Answered {
        let message = fault.says();
        let page = html::Refusal {
            assets: assets::addresses(),
            host: self.host(),
            title: "Signing in did not work",
            message: &message,
            user: None,
            call: None,
            request_id: Some(&self.request.id),
            hint: None,
            // What was asked for first is not lost by one failure.
            again: Some(format!("/trackgate/login?{}", parameter(&self.return_to().to_string()))),
            ask: None,
            sign_out: false,
        };
        let mut response = html::page(fault.status(), &page);
        if fault.status() == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("10"));
        }
        Answered { refused: Some((fault.code(), fault.to_string())), ..Answered::plain(response) }
    }

    fn sign_out_page(&self) -> Response<Body> {
        let session = self.authenticator.session_of(self.credentials);
        let user = session.as_ref().map(|session| session.identity.user.as_str());
        html::page(StatusCode::OK, &html::SignOut { assets: assets::addresses(), host: self.host(), user })
    }

    async fn sign_out(&self) -> Answered {
        if let Err(fault) = origin::check(&self.request.headers, self.authenticator.public_url()) {
            return self.refuse(StatusCode::FORBIDDEN, "Sign out on this site's own page.", "foreign-origin", &fault);
        }
        match self.authenticator.sign_out(self.credentials).await {
            Ok(out) => {
                let mut response = match &out.provider {
                    // A page, and no redirect: `form-action` would follow it through every hop of the provider's.
                    Some(provider) => self.signed_out_page(Some(provider.as_str())),
                    None => redirect("/trackgate/logged-out"),
                };
                for cookie in out.cookies {
                    response.headers_mut().append(SET_COOKIE, cookie);
                }
                Answered { identity: out.identity, ..Answered::plain(response) }
            }
            Err(fault) => {
                let message = "You could not be signed out: the session store does not answer.";
                self.refuse(StatusCode::SERVICE_UNAVAILABLE, message, "store-unavailable", &fault)
            }
        }
    }

    fn signed_out_page(&self, provider: Option<&str>) -> Response<Body> {
        html::page(StatusCode::OK, &html::SignedOut { assets: assets::addresses(), host: self.host(), provider })
    }

    fn nothing_here(&self, reason: &'static str) -> Answered {
        self.refuse(StatusCode::NOT_FOUND, "This address does not exist.", reason, &"")
    }

    fn refuse(
        &self,
        status: StatusCode,
        message: &str,
        reason: &'static str,
        detail: &dyn std::fmt::Display,
    ) -> Answered {
        let page = RefusalPage {
            status,
            message,
            call: None,
            user: None,
            session: false,
            request_id: &self.request.id,
            ask: None,
        };
        let response = refusal_page(self.authenticator.public_url(), &page);
        Answered { refused: Some((reason, detail.to_string())), ..Answered::plain(response) }
    }
}

/// Who the caller is to us, for people and scripts that wonder.
#[derive(Serialize)]
struct WhoAmI<'a> {
    user: &'a str,
    proof: &'a str,
    issuer: &'a str,
    admin: bool,
    groups: BTreeSet<&'a str>,
    until: Option<String>,
}

fn who_am_i(principal: Option<&Principal>) -> Response<Body> {
    // The row asks for somebody who is signed in; without one there is nothing to tell.
    let Some(principal) = principal else {
        return text(StatusCode::UNAUTHORIZED, "application/json", "{}".into());
    };
    let identity = &principal.identity;
    let mut groups: BTreeSet<&str> = identity.groups.iter().map(crate::mlflow::ids::GroupName::as_str).collect();
    groups.extend(principal.grants.iter().filter_map(|set| match set.subject() {
        Subject::Group(group) => Some(group.as_str()),
        Subject::User(_) | Subject::Role(_) => None,
    }));
    let body = WhoAmI {
        user: identity.user.as_str(),
        proof: identity.proof.as_str(),
        issuer: &identity.issuer,
        admin: principal.admin,
        groups,
        until: OffsetDateTime::from(identity.until).format(&Rfc3339).ok(),
    };
    text(StatusCode::OK, "application/json", serde_json::to_vec(&body).unwrap_or_default())
}

fn parameter(back: &str) -> String {
    url::form_urlencoded::Serializer::new(String::new()).append_pair(RETURN_TO, back).finish()
}

fn follow(step: Redirect) -> Response<Body> {
    let mut answer = redirect(&step.to);
    for cookie in step.cookies {
        answer.headers_mut().append(SET_COOKIE, cookie);
    }
    answer
}

/// RFC 9110 section 15.4.4: look there, with GET.
fn redirect(to: &str) -> Response<Body> {
    let mut answer = Response::new(Body::Empty);
    html::protect(answer.headers_mut());
    match HeaderValue::from_str(to) {
        Ok(to) => {
            *answer.status_mut() = StatusCode::SEE_OTHER;
            answer.headers_mut().insert(LOCATION, to);
        }
        // Addresses are percent-encoded by now; what is not leads nowhere.
        Err(_) => *answer.status_mut() = StatusCode::BAD_REQUEST,
    }
    answer
}

fn text(status: StatusCode, kind: &'static str, body: Vec<u8>) -> Response<Body> {
    let mut answer = Response::new(Body::from(body));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    html::protect(answer.headers_mut());
    answer
}
