//! One test for each way to forge, bend or borrow a token.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::{URL_SAFE, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::*;
use crate::authenticate::forge::{Forge, merge};

const NOW: u64 = 1_800_000_000;
const ISSUER: &str = "https://idp.example.com";
const AUDIENCE: &str = "https://mlflow.example.com";

pub(super) fn key_set(forges: &[&Forge]) -> KeySet {
    let keys: Vec<Value> = forges.iter().map(|forge| forge.jwk()).collect();
    KeySet::parse(json!({ "keys": keys }).to_string().as_bytes()).unwrap()
}

fn claims() -> Value {
    json!({"iss": ISSUER, "aud": AUDIENCE, "sub": "248289761001", "iat": NOW - 10, "exp": NOW + 3600})
}

fn claims_with(change: &Value) -> Value {
    let mut claims = claims();
    merge(&mut claims, change);
    claims
}

fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(NOW)
}

fn rules<'a>(issuers: &'a [String], audiences: &'a [String]) -> Rules<'a> {
    Rules {
        issuers,
        audiences,
        only_for_us: false,
        nonce: None,
        most_life: None,
        most_age: None,
        skew: Duration::from_secs(30),
        now: now(),
    }
}

fn judge_with(token: &str, keys: &KeySet, algorithms: &[Algorithm], rules: &Rules<'_>) -> Result<Claims, BadToken> {
    let token = Compact::parse(token)?;
    keys.verify(&token, algorithms)?;
    Claims::judge(token, rules)
}

fn judge(token: &str, keys: &KeySet) -> Result<Claims, BadToken> {
    let (issuers, audiences) = ([ISSUER.to_owned()], [AUDIENCE.to_owned()]);
    judge_with(token, keys, &Algorithm::DEFAULT, &rules(&issuers, &audiences))
}

fn verdict(token: &str, keys: &KeySet) -> Option<BadToken> {
    judge(token, keys).err()
}

#[test]
fn a_good_token_is_taken_with_either_default_algorithm() {
    for forge in [Forge::rsa("a"), Forge::ec("a")] {
        let keys = key_set(&[&forge]);
        let claims = judge(&forge.sign(&claims()), &keys).ok().unwrap();
        assert_eq!(claims.subject, "248289761001");
        assert_eq!(claims.expires, UNIX_EPOCH + Duration::from_secs(NOW + 3600));
    }
}

#[test]
fn alg_none_in_any_case_is_refused() {
    let forge = Forge::ec("a");
    let keys = key_set(&[&forge]);
    for name in ["none", "None", "NONE", "nOnE", ""] {
        let header = json!({"alg": name, "kid": "a"}).to_string();
        let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims().to_string()));
        assert!(verdict(&format!("{signed}."), &keys).is_some(), "without signature");
        assert_eq!(verdict(&format!("{signed}.AAAA"), &keys), Some(BadToken::WrongAlgorithm), "{name}");
    }
}

#[test]
fn an_hmac_with_the_public_key_as_secret_is_refused() {
    let forge = Forge::rsa("a");
    let keys = key_set(&[&forge]);
    for secret in [forge.public_der(), forge.jwk().to_string().into_bytes(), forge.jwk()["n"].to_string().into_bytes()]
    {
        let header = json!({"alg": "HS256", "kid": "a", "typ": "JWT"}).to_string();
        let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims().to_string()));
        let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, &secret);
        let tag = URL_SAFE_NO_PAD.encode(aws_lc_rs::hmac::sign(&key, signed.as_bytes()));
        assert_eq!(verdict(&format!("{signed}.{tag}"), &keys), Some(BadToken::WrongAlgorithm));
    }
    assert_eq!(Algorithm::parse("HS256"), None, "it cannot even be configured");
}

#[test]
fn the_token_does_not_choose_among_algorithms_that_are_not_configured() {
    let forge = Forge::ec("a");
    let keys = key_set(&[&forge]);
    let (issuers, audiences) = ([ISSUER.to_owned()], [AUDIENCE.to_owned()]);
    let verdict = judge_with(&forge.sign(&claims()), &keys, &[Algorithm::Rs256], &rules(&issuers, &audiences));
    assert_eq!(verdict.err(), Some(BadToken::WrongAlgorithm));
}

#[test]
fn a_key_of_another_family_under_the_same_kid_is_refused() {
    let (rsa, ec) = (Forge::rsa("a"), Forge::ec("a"));
    // The token says RS256 and names a key that is an EC key.
    assert_eq!(verdict(&rsa.sign(&claims()), &key_set(&[&ec])), Some(BadToken::WrongAlgorithm));
}

