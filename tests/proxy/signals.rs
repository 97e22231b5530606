//! The real program and its signals: SIGTERM closes in order and exits with 0, SIGHUP reads the certificate again (and the
//! configuration: `reload`).

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use crate::harness::certs::{Authority, Folder};
use crate::harness::client;
use crate::harness::raw::Raw;
use crate::harness::{ports, soon, until};

pub(super) struct Program {
    pub(super) child: Child,
    pub(super) folder: Folder,
    authority: Authority,
    pub(super) plain: SocketAddr,
    https: SocketAddr,
    pub(super) monitor: SocketAddr,
}

impl Program {
    pub(super) async fn start(more: &str) -> Self {
        let mut program = Self::start_with(more, |text| text, Stdio::null()).await;
        let said = BufReader::new(program.child.stderr.take().unwrap());
        // What it says is passed on, so that a failure shows its reason.
        std::thread::spawn(move || said.lines().map_while(Result::ok).for_each(|line| eprintln!("{line}")));
        program
    }

    /// The same with a changed text; nobody reads what it says.
    pub(super) async fn start_with(more: &str, change: impl FnOnce(String) -> String, stdout: Stdio) -> Self {
        let (folder, authority) = (Folder::new(), Authority::new());
        authority.write(folder.path());
        let [plain, https, monitor] = ports::free();
        let here = folder.path().display();
        let config = format!(
            "public_url = \"https://localhost\"\nstate_dir = \"{here}/state\"\n[listen]\nhttps = \"{https}\"\n\
             plain = \"{plain}\"\ncertificate = \"{here}/cert.pem\"\nprivate_key = \"{here}/key.pem\"\nworkers = 2\n\
             monitor = \"{monitor}\"\ncertificate_poll = \"1h\"\n[upstream]\nurl = \"http://127.0.0.1:9\"\n[audit]\nfile = \"{here}/audit.jsonl\"\n\
             [[issuer]]\nname = \"none\"\ntitle = \"None\"\nissuer = \"https://127.0.0.1:9\"\n[issuer.bearer]\n\
             audiences = [\"https://localhost\"]\n{more}"
        );
        let file = folder.path().join("trackgate.toml");
        std::fs::write(&file, change(config)).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_trackgate"))
            .arg("--config")
            .arg(&file)
            .arg("serve")
            .stdin(Stdio::null())
            .stdout(stdout)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut program = Self { child, folder, authority, plain, https, monitor };
        until("an open door", || {
            assert!(program.child.try_wait().unwrap().is_none(), "the program ended");
            std::net::TcpStream::connect(program.plain).is_ok()
        })
        .await;
        program
    }

    pub(super) fn signal(&self, name: &str) {
        let done = Command::new("kill").arg(format!("-{name}")).arg(self.child.id().to_string()).status().unwrap();
        assert!(done.success());
    }

    pub(super) async fn exit(&mut self) -> i32 {
        let mut code = None;
        until("the end of the program", || {
            code = self.child.try_wait().unwrap().map(|status| status.code());
            code.is_some()
        })
        .await;
        code.flatten().expect("it exited by itself")
    }

