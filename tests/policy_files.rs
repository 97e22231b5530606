//! Is the policy what its files say, and do the files say what the policy is?

#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "harness/cluster.rs"]
mod cluster;

use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};

/// A configuration, an empty state directory and a directory of policy files of one test.
struct Place(PathBuf);

impl Place {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("trackgate-policy-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::DirBuilder::new().mode(0o700).create(&path).unwrap();
        fs::create_dir(path.join("policy")).unwrap();
        let text = format!(
            "public_url = \"https://localhost:8443\"\nstate_dir = \"{}/state\"\n[listen]\nplain = \
             \"127.0.0.1:8080\"\n[upstream]\nurl = \"http://127.0.0.1:9\"\n[[issuer]]\nname = \"idp\"\nissuer = \
             \"http://127.0.0.1:9\"\n[issuer.bearer]\naudiences = [\"a\"]\n[[issuer]]\nname = \"github\"\n\
             issuer = \"https://token.actions.githubusercontent.com\"\nuser_claim = \"none\"\n[issuer.bearer]\naudiences = \
             [\"a\"]\n",
            path.display()
        );
        fs::write(path.join("trackgate.toml"), text).unwrap();
        Self(path)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.0.join("policy").join(name), text).unwrap();
    }

    /// Runs a command in the place's directory, where the policy is `policy`.
    fn run(&self, line: &str) -> Output {
        Command::new(env!("CARGO_BIN_EXE_trackgate"))
            .args(line.split(' '))
            .current_dir(&self.0)
            .env("TRACKGATE_CONFIG", self.0.join("trackgate.toml"))
            .env("USER", "tester")
            .env_remove("SUDO_USER")
            .output()
            .unwrap()
    }

    /// What a command that ends with `code` says, on either stream.
    fn ends(&self, line: &str, code: i32) -> String {
        let output = self.run(line);
        let said = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{line}: {said}");
        said
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The files that the documentation shows: a line `policy/NAME`, then what is in it.
fn documented(place: &Place) -> usize {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/policy-files.md")).unwrap();
    let mut files = 0;
    for part in text.split("`policy/").skip(1) {
        let Some((name, rest)) = part.split_once("`\n\n```toml\n") else { continue };
        place.write(name, rest.split_once("```").unwrap().0);
        files += 1;
    }
    files
}

#[test]
fn the_documented_example_is_planned_applied_and_exported() {
    let place = Place::new();
    assert_eq!(documented(&place), 3);
    place.ends("account add svc:ci", 0);
    let planned = place.ends("policy plan policy", 2);
    assert!(planned.contains("+ user alice@example.com to group research  (policy/people.toml:1)"), "{planned}");
    assert!(planned.contains("+ group:research may create registered_model research-*"), "{planned}");
    assert!(planned.contains("+ binding ci-main: tokens of github with ref = `refs/heads/main`"), "{planned}");
    assert!(place.ends("grant list", 0).contains("no such grants"), "a plan changes nothing");
    place.ends("policy apply policy", 0);
    assert!(place.ends("policy plan policy", 0).contains("no difference"), "it is so now");
    let listed = place.ends("grant list", 0);
    assert!(listed.contains("policy-files tester"), "{listed}");
    let why = place.ends("explain carol@example.com GET /api/2.0/mlflow/experiments/get?experiment_id=1", 0);
    assert!(why.contains("role readers#1 holds READ on experiment *"), "{why}");
    place.ends("policy export exported", 0);
    assert!(place.ends("policy plan exported --prune-owners", 0).contains("no difference"));
    let text = place.ends("policy export", 0);
    assert_eq!(text, fs::read_to_string(place.0.join("exported/policy-0001.toml")).unwrap());
    assert!(place.ends("policy export exported", 1).contains("is there already"));
}

#[test]
fn a_binding_of_an_unknown_issuer_for_anybody_or_for_a_person_is_not_applied() {
    let place = Place::new();
    place.ends("user add ann@example.com", 0);
    let binding = |issuer: &str, account: &str, claims: &str| {
        format!("[[binding]]\nname = \"ci\"\nissuer = \"{issuer}\"\naccount = \"{account}\"\nclaims = {{ {claims} }}\n")
    };
    for (text, words) in [
        (
            binding("nobody", "svc:ci", "sub = \"x\""),
            "policy/a.toml:1: binding ci: the configuration has no [[issuer]]",
        ),
        (binding("github", "svc:ci", "ref = \"refs/heads/main\""), "anybody has tokens from GitHub Actions"),
        (binding("github", "svc:ci", "repository = \"org/repo\""), "there is no service account `svc:ci`"),
        (binding("github", "ann@example.com", "repository = \"org/repo\""), "there is no service account `ann@"),
    ] {
        place.write("a.toml", &text);
        let said = place.ends("policy apply policy", 1);
        assert!(said.contains(words), "{words}: {said}");
        assert_eq!(place.ends("policy export", 0), "");
    }
}

#[test]
fn what_people_gave_is_kept_and_told_until_it_is_pruned() {
    let place = Place::new();
    place.write(
        "a.toml",
        "[[grant]]\nto = \"user:alice\"\nkind = \"experiment\"\npattern = \"7\"\npermission = \"EDIT\"\n",
    );
    place.ends("grant add user:bob experiment 7 MANAGE", 0);
    let applied = place.ends("policy apply policy", 0);
    assert!(applied.contains("= user:bob MANAGE on experiment 7  (kept; by operator tester)"), "{applied}");
    place.write("a.toml", "");
    let planned = place.ends("policy plan policy", 2);
    assert!(planned.contains("- user:alice EDIT on experiment 7  (policy-files tester)"), "{planned}");
    let json: serde_json::Value = serde_json::from_str(&place.ends("policy plan policy --prune --json", 2)).unwrap();
    assert_eq!(json["changes"].as_array().unwrap().len(), 2, "{json}");
    assert_eq!(json["changes"][0]["verb"], "remove", "{json}");
    place.ends("policy apply policy", 0);
    let left = place.ends("grant list", 0);
    assert!(left.contains("user:bob") && !left.contains("user:alice"), "{left}");
    place.ends("policy apply policy --prune", 0);
    assert!(place.ends("grant list", 0).contains("no such grants"));
}

#[test]
fn faults_are_told_all_at_once_and_nothing_is_changed() {
    let place = Place::new();
    place.write("a.toml", "[[group]]\nname = \"ml\"\n");
    place.write("b.toml", "[[group]]\nname = \"ml\"\n\n[[role]]\nname = \"a\"\nextends = \"b\"\n");
    fs::write(place.0.join("policy/c.toml"), b"[[group]]\nname = \"\xff\"\n").unwrap();
    for command in ["plan", "apply"] {
        let said = place.ends(&format!("policy {command} policy"), 1);
        for line in [
            "the policy has 3 faults, and nothing was done",
            "policy/b.toml:1: this group stands already in policy/a.toml:1",
            "policy/b.toml:6: `extends`: a role is given to users and groups, not to roles",
            "policy/c.toml:2: it is not UTF-8",
        ] {
            assert!(said.contains(line), "{line}: {said}");
        }
    }
    assert!(place.ends("group list", 0).contains("no groups"));
    place.ends("policy plan nowhere", 1);
    fs::create_dir(place.0.join("empty")).unwrap();
    assert!(place.ends("policy plan empty", 1).contains("there is no `*.toml`"));
    place.ends("policy plan", 1);
    place.ends("policy apply", 2);
}

#[test]
fn names_that_look_alike_are_noted_and_not_refused() {
    let place = Place::new();
    place.ends("user add paypal@example.com", 0);
    place.write(
        "a.toml",
        "[[group]]\nname = \"ml\"\nmembers = [\"paypa1@example.com\", \"alice@example.com.\", \"alice@example.com\"]\n",
    );
    let planned = place.ends("policy plan policy", 2);
    assert!(
        planned.contains("`paypa1@example.com` (policy/a.toml:1), `paypal@example.com` (in the store)"),
        "{planned}"
    );
    assert!(planned.contains("`alice@example.com` (policy/a.toml:1), `alice@example.com.`"), "{planned}");
    place.ends("policy apply policy", 0);
}

#[test]
fn an_audit_log_is_judged_again_with_the_policy_that_files_would_make() {
    let place = Place::new();
    let record = |user: &str, decision: &str, reason: &str, asked: &str| {
        format!(
            "{{\"time\":\"2026-01-01T00:00:00.000Z\",\"id\":\"1\",\"user\":\"{user}\",\"method\":\"GET\",\"path\":\"/x\",\
             \"asked\":{asked},\"decision\":\"{decision}\",\"reason\":\"{reason}\",\"status\":200}}\n"
        )
    };
    let read = "[[\"holds\",\"read\",\"experiment\",\"7\"]]";
    let log = record("alice", "deny", "no-grant", read)
        + &record("bob", "allow", "grant", read)
        + &record("bob", "deny", "bad-field", read)
        + "{\"decision\":\"allow\"}\nnoise\n";
    fs::write(place.0.join("audit.jsonl"), log).unwrap();
    place.ends("grant add user:bob experiment 7 READ", 0);
    let said = place.ends("policy replay audit.jsonl", 0);
    assert!(said.contains("5 records: 2 judged again, 0 of them otherwise"), "{said}");
    place.write(
        "a.toml",
        "[[grant]]\nto = \"user:alice\"\nkind = \"experiment\"\npattern = \"7\"\npermission = \"READ\"\n",
    );
    let said = place.ends("policy replay audit.jsonl --policy policy --prune", 2);
    for line in [
        "alice GET /x: was refused (no-grant), would be allowed: read wanted; user alice holds READ on experiment 7",
        "bob GET /x: was allowed (grant), would be refused: read wanted; no grant speaks of experiment 7",
        "5 records: 2 judged again, 2 of them otherwise",
        "1 not judged again: nobody was signed in",
        "1 not judged again: the line is no audit record",
        "1 not judged again: it was refused for another reason than policy",
    ] {
        assert!(said.contains(line), "{line}: {said}");
    }
    let json: serde_json::Value = serde_json::from_str(&place.ends("policy replay audit.jsonl --json", 0)).unwrap();
    assert_eq!(json["told"]["judged"], 2, "{json}");
}

/// A database as the real program made it (tests/fixtures/import/capture.py).
fn captured(place: &Place, name: &str) {
    let text = fixture(name);
    let path = place.0.join("auth.db");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        use sqlx::{ConnectOptions as _, Connection as _};
        // A dump names tables before it makes them.
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path).create_if_missing(true);
        let options = options.foreign_keys(false);
        let mut connection = options.connect().await.unwrap();
        sqlx::raw_sql(sqlx::AssertSqlSafe(text)).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
    });
}

