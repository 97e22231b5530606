//! What the folder and the file may be like.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown, symlink};
use std::process::Output;

use crate::lookalike::Lookalike;
use crate::person::{Person, text};

/// On a full disk: not one byte can be written to a file. (The shell's trap turns the signal into an error, as a full disk's.)
fn on_a_full_disk(person: &Person, line: &str) -> Output {
    let mut shell = person.through("/bin/sh");
    let script = format!("trap '' XFSZ; ulimit -f 0; exec '{}' {line}", env!("CARGO_BIN_EXE_trackgate"));
    shell.arg("-c").arg(script).output().unwrap()
}

/// In a folder that cannot be written to: as somebody whom its mode binds.
fn in_a_read_only_folder(person: &Person, line: &str) -> Option<Output> {
    fs::set_permissions(&person.0, fs::Permissions::from_mode(0o500)).unwrap();
    if fs::write(person.0.join("probe"), "").is_err() {
        return Some(person.run(line));
    }
    // The superuser is bound by no mode.
    fs::remove_file(person.0.join("probe")).unwrap();
    for path in [&person.0, &person.file(), &person.0.join("credentials.lock")] {
        if chown(path, Some(65534), Some(65534)).is_err() {
            return None;
        }
    }
    let mut program = person.through("setpriv");
    program.args(["--reuid=65534", "--regid=65534", "--clear-groups", env!("CARGO_BIN_EXE_trackgate")]);
    // Not every machine has the tool, or lets nobody reach the program.
    program.args(line.split(' ')).output().ok().filter(|output| text(&output.stderr).find("setpriv:").is_none())
}

#[test]
fn on_a_full_disk_a_renewed_token_is_used_and_what_was_lost_is_said_once() {
    let server = Lookalike::new();
    let person = Person::signed_in(&server, -10);
    let before = fs::read_to_string(person.file()).unwrap();
    let output = on_a_full_disk(&person, "token print");
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(text(&output.stdout).starts_with("tgl_"));
    assert!(said.contains("cannot be kept") && said.contains("sign in again"), "{said}");
    assert_eq!(fs::read_to_string(person.file()).unwrap(), before, "the old file is whole");
    let left: Vec<_> = fs::read_dir(&person.0).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "no litter: {left:?}");
}

#[test]
fn a_process_goes_on_with_what_it_could_not_keep() {
    let server = Lookalike::new();
    let person = Person::signed_in(&server, -10);
    // Refused once: so this one process renews twice.
    server.state().manner.refusals = 1;
    let output = on_a_full_disk(&person, "whoami");
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert_eq!(said.matches("cannot be kept").count(), 1, "{said}");
    let state = server.state();
    let shown: Vec<_> = state.forms.iter().filter_map(|(_, form)| form.get("refresh_token")).collect();
    assert!(shown.len() == 2 && shown[0] != shown[1], "with the new refresh token: {shown:?}");
}

#[test]
fn in_a_read_only_folder_a_renewed_token_is_used_and_what_was_lost_is_said() {
    let server = Lookalike::new();
    let person = Person::signed_in(&server, -10);
    let before = fs::read_to_string(person.file()).unwrap();
    let Some(output) = in_a_read_only_folder(&person, "token print") else { return };
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(text(&output.stdout).starts_with("tgl_") && said.contains("cannot be kept"), "{said}");
    fs::set_permissions(&person.0, fs::Permissions::from_mode(0o700)).unwrap();
    assert_eq!(fs::read_to_string(person.file()).unwrap(), before);
}

#[test]
fn where_a_login_cannot_be_kept_nobody_is_asked_to_sign_in() {
    let server = Lookalike::new();
    let person = Person::new();
    let output = on_a_full_disk(&person, &format!("login {} --device", server.url));
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("credentials.json` cannot be written"), "{said}");
    assert!(server.server.seen().is_empty(), "nobody was troubled");
}

#[test]
fn a_full_disk_keeps_no_logout_from_revoking() {
    let server = Lookalike::new();
    let person = Person::signed_in(&server, 3600);
    let output = on_a_full_disk(&person, "logout");
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("cannot be written"), "{said}");
    assert_eq!(server.state().revoked().len(), 1);
}

#[test]
fn a_file_that_others_may_read_is_used_by_no_command() {
    let server = Lookalike::new();
    let person = Person::signed_in(&server, 3600);
    fs::set_permissions(person.file(), fs::Permissions::from_mode(0o644)).unwrap();
    for line in ["token print", "whoami", "logout", "logout --all", &format!("login {} --device", server.url)] {
        let said = person.fails(line, 1);
        assert!(said.contains(&format!("chmod 600 {}", person.file().display())), "{line}: {said}");
    }
    fs::set_permissions(person.file(), fs::Permissions::from_mode(0o600)).unwrap();
    person.says("token print");
}

#[test]
fn garbage_and_links_are_said_and_left_by_every_command() {
    let server = Lookalike::new();
    let person = Person::signed_in(&server, 3600);
    let kept = person.0.join("kept.json");
    fs::copy(person.file(), &kept).unwrap();
    let lines = ["token print", "whoami", "logout", "logout --all", &format!("login {} --device", server.url)];
    person.write("{\"version\": 1, \"servers\": {\"half");
    for line in lines {
        let said = person.fails(line, 1);
        assert!(said.contains("is not a file of credentials") && said.contains("left as it is"), "{line}: {said}");
        assert_eq!(fs::read_to_string(person.file()).unwrap(), "{\"version\": 1, \"servers\": {\"half");
    }
    fs::remove_file(person.file()).unwrap();
    symlink("kept.json", person.file()).unwrap();
    for line in lines {
        assert!(person.fails(line, 1).contains("symbolic link"), "{line}");
        assert!(fs::symlink_metadata(person.file()).unwrap().is_symlink(), "{line}");
    }
}

#[test]
fn without_a_home_it_says_what_to_set() {
    let person = Person::new();
    for line in ["token print", "whoami", "logout", "login http://127.0.0.1:9 --device"] {
        let output = person.program(line).env_remove("TRACKGATE_CONFIG_DIR").output().unwrap();
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{line}: {said}");
        assert!(said.contains("HOME is not set") && said.contains("TRACKGATE_CONFIG_DIR"), "{line}: {said}");
    }
}

#[test]
fn the_folder_is_made_below_the_home_for_its_owner_alone() {
    let (server, person) = (Lookalike::new(), Person::new());
    let mut login = person.program(&format!("login {} --device", server.url));
    let output = login.env_remove("TRACKGATE_CONFIG_DIR").env("HOME", &person.0).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let folder = person.0.join(".config/trackgate");
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&folder), mode(&folder.join("credentials.json"))), (0o700, 0o600));
}
