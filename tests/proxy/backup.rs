//! Backup and restore by the real program, beside a real gate that writes: whole or not at all, whatever is killed.

use std::collections::BTreeSet;
use std::fs;
use std::io::Read as _;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use serde_json::{Value, json};

use super::replicas::{ask, on};
use crate::harness::certs::Folder;
use crate::harness::cluster;
use crate::harness::forge::Forge;
use crate::harness::issuer::Issuer;
use crate::harness::server::{Server, full};
use crate::harness::{ports, soon, until};

const PUBLIC: &str = "https://mlflow.example.com";
pub(super) const GRANT: &str = "/api/3.0/mlflow/users/permissions/grant";

/// A gate of its own process, and the commands beside it.
pub(super) struct Place {
    folder: Folder,
    door: SocketAddr,
    issuer: Issuer,
    _upstream: Server,
    child: Option<Child>,
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Place {
    /// `store` is the section of that name, if the store is not a file.
    pub(super) fn new(store: &str) -> Self {
        trackgate::cli::install_crypto();
        let folder = Folder::new();
        let issuer = Issuer::start(vec![Arc::new(Forge::rsa("k1"))]);
        let upstream = Server::scripted(|request| {
            let version = request.uri().path() == "/version";
            async move { full(200, if version { "3.17.2" } else { "{\"experiment\": {}}" }) }
        });
        let [door] = ports::free();
        let config = format!(
            "public_url = \"{PUBLIC}\"\nstate_dir = \"{here}/state\"\n{store}\n[listen]\nplain = \"{door}\"\nworkers = 1\n\
             [limits]\ndrain_accept = \"0s\"\n[upstream]\nurl = \"http://{mlflow}\"\n[[issuer]]\nname = \"test\"\nissuer = \
             \"{issuer}\"\n[issuer.bearer]\naudiences = [\"{PUBLIC}\"]\n[access]\nadmins = [\"root@example.com\"]\n[rates]\n\
             address = 0\nperson = 0\n[audit]\nfile = \"{here}/audit.jsonl\"\n",
            here = folder.path().display(),
            mlflow = upstream.address,
            issuer = issuer.url,
        );
        fs::write(folder.path().join("trackgate.toml"), config).unwrap();
        Self { folder, door, issuer, _upstream: upstream, child: None }
    }

    fn command(&self, line: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_trackgate"));
        command.arg("--config").arg(self.folder.path().join("trackgate.toml")).args(line.split(' '));
        command.current_dir(self.folder.path()).stdin(Stdio::null());
        command
    }

    fn run(&self, line: &str) -> Output {
        self.command(line).output().unwrap()
    }

    fn says(&self, line: &str) -> String {
        let output = self.run(line);
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(output.status.success(), "{line}: {said}");
        said
    }

    /// Where it all is.
    pub(super) fn here(&self) -> String {
        self.folder.path().display().to_string()
    }

    pub(super) fn door(&self) -> SocketAddr {
        self.door
    }

    pub(super) fn change(&self, change: impl FnOnce(String) -> String) {
        let file = self.file("trackgate.toml");
        fs::write(&file, change(fs::read_to_string(&file).unwrap())).unwrap();
    }

    pub(super) async fn open(&mut self) {
        let command = self.command("serve");
        self.open_by(command).await;
    }

    /// The same where no file may grow beyond so many bytes.
    pub(super) async fn open_within(&mut self, most: u64) {
        let mut command = Command::new("sh");
        // Blocks of 512 bytes (POSIX). Whoever ignores the signal is told by the write.
        let limit = format!("trap '' XFSZ; ulimit -f {}; exec \"$@\"", most / 512);
        command.args(["-c", &limit, "sh", env!("CARGO_BIN_EXE_trackgate"), "--config"]);
        command.arg(self.file("trackgate.toml")).arg("serve").stdin(Stdio::null());
        self.open_by(command).await;
    }

    pub(super) fn kill(&mut self) {
        let mut child = self.child.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    async fn open_by(&mut self, mut command: Command) {
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let child = self.child.insert(child);
        let door = self.door;
        until("an open door", || {
            assert!(child.try_wait().unwrap().is_none(), "the program ended");
            std::net::TcpStream::connect(door).is_ok()
        })
        .await;
    }

    /// SIGTERM, and the end.
    pub(super) async fn close(&mut self) {
        let mut child = self.child.take().unwrap();
        assert!(Command::new("kill").arg(child.id().to_string()).status().unwrap().success());
        until("the end of the gate", || child.try_wait().unwrap().is_some_and(|status| status.success())).await;
    }

    pub(super) fn credential(&self, name: &str) -> (&'static str, String) {
        let claims =
            json!({"sub": format!("sub-{name}"), "email": format!("{name}@example.com"), "email_verified": true});
        ("authorization", format!("Bearer {}", self.issuer.bearer(PUBLIC, &claims)))
    }

    /// Whether alice may read an experiment.
    pub(super) async fn may(&self, id: u64) -> bool {
        let path = format!("/api/2.0/mlflow/experiments/get?experiment_id={id}");
        ask(self.door, "GET", &path, &self.credential("alice"), None).await.0 == 200
    }

    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What is left of backups that are no whole files.
    fn parts(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.folder.path()).unwrap().map(|entry| entry.unwrap().path());
        entries.filter(|path| path.extension().is_some_and(|end| end == "part")).collect()
    }
}

/// Somebody gives alice one experiment after the other; what was acknowledged is counted.
struct Load {
    acknowledged: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    task: tokio::task::JoinHandle<()>,
}

impl Load {
    fn on(place: &Place) -> Self {
        let (acknowledged, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (count, ended, door, root) =
            (Arc::clone(&acknowledged), Arc::clone(&stop), place.door, place.credential("root"));
        let task = tokio::spawn(async move {
            for n in 1_u64.. {
                let (status, told) = ask(door, "POST", GRANT, &root, Some(on("alice", &n.to_string(), "READ"))).await;
                assert_eq!(status, 200, "{}", String::from_utf8_lossy(&told));
                count.store(n, Ordering::SeqCst);
                if ended.load(Ordering::SeqCst) {
                    return;
                }
            }
        });
        Self { acknowledged, stop, task }
    }

    fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::SeqCst)
    }

