//! What part of a list can be asked for in the first place?
//!
//! Where a caller sees some objects by id and no others, the upstream is asked for these alone: `experiment_id IN
//! ('1','2') AND <the caller's filter>` and `name IN ('a','b') AND ...` since MLflow 3.17.0 (its filters know only AND,
//! and refuse `OR`, parentheses, `;` and comments, so what follows cannot undo what stands in front), or a shorter
//! `experiment_ids` list. This saves work and keeps pages exact; it is not what hides things: every row that comes back
//! is judged all the same.

use std::sync::Arc;

use crate::access::decide::{Visible, visible, visible_of};
use crate::access::identity::Principal;
use crate::mlflow::permission::Permission;
use crate::mlflow::resource::{Home, Kind, Resource};
use crate::policy::route::List;

/// The most ids in a clause. MLflow's parser takes about 5000, and needs 0.6 s for 4900.
const MOST_IDS: usize = 1000;
/// The longest clause: it may have to fit into a request target.
const LONGEST: usize = 8 * 1024;

/// How much of a list a caller may see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Sight {
    /// All of it, with every link in it: nothing needs to be read.
    Everything,
    /// Nothing, whatever it holds.
    Nothing,
    /// What lies in these, and nothing else.
    These(Vec<Arc<str>>),
    /// It depends on each row.
    RowByRow,
}

/// How much of `list` the principal may see.
pub(crate) fn sight(principal: &Principal, list: &List) -> Sight {
    match (list.kind, list.own) {
        // Reviewers and owners stand in the row; a dataset is in any number of experiments.
        (Kind::ReviewQueue | Kind::Dataset, _) if principal.admin => return Sight::Everything,
        (Kind::ReviewQueue | Kind::Dataset, _) => return Sight::RowByRow,
        // Scorers have grants of their own, which an experiment's do not replace.
        (_, Some(own)) if own.kind == Kind::ScorerVersion && !sees_every(principal, own.kind) => {
            return match visible_of(principal, Kind::Scorer) {
                Visible::Only(ids) if ids.is_empty() => Sight::Nothing,
                Visible::All | Visible::Some | Visible::Only(_) => Sight::RowByRow,
            };
        }
        _ => {}
    }
    let inner = list.own.map_or_else(Spoken::default, |own| spoken_of_either(principal, own.kind));
    match visible_of_either(principal, list.kind) {
        Visible::All if !inner.denied && list.links.iter().all(|link| sees_every(principal, link.kind)) => {
            Sight::Everything
        }
        Visible::All | Visible::Some => Sight::RowByRow,
        // A grant on a run or on a version shows it even where its experiment or model is not granted.
        Visible::Only(_) if inner.granted => Sight::RowByRow,
        Visible::Only(ids) if ids.is_empty() => Sight::Nothing,
        Visible::Only(ids) => Sight::These(ids),
    }
}

/// Whether the principal sees every object of `kind`, so that no link to one can lead to a hidden one.
pub(crate) fn sees_every(principal: &Principal, kind: Kind) -> bool {
    // Whoever may read every scorer may not read one in an experiment that is hidden from them.
    if matches!(kind, Kind::Scorer | Kind::ScorerVersion) && visible_of(principal, Kind::Experiment) != Visible::All {
        return false;
    }
    let outer = match kind.home() {
        Home::Workspace => return visible_of_either(principal, kind) == Visible::All,
        Home::Experiment => Kind::Experiment,
        Home::Named(outer) => outer,
    };
    !spoken_of_either(principal, kind).denied && visible_of_either(principal, outer) == Visible::All
}

/// The same as [`visible_of`], of models and prompts together: they share one registry, and its lists hold both. Every
/// name that may be seen as either is named.
fn visible_of_either(principal: &Principal, kind: Kind) -> Visible {
    let models = visible_of(principal, kind);
    let Some(prompt) = kind.as_prompt() else { return models };
    match (models, visible_of(principal, prompt)) {
        (Visible::All, Visible::All) => Visible::All,
        (Visible::Only(mut names), Visible::Only(prompts)) => {
            names.extend(prompts);
            names.sort_unstable();
            names.dedup();
            Visible::Only(names)
        }
        _ => Visible::Some,
    }
}

/// The same as [`spoken`], of models and prompts together.
pub(crate) fn spoken_of_either(principal: &Principal, kind: Kind) -> Spoken {
    let own = spoken(principal, kind);
    let prompt = kind.as_prompt().map_or_else(Spoken::default, |prompt| spoken(principal, prompt));
    Spoken { granted: own.granted || prompt.granted, denied: own.denied || prompt.denied }
}

