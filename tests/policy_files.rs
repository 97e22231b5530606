//! Is the policy what its files say, and do the files say what the policy is?

#![allow(clippy::unwrap_used, reason = "a test may panic")]

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
             \"http://127.0.0.1:9\"\n[issuer.bearer]\naudiences = [\"a\"]\n",
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
    assert_eq!(documented(&place), 2);
    let planned = place.ends("policy plan policy", 2);
    assert!(planned.contains("+ user alice@example.com to group research  (policy/people.toml:1)"), "{planned}");
    assert!(planned.contains("+ group:research may create registered_model research-*"), "{planned}");
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
