use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::mlflow::glob;
use crate::mlflow::ids::{RoleName, WorkspaceName};
use crate::mlflow::resource::{Grantable, Kind};
use crate::paper::read::Reader;
use crate::paper::write;

const NOW: u64 = 1_767_225_600_000;

fn policy(text: &str) -> Policy {
    let mut reader = Reader::default();
    reader.file("a.toml", text, NOW);
    reader.finish().unwrap()
}

/// The same as if the store held it, put there by `by`.
fn there(text: &str, by: &str) -> State {
    let mut state = policy(text).state;
    let origin = Origin::Store(Arc::from(by));
    for entry in state.groups.values_mut() {
        entry.origin = origin.clone();
    }
    for entry in state.roles.values_mut() {
        entry.origin = origin.clone();
    }
    for entry in state.assignments.values_mut() {
        entry.origin = origin.clone();
    }
    for entry in state.grants.values_mut() {
        entry.origin = origin.clone();
    }
    for entry in state.rules.values_mut() {
        entry.origin = origin.clone();
    }
    for entry in state.bindings.values_mut() {
        entry.origin = origin.clone();
    }
    state
}

fn signs(plan: &Plan) -> Vec<String> {
    plan.changes.iter().map(|item| format!("{} {}", item.verb.sign(), item.what)).collect()
}

fn between(files: &str, store: &State, prune: Prune) -> Plan {
    plan(&policy(files), store, &BTreeSet::new(), prune)
}

const GRANT: &str = "[[grant]]\nto = \"user:alice\"\nkind = \"experiment\"\npattern = \"7\"\npermission = \"MANAGE\"\n";
const ROLE: &str = "[[role]]\nname = \"readers\"\n[[grant]]\nto = \"role:readers\"\nkind = \"run\"\npattern = \"*\"\n\
                    permission = \"READ\"\n[[assignment]]\nrole = \"readers\"\nto = \"group:ml\"\n[[create]]\n\
                    to = \"role:readers\"\nkind = \"registered_model\"\npattern = \"ml-*\"\n";

const BINDING: &str = "[[binding]]\nname = \"ci\"\nissuer = \"github\"\naccount = \"svc:ci\"\n\
                       claims = { repository = \"org/repo\", ref = \"refs/heads/main\" }\n";

#[test]
fn bindings_are_made_changed_kept_and_taken_away() {
    let says = "binding ci: tokens of github with ref = `refs/heads/main`, repository = `org/repo` are svc:ci";
    assert_eq!(signs(&between(BINDING, &State::default(), Prune::Nothing)), [format!("+ {says}")]);
    assert!(between(BINDING, &there(BINDING, "operator ops"), Prune::Nothing).changes.is_empty());
    let other = BINDING.replace("refs/heads/main", "refs/heads/next");
    let changed = between(&other, &there(BINDING, "policy-files ops"), Prune::Nothing);
    assert_eq!(signs(&changed), [format!("~ {}", says.replace("main", "next"))]);
    let Step::Bind { was: Some(was), new } = &changed.changes[0].step else { panic!("{changed:?}") };
    assert!(was.rules.to_string().contains("main") && new.rules.to_string().contains("next"));
    // What files made and no longer say goes; what somebody else made stays until it is pruned.
    assert_eq!(signs(&between("", &there(BINDING, "policy-files ops"), Prune::Nothing)), [format!("- {says}")]);
    let kept = between("", &there(BINDING, "operator ops"), Prune::Nothing);
    assert_eq!((kept.changes.len(), kept.kept.len()), (0, 1));
    assert_eq!(signs(&between("", &there(BINDING, "operator ops"), Prune::Given)), [format!("- {says}")]);
}

#[test]
fn what_is_said_is_made_in_an_order_in_which_it_can_be_made() {
    let files = format!("{ROLE}[[group]]\nname = \"ml\"\nmembers = [\"bob\"]\n");
    assert_eq!(
        signs(&between(&files, &State::default(), Prune::Nothing)),
        [
            "+ group ml",
            "+ user bob",
            "+ user bob to group ml",
            "+ role readers",
            "+ role readers for group ml",
            "+ role:readers READ on run *",
            "+ role:readers may create registered_model ml-*",
        ]
    );
}

#[test]
fn what_files_made_and_no_longer_say_goes_and_what_people_made_stays_and_is_told() {
    let store = there(GRANT, "policy-files tester");
    let gone = between("", &store, Prune::Nothing);
    assert_eq!(signs(&gone), ["- user:alice MANAGE on experiment 7"]);
    for by in ["user carol", "operator root", "trackgate"] {
        let kept = between("", &there(GRANT, by), Prune::Nothing);
        assert!(kept.changes.is_empty());
        assert_eq!(
            (kept.kept[0].what.as_str(), kept.kept[0].from.to_string()),
            ("user:alice MANAGE on experiment 7", by.to_owned())
        );
        assert_eq!(between("", &there(GRANT, by), Prune::Given).changes.len(), 1, "{by}");
    }
}

