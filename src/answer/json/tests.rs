use proptest::prelude::*;

use super::*;

fn parse(text: &str) -> Result<Value<'_>, BadJson> {
    Value::parse(text.as_bytes())
}

#[test]
fn what_is_not_json_is_refused() {
    for text in [
        "",
        " ",
        "{",
        "[",
        "\"",
        "{\"a\"",
        "{\"a\":",
        "{\"a\":1",
        "{\"a\":1,",
        "{\"a\":1,}",
        "[1,]",
        "[,1]",
        "{,}",
        "01",
        "1.",
        ".5",
        "1e",
        "-",
        "+1",
        "nul",
        "True",
        "nan",
        "--1",
        "1 2",
        "{}x",
        "[1 2]",
        "{\"a\" 1}",
        "{a:1}",
        "{'a':1}",
        "\"\\x\"",
        "\"\\u12\"",
        "\"\n\"",
        "-Inf",
        "Infinit",
        "\u{feff}{}",
    ] {
        assert!(parse(text).is_err(), "{text:?}");
    }
    assert_eq!(Value::parse(b"\"\xff\""), Err(BadJson::NotUtf8));
}

#[test]
fn python_numbers_that_json_has_not_survive() {
    let value = parse("{\"a\": [NaN, Infinity, -Infinity, -0.5e+3]}").unwrap();
    let raw: Vec<_> = value.get("a").unwrap().unwrap().elements().unwrap().map(Value::raw).collect();
    assert_eq!(raw, ["NaN", "Infinity", "-Infinity", "-0.5e+3"]);
}

#[test]
fn a_key_that_stands_twice_is_refused_in_every_spelling() {
    assert_eq!(parse(r#"{"a":1,"a":2}"#).unwrap().get("a"), Err(BadJson::DuplicateKey));
    assert_eq!(parse(r#"{"a":1,"\u0061":2}"#).unwrap().get("a"), Err(BadJson::DuplicateKey));
    assert_eq!(parse(r#"{"i":{"a":1},"i":{"a":2}}"#).unwrap().at("i.a"), Err(BadJson::DuplicateKey));
}

#[test]
fn depth_is_bounded() {
    let deep = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
    assert!(parse(&deep(100)).is_ok());
    assert_eq!(parse(&deep(200)), Err(BadJson::TooDeep));
    assert_eq!(parse(&"[".repeat(1_000_000)), Err(BadJson::TooDeep));
}

#[test]
fn a_path_leads_through_objects_alone() {
    let value =
        parse(r#"{"info": {"experiment_id": "7"}, "list": [1], "text": "{\"experiment_id\": \"8\"}"}"#).unwrap();
    assert_eq!(value.at("info.experiment_id").unwrap().unwrap().as_str().unwrap(), "7");
    assert_eq!(value.at("list.experiment_id").unwrap(), None);
    assert_eq!(value.at("text.experiment_id").unwrap(), None);
    assert_eq!(value.at("absent.x").unwrap(), None);
}

#[test]
fn a_lone_surrogate_is_no_string() {
    assert_eq!(parse(r#""\ud800""#).unwrap().as_str(), None);
    assert_eq!(parse(r#""\ud83d\ude00""#).unwrap().as_str().unwrap(), "\u{1f600}");
}

fn any_json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<i16>().prop_map(|n| (f64::from(n) / 8.0).into()),
        ".*".prop_map(Into::into),
    ];
    leaf.prop_recursive(5, 60, 8, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..8).prop_map(Into::into),
            proptest::collection::hash_map(".{0,6}", inner, 0..8)
                .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn reads_whatever_serde_json_writes(json in any_json(), pretty in any::<bool>()) {
        let text = if pretty { serde_json::to_string_pretty(&json) } else { serde_json::to_string(&json) }.unwrap();
        let value = parse(&text).unwrap();
        prop_assert_eq!(value.raw(), &text);
        match &json {
            serde_json::Value::Array(list) => {
                let read: Vec<serde_json::Value> =
                    value.elements().unwrap().map(|one| serde_json::from_str(one.raw()).unwrap()).collect();
                prop_assert_eq!(&read, list);
            }
            serde_json::Value::Object(map) => {
                prop_assert_eq!(value.members().count(), map.len());
                for (name, member) in map {
                    let read: serde_json::Value =
                        serde_json::from_str(value.get(name).unwrap().unwrap().raw()).unwrap();
                    prop_assert_eq!(&read, member);
                }
            }
            serde_json::Value::String(text) => prop_assert_eq!(value.as_str().unwrap(), text.as_str()),
            _ => {}
        }
    }

    #[test]
    fn agrees_with_serde_json_on_what_is_json(text in r#"[\[\]{}:,"0-9a\\eE.+\- tfnul]{0,24}"#) {
        let ours = parse(&text).is_ok();
        let theirs = serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok();
        prop_assert_eq!(ours, theirs);
    }

    #[test]
    fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(value) = Value::parse(&bytes) {
            let _ = value.members().count();
        }
    }

    #[test]
    fn a_written_string_reads_back(text in any::<String>()) {
        let mut out = Vec::new();
        write_string(&mut out, &text);
        prop_assert_eq!(serde_json::from_slice::<String>(&out).unwrap(), text);
    }
}
