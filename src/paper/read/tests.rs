use std::fmt::Write as _;

use super::*;

/// 2026-01-01.
const NOW: u64 = 1_767_225_600_000;

fn read(text: &str) -> Result<Policy, Vec<String>> {
    let mut reader = Reader::default();
    reader.file("a.toml", text, NOW);
    reader.finish().map_err(|faults| faults.iter().map(ToString::to_string).collect())
}

fn faults(text: &str) -> Vec<String> {
    read(text).unwrap_err()
}

#[test]
fn every_fault_of_a_binding_is_told_with_its_line() {
    let text = "[[binding]]\nname = \"a b\"\nissuer = \"https://idp.example.com\"\naccount = \"Ann@example.com\"\n\
                audiences = [\"\"]\naudience = \"x\"\ntoken_groups = 1\nclaims = { repository = \"org/repo*\" }\n\
                [[binding]]\nname = \"ci\"\nissuer = \"idp\"\naccount = \"svc:ci\"\n\
                [[binding]]\nname = \"ci\"\nissuer = \"idp\"\naccount = \"svc:ci\"\nclaims = { sub = 7 }\n";
    let told = faults(text);
    let each = [
        "a.toml:2: name `a b`",
        "a.toml:3: issuer",
        "a.toml:4: account",
        "a.toml:5: `` is no audience",
        "a.toml:6: `audience`: write `audiences`",
        "a.toml:7: `token_groups` is true or false",
        "a.toml:8: claims: `repository`: `org/repo*`: a `*` stands behind",
        "a.toml:9: `claims` is missing",
        "a.toml:17: claims: `sub` is a text",
    ];
    for line in each {
        assert!(told.iter().any(|fault| fault.starts_with(line)), "{line}: {told:#?}");
    }
    assert_eq!(told.len(), each.len(), "{told:#?}");
    let twice = BINDING.repeat(2);
    assert_eq!(faults(&twice), ["a.toml:6: this binding stands already in a.toml:1"]);
}

#[test]
fn a_binding_is_read_as_it_is_written() {
    let odd = "[[binding]]\nname = \"k8s\"\nissuer = \"gke\"\naudiences = [\"a\", \"b\\\"c\"]\naccount = \"svc:x\"\n\
               token_groups = true\n[binding.claims.\"kubernetes.io\"]\nnamespace = [\"a\", \"b-*\"]\n\
               [binding.claims.\"kubernetes.io\".serviceaccount]\nname = \"trainer\"\n";
    for text in [BINDING, odd] {
        let state = read(text).unwrap().state;
        assert_eq!(state.bindings.len(), 1);
        let written = crate::paper::write::whole(&state).unwrap();
        let again = read(&written).unwrap().state;
        let only = |state: &State| state.bindings.values().next().unwrap().value.clone();
        assert_eq!(only(&again), only(&state), "{written}");
    }
}

const BINDING: &str = "[[binding]]\nname = \"ci\"\nissuer = \"github\"\naccount = \"svc:ci\"\n\
                       claims = { repository = \"org/repo\" }\n";

const ALL: &str = r#"
[[group]]
name = "research"
members = ["alice@example.com", "user:bob@example.com"]

[[role]]
name = "readers"
description = "who reads"

[[role]]
name = "readers"
workspace = "team-a"

[[assignment]]
role = "readers"
to = "group:research"
expires = 2027-01-31T18:00:00Z

[[grant]]
to = "role:readers"
kind = "experiment"
pattern = "*"
permission = "READ"

[[grant]]
to = "user:bob@example.com"
workspace = "team-a"
kind = "registered_model"
pattern = "odd*name*"
exactly = true
permission = "DENY"
expires = "2027-01-31T19:00:00+01:00"

[[create]]
to = "group:research"
kind = "registered_model"
pattern = "research-*"
"#;

#[test]
fn a_file_says_groups_roles_assignments_grants_and_rules() {
    let Policy { state, ended } = read(ALL).unwrap();
    assert!(ended.is_empty());
    assert_eq!(state.len(), 7);
    let (group, entry) = state.groups.first_key_value().unwrap();
    assert_eq!((group.as_str(), entry.value.as_ref().unwrap().len()), ("research", 2));
    assert_eq!(entry.origin, Origin::File(Arc::from("a.toml"), 2));
    let (key, entry) = state.assignments.first_key_value().unwrap();
    assert_eq!(
        (key.role.name.as_str(), key.to.to_string(), entry.value),
        ("readers", "group research".to_owned(), Some(1_801_418_400_000))
    );
    let (at, entry) = state.grants.last_key_value().unwrap();
    assert_eq!(at.workspace.as_str(), "team-a");
    assert_eq!(at.pattern, Pattern::Exactly(Arc::from("odd*name*")));
    assert_eq!(entry.value, (Permission::Deny, Some(1_801_418_400_000)));
    assert_eq!(entry.origin, Origin::File(Arc::from("a.toml"), 25));
}