#[test]
fn pruning_leaves_owners_what_they_made_unless_told_otherwise() {
    let owned = there(GRANT, "user alice");
    assert!(between("", &owned, Prune::Given).changes.is_empty());
    assert_eq!(between("", &owned, Prune::Given).kept.len(), 1);
    assert_eq!(between("", &owned, Prune::Everything).changes.len(), 1);
    for other in [GRANT.replace("MANAGE", "EDIT"), GRANT.replace("\"7\"", "\"*\"")] {
        assert_eq!(between("", &there(&other, "user alice"), Prune::Given).changes.len(), 1, "{other}");
    }
}

#[test]
fn what_is_said_otherwise_is_changed_whoever_made_it() {
    let less = GRANT.replace("MANAGE", "READ") + "expires = 2027-01-31T18:00:00Z\n";
    let plan = between(&less, &there(GRANT, "user carol"), Prune::Nothing);
    assert_eq!(signs(&plan), ["~ user:alice MANAGE -> READ on experiment 7 (for good -> until 2027-01-31T18:00:00Z)"]);
    assert_eq!(plan.changes[0].from.to_string(), "a.toml:1");
}

#[test]
fn a_role_that_goes_takes_along_what_people_gave_it() {
    let mut store = there(ROLE, "policy-files tester");
    for entry in store.grants.values_mut() {
        entry.origin = Origin::Store(Arc::from("user carol"));
    }
    assert_eq!(
        signs(&between("", &store, Prune::Nothing)),
        [
            "- role readers for group ml",
            "- role:readers READ on run *",
            "- role:readers may create registered_model ml-*",
            "- role readers",
        ]
    );
    let peoples = there(ROLE, "user carol");
    assert!(between("", &peoples, Prune::Nothing).changes.is_empty(), "a role that people made stays");
}

#[test]
fn a_group_has_the_members_its_file_names_and_keeps_them_where_none_are_named() {
    let store = there("[[group]]\nname = \"ml\"\nmembers = [\"bob\", \"carol\"]\n", "");
    let plan = between("[[group]]\nname = \"ml\"\nmembers = [\"bob\", \"dave\"]\n", &store, Prune::Nothing);
    assert_eq!(signs(&plan), ["+ user dave", "+ user dave to group ml", "- user carol from group ml"]);
    assert!(between("[[group]]\nname = \"ml\"\n", &store, Prune::Everything).changes.is_empty());
    assert!(between("", &store, Prune::Nothing).changes.is_empty(), "groups may be people's");
    assert_eq!(signs(&between("", &store, Prune::Given)), ["- group ml with 2 members"]);
    let spoken_of = GRANT.replace("user:alice", "group:ml");
    let plan = between(&spoken_of, &store, Prune::Everything);
    assert_eq!(signs(&plan), ["+ group:ml MANAGE on experiment 7"], "a group that files give something to stays");
}

fn names() -> impl Strategy<Value = String> {
    prop_oneof!["[a-c]", "[!-~]{1,12}", "[a-z]{1,5}@[a-z]{1,5}\\.com"]
}

fn texts() -> impl Strategy<Value = String> {
    prop_oneof!["[a-c*]{1,4}", "\\PC{1,20}", "[\u{200b}-\u{200f}\u{2028}-\u{202e}\"\\\\#\u{1F600}é]{1,6}"]
        .prop_map(|text| text.trim().to_owned())
        .prop_filter("nothing", |text| !text.is_empty())
}

fn workspaces() -> impl Strategy<Value = WorkspaceName> {
    prop_oneof![Just("default"), Just("team-a")].prop_map(|name| WorkspaceName::parse(name).unwrap())
}

fn ends() -> impl Strategy<Value = Option<u64>> {
    prop_oneof![Just(None), (NOW + 1..NOW * 2).prop_map(Some), Just(Some(i64::MAX as u64))]
}

fn user() -> impl Strategy<Value = UserName> {
    names().prop_filter_map("no name", |name| {
        let shouts = name.contains('@') && name.bytes().any(|byte| byte.is_ascii_uppercase());
        if shouts { None } else { UserName::parse(&name).ok() }
    })
}

fn group() -> impl Strategy<Value = GroupName> {
    names().prop_filter_map("no name", |name| GroupName::parse(&name).ok().filter(|name| name.as_str() != "everybody"))
}

fn role() -> impl Strategy<Value = RoleKey> {
    (workspaces(), texts()).prop_filter_map("no name", |(workspace, name)| {
        let name = RoleName::parse(&name).ok().filter(|name| !name.as_str().starts_with("__"))?;
        Some(RoleKey { workspace, name })
    })
}

fn spots() -> impl Strategy<Value = Spot> {
    let to = prop_oneof![user().prop_map(Named::User), group().prop_map(Named::Group)];
    let kinds = prop::sample::select(Kind::ALL.to_vec());
    (workspaces(), to, kinds, texts()).prop_filter_map("no pattern", |(workspace, to, kind, text)| {
        let pattern = match kind.grantable() {
            Grantable::No => return None,
            Grantable::ById => Pattern::Prefix(Arc::from("")),
            Grantable::ByName if text.len() % 2 == 0 => Pattern::Exactly(Arc::from(text)),
            Grantable::ByName if text.len() % 3 == 0 => Pattern::Glob(Arc::from(format!("?{}*x", glob::quoted(&text)))),
            Grantable::ByName => Pattern::Prefix(Arc::from(format!("p{text}"))),
        };
        Some(Spot { workspace, to, kind, pattern })
    })
}

