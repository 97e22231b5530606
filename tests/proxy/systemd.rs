//! The real program under a service manager, which this test plays: sockets that are handed over, what the manager is told,
//! credentials.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use crate::harness::certs::Folder;
use crate::harness::until;

/// Longer than anything takes that works.
const LONG: Duration = Duration::from_secs(30);

/// What this manager gives to the program.
struct Unit {
    folder: Folder,
    plain: SocketAddr,
    more: String,
    variables: Vec<(&'static str, String)>,
    passed: Option<OwnedFd>,
}

impl Unit {
    fn new(plain: SocketAddr) -> Self {
        Self { folder: Folder::new(), plain, more: String::new(), variables: Vec::new(), passed: None }
    }

    /// Hands over a descriptor under these names.
    fn pass(mut self, descriptor: impl Into<OwnedFd>, names: &str) -> Self {
        self.passed = Some(descriptor.into());
        self.set("LISTEN_FDS", "1").set("LISTEN_FDNAMES", names)
    }

    fn set(mut self, variable: &'static str, value: &str) -> Self {
        self.variables.push((variable, value.to_owned()));
        self
    }

    /// Lines for `[listen]`.
    fn listen(mut self, more: &str) -> Self {
        more.clone_into(&mut self.more);
        self
    }

    fn hears(self) -> (Self, Told) {
        let told = Told::at(&self.folder);
        let place = self.folder.path().join("notify");
        (self.set("NOTIFY_SOCKET", place.to_str().unwrap()), told)
    }

    fn start(&mut self) -> Program {
        let here = self.folder.path().display();
        let config = format!(
            "public_url = \"https://localhost\"\nstate_dir = \"{here}/state\"\n[listen]\nplain = \"{}\"\nworkers = 2\n{}\n\
             [upstream]\nurl = \"http://127.0.0.1:9\"\n[audit]\nfile = \"{here}/audit.jsonl\"\n[[issuer]]\nname = \"none\"\n\
             title = \"None\"\nissuer = \"https://127.0.0.1:9\"\n[issuer.bearer]\naudiences = [\"https://localhost\"]\n",
            self.plain, self.more
        );
        let file = self.folder.path().join("trackgate.toml");
        std::fs::write(&file, config).unwrap();
        // The process that becomes the program is the one whose number it is told; its input becomes descriptor 3.
        let mut child = Command::new("sh")
            .arg("-c")
            .arg("export LISTEN_PID=${LISTEN_PID:-$$}; exec 3<&0 </dev/null; exec \"$0\" --config \"$1\" serve")
            .arg(env!("CARGO_BIN_EXE_trackgate"))
            .arg(&file)
            .envs(self.variables.iter().cloned())
            .stdin(self.passed.as_ref().map_or(Stdio::null(), |passed| passed.try_clone().unwrap().into()))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (sender, said) = channel();
        let pipe = BufReader::new(child.stderr.take().unwrap());
        std::thread::spawn(move || {
            for line in pipe.lines().map_while(Result::ok) {
                eprintln!("{line}");
                let _ = sender.send(line);
            }
        });
        Program { child, said }
    }

    /// What it says when it does not start.
    async fn refuses(mut self) -> String {
        let mut program = self.start();
        assert!(!program.end().await.success());
        program.said.iter().collect::<Vec<_>>().join("\n")
    }
}

struct Program {
    child: Child,
    said: Receiver<String>,
}

impl Program {
    fn signal(&self, name: &str) {
        assert!(
            Command::new("kill").arg(format!("-{name}")).arg(self.child.id().to_string()).status().unwrap().success()
        );
    }

    async fn end(&mut self) -> ExitStatus {
        let mut status = None;
        until("the end of the program", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        })
        .await;
        status.unwrap()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the manager has been told.
struct Told(UnixDatagram);

impl Told {
    fn at(folder: &Folder) -> Self {
        let socket = UnixDatagram::bind(folder.path().join("notify")).unwrap();
        socket.set_read_timeout(Some(LONG)).unwrap();
        Self(socket)
    }