#[test]
fn a_key_bound_to_one_algorithm_verifies_no_other() {
    let forge = Forge::rsa("a");
    let keys = json!({"keys": [forge.jwk_with(&json!({"alg": "RS512"}))]}).to_string();
    let keys = KeySet::parse(keys.as_bytes()).unwrap();
    assert_eq!(verdict(&forge.sign(&claims()), &keys), Some(BadToken::WrongAlgorithm));
}

#[test]
fn a_kid_of_another_issuer_is_another_key() {
    let (ours, theirs) = (Forge::ec("2026"), Forge::ec("2026"));
    assert_eq!(verdict(&theirs.sign(&claims()), &key_set(&[&ours])), Some(BadToken::WrongSignature));
    let unknown = Forge::ec("2027");
    assert_eq!(verdict(&unknown.sign(&claims()), &key_set(&[&ours])), Some(BadToken::UnknownKey));
}

#[test]
fn a_kid_must_be_a_text_and_may_be_absent_only_when_one_key_fits() {
    let (one, two, rsa) = (Forge::ec("a"), Forge::ec("b"), Forge::rsa("c"));
    let without = one.sign_with(&json!({"kid": null}), &claims());
    assert_eq!(verdict(&without, &key_set(&[&one, &rsa])), None);
    assert_eq!(verdict(&without, &key_set(&[&one, &two])), Some(BadToken::UnknownKey));
    for kid in [json!(7), json!(["a"]), json!({"a": 1}), json!(""), json!("x".repeat(600))] {
        let token = one.sign_with(&json!({ "kid": kid }), &claims());
        assert_eq!(verdict(&token, &key_set(&[&one])), Some(BadToken::UnknownKey), "{kid}");
    }
    for kid in ["../../dev/null", "a' OR 1=1", "a\u{0}"] {
        let token = one.sign_with(&json!({ "kid": kid }), &claims());
        assert_eq!(verdict(&token, &key_set(&[&one])), Some(BadToken::UnknownKey), "{kid}");
    }
}

#[test]
fn keys_that_the_token_brings_along_are_not_used() {
    let (ours, theirs) = (Forge::ec("a"), Forge::ec("a"));
    let keys = key_set(&[&ours]);
    for header in [
        json!({"jwk": theirs.jwk()}),
        json!({"jku": "https://evil.example/keys"}),
        json!({"x5u": "https://evil.example/cert"}),
        json!({"x5c": ["AAAA"]}),
    ] {
        assert_eq!(verdict(&theirs.sign_with(&header, &claims()), &keys), Some(BadToken::WrongSignature), "{header}");
    }
}

#[test]
fn any_critical_extension_is_refused() {
    let forge = Forge::ec("a");
    let keys = key_set(&[&forge]);
    for header in [
        json!({"crit": ["exp"], "exp": NOW}),
        json!({"crit": []}),
        json!({"crit": "b64"}),
        json!({"crit": ["b64"], "b64": false}),
        json!({"b64": false}),
    ] {
        assert_eq!(verdict(&forge.sign_with(&header, &claims()), &keys), Some(BadToken::Critical), "{header}");
    }
}

#[test]
fn tokens_made_for_other_uses_are_refused() {
    let forge = Forge::ec("a");
    let keys = key_set(&[&forge]);
    for kind in ["logout+jwt", "dpop+jwt", "secevent+jwt", "application/logout+jwt", "JOSE", "", "jwt "] {
        let token = forge.sign_with(&json!({ "typ": kind }), &claims());
        assert_eq!(verdict(&token, &keys), Some(BadToken::WrongType), "{kind}");
    }
    for kind in [json!("JWT"), json!("jwt"), json!("at+jwt"), json!("application/at+jwt"), json!(null)] {
        assert_eq!(verdict(&forge.sign_with(&json!({ "typ": kind }), &claims()), &keys), None, "{kind}");
    }
    assert_eq!(verdict(&forge.sign_with(&json!({"typ": 1}), &claims()), &keys), Some(BadToken::WrongType));
    assert_eq!(verdict(&forge.sign_with(&json!({"cty": "JWT"}), &claims()), &keys), Some(BadToken::WrongType));
    let bound = claims_with(&json!({"cnf": {"jkt": "x"}}));
    assert_eq!(verdict(&forge.sign(&bound), &keys), Some(BadToken::Bound));
}

