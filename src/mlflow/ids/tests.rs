use super::*;
use crate::mlflow::resource::Kind;

#[test]
fn every_spelling_python_would_read_as_experiment_one_but_one_is_refused() {
    for spelling in ["01", "+1", " 1", "1 ", "0_1", "1.0", "\u{661}", "1\n", "", "-1", "0x1", "1e0"] {
        assert!(ExperimentId::parse(spelling).is_err(), "{spelling:?}");
    }
    assert!(ExperimentId::parse("1").is_ok());
    assert!(ExperimentId::parse("0").is_ok());
    assert!(ExperimentId::parse("9223372036854775807").is_ok());
    assert!(ExperimentId::parse("12345678901234567890").is_err());
}

#[test]
fn a_run_id_is_lower_case_hex_of_one_length() {
    assert!(RunId::parse("0123456789abcdef0123456789abcdef").is_ok());
    for spelling in ["0123456789ABCDEF0123456789abcdef", "0123456789abcdef", "", "g123456789abcdef0123456789abcdef"] {
        assert!(RunId::parse(spelling).is_err(), "{spelling:?}");
    }
}

#[test]
fn a_workspace_has_the_one_spelling_that_mlflow_takes() {
    assert!(WorkspaceName::default().is_default());
    assert!(!WorkspaceName::parse("team-a").unwrap().is_default());
    for name in ["default", "team-a", "a1", "0-0", &"a".repeat(63)] {
        assert!(WorkspaceName::parse(name).is_ok(), "{name:?}");
    }
    for name in [
        "",
        "a",
        "Team",
        "team_a",
        "-a",
        "a-",
        "a b",
        " team",
        "team ",
        "team\n",
        "a/b",
        "../a",
        "a.b",
        "\u{e9}quipe",
        "workspaces",
        "api",
        "ajax-api",
        "static-files",
        &"a".repeat(64),
    ] {
        assert!(WorkspaceName::parse(name).is_err(), "{name:?}");
    }
}

#[test]
fn gateway_ids_have_one_prefix_and_one_length() {
    let hex = "0123456789abcdef0123456789abcdef";
    assert!(GatewaySecretId::parse(&format!("s-{hex}")).is_ok());
    assert!(GatewayEndpointId::parse(&format!("e-{hex}")).is_ok());
    assert!(GatewayModelDefinitionId::parse(&format!("d-{hex}")).is_ok());
    assert!(GatewayGuardrailId::parse(&format!("gr-{hex}")).is_ok());
    for spelling in [hex, "*", "e-*", "", "E-0123456789abcdef0123456789abcdef", "s-0123"] {
        assert!(GatewayEndpointId::parse(spelling).is_err(), "{spelling:?}");
    }
    assert!(GatewayEndpointName::parse("gpt-4.1_mini").is_ok());
    for spelling in ["", "a b", "a/b", "a:b", "ä"] {
        assert!(GatewayEndpointName::parse(spelling).is_err(), "{spelling:?}");
    }
}

#[test]
fn an_mcp_server_has_a_namespace_and_a_slug_that_is_no_word_of_paths() {
    for name in ["com.example/x1", "a1/b_c-d.e", "io.github.me/versions2"] {
        assert!(McpServerName::parse(name).is_ok(), "{name}");
    }
    for name in [
        "",
        "x",
        "a1/",
        "/b1",
        "a1/b1/c1",
        "a1/versions",
        "a1/tags",
        "a1/aliases",
        "a1/endpoints",
        "a1/*",
        "*/b1",
        "a1/-b",
        "a1/b-",
        "a_b/c1",
        "a/b",
        "a1/b%2fc",
        "a1/ä1",
    ] {
        assert!(McpServerName::parse(name).is_err(), "{name:?}");
    }
    assert!(McpVersion::parse("1.0.0-rc+1").is_ok());
    assert!(McpVersion::parse("1/2").is_err());
}

#[test]
fn a_skill_is_named_alone_or_with_its_organization() {
    for name in ["review-code", "a", "@acme/review", "@acme.eu-1/review"] {
        assert!(SkillName::parse(name).is_ok(), "{name}");
    }
    for name in ["", "*", "A", "a--b", "-a", "a-", "a.b", "@acme", "@/x", "@acme/", "@acme/a/b", "@a..b/c", "acme/x"] {
        assert!(SkillName::parse(name).is_err(), "{name:?}");
    }
}

#[test]
fn the_wildcard_is_not_a_model_name() {
    assert!(ModelName::parse("*").is_err());
    assert!(ModelName::parse("iris").is_ok());
    assert!(ModelName::parse("Modell für Öl").is_ok());
    for spelling in ["", "a/b", "a:b", "a\u{0}b", "a\nb"] {
        assert!(ModelName::parse(spelling).is_err(), "{spelling:?}");
    }
}

#[test]
fn ids_of_review_and_jobs_have_one_spelling() {
    let hex = "0123456789abcdef0123456789abcdef";
    assert!(DatasetId::parse(&format!("d-{hex}")).is_ok());
    assert!(LabelSchemaId::parse(&format!("ls-{hex}")).is_ok());
    assert!(ReviewQueueId::parse(&format!("rq-{hex}")).is_ok());
    assert!(IssueId::parse(&format!("iss-{hex}")).is_ok());
    for odd in ["", hex, "d-", "D-0123456789abcdef0123456789abcdef", "d-0123456789ABCDEF0123456789ABCDEF"] {
        assert!(DatasetId::parse(odd).is_err(), "{odd:?}");
        assert!(ReviewQueueId::parse(odd).is_err(), "{odd:?}");
    }
    assert!(JobId::parse("01234567-89ab-cdef-0123-456789abcdef").is_ok());
    for odd in ["", hex, "01234567-89AB-cdef-0123-456789abcdef", "01234567-89ab-cdef-0123-456789abcdef-", "search"] {
        assert!(JobId::parse(odd).is_err(), "{odd:?}");
    }
}

/// Python: `[quote(name, safe="") for name in (...)]`.
#[test]
fn scorers_are_quoted_as_python_does() {
    for (name, id) in [
        ("safety", "7/safety"),
        ("my judge/2", "7/my%20judge%2F2"),
        ("a_b.c-d~e", "7/a_b.c-d~e"),
        ("100% (sure)!*'", "7/100%25%20%28sure%29%21%2A%27"),
        ("Größe", "7/Gr%C3%B6%C3%9Fe"),
        ("\u{1f600}", "7/%F0%9F%98%80"),
    ] {
        assert_eq!(Kind::Scorer.join(["7", name]), id);
    }
    for odd in ["", "  ", "a\nb"] {
        assert!(ScorerName::parse(odd).is_err(), "{odd:?}");
    }
    assert!(ScorerName::parse(&"ö".repeat(60)).is_err());
}
