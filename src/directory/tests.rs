//! The room as a whole, against a look-alike of Google.

use super::lookalike::{CUSTOMER, Endpoint, Google, Lie};
use super::*;

fn name(text: &str) -> UserName {
    UserName::parse(text).unwrap()
}

/// Long enough that no test ends by it, unless it means to.
const PATIENT: Duration = Duration::from_secs(30);

fn settings(google: &Google) -> Settings {
    let url: Url = google.url.parse().unwrap();
    let mut settings = Settings::new(vec!["example.com".to_owned()], url.clone(), url);
    settings.timeout = PATIENT;
    settings
}

fn clock() -> Clock {
    Clock::set_to(std::time::SystemTime::now())
}

/// As a request does it.
async fn groups(directory: &Arc<Directory>, person: &str) -> Result<Vec<String>, &'static str> {
    let groups = match directory.known(&name(person)) {
        Ok(Known::Groups(groups)) => groups,
        Ok(Known::Soon(asking)) => directory.wait(asking).await.map_err(|fault| fault.code())?,
        Err(fault) => return Err(fault.code()),
    };
    Ok(groups.iter().map(ToString::to_string).collect())
}

/// What is known without waiting.
fn at_hand(directory: &Arc<Directory>, person: &str) -> Option<Vec<String>> {
    match directory.known(&name(person)) {
        Ok(Known::Groups(groups)) => Some(groups.iter().map(ToString::to_string).collect()),
        Ok(Known::Soon(_)) | Err(_) => None,
    }
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let bounded = tokio::time::timeout(PATIENT, async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    });
    bounded.await.unwrap_or_else(|_| panic!("{what}: it never happened"));
}

fn google() -> Google {
    let google = Google::start();
    google.add("Data-Science@example.com", "alice@example.com");
    google.add("everyone-in-ml@example.com", "Data-Science@example.com");
    google
}

const ALICE: &str = "alice@example.com";
const BOTH: [&str; 2] = ["data-science@example.com", "everyone-in-ml@example.com"];

#[tokio::test]
async fn nested_groups_count_by_their_addresses_in_lower_case() {
    let google = google();
    let directory = Directory::new(settings(&google), clock()).unwrap();
    assert_eq!(groups(&directory, ALICE).await.unwrap(), BOTH);
    assert_eq!(groups(&directory, "nobody@example.com").await.unwrap(), [""; 0], "an empty object is an answer");
    assert_eq!(google.members(), [ALICE, "nobody@example.com"]);
    assert_eq!(google.asked(Endpoint::Metadata), 1, "one token for both");
}

#[tokio::test]
async fn a_key_file_is_as_good_as_the_metadata_server() {
    let google = google();
    let path = std::env::temp_dir().join(format!("trackgate-google-key-{}", uuid::Uuid::new_v4()));
    std::fs::write(&path, google.key_file().to_string()).unwrap();
    let mut settings = settings(&google);
    settings.key_file = Some(path.clone());
    let directory = Directory::new(settings.clone(), Clock::System).unwrap();
    directory.try_credentials().await.unwrap();
    assert_eq!(groups(&directory, ALICE).await.unwrap(), BOTH);
    assert_eq!((google.asked(Endpoint::Metadata), google.asked(Endpoint::Token)), (0, 1));

    // Another account's key.
    let stranger = Google::start();
    let mut file = stranger.key_file();
    file["token_uri"] = format!("{}/token", google.url).into();
    std::fs::write(&path, file.to_string()).unwrap();
    let refused = Directory::new(settings.clone(), Clock::System).unwrap().try_credentials().await.unwrap_err();
    let told = refused.to_string();
    assert!(told.contains("invalid_grant Invalid JWT Signature."), "{told}");

    file["token_uri"] = "http://oauth2.example.com/token".into();
    std::fs::write(&path, file.to_string()).unwrap();
    assert!(matches!(Directory::new(settings, Clock::System), Err(SetupFault::Key(_))), "a key goes over TLS alone");
    std::fs::remove_file(path).unwrap();
}