fn fixture(name: &str) -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/import").join(name);
    fs::read_to_string(file).unwrap()
}

/// The same in a PostgreSQL database of its own: its address, as `SQLAlchemy` writes it.
fn captured_in_postgres(cluster: &cluster::Cluster, name: &str) -> String {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        use sqlx::Connection as _;
        let database = cluster.database().await;
        let mut connection = cluster.connect(&database).await;
        sqlx::raw_sql(sqlx::AssertSqlSafe(fixture(name))).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
        cluster.address(&database).replacen("postgres://", "postgresql+psycopg2://", 1)
    })
}

#[test]
fn what_is_imported_is_the_same_from_sqlite_and_from_postgresql() {
    let Some(cluster) = cluster::start("import") else { return };
    for (program, name) in
        [("basic-auth", "mlflow-3.17.2"), ("basic-auth", "mlflow-3.11.1"), ("oidc-auth", "oidc-auth-11")]
    {
        let place = Place::new();
        captured(&place, &format!("{name}.sql"));
        let address = captured_in_postgres(&cluster, &format!("{name}.postgres.sql"));
        let import = |from: &str| place.ends(&format!("import {program} {from} --accept-wider --dry-run"), 0);
        let (one, other) = (import("auth.db"), import(&address));
        assert_eq!(one, other, "{name}");
        assert!(one.lines().count() > 15 && !one.contains("hash"), "{one}");
        let count = one.lines().last().unwrap().split(' ').next().unwrap().to_owned();
        let made = place.ends(&format!("import {program} {address} --accept-wider"), 0);
        assert!(made.ends_with(&format!("{count} changes made\n")), "{made}");
        let again = place.ends(&format!("import {program} auth.db --accept-wider"), 0);
        assert!(again.contains("\n0 changes made"), "twice is once, from wherever: {again}");
        if program == "basic-auth" {
            place.ends(&format!("import oidc-auth {address} --dry-run"), 1);
        }
    }
    // Nothing can be changed there, and a bad address is not repeated with its password.
    let place = Place::new();
    place.ends(&format!("import basic-auth {}", cluster.address("nowhere")), 1);
    let out = place.run("import basic-auth postgresql://u:secret@127.0.0.1:1/auth");
    assert!(!out.status.success() && !String::from_utf8_lossy(&out.stderr).contains("secret"), "{out:?}");
}

