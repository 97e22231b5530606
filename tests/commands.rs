//! Do the commands do what they say, and say what they do?

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};

use sqlx::{Connection as _, SqliteConnection};

/// A configuration and an empty state directory of one test.
struct Place(PathBuf);

impl Place {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("trackgate-commands-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::DirBuilder::new().mode(0o700).create(&path).unwrap();
        let place = Self(path);
        place.configure("");
        place
    }

    /// Port 9 is nobody's: what asks MLflow or the issuer fails at once.
    fn configure(&self, more: &str) {
        let text = format!(
            "public_url = \"https://localhost:8443\"\nstate_dir = \"{}/state\"\n{more}\n[listen]\nplain = \
             \"127.0.0.1:8080\"\n[upstream]\nurl = \"http://127.0.0.1:9\"\n[[issuer]]\nname = \"idp\"\nissuer = \
             \"http://127.0.0.1:9\"\n[issuer.bearer]\naudiences = [\"a\"]\n",
            self.0.display()
        );
        fs::write(self.0.join("trackgate.toml"), text).unwrap();
    }

    fn run(&self, line: &str) -> Output {
        Command::new(env!("CARGO_BIN_EXE_trackgate"))
            .args(line.split(' '))
            .env("TRACKGATE_CONFIG", self.0.join("trackgate.toml"))
            .env("USER", "tester")
            .env_remove("SUDO_USER")
            .output()
            .unwrap()
    }

    /// What a command that ends well says.
    fn says(&self, line: &str) -> String {
        let output = self.run(line);
        assert_eq!(output.status.code(), Some(0), "{line}: {}", text(&output.stderr));
        text(&output.stdout)
    }