#[test]
fn times_are_numbers_and_nothing_else() {
    let forge = Forge::ec("a");
    let keys = key_set(&[&forge]);
    for name in ["exp", "iat", "nbf"] {
        for wrong in [json!("1900000000"), json!(true), json!([1]), json!({}), json!(-1), json!(1e300)] {
            let token = forge.sign(&claims_with(&json!({ name: wrong })));
            assert_eq!(verdict(&token, &keys), Some(BadToken::IllFormed(name)), "{name} {wrong}");
        }
    }
    // `null` is not absent either.
    let raw = claims().to_string().replace("\"sub\"", "\"nbf\":null,\"sub\"");
    let token = forge.sign_bytes(json!({"alg": "ES256", "kid": "a"}).to_string().as_bytes(), raw.as_bytes());
    assert_eq!(verdict(&token, &keys), Some(BadToken::IllFormed("nbf")));
    for name in ["exp", "iat"] {
        let token = forge.sign(&claims_with(&json!({ name: null })));
        assert_eq!(verdict(&token, &keys), Some(BadToken::Lacks(name)));
    }
    let fraction = forge.sign(&claims_with(&json!({"exp": 1_800_000_000.5, "iat": 1_799_999_999.5})));
    assert_eq!(verdict(&fraction, &keys), None);
}

#[test]
fn a_token_counts_from_its_time_to_its_time_with_30_seconds_of_skew() {
    let forge = Forge::ec("a");
    let keys = key_set(&[&forge]);
    for (change, expected) in [
        (json!({"exp": NOW - 29}), None),
        (json!({"exp": NOW - 30}), Some(BadToken::Expired(NOW - 30))),
        (json!({"exp": NOW - 3600}), Some(BadToken::Expired(NOW - 3600))),
        (json!({"exp": 0}), Some(BadToken::Expired(0))),
        (json!({"nbf": NOW + 30}), None),
        (json!({"nbf": NOW + 31}), Some(BadToken::NotYet { from: NOW + 31, now: NOW })),
        (json!({"iat": NOW + 30}), None),
        (json!({"iat": NOW + 31}), Some(BadToken::NotYet { from: NOW + 31, now: NOW })),
    ] {
        assert_eq!(verdict(&forge.sign(&claims_with(&change)), &keys), expected, "{change}");
    }
}

#[test]
fn the_issuer_is_one_text_and_equal_byte_for_byte() {
    let forge = Forge::ec("a");
    let keys = key_set(&[&forge]);
    for iss in [
        json!([ISSUER]),
        json!([ISSUER, "https://evil.example"]),
        json!("https://idp.example.com/"),
        json!("https://IDP.example.com"),
        json!("http://idp.example.com"),
        json!("idp.example.com"),
        json!("https://idp.example.com.evil.example"),
        json!({"iss": ISSUER}),
        json!(null),
    ] {
        let token = forge.sign(&claims_with(&json!({ "iss": iss })));
        assert_eq!(verdict(&token, &keys), Some(BadToken::UnknownIssuer), "{iss}");
    }
}

#[test]
fn the_audience_is_compared_whole() {
    let forge = Forge::ec("a");
    let keys = key_set(&[&forge]);
    for (aud, expected) in [
        (json!(AUDIENCE), None),
        (json!([AUDIENCE]), None),
        (json!(["x", AUDIENCE]), None),
        (json!("https://mlflow.example.com/"), Some(BadToken::WrongAudience)),
        (json!("https://mlflow.example.com.evil.example"), Some(BadToken::WrongAudience)),
        (json!("https://mlflow.example"), Some(BadToken::WrongAudience)),
        (json!("*"), Some(BadToken::WrongAudience)),
        (json!(""), Some(BadToken::WrongAudience)),
        (json!([]), Some(BadToken::WrongAudience)),
        (json!([AUDIENCE, 1]), Some(BadToken::IllFormed("aud"))),
        (json!([[AUDIENCE]]), Some(BadToken::IllFormed("aud"))),
        (json!({"a": AUDIENCE}), Some(BadToken::IllFormed("aud"))),
        (json!(1), Some(BadToken::IllFormed("aud"))),
        (json!(null), Some(BadToken::Lacks("aud"))),
    ] {
        assert_eq!(verdict(&forge.sign(&claims_with(&json!({ "aud": aud }))), &keys), expected, "{aud}");
    }
}