#[tokio::test]
async fn pages_are_read_to_the_end_and_an_endless_list_is_refused() {
    let google = Google::start();
    for number in 0..23 {
        google.add(&format!("group-{number:02}@example.com"), ALICE);
    }
    google.page_by(7);
    let directory = Directory::new(settings(&google), clock()).unwrap();
    let found = groups(&directory, ALICE).await.unwrap();
    assert_eq!((found.len(), found[22].as_str()), (23, "group-22@example.com"));
    assert_eq!(google.asked(Endpoint::Search), 4);
    google.lie(Endpoint::Search, Lie::Endless);
    assert_eq!(groups(&directory, "bob@example.com").await, Err("too-many"));
    assert!(google.asked(Endpoint::Search) < 40, "the pages are bounded");
}

#[tokio::test]
async fn more_groups_than_are_taken_are_a_refusal_and_never_a_part_of_them() {
    let google = Google::start();
    for number in 0..2001 {
        google.add(&format!("group-{number}@example.com"), ALICE);
    }
    let mut settings = settings(&google);
    let directory = Directory::new(settings.clone(), clock()).unwrap();
    assert_eq!(groups(&directory, ALICE).await, Err("too-many"));
    // Those that are not taken do not count.
    settings.groups_allowed = vec!["group-7@example.com".to_owned()];
    let directory = Directory::new(settings, clock()).unwrap();
    assert_eq!(groups(&directory, ALICE).await.unwrap(), ["group-7@example.com"]);
}

#[tokio::test]
async fn a_page_that_is_too_large_is_refused() {
    let google = google();
    let mut settings = settings(&google);
    settings.fetch.most = 100;
    google.lie(Endpoint::Search, Lie::Says(200, "application/json", format!("{{\"x\":\"{}\"}}", "x".repeat(200))));
    let directory = Directory::new(settings, clock()).unwrap();
    assert_eq!(groups(&directory, ALICE).await, Err("not-reached"));
}

#[tokio::test]
async fn prefix_list_label_and_customer_choose_the_groups() {
    let google = google();
    google.secure("Data-Science@example.com");
    google.map("everyone-in-ml@example.com");
    google.map("from-ldap");
    let plain = settings(&google);
    let with = |change: fn(&mut Settings)| {
        let mut settings = plain.clone();
        change(&mut settings);
        Directory::new(settings, clock()).unwrap()
    };
    let found = groups(&with(|settings| settings.groups_prefix = "google:".to_owned()), ALICE).await.unwrap();
    assert_eq!(found, BOTH.map(|group| format!("google:{group}")), "a mapped group is none of Google's");
    let found = groups(&with(|settings| settings.groups_allowed = vec![BOTH[1].to_owned()]), ALICE).await.unwrap();
    assert_eq!(found, [BOTH[1]]);
    let found = groups(&with(|settings| settings.security_groups_only = true), ALICE).await.unwrap();
    assert_eq!(found, [BOTH[0]]);
    let found = groups(&with(|settings| settings.customer = Some(CUSTOMER.to_owned())), ALICE).await.unwrap();
    assert_eq!(found, BOTH);
    let refused = groups(&with(|settings| settings.customer = Some("C1".to_owned())), ALICE).await;
    assert_eq!(refused, Err("permission-denied"));
}

#[tokio::test]
async fn an_address_cannot_change_the_question() {
    let google = google();
    google.add("irish@example.com", "o'brien@example.com");
    let directory = Directory::new(settings(&google), clock()).unwrap();
    assert_eq!(groups(&directory, "o'brien@example.com").await.unwrap(), ["irish@example.com"]);
    let attacks = [
        "x'||member_key_id=='alice@example.com",
        "x'&&'cloudidentity.googleapis.com/groups.security'in",
        r"x\'||member_key_id==\'alice@example.com",
        r"x\\'||true||'@example.com",
        "alice@example.com'/*@example.com",
        "x\"||true||\"@example.com",
        "x&pageToken=1&query=y@example.com",
        "x%27||true||%27@example.com",
    ];
    for attack in attacks {
        assert_eq!(groups(&directory, attack).await.unwrap(), [""; 0], "{attack}");
    }
    assert_eq!(google.members()[1..], attacks, "each was asked for as the one name it is");
}