/// Of rules: only some things are made under names, experiments among them.
fn names_to_be() -> impl Strategy<Value = Spot> {
    let to = prop_oneof![user().prop_map(Named::User), group().prop_map(Named::Group)];
    let kinds = prop::sample::select(vec![Kind::Experiment, Kind::RegisteredModel, Kind::Prompt]);
    (workspaces(), to, kinds, texts()).prop_map(|(workspace, to, kind, text)| {
        let pattern = match text.len() % 3 {
            0 => Pattern::Exactly(Arc::from(text)),
            1 => Pattern::Glob(Arc::from(format!("?{}*x", glob::quoted(&text)))),
            _ => Pattern::Prefix(Arc::from(text)),
        };
        Spot { workspace, to, kind, pattern }
    })
}

fn levels() -> impl Strategy<Value = Permission> {
    use Permission::{Deny, Edit, Manage, Read, Use};
    prop::sample::select(vec![Read, Use, Edit, Manage, Deny])
}

fn states() -> impl Strategy<Value = State> {
    let origin = || Origin::Store(Arc::from("user carol"));
    let entry = move |value| Entry { value, origin: origin() };
    let groups = prop::collection::btree_map(group(), prop::collection::btree_set(user(), 0..4), 0..4);
    let roles = prop::collection::btree_map(role(), texts(), 0..4);
    let to = prop_oneof![user().prop_map(Subject::User), group().prop_map(Subject::Group)];
    let given = prop::collection::vec((any::<prop::sample::Index>(), to, ends()), 0..4);
    let grants = prop::collection::btree_map(spots(), (levels(), ends()), 0..6);
    let rules = prop::collection::btree_map(names_to_be(), ends(), 0..4);
    (groups, roles, given, grants, rules).prop_map(move |(groups, roles, given, grants, rules)| {
        let groups = groups
            .into_iter()
            .map(|(name, members)| (name, Entry { value: Some(members), origin: Origin::Store(Arc::from("")) }))
            .collect();
        let mut state = State { groups, ..State::default() };
        for (index, to, end) in given {
            if !roles.is_empty() {
                let role = roles.keys().nth(index.index(roles.len())).unwrap().clone();
                let at = Spot {
                    workspace: role.workspace.clone(),
                    to: Named::Role(role.name.clone()),
                    kind: Kind::Run,
                    pattern: Pattern::Prefix(Arc::from("")),
                };
                state.grants.insert(at, entry((Permission::Read, end)));
                state
                    .assignments
                    .insert(Assigned { role, to }, Entry { value: end, origin: Origin::Store(Arc::from("x")) });
            }
        }
        for (key, text) in roles {
            state.roles.insert(key, Entry { value: Arc::from(text), origin: Origin::Store(Arc::from("x")) });
        }
        state.grants.extend(grants.into_iter().map(|(at, held)| (at, entry(held))));
        for (at, end) in rules {
            state.rules.insert(at, Entry { value: end, origin: Origin::Store(Arc::from("x")) });
        }
        state
    })
}

proptest! {
    /// Whatever there is, its export says the same: the plan of an export is empty, however it prunes.
    #[test]
    fn the_plan_of_an_export_is_empty(state in states()) {
        let text = write::whole(&state).unwrap();
        let policy = policy(&text);
        for prune in [Prune::Nothing, Prune::Given, Prune::Everything] {
            let plan = plan(&policy, &state, &BTreeSet::new(), prune);
            prop_assert!(plan.changes.is_empty(), "{:#?}\n{text}", signs(&plan));
            prop_assert!(plan.kept.is_empty());
        }
    }

    /// Whatever there was, what the plan makes of it is what the files say, and the next plan is empty.
    #[test]
    fn what_a_plan_makes_differs_in_nothing_any_more(files in states(), store in states()) {
        let policy = Policy { state: files, ended: Vec::new() };
        for prune in [Prune::Nothing, Prune::Given, Prune::Everything] {
            let steps = plan(&policy, &store, &BTreeSet::new(), prune).into_steps();
            let state = crate::paper::after::after(store.clone(), &steps);
            let again = plan(&policy, &state, &BTreeSet::new(), prune);
            prop_assert!(again.changes.is_empty(), "{:#?}", signs(&again));
        }
    }

    /// However long a file is, the same things are said and compared; and files of noise only give faults.
    #[test]
    fn noise_is_a_fault_and_never_a_panic(text in "[\\[\\]a-z=\"\n. 0-9T:Z-]{0,200}") {
        let mut reader = Reader::default();
        reader.file("noise.toml", &text, NOW);
        let _ = reader.finish();
    }
}