#[test]
fn a_token_for_a_login_is_for_us_alone() {
    let forge = Forge::ec("a");
    let keys = key_set(&[&forge]);
    let (issuers, audiences) = ([ISSUER.to_owned()], [AUDIENCE.to_owned()]);
    let rules = Rules { only_for_us: true, ..rules(&issuers, &audiences) };
    for (change, expected) in [
        (json!({}), None),
        (json!({"azp": AUDIENCE}), None),
        (json!({"aud": [AUDIENCE, "other"], "azp": AUDIENCE}), None),
        (json!({"aud": [AUDIENCE, "other"]}), Some(BadToken::WrongParty)),
        (json!({"azp": "other"}), Some(BadToken::WrongParty)),
        (json!({"azp": 1}), Some(BadToken::WrongParty)),
        (json!({"aud": "other", "azp": AUDIENCE}), Some(BadToken::WrongAudience)),
    ] {
        let token = forge.sign(&claims_with(&change));
        assert_eq!(judge_with(&token, &keys, &Algorithm::DEFAULT, &rules).err(), expected, "{change}");
    }
}

#[test]
fn a_nonce_of_another_login_is_refused() {
    let forge = Forge::ec("a");
    let keys = key_set(&[&forge]);
    let (issuers, audiences) = ([ISSUER.to_owned()], [AUDIENCE.to_owned()]);
    let rules = Rules { nonce: Some("right"), ..rules(&issuers, &audiences) };
    for (nonce, expected) in [
        (json!("right"), None),
        (json!("wrong"), Some(BadToken::WrongNonce)),
        (json!("righ"), Some(BadToken::WrongNonce)),
        (json!(["right"]), Some(BadToken::WrongNonce)),
        (json!(null), Some(BadToken::WrongNonce)),
    ] {
        let token = forge.sign(&claims_with(&json!({ "nonce": nonce })));
        assert_eq!(judge_with(&token, &keys, &Algorithm::DEFAULT, &rules).err(), expected, "{nonce}");
    }
}

#[test]
fn a_token_that_lives_too_long_is_refused_where_life_is_bounded() {
    let forge = Forge::ec("a");
    let keys = key_set(&[&forge]);
    let (issuers, audiences) = ([ISSUER.to_owned()], [AUDIENCE.to_owned()]);
    let minutes = |n: u64| Some(Duration::from_secs(60 * n));
    let short = Rules { most_life: minutes(11), ..rules(&issuers, &audiences) };
    let fresh = Rules { most_age: minutes(10), ..rules(&issuers, &audiences) };
    let check = |change: Value, rules: &Rules<'_>| {
        judge_with(&forge.sign(&claims_with(&change)), &keys, &Algorithm::DEFAULT, rules).err()
    };
    assert_eq!(check(json!({"iat": NOW, "exp": NOW + 660}), &short), None);
    assert_eq!(check(json!({"iat": NOW, "exp": NOW + 661}), &short), Some(BadToken::LivesTooLong));
    assert_eq!(check(json!({"iat": NOW - 630}), &fresh), None);
    assert_eq!(check(json!({"iat": NOW - 631}), &fresh), Some(BadToken::LivesTooLong));
}

#[test]
fn a_subject_is_a_text_of_1_to_255_bytes() {
    let forge = Forge::ec("a");
    let keys = key_set(&[&forge]);
    for (sub, expected) in [
        (json!("x".repeat(255)), None),
        (json!("x".repeat(256)), Some(BadToken::IllFormed("sub"))),
        (json!(""), Some(BadToken::IllFormed("sub"))),
        (json!(12345), Some(BadToken::IllFormed("sub"))),
        (json!(null), Some(BadToken::Lacks("sub"))),
    ] {
        assert_eq!(verdict(&forge.sign(&claims_with(&json!({ "sub": sub }))), &keys), expected, "{sub}");
    }
}

#[test]
fn repeated_members_are_refused_wherever_they_stand() {
    let forge = Forge::ec("a");
    let keys = key_set(&[&forge]);
    let header = json!({"alg": "ES256", "kid": "a"}).to_string();
    let twice = |text: &str, member: &str| text.replacen('{', &format!("{{{member},"), 1);
    for (header, claims) in [
        (twice(&header, "\"alg\":\"none\""), claims().to_string()),
        (twice(&header, "\"k\\u0069d\":\"b\""), claims().to_string()),
        (header.clone(), twice(&claims().to_string(), "\"sub\":\"admin\"")),
        (header.clone(), twice(&claims().to_string(), "\"e\\u0078p\":9999999999")),
        (header.clone(), twice(&claims().to_string(), "\"x\":{\"a\":1,\"a\":1}")),
        (header.clone(), format!("{}{}", claims(), claims())),
        (header.clone(), format!("[{}]", claims())),
        (header.clone(), format!("{}x", claims())),
        (header, "\"text\"".to_owned()),
    ] {
        let token = forge.sign_bytes(header.as_bytes(), claims.as_bytes());
        assert_eq!(verdict(&token, &keys), Some(BadToken::NotJson), "{header} {claims}");
    }
}