#[tokio::test]
async fn who_is_looked_up_is_said_by_the_whole_domain() {
    let google = google();
    let mut settings = settings(&google);
    settings.domains.push("demo.iam.gserviceaccount.com".to_owned());
    let directory = Directory::new(settings, clock()).unwrap();
    for (person, spoken_of) in [
        (ALICE, true),
        ("ci@demo.iam.gserviceaccount.com", true),
        ("ci@other.iam.gserviceaccount.com", false),
        ("alice@sub.example.com", false),
        ("alice@notexample.com", false),
        ("alice@example.com@evil.example", false),
        ("alice@example.com.", false),
        ("248289761001", false),
        ("example.com", false),
    ] {
        assert_eq!(directory.speaks_of(&name(person)), spoken_of, "{person}");
    }
}

// --- time ---

#[tokio::test]
async fn many_requests_of_one_person_are_one_question() {
    let google = google();
    google.lie(Endpoint::Search, Lie::Silent);
    let directory = Directory::new(settings(&google), clock()).unwrap();
    let asking: Vec<_> = (0..50)
        .map(|_| {
            let directory = Arc::clone(&directory);
            tokio::spawn(async move { groups(&directory, ALICE).await })
        })
        .collect();
    until("the question", || google.asked(Endpoint::Search) == 1).await;
    google.repent(Endpoint::Search);
    for asked in asking {
        assert_eq!(asked.await.unwrap().unwrap(), BOTH);
    }
    assert_eq!((google.asked(Endpoint::Search), google.asked(Endpoint::Metadata)), (1, 1));
}

#[tokio::test]
async fn an_answer_that_grows_old_is_renewed_behind_the_requests_that_use_it() {
    let google = google();
    let clock = clock();
    let directory = Directory::new(settings(&google), clock.clone()).unwrap();
    assert_eq!(groups(&directory, ALICE).await.unwrap(), BOTH);
    google.remove("Data-Science@example.com", ALICE);
    clock.advance(Duration::from_mins(2));
    assert_eq!(at_hand(&directory, ALICE).unwrap(), BOTH);
    assert_eq!(google.asked(Endpoint::Search), 1, "it is young");
    clock.advance(Duration::from_mins(2));
    assert_eq!(at_hand(&directory, ALICE).unwrap(), BOTH, "nobody waits");
    until("the new answer", || at_hand(&directory, ALICE) == Some(Vec::new())).await;
    assert_eq!(google.asked(Endpoint::Search), 2);
}

#[tokio::test]
async fn a_removed_member_who_comes_back_late_has_lost_the_group() {
    let google = google();
    let clock = clock();
    let directory = Directory::new(settings(&google), clock.clone()).unwrap();
    assert_eq!(groups(&directory, ALICE).await.unwrap(), BOTH);
    google.remove("Data-Science@example.com", ALICE);
    clock.advance(Duration::from_mins(5));
    assert_eq!(at_hand(&directory, ALICE), None, "what is not fresh waits for the answer");
    assert_eq!(groups(&directory, ALICE).await.unwrap(), [""; 0]);
}

/// Else whoever was looked up while the clock was ahead would keep the groups of that hour until it is that late again.
#[tokio::test]
async fn what_was_asked_by_a_clock_that_was_ahead_is_asked_again() {
    let google = google();
    let clock = clock();
    let directory = Directory::new(settings(&google), clock.clone()).unwrap();
    clock.advance(Duration::from_hours(24 * 365));
    assert_eq!(groups(&directory, ALICE).await.unwrap(), BOTH);
    google.lie(Endpoint::Search, Lie::Throttles("20"));
    assert_eq!(groups(&directory, "bob@example.com").await, Err("throttled"));
    google.repent(Endpoint::Search);
    google.remove("Data-Science@example.com", ALICE);
    clock.turn_back(Duration::from_hours(24 * 365));
    assert_eq!(groups(&directory, ALICE).await.unwrap(), [""; 0]);
    assert_eq!(groups(&directory, "bob@example.com").await.unwrap(), [""; 0], "nor is Google left alone until then");
}