#[test]
fn every_fault_of_every_file_is_told_at_once_with_file_and_line() {
    let mut reader = Reader::default();
    reader.file(
        "one.toml",
        "[[grant]]\nto = \"alice\"\nkind = \"castle\"\npattern = \"*\"\npermission = \"ALL\"\n\n[[grants]]\nx = 1\n",
        NOW,
    );
    reader.file("two.toml", "[[role]]\nname = \"a\"\n\n[[role]]\nname = \"a\"\ncolour = \"red\"\n[[create]]\n", NOW);
    reader.unreadable("three.toml", 4, "it is not UTF-8".to_owned());
    let told: Vec<_> = reader.finish().unwrap_err().iter().map(ToString::to_string).collect();
    let beginnings = [
        "one.toml:2: to `alice`: write `user:NAME`",
        "one.toml:3: kind `castle`: not a kind",
        "one.toml:5: permission `ALL`: not a permission",
        "one.toml:7: there is no `grants`",
        "three.toml:4: it is not UTF-8",
        "two.toml:4: this role stands already in two.toml:1",
        "two.toml:6: a role has no `colour`; it has name, workspace, description",
        "two.toml:7: `to` is missing",
        "two.toml:7: `kind` is missing",
    ];
    for beginning in beginnings {
        assert!(told.iter().any(|line| line.starts_with(beginning)), "{beginning}: {told:#?}");
    }
}

#[test]
fn every_syntax_error_of_a_file_is_told() {
    let told = faults("[[grant]\nto = \n\n[[role]]\nname = \"a\nx = 1\n");
    assert!(told.len() > 1, "{told:#?}");
    assert!(told[0].starts_with("a.toml:1: "), "{told:#?}");
    assert!(told.iter().any(|line| line.starts_with("a.toml:5: ")), "{told:#?}");
}

#[test]
fn roles_have_no_roles_and_groups_no_groups_so_there_are_no_circles() {
    let roles = "[[role]]\nname = \"a\"\n[[role]]\nname = \"b\"\n";
    for (text, wanted) in [
        (
            "[[assignment]]\nrole = \"a\"\nto = \"role:b\"\n[[assignment]]\nrole = \"b\"\nto = \"role:a\"\n",
            NO_ROLES_IN_ROLES,
        ),
        ("[[role]]\nname = \"c\"\nroles = [\"a\"]\n", NO_ROLES_IN_ROLES),
        ("[[role]]\nname = \"c\"\nextends = \"a\"\n", NO_ROLES_IN_ROLES),
        ("[[group]]\nname = \"c\"\nmembers = [\"group:c\"]\n", "groups have people in them"),
    ] {
        let told = faults(&format!("{roles}{text}"));
        assert!(told.iter().all(|line| line.contains(wanted)) && !told.is_empty(), "{told:#?}");
    }
}

#[test]
fn a_role_that_no_file_makes_is_a_fault_where_it_is_named() {
    let told = faults(
        "[[grant]]\nto = \"role:a\"\nkind = \"run\"\npattern = \"*\"\npermission = \"READ\"\n[[assignment]]\nrole = \"a\"\nto = \"user:x\"\n[[role]]\nname = \"a\"\nworkspace = \"team-a\"\n",
    );
    assert_eq!(told.len(), 2, "{told:#?}");
    assert!(told[0].starts_with("a.toml:1: no file has the role `a`"), "{told:#?}");
}

