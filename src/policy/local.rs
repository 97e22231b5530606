//! Which endpoints are our own?
//!
//! All of them lie under `/trackgate/`, which MLflow does not use; they do not move with MLflow's static prefix. What tells
//! programs where to sign in lies where RFC 8414 has it.

use super::route::Need::{Admin, Anyone, Gives, OnRole, OnToken, OnTokensOf, SignedIn, Takes};
use super::route::RoleRight::Change;
use super::route::Take::{Text, TextOpt, Texts};
use super::route::{Need, Row, Take, What, delete, get, post};
use crate::mlflow::granting::Calls;

/// What a page about permissions on one thing names.
const fn thing(level: Option<&'static str>) -> What {
    What::Named { kind: "kind", id: "id", level, calls: Calls::OfPeople }
}

const LEVEL: Option<&str> = Some("permission");
const TO: Option<&str> = Some("to");

const SEES_TOKENS: Need = OnTokensOf { field: "owner", making: false };
const MAKES_TOKENS: Need = OnTokensOf { field: "owner", making: true };

/// What every form of ours carries besides.
const FORM: &[Take] = &[
    TextOpt("token"),
    TextOpt("workspace"),
    TextOpt("lasts"),
    TextOpt("until"),
    TextOpt("seen"),
    TextOpt("sure"),
    TextOpt("request"),
    TextOpt("answer"),
    TextOpt("about"),
];

/// What a program asks of whoever sits before the browser (RFC 6749 section 4.1.1, RFC 7636 section 4.3).
const ASKED: &[Take] = &[
    TextOpt("client_id"),
    TextOpt("redirect_uri"),
    TextOpt("response_type"),
    TextOpt("code_challenge"),
    TextOpt("code_challenge_method"),
    TextOpt("state"),
    TextOpt("device_name"),
    TextOpt("token"),
    TextOpt("answer"),
];

/// The role whose permission is changed.
const ROLE: Need = OnRole { right: Change, field: "role_id" };

