//! Does a filter ask by something hidden?
//!
//! A link that is blanked in a row tells of itself all the same when a filter selects by it: `run_id = 'x'` on model
//! versions finds a row only if it came from run `x`. (MLflow 3.17.2 refuses such filters where any run is denied,
//! `server/auth/__init__.py:_model_version_filter_selects_run`.) Here what is named must be visible; else nothing is found,
//! as if there were no such run. What is asked otherwise than by name (`LIKE`, `!=`) could spell a hidden name out.

use std::sync::Arc;

use super::hide::Homes;
use super::narrow::sees_every;
use crate::access::decide::visible;
use crate::access::identity::Principal;
use crate::mlflow::filter::{Asked, compared};
use crate::mlflow::ids::{LoggedModelId, RunId};
use crate::mlflow::resource::{Home, Kind, Object, Resource};
use crate::policy::route::{Cut, Link, List};

/// Attributes that stand for a key of tags or of metadata (3.17.2, `SearchTraceUtils.SEARCH_KEY_TO_TAG`,
/// `SEARCH_KEY_TO_METADATA`).
const STANDS_FOR: [(&str, &str); 2] = [("mlflow.sourceRun", "run_id"), ("mlflow.linkedPrompts", "prompt")];

/// By which names a filter asks for what the link leads to.
fn names(link: &Link) -> Vec<Asked<'static>> {
    match link.cut {
        Cut::Value | Cut::Along(_) => vec![Asked::Attribute(link.at.rsplit('.').next().unwrap_or(link.at))],
        Cut::Member(key) | Cut::Pair(key) | Cut::Tag(key) | Cut::TagMember(key) => {
            let short = STANDS_FOR.iter().filter(|(long, _)| *long == key).map(|(_, short)| Asked::Plain(short));
            short.chain([Asked::Key(key)]).collect()
        }
        Cut::Element | Cut::Answer | Cut::NotUsable | Cut::Count | Cut::Within(_) => Vec::new(),
    }
}

/// Whether `filter` selects rows of `list` by something that the principal may not see.
pub(crate) async fn by_hidden(principal: &Principal, list: &List, filter: &str, homes: &impl Homes) -> bool {
    let mut known = Vec::new();
    let mut inside = Vec::new();
    for link in list.links.iter().filter(|link| !sees_every(principal, link.kind)) {
        for asked in names(link) {
            // A list of versions in one text is no name of one: whatever it is compared with, it would be spelled out.
            let whole = matches!((link.cut, asked), (Cut::Tag(_) | Cut::TagMember(_), Asked::Key(_)));
            let Some(values) = compared(asked, filter).filter(|values| !whole || values.is_empty()) else {
                return true;
            };
            for value in values {
                match (link.kind.home(), link.kind) {
                    (Home::Experiment, Kind::Run) if RunId::parse(&value).is_ok() => {
                        inside.push((link.kind, Arc::<str>::from(value)));
                    }
                    (Home::Experiment, Kind::LoggedModel) if LoggedModelId::parse(&value).is_ok() => {
                        inside.push((link.kind, Arc::from(value)));
                    }
                    (Home::Named(_), kind) => match Resource::named(kind, &Arc::from(value)) {
                        Some(resource) => known.push(resource),
                        None => return true,
                    },
                    _ => return true,
                }
            }
        }
    }
    if !known.iter().all(|resource| visible(principal, resource)) {
        return true;
    }
    if inside.is_empty() {
        return false;
    }
    let found = homes.experiments_of(inside.clone(), &[]).await;
    let knowing = super::named::named(principal, found.values().cloned(), homes).await;
    let Ok(principal) = knowing else { return true };
    !inside.into_iter().all(|key| {
        found.get(&key).is_some_and(|home| {
            let within = Object { kind: Kind::Experiment, id: Arc::clone(home) };
            visible(&principal, &Resource::inside(key.0, key.1, within))
        })
    })
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

    /// Links as lists of traces and of logged models have them.
    const TRACES: List = List {
        links: &[
            Link { at: "trace_metadata", kind: Kind::Run, cut: Cut::Member("mlflow.sourceRun") },
            Link { at: "request_metadata[]", kind: Kind::LoggedModel, cut: Cut::Pair("mlflow.modelId") },
            Link { at: "tags", kind: Kind::PromptVersion, cut: Cut::TagMember("mlflow.linkedPrompts") },
        ],
        ..MODEL_VERSIONS
    };
    const LOGGED_MODELS: List = List {
        links: &[Link { at: "info.tags[]", kind: Kind::ModelVersion, cut: Cut::Tag("mlflow.modelVersions") }],
        ..MODEL_VERSIONS
    };

    #[tokio::test]
    async fn a_filter_does_not_spell_out_what_a_blanked_link_of_a_trace_hides() {
        let ann = ann(&[(Kind::Experiment, "1", Read), (Kind::Prompt, "mine", Read)]);
        for filter in [
            "status = 'OK' AND tags.prompt LIKE 'a%' AND tags.run_id = 'x'",
            &format!("run_id = '{MINE}'"),
            &format!("metadata.`mlflow.sourceRun` = '{MINE}'"),
            "prompt = 'mine/1'",
        ] {
            assert!(!by_hidden(&ann, &TRACES, filter, &Known).await, "{filter}");
        }
        for filter in [
            &format!("trace.run_id = '{THEIRS}'"),
            &format!("request_metadata.\"mlflow.sourceRun\" = '{THEIRS}'"),
            "metadata.`mlflow.sourceRun` LIKE 'a%'",
            "metadata.mlflow.sourceRun RLIKE '^a'",
            "metadata.`mlflow.modelId` ILIKE 'm-a%'",
            "prompt = 'secret/1'",
            "prompt = 'mine'",
            "tags.`mlflow.linkedPrompts` LIKE '%secret%'",
            "tag.`mlflow.linkedPrompts` = 'mine/1'",
        ] {
            assert!(by_hidden(&ann, &TRACES, filter, &Known).await, "{filter}");
        }
    }

    #[tokio::test]
    async fn a_filter_does_not_spell_out_the_versions_of_a_logged_model() {
        let ann = ann(&[(Kind::Experiment, "*", Read), (Kind::RegisteredModel, "mine", Read)]);
        assert!(!by_hidden(&ann, &LOGGED_MODELS, "tags.`mine` = 'mlflow.modelVersions'", &Known).await);
        for filter in ["tags.`mlflow.modelVersions` LIKE '%\"name\": \"sec%'", "TAGS.\"mlflow.modelVersions\" = '[]'"] {
            assert!(by_hidden(&ann, &LOGGED_MODELS, filter, &Known).await, "{filter}");
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
