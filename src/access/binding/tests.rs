#![expect(clippy::needless_pass_by_value, reason = "it reads better at the call")]

use serde_json::json;

use super::*;

fn rules(claims: Value) -> Rules {
    Rules::read(&claims).unwrap()
}

fn fault(claims: Value) -> String {
    Rules::read(&claims).unwrap_err().to_string()
}

fn meets(rules: &Rules, claims: &Value) -> Result<(), Why> {
    let email = claims["email"].as_str().filter(|_| claims["email_verified"] == json!(true));
    rules.judge(claims.as_object().unwrap(), email).map_err(|miss| miss.why)
}

#[test]
fn an_exact_repository_is_no_fork_and_no_name_that_begins_or_ends_like_it() {
    let rules = rules(json!({"repository": "org/repo"}));
    assert!(meets(&rules, &json!({"repository": "org/repo"})).is_ok());
    for other in ["org/repo-evil", "evil/repo", "org/rep", "evil/org/repo", "org/repo ", "ORG/repo", "org/repo/", ""] {
        assert!(matches!(meets(&rules, &json!({ "repository": other })), Err(Why::Other { .. })), "{other}");
    }
}

#[test]
fn a_star_stays_within_its_part_and_two_go_on() {
    let cases = [
        ("org/*", "org/repo", true),
        ("org/*", "org/", true),
        ("org/*", "org/repo/sub", false),
        ("org/*", "org-evil/repo", false),
        ("refs/heads/release-*", "refs/heads/release-1.2", true),
        ("refs/heads/release-*", "refs/heads/release-1/evil", false),
        ("repo:org/*:ref:refs/heads/main", "repo:org/repo:ref:refs/heads/main", true),
        ("repo:org/*:ref:refs/heads/main", "repo:org/repo:pull_request:ref:refs/heads/main", false),
        ("repo:org/repo:**", "repo:org/repo:ref:refs/heads/main", true),
        ("repo:org/repo:**", "repo:org/repo-evil:ref:refs/heads/main", false),
        ("refs/tags/v?.?", "refs/tags/v1.2", true),
        ("refs/tags/v?.?", "refs/tags/v1/2", false),
        ("a[*]b", "a*b", true),
        ("a[*]b", "axb", false),
        ("a[?]", "a?", true),
        ("*", "anything", true),
        ("*", "any/thing", false),
        ("**", "any/thing:x", true),
        ("x/*-*-end", "x/a-b-c-end", true),
        ("x/*-*-end", "x/a-end", false),
    ];
    for (wanted, text, matches) in cases {
        assert_eq!(claim::Wanted::parse(wanted).unwrap().matches(text), matches, "{wanted} {text}");
    }
}

#[test]
fn wildcards_that_somebody_else_could_meet_are_refused() {
    for wanted in ["org/repo*", "org*", "refs/heads/main*", "repo:org/repo**", "a*b"] {
        assert_eq!(claim::Wanted::parse(wanted), Err(claim::BadWanted::Behind), "{wanted}");
    }
    for wanted in ["*/repo", "**/main", "?rg/repo", "*-prod"] {
        assert_eq!(claim::Wanted::parse(wanted), Err(claim::BadWanted::Begins), "{wanted}");
    }
    for wanted in ["", "a\nb", "\u{0}"] {
        assert_eq!(claim::Wanted::parse(wanted), Err(claim::BadWanted::Text), "{wanted:?}");
    }
    assert_eq!(claim::Wanted::parse(&"-*".repeat(9)), Err(claim::BadWanted::TooWild));
    assert_eq!(claim::Wanted::parse(&"a".repeat(1001)), Err(claim::BadWanted::Text));
}

#[test]
fn a_claim_that_is_no_text_matches_nothing() {
    let flat = rules(json!({"role": ["a", "1", "*"], "sub": "x"}));
    for other in [json!(["a"]), json!({"a": "a"}), json!(1), json!(true), json!(null), json!([])] {
        let claims = json!({"role": other, "sub": "x"});
        assert!(matches!(meets(&flat, &claims), Err(Why::NotText(_))), "{claims}");
    }
    assert_eq!(meets(&flat, &json!({"sub": "x"})), Err(Why::Absent));
    assert!(meets(&flat, &json!({"role": "a", "sub": "x"})).is_ok());
}

#[test]
fn a_nested_claim_is_found_by_its_path_alone() {
    let kubernetes = json!({"kubernetes.io": {"namespace": "training", "serviceaccount": {"name": "trainer"}}});
    let rules = rules(kubernetes.clone());
    assert!(meets(&rules, &kubernetes).is_ok());
    for other in [
        json!({"kubernetes.io": {"namespace": "evil", "serviceaccount": {"name": "trainer"}}}),
        json!({"kubernetes.io": {"namespace": "training", "serviceaccount": {"name": "other"}}}),
        json!({"kubernetes.io": {"namespace": "training", "serviceaccount": "trainer"}}),
        json!({"kubernetes.io": [{"namespace": "training", "serviceaccount": {"name": "trainer"}}]}),
        json!({"kubernetes.io.namespace": "training", "kubernetes.io.serviceaccount.name": "trainer"}),
        json!({"kubernetes": {"io": {"namespace": "training", "serviceaccount": {"name": "trainer"}}}}),
        json!({"namespace": "training", "serviceaccount": {"name": "trainer"}}),
        json!({}),
    ] {
        assert!(meets(&rules, &other).is_err(), "{other}");
    }
}

