//! What does the provider show?

use std::fmt::Write as _;

use bytes::Bytes;
use http::{Response, StatusCode, header};
use http_body_util::Full;
use serde_json::Value;

use super::accounts::ACCOUNTS;

/// Looks.
const STYLE: &str = "
  :root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
  body { margin: 0; min-height: 100vh; display: grid; place-items: center; background: #eef1f5; color: #1c2430; }
  main { background: #fff; padding: 2rem; border-radius: 12px; width: min(26rem, calc(100vw - 2rem)); box-sizing: border-box;
         box-shadow: 0 2px 18px rgb(20 30 50 / 12%); }
  h1 { font-size: 1.25rem; margin: 0 0 .25rem; } p { margin: 0 0 1.25rem; color: #5a6675; }
  button { display: block; width: 100%; text-align: left; padding: .75rem 1rem; margin: 0 0 .6rem; border: 1px solid #c9d1dc;
           border-radius: 8px; background: none; color: inherit; font: inherit; cursor: pointer; }
  button:hover, button:focus-visible { border-color: #2c64c8; outline: 2px solid #2c64c8; outline-offset: 1px; }
  button strong, button span { display: block; } button span { color: #5a6675; font-size: .875rem; }
  @media (prefers-color-scheme: dark) { body { background: #12161d; color: #e6eaf0; } main { background: #1b212b; }
    p, button span { color: #9aa6b5; } button { border-color: #3a4453; } }";

/// The page of fixed accounts.
pub(super) fn sign_in(ticket: &str) -> Response<Full<Bytes>> {
    let buttons = ACCOUNTS.iter().filter(|account| account.person).fold(String::new(), |mut buttons, account| {
        let _ = writeln!(
            buttons,
            "<button name=\"account\" value=\"{}\"><strong>{}</strong><span>{}</span><span>{}</span></button>",
            escaped(account.key),
            escaped(account.name),
            escaped(account.email),
            escaped(account.about)
        );
        buttons
    });
    html(
        StatusCode::OK,
        "Demo sign-in",
        &format!(
            "<h1>Demo identity provider</h1>\n<p>Who are you today? There are no passwords here.</p>\n\
             <form method=\"post\" action=\"/authorize\">\n<input type=\"hidden\" name=\"ticket\" value=\"{}\">\n{buttons}</form>",
            escaped(ticket)
        ),
    )
}

/// After a sign-out that led nowhere else.
pub(super) fn signed_out() -> Response<Full<Bytes>> {
    html(StatusCode::OK, "Signed out", "<h1>Signed out</h1>\n<p>You are signed out of the demo identity provider.</p>")
}

/// Something was wrong with the request itself.
pub(super) fn fault(status: StatusCode, what: &str) -> Response<Full<Bytes>> {
    html(status, "Demo sign-in", &format!("<h1>That did not work</h1>\n<p>{}</p>", escaped(what)))
}

/// On to another page.
pub(super) fn go(target: &str) -> Response<Full<Bytes>> {
    answer(StatusCode::SEE_OTHER, "text/plain", String::new(), Some(target))
}

/// An answer for programs.
pub(super) fn json(status: StatusCode, value: &Value) -> Response<Full<Bytes>> {
    answer(status, "application/json", value.to_string(), None)
}

fn html(status: StatusCode, title: &str, main: &str) -> Response<Full<Bytes>> {
    let text = format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{title}</title>\n\
         <style>{STYLE}</style>\n<main>\n{main}\n</main>\n</html>\n"
    );
    answer(status, "text/html; charset=utf-8", text, None)
}

fn answer(status: StatusCode, kind: &str, text: String, location: Option<&str>) -> Response<Full<Bytes>> {
    let mut builder = Response::builder()
        .status(status)
        .header(header::CONTENT_TYPE, kind)
        .header(header::CACHE_CONTROL, "no-store")
        .header(header::REFERRER_POLICY, "no-referrer");
    if let Some(location) = location {
        builder = builder.header(header::LOCATION, location);
    }
    builder.body(Full::new(Bytes::from(text))).unwrap_or_else(|_| Response::new(Full::new(Bytes::new())))
}

fn escaped(text: &str) -> String {
    text.chars().fold(String::new(), |mut out, char| {
        match char {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            other => out.push(other),
        }
        out
    })
}