/// What the grants say of a kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Spoken {
    /// Something is granted.
    pub(crate) granted: bool,
    /// Something is denied.
    pub(crate) denied: bool,
}

/// What the principal's grants say of things of `kind` themselves.
pub(crate) fn spoken(principal: &Principal, kind: Kind) -> Spoken {
    let mut spoken = Spoken::default();
    if principal.admin {
        return spoken;
    }
    for set in &principal.grants {
        let exact = set.exact(kind).map(|(_, permission)| permission);
        for permission in exact.chain(set.patterns(kind).map(|(_, permission)| permission)) {
            match permission {
                Permission::Deny => spoken.denied = true,
                Permission::Read | Permission::Use | Permission::Edit | Permission::Manage => spoken.granted = true,
            }
        }
    }
    spoken
}

/// Which of the requested ids stay in the request. Where something inside may be granted by itself all stay, and the
/// rows are judged.
pub(crate) fn cut<'a>(principal: &Principal, list: &List, kind: Kind, ids: &'a [Arc<str>]) -> Vec<&'a Arc<str>> {
    let all = list.own.is_some_and(|own| spoken(principal, own.kind).granted);
    ids.iter().filter(|id| all || visible(principal, &Resource::top(kind, Arc::clone(id)))).collect()
}

/// The caller's filter with a clause in front; `None` where that cannot be written safely.
pub(crate) fn filter(attribute: &str, ids: &[Arc<str>], filter: &str) -> Option<String> {
    if ids.is_empty() || ids.len() > MOST_IDS {
        return None;
    }
    let mut text = format!("{attribute} IN (");
    for (n, id) in ids.iter().enumerate() {
        if n > 0 {
            text.push(',');
        }
        let quote = quote_for(id)?;
        text.push(quote);
        text.push_str(id);
        text.push(quote);
        if text.len() > LONGEST {
            return None;
        }
    }
    text.push(')');
    if !filter.is_empty() {
        text.push_str(" AND ");
        text.push_str(filter);
    }
    Some(text)
}

/// There is no escape in MLflow's filters, and Python reads backslashes (`ast.literal_eval`).
fn quote_for(id: &str) -> Option<char> {
    if id.is_empty() || id.contains('\\') || id.chars().any(char::is_control) {
        None
    } else if !id.contains('\'') {
        Some('\'')
    } else if !id.contains('"') {
        Some('"')
    } else {
        None
    }
}