#[tokio::test]
async fn the_last_answer_counts_while_google_is_away_and_then_no_more() {
    let faults = [
        (Lie::Refuses(403, "PERMISSION_DENIED"), "permission-denied"),
        (Lie::Refuses(500, "INTERNAL"), "status"),
        (Lie::Refuses(503, "UNAVAILABLE"), "status"),
        (Lie::Refuses(404, "NOT_FOUND"), "status"),
        (Lie::Refuses(401, "UNAUTHENTICATED"), "unauthenticated"),
        (Lie::Throttles("1"), "throttled"),
        (Lie::Says(200, "application/json", "{\"memberships\": [".to_owned()), "unreadable"),
        (Lie::Says(200, "application/json", "[]".to_owned()), "unreadable"),
        (Lie::Says(200, "text/html", "<html>".to_owned()), "unreadable"),
        (Lie::Says(302, "text/html", String::new()), "status"),
    ];
    for (lie, code) in faults {
        let google = google();
        let clock = clock();
        let directory = Directory::new(settings(&google), clock.clone()).unwrap();
        assert_eq!(groups(&directory, ALICE).await.unwrap(), BOTH, "{code}");
        google.lie(Endpoint::Search, lie.clone());
        clock.advance(Duration::from_mins(6));
        assert_eq!(groups(&directory, ALICE).await.unwrap(), BOTH, "{code}: who waits for nothing has what was known");
        assert_eq!(at_hand(&directory, ALICE).unwrap(), BOTH, "{code}: and nobody waits while it lasts");
        assert_eq!(groups(&directory, "bob@example.com").await, Err(code), "who was never known is refused");
        clock.advance(Duration::from_mins(53));
        assert_eq!(groups(&directory, ALICE).await.unwrap(), BOTH, "{code}");
        clock.advance(Duration::from_mins(1));
        let refused = groups(&directory, ALICE).await;
        assert_eq!(refused, Err(code), "after the hour nothing is known: not `no groups`, which could miss a DENY");
        // It comes back by itself.
        google.repent(Endpoint::Search);
        clock.advance(Duration::from_mins(2));
        assert_eq!(groups(&directory, ALICE).await.unwrap(), BOTH, "{code}");
    }
}

#[tokio::test]
async fn after_a_failure_google_is_left_alone_for_a_while() {
    let google = google();
    google.lie(Endpoint::Search, Lie::Refuses(503, "UNAVAILABLE"));
    let clock = clock();
    let directory = Directory::new(settings(&google), clock.clone()).unwrap();
    let mut asked = Vec::new();
    for pause in [0, 1, 2, 4, 8, 16, 30, 30] {
        // One millisecond too early, and nobody is asked.
        clock.advance(Duration::from_secs(pause).saturating_sub(Duration::from_millis(1)));
        let before = google.asked(Endpoint::Search);
        if pause > 0 {
            assert_eq!(groups(&directory, ALICE).await, Err("status"));
            assert_eq!(google.asked(Endpoint::Search), before, "within {pause} s");
            clock.advance(Duration::from_millis(1));
        }
        for _ in 0..5 {
            assert_eq!(groups(&directory, ALICE).await, Err("status"));
        }
        asked.push(google.asked(Endpoint::Search) - before);
    }
    assert_eq!(asked, [1; 8]);
}

#[tokio::test]
async fn when_google_asks_for_patience_nobody_is_asked_for() {
    let google = google();
    google.lie(Endpoint::Search, Lie::Throttles("20"));
    let clock = clock();
    let directory = Directory::new(settings(&google), clock.clone()).unwrap();
    assert_eq!(groups(&directory, ALICE).await, Err("throttled"));
    google.repent(Endpoint::Search);
    clock.advance(Duration::from_secs(19));
    assert_eq!(groups(&directory, "bob@example.com").await, Err("throttled"));
    assert_eq!(google.asked(Endpoint::Search), 1);
    clock.advance(Duration::from_secs(2));
    assert_eq!(groups(&directory, ALICE).await.unwrap(), BOTH);
    assert_eq!(groups(&directory, "bob@example.com").await.unwrap(), [""; 0]);
}

#[tokio::test]
async fn a_slow_google_is_waited_for_within_a_bound() {
    let google = google();
    let clock = clock();
    let mut settings = settings(&google);
    settings.timeout = Duration::from_millis(200);
    let directory = Directory::new(settings, clock.clone()).unwrap();
    for slow in [Endpoint::Metadata, Endpoint::Search] {
        google.lie(slow, Lie::Silent);
        let refused = tokio::time::timeout(PATIENT, groups(&directory, ALICE)).await.expect("it is bounded");
        assert!(matches!(refused, Err("timed-out" | "not-reached" | "no-token")), "{refused:?}");
        google.repent(slow);
        clock.advance(Duration::from_mins(1));
    }
}

