//! What does the server offer, as far as it can be had through this gate?
//!
//! Clients and pages go by what the server says of itself (`server-info`). Where it says that it has something which is
//! refused here, they end in a refusal instead of taking the way that is open.

use http::{Response, StatusCode};

use super::filter::BadAnswer;
use super::json::Value;
use super::{AnswerFault, Shared, whole};
use crate::message::Body;
use crate::policy::route::{Offer, Switch};

/// Says `false` to each offer whose setting is off. All other bytes stay as they are; what is absent stays so.
///
/// # Errors
/// [`AnswerFault`] for what cannot be read in one way; then nothing of the answer is passed on.
pub(super) async fn withdraw(
    answer: Response<Body>,
    offers: &[Offer],
    is_on: impl Fn(Switch) -> bool,
    shared: &Shared,
) -> Result<Response<Body>, AnswerFault> {
    let closed: Vec<&str> = offers.iter().filter(|offer| !is_on(offer.with)).map(|offer| offer.member).collect();
    let bodiless = [StatusCode::NO_CONTENT, StatusCode::RESET_CONTENT].contains(&answer.status());
    if closed.is_empty() || !answer.status().is_success() || bodiless {
        return Ok(answer);
    }
    let mut share = shared.held.share();
    let (parts, body) = whole::read_counted(answer, shared.settings.list_answer, &mut share).await?;
    match withdrawn(&body, &closed)? {
        Some(text) => Ok(whole::with_body(parts, share.of(text.into_bytes()))),
        None => Ok(Response::from_parts(parts, Body::Full(body))),
    }
}

/// The text without these offers; `None` where it makes none of them.
fn withdrawn(body: &[u8], closed: &[&str]) -> Result<Option<String>, BadAnswer> {
    let value = Value::parse(body)?;
    if !value.is_object() {
        return Err(BadAnswer::WrongType { at: "the answer", wanted: "an object" });
    }
    let whole = std::str::from_utf8(body).map_err(|_| BadAnswer::Broken)?;
    let mut places = Vec::new();
    for member in closed {
        if let Some(said) = value.get(member)?
            && said.raw() != "false"
        {
            places.push(said.range_in(whole).ok_or(BadAnswer::Broken)?);
        }
    }
    if places.is_empty() {
        return Ok(None);
    }
    let mut text = whole.to_owned();
    places.sort_by_key(|place| place.start);
    for place in places.into_iter().rev() {
        text.replace_range(place, "false");
    }
    Ok(Some(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(body: &str) -> Result<Option<String>, BadAnswer> {
        withdrawn(body.as_bytes(), &["workspaces_enabled", "multipart_uploads_enabled"])
    }

    #[test]
    fn what_cannot_be_had_is_not_offered_and_all_else_stays() {
        let info = r#"{"store_type": "SqlStore", "workspaces_enabled": true,"x":[1e5, NaN], "multipart_uploads_enabled" :true , "features_enabled": {"gateway": true, "workspaces_enabled": true}}"#;
        let wanted = info
            .replacen("\"workspaces_enabled\": true", "\"workspaces_enabled\": false", 1)
            .replace("\"multipart_uploads_enabled\" :true", "\"multipart_uploads_enabled\" :false");
        assert_eq!(said(info).unwrap().unwrap(), wanted);
        // Whatever stands there that a page could take for a yes, in whatever spelling of the key.
        for yes in ["1", "\"yes\"", "{}", "null", "true"] {
            let told = said(&format!(r#"{{"workspaces\u005fenabled":{yes}}}"#)).unwrap().unwrap();
            assert_eq!(told, r#"{"workspaces\u005fenabled":false}"#);
        }
    }

    #[test]
    fn an_answer_that_offers_nothing_of_it_stays_as_it_is() {
        for body in
            ["{}", r#"{"store_type":null,"workspaces_enabled":false}"#, r#"{"inner":{"workspaces_enabled":true}}"#]
        {
            assert_eq!(said(body), Ok(None), "{body}");
        }
    }

    #[test]
    fn what_can_be_read_in_two_ways_or_not_at_all_never_leaves() {
        let bodies = [
            "",
            "<html>",
            "[true]",
            "true",
            r#"{"workspaces_enabled":true"#,
            r#"{"workspaces_enabled":false,"workspaces_enabled":true}"#,
            r#"{"workspaces_enabled":false,"workspaces\u005fenabled":true}"#,
        ];
        for body in bodies {
            assert!(said(body).is_err(), "{body}");
        }
        assert!(withdrawn(b"{\"workspaces_enabled\": true, \"x\": \"\xff\"}", &["workspaces_enabled"]).is_err());
    }
}