    /// What a command that ends with `code` says, on either stream.
    fn fails(&self, line: &str, code: i32) -> String {
        let output = self.run(line);
        let said = text(&output.stdout) + &text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{line}: {said}");
        said
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

const RUN: &str = "0123456789abcdef0123456789abcdef";

#[test]
fn users_groups_and_grants_are_added_listed_and_removed() {
    let place = Place::new();
    assert_eq!(place.says("user list"), "there are no users yet\n");
    assert_eq!(place.says("user add alice@example.com --admin"), "user alice@example.com added\n");
    assert_eq!(place.says("user add alice@example.com"), "user alice@example.com is there already\n");
    place.says("user add bob@example.com");
    place.says("group add ml");
    place.says("group member add ml bob@example.com");
    assert_eq!(place.says("grant add group:ml experiment 1 EDIT"), "granted: group ml: experiment 1 EDIT\n");
    place.says("grant add user:bob@example.com registered_model prod* READ");
    assert!(place.says("grant add user:zoe@example.com run * READ").contains("nobody has signed in as zoe"));
    let listed = place.says("grant list group:ml");
    assert!(listed.contains("group:ml  experiment  1       EDIT") && listed.contains("operator tester"), "{listed}");
    let listed = place.says("grant list --kind registered_model --json");
    assert!(listed.contains("\"pattern\": \"prod*\"") && listed.contains("\"exact\": false"), "{listed}");
    let users = place.says("user list");
    assert!(users.contains("alice@example.com  admin") && users.contains("ml"), "{users}");
    place.says("user disable bob@example.com");
    assert!(place.says("user list").contains("disabled"));
    place.says("group member remove ml bob@example.com");
    place.says("grant remove group:ml experiment 1");
    place.says("group remove ml");
    place.says("user remove bob@example.com");
    assert!(!place.says("grant list").contains("bob"), "a removed user leaves no grant");
}

#[test]
fn rules_of_who_may_create_what_are_made_explained_and_taken_back() {
    let place = Place::new();
    place.says("group add research");
    place.says("user add bob@example.com");
    place.says("group member add research bob@example.com");
    let made = place.says("rule add group:research experiment research/* --expires 2999-01-01T00:00:00Z");
    assert_eq!(made, "group:research may create experiment research/* until 2999-01-01T00:00:00Z\n");
    assert!(place.says("rule list").contains("research/*"));
    assert!(place.says("rule list --json").contains("\"pattern\": \"research/*\""));
    let ask = |name: &str| format!("explain bob@example.com POST /api/2.0/mlflow/experiments/create name={name}");
    let why = place.says(&ask("research/a"));
    assert!(why.contains("group research may create experiment research/*"), "{why}");
    assert!(!place.fails(&ask("other"), 4).contains("may create experiment"));
    assert!(place.fails("rule add group:research run *", 1).contains("rules speak of experiments"));
    assert!(place.fails("rule remove group:research experiment other*", 1).contains("there is no such rule"));
    place.says("rule remove group:research experiment research/*");
    assert!(place.says("rule list").contains("there are no such rules"));
}

#[test]
fn roles_are_made_given_for_a_time_and_taken_back() {
    let place = Place::new();
    place.says("group add ml");
    place.says("user add bob@example.com");
    assert_eq!(place.says("role add readers --description reads"), "role readers added, number 1\n");
    assert!(place.says("grant add role:readers experiment 1 READ").contains("granted: role #1: experiment 1 READ"));
    place.says("role assign readers group:ml --expires 2999-01-01T00:00:00Z");
    place.says("role assign 1 user:bob@example.com");
    let listed = place.says("role list");
    assert!(
        listed.contains("group:ml until 2999-01-01T00:00:00Z, user:bob@example.com") && listed.contains("reads"),
        "{listed}"
    );
    assert!(place.says("grant list role:readers").contains("role:readers#1"));
    let why = place.says("explain bob@example.com GET /api/2.0/mlflow/experiments/get?experiment_id=1");
    assert!(why.contains("role readers#1 holds READ on experiment 1"), "{why}");
    assert!(place.fails("role add readers", 1).contains("there is a role already: readers"));
    assert!(place.fails("role add __user_1__", 1).contains("Trackgate's own"));
    assert!(place.fails("role assign readers role:1", 1).contains("not to roles"));
    assert!(place.fails("role assign writers user:bob@example.com", 1).contains("there is no role `writers`"));
    place.says("role change readers --name viewers");
    place.says("role unassign viewers user:bob@example.com");
    place.says("role remove viewers");
    assert!(!place.says("grant list").contains("experiment"), "a removed role leaves no grant");
}

#[test]
fn a_grant_for_a_time_says_until_when() {
    let place = Place::new();
    let said = place.says("grant add user:bob experiment 1 READ --expires 2999-01-01T00:00:00.5Z");
    assert!(said.contains("granted: user bob: experiment 1 READ until 2999-01-01T00:00:00.5Z"), "{said}");
    assert!(place.says("grant list").contains("2999-01-01T00:00:00.5Z"));
    assert!(place.says("grant list --json").contains("\"expires\": \"2999-01-01T00:00:00.5Z\""));
    assert!(place.fails("grant add user:bob experiment 2 READ --expires soon", 2).contains("write a moment"));
    let past = "grant add user:bob experiment 2 READ --expires 2001-01-01T00:00:00Z";
    assert!(place.fails(past, 1).contains("the end has passed already"));
    place.says("grant add user:bob experiment 1 READ");
    assert!(!place.says("grant list").contains("2999"), "given for good now");
}

#[test]
fn a_mistake_is_told_in_a_sentence_and_by_the_exit_code() {
    let place = Place::new();
    assert!(place.fails("user add Alice@Example.com", 2).contains("mail addresses are written in lower case"));
    assert!(
        place
            .fails("grant add alice experiment 1 READ", 2)
            .contains("write `user:NAME`, `group:NAME` or `role:NUMBER`")
    );
    assert!(place.fails("grant add user:alice castle 1 READ", 2).contains("not a kind of object"));
    assert!(place.fails("grant add user:alice experiment 1 WRITE", 2).contains("use READ, USE, EDIT, MANAGE or DENY"));
    assert!(place.fails("grant add user:alice experiment 01 READ", 1).contains("it has a leading zero"));
    assert!(place.fails("grant remove user:alice experiment 1", 1).contains("there is no such grant"));
    assert!(place.fails("user admin nobody", 1).contains("there is no user `nobody`"));
    assert!(place.fails("group member add none nobody", 1).contains("there is no group `none`"));
    assert!(place.fails("group add everybody", 1).contains("Trackgate's own"));
    assert!(place.fails("session end deadbeef", 1).contains("there is no session"));
    assert!(place.fails("session end", 2).contains("--all"));
    place.configure("statedir = \"x\"");
    assert!(place.fails("user list", 3).contains("`statedir` is not a key; did you mean `state_dir`?"));
    assert!(place.fails("serve", 3).contains("did you mean `state_dir`?"));
}

#[test]
fn explain_names_the_row_the_need_and_the_grant_that_decided() {
    let place = Place::new();
    place.says("grant add user:bob experiment 1 READ");
    place.says("grant add group:ml experiment 1 EDIT");
    let get = "explain bob GET /api/2.0/mlflow/experiments/get?experiment_id=1";
    let said = place.says(get);
    assert!(said.contains("(GetExperiment)") && said.contains("user bob holds READ on experiment 1"), "{said}");
    let update = "explain bob POST /ajax-api/2.0/mlflow/experiments/set-experiment-tag experiment_id=1 key=a value=x";
    let said = place.fails(update, 4);
    assert!(said.contains("edit wanted; user bob holds READ on experiment 1") && said.ends_with("refused\n"), "{said}");
    let said = place.says(&format!("{update} --group ml"));
    assert!(said.contains("group ml holds EDIT on experiment 1"), "{said}");
    let said = place
        .fails(&format!("{update} --group ml --group absent --json").replace("experiment_id=1", "experiment_id=2"), 4);
    assert!(said.contains("\"allowed\": false") && said.contains("no grant speaks of experiment 2"), "{said}");
    assert!(place.fails("explain bob POST /api/2.0/mlflow/experiments/update experiment_id=02", 4).contains("400"));
    assert!(place.fails("explain bob GET /api/2.0/mlflow/nothing", 4).contains("what has no row does not exist"));
    assert!(place.fails("explain bob GET /api//2.0", 4).contains("not in canonical form"));
    // What MLflow would have to tell is not guessed.
    let said = place.fails(&format!("explain bob GET /api/2.0/mlflow/runs/get run_id={RUN}"), 1);
    assert!(said.contains("MLflow cannot be reached"), "{said}");
    place.says("user add bob");
    place.says("user disable bob");
    assert!(place.fails(get, 4).contains("is disabled"));
}

#[test]
fn check_names_everything_that_does_not_answer() {
    let place = Place::new();
    let said = place.says("check --offline");
    assert!(said.contains("note  database: none in ") && !place.0.join("state").exists(), "nothing is made: {said}");
    let said = place.fails("check", 5);
    assert!(said.contains("ok    database: 0 users, 0 grants"), "{said}");
    assert!(said.contains("FAULT issuer idp: ") && said.contains("FAULT MLflow: MLflow cannot be reached"), "{said}");
    fs::set_permissions(place.0.join("state"), fs::Permissions::from_mode(0o755)).unwrap();
    // A collector that is away is no fault: requests are answered without it.
    let file = place.0.join("trackgate.toml");
    let untraced = fs::read_to_string(&file).unwrap();
    fs::write(&file, format!("{untraced}\n[trace]\notlp_endpoint = \"http://127.0.0.1:9\"\n")).unwrap();
    fs::set_permissions(place.0.join("state"), fs::Permissions::from_mode(0o700)).unwrap();
    let said = place.fails("check", 5);
    assert!(said.contains("note  traces: http://127.0.0.1:9/v1/traces takes no spans now: "), "{said}");
    assert!(!place.says("check --offline").contains("traces"), "nobody is asked");
    fs::write(&file, untraced).unwrap();
    fs::set_permissions(place.0.join("state"), fs::Permissions::from_mode(0o755)).unwrap();
    assert!(place.fails("check --offline", 5).contains("chmod 700"));
    fs::set_permissions(place.0.join("state"), fs::Permissions::from_mode(0o700)).unwrap();
    // Whom a binding leads to is known to the store alone.
    let file = place.0.join("trackgate.toml");
    let plain = fs::read_to_string(&file).unwrap();
    place.says("user add robot");
    place.says("account add svc:good");
    place.says("account add svc:off");
    place.says("user disable svc:off");
    let binding = |account: &str| {
        format!(
            "[[binding]]\nname = \"to-{}\"\nissuer = \"idp\"\naccount = \"{account}\"\nclaims = {{ sub = \"1\" }}\n",
            account.replace(':', "-")
        )
    };
    fs::write(&file, plain.clone() + &["robot", "svc:good", "svc:off", "svc:gone"].map(binding).concat()).unwrap();
    let said = place.says("check --offline");
    for remark in [
        "note  binding to-robot: `robot` is a person",
        "note  binding to-svc-off: `svc:off` is disabled",
        "note  binding to-svc-gone: there is no service account `svc:gone`",
    ] {
        assert!(said.contains(remark), "{remark}: {said}");
    }
    assert!(!said.contains("to-svc-good"), "{said}");
    fs::write(&file, plain).unwrap();
    // A certificate without its key.
    let [certificate, key] = ["cert.pem", "key.pem"].map(|name| place.0.join(name));
    fs::write(&certificate, "no certificate").unwrap();
    fs::write(&key, "no key").unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    let https = format!(
        "[listen]\nhttps = \"127.0.0.1:8443\"\ncertificate = \"{}\"\nprivate_key = \"{}\"",
        certificate.display(),
        key.display()
    );
    fs::write(&file, fs::read_to_string(&file).unwrap().replace("[listen]", &https)).unwrap();
    let said = place.fails("check --offline", 5);
    assert!(said.contains("FAULT certificate: ") && said.contains("ok    database: "), "{said}");
    // One for another host, which no client takes; unless a load balancer stands before the gate.
    let write = |names: &[&str]| {
        let pair = rcgen::KeyPair::generate().unwrap();
        let mut params =
            rcgen::CertificateParams::new(names.iter().map(ToString::to_string).collect::<Vec<_>>()).unwrap();
        params.not_after = (std::time::SystemTime::now() + std::time::Duration::from_hours(24 * 60)).into();
        fs::write(&certificate, params.self_signed(&pair).unwrap().pem()).unwrap();
        fs::write(&key, pair.serialize_pem()).unwrap();
    };
    write(&["other.example.com"]);
    let said = place.fails("check --offline", 5);
    assert!(said.contains("FAULT certificate: it is not for localhost"), "{said}");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace("[listen]", "[listen]\ntrusted_proxies = [\"192.0.2.0/24\"]")).unwrap();
    let said = place.says("check --offline");
    assert!(
        said.contains("ok    certificate: fits its key, good for 59 days") || said.contains("good for 60 days"),
        "{said}"
    );
    assert!(said.contains("note  certificate: it is not for localhost"), "{said}");
    fs::write(&file, format!("extra_hosts = [\"mlflow.internal\"]\n{text}")).unwrap();
    write(&["localhost"]);
    let said = place.says("check --offline");
    assert!(said.contains("note  certificate: it is not for mlflow.internal"), "{said}");
}

#[test]
fn a_command_of_a_newer_program_leaves_the_tables_of_the_older_one_as_they_are() {
    let place = Place::new();
    place.says("user add bob");
    let file = place.0.join("state/trackgate.db");
    let steps = || -> i64 {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut tables = SqliteConnection::connect(&format!("sqlite://{}", file.display())).await.unwrap();
            let newest = "DELETE FROM _sqlx_migrations WHERE version = (SELECT max(version) FROM _sqlx_migrations) \
                          AND version > 7";
            sqlx::query(newest).execute(&mut tables).await.unwrap();
            let left =
                sqlx::query_scalar("SELECT count(*) FROM _sqlx_migrations").fetch_one(&mut tables).await.unwrap();
            tables.close().await.unwrap();
            left
        })
    };
    while steps() != 7 {}
    for line in ["user list", "user add carol", "grant list", "doctor"] {
        let said = place.run(line);
        let said = text(&said.stdout) + &text(&said.stderr);
        assert!(said.contains("schema 7") && said.contains("serve` brings it"), "{line}: {said}");
        assert_eq!(steps(), 7, "{line}");
    }
}