#[tokio::test]
async fn a_look_up_that_is_broken_off_does_not_stand_in_the_way_of_the_next() {
    let google = google();
    google.lie(Endpoint::Search, Lie::Silent);
    let directory = Directory::new(settings(&google), clock()).unwrap();
    let own = Arc::clone(&directory);
    // A runtime that ends in the middle, as a worker's does.
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async { assert!(matches!(own.known(&name(ALICE)), Ok(Known::Soon(_)))) });
    })
    .join()
    .unwrap();
    google.repent(Endpoint::Search);
    assert_eq!(groups(&directory, ALICE).await.unwrap(), BOTH);
}

#[tokio::test]
async fn an_answer_that_came_late_still_counts_for_those_who_waited_for_it() {
    let google = google();
    google.lie(Endpoint::Search, Lie::Silent);
    let clock = clock();
    let directory = Directory::new(settings(&google), clock.clone()).unwrap();
    let own = Arc::clone(&directory);
    let asking = tokio::spawn(async move { groups(&own, ALICE).await });
    until("the question", || google.asked(Endpoint::Search) == 1).await;
    clock.advance(Duration::from_mins(10));
    google.repent(Endpoint::Search);
    assert_eq!(asking.await.unwrap().unwrap(), BOTH);
    assert_eq!(at_hand(&directory, ALICE), None, "the next request asks anew");
}

// --- tokens ---

#[tokio::test]
async fn a_token_is_renewed_ahead_of_its_end_and_an_outage_meanwhile_is_not_felt() {
    let google = google();
    let clock = clock();
    let mut settings = settings(&google);
    settings.fresh = Duration::from_secs(10);
    let directory = Directory::new(settings, clock.clone()).unwrap();
    groups(&directory, ALICE).await.unwrap();
    clock.advance(Duration::from_mins(55));
    groups(&directory, ALICE).await.unwrap();
    assert_eq!(google.asked(Endpoint::Metadata), 1);
    google.lie(Endpoint::Metadata, Lie::Refuses(503, "UNAVAILABLE"));
    clock.advance(Duration::from_secs(100));
    assert_eq!(groups(&directory, ALICE).await.unwrap(), BOTH, "the old one is still good");
    assert_eq!(google.asked(Endpoint::Metadata), 2);
    google.repent(Endpoint::Metadata);
    clock.advance(Duration::from_secs(20));
    groups(&directory, ALICE).await.unwrap();
    clock.advance(Duration::from_mins(50));
    groups(&directory, ALICE).await.unwrap();
    assert_eq!(google.asked(Endpoint::Metadata), 3);
}

#[tokio::test]
async fn a_token_that_was_withdrawn_is_replaced_once() {
    let google = google();
    let directory = Directory::new(settings(&google), clock()).unwrap();
    groups(&directory, ALICE).await.unwrap();
    google.withdraw_tokens();
    assert_eq!(groups(&directory, "bob@example.com").await.unwrap(), [""; 0]);
    assert_eq!(google.asked(Endpoint::Metadata), 2);
    google.lie(Endpoint::Search, Lie::Refuses(401, "UNAUTHENTICATED"));
    assert_eq!(groups(&directory, "carol@example.com").await, Err("unauthenticated"));
    assert_eq!(google.asked(Endpoint::Search), 5, "asked twice, not for ever");
}

#[tokio::test]
async fn what_is_no_token_is_not_shown_to_anybody() {
    let google = google();
    let path = std::env::temp_dir().join(format!("trackgate-google-key-{}", uuid::Uuid::new_v4()));
    std::fs::write(&path, google.key_file().to_string()).unwrap();
    let mut settings = settings(&google);
    settings.key_file = Some(path.clone());
    for said in [
        "",
        "{}",
        "[\"t\", 3600, \"Bearer\"]x",
        r#"{"access_token": "", "expires_in": 3599, "token_type": "Bearer"}"#,
        r#"{"access_token": "t\r\nx: y", "expires_in": 3599, "token_type": "Bearer"}"#,
        r#"{"access_token": "t", "expires_in": 0, "token_type": "Bearer"}"#,
        r#"{"access_token": "t", "expires_in": -1, "token_type": "Bearer"}"#,
        r#"{"access_token": "t", "expires_in": 3599, "token_type": "mac"}"#,
        r#"{"access_token": "t", "token_type": "Bearer"}"#,
    ] {
        google.lie(Endpoint::Token, Lie::Says(200, "application/json", said.to_owned()));
        let directory = Directory::new(settings.clone(), clock()).unwrap();
        assert_eq!(groups(&directory, ALICE).await, Err("no-token"), "{said}");
    }
    assert_eq!((google.asked(Endpoint::Token), google.asked(Endpoint::Search)), (9, 0));
    std::fs::remove_file(path).unwrap();
}

