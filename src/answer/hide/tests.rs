use std::cell::RefCell;

use proptest::prelude::*;

use super::*;
use crate::answer::testing::ann;
use crate::mlflow::permission::Permission::{self, Deny, Read};

const MINE: &str = "m-11111111111111111111111111111111";
const THEIRS: &str = "m-22222222222222222222222222222222";
const RUN: &str = "0123456789abcdef0123456789abcdef";

const LINKS: &[Link] = &[
    Link { at: "run.inputs.model_inputs[].model_id", kind: Kind::LoggedModel, cut: Cut::Element },
    Link { at: "run.data.metrics[].model_id", kind: Kind::LoggedModel, cut: Cut::Value },
    Link { at: "run.info.run_id", kind: Kind::Run, cut: Cut::Value },
];
const LATEST: &[Link] = &[
    Link { at: "latest_versions[]", kind: Kind::ModelVersion, cut: Cut::Element },
    Link { at: "latest_versions[].run_id", kind: Kind::Run, cut: Cut::Value },
];

/// `MINE` and `RUN` lie in experiment 1, `THEIRS` in 2.
#[derive(Default)]
struct Known {
    asked: RefCell<Vec<(Kind, Arc<str>)>>,
}

impl Homes for Known {
    async fn experiments_of(&self, ids: Vec<(Kind, Arc<str>)>, _: &[Arc<str>]) -> HashMap<(Kind, Arc<str>), Arc<str>> {
        self.asked.borrow_mut().extend(ids.iter().cloned());
        let home = |id: &str| match id {
            MINE | RUN => Some("1"),
            THEIRS => Some("2"),
            _ => None,
        };
        ids.into_iter().filter_map(|key| home(&key.1).map(|home| (key, Arc::from(home)))).collect()
    }
}

fn run(grants: &[(Kind, &str, Permission)], links: &[Link], text: &str) -> Result<(String, usize), BadAnswer> {
    let known = Known::default();
    let mut texts = [Cow::Borrowed(text)];
    let principal = ann(grants);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(hide(&principal, links, &mut texts, &[], &known))?;
    let asked = known.asked.borrow().len();
    let [text] = texts;
    Ok((text.into_owned(), asked))
}

fn text(models: &[&str]) -> String {
    let inputs: Vec<String> = models.iter().map(|id| format!("{{\"model_id\": \"{id}\", \"step\": 0}}")).collect();
    format!("{{\"run\": {{ \"inputs\": {{\"model_inputs\": [ {} ]}}, \"x\": NaN }} }}", inputs.join(" , "))
}

const FIRST: &[(Kind, &str, Permission)] = &[(Kind::Experiment, "1", Read)];