/// An MLflow that says this of itself; its address.
fn mlflow(info: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut asked = String::new();
            BufReader::new(&stream).read_line(&mut asked).unwrap();
            let body = if asked.contains("/version") { "3.17.2" } else { info };
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
            stream.write_all(format!("{head}{body}").as_bytes()).unwrap();
        }
    });
    format!("http://{address}")
}

#[test]
fn check_tells_where_the_server_and_the_setting_differ_on_workspaces() {
    let on = r#"{"store_type":"SqlStore","workspaces_enabled":true}"#;
    let note = "note  workspaces: the server has them, though `upstream.workspaces` is off: `default` alone can be";
    let fault = "FAULT workspaces: ";
    for (info, setting, wanted) in [
        (on, false, Some(note)),
        (on, true, None),
        ("{}", false, None),
        ("{}", true, Some(fault)),
        // What cannot be read: nothing hangs on it where the setting is off.
        ("<html>", false, None),
        ("<html>", true, Some(fault)),
    ] {
        let place = Place::new();
        let file = place.0.join("trackgate.toml");
        let upstream = format!("[upstream]\nurl = \"{}\"\nworkspaces = {setting}", mlflow(info));
        let text = fs::read_to_string(&file).unwrap();
        fs::write(&file, text.replace("[upstream]\nurl = \"http://127.0.0.1:9\"", &upstream)).unwrap();
        // The issuer is away all the while.
        let said = place.fails("check", 5);
        assert!(said.contains("MLflow: version 3.17.2"), "{said}");
        match wanted {
            Some(wanted) => assert!(said.contains(wanted), "{info} {setting}: {said}"),
            None => assert!(!said.contains("workspaces"), "{info} {setting}: {said}"),
        }
    }
}

