//! A PostgreSQL of this test program alone: a fresh cluster in the temporary folder, on a socket, gone with the program.
//!
//! For the tests of the store and of whole gates.

#![allow(dead_code, reason = "each test program uses its own part")]
#![allow(clippy::unwrap_used, clippy::missing_panics_doc, reason = "a test may panic")]

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use sqlx::{ConnectOptions as _, Connection as _, Executor as _};

/// Ends with the pipe that this program holds, however it ends.
const KEEPER: &str = r#"exec 3<&0 </dev/null; "$@" 3<&- & read -r nothing <&3
kill -INT "$(head -n 1 "$FOLDER/data/postmaster.pid")"
while [ -e "$FOLDER/data/postmaster.pid" ]; do sleep 0.05; done; rm -rf "$FOLDER""#;

pub(crate) struct Cluster {
    pub(crate) folder: PathBuf,
    pub(crate) port: u16,
    programs: PathBuf,
    other: Option<(u32, u32)>,
    _keeper: Child,
}

static CLUSTER: OnceLock<Option<Cluster>> = OnceLock::new();
static DATABASES: AtomicU32 = AtomicU32::new(0);

/// The address of a new and empty database; `None`, and a word of it, where the machine has no PostgreSQL and need not have one.
pub(crate) async fn database() -> Option<String> {
    let cluster = CLUSTER.get_or_init(|| start("shared")).as_ref()?;
    Some(cluster.address(&cluster.database().await))
}

/// How a cluster is reached besides its socket.
#[derive(Debug, Clone)]
pub(crate) enum Door {
    /// Not at all.
    None,
    /// On an address of this host, without TLS.
    Plain,
    /// With this certificate and key (PEM).
    Tls { certificate: String, key: String },
}

impl Cluster {
    /// The name of a new and empty database.
    pub(crate) async fn database(&self) -> String {
        let name = format!("test{}", DATABASES.fetch_add(1, Ordering::Relaxed));
        let mut admin = self.connect("postgres").await;
        admin.execute(sqlx::AssertSqlSafe(format!("CREATE DATABASE {name} TEMPLATE template0"))).await.unwrap();
        admin.close().await.unwrap();
        name
    }

    /// Where a database is, by its socket.
    pub(crate) fn address(&self, database: &str) -> String {
        format!("postgres://trackgate@localhost:{}/{database}?host={}", self.port, self.folder.display())
    }

    /// A connection of the administrator's.
    pub(crate) async fn connect(&self, database: &str) -> sqlx::PgConnection {
        sqlx::postgres::PgConnectOptions::new_without_pgpass()
            .host(&self.folder.display().to_string())
            .port(self.port)
            .username("trackgate")
            .database(database)
            .connect()
            .await
            .unwrap()
    }

    /// Ends the server as a crash does, and starts it again.
    pub(crate) fn crash(&self) {
        self.restart("immediate");
    }

    /// Ends the server in order (its connections are broken off), and starts it again.
    pub(crate) fn restart(&self, mode: &str) {
        let mut line = as_other(self.other, &self.programs.join("pg_ctl"));
        line.extend(["-D".to_owned(), self.folder.join("data").display().to_string()]);
        line.extend(["-m", mode, "-w", "-l"].map(str::to_owned));
        line.extend([self.folder.join("again").display().to_string(), "restart".to_owned()]);
        let mut restart = Command::new(&line[0]);
        restart.args(&line[1..]).current_dir(&self.folder).env("LC_ALL", "C");
        let done = restart.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
        assert!(done.success(), "the server does not come back");
    }
}

/// The beginning of a command line that runs a program as somebody else.
fn as_other(other: Option<(u32, u32)>, program: &Path) -> Vec<String> {
    let mut line = Vec::new();
    if let Some((uid, gid)) = other {
        line.extend(["setpriv".to_owned(), format!("--reuid={uid}"), format!("--regid={gid}")]);
        line.push("--clear-groups".to_owned());
    }
    line.push(program.display().to_string());
    line
}

