//! Whom do I let act as me?
//!
//! A program of the browser's own computer asks by a link, a device elsewhere by a code that is typed here. Either page says
//! what asks and from where, and nothing is given before somebody presses a button on it: a link that holds the code fills
//! it in and does no more (RFC 8628 section 5.4).

use std::net::IpAddr;

use askama::Template;
use http::StatusCode;

use super::super::oauth::issuer;
use super::terms::{Moment, moment};
use super::{Answered, Ask, Desk, assets, html, redirect};
use crate::authenticate::oauth::ask::{self, Asked, BadAsk};
use crate::authenticate::oauth::{CLIENT, OAuthFault};
use crate::pages::assets::Assets;

#[derive(Template)]
#[template(path = "consent.html")]
struct Consent<'a> {
    assets: &'a Assets,
    host: &'a str,
    user: &'a str,
    device: &'a str,
    port: u16,
    address: IpAddr,
    days: String,
    token: &'a str,
    /// What was asked, to be asked again with the answer.
    fields: Vec<(&'static str, &'a str)>,
}

#[derive(Template)]
#[template(path = "carried.html")]
struct Carried<'a> {
    assets: &'a Assets,
    host: &'a str,
    agreed: bool,
    to: &'a str,
}

#[derive(Template)]
#[template(path = "device.html")]
struct DevicePage<'a> {
    assets: &'a Assets,
    host: &'a str,
    user: &'a str,
    token: &'a str,
    notice: Option<String>,
    code: &'a str,
}

#[derive(Template)]
#[template(path = "device_asked.html")]
struct DeviceAsked<'a> {
    assets: &'a Assets,
    host: &'a str,
    user: &'a str,
    token: &'a str,
    code: String,
    device: &'a str,
    address: String,
    own: IpAddr,
    /// Whether it asked from the network that the browser is in.
    here: bool,
    at: Moment,
    ago: String,
    days: String,
}

#[derive(Template)]
#[template(path = "device_decided.html")]
struct DeviceDecided<'a> {
    assets: &'a Assets,
    host: &'a str,
    agreed: bool,
}

/// The longest code that is written back into the form.
const LONGEST_TYPED: usize = 24;