fn contains_each(said: &str, lines: &[&str]) {
    for line in lines {
        assert!(said.lines().any(|said| said.starts_with(line)), "{line}: {said}");
    }
}

#[test]
fn basic_auth_of_mlflow_3_17_is_imported_with_its_roles() {
    let place = Place::new();
    captured(&place, "mlflow-3.17.2.sql");
    let said = place.ends("import basic-auth auth.db --dry-run", 0);
    contains_each(
        &said,
        &[
            "+ user alice@example.com",
            "+ role readers",
            "+ role readers in workspace team-a",
            "+ role readers for user bob@example.com",
            "+ user:alice@example.com MANAGE on experiment 1",
            "+ user:bob@example.com EDIT on scorer 1/is%20it%20good%3F",
            "+ user:alice@example.com MANAGE on workspace * in workspace team-a",
            "+ role:readers READ on experiment *",
            "+ role:readers EDIT on prompt greeting",
            "+ role:readers DENY on experiment 9 in workspace team-a",
            "not imported: user `Carol Smith` with all that they hold",
            "not imported: that admin were administrators",
            "note: 4 passwords are not imported",
        ],
    );
    assert!(!said.contains("hash"), "{said}");
    assert!(place.ends("user list", 0).contains("no users"), "nothing was done");
    fs::write(place.0.join("names.toml"), "[users]\n\"Carol Smith\" = \"carol@example.com\"\n").unwrap();
    let said = place.ends("import basic-auth sqlite:///auth.db --domain example.com --names names.toml --admins", 0);
    contains_each(
        &said,
        &["changed: user `admin` is admin@example.com here", "+ user:carol@example.com READ on registered_model fraud"],
    );
    assert!(place.ends("user list", 0).contains("admin@example.com  admin"));
    let why = place.ends("explain bob@example.com GET /api/2.0/mlflow/experiments/get?experiment_id=5", 0);
    assert!(why.contains("role readers#"), "{why}");
    let again = place.ends("import basic-auth auth.db --domain example.com --names names.toml", 0);
    assert!(again.contains("\n0 changes made"), "twice is once: {again}");
    assert!(place.ends("grant list", 0).contains("import tester"));
    place.ends("import oidc-auth auth.db", 1);
    place.ends("import basic-auth nowhere.db", 1);
    place.ends("import basic-auth trackgate.toml", 1);
}