    async fn more(&self) {
        let before = self.acknowledged();
        until("the gate writes", || self.acknowledged() > before + 3).await;
    }

    async fn end(self) -> u64 {
        self.stop.store(true, Ordering::SeqCst);
        soon("the end of the load", self.task).await.unwrap();
        self.acknowledged.load(Ordering::SeqCst)
    }
}

/// The experiments in a backup that alice was given.
fn given(file: &Path) -> BTreeSet<u64> {
    let mut text = String::new();
    flate2::read::GzDecoder::new(fs::File::open(file).unwrap()).read_to_string(&mut text).unwrap();
    let (mut at, mut ids) = (None, BTreeSet::new());
    for line in text.lines() {
        match serde_json::from_str::<Value>(line).unwrap() {
            Value::Object(named) if named.contains_key("table") => {
                let columns = named["columns"].as_array().unwrap();
                at = (named["table"] == "grants").then(|| columns.iter().position(|name| name == "pattern").unwrap());
            }
            Value::Array(row) => ids.extend(at.and_then(|at| row[at].as_str()?.parse::<u64>().ok())),
            _ => {}
        }
    }
    ids
}

/// As far as the clock says, without sleeping.
fn spin(time: Duration) {
    let begun = Instant::now();
    while begun.elapsed() < time {
        std::thread::yield_now();
    }
}

async fn a_backup_beside_a_gate_that_writes_is_whole_whatever_is_killed(store: &str) {
    let mut place = Place::new(store);
    place.open().await;
    assert!(!place.may(1).await, "alice comes");
    let load = Load::on(&place);
    let mut backups = Vec::new();
    for round in 0..3 {
        load.more().await;
        let (file, before) = (place.file(&format!("backup{round}")), load.acknowledged());
        place.says(&format!("store backup {}", file.display()));
        backups.push((before, load.acknowledged() + 1, file));
    }
    for (before, after, file) in &backups {
        let ids = given(file);
        let newest = ids.last().copied().unwrap_or_default();
        assert!((*before..=*after).contains(&newest), "{before} to {after}: {newest}");
        assert_eq!(ids, (1..=newest).collect(), "one state, without gaps");
        assert_eq!(fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
    }

    // Killed in the middle: what is there under the name stays, the gate notices nothing, and the next one tidies up.
    let whole = backups[2].2.display().to_string();
    let before = fs::read(&whole).unwrap();
    let mut left = Vec::new();
    for _ in 0..50 {
        let mut child = place
            .command(&format!("store backup {whole} --force"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        while place.parts().is_empty() && child.try_wait().unwrap().is_none() {
            std::thread::yield_now();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        left = place.parts();
        if !left.is_empty() {
            break;
        }
    }
    assert_eq!(left.len(), 1, "none was killed in the middle");
    assert_eq!(fs::metadata(&left[0]).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::read(&whole).unwrap(), before);
    load.more().await;
    let long_ago = SystemTime::now() - Duration::from_mins(1);
    fs::File::options().write(true).open(&left[0]).unwrap().set_modified(long_ago).unwrap();
    place.says(&format!("store backup {whole} --force"));
    assert!(place.parts().is_empty(), "what the killed one left is gone");

    // Nobody's store is taken from under a gate.
    let first = backups[0].2.display().to_string();
    let refused = place.run(&format!("store restore {first} --replace"));
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(refused.status.code() == Some(1) && told.contains("something has the store open"), "{told}");
    let last = load.end().await;
    assert!(place.may(last).await);
    place.close().await;

    // A restore that is killed leaves what was there, or what was to be there.
    let (old, new): (BTreeSet<u64>, _) = ((1..=last).collect(), given(&backups[0].2));
    assert!(new.len() < old.len());
    let look = place.file("look").display().to_string();
    for round in 0..8 {
        let mut child = place
            .command(&format!("store restore {first} --replace"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        spin(Duration::from_millis(round * 12));
        child.kill().unwrap();
        child.wait().unwrap();
        // The server may take a moment to see that it is gone.
        until("a store that can be opened", || place.run(&format!("store backup {look} --force")).status.success())
            .await;
        let found = given(Path::new(&look));
        assert!(found == old || found == new, "round {round}: {} of {} or {}", found.len(), old.len(), new.len());
    }
    place.says(&format!("store restore {first} --replace"));
    place.open().await;
    let newest = new.last().copied().unwrap_or_default();
    assert!(place.may(newest).await && !place.may(newest + 1).await);
    // And it writes again.
    let (status, _) =
        ask(place.door, "POST", GRANT, &place.credential("root"), Some(on("alice", "999999", "READ"))).await;
    assert_eq!(status, 200);
    assert!(place.may(999_999).await);
    place.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_beside_a_gate_on_sqlite_is_whole_whatever_is_killed() {
    a_backup_beside_a_gate_that_writes_is_whole_whatever_is_killed("").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_beside_a_gate_on_postgresql_is_whole_whatever_is_killed() {
    let Some(database) = cluster::database().await else { return };
    let store = format!("[store]\nurl = \"{database}\"");
    a_backup_beside_a_gate_that_writes_is_whole_whatever_is_killed(&store).await;
}
