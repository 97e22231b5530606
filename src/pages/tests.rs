use super::*;

fn refusal<'a>(status: StatusCode, message: &'a str, user: Option<&'a str>) -> RefusalPage<'a> {
    RefusalPage {
        status,
        message,
        call: Some("GetExperiment"),
        user,
        session: user.is_some(),
        request_id: "0190",
        ask: None,
    }
}

fn body(answer: Response<Body>) -> String {
    match answer.into_body() {
        Body::Full(bytes) => String::from_utf8(bytes.to_vec()).unwrap(),
        Body::Empty | Body::Incoming(_) | Body::Boxed(_) => String::new(),
    }
}

#[test]
fn a_refusal_page_says_who_what_why_and_which_request() {
    let url = Url::parse("https://mlflow.example.com").unwrap();
    let page = refusal(StatusCode::FORBIDDEN, "this needs READ", Some("alice@example.com"));
    let answer = refusal_page(&url, &page);
    assert_eq!(answer.status(), StatusCode::FORBIDDEN);
    let text = body(answer);
    for part in ["alice@example.com", "GetExperiment", "this needs READ", "0190", "mlflow.example.com", "somebody else"]
    {
        assert!(text.contains(part), "{part} is missing");
    }
}

#[test]
fn what_a_caller_writes_is_escaped() {
    let url = Url::parse("https://mlflow.example.com").unwrap();
    let evil = "<script>alert(1)</script>\"'";
    let text = body(refusal_page(&url, &refusal(StatusCode::BAD_REQUEST, evil, Some(evil))));
    assert!(!text.contains("<script>alert"));
    assert!(text.contains("&#60;script&#62;") || text.contains("&lt;script&gt;"));
}

#[test]
fn every_page_of_ours_forbids_framing_caching_sniffing_and_foreign_content() {
    let url = Url::parse("https://mlflow.example.com").unwrap();
    for answer in [
        refusal_page(&url, &refusal(StatusCode::FORBIDDEN, "no", None)),
        to_login("/", None),
        text(StatusCode::OK, "application/json", Vec::new()),
    ] {
        let headers = answer.headers();
        let policy = headers["content-security-policy"].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none';"));
        assert!(policy.contains("frame-ancestors 'none'"));
        assert!(!policy.contains("unsafe"));
        assert_eq!(headers["cache-control"], "no-store");
        assert_eq!(headers["x-content-type-options"], "nosniff");
        assert_eq!(headers["referrer-policy"], "no-referrer");
    }
}

#[test]
fn the_way_to_the_login_keeps_path_and_query_and_nothing_foreign() {
    let to = |path: &str, query: Option<&str>| to_login(path, query).headers()[LOCATION].to_str().unwrap().to_owned();
    assert_eq!(to("/", None), "/trackgate/login?return_to=%2F");
    assert_eq!(to("/get", Some("a=1&b=%2F")), "/trackgate/login?return_to=%2Fget%3Fa%3D1%26b%3D%252F");
    assert_eq!(to("//evil.example", None), "/trackgate/login?return_to=%2F");
}

/// The colours of the style, by day or by night.
fn colours(night: bool) -> std::collections::HashMap<&'static str, [f64; 3]> {
    let style = include_str!("assets/style.css");
    let (day, rest) = style.split_once("@media (prefers-color-scheme: dark)").unwrap();
    let lines = if night { rest.split("\n}").next().unwrap() } else { day };
    let colour = |text: &str| [1, 3, 5].map(|at| f64::from(u8::from_str_radix(&text[at..at + 2], 16).unwrap()) / 255.0);
    lines
        .lines()
        .filter_map(|line| line.trim().strip_prefix("--")?.strip_suffix(';')?.split_once(": "))
        .filter(|(_, value)| value.starts_with('#'))
        .map(|(name, value)| (name, colour(value)))
        .collect()
}

/// WCAG 2.2, "contrast ratio".
fn contrast(one: [f64; 3], other: [f64; 3]) -> f64 {
    let light = |colour: [f64; 3]| {
        let [r, g, b] =
            colour.map(|part| if part <= 0.04045 { part / 12.92 } else { ((part + 0.055) / 1.055).powf(2.4) });
        0.2126 * r + 0.7152 * g + 0.0722 * b
    };
    let (one, other) = (light(one), light(other));
    (one.max(other) + 0.05) / (one.min(other) + 0.05)
}

#[test]
fn every_text_is_readable_by_day_and_by_night() {
    for night in [false, true] {
        let colours = colours(night);
        for (text, ground) in [
            ("ink", "card"),
            ("ink", "paper"),
            ("ink", "tint"),
            ("soft", "card"),
            ("soft", "paper"),
            ("soft", "tint"),
            ("link", "card"),
            ("link", "tint"),
            ("brand-ink", "brand"),
            ("brand-ink", "brand-deep"),
            ("bad-ink", "bad"),
            ("warn", "card"),
        ] {
            let found = contrast(colours[text], colours[ground]);
            assert!(found >= 4.5, "{text} on {ground}, night {night}: {found:.2}");
        }
        let found = contrast(colours["field"], colours["card"]);
        assert!(found >= 3.0, "the edge of a field, night {night}: {found:.2}");
    }
}