#[test]
fn basic_auth_of_mlflow_3_11_is_imported_by_its_tables() {
    let place = Place::new();
    captured(&place, "mlflow-3.11.1.sql");
    place.ends("grant add user:alice@example.com experiment 2 EDIT", 0);
    let said = place.ends("import basic-auth auth.db", 0);
    contains_each(
        &said,
        &[
            "+ user:alice@example.com MANAGE on registered_model churn",
            "+ user:alice@example.com MANAGE on prompt churn",
            "+ user:bob@example.com USE on gateway_endpoint e-22222222222222222222222222222222",
            "+ user:bob@example.com EDIT on experiment * in workspace team-c",
            "+ user:bob@example.com USE on workspace * in workspace team-c",
            "+ user:bob@example.com READ on experiment * in workspace team-b",
            "changed: user:bob@example.com READ on workspace team-b: READ on everything in it, and nothing can be created",
            "not imported: user:bob@example.com NO_PERMISSIONS on experiment 3: NO_PERMISSIONS is the absence of a grant",
            "not imported: user:alice@example.com READ on experiment 2: there is EDIT already, which stays",
        ],
    );
    assert!(!said.contains("USE on workspace * in workspace team-b"), "READ let nobody create: {said}");
}

#[test]
fn a_role_that_is_there_already_gives_nobody_more_by_an_import() {
    let place = Place::new();
    captured(&place, "mlflow-3.17.2.sql");
    place.ends("role add readers", 0);
    let said = place.ends("import basic-auth auth.db", 0);
    assert!(said.contains("not imported: role readers with all that it holds: there is a role of this name"), "{said}");
    assert!(said.contains("+ role readers in workspace team-a"), "{said}");
    assert!(place.ends("grant list role:readers", 0).contains("no such grants"));
}