    /// The next message with this line, and those lines that are in it.
    fn next(&self, line: &str) -> Vec<String> {
        let mut bytes = [0; 4096];
        loop {
            let count = self.0.recv(&mut bytes).unwrap_or_else(|error| panic!("no {line}: {error}"));
            let message: Vec<_> = String::from_utf8_lossy(&bytes[..count]).lines().map(str::to_owned).collect();
            if message.iter().any(|found| found == line) {
                return message;
            }
        }
    }
}

fn listening() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// Connects, and asks without waiting for an answer.
fn ask(address: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    stream.write_all(b"GET /trackgate/livez HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").unwrap();
    stream
}

fn answered(mut stream: TcpStream) -> bool {
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.starts_with("HTTP/1.1 200 ")
}

#[tokio::test]
async fn the_manager_is_told_of_start_reload_and_end() {
    let (listener, address) = listening();
    let (unit, told) = Unit::new(address).pass(listener, "plain").hears();
    let mut unit = unit.listen("monitor = \"127.0.0.1:0\"");
    let mut program = unit.start();
    let ready = told.next("READY=1");
    assert!(ready.contains(&format!("STATUS=open, plain at {address}")), "{ready:?}");
    assert!(answered(ask(address)));
    program.signal("HUP");
    let reloading = told.next("RELOADING=1");
    assert!(
        reloading.iter().any(|line| line.strip_prefix("MONOTONIC_USEC=").is_some_and(|n| n.parse::<u64>().is_ok()))
    );
    told.next("READY=1");
    assert!(answered(ask(address)));
    program.signal("TERM");
    let stopping = told.next("STOPPING=1");
    assert!(stopping.contains(&"EXTEND_TIMEOUT_USEC=50000000".to_owned()), "{stopping:?}");
    assert_eq!(program.end().await.code(), Some(0));
    // Connections wait meanwhile: nothing may wait for its limit.
    let late: Vec<_> = program.said.iter().filter(|line| line.contains("in time")).collect();
    assert!(late.is_empty(), "{late:?}");
}

#[tokio::test]
async fn a_restart_refuses_no_connection() {
    let (listener, address) = listening();
    let (mut unit, told) = Unit::new(address).pass(listener, "plain").hears();
    let mut program = unit.start();
    told.next("READY=1");
    assert!(answered(ask(address)));
    program.signal("TERM");
    told.next("STOPPING=1");
    // During the end and after it: somebody answers, be it the next one.
    let during: Vec<_> = (0..20).map(|_| ask(address)).collect();
    assert_eq!(program.end().await.code(), Some(0));
    let after: Vec<_> = (0..20).map(|_| ask(address)).collect();
    let _next = unit.start();
    told.next("READY=1");
    for (number, stream) in during.into_iter().chain(after).enumerate() {
        assert!(answered(stream), "{number}");
    }
}

#[tokio::test]
async fn whoever_comes_during_a_long_end_is_answered() {
    let (listener, address) = listening();
    let (mut unit, told) = Unit::new(address).pass(listener, "plain").hears();
    let mut program = unit.start();
    told.next("READY=1");
    // A request that has begun to come holds the end up.
    let mut slow = TcpStream::connect(address).unwrap();
    slow.set_read_timeout(Some(LONG)).unwrap();
    slow.write_all(b"GET /trackgate/livez HTTP/1.1\r\nhost: local").unwrap();
    assert!(answered(ask(address)), "the slow one was accepted before");
    program.signal("TERM");
    told.next("STOPPING=1");
    // The workers that have nothing to finish may be gone; the other one takes all.
    for _ in 0..5 {
        assert!(answered(ask(address)));
    }
    slow.write_all(b"host\r\n\r\n").unwrap();
    assert!(answered(slow));
    assert_eq!(program.end().await.code(), Some(0));
}

#[tokio::test]
async fn the_watchdog_hears_from_a_gate_whose_workers_answer() {
    let (listener, address) = listening();
    let (unit, told) = Unit::new(address).pass(listener, "plain").hears();
    // Every fifth of a second, and first at once.
    let mut unit = unit.set("WATCHDOG_USEC", "800000");
    let mut program = unit.start();
    told.next("READY=1");
    for _ in 0..3 {
        told.next("WATCHDOG=1");
    }
    // Also while it closes.
    let mut slow = TcpStream::connect(address).unwrap();
    slow.write_all(b"GET /trackgate/livez HTTP/1.1\r\nhost: local").unwrap();
    assert!(answered(ask(address)), "the slow one was accepted before");
    program.signal("TERM");
    told.next("STOPPING=1");
    told.next("WATCHDOG=1");
    slow.write_all(b"host\r\n\r\n").unwrap();
    assert_eq!(program.end().await.code(), Some(0));
}

#[tokio::test]
async fn the_monitor_takes_its_socket_by_name() {
    let (listener, monitor) = listening();
    let (free, address) = listening();
    drop(free);
    let (unit, told) = Unit::new(address).pass(listener, "monitor").hears();
    let mut unit = unit.listen(&format!("monitor = \"{monitor}\""));
    let _program = unit.start();
    told.next("READY=1");
    let mut stream = TcpStream::connect(monitor).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    stream.write_all(b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
    assert!(answered(stream));
}

#[tokio::test]
async fn a_manager_that_is_gone_is_no_reason_to_stop() {
    let (listener, address) = listening();
    let mut unit = Unit::new(address).pass(listener, "plain").set("NOTIFY_SOCKET", "/nowhere/notify");
    let mut program = unit.start();
    assert!(answered(ask(address)));
    program.signal("HUP");
    assert!(answered(ask(address)));
    program.signal("TERM");
    assert_eq!(program.end().await.code(), Some(0));
    let said: Vec<_> = program.said.iter().filter(|line| line.contains("cannot be told anything")).collect();
    assert_eq!(said.len(), 1, "{said:?}");
}

#[tokio::test]
async fn sockets_for_another_process_are_left_alone() {
    let (listener, _) = listening();
    let (free, address) = listening();
    drop(free);
    let (unit, told) = Unit::new(address).pass(listener, "plain").hears();
    let mut unit = unit.set("LISTEN_PID", "1");
    let _program = unit.start();
    told.next("READY=1");
    assert!(answered(ask(address)));
}

#[tokio::test]
async fn garbage_from_the_manager_is_told_and_ends_the_program() {
    let address = listening().1;
    let (unit, told) = Unit::new(address).pass(listening().0, "plain").set("LISTEN_FDS", "many").hears();
    let said = unit.refuses().await;
    assert!(said.contains("LISTEN_FDS is not what a service manager sets: many is no number"), "{said}");
    // And the manager can show it.
    let status = format!("STATUS={}", said.lines().last().unwrap().trim_start_matches("trackgate: "));
    told.next(&status);
}

#[tokio::test]
async fn a_descriptor_that_does_not_listen_is_told_and_ends_the_program() {
    let address = listening().1;
    let said = Unit::new(address).pass(std::fs::File::open("/dev/null").unwrap(), "plain").refuses().await;
    assert!(said.contains("hands over `plain`, which is no listening TCP socket"), "{said}");
    let datagrams = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let said = Unit::new(address).pass(datagrams, "plain").refuses().await;
    assert!(said.contains("hands over `plain`, which is no listening TCP socket"), "{said}");
    let (listener, at) = listening();
    let client = TcpStream::connect(at).unwrap();
    let said = Unit::new(address).pass(client, "plain").refuses().await;
    assert!(said.contains("it does not listen"), "{said}");
    drop(listener);
    // One that is not there at all.
    let said = Unit::new(address).pass(listening().0, "plain:https").set("LISTEN_FDS", "2").refuses().await;
    assert!(said.contains("hands over `https`, which is no listening TCP socket"), "{said}");
}

#[tokio::test]
async fn a_socket_that_is_not_what_the_configuration_says_is_told_and_ends_the_program() {
    let (listener, elsewhere) = listening();
    let address = listening().1;
    let said = Unit::new(address).pass(listener, "plain").refuses().await;
    assert!(said.contains(&format!("`plain` at {elsewhere}, but `listen.plain` is {address}")), "{said}");
    let said = Unit::new(address).pass(listening().0, "redirect").refuses().await;
    assert!(said.contains("the socket `redirect` at") && said.contains("disable the socket unit"), "{said}");
}

#[tokio::test]
async fn the_redirect_takes_its_socket_by_name() {
    let (listener, redirect) = listening();
    let (free, address) = listening();
    drop(free);
    let (unit, told) = Unit::new(address).pass(listener, "redirect").hears();
    let mut unit = unit.listen(&format!("redirect = \"{redirect}\""));
    let _program = unit.start();
    told.next("READY=1");
    let mut stream = ask(redirect);
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 308 "), "{answer}");
}

#[test]
fn a_credential_is_read_from_the_managers_folder_and_missed_without_one() {
    let folder = Folder::new();
    let file = folder.path().join("trackgate.toml");
    let text = format!(
        "public_url = \"https://localhost\"\nstate_dir = \"{here}/state\"\n[listen]\nplain = \"127.0.0.1:0\"\n[[issuer]]\n\
         name = \"one\"\ntitle = \"One\"\nissuer = \"https://idp.example\"\n[issuer.login]\nclient_id = \"x\"\n\
         client_secret_file = \"credential:secret_client\"\n",
        here = folder.path().display()
    );
    std::fs::write(&file, text).unwrap();
    let check = |credentials: Option<&std::path::Path>| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_trackgate"));
        command.args(["check", "--offline", "--config"]).arg(&file).env_remove("CREDENTIALS_DIRECTORY");
        if let Some(credentials) = credentials {
            command.env("CREDENTIALS_DIRECTORY", credentials);
        }
        let done = command.output().unwrap();
        (done.status.code(), String::from_utf8_lossy(&[done.stdout, done.stderr].concat()).into_owned())
    };
    let (code, said) = check(None);
    assert_eq!(code, Some(3), "{said}");
    assert!(
        said.contains("line 11: `issuer[1].login.client_secret_file` names the credential `secret_client`, but"),
        "{said}"
    );
    let (code, said) = check(Some(folder.path()));
    assert!(code == Some(3) && said.contains("secret_client`, which cannot be read"), "{said}");
    std::fs::write(folder.path().join("secret_client"), "hush").unwrap();
    Command::new("chmod").arg("0400").arg(folder.path().join("secret_client")).status().unwrap();
    let (code, said) = check(Some(folder.path()));
    assert_eq!(code, Some(0), "{said}");
    // Commands that do not use it do not miss it; what is printed is what was written.
    let printed = Command::new(env!("CARGO_BIN_EXE_trackgate"))
        .args(["config", "print", "--config"])
        .arg(&file)
        .env("CREDENTIALS_DIRECTORY", folder.path())
        .output()
        .unwrap();
    let printed = String::from_utf8_lossy(&printed.stdout).into_owned();
    assert!(printed.contains("client_secret_file = \"credential:secret_client\""), "{printed}");
    let users = Command::new(env!("CARGO_BIN_EXE_trackgate"))
        .args(["user", "list", "--config"])
        .arg(&file)
        .env_remove("CREDENTIALS_DIRECTORY")
        .status();
    assert!(users.unwrap().success());
}
