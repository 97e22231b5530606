//! Does MLflow's own client train through `trackgate connect`, though tokens end and the gate is restarted meanwhile?

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::house::{House, folder, shared};
use crate::stage::free_port;
use crate::stage::gate::{Configured, Gate, Program, Settings};
use crate::stage::idp::accounts::{ADMIN, OWNER};
use crate::stage::python::Environment;

/// A token ends before anything else has happened.
const LIFE: Duration = Duration::from_secs(4);

/// A metadata server whose tokens the gate takes; it ends when it is dropped.
struct Metadata {
    host: String,
    minted: Arc<AtomicUsize>,
    ended: Arc<AtomicBool>,
}

impl Metadata {
    fn start(house: &'static House) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let (minted, ended): (Arc<AtomicUsize>, Arc<AtomicBool>) = (Arc::default(), Arc::default());
        let (count, end) = (Arc::clone(&minted), Arc::clone(&ended));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if end.load(Ordering::SeqCst) {
                    return;
                }
                if let Ok(stream) = stream {
                    let _ = answer(stream, house, &count);
                }
            }
        });
        Self { host, minted, ended }
    }

    fn minted(&self) -> usize {
        self.minted.load(Ordering::SeqCst)
    }

    /// Until so many tokens were given out.
    fn until(&self, count: usize) {
        let begun = Instant::now();
        while self.minted() < count {
            assert!(begun.elapsed() < Duration::from_mins(1), "{} tokens", self.minted());
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Metadata {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(&self.host);
    }
}

/// As the metadata server answers: only whoever says `Metadata-Flavor`, and says so itself.
fn answer(mut stream: TcpStream, house: &House, minted: &AtomicUsize) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let target = lines.next().transpose()?.unwrap_or_default();
    let mut flavor = false;
    for line in lines {
        let line = line?.to_ascii_lowercase();
        flavor |= line == "metadata-flavor: google";
        if line.is_empty() {
            break;
        }
    }
    let wanted = "GET /computeMetadata/v1/instance/service-accounts/default/identity?";
    let query = target.strip_prefix(wanted).and_then(|rest| rest.split(' ').next()).unwrap_or_default();
    let audience = url::form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "audience");
    let (status, body) = match audience {
        Some((_, audience)) if flavor => {
            minted.fetch_add(1, Ordering::SeqCst);
            ("200 OK", house.provider.mint(&OWNER, &audience, LIFE).unwrap())
        }
        _ => ("403 Forbidden", String::new()),
    };
    let length = body.len();
    write!(
        stream,
        "HTTP/1.1 {status}\r\nMetadata-Flavor: Google\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )
}

/// A gate of its own before the shared server, so that it can be restarted.
fn configured(house: &House, folder: &Path, port: u16) -> Configured {
    let configured = Gate::configured(
        Program { file: env!("CARGO_BIN_EXE_trackgate").into(), first: Vec::new() },
        &Settings {
            folder,
            port,
            pair: &house.authority.pair(folder, "agents-gate", &["localhost"]).unwrap(),
            upstream: house.direct(),
            static_prefix: "",
            issuer: house.provider.issuer(),
            ca: house.authority.file(),
            client_id: "trackgate-test",
            client_secret: "a test secret",
            workspaces: false,
            admins: &[ADMIN.email],
            menu_entry: false,
        },
    )
    .unwrap();
    // An end is an end here: no half minute of grace.
    let file = folder.join("trackgate.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("[issuer.login]", "skew = \"0s\"\n\n[issuer.login]")).unwrap();
    configured
}

fn trains(name: &str, client: &Environment) {
    let house = shared();
    let (folder, port) = (folder(name), free_port().unwrap());
    let first = configured(house, &folder, port);
    first.tell(&["grant", "add", &format!("user:{}", OWNER.email), "workspace", "*", "USE"]).unwrap();
    let gate = first.start().unwrap();
    let metadata = Metadata::start(house);
    let mut command = Command::new(env!("CARGO_BIN_EXE_trackgate"));
    command
        .args(["connect", &gate.url(), "--credential", "metadata", "--ca-file"])
        .arg(house.authority.file())
        .arg("--")
        .arg(client.python())
        .arg(crate::stage::repository().join("tests/live/python/agent.py"))
        .current_dir(&folder)
        .env("GCE_METADATA_HOST", &metadata.host)
        .env("MLFLOW_TRACKING_TOKEN", "not wanted")
        .env("MLFLOW_TELEMETRY_DISABLED", "1")
        .env("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
        .env("GIT_PYTHON_REFRESH", "quiet")
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut told = String::new();
    let mut said = BufReader::new(child.stdout.take().unwrap());
    let mut errors = child.stderr.take().unwrap();
    let wrong = std::thread::spawn(move || {
        let mut text = String::new();
        let _ = std::io::Read::read_to_string(&mut errors, &mut text);
        text
    });
    while !told.contains("training") {
        told.clear();
        assert!(said.read_line(&mut told).unwrap() > 0, "{}", wrong.join().unwrap());
    }
    let before = metadata.minted();
    metadata.until(before + 3);
    // In the middle of it all the gate goes, and comes again.
    drop(gate);
    let gate = configured(house, &folder, port).start().unwrap();
    let before = metadata.minted();
    metadata.until(before + 3);
    child.stdin.take().unwrap().write_all(b"stop\n").unwrap();
    told.clear();
    std::io::Read::read_to_string(&mut said, &mut told).unwrap();
    let status = child.wait().unwrap();
    let wrong = wrong.join().unwrap();
    assert!(status.success() && told.contains("steps by owner@demo.example"), "{told}{wrong}");
    assert!(wrong.contains("the command does not see MLFLOW_TRACKING_TOKEN"), "{wrong}");
    let audit = std::fs::read_to_string(gate.audit()).unwrap();
    assert!(audit.contains("\"call\":\"LogMetric\"") && audit.contains(OWNER.email), "{audit}");
}

#[test]
fn a_training_goes_on_while_tokens_end_and_the_gate_is_restarted() {
    trains("agent", &shared().environment);
}

#[test]
fn the_oldest_client_trains_through_the_agent_too() {
    trains("agent-oldest", &Environment::with_version("2.22.5").unwrap());
}