#[test]
fn a_version_of_an_mcp_server_is_known_whatever_its_tags() {
    let text = |tags: &str| format!(r#"{{"name": "a/b", "version": "1.0.0", "tags": {tags}}}"#);
    for tags in ["{}", r#"{"mlflow.prompt.is_prompt": "true"}"#, "[]", "null"] {
        let text = text(tags);
        let found = version(Value::parse(text.as_bytes()).unwrap(), Kind::McpServerVersion).unwrap();
        assert_eq!(found.object, Object { kind: Kind::McpServerVersion, id: "a/b/1.0.0".into() }, "{tags}");
    }
}

#[test]
fn links_to_what_is_hidden_go_and_the_others_stay() {
    let one = |models: &[&str]| run(FIRST, LINKS, &text(models)).unwrap().0;
    assert_eq!(one(&[MINE]), text(&[MINE]));
    assert_eq!(one(&[THEIRS, MINE]), text(&[MINE]));
    assert_eq!(one(&[MINE, THEIRS]), text(&[MINE]));
    assert_eq!(one(&[THEIRS, MINE, THEIRS, THEIRS]), text(&[MINE]));
    assert_eq!(one(&[THEIRS, THEIRS]).matches("model_id").count(), 0);
    assert!(Value::parse(one(&[THEIRS, THEIRS]).as_bytes()).is_ok());
}

#[test]
fn a_blanked_id_is_an_empty_string() {
    let text =
        format!(r#"{{"run":{{"data":{{"metrics":[{{"model_id":"{THEIRS}","v":1}},{{"model_id":"{MINE}"}}]}}}}}}"#);
    assert_eq!(run(FIRST, LINKS, &text).unwrap().0, text.replace(THEIRS, ""));
}

#[test]
fn what_cannot_be_looked_up_is_hidden() {
    let absent = "m-33333333333333333333333333333333";
    assert_eq!(run(FIRST, LINKS, &text(&[absent, MINE, "nonsense"])).unwrap().0, text(&[MINE]));
}

#[test]
fn a_denied_model_in_a_visible_experiment_is_hidden() {
    let grants = [(Kind::Experiment, "*", Read), (Kind::LoggedModel, MINE, Deny)];
    assert_eq!(run(&grants, LINKS, &text(&[MINE, THEIRS])).unwrap().0, text(&[THEIRS]));
}

#[test]
fn nothing_is_looked_up_for_who_sees_all_or_nothing() {
    assert_eq!(run(&[(Kind::Experiment, "*", Read)], LINKS, &text(&[MINE])).unwrap(), (text(&[MINE]), 0));
    let (hidden, asked) = run(&[], LINKS, &text(&[MINE])).unwrap();
    assert_eq!((hidden.contains(MINE), asked), (false, 0));
}

#[test]
fn one_object_is_looked_up_once() {
    assert_eq!(run(FIRST, LINKS, &text(&[MINE, MINE, THEIRS])).unwrap().1, 2);
}

#[test]
fn a_hidden_version_goes_whole_and_a_visible_one_keeps_what_may_be_seen() {
    let other = "ffffffffffffffffffffffffffffffff";
    let text = format!(
        r#"{{"latest_versions":[{{"name":"iris","version":"1","run_id":"{RUN}"}},{{"name":"iris","version":2,"run_id":"{other}"}},{{"name":"iris","version":"3"}}]}}"#
    );
    let grants =
        [(Kind::RegisteredModel, "iris", Read), (Kind::ModelVersion, "iris/1", Deny), (Kind::Experiment, "1", Read)];
    assert_eq!(
        run(&grants, LATEST, &text).unwrap().0,
        r#"{"latest_versions":[{"name":"iris","version":2,"run_id":""},{"name":"iris","version":"3"}]}"#
    );
}

#[test]
fn a_version_that_an_alias_names_is_hidden_with_the_whole_answer() {
    let links = &[Link { at: "model_version", kind: Kind::ModelVersion, cut: Cut::Answer }];
    let text = |version: u32| format!(r#"{{"model_version":{{"name":"iris","version":"{version}"}}}}"#);
    let grants = [(Kind::RegisteredModel, "iris", Read), (Kind::ModelVersion, "iris/3", Deny)];
    assert_eq!(run(&grants, links, &text(2)).unwrap().0, text(2));
    assert_eq!(run(&grants, links, &text(3)), Err(BadAnswer::Hidden));
}

#[test]
fn hidden_versions_are_taken_out_of_the_tag_that_lists_them() {
    let links = &[Link { at: "tags[]", kind: Kind::ModelVersion, cut: Cut::Tag("versions") }];
    let text = |value: &str| {
        let value = serde_json::Value::from(value);
        format!(r#"{{"tags":[{{"key":"versions","value":{value}}},{{"value":"secret","key":"other"}}]}}"#)
    };
    let grants = [(Kind::RegisteredModel, "iris", Read)];
    let left = |value: &str| run(&grants, links, &text(value)).unwrap().0;
    let both = r#"[{"name": "secret", "version": 1}, {"name": "iris", "version": 2}]"#;
    assert_eq!(left(both), text(r#"[{"name": "iris", "version": 2}]"#));
    assert_eq!(left(r#"[{"name": "secret", "version": "1"}]"#), text("[]"));
    for same in ["[]", r#"[{"name": "iris", "version": "2"}]"#] {
        assert_eq!(left(same), text(same));
    }
    for odd in ["secret", "{}", r#"[{"name": "secret"}]"#, r#"["secret"]"#, r#"[{"name": "secret", "version": 1}"#] {
        assert_eq!(left(odd), text(""), "{odd}");
    }
}

const TRACE: &[Link] = &[
    Link { at: "metadata", kind: Kind::Run, cut: Cut::Member("run") },
    Link { at: "metadata", kind: Kind::LoggedModel, cut: Cut::Member("model") },
    Link { at: "pairs[]", kind: Kind::Run, cut: Cut::Pair("run") },
    Link { at: "tags", kind: Kind::PromptVersion, cut: Cut::TagMember("prompts") },
    Link { at: "assessments[]", kind: Kind::Assessment, cut: Cut::Within("where.id") },
    Link { at: "assessments[].metadata", kind: Kind::Run, cut: Cut::Member("run") },
];

#[test]
fn a_member_or_a_pair_that_leads_to_something_hidden_goes_whole() {
    let other = "ffffffffffffffffffffffffffffffff";
    let left = |text: &str| run(FIRST, TRACE, text).unwrap().0;
    let metadata = |run: &str, model: &str| {
        format!(r#"{{"metadata":{{"a":"x", "run": "{run}" ,"model":"{model}"}},"where":{{"id":"1"}}}}"#)
    };
    assert_eq!(left(&metadata(RUN, MINE)), metadata(RUN, MINE));
    assert_eq!(
        left(&metadata(other, MINE)),
        format!(r#"{{"metadata":{{"a":"x", "model":"{MINE}"}},"where":{{"id":"1"}}}}"#)
    );
    assert_eq!(
        left(&metadata(RUN, THEIRS)),
        format!(r#"{{"metadata":{{"a":"x", "run": "{RUN}"}},"where":{{"id":"1"}}}}"#)
    );
    assert_eq!(left(&metadata(other, THEIRS)), r#"{"metadata":{"a":"x"},"where":{"id":"1"}}"#);
    assert_eq!(left(&format!(r#"{{"metadata":{{"run":"{other}"}}}}"#)), r#"{"metadata":{}}"#);
    let pairs = |pairs: &str| format!(r#"{{"pairs":[{pairs}]}}"#);
    let one = |id: &str| format!(r#"{{"value":"{id}","key":"run"}}"#);
    assert_eq!(
        left(&pairs(&format!("{},{{\"key\":\"b\",\"value\":\"{other}\"}}", one(other)))),
        pairs(&format!("{{\"key\":\"b\",\"value\":\"{other}\"}}"))
    );
    assert_eq!(left(&pairs(&one(RUN))), pairs(&one(RUN)));
    assert!(run(FIRST, TRACE, &format!(r#"{{"metadata":{{"run":"{RUN}","run":"{other}"}}}}"#)).is_err());
    assert!(run(FIRST, TRACE, r#"{"metadata":{"run":7}}"#).is_err());
}

#[test]
fn a_tag_that_is_a_member_keeps_the_versions_that_may_be_seen() {
    let text = |value: &str| format!(r#"{{"tags":{{"prompts":{}}}}}"#, serde_json::Value::from(value));
    let grants = [(Kind::Prompt, "ours", Read)];
    let left = |value: &str| run(&grants, TRACE, &text(value)).unwrap().0;
    assert_eq!(
        left(r#"[{"name":"ours","version":"1"},{"name":"secret","version":"2"}]"#),
        text(r#"[{"name":"ours","version":"1"}]"#)
    );
    assert_eq!(left("nonsense"), text(""));
    // A registered model's grants are not a prompt's.
    let models = [(Kind::RegisteredModel, "*", Read)];
    assert_eq!(run(&models, TRACE, &text(r#"[{"name":"ours","version":"1"}]"#)).unwrap().0, text("[]"));
}

#[test]
fn an_assessment_lies_in_its_traces_experiment_and_may_be_denied_alone() {
    let text = |ids: &[&str]| {
        let ids: Vec<String> = ids.iter().map(|id| format!(r#"{{"assessment_id":"{id}"}}"#)).collect();
        format!(r#"{{"where":{{"id":"1"}},"assessments":[{}]}}"#, ids.join(","))
    };
    let left = |grants: &[(Kind, &str, Permission)]| run(grants, TRACE, &text(&["a-1", "a-2"])).unwrap();
    assert_eq!(left(FIRST), (text(&["a-1", "a-2"]), 0));
    assert_eq!(left(&[(Kind::Experiment, "1", Read), (Kind::Assessment, "a-1", Deny)]).0, text(&["a-2"]));
    assert_eq!(left(&[(Kind::Experiment, "1", Read), (Kind::Assessment, "*", Deny)]).0, text(&[]));
    assert_eq!(left(&[]).0, text(&[]));
    assert!(run(FIRST, TRACE, r#"{"assessments":[{"assessment_id":"a-1"}]}"#).is_err());
}

#[test]
fn absent_links_are_no_fault_and_odd_ones_are() {
    for text in
        ["{}", r#"{"run":null}"#, r#"{"run":{"inputs":{"model_inputs":[]}}}"#, r#"{"run":{"info":{"run_id":""}}}"#]
    {
        assert_eq!(run(FIRST, LINKS, text).unwrap().0, text);
    }
    for text in [
        "[]",
        r#"{"run":[]}"#,
        r#"{"run":{"inputs":{"model_inputs":{}}}}"#,
        r#"{"run":{"inputs":{"model_inputs":["m"]}}}"#,
        r#"{"run":{"info":{"run_id":7}}}"#,
        r#"{"run":{"info":{"run_id":"a","run_id":"b"}}}"#,
        r#"{"run":{},"run":{}}"#,
        r#"{"run":"#,
    ] {
        assert!(run(FIRST, LINKS, text).is_err(), "{text}");
    }
    assert!(run(FIRST, LATEST, r#"{"latest_versions":[{"name":"iris"}]}"#).is_err());
}

proptest! {
    #[test]
    fn any_mix_of_elements_leaves_the_visible_ones_in_order(mine in proptest::collection::vec(any::<bool>(), 0..12)) {
        let models: Vec<&str> = mine.iter().map(|mine| if *mine { MINE } else { THEIRS }).collect();
        let (left, _) = run(FIRST, LINKS, &text(&models)).unwrap();
        let value = Value::parse(left.as_bytes()).unwrap();
        let list = value.at("run.inputs.model_inputs").unwrap().unwrap();
        prop_assert_eq!(list.elements().unwrap().count(), mine.iter().filter(|mine| **mine).count());
        prop_assert!(!left.contains(THEIRS));
    }
}

#[tokio::test]
async fn a_guardrails_scorer_is_hidden_with_its_experiment_and_with_its_version() {
    let links = [Link { at: "guardrail.scorer", kind: Kind::Scorer, cut: Cut::Value }];
    let answer = r#"{"guardrail":{"scorer":{"experiment_id":"2","scorer_name":"judge","scorer_version":1}}}"#;
    for (grants, seen) in [
        (vec![(Kind::Scorer, "*", Read)], false),
        (vec![(Kind::Experiment, "2", Read)], false),
        (vec![(Kind::Scorer, "*", Read), (Kind::Experiment, "2", Read)], true),
        (vec![(Kind::Scorer, "*", Read), (Kind::Experiment, "2", Read), (Kind::ScorerVersion, "*", Deny)], false),
    ] {
        let mut texts = [std::borrow::Cow::Borrowed(answer)];
        hide(&ann(&grants), &links, &mut texts, &[], &Known::default()).await.unwrap();
        assert_eq!(texts[0].contains("judge"), seen, "{grants:?}");
    }
}