fn fixture(version: &str) -> String {
    format!("{}/tests/fixtures/mlflow-{version}/routes.csv", env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn doctor_finds_the_routes_that_a_server_has_and_the_table_lacks() {
    let place = Place::new();
    let oldest = fixture("2.22.5");
    let said = place.says(&format!("doctor --routes {oldest}"));
    assert!(said.contains("each of its 164 routes has its row") && said.contains("note  "), "{said}");
    let list = place.0.join("routes.csv");
    let more = "POST,/api/2.0/mlflow/castles/build,mlflow.server.handlers._build,flask\n\
                GET,/api/2.0/mlflow/logged-models/export,mlflow.server.handlers._export,flask\nnonsense\n";
    fs::write(&list, fs::read_to_string(&oldest).unwrap() + more).unwrap();
    let said = place.fails(&format!("doctor --routes {}", list.display()), 5);
    assert!(said.contains("FAULT POST /api/2.0/mlflow/castles/build has no row: it is refused"), "{said}");
    assert!(said.contains("logged-models/export would be judged by the row of"), "{said}");
    assert!(said.contains("is no route: `nonsense`") && said.contains("3 of 167 routes"), "{said}");
    fs::write(&list, "method,path,handler,app\n").unwrap();
    assert!(place.fails(&format!("doctor --routes {}", list.display()), 1).contains("lists no route"));
    assert!(place.fails("doctor --routes /no/such/list", 1).contains("`/no/such/list` cannot be read"));
}

#[test]
fn doctor_asks_the_python_it_is_told_of_with_the_script_it_prints() {
    let place = Place::new();
    // A Python that checks that it is handed the script, and has an MLflow with one strange route.
    let python = place.0.join("python");
    let script = "#!/bin/sh\n[ \"$1\" = - ] && grep -q 'def fastapi_routes' || exit 3\n\
                  echo method,path,handler,app\necho GET,/version,x,flask\necho GET,/api/9.0/moat,x,flask\n\
                  echo noise >&2\necho 'MLflow 9.0.0' >&2\n";
    fs::write(&python, script).unwrap();
    fs::set_permissions(&python, fs::Permissions::from_mode(0o755)).unwrap();
    let said = place.fails(&format!("doctor --python {}", python.display()), 5);
    assert!(said.contains("FAULT GET /api/9.0/moat has no row") && said.contains("MLflow 9.0.0 of "), "{said}");
    fs::write(&python, "#!/bin/sh\necho 'ModuleNotFoundError: no mlflow here' >&2\nexit 1\n").unwrap();
    let said = place.fails(&format!("doctor --python {}", python.display()), 1);
    assert!(said.contains("could not list the routes of MLflow; it said: ModuleNotFoundError"), "{said}");
    assert!(place.fails("doctor --python /no/such/python", 1).contains("cannot be started"));
    assert!(place.says("doctor --list-script").contains("def fastapi_routes"));
}

#[test]
fn doctor_without_a_list_looks_at_all_that_check_looks_at() {
    let place = Place::new();
    let said = place.fails("doctor", 5);
    assert!(
        said.contains("ok    database") && said.contains("FAULT MLflow: ") && said.contains("note  routes"),
        "{said}"
    );
}

#[test]
fn routes_are_printed_in_three_forms() {
    let place = Place::new();
    let text = place.says("routes");
    assert!(text.lines().count() > 250 && text.contains("SearchRuns"));
    assert!(
        place
            .says("routes --format markdown CreateRun")
            .contains("| POST | `/{api\\|ajax-api}/2.0/mlflow/runs/create`")
    );
    let json = place.says("routes --format json");
    assert_eq!(json.matches("\"method\":").count(), text.lines().count() - 1);
}

#[test]
fn routes_are_printed_with_their_needs_alone() {
    let place = Place::new();
    let (text, whole) = (place.says("routes --needs"), place.says("routes"));
    assert_eq!(text.lines().count(), whole.lines().count());
    let head: Vec<&str> = text.lines().next().unwrap().split_whitespace().collect();
    assert_eq!(head, ["METHOD", "PATH", "NAME", "NEEDS"]);
    let create = text.lines().find(|line| line.contains(" CreateRun ")).unwrap();
    assert!(create.contains("edit on experiment `experiment_id`") && !create.contains("the caller's name"), "{create}");

    let json: serde_json::Value = serde_json::from_str(&place.says("routes --needs --format json DeleteRun")).unwrap();
    let row = json.as_array().unwrap().iter().find(|row| row["name"] == "DeleteRun").unwrap();
    assert_eq!((&row["method"], &row["path"]), (&"POST".into(), &"/{api|ajax-api}/2.0/mlflow/runs/delete".into()));
    assert!(row["needs"][0].as_str().unwrap().starts_with("delete on run `run_id`"), "{row}");
    assert_eq!(row.as_object().unwrap().len(), 4, "nothing of what follows: {row}");

    let markdown = place.says("routes --needs --format markdown");
    assert_eq!(markdown.lines().count(), text.lines().count() + 1);
    for line in markdown.lines() {
        assert_eq!(line.replace("\\|", "").matches('|').count(), 5, "{line}");
    }
    assert!(place.says("routes --needs --format json no-such-row").contains("[]"));
}

#[test]
fn a_shell_completes_our_words_after_reading_what_we_print_for_it() {
    let place = Place::new();
    // What bash itself offers for `trackgate gr`, and for `trackgate grant a`; by the package's file, which asks the program.
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/debian/completion.bash");
    let script = "trackgate() { \"$TRACKGATE\" \"$@\"; }; . \"$0\"; complete -p trackgate >&2
        COMP_WORDS=(trackgate gr) COMP_CWORD=1; _trackgate trackgate gr trackgate; echo \"${COMPREPLY[@]}\"
        COMP_WORDS=(trackgate grant a) COMP_CWORD=2; _trackgate trackgate a grant; echo \"${COMPREPLY[@]}\"";
    let offered = Command::new("bash")
        .args(["-euc", script, file])
        .env("TRACKGATE", env!("CARGO_BIN_EXE_trackgate"))
        .output()
        .unwrap();
    assert_eq!(text(&offered.stdout), "group grant\nadd\n", "{}", text(&offered.stderr));
    for shell in ["zsh", "fish"] {
        let script = place.says(&format!("completions {shell}"));
        assert!(script.contains("explain-token") && script.contains("trackgate"), "{shell}");
    }
    // What is in the environment, secrets among it, is not in what is printed.
    let printed = Command::new(env!("CARGO_BIN_EXE_trackgate"))
        .args(["completions", "bash"])
        .env("USER", "nobody-else-is-called-so")
        .output()
        .unwrap();
    assert!(printed.status.success() && !text(&printed.stdout).contains("nobody-else-is-called-so"));
    assert!(place.fails("completions tcsh", 2).contains("possible values: bash"));
}

#[test]
fn explain_reads_nested_fields_header_fields_and_spans() {
    let place = Place::new();
    place.says("grant add user:bob experiment 1 READ");
    let trace = "explain bob POST /api/3.0/mlflow/traces \
                 trace.trace_info.trace_location.mlflow_experiment.experiment_id=";
    // What was read is the field itself: an id in another spelling is refused by its name.
    let said = place.fails(&format!("{trace}01 trace.trace_info.trace_id=x"), 4);
    assert!(said.contains("400: `trace.trace_info.trace_location.mlflow_experiment.experiment_id`"), "{said}");
    let spans = "explain bob POST /v1/traces otlp.trace_id=tr-0123456789abcdef0123456789abcdef";
    let said = place.fails(spans, 4);
    assert!(said.contains("400: `header.x-mlflow-experiment-id` is missing"), "{said}");
    let said = place.fails(&format!("{spans} header.x-mlflow-experiment-id=01"), 4);
    assert!(said.contains("400: `header.x-mlflow-experiment-id`: "), "{said}");
    let said = place.fails("explain bob POST /v1/traces otlp.trace_id=short header.x-mlflow-experiment-id=1", 4);
    assert!(said.contains("a span's trace id is not 16 bytes"), "{said}");
    let search = "explain bob POST /api/2.0/mlflow/runs/log-batch tags[].key=a tags[].key=b run_id=no";
    assert!(place.fails(search, 4).contains("400: `run_id`"));
}

#[test]
fn what_config_print_says_can_be_used_as_a_configuration() {
    let place = Place::new();
    let printed = place.says("config print");
    fs::write(place.0.join("trackgate.toml"), &printed).unwrap();
    assert_eq!(place.says("config print"), printed);
}

#[test]
fn tokens_are_made_shown_once_listed_and_revoked() {
    let place = Place::new();
    let refused = place.fails("token create --user alice@example.com --name laptop", 1);
    assert!(refused.contains("there is no user `alice@example.com`"), "{refused}");
    place.says("user add alice@example.com");
    let token =
        place.says("token create --user alice@example.com --name laptop --most READ --on experiment:7 --expires 30d");
    let token = token.trim();
    let written = trackgate::token_form::read(token).unwrap_or_else(|| panic!("{token}"));
    assert_eq!(written.beginning, "tgp_");
    let listed = place.says("token list");
    assert!(listed.contains(written.name) && listed.contains("READ at most, on experiment:7"), "{listed}");
    assert!(listed.contains("never") && !listed.contains(&token[20..]), "{listed}");
    let json: serde_json::Value =
        serde_json::from_str(&place.says("token list --user alice@example.com --json")).unwrap();
    assert_eq!((&json[0]["name"], &json[0]["active"]), (&"laptop".into(), &true.into()), "{json}");
    assert_eq!(json[0]["created_by"], "operator tester");
    assert_eq!(place.says(&format!("token revoke {}", written.name)), "1 token revoked\n");
    assert_eq!(place.says("token revoke --user alice@example.com"), "there was none to revoke\n");
    assert!(place.says("token list").contains("revoked 20"));
    place.fails("token revoke AAAAAAAA", 1);
    for line in [
        "token create --user alice@example.com --name x --most DENY",
        "token create --user alice@example.com --name x --expires 400d",
    ] {
        place.fails(line, 1);
    }
    for line in [
        "token create --user alice@example.com",
        "token create --user alice@example.com --name x --on castle:7",
        "token create --user alice@example.com --name x --on workspace:*",
        "token revoke",
        "token revoke short",
    ] {
        place.fails(line, 2);
    }
    place.configure("[tokens]\nallow = false");
    let off = place.fails("token create --user alice@example.com --name x", 1);
    assert!(off.contains("tokens.allow"), "{off}");
}

#[test]
fn service_accounts_have_owners_and_tokens_and_take_nobodys_name() {
    let place = Place::new();
    place.says("user add alice@example.com");
    assert!(place.fails("account add alice@example.com", 1).contains("already"));
    assert!(place.fails("account add svc:a --owner role:readers", 2).contains("not roles"));
    place.says("account add svc:a --owner user:alice@example.com --owner group:ml");
    let listed = place.says("account list");
    assert!(listed.contains("svc:a") && listed.contains("group:ml, user:alice@example.com"), "{listed}");
    assert!(place.says("token create --user svc:a --name nightly").starts_with("tgs_"));
    place.says("account owner remove svc:a group:ml");
    assert!(place.says("account owner remove svc:a group:ml").contains("does not look after"));
    place.fails("account owner add alice@example.com group:ml", 1);
    place.fails("account owner add svc:a user:typo@example.com", 1);
    place.fails("account remove alice@example.com", 1);
    place.says("account remove svc:a");
    assert_eq!(place.says("account list"), "there are no service accounts\n");
    assert_eq!(place.says("token list"), "there are no tokens\n", "they went with it");
}

#[test]
fn a_backup_is_made_looked_at_and_put_back_and_mistakes_are_told() {
    let place = Place::new();
    let file = place.0.join("store.backup");
    let file = file.display();
    assert!(place.fails(&format!("store backup {file}"), 1).contains("there is no database in"));
    place.says("user add alice@example.com --admin");
    place.says("grant add user:alice@example.com experiment 1 EDIT");
    let said = place.says(&format!("store backup {file}"));
    assert!(said.contains("1  grants") && said.contains("keep it as secret as the store"), "{said}");
    assert!(place.fails(&format!("store backup {file}"), 1).contains("`--force`"));
    place.says(&format!("store backup {file} --force"));
    assert!(place.says(&format!("store restore {file} --dry-run")).contains("the backup is whole"));
    place.says("grant add user:alice@example.com experiment 2 EDIT");
    assert!(place.fails(&format!("store restore {file}"), 1).contains("`--replace`"));
    let said = place.says(&format!("store restore {file} --replace"));
    assert!(said.contains("gone are the changes") && said.contains("restored."), "{said}");
    let listed = place.says("grant list");
    assert!(listed.contains("experiment  1") && !listed.contains("experiment  2"), "{listed}");
    // Another place, by a folder; and through a pipe.
    let other = place.0.join("other");
    place.says(&format!("store restore {file} --to {}", other.display()));
    assert_eq!(fs::metadata(other.join("trackgate.db")).unwrap().permissions().mode() & 0o777, 0o600);
    let piped = place.run("store backup -");
    assert!(piped.status.success() && piped.stdout.starts_with(&[0x1f, 0x8b]));
    fs::write(place.0.join("cut.backup"), &piped.stdout[..piped.stdout.len() - 9]).unwrap();
    let cut = place.0.join("cut.backup");
    assert!(place.fails(&format!("store restore {} --replace", cut.display()), 1).contains("damaged"));
    assert!(place.fails("store restore /etc/hostname --dry-run", 1).contains("no backup of a Trackgate store"));
}

#[test]
fn a_backup_that_cannot_be_written_whole_is_a_failure() {
    let place = Place::new();
    place.says("user add alice@example.com");
    let line = format!(
        "{} --config {} store backup - > /dev/full",
        env!("CARGO_BIN_EXE_trackgate"),
        place.0.join("trackgate.toml").display()
    );
    let output = Command::new("sh").args(["-c", &line]).output().unwrap();
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("cannot be written") && said.contains("No space left on device"), "{said}");
    let said = place.fails("store backup /nowhere/at/all", 1);
    assert!(said.contains("cannot be written") && said.contains("nothing is left of it"), "{said}");
}

#[test]
fn init_writes_a_configuration_that_is_read_overwrites_nothing_and_asks_nobody_who_is_not_there() {
    let place = Place::new();
    let init = "init --for vm --url https://mlflow.example.com --client-id 1234 --domain example.com";
    assert!(place.fails(init, 1).contains("--force"), "there is a file already");
    fs::remove_file(place.0.join("trackgate.toml")).unwrap();
    let said = place.fails("init --for vm", 1);
    assert!(said.contains("--url") && said.contains("--client-id"), "{said}");
    assert!(!place.0.join("trackgate.toml").exists());
    let said = place.says(init);
    assert!(said.contains("https://mlflow.example.com/trackgate/callback/google"), "{said}");
    assert!(said.contains("check") && said.contains("doctor --url https://mlflow.example.com"), "{said}");
    assert!(place.says("config print").contains("public_url = \"https://mlflow.example.com"));
    place.says(&format!("{init} --force"));
    let fault = place.fails(&format!("{init} --force --url not-an-address"), 2);
    assert!(fault.contains("--url"), "{fault}");
    let fault = place.fails("init --for vm --url mlflow --client-id 1 --force", 1);
    assert!(fault.contains("no file was written") && fault.contains("`--url mlflow`: must be"), "{fault}");
    assert!(place.says("config print").contains("public_url = \"https://mlflow.example.com"), "the old one stays");
}

#[test]
fn init_gives_the_new_file_to_whom_the_old_one_belonged() {
    let place = Place::new();
    let file = place.0.join("trackgate.toml");
    let init = "init --for vm --url https://mlflow.example.com --client-id 1234 --force";
    let root = fs::metadata(&file).unwrap().uid() == 0;
    // Only root may give a file away.
    if root {
        std::os::unix::fs::chown(&file, Some(12_345), Some(23_456)).unwrap();
    }
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    let owner = |file: &fs::Metadata| (file.uid(), file.gid(), file.mode() & 0o777);
    let before = owner(&fs::metadata(&file).unwrap());
    place.says(init);
    assert_eq!(owner(&fs::metadata(&file).unwrap()), before);
    // Without one before: for the group of the folder, as which the package's unit reads it.
    fs::remove_file(&file).unwrap();
    if root {
        std::os::unix::fs::chown(&place.0, None, Some(23_456)).unwrap();
    }
    place.says(init);
    let (_, group, mode) = owner(&fs::metadata(&file).unwrap());
    assert_eq!((group, mode), (fs::metadata(&place.0).unwrap().gid(), 0o640));
    let left: Vec<_> = fs::read_dir(&place.0).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["trackgate.toml"]);
}