#[test]
fn names_that_cannot_be_are_faults_whatever_script_they_are_in() {
    for (name, wanted) in [
        ("user:", "it is empty"),
        ("user:al ice", "something else than printable ASCII"),
        ("user:Alice@example.com", "lower case"),
        ("user:\u{430}lice@example.com", "`\u{430}` is U+0430"),
        ("user:alice@ex\u{e4}mple.com", "`\u{e4}` is U+00E4"),
        ("group:\u{202e}nimda", "U+202E"),
        ("group:a\u{0}b", "control character"),
        ("user:\u{feff}alice", "U+FEFF"),
        ("role:", "it is empty"),
        ("role: x", "begins or ends with a space"),
        ("role:a\u{1b}[31m", "control character"),
        ("castle:x", "write `user:NAME`"),
    ] {
        let mut literal = String::new();
        for letter in name.chars() {
            write!(literal, "\\u{:04X}", u32::from(letter)).unwrap();
        }
        let told =
            faults(&format!("[[grant]]\nto = \"{literal}\"\nkind = \"run\"\npattern = \"*\"\npermission = \"READ\"\n"));
        assert!(told.len() == 1 && told[0].contains(wanted), "{name:?}: {told:#?}");
        assert!(!told[0].contains(['\u{1b}', '\u{202e}', '\u{0}', '\u{feff}']), "nothing turns the terminal: {told:?}");
    }
}

#[test]
fn patterns_that_name_nothing_are_faults() {
    for (kind, pattern) in [
        ("experiment", "01"),
        ("experiment", "a*"),
        ("registered_model", ""),
        ("registered_model", "?????????????????????????????????"),
        ("experiment_name", "*"),
        ("experiment_name", ""),
        ("dataset", "*"),
        ("workspace", "team-b"),
        ("run", "0123"),
    ] {
        let told = faults(&format!(
            "[[grant]]\nto = \"user:x\"\nworkspace = \"team-a\"\nkind = \"{kind}\"\npattern = \"{pattern}\"\npermission = \"READ\"\n"
        ));
        assert_eq!(told.len(), 1, "{kind} {pattern}: {told:#?}");
    }
}

#[test]
fn a_rule_is_on_names_of_what_is_made_under_names_and_on_nothing_else() {
    let rule = |kind: &str, pattern: &str, more: &str| {
        read(&format!("[[create]]\nto = \"user:x\"\nkind = \"{kind}\"\npattern = \"{pattern}\"\n{more}"))
    };
    for (kind, pattern, more) in [
        ("experiment", "research/*", ""),
        ("experiment", "odd*name", "exactly = true\n"),
        ("prompt", "*", ""),
        ("registered_model", "a*b", "exactly = true\n"),
    ] {
        assert!(rule(kind, pattern, more).is_ok(), "{kind} {pattern}");
    }
    for kind in ["run", "scorer", "gateway_secret", "workspace"] {
        assert!(rule(kind, "*", "").is_err() && rule(kind, "x", "exactly = true\n").is_err(), "{kind}");
    }
}

#[test]
fn an_end_is_a_moment_and_one_that_has_passed_is_told_of_and_left_out() {
    let with = |end: &str| {
        format!("[[grant]]\nto = \"user:x\"\nkind = \"run\"\npattern = \"*\"\npermission = \"READ\"\nexpires = {end}\n")
    };
    for end in ["\"30d\"", "2027-01-31", "2027-01-31T18:00:00", "18:00:00", "true", "-5", "1.5", "[]"] {
        let told = faults(&with(end));
        assert!(told.len() == 1 && told[0].starts_with("a.toml:6: `expires`"), "{end}: {told:#?}");
    }
    for end in ["2027-01-31T18:00:00Z", "2027-01-31 18:00:00.123Z", "\"2027-01-31T18:00:00Z\"", "1801418400000"] {
        assert_eq!(read(&with(end)).unwrap().state.len(), 1, "{end}");
    }
    let past = read(&with("2025-12-31T23:59:59Z")).unwrap();
    assert!(past.state.is_empty() && past.ended.len() == 1, "{past:?}");
    let last = read(&with("2026-01-01T00:00:00Z")).unwrap();
    assert!(last.state.is_empty(), "it counts for nothing from that very millisecond");
}

#[test]
fn the_group_of_everybody_and_roles_of_trackgates_own_stand_in_no_file() {
    assert!(faults("[[group]]\nname = \"everybody\"\n")[0].contains("everybody who signs in"));
    assert!(faults("[[role]]\nname = \"__user_1__\"\n")[0].contains("Trackgate's own"));
    assert!(
        read("[[grant]]\nto = \"group:everybody\"\nkind = \"run\"\npattern = \"*\"\npermission = \"READ\"\n").is_ok()
    );
}

#[test]
fn a_file_of_many_thousand_faults_is_read_in_bearable_time() {
    let text = "[[grant]]\nto = \"nobody\"\n".repeat(20_000);
    assert_eq!(faults(&text).len(), 80_000);
}
