//! A person with a folder of their own, who runs the program.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::lookalike::Lookalike;

pub struct Person(pub PathBuf);

impl Person {
    pub fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("trackgate-client-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::DirBuilder::new().mode(0o700).create(&path).unwrap();
        Self(path)
    }

    /// One who is signed in, with a token that lasts so many seconds.
    pub fn signed_in(server: &Lookalike, lasts: i64) -> Self {
        let person = Self::new();
        person.says(&format!("login {} --device", server.url));
        person.edit(|document| {
            document["servers"][&server.url]["access_expires_at"] = json!(now().saturating_add_signed(lasts));
        });
        person
    }

    pub fn file(&self) -> PathBuf {
        self.0.join("credentials.json")
    }

    pub fn document(&self) -> Value {
        serde_json::from_str(&fs::read_to_string(self.file()).unwrap()).unwrap()
    }

    pub fn entry(&self, server: &Lookalike) -> Value {
        self.document()["servers"][&server.url].clone()
    }

    pub fn edit(&self, change: impl FnOnce(&mut Value)) {
        let mut document = self.document();
        change(&mut document);
        self.write(&document.to_string());
    }

    pub fn write(&self, text: &str) {
        fs::write(self.file(), text).unwrap();
        fs::set_permissions(self.file(), fs::Permissions::from_mode(0o600)).unwrap();
    }

    /// The program, in this person's surroundings and no others.
    pub fn program(&self, line: &str) -> Command {
        let mut command = self.through(env!("CARGO_BIN_EXE_trackgate"));
        command.args(line.split(' '));
        command
    }

    /// Another program in the same surroundings.
    pub fn through(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap()).env("TRACKGATE_CONFIG_DIR", &self.0);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    pub fn run(&self, line: &str) -> Output {
        self.program(line).output().unwrap()
    }

    /// What a command that ends well says on standard output.
    pub fn says(&self, line: &str) -> String {
        let output = self.run(line);
        assert_eq!(output.status.code(), Some(0), "{line}: {}", text(&output.stderr));
        text(&output.stdout)
    }

    /// What a command that ends with `code` says on standard error; on the other it says nothing.
    pub fn fails(&self, line: &str, code: i32) -> String {
        let output = self.run(line);
        let said = text(&output.stderr);
        assert_eq!((output.status.code(), text(&output.stdout).as_str()), (Some(code), ""), "{line}: {said}");
        said
    }
}

impl Drop for Person {
    fn drop(&mut self) {
        let _ = fs::set_permissions(&self.0, fs::Permissions::from_mode(0o700));
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A login that waits for its browser.
pub struct Waiting {
    child: Child,
    /// The address that it printed.
    pub address: url::Url,
    rest: BufReader<std::process::ChildStderr>,
}

impl Waiting {
    pub fn new(mut command: Command) -> Self {
        let mut child = command.spawn().unwrap();
        let mut rest = BufReader::new(child.stderr.take().unwrap());
        let mut said = String::new();
        let address = loop {
            let mut line = String::new();
            assert!(rest.read_line(&mut line).unwrap() > 0, "no address: {said}");
            if line.trim_start().starts_with("http") {
                break url::Url::parse(line.trim()).unwrap();
            }
            said.push_str(&line);
        };
        Self { child, address, rest }
    }

    /// Exit status, standard output, and the rest of standard error.
    pub fn end(mut self) -> (Option<i32>, String, String) {
        let mut said = String::new();
        std::io::Read::read_to_string(&mut self.rest, &mut said).unwrap();
        let output = self.child.wait_with_output().unwrap();
        (output.status.code(), text(&output.stdout), said)
    }
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}