#[test]
fn init_replaces_the_packages_sample_only_while_nobody_changed_it() {
    let place = Place::new();
    let file = place.0.join("trackgate.toml");
    let init = "init --for vm --url https://gate.example.com --client-id 1234";
    let sample = include_str!("../deploy/debian/trackgate.toml");
    fs::write(&file, sample.replace("ada@example.com", "eve@example.com")).unwrap();
    assert!(place.fails(init, 1).contains("--force"));
    fs::write(&file, sample).unwrap();
    let said = place.says(init);
    assert!(
        said.contains("next, as root:\n- ") && said.contains("\n    systemctl enable --now trackgate.socket "),
        "{said}"
    );
    assert!(fs::read_to_string(&file).unwrap().contains("https://gate.example.com"));
    assert!(place.fails(init, 1).contains("--force"), "what it wrote is somebody's");
}

/// A certificate of an authority, as the gate keeps it, that began so many days ago and ends in so many.
fn kept(place: &Place, ago: i64, left: i64, name: &str) {
    let directory = "https://127.0.0.1:9/directory";
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, directory.as_bytes());
    let short = u32::from_be_bytes(hash.as_ref()[..4].try_into().unwrap());
    let folder = place.0.join(format!("state/acme/127.0.0.1-{short:08x}"));
    fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder).unwrap();
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap();
    params.not_before = time::OffsetDateTime::now_utc() - time::Duration::days(ago);
    params.not_after = time::OffsetDateTime::now_utc() + time::Duration::days(left) + time::Duration::hours(1);
    let pem = key.serialize_pem() + &params.self_signed(&key).unwrap().pem();
    let file = folder.join("certificate.pem");
    fs::write(&file, pem).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
}

