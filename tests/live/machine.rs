//! `trackgate login` on a person's own machine: the program, a browser, the real gate, MLflow's client and the blocks of the docs.

use std::fs;
use std::io::{BufRead as _, BufReader, Read};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::{Value, json};

use crate::house::{House, folder, part, shared};
use crate::own_pages::{open, shoot};
use crate::stage::idp::accounts::{OWNER, READER};
use crate::stage::repository;
use crate::webdriver::Browser;

/// A machine of somebody's own, with a home.
struct Machine<'a> {
    house: &'a House,
    home: PathBuf,
}

impl<'a> Machine<'a> {
    fn new(house: &'a House, name: &str) -> Self {
        let home = folder(name);
        fs::create_dir_all(home.join("bin")).unwrap();
        let _ = symlink(env!("CARGO_BIN_EXE_trackgate"), home.join("bin/trackgate"));
        Self { house, home }
    }

    /// A program in the surroundings of this machine and no others.
    fn program(&self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new(program.as_ref());
        let python = self.house.environment.python();
        let near = [self.home.join("bin"), python.parent().unwrap().to_owned()];
        let path = std::env::var_os("PATH").unwrap();
        let path = std::env::join_paths(near.into_iter().chain(std::env::split_paths(&path))).unwrap();
        let ca = self.house.authority.file();
        command.env_clear().env("PATH", path).env("HOME", &self.home).current_dir(&self.home);
        command.env("TRACKGATE_CA_FILE", ca).env("CURL_CA_BUNDLE", ca).env("MLFLOW_TRACKING_SERVER_CERT_PATH", ca);
        command.env("MLFLOW_TELEMETRY_DISABLED", "1").env("GIT_PYTHON_REFRESH", "quiet");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn trackgate(&self, line: &str) -> Command {
        let mut command = self.program(self.home.join("bin/trackgate"));
        command.args(line.split(' '));
        command
    }

    /// What a command that ends well says.
    fn says(&self, line: &str) -> String {
        said(line, self.trackgate(line).output().unwrap(), 0).0
    }

    fn file(&self) -> PathBuf {
        self.home.join(".config/trackgate/credentials.json")
    }

    /// Makes the access token look as if it were over.
    fn expire(&self) {
        let mut document: Value = serde_json::from_str(&fs::read_to_string(self.file()).unwrap()).unwrap();
        document["servers"][self.house.gate.url().trim_end_matches('/')]["access_expires_at"] = json!(0);
        fs::write(self.file(), document.to_string()).unwrap();
    }

    /// A block of the docs, at the address of this house.
    fn block(&self, text: &str) -> String {
        text.replace("https://mlflow.example.com", self.house.gate.url().trim_end_matches('/'))
    }
}

/// Standard output and standard error of what ended with this status.
fn said(what: &str, output: Output, code: i32) -> (String, String) {
    let (out, err) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert_eq!(output.status.code(), Some(code), "{what}: {out}{err}");
    (out, err)
}

/// The addresses that a login prints, as many as are wanted, while it waits.
fn addresses(child: &mut Child, wanted: usize) -> (Vec<String>, impl Read + use<>) {
    let mut lines = BufReader::new(child.stderr.take().unwrap());
    let mut found = Vec::new();
    let mut all = String::new();
    while found.len() < wanted {
        let mut line = String::new();
        assert!(lines.read_line(&mut line).unwrap() > 0, "it ended: {all}");
        if line.trim_start().starts_with("http") {
            found.push(line.trim().to_owned());
        }
        all.push_str(&line);
    }
    (found, lines)
}

#[test]
fn a_person_signs_in_from_their_own_machine_and_the_blocks_of_the_docs_run() {
    let test = "a_person_signs_in_from_their_own_machine_and_the_blocks_of_the_docs_run";
    let Some(browser) = part(test, Browser::open(&folder("machine-browser"))) else { return };
    let house = shared();
    let url = house.gate.url();
    let machine = Machine::new(house, "machine");
    let mut login = machine.trackgate(&format!("login {url} --no-browser")).spawn().unwrap();
    let (found, rest) = addresses(&mut login, 1);
    open(&browser, &found[0], &OWNER);
    browser.reads("Sign in a program on this computer?");
    browser.click("button[value=yes]");
    browser.reads("You can close this window");
    shoot(&browser, "machine-signed-in");
    let (out, _) = said("login", login.wait_with_output().unwrap(), 0);
    drop(rest);
    assert!(out.contains(&format!("as {}", OWNER.email)), "{out}");

    let who: Value = serde_json::from_str(&machine.says("whoami --json")).unwrap();
    assert_eq!((&who["user"], &who["proof"]), (&json!(OWNER.email), &json!("token")), "{who}");

    // Many at once: one renewal, and none loses what another has.
    let before = machine.says("token print");
    machine.expire();
    let children: Vec<_> = (0..8).map(|_| machine.trackgate("token print").spawn().unwrap()).collect();
    let mut printed: Vec<_> =
        children.into_iter().map(|child| said("token print", child.wait_with_output().unwrap(), 0).0).collect();
    printed.dedup();
    assert!(printed.len() == 1 && printed[0] != before, "{printed:?}");
    // Two machines with one file: both have an answer.
    let copy = Machine::new(house, "machine-copy");
    fs::create_dir_all(copy.file().parent().unwrap()).unwrap();
    machine.expire();
    fs::copy(machine.file(), copy.file()).unwrap();
    let children = [&machine, &copy].map(|machine| machine.trackgate("whoami").spawn().unwrap());
    for child in children {
        let (out, _) = said("whoami", child.wait_with_output().unwrap(), 0);
        assert!(out.contains(OWNER.email), "{out}");
    }

    // The whole chain from outside: the gate, its certificate, MLflow behind it, and who one is.
    let told = machine.says(&format!("doctor --url {url}"));
    for line in [
        "ok    certificate: good for ",
        "ok    sign-in: Trackgate ",
        "ok    without a credential: MLflow's API refuses (401)",
        "ok    credential: the login",
        &format!("ok    whoami: {} (by token)", OWNER.email),
        "ok    MLflow: version ",
    ] {
        assert!(told.contains(line), "`{line}` is not in:\n{told}");
    }

    blocks_of_the_docs_run(&machine);

    let token = machine.says("token print");
    let me = format!("{}/trackgate/whoami", url.trim_end_matches('/'));
    assert_eq!(house.web.get(&me, token.trim()).unwrap().status, 200);
    assert!(machine.says("logout").starts_with("signed out at"));
    assert_eq!(house.web.get(&me, token.trim()).unwrap().status, 401, "revoked at the server too");
    let (_, err) = said("token print", machine.trackgate("token print").output().unwrap(), 6);
    assert!(err.contains("not signed in"), "{err}");
}

/// The blocks of `docs/clients.md` for laptop, notebook and curl, as they stand there.
fn blocks_of_the_docs_run(machine: &Machine<'_>) {
    let docs = fs::read_to_string(repository().join("docs/clients.md")).unwrap();
    let block = |heading: &str, kind: &str, number: usize| {
        let section = docs.split(&format!("\n## {heading}\n")).nth(1).unwrap().split("\n## ").next().unwrap();
        let block = section.split(&format!("```{kind}\n")).nth(number).unwrap().split("```").next().unwrap();
        machine.block(block)
    };
    let python = machine.house.environment.python();
    let train = "import mlflow\nassert mlflow.search_experiments() is not None\nprint('trained')\n";
    fs::write(machine.home.join("train.py"), train).unwrap();
    let shell = |text: &str| {
        let mut shell = machine.program("/bin/sh");
        said(text, shell.args(["-e", "-c", text]).output().unwrap(), 0).0
    };
    assert!(shell(&block("Laptop", "sh", 2)).contains("trained"));
    for number in [1, 2] {
        let answer = shell(&block("curl", "sh", number));
        let answer: Value = serde_json::from_str(&answer).unwrap_or_else(|_| panic!("{answer}"));
        assert!(answer["experiments"].is_array() || answer == json!({}), "{answer}");
    }
    let cell = block("Notebook on another machine", "python", 1) + train;
    let mut notebook = machine.program(&python);
    assert!(said(&cell, notebook.args(["-c", &cell]).output().unwrap(), 0).0.contains("trained"));
}

#[test]
fn a_code_of_the_program_signs_in_until_the_login_is_ended_at_the_server() {
    let test = "a_code_of_the_program_signs_in_until_the_login_is_ended_at_the_server";
    let Some(browser) = part(test, Browser::open(&folder("machine-code-browser"))) else { return };
    let house = shared();
    let machine = Machine::new(house, "machine-code");
    // No display, and so no browser of this machine.
    let mut login = machine.trackgate(&format!("login {}", house.gate.url())).spawn().unwrap();
    let (found, mut rest) = addresses(&mut login, 2);
    open(&browser, &found[1], &READER);
    browser.reads("Type the code that your program shows");
    browser.click("form button");
    browser.reads("Sign in this device?");
    browser.click("button[value=yes]");
    browser.reads("The device is signed in");
    let mut err = String::new();
    rest.read_to_string(&mut err).unwrap();
    let (out, _) = said("login", login.wait_with_output().unwrap(), 0);
    assert!(out.contains(&format!("as {}", READER.email)), "{out}{err}");
    let token = machine.says("token print");
    let mut admin = machine.trackgate(&format!("token revoke {}", &token[4..12]));
    let (out, _) = said("token revoke", admin.env("TRACKGATE_CONFIG", house.gate.config()).output().unwrap(), 0);
    assert_eq!(out, "1 token revoked\n");
    // The gate hears of it within a second; until then the login counts.
    let begun = std::time::Instant::now();
    let err = loop {
        let output = machine.trackgate("whoami").output().unwrap();
        if output.status.code() != Some(0) {
            break said("whoami", output, 6).1;
        }
        assert!(begun.elapsed() < std::time::Duration::from_secs(20), "it still counts");
    };
    assert!(err.contains("has ended") && err.contains("run: trackgate login"), "{err}");
}