/// Whether the caller's filter may follow our clause. MLflow would refuse what is refused here anyway, or the request
/// goes on as the caller wrote it: then every row is judged and nothing is lost.
pub(crate) fn can_follow(filter: &str) -> bool {
    if filter.is_empty() {
        return true;
    }
    let mut open: Option<char> = None;
    for character in filter.chars() {
        match open {
            Some(quote) if character == quote => open = None,
            Some(_) => {}
            None => match character {
                '\'' | '"' | '`' => open = Some(character),
                ';' | '#' => return false,
                _ => {}
            },
        }
    }
    let begins = filter.trim_start();
    open.is_none()
        && begins.len() == filter.len()
        && begins.starts_with(|first: char| first.is_alphabetic() || first == '_' || first == '`' || first == '"')
        && !["and", "or", "not"].iter().any(|word| {
            begins.get(..word.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(word))
                && !begins[word.len()..].starts_with(|next: char| next.is_alphanumeric() || next == '_')
        })
        && !filter.contains("--")
        && !filter.contains("/*")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answer::testing::{RUNS, ann};

    fn ids(ids: &[&str]) -> Vec<Arc<str>> {
        ids.iter().map(|id| Arc::from(*id)).collect()
    }

    #[test]
    fn a_list_is_narrowed_to_what_is_granted_by_id() {
        use Permission::Read;
        assert_eq!(sight(&ann(&[]), &RUNS), Sight::Nothing);
        assert_eq!(sight(&ann(&[(Kind::Experiment, "1", Read)]), &RUNS), Sight::These(ids(&["1"])));
        assert_eq!(sight(&ann(&[(Kind::Experiment, "*", Read)]), &RUNS), Sight::Everything);
    }

    #[test]
    fn a_grant_on_one_run_is_not_lost_by_narrowing_to_experiments() {
        use Permission::Read;
        let run = "0123456789abcdef0123456789abcdef";
        let ann = ann(&[(Kind::Experiment, "1", Read), (Kind::Run, run, Read)]);
        assert_eq!(sight(&ann, &RUNS), Sight::RowByRow);
        assert_eq!(cut(&ann, &RUNS, Kind::Experiment, &ids(&["1", "2"])).len(), 2);
    }

    #[test]
    fn a_deny_on_one_run_keeps_the_narrowing_and_forbids_to_stream() {
        use Permission::{Deny, Read};
        let run = "0123456789abcdef0123456789abcdef";
        let one = ann(&[(Kind::Experiment, "1", Read), (Kind::Run, run, Deny)]);
        assert_eq!(sight(&one, &RUNS), Sight::These(ids(&["1"])));
        assert_eq!(sight(&ann(&[(Kind::Experiment, "*", Read), (Kind::Run, run, Deny)]), &RUNS), Sight::RowByRow);
        let model = "m-0123456789abcdef0123456789abcdef";
        let linked = ann(&[(Kind::Experiment, "*", Read), (Kind::LoggedModel, model, Deny)]);
        assert_eq!(sight(&linked, &RUNS), Sight::RowByRow);
    }

    #[test]
    fn the_registrys_lists_are_narrowed_to_models_and_prompts_together() {
        use crate::answer::testing::{MODEL_VERSIONS, REGISTERED_MODELS};
        use Permission::{Deny, Read};
        let model = (Kind::RegisteredModel, "iris", Read);
        let prompt = (Kind::Prompt, "hello", Read);
        let see = |grants: &[(Kind, &str, Permission)]| sight(&ann(grants), &REGISTERED_MODELS);
        assert_eq!(see(&[model]), Sight::These(ids(&["iris"])));
        assert_eq!(see(&[model, prompt]), Sight::These(ids(&["hello", "iris"])));
        assert_eq!(see(&[(Kind::RegisteredModel, "*", Read), prompt]), Sight::RowByRow);
        assert_eq!(see(&[(Kind::RegisteredModel, "*", Read)]), Sight::RowByRow, "a prompt may stand among them");
        let all = [(Kind::RegisteredModel, "*", Read), (Kind::Prompt, "*", Read)];
        assert_eq!(see(&all), Sight::Everything);
        let denied = [all[0], all[1], (Kind::PromptVersion, "hello/1", Deny)];
        assert_eq!(sight(&ann(&denied), &MODEL_VERSIONS), Sight::RowByRow);
    }

    #[test]
    fn requested_ids_that_are_hidden_are_cut() {
        let ann = ann(&[(Kind::Experiment, "1", Permission::Read), (Kind::Experiment, "3", Permission::Deny)]);
        assert_eq!(cut(&ann, &RUNS, Kind::Experiment, &ids(&["3", "1", "2", "1"])), [&Arc::from("1"), &Arc::from("1")]);
    }

    #[test]
    fn the_clause_stands_in_front() {
        assert_eq!(filter("experiment_id", &ids(&["1", "22"]), "").unwrap(), "experiment_id IN ('1','22')");
        assert_eq!(filter("name", &ids(&["it's"]), "name LIKE 'i%'").unwrap(), "name IN (\"it's\") AND name LIKE 'i%'");
    }

    #[test]
    fn what_cannot_be_quoted_is_not_narrowed() {
        for name in ["'\"", "a\\", "a\nb", ""] {
            assert_eq!(filter("name", &ids(&["ok", name]), ""), None, "{name:?}");
        }
        assert_eq!(filter("name", &[], ""), None);
        assert_eq!(filter("name", &vec![Arc::from("a"); 1001], ""), None);
        assert_eq!(filter("name", &vec![Arc::from("a".repeat(200)); 100], ""), None);
    }

    #[test]
    fn a_filter_that_could_reach_back_does_not_follow() {
        for filter in [
            "",
            "name = 'a'",
            "tags.x LIKE 'b%' AND name = 'c'",
            "tags.`a;b` = 'x'",
            "name = 'a#b'",
            "android = 'x'",
            "attribute.name = \"it's\"",
        ] {
            assert!(can_follow(filter), "{filter:?}");
        }
        for filter in [
            " ",
            " name = 'a'",
            "AND name = 'a'",
            "and",
            "OR name = 'a'",
            "') OR name = 'x",
            "name = 'a",
            "(name = 'a')",
            "name = 'a'; DROP",
            "name = 'a' -- x",
            "name = 'a' # x",
            "name = 'a' /* x */",
            "= 'a'",
            ", ('9')",
            "not name = 'a'",
            "name = 'a\" AND",
        ] {
            assert!(!can_follow(filter), "{filter:?}");
        }
    }
}