#[test]
fn check_tells_the_days_of_the_certificate_that_an_authority_gave_and_is_loud_21_days_ahead() {
    let place = Place::new();
    let file = place.0.join("trackgate.toml");
    let text = fs::read_to_string(&file).unwrap().replace("https://localhost:8443", "https://mlflow.example.com");
    let text = text.replace("plain = \"127.0.0.1:8080\"", "https = \"127.0.0.1:8443\"");
    fs::write(&file, text + "[acme]\ndirectory = \"https://127.0.0.1:9/directory\"\n").unwrap();
    let said = place.says("check --offline");
    assert!(said.contains("note  certificate: none is kept in "), "{said}");
    kept(&place, 30, 60, "mlflow.example.com");
    let said = place.says("check --offline");
    assert!(said.contains("ok    certificate: the one kept in ") && said.contains("good for 60 days"), "{said}");
    kept(&place, 70, 20, "mlflow.example.com");
    let said = place.fails("check --offline", 5);
    assert!(said.contains("FAULT certificate: the one kept in ") && said.contains("it ends in 20 days"), "{said}");
    let said = place.fails("doctor", 5);
    assert!(said.contains("FAULT certificate: ") && said.contains("it ends in 20 days"), "{said}");
    kept(&place, 90, -1, "mlflow.example.com");
    assert!(place.fails("check --offline", 5).contains("it has expired"));
    // Another one will be asked for: that is no fault yet.
    kept(&place, 30, 60, "other.example.com");
    let said = place.says("check --offline");
    assert!(said.contains("note  certificate: the kept one is not for all of `acme.domains`"), "{said}");
    let kept = fs::read_dir(place.0.join("state/acme")).unwrap().next().unwrap().unwrap().path();
    fs::write(kept.join("certificate.pem"), "no certificate").unwrap();
    let said = place.fails("check --offline", 5);
    assert!(said.contains("FAULT certificate: "), "{said}");
}

#[test]
fn a_gate_whose_records_could_not_be_written_does_not_start() {
    let place = Place::new();
    place.configure("[audit]\nfile = \"/dev/null/audit.jsonl\"");
    let said = place.fails("serve", 1);
    assert!(said.contains("cannot open the audit log `/dev/null/audit.jsonl`"), "{said}");
}