/// A cluster of its own, for a test that breaks it.
pub(crate) fn start(name: &str) -> Option<Cluster> {
    start_with(name, &Door::None)
}

/// The same, with a door besides its socket.
pub(crate) fn start_with(name: &str, door: &Door) -> Option<Cluster> {
    let Some(programs) = programs() else {
        assert!(std::env::var_os("CI").is_none(), "no PostgreSQL here: install the package `postgresql`");
        eprintln!("not run on PostgreSQL: the machine has none");
        return None;
    };
    let folder = std::env::temp_dir().join(format!("trackgate-store-postgres-{name}-{}", std::process::id()));
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir(&folder).unwrap();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o711)).unwrap();
    // PostgreSQL will not run as root.
    let root = fs::metadata("/proc/self").unwrap().uid() == 0;
    let other = if root { id("postgres").or_else(|| id("nobody")) } else { None };
    if let Some((uid, gid)) = other {
        chown(&folder, Some(uid), Some(gid)).unwrap();
    }
    let run = |program: &str| as_other(other, &programs.join(program));
    let data = folder.join("data").display().to_string();
    let line = run("initdb");
    let made = Command::new(&line[0])
        .args(&line[1..])
        .args(["-D", &data, "-U", "trackgate", "-A", "trust", "-E", "UTF8", "--no-sync"])
        .current_dir(&folder)
        .env("LC_ALL", "C")
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let mut more: Vec<String> = Vec::new();
    let mut port = 5432;
    if matches!(door, Door::None) {
        more.extend(["-c".to_owned(), "listen_addresses=".to_owned()]);
    } else {
        // Nobody else on this host takes it in the moment until the server does.
        port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        more.extend(["-p".to_owned(), port.to_string(), "-c".to_owned(), "listen_addresses=127.0.0.1".to_owned()]);
    }
    if let Door::Tls { certificate, key } = door {
        more.extend(["-c".to_owned(), "ssl=on".to_owned()]);
        for (setting, name, text) in [("ssl_cert_file", "server.crt", certificate), ("ssl_key_file", "server.key", key)]
        {
            let file = folder.join(name);
            fs::write(&file, text).unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
            if let Some((uid, gid)) = other {
                chown(&file, Some(uid), Some(gid)).unwrap();
            }
            more.extend(["-c".to_owned(), format!("{setting}={}", file.display())]);
        }
    }
    let log = fs::File::create(folder.join("log")).unwrap();
    let keeper = Command::new("sh")
        .args(["-c", KEEPER, "sh"])
        .args(run("postgres"))
        .args(["-D", &data, "-k", &folder.display().to_string(), "-c", "fsync=off"])
        .args(["-c", "max_connections=200"])
        .args(more)
        .env("FOLDER", &folder)
        .env("LC_ALL", "C")
        .current_dir(&folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .unwrap();
    let begun = Instant::now();
    while !fs::read_to_string(folder.join("log")).unwrap().contains("ready to accept connections") {
        assert!(begun.elapsed() < Duration::from_mins(1), "PostgreSQL does not start");
        std::thread::sleep(Duration::from_millis(20));
    }
    Some(Cluster { folder, port, programs, other, _keeper: keeper })
}

fn programs() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut places: Vec<PathBuf> = versions.map(|entry| entry.path().join("bin")).collect();
    places.sort();
    let path = std::env::var_os("PATH").unwrap_or_default();
    places.extend(std::env::split_paths(&path));
    places.into_iter().rev().find(|place| place.join("initdb").exists() && place.join("postgres").exists())
}

fn id(name: &str) -> Option<(u32, u32)> {
    let one = |what| -> Option<u32> {
        String::from_utf8(Command::new("id").args([what, name]).output().ok()?.stdout).ok()?.trim().parse().ok()
    };
    Some((one("-u")?, one("-g")?))
}