/// One row for each endpoint of our own.
#[rustfmt::skip]
pub static LOCAL: &[Row] = &[
    // Signing in and out
    get ("trackgate/login",             "SignInPage",     &[Anyone]).root(),
    get ("trackgate/login/{issuer}",    "StartSignIn",    &[Anyone]).root(),
    get ("trackgate/callback/{issuer}", "FinishSignIn",   &[Anyone]).root(),
    get ("trackgate/logout",            "SignOutPage",    &[Anyone]).root(),
    post("trackgate/logout",            "SignOut",        &[Anyone]).root(),
    get ("trackgate/logged-out",        "SignedOutPage",  &[Anyone]).root(),
    get ("trackgate/assets/{name}",     "Asset",          &[Anyone]).root(),

    // Signing in for programs of people
    get (".well-known/oauth-authorization-server", "OAuthMetadata", &[Anyone]).root(),
    get ("trackgate/oauth/authorize",   "AuthorizePage",  &[SignedIn]).root().served(ASKED),
    post("trackgate/oauth/authorize",   "Authorize",      &[SignedIn]).root().form().served(ASKED),
    post("trackgate/oauth/device_authorization", "AskForDevice", &[Anyone]).root().form().served(&[TextOpt("client_id"), TextOpt("device_name")]),
    post("trackgate/oauth/token",       "GiveToken",      &[Anyone]).root().form().served(&[TextOpt("grant_type"), TextOpt("client_id"), TextOpt("code"), TextOpt("redirect_uri"), TextOpt("code_verifier"), TextOpt("device_code"), TextOpt("refresh_token")]),
    post("trackgate/oauth/revoke",      "EndLogin",       &[Anyone]).root().form().served(&[TextOpt("client_id"), TextOpt("token")]),
    get ("trackgate/device",            "DevicePage",     &[SignedIn]).root().served(&[TextOpt("user_code")]),
    post("trackgate/device",            "DeviceTyped",    &[SignedIn]).root().form().served(&[TextOpt("token"), TextOpt("user_code")]),
    post("trackgate/device/decide",     "DeviceDecide",   &[SignedIn]).root().form().served(&[TextOpt("token"), TextOpt("user_code"), TextOpt("answer")]),

    // For probes and people
    get ("trackgate/livez",             "Live",           &[Anyone]).root(),
    get ("trackgate/whoami",            "WhoAmI",         &[SignedIn]).root(),

    // What people see and change of permissions
    get ("trackgate/access",            "AccessPage",     &[SignedIn]).root().served(&[TextOpt("workspace"), TextOpt("page")]),
    get ("trackgate/share",             "SharePage",      &[Takes { what: thing(None), from: None }]).root().served(&[TextOpt("workspace"), TextOpt("done")]),
    post("trackgate/share/give",        "ShareGive",      &[Gives { what: thing(LEVEL), to: TO }]).root().form().served(FORM),
    post("trackgate/share/change",      "ShareChange",    &[Gives { what: thing(LEVEL), to: TO }]).root().form().served(FORM),
    post("trackgate/share/remove",      "ShareRemove",    &[Takes { what: thing(None), from: TO }]).root().form().served(FORM),
    post("trackgate/share/role/change", "ShareRoleChange", &[ROLE, Gives { what: thing(LEVEL), to: None }]).root().form().served(FORM),
    post("trackgate/share/role/remove", "ShareRoleRemove", &[ROLE, Takes { what: thing(None), from: None }]).root().form().served(FORM),
    get ("trackgate/ask",               "AskPage",        &[SignedIn]).root().served(&[TextOpt("workspace"), TextOpt("kind"), TextOpt("id"), TextOpt("permission"), TextOpt("done")]),
    post("trackgate/ask",               "AskForAccess",   &[SignedIn]).root().form().served(&[TextOpt("token"), TextOpt("workspace"), TextOpt("kind"), TextOpt("id"), TextOpt("permission"), TextOpt("reason")]),
    post("trackgate/ask/withdraw",      "WithdrawRequest", &[SignedIn]).root().form().served(&[TextOpt("token"), TextOpt("workspace"), TextOpt("request")]),
    get ("trackgate/requests",          "RequestsPage",   &[SignedIn]).root().served(&[TextOpt("workspace"), TextOpt("after"), TextOpt("done")]),
    post("trackgate/requests/grant",    "GrantRequest",   &[Gives { what: thing(LEVEL), to: TO }]).root().form().served(FORM),
    post("trackgate/requests/decline",  "DeclineRequest", &[Takes { what: thing(None), from: TO }]).root().form().served(FORM),
    get ("trackgate/review",            "ReviewPage",     &[SignedIn]).root().served(&[TextOpt("workspace"), TextOpt("person"), TextOpt("after")]),
    get ("trackgate/review.csv",        "ReviewCsv",      &[SignedIn]).root().served(&[TextOpt("workspace"), TextOpt("by"), TextOpt("person")]),
    get ("trackgate/tokens",            "TokensPage",     &[SEES_TOKENS]).root().served(&[TextOpt("workspace"), TextOpt("done")]),
    post("trackgate/tokens/create",     "TokenCreate",    &[MAKES_TOKENS]).root().form().served(&[TextOpt("token"), TextOpt("workspace"), TextOpt("name"), TextOpt("lasts"), TextOpt("until"), TextOpt("most"), TextOpt("scopes"), TextOpt("here")]),
    post("trackgate/tokens/revoke",     "TokenRevoke",    &[OnToken("id")]).root().form().served(&[TextOpt("token"), TextOpt("workspace"), TextOpt("owner")]),
    get ("trackgate/audit",             "AuditPage",      &[Admin("the audit log tells what everybody does")]).root().served(&[TextOpt("person"), TextOpt("object"), TextOpt("decision"), TextOpt("from"), TextOpt("to"), TextOpt("on")]),

    // The same of tokens for programs
    get   ("trackgate/api/tokens",      "ListTokens",     &[SEES_TOKENS]).root().served(&[]),
    post  ("trackgate/api/tokens",      "CreateToken",    &[MAKES_TOKENS]).root().served(&[Text("name"), TextOpt("expires_at"), TextOpt("most"), Texts("scopes"), TextOpt("in_workspace")]),
    delete("trackgate/api/tokens/{id}", "RevokeToken",    &[OnToken("{id}")]).root().served(&[]),
];