    async fn shown(&self) -> Vec<u8> {
        let stream = client::tls(self.https, self.authority.client(&["http/1.1"])).await.unwrap();
        stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn idle_it_ends_at_once() {
    let mut program = Program::start("[limits]\ndrain_accept = \"0s\"\n").await;
    let begun = std::time::Instant::now();
    program.signal("TERM");
    assert_eq!(program.exit().await, 0);
    // A tenth of a second on a quiet machine. Whoever still held the audit log would make it ten.
    assert!(begun.elapsed() < std::time::Duration::from_secs(5), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn sigterm_finishes_what_runs_and_exits_with_0() {
    for signal in ["TERM", "INT"] {
        let mut program = Program::start("").await;
        let mut raw = Raw::connect(program.plain).await;
        raw.send("GET /trackgate/livez HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
        assert_eq!(raw.answer().await.status, 200);
        // A request that has begun to come when the signal does.
        let mut running = Raw::connect(program.plain).await;
        running.send("GET /trackgate/livez HTTP/1.1\r\nhost: local").await;
        program.signal(signal);
        raw.is_closed().await;
        running.send("host\r\n\r\n").await;
        let said = running.answer().await;
        assert_eq!((said.status, said.header("connection")), (200, Some("close")));
        assert_eq!(program.exit().await, 0, "{signal}");
    }
}

#[tokio::test]
async fn sighup_reads_the_certificate_again() {
    let program = Program::start("").await;
    let before = program.shown().await;
    program.authority.write(program.folder.path());
    program.signal("HUP");
    soon("the new certificate", async {
        while program.shown().await == before {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    })
    .await;
    // And a bad pair changes nothing; the program lives on.
    let good = program.shown().await;
    std::fs::write(program.folder.path().join("key.pem"), program.authority.issue().1).unwrap();
    program.signal("HUP");
    let mut raw = Raw::connect(program.plain).await;
    raw.send("GET /trackgate/livez HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    assert_eq!(raw.answer().await.status, 200);
    assert_eq!(program.shown().await, good);
    // Whoever watches hears of it, for as long as it is so.
    program
        .tells("[!] certificate: the new one cannot be used, the old one stays: the private key does not belong")
        .await;
    assert!(program.says("trackgate_reload_success{part=\"certificate\"} 0").await);
    program.authority.write(program.folder.path());
    program.signal("HUP");
    program.tells("[+] certificate: ok").await;
    assert!(program.says("trackgate_reload_success{part=\"certificate\"} 1").await);
}

/// What the program says until it has ended.
fn said(mut program: Program) -> String {
    program.signal("TERM");
    let mut said = String::new();
    std::io::Read::read_to_string(&mut program.child.stderr.take().unwrap(), &mut said).unwrap();
    said
}

#[tokio::test]
async fn a_certificate_for_another_host_is_told_when_it_is_loaded() {
    let others = |text: String| {
        text.replace(
            "public_url = \"https://localhost\"",
            "public_url = \"https://mlflow.example.com\"\nextra_hosts = [\"localhost\"]",
        )
    };
    let program = Program::start_with("", others, Stdio::null()).await;
    let said = said(program);
    assert!(said.contains("the certificate is not for these hosts"), "{said}");
    assert!(said.contains("mlflow.example.com") && !said.contains("mlflow.example.com, localhost"), "{said}");
}

#[tokio::test]
async fn a_certificate_that_was_read_again_and_is_the_same_is_not_called_new() {
    let program = Program::start_with("", |text| text, Stdio::null()).await;
    let since = "trackgate_config_last_reload_timestamp_seconds";
    let begun = program.number(since).await;
    program.signal("HUP");
    soon("the end of the reading", async { while program.number(since).await <= begun {} }).await;
    let said = said(program);
    assert!(said.contains("the certificate was read again: the same"), "{said}");
    assert!(!said.contains("a new certificate is in use") && !said.contains("not for these hosts"), "{said}");
    assert!(said.contains("open, https at 127.0.0.1:") && !said.contains("Addresses"), "{said}");
}

/// Whoever rotates logs does not ask whether the gate is open yet; and the first process of a container has no other way to end.
#[tokio::test]
async fn signals_are_heard_while_the_gate_still_starts() {
    // A database that takes connections and says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let folder = Folder::new();
    let here = folder.path().display();
    let config = format!(
        "public_url = \"https://localhost\"\nstate_dir = \"{here}/state\"\n[store]\nurl = \"postgres://a@localhost:{}/b\"\n\
         password_file = \"{here}/password\"\n[listen]\nplain = \"127.0.0.1:0\"\n[upstream]\nurl = \"http://127.0.0.1:9\"\n\
         [audit]\nfile = \"{here}/audit.jsonl\"\n[[issuer]]\nname = \"none\"\nissuer = \"https://127.0.0.1:9\"\n\
         [issuer.bearer]\naudiences = [\"https://localhost\"]\n",
        silent.local_addr().unwrap().port()
    );
    let file = folder.path().join("trackgate.toml");
    std::fs::write(&file, config).unwrap();
    let password = folder.path().join("password");
    std::fs::write(&password, "x").unwrap();
    std::fs::set_permissions(&password, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let mut child =
        Command::new(env!("CARGO_BIN_EXE_trackgate")).arg("--config").arg(&file).arg("serve").spawn().unwrap();
    silent.set_nonblocking(true).unwrap();
    let mut held = None;
    until("a question to the database", || {
        assert!(child.try_wait().unwrap().is_none(), "the program ended");
        held = silent.accept().ok();
        held.is_some()
    })
    .await;
    for name in ["HUP", "TERM"] {
        let id = child.id().to_string();
        assert!(Command::new("kill").arg(format!("-{name}")).arg(id).status().unwrap().success());
    }
    let mut status = None;
    until("the end of the program", || {
        status = child.try_wait().unwrap();
        status.is_some()
    })
    .await;
    assert_eq!(status.unwrap().code(), Some(0), "{status:?}");
}

#[tokio::test]
async fn a_port_that_is_taken_is_told_and_ends_the_program() {
    let program = Program::start("").await;
    let said = Command::new(env!("CARGO_BIN_EXE_trackgate"))
        .arg("--config")
        .arg(program.folder.path().join("trackgate.toml"))
        .arg("serve")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(!said.status.success());
    let told = [said.stdout, said.stderr].concat();
    let told = String::from_utf8_lossy(&told);
    assert!(told.contains("cannot listen on"), "{told}");
}
