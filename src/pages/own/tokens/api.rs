//! The same for programs: `/trackgate/api/tokens`.
//!
//! For whoever comes with a session or with an identity provider's token. With JSON in both directions and MLflow's form of
//! errors.

use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Response, StatusCode};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::super::{Answered, Ask, Desk, terms};
use super::{EVERYBODYS, level, place};
use crate::access::ceiling::{Ceiling, Scope};
use crate::authenticate::own::MakeFault;
use crate::message::Body;
use crate::mlflow::error::{self, ErrorCode};
use crate::mlflow::ids::{UserName, WorkspaceName};
use crate::mlflow::permission::Permission;
use crate::store::{Standing, StoreFault, Token};

/// Whether a row is one of these.
pub(in crate::pages::own) fn serves(name: &str) -> bool {
    matches!(name, "ListTokens" | "CreateToken" | "RevokeToken")
}

impl<A: Ask> Desk<'_, A> {
    /// Answers one of these rows.
    pub(in crate::pages::own) async fn token_api(&self, name: &str) -> Answered {
        match name {
            "CreateToken" => self.create_token().await,
            "RevokeToken" => self.end_token().await,
            _ => self.list_tokens(),
        }
    }

    fn list_tokens(&self) -> Answered {
        let tokens = match self.field("owner") {
            EVERYBODYS => self.store().tokens(None),
            "" => self.store().tokens(Some(&self.caller.identity.user)),
            name => UserName::parse(name).map_or_else(|_| Vec::new(), |name| self.store().tokens(Some(&name))),
        };
        let rows: Vec<Value> = tokens.iter().map(|token| self.token_as_json(token)).collect();
        Answered::plain(json_answer(StatusCode::OK, &json!({ "tokens": rows })))
    }

    async fn create_token(&self) -> Answered {
        let fields = self.tools.fields;
        let expires = match fields.one("expires_at").map(terms::time_of) {
            None => None,
            Some(Some(millis)) => Some(millis),
            Some(None) => return bad("write `expires_at` as RFC 3339, or in milliseconds since the epoch"),
        };
        let Ok(most) = level(self.field("most")) else { return bad("`most` is READ, USE, EDIT or MANAGE") };
        let mut scopes: Vec<Scope> = Vec::new();
        for text in fields.each("scopes") {
            match text.parse() {
                Ok(scope) => scopes.push(scope),
                Err(fault) => return bad(&format!("`scopes`: {text}: {fault}")),
            }
        }
        let only = (!fields.each("scopes").is_empty()).then(|| scopes.into());
        let workspace = match fields.one("in_workspace").map(WorkspaceName::parse) {
            None => None,
            Some(Ok(name)) => Some(name),
            Some(Err(fault)) => return bad(&fault.to_string()),
        };
        match self.made(self.field("name"), Ceiling { most, only, workspace }, expires).await {
            Ok(made) => {
                let token = self.store().token_by_id(&made.id);
                let mut value = token.map_or_else(|| json!({}), |token| self.token_as_json(&token));
                value["token"] = json!(made.text.as_str());
                let note = format!("token {} made", made.id);
                Answered { note: Some(note), ..Answered::plain(json_answer(StatusCode::OK, &value)) }
            }
            Err(MakeFault::Store(fault)) if !fault.about_the_change() => unavailable(&fault),
            Err(fault) => bad(&fault.to_string()),
        }
    }

    async fn end_token(&self) -> Answered {
        let Some(id) = self.named_token() else { return bad("there is no such token") };
        match self.store().revoke_token(&id, self.by()).await {
            Ok(_) => {
                let token = self.store().token_by_id(&id);
                let value = token.map_or_else(|| json!({}), |token| self.token_as_json(&token));
                Answered {
                    note: Some(format!("token {id} revoked")),
                    ..Answered::plain(json_answer(StatusCode::OK, &value))
                }
            }
            Err(StoreFault::NoSuch { .. }) => bad("there is no such token"),
            Err(fault) => unavailable(&fault),
        }
    }

    fn token_as_json(&self, token: &Token) -> Value {
        let scopes = token.ceiling.only.as_ref().map(|only| only.iter().map(Scope::to_string).collect::<Vec<_>>());
        let uses: Vec<Value> = token
            .uses()
            .iter()
            .map(|one| json!({"address": one.address, "first": when(one.first), "last": when(one.last)}))
            .collect();
        let state = match token.standing(self.tools.now) {
            Standing::Good => "active",
            Standing::Expired(_) => "expired",
            Standing::Revoked(_) => "revoked",
        };
        json!({
            "id": token.id.as_str(), "owner": token.owner.as_str(), "name": &*token.name, "kind": token.kind.as_str(),
            "most": token.ceiling.most.map(Permission::as_str), "scopes": scopes,
            "in_workspace": place(token.ceiling.workspace.as_ref()), "state": state,
            "created_at": when(token.created), "created_by": &*token.by, "expires_at": when(token.expires),
            "revoked_at": token.revoked.as_ref().map(|(at, _)| when(*at)),
            "revoked_by": token.revoked.as_ref().map(|(_, by)| &**by),
            "last_used_at": (token.last_used() > 0).then(|| when(token.last_used())), "uses": uses,
        })
    }
}

fn when(millis: u64) -> String {
    let time = OffsetDateTime::from_unix_timestamp_nanos(i128::from(millis) * 1_000_000);
    time.ok().and_then(|time| time.format(&Rfc3339).ok()).unwrap_or_default()
}

fn json_answer(status: StatusCode, value: &Value) -> Response<Body> {
    whole(status, serde_json::to_vec(value).unwrap_or_default())
}

fn whole(status: StatusCode, body: Vec<u8>) -> Response<Body> {
    let mut answer = Response::new(Body::from(body));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

fn bad(text: &str) -> Answered {
    let response = whole(StatusCode::BAD_REQUEST, error::body(ErrorCode::InvalidParameterValue, text));
    Answered { refused: Some(("bad-token-wish", text.to_owned())), ..Answered::plain(response) }
}

fn unavailable(fault: &StoreFault) -> Answered {
    tracing::warn!(error = %fault, "a change of tokens was not made");
    let text = "Nothing was changed: the store does not answer. Try again in a moment.";
    let response = whole(StatusCode::SERVICE_UNAVAILABLE, error::body(ErrorCode::TemporarilyUnavailable, text));
    Answered { refused: Some(("store-unavailable", fault.to_string())), ..Answered::plain(response) }
}