#[tokio::test]
async fn a_server_that_does_not_call_itself_the_metadata_server_is_not_believed() {
    let google = google();
    let token = r#"{"access_token": "t", "expires_in": 3599, "token_type": "Bearer"}"#;
    google.lie(Endpoint::Metadata, Lie::Says(200, "application/json", token.to_owned()));
    let directory = Directory::new(settings(&google), clock()).unwrap();
    assert_eq!(groups(&directory, ALICE).await, Err("no-token"));
    let mut elsewhere = settings(&google);
    elsewhere.metadata_url = "http://metadata.example.com".parse().unwrap();
    assert!(matches!(Directory::new(elsewhere, clock()), Err(SetupFault::BadAddress(_))));
}

#[tokio::test]
async fn a_restart_during_an_outage_shuts_nobody_out_who_was_looked_up_lately() {
    let google = google();
    let clock = clock();
    let folder = std::env::temp_dir().join(format!("trackgate-google-kept-{}", uuid::Uuid::new_v4()));
    std::fs::create_dir(&folder).unwrap();
    let path = folder.join("google-groups.jsonl");
    let settings = Settings { kept_in: Some(path.clone()), ..settings(&google) };
    let start = |settings: &Settings| Directory::new(settings.clone(), clock.clone()).unwrap();
    let first = start(&settings);
    assert_eq!(groups(&first, ALICE).await.unwrap(), BOTH);
    first.write_down().await;
    drop(first);
    let secret = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&path).unwrap().permissions());
    assert_eq!(secret & 0o777, 0o600);

    google.lie(Endpoint::Search, Lie::Says(503, "application/json", "{}".to_owned()));
    assert_eq!(at_hand(&start(&settings), ALICE).unwrap(), BOTH, "the answer is fresh still");
    clock.advance(settings.fresh + Duration::from_secs(1));
    let second = start(&settings);
    assert_eq!(groups(&second, ALICE).await.unwrap(), BOTH, "Google was asked first, and is away");
    assert!(groups(&second, "bob@example.com").await.is_err(), "of whom nothing is known nobody guesses");
    second.write_down().await;

    // Under other settings the same answer means something else.
    let other = Settings { groups_prefix: "google:".to_owned(), ..settings.clone() };
    assert!(groups(&start(&other), ALICE).await.is_err());
    let foreign = Settings { domains: vec!["example.org".to_owned()], ..settings.clone() };
    assert!(at_hand(&start(&foreign), ALICE).is_none());

    // A restart makes no answer younger.
    clock.advance(settings.keep.saturating_sub(settings.fresh));
    assert!(groups(&start(&settings), ALICE).await.is_err(), "it is too old by now");
    google.repent(Endpoint::Search);
    google.remove("everyone-in-ml@example.com", "Data-Science@example.com");
    let third = start(&settings);
    assert_eq!(groups(&third, ALICE).await.unwrap(), BOTH[..1]);
    third.write_down().await;

    // What others can write, what cannot be read, and what is said of the future was never said.
    google.lie(Endpoint::Search, Lie::Says(503, "application/json", "{}".to_owned()));
    let good = std::fs::read_to_string(&path).unwrap();
    assert_eq!(at_hand(&start(&settings), ALICE).unwrap(), BOTH[..1]);
    let asked = clock.millis();
    for bad in [
        good.replace("data-science@", "data science@"),
        good.replace(&asked.to_string(), &(asked + 60_000).to_string()),
        good.replace('[', "{"),
        good.lines().skip(1).collect(),
        String::new(),
        "\u{0}".to_owned(),
    ] {
        std::fs::write(&path, &bad).unwrap();
        assert!(at_hand(&start(&settings), ALICE).is_none(), "{bad}");
    }
    std::fs::write(&path, &good).unwrap();
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    assert!(at_hand(&start(&settings), ALICE).is_none(), "others may have written it");
    std::fs::remove_dir_all(&folder).unwrap();
}