#[test]
fn an_address_counts_where_the_issuer_verified_it() {
    let rules = rules(json!({"email": "Trainer@proj.iam.gserviceaccount.com"}));
    let address = "trainer@proj.iam.gserviceaccount.com";
    assert!(meets(&rules, &json!({"email": address, "email_verified": true})).is_ok());
    for verified in [json!(false), json!("true"), json!(null)] {
        let claims = json!({"email": address, "email_verified": verified});
        assert_eq!(meets(&rules, &claims), Err(Why::Unverified));
    }
}

#[test]
fn all_claims_must_be_met_and_one_text_of_each() {
    let rules = rules(json!({"repository": "org/repo", "ref": ["refs/heads/main", "refs/heads/release-*"]}));
    for (branch, good) in [("refs/heads/main", true), ("refs/heads/release-2", true), ("refs/heads/evil", false)] {
        let claims = json!({"repository": "org/repo", "ref": branch});
        assert_eq!(meets(&rules, &claims).is_ok(), good, "{branch}");
    }
    assert!(meets(&rules, &json!({"repository": "org/other", "ref": "refs/heads/main"})).is_err());
}

#[test]
fn rules_that_say_nothing_or_too_much_are_refused() {
    for (claims, words) in [
        (json!({}), "no claim"),
        (json!("x"), "`claims`"),
        (json!({"sub": ""}), "empty"),
        (json!({"sub": []}), "empty list"),
        (json!({"sub": {}}), "empty list"),
        (json!({"sub": 1}), "a text"),
        (json!({"sub": [1]}), "a text"),
        (json!({"sub": [["a"]]}), "a text"),
        (json!({"sub": null}), "a text"),
        (json!({"sub": "*"}), "any text"),
        (json!({"sub": ["x", "*"], "ref": "**"}), "any text"),
        (json!({"iss": "https://evil.example"}), "not a claim for rules"),
        (json!({"aud": "x", "sub": "x"}), "not a claim for rules"),
        (json!({"email_verified": "true"}), "not a claim for rules"),
        (json!({"a": {"b": {"c": {"d": {"e": "x"}}}}}), "deeper"),
    ] {
        let told = fault(claims.clone());
        assert!(told.contains(words), "{claims}: {told}");
    }
}

#[test]
fn rules_are_read_as_they_were_written() {
    for claims in [
        json!({"repository": "org/repo", "ref": ["refs/heads/main", "refs/heads/release-*"]}),
        json!({"kubernetes.io": {"namespace": "training", "serviceaccount": {"name": ["a", "b"]}}, "sub": "x"}),
    ] {
        let rules = rules(claims.clone());
        assert_eq!(rules.to_json(), claims);
        assert_eq!(Rules::read(&rules.to_json()).unwrap(), rules);
    }
    let kubernetes = rules(json!({"kubernetes.io": {"namespace": ["a", "b"]}}));
    assert_eq!(kubernetes.to_string(), "\"kubernetes.io\".namespace = `a` or `b`");
}

#[test]
fn at_an_issuer_of_the_whole_world_an_owner_is_named() {
    let good = [
        (GITHUB, json!({"repository": "org/repo"})),
        (GITHUB, json!({"repository": "org/*"})),
        (GITHUB, json!({"repository_id": "1234"})),
        (GITHUB, json!({"repository_owner": "org", "ref": "refs/heads/main"})),
        (GITHUB, json!({"sub": "repo:org/repo:**"})),
        (GITLAB, json!({"project_path": "group/project", "ref_protected": "true"})),
        (GITLAB, json!({"namespace_path": "group"})),
        (GITLAB, json!({"sub": "project_path:group/project:**"})),
        (GOOGLE, json!({"email": "trainer@proj.iam.gserviceaccount.com"})),
        (GOOGLE, json!({"sub": "112233445566778899000"})),
        ("https://idp.example.com", json!({"department": "ml"})),
    ];
    for (issuer, claims) in good {
        assert_eq!(check_pinned(issuer, &rules(claims.clone())), Ok(()), "{issuer} {claims}");
    }
    let bad = [
        (GITHUB, json!({"ref": "refs/heads/main"}), BadPin::GitHub),
        (GITHUB, json!({"repository": "org-*/repo"}), BadPin::GitHub),
        (GITHUB, json!({"repository": ["org/repo", "o-*/repo"]}), BadPin::GitHub),
        (GITHUB, json!({"repository_owner": "org-*"}), BadPin::GitHub),
        (GITHUB, json!({"sub": "repo:**"}), BadPin::GitHub),
        (GITHUB, json!({"sub": "repo:org-*/repo:ref:refs/heads/main"}), BadPin::GitHub),
        (GITHUB, json!({"job_workflow_ref": "org/flows/.github/workflows/x.yml@refs/heads/main"}), BadPin::GitHub),
        (GITHUB, json!({"nested": {"repository": "org/repo"}}), BadPin::GitHub),
        (GITLAB, json!({"project_path": "group-*/project"}), BadPin::GitLab),
        (GITLAB, json!({"ref": "main", "namespace_path": "g-*"}), BadPin::GitLab),
        (GOOGLE, json!({"email": "trainer@*"}), BadPin::Google),
        (GOOGLE, json!({"hd": "example.com"}), BadPin::Google),
        (GOOGLE, json!({"sub": "1-*"}), BadPin::Google),
    ];
    for (issuer, claims, why) in bad {
        assert_eq!(check_pinned(issuer, &rules(claims.clone())), Err(why), "{issuer} {claims}");
    }
}

#[test]
fn a_binding_has_a_name_that_can_be_shown() {
    for name in ["ci", "ci/main", "a.b-c_1"] {
        assert_eq!(BindingName::parse(name).unwrap().as_str(), name);
    }
    let long = "x".repeat(65);
    for name in ["", "a b", "a\n", "ä", "a\u{202e}b", long.as_str()] {
        assert_eq!(BindingName::parse(name), Err(BadName), "{name:?}");
    }
}