#[test]
fn base64_has_one_spelling() {
    let forge = Forge::ec("a");
    let keys = key_set(&[&forge]);
    // Claims whose encoding needs padding in the padded alphabet.
    let mut all = claims();
    while all.to_string().len() % 3 != 1 {
        all["pad"] = format!("{}x", all["pad"].as_str().unwrap_or_default()).into();
    }
    let token = forge.sign(&all);
    assert_eq!(verdict(&token, &keys), None);
    let (head, rest) = token.split_once('.').unwrap();
    let (payload, signature) = rest.split_once('.').unwrap();
    let padded = URL_SAFE.encode(all.to_string());
    assert!(padded.ends_with('='));
    let resign = |signed: String| {
        let signature = URL_SAFE_NO_PAD.encode(forge.signature(signed.as_bytes()));
        format!("{signed}.{signature}")
    };
    let mut last = payload.to_owned();
    let end = last.pop().unwrap();
    last.push(char::from(u8::try_from(u32::from(end)).unwrap() + 1));
    for wrong in [
        resign(format!("{head}.{padded}")),
        resign(format!("{head}.{last}")),
        resign(format!("{head}.{payload} ")),
        resign(format!("{head}.{payload}\n")),
        format!("{token}="),
        format!("{token} "),
        format!(" {token}"),
        format!("{head}.{payload}.{signature}.{signature}"),
        format!("{head}.{payload}"),
        format!("{head}..{signature}"),
        head.to_owned(),
        "..".to_owned(),
        String::new(),
        token.replace('.', "+"),
    ] {
        assert!(verdict(&wrong, &keys).is_some(), "{wrong}");
    }
}

#[test]
fn a_changed_byte_anywhere_is_noticed() {
    let forge = Forge::ec("a");
    let keys = key_set(&[&forge]);
    let token = forge.sign(&claims());
    for at in 0..token.len() {
        let mut bytes = token.clone().into_bytes();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(bytes).unwrap();
        assert!(verdict(&changed, &keys).is_some(), "byte {at}");
    }
}

#[test]
fn a_token_of_more_than_16_kib_is_not_read() {
    let forge = Forge::ec("a");
    let keys = key_set(&[&forge]);
    let long = forge.sign(&claims_with(&json!({"x": "y".repeat(MOST_BYTES)})));
    assert_eq!(verdict(&long, &keys), Some(BadToken::TooLong));
    let header = forge.sign_with(&json!({"x": "y".repeat(1_000_000)}), &claims());
    assert_eq!(verdict(&header, &keys), Some(BadToken::TooLong));
    let fitting = forge.sign(&claims_with(&json!({"x": "y".repeat(8000)})));
    assert_eq!(verdict(&fitting, &keys), None);
}

#[test]
fn a_mail_address_counts_when_it_is_one_and_is_verified() {
    let forge = Forge::ec("a");
    let keys = key_set(&[&forge]);
    let email = |change: Value, unverified_too: bool| {
        judge(&forge.sign(&claims_with(&change)), &keys).ok().unwrap().email(unverified_too)
    };
    let verified = |address: &str| email(json!({"email": address, "email_verified": true}), false);
    assert_eq!(verified("Alice@Example.COM").as_deref(), Some("alice@example.com"));
    for address in [
        "alice",
        "@example.com",
        "alice@",
        "a@b@example.com",
        "al ice@example.com",
        "alice@example.com\n",
        "alice@ex\u{430}mple.com",
        "\u{0}@example.com",
        "",
    ] {
        assert_eq!(verified(address), None, "{address:?}");
    }
    for word in [json!("true"), json!(1), json!(false), json!(null), json!(["true"])] {
        let change = json!({"email": "alice@example.com", "email_verified": word});
        assert_eq!(email(change.clone(), false), None, "{word}");
        assert!(email(change, true).is_some());
    }
    assert_eq!(email(json!({"email": ["a@b.example"], "email_verified": true}), true), None);
}