#[test]
fn mlflow_oidc_auth_is_imported_where_it_maps_and_tells_where_it_does_not() {
    let place = Place::new();
    captured(&place, "oidc-auth-11.sql");
    let said = place.ends("import oidc-auth auth.db", 1);
    contains_each(
        &said,
        &[
            "+ group research",
            "+ user alice@example.com to group research",
            "+ user:alice@example.com DENY on experiment 2",
            "+ group:research MANAGE on experiment 1",
            "+ group:research EDIT on prompt greeting",
            "+ user:alice@example.com READ on registered_model team-a-*",
            "+ user:alice@example.com EDIT on registered_model exact",
            "+ group:research EDIT on registered_model research-*",
            "+ group:research READ on prompt research.*",
            "+ user:robot READ on experiment *",
            "+ user:robot EDIT on scorer 1/is%20it%20good%3F",
            "+ user:alice@example.com MANAGE on workspace * in workspace team-a",
            "+ group:research READ on experiment * in workspace team-a",
            "changed: user:alice@example.com NO_PERMISSIONS on experiment 2: DENY",
            "not imported: group `data science` with all that it holds",
            "not imported: user:alice@example.com READ on experiment by the expression `team-a/.*`, priority 1: it is on names of",
            "not imported: user:alice@example.com EDIT on registered_model by the expression `team-[ab]-.*`, priority 5: it is no beginning",
            "not imported: user:alice@example.com MANAGE on registered_model by the expression `.*`, priority 9: one of a better",
            "not imported: user:robot USE on gateway_endpoint gpt",
            "WIDER: user:alice@example.com: user:alice@example.com has READ on experiment 1, and group:research MANAGE on",
        ],
    );
    assert!(said.contains("nothing was done: somebody would hold more here than there"), "{said}");
    assert!(place.ends("grant list", 0).contains("no such grants"));
    place.ends("import oidc-auth auth.db --accept-wider", 0);
    assert!(place.ends("grant list group:research", 0).contains("research-*"));
    let json: serde_json::Value =
        serde_json::from_str(&place.ends("import oidc-auth auth.db --accept-wider --dry-run --json", 0)).unwrap();
    assert_eq!(json["maps"].as_array().unwrap().len(), 0, "twice is once: {json}");
}