impl<A: Ask> Desk<'_, A> {
    fn host(&self) -> &str {
        self.tools.authenticator.public_url().host_str().unwrap_or_default()
    }

    fn address(&self) -> IpAddr {
        self.request.peer.address.to_canonical()
    }

    /// How long a login lasts at the most.
    fn longest(&self) -> String {
        let hours = self.tools.authenticator.login_settings().refresh_lifetime.as_secs() / 3600;
        if hours >= 48 { format!("{} days", hours / 24) } else { format!("{} hours", hours.max(1)) }
    }

    /// What the program asked, or the answer to what this server does not go along with.
    fn asked(&self) -> Result<Asked, Box<Answered>> {
        if !self.tools.authenticator.login_settings().allow {
            return Err(Box::new(self.no_logins()));
        }
        let fault = match ask::read(|name| self.tools.fields.one(name)) {
            Ok(asked) => return Ok(asked),
            Err(fault) => fault,
        };
        Err(Box::new(match fault {
            BadAsk::Client => {
                let message = "This link is not one of the program that signs in here. Nothing was given.";
                self.refuse(StatusCode::BAD_REQUEST, message, "oauth-unknown-client", &"")
            }
            BadAsk::Redirect => {
                let message = "This link would send your answer to something else than a program on your own computer. \
                               Nothing was given.";
                self.refuse(StatusCode::BAD_REQUEST, message, "oauth-foreign-redirect", &"")
            }
            BadAsk::Told { redirect: to, state, error, why } => {
                let issuer = issuer(self.tools.authenticator.public_url());
                let to = ask::refusal(&to, state.as_deref(), error, why, issuer);
                Answered { refused: Some(("oauth-invalid-request", why.to_owned())), ..Answered::plain(redirect(&to)) }
            }
        }))
    }

    fn no_logins(&self) -> Answered {
        let message = "This server gives no logins to programs. Make a token on the page Tokens instead.";
        self.refuse(StatusCode::FORBIDDEN, message, "logins-off", &"")
    }

    /// A program of this computer asks.
    pub(super) fn authorize_page(&self) -> Answered {
        let asked = match self.asked() {
            Ok(asked) => asked,
            Err(answered) => return *answered,
        };
        let mut fields = vec![
            ("client_id", CLIENT),
            ("redirect_uri", asked.redirect.as_str()),
            ("response_type", "code"),
            ("code_challenge", asked.challenge.as_str()),
            ("code_challenge_method", "S256"),
            ("device_name", asked.device.as_str()),
        ];
        fields.extend(asked.state.as_deref().map(|state| ("state", state)));
        let page = Consent {
            assets: assets::addresses(),
            host: self.host(),
            user: self.caller.identity.user.as_str(),
            device: &asked.device,
            port: asked.redirect.port,
            address: self.address(),
            days: self.longest(),
            token: &self.token,
            fields,
        };
        Answered::plain(html::page(StatusCode::OK, &page))
    }

    /// The answer to it.
    pub(super) async fn authorize(&self) -> Answered {
        let asked = match self.asked() {
            Ok(asked) => asked,
            Err(answered) => return *answered,
        };
        let issuer = issuer(self.tools.authenticator.public_url());
        if self.field("answer") != "yes" {
            let note = format!("a login was refused to port {} of the browser's computer", asked.redirect.port);
            return self.carry(false, &asked.refused(issuer), note);
        }
        match self.tools.authenticator.offer_code(&asked, &self.caller.identity).await {
            Ok(code) => {
                let note = format!("a login was agreed to at port {} of the browser's computer", asked.redirect.port);
                self.carry(true, &asked.agreed(&code, issuer), note)
            }
            Err(fault) => self.not_given(&fault),
        }
    }

    /// A page that leads to the program, and no redirect: `form-action` would not let a form's answer lead there, and cannot
    /// name every address that a program may listen at.
    fn carry(&self, agreed: bool, to: &str, note: String) -> Answered {
        let page = Carried { assets: assets::addresses(), host: self.host(), agreed, to };
        Answered { note: Some(note), ..Answered::plain(html::page(StatusCode::OK, &page)) }
    }

    fn not_given(&self, fault: &OAuthFault) -> Answered {
        if matches!(fault, OAuthFault::Off) {
            return self.no_logins();
        }
        tracing::warn!(error = %fault, "no login was made");
        let message = "Nothing was given: the store does not answer. Try again in a moment.";
        self.refuse(StatusCode::SERVICE_UNAVAILABLE, message, "store-unavailable", fault)
    }

    /// Where the code of a device is typed. A link may bring it along; it is shown, and no more.
    pub(super) fn device_page(&self) -> Answered {
        if !self.tools.authenticator.login_settings().allow {
            return self.no_logins();
        }
        self.type_page(StatusCode::OK, None)
    }

    fn type_page(&self, status: StatusCode, notice: Option<String>) -> Answered {
        let typed = self.field("user_code");
        let page = DevicePage {
            assets: assets::addresses(),
            host: self.host(),
            user: self.caller.identity.user.as_str(),
            token: &self.token,
            notice,
            code: if typed.len() <= LONGEST_TYPED { typed } else { "" },
        };
        Answered::plain(html::page(status, &page))
    }

    /// A code was typed.
    pub(super) async fn device_typed(&self) -> Answered {
        let (who, from) = (&self.caller.identity, self.request.peer.address);
        let (code, waiting) = match self.tools.authenticator.typed_code(self.field("user_code"), who, from).await {
            Ok(found) => found,
            Err(fault) => return self.wrong_code(&fault),
        };
        let page = DeviceAsked {
            assets: assets::addresses(),
            host: self.host(),
            user: who.user.as_str(),
            token: &self.token,
            code: code.to_string(),
            device: &waiting.device,
            address: waiting.address.map_or_else(|| "an unknown address".to_owned(), |address| address.to_string()),
            own: self.address(),
            here: waiting.address.is_some_and(|address| self.tools.authenticator.is_near(address, from)),
            at: moment(waiting.created),
            ago: ago(self.tools.now.saturating_sub(waiting.created) / 1000),
            days: self.longest(),
        };
        Answered::plain(html::page(StatusCode::OK, &page))
    }

    /// The answer to what the page says of the device.
    pub(super) async fn device_decide(&self) -> Answered {
        let (who, from) = (&self.caller.identity, self.request.peer.address);
        let agreed = self.field("answer") == "yes";
        let decided = self.tools.authenticator.decide_device(self.field("user_code"), who, from, agreed).await;
        match decided {
            Ok(waiting) => {
                let word = if agreed { "agreed" } else { "refused" };
                let address = waiting.address.map_or_else(String::new, |address| format!(" at {address}"));
                let note = format!("a login was {word} to a device{address}");
                let page = DeviceDecided { assets: assets::addresses(), host: self.host(), agreed };
                Answered { note: Some(note), ..Answered::plain(html::page(StatusCode::OK, &page)) }
            }
            Err(fault) => self.wrong_code(&fault),
        }
    }

    fn wrong_code(&self, fault: &OAuthFault) -> Answered {
        let (status, notice) = match fault {
            OAuthFault::Unknown(_) => {
                let text = "No device waits for this code. Look whether it is typed as the program shows it; after ten \
                            minutes the program must ask anew.";
                (StatusCode::NOT_FOUND, text)
            }
            OAuthFault::Throttled { .. } => {
                (StatusCode::TOO_MANY_REQUESTS, "Too many wrong codes were typed. Wait a minute, and type it again.")
            }
            _ => return self.not_given(fault),
        };
        let page = self.type_page(status, Some(notice.to_owned()));
        let mut answered = Answered { refused: Some((fault.code(), fault.to_string())), ..page };
        if let Some(seconds) = fault.retry_after() {
            answered.response.headers_mut().insert(http::header::RETRY_AFTER, seconds.into());
        }
        answered
    }
}

/// How long ago, roughly.
fn ago(seconds: u64) -> String {
    match seconds {
        0..=1 => "a moment".to_owned(),
        2..=89 => format!("{seconds} seconds"),
        _ => format!("{} minutes", (seconds + 30) / 60),
    }
}
