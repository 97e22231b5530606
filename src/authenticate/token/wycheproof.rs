//! The signature layer against Wycheproof's vectors (`tests/fixtures/wycheproof`).
//!
//! Their payloads are no claim sets, so the signature alone is judged. What our rules forbid besides (HMAC, small keys,
//! several keys without a `kid`) may be refused though the vector calls it valid; nothing invalid may pass.

use serde_json::{Value, json};

use super::*;

const ALL: [Algorithm; 9] = [
    Algorithm::Rs256,
    Algorithm::Rs384,
    Algorithm::Rs512,
    Algorithm::Ps256,
    Algorithm::Ps384,
    Algorithm::Ps512,
    Algorithm::Es256,
    Algorithm::Es384,
    Algorithm::EdDsa,
];

fn vectors(file: &str) -> Value {
    let path = format!("{}/tests/fixtures/wycheproof/{file}", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn verifies(key: &Value, jws: &str) -> bool {
    let set = if key.get("keys").is_some() { key.clone() } else { json!({ "keys": [key] }) };
    let Ok(keys) = KeySet::parse(set.to_string().as_bytes()) else { return false };
    let Ok((signed, signature, header, _)) = compact::split(jws) else { return false };
    keys.verify_parts(&header, signed, signature, &ALL).is_ok()
}

#[test]
fn no_invalid_vector_verifies_and_the_valid_asymmetric_ones_do() {
    let mut counted = (0, 0, 0);
    let mut refused = Vec::new();
    for file in ["json_web_signature_test.json", "json_web_crypto_test.json", "json_web_key_test.json"] {
        for group in vectors(file)["testGroups"].as_array().unwrap() {
            let key = group.get("public").or_else(|| group.get("private")).unwrap_or(&Value::Null);
            for test in group["tests"].as_array().unwrap() {
                let Some(jws) = test["jws"].as_str() else { continue };
                let comment = test["comment"].as_str().unwrap_or_default();
                let good = verifies(key, jws);
                match test["result"].as_str().unwrap() {
                    "valid" if good => counted.0 += 1,
                    "valid" if refused_by_our_rules(key, jws) => counted.1 += 1,
                    "valid" => {
                        refused.push(format!("{file} {} {comment}", test["tcId"]));
                    }
                    _ => {
                        counted.2 += 1;
                        assert!(!good, "{file} {}: `{comment}` verifies", test["tcId"]);
                    }
                }
            }
        }
    }
    assert!(counted.0 > 0 && counted.2 > 0);
    assert_eq!(refused, Vec::<String>::new(), "{counted:?}");
}

/// Valid by the vectors, refused by our rules: HMAC and P-521 cannot be configured, a key that its issuer binds to one
/// algorithm verifies no other, and base64url with foreign characters in it has a second spelling (vectors 372, 373).
fn refused_by_our_rules(key: &Value, jws: &str) -> bool {
    let Ok((_, _, header, _)) = compact::split(jws) else { return !jws.bytes().all(is_base64url_or_dot) };
    match Algorithm::parse(&header.algorithm) {
        None => true,
        Some(algorithm) => key.get("alg").is_some_and(|bound| bound != algorithm.as_str()),
    }
}

fn is_base64url_or_dot(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)
}