/// Answers as MLflow does, as long as the test runs.
fn mlflow() -> String {
    use std::io::{BufRead as _, BufReader, Write as _};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            let line = lines.next().and_then(Result::ok).unwrap_or_default();
            while lines.next().and_then(Result::ok).is_some_and(|line| !line.is_empty()) {}
            let target = line.split(' ').nth(1).unwrap_or_default().to_owned();
            let experiment = |id: u8, stage: &str| {
                format!("{{\"experiment_id\":\"{id}\",\"name\":\"e{id}\",\"lifecycle_stage\":\"{stage}\"}}")
            };
            let gone = r#"{"error_code":"RESOURCE_DOES_NOT_EXIST","message":"no such thing"}"#.to_owned();
            let (status, body) = match target.split('?').next().unwrap_or_default() {
                "/api/2.0/mlflow/experiments/search" if target.contains("page_token=next%2B") => {
                    (200, format!("{{\"experiments\":[{},{}]}}", experiment(3, "active"), experiment(4, "deleted")))
                }
                "/api/2.0/mlflow/experiments/search" => (
                    200,
                    format!(
                        "{{\"experiments\":[{},{}],\"next_page_token\":\"next+\"}}",
                        experiment(1, "active"),
                        experiment(2, "active")
                    ),
                ),
                "/api/2.0/mlflow/registered-models/search" if target.contains("filter=") => {
                    (200, r#"{"registered_models":[{"name":"greeting"}]}"#.to_owned())
                }
                "/api/2.0/mlflow/registered-models/search" => {
                    (200, r#"{"registered_models":[{"name":"churn"},{"name":"greeting"}]}"#.to_owned())
                }
                _ => (404, gone),
            };
            let _ = write!(
                stream,
                "HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                body.len()
            );
        }
    });
    format!("http://{address}")
}

#[test]
fn doctor_lists_what_nobody_owns_and_grants_on_what_is_no_more() {
    let place = Place::new();
    let file = place.0.join("trackgate.toml");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replacen("url = \"http://127.0.0.1:9\"", &format!("url = \"{}\"", mlflow()), 1)).unwrap();
    let run = "0123456789abcdef0123456789abcdef";
    for line in [
        "grant add user:alice experiment 1 MANAGE".to_owned(),
        "grant add user:alice experiment 2 EDIT".to_owned(),
        "role add owners".to_owned(),
        "grant add role:owners experiment 3 MANAGE".to_owned(),
        "grant add user:alice experiment 4 READ".to_owned(),
        "grant add user:alice experiment 9 READ".to_owned(),
        "grant add user:alice registered_model ch* MANAGE".to_owned(),
        "grant add user:alice registered_model gone READ".to_owned(),
        "grant add user:alice registered_model_version gone/1 READ".to_owned(),
        "grant add user:alice scorer 9/x READ".to_owned(),
        format!("grant add user:alice run {run} READ"),
    ] {
        place.ends(&line, 0);
    }
    let said = String::from_utf8(place.run("doctor").stdout).unwrap();
    let (unowned, gone) = said
        .split_once("without an owner: nobody holds MANAGE on them: 3\n")
        .and_then(|(_, rest)| rest.split_once("grants on what no longer exists: 5\n"))
        .unwrap_or_else(|| panic!("{said}"));
    for line in ["experiment 2 (e2)", "experiment 3 (e3)", "prompt greeting"] {
        assert!(unowned.contains(line), "{line}: {said}");
    }
    for line in ["on experiment 9 (grant", "on registered_model gone", "gone/1", "on scorer 9/x", run] {
        assert!(gone.contains(line), "{line}: {said}");
    }
    place.ends("role assign owners user:bob", 0);
    assert!(String::from_utf8(place.run("doctor").stdout).unwrap().contains("MANAGE on them: 2\n"));
}
