//! Does a filter ask by something hidden?
//!
//! A link that is blanked in a row tells of itself all the same when a filter selects by it: `run_id = 'x'` on model
//! versions finds a row only if it came from run `x`. (MLflow 3.17.2 refuses such filters where any run is denied,
//! `server/auth/__init__.py:_model_version_filter_selects_run`.) Here what is named must be visible; else nothing is found,
//! as if there were no such run.

use std::sync::Arc;

use super::hide::Homes;
use super::narrow::sees_every;
use crate::access::decide::visible;
use crate::access::identity::Principal;
use crate::mlflow::ids::{LoggedModelId, RunId};
use crate::mlflow::resource::{Kind, Object, Resource};
use crate::policy::route::{Cut, Link, List};

/// Whether `filter` selects rows of `list` by something that the principal may not see.
pub(crate) async fn by_hidden(principal: &Principal, list: &List, filter: &str, homes: &impl Homes) -> bool {
    let mut named = Vec::new();
    let blanked = |link: &&Link| matches!(link.cut, Cut::Value | Cut::Along(_));
    for link in list.links.iter().filter(blanked).filter(|link| !sees_every(principal, link.kind)) {
        let attribute = link.at.rsplit('.').next().unwrap_or(link.at);
        match values_of(attribute, filter) {
            Some(values) => named.extend(values.into_iter().map(|value| (link.kind, Arc::<str>::from(value)))),
            None => return true,
        }
    }
    if named.is_empty() {
        return false;
    }
    let canonical = |(kind, id): &(Kind, Arc<str>)| match kind {
        Kind::Run => RunId::parse(id).is_ok(),
        Kind::LoggedModel => LoggedModelId::parse(id).is_ok(),
        _ => false,
    };
    if !named.iter().all(canonical) {
        return true;
    }
    let found = homes.experiments_of(named.clone(), &[]).await;
    !named.into_iter().all(|key| {
        found.get(&key).is_some_and(|home| {
            let within = Object { kind: Kind::Experiment, id: Arc::clone(home) };
            visible(principal, &Resource::inside(key.0, key.1, within))
        })
    })
}

/// A piece of a filter.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    /// In single quotes: a value, never a name.
    Value(String),
    /// A word, or something in other quotes: a name, or a value.
    Word(String),
    Sign(char),
}

/// The values that `attribute` is compared with; `None` where that cannot be told.
fn values_of(attribute: &str, filter: &str) -> Option<Vec<String>> {
    let pieces = pieces(filter);
    let mut values = Vec::new();
    for (at, piece) in pieces.iter().enumerate() {
        let Piece::Word(word) = piece else { continue };
        let name = word.rsplit('.').next().unwrap_or(word);
        if !name.eq_ignore_ascii_case(attribute) {
            continue;
        }
        let value = |piece: &Piece| match piece {
            Piece::Value(value) | Piece::Word(value) => Some(value.clone()),
            Piece::Sign(_) => None,
        };
        match &pieces[at + 1..] {
            [Piece::Sign('='), one, ..] => values.push(value(one)?),
            [Piece::Word(word), Piece::Sign('('), rest @ ..] if word.eq_ignore_ascii_case("in") => {
                let end = rest.iter().position(|piece| *piece == Piece::Sign(')'))?;
                for one in rest[..end].iter().filter(|piece| **piece != Piece::Sign(',')) {
                    values.push(value(one)?);
                }
            }
            _ => return None,
        }
    }
    Some(values)
}

fn pieces(filter: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut signs = filter.chars().peekable();
    while let Some(sign) = signs.next() {
        match sign {
            '\'' => pieces.push(Piece::Value(signs.by_ref().take_while(|next| *next != '\'').collect())),
            _ if sign.is_whitespace() => {}
            _ if is_word(sign) => {
                let mut word = String::from(sign);
                while let Some(next) = signs.next_if(|next| is_word(*next)) {
                    word.push(next);
                }
                pieces.push(Piece::Word(word.replace(['"', '`'], "")));
            }
            _ => pieces.push(Piece::Sign(sign)),
        }
    }
    pieces
}

fn is_word(sign: char) -> bool {
    sign.is_alphanumeric() || matches!(sign, '_' | '.' | '-' | '"' | '`')
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::answer::testing::{MODEL_VERSIONS, ann};
    use crate::mlflow::permission::Permission::{Deny, Read};

    const MINE: &str = "11111111111111111111111111111111";
    const THEIRS: &str = "22222222222222222222222222222222";

    struct Known;

    impl Homes for Known {
        async fn experiments_of(
            &self,
            ids: Vec<(Kind, Arc<str>)>,
            _: &[Arc<str>],
        ) -> HashMap<(Kind, Arc<str>), Arc<str>> {
            let home = |id: &str| if id == MINE { "1" } else { "2" };
            ids.into_iter().map(|key| (key.clone(), home(&key.1).into())).collect()
        }
    }

    async fn hidden(filter: &str) -> bool {
        let ann = ann(&[(Kind::RegisteredModel, "*", Read), (Kind::Experiment, "1", Read)]);
        by_hidden(&ann, &MODEL_VERSIONS, filter, &Known).await
    }

    #[tokio::test]
    async fn a_filter_finds_nothing_by_a_hidden_run() {
        for filter in [
            "",
            "name = 'run_id'",
            "name LIKE 'a%' AND version_number > 3",
            &format!("run_id='{MINE}'"),
            &format!("name = 'x' and attributes.`run_id` = \"{MINE}\""),
            &format!("run_id IN ('{MINE}', '{MINE}')"),
        ] {
            assert!(!hidden(filter).await, "{filter}");
        }
        for filter in [
            &format!("run_id='{THEIRS}'"),
            &format!("RUN_ID = '{THEIRS}'"),
            &format!("attribute.\"run_id\" = '{THEIRS}'"),
            &format!("run_id IN ('{MINE}', '{THEIRS}')"),
            &format!("name = 'it' AND run_id = '{MINE}' AND run_id='{THEIRS}'"),
            &format!("run_id != '{MINE}'"),
            &format!("run_id NOT IN ('{MINE}')"),
            "run_id LIKE '1%'",
            "run_id = 'x'",
            "run_id IN ('",
            "run_id",
        ] {
            assert!(hidden(filter).await, "{filter}");
        }
    }

    #[tokio::test]
    async fn who_sees_every_run_may_ask_by_any() {
        let all = ann(&[(Kind::RegisteredModel, "a*", Read), (Kind::Experiment, "*", Read)]);
        assert!(!by_hidden(&all, &MODEL_VERSIONS, "run_id LIKE '1%'", &Known).await);
        let denied = ann(&[(Kind::Experiment, "*", Read), (Kind::Run, MINE, Deny)]);
        assert!(by_hidden(&denied, &MODEL_VERSIONS, &format!("run_id = '{MINE}'"), &Known).await);
    }
}
